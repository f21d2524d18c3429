from __future__ import annotations

import json
import shutil
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pyarrow.parquet as pq
import pytest
import torch

from disturbing import inputs
from helpers.checkpoints import write_library
from helpers.small_run import results, write_experiment, write_sequences
from kmerit.errors import MissingExtra, RunError, RunMismatch, UnknownName, UnsupportedMethod
from kmerit.io.readers import read_sequences
from kmerit.io.scores import read_attributions
from kmerit.models import layers
from kmerit.models import model as model_module
from kmerit.runs.pipeline import Run, run
from kmerit.runs.stages import Progress


@pytest.fixture(scope="module")
def made(
    tmp_path_factory: pytest.TempPathFactory, tiny_checkpoint: Path
) -> tuple[Path, dict[str, list[tuple[int, int]]]]:
    """A run, and the progress it told of."""
    message: dict[str, list[tuple[int, int]]] = {}

    @contextmanager
    def watch(title: str) -> Iterator[Progress]:
        steps = message.setdefault(title, [])
        yield lambda done, total: steps.append((done, total))

    threads = torch.get_num_threads()
    folder = tmp_path_factory.mktemp("pipeline")
    config = write_experiment(folder, tiny_checkpoint)
    report = run(config, folder / "run", ["tasks.mine.classes=['off', 'on']", "compute.threads=1"], watch)
    assert report == Run(folder / "run")
    assert report.report.exists()
    assert torch.get_num_threads() == threads
    return folder / "run", message


def test_every_step_is_told_to_its_end(made: tuple[Path, dict[str, list[tuple[int, int]]]]) -> None:
    _, message = made
    assert len(message) == 6
    for title, steps in message.items():
        assert title.startswith("mine: ")
        assert [result for result, _ in steps] == sorted(result for result, _ in steps)
        result, total = steps[-1]
        assert result == total > 0


def test_a_run_gives_what_it_holds(made: tuple[Path, object], tmp_path: Path) -> None:
    result = Run(made[0])
    assert result.tasks == ("mine",)
    verdicts = result.verdicts()
    assert set(verdicts["task"]) == {"mine"}
    assert set(verdicts["method"]) >= {"attention", "lrp"}
    assert len(result.summary()) > len(verdicts)
    assert result.outcomes().names == result.sequences().names
    assert set(read_attributions(result.scores("mine"))) == set(verdicts["method"])
    assert result.model().n_classes == 2
    with pytest.raises(UnknownName, match="yours"):
        result.scores("yours")
    with pytest.raises(RunError, match="holds no run"):
        Run(tmp_path).verdicts()
    (tmp_path / "config.toml").write_bytes((made[0] / "config.toml").read_bytes())
    with pytest.raises(RunError, match="has no verdicts of mine yet"):
        Run(tmp_path).verdicts()


def test_trial_and_choice_use_different_sequences(made: tuple[Path, object]) -> None:
    task = made[0] / "tasks" / "mine"
    sample, validation = (read_sequences(task / f"{name}.parquet") for name in ("sequences", "validation"))
    assert sample.labels is not None
    assert sorted(sample.labels) == [0] * 4 + [1] * 4
    assert not set(sample.names) & set(validation.names)
    choice = json.loads((task / "choice.json").read_text())
    assert choice["sequences"] == len(validation) == 8
    assert set(choice["lrp_star"]) == {"0", "1"}


def test_what_a_reader_must_know_stands_beside_the_numbers(made: tuple[Path, object]) -> None:
    task = made[0] / "tasks" / "mine"
    info = json.loads((task / "info.json").read_text())
    assert info["classes"] == ["off", "on"]
    assert set(info["flags"]) == {"attention", "rollout", "gradcam", "lrp", "lrp_last", "full_lrp"}
    scores = pq.read_table(task / "attributions.parquet").to_pandas()
    zero = scores[scores["method"] == "lrp_last"]["zero"].sum()
    assert sum(counts["zero"] for counts in info["flags"]["lrp_last"].values()) == zero
    assert all(counts["sequences"] == 4 for counts in info["flags"]["gradcam"].values())
    relevant = scores[scores["method"] == "lrp"]["relevance_sum"].to_numpy()
    parts = [counts["relevance_sum"] for counts in info["flags"]["lrp"].values()]
    assert sum(parts) / 2 == pytest.approx(relevant.mean(), rel=1e-6)
    assert info["flags"]["attention"]["0"]["relevance_sum"] is None
    agreement = info["flags"]["lrp"]["0"]["float64"]
    assert agreement["sequences"] == 4
    assert 0.9 < agreement["min"] <= agreement["median"] <= 1
    assert 0.5 <= info["default_label_rate"] <= 1
    assert info["dropped"]["rows"] == 24
    assert {"code": "foreign_model", "values": {"leaks": "unknown"}} in info["notes"]


def test_the_whole_test_split_is_measured(made: tuple[Path, object]) -> None:
    task = made[0] / "tasks" / "mine"
    predictions = pq.read_table(task / "predictions.parquet").to_pandas()
    metrics = json.loads((task / "metrics.json").read_text())["test"]
    assert metrics["rows"] == len(predictions) == 24
    assert metrics["accuracy"]["value"] == (predictions["label"] == predictions["predicted"]).mean()


