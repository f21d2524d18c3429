"""Calibration on a tiny model: what it makes, that it resumes, what it refuses; its tables on known numbers."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from torch import Tensor, nn

import kmerit as km
from helpers.planted_value import model as grammar
from helpers.planted_value import strings
from kmerit.errors import ConfigError, CountError, ModelError, RunMismatch, SequenceError
from kmerit.models.model import Model, load_model
from kmerit.report.text import sentence
from kmerit.runs.study import Study
from kmerit.sequences import Sequences
from kmerit.studies.calibration import (
    ALONE,
    AMONG,
    BEYOND,
    UNADJUSTED,
    CalibrationConfig,
    _families,
    _pooled,
    effect_table,
    failures,
    rate_table,
    rates,
    wide,
)
from kmerit.trials.controls import CONTEXT, DECIDING
from kmerit.trials.verdicts import FAITHFUL, WORSE

TINY: dict[str, Any] = {
    "pool": 20, "others": 20, "methods": ["rollout"], "turned": ["rollout"], "doses": [0.5], "counts": (1, 4),
    "draws": 1, "sizes": (10,), "experiments": 20, "resamples": 100,
}  # fmt: skip


@pytest.fixture(scope="module")
def model(make_checkpoint: Callable[..., Path]) -> Model:
    return load_model(make_checkpoint(k=3), device="cpu", micro_batch=64)


@pytest.fixture(scope="module")
def sequences(model: Model) -> Sequences:
    """Labelled by the model itself, and a few labels wrong."""
    rng = np.random.default_rng(2)
    strings = ["".join(rng.choice(list("ACGT"), 48)) for _ in range(150)]
    called = model.logits(Sequences.from_strings(strings)).argmax(axis=1)
    # A random model may call nearly all of them alike: those of the rarer class come first.
    order = np.argsort(called != np.bincount(called, minlength=2).argmin(), kind="stable")
    labels = called.copy()
    labels[order[-3:]] = 1 - labels[order[-3:]]
    return Sequences.from_strings([strings[i] for i in order], labels=labels[order].tolist())


class Content(nn.Module):
    """Tells sequences apart by their GC content, and by the As at their beginning."""

    def forward(self, x: Tensor) -> Tensor:
        signal = 20 * (x[:, 1:3].sum(1).mean(1) - 0.5 + x[:, 0, :20].mean(1) - 0.25)
        return torch.stack([-signal, signal], dim=1)


@pytest.mark.slow
def test_a_wrapped_module_is_calibrated_by_the_methods_that_it_serves(tmp_path: Path) -> None:
    model, rng = km.wrap(Content(), 60, ["at", "gc"]), np.random.default_rng(0)
    chances = ([0.3, 0.2, 0.2, 0.3], [0.2, 0.3, 0.3, 0.2])
    strings = ["".join(rng.choice(list("ACGT"), 60, p=chances[i % 2])) for i in range(90)]
    frame = pd.DataFrame({"sequence": strings, "label": model.predict(strings).argmax(1)})
    small = {"pool": 40, "others": 20, "experiments": 40, "resamples": 100, "sizes": [20]}
    km.calibrate(model, frame, tmp_path, quick=True, **small)
    effects = pd.read_csv(tmp_path / "effects.csv")
    assert set(effects.query("kind == 'method'")["ranking"]) == {"input_x_gradient"}
    assert {"noise", "letters", "dose"} <= set(effects["kind"])


def test_without_doses_there_is_no_mutagenesis(tmp_path: Path) -> None:
    rows = km.Sequences.from_strings(strings(20))
    for doses, kinds in (([], ["noise", "letters", "method"]), ([0.5], ["noise", "letters", "method", "dose"])):
        config = CalibrationConfig.parse({**TINY, "doses": doses})
        assert [kind for kind, *_ in _families(grammar(), rows, rows, config, Study(tmp_path))] == kinds


def test_a_sequence_whose_scores_are_withheld_is_not_in_the_pool(tmp_path: Path) -> None:
    rows = km.Sequences.from_strings(strings(20), labels=[0] * 20)
    scores = np.random.default_rng(0).random((20, int(rows.lengths[0])))
    scores[3] = np.nan
    frame = _pooled(grammar(), "method", rows, lambda: {"some": scores}, CalibrationConfig.parse(TINY), Study(tmp_path))
    missing = frame[frame["excess"].isna()]
    assert set(missing.loc[missing["control"] != "other", "row"]) == {3}  # it may be the partner of another one
    assert {3} <= set(missing["row"])
    assert len(wide(frame)[0][0]) == 20 - missing["row"].nunique()


@pytest.mark.slow
def test_verdicts_on_a_value_are_calibrated_as_one_class(tmp_path: Path) -> None:
    settings = {**TINY, "methods": ["input_x_gradient"], "turned": ["input_x_gradient"], "doses": [0.5]}
    km.calibrate(grammar(), strings(30), tmp_path, **settings)
    effects, rates_csv = (pd.read_csv(tmp_path / name) for name in ("effects.csv", "rates.csv"))
    assert set(effects["label"]) == {0}
    real = effects[effects["ranking"] == "input_x_gradient"].set_index("control")["effect"]
    assert (real[[*DECIDING]] > 1).all()
    claims = rates_csv[(rates_csv["ranking"] == "ism, 50% of each score") & (rates_csv["claim"] == FAITHFUL)]
    assert len(claims) == 2
    text = (tmp_path / "calibration.md").read_text(encoding="utf-8")
    assert "20 sequences; the value explained is activity" in text
    assert "classified correctly" not in text


@pytest.mark.slow
def test_it_makes_every_kind_of_ranking_and_resumes(model: Model, sequences: Sequences, tmp_path: Path) -> None:
    called = model.logits(sequences).argmax(axis=1)
    if np.bincount(called[called == sequences.labels], minlength=2).min() < 10:
        pytest.fail("the tiny model calls one class hardly ever; take another seed")
    stopped = []

    @contextmanager
    def watch(title: str) -> Iterator[Callable[[int, int], None]]:
        def progress(done: int, total: int) -> None:
            if title == "pools: letters: outcomes" and not stopped:
                stopped.append(title)
                raise KeyboardInterrupt

        yield progress

    with pytest.raises(KeyboardInterrupt):
        km.calibrate(model, sequences, tmp_path / "one", watch=watch, **TINY)
    km.calibrate(model, sequences, tmp_path / "one", **TINY)
    km.calibrate(model, sequences, tmp_path / "two", **TINY)
    for name in ("effects.csv", "rates.csv", "calibration.json"):
        assert (tmp_path / "one" / name).read_bytes() == (tmp_path / "two" / name).read_bytes()
    effects = pd.read_csv(tmp_path / "one" / "effects.csv")
    assert set(effects["kind"]) == {"noise", "letters", "method", "dose", "foil"}
    place = effects[(effects["ranking"] == "place") & (effects["control"] == "other")]
    assert (place[["effect", "low", "high"]] == 0).all(axis=None)  # the very same scores
    text = (tmp_path / "one" / "calibration.md").read_text(encoding="utf-8")
    for part in (
        "rollout, turned",
        "CpG, last quarter first",
        "ism, 50% of each score",
        "random weights",
        "is too small",
    ):
        assert part in text
    with pytest.raises(RunMismatch, match="draws was 1, now it is 2"):
        km.calibrate(model, sequences, tmp_path / "one", **{**TINY, "draws": 2})
    with pytest.raises(RunMismatch, match="sequences was"):
        km.calibrate(model, sequences.take(np.arange(140)), tmp_path / "one", **TINY)


def pools(effects: dict[str, float], size: int = 400, kind: str = "noise", context: float = 0.0) -> pd.DataFrame:
    """Excesses of two classes whose mean over each control is written down, in standard deviations."""
    rng = np.random.default_rng(11)
    parts = []
    for ranking, effect in effects.items():
        for label in (0, 1):
            shared = rng.normal(size=size)
            for control in (*DECIDING, CONTEXT):
                own = 0.8 * shared + 0.6 * rng.normal(size=size)
                own = (own - own.mean()) / own.std()
                parts.append(
                    pd.DataFrame(
                        {
                            "kind": kind, "ranking": ranking, "control": control, "label": label,
                            "row": np.arange(size),
                            "excess": own + (context if control == CONTEXT else effect),
                        }
                    )
                )  # fmt: skip
    return pd.concat(parts, ignore_index=True)


CONFIG = CalibrationConfig.parse({**TINY, "sizes": (60,), "experiments": 200, "resamples": 200})


def test_effects_are_means_in_standard_deviations() -> None:
    table = effect_table(pools({"a": 0.0, "b": 0.5}), CONFIG)
    assert table["effect"].tolist() == pytest.approx([0.0] * 8 + [0.5, 0.5, 0.5, 0.0] * 2, abs=0.01)
    assert (table["low"] < table["effect"]).all()
    assert (table["high"] - table["low"]).round(2).between(0.18, 0.22).all()  # 2 x 1.96 / sqrt(400)


@pytest.fixture(scope="module")
def table() -> pd.DataFrame:
    frame = pd.concat(
        [
            pools({"nothing": 0.0, "never": -0.8}),
            pools({"letters": 0.9}, kind="letters"),
            pools({f"method {i}": 0.3 for i in range(3)}, kind="method"),
            pools({"little": 0.2, "much": 0.9}, kind="dose", context=0.9),
        ]
    )
    return rate_table(frame, CONFIG)


def test_claims_follow_the_effects(table: pd.DataFrame) -> None:
    def of(ranking: str, claim: str, card: str = AMONG) -> float:
        rows = table[(table["ranking"] == ranking) & (table["claim"] == claim) & (table["card"] == card)]
        assert len(rows) == 2  # classes
        return float(rows["rate"].mean())

    assert of("nothing", FAITHFUL) <= 0.01
    assert of("nothing", WORSE) <= 0.01
    assert of("nothing", FAITHFUL, UNADJUSTED) <= 0.035  # all three at 2.5 %, of one half in common
    assert of("never", WORSE) > 0.95
    assert of("much", FAITHFUL) > 0.95
    assert of("much", BEYOND) > 0.95
    assert of("little", FAITHFUL) < 0.3
    assert of("letters", FAITHFUL) > 0.95
    assert of("letters", BEYOND) < 0.05
    (alone,) = table[table["card"] == ALONE].itertuples()
    assert alone.rate > 0.95  # one of the two nulls is none


def test_bounds_are_clopper_pearsons(table: pd.DataFrame) -> None:
    from scipy.stats import beta

    for row in table.head(20).itertuples():
        upper = 1.0 if row.count == 200 else beta.ppf(0.95, row.count + 1, 200 - row.count)
        assert row.upper == pytest.approx(upper)
        assert row.rate == row.count / 200


def test_limits_that_are_passed_are_said(table: pd.DataFrame) -> None:
    import json

    result = {"classes": ["off", "on"], "config": {"sizes": [60]}, "rates": json.loads(table.to_json(orient="records"))}
    lines = [sentence(each) for each in failures(result)]
    assert any("never, off, 60 sequences, worse than its controls" in line for line in lines)
    assert any(line.startswith("At 60 sequences the pool of 400 is too small") for line in lines)
    assert not any("letters" in line and "faithful" in line for line in lines)


def test_more_methods_on_the_card_make_claims_rarer() -> None:
    def faithful(card: int) -> int:
        frame = pools({"a": 0.35})
        methods = pools({f"m{i}": 0.0 for i in range(card)}, kind="method")
        result = rate_table(pd.concat([frame, methods]), CONFIG)
        return int(result[(result["card"] == AMONG) & (result["claim"] == FAITHFUL)]["count"].sum())

    assert faithful(8) < faithful(1)


def test_one_class_alone_and_no_card() -> None:
    rng = np.random.default_rng(0)
    pairs = [("a", control) for control in DECIDING]
    result = rates([rng.normal(size=(50, 3)) + 2.0], pairs, 20, experiments=5, resamples=100, seed=0)
    counts = {(row["card"], row["claim"]): row["count"] for row in result}
    assert counts[AMONG, FAITHFUL] == counts[UNADJUSTED, FAITHFUL] == 5
    assert counts[AMONG, WORSE] == 0


class TestRefusals:
    def test_without_labels(self, model: Model, tmp_path: Path) -> None:
        with pytest.raises(SequenceError, match="needs the class of every sequence"):
            km.calibrate(model, Sequences.from_strings(["ACGTACGT"]), tmp_path)

    def test_too_few_that_are_called_right(self, model: Model, sequences: Sequences, tmp_path: Path) -> None:
        with pytest.raises(SequenceError, match=r"needs 10 sequences of every class that the model calls so; of \w+"):
            km.calibrate(model, sequences.take(np.arange(12)), tmp_path)
        assert not any(tmp_path.iterdir())

    def test_several_values(self, make_checkpoint: Callable[..., Path], sequences: Sequences, tmp_path: Path) -> None:
        several = km.wrap(nn.Sequential(nn.Flatten(), nn.Linear(4 * 48, 2)), length=48, outputs=2, problem="values")
        with pytest.raises(ModelError, match=r"predicts 2 values, each a task of its own.*LABEL_0, 1 LABEL_1"):
            km.calibrate(several, sequences, tmp_path)

    @pytest.mark.parametrize("wrong", [{"sizes": ()}, {"sizes": (-5,)}, {"doses": [2.0]}, {"doses": [-0.1]}], ids=str)
    def test_sizes_and_doses_that_are_none(self, wrong: dict[str, Any]) -> None:
        with pytest.raises(ConfigError, match=next(iter(wrong))):
            CalibrationConfig.parse(wrong)

    def test_sequences_that_no_control_can_be_formed_of(
        self, model: Model, sequences: Sequences, tmp_path: Path
    ) -> None:
        labels = np.asarray(sequences.labels).tolist()
        short = Sequences.from_strings([each[:40] for each in sequences.strings()], labels=labels)
        called = model.logits(short).argmax(axis=1).tolist()
        short = Sequences.from_strings(short.strings(), labels=called)
        with pytest.raises(SequenceError, match="more than 40 nt"):
            km.calibrate(model, short, tmp_path / "short", **TINY | {"counts": (1,)})
        assert not (tmp_path / "short").exists()

    def test_counts_of_every_nucleotide(self, model: Model, sequences: Sequences, tmp_path: Path) -> None:
        with pytest.raises(CountError, match="between 0 and the 48 nt"):
            km.calibrate(model, sequences, tmp_path, **TINY | {"counts": (48,)})

    def test_a_ranking_that_hardly_any_sequence_has(self) -> None:
        frame = pd.DataFrame(
            [(name, control, 0, row, np.nan if name == "withheld" else 1.0)
             for name in ("there", "withheld") for control in DECIDING for row in range(12)],
            columns=["ranking", "control", "label", "row", "excess"],
        )  # fmt: skip
        with pytest.raises(SequenceError, match=r"withheld is missing, of 100.?%"):
            wide(frame)

    def test_an_unknown_key(self, model: Model, sequences: Sequences, tmp_path: Path) -> None:
        with pytest.raises(ConfigError, match="Did you mean 'pool'"):
            km.calibrate(model, sequences, tmp_path, pols=3)
