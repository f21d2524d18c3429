"""What an audit does, and what it finds too much."""

from __future__ import annotations

from typing import Annotated, Literal, get_args

from pydantic import Field, NonNegativeInt, PositiveInt, field_validator

from kmerit.config import Several, Table

Baseline = Literal[
    "length", "GC", "chromosome", "memory", "ends", "nearest neighbour", "4-mer regression", "6-mer forest"
]
BASELINES: tuple[Baseline, ...] = get_args(Baseline)
"""Ways to distinguish the classes without learning biology; from cheap to expensive."""


class Thresholds(Table):
    """Above these (for ``smallest_class``: below) a finding is told; shares of rows unless said otherwise, 0 to 1.

    Attributes:
        copied: Rows of a class in a later split that are copies of training rows of that class, on either strand.
        overlapping: Likewise, whose coordinates overlap.
        near: Likewise, that are near copies.
        leaked: Likewise, that are any of these; told where none of them is told by itself, or where it is set.
        contradicting: Rows of a class that have a copy with another label.
        near_contradicting: Rows of a class in a later split that are near copies of training rows of another class; and
            rows that are near copies of rows of another class in their own split.
        repeated: Rows of a class and split that repeat an earlier row of that split.
        feature_auroc: AUROC of a single feature, in the direction that suits it; this one and the next three are found
            where the whole 95 % interval is above the threshold.
        baseline_auroc: AUROC of a baseline.
        ends: How much higher the AUROC of the first and last 20 letters is than that of GC content.
        leak_gain: How much more accurate a baseline is on all test rows than on those without a leak.
        mixed: Rows that overlap a row of another class on the genome.
        with_n: Rows of a class and split with an N.
        low_complexity: Rows of a class and split of low complexity.
        too_short: Rows of a class and split shorter than a 6-mer.
        smallest_class: Share of a split's rows that the smallest class has.
    """

    copied: float = 0.01
    overlapping: float = 0.05
    near: float = 0.05
    leaked: float = 0.05
    contradicting: float = 0.0
    near_contradicting: float = 0.01
    repeated: float = 0.05
    feature_auroc: float = 0.8
    baseline_auroc: float = 0.95
    ends: float = 0.05
    leak_gain: float = 0.05
    mixed: float = 0.01
    with_n: float = 0.01
    low_complexity: float = 0.05
    too_short: float = 0.0
    smallest_class: float = 0.2

    @field_validator("*")
    @classmethod
    def _share(cls, value: float) -> float:
        if not 0 <= value <= 1:  # shares, AUROCs and their differences: no number is above 1
            raise ValueError(
                f"expected a number from 0 to 1, got {value:g}: nothing would ever exceed it. Write a share, not a "
                f"percentage: 0.05 for 5 %"
            )
        return value


class Settings(Table):
    """How an audit is made.

    Attributes:
        k: Length of the words that near copies share.
        shared: So many different words in common make near copies.
        most: Words in more rows than this count as repeats, not as something in common.
        covered: A row is also a near copy if this share of its words occurs in the training rows.
        baselines: Which are tried.
        train_rows: Training rows that regression learns from; the forest takes half of them, nearest neighbour all.
        test_rows: Test rows that features and baselines are measured on.
        trees: Of the forest.
        resamples: Bootstrap draws of each interval of an accuracy; clusters of linked rows are drawn together.
        seed: Of samples, forest and bootstrap.
    """

    k: Annotated[int, Field(ge=8, le=32)] = 32
    shared: PositiveInt = 40
    most: PositiveInt = 40
    covered: Annotated[float, Field(gt=0, le=1)] = 0.5
    baselines: Several[Baseline] = BASELINES
    train_rows: PositiveInt = 20_000
    test_rows: PositiveInt = 10_000
    trees: PositiveInt = 100
    resamples: NonNegativeInt = 500
    seed: NonNegativeInt = 0


class Config(Table):
    """The config of an audit.

    Attributes:
        settings: How it is made.
        thresholds: Above which a finding is told.

    Example:
        >>> Config.parse({"thresholds": {"copied": 0.0}}).gates
        ('copied',)
    """

    settings: Settings = Settings()
    thresholds: Thresholds = Thresholds()

    @property
    def gates(self) -> tuple[str, ...]:
        """The thresholds that the user has set: where one is exceeded, ``kmerit audit`` ends with exit code 3."""
        return tuple(name for name in Thresholds.model_fields if name in self.thresholds.model_fields_set)
