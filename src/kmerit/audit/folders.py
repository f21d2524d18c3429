"""A folder with a data set in it: which files are its splits, and which lie there beside them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from kmerit.audit.dataset import role
from kmerit.data.bed import BED
from kmerit.data.files import unpacked_name
from kmerit.data.readers import CSV, FASTA, JSON, READABLE, TSV
from kmerit.errors import FormatError

KNOWN = (*(suffix for suffix in READABLE if suffix not in JSON), *BED)
"""Suffixes of files that are data; JSON in a folder tells about them."""
_OWN, _MANIFEST = "groups.csv", "manifest.json"
"""What ``kmerit split`` writes beside the splits."""


@dataclass(frozen=True)
class Readable:
    """What is found in a folder.

    Attributes:
        splits: ``train.csv`` and so on, by name.
        nested: ``train/positive.fa`` and so on, by folder and name; empty where there are ``splits``.
        unread: Other files that could be read, as paths below the folder.
    """

    splits: tuple[Path, ...]
    nested: tuple[Path, ...]
    unread: tuple[str, ...]


def readable(folder: Path) -> Readable:
    """Look which files of a folder are splits.

    Folders whose names are no splits' are read only where no other is: ``old/`` beside ``train/`` is none.

    Raises:
        FormatError: Splits both as files and as folders, or two files of one split that differ in their suffix alone.
    """
    flat = [path for path in sorted(folder.iterdir()) if path.is_file() and suffix(path) in KNOWN]
    splits = [path for path in flat if role(stem(path)) is not None]
    nested = [
        path for path in sorted(folder.glob("*/*")) if path.is_file() and suffix(path) in (*FASTA, *CSV, *TSV, *BED)
    ]
    named = [path for path in nested if role(path.parent.name) is not None]
    if splits and named:
        raise FormatError(
            f"{folder}: both {splits[0].name} and {named[0].relative_to(folder)}: are the splits files or folders? "
            f"Remove one kind, or name the files: train=FILE test=FILE"
        )
    read = splits or named or nested
    _refuse_twins(folder, read)
    own = folder / _OWN if (folder / _MANIFEST).is_file() else None
    unread = [path for path in sorted(folder.rglob("*")) if path.is_file() and suffix(path) in KNOWN]
    left = [path.relative_to(folder).as_posix() for path in unread if path != own and path not in read]
    return Readable(tuple(splits), () if splits else tuple(read), tuple(left) if read else ())


def _refuse_twins(folder: Path, paths: Sequence[Path]) -> None:
    """Refuse ``train.csv`` beside ``train.tsv``: the same rows in two formats would count twice."""
    seen: dict[Path, Path] = {}
    for path in paths:
        twin = seen.setdefault(path.with_name(stem(path)), path)
        if twin is not path:
            one, other = twin.relative_to(folder), path.relative_to(folder)
            raise FormatError(
                f"{folder}: {one} and {other} differ in their suffix alone: are they the same rows? Remove one; or, if "
                f"they are two parts, name them one by one: train=FILE train=FILE"
            )


def suffix(path: Path) -> str:
    """Give the suffix before that of a compression, in lower case.

    Example:
        >>> suffix(Path("a/train.CSV.gz")), stem(Path("a/train.CSV.gz"))
        ('.csv', 'train')
    """
    return Path(unpacked_name(path)).suffix.lower()


def stem(path: Path) -> str:
    """Give the name without suffixes."""
    return Path(unpacked_name(path)).stem
