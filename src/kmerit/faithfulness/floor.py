"""The floor: what the model answers when nothing of a sequence is left, and whether that is all there is to a fall."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from kmerit.faithfulness.outcomes import Outcomes
from kmerit.types import Bool, MutagenesisCurve

COLLAPSE = 0.1
"""From this fall of accuracy on, by full mutation, a class is said to collapse."""


@dataclass(frozen=True)
class Floor:
    """Full mutation of one class by one operator.

    Attributes:
        operator: Its name.
        label: The class, by number.
        class_name: The class, by name.
        default_label: The class that full mutation favours, by number; the same for all classes of an operator.
        default_name: That class, by name.
        rate: Share of this class's fully mutated sequences that are given the default label.
        rates: That share for every class, by name.
        accuracy: Of the same sequences, unmutated.
        floor: Their accuracy when fully mutated.
        sequences: How many.
        explains: Whether accuracy falls here because the default label is another class.
        sentence: What that means, in words.
    """

    operator: str
    label: int
    class_name: str
    default_label: int
    default_name: str
    rate: float
    rates: dict[str, float]
    accuracy: float
    floor: float
    sequences: int
    explains: bool
    sentence: str


def floors(curve: MutagenesisCurve) -> list[Floor]:
    """Measure the floor of every class under every operator that mutated sequences fully; none for regression.

    Example:
        >>> import kmerit as km
        >>> model = km.load_model("bundled:promoter")
        >>> sequences = km.Sequences.from_strings(["TATAAAGGCGCGCC", "ACGTTGCAACGGTT"], labels=[1, 0])
        >>> curve = km.mutate(model, sequences, km.attribute(model, sequences, ["lrp"]), counts=["all"])
        >>> [(floor.operator, floor.class_name) for floor in floors(curve)]
        [('random_other', 'class 0'), ('random_other', 'class 1')]
    """
    outcomes = Outcomes(curve, "predicted" if curve.labels is None else "label")
    if outcomes.regression:
        return []
    names = list(curve.settings.get("classes", ()))

    def name_of(label: int) -> str:
        return names[label] if label < len(names) else f"class {label}"

    called, correct = (outcomes.per_sequence(each) for each in (outcomes.called_default, outcomes.correct))
    found = []
    for operator, default in outcomes.default_labels.items():
        at = int(outcomes.floor[(outcomes.groups["operator"] == operator).to_numpy() & (outcomes.floor >= 0)][0])
        there = np.isfinite(called[at])
        labels = np.unique(outcomes.classes[there]).tolist()
        rates = {name_of(i): float(called[at][there & (outcomes.classes == i)].mean()) for i in labels}
        for label in labels:
            rows: Bool = there & (outcomes.classes == label)
            before, after = float(outcomes.initially_correct[rows].mean()), float(correct[at][rows].mean())
            explains = label != default and before - after >= COLLAPSE
            calls = _calls(operator, name_of(default), rates)
            text = _sentence(name_of(label), before, after, calls, explains, label == default)
            found.append(
                Floor(
                    operator,
                    label,
                    name_of(label),
                    default,
                    name_of(default),
                    rates[name_of(label)],
                    rates,
                    before,
                    after,
                    int(rows.sum()),
                    explains,
                    text,
                )
            )
    return found


def _calls(operator: str, default: str, rates: dict[str, float]) -> str:
    whatever = ", ".join(f"{rate:.0%} of {name}" for name, rate in rates.items())
    return f"with every nucleotide mutated ({operator}) the model answers {default!r} for {whatever}"


def _sentence(name: str, before: float, after: float, calls: str, explains: bool, is_default: bool) -> str:
    if explains:
        return (
            f"The floor explains the fall of {name!r} from {before:.2f} to {after:.2f}: {calls}, so what collapses is "
            f"the class that is not the model's default answer."
        )
    if is_default:
        return f"{name!r} is the model's default answer, so its accuracy says little of any method: {calls}."
    return f"{name!r} hardly falls towards the floor ({before:.2f} to {after:.2f}): {calls}."
