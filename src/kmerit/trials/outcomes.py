"""Outcomes as Arrow tables and on disk: ``mutants``, ``cells`` and ``sequences.parquet``, and ``outcomes.json``."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import cached_property, partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from kmerit.disk import AnyRows, StoredRows, return_memory
from kmerit.errors import FormatError, SequenceError, UsageError, short
from kmerit.results import GROUP, MEASURES, Outcomes, grouped
from kmerit.sequences import Int64, Locus
from kmerit.store import altered, atomic_write, differences, hold, json_digest, read_record, sums, write_record
from kmerit.trials.rankings import GREEDY, ISM

if TYPE_CHECKING:
    import pandas as pd
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
            write_table(folder / name, table.read() if isinstance(table, StoredTable) else table)
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

    Where they have more than 65,536 cells or mutants, the tables stay in the folder, and are read some sequences at a
    time; the folder must then stay as it is. What is computed of them is the same.

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
        mutants, cells = StoredTable(folder / MUTANTS), StoredTable(folder / CELLS)
        rest = (pq.read_table(folder / SEQUENCES), about["settings"], about["diagnostics"])
        if max(mutants.num_rows, cells.num_rows) > _WHOLE:
            return StoredOutcomes(mutants, cells, *rest)
        return Outcomes(mutants.read(), cells.read(), *rest)
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
    """Add to the numbers of some columns."""
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


_WHOLE = 2**16
"""Rows up to which a table is held in memory as a whole."""
_TOGETHER = 2**15
"""Rows of which some sequences have about this many are in memory together."""


class StoredTable:
    """A Parquet file in place of a table: a column is read when asked for, rows are read in batches.

    What else a table can do, all of it does once it is read.

    Args:
        path: The file.
    """

    def __init__(self, path: Path) -> None:
        import pyarrow.parquet as pq

        self.path, file = path, pq.ParquetFile(path)
        self.schema, self.num_rows = file.schema_arrow, int(file.metadata.num_rows)
        file.close()

    @property
    def column_names(self) -> list[str]:
        """Of the columns."""
        return list(self.schema.names)

    def __getitem__(self, column: str) -> pa.ChunkedArray:
        return self.select([column])[column]

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_"):
            raise AttributeError(name)
        return getattr(self.read(), name)

    def read(self) -> pa.Table:
        """Read the whole table."""
        return self.select(self.column_names)

    def select(self, columns: Sequence[str]) -> pa.Table:
        """Read some columns."""
        import pyarrow.parquet as pq

        return pq.read_table(self.path, columns=list(columns))

    def to_batches(self, max_chunksize: int, columns: Sequence[str] | None = None) -> Iterator[pa.RecordBatch]:
        """Read at most this number of rows at a time."""
        import pyarrow.parquet as pq

        # A pre-buffering reader would hold those columns of the whole file.
        with pq.ParquetFile(self.path, pre_buffer=False) as file:
            yield from file.iter_batches(max_chunksize, columns=None if columns is None else list(columns))


class _BySequence:
    """The rows of a table, in the order of their sequences, some sequences at a time.

    Attributes:
        before: How many rows were taken so far.
    """

    def __init__(self, table: StoredTable | pa.Table, what: str) -> None:
        self._batches, self._what, self._empty = iter(table.to_batches(_TOGETHER)), what, table.schema.empty_table()
        self._rest: pa.Table | None = None
        self.before, self._last = 0, 0

    def upto(self, sequence: int) -> pa.Table:
        """Take the rows of all sequences below this one that were not yet taken.

        Raises:
            FormatError: Rows that do not follow the order of the sequences.
        """
        import pyarrow as pa

        taken = [self._empty]
        while (rows := self._next()) is not None:
            numbers = rows["sequence"].to_numpy()
            if (np.diff(numbers, prepend=self._last) < 0).any():
                raise FormatError(f"{self._what}: expected the rows in the order of the sequences. Run mutate again.")
            at = int(np.searchsorted(numbers, sequence))
            taken.append(rows.slice(0, at))
            self._last = int(numbers[-1]) if at == numbers.size else self._last
            if at < numbers.size:
                self._rest = rows.slice(at)
                break
        table = pa.concat_tables(taken)
        self.before += table.num_rows
        return table

    def _next(self) -> pa.Table | None:
        import pyarrow as pa

        rows, self._rest = self._rest, None
        if rows is None:
            batch = next(self._batches, None)
            return None if batch is None else pa.Table.from_batches([batch])
        return rows


class StoredOutcomes(Outcomes):
    """Outcomes whose mutants and cells stay in their files: what is computed of them is made part by part.

    Arrays ``[group, sequence, ...]`` are then `StoredRows`. Columns and values ``[cell]`` are read as a whole.
    """

    def parts(self) -> Iterator[Outcomes]:
        """Give these outcomes as those of successive sequences, numbered from 0 in each part."""
        mutants, cells = _BySequence(self.mutants, MUTANTS), _BySequence(self.cells, CELLS)
        size = max(1, _TOGETHER * len(self) // max(self.mutants.num_rows, self.cells.num_rows))
        settings = {**self.settings, "replicates": self.settings.get("replicates", self.most_draws)}
        for start in range(0, len(self), size):
            first, sequences = mutants.before, self.sequences.slice(start, size)
            stop = start + sequences.num_rows
            yield Outcomes(
                _shifted(mutants.upto(stop), {"id": -first, "sequence": -start}),
                _shifted(cells.upto(stop), {"mutant": -first, "sequence": -start}),
                _shifted(sequences, {"original": -first}),
                settings,
                self.diagnostics,
            )

    def arrays(
        self, makers: Mapping[str, Callable[[Outcomes], NDArray[Any]]], method: str | None = None
    ) -> dict[str, AnyRows]:
        """Make arrays ``[group, sequence, ...]`` part by part, all of them in one reading."""
        keys = [key for key in _keys(self.groups) if method in (None, key[0])]
        row, stored, start = {key: at for at, key in enumerate(keys)}, dict[str, StoredRows](), 0
        for part in self.parts():
            there = [(row[key], at) for at, key in enumerate(_keys(part.groups)) if key in row]
            to, of = np.array(there, dtype=np.int64).reshape(-1, 2).T
            for name, make in makers.items():
                values = make(part)
                if name not in stored:
                    stored[name] = StoredRows(len(keys), len(self), values.dtype, values.shape[2:])
                nothing = np.nan if values.dtype.kind == "f" else 0
                every = np.full((len(keys), *values.shape[1:]), nothing, dtype=values.dtype)
                every[to] = values[of]
                stored[name].write(start, every)
            start += len(part)
        return_memory()
        return dict(stored)

    @cached_property
    def _design(self) -> tuple[pd.DataFrame, int]:
        """The groups, and the most draws that one has of a sequence."""
        import pyarrow as pa

        parts, most = [], 0
        for batch in _batches(self.cells, [*GROUP, "draw"]):
            most = max(most, int(batch["draw"].to_numpy().max()) + 1)
            cells = pa.Table.from_batches([batch]).select(GROUP)
            parts.append(cells.take(cells.to_pandas().drop_duplicates().index.to_numpy()))
        return grouped(pa.concat_tables(parts).to_pandas(), int(self.lengths.max()))[0], most

    @property
    def groups(self) -> pd.DataFrame:
        """A row per group, in the order of the names: ``method``, ``operator``, ``order``, ``full``, ``n``."""
        return self._design[0]

    @property
    def most_draws(self) -> int:
        """The most draws that a group has of one sequence."""
        return self._design[1]

    @cached_property
    def methods(self) -> list[str]:
        """Every ranking that was mutated by, controls and bounds included."""
        return self._names("method")

    @cached_property
    def operators(self) -> list[str]:
        """What replaced bases."""
        return self._names("operator")

    def _names(self, column: str) -> list[str]:
        batches = _batches(self.cells, [column])
        return [str(name) for name in dict.fromkeys(n for each in batches for n in each[column].dictionary.to_pylist())]

    @cached_property
    def predicted(self) -> NDArray[Any]:
        """What the model calls the unmutated sequences, ``int64 [sequence]``."""
        return np.concatenate([part.predicted for part in self.parts()])

    @cached_property
    def outputs(self) -> int:
        """How many the model has."""
        return next(self.parts()).outputs

    @cached_property
    def draws(self) -> AnyRows:
        """Draws of every sequence in every group, ``int64 [group, sequence]``; 0 where it takes no part."""
        return self.arrays({"draws": lambda part: np.asarray(part.draws)})["draws"]

    def drops(self, measure: str) -> AnyRows:
        """Say by how much each cell's mutation lowers a measure, ``[group, sequence, draw]``; see `MEASURES`."""
        if measure not in self._drops:
            measures = MEASURES[:1] if self.regression else MEASURES
            self._drops.update(self.arrays({each: partial(_drops, measure=each) for each in {measure, *measures}}))
        return self._drops[measure]

    @cached_property
    def tokens_by_draw(self) -> AnyRows:
        """Count the tokens that mutation changed, as `drops` lays out a drop."""
        return self.arrays({"tokens": lambda part: np.asarray(part.tokens_by_draw)})["tokens"]


def _drops(part: Outcomes, measure: str) -> NDArray[Any]:
    return np.asarray(part.drops(measure))


def _batches(table: StoredTable | pa.Table, columns: list[str]) -> Iterator[pa.RecordBatch]:
    """Read some columns of many rows at a time."""
    if isinstance(table, StoredTable):
        return table.to_batches(_TOGETHER, columns)
    return iter(table.select(columns).to_batches(_TOGETHER))


def _keys(groups: pd.DataFrame) -> list[tuple[Any, ...]]:
    """Name every group, in any part: a full mutation of sequences of other lengths is the same."""
    return [
        (method, operator, order, full, None if full else n)
        for method, operator, order, full, n in groups[GROUP].itertuples(index=False)
    ]


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
