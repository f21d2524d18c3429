"""Finding what is registered: one file each in a folder of ours, and entry points of other packages."""

from __future__ import annotations

from importlib import import_module
from importlib.metadata import entry_points
from pkgutil import iter_modules
from types import ModuleType
from typing import Any


def discover(package: ModuleType, attribute: str, group: str) -> dict[str, Any]:
    """Gather the objects of a registry by their names, in alphabetical order; ours come before others' of that name.

    Args:
        package: Its modules hold one object each.
        attribute: What each module calls its object; the object has a ``name``.
        group: The entry-point group in which other packages name theirs.

    Example:
        >>> from importlib import import_module
        >>> list(discover(import_module("kmerit.models.families"), "FAMILY", "kmerit.families"))[:3]
        ['bert', 'caduceus', 'dnabert']
    """
    names = [module.name for module in iter_modules(package.__path__)]
    own = [getattr(import_module(f"{package.__name__}.{name}"), attribute) for name in names]
    others = [point.load() for point in entry_points(group=group)]
    return {item.name: item for item in sorted([*others, *own], key=lambda item: str(item.name))}
