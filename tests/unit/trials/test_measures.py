"""Summaries of curves whose outcomes are written down by hand."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from kmerit.errors import CountError, LabelError, UsageError
from kmerit.results import Outcomes
from kmerit.sequences import Locus
from kmerit.trials.measures import BOUNDS, COLUMNS, choose_lrp, default_label, random_means, summarise
from kmerit.trials.outcomes import logits_column, sequences_table
from kmerit.uncertainty import locus_clusters

Cell = tuple[str, int, bool, int, int, int]
"""Method, n, full, draw, sequence, and the class that the model calls the mutant."""


def curve_of(
    cells: Sequence[Cell],
    calls: Sequence[int],
    labels: Sequence[int] | None,
    order: str = "morf",
    targets: Sequence[int] | None = None,
    clusters: Sequence[int] | None = None,
    lengths: Sequence[int] | None = None,
    **settings: object,
) -> Outcomes:
    """Make a curve of sequences of 10 nt: the call of each unmutated sequence, and of the mutant of every cell.

    The logits of class 1 are 1 or -1 against 0; mutants have 3 G or C more, and n tokens changed.
    """
    rows = [(s, call, 4, 0) for s, call in enumerate(calls)]
    number = {s: s for s in range(len(calls))}
    which = []
    for _, n, _, _, s, call in cells:
        rows.append((s, call, 7 if n else 4, n))
        which.append(len(rows) - 1)
    by_sequence = sorted(range(len(rows)), key=lambda i: rows[i][0])
    number = {old: new for new, old in enumerate(by_sequence)}
    sequence, call, gc, tokens = (np.array(column) for column in zip(*(rows[i] for i in by_sequence), strict=True))
    logits = np.stack([np.zeros(len(call)), np.where(call == 1, 1.0, -1.0)], axis=1)
    mutants = pa.table(
        {
            "id": np.arange(len(rows)),
            "sequence": sequence,
            "logits": logits_column(logits),
            "tokens_changed": tokens,
            "gc": gc,
        }
    )
    method, n, full, draw, owner, _ = zip(*cells, strict=True)
    table = pa.table(
        {
            "method": pa.array(method).dictionary_encode(),
            "operator": pa.array(["random_other"] * len(cells)).dictionary_encode(),
            "order": pa.array([order] * len(cells)).dictionary_encode(),
            "n": pa.array(n),
            "full": pa.array(full),
            "draw": pa.array(draw),
            "sequence": pa.array(owner),
            "mutant": pa.array([number[i] for i in which]),
        }
    )
    known = sequences_table(
        [f"s{i}" for i in range(len(calls))],
        np.array(lengths or [10] * len(calls)),
        None if labels is None else np.array(labels),
        np.array(calls if targets is None else targets),
        np.unique(sequence, return_index=True)[1],
        clusters,
    )
    return Outcomes(mutants, table, known, settings)


def cells_of(method: str, n: int, calls: Sequence[Sequence[int]], full: bool = False) -> list[Cell]:
    """Spell the calls ``[sequence][draw]`` of one method at one n."""
    return [(method, n, full, d, s, call) for s, draws in enumerate(calls) for d, call in enumerate(draws)]


LABELS = [0, 0, 1, 1]
CALLS = [0, 1, 1, 1]
CELLS = [
    *cells_of("a", 0, [[0, 0], [1, 1], [1, 1], [1, 1]]),
    *cells_of("a", 2, [[0, 1], [1, 1], [0, 1], [0, 0]]),
    *cells_of("a", 10, [[0, 0], [0, 1], [0, 0], [0, 0]], full=True),
]


@pytest.fixture
def table() -> pd.DataFrame:
    return summarise(curve_of(CELLS, CALLS, LABELS), resamples=200).set_index(["label", "n"])


def test_columns_and_rows(table: pd.DataFrame) -> None:
    assert list(table.reset_index()[COLUMNS].columns) == COLUMNS
    assert list(table.index) == [(0, 0), (0, 2), (0, 10), (1, 0), (1, 2), (1, 10)]
    assert set(table["sequences"]) == {2}
    assert set(table["draws"]) == {2}
    assert table["full"].tolist() == [False, False, True] * 2


def test_accuracy_is_the_mean_over_sequences_of_the_mean_over_draws(table: pd.DataFrame) -> None:
    assert table["accuracy"].tolist() == pytest.approx([0.5, 0.25, 0.75, 1, 0.25, 0])


def test_accuracy_of_the_initially_correct(table: pd.DataFrame) -> None:
    assert table["accuracy_correct"].tolist() == pytest.approx([1, 0.5, 1, 1, 0.25, 0])


def test_flip_rate_compares_with_the_unmutated_call(table: pd.DataFrame) -> None:
    assert table["flip_rate"].tolist() == pytest.approx([0, 0.25, 0.25, 0, 0.75, 1])


def test_logit_and_probability_are_of_the_explained_class(table: pd.DataFrame) -> None:
    # Without recorded targets that is the predicted one: class 0, with logit 0, for the first sequence; else class 1.
    assert table.loc[(1, 2), "logit"] == pytest.approx((0 - 1) / 2)
    assert table.loc[(0, 2), "logit"] == pytest.approx((0 + 1) / 2)
    up, down = 1 / (1 + np.exp(-1)), 1 / (1 + np.exp(1))
    assert table.loc[(0, 2), "probability"] == pytest.approx(((up + down) / 2 + up) / 2)
    message = summarise(curve_of(CELLS, CALLS, LABELS, targets=[0, 0, 0, 0])).set_index(["label", "n"])
    assert message["logit"].tolist() == [0.0] * 6


def test_footprint(table: pd.DataFrame) -> None:
    assert table["tokens_changed"].tolist() == [0, 2, 10] * 2
    assert table["gc_shift"].tolist() == pytest.approx([0, 0.3, 0.3] * 2)


def test_default_label_and_its_rate(table: pd.DataFrame) -> None:
    assert default_label(curve_of(CELLS, CALLS, LABELS)) == 0
    assert table["default_label_rate"].tolist() == pytest.approx([0.75] * 3 + [1.0] * 3)


def test_default_label_weighs_classes_alike() -> None:
    # Class 0 is called 0 for four of five, class 1 always 1: in the mean 0.4 against 0.6, though most calls are 0.
    calls = [0, 0, 0, 0, 1, 1, 1]
    curve = curve_of(cells_of("a", 10, [[c] for c in calls], full=True), calls, [0, 0, 0, 0, 0, 1, 1])
    assert default_label(curve) == 1


def test_floor_normalised_drop(table: pd.DataFrame) -> None:
    assert table.loc[1, "floor_normalised_drop"].tolist() == pytest.approx([0, 0.75, 1])
    # Class 0 rises from 0.5 to 0.75: the way to the floor leads upwards, and n = 2 goes the other way.
    assert table.loc[0, "floor_normalised_drop"].tolist() == pytest.approx([0, -1, 1])


def test_floor_normalised_drop_needs_a_floor_that_differs() -> None:
    same = [*cells_of("a", 2, [[1], [0]]), *cells_of("a", 10, [[1], [1]], full=True)]
    assert summarise(curve_of(same, [1, 1], [1, 1]))["floor_normalised_drop"].isna().all()


def test_without_full_mutations_there_is_no_floor() -> None:
    curve = curve_of(cells_of("a", 2, [[0, 1]] * 4), CALLS, LABELS)
    assert default_label(curve) is None
    table = summarise(curve)
    assert table[["default_label_rate", "floor_normalised_drop"]].isna().all(axis=None)


def test_the_floor_of_insertion_is_its_start() -> None:
    restored = [
        *cells_of("a", 0, [[0], [0], [0], [0]]),
        *cells_of("a", 2, [[0], [0], [1], [0]]),
        *cells_of("a", 10, [[0], [1], [1], [1]], full=True),
    ]
    table = summarise(curve_of(restored, CALLS, LABELS, order="insertion")).set_index(["label", "n"])
    assert table.loc[1, "floor_normalised_drop"].tolist() == pytest.approx([1, 0.5, 0])
    assert table.loc[1, "default_label_rate"].tolist() == [1.0] * 3


def test_full_mutations_of_different_lengths_are_one_row() -> None:
    cells = [("a", length, True, 0, s, 0) for s, length in enumerate([10, 8, 10, 9])]
    table = summarise(curve_of(cells, CALLS, LABELS, lengths=[10, 8, 10, 9]))
    assert table[["label", "n", "sequences"]].to_numpy().tolist() == [[0, 10, 2], [1, 10, 2]]


def test_a_group_without_sequences_of_a_class_has_no_row() -> None:
    cells = [cell for cell in CELLS if cell[1] != 2 or cell[4] < 2]
    table = summarise(curve_of(cells, CALLS, LABELS))
    assert list(zip(table["label"], table["n"], strict=True)) == [(0, 0), (0, 2), (0, 10), (1, 0), (1, 10)]


def test_split_by_prediction_needs_no_labels() -> None:
    table = summarise(curve_of(CELLS, CALLS, None), by="predicted").set_index(["label", "n"])
    assert table.loc[(0, 2), "accuracy"] == 0.5
    assert table.loc[(1, 2), "accuracy"] == pytest.approx((1 + 0.5 + 0) / 3)
    assert table["accuracy"].tolist() == pytest.approx((1 - table["flip_rate"]).tolist())


def test_labels_missing() -> None:
    with pytest.raises(LabelError, match="needs labels"):
        summarise(curve_of(CELLS, CALLS, None), by="label")
    assert default_label(curve_of(CELLS, CALLS, None)) == 0


def test_unknown_split() -> None:
    with pytest.raises(UsageError, match="'label' or 'predicted'"):
        summarise(curve_of(CELLS, CALLS, LABELS), by="class")


def test_regression_has_only_its_value() -> None:
    curve = curve_of(CELLS, CALLS, None)
    values = logits_column(np.arange(curve.mutants.num_rows, dtype=np.float32)[:, None])
    table = summarise(replace(curve, mutants=curve.mutants.set_column(2, "logits", values)))
    assert table["label"].tolist() == [0, 0, 0]
    assert table[["logit", "logit_low", "logit_high"]].notna().all(axis=None)
    assert table[["probability_low", "flip_rate_high"]].isna().all(axis=None)
    gone = ["accuracy", "low", "high", "accuracy_correct", "flip_rate", "probability", "default_label_rate"]
    assert table[[*gone, "floor_normalised_drop"]].isna().all(axis=None)


class TestIntervals:
    """Of 200 sequences of one class."""

    calls = np.random.default_rng(0).random((200, 5)) < 0.7

    def summary(self, draws: int, method: str = "a", **settings: object) -> pd.Series:
        calls = self.calls[:, :draws].astype(int).tolist()
        curve = curve_of(cells_of(method, 2, calls), [1] * 200, [1] * 200, **settings)
        return summarise(curve, resamples=4000).iloc[0]

    def test_one_draw_is_wilson(self) -> None:
        row, p, z = self.summary(1), self.calls[:, 0].mean(), 1.959964
        centre, spread = p + z**2 / 400, z * np.sqrt(p * (1 - p) / 200 + z**2 / 160_000)
        assert [row["low"], row["high"]] == pytest.approx([(centre + s * spread) / (1 + z**2 / 200) for s in (-1, 1)])

    def test_several_draws_are_bootstrapped_over_sequences(self) -> None:
        row, of_sequence = self.summary(5), self.calls.mean(axis=1)
        error = of_sequence.std() / np.sqrt(200)
        assert [row["low"], row["high"]] == pytest.approx(
            of_sequence.mean() + np.array([-1.96, 1.96]) * error, abs=0.004
        )

    def test_overlapping_loci_are_drawn_together(self) -> None:
        # Four copies of each locus: as if there were 50 sequences.
        copied = np.repeat(self.calls[:50], 4, axis=0).astype(int).tolist()
        loci = [Locus("chr1", 100 * (i // 4) + i % 4, 100 * (i // 4) + 10) for i in range(200)]
        clusters = locus_clusters(loci).tolist()
        together = summarise(curve_of(cells_of("a", 2, copied), [1] * 200, [1] * 200, clusters=clusters)).iloc[0]
        alone = summarise(curve_of(cells_of("a", 2, copied[::4]), [1] * 50, [1] * 50)).iloc[0]
        assert [together["low"], together["high"]] == pytest.approx([alone["low"], alone["high"]])

    def test_the_random_control_resamples_draws_not_sequences(self) -> None:
        row = self.summary(5, "random")
        variance = (self.calls.mean(axis=1) * (1 - self.calls.mean(axis=1))).mean() / 200
        expected = self.calls.mean() + np.array([-1.96, 1.96]) * np.sqrt(variance)
        assert [row["low"], row["high"]] == pytest.approx(expected, abs=0.006)

    def test_one_random_draw_has_no_interval(self) -> None:
        row = self.summary(1, "random")
        assert row["accuracy"] == pytest.approx(self.calls[:, 0].mean())
        ends = [end for ends in BOUNDS.values() for end in ends]
        assert row[ends].isna().all()
        assert self.summary(2, "random")[ends].notna().all()

    @pytest.mark.parametrize(("method", "draws"), [("a", 5), ("random", 5)])
    def test_a_logit_of_plus_or_minus_one_varies_as_the_accuracy_does(self, method: str, draws: int) -> None:
        row = self.summary(draws, method)
        assert [row["logit_low"], row["logit_high"]] == pytest.approx([2 * row["low"] - 1, 2 * row["high"] - 1])
        up, down = 1 / (1 + np.exp(-1)), 1 / (1 + np.exp(1))
        ends = [down + (up - down) * row[end] for end in ("low", "high")]
        assert [row["probability_low"], row["probability_high"]] == pytest.approx(ends)

    def test_flips_of_sequences_called_right_vary_as_the_accuracy_does(self) -> None:
        for draws in (1, 5):
            row = self.summary(draws)
            assert [row["flip_rate_low"], row["flip_rate_high"]] == pytest.approx([1 - row["high"], 1 - row["low"]])

    def test_wilson_is_for_yes_and_no_alone(self) -> None:
        row, share = self.summary(1), self.calls[:, 0].mean()
        error = 2 * np.sqrt(share * (1 - share) / 200)
        assert [row["logit_low"], row["logit_high"]] == pytest.approx(
            2 * share - 1 + np.array([-1.96, 1.96]) * error, abs=0.02
        )
        assert row["logit_low"] != pytest.approx(2 * row["low"] - 1, abs=1e-4)

    def test_summaries_repeat(self) -> None:
        assert self.summary(5).equals(self.summary(5))


def test_random_means_of_one_draw_do_not_vary() -> None:
    assert set(random_means(np.array([[1.0], [0.0]]), 50)) == {0.5}


def test_random_means_use_the_draws_that_each_sequence_has() -> None:
    means = random_means(np.array([[1.0, 1.0], [0.0, np.nan], [np.nan, np.nan]]), 50)
    assert set(means) == {0.5}
    assert np.isnan(random_means(np.full((2, 2), np.nan), 5)).all()


def test_random_means_hold_little_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    from kmerit.trials import measures as summary

    draws = np.random.default_rng(0).random((7, 4))
    whole = random_means(draws, 100)
    monkeypatch.setattr(summary, "_CELLS_AT_ONCE", 20)
    assert (random_means(draws, 100) == whole).all()


class TestChoice:
    def curve(self, lrp: list[int], lrp_last: list[int]) -> Outcomes:
        cells = [
            *cells_of("lrp", 0, [[c] for c in LABELS]),
            *cells_of("lrp_last", 0, [[c] for c in LABELS]),
            *cells_of("lrp", 2, [[c] for c in lrp]),
            *cells_of("lrp_last", 2, [[c] for c in lrp_last]),
            *cells_of("random", 2, [[1 - c] for c in LABELS]),
        ]
        return curve_of(cells, LABELS, LABELS)

    def test_the_larger_drop_wins_in_each_class(self) -> None:
        choice = choose_lrp(self.curve([1, 0, 0, 0], [1, 1, 1, 1]), n=2)
        assert choice["lrp_star"] == {"0": "lrp_last", "1": "lrp"}
        assert choice["validation_drop"] == {"0": {"lrp": 0.5, "lrp_last": 1.0}, "1": {"lrp": 1.0, "lrp_last": 0.0}}
        assert choice["sequences"] == 4
        assert choice["n"] == 2

    def test_a_tie_goes_to_lrp(self) -> None:
        assert choose_lrp(self.curve([1, 1, 0, 1], [1, 1, 1, 0]), n=2)["lrp_star"] == {"0": "lrp", "1": "lrp"}

    def test_a_summary_serves_as_well_as_a_curve(self) -> None:
        curve = self.curve([1, 0, 0, 0], [1, 1, 1, 1])
        assert choose_lrp(summarise(curve), n=2) == choose_lrp(curve, n=2)

    def test_what_is_missing_is_said(self) -> None:
        with pytest.raises(CountError, match="at n = 0 and n = 20"):
            choose_lrp(self.curve([1, 0, 0, 0], [1, 1, 1, 1]))
        with pytest.raises(CountError, match="lrp and lrp_last"):
            choose_lrp(curve_of(CELLS, CALLS, LABELS), n=2)
