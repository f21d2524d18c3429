"""Attribution methods: their definition, their registry, and the mathematics they share."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from importlib.util import find_spec
from typing import Any

import numpy as np
import torch
from torch import Tensor

from kmerit.attribution import methods as package
from kmerit.attribution.trace import Kind, Need, Trace
from kmerit.config import discover
from kmerit.errors import ConfigError, MissingExtra, UnsupportedMethod, UsageError, short
from kmerit.io.scores import TOLERANCE
from kmerit.models.family import Ability
from kmerit.models.inference import refuse_nonfinite
from kmerit.models.model import Model
from kmerit.models.rules import GRADIENT
from kmerit.sequences import Bool, Float, Int8, Int64, Sequences, Tokens

Options = Mapping[str, Any]

_KEY = re.compile(r"none|[a-z][a-z-]*[0-9]{4}[a-z]?")
"""Of a bibliography: the first author and the year."""
LEVELS = ("token", "nucleotide")
"""Where scores can live."""


@dataclass(frozen=True, eq=False)
class TokenScores:
    """Scores of a micro-batch over tokens, special tokens included.

    Attributes:
        values: [sequence, token]; anything on padding.
        undefined: bool [sequence], where the definition is 0/0 and zeros stand instead.
        relevance_sum: [sequence], all the relevance there was, for methods that propagate it.
        delta: [sequence], by how much the scores' sum misses what it should be, as a share of that.
    """

    values: Tensor
    undefined: Tensor | None = None
    relevance_sum: Tensor | None = None
    delta: Tensor | None = None


@dataclass(frozen=True, eq=False)
class NucleotideScores:
    """Scores of a micro-batch over nucleotides, for methods that do not pass through tokens.

    Attributes:
        values: ``[sequence, position]``; anything on padding.
        substitutions: ``[sequence, position, base]``, the change of the explained logit by each substitution, bases in
            the order ACGT and 0 for the base that is there; None where the method does not know.
    """

    values: Float
    substitutions: Float | None = None


@dataclass(frozen=True, eq=False)
class Batch:
    """A micro-batch, for methods that run the model again.

    Attributes:
        model: Left as it was found.
        names: ``[sequence]``; with a seed they determine what is drawn.
        bases: ``int8 [sequence, position]``, -1 on padding.
        lengths: ``int64 [sequence]``.
        tokens: Of the unchanged sequences.
        trace: The pass over them: logits and target, and nothing else.
        baselines: Sequences to start from, as many sets as there are; without, masks are what methods start from.
    """

    model: Model
    names: tuple[str, ...]
    bases: Int8
    lengths: Int64
    tokens: Tokens
    trace: Trace
    baselines: tuple[Sequences, ...] = ()


@dataclass(frozen=True, eq=False)
class Method:
    """An attribution method: what it needs of a pass and how it reads it, or how it asks the model again.

    Attributes:
        name: Its registered name, which is the name of its file.
        summary: One line for people.
        cites: Key in the bibliography, such as ``abnar2020``, or ``none``.
        signed: Whether a negative score is evidence against the target.
        cost: What it costs alone, in forward passes: a number, or words where that depends on the sequence.
        needs: What it needs of the pass, given its options.
        read: Reads its scores from the trace.
        ask: Asks the model again, in place of ``read``.
        level: Where its scores live: ``token`` (they can be projected to nucleotides) or ``nucleotide``.
        options: Its documented variants: a name and the default value, or a name and all its values, the default first.
        requires: What it asks of a model beyond what its needs tell.
        extra: Package that it needs, and the extra that brings it, where they do not come with kmerit.
        tolerance: The ``delta`` above which the scores of a sequence are withheld, if it gives one; None: never.
        sums: Whether its relevances are parts of the output, so that they may be of its difference from a reference.

    Raises:
        UsageError: Neither ``read`` nor ``ask``, or both; or text, a key or a level that is none.

    Example:
        >>> import kmerit as km
        >>> def ask(batch, options):
        ...     return NucleotideScores((batch.bases == 2).astype("float32"))
        >>> guanine = Method("guanine", "1 at each G", "none", signed=False, cost=0, ask=ask, level="nucleotide")
        >>> km.attribute(km.load_model("bundled:promoter"), ["GATTACA"], [guanine])["guanine"][0].tolist()
        [1.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0]
    """

    name: str
    summary: str
    cites: str
    signed: bool
    cost: float | str
    needs: Callable[[Options], Sequence[Need]] = lambda options: ()
    read: Callable[[Trace, Options], TokenScores] | None = None
    ask: Callable[[Batch, Options], TokenScores | NucleotideScores] | None = None
    level: str = "token"
    options: Options = field(default_factory=dict)
    requires: frozenset[Ability] = frozenset()
    extra: tuple[str, str] | None = None
    tolerance: float | None = TOLERANCE
    sums: bool = False

    def __post_init__(self) -> None:
        for what in ("name", "summary", "cites"):
            value = getattr(self, what)
            if not isinstance(value, str) or not value.strip():
                raise UsageError(f"Method: {what}: expected text, got {short(value)}.")
        if not _KEY.fullmatch(self.cites):
            raise UsageError(
                f"{self.name}: cites: expected a key of a bibliography, such as 'abnar2020', or 'none', got "
                f"{short(self.cites)}."
            )
        if (self.read is None) == (self.ask is None):
            both = "neither" if self.read is None else "both"
            raise UsageError(
                f"{self.name}: expected either read, a function of the trace, or ask, a function of the batch; got "
                f"{both}. Examples: docs/how-to/add-a-method.md."
            )
        for what in ("read", "ask", "needs"):
            if not callable(getattr(self, what) or len):
                raise UsageError(f"{self.name}: {what}: expected a function, got {short(getattr(self, what))}.")
        if self.level not in LEVELS:
            raise UsageError(f"{self.name}: level: expected one of {', '.join(LEVELS)}, got {self.level!r}.")

    def __repr__(self) -> str:
        return f"<Method {self.name} ({'signed' if self.signed else 'unsigned'}): {self.summary}>"

    def asks_for(self, options: Options) -> frozenset[Ability]:
        """What a model must be able to do for it.

        Example:
            >>> methods()["occlusion"].asks_for({})
            frozenset({<Ability.MASKING: 'a mask token'>})
        """
        return self.requires.union(*(need.requires for need in self.needs(options)))

    def check_extra(self) -> None:
        """Find the package that it needs, without loading it.

        Raises:
            MissingExtra: It is not installed.

        Example:
            >>> import kmerit as km
            >>> km.methods()["lrp"].check_extra()  # needs none
        """
        if self.extra is not None and find_spec(self.extra[0]) is None:
            raise MissingExtra(*self.extra, self.name)

    @property
    def wants(self) -> list[str]:
        """What it needs of the pass by default, in words; or that it asks the model again."""
        if self.ask is not None:
            return ["asks again"]
        return [need.words for need in self.needs(self.complete({}))]

    def score(self, batch: Batch, options: Options) -> TokenScores | NucleotideScores:
        """Score a micro-batch.

        Example:
            >>> ask = lambda batch, options: NucleotideScores(np.zeros((1, 4)))
            >>> Method("zero", "0 everywhere", "none", signed=False, cost=0, ask=ask).score(None, {}).values.shape
            (1, 4)
        """
        if self.read is not None:
            return self.read(batch.trace, options)
        if self.ask is not None:
            return self.ask(batch, options)
        raise ValueError(f"{self.name}: a method reads the trace or asks the model; this one does neither.")

    def complete(self, options: Options) -> dict[str, Any]:
        """Check options and add the default of those not given.

        Raises:
            ConfigError: An option or a value that the method does not have.

        Example:
            >>> methods()["integrated_gradients"].complete({})
            {'steps': 64}
        """
        for key in options:
            if key not in self.options:
                raise ConfigError(f"{self.name}: no option {key!r}. It has: {', '.join(self.options) or 'none'}.")
        completed = {}
        for key, default in self.options.items():
            values = default if isinstance(default, tuple) else None
            completed[key] = options.get(key, values[0] if values else default)
            if values and completed[key] not in values:
                raise ConfigError(
                    f"{self.name}: {key} is one of {', '.join(map(repr, values))}; got {completed[key]!r}."
                )
        return completed


@cache
def methods() -> dict[str, Method]:
    """List the methods: one file each in ``attribution/methods``, and those that other packages register.

    Other packages name a ``Method`` in the entry-point group ``kmerit.methods``.

    Example:
        >>> methods()["rollout"].summary
        'attention of all layers multiplied, with the residual connections as identity'
    """
    return discover(package, "METHOD", "kmerit.methods")


def cls_rollout(matrices: Sequence[Tensor]) -> Tensor:
    """Row [CLS] of the product, last layer first, of the row-normalised ``matrix + I``.

    A chain of vector-matrix products: with u the row so far, divided by the row sums, the next is u M + u.

    Args:
        matrices: [sequence, Q, token] per layer, the first layer first; non-negative. Where Q is 1 it is [CLS].

    Returns:
        [sequence, token].

    Source: abnar2020, section 3.
    """
    first = matrices[-1]
    row = torch.zeros_like(first[:, 0])
    row[:, 0] = 1
    for matrix in reversed(matrices):
        rows = matrix.shape[1]
        share = row[:, :rows] / (matrix.sum(-1) + 1)
        through = torch.einsum("bq,bqt->bt", share, matrix)
        through[:, :rows] += share
        row = through
    return row


def without_cls(values: Tensor) -> Tensor:
    """Set the entry of [CLS] to 0."""
    values = values.clone()
    values[:, 0] = 0
    return values


def cls_relevance(relevance: Tensor) -> TokenScores:
    """Read an attention's relevance [sequence, head, token] of row [CLS]: the mean over heads of its positive part.

    Source: voita2019, section 3.
    """
    return TokenScores(without_cls(relevance.clamp(min=0).mean(1)), relevance_sum=relevance.sum((1, 2)))


AT = {"at": ("input", "words")}
"""The option of methods that are an input times what it received: the encoder's input, or the word embeddings."""


