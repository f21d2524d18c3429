"""Scores in files:
Parquet written block by block and read back, and NPZ, BED, bedGraph and bigWig for other programs.
"""

from __future__ import annotations

import hashlib
import json
import logging
import os
import re
import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any, Literal, NamedTuple, get_args

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from numpy.typing import NDArray

from kmerit.errors import (
    DataError,
    FormatError,
    MissingExtra,
    SequenceError,
    UsageError,
    Withheld,
    WithheldWarning,
    short,
)
from kmerit.formats import withheld
from kmerit.io.files import open_to_write, read_text
from kmerit.io.readers import SequencesLike, as_sequences
from kmerit.io.tables import first_line
from kmerit.results import Attribution, Attributions, ExportFormat, Identity
from kmerit.sequences import Bool, Float, Int64, Locus, N, Sequences, Window, one_hot
from kmerit.store import atomic_write, hold, put_together, read_record, sha256, staged, write_record

TOLERANCE = 0.01
"""By how much scores may miss what they should add up to, as a share of that."""


_SUFFIXES = ("", ".parquet", ".pq")
"""Of files of scores."""


def too_far(delta: Float, tolerance: float) -> Bool:
    """Return which sequences' scores miss their sum by more than the tolerance, or are NaN.

    The decision is each sequence's own: it depends neither on other sequences nor on other methods.

    Example:
        >>> too_far(np.array([0.0, 0.02, np.nan]), 0.01).tolist()
        [False, True, True]
    """
    return np.asarray(~(delta <= tolerance))


def reason_to_withhold(delta: Float, tolerance: float | None) -> str | None:
    """Describe how many sequences' scores are withheld, and why; None if there are none.

    Args:
        delta: ``[sequence]``, by how much the scores' sum misses what it should be, as a share of that.
        tolerance: The greatest that is allowed; None: any.

    Example:
        >>> reason_to_withhold(np.array([0.3, 0.2, 0.4]), 0.01)
        'median delta 30 % over 3 sequences, all above 1 %'
        >>> reason_to_withhold(np.array([0.0, 0.002, 0.4]), 0.01)
        '1 of 3 sequences have a delta above 1 %, up to 40 %'
        >>> reason_to_withhold(np.array([0.0, 0.002, 0.004]), 0.01)
    """
    numbers = withheld_numbers(delta, tolerance)
    return None if numbers is None else withheld(**numbers)


def withheld_numbers(delta: Float, tolerance: float | None) -> dict[str, Any] | None:
    """Count the sequences whose scores are withheld; None if there are none.

    Example:
        >>> withheld_numbers(np.array([0.0, 0.002, 0.5]), 0.01)
        {'sequences': 1, 'of': 3, 'median': 0.002, 'highest': 0.5, 'tolerance': 0.01}
    """
    if tolerance is None or not (far := too_far(delta, tolerance)).any():
        return None
    return {
        "sequences": int(far.sum()),
        "of": int(delta.size),
        "median": float(np.median(delta)),
        "highest": float(delta[far].max()),
        "tolerance": float(tolerance),
    }


def noted(attribution: Attribution) -> Attribution:
    """Note under ``withheld`` in the settings for how many sequences scores were withheld, and the numbers behind."""
    tolerance, delta = attribution.settings.get("tolerance"), attribution.diagnostics.get("delta")
    numbers = None if delta is None else withheld_numbers(delta, tolerance)
    if numbers is None:
        return attribution
    return replace(attribution, settings={**attribution.settings, "withheld": numbers})


def warn(method: str, delta: Float, tolerance: float | None) -> None:
    """Warn of scores that were withheld, if any were."""
    if tolerance is None or (reason := reason_to_withhold(delta, tolerance)) is None:
        return
    pronoun = "Its" if too_far(delta, tolerance).all() else "Their"
    warnings.warn(f"{method} is withheld: {reason}. {pronoun} scores are NaN.", WithheldWarning, stacklevel=3)


class Diagnostic(NamedTuple):
    """Something known of each sequence's scores, a column of their file.

    Attributes:
        unknown: Its value where nothing is known; the column's type follows.
        reduction: How those of tiles, or of both strands, become one: a ufunc, or their mean; None: by counting again.
    """

    unknown: float | bool | int
    reduction: np.ufunc | Literal["mean"] | None


