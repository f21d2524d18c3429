"""References: why y and not y_ref? What an output is compared with, and how the last layers are explained from there.

The top of a network is ``y = w . a + c`` with activations ``a = f(u)``. A reference is one activation for each unit,
``a_ref``, with ``w . a_ref + c = y_ref``: the mean over reference sequences, or, of a number, the activations moved
until they reach it (flooding). Relevances of the units then add up to y - y_ref for every c.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from itertools import combinations
from numbers import Integral, Real
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor, nn

from kmerit.errors import LabelError, NotFinite, ReferenceUnreachable, SequenceError, TargetError, UsageError, short
from kmerit.formats import Shown, significant
from kmerit.io.readers import SequencesLike, as_sequences
from kmerit.models.differentiable import secant
from kmerit.models.encoder import Encoder, Rules
from kmerit.models.inference import slices
from kmerit.models.model import Model, in_float64
from kmerit.models.rules import CPLRP, AttnLRP
from kmerit.models.sequence_to_function import SequenceToFunction
from kmerit.models.wrap import OneHotNetwork
from kmerit.results import Attribution
from kmerit.sequences import Bool, Floats, Int8, Int64, Sequences, decode, dinucleotide_shuffle, generator

if TYPE_CHECKING:
    import pandas as pd

KINDS = ("shuffled", "negatives", "training")
"""References that are means over sequences, in the order of preference; any other is a number."""
COPIES = 20
"""Shuffled copies of each sequence, by default."""
_DROPPED = (nn.Identity, nn.Dropout, nn.Dropout1d, nn.Dropout2d, nn.Dropout3d, nn.AlphaDropout, nn.FeatureAlphaDropout)
"""Layers that do nothing in evaluation mode."""
_EDGE = 1 - 1e-15
"""How near to 1 the reference of a tanh may come: the inverse of 1 is infinite."""


def restructured(u: Floats, a_ref: Floats) -> tuple[Floats, Floats, Floats]:
    """Split ReLU(u) - a_ref into three ReLUs, h1 + h2 - h3, of which h2 and h3 carry what absence contributes.

    Source: letzgus2022, section 4.

    Args:
        u: Pre-activations.
        a_ref: Reference activations, not negative.

    Example:
        >>> [float(h) for h in restructured(np.float64(-1.0), np.float64(2.0))]
        [0.0, 1.0, 3.0]
    """
    return np.maximum(u - a_ref, 0), np.maximum(-u, 0), np.maximum(a_ref - u, 0)


def flooded(
    a: Floats,
    w: Floats,
    c: float,
    y_ref: float,
    low: float = 0.0,
    high: float = np.inf,
    name: str = "y",
    spell: Callable[[float], float] = float,
) -> Floats:
    """Move all activations by the smallest t, up or down, such that the output is y_ref; none leaves its range.

    ``a_ref = clip(a - t, low, high)``. The output is piecewise linear in t, and solved at its breakpoints.

    Args:
        a: ``[unit]``, activations.
        w: ``[unit]``, weights of the output.
        c: Its bias.
        y_ref: What is to be reached.
        low: The least activation there is: 0 of ReLU, -1 of tanh.
        high: The greatest.
        name: Of the output, for the message.
        spell: From what is reached to the output, where an increasing function comes after it, for the message.

    Returns:
        ``[unit]``, the reference activations.

    Raises:
        ReferenceUnreachable: With the range that can be reached.

    Source: letzgus2022, section 4, for the direction; the solution by breakpoints is exact.

    Example:
        >>> flooded(np.array([1.0, 3.0]), np.array([1.0, 1.0]), 0.0, 1.0).tolist()
        [0.0, 1.0]
    """
    best, ends = None, []
    for sign in (1.0, -1.0):
        wall = low if sign > 0 else high
        at = np.unique(np.concatenate([[0.0], sign * (a - wall)])) if np.isfinite(wall) else np.zeros(1)
        at = at[at >= 0]

        def moved(t: Floats, sign: float = sign) -> Floats:
            return np.clip(a - sign * t[:, None], np.minimum(low, a), np.maximum(high, a))

        y = moved(at) @ w + c
        slope = 0.0 if np.isfinite(wall) else -sign * float(w.sum())
        ends += [*y, *([np.sign(slope) * np.inf] if slope else [])]
        inside = np.flatnonzero((np.minimum(y[:-1], y[1:]) <= y_ref) & (y_ref <= np.maximum(y[:-1], y[1:])))
        t = None
        if y[0] == y_ref:
            t = 0.0
        elif inside.size:
            k = int(inside[0])
            t = float(at[k] + (at[k + 1] - at[k]) * (y_ref - y[k]) / (y[k + 1] - y[k]))
        elif slope and (y_ref - y[-1]) / slope >= 0:
            t = float(at[-1] + (y_ref - y[-1]) / slope)
        if t is not None and (best is None or t < best[0]):
            best = t, moved(np.array([t]))[0]
    if best is None:
        raise _unreachable(name, spell(y_ref), spell(min(ends)), spell(max(ends)))
    return np.asarray(best[1])


def _unreachable(name: str, value: float, low: float, high: float) -> ReferenceUnreachable:
    return ReferenceUnreachable(
        f"reference: {name} cannot be {value:g}; moving the last activations reaches {significant(low, 4)} to "
        f"{significant(high, 4)}. Give a "
        f"number in between, or 'shuffled'."
    )


class _FromReference:
    """A modified gradient whose tanh is explained from a reference and not from 0."""

    def __init__(self, reference: Tensor) -> None:
        self.reference = reference

    def tanh(self, x: Tensor, y: Tensor, r: Tensor) -> Tensor:
        """R (tanh(u) - tanh(u_ref)) / (u - u_ref)."""
        return r * secant(torch.tanh, x, self.reference)


class AttnLRPFrom(_FromReference, AttnLRP):
    """AttnLRP from a reference."""


class CPLRPFrom(_FromReference, CPLRP):
    """CP-LRP from a reference."""


def book_from(book: Rules, reference: Tensor | None) -> Rules:
    """Explain the last tanh from a reference, in the books that are modified gradients.

    Args:
        book: A rule book.
        reference: Pre-activations [B, H], see `Reference.pooled`; None: 0, and the book itself.
    """
    if reference is None:
        return book
    if isinstance(book, CPLRP):
        return CPLRPFrom(reference)
    return AttnLRPFrom(reference) if isinstance(book, AttnLRP) else book


@dataclass(frozen=True, eq=False)
class Reference(Shown):
    """What the outputs of some sequences are compared with.

    Attributes:
        kind: ``shuffled``, ``negatives``, ``training`` or ``number``.
        names: Of the sequences.
        outputs: ``[sequence]``, what is explained of each, y, in float64.
        values: ``[sequence]``, y_ref, in the same unit.
        targets: ``int64 [sequence]``, the output explained.
        count: Reference sequences that each value is a mean over; 0 of a number.
        seed: Of the shuffling.
        model: sha256 of the model, and of the tracks and bins that are explained.
        model_name: Its name, for messages.
        letters: ``[sequence]``, sha256 of each one's letters.
        predicted: ``int64 [sequence]``, the output that is predicted.
        activations: ``[sequence, unit]``, reference activations of the last layer; None where it is not known.
        copies: Shuffled copies, each sequence's one after the other; None of other kinds.

    Example:
        >>> import kmerit as km
        >>> model = km.load_model("bundled:promoter")
        >>> km.reference(model, ["TATAAAGGCGCGCC"], 0.5, target=1)
        <Reference number: 0.5, 1 sequence>
    """

    kind: str
    names: tuple[str, ...]
    outputs: Floats
    values: Floats
    targets: Int64
    count: int
    seed: int
    model: str
    model_name: str
    letters: tuple[str, ...]
    predicted: Int64
    activations: Floats | None = None
    copies: Sequences | None = None

    def __repr__(self) -> str:
        low, high = float(self.values.min()), float(self.values.max())
        span = significant(low, 4) if low == high else f"{significant(low, 4)} to {significant(high, 4)}"
        return f"<Reference {self.kind}: {span}, {len(self.names)} sequence{'' if len(self.names) == 1 else 's'}>"

    def __len__(self) -> int:
        return len(self.names)

    def to_frame(self) -> pd.DataFrame:
        """Return a row per sequence: ``name``, ``target``, ``output``, ``reference`` and their ``difference``.

        Example:
            >>> import kmerit as km
            >>> model = km.load_model("bundled:promoter")
            >>> km.reference(model, ["TATAAAGGCGCGCC"], 0.5, target=1).to_frame()["reference"].tolist()
            [0.5]
        """
        import pandas as pd

        columns = {"name": self.names, "target": self.targets, "output": self.outputs, "reference": self.values}
        return pd.DataFrame({**columns, "difference": self.outputs - self.values})

    @property
    def about(self) -> dict[str, Any]:
        """State it, for the settings of scores: its kind, the mean value, and what it is a mean over."""
        mean = {"kind": self.kind, "mean": float(self.values.mean())}
        return mean | ({"sequences": self.count} if self.count else {}) | ({"seed": self.seed} if self.copies else {})

    def check(self, model: Model, sequences: Sequences, targets: Int64 | None) -> None:
        """Refuse to explain anything else from it: it is of one model, its sequences and their targets, by content.

        Args:
            model: That is explained.
            sequences: Likewise.
            targets: ``[sequence]``, the outputs; None for the predicted ones.

        Raises:
            SequenceError: Sequences of other names or letters.
            UsageError: Another model.
            TargetError: Other outputs, or other tracks and bins.
            ReferenceUnreachable: It is too far for the dtype of the model.

        Example:
            >>> import kmerit as km
            >>> model = km.load_model("bundled:promoter")
            >>> why = km.reference(model, ["TATAAAGGCGCGCC"], 0.5, target=1)
            >>> why.check(model, km.Sequences.from_strings(["GATTACAGATTACA"]), None)
            Traceback (most recent call last):
            kmerit.errors.SequenceError: reference: it is of other sequences: 'seq0' has other letters. ...
        """
        if self.names != sequences.names:
            raise SequenceError(
                f"reference: it is of other sequences, {_few(self.names)}, and these are {_few(sequences.names)}. "
                f"{_AGAIN}"
            )
        self._check_letters(sequences.digests)
        if self.model != model.digest:
            if isinstance(model.encoder, SequenceToFunction) and self.model_name != model.name:
                raise TargetError(
                    f"reference: it is of another target: of {self.model_name!r}, and {model.name!r} is explained. "
                    f"{_AGAIN}"
                )
            raise UsageError(
                f"reference: it is of another model: of {self.model_name!r} (sha256 {self.model[:12]}), and this is "
                f"{model.name!r} ({model.digest[:12]}). {_AGAIN}"
            )
        self._check_targets(self.predicted if targets is None else targets)
        _refuse_too_far(model, self, sequences.lengths)

    def _check_letters(self, digests: tuple[str, ...]) -> None:
        for name, own, other in zip(self.names, self.letters, digests, strict=True):
            if own != other:
                raise SequenceError(f"reference: it is of other sequences: {name!r} has other letters. {_AGAIN}")

    def _check_targets(self, targets: Int64) -> None:
        if not np.array_equal(self.targets, targets):
            row = int(np.flatnonzero(self.targets != targets)[0])
            raise TargetError(
                f"reference: it is of another target: of {self.names[row]!r} it has output {self.targets[row]}, and "
                f"output {targets[row]} is explained. {_AGAIN}"
            )

    def rows(self, names: Iterable[str]) -> Int64:
        """Find sequences by name.

        Example:
            >>> import kmerit as km
            >>> model, strings = km.load_model("bundled:promoter"), ["TATAAAGGCGCGCC"]
            >>> km.reference(model, strings, 0.5, target=1).rows(["seq0"]).tolist()
            [0]
        """
        at = {name: row for row, name in enumerate(self.names)}
        return np.array([at[name] for name in names], dtype=np.int64)

    def pooled(self, names: Iterable[str]) -> Tensor | None:
        """Give the reference before the last tanh [B, H]; None where the network has no such layer.

        Example:
            >>> import kmerit as km
            >>> model, strings = km.load_model("bundled:promoter"), ["TATAAAGGCGCGCC"]
            >>> km.reference(model, strings, 0.5, target=1).pooled(["seq0"]).shape
            torch.Size([1, 192])
        """
        if self.activations is None:
            return None
        a_ref = torch.from_numpy(self.activations[self.rows(names)]).clamp(-_EDGE, _EDGE)
        return torch.atanh(a_ref)

    def baselines(self, names: Iterable[str]) -> list[Sequences]:
        """Give each shuffled copy of some sequences; none of other kinds.

        Example:
            >>> import kmerit as km
            >>> model, strings = km.load_model("bundled:promoter"), ["TATAAAGGCGCGCC"]
            >>> [each.names for each in km.reference(model, strings, "shuffled", copies=2).baselines(["seq0"])]
            [('seq0, copy 0',), ('seq0, copy 1',)]
        """
        if self.copies is None:
            return []
        return [self.copies.take(self.rows(names) * self.count + copy) for copy in range(self.count)]


_AGAIN = "Make it of this model, these sequences and this target: km.reference(model, sequences, ..., target=...)."


def _few(names: tuple[str, ...]) -> str:
    return f"{', '.join(names[:3])}{', ...' if len(names) > 3 else ''} ({len(names)})"


ReferenceLike = Reference | str | float
"""A reference, or what `reference` makes one of."""


def reference(
    model: Model,
    sequences: SequencesLike,
    kind: str | float | None = None,
    *,
    of: SequencesLike | None = None,
    target: int | str | Mapping[str, Any] = "predicted",
    copies: int = COPIES,
    seed: int = 0,
) -> Reference:
    """State what outputs are compared with: relevances then answer "why y and not y_ref?", in the unit of y.

    Args:
        model: What predicts; a value, or any logit.
        sequences: What is explained, as for `attribute`.
        kind: ``shuffled``: the mean over dinucleotide-shuffled copies of the same sequence. ``negatives``: the mean
            over the task's negatives, ``of``. ``training``: the mean of the training values, the labels of ``of`` (of
            sequences without labels, and of classes, the mean prediction); only where what is explained is in their
            unit, that of what the model was trained on. A number: itself; its range is not checked for a wrapped
            module, unless it is an ``nn.Sequential`` that ends in a known activation or linear layer. By default
            ``shuffled``, and where a sequence has no other order of its dinucleotides, ``negatives`` if there are some.
        of: Sequences for ``negatives`` and ``training``.
        target: The output explained, as for `attribute`.
        copies: Shuffled copies of each sequence.
        seed: Of the shuffling; a sequence's name and the seed determine its copies.

    Returns:
        The reference, with y and y_ref of every sequence.

    Raises:
        UsageError: Another kind, one whose sequences are missing, a number that is not finite, or copies or a seed that
            are no whole numbers.
        TargetError: Training values in another unit than the target.
        LabelError: Training labels that are no values of what the model predicts, or of no output that is explained.
        ReferenceUnreachable: A number that the output cannot be, with the range that it can, or one from which secants
            overflow or underflow.
        SequenceError: A sequence that has no other order of its dinucleotides.

    Source: letzgus2022 for references; altschul1985 for shuffling.

    Example:
        >>> import kmerit as km
        >>> model, strings = km.load_model("bundled:promoter"), ["TATAAAGGCGCGCCAATTGGCA"]
        >>> why = km.reference(model, strings, "shuffled", target=1, copies=5)
        >>> why.kind, why.count, len(why.values)
        ('shuffled', 5, 1)
    """
    from kmerit.attribution.attribute import fixed_target

    if not (kind is None or (kind in KINDS if isinstance(kind, str) else _is_finite(kind))):
        raise UsageError(f"reference: expected {', '.join(map(repr, KINDS))} or a finite number, got {short(kind)}.")
    copies, seed = _whole("copies", copies, 1), _whole("seed", seed, 0)
    model, whole = model.of_target(target)
    sequences, exact = as_sequences(sequences), in_float64(model)
    model.check(sequences)
    classes = fixed_target(exact, sequences, whole)
    answers, units = _tops(exact, sequences)
    targets = np.asarray(answers.argmax(1) if classes is None else classes, dtype=np.int64)
    base = Reference(
        "number",
        sequences.names,
        _own(answers, targets),
        np.zeros(0),
        targets,
        0,
        seed,
        model.digest,
        model.name,
        sequences.digests,
        np.asarray(answers.argmax(1), dtype=np.int64),
    )
    if kind is None:
        kind = _preferred(sequences, of)
    if kind == "shuffled":
        rows = _shuffled(sequences, copies, seed)
        answers, states = _tops(exact, rows)
        values = _own(answers, np.repeat(targets, copies)).reshape(-1, copies).mean(1)
        mean = None if states is None else states.reshape(len(sequences), copies, -1).mean(1)
        return replace(base, kind=kind, values=values, count=copies, activations=mean, copies=rows)
    if isinstance(kind, str):
        if of is None:
            raise UsageError(
                f"reference={kind!r} needs its sequences: km.reference(model, sequences, {kind!r}, of=...), "
                f"--reference-sequences FILE."
            )
        other_sequences = as_sequences(of)
        means = _mean_labels(model, other_sequences, targets) if kind == "training" else None
        if means is not None:
            values = _own(np.broadcast_to(means, answers.shape), targets)
            return _at_number(
                exact, replace(base, kind=kind, values=values, count=len(other_sequences)), units, sequences
            )
        others_answers, states = _tops(exact, other_sequences)
        values = _own(np.broadcast_to(others_answers.mean(0), answers.shape), targets)
        mean = None if states is None else np.broadcast_to(states.mean(0), (len(sequences), states.shape[1]))
        return replace(base, kind=kind, values=values, count=len(other_sequences), activations=mean)
    return _at_number(exact, replace(base, values=np.full(len(sequences), float(kind))), units, sequences)


def _is_finite(number: object) -> bool:
    """Return whether it is a number, NumPy's included, and finite."""
    if isinstance(number, bool) or not isinstance(number, Real):
        return False
    try:
        return math.isfinite(number)
    except OverflowError:  # a whole number of over 308 digits
        return False


