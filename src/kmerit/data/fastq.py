"""FASTQ: names and bases; qualities are checked for their number and not used."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from pathlib import Path

from kmerit.data.files import read_text
from kmerit.data.letters import Case, assemble, distinct_names, encode_strings, log_lower
from kmerit.errors import FormatError, short
from kmerit.types import Sequences

_LOG = logging.getLogger(__name__)


def read_fastq(path: Path, case: Case = "upper", *, rename: bool = False) -> Sequences:
    """Read a FASTQ file of records of four lines; that its qualities are not used is logged.

    Args:
        path: The file, compressed or not.
        case: ``"upper"`` reads lower case as upper case, and logs it; ``"exact"`` refuses it.
        rename: Whether names that occur twice are numbered.

    Raises:
        FormatError: A record without its ``@``, ``+`` or as many qualities as letters.
        SequenceError: A refused letter, an empty sequence, a name missing or twice.
    """
    lines = read_text(path).replace("\r\n", "\n").replace("\r", "\n").rstrip("\n").split("\n")
    names, strings = _records(lines, path)

    def where(row: int) -> str:
        return f"{path}, line {4 * row + 1}"

    names = distinct_names(names, where, str(path), rename)
    bases, offsets, lower = encode_strings(strings, case, names, where)
    log_lower(lower, len(names), str(path))
    _LOG.warning(f"{path}: the qualities of the {len(names):,} reads are not used.")
    return assemble(names, bases, offsets, None, None, where)


def _records(lines: Sequence[str], path: Path) -> tuple[list[str], list[str]]:
    names, strings = [], []
    for first in range(0, len(lines), 4):
        head, letters, plus, qualities = [line.rstrip() for line in [*lines[first : first + 4], "", "", ""][:4]]
        if not head.startswith("@") or not plus.startswith("+") or len(letters) != len(qualities):
            raise FormatError(
                f"{path}, line {first + 1}: expected four lines, @name, letters, + and as many qualities as letters, "
                f"found {short(head)}. Letters of a record stand on one line."
            )
        names.append((head[1:].split(maxsplit=1) or [""])[0])
        strings.append(letters)
    return names, strings
