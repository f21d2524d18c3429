"""Motifs from scores alone: seqlets, patterns made of them, and the families that these resemble."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from kmerit.biology.motif_hits import COPIES, Family, families, similarity, threads_kept
from kmerit.biology.motif_tests import each_row
from kmerit.errors import MissingExtra
from kmerit.io.motifs import Motif
from kmerit.results import Attribution
from kmerit.sequences import Float, Floats, Int8, N, Sequences, decode, generator, one_hot

if TYPE_CHECKING:
    import pandas as pd

SHIFTED = "shifted"
"""The noise floor that needs no other model: scores shifted along their sequences."""
OWN = "own"
PER_SEQUENCE = 3
"""Seqlets that each method gives for a sequence, those of the highest scores."""
FLANK = 3
"""Nucleotides added to either end of a seqlet."""
ALIKE = 1e-2
"""Mean Tomtom p value up to which seqlets are one pattern: they are short, and their matrices are single letters."""
FEWEST = 10
"""Seqlets of a pattern."""
MOST = 500
"""Seqlets that are grouped, those of the highest scores."""
_LEVEL = 0.05
_MARGIN = 0.1
"""Columns at the ends of a pattern that fewer than this share of its seqlets cover are cut off."""
_WINDOW = 21
"""Nucleotides over which TF-MoDISco adds contributions to find its seqlets; its default."""
_TRIM = 0.3
"""Columns at the ends of TF-MoDISco's patterns that contribute less than this share of the most are cut off."""


class Seqlet(NamedTuple):
    """A stretch of high scores: the number of its sequence, its first nucleotide, one past the last, its score."""

    sequence: int
    start: int
    end: int
    score: float


class Pattern(NamedTuple):
    """Seqlets of the same letters: how many, and probabilities ``[position, base]``."""

    seqlets: int
    probabilities: Floats


def find_seqlets(scores: Float, lengths: Sequence[int]) -> list[Seqlet]:
    """Find stretches of high scores, at most `PER_SEQUENCE` in a sequence, by tangermeme's recursive seqlets.

    Args:
        scores: ``[sequence, position]``, their positive part; NaN counts as 0.
        lengths: Of the sequences.

    Raises:
        MissingExtra: tangermeme is not installed.
    """
    try:
        from tangermeme.seqlet import recursive_seqlets
    except ImportError:
        raise MissingExtra("tangermeme", "motifs", "Finding seqlets") from None
    values = np.nan_to_num(np.maximum(scores, 0)).astype(np.float64)
    if not values.any():
        return []
    with threads_kept():
        table = recursive_seqlets(values)
    columns = (table[name].to_numpy() for name in ("example_idx", "start", "end", "attribution"))
    every = sorted((Seqlet(int(i), int(s), int(e), float(a)) for i, s, e, a in zip(*columns, strict=True)), key=_first)
    count: dict[int, int] = {}
    seqlets = []
    for seqlet in every:
        if seqlet.end <= lengths[seqlet.sequence] and count.get(seqlet.sequence, 0) < PER_SEQUENCE:
            count[seqlet.sequence] = count.get(seqlet.sequence, 0) + 1
            seqlets.append(seqlet)
    return seqlets[:MOST]


def _first(seqlet: Seqlet) -> tuple[float, int, int]:
    return -seqlet.score, seqlet.sequence, seqlet.start


def patterns(seqlets: Sequence[Seqlet], sequences: Sequences) -> list[Pattern]:
    """Group seqlets by their letters, with `FLANK` nucleotides around each, and count letters in each group.

    Returns:
        The largest group first; groups of fewer than `FEWEST` seqlets are left out.
    """
    parts = []
    for number, seqlet in enumerate(seqlets):
        start = int(sequences.offsets[seqlet.sequence])
        first = start + max(seqlet.start - FLANK, 0)
        last = min(start + seqlet.end + FLANK, int(sequences.offsets[seqlet.sequence + 1]))
        bases = sequences.bases[first:last]
        if not (bases == N).any():
            parts.append(Motif(str(number), str(number), one_hot(bases[None])[0].T.astype(np.float64)))
    groups = families(parts, ALIKE) if len(parts) > 1 else ()
    patterns_by_size = [Pattern(len(group), _counted(group)) for group in groups if len(group) >= FEWEST]
    return sorted(patterns_by_size, key=lambda pattern: -pattern.seqlets)


