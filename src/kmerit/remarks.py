"""What is to be said of a result, as data: a code and its values. The report makes the sentence."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar

from kmerit.errors import FormatError


@dataclass(frozen=True)
class Remark:
    """A code of a closed set, and the values that its sentence needs.

    Attributes:
        CODES: Of each kind of remark: every code, and the names of its values.
        code: What is remarked.
        values: Numbers and names, ready for JSON. Names of classes are those of the data, under ``class_name`` (one),
            ``class_names`` (several) and ``by_class`` (a value for each); a report may show others in their place.

    Raises:
        FormatError: A code that this kind of remark does not have, or other values than belong to it.

    Example:
        >>> class Note(Remark):
        ...     CODES = {"few": ("sequences",)}
        >>> Note("few", {"sequences": 3})
        Note(code='few', values={'sequences': 3})
        >>> Note("many", {"sequences": 3})
        Traceback (most recent call last):
        kmerit.errors.FormatError: Note: expected a code of few, got 'many'.
    """

    CODES: ClassVar[Mapping[str, tuple[str, ...]]] = {}

    code: str
    values: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        kind = type(self).__name__
        if self.code not in self.CODES:
            raise FormatError(f"{kind}: expected a code of {', '.join(self.CODES)}, got {self.code!r}.")
        if set(self.values) != set(self.CODES[self.code]):
            raise FormatError(
                f"{kind} {self.code}: expected the values {', '.join(self.CODES[self.code]) or '(none)'}, got "
                f"{', '.join(self.values) or '(none)'}."
            )


def codes(remarks: Iterable[Remark]) -> str:
    """List the codes of remarks with spaces between, each once: for a cell of a table.

    Example:
        >>> class Note(Remark):
        ...     CODES = {"few": (), "far": ()}
        >>> codes([Note("few"), Note("far"), Note("few")])
        'few far'
    """
    return " ".join(dict.fromkeys(each.code for each in remarks))
