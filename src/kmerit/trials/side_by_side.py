"""Trials side by side: runs of several models, or of one model at several seeds, on the same sequences.

Sequences are matched by their letters, not by their names. Everything that determines the mutants must be
equal, so that what differs between two runs is the model and what its methods scored.
"""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import combinations
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from kmerit.errors import RunMismatch, SequenceError, UsageError
from kmerit.results import Attribution, Outcomes, Remark
from kmerit.sequences import Bool, Float, Floats, Int64
from kmerit.store import Tables, differences
from kmerit.trials.controls import CONTEXT, CONTROLS, DECIDING, NEAREST, ranking_of
from kmerit.trials.design import FEWEST, LEVEL
from kmerit.trials.execution import size_of
from kmerit.trials.verdicts import LEAST, Endpoint, judge
from kmerit.uncertainty import bootstrap_means, effect_differences, intervals, max_t, percentiles, studentised

if TYPE_CHECKING:
    import pandas as pd

FREE = frozenset(
    {"model_sha256", "scores_sha256", "methods", "signs", "renamed", "device", "micro_batch", "products", "chunk"}
)
"""Settings of a trial that may differ: the model, its scores, and the machine."""
_OF_SCORES = frozenset({"model", "micro_batch", "products", "tolerance", "withheld", "check", "strand_change"})
"""Settings of scores that may differ: the model, the machine, and what was found."""
HIGHER, LOWER, UNSHOWN = "higher", "lower", "not shown"
"""What is claimed of the second run's excess next to the first's: the bands over all three deciding controls lie above
0, or below it; or neither."""
ALL_CLASSES = -1
"""Stands for the label in rows over all classes."""
TABLES = ("verdicts", "claims", "differences", "agreement")


@dataclass(frozen=True, eq=False)
class Side:
    """One of the trials.

    Attributes:
        name: What it is called here.
        outcomes: Of the trial.
        scores: What was ranked, by method, in the order of the outcomes' sequences; None where it is not at hand.
    """

    name: str
    outcomes: Outcomes
    scores: Mapping[str, Attribution] | None = None

    @property
    def letters(self) -> tuple[str, ...] | None:
        """Give sha256 of each sequence's letters; None where that is not known."""
        first = next(iter((self.scores or {}).values()), None)
        return None if first is None or first.identity is None else first.identity.digests

    @cached_property
    def endpoint(self) -> Endpoint:
        """The endpoint of every ranking."""
        return Endpoint(self.outcomes)

    def ranked(self, method: str) -> Float | None:
        """Give the scores that a ranking went by, ``[sequence, position]``; None where they are not at hand."""
        scores = dict(self.scores or {})
        for old, new in self.outcomes.settings.get("renamed", {}).items():
            scores[new] = scores.pop(old)
        sizes = {size_of(name): name for name in scores}
        if method in scores:
            return scores[method].scores
        return np.abs(scores[sizes[method]].scores) if method in sizes else None


class Contrast(Remark):
    """What is to be said of trials side by side; values ready for JSON."""

    CODES: ClassVar[Mapping[str, tuple[str, ...]]] = {
        "verdict_differs": ("method", "class_name", "first", "second", "before", "after"),
        "verdicts_agree": ("of",),
        "higher": ("method", "class_name", "first", "second", "control", "value", "low", "high"),
        "lower": ("method", "class_name", "first", "second", "control", "value", "low", "high"),
        "none_differs": ("of",),
        "agreement": ("method", "first", "second", "value", "low", "high", "floor"),
        "sequences_left_out": ("class_name", "first", "second", "sequences", "of"),
        "methods_left_out": ("names", "run"),
        "other_names": ("first", "second"),
        "scores_missing": ("names",),
    }


