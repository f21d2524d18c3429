"""Data sets in every form, and clear words where they cannot be understood."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from helpers.faulty_sets import made, random_parts
from kmerit.datasets.audit import audit
from kmerit.datasets.findings import Gap
from kmerit.datasets.reading import Reading, read_dataset
from kmerit.datasets.split import split, write_split
from kmerit.errors import FormatError, LabelError, UsageError
from kmerit.io.readers import write_sequences
from kmerit.sequences import Locus, Sequences, decode

ROWS = "name,sequence,label\na,ACGTACGT,0\nb,TTGACCAT,1\n"


@pytest.fixture
def files(tmp_path: Path) -> Path:
    """Two splits as files."""
    write_sequences(made(random_parts(4)), tmp_path / "train.parquet")
    write_sequences(made(random_parts(2, seed=1)), tmp_path / "test.fa.gz")
    return tmp_path


def test_a_folder_of_splits_and_the_same_files_one_by_one(files: Path) -> None:
    folder = read_dataset(files)
    by_name = read_dataset([f"train={files / 'train.parquet'}", str(files / "test.fa.gz")])
    for data in (folder, by_name):
        assert data.splits == ("train", "test")
        assert data.split.tolist() == [0, 0, 0, 0, 1, 1]
        assert data.labels.tolist() == [0, 1] * 3


def test_a_column_of_splits(tmp_path: Path) -> None:
    path = tmp_path / "all.csv"
    path.write_text("sequence,label,split\nACGT,0,test\nAAAA,1,test\nCCCC,0,train\nGGGG,1,train\nTTTT,1,dev\n")
    data = read_dataset(path)
    assert data.splits == ("train", "dev", "test")
    assert data.sequences is not None
    assert data.sequences.strings() == ["CCCC", "GGGG", "TTTT", "ACGT", "AAAA"]


def test_a_folder_with_a_file_per_class(tmp_path: Path) -> None:
    for part in ("train", "test"):
        (tmp_path / part).mkdir()
        (tmp_path / part / "promoter.fa").write_text(">a\nACGT\n")
        (tmp_path / part / "background.fa").write_text(">b\nGGGG\n>c\nTTTT\n")
    data = read_dataset(tmp_path)
    assert data.classes == ("background", "promoter")
    assert data.labels.tolist() == [0, 0, 1] * 2


def test_names_of_classes_are_those_of_the_files(tmp_path: Path) -> None:
    for part in ("train", "test"):
        (tmp_path / part).mkdir()
        (tmp_path / part / "promoter.fa").write_text(">a\nACGT\n")
        (tmp_path / part / "background.fa").write_text(">b\nGGGG\n>c\nTTTT\n")
    data = read_dataset(tmp_path, Reading(classes=("promoter", "background")))
    assert data.classes == ("promoter", "background")
    assert data.labels.tolist() == [1, 1, 0] * 2
    with pytest.raises(LabelError, match=r"named positive, negative, and the files background, promoter\. Name the"):
        read_dataset(tmp_path, Reading(classes=("positive", "negative")))


def test_files_of_splits_come_before_folders(tmp_path: Path) -> None:
    for part in ("train", "test"):
        (tmp_path / f"{part}.csv").write_text(ROWS)
    (tmp_path / "old").mkdir()
    (tmp_path / "old" / "notes.csv").write_text("what,when\nx,y\n")
    with pytest.raises(FormatError, match="the same file, byte for byte"):  # train.csv and test.csv are read
        read_dataset(tmp_path)
    (tmp_path / "test.csv").write_text(ROWS.replace("ACGTACGT", "ACGTTTTT"))
    assert read_dataset(tmp_path).splits == ("train", "test")
    assert read_dataset(tmp_path).unread == ("old/notes.csv",)
    (tmp_path / "train").mkdir()
    (tmp_path / "train" / "promoter.fa").write_text(">a\nACGT\n")
    with pytest.raises(FormatError, match=r"both test\.csv and train/promoter\.fa: are the splits files or folders"):
        read_dataset(tmp_path)


def test_files_that_are_not_read_are_told(files: Path) -> None:
    (files / "holdout.csv").write_text(ROWS)
    (files / "notes.txt").write_text("mine")
    assert read_dataset(files).unread == ("holdout.csv",)
    assert audit(files, baselines=()).unchecked[0] == Gap("unread", {"files": ["holdout.csv"]})
    assert split(files, test=0.5).settings["not_read"] == ["holdout.csv"]
    write_split(split(files, test=0.5), files / "new")
    assert read_dataset(files / "new").unread == ()  # its groups.csv is no split


def test_testing_is_a_split_too(files: Path) -> None:
    (files / "test.fa.gz").rename(files / "Testing.fa.gz")
    (files / "train.parquet").rename(files / "TRAINING.parquet")
    assert read_dataset(files).splits == ("training", "testing")
    write_sequences(made(random_parts(2, seed=2)), files / "test.fa")
    with pytest.raises(UsageError, match="which one is the test split"):
        audit(files, baselines=())


def test_folders_of_no_split_are_left_and_told(tmp_path: Path) -> None:
    for i, folder in enumerate(("train", "test", "old", "train/deep")):
        (tmp_path / folder).mkdir()
        for name in ("promoter", "background"):
            write_sequences(made(random_parts(2, seed=i), [0, 0]), tmp_path / folder / f"{name}.fa")
    for path in (tmp_path / "promoter.fa", tmp_path / "train" / "extra.parquet"):
        write_sequences(made(random_parts(2, seed=9)), path)
    data = read_dataset(tmp_path)
    assert (data.splits, len(data)) == (("train", "test"), 8)
    assert data.unread == (
        *("old/background.fa", "old/promoter.fa", "promoter.fa"),
        *("train/deep/background.fa", "train/deep/promoter.fa", "train/extra.parquet"),
    )


def test_one_split_in_two_formats(files: Path) -> None:
    write_sequences(made(random_parts(4)), files / "train.csv")
    with pytest.raises(FormatError, match=r"train\.csv and train\.parquet differ in their suffix alone"):
        read_dataset(files)
    (files / "train.parquet").unlink()
    assert read_dataset(files).splits == ("train", "test")


@pytest.mark.parametrize(
    ("names", "message"),
    [
        (("holdout", "training set"), "the splits are holdout, training set: which one is the training split"),
        (("train", "training", "test"), "which one is the train split"),
        (("train", "validation", "holdout"), "the splits are train, holdout, validation: which one is the test split"),
    ],
)
def test_splits_that_do_not_say_what_they_are_for(names: tuple[str, ...], message: str) -> None:
    sets = {name: made(random_parts(4, seed=i)) for i, name in enumerate(names)}
    with pytest.raises(UsageError, match=message):
        audit(sets, baselines=())
    assert len(split(sets, test=0.5).dataset) == 4 * len(names)


def test_one_split_by_another_name_is_the_test() -> None:
    sets = {"holdout": made(random_parts(4)), "Training": made(random_parts(4, seed=1))}
    assert list(audit(sets, baselines=()).splits) == ["Training", "holdout"]


def test_a_mistyped_task() -> None:
    with pytest.raises(
        UsageError, match=r"Unknown file, folder or task 'ienhancer_l2'\. Did you mean 'ienhancer_2l'\?"
    ):
        read_dataset("ienhancer_l2")


def test_a_folder_of_official_intervals(tmp_path: Path) -> None:
    for part in ("train", "test"):
        (tmp_path / part).mkdir()
        for name, start in (("positive", 100), ("negative", 900)):
            path = tmp_path / part / f"{name}.csv"
            path.write_text(f"id,region,start,end,strand\n0,chr1,{start},{start + 50},-\n")
    data = read_dataset(tmp_path)
    assert (data.classes, data.sequences) == (("negative", "positive"), None)
    assert data.lengths.tolist() == [50] * 4
    assert data.loci is not None
    assert data.loci[1] == Locus("chr1", 100, 150, "-")


def test_a_task() -> None:
    data = read_dataset("ienhancer_2l")
    assert (data.classes, data.splits, len(data)) == (("background", "enhancer"), ("train", "test"), 2874)


def test_rows_can_be_too_short(files: Path) -> None:
    with pytest.raises(FormatError, match="no row has 121 nt or more"):
        read_dataset(files, Reading(min_length=121))
    parts = random_parts(40)
    for i in (1, 6, 7):
        parts[i] = parts[i][:60]
    rows, how = made(parts), Reading(min_length=100)
    answer = audit(rows, reading=how, baselines=())
    assert answer.unchecked[0] == Gap("left_out", {"rows": 3, "min_length": 100})
    assert (answer.settings["min_length"], answer.settings["rows_left_out_as_too_short"]) == (100, 3)
    result = split(rows, reading=how)
    assert (result.dropped["too_short"], result.settings["min_length"]) == (3, 100)
    assert len(result.dataset) + sum(result.dropped.values()) == 40


def test_a_split_or_class_that_is_too_short_as_a_whole() -> None:
    short = made([part[:60] for part in random_parts(4, seed=1)])
    with pytest.raises(
        FormatError, match=r"none of the 4 rows of the split test has 100 nt or more \(the longest has 60"
    ):
        read_dataset({"train": made(random_parts(4)), "test": short}, Reading(min_length=100))
    parts = [part[: 60 if i % 2 else 120] for i, part in enumerate(random_parts(6))]
    with pytest.raises(FormatError, match="none of the 3 rows of the class 1 has 100 nt"):
        read_dataset(made(parts), Reading(min_length=100))


@pytest.mark.parametrize(
    ("content", "error", "message"),
    [
        ("name,sequence\na,ACGT\n", LabelError, r"all: no labels; .* --label-column"),
        ("sequence,label\nACGT,0.5\nAAAA,1\n", LabelError, "labels are values"),
        ("sequence,label\nACGT,1\nAAAA,1\n", LabelError, "every row is of class '1'"),
        ("sequence,label,split\nACGT,1,train\nAAAA,0,\n", FormatError, "line 3: the split is missing"),
        ("chrom,start,end,label\nchr1,0,9,1\n,,,0\n", FormatError, "line 3: neither letters nor coordinates"),
        (
            "sequence,label,chrom,start,end\nACGT,1,chr1,10,13\nAAAA,0,chr1,0,4\n",
            FormatError,
            r"line 2: 'seq0': its locus chr1:10-13:\+ has 3 nt, its letters 4",
        ),
        ("label\n1\n", FormatError, "no sequence column"),
    ],
)
def test_tables_that_cannot_be_audited(tmp_path: Path, content: str, error: type[Exception], message: str) -> None:
    path = tmp_path / "x.csv"
    path.write_text(content)
    with pytest.raises(error, match=message):
        read_dataset(path)


def test_coordinates_that_do_not_fit_can_be_left_out(tmp_path: Path) -> None:
    path = tmp_path / "x.csv"
    path.write_text("sequence,label,chrom,start,end\nACGT,1,chr1,10,13\nAAAA,0,chr1,0,4\n")
    assert read_dataset(path, Reading(coordinates=False)).loci is None


def test_the_same_file_twice(files: Path) -> None:
    copy = files / "copy.parquet"
    copy.write_bytes((files / "train.parquet").read_bytes())
    with pytest.raises(FormatError, match="the same file, byte for byte"):
        read_dataset([f"train={files / 'train.parquet'}", f"test={copy}"])


def test_a_file_of_an_unknown_split(files: Path) -> None:
    with pytest.raises(UsageError, match=r"which split is this\? Write train="):
        read_dataset([str(files / "train.parquet"), str(files / "other.csv")])


def test_strings_are_no_files() -> None:
    with pytest.raises(UsageError, match=r"'ACGTACGT': neither a file nor SPLIT=FILE\. Give .* sequences with labels"):
        read_dataset(["ACGTACGT", "TTTTACGA"])


def test_letters_in_one_split_and_none_in_the_other(tmp_path: Path) -> None:
    (tmp_path / "train.csv").write_text(ROWS)
    (tmp_path / "test.csv").write_text("chrom,start,end,label\nchr1,0,9,1\n")
    with pytest.raises(FormatError, match="some files have sequences and others only coordinates"):
        read_dataset(tmp_path)


def test_more_labels_than_names(tmp_path: Path) -> None:
    (tmp_path / "x.csv").write_text(ROWS)
    with pytest.raises(LabelError, match="the label 1 has no name; 1 classes are named"):
        read_dataset(tmp_path / "x.csv", Reading(classes=("only",)))
    with pytest.raises(LabelError, match="two classes are named 'a'"):
        read_dataset(tmp_path / "x.csv", Reading(classes=("a", "a")))
    with pytest.raises(LabelError, match="'seq0' has the label -1; expected a class"):
        made(random_parts(2), [-1, 1])


@pytest.fixture
def genome(tmp_path: Path) -> Path:
    """A chromosome of 5,000 nt."""
    path = tmp_path / "genome.fa"
    path.write_text(f">1\n{decode(random_parts(1, 5000, seed=7)[0])}\n")
    return path


def cut(genome: Path, starts: list[int], shift: int = 0) -> Sequences:
    text = genome.read_text().splitlines()[1]
    loci: list[Locus | None] = [Locus("chr1", a, a + 60) for a in starts]
    strings = [text[a + shift : a + shift + 60] for a in starts]
    return Sequences.from_strings(strings, [i % 2 for i in range(len(starts))], loci=loci)


def test_a_genome_of_the_right_assembly(genome: Path) -> None:
    rows = cut(genome, list(range(0, 3000, 100)))
    assert len(read_dataset({"train": rows, "test": rows}, Reading(genome=genome))) == 60


def test_folders_of_bed_files_are_cut_out_of_a_genome(genome: Path, tmp_path: Path) -> None:
    for part, first in (("train", 0), ("test", 2000)):
        for label, shift in (("negative", 0), ("positive", 1000)):
            path = tmp_path / "beds" / part / f"{label}.bed"
            path.parent.mkdir(parents=True, exist_ok=True)
            starts = range(first + shift, first + shift + 900, 100)
            path.write_text("".join(f"1\t{a}\t{a + 60}\n" for a in starts))
    result = read_dataset(tmp_path / "beds", Reading(genome=genome))
    assert (result.splits, result.classes, len(result)) == (("train", "test"), ("negative", "positive"), 36)
    assert set(read_dataset(tmp_path / "beds", Reading(genome=genome, width=40)).lengths.tolist()) == {40}
    with pytest.raises(FormatError, match="intervals have no letters; give the genome"):
        read_dataset(tmp_path / "beds")
    with pytest.raises(LabelError, match="put each class into a file"):
        read_dataset([f"train={path}"], Reading(genome=genome))
    with pytest.raises(UsageError, match="a region is one sequence without a class"):
        read_dataset("chr1:1-2000", Reading(genome=genome))
    (tmp_path / "x.csv").write_text("sequence,label\nACGT,1\nAAAA,0\n")
    with pytest.raises(FormatError, match="a width was given"):
        read_dataset(tmp_path / "x.csv", Reading(width=3))


def test_a_genome_of_another_assembly(genome: Path) -> None:
    rows = cut(genome, list(range(0, 3000, 100)), shift=7)
    with pytest.raises(
        FormatError, match=r"only 0 of 15 rows of 0 have, at their coordinates, the letters of this genome"
    ):
        read_dataset(rows, Reading(genome=genome))


def test_rows_from_the_first_to_the_last_are_compared_with_a_genome(genome: Path) -> None:
    right, wrong = cut(genome, list(range(250))), cut(genome, list(range(250, 399)), shift=7)
    rows = Sequences.from_strings(
        [*right.strings(), *wrong.strings()],
        [i % 2 for i in range(399)],
        loci=[*(right.loci or ()), *(wrong.loci or ())],
    )
    with pytest.raises(FormatError, match=r"only 125 of 200 rows of 0 have"):
        read_dataset(rows, Reading(genome=genome))
    assert read_dataset(right, Reading(genome=genome)).genome_counts == (250, 250)
    result = audit(right, reading=Reading(genome=genome), baselines=())
    assert result.settings["rows_compared_with_genome"] == 250


def test_a_small_class_of_another_assembly(genome: Path) -> None:
    right, wrong = cut(genome, list(range(0, 3000, 15))), cut(genome, [3000, 3100, 3200], shift=7)
    rows = Sequences.from_strings(
        [*right.strings(), *wrong.strings()], [0] * 200 + [1] * 3, loci=[*(right.loci or ()), *(wrong.loci or ())]
    )
    with pytest.raises(FormatError, match="only 0 of 3 rows of 1 have, at their coordinates, the letters of this"):
        read_dataset(rows, Reading(genome=genome))


def test_rows_that_do_not_agree_with_a_genome_are_told(genome: Path) -> None:
    right, wrong = cut(genome, list(range(0, 3000, 100))), cut(genome, [3000, 3100], shift=7)
    loci = [*(right.loci or ()), *(wrong.loci or ()), Locus("chr7", 0, 60), Locus("chr8", 0, 60)]
    strings = [*right.strings(), *wrong.strings(), "ACGT" * 15, "AACC" * 15]
    rows = Sequences.from_strings(strings, [i % 2 for i in range(34)], loci=loci)
    result = audit({"train": rows, "test": made(random_parts(2, 60))}, reading=Reading(genome=genome), baselines=())
    assert [gap for gap in result.unchecked if gap.code in ("off_genome", "other_letters")] == [
        gap
        for name, chrom in (("0", "chr7"), ("1", "chr8"))
        for where in ({"split": "train", "class_name": name},)
        for gap in (
            Gap("off_genome", {"rows": 1, **where, "chromosomes": [chrom]}),
            Gap("other_letters", {"rows": 1, "of": 16, **where}),
        )
    ]
    assert result.settings["rows_with_its_letters"] == 30
    assert len(split(rows, reading=Reading(genome=genome)).settings["gaps"]) == 4


def test_a_genome_that_ends_before_the_coordinates(genome: Path) -> None:
    rows = cut(genome, [0, 100])
    far = Sequences(rows.names, rows.bases, rows.offsets, rows.labels, (Locus("1", 9000, 9060), Locus("1", 9100, 9160)))
    with pytest.raises(FormatError, match="another assembly"):
        read_dataset(far, Reading(genome=genome))


def test_a_genome_without_those_chromosomes(genome: Path) -> None:
    rows = cut(genome, [0, 100])
    other = Sequences(
        rows.names, rows.bases, rows.offsets, rows.labels, (Locus("chr9", 0, 60), Locus("chr9", 100, 160))
    )
    with pytest.raises(FormatError, match="none of the chromosomes"):
        read_dataset(other, Reading(genome=genome))


def test_a_genome_and_no_coordinates(genome: Path) -> None:
    with pytest.raises(FormatError, match="no row has coordinates"):
        read_dataset(made(random_parts(4)), Reading(genome=genome))


def test_intervals_are_cut_out_of_a_genome(tmp_path: Path, genome: Path) -> None:
    (tmp_path / "x.csv").write_text("chrom,start,end,strand,label\nchr1,10,20,+,0\nchr1,30,40,-,1\n")
    data = read_dataset(tmp_path / "x.csv", Reading(genome=genome))
    assert data.sequences is not None
    assert data.sequences.string(0) == genome.read_text().splitlines()[1][10:20]
    assert np.array_equal(data.lengths, data.sequences.lengths)
