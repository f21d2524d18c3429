"""The trial on a real (tiny, random) DNABERT: raw outcomes, counting, refusals, independence."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from kmerit.errors import CountError, LabelError, LengthError, SequenceError, TargetError, UnknownName, UsageError
from kmerit.models.model import Model, load_model
from kmerit.results import Attribution, Outcomes
from kmerit.sequences import Int8, Int64, Sequences, Tokens, decode
from kmerit.trials import execution
from kmerit.trials import trial as mutagenesis
from kmerit.trials.controls import random_scores
from kmerit.trials.design import mutants_of
from kmerit.trials.measures import default_label, summarise
from kmerit.trials.operators import composition
from kmerit.trials.trial import mutate

Scores = Callable[..., Attribution]
COUNTS = (0, 1, 5, "all")


@pytest.fixture
def both(sequences: Sequences, make_scores: Scores) -> dict[str, Attribution]:
    return {name: make_scores(sequences, name, seed) for seed, name in enumerate(["one", "two"])}


@pytest.fixture
def curve(model: Model, sequences: Sequences, both: dict[str, Attribution]) -> Outcomes:
    return mutate(model, sequences, both, COUNTS, replicates=3, random_sets=4)


def rebuilt(curve: Outcomes, sequences: Sequences, both: dict[str, Attribution]) -> list[str]:
    """Make every mutant again from the design alone, in the order of their ids."""
    lengths = sequences.lengths
    design = mutagenesis.Design(
        methods=("one", "two"),
        operators=(mutagenesis.operator_named("random_other"),),
        orders=(mutagenesis.order_named("morf"),),
        counts=(0, 1, 5),
        full=True,
        replicates=3,
        random_sets=4,
        seed=0,
        composition=composition(sequences),
    )
    mutants = [
        mutants_of(
            [design],
            name,
            bases,
            [
                {m: a.scores[i, : lengths[i]] for m, a in both.items()}
                | {"random": random_scores(0, 4, name, bases.size)}
            ],
        ).distinct
        for i, (name, bases) in enumerate(zip(sequences.names, sequences.rows(), strict=True))
    ]
    return [decode(row) for distinct in mutants for row in distinct]


def test_every_cell_of_the_design_is_there_once(curve: Outcomes, sequences: Sequences) -> None:
    cells = curve.cells.to_pandas()
    assert len(cells) == len(sequences) * (2 * 3 + 4) * len(COUNTS) == curve.diagnostics["naive_evaluations"]
    assert not cells.duplicated(["method", "operator", "order", "n", "full", "draw", "sequence"]).any()
    assert cells["sequence"].is_monotonic_increasing
    full = cells[cells["full"]]
    assert (full["n"] == sequences.lengths[full["sequence"]]).all()
    assert set(cells[~cells["full"]]["n"]) == {0, 1, 5}
    assert cells[cells["method"] == "random"]["draw"].max() == 3


def test_mutants_are_numbered_by_sequence_and_carry_what_the_model_says(
    curve: Outcomes, model: Model, sequences: Sequences, both: dict[str, Attribution]
) -> None:
    strings = rebuilt(curve, sequences, both)
    table = curve.mutants.to_pandas()
    assert table["id"].tolist() == list(range(len(strings)))
    assert table["sequence"].is_monotonic_increasing
    expected = model.logits(Sequences.from_strings(strings))
    assert np.stack(table["logits"]) == pytest.approx(expected, abs=1e-5)
    assert table["gc"].tolist() == [text.count("G") + text.count("C") for text in strings]
    originals = sequences.strings()
    changed = [
        sum(text[i : i + 3] != originals[s][i : i + 3] for i in range(len(text) - 2))
        for text, s in zip(strings, table["sequence"], strict=True)
    ]
    assert table["tokens_changed"].tolist() == changed


def test_each_distinct_mutant_is_classified_once(
    model: Model, sequences: Sequences, both: dict[str, Attribution]
) -> None:
    calls: list[tuple[int, ...]] = []

    class Recorded:
        def __call__(self, bases: Int8, lengths: Int64) -> Tokens:
            calls.extend(tuple(row[:length]) for row, length in zip(bases.tolist(), lengths, strict=True))
            return model.tokenizer(bases, lengths)

        def __getattr__(self, name: str) -> object:
            return getattr(model.tokenizer, name)

    curve = mutate(replace(model, tokenizer=Recorded()), sequences, both, COUNTS, replicates=2, random_sets=2)
    # Each chunk tokenises its sequences once more than it classifies them, to count changed tokens.
    assert len(calls) - len(sequences) == curve.diagnostics["evaluations"] == curve.mutants.num_rows
    assert len(set(calls)) == curve.diagnostics["evaluations"]
    assert curve.diagnostics["evaluations"] < 0.8 * curve.diagnostics["naive_evaluations"]


def test_unmutated_and_fully_mutated_cells_share_mutants(curve: Outcomes, sequences: Sequences) -> None:
    cells = curve.cells.to_pandas()
    assert cells[cells["n"] == 0].groupby("sequence")["mutant"].nunique().tolist() == [1] * len(sequences)
    full = cells[cells["full"]].assign(alleles=cells["draw"] % 3)
    assert (full.groupby(["sequence", "alleles"])["mutant"].nunique() == 1).all()


def test_a_sequence_gets_the_same_outcome_in_any_company(
    model: Model, sequences: Sequences, make_scores: Scores, curve: Outcomes, both: dict[str, Attribution]
) -> None:
    few = sequences.take([9, 2])
    picked = {
        name: replace(a, scores=a.scores[[9, 2]], target=a.target[[9, 2]], names=few.names) for name, a in both.items()
    }
    alone = mutate(model, few, picked, COUNTS, replicates=3, random_sets=4)
    for here, there in ((0, 9), (1, 2)):
        for column in ("tokens_changed", "gc"):
            assert of_sequence(alone, here)[column].tolist() == of_sequence(curve, there)[column].tolist()
        assert np.stack(of_sequence(alone, here)["logits"]) == pytest.approx(
            np.stack(of_sequence(curve, there)["logits"]), abs=1e-5
        )


def of_sequence(curve: Outcomes, index: int):
    cells = curve.cells.to_pandas()
    return cells[cells["sequence"] == index].merge(curve.mutants.to_pandas(), left_on="mutant", right_on="id")


def test_chunks_do_not_matter(
    model: Model,
    sequences: Sequences,
    curve: Outcomes,
    both: dict[str, Attribution],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(execution, "CELLS_PER_CHUNK", 3 * (2 * 3 + 4) * len(COUNTS))
    other = mutate(model, sequences, both, COUNTS, replicates=3, random_sets=4)
    assert (other.settings["chunk"], curve.settings["chunk"]) == (3, 51)
    assert other.cells.to_pandas().equals(curve.cells.to_pandas())
    for column in ("id", "sequence", "tokens_changed", "gc"):
        assert other.mutants[column].to_pylist() == curve.mutants[column].to_pylist()
    assert np.stack(other.mutants["logits"].to_pylist()) == pytest.approx(
        np.stack(curve.mutants["logits"].to_pylist()), abs=1e-5
    )


def test_several_operators_and_orders_share_what_they_can(
    model: Model, sequences: Sequences, make_scores: Scores
) -> None:
    scores = make_scores(sequences)
    curve = mutate(
        model,
        sequences,
        scores,
        [0, 4, "all"],
        replicates=1,
        operator=["random_other", "complement"],
        order=["morf", "lerf", "insertion"],
    )
    cells = curve.cells.to_pandas()
    assert len(cells) == len(sequences) * 2 * 3 * 3
    # Per operator: 3 sets of n = 4 and the full mutation; and the sequence itself.
    assert curve.diagnostics["evaluations"] <= len(sequences) * (2 * 4 + 1)
    restored = cells[(cells["order"] == "insertion") & cells["full"]]["mutant"]
    assert restored.tolist() == cells[(cells["order"] == "morf") & (cells["n"] == 0)]["mutant"].tolist()


def test_a_single_attribution_is_called_by_its_method(model: Model, sequences: Sequences, make_scores: Scores) -> None:
    curve = mutate(model, sequences, make_scores(sequences, "rollout"), [1], replicates=1)
    assert set(curve.cells["method"].to_pylist()) == {"rollout"}
    assert set(curve.cells["n"].to_pylist()) == {1}
    assert curve.diagnostics["evaluations"] == 2 * len(sequences)  # the sequence itself is always classified


def test_the_length_of_all_sequences_means_all(
    model: Model, make_sequences: Callable[..., Sequences], make_scores: Scores
) -> None:
    sequences = make_sequences([20, 20])
    curve = mutate(model, sequences, make_scores(sequences), [0, 20, 20, "all"], replicates=1)
    cells = curve.cells.to_pandas()
    assert cells[["n", "full"]].to_numpy().tolist() == [[0, False], [20, True]] * 2


def test_ties_and_missing_scores_are_counted(model: Model, sequences: Sequences, make_scores: Scores) -> None:
    inputs = make_scores(sequences)
    scores = inputs.scores.copy()
    scores[0, :10], scores[1, 3] = 0.0, np.nan
    curve = mutate(model, sequences, replace(inputs, scores=scores), [1], replicates=1)
    assert curve.of_method("tied", "one").sum() == 10
    assert curve.of_method("nonfinite", "one").sum() == 1


def test_labels_are_not_needed(model: Model, make_sequences: Callable[..., Sequences], make_scores: Scores) -> None:
    sequences = make_sequences([20, 25], labels=False)
    assert mutate(model, sequences, make_scores(sequences), [1]).labels is None


def test_progress_counts_sequences_to_the_end(model: Model, sequences: Sequences, make_scores: Scores) -> None:
    message: list[tuple[int, int]] = []
    mutate(model, sequences, make_scores(sequences), [1], progress=lambda *at: message.append(at))
    assert message == sorted(message)
    assert message[-1] == (11, 11)
    assert len(message) > 2


def test_seed_changes_the_mutants(model: Model, sequences: Sequences, make_scores: Scores) -> None:
    first, second = (mutate(model, sequences, make_scores(sequences), ["all"], seed=seed) for seed in (0, 1))
    assert first.mutants["gc"].to_pylist() != second.mutants["gc"].to_pylist()


def test_three_classes(
    make_checkpoint: Callable[..., Path], make_sequences: Callable[..., Sequences], make_scores: Scores
) -> None:
    three = load_model(make_checkpoint(k=3, labels=("a", "b", "c"), seed=3), device="cpu")
    sequences = replace(make_sequences([20] * 6), labels=np.array([0, 1, 2, 0, 1, 2]))
    curve = mutate(three, sequences, make_scores(sequences), [0, 5, "all"], random_sets=2)
    table = summarise(curve, resamples=50)
    assert sorted(set(table["label"])) == [0, 1, 2]
    assert default_label(curve) in (0, 1, 2)
    calls = three.logits(sequences).argmax(axis=1)
    start = table[(table["n"] == 0) & (table["method"] == "one")]
    assert start["accuracy"].tolist() == [(calls[sequences.labels == label] == label).mean() for label in range(3)]


def test_regression(
    make_checkpoint: Callable[..., Path], make_sequences: Callable[..., Sequences], make_scores: Scores
) -> None:
    one = load_model(make_checkpoint(k=3, labels=("activity",)), device="cpu")
    assert one.regression
    sequences = replace(make_sequences([20] * 4), labels=np.array([0.5, 1.5, -1.0, 2.0]))
    curve = mutate(one, sequences, make_scores(sequences), [0, "all"])
    assert curve.labels is None
    start = summarise(curve).iloc[0]
    assert start["logit"] == pytest.approx(one.logits(sequences).mean(), abs=1e-5)
    assert np.isnan(start["accuracy"])
    assert default_label(curve) is None


class TestRefusals:
    def test_n_in_a_sequence(self, model: Model, make_scores: Scores) -> None:
        sequences = Sequences.from_strings(["ACGTACGT", "ACGNACGT"])
        with pytest.raises(SequenceError, match=r"'seq1' has an N at position 3.*--drop-n"):
            mutate(model, sequences, make_scores(sequences), [1])

    def test_no_sequences(self, model: Model) -> None:
        none = Sequences.from_strings([])
        nothing = Attribution("one", np.zeros((0, 0), np.float32), "nucleotide", np.zeros(0, np.int64), ())
        with pytest.raises(SequenceError, match="at least one"):
            mutate(model, none, nothing, [1])

    def test_count_above_the_shortest(self, model: Model, sequences: Sequences, make_scores: Scores) -> None:
        with pytest.raises(CountError, match="cannot substitute 22 nucleotides in 'seq9', which has 21"):
            mutate(model, sequences, make_scores(sequences), [22])

    @pytest.mark.parametrize("wrong", [{"counts": []}, {"replicates": 0}, {"random_sets": -1}])
    def test_nothing_to_do(self, model: Model, sequences: Sequences, make_scores: Scores, wrong: dict) -> None:
        with pytest.raises(UsageError, match="at least 1 replicate"):
            mutate(model, sequences, make_scores(sequences), **{"counts": [1], **wrong})

    def test_labels_that_are_no_classes_of_the_model(self, model: Model, make_scores: Scores) -> None:
        sequences = Sequences.from_strings(["ACGTACGT", "ACGGACGT"], labels=[0, 2])
        with pytest.raises(LabelError, match="'seq1' has the label 2; the model's classes are 0 to 1"):
            mutate(model, sequences, make_scores(sequences), [1])

    def test_too_long_for_the_model(
        self, model: Model, make_sequences: Callable[..., Sequences], make_scores: Scores
    ) -> None:
        sequences = make_sequences([400])
        with pytest.raises(LengthError):
            mutate(model, sequences, make_scores(sequences), [1])

    def test_unknown_operator_and_order(self, model: Model, sequences: Sequences, make_scores: Scores) -> None:
        with pytest.raises(UnknownName, match="operator"):
            mutate(model, sequences, make_scores(sequences), [1], operator="random")
        with pytest.raises(UnknownName, match="Did you mean 'lerf'"):
            mutate(model, sequences, make_scores(sequences), [1], order="lrf")

    def test_two_things_called_random(self, model: Model, sequences: Sequences, make_scores: Scores) -> None:
        scores = make_scores(sequences, "random")
        assert mutate(model, sequences, scores, [1]).settings["methods"] == ["random"]
        curve = mutate(model, sequences, scores, [1], random_sets=2)
        assert curve.settings["methods"] == ["random_scores"]
        assert set(curve.to_frame()["method"]) == {"random", "random_scores"}

    def test_methods_that_explain_different_classes(
        self, model: Model, sequences: Sequences, both: dict[str, Attribution]
    ) -> None:
        target = both["two"].target.copy()
        target[4] = 1
        with pytest.raises(TargetError, match=r"'two' explains another class of 'seq4'"):
            mutate(model, sequences, {**both, "two": replace(both["two"], target=target)}, [1])