@dataclass(frozen=True, eq=False)
class SideBySide(Tables):
    """Several trials on the same sequences, compared in pairs.

    Attributes:
        verdicts: A row per class, method and run: the run's own verdict, and what it rests on.
        claims: A row per pair of runs, class and method: whether the second run's excess is ``higher``, ``lower``, or
            ``not shown`` to differ. Higher: the bands of the difference over all three deciding controls lie above 0.
        differences: A row per pair, class, method and control: the excess of ``first`` and ``second`` in logits on the
            sequences that both classify correctly and explain for the same class; the ``difference`` (second less
            first) with its 95 % interval, alone, and its band, which holds over all rows with one at once; both effect
            sizes (the excess in standard deviations over sequences, which does not depend on the scale of a model's
            logits) and their difference.
        agreement: A row per pair, class (``ALL_CLASSES``: over all), method and measure: rank correlation of the scores
            position by position, and the share of the n highest-scored positions that both have (with tied scores, what
            draws that are independent of each other would share on average); means over sequences.
            ``floor`` is the mean with the second scores moved round the sequence by 20 nt and more; ``above`` is the
            difference from it, with its interval.
        remarks: What is to be said of it.
        settings: What determined all of it.
    """

    verdicts: pd.DataFrame
    claims: pd.DataFrame
    differences: pd.DataFrame
    agreement: pd.DataFrame
    remarks: tuple[Contrast, ...]
    settings: Mapping[str, Any]

    TABLES = TABLES
    RECORD, WHAT, COMMAND = "compare.json", "a comparison", "kmerit compare"
    REMARKS = Contrast

    def to_frame(self) -> pd.DataFrame:
        """Return the differences, a row per pair of runs, class, method and control."""
        return self.differences

    def __repr__(self) -> str:
        runs = ", ".join(each["name"] for each in self.settings["runs"])
        shown = int((self.claims["claim"] != UNSHOWN).sum())
        return f"<SideBySide: {runs}; {shown} of {len(self.claims)} differences shown>"


def side_by_side(sides: Sequence[Side], *, resamples: int = 2000, seed: int = 0) -> SideBySide:
    """Compare trials on the same sequences in pairs: verdicts, excesses, and scores position by position.

    Args:
        sides: Two or more, of different names.
        resamples: Bootstrap draws, over clusters of sequences; the same draws for every pair, method and control.
        seed: Of those draws.

    Raises:
        UsageError: Fewer than two trials, two of one name, no method that all have, or too few resamples.
        SequenceError: Other sequences, labels, crops or clusters.
        RunMismatch: Other settings; they are named, with both values.

    Example:
        >>> import kmerit as km
        >>> sequences = km.Sequences.from_strings(["TATAAAGGCGCGCC" * 4, "ACGTTGCAACGGTT" * 4], labels=[1, 0])
        >>> def side(name):
        ...     model = km.load_model(f"bundled:{name}")
        ...     scores = km.attribute(model, sequences, ["lrp"], "label")
        ...     outcomes = km.mutate(model, sequences, scores, counts=[5], controls=["shifted", "clump"])
        ...     return Side(name, outcomes, scores)
        >>> side_by_side([side("promoter"), side("enhancer")])
        Traceback (most recent call last):
        kmerit.errors.RunMismatch: classes: promoter has ['background', 'promoter'], enhancer ['background', ...
    """
    if len(sides) < 2:
        raise UsageError(f"Expected two or more trials to compare, got {len(sides)}.")
    if len({side.name for side in sides}) < len(sides):
        raise UsageError(f"Two trials are called {_twice(side.name for side in sides)!r}. Give each its own name.")
    if resamples < LEAST:
        raise UsageError(f"resamples: expected {LEAST} or more, which the thresholds need, got {resamples}.")
    rows = [_aligned(sides[0], side) for side in sides]
    shared = [name for name in sides[0].endpoint.methods if all(name in side.endpoint.methods for side in sides)]
    if not shared:
        raise UsageError(
            "The trials have no method in common: "
            + "; ".join(f"{side.name} has {', '.join(side.endpoint.methods)}" for side in sides)
            + ". Score the same methods."
        )
    pairs = [_Pair(sides[a], sides[b], rows[a], rows[b], shared) for a, b in combinations(range(len(sides)), 2)]
    if not any(control in DECIDING for pair in pairs for _, control in pair.columns):
        raise UsageError(
            "The trials have no deciding control (shifted, clump, other) in common, so there is no excess to compare. "
            "Run kmerit trial, or mutate with controls."
        )
    clusters, names = sides[0].outcomes.clusters, sides[0].outcomes.class_names
    verdicts = _verdicts(sides, shared, resamples, seed)
    differences_table = _differences(pairs, names, clusters, resamples, seed)
    claims = _claims(differences_table)
    agreement = _agreement(pairs, names, clusters, resamples, seed)
    digests = ("model_sha256", "scores_sha256", "sequences_sha256")
    settings = {
        "runs": [{"name": each.name, **{key: each.outcomes.settings[key] for key in digests}} for each in sides],
        "methods": shared,
        "sequences": len(sides[0].outcomes),
        "clusters": int(np.unique(clusters).size),
        "resamples": resamples,
        "seed": seed,
    }
    remarks = (
        *_on_verdicts(verdicts, [side.name for side in sides]),
        *_on_differences(claims, differences_table),
        *_on_agreement(agreement),
        *_left_out(sides, pairs, names, shared),
    )
    return SideBySide(verdicts, claims, differences_table, agreement, remarks, settings)


