"""What a sequence is made of, and how well that alone separates the classes."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from kmerit.datasets.dataset import Dataset, bare_chromosome
from kmerit.datasets.findings import Settings
from kmerit.metrics import auroc, auroc_interval
from kmerit.sequences import Bool, Floats, Int64, N, Sequences, kmers
from kmerit.uncertainty import Interval, Statistic, percentiles, resampled

Float32 = NDArray[np.float32]
_CHUNK = 1 << 21

DINUCLEOTIDES = tuple(f"{a}p{b}" for a in "ACGT" for b in "ACGT")
"""Written with the phosphate between, so that the dinucleotide GpC is not taken for GC content."""
FEATURES = ("length", "GC", "CpG o/e", "N", "low complexity", "longest run", *DINUCLEOTIDES)
"""Features of letters, in the order of the columns of :func:`features`."""


def word_counts(sequences: Sequences, k: int) -> Float32:
    """Count each sequence's overlapping words.

    Returns:
        ``float32 [sequence, 4**k]``; words over an N count for nothing.

    Example:
        >>> word_counts(Sequences.from_strings(["AACA", "CC"]), 1).tolist()
        [[3.0, 1.0, 0.0, 0.0], [0.0, 2.0, 0.0, 0.0]]
    """
    size = 4**k
    table = np.zeros((len(sequences), size), dtype=np.float32)
    for a, b in _chunks(sequences, size):
        offsets = sequences.offsets[a : b + 1] - sequences.offsets[a]
        words = kmers(sequences.bases[sequences.offsets[a] : sequences.offsets[b]], k)
        row = np.repeat(np.arange(b - a), np.diff(offsets))[: words.size]
        inside = (words >= 0) & (np.arange(words.size) + k <= offsets[row + 1])
        cells = np.bincount(row[inside] * size + words[inside], minlength=(b - a) * size)
        table[a:b] = cells.reshape(b - a, size)
    return table


def word_shares(sequences: Sequences, k: int) -> Float32:
    """Give the words of each sequence as shares of all it has."""
    table = word_counts(sequences, k)
    table /= np.maximum(table.sum(axis=1, keepdims=True), 1)
    return table


def features(sequences: Sequences) -> Floats:
    """Measure every sequence.

    ``length`` in nt; ``GC`` and ``N`` as shares; ``CpG o/e`` is CpG x length / (C x G), 0 where there is no C or G;
    ``low complexity`` counts pairs of equal triplets against those expected of random letters (1; a run of one base
    has 64): the DUST score, scaled by the length; ``longest run`` of one base in nt; dinucleotides as shares.

    Returns:
        ``[sequence, feature]``, columns as in :data:`FEATURES`.

    Source: morgulis2006, section 2.1 (DUST score); gardinergarden1987 (CpG observed / expected).

    Example:
        >>> dict(zip(FEATURES, features(Sequences.from_strings(["CGCG"]))[0].round(2).tolist()))["CpG o/e"]
        2.0
    """
    lengths = sequences.lengths.astype(float)
    single = word_counts(sequences, 1)
    pairs = word_counts(sequences, 2)
    triplets = word_counts(sequences, 3)
    known = np.maximum(single.sum(axis=1), 1)
    expected = single[:, 1] * single[:, 2]
    cpg = np.where(expected > 0, pairs[:, 6] * known / np.maximum(expected, 1), 0.0)
    triplet = triplets.sum(axis=1)
    equal = (triplets * (triplets - 1)).sum(axis=1) / np.maximum(triplet * (triplet - 1) / 64, 1)
    columns = [
        lengths,
        (single[:, 1] + single[:, 2]) / known,
        cpg,
        1 - single.sum(axis=1) / lengths,
        equal,
        longest_runs(sequences),
        *(pairs / np.maximum(pairs.sum(axis=1, keepdims=True), 1)).T,
    ]
    return np.stack(columns, axis=1).astype(np.float64)


def longest_runs(sequences: Sequences) -> Int64:
    """Measure the longest run of one known base in every sequence, in nt.

    Example:
        >>> longest_runs(Sequences.from_strings(["AACCCG", "CNN"])).tolist()
        [3, 1]
    """
    bases = sequences.bases
    starts = np.ones(bases.size, dtype=np.bool_)
    starts[1:] = bases[1:] != bases[:-1]
    starts[sequences.offsets[:-1]] = True
    first = np.flatnonzero(starts)
    length = np.where(bases[first] < N, np.diff(np.append(first, bases.size)), 0)
    longest = np.zeros(len(sequences), dtype=np.int64)
    np.maximum.at(longest, np.searchsorted(sequences.offsets, first, side="right") - 1, length)
    return longest


def _chunks(sequences: Sequences, size: int) -> list[tuple[int, int]]:
    """Cut the rows so that neither letters nor cells of a piece are many."""
    per_piece = max(1, min(_CHUNK // size, _CHUNK // max(1, int(sequences.lengths.mean()))))
    starts = range(0, len(sequences), per_piece)
    return [(a, min(a + per_piece, len(sequences))) for a in starts]


@dataclass(frozen=True, eq=False)
class Round:
    """Rows that baselines learn from, and those that are judged by them.

    Attributes:
        learn: All training rows.
        sample: Those of them that costly baselines learn from.
        judge: The rows that are judged, or a sample of them.
    """

    learn: Int64
    sample: Int64
    judge: Int64


@dataclass(frozen=True, eq=False)
class Contest:
    """Who learns from what, and which rows are judged.

    Attributes:
        rounds: One where there is a test split. Of a single split four, each of which holds a quarter of the groups
            out; one, if it has more rows than are judged.
        judge: The judged rows of all rounds, in their order.
        ranked: The rows that single features rank: those of the test split or of the only one, or a sample of them.
        group: ``[row]`` of the data set: rows that count, and are resampled, together.
        leaked: ``[row]`` of the data set: whether a training row of the same class is a copy, overlaps, or is a near
            copy.
    """

    rounds: tuple[Round, ...]
    judge: Int64
    ranked: Int64
    group: Int64
    leaked: Bool


FOLDS = 4


def contest(dataset: Dataset, group: Int64, leaked: Bool, settings: Settings) -> Contest:
    """Draw the rows that learn and those that are judged."""
    rng = np.random.default_rng(settings.seed)
    if len(dataset.splits) > 1:
        learnt, judged = [dataset.split == 0], [dataset.split == len(dataset.splits) - 1]
    else:
        fold = _folds(dataset.labels, group, rng)
        judged = [fold == i for i in range(FOLDS if len(dataset) <= settings.test_rows else 1)]
        learnt = [~each for each in judged]

    def sampled(rows: Int64, most: int) -> Int64:
        return np.sort(rng.permutation(rows)[:most])

    rounds = []
    for learns, judges in zip(learnt, judged, strict=True):
        learn = np.flatnonzero(learns)
        rounds.append(
            Round(learn, sampled(learn, settings.train_rows), sampled(np.flatnonzero(judges), settings.test_rows))
        )
    rounds = [each for each in rounds if each.learn.size and each.judge.size]
    judge = np.concatenate([np.empty(0, dtype=np.int64), *(each.judge for each in rounds)])
    ranked = judge if len(dataset.splits) > 1 else sampled(np.arange(len(dataset)), settings.test_rows)
    return Contest(tuple(rounds), judge, ranked, group, leaked)


def _folds(labels: Int64, group: Int64, rng: np.random.Generator) -> Int64:
    """Assign groups to folds in turn, class by class, so that every fold has its share of each."""
    first = np.unique(group, return_index=True)[1]
    order = rng.permutation(first)
    order = order[np.argsort(labels[order], kind="stable")]
    fold = np.empty(int(group.max()) + 1, dtype=np.int64)
    fold[group[order]] = np.arange(order.size) % FOLDS
    return np.asarray(fold[group])


def compare_features(dataset: Dataset, rows: Contest, values: Floats, names: tuple[str, ...]) -> list[dict[str, Any]]:
    """Rank rows by each feature: AUROC of class 1. Nothing is learnt, so all rows of the split count.

    Of more classes: the mean over those that the rows have, each in its best direction.

    Returns:
        Per feature: ``feature``, ``auroc``, ``low``, ``high``, ``strength`` (0.5 to 1, in either direction),
        ``at_least`` (the low end of its interval, in either direction), ``ceiling`` (that end, had the feature
        separated the rows fully), and ``means`` by class, over all rows of the data set.
    """
    entries = []
    for j in (j for j in range(len(names)) if np.ptp(values[:, j]) > 0):
        areas = _areas(dataset, rows.ranked, rows.group, [values[rows.ranked, j]] * len(dataset.classes))
        strengths = [_either_way(area) for area in areas]
        estimates = areas if len(dataset.classes) == 2 else strengths
        entries.append(
            {
                "feature": names[j],
                **_mean(estimates, "auroc"),
                "strength": _mean(strengths, "auroc")["auroc"],
                "at_least": _mean(strengths, "auroc")["low"],
                "ceiling": _ceiling(dataset, rows.ranked, rows.group),
                "means": {
                    name: float(values[dataset.labels == label, j].mean())
                    for label, name in enumerate(dataset.classes)
                    if (dataset.labels == label).any()
                },
            }
        )
    return entries


def _areas(dataset: Dataset, rows: Int64, group: Int64, scores: Sequence[Floats]) -> list[Interval]:
    """Rank rows by the scores of each class: AUROC of the class against the others, with its interval.

    Of two classes only that of class 1; of more, those that the rows have.
    """
    y = dataset.labels[rows]
    classes = [1] if len(dataset.classes) == 2 else [int(c) for c in np.unique(y)]
    areas = []
    for c in classes:
        mine = y == c
        value = float(auroc(mine, scores[c], np.ones(rows.size)))
        areas.append(auroc_interval(value, _independent(group[rows[mine]]), _independent(group[rows[~mine]])))
    return areas


def _independent(group: Int64) -> float:
    """Count rows as if those of one group said the same: Kish's effective number."""
    sizes = np.unique(group, return_counts=True)[1].astype(float)
    return float(sizes.sum() ** 2 / np.sum(sizes**2)) if sizes.size else 0.0


