"""Networks other than the encoder: a forward pass in plain torch, and autograd for the way back.

A forward pass is written once, in terms of ``Operations``. Plain operations give the gradient; the books of AttnLRP and
CP-LRP compute the same numbers and change what goes back through gates, attention, nonlinearities and the factor of a
norm. Both papers define relevance as such a modified gradient times the input, and everything else, convolutions and
long filters among it, is linear and needs no rule. The encoder has its books in ``rules.py``: a change of AttnLRP or
CP-LRP belongs in both files.

Letters in the margin: B sequences, T tokens, H hidden units, h heads, C outputs.

Attention with rotary positions, for networks that autograd differentiates. Letters in the margin: B sequences, T
tokens, h heads, d units of a head.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from typing import Any, Self

import torch
import torch.nn.functional as F
from torch import Tensor

from kmerit.errors import UnsupportedMethod
from kmerit.models.checkpoint import Checkpoint
from kmerit.models.encoder import OfTensors, Rules, of_output
from kmerit.models.layers import Rotation
from kmerit.models.rules import ATTNLRP, CP_LRP, GRADIENT, AttnLRP


class Operations:
    """The operations that rule books treat differently; these go back by the chain rule."""

    def gate(self, gate: Tensor, x: Tensor) -> Tensor:
        """Multiply x with a gate, element by element."""
        return gate * x

    def compare(self, q: Tensor, k: Tensor) -> Tensor:
        """Multiply queries [B, h, T, d] with keys [B, h, T, d]: [B, h, T, T]."""
        return q @ k.transpose(-1, -2)

    def mix(self, attention: Tensor, v: Tensor) -> Tensor:
        """Average values [B, h, T, d] by attention [B, h, T, T]."""
        return attention @ v

    def activate(self, function: Callable[[Tensor], Tensor], x: Tensor) -> Tensor:
        """Apply a nonlinearity, element by element."""
        return function(x)

    def constant(self, x: Tensor) -> Tensor:
        """Mark what the relevance books hold constant: a norm's factor, the step and maps of a scan, filters."""
        return x

    def position(self, x: Tensor) -> Tensor:
        """Mark what depends on positions alone."""
        return x

    def step(self, function: Callable[[Tensor], Tensor], x: Tensor, reference: Tensor) -> Tensor:
        """Apply a monotone function to what a head answers; it is explained as a rise from a reference, like x."""
        return function(x)

    def stem(self, convolution: Convolution, x: Tensor) -> Tensor:
        """Apply the first convolution, over one-hot nucleotides [B, 4, T]."""
        return convolution(x)


@dataclass(frozen=True)
class HalfRule(Operations):
    """AttnLRP: each factor of a product gets half; nonlinearities hand back f(x) / x.

    The same rule for the encoder: ``AttnLRP`` in ``rules.py``.

    Attributes:
        gamma: Of the first convolution over nucleotides, see `by_gamma`; 0: the gradient.

    Source: achtibat2024, section 3; jafari2024, section 4, for what is constant in a scan.
    """

    gamma: float = 0.0

    def gate(self, gate: Tensor, x: Tensor) -> Tensor:
        """Half to each."""
        return _halved(gate) * _halved(x)

    def compare(self, q: Tensor, k: Tensor) -> Tensor:
        """Half to each."""
        return super().compare(_halved(q), _halved(k))

    def mix(self, attention: Tensor, v: Tensor) -> Tensor:
        """Half to each."""
        return _halved(attention) @ _halved(v)

    def activate(self, function: Callable[[Tensor], Tensor], x: Tensor) -> Tensor:
        """r f(x) / x, and 0 where x is 0."""
        result: Tensor = _Secant.apply(x, function(x.detach()))  # type: ignore[no-untyped-call]
        return result

    def constant(self, x: Tensor) -> Tensor:
        """Nothing goes back."""
        return x.detach()

    def step(self, function: Callable[[Tensor], Tensor], x: Tensor, reference: Tensor) -> Tensor:
        """Go back by the secant from the reference, or the slope where that is x. Source: shrikumar2017, rescale."""
        slope = secant(function, x.detach(), reference)
        result: Tensor = _Sloped.apply(x, function(x.detach()), slope)  # type: ignore[no-untyped-call]
        return result

    def stem(self, convolution: Convolution, x: Tensor) -> Tensor:
        """Favour what has the sign of the output, as much as gamma says."""
        return by_gamma(convolution, x, self.gamma) if self.gamma else convolution(x)


