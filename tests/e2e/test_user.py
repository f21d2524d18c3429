"""The commands of a user with a model and sequences of their own, and the manners of the command line."""

from __future__ import annotations

import csv
import io
import json
import os
import pty
import re
import shlex
import subprocess
import sys
from collections.abc import Callable, Iterator
from inspect import signature
from pathlib import Path

import numpy as np
import pytest
import typer
from typer.models import CommandInfo

import kmerit as km
from helpers.command import KMERIT, Done, type_command
from helpers.small_run import results, write_experiment, write_sequences
from kmerit.cli.app import app
from kmerit.trials.execution import open_scores


def verbs_of(group: typer.Typer, before: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], CommandInfo]]:
    """Find all verbs, with those below others."""
    for verb in group.registered_commands:
        assert verb.callback is not None
        yield (*before, verb.name or verb.callback.__name__), verb
    for below in group.registered_groups:
        assert below.typer_instance is not None
        yield from verbs_of(below.typer_instance, (*before, str(below.name)))


VERBS = dict(verbs_of(app))


def table(text: str) -> list[dict[str, str]]:
    """Read CSV."""
    return list(csv.DictReader(io.StringIO(text)))


@pytest.fixture
def mine(tmp_path: Path) -> Path:
    """Six labelled sequences of 40 nt."""
    return write_sequences(tmp_path / "mine.csv", count=6)


def test_predict_prints_a_table(kmerit: Callable[..., Done], mine: Path, tiny_checkpoint: Path) -> None:
    process = kmerit("predict", "--model", tiny_checkpoint, "--sequences", mine)
    assert (process.code, process.err) == (0, "")
    model, sequences = km.load_model(tiny_checkpoint), km.read_sequences(mine)
    for row, name, probabilities in zip(table(process.out), sequences.names, model.predict(sequences), strict=True):
        assert row["name"] == name
        assert row["predicted"] == model.labels[int(probabilities.argmax())]
        assert float(row["p(signal)"]) == pytest.approx(probabilities[1], rel=1e-5)


def test_predict_writes_the_same_table(kmerit: Callable[..., Done], mine: Path, tiny_checkpoint: Path) -> None:
    out = mine.with_name("predictions.csv")
    printed = kmerit("predict", "--model", tiny_checkpoint, "--sequences", mine).out
    assert kmerit("predict", "--model", tiny_checkpoint, "--sequences", mine, "--out", out).out == f"{out}\n"
    assert out.read_text() == printed


def test_what_is_dropped_is_told(kmerit: Callable[..., Done], tmp_path: Path, tiny_checkpoint: Path) -> None:
    (tmp_path / "x.fa").write_text(">n\nACGTNACGTA\n>soft\nacgtacgtaA\n>short\nACGTACG\n>kept\nACGTACGTCC\n")
    options = ["--drop-n", "--min-length", "8", "--case", "upper", "--crop", "7", "--anchor", "right"]
    process = kmerit("predict", "--model", tiny_checkpoint, "--sequences", tmp_path / "x.fa", *options)
    assert [row["name"] for row in table(process.out)] == ["soft", "kept"]
    softened, dropped = process.err.splitlines()
    assert "lower-case (soft-masked) letters are read as upper case, in 1 of 4 sequences" in softened
    assert dropped == "Dropped 2 of 4 sequences: 1 with an N, 1 too short."


