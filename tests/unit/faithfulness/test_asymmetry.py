"""What changes from one data set to another: the ranking of methods, the class that falls further."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from helpers.faithfulness_judged import curve_of
from kmerit.errors import CountError
from kmerit.faithfulness.asymmetry import changes, class_difference, drops, falls, falls_further, ranking


def summary(*rows: tuple[int, str, int, float]) -> pd.DataFrame:
    return pd.DataFrame(rows, columns=["label", "method", "n", "accuracy"]).assign(full=False, order="morf")


def test_drops_leave_full_mutation_out() -> None:
    table = summary((0, "a", 0, 0.9), (0, "a", 20, 0.4), (0, "a", 5, 0.8))
    full = summary((0, "a", 20, 0.1)).assign(full=True)
    assert drops(pd.concat([table, full]), 20) == {"a": {0: pytest.approx(0.5)}}


def test_counts_that_are_missing() -> None:
    with pytest.raises(CountError, match="a: the drop at n = 20 needs outcomes at n = 0 and n = 20"):
        drops(summary((0, "a", 0, 0.9)), 20)
    with pytest.raises(CountError, match="no outcomes at n = 0 and n = 20"):
        drops(summary((0, "a", 5, 0.9)), 20)


def test_ranking_and_asymmetry_leave_the_control_out() -> None:
    found = {"random": {0: 0.9, 1: 0.0}, "b": {0: 0.1, 1: 0.3}, "a": {0: 0.3, 1: 0.5}}
    assert ranking(found) == ["a", "b"]
    assert falls_further(found) == 1
    assert falls_further({"a": {0: 0.31, 1: 0.3}}) is None


def test_what_each_sequence_loses() -> None:
    lost = np.array([[[1, 9], [9, 9]], [[1, 1], [1, 9]], [[1, 1], [1, 1]]], dtype=float)  # a drop above 5 is an error
    never, always = np.zeros_like(lost), np.full_like(lost, 9)
    beside = {"random": always, "shifted(a)": always, "bound(ism)": always}
    outcomes = curve_of({"a": lost, "b": never, **beside}, np.array([0, 1, 1]))
    np.testing.assert_allclose(falls(outcomes, 5), [1 / 4, 0, 0])
    np.testing.assert_allclose(falls(outcomes, 10), [1 / 2, 1 / 4, 0])
    np.testing.assert_allclose(falls(outcomes, 10, "random"), [1, 1, 1])
    with pytest.raises(CountError, match="no outcomes of a method at n = all"):
        falls(outcomes, None)
    with pytest.raises(CountError, match="no outcomes of other at n = 5"):
        falls(outcomes, 5, "other")


def test_difference_of_classes_and_its_interval() -> None:
    rng = np.random.default_rng(0)
    labels = np.repeat([0, 1], 100)
    values = np.where(labels == 1, 0.3, 0.1) + rng.normal(scale=0.2, size=200)
    found = class_difference(values, labels)
    zero, one = (values[labels == label] for label in (0, 1))
    assert found.value == pytest.approx(one.mean() - zero.mean())
    error = 1.96 * np.sqrt(one.var() / 100 + zero.var() / 100)
    assert [found.low, found.high] == pytest.approx([found.value - error, found.value + error], abs=0.01)
    twins = class_difference(np.repeat(values, 2), np.repeat(labels, 2), clusters=np.arange(400) // 2)
    assert [twins.low, twins.high] == pytest.approx([found.low, found.high], abs=0.01)
    gone = np.where(np.arange(200) % 2, values, np.nan)
    assert class_difference(gone, labels).value == pytest.approx(one[1::2].mean() - zero[1::2].mean())
    assert np.isnan(class_difference(values, labels, clusters=np.zeros(200, dtype=np.int64)).low)


def test_warnings() -> None:
    first = {"a": {0: 0.1, 1: 0.3}, "b": {0: 0.1, 1: 0.2}, "c": {0: 0.0, 1: 0.1}}
    second = {"a": {0: 0.1, 1: 0.2}, "b": {0: 0.2, 1: 0.3}, "c": {0: 0.0, 1: 0.1}}
    third = {name: {0: by[1], 1: by[0]} for name, by in first.items()}
    assert changes(("x", "y"), first, first) == []
    assert changes(("x", "y"), first, second) == [
        "The ranking of methods changes (Kendall's tau 0.33): a, b, c with x, b, a, c with y."
    ]
    assert changes(("x", "y"), first, third) == ["The class that falls further changes: 1 with x, 0 with y."]