class ValueRule(HalfRule):
    """CP-LRP: gates and attention are constants; the other factor gets all. Source: ali2022, section 3.

    The same rule for the encoder: ``CPLRP`` in ``rules.py``.
    """

    def gate(self, gate: Tensor, x: Tensor) -> Tensor:
        """All to x."""
        return gate.detach() * x

    def mix(self, attention: Tensor, v: Tensor) -> Tensor:
        """All to the values."""
        return attention.detach() @ v


class _Secant(torch.autograd.Function):
    """``y = f(x)``, with f(x) / x in place of the derivative."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, y: Tensor) -> Tensor:
        ctx.save_for_backward(x, y)
        return y.view_as(y)

    @staticmethod
    def backward(ctx: Any, *received: Tensor) -> tuple[Tensor, None]:
        x, y = ctx.saved_tensors
        return torch.where(x == 0, 0, received[0] * y / x), None


class _Sloped(torch.autograd.Function):
    """``y = f(x)``, with a slope that is given in place of the derivative."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, y: Tensor, slope: Tensor) -> Tensor:
        ctx.save_for_backward(slope)
        return y.view_as(y)

    @staticmethod
    def backward(ctx: Any, *received: Tensor) -> tuple[Tensor, None, None]:
        (slope,) = ctx.saved_tensors
        return received[0] * slope, None, None


def secant(function: Callable[[Tensor], Tensor], x: Tensor, reference: Tensor) -> Tensor:
    """Compute ``(f(x) - f(reference)) / (x - reference)``, and the derivative where the two are equal.

    Example:
        >>> secant(torch.exp, torch.tensor([0.0, 1.0]), torch.zeros(2)).round(decimals=4).tolist()
        [1.0, 1.7183]
    """
    with torch.inference_mode(False), torch.enable_grad():
        at = x.detach().clone().requires_grad_()
        (slope,) = torch.autograd.grad(function(at).sum(), at)
    run = x - reference
    return torch.where(run == 0, slope, (function(x) - function(reference)) / run)


def by_gamma(convolution: Convolution, x: Tensor, gamma: float) -> Tensor:
    """Convolve; what goes back favours the contributions that have the sign of the output.

    Output z_k = sum_j a_j w_jk + b_k, of inputs a_j >= 0, hands ``a_j w'_jk / z'_k`` of its relevance to input j. Here
    ``w'_jk`` is ``(1 + gamma) w_jk`` where w_jk has the sign of z_k, and ``w_jk`` elsewhere. The bias b_k is the weight
    of an input of 1. z'_k is the sum of all ``a_j w'_jk`` and ``b'_k``: no nearer to 0 than z_k, and of its sign. Where
    it is 0, nothing entered, and nothing goes back. An input of 0, an absent letter, gets nothing.

    # Differs from montavon2019: where z_k < 0, negative contributions are favoured. Favouring positive ones there, as
    # the rule for outputs of ReLU does, z'_k could be 0.

    Source: montavon2019, section 10.2, LRP-gamma.

    Args:
        convolution: Its bias, if it has one, takes part.
        x: [B, I, T], not negative.
        gamma: At least 0.
    """
    plain = convolution(x)
    favoured = torch.where(plain >= 0, convolution.clamped(low=0)(x), convolution.clamped(high=0)(x))
    raised = plain + gamma * favoured
    share = torch.where(raised == 0, 0, plain / raised).detach()
    modified = raised * share
    return plain.detach() + (modified - modified.detach())  # the numbers of the plain pass, to the bit


def _halved(x: Tensor) -> Tensor:
    """X itself, of whose gradient half goes back."""
    return torch.lerp(x.detach(), x, 0.5)


PLAIN = Operations()
BOOKS: dict[type[Any], Operations] = {type(GRADIENT): PLAIN, type(ATTNLRP): HalfRule(), type(CP_LRP): ValueRule()}
"""The operations that carry out a rule book of ``rules.py``, by its class."""


def operations(rules: Rules | None) -> Operations | None:
    """Find the operations that carry out a rule book; None where these networks have no such book."""
    ops = BOOKS.get(type(rules))
    return replace(ops, gamma=rules.gamma) if isinstance(ops, HalfRule) and isinstance(rules, AttnLRP) else ops


@dataclass(frozen=True, eq=False)
class LayerNorm:
    """Normalisation over the hidden units, by mean and standard deviation."""

    weight: Tensor
    bias: Tensor | None
    eps: float

    def __call__(self, x: Tensor, ops: Operations) -> Tensor:
        centred = x - x.mean(-1, keepdim=True)
        factor = (centred.square().mean(-1, keepdim=True) + self.eps).rsqrt()
        scaled = centred * ops.constant(factor) * self.weight
        return scaled if self.bias is None else scaled + self.bias


