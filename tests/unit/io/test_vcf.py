"""VCF: rows as they are, or refused with their line."""

from __future__ import annotations

import gzip
import io
import os
from pathlib import Path

import pytest

from kmerit.errors import FormatError
from kmerit.io.vcf import BgzipWriter, Vcf, with_fields, with_info

HEADER = (
    "##fileformat=VCFv4.2\n##contig=<ID=chr1,length=400>\n##contig=<assembly=x,length=7,ID=HLA-A*01:01>\n"
    '##INFO=<ID=DP,Number=1,Type=Integer,Description="Depth, of all">\n'
    "#CHROM\tPOS\tID\tREF\tALT\tQUAL\tFILTER\tINFO\tFORMAT\tone\n"
)
ROWS = "chr1\t7\trs1\tA\tg,<DEL>,*\t9.5\tPASS\tDP=3;X\tGT\t0/1\nchr1\t-2\t.\tac\t.\t.\t.\t.\tGT\t./.\n"


def bgzipped(text: str) -> bytes:
    file = io.BytesIO()
    with BgzipWriter(file) as writer:
        writer.write(text)
    return file.getvalue()


def written(path: Path, content: str | bytes) -> Path:
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return path


@pytest.mark.parametrize("pack", [str.encode, lambda text: gzip.compress(text.encode()), bgzipped])
def test_rows_are_kept_as_they_are(tmp_path: Path, pack: object) -> None:
    vcf = Vcf.open(written(tmp_path / "v", pack(HEADER + ROWS)))  # type: ignore[operator]
    assert vcf.contigs == {"chr1": 400, "HLA-A*01:01": 7}
    assert vcf.fields == {"DP"}
    first, second = vcf.rows()
    assert first == (6, "chr1", 6, "rs1", "A", ("g", "<DEL>", "*"), ROWS.splitlines()[0])
    assert (second.start, second.ref, second.alts) == (-3, "AC", ())
    assert with_fields(vcf.header, ["##x"])[-2:] == ["##x", HEADER.splitlines()[-1]]


def test_windows_line_ends(tmp_path: Path) -> None:
    vcf = Vcf.open(written(tmp_path / "v.vcf", (HEADER + ROWS).replace("\n", "\r\n")))
    assert [row.text for row in vcf.rows()] == ROWS.splitlines()


def test_fields_are_added_behind_those_that_are_there() -> None:
    first, second = ROWS.splitlines()
    assert with_info(first, {"A": "1", "B": "2"}).split("\t")[7] == "DP=3;X;A=1;B=2"
    assert with_info(second, {"A": "1"}).split("\t")[7] == "A=1"
    assert with_info(second, {}) == second


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("", "the file is empty"),
        ("chrom,pos\n", "expected a VCF, '##fileformat=VCFv4...', found 'chrom,pos'"),
        ("##fileformat=VCFv4.2\n#CHROM POS\n", "line 2: expected the columns #CHROM POS ID"),
        ("##fileformat=VCFv4.2\n", "line 1: expected the columns"),
        (HEADER + "chr1\t7\t.\tA\tG\n", "line 6: expected 10 columns as in the header, found 5; is the file whole"),
        (HEADER + ROWS.replace("\t7\t", "\tseven\t"), "line 6: .* a whole number as POS"),
        (HEADER + ROWS.replace("\tA\t", "\t.\t"), "line 6: .* letters as REF"),
        (HEADER + ROWS[:-1], "line 7: the last line has no line end"),
        (HEADER.encode() + b"chr1\t\xff\n", "line 6: this is not UTF-8 text"),
        (gzip.compress((HEADER + ROWS).encode())[:-9], "truncated or damaged"),
        (bgzipped(HEADER + ROWS)[:-28], "no end block: it was cut off"),
        (b"BCF\x02\x02", "found BCF; convert it"),
        (b"\xfd7zXZ\0", "found xz"),
    ],
)
def test_what_is_not_understood_is_refused(tmp_path: Path, content: str | bytes, message: str) -> None:
    path = written(tmp_path / "v.vcf", content)
    with pytest.raises(FormatError, match=message):
        list(Vcf.open(path).rows())


def test_a_damaged_block_is_refused_where_it_is_reached(tmp_path: Path) -> None:
    text = HEADER + ROWS * 3000
    data = bytearray(bgzipped(text))
    data[len(data) // 2] ^= 255
    vcf = Vcf.open(written(tmp_path / "v.vcf.gz", bytes(data)))
    with pytest.raises(FormatError, match=r"truncated or damaged|is the file whole|not UTF-8"):
        list(vcf.rows())


def test_a_missing_file_and_standard_input(tmp_path: Path) -> None:
    with pytest.raises(FormatError, match="no such file"):
        Vcf.open(tmp_path / "none.vcf")
    with pytest.raises(FormatError, match="save it to a file"):
        Vcf.open("-")


def test_bgzip_holds_any_text_in_blocks(tmp_path: Path) -> None:
    noise = os.urandom(100_000).hex()
    for text in ("", "A", noise, "ACGT" * 100_000):
        packed = bgzipped(text)
        assert gzip.decompress(packed).decode() == text
        assert packed == bgzipped(text)
        at, blocks = 0, 0
        while at < len(packed):  # each block says its own size
            at += int.from_bytes(packed[at + 16 : at + 18], "little") + 1
            blocks += 1
        assert at == len(packed)
        assert blocks == -(-len(text) // 0xFF00) + 1
