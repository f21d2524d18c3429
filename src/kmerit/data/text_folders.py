"""Folders of text files, one file a sequence: ``train/positive/0.txt`` and so on, as in genomic_benchmarks."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from kmerit.data.files import read_text, unpacked_name
from kmerit.data.labels import read_labels
from kmerit.data.letters import Case, assemble, distinct_names, encode_strings, log_lower
from kmerit.errors import FormatError
from kmerit.types import Sequences

SPLIT_ROLES = {
    "train": ("train", "training"),
    "validation": ("validation", "valid", "val", "dev"),
    "test": ("test", "testing"),
}
"""What splits are for, and what they are called, however capitalised."""
SPLIT_NAMES = {name: role for role, names in SPLIT_ROLES.items() for name in names}


@dataclass(frozen=True)
class TextFolder:
    """What a folder of text files holds.

    Attributes:
        folder: The folder.
        files: By split and class; the name of either is empty where there is none.
    """

    folder: Path
    files: dict[str, dict[str, list[Path]]]

    @property
    def classes(self) -> tuple[str, ...]:
        """Names of the classes of all splits, alphabetically."""
        return tuple(sorted({kind for kinds in self.files.values() for kind in kinds if kind}))


def text_folder(folder: Path, others: Sequence[str]) -> TextFolder | None:
    """Look whether a folder holds text files: ``SPLIT/CLASS/NAME.txt``, ``CLASS/NAME.txt`` or ``NAME.txt``.

    Args:
        folder: To look in.
        others: Suffixes of other data; a folder with such files is none of text files.

    Raises:
        FormatError: Files at several depths.
    """
    inside = [path for pattern in ("*", "*/*", "*/*/*") for path in folder.glob(pattern)]
    texts = [path for path in inside if _is_text(path)]
    if not texts or any(Path(unpacked_name(path)).suffix.lower() in others for path in inside):
        return None
    depths = {len(path.relative_to(folder).parts): path for path in texts}
    if len(depths) > 1:
        examples = " and ".join(str(path.relative_to(folder)) for path in depths.values())
        raise FormatError(f"{folder}: {examples}: expected all text files at one depth, SPLIT/CLASS/NAME.txt.")
    files: dict[str, dict[str, list[Path]]] = {}
    for path in sorted(texts, key=_in_order):
        above = path.relative_to(folder).parts[:-1]
        if len(above) == 1:
            above = (above[0], "") if above[0].lower() in SPLIT_NAMES else ("", above[0])
        split, kind = above or ("", "")
        files.setdefault(split, {}).setdefault(kind, []).append(path)
    return TextFolder(folder, files)


def read_text_folder(
    text_folder: TextFolder, split: str | None, case: Case, rename: bool, classes: Sequence[str] | None
) -> Sequences:
    """Read one split: a file is a sequence (its lines joined), its folder the class, its name the name.

    Where two classes have files of one name, the class stands in front: ``positive/0``.

    Raises:
        FormatError: No such split, or several and none asked for; an empty file.
        LabelError: A class that is not among those given.
        SequenceError: A refused letter.
    """
    splits = text_folder.files
    if split is None and len(splits) == 1:
        split = next(iter(splits))
    if split not in splits:
        problem = "name one with split (--split)" if split is None else f"there is no {split!r}"
        there = ", ".join(sorted(filter(None, splits))) or "none"
        raise FormatError(f"{text_folder.folder}: the splits are {there}; {problem}.")
    order = tuple(classes or text_folder.classes)
    paths = [path for files in splits[split].values() for path in files]
    names = [Path(unpacked_name(path)).stem for path in paths]
    if len(set(names)) < len(names) and text_folder.classes:
        names = [f"{path.parent.name}/{name}" for path, name in zip(paths, names, strict=True)]

    def where(row: int) -> str:
        return str(paths[row])

    names = distinct_names(names, where, str(text_folder.folder), rename)
    strings = ["".join(line.strip() for line in read_text(path).splitlines()) for path in paths]
    bases, offsets, lower = encode_strings(strings, case, names, where)
    log_lower(lower, len(names), str(text_folder.folder))
    if not text_folder.classes:
        return assemble(names, bases, offsets, None, None, where)
    kinds = [kind for kind, files in splits[split].items() for _ in files]
    labels, class_names = read_labels(kinds, where, str(text_folder.folder), classes=order)
    return assemble(names, bases, offsets, labels, None, where, class_names)


def _is_text(path: Path) -> bool:
    return path.name[0] != "." and unpacked_name(path).lower().endswith(".txt") and path.is_file()


def _in_order(path: Path) -> tuple[tuple[str, ...], int, str]:
    """Sort 2.txt before 10.txt."""
    stem = Path(unpacked_name(path)).stem
    return path.parts[:-1], int(stem) if stem.isascii() and stem.isdecimal() else -1, stem
