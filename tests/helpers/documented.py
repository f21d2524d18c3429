"""The commands that the documents, the help texts and the messages name, and who runs them.

As a script it runs commands in this process, each in a folder of its own: ``documented.py JOBS.json RESULTS.json``. It
imports nothing of the tests, so that it can be given to the Python of another environment.
"""

from __future__ import annotations

import ast
import contextlib
import io
import json
import os
import re
import shlex
import shutil
import sys
import time
import traceback
import warnings
from collections.abc import Iterator
from inspect import cleandoc
from pathlib import Path
from typing import Any, NamedTuple

ROOT = Path(__file__).resolve().parents[2]
PROGRAMS = ("kmerit", "modisco", "accelerate", "python", "pip", "git", "cd", "make")
FIRST_NAME = "FIRST NAME"
"""Stands for the name of the first sequence."""
KINDS = ("methods", "operators", "tasks", "families", "models", "configs", "features")


class Command(NamedTuple):
    """A command as it is written, and where; whole, if it is to work as it stands."""

    place: str
    words: tuple[str, ...]
    whole: bool

    @property
    def text(self) -> str:
        return shlex.join(self.words)


def commands() -> list[Command]:
    """Collect every command, each once: whole where any place shows it whole."""
    result: dict[tuple[str, ...], Command] = {}
    for command in (*of_pages(), *of_notebooks(), *of_configs(), *of_help(), *of_messages()):
        known = result.get(command.words)
        if known is None or (command.whole and not known.whole):
            result[command.words] = command
    return list(result.values())


def of_pages() -> Iterator[Command]:
    """Take the blocks of code of all pages, and what stands in running text."""
    for page in (ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))):
        text, place = page.read_text(encoding="utf-8"), str(page.relative_to(ROOT))
        blocks = re.compile(r"^( *`{3,})([^\n]*)\n(.*?)^\1$", re.M | re.S)
        for _, language, block in blocks.findall(text):
            if language in ("", "bash", "sh", "console"):
                yield from (Command(place, words, True) for words in lines(block))
        for inline in re.findall(r"(?<!`)`([^`]+)`(?!`)", blocks.sub("", text)):
            yield from (Command(place, words, False) for words in lines(" ".join(inline.split())))


def of_notebooks() -> Iterator[Command]:
    """Take what the tutorials name in their text, and the lines that go to a shell."""
    for path in sorted((ROOT / "docs" / "tutorials").glob("*.ipynb")):
        for cell in json.loads(path.read_text(encoding="utf-8"))["cells"]:
            text = "".join(cell["source"])
            typed = re.findall(r"^[!%]\s*(.*)$", text, re.M) if cell["cell_type"] == "code" else []
            message = re.findall(r"`([^`]+)`", text) if cell["cell_type"] == "markdown" else []
            for line in (*typed, *message):
                yield from (Command(path.name, words, line in typed) for words in lines(line))


def of_configs() -> Iterator[Command]:
    """Take the indented lines of the comments of configs."""
    for path in sorted((ROOT / "configs").glob("*.toml")):
        message = "\n".join(re.findall(r"^# {5,}(.*)$", path.read_text(encoding="utf-8"), re.M))
        yield from (Command(f"configs/{path.name}", words, True) for words in lines(message))


def of_help() -> Iterator[Command]:
    """Take the examples of every ``--help``."""
    from typer.main import get_command

    from kmerit.cli.app import app

    def below(command: Any, name: str) -> Iterator[Command]:
        for part in cleandoc(command.help or "").replace("\b\n", "").split("\n\n"):
            if part.startswith("Example"):
                yield from (Command(f"{name} --help", words, True) for words in lines(part))
        for verb, each in getattr(command, "commands", {}).items():
            yield from below(each, f"{name} {verb}")

    yield from below(get_command(app), "kmerit")


