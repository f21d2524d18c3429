"""Controls know nothing of the model, and keep what they claim to keep of a method."""

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest

from kmerit.errors import UnknownName, UsageError
from kmerit.models.model import Model
from kmerit.results import Attribution
from kmerit.sequences import Sequences
from kmerit.trials.controls import (
    CONTROLS,
    Controls,
    PartnerScores,
    StoredScores,
    clumped,
    draw_context_scores,
    draw_partners,
    is_control,
    ranking_of,
    shifted_scores,
)
from kmerit.trials.trial import mutate

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
    strangers = PartnerScores(partners, [np.full((2, 50), i) for i in range(30)])
    assert strangers.of(29) is None
    assert strangers.of(0)[0, :, 0].tolist() == partners[:, 0].tolist()


def test_a_mistaken_sequence_is_the_partner_of_mistaken_ones_alone() -> None:
    labels, targets = np.zeros(12, dtype=int), np.array([0] * 8 + [1] * 3 + [2])
    partners = draw_partners(1, 20, [f"s{i}" for i in range(12)], np.stack([labels, targets, np.full(12, 50)]))
    assert set(partners[:, 8]) == {9, 10}
    assert set(partners[:, 0]) <= set(range(1, 8))
    assert (partners[:, 11] == -1).all()


def test_a_withheld_sequence_neither_gives_nor_gets_scores(make_sequences: Callable[..., Sequences]) -> None:
    sequences = make_sequences([60] * 20)
    scores = [np.full((2, 60), float(i)) for i in range(20)]
    withheld = np.zeros((2, 20), dtype=np.bool_)
    withheld[1, :5] = True
    scores[0][1] = np.nan
    exchanges = draw_context_scores(
        0, 2, sequences, np.zeros((2, 20), dtype=int), StoredScores([scores], sequences.offsets), withheld
    )
    by_method = {each.methods.tolist()[0]: each for each in exchanges}
    assert by_method[0].rows.tolist() == list(range(20))
    assert by_method[1].rows.tolist() == list(range(5, 20))
    inputs = np.concatenate([by_method[1].of(row) for row in range(5, 20)], axis=2)
    assert set(np.unique(inputs)) == set(range(5, 20))


