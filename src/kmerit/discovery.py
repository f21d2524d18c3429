"""Finding what is registered: one file each in a folder of ours, and entry points of other packages."""

from __future__ import annotations

from importlib import import_module
from importlib.metadata import entry_points
from pkgutil import iter_modules
from typing import Any


def discover(folder: str, attribute: str, group: str) -> dict[str, Any]:
    """Gather the objects of a registry by their names, in alphabetical order; ours come before others' of that name.

    Args:
        folder: The package whose modules hold one object each.
        attribute: What each module calls its object; the object has a ``name``.
        group: The entry-point group in which other packages name theirs.

    Example:
        >>> list(discover("kmerit.models.families", "FAMILY", "kmerit.families"))
        ['dnabert']
    """
    path = import_module(folder).__path__
    own = [getattr(import_module(f"{folder}.{module.name}"), attribute) for module in iter_modules(path)]
    others = [point.load() for point in entry_points(group=group)]
    return {found.name: found for found in sorted([*others, *own], key=lambda found: str(found.name))}
