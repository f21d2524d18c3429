"""Official sets from the user's genome, on a small genome of three chromosomes."""

from __future__ import annotations

import gzip
from pathlib import Path

import numpy as np
import pytest

import kmerit.io.genome as genome_file
from kmerit.datasets.task import Intervals, Task, load_task
from kmerit.errors import FormatError, SequenceError
from kmerit.sequences import Locus, decode, encode, reverse_complement
from kmerit.store import sha256

CHROMOSOMES = {"1": 3000, "20": 2000, "MT": 500}
ROWS = {
    "train/negative": ["n1,chr1,0,10,+", "n2,chr20,5,25,", "n3,chrM,490,500,-"],
    "train/positive": ["p1,chr1,100,120,-"],
    "test/negative": ["n9,chr1,40,50,+"],
    "test/positive": ["p7,chr20,1990,2000,+", "p8,chr20,1990,2000,-"],
}


@pytest.fixture
def genome(tmp_path: Path) -> Path:
    generator = np.random.default_rng(0)
    path = tmp_path / "genome.fa"
    with path.open("w") as file:
        for name, length in CHROMOSOMES.items():
            letters = decode(generator.integers(0, 4, length).astype(np.int8))
            soft_masked = letters[:50] + letters[50:150].lower() + letters[150:]
            lines = "\n".join(soft_masked[a : a + 60] for a in range(0, length, 60))
            file.write(f">{name} dna:chromosome\n{lines}\n")
    return path


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name, rows in ROWS.items():
        path = tmp_path / "set" / f"{name}.csv.gz"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(gzip.compress("\n".join(["id,region,start,end,strand", *rows, ""]).encode(), mtime=0))
    return tmp_path / "set"


@pytest.fixture
def task(folder: Path) -> Task:
    return Task(
        name="small",
        classes=("background", "signal"),
        description="",
        source="",
        licence="",
        assembly="GRCh38",
        rows={"train": (3, 1), "test": (1, 2)},
        checksums={f"{name}.csv.gz": sha256(folder / f"{name}.csv.gz") for name in ROWS},
        hub="owner/small",
    )


def chromosome(genome: Path, name: str) -> str:
    record = genome.read_text().split(f">{name} ")[1].split(">")[0]
    return "".join(record.splitlines()[1:]).upper()


def test_cuts_names_labels_and_turns(task: Task, folder: Path, genome: Path) -> None:
    test = load_task(task, "test", source=Intervals(folder, genome))
    end = chromosome(genome, "20")[1990:]
    assert test.names == ("test_neg_n9", "test_pos_p7", "test_pos_p8")
    assert test.strings() == [chromosome(genome, "1")[40:50], end, decode(reverse_complement(encode(end)))]
    assert test.labels is not None
    assert test.labels.tolist() == [0, 1, 1]
    assert test.loci == (
        Locus("chr1", 40, 50, "+"), Locus("chr20", 1990, 2000, "+"), Locus("chr20", 1990, 2000, "-"),
    )  # fmt: skip


def test_maps_names_of_chromosomes_and_missing_strands(task: Task, folder: Path, genome: Path) -> None:
    parts = [load_task(task, split, source=Intervals(folder, genome)) for split in ("train", "validation")]
    result = {name: string for part in parts for name, string in zip(part.names, part.strings(), strict=True)}
    assert set(result) == {"train_neg_n1", "train_neg_n2", "train_neg_n3", "train_pos_p1"}
    assert result["train_neg_n2"] == chromosome(genome, "20")[5:25]
    assert result["train_neg_n3"] == decode(reverse_complement(encode(chromosome(genome, "MT")[490:])))


def test_names_with_chr_are_found_too(task: Task, folder: Path, genome: Path) -> None:
    renamed = genome.with_name("ucsc.fa")
    renamed.write_text(genome.read_text().replace(">MT", ">M").replace(">", ">chr"))
    ours, theirs = (load_task(task, "test", source=Intervals(folder, path)) for path in (genome, renamed))
    assert ours.strings() == theirs.strings()


