"""Everything public is in the manual's reference, with an example that the tests run."""

from __future__ import annotations

import ast
import inspect
import pkgutil
import re
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from types import FunctionType, ModuleType
from typing import Any

import kmerit as km
from kmerit.models.model import Model

ROOT = Path(__file__).parents[2]
WHOLE = ("kmerit.errors", "kmerit.report.load")
"""Modules that have a page to themselves."""


def public(module: str) -> dict[str, Any]:
    return {name: getattr(import_module(module), name) for name in import_module(module).__all__}


def shown(whole: bool = True) -> Iterator[Any]:
    """Find the objects on the pages of the reference; of a module, what is in it."""
    for page in sorted((ROOT / "docs" / "reference").glob("*.md")):
        for path in re.findall(r"^::: (\S+)$", page.read_text(encoding="utf-8"), re.M):
            result = pkgutil.resolve_name(path)
            yield result
            if isinstance(result, ModuleType) and whole:  # and not a function that hides behind a module of its name
                assert path in WHOLE, f"{path} is a module: name what is in it"
                yield from vars(result).values()


def test_the_whole_door_is_on_a_page() -> None:
    there = [id(each) for each in shown()]
    assert len(there) > 100
    assert [name for name, each in public("kmerit").items() if id(each) not in there and name != "__version__"] == []


def without_example(names: dict[str, Any]) -> list[str]:
    return [name for name, each in names.items() if ">>> " not in (each.__doc__ or "")]


def test_everything_on_a_page_is_documented_and_every_function_has_an_example() -> None:
    things = {
        f"{each.__module__}.{each.__name__}": each
        for each in shown(whole=False)
        if inspect.isclass(each) or inspect.isfunction(each)
    }
    ours = {name: each for name, each in things.items() if name.startswith("kmerit.") and "._" not in name}
    documents = {name: inspect.getdoc(each) or "" for name, each in ours.items()}
    assert [name for name, text in documents.items() if not re.match(r"\S.*[.?:]$", text, re.M)] == []
    functions = {
        name: each for name, each in ours.items() if inspect.isfunction(each) and not each.__name__.startswith("_")
    }
    assert len(functions) > 40
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
    messages = {path.rsplit(".", 1)[1] for path in re.findall(r"^::: (\S+)$", page, re.M)}
    assert messages == set(km.__all__) - {"__version__", "KmeritError"}


def test_studies_use_only_what_the_manual_documents() -> None:
    """They are users of the library: what they import is in the door or on a page, or is a study's own."""
    pages = "\n".join(path.read_text(encoding="utf-8") for path in (ROOT / "docs" / "reference").glob("*.md"))
    documented = set(re.findall(r"^::: (\S+)$", pages, re.M)) | {f"kmerit.{name}" for name in km.__all__}
    whole = ("kmerit.config", "kmerit.store", "kmerit.errors", "kmerit.formats", "kmerit.results", "kmerit.sequences")
    whole += ("kmerit.report.studies", "kmerit.report.text", "kmerit.studies")
    undocumented = []
    for path in sorted((ROOT / "src" / "kmerit" / "studies").glob("*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if not isinstance(node, ast.ImportFrom) or not (node.module or "").startswith("kmerit"):
                continue
            names = {f"{node.module}.{alias.name}" for alias in node.names}
            if not str(node.module).startswith(whole):
                undocumented += [f"{path.name}: {n}" for n in sorted(names - documented) if not n.startswith(whole)]
    assert undocumented == []
