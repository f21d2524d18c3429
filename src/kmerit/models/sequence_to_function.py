"""Sequence-to-function models: from one-hot nucleotides to values of many tracks in many bins, and one value of them.

Each nucleotide is a token, and its embedding its one-hot row: scores are exact nucleotides, and a gradient holds the
contribution of every base at every place. Such a model has no single output. What is explained is an aggregate of
tracks and bins, which `Aggregate` names; it is one value.

Letters in the margin: B sequences, T nucleotides, N bins, H hidden units, h heads, d units of a head, C tracks.
"""

from __future__ import annotations

import json
import math
from abc import abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Literal, Self, get_args

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from kmerit.errors import CheckpointError, LengthError, TargetError
from kmerit.models.checkpoint import Checkpoint
from kmerit.models.differentiable import Affine, Convolution, Differentiable, LayerNorm, Operations, heads
from kmerit.models.layers import Rotation
from kmerit.models.tokenizers import Survey
from kmerit.sequences import Int8, Int64, N, Sequences, Tokens

How = Literal["mean", "sum", "log_mean", "log_ratio"]
_KEYS = ("tracks", "bins", "how", "to")
_NAMED = 5
"""Tracks that a message names."""
EXAMPLE = 'target={"tracks": [0], "bins": "center", "how": "mean"}'


@dataclass(frozen=True)
class Nucleotides:
    """The tokeniser of a sequence-to-function model: each nucleotide is a token, and its id the number of its base.

    Attributes:
        shortest: Nucleotides a sequence needs at least.
        multiple: Of which each length must be one.
    """

    shortest: int
    multiple: int = 1

    special = 0
    mask_id = N
    """One-hot, an unknown base is all zeros."""

    def __call__(self, bases: Int8, lengths: Int64) -> Tokens:
        """Tokenise a micro-batch: bases ``int8 [sequence, position]``."""
        mask = np.arange(bases.shape[1]) < lengths[:, None]
        start = np.broadcast_to(np.arange(bases.shape[1], dtype=np.int32), bases.shape)
        spans = np.stack([start, start + 1], axis=-1) * mask[..., None]
        return Tokens(np.where(mask, bases, N).astype(np.int64), mask, spans.astype(np.int32))

    def survey(self, sequences: Sequences) -> Survey:
        """Count tokens, and look for N.

        Raises:
            LengthError: A length that is no multiple.
        """
        odd = np.flatnonzero(sequences.lengths % self.multiple)
        if odd.size:
            length = int(sequences.lengths[odd[0]])
            multiple = length - length % self.multiple
            raise LengthError(
                f"{sequences.names[int(odd[0])]!r} has {length} nt; the model pools, and takes multiples of "
                f"{self.multiple}. Crop it: km.prepare(sequences, crop=km.Crop({multiple})), --crop {multiple}."
            )
        unknown = np.flatnonzero(sequences.bases == N)
        where = None
        if unknown.size:
            row = int(np.searchsorted(sequences.offsets, unknown[0], side="right")) - 1
            where = (row, int(unknown[0] - sequences.offsets[row]))
        return Survey(sequences.lengths, where)


