"""The files that a run leaves for its report, as they must look; what else they hold is ignored."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

from pydantic import BaseModel, ConfigDict

from kmerit.audit import Concern
from kmerit.faithfulness import Caveat, Floor
from kmerit.faithfulness.prospects import Prospect
from kmerit.types import Remark


class Artefact(BaseModel):
    """A JSON object; whatever is absent has a default, whatever is there must be of its type."""

    model_config = ConfigDict(frozen=True, extra="ignore", protected_namespaces=())


class Agreement(Artefact):
    """Rank correlation of a sample's scores with those in float64."""

    sequences: int | None = None
    min: float | None = None
    median: float | None = None


class Flags(Artefact):
    """How far a class's scores can be trusted.

    How many sequences have degenerate scores (all zero, 0/0, not finite), the share of tied ranks, the mean sum of
    relevance where a method has one, and the agreement with float64.
    """

    zero: int | None = None
    undefined: int | None = None
    nonfinite: int | None = None
    tie_share: float | None = None
    sequences: int | None = None
    relevance_sum: float | None = None
    float64: Agreement | None = None


class Note(Remark):
    """Something that a reader of a task's numbers must know.

    Attributes:
        CODES: ``few_sequences``: of these classes there are fewer than ``wanted``. ``no_lrp_star``: LRP* was not
            chosen. ``foreign_model``: nobody here knows what the model has learned from; ``leaks`` says what leaks are
            counted against: ``train_key`` (the config's key), ``task`` (its training split), ``unknown``.
    """

    CODES: ClassVar[Mapping[str, tuple[str, ...]]] = {
        "few_sequences": ("wanted", "by_class"),
        "no_lrp_star": (),
        "foreign_model": ("leaks",),
    }


class Info(Artefact):
    """``info.json``: what a reader must know beside a task's numbers.

    Labels are the keys of ``flags[method]``.
    """

    title: str = ""
    classes: list[str] = []
    model: str = ""
    model_digest: str = ""
    default_label: int | None = None
    default_label_rate: float | None = None
    flags: dict[str, dict[str, Flags]] = {}
    dropped: dict[str, Any] = {}
    notes: tuple[Note, ...] = ()


class Interval(Artefact):
    """A number with its 95 % interval."""

    value: float | None = None
    low: float | None = None
    high: float | None = None


class Metrics(Artefact):
    """``metrics.json``: how good the model is on the whole test set."""

    test: dict[str, Interval | float | None] = {}
    model: str = ""

    @property
    def rows(self) -> int | None:
        """The number of test sequences."""
        rows = self.test.get("rows")
        return int(rows) if isinstance(rows, float) else None


class Choice(Artefact):
    """``choice.json``: which LRP score is LRP*, by label, chosen on how many validation sequences."""

    lrp_star: dict[str, str] = {}
    sequences: int = 0


class Compared(Artefact):
    """A method next to one control: the excess in logits, its 95 % interval, its band, and the margin."""

    control: str = ""
    excess: float | None = None
    low: float | None = None
    high: float | None = None
    band_low: float | None = None
    band_high: float | None = None
    margin: float | None = None
    effect_size: float | None = None


class Card(Artefact):
    """One method's verdict on one class.

    The excess is over the deciding control that it comes closest to, in logits, ``low`` to ``high`` its band.
    """

    method: str = ""
    line: str = ""
    class_name: str = ""
    label: int = 0
    verdict: str = ""
    control: str | None = None
    excess: float | None = None
    low: float | None = None
    high: float | None = None
    beyond: bool | None = None
    effect_size: float | None = None
    detectable: float | None = None
    sequences: int = 0
    mistaken: int = 0
    comparisons: list[Compared] = []
    caveats: tuple[Caveat, ...] = ()


class Evaluations(Artefact):
    """How many mutants were classified, and how many a naive trial would have classified."""

    done: int
    naive: int
    share_saved: float
    of_rankings: dict[str, int] = {}


class Cards(Artefact):
    """``cards.json``: the verdicts of a trial, and what they rest on.

    ``grid`` is what was mutated, ``prospects`` what the sequences of each class can show, ``data_set`` what the
    verdicts must be read with, None where nobody audited it.
    """

    grid: dict[str, Any] | None = None
    evaluations: Evaluations | None = None
    prospects: tuple[Prospect, ...] = ()
    data_set: tuple[Concern, ...] | None = None
    floors: tuple[Floor, ...] = ()
    cards: tuple[Card, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Cell:
    """One row of ``summary.csv``: a class under one method with ``n`` nucleotides substituted.

    Fractions are 0..1, ``tokens_changed`` is in tokens, ``default_label_rate`` is that at full mutation whatever the
    ``n``; what the summary does not hold is NaN.
    """

    label: int | None = None
    method: str
    operator: str
    order: str
    n: int
    full: bool
    accuracy: float = math.nan
    low: float = math.nan
    high: float = math.nan
    sequences: int = 0
    draws: int = 0
    accuracy_correct: float = math.nan
    flip_rate: float = math.nan
    probability: float = math.nan
    logit: float = math.nan
    probability_low: float = math.nan
    probability_high: float = math.nan
    logit_low: float = math.nan
    logit_high: float = math.nan
    flip_rate_low: float = math.nan
    flip_rate_high: float = math.nan
    tokens_changed: float = math.nan
    gc_shift: float = math.nan
    default_label_rate: float = math.nan
    floor_normalised_drop: float = math.nan


@dataclass(frozen=True, kw_only=True)
class Excess:
    """One row of ``excesses.csv``: how much more a class lost under one method than under one of its controls.

    The value and its 95 % interval are in logits, or a difference of accuracies; what is not known is NaN.
    """

    label: int
    method: str
    control: str
    operator: str
    order: str
    measure: str
    n: int
    value: float = math.nan
    low: float = math.nan
    high: float = math.nan
