"""Backgrounds: as long as the positives, from where they should be, apart from each other, the same for a seed."""

from __future__ import annotations

import gzip
import os
from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from helpers.faulty_sets import random_parts
from kmerit.datasets.audit import word_counts
from kmerit.datasets.negatives import KINDS, Kind, gene_bodies, make_negatives
from kmerit.datasets.task import load_task
from kmerit.errors import ConfigError, FormatError, SequenceError
from kmerit.io.genome import Genome
from kmerit.sequences import Locus, Sequences, decode, encode, gc_count, reverse_complement

LENGTH = 30_000


@pytest.fixture(scope="module")
def text() -> str:
    """A chromosome whose GC content rises from a fifth to four fifths."""
    rng = np.random.default_rng(0)
    gc = rng.random(LENGTH) < np.linspace(0.2, 0.8, LENGTH)
    return decode(np.where(gc, rng.integers(1, 3, LENGTH), rng.integers(0, 2, LENGTH) * 3).astype(np.int8))


@pytest.fixture
def genome(tmp_path: Path, text: str) -> Path:
    """It, plain, with a gap."""
    path = tmp_path / "genome.fa"
    path.write_text(f">chr1\n{text[:9000]}{'N' * 1000}{text[10_000:].lower()}\n")
    return path


@pytest.fixture
def pieces(tmp_path: Path, text: str) -> Path:
    """It, gzipped, in pieces."""
    path = tmp_path / "pieces.fa.gz"
    with gzip.open(path, "wt") as file:
        file.write(f">chr1:10000-30000\n{text[10_000:]}\n>chr1:0-9000\n{text[:9000]}\n")
    return path


@pytest.fixture
def positives(text: str) -> Sequences:
    """Windows of 100 to 139 nt from the rich end."""
    loci = [Locus("chr1", 18_000 + 280 * i, 18_000 + 280 * i + 100 + i) for i in range(40)]
    return Sequences.from_strings([text[x.start : x.end] for x in loci], [1] * 40, loci=loci)


