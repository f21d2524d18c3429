"""A corpus is joined, cleaned, held out and cut into windows without losing or inventing a nucleotide."""

import pytest

from helpers.training_data import random_strings
from kmerit.datasets.task import load_task
from kmerit.errors import ConfigError, SequenceError, UnknownName
from kmerit.io.readers import write_sequences
from kmerit.sequences import Sequences
from kmerit.training.data import held_out, joined, read_corpus, without_test_rows

CORPUS = Sequences.from_strings([*random_strings(3, 2000, seed=0), "ACGTN" * 40])


def test_soft_masked_files_are_read_and_joined(tmp_path) -> None:
    (tmp_path / "a.fa").write_text(">x\nacgtACGT\n")
    (tmp_path / "b.fa").write_text(">x\nGGG\n>y\nCC\n")
    corpus = read_corpus([str(tmp_path / "a.fa"), str(tmp_path / "b.fa")])
    assert corpus.strings() == ["ACGTACGT", "GGG", "CC"]
    assert len(set(corpus.names)) == 3


def test_a_corpus_must_be_named() -> None:
    with pytest.raises(ConfigError, match="--corpus"):
        read_corpus([])


@pytest.mark.parametrize("share", [0.01, 0.3, 0.5, 0.9])
def test_what_is_held_out_is_the_end(share) -> None:
    front, end = held_out(CORPUS, share, 10)
    assert end is not None
    assert "".join(front.strings() + end.strings()) == "".join(CORPUS.strings())
    assert end.bases.size == round(CORPUS.bases.size * share)


def test_a_cut_between_records_leaves_both_whole() -> None:
    front, end = held_out(Sequences.from_strings(["ACGT", "GGGG"]), 0.5, 1)
    assert end is not None
    assert (front.strings(), end.strings()) == (["ACGT"], ["GGGG"])


def test_too_small_a_corpus_is_told() -> None:
    with pytest.raises(SequenceError, match="too small"):
        held_out(Sequences.from_strings(["ACGT"]), 0.1, 3)


def test_test_rows_are_cut_out_on_both_strands(tmp_path) -> None:
    secret = random_strings(1, 200, seed=9)[0]
    turned = secret[::-1].translate(str.maketrans("ACGT", "TGCA"))
    flank = random_strings(4, 1000, seed=8)
    corpus = Sequences.from_strings([flank[0] + secret + flank[1], flank[2] + turned + flank[3]])
    write_sequences(Sequences.from_strings([secret]), tmp_path / "test.fa")
    clean, account = without_test_rows(corpus, [str(tmp_path / "test.fa")])
    assert account is not None
    assert account.cut == 2
    text = "|".join(clean.strings())
    assert all(part[start : start + 72] not in text for part in (secret, turned) for start in range(0, 128, 8))
    assert all(part[100:-100] in text for part in flank)


def test_validation_rows_are_cut_out_too() -> None:
    rows = [load_task("ienhancer_2l", split).take(slice(0, 3)) for split in ("test", "validation")]
    clean, _ = without_test_rows(joined([*rows, CORPUS]), ["ienhancer_2l"])
    assert clean.strings() == CORPUS.strings()


def test_what_is_neither_task_nor_file_is_refused() -> None:
    with pytest.raises(UnknownName, match="epdnew_nontata"):
        without_test_rows(CORPUS, ["epdnew_nontat"])
