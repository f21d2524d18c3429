"""Outcomes as Arrow tables and on disk: ``mutants``, ``cells`` and ``sequences.parquet``, and ``outcomes.json``."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from kmerit.errors import FormatError, SequenceError, UsageError, short
from kmerit.results import Outcomes
from kmerit.sequences import Int64, Locus
from kmerit.store import altered, atomic_write, differences, hold, json_digest, read_record, sums, write_record
from kmerit.trials.rankings import GREEDY, ISM

if TYPE_CHECKING:
    import pyarrow as pa


MUTANTS, CELLS, SEQUENCES, ABOUT = "mutants.parquet", "cells.parquet", "sequences.parquet", "outcomes.json"
TABLES = (MUTANTS, CELLS, SEQUENCES)
FORMAT = 4
"""The layout of a folder; of older ones the record was `_OLDER`."""
_OLDER = "curve.json"
COMPRESSION = "zstd"


def write_outcomes(outcomes: Outcomes, folder: str | Path) -> Path:
    """Write outcomes to a folder, each file atomically and ``outcomes.json`` last.

    Returns:
        The folder.

    Example:
        >>> import tempfile
        >>> import kmerit as km
        >>> model = km.load_model("bundled:promoter")
        >>> sequences = km.Sequences.from_strings(["TATAAAGGCGCGCC"])
        >>> outcomes = km.mutate(model, sequences, km.attribute(model, sequences, ["lrp"]), counts=[2], replicates=1)
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     sorted(path.name for path in write_outcomes(outcomes, folder).iterdir())
        ['cells.parquet', 'mutants.parquet', 'outcomes.json', 'sequences.parquet']
    """
    folder = Path(folder)
    with hold(folder):
        for name, table in ((MUTANTS, outcomes.mutants), (CELLS, outcomes.cells)):
            write_table(folder / name, table)
        finish(folder, outcomes.sequences, outcomes.settings, outcomes.diagnostics)
    return folder


def write_table(path: Path, table: pa.Table) -> None:
    """Write a table atomically."""
    import pyarrow.parquet as pq

    with atomic_write(path) as temporary:
        pq.write_table(table, temporary, compression=COMPRESSION)


def finish(folder: Path, sequences: pa.Table, settings: Mapping[str, Any], diagnostics: Mapping[str, Any]) -> None:
    """Write the sequences and the settings, with checksums of all tables; mutants and cells are written already."""
    write_table(folder / SEQUENCES, sequences)
    about = {"format": FORMAT, "settings": dict(settings), "diagnostics": dict(diagnostics)}
    write_record(folder / ABOUT, {**about, "files": sums(folder, TABLES)})


def read_outcomes(folder: str | Path) -> Outcomes:
    """Read the outcomes of a trial from their folder.

    Raises:
        FormatError: A file is missing, damaged, or of another version.

    Example:
        >>> import tempfile
        >>> import kmerit as km
        >>> model = km.load_model("bundled:promoter")
        >>> sequences = km.Sequences.from_strings(["TATAAAGGCGCGCC"])
        >>> scores = km.attribute(model, sequences, ["lrp"])
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     path = km.mutate(model, sequences, scores, counts=[0, 2], replicates=1, out=folder)
        ...     km.read_outcomes(path).names
        ('seq0',)
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    folder = Path(folder)
    about = read_about(folder)
    if about is None:
        raise FormatError(f"{folder}: expected a finished trial, but {ABOUT} is missing. Run mutate to its end.")
    if damaged := altered(folder, about["files"]):
        raise FormatError(
            f"{folder / damaged[0]}: missing, or changed since it was written. Give the same mutate again: it is made "
            f"again."
        )
    try:
        mutants, cells, sequences = (pq.read_table(folder / name) for name in TABLES)
        return Outcomes(mutants, cells, sequences, about["settings"], about["diagnostics"])
    except (KeyError, ValueError, OSError, pa.ArrowException) as error:
        raise FormatError(f"{folder}: not the readable outcomes of a trial ({error}).") from None


def take(outcomes: Outcomes, rows: Int64) -> Outcomes:
    """Select sequences by index, each once; see `Outcomes.take`.

    Raises:
        UsageError: A sequence is asked for twice, or none is.
    """
    import pyarrow as pa

    if not rows.size or np.unique(rows).size < rows.size:
        raise UsageError("Outcomes: expected at least one sequence, and each of them once.")
    place: Int64 = np.full(len(outcomes), -1, dtype=np.int64)
    place[rows] = np.arange(rows.size)
    mutants, kept = _of_rows(outcomes.mutants, place)
    number = np.full(outcomes.mutants.num_rows, -1, dtype=np.int64)
    number[kept] = np.arange(kept.size)
    cells, _ = _of_rows(outcomes.cells, place)
    settings = dict(outcomes.settings)
    digests = {key: settings[key] for key in _OF_SEQUENCES if key in settings}
    settings["part_of"] = settings.get("part_of", json_digest(digests))
    settings |= {key: json_digest([digest, rows.tolist()]) for key, digest in digests.items()}
    sequences = outcomes.sequences.take(pa.array(rows))
    part = Outcomes(
        _with(mutants, "id", np.arange(kept.size)),
        _with(cells, "mutant", number[cells["mutant"].to_numpy()]),
        _with(sequences, "original", number[sequences["original"].to_numpy()]),
        settings,
    )
    return _counted(part)