def test_scores_for_other_programs(kmerit: Callable[..., Done], tmp_path: Path, tiny_checkpoint: Path) -> None:
    fasta, scores = tmp_path / "x.fa", tmp_path / "scores.parquet"
    fasta.write_text(">a locus=chr1:100-112:-\nACGTTGCAACGG\n>b locus=chr2:7-19\nTTGACATTACAG\n")
    process = kmerit(
        *("attribute", "--model", tiny_checkpoint, "--sequences", fasta, "--crop", "10", "--out", scores),
        *("--methods", "lrp,gradient_shap", "--option", "gradient_shap.n_samples=1"),
    )
    assert (process.code, process.out) == (0, f"{scores}\n")
    assert re.fullmatch(r"gradient_shap is withheld: median delta .* above 1 %. Its scores are NaN.\n", process.err)
    export = ("export", "--attributions", scores, "--sequences", fasta, "--crop", "10", "--out", tmp_path / "x")
    process = kmerit(*export, "--method", "lrp", "--to", "bedgraph")
    assert (process.code, process.out, process.err) == (0, f"{tmp_path / 'x'}\n", "")
    result = km.read_attributions(scores)["lrp"].scores
    rows = [line.split("\t") for line in (tmp_path / "x").read_text().splitlines()]
    assert [row[:3] for row in rows[:2]] == [["chr1", "102", "103"], ["chr1", "103", "104"]]  # cropped at its 3' end
    assert [float(row[3]) for row in rows] == pytest.approx([*result[0, ::-1], *result[1]])
    for options, code, message in (
        (["--to", "bed"], 2, "has scores of lrp, gradient_shap. Choose one with --method."),
        (["--to", "bed", "--method", "gradcam"], 2, "Unknown method of this file 'gradcam'"),
        (["--to", "bed", "--method", "gradient_shap"], 1, "Withheld: gradient_shap was withheld: median delta"),
    ):
        process = kmerit(*export, *options)
        assert process.code == code
        assert message in process.err


def test_methods_are_listed_whole_on_a_narrow_screen() -> None:
    listed = {entry["name"]: entry for entry in json.loads(type_command("list", "methods", "--json").out)}
    assert listed["lrp"]["needs"] == ["gradient times by chefer"]
    assert listed["lrp"]["options"] == {"start_layer": 0}
    assert listed["ism"]["level"] == "nucleotide"
    text = type_command("list", "methods", env={**os.environ, "COLUMNS": "80"}).out
    assert max(len(line.rstrip()) for line in text.splitlines()) <= 80
    words = set(text.split())
    for entry in listed.values():
        assert {entry["name"], entry["source"], *entry["summary"].split()} <= words
        assert all(f"{option}=" in text for option in entry["options"])


def test_from_scores_to_a_trial(kmerit: Callable[..., Done], mine: Path, tiny_checkpoint: Path) -> None:
    shared = ["--model", tiny_checkpoint, "--sequences", mine, "--crop", "30"]
    scores, trial = mine.with_name("scores.parquet"), mine.with_name("trial")
    process = kmerit(
        "attribute", *shared, "--methods", "lrp, attention", "--option", "lrp.start_layer=1", "--out", scores
    )
    assert process == Done(0, f"{scores}\n", "")
    options = ["--counts", "0,5,all", "--replicates", "2", "--out", trial]
    process = kmerit("mutate", *shared, "--attributions", scores, *options)
    assert (process.code, process.err) == (0, "")
    rows = table(process.out)
    assert {row["method"] for row in rows} == {"lrp", "attention", "random"}
    assert {row["n"] for row in rows} == {"0", "5", "30"}
    assert {row["label"] for row in rows} == {"0", "1"}
    assert sorted(path.name for path in trial.iterdir()) == [
        "cells.parquet",
        "mutants.parquet",
        "outcomes.json",
        "sequences.parquet",
    ]
    assert kmerit("mutate", *shared, "--attributions", scores, *options) == process


def test_scores_are_checked_in_float64(kmerit: Callable[..., Done], mine: Path, tiny_checkpoint: Path) -> None:
    scores = mine.with_name("scores.parquet")
    shared = ["--model", tiny_checkpoint, "--sequences", mine, "--methods", "full_lrp,random", "--out", scores]
    assert not scores.with_name("scores.check.json").exists()
    process = kmerit("attribute", *shared, "--check", "--check-size", "2")
    assert (process.code, process.out) == (0, f"{scores}\n")
    title, head, full_lrp, random = process.err.splitlines()
    assert title == "float32 against float64:"
    assert head.split()[:2] == ["method", "sequences"]
    assert full_lrp.split()[:2] == ["full_lrp", "2"]
    assert random.split() == ["random", "2", "1.000000", "1.000000", "1.000000", "1.000000", "0"]
    report = json.loads(scores.with_name("scores.check.json").read_text())["methods"]
    assert 0.99 < report["full_lrp"]["spearman"]["min"] <= 1


