"""Verdicts on curves whose drops are known."""

from collections.abc import Mapping
from dataclasses import replace

import numpy as np
import pyarrow as pa
import pytest
from scipy.stats import binomtest

from helpers.faithfulness_judged import INTACT, curve_of, labelled
from kmerit.errors import UsageError
from kmerit.results import Outcomes
from kmerit.trials.verdicts import Caveat, Verdict, judge

CONTROLS = ("random", "shifted(a)", "clump(a)", "other(a)", "context(a)")
SEQUENCES = 60
LABELS = np.arange(SEQUENCES) % 2


def noise(seed: int, scale: float = 0.3, draws: int = 2) -> np.ndarray:
    return np.random.default_rng(seed).normal(scale=scale, size=(SEQUENCES, draws, 2))


def drops(ahead: Mapping[str, float], own: float = 2.0, scale: float = 0.3) -> dict[str, np.ndarray]:
    """Drops of method a, and of each control so much less, with what sequences share far larger than what differs."""
    shared = 5 * np.random.default_rng(9).normal(size=(SEQUENCES, 1, 1))
    table = {"a": own + shared + noise(1, scale)}
    for i, control in enumerate(CONTROLS):
        if control in ahead:
            table[control] = own - ahead[control] + shared + noise(2 + i, scale)
    return table


TOKENS = {"a": (3, 6), "context(a)": (6, 12)}


def verdict_of(ahead: Mapping[str, float], scale: float = 0.3, ism: float | None = None, **settings: object) -> Verdict:
    table = drops(ahead, scale=scale)
    if ism is not None:
        table["bound(ism)"] = 2.0 + ism + (table["a"] - 2.0)
    result = judge(curve_of(table, LABELS, **{"tokens": TOKENS, **settings}), resamples=500)
    assert [(v.method, v.class_name, v.label) for v in result] == [("a", "off", 0), ("a", "on", 1)]
    return result[1]


def caveat(verdict: Verdict, code: str, **values: object) -> dict[str, object]:
    """Give the values of a verdict's only caveat of this code with these values."""
    (result,) = (each for each in verdict.caveats if each.code == code and values.items() <= dict(each.values).items())
    return dict(result.values)


def codes(verdict: Verdict) -> set[str]:
    return {each.code for each in verdict.caveats}


AHEAD = dict.fromkeys(CONTROLS, 1.0)


def test_faithful_lies_above_all_matched_controls() -> None:
    verdict = verdict_of({**AHEAD, "other(a)": 0.5})
    assert (verdict.verdict, verdict.beyond) == ("faithful", True)
    assert verdict.control == "other"  # the nearest
    assert verdict.excess == pytest.approx(0.5, abs=0.15)
    assert 0 < verdict.low < verdict.excess < verdict.high
    assert verdict.sequences == SEQUENCES // 2
    assert [each.control for each in verdict.comparisons] == ["random", "shifted", "clump", "other", "context"]


def test_worse_lies_below_all_of_them() -> None:
    verdict = verdict_of({**dict.fromkeys(CONTROLS, -1.0), "shifted(a)": -0.5})
    assert (verdict.verdict, verdict.control, verdict.beyond) == ("worse than its controls", "shifted", None)
    assert verdict.high < 0


@pytest.mark.parametrize("control", ["shifted(a)", "clump(a)", "other(a)"])
def test_below_one_and_above_the_others_is_undecided(control: str) -> None:
    verdict = verdict_of({**AHEAD, control: -1.0})
    assert (verdict.verdict, verdict.control) == ("undecided", control.partition("(")[0])


def test_random_decides_nothing() -> None:
    assert verdict_of({**AHEAD, "random": -3.0}).verdict == "faithful"
    assert verdict_of({**dict.fromkeys(CONTROLS, -1.0), "random": 3.0}).verdict == "worse than its controls"
    without = verdict_of({control: 1.0 for control in CONTROLS if control != "random"})
    assert without.verdict == "faithful"
    assert "control_missing" not in codes(without)
    (random, *_) = verdict_of(AHEAD).comparisons
    assert (random.control, random.sufficient, random.band_low) == ("random", False, None)


def test_context_decides_the_second_answer_alone() -> None:
    verdict = verdict_of({**AHEAD, "context(a)": 4.0})
    assert (verdict.verdict, verdict.beyond) == ("faithful", True)
    verdict = verdict_of({**AHEAD, "context(a)": -4.0})
    assert (verdict.verdict, verdict.beyond) == ("faithful", False)
    assert verdict_of({**dict.fromkeys(CONTROLS, -1.0), "context(a)": 4.0}).beyond is None
    verdict = verdict_of({control: 1.0 for control in CONTROLS if control != "context(a)"})
    assert (verdict.verdict, verdict.beyond) == ("faithful", None)
    assert Caveat("control_missing", {"control": "context", "asked": True}) in verdict.caveats


