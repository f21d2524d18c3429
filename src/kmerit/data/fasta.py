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

from kmerit.data.files import open_to_write, read_text_bytes
from kmerit.data.letters import (
    LINE_END,
    REFUSED,
    Case,
    Where,
    assemble,
    check_names,
    code_table,
    empty,
    parse_labels,
    parse_locus,
    refused,
)
from kmerit.errors import FormatError, LabelError
from kmerit.types import Int64, Locus, Sequences

_FIELD = re.compile(r"(?:^|\s)(label|value|locus)=(\S+)")
_LOCUS = re.compile(r"(\S+):(\d+)-(\d+)(?::([+-]))?")


def read_fasta(path: Path, case: Case = "exact") -> Sequences:
    """Read a FASTA file, gzipped or not, with a few bytes of memory per nucleotide.

    Args:
        path: The file.
        case: ``"exact"`` refuses lower case, ``"upper"`` reads it as upper case.

    Raises:
        FormatError: No FASTA file, no records, damaged gzip.
        SequenceError: A refused letter, an empty sequence, a name missing or twice.
        LabelError: Labels that are not numbers, or not in every header.
    """
    text = read_text_bytes(path) + b"\n"
    heads, ends = _headers(text, path)

    def where(row: int) -> str:
        return f"{path}, line {_line(text, heads[row])}"

    try:
        headers = [text[a + 1 : b].decode().strip() for a, b in zip(heads, ends, strict=True)]
    except UnicodeDecodeError:
        raise FormatError(f"{path}: a header is not UTF-8 text. Save the file again as UTF-8.") from None
    names, descriptions = _names(headers)
    check_names(names, where)

    # Every body starts with the line end of its header, so that none is empty here (reduceat needs that).
    bodies = [text[a:b] for a, b in zip(ends, [*heads[1:], len(text)], strict=True)]
    starts = np.zeros(len(bodies), dtype=np.int64)
    np.cumsum([len(body) for body in bodies[:-1]], out=starts[1:])
    table = code_table(case)
    table[list(b"\r\n")] = LINE_END
    codes = table[np.frombuffer(b"".join(bodies), dtype=np.uint8)]
    if (codes == REFUSED).any():
        at = int(np.argmax(codes == REFUSED))
        row = int(np.searchsorted(starts, at, side="right")) - 1
        line = _line(text, ends[row] + at - int(starts[row]))
        letters = bodies[row].replace(b"\n", b"").replace(b"\r", b"").decode("utf-8", "replace")
        raise refused(letters, case, row, names, lambda _: f"{path}, line {line}")
    kept = codes != LINE_END
    lengths: Int64 = np.add.reduceat(kept, starts, dtype=np.int64)
    if lengths.min() == 0:
        raise empty(int(np.argmin(lengths)), names, where)
    offsets = np.concatenate([np.zeros(1, dtype=np.int64), np.cumsum(lengths)])
    labels, loci = _descriptions(descriptions, where)
    return assemble(names, codes[kept], offsets, labels, loci)


def write_fasta(sequences: Sequences, path: Path, width: int = 80) -> None:
    """Write a FASTA file, gzipped if the suffix says so, that :func:`read_fasta` reads back alike."""
    with open_to_write(path) as file:
        for i, name in enumerate(sequences.names):
            string = sequences.string(i)
            lines = [string[a : a + width] for a in range(0, len(string), width)]
            file.write("\n".join([">" + " ".join([name, *_fields(sequences, i)]), *lines, ""]).encode())


def _headers(text: bytes, path: Path) -> tuple[list[int], list[int]]:
    """Find where the header lines begin and end."""
    body = len(text) - len(text.lstrip(b"\r\n"))
    if text[body : body + 1] != b">":
        first = text[body : text.index(b"\n", body)][:40].decode("utf-8", "replace").strip()
        raise FormatError(
            f"{path}, line {_line(text, body)}: expected a FASTA record ('>name'), found {first!r}: no records."
        )
    heads = [body, *(match.start() + 1 for match in re.finditer(rb"\n>", text[body:]))]
    heads[1:] = [body + head for head in heads[1:]]
    return heads, [text.index(b"\n", head) for head in heads]


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
    fields = [dict(_FIELD.findall(description)) for description in descriptions]
    loci: list[Locus | None] = []
    for row, field in enumerate(fields):
        match = _LOCUS.fullmatch(field["locus"]) if "locus" in field else None
        if "locus" in field and match is None:
            raise FormatError(f"{where(row)}: expected locus=chrom:start-end:strand, found {field['locus']!r}.")
        loci.append(None if match is None else parse_locus(match.groups(), where(row)))
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
        fields.append(f"locus={locus.chrom}:{locus.start}-{locus.end}:{locus.strand}")
    return fields