# --- the same sequences, the same settings ----------------------------------------------------------------------------


def _aligned(first: Side, other: Side) -> Int64:
    """Find the row of the other trial for each sequence of the first; refuse what is not comparable."""
    mine, theirs = first.outcomes, other.outcomes
    rows = _rows(first, other)
    _refuse_settings(first, other)
    if mine.class_names != theirs.class_names:
        raise RunMismatch(
            f"classes: {first.name} has {[*mine.class_names.values()]}, {other.name} {[*theirs.class_names.values()]}. "
            f"Compare models of the same classes, in the same order."
        )
    if (mine.labels is None) != (theirs.labels is None):
        has, lacks = (first, other) if theirs.labels is None else (other, first)
        raise SequenceError(f"labels: {has.name} has them, {lacks.name} has none. Give both the same labels.")
    if mine.labels is not None and theirs.labels is not None and (mine.labels != theirs.labels[rows]).any():
        i = int(np.argmax(mine.labels != theirs.labels[rows]))
        raise SequenceError(
            f"The label of {mine.names[i]!r} is {mine.labels[i]} in {first.name} and {theirs.labels[rows][i]} in "
            f"{other.name}. Give both the same labels."
        )
    ours, of_other = (np.unique(each, return_inverse=True)[1] for each in (mine.clusters, theirs.clusters[rows]))
    joint = np.unique(np.stack([ours, of_other]), axis=1).shape[1]
    if not joint == ours.max() + 1 == of_other.max() + 1:
        raise SequenceError(
            f"clusters: {first.name} has {ours.max() + 1}, {other.name} {of_other.max() + 1}, or others: the sequences "
            f"are resampled by them. Give both the same coordinates."
        )
    return rows


def _rows(first: Side, other: Side) -> Int64:
    mine, theirs = first.letters, other.letters
    if mine is None or theirs is None:
        digests = [side.outcomes.settings["sequences_sha256"] for side in (first, other)]
        if digests[0] != digests[1]:
            raise SequenceError(
                f"sequences: {first.name} has {len(first.outcomes)} (sha256 {digests[0][:12]}), {other.name} "
                f"{len(other.outcomes)} ({digests[1][:12]}): names, letters or labels differ. Compare trials of "
                f"the same sequences; if only the names differ, give the scores of both."
            )
        return np.arange(len(first.outcomes))
    if len(mine) != len(theirs):
        raise SequenceError(
            f"sequences: {first.name} has {len(mine)}, {other.name} {len(theirs)}. "
            f"Compare trials of the same sequences."
        )
    places: defaultdict[str, list[int]] = defaultdict(list)
    for row in reversed(range(len(theirs))):
        places[theirs[row]].append(row)
    rows = []
    for i, digest in enumerate(mine):
        if not places[digest]:
            raise SequenceError(_other_letters(first, other, i))
        rows.append(places[digest].pop())
    return np.array(rows, dtype=np.int64)


