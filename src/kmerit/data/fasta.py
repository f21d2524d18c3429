"""FASTA: names, bases, and what kmerit writes behind the name.

A header is ``>name label=1 locus=chr1:100-351:+``: the name ends at the first white space; ``label`` (a class),
``value`` (to regress on) and ``locus`` (0-based, half-open) are optional, other words are ignored.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from kmerit.data.files import not_utf8, open_to_write, read_text_bytes, unix_lines
from kmerit.data.letters import (
    REFUSED,
    Case,
    Where,
    assemble,
    check_names,
    code_table,
    empty,
    parse_labels,
    refused,
    without_ambiguity,
)
from kmerit.data.loci import parse_locus, spell_locus, split_locus
from kmerit.errors import FormatError, LabelError, SequenceError, short
from kmerit.types import Locus, Sequences

_NOT_BLANK = re.compile(rb"[^\n]")
_RECORD = re.compile(rb"\n>")
_FIELD = re.compile(r"(?:^|\s)(label|value|locus)=(\S*)")


def read_fasta(path: Path, case: Case = "exact", *, ambiguous_as_n: bool = False) -> Sequences:
    """Read a FASTA file, gzipped or not, with a few bytes of memory per nucleotide.

    Args:
        path: The file.
        case: ``"exact"`` refuses lower case, ``"upper"`` reads it as upper case.
        ambiguous_as_n: Whether IUPAC letters that stand for several bases, which genomes have, are read as N.

    Raises:
        FormatError: No FASTA file, no records, damaged gzip.
        SequenceError: A refused letter, an empty sequence, a name missing or twice.
        LabelError: Labels that are not numbers, or not in every header.
    """
    text = unix_lines(read_text_bytes(path)) + b"\n"
    heads, ends = _headers(text, path)

    def where(row: int) -> str:
        return f"{path}, line {_line(text, heads[row])}"

    names, descriptions = _names([_header(text, a + 1, b, path) for a, b in zip(heads, ends, strict=True)])
    check_names(names, where)

    table = code_table(case)
    bodies = (text[a:b] for a, b in zip(ends, [*heads[1:], len(text)], strict=True))
    parts = [(without_ambiguity(body) if ambiguous_as_n else body).translate(table, b"\n") for body in bodies]
    offsets = np.zeros(len(parts) + 1, dtype=np.int64)
    np.cumsum([len(part) for part in parts], out=offsets[1:])
    if 0 in (lengths := np.diff(offsets)):
        raise empty(int(np.argmin(lengths)), names, where)
    bases = np.frombuffer(b"".join(parts), dtype=np.int8)
    if bases.min() < 0:
        row = int(np.searchsorted(offsets, int(np.argmin(bases >= 0)), side="right")) - 1
        body = text[ends[row] : [*heads, len(text)][row + 1]]
        raise _refused(body, case, path, _line(text, heads[row]), names[row])
    labels, loci = _descriptions(descriptions, where)
    return assemble(names, bases, offsets, labels, loci)


def write_fasta(sequences: Sequences, path: Path, width: int = 80) -> None:
    """Write a FASTA file, gzipped if the suffix says so, that :func:`read_fasta` reads back alike."""
    with open_to_write(path) as file:
        for i, name in enumerate(sequences.names):
            string = sequences.string(i)
            lines = [string[a : a + width] for a in range(0, len(string), width)]
            file.write("\n".join([">" + " ".join([name, *_fields(sequences, i)]), *lines, ""]).encode())


def _headers(text: bytes, path: Path) -> tuple[list[int], list[int]]:
    """Find where the header lines begin and end."""
    first = next(_NOT_BLANK.finditer(text)).start()
    if text[first : first + 1] != b">":
        found = text[first : text.index(b"\n", first)][:40].decode("utf-8", "replace").strip()
        raise FormatError(
            f"{path}, line {_line(text, first)}: expected a FASTA record ('>name'), found {found!r}: no records."
        )
    heads = [first, *(match.start() + 1 for match in _RECORD.finditer(text, first))]
    return heads, [text.index(b"\n", head) for head in heads]


def _header(text: bytes, start: int, end: int, path: Path) -> str:
    try:
        return text[start:end].decode().strip()
    except UnicodeDecodeError as error:
        raise not_utf8(path, text, error, start) from None


def _refused(body: bytes, case: Case, path: Path, header_line: int, name: str) -> SequenceError:
    """Explain the first refused letter of a record, down to its line; the body begins with the header's line end."""
    lines = body.split(b"\n")
    bad = (REFUSED in line.translate(code_table(case)) for line in lines)
    line = header_line + list(bad).index(True)
    return refused(b"".join(lines).decode("utf-8", "replace"), case, 0, [name], lambda _: f"{path}, line {line}")


def _line(text: bytes, position: int) -> int:
    return text.count(b"\n", 0, position) + 1


def _names(headers: Sequence[str]) -> tuple[list[str], list[str]]:
    names, descriptions = [], []
    for header in headers:
        name, *rest = header.split(maxsplit=1) or [""]
        names.append(name)
        descriptions.append(rest[0] if rest else "")
    return names, descriptions


def _descriptions(descriptions: Sequence[str], where: Where) -> tuple[NDArray[Any] | None, list[Locus | None] | None]:
    """Read labels and loci; labels must stand in every header or in none."""
    if not any("=" in description for description in descriptions):
        return None, None
    fields = []
    loci: list[Locus | None] = []
    for row, description in enumerate(descriptions):
        found = _FIELD.findall(description)
        field = dict(found)
        if len(field) < len(found):
            raise FormatError(f"{where(row)}: the header says label=, value= or locus= twice. Keep one of each.")
        cells = split_locus(field["locus"]) if "locus" in field else None
        if "locus" in field and cells is None:
            raise FormatError(f"{where(row)}: expected locus=chrom:start-end:strand, found {short(field['locus'])}.")
        loci.append(None if cells is None else parse_locus(cells, where(row)))
        fields.append(field)
    keys = {key for field in fields for key in ("label", "value") if key in field}
    if not keys:
        return None, loci
    if len(keys) == 2:
        raise LabelError(f"{where(0)}: headers have label= and value=; expected one of them throughout the file.")
    (key,) = keys
    return parse_labels([field.get(key) for field in fields], where, regression=key == "value"), loci


def _fields(sequences: Sequences, i: int) -> list[str]:
    fields = []
    if sequences.labels is not None:
        label = sequences.labels[i].item()
        fields.append(f"value={label!r}" if isinstance(label, float) else f"label={label}")
    if sequences.loci is not None and (locus := sequences.loci[i]) is not None:
        fields.append(f"locus={spell_locus(locus)}")
    return fields
