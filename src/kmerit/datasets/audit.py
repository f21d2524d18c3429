"""The audit: read, count, compare, and report what could fool a trial."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from kmerit.datasets.dataset import Dataset, bare_chromosome, check_roles
from kmerit.datasets.findings import Audit, Config, Gap, Settings
from kmerit.datasets.reading import Data, Reading, read_dataset
from kmerit.datasets.similarity import OTHER, SAME, copies, distances, merged, near_copies_in, overlaps
from kmerit.metrics import auroc, auroc_interval
from kmerit.sequences import Bool, Floats, Int64, N, Sequences, kmers
from kmerit.uncertainty import Interval, Statistic, percentiles, resampled

Float32 = NDArray[np.float32]
_CHUNK = 1 << 21
_ROWS = 1 << 14
"""Rows whose features are measured together."""

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
    starts = range(0, len(sequences), _ROWS)
    blocks = [_features(sequences.take(slice(start, start + _ROWS))) for start in starts]
    return np.concatenate([np.zeros((0, len(FEATURES))), *blocks])


def _features(sequences: Sequences) -> Floats:
    lengths = sequences.lengths.astype(float)
    single = word_counts(sequences, 1)
    pairs = word_counts(sequences, 2)
    triplets = word_counts(sequences, 3)
    letter_counts = np.maximum(single.sum(axis=1), 1)
    expected = single[:, 1] * single[:, 2]
    cpg = np.where(expected > 0, pairs[:, 6] * letter_counts / np.maximum(expected, 1), 0.0)
    triplet = triplets.sum(axis=1)
    equal = (triplets * (triplets - 1)).sum(axis=1) / np.maximum(triplet * (triplet - 1) / 64, 1)
    columns = [
        lengths,
        (single[:, 1] + single[:, 2]) / letter_counts,
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
        training_rows, test_rows = [dataset.split == 0], [dataset.split == len(dataset.splits) - 1]
    else:
        fold = _folds(dataset.labels, group, rng)
        test_rows = [fold == i for i in range(FOLDS if len(dataset) <= settings.test_rows else 1)]
        training_rows = [~each for each in test_rows]

    def sampled(rows: Int64, most: int) -> Int64:
        return np.sort(rng.permutation(rows)[:most])

    rounds = []
    for learns, judges in zip(training_rows, test_rows, strict=True):
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
        of_class = y == c
        value = float(auroc(of_class, scores[c], np.ones(rows.size)))
        areas.append(auroc_interval(value, _independent(group[rows[of_class]]), _independent(group[rows[~of_class]])))
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
        "accuracy_leaked": lambda w: _share_called(w, correct, on_leaked),
        "accuracy_clean": clean,
        "leak_gain": lambda w: w @ correct / w.sum(-1) - clean(w),
        "share_from_leaked": lambda w: _share_called(w, on_leaked, correct),
    }


def _clean(w: Floats, correct: Floats, classes: list[Bool], clean: Bool) -> Floats:
    """Average accuracy on rows without a leak over the classes, weighted by their shares of all rows.

    Without the weights, a class that leaks would count less among the clean rows, and a baseline that favours the other
    one would seem to lose nothing.
    """
    parts = [
        (w @ of_class) / w.sum(-1) * _share_called(w, correct, (of_class & clean).astype(float)) for of_class in classes
    ]
    return np.asarray(np.sum(parts, axis=0))


def _share_called(w: Floats, indicator: Floats, group: Floats) -> Floats:
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.asarray((w @ (indicator * group)) / (w @ group))


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
    # One thread: several would add the trees' votes in an order of their own, and empty each other's warning filters.
    model = (
        RandomForestClassifier(settings.trees, min_samples_leaf=2, random_state=settings.seed)
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


@dataclass(frozen=True, eq=False)
class Evidence:
    """What is known of every row.

    Attributes:
        key: Equal for copies.
        copied, exact, overlapping, near: Tables of partners, ``bool [row, split, same class or another]``; ``exact``
            is that of copies on the same strand.
        wordy: ``[row]``, whether near copies can be found: the row has a word without N; None without letters.
        exact_key: Equal for copies on the same strand.
        features: ``[row, feature]``, None without letters.
        distance: ``[row]``, None without coordinates.
        group: Equal for rows that are linked by a copy, an overlap, or a near copy.
    """

    key: Int64
    copied: Bool
    exact: Bool
    overlapping: Bool | None
    near: Bool | None
    wordy: Bool | None
    exact_key: Int64
    features: Floats | None
    distance: Floats | None
    group: Int64

    def any_leak(self) -> Bool:
        """Join the tables: any kind of partner."""
        tables = [table for table in (self.copied, self.overlapping, self.near) if table is not None]
        return np.asarray(np.logical_or.reduce(tables))


def gather(dataset: Dataset, settings: Settings, tick: Callable[[], None] = lambda: None) -> Evidence:
    """Find every row's partners, features and group."""
    from kmerit.datasets.similarity import copy_links, groups, place_links

    key, copied = copies(dataset)
    exact_key, exact = (key, copied) if dataset.sequences is None else copies(dataset, both_strands=False)
    tick()
    near = near_copies_in(
        dataset, k=settings.k, shared=settings.shared, most=settings.most, covered=settings.covered, tick=tick
    )
    links = [copy_links(key), place_links(dataset)] + ([] if near is None else [near.pairs])
    table = None
    if dataset.sequences is not None and near is not None:
        table = np.concatenate([features(dataset.sequences), near.repeats[:, None]], axis=1)
    tick()
    return Evidence(
        key,
        copied,
        exact,
        overlaps(dataset),
        None if near is None else near.table,
        None if near is None else near.known,
        exact_key,
        table,
        distances(dataset),
        groups(len(dataset), *links),
    )


