"""The positions that are shown are those that the trial mutated."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from kmerit.errors import UnknownName
from kmerit.trials.design import Design, mutants_of
from kmerit.trials.operators import operator_named
from kmerit.trials.rankings import ORDERS, mutation_order


@pytest.mark.parametrize("order", list(ORDERS))
@pytest.mark.parametrize("levels", [3, 1000])  # many ties, and none
def test_agrees_with_the_mutants_of_the_trial(order: str, levels: int) -> None:
    rng: Any = np.random.default_rng(0)
    bases = rng.integers(0, 4, 30).astype(np.int8)
    scores = rng.integers(0, levels, (2, 30)).astype(np.float32)
    scores[0, 4] = np.nan
    design = Design(
        methods=("a", "b"),
        operators=(operator_named("random_other"),),
        orders=(ORDERS[order],),
        counts=(0, 1, 7),
        full=True,
        replicates=2,
        random_sets=0,
        seed=3,
        composition=np.full(4, 0.25),
    )
    mutants = mutants_of([design], "chr1:5-35", bases, [{"a": scores[0], "b": scores[1]}])
    for row, (method, draw) in enumerate(zip(design.rows.method, design.rows.draw, strict=True)):
        positions = mutation_order(scores[method], "chr1:5-35", 3, order, int(draw))
        for column, n in enumerate((0, 1, 7, 30)):
            changed = set(np.flatnonzero(mutants.distinct[mutants.which[0][row, column]] != bases).tolist())
            first = set(positions[:n].tolist())
            assert changed == (set(range(30)) - first if ORDERS[order].restores else first)


def test_unknown_order() -> None:
    with pytest.raises(UnknownName, match="morf"):
        mutation_order(np.zeros(3), "s", 0, "mrof")