def test_the_manifest_names_what_was_used(made: tuple[Path, object]) -> None:
    manifest = json.loads((made[0] / "manifest.json").read_text())
    assert manifest["versions"]["torch"] == torch.__version__
    model = json.loads((made[0] / "tasks" / "mine" / "model.json").read_text())
    assert manifest["tasks"]["mine"]["model"] == model
    assert set(manifest["tasks"]["mine"]["data"]) == {"test", "sequences", "validation"}


@pytest.mark.slow
@pytest.mark.skipif(not layers._CAN_PACK, reason="this build of torch has no packed products")
def test_a_run_keeps_the_products_it_began_with(
    tmp_path: Path, tiny_checkpoint: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = write_experiment(tmp_path, tiny_checkpoint)
    keys = ["attribution.methods=['rollout']"]
    monkeypatch.setattr(model_module, "fastest", lambda *of: "plain")
    run(config, tmp_path / "plain", keys)
    run(config, tmp_path / "begun", keys, until="model")
    monkeypatch.setattr(model_module, "fastest", lambda *of: "packed")
    run(config, tmp_path / "begun", keys)
    run(config, tmp_path / "packed", keys)
    run(config, tmp_path / "elsewhere", keys, until="model")
    assert results(tmp_path / "packed") != results(tmp_path / "plain") == results(tmp_path / "begun")
    manifest = json.loads((tmp_path / "begun" / "manifest.json").read_text())
    assert manifest["tasks"]["mine"]["model"]["products"] == "plain"
    monkeypatch.setattr(layers, "_CAN_PACK", False)
    with pytest.raises(RunMismatch, match="products was 'packed', now it is 'plain'"):
        run(config, tmp_path / "elsewhere", keys)


def test_no_result_tells_the_time(made: tuple[Path, object]) -> None:
    text = (made[0] / "run.log").read_text()
    assert text.count("mine: ") == 9
    year = text[:5]
    for path in made[0].rglob("*.json"):
        assert year not in path.read_text()


def test_without_sequences_to_choose_on_there_is_no_lrp_star(tmp_path: Path, tiny_checkpoint: Path) -> None:
    config = write_experiment(tmp_path, tiny_checkpoint)
    write_sequences(tmp_path / "mine.csv", count=8)
    run(config, tmp_path / "run", ["attribution.methods=['lrp', 'lrp_last']"])
    task = tmp_path / "run" / "tasks" / "mine"
    assert json.loads((task / "choice.json").read_text())["lrp_star"] == {}
    assert {"code": "no_lrp_star", "values": {}} in json.loads((task / "info.json").read_text())["notes"]


def test_other_weights_under_the_same_name_are_noticed(tmp_path: Path, tiny_checkpoint: Path) -> None:
    from safetensors.torch import load_file, save_file

    model = tmp_path / "model"
    model.mkdir()
    for name in ("config.json", "model.safetensors"):
        (model / name).write_bytes((tiny_checkpoint / name).read_bytes())
    config = write_experiment(tmp_path, model)
    run(config, tmp_path / "run", ["attribution.methods=['attention']"])
    weights = load_file(model / "model.safetensors")
    weights["classifier.bias"] = weights["classifier.bias"] + 1
    save_file(weights, model / "model.safetensors")
    (tmp_path / "run" / "tasks" / "mine" / "attributions.parquet").unlink()
    with pytest.raises(RunMismatch, match="changed since the work began"):
        run(config, tmp_path / "run", ["attribution.methods=['attention']"])


def test_a_finished_run_is_of_what_it_was_made_of(
    tmp_path: Path, tiny_checkpoint: Path, caplog: pytest.LogCaptureFixture
) -> None:
    model = Path(shutil.copytree(tiny_checkpoint, tmp_path / "model"))
    config = write_experiment(tmp_path, model)
    config.write_text(config.read_text().replace(str(model), "model"))
    options = ["attribution.methods=['attention']"]
    report = run(config, tmp_path / "run", options).report
    written = report.read_bytes()
    for path in (tmp_path / "mine.csv", model / "model.safetensors", model / "config.json"):
        whole = path.read_bytes()
        path.write_bytes(whole[:-40] + whole[-40:].swapcase())
        with pytest.raises(RunMismatch, match=rf"tasks\.mine\.(sequences|model) \({tmp_path}.*\) has changed since"):
            run(config, tmp_path / "run", options)
        path.write_bytes(whole)
    (tmp_path / "mine.csv").rename(tmp_path / "gone.csv")
    run(config, tmp_path / "run", options)
    assert "mine.csv) is missing; the results made from it are kept" in caplog.text
    model.rename(tmp_path / "elsewhere")
    report.unlink()
    run(config, tmp_path / "run", options)
    assert "model) is missing; the results made from it are kept" in caplog.text
    assert report.read_bytes() == written


@pytest.mark.slow
@pytest.mark.parametrize("name", ["vocab.txt", "training.json", "training_log.json", "sources.json"])
def test_what_was_damaged_of_a_model_that_the_run_made_is_made_again(name: str, tmp_path: Path) -> None:
    inputs(tmp_path)
    out = tmp_path / "out"
    run(tmp_path / "tuned.toml", out)
    whole = results(out)
    for damage in (lambda path: path.write_bytes(path.read_bytes()[:-1]), lambda path: path.unlink()):
        damage(out / "tasks" / "mine" / "model" / name)
        run(tmp_path / "tuned.toml", out)
        assert results(out) == whole


def test_an_error_before_any_work_leaves_no_folder(
    tmp_path: Path, tiny_checkpoint: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*arguments: object, **options: object) -> None:
        raise UnsupportedMethod("no")

    config = write_experiment(tmp_path, tiny_checkpoint)
    with monkeypatch.context() as patched:
        patched.setattr("kmerit.models.model.load_model", refuse)
        with pytest.raises(UnsupportedMethod):
            run(config, tmp_path / "run")
    assert not (tmp_path / "run").exists()
    with monkeypatch.context() as patched:
        patched.setattr("kmerit.attribution.attribute.attribute", refuse)
        with pytest.raises(UnsupportedMethod):
            run(config, tmp_path / "run")
    assert (tmp_path / "run" / "tasks" / "mine" / "metrics.json").exists()


LEAKY = """
[tasks.ienhancer_2l]
model = "bundled:enhancer"
[data]
per_class = 2
[attribution]
methods = ["attention"]
[trial]
preset = "paper"
counts = [0, 2]
draws = 1
random_sets = 1
[statistics]
resamples = 100
[compute]
threads = 1
"""


def test_the_audit_reaches_the_row_of_the_class(tmp_path: Path) -> None:
    config = tmp_path / "leaky.toml"
    config.write_text(LEAKY)
    page = run(config, tmp_path / "run").report.read_text(encoding="utf-8")
    folder = tmp_path / "run" / "tasks" / "ienhancer_2l"
    line = "leaked: 49.5 % of enhancer test rows are copies of training rows"
    assert f'<span class="note audit">{line}</span></th>' in page
    audit = json.loads((folder / "audit.json").read_text())
    assert (audit["findings"][0]["code"], audit["findings"][0]["where"]) == ("copied", "enhancer")
    assert audit["splits"] == {"train": 2474, "test": 400}


def test_motifs_may_be_added_to_a_finished_run(tmp_path: Path, tiny_checkpoint: Path) -> None:
    config, out = write_experiment(tmp_path, tiny_checkpoint), tmp_path / "run"
    run(config, out)
    task, before = out / "tasks" / "mine", results(out)
    assert json.loads((task / "hits.json").read_text())["source"] == ""
    sentence = (out / "run.log").read_text().count("done before")
    run(config, out, ["motifs.match=0.6"])
    assert json.loads((task / "hits.json").read_text())["source"].startswith(
        "jaspar2024_vertebrates.meme, at least 60%"
    )
    changed = {name for name, digest in results(out).items() if before[name] != digest}
    assert {"config.toml", "tasks/mine/hits.json", "stages/mine.motifs.json", "report.html"} <= changed
    assert not any(
        name.startswith(("tasks/mine/outcomes", "tasks/mine/summary", "stages/mine.trial")) for name in changed
    )
    assert (out / "run.log").read_text().count("done before") == sentence + 8
    with pytest.raises(RunMismatch, match=r"motifs.match was 0.6, now it is 0.7"):
        run(config, out, ["motifs.match=0.7"])


def finetuning(folder: Path, base: str, methods: str) -> Path:
    """A config that fine-tunes first."""
    write_sequences(folder / "mine.csv", 8)
    path = folder / "run.toml"
    path.write_text(
        f'[tasks.mine]\nsequences = "mine.csv"\ntrain = "mine.csv"\nfinetune = {{ base = "{base}", epochs = 1 }}\n'
        f'[attribution]\nmethods = ["{methods}"]\n[trial]\ncounts = [0, 1]\n[compute]\ndevice = "cpu"\n'
    )
    return path


def test_what_a_trained_model_could_not_do_shows_before_it_is_trained(tmp_path: Path) -> None:
    write_library(tmp_path / "roberta", "roberta")
    config = finetuning(tmp_path, str(tmp_path / "roberta"), "full_lrp")
    with pytest.raises(UnsupportedMethod, match="full_lrp"):
        run(config, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_a_missing_package_shows_before_a_model_is_trained(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for package, method, changes in (
        ("tangermeme", "deep_lift", []),
        ("peft", "random", ["tasks.mine.finetune.lora.rank=2"]),
        ("accelerate", "random", []),
    ):
        with monkeypatch.context() as patch:
            patch.setitem(sys.modules, package, None)
            with pytest.raises(MissingExtra, match=package):
                run(finetuning(tmp_path, "bundled:encoder", method), tmp_path / "out", changes)
        assert not (tmp_path / "out").exists()
