"""Tables of measured effects: what is read, what takes no part, what is refused."""

from __future__ import annotations

import gzip
from pathlib import Path

import numpy as np
import pytest
from scipy.stats import norm

from kmerit.errors import FormatError, UsageError
from kmerit.io.elements import read_elements, summary_of
from kmerit.sequences import decode

HEADER = "Chrom\tPos\tRef\tAlt\tBarcodes\tDNA\tRNA\tCoefficient\tpValue\tElement\tRelease"
ROWS = [
    "2\t100\tC\tA\t50\t1\t1\t-0.5\t0.04\tX-one\tGRCh38",
    "2\t100\tC\tT\t50\t1\t1\t0.25\t1\tX-one\tGRCh38",
    "2\t100\tC\t-\t50\t1\t1\t0.5\t0.5\tX-one\tGRCh38",
    "2\t101\tG\tA\t9\t1\t1\t0.5\t0.5\tX-one\tGRCh38",
    "2\t102\tT\tA\t50\t1\t1\tinf\t0.5\tX-one\tGRCh38",
    "2\t102\tT\tC\t50\t1\t1\t\t\tX-one\tGRCh38",
    "2\t\tT\tC\t50\t1\t1\t1\t0.5\tX-one\tGRCh38",
    "2\t102\tT\tG\t50\t1\t1\t1.5\t0\tX-one\tGRCh38",
    "2\t101\tG\tC\t50\t1\t1\t0.5\t0.5\tX-two\tGRCh38",
    "2\t102\tT\tC\t50\t1\t1\t0.5\t0.5\tX-two\tGRCh38",
    "3\t101\tA\tC\t50\t1\t1\t0.5\t0.5\tY\tGRCh38",
    "3\t103\tA\tC\t50\t1\t1\t0.5\t0.5\tY\tGRCh38",
    "2\t999\tC\tA\t50\t1\t1\t-0.5\t0.04\tX-one\tGRCh37",
]


def written(path: Path, rows: list[str], header: str = HEADER) -> Path:
    path.write_bytes(gzip.compress("\n".join([header, *rows, ""]).encode()))
    return path


def test_the_published_layout(tmp_path: Path) -> None:
    path = written(tmp_path / "elements.tsv.gz", ROWS)
    with pytest.raises(UsageError, match=r"has rows of GRCh37, GRCh38\. Choose one"):
        read_elements(path)
    one, two, other = read_elements(path, release="GRCh38")
    assert (one.element, two.element, other.element) == ("X", "X", "Y")
    assert (one.name, one.chrom, one.start, decode(one.bases)) == ("X-one", "2", 100, "CGT")
    assert one.position.tolist() == [0, 0, 2]
    assert one.step.tolist() == [3, 2, 3]
    assert "".join("ACGT"[i] for i in one.alt) == "ATG"
    assert one.effect.tolist() == [-0.5, 0.25, 1.5]
    assert one.se[0] == pytest.approx(0.5 / norm.isf(0.02))
    assert np.isnan(one.se[1])  # with a p of 1 nothing is known of the error
    assert 0 < one.se[2] < 0.05
    assert one.left_out == {"position_missing": 1, "deletion": 1, "effect_missing": 2, "few_barcodes": 1}
    assert decode(other.bases) == "ANA"
    assert sum(summary_of([one])[0][key] for key in ("substitutions", *one.left_out)) == 8
    assert len(read_elements(path, release="GRCh38", min_barcodes=0)[0]) == 4
    assert [each.name for each in read_elements(path, release="GRCh38", elements=["X-two"])] == ["X-two"]


def test_own_columns(tmp_path: Path) -> None:
    path = tmp_path / "mine.csv"
    path.write_text("element,assay,position,ref,alt,effect,se\ne,a,1,a,g,0.5,0.1\ne,b,1,A,G,0.75,-1\nf,c,1,A,G,1,0.2\n")
    a, b, c = read_elements(path)
    assert [(each.element, each.name) for each in (a, b, c)] == [("e", "a"), ("e", "b"), ("f", "c")]
    assert a.se.tolist() == [0.1]
    assert np.isnan(b.se).all()
    assert np.isnan(a.barcodes).all()
    assert a.digest != b.digest


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        (["2\t100\tC\tA\t50\t1\t1\t0\t1\tX\tv", "2\t100\tG\tA\t50\t1\t1\t0\t1\tX\tv"], "position 100: ref is C and G"),
        (["2\t100\tC\tA\t50\t1\t1\t0\t1\tX\tv"] * 2, "the same substitution occurs in 2 rows"),
        (["2\t100\tCC\tA\t50\t1\t1\t0\t1\tX\tv"], "expected a base as ref, found 'CC'"),
        (["2\t\tC\tA\t50\t1\t1\t0\t1\tX\tv"], "has no row with a position; expected whole numbers"),
        (["2\t100.5\tC\tA\t50\t1\t1\t0\t1\tX\tv"], r"the position 100\.5; expected whole numbers"),
        (["2\t100\tC\tA\t50\t1\t1\t0\t1\t\tv"], "1 rows name no element"),
        (["2\t100\tC\tA\t50\t1\t1\t0\t1\tX\tv", "2\t101\tC\tA\t50\t1\t1\t0\t1\tX\t"], "1 of 2 rows name no release"),
        (["2\t100\tC\tA\t50\t1\t1\t0\t1\tX\tv", "3\t101\tC\tA\t50\t1\t1\t0\t1\tX\tv"], "the chromosomes 2, 3"),
        (["2\t100\tC\tA\t50\t1\t1\t0\t7.5\tX\tv"], r"the p value 7\.5; expected 0 to 1"),
    ],
)
def test_what_cannot_be_is_refused(tmp_path: Path, rows: list[str], message: str) -> None:
    with pytest.raises(FormatError, match=message):
        read_elements(written(tmp_path / "e.tsv.gz", rows))


