"""A verb's command in a config: made in shares by kmerit work, and by Snakemake."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
import torch
import yaml

from helpers.command import needs_snakemake, run_snakemake
from helpers.planted_head import planted_windows, write_planted
from helpers.small_run import results, write_experiment, write_sequences
from kmerit.cli.app import app
from kmerit.errors import ConfigError, FormatError, RunError, RunMismatch, UsageError
from kmerit.io.motifs import bundled_motifs
from kmerit.io.readers import write_sequences as write_sequences_with_loci
from kmerit.runs.commands import command_of
from kmerit.runs.workflow import KUBERNETES, write_workflow

SCORES = "attribute --model '{model}' --sequences mine.csv --methods attention,lrp --check --check-size 3 --device cpu"
TRIAL = (
    "trial --model '{model}' --sequences mine.csv --attributions scores.parquet --preset quick --set counts=[3] "
    "--set ism_per_class=1 --resamples 100 --device cpu"
)


def kmerit(*words: str) -> None:
    """Run the command line in this process."""
    app(list(words), standalone_mode=False)


@pytest.fixture
def folder(tmp_path: Path, tiny_checkpoint: Path) -> Path:
    """A folder with sequences and the configs of two commands."""
    write_sequences(tmp_path / "mine.csv")
    for name, command in (("scores", SCORES), ("trial", TRIAL)):
        (tmp_path / f"{name}.toml").write_text(f'command = "{command.format(model=tiny_checkpoint)}"\n')
    return tmp_path


def test_a_verb_in_shares_leaves_what_the_verb_leaves(
    folder: Path, tiny_checkpoint: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def shares(config: str, out: str) -> None:
        for part in (["--plan"], ["--shard", "2/2"], ["--shard", "1/2"], ["--gather"]):
            kmerit("work", str(folder / config), "--out", str(folder / out), *part, "--quiet")

    threads = torch.get_num_threads()
    shares("scores.toml", "shared/scores.parquet")  # from another folder than that of the config
    assert torch.get_num_threads() == threads
    text = capsys.readouterr().out
    assert [line.split(":")[0] for line in text.splitlines()[:3]] == ["Plan", "Share 2/2", "Share 1/2"]
    monkeypatch.chdir(folder)
    words = command_of("scores.toml").words  # type: ignore[union-attr]
    (folder / "whole").mkdir()
    kmerit(*words, "--out", "whole/scores.parquet", "--quiet")
    for name in ("scores.parquet", "scores.check.json"):
        assert (folder / "shared" / name).read_bytes() == (folder / "whole" / name).read_bytes()
    (folder / "whole" / "scores.parquet").rename("scores.parquet")
    shares("trial.toml", "judged")
    kmerit(*command_of("trial.toml").words, "--out", "judged at once", "--quiet")  # type: ignore[union-attr]
    assert results(folder / "judged") == results(folder / "judged at once")


def test_parts_of_a_trial_are_judged_as_planned(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(folder)
    kmerit(*command_of("scores.toml").words, "--out", "scores.parquet", "--quiet")  # type: ignore[union-attr]
    planned = Path("trial.toml").read_text()
    other = planned.replace("--resamples 100", "--resamples 150")
    assert other != planned

    def part(text: str, *words: str) -> None:
        Path("trial.toml").write_text(text)
        kmerit("work", "trial.toml", "--out", "judged", *words, "--quiet")

    part(planned, "--plan")
    refused = (
        r"judged/outcomes/parts/last_step\.json holds a plan with other settings: resamples was 100, now it is 150\. "
        r"Give what was planned, or make the plan again: kmerit work trial\.toml --out judged --plan$"
    )
    before = results(folder / "judged")
    for words in (["--shard", "1/1"], ["--gather"]):
        with pytest.raises(RunMismatch, match=refused):
            part(other, *words)
    assert results(folder / "judged") == before
    part(planned, "--shard", "1/1")
    with pytest.raises(RunMismatch, match=refused):
        part(other, "--gather")
    part(other, "--plan")  # the shares do not depend on it
    with pytest.raises(RunMismatch, match="resamples was 150, now it is 100"):
        part(planned, "--gather")
    part(other, "--gather")
    words = command_of("trial.toml").words  # type: ignore[union-attr]
    kmerit(*words, "--out", "whole", "--quiet")
    assert results(folder / "judged") == results(folder / "whole")
    part(planned, "--gather")  # when all is there, it judges again, as the verb does
    kmerit(*command_of("trial.toml").words, "--out", "whole", "--quiet")  # type: ignore[union-attr]
    assert results(folder / "judged") == results(folder / "whole")


def test_the_verb_itself_is_not_held_to_the_plan_of_its_verdicts(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(folder)
    kmerit(*command_of("scores.toml").words, "--out", "scores.parquet", "--quiet")  # type: ignore[union-attr]
    kmerit("work", "trial.toml", "--out", "judged", "--plan", "--quiet")
    kmerit("work", "trial.toml", "--out", "judged", "--shard", "1/2", "--quiet")
    words = [word.replace("100", "150") for word in command_of("trial.toml").words]  # type: ignore[union-attr]
    for out in ("judged", "whole"):
        kmerit(*words, "--out", out, "--quiet")
    assert results(folder / "judged") == results(folder / "whole")


def test_a_plan_without_a_record_of_the_last_step_is_gathered(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(folder)
    kmerit(*command_of("scores.toml").words, "--out", "scores.parquet", "--quiet")  # type: ignore[union-attr]
    kmerit("work", "trial.toml", "--out", "judged", "--plan", "--quiet")
    (folder / "judged" / "outcomes" / "parts" / "last_step.json").unlink()  # as plans of before are
    for part in (["--shard", "1/1"], ["--gather"]):
        kmerit("work", "trial.toml", "--out", "judged", *part, "--quiet")
    assert not (folder / "judged" / "outcomes" / "parts").exists()


@pytest.mark.slow
def test_motifs_and_heads_in_shares_leave_what_the_verb_leaves(
    folder: Path, tiny_checkpoint: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(folder)
    write_sequences_with_loci(planted_windows(60), folder / "windows.parquet")
    (folder / "study.toml").write_text(
        f"""
        windows.sequences = "windows.parquet"
        features = [{{feature = "gc"}}]
        stages = [{{name = "mine", model = "{write_planted(folder)}"}}]
        untrained.seeds = 0
        tests.draws = 20
        ablation.dose = 1
        """
    )
    scores = ["--model", str(tiny_checkpoint), "--sequences", "mine.csv", "--methods", "lrp", "--target", "1"]
    kmerit("attribute", *scores, "--out", "scores.parquet", "--quiet")
    verbs = {
        "heads": "heads study.toml --device cpu",
        "motifs": f"motifs --sequences mine.csv --attributions scores.parquet --model '{tiny_checkpoint}' --label 1 "
        f"--meme '{bundled_motifs()}'",
    }
    for name, command in verbs.items():
        (folder / f"{name}.toml").write_text(f'command = "{command}"\n')
        for part in (["--plan"], ["--shard", "2/2"], ["--shard", "1/2"], ["--gather"]):
            kmerit("work", f"{name}.toml", "--out", f"shared/{name}", *part, "--quiet")
        kmerit(*command_of(f"{name}.toml").words, "--out", f"whole/{name}", "--quiet")  # type: ignore[union-attr]
        assert results(folder / "shared" / name) == results(folder / "whole" / name)
        snakefile = write_workflow(folder / f"{name}.toml", folder / f"{name} flow", 2).read_text()
        assert f"--out {name} --shard" in snakefile
    (folder / "motifs.toml").write_text('command = "motifs bundled:demo"\n')
    with pytest.raises(UsageError, match="give --run or saved scores in place of a config"):
        kmerit("work", "motifs.toml", "--out", "other", "--plan")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            'command = "predict --model x"',
            "expected a verb that can be made in shares, attribute, trial, variants, motifs, heads, got 'predict'",
        ),
        ('command = ""', "got ''"),
        ('command = "attribute --sequences \'x"', "is not a command"),
        ('command = "attribute --out=x"', "leave out --out"),
        ('command = "attribute --help"', "leave out --help"),
        ('command = "trial -h"', "leave out -h"),
        ('command = "attribute"\nthreads = 0', "threads"),
        ('command = "attribute"\nseed = 1', "seed"),
    ],
)
def test_what_is_wrong_is_refused(text: str, message: str, tmp_path: Path) -> None:
    (tmp_path / "x.toml").write_text(text)
    with pytest.raises(ConfigError, match=message):
        kmerit("work", str(tmp_path / "x.toml"), "--out", str(tmp_path / "x.parquet"), "--plan")
    assert [path.name for path in tmp_path.iterdir()] == ["x.toml"]


def test_a_share_without_a_plan_names_the_command_of_the_user(
    folder: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.chdir(folder)
    kmerit(*command_of("scores.toml").words, "--out", "scores.parquet", "--quiet")  # type: ignore[union-attr]
    before = sorted(folder.iterdir())
    for config, out in (("scores.toml", "a b.parquet"), ("trial.toml", "judged")):
        remedy = re.escape(f"Make it first: kmerit work {config} --out {shlex.quote(out)} --plan") + "$"
        for part in (["--shard", "1/2"], ["--gather"]):
            with pytest.raises(RunError, match=remedy):
                kmerit("work", config, "--out", out, *part, "--quiet")
    assert sorted(folder.iterdir()) == before
    kmerit("work", "trial.toml", "--out", "judged", "--plan", "--quiet")
    with pytest.raises(RunError, match=r"kmerit work trial\.toml --out judged --shard i/N$"):
        kmerit("work", "trial.toml", "--out", "judged", "--gather", "--quiet")
    write_experiment(tmp_path, tmp_path)
    with pytest.raises(RunError, match=r"has no plan yet .* work small\.toml --out r --set data\.per_class=2 --plan$"):
        kmerit("work", "small.toml", "--out", "r", "--shard", "1/2", "--set", "data.per_class=2", "--quiet")


def test_a_part_that_is_stopped_says_so_by_its_exit_code(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["work", str(folder / "scores.toml"), "--out", str(folder / "scores.parquet"), "--quiet"]
    kmerit(*words, "--plan")
    capsys.readouterr()

    def stop(*args: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr("kmerit.attribution.attribute._score", stop)
        assert app([*words, "--shard", "1/1"], standalone_mode=False) == 130
    shown = capsys.readouterr()
    assert shown.out == ""
    assert shown.err.count("Stopped; no file is incomplete.") == 1
    for part in (["--shard", "1/1"], ["--gather"]):
        kmerit(*words, *part)
    assert (folder / "scores.parquet").is_file()


@pytest.mark.parametrize("part", [["--plan"], ["--shard", "1/2"], ["--gather"]])
def test_a_folder_in_the_place_of_a_file_of_scores_is_refused(folder: Path, part: list[str]) -> None:
    (folder / "scores.parquet").mkdir()
    with pytest.raises(RunError, match=r"scores\.parquet exists, but is not a file"):
        kmerit("work", str(folder / "scores.toml"), "--out", str(folder / "scores.parquet"), *part, "--quiet")
    assert not (folder / "scores.parquet.parts").exists()


def test_a_plan_reads_the_motifs(folder: Path, tiny_checkpoint: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(folder)
    kmerit(*command_of("scores.toml").words, "--out", "scores.parquet", "--quiet")  # type: ignore[union-attr]
    (folder / "cut.meme").write_text(bundled_motifs().read_text()[:2000])
    command = "motifs --sequences mine.csv --attributions scores.parquet --label 1 --meme cut.meme"
    (folder / "motifs.toml").write_text(f'command = "{command}"\n')
    with pytest.raises(FormatError, match=r"cut\.meme"):
        kmerit("work", "motifs.toml", "--out", "motifs", "--plan", "--quiet")
    assert not (folder / "motifs").exists()


def test_presets_and_overrides_belong_to_experiments(folder: Path) -> None:
    for words in (["--preset", "quick"], ["--set", "seed=1"]):
        with pytest.raises(ConfigError, match="are for experiments"):
            kmerit("work", str(folder / "scores.toml"), "--out", str(folder / "x.parquet"), "--plan", *words)


@pytest.mark.slow
def test_the_jobs_for_kubernetes_make_the_scores(folder: Path) -> None:
    write_workflow(folder / "scores.toml", folder / "it's {a} flow", 2)
    kmerit("attribute", *_words(folder)[1:], "--out", str(folder / "scores.parquet"), "--quiet")
    bin_folder = folder / "bin"
    bin_folder.mkdir()
    (bin_folder / "kmerit").write_text(f"#!/bin/sh\nexec '{sys.executable}' -m kmerit.cli \"$@\"\n")
    (bin_folder / "kmerit").chmod(0o755)
    for step, index in (("plan", 0), ("share", 1), ("share", 0), ("gather", 0)):
        job = yaml.safe_load((folder / "it's {a} flow" / KUBERNETES[step]).read_text())
        spec = job["spec"]["template"]["spec"]
        assert (job["spec"].get("completions"), job["spec"].get("completionMode")) == (
            (2, "Indexed") if step == "share" else (None, None)
        )
        assert spec["containers"][0]["workingDir"] == "/data/it's {a} flow"
        subprocess.run(
            spec["containers"][0]["command"],
            cwd=folder / "it's {a} flow",
            env={**os.environ, "PATH": f"{bin_folder}:{os.environ['PATH']}", "JOB_COMPLETION_INDEX": str(index)},
            check=True,
            capture_output=True,
            timeout=300,
        )
    result = folder / "it's {a} flow" / "scores.parquet"
    assert result.read_bytes() == (folder / "scores.parquet").read_bytes()


def _words(folder: Path) -> list[str]:
    """The command of the scores, its files named from here."""
    config = command_of(folder / "scores.toml")
    assert config is not None
    return [str(folder / word) if word.endswith(".csv") else word for word in config.words]


@needs_snakemake
@pytest.mark.slow
def test_its_workflow_makes_the_scores(folder: Path) -> None:
    snakefile = write_workflow(folder / "scores.toml", folder / "flow", 2)
    run_snakemake("--snakefile", snakefile, "--cores", "2", cwd=folder)
    assert (folder / "flow" / "scores.parquet").is_file()
