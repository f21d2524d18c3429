"""What the explorer shows is what the run computed."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import kmerit as km
from kmerit.errors import FormatError
from kmerit.io.readers import write_sequences
from kmerit.report.explorer import read_exploration
from kmerit.report.load import Hit, Hits
from kmerit.trials.measures import summarise
from kmerit.trials.outcomes import read_outcomes

METHODS = ["attention", "lrp"]


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory, tiny_checkpoint: Path) -> Path:
    """A task's folder after a small trial of two operators."""
    place = tmp_path_factory.mktemp("task")
    rng = np.random.default_rng(0)
    strings = ["".join(rng.choice(list("ACGT"), length)) for length in (30, 41, 30, 35)]
    sequences = km.Sequences.from_strings(strings, [0, 1, 1, 0], ["a", 'b"<b>', "c", "é"])
    write_sequences(sequences, place / "sequences.parquet")
    model = km.load_model(tiny_checkpoint)
    km.attribute(model, sequences, METHODS, out=place / "attributions.parquet")
    km.mutate(
        model,
        sequences,
        place / "attributions.parquet",
        counts=[0, 3, "all"],
        replicates=2,
        random_sets=2,
        operator=["complement", "random_other"],
        out=place / "outcomes",
    )
    return place


@pytest.fixture
def place(finished: Path, tmp_path: Path) -> Path:
    """A copy, to be spoilt."""
    return Path(shutil.copytree(finished, tmp_path / "task"))


def test_probabilities_average_to_the_summarys(place: Path) -> None:
    shown = read_exploration(place, ("random_other", "morf"))
    assert shown is not None
    assert shown.trial is not None
    assert shown.trial.rows == ("attention", "lrp", "random")
    assert shown.trial.counts == (0, 3, "all")
    summary = summarise(read_outcomes(place / "outcomes"))
    summary = summary[summary["operator"] == "random_other"]
    labels = np.asarray(shown.sequences.labels)
    for r, method in enumerate(shown.trial.rows):
        for label in (0, 1):
            rows = summary[(summary["method"] == method) & (summary["label"] == label)].sort_values("n")
            ours = shown.trial.probability[r, labels == label].mean(axis=0)
            np.testing.assert_allclose(ours, rows["probability"], rtol=1e-6)


def test_scores_calls_and_targets_are_the_models(place: Path, tiny_checkpoint: Path) -> None:
    shown = read_exploration(place)
    assert shown is not None
    assert shown.trial is not None
    assert shown.methods == tuple(METHODS)
    assert shown.trial.operator == "complement"
    model = km.load_model(tiny_checkpoint)
    scores = km.attribute(model, shown.sequences, METHODS)
    for i, length in enumerate(shown.sequences.lengths):
        np.testing.assert_array_equal(shown.scores[i][1], scores["lrp"].scores[i][:length])
    called = model.predict(shown.sequences).argmax(axis=1)
    np.testing.assert_array_equal(shown.trial.called, called)
    np.testing.assert_array_equal(shown.targets, called)
    assert shown.trial.correct is not None
    np.testing.assert_array_equal(shown.trial.correct, called == shown.sequences.labels)


def test_without_a_trial_the_scores_are_shown_alone(place: Path) -> None:
    shutil.rmtree(place / "outcomes")
    shown = read_exploration(place)
    assert shown is not None
    assert shown.trial is None


@pytest.mark.parametrize("name", ["sequences.parquet", "attributions.parquet"])
def test_without_sequences_or_scores_there_is_nothing_to_explore(place: Path, name: str) -> None:
    (place / name).unlink()
    assert read_exploration(place) is None


def test_token_boundaries(place: Path) -> None:
    shown = read_exploration(place)
    assert shown is not None
    assert shown.spans is None
    names = list(shown.sequences.names)
    starts = [list(range(int(length) - 5)) for length in shown.sequences.lengths]
    ends = [[start + 6 for start in each] for each in starts]
    pq.write_table(pa.table({"name": names, "starts": starts, "ends": ends}), place / "tokens.parquet")
    shown = read_exploration(place)
    assert shown is not None
    assert shown.spans is not None
    assert shown.spans[1].shape == (36, 2)
    pq.write_table(pa.table({"name": names[::-1], "starts": starts, "ends": ends}), place / "tokens.parquet")
    with pytest.raises(FormatError, match="other sequences"):
        read_exploration(place)


@pytest.mark.parametrize("name", ["sequences.parquet", "attributions.parquet", "outcomes/cells.parquet"])
def test_a_damaged_file_is_refused(place: Path, name: str) -> None:
    (place / name).write_bytes((place / name).read_bytes()[:50])
    with pytest.raises(FormatError):
        read_exploration(place)


def test_files_that_do_not_belong_together_are_refused(place: Path, tiny_checkpoint: Path) -> None:
    shown = read_exploration(place)
    assert shown is not None
    write_sequences(shown.sequences.take([1, 0, 2, 3]), place / "sequences.parquet")
    with pytest.raises(FormatError, match=r"attributions\.parquet"):
        read_exploration(place)
    other = shown.sequences.bases.copy()
    other[0] = (other[0] + 1) % 4
    write_sequences(replace(shown.sequences, bases=other), place / "sequences.parquet")
    with pytest.raises(FormatError, match=r"attributions\.parquet.* other letters than these of"):
        read_exploration(place)
    km.attribute(
        km.load_model(tiny_checkpoint),
        replace(shown.sequences, bases=other),
        list(shown.methods),
        out=place / "attributions.parquet",
    )
    with pytest.raises(FormatError, match=r"outcomes' is of other sequences"):
        read_exploration(place)


def test_hits_on_unknown_sequences_are_refused(place: Path) -> None:
    hit = Hit(sequence="c", start=2, end=8, motif="TATA")
    shown = read_exploration(place, hits=Hits(source="mine", hits=(hit,)))
    assert shown is not None
    assert shown.hits == Hits(source="mine", hits=(hit,))
    with pytest.raises(FormatError, match="'x'"):
        read_exploration(place, hits=Hits(hits=(Hit(sequence="x", start=2, end=8, motif="TATA"),)))