def feature_names() -> tuple[str, ...]:
    """Name the columns of the evidence's features."""
    return (*FEATURES, "repeats")


def count_classes(dataset: Dataset, evidence: Evidence) -> dict[str, dict[str, Any]]:
    """Count every class, its test rows against its training rows."""
    several, last = len(dataset.splits) > 1, len(dataset.splits) - 1
    counts: dict[str, dict[str, Any]] = {}
    placed_rows, start, end = dataset.places()
    placed = dataset.placed
    for label, name in enumerate(dataset.classes):
        of_class = dataset.labels == label
        test = of_class & (dataset.split == last) if several else np.zeros(len(dataset), dtype=np.bool_)
        own_placed = of_class[placed_rows]
        loci, covered = merged(start[own_placed], end[own_placed]) if own_placed.any() else (None, None)
        only_turned = evidence.copied[:, 0] & ~evidence.exact[:, 0]
        counts[name] = {
            "label": dataset.numbers[label],
            "rows": int(of_class.sum()),
            "train_rows": int((of_class & (dataset.split == 0)).sum()) if several else None,
            "test_rows": int(test.sum()) if several else None,
            "test_rows_placed": int((test & placed).sum()) if several and placed.any() else None,
            "distinct_rows": int(np.unique(evidence.key[of_class]).size),
            "loci": loci,
            "covered_nt": covered,
            "test_rows_copied_from_train": _share(evidence.copied[:, 0, SAME], test),
            "test_rows_reverse_complement_of_train": None
            if dataset.sequences is None
            else _share(only_turned[:, SAME], test),
            "test_rows_overlapping_train": _share(evidence.overlapping[:, 0, SAME], test & placed)
            if evidence.overlapping is not None and (placed & dataset.group(0, label)).any()
            else None,
            "test_rows_near_train": _share_near(evidence, SAME, test),
            "test_rows_leaked": _share(evidence.any_leak()[:, 0, SAME], test),
            "test_rows_contradicted_by_train": _share(evidence.copied[:, 0, OTHER], test),
            "test_rows_near_another_class": _share_near(evidence, OTHER, test),
            "rows_contradicted": _share(evidence.copied[:, :, OTHER].any(axis=1), of_class),
            "rows_overlapping_another_class": _share(evidence.overlapping[:, :, OTHER].any(axis=1), of_class & placed)
            if evidence.overlapping is not None and (placed & ~of_class).any()
            else None,
        }
    return counts


def _share(what: Any, among: Bool) -> float | None:
    return float(what[among].mean()) if among.any() else None


