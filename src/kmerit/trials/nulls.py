"""Null rankings: noise, letters, and doses of exact in-silico mutagenesis: rankings with known information.

Noise knows nothing of a sequence, so no verdict may be claimed of it. Letters know composition, so nothing
beyond composition may. Doses know the model, the more the better.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np
from scipy.ndimage import uniform_filter1d

from kmerit.errors import UnknownName
from kmerit.results import Attribution
from kmerit.sequences import Float, Floats, Int8, Int64, Sequences, generator
from kmerit.trials.controls import local_gc

WINDOW = 11
"""Over which clumps are smoothed, in nt."""
BLUR = 6
"""Over which the noise in a dose is blurred, in nt: as a k-mer model's averages are."""
EARLY = {"attention": {"first_layer": 0, "last_layer": 0}, "partial_lrp": {"layer": 0}}
"""Options by which a method reads the first layer."""
Ruled = Callable[[Int8, np.random.Generator, np.random.Generator], Floats]
"""Bases ``[position]``, a generator of the sequence's own, and one that all share, to scores ``[position]``."""


def _smooth(values: Floats, width: int) -> Floats:
    return np.asarray(uniform_filter1d(values, width, mode="nearest"))


def _standard(values: Floats) -> Floats:
    spread = values.std()
    return np.asarray((values - values.mean()) / (spread if spread > 0 else 1.0))


def _clumped(bases: Int8, own: np.random.Generator, shared: np.random.Generator) -> Floats:
    return np.asarray(np.exp(2 * _standard(_smooth(own.normal(size=bases.size), WINDOW))))


def _place(bases: Int8, own: np.random.Generator, shared: np.random.Generator) -> Floats:
    return _smooth(shared.normal(size=bases.size), WINDOW)


def _cpg(bases: Int8) -> Floats:
    pairs = np.concatenate([(bases[:-1] == 1) & (bases[1:] == 2), [False]])
    return np.asarray(pairs | np.roll(pairs, 1), dtype=np.float64)