def _other_letters(first: Side, other: Side, i: int) -> str:
    """Say how the letters of a sequence of the first trial differ from what the other has under its name."""
    name = first.outcomes.names[i]
    message = f"sequences: the letters of {name!r} in {first.name} are those of no sequence in {other.name}"
    if name in other.outcomes.names:
        at = other.outcomes.names.index(name)
        identities = [next(iter((side.scores or {}).values())).identity for side in (first, other)]
        windows = [each.windows[row] for each, row in zip(identities, (i, at), strict=True) if each is not None]
        if windows[0] != windows[1]:
            return f"crop: {name!r} was read with {windows[0]} in {first.name}, with {windows[1]} in {other.name}."
        digests = [each.digests[row][:12] for each, row in zip(identities, (i, at), strict=True) if each is not None]
        message += f" (sha256 {digests[0]}; there {name!r} has {digests[1]})"
    return f"{message}. Compare trials of the same sequences."


def _refuse_settings(first: Side, other: Side) -> None:
    """Refuse trials whose mutants were made otherwise, or whose scores were."""
    free = FREE | {"sequences_sha256", "classes", "strands"}
    before, now = (
        json.loads(json.dumps({key: value for key, value in side.outcomes.settings.items() if key not in free}))
        for side in (first, other)
    )
    for key, was, is_now in differences(before, now):
        raise _other_setting(key, was, is_now, first, other)
    mine, theirs = (_strands(side) for side in (first, other))
    for method in mine.keys() & theirs.keys():
        if mine[method] != theirs[method]:
            raise _other_setting(f"{method}.strands", mine[method], theirs[method], first, other)
    for method in (first.scores or {}).keys() & (other.scores or {}).keys():
        mine, theirs = (
            {key: value for key, value in each[method].settings.items() if key not in {*_OF_SCORES, "strands"}}
            for each in (first.scores or {}, other.scores or {})
        )
        for key, was, is_now in differences(mine, theirs):
            raise _other_setting(f"{method}.{key}", was, is_now, first, other)


def _strands(side: Side) -> dict[str, str]:
    """Read the strands of each method's scores, as far as they are known."""
    by_strands: Mapping[str, Sequence[str]] = side.outcomes.settings.get("strands", {})
    of_trial = {method: strands for strands, methods in by_strands.items() for method in methods}
    return of_trial | {method: each.strands for method, each in (side.scores or {}).items()}


def _other_setting(key: str, was: Any, is_now: Any, first: Side, other: Side) -> RunMismatch:
    return RunMismatch(
        f"{key}: {first.name} has {was!r}, {other.name} {is_now!r}. Compare trials whose settings are equal, "
        f"but for the model and its scores."
    )


def _twice(names: Iterator[str]) -> str:
    return next(name for name, count in Counter(names).items() if count > 1)


# --- one pair ---------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, eq=False)
class _Pair:
    """Two trials.

    Attributes:
        first: The one.
        second: The other.
        rows_first: Its row for each sequence, in the common order.
        rows_second: Likewise.
        methods: That are compared.
    """

    first: Side
    second: Side
    rows_first: Int64
    rows_second: Int64
    methods: Sequence[str]

    @property
    def named(self) -> dict[str, str]:
        return {"first": self.first.name, "second": self.second.name}

    @cached_property
    def alike(self) -> Bool:
        """Whether a sequence is of one class and explained for one class in both, ``bool [sequence]``."""
        return np.asarray(self._equal("classes") & self._equal("targets"))

    @cached_property
    def usable(self) -> Bool:
        """Those that both models classify correctly, in addition."""
        right = self.first.outcomes.initially_correct[self.rows_first]
        return np.asarray(self.alike & right & self.second.outcomes.initially_correct[self.rows_second])

    @cached_property
    def classes(self) -> Int64:
        return np.asarray(self.first.outcomes.classes[self.rows_first])

    def _equal(self, what: str) -> Bool:
        one, two = (getattr(side.outcomes, what) for side in (self.first, self.second))
        return np.asarray(one[self.rows_first] == two[self.rows_second])

    @cached_property
    def columns(self) -> list[tuple[str, str]]:
        """Method and control, where both have that."""
        sides = (self.first.endpoint, self.second.endpoint)
        return [
            (method, control)
            for method in self.methods
            for control in CONTROLS
            if all(ranking_of(control, method) in each.aopc for each in sides)
        ]

    def excess(self, method: str, control: str) -> tuple[Floats, Floats]:
        """Give both excesses in the common order."""
        return (
            self.first.endpoint.excess(method, control)[self.rows_first],
            self.second.endpoint.excess(method, control)[self.rows_second],
        )


