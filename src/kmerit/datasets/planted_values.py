"""Sequences whose values have known causes: motifs that activate and motifs that repress."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from kmerit.errors import UsageError
from kmerit.formats import Shown
from kmerit.sequences import Floats, Int8, Int64, Sequences, decode, encode, generator, reverse_complement
from kmerit.store import write_csv

if TYPE_CHECKING:
    import pandas as pd

MOTIFS: Mapping[str, float] = {
    "GGGGCGGGGC": 1.0,
    "TGACGTCATC": 1.5,
    "CCGGAAGTGA": 1.2,
    "ATTTGCATAA": 0.8,
    "TTCAGCACCA": -1.2,
    "CAGGTGTTAA": -0.8,
}
"""Consensus and effect of each, in the unit of the value before softplus; a repressor's is negative."""
BIN = 8
"""Nucleotides of a bin."""
REACH = 64.0
"""Nucleotides over which an effect falls to 1/e."""


@dataclass(frozen=True, eq=False)
class Grammar:
    """What makes the value: softplus of the effects of all motifs on either strand, which fade with distance.

    In bin b: ``log(1 + exp(sum of effect x exp(-distance / reach)))``, with the distance of the motif's middle from the
    bin's. The value of a sequence is the mean over its bins.

    Attributes:
        motifs: Effect by consensus.
        reach: Nucleotides over which an effect falls to 1/e.
        width: Nucleotides of a bin.

    Example:
        >>> rows = encode("ACGT" * 8 + "TGACGTCATC" + "ACGT" * 8)
        >>> Grammar().bins(rows).round(2).tolist()[:4]
        [1.24, 1.32, 1.43, 1.54]
    """

    motifs: Mapping[str, float] = field(default_factory=lambda: dict(MOTIFS))
    reach: float = REACH
    width: int = BIN

    def instances(self, bases: Int8) -> list[tuple[int, int, str, str]]:
        """Find all motifs: ``(start, end, strand, consensus)``, by their places; one that is its own complement once.

        Example:
            >>> Grammar().instances(encode("AATGACGTCATCAA"))
            [(2, 12, '+', 'TGACGTCATC')]
        """
        places = []
        for consensus in self.motifs:
            for strand, letters in {"+": consensus, "-": _turned(consensus)}.items():
                if strand == "+" or letters != consensus:
                    windows = np.lib.stride_tricks.sliding_window_view(bases, len(letters))
                    starts = np.flatnonzero((windows == encode(letters)).all(axis=1)).tolist()
                    places += [(start, start + len(letters), strand, consensus) for start in starts]
        return sorted(places)

    def bins(self, bases: Int8) -> Floats:
        """Compute the value of each bin, ``[bin]``.

        Example:
            >>> Grammar().bins(encode("A" * 16)).round(2).tolist()
            [0.69, 0.69]
        """
        middles = (np.arange(len(bases) // self.width) + 0.5) * self.width
        total = np.zeros(middles.size)
        for start, end, _, consensus in self.instances(bases):
            total += self.motifs[consensus] * np.exp(-np.abs(middles - (start + end) / 2) / self.reach)
        return np.logaddexp(0.0, total)


@dataclass(frozen=True, eq=False)
class PlantedValues(Shown):
    """Sequences with values, and what each value comes from.

    Attributes:
        sequences: Labelled with their value, the mean over bins.
        bins: ``[sequence, bin]``, the value of each bin.
        instances: A row per motif: ``name``, ``start``, ``end`` (half-open), ``strand``, ``consensus``, ``effect`` (of
            the grammar) and ``change``, by how much the value falls if the motif is taken out, exact.
    """

    sequences: Sequences
    bins: Floats
    instances: pd.DataFrame

    def to_frame(self) -> pd.DataFrame:
        """Return the motifs, a row each.

        Example:
            >>> plant_values(2, length=64).to_frame().columns[:3].tolist()
            ['name', 'start', 'end']
        """
        return self.instances

    def __repr__(self) -> str:
        return f"<PlantedValues: {len(self.sequences)} sequences, {len(self.instances)} motifs>"

    def save(self, folder: str | Path) -> Path:
        """Write ``sequences.csv`` (with its value), ``bins.csv`` (with its bins) and ``instances.csv``.

        Example:
            >>> import tempfile
            >>> sorted(path.name for path in plant_values(2, length=64).save(tempfile.mkdtemp()).iterdir())
            ['bins.csv', 'instances.csv', 'sequences.csv']
        """
        import pandas as pd

        folder = Path(folder)
        folder.mkdir(parents=True, exist_ok=True)
        rows = {"name": self.sequences.names, "sequence": list(self.sequences), "value": self.sequences.labels}
        write_csv(folder / "sequences.csv", pd.DataFrame(rows))
        bins = pd.DataFrame(self.bins, columns=[f"bin_{i}" for i in range(self.bins.shape[1])])
        bins.insert(0, "name", self.sequences.names)
        bins.insert(1, "sequence", list(self.sequences))
        write_csv(folder / "bins.csv", bins)
        write_csv(folder / "instances.csv", self.instances)
        return folder


def plant_values(
    count: int, *, length: int = 1024, motifs: int = 6, grammar: Grammar | None = None, seed: int = 0
) -> PlantedValues:
    """Generate sequences with values of a known origin: activators and repressors in random letters.

    Args:
        count: Sequences.
        length: Nucleotides of each, a multiple of the width of a bin.
        motifs: Motifs of a sequence, on average (Poisson); they do not overlap. Those that occur by chance count too.
        grammar: What makes the value; `Grammar` where absent.
        seed: Of all draws.

    Returns:
        The sequences, their bins and their motifs.

    Raises:
        UsageError: No sequence, or a length that is no multiple of the width or too short.

    Example:
        >>> planted = plant_values(4, length=256, seed=1)
        >>> planted.bins.shape, bool(abs(planted.bins.mean(1) - planted.sequences.labels).max() < 1e-12)
        ((4, 32), True)
    """
    import pandas as pd

    grammar = grammar or Grammar()
    longest = max(map(len, grammar.motifs))
    if count < 1 or motifs < 0 or length % grammar.width or length < 2 * longest:
        raise UsageError(
            f"Expected sequences, no negative number of motifs, and a length that is a multiple of {grammar.width} and "
            f"at least {2 * longest}; got count={count}, motifs={motifs}, length={length}."
        )
    names, rows, bins, instances = [], [], [], []
    for i in range(count):
        rng, name = generator(seed, "planted values", i, ""), f"planted_{i}"
        bases = np.asarray(rng.integers(0, 4, length), dtype=np.int8)
        for place in _places(rng, int(rng.poisson(motifs)), length, longest).tolist():
            consensus = list(grammar.motifs)[int(rng.integers(len(grammar.motifs)))]
            letters = consensus if rng.random() < 0.5 else _turned(consensus)
            bases[place : place + len(letters)] = encode(letters)
        values = grammar.bins(bases)
        for start, end, strand, consensus in grammar.instances(bases):
            without = _without(grammar, bases, start, end)
            change = float(values.mean() - without.mean())
            instances.append((name, start, end, strand, consensus, grammar.motifs[consensus], change))
        names.append(name)
        rows.append(bases)
        bins.append(values)
    table = pd.DataFrame(instances, columns=["name", "start", "end", "strand", "consensus", "effect", "change"])
    labels = np.array([each.mean() for each in bins])
    offsets = np.arange(count + 1, dtype=np.int64) * length
    return PlantedValues(Sequences(tuple(names), np.concatenate(rows), offsets, labels), np.stack(bins), table)


def _turned(consensus: str) -> str:
    return decode(reverse_complement(encode(consensus)))


def _places(rng: np.random.Generator, count: int, length: int, width: int) -> Int64:
    """Draw places for windows that do not overlap, as many as there is room for at most."""
    slots = rng.permutation(length // width)[:count]
    return np.asarray(slots * width, dtype=np.int64)


def _without(grammar: Grammar, bases: Int8, start: int, end: int) -> Floats:
    """Compute the bins without one motif: its middle letters become ones that make no motif."""
    mutant = bases.copy()
    middle = (start + end) // 2
    mutant[middle - 1 : middle + 1] = (mutant[middle - 1 : middle + 1] + 2) % 4
    return grammar.bins(mutant)
