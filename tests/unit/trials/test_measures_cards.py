"""Report cards: every number comes again from the saved raw outcomes; floors and measures of known cases."""

import csv
import json
from dataclasses import asdict
from pathlib import Path
from typing import Any, get_args

import numpy as np
import pandas as pd
import pytest
from scipy.stats import binomtest

from helpers.faithfulness_judged import curve_of
from kmerit.datasets.findings import Concern
from kmerit.models.model import Model
from kmerit.results import Attribution
from kmerit.sequences import Sequences
from kmerit.trials import verdicts as module
from kmerit.trials.measures import FILES, differences, excesses, measures, write_cards
from kmerit.trials.outcomes import read_outcomes, write_outcomes
from kmerit.trials.trial import Grid, trial
from kmerit.trials.verdicts import Caveat, FloorOutcome, floors, judge

GRID = Grid(
    (1, 4, "all"), 2, 3, False, 4, operators=("complement",), operator_count=4, ism_per_class=2, greedy_per_class=1
)


LEAK = {"kind": "copied", "share": 0.75, "any_share": 0.75, "placed_only": False}
DATA_SET = (Concern("leaked", {"class_name": "a|b", **LEAK}), Concern("separability_unseen"))


@pytest.fixture(scope="module")
def folder(model: Model, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A trial of 30 sequences, its curve and its cards on disk."""
    rng = np.random.default_rng(4)
    strings = ["".join(rng.choice(list("ACGT"), 44)) for _ in range(30)]
    sequences = Sequences.from_strings(strings, labels=[0, 1] * 15)
    target = model.logits(sequences).argmax(axis=1)
    scores = {
        name: Attribution(name, rng.normal(size=(30, 44)), "nucleotide", target, sequences.names)
        for name in ("one", "two")
    }
    folder = tmp_path_factory.mktemp("cards")
    trial(model, sequences, scores, GRID, out=folder / "outcomes")
    write_cards(read_outcomes(folder / "outcomes"), folder, data_set=DATA_SET, resamples=2000)
    return folder


def saved(folder: Path) -> tuple[dict[str, Any], pd.DataFrame]:
    """Read what is on disk with pandas alone: the settings, and every cell with its drop and its call."""
    about = json.loads((folder / "outcomes" / "outcomes.json").read_text())
    names = ("cells", "mutants", "sequences")
    cells, mutants, sequences = (pd.read_parquet(folder / "outcomes" / f"{name}.parquet") for name in names)
    cells = cells.merge(mutants[["id", "logits", "tokens_changed"]], left_on="mutant", right_on="id")
    target = sequences["target"].to_numpy()[cells["sequence"]]
    cells["logit"] = np.stack(cells["logits"])[np.arange(len(cells)), target]
    intact = np.stack(mutants.groupby("sequence")["logits"].first())
    cells["drop"] = intact[cells["sequence"], target] - cells["logit"]
    cells["label"] = sequences["label"].to_numpy()[cells["sequence"]]
    cells["called"] = np.stack(cells["logits"]).argmax(axis=1)
    cells["right"] = cells["called"] == cells["label"]
    return {**about, "mutants": len(mutants), "intact": intact, "labels": sequences["label"].tolist()}, cells


def interpolated(core: pd.DataFrame, method: str, ranking: str) -> pd.Series:
    """Compare two rankings at equal tokens changed, sequence by sequence."""
    partly = core[~core["full"]]
    result: dict[int, list[float]] = {}
    for (sequence, _), rows in partly.groupby(["sequence", "draw"]):
        curves = []
        for name in (method, ranking):
            own = rows[rows["method"] == name].sort_values("n")
            curves.append((np.array([0, *own["tokens_changed"]]), np.array([0, *own["drop"]])))
        grid = min(at[-1] for at, _ in curves) * np.arange(1, 65) / 64
        one, two = (np.interp(grid, at, drop) for at, drop in curves)
        result.setdefault(sequence, []).append((one - two).mean())
    return pd.Series({sequence: np.mean(values) for sequence, values in result.items()})


def test_every_card_is_recomputed_from_the_saved_outcomes(folder: Path) -> None:
    about, cells = saved(folder)
    core = cells[(cells["operator"] == "random_other") & (cells["order"] == "morf") & (cells["n"] > 0)]
    core = core.assign(draw=core["draw"] % about["settings"]["replicates"])
    area = core.groupby(["method", "sequence", "draw"], observed=True)["drop"].mean().unstack("method")
    right = np.flatnonzero(about["intact"].argmax(axis=1) == np.array(about["labels"]))
    labels = np.array(about["labels"])
    cards = json.loads((folder / "cards.json").read_text())["cards"]
    assert [(card["label"], card["method"]) for card in cards] == [(0, "one"), (0, "two"), (1, "one"), (1, "two")]
    for card in cards:
        method = card["method"]
        mine = [row for row in right if labels[row] == card["label"]]
        assert (card["sequences"], card["mistaken"]) == (len(mine), 15 - len(mine))
        names = ["random", "shifted", "clump", "other", "context"]
        assert [each["control"] for each in card["comparisons"]] == names
        for comparison in card["comparisons"]:
            control = comparison["control"]
            ranking = control if control == "random" else f"{control}({method})"
            if control == "context":
                excess = interpolated(core, method, ranking).loc[mine]
            else:
                excess = (area[method] - area[ranking]).groupby("sequence").mean().loc[mine].dropna()
            assert comparison["sequences"] == len(excess)
            assert comparison["excess"] == pytest.approx(excess.mean(), abs=1e-6)
            assert comparison["effect_size"] == pytest.approx(excess.mean() / excess.std(), abs=1e-5)
            assert comparison["t"] == pytest.approx(excess.mean() / excess.sem(), abs=1e-5)
            assert comparison["low"] < comparison["excess"] < comparison["high"]
            calls = core[(core["n"] == 4) & core["sequence"].isin(excess.index)]
            first = calls.drop_duplicates(["method", "sequence"]).pivot(
                index="sequence", columns="method", values="right"
            )
            lost, won = (~first[method] & first[ranking]).sum(), (first[method] & ~first[ranking]).sum()
            expected = binomtest(int(lost), int(lost + won)).pvalue if lost + won else 1.0
            assert comparison["p_value"] == pytest.approx(expected)
        assert card["aopc"] == pytest.approx(area[method].groupby("sequence").mean().loc[mine].mean())
        three = {each["control"]: each for each in card["comparisons"] if each["control"] in names[1:4]}
        lows, highs = ({name: each[end] for name, each in three.items()} for end in ("band_low", "band_high"))
        if len(mine) < 10:
            assert card["verdict"] == "undecided"
            continue
        faithful, worse = min(lows.values()) > 0, max(highs.values()) < 0
        assert card["control"] == (max(highs, key=highs.get) if worse else min(lows, key=lows.get))
        expected = "faithful" if faithful else "worse than its controls" if worse else "undecided"
        assert card["verdict"] == expected  # in-silico mutagenesis of two a class makes no margin


def test_corrected_p_values_floors_and_counts_are_recomputed_too(folder: Path) -> None:
    about, cells = saved(folder)
    result = json.loads((folder / "cards.json").read_text())
    compared = pd.DataFrame([{"label": c["label"], **each} for c in result["cards"] for each in c["comparisons"]])
    for _, same in compared.groupby(["label", "control"]):
        small, large = sorted(same["p_value"])
        assert sorted(same["p_holm"]) == pytest.approx([min(1, 2 * small), min(1, max(2 * small, large))])
    for floor in result["floors"]:
        here = cells[(cells["operator"] == floor["operator"]) & (cells["order"] == "morf") & cells["full"]]
        here = here[here["method"] == "one"].assign(default=here["called"] == floor["default_label"])
        here = here.groupby(["label", "sequence"])
        own = here["default"].mean().groupby("label").mean()
        assert floor["rate"] == pytest.approx(own[floor["label"]])
        assert floor["difference"] == pytest.approx(own[floor["label"]] - own[1 - floor["label"]])
        assert floor["floor"] == pytest.approx(here["right"].mean().groupby("label").mean()[floor["label"]])
    # What the bounds classified on their way is counted apart, and not kept.
    assert result["evaluations"]["done"] == about["mutants"]
    wrong = about["intact"].argmax(axis=1) != np.array(about["labels"])
    for card in result["cards"]:
        count = int(wrong[card["label"] :: 2].sum())
        apart = [each["values"]["sequences"] for each in card["caveats"] if each["code"] == "mistaken"]
        assert apart == ([count] if count else [])


def test_json_and_csv_hold_the_same_codes_and_no_sentence(folder: Path) -> None:
    assert sorted(FILES) == sorted(path.name for path in folder.iterdir() if path.is_file())
    about = json.loads((folder / "cards.json").read_text())
    with (folder / "cards.csv").open(encoding="utf-8", newline="") as file:
        lines = list(csv.DictReader(file))
    assert about["grid"]["counts"] == list(GRID.counts)
    assert about["data_set"] == [asdict(each) for each in DATA_SET]
    for card, line in zip(about["cards"], lines, strict=True):
        assert (line["method"], line["verdict"], line["control"]) == (
            card["method"],
            card["verdict"],
            card["control"] or "",
        )
        assert line["excess"] == ("" if card["excess"] is None else str(card["excess"]))
        assert line["data_set"] == "leaked separability_unseen"
        assert line["caveats"].split() == list(dict.fromkeys(each["code"] for each in card["caveats"]))
        assert all(Caveat(**each) for each in card["caveats"])
    assert any(each["code"] == "joined_contexts" for each in about["cards"][0]["caveats"])
    assert {(floor["operator"], floor["label"]) for floor in about["floors"]} == {
        (operator, label) for operator in ("random_other", "complement") for label in (0, 1)
    }
    assert {floor["outcome"] for floor in about["floors"]} <= set(get_args(FloorOutcome))


def test_methods_are_compared_with_each_other_in_pairs() -> None:
    shared = np.random.default_rng(0).normal(size=(60, 1, 1), scale=9)
    noise = np.random.default_rng(1).normal(size=(60, 2, 2))
    table = {"a": shared + 2 + noise, "b": shared + np.zeros((60, 2, 2)), "random": shared - noise}
    labels = np.arange(60) % 2
    result = differences(curve_of(table, labels), resamples=500)
    assert result[["method", "other"]].drop_duplicates().to_numpy().tolist() == [["a", "b"]]
    row = result[(result["label"] == 1) & (result["condition"] == "all")].iloc[0]
    each = (table["a"] - table["b"])[labels == 1].mean(axis=(1, 2))
    assert row["value"] == pytest.approx(each.mean())
    error = each.std(ddof=1) / 30**0.5
    assert [row["low"], row["high"]] == pytest.approx([each.mean() - 1.96 * error, each.mean() + 1.96 * error], abs=0.1)


def test_one_method_alone_leaves_a_table_without_rows() -> None:
    result = differences(curve_of({"a": np.ones((4, 1, 2))}, np.array([0, 1, 0, 1])), resamples=100)
    assert result.empty
    assert "class_name" in result


def test_the_tables_beside_the_cards_hold_the_same_excess(folder: Path) -> None:
    table = pd.read_csv(folder / "excesses.csv", keep_default_na=False)
    card = json.loads((folder / "cards.json").read_text())["cards"][0]
    rows = table[(table["condition"] == "correct") & (table["measure"] == "logit")]
    rows = rows[rows["n"].isin(["aopc", "tokens"])]
    rows = rows[(rows["label"] == 0) & (rows["operator"] == "random_other") & (rows["order"] == "morf")]
    rows = rows[rows["method"] == card["method"]]
    for comparison, (_, row) in zip(card["comparisons"], rows.iterrows(), strict=True):
        assert row["control"] == comparison["control"]
        assert (row["sequences"], row["clusters"]) == (comparison["sequences"], comparison["clusters"])
        assert float(row["value"]) == pytest.approx(comparison["excess"])
        assert float(row["low"]) == pytest.approx(comparison["low"])
    assert set(table["measure"]) == {"logit", "probability", "accuracy", "flips"}
    assert set(table["condition"]) == {"all", "correct"}
    assert set(table["order"]) == {"morf", "lerf", "insertion"}
    names = set(pd.read_csv(folder / "measures.csv")["measure"])
    assert {"aopc_logit", "srg", "naopc_ism", "naopc_greedy", "comprehensiveness", "sufficiency"} < names


def test_written_twice_the_bytes_are_the_same(folder: Path, tmp_path: Path) -> None:
    write_cards(read_outcomes(folder / "outcomes"), tmp_path, data_set=DATA_SET, resamples=2000)
    for name in FILES:
        assert (tmp_path / name).read_bytes() == (folder / name).read_bytes()


class TestMeasures:
    """Of curves whose drops are written down."""

    labels = np.zeros(12, dtype=int)

    def value(self, table: pd.DataFrame, **keys: str) -> float:
        rows = table[(table[list(keys)] == pd.Series(keys)).all(axis=1) & (table["condition"] == "all")]
        assert len(rows) == 1
        return float(rows["value"].iloc[0])

    def flat(self, *per_count: float) -> np.ndarray:
        return np.broadcast_to(np.array(per_count), (12, 1, len(per_count))).copy()

    def test_naopc_places_a_method_between_its_bounds(self) -> None:
        table = {"a": self.flat(2, 4), "bound(ism)": self.flat(4, 6), "low": self.flat(0, 2)}
        curve = curve_of(table, self.labels, order={"low": "lerf"})
        # The bound's other direction: the same ranking, least first.
        methods = curve.cells["method"].to_pylist()
        renamed = curve.cells.set_column(
            0, "method", _encoded(["bound(ism)" if name == "low" else name for name in methods])
        )
        result = measures(_with_cells(curve, renamed), resamples=20)
        assert self.value(result, method="a", measure="naopc_ism") == pytest.approx((3 - 1) / (5 - 1))

    def test_srg_is_the_first_less_the_last(self) -> None:
        table = {"a": self.flat(3, 4), "b": self.flat(1, 2)}
        curve = curve_of(table, self.labels, order={"b": "lerf"})
        renamed = curve.cells.set_column(0, "method", _encoded(["a"] * curve.cells.num_rows))
        result = measures(_with_cells(curve, renamed), resamples=20)
        assert self.value(result, method="a", measure="srg") == pytest.approx(2.0)
        assert self.value(result, method="a", measure="aopc_logit") == pytest.approx(3.5)

    def test_comprehensiveness_and_flips(self) -> None:
        result = measures(curve_of({"a": self.flat(2, 7)}, self.labels), resamples=20)
        up = [1 / (1 + np.exp(-x)) for x in (5, 3, -2)]
        for n, p in (("5", up[1]), ("10", up[2])):
            assert self.value(result, method="a", measure="comprehensiveness", n=n) == pytest.approx(up[0] - p)
        assert self.value(result, method="a", measure="flip_rate", n="5") == 0
        assert self.value(result, method="a", measure="flip_rate", n="10") == 1
        assert self.value(result, method="a", measure="accuracy_drop", n="10") == 1

    def test_excess_is_paired_and_conditioned(self) -> None:
        shared = np.random.default_rng(0).normal(size=(12, 1, 1), scale=9)
        table = {"a": shared + self.flat(2, 4), "random": shared + self.flat(1, 1)}
        result = excesses(curve_of(table, self.labels), resamples=50)
        keys = {"method": "a", "control": "random", "measure": "logit"}
        assert self.value(result, **keys, n="5") == pytest.approx(1.0)
        assert self.value(result, **keys, n="aopc") == pytest.approx(2.0)
        row = result[(result["measure"] == "logit") & (result["n"] == "aopc") & (result["condition"] == "all")]
        assert row[["low", "high"]].to_numpy()[0] == pytest.approx([2.0, 2.0])


def _encoded(names: list[str]):
    import pyarrow as pa

    return pa.array(names).dictionary_encode()


def _with_cells(curve, cells):
    from dataclasses import replace

    return replace(curve, cells=cells)


class TestFloors:
    def curve(self, calls: list[list[int]], labels: list[int]):
        """Full mutations whose logits speak for the given calls."""
        drop = np.array([[0.0 if c == y else 10.0 for c in row] for row, y in zip(calls, labels, strict=True)])
        curve = curve_of({"a": drop[:, :, None]}, np.array(labels), (50,))
        return _with_cells(curve, curve.cells.set_column(4, "full", [[True] * curve.cells.num_rows]))

    def test_the_class_that_is_not_the_default_answer_collapses(self, tmp_path: Path) -> None:
        curve = self.curve([[0]] * 76 + [[1]] * 4 + [[0]] * 76 + [[1]] * 4, [0] * 80 + [1] * 80)
        off, on = floors(curve)
        assert (off.default_name, off.rate, off.outcome) == ("off", 0.95, "default")
        assert (on.rate, on.accuracy, on.floor, on.outcome) == (0.95, 1.0, 0.05, "explained")
        assert on.difference == pytest.approx(0.0)
        assert -0.1 < on.low < 0 < on.high < 0.1
        assert floors(read_outcomes(write_outcomes(curve, tmp_path))) == [off, on]
        draws = {"resamples": 100, "seed": 3}
        assert [*judge(curve, **draws).floors] == floors(curve, **draws) != [off, on]

    def test_a_class_that_full_mutation_does_not_erase_is_not_explained(self) -> None:
        off, on = floors(self.curve([[0]] * 60 + [[1]] * 20 + [[0]] * 24 + [[1]] * 56, [0] * 80 + [1] * 80))
        assert (off.default_name, off.rates) == ("off", {"off": 0.75, "on": 0.3})
        assert on.difference == pytest.approx(-0.45)
        assert on.high < 0 < off.low
        assert (off.outcome, on.outcome) == ("kept", "kept")

    def test_the_default_class_may_fall_as_well(self) -> None:
        off, on = floors(self.curve([[0]] * 48 + [[1]] * 32 + [[0]] * 48 + [[1]] * 32, [0] * 80 + [1] * 80))
        assert (off.floor, off.outcome, on.outcome) == (0.6, "default", "explained")

    def test_a_limit_is_not_missed_by_the_last_bits_of_a_mean(self, monkeypatch: pytest.MonkeyPatch) -> None:
        curve = self.curve([[0]] * 76 + [[1]] * 4 + [[0]] * 76 + [[1]] * 4, [0] * 80 + [1] * 80)
        bounds = (np.array([-1e-17]), np.array([0.20000000000000007]))
        monkeypatch.setattr(module, "percentiles", lambda draws: bounds)
        assert [(each.low, each.high) for each in floors(curve)] == [(0.0, 0.2)] * 2
        assert floors(curve)[1].outcome == "explained"

    def test_few_sequences_explain_nothing(self) -> None:
        for calls, labels in (([[0]] * 3 + [[0], [0], [1]], [0] * 3 + [1] * 3), ([[0], [0]], [0, 1])):
            on = floors(self.curve(calls, labels))[1]
            assert on.outcome == "too_few"

    def test_one_class_alone_explains_nothing(self) -> None:
        (on,) = floors(self.curve([[0]] * 80, [1] * 80))
        assert (on.difference, on.low, on.outcome) == (None, None, "alone")

    def test_a_class_that_keeps_its_answers_does_not(self) -> None:
        off, on = floors(self.curve([[0]] * 4 + [[1]] * 4, [0] * 4 + [1] * 4))
        assert (off.outcome, on.outcome) == ("kept", "kept")
