"""Code that comes with a checkpoint never runs: no call asks for it, and a planted file is left alone."""

from __future__ import annotations

import ast
import io
import json
import sys
from contextlib import suppress
from pathlib import Path

import pytest

import kmerit as km
from helpers.checkpoints import write_library
from kmerit.errors import KmeritError

SOURCE = Path(km.__file__).parent
CLASSES = ("AutoConfig", "AutoModel", "AutoModelForSequenceClassification")


def test_every_call_that_loads_refuses_remote_code() -> None:
    calls = []
    for path in sorted(SOURCE.rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call) and getattr(node.func, "attr", "") in ("from_pretrained", "from_config"):
                refused = any(
                    word.arg == "trust_remote_code"
                    and isinstance(word.value, ast.Constant)
                    and word.value.value is False
                    for word in node.keywords
                )
                calls.append((f"{path.name}:{node.lineno}", refused))
    assert len(calls) > 5
    assert [call for call, refused in calls if not refused] == []


@pytest.fixture(params=["bert", "a kind that nobody knows"])
def planted(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    """A checkpoint whose own code leaves a mark when it is run."""
    folder = write_library(tmp_path / "model", "bert")
    config = json.loads((folder / "config.json").read_text())
    config |= {"model_type": request.param, "auto_map": {name: f"planted.{name}" for name in CLASSES}}
    (folder / "config.json").write_text(json.dumps(config))
    mark = tmp_path / "mark"
    (folder / "planted.py").write_text(
        f"open({str(mark)!r}, 'w').close()\n" + "".join(f"{c} = None\n" for c in CLASSES)
    )
    return folder


def test_planted_code_does_not_run(planted: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from kmerit.training import finetune, pretrain
    from kmerit.training.data import Splits
    from kmerit.training.recipe import FinetuneConfig, PretrainConfig

    monkeypatch.setattr(sys, "stdin", io.StringIO("y\n" * 20))
    rows = km.Sequences.from_strings(["ACGTTGCAACGG", "TTGACATTACAG"], labels=[0, 1])
    tiny = {"base": str(planted), "max_steps": 1, "device": "cpu"}
    tries = (
        lambda: km.load_model(planted),
        lambda: finetune(FinetuneConfig.parse(tiny), tmp_path / "tuned", data=Splits(rows)),
        lambda: finetune(
            FinetuneConfig.parse({**tiny, "base": None, "teachers": [str(planted)]}),
            tmp_path / "taught",
            data=Splits(rows),
        ),
        lambda: pretrain(PretrainConfig.parse({**tiny, "corpus": ["nowhere.fa"]}), tmp_path / "pretrained"),
    )
    for attempt in tries:
        with suppress(KmeritError):
            attempt()
    assert not (tmp_path / "mark").exists()
