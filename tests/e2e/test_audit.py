"""``kmerit audit``, ``split`` and ``negatives`` as a user types them."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from helpers.command import Done
from helpers.faulty_sets import made, random_parts
from kmerit.io.readers import read_sequences, write_sequences

CHEAP = ("--set", 'settings.baselines=["GC"]', "--set", "settings.resamples=20")


@pytest.fixture
def leaky(tmp_path: Path) -> Path:
    """Two splits; a tenth of the positive test rows are copies of training rows."""
    train, test = random_parts(200), random_parts(40, seed=1)
    test[1], test[3] = train[1], train[3]
    write_sequences(made(train), tmp_path / "sets" / "train.csv")
    write_sequences(made(test), tmp_path / "sets" / "test.csv")
    return tmp_path / "sets"


def test_findings_are_told_and_stop_nothing(kmerit: Callable[..., Done], leaky: Path, tmp_path: Path) -> None:
    process = kmerit("audit", "--data", leaky, "--out", tmp_path / "audit", *CHEAP)
    assert (process.code, process.err) == (0, "")
    assert process.out.splitlines()[0].startswith("note  10.0 % of the 20 test rows of 1 are copies of rows")
    assert process.out.endswith(
        f"gap   There are no coordinates: overlaps and distances were not checked.\n"
        f"gap   Could not be checked; too few rows: whether any baseline exceeds baseline_auroc 0.95 "
        f"(on so few rows the 95 % interval of even a perfect separation begins at 0.90).\n"
        f"{tmp_path / 'audit' / 'audit.html'}\n"
    )
    assert (tmp_path / "audit" / "audit.html").read_text().startswith("<!DOCTYPE html>")


def test_the_help_names_the_tables_of_a_config(kmerit: Callable[..., Done]) -> None:
    shown = " ".join(kmerit("audit", "--help").out.replace("│", " ").split())
    assert "A TOML file with the tables thresholds and settings." in shown


def test_a_threshold_of_the_config_stops_a_pipeline(kmerit: Callable[..., Done], leaky: Path, tmp_path: Path) -> None:
    config = tmp_path / "audit.toml"
    config.write_text("[thresholds]\ncopied = 0.05\n\n[settings]\nbaselines = []\n")
    process = kmerit("audit", leaky, "--out", tmp_path / "audit", "--config", config, "--json")
    assert process.code == 3
    message = json.loads(process.out)
    assert message["classes"]["1"]["test_rows_copied_from_train"] == 0.1
    assert [finding["gate"] for finding in message["findings"]] == [True, False]
    assert json.loads((tmp_path / "audit" / "audit.json").read_text()) == message
    again = kmerit(
        "audit", leaky, "--out", tmp_path / "audit", "--thresholds", config, "--set", "thresholds.copied=0.1"
    )
    assert again.code == 0


def test_files_one_by_one_with_names_of_classes(kmerit: Callable[..., Done], leaky: Path, tmp_path: Path) -> None:
    files = [f"train={leaky / 'train.csv'}", f"test={leaky / 'test.csv'}"]
    process = kmerit("audit", *files, "--out", tmp_path / "a", "--json", "--classes", "background,promoter", *CHEAP)
    assert set(json.loads(process.out)["classes"]) == {"background", "promoter"}


def test_repaired(kmerit: Callable[..., Done], leaky: Path, tmp_path: Path) -> None:
    process = kmerit("split", leaky, "--out", tmp_path / "new", "--validation", "0.1", "--seed", "1")
    assert (process.code, process.out) == (0, f"{tmp_path / 'new' / 'manifest.json'}\n")
    counts = "2 repeated, 0 contradicting, 0 near training, 0 near validation, 0 too short"
    assert process.err == f"Kept 238 rows; dropped {counts}.\n"
    after = kmerit("audit", tmp_path / "new", "--out", tmp_path / "audit", *CHEAP, "--set", "thresholds.copied=0.0")
    assert after.code == 0


def test_nothing_that_is_read_is_overwritten(kmerit: Callable[..., Done], leaky: Path) -> None:
    before = {path: path.read_bytes() for path in leaky.iterdir()}
    background = ("negatives", "--positives", leaky / "test.csv", "--kind", "shuffled", "--out", leaky / "test.csv")
    file = ("split", f"train={leaky / 'train.csv'}", "--out", leaky)
    for arguments in (("split", leaky, "--out", leaky), file, background):
        process = kmerit(*arguments)
        assert process.code == 2
        assert "is read, and " in process.err
    assert {path: path.read_bytes() for path in leaky.iterdir()} == before


def test_backgrounds(kmerit: Callable[..., Done], leaky: Path, tmp_path: Path) -> None:
    out = tmp_path / "background.fa"
    process = kmerit("negatives", "--positives", leaky / "test.csv", "--kind", "shuffled", "--out", out)
    assert (process.code, process.out) == (0, f"{out}\n")
    assert process.err == f"{leaky / 'test.csv'}: the 20 rows of class 1 are taken as the positives.\n"
    assert len(read_sequences(out)) == 20


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (("audit",), 2, "Which data set?"),
        (("audit", "nowhere.csv"), 1, "no such file"),
        (("audit", "human_enhancer_dedup"), 2, "Did you mean 'human_enhancers_dedup'"),
        (("audit", "LEAKY/train.csv", "LEAKY/train.csv"), 1, "the same file, byte for byte"),
        (("audit", "LEAKY/train.csv", "x.csv"), 2, "which split is this?"),
        (("audit", "LEAKY", "--set", "thresholds.copyed=1"), 2, "Did you mean 'copied'?"),
        (("audit", "LEAKY", "--genome", "absent.fa"), 1, "no such genome file"),
        (("split", "LEAKY", "--test", "2"), 2, "expected shares"),
        (("split", "LEAKY", "--chromosomes", "chr2"), 2, "Add --by chromosome"),
        (("audit", "LEAKY", "--classes", "a,a"), 1, "two classes are named 'a'"),
        (("split", "LEAKY", "--by", "chromosome"), 1, "needs the coordinates of every row"),
        (("negatives", "--positives", "LEAKY/test.csv", "--kind", "gc"), 2, "Give one: --genome"),
    ],
)
def test_what_goes_wrong(
    kmerit: Callable[..., Done], leaky: Path, tmp_path: Path, arguments: tuple[str, ...], code: int, message: str
) -> None:
    request = [text.replace("LEAKY", str(leaky)) for text in arguments]
    process = kmerit(*request, "--out", tmp_path / "out.fa")
    assert (process.code, process.out) == (code, ""), process.err
    assert message in process.err
    assert "Traceback" not in process.err
    assert not (tmp_path / "out.fa").exists()
