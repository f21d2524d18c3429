"""How well the classes are told apart by things that are no biology: single features, and simple baselines."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from kmerit.audit.composition import word_shares
from kmerit.audit.dataset import Dataset, bare_chromosome
from kmerit.audit.settings import Settings
from kmerit.statistics import auroc, percentiles
from kmerit.statistics.bootstrap import Statistic, resampled
from kmerit.types import Bool, Floats, Int64, Sequences


@dataclass(frozen=True, eq=False)
class Contest:
    """The rows that baselines learn from, and those that they are measured on.

    Attributes:
        learn: All training rows.
        sample: Those of them that costly baselines learn from.
        judge: The test rows, or a sample of them.
        cluster: ``[judge]``, rows that are resampled together.
        leaked: ``[judge]``, whether a training row of the same class is a copy, overlaps, or is a near copy.
        held_out: Whether the test rows were drawn from the only split that there is.
    """

    learn: Int64
    sample: Int64
    judge: Int64
    cluster: Int64
    leaked: Bool
    held_out: bool


def contest(dataset: Dataset, group: Int64, leaked: Bool, settings: Settings) -> Contest:
    """Draw the rows; of a single split a quarter of the groups is held out."""
    rng = np.random.default_rng(settings.seed)
    held_out = len(dataset.splits) == 1
    judged = rng.random(int(group.max()) + 1)[group] < 0.25 if held_out else dataset.split == len(dataset.splits) - 1
    learnt = ~judged if held_out else dataset.split == 0
    learn, judge = np.flatnonzero(learnt), np.flatnonzero(judged)
    sample = np.sort(rng.permutation(learn)[: settings.train_rows])
    judge = np.sort(rng.permutation(judge)[: settings.test_rows])
    return Contest(learn, sample, judge, group[judge], leaked[judge], held_out)


def compare_features(
    dataset: Dataset, rows: Contest, values: Floats, names: tuple[str, ...], settings: Settings
) -> list[dict[str, Any]]:
    """Rank the test rows by each feature: AUROC of class 1.

    Of more classes: the mean over those that the test rows have, each in its best direction.

    Returns:
        Per feature: ``feature``, ``auroc``, ``low``, ``high``, ``strength`` (0.5 to 1, whatever the direction), and
        ``means`` by class, over all rows.
    """
    y = dataset.labels[rows.judge]
    columns = [j for j in range(len(names)) if np.ptp(values[:, j]) > 0]
    several = len(dataset.classes) > 2
    areas = [_area(y, values[rows.judge, j], len(dataset.classes)) for j in columns]
    value, low, high = _intervals(areas, rows, settings)
    return [
        {
            "feature": names[j],
            "auroc": value[i],
            "low": low[i],
            "high": high[i],
            "strength": None if (v := value[i]) is None else max(v, 1 - v) if not several else v,
            "means": {
                name: float(values[dataset.labels == label, j].mean())
                for label, name in enumerate(dataset.classes)
                if (dataset.labels == label).any()
            },
        }
        for i, j in enumerate(columns)
    ]


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
        rows: Which learn and which are judged.
        values: ``[row]`` of single features that a tree of eight leaves learns from.
        partners: ``bool [row, 2]``: a leak from a training row of the same, and of another class.
        settings: Which baselines, and how many rows.
        tick: Told after each.

    Returns:
        Per baseline: ``baseline``, and with ``value``, ``low``, ``high`` (None where there are no such rows):
        ``accuracy``; ``auroc``; ``accuracy_leaked``; ``accuracy_clean``, over rows without a leak, each class with its
        share of all rows; ``leak_gain``, accuracy minus accuracy_clean; ``share_from_leaked``, of the correct answers
        those on leaked rows.
    """
    y = dataset.labels[rows.judge]
    found = []
    for name in settings.baselines:
        scores = _scores(name, dataset, rows, values, partners, settings)
        tick()
        if scores is None:
            continue
        measures = _measures(y, scores, rows.leaked)
        value, low, high = _intervals(list(measures.values()), rows, settings)
        entry: dict[str, Any] = {"baseline": name}
        for i, key in enumerate(measures):
            entry[key] = {"value": value[i], "low": low[i], "high": high[i]}
        found.append(entry)
    return found