def _either_way(area: Interval) -> Interval:
    """Reflect an AUROC to 0.5 and above; an interval over 0.5 ends there, for either side may be right."""
    value, low, high = area if area.value >= 0.5 else Interval(1 - area.value, 1 - area.high, 1 - area.low)
    return Interval(value, max(low, 0.5), high)


def _ceiling(dataset: Dataset, rows: Int64, group: Int64) -> float | None:
    """Give the low end of the interval that a full separation of these rows would have."""
    y = dataset.labels[rows]
    perfect = [(y == c).astype(float) for c in range(len(dataset.classes))]
    return _mean(_areas(dataset, rows, group, perfect))["low"]


def _mean(areas: Sequence[Interval], name: str = "value") -> dict[str, float | None]:
    """Average AUROCs, and their bounds, over classes; None where there is none."""
    mean = np.mean(areas, axis=0) if areas else np.full(3, np.nan)
    return {key: float(x) if np.isfinite(x) else None for key, x in zip((name, "low", "high"), mean, strict=True)}


def compare_baselines(
    dataset: Dataset,
    rows: Contest,
    values: Mapping[str, Floats],
    partners: Bool | None,
    settings: Settings,
    tick: Callable[[], None],
) -> list[dict[str, Any]]:
    """Let each baseline learn from training rows and measure it on test rows.

    Args:
        dataset: The rows.
        rows: Which learn and which are judged, round by round.
        values: ``[row]`` of single features that a tree of eight leaves learns from.
        partners: ``bool [row, 2]``: a leak from a training row of the same, and of another class.
        settings: Which baselines, and how many rows.
        tick: Called after each.

    Returns:
        Per baseline: ``baseline``, and with ``value``, ``low``, ``high`` (None where there are no such rows):
        ``accuracy``; ``auroc``, which also has a ``ceiling`` as features do; ``accuracy_leaked``; ``accuracy_clean``,
        over rows without a leak, each class with its share of all rows; ``leak_gain``, accuracy minus accuracy_clean;
        ``share_from_leaked``, of the correct answers those on leaked rows.
    """
    entries = []
    for name in settings.baselines:
        parts = [_scores(name, dataset, each, values, partners, settings) for each in rows.rounds]
        tick()
        complete = [part for part in parts if part is not None]
        if not complete or len(complete) < len(parts):
            continue
        scores = np.concatenate(complete)
        ranked = [scores[:, 0], scores[:, 1] - scores[:, 0]] if scores.shape[1] == 2 else list(scores.T)
        area = _mean(_areas(dataset, rows.judge, rows.group, ranked))
        entry: dict[str, Any] = {
            "baseline": name,
            "auroc": {**area, "ceiling": _ceiling(dataset, rows.judge, rows.group)},
        }
        measures = _measures(dataset.labels[rows.judge], scores, rows.leaked[rows.judge])
        entries.append(entry | _intervals(measures, rows.group[rows.judge], settings))
    return entries


