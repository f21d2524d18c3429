"""Verdicts on curves whose drops are known."""

from collections.abc import Mapping
from dataclasses import replace

import numpy as np
import pyarrow as pa
import pytest
from scipy.stats import binomtest

from faithfulness_judged import INTACT, curve_of
from kmerit.errors import UsageError
from kmerit.faithfulness import Verdict, judge
from kmerit.types import MutagenesisCurve

CONTROLS = ("random", "shifted(a)", "other(a)", "blurred_random")
SEQUENCES = 60
LABELS = np.arange(SEQUENCES) % 2


def noise(seed: int, scale: float = 0.3, draws: int = 2) -> np.ndarray:
    return np.random.default_rng(seed).normal(scale=scale, size=(SEQUENCES, draws, 2))


def drops(ahead: Mapping[str, float], own: float = 2.0) -> dict[str, np.ndarray]:
    """Drops of method a, and of each control so much less, with what sequences share far larger than what differs."""
    shared = 5 * np.random.default_rng(9).normal(size=(SEQUENCES, 1, 1))
    table = {"a": own + shared + noise(1)}
    for i, control in enumerate(CONTROLS):
        if control in ahead:
            table[control] = own - ahead[control] + shared + noise(2 + i)
    return table


def verdict_of(ahead: Mapping[str, float], **settings: object) -> Verdict:
    found = judge(curve_of(drops(ahead), LABELS, **settings), resamples=500)
    assert [(v.method, v.class_name, v.label) for v in found] == [("a", "off", 0), ("a", "on", 1)]
    return found[1]


AHEAD = dict.fromkeys(CONTROLS, 1.0)


def test_faithful_lies_above_every_control() -> None:
    verdict = verdict_of({**AHEAD, "other(a)": 0.5})
    assert verdict.verdict == "faithful"
    assert verdict.control == "other"  # the nearest decides
    assert verdict.excess == pytest.approx(0.5, abs=0.15)
    assert 0 < verdict.low < verdict.excess < verdict.high
    assert verdict.sequences == SEQUENCES // 2
    assert [each.control for each in verdict.comparisons] == ["random", "shifted", "other", "blurred_random"]


def test_worse_lies_below_any_control_however_far_above_the_others() -> None:
    verdict = verdict_of({**AHEAD, "shifted(a)": -0.5})
    assert (verdict.verdict, verdict.control) == ("worse than control", "shifted")
    assert verdict.high < 0


def test_in_between_it_is_not_distinguishable_and_says_what_would_have_been_seen() -> None:
    verdict = verdict_of({**AHEAD, "blurred_random": 0.0})
    assert (verdict.verdict, verdict.control) == ("not distinguishable", "blurred_random")
    assert verdict.low <= 0 <= verdict.high
    comparison = verdict.comparisons[-1]
    assert any(f"An excess below {comparison.detectable:.3g} logits" in text for text in verdict.warnings)


@pytest.mark.parametrize(
    ("missing", "why"), [("shifted(a)", "40 nt or fewer"), ("other(a)", "explained for the same class")]
)
def test_without_a_control_nothing_is_faithful_and_it_is_said_why(missing: str, why: str) -> None:
    there = {control: 1.0 for control in CONTROLS if control != missing}
    verdict = verdict_of(there)
    assert verdict.verdict == "undecided"
    assert any("was not formed" in text and why in text for text in verdict.warnings)
    # What is decided by the controls that there are, stays decided.
    assert verdict_of({**there, "random": -1.0}).verdict == "worse than control"
    assert verdict_of({**there, "random": 0.0}).verdict == "not distinguishable"


def test_a_control_that_nobody_asked_for_is_not_said_to_have_failed() -> None:
    verdict = verdict_of({"random": 1.0}, controls=["random"])
    assert verdict.verdict == "undecided"
    for control in ("shifted", "other", "blurred_random"):
        told = f"The control {control} was not asked for, and being faithful means to beat every control."
        assert told in verdict.warnings


def test_where_everything_is_mutated_nothing_is_decided() -> None:
    curve = curve_of(drops(AHEAD), LABELS)
    cells = curve.cells.set_column(curve.cells.column_names.index("full"), "full", pa.array([True] * len(curve.cells)))
    for verdict in judge(replace(curve, cells=cells), resamples=100):
        assert (verdict.verdict, verdict.excess, verdict.comparisons) == ("undecided", None, ())
        (told,) = (text for text in verdict.warnings if "all rankings mutate the same ones" in text)
        assert told.startswith("Nothing between 0 and all nucleotides was mutated")