@dataclass(frozen=True, eq=False)
class RMSNorm:
    """Normalisation over the hidden units, by the root of the mean square. Source: zhang2019."""

    weight: Tensor
    eps: float

    def __call__(self, x: Tensor, ops: Operations) -> Tensor:
        return x * ops.constant((x.square().mean(-1, keepdim=True) + self.eps).rsqrt()) * self.weight


@dataclass(frozen=True, eq=False)
class Affine:
    """``x W^T + b``; weight [out, in]."""

    weight: Tensor
    bias: Tensor | None = None

    def __call__(self, x: Tensor) -> Tensor:
        return F.linear(x, self.weight, self.bias)

    @classmethod
    def of(cls, checkpoint: Checkpoint, key: str, n_out: int, n_in: int, bias: object = True) -> Self:
        """Take a weight and, if wanted, its bias from a checkpoint.

        Raises:
            CheckpointError: A tensor is missing or of another shape.
        """
        weight = checkpoint.tensor(f"{key}.weight", n_out, n_in)
        return cls(weight, checkpoint.tensor(f"{key}.bias", len(weight)) if bias else None)

    @classmethod
    def head_of(cls, checkpoint: Checkpoint, key: str, n_in: int, bias: object = False) -> Self:
        """Take the last layer of a classification head.

        Raises:
            CheckpointError: There is none, or it is of another shape.
        """
        if f"{key}.weight" not in checkpoint.tensors:
            raise checkpoint.headless(
                f"expected a classification head {key!r}, found none: it is a pre-trained model. Fine-tune it first: "
                f"kmerit finetune --base, or transformers."
            )
        return cls.of(checkpoint, key, -1, n_in, bias)