def _whole(name: str, value: object, least: int) -> int:
    if isinstance(value, bool) or not isinstance(value, Integral) or value < least:
        raise UsageError(f"{name}: expected a whole number from {least}, got {short(value)}.")
    return int(value)


def _mean_labels(model: Model, sequences: Sequences, targets: Int64) -> Floats | None:
    """Average training values ``[output]``, NaN where none are explained; None where there are no values."""
    labels = sequences.labels
    if labels is None or (labels.dtype == np.int64 and not model.regression):
        return None
    if labels.dtype == np.int64:
        raise LabelError(
            f"reference='training': {model.name} predicts values, and the labels are whole numbers, which are classes. "
            f"Give values as floats (labels=[1.0, 2.0]) or in a column 'value' of a file, or sequences without labels, "
            f"of which the mean prediction is taken."
        )
    if not model.regression:
        raise LabelError(
            f"reference='training': {model.name} predicts {model.problem.value}, and the labels are values. Give "
            f"sequences with classes or without labels, of which the mean prediction is taken."
        )
    if model.other_unit is not None:
        raise TargetError(
            f"reference='training': {model.other_unit}. Give 'shuffled', 'negatives' or a number in the unit of the "
            f"target, or explain what the model was trained on."
        )
    if model.n_classes == 1:
        return np.atleast_1d(np.asarray(model.numbered(sequences).labels, dtype=np.float64).mean())
    means = np.full(model.n_classes, np.nan)
    for target in np.unique(targets).tolist():
        if sequences.outputs is None:
            raise LabelError(
                f"reference='training': the sequences have one value each, and {model.name} predicts "
                f"{model.n_classes}: {model.listed}. Name the column of each: label_column, outputs=[...]."
            )
        means[target] = np.asarray(sequences.of_output(model.labels[target]).labels).mean()
    return means


