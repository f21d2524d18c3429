"""Scores must be of these very sequences, in memory and from a file, and both give the same trial."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from helpers.score_files import without_sum
from kmerit.attribution.attribute import attribute
from kmerit.errors import FormatError, RunMismatch, SequenceError, TargetError, UsageError
from kmerit.io.scores import read_attributions
from kmerit.models.model import Model
from kmerit.results import Attribution, Identity
from kmerit.sequences import Sequences
from kmerit.trials import execution
from kmerit.trials.execution import open_scores
from kmerit.trials.trial import mutate

Scores = Callable[..., Attribution]


@pytest.fixture
def written(model: Model, sequences: Sequences, tmp_path: Path) -> Path:
    return attribute(model, sequences, ["attention", "lrp"], target=1, out=tmp_path / "scores.parquet")


def rewritten(path: Path, **columns: object) -> Path:
    table = without_sum(path)
    for name, values in columns.items():
        table = table.set_column(table.column_names.index(name), name, pa.array(values))
    pq.write_table(table, path.with_name("other.parquet"))
    return path.with_name("other.parquet")


def test_a_file_and_memory_give_the_same_trial(model: Model, sequences: Sequences, written: Path) -> None:
    in_memory = attribute(model, sequences, ["attention", "lrp"], target=1)
    first = mutate(model, sequences, in_memory, [1, 5], random_sets=2)
    second = mutate(model, sequences, written, [1, 5], random_sets=2)
    assert first.mutants.equals(second.mutants)
    assert first.cells.equals(second.cells)
    assert first.settings == second.settings
    changed = replace(in_memory["lrp"], scores=in_memory["lrp"].scores * 2)
    third = mutate(model, sequences, {"attention": in_memory["attention"], "lrp": changed}, [1])
    assert third.settings["scores_sha256"] != first.settings["scores_sha256"]


@pytest.mark.parametrize("begun_with_file", [False, True])
def test_a_trial_of_a_file_goes_on_with_what_was_read_from_it(
    model: Model, sequences: Sequences, written: Path, tmp_path: Path, begun_with_file: bool
) -> None:
    sources = [read_attributions(written), written]
    first, then = reversed(sources) if begun_with_file else sources
    out, chunks = tmp_path / "out", list[int]()

    def stop(done: int, of: int) -> None:
        chunks.append(done)
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        mutate(model, sequences, first, [1, 5], out=out, progress=stop)
    assert chunks
    mutate(model, sequences, then, [1, 5], out=out)
    one = mutate(model, sequences, written, [1, 5], out=tmp_path / "one")
    assert (out / "outcomes.json").read_bytes() == (one / "outcomes.json").read_bytes()
    other = attribute(model, sequences, ["attention", "lrp"], target=0)
    with pytest.raises(RunMismatch, match="other scores"):
        mutate(model, sequences, other, [1, 5], out=out)


def test_scores_of_another_model_are_said_to_be(
    model: Model, sequences: Sequences, written: Path, caplog: pytest.LogCaptureFixture
) -> None:
    mutate(model, sequences, written, [1])
    assert not caplog.text
    mutate(replace(model, digest="0" * 64), sequences, written, [1])
    assert "scores were made with another model" in caplog.text


@pytest.mark.parametrize("row_group", [1, 3, 1000])
def test_row_groups_of_a_file_do_not_matter(
    sequences: Sequences, written: Path, tmp_path: Path, row_group: int
) -> None:
    other = tmp_path / "regrouped.parquet"
    pq.write_table(without_sum(written), other, row_group_size=row_group)
    ours, theirs = (open_scores(path, sequences).chunks(4) for path in (other, written))
    for one, two in zip(ours, theirs, strict=True):
        assert len(one) == len(two) <= 4
        assert all(np.array_equal(a, b, equal_nan=True) for a, b in zip(one, two, strict=True))


def test_chunks_are_cut_to_each_length(sequences: Sequences, make_scores: Scores) -> None:
    chunks = list(open_scores(make_scores(sequences), sequences).chunks(4))
    assert [len(chunk) for chunk in chunks] == [4, 4, 3]
    assert [scores.shape for chunk in chunks for scores in chunk] == [(1, n) for n in sequences.lengths]


def test_no_attribution(sequences: Sequences) -> None:
    with pytest.raises(UsageError, match="at least one attribution"):
        open_scores({}, sequences)


def test_scores_of_tokens(sequences: Sequences, make_scores: Scores) -> None:
    with pytest.raises(UsageError, match="per token; mutagenesis ranks nucleotides"):
        open_scores(make_scores(sequences, level="token"), sequences)


def test_scores_of_other_sequences(sequences: Sequences, make_scores: Scores) -> None:
    with pytest.raises(SequenceError, match="'one' has scores of 'seq0' where 'seq1' is expected"):
        open_scores(make_scores(sequences.take([0, 1])), sequences.take([1, 0]))
    with pytest.raises(SequenceError, match="scores of 11 sequences; expected those of 2"):
        open_scores(make_scores(sequences), sequences.take([1, 0]))


def test_scores_of_longer_or_shorter_sequences(make_sequences: Callable[..., Sequences], make_scores: Scores) -> None:
    long, short = make_sequences([30]), make_sequences([20])
    for scored, inputs in ((long, short), (short, long)):
        with pytest.raises(SequenceError, match=f"not of its {inputs.lengths[0]} nucleotides"):
            list(open_scores(make_scores(scored), inputs).chunks(1))


def test_file_is_missing_or_not_parquet(sequences: Sequences, tmp_path: Path) -> None:
    with pytest.raises(FormatError, match="no such file"):
        open_scores(tmp_path / "none.parquet", sequences)
    (tmp_path / "text.parquet").write_text("name,score\n")
    with pytest.raises(FormatError, match="not a readable Parquet file"):
        open_scores(tmp_path / "text.parquet", sequences)


def test_file_of_something_else(sequences: Sequences, tmp_path: Path) -> None:
    pq.write_table(pa.table({"name": ["a"], "level": ["nucleotide"]}), tmp_path / "other.parquet")
    with pytest.raises(FormatError, match="lacks method, scores, target"):
        open_scores(tmp_path / "other.parquet", sequences)


def test_file_that_ends_early(sequences: Sequences, written: Path, tmp_path: Path) -> None:
    pq.write_table(without_sum(written).slice(0, 21), tmp_path / "short.parquet")
    with pytest.raises(SequenceError, match=r"scores of 10 sequences; expected those of 11\. Attribute these"):
        open_scores(tmp_path / "short.parquet", sequences)


def test_a_file_of_more_sequences_says_what_to_do(sequences: Sequences, written: Path) -> None:
    with pytest.raises(SequenceError, match=r"scores of 11 sequences; expected those of 4\. Attribute these sequences"):
        open_scores(written, sequences.take(range(4)))


def test_file_without_rows(sequences: Sequences, written: Path, tmp_path: Path) -> None:
    pq.write_table(without_sum(written).slice(0, 0), tmp_path / "none.parquet")
    with pytest.raises(FormatError, match="found none"):
        open_scores(tmp_path / "none.parquet", sequences)


@pytest.mark.parametrize("together", [2, 4096])
@pytest.mark.parametrize(
    "order", [[*range(0, 22, 2), *range(1, 22, 2)], [0, 1, 3, 2, *range(4, 22)]], ids=["by method", "varying"]
)
def test_file_in_another_order(
    sequences: Sequences,
    written: Path,
    tmp_path: Path,
    order: list[int],
    together: int,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(execution, "_HEADER_SEQUENCES", together)
    pq.write_table(without_sum(written).take(order), tmp_path / "sorted.parquet")
    ours, theirs = (open_scores(path, sequences) for path in (tmp_path / "sorted.parquet", written))
    assert ours.methods == theirs.methods
    assert ours.digest == theirs.digest


def test_a_row_one_score_short_is_named(sequences: Sequences, written: Path) -> None:
    rows = without_sum(written)["scores"].to_pylist()
    rows[5] = rows[5][:-1]
    with pytest.raises(SequenceError, match=rf"scores of '{sequences.names[2]}' are not of its \d+ nucleotides"):
        list(open_scores(rewritten(written, scores=rows), sequences).chunks(4))


def test_own_scores_in_parquet_are_told_which_files_to_use(sequences: Sequences, tmp_path: Path) -> None:
    table = pa.table({"name": ["a"], "position": [0], "score": [1.0]})
    pq.write_table(table, tmp_path / "own.parquet")
    with pytest.raises(FormatError, match=r"lacks level, method, scores, target\. Own scores: \.npy, \.npz, \.csv"):
        open_scores(tmp_path / "own.parquet", sequences)


def test_names_and_letters_of_a_file_in_order_are_not_held(
    sequences: Sequences, written: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    result, compare = list[int](), Identity.matches

    def matches(identity: Identity, those: Sequences) -> bool:
        result.append(len(those))
        return compare(identity, those)

    monkeypatch.setattr(execution, "_HEADER_SEQUENCES", 2)
    monkeypatch.setattr(Identity, "matches", matches)
    monkeypatch.setattr(Identity, "joined", None)
    assert open_scores(written, sequences).rows.tolist() == list(range(len(sequences)))
    assert sum(result) == len(sequences)
    assert max(result) == 2


def test_file_of_other_sequences(sequences: Sequences, written: Path) -> None:
    renamed = replace(sequences, names=("first", *sequences.names[1:]))
    with pytest.raises(SequenceError, match="has scores of 'seq0' where 'first' is expected"):
        open_scores(written, renamed)


def test_file_with_two_classes_explained(sequences: Sequences, written: Path) -> None:
    with pytest.raises(TargetError, match="'lrp' explains another class of 'seq0'"):
        open_scores(rewritten(written, target=[1, 0] * 11), sequences)


def test_file_of_token_scores(sequences: Sequences, written: Path) -> None:
    with pytest.raises(UsageError, match="per token"):
        open_scores(rewritten(written, level=["token"] * 22), sequences)