def test_refuses_another_assembly(task: Task, folder: Path, genome: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(genome_file, "CHR20_LENGTHS", {"GRCh37": 2000, "GRCh38": 2001})
    with pytest.raises(
        FormatError, match=r"this is GRCh37 \(chromosome 20 has 2,000 nt\); the intervals are on GRCh38"
    ):
        load_task(task, source=Intervals(folder, genome))


def test_refuses_an_interval_past_the_end(task: Task, folder: Path, genome: Path) -> None:
    text = genome.read_text()
    genome.write_text(text[: text.index(">MT") - 20] + "\n" + text[text.index(">MT") :])
    with pytest.raises(
        FormatError, match=r"chr20:1990-2000:\+ lies past the end of 20 \(1,981 nt\): another assembly\?"
    ):
        load_task(task, source=Intervals(folder, genome))


def test_refuses_a_genome_without_a_chromosome(task: Task, folder: Path, genome: Path) -> None:
    text = genome.read_text()
    genome.write_text(text[: text.index(">20")])
    with pytest.raises(FormatError, match=r"no chromosome 'chr20' \(or '20'\) in this genome"):
        load_task(task, source=Intervals(folder, genome))


def test_refuses_interval_files_that_were_changed(task: Task, folder: Path, genome: Path) -> None:
    path = folder / "test" / "negative.csv.gz"
    path.write_bytes(gzip.compress(gzip.decompress(path.read_bytes()).replace(b"40", b"41")))
    with pytest.raises(FormatError, match=r"negative\.csv\.gz: not the published file of small"):
        load_task(task, source=Intervals(folder, genome))


def test_refuses_what_is_missing(task: Task, folder: Path, genome: Path) -> None:
    with pytest.raises(FormatError, match=r"no\.fa: no such genome file; expected a FASTA of GRCh38"):
        load_task(task, source=Intervals(folder, genome.with_name("no.fa")))
    (folder / "test" / "positive.csv.gz").unlink()
    with pytest.raises(FormatError, match=r"positive\.csv\.gz: no such file"):
        load_task(task, source=Intervals(folder, genome))


def test_refuses_a_compressed_genome(task: Task, folder: Path, genome: Path) -> None:
    packed = genome.with_name("genome.fa.gz")
    packed.write_bytes(gzip.compress(genome.read_bytes()))
    with pytest.raises(FormatError, match=r"a compressed FASTA cannot be read at random. Unpack it first"):
        load_task(task, source=Intervals(folder, packed))


def test_refuses_a_genome_that_is_none(task: Task, folder: Path, genome: Path) -> None:
    genome.write_text("no fasta at all\n")
    with pytest.raises(FormatError, match=r"genome\.fa: "):
        load_task(task, source=Intervals(folder, genome))


def test_names_the_interval_with_a_strange_letter(task: Task, folder: Path, genome: Path) -> None:
    genome.write_text(_with_letter(genome, "!"))
    with pytest.raises(SequenceError, match=r"genome\.fa, chr1:40-50:\+: 'test_neg_n9', position 5: .*'!'"):
        load_task(task, source=Intervals(folder, genome))


def test_reads_a_letter_for_several_bases_as_n(task: Task, folder: Path, genome: Path) -> None:
    """Assemblies have a few of them (GRCh37 has an M and an R on chromosome 3), which no user can edit away."""
    genome.write_text(_with_letter(genome, "M"))
    rows = load_task(task, source=Intervals(folder, genome))
    text = rows.string(rows.names.index("test_neg_n9"))
    assert text[5] == "N"
    assert text.count("N") == 1


def _with_letter(genome: Path, letter: str) -> str:
    lines = genome.read_text().splitlines()
    lines[1] = lines[1][:45] + letter + lines[1][46:]
    return "\n".join(lines) + "\n"