AT_WITH_GAMMA = {**AT, "gamma": 0.0}
"""The same, and how much the first convolution favours contributions of its output's sign; 0: not at all."""


def received(rules: str, options: Options) -> Need:
    """What the encoder's input or the word embeddings received by a rule book.

    Raises:
        ConfigError: A gamma that is no number, or below 0.
    """
    gamma = options.get("gamma", 0.0)
    if isinstance(gamma, bool) or not isinstance(gamma, int | float) or not 0 <= gamma < math.inf:
        raise ConfigError(f"{rules}: gamma is a number of at least 0, such as 0.25; got {short(gamma)}.")
    return Need(Kind.INPUT if options["at"] == "input" else Kind.WORDS, rules, gamma=float(gamma))


def input_times_received(trace: Trace, rules: str, options: Options) -> TokenScores:
    """Multiply the input with what it received, and sum over the hidden units: [sequence, token]."""
    at = trace.input if options["at"] == "input" else trace.words
    relevance = (at * trace.one(received(rules, options))).sum(-1)
    return TokenScores(relevance, relevance_sum=relevance.sum(1))


def logits_of(model: Model, bases: Int8, lengths: Int64, names: Sequence[str]) -> Float:
    """Classify one micro-batch of bases ``[sequence, position]``: logits ``[sequence, class]``."""
    return model.forward(model.tokenize(bases[:, : lengths.max()], lengths), names)


