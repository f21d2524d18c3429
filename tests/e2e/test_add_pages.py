"""The pages on adding a method, a family, a task, a control and an operator, executed as written in a copy."""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path
from textwrap import dedent

import pytest

ROOT = Path(__file__).parents[2]
HOW_TO = ROOT / "docs" / "how-to"
pytestmark = pytest.mark.slow

BLOCK = re.compile(r"^( *)```(\w*)\n(.*?)^\1```$", re.MULTILINE | re.DOTALL)


@pytest.fixture
def house(tmp_path: Path) -> Path:
    """A copy of what the pages change."""
    ignored = shutil.ignore_patterns("__pycache__", "assets")
    shutil.copytree(ROOT / "src" / "kmerit", tmp_path / "src" / "kmerit", ignore=ignored)
    shutil.copytree(ROOT / "tests", tmp_path / "tests", ignore=shutil.ignore_patterns("__pycache__"))
    for assets in ("assets", "report/assets"):
        (tmp_path / "src" / "kmerit" / assets).symlink_to(ROOT / "src" / "kmerit" / assets)
    (tmp_path / "docs" / "how-to").mkdir(parents=True)
    pages = ("command-line.md", "data-as-you-have-it.md")
    manual = ("docs/references.bib", "docs/glossary.md", *(f"docs/how-to/{page}" for page in pages))
    for file in (*manual, "CHANGELOG.md", "pyproject.toml"):
        shutil.copy(ROOT / file, tmp_path / file)
    (tmp_path / "my.fa").write_text(">one\nACGTTGCATGCATT\n", encoding="utf-8")
    return tmp_path


def run(house: Path, command: str, *paths: Path) -> str:
    """Run a command where the copy is the package."""
    words = shlex.split(command)
    start = {"python": [sys.executable], "kmerit": [sys.executable, "-m", "kmerit.cli"]}[words[0]]
    path = os.pathsep.join(map(str, (house / "src", *paths)))
    process = subprocess.run(
        [*start, *words[1:]],
        cwd=house,
        env={**os.environ, "PYTHONPATH": path},
        capture_output=True,
        text=True,
        timeout=900,
    )
    assert process.returncode == 0, f"{command}\n{process.stdout}\n{process.stderr}"
    return process.stdout


def follow(page: str, house: Path) -> list[str]:
    """Do all steps of a page, in their order; give the commands that were run."""
    steps = re.split(r"^(?=\d\. \*\*)", after_the_introduction(page), flags=re.MULTILINE)[1:]
    steps[-1:] = re.split(r"^(?=[^ \n0-9])", steps[-1], maxsplit=1, flags=re.MULTILINE)
    assert len(steps) >= 5
    assert [step[:2] for step in steps[:-1]] == [f"{i}." for i in range(1, len(steps))]
    commands: list[str] = []
    for step in steps:
        by_name = re.match(r"\d\. \*\*[^*]+\*\*, `([^`]+)`", step)
        assert (by_name is not None) == step[0].isdigit(), step
        for _, language, text in BLOCK.findall(step):
            if language == "":
                for command in dedent(text).splitlines():
                    run(house, command)
                    commands.append(command)
            elif by_name is not None:
                apply(house / by_name[1], language, dedent(text))
        if by_name is not None and by_name[1] == "docs/references.bib":
            (key,) = re.findall(r"\(`(\w+)`\s+is\)", step)
            assert f"{{{key},\n" in (house / by_name[1]).read_text(encoding="utf-8")
    return commands


def after_the_introduction(page: str) -> str:
    text = (HOW_TO / page).read_text(encoding="utf-8")
    return text[text.index("\n1. **") + 1 :]


