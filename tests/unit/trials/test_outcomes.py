"""The outcomes of a trial: three tables, and arrays that are made once, whoever asks."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from helpers.faithfulness_judged import curve_of
from kmerit import results
from kmerit.errors import UnknownName, UsageError
from kmerit.models.model import Model
from kmerit.results import Attribution, Outcomes
from kmerit.sequences import Locus, Sequences
from kmerit.trials.measures import default_label, summarise, write_cards
from kmerit.trials.trial import mutate
from kmerit.trials.verdicts import judge

LABELS = np.arange(24) % 2
DROPS = {name: np.full((24, 1, 2), 1.0) for name in ("a", "shifted(a)", "clump(a)", "other(a)")}


def counted(monkeypatch: pytest.MonkeyPatch, name: str) -> list[int]:
    """Count the calls of a function that lays outcomes out."""
    real, calls = getattr(results, name), []

    def counting(*args: object) -> object:
        calls.append(1)
        return real(*args)

    monkeypatch.setattr(results, name, counting)
    return calls


@pytest.mark.parametrize("verb", [judge, summarise, default_label])
def test_the_folder_of_outcomes_is_refused_with_the_remedy(verb: Callable[[object], object]) -> None:
    remedy = rf"^{verb.__name__}: expected outcomes, got 'out'\. Read those of a folder: km\.read_outcomes\('out'\)\.$"
    with pytest.raises(UsageError, match=remedy):
        verb(Path("out"))
    with pytest.raises(UsageError, match=r"expected outcomes, which km\.trial and km\.mutate return, got 3"):
        verb(3)


def test_the_answers_are_laid_out_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    counts = {"evaluations": 216, "naive_evaluations": 216}
    outcomes, calls = replace(curve_of(DROPS, LABELS), diagnostics=counts), counted(monkeypatch, "_logits")
    judge(outcomes, resamples=100)
    summarise(outcomes, resamples=10)
    write_cards(outcomes, tmp_path, resamples=100)
    assert len(calls) == 1


def test_what_is_known_of_each_sequence(model: Model, make_scores: Callable[..., Attribution]) -> None:
    loci = [Locus("chr1", 0, 12), None, Locus("chr1", 6, 18)]
    strings = ["ACGTACGTACGT", "TTGCATTGCA", "CCGTTGCACCGT"]
    sequences = replace(Sequences.from_strings(strings, labels=[0, 1, 1]), loci=loci)
    scores = make_scores(sequences, "one", 0)
    values = scores.scores.copy()
    values[0, :12], values[1, 3] = 2.0, np.nan
    outcomes = mutate(model, sequences, replace(scores, scores=values), [0, 2], 1)
    frame = outcomes.sequences.to_pandas()
    assert frame["name"].tolist() == ["seq0", "seq1", "seq2"]
    assert frame["length"].tolist() == [12, 10, 12]
    assert frame["label"].tolist() == [0, 1, 1]
    assert frame["cluster"].tolist() == [0, 1, 0]  # their loci overlap
    assert frame["start"].tolist()[::2] == [0, 6]
    assert [outcomes.of_method(each, "one").tolist() for each in ("constant", "nonfinite", "withheld")] == [
        [True, False, False],
        [0, 1, 0],
        [False] * 3,
    ]
    assert outcomes.of_method("tied", "one").tolist() == [12, 0, 0]
    assert outcomes.of_method("tied", "random").tolist() == [0, 0, 0]
    original = outcomes.mutants.take(pa.array(frame["original"]))
    assert original["sequence"].to_pylist() == [0, 1, 2]
    assert original["tokens_changed"].to_pylist() == [0, 0, 0]
    assert not {"targets", "clusters", "loci", "tie_share", "evaluations"} & set(outcomes.settings)
    assert outcomes.predicted.tolist() == model.logits(sequences).argmax(axis=1).tolist()


def test_labels_for_some_sequences_are_refused() -> None:
    outcomes = curve_of(DROPS, LABELS)
    at = outcomes.sequences.column_names.index("label")
    some = outcomes.sequences.set_column(at, "label", pa.array([None, *LABELS[1:].tolist()], pa.int64()))
    with pytest.raises(ValueError, match="a label for all of them, or for none"):
        replace(outcomes, sequences=some)
    with pytest.raises(ValueError, match="sequences: expected columns"):
        replace(outcomes, sequences=outcomes.sequences.drop_columns(["target"]))


def test_without_labels_classes_are_what_the_model_calls() -> None:
    outcomes: Outcomes = curve_of(DROPS, LABELS, targets=np.zeros(24, dtype=int).tolist())
    bare = outcomes.without_labels
    assert bare.labels is None
    assert bare.classes.tolist() == bare.predicted.tolist() == outcomes.predicted.tolist()
    assert bare.initially_correct.all()
    assert bare is outcomes.without_labels


def test_verdicts_are_found_by_number_method_and_class() -> None:
    verdicts = judge(curve_of(DROPS, LABELS), resamples=100)
    assert [each.class_name for each in verdicts] == ["off", "on"]
    assert verdicts["a"] == verdicts
    assert verdicts["on", "a"] is verdicts[1] is verdicts[-1]
    assert len(verdicts[:1]) == 1
    with pytest.raises(UnknownName, match="lrp"):
        verdicts["lrp"]
    with pytest.raises(UnknownName, match="in between"):
        verdicts["in between", "a"]