def _preferred(sequences: Sequences, of: SequencesLike | None) -> str | float:
    """Choose the first reference of the order of preference that can be formed."""
    try:
        _shuffled(sequences, 1, 0)
    except SequenceError:
        return "negatives" if of is not None else 0.0
    return "shuffled"


def _own(answers: Floats, targets: Int64) -> Floats:
    return np.asarray(answers[np.arange(targets.size), targets], dtype=np.float64)


def _shuffled(sequences: Sequences, copies: int, seed: int) -> Sequences:
    rows: list[Int8] = []
    names: list[str] = []
    for name, bases in zip(sequences.names, sequences.rows(), strict=True):
        rng = generator(seed, "reference", 0, name)
        shuffles = [dinucleotide_shuffle(bases, rng) for _ in range(copies)]
        if all(np.array_equal(each, bases) for each in shuffles):
            again = [dinucleotide_shuffle(bases, rng) for _ in range(20)]
            if all(np.array_equal(each, bases) for each in again):
                raise SequenceError(
                    f"{name!r} has no other order of its dinucleotides, so shuffled copies of it are the sequence "
                    f"itself. Give another reference: 'negatives', or a number."
                )
        rows += shuffles
        names += [f"{name}, copy {copy}" for copy in range(copies)]
    return Sequences.from_strings([decode(each) for each in rows], names=names)


