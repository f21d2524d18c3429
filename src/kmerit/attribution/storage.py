"""Attributions: concatenated, written to Parquet block by block, and read back."""

from __future__ import annotations

import hashlib
import json
import logging
import os
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from kmerit.attribution.withholding import noted, warn
from kmerit.data.tables import first_line
from kmerit.errors import FormatError, UsageError, short
from kmerit.store import atomic_write, hold, read_record, sha256, write_record
from kmerit.types import Attribution, Attributions, Float, Identity, Int64, Locus, Window

DIAGNOSTICS = ("relevance_sum", "zero", "undefined", "nonfinite", "tie_share", "delta", "micro_batch")
_COLUMNS = ("sequence", "name", "method", "level", "signed", "target", "scores", "substitutions", *DIAGNOSTICS)
IDENTITY = ("letters_sha256", "window_start", "window_end", "window_of", "chrom", "start", "end", "strand")
"""Columns that say whose letters the scores belong to: their digest, the crop, the locus."""
_LOG = logging.getLogger(__name__)
_SUM, _FORMAT = "kmerit-sha256", "kmerit-format"
_UNSUMMED = "0" * 64
_SUMMED = re.compile(rb"kmerit-sha256.{1,4}?([0-9a-f]{64})", re.DOTALL)
"""Where a file's metadata hold its sum: sha256 of all its bytes, with zeros in this place."""


def join(parts: Sequence[Mapping[str, Attribution]]) -> dict[str, Attribution]:
    """Put the attributions of consecutive sequences together, padding with NaN to the widest."""
    attributions = {}
    for name, first in (parts[0] if parts else {}).items():
        same = [part[name] for part in parts]
        width = max(part.scores.shape[1] for part in same)
        scores = np.full((sum(map(len, same)), width), np.nan, dtype=first.scores.dtype)
        effects = None if first.substitutions is None else np.zeros((*scores.shape, 4), dtype=scores.dtype)
        row = 0
        for part in same:
            scores[row : row + len(part), : part.scores.shape[1]] = part.scores
            if effects is not None and part.substitutions is not None:
                effects[row : row + len(part), : part.scores.shape[1]] = part.substitutions
            row += len(part)
        attributions[name] = Attribution(
            method=name,
            scores=scores,
            level=first.level,
            target=np.concatenate([part.target for part in same]),
            names=tuple(name for part in same for name in part.names),
            signed=first.signed,
            settings=first.settings,
            diagnostics={key: np.concatenate([p.diagnostics[key] for p in same]) for key in first.diagnostics},
            substitutions=effects,
        )
    return attributions


def write(
    path: Path,
    blocks: Iterable[Mapping[str, Attribution]],
    lengths: Int64,
    identity: Identity,
    check: Callable[[Path], Mapping[str, Any]] | None = None,
) -> Path:
    """Write blocks of attributions to one Parquet file, which appears whole or not at all.

    One row per (sequence, method), sequence by sequence. ``scores`` is a list of the sequence's own length, NaN where
    no token covers a nucleotide; ``substitutions`` is null, or four values per position. ``letters_sha256``, the
    window and the locus say what was scored. The settings of each method stand as JSON under ``kmerit`` in the file's
    metadata, and under ``kmerit-sha256`` its sum.

    Args:
        path: The file.
        blocks: The same methods for consecutive sequences.
        lengths: Positions (nucleotides or tokens) of every sequence, ``int64 [sequence]``.
        identity: Of all the sequences.
        check: Makes the report of a check from the written scores; both files appear, or neither.
    """
    deltas: dict[str, list[Float]] = {}
    tolerances: dict[str, float | None] = {}
    with hold(path, file=True), atomic_write(path) as temporary:
        with ExitStack() as stack:
            writer, row = None, 0
            for block in blocks:
                rows = len(next(iter(block.values())))
                table = _table(block, row, lengths[row : row + rows], identity.take(np.arange(row, row + rows)))
                if writer is None:
                    settings = {name: dict(attribution.settings) for name, attribution in block.items()}
                    about = {"kmerit": json.dumps(settings, sort_keys=True), _FORMAT: "2"}
                    writer = stack.enter_context(
                        pq.ParquetWriter(temporary, table.schema.with_metadata(about), compression="zstd")
                    )
                    writer.add_key_value_metadata({_SUM: _UNSUMMED})
                writer.write_table(table.cast(writer.schema))
                for name, attribution in block.items():
                    deltas.setdefault(name, []).append(attribution.diagnostics["delta"])
                    tolerances[name] = attribution.settings.get("tolerance")
                row += rows
        _write_sum(temporary)
        if check is not None:
            write_record(check_file(path), {"scores_sha256": sha256(temporary), "methods": check(temporary)})
    for name, delta in deltas.items():
        warn(name, np.concatenate(delta), tolerances[name])
    return path


