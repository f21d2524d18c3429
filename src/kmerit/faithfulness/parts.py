"""Finished chunks of a trial on disk, so that a killed one resumes, and their union in the end."""

from __future__ import annotations

import json
import shutil
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from kmerit.data.files import atomic_write
from kmerit.errors import RunMismatch, UsageError
from kmerit.faithfulness.curves import CELLS, MUTANTS, read_about
from kmerit.faithfulness.evaluation import Part

if TYPE_CHECKING:
    import pyarrow as pa

COMPRESSION = "zstd"
ROW_GROUP = 2**16
"""Rows that are written together."""


class PartFolder:
    """The chunks of one trial, each written once; its JSON file comes last and says that the chunk is done.

    Args:
        folder: Where the curve will be; the parts lie in ``parts/`` in it.
        settings: What determines the outcomes; parts of other settings are refused.

    Raises:
        UsageError: It is a file.
        RunMismatch: The folder holds, wholly or in part, the curve of another trial.
    """

    def __init__(self, folder: Path, settings: Mapping[str, Any]) -> None:
        if folder.exists() and not folder.is_dir():
            raise UsageError(f"{folder} is a file; a curve is written to a folder. Name another.")
        self.folder = folder
        self.parts = folder / "parts"
        self.settings = settings
        self.started = self.parts / "settings.json"
        about = read_about(folder)
        self.finished = about is not None
        if about is not None:
            self._check(about["settings"], settings)
            self.remove()
        elif self.started.exists():
            self._check(json.loads(self.started.read_text(encoding="utf-8")), settings)

    def _check(self, found: Mapping[str, Any], settings: Mapping[str, Any]) -> None:
        wanted = json.loads(json.dumps(settings))
        if differ := [key for key in wanted if found.get(key) != wanted[key]]:
            raise RunMismatch(
                f"{self.folder} holds a trial with other settings ({', '.join(differ)} differ). "
                f"Choose another folder, or delete this one."
            )

    def done(self, index: int) -> bool:
        """Tell whether a chunk was finished."""
        return self._path(index, "json").exists()

    def write(self, index: int, part: Part) -> None:
        """Keep a chunk."""
        import pyarrow.parquet as pq

        if not self.started.exists():
            with atomic_write(self.started) as temporary:
                temporary.write_text(json.dumps(self.settings), encoding="utf-8")
        for name, table in ((MUTANTS, part.mutants), (CELLS, part.cells)):
            with atomic_write(self._path(index, name)) as temporary:
                pq.write_table(table, temporary)
        tallies = {"tied": part.tied, "nonfinite": part.nonfinite, "micro_batch": part.micro_batch, "asked": part.asked}
        with atomic_write(self._path(index, "json")) as temporary:
            temporary.write_text(json.dumps(tallies), encoding="utf-8")

    def read(self, count: int) -> Iterator[Part]:
        """Read the chunks back, in order."""
        import pyarrow.parquet as pq

        for index in range(count):
            tallies = json.loads(self._path(index, "json").read_text(encoding="utf-8"))
            yield Part(*(pq.read_table(self._path(index, name)) for name in (MUTANTS, CELLS)), **tallies)

    def remove(self) -> None:
        """Delete the parts."""
        shutil.rmtree(self.parts, ignore_errors=True)

    def _path(self, index: int, name: str) -> Path:
        return self.parts / f"{index:06d}.{name}"


@dataclass
class Totals:
    """What is counted over all chunks.

    Attributes:
        evaluations: Distinct mutants, each classified once.
        cells: Classifications, had every cell of the design been classified on its own.
        tied: Per method, positions whose score another position has too.
        nonfinite: Per method, positions without a finite score.
        micro_batches: Mutants by the micro-batch they were classified with.
        intact: Cells whose mutant is the sequence itself.
        asked: Per ranking, classifications that making it took.
    """

    evaluations: int = 0
    cells: int = 0
    intact: int = 0
    tied: Counter[str] = field(default_factory=Counter)
    nonfinite: Counter[str] = field(default_factory=Counter)
    micro_batches: Counter[int] = field(default_factory=Counter)
    asked: Counter[str] = field(default_factory=Counter)

    def add(self, part: Part) -> Part:
        """Count a chunk, and hand it on."""
        self.evaluations += part.mutants.num_rows
        self.cells += part.cells.num_rows
        self.tied.update(part.tied)
        self.nonfinite.update(part.nonfinite)
        self.micro_batches[part.micro_batch] += part.mutants.num_rows
        self.asked.update(part.asked)
        originals = part.mutants["id"].to_numpy()[np.unique(part.mutants["sequence"].to_numpy(), return_index=True)[1]]
        self.intact += int(np.isin(part.cells["mutant"].to_numpy(), originals).sum())
        return part


def numbered(parts: Iterable[Part]) -> Iterator[Part]:
    """Number the mutants of successive chunks through, from 0."""
    import pyarrow as pa
    import pyarrow.compute as pc

    before = 0
    for part in parts:
        mutants, cells = (
            table.set_column(at, name, pc.add(table[name], pa.scalar(before, pa.int64())))
            for table, at, name in ((part.mutants, 0, "id"), (part.cells, part.cells.num_columns - 1, "mutant"))
        )
        before += mutants.num_rows
        yield replace(part, mutants=mutants, cells=cells)


def join_tables(parts: Iterable[Part]) -> tuple[pa.Table, pa.Table, Totals]:
    """Put the tables of successive chunks together in memory: mutants, cells, and what was counted."""
    import pyarrow as pa

    totals = Totals()
    kept = [totals.add(part) for part in numbered(parts)]
    return pa.concat_tables(p.mutants for p in kept), pa.concat_tables(p.cells for p in kept), totals


def write_tables(parts: Iterable[Part], folder: Path) -> Totals:
    """Write the tables of successive chunks to the curve's two files, one row group in memory at a time."""
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
