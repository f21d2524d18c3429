"""A mutagenesis curve as arrays: what each cell of the trial did to its sequence."""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import softmax

from kmerit.errors import LabelError, NotFinite, UsageError
from kmerit.faithfulness.rankings import ORDERS
from kmerit.statistics import locus_clusters
from kmerit.types import Bool, Floats, Int64, Locus, MutagenesisCurve

if TYPE_CHECKING:
    import pandas as pd

GROUP = ["method", "operator", "order", "full", "n"]
MEASURES = ("logit", "probability", "accuracy", "flips")
"""What mutation lowers: the explained class's logit (regression: the value) and probability, how often the class is
right, and how often the call is what it was; the drop of the last is the flip rate."""


class Outcomes:
    """The raw outcomes, ready for averaging: cells belong to groups, a group being all but sequence and draw.

    Args:
        curve: The raw outcomes.
        by: How sequences are put into classes, ``"label"`` or ``"predicted"``; see `summarise`.

    Raises:
        LabelError: Classes by label, and the curve has none.
        UsageError: Another value of ``by``.
        NotFinite: An answer that is no number.

    Attributes:
        groups: A row per group, in the order of the names in the curve.
        classes: ``int64 [sequence]``.
        targets: The class explained, ``int64 [sequence]``.
        clusters: ``int64 [sequence]`` from overlapping loci or near copies, or None where neither is known.
        outputs: How many the model has.
        regression: Whether that is one.
    """

    def __init__(self, curve: MutagenesisCurve, by: str = "label") -> None:
        cells = curve.cells.to_pandas()
        self.methods: list[str] = list(cells["method"].cat.categories)
        self.operators: list[str] = list(cells["operator"].cat.categories)
        self._operator: NDArray[Any] = cells["operator"].cat.codes.to_numpy()
        # A full mutation is one group, whatever the lengths of its sequences.
        cells["n"] = cells["n"].where(~cells["full"], int(curve.lengths.max()))
        grouped = cells.groupby(GROUP, observed=True)
        self.groups: pd.DataFrame = grouped.size().index.to_frame(index=False)
        self._group: Int64 = grouped.ngroup().to_numpy()
        self._sequence: Int64 = cells["sequence"].to_numpy().astype(np.int64)
        self._mutant: Int64 = cells["mutant"].to_numpy()
        self._draw: Int64 = cells["draw"].to_numpy()
        self._replicates = int(curve.settings.get("replicates", self._draw.max(initial=0) + 1))

        lists = curve.mutants["logits"].combine_chunks()
        self._logits: Floats = lists.flatten().to_numpy().reshape(len(lists), -1).astype(np.float64)
        if not np.isfinite(self._logits).all():
            row = int(np.argmin(np.isfinite(self._logits).all(axis=1)))
            name = curve.names[curve.mutants["sequence"][row].as_py()]
            raise NotFinite(
                f"The model's answer to a mutant of {name!r} is {self._logits[row].tolist()}, which is no class. "
                f"Run the trial again, with --dtype float64."
            )
        self._owner: Int64 = curve.mutants["sequence"].to_numpy()
        self._tokens_changed: Int64 = curve.mutants["tokens_changed"].to_numpy()
        self._gc: Int64 = curve.mutants["gc"].to_numpy()
        reported = "positions_changed" in curve.mutants.column_names
        self._positions: Int64 | None = curve.mutants["positions_changed"].to_numpy() if reported else None
        # Mutants come sequence by sequence, and the first of each is the sequence itself.
        self._originals: Int64 = np.unique(self._owner, return_index=True)[1]
        self._lengths = curve.lengths
        self._called: Int64 = self._logits.argmax(axis=1)

        self.outputs = self._logits.shape[1]
        self.regression = self.outputs == 1
        self.classes = self._classes(curve, by)
        targets = curve.settings.get("targets")
        self.targets: Int64 = self._called[self._originals] if targets is None else np.asarray(targets)
        loci = curve.settings.get("loci")
        self.clusters = None if loci is None else locus_clusters([None if x is None else Locus(*x) for x in loci])
        if "clusters" in curve.settings:
            self.clusters = np.asarray(curve.settings["clusters"], dtype=np.int64)

    def _classes(self, curve: MutagenesisCurve, by: str) -> Int64:
        if by not in ("label", "predicted"):
            raise UsageError(f"by: expected 'label' or 'predicted', got {by!r}.")
        if self.regression:
            return np.zeros(len(curve.names), dtype=np.int64)
        if by == "predicted":
            return self._called[self._originals]
        if curve.labels is None:
            raise LabelError("Accuracy per class needs labels, and these sequences had none. Split by 'predicted'.")
        return curve.labels

    @cached_property
    def _at(self) -> Int64:
        return self._group * self.classes.size + self._sequence

    @cached_property
    def draws(self) -> Int64:
        """Draws of every sequence in every group, ``int64 [group, sequence]``; 0 where it takes no part."""
        size = len(self.groups) * self.classes.size
        return np.bincount(self._at, minlength=size).reshape(-1, self.classes.size)

    def per_sequence(self, of_cell: NDArray[Any]) -> Floats:
        """Average values ``[cell]`` over draws: ``[group, sequence]``, NaN where a sequence takes no part."""
        total = np.bincount(self._at, weights=of_cell, minlength=self.draws.size).reshape(self.draws.shape)
        with np.errstate(invalid="ignore"):
            return np.asarray(total / self.draws)

    def per_draw(self, of_cell: NDArray[Any], group: int) -> Floats:
        """Lay out one group's values ``[cell]`` as ``[sequence, draw]``, NaN where there is no cell."""
        rows = self._group == group
        out = np.full((self.classes.size, int(self._draw[rows].max()) + 1), np.nan)
        out[self._sequence[rows], self._draw[rows]] = of_cell[rows]
        return out

    def drops(self, measure: str) -> Floats:
        """Say by how much each cell's mutation lowers a measure, ``[group, sequence, draw]``.

        Draws are those of alleles: random sets that share one are averaged. NaN where there is no cell.
        """
        value = self._value(measure)
        return self._by_draw((value[self._originals][self._owner] - value)[self._mutant])

    @cached_property
    def tokens_by_draw(self) -> Floats:
        """Count the tokens that mutation changed, as `drops` lays out a drop."""
        return self._by_draw(self.tokens_changed)

    def _by_draw(self, cells: NDArray[Any]) -> Floats:
        """Average values ``[cell]`` over the cells that share alleles: ``[group, sequence, draw]``."""
        at = self._at * self._replicates + self._draw % self._replicates
        shape = (len(self.groups), self.classes.size, self._replicates)
        size = int(np.prod(shape))
        with np.errstate(invalid="ignore"):
            mean = np.bincount(at, weights=cells, minlength=size) / np.bincount(at, minlength=size)
        return np.asarray(mean.reshape(shape))

    def _value(self, measure: str) -> Floats:
        """Give a measure of every mutant, ``[mutant]``."""
        if measure == "logit":
            return self._explained(self._logits)
        if measure == "probability":
            return self._explained(softmax(self._logits, axis=1))
        same = self.classes if measure == "accuracy" else self._called[self._originals]
        return np.asarray(self._called == same[self._owner], dtype=np.float64)

    def _explained(self, outputs: Floats) -> Floats:
        column = np.zeros_like(self._owner) if self.regression else self.targets[self._owner]
        return np.asarray(outputs[np.arange(column.size), column])

    @property
    def initially_correct(self) -> Bool:
        """Whether each sequence is given its class unmutated, ``bool [sequence]``."""
        return np.asarray(self._called[self._originals] == self.classes)

    @property
    def correct(self) -> Bool:
        """Whether the mutant of each cell is given its sequence's class, ``bool [cell]``."""
        return np.asarray(self._called[self._mutant] == self.classes[self._sequence])

    @property
    def flipped(self) -> Bool:
        """Whether the mutant of each cell is given another class than its sequence, ``bool [cell]``."""
        return np.asarray((self._called != self._called[self._originals][self._owner])[self._mutant])

    @property
    def logit(self) -> Floats:
        """Give the logit of the explained class (regression: the value), ``[cell]``."""
        return self._value("logit")[self._mutant]

    @property
    def probability(self) -> Floats:
        """Give the probability of the explained class, ``[cell]``."""
        return self._value("probability")[self._mutant]

    @property
    def tokens_changed(self) -> Int64:
        """Count the tokens that mutation changed, ``int64 [cell]``."""
        return self._tokens_changed[self._mutant]

    @property
    def positions_changed(self) -> Int64 | None:
        """Count the bases that mutation changed, ``int64 [cell]``; None where that is the number chosen."""
        return None if self._positions is None else self._positions[self._mutant]

    @property
    def gc_shift(self) -> Floats:
        """Give the change of the share of G and C, ``[cell]``."""
        change = (self._gc - self._gc[self._originals][self._owner]) / self._lengths[self._owner]
        return np.asarray(change[self._mutant])

    @cached_property
    def floor(self) -> Int64:
        """Find each group's full mutation: a group's index, -1 where it has none, ``int64 [group]``."""
        restores = self.groups["order"].map(lambda name: ORDERS[name].restores).to_numpy(dtype=np.bool_)
        at_floor = np.where(restores, self.groups["n"] == 0, self.groups["full"])
        curve = self.groups.groupby(["method", "operator", "order"], observed=True).ngroup().to_numpy()
        floor: Int64 = np.full(int(curve.max()) + 1, -1, dtype=np.int64)
        floor[curve[at_floor]] = np.flatnonzero(at_floor)
        return floor[curve]

    @cached_property
    def default_labels(self) -> dict[str, int]:
        """Name the label that each operator's full mutation favours, each class counting alike."""
        found: dict[str, int] = {}
        at_floor = np.isin(self._group, self.floor)
        for code, operator in enumerate(self.operators):
            cells = at_floor & (self._operator == code)
            if self.regression or not cells.any():
                continue
            label, called = self.classes[self._sequence[cells]], self._called[self._mutant[cells]]
            given = np.zeros((int(label.max()) + 1, self._logits.shape[1]))
            np.add.at(given, (label, called), 1)
            given = given[given.sum(axis=1) > 0]
            found[operator] = int((given / given.sum(axis=1, keepdims=True)).mean(axis=0).argmax())
        return found

    @property
    def called_default(self) -> Floats:
        """Whether the mutant of each cell is given the default label; NaN where none is known, ``[cell]``."""
        default = np.array([self.default_labels.get(operator, -1) for operator in self.operators])[self._operator]
        return np.where(default < 0, np.nan, self._called[self._mutant] == default)