@pytest.mark.parametrize("resamples", [0, 1, 39])
def test_too_few_resamples_are_refused(resamples: int) -> None:
    with pytest.raises(UsageError, match=rf"resamples: expected 40 or more, .*got {resamples}"):
        judge(curve_of(drops(AHEAD), LABELS), resamples=resamples)


def test_sequences_that_are_explained_for_another_class_are_counted_and_left_out_beside() -> None:
    table = drops(AHEAD)
    mistaken = np.flatnonzero(LABELS == 1)[:6]
    targets = LABELS.copy()
    targets[mistaken] = 0
    # The logit of the class they are mistaken for does not move: no excess there.
    off, on = judge(curve_of(table, LABELS, targets=targets.tolist()), resamples=200)
    assert not any("explained for another class" in text for text in off.warnings)
    (told,) = (text for text in on.warnings if "explained for another class" in text)
    rest = np.setdiff1d(np.flatnonzero(LABELS == 1), mistaken)
    alone = (table["a"] - table[{"random": "random"}.get(on.control, f"{on.control}(a)")])[rest].mean()
    assert told.startswith("6 of 30 sequences are explained for another class")
    assert f"on the 24 others the excess over {on.control} is {alone:.3f} (" in told
    assert on.excess == pytest.approx(alone * 24 / 30, abs=1e-6)


def test_where_only_scattered_controls_win_the_footprint_is_told() -> None:
    tokens = {"a": 40, "random": 90}
    table = drops({**AHEAD, "random": -0.5})
    verdict = judge(curve_of(table, LABELS, tokens=tokens), resamples=200)[0]
    assert (verdict.verdict, verdict.control) == ("worse than control", "random")
    (told,) = (text for text in verdict.warnings if text.startswith("Equal n is not equal damage"))
    shifted = next(each for each in verdict.comparisons if each.control == "shifted")
    assert "at n = 10 this ranking changes 40 tokens, random 90" in told
    assert f"shifted {shifted.excess:.3f} ({shifted.low:.3f} to {shifted.high:.3f})" in told
    # A clustered control that wins leaves nothing to excuse.
    both = judge(curve_of(drops({**AHEAD, "random": -0.5, "other(a)": -0.5}), LABELS, tokens=tokens), resamples=200)[0]
    assert both.verdict == "worse than control"
    assert not any("Equal n" in text for text in both.warnings)


def test_a_control_for_some_sequences_is_compared_on_those() -> None:
    table = drops(AHEAD)
    table["other(a)"][:20] = np.nan
    verdict = judge(curve_of(table, LABELS), resamples=200)[0]
    assert {each.control: each.sequences for each in verdict.comparisons}["other"] == 20
    assert any("other exists for 20 of 30" in text for text in verdict.warnings)
    assert verdict.verdict == "faithful"


def test_too_few_sequences_decide_nothing() -> None:
    few = {name: values[:18] for name, values in drops(AHEAD).items()}
    verdict = judge(curve_of(few, LABELS[:18]), resamples=200)[0]
    assert (verdict.verdict, verdict.control, verdict.excess) == ("undecided", None, None)
    assert sum("on 9 independent sequences; 10 are needed" in text for text in verdict.warnings) == 1
    assert verdict.comparisons[0].excess == pytest.approx(1.0, abs=0.3)


def test_sixty_sequences_of_few_loci_are_few() -> None:
    verdict = verdict_of(AHEAD, clusters=[i % 8 for i in range(SEQUENCES)])
    assert verdict.verdict == "undecided"
    assert verdict.comparisons[0].clusters == 4


def test_clusters_widen_intervals() -> None:
    copied = {name: np.repeat(values[:30], 2, axis=0) for name, values in drops(AHEAD).items()}
    labels = np.repeat(np.zeros(30, dtype=int), 2)
    alone = judge(curve_of(copied, labels), resamples=2000)[0]
    together = judge(curve_of(copied, labels, clusters=np.repeat(np.arange(30), 2).tolist()), resamples=2000)[0]
    assert (together.high - together.low) / (alone.high - alone.low) == pytest.approx(np.sqrt(2), rel=0.1)


