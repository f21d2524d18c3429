"""Pairs: do two positions that a method ranks first act alone, stand in for each other, or need each other?

Exact: every single and every double substitution of the highest-scored positions is classified, three alleles at each.
The interaction of a pair is its joint effect less the sum of the two single effects. Below 0, both take less than the
sum: a conjunction, pure where either alone takes all that both take (half of the sum). Above 0, each stands in for the
other: they are redundant, and mutating one at a time shows little of them. An output near its floor or ceiling looks
the same, though its positions act alone before it is bounded.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, replace
from itertools import combinations
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from kmerit.errors import UsageError
from kmerit.io.crops import Tiles
from kmerit.io.readers import SequencesLike, as_sequences
from kmerit.results import Remark
from kmerit.sequences import Bool, Float, Floats, Int8, Int64, Sequences, generator
from kmerit.store import Tables, all_recorded, begin, hold
from kmerit.trials.controls import SHIFTED, ranking_of, shifted_scores
from kmerit.trials.design import FEWEST, LEVEL
from kmerit.trials.execution import (
    MOST_SEQUENCES,
    Progress,
    Scores,
    check_sequences,
    classes_of,
    clusters_of,
    inputs_of,
    one_task,
    open_scores,
)
from kmerit.trials.rankings import check_counts, logits_of, rank
from kmerit.trials.trial import Attributions, by_lot, check_methods
from kmerit.trials.verdicts import LEAST, MARGIN, known
from kmerit.uncertainty import Studentised, intervals, max_t, studentised

if TYPE_CHECKING:
    import pandas as pd

    from kmerit.models.model import Model

ADDITIVE, REDUNDANT, CONJUNCTION, UNDECIDED = "additive", "redundant", "conjunction", "undecided"
NEAR = 10
"""Pairs up to this many nucleotides apart are near: usually in one motif."""
STRATA: Mapping[str, Callable[[Int64], Bool]] = {
    "all": lambda distance: distance > 0,
    "near": lambda distance: distance <= NEAR,
    "far": lambda distance: distance > NEAR,
}
TABLES = ("summary", "pairs")
SETTINGS = "pairs.json"


class Interaction(Remark):
    """What is to be said of pairs; values ready for JSON."""

    CODES: ClassVar[Mapping[str, tuple[str, ...]]] = {
        **dict.fromkeys(
            (ADDITIVE, REDUNDANT, CONJUNCTION, UNDECIDED),
            ("method", "class_name", "value", "low", "high", "ratio", "sequences"),
        ),
        "none_of_class": ("class_name", "mistaken"),
    }


@dataclass(frozen=True, eq=False)
class Pairs(Tables):
    """Single and joint effects of the positions that methods rank first.

    Attributes:
        summary: A row per class, method and distance (``all``, ``near``: up to 10 nt, ``far``): the mean over sequences
            of the sum of the single effects, of the joint effect and of the interaction, in logits a pair; their
            ``ratio`` (joint to sum: 1 where effects add up, 0.5 for a pure conjunction, above 1 for redundant
            ones); the interval of the interaction, alone, and its band, which holds over all rows at once; the
            ``kind``; and the interaction of the same positions moved round the sequence (``shifted``), with the
            ``difference`` from that and its interval: what any two positions of this model do.
        pairs: A row per sequence, ranking and pair: the positions, their distance, single effects, joint effect and
            interaction. An effect is how far the explained logit falls, averaged over the three other bases at each
            position.
        remarks: What is to be said of it.
        settings: What determined all of it, and how many ``classifications`` it took.
    """

    summary: pd.DataFrame
    pairs: pd.DataFrame
    remarks: tuple[Interaction, ...]
    settings: Mapping[str, Any]

    TABLES = TABLES
    RECORD, WHAT, COMMAND, FREE = SETTINGS, "pairs", "kmerit pairs", ("classifications",)
    REMARKS = Interaction

    def to_frame(self) -> pd.DataFrame:
        """Return the summary, a row per class, method and distance."""
        return self.summary

    def __repr__(self) -> str:
        return f"<Pairs: {len(self.pairs)} pairs of {self.settings['sequences']} sequences>"


def pairs(
    model: Model,
    sequences: SequencesLike,
    attributions: Attributions,
    *,
    top: int = 8,
    per_class: int = 25,
    budget: int | None = None,
    resamples: int = 2000,
    seed: int = 0,
    out: str | Path | None = None,
    progress: Progress | None = None,
    announce: Callable[[int], None] | None = None,
    tiles: Tiles | None = None,
) -> Pairs:
    """Compare joint effects with the sum of single effects, for every pair of the positions that methods rank first.

    A method's signal in a class is a ``conjunction`` where the band of the interaction lies below 0, ``redundant``
    where it lies above, and ``additive`` where it lies within 10 % of the mean sum of the single effects on either
    side; else ``undecided``, as it is where mutating both does not lower the logit on average. So every clear
    shortfall of the joint effect is a conjunction, whether the ``ratio`` is 0.5 (a pure one) or 0.75, and an output
    near its floor looks the same, as one near its ceiling looks redundant. Classes are judged on the sequences that
    the model classifies correctly.

    Args:
        model: What is asked.
        sequences: What is mutated, as `attribute` takes it; without N.
        attributions: As for `mutate`.
        top: How many of the highest-scored positions of each sequence are paired.
        per_class: Sequences of each class, drawn at random.
        budget: Classifications at the most; they are counted before the first of them.
        resamples: Bootstrap draws, over clusters of sequences.
        seed: Of ties, of the sequences drawn, and of the bootstrap.
        out: Folder for the tables (CSV and Parquet).
        progress: Called with the sequences finished and their number.
        announce: Called with the number of classifications before the first of them.
        tiles: As for `mutate`.

    Raises:
        UsageError: Fewer than two positions, too few resamples, more classifications than the budget, or scores that
            were made with other tiles.
        CountError: More positions than a sequence has.
        SequenceError: No sequence, an N, or attributions of other sequences.
        RunMismatch: The folder holds other pairs.

    Example:
        >>> import kmerit as km
        >>> model = km.load_model("bundled:promoter")
        >>> sequences = km.Sequences.from_strings(["TATAAAGGCGCGCC", "GGGCGGGGCTTCCG"])
        >>> pairs(model, sequences, km.attribute(model, sequences, ["lrp"]), top=3)
        <Pairs: 6 pairs of 2 sequences>
    """
    if top < 2 or per_class < 1:
        raise UsageError(f"Expected at least 2 positions and 1 sequence a class, got top={top}, per_class={per_class}.")
    if resamples < LEAST:
        raise UsageError(f"resamples: expected {LEAST} or more, which the bands need, got {resamples}.")
    every, model = as_sequences(sequences), replace(model, tiles=tiles)
    scores = open_scores(attributions, every, model)
    check_methods(scores.methods)
    model, scores = one_task(model, scores)
    every = model.numbered(every)
    check_sequences(model, every)
    shortest = int(np.argmin(every.lengths))
    check_counts((top,), int(every.lengths[shortest]), every.names[shortest], key="top")
    classes = np.zeros(len(every), dtype=np.int64) if model.regression else classes_of(every, scores)
    members = np.flatnonzero(by_lot(classes, every.names, seed) < per_class)
    chosen = _chosen(every, scores, members, top, seed)
    count = sum(_cost(by_ranking) for by_ranking in chosen)
    if budget is not None and count > budget:
        raise UsageError(
            f"These pairs take {count:,} classifications, more than the budget of {budget:,}. Lower top ({top}) or "
            f"per_class ({per_class}), or score fewer methods."
        )
    folder = None if out is None else Path(out)
    model = model.fitted(every, begun=None if folder is None else all_recorded(folder / SETTINGS))
    settings = {
        **inputs_of(model, every, scores),
        "methods": list(scores.methods),
        "top": top,
        "per_class": per_class,
        "resamples": resamples,
        "seed": seed,
        "sequences": int(members.size),
        "classifications": count,
    }
    with nullcontext() if folder is None else hold(folder):
        if folder is not None:
            begin(folder / SETTINGS, "pairs", settings, free=("classifications",), own=lambda path: False)
        if announce is not None:
            announce(count)
        table, intact = _measured(model, every, scores, members, chosen, progress)
        table["label"] = classes[table["row"].to_numpy()]
        right = np.ones(members.size, dtype=np.bool_) if model.regression else intact == classes[members]
        names = {0: "all"} if model.regression else dict(enumerate(model.labels))
        clusters = np.array(clusters_of(every))
        rows = members[right]
        summary = _summary(table[table["row"].isin(rows)], scores.methods, names, clusters, resamples, seed)
        mistaken = {label: int((classes[members[~right]] == label).sum()) for label in names}
        result = Pairs(summary, table.drop(columns="row"), (*_remarks(summary, names, mistaken),), settings)
        if folder is not None:
            result.write_tables(folder)
    return result


def _chosen(
    sequences: Sequences, scores: Scores, members: Int64, top: int, seed: int
) -> list[dict[str, list[tuple[int, int]]]]:
    """List the pairs of every member, by ranking: of each method, and of its scores moved round the sequence."""
    member_set = set(members.tolist())
    each = (one for chunk in scores.chunks(MOST_SEQUENCES) for one in chunk)
    chosen = []
    for row, own in enumerate(each):
        if row not in member_set:
            continue
        name = sequences.names[row]
        ties: Floats = generator(seed, "ties", 0, name).random(own.shape[1:])
        shifted = shifted_scores(seed, 1, name, own)
        by_ranking: dict[str, list[tuple[int, int]]] = {}
        for at, method in enumerate(scores.methods):
            if scores.withheld[at, row]:
                continue
            by_ranking[method] = _pairs_of(own[at], ties, top)
            if shifted is not None:
                by_ranking[ranking_of(SHIFTED, method)] = _pairs_of(shifted[at, 0], ties, top)
        chosen.append(by_ranking)
    return chosen


def _pairs_of(scores: Float, ties: Floats, top: int) -> list[tuple[int, int]]:
    first = np.flatnonzero(rank(scores, ties) < top).tolist()
    return list(combinations(first, 2))


def _distinct(by_ranking: Mapping[str, Sequence[tuple[int, int]]]) -> tuple[list[int], list[tuple[int, int]]]:
    """List the positions and the pairs of a sequence, each once."""
    every = sorted({pair for listed in by_ranking.values() for pair in listed})
    return sorted({position for pair in every for position in pair}), every


def _cost(by_ranking: Mapping[str, Sequence[tuple[int, int]]]) -> int:
    positions, every = _distinct(by_ranking)
    return 1 + 3 * len(positions) + 9 * len(every)


def _measured(
    model: Model,
    sequences: Sequences,
    scores: Scores,
    members: Int64,
    chosen: Sequence[Mapping[str, Sequence[tuple[int, int]]]],
    progress: Progress | None,
) -> tuple[pd.DataFrame, Int64]:
    """Classify every mutant once: a row per pair, and what the model calls each member."""
    import pandas as pd

    rows = []
    for count, (row, by_ranking) in enumerate(zip(members.tolist(), chosen, strict=True), 1):
        name, bases = sequences.names[row], sequences.bases[sequences.offsets[row] : sequences.offsets[row + 1]]
        target = 0 if model.regression else int(scores.targets[row])
        single, joint = effects(model, name, bases, target, *_distinct(by_ranking))
        for ranking, listed in by_ranking.items():
            for a, b in listed:
                rows.append(
                    (row, name, ranking, a, b, b - a, single[a], single[b], joint[a, b],
                     joint[a, b] - single[a] - single[b])
                )  # fmt: skip
        if progress is not None:
            progress(count, len(members))
    columns = ["row", "sequence", "ranking", "first", "second", "distance", "single_first", "single_second", "joint",
               "interaction"]  # fmt: skip
    calls = model.logits(sequences.take(members)).argmax(axis=1)
    return pd.DataFrame(rows, columns=columns), np.asarray(calls, dtype=np.int64)


def effects(
    model: Model, name: str, bases: Int8, target: int, positions: Sequence[int], every: Sequence[tuple[int, int]]
) -> tuple[dict[int, float], dict[tuple[int, int], float]]:
    """Measure single and joint effects: how far the explained logit falls, averaged over the other bases.

    Args:
        model: What is asked.
        name: Of the sequence.
        bases: ``int8 [position]``, 0..3.
        target: The output explained.
        positions: To be mutated alone.
        every: Pairs of positions, to be mutated together.

    Returns:
        The effect by position, and by pair.
    """
    steps = np.array([1, 2, 3], dtype=np.int8)
    both = np.array([(a, b) for a in steps for b in steps], dtype=np.int8)
    mutants = np.repeat(bases[None], 1 + 3 * len(positions) + 9 * len(every), axis=0)
    at = 1
    for position in positions:
        mutants[at : at + 3, position] = (bases[position] + steps) % 4
        at += 3
    for a, b in every:
        mutants[at : at + 9, [a, b]] = (bases[[a, b]] + both) % 4
        at += 9
    logits = logits_of(model, name, mutants, target).astype(np.float64)
    falls = logits[0] - logits
    ones = falls[1 : 1 + 3 * len(positions)].reshape(-1, 3).mean(axis=1)
    twos = falls[1 + 3 * len(positions) :].reshape(-1, 9).mean(axis=1)
    return (
        dict(zip(positions, ones.tolist(), strict=True)),
        dict(zip(every, twos.tolist(), strict=True)),
    )


def _summary(
    table: pd.DataFrame,
    methods: Sequence[str],
    names: Mapping[int, str],
    clusters: Int64,
    resamples: int,
    seed: int,
) -> pd.DataFrame:
    """Average over the pairs of a sequence, then over sequences, class by class."""
    import pandas as pd

    table = table.assign(sum=table["single_first"] + table["single_second"])
    rows: list[dict[str, Any]] = []
    parts: list[Studentised] = []
    for label, class_name in names.items():
        of_class = table[table["label"] == label]
        sequences = np.unique(of_class["row"])
        if not sequences.size:
            continue
        keys = [(method, stratum) for method in methods for stratum in STRATA]

        def means(ranking: str, stratum: str, of: pd.DataFrame = of_class, index: Any = sequences) -> pd.DataFrame:
            here = of[(of["ranking"] == ranking) & STRATA[stratum](of["distance"].to_numpy())]
            return here.groupby("row")[["sum", "joint", "interaction"]].mean().reindex(index)

        own = {key: means(*key) for key in keys}
        moved = {(m, s): means(ranking_of(SHIFTED, m), s)["interaction"].to_numpy() for m, s in keys}
        interaction = np.stack([own[key]["interaction"].to_numpy() for key in keys], axis=1)
        excess = interaction - np.stack([moved[key] for key in keys], axis=1)
        values = np.concatenate([interaction, excess], axis=1)
        statistics = studentised(values, clusters=clusters[sequences], resamples=resamples, seed=seed + label)
        low, high = intervals(statistics, values, clusters[sequences], resamples, 0.95, seed + label)
        decides = (statistics.clusters >= FEWEST) & (np.arange(values.shape[1]) < len(keys))
        parts.append(statistics.take(decides))
        for at, (method, stratum) in enumerate(keys):
            if not statistics.rows[at]:
                continue
            mean, other = own[method, stratum].mean(), len(keys) + at
            rows.append(
                {
                    "label": label, "class_name": class_name, "method": method, "distance": stratum,
                    "sequences": int(statistics.rows[at]), "clusters": int(statistics.clusters[at]), "sum": mean["sum"],
                    "joint": mean["joint"], "interaction": statistics.mean[at],
                    "ratio": mean["joint"] / mean["sum"] if mean["sum"] > 0 else np.nan,
                    "low": low[at], "high": high[at], "error": statistics.error[at] if decides[at] else np.nan,
                    "shifted": np.nanmean(moved[method, stratum]) if statistics.rows[other] else np.nan,
                    "difference": statistics.mean[other], "difference_low": low[other], "difference_high": high[other],
                }
            )  # fmt: skip
    columns = ["label", "class_name", "method", "distance", "kind", "sequences", "clusters", "sum", "joint", "ratio",
               "interaction", "low", "high", "band_low", "band_high", "shifted", "difference", "difference_low",
               "difference_high"]  # fmt: skip
    if not rows:
        return pd.DataFrame(columns=columns)
    above, below = max_t(parts, 1 - LEVEL / 2)
    summary = pd.DataFrame(rows)
    reach = np.where(summary["error"] == 0, 0.0, summary["error"])
    with np.errstate(invalid="ignore"):
        summary["band_low"] = summary["interaction"] - np.where(reach == 0, 0.0, above * reach)
        summary["band_high"] = summary["interaction"] + np.where(reach == 0, 0.0, below * reach)
    summary["kind"] = [kind_of(row) for row in summary.to_dict("records")]
    return summary[columns]


def kind_of(row: Mapping[Any, Any]) -> str:
    """Apply the rule to a row of the summary.

    Example:
        >>> kind_of({"sum": 2.0, "joint": 1.0, "band_low": -1.2, "band_high": -0.8})
        'conjunction'
        >>> kind_of({"sum": 2.0, "joint": 2.0, "band_low": -0.1, "band_high": 0.1})
        'additive'
    """
    low, high = row["band_low"], row["band_high"]
    if not row["joint"] > 0 or not (np.isfinite(low) and np.isfinite(high)):
        return UNDECIDED
    margin = MARGIN * max(row["sum"], 0.0)
    if -margin < low and high < margin:
        return ADDITIVE
    return CONJUNCTION if high < 0 else REDUNDANT if low > 0 else UNDECIDED


def _remarks(summary: pd.DataFrame, names: Mapping[int, str], mistaken: Mapping[int, int]) -> list[Interaction]:
    remarks = []
    for row in summary[summary["distance"] == "all"].to_dict("records"):
        about = {"method": row["method"], "class_name": row["class_name"], "sequences": row["sequences"]}
        columns = {"value": "interaction", "low": "band_low", "high": "band_high", "ratio": "ratio"}
        about |= {key: known(row[column]) for key, column in columns.items()}
        remarks.append(Interaction(row["kind"], about))
    present = set(summary["label"])
    for label, class_name in names.items():
        if label not in present and mistaken[label]:
            remarks.append(Interaction("none_of_class", {"class_name": class_name, "mistaken": mistaken[label]}))
    return remarks