def _tops(model: Model, sequences: Sequences) -> tuple[Floats, Floats | None]:
    """Predict ``[sequence, output]``, and give what the last layer reads, ``[sequence, unit]``, where that is known."""
    network, last = model.encoder, _last(model)
    if last is None:
        return np.asarray(model.logits(sequences), dtype=np.float64), None
    answers, states = [], []
    order = np.argsort(sequences.lengths, kind="stable")
    for part in slices(len(sequences), model):
        batch = sequences.take(order[part])
        ids, mask = model.tensors(model.tokenize(*batch.padded()))
        with torch.inference_mode():
            if isinstance(network, Encoder):
                tape = network.record(network.embed(network.look_up(ids, mask)), mask)
                state, answer = tape.activated, tape.logits
            else:
                inputs: list[Tensor] = []
                hook = last.layer.register_forward_pre_hook(lambda _, args, inputs=inputs: inputs.append(args[0]))
                try:
                    answer = network.logits(ids, mask)
                finally:
                    hook.remove()
                state = inputs[-1].reshape(len(batch), -1)
        answers.append(answer.cpu().numpy())
        states.append(state.cpu().numpy())
    back = np.argsort(order, kind="stable")
    return np.concatenate(answers)[back], np.concatenate(states)[back]


@dataclass(frozen=True)
class _Last:
    """The last linear layer, and what its inputs can be."""

    layer: Any
    weight: Floats  # [output, unit]
    bias: Floats  # [output]
    low: float
    high: float