DIAGNOSTICS: Mapping[str, Diagnostic] = {
    "relevance_sum": Diagnostic(np.nan, "mean"),
    "zero": Diagnostic(False, np.logical_and),
    "undefined": Diagnostic(False, np.logical_or),
    "nonfinite": Diagnostic(False, np.logical_or),
    "tie_share": Diagnostic(np.nan, None),
    "delta": Diagnostic(np.nan, np.maximum),
    "micro_batch": Diagnostic(0, np.minimum),
}
"""What is known of each sequence's scores, by column: to add one, add it here and where it is computed."""
_COLUMNS: Mapping[str, Callable[[pa.DataType], bool]] = {
    "sequence": pa.types.is_integer,
    "name": pa.types.is_string,
    "method": pa.types.is_string,
    "level": pa.types.is_string,
    "signed": pa.types.is_boolean,
    "target": pa.types.is_integer,
    "scores": pa.types.is_floating,
    "substitutions": pa.types.is_floating,
    **{
        name: {float: pa.types.is_floating, bool: pa.types.is_boolean, int: pa.types.is_integer}[type(each.unknown)]
        for name, each in DIAGNOSTICS.items()
    },
}
"""What each column holds; lists of it in the case of scores and substitutions."""
_IDENTITY: Mapping[str, pa.DataType] = {
    "letters_sha256": pa.string(),
    "window_start": pa.int64(),
    "window_end": pa.int64(),
    "window_of": pa.int64(),
    "chrom": pa.string(),
    "start": pa.int64(),
    "end": pa.int64(),
    "strand": pa.string(),
}
IDENTITY = tuple(_IDENTITY)
"""Columns that say whose letters the scores belong to: their digest, the crop, the locus."""
_GAPS = ("substitutions", "chrom", "start", "end", "strand")
"""Columns in which a cell may be empty."""
_LOG = logging.getLogger(__name__)
_SUM, _FORMAT = "kmerit-sha256", "kmerit-format"
_UNSUMMED = "0" * 64
_SUMMED = re.compile(rb"kmerit-sha256.{1,4}?([0-9a-f]{64})", re.DOTALL)
"""Where a file's metadata hold its sum: sha256 of all its bytes, with zeros in this place."""


