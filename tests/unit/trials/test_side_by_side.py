"""Trials side by side: numbers computed again by other means, a difference that is there, and what is refused."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy.stats import spearmanr

import kmerit as km
from kmerit.errors import RunMismatch, SequenceError, UsageError
from kmerit.models.model import Model
from kmerit.report.page import side_by_side_md, side_by_side_page
from kmerit.results import Attributions
from kmerit.sequences import Sequences
from kmerit.trials.side_by_side import ALL_CLASSES, Side, SideBySide, side_by_side
from kmerit.trials.verdicts import excess_by_sequence
from kmerit.uncertainty import intervals, studentised

DESIGN: dict[str, Any] = {"counts": [2, 5], "replicates": 2, "controls": ("random", "shifted", "clump", "other")}


@pytest.fixture(scope="module")
def sequences(model: Model) -> Sequences:
    """Give sequences the labels that the model gives them, so that all of them are compared."""
    rng = np.random.default_rng(4)
    strings = ["".join(rng.choice(list("ACGT"), 48)) for _ in range(30)]
    return Sequences.from_strings(strings, labels=model.logits(strings).argmax(axis=1).tolist())


def scored(model: Model, sequences: Sequences, share: float, seed: int = 0) -> Attributions:
    """Mix exact in-silico mutagenesis with noise, as the method ``mine``; ``noise`` is the noise alone."""
    ism = km.attribute(model, sequences, ["ism"], "label")["ism"]
    noise = np.random.default_rng(seed).normal(size=ism.scores.shape) * ism.scores.std()
    result = {"mine": share * ism.scores + (1 - share) * noise, "noise": noise}
    return Attributions(
        {
            name: replace(ism, method=name, scores=each.astype(np.float32), substitutions=None)
            for name, each in result.items()
        }
    )


def side(name: str, model: Model, sequences: Sequences, scores: Attributions, **changed: Any) -> Side:
    return Side(name, km.mutate(model, sequences, scores, **{**DESIGN, **changed}), scores)


@pytest.fixture(scope="module")
def sides(model: Model, sequences: Sequences) -> list[Side]:
    return [
        side(f"d{share}", model, sequences, scored(model, sequences, share, seed))
        for share, seed in ((0.0, 0), (1.0, 1))
    ]


@pytest.fixture(scope="module")
def result(sides: list[Side]) -> SideBySide:
    return side_by_side(sides, resamples=300, seed=3)


def test_a_difference_that_is_there_is_claimed_and_noise_is_not(sides: list[Side], result: SideBySide) -> None:
    labels, counts = np.unique(sides[0].outcomes.classes, return_counts=True)
    large = labels[counts >= 10]
    claims = result.claims.set_index(["label", "method"])["claim"]
    assert large.size
    assert {claims[label, "mine"] for label in large} == {"higher"}
    assert {claims[label, "noise"] for label in large} == {"not shown"}
    backwards = side_by_side(sides[::-1], resamples=300, seed=3)
    turned = backwards.claims.set_index(["label", "method"])["claim"]
    assert {turned[label, "mine"] for label in large} == {"lower"}
    keys = ["label", "method", "control"]
    both = result.differences.merge(backwards.differences, on=keys, suffixes=("", "_back"))
    np.testing.assert_allclose(both["difference"], -both["difference_back"], atol=1e-12)
    np.testing.assert_allclose(both["effect_difference"], -both["effect_difference_back"], atol=1e-12)
    assert [each.code for each in result.remarks if each.code in ("higher", "lower")] == ["higher"] * large.size


def test_differences_are_those_of_the_excesses_sequence_by_sequence(sides: list[Side], result: SideBySide) -> None:
    tables = [excess_by_sequence(each.outcomes, ["shifted"]).query("ranking == 'mine'") for each in sides]
    for row in result.differences.query("method == 'mine' and control == 'shifted'").to_dict("records"):
        one, two = (each[each["label"] == row["label"]]["excess"].to_numpy() for each in tables)
        assert row["sequences"] == one.size
        assert row["difference"] == pytest.approx((two - one).mean())
        assert row["excess_first"] == pytest.approx(one.mean())
        effects = [each.mean() / each.std(ddof=1) for each in (one, two)]
        assert [row["effect_first"], row["effect_second"]] == pytest.approx(effects)
        assert row["effect_low"] < row["effect_difference"] < row["effect_high"]
        if row["clusters"] >= 10:
            assert row["band_low"] < row["low"] < row["difference"] < row["high"] < row["band_high"]
    random = result.differences.query("control == 'random'")
    assert random["band_low"].isna().all()  # it decides nothing


def test_intervals_are_those_of_the_differences_over_clusters(sides: list[Side]) -> None:
    clusters = np.arange(30) // 2
    grouped = [
        replace(each, outcomes=replace(each.outcomes, sequences=_with_clusters(each, clusters))) for each in sides
    ]
    result = side_by_side(grouped, resamples=300)
    row = next(iter(result.differences.query("method == 'mine' and control == 'clump'").to_dict("records")))
    here = sides[0].outcomes.classes == row["label"]
    one, two = (
        excess_by_sequence(each.outcomes, ["clump"]).query("ranking == 'mine'")["excess"].to_numpy() for each in sides
    )
    assert row["clusters"] == np.unique(clusters[here]).size < here.sum()
    table = np.where(here, two - one, np.nan)[:, None]
    results = studentised(table, clusters=clusters, resamples=300, seed=row["label"])
    low, high = intervals(results, table, clusters, 300, 0.95, row["label"])
    assert [row["low"], row["high"]] == pytest.approx([low[0], high[0]])


def _with_clusters(of: Side, clusters: np.ndarray) -> Any:
    import pyarrow as pa

    table = of.outcomes.sequences
    return table.set_column(table.column_names.index("cluster"), "cluster", pa.array(clusters, pa.int64()))


def test_agreement_is_that_of_scipy_and_its_floor_that_of_every_shift(sides: list[Side], result: SideBySide) -> None:
    one, two = ((each.scores or {})["mine"].scores for each in sides)
    rows = result.agreement.query(f"label == {ALL_CLASSES} and method == 'mine'").set_index("measure")
    expected = [spearmanr(a, b).statistic for a, b in zip(one, two, strict=True)]
    floors = [
        np.mean([spearmanr(a, np.roll(b, k)).statistic for k in range(20, 29)]) for a, b in zip(one, two, strict=True)
    ]
    correlation = rows.loc["rank correlation"]
    assert correlation["value"] == pytest.approx(np.mean(expected), abs=1e-6)
    assert correlation["floor"] == pytest.approx(np.mean(floors), abs=1e-6)
    assert correlation["above"] == pytest.approx(np.mean(expected) - np.mean(floors), abs=1e-6)
    shared = [len({*np.argsort(-a)[:5]} & {*np.argsort(-b)[:5]}) / 5 for a, b in zip(one, two, strict=True)]
    overlap = rows.loc["overlap"].set_index("n").loc[5]
    assert overlap["value"] == pytest.approx(np.mean(shared))
    assert overlap["low"] <= overlap["value"] <= overlap["high"] <= 1


def test_tied_scores_agree_by_no_more_than_independent_draws_would(model: Model, sequences: Sequences) -> None:
    one, two = np.zeros((2, 30, 48))
    one[:, 3:6], two[:, 5:8] = 1, 1
    one[15:], two[15:] = 0, 0
    by_run = {name: km.own_scores(model, sequences, each, "label") for name, each in {"a": one, "b": two}.items()}
    result = side_by_side([side(name, model, sequences, each) for name, each in by_run.items()], resamples=100)
    rows = result.agreement.query(f"label == {ALL_CLASSES} and measure == 'overlap'").set_index("n")
    draw = np.random.default_rng(0)
    shared = []
    for a, b in zip(one[10:20], two[10:20], strict=True):  # five of either kind
        firsts = ({*np.lexsort((draw.random(48), -each))[:5]} for each in [a, b] * 2000)
        shared += [len(first & next(firsts)) / 5 for first in firsts]
    assert rows.loc[5, "value"] == pytest.approx(np.mean(shared), abs=0.005)
    assert rows.loc[5, "above"] < 0.1


def test_verdicts_are_those_of_each_card(sides: list[Side], result: SideBySide) -> None:
    for each in sides:
        card = {(v.label, v.method): (v.verdict, v.excess or 0) for v in km.judge(each.outcomes, resamples=300, seed=3)}
        mine = result.verdicts[result.verdicts["run"] == each.name].fillna({"excess": 0})
        assert {(r.label, r.method): (r.verdict, r.excess) for r in mine.itertuples()} == card


def test_letters_decide_not_names_and_not_the_order(model: Model, sequences: Sequences, sides: list[Side]) -> None:
    order = np.random.default_rng(2).permutation(30)
    moved = replace(sequences.take(order), names=tuple(f"other{i}" for i in range(30)))
    scores = scored(model, sequences, 1.0, 1)
    renamed = Attributions(
        {
            name: replace(each.take(order), names=moved.names, sequences=moved, identity=None)
            for name, each in scores.items()
        }
    )
    other = side("moved", model, moved, renamed)
    result = side_by_side([sides[1], other], resamples=200)
    agreement = result.agreement.query(f"label == {ALL_CLASSES} and measure == 'rank correlation'")
    assert agreement["value"].to_numpy() == pytest.approx(1.0)
    assert "other_names" in {each.code for each in result.remarks}
    without = [replace(each, scores=None) for each in (sides[1], other)]
    with pytest.raises(SequenceError, match="names, letters or labels differ"):
        side_by_side(without)


def test_three_trials_are_three_pairs_on_the_sequences_that_both_get_right(
    model: Model, sequences: Sequences, sides: list[Side], make_checkpoint: Callable[..., Path]
) -> None:
    other = km.load_model(make_checkpoint(k=3, seed=7), device="cpu")
    third = side("third", other, sequences, scored(other, sequences, 1.0, 2))
    result = side_by_side([*sides, third], resamples=200)
    assert result.differences.groupby(["first", "second"]).ngroups == 3
    right = other.logits(sequences).argmax(axis=1) == sequences.labels
    counted = result.differences.query("second == 'third' and method == 'mine' and control == 'shifted'")
    assert counted.groupby("first")["sequences"].sum().unique().tolist() == [int(right.sum())]
    left_out = [each.values["sequences"] for each in result.remarks if each.code == "sequences_left_out"]
    assert sum(left_out) == 2 * int((~right).sum())


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"counts": [2, 6]}, r"^counts: d0\.0 has \[2, 5\], other \[2, 6\]\. Compare"),
        ({"replicates": 3}, r"^random_sets: d0\.0 has 2, other 3\.|^replicates: d0\.0 has 2, other 3\."),
        ({"seed": 1}, r"^seed: d0\.0 has 0, other 1\."),
        ({"operator": ["random_other", "complement"]}, r"^operators: d0\.0 has \['random_other'\], other \['random_"),
        ({"order": ["morf", "lerf"]}, r"^orders: d0\.0 has \['morf'\], other \['morf', 'lerf'\]\."),
        ({"controls": ("shifted",), "random_sets": 2}, r"^controls: d0\.0 has \['random', 'shifted'"),
    ],
)
def test_other_settings_are_refused_by_name_with_both_values(
    model: Model, sequences: Sequences, sides: list[Side], changed: dict[str, Any], message: str
) -> None:
    other = side("other", model, sequences, scored(model, sequences, 1.0, 1), **changed)
    with pytest.raises(RunMismatch, match=message):
        side_by_side([sides[0], other])


def altered(sequences: Sequences, what: str) -> Sequences:
    strings, labels = sequences.strings(), [*map(int, sequences.labels)]  # type: ignore[arg-type]
    if what == "letters":
        strings[3] = strings[3][:10] + "ACGT"[("ACGT".index(strings[3][10]) + 1) % 4] + strings[3][11:]
    if what == "label":
        labels[3] = 1 - labels[3]
    keep = slice(0, 29) if what == "number" else slice(None)
    return Sequences.from_strings(strings[keep], labels=labels[keep])


@pytest.mark.parametrize(
    ("what", "message"),
    [
        ("letters", r"^sequences: the letters of 'seq3' in d0\.0 are those of no sequence in other \(sha"),
        ("label", r"^The label of 'seq3' is [01] in d0\.0 and [01] in other\."),
        ("number", r"^sequences: d0\.0 has 30, other 29\."),
    ],
)  # fmt: skip
def test_other_sequences_are_refused(
    model: Model, sequences: Sequences, sides: list[Side], what: str, message: str
) -> None:
    others = altered(sequences, what)
    other = side("other", model, others, scored(model, others, 1.0, 1))
    with pytest.raises(SequenceError, match=message):
        side_by_side([sides[0], other])


def test_another_crop_is_named(model: Model, sequences: Sequences) -> None:
    rng = np.random.default_rng(0)
    long = Sequences.from_strings(
        [s + "".join(rng.choice(list("ACGT"), 8)) for s in sequences.strings()], labels=[i % 2 for i in range(30)]
    )
    crops = [km.prepare(long, crop=km.Crop(48, anchor))[0] for anchor in ("left", "right")]
    both = [side(name, model, crop, scored(model, crop, 1.0)) for name, crop in zip("ab", crops, strict=True)]
    with pytest.raises(SequenceError, match=r"^crop: 'seq0' was read with .* in a, with .* in b\.$"):
        side_by_side(both)


def test_scores_of_other_settings_are_refused(sides: list[Side]) -> None:
    scores = Attributions(
        {
            name: replace(each, settings={**each.settings, "target": "predicted"})
            for name, each in (sides[1].scores or {}).items()
        }
    )
    with pytest.raises(RunMismatch, match=r"^(mine|noise)\.target: d0\.0 has 'label', d1\.0 'predicted'\."):
        side_by_side([sides[0], replace(sides[1], scores=scores)])


def test_other_classes_and_clusters_are_refused(sides: list[Side]) -> None:
    one, two = sides
    named = replace(two.outcomes, settings={**two.outcomes.settings, "classes": ["x", "y"]})
    with pytest.raises(RunMismatch, match=r"^classes: d0\.0 has \['background', 'signal'\], d1\.0 \['x', 'y'\]\."):
        side_by_side([one, replace(two, outcomes=named)])
    apart = replace(two.outcomes, sequences=_with_clusters(two, np.arange(30) // 3))
    with pytest.raises(SequenceError, match=r"^clusters: d0\.0 has 30, d1\.0 10, or others"):
        side_by_side([one, replace(two, outcomes=apart)])


def test_what_cannot_be_compared_at_all(model: Model, sequences: Sequences, sides: list[Side]) -> None:
    with pytest.raises(UsageError, match="two or more trials to compare, got 1"):
        side_by_side(sides[:1])
    with pytest.raises(UsageError, match=r"Two trials are called 'd0\.0'"):
        side_by_side([sides[0], sides[0]])
    renamed = Attributions({f"{name}2": each for name, each in (sides[1].scores or {}).items()})
    other = side("other", model, sequences, renamed)
    with pytest.raises(UsageError, match=r"no method in common: d0\.0 has mine, noise; other has mine2, noise2"):
        side_by_side([sides[0], other])
    bare = [side(name, model, sequences, scored(model, sequences, 1.0), controls=()) for name in "ab"]
    with pytest.raises(UsageError, match="no deciding control"):
        side_by_side(bare)


def test_methods_that_one_trial_lacks_and_missing_scores_are_said(
    model: Model, sequences: Sequences, sides: list[Side]
) -> None:
    more = Attributions({**(sides[1].scores or {}), "third": (sides[0].scores or {})["noise"]})
    other = replace(side("more", model, sequences, more), scores=None)
    result = side_by_side([sides[0], other], resamples=200)
    text = {each.code: each.values for each in result.remarks}
    assert text["methods_left_out"] == {"names": ["third"], "run": "more"}
    assert text["scores_missing"] == {"names": ["more"]}
    assert result.agreement.empty


def test_where_both_models_are_wrong_everywhere_there_is_nothing_to_compare(model: Model, sequences: Sequences) -> None:
    wrong = replace(sequences, labels=1 - np.asarray(sequences.labels))
    both = [side(name, model, wrong, scored(model, wrong, 1.0, seed)) for seed, name in enumerate("ab")]
    result = side_by_side(both, resamples=100)
    assert result.differences.empty
    assert result.claims.empty
    assert sum(each.values["sequences"] for each in result.remarks if each.code == "sequences_left_out") == 30
    assert "No class has a sequence that both runs classify correctly." in side_by_side_page(result)
    assert side_by_side_md(result).startswith("# a and b side by side")