def _measures(y: Int64, scores: Floats, leaked: Bool) -> dict[str, Statistic]:
    """Name what is measured of a baseline's answers, as functions of the rows' weights."""
    correct = (scores.argmax(axis=1) == y).astype(float)
    on_leaked = leaked.astype(float)
    classes = [y == c for c in np.unique(y)]

    def clean(w: Floats) -> Floats:
        return _clean(w, correct, classes, ~leaked)

    return {
        "accuracy": lambda w: w @ correct / w.sum(-1),
        "accuracy_leaked": lambda w: _share(w, correct, on_leaked),
        "accuracy_clean": clean,
        "leak_gain": lambda w: w @ correct / w.sum(-1) - clean(w),
        "share_from_leaked": lambda w: _share(w, on_leaked, correct),
    }


def _clean(w: Floats, correct: Floats, classes: list[Bool], clean: Bool) -> Floats:
    """Average accuracy on rows without a leak over the classes, weighted by their shares of all rows.

    Without the weights, a class that leaks would count less among the clean rows, and a baseline that favours the other
    one would seem to lose nothing.
    """
    parts = [(w @ mine) / w.sum(-1) * _share(w, correct, (mine & clean).astype(float)) for mine in classes]
    return np.asarray(np.sum(parts, axis=0))


