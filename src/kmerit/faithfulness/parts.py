"""Finished chunks of a trial on disk, so that a killed one resumes, and their union in the end."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from kmerit.errors import FormatError, RunMismatch
from kmerit.faithfulness.curves import (
    ABOUT,
    CELLS,
    COMPRESSION,
    FORMAT,
    MUTANTS,
    SEQUENCES,
    TABLES,
    read_about,
    write_table,
)
from kmerit.faithfulness.evaluation import Part
from kmerit.store import (
    altered,
    atomic_write,
    json_digest,
    read_proof,
    read_record,
    refuse_other,
    refuse_strangers,
    remove_own,
    write_proof,
    write_record,
)

if TYPE_CHECKING:
    import pyarrow as pa

_OTHER = "Choose a new folder with --out."
_PART = re.compile(rf"settings\.json|\d{{6,}}\.(json|{'|'.join(map(re.escape, TABLES))})")
"""Names of the files of parts."""
ROW_GROUP = 2**16
"""Rows that are written together."""


class PartFolder:
    """The chunks of one trial, each written once; its record comes last and proves that the chunk is done.

    Args:
        folder: Where the outcomes will be; the parts lie in ``parts/`` in it.
        settings: What determines the outcomes; parts of other settings are refused.

    Raises:
        RunMismatch: The folder holds, wholly or in part, the outcomes of another trial, or files that are none of ours.
    """

    def __init__(self, folder: Path, settings: Mapping[str, Any]) -> None:
        self.folder = folder
        self.parts = folder / "parts"
        self.settings = json.loads(json.dumps({"layout": FORMAT, **settings}))
        self.digest = json_digest(self.settings)
        self.started = self.parts / "settings.json"
        about = read_about(folder)
        self.finished = about is not None and not altered(folder, about["files"])
        if about is not None:
            self._check({"layout": about["format"], **about["settings"]})
        elif (found := read_record(self.started)) is not None:
            self._check(found)
        else:
            refuse_strangers(folder, "a trial", lambda entry: entry.name not in TABLES or _is_table(entry))
            for path in self.parts.glob("*.json"):
                if (read_record(path) or {"settings": self.digest}).get("settings") != self.digest:
                    raise RunMismatch(f"{folder} holds parts of a trial with other settings. {_OTHER}")
        if about is not None and self.finished:
            write_record(folder / ABOUT, about)  # where blanks were changed
            self.remove()

    def _check(self, found: Mapping[str, Any]) -> None:
        for keys in (self.settings.keys() - {"chunk"}, {"chunk"}):  # which follows from the others
            then, now = ({key: each.get(key) for key in keys} for each in (found, self.settings))
            refuse_other(self.folder, "a trial with other settings", then, now)

    def done(self, index: int) -> bool:
        """Tell whether a chunk was finished, and is as it was left."""
        record = read_proof(self._path(index, "json"))
        return record is not None and record["settings"] == self.digest

    def write(self, index: int, part: Part) -> None:
        """Keep a chunk."""
        if read_record(self.started) is None:
            write_record(self.started, self.settings)
        tables = {
            self._path(index, name): table
            for name, table in zip(TABLES, (part.mutants, part.cells, part.sequences), strict=True)
        }
        for path, table in tables.items():
            write_table(path, table)
        tallies = {"micro_batch": part.micro_batch, "asked": part.asked}
        about = {"settings": self.digest, "tallies": tallies}
        write_proof(self._path(index, "json"), [path.name for path in tables], about)

    def read(self, count: int) -> Iterator[Part]:
        """Read the chunks back, in order.

        Raises:
            FormatError: One was damaged after it was looked at.
        """
        import pyarrow.parquet as pq

        for index in range(count):
            record = read_proof(self._path(index, "json"))
            if record is None:
                raise FormatError(f"{self._path(index, 'json')}: damaged. Give the same command again.")
            yield Part(*(pq.read_table(self._path(index, name)) for name in TABLES), **record["tallies"])

    def remove(self) -> None:
        """Remove the parts; of other files in their folder none is touched."""
        if self.parts.is_dir():
            remove_own(self.parts, [path.name for path in self.parts.iterdir() if _PART.fullmatch(path.name)])

    def _path(self, index: int, name: str) -> Path:
        return self.parts / f"{index:06d}.{name}"


_MARKS = {MUTANTS: {"sequence", "id"}, CELLS: {"sequence", "mutant"}, SEQUENCES: {"name", "target", "original"}}
"""Columns that show a table to be one of outcomes."""


def _is_table(path: Path) -> bool:
    """Whether a file is a table of some trial: what is left of one that has lost its ``outcomes.json``."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        return _MARKS[path.name] <= set(pq.read_schema(path).names)
    except (OSError, pa.ArrowException):
        return False