def test_a_trial_without_labels_asks_what_the_model_called(
    kmerit: Callable[..., Done], tmp_path: Path, tiny_checkpoint: Path
) -> None:
    (tmp_path / "x.fa").write_text(">a\nACGTACGTCCAATG\n>b\nGGTACCATTAGACA\n")
    shared = ["--model", tiny_checkpoint, "--sequences", tmp_path / "x.fa"]
    scores = tmp_path / "scores.parquet"
    assert kmerit("attribute", *shared, "--methods", "rollout", "--target", "1", "--out", scores).code == 0
    process = kmerit("mutate", *shared, "--attributions", scores, "--counts", "0,4", "--out", tmp_path / "trial")
    assert {row["accuracy"] for row in table(process.out) if row["n"] == "0"} == {"1.0"}


def test_a_report_can_be_written_again(kmerit: Callable[..., Done], finished: Path) -> None:
    before = (finished / "report.html").read_bytes()
    (finished / "report.html").unlink()
    assert kmerit("report", finished) == Done(0, f"Report: {finished / 'report.html'}\n", "")
    assert (finished / "report.html").read_bytes() == before


@pytest.mark.parametrize("kind", ["methods", "tasks", "families", "models", "configs", "features"])
def test_lists_for_people_and_machines(kmerit: Callable[..., Done], kind: str) -> None:
    listed = json.loads(kmerit("list", kind, "--json").out)
    text = kmerit("list", kind).out
    assert text.startswith(f"{kind}:\n")
    assert all(re.search(rf"^ +{re.escape(entry['name'])}( |$)", text, re.M) for entry in listed)
    assert json.loads(kmerit("list", "--json").out)[kind] == listed


def test_the_six_scores_and_the_packed_tasks_are_listed(kmerit: Callable[..., Done]) -> None:
    everything = json.loads(kmerit("list", "--json").out)
    methods = {method["name"] for method in everything["methods"]}
    assert {"attention", "rollout", "gradcam", "lrp", "lrp_last", "full_lrp"} <= methods
    assert {task["name"] for task in everything["tasks"] if task["bundled"]} >= {"epdnew_nontata", "ienhancer_2l"}


