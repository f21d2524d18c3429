"""Planted truth: do scores find what was planted, does a model use it, and does a trial say what the truth says?"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from kmerit.datasets.planting import Planted
from kmerit.errors import SequenceError
from kmerit.metrics import auprc, auroc, classification_metrics
from kmerit.models.model import Model
from kmerit.results import Attribution, Outcomes
from kmerit.sequences import Bool, Float, Floats, Int8, Int64, Sequences
from kmerit.trials.verdicts import FAITHFUL, SAME, UNDECIDED, WORSE, Verdict, aopc_by_method, judge
from kmerit.uncertainty import (
    Interval,
    clopper_pearson,
    mean_interval,
    paired_reversals,
    rank_correlations,
    ranking_agreement,
)

Row = dict[str, Any]
Scores = Mapping[str, Attribution]


def learned(model: Model, truth: Planted, auroc: float, flips: float) -> tuple[Row, Bool]:
    """Test whether a model learned a planted signal: it separates the classes, and scrubbing flips its call.

    Args:
        model: A classifier.
        truth: Of a split.
        auroc: Counts as learned from here on,
        flips: and if of the positives called so at least this share is called negative once scrubbed.

    Returns:
        The measurements; and which sequences are positives, called so, and flipped by scrubbing, ``bool [sequence]``.

    Example:
        >>> import tempfile
        >>> import kmerit as km
        >>> from kmerit.datasets.planting import read_planted
        >>> planting = km.Planting(regime="localised", motifs=("CTCF",), train=2, validation=2, test=4)
        >>> truth = read_planted(km.plant(planting, out=tempfile.mkdtemp()), "test")
        >>> row, _ = learned(km.load_model("bundled:promoter"), truth, auroc=0.95, flips=0.8)
        >>> row["learned"]
        False
    """
    labels, logits = np.asarray(truth.sequences.labels), model.logits(truth.sequences)

    def called(bases: Int8) -> Int64:
        offsets = np.arange(len(bases) + 1) * bases.shape[1]
        mutants = Sequences(truth.sequences.names, bases.ravel().copy(), offsets)
        return np.asarray(model.logits(mutants).argmax(axis=1))

    metrics = classification_metrics(labels, logits, resamples=200)
    correct = (logits.argmax(axis=1) == 1) & (labels == 1)
    flipped = correct & (called(truth.scrubbed) == 0)
    wiped = correct & (called(truth.background) == 0)
    share = float(flipped.sum() / max(correct.sum(), 1))
    enough = metrics["auroc"]["value"] >= auroc and share >= flips and flipped.sum() >= 2
    return {
        "learned": bool(enough),
        "auroc": metrics["auroc"],
        "accuracy": metrics["accuracy"],
        "scrubbing_flips": share,
        "restoring_background_flips": float(wiped.sum() / max(correct.sum(), 1)),
    }, flipped


def chances(truth: Planted) -> dict[str, float]:
    """Return what uninformative scores reach, by measure; methods are ranked by the first one.

    Args:
        truth: Of the sequences.
    """
    if truth.log_odds is not None:
        return {"correlation": 0.0}
    share = float(truth.mask.mean())
    return {"auroc": 0.5, "auprc": share, "mass_inside": share}


def recovery(scores: Attribution, truth: Planted) -> dict[str, Floats]:
    """Measure how well scores find the planted truth: the motifs' letters, or each letter's log-odds.

    Args:
        scores: Of these very sequences.
        truth: Of the sequences.

    Returns:
        ``[sequence]`` each: `localisation` in the mask, or ``correlation`` with the log-odds.

    Raises:
        SequenceError: Scores of other sequences.

    Example:
        >>> import tempfile
        >>> import kmerit as km
        >>> from kmerit.datasets.planting import read_planted
        >>> planting = km.Planting(regime="localised", motifs=("CTCF",), train=2, validation=2, test=4)
        >>> truth = read_planted(km.plant(planting, out=tempfile.mkdtemp()), "test")
        >>> scores = km.attribute(km.load_model("bundled:promoter"), truth.sequences, ["lrp"])
        >>> list(recovery(scores["lrp"], truth))
        ['auroc', 'auprc', 'mass_inside']
    """
    if truth.log_odds is not None:
        return {"correlation": composition_correlations(scores.scores, truth.log_odds)}
    return localisation(scores.scores, truth.mask)


def localisation(scores: Float, mask: Bool) -> dict[str, Floats]:
    """Measure, sequence by sequence, how well scores find the positions of a mask.

    A score that is not finite (no token covers the nucleotide) counts as the lowest.

    Args:
        scores: ``[sequence, position]``, signed.
        mask: ``[sequence, position]``, where the signal is.

    Returns:
        ``[sequence]`` each: ``auroc`` (0.5 by chance), ``auprc`` (the mask's share by chance), ``mass_inside``: the
        share of the positive scores' sum that lies inside (the mask's share by chance; NaN if no score is positive).
        All NaN for a sequence whose mask is empty or full, or that has no score, as where scores are withheld.

    Raises:
        SequenceError: Scores and mask of different shapes.

    Example:
        >>> result = localisation(np.array([[0.1, 0.9, 0.0]]), np.array([[False, True, False]]))
        >>> {name: values.tolist() for name, values in result.items()}
        {'auroc': [1.0], 'auprc': [1.0], 'mass_inside': [0.9]}
    """
    _check(scores, mask)
    measures = {name: np.full(len(scores), np.nan) for name in ("auroc", "auprc", "mass_inside")}
    values = np.where(np.isfinite(scores), scores, -np.inf).astype(np.float64)
    for i in np.flatnonzero(mask.any(axis=1) & ~mask.all(axis=1) & np.isfinite(scores).any(axis=1)).tolist():
        ones = np.ones(mask.shape[1])
        # Ranks: infinities have no difference, and auprc negates.
        ranks = np.unique(values[i], return_inverse=True)[1].astype(np.float64)
        measures["auroc"][i] = auroc(mask[i], ranks, ones)
        measures["auprc"][i] = auprc(mask[i], ranks, ones)
        positive = np.maximum(np.where(np.isfinite(values[i]), values[i], 0.0), 0.0)
        if positive.sum() > 0:
            measures["mass_inside"][i] = positive[mask[i]].sum() / positive.sum()
    return measures


def needed(effects: Float, mask: Bool) -> Bool:
    """Find the letters that the model needs: as many as the mask has, those that in-silico mutagenesis ranks first.

    Args:
        effects: Of exact in-silico mutagenesis, ``[sequence, position]``.
        mask: ``[sequence, position]``, what was planted.

    Returns:
        ``bool [sequence, position]``.

    Example:
        >>> needed(np.array([[0.1, 0.9, 0.3]]), np.array([[True, False, True]])).tolist()
        [[False, True, True]]
    """
    _check(effects, mask)
    order = np.argsort(-np.where(np.isfinite(effects), effects, -np.inf), axis=1, kind="stable")
    ranks = np.argsort(order, axis=1)
    return np.asarray(ranks < mask.sum(axis=1, keepdims=True))


def composition_correlations(scores: Float, log_odds: Floats) -> Floats:
    """Correlate scores with what each letter adds to the true log-odds (Spearman), sequence by sequence.

    Args:
        scores: ``[sequence, position]``, signed.
        log_odds: ``[sequence, position]``, of the class that the scores explain.

    Returns:
        ``[sequence]``; NaN where either is constant.

    Raises:
        SequenceError: Scores and truth of different shapes.

    Example:
        >>> composition_correlations(np.array([[0.1, 0.9, 0.0]]), np.array([[0.0, 0.5, -0.5]])).tolist()
        [1.0]
    """
    _check(scores, log_odds)
    return rank_correlations(scores, log_odds)


def _check(scores: Float, truth: NDArray[np.generic]) -> None:
    if scores.ndim != 2 or scores.shape != truth.shape:
        raise SequenceError(
            f"Expected scores and truth of the same sequences, got {scores.shape} and {truth.shape}. "
            f"Attribute the sequences that were planted, at the level of nucleotides."
        )


FINDS, DOES_NOT, UNCLEAR = "finds", "does not", "unclear"
FOUND = {"auroc": 0.65, "correlation": 0.2}
"""From this mean on a ranking finds the truth: AUROC of the mask, or rank correlation with the letters' log-odds."""
MISSED = {"auroc": 0.55, "correlation": 0.05}
"""A ranking whose interval ends below it does not find the truth."""
ENOUGH = 200
"""Sequences from which on *undecided* disagrees with a ranking that finds the truth."""


