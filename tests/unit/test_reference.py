"""Everything public is in the manual's reference, with an example that the tests run."""

from __future__ import annotations

import inspect
import pkgutil
import re
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from types import FunctionType, ModuleType
from typing import Any

import pytest

import kmerit as km
from kmerit.models import Model

ROOT = Path(__file__).parents[2]
MODULES = (
    *("kmerit", "kmerit.data", "kmerit.models", "kmerit.attribution", "kmerit.faithfulness", "kmerit.audit"),
    *("kmerit.training", "kmerit.studies", "kmerit.runs", "kmerit.report", "kmerit.report.plots"),
    "kmerit.statistics",
)
WHOLE = ("kmerit.errors", "kmerit.report.slots")
"""Modules that have a page to themselves."""


def public(module: str) -> dict[str, Any]:
    return {name: getattr(import_module(module), name) for name in import_module(module).__all__}


def shown() -> Iterator[Any]:
    """Find the objects on the pages of the reference; of a module, what is in it."""
    for page in sorted((ROOT / "docs" / "reference").glob("*.md")):
        for path in re.findall(r"^::: (\S+)$", page.read_text(encoding="utf-8"), re.M):
            found = pkgutil.resolve_name(path)
            yield found
            if isinstance(found, ModuleType):  # and not a function that hides behind a module of its name
                assert path in WHOLE, f"{path} is a module: name what is in it"
                yield from vars(found).values()


@pytest.mark.parametrize("module", MODULES)
def test_everything_public_is_on_a_page(module: str) -> None:
    there = [id(each) for each in shown()]
    assert len(there) > 100
    assert [name for name, each in public(module).items() if id(each) not in there and name != "__version__"] == []


def without_example(names: dict[str, Any]) -> list[str]:
    return [name for name, each in names.items() if ">>> " not in (each.__doc__ or "")]


@pytest.mark.parametrize("module", MODULES)
def test_every_public_function_has_an_example(module: str) -> None:
    functions = {name: each for name, each in public(module).items() if inspect.isfunction(each)}
    assert without_example(functions) == []


def test_every_class_of_the_door_has_an_example_and_so_have_their_methods() -> None:
    classes = {name: each for name, each in [*public("kmerit").items(), ("Model", Model)] if inspect.isclass(each)}
    assert set(classes) >= {"Attribution", "Locus", "Model", "Outcomes", "Planting", "Sequences", "Tokens"}
    methods = {
        f"{owner}.{name}": getattr(each, "__func__", each)
        for owner, it in classes.items()
        for name, each in vars(it).items()
        if isinstance(each, FunctionType | classmethod | staticmethod) and not name.startswith("_")
        if name not in getattr(it, "__dataclass_fields__", {})
    }
    assert {"Model.predict", "Sequences.take", "Sequences.from_strings"} <= set(methods)
    assert without_example({**classes, **methods}) == []


def test_the_door_is_told_apart_from_what_is_behind_it() -> None:
    page = (ROOT / "docs" / "reference" / "door.md").read_text(encoding="utf-8")
    told = {path.rsplit(".", 1)[1] for path in re.findall(r"^::: (\S+)$", page, re.M)}
    assert told == set(km.__all__) - {"__version__", "KmeritError"}