def _measures(y: Int64, scores: Floats, leaked: Bool) -> dict[str, Statistic]:
    """Name what is measured of a baseline, as functions of the rows' weights."""
    correct = (scores.argmax(axis=1) == y).astype(float)
    on_leaked = leaked.astype(float)
    classes = [y == c for c in np.unique(y)]

    def clean(w: Floats) -> Floats:
        return _clean(w, correct, classes, ~leaked)

    return {
        "accuracy": lambda w: w @ correct / w.sum(-1),
        "auroc": _area(y, scores[:, 1] - scores[:, 0], 2) if scores.shape[1] == 2 else _areas(y, scores),
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


def _area(y: Int64, values: Floats, classes: int) -> Statistic:
    if classes == 2:
        return lambda w: auroc(y == 1, values, w)

    def mean(w: Floats) -> Floats:
        each = [auroc(y == c, values, w) for c in np.unique(y)]
        return np.asarray(np.mean([np.maximum(area, 1 - area) for area in each], axis=0))

    return mean


def _areas(y: Int64, scores: Floats) -> Statistic:
    """Average over the classes that the judged rows have."""
    return lambda w: np.asarray(np.mean([auroc(y == c, scores[:, c], w) for c in np.unique(y)], axis=0))


def _intervals(
    statistics: list[Statistic], rows: Contest, settings: Settings
) -> tuple[list[float | None], list[float | None], list[float | None]]:
    """Give every statistic its value and interval, all over the same resamples."""
    n = rows.judge.size
    if not statistics or not n:
        return [], [], []
    value = [float(statistic(np.ones(n))) for statistic in statistics]
    draws = [np.empty((0, len(statistics)))]
    for w in resampled(n, rows.cluster, settings.resamples, settings.seed):
        draws.append(np.stack([statistic(w) for statistic in statistics], axis=1))
    low, high = percentiles(np.concatenate(draws)) if settings.resamples else (np.full(len(value), np.nan),) * 2
    a, b, c = ([float(x) if np.isfinite(x) else None for x in xs] for xs in (value, low, high))
    return a, b, c


def _scores(
    name: str,
    dataset: Dataset,
    rows: Contest,
    values: Mapping[str, Floats],
    partners: Bool | None,
    settings: Settings,
) -> Floats | None:
    """Score the classes of the test rows, ``[judge, class]``; None where a baseline has nothing to go by."""
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


def _tree(dataset: Dataset, rows: Contest, values: Floats, width: int) -> Floats:
    from sklearn.tree import DecisionTreeClassifier

    model = DecisionTreeClassifier(max_leaf_nodes=8, min_samples_leaf=max(1, rows.sample.size // 200), random_state=0)
    model.fit(values[rows.sample, None], dataset.labels[rows.sample])
    return _spread(model.predict_proba(values[rows.judge, None]), model.classes_, width)


def _by_chromosome(dataset: Dataset, rows: Contest, width: int) -> Floats | None:
    """Answer with the shares of the classes among the training rows of the same chromosome."""
    if dataset.loci is None or None in dataset.loci:
        return None
    chrom = np.array([bare_chromosome(locus.chrom) for locus in dataset.loci if locus is not None])
    number = np.unique(chrom, return_inverse=True)[1]
    counts = np.zeros((int(number.max()) + 1, width))
    np.add.at(counts, (number[rows.learn], dataset.labels[rows.learn]), 1)
    counts += counts.sum(axis=0) / counts.sum()  # a chromosome that training lacks is answered like the whole
    return np.asarray((counts / counts.sum(axis=1, keepdims=True))[number[rows.judge]])


def _by_memory(dataset: Dataset, rows: Contest, partners: Bool, width: int) -> Floats:
    """Answer with the class of a training row that the test row leaks from, else as most training rows without one."""
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


def _by_ends(labels: Int64, sequences: Sequences, rows: Contest, width: int) -> Floats:
    from sklearn.linear_model import LogisticRegression

    def letters(chosen: Int64) -> Floats:
        lengths = sequences.lengths[chosen, None]
        reach = np.arange(END)
        left = sequences.offsets[chosen, None] + np.minimum(reach, lengths - 1)
        right = sequences.offsets[chosen + 1, None] - 1 - np.minimum(reach, lengths - 1)
        return np.asarray(np.eye(5)[sequences.bases[np.concatenate([left, right], axis=1)]].reshape(chosen.size, -1))

    model = LogisticRegression(max_iter=2000).fit(letters(rows.sample), labels[rows.sample])
    return _spread(model.predict_proba(letters(rows.judge)), model.classes_, width)


def _by_neighbour(labels: Int64, sequences: Sequences, rows: Contest, width: int) -> Floats:
    from sklearn.metrics import pairwise_distances_argmin

    shares = word_shares(sequences, 4)
    nearest = pairwise_distances_argmin(shares[rows.judge], shares[rows.learn])
    return np.asarray(np.eye(width)[labels[rows.learn[nearest]]])


def _by_words(name: str, labels: Int64, sequences: Sequences, rows: Contest, settings: Settings, width: int) -> Floats:
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


def _spread(probability: Floats, seen: Int64, width: int) -> Floats:
    """Give classes that training never saw no chance."""
    scores = np.zeros((len(probability), width))
    scores[:, seen] = probability
    return scores