@dataclass(frozen=True)
class Case:
    """One ranking of one planted set.

    Attributes:
        set: Name of the set.
        ranking: The method; with what was done to its scores, of a hard negative.
        hard: What makes it a hard negative: ``turned``, ``another sequence``, ``wrong class``, ``early layer`` or
            ``shuffled labels``; nothing for the method's own scores.
        truth: ``finds``, ``does not`` or ``unclear``.
        verdict: The trial's.
        sequences: How many the verdict rests on.
    """

    set: str
    ranking: str
    hard: str
    truth: str
    verdict: str
    sequences: int


@dataclass(frozen=True)
class Agreement:
    """How often the trial agrees with the truth.

    Attributes:
        cases: With a truth.
        agree: Of those: faithful where the truth is found, and not faithful where it is not; *undecided* of what finds
            the truth counts as disagreement from 200 sequences on, and is left out below.
        lower: Of the share that agrees, the one-sided 95 % bound of Clopper and Pearson; 0 without cases.
        unclear: Cases between, without a truth.
        hard: Hard negatives that do not find the truth.
        acquitted: Of those, how many are called faithful.
    """

    cases: int
    agree: int
    lower: float
    unclear: int
    hard: int
    acquitted: int


def truth_of(measure: str, *intervals: Interval) -> str:
    """Say whether a ranking finds what is planted.

    Args:
        measure: ``auroc`` or ``correlation``.
        intervals: Of the mask, and of a second truth where there is one: the letters that the model needs. A mask
            counts every letter of a motif, and a model need not; so it is enough to find either, and what finds neither
            must miss both.

    Example:
        >>> truth_of("auroc", Interval(0.7, 0.6, 0.8)), truth_of("auroc", Interval(0.5, 0.4, 0.54))
        ('finds', 'does not')
        >>> truth_of("auroc", Interval(0.5, 0.4, 0.54), Interval(0.6, 0.5, 0.7))
        'unclear'
    """
    if any(each.value >= FOUND[measure] for each in intervals):
        return FINDS
    return DOES_NOT if all(each.high < MISSED[measure] for each in intervals) else UNCLEAR


