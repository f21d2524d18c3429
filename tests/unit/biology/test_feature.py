"""Features as tracks: each of them on small files of its own, strands, chromosomes and missing values."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from kmerit.biology.feature import Feature, features, parse_features
from kmerit.errors import ConfigError, FormatError, SequenceError, UnknownName
from kmerit.sequences import Floats, Locus, Sequences

GTF = """#!genome-build GRCh37
1\tx\tgene\t11\t60\t.\t+\t.\tgene_id "A";
1\tx\texon\t11\t20\t.\t+\t.\tgene_id "A"; transcript_id "A1";
1\tx\texon\t41\t60\t.\t+\t.\tgene_id "A"; transcript_id "A1";
1\tx\texon\t81\t90\t.\t-\t.\tgene_id "B"; transcript_id "B1"; tag "a; b";
1\tx\texon\t96\t99\t.\t-\t.\tgene_id "B"; transcript_id "B1";
"""


def windows(*loci: Locus, seed: int = 0) -> Sequences:
    rng = np.random.default_rng(seed)
    strings = ["".join(rng.choice(list("ACGT"), each.end - each.start)) for each in loci]
    return Sequences.from_strings(strings, loci=loci)


def ones(row: Floats) -> list[int]:
    return np.flatnonzero(row == 1).tolist()


def track(name: str, rows: Sequences, **options: object) -> Floats:
    result = parse_features([{"feature": name, **options}])[0].tracks(rows)
    assert len(result) == 1
    return next(iter(result.values()))


@pytest.fixture
def gtf(tmp_path: Path) -> str:
    path = tmp_path / "genes.gtf"
    path.write_text(GTF)
    return str(path)


CHR1 = windows(Locus("chr1", 0, 100), Locus("1", 0, 100, "-"), Locus("chr2", 0, 100))


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("exons", [*range(10, 20), *range(40, 60), *range(80, 90), *range(95, 99)]),
        ("introns", [*range(20, 40), *range(90, 95)]),
        ("donors", [*range(17, 26), *range(89, 98)]),  # 3 of the exon, 6 of the intron; that of B ends at 95
        ("acceptors", [*range(20, 43), *range(87, 100)]),
        ("transcription_start", [*range(20), *range(89, 100)]),
        ("transcription_end", [*range(50, 90)]),
    ],
)
def test_gene_annotation(name: str, expected: list[int], gtf: str) -> None:
    result = track(name, CHR1, path=gtf)
    assert ones(result[0]) == expected
    assert ones(result[1]) == sorted(99 - i for i in expected)  # 5' to 3' of the window's strand
    assert np.isnan(result[2]).all()  # the file says nothing of chromosome 2
    assert set(result[:2].ravel().tolist()) == {0.0, 1.0}


def test_one_strand_alone(gtf: str) -> None:
    same, other = (track("exons", CHR1, path=gtf, strand=each) for each in ("same", "other"))
    assert ones(same[0]) == [*range(10, 20), *range(40, 60)]
    assert ones(same[1]) == [*range(1, 5), *range(10, 20)]
    assert ones(other[0]) == [*range(80, 90), *range(95, 99)]
    with pytest.raises(ConfigError, match="strand: expected 'both', 'same' or 'other', got 'forward'"):
        track("exons", CHR1, path=gtf, strand="forward")


def test_lines_of_a_browser_and_of_windows_are_read(tmp_path: Path, gtf: str) -> None:
    other = tmp_path / "other.gtf"
    other.write_bytes(b"browser position chr1:1-9\r\ntrack name=x\r\n" + GTF.replace("\n", "\r\n").encode())
    np.testing.assert_array_equal(track("introns", CHR1, path=str(other)), track("introns", CHR1, path=gtf))
    for option, name in (("before", "donors"), ("after", "acceptors"), ("reach", "transcription_start")):
        with pytest.raises(ConfigError, match=f"{option}: expected at least 0, got -1"):
            track(name, CHR1, path=gtf, **{option: -1})


@pytest.mark.parametrize(
    ("start", "count", "sizes", "offsets", "words"),
    [
        (10, "two", "10,20", "0,30", "expected the 12 columns"),
        (10, 3, "10,20", "0,30", "the blocks are not those of 10 to 60"),
        (10, 2, "-5,20", "0,30", "the blocks are not those"),
        (10, 2, "10,20", "5,30", "the blocks are not those"),
        (-10, 2, "10,20", "0,50", "expected chromosome, start < end"),
    ],
)
def test_blocks_that_do_not_fit_are_refused(
    tmp_path: Path, start: int, count: object, sizes: str, offsets: str, words: str
) -> None:
    bed = tmp_path / "x.bed"
    bed.write_text(f"chr1\t{start}\t60\tA\t0\t+\t10\t60\t0\t{count}\t{sizes}\t{offsets}\n")
    with pytest.raises(FormatError, match=words):
        track("exons", CHR1, path=str(bed))


def test_strand(gtf: str) -> None:
    result = track("strand", CHR1, path=gtf)
    assert np.nonzero(result[0] == 1)[0].tolist() == list(range(10, 60))
    assert np.nonzero(result[0] == -1)[0].tolist() == list(range(80, 99))
    assert np.isnan(result[0, 60:80]).all()
    assert result[1, 1] == 1
    assert result[1, 89] == -1


def test_gff_and_bed12_say_the_same(tmp_path: Path, gtf: str) -> None:
    gff = tmp_path / "genes.gff3"
    gff.write_text(GTF.replace('gene_id "A"; transcript_id "A1";', "ID=e;Parent=A1").replace(
        'gene_id "B"; transcript_id "B1"; tag "a; b";', "Parent=B1;Note=a b").replace(
        'gene_id "B"; transcript_id "B1";', "Parent=B1"))  # fmt: skip
    bed = tmp_path / "genes.bed"
    bed.write_text("1\t10\t60\tA1\t0\t+\t10\t60\t0\t2\t10,20,\t0,30,\n1\t80\t99\tB1\t0\t-\t80\t99\t0\t2\t10,4\t0,15\n")
    for name in ("exons", "introns", "donors", "strand"):
        expected = track(name, CHR1, path=gtf)
        for path in (gff, bed):
            np.testing.assert_array_equal(track(name, CHR1, path=str(path)), expected)


def test_intervals_and_soft_masked_letters(tmp_path: Path) -> None:
    bed = tmp_path / "repeats.bed"
    bed.write_text("chr1\t5\t10\tAlu\nchr1\t8\t20\tL1\nchr1\t30\t31\tAlu\n")
    assert ones(track("repeats", CHR1, path=str(bed))[0]) == [*range(5, 20), 30]
    alu = track("regulatory", CHR1, path=str(bed), named=["Alu"])
    assert ones(alu[0]) == [*range(5, 10), 30]
    with pytest.raises(FormatError, match="no interval is named 'SVA'"):
        track("repeats", CHR1, path=str(bed), named=["SVA"])
    fasta = tmp_path / "masked.fa"
    fasta.write_text(">1:10-40\nACGTacgtNNACGTTT\nacgtACGTACGTaa\n>2\nACGT\n")
    result = track("repeats", CHR1, path=str(fasta))
    assert ones(result[0]) == [*range(14, 18), *range(26, 30), 38, 39]
    assert np.isnan(result[0]).nonzero()[0].tolist() == [*range(10), 18, 19, *range(40, 100)]  # missing, never 0
    assert np.nonzero(result[2] == 0)[0].tolist() == [0, 1, 2, 3]
    fasta.write_text(">1\nACGT\n")
    with pytest.raises(FormatError, match="no letter is lower-case"):
        track("repeats", CHR1, path=str(fasta))


def test_values_of_bedgraph_and_bigwig(tmp_path: Path) -> None:
    rows = [(3, 10, 0.5), (10, 12, -2.0), (50, 51, 7.0)]
    graph = tmp_path / "phylop.bedgraph"
    graph.write_text("track type=bedGraph\n" + "".join(f"chr1\t{a}\t{b}\t{v}\n" for a, b, v in rows))
    result = track("conservation", CHR1, path=str(graph))
    expected = np.full(100, np.nan)
    for a, b, v in rows:
        expected[a:b] = v
    np.testing.assert_array_equal(result[0], expected)
    np.testing.assert_array_equal(result[1], expected[::-1])
    assert np.isnan(result[2]).all()
    bigwig = pytest.importorskip("pyBigWig")
    path = tmp_path / "phylop.bw"
    with bigwig.open(str(path), "w") as file:
        file.addHeader([("chr1", 60)])
        file.addEntries(["chr1"] * 3, [a for a, *_ in rows], ends=[b for _, b, _ in rows], values=[v for *_, v in rows])
    np.testing.assert_array_equal(track("conservation", CHR1, path=str(path)), result)
    graph.write_text("chr1\t3\t10\t1\nchr1\t9\t12\t1\n")
    with pytest.raises(FormatError, match=r"two intervals overlap at 1:9"):
        track("conservation", CHR1, path=str(graph))
    graph.write_bytes(b'track name="caf\xe9"\nchr1\t3\t10\t1\n')
    with pytest.raises(FormatError, match="line 1: the byte 0xe9 is not UTF-8"):
        track("conservation", CHR1, path=str(graph))
    with pytest.raises(FormatError, match=r"none\.bw: no such file"):
        track("conservation", CHR1, path=str(tmp_path / "none.bw"))
    path.write_bytes(b"nothing")
    with pytest.raises(FormatError, match="no bigWig file"):
        track("conservation", CHR1, path=str(path))


def test_what_is_computed() -> None:
    rows = Sequences.from_strings(["CGCGATAT", "ATATATAT"])
    assert track("gc", rows, width=3)[0].round(3).tolist() == [1, 1, 1, 0.667, 0.333, 0, 0, 0]
    assert np.array_equal(track("position", rows)[1], np.arange(8))
    ratio = track("cpg_ratio", rows, width=101)
    assert ratio[0, 0] == pytest.approx(2 * 8 / (2 * 2))
    assert np.isnan(ratio[1]).all()  # no C and no G: nothing is expected
    assert ones(track("kmer", rows, word="GAT")[0]) == [3, 4, 5]
    assert ones(track("kmer", rows, word="ATC", both_strands=True)[0]) == [3, 4, 5]
    assert list(parse_features([{"feature": "kmer", "word": "GAT"}])[0].tracks(rows)) == ["kmer GAT"]
    with pytest.raises(ConfigError, match="expected letters A, C, G, T, got 'GAN'"):
        track("kmer", rows, word="GAN")


def test_cpg_islands(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    poor = "".join(rng.choice(list("AATTG"), 1000))
    text = poor + "CGGC" * 100 + poor
    (tmp_path / "g.fa").write_text(">chr1\n" + text + "\n")
    loci = (Locus("chr1", 820, 1020), Locus("chr1", 820, 1020, "-"), Locus("chr1", 10, 210), Locus("chr1", 1500, 1700))
    rows = Sequences.from_strings([text[a:b] for _, a, b, _ in loci], loci=loci)
    result = track("cpg_islands", rows, genome=str(tmp_path / "g.fa"))
    inside = [any(_is_island(text[s : s + 200]) for s in range(i - 199, i + 1)) for i in range(820, 1020)]
    assert result[0].tolist() == [float(each) for each in inside]
    assert 0 < result[0].sum() < 200
    assert result[1].tolist() == result[0, ::-1].tolist()
    assert np.isnan(result[2, :189]).all()  # what lies before the record is not known
    assert (result[2, 189:] == 0).all()
    with pytest.raises(ConfigError, match=r"give path \(BED\) or genome"):
        track("cpg_islands", rows)


def _is_island(part: str) -> bool:
    c, g = part.count("C"), part.count("G")
    return c + g > 100 and part.count("CG") * 200 > 0.6 * c * g


def test_motifs_have_a_track_for_each_family() -> None:
    pytest.importorskip("memelite")
    from kmerit.biology.motif_hits import consensus, read_families
    from kmerit.sequences import decode

    ctcf = decode(consensus(next(each for each in read_families() if each.name == "CTCF").motif))
    rows = Sequences.from_strings(["T" * 20 + ctcf + "T" * 20, "T" * (40 + len(ctcf))])
    result = parse_features([{"feature": "motif", "families": ["CTCF", "TBP"]}])[0].tracks(rows)
    assert list(result) == ["motif CTCF", "motif TBP"]
    assert result["motif CTCF"][0, 20 : 20 + len(ctcf)].mean() > 0.8
    assert result["motif CTCF"][1].sum() == 0
    with pytest.raises(UnknownName, match="CTCX"):
        parse_features([{"feature": "motif", "families": ["CTCX"]}])[0].tracks(rows)


def test_families_of_motifs_go_by_their_members_and_usual_names_too() -> None:
    pytest.importorskip("memelite")
    from kmerit.biology.motif_hits import families_named, read_families

    rows = Sequences.from_strings(["ACGTTTGCCACCTGCTGG" * 4, "TTGACTCATTACCAATCAGA" * 3])
    asked = ["NFYA", "AP-1", "MA0764.4", "nfya"]
    result = parse_features([{"feature": "motif", "families": asked}])[0].tracks(rows)
    nfy, ap1, ets = (next(iter(families_named([name], read_families()).values())) for name in asked[:3])
    assert list(result) == [f"motif {name}" for name in (nfy, ap1, ets)]
    everything = parse_features([{"feature": "motif"}])[0].tracks(rows)
    for name, track in result.items():
        np.testing.assert_array_equal(track, everything[name])


def test_every_feature_is_registered_under_the_name_of_its_file() -> None:
    from kmerit.biology import features as package

    files = {path.stem for path in Path(package.__path__[0]).glob("[!_]*.py")}
    assert set(features()) == files
    for name, kind in features().items():
        assert kind.name == name
        assert kind.summary
        assert kind.itself <= {"gc", "position", "kmers"}
    assert {name for name, kind in features().items() if kind.itself} == {"gc", "position"}


def test_wrong_tables_are_refused(gtf: str) -> None:
    with pytest.raises(UnknownName, match="Did you mean 'exons'"):
        parse_features([{"feature": "exon"}])
    with pytest.raises(ConfigError, match="expected the name of a feature under 'feature', got None"):
        parse_features([{"path": gtf}])
    with pytest.raises(ConfigError, match=r"'features\[0\]\.widht'. Did you mean 'width'"):
        parse_features([{"feature": "gc", "widht": 3}])
    with pytest.raises(SequenceError, match="exons: expected a locus for each window"):
        track("exons", Sequences.from_strings(["ACGT"]), path=gtf)


class Half(Feature):
    name = "half"
    summary = "a mask with another value"

    def read(self, windows: Sequences) -> Floats:
        return np.full((len(windows), 4), 0.5)


def test_what_a_feature_reads_is_checked() -> None:
    with pytest.raises(ConfigError, match="half: expected 0, 1 or NaN"):
        Half().tracks(Sequences.from_strings(["ACGT"]))
    with pytest.raises(ConfigError, match=r"half: expected values \[1, 5\]"):
        Half().tracks(Sequences.from_strings(["ACGTA"]))


def test_annotation_that_cannot_be_understood_is_refused(tmp_path: Path) -> None:
    path, exon = tmp_path / "x.gtf", "1\tx\texon\t{}\t{}\t.\t{}\t.\t{}\n"
    name = 'transcript_id "A";'
    for text, words in (
        (exon.format(11, 20, "+", 'gene_id "A";'), "line 1: an exon without transcript_id"),
        (exon.format(0, 20, "+", name), "a first and a last position from 1, got '0', '20'"),
        (exon.format(1, 20, ".", name), "expected a strand"),
        ("1\tx\texon\n", "expected 9 columns"),
        (exon.format(1, 20, "+", name).replace("exon", "CDS"), "no lines of type exon; found 'CDS'"),
        (exon.format(1, 20, "+", name) + exon.format(9, 30, "+", name), "overlap"),
    ):
        path.write_text(text)
        with pytest.raises(FormatError, match=words):
            track("exons", CHR1, path=str(path))