def save(
    attributions: Mapping[str, Attribution],
    path: str | os.PathLike[str],
    check: Mapping[str, Any] | None = None,
) -> Path:
    """Write attributions that are in memory, as `write` does.

    Args:
        attributions: By method.
        path: The file.
        check: The report of a check of these scores, to be written beside them.

    Raises:
        UsageError: None, scores whose letters are not known, or methods of other sequences or levels.
    """
    parts = list(attributions.values())
    if not parts:
        raise UsageError("save: there are no attributions.")
    first = parts[0]
    block: dict[str, Attribution] = {}
    for name, part in attributions.items():
        if part.identity is None:
            raise UsageError(
                f"save: the letters that the {name} scores belong to are not known. Give scores.of(sequences)."
            )
        if part.names != first.names or part.level != first.level or part.identity.digests != _of(first).digests:
            raise UsageError(f"save: {name!r} is of other sequences or another level. Write a file for each.")
        block[name] = replace(part, method=name, diagnostics=_complete(part))
    inside = np.stack([part._inside() for part in parts]).any(0)
    return write(Path(path), [block], inside.sum(1), _of(first), None if check is None else lambda _: check)


def _of(attribution: Attribution) -> Identity:
    if attribution.identity is None:
        raise ValueError("checked before")
    return attribution.identity


def _complete(part: Attribution) -> dict[str, Any]:
    """Add the diagnostics that scores made by hand do not have."""
    nothing, no = np.full(len(part), np.nan), np.zeros(len(part), dtype=np.bool_)
    counts = {"micro_batch": np.zeros(len(part), dtype=np.int64)}
    flags = dict.fromkeys(("zero", "undefined", "nonfinite"), no)
    return dict.fromkeys(("relevance_sum", "tie_share", "delta"), nothing) | flags | counts | dict(part.diagnostics)


def _write_sum(path: Path) -> None:
    """Write a file's sum into its metadata."""
    digest, at = _sum(path)
    if at is None:
        raise ValueError(f"{path}: no place for its sum.")
    with path.open("r+b") as file:
        file.seek(at)
        file.write(digest.encode())


def _sum(path: Path) -> tuple[str, int | None]:
    """Compute the sum of a Parquet file, and find the place where it stands; None: nowhere."""
    with path.open("rb") as file:
        size = file.seek(0, os.SEEK_END)
        file.seek(max(size - 8, 0))
        footer = min(int.from_bytes(file.read(4), "little") + 8, size)
        file.seek(size - footer)
        match = _SUMMED.search(file.read())
        if match is None:
            return "", None
        at = size - footer + match.start(1)
        file.seek(0)
        digest, remaining = hashlib.sha256(), at
        while remaining and (part := file.read(min(remaining, 2**20))):
            digest.update(part)
            remaining -= len(part)
        digest.update(_UNSUMMED.encode())
        file.seek(at + len(_UNSUMMED))
        while part := file.read(2**20):
            digest.update(part)
    return digest.hexdigest(), at


def verify(path: Path) -> None:
    """Check that a file of scores is unchanged; log that a file of an older version cannot be checked.

    Raises:
        FormatError: It was changed since.
        OSError: It cannot be read.
    """
    digest, at = _sum(path)
    if at is not None:
        with path.open("rb") as file:
            file.seek(at)
            whole = file.read(len(_UNSUMMED)) == digest.encode()
    else:
        metadata = pq.read_schema(path).metadata or {}
        whole = _FORMAT.encode() not in metadata
        if whole and b"kmerit" in metadata:
            _LOG.warning(f"{path}: has no sum of its own (older version), so its scores cannot be proven whole.")
    if not whole:
        raise FormatError(f"{path}: damaged, or changed since it was written. Copy it again, or attribute again.")