@dataclass(frozen=True)
class Aggregate:
    """Which bins of the tracks that were kept are explained, and how they become one value.

    Attributes:
        bins: ``center`` (the one with the sequence's middle nucleotide), ``all``, or numbers from 0 after the crop.
        how: ``mean`` or ``sum`` over tracks and bins, ``log_mean`` (natural logarithm of the mean), ``log_ratio`` (of
            the mean of the first tracks to that of the others).
        first: How many of the tracks come before those that they are compared to.
    """

    bins: Literal["center", "all"] | tuple[int, ...]
    how: How
    first: int

    def __call__(self, latent: Tensor, ops: Operations, start: Tensor | None = None) -> Tensor:
        """Compute the explained value [B].

        Each step is monotone and a step of its own, so that a rule book may give it its secant.

        Args:
            latent: What the last layer answers, before softplus: [B, N, C], the bins and tracks wanted.
            ops: The operations of the pass.
            start: The value [B] that secants are taken from, with all tracks and bins alike; None: where the last layer
                answers 0. A log-ratio is 0 wherever all are alike, and starts where the last layer answers 0.
        """
        level = self._level(start, latent)
        values = ops.step(F.softplus, latent, _before_softplus(level)[:, None, None])
        if self.how == "sum":
            return values.sum((1, 2))
        mean = values[..., : self.first].mean((1, 2))
        if self.how == "mean":
            return mean
        log = ops.step(torch.log, mean, level)
        if self.how == "log_mean":
            return log
        return log - ops.step(torch.log, values[..., self.first :].mean((1, 2)), level)

    def span(self, dtype: torch.dtype, count: int) -> tuple[float, float]:
        """Say between which values secants neither overflow nor lose digits in a dtype.

        Args:
            dtype: What the model computes in.
            count: Bins times tracks that are explained.
        """
        if self.how == "log_ratio":  # starts where the last layer answers 0, for any value
            return -math.inf, math.inf
        low, high = 2 * torch.finfo(dtype).tiny, torch.finfo(dtype).max / 2  # a factor of 2 for rounding
        if self.how == "log_mean":
            return math.log(low), math.log(high)
        return (low * count if self.how == "sum" else low), high

    def _level(self, start: Tensor | None, latent: Tensor) -> Tensor:
        """Find what all tracks and bins are where the value is the start: [B], or [1] for all sequences."""
        if start is None or self.how == "log_ratio":
            return latent.new_full((1,), math.log(2))  # softplus of 0
        if self.how == "log_mean":
            return start.exp()
        return start / latent[0].numel() if self.how == "sum" else start


def _before_softplus(y: Tensor) -> Tensor:
    """Invert softplus: log(expm1(y)), which does not overflow."""
    return y + torch.log(-torch.expm1(-y))