def test_a_class_without_sequences_is_undecided() -> None:
    verdict = judge(curve_of(drops(AHEAD), np.zeros(SEQUENCES, dtype=int)), resamples=200)[1]
    assert (verdict.class_name, verdict.verdict, verdict.sequences, verdict.aopc) == ("on", "undecided", 0, None)
    assert verdict.warnings == ("No sequence of this class took part, so nothing can be said of it.",)


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
    verdict = judge(curve_of(table, LABELS), resamples=50)[0]
    assert verdict.aopc == pytest.approx(table["a"][LABELS == 0].mean())
    assert verdict.comparisons[0].excess == pytest.approx((table["a"] - table["random"])[LABELS == 0].mean())


def test_mcnemar_compares_calls_of_draw_0_at_the_largest_count_and_holm_counts_methods() -> None:
    table = {**drops(AHEAD), "b": drops(AHEAD)["a"] + 0.2}
    table = {name: np.clip(values * 2, 0, 9) for name, values in table.items()}
    found = {v.method: v for v in judge(curve_of(table, LABELS), resamples=50) if v.label == 0}
    assert [c.control for c in found["b"].comparisons] == ["random", "blurred_random"]
    p = {}
    for method in ("a", "b"):
        right, other = (INTACT - table[name][LABELS == 0, 0, -1] > 0 for name in (method, "random"))
        lost, won = int((other & ~right).sum()), int((right & ~other).sum())
        p[method] = binomtest(lost, lost + won).pvalue if lost + won else 1.0
        assert found[method].comparisons[0].p_value == pytest.approx(p[method])
    smaller, larger = sorted(p.values())
    corrected = sorted(found[method].comparisons[0].p_holm for method in p)
    assert corrected == pytest.approx(sorted([min(1, 2 * smaller), max(min(1, 2 * smaller), larger)]))


def test_all_zero_scores_are_not_distinguishable_and_said_to_be_drawn() -> None:
    # Where all scores are equal, a method and its shifted self rank alike.
    table = drops(AHEAD)
    table["shifted(a)"] = table["a"].copy()
    verdict = judge(
        curve_of(table, LABELS, constant={"a": list(range(SEQUENCES))}, tie_shares={"a": [1.0] * SEQUENCES}),
        resamples=100,
    )[0]
    assert verdict.verdict == "not distinguishable"
    assert (verdict.control, verdict.low, verdict.high) == ("shifted", 0.0, 0.0)
    assert any("All scores of 30 of 30 sequences are equal" in text for text in verdict.warnings)
    assert any(text.startswith("100% of the positions have a score") for text in verdict.warnings)
    assert not any("would have gone unseen" in text for text in verdict.warnings)


def test_scores_that_are_not_finite_are_said_apart_from_those_that_are_equal() -> None:
    settings = {"constant": {"a": [0]}, "nonfinite": {"a": [2, 4]}}
    warnings = judge(curve_of(drops(AHEAD), LABELS, **settings), resamples=50)[int(LABELS[0])].warnings
    mine = int((LABELS[0] == LABELS).sum())
    assert any(f"2 of {mine} sequences have scores that are not finite" in text for text in warnings)
    assert any(f"All scores of 1 of {mine} sequences are equal" in text for text in warnings)


def test_few_sequences_are_said() -> None:
    assert any("Few independent sequences (30)" in text for text in verdict_of(AHEAD).warnings)


def test_verdicts_repeat() -> None:
    assert verdict_of(AHEAD) == verdict_of(AHEAD)


def without(curve: MutagenesisCurve) -> MutagenesisCurve:
    return replace(curve, labels=None)


def test_without_labels_classes_are_what_the_model_calls() -> None:
    found = judge(without(curve_of(drops(AHEAD), LABELS)), resamples=100)
    assert [(v.class_name, v.verdict) for v in found] == [("off", "faithful"), ("on", "faithful")]


def test_a_curve_of_another_order_is_refused() -> None:
    curve = curve_of(drops(AHEAD), LABELS, order=dict.fromkeys(("a", *CONTROLS), "lerf"))
    with pytest.raises(UsageError, match="needs the operator random_other"):
        judge(curve)
