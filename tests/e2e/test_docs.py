"""The README and the tutorials run, and the site builds."""

from __future__ import annotations

import importlib.util
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]
TUTORIALS = sorted((ROOT / "docs" / "tutorials").glob("*.ipynb"))
pytestmark = pytest.mark.slow


def tool(name: str) -> ModuleType:
    """Load one of the scripts in tools/."""
    spec = importlib.util.spec_from_file_location(name, ROOT / "tools" / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


NUMBER = re.compile(r"(?<![A-Za-z_])[-+]?\d+\.?\d*(?:e[-+]?\d+)?")


def answers(notebook: Any) -> list[list[tuple[str, str]]]:
    """List what each cell of code answered: the kind of output, and what of it a person reads."""
    cells = [cell for cell in notebook.cells if cell.cell_type == "code"]
    return [[(output.output_type, read_of(output)) for output in cell.outputs] for cell in cells]


def read_of(output: Any) -> str:
    """Take the text of an output: the page's, without pictures, where there is one, else the plain one."""
    data = output.get("data", {})
    if "text/html" in data:
        return re.sub(r"(?s)<(svg|style|script)\b.*?</\1>|<[^>]*>", " ", data["text/html"])
    return str(output.get("text", data.get("text/plain", "")))


def alike(kept: str, fresh: str) -> bool:
    """Whether two texts have the same words and about the same numbers: one sequence of fifty may differ elsewhere."""
    if NUMBER.sub("#", kept).split() != NUMBER.sub("#", fresh).split():
        return False
    pairs = zip(NUMBER.findall(kept), NUMBER.findall(fresh), strict=True)
    return all(float(new) == pytest.approx(float(old), rel=0.02, abs=0.025) for old, new in pairs)


@pytest.mark.parametrize(
    ("kept", "fresh", "same"),
    [
        ("0.83 of them", "0.84 of them", True),
        ("0.83 of them", "0.75 of them", False),
        ("{'rows': 6232}", "{'rows': 6000}", False),
        ("('background', 'promoter')", "('background', 'enhancer')", False),
        ("array([[0.006, 0.994],\n  [0.94 , 0.06 ]])", "array([[0.006, 0.993],  [0.94 , 0.06 ]])", True),
        ("nan 1.5e-06", "0.1 1.5e-06", False),
        ("lrp 20 0.5", "lrp 20", False),
    ],
)
def test_answers_are_told_apart(kept: str, fresh: str, same: bool) -> None:
    assert alike(kept, fresh) is same


@pytest.mark.filterwarnings("default")  # of the notebook client's own making
@pytest.mark.parametrize("path", TUTORIALS, ids=lambda path: path.stem)
def test_tutorial_runs_and_answers_as_its_kept_copy_does(path: Path) -> None:
    import nbformat

    kept, fresh = nbformat.read(path, as_version=4), tool("notebooks").execute(path)
    assert kept.cells[-1].cell_type == "markdown"
    old, new = answers(kept), answers(fresh)
    assert [[kind for kind, _ in cell] for cell in new] == [[kind for kind, _ in cell] for cell in old]
    texts = [pair for before, after in zip(old, new, strict=True) for pair in zip(before, after, strict=True)]
    assert sum(len(text) for (_, text), _ in texts) > 100
    changed = [(was, now) for (_, was), (_, now) in texts if not alike(was, now)]
    assert changed == [], "The tutorials answer otherwise. If they should, run: python tools/notebooks.py"


def test_readme_prints_what_it_shows(capsys: pytest.CaptureFixture[str]) -> None:
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    (code,) = re.findall(r"^```python\n(.*?)^```$", readme, re.M | re.S)
    (shown,) = re.findall(r"^```text\n(.*?)^```$", readme, re.M | re.S)
    exec(compile(code, "README.md", "exec"), {})
    assert alike(shown, capsys.readouterr().out)


def build_site(root: Path, out: Path) -> subprocess.CompletedProcess[str]:
    """Build the site of a folder as `make docs` does."""
    arguments = re.search(r"-m (mkdocs build.*)", (ROOT / "Makefile").read_text(encoding="utf-8"))
    assert arguments is not None
    command = [sys.executable, "-m", *arguments[1].split(), "--site-dir", out]
    return subprocess.run(command, cwd=root, capture_output=True, text=True)


def a_broken_link(root: Path) -> None:
    with (root / "docs" / "glossary.md").open("a", encoding="utf-8") as page:
        page.write("\n[more](../configs/nowhere.toml)\n")


def a_broken_anchor(root: Path) -> None:
    with (root / "docs" / "glossary.md").open("a", encoding="utf-8") as page:
        page.write("\n[more](paper.md#nothing-of-this-name)\n")


def an_omitted_page(root: Path) -> None:
    (root / "docs" / "how-to" / "forgotten.md").write_text("# Forgotten\n", encoding="utf-8")


@pytest.mark.parametrize(
    ("spoil", "complaint"),
    [(a_broken_link, "nowhere.toml"), (a_broken_anchor, "nothing-of-this-name"), (an_omitted_page, "forgotten.md")],
)
def test_site_with_a_fault_is_not_built(tmp_path: Path, spoil: Callable[[Path], None], complaint: str) -> None:
    shutil.copytree(ROOT / "docs", tmp_path / "docs")
    shutil.copytree(ROOT / "tools", tmp_path / "tools")
    shutil.copy(ROOT / "mkdocs.yml", tmp_path)
    (tmp_path / "src").symlink_to(ROOT / "src")
    spoil(tmp_path)
    result = build_site(tmp_path, tmp_path / "site")
    assert result.returncode != 0
    assert complaint in result.stderr
    assert "1 warnings in strict mode" in result.stdout + result.stderr


def test_site_builds_strictly(tmp_path: Path) -> None:
    result = build_site(ROOT, tmp_path / "site")
    assert result.returncode == 0, result.stderr
    for page in (tmp_path / "site").rglob("*.html"):
        loaded = re.findall(r'<(?:script|link|img)[^>]* (?:src|href)="?([^" >]+)', page.read_text(encoding="utf-8"))
        assert [address for address in loaded if re.match("https?:|//", address)] == []
        local = [re.split("[#?]", address)[0] for address in loaded if not address.startswith(("data:", "/"))]
        assert [address for address in local if not (page.parent / address).exists()] == []
    page = (tmp_path / "site" / "tutorials" / "first-steps.html").read_text(encoding="utf-8")
    assert "answers changed" in page
    reference = (tmp_path / "site" / "reference" / "door.html").read_text(encoding="utf-8")
    assert "kmerit.attribution.attribute.attribute" in reference
    assert "&gt;&gt;&gt;" in reference