_RANGES: Mapping[type[nn.Module], tuple[float, float]] = {
    nn.ReLU: (0.0, np.inf),
    nn.Tanh: (-1.0, 1.0),
    nn.Sigmoid: (0.0, 1.0),
    nn.GELU: (-0.16997120747990369, np.inf),
}
"""What activations lie between."""


def _last(model: Model) -> _Last | None:
    """Describe the last layer, of kmerit's own encoder and of wrapped sequential modules; None of others."""
    network = model.encoder
    if isinstance(network, Encoder):
        own = network.classifier
        return _Last(own, _array(own.weight), _array(own.bias), -1.0, 1.0)
    if not isinstance(network, OneHotNetwork) or network.chosen is not None:
        return None
    parts, end = _ending(network.module)
    if end is not None and end.latent is None:
        return None
    if len(parts) < 2 or not isinstance(parts[-1], nn.Linear) or type(parts[-2]) not in _RANGES:
        return None
    if parts[-1].out_features != network.width:
        return None
    layer = parts[-1]
    bias = np.zeros(layer.out_features) if layer.bias is None else _array(layer.bias)
    return _Last(layer, _array(layer.weight), bias, *_RANGES[type(parts[-2])])


@dataclass(frozen=True)
class _End:
    """What an activation that ends a network can answer.

    Attributes:
        name: Of the activation.
        low: No answer is below.
        high: No answer is above.
        closed: Whether the two are answers themselves.
        answer: From what it reads to what it answers; None where the inverse is not known.
        latent: The inverse.
    """

    name: str
    low: float
    high: float
    closed: bool = False
    answer: Callable[[float], float] | None = None
    latent: Callable[[Floats], Floats] | None = None

    def has(self, values: Floats) -> Bool:
        """Return which values it can answer."""
        inside = (self.low < values) & (values < self.high)
        ends = ((values == self.low) | (values == self.high)) & np.isfinite(values)
        return np.asarray(inside | ends if self.closed else inside, dtype=np.bool_)

    @property
    def words(self) -> str:
        if self.low == -np.inf:
            return f"below {self.high:g}"
        if self.high == np.inf:
            return f"at least {self.low:g}" if self.closed else f"above {self.low:g}"
        return f"{'from' if self.closed else 'between'} {self.low:g} {'to' if self.closed else 'and'} {self.high:g}"


