"""The Snakefile of a run: what it says, what it overwrites, and what Snakemake makes of it."""

import ast
import itertools
import posixpath
import shlex
from pathlib import Path

import pytest
import yaml

from helpers.command import needs_snakemake, run_snakemake
from helpers.small_run import results, write_experiment
from kmerit.cli.app import app
from kmerit.errors import ConfigError, RunMismatch, UsageError
from kmerit.runs import pipeline
from kmerit.runs.settings import load_config
from kmerit.runs.workflow import KUBERNETES, LOCAL, SNAKEFILE, write_workflow

KEYS = ["trial.counts=[1, 3, 'all']", "trial.ism_per_class=1"]


def test_it_writes_the_same_again_and_nothing_over_other_files(tiny_checkpoint: Path, tmp_path: Path) -> None:
    config, out = write_experiment(tmp_path, tiny_checkpoint), tmp_path / "flow"
    first = write_workflow(config, out, 3, KEYS).read_bytes()
    assert write_workflow(config, out, 3, KEYS).read_bytes() == first
    (out / LOCAL).write_text("cores: 1\n", encoding="utf-8")
    with pytest.raises(RunMismatch, match=r"config\.yaml exists with other contents"):
        write_workflow(config, out, 3, KEYS)
    (out / LOCAL).unlink()
    with pytest.raises(RunMismatch, match="Snakefile exists with other contents"):
        write_workflow(config, out, 4, KEYS)
    assert (out / SNAKEFILE).read_bytes() == first
    assert not (out / LOCAL).exists()


@pytest.mark.parametrize(
    ("out", "above", "place"), [("flow", "..", "/data/flow"), ("a/b/flow", "../../..", "/data/a/b/flow")]
)
def test_jobs_find_the_config_in_the_claim(
    tiny_checkpoint: Path, tmp_path: Path, out: str, above: str, place: str
) -> None:
    write_workflow(write_experiment(tmp_path, tiny_checkpoint), tmp_path / out, 2)
    for name in KUBERNETES.values():
        text = (tmp_path / out / name).read_text()
        assert text.startswith(f"# The claim holds what {above} holds, seen from here")
        container = yaml.safe_load(text)["spec"]["template"]["spec"]["containers"][0]
        config = shlex.split(container["command"][2])[2]
        assert container["workingDir"] == place
        assert config.startswith(f"{above}/")
        assert posixpath.normpath(f"{place}/{config}").startswith("/data/")


def test_what_is_wrong_is_refused_before_anything_is_written(tiny_checkpoint: Path, tmp_path: Path) -> None:
    config = write_experiment(tmp_path, tiny_checkpoint)
    with pytest.raises(UsageError, match="--shares: expected a whole number from 1, got 0"):
        write_workflow(config, tmp_path / "flow", 0)
    braces = config.rename(tmp_path / "{a}.toml")
    with pytest.raises(UsageError, match="takes braces in a path for wildcards"):
        write_workflow(braces, tmp_path / "flow", 2)
    braces.rename(config)
    with pytest.raises(ConfigError, match="draw"):
        write_workflow(config, tmp_path / "flow", 2, ["trial.drws=3"])
    assert not (tmp_path / "flow").exists()


def test_files_that_overrides_of_a_bundled_config_name_are_found_from_its_folder(
    tiny_checkpoint: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("my model", "rows/mine.csv", "mine.npy"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text("")
    keys = [
        "tasks.epdnew_nontata.model=my model",
        "tasks.epdnew_nontata.sequences=./rows/mine.csv",
        'tasks.epdnew_nontata.own={"a {b}" = "mine.npy"}',
        "trial.operators=['block(8)', 'infill(my model)']",
        "trial.satellite_per_class=5",
        "tasks.human_enhancers_dedup.model=owner/name",
        f"tasks.human_enhancers_dedup.sequences={tmp_path / 'rows' / 'mine.csv'}",
        "compute.threads=1",
    ]
    snakefile = write_workflow("bundled:demo", tmp_path / "a" / "flow", 2, keys).read_text()
    line = ast.literal_eval(next(line for line in snakefile.splitlines() if "--plan" in line).strip())
    words = shlex.split(line.replace("{{", "{").replace("}}", "}"))
    written = [after for word, after in itertools.pairwise(words) if word == "--set"]
    assert written[-4:] == keys[-4:]
    monkeypatch.chdir(tmp_path / "a" / "flow")
    config = load_config("bundled:demo", written)
    task = config.tasks["epdnew_nontata"]
    assert isinstance(task.own, dict)
    assert task.model is not None
    assert task.sequences is not None
    assert config.trial.operators is not None
    assert Path(task.model).samefile(tmp_path / "my model")
    assert Path(task.sequences).samefile(tmp_path / "rows" / "mine.csv")
    assert Path(task.own["a {b}"]).samefile(tmp_path / "mine.npy")
    assert config.trial.operators[0] == "block(8)"
    assert Path(config.trial.operators[1][7:-1]).samefile(tmp_path / "my model")


def test_it_says_how_many_shares_run_at_once(
    tiny_checkpoint: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    config = str(write_experiment(tmp_path, tiny_checkpoint))
    for threads in (1, 2):
        out = tmp_path / f"flow {threads}"
        app(["workflow", config, "--out", str(out), "--set", f"compute.threads={threads}"], standalone_mode=False)
        assert f"    threads: {threads}\n" in (out / SNAKEFILE).read_text()
        assert ("one share for every 2 of its --cores" in capsys.readouterr().err) == (threads == 2)


@pytest.mark.slow
@needs_snakemake
def test_snakemake_makes_the_bytes_of_a_run(tiny_checkpoint: Path, tmp_path: Path) -> None:
    folder = tmp_path / "it's {a} folder"
    folder.mkdir()
    config, out = write_experiment(folder, tiny_checkpoint), folder / "flow"
    snakefile = write_workflow(config, out, 2, KEYS)
    pipeline.run(config, tmp_path / "whole", KEYS)
    command = ["--snakefile", snakefile, "--cores", "2"]
    run_snakemake(*command, cwd=tmp_path)
    assert results(out / "run") == results(tmp_path / "whole")
    assert "Nothing to be done" in run_snakemake(*command, cwd=tmp_path)
