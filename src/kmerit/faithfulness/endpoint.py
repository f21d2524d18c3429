"""The endpoint of a trial, fixed beforehand: how far the explained logit falls, sequence by sequence, draw by draw.

It is the area over the perturbation curve (AOPC) of the explained class's logit, the most relevant nucleotides first,
each replaced by one of the three others.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from kmerit.errors import CountError, UsageError
from kmerit.faithfulness.bounds import ISM, is_bound
from kmerit.faithfulness.controls import CONTEXT, is_control, ranking_of
from kmerit.types import Floats, Outcomes

if TYPE_CHECKING:
    import pandas as pd

OPERATOR, ORDER = "random_other", "morf"
_STEPS = 64
"""In which two curves are compared over tokens changed."""


def aopc(drops: Floats) -> Floats:
    """Compute the area over the perturbation curve: the mean drop over the counts above 0.

    Source: samek2017, eq. 12, without its term at n = 0, where the drop is zero by definition.

    Args:
        drops: ``[count, ...]``, from the unmutated sequence; or the differences of two rankings' drops.

    Example:
        >>> float(aopc(np.array([0.25, 0.75])))
        0.5
    """
    return np.asarray(np.mean(drops, axis=0))


def mean_over_draws(values: Floats) -> Floats:
    """Average ``[sequence, draw]`` over the draws that a sequence has; NaN where it has none."""
    there = np.isfinite(values)
    with np.errstate(invalid="ignore"):
        return np.asarray(np.where(there, values, 0.0).sum(axis=1) / there.sum(axis=1))


def aopc_by_method(outcomes: Outcomes, *, operator: str = OPERATOR, order: str = ORDER) -> dict[str, Floats]:
    """Compute every method's AOPC of the explained logit, mean over draws.

    Args:
        outcomes: Of a trial.
        operator: What replaced a base.
        order: Which positions went first.

    Returns:
        By method (controls included) ``[sequence]``, in logits; NaN where a sequence takes no part.

    Raises:
        CountError: There is no n above 0 under this operator and order.

    Example:
        >>> import kmerit as km
        >>> model = km.load_model("bundled:promoter")
        >>> sequences = km.Sequences.from_strings(["TATAAAGGCGCGCC"])
        >>> scores = km.attribute(model, sequences, ["lrp"])
        >>> aopc_by_method(km.mutate(model, sequences, scores, counts=[0, 2], replicates=1))["lrp"].shape
        (1,)
    """
    drops = outcomes.drops("logit")
    curves = {method: outcomes.counts(method, operator, order) for method in outcomes.methods}
    found = {method: mean_over_draws(aopc(drops[[*at.values()]])) for method, at in curves.items() if at}
    if not found:
        raise CountError(f"There are no mutants under {operator}, {order}. Run mutate with both, and an n above 0.")
    return found


class Endpoint:
    """The endpoint of every ranking, and whether its calls are right.

    Attributes:
        methods: The rankings that are judged, in the order of the outcomes.
        ranked: Whether there is an n below all; where every nucleotide is mutated, all rankings are one.
        count: The largest n below all.
        aopc: By ranking ``[sequence, draw]``, in logits; NaN where a sequence takes no part.
        correct: By ranking ``[sequence]``, whether the call of draw 0 at ``count`` is right.
    """

    def __init__(self, outcomes: Outcomes) -> None:
        every = {name: outcomes.counts(name, OPERATOR, ORDER) for name in outcomes.methods}
        curves = {name: at for name, at in every.items() if at}
        if not curves:
            raise UsageError(
                f"A verdict needs the operator {OPERATOR}, the order {ORDER} and a count above 0; these outcomes have "
                f"none. Run mutate with them, or trial."
            )
        self._at = {name: outcomes.counts(name, OPERATOR, ORDER, full=False) for name in curves}
        below = [n for at in self._at.values() for n in at]
        self.ranked = len(below) > 0
        self.count = max(below) if below else max(n for at in curves.values() for n in at)
        self.methods = [name for name in curves if not is_control(name) and not is_bound(name)]
        self._drops, self._tokens = outcomes.drops("logit"), outcomes.tokens_by_draw
        self._counts = {name: len(at) for name, at in curves.items()}
        self.aopc = {name: aopc(self._drops[[*at.values()]]) for name, at in curves.items()}
        self.correct: dict[str, Floats] = {
            name: outcomes.per_draw(outcomes.correct, at[self.count])[:, 0]
            for name, at in self._at.items()
            if self.count in at
        }

    def excess(self, method: str, control: str) -> Floats:
        """Give the method's endpoint less that of its control, ``[sequence]``; NaN where either takes no part."""
        other = ranking_of(control, method)
        if control != CONTEXT:
            return mean_over_draws(self.aopc[method] - self.aopc[other])
        own, theirs = self._shared(method, other)
        return mean_over_draws(
            at_equal_tokens(self._tokens[own], self._drops[own], self._tokens[theirs], self._drops[theirs])
        )

    def of_ism(self, method: str, control: str) -> Floats:
        """Give what the order of in-silico mutagenesis reaches over the same control, ``[sequence]``; NaN where none.

        It is not mutated everywhere, as methods are; there every ranking is the same, so nothing is missed but a
        divisor.
        """
        bound = next((name for name in (ISM, "ism") if name in self.aopc), None)
        other = ranking_of(control, method)
        own, theirs = self._shared(bound, other) if bound else ([], [])
        if not own:
            return np.full(self._drops.shape[1], np.nan)
        return mean_over_draws((self._drops[own] - self._drops[theirs]).sum(axis=0) / self._counts[other])

    def _shared(self, one: str, other: str) -> tuple[list[int], list[int]]:
        """Find the groups of two rankings at every n below all that both have."""
        shared = [n for n in self._at[one] if n in self._at[other]]
        return [self._at[one][n] for n in shared], [self._at[other][n] for n in shared]