def _counted(group: Family) -> Floats:
    matrices = group.matrices()
    first = min(group.places)
    width = max(place + len(matrix) for place, matrix in zip(group.places, matrices, strict=True)) - first
    counts = np.zeros((width, 4))
    for place, matrix in zip(group.places, matrices, strict=True):
        counts[place - first : place - first + len(matrix)] += matrix
    covered = np.flatnonzero(counts.sum(axis=1) >= _MARGIN * len(group))
    counts = counts[covered[0] : covered[-1] + 1]
    return np.asarray(counts / counts.sum(axis=1, keepdims=True))


class Match(NamedTuple):
    """The family that a pattern resembles most: its number, Tomtom's p, and p among shuffled copies of the pattern."""

    family: int
    p: float
    calibrated: float


def match(patterns: Sequence[Pattern], families: Sequence[Family], seed: int) -> list[Match]:
    """Compare patterns with families, and with what column-shuffled copies of the same patterns resemble.

    A flat pattern resembles something in any order of its columns; Tomtom's own p value does not see that.

    Args:
        patterns: What is compared.
        families: Families.
        seed: Of the orders.
    """
    if not patterns:
        return []
    targets = [matrix for family in families for matrix in family.matrices()]
    owner = np.repeat(np.arange(len(families)), [len(family) for family in families])
    queries = []
    for number, pattern in enumerate(patterns):
        rng = generator(seed, "pattern", number, "")
        copies = (rng.permutation(pattern.probabilities, axis=0) for _ in range(COPIES))
        queries += [pattern.probabilities, *copies]
    p = similarity(queries, targets).reshape(len(patterns), COPIES + 1, -1)
    best = p.min(axis=2)
    own = best[:, 0]
    calibrated = (1 + (best[:, 1:] <= own[:, None]).sum(axis=1)) / (COPIES + 1)
    nearest = owner[p[:, 0].argmin(axis=1)]
    return [Match(int(f), float(q), float(c)) for f, q, c in zip(nearest, own, calibrated, strict=True)]


def modisco_patterns(substitutions: Float, sequences: Sequences) -> list[Pattern]:
    """Find patterns with TF-MoDISco, from the effects of substitutions.

    Its patterns have wide flanks that contribute nothing. They are cut off, as in its own reports: Tomtom takes them
    for part of the motif.

    Args:
        substitutions: ``[sequence, position, base]``, by how much each base changes the answer.
        sequences: Of one length, without N.

    Returns:
        Patterns of positive contributions; none for sequences that it cannot read, nor where contributions have one
        sign everywhere (as those of a model that learned nothing): it draws its thresholds from both.

    Raises:
        MissingExtra: modisco-lite is not installed.
    """
    lengths = sequences.lengths
    if (lengths != lengths[0]).any() or (sequences.bases == N).any():
        return []
    try:
        from modiscolite.tfmodisco import TFMoDISco
    except ImportError:
        raise MissingExtra("modisco-lite", "modisco", "TF-MoDISco") from None
    bases, _ = sequences.padded()
    effects = substitutions[:, : lengths[0]].astype(np.float64)
    hypothetical = effects - effects.mean(axis=2, keepdims=True)
    encoded = one_hot(bases).transpose(0, 2, 1).astype(np.float64)
    upto = np.pad(np.cumsum((encoded * hypothetical).sum(axis=2), axis=1), ((0, 0), (1, 0)))
    windows = upto[:, _WINDOW:] - upto[:, :-_WINDOW]
    if not ((windows > 0).any() and (windows < 0).any()):
        return []
    with threads_kept():
        positive, _ = TFMoDISco(encoded, hypothetical, sliding_window_size=_WINDOW)
    out = []
    for pattern in positive or []:
        size = np.abs(np.asarray(pattern.contrib_scores)).sum(axis=1)
        ends = np.flatnonzero(size >= _TRIM * size.max())
        rows = np.asarray(pattern.sequence, dtype=np.float64)[ends[0] : ends[-1] + 1]
        rows = rows[rows.sum(axis=1) > 0]
        out.append(Pattern(len(pattern.seqlets), rows / rows.sum(axis=1, keepdims=True)))
    return out