def _share_near(evidence: Evidence, kind: int, among: Bool) -> float | None:
    """Give a share of rows, unless all are too short to have a near copy."""
    return _share(evidence.near[:, 0, kind], among) if evidence.near is not None and _wordy(evidence, among) else None


def _wordy(evidence: Evidence, among: Bool) -> bool:
    return evidence.wordy is not None and bool(evidence.wordy[among].any())


def count_leaks(dataset: Dataset, evidence: Evidence) -> list[dict[str, Any]]:
    """Count, for every split and each earlier one, the rows of each class with a partner there.

    Overlaps are counted among the ``placed`` rows, those with coordinates; they are unknown (None) unless there are
    some in both splits.
    """
    placed = dataset.placed
    tables = {
        "copied": evidence.copied,
        "near": evidence.near,
        "leaked": evidence.any_leak(),
    }
    return [
        {
            "split": dataset.splits[later],
            "against": dataset.splits[earlier],
            "class": name,
            "rows": int(of_class.sum()),
            "placed": None if dataset.loci is None else int((of_class & placed).sum()),
            "overlapping": int(evidence.overlapping[of_class & placed, earlier, SAME].sum())
            if evidence.overlapping is not None
            and (of_class & placed).any()
            and (dataset.group(earlier, label) & placed).any()
            else None,
            **{
                kind: None
                if table is None or (kind == "near" and not _wordy(evidence, of_class))
                else int(table[of_class, earlier, SAME].sum())
                for kind, table in tables.items()
            },
            "contradicted": int(evidence.copied[of_class, earlier, OTHER].sum()),
            "near_another_class": int(evidence.near[of_class, earlier, OTHER].sum())
            if evidence.near is not None and _wordy(evidence, of_class)
            else None,
        }
        for later in range(len(dataset.splits))
        for earlier in range(later)
        for label, name in enumerate(dataset.classes)
        for of_class in [dataset.group(later, label)]
        if of_class.any()
    ]


def describe_groups(dataset: Dataset, evidence: Evidence) -> list[dict[str, Any]]:
    """Describe the rows of every split and class."""
    placed = None if dataset.loci is None else dataset.placed
    letters = None
    if dataset.sequences is not None:
        counts = word_counts(dataset.sequences, 1)
        letters = np.concatenate([counts, (dataset.lengths - counts.sum(axis=1))[:, None]], axis=1)
    groups = []
    for split, split_name in enumerate(dataset.splits):
        for label, name in enumerate(dataset.classes):
            of_class = dataset.group(split, label)
            if not of_class.any():
                continue
            lengths = dataset.lengths[of_class]
            distinct, by_strand = (int(np.unique(key[of_class]).size) for key in (evidence.key, evidence.exact_key))
            facts: dict[str, Any] = {
                "split": split_name,
                "class": name,
                "rows": int(of_class.sum()),
                "length": {
                    "min": int(lengths.min()),
                    "median": float(np.median(lengths)),
                    "mean": float(lengths.mean()),
                    "max": int(lengths.max()),
                },
                "too_short": int((lengths < SHORTEST).sum()),
                "distinct": distinct,
                "repeated": int(of_class.sum()) - distinct,
                "repeated_on_the_other_strand": None if dataset.sequences is None else by_strand - distinct,
                "overlapping_each_other": _inside(
                    evidence.overlapping if (of_class & dataset.placed).any() else None, of_class, split
                ),
                "near_each_other": _inside(evidence.near if _wordy(evidence, of_class) else None, of_class, split),
                "near_another_class": _inside(
                    evidence.near if _wordy(evidence, of_class) else None, of_class, split, OTHER
                ),
                "placed": None if placed is None else int(placed[of_class].sum()),
            }
            if letters is not None and evidence.features is not None:
                facts |= _composition(evidence.features[of_class], letters[of_class])
            groups.append(facts)
    return groups


SHORTEST = 6
"""Shorter rows have no 6-mer."""
LOW_COMPLEXITY = 4.0
"""Rows with more than four times the pairs of equal triplets that random letters have are of low complexity."""


def _inside(table: Bool | None, rows: Bool, split: int, kind: int = SAME) -> int | None:
    return None if table is None else int(table[rows, split, kind].sum())