def _table(block: Mapping[str, Attribution], row: int, lengths: Int64, identity: Identity) -> pa.Table:
    if any(part.names != identity.names for part in block.values()):
        raise ValueError(f"rows {row} to {row + len(lengths)}: scores and identity are of other sequences.")
    count = len(block)
    order = np.arange(len(lengths) * count).reshape(count, -1).T.ravel()  # sequence by sequence
    parts = list(block.values())
    flat = np.concatenate(
        [part.scores[i, : lengths[i]] for i in range(len(lengths)) for part in parts] or [np.zeros(0, np.float32)]
    )
    offsets = np.concatenate([[0], np.cumsum(np.repeat(lengths, count))]).astype(np.int32)

    def column(values: Sequence[Any]) -> pa.Array:
        return pa.array(np.concatenate(values)[order])

    return pa.table(
        {
            "sequence": pa.array(np.repeat(np.arange(row, row + len(lengths), dtype=np.int64), count)),
            "name": pa.array([name for name in parts[0].names for _ in parts]),
            "method": pa.array([part.method for part in parts] * len(lengths)).dictionary_encode(),
            "level": pa.array([part.level for part in parts] * len(lengths)).dictionary_encode(),
            "signed": pa.array([part.signed for part in parts] * len(lengths)),
            "target": column([part.target for part in parts]),
            "scores": pa.ListArray.from_arrays(pa.array(offsets), pa.array(flat)),
            "substitutions": pa.array(
                [
                    None if part.substitutions is None else part.substitutions[i, : lengths[i]].ravel()
                    for i in range(len(lengths))
                    for part in parts
                ],
                pa.list_(pa.from_numpy_dtype(flat.dtype)),
            ),
            **{key: column([part.diagnostics[key] for part in parts]) for key in DIAGNOSTICS},
            **_identity_columns(identity, count),
        }
    )


def _identity_columns(identity: Identity, count: int) -> dict[str, pa.Array]:
    """Lay out an identity, ``count`` rows for each sequence."""
    loci = [(None,) * 4 if locus is None else locus for locus in identity.loci]
    kinds = (pa.string(), *(pa.int64(),) * 3, pa.string(), pa.int64(), pa.int64(), pa.string())
    values = zip(identity.digests, *zip(*identity.windows, strict=True), *zip(*loci, strict=True), strict=True)
    columns = zip(IDENTITY, kinds, zip(*values, strict=True), strict=True)
    return {name: pa.array([value for value in column for _ in range(count)], kind) for name, kind, column in columns}


def read_identity(table: pa.Table) -> Identity:
    """Read whose letters scores are of, from one row for each sequence."""
    digests, *columns = (table[name].to_pylist() for name in IDENTITY)
    rows = list(zip(*columns, strict=True))
    return Identity(
        tuple(table["name"].to_pylist()),
        tuple(digests),
        tuple(Window(*row[:3]) for row in rows),
        tuple(None if row[3] is None else Locus(*row[3:]) for row in rows),
    )


_KINDS: dict[Callable[[pa.DataType], bool], tuple[str, ...]] = {
    pa.types.is_string: ("name", "method", "level", "letters_sha256", "chrom", "strand"),
    pa.types.is_integer: (
        "sequence",
        "target",
        "micro_batch",
        "window_start",
        "window_end",
        "window_of",
        "start",
        "end",
    ),
    pa.types.is_boolean: ("signed", "zero", "undefined", "nonfinite"),
    pa.types.is_floating: ("scores", "substitutions", "relevance_sum", "tie_share", "delta"),
}
"""What each column holds; lists of it in the case of scores and substitutions."""
_GAPS = ("substitutions", "chrom", "start", "end", "strand")
"""Columns in which a cell may be empty."""


@contextmanager
def readable(path: str | os.PathLike[str]) -> Iterator[None]:
    """Explain why a file is not readable as scores.

    Raises:
        FormatError: It cannot be read, or its cells do not fit together.
    """
    try:
        yield
    except (ValueError, OverflowError, OSError, pa.ArrowException) as error:
        raise FormatError(f"{path}: not readable as attributions ({first_line(error)}). Attribute again.") from error


def stored_settings(path: str | os.PathLike[str], schema: pa.Schema) -> dict[str, dict[str, Any]]:
    """Check that columns hold what they should; give the settings of each method.

    Raises:
        FormatError: A column of another type, or settings that are none.
    """
    for kind, names in _KINDS.items():
        for field in (schema.field(name) for name in names if name in schema.names):
            listed = field.name in ("scores", "substitutions")
            held = (
                field.type.value_type
                if pa.types.is_dictionary(field.type) or pa.types.is_list(field.type)
                else field.type
            )
            if pa.types.is_list(field.type) != listed or not kind(held):
                raise FormatError(f"{path}: the column {field.name!r} holds {short(str(field.type))}. Attribute again.")
    with readable(path):
        settings = json.loads((schema.metadata or {}).get(b"kmerit", b"{}"))
    if not isinstance(settings, dict) or not all(isinstance(each, dict) for each in settings.values()):
        raise FormatError(f"{path}: the settings of its methods are damaged. Attribute again.")
    return settings


