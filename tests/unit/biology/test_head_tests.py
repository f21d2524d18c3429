"""Heads against features: the numbers by independent formulas, the null by rotations written out, and its errors."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.interpolate import BSpline
from scipy.signal import lfilter
from scipy.stats import rankdata, spearmanr
from sklearn.metrics import roc_auc_score

from kmerit.biology.head_tests import (
    ADJUSTED,
    Freed,
    associate,
    aurocs,
    freed,
    halves,
    judge,
    loci_of,
    movable,
    rotated_means,
    rotations,
)
from kmerit.errors import SequenceError, UsageError
from kmerit.sequences import Floats, Int8, Locus, Sequences, decode

LENGTH = 120


def windows(count: int, seed: int = 0, loci: list[Locus] | None = None, length: int = LENGTH) -> Sequences:
    bases = np.random.default_rng(seed).integers(0, 4, (count, length)).astype(np.int8)
    places = loci or [Locus("chr1", 1000 * i, 1000 * i + length) for i in range(count)]
    return Sequences.from_strings([decode(row) for row in bases], loci=places)


def oracle(x: Floats, y: Floats, bases: Int8, adjust: tuple[str, ...]) -> float:
    """Partial Spearman by least squares, column by column; positions where either is missing take no part."""
    size = bases.size
    text = "".join("ACGT"[b] for b in bases)
    columns = [np.ones(size)]
    if "gc" in adjust:
        for width in (11, 51):
            half = width // 2
            parts = [text[max(0, i - half) : i + half + 1] for i in range(size)]
            columns.append(rankdata([sum(c in "GC" for c in part) / len(part) for part in parts]))
    if "position" in adjust:
        knots = [0, 0, 0, 0, 0.25, 0.5, 0.75, 1, 1, 1, 1]
        for i in range(7):
            values = BSpline(knots, np.eye(7)[i], 3)(np.linspace(0, 1, size))
            columns.append(values)
    if "kmers" in adjust:
        words = ["end"] + [text[i - 1 : i + 2] for i in range(1, size - 1)] + ["end"]
        columns += [np.array([word == each for word in words], dtype=float) for each in sorted(set(words))]
    there = np.isfinite(x) & np.isfinite(y)
    design = np.column_stack(columns)[there]
    ranks = np.column_stack([rankdata(x[there]), rankdata(y[there])])
    one, other = (ranks - design @ np.linalg.lstsq(design, ranks, rcond=1e-10)[0]).T
    return float(np.corrcoef(one, other)[0, 1])


@pytest.mark.parametrize("adjust", [(), ("gc",), ("position",), ("kmers",), ADJUSTED])
def test_the_number_of_a_window_is_the_partial_spearman_correlation(adjust: tuple[str, ...]) -> None:
    rng = np.random.default_rng(1)
    rows = windows(44)
    bases = rows.padded()[0]
    paid = rng.normal(size=(44, 2, LENGTH)).round(1)  # with ties
    tracks = rng.normal(size=(44, 3, LENGTH)) + 0.5 * paid[:, :1]
    tracks[:, 1] = tracks[:, 1] > 0.8  # a mask
    tracks[:5, 2, 30:50] = np.nan  # missing in part
    result = associate(paid, tracks, rows, adjust=adjust, draws=30)
    expected = np.array(
        [[[oracle(paid[w, h], tracks[w, f], bases[w], adjust) for f in range(3)] for h in range(2)] for w in range(44)]
    )
    assert result.rho == pytest.approx(expected, abs=2e-6)
    assert result.whole.value == pytest.approx(expected.mean(axis=0), abs=1e-5)


def test_without_adjusting_it_is_plain_spearman() -> None:
    rng = np.random.default_rng(2)
    rows = windows(44)
    paid, tracks = rng.normal(size=(44, 1, LENGTH)), rng.normal(size=(44, 1, LENGTH))
    result = associate(paid, tracks, rows, adjust=(), draws=21)
    assert result.rho[3, 0, 0] == pytest.approx(spearmanr(paid[3, 0], tracks[3, 0]).statistic, abs=1e-6)


def test_a_feature_is_not_adjusted_for_itself() -> None:
    rng = np.random.default_rng(3)
    rows = windows(44)
    bases = rows.padded()[0]
    paid = rng.normal(size=(44, 1, LENGTH))
    gc = np.stack(
        [[np.mean([b in (1, 2) for b in row[max(0, i - 5) : i + 6]]) for i in range(LENGTH)] for row in bases]
    )
    result = associate(paid, gc[:, None], rows, itself=[("gc",)], draws=43)
    assert result.rho[4, 0, 0] == pytest.approx(oracle(paid[4, 0], gc[4], bases[4], ("position", "kmers")), abs=2e-6)
    # Adjusted for itself, nothing of it is left.
    assert (associate(paid, gc[:, None], rows, draws=43).reason == 3).all()


def test_windows_without_a_number_are_counted_by_reason() -> None:
    rng = np.random.default_rng(4)
    rows = windows(60)
    paid, tracks = rng.normal(size=(60, 1, LENGTH)), (rng.random((60, 1, LENGTH)) > 0.8).astype(float)
    tracks[:4] = 0
    tracks[4:9] = np.nan
    tracks[9, 0, :80] = np.nan
    result = associate(paid, tracks, rows, draws=25)
    assert result.reason[:, 0].tolist() == [1] * 4 + [2] * 6 + [0] * 50
    assert np.isnan(result.rho[:10]).all()
    assert np.isfinite(result.rho[10:]).all()
    assert result.loci.tolist() == [50]
    assert result.whole.value[0, 0] == pytest.approx(result.rho[10:, 0, 0].mean(), abs=1e-6)


def test_rotations_move_loci_whole_and_along_their_chromosome() -> None:
    places = [Locus("chr2", 100 * i, 100 * i + 10) for i in (5, 1, 3)]
    places += [Locus("chr1", 0, 10), Locus("chr1", 5, 15), Locus("chr1", 100, 110), Locus("chr1", 105, 115, "-")]
    places += [Locus("chr1", 1000 * i, 1000 * i + 10) for i in range(1, 9)]
    loci = loci_of(windows(15, loci=places, length=10))
    assert loci.cluster[3] == loci.cluster[4] != loci.cluster[5] == loci.cluster[6]
    assert loci.weight[[0, 3, 4]].tolist() == [1, 0.5, 0.5]
    turned = rotations(loci, 1000, 0)
    assert len(turned) == 3 * 10  # every one of them, the observed first
    assert turned[0].tolist() == list(range(15))
    assert len(np.unique(turned[:, [0, 3]], axis=0)) == 30
    along = [1, 2, 0]  # chr2 in the order of its places
    for row in turned:
        assert set(row[:3].tolist()) == {0, 1, 2}
        steps = {(along.index(int(row[w])) - along.index(w)) % 3 for w in range(3)}
        assert len(steps) == 1
        # Overlapping windows get what overlapping windows have, or both what a lone window has.
        assert loci.cluster[row[3]] == loci.cluster[row[4]]
        assert loci.cluster[row[5]] == loci.cluster[row[6]]
    assert (turned == rotations(loci, 1000, 5)).all()
    some = rotations(loci, 21, 1)
    assert some.shape == (22, 15)
    assert len(np.unique(some, axis=0)) == 22


@pytest.mark.parametrize("draws", [25, 2000])
def test_means_under_rotation_are_those_written_out(draws: int) -> None:
    rng = np.random.default_rng(5)
    places = [Locus("chr1", 40 * i * (1 + i % 3), 40 * i * (1 + i % 3) + 50) for i in range(90)]
    loci = loci_of(windows(90, loci=places, length=50))
    assert len(loci.members) < 90  # some overlap
    e, g = (rng.normal(size=(90, n, 50)).astype(np.float32) for n in (2, 3))
    reason = (rng.random((90, 3)) < 0.3).astype(np.int8)
    g[reason > 0] = 0
    heads = Freed(e, np.zeros((90, 2), np.int8), np.full((90, 2), 40))
    own = np.where(reason[:, None] == 0, rng.normal(size=(90, 2, 3)), np.nan)
    partners = rotations(loci, draws, 0)
    result = rotated_means(heads, g, reason == 0, own, partners, loci.weight)
    for r in (0, 1, len(partners) - 1):
        for h, f in np.ndindex(2, 3):
            pairs = [(w, v) for w, v in enumerate(partners[r].tolist()) if reason[v, f] == 0]
            weights = np.array([loci.weight[w] for w, _ in pairs])
            values = [own[w, h, f] if w == v else e[w, h] @ g[v, f] for w, v in pairs]
            assert result[r, h, f] == pytest.approx(weights @ np.array(values) / weights.sum(), rel=1e-5, abs=1e-5)


@pytest.mark.parametrize("adjust", [(), ADJUSTED])
def test_a_track_that_comes_to_another_window_is_adjusted_there(adjust: tuple[str, ...]) -> None:
    rng = np.random.default_rng(11)
    bases = windows(60, length=160).padded()[0]
    paid, tracks = rng.normal(size=(60, 1, 160)), rng.normal(size=(60, 1, 160))
    moved = movable(tracks, freed(tracks, bases, adjust), bases, adjust)
    result = np.array([freed(paid, bases, adjust).units[w, 0] @ moved[(w + 7) % 60, 0] for w in range(60)])
    exact = np.array([oracle(paid[w, 0], tracks[(w + 7) % 60, 0], bases[w], adjust) for w in range(60)])
    # Its length is that of an average window.
    assert result == pytest.approx(exact, rel=0.2 if adjust else 1e-5, abs=1e-6)
    assert np.corrcoef(result, exact)[0, 1] > 0.995


def test_chr1_and_1_are_one_chromosome() -> None:
    places = [Locus("chr1" if i % 2 else "1", 60 * i, 60 * i + LENGTH) for i in range(4)]
    assert len(loci_of(windows(4, loci=places)).members) == 1


def test_p_values_are_shares_of_the_rotations() -> None:
    means = np.random.default_rng(6).normal(size=(40, 2, 3))
    means[0, 1, 2] = 9.0
    means[:, 0, 0] = 0.25  # the same whatever is rotated: not tested
    tested = judge(means)
    assert np.isnan(tested.z[0, 0])
    assert np.isnan(tested.p[0, 0])
    z = np.abs((means - means.mean(axis=0)) / np.where(means.std(axis=0) > 1e-9, means.std(axis=0), np.nan))
    assert tested.p[1, 2] == pytest.approx(1 / 40)
    assert tested.p[0, 1] == pytest.approx((z[:, 0, 1] >= z[0, 0, 1] - 1e-6).mean())
    largest = np.nanmax(z.reshape(40, -1), axis=1)
    assert tested.p_max[0, 1] == pytest.approx((largest >= z[0, 0, 1] - 1e-6).mean())
    assert tested.q[1, 2] <= 1 / 40 + 1e-9
    assert tested.rotations == 39


def test_a_planted_association_is_found_first_and_confirmed() -> None:
    rng = np.random.default_rng(7)
    rows = windows(160, loci=[Locus(f"chr{1 + i % 2}", 1000 * i, 1000 * i + LENGTH) for i in range(160)])
    paid, tracks = rng.normal(size=(160, 6, LENGTH)), rng.normal(size=(160, 4, LENGTH))
    paid[:, 2] += 0.4 * tracks[:, 1]
    result = associate(paid, tracks, rows, draws=500)
    assert np.argwhere(result.found).tolist() == [[2, 1]]
    assert result.whole.q[2, 1] < 0.01
    assert np.nanargmin(result.whole.q) == 2 * 4 + 1
    assert result.whole.p_max[2, 1] == pytest.approx(1 / 501)


def test_a_shared_position_is_no_association() -> None:
    """Heads that attend to the middle, and features that lie there: rotation keeps both, so nothing is left."""
    rng = np.random.default_rng(8)
    rows = windows(100)
    middle = np.exp(-(((np.arange(LENGTH) - 60) / 8) ** 2))
    paid = middle + rng.normal(size=(100, 1, LENGTH)) * 0.3
    tracks = middle + rng.normal(size=(100, 1, LENGTH)) * 0.3
    result = associate(paid, tracks, rows, adjust=(), draws=99)
    assert result.whole.value[0, 0] > 0.2
    assert result.whole.p[0, 0] > 0.01
    assert abs(result.whole.excess[0, 0]) < 0.02


def test_halves_are_cut_in_the_middle_of_chromosomes() -> None:
    places = [Locus(f"chr{1 + i % 2}", 1000 * i, 1000 * i + LENGTH) for i in range(20)]
    loci = loci_of(windows(20, loci=places))
    first = halves(loci, 0)
    for chrom in (0, 1):
        mine = first[loci.chromosome[loci.cluster] == chrom]
        assert mine.sum() == 5
        assert abs(np.diff(mine.astype(int))).sum() == 1


def noise(rng: np.random.Generator, *shape: int, rough: float) -> Floats:
    """Draw values that are alike along the last axis."""
    return np.asarray(lfilter([1], [1, -rough], rng.normal(size=shape)))


@pytest.mark.slow
@pytest.mark.parametrize("adjust", [(), ADJUSTED])
@pytest.mark.parametrize("rough", [0.0, 0.9])
def test_the_family_wise_error_of_nulls(adjust: tuple[str, ...], rough: float) -> None:
    """Tracks and attention that drift along the chromosome, independent of each other."""
    errors, spread, numbers = 0, [], np.arange(150)
    for run in range(40):
        rng = np.random.default_rng(run)
        rows = windows(150, seed=run, loci=[Locus(f"chr{1 + i // 90}", 1000 * i, 1000 * i + LENGTH) for i in numbers])
        drift = noise(rng, 2, 150, rough=0.9)  # alike over some ten windows
        slope = np.sin(np.linspace(0, 20, LENGTH))
        paid = noise(rng, 150, 2, LENGTH, rough=rough) + 0.3 * drift[0][:, None, None] * slope
        tracks = noise(rng, 150, 3, LENGTH, rough=rough) + 0.3 * drift[1][:, None, None] * slope
        result = associate(paid, tracks, rows, adjust=adjust, draws=200)
        errors += bool((result.whole.p_max <= 0.05).any()) or bool(result.found.any())
        spread.append(result.whole.z)
    assert errors <= 6, errors  # at 5 %: 98 % of the time
    assert 0.8 < np.std(spread) < 1.25


def test_aurocs_are_those_of_sklearn() -> None:
    rng = np.random.default_rng(9)
    paid, masks = rng.normal(size=(3, 2, 80)).round(1), (rng.random((3, 2, 80)) > 0.7).astype(float)
    masks[1, 0, 10:20] = np.nan
    masks[2, 1] = 1
    result = aurocs(paid, masks)
    assert np.isnan(result[2, :, 1]).all()
    for w, h, f in np.ndindex(3, 2, 2):
        there = np.isfinite(masks[w, f])
        if masks[w, f][there].min() < 1:
            assert result[w, h, f] == pytest.approx(roc_auc_score(masks[w, f][there], paid[w, h][there]), abs=1e-6)


def test_what_cannot_be_tested_is_refused() -> None:
    paid, tracks = np.zeros((30, 1, LENGTH)), np.zeros((30, 1, LENGTH))
    with pytest.raises(UsageError, match="adjust: expected some of gc, position, kmers, got 'cpg'"):
        associate(paid, tracks, windows(30), adjust=("cpg",))
    with pytest.raises(UsageError, match=r"tracks: expected \[30 windows, ., 120 positions\], got \[30, 1, 100\]"):
        associate(paid, tracks[:, :, :100], windows(30))
    with pytest.raises(UsageError, match="15 loci have 14 rotations"):
        associate(paid, tracks, windows(30))
    unplaced = Sequences.from_strings(["ACGT" * 30] * 2)
    with pytest.raises(SequenceError, match="'seq0': expected a locus for every window"):
        loci_of(unplaced)
    uneven = Sequences.from_strings(["ACGT", "ACG"], loci=[Locus("1", 0, 4), Locus("1", 9, 12)])
    with pytest.raises(SequenceError, match="windows of one length, got 3 to 4 nt"):
        loci_of(uneven)


def test_fewer_positions_than_covariates_give_no_number() -> None:
    short = freed(np.random.default_rng(0).normal(size=(1, 1, 40)), np.zeros((1, 40), np.int8))
    assert short.reason.tolist() == [[0]]  # poly-A: hardly any covariate
    varied = np.random.default_rng(0).integers(0, 4, (1, 40)).astype(np.int8)
    assert freed(np.random.default_rng(0).normal(size=(1, 1, 40)), varied).reason.tolist() == [[2]]
