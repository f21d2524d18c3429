"""Hits and answers about motifs in parts, each made once, by one process or by several that share a folder."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields
from functools import cached_property
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from kmerit.biology.motif_hits import COPIES, Family, Hits, find_hits
from kmerit.biology.motif_use import Change, Use
from kmerit.sequences import Int64, Sequences
from kmerit.store import Share, StoredParts, atomic_write, read_proof

if TYPE_CHECKING:
    import pandas as pd

TOGETHER = 4096
"""Sequences in which hits are looked for together."""
Stretches = tuple[Int64, Int64, Int64, Int64]
"""Family, sequence, start and end of stretches that hits cover."""
_HITS, _COPY, _USE = "hits", "copy", "use"
_STRETCH = ("family", "sequence", "start", "end")


class _Part(NamedTuple):
    """What a part is of: hits of the families or of a copy in a block of sequences, or a family's use."""

    kind: str
    block: int
    number: int


@dataclass(frozen=True, eq=False)
class MotifParts:
    """The work on motifs that grows with sequences, copies and families, in parts.

    Attributes:
        families: All of them.
        sequences: Where their hits are looked for.
        own: Where those of their copies are looked for: the sequences that are explained.
        seed: Of the copies.
        use: Asks the model; None without one.
        stored: Where parts are kept; None keeps none.
        asked: Numbers of the families that the model is asked about, where they are known beforehand.
        done: Called after each part.
    """

    families: Sequence[Family]
    sequences: Sequences
    own: Sequences
    seed: int
    use: Use | None
    stored: StoredParts | None
    asked: tuple[int, ...] | None = None
    done: Callable[[], None] | None = None

    @cached_property
    def parts(self) -> list[_Part]:
        """Every part, in the order of their numbers."""
        asked = range(len(self.families)) if self.asked is None else self.asked
        blocks, own_blocks = (range(-(-len(each) // TOGETHER)) for each in (self.sequences, self.own))
        return [
            *(_Part(_HITS, block, 0) for block in blocks),
            *(_Part(_COPY, block, copy) for block in own_blocks for copy in range(COPIES)),
            *(_Part(_USE, 0, i) for i in asked if self.use is not None),
        ]

    def make(self, share: Share, progress: Callable[[int, int], None] | None = None) -> None:
        """Make the parts of a share that are not done; unless families were named, all of them are asked."""
        indices = [index for index in range(len(self.parts)) if index in share]
        for number, index in enumerate(indices):
            part = self.parts[index]
            if self.stored is None or not self.stored.done(index):
                _ = self._changes(part) if part.kind == _USE else self._table(part)
            if progress is not None:
                progress(number + 1, len(indices))

    def hits(self) -> Hits:
        """Find the hits of the families, by matrix and strand."""
        table = self._tables(_HITS, 0)
        order = np.lexsort([table[name].to_numpy() for name in ("reverse", "member", "group")])
        return Hits(**{each.name: table[each.name].to_numpy()[order] for each in fields(Hits)})

    def copies(self) -> list[Stretches]:
        """Find the stretches that hits of each copy cover, by family and sequence."""
        copies = []
        for copy in range(COPIES):
            table = self._tables(_COPY, copy)
            order = np.lexsort([table["family"].to_numpy()])
            family, sequence, start, end = (table[name].to_numpy()[order] for name in _STRETCH)
            copies.append((family, sequence, start, end))
        return copies

    def changes(self, families: Sequence[int]) -> list[dict[str, Change]]:
        """Ask the model about families, by number."""
        changes = []
        for i in families:
            changes.append(self._changes(_Part(_USE, 0, i)))
            self._count()
        return changes

    def _count(self) -> None:
        if self.done is not None:
            self.done()

    def _tables(self, kind: str, number: int) -> pd.DataFrame:
        """Join the tables of a kind of part, of all blocks."""
        import pandas as pd

        tables = []
        for part in self.parts:
            if (part.kind, part.number) == (kind, number):
                tables.append(self._table(part))
                self._count()
        return pd.concat(tables, ignore_index=True)

    @cached_property
    def _indices(self) -> dict[_Part, int]:
        return {part: index for index, part in enumerate(self.parts)}

    def _table(self, part: _Part) -> pd.DataFrame:
        """Make the table of a part, or read it; sequences are numbered among all."""
        import pandas as pd

        index = self._indices[part]
        if self.stored is not None and self.stored.done(index):
            return pd.read_parquet(self.stored.path(index, "parquet"))
        table = self._found(part)
        if self.stored is not None:
            with atomic_write(self.stored.path(index, "parquet")) as path:
                table.to_parquet(path, index=False, compression="zstd")
            self.stored.prove(index, ["parquet"])
        return table

    def _found(self, part: _Part) -> pd.DataFrame:
        import pandas as pd

        of_families = part.kind == _HITS
        sequences, first = self.sequences if of_families else self.own, part.block * TOGETHER
        block = sequences.take(np.arange(first, min(first + TOGETHER, len(sequences))))
        if of_families:
            hits = find_hits([family.matrices() for family in self.families], block)
            table = pd.DataFrame({each.name: getattr(hits, each.name) for each in fields(Hits)})
        else:
            hits = find_hits([family.shuffled(part.number, self.seed) for family in self.families], block)
            table = pd.DataFrame(dict(zip(_STRETCH, hits.merged(len(block)), strict=True)))
        return table.assign(sequence=table["sequence"] + first)

    def _changes(self, part: _Part) -> dict[str, Change]:
        """Ask about a family, or read what was answered."""
        if self.use is None:
            return {}
        index = self._indices[part]
        if self.stored is not None and self.stored.done(index):
            record = read_proof(self.stored.path(index, "json")) or {}
            return {
                strand: Change(*(np.nan if x is None else x for x in each)) for strand, each in record["use"].items()
            }
        changes = self.use.of(self.families[part.number])
        if self.stored is not None:
            self.stored.prove(index, (), use=_numbers(changes))
        return changes


def _numbers(changes: Mapping[str, Change]) -> dict[str, list[float | None]]:
    """Write changes as JSON knows numbers."""
    return {strand: [None if np.isnan(x) else x for x in each] for strand, each in changes.items()}