def agreement(cases: Iterable[Case]) -> Agreement:
    """Count agreement over cases.

    Example:
        >>> one = Case("a", "lrp", "", FINDS, FAITHFUL, 200)
        >>> agreement([one, Case("a", "lrp, turned", "turned", DOES_NOT, UNDECIDED, 200)]).agree
        2
    """
    every = list(cases)
    decided_cases = [
        case
        for case in every
        if case.truth != UNCLEAR and not (case.truth == FINDS and case.verdict == UNDECIDED and case.sequences < ENOUGH)
    ]
    agree = sum((case.verdict == FAITHFUL) == (case.truth == FINDS) for case in decided_cases)
    hard = [case for case in decided_cases if case.hard and case.truth == DOES_NOT]
    return Agreement(
        len(decided_cases),
        agree,
        clopper_pearson(agree, len(decided_cases), 0.9)[0] if decided_cases else 0.0,
        sum(case.truth == UNCLEAR for case in every),
        len(hard),
        sum(case.verdict == FAITHFUL for case in hard),
    )


def verdicts_on_positives(outcomes: Outcomes, methods: Sequence[str] | None = None, **draws: Any) -> dict[str, Verdict]:
    """Judge methods on the positives of a planted set.

    Args:
        outcomes: Of their trial.
        methods: Those on the card; all by default.
        draws: ``resamples`` and ``seed``.
    """
    verdicts = judge(outcomes, methods=methods, resamples=draws["resamples"], seed=draws["seed"])
    return {verdict.method: verdict for verdict in verdicts if verdict.label == 1}


def truth_and_trial(truth: Planted, scores: Scores, outcomes: Outcomes, **draws: Any) -> Row:
    """Compare what the truth says of each method with what its trial says.

    Args:
        truth: Of the sequences on trial, which are positives.
        scores: By method.
        outcomes: Of their trial.
        draws: Of every bootstrap: ``clusters``, ``resamples``, ``seed``.

    Returns:
        ``methods``: a row of each with its recovery, its verdict, and whether it ``finds`` the truth: its interval lies
        above chance; Kendall's tau between the rankings by truth and by trial; and where the two disagree:
        ``reversed_pairs``, ``false_acquittals``, ``false_convictions``, ``undecided``.

    Example:
        >>> import tempfile
        >>> import kmerit as km
        >>> from kmerit.datasets.planting import read_planted
        >>> planting = km.Planting(regime="localised", motifs=("CTCF",), length=60, train=2, validation=2, test=4)
        >>> truth = read_planted(km.plant(planting, out=tempfile.mkdtemp()), "test")
        >>> truth = truth.take(np.flatnonzero(truth.sequences.labels == 1))
        >>> model = km.load_model("bundled:promoter")
        >>> scores = km.attribute(model, truth.sequences, ["lrp", "attention"], 1)
        >>> controls = ("shifted", "clump", "other")
        >>> outcomes = km.mutate(model, truth.sequences, scores, counts=[0, 5], replicates=1, controls=controls)
        >>> draws = {"clusters": outcomes.clusters, "resamples": 100, "seed": 0}
        >>> {row["verdict"] for row in truth_and_trial(truth, scores, outcomes, **draws)["methods"]}
        {'undecided'}
    """
    verdicts, names, chance = verdicts_on_positives(outcomes, **draws), list(scores), chances(truth)
    ranked_by, areas = next(iter(chance)), aopc_by_method(outcomes)
    values = {method: recovery(each, truth) for method, each in scores.items()}
    by_trial = np.stack([areas[method] for method in names], axis=1)
    by_truth = {measure: np.stack([values[method][measure] for method in names], axis=1) for measure in chance}
    rows = [_row(method, values[method], verdicts[method], chance, draws) for method in names]
    rows.sort(key=lambda row: -(row["truth"] or 0.0))
    taus = {}
    for measure, of_rows in by_truth.items():
        there = np.isfinite(of_rows).any(axis=0) & np.isfinite(by_trial).any(axis=0)
        tau = ranking_agreement(of_rows[:, there], by_trial[:, there], **draws).known()
        taus[measure] = {**tau, "methods": int(there.sum())}
    reversals = [
        {"truth_prefers": names[a], "trial_prefers": names[b], "truth_margin": margin, "trial_margin": trial_margin}
        for a, b, margin, trial_margin in paired_reversals(by_truth[ranked_by], by_trial, **draws)
    ]
    return {
        "ranked_by": ranked_by,
        "chance": chance,
        "methods": rows,
        "kendall_tau": taus,
        "pairs": len(names) * (len(names) - 1) // 2,
        "reversed_pairs": sorted(reversals, key=lambda pair: -float(pair["truth_margin"])),
        "false_acquittals": [row["method"] for row in rows if not row["finds"] and row["verdict"] == FAITHFUL],
        "false_convictions": [row["method"] for row in rows if row["finds"] and row["verdict"] in (SAME, WORSE)],
        "undecided": [row["method"] for row in rows if row["verdict"] == UNDECIDED],
    }


