"""MEME files: every layout that MEME's programs write is read, and what is wrong is refused with its line."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from kmerit.errors import FormatError, UsageError
from kmerit.io.motifs import find_motif, read_motifs
from kmerit.sequences import decode

TOP = "MEME version 4\n\nALPHABET= ACGT\n\nstrands: + -\n\nBackground letter frequencies\nA 0.3 C 0.2 G 0.2 T 0.3\n\n"
ROWS = {"A": "0.97 0.01 0.01 0.01", "C": "0.01 0.97 0.01 0.01", "G": "0.01 0.01 0.97 0.01", "T": "0.01 0.01 0.01 0.97"}


def rows(letters: str) -> str:
    return "".join(f" {ROWS[letter]}\n" for letter in letters)


def motif(letters: str, title: str = "M1 ONE", head: str = "alength= 4 w= {} nsites= 20 E= 0") -> str:
    return f"MOTIF {title}\nletter-probability matrix: {head.format(len(letters))}\n{rows(letters)}"


def read(folder: Path, text: str) -> dict[str, tuple[str, str]]:
    path = folder / "x.meme"
    path.write_bytes(text.encode())
    return {
        key: (motif.name, decode(motif.probabilities.argmax(axis=1).astype(np.int8)))
        for key, motif in read_motifs(path).items()
    }


# As the program meme writes it: a numbered title with a caption, descriptions, log-odds, probabilities, an expression.
LONG = """********************************************************************************
MEME - Motif discovery tool
********************************************************************************
MEME version 5.5.5 (Release date: Thu Sep 21 2023)

PRIMARY SEQUENCES= crp0.fna
CONTROL SEQUENCES= --none--
ALPHABET= ACGT
Sequence name            Weight Length  Sequence name            Weight Length
ce1cg                    1.0000    105  ara                      1.0000    105

Letter frequencies in dataset:
A 0.304 C 0.196 G 0.196 T 0.304
Background letter frequencies (from file dataset with add-one prior applied):
A 0.304 C 0.196 G 0.196 T 0.304

MOTIF TTGA MEME-1\twidth =   4  sites =  18  llr = 200  p-value = 1.0e-002  E-value = 1.1e-006
--------------------------------------------------------------------------------
\tMotif TTGA MEME-1 Description
--------------------------------------------------------------------------------
Simplified        A  :::a
pos.-specific     C  ::::
--------------------------------------------------------------------------------
\tMotif TTGA MEME-1 sites sorted by position p-value
--------------------------------------------------------------------------------
ce1cg                        +     61  1.52e-05 TACTGTTTTT TTGA TCGTTTTCAC
--------------------------------------------------------------------------------
\tMotif TTGA MEME-1 in BLOCKS format
--------------------------------------------------------------------------------
BL   MOTIF TTGA width=4 seqs=18
ce1cg                    (   61) TTGA  1
//

--------------------------------------------------------------------------------
\tMotif TTGA MEME-1 position-specific scoring matrix
--------------------------------------------------------------------------------
log-odds matrix: alength= 4 w= 4 n= 1836 bayes= 7.56 E= 1.1e-006
 -1081  -1081   -181    155
 -1081  -1081   -181    155
 -1081  -1081    218  -1081
   171  -1081  -1081  -1081
--------------------------------------------------------------------------------
\tMotif TTGA MEME-1 position-specific probability matrix
--------------------------------------------------------------------------------
letter-probability matrix: alength= 4 w= 4 nsites= 18 E= 1.1e-006
{ttga}--------------------------------------------------------------------------------
\tMotif TTGA MEME-1 regular expression
--------------------------------------------------------------------------------
TTGA
--------------------------------------------------------------------------------

Time  0.52 secs.

MOTIF CCC MEME-2\twidth =   3  sites =   9  llr = 99  p-value = 1.0e-001  E-value = 2.0e+001
--------------------------------------------------------------------------------
log-odds matrix: alength= 4 w= 3 n= 1854 bayes= 7.5 E= 2.0e+001
  -982    235   -982   -982
  -982    235   -982   -982
  -982    235   -982   -982
--------------------------------------------------------------------------------
letter-probability matrix: alength= 4 w= 3 nsites= 9 E= 2.0e+001
{ccc}--------------------------------------------------------------------------------

