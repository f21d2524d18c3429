"""Windows around rows, cut out of pieces of a genome: their letters, and what is left out."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from kmerit.datasets.contexts import contexts, contexts_of_splits
from kmerit.datasets.task import load_task
from kmerit.errors import ConfigError, FormatError
from kmerit.io.crops import Crop, prepare
from kmerit.io.genome import Genome
from kmerit.sequences import Locus, Sequences, decode, encode, reverse_complement
from kmerit.training.data import load_splits
from kmerit.training.recipe import FinetuneConfig

LETTERS = "".join(np.random.default_rng(0).choice(list("ACGT"), 400))
CHR20 = Path(__file__).resolve().parents[3] / "data" / "corpus" / "grch37_chr20.fa.gz"


@pytest.fixture
def genome(tmp_path: Path) -> Genome:
    """Two pieces of one chromosome, 1000 to 1300 and 1310 to 1400."""
    path = tmp_path / "pieces.fa"
    path.write_text(f">chr1:1000-1300\n{LETTERS[:300]}\n>chr1:1310-1400\n{LETTERS[310:]}\n")
    return Genome.open(path)


def rows(*places: tuple[int, int, str]) -> Sequences:
    """Give rows at places of the chromosome, with the letters there."""
    loci = [Locus("chr1", start, end, strand) for start, end, strand in places]
    strings = []
    for locus in loci:
        bases = encode(LETTERS[locus.start - 1000 : locus.end - 1000], "genome")
        strings.append(decode(reverse_complement(bases) if locus.strand == "-" else bases))
    names = [f"r{i}" for i in range(len(loci))]
    return Sequences.from_strings(strings, np.arange(len(loci)) % 2, names, loci)


def test_a_window_has_its_row_in_the_middle_on_either_strand(genome: Genome) -> None:
    given = rows((1100, 1120, "+"), (1151, 1172, "-"), (1200, 1290, "+"), (1201, 1280, "-"))
    windows, inside = contexts(given, genome, 60)
    assert inside.all()
    assert set(windows.lengths.tolist()) == {60}
    assert windows.names == given.names
    assert windows.labels is not None
    assert windows.labels.tolist() == [0, 1, 0, 1]
    for length in (10, 20):
        crop = Crop(length, "center")
        mine, theirs = (prepare(each, crop=crop, drop_n=False)[0] for each in (windows, given))
        assert mine.strings() == theirs.strings()
        assert mine.loci == theirs.loci


def test_windows_beyond_a_piece_and_rows_without_a_place_are_left_out(genome: Genome) -> None:
    given = rows((1000, 1020, "+"), (1290, 1300, "+"), (1340, 1360, "+"), (1140, 1160, "+"))
    assert given.loci is not None
    unplaced = Sequences.from_strings(given.strings(), given.labels, given.names, [*given.loci[:3], None])
    windows, inside = contexts(unplaced, genome, 60)
    assert inside.tolist() == [False, False, True, False]
    assert windows.strings() == [LETTERS[320:380]]


def test_windows_that_reach_into_another_split_are_left_out(genome: Genome) -> None:
    splits = {
        "train": rows((1020, 1040, "+"), (1100, 1110, "-"), (1250, 1260, "+")),
        "validation": rows((1100, 1120, "+"), (1180, 1190, "+")),
        "test": rows((1150, 1160, "+"), (1290, 1300, "+")),
    }
    windows, left_out = contexts_of_splits(splits, genome, 40)
    assert left_out == {
        "train": {"outside": 0, "overlapping": 1},
        "validation": {"outside": 0, "overlapping": 1},
        "test": {"outside": 1, "overlapping": 0},
    }
    assert {split: part.names for split, part in windows.items()} == {
        "train": ("r0", "r2"),
        "validation": ("r0",),
        "test": ("r0",),
    }


def test_windows_of_ones_own_files_are_left_out_too(genome: Genome, tmp_path: Path) -> None:
    def write(name: str, *places: tuple[int, int, int]) -> str:
        lines = [f"chr1,{start},{end},{label}" for start, end, label in places]
        (tmp_path / name).write_text("\n".join(["chrom,start,end,label", *lines, ""]))
        return str(tmp_path / name)

    train = write("train.csv", (1100, 1110, 0), (1118, 1128, 1), (1200, 1210, 1), (1300, 1310, 0), (1005, 1015, 1))
    test = write("test.csv", (1140, 1150, 0), (1250, 1260, 1), (1392, 1398, 1))
    recipe = {"train": train, "test": test, "genome": str(genome.path), "width": 40, "validation_share": 0}
    splits = load_splits(FinetuneConfig.parse(recipe))
    assert splits.test is not None
    assert [locus.start for locus in splits.train.loci or () if locus] == [1085, 1185]
    assert [locus.start for locus in splits.test.loci or () if locus] == [1125, 1235]
    counts = {split: (each["outside"], each["overlapping"]) for split, each in splits.dropped.items()}
    assert counts == {"train": (2, 1), "test": (1, 0)}


def test_another_assembly_and_another_strand_are_refused(genome: Genome) -> None:
    given = rows((1100, 1120, "+"))
    moved = Sequences.from_strings(given.strings(), given.labels, given.names, [Locus("chr1", 1101, 1121, "+")])
    with pytest.raises(FormatError, match="expected the letters of r0 in the middle, got others: another assembly"):
        contexts(moved, genome, 60)
    turned = Sequences.from_strings(given.strings(), given.labels, given.names, [Locus("chr1", 1100, 1120, "-")])
    with pytest.raises(FormatError, match="their reverse complement: another strand"):
        contexts(turned, genome, 60)


def test_rows_without_coordinates_and_odd_widths_are_refused(genome: Genome) -> None:
    with pytest.raises(ConfigError, match="rows with coordinates"):
        contexts(Sequences.from_strings(["ACGT"]), genome, 60)
    with pytest.raises(ConfigError, match="an even number of nt"):
        contexts(rows((1100, 1120, "+")), genome, 61)


def test_a_task_needs_a_genome_and_a_width_together() -> None:
    with pytest.raises(ConfigError, match="genome and width go together"):
        FinetuneConfig.parse({"task": "human_enhancers_dedup", "genome": "genome.fa"})


@pytest.mark.slow
def test_contexts_of_the_bundled_enhancers_on_chromosome_20() -> None:
    recipe = {"task": "human_enhancers_dedup", "genome": str(CHR20), "width": 2000}
    splits = load_splits(FinetuneConfig.parse(recipe))
    assert splits.sizes == {"train": 1378, "validation": 162, "test": 435}
    assert splits.test is not None
    assert np.bincount(splits.test.labels).tolist() == [239, 196]  # type: ignore[arg-type]
    assert splits.dropped["train"]["outside"] == 1996
    assert splits.dropped["train"]["overlapping"] == 72
    rows = load_task("human_enhancers_dedup", "test")
    whole = dict(zip(rows.names, rows.strings(), strict=True))
    middle, _ = prepare(splits.test, crop=Crop(50, "center"))
    assert all(middle.string(i) in whole[name] for i, name in enumerate(middle.names))