def _softplus_end(beta: float = 1.0) -> _End:
    def answer(z: float) -> float:
        return float(np.logaddexp(0, beta * z)) / beta

    def latent(y: Floats) -> Floats:
        return y + np.log(-np.expm1(-beta * y)) / beta  # log(expm1(beta y)) / beta, which does not overflow

    return _End("softplus", 0.0, np.inf, answer=answer, latent=latent)


_ENDS: Mapping[type[nn.Module], Callable[[Any], _End]] = {
    nn.Softplus: lambda part: _softplus_end(part.beta),
    nn.Sigmoid: lambda part: _End("sigmoid", 0.0, 1.0, answer=_sigmoid, latent=lambda y: np.log(y) - np.log1p(-y)),
    nn.Tanh: lambda part: _End("tanh", -1.0, 1.0, answer=lambda z: float(np.tanh(z)), latent=np.arctanh),
    nn.ReLU: lambda part: _End("ReLU", 0.0, np.inf, True, answer=lambda z: max(z, 0.0), latent=lambda y: y),
    nn.ReLU6: lambda part: _End("ReLU6", 0.0, 6.0, True),
    nn.Hardsigmoid: lambda part: _End("hardsigmoid", 0.0, 1.0, True),
    nn.Hardtanh: lambda part: _End("hardtanh", part.min_val, part.max_val, True),
    nn.Softsign: lambda part: _End("softsign", -1.0, 1.0),
    nn.LogSigmoid: lambda part: _End("log-sigmoid", -np.inf, 0.0),
    nn.ELU: lambda part: _End("ELU", -part.alpha, np.inf),
    nn.GELU: lambda part: _End("GELU", _RANGES[nn.GELU][0], np.inf, True),
}
"""Activations that leave values out."""
_KEEPING = (
    nn.Flatten,
    nn.Unflatten,
    nn.AdaptiveAvgPool1d,
    nn.AdaptiveMaxPool1d,
)
"""Layers that move values, or average them: none leaves the range that they lie in."""


