"""Labels that are names: promoter, background, ...; numbered, and the order told."""

from __future__ import annotations

import logging
import re
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from kmerit.data.letters import Where, parse_labels
from kmerit.errors import LabelError, short

_LOG = logging.getLogger(__name__)
_ALMOST = re.compile(r"[+-]?\d[\d.,_ ]*%?")
_LISTED = 20
"""Class names in a message."""


def read_labels(
    values: Sequence[Any],
    where: Where,
    source: str,
    *,
    regression: bool = False,
    classes: Sequence[str] | None = None,
) -> tuple[NDArray[Any], tuple[str, ...] | None]:
    """Understand labels: numbers, or names of classes, which are numbered in alphabetical order.

    The order of names is logged, and returned.

    Args:
        values: Numbers or names, not both.
        where: The place of each.
        source: What to call the file in the log.
        regression: Whether whole numbers are values too; names are refused then.
        classes: The names in their order, where it is known.

    Returns:
        ``int64 [sequence]`` classes or ``float64 [sequence]`` values, and the classes' names where labels are names.

    Raises:
        LabelError: A label is missing, is not among the classes, or a number among names.

    Example:
        >>> read_labels(["peak", "background", "peak"], str, "x.csv")
        (array([1, 0, 1]), ('background', 'peak'))
    """
    class_names = None if classes is None else tuple(classes)
    names = _names(values)
    if names is None or regression:
        return parse_labels(values, where, regression), None
    for row, name in enumerate(names):
        if not name:
            raise LabelError(f"{where(row)}: the label is missing; every sequence needs one, or none has one.")
        if class_names is None and _ALMOST.fullmatch(name):
            raise LabelError(f"{where(row)}: expected a number or a name as label, found {name!r}. Write 0.5 for 0,5.")
        if class_names is not None and name not in class_names:
            raise LabelError(
                f"{where(row)}: the label {short(name)} is none of the classes {listed(class_names)}. Correct it, or "
                f"name all classes."
            )
    order = class_names or tuple(sorted(set(names)))
    numbers = {name: i for i, name in enumerate(order)}
    if not _plain(order):
        how = ", in alphabetical order" if class_names is None else ""
        _LOG.warning(f"{source}: the labels are names; the classes{how}: {listed(order, numbered=True)}.")
    return np.array([numbers[name] for name in names], dtype=np.int64), None if _plain(order) else order


def listed(classes: Sequence[str], numbered: bool = False) -> str:
    """List names of classes for people.

    Example:
        >>> listed(["background", "peak"], numbered=True)
        '0 background, 1 peak'
    """
    entries = [f"{i} {name}" if numbered else name for i, name in enumerate(classes[:_LISTED])]
    return ", ".join(entries) + (f", ... ({len(classes)})" if len(classes) > _LISTED else "")


def is_number(text: str) -> bool:
    """Return whether a text is read as a number.

    Example:
        >>> is_number("1e3"), is_number("promoter")
        (True, False)
    """
    try:
        float(text)
    except ValueError:
        return False
    return True


def _names(values: Sequence[Any]) -> list[str] | None:
    """Take labels as names, unless one of them is a number."""
    if not any(isinstance(value, str) and value.strip() for value in values):
        return None
    if not all(isinstance(value, str | None) for value in values):
        return None
    names = [(value or "").strip() for value in values]
    return None if any(is_number(name) for name in names if name) else names


def _plain(classes: Sequence[str]) -> bool:
    """Return whether the class names are numbers."""
    return all(name == str(i) for i, name in enumerate(classes))
