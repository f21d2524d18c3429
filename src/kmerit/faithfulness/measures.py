"""Everything a trial measures beside its endpoint: per method, and as excess over every control."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import combinations
from typing import TYPE_CHECKING, Any

import numpy as np

from kmerit.faithfulness.bounds import GREEDY, ISM, is_bound
from kmerit.faithfulness.controls import CONTEXT, CONTROLS, is_control, ranking_of
from kmerit.faithfulness.endpoint import OPERATOR, ORDER, Endpoint, aopc, mean_over_draws
from kmerit.statistics import mean_differences
from kmerit.types import MEASURES, Bool, Floats, Outcomes

if TYPE_CHECKING:
    import pandas as pd

SMALLEST_GAP = 0.05
"""In logits: where a sequence's bounds lie closer, a share of the way between them says nothing."""

Column = tuple[dict[str, Any], Floats]
"""What is measured, and its value for each sequence."""


def excesses(outcomes: Outcomes, *, resamples: int = 2000, seed: int = 0) -> pd.DataFrame:
    """Compare every method's curve with every control's, sequence by sequence and draw by draw.

    Args:
        outcomes: Of a trial with controls.
        resamples: Bootstrap draws of each interval.
        seed: Of those draws.

    Returns:
        A row per class, condition (``all`` sequences, or those initially ``correct``), method, control, operator,
        order, measure and ``n``: a number, ``all``, or ``aopc``, the mean over all n > 0. ``value`` is the method's
        drop less the control's, with its 95 % interval, from so many ``sequences`` in so many independent ``clusters``.
        A drop is from the unmutated sequence, whatever the order; of ``flips`` it is the flip rate. ``context`` changes
        more tokens than the method at equal n, so it has the one row ``tokens``: the mean difference of the drops of
        the logit at equal numbers of tokens changed.

    Example:
        >>> import kmerit as km
        >>> model = km.load_model("bundled:promoter")
        >>> sequences = km.Sequences.from_strings(["TATAAAGGCGCGCC" * 4, "ACGTTGCAACGGTT" * 4], labels=[1, 0])
        >>> scores = km.attribute(model, sequences, ["lrp"])
        >>> outcomes = km.mutate(model, sequences, scores, counts=[1, 5], replicates=1, controls=["random"])
        >>> sorted(set(excesses(outcomes, resamples=50)["n"]))
        ['1', '5', 'aopc']
    """
    return _tabulate(outcomes, list(_excesses(outcomes)), resamples, seed)


def measures(outcomes: Outcomes, *, resamples: int = 2000, seed: int = 0) -> pd.DataFrame:
    """Measure every method and control on its own, most relevant first, under ``random_other``.

    Source: samek2017 for AOPC and LeRF, deyoung2020 for comprehensiveness and sufficiency, edin2025 for NAOPC.

    Args:
        outcomes: Of `trial` for all of the measures.
        resamples: Bootstrap draws of each interval.
        seed: Of those draws.

    Returns:
        A row per class, condition, method and ``measure``:

        - ``aopc_logit``, ``aopc_probability``: the mean drop over n > 0.
        - ``naopc_ism``, ``naopc_greedy``: on draw 0, the AOPC's place between a lower bound (in-silico mutagenesis,
          least first) at 0 and an upper bound (in-silico mutagenesis or greedy, most first) at 1, over the n that both
          have, "all" left out. Bounds are practical, so a value may lie outside 0..1. Sequences whose bounds lie within
          0.05 logits are left out.
        - ``srg``: AOPC of the logit, most relevant first less least relevant first, on the draws of both.
        - ``comprehensiveness``: the drop of probability with the top ``n`` mutated; ``sufficiency``: with all but them.
        - ``accuracy_drop``, ``flip_rate``: with the top ``n`` mutated.

    Example:
        >>> import kmerit as km
        >>> model = km.load_model("bundled:promoter")
        >>> sequences = km.Sequences.from_strings(["TATAAAGGCGCGCC" * 4, "ACGTTGCAACGGTT" * 4], labels=[1, 0])
        >>> scores = km.attribute(model, sequences, ["lrp"])
        >>> outcomes = km.mutate(model, sequences, scores, counts=[1, 5], replicates=1, controls=["random"])
        >>> sorted(set(measures(outcomes, resamples=50)["measure"]))
        ['accuracy_drop', 'aopc_logit', 'aopc_probability', 'comprehensiveness', 'flip_rate']
    """
    return _tabulate(outcomes, list(_measures(outcomes)), resamples, seed)