def concat(parts: Sequence[Outcomes]) -> Outcomes:
    """Concatenate outcomes of sets of sequences; see `Outcomes.concat`.

    Raises:
        UsageError: No part, other settings, or labels in some.
        SequenceError: A name that occurs twice.
    """
    import pyarrow as pa

    parts = list(parts)
    if not parts:
        raise UsageError("concat: expected at least one part, got none.")
    first, is_one_trial = parts[0], len({part.settings.get("part_of", i) for i, part in enumerate(parts)}) == 1
    names = [name for part in parts for name in part.names]
    if len(set(names)) < len(names):
        raise SequenceError("concat: a name occurs twice; names must be distinct. Rename the sequences.")
    if len({part.labels is None for part in parts}) > 1:
        raise UsageError("concat: some parts have labels and others none; expected the same in all of them.")
    free = {*_OF_SEQUENCES, "part_of", *(() if is_one_trial else ("composition",))}
    for part in parts[1:]:
        before, now = (_comparable(each.settings, free) for each in (first, part))
        for key, was, is_now in differences(before, now):
            raise UsageError(f"concat: expected the same {key} in all parts, got {was!r} and {is_now!r}.")
    tables: dict[str, list[pa.Table]] = {"mutants": [], "cells": [], "sequences": []}
    sequence = mutant = cluster = 0
    for part in parts:
        mutants, cells, sequences = part.mutants, part.cells, part.sequences
        tables["mutants"].append(_shifted(mutants, {"id": mutant, "sequence": sequence}))
        tables["cells"].append(_shifted(cells, {"mutant": mutant, "sequence": sequence}))
        tables["sequences"].append(_shifted(sequences, {"original": mutant, "cluster": cluster}))
        sequence, mutant = sequence + len(part), mutant + mutants.num_rows
        cluster += 0 if is_one_trial else int(part.clusters.max()) + 1
    settings = {key: value for key, value in first.settings.items() if key in _comparable(first.settings, free)}
    settings |= {key: json_digest([part.settings.get(key) for part in parts]) for key in _OF_SEQUENCES}
    settings |= {"part_of": first.settings["part_of"]} if is_one_trial and "part_of" in first.settings else {}
    joined = {name: pa.concat_tables(each).unify_dictionaries() for name, each in tables.items()}
    return _counted(Outcomes(**joined, settings=settings))


_OF_SEQUENCES = ("sequences_sha256", "scores_sha256")
"""Settings that say which sequences and scores were on trial."""


def _comparable(settings: Mapping[str, Any], free: set[str]) -> dict[str, Any]:
    """Leave out what differs from one set of sequences to the next."""
    compared = {key: value for key, value in settings.items() if key not in free}
    if "grid" in compared:
        compared["grid"] = {key: value for key, value in compared["grid"].items() if key != "sequences"}
    return compared


def _of_rows(table: pa.Table, place: Int64) -> tuple[pa.Table, Int64]:
    """Select the rows of some sequences, sequence by sequence in their new order, and say which rows these were."""
    new = place[table["sequence"].to_numpy()]
    kept = np.argsort(new, kind="stable")[int((new < 0).sum()) :]
    return _with(table.take(kept), "sequence", new[kept]), kept


def _with(table: pa.Table, column: str, values: NDArray[Any]) -> pa.Table:
    """Put other numbers into a column, whose type stays."""
    import pyarrow as pa

    at = table.column_names.index(column)
    return table.set_column(at, table.schema.field(at), pa.array(values, table.schema.field(at).type))


def _shifted(table: pa.Table, by: Mapping[str, int]) -> pa.Table:
    for column, number in by.items():
        table = _with(table, column, table[column].to_numpy() + number)
    return table


def _counted(outcomes: Outcomes) -> Outcomes:
    """Count what a part of a trial, or several, took: mutants, cells, and the sequences of each arm of a grid."""
    from kmerit.trials.verdicts import OPERATOR, ORDER

    cells, settings = outcomes.cells.to_pandas(), dict(outcomes.settings)
    counts = {"evaluations": outcomes.mutants.num_rows, "naive_evaluations": len(cells)}
    if "grid" in settings:  # as a trial counts: cells whose mutant is the sequence itself cost one evaluation each
        originals = outcomes.sequences["original"].to_numpy()
        counts["naive_evaluations"] += len(outcomes) - int(cells["mutant"].isin(originals).sum())
        bound = cells["method"].isin([ISM, GREEDY])
        members = {
            "core": ~bound & (cells["operator"] == OPERATOR) & (cells["order"] == ORDER),
            "orders": ~bound & (cells["order"] != ORDER),
            "operators": ~bound & (cells["operator"] != OPERATOR),
            "ism": cells["method"] == ISM,
            "greedy": cells["method"] == GREEDY,
        }
        arms = {name: int(cells["sequence"][rows].nunique()) for name, rows in members.items() if rows.any()}
        settings["grid"] = {**settings["grid"], "sequences": arms}
    return replace(outcomes, settings=settings, diagnostics=counts)


