"""What must be known with a verdict, as codes and numbers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import ClassVar

from kmerit.faithfulness.comparisons import Comparison
from kmerit.faithfulness.controls import CONTEXT, CONTROLS, DECIDING, RANDOM
from kmerit.faithfulness.endpoint import Endpoint
from kmerit.faithfulness.floor import Floor
from kmerit.faithfulness.prospects import FEWEST, Prospect
from kmerit.types import Bool, Outcomes, Remark

ENOUGH = 50
"""From so many on, intervals of skewed differences miss the truth less than twice as often as they should; below, a
verdict carries a caveat."""
MANY_TIES = 0.1
"""Above this share of tied positions a verdict carries a caveat."""


class Caveat(Remark):
    """Something that a verdict must be read with.

    Attributes:
        CODES: ``undecidable``: the class has too few sequences to decide. ``no_sequences``: none took part.
            ``no_counts``: nothing between 0 and all nucleotides was mutated. ``control_missing``: it was not asked for,
            or could not be formed. ``control_partly``: only ``sequences`` of ``of`` have it. ``few_clusters``: too few
            independent sequences for these controls. ``joined_contexts``: positions that joined a coarser stratum of
            the control ``context``. ``narrow_intervals``: too few sequences for exact 95 % intervals. ``no_margin``:
            in-silico mutagenesis of too few sequences. ``mistaken``: sequences of the class that the model calls
            otherwise, with the excess on them. ``explained_for_another``: sequences explained for another class.
            ``floor_explains``: the fall to the floor is the model's default answer (``class_name``). ``withheld``,
            ``constant``, ``nonfinite``, ``ties``: scores that are left out, all equal, not finite, shared.
    """

    CODES: ClassVar[Mapping[str, tuple[str, ...]]] = {
        "undecidable": ("class_name", "sequences", "mistaken", "clusters", "questions", "detectable"),
        "no_sequences": (),
        "no_counts": (),
        "control_missing": ("control", "asked"),
        "control_partly": ("control", "sequences", "of"),
        "few_clusters": ("controls", "clusters", "needed"),
        "joined_contexts": ("positions", "joined_quarters", "joined_gc", "alone"),
        "narrow_intervals": ("clusters", "enough"),
        "no_margin": ("needed",),
        "mistaken": ("sequences", "control", "excess", "low", "high"),
        "explained_for_another": ("sequences", "of"),
        "floor_explains": ("class_name", "accuracy", "floor"),
        "withheld": ("sequences", "of"),
        "constant": ("sequences", "of"),
        "nonfinite": ("sequences", "of"),
        "ties": ("share",),
    }


def undecidable(expected: Prospect) -> list[Caveat]:
    """Say that a class cannot be decided, as was known before any mutant was classified."""
    if expected.decides or not expected.sequences:
        return []
    numbers = asdict(expected)
    return [Caveat("undecidable", {name: numbers[name] for name in Caveat.CODES["undecidable"]})]


def few_sequences(comparisons: Sequence[Comparison], control: str | None) -> list[Caveat]:
    """Warn of intervals that are too narrow, as those of few independent sequences are where differences are skewed."""
    return [
        Caveat("narrow_intervals", {"clusters": each.clusters, "enough": ENOUGH})
        for each in comparisons
        if each.control == control and each.clusters < ENOUGH
    ]


def unmeasured_margin(comparisons: Sequence[Comparison]) -> list[Caveat]:
    """Say that an excess cannot be called none where nobody knows what could be reached."""
    unknown = any(each.decides and each.margin is None for each in comparisons if each.control in DECIDING)
    return [Caveat("no_margin", {"needed": FEWEST})] if unknown else []


def mistaken_stratum(count: int, comparisons: Sequence[Comparison], control: str | None) -> list[Caveat]:
    """Say how many sequences the model mistakes, and what a method's excess is on them alone."""
    if not count:
        return []
    values: dict[str, float | str | None] = {"control": None, "excess": None, "low": None, "high": None}
    for each in comparisons:
        if each.control == control and each.low is not None:
            enough = each.clusters >= FEWEST
            values = {"control": control, "excess": each.excess, "low": each.low, "high": each.high}
            values |= {} if enough else {"low": None, "high": None}
            break
    return [Caveat("mistaken", {"sequences": count, **values})]


def explained_for_another(outcomes: Outcomes, rows: Bool, label: int) -> list[Caveat]:
    """Say of how many of the sequences another class is explained than the card's."""
    count = int((outcomes.targets[rows] != label).sum())
    return [Caveat("explained_for_another", {"sequences": count, "of": int(rows.sum())})] if count else []


def explained_by_floor(floor: Floor | None) -> list[Caveat]:
    """Say that the model's default answer explains how far a class falls."""
    if floor is None or floor.outcome != "explained":
        return []
    numbers = {"class_name": floor.default_name, "accuracy": floor.accuracy, "floor": floor.floor}
    return [Caveat("floor_explains", numbers)]


def unformed(outcomes: Outcomes, endpoint: Endpoint, comparisons: Sequence[Comparison], sequences: int) -> list[Caveat]:
    """Say which controls there are not, for which sequences, and which have too few to count."""
    if not sequences:
        return [Caveat("no_sequences")]
    if not endpoint.ranked:
        return [Caveat("no_counts")]
    found = []
    asked = {*outcomes.settings.get("controls", ()), *([RANDOM] if outcomes.settings.get("random_sets") else [])}
    for control in CONTROLS:
        if control not in {each.control for each in comparisons} and control != RANDOM:
            found.append(Caveat("control_missing", {"control": control, "asked": control in asked}))
    for each in comparisons:
        if each.sequences < sequences:
            values = {"control": each.control, "sequences": each.sequences, "of": sequences}
            found.append(Caveat("control_partly", values))
    few: dict[int, list[str]] = {}
    for each in comparisons:
        if each.clusters < FEWEST:
            few.setdefault(each.clusters, []).append(each.control)
    found += [
        Caveat("few_clusters", {"controls": names, "clusters": count, "needed": FEWEST}) for count, names in few.items()
    ]
    return found


def joined_contexts(outcomes: Outcomes, comparisons: Sequence[Comparison]) -> list[Caveat]:
    """Say how many positions had too few others of their context, for the control ``context``."""
    joined = outcomes.diagnostics.get("context_strata")
    if not joined or all(each.control != CONTEXT for each in comparisons):
        return []
    return [Caveat("joined_contexts", {name: joined[name] for name in Caveat.CODES["joined_contexts"]})]


def degenerate(outcomes: Outcomes, method: str, rows: Bool) -> list[Caveat]:
    """Say how many sequences of a class have scores that hold no order, and how much of it is drawn."""
    found, count = [], int(rows.sum())
    withheld = outcomes.of_method("withheld", method)[rows]
    flagged = {
        "withheld": withheld,
        "constant": outcomes.of_method("constant", method)[rows],
        "nonfinite": (outcomes.of_method("nonfinite", method)[rows] > 0) & ~withheld,
    }
    for code, sequences in flagged.items():
        if sequences.any():
            found.append(Caveat(code, {"sequences": int(sequences.sum()), "of": count}))
    shares = (outcomes.of_method("tied", method) / outcomes.lengths)[rows]
    if count and shares.mean() > MANY_TIES:
        found.append(Caveat("ties", {"share": float(shares.mean())}))
    return found
