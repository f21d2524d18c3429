"""The house rules that no linter knows: a light door, documented rooms, files of one page, floors that hold."""

from __future__ import annotations

import ast
import re
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest

import kmerit

ROOT = Path(__file__).resolve().parents[2]
PACKAGE = ROOT / "src" / "kmerit"
HEAVY = {"torch", "transformers", "pandas", "pyarrow", "matplotlib", "sklearn", "scipy"}

HELP = """
import contextlib, kmerit.cli
with contextlib.suppress(SystemExit):
    kmerit.cli.main()
"""

THE_DOOR = {
    *("Attribution", "Locus", "Method", "Model", "Outcomes", "Planting", "Sequences", "Tokens"),
    *("attribute", "audit", "export", "hypothetical", "judge", "load_model", "load_task", "mutate", "one_hot_model"),
    *("calibrate", "methods", "own_scores", "plant", "read_attributions", "read_sequences", "trial", "wrap"),
    *("compare", "ledger", "ledger_by_class", "measured", "pairs", "variants"),
    *("Reference", "completeness", "reference", "plant_values"),
    "read_outcomes",
    *("Crop", "Grid", "Tiles", "prepare", "sample_per_class", "summarise", "default_label", "mutation_order"),
    *("Heads", "heads"),
    *("Motifs", "motifs", "run", "study"),
    *("KmeritError", "__version__"),
}


