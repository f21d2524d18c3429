"""Departures: how far the mutants of each operator leave the data, as an encoder sees them and as letters alone say.

A model answers to anything. Where mutants look like no sequence of the data, a drop may say that they are strange, and
little about what a method found. Two measures, each a rank among the data: 0.5 where a mutant is as ordinary as a
sequence of the data, 1 where it lies farther out than all of them.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from kmerit.errors import ModelError, SequenceError
from kmerit.io.readers import SequencesLike, as_sequences
from kmerit.models.encoder import Encoder
from kmerit.models.inference import fitting, slices
from kmerit.models.masked import MaskedModel
from kmerit.models.model import Model
from kmerit.sequences import Floats, Int8, Int64, Sequences
from kmerit.trials.controls import RANDOM, random_scores
from kmerit.trials.design import Design, mutants_of
from kmerit.trials.execution import answers_of, clusters_of, masked, maskers_of
from kmerit.trials.operators import OPERATORS, check_room, composition, operator_named, revealed
from kmerit.trials.rankings import order_named
from kmerit.trials.trial import by_lot, columns
from kmerit.trials.verdicts import ORDER
from kmerit.uncertainty import mean_interval

if TYPE_CHECKING:
    import pandas as pd

FEWEST = 10
"""Sequences that a rank among the data needs."""
NEIGHBOURS = 5
"""Sequences of the data whose mean distance says how far out a state lies."""
CONTEXT = 4
"""Letters before one that its probability depends on."""


def departures(
    model: Model,
    sequences: SequencesLike,
    operators: Sequence[str] | None = None,
    counts: Sequence[int | str] = (20, "all"),
    *,
    encoder: Model | None = None,
    masker: MaskedModel | None = None,
    per_class: int = 20,
    resamples: int = 1000,
    seed: int = 0,
) -> pd.DataFrame:
    """Measure how far the mutants of each operator leave the data, at random positions.

    The positions and letters are those of the first random ranking of a trial with the same seed. By the state of
    [CLS] in an encoder's last layer: the mean distance to the 5 nearest sequences of the data. By letters: the
    likelihood under a Markov chain of order 4. For both the sequence that was mutated is left out of the data.

    Source: sun2022 for the distance to the nearest neighbours.

    Args:
        model: Whose trial it is; ``harshest`` and ``mildest`` ask it.
        sequences: The data, of which some are mutated; without N.
        operators: Their names; all by default, without ``mask`` where the encoder has no token for that.
        counts: Numbers of nucleotides, shares of the length, and ``"all"``.
        encoder: Whose [CLS] is taken; the model by default.
        masker: A masked language model, whose pseudo-likelihood is a third measure: the mean log-probability of each
            letter, given all others.
        per_class: Sequences of each class that are mutated.
        resamples: Bootstrap draws of the intervals, over clusters of sequences.
        seed: Of the draws.

    Returns:
        A row per operator and count: ``sequences`` mutated; ``state`` and ``letters``, the mean ranks, each with its
        interval (``state_low`` ...); ``moved``, the distance from the sequence itself in typical distances between
        sequences of the data; ``likelihood``, the change of the log-likelihood, in nats per nucleotide. With a masked
        language model also ``pseudo``, the rank by pseudo-likelihood (among the sequences that are mutated), with its
        interval, and ``pseudo_change``, in nats per nucleotide. Letters do not apply to ``mask``: NaN.

    Raises:
        SequenceError: Fewer than 10 sequences.
        ModelError: An encoder without a [CLS] state.
        CountError: A count above a sequence's length, or an operator that one has no room for.

    Example:
        >>> import kmerit as km
        >>> model = km.load_model("bundled:promoter")
        >>> rng = np.random.default_rng(0)
        >>> sequences = ["".join(rng.choice(list("ACGT"), 60)) for _ in range(12)]
        >>> departures(model, sequences, ["complement"], [5], per_class=2)["operator"].tolist()
        ['complement']
    """
    import pandas as pd
    from scipy.spatial.distance import pdist

    every, encoder = model.numbered(as_sequences(sequences)), encoder or model
    check_departures(encoder, every, masker)
    own_operators = [operator_named(name) for name in operators or _known_to(encoder)]
    check_room(own_operators, every)
    numbers, full = columns(every, counts)
    design = Design((), tuple(own_operators), (order_named(ORDER),), numbers, full, 1, 1, seed, composition(every))
    predicted = np.zeros(len(every), dtype=np.int64) if model.regression else model.logits(every).argmax(axis=1)
    labels = every.labels
    classes = labels if labels is not None and labels.dtype == np.int64 else predicted
    members = np.flatnonzero(by_lot(np.asarray(classes), every.names, seed) < per_class)
    member_sequences, maskers = every.take(members), maskers_of(encoder, every, own_operators)
    answers = answers_of(model, member_sequences, np.asarray(predicted)[members], own_operators, maskers)
    natural, chain = states(encoder, every), _Chain(every)
    typical = float(np.median(pdist(natural))) or 1.0
    ordinary = np.array([_farness(natural[i], natural, i) for i in range(len(every))])
    plausible = np.array([chain.likelihood(bases, i) for i, bases in enumerate(every.rows())])
    restored = np.array([_pseudo(masker, bases) for bases in member_sequences.rows()])
    ranks: dict[tuple[int, int], list[tuple[float, ...]]] = {}
    for at, i in enumerate(members.tolist()):
        name, bases = every.names[i], np.asarray(every.bases[every.offsets[i] : every.offsets[i + 1]])
        scores = {RANDOM: random_scores(seed, 1, name, bases.size)}
        mutants = mutants_of([design], name, bases, [scores], answers[at])
        of_mutants = _states(encoder, mutants.distinct, np.full(len(mutants.distinct), bases.size))
        letters, hidden = revealed(mutants.distinct)
        for row, operator in enumerate(design.rows.operator.tolist()):
            for column, mutant in enumerate(mutants.which[0][row].tolist()):
                unseen = bool(hidden[mutant].any())
                likelihood = np.nan if unseen else chain.likelihood(letters[mutant], i)
                pseudo = np.nan if unseen else _pseudo(masker, letters[mutant])
                ranks.setdefault((operator, column), []).append(
                    (
                        _rank(_farness(of_mutants[mutant], natural, i), ordinary),
                        _rank(-likelihood, -plausible),
                        float(np.linalg.norm(of_mutants[mutant] - natural[i])) / typical,
                        likelihood - plausible[i],
                        _rank(-pseudo, -restored),
                        pseudo - restored[at],
                    )
                )
    clusters, rows = np.array(clusters_of(every))[members], list[dict[str, Any]]()
    for (operator, column), values in ranks.items():
        state, letter, moved, change, pseudo_rank, pseudo_change = np.array(values).T
        row_of: dict[str, Any] = {"operator": own_operators[operator].name, "n": str([*numbers, "all"][column])}
        row_of["sequences"] = len(values)
        measures = {"state": state, "letters": letter} | ({} if masker is None else {"pseudo": pseudo_rank})
        for key, each in measures.items():
            mean = mean_interval(each, clusters=clusters, resamples=resamples, seed=seed)
            row_of |= {key: mean.value, f"{key}_low": mean.low, f"{key}_high": mean.high}
        row_of |= {"moved": moved.mean(), "likelihood": _mean(change)}
        rows.append(row_of if masker is None else row_of | {"pseudo_change": _mean(pseudo_change)})
    return pd.DataFrame(rows)


def _mean(values: Floats) -> float:
    known = np.isfinite(values)
    return float(values[known].mean()) if known.any() else float("nan")


def _pseudo(masker: MaskedModel | None, bases: Int8) -> float:
    """Average the log-probability of each letter, given all others; NaN without a model."""
    if masker is None:
        return float("nan")
    return float(np.log(masker.letters(bases)[np.arange(bases.size), bases]).mean())


def check_departures(encoder: Model, sequences: Sequences, masker: MaskedModel | None = None) -> None:
    """Refuse what departures cannot be measured with.

    Raises:
        SequenceError: Fewer than 10 sequences, or one that a model cannot read.
        ModelError: An encoder without a [CLS] state.
        LengthError: A sequence that is too long for a model.
    """
    if len(sequences) < FEWEST:
        raise SequenceError(
            f"Departures are ranks among the data: expected {FEWEST} or more sequences, got {len(sequences)}."
        )
    _network(encoder)
    encoder.check(sequences)
    if masker is not None:
        masker.check(sequences)


def _known_to(encoder: Model) -> list[str]:
    return [name for name in OPERATORS if name != "mask" or encoder.tokenizer.mask_id is not None]


def _network(model: Model) -> Encoder:
    if not isinstance(model.encoder, Encoder):
        raise ModelError(
            f"{model.name} ({model.family}) has no [CLS] state that is known here. Give an encoder, such as "
            f"bundled:encoder."
        )
    return model.encoder


def states(model: Model, sequences: Sequences) -> Floats:
    """Compute the state of [CLS] after the last layer, ``[sequence, unit]``."""
    return _states(model, *sequences.padded())


def _states(model: Model, bases: Int8, lengths: Int64) -> Floats:
    passes = (partial(_states_of, bases=bases[rows], lengths=lengths[rows]) for rows in slices(len(bases), model))
    return np.concatenate([fitting(model, each) for each in passes])


def _states_of(model: Model, bases: Int8, lengths: Int64) -> Floats:
    network, parts = _network(model), []
    for rows in slices(len(bases), model):
        letters, hidden = revealed(bases[rows, : lengths[rows].max()])
        ids, mask = model.tensors(masked(model.tokenize(letters, lengths[rows]), hidden, model))
        with torch.inference_mode():
            tape = network.record(network.embed(network.look_up(ids, mask)), mask)
        parts.append(tape.cls.double().cpu().numpy())
    return np.concatenate(parts)


def _farness(state: Floats, natural: Floats, own: int) -> float:
    """Average the distance to the nearest sequences of the data, without the one that was mutated."""
    distances = np.delete(np.linalg.norm(natural - state, axis=1), own)
    return float(np.sort(distances)[:NEIGHBOURS].mean())


def _rank(value: float, among: Floats) -> float:
    """Rank a value among those of the data: 0 below all, 1 above all; NaN where there is none."""
    return float(((among < value) + 0.5 * (among == value)).mean()) if np.isfinite(value) else float("nan")


class _Chain:
    """A Markov chain of letters, whose counts leave out one sequence at a time."""

    def __init__(self, sequences: Sequences) -> None:
        self.own = [self._counts(bases) for bases in sequences.rows()]
        self.all = np.sum(self.own, axis=0)

    @staticmethod
    def _words(bases: Int8) -> Int64:
        """Number the words of CONTEXT + 1 letters, ``[position]``."""
        windows = np.lib.stride_tricks.sliding_window_view(bases.astype(np.int64), CONTEXT + 1)
        return np.asarray(windows @ 4 ** np.arange(CONTEXT, -1, -1))

    def _counts(self, bases: Int8) -> Floats:
        words = self._words(bases) if bases.size > CONTEXT else np.zeros(0, dtype=np.int64)
        return np.bincount(words, minlength=4 ** (CONTEXT + 1)).astype(np.float64)

    def likelihood(self, bases: Int8, without: int) -> float:
        """Average the log-probability of each letter after the first four."""
        counts = (self.all - self.own[without] + 0.25).reshape(-1, 4)
        logs = np.log(counts / counts.sum(axis=1, keepdims=True)).ravel()
        return float(logs[self._words(bases)].mean())
