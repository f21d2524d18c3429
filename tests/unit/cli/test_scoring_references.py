"""The verbs that compare an output with a reference: ledger, attribute."""

from __future__ import annotations

from collections.abc import Callable
from io import StringIO
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import kmerit as km
from helpers.checkpoints import random_strings
from helpers.command import type_command
from kmerit.attribution.ledger import ENTRIES


@pytest.fixture
def typed(make_checkpoint: Callable[..., Path], tmp_path: Path) -> list[str]:
    """The options that name a model of one value, and sequences with values."""
    rows = [f"s{i},{letters},{i / 10}" for i, letters in enumerate(random_strings([30, 41, 25]))]
    (tmp_path / "my.csv").write_text("\n".join(["name,sequence,value", *rows, ""]))
    folder = make_checkpoint(k=3, labels=("expression",))
    return ["--model", str(folder), "--sequences", str(tmp_path / "my.csv")]


def test_the_ledger_is_printed(typed: list[str]) -> None:
    done = type_command("ledger", *typed, "--reference", "shuffled")
    assert done.code == 0, done.err
    table = pd.read_csv(StringIO(done.out))
    assert table["method"].tolist() == ["cp_lrp"] * 3 + ["attnlrp"] * 3
    entries = table[[*ENTRIES, "reference"]].sum(axis=1)
    np.testing.assert_allclose(entries, table["output"] - table["output_reference"], rtol=0, atol=1e-9)
    means = type_command("ledger", *typed, "--methods", "cp_lrp", "--by-class")
    assert means.code == 0, means.err
    (row,) = pd.read_csv(StringIO(means.out)).to_dict("records")
    assert row["sequences"] == 3
    assert "reference" not in row


def test_scores_keep_their_reference(typed: list[str], tmp_path: Path) -> None:
    out = tmp_path / "scores.parquet"
    rows = ["--reference", "training", "--reference-sequences", typed[-1]]
    done = type_command("attribute", *typed, "--methods", "cp_lrp,attention", *rows, "--out", str(out))
    assert done.code == 0, done.err
    scores = km.read_attributions(out)
    about = scores["cp_lrp"].settings["reference"]
    assert (about["kind"], about["sequences"]) == ("training", 3)
    assert about["mean"] == pytest.approx(0.1)
    assert "reference" not in scores["attention"].settings


def test_gamma_is_an_option_of_scores_and_of_their_ledger(tmp_path: Path) -> None:
    planted = km.plant_values(2, length=128, seed=4)
    planted.save(tmp_path)
    typed = ["--model", "bundled:planted_values", "--sequences", str(tmp_path / "sequences.csv"), "--methods", "cp_lrp"]
    gamma, out = ["--option", "cp_lrp.gamma=0.25"], tmp_path / "scores.parquet"
    for command in (["attribute", *typed, *gamma, "--out", str(out)], ["ledger", *typed, *gamma], ["ledger", *typed]):
        done = type_command(*command)
        assert done.code == 0, done.err
        if command[0] == "ledger":
            table = pd.read_csv(StringIO(done.out))
            sums = np.nansum(km.read_attributions(out)["cp_lrp"].scores, axis=1)
            np.testing.assert_allclose(table[[*ENTRIES]].sum(axis=1), table["output"], rtol=0, atol=1e-9)
            assert (np.abs(sums - table["input"]) < 1e-5).all() == (gamma[1] in command)
    done = type_command("ledger", *typed, "--option", "cp_lrp.at=words")
    assert done.code != 0
    assert "no option 'at' of a ledger" in " ".join(done.err.split())


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--reference", "mean"], "expected 'shuffled', 'negatives', 'training' or a finite number, got 'mean'"),
        (["--reference", "inf"], "or a finite number, got inf"),
        (["--reference", "nan"], "or a finite number, got nan"),
        (["--reference", "negatives"], "needs its sequences"),
        (["--reference", "-1e4"], "expression cannot be -10000; moving the last activations reaches"),
        (["--reference-sequences", "my.csv"], "of which reference"),
    ],
)
def test_what_is_refused(typed: list[str], options: list[str], message: str) -> None:
    done = type_command("ledger", *typed, *options)
    assert done.code == 2
    assert message in " ".join(done.err.split())