@dataclass(frozen=True, eq=False)
class SequenceToFunction(Differentiable):
    """A network from one-hot nucleotides to positive values in bins: a trunk, a crop, one linear layer, softplus.

    ``words`` are the one-hot rows of ACGT, and zeros for N. ``head`` is the last layer of all tracks, one after the
    other, or of those that are explained.

    Attributes:
        tracks: Names of the tracks, in their order.
        width: Nucleotides of a bin.
        kept_bins: Bins that the crop keeps; None: all.
        aggregate: What is explained; None until it is chosen, and then the network has no answer.
        start: The value of each sequence of a batch [B] that rule books explain the rise from, see `Aggregate`.
    """

    tracks: tuple[str, ...]
    width: int
    kept_bins: int | None
    aggregate: Aggregate | None
    start: Tensor | None = field(default=None, kw_only=True)

    @abstractmethod
    def trunk(self, x: Tensor, ops: Operations) -> Tensor:
        """Compute all bins before the crop: [B, N, H], from one-hot [B, T, 4]."""

    def finish(self, x: Tensor, ops: Operations) -> Tensor:
        """Compute what the last layer reads, from bins after the crop, place by place: [B, N, H]."""
        return x

    @abstractmethod
    def bins_before(self, length: int) -> int:
        """Count the bins before the crop of a sequence of this length."""

    def trimmed(self, bins: int) -> int:
        """Count the bins that the crop takes off each end.

        Raises:
            LengthError: There are fewer than it keeps.
        """
        if self.kept_bins is None:
            return 0
        if bins < self.kept_bins:
            raise LengthError(
                f"{bins} bins of {self.width} nt; the model answers for {self.kept_bins}. Give longer sequences."
            )
        return -((self.kept_bins - bins) // 2)

    def bins(self, length: int) -> int:
        """Count the bins that are answered for, after the crop; one more is taken off where it cannot be even."""
        before = self.bins_before(length)
        return before - 2 * self.trimmed(before)

    def numbers(self, length: int) -> list[int]:
        """List the bins that are explained, counted after the crop.

        Raises:
            TargetError: The sequence has no such bin, or none is chosen.
        """
        if self.aggregate is None:
            raise self.undecided("This model")
        count = self.bins(length)
        if self.aggregate.bins == "all":
            return list(range(count))
        if self.aggregate.bins == "center":
            return [min(max(length // 2 // self.width - self.trimmed(self.bins_before(length)), 0), count - 1)]
        for number in self.aggregate.bins:
            if number >= count:
                raise TargetError(f"target: there is no bin {number}; a sequence of {length} nt has {count}, from 0.")
        return list(self.aggregate.bins)

    def undecided(self, name: str) -> TargetError:
        """Say that tracks and bins must be named first."""
        rest = ", ..." if len(self.tracks) > _NAMED else ""
        return TargetError(
            f"target: {name} predicts {len(self.tracks)} tracks in bins of {self.width} nt; say what of them is "
            f"explained, as in {EXAMPLE}. Tracks: {', '.join(self.tracks[:_NAMED])}{rest}."
        )

    def explaining(self, target: Mapping[str, Any], name: str) -> Self:
        """Keep the tracks and bins of a target, and make one value of them.

        Raises:
            TargetError: Keys or values that are not understood, or tracks that do not exist.
        """
        aggregate, rows = read_target(target, self.tracks, name)
        weight, bias = self.head.weight[rows], None if self.head.bias is None else self.head.bias[rows]
        kept_tracks = tuple(self.tracks[row] for row in rows)
        return replace(self, head=Affine(weight, bias), tracks=kept_tracks, aggregate=aggregate)

    @property
    def outputs(self) -> int:
        """One value, or the tracks of which none is chosen."""
        return len(self.tracks) if self.aggregate is None else 1

    def of_output(self, index: int, asks: bool) -> Self:
        """There is one output, or none is chosen."""
        if self.aggregate is None:
            raise self.undecided("This model")
        return self

    def latent(self, x: Tensor, ops: Operations, numbers: list[int] | None = None) -> Tensor:
        """Compute what the last layer answers, before softplus: [B, N, C].

        Args:
            x: One-hot [B, T, 4].
            ops: The operations of the pass.
            numbers: Which bins after the crop; by default all.
        """
        bins = self.trunk(x, ops)
        trim = self.trimmed(bins.shape[1])
        bins = bins[:, trim : bins.shape[1] - trim]
        return self.head(self.finish(bins if numbers is None else bins[:, numbers], ops))

    def run(self, x: Tensor, mask: Tensor, ops: Operations, attentions: list[Tensor]) -> Tensor:
        """Compute the explained value [B, 1]; attention is not shown."""
        if self.aggregate is None:
            raise self.undecided("This model")
        latent = self.latent(x, ops, self.numbers(x.shape[1]))
        return self.aggregate(latent, ops, self.start)[:, None]

    def profile(self, x: Tensor) -> Tensor:
        """Compute the values of all tracks that there are, in all bins after the crop: [B, N, C], from one-hot."""
        return F.softplus(self.latent(x, Operations()))


def one_hot_rows(dtype: torch.dtype) -> Tensor:
    """Return the one-hot rows of A, C, G, T, and zeros for N: [5, 4]."""
    return torch.cat([torch.eye(4), torch.zeros(1, 4)]).to(dtype)


def read_target(target: Mapping[str, Any], tracks: tuple[str, ...], name: str) -> tuple[Aggregate, list[int]]:
    """Read which tracks and bins are explained.

    Args:
        target: ``tracks``: names or numbers of tracks, or ``all``; ``bins`` and ``how`` as in `Aggregate` (by default
            ``center`` and ``mean``); ``to``: for ``log_ratio``, the tracks that they are compared to.
        tracks: Names of those there are.
        name: Of the model, for errors.

    Returns:
        What is made of them, and their numbers; those of ``to`` come last.

    Raises:
        TargetError: Something else.
    """
    if odd := [key for key in target if key not in _KEYS]:
        raise TargetError(f"target: {odd[0]!r} is not a key; expected {', '.join(_KEYS)}, as in {EXAMPLE}.")
    if "tracks" not in target:
        raise TargetError(f"target: names no tracks; expected names or numbers, as in {EXAMPLE}.")
    bins, how = target.get("bins", "center"), target.get("how", "mean")
    if how not in get_args(How):
        raise TargetError(f"target: how is {how!r}; expected one of {', '.join(get_args(How))}.")
    if isinstance(bins, list | tuple | range):
        bins = tuple(bins)
        if not bins or not all(type(each) is int and each >= 0 for each in bins) or len(set(bins)) < len(bins):
            raise TargetError(f"target: bins are {list(bins)[:5]}; expected distinct whole numbers from 0.")
    elif bins not in ("center", "all"):
        raise TargetError(f"target: bins is {bins!r}; expected 'center', 'all' or a list of numbers.")
    if (how == "log_ratio") != ("to" in target):
        raise TargetError("target: how='log_ratio' compares tracks to others, named by 'to'; give both or neither.")
    rows = _rows(target["tracks"], tracks, name)
    reference_rows = _rows(target["to"], tracks, name) if "to" in target else []
    return Aggregate(bins, how, len(rows)), rows + reference_rows


def _rows(chosen: Any, tracks: tuple[str, ...], name: str) -> list[int]:
    """Find tracks by names or numbers."""
    if chosen == "all":
        return list(range(len(tracks)))
    if not isinstance(chosen, list | tuple | range) or not len(chosen):
        raise TargetError(f"target: tracks are {chosen!r}; expected a list of names or numbers, or 'all'.")
    rows = []
    for each in chosen:
        if type(each) is int and 0 <= each < len(tracks):
            rows.append(each)
        elif isinstance(each, str) and tracks.count(each) == 1:
            rows.append(tracks.index(each))
        else:
            rest = ", ..." if len(tracks) > _NAMED else ""
            raise TargetError(
                f"target: there is no track {each!r}; {name} has {len(tracks)}: {', '.join(tracks[:_NAMED])}{rest}."
            )
    if len(set(rows)) < len(rows):
        raise TargetError(f"target: a track is named twice in {list(chosen)[:5]}.")
    return rows


def described(target: Mapping[str, Any]) -> str:
    """Describe a target in one line, always the same for the same.

    Example:
        >>> described({"tracks": [0, 3], "how": "log_mean"})
        'log_mean of tracks 0, 3 at center'
        >>> described({"tracks": [0], "bins": "all"})
        'mean of tracks 0 over all bins'
    """

    def listed(value: Any) -> str:
        return value if isinstance(value, str) else ", ".join(map(str, value))

    bins = target.get("bins", "center")
    bins_text = {"all": "over all bins", "center": "at center"}.get(str(bins)) or f"in bins {listed(bins)}"
    to = f" to {listed(target['to'])}" if "to" in target else ""
    return f"{target.get('how', 'mean')} of tracks {listed(target['tracks'])}{to} {bins_text}"


def canonical(target: Mapping[str, Any]) -> str:
    """Write a target as JSON, for digests."""
    plain = {key: value if isinstance(value, str) else list(value) for key, value in target.items()}
    return json.dumps({"bins": "center", "how": "mean"} | plain, sort_keys=True)


@dataclass(frozen=True, eq=False)
class BatchNorm:
    """Batch normalisation with the statistics of the training: a scale and an offset of each unit; [B, H, N]."""

    weight: Tensor
    bias: Tensor

    def __call__(self, x: Tensor) -> Tensor:
        return x * self.weight[:, None] + self.bias[:, None]

    @classmethod
    def of(cls, checkpoint: Checkpoint, key: str, units: int, eps: float) -> Self:
        """Take scale, offset and the statistics.

        Raises:
            CheckpointError: A tensor is missing or of another shape.
        """
        names = ("weight", "bias", "running_mean", "running_var")
        scale, offset, mean, variance = (checkpoint.tensor(f"{key}.{name}", units).double() for name in names)
        if f"{key}.num_batches_tracked" in checkpoint.tensors:
            checkpoint.used([f"{key}.num_batches_tracked"])
        scale = scale * (variance + eps).rsqrt()
        dtype = checkpoint.dtype or torch.float32
        return cls(scale.to(dtype), (offset - mean * scale).to(dtype))


@dataclass(frozen=True, eq=False)
class Block:
    """A norm, a nonlinearity and a convolution."""

    norm: BatchNorm
    gelu: Callable[[Tensor], Tensor]
    convolution: Convolution

    def __call__(self, x: Tensor, ops: Operations) -> Tensor:
        return self.convolution(ops.activate(self.gelu, self.norm(x)))


@dataclass(frozen=True, eq=False)
class RelativeAttention:
    """Attention whose scores have a part for what is compared, and a part for how far apart it is."""

    query: Affine
    key: Affine
    value: Affine
    output: Affine
    distance: Affine  # from the features of a distance to a key
    content_bias: Tensor  # [h, 1, d]
    place_query: Tensor  # [h, 1, d]   what every query asks of distances

    def __call__(self, x: Tensor, features: Tensor, ops: Operations) -> Tensor:
        """Attend.

        Args:
            x: [B, N, H].
            features: Of the distances from -(N - 1) to N - 1: [2N - 1, F].
            ops: The operations of the pass.
        """
        count = len(self.content_bias)
        q, k, v = (heads(part(x), count) for part in (self.query, self.key, self.value))
        places = heads(self.distance(ops.position(features))[None], count)  # [1, h, 2N - 1, d]
        q = q * q.shape[-1] ** -0.5
        content = ops.compare(q + self.content_bias, k)
        scores = content + _by_distance(ops.compare(q + ops.position(self.place_query), places))
        mixed = ops.mix(scores.softmax(-1), v)
        return self.output(mixed.transpose(1, 2).flatten(2))

    @classmethod
    def of(
        cls, checkpoint: Checkpoint, key: str, hidden: int, count: int, units: tuple[int, int], features: int
    ) -> Self:
        """Take the weights.

        Args:
            checkpoint: Where they are.
            key: Of the layer.
            hidden: Units of what is attended.
            count: Of heads.
            units: Of a head's key, and of its value.
            features: Of a distance.

        Raises:
            CheckpointError: A tensor is missing or of another shape.
        """
        of_key, of_value = units

        def plain(name: str, n_out: int, n_in: int = hidden) -> Affine:
            return Affine.of(checkpoint, f"{key}.{name}", n_out, n_in, bias=False)

        return cls(
            query=plain("to_q", count * of_key),
            key=plain("to_k", count * of_key),
            value=plain("to_v", count * of_value),
            output=Affine.of(checkpoint, f"{key}.to_out", hidden, count * of_value),
            distance=plain("to_rel_k", count * of_key, features),
            content_bias=checkpoint.tensor(f"{key}.rel_content_bias", 1, count, 1, of_key)[0],
            place_query=checkpoint.tensor(f"{key}.rel_pos_bias", 1, count, 1, of_key)[0],
        )


@dataclass(frozen=True, eq=False)
class RotaryAttention:
    """Attention whose queries and keys are turned by their places; several queries share a key and its value."""

    enter: Affine  # queries, keys and values, one below the other
    output: Affine
    count: int  # of queries' heads
    shared: int  # of keys' heads
    rotary_units: int  # units of each head, the first ones
    base: float

    def __call__(self, x: Tensor, ops: Operations) -> Tensor:
        """Attend: [B, N, H]."""
        size = len(self.output.weight) // self.count
        parts = torch.split(self.enter(x), [self.count * size, self.shared * size, self.shared * size], -1)
        q, k, v = (heads(part, n) for part, n in zip(parts, (self.count, self.shared, self.shared), strict=True))
        turn = Rotation.of(x.shape[1], self.rotary_units, self.base)
        turn = Rotation(turn.cos.to(x), turn.sin.to(x))
        q, k = (
            torch.cat([turn(each[..., : self.rotary_units]), each[..., self.rotary_units :]], -1) for each in (q, k)
        )
        k, v = (each.repeat_interleave(self.count // self.shared, 1) for each in (k, v))
        attention = (ops.compare(q, k) * size**-0.5).softmax(-1)
        return self.output(ops.mix(attention, v).transpose(1, 2).flatten(2))


@dataclass(frozen=True, eq=False)
class AttentionLayer:
    """Attention and a feed-forward, a norm before each."""

    before_attention: LayerNorm
    attention: RelativeAttention | RotaryAttention
    before_feed: LayerNorm
    up: Affine
    down: Affine

    def __call__(self, x: Tensor, features: Tensor | None, ops: Operations) -> Tensor:
        """Apply both to [B, N, H]; the features are those of distances, for attention that compares them."""
        entered = self.before_attention(x, ops)
        if isinstance(self.attention, RotaryAttention):
            x = x + self.attention(entered, ops)
        else:
            assert features is not None  # for the type checker: who builds the layers computes them
            x = x + self.attention(entered, features, ops)
        return x + self.down(ops.activate(F.relu, self.up(self.before_feed(x, ops))))

    @classmethod
    def of(
        cls, checkpoint: Checkpoint, index: int, hidden: int, attention: RelativeAttention | RotaryAttention, eps: float
    ) -> Self:
        """Take norms and feed-forward of a layer, by the names of enformer-pytorch.

        Raises:
            CheckpointError: A tensor is missing or of another shape.
        """
        first, second = (f"transformer.{index}.{i}.fn" for i in range(2))

        def norm(key: str) -> LayerNorm:
            return LayerNorm(checkpoint.tensor(f"{key}.weight", hidden), checkpoint.tensor(f"{key}.bias", hidden), eps)

        return cls(
            before_attention=norm(f"{first}.0"),
            attention=attention,
            before_feed=norm(f"{second}.0"),
            up=Affine.of(checkpoint, f"{second}.1", 2 * hidden, hidden),
            down=Affine.of(checkpoint, f"{second}.4", hidden, 2 * hidden),
        )


def read_kept(checkpoint: Checkpoint, key: str) -> int | None:
    """Read how many bins a crop keeps; None for all.

    Raises:
        CheckpointError: Neither a positive number nor -1.
    """
    kept = checkpoint.config.get(key)
    if not isinstance(kept, int) or isinstance(kept, bool) or (kept != -1 and kept < 1):
        raise CheckpointError(f"{checkpoint.name}: {key} is {kept!r} in config.json; expected bins, or -1 for all.")
    return None if kept == -1 else kept


def stacked(parts: Mapping[str, Affine]) -> tuple[Affine, tuple[str, ...]]:
    """Put the last layers of several heads one below the other, and name their tracks ``head:number``."""
    bias = torch.cat([part.bias for part in parts.values() if part.bias is not None])
    names = tuple(f"{name}:{i}" for name, part in parts.items() for i in range(len(part.weight)))
    return Affine(torch.cat([part.weight for part in parts.values()]), bias), names


def _by_distance(scores: Tensor) -> Tensor:
    """From scores by distance, [B, h, N, 2N - 1], to scores by place [B, h, N, N]: at (i, j) that of j - i."""
    count = scores.shape[2]
    if count == 1:
        return scores
    # Of a row of distances, the next one's begins one further to the left: rows of 2N - 2 numbers.
    start, row = count - 1, 2 * count - 2
    return scores.flatten(2)[..., start : start + count * row].reshape(*scores.shape[:3], row)[..., :count]


def signed(features: Tensor, distances: Tensor) -> Tensor:
    """Append to features of distances [D, F] the same times their sign: [D, 2F]."""
    return torch.cat([features, torch.sign(distances)[:, None] * features], -1)


def distances(bins: int) -> Tensor:
    """Count the distances from -(N - 1) to N - 1: float64, on the processor."""
    return torch.arange(1 - bins, bins, dtype=torch.float64)