def _share(w: Floats, what: Floats, among: Floats) -> Floats:
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.asarray((w @ (what * among)) / (w @ among))


def _intervals(
    statistics: dict[str, Statistic], cluster: Int64, settings: Settings
) -> dict[str, dict[str, float | None]]:
    """Give every statistic its value and bootstrap interval, all over the same resamples."""
    n = cluster.size
    value = [float(statistic(np.ones(n))) for statistic in statistics.values()]
    draws = [np.empty((0, len(statistics)))]
    for w in resampled(n, cluster, settings.resamples, settings.seed):
        draws.append(np.stack([statistic(w) for statistic in statistics.values()], axis=1))
    low, high = percentiles(np.concatenate(draws)) if settings.resamples else (np.full(len(value), np.nan),) * 2
    columns = zip(statistics, value, low, high, strict=True)
    return {key: _mean([Interval(float(v), float(a), float(b))]) for key, v, a, b in columns}


def _scores(
    name: str,
    dataset: Dataset,
    rows: Round,
    values: Mapping[str, Floats],
    partners: Bool | None,
    settings: Settings,
) -> Floats | None:
    """Score the classes of the judged rows, ``[judge, class]``; None where a baseline has nothing to go by."""
    width = len(dataset.classes)
    if np.unique(dataset.labels[rows.sample]).size < 2:
        return None
    if name in ("length", "GC"):
        return None if name not in values else _tree(dataset, rows, values[name], width)
    if name == "chromosome":
        return _by_chromosome(dataset, rows, width)
    if name == "memory":
        return None if partners is None or not partners.any() else _by_memory(dataset, rows, partners, width)
    if dataset.sequences is None:
        return None
    if name == "ends":
        return _by_ends(dataset.labels, dataset.sequences, rows, width)
    if name == "nearest neighbour":
        return _by_neighbour(dataset.labels, dataset.sequences, rows, width)
    return _by_words(name, dataset.labels, dataset.sequences, rows, settings, width)


