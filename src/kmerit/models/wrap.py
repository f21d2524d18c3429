"""Any torch module from one-hot nucleotides to outputs as a model like every other."""

from __future__ import annotations

import inspect
import logging
from collections.abc import Iterator, Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass, field, replace
from hashlib import sha256
from typing import Any, Self

import numpy as np
import torch
from torch import Tensor, nn

from kmerit.errors import LengthError, ModelError, NotFinite, UnsupportedMethod, UsageError, short
from kmerit.io.tables import first_line
from kmerit.models.encoder import Rules, of_output
from kmerit.models.family import Ability
from kmerit.models.inference import Company, MicroBatch, micro_batch_of
from kmerit.models.layers import full_precision
from kmerit.models.model import Model, find_device
from kmerit.models.rules import GRADIENT
from kmerit.models.tokenizers import Survey
from kmerit.results import Problem
from kmerit.sequences import Int8, Int64, N, Sequences, Tokens

_LOG = logging.getLogger(__name__)
_DTYPES = {"float32": torch.float32, "float64": torch.float64}
_ASKED = 5
"""Times that the same is asked, to find answers that are drawn: few outputs may be alike by chance."""
_TOLERANCE = {torch.float32: 1e-4, torch.float64: 1e-8}
"""By how much answers to the same sequence alone and in a batch may differ, as a share of the largest."""


