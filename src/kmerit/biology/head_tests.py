"""Tests of heads against features: partial Spearman per window, and a null by rotation along the chromosome.

Three steps. The attention that a head pays and the track of a feature become ranks within each window, freed of local
GC, position and 3-mers by least squares, and scaled to length 1, so that their product is a partial correlation. Of
each head and feature the mean over loci is taken. The null turns the tracks round along the chromosome, whole windows
at a time, with one rotation for all heads and features: so tracks keep their autocorrelation, and heads and features
hang together as they do. A track that comes to another window is freed of what is removed there, as its own was.

Letters in the margin: W windows, L positions, H heads, F features, m covariates, R rotations.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from kmerit.errors import SequenceError, UsageError
from kmerit.io.genome import bare_name
from kmerit.sequences import Bool, Float, Floats, Int8, Int64, N, Sequences, generator
from kmerit.uncertainty import false_discovery, locus_clusters

Progress = Callable[[int, int], None]

ADJUSTED = ("gc", "position", "kmers")
"""What is removed from attention and features."""
GC_WIDTHS = (11, 51)
"""Nucleotides over which local GC is taken."""
FREEDOM = 20
"""Degrees of freedom that a window must have left."""
RATE = 0.05
"""Family-wise error rate of claims."""
CANDIDATES = 0.1
"""False discovery rate of the candidates that one half of the loci hands to the other."""
FEWEST = 20
"""Rotations that a test needs at least."""
_KNOTS = 3
"""Inner knots of the spline."""
_TOGETHER = 128
"""Windows whose covariates are worked out at once."""
_SAMPLED = 48
"""Windows over which the length of freed tracks is averaged."""
_MOST = 1 << 25
"""Numbers of a product at once."""
_EXPLAINED = 1e-8
_ZERO = 1e-9


# --- what is removed --------------------------------------------------------------------------------------------------


def local_gc(bases: Int8, width: int) -> Floats:
    """Return the share of G and C around each position, of the known letters inside the window: ``[W, L]``.

    Example:
        >>> local_gc(np.array([[0, 1, 2, 3]], dtype=np.int8), 3).round(2).tolist()
        [[0.5, 0.67, 0.67, 0.5]]
    """
    strong, known = ((bases == 1) | (bases == 2)), (bases >= 0) & (bases < N)
    sums = [sums_around(each.astype(np.float64), width) for each in (strong, known)]
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.asarray(sums[0] / sums[1])


def sums_around(values: Floats, width: int) -> Floats:
    """Sum values ``[W, L]`` over ``width`` positions around each."""
    sums = np.concatenate([np.zeros((len(values), 1)), np.cumsum(values, axis=1)], axis=1)
    place = np.arange(values.shape[1])
    low = np.maximum(place - (width - 1) // 2, 0)
    high = np.minimum(place + width // 2 + 1, values.shape[1])
    return np.asarray(sums[:, high] - sums[:, low])


def spline(length: int) -> Floats:
    """Return a cubic B-spline basis of the positions, ``[L, column]``; with a constant it spans all cubics."""
    from scipy.interpolate import BSpline

    inner = np.linspace(0, 1, _KNOTS + 2)
    knots = np.concatenate([np.zeros(3), inner, np.ones(3)])
    place = np.linspace(0, 1, length)
    basis = BSpline.design_matrix(place, knots, 3).toarray()
    return np.asarray(basis[:, 1:], dtype=np.float64)


def covariates(bases: Int8, adjust: Collection[str] = ADJUSTED) -> Floats:
    """Lay out what is removed: a constant, ranks of local GC, a spline of the position, the 3-mer around each letter.

    Args:
        bases: ``[W, L]``; windows of one length.
        adjust: Of ``gc``, ``position``, ``kmers``.

    Returns:
        ``[W, L, m]``, columns of the constant first.
    """
    windows, length = bases.shape
    columns = [np.ones((windows, length, 1))]
    if "gc" in adjust:
        gc = np.stack([np.nan_to_num(local_gc(bases, width), nan=0.5) for width in GC_WIDTHS], axis=1)
        columns.append(_ranks(gc, np.ones(gc.shape, dtype=np.bool_)).transpose(0, 2, 1))
    if "position" in adjust:
        columns.append(np.broadcast_to(spline(length), (windows, length, _KNOTS + 3)))
    if "kmers" in adjust:
        known = np.where((bases >= 0) & (bases < N), bases, -64).astype(np.int64)
        padded = np.pad(known, ((0, 0), (1, 1)), constant_values=-64)
        word = padded[:, :-2] * 16 + padded[:, 1:-1] * 4 + padded[:, 2:]
        columns.append((word[:, :, None] == np.arange(64)).astype(np.float64))  # others, as at the ends: none of them
    return np.concatenate(columns, axis=2)


def _basis(design: Floats) -> tuple[Floats, Int64]:
    """Return an orthonormal basis of the columns ``[W, L, m]``, 0 where columns depend on each other, and its rank."""
    scale = np.sqrt((design**2).sum(axis=1, keepdims=True))
    unit = design / np.where(scale > 0, scale, 1.0)
    values, vectors = np.linalg.eigh(unit.transpose(0, 2, 1) @ unit)
    nonzero = values > _ZERO * values[:, -1:]
    factor = np.where(nonzero, 1 / np.sqrt(np.where(nonzero, values, 1.0)), 0.0)
    return unit @ (vectors * factor[:, None, :]), nonzero.sum(axis=1).astype(np.int64)


class Freed(NamedTuple):
    """Ranks freed of covariates.

    Attributes:
        units: ``float32 [W, V, L]``, of length 1; 0 where there is no number, and at missing positions.
        reason: ``int8 [W, V]``: 0 for a number, else one of ``REASONS``.
        freedom: ``[W, V]``, known positions less the rank of what is removed.
    """

    units: NDArray[np.float32]
    reason: Int8
    freedom: Int64

    @property
    def known(self) -> Bool:
        """``bool [W, V]``: whether there is a number."""
        return np.asarray(self.reason == 0)

    def take(self, rows: Bool) -> Freed:
        """Keep some windows."""
        return Freed(self.units[rows], self.reason[rows], self.freedom[rows])

    def columns(self, some: slice) -> Freed:
        """Keep some heads or features."""
        return Freed(self.units[:, some], self.reason[:, some], self.freedom[:, some])


REASONS = ("", "constant", "missing", "explained")
"""Why a window gives no number: one value only, too few positions known, or nothing left beyond what is removed."""


def freed(values: Float, bases: Int8, adjust: Collection[str] = ADJUSTED) -> Freed:
    """Rank values within each window, remove what the covariates explain of the ranks, and scale to length 1.

    Ties share their mean rank. Missing positions take no part: ranks and regression are those of the others.

    Args:
        values: ``[W, V, L]``; NaN where missing.
        bases: ``[W, L]``.
        adjust: What is removed, see `covariates`.

    Returns:
        The residuals; the product of two is the partial Spearman correlation, where the same positions are known.

    Example:
        >>> rng = np.random.default_rng(0)
        >>> bases, x = rng.integers(0, 4, (1, 150)).astype(np.int8), rng.normal(size=(1, 1, 150))
        >>> one, other = freed(x, bases), freed(x**3, bases)
        >>> round(float((one.units * other.units).sum()), 6)
        1.0
    """
    windows, columns, length = values.shape
    units = np.zeros(values.shape, dtype=np.float32)
    reason = np.zeros((windows, columns), dtype=np.int8)
    freedom = np.zeros((windows, columns), dtype=np.int64)
    for start in range(0, windows, _TOGETHER):
        part = slice(start, min(start + _TOGETHER, windows))
        chunk, there = values[part], np.asarray(np.isfinite(values[part]))
        design = covariates(bases[part], adjust)
        whole = np.asarray(there.all(axis=2))
        if whole.any():
            basis, rank = _basis(design)
            ranks = np.where(whole[:, :, None], _ranks(chunk, there), 0.0)
            freedom[part] = length - rank[:, None]
            units[part], reason[part] = _residuals(ranks, basis, freedom[part])
        alike: dict[bytes, list[int]] = {}
        for column in np.flatnonzero(~whole.all(axis=0)).tolist():
            alike.setdefault(there[:, column].tobytes(), []).append(column)
        for some in map(np.array, alike.values()):
            rows = np.flatnonzero(~whole[:, some[0]])
            seen, at = there[rows, some[0]], np.ix_(rows, some)
            basis, rank = _basis(design[rows] * seen[:, :, None])
            ranks = _ranks(chunk[at], np.repeat(seen[:, None], len(some), axis=1))
            left = np.repeat((seen.sum(axis=1) - rank)[:, None], len(some), axis=1)
            of_rows, row_reasons = _residuals(ranks, basis, left)
            to = np.ix_(start + rows, some)
            units[to], reason[to], freedom[to] = of_rows, row_reasons, left
    return Freed(units, reason, freedom)


def _ranks(values: Float, defined: Bool) -> Floats:
    """Rank ``[W, V, L]`` within rows, centred and over their number; 0 where missing."""
    from scipy.stats import rankdata

    ranks = rankdata(np.where(defined, values, np.inf), axis=-1)  # infinite ones come last, and are set to 0
    count = defined.sum(axis=-1, keepdims=True)
    return np.where(defined, (ranks - (count + 1) / 2) / np.maximum(count, 1), 0.0)


def _residuals(ranks: Floats, basis: Floats, freedom: Int64) -> tuple[NDArray[np.float32], Int8]:
    """Project out a basis ``[W, L, m]``, twice for the sake of digits, and scale."""
    before = (ranks**2).sum(axis=2)
    rest = ranks
    for _ in range(2):
        rest = rest - (rest @ basis) @ basis.transpose(0, 2, 1)
    after = (rest**2).sum(axis=2)
    reason = np.select([freedom < FREEDOM, before <= _ZERO, after <= _EXPLAINED * before], [2, 1, 3], 0)
    scale = np.where(reason == 0, 1 / np.sqrt(np.where(reason == 0, after, 1.0)), 0.0)
    return (rest * scale[:, :, None]).astype(np.float32), reason.astype(np.int8)


# --- rotations --------------------------------------------------------------------------------------------------------


class Loci(NamedTuple):
    """How windows lie on chromosomes.

    Attributes:
        cluster: ``int64 [W]``, of overlapping windows, which count as one locus and move together.
        chromosome: ``int64 [cluster]``.
        order: ``int64 [cluster]``, its place along its chromosome, from 0.
        members: Per cluster its windows, along the chromosome.
    """

    cluster: Int64
    chromosome: Int64
    order: Int64
    members: tuple[Int64, ...]

    @property
    def weight(self) -> Floats:
        """``[W]``: each locus counts once."""
        return np.asarray(1.0 / np.bincount(self.cluster)[self.cluster])

    def take(self, rows: Bool) -> Loci:
        """Keep some windows, of whole clusters."""
        number = np.cumsum(rows) - 1
        kept = [i for i, of_chromosome in enumerate(self.members) if rows[of_chromosome[0]]]
        names, chromosome = np.unique(self.chromosome[kept], return_inverse=True)
        order = np.zeros(len(kept), dtype=np.int64)
        for c in range(len(names)):
            of_chromosome = np.flatnonzero(chromosome == c)
            order[of_chromosome[np.argsort(self.order[kept][of_chromosome])]] = np.arange(of_chromosome.size)
        members = tuple(number[self.members[i]] for i in kept)
        return Loci(np.searchsorted(kept, self.cluster[rows]).astype(np.int64), chromosome, order, members)


def loci_of(sequences: Sequences) -> Loci:
    """Lay windows out along their chromosomes.

    Raises:
        SequenceError: A window whose locus is not known, or windows of several lengths.
    """
    loci = [each and each._replace(chrom=bare_name(each.chrom)) for each in sequences.loci or (None,) * len(sequences)]
    if (unknown := next((i for i, each in enumerate(loci) if each is None), None)) is not None:
        raise SequenceError(
            f"{sequences.names[unknown]!r}: expected a locus for every window: the null moves features along the "
            f"chromosome. Give intervals (BED) with --genome, or names such as chr1:100-300."
        )
    if len(set(sequences.lengths.tolist())) > 1:
        low, high = int(sequences.lengths.min()), int(sequences.lengths.max())
        raise SequenceError(f"Expected windows of one length, got {low} to {high} nt. Crop them: crop.")
    cluster = locus_clusters(loci)
    places = [(each.chrom, each.start, each.end, each.strand) for each in loci if each is not None]
    sorted_rows = sorted(range(len(places)), key=places.__getitem__)
    names = {name: i for i, name in enumerate(dict.fromkeys(places[i][0] for i in sorted_rows))}
    members: dict[int, list[int]] = {}
    for row in sorted_rows:
        members.setdefault(int(cluster[row]), []).append(row)
    count = len(members)
    chromosome, order, seen = np.zeros(count, np.int64), np.zeros(count, np.int64), np.zeros(len(names), np.int64)
    for number, windows in members.items():
        chromosome[number] = names[places[windows[0]][0]]
        order[number] = seen[chromosome[number]]
        seen[chromosome[number]] += 1
    return Loci(cluster, chromosome, order, tuple(np.array(members[i], dtype=np.int64) for i in range(count)))


def rotations(loci: Loci, draws: int, seed: int) -> Int64:
    """Draw which window's features each window gets: ``int64 [R, W]``, the first row each its own.

    A rotation shifts the loci of each chromosome by a number of loci, drawn for each chromosome; the same shift is
    never drawn twice, and where there are no more than ``draws`` of them all are taken. Where loci have several windows
    each, the t-th of one gets what the t-th of the other has, counted round.

    Raises:
        UsageError: Fewer than 20 rotations exist.
    """
    sizes = np.bincount(loci.chromosome)
    total = float(np.prod(sizes.astype(np.float64)))
    if total - 1 < FEWEST:
        raise UsageError(
            f"{len(loci.members)} loci have {int(total) - 1} rotations along their chromosomes; expected at least "
            f"{FEWEST} in each half of the loci. Give more windows."
        )
    shifts = _shifts(sizes, draws, seed)
    of_chromosome = [np.flatnonzero(loci.chromosome == c) for c in range(len(sizes))]
    along = [windows[np.argsort(loci.order[windows])] for windows in of_chromosome]
    place = np.zeros(len(loci.cluster), dtype=np.int64)
    sizes_of = np.array([windows.size for windows in loci.members])
    table = np.zeros((len(loci.members), int(sizes_of.max(initial=1))), dtype=np.int64)
    for number, windows in enumerate(loci.members):
        place[windows] = np.arange(windows.size)
        table[number] = np.resize(windows, table.shape[1])
    other = np.zeros((len(shifts), len(loci.members)), dtype=np.int64)
    for c, windows in enumerate(along):
        rotated = (np.arange(windows.size) + shifts[:, c, None]) % windows.size
        other[:, windows] = windows[rotated]
    to = other[:, loci.cluster]
    return np.asarray(table[to, place % sizes_of[to]])


def _shifts(sizes: Int64, draws: int, seed: int) -> Int64:
    """Draw different shifts ``[R, chromosome]``, no shift first."""
    total = int(min(float(np.prod(sizes.astype(np.float64))), 2.0**62))
    if total - 1 <= draws:
        numbers = np.arange(1, total)
    else:
        rng, seen = generator(seed, "rotations", 0, ""), dict[int, None]()
        while len(seen) < draws:
            seen.update(dict.fromkeys(rng.integers(1, total, 2 * draws).tolist()))
        numbers = np.array(list(seen)[:draws], dtype=np.int64)
    digits = []
    for size in sizes.tolist():
        digits.append(numbers % size)
        numbers = numbers // size
    shifts = np.stack(digits, axis=1)
    return np.concatenate([np.zeros((1, len(sizes)), np.int64), shifts])


def movable(tracks: Float, own: Freed, bases: Int8, adjust: Collection[str] = ADJUSTED) -> NDArray[np.float32]:
    """Turn tracks into ranks whose product with the residuals of another window is a correlation: ``[W, F, L]``.

    A track that moves to a window is freed of that window's covariates, of which its product with residuals of that
    window needs nothing but the length that is left. This hardly differs from window to window; it is the root of the
    mean square over some of them. Where a part of the positions is known, a correlation of that part varies more, and
    so does this.

    Args:
        tracks: ``[W, F, L]``.
        own: The same, freed of their own window's covariates.
        bases: ``[W, L]``, of all windows.
        adjust: What is removed.

    Returns:
        0 where a window gives no number.
    """
    ranks = _ranks(tracks, np.isfinite(tracks)) * own.known[:, :, None]
    rows = np.unique(np.linspace(0, len(bases) - 1, _SAMPLED).astype(np.int64))
    bases_of, rank = _basis(covariates(bases[rows], adjust))
    flat = ranks.reshape(-1, ranks.shape[2])
    removed = np.zeros(len(flat))
    for basis in bases_of:
        removed += ((flat @ basis) ** 2).sum(axis=1)
    size = (flat**2).sum(axis=1)
    residual_size = np.maximum(size - removed / len(rows), 1e-3 * size).reshape(ranks.shape[:2])
    whole = bases.shape[1] - rank.mean()
    scale = np.sqrt(np.where(own.known, residual_size * own.freedom / whole, 1.0))
    return np.asarray((ranks / scale[:, :, None]).astype(np.float32))


def rotated_means(
    heads: Freed,
    tracks: NDArray[np.float32],
    known: Bool,
    own: Float,
    partners: Int64,
    weight: Floats,
    progress: Callable[[int], None] | None = None,
) -> Floats:
    """Average over loci the correlation of each head with each feature, under each rotation: ``[R, H, F]``.

    All pairs of windows are multiplied at once where that is less work than those that meet in a rotation.

    Args:
        heads: ``[W, H, L]``.
        tracks: ``[W, F, L]``, see `movable`.
        known: ``bool [W, F]``, whether a window has a number for a feature.
        own: ``[W, H, F]``, the numbers of the windows themselves.
        partners: ``[R, W]``, see `rotations`.
        weight: ``[W]``.
        progress: Called with how many windows are done.

    Returns:
        NaN where no window has a number for the feature.
    """
    e = heads.units
    windows, count, length = e.shape
    width, rounds = tracks.shape[1], len(partners)
    own_tracks = np.nan_to_num(own).astype(np.float32)
    sums = np.zeros((count, rounds, width))
    every = rounds * 2 >= windows
    flat = np.ascontiguousarray(tracks.reshape(windows * width, length).T) if every else None
    step = max(1, _MOST // (count * windows * width)) if every else 1
    for start in range(0, windows, step):
        rows = range(start, min(start + step, windows))
        if flat is not None:
            product = (e[start : rows.stop].reshape(-1, length) @ flat).reshape(len(rows), count, windows, width)
            for row in rows:
                product[row - start][:, row] = own_tracks[row]
                sums += weight[row] * product[row - start][:, partners[:, row]]
        else:
            other = tracks[partners[:, start]].reshape(-1, length)
            products = (e[start] @ other.T).reshape(count, rounds, width)
            products[:, partners[:, start] == start] = own_tracks[start][:, None]
            sums += weight[start] * products
        if progress is not None:
            progress(rows.stop)
    present = (weight[:, None] * heads.known).T  # [H, W]
    of = np.stack([present @ known[each] for each in partners], axis=1)  # [H, R, F]
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.asarray(np.where(of > 0, sums / of, np.nan).transpose(1, 0, 2))


# --- tests ------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, eq=False)
class Tested:
    """Heads against features, tested by rotation.

    Attributes:
        value: ``[H, F]``, the mean partial Spearman correlation over loci.
        excess: ``[H, F]``, the same less its mean under rotation.
        z: ``[H, F]``, the excess in standard deviations under rotation; NaN where nothing is tested.
        p: ``[H, F]``, two-sided, of the rotations.
        p_max: ``[H, F]``, corrected for all heads and features by the largest of them in each rotation.
        q: ``[H, F]``, false discovery rate, for exploring. Its p values are taken among the z of all heads and features
            under rotation, for those of one alone would be too coarse.
        largest: ``[R]``, the largest size of z in each rotation.
        rotations: How many, the observed one not counted.
    """

    value: Floats
    excess: Floats
    z: Floats
    p: Floats
    p_max: Floats
    q: Floats
    largest: Floats
    rotations: int


def judge(means: Floats, among: Bool | None = None) -> Tested:
    """Compare the observed means with those under rotation.

    Each head and feature is standardised by its own mean and deviation over all rotations, the observed one among
    them, so that all are alike under the null. A feature that is the same in every window cannot be tested so.

    Source: westfall1993, section 2.3; benjamini1995 for q.

    Args:
        means: ``[R + 1, H, F]``, the observed ones first.
        among: ``bool [H, F]``, those that are tested; by default all.
    """
    centre, spread = means.mean(axis=0), means.std(axis=0)
    able = np.isfinite(centre) & (spread > 1e-6)
    if among is not None:
        able &= among
    z = (means - centre) / np.where(able, spread, np.nan)
    size = np.abs(z)
    size = np.where(np.isnan(size), -np.inf, size)
    largest = size.reshape(len(size), -1).max(axis=1)
    threshold = size[0] - 1e-6 * (1 + size[0].clip(0))
    p = np.where(able, (size >= threshold).mean(axis=0), np.nan)
    p_max = np.where(able, (largest[:, None, None] >= threshold).mean(axis=0), np.nan)
    pooled = np.sort(size[:, able].ravel())
    below = np.searchsorted(pooled, np.where(able, threshold, 0))
    q = false_discovery(np.where(able, 1 - below / max(pooled.size, 1), np.nan))
    return Tested(means[0], means[0] - centre, z[0], p, p_max, q, largest[1:], len(means) - 1)


@dataclass(frozen=True, eq=False)
class Group:
    """Features that are adjusted alike, and heads adjusted as they are."""

    features: tuple[int, ...]
    heads: Freed
    tracks: Freed
    moved: NDArray[np.float32]


def halves(loci: Loci, seed: int) -> Bool:
    """Say which windows are for discovery, ``bool [W]``: of each chromosome one half, cut in the middle.

    Neighbours are alike, so that halves drawn locus by locus would not be independent.
    """
    sizes = np.bincount(loci.chromosome)
    first = loci.order < sizes[loci.chromosome] / 2
    heads_up = bool(generator(seed, "halves", 0, "").integers(2))
    return np.asarray((first == heads_up)[loci.cluster])


@dataclass(frozen=True, eq=False)
class Result:
    """All that is known of heads and features: whole, by halves, and by window.

    Attributes:
        whole: Over all loci.
        discovery: Over those that name candidates.
        confirmation: Over the others: its ``p_max`` is corrected for the candidates.
        candidate: ``bool [H, F]``.
        found: ``bool [H, F]``, whether a candidate is confirmed, in the same direction.
        rho: ``float32 [W, H, F]``, the number of each window.
        reason: ``int8 [W, F]``, why a window has none, see ``REASONS``.
        loci: ``int64 [F]``, with a number.
    """

    whole: Tested
    discovery: Tested
    confirmation: Tested
    candidate: Bool
    found: Bool
    rho: NDArray[np.float32]
    reason: Int8
    loci: Int64


def associate(
    paid: Float,
    tracks: Float,
    sequences: Sequences,
    *,
    itself: Sequence[Collection[str]] | None = None,
    adjust: Collection[str] = ADJUSTED,
    draws: int = 2000,
    min_loci: int = 1,
    seed: int = 0,
    progress: Progress | None = None,
) -> Result:
    """Test heads against features.

    Args:
        paid: ``[W, H, L]``, the attention each head pays to each nucleotide; NaN where unknown.
        tracks: ``[W, F, L]``; NaN where missing.
        sequences: The windows, of one length, with loci.
        itself: Per feature, which of the covariates it is itself, and is not adjusted for.
        adjust: Of what both are freed: ``gc``, ``position``, ``kmers``; none for plain Spearman correlations.
        draws: Rotations; fewer where no more exist.
        min_loci: With fewer loci that have a number a feature is measured, and not tested.
        seed: Of all draws.
        progress: Called with what is done and what there is to do.

    Raises:
        UsageError: Another word in ``adjust``, arrays that do not fit, too few windows to rotate.
        SequenceError: Windows without loci, or of several lengths.
    """
    return associate_each(
        [paid], tracks, sequences, itself=itself, adjust=adjust, draws=draws, min_loci=min_loci, seed=seed,
        progress=progress,
    )[0]  # fmt: skip


def associate_each(
    models: Sequence[Float],
    tracks: Float,
    sequences: Sequences,
    *,
    itself: Sequence[Collection[str]] | None = None,
    adjust: Collection[str] = ADJUSTED,
    draws: int = 2000,
    min_loci: int = 1,
    seed: int = 0,
    progress: Progress | None = None,
) -> list[Result]:
    """Test the heads of several models against features, with the same rotations; each model is a family of tests.

    Args:
        models: Of each ``[W, H, L]``, see `associate`.
        tracks: As for `associate`, and so are the others.
        sequences: The windows.
        itself: Per feature, what it is itself.
        adjust: Of what both are freed.
        draws: Rotations.
        min_loci: With fewer loci that have a number a feature is measured, and not tested.
        seed: Of all draws.
        progress: Called with what is done and what there is to do.
    """
    if unknown := sorted(set(adjust) - set(ADJUSTED)):
        raise UsageError(f"adjust: expected some of {', '.join(ADJUSTED)}, got {unknown[0]!r}.")
    loci = loci_of(sequences)
    bases, _ = sequences.padded()
    windows, width = len(sequences), tracks.shape[1]
    for title, array in (*(("paid", each) for each in models), ("tracks", tracks)):
        if array.ndim != 3 or array.shape[0] != windows or array.shape[2] != bases.shape[1]:
            raise UsageError(
                f"{title}: expected [{windows} windows, ., {bases.shape[1]} positions], got {list(array.shape)}."
            )
    paid = np.concatenate(models, axis=1)
    own = [frozenset(each) & set(adjust) for each in itself or [()] * width]
    groups = []
    for mine in dict.fromkeys(own):
        columns = tuple(i for i in range(width) if own[i] == mine)
        rest = [name for name in adjust if name not in mine]
        both = freed(np.concatenate([paid, tracks[:, columns]], axis=1), bases, rest)
        heads, some = both.columns(slice(paid.shape[1])), both.columns(slice(paid.shape[1], None))
        groups.append(Group(columns, heads, some, movable(tracks[:, columns], some, bases, rest)))
    rho, reason = _numbers(groups, paid, tracks, bases, own, adjust)
    discovery = halves(loci, seed)
    parts = [np.ones(windows, dtype=np.bool_), discovery, ~discovery]
    total, count = sum(int(rows.sum()) for rows in parts) * len(groups), 0
    means = []
    for rows in parts:
        own_loci = loci if rows.all() else loci.take(rows)
        partners = rotations(own_loci, draws, seed)
        table = np.full((len(partners), paid.shape[1], width), np.nan)
        for group in groups:
            tell = None if progress is None else _further(progress, count, total)
            table[:, :, group.features] = rotated_means(
                group.heads.take(rows), group.moved[rows], group.tracks.known[rows], rho[rows][:, :, group.features],
                partners, own_loci.weight, tell,
            )  # fmt: skip
            count += int(rows.sum())
        means.append(table)
    of = np.array([np.unique(loci.cluster[reason[:, i] == 0]).size for i in range(width)], dtype=np.int64)
    varies = ~np.all((tracks == tracks[:1]) | (np.isnan(tracks) & np.isnan(tracks[:1])), axis=(0, 2))
    tested = varies & (of >= min_loci)
    results, start = [], 0
    for each in models:
        end = start + each.shape[1]
        of_model = [table[:, start:end] for table in means]
        results.append(_result(of_model, rho[:, start:end], reason, of, tested))
        start = end
    return results


def _result(means: Sequence[Floats], rho: NDArray[np.float32], reason: Int8, loci: Int64, tested: Bool) -> Result:
    """Judge one model: all loci, candidates of one half, and the other half among these."""
    among = np.broadcast_to(tested, means[0].shape[1:])
    able = among & np.isfinite(judge(means[1]).z) & np.isfinite(judge(means[2]).z)
    whole, first = judge(means[0], among), judge(means[1], able)
    candidate = able & (np.nan_to_num(first.q, nan=1.0) <= CANDIDATES)
    second = judge(means[2], candidate)
    alike = np.sign(np.nan_to_num(second.z)) == np.sign(np.nan_to_num(first.z))
    confirmed_candidate = candidate & (np.nan_to_num(second.p_max, nan=1.0) <= RATE) & alike
    return Result(whole, first, second, candidate, confirmed_candidate, rho, reason, loci)


def _further(progress: Progress, before: int, total: int) -> Callable[[int], None]:
    return lambda done: progress(before + done, total)


def _numbers(
    groups: Sequence[Group],
    paid: Float,
    tracks: Float,
    bases: Int8,
    own: Sequence[Collection[str]],
    adjust: Collection[str],
) -> tuple[NDArray[np.float32], Int8]:
    """Return each window's own partial correlations, exact also where positions are missing, and the reasons."""
    windows, count = paid.shape[:2]
    rho = np.full((windows, count, tracks.shape[1]), np.nan, dtype=np.float32)
    reason = np.zeros((windows, tracks.shape[1]), dtype=np.int8)
    for group in groups:
        columns = list(group.features)
        product = group.heads.units @ group.tracks.units.transpose(0, 2, 1)
        both = group.heads.known[:, :, None] & group.tracks.known[:, None, :]
        rho[:, :, columns] = np.where(both, product, np.nan)
        reason[:, columns] = group.tracks.reason
    for column in range(tracks.shape[1]):
        missing = np.isnan(tracks[:, column]).any(axis=1)
        rows = np.flatnonzero(missing & (reason[:, column] == 0))
        if rows.size:
            rest = [name for name in adjust if name not in own[column]]
            there = ~np.isnan(tracks[rows, column])
            heads = freed(np.where(there[:, None], paid[rows], np.nan), bases[rows], rest)
            track = freed(tracks[rows, column][:, None], bases[rows], rest)
            product = (heads.units * track.units).sum(axis=2)
            rho[rows, :, column] = np.where(heads.known, product, np.nan)
    return rho, reason


