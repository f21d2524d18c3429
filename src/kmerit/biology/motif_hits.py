"""Families of motifs, where they occur, and copies of them with shuffled columns."""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from importlib import import_module
from importlib.resources import files
from os import PathLike
from pathlib import Path
from types import ModuleType

import numpy as np

from kmerit.errors import MissingExtra, UnknownName, UsageError
from kmerit.io.motifs import Motif, read_motifs
from kmerit.io.tables import read_parquet
from kmerit.sequences import Floats, Int8, Int64, N, Sequences, generator, one_hot

ALIKE = 1e-3
"""Mean Tomtom p value (geometric) from which two groups of motifs are one family."""
MATCH = 1e-4
"""p value of a hit."""
COPIES = 20
"""Column-shuffled copies of each family."""
_FEW = 50
"""With fewer motifs Tomtom's background would be theirs alone; the bundled ones join them."""
_LEAST_P = 1e-10
_TRIES = 50


@dataclass(frozen=True, eq=False)
class Family:
    """Motifs that resemble each other, and are one question.

    Attributes:
        name: That of the member most like all others, with its identifier where two families would share it.
        motifs: The members, that one first.
        places: For each member, where its first column stands in the coordinates of the first member.
        reverse: Whether each member lies on the other strand.
    """

    name: str
    motifs: tuple[Motif, ...]
    places: tuple[int, ...]
    reverse: tuple[bool, ...]

    def __len__(self) -> int:
        return len(self.motifs)

    def __repr__(self) -> str:
        return f"<Family {self.name}: {len(self)} motif{'' if len(self) == 1 else 's'}>"

    @property
    def motif(self) -> Motif:
        """The member that stands for the family."""
        return self.motifs[0]

    @property
    def members(self) -> str:
        """Names of the members, each once."""
        return ", ".join(dict.fromkeys(each.name for each in self.motifs))

    def matrices(self) -> list[Floats]:
        """Return the members' probabilities, ``[position, base]`` each, all on one strand."""
        return [
            each.probabilities[::-1, ::-1] if turned else each.probabilities
            for each, turned in zip(self.motifs, self.reverse, strict=True)
        ]

    def shuffled(self, copy: int, seed: int) -> list[Floats]:
        """Shuffle the columns of all members alike, so that a copy is as much one question as the family is.

        Columns that lie over each other in the family's alignment get one place in the order drawn. An order that
        leaves the first member as it was, on either strand, is drawn again.

        Args:
            copy: Number of the copy.
            seed: Of the order.
        """
        rng = generator(seed, "columns", copy, self.motif.identifier)
        matrices = self.matrices()
        first = min(self.places)
        size = max(place + len(matrix) for place, matrix in zip(self.places, matrices, strict=True)) - first
        for _ in range(_TRIES):
            order = rng.permutation(size)
            copies = [
                matrix[np.argsort(order[place - first : place - first + len(matrix)])]
                for place, matrix in zip(self.places, matrices, strict=True)
            ]
            if not (np.allclose(copies[0], matrices[0]) or np.allclose(copies[0], matrices[0][::-1, ::-1])):
                break
        return copies


@contextmanager
def threads_kept() -> Iterator[None]:
    """Keep torch's number of threads: numba's first parallel loop sets that of OpenMP, which torch takes, to its own.

    Around calls of libraries that use numba. Without it a process went on with as many threads as it has cores.
    """
    torch = sys.modules.get("torch")  # where torch is not loaded, no model is asked
    before = None if torch is None else torch.get_num_threads()
    try:
        yield
    finally:
        if torch is not None:
            torch.set_num_threads(before)


def _memelite(purpose: str) -> ModuleType:
    try:
        return import_module("memelite")
    except ImportError:
        raise MissingExtra("memelite", "motifs", purpose) from None