def _composition(features: Floats, letters: Floats) -> dict[str, Any]:
    names = feature_names()
    columns = {name: features[:, j] for j, name in enumerate(names)}
    return {
        "alphabet": {letter: int(count) for letter, count in zip("ACGTN", letters.sum(axis=0), strict=True)},
        "with_n": int((letters[:, 4] > 0).sum()),
        "gc": {"mean": float(columns["GC"].mean()), "sd": float(columns["GC"].std())},
        "cpg_oe": float(columns["CpG o/e"].mean()),
        "low_complexity": int((columns["low complexity"] > LOW_COMPLEXITY).sum()),
        "longest_run": int(columns["longest run"].max()),
        "repeats": float(columns["repeats"].mean()),
        "dinucleotides": {pair: float(columns[pair].mean()) for pair in DINUCLEOTIDES},
    }


def describe_distances(dataset: Dataset, evidence: Evidence) -> dict[str, Any] | None:
    """Summarise how far rows are from the nearest row of another class."""
    if evidence.distance is None:
        return None
    by_class: dict[str, Any] = {}
    for label, name in enumerate(dataset.classes):
        far = evidence.distance[dataset.labels == label]
        far = far[np.isfinite(far)]
        if far.size:
            low, middle, high = np.quantile(far, [0.05, 0.5, 0.95]).tolist()
            by_class[name] = {
                "rows": int(far.size),
                "overlapping": float((far == 0).mean()),
                "within_1000": float((far <= 1000).mean()),
                "quantile_05": low,
                "median": middle,
                "quantile_95": high,
            }
    return by_class or None


def gc_histograms(dataset: Dataset, evidence: Evidence) -> dict[str, Any] | None:
    """Give each class's shares of rows in 20 bins of GC content."""
    if evidence.features is None:
        return None
    gc = evidence.features[:, feature_names().index("GC")]
    bins = np.linspace(0, 1, 21)
    return {
        name: (np.histogram(gc[dataset.labels == label], bins)[0] / max(1, (dataset.labels == label).sum())).tolist()
        for label, name in enumerate(dataset.classes)
    }


Progress = Callable[[int, int], None]


def audit(
    data: Data,
    *,
    config: Config | None = None,
    reading: Reading | None = None,
    baselines: Sequence[str] | None = None,
    progress: Progress | None = None,
) -> Audit:
    """Look for what in a data set could fool a trial: leaks, easy features, contradictory labels.

    Args:
        data: A task's name, a file with a column ``split``, a folder of splits or of official intervals, several
            files (``["train=a.csv", "test=b.csv"]``), a DataFrame (with a column ``split`` where there are several),
            or sequences by split: each `Sequences`, a DataFrame or a file.
        config: Settings and thresholds.
        reading: How files are to be understood; a genome to check coordinates against or to cut intervals out of.
        baselines: In place of the config's: which ways to distinguish the classes are tried; ``()`` for none.
        progress: Called with the steps done and to do.

    Returns:
        Numbers, and findings with what to do about them; everything is JSON-able.

    Raises:
        FormatError: Files that cannot be read, are the same file, or have coordinates that fit neither letters nor
            genome.
        LabelError: No labels, fewer than two classes, or two of one name.
        UsageError: Several splits, and none is named ``train``; or more than two, and none is named ``test``.

    Example:
        >>> import kmerit as km
        >>> rows = km.Sequences.from_strings(["ACGTTGCA", "GGATCCAT"], labels=[0, 1])
        >>> result = km.audit({"train": rows, "test": rows}, baselines=[])
        >>> result.classes["1"]["test_rows_copied_from_train"]
        1.0
    """
    from kmerit.datasets.findings import findings, unmeasured, unresolved

    config = config or Config()
    if baselines is not None:
        settings = Settings.parse({**config.settings.model_dump(), "baselines": list(baselines)})
        config = config.model_copy(update={"settings": settings})
    steps = _Steps(progress, 13 + len(config.settings.baselines))
    dataset = read_dataset(data, reading)
    check_roles(dataset)
    steps.tick()
    evidence = gather(dataset, config.settings, steps.tick)
    features, judged = _separate(dataset, evidence, config, steps.tick)
    draft = Audit(
        name=dataset.name,
        splits={name: int((dataset.split == i).sum()) for i, name in enumerate(dataset.splits)},
        classes=count_classes(dataset, evidence),
        groups=tuple(describe_groups(dataset, evidence)),
        leaks=tuple(count_leaks(dataset, evidence)),
        features=tuple(features),
        baselines=tuple(judged),
        distance=describe_distances(dataset, evidence),
        histograms=gc_histograms(dataset, evidence),
        findings=(),
        unchecked=(*_unchecked(dataset, evidence.wordy, config.settings.k), *_unmeasured(dataset, features, judged)),
        settings={
            **config.settings.model_dump(),
            **_read(dataset),
            "thresholds": config.thresholds.model_dump(),
            "gates": config.gates,
        },
    )
    steps.finish()
    unchecked = (*draft.unchecked, *unresolved(draft, config), *unmeasured(draft, config))
    return replace(draft, findings=tuple(findings(draft, config)), unchecked=unchecked)


