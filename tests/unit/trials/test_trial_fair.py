"""The fair trial on a tiny model: its arms, its bounds, what it counts, and how it stops and goes on."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from kmerit.errors import CountError, UsageError
from kmerit.models.model import Model
from kmerit.results import Attribution, Outcomes
from kmerit.sequences import Sequences
from kmerit.trials import execution
from kmerit.trials.design import Design
from kmerit.trials.execution import evaluate
from kmerit.trials.operators import composition, operator_named
from kmerit.trials.outcomes import read_outcomes
from kmerit.trials.rankings import GREEDY, ISM, order_named
from kmerit.trials.trial import Grid, evaluations, trial

SMALL = Grid(
    counts=(1, 3, "all"),
    draws=2,
    random_sets=2,
    satellite_per_class=3,
    operators=("shuffle", "mask", "complement"),
    operator_count=4,
    ism_per_class=2,
    greedy_per_class=1,
    greedy_count=3,
    greedy_candidates=6,
)
Scores = Callable[..., Attribution]


@pytest.fixture(scope="module")
def sequences() -> Sequences:
    rng = np.random.default_rng(4)
    return Sequences.from_strings(["".join(rng.choice(list("ACGT"), 44)) for _ in range(10)], labels=[0, 1] * 5)


def scores_of(sequences: Sequences) -> dict[str, Attribution]:
    rng = np.random.default_rng(6)
    shape, target = (len(sequences), 44), np.zeros(len(sequences), dtype=np.int64)
    return {m: Attribution(m, rng.normal(size=shape), "nucleotide", target, sequences.names) for m in ("one", "two")}


@pytest.fixture(scope="module")
def curve(model: Model, sequences: Sequences) -> Outcomes:
    return trial(model, sequences, scores_of(sequences), SMALL)


def test_every_arm_is_there_once_on_nested_sets_of_sequences(curve: Outcomes, sequences: Sequences) -> None:
    cells = curve.cells.to_pandas()
    assert not cells.duplicated(["method", "operator", "order", "n", "full", "draw", "sequence"]).any()
    core = cells[(cells["operator"] == "random_other") & (cells["order"] == "morf")]
    own = core[core["method"] == "one"]
    assert len(own) == 10 * 2 * 4  # sequences, draws; n = 0, 1, 3, all
    lines = ("one", "two", "size(one)", "size(two)")
    controls = [f"{control}({line})" for control in ("shifted", "clump", "other", "context") for line in lines]
    assert set(core["method"]) == {*lines, "random", *controls, ISM, GREEDY}
    # Satellites: the methods' own lines, with the controls random and shifted.
    aside = set(cells[cells["operator"] == "complement"]["method"])
    assert aside == {"one", "two", "random", "shifted(one)", "shifted(two)"}
    members = {
        "orders": set(cells[cells["order"] == "insertion"]["sequence"]),
        "operators": set(cells[cells["operator"] == "mask"]["sequence"]),
        "ism": set(cells[cells["method"] == ISM]["sequence"]),
        "greedy": set(cells[cells["method"] == GREEDY]["sequence"]),
    }
    assert members["greedy"] < members["ism"] < members["orders"] == members["operators"]
    assert {name: len(of) for name, of in members.items()} == {"orders": 6, "operators": 6, "ism": 4, "greedy": 2}
    assert curve.settings["grid"]["sequences"] == {"core": 10, **{name: len(of) for name, of in members.items()}}
    for of in members.values():
        assert sorted(sequences.labels[list(of)]) == sorted([0, 1] * (len(of) // 2))
    assert set(cells[cells["operator"] == "shuffle"]["n"]) == {4, 44}
    assert set(cells[cells["method"] == GREEDY]["n"]) == {1, 3}


def test_bounds_ask_the_model_itself(curve: Outcomes, model: Model, sequences: Sequences) -> None:
    from kmerit.attribution.attribute import attribute

    targets = replace(sequences, labels=np.zeros(10, dtype=np.int64))
    ism = attribute(model, targets, ["ism"], "label")["ism"]
    outcomes = curve.cells.to_pandas().merge(curve.mutants.to_pandas(), left_on="mutant", right_on="id")
    outcomes["logit"] = np.stack(outcomes["logits"])[:, 0]
    wild = model.logits(sequences)[:, 0]
    morf = outcomes[(outcomes["order"] == "morf") & (outcomes["draw"] == 0)].set_index(["method", "n", "sequence_x"])
    for sequence in morf.loc[GREEDY].index.unique("sequence_x"):
        top = np.argsort(-ism.scores[sequence], kind="stable")[:6]
        # The first step of ISM's order is one of three substitutions of its first position; greedy's is the best of 6.
        first = morf.loc[(ISM, 1, sequence), "logit"] - wild[sequence]
        assert np.abs(ism.substitutions[sequence, top[0]] - first).min() < 1e-4
        best = morf.loc[(GREEDY, 1, sequence), "logit"] - wild[sequence]
        assert np.abs(ism.substitutions[sequence, top] - best).min() < 1e-4
        assert best <= first + 1e-5
        assert morf.loc[(GREEDY, 3, sequence), "logit"] <= morf.loc[(GREEDY, 1, sequence), "logit"] + 1e-5


def test_greedy_takes_the_best_position_at_every_step(model: Model, sequences: Sequences) -> None:
    from kmerit.sequences import generator
    from kmerit.trials.rankings import Bounds

    everyone = np.ones(1, dtype=np.bool_)
    alone, shares = sequences.take([3]), composition(sequences)
    product, arguments = Bounds(model, np.zeros(1, np.int64), 0, shares, everyone, everyone, 3, 44)(alone, np.arange(1))
    wild = next(alone.rows())
    alleles = operator_named("random_other").mutate(
        wild, np.ones((1, 44), dtype=np.bool_), lambda purpose: generator(0, purpose, 0, alone.names[0]), shares
    )[0]
    mutant, chosen = wild.copy(), []
    for _ in range(3):
        logits = []
        for position in range(44):
            trial_ = mutant.copy()
            trial_[position] = alleles[position]
            logits.append(model.forward(model.tokenize(trial_[None], np.array([44])))[0, 0])
        chosen.append(int(np.argmin([np.inf if i in chosen else x for i, x in enumerate(logits)])))
        mutant[chosen[-1]] = alleles[chosen[-1]]
    assert np.argsort(-product[0][GREEDY], kind="stable")[:3].tolist() == chosen
    assert arguments == {ISM: 3 * 44, GREEDY: 43 + 42}


def test_evaluations_are_counted_against_each_cell_on_its_own(curve: Outcomes, sequences: Sequences) -> None:
    cells, counted = curve.cells.to_pandas(), evaluations(curve.diagnostics)
    originals = curve.mutants.to_pandas().groupby("sequence")["id"].min()
    mutated = cells[cells["mutant"] != cells["sequence"].map(originals)]
    assert counted["naive"] == len(mutated) + len(sequences)
    assert counted["done"] == curve.mutants.num_rows == cells["mutant"].nunique()
    assert counted["share_saved"] == pytest.approx(1 - counted["done"] / counted["naive"])
    assert counted["of_rankings"][ISM] == 4 * 3 * 44


def test_the_grid_is_recorded(curve: Outcomes) -> None:
    grid = curve.settings["grid"]
    assert (list(grid["counts"]), grid["draws"]) == ([1, 3, "all"], 2)
    assert {"core": 10, "orders": 6, "greedy": 2}.items() <= grid["sequences"].items()


def test_shuffle_and_mask_report_what_they_changed(curve: Outcomes) -> None:
    table = curve.cells.to_pandas().merge(curve.mutants.to_pandas(), left_on="mutant", right_on="id")
    gc = curve.mutants.to_pandas().groupby("sequence")["gc"].first()
    shift = table["gc"] - table["sequence_x"].map(gc)
    mask, shuffle = table["operator"] == "mask", table["operator"] == "shuffle"
    assert (table[mask]["positions_changed"] == 0).all()
    assert (shift[mask | shuffle] == 0).all()
    assert (table[mask & table["full"]]["tokens_changed"] == 42).all()  # every 3-mer
    assert table[mask & ~table["full"]]["tokens_changed"].between(4, 12).all()
    assert table[shuffle]["positions_changed"].max() > 4
    exact = table[(table["operator"] == "random_other") & (table["order"] == "morf")]
    assert (exact["positions_changed"] == exact["n"]).all()


def test_masked_tokens_are_what_the_model_sees(model: Model, sequences: Sequences) -> None:
    from kmerit.sequences import Tokens

    design = Design(
        ("one",), (operator_named("mask"),), (order_named("morf"),), (2,), False, 1, 0, 0, composition(sequences)
    )
    scores = np.zeros(44)
    scores[[5, 20]] = 1
    mutants, cells, _ = evaluate(model, [design], sequences.take([0]), [[{"one": scores}]], 0)
    tokens = model.tokenize(next(sequences.rows())[None], np.array([44]))
    ids = tokens.ids.copy()
    covers = np.isin(np.arange(44), [5, 20])
    for at, (start, end) in enumerate(tokens.spans[0].tolist()):
        if covers[start:end].any():
            ids[0, at] = model.tokenizer.mask_id
    expected = model.forward(Tokens(ids, tokens.mask, tokens.spans))[0]
    assert mutants["logits"].to_pylist()[cells["mutant"][0].as_py()] == pytest.approx(expected.tolist(), abs=1e-5)
    assert mutants["tokens_changed"].to_pylist() == [0, 6]


def test_stopped_anywhere_it_ends_with_the_same_bytes(
    model: Model, sequences: Sequences, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(execution, "CELLS_PER_CHUNK", 500)
    scores = scores_of(sequences)

    def stop(done: int, total: int) -> None:
        if done >= 7:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        trial(model, sequences, scores, SMALL, out=tmp_path / "stopped", progress=stop)
    assert list((tmp_path / "stopped" / "parts").glob("*.json"))
    first, second = (trial(model, sequences, scores, SMALL, out=tmp_path / name) for name in ("stopped", "whole"))
    for name in ("mutants.parquet", "cells.parquet", "sequences.parquet", "outcomes.json"):
        assert (first / name).read_bytes() == (second / name).read_bytes()
    assert read_outcomes(first).diagnostics["ranking_evaluations"][ISM] == 4 * 3 * 44


def test_settings_are_read_as_they_were(curve: Outcomes, tmp_path: Path) -> None:
    assert read_outcomes(curve.save(tmp_path / "saved")).settings == curve.settings


def test_a_signed_method_has_a_second_line_ranked_by_size(model: Model, sequences: Sequences, curve: Outcomes) -> None:
    assert curve.settings["methods"] == ["one", "two", "size(one)", "size(two)"]
    assert curve.settings["signs"] == {
        "one": "signed", "two": "signed", "size(one)": "unsigned", "size(two)": "unsigned"
    }  # fmt: skip
    scores = scores_of(sequences)
    positive = replace(scores["two"], scores=np.abs(scores["two"].scores))
    unsigned = trial(model, sequences, {"one": scores["one"], "two": positive}, SMALL)
    assert unsigned.settings["methods"] == ["one", "two", "size(one)"]
    assert unsigned.settings["signs"]["two"] == "unsigned"
    # The line by size is what scores without a sign would be.
    both = {
        name: table[table["order"] == "morf"]
        for name, table in (("by size", _cells(curve)), ("bare", _cells(unsigned)))
    }
    keys = ["operator", "full", "n", "draw", "sequence"]
    by_size = both["by size"].query("method == 'size(two)'").set_index(keys)["logits"]
    bare = both["bare"].query("method == 'two'").set_index(keys)["logits"]
    assert len(by_size)
    for key, logits in by_size.items():
        assert logits == pytest.approx(bare[key])
    alone = trial(model, sequences, scores, replace(SMALL, sizes=False))
    assert alone.settings["methods"] == ["one", "two"]


def _cells(curve: Outcomes):
    return curve.cells.to_pandas().merge(curve.mutants.to_pandas()[["id", "logits"]], left_on="mutant", right_on="id")


def test_what_can_be_shown_is_said_before_any_mutant_is_classified(model: Model, sequences: Sequences) -> None:
    message: list[object] = []

    def announce(found: object) -> None:
        message.append(found)
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        trial(model, sequences, scores_of(sequences), SMALL, announce=announce)
    (found,) = message
    called = model.logits(sequences).argmax(axis=1)
    assert [each.label for each in found] == [0, 1]
    for each in found:
        right = int((called[sequences.labels == each.label] == each.label).sum())
        assert (each.sequences, each.mistaken, each.decidable) == (right, 5 - right, False)


def test_the_prospects_are_those_of_the_verdicts(curve: Outcomes) -> None:
    from kmerit.trials.verdicts import judge

    expected = {each["label"]: each for each in curve.diagnostics["prospects"]}
    for verdict in judge(curve, resamples=100):
        assert verdict.sequences == expected[verdict.label]["sequences"]
        assert verdict.mistaken == expected[verdict.label]["mistaken"]
        assert verdict.detectable == expected[verdict.label]["detectable"]


def test_the_summary_tells_what_shuffle_and_mask_changed(curve: Outcomes) -> None:
    from kmerit.trials.measures import summarise

    table = summarise(curve, resamples=20)
    assert (table[table["operator"] == "mask"]["positions_changed"] == 0).all()
    exact = table[(table["operator"] == "complement") & (table["order"] == "morf")]
    assert (exact["positions_changed"] == exact["n"]).all()


class TestRefusals:
    def test_n_above_the_length(self, model: Model, sequences: Sequences) -> None:
        with pytest.raises(
            CountError, match="operator_count: cannot substitute 45 nucleotides in 'seq0', which has 44"
        ):
            trial(model, sequences, scores_of(sequences), replace(SMALL, operator_count=45))

    def test_a_count_that_nothing_uses_refuses_nothing(self, model: Model, sequences: Sequences) -> None:
        bare = {"satellite_per_class": 0, "ism_per_class": 0, "greedy_per_class": 0}
        grid = Grid(counts=(1,), draws=1, random_sets=1, operator_count=45, **bare)
        curve = trial(model, sequences, {"one": scores_of(sequences)["one"]}, grid)
        assert curve.settings["grid"]["sequences"] == {"core": len(sequences)}

    def test_the_name_of_a_preset_in_place_of_a_grid(self, model: Model, sequences: Sequences) -> None:
        with pytest.raises(UsageError, match=r"expected a Grid, such as Grid.fair\(\).*, got 'quick'"):
            trial(model, sequences, scores_of(sequences), "quick")  # type: ignore[call-overload]

    def test_a_method_called_like_a_bound(self, model: Model, sequences: Sequences) -> None:
        scores = {"bound(ism)": scores_of(sequences)["one"]}
        with pytest.raises(UsageError, match="the name of a bound"):
            trial(model, sequences, scores, SMALL)

    @pytest.mark.parametrize("name", ["size(one)", "negative(one)"])
    def test_a_method_called_like_the_second_line_of_another(
        self, model: Model, sequences: Sequences, name: str
    ) -> None:
        one, two = scores_of(sequences).values()
        with pytest.raises(UsageError, match=r"one\)' is the name of a second ranking of a method"):
            trial(model, sequences, {"one": one, name: two}, SMALL)

    @pytest.mark.parametrize(
        ("wrong", "message"),
        [
            ({"draws": 0}, "draws of at least 1"),
            ({"counts": (0,)}, "counts above 0"),
            ({"satellite_per_class": -1}, "at least 0"),
            ({"greedy_per_class": 3}, "must not exceed ism_per_class=2"),
            ({"greedy_candidates": 1, "greedy_count": 2}, "give at least as many candidates"),
            ({"operators": ("mask", "random_other")}, "others than 'random_other', which is always included"),
            ({"operators": ("mask", "mask")}, "each once; got 'mask', 'mask'"),
            ({"orders": ("morf",)}, "others than 'morf', which is always included"),
        ],
    )
    def test_a_grid_that_contradicts_itself(self, wrong: dict, message: str) -> None:
        with pytest.raises(UsageError, match=message):
            replace(SMALL, **wrong)


def test_arms_can_be_left_out(model: Model, sequences: Sequences) -> None:
    bare = replace(SMALL, satellite_per_class=0, ism_per_class=0, greedy_per_class=0)
    curve = trial(model, sequences.take(slice(0, 2)), {"one": _first_two(sequences)}, bare)
    assert curve.settings["grid"]["sequences"] == {"core": 2}
    assert "positions_changed" not in curve.mutants.column_names
    assert "other(one)" not in set(curve.cells["method"].to_pylist())  # one sequence of each class


def _first_two(sequences: Sequences) -> Attribution:
    every = scores_of(sequences)["one"]
    return replace(every, scores=every.scores[:2], target=every.target[:2], names=every.names[:2])
