"""The exceptions of kmerit.

Every error says what was expected, what came, where, and the remedy, in one or two lines::

    KmeritError
    ├── UsageError            exit 2: the request itself cannot be
    │   ├── ConfigError       a key or value of the config
    │   ├── UnknownName       a method, task, family, operator ... that does not exist
    │   ├── CountError        more substitutions than nucleotides
    │   ├── TargetError       a class that the model does not have
    │   └── ReferenceUnreachable  a value that the output cannot be
    ├── DataError             exit 1: the data are not what they should be
    │   ├── FormatError       a file that cannot be read as what it claims to be
    │   ├── SequenceError     letters, empty or too short sequences, names
    │   │   └── NoneLeft      all are too short, or have an N
    │   ├── LabelError        labels missing or not usable
    │   └── LengthError       too long for the model
    ├── ModelError
    │   ├── CheckpointError   a checkpoint that is truncated, headless or of another architecture
    │   ├── UnsupportedMethod a method that this family cannot serve
    │   ├── OutOfMemory       not even one sequence fits
    │   ├── NotFinite         an answer that is no number
    │   └── Withheld          scores that did not converge, asked for all the same
    ├── RunError
    │   ├── RunLocked         the folder is in use by another run
    │   ├── RunMismatch       the folder holds a run of another config
    │   └── DiskFull
    ├── OfflineError          something must be fetched and there is no network
    └── MissingExtra          an optional dependency is not installed
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable

MOST_LISTED = 40
"""Of known names, in the message that another is unknown; the sequences of a file may be many more."""


_SHOWN = 80
_LONG = re.compile(r"\S{300,}|(?<![^\s(\[:,])'(?=\S)[^'\n]{300,}'")


def short(value: object, most: int = 80) -> str:
    """Spell a value for a message: as Python does, and cut where it is long.

    Example:
        >>> short("chr1"), short("A" * 1000, 8)
        ("'chr1'", "'AAAAAAA... (1,002 characters)")
    """
    text = repr(value)
    return text if len(text) <= most else f"{text[:most]}... ({len(text):,} characters)"


class KmeritError(Exception):
    """Base of all errors that a user can remedy.

    Example:
        >>> import kmerit as km
        >>> try:
        ...     km.read_sequences("nowhere.fa")
        ... except km.KmeritError as error:
        ...     print(type(error).__name__, error.exit_code)
        FormatError 1
    """

    exit_code = 1

    def __str__(self) -> str:
        """Return the message; words and quotations of hundreds of characters are shortened."""
        return _LONG.sub(lambda match: f"{match[0][:_SHOWN]}...({len(match[0]):,} characters)", super().__str__())


class UsageError(KmeritError):
    """The request itself cannot be fulfilled."""

    exit_code = 2


class ConfigError(UsageError):
    """A key or a value of the configuration is not acceptable."""


class UnknownName(UsageError):
    """A name that is not in its registry; the message suggests the nearest one."""

    def __init__(self, kind: str, name: str, known: Iterable[str], see: str = "") -> None:
        known = sorted(known)
        near = difflib.get_close_matches(name, known, n=1, cutoff=0.5)
        hint = f"Did you mean {near[0]!r}?" if near else _listed(name, known)
        super().__init__(f"Unknown {kind} {short(name)}. {hint}" + (f" See: {see}" if see else ""))


def _listed(name: str, known: list[str]) -> str:
    if len(known) <= MOST_LISTED:
        return f"Known: {', '.join(known)}."
    nearest = difflib.get_close_matches(name, known, n=3, cutoff=0.0)
    return f"There are {len(known):,}; the nearest: {', '.join(nearest)}."


class CountError(UsageError):
    """More nucleotides are to be substituted than a sequence has."""


class TargetError(UsageError):
    """A class to explain that the model does not have."""


class ReferenceUnreachable(UsageError):
    """A value to compare an output with that the output cannot be."""


class DataError(KmeritError):
    """The data are not what they should be."""


class FormatError(DataError):
    """A file cannot be read as what it claims to be."""


class SequenceError(DataError):
    """A sequence is empty, too short, misnamed, or has letters outside the alphabet."""


class NoneLeft(SequenceError):
    """All sequences are shorter than asked for, or have an unknown nucleotide."""


class LabelError(DataError):
    """Labels are missing or cannot be used."""


class LengthError(DataError):
    """A sequence is too long for the model; nothing is ever truncated silently."""


class ModelError(KmeritError):
    """A model cannot be loaded or used."""


class CheckpointError(ModelError):
    """A checkpoint is truncated, without a head, or of another architecture."""


class UnsupportedMethod(ModelError):
    """The model's family cannot serve this attribution method."""


class OutOfMemory(ModelError):
    """The device has too little memory for a single sequence."""


class NotFinite(ModelError):
    """The model's answer is NaN or infinite; that is never a class, and no result."""


class Withheld(ModelError):
    """Scores that were withheld, for they missed what they should add up to; nothing may rank by them."""


class WithheldWarning(UserWarning):
    """A method's scores were withheld; those of the other methods stand."""


class RunError(KmeritError):
    """A run folder cannot be used."""


class RunLocked(RunError):
    """The folder is in use by another run."""


class RunMismatch(RunError):
    """Results are of another configuration: those in the folder, or one of those that are compared."""


class DiskFull(RunError):
    """There is no space left for the results."""


class OfflineError(KmeritError):
    """Something must be fetched, and it cannot be reached."""


class MissingExtra(KmeritError):
    """An optional dependency is needed and not installed."""

    def __init__(self, package: str, extra: str, purpose: str) -> None:
        super().__init__(f"{purpose} needs {package}. Install it with: pip install 'kmerit[{extra}]'")