def apply(file: Path, language: str, text: str) -> None:
    """Put a block into the file that its step names."""
    if language == "python":
        assert not file.exists()
        file.write_text(text, encoding="utf-8")
    elif language == "diff":
        code = file.read_text(encoding="utf-8")
        for hunk in re.split(r"^@@.*\n", text, flags=re.MULTILINE):
            old, new = (
                "".join(line[1:] for line in hunk.splitlines(keepends=True) if line[0] in signs)
                for signs in (" -", " +")
            )
            assert code.count(old) == 1 or not old, old
            code = code.replace(old, new, 1) if old else code
        file.write_text(code, encoding="utf-8")
    else:
        assert (language, file.name) == ("markdown", "CHANGELOG.md")
        before = file.read_text(encoding="utf-8")
        assert "\n### Added\n" in before
        file.write_text(before.replace("\n### Added\n", f"\n### Added\n{text}", 1), encoding="utf-8")


def listed(house: Path, kind: str, *paths: Path) -> dict[str, dict[str, object]]:
    return {each["name"]: each for each in json.loads(run(house, f"kmerit list {kind} --json", *paths))}


BIBLIOGRAPHY = "python -m pytest tests/unit/test_architecture.py -k bibliography"


def test_add_a_method(house: Path) -> None:
    assert "attention_mean" not in listed(house, "methods")
    commands = follow("add-a-method.md", house)
    assert [command.split()[0] for command in commands] == ["python", "python", "kmerit", "kmerit"]
    assert listed(house, "methods")["attention_mean"]["summary"] == "attention of [CLS], averaged over layers and heads"
    assert (house / "scores.parquet").exists()
    run(house, BIBLIOGRAPHY)


def test_keep_a_method_in_a_package_of_your_own(house: Path, tmp_path: Path) -> None:
    blocks = [
        (language, dedent(text)) for _, language, text in BLOCK.findall(after_the_introduction("add-a-method.md"))
    ]
    (code, *_) = (text for language, text in blocks if language == "python")
    (project,) = (text for language, text in blocks if language == "toml")
    ((group, entries),) = tomllib.loads(project)["project"]["entry-points"].items()
    ((name, target),) = entries.items()
    place = tmp_path / "installed"
    module = place / f"{target.split(':')[0].replace('.', '/')}.py"
    module.parent.mkdir(parents=True)
    module.write_text(code, encoding="utf-8")
    about = place / "my_package-1.dist-info"
    about.mkdir()
    (about / "METADATA").write_text("Metadata-Version: 2.1\nName: my_package\nVersion: 1\n", encoding="utf-8")
    (about / "entry_points.txt").write_text(f"[{group}]\n{name} = {target}\n", encoding="utf-8")
    assert "attention_mean" not in listed(house, "methods")
    assert "attention_mean" in listed(house, "methods", place)


def test_add_a_family(house: Path) -> None:
    assert follow("add-a-family.md", house) == ["python -m pytest tests/golden/test_short_kmer.py"]
    assert listed(house, "families")["short_kmer"]["source"] == "devlin2019"
    run(house, BIBLIOGRAPHY)


def test_add_a_task(house: Path) -> None:
    assert len(follow("add-a-task.md", house)) == 1
    task = listed(house, "tasks")["demo_human_or_worm"]
    assert task["classes"] == ["human", "worm"]
    assert task["test rows"] == 25000


def test_add_a_control(house: Path) -> None:
    tests = "tests/unit/trials/test_mirrored.py tests/contract/test_sentences.py"
    assert follow("add-a-control.md", house) == [f"python -m pytest {tests}"]
    assert "mirrored" in run(house, "kmerit plot curve --help")


def test_add_an_operator(house: Path) -> None:
    commands = follow("add-an-operator.md", house)
    assert [command.split()[:3] for command in commands] == [["python", "-m", "pytest"]] * 2
    assert listed(house, "operators")["transversion"]["keeps"] == ["length", "other positions"]


def test_add_a_rule(house: Path) -> None:
    commands = follow("add-a-rule.md", house)
    assert [command.split()[:3] for command in commands] == [["python", "-m", "pytest"]] * 2
    assert "quarter_lrp" in listed(house, "methods")
    run(house, BIBLIOGRAPHY)


def test_add_a_file_format(house: Path) -> None:
    assert follow("add-a-file-format.md", house) == ["python -m pytest tests/unit/io/test_feather.py"]