@pytest.mark.parametrize("packed", [False, True])
def test_letters_for_several_bases_are_n(tmp_path: Path, text: str, positives: Sequences, packed: bool) -> None:
    path = tmp_path / ("g.fa.gz" if packed else "g.fa")
    letters = "".join("RYkm"[i // 50 % 4] if i % 50 == 0 else letter for i, letter in enumerate(text[:10_000]))
    with gzip.open(path, "wt") if packed else path.open("w") as file:
        file.write(f">chr1\n{letters}{text[10_000:]}\n")
    result = Genome.open(path).letters(0, 40, 20)
    assert decode(result) == text[40:50] + "N" + text[51:60]
    background = make_negatives(positives, "random", genome=path)
    assert all(locus.start > 9900 for locus in background.loci or () if locus)


@pytest.mark.parametrize("kind", ["random", "gc"])
@pytest.mark.parametrize("packed", [False, True])
def test_windows_of_a_genome(
    genome: Path, pieces: Path, positives: Sequences, text: str, kind: Kind, packed: bool
) -> None:
    background = make_negatives(positives, kind, genome=pieces if packed else genome, seed=1)
    assert background.lengths.tolist() == positives.lengths.tolist()
    assert background.labels is not None
    assert set(background.labels.tolist()) == {0}
    taken = [locus for locus in (*(background.loci or ()), *(positives.loci or ())) if locus]
    assert len(taken) == 80
    for i, a in enumerate(taken):
        assert all(a.end <= b.start or b.end <= a.start for b in taken[i + 1 :])
    for i, locus in enumerate(background.loci or ()):
        assert locus is not None
        bases = encode(text[locus.start : locus.end])
        assert background.string(i) == decode(reverse_complement(bases) if locus.strand == "-" else bases)
    assert {locus.strand for locus in background.loci or () if locus} == {"+", "-"}


def gc(sequences: Sequences) -> np.ndarray[tuple[int], np.dtype[np.float64]]:
    return np.array([gc_count(bases) / bases.size for bases in sequences.rows()])


@pytest.mark.parametrize("kind", ["random", "gc"])
@pytest.mark.parametrize("packed", [False, True])
def test_positives_without_loci_are_found_and_kept_away_from(
    genome: Path, pieces: Path, positives: Sequences, kind: Kind, packed: bool
) -> None:
    texts = [decode(reverse_complement(encode(text))) if i % 2 else text for i, text in enumerate(positives.strings())]
    unplaced = Sequences.from_strings(texts, [1] * len(texts))
    background = make_negatives(unplaced, kind, genome=pieces if packed else genome, seed=1)
    taken = [locus for locus in (*(background.loci or ()), *(positives.loci or ())) if locus]
    assert len(taken) == 80
    for i, a in enumerate(taken):
        assert all(a.end <= b.start or b.end <= a.start for b in taken[i + 1 :])


def apart(made: Sequences, positives: Sequences) -> bool:
    """Whether no window overlaps a positive."""
    mine, theirs = ([locus for locus in rows.loci or () if locus] for rows in (made, positives))
    return all(a.end <= b.start or b.end <= a.start for a in mine for b in theirs)


@pytest.mark.parametrize("packed", [False, True])
def test_loci_of_another_assembly_are_refused(genome: Path, pieces: Path, positives: Sequences, packed: bool) -> None:
    loci = [Locus(x.chrom, x.start - 3000, x.end - 3000) for x in positives.loci or () if x]
    shifted = Sequences.from_strings(positives.strings(), [1] * 40, loci=loci)
    with pytest.raises(
        FormatError, match="only 0 of 40 positives have, at their coordinates, the letters of this genome"
    ):
        make_negatives(shifted, "random", genome=pieces if packed else genome)


def test_loci_that_the_genome_lacks_are_looked_for_by_their_letters(genome: Path, positives: Sequences) -> None:
    loci = [Locus("chr77", x.start, x.end) for x in positives.loci or () if x]
    elsewhere = Sequences.from_strings(positives.strings(), [1] * 40, loci=loci)
    background = make_negatives(elsewhere, "random", genome=genome, per_positive=2)
    assert apart(background, positives)
    few = [*loci[:1], *(x for x in (positives.loci or ())[1:])]
    few[1] = Locus("chr1", 0, 101)  # it has others' letters there
    background = make_negatives(Sequences.from_strings(positives.strings(), [1] * 40, loci=few), "gc", genome=genome)
    assert apart(background, positives)
    assert apart(background, Sequences.from_strings(["ACGT"], loci=[Locus("chr1", 0, 4)]))


def test_loci_hold_for_either_strand(genome: Path, positives: Sequences) -> None:
    turned = [decode(reverse_complement(encode(text))) for text in positives.strings()]
    rows = Sequences.from_strings(turned, [1] * 40, loci=positives.loci)
    assert apart(make_negatives(rows, "random", genome=genome), positives)


def test_positives_that_cannot_be_shuffled() -> None:
    rows = Sequences.from_strings(["ACACACACACAC", "ACGGTTACGACG", "AAAAAAAA", "AC"], [1] * 4, list("abcd"))
    with pytest.raises(SequenceError, match=r"3 of 4 positives \('a', 'c', 'd'\) are short or repetitive"):
        make_negatives(rows, "shuffled", per_positive=2)
    assert len(make_negatives(rows.take(slice(1, 2)), "shuffled", per_positive=20)) == 20


def test_gc_is_matched_and_random_is_not(genome: Path, positives: Sequences) -> None:
    matched = make_negatives(positives, "gc", genome=genome)
    random = make_negatives(positives, "random", genome=genome)
    assert np.abs(gc(matched) - gc(positives)).max() < 0.1
    assert np.abs(gc(matched) - gc(positives)).mean() < 0.03
    assert gc(positives).mean() - gc(random).mean() > 0.1


def test_shuffled_keep_every_dinucleotide(positives: Sequences) -> None:
    background = make_negatives(positives, "shuffled", per_positive=2)
    assert len(background) == 80
    assert np.array_equal(word_counts(background, 2), np.repeat(word_counts(positives, 2), 2, axis=0))
    assert not set(background.strings()) & set(positives.strings())
    assert background.loci is None


def test_gene_bodies_without_a_gtf_are_those_of_a_task(positives: Sequences) -> None:
    negatives = make_negatives(positives, "gene_body", split="test", seed=3)
    rows = load_task("epdnew_nontata", "test")
    background = [rows.string(int(i)) for i in np.flatnonzero(rows.labels == 0)]
    heads = Counter(text[:100] for text in background)
    assert all(heads[text[:100]] for text in negatives.strings())
    assert len(set(negatives.strings())) == 40
    assert negatives.lengths.tolist() == positives.lengths.tolist()


GTF = """#!a header
chr1\tx\tgene\t1001\t20000\t.\t+\t.\tgene_id "A";
chr1\tx\texon\t1001\t1500\t.\t+\t.\tgene_id "A"; transcript_id "A1";
chr1\tx\texon\t7001\t8000\t.\t+\t.\tgene_id "A"; transcript_id "A1";
chr1\tx\texon\t12001\t12500\t.\t-\t.\tgene_id "B"; transcript_id "B1";
chr1\tx\texon\t23001\t24000\t.\t-\t.\tgene_id "B"; transcript_id "B1";
chr1\tx\texon\t14001\t14100\t.\t+\t.\tgene_id "C"; transcript_id "C1";
chr9\tx\texon\t14001\t14100\t.\t+\t.\tgene_id "D"; transcript_id "D1";
"""


@pytest.fixture
def gtf(tmp_path: Path) -> Path:
    """Two genes with room, one without, and one on a chromosome that is not there."""
    path = tmp_path / "genes.gtf"
    path.write_text(GTF)
    return path


def test_gene_bodies_of_a_gtf(genome: Path, gtf: Path, positives: Sequences) -> None:
    few = positives.take(slice(10))
    background = make_negatives(few, "gene_body", genome=genome, gtf=gtf)
    for locus in background.loci or ():
        assert locus is not None
        if locus.strand == "+":
            assert 1500 <= locus.start < locus.end <= 8000
            assert locus.start >= 1000 + 1000
        else:
            assert 12_000 <= locus.start < locus.end <= 23_000
            assert locus.end <= 24_000 - 1000
            assert locus.end <= 14_000 - 1000 + 1 or locus.start >= 14_000 + 1000
    assert {locus.strand for locus in background.loci or () if locus} == {"+", "-"}


def test_bodies_reach_no_farther_than_40_kb(tmp_path: Path, gtf: Path, genome: Path) -> None:
    assert [(body.start, body.end) for body in gene_bodies(gtf, Genome.open(genome))] == [
        (1500, 8000),
        (12_000, 23_000),
    ]
    gtf.write_text(GTF.replace("7001\t8000", "90001\t91000"))
    assert next(iter(gene_bodies(gtf, Genome.open(genome)))).end == 41_000


@pytest.mark.parametrize("kind", KINDS)
def test_seeds(pieces: Path, positives: Sequences, kind: Kind) -> None:
    first, again, other = (make_negatives(positives, kind, genome=pieces, seed=seed).strings() for seed in (0, 0, 1))
    assert first == again != other


def test_what_cannot_be_asked(positives: Sequences, pieces: Path, gtf: Path, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="expected one of random, gc, shuffled, gene_body, got 'easy'"):
        make_negatives(positives, "easy")  # type: ignore[arg-type]
    with pytest.raises(ConfigError, match="Give one: --genome"):
        make_negatives(positives, "gc")
    with pytest.raises(ConfigError, match="per_positive"):
        make_negatives(positives, "shuffled", per_positive=0)
    long = Sequences.from_strings([decode(random_parts(1, 20_001)[0])], [1])
    with pytest.raises(FormatError, match="no free window of 20001 nt"):
        make_negatives(long, "random", genome=pieces)
    with pytest.raises(FormatError, match="no free window of 20001 nt"):
        make_negatives(long, "gc", genome=pieces)
    with pytest.raises(SequenceError, match="only 251"):
        make_negatives(long, "gene_body")
    with pytest.raises(FormatError, match="no such GTF file"):
        make_negatives(positives, "gene_body", genome=pieces, gtf=tmp_path / "absent.gtf")
    gtf.write_text("chr1\tx\tgene\t1\t2\t.\t+\t.\tgene_id\n")
    with pytest.raises(FormatError, match="no exons"):
        make_negatives(positives, "gene_body", genome=pieces, gtf=gtf)
    gtf.write_text(GTF.replace("1001\t1500", "1001\tfar"))
    with pytest.raises(FormatError, match="line 3: expected an exon"):
        make_negatives(positives, "gene_body", genome=pieces, gtf=gtf)


def test_a_locus_outside_the_pieces(pieces: Path) -> None:
    genome = Genome.open(pieces)
    inside, gap, past = Locus("1", 8900, 9000), Locus("chr1", 8900, 9001), Locus("chr1", 29_990, 30_001)
    assert genome.find([inside, gap, past, Locus("chr2", 0, 5)]).tolist() == [1, -1, -1, -1]
    with pytest.raises(FormatError, match="another assembly, or a part of it"):
        genome.cut([gap], ["a"], np.zeros(1, dtype=np.int64))


def test_contigs_whose_names_hold_colons(tmp_path: Path) -> None:
    """Alleles of one gene are contigs of their own, with places of their own."""
    contigs = ("HLA-A*01:01:01:01", "HLA-A*02:01:01:01", "chr6:100-600")
    letters = [decode(part) for part in random_parts(3, 500)]
    genome = tmp_path / "hla.fa"
    genome.write_text("".join(f">{name}\n{text}\n" for name, text in zip(contigs, letters, strict=True)))
    positives = Sequences.from_strings([text[200:240] for text in letters])
    background = make_negatives(positives, "random", genome=genome, per_positive=4)
    assert background.loci is not None
    result = {locus.chrom for locus in background.loci if locus is not None}
    assert result == {*contigs[:2], "chr6"}
    for locus, text in zip(background.loci, background.strings(), strict=True):
        assert locus is not None
        source, at = (letters[2], 100) if locus.chrom == "chr6" else (letters[contigs.index(locus.chrom)], 0)
        there = source[locus.start - at : locus.end - at]
        assert text == (decode(reverse_complement(encode(there))) if locus.strand == "-" else there)
        assert locus.end - at <= 200 or locus.start - at >= 240


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b">chr1\rACGTACGT\r", "no letters"),
        (b">chr1\nACGT\nAC\nACGT\n", "no FASTA that can be indexed"),
        (b">chr1\nACGTAC\xff\nACGTACG\n", "can"),
        (b">chr1\nACGT5CGT\n", "'chr1', position 4"),
        (b"", "none"),
        (b"ACGT\n", "no FASTA that can be indexed"),
        (b">chr1\nACGT\n>chr1\nACGT\n", "Duplicate key"),
    ],
)
def test_a_genome_that_is_none(tmp_path: Path, content: bytes, message: str) -> None:
    path = tmp_path / "genome.fa"
    path.write_bytes(content)
    with pytest.raises((FormatError, SequenceError), match=message):
        Genome.open(path).letters(0, 0, 8)