_VERDICT = ("label", "class_name", "method", "verdict", "beyond", "control", "excess", "low", "high", "sequences")


def _verdicts(sides: Sequence[Side], methods: Sequence[str], resamples: int, seed: int) -> pd.DataFrame:
    """Judge every run by itself, over all of its own methods, as its card does."""
    import pandas as pd

    rows = [
        (
            each.label,
            methods.index(each.method),
            at,
            {"run": side.name, **{key: getattr(each, key) for key in _VERDICT}},
        )
        for at, side in enumerate(sides)
        for each in judge(side.outcomes, resamples=resamples, seed=seed, endpoint=side.endpoint)
        if each.method in methods
    ]
    return pd.DataFrame([row for *_, row in sorted(rows, key=lambda each: each[:3])], columns=["run", *_VERDICT])


def _differences(
    pairs: Sequence[_Pair], names: Mapping[int, str], clusters: Int64, resamples: int, seed: int
) -> pd.DataFrame:
    """Compare excesses: columns of one class are resampled together, classes independently of each other."""
    import pandas as pd

    rows, parts = [], []
    for label, class_name in names.items():
        columns = [(pair, *column) for pair in pairs for column in pair.columns]
        first, second = np.full((2, clusters.size, len(columns)), np.nan)
        for at, (pair, method, control) in enumerate(columns):
            own_rows = pair.usable & (pair.classes == label)
            one, two = pair.excess(method, control)
            both = own_rows & np.isfinite(one) & np.isfinite(two)
            first[both, at], second[both, at] = one[both], two[both]
        table = second - first
        if not np.isfinite(table).any():
            continue
        statistics = studentised(table, clusters=clusters, resamples=resamples, seed=seed + label)
        low, high = intervals(statistics, table, clusters, resamples, 0.95, seed + label)
        effects = effect_differences(first, second, clusters=clusters, resamples=resamples, seed=seed + label)
        decides = np.array([control in (*DECIDING, CONTEXT) for _, _, control in columns]) & (
            statistics.clusters >= FEWEST
        )
        parts.append(statistics.take(decides))
        for at, (pair, method, control) in enumerate(columns):
            if not statistics.rows[at]:
                continue
            own_rows = np.isfinite(table[:, at])
            rows.append(
                {
                    **pair.named, "label": label, "class_name": class_name, "method": method, "control": control,
                    "sequences": int(statistics.rows[at]), "clusters": int(statistics.clusters[at]),
                    "excess_first": first[own_rows, at].mean(), "excess_second": second[own_rows, at].mean(),
                    "difference": statistics.mean[at], "low": low[at], "high": high[at],
                    "error": statistics.error[at], "decides": bool(decides[at]),
                    **{f"effect_{key}": values[at] for key, values in effects._asdict().items()},
                }
            )  # fmt: skip
    names_of = ["first", "second", "label", "class_name", "method", "control", "sequences", "clusters", "excess_first",
                "excess_second", "difference", "low", "high", "band_low", "band_high", "effect_first", "effect_second",
                "effect_difference", "effect_low", "effect_high"]  # fmt: skip
    differences = pd.DataFrame(rows)
    if differences.empty:
        return pd.DataFrame(columns=names_of)
    above, below = max_t(parts, 1 - LEVEL / 2) if parts else (np.nan, np.nan)
    errors = differences["error"].where(differences["decides"])
    differences["band_low"], differences["band_high"] = (
        differences["difference"] - above * errors,
        differences["difference"] + below * errors,
    )
    return differences[names_of]


def _claims(table: pd.DataFrame) -> pd.DataFrame:
    """Claim a difference where the bands over all three deciding controls lie on one side of 0."""
    import pandas as pd

    rows = []
    keys = ["first", "second", "label", "class_name", "method"]
    for values, group in table.groupby(keys, sort=False):
        three = group[group["control"].isin(DECIDING)]
        complete = len(three) == len(DECIDING)
        claim = UNSHOWN
        if complete and (three["band_low"] > 0).all():
            claim = HIGHER
        elif complete and (three["band_high"] < 0).all():
            claim = LOWER
        rows.append({**dict(zip(keys, values, strict=True)), "claim": claim})
    return pd.DataFrame(rows, columns=[*keys, "claim"])