def at_equal_tokens(own_tokens: Floats, own: Floats, other_tokens: Floats, other: Floats) -> Floats:
    """Compare two curves at equal numbers of tokens changed: the mean difference over the range that both have.

    Each curve begins at no token and no drop, and is interpolated.

    Args:
        own_tokens: ``[count, sequence, draw]``, tokens changed.
        own: ``[count, sequence, draw]``, the drop.
        other_tokens: Likewise.
        other: Likewise.

    Returns:
        ``[sequence, draw]``, own less other; NaN where either is missing, or changes no token.

    Example:
        >>> curve = lambda *values: np.array(values, dtype=float)[:, None, None]
        >>> found = at_equal_tokens(curve(2.0, 4.0), curve(2.0, 4.0), curve(8.0), curve(4.0))
        >>> found.round(2).tolist()
        [[1.02]]
    """
    found = np.full(own.shape[1:], np.nan)
    there = np.isfinite(own).all(axis=0) & np.isfinite(other).all(axis=0)
    for place in zip(*np.nonzero(there), strict=True):
        curves = []
        for tokens, drop in ((own_tokens, own), (other_tokens, other)):
            at = np.concatenate([[0.0], tokens[:, *place]])
            order = np.argsort(at, kind="stable")
            curves.append((at[order], np.concatenate([[0.0], drop[:, *place]])[order]))
        reach = min(at[-1] for at, _ in curves)
        if reach > 0:
            grid = reach * np.arange(1, _STEPS + 1) / _STEPS
            one, two = (np.interp(grid, at, drop) for at, drop in curves)
            found[place] = (one - two).mean()
    return found


def excess_by_sequence(outcomes: Outcomes, controls: Sequence[str]) -> pd.DataFrame:
    """Give every sequence's excess of each method over each control, in logits: what a verdict averages.

    Args:
        outcomes: Of a trial.
        controls: Of `CONTROLS`; those that the outcomes lack are left out.

    Returns:
        A row per method, control and sequence: ``ranking``, ``control``, ``label`` (the class explained), ``row`` and
        ``excess``, NaN where either takes no part.

    Example:
        >>> import kmerit as km
        >>> model = km.load_model("bundled:promoter")
        >>> sequences = km.Sequences.from_strings(["TATAAAGGCGCGCC" * 4], labels=[1])
        >>> scores = km.attribute(model, sequences, ["lrp"])
        >>> outcomes = km.mutate(model, sequences, scores, counts=[5], replicates=1, controls=["shifted"])
        >>> list(excess_by_sequence(outcomes, ["shifted"])[["ranking", "control"]].iloc[0])
        ['lrp', 'shifted']
    """
    import pandas as pd

    endpoint = Endpoint(outcomes)
    tables = [
        pd.DataFrame({"ranking": method, "control": control, "label": outcomes.classes,
                      "row": range(len(outcomes.names)), "excess": endpoint.excess(method, control)})
        for method in endpoint.methods
        for control in controls
        if ranking_of(control, method) in endpoint.aopc
    ]  # fmt: skip
    return pd.concat(tables, ignore_index=True)