def _sigmoid(z: float) -> float:
    return float(np.exp(-np.logaddexp(0, -z)))


def _ending(module: nn.Module) -> tuple[list[nn.Module], _End | None]:
    """List a module's parts without an activation that ends it, and describe that."""
    parts = [each for each in _parts(module) if not isinstance(each, _DROPPED)]
    while parts and type(parts[-1]) in _KEEPING:
        parts.pop()
    if not parts or type(parts[-1]) not in _ENDS or (isinstance(parts[-1], nn.Softplus) and not parts[-1].beta > 0):
        return parts, None
    end = _ENDS[type(parts[-1])](parts.pop())
    while parts and type(parts[-1]) in _KEEPING:
        parts.pop()
    return parts, end


def _end(model: Model) -> _End | None:
    """Describe the activation that ends a network and leaves values out; None where none is known."""
    network = model.encoder
    if isinstance(network, SequenceToFunction):
        positive = network.aggregate is not None and network.aggregate.how in ("mean", "sum")
        return _softplus_end() if positive else None
    return _ending(network.module)[1] if isinstance(network, OneHotNetwork) and not network.asks else None


def _parts(module: nn.Module) -> Iterator[nn.Module]:
    if type(module) is nn.Sequential:
        for each in module:
            yield from _parts(each)
    else:
        yield module


def _array(tensor: Tensor) -> Floats:
    return np.asarray(tensor.detach().cpu().numpy(), dtype=np.float64)


def _refuse_too_far(model: Model, reference: Reference, lengths: Int64) -> None:
    """Refuse values from which the secants of a model of tracks overflow or underflow in its dtype.

    Raises:
        ReferenceUnreachable: With the values between which they do not.
    """
    network = model.encoder
    if not isinstance(network, SequenceToFunction) or network.aggregate is None:
        return
    for length in np.unique(lengths).tolist():
        low, high = network.aggregate.span(model.dtype, len(network.numbers(length)) * len(network.tracks))
        values = reference.values[lengths == length]
        if (far := values[~((low <= values) & (values <= high))]).size:
            dtype = str(model.dtype).removeprefix("torch.")
            remedy = (
                "" if model.dtype == torch.float64 else ", or load the model with dtype='float64' (--dtype float64)"
            )
            raise ReferenceUnreachable(
                f"reference: {far[0]:g} is too far for {dtype}, in which secants from there overflow or underflow. "
                f"Give a number from {significant(low, 3)} to {significant(high, 3)}, or 'shuffled'{remedy}."
            )


def _at_number(model: Model, base: Reference, units: Floats | None, sequences: Sequences) -> Reference:
    """Find the activations at which the output is a number, or refuse it."""
    last, end, latent, name = _last(model), _end(model), base.values, model.labels[int(base.targets[0])]
    if not np.isfinite(latent).all():
        raise UsageError(f"reference: expected finite values, got {latent[~np.isfinite(latent)][0]:g} ({base.kind}).")
    if end is not None and (odd := latent[~end.has(latent)]).size:
        raise ReferenceUnreachable(
            f"reference: {name} cannot be {odd[0]:g}: it ends in {end.name} and is {end.words}. Give a number "
            f"{end.words}, or 'shuffled'."
        )
    _refuse_too_far(model, base, sequences.lengths)
    if last is None or units is None or units.shape[1] != last.weight.shape[1]:
        return base
    if end is not None and end.latent is not None:
        if end.closed and (latent == end.low).any():  # of every number below
            return base
        latent = end.latent(latent)
    spell: Callable[[float], float] = float if end is None or end.answer is None else end.answer
    rows = zip(units, base.targets.tolist(), latent.tolist(), strict=True)
    states = [flooded(a, last.weight[t], float(last.bias[t]), y, last.low, last.high, name, spell) for a, t, y in rows]
    return replace(base, activations=np.stack(states))