def similarity(queries: Sequence[Floats], targets: Sequence[Floats]) -> Floats:
    """Compare matrices with Tomtom: the p value of the best alignment, on either strand.

    Source: gupta2007, as memelite computes it.

    Args:
        queries: ``[position, base]`` each.
        targets: Likewise; their columns are the background. Where they are few, bundled motifs join the background.

    Returns:
        ``[query, target]``.

    Raises:
        MissingExtra: memelite is not installed.
    """
    tomtom = _memelite("Comparing motifs").tomtom
    background = [] if len(targets) >= _FEW else [each.probabilities for each in _bundled_motifs()]
    matrices = [np.ascontiguousarray(each.T) for each in queries]
    matrices_to_match = [np.ascontiguousarray(each.T) for each in (*targets, *background)]
    with threads_kept():
        return np.asarray(tomtom(matrices, matrices_to_match)[0][:, : len(targets)], dtype=np.float64)


def families(motifs: Sequence[Motif], alike: float = ALIKE) -> tuple[Family, ...]:
    """Group motifs that Tomtom finds alike: average linkage of the logarithm of p.

    Args:
        motifs: The motifs.
        alike: Mean p value (geometric) at which groups are joined no more.

    Raises:
        MissingExtra: memelite is not installed.
    """
    from scipy.cluster.hierarchy import fcluster, linkage
    from scipy.spatial.distance import squareform

    if len(motifs) < 2:
        return tuple(_family([each]) for each in motifs)
    p = similarity(*[[each.probabilities for each in motifs]] * 2)
    distance = np.log10(np.clip(np.minimum(p, p.T), _LEAST_P, 1) / _LEAST_P)
    np.fill_diagonal(distance, 0)
    tree = linkage(squareform(distance, checks=False), "average")
    groups = fcluster(tree, np.log10(alike / _LEAST_P), "distance")
    rows = [np.flatnonzero(groups == group) for group in dict.fromkeys(groups.tolist())]
    central = [members[np.argsort(distance[np.ix_(members, members)].sum(axis=1), kind="stable")] for members in rows]
    return _named_apart([_family([motifs[i] for i in members]) for members in central])


def _family(motifs: Sequence[Motif]) -> Family:
    """Align members to the first."""
    first = motifs[0].probabilities - 0.25
    placements = [_placed(first, each.probabilities - 0.25) for each in motifs]
    return Family(
        motifs[0].name, tuple(motifs), tuple(at for at, _ in placements), tuple(turned for _, turned in placements)
    )


def _named_apart(families: Sequence[Family]) -> tuple[Family, ...]:
    """Add the identifier to names that several families have."""
    count = Counter(each.name for each in families)
    return tuple(
        replace(each, name=f"{each.name} ({each.motif.identifier})") if count[each.name] > 1 else each
        for each in families
    )


def _placed(first: Floats, other: Floats) -> tuple[int, bool]:
    """Find the offset and the strand at which the columns of two matrices agree best."""
    best = (-np.inf, 0, False)
    for turned in (False, True):
        table = first @ (other[::-1, ::-1] if turned else other).T
        for offset in range(1 - len(other), len(first)):
            score = float(np.trace(table, offset=-offset))
            if score > best[0] + 1e-9:
                best = (score, offset, turned)
    return best[1], best[2]


USUAL_NAMES = {
    "AP-1": ("MA0099.4", "FOS::JUN"),
    "C/EBP": ("MA0102.5", "CEBPA"),
    "CREB/ATF": ("MA0018.5", "CREB1"),
    "EBF": ("MA0154.5", "EBF1"),
    "ETS": ("MA0764.4", "ETV4", "ETS1"),
    "GATA": ("MA0035.5", "GATA1"),
    "HNF1": ("MA0046.3", "HNF1A"),
    "HNF4": ("MA0114.5", "HNF4A"),
    "NFY": ("MA0060.4", "NFYA"),
    "OCT": ("MA0142.1", "Pou5f1::Sox2"),
    "POU": ("MA0627.3", "POU2F3"),
    "RUNX": ("MA0684.3", "RUNX3"),
    "SOX": ("MA0143.5", "SOX2"),
    "SP/KLF": ("MA0079.5", "SP1"),
    "TAL1": ("MA0091.2", "TAL1::TCF3"),
    "TBX": ("MA1566.3", "TBX3"),
}
"""What people call some families, and a member of each: its identifier in JASPAR, and names, for other files."""