def _row(method: str, values: Mapping[str, Floats], verdict: Verdict, chance: Mapping[str, float], draws: Row) -> Row:
    """Say of one method what truth and trial say."""
    ranked_by = next(iter(chance))
    means = {measure: mean_interval(each, **draws).known() for measure, each in values.items()}
    finds_by = [key for key, mean in means.items() if mean["low"] is not None and mean["low"] > chance[key]]
    row: Row = {"method": method, "measure": ranked_by}
    for key, mean in means.items():
        name = "truth" if key == ranked_by else key
        row |= {name: mean["value"], f"{name}_low": mean["low"], f"{name}_high": mean["high"]}
    row |= {"finds": ranked_by in finds_by, "finds_by": finds_by, "verdict": verdict.verdict}
    row |= {"excess": verdict.excess, "excess_low": verdict.low, "excess_high": verdict.high}
    return row | {"control": verdict.control, "caveats": [asdict(each) for each in verdict.caveats]}


def cases(name: str, truth: Planted, scores: Scores, hard: Scores, outcomes: Outcomes, **draws: Any) -> Iterator[Case]:
    """Pair what the truth says of every ranking with what the trial says.

    Methods are judged on one card, a hard negative as one more line of it.

    Args:
        name: Of the set.
        truth: Of the sequences on trial, which are positives.
        scores: By method.
        hard: Scores that should find nothing, by ``METHOD, WAY``.
        outcomes: Of the trial of all of them.
        draws: Of every bootstrap: ``clusters``, ``resamples``, ``seed``.

    Example:
        >>> import tempfile
        >>> import kmerit as km
        >>> from kmerit.datasets.planting import read_planted
        >>> planting = km.Planting(regime="localised", motifs=("CTCF",), length=60, train=2, validation=2, test=4)
        >>> truth = read_planted(km.plant(planting, out=tempfile.mkdtemp()), "test")
        >>> truth = truth.take(np.flatnonzero(truth.sequences.labels == 1))
        >>> model = km.load_model("bundled:promoter")
        >>> scores = km.attribute(model, truth.sequences, ["lrp", "attention"], 1)
        >>> controls = ("shifted", "clump", "other")
        >>> outcomes = km.mutate(model, truth.sequences, scores, counts=[0, 5], replicates=1, controls=controls)
        >>> draws = {"clusters": outcomes.clusters, "resamples": 100, "seed": 0}
        >>> [case.ranking for case in cases("CTCF", truth, scores, {}, outcomes, **draws)]
        ['lrp', 'attention']
    """
    exact, measure, motifs = scores.get("ism"), next(iter(chances(truth))), list(truth.motif_masks().values())
    own = verdicts_on_positives(outcomes, list(scores), **draws)
    for ranking, each in {**scores, **hard}.items():
        estimates = [recovery(each, truth)[measure]]
        if exact is not None and truth.log_odds is None:
            # Of several motifs a model may need but one.
            masks = [needed(exact.scores, truth.mask), *(motifs if len(motifs) > 1 else ())]
            estimates += [localisation(each.scores, mask)["auroc"] for mask in masks]
        truth_code = truth_of(measure, *(mean_interval(estimate, **draws) for estimate in estimates))
        card = own if ranking in own else verdicts_on_positives(outcomes, [*scores, ranking], **draws)
        way = ranking.rpartition(", ")[2] if ranking in hard else ""
        yield Case(name, ranking, way, truth_code, card[ranking].verdict, card[ranking].sequences)
