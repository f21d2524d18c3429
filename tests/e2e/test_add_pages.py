"""The pages on adding a method, a family and a task, followed to the letter in a copy of the package."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from textwrap import dedent

import pytest

ROOT = Path(__file__).parents[2]
PACKAGE = ROOT / "src" / "kmerit"
pytestmark = pytest.mark.slow


def follow(page: str, tmp_path: Path) -> Path:
    """Do the page's first step: put its Python block into the file that it names; give the copy's folder."""
    text = (ROOT / "docs" / "how-to" / page).read_text(encoding="utf-8")
    step = re.search(r"1\. \*\*One file\*\*, `src/(kmerit/[\w/]+\.py|kmerit/[\w/]+/NAME\.py)`", text)
    block = re.search(r"```python\n(.*?)```", text, re.DOTALL)
    assert step is not None
    assert block is not None
    code = dedent(block[1])
    named = re.search(r'name="(\w+)"', code)
    assert named is not None
    shutil.copytree(PACKAGE, tmp_path / "kmerit", ignore=shutil.ignore_patterns("__pycache__", "assets"))
    # The report's libraries are assets, too; these tests write no report.
    (tmp_path / "kmerit" / "assets").symlink_to(PACKAGE / "assets")
    file = tmp_path / step[1].replace("NAME", named[1])
    assert file.stem == named[1]
    assert not file.exists()
    file.write_text(code, encoding="utf-8")
    return tmp_path


def run(house: Path, code: str, *arguments: object) -> str:
    """Run Python where the copy is the package."""
    command = [sys.executable, "-c", code, *map(str, arguments)]
    done = subprocess.run(
        command, env={**os.environ, "PYTHONPATH": str(house)}, cwd=house, capture_output=True, text=True, timeout=600
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


LIST = "import sys; from kmerit.cli import main; sys.argv = ['kmerit', 'list', sys.argv[1], '--json']; main()"


def listed(house: Path, kind: str) -> dict[str, dict[str, object]]:
    return {each["name"]: each for each in json.loads(run(house, LIST, kind))}


def test_add_a_method(tmp_path: Path, tiny_checkpoint: Path) -> None:
    house = follow("add-a-method.md", tmp_path)
    assert listed(house, "methods")["attention_mean"]["summary"] == "attention of [CLS], averaged over layers and heads"
    code = """
        import sys
        import numpy as np
        import kmerit as km
        from kmerit.attribution.heads import head_attention

        model = km.load_model(sys.argv[1], dtype="float64")
        sequences = km.Sequences.from_strings(["ACGTTGCATGCA", "TTTACGACGT"])
        scores = km.attribute(model, sequences, ["attention_mean"])["attention_mean"].scores
        assert np.allclose(scores, head_attention(model, sequences).mean(axis=(1, 2)), atol=1e-12, equal_nan=True)
    """
    run(house, dedent(code), tiny_checkpoint)


def test_add_a_family(tmp_path: Path, make_checkpoint: Callable[..., Path]) -> None:
    house = follow("add-a-family.md", tmp_path)
    checkpoint = make_checkpoint(k=2)
    (checkpoint / "vocab.txt").unlink()
    code = """
        import sys
        import kmerit as km

        model = km.load_model(sys.argv[1])
        assert model.family == "short_kmer", model.family
        sequences = km.Sequences.from_strings(["ACGTTGCATGCA", "AC"])
        assert model.predict(sequences).shape == (2, 2)
        assert km.attribute(model, sequences, ["lrp"])["lrp"].scores.shape == (2, 12)
    """
    run(house, dedent(code), checkpoint)


def test_add_a_task(tmp_path: Path) -> None:
    house = follow("add-a-task.md", tmp_path)
    task = listed(house, "tasks")["demo_human_or_worm"]
    assert task["classes"] == ["human", "worm"]
    assert task["test rows"] == 25000