def diagnostics_of(count: int, known: Mapping[str, NDArray[Any] | None]) -> dict[str, NDArray[Any]]:
    """Complete what is known of the scores of ``count`` sequences; what is not, or None, gets its column's default.

    Example:
        >>> diagnostics_of(2, {"zero": np.array([True, False]), "delta": None})["delta"].tolist()
        [nan, nan]
    """
    default = {name: np.full(count, each.unknown) for name, each in DIAGNOSTICS.items()}
    return default | {name: values for name, values in known.items() if values is not None}


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
    identity: Callable[[Int64], Identity],
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
        identity: Gives that of some of the sequences, by index.
        check: Makes the report of a check from the written scores; both files appear, or neither.

    Raises:
        UsageError: The file's suffix is that of another format.
    """

    def tables() -> Iterator[pa.Table]:
        row = 0
        for block in blocks:
            yield block_table(block, row, lengths, identity)
            row += len(next(iter(block.values())))

    check_suffix(path)
    return write_tables(path, tables(), check)


def check_suffix(path: Path) -> None:
    """Refuse a file whose suffix is not that of Parquet; a name without one is fine.

    Raises:
        UsageError: It has another.
    """
    if path.suffix.lower() not in _SUFFIXES:
        raise UsageError(
            f"{path}: scores are written as Parquet; give the file the suffix .parquet. For other programs: km.export "
            f"(kmerit export), or a table: scores.to_frame().to_csv(...)."
        )


def block_table(
    block: Mapping[str, Attribution], row: int, lengths: Int64, identity: Callable[[Int64], Identity]
) -> pa.Table:
    """Lay out a block of attributions, whose first sequence is the ``row``-th, as a table; see `write`."""
    rows = np.arange(row, row + len(next(iter(block.values()))))
    table = _table(block, row, lengths[rows], identity(rows))
    settings = {name: dict(attribution.settings) for name, attribution in block.items()}
    about = {"kmerit": json.dumps(settings, sort_keys=True), _FORMAT: "2"}
    return table.replace_schema_metadata(about)


def write_tables(
    path: Path, tables: Iterable[pa.Table], check: Callable[[Path], Mapping[str, Any]] | None = None
) -> Path:
    """Write the tables of consecutive blocks, see `block_table`, to one Parquet file; see `write`."""
    deltas: list[Float] = []
    settings: dict[str, Any] = {}
    with hold(path, file=True), atomic_write(path) as temporary:
        with ExitStack() as stack:
            writer = None
            for table in tables:
                if writer is None:
                    settings = json.loads(table.schema.metadata[b"kmerit"])
                    names = table["method"][: len(settings)].to_pylist()
                    writer = stack.enter_context(pq.ParquetWriter(temporary, table.schema, compression="zstd"))
                    writer.add_key_value_metadata({_SUM: _UNSUMMED})
                writer.write_table(table.cast(writer.schema))
                deltas.append(table["delta"].to_numpy().reshape(-1, len(names)))
        _write_sum(temporary)
        if check is not None:
            write_record(check_file(path), {"scores_sha256": sha256(temporary), "methods": check(temporary)})
    for name, delta in zip(names, np.concatenate(deltas).T, strict=True) if deltas else ():
        warn(name, delta, settings[name].get("tolerance"))
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
        check: The report of a check of these scores, to be written next to them.

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
        block[name] = replace(part, method=name, diagnostics=diagnostics_of(len(part), part.diagnostics))
    inside = np.stack([part._inside() for part in parts]).any(0)
    return write(Path(path), [block], inside.sum(1), _of(first).take, None if check is None else lambda _: check)


def _of(attribution: Attribution) -> Identity:
    if attribution.identity is None:
        raise ValueError("checked before")
    return attribution.identity


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
    values = zip(identity.digests, *zip(*identity.windows, strict=True), *zip(*loci, strict=True), strict=True)
    columns = zip(_IDENTITY.items(), zip(*values, strict=True), strict=True)
    return {name: pa.array([value for value in cells for _ in range(count)], kind) for (name, kind), cells in columns}


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


@contextmanager
def readable(path: str | os.PathLike[str]) -> Iterator[None]:
    """Explain why a file is not readable as scores.

    Raises:
        FormatError: It does not exist, cannot be read, or its cells do not fit together.
    """
    try:
        yield
    except FileNotFoundError:
        raise FormatError(f"{path}: no such file. Write attributions with: kmerit attribute --out {path}") from None
    except (ValueError, OverflowError, OSError, pa.ArrowException) as error:
        raise FormatError(f"{path}: not readable as attributions ({first_line(error)}). Attribute again.") from error


def stored_settings(path: str | os.PathLike[str], schema: pa.Schema) -> dict[str, dict[str, Any]]:
    """Check that columns hold what they should; give the settings of each method.

    Raises:
        FormatError: A column of another type, or settings that are none.
    """
    identity = {
        name: pa.types.is_string if kind == pa.string() else pa.types.is_integer for name, kind in _IDENTITY.items()
    }
    expected = {**_COLUMNS, **identity}
    for field in (schema.field(name) for name in expected if name in schema.names):
        is_list = pa.types.is_list(field.type)
        of_values = field.type.value_type if is_list or pa.types.is_dictionary(field.type) else field.type
        if is_list != (field.name in ("scores", "substitutions")) or not expected[field.name](of_values):
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
        f"{path}: does not state the letters that its scores belong to (written by an older version), so another crop "
        f"would not be noticed. Attribute these sequences again."
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


_LENGTH = re.compile(r"[0-9]{1,18}")
_NPZ = ("ohe.npz", "shap.npz")


class Track(NamedTuple):
    """The scores of one sequence along the plus strand of its chromosome."""

    name: str
    locus: Locus
    values: Float


def export(
    attribution: Attribution,
    sequences: SequencesLike,
    out: str | os.PathLike[str],
    to: ExportFormat,
    *,
    chrom_sizes: str | os.PathLike[str] | None = None,
) -> Path:
    """Write one method's scores for another program.

    * ``npz``: a folder with ``ohe.npz`` and ``shap.npz``, which appear both or not at all, arrays
      ``[sequence, 4, position]`` in the order ACGT, for ``modisco motifs -s ohe.npz -a shap.npz``. Hypothetical
      contributions where the method knows substitutions (``ism``, ``ism_first_order``): their effects, centred at each
      position; else the score at the base that is there.
    * ``bed``: one row a nucleotide: the sequence's name, ``|score|`` scaled to 0..1000 over the file, the strand, and
      the score itself in a seventh column. Sequences may overlap.
    * ``bedgraph``, ``bigwig``: the score of each nucleotide on its chromosome. Sequences may not overlap.

    TF-MoDISco looks for motifs in signed contributions; unsigned scores are refused for ``npz``.

    A sequence of the minus strand runs backwards along the genome. A nucleotide that no token covers has no row.
    Scores are found by their letters: reordered sequences get their own, other letters are refused.

    Args:
        attribution: Scores of nucleotides.
        sequences: Those explained, with loci for all but ``npz``.
        out: The file, or for ``npz`` the folder.
        to: The format.
        chrom_sizes: For ``bigwig``: a file with name and length of each chromosome (a ``.fai`` will do). By default a
            chromosome ends where the last sequence on it ends.

    Returns:
        ``out``.

    Raises:
        UsageError: An unknown format, or scores of tokens; for ``npz``, unsigned scores.
        SequenceError: Scores of other letters or loci; sequences without loci; for ``npz``, of different lengths, or
            with an N.
        DataError: For ``bedgraph`` and ``bigwig``: two sequences overlap.
        FormatError: ``chrom_sizes`` lacks a chromosome, or has it too short.
        Withheld: The scores were withheld; for ``npz``, those of any sequence.
        MissingExtra: ``bigwig`` without pyBigWig.

    Example:
        >>> import tempfile
        >>> import kmerit as km
        >>> sequences = km.Sequences.from_strings(["TATAAAGGCGCGCC"], loci=[km.Locus("chr1", 100, 114, "-")])
        >>> scores = km.attribute(km.load_model("bundled:promoter"), sequences, ["random"])["random"]
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     km.export(scores, sequences, f"{folder}/scores.bedgraph", "bedgraph").read_text().count("chr1")
        14
    """
    if to not in get_args(ExportFormat):
        raise UsageError(f"to: expected one of {', '.join(get_args(ExportFormat))}, got {to!r}.")
    if attribution.usable().level != "nucleotide":
        raise UsageError(f"Expected scores of nucleotides, got {attribution.level}s. Attribute at level 'nucleotide'.")
    sequences = as_sequences(sequences)
    attribution = attribution.of(sequences)
    path = Path(out)
    if to == "npz":
        if not attribution.signed:
            raise UsageError(
                f"The scores of {attribution.method} are unsigned, and of no use to TF-MoDISco, which needs signed "
                f"contributions. Export ism or ism_first_order (hypothetical contributions, best), or a signed method."
            )
        return _npz(attribution, sequences, path)
    tracks = list(_tracks(attribution, sequences))
    if to == "bed":
        return _lines(path, _bed(tracks))
    tracks.sort(key=lambda track: track.locus)
    _refuse_overlaps(tracks)
    return _lines(path, _bedgraph(tracks)) if to == "bedgraph" else _bigwig(tracks, path, chrom_sizes)


def _npz(attribution: Attribution, sequences: Sequences, folder: Path) -> Path:
    lengths = sequences.lengths
    if (lengths != lengths[0]).any():
        raise SequenceError(
            f"TF-MoDISco reads sequences of one length; these have {lengths.min()} to {lengths.max()} nt. "
            f"Crop them before attributing (--crop {lengths.min()} --min-length {lengths.min()}; Python: km.prepare)."
        )
    if (sequences.bases == N).any():
        raise SequenceError("TF-MoDISco reads A, C, G and T; a sequence has an N. Drop such sequences with --drop-n.")
    if attribution.withheld is not None:
        name = sequences.names[int(np.argmax(attribution.withheld_rows))]
        raise Withheld(
            f"{attribution.method} was withheld: {attribution.withheld} (first: {name!r}); an array "
            f"has no place for that. Leave those sequences out, or attribute with more samples."
        )
    bases, _ = sequences.padded()
    encoded = one_hot(bases)
    if attribution.substitutions is not None:
        effects = attribution.substitutions.transpose(0, 2, 1)
        contributions = (effects - effects.mean(1, keepdims=True))[..., : lengths[0]]
    else:
        contributions = encoded * np.nan_to_num(attribution.scores)[:, None, : lengths[0]]
    with staged(folder, _NPZ.__contains__) as place:
        for name, array in zip(_NPZ, (encoded, contributions.astype(np.float32)), strict=True):
            with atomic_write(place / name) as temporary:
                np.savez_compressed(temporary, array)
        put_together(place, folder, _NPZ, _NPZ[-1])
    return folder


def _tracks(attribution: Attribution, sequences: Sequences) -> Iterator[Track]:
    loci = sequences.loci or (None,) * len(sequences)
    for name, locus, length, scores in zip(sequences.names, loci, sequences.lengths, attribution.scores, strict=True):
        if locus is None:
            raise SequenceError(
                f"{name!r} has no coordinates. Give them as columns chrom, start, end, strand, or in FASTA as "
                f"locus=chr1:100-300:+ behind the name."
            )
        yield Track(name, locus, scores[:length][:: -1 if locus.strand == "-" else 1])


def _refuse_overlaps(tracks: list[Track]) -> None:
    """A track has one value a nucleotide, and a mean over strands or classes would be nobody's score."""
    for before, after in pairwise(tracks):
        if before.locus.chrom == after.locus.chrom and after.locus.start < before.locus.end:
            raise DataError(
                f"{before.name!r} and {after.name!r} overlap on {after.locus.chrom}; a bedGraph or bigWig has one "
                f"value a nucleotide. Export them apart, or write BED."
            )


