"""Verdicts: is a method's ranking better than rankings that know nothing of the sequence?

Every number comes from the outcomes of a trial. The rule, its thresholds and its margin: docs/decisions/0013.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from typing import TYPE_CHECKING, overload

import numpy as np

from kmerit.errors import UnknownName, UsageError
from kmerit.faithfulness.caveats import (
    Caveat,
    degenerate,
    explained_by_floor,
    explained_for_another,
    few_sequences,
    joined_contexts,
    mistaken_stratum,
    undecidable,
    unformed,
    unmeasured_margin,
)
from kmerit.faithfulness.comparisons import (
    Compared,
    Comparison,
    Thresholds,
    compare,
    comparisons,
    known,
    thresholds,
)
from kmerit.faithfulness.controls import CONTEXT, DECIDING
from kmerit.faithfulness.endpoint import OPERATOR, Endpoint, mean_over_draws
from kmerit.faithfulness.floor import Floor, floors
from kmerit.faithfulness.prospects import Prospect, prospects
from kmerit.notebook import frame_html
from kmerit.types import Bool, Outcomes, codes

if TYPE_CHECKING:
    import pandas as pd

LEAST = 100
"""Resamples from which the upper 5 % of a maximum can be told, roughly."""
FAITHFUL, WORSE = "faithful", "worse than its controls"
SAME, UNDECIDED = "no better than its controls", "undecided"


@dataclass(frozen=True)
class Verdict:
    """The report card of one method on one class.

    Attributes:
        method: Its name; ``size(NAME)`` is a signed method ranked by the size of its scores.
        line: ``signed``, ``unsigned``, or nothing where the trial did not say.
        label: The class, by number.
        class_name: The class, by name.
        verdict: By the bands of the excess over ``shifted``, ``clump`` and ``other``: ``faithful`` if all three lie
            above 0, ``worse than its controls`` if all three lie below, ``no better than its controls`` if all three
            lie inside their margins, else ``undecided``.
        beyond: The second answer, of what is faithful: whether the band over ``context`` lies above 0, too. None where
            it was not asked or could not be.
        control: The deciding control that the method comes closest to (if worse: the one that it comes closest to from
            below).
        excess: The excess over that control, in logits.
        low: Of its band, which holds over all methods, classes and deciding controls of the card at once.
        high: Of its band.
        effect_size: The excess in standard deviations over sequences.
        detectable: The smallest effect, in standard deviations, that so many sequences would show with a power of 90 %.
        aopc: The method's own AOPC, in logits.
        sequences: How many sequences of the class it rests on: those that the model calls so.
        mistaken: How many more the model mistakes; they are a stratum of their own.
        comparisons: With every control that was formed.
        mistaken_comparisons: The same of the mistaken sequences; described, and not judged.
        caveats: What must be known with it.
    """

    method: str
    line: str
    label: int
    class_name: str
    verdict: str
    beyond: bool | None
    control: str | None
    excess: float | None
    low: float | None
    high: float | None
    effect_size: float | None
    detectable: float | None
    aopc: float | None
    sequences: int
    mistaken: int = 0
    comparisons: tuple[Comparison, ...] = ()
    mistaken_comparisons: tuple[Comparison, ...] = ()
    caveats: tuple[Caveat, ...] = ()

    def __repr__(self) -> str:
        excess = "" if self.excess is None else f", excess over {self.control} {self.excess:.3g} logits"
        return f"<Verdict {self.class_name}, {self.method}: {self.verdict}{excess}>"


@dataclass(frozen=True)
class Verdicts(Sequence[Verdict]):
    """The verdicts of a trial, by class, then method.

    Attributes:
        rows: A verdict for each class and method.
        floors: What the model answers when nothing of a sequence is left, by operator and class.

    Example:
        >>> import kmerit as km
        >>> model, strings = km.load_model("bundled:promoter"), ["TATAAAGGCGCGCC" * 4, "ACGTTGCAACGGTT" * 4]
        >>> scores = km.attribute(model, strings, ["lrp", "rollout"])
        >>> verdicts = judge(km.mutate(model, strings, scores, counts=[5], replicates=1, controls=["shifted"]))
        >>> verdicts
        <Verdicts: 4 undecided>
        >>> verdicts["rollout"], verdicts["promoter", "lrp"].verdict, verdicts[0].method
        (<Verdicts: 2 undecided>, 'undecided', 'lrp')
    """

    rows: tuple[Verdict, ...] = ()
    floors: tuple[Floor, ...] = ()

    def __len__(self) -> int:
        return len(self.rows)

    @overload
    def __getitem__(self, key: int | tuple[str, str]) -> Verdict: ...

    @overload
    def __getitem__(self, key: slice | str) -> Verdicts: ...

    def __getitem__(self, key: int | slice | str | tuple[str, str]) -> Verdict | Verdicts:
        """Give a verdict by its number, or by class and method; several by a slice, or all of a method."""
        if isinstance(key, slice):
            return replace(self, rows=self.rows[key])
        if isinstance(key, str):
            if found := tuple(each for each in self.rows if each.method == key):
                return replace(self, rows=found)
            raise UnknownName("method", key, {each.method for each in self.rows})
        if isinstance(key, tuple):
            of_method = {each.class_name: each for each in self[key[1]]}
            if key[0] not in of_method:
                raise UnknownName("class", key[0], of_method)
            return of_method[key[0]]
        return self.rows[key]

    def __repr__(self) -> str:
        counts = Counter(each.verdict for each in self)
        return f"<Verdicts: {', '.join(f'{count} {verdict}' for verdict, count in counts.items()) or 'none'}>"

    def _repr_html_(self) -> str:
        shown = ["class_name", "method", "line", "verdict", "beyond", "control", "excess", "low", "high", "sequences"]
        return frame_html(f"{len(self)} verdicts", self.to_frame()[shown])

    def to_frame(self) -> pd.DataFrame:
        """Give a row per verdict: every field of `Verdict` but its comparisons; of its caveats the codes.

        Example:
            >>> Verdicts().to_frame().columns[:5].tolist()
            ['method', 'line', 'label', 'class_name', 'verdict']
        """
        import pandas as pd

        names = [each.name for each in fields(Verdict) if not each.name.endswith("comparisons")]
        rows = [{**{name: getattr(each, name) for name in names}, "caveats": codes(each.caveats)} for each in self]
        return pd.DataFrame(rows, columns=names)


def judge(
    outcomes: Outcomes, *, methods: Sequence[str] | None = None, resamples: int = 2000, seed: int = 0
) -> Verdicts:
    """Give every method its verdict on every class.

    A method and a control are compared sequence by sequence, draw of alleles by draw; sequences are resampled by
    cluster. Classes are the true labels, and the verdict rests on the sequences that the model gives them; without
    labels, classes are what the model calls the unmutated sequences. The thresholds are those of all that is judged
    here: with fewer methods they are lower.

    Args:
        outcomes: With controls, from `trial` or from ``mutate(..., controls=CONTROLS)``.
        methods: Which rankings make up the card; all by default.
        resamples: Bootstrap draws.
        seed: Of those draws.

    Returns:
        By class, then method, in the order of the outcomes.

    Raises:
        UsageError: There are no outcomes of ``random_other``, most relevant first, or they are of values; too few
            resamples.
        UnknownName: A method that has no outcomes.

    Example:
        >>> import kmerit as km
        >>> model = km.load_model("bundled:promoter")
        >>> sequences = km.Sequences.from_strings(["TATAAAGGCGCGCC" * 4, "ACGTTGCAACGGTT" * 4], labels=[1, 0])
        >>> scores = km.attribute(model, sequences, ["lrp"])
        >>> outcomes = km.mutate(model, sequences, scores, counts=[5], replicates=1, controls=["shifted", "clump"])
        >>> [(verdict.class_name, verdict.method, verdict.verdict) for verdict in judge(outcomes)]
        [('background', 'lrp', 'undecided'), ('promoter', 'lrp', 'undecided')]
    """
    if resamples < LEAST:
        raise UsageError(f"resamples: expected {LEAST} or more, which the thresholds need, got {resamples}.")
    if outcomes.regression:
        raise UsageError(
            "These outcomes are of a model that predicts values; verdicts compare classes, and are not yet made for "
            "values. Its drops are in the summary."
        )
    endpoint = Endpoint(outcomes)
    for name in methods or ():
        if name not in endpoint.methods:
            raise UnknownName("method of these outcomes", name, endpoint.methods)
    endpoint.methods = [name for name in endpoint.methods if methods is None or name in methods]
    names = outcomes.class_names
    right = outcomes.initially_correct
    expected = {
        each.label: each
        for each in prospects(outcomes.classes, right, outcomes.clusters, [*names.values()], len(endpoint.methods))
    }
    compared: dict[int, Compared | None] = {}
    for label in names:
        # Classes are resampled independently of each other.
        of_class = right & (outcomes.classes == label)
        compared[label] = compare(endpoint, outcomes.clusters, of_class, resamples, seed + label)
    decidable = [each for label, each in compared.items() if each is not None and expected[label].decides]
    limits = thresholds(decidable)
    every_floor = tuple(floors(outcomes))
    floor = {each.label: each for each in every_floor if each.operator == OPERATOR}
    verdicts: list[Verdict] = []
    for label, name in names.items():
        rows, wrong = (chosen & (outcomes.classes == label) for chosen in (right, ~right))
        apart = compare(endpoint, outcomes.clusters, wrong, resamples, seed + label)
        own, others = compared[label], {} if apart is None else comparisons(apart, Thresholds())
        listed = {} if own is None else comparisons(own, limits if expected[label].decides else Thresholds())
        for method in endpoint.methods:
            found = _verdict(method, endpoint, rows, listed.get(method, ()), expected[label])
            caveats = [
                *undecidable(expected[label]),
                *unformed(outcomes, endpoint, found.comparisons, found.sequences),
                *joined_contexts(outcomes, found.comparisons),
                *few_sequences(found.comparisons, found.control),
                *(unmeasured_margin(found.comparisons) if found.verdict == UNDECIDED else []),
                *mistaken_stratum(int(wrong.sum()), others.get(method, ()), found.control),
                *explained_for_another(outcomes, rows, label),
                *explained_by_floor(floor.get(label)),
                *degenerate(outcomes, method, rows),
            ]
            verdicts.append(
                replace(
                    found,
                    line=str(outcomes.settings.get("lines", {}).get(method, "")),
                    class_name=name,
                    mistaken=int(wrong.sum()),
                    mistaken_comparisons=tuple(others.get(method, ())),
                    caveats=tuple(caveats),
                )
            )
    return Verdicts(tuple(verdicts), every_floor)


def answer(listed: Sequence[Comparison]) -> tuple[str, bool | None]:
    """Apply the rule to a method's comparisons: the verdict, and whether it reaches beyond composition."""
    by_control = {each.control: each for each in listed if each.decides}
    three = [by_control[control] for control in DECIDING if control in by_control]
    if len(three) < len(DECIDING):
        return UNDECIDED, None
    if all(each.above for each in three):
        return FAITHFUL, by_control[CONTEXT].above if CONTEXT in by_control else None
    if all(each.below for each in three):
        return WORSE, None
    return (SAME if all(each.inside for each in three) else UNDECIDED), None


def _verdict(method: str, endpoint: Endpoint, rows: Bool, listed: Sequence[Comparison], expected: Prospect) -> Verdict:
    """Decide, and leave the caveats to others."""
    own = mean_over_draws(endpoint.aopc[method][rows])
    sequences = int(np.isfinite(own).sum())
    verdict, beyond = answer(listed)
    three = [each for each in listed if each.control in DECIDING and each.decides]
    worse = verdict == WORSE

    def distance(each: Comparison) -> float:
        end = each.band_high if worse else each.band_low
        return math.inf if end is None else -end if worse else end

    nearest = min(three, key=distance) if three else None
    return Verdict(
        method=method,
        line="",
        label=expected.label,
        class_name=expected.class_name,
        verdict=verdict,
        beyond=beyond,
        control=nearest.control if nearest else None,
        excess=nearest.excess if nearest else None,
        low=nearest.band_low if nearest else None,
        high=nearest.band_high if nearest else None,
        effect_size=nearest.effect_size if nearest else None,
        detectable=expected.detectable,
        aopc=known(float(np.nanmean(own))) if sequences else None,
        sequences=sequences,
        comparisons=tuple(listed),
    )
