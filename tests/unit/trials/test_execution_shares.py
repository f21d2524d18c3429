"""Shares of a trial and of a run: the same bytes, for every number of shares, in any order, after any kill."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from torch import OutOfMemoryError, Tensor

from helpers.dying import KILLED_AT_A_RENAMING
from helpers.small_run import results, write_experiment
from helpers.trial_program import CHUNK, main
from kmerit.attribution.attribute import attribute
from kmerit.errors import RunError, RunLocked, RunMismatch, UnknownName, UsageError
from kmerit.io.crops import Tiles
from kmerit.io.scores import read_attributions
from kmerit.models import inference, layers, model
from kmerit.models.encoder import Encoder
from kmerit.models.model import load_model
from kmerit.runs import pipeline
from kmerit.sequences import Sequences
from kmerit.store import Share, Work
from kmerit.trials import execution
from kmerit.trials.outcomes import read_outcomes
from kmerit.trials.trial import Grid, trial

ROOT = Path(__file__).parents[3]
ENVIRONMENT = {**os.environ, "OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1"}
KILLED = f"""{KILLED_AT_A_RENAMING}
from tests.helpers.trial_program import main
main(*arguments)
"""


needs_packing = pytest.mark.skipif(not layers._CAN_PACK, reason="this build of torch has no packed products")
HOLDER = """
import sys
from kmerit.store import hold
with hold(sys.argv[1], file=True):
    print("held", flush=True)
    sys.stdin.read()