def _read(dataset: Dataset) -> dict[str, Any]:
    facts: dict[str, Any] = {}
    if dataset.genome_counts is not None:
        facts |= {
            "rows_compared_with_genome": dataset.genome_counts[0],
            "rows_with_its_letters": dataset.genome_counts[1],
        }
    if dataset.min_length > 1:
        facts |= {"min_length": dataset.min_length, "rows_left_out_as_too_short": dataset.too_short}
    return facts


class _Steps:
    """Counts what is done, for a bar."""

    def __init__(self, progress: Progress | None, total: int) -> None:
        self._progress, self._total, self._done = progress, total, 0

    def tick(self) -> None:
        self._done = min(self._done + 1, self._total)
        if self._progress is not None:
            self._progress(self._done, self._total)

    def finish(self) -> None:
        self._done = self._total - 1
        self.tick()


def _separate(
    dataset: Dataset, evidence: Evidence, config: Config, tick: Callable[[], None]
) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:

    several = len(dataset.splits) > 1
    leak = evidence.any_leak()[:, 0] if several else None
    leaked = leak[:, SAME] if leak is not None else np.zeros(len(dataset), dtype=np.bool_)
    rows = contest(dataset, evidence.group, leaked, config.settings)
    table, names = evidence.features, feature_names()
    if table is None:
        table, names = dataset.lengths.astype(float)[:, None], ("length",)
    values = {str(name): table[:, names.index(name)] for name in ("length", "GC") if name in names}
    features = compare_features(dataset, rows, table, names)
    tick()
    return features, compare_baselines(dataset, rows, values, leak, config.settings, tick)


def _unmeasured(dataset: Dataset, features: list[dict[str, Any]], baselines: list[dict[str, Any]]) -> list[Gap]:
    """List the AUROCs that are undefined, or are not over all classes."""
    gaps = []
    first, last = dataset.splits[0], dataset.splits[-1]
    for number, split in ((0, first), (len(dataset.splits) - 1, last)):
        missing = [name for label, name in enumerate(dataset.classes) if not dataset.group(number, label).any()]
        if missing and len(dataset.splits) > 1:
            gaps.append(Gap("class_missing", {"split": split, "class_names": missing, "learning": number == 0}))
    features_without = [entry["feature"] for entry in features if entry["auroc"] is None]
    baselines_without = [entry["baseline"] for entry in baselines if entry["auroc"]["value"] is None]
    if features_without or baselines_without:
        gaps.append(Gap("auroc_undefined", {"features": features_without, "baselines": baselines_without}))
    return gaps


def _unchecked(dataset: Dataset, wordy: Bool | None, k: int) -> list[Gap]:
    """List what could not be checked."""
    gaps = list(dataset.gaps)
    if dataset.unread:
        gaps.append(Gap("unread", {"files": list(dataset.unread)}))
    if dataset.too_short:
        gaps.append(Gap("left_out", {"rows": dataset.too_short, "min_length": dataset.min_length}))
    if dataset.sequences is None:
        gaps.append(Gap("no_letters"))
    if wordy is not None and (short := int((~wordy).sum())):
        gaps.append(Gap("wordless", {"rows": short, "of": len(dataset), "k": k}))
    if dataset.loci is None:
        gaps.append(Gap("no_coordinates"))
    if len(dataset.splits) == 1:
        gaps.append(Gap("one_split"))
    return gaps