@dataclass
class Totals:
    """What is counted over all chunks.

    Attributes:
        evaluations: Distinct mutants, each classified once.
        cells: Classifications, had every cell of the design been classified on its own.
        micro_batches: Mutants by the micro-batch they were classified with.
        intact: Cells whose mutant is the sequence itself.
        asked: Per ranking, classifications that making it took.
        sequences: The third tables of the chunks.
    """

    evaluations: int = 0
    cells: int = 0
    intact: int = 0
    micro_batches: Counter[int] = field(default_factory=Counter)
    asked: Counter[str] = field(default_factory=Counter)
    sequences: list[pa.Table] = field(default_factory=list)

    def add(self, part: Part) -> Part:
        """Count a chunk, and hand it on."""
        self.evaluations += part.mutants.num_rows
        self.cells += part.cells.num_rows
        self.micro_batches[part.micro_batch] += part.mutants.num_rows
        self.asked.update(part.asked)
        self.intact += int(np.isin(part.cells["mutant"].to_numpy(), part.sequences["original"].to_numpy()).sum())
        self.sequences.append(part.sequences)
        return part


def numbered(parts: Iterable[Part]) -> Iterator[Part]:
    """Number the mutants of successive chunks through, from 0."""
    import pyarrow as pa
    import pyarrow.compute as pc

    before = 0
    for part in parts:
        mutants, cells, sequences = (
            table.set_column(table.column_names.index(name), name, pc.add(table[name], pa.scalar(before, pa.int64())))
            for table, name in ((part.mutants, "id"), (part.cells, "mutant"), (part.sequences, "original"))
        )
        before += mutants.num_rows
        yield replace(part, mutants=mutants, cells=cells, sequences=sequences)


def join_tables(parts: Iterable[Part]) -> tuple[pa.Table, pa.Table, Totals]:
    """Put the tables of successive chunks together in memory: mutants, cells, and what was counted."""
    import pyarrow as pa

    totals = Totals()
    kept = [totals.add(part) for part in numbered(parts)]
    return pa.concat_tables(p.mutants for p in kept), pa.concat_tables(p.cells for p in kept), totals


def write_tables(parts: Iterable[Part], folder: Path) -> Totals:
    """Write the mutants and cells of successive chunks to their files, one row group in memory at a time."""
    import pyarrow.parquet as pq

    totals = Totals()
    with atomic_write(folder / MUTANTS) as mutants, atomic_write(folder / CELLS) as cells, ExitStack() as opened:
        writers: list[pq.ParquetWriter] = []
        for tables in row_groups(map(totals.add, numbered(parts))):
            writers = writers or [
                opened.enter_context(pq.ParquetWriter(path, table.schema, compression=COMPRESSION))
                for path, table in zip((mutants, cells), tables, strict=True)
            ]
            for writer, table in zip(writers, tables, strict=True):
                writer.write_table(table)
    return totals


def row_groups(parts: Iterable[Part]) -> Iterator[tuple[pa.Table, pa.Table]]:
    """Gather the tables of chunks, mutants and cells, until either has `ROW_GROUP` rows.

    A writer remembers every row group until the file is closed, so small ones are not written.
    """
    import pyarrow as pa

    held: list[Part] = []

    def together() -> tuple[pa.Table, pa.Table]:
        return pa.concat_tables(part.mutants for part in held), pa.concat_tables(part.cells for part in held)

    for part in parts:
        held.append(part)
        if max(sum(each.mutants.num_rows for each in held), sum(each.cells.num_rows for each in held)) >= ROW_GROUP:
            yield together()
            held.clear()
    if held:
        yield together()