def test_context_is_compared_at_equal_tokens() -> None:
    # At equal n the method seems 2 worse; but it changes half the tokens, and loses as much per token.
    flat = {"a": np.full((SEQUENCES, 2, 2), [1.0, 2.0]), "context(a)": np.full((SEQUENCES, 2, 2), [2.0, 4.0])}
    flat = {name: values + noise(7 + i, 1e-3) for i, (name, values) in enumerate(flat.items())}
    curve = curve_of({**drops({}), **flat}, LABELS, tokens=TOKENS)
    (context,) = judge(curve, resamples=100)[0].comparisons
    assert context.control == "context"
    assert context.excess == pytest.approx(0, abs=1e-2)


def test_inside_the_margin_it_is_no_better() -> None:
    even = dict.fromkeys(CONTROLS, 0.0)
    verdict = verdict_of(even, ism=5.0, scale=0.3)
    assert verdict.verdict == "no better than its controls"
    for each in verdict.comparisons[1:4]:
        assert each.margin == pytest.approx(0.1 * 5.0, rel=0.1)
        assert -each.margin < each.band_low < each.band_high < each.margin
    # With a smaller margin, more noise or no bound at all, nobody knows.
    assert verdict_of(even, ism=1.0).verdict == "undecided"
    assert verdict_of(even, ism=5.0, scale=3.0).verdict == "undecided"
    unknown = verdict_of(even)
    assert unknown.verdict == "undecided"
    assert caveat(unknown, "no_margin") == {"needed": 10}
    # Above 0 and inside the margin: faithful, and little.
    assert verdict_of(dict.fromkeys(CONTROLS, 0.25), ism=5.0, scale=0.1).verdict == "faithful"


def test_the_band_holds_over_methods_classes_and_controls() -> None:
    rng = np.random.default_rng(0)
    table = {}
    for method in "abcdef":
        own = rng.normal(size=(SEQUENCES, 2, 2))
        table[method] = own
        for control in ("shifted", "clump", "other"):
            table[f"{control}({method})"] = rng.normal(size=(SEQUENCES, 2, 2))
    many = judge(curve_of(table, LABELS), resamples=2000)
    few = judge(curve_of({name: values for name, values in table.items() if "a" in name}, LABELS), resamples=2000)

    def half(verdict: Verdict) -> float:
        each = next(each for each in verdict.comparisons if each.control == "clump")
        return (each.excess - each.band_low) / (each.excess / each.t)

    assert half(many[0]) > half(few[0]) + 0.3
    assert len({round(half(each), 6) for each in many}) == 1  # one threshold for the card
    narrow = next(each for each in many[0].comparisons if each.control == "clump")
    assert narrow.band_low < narrow.low < narrow.high < narrow.band_high


@pytest.mark.parametrize("missing", ["shifted(a)", "other(a)", "clump(a)"])
def test_without_a_matched_control_nothing_is_claimed_and_it_is_said_why(missing: str) -> None:
    there = {control: 1.0 for control in CONTROLS if control != missing}
    verdict = verdict_of(there)
    assert verdict.verdict == "undecided"
    assert caveat(verdict, "control_missing") == {"control": missing.partition("(")[0], "asked": True}
    assert verdict_of(dict.fromkeys(there, -1.0)).verdict == "undecided"


def test_a_control_that_nobody_asked_for_is_not_said_to_have_failed() -> None:
    verdict = verdict_of({"random": 1.0}, controls=["random"])
    assert verdict.verdict == "undecided"
    for control in ("shifted", "clump", "other"):
        assert not caveat(verdict, "control_missing", control=control)["asked"]


def test_where_everything_is_mutated_nothing_is_decided() -> None:
    curve = curve_of(drops(AHEAD), LABELS)
    cells = curve.cells.set_column(curve.cells.column_names.index("full"), "full", pa.array([True] * len(curve.cells)))
    for verdict in judge(replace(curve, cells=cells), resamples=100):
        assert (verdict.verdict, verdict.excess, verdict.comparisons) == ("undecided", None, ())
        assert caveat(verdict, "no_counts") == {}


@pytest.mark.parametrize("resamples", [0, 1, 99])
def test_too_few_resamples_are_refused(resamples: int) -> None:
    with pytest.raises(UsageError, match=rf"resamples: expected 100 or more, .*got {resamples}"):
        judge(curve_of(drops(AHEAD), LABELS), resamples=resamples)