def _quarters(bases: Int8) -> Floats:
    return np.asarray(_cpg(bases) * (1 + (np.arange(bases.size) * 4 // bases.size == 3)))


def _trinucleotide(bases: Int8, own: np.random.Generator, shared: np.random.Generator) -> Floats:
    values = shared.normal(size=(5, 4, 5))
    padded = np.concatenate([[4], bases, [4]]).astype(np.int64)
    return np.asarray(values[padded[:-2], padded[1:-1], padded[2:]])


NOISE: dict[str, Ruled] = {
    "uniform": lambda bases, own, shared: own.random(bases.size),
    "blurred 6": lambda bases, own, shared: _smooth(own.normal(size=bases.size), 6),
    "blurred 11": lambda bases, own, shared: _smooth(own.normal(size=bases.size), 11),
    "clumped": _clumped,
    "place": _place,
}
"""Nulls of the first answer; a method's scores turned round, `turned_scores`, are one, too."""
LETTERS: dict[str, Ruled] = {
    "CpG": lambda bases, own, shared: _cpg(bases),
    "A and T": lambda bases, own, shared: ((bases == 0) | (bases == 3)).astype(np.float64),
    "local GC": lambda bases, own, shared: local_gc(bases).astype(np.float64),
    "trinucleotide": _trinucleotide,
    "CpG, last quarter first": lambda bases, own, shared: _quarters(bases),
}
"""Nulls of the second answer: functions of what the strata of ``context`` hold. Of the first they are none: where a
model reads CpG, a ranking of CpG is faithful."""


def ruled(name: str, sequences: Sequences, seed: int) -> Float:
    """Score sequences by noise or by a rule of letters.

    Args:
        name: Of `NOISE` or `LETTERS`.
        sequences: What is scored.
        seed: Of the draws.

    Returns:
        ``[sequence, position]``, NaN on padding.

    Raises:
        UnknownName: With the nearest name.

    Example:
        >>> ruled("CpG", Sequences.from_strings(["AACGT"]), 0).tolist()
        [[0.0, 0.0, 1.0, 1.0, 0.0]]
    """
    rules = NOISE | LETTERS
    if name not in rules:
        raise UnknownName("null ranking", name, rules)
    out = np.full((len(sequences), int(sequences.lengths.max())), np.nan)
    for i, bases in enumerate(sequences.rows()):
        own, shared = generator(seed, name, 0, sequences.names[i]), generator(seed, name, 0, "")
        out[i, : bases.size] = rules[name](bases, own, shared)
    return out


def turned_scores(scores: Float, sequences: Sequences, seed: int) -> Float:
    """Turn each sequence's scores round the circle by any offset of its own: ``[sequence, position]``.

    The control ``shifted`` moves them, too, but at least 20 nt far.

    Example:
        >>> some = Sequences.from_strings(["ACGTAC"])
        >>> sorted(turned_scores(np.arange(6.0)[None], some, 0)[0].tolist())
        [0.0, 1.0, 2.0, 3.0, 4.0, 5.0]
    """
    out = np.full(scores.shape, np.nan)
    for i, length in enumerate(sequences.lengths.tolist()):
        offset = int(generator(seed, "turned", 0, sequences.names[i]).integers(length))
        out[i, :length] = np.roll(scores[i, :length], offset)
    return out


def ranked(name: str, scores: Float, target: Int64, names: tuple[str, ...]) -> Attribution:
    """Make scores a ranking; a sequence without any, as where they were withheld, takes no part in its trial.

    Args:
        name: Of the ranking, as if it were a method's.
        scores: ``[sequence, position]``, NaN where there is none.
        target: ``[sequence]``, the class of each.
        names: Of the sequences.

    Example:
        >>> scores = np.array([[0.5, 1.0], [np.nan, np.nan]])
        >>> ranked("own", scores, np.array([1, 1]), ("a", "b")).withheld_rows.tolist()
        [False, True]
    """
    delta = np.where(np.isfinite(scores).any(axis=1), 0.0, np.nan)
    settings, diagnostics = {"tolerance": 0.0}, {"delta": delta}
    return Attribution(name, scores, "nucleotide", target, names, settings=settings, diagnostics=diagnostics)


def hard_negatives(
    own: Mapping[str, Attribution], others: Mapping[str, Mapping[str, Attribution]], sequences: Sequences, seed: int
) -> dict[str, Attribution]:
    """Make real scores into rankings that should find nothing.

    Args:
        own: Scores of class 1 of the sequences, by method: they are turned round, and given to another sequence.
        others: Scores that explain something else (another class, another model, an early layer), by what they do and
            then by method.
        sequences: Those of all the scores; of one length.
        seed: Of the turns.

    Returns:
        By ``METHOD, WAY``, as if they explained class 1 of these very sequences.

    Example:
        >>> import kmerit as km
        >>> rows = km.Sequences.from_strings(["ACGTAC", "GGTACA"])
        >>> scores = km.attribute(km.load_model("bundled:promoter"), rows, ["lrp"], 1)
        >>> list(hard_negatives(scores, {"wrong class": scores}, rows, 0))
        ['lrp, turned', 'lrp, another sequence', 'lrp, wrong class']
    """
    ways: dict[str, dict[str, Float]] = {
        "turned": {method: turned_scores(each.scores, sequences, seed) for method, each in own.items()},
        "another sequence": {method: np.roll(each.scores, 1, axis=0) for method, each in own.items()},
        **{way: {method: each.scores for method, each in scores.items()} for way, scores in others.items()},
    }
    target = np.ones(len(sequences), dtype=np.int64)
    return {
        f"{method}, {way}": ranked(f"{method}, {way}", scores, target, sequences.names)
        for way, by_method in ways.items()
        for method, scores in by_method.items()
        if np.isfinite(scores).any()
    }


def dosed(
    scores: Float, sequences: Sequences, dose: float, seed: int, *, smooth: int = 1, share: bool = False
) -> Float:
    """Mix exact in-silico mutagenesis with blurred noise.

    Args:
        scores: Of in-silico mutagenesis, ``[sequence, position]``.
        sequences: What was explained.
        dose: From 0 to 1.
        seed: Of the noise.
        smooth: Over how many nucleotides the scores are smoothed first.
        share: Whether the dose is the share of sequences that have the scores whole, and others noise alone, in place
            of the share that the scores have in each position.

    Returns:
        ``[sequence, position]``, NaN on padding.

    Example:
        >>> some = Sequences.from_strings(["ACGTAC"])
        >>> int(dosed(np.arange(6.0)[None], some, 1.0, 0).argmax())
        5
    """
    out = np.full(scores.shape, np.nan)
    for i, length in enumerate(sequences.lengths.tolist()):
        rng = generator(seed, "dose", 0, sequences.names[i])
        noise, truth = _standard(_smooth(rng.normal(size=length), BLUR)), scores[i, :length].astype(np.float64)
        truth = _standard(_smooth(truth, smooth) if smooth > 1 else truth)
        if share:
            out[i, :length] = truth if rng.random() < dose else noise
        else:
            out[i, :length] = dose * truth + (1 - dose) * noise
    return out