@pytest.mark.parametrize("in_memory", [0, 2**23])
def test_scores_in_a_file_are_those_in_memory(
    in_memory: int, make_sequences: Callable[..., Sequences], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("kmerit.disk._IN_MEMORY", in_memory)
    sequences, rng = make_sequences([50, 60, 50, 60, 50, 50, 60, 60]), np.random.default_rng(0)
    scores = [rng.normal(size=(2, length)).astype(np.float32) for length in sequences.lengths]
    withheld = np.zeros((2, 8), dtype=np.bool_)
    withheld[1, 3] = True
    classes = np.arange(8) % 2
    names = ("other", "context")
    controls = Controls(
        names, 0, 2, 0, sequences, ["a", "b"], classes, classes, withheld, lambda: [scores[:3], scores[3:]]
    )
    partners = draw_partners(0, 2, sequences.names, np.stack([classes, classes, sequences.lengths]))
    rankings = [controls(i, each) for i, each in enumerate(scores)]
    for i, each in enumerate(rankings):
        if (partners[:, i] >= 0).all() and not withheld[1, [i, *partners[:, i]]].any():
            assert (each["other(b)"] == np.stack([scores[row][1] for row in partners[:, i]])).all()
    for draw in range(2):
        exchanged = [each["context(b)"][draw] for i, each in enumerate(rankings) if i % 2 and i != 3]
        inputs = [scores[i][1] for i in (1, 5, 7)]
        assert (np.sort(np.concatenate(exchanged)) == np.sort(np.concatenate(inputs))).all()
    assert "context(b)" not in rankings[3]


def runs(chosen: np.ndarray) -> list[int]:
    """List the lengths of the runs on a circle, sorted."""
    start = int(np.flatnonzero(~chosen)[0])
    turned = np.roll(chosen, -start)
    return sorted(len(run) for run in "".join("x" if each else " " for each in turned).split())


@pytest.mark.parametrize(
    "places", [[0, 1, 2], [0, 59], [3, 4, 9, 20, 21, 22, 23, 40], list(range(59)), list(range(0, 60, 2))]
)
def test_a_clump_keeps_runs_and_gaps_and_lies_anywhere(places: list[int]) -> None:
    chosen = np.isin(np.arange(60), places)
    drawn = [clumped(chosen, np.random.default_rng(seed)) for seed in range(400)]
    for moved in drawn:
        assert runs(moved) == runs(chosen)
        assert runs(~moved) == runs(~chosen)
    # Each position is chosen as often as any other.
    share, expected = np.mean(drawn, axis=0), chosen.mean()
    assert np.abs(share - expected).max() < 4.5 * np.sqrt(expected * (1 - expected) / 400)


@pytest.mark.parametrize("everything", [True, False])
def test_where_there_is_nothing_to_move_a_clump_is_the_set_itself(everything: bool) -> None:
    chosen = np.full(12, everything)
    assert (clumped(chosen, np.random.default_rng(0)) == chosen).all()


def test_context_exchanges_scores_within_a_class_and_nowhere_else(make_sequences: Callable[..., Sequences]) -> None:
    sequences = make_sequences([60] * 40)
    at = np.arange(60)
    scores = [np.stack([1000 * i + at, -1000 * i - at]) for i in range(40)]
    alike = np.stack([np.arange(40) % 2, np.zeros(40, dtype=int)])
    stored = StoredScores([scores[:7], scores[7:]], sequences.offsets)
    exchanges = draw_context_scores(0, 3, sequences, alike, stored, np.zeros((2, 40), dtype=np.bool_))
    assert [each.rows.tolist() for each in exchanges] == [list(range(0, 40, 2)), list(range(1, 40, 2))]
    for each in exchanges:
        assert each.joined["positions"] == 20 * 60
        inputs = np.stack([each.of(row) for row in each.rows.tolist()], axis=2)  # [method, draw, member, position]
        for draw in range(3):
            everyone = np.sort(np.concatenate([scores[row][0] for row in each.rows.tolist()]))
            assert (np.sort(inputs[0, draw].ravel()) == everyone).all()
        assert (inputs[1] == -inputs[0]).all()  # methods are exchanged alike
        source, position = np.divmod(inputs[0], 1000)
        letters = sequences.padded()[0]
        own = np.broadcast_to(letters[each.rows][None], source.shape)
        assert (letters[source.astype(int), position.astype(int)] == own).mean() > 0.99
        assert (source != each.rows[None, :, None]).mean() > 0.5


def test_names_of_rankings() -> None:
    assert [ranking_of(c, "lrp") for c in ("random", "other")] == ["random", "other(lrp)"]
    names = ("random", "other(lrp)", "clump(size(lrp))", "blurred_random", "lrp", "size(lrp)")
    assert [is_control(name) for name in names] == [True, True, True, True, False, False]


def chosen_by(
    model: Model, sequences: Sequences, scores: Attribution, counts: list[int], **settings: object
) -> dict[tuple[str, int], np.ndarray]:
    """Find out which positions a trial mutated, from its mutants: by ranking and sequence, ``bool [position]``."""
    from kmerit.trials import execution as evaluation

    observation: dict[int, np.ndarray] = {}
    table = evaluation._mutants_table

    def watching(bases, sequence, *rest):
        for at, (row, owner) in enumerate(zip(bases, sequence, strict=True)):
            observation[len(observation)] = (row != sequences.padded()[0][owner]) & (row >= 0)
            assert at < len(bases)
        return table(bases, sequence, *rest)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(evaluation, "_mutants_table", watching)
        curve = mutate(model, sequences, scores, counts, 1, **settings)
    cells = curve.cells.to_pandas()
    return {(row.method, row.sequence): observation[row.mutant] for row in cells.itertuples()}


class TestInATrial:
    @pytest.fixture
    def sequences(self, make_sequences: Callable[..., Sequences]) -> Sequences:
        return make_sequences([50, 50, 50, 50, 40, 40, 44])

    def test_only_what_can_be_formed_has_cells(self, model: Model, sequences: Sequences, make_scores: Scores) -> None:
        curve = mutate(model, sequences, make_scores(sequences), [1, 5], 2, controls=CONTROLS)
        contents = curve.cells.to_pandas().groupby("method", observed=True)["sequence"].unique()
        everyone = list(range(7))
        assert {name: sorted(rows) for name, rows in contents.items()} == {
            "one": everyone,
            "random": everyone,
            "clump(one)": everyone,
            "context(one)": everyone,
            "shifted(one)": [0, 1, 2, 3, 6],
            "other(one)": [0, 1, 2, 3],  # s4 and s5 are of two classes
        }
        assert curve.settings["controls"] == ["random", "shifted", "clump", "other", "context"]
        assert curve.diagnostics["context_strata"]["positions"] == sequences.bases.size

    def test_controls_change_nothing_for_the_methods(
        self, model: Model, sequences: Sequences, make_scores: Scores
    ) -> None:
        scores = make_scores(sequences)
        alone = mutate(model, sequences, scores, [0, 5], 2).cells.to_pandas()
        beside = mutate(model, sequences, scores, [0, 5], 2, controls=["shifted", "clump", "other"])
        table = beside.cells.to_pandas()
        own = table[table["method"] == "one"]
        assert (
            own[["n", "draw", "sequence"]].to_numpy().tolist() == alone[["n", "draw", "sequence"]].to_numpy().tolist()
        )
        assert (beside.mutants["id"].to_numpy() == np.arange(beside.mutants.num_rows)).all()

    def test_a_clump_mutates_runs_of_the_methods_own_lengths(
        self, model: Model, sequences: Sequences, make_scores: Scores
    ) -> None:
        bases = sequences.padded()[0]
        scores = make_scores(sequences)
        smooth = np.apply_along_axis(np.convolve, 1, np.nan_to_num(scores.scores), np.ones(5), mode="same")
        smooth[np.arange(50) >= sequences.lengths[:, None]] = np.nan
        chosen = chosen_by(model, sequences, replace(scores, scores=smooth), [6], controls=["clump"])
        for i in range(len(sequences)):
            own, theirs = (chosen[name, i][: sequences.lengths[i]] for name in ("one", "clump(one)"))
            assert runs(own) == runs(theirs)
        assert any((chosen["one", i] != chosen["clump(one)", i]).any() for i in range(len(bases)))

    def test_unknown_control(self, model: Model, sequences: Sequences, make_scores: Scores) -> None:
        with pytest.raises(UnknownName, match="Did you mean 'shifted'"):
            mutate(model, sequences, make_scores(sequences), [1], controls=["shift"])

    @pytest.mark.parametrize("name", ["shifted(lrp)", "clump(lrp)", "blurred_random"])
    def test_a_method_called_like_a_control(
        self, model: Model, sequences: Sequences, make_scores: Scores, name: str
    ) -> None:
        with pytest.raises(UsageError, match="control"):
            mutate(model, sequences, make_scores(sequences, name), [1], controls=["random"])