@dataclass(frozen=True, eq=False)
class Convolution:
    """A convolution that keeps the length; weight [out, in / groups, kernel], kernel odd."""

    weight: Tensor
    bias: Tensor | None
    groups: int = 1

    def __call__(self, x: Tensor) -> Tensor:
        return F.conv1d(x, self.weight, self.bias, padding=self.weight.shape[-1] // 2, groups=self.groups)

    def clamped(self, low: float | None = None, high: float | None = None) -> Self:
        """Return the same convolution with weights and bias held within bounds."""
        bias = None if self.bias is None else self.bias.clamp(low, high)
        return replace(self, weight=self.weight.clamp(low, high), bias=bias)

    @classmethod
    def of(cls, checkpoint: Checkpoint, key: str, n_out: int, n_in: int, kernel: int) -> Self:
        """Take a weight and its bias.

        Raises:
            CheckpointError: A tensor is missing or of another shape.
        """
        weight = checkpoint.tensor(f"{key}.weight", n_out, n_in, kernel)
        return cls(weight, checkpoint.tensor(f"{key}.bias", len(weight)))


@dataclass(frozen=True, eq=False)
class Graph:
    """A pass by one book that autograd can differentiate."""

    input: Tensor  # [B, T, H]
    attentions: list[Tensor]
    logits: Tensor  # [B, C]


@dataclass(frozen=True, eq=False)
class ForwardRecording:
    """What a forward pass left: enough to make it again with another book."""

    input: Tensor  # [B, T, H]
    mask: Tensor  # [B, T]
    attentions: list[Tensor]  # [B, h, T, T] each; none where there is no attention
    logits: Tensor  # [B, C]
    graphs: dict[Operations, Graph] = field(default_factory=dict)  # each serves once

    @property
    def last_attention(self) -> Tensor:
        """Every query row, always."""
        return self.attentions[-1]


@dataclass(frozen=True, eq=False)
class Differentiable(OfTensors, ABC):
    """A network that is entered at its word embeddings and differentiated by autograd.

    Attributes:
        words: The embedding table [V, H].
        head: From a hidden state to the outputs.
    """

    words: Tensor
    head: Affine

    @abstractmethod
    def run(self, x: Tensor, mask: Tensor, ops: Operations, attentions: list[Tensor]) -> Tensor:
        """Compute outputs [B, C].

        Args:
            x: Word embeddings [B, T, H].
            mask: bool [B, T], False on padding, which follows the tokens.
            ops: The operations in terms of which the pass is written.
            attentions: Takes the attention [B, h, T, T] of each layer, if there is any.
        """

    @property
    def outputs(self) -> int:
        """Outputs of the head."""
        return int(self.head.weight.shape[0])

    def of_output(self, index: int, asks: bool) -> Self:
        """Keep one output alone, or as a question; see ``Network``."""
        bias = None if self.head.bias is None else of_output(self.head.bias, index, asks)
        return replace(self, head=Affine(of_output(self.head.weight, index, asks), bias))

    def look_up(self, ids: Tensor, mask: Tensor) -> Tensor:
        """Take the word embeddings [B, T, H] of ids [B, T]."""
        return self.words[ids]

    def embed(self, words: Tensor) -> Tensor:
        """Word embeddings are its input."""
        return words

    def to_words(self, words: Tensor, rules: Rules, r: Tensor) -> Tensor:
        """Word embeddings are its input."""
        return r

    def logits(self, ids: Tensor, mask: Tensor) -> Tensor:
        """Predict [B, C] from ids [B, T]."""
        return self.classify(self.look_up(ids, mask), mask)

    def classify(self, x: Tensor, mask: Tensor) -> Tensor:
        """Predict [B, C] from word embeddings [B, T, H]."""
        return self.run(x, mask, PLAIN, [])

    def record(self, x: Tensor, mask: Tensor, every_row: bool = False, rules: Rules | None = None) -> ForwardRecording:
        """Predict from word embeddings, leaving them, the attentions, and the graph of a book that will sweep."""
        attentions: list[Tensor] = []
        ops = operations(rules)
        if ops is None:
            logits = self.run(x, mask, PLAIN, attentions)
            return ForwardRecording(x, mask, attentions, logits)
        graph = self._graph(x, mask, ops)
        attentions = [attention.detach() for attention in graph.attentions]
        return ForwardRecording(x, mask, attentions, graph.logits.detach(), {ops: graph})

    def _graph(self, x: Tensor, mask: Tensor, ops: Operations) -> Graph:
        """Make a pass by a book."""
        with torch.inference_mode(False), torch.enable_grad():
            x, attentions = x.clone().requires_grad_(), list[Tensor]()
            return Graph(x, attentions, self.run(x, mask.clone(), ops, attentions))

    def sweep(self, tape: ForwardRecording, rules: Rules, seed: Tensor) -> Iterator[tuple[int, Tensor]]:
        """Differentiate the pass by a book, made again if it was not recorded; see ``Network``."""
        ops = operations(rules)
        if ops is None:
            raise UnsupportedMethod(
                f"{type(self).__name__} has no rules by {type(rules).__name__}; it has gradients, AttnLRP and CP-LRP."
            )
        graph = tape.graphs.pop(ops, None) or self._graph(tape.input, tape.mask, ops)
        with torch.inference_mode(False), torch.enable_grad():
            explained = (graph.logits * seed.clone()).sum()
            inputs = [*graph.attentions, graph.input]
            received = torch.autograd.grad(explained, inputs, allow_unused=True, materialize_grads=True)
        for depth in range(len(graph.attentions) - 1, -1, -1):
            yield depth, received[depth]
        yield -1, received[-1]


def last_token(x: Tensor, mask: Tensor) -> Tensor:
    """Take the hidden state [B, H] of each sequence's last token."""
    return x[torch.arange(len(x), device=x.device), mask.sum(1) - 1]


def heads(x: Tensor, count: int) -> Tensor:
    """[B, T, h d] to [B, h, T, d]."""
    return x.view(*x.shape[:2], count, -1).transpose(1, 2)


def attended(
    q: Tensor, k: Tensor, v: Tensor, rotation: Rotation, visible: Tensor, ops: Operations, attentions: list[Tensor]
) -> Tensor:
    """Rotate queries and keys, compare them, and average the values: [B, T, h d].

    Args:
        q: [B, h, T, d].
        k: [B, g, T, d], with g a divisor of h: each serves h / g heads in turn.
        v: Likewise.
        rotation: Of positions.
        visible: bool [B, 1, T, T], which keys a query sees besides its own.
        ops: The operations of the pass.
        attentions: Takes [B, h, T, T].
    """
    q, k = rotation(q), rotation(k)
    k, v = (x.repeat_interleave(q.shape[1] // x.shape[1], 1) for x in (k, v))
    itself = near(q.shape[2], 0, q.device)  # so that no row is empty: padding may be out of every token's reach
    scores = ops.compare(q, k) * q.shape[-1] ** -0.5
    attention = scores.masked_fill(~(visible | itself), -torch.inf).softmax(-1)
    attentions.append(attention)
    return ops.mix(attention, v).transpose(1, 2).flatten(2)


def near(tokens: int, reach: int | None, device: torch.device) -> Tensor:
    """Tell which keys lie within reach of a query on either side: bool [T, T]; all of them for None."""
    place = torch.arange(tokens, device=device)
    distance = (place[:, None] - place).abs()
    return distance <= (tokens if reach is None else reach)