def completeness(attributions: Mapping[str, Attribution], reference: Reference) -> pd.DataFrame:
    """Compare what relevances add up to with y - y_ref, sequence by sequence.

    Args:
        attributions: Scores by method, of `attribute` with this reference.
        reference: Of the same sequences and targets.

    Returns:
        A row for each method and sequence: ``method``, ``name``, ``output`` (y), ``reference`` (y_ref), ``sum`` of the
        relevances over all tokens, ``missed`` (y - y_ref - sum) and its ``share`` of y - y_ref. What CP-LRP and AttnLRP
        miss is what their ledger says that no input received.

    Raises:
        SequenceError: Scores of other sequences.
        UsageError, TargetError: Scores of another model, from another reference, of another target.
        NotFinite: What is missed is no number.

    Example:
        >>> import kmerit as km
        >>> model, strings = km.load_model("bundled:promoter"), ["TATAAAGGCGCGCCAATTGGCA"]
        >>> why = km.reference(model, strings, target=1, copies=2)
        >>> scores = km.attribute(model, strings, ["integrated_gradients"], target=1, reference=why)
        >>> bool(completeness(scores, why)["share"].max() < 0.01)
        True
    """
    import pandas as pd

    frames = []
    for method, each in attributions.items():
        if each.names != reference.names:
            raise SequenceError(f"{method} has scores of other sequences than the reference. Make both of the same.")
        if "reference" in each.settings:
            _check_scores(method, each, reference)
            change, total = reference.outputs - reference.values, each.diagnostics["relevance_sum"]
            if not np.isfinite(change - total).all():
                row = int(np.flatnonzero(~np.isfinite(change - total))[0])
                raise NotFinite(f"{method}: what its scores of {each.names[row]!r} miss of y - y_ref is not finite.")
            with np.errstate(divide="ignore", invalid="ignore"):
                share = np.abs(change - total) / np.abs(change)
            columns = {"output": reference.outputs, "reference": reference.values, "sum": total}
            frames.append(
                pd.DataFrame(
                    {"method": method, "name": each.names, **columns, "missed": change - total, "share": share}
                )
            )
    if not frames:
        raise UsageError("None of these scores were made with a reference: km.attribute(..., reference=...).")
    return pd.concat(frames, ignore_index=True)


def _check_scores(method: str, scores: Attribution, reference: Reference) -> None:
    """Refuse scores of other letters, another model, another target or another reference.

    Raises:
        SequenceError: Other letters.
        UsageError: Another model or another reference.
        TargetError: Another target.
    """
    whose = scores.sequences if scores.identity is None else scores.identity
    if whose is not None:
        reference._check_letters(whose.digests)
    if scores.settings.get("model") != reference.model:
        other = str(scores.settings.get("model"))[:12]
        raise UsageError(
            f"reference: it is of another model, or of other tracks and bins, than the scores of {method}: of "
            f"{reference.model_name!r}, sha256 {reference.model[:12]}, and they of {other}. {_AGAIN}"
        )
    reference._check_targets(scores.target)
    if scores.settings["reference"] != reference.about:
        raise UsageError(
            f"reference: the scores of {method} were made from another one: {short(scores.settings['reference'])}, and "
            f"this is {short(reference.about)}. Give the one that they were made from."
        )


def agreement_of(by_reference: Mapping[str, Mapping[str, Attribution]]) -> pd.DataFrame:
    """Measure how much a ranking depends on the reference: Kendall's tau between the scores by two references.

    Args:
        by_reference: By the reference's name, scores by method.

    Returns:
        A row for each method and pair of references: ``method``, ``one``, ``other``, ``sequences``, and ``tau``, the
        mean over them; NaN where scores have no order.

    Example:
        >>> import kmerit as km
        >>> scores = km.attribute(km.load_model("bundled:promoter"), ["TATAAAGGCGCGCC"], ["saliency"])
        >>> agreement_of({"one": scores, "same": scores})[["one", "other", "tau"]].values.tolist()
        [['one', 'same', 1.0]]
    """
    import pandas as pd
    from scipy.stats import kendalltau

    rows = []
    for one, other in combinations(by_reference, 2):
        for method in by_reference[one]:
            pairs = zip(by_reference[one][method].scores, by_reference[other][method].scores, strict=True)
            finite = ((a[np.isfinite(a)], b[np.isfinite(b)]) for a, b in pairs)
            taus = np.array([kendalltau(a, b).statistic for a, b in finite if a.size and b.size])  # else withheld
            finite_taus = taus[np.isfinite(taus)]
            tau = float(finite_taus.mean()) if finite_taus.size else np.nan
            rows.append({"method": method, "one": one, "other": other, "sequences": finite_taus.size, "tau": tau})
    return pd.DataFrame(rows, columns=["method", "one", "other", "sequences", "tau"])