def differences(outcomes: Outcomes, *, resamples: int = 2000, seed: int = 0) -> pd.DataFrame:
    """Compare methods with each other by the endpoint of the verdicts, sequence by sequence and draw by draw.

    Args:
        outcomes: Of a trial; controls are not needed.
        resamples: Bootstrap draws of each interval.
        seed: Of those draws.

    Returns:
        A row per class, condition (``all`` sequences, or those initially ``correct``) and pair of methods: ``value`` is
        the AOPC of the explained class's logit of ``method`` less that of ``other``, with its 95 % interval, which is
        not corrected for the number of pairs. Where the trial had lines with and without sign, like is compared with
        like, and ``line`` says which: signed with signed, sizes with unsigned methods and sizes.

    Example:
        >>> import kmerit as km
        >>> model = km.load_model("bundled:promoter")
        >>> sequences = km.Sequences.from_strings(["TATAAAGGCGCGCC" * 4, "ACGTTGCAACGGTT" * 4], labels=[1, 0])
        >>> scores = km.attribute(model, sequences, ["lrp", "attention"])
        >>> outcomes = km.mutate(model, sequences, scores, counts=[1, 5], replicates=1)
        >>> table = differences(outcomes, resamples=100)
        >>> table[["class_name", "condition", "method", "other"]].iloc[0].tolist()
        ['class 0', 'all', 'lrp', 'attention']
    """
    drops = outcomes.drops("logit")
    areas: dict[str, Floats] = {}
    for method in outcomes.methods:
        curve = outcomes.counts(method, OPERATOR, ORDER)
        if curve and not is_bound(method) and not is_control(method):
            areas[method] = aopc(drops[[*curve.values()]])
    lines = outcomes.settings.get("lines", {})
    columns = [
        ({"method": one, "other": other, "line": lines.get(one, "")}, mean_over_draws(areas[one] - areas[other]))
        for one, other in combinations(areas, 2)
        if lines.get(one, "") == lines.get(other, "")
    ]
    return _tabulate(outcomes, columns, resamples, seed)


def _excesses(outcomes: Outcomes) -> Iterator[Column]:
    index = {tuple(row): at for at, row in enumerate(outcomes.groups.itertuples(index=False))}
    for measure in MEASURES[:1] if outcomes.regression else MEASURES:
        drops = outcomes.drops(measure)
        areas: dict[tuple[str, str, str, str], list[Floats]] = {}
        for (method, operator, order, full, n), at in index.items():
            if is_control(method) or is_bound(method) or n == 0:
                continue
            for control in [each for each in CONTROLS if each != CONTEXT]:
                other = index.get((ranking_of(control, method), operator, order, full, n))
                if other is None:
                    continue
                difference = drops[at] - drops[other]
                keys = {"method": method, "control": control, "operator": operator, "order": order}
                yield {**keys, "measure": measure, "n": "all" if full else str(n)}, mean_over_draws(difference)
                areas.setdefault((method, control, operator, order), []).append(difference)
        for area, parts in areas.items():
            keys = dict(zip(("method", "control", "operator", "order"), area, strict=True))
            yield {**keys, "measure": measure, "n": "aopc"}, mean_over_draws(aopc(np.stack(parts)))
    if any(outcomes.counts(method, OPERATOR, ORDER, full=False) for method in outcomes.methods):
        endpoint = Endpoint(outcomes)
        for method in endpoint.methods:
            if ranking_of(CONTEXT, method) in endpoint.aopc:
                keys = {"method": method, "control": CONTEXT, "operator": OPERATOR, "order": ORDER}
                yield {**keys, "measure": "logit", "n": "tokens"}, endpoint.excess(method, CONTEXT)


