"""Strata of equal context: what they hold, and whom small ones join."""

import numpy as np
import pytest

from kmerit.sequences import encode
from kmerit.trials.controls import SMALLEST_STRATUM, explained, strata


def bases(text: str) -> np.ndarray:
    return encode(text)


def context_of(sequence: np.ndarray, at: int) -> tuple[object, ...]:
    """Write the definition out: letters, share of G and C, quarter."""
    letters = tuple(sequence[i] if 0 <= i < sequence.size else None for i in (at - 1, at, at + 1))
    window = sequence[max(0, at - 5) : at + 6]
    return (*letters, round(11 * np.isin(window, [1, 2]).mean()), 4 * at // sequence.size)


def test_positions_of_one_stratum_have_one_context_where_enough_have_it() -> None:
    rng = np.random.default_rng(3)
    motif = rng.integers(0, 4, 24).astype(np.int8)
    sequences = [motif] * SMALLEST_STRATUM
    result = strata(sequences)
    contexts = [context_of(sequence, at) for sequence in sequences for at in range(24)]
    by_stratum: dict[int, set[tuple[object, ...]]] = {}
    for stratum, context in zip(result.of.tolist(), contexts, strict=True):
        by_stratum.setdefault(stratum, set()).add(context)
    assert all(len(each) == 1 for each in by_stratum.values())
    assert len(by_stratum) == len(set(contexts))
    assert (result.joined_quarters, result.joined_gc, result.alone) == (0, 0, 0)


def test_random_sequences_keep_their_letters_and_small_strata_join() -> None:
    rng = np.random.default_rng(4)
    sequences = [rng.integers(0, 4, 80).astype(np.int8) for _ in range(60)]
    result = strata(sequences)
    letters = np.array([context_of(each, at)[:3] for each in sequences for at in range(80)], dtype=object)
    whole = [tuple(map(str, row)) for row in letters]
    sizes = np.bincount(result.of)
    by_letters: dict[tuple[str, ...], int] = {}
    for each in whole:
        by_letters[each] = by_letters.get(each, 0) + 1
    for stratum in np.unique(result.of):
        (own,) = {whole[at] for at in np.flatnonzero(result.of == stratum)}  # letters are never mixed
        assert sizes[stratum] >= min(SMALLEST_STRATUM, by_letters[own])
    assert result.joined_quarters > 0
    assert result.joined_gc > 0


def test_a_small_quarter_joins_the_nearest_quarter_before_another_gc_count() -> None:
    # One letter context, AAA, no G or C; 4 of 100 positions in the second quarter of the only long sequences.
    many = [bases("A" * 40)] * 5
    result = strata(many)
    inner = result.of.reshape(5, 40)[0]
    assert len(set(inner[1:-1].tolist())) == 4  # the quarters, with more than five positions each
    assert result.joined_quarters == 0
    alone = strata([bases("A" * 16)])  # 14 inner positions: 3, 4, 4, 3 in the quarters
    assert len(set(alone.of[1:-1].tolist())) < 4
    assert alone.joined_quarters > 0
    assert alone.joined_gc == 0
    assert alone.alone == 2  # the ends miss a neighbour, each another one


@pytest.mark.parametrize("seed", range(5))
def test_an_exchange_stays_within_strata_and_is_uniform(seed: int) -> None:
    sequences = [np.tile(np.array([0, 1, 2, 3], dtype=np.int8), 6)] * 8
    result = strata(sequences)
    source = result.exchange(np.random.default_rng(seed))
    assert sorted(source.tolist()) == list(range(8 * 24))
    assert (result.of[source] == result.of).all()


@pytest.mark.parametrize("together", [1, 50, 2**21])
def test_an_exchange_does_not_depend_on_how_many_positions_are_looked_at_together(
    together: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    rng = np.random.default_rng(5)
    sequences = [rng.integers(0, 4, 30).astype(np.int8) for _ in range(40)]
    whole = strata(sequences)
    expected = np.empty(whole.of.size, dtype=np.int64)
    lots = np.random.default_rng(9).random(whole.of.size)
    expected[np.argsort(whole.of, kind="stable")] = np.lexsort((lots, whole.of))
    monkeypatch.setattr("kmerit.trials.controls._TOGETHER", together)
    monkeypatch.setattr("kmerit.trials.controls._SEQUENCES_TOGETHER", 7)
    parts = strata(iter(sequences))
    assert (parts.of == whole.of).all()
    assert (parts.joined_quarters, parts.joined_gc, parts.alone) == (
        whole.joined_quarters,
        whole.joined_gc,
        whole.alone,
    )
    assert (parts.exchange(np.random.default_rng(9)) == expected).all()


def test_every_position_of_a_stratum_is_drawn_equally_often() -> None:
    result = strata([bases("A" * 8)] * 4)
    members = np.flatnonzero(result.of == result.of[3])
    rng = np.random.default_rng(0)
    drawn = np.array([result.exchange(rng)[3] for _ in range(4000)])
    shares = np.array([(drawn == member).mean() for member in members])
    assert shares.sum() == pytest.approx(1)
    assert shares == pytest.approx(1 / members.size, abs=0.03)


def test_what_contexts_explain_is_the_variance_between_them() -> None:
    rng = np.random.default_rng(0)
    parted = strata([rng.integers(0, 4, 100).astype(np.int8) for _ in range(30)])
    by_stratum = rng.normal(size=parted.of.max() + 1)[parted.of]
    noise = rng.normal(size=parted.of.size)
    assert explained(parted, by_stratum) == pytest.approx(1.0)
    strata_share = parted.of.max() / parted.of.size  # of pure noise, by chance
    assert explained(parted, noise) == pytest.approx(strata_share, abs=0.03)
    half = by_stratum / by_stratum.std() + noise
    assert explained(parted, half) == pytest.approx(0.5 + strata_share / 2, abs=0.05)
    assert np.isnan(explained(parted, np.zeros(parted.of.size)))
