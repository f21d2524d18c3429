"""The page's scripts are formatted and sound, and take their lists from Python."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from kmerit.report import load, text
from kmerit.report.load import read_run
from kmerit.report.page import page, script
from kmerit.trials.controls import CONTROLS, OF_A_METHOD

ROOT = Path(__file__).resolve().parents[3]
TOOL = [sys.executable, str(ROOT / "tools" / "javascript.py")]


def test_the_scripts_are_formatted_and_nothing_is_wrong_with_them() -> None:
    process = subprocess.run(TOOL, capture_output=True, text=True, cwd=ROOT)
    assert process.returncode == 0, process.stdout + process.stderr


@pytest.mark.parametrize(
    ("line", "says"),
    [("const unknown = nothing;\n", "no-undef"), ("const unused = 1;\n", "no-unused-vars")],
)
def test_what_is_wrong_is_found(tmp_path: Path, line: str, says: str) -> None:
    (tmp_path / "page.js").write_text(script().replace("})();", f"{line}}})();"), encoding="utf-8")
    linter = [Path(sys.executable).parent / "oxlint", "--config", ROOT / "tools" / "oxlint.json", tmp_path / "page.js"]
    process = subprocess.run(linter, capture_output=True, text=True)
    assert process.returncode != 0
    assert says in process.stdout


def repeated(kind: str, source: str) -> list[str]:
    """Find two names of a list near each other, as the keys or the strings of a literal."""
    names = "|".join(text.lists(load.COMPARED_COUNT)[kind])
    name = rf"""(?:["'`](?:{names})["'`]\s*[,:\]]|\b(?:{names}):)"""
    return re.findall(rf"{name}[^;\n]*\n?[^;\n]*?{name}", re.sub(r"//.*", "", source))


@pytest.mark.parametrize("kind", ["controls", "measures", "first"])
def test_no_list_of_pythons_is_repeated(kind: str) -> None:
    assert repeated(kind, script()) == []
    one, other, *_ = text.lists(load.COMPARED_COUNT)[kind]
    assert repeated(kind, f'const copy = ["{one}", "{other}"];')
    assert repeated(kind, f"const copy = {{\n  {one}: 1,\n  {other}: 2,\n}};")


def test_lists_are_those_of_the_package(run_folder: Path) -> None:
    lists = json.loads(re.search(r'id="data">(.*?)</script>', page(read_run(run_folder), {}), re.DOTALL)[1])["lists"]
    assert tuple(lists["controls"]) == CONTROLS
    assert tuple(name for name, control in lists["controls"].items() if control["own"]) == OF_A_METHOD
    assert list(lists["measures"]) == list(text.MEASURES)
    for name, measure in text.MEASURES.items():
        assert measure.excess_of is not None or {name, measure.low, measure.high} - {None} <= set(text.VALUES)


@pytest.mark.skipif(shutil.which("node") is None, reason="Node.js runs the scripts' formats")
def test_numbers_are_written_as_python_writes_them() -> None:
    from kmerit.formats import fixed

    values = [0.1234, -0.1234, -0.0001, 0, 12345.678, 1.0]
    source = script()
    format_ = source[source.index("const { dash: DASH") : source.index("function short")]
    data = json.dumps({"lists": text.lists(load.COMPARED_COUNT)})
    code = f"const data = {data};\n{format_}\nconsole.log(JSON.stringify({values}.map((x) => fixed(x))));"
    process = subprocess.run(["node", "-e", code], capture_output=True, text=True, check=True)
    assert json.loads(process.stdout) == [fixed(value) for value in values]
