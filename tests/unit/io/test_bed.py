"""BED, narrowPeak, tables of coordinates and regions, cut out of a genome."""

from __future__ import annotations

import gzip
from pathlib import Path

import numpy as np
import pytest

from kmerit.errors import DataError, FormatError, SequenceError
from kmerit.io.bed import as_region
from kmerit.io.readers import read_sequences, sniff
from kmerit.sequences import Locus, decode, encode, reverse_complement

CHR1 = "".join(np.random.default_rng(0).choice(list("ACGT"), 60))


@pytest.fixture(params=["fa", "fa.gz"])
def genome(tmp_path: Path, request: pytest.FixtureRequest) -> Path:
    """Two chromosomes, one soft-masked and without ``chr`` in front."""
    text = f">chr1\n{CHR1[:30]}\n{CHR1[30:]}\n>2 second\n{CHR1.lower()}\n".encode()
    path = tmp_path / f"genome.{request.param}"
    path.write_bytes(gzip.compress(text) if request.param.endswith("gz") else text)
    return path


def turned(text: str) -> str:
    return decode(reverse_complement(encode(text)))


def test_intervals_names_and_strands(tmp_path: Path, genome: Path) -> None:
    path = tmp_path / "x.bed.gz"
    path.write_bytes(gzip.compress(b"track name=x\n#c\nchr1\t5\t15\tpeak\t0\t-\nchr2\t0\t4\t.\t0\t.\n\nchr1 7 9\r\n"))
    sequences = read_sequences(path, genome=genome)
    assert sequences.names == ("peak", "chr2:0-4(+)", "chr1:7-9(+)")
    assert sequences.strings() == [turned(CHR1[5:15]), CHR1[:4], CHR1[7:9]]
    assert sequences.loci == (Locus("chr1", 5, 15, "-"), Locus("chr2", 0, 4), Locus("chr1", 7, 9))


def test_width_is_around_summits_or_middles(tmp_path: Path, genome: Path, caplog: pytest.LogCaptureFixture) -> None:
    rows = [
        "chr1\t10\t30\ta\t0\t.\t5.2\t9.1\t3\t4",
        "1\t10\t30\tb\t0\t.\t5.2\t9.1\t3\t-1",
        "chr1\t0\t9\tc\t0\t.\t1\t1\t1\t1",
    ]
    peaks = tmp_path / "x.narrowPeak"
    peaks.write_text("\n".join(rows) + "\n")
    sequences = read_sequences(peaks, genome=genome, width=8)
    assert sequences.names == ("a", "b")
    assert sequences.strings() == [CHR1[10:18], CHR1[16:24]]
    assert "dropped windows that reach beyond the ends of their chromosomes: 1 of 3." in caplog.text
    assert "8 nt around summits are cut out of" in caplog.text
    (tmp_path / "x.bed").write_text("\n".join(rows[:2]) + "\n")
    assert read_sequences(tmp_path / "x.bed", genome=genome, width=8).strings() == [CHR1[16:24]] * 2


def test_tables_of_coordinates_keep_their_labels(tmp_path: Path, genome: Path) -> None:
    path = tmp_path / "x.csv"
    path.write_text("id,chrom,start,end,strand,label\na,chr1,58,66,+,peak\nb,chr1,4,8,-,none\nc,chr2,0,4,,peak\n")
    sequences = read_sequences(path, genome=genome)
    assert sequences.names == ("b", "c")
    assert sequences.strings() == [turned(CHR1[4:8]), CHR1[:4]]
    assert sequences.labels is not None
    assert (sequences.labels.tolist(), sequences.classes) == ([0, 1], ("none", "peak"))


def test_regions_are_as_browsers_write_them(genome: Path, caplog: pytest.LogCaptureFixture) -> None:
    sequences = read_sequences("chr1:1-10", genome=genome)
    assert sequences.strings() == [CHR1[:10]]
    assert sequences.loci == (Locus("chr1", 0, 10),)
    assert "chr1:1-10: 1-based, both ends included, as genome browsers write it: 10 nt" in caplog.text
    assert as_region("chr20:1,000-2,000,000(-)") == Locus("chr20", 999, 2_000_000, "-")
    for text in ("chr20:0-5", "chr20:9-5"):
        with pytest.raises(FormatError, match=f"{text}: a region counts from 1 and includes both ends"):
            as_region(text)
    with pytest.raises(FormatError, match="none of 1 windows lies inside"):
        read_sequences("chr1:50-61", genome=genome)


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("x.bed", "chr1\t5\n", "line 1: expected chromosome, start and end, with tabs between"),
        ("x.bed", "chr1\t5\t5\n", "line 1: expected chromosome, start < end"),
        ("x.bed", "#only\n", "no intervals"),
        ("x.bed", "chr3\t5\t9\n", "'chr3' is not a chromosome of"),
        ("x.bed", "chr1\t50\t90\n", "none of 1 windows lies inside"),
        ("x.bed", "chr1\t5\t9\ta\nchr1\t5\t9\ta\n", "line 2: the name 'a' occurs twice"),
        ("x.narrowPeak", "chr1\t5\t9\ta\n", "line 1: expected the ten columns of narrowPeak"),
        ("x.narrowPeak", "chr1\t5\t9\ta\t0\t.\t1\t1\t1\t4\n", "line 1: expected a summit from 0 to 3"),
        ("x.fa", ">a\nACGT\n", "a genome was given, only for intervals"),
        ("x.csv", "seq,chrom,start,end\nAC,chr1,5,7\n", "the column 'seq' has letters"),
        ("x.csv", "name,chrom\na,chr1\n", "expected rows with columns chrom, start and end"),
    ],
)
def test_refuses(tmp_path: Path, genome: Path, name: str, text: str, message: str) -> None:
    (tmp_path / name).write_text(text)
    with pytest.raises(DataError) as caught:
        read_sequences(tmp_path / name, genome=genome)
    assert message in str(caught.value)


def test_intervals_need_a_genome(tmp_path: Path) -> None:
    (tmp_path / "x.bed").write_text("chr1\t5\t9\n")
    for inputs in (tmp_path / "x.bed", "chr1:5-9"):
        with pytest.raises(FormatError, match="intervals have no letters; give the genome they are of: --genome"):
            read_sequences(inputs)


def test_names_can_be_numbered(tmp_path: Path, genome: Path) -> None:
    (tmp_path / "x.bed").write_text("chr1\t5\t9\ta\nchr1\t6\t9\ta\n")
    assert read_sequences(tmp_path / "x.bed", genome=genome, rename=True).names == ("a", "a_2")
    with pytest.raises(SequenceError, match="--rename"):
        read_sequences(tmp_path / "x.bed", genome=genome)


def test_standard_input_may_be_bed() -> None:
    assert sniff(b"#c\ntrack x\nchr1\t5\t9\n") == ".bed"
    assert sniff(b"chr1\t5\t9\tname\t0\t+\n") == ".bed"
    assert sniff(b"chr1\t5\t9\ta\t0\t.\t5.2\t9.1\t-1\t4\n") == ".narrowpeak"
    assert sniff(b"id\tseq\n1\tAC\n") == ".csv"