def run_python(code: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-c", code, *arguments], capture_output=True, text=True)


@pytest.mark.parametrize("first", ["import kmerit", HELP])
def test_the_door_and_the_help_load_nothing_heavy(first: str) -> None:
    result = run_python(f"{first}\nimport sys\nprint('modules', *sys.modules)", "--help")
    assert result.returncode == 0, result.stderr
    assert HEAVY & set(result.stdout.splitlines()[-1].split()) == set()


def test_the_public_door() -> None:
    assert set(kmerit.__all__) == THE_DOOR
    assert kmerit.__all__ == sorted(kmerit.__all__)
    assert dir(kmerit) == kmerit.__all__
    for name in kmerit.__all__:
        assert getattr(kmerit, name) is not None
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        kmerit.nothing  # noqa: B018


def test_the_door_gives_the_very_thing_of_the_room_behind_it() -> None:
    for name in THE_DOOR - {"__version__"}:
        thing = getattr(kmerit, name)
        assert getattr(sys.modules[thing.__module__], name) is thing


def _sources() -> list[Path]:
    return sorted(PACKAGE.rglob("*.py"))


def test_no_two_files_share_a_name() -> None:
    names = [path.name for path in _sources() if path.name not in ("__init__.py", "__main__.py")]
    assert len(names) > 20
    assert [name for name in names if names.count(name) > 1] == []


def test_every_module_says_what_it_is_for() -> None:
    silent = [path for path in _sources() if not ast.get_docstring(ast.parse(path.read_text(encoding="utf-8")))]
    assert silent == []


def _imported(tree: ast.Module) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name.split(".")[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module and node.level == 0:
            yield node.module.split(".")[0]


def _normal(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def test_every_imported_package_is_declared() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    extras = project["optional-dependencies"]
    expected = [
        *project["dependencies"],
        *(
            line
            for extra in ("train", "lora", "hub", "genome", "logo", "tangermeme", "motifs", "modisco")
            for line in extras[extra]
        ),
    ]
    declared = {_normal(re.split(r"[^A-Za-z0-9._-]", line)[0]) for line in expected}
    declared.add("pydantic-core")  # the other half of pydantic, which pins it
    distributions = packages_distributions()
    undeclared = {
        (str(path.relative_to(ROOT)), package)
        for path in _sources()
        for package in _imported(ast.parse(path.read_text(encoding="utf-8")))
        if package != "kmerit" and package not in sys.stdlib_module_names
        if not declared & {_normal(name) for name in distributions.get(package, [package])}
    }
    assert undeclared == set()


def test_the_lock_pins_everything_and_names_no_place() -> None:
    lines = [line for line in (ROOT / "requirements.lock").read_text().splitlines() if not line.startswith("#")]
    assert lines
    assert [line for line in lines if not re.match(r"[a-z0-9-]+==[\w.]+( ;|$)", line)] == []
    assert [line for line in lines if re.match(r"torch|triton|nvidia|cuda", line)] == []


def test_every_source_is_in_the_bibliography() -> None:
    keys = set(re.findall(r"^@\w+\{(\w+),$", (ROOT / "docs" / "references.bib").read_text(encoding="utf-8"), re.M))
    sources = "\n".join(path.read_text(encoding="utf-8") for path in _sources())
    cited = set(re.findall(r"\b[a-z]+(?:19|20)\d\d\b(?!/)", sources))  # a slash follows a hub user's name
    assert cited
    assert cited - keys == set()


FORBIDDEN = {
    "a path of someone's machine": r"(?<![\w.$/{}])/(?:home|root|opt|mnt|work|Users)/\w",
    "a package host": r"\b(?:pypi|pythonhosted|anaconda|pytorch)\.(?:org|com)\b",
    "an index option": r"--(?:extra-)?index-url|--find-links",
    "unfinished work": r"\b(?:TO" r"DO|FIX" r"ME|XX" r"X)\b",
}


WRITTEN = {".py", ".md", ".toml", ".lock", ".cff", ".bib", ".html", ".css", ".js", ""}


@pytest.mark.parametrize("what", FORBIDDEN)
def test_the_project_speaks_of_itself_alone(what: str) -> None:
    result = [
        f"{path.relative_to(ROOT)}:{number}: {line.strip()[:100]}"
        for folder in ("src", "tests", "docs", "configs", "benchmarks", "tools", ".ci", ".")
        for path in sorted((ROOT / folder).glob("*" if folder == "." else "**/*"))
        if path.is_file()
        and path.suffix in {".py", ".md", ".toml", ".lock", ".cff", ".bib", ".html", ".css", ".js", ""}
        if path != Path(__file__)
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1)
        if re.search(FORBIDDEN[what], line)
    ]
    assert result == []


METHODS, FAMILIES, TASKS = "attribution/methods", "models/families", "datasets/tasks"

VIOLATIONS = {
    "a statistic that knows the data": ("floors", "uncertainty.py", "import kmerit.io"),
    "attribution that looks at its evaluation": ("floors", "attribution/planted.py", "import kmerit.trials"),
    "siblings on one floor": ("floors", "training/planted.py", "import kmerit.trials"),
    "a room on no floor": ("floors", "attic.py", "import kmerit.errors"),
    "a way round through the door": ("the door", "models/planted.py", "from kmerit import load_model"),
    "a method that knows another": ("methods", f"{METHODS}/planted.py", "import kmerit.attribution.methods.lrp"),
    "a family that knows another": ("families", f"{FAMILIES}/planted.py", "import kmerit.models.families.dnabert"),
    "a task that knows another": ("tasks", f"{TASKS}/planted.py", "import kmerit.datasets.tasks.ienhancer_2l"),
    "a report that computes": ("a report", "report/planted.py", "import torch"),
}


@pytest.fixture
def house(tmp_path: Path) -> Path:
    """A copy of the package to plant things in."""
    shutil.copytree(PACKAGE, tmp_path / "src" / "kmerit", ignore=shutil.ignore_patterns("assets", "__pycache__"))
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    return tmp_path


def broken_contracts(house: Path) -> list[str]:
    """Lint the copy, which must come before the installed package on the path."""
    code = """
import sys
sys.path.insert(0, sys.argv[1] + "/src")
from importlinter.cli import lint_imports
sys.exit(lint_imports(config_filename=sys.argv[1] + "/pyproject.toml", no_cache=True))
"""
    result = run_python(code, str(house))
    broken = [line for line in result.stdout.splitlines() if " BROKEN" in line]
    assert result.returncode == bool(broken), result.stdout + result.stderr
    return broken


def test_the_floors_hold(house: Path) -> None:
    assert broken_contracts(house) == []


@pytest.mark.parametrize("what", VIOLATIONS)
def test_a_broken_floor_is_noticed(house: Path, what: str) -> None:
    contract, file, line = VIOLATIONS[what]
    with (house / "src" / "kmerit" / file).open("a", encoding="utf-8") as module:
        module.write(f"\n{line}\n")
    assert any(broken.startswith(contract) for broken in broken_contracts(house))