def explained_logit(batch: Batch, words: Tensor) -> Tensor:
    """Classify word embeddings [sequence, token, hidden] in place of a batch's own: the explained logit [sequence].

    Raises:
        NotFinite: An answer that is no number.
    """
    encoder, mask = batch.model.encoder, batch.trace.mask
    with torch.inference_mode():
        logits = encoder.classify(encoder.embed(words), mask)
        _refuse_nonfinite(batch, words, logits)
        return logits.gather(1, batch.trace.target[:, None])[:, 0]


def word_gradient(batch: Batch, words: Tensor) -> tuple[Tensor, Tensor]:
    """Differentiate the explained logit.

    Args:
        batch: Its model is left as it was found.
        words: Word embeddings [sequence, token, hidden], in place of the batch's own.

    Returns:
        Logits [sequence, class], and the gradient with respect to ``words``.

    Raises:
        NotFinite: An answer that is no number.
    """
    encoder, trace = batch.model.encoder, batch.trace
    with torch.inference_mode():
        tape = encoder.record(encoder.embed(words), trace.mask, rules=GRADIENT)
        _refuse_nonfinite(batch, words, tape.logits)
        seed = torch.nn.functional.one_hot(trace.target, tape.logits.shape[1]).to(tape.logits.dtype)
        *_, (_, received) = encoder.sweep(tape, GRADIENT, seed)
        return tape.logits, encoder.to_words(words, GRADIENT, received)