def test_mistaken_sequences_are_a_stratum_of_their_own() -> None:
    table = drops(AHEAD)
    mistaken = np.flatnonzero(LABELS == 1)[:12]
    for name, values in table.items():
        # Right or wrong, the logit of the explained class falls; of the mistaken ones by nothing beyond any control.
        values[mistaken] = 0.0 if name == "a" else 0.5
    labels = LABELS.copy()
    labels[mistaken] = 0  # what the model calls them
    off, on = judge(labelled(curve_of(table, labels, tokens=TOKENS), LABELS), resamples=200)
    assert (off.sequences, off.mistaken, on.sequences, on.mistaken) == (30, 0, 18, 12)
    rest = np.setdiff1d(np.flatnonzero(LABELS == 1), mistaken)
    by_control = {each.control: each for each in on.comparisons}
    assert by_control["other"].excess == pytest.approx((table["a"] - table["other(a)"])[rest].mean())
    assert by_control["other"].sequences == 18
    apart = {each.control: each for each in on.mistaken_comparisons}
    assert apart["other"].excess == pytest.approx(-0.5)
    assert (apart["other"].sufficient, apart["other"].band_low) == (False, None)
    apart_from = caveat(on, "mistaken")
    assert (apart_from["sequences"], apart_from["control"]) == (12, on.control)
    assert apart_from["excess"] == pytest.approx(-0.5)
    assert apart_from["low"] <= apart_from["excess"] <= apart_from["high"]
    assert "mistaken" not in codes(off)


def test_of_few_mistaken_sequences_no_interval_is_given() -> None:
    table, labels = drops(AHEAD), LABELS.copy()
    labels[1:9:2] = 0
    on = judge(labelled(curve_of(table, labels, tokens=TOKENS), LABELS), resamples=200)[1]
    values = caveat(on, "mistaken")
    assert (values["sequences"], values["low"], values["high"]) == (4, None, None)


def test_sequences_that_are_explained_for_another_class_are_counted() -> None:
    targets = np.zeros(SEQUENCES, dtype=int)
    off, on = judge(curve_of(drops(AHEAD), LABELS, tokens=TOKENS, targets=targets.tolist()), resamples=200)
    assert caveat(on, "explained_for_another") == {"sequences": 30, "of": 30}
    assert "explained_for_another" not in codes(off)


def test_a_control_for_some_sequences_is_compared_on_those() -> None:
    table = drops(AHEAD)
    table["other(a)"][:20] = np.nan
    verdict = judge(curve_of(table, LABELS), resamples=200)[0]
    assert {each.control: each.sequences for each in verdict.comparisons}["other"] == 20
    assert caveat(verdict, "control_partly") == {"control": "other", "sequences": 20, "of": 30}
    assert verdict.verdict == "faithful"
    table["other(a)"][:42] = np.nan
    few = judge(curve_of(table, LABELS), resamples=200)[0]
    assert few.verdict == "undecided"
    assert caveat(few, "few_clusters") == {"controls": ["other"], "clusters": 9, "needed": 10}


def test_too_few_sequences_decide_nothing() -> None:
    few = {name: values[:18] for name, values in drops(AHEAD).items()}
    verdict = judge(curve_of(few, LABELS[:18]), resamples=200)[0]
    assert (verdict.verdict, verdict.control, verdict.excess) == ("undecided", None, None)
    assert caveat(verdict, "undecidable", class_name="off", sequences=9, clusters=9)["detectable"] is None
    assert caveat(verdict, "few_clusters")["clusters"] == 9
    assert verdict.comparisons[0].excess == pytest.approx(1.0, abs=0.3)


def test_sixty_sequences_of_few_loci_are_few() -> None:
    verdict = verdict_of(AHEAD, clusters=[i % 8 for i in range(SEQUENCES)])
    assert verdict.verdict == "undecided"
    assert verdict.comparisons[0].clusters == 4
    assert caveat(verdict, "undecidable")["clusters"] == 4


def test_clusters_widen_intervals() -> None:
    copied = {name: np.repeat(values[:30], 2, axis=0) for name, values in drops(AHEAD).items()}
    labels = np.repeat(np.zeros(30, dtype=int), 2)
    alone = judge(curve_of(copied, labels), resamples=2000)[0]
    together = judge(curve_of(copied, labels, clusters=np.repeat(np.arange(30), 2).tolist()), resamples=2000)[0]
    assert (together.high - together.low) / (alone.high - alone.low) == pytest.approx(np.sqrt(2), rel=0.15)


def test_a_class_without_sequences_is_undecided() -> None:
    verdict = judge(curve_of(drops(AHEAD), np.zeros(SEQUENCES, dtype=int)), resamples=200)[1]
    assert (verdict.class_name, verdict.verdict, verdict.sequences, verdict.aopc) == ("on", "undecided", 0, None)
    assert verdict.caveats == (Caveat("no_sequences"),)


