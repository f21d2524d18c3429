"""What is written beside the package says the same as the package."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import kmerit as km

ROOT = Path(__file__).parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
ELSEWHERE = {"torch": "pytorch", "matplotlib": "matplotlib-base"}
"""Names that differ at conda-forge."""


def read(name: str) -> str:
    return (ROOT / name).read_text(encoding="utf-8")


def test_versions_agree() -> None:
    assert PROJECT["version"] == km.__version__
    assert f"\nversion: {km.__version__}\n" in read("CITATION.cff")
    assert f'{{% set version = "{km.__version__}" %}}' in read("packaging/conda/meta.yaml")


def test_the_conda_recipe_needs_what_the_package_needs() -> None:
    recipe = re.search(r"\n  run:\n((?:    - .*\n)+)", read("packaging/conda/meta.yaml"))
    assert recipe is not None
    expected = {re.sub(r"^[\w-]+", lambda m: ELSEWHERE.get(m[0], m[0]), each) for each in PROJECT["dependencies"]}
    result = {"".join(line[2:].split()) for line in map(str.strip, recipe[1].splitlines())}
    assert result == {*expected, f"python{PROJECT['requires-python']}"}


def test_what_was_never_built_says_so() -> None:
    for name in ("Dockerfile", "packaging/conda/meta.yaml"):
        assert read(name).startswith("# Unproven: ")
    assert "unproven" in read("docs/install.md")


def test_every_relevance_method_is_in_the_note_on_patents() -> None:
    (note,) = re.findall(r"\nPATENTS\n(.*?)\n\n\n", read("NOTICE"), re.DOTALL)
    files = (ROOT / "src" / "kmerit" / "attribution" / "methods").glob("*.py")
    relevance = {path.stem for path in files if re.search(r"lrp", path.stem)}
    assert len(relevance) == 6
    assert relevance <= set(re.findall(r"\w+", note))


def test_extras_are_documented() -> None:
    documented = set(re.findall(r"\.\[(\w+)\]", read("docs/install.md")))
    assert documented >= set(PROJECT["optional-dependencies"]) - {"dev", "docs"}
