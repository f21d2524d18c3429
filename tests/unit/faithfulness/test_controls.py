"""Controls know nothing of the model, and keep what they claim to keep of a method."""

from collections.abc import Callable

import numpy as np
import pytest

from kmerit.errors import UnknownName, UsageError
from kmerit.faithfulness import mutate
from kmerit.faithfulness.controls import (
    Strangers,
    blurred_scores,
    draw_partners,
    is_control,
    random_scores,
    ranking_of,
    shifted_scores,
)
from kmerit.models import Model
from kmerit.types import Attribution, Sequences

Scores = Callable[..., Attribution]


def test_shifted_moves_all_methods_by_one_offset_of_20_to_length_less_20() -> None:
    scores = np.stack([np.arange(60.0), -np.arange(60.0)])
    moved = shifted_scores(0, 300, "s", scores)
    assert moved is not None
    assert moved.shape == (2, 300, 60)
    offsets = moved[0].argmin(axis=1)
    assert (offsets.min(), offsets.max()) == (20, 40)
    assert (moved[1].argmax(axis=1) == offsets).all()
    assert all((np.roll(scores[0], o) == row).all() for o, row in zip(offsets, moved[0], strict=True))


@pytest.mark.parametrize(("length", "formed"), [(40, False), (41, True)])
def test_shifted_needs_more_than_40_nt(length: int, formed: bool) -> None:
    assert (shifted_scores(0, 1, "s", np.zeros((1, length))) is not None) == formed


def test_partners_are_others_that_share_every_property() -> None:
    names = [f"s{i}" for i in range(30)]
    classes, lengths = np.arange(30) % 2, np.array([50] * 20 + [60] * 9 + [70])
    partners = draw_partners(3, 40, names, np.stack([classes, lengths]))
    rows = np.arange(30)
    assert (partners[:, 29] == -1).all()
    for drawn in partners[:, :29]:
        assert (drawn != rows[:29]).all()
        assert (classes[drawn] == classes[:29]).all()
        assert (lengths[drawn] == lengths[:29]).all()
    assert len(set(partners[:, 0])) == 9  # each of the others, in time
    strangers = Strangers(partners, [np.full((2, 50), i) for i in range(30)])
    assert strangers.of(29) is None
    assert strangers.of(0)[0, :, 0].tolist() == partners[:, 0].tolist()


def test_a_mistaken_sequence_is_the_partner_of_mistaken_ones_alone() -> None:
    labels, targets = np.zeros(12, dtype=int), np.array([0] * 8 + [1] * 3 + [2])
    partners = draw_partners(1, 20, [f"s{i}" for i in range(12)], np.stack([labels, targets, np.full(12, 50)]))
    assert set(partners[:, 8]) == {9, 10}
    assert set(partners[:, 0]) <= set(range(1, 8))
    assert (partners[:, 11] == -1).all()


def test_blurred_random_is_smooth_as_tokens_make_it(model: Model) -> None:
    bases = np.random.default_rng(0).integers(0, 4, 400).astype(np.int8)[:200]
    blurred, rough = blurred_scores(model, 0, 2, "s", bases), random_scores(0, 2, "s", 200)
    assert blurred.shape == rough.shape == (2, 200)
    assert np.isfinite(blurred).all()

    def neighbours(scores: np.ndarray) -> float:
        return float(np.corrcoef(scores[0, 3:-3][:-1], scores[0, 3:-3][1:])[0, 1])

    # Means of 3 tokens share 2 with their neighbour's.
    assert neighbours(blurred) == pytest.approx(2 / 3, abs=0.15)
    assert abs(neighbours(rough)) < 0.2
    assert (blurred_scores(model, 0, 1, "s", bases)[0] == blurred[0]).all()


def test_names_of_rankings() -> None:
    assert [ranking_of(c, "lrp") for c in ("random", "other")] == ["random", "other(lrp)"]
    assert [is_control(name) for name in ("random", "other(lrp)", "blurred_random", "lrp")] == [True, True, True, False]


class TestInATrial:
    @pytest.fixture
    def sequences(self, make_sequences: Callable[..., Sequences]) -> Sequences:
        return make_sequences([50, 50, 50, 50, 40, 40, 44])

    def test_only_what_can_be_formed_has_cells(self, model: Model, sequences: Sequences, make_scores: Scores) -> None:
        curve = mutate(
            model, sequences, make_scores(sequences), [1, 5], 2,
            controls=["random", "shifted", "other", "blurred_random"],
        )  # fmt: skip
        held = curve.cells.to_pandas().groupby("method", observed=True)["sequence"].unique()
        everyone = list(range(7))
        assert {name: sorted(rows) for name, rows in held.items()} == {
            "one": everyone,
            "random": everyone,
            "blurred_random": everyone,
            "shifted(one)": [0, 1, 2, 3, 6],
            "other(one)": [0, 1, 2, 3],  # s4 and s5 are of two classes
        }
        assert curve.settings["controls"] == ["random", "shifted", "other", "blurred_random"]

    def test_controls_change_nothing_for_the_methods(
        self, model: Model, sequences: Sequences, make_scores: Scores
    ) -> None:
        scores = make_scores(sequences)
        alone = mutate(model, sequences, scores, [0, 5], 2).cells.to_pandas()
        beside = mutate(model, sequences, scores, [0, 5], 2, controls=["shifted", "other"])
        table = beside.cells.to_pandas()
        own = table[table["method"] == "one"]
        assert (
            own[["n", "draw", "sequence"]].to_numpy().tolist() == alone[["n", "draw", "sequence"]].to_numpy().tolist()
        )
        assert (beside.mutants["id"].to_numpy() == np.arange(beside.mutants.num_rows)).all()

    def test_unknown_control(self, model: Model, sequences: Sequences, make_scores: Scores) -> None:
        with pytest.raises(UnknownName, match="Did you mean 'shifted'"):
            mutate(model, sequences, make_scores(sequences), [1], controls=["shift"])

    @pytest.mark.parametrize("name", ["random", "shifted(lrp)", "blurred_random"])
    def test_a_method_called_like_a_control(
        self, model: Model, sequences: Sequences, make_scores: Scores, name: str
    ) -> None:
        with pytest.raises(UsageError, match="control"):
            mutate(model, sequences, make_scores(sequences, name), [1], controls=["random"])
