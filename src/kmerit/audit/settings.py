"""What an audit does, and what it finds too much."""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import Any, Self

from kmerit.errors import ConfigError

BASELINES = ("length", "GC", "chromosome", "memory", "ends", "nearest neighbour", "4-mer regression", "6-mer forest")
"""Ways to distinguish the classes without learning biology; from cheap to expensive."""


@dataclass(frozen=True)
class Table:
    """A table of a config: known keys with numbers."""

    @classmethod
    def parse(cls, tree: Mapping[str, Any]) -> Self:
        """Check the keys and values of a table.

        Raises:
            ConfigError: Unknown keys (with the nearest known one), wrong values.

        Example:
            >>> Thresholds.parse({"copied": 0.02}).copied
            0.02
        """
        known = {each.name: each.type for each in fields(cls) if each.init}
        for key, value in tree.items():
            if key not in known:
                near = difflib.get_close_matches(key, known, n=1, cutoff=0.5)
                hint = f"Did you mean {near[0]!r}?" if near else f"Known: {', '.join(known)}."
                raise ConfigError(f"Unknown key {key!r} for an audit. {hint}")
            _check(key, value, str(known[key]))
        return cls(**{key: tuple(value) if isinstance(value, list) else value for key, value in tree.items()})


def _check(key: str, value: Any, wanted: str) -> None:
    if wanted.startswith("tuple"):
        unknown = [each for each in value if each not in BASELINES] if isinstance(value, list | tuple) else [value]
        if unknown:
            raise ConfigError(f"{key}: expected a list of {', '.join(BASELINES)}; got {unknown[0]!r}.")
        return
    if isinstance(value, bool) or not isinstance(value, int if wanted == "int" else int | float) or value < 0:
        raise ConfigError(f"{key}: expected a {'whole ' if wanted == 'int' else ''}number from 0, got {value!r}.")


@dataclass(frozen=True)
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

    def __post_init__(self) -> None:
        for each in fields(self):
            value = getattr(self, each.name)
            if not 0 <= value <= 1:  # shares, AUROCs and their differences: no number is above 1, and none above NaN
                raise ConfigError(
                    f"{each.name}: expected a number from 0 to 1, got {value!r}: nothing would ever exceed it. Write a "
                    f"share, not a percentage: 0.05 for 5 %."
                )


@dataclass(frozen=True)
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

    k: int = 32
    shared: int = 40
    most: int = 40
    covered: float = 0.5
    baselines: tuple[str, ...] = BASELINES
    train_rows: int = 20_000
    test_rows: int = 10_000
    trees: int = 100
    resamples: int = 500
    seed: int = 0

    def __post_init__(self) -> None:
        for key in ("shared", "most", "train_rows", "test_rows", "trees"):
            if getattr(self, key) < 1:
                raise ConfigError(f"{key}: expected a whole number from 1, got {getattr(self, key)}.")
        if not 0 < self.covered <= 1:
            raise ConfigError(f"covered: expected a share above 0 and up to 1, got {self.covered}.")
        if not 8 <= self.k <= 32:
            raise ConfigError(f"k: expected a word length of 8 to 32, got {self.k}.")


@dataclass(frozen=True)
class Config:
    """The config of an audit.

    Attributes:
        settings: How it is made.
        thresholds: Above which a finding is told.
        gates: The thresholds that the user has set: where one is exceeded, ``kmerit audit`` ends with exit code 3.
    """

    settings: Settings = field(default_factory=Settings)
    thresholds: Thresholds = field(default_factory=Thresholds)
    gates: tuple[str, ...] = ()

    @classmethod
    def parse(cls, tree: Mapping[str, Any]) -> Config:
        """Read ``{"settings": {...}, "thresholds": {...}}``.

        Raises:
            ConfigError: Other tables, unknown keys, wrong values.

        Example:
            >>> Config.parse({"thresholds": {"copied": 0.0}}).gates
            ('copied',)
        """
        for key, table in tree.items():
            if key not in ("settings", "thresholds") or not isinstance(table, Mapping):
                raise ConfigError(f"Unknown table {key!r} for an audit. Known: [settings], [thresholds].")
        thresholds = tree.get("thresholds", {})
        return cls(Settings.parse(tree.get("settings", {})), Thresholds.parse(thresholds), tuple(thresholds))