def shifted(scores: Float, lengths: Sequence[int], seed: int) -> Float:
    """Shift scores ``[sequence, position, ...]`` of each sequence along it by a number drawn, the end coming first."""
    out = np.array(scores)
    for i, length in enumerate(lengths):
        lag = int(generator(seed, "shift", i, "").integers(1, max(length, 2)))
        out[i, :length] = np.roll(out[i, :length], lag, axis=0)
    return out


def discover(
    attributions: Mapping[str, Attribution],
    sequences: Sequences,
    known: Sequence[Family],
    *,
    floors: Mapping[str, Mapping[str, Attribution]] | None = None,
    modisco: bool = False,
    seed: int = 0,
    progress: Callable[[int, int], None] | None = None,
) -> pd.DataFrame:
    """Find patterns in the scores of every method, and in noise floors, and the family that each resembles.

    Args:
        attributions: Scores by method; of signed ones the positive part.
        sequences: Those explained.
        known: Families to compare with.
        floors: Scores of the same methods by models that know no motif, by name: ``random weights``,
            ``shuffled labels``. Shifted scores are always one.
        modisco: Whether methods that know substitutions go through TF-MoDISco as well.
        seed: Of shifts and orders.
        progress: Called with steps done and all.

    Returns:
        A row per pattern: ``method``, ``source`` (``own`` or the floor), ``finder`` (``seqlets`` or ``modisco``),
        ``pattern``, ``seqlets``, ``consensus``, ``probabilities``, ``family`` it resembles most, ``p``, ``calibrated``,
        ``matched``, and ``beyond``: matched, with more seqlets than any floor has for this family.
    """
    import pandas as pd

    every = [(OWN, attributions), *(floors or {}).items()]
    jobs = [(method, source, table[method]) for method in attributions for source, table in every if method in table]
    rows = []
    for number, (method, source, each) in enumerate(jobs):
        for name, finder, patterns in _found(each, source, sequences, modisco, seed):
            for i, (pattern, nearest) in enumerate(zip(patterns, match(patterns, known, seed), strict=True)):
                letters: Int8 = pattern.probabilities.argmax(axis=1).astype(np.int8)
                row = {"method": method, "source": name, "finder": finder, "pattern": i, "seqlets": pattern.seqlets}
                row |= {"consensus": decode(letters), "probabilities": pattern.probabilities.ravel().tolist()}
                rows.append(row | nearest._asdict() | {"matched": nearest.calibrated <= _LEVEL})
        if progress:
            progress(number + 1, len(jobs))
    columns = ["method", "source", "finder", "pattern", "seqlets", "consensus", "probabilities"]
    table = pd.DataFrame(rows, columns=[*columns, *Match._fields, "matched"])
    table["matched"] = table["matched"].astype(np.bool_)
    own: dict[tuple[str, str, int], int] = {}
    floor: dict[tuple[str, str, int], int] = {}
    grouped = table[table["matched"]].groupby(["method", "finder", "source", "family"])
    support = grouped[["seqlets"]].sum().reset_index()
    for row in each_row(support):
        of, key = (own if row.source == OWN else floor), (row.method, row.finder, row.family)
        of[key] = max(of.get(key, 0), int(row.seqlets))
    beyond = [
        bool(
            row.matched
            and row.source == OWN
            and own[row.method, row.finder, row.family] > floor.get((row.method, row.finder, row.family), 0)
        )
        for row in each_row(table)
    ]
    return table.assign(beyond=np.array(beyond, dtype=np.bool_))


def _found(
    attribution: Attribution, source: str, sequences: Sequences, modisco: bool, seed: int
) -> Iterator[tuple[str, str, list[Pattern]]]:
    lengths = sequences.lengths.tolist()
    longest = max(lengths)
    scores = attribution.scores[:, :longest]
    yield source, "seqlets", patterns(find_seqlets(scores, lengths), sequences)
    if source == OWN:
        yield SHIFTED, "seqlets", patterns(find_seqlets(shifted(scores, lengths, seed), lengths), sequences)
    if modisco and attribution.substitutions is not None:
        effects = attribution.substitutions[:, :longest]
        yield source, "modisco", modisco_patterns(effects, sequences)
        if source == OWN:
            yield SHIFTED, "modisco", modisco_patterns(shifted(effects, lengths, seed), sequences)