SUMMARY OF MOTIFS
SEQUENCE NAME            COMBINED P-VALUE  MOTIF DIAGRAM
ce1cg                            1.62e-04  60_[+1(1.52e-05)]_41
Stopped because requested number of motifs (2) found.
""".format(ttga=rows("TTGA"), ccc=rows("CCC"))

BLOCK = TOP.replace(
    "ALPHABET= ACGT",
    'ALPHABET "DNA" DNA-LIKE\nA "Adenine" CC0000 ~ T "Thymine" 008000\nC "Cytosine" 0000CC ~ G "Guanine" FFB300\n'
    'N "Any base" = ACGT\nX = ACGT\nR "Purine" = AG\nEND ALPHABET',
)


# As streme writes it, which names a motif by number and letters.
STREME = TOP.replace("version 4", "version 5.5.5").replace("strands: + -", "strands: +") + (
    motif("ACGT", "1-ACGT STREME-1", "alength= 4 w= {} nsites= 1431 E= 1.2e-056") + "\n"
    "# DREME\n" + motif("TTG", "TTG DREME-2", "alength= 4 w= {} nsites= 77 E= 9.9e-010")
)
DREME = (
    TOP + "MOTIF ACGT DREME-1\n\n#             Word    RC Word        Pos        Neg    P-value    E-value\n"
    "# BEST       ACGT       ACGT        175         11   5.2e-042   2.1e-037\n\n"
    f"letter-probability matrix: alength= 4 w= 4 nsites= 190 E= 2.1e-037\n{rows('ACGT')}\n"
)
JOINED = TOP.replace("strands: + -", "strands: + -\nstrands: +") + motif("ACGT") + "\n" + TOP + motif("TTG", "M2 TWO")
"""Two files, one behind the other: two heads, three lines of strands."""


@pytest.mark.parametrize(
    ("text", "found"),
    [
        (JOINED, None),
        (STREME, {"1-ACGT": ("STREME-1", "ACGT"), "TTG": ("DREME-2", "TTG")}),
        (DREME, {"ACGT": ("DREME-1", "ACGT")}),
        (TOP + motif("ACGT") + "URL http://jaspar.genereg.net/matrix/M1\n\n" + motif("TTG", "M2 TWO"), None),
        (TOP + motif("ACGT") + motif("TTG", "M2 TWO").rstrip("\n"), None),
        (TOP + motif("ACGT", head="") + "\n" + motif("TTG", "M2 TWO", "alength= 4"), None),
        (TOP + motif("ACGT", head="nsites= 20") + "URL x\n" + motif("TTG", "M2 TWO", "alength=4 w={}"), None),
        ((TOP + motif("ACGT") + "\n" + motif("TTG", "M2 TWO")).replace("\n", "\r\n"), None),
        ((TOP + motif("ACGT") + "\n" + motif("TTG", "M2 TWO")).replace("\n", "\r"), None),
        (
            motif("ACGT").replace(" 0.01", "\t1.0e-02") + "\n\n" + motif("TTG", "M2 TWO").replace("\n 0", "\n\n 0", 1),
            None,
        ),
        (BLOCK + motif("ACGT") + motif("TTG", "M2 TWO"), None),
        (TOP + motif("ACGT", "M1"), {"M1": ("M1", "ACGT")}),
        (TOP + motif("ACGT", " 1\twidth =   4   sites =  18"), {"1": ("1", "ACGT")}),
        (TOP + motif("ACGT", "MA0592.3 Esrra(var.2) two words"), {"MA0592.3": ("Esrra(var.2) two words", "ACGT")}),
        (LONG, {"TTGA": ("MEME-1", "TTGA"), "CCC": ("MEME-2", "CCC")}),
    ],
)
def test_reads(tmp_path: Path, text: str, found: dict[str, tuple[str, str]] | None) -> None:
    assert read(tmp_path, text) == (found or {"M1": ("ONE", "ACGT"), "M2": ("TWO", "TTG")})


GOOD = TOP + motif("ACGT")  # MOTIF on line 10, the matrix on line 11, its rows on lines 12 to 15


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("hello", "found none"),
        (TOP, "found none"),
        (
            GOOD + "MOTIF M2 TWO\n\n" + motif("TTG", "M3"),
            "line 16: the motif 'M2' has no letter-probability matrix (line 18",
        ),
        (GOOD + "MOTIF M2 TWO\n", "line 16: the motif 'M2' has no letter-probability matrix (the file ends)"),
        (
            GOOD + "MOTIF M2\nlog-odds matrix: alength= 4 w= 1\n1 2 -3 4\n",
            "line 16: the motif 'M2' has no letter-probability matrix",
        ),
        (GOOD + motif("TTG"), "line 16: the motif 'M1' occurs twice (first: line 10)"),
        (GOOD + motif("TTG", ""), "line 16: expected an identifier behind MOTIF"),
        (GOOD + motif("TTG").split("\n", 1)[1], "line 16: a letter-probability matrix of no motif: its motif has one"),
        (motif("TTG").split("\n", 1)[1], "line 1: a letter-probability matrix of no motif: no line 'MOTIF"),
        (GOOD.replace("w= 4", "w= 5"), "line 11: the matrix is cut off: expected 5 rows, found 4"),
        (GOOD.replace("w= 4", "w= 5") + motif("AC", "M2"), "line 11: the matrix is cut off: expected 5 rows, found 4"),
        (GOOD.replace("w= 4", "w= 3"), "line 15: four numbers outside a matrix"),
        (GOOD.replace("w= 4", "w= 0"), "line 11: expected a matrix of alength= 4 letters and w= 1 positions or more"),
        (GOOD.replace("w= 4", "w= 4.5"), "line 11: expected a matrix of"),
        (GOOD.replace("w= 4", "w= " + "9" * 5000), "line 11: expected a matrix of"),
        (GOOD.replace("w= 4", "w= 999999999"), "line 11: the matrix is cut off"),
        (GOOD.replace("alength= 4", "alength= 20"), "line 11: expected a matrix of alength= 4"),
        (TOP + motif("", head="alength= 4"), "line 11: the matrix is cut off: expected some rows, found 0"),
        (GOOD.replace("\n 0.01 0.97", "\n\n 0.01 0.97"), "line 11: the matrix is cut off: expected 4 rows, found 1"),
        (
            GOOD.replace("w= 4", "").replace("\n 0.01 0.97", "\n\n 0.01 0.97"),
            "line 14: four numbers outside a matrix. Remove the blank line",
        ),
        (GOOD.replace("0.97 0.01 0.01 0.01", "0.97 0.01 0.01"), "line 12: expected the probabilities of A, C, G and T"),
        (GOOD.replace("0.01 0.97 0.01 0.01", "0.01 0.96 0.01 0.01 0.01"), "line 13: expected the probabilities of"),
        (GOOD.replace("0.01 0.97 0.01 0.01", "0.01 0.9 0.01 0.01"), "line 13: expected the probabilities of"),
        (GOOD.replace("0.01 0.97 0.01 0.01", "-0.01 0.99 0.01 0.01"), "line 13: expected the probabilities of"),
        (GOOD.replace("0.01 0.97 0.01 0.01", "0.01 nan 0.01 0.01"), "line 13: expected the probabilities of"),
        (GOOD.replace("0.01 0.97 0.01 0.01", "0.01 inf 0.01 0.01"), "line 13: expected the probabilities of"),
        (GOOD.replace("w= 4", "").replace("0.01 0.97", "x 0.97"), "line 13: expected the probabilities of"),
        (GOOD.replace("0.01 0.97 0.01 0.01", "97 1 1 1"), "line 13: expected the probabilities of"),
        (GOOD.replace("= ACGT", "= ACDEFGHIKLMNPQRSTVWY"), "line 3: expected DNA's alphabet, ACGT"),
        (GOOD.replace("= ACGT", "= ACGU"), "line 3: expected DNA's alphabet, ACGT, found 'ACGU'"),
        (
            "MEME version 4\nALPHABET RNA\n" + motif("AC"),
            "line 2: expected ALPHABET= ACGT, or the symbols line by line",
        ),
        ('MEME version 5\nALPHABET "DNA-LIKE" X\nA\n', "line 2: expected ALPHABET= ACGT, or the symbols line by line"),
        ('MEME version 5\nALPHABET "RNA"\nA\nC\nG\nU\nEND ALPHABET\n' + motif("AC"), "line 2: expected DNA's alphabet"),
        ("<!DOCTYPE HTML>\n<html>\n", "line 1: this is HTML or XML"),
        ("MOTIF a\0b\n", "line 1: expected text, found a binary file"),
    ],
)
def test_refuses(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(FormatError) as caught:
        read(tmp_path, text)
    assert message in str(caught.value)
    assert len(str(caught.value)) < 400


def test_a_name_that_several_motifs_have_is_asked_about(tmp_path: Path) -> None:
    path = tmp_path / "x.meme"
    path.write_text(TOP + motif("ACGT", "M1 CTCF") + motif("TTG", "M2 CTCF"))
    with pytest.raises(UsageError, match="The name 'CTCF' is that of 2 motifs: M1, M2"):
        find_motif(read_motifs(path), "CTCF")
    assert find_motif(read_motifs(path), "M2").name == "CTCF"


@pytest.mark.parametrize("head", ["alength= 4 w= {}", "alength= 4"])
@pytest.mark.parametrize("places", [(1,), (2,), (4,), (1, 2, 4, 5)])
def test_comments_within_a_matrix_are_skipped(tmp_path: Path, head: str, places: tuple[int, ...]) -> None:
    lines = motif("ACT", head=head).splitlines()  # the title, the header of the matrix, three rows
    for place in sorted(places, reverse=True):
        lines.insert(place, "# a comment: 1 2 3 4")
    text = TOP + "\n".join(lines) + "\n\n# another\n" + motif("GG", "M2 TWO", head)
    assert read(tmp_path, text) == {"M1": ("ONE", "ACT"), "M2": ("TWO", "GG")}


@pytest.mark.parametrize("line", ["ALPHABET DNA", 'ALPHABET "DNA"', "ALPHABET dna"])
def test_dnas_alphabet_may_be_named(tmp_path: Path, line: str) -> None:
    assert read(tmp_path, TOP.replace("ALPHABET= ACGT", line) + motif("ACT")) == {"M1": ("ONE", "ACT")}