# --- scores position by position --------------------------------------------------------------------------------------


def _agreement(
    pairs: Sequence[_Pair], names: Mapping[int, str], clusters: Int64, resamples: int, seed: int
) -> pd.DataFrame:
    import pandas as pd

    rows = []
    for pair in pairs:
        if pair.first.scores is None or pair.second.scores is None:
            continue
        agreements = {method: _by_sequence(pair, method) for method in pair.methods}
        columns = [(method, *key) for method, by_key in agreements.items() for key in by_key]
        if not columns:
            continue
        value, floor = (
            np.stack([agreements[method][measure, n][at] for method, measure, n in columns], axis=1) for at in (0, 1)
        )
        for label, class_name in [(ALL_CLASSES, "all classes"), *names.items()]:
            here = pair.alike & ((pair.classes == label) | (label == ALL_CLASSES))
            if not here.any():
                continue
            table = np.concatenate([value[here], value[here] - floor[here]], axis=1)
            draws = bootstrap_means(table, clusters=clusters[here], resamples=resamples, seed=seed)
            low, high = percentiles(draws)  # a studentised interval of shares that are nearly all 0 knows no bounds
            for at, (method, measure, n) in enumerate(columns):
                difference = at + len(columns)
                known = np.isfinite(table[:, at])
                if not known.any():
                    continue
                floors = floor[here, at][np.isfinite(floor[here, at])]
                rows.append(
                    {
                        **pair.named, "label": label, "class_name": class_name, "method": method, "measure": measure,
                        "n": n, "sequences": int(known.sum()), "value": table[known, at].mean(), "low": low[at],
                        "high": high[at], "floor": floors.mean() if floors.size else np.nan,
                        "above": table[known, difference].mean(), "above_low": low[difference],
                        "above_high": high[difference],
                    }
                )  # fmt: skip
    columns_of = ["first", "second", "label", "class_name", "method", "measure", "n", "sequences", "value", "low",
                  "high", "floor", "above", "above_low", "above_high"]  # fmt: skip
    return pd.DataFrame(rows, columns=columns_of)


CORRELATION, OVERLAP = "rank correlation", "overlap"


def _by_sequence(pair: _Pair, method: str) -> dict[tuple[str, int], tuple[Floats, Floats]]:
    """Compare two runs' scores of each sequence: by measure and n, values and floors ``[sequence]``."""
    one, two = pair.first.ranked(method), pair.second.ranked(method)
    if one is None or two is None:
        return {}
    lengths = pair.first.outcomes.lengths[pair.rows_first]
    counts = [n for n in pair.first.outcomes.settings["counts"] if n != "all" and 0 < n < lengths.min()]
    keys = [(CORRELATION, 0), *((OVERLAP, int(n)) for n in counts)]
    values = {key: np.full((2, lengths.size), np.nan) for key in keys}
    for i in np.flatnonzero(pair.alike).tolist():
        size = int(lengths[i])
        a, b = one[pair.rows_first[i], :size], two[pair.rows_second[i], :size]
        both = np.isfinite(a) & np.isfinite(b)
        values[CORRELATION, 0][:, i] = turned(*(_ranks(each, both) for each in (a, b)))
        if not both.any():
            continue
        for n in counts:
            values[OVERLAP, int(n)][:, i] = turned(*(_first(each, n) / np.sqrt(n) for each in (a, b)))
    return {key: (each[0], each[1]) for key, each in values.items()}


def _ranks(scores: Float, both: Bool) -> Floats:
    """Rank scores, centred and of length 1; 0 where either run has none, NaN where all are equal."""
    from scipy.stats import rankdata

    ranks = np.zeros(scores.size)
    ranks[both] = rankdata(scores[both])
    ranks[both] -= ranks[both].mean() if both.any() else 0.0
    length = float(np.sqrt((ranks**2).sum()))
    return ranks / length if length > 0 else np.full(scores.size, np.nan)


def _first(scores: Float, n: int) -> Floats:
    """Say how likely each position is among the n highest-scored ones, if ties are drawn; the sum is n.

    Not as the trials drew them: both draw the same ties, so scores that rank nothing would agree.
    """
    values = np.where(np.isfinite(scores), scores, -np.inf)
    least = np.sort(values)[-n]
    above, equal = values > least, values == least
    return np.asarray(above + equal * (n - above.sum()) / equal.sum(), dtype=np.float64)