def test_missing_columns_and_names(tmp_path: Path) -> None:
    with pytest.raises(FormatError, match=r"effect is missing\. It has: Chrom"):
        read_elements(written(tmp_path / "a.tsv.gz", [], HEADER.replace("Coefficient", "size")))
    path = written(tmp_path / "b.tsv.gz", ROWS)
    with pytest.raises(UsageError, match="has no rows of 'T2T'"):
        read_elements(path, release="T2T")
    with pytest.raises(UsageError, match="has no element 'Z', but X-one, X-two, Y"):
        read_elements(path, release="GRCh38", elements=["Z"])


@pytest.mark.parametrize("missing", ["", "NA", "nan", "."])
def test_rows_without_a_place_name_no_chromosome(missing: str, tmp_path: Path) -> None:
    rows = ["10\t100\tC\tA\t50\t1\t1\t0.5\t1\tX\tv", f"{missing}\t{missing}\tC\tT\t50\t1\t1\t0\t1\tX\tv"]
    (assay,) = read_elements(written(tmp_path / "e.tsv.gz", rows))
    assert (assay.chrom, len(assay), assay.left_out) == ("10", 1, {"position_missing": 1})


def test_unknown_columns_are_refused_by_name(tmp_path: Path) -> None:
    path = tmp_path / "measured.csv"
    path.write_text("element,position,ref,alt,effect,std_err,Note\nX,1,A,C,0.5,0.1,fine\n")
    with pytest.raises(FormatError, match=r"'std_err', 'Note': unknown column\. Remove it, or rename .* se, p"):
        read_elements(path)


def test_two_columns_of_one_meaning_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "measured.csv"
    path.write_text("element,position,ref,alt,effect,Effect\nX,1,A,C,0.5,0.1\n")
    with pytest.raises(FormatError, match="effect and Effect both hold the effect"):
        read_elements(path)


def test_elements_without_a_chromosome_are_not_joined(tmp_path: Path) -> None:
    rows = ["\t1\tC\tA\t50\t1\t1\t0\t1\tX\tv", "\t1\tG\tA\t50\t1\t1\t0\t1\tY\tv", "2\t1\tA\tG\t50\t1\t1\t0\t1\tZ\tv"]
    result = read_elements(written(tmp_path / "e.tsv.gz", rows))
    assert [(each.element, each.chrom) for each in result] == [("X", ""), ("Y", ""), ("Z", "2")]


def test_a_joined_element_takes_no_name_of_another(tmp_path: Path) -> None:
    path = tmp_path / "e.csv"
    rows = ["A1,1,C,A,0", "A2,1,C,G,0", "A,1,G,A,0", "B.,1,T,A,0", "B,1,A,T,0"]
    path.write_text("\n".join(["element,position,ref,alt,effect", *rows, ""]))
    assert [each.element for each in read_elements(path)] == ["A1", "A1", "A", "B.", "B"]


@pytest.mark.parametrize("column", ["position", "effect", "barcodes", "se", "p"])
def test_text_among_numbers_is_refused_with_its_row(column: str, tmp_path: Path) -> None:
    path = tmp_path / "measured.csv"
    columns = ["element", "position", "ref", "alt", "effect", "barcodes", "se", "p"]
    rows = [["X", "1", "A", "C", "0.5", "NA", "", "."], ["X", "2", "C", "G", "0.1", "50", "inf", "1"]]
    rows[1][columns.index(column)] = "many"
    path.write_text("\n".join(map(",".join, [columns, *rows, []])))
    with pytest.raises(FormatError, match=f"row 2 has 'many' as {column}; expected a number, or nothing"):
        read_elements(path)


def test_an_infinite_error_is_unknown(tmp_path: Path) -> None:
    path = tmp_path / "measured.csv"
    path.write_text("element,position,ref,alt,effect,se\nX,1,A,C,0.5,inf\nX,2,C,G,0.1,0.2\n")
    (assay,) = read_elements(path)
    assert np.array_equal(assay.se, [np.nan, 0.2], equal_nan=True)