def _tree(dataset: Dataset, rows: Round, values: Floats, width: int) -> Floats:
    from sklearn.tree import DecisionTreeClassifier

    model = DecisionTreeClassifier(max_leaf_nodes=8, min_samples_leaf=max(1, rows.sample.size // 200), random_state=0)
    model.fit(values[rows.sample, None], dataset.labels[rows.sample])
    return _spread(model.predict_proba(values[rows.judge, None]), model.classes_, width)


def _by_chromosome(dataset: Dataset, rows: Round, width: int) -> Floats | None:
    """Predict the shares of the classes among the training rows of the same chromosome."""
    if dataset.loci is None or None in dataset.loci:
        return None
    chrom = np.array([bare_chromosome(locus.chrom) for locus in dataset.loci if locus is not None])
    number = np.unique(chrom, return_inverse=True)[1]
    counts = np.zeros((int(number.max()) + 1, width))
    np.add.at(counts, (number[rows.learn], dataset.labels[rows.learn]), 1)
    counts += counts.sum(axis=0) / counts.sum()  # a chromosome that training lacks is answered like the whole
    return np.asarray((counts / counts.sum(axis=1, keepdims=True))[number[rows.judge]])


def _by_memory(dataset: Dataset, rows: Round, partners: Bool, width: int) -> Floats:
    """Predict the class of a training row that the test row leaks from, else as most training rows without one."""
    lone = rows.learn[~partners[rows.learn].any(axis=1)]
    lone = lone if lone.size else rows.learn
    prior = np.bincount(dataset.labels[lone], minlength=width) / lone.size
    scores = np.tile(prior * 0.1, (rows.judge.size, 1))
    y = dataset.labels[rows.judge]
    same, other = partners[rows.judge, 0], partners[rows.judge, 1]
    scores[same, y[same]] += 1
    if width == 2:
        scores[other, 1 - y[other]] += 1
    return scores


END = 20
"""Nucleotides at either end, letter by letter: where a set was cut may tell its classes apart."""


def _by_ends(labels: Int64, sequences: Sequences, rows: Round, width: int) -> Floats:
    from sklearn.linear_model import LogisticRegression

    def letters(chosen: Int64) -> Floats:
        lengths = sequences.lengths[chosen, None]
        reach = np.arange(END)
        starts = sequences.offsets[chosen, None] + np.minimum(reach, lengths - 1)
        right = sequences.offsets[chosen + 1, None] - 1 - np.minimum(reach, lengths - 1)
        return np.asarray(np.eye(5)[sequences.bases[np.concatenate([starts, right], axis=1)]].reshape(chosen.size, -1))

    model = LogisticRegression(max_iter=2000).fit(letters(rows.sample), labels[rows.sample])
    return _spread(model.predict_proba(letters(rows.judge)), model.classes_, width)


def _by_neighbour(labels: Int64, sequences: Sequences, rows: Round, width: int) -> Floats:
    from sklearn.metrics import pairwise_distances_argmin

    shares = word_shares(sequences, 4)
    nearest = pairwise_distances_argmin(shares[rows.judge], shares[rows.learn])
    return np.asarray(np.eye(width)[labels[rows.learn[nearest]]])


def _by_words(name: str, labels: Int64, sequences: Sequences, rows: Round, settings: Settings, width: int) -> Floats:
    from sklearn.ensemble import RandomForestClassifier
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import MaxAbsScaler

    forest = name == "6-mer forest"
    k, learn = (
        (6, rows.sample[:: 2 if rows.sample.size > settings.train_rows // 2 else 1]) if forest else (4, rows.sample)
    )
    model = (
        RandomForestClassifier(settings.trees, min_samples_leaf=2, random_state=settings.seed, n_jobs=2)
        if forest
        else make_pipeline(MaxAbsScaler(), LogisticRegression(max_iter=2000))
    )
    model.fit(word_shares(sequences.take(learn), k), labels[learn])
    parts = [
        model.predict_proba(word_shares(sequences.take(rows.judge[a : a + 2000]), k))
        for a in range(0, rows.judge.size, 2000)
    ]
    return _spread(np.concatenate(parts), model.classes_, width)


def _spread(probability: Floats, columns: Int64, width: int) -> Floats:
    """Widen probabilities to all classes; those that training never saw get 0."""
    scores = np.zeros((len(probability), width))
    scores[:, columns] = probability
    return scores