def _refuse_nonfinite(batch: Batch, words: Tensor, logits: Tensor) -> None:
    """Refuse NaN or infinite outputs for changed word embeddings."""
    encoder, mask = batch.model.encoder, batch.trace.mask

    def again(row: int) -> object:
        count = int(mask[row].sum())
        return encoder.classify(encoder.embed(words[row : row + 1, :count]), mask[row : row + 1, :count])

    names = [f"{name}, changed" for name in batch.names]
    refuse_nonfinite(logits, names, batch.model.name, encoder, again)


def masked_words(batch: Batch, covered: Bool | None = None) -> Tensor:
    """Word embeddings with the mask token in place of some tokens.

    Args:
        batch: Of a model that has a mask token.
        covered: bool [sequence, token]; by default every token that covers a nucleotide, so that special tokens stay.
    """
    model, trace = batch.model, batch.trace
    if model.tokenizer.mask_id is None:
        raise UnsupportedMethod(f"{model.name}: its vocabulary has no mask token. Use ism, which substitutes.")
    covers = batch.tokens.spans[..., 1] > batch.tokens.spans[..., 0] if covered is None else covered
    ids = trace.ids.masked_fill(torch.from_numpy(covers).to(trace.ids.device), model.tokenizer.mask_id)
    return model.encoder.look_up(ids, trace.mask)


def starts(batch: Batch) -> list[Tensor]:
    """Give the word embeddings that a path to the sequences begins at: masks, or each set of baselines.

    Raises:
        UnsupportedMethod: A baseline has another number of tokens than its sequence.
    """
    if not batch.baselines:
        return [masked_words(batch)]
    words = []
    for each in batch.baselines:
        tokens = batch.model.tokenize(*each.padded())
        if not np.array_equal(tokens.mask, batch.tokens.mask):
            raise UnsupportedMethod(
                f"With {batch.model.family}, a shuffled sequence has another number of tokens, so no path leads from "
                f"one to the other. Give another reference, a number for example."
            )
        words.append(batch.model.encoder.look_up(*batch.model.tensors(tokens)))
    return words


def missed_share(batch: Batch, scores: Tensor, *baselines: Tensor) -> Tensor:
    """Measure how far scores miss their sum, the rise of the explained logit over the baseline, as a share.

    Args:
        batch: The micro-batch.
        scores: [sequence, token], special tokens included.
        baselines: Word embeddings [sequence, token, hidden]; the mean rise from several.

    Returns:
        [sequence], as a share of the rise; 0 where they miss nothing.
    """
    trace = batch.trace
    end = explained_logit(batch, trace.words)
    starts = [explained_logit(batch, words) for words in baselines]
    rise = end - torch.stack(starts).mean(0)
    gap = ((scores * trace.mask).sum(-1) - rise).abs()
    return torch.where(gap == 0, gap, gap / rise.abs())