def test_random_sets_are_averaged_by_the_alleles_they_share() -> None:
    # Draw 0 moves all rankings by 3, draw 1 by -3: with 3 sets on 2 draws only pairing by draw cancels that.
    table = drops(AHEAD)
    table["random"] = np.concatenate([table["random"], table["random"][:, :1]], axis=1)
    for values in table.values():
        values += 3 * (-1) ** (np.arange(values.shape[1]))[None, :, None]
    verdict = judge(curve_of(table, LABELS, replicates=2), resamples=200)[0]
    assert verdict.comparisons[0].excess == pytest.approx(1.0, abs=0.2)


def test_the_aopc_is_the_mean_over_counts_and_draws() -> None:
    table = drops(AHEAD)
    verdict = judge(curve_of(table, LABELS), resamples=100)[0]
    assert verdict.aopc == pytest.approx(table["a"][LABELS == 0].mean())
    assert verdict.comparisons[0].excess == pytest.approx((table["a"] - table["random"])[LABELS == 0].mean())


def test_mcnemar_compares_calls_of_draw_0_at_the_largest_count_and_holm_counts_methods() -> None:
    table = {**drops(AHEAD), "b": drops(AHEAD)["a"] + 0.2}
    table = {name: np.clip(values * 2, 0, 9) for name, values in table.items()}
    result = {v.method: v for v in judge(curve_of(table, LABELS), resamples=100) if v.label == 0}
    assert [c.control for c in result["b"].comparisons] == ["random"]
    p = {}
    for method in ("a", "b"):
        right, other = (INTACT - table[name][LABELS == 0, 0, -1] > 0 for name in (method, "random"))
        lost, won = int((other & ~right).sum()), int((right & ~other).sum())
        p[method] = binomtest(lost, lost + won).pvalue if lost + won else 1.0
        assert result[method].comparisons[0].p_value == pytest.approx(p[method])
    smaller, larger = sorted(p.values())
    corrected = sorted(result[method].comparisons[0].p_holm for method in p)
    assert corrected == pytest.approx(sorted([min(1, 2 * smaller), max(min(1, 2 * smaller), larger)]))


def test_an_excess_of_nothing_for_every_sequence_is_no_excess() -> None:
    # Where all scores are equal, a method and its shifted self rank alike.
    table = drops({**AHEAD, "clump(a)": 0.0, "other(a)": 0.0})
    table["shifted(a)"] = table["a"].copy()
    table["bound(ism)"] = table["a"] + 5.0
    tied = {"constant": {"a": [True] * SEQUENCES}, "tied": {"a": [50] * SEQUENCES}}
    verdict = judge(curve_of(table, LABELS, by_method=tied), resamples=200)[0]
    shifted = verdict.comparisons[1]
    assert (shifted.control, shifted.t, shifted.band_low, shifted.band_high) == ("shifted", 0.0, 0.0, 0.0)
    assert verdict.verdict == "no better than its controls"
    assert caveat(verdict, "constant") == {"sequences": 30, "of": 30}
    assert caveat(verdict, "ties") == {"share": 1.0}


def test_scores_that_are_not_finite_are_said_apart_from_those_that_are_equal() -> None:
    at = np.arange(SEQUENCES)
    known = {"constant": {"a": (at == 0).tolist()}, "nonfinite": {"a": np.isin(at, [2, 4]).astype(int).tolist()}}
    verdict = judge(curve_of(drops(AHEAD), LABELS, by_method=known), resamples=100)[int(LABELS[0])]
    mine = int((LABELS[0] == LABELS).sum())
    assert caveat(verdict, "nonfinite") == {"sequences": 2, "of": mine}
    assert caveat(verdict, "constant") == {"sequences": 1, "of": mine}


def test_few_sequences_are_said() -> None:
    assert caveat(verdict_of(AHEAD), "narrow_intervals") == {"clusters": 30, "enough": 50}


def test_verdicts_repeat() -> None:
    assert verdict_of(AHEAD) == verdict_of(AHEAD)


def without(curve: Outcomes) -> Outcomes:
    return curve.without_labels


def test_without_labels_classes_are_what_the_model_calls() -> None:
    result = judge(without(curve_of(drops(AHEAD), LABELS)), resamples=100)
    assert [(v.class_name, v.verdict, v.mistaken) for v in result] == [("off", "faithful", 0), ("on", "faithful", 0)]


def test_a_curve_of_another_order_is_refused() -> None:
    curve = curve_of(drops(AHEAD), LABELS, order=dict.fromkeys(("a", *CONTROLS), "lerf"))
    with pytest.raises(UsageError, match="needs the operator random_other"):
        judge(curve)