def of_messages() -> Iterator[Command]:
    """Take what the strings of the sources name: docstrings, errors with their remedies, help of options."""
    from typer.main import get_command

    from kmerit.cli.app import app

    verbs = vars(get_command(app))["commands"]
    for path in sorted((ROOT / "src" / "kmerit").rglob("*.py")):
        tree = ast.parse(path.read_text(encoding="utf-8"))
        inside = {id(part) for node in ast.walk(tree) if isinstance(node, ast.JoinedStr) for part in node.values}
        for node in ast.walk(tree):
            if isinstance(node, ast.JoinedStr):
                text = "".join(str(part.value) if isinstance(part, ast.Constant) else "VALUE" for part in node.values)
                text = text.replace(":VALUE", "")
            elif isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in inside:
                text = node.value
            else:
                continue
            for message in re.findall(r"(?<![\w/-])kmerit ([a-z].*)", re.sub(r"\s*\\\n\s*", " ", text)):
                words = told_words(message)
                # "kmerit reads ..." is a sentence about the program; with an option it is a command, with a wrong verb.
                if words and (words[0] in verbs or any(word.startswith("--") for word in words)):
                    yield Command(str(path.relative_to(ROOT)), ("kmerit", *words), False)


def lines(text: str) -> Iterator[tuple[str, ...]]:
    """Split lines into words as a shell does, without comments and without what follows ``>``."""
    for line in re.sub(r"\s*\\\n\s*", " ", text).splitlines():
        line = re.sub(r"\s#.*$", "", line.strip())
        if line.split(" ")[0] in PROGRAMS:
            for part in line.split(" && "):
                with contextlib.suppress(ValueError):
                    words = shlex.split(part)
                    yield tuple(words[: words.index(">")] if ">" in words else words)


def told_words(text: str) -> tuple[str, ...]:
    """Take of a sentence that begins with a command what belongs to the command.

    Example:
        >>> told_words("split --data DATA --out FOLDER; or leave those rows out.")
        ('split', '--data', 'DATA', '--out', 'FOLDER')
        >>> told_words("split does that."), told_words("list methods")
        (('split',), ('list', 'methods'))
    """
    result: list[str] = []
    for word in text.split():
        bare = word.rstrip(".,;:!?)'\"`")
        argument = bare.startswith("-") or bare.isupper() or bare in KINDS or re.search(r"[/=]|^bundled:", bare)
        if not bare or (result and not argument and not result[-1].startswith("-") and result != ["plot"]):
            break
        result.append(bare)
        if bare != word:
            break
    return tuple(result) if result and result[0].isalpha() else ()


def run(words: list[str], folder: str, home: str | None = None) -> dict[str, Any]:
    """Run one kmerit command in a folder, or in a copy of the user's home, in this process."""
    from kmerit.cli import main

    if home is not None:
        shutil.copytree(home, folder)
    os.chdir(folder)
    if home is not None and "--out" in words:  # what is made before, under the name of what is made here
        shutil.rmtree(words[words.index("--out") + 1], ignore_errors=True)
    for alias in ("my-model", "my-dnabert"):
        if os.path.isdir("my") and not os.path.isdir(alias):
            shutil.copytree("my", alias)
    if {"my.csv", "scores.parquet"} <= {*words}:
        shutil.copy("of_my_csv.parquet", "scores.parquet")
    if FIRST_NAME in words:
        from kmerit import read_sequences

        words[words.index(FIRST_NAME)] = read_sequences(words[words.index("--sequences") + 1]).names[0]
    out, err = io.StringIO(), io.StringIO()
    sys.argv = ["kmerit", *words]
    code: Any = 0
    if "-" in words:
        sys.stdin = open("my.fa", encoding="utf-8")  # noqa: SIM115 - of the whole process
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err), warnings.catch_warnings():
        try:
            main()
        except SystemExit as left:
            code = left.code or 0
        except BaseException:
            code = traceback.format_exc()
    return {"code": code, "out": out.getvalue()[-4000:], "err": err.getvalue()[-4000:]}


if __name__ == "__main__":
    jobs, results = map(Path, sys.argv[1:])
    done = []
    for job in json.loads(jobs.read_text(encoding="utf-8")):
        started = time.process_time()
        done.append({**run(**job), "seconds": time.process_time() - started})
    results.write_text(json.dumps(done), encoding="utf-8")