def need_outcomes(value: object, by: str) -> None:
    """Refuse what is not the outcomes of a trial, such as the folder they are in.

    Args:
        value: What was given.
        by: The function it was given to.

    Raises:
        UsageError: With the remedy.

    Example:
        >>> need_outcomes("out", "judge")
        Traceback (most recent call last):
        kmerit.errors.UsageError: judge: expected outcomes, got 'out'. Read those of a folder: km.read_outcomes('out').
    """
    if isinstance(value, str | Path):
        folder = short(str(value))
        raise UsageError(f"{by}: expected outcomes, got {folder}. Read those of a folder: km.read_outcomes({folder}).")
    if not isinstance(value, Outcomes):
        raise UsageError(f"{by}: expected outcomes, which km.trial and km.mutate return, got {short(value)}.")


def read_about(folder: Path) -> dict[str, Any] | None:
    """Read ``outcomes.json``; None if there is none, that is, if the trial is not finished.

    Raises:
        FormatError: It is damaged, or of another version.
    """
    if not (folder / ABOUT).exists() and not (folder / _OLDER).exists():
        return None
    path = next(folder / name for name in (ABOUT, _OLDER) if (folder / name).exists())
    try:
        layout = json.loads(path.read_text(encoding="utf-8"))["format"]
    except (ValueError, KeyError, TypeError):
        layout = FORMAT
    if isinstance(layout, int) and layout > FORMAT:
        raise FormatError(f"{path}: format {layout}, but this kmerit reads {FORMAT}. Update kmerit.")
    about = read_record(path)
    if about is None or layout != FORMAT:
        raise FormatError(
            f"{path}: damaged, or of an older kmerit. Run mutate again, into another folder (--out; Python: out=)."
        )
    return about


def sequences_table(
    names: Sequence[str],
    lengths: Int64,
    labels: Int64 | None,
    targets: Int64,
    originals: Int64,
    clusters: Sequence[int] | Int64 | None = None,
    loci: Sequence[Locus | None] | None = None,
    by_method: Mapping[str, pa.Array] | None = None,
) -> pa.Table:
    """Make the third table of `Outcomes`, a row per sequence.

    Args:
        names: ``[sequence]``.
        lengths: ``int64 [sequence]``.
        labels: ``int64 [sequence]``, the true classes, or None.
        targets: ``int64 [sequence]``, the class explained.
        originals: ``int64 [sequence]``, the id of the unmutated sequence among the mutants.
        clusters: ``[sequence]``; each sequence is one of its own where absent.
        loci: ``[sequence]``, where known.
        by_method: What is known of each method's scores, see `method_column`.

    Example:
        >>> lengths, classes = np.array([9, 9]), np.array([0, 1])
        >>> sequences_table(["a", "b"], lengths, classes, classes, np.array([0, 4])).column_names
        ['name', 'length', 'label', 'target', 'cluster', 'original']
    """
    import pyarrow as pa

    count = len(names)
    columns: dict[str, Any] = {
        "name": pa.array(names, pa.string()),
        "length": pa.array(lengths, pa.int64()),
        "label": pa.nulls(count, pa.int64()) if labels is None else pa.array(labels, pa.int64()),
        "target": pa.array(targets, pa.int64()),
        "cluster": pa.array(np.arange(count) if clusters is None else clusters, pa.int64()),
        "original": pa.array(originals, pa.int64()),
    }
    if loci is not None:
        for name in ("chrom", "start", "end", "strand"):
            columns[name] = pa.array([None if locus is None else getattr(locus, name) for locus in loci])
    return pa.table(columns | dict(by_method or {}))


def method_column(methods: Sequence[str], values: NDArray[Any]) -> pa.StructArray:
    """Store what is known of each method's scores, ``[method, sequence]``, as a field for each method."""
    import pyarrow as pa

    return pa.StructArray.from_arrays([pa.array(row) for row in values], names=list(methods))


def named(codes: ArrayLike, names: tuple[str, ...]) -> pa.DictionaryArray:
    """Encode a column of names as a dictionary, the same for every chunk."""
    import pyarrow as pa

    return pa.DictionaryArray.from_arrays(pa.array(codes, pa.int32()), pa.array(names, pa.string()))


def logits_column(logits: Any) -> pa.FixedSizeListArray:
    """Store logits ``[mutant, class]`` as lists of one size."""
    import pyarrow as pa

    return pa.FixedSizeListArray.from_arrays(pa.array(logits.ravel()), logits.shape[1])