@dataclass(frozen=True)
class Nucleotides:
    """The tokeniser of a one-hot module: each nucleotide is a token, and its id the number of its base.

    Attributes:
        length: Nucleotides of every sequence.
    """

    length: int

    special = 0
    mask_id = N
    """One-hot, an unknown base is all zeros: the reference that captum takes by default."""

    @property
    def shortest(self) -> int:
        """Nucleotides a sequence needs at least: any number, for `survey` refuses other lengths by name."""
        return 1

    def __call__(self, bases: Int8, lengths: Int64) -> Tokens:
        """Tokenise a micro-batch: bases ``int8 [sequence, position]``."""
        if (lengths != self.length).any():
            raise self._other_length("a sequence", int(lengths[lengths != self.length][0]))
        ids = bases[:, : self.length].astype(np.int64)
        start = np.broadcast_to(np.arange(self.length, dtype=np.int32), ids.shape)
        return Tokens(ids, np.ones(ids.shape, dtype=np.bool_), np.stack([start, start + 1], axis=-1))

    def survey(self, sequences: Sequences) -> Survey:
        """Count tokens, and look for N.

        Raises:
            LengthError: A sequence of another length.
        """
        mismatches = np.flatnonzero(sequences.lengths != self.length)
        if mismatches.size:
            i = int(mismatches[0])
            raise self._other_length(repr(sequences.names[i]), int(sequences.lengths[i]))
        unknown = np.flatnonzero(sequences.bases == N)
        first_unknown = None if not unknown.size else (int(unknown[0]) // self.length, int(unknown[0]) % self.length)
        return Survey(sequences.lengths, first_unknown)

    def _other_length(self, what: str, length: int) -> LengthError:
        remedy = f"Crop it: km.prepare(sequences, crop=km.Crop({self.length})), --crop {self.length}"
        return LengthError(
            f"{what} has {length} nt; the wrapped module takes exactly {self.length}. "
            f"{remedy if length > self.length else 'Leave it out, or wrap the module for that length'}."
        )


@dataclass(frozen=True, eq=False)
class OneHotRecording:
    """What a forward pass left, with autograd's graph behind it."""

    input: Tensor  # [B, T, 4]
    logits: Tensor  # [B, C]

    attentions: list[Tensor] = field(default_factory=list)

    @property
    def last_attention(self) -> Tensor:
        """There is none."""
        raise UnsupportedMethod("A wrapped module shows no attention.")


@dataclass(frozen=True, eq=False)
class OneHotNetwork:
    """A torch module over one-hot nucleotides, behind the seam of all networks; its word embeddings are one-hot.

    Attributes:
        module: A copy in evaluation mode, its parameters frozen.
        device: Where it runs.
        dtype: What it computes in.
        width: Outputs of the module.
        chosen: The one output that is kept; None for all.
        asks: Whether that is a question, with two answers.
    """

    module: nn.Module
    device: torch.device
    dtype: torch.dtype
    width: int
    chosen: int | None = None
    asks: bool = False

    @property
    def outputs(self) -> int:
        """Classes, labels or values."""
        return self.width if self.chosen is None else 1 + self.asks

    def to(self, device: torch.device, dtype: torch.dtype) -> Self:
        """Copy it to a device, in a dtype."""
        return replace(self, module=deepcopy(self.module).to(device, dtype), device=device, dtype=dtype)

    def of_output(self, index: int, asks: bool) -> Self:
        """Keep one output alone, or as a question; see ``Network``."""
        return replace(self, chosen=index, asks=asks)

    def logits(self, ids: Tensor, mask: Tensor) -> Tensor:
        """Predict [B, C] from numbers of bases [B, T]."""
        return self.classify(self.look_up(ids, mask), mask)

    def look_up(self, ids: Tensor, mask: Tensor) -> Tensor:
        """Write bases [B, T] as one-hot [B, T, 4]; N is all zeros."""
        table = torch.cat([torch.eye(4), torch.zeros(1, 4)]).to(self.device, self.dtype)
        return table[ids]

    def embed(self, words: Tensor) -> Tensor:
        """One-hot nucleotides are its input."""
        return words

    def to_words(self, words: Tensor, rules: Rules, r: Tensor) -> Tensor:
        """One-hot nucleotides are its input."""
        return r

    def classify(self, x: Tensor, mask: Tensor) -> Tensor:
        """Predict from one-hot [B, T, 4]."""
        logits: Tensor = self.module(x.transpose(1, 2).contiguous())
        logits = _flat(logits, len(x), self.width)
        if logits.shape != (len(x), self.width):
            raise ModelError(
                f"The wrapped module answered {list(logits.shape)} to {len(x)} sequences; expected "
                f"{[len(x), self.width]}."
            )
        return logits if self.chosen is None else of_output(logits.T, self.chosen, self.asks).T

    def record(self, x: Tensor, mask: Tensor, every_row: bool = False, rules: Rules | None = None) -> OneHotRecording:
        """Predict from one-hot [B, T, 4], leaving autograd's graph."""
        # cuDNN's recurrent layers have no way back in evaluation mode; PyTorch's own have.
        with torch.inference_mode(False), torch.enable_grad(), torch.backends.cudnn.flags(enabled=False):
            x = x.clone().requires_grad_()
            return OneHotRecording(x, self.classify(x, mask))

    def sweep(self, tape: OneHotRecording, rules: Rules, seed: Tensor) -> Iterator[tuple[int, Tensor]]:
        """Differentiate; see ``Network``."""
        if rules is not GRADIENT:
            raise UnsupportedMethod("There are no relevance rules for a wrapped module, only gradients.")
        with torch.inference_mode(False), torch.enable_grad():
            try:
                (by_input,) = torch.autograd.grad((tape.logits * seed.clone()).sum(), tape.input, retain_graph=True)
            except RuntimeError as error:
                raise UnsupportedMethod(
                    f"The wrapped module has no gradient with respect to its input ({first_line(error)}). "
                    f"Use ism, which changes the sequence."
                ) from error
        yield -1, by_input


def _flat(logits: Tensor, count: int, width: int) -> Tensor:
    """Take [B], or [B, C, 1, ...] as modules answer that pool over positions, as [B, C]."""
    flat = logits.shape == (count,) or (logits.shape[:2] == (count, width) and logits.numel() == count * width)
    return logits.reshape(count, -1) if flat and logits.ndim != 2 else logits


def wrap(
    module: nn.Module,
    length: int,
    outputs: Sequence[str] | int,
    *,
    problem: Problem | str = Problem.CLASSES,
    name: str = "",
    device: str = "auto",
    dtype: str = "float32",
    micro_batch: MicroBatch = "auto",
) -> Model:
    """Make any torch module from one-hot nucleotides to outputs a model like every other.

    The module is copied; the copy runs in evaluation mode, and the module itself is left as it is. Prediction, the
    gradient and perturbation methods, own scores, trials and audits work as with any model. Methods that need
    attention or relevance are refused by name. The reference input (``integrated_gradients``, ``occlusion``) is all
    zeros.

    Args:
        module: From ``[sequence, 4, position]``, bases in the order ACGT, to ``[sequence, output]``: logits, or values;
            axes of length 1 may follow.
        length: Nucleotides that it takes.
        outputs: Their names, in their order; or how many there are.
        problem: What the outputs mean: ``classes`` (logits of a softmax), ``labels`` (logits of a sigmoid each),
            ``value`` or ``values``.
        name: What to call the model; by default the module's class.
        device: As for ``load_model``.
        dtype: ``float32`` or ``float64``; parameters are converted.
        micro_batch: As for ``load_model``.

    Raises:
        UsageError: No torch module, or no usable names or numbers.
        ModelError: The module cannot be copied or run, answers in another form, with probabilities where logits are
            expected, or differently at each call.
        NotFinite: Its answer is no number.

    Example:
        >>> import kmerit as km
        >>> module = nn.Sequential(nn.Conv1d(4, 2, 3), nn.AdaptiveMaxPool1d(1), nn.Flatten())
        >>> model = km.wrap(module, length=8, outputs=["background", "peak"])
        >>> model
        <Model Sequential (wrapped): 2 classes: 0 background, 1 peak; float32 on cpu>
        >>> model.predict(["ACGTTGCA"]).shape
        (1, 2)
    """
    if not isinstance(module, nn.Module):
        raise UsageError(
            f"module: expected a torch.nn.Module, got {type(module).__name__}. Call it from a module's forward."
        )
    if isinstance(length, bool) or not isinstance(length, int) or length < 1:
        raise UsageError(f"length: expected a whole number from 1, got {length!r}.")
    if dtype not in _DTYPES:
        raise UsageError(f"dtype: expected one of {', '.join(_DTYPES)}, got {dtype!r}.")
    kind, labels = _kind(problem), _labels(outputs)
    _check_count(kind, len(labels))
    where, name = find_device(device), name or type(module).__name__
    size, undecided = micro_batch_of(micro_batch)
    try:
        copy = deepcopy(module).to(where, _DTYPES[dtype]).eval().requires_grad_(False)
    except Exception as error:  # of any class: it is the module's own code
        raise ModelError(f"{name}: the module cannot be copied ({first_line(error)}).") from error
    network = OneHotNetwork(copy, where, _DTYPES[dtype], len(labels))
    company = _probe(name, network, length, kind)
    return Model(
        name=name,
        family="wrapped",
        encoder=network,
        tokenizer=Nucleotides(length),
        labels=labels,
        problem=kind,
        max_tokens=length,
        abilities=frozenset({Ability.MASKING}),
        digest=_digest(copy, length, kind, labels),
        micro_batch=size,
        undecided=undecided,
        company=company,
    )


def _kind(problem: Problem | str) -> Problem:
    try:
        return Problem(problem)
    except ValueError:
        kinds = ", ".join(each.value for each in Problem)
        raise UsageError(f"problem: expected one of {kinds}, got {problem!r}.") from None


def _labels(outputs: Sequence[str] | int) -> tuple[str, ...]:
    if isinstance(outputs, int) and not isinstance(outputs, bool) and outputs > 0:
        return tuple(f"LABEL_{i}" for i in range(outputs))
    names = () if isinstance(outputs, str | int) else tuple(outputs)
    if not names or not all(isinstance(each, str) and each for each in names) or len(set(names)) < len(names):
        raise UsageError(f"outputs: expected distinct names in a list, or their number; got {short(outputs)}.")
    return names


def _check_count(problem: Problem, count: int) -> None:
    if problem is Problem.CLASSES and count == 1:
        raise UsageError(
            "outputs: one output cannot choose among classes. Set problem='labels' (the logit of a sigmoid) or 'value'."
        )
    if problem is Problem.VALUE and count > 1:
        raise UsageError(f"outputs: problem='value' has one output, got {count}. Set problem='values'.")


def _probe(name: str, network: OneHotNetwork, length: int, problem: Problem) -> Company:
    """Run two random sequences; refuse invalid outputs, and detect whether batch companions change them."""
    draws = np.random.default_rng(0).integers(0, 4, (2, length))
    x = network.look_up(torch.from_numpy(draws).to(network.device), torch.ones(0))
    with torch.no_grad(), full_precision():
        try:
            raw = network.module(x.transpose(1, 2).contiguous())
        except Exception as error:  # of any class: it is the module's own code
            raise ModelError(
                f"{name}: the module cannot be run on one-hot input [2, 4, {length}], bases in the order ACGT "
                f"({first_line(error)})."
            ) from error
        if not isinstance(raw, Tensor):
            raise ModelError(
                f"{name}: the module returns {_parts(raw)}; expected one tensor [sequence, output]. Wrap a "
                f"module whose forward returns one tensor."
            )
        if _flat(raw, 2, network.width).shape != (2, network.width):
            raise ModelError(
                f"{name}: the module answers {list(raw.shape)} to 2 sequences; expected [2, {network.width}], an "
                f"output for each of the names."
            )
        if not raw.is_floating_point():
            raise ModelError(f"{name}: the module answers {str(raw.dtype).removeprefix('torch.')}; expected floats.")
        first, *again = (network.classify(x, x) for _ in range(_ASKED))
        try:
            alone = torch.cat([network.classify(x[i : i + 1], x) for i in range(2)])
        except Exception as error:  # of any class: it is the module's own code
            raise ModelError(
                f"{name}: the module cannot be run on one sequence alone ({first_line(error)}); is there batch "
                f"normalisation without running statistics?"
            ) from error
        bounded = problem in (Problem.CLASSES, Problem.LABELS) and _is_bounded(network, x)
    if not bool(torch.isfinite(first).all()):
        raise NotFinite(f"{name}: the module answers {first.flatten().tolist()[:4]} ..., no finite numbers.")
    if not all(torch.equal(first, each) for each in again):
        raise ModelError(
            f"{name}: the module gives another answer to the same sequence at each call; is there dropout in "
            f"its forward?"
        )
    sums = first.sum(1)
    if (
        problem is Problem.CLASSES
        and bool((first >= 0).all())
        and bool(torch.allclose(sums, torch.ones_like(sums), atol=1e-5))
    ):
        raise ModelError(
            f"{name}: the module outputs probabilities (positive, with a sum of 1); expected logits. Wrap it "
            f"without its softmax."
        )
    if bounded:
        _LOG.warning(
            "%s: every output lies between 0 and 1 for random input; expected logits. If these are probabilities, "
            "wrap the module without its sigmoid.",
            name,
        )
    tolerance = _TOLERANCE[network.dtype] * max(1.0, float(first.abs().max()))
    if float((first - alone).abs().max()) <= tolerance:
        return Company.ANY
    _LOG.warning(
        "%s gives a sequence another answer in a batch than alone (batch normalisation without running statistics?); "
        "every sequence is run alone.",
        name,
    )
    return Company.NONE


def _is_bounded(network: OneHotNetwork, x: Tensor) -> bool:
    """Look whether answers stay between 0 and 1 even where the input is far larger than one-hot, either way."""
    try:
        answers = torch.cat([network.classify(x * scale, x) for scale in (1, 1e3, -1e3)])
    except Exception:  # of any class: a module may refuse what is not one-hot
        return False
    return bool(((answers >= 0) & (answers <= 1)).all())


def _parts(answer: Any) -> str:
    """Describe what a module returns that is no tensor."""
    if isinstance(answer, Mapping):
        return f"a {type(answer).__name__} with {short(', '.join(map(str, answer)))}"
    return f"a {type(answer).__name__}" + (f" of {len(answer)}" if isinstance(answer, list | tuple) else "")


def _digest(module: nn.Module, length: int, problem: Problem, labels: tuple[str, ...]) -> str:
    """sha256 of what the module is and what its outputs mean: structure, code where it can be had, weights."""
    total = sha256(f"{module!r} {length} {problem.value} {labels}".encode())
    for kind in sorted(
        {type(part) for part in module.modules()}, key=lambda kind: f"{kind.__module__}.{kind.__qualname__}"
    ):
        if not kind.__module__.startswith("torch."):
            total.update(kind.__qualname__.encode() + _code(kind))
    for key, value in sorted(module.state_dict().items()):
        array = value.detach().cpu() if isinstance(value, Tensor) else value
        total.update(f"{key} {getattr(array, 'dtype', '')} {getattr(array, 'shape', '')}".encode())
        total.update(_bytes(array) if isinstance(array, Tensor) else repr(array).encode())
    return total.hexdigest()


def _bytes(tensor: Tensor) -> bytes:
    data: Any = tensor.contiguous().reshape(-1).view(torch.uint8).numpy()
    return bytes(data.tobytes())


def _code(kind: type) -> bytes:
    try:
        return inspect.getsource(kind).encode()
    except (OSError, TypeError):  # typed at a prompt
        return b""