@pytest.mark.parametrize("verb", VERBS, ids=" ".join)
def test_every_verb_helps_with_an_example(
    kmerit: Callable[..., Done], verb: tuple[str, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    process = kmerit(*verb, "--help")
    assert process.code == 0
    head, shown = re.split("Examples?:", process.out)
    assert f"Usage: kmerit {' '.join(verb)} " in head
    written = re.split("Examples?:", VERBS[verb].callback.__doc__ or "")[1]  # type: ignore[union-attr]
    commands = shown.partition("╭")[0]
    assert [shlex.split(line) for line in _commands(commands)] == [shlex.split(line) for line in _commands(written)]
    piped = [line.rpartition("| ")[2] for line in _commands(commands)]
    assert all(line.startswith(f"kmerit {' '.join(verb)}") for line in piped)
    assert {"--quiet", "--verbose", "-q", "-v"} <= set(process.out.split())


def _commands(text: str) -> list[str]:
    """Undo the folding of commands."""
    return [line.strip() for line in re.sub(r"\\ *\n *", " ", text).splitlines() if line.strip()]


@pytest.mark.parametrize("verb", VERBS, ids=" ".join)
def test_help_swallows_no_word(
    kmerit: Callable[..., Done], verb: tuple[str, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "400")
    callback = VERBS[verb].callback
    assert callback is not None
    written = [callback.__doc__ or ""]
    written += [
        each.help or ""
        for parameter in signature(callback, eval_str=True).parameters.values()
        for each in getattr(parameter.annotation, "__metadata__", ())
    ]
    assert len(written) > 2
    shown = kmerit(*verb, "--help").out.split()
    assert {word for text in written for word in text.split() if word != "\\"} <= set(shown)


def test_the_first_page_names_every_verb(kmerit: Callable[..., Done]) -> None:
    process = kmerit("--help")
    assert process.code == 0
    assert all(f" {verb[0]} " in process.out for verb in VERBS)
    assert kmerit("--version") == Done(0, f"kmerit {km.__version__}\n", "")


def test_the_shell_completes() -> None:
    arguments = {"_KMERIT_COMPLETE": "complete_bash", "COMP_WORDS": "kmerit pre", "COMP_CWORD": "1"}
    assert sorted(type_command(env={**os.environ, **arguments}).out.split()) == ["predict", "pretrain"]


def test_no_colours_outside_a_terminal() -> None:
    environment = {**os.environ, "TERM": "xterm-256color"}
    assert "\x1b" not in type_command("--help", env=environment).out
    assert "\x1b" not in type_command("runn", env=environment).err


def test_a_terminal_sees_bars_and_quiet_none(mine: Path, tiny_checkpoint: Path) -> None:
    command = [str(KMERIT), "predict", "--model", str(tiny_checkpoint), "--sequences", str(mine)]
    assert "predicting" in _on_a_terminal(command)
    assert _on_a_terminal([*command, "--quiet"]) == ""


def _on_a_terminal(command: list[str]) -> str:
    """Run a command whose stderr is a terminal; return what that showed."""
    here, there = pty.openpty()
    subprocess.run(command, stdout=subprocess.DEVNULL, stderr=there, check=True)
    os.close(there)
    shown = b""
    try:
        while part := os.read(here, 4096):
            shown += part
    except OSError:  # Linux says so at the end
        pass
    os.close(here)
    return shown.decode()


def test_a_reader_that_leaves_early_is_no_error(mine: Path, tiny_checkpoint: Path) -> None:
    command = f"{KMERIT} predict --model {tiny_checkpoint} --sequences {mine} | true"
    process = subprocess.run(["bash", "-c", command], capture_output=True, text=True, check=True)
    assert process.stderr == ""


@pytest.mark.parametrize("module", ["kmerit", "kmerit.cli"])
def test_launchers_find_the_command_line_as_a_module(module: str) -> None:
    process = subprocess.run([sys.executable, "-m", module, "--version"], capture_output=True, text=True, check=True)
    assert process.stdout == f"kmerit {km.__version__}\n"
    process = subprocess.run([sys.executable, "-m", module, "--help"], capture_output=True, text=True, check=True)
    assert "Usage: kmerit" in process.stdout.replace("python -m ", "")


@pytest.mark.slow
def test_a_run_that_makes_its_own_model(tmp_path: Path, experiment: Path, tiny_checkpoint: Path) -> None:
    train = write_sequences(tmp_path / "train.csv", count=32)
    config = tmp_path / "finetune.toml"
    text = experiment.read_text().replace('"mine.csv"', f"'{experiment.with_name('mine.csv')}'\ntrain = '{train}'")
    text = text.replace("model = ", "finetune = { batch_size = 8, base = ").replace(
        f"{tiny_checkpoint}'", f"{tiny_checkpoint}' }}"
    )
    config.write_text(text + "\n[training]\nepochs = 1\nbaselines = false\n")
    result = type_command("run", config, "--out", tmp_path / "run")
    assert (result.code, result.out) == (0, f"Report: {tmp_path / 'run' / 'report.html'}\n"), result.err
    about = json.loads((tmp_path / "run" / "tasks" / "mine" / "model.json").read_text())
    assert about["name"] == f"{tiny_checkpoint}, fine-tuned on mine"
    assert about["digest"] != km.load_model(tiny_checkpoint).digest
    assert km.load_model(tmp_path / "run" / "tasks" / "mine" / "model").digest == about["digest"]


def test_a_run_ends_in_report_cards(kmerit: Callable[..., Done], tmp_path: Path, tiny_checkpoint: Path) -> None:
    config = write_experiment(tmp_path, tiny_checkpoint)
    changed = ["trial.counts=[1, 3]", "trial.draws=1", "attribution.methods=['attention']"]
    settings = [part for each in changed for part in ("--set", each)]
    process = kmerit("run", config, "--out", tmp_path / "fair", *settings)
    assert (process.code, process.out) == (0, f"Report: {tmp_path / 'fair' / 'report.html'}\n"), process.err
    cards = (tmp_path / "fair" / "tasks" / "mine" / "cards.md").read_text(encoding="utf-8")
    assert "| background | attention | undecided |" in cards
    assert "at least 10 independent sequences are needed" in cards, cards


def test_scores_of_files_are_put_on_trial(kmerit: Callable[..., Done], tmp_path: Path, tiny_checkpoint: Path) -> None:
    mine = write_sequences(tmp_path / "mine.csv", count=8)
    shared = ["--model", tiny_checkpoint, "--sequences", mine]
    assert kmerit("attribute", *shared, "--methods", "attention,lrp", "--out", tmp_path / "scores.parquet").code == 0
    np.save(tmp_path / "gc.npy", np.random.default_rng(0).random((8, 40)))
    files = ["--attributions", tmp_path / "scores.parquet", "--attributions", f"noise={tmp_path / 'gc.npy'}"]
    small = [part for key in ("counts=[3]", "draws=1", "ism_per_class=0") for part in ("--set", key)]
    small = ["--preset", "quick", *small, "--resamples", "100"]
    command = ["trial", *shared, *files, *small, "--out", tmp_path / "out"]
    process = kmerit(*command)
    assert (process.code, process.out) == (0, f"Report cards: {tmp_path / 'out' / 'cards.md'}\n"), process.err
    assert "Undecided: " in process.err
    cards = json.loads((tmp_path / "out" / "cards.json").read_text(encoding="utf-8"))["cards"]
    assert {card["method"] for card in cards} >= {"attention", "lrp", "noise"}
    before = results(tmp_path / "out")
    assert kmerit(*command).code == 0
    assert results(tmp_path / "out") == before
    other = kmerit(*command, "--seed", "1")
    assert (other.code, "RunMismatch" in other.err) == (1, True)
    alone = kmerit("trial", *shared, *files[:2], *small, "--out", tmp_path / "alone")
    settings = json.loads((tmp_path / "alone" / "outcomes" / "outcomes.json").read_text(encoding="utf-8"))["settings"]
    loaded = open_scores(km.read_attributions(tmp_path / "scores.parquet"), km.read_sequences(mine))
    assert (alone.code, settings["scores_sha256"]) == (0, loaded.digest)
    wrong = kmerit(*command, "--set", "trial.draws=1")
    assert (wrong.code, "kmerit trial takes the key alone, --set KEY=VALUE" in wrong.err) == (2, True)


@pytest.mark.parametrize(
    ("words", "remedy"),
    [
        (
            ("trial", "my.toml", "--out", "x"),
            "kmerit trial takes scores, not a config. Use: kmerit run my.toml --out DIR",
        ),
        (("run", "my.toml", "--quick", "--out", "x"), "--quick is now: --preset quick"),
        (("trial", "--quick", "--out", "x"), "--quick is now: --preset quick"),
    ],
)
def test_older_spellings_are_refused_with_the_new_ones(
    kmerit: Callable[..., Done], words: tuple[str, ...], remedy: str
) -> None:
    process = kmerit(*words)
    assert (process.code, process.out, process.err) == (2, "", f"UsageError: {remedy}\n")
    assert f"Usage: kmerit {words[0]} [OPTIONS]" in kmerit(words[0], "--help").out
    assert "[config]" not in kmerit(words[0], "--help").out
