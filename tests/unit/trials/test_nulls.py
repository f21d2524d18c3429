"""Rankings of which it is known what they know."""

import numpy as np
import pytest

from kmerit.errors import UnknownName
from kmerit.sequences import Sequences
from kmerit.trials.nulls import LETTERS, NOISE, dosed, ruled, turned_scores


@pytest.fixture(scope="module")
def sequences() -> Sequences:
    rng = np.random.default_rng(0)
    return Sequences.from_strings(["".join(rng.choice(list("ACGT"), 200)) for _ in range(40)] + ["ACGCGT" * 10])


@pytest.mark.parametrize("name", [*NOISE, *LETTERS])
def test_every_rule_scores_each_position_and_repeats(sequences: Sequences, name: str) -> None:
    result = ruled(name, sequences, 3)
    assert result.shape == (41, 200)
    assert (np.isfinite(result) == (np.arange(200) < sequences.lengths[:, None])).all()
    assert np.array_equal(result, ruled(name, sequences, 3), equal_nan=True)


@pytest.mark.parametrize("name", NOISE)
def test_noise_does_not_follow_the_letters_and_differs_by_seed(sequences: Sequences, name: str) -> None:
    result, again = ruled(name, sequences, 3)[:40], ruled(name, sequences, 4)[:40]
    letters = sequences.padded()[0][:40]
    assert not np.array_equal(result, again)
    means = [result[letters == base].mean() for base in range(4)]
    assert np.ptp(means) < 0.12 * result.std()
    same_place = np.corrcoef(result)[np.triu_indices(40, 1)].mean()
    assert same_place == pytest.approx(1.0 if name == "place" else 0.0, abs=0.05)


def test_noise_clumps_as_its_name_says(sequences: Sequences) -> None:
    def runs(name: str) -> float:
        """Count the runs of the first 20 positions."""
        order = np.argsort(-ruled(name, sequences, 3)[:40], axis=1)[:, :20]
        return float(np.mean([1 + (np.diff(np.sort(row)) > 1).sum() for row in order]))

    assert runs("uniform") > 15
    assert runs("blurred 6") < 10
    assert runs("clumped") < runs("blurred 6") - 1


def test_letters_are_written_out() -> None:
    one = Sequences.from_strings(["AACGTTCGAACG"])
    assert ruled("CpG", one, 0)[0].tolist() == [0, 0, 1, 1, 0, 0, 1, 1, 0, 0, 1, 1]
    assert ruled("CpG, last quarter first", one, 0)[0].tolist() == [0, 0, 1, 1, 0, 0, 1, 1, 0, 0, 2, 2]
    assert ruled("A and T", one, 0)[0].tolist() == [1, 1, 0, 0, 1, 1, 0, 0, 1, 1, 0, 0]
    by_context = ruled("trinucleotide", Sequences.from_strings(["TACGATACGA"]), 0)[0]
    assert by_context[1:4].tolist() == by_context[6:9].tolist()
    assert len(set(by_context[1:4].tolist())) == 3


@pytest.mark.parametrize("name", LETTERS)
def test_a_rule_of_letters_is_a_function_of_what_the_strata_of_context_hold(sequences: Sequences, name: str) -> None:
    scores, by_context = ruled(name, sequences, 3), {}
    for row, bases in zip(scores, sequences.rows(), strict=True):
        padded = [4, *bases.tolist(), 4]
        for at, value in enumerate(row[: bases.size].tolist()):
            window = bases[max(at - 5, 0) : at + 6]
            share = round(11 * np.isin(window, (1, 2)).mean())
            context = (*padded[at : at + 3], share, at * 4 // bases.size)
            assert by_context.setdefault(context, value) == value, context


def test_an_unknown_rule_is_refused(sequences: Sequences) -> None:
    with pytest.raises(UnknownName, match="Did you mean 'clumped'"):
        ruled("clump", sequences, 0)


def test_turned_scores_are_the_same_round_the_circle_at_any_offset(sequences: Sequences) -> None:
    scores = np.tile(np.arange(200.0), (41, 1))
    scores[40, 60:] = np.nan
    result = turned_scores(scores, sequences, 1)
    offsets = np.nanargmin(result, axis=1)
    assert len(set(offsets[:40].tolist())) > 25
    for row, offset, length in zip(result, offsets, sequences.lengths, strict=True):
        assert (row[:length] == np.roll(np.arange(length), offset)).all()


def test_a_dose_is_a_share_of_each_score_or_of_the_sequences(sequences: Sequences) -> None:
    known = np.random.default_rng(1).normal(size=(41, 200))
    known[40, 60:] = np.nan

    def agreement(**settings: object) -> np.ndarray:
        result = dosed(known, sequences, seed=2, **settings)
        return np.array(
            [np.corrcoef(a[:n], b[:n])[0, 1] for a, b, n in zip(result, known, sequences.lengths, strict=True)]
        )

    assert agreement(dose=1.0) == pytest.approx(1.0)
    assert abs(agreement(dose=0.0).mean()) < 0.1
    means = [agreement(dose=dose).mean() for dose in (0.05, 0.2, 0.4)]
    assert means == sorted(means)
    assert means[1] == pytest.approx(0.2 / np.hypot(0.2, 0.8), abs=0.05)
    shared = agreement(dose=0.4, share=True)
    assert ((np.abs(shared - 1) < 1e-9) | (np.abs(shared) < 0.5)).all()
    assert 8 <= (shared > 0.99).sum() <= 25
    smoothed = dosed(known, sequences, 1.0, 2, smooth=6)[0]
    assert np.corrcoef(smoothed[1:], smoothed[:-1])[0, 1] > 0.7