def turned(one: Floats, two: Floats) -> tuple[float, float]:
    """Multiply two vectors: as they are, and on average with the second moved round the circle by 20 nt and more.

    Returns:
        The product, and the floor; NaN for a circle of 40 nt or fewer, on which nothing is that far.

    Example:
        >>> peak = np.eye(1, 50)[0]
        >>> turned(peak, peak)
        (1.0, 0.0)
    """
    size = one.size
    product = float(one @ two)
    if size <= 2 * NEAREST:
        return product, float("nan")
    by_shift = np.fft.irfft(np.fft.rfft(one) * np.conj(np.fft.rfft(two)), size)
    return product, round(float(by_shift[NEAREST : size - NEAREST + 1].mean()), 12) + 0.0


# --- what is to be said -----------------------------------------------------------------------------------------------


def _on_verdicts(verdicts: pd.DataFrame, runs: Sequence[str]) -> Iterator[Contrast]:
    differ = 0
    groups = verdicts.groupby(["label", "class_name", "method"], sort=False)
    for (_, class_name, method), group in groups:
        by_run = dict(zip(group["run"], group["verdict"], strict=True))
        for run in runs[1:]:
            if runs[0] in by_run and run in by_run and by_run[runs[0]] != by_run[run]:
                differ += 1
                yield Contrast(
                    "verdict_differs",
                    {
                        "method": method, "class_name": class_name, "first": runs[0], "second": run,
                        "before": by_run[runs[0]], "after": by_run[run],
                    },
                )  # fmt: skip
    if not differ and len(groups):
        yield Contrast("verdicts_agree", {"of": len(groups)})


def _on_differences(claims: pd.DataFrame, table: pd.DataFrame) -> Iterator[Contrast]:
    shown_claims = claims[claims["claim"] != UNSHOWN]
    for row in shown_claims.to_dict("records"):
        keys = ["first", "second", "label", "method"]
        mine = table[(table[keys] == [row[key] for key in keys]).all(axis=1) & table["control"].isin(DECIDING)]
        nearest = mine.iloc[int(np.argmin(mine["difference"].abs()))]
        values = {key: row[key] for key in ("method", "class_name", "first", "second")}
        ends = {"value": "difference", "low": "band_low", "high": "band_high"}
        numbers = {key: float(nearest[column]) for key, column in ends.items()}
        yield Contrast(row["claim"], {**values, "control": nearest["control"], **numbers})
    if not len(shown_claims) and len(claims):
        yield Contrast("none_differs", {"of": len(claims)})


def _on_agreement(agreement: pd.DataFrame) -> Iterator[Contrast]:
    rows = agreement[(agreement["label"] == ALL_CLASSES) & (agreement["measure"] == CORRELATION)]
    for row in rows.to_dict("records"):
        numbers = {key: float(row[key]) if np.isfinite(row[key]) else None for key in ("value", "low", "high", "floor")}
        yield Contrast("agreement", {**{key: row[key] for key in ("method", "first", "second")}, **numbers})


def _left_out(
    sides: Sequence[Side], pairs: Sequence[_Pair], names: Mapping[int, str], shared: Sequence[str]
) -> Iterator[Contrast]:
    for pair in pairs:
        for label, class_name in names.items():
            here = pair.classes == label
            if count := int((here & ~pair.usable).sum()):
                about = {"class_name": class_name, **pair.named, "sequences": count, "of": int(here.sum())}
                yield Contrast("sequences_left_out", about)
    for side in sides:
        if own := [name for name in side.endpoint.methods if name not in shared]:
            yield Contrast("methods_left_out", {"names": own, "run": side.name})
    for pair in pairs:
        one, two = (side.outcomes.names for side in (pair.first, pair.second))
        if any(one[a] != two[b] for a, b in zip(pair.rows_first, pair.rows_second, strict=True)):
            yield Contrast("other_names", pair.named)
    if without := [side.name for side in sides if side.scores is None]:
        yield Contrast("scores_missing", {"names": without})