def families_named(names: Sequence[str], known: Sequence[Family]) -> dict[int, str]:
    """Find families by their own name, or by that or the identifier of a member: the number and name of each.

    Args:
        names: Of families or members; case matters only where both cases are there. A member that several families have
            names them all. A name that none has may be one of `USUAL_NAMES`.
        known: All families.

    Raises:
        UsageError: No name is given.
        UnknownName: No family or member has a name.

    Example:
        >>> families_named(["CTCF", "sp1"], read_families())
        {17: 'KLF14', 54: 'CTCF'}
    """
    if not names:
        raise UsageError("families: expected names of families or of their members, got none.")
    names_of = [
        ({family.name}, {word for each in family.motifs for word in (each.name, each.identifier)}) for family in known
    ]
    numbers = []
    for name in names:
        asked: list[int] = []
        for word in (name, *USUAL_NAMES.get(name.upper(), ())):
            for change in (str, str.casefold):
                for kind in range(2):
                    asked = asked or [
                        i for i, words in enumerate(names_of) if change(word) in {change(each) for each in words[kind]}
                    ]
        if not asked:
            every = {*(family.name for family in known), *(each.name for family in known for each in family.motifs)}
            similar = {each for each in every if name.casefold() in each.casefold()}
            raise UnknownName("family of motifs", name, similar or every)
        numbers += asked
    return {i: known[i].name for i in sorted(set(numbers))}


def database(path: str | PathLike[str] | None) -> str:
    """Name a database of motifs for people: that which comes with kmerit, or a file.

    Example:
        >>> database(None), database("motifs/my.meme")
        ('JASPAR 2026 CORE vertebrates', 'my.meme')
    """
    return "JASPAR 2026 CORE vertebrates" if path is None else Path(path).name


def bundled_families() -> Path:
    """Name the file of the families that come with kmerit: JASPAR 2026, CORE vertebrates. Source: jaspar2026."""
    return Path(str(files("kmerit") / "assets" / "motifs" / "jaspar2026_vertebrates.parquet"))


def _bundled() -> tuple[list[Motif], Int64]:
    table, _ = read_parquet(bundled_families())
    rows = (np.array(each, dtype=np.float64).reshape(-1, 4) for each in table["probabilities"].to_pylist())
    motifs = [
        Motif(name, identifier, row / row.sum(axis=1, keepdims=True))
        for name, identifier, row in zip(table["name"].to_pylist(), table["identifier"].to_pylist(), rows, strict=True)
    ]
    return motifs, np.asarray(table["family"].to_numpy(), dtype=np.int64)


def _bundled_motifs() -> list[Motif]:
    return _bundled()[0]


def read_families(path: str | Path | None = None) -> tuple[Family, ...]:
    """Read the motifs of a MEME file and group them; by default those that come with kmerit, grouped already.

    Raises:
        FormatError: Not a MEME file of DNA motifs.
        MissingExtra: memelite is not installed.

    Example:
        >>> [family for family in read_families() if family.name == "CTCF"]
        [<Family CTCF: 5 motifs>]
    """
    if path is not None:
        return families(list(read_motifs(path).values()))
    motifs, groups = _bundled()
    return _named_apart([_family([motifs[i] for i in np.flatnonzero(groups == group)]) for group in np.unique(groups)])


@dataclass(frozen=True, eq=False)
class Hits:
    """Where matrices occur; a row per hit.

    Attributes:
        group: ``int64 [hit]``, the number of the family.
        member: ``int64 [hit]``, the number of its matrix within the family.
        sequence: ``int64 [hit]``.
        start: ``int64 [hit]``, first nucleotide, from 0.
        end: ``int64 [hit]``, one past the last.
        reverse: ``bool [hit]``, whether it is on the other strand.
        score: ``[hit]``, log-odds in bits.
        p: ``[hit]``.
    """

    group: Int64
    member: Int64
    sequence: Int64
    start: Int64
    end: Int64
    reverse: Int64
    score: Floats
    p: Floats

    def __len__(self) -> int:
        return len(self.group)

    def merged(self, sequences: int) -> tuple[Int64, Int64, Int64, Int64]:
        """Join overlapping hits of a family: family, sequence, start and end of each stretch.

        Args:
            sequences: How many there are.
        """
        key = self.group * sequences + self.sequence
        order = np.lexsort((self.start, key))
        key, start, end = key[order], self.start[order], self.end[order]
        if not len(key):
            return key, key, start, end
        wide = int(end.max()) + 1
        reach = np.maximum.accumulate(key * wide + end)
        new = np.ones(len(key), dtype=np.bool_)
        new[1:] = key[1:] * wide + start[1:] > reach[:-1]
        first = np.flatnonzero(new)
        ends = np.maximum.reduceat(end, first)
        return key[first] // sequences, key[first] % sequences, start[first], ends


