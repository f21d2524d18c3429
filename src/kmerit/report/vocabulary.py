"""What the page's scripts share with Python: measures, controls, number formats, first scores."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from kmerit.formats import DASH, DIGITS, MINUS
from kmerit.report import paper
from kmerit.trials.controls import CONTROLS, OF_A_METHOD
from kmerit.trials.measures import BOUNDS


@dataclass(frozen=True)
class Measure:
    """What a chart can show.

    Attributes:
        title: How its axis is called.
        low: Column of its interval's lower end; None where it has none.
        high: Likewise, the upper end.
        unit: Whether it lies between 0 and 1.
        beyond: Of an excess over a control: the measure that was lost.
    """

    title: str
    low: str | None = None
    high: str | None = None
    unit: bool = False
    beyond: str | None = None


MEASURES = {
    "accuracy": Measure("accuracy", *BOUNDS["accuracy"], unit=True),
    "probability": Measure("probability of the explained class", *BOUNDS["probability"], unit=True),
    "logit": Measure("logit of the explained class", *BOUNDS["logit"]),
    "excess_logit": Measure("drop of the logit beyond the control's", "low", "high", beyond="logit"),
    "excess_accuracy": Measure("drop of accuracy beyond the control's", "low", "high", beyond="accuracy"),
    "accuracy_correct": Measure("accuracy of those first called right", unit=True),
    "flip_rate": Measure("share of answers flipped", *BOUNDS["flip_rate"], unit=True),
    "tokens_changed": Measure("tokens changed"),
    "gc_shift": Measure("change of GC content"),
}
"""What the page's chart can show, by the name of its column; an excess by ``excess_`` and what was lost."""
CONTROL_WORDS = {
    "random": "positions drawn at random, each sequence its own",
    "shifted": "each score's own ranking, moved round the sequence",
    "clump": "the runs of each score's own positions, in another order at another place",
    "other": "each score's ranking of another sequence of the same class",
    "context": "each score's values, exchanged among nucleotides in equal surroundings; it changes more tokens",
}
"""What each control is, behind its name."""
FIRST = ("lrp", "attention", "gradcam")
"""Scores that the explorer shows at first, where they are there."""
VALUES = (
    "accuracy", "low", "high", "probability", "probability_low", "probability_high", "logit", "logit_low", "logit_high",
    "accuracy_correct", "flip_rate", "flip_rate_low", "flip_rate_high", "tokens_changed", "gc_shift",
)  # fmt: skip


def lists() -> dict[str, Any]:
    """Give the lists that the page's scripts share with this package: measures, controls, formats, first scores."""
    return {
        "measures": {name: asdict(measure) for name, measure in MEASURES.items()},
        "controls": {name: {"words": CONTROL_WORDS[name], "own": name in OF_A_METHOD} for name in CONTROLS},
        "formats": {"dash": DASH, "minus": MINUS, "digits": DIGITS},
        "first": FIRST,
        "compared": paper.N,
    }