def test_an_index_of_another_file_is_refused(tmp_path: Path, text: str) -> None:
    path = tmp_path / "genome.fa"
    path.write_text(f">chr1\n{text[:3000]}\n>chr2\n{text[3000:5000]}\n")
    assert Genome.open(path).names == ("chr1", "chr2")
    bare = tmp_path / "bare.fa"
    bare.write_text(f">chr1\n{text[:3000]}\n\n>chr2 second >of two\n{text[3000:5000]}")
    assert Genome.open(bare).letters(1, 0, 2000).tolist() == encode(text[3000:5000]).tolist()
    time = (tmp_path / "genome.fa.fai").stat().st_mtime_ns
    for other in (f">chr1\n{text[:2000]}\n>chr2\n{text[2000:5000]}\n", f">chr1\n{text[:100]}\n"):
        path.write_text(other)
        os.utime(path, ns=(time - 10**9, time - 10**9))
        with pytest.raises(FormatError, match=r"genome\.fa\.fai is not the index of this file"):
            Genome.open(path)


@pytest.mark.parametrize("line", ["1\t0", "2\t1", "x\t3", "1\t" + "9" * 5000])
def test_an_exon_that_is_none(tmp_path: Path, genome: Path, line: str) -> None:
    path = tmp_path / "genes.gtf"
    path.write_text(f'chr1\tx\texon\t{line}\t.\t+\t.\tgene_id "A"; transcript_id "A1";\n')
    with pytest.raises(FormatError, match="line 1: expected an exon"):
        list(gene_bodies(path, Genome.open(genome)))


def test_a_damaged_gtf(tmp_path: Path, genome: Path) -> None:
    path = tmp_path / "genes.gtf.gz"
    path.write_bytes(gzip.compress(b"# a comment\n" * 5000, mtime=0)[:-12])
    with pytest.raises(FormatError, match="the file is damaged, or no text"):
        list(gene_bodies(path, Genome.open(genome)))