def find_hits(groups: Sequence[Sequence[Floats]], sequences: Sequences, p: float = MATCH) -> Hits:
    """Find matrices on both strands of sequences, each window by its own exact p value.

    Windows over an N are no hits. Source: grant2011 (FIMO), as memelite computes it; all letters equally frequent.

    Args:
        groups: Per family its matrices, ``[position, base]`` each.
        sequences: Where to look.
        p: Of a hit.

    Raises:
        MissingExtra: memelite is not installed.

    Example:
        >>> family = next(each for each in read_families() if each.name == "CTCF")
        >>> best = "".join("ACGT"[i] for i in family.motif.probabilities.argmax(axis=1))
        >>> hits = find_hits([family.matrices()], Sequences.from_strings(["TT" + best + "ATTA"]))
        >>> int(hits.start[hits.p.argmin()]) in (0, 1, 2, 3)
        True
    """
    import pandas as pd

    fimo = _memelite("Finding motifs").fimo
    bases, _ = sequences.padded()
    matrices = [(group, member, each) for group, family in enumerate(groups) for member, each in enumerate(family)]
    with threads_kept():
        frames = fimo(
            {str(i): np.ascontiguousarray(each.T) for i, (_, _, each) in enumerate(matrices)},
            one_hot(bases).astype(np.int8),
            threshold=p,
        )
    counts = np.array([len(frame) for frame in frames], dtype=np.int64)
    owner = np.repeat(np.arange(len(matrices)), counts)
    # Thousands of frames of few rows: joined first, for a column of each frame costs ten times as much.
    table = pd.concat([frame for frame in frames if len(frame)] or frames[:1], ignore_index=True)
    sequence, start, end = (table[name].to_numpy().astype(np.int64) for name in ("sequence_name", "start", "end"))
    score, p_value = (table[name].to_numpy().astype(np.float64) for name in ("score", "p-value"))
    unknown = np.concatenate([np.zeros((len(bases), 1)), np.cumsum((bases < 0) | (bases >= N), axis=1)], axis=1)
    reverse = (table["strand"] == "-").to_numpy()
    whole = unknown[sequence, start] == unknown[sequence, end]
    group, member = (np.array([each[i] for each in matrices], dtype=np.int64)[owner] for i in (0, 1))
    columns = (group, member, sequence, start, end, reverse, score, p_value)
    return Hits(*(each[whole] for each in columns))


def consensus(motif: Motif) -> Int8:
    """Name the most probable letter of each position, ``int8 [position]``; the first of equals."""
    return np.asarray(motif.probabilities.argmax(axis=1), dtype=np.int8)


def write_meme(motifs: Mapping[str, tuple[str, Floats]]) -> str:
    """Write matrices in MEME's format.

    Args:
        motifs: By identifier the name, and probabilities ``[position, base]``.

    Example:
        >>> print(write_meme({"M1": ("ONE", np.array([[0.5, 0.5, 0, 0]]))}).splitlines()[-1])
         0.500000 0.500000 0.000000 0.000000
    """
    return "\n".join(_meme_lines(motifs)) + "\n"


def _meme_lines(motifs: Mapping[str, tuple[str, Floats]]) -> Iterator[str]:
    yield "MEME version 4\n\nALPHABET= ACGT\n\nstrands: + -\n\nBackground letter frequencies"
    yield "A 0.25 C 0.25 G 0.25 T 0.25"
    for identifier, (name, rows) in motifs.items():
        yield f"\nMOTIF {identifier} {name}\nletter-probability matrix: alength= 4 w= {len(rows)}"
        yield from (" " + " ".join(f"{value:.6f}" for value in row) for row in rows)