def _measures(outcomes: Outcomes) -> Iterator[Column]:
    groups = outcomes.groups[outcomes.groups["operator"] == OPERATOR]
    drops = {m: outcomes.drops(m) for m in (MEASURES[:1] if outcomes.regression else MEASURES)}

    def curve(method: str, order: str, full: bool = True) -> dict[int, int]:
        return outcomes.counts(method, OPERATOR, order, full=full)

    def area(measure: str, at: list[int]) -> Floats:
        return aopc(drops[measure][at])

    full = set(groups[groups["full"]]["n"])
    for method in [name for name in outcomes.methods if not is_bound(name)]:
        first, last = curve(method, ORDER), curve(method, "lerf")
        if not first:
            continue
        for kind in [each for each in ("logit", "probability") if each in drops]:
            yield _named(method, f"aopc_{kind}"), mean_over_draws(area(kind, list(first.values())))
        if last:
            both = [n for n in first if n in last]
            gap = area("logit", [first[n] for n in both]) - area("logit", [last[n] for n in both])
            yield _named(method, "srg"), mean_over_draws(gap)
        for bound, name in ((ISM, "naopc_ism"), (GREEDY, "naopc_greedy")):
            upper, lower, own = curve(bound, ORDER, False), curve(ISM, "lerf", False), curve(method, ORDER, False)
            shared = [n for n in own if n in upper and n in lower]
            if shared and not is_control(method):
                top, bottom, here = (area("logit", [each[n] for n in shared])[:, 0] for each in (upper, lower, own))
                wide = np.abs(top - bottom) >= SMALLEST_GAP
                yield (
                    _named(method, name),
                    np.divide(here - bottom, top - bottom, out=np.full(here.shape, np.nan), where=wide),
                )
        if not outcomes.regression:
            for title, measure, order in _PER_COUNT:
                for n, at in curve(method, order).items():
                    label = "all" if n in full else str(n)
                    yield _named(method, title, label), mean_over_draws(drops[measure][at])


_PER_COUNT = (
    ("comprehensiveness", "probability", "morf"),
    ("sufficiency", "probability", "insertion"),
    ("accuracy_drop", "accuracy", "morf"),
    ("flip_rate", "flips", "morf"),
)


def _named(method: str, measure: str, n: str = "") -> dict[str, Any]:
    return {"method": method, "measure": measure, "n": n}


def _tabulate(outcomes: Outcomes, columns: list[Column], resamples: int, seed: int) -> pd.DataFrame:
    """Average columns over the sequences of each class, all of them and those initially correct, with intervals."""
    import pandas as pd

    frames = []
    conditions: dict[str, Bool] = {"all": np.ones(len(outcomes), dtype=np.bool_)}
    if not outcomes.regression:
        conditions["correct"] = outcomes.initially_correct
    keys = pd.DataFrame([each for each, _ in columns])
    values = np.stack([each for _, each in columns], axis=1) if columns else np.zeros((len(outcomes), 0))
    for label, name in outcomes.class_names.items():
        for condition, holds in conditions.items():
            rows = holds & (outcomes.classes == label)
            if not rows.any() or not columns:
                continue
            clusters = outcomes.clusters[rows]
            found = mean_differences(values[rows], clusters=clusters, resamples=resamples, seed=seed + label)
            counted = {"sequences": found.rows, "clusters": found.clusters}
            described = {**counted, "value": found.mean, "low": found.low, "high": found.high}
            more = {"effect_size": found.effect_size, "detectable": found.detectable}
            frames.append(keys.assign(**described, **more, label=label, class_name=name, condition=condition))
    front = ["label", "class_name", "condition"]
    if not frames:
        return pd.DataFrame(columns=front)
    table = pd.concat(frames, ignore_index=True)
    return table[table["sequences"] > 0][[*front, *(c for c in table if c not in front)]].reset_index(drop=True)
