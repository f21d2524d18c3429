"""The endpoint of a trial, sequence by sequence."""

from __future__ import annotations

from kmerit.errors import CountError
from kmerit.faithfulness.comparisons import mean_over_draws
from kmerit.faithfulness.outcomes import Outcomes
from kmerit.types import Floats, MutagenesisCurve


def aopc_by_method(
    curve: MutagenesisCurve, *, operator: str = "random_other", order: str = "morf"
) -> dict[str, Floats]:
    """Compute every method's AOPC of the explained logit, mean over draws.

    Source: samek2017, eq. 12, without its term at n = 0, where the drop is zero by definition.

    Args:
        curve: The raw outcomes.
        operator: What replaced a base.
        order: Which positions went first.

    Returns:
        By method (controls included) ``[sequence]``, in logits; NaN where a sequence takes no part.

    Raises:
        CountError: The curve has no n above 0 under this operator and order.

    Example:
        >>> import kmerit as km
        >>> model = km.load_model("bundled:promoter")
        >>> sequences = km.Sequences.from_strings(["TATAAAGGCGCGCC"])
        >>> curve = km.mutate(model, sequences, km.attribute(model, sequences, ["lrp"]), counts=[0, 2], replicates=1)
        >>> aopc_by_method(curve)["lrp"].shape
        (1,)
    """
    outcomes = Outcomes(curve, "predicted")
    drops, groups = outcomes.drops("logit"), outcomes.groups
    chosen = (groups["operator"] == operator) & (groups["order"] == order) & (groups["n"] > 0)
    if not chosen.any():
        raise CountError(f"The curve has no mutants under {operator}, {order}. Run mutate with both, and an n above 0.")
    return {
        str(method): mean_over_draws(drops[(chosen & (groups["method"] == method)).to_numpy()].mean(axis=0))
        for method in groups.loc[chosen, "method"].unique()
    }
