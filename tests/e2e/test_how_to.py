"""The pages of the manual whose code is to run as it stands."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import kmerit as km
from helpers.command import needs_snakemake, run_snakemake, type_command
from helpers.small_run import results
from kmerit.biology.variants import Reason
from kmerit.trials.measures import excesses
from kmerit.trials.outcomes import write_outcomes

HOW_TO = Path(__file__).resolve().parents[2] / "docs" / "how-to"


def python_of(page: Path) -> list[str]:
    return re.findall(r"^```python\n(.*?)^```$", page.read_text(encoding="utf-8"), re.M | re.S)


def run(block: str, names: dict[str, Any]) -> None:
    exec(compile(block, "page.md", "exec"), names)


def test_tangermeme(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    page = HOW_TO / "tangermeme.md"
    blocks = python_of(page)
    assert len(blocks) == 7
    names: dict[str, Any] = {"__name__": "page"}
    for block in blocks:
        run(block, names)
    sentence = re.search(r"median delta: (\d+)% without", page.read_text(encoding="utf-8"))
    assert sentence
    assert abs(100 * names["without_rules"] - int(sentence[1])) < 1
    assert names["own"].shape == (2, 40)
    assert np.load("modisco/shap.npz")["arr_0"].shape == (2, 4, 40)


@pytest.mark.slow
@pytest.mark.parametrize("page", ["own-scores.md", "any-torch-model.md"])
def test_other_programs_scores_and_models(page: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    names: dict[str, Any] = {"__name__": "page"}
    for block in python_of(HOW_TO / page):
        run(block, names)
    assert len(names["cards"]) >= 2
    if page == "own-scores.md":
        own, captum = names["scores"]["input_x_gradient"], names["captum"]
        assert captum.shape == (4, 4, 251)
        assert {each.method for each in names["cards"]} >= {"captum", own.method}
        assert set(names["both"]["gc"].scores.ravel().tolist()) == {0, 1}
    else:
        assert names["ablated"].shape == (2, 97)
        effects = (names["after"] - names["before"][:, None, None])[..., 1]
        assert effects.shape == (2, 4, 100)


def test_regression(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    names: dict[str, Any] = {"__name__": "page"}
    for block in python_of(HOW_TO / "regression.md"):
        run(block, names)
    cards = names["cards"]
    for method in ("input_x_gradient", "negative(input_x_gradient)"):
        assert cards["activity", method].verdict == "faithful"
    parts = ["input", "special", "bias", "norm_offset", "position", "softmax", "reference"]
    table = names["table"]
    np.testing.assert_allclose(table[parts].sum(axis=1), table["output"] - table["output_reference"], atol=1e-9)


@pytest.fixture
def mine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, tiny_checkpoint: Path) -> km.Sequences:
    """A folder with the model and the sequences that the pages speak of."""
    monkeypatch.chdir(tmp_path)
    for name in ("my-model", "my-dnabert"):
        (tmp_path / name).symlink_to(tiny_checkpoint)
    letters = np.random.default_rng(0).choice(list("ACGT"), (6, 100))
    rows = [f"s{i},{''.join(row)},{i % 2}" for i, row in enumerate(letters)]
    Path("my.csv").write_text("\n".join(["name,sequence,label", *rows, ""]))
    return km.read_sequences("my.csv")


def test_your_own_model(mine: km.Sequences) -> None:
    names: dict[str, Any] = {}
    for block in python_of(HOW_TO / "your-own-model-and-data.md"):
        run(block, names)
    assert names["scores"]["lrp"].scores.size == 600
    assert set(names["outcomes"].names) == set(mine.names)


def test_read_and_doubt(mine: km.Sequences, capsys: pytest.CaptureFixture[str]) -> None:
    trial, by_hand = python_of(HOW_TO / "read-and-doubt-a-verdict.md")
    names: dict[str, Any] = {"model": km.load_model("my-model"), "sequences": mine}
    run(trial, names)
    assert capsys.readouterr().out.count("\n") == 4
    write_outcomes(names["outcomes"], "outcomes")
    run(by_hand, names)
    message = excesses(names["outcomes"]).query(
        "condition == 'all' and method == 'lrp' and control == 'random' and operator == 'random_other' "
        "and order == 'morf' and measure == 'logit' and n == 'aopc'"
    )
    for row in message.itertuples():
        assert names["excess"][mine.labels == row.label].mean() == pytest.approx(row.value)
    assert len(message) == 2


def test_variants(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    monkeypatch.chdir(tmp_path)
    names: dict[str, Any] = {}
    for block in python_of(HOW_TO / "variants.md"):
        run(block, names)
    table = names["effects"].table
    assert names["effects"].counts == {"symbolic_allele": 1, "window_over_end": 1}
    assert table["difference"].notna().sum() == 4
    assert table["ism_first_order"].notna().tolist() == [True, True, False, True, False, False]
    page = (HOW_TO / "variants.md").read_text(encoding="utf-8")
    assert all(f"`{reason.value}`" in page for reason in Reason)


def test_measured_truth(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    names: dict[str, Any] = {}
    for block in python_of(HOW_TO / "measured-truth.md"):
        run(block, names)
    judged = names["judged"]
    assert judged.elements.set_index("element")["judges"].to_dict() == {"promoter": True, "enhancer": False}
    pooled = judged.pooled.set_index("method")
    assert pooled.loc["random", "high"] < 0
    assert pooled.loc["input_x_gradient", "value"] > pooled.loc["random", "value"]


def test_audit(mine: km.Sequences) -> None:
    names: dict[str, Any] = {"train": mine, "test": mine.take([0, 1, 2])}
    for block in python_of(HOW_TO / "audit.md"):
        run(block, names)
    assert names["result"].classes["1"]["test_rows_copied_from_train"] == 1


@pytest.mark.slow
def test_a_run_in_shares(tmp_path: Path, experiment: Path, undisturbed: dict[str, str]) -> None:
    page = (HOW_TO / "cluster.md").read_text(encoding="utf-8")
    printed = []
    for line in filter(None, page.split("```")[1].splitlines()):
        program, *words = line.replace("results/demo", str(tmp_path)).replace("bundled:demo", str(experiment)).split()
        done = type_command(*words)
        assert (program, done.code) == ("kmerit", 0), done.err
        printed.append(done.out.split(":")[0])
    assert printed == ["Plan", "Share 1/2", "Share 2/2", "Report"]
    assert results(tmp_path) == undisturbed


@pytest.mark.slow
@needs_snakemake
def test_a_run_by_snakemake(tmp_path: Path, experiment: Path, undisturbed: dict[str, str]) -> None:
    page = (HOW_TO / "cluster.md").read_text(encoding="utf-8")
    block = next(each for each in page.split("```") if "--cores 2" in each)
    programs = []
    for line in filter(None, block.splitlines()):
        page_line = line.replace("results/flow", str(tmp_path / "flow")).replace("bundled:demo", str(experiment))
        program, *words = page_line.split()
        programs.append(program)
        if program == "snakemake":
            run_snakemake(*words, cwd=tmp_path)
        else:
            assert type_command(*words, cwd=tmp_path).code == 0
    assert programs == ["kmerit", "snakemake"]
    assert results(tmp_path / "flow" / "run") == undisturbed
