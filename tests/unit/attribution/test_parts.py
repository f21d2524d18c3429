"""Scores in shares: the bytes of one process, for every number of shares, in any order, after any kill."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import kmerit as km
from helpers.dying import KILLED_AT_A_RENAMING
from kmerit.attribution import attribute as attribute_module
from kmerit.attribution.attribute import attribute
from kmerit.attribution.parts import folder_of
from kmerit.errors import RunError, RunMismatch, UsageError
from kmerit.io.crops import Tiles
from kmerit.models import layers
from kmerit.models import model as model_module
from kmerit.store import Share, Work

ROOT = Path(__file__).parents[3]
KINDS: dict[str, dict[str, Any]] = {
    "plain": {},
    "both strands, checked": {"strands": "both", "check": 4},
    "tiles": {"tiles": Tiles(24, 12)},
    "tokens of the label": {"level": "token", "target": "label"},
}
KILLED = f"""{KILLED_AT_A_RENAMING}
from tests.unit.attribution.test_parts import score
from kmerit.store import Share
from kmerit.attribution import attribute
attribute._BATCHES_PER_BLOCK = 1
score(Path(arguments[0]), Path(arguments[1]), Share(1, 2))
"""


def score(checkpoint: Path, out: Path, share: Work | None = None, **options: Any) -> None:
    """Score 26 sequences of several lengths."""
    rng = np.random.default_rng(3)
    strings = ["".join(rng.choice(list("ACGT"), int(length))) for length in rng.integers(24, 44, 26)]
    sequences = km.Sequences.from_strings(strings, labels=[0, 1] * 13)
    chosen = {"methods": ["attention", "lrp"], **options}
    model = km.load_model(checkpoint, device="cpu", micro_batch=chosen.pop("micro_batch", 4))
    attribute(model, sequences, out=out, share=share, **chosen)


def files(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir() if path.is_file()}


@pytest.fixture(autouse=True)
def small_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(attribute_module, "_BATCHES_PER_BLOCK", 1)


@pytest.mark.parametrize("kind", KINDS)
def test_shares_make_the_bytes_of_one_process(kind: str, tiny_checkpoint: Path, tmp_path: Path) -> None:
    (tmp_path / "whole").mkdir()
    score(tiny_checkpoint, tmp_path / "whole" / "scores.parquet", **KINDS[kind])
    whole = files(tmp_path / "whole")
    assert len(whole) == (2 if "check" in KINDS[kind] else 1)
    for count in (1, 2, 7):
        out = tmp_path / str(count) / "scores.parquet"
        for share in ("plan", *(Share(number, count) for number in range(count, 0, -1)), "gather"):
            score(tiny_checkpoint, out, share, **KINDS[kind])  # type: ignore[arg-type]
        assert files(out.parent) == whole
        assert [path.name for path in folder_of(out).iterdir()] == ["done.json"]
        for share in ("gather", Share(1, 2), "plan"):  # those that come late
            score(tiny_checkpoint, out, share, **KINDS[kind])  # type: ignore[arg-type]
        assert files(out.parent) == whole


@pytest.mark.slow
def test_a_share_that_is_killed_is_made_again(tiny_checkpoint: Path, tmp_path: Path) -> None:
    out = tmp_path / "shared" / "scores.parquet"
    score(tiny_checkpoint, out, "plan")
    places = os.pathsep.join([str(ROOT / "tests"), os.environ.get("PYTHONPATH", "")])
    environment = {**os.environ, "OMP_NUM_THREADS": str(torch.get_num_threads()), "PYTHONPATH": places}
    for moment in (1, 4):
        command = [sys.executable, "-c", KILLED, str(moment), str(tiny_checkpoint), str(out)]
        process = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, check=False, timeout=600)
        assert process.returncode == -signal.SIGKILL, process.stderr[-2000:]
    score(tiny_checkpoint, out, Share(2, 2))
    with pytest.raises(RunError, match="3 of 7 parts are missing or damaged, the first 000002"):
        score(tiny_checkpoint, out, "gather")
    score(tiny_checkpoint, out, Share(1, 2))
    score(tiny_checkpoint, out, "gather")
    (tmp_path / "whole").mkdir()
    score(tiny_checkpoint, tmp_path / "whole" / "scores.parquet")
    assert files(out.parent) == files(tmp_path / "whole")


def test_a_share_of_another_plan_is_refused_by_name(
    tiny_checkpoint: Path, make_checkpoint: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "scores.parquet"
    for share in (Share(1, 2), "gather"):
        with pytest.raises(RunError, match="no plan yet"):
            score(tiny_checkpoint, out, share)  # type: ignore[arg-type]
    assert not folder_of(out).exists()
    score(tiny_checkpoint, out, "plan")
    with pytest.raises(RunMismatch, match=r"micro_batch was 4, now it is 5"):
        score(tiny_checkpoint, out, Share(1, 2), micro_batch=5)
    with pytest.raises(RunMismatch, match=r"of another model \(model_sha256 \w{8}, now \w{8}\)"):
        score(make_checkpoint(seed=5), out, Share(1, 2))
    with pytest.raises(RunMismatch, match=r"level was 'nucleotide', now it is 'token'"):
        score(tiny_checkpoint, out, Share(1, 2), level="token")
    with pytest.raises(RunMismatch, match=r"methods\.lrp"):
        score(tiny_checkpoint, out, Share(1, 2), methods=["attention"])
    with pytest.raises(RunMismatch, match=r"order_of_methods was \['attention', 'lrp'\], now it is \['lrp', 'att"):
        score(tiny_checkpoint, out, Share(1, 2), methods=["lrp", "attention"])
    with pytest.raises(RunMismatch, match=r"check was 0, now it is 3"):  # which only the last step uses
        score(tiny_checkpoint, out, "gather", check=3)
    threads = torch.get_num_threads()
    monkeypatch.setattr(torch, "get_num_threads", lambda: threads + 1)
    with pytest.raises(RunMismatch, match=r"threads was \d+, now it is \d+"):
        score(tiny_checkpoint, out, "gather")


@pytest.mark.skipif(not layers._CAN_PACK, reason="this build of torch has no packed products")
def test_shares_make_the_products_of_the_plan(
    tiny_checkpoint: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def prefer(kind: str) -> None:
        monkeypatch.setattr(model_module, "fastest", lambda *of: kind)

    shares: list[Work] = ["plan", Share(1, 1), "gather"]
    for kind in ("packed", "plain"):
        prefer(kind)
        for share in shares:
            score(tiny_checkpoint, tmp_path / kind / "scores.parquet", share)
    prefer("plain")
    score(tiny_checkpoint, tmp_path / "mixed" / "scores.parquet", "plan")
    prefer("packed")
    for share in shares[1:]:
        score(tiny_checkpoint, tmp_path / "mixed" / "scores.parquet", share)
    assert files(tmp_path / "packed") != files(tmp_path / "plain") == files(tmp_path / "mixed")
    monkeypatch.setattr(layers, "_CAN_PACK", False)
    with pytest.raises(RunMismatch, match="products was 'packed', now it is 'plain'"):
        score(tiny_checkpoint, tmp_path / "packed" / "scores.parquet", "gather")


def test_damaged_parts_and_plans_are_made_again(tiny_checkpoint: Path, tmp_path: Path) -> None:
    out = tmp_path / "scores.parquet"
    options = KINDS["both strands, checked"]
    score(tiny_checkpoint, out, "plan", **options)
    score(tiny_checkpoint, out, Share(1, 1), **options)
    (folder_of(out) / "000003.arrow").write_bytes(b"")
    with pytest.raises(RunError, match="1 of 7 parts are missing or damaged, the first 000003"):
        score(tiny_checkpoint, out, "gather", **options)
    (folder_of(out) / "targets.npy").write_bytes(b"")
    with pytest.raises(RunError, match="the plan is not whole"):
        score(tiny_checkpoint, out, Share(1, 1), **options)
    for share in ("plan", Share(1, 1), "gather"):
        score(tiny_checkpoint, out, share, **options)  # type: ignore[arg-type]
    assert set(km.read_attributions(out)) == {"attention", "lrp"}


def test_nothing_of_a_users_is_taken_for_parts(tiny_checkpoint: Path, tmp_path: Path) -> None:
    out = tmp_path / "scores.parquet"
    folder_of(out).mkdir()
    (folder_of(out) / "mine.txt").write_text("mine")
    with pytest.raises(RunMismatch, match="is not empty"):
        score(tiny_checkpoint, out, "plan")
    shutil.rmtree(folder_of(out))
    score(tiny_checkpoint, out, "plan")
    (folder_of(out) / "mine.txt").write_text("mine")
    for share in (Share(1, 1), "gather"):
        score(tiny_checkpoint, out, share)  # type: ignore[arg-type]
    assert (folder_of(out) / "mine.txt").read_text() == "mine"


def test_shares_meet_in_a_file(tiny_checkpoint: Path) -> None:
    model = km.load_model(tiny_checkpoint, device="cpu")
    with pytest.raises(UsageError, match="share: expected out, the file"):
        attribute(model, ["ACGTACGTACGT"], ["attention"], share="plan")  # type: ignore[call-overload]