def refuse_gaps(path: str | os.PathLike[str], table: pa.Table) -> None:
    """Refuse empty cells where none can be.

    Raises:
        FormatError: There is one.
    """
    for name in set(table.column_names) - set(_GAPS):
        if table[name].null_count:
            raise FormatError(f"{path}: a cell of the column {name!r} is empty. Attribute again.")


def without_letters(path: str | os.PathLike[str]) -> FormatError:
    """Explain that a file of an older version could belong to any letters."""
    return FormatError(
        f"{path}: does not say whose letters its scores belong to (written by an older version), so that they could be "
        f"taken for those of another crop. Attribute these sequences again."
    )


def check_file(path: Path) -> Path:
    """Name the report of a float64 check, next to the scores.

    Example:
        >>> check_file(Path("scores.parquet")).name
        'scores.check.json'
    """
    return path.with_suffix(".check.json")


def read_check(path: str | os.PathLike[str]) -> dict[str, dict[str, Any]]:
    """Read the report of the check that was made of a file of scores, see ``precision.agreement``.

    Args:
        path: The file of the scores.

    Raises:
        FormatError: No check was made, or of other scores; or the report is damaged.

    Example:
        >>> import tempfile
        >>> import kmerit as km
        >>> model, sequences = km.load_model("bundled:promoter"), km.Sequences.from_strings(["TATAAAGGCGCGCC"])
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     path = km.attribute(model, sequences, ["random"], check=1, out=f"{folder}/scores.parquet")
        ...     read_check(path)["random"]["spearman"]["min"]
        1.0
    """
    report = check_file(Path(path))
    if not report.exists():
        raise FormatError(f"{report}: no such file. Make one: kmerit attribute --check")
    record = read_record(report)
    if record is None or not Path(path).is_file() or record.get("scores_sha256") != sha256(Path(path)):
        raise FormatError(f"{report}: damaged, or of other scores than {path}. Attribute again with --check.")
    checked: dict[str, dict[str, Any]] = record["methods"]
    return checked


def read_attributions(path: str | os.PathLike[str], rows: Int64 | None = None) -> Attributions:
    """Read what ``attribute(out=...)`` or ``save`` wrote.

    Args:
        path: The file.
        rows: Indices of the sequences to read, in their order; all by default.

    Raises:
        FormatError: Not such a file, or one of an older version, which does not say whose letters the scores belong to.

    Example:
        >>> import tempfile
        >>> import kmerit as km
        >>> model, sequences = km.load_model("bundled:promoter"), km.Sequences.from_strings(["TATAAAGGCGCGCC"])
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     path = km.attribute(model, sequences, ["lrp"], out=f"{folder}/scores.parquet")
        ...     read_attributions(path)["lrp"].scores.shape
        (1, 14)
    """
    with readable(path):
        verify(Path(path))
        table = pq.read_table(path, filters=None if rows is None else [("sequence", "in", rows.tolist())])
    missing = [column for column in (*_COLUMNS, *IDENTITY) if column not in table.column_names]
    if missing and missing[0] in IDENTITY:
        raise without_letters(path)
    if missing:
        raise FormatError(
            f"{path}: not a file of attributions; it has no column {missing[0]!r}. Make one: kmerit attribute"
        )
    settings = stored_settings(path, table.schema)
    refuse_gaps(path, table)
    with readable(path):
        return Attributions(
            {
                name: _attribution(name, table.filter(pc.equal(table["method"], name)), settings.get(name, {}))
                for name in pc.unique(table["method"]).to_pylist()
            }
        )


def _attribution(name: str, rows: pa.Table, settings: Mapping[str, Any]) -> Attribution:
    lists = rows["scores"].combine_chunks()
    flat, lengths = lists.flatten().to_numpy(), lists.value_lengths().to_numpy()
    scores = np.full((len(rows), int(lengths.max(initial=0))), np.nan, dtype=flat.dtype)
    inside = np.arange(scores.shape[1]) < lengths[:, None]
    scores[inside] = flat
    effects = None
    if rows["substitutions"].null_count == 0:
        effects = np.zeros((*scores.shape, 4), dtype=flat.dtype)
        effects[inside] = rows["substitutions"].combine_chunks().flatten().to_numpy().reshape(-1, 4)
    attribution = Attribution(
        method=name,
        scores=scores,
        level=rows["level"][0].as_py(),
        target=rows["target"].to_numpy().astype(np.int64),
        names=tuple(rows["name"].to_pylist()),
        signed=rows["signed"][0].as_py(),
        settings=settings,
        diagnostics={key: rows[key].to_numpy() for key in DIAGNOSTICS},
        substitutions=effects,
        identity=read_identity(rows),
    )
    return noted(attribution)