def aurocs(paid: Float, masks: Float) -> NDArray[np.float32]:
    """Return how well raw attention tells the inside of a mask from its outside, per window: ``[W, H, F]``.

    Args:
        paid: ``[W, H, L]``.
        masks: ``[W, F, L]``, 0 or 1; NaN where missing.

    Returns:
        Unadjusted; NaN where a mask is constant.

    Example:
        >>> aurocs(np.array([[[3.0, 2.0, 1.0]]]), np.array([[[1.0, 0.0, 0.0]]])).tolist()
        [[[1.0]]]
    """
    out = np.full((*paid.shape[:2], masks.shape[1]), np.nan, dtype=np.float32)
    covered = np.isfinite(paid)
    whole = _ranks(paid, covered)
    for column in range(masks.shape[1]):
        mask = masks[:, column]
        known = np.isfinite(mask)
        there = known[:, None] & covered
        inside = there & (np.nan_to_num(mask)[:, None] > 0)
        ones, every = inside.sum(axis=2), there.sum(axis=2)
        ranks = whole if known.all() else _ranks(paid, there)
        # Ranks are centred and over their number, so those inside sum to this.
        above = (ranks * inside).sum(axis=2) * every
        with np.errstate(invalid="ignore", divide="ignore"):
            area = 0.5 + above / (ones * (every - ones))
        out[:, :, column] = np.where((ones > 0) & (every > ones), area, np.nan)
    return out


def over_loci(values: Float, loci: Loci) -> Floats:
    """Average per-window numbers ``[W, ...]`` over loci, each locus once; NaN where no window has one."""
    weight = loci.weight.reshape(-1, *[1] * (values.ndim - 1))
    there = np.isfinite(values)
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.asarray((np.where(there, values, 0) * weight).sum(axis=0) / (there * weight).sum(axis=0))