"""


@contextmanager
def hold_elsewhere(path: Path) -> Iterator[None]:
    """Hold a file in another process, as a share at work does."""
    command = [sys.executable, "-c", HOLDER, str(path)]
    with subprocess.Popen(
        command, env=ENVIRONMENT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        assert process.stdout.readline() == "held\n"
        yield
        process.stdin.close()


@pytest.fixture(autouse=True)
def small_chunks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(execution, "CELLS_PER_CHUNK", CHUNK)


@pytest.fixture(scope="module")
def whole(tiny_checkpoint: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, str]]:
    folder = tmp_path_factory.mktemp("whole") / "outcomes"
    main(str(tiny_checkpoint), str(folder))
    return results(folder)


@pytest.mark.parametrize("count", [1, 2, 3, 7])
def test_shares_make_the_bytes_of_one_process(
    tiny_checkpoint: Path, tmp_path: Path, whole: dict[str, str], count: int
) -> None:
    out = tmp_path / "outcomes"
    main(str(tiny_checkpoint), str(out), "plan")
    for number in range(count, 0, -1):
        main(str(tiny_checkpoint), str(out), f"{number}/{count}")
    main(str(tiny_checkpoint), str(out), "gather")
    assert results(out) == whole
    main(str(tiny_checkpoint), str(out), "1/2")  # a share that comes late
    assert results(out) == whole


@pytest.mark.slow
def test_shares_that_are_killed_are_made_again(tiny_checkpoint: Path, tmp_path: Path, whole: dict[str, str]) -> None:
    out = tmp_path / "outcomes"
    main(str(tiny_checkpoint), str(out), "plan")
    for moment in (2, 5):  # of its renamings, four a chunk
        command = [sys.executable, "-c", KILLED, str(moment), str(tiny_checkpoint), str(out), "2/3"]
        process = subprocess.run(
            command, env=ENVIRONMENT, cwd=ROOT, timeout=600, check=False, capture_output=True, text=True
        )
        assert process.returncode == -signal.SIGKILL, process.stderr[-2000:]
    for share in ("1/3", "3/3"):
        main(str(tiny_checkpoint), str(out), share)
    with pytest.raises(RunError, match="3 of 12 parts are missing or damaged, the first 000004; of N shares, share 4"):
        main(str(tiny_checkpoint), str(out), "gather")
    for share in ("2/3", "gather"):
        main(str(tiny_checkpoint), str(out), share)
    assert results(out) == whole


def test_a_share_without_a_plan_is_refused(tiny_checkpoint: Path, tmp_path: Path) -> None:
    for share in ("1/2", "gather"):
        with pytest.raises(RunError, match="no plan yet"):
            main(str(tiny_checkpoint), str(tmp_path / "outcomes"), share)


@needs_packing
def test_shares_make_the_products_of_the_plan(
    tiny_checkpoint: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def make(out: Path, *parts: tuple[str, bool]) -> Path:
        for share, can_pack in parts:
            monkeypatch.setattr(layers, "_CAN_PACK", can_pack)
            monkeypatch.setattr(model, "fastest", lambda *of, kind="packed" if can_pack else "plain": kind)
            main(str(tiny_checkpoint), str(out), share)
        return out

    packed = make(tmp_path / "packed", ("plan", True), ("1/1", True), ("gather", True))
    plain = make(tmp_path / "plain", ("plan", False), ("1/1", False), ("gather", False))
    mixed = make(tmp_path / "mixed", ("plan", False), ("2/2", True), ("1/2", False), ("gather", True))
    assert results(packed) != results(plain) == results(mixed)
    refused = make(tmp_path / "refused", ("plan", True))
    with pytest.raises(RunMismatch, match="products was 'packed', now it is 'plain'"):
        make(refused, ("1/2", False))
    assert read_outcomes(mixed).settings["products"] == "plain"
    with pytest.raises(RunMismatch, match="products was 'packed', now it is 'plain'"):
        make(packed, ("gather", False))  # also when it is finished


def test_parts_and_a_trial_without_the_tiles_of_the_plan_are_refused(tiny_checkpoint: Path, tmp_path: Path) -> None:
    classifier, rng = model.load_model(str(tiny_checkpoint), device="cpu"), np.random.default_rng(4)
    sequences = Sequences.from_strings(["".join(rng.choice(list("ACGT"), 44)) for _ in range(4)], labels=[0, 1] * 2)
    scores, out = {"mine": list(rng.normal(size=(4, 44)))}, tmp_path / "outcomes"
    grid = replace(Grid.quick(), counts=(3,), random_sets=1)

    def make(share: Work | None, tiles: Tiles | None) -> None:
        trial(classifier, sequences, scores, grid, out=out, share=share, tiles=tiles)

    tiles = Tiles(30, 10)
    for part in ("plan", Share(1, 1), "gather"):
        make(part, tiles)  # type: ignore[arg-type]
        for other in (Share(1, 1), "gather", "plan", None):
            with pytest.raises(RunMismatch, match="stride was 10, now it is None"):
                make(other, None)  # type: ignore[arg-type]


@pytest.mark.parametrize("share", ["gather", None])
def test_nobody_finishes_while_a_share_is_at_work(tiny_checkpoint: Path, tmp_path: Path, share: str | None) -> None:
    out = tmp_path / "outcomes"
    main(str(tiny_checkpoint), str(out), "plan")
    with hold_elsewhere(out / "parts" / "share-1-of-2"), pytest.raises(RunLocked, match="share-1-of-2 is in use by"):
        main(str(tiny_checkpoint), str(out), share)


def test_a_share_that_ends_after_all_leaves_nothing(
    tiny_checkpoint: Path, tmp_path: Path, whole: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    out, write = tmp_path / "outcomes", execution.PartFolder.write
    main(str(tiny_checkpoint), str(out), "plan")

    def overtaken(folder: execution.PartFolder, index: int, part: execution.Part) -> None:
        monkeypatch.setattr(execution.PartFolder, "write", write)
        monkeypatch.setattr(execution.PartFolder, "need_idle", lambda folder: None)  # as if the share began just then
        main(str(tiny_checkpoint), str(out), None)
        write(folder, index, part)

    monkeypatch.setattr(execution.PartFolder, "write", overtaken)
    main(str(tiny_checkpoint), str(out), "1/2")
    assert results(out) == whole


@pytest.mark.parametrize("text", ["0/2", "3/2", "1", "1/2/3", "-1/2", "a/b"])
def test_a_share_is_i_of_n(text: str) -> None:
    with pytest.raises(UsageError, match="--shard: expected i/N"):
        Share.parse(text)


def test_a_launcher_of_trainings_is_refused(
    tiny_checkpoint: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WORLD_SIZE", "2")
    with pytest.raises(UsageError, match="one of 2 processes"):
        main(str(tiny_checkpoint), str(tmp_path / "outcomes"))


@pytest.mark.slow
def test_a_run_in_shares_leaves_the_folder_of_a_run(
    tiny_checkpoint: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = write_experiment(tmp_path, tiny_checkpoint)
    keys = ["trial.counts=[1, 3, 'all']", "trial.ism_per_class=1"]
    shared, numbers = tmp_path / "shared", [Share(2, 2), Share(1, 2)]

    def work(share: Work, *more: str) -> None:
        pipeline.work(config, shared, share, [*keys, *more])

    with pytest.raises(RunError, match="has no plan yet"):
        work(Share(1, 2))
    assert not shared.exists()
    work("plan")
    with pytest.raises(RunError, match="parts are missing"):
        work("gather")
    with pytest.raises(RunMismatch, match=r"compute\.micro_batch was \d+, now it is 3"):
        work(Share(1, 2), "compute.micro_batch=3")
    for part in (Share(1, 2), "gather"):
        with pytest.raises(RunMismatch, match=r"motifs\.\w+ was absent, now it is"):
            work(part, "motifs.match=0.9")  # type: ignore[arg-type]
    scores = shared / "tasks" / "mine" / "attributions.parquet"
    whole_scores = scores.read_bytes()
    scores.write_bytes(whole_scores[:-1])
    with pytest.raises(RunError, match=r"\(mine: scores\) was changed since the plan was made"):
        work(Share(1, 2))
    scores.write_bytes(whole_scores)
    weights = tiny_checkpoint / "model.safetensors"
    whole_weights = weights.read_bytes()
    try:
        weights.write_bytes(whole_weights[:-1] + bytes([whole_weights[-1] ^ 1]))
        with pytest.raises(RunMismatch, match=r"tasks\.mine\.model .* its sha256 was \w{12}, now it is \w{12}"):
            work(Share(1, 2))
    finally:
        weights.write_bytes(whole_weights)
    monkeypatch.setattr(pipeline, "version", lambda name: "0" if name == "kmerit" else version(name))
    with pytest.raises(RunMismatch, match=r"kmerit was '\S+', now it is '0'"):
        work(Share(1, 2))
    monkeypatch.undo()
    monkeypatch.setattr(execution, "CELLS_PER_CHUNK", CHUNK)
    for each in (*numbers, "gather"):
        work(each)
    pipeline.run(config, tmp_path / "whole", keys)
    assert results(shared) == results(tmp_path / "whole")


@pytest.mark.slow
def test_all_parts_of_a_run_have_the_micro_batch_that_its_plan_found(
    tiny_checkpoint: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config, out, record = write_experiment(tmp_path, tiny_checkpoint), tmp_path / "run", Encoder.record

    def memory_of(most: int) -> None:
        def cramped(encoder: Encoder, x: Tensor, *more: Any, **others: Any) -> Any:
            if len(x) > most:
                raise OutOfMemoryError("CUDA out of memory.")
            return record(encoder, x, *more, **others)

        monkeypatch.setattr(Encoder, "record", cramped)

    monkeypatch.setattr(inference, "_PROBED", ("cpu",))
    for most, share in ((9, "plan"), (5, Share(1, 2)), (500, Share(2, 2)), (500, "gather")):
        memory_of(most)
        pipeline.work(config, out, share)
    pipeline.run(config, tmp_path / "named", ["compute.micro_batch=4"])
    found, named = results(out), results(tmp_path / "named")
    assert {name for name in found.keys() | named.keys() if found.get(name) != named.get(name)} <= {
        *("config.toml", "manifest.json", "report.html", "report.json", "stages/report.json")  # which quote the config
    }
    task = out / "tasks" / "mine"
    assert json.loads((task / "model.json").read_text())["micro_batch"] == 4
    assert read_outcomes(task / "outcomes").settings["micro_batch"] == 4
    assert {each.settings["micro_batch"] for each in read_attributions(task / "attributions.parquet").values()} == {4}
    with pytest.raises(RunMismatch, match=r"compute\.micro_batch was 'auto', now it is 4"):
        pipeline.run(config, out, ["compute.micro_batch=4"])


@pytest.mark.slow
def test_a_run_keeps_the_micro_batch_of_its_beginning(
    tiny_checkpoint: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config, out = write_experiment(tmp_path, tiny_checkpoint), tmp_path / "run"
    pipeline.work(config, out, "plan", ["compute.micro_batch=3"])
    about = out / "tasks" / "mine" / "model.json"
    assert json.loads(about.read_text())["micro_batch"] == 3
    pipeline.work(config, out, Share(1, 2))
    monkeypatch.setattr(inference, "_PROBED", ("cpu",))
    pipeline.work(config, out, Share(2, 2))
    with pytest.raises(RunMismatch, match=r"compute\.micro_batch was 3, now it is 8"):
        pipeline.work(config, out, "gather", ["compute.micro_batch=8"])
    pipeline.work(config, out, "gather")
    pipeline.run(config, tmp_path / "named", ["compute.micro_batch=3"])
    assert results(out) == results(tmp_path / "named")


def test_how_a_trial_is_judged_is_compared_as_it_is_read_back(tiny_checkpoint: Path, tmp_path: Path) -> None:
    sequences = Sequences.from_strings(["ACGTTGCAGT" * 2] * 2)
    scores = attribute(load_model(tiny_checkpoint), sequences, ["attention"])
    part = partial(trial, load_model(tiny_checkpoint), sequences, scores, Grid.quick(), out=tmp_path / "trial")
    part(share="plan", judging={"resamples": np.int64(200), "levels": (1, 2)})
    part(share=Share(1, 1), judging={"resamples": 200, "levels": [1, 2]})
    with pytest.raises(RunMismatch, match="resamples was 200, now it is 300"):
        part(share="gather", judging={"resamples": 300})
    with pytest.raises(UsageError, match="judging: expected numbers, words"):
        part(share="gather", judging={"resamples": {1, 2}})


@pytest.mark.slow
def test_a_table_that_led_nowhere_may_be_withdrawn_and_loses_no_share(tiny_checkpoint: Path, tmp_path: Path) -> None:
    config, out = write_experiment(tmp_path, tiny_checkpoint), tmp_path / "run"
    keys = ["attribution.methods=['lrp']"]
    wrong = [*keys, "motifs.test=true", "motifs.families=['GATA1']", "motifs.label=7"]
    pipeline.work(config, out, "plan", keys)
    pipeline.work(config, out, Share(1, 2), keys)
    with pytest.raises(UnknownName, match=r"class .7."):
        pipeline.work(config, out, "plan", wrong)
    with pytest.raises(RunMismatch, match=r"motifs\.\w+ was \S+, now it is absent"):
        pipeline.work(config, out, Share(2, 2), keys)
    pipeline.work(config, out, "plan", keys)
    parts = out / "tasks" / "mine" / "outcomes" / "parts"
    made = {path.name: path.stat().st_mtime_ns for path in parts.glob("0*")}
    assert made
    pipeline.work(config, out, Share(2, 2), keys)
    assert made.items() <= {path.name: path.stat().st_mtime_ns for path in parts.glob("0*")}.items()
    pipeline.work(config, out, "gather", keys)
    whole = results(out)
    with pytest.raises(UnknownName, match=r"class .7."):
        pipeline.run(config, out, wrong)
    pipeline.run(config, out, keys)
    assert results(out) == whole
    left = out / "tasks" / "mine" / "motifs"
    left.mkdir()
    with pytest.raises(UnknownName, match=r"class .7."):
        pipeline.run(config, out, wrong)
    with pytest.raises(
        RunError, match="motifs holds a test of motifs that was begun, and the config asks for none now"
    ):
        pipeline.run(config, out, keys)
    left.rmdir()
    pipeline.run(config, out, keys)
    assert results(out) == whole