def _positions(track: Track) -> Iterator[tuple[int, float]]:
    for offset in np.flatnonzero(np.isfinite(track.values)):
        yield track.locus.start + int(offset), float(track.values[offset])


def _bed(tracks: list[Track]) -> Iterator[str]:
    top = max((float(np.nanmax(np.abs(track.values), initial=0)) for track in tracks), default=0.0) or 1.0
    for track in tracks:
        chrom, strand = track.locus.chrom, track.locus.strand
        if "\t" in track.name or "\n" in track.name:
            raise SequenceError(f"{track.name!r} has a tab or a line end in it, which BED cannot hold. Rename it.")
        for at, value in _positions(track):
            yield f"{chrom}\t{at}\t{at + 1}\t{track.name}\t{round(1000 * abs(value) / top)}\t{strand}\t{value:.9g}\n"


def _bedgraph(tracks: list[Track]) -> Iterator[str]:
    for track in tracks:
        for at, value in _positions(track):
            yield f"{track.locus.chrom}\t{at}\t{at + 1}\t{value:.9g}\n"


def _lines(path: Path, lines: Iterator[str]) -> Path:
    with atomic_write(path) as temporary, open_to_write(temporary) as file:
        for line in lines:
            file.write(line.encode())
    return path


def _bigwig(tracks: list[Track], path: Path, chrom_sizes: str | os.PathLike[str] | None) -> Path:
    try:
        import pyBigWig
    except ImportError:
        raise MissingExtra("pyBigWig", "genome", "Writing bigWig") from None
    sizes = _ends(tracks)
    if chrom_sizes is not None:
        sizes = _read_sizes(Path(chrom_sizes), sizes)
    if (far := next((chrom for chrom, size in sizes.items() if size >= 2**32), None)) is not None:
        raise FormatError(
            f"{path}: {short(far)} has {sizes[far]:,} nt; a bigWig holds less than 2**32. Write bedGraph."
        )
    with atomic_write(path) as temporary:
        file = pyBigWig.open(str(temporary), "w")
        try:
            file.addHeader(sorted(sizes.items()))
            for track in tracks:
                at = track.locus.start + np.flatnonzero(np.isfinite(track.values))
                values = track.values[np.isfinite(track.values)].astype(np.float64)
                if at.size:
                    file.addEntries(track.locus.chrom, at.tolist(), values=values.tolist(), span=1)
        finally:
            file.close()
    return path


def _ends(tracks: list[Track]) -> dict[str, int]:
    ends: dict[str, int] = {}
    for track in tracks:
        ends[track.locus.chrom] = max(ends.get(track.locus.chrom, 0), track.locus.end)
    return ends


def _read_sizes(path: Path, ends: Mapping[str, int]) -> dict[str, int]:
    sizes: dict[str, int] = {}
    for number, line in enumerate(read_text(path).splitlines(), 1):
        fields = line.split()
        if not fields:
            continue
        if len(fields) < 2 or not _LENGTH.fullmatch(fields[1]):
            raise FormatError(f"{path}, line {number}: expected a chromosome's name and length, found {short(line)}.")
        if sizes.setdefault(fields[0], int(fields[1])) != int(fields[1]):
            raise FormatError(f"{path}, line {number}: {short(fields[0])} has two lengths. Remove one.")
    for chrom, end in ends.items():
        if sizes.get(chrom, 0) < end:
            raise FormatError(
                f"{path}: {chrom} {f'has {sizes[chrom]} nt' if chrom in sizes else 'is missing'}; a sequence ends at "
                f"{end}. Give the sizes of the genome that the coordinates are of."
            )
    return sizes
