"""Running a model: batches whose company changes no answer, memory that runs out, answers not finite, both strands."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Sequence
from dataclasses import fields, is_dataclass, replace
from enum import Enum
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, TypeVar, get_args

import numpy as np
import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from kmerit.errors import CheckpointError, ModelError, NotFinite, OutOfMemory, SequenceError, UsageError
from kmerit.formats import significant
from kmerit.models.family import Network
from kmerit.models.library import Library, in_float64, is_out_of_memory
from kmerit.models.sequence_to_function import SequenceToFunction
from kmerit.models.tokenizers import Tokenizer
from kmerit.results import Problem
from kmerit.sequences import Float, Int64, Sequences, Strands, Tokens

if TYPE_CHECKING:
    from kmerit.models.masked import MaskedModel
    from kmerit.models.model import Model

TOLERANCE = 1e-6
"""Of the probe, as a share of the largest logit: far above rounding in float64, far below what changes a class."""
_LENGTHS = (24, 27, 72)
"""Of the probe's sequences, in nucleotides: one alone, and one a little and one much longer to pad it for."""


class Company(Enum):
    """With whom a sequence may share a batch; the value says it in words."""

    ANY = "any sequences"
    EQUAL = "sequences of as many tokens"
    NONE = "no other sequence"


def company_of(name: str, network: Network, tokenizer: Tokenizer, max_tokens: int) -> Company:
    """Find out with whom a sequence may share a batch: alone against padded, and against another as long, in float64.

    Args:
        name: Of the model.
        network: In evaluation mode.
        tokenizer: Its tokeniser.
        max_tokens: How many tokens it takes.

    Raises:
        CheckpointError: The same question gets different answers.
    """
    if isinstance(network, SequenceToFunction):
        return Company.EQUAL  # its bins are counted from both ends: nothing can be padded
    if not isinstance(network, Library):
        return Company.ANY
    questions = _questions(tokenizer, max_tokens)
    if questions is None:
        return Company.EQUAL
    alone, paired, padded = questions
    try:
        first, again = (_answer(network, alone) for _ in range(2))
        if not _alike(first, again):
            raise CheckpointError(
                f"{name}: the same sequence gives {first[0].round(6).tolist()} and then "
                f"{again[0].round(6).tolist()}; scores of such a model cannot be reproduced. Use another model."
            )
        if not _alike(first, _answer(network, paired)[:1]):
            return Company.NONE
        free = all(_alike(first, _answer(network, each)[:1]) for each in padded)
    except CheckpointError:
        raise
    except (RuntimeError, ModelError):  # no float64, or no batch of different lengths: nothing is proven
        return Company.EQUAL
    return Company.ANY if free else Company.EQUAL


def _questions(tokenizer: Tokenizer, max_tokens: int) -> tuple[Tokens, Tokens, list[Tokens]] | None:
    """Build a sequence alone, next to another with as many tokens, and next to longer ones; None if impossible."""
    draws = np.random.default_rng(0)
    strings = ["".join(draws.choice(list("ACGT"), length)) for length in _LENGTHS]
    try:
        pairs = [tokenizer(*Sequences.from_strings([strings[0], other]).padded()) for other in strings[1:]]
        alone = tokenizer(*Sequences.from_strings(strings[:1]).padded())
    except SequenceError:
        return None
    if max(pair.ids.shape[1] for pair in pairs) > max_tokens:
        return None
    covers = alone.spans[0, :, 1] > alone.spans[0, :, 0]
    other = alone.ids[0].copy()
    other[covers] = other[covers][::-1]
    both = Tokens(np.stack([alone.ids[0], other]), np.repeat(alone.mask, 2, 0), np.repeat(alone.spans, 2, 0))
    return alone, both, pairs


def _answer(network: Library, tokens: Tokens) -> Float:
    with torch.inference_mode(), in_float64(network.module):
        logits = network.logits(torch.from_numpy(tokens.ids), torch.from_numpy(tokens.mask))
    return np.asarray(logits.double().numpy())


def _alike(one: Float, other: Float) -> bool:
    return bool(np.abs(one - other).max() <= TOLERANCE * max(1.0, float(np.abs(one).max())))


def batches(tokens: Tokens, company: Company) -> Iterator[Int64]:
    """Part the rows of a micro-batch into those that may share a pass."""
    rows = np.arange(len(tokens.ids))
    if company is Company.ANY:
        yield rows
        return
    counts = tokens.mask.sum(axis=1)
    for count in np.unique(counts):
        alike = rows[counts == count]
        yield from alike[:, None] if company is Company.NONE else [alike]


def part(tokens: Tokens, rows: Int64) -> Tokens:
    """Take rows of a micro-batch, without the padding that none of them needs."""
    width = int(tokens.mask[rows].sum(axis=1).max())
    return Tokens(tokens.ids[rows, :width], tokens.mask[rows, :width], tokens.spans[rows, :width])


_SET = ("fill", "full", "where", "scalar_tensor", "_to_copy", "triu", "clone", "expand", "detach")
"""Operations that may set infinity on purpose, as masks do."""


def refuse_nonfinite(
    logits: Tensor, names: Sequence[str], model: str, network: object, again: Callable[[int], object]
) -> None:
    """Refuse logits ``[sequence, class]`` that are not finite.

    Args:
        logits: What the network answered.
        names: Of the sequences, for the error.
        model: Its name.
        network: It, for the names of its layers.
        again: Makes the pass of one sequence again, by its row.

    Raises:
        NotFinite: With the first such sequence, and the layer where it began.
    """
    finite = torch.isfinite(logits.detach()).all(1).tolist()
    if all(finite):
        return
    row = finite.index(False)
    answer = ", ".join(f"{value:g}" for value in logits[row].tolist())
    raise NotFinite(
        f"{names[row]!r}: {model} answers {answer}, no finite number; it began in "
        f"{where_it_began(network, lambda: again(row))}. Its numbers overflow; try --dtype float64."
    )


def where_it_began(network: object, run: Callable[[], object]) -> str:
    """Name the layer of a network after whose weights a pass first has numbers that are not finite.

    Example:
        >>> layers = nn.Sequential(nn.Linear(2, 2), nn.Linear(2, 2)).double()
        >>> _ = layers[1].weight.data.fill_(1e308)
        >>> where_it_began(layers, lambda: layers(torch.full((1, 2), 100.0, dtype=torch.float64)))
        '1'
    """
    watch = _Watch({tensor.untyped_storage().data_ptr(): name for name, tensor in _weights(network)})
    with torch.inference_mode(False), torch.no_grad(), watch:
        run()
    return watch.began or "an operation that could not be found again"


def _weights(part: object, path: str = "") -> Iterator[tuple[str, Tensor]]:
    """Name every weight by the layer that holds it."""
    if isinstance(part, Tensor):
        yield path.removesuffix(".weight").removesuffix(".bias") or "its weights", part
    elif isinstance(part, nn.Module):
        for name, tensor in part.named_parameters():
            yield from _weights(tensor, name)
    elif isinstance(part, tuple | list):
        for i, item in enumerate(part):
            yield from _weights(item, f"{path}.{i}")
    elif is_dataclass(part):
        for each in fields(part):
            yield from _weights(getattr(part, each.name), f"{path}.{each.name}".removeprefix("."))


class _Watch(TorchDispatchMode):
    """Looks at the result of every operation, and remembers whose weights were used last."""

    def __init__(self, weights: dict[int, str]) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.weights, self.at, self.began = weights, "its input", ""

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        inputs = [each for each in tree_leaves((args, kwargs)) if isinstance(each, Tensor)]
        for each in inputs:
            self.at = self.weights.get(each.untyped_storage().data_ptr(), self.at)
        result = func(*args, **(kwargs or {}))
        if not self.began and not any(word in str(func) for word in _SET):
            outputs = [each for each in tree_leaves(result) if isinstance(each, Tensor) and each.is_floating_point()]
            finite = all(bool(torch.isfinite(each).all()) for each in inputs if each.is_floating_point())
            nonfinite = (torch.isfinite(each).logical_not() if finite else torch.isnan(each) for each in outputs)
            if any(bool(each.any()) for each in nonfinite):
                self.began = self.at
        return result


T = TypeVar("T")
M = TypeVar("M", "Model", "MaskedModel")
_LOG = logging.getLogger(__name__)


def fitting(model: M, work: Callable[[M], T]) -> T:
    """Do a piece of work with the model's micro-batch, and again with half of it as often as memory runs out.

    A piece is all made with one micro-batch, which whoever does the work records: so a result is what a run with that
    micro-batch would have given.

    Args:
        model: Its micro-batch is the first to be tried; it is left as it was found.
        work: What to do, given the model or a copy with a smaller micro-batch.

    Raises:
        OutOfMemory: A single sequence does not fit.

    Example:
        >>> import kmerit as km
        >>> fitting(km.load_model("bundled:promoter"), lambda model: model.micro_batch)
        8
    """
    while True:
        try:
            return work(model)
        except RuntimeError as error:
            if not is_out_of_memory(error):
                raise
            if model.micro_batch == 1:
                raise OutOfMemory(
                    f"{model.device} has too little memory for {model.name} even with one sequence at a time. "
                    f"Crop the sequences with --crop (Python: km.prepare), close what else uses the memory, or "
                    f"choose another --device (Python: device=)."
                ) from error
        # Out of the handler the failed pass is forgotten, and what it held can be freed.
        model = replace(model, micro_batch=model.micro_batch // 2)
        _free(model.device)
        _LOG.warning("Out of memory on %s; going on with a micro-batch of %d.", model.device, model.micro_batch)


MICRO_BATCH = 8
"""Sequences of some 200 tokens per forward pass: what stays in a processor's cache."""
MOST = 64
"""Sequences per forward pass, at most, where a probe finds how many."""
_PROBED = ("cuda",)
"""Devices whose memory a probe may fill: they say when it runs out, where a processor's system may end the process."""
MicroBatch = int | Literal["auto"]
LARGEST = 1_000_000
"""Sequences per forward pass that anyone may ask for."""


def is_probed(device: torch.device) -> bool:
    """Return whether a probe finds the micro-batch on a device, where nobody names one.

    Example:
        >>> is_probed(torch.device("cuda", 1)), is_probed(torch.device("cpu"))
        (True, False)
    """
    return device.type in _PROBED


def micro_batch_of(micro_batch: MicroBatch) -> tuple[int, bool]:
    """Say how many sequences a forward pass takes, and whether that is undecided yet.

    Args:
        micro_batch: That number; or ``auto``: that of what was begun, or what a probe finds, else `MICRO_BATCH`.

    Raises:
        UsageError: Neither.

    Example:
        >>> micro_batch_of(4), micro_batch_of("auto")
        ((4, False), (8, True))
    """
    if isinstance(micro_batch, str) and micro_batch == "auto":
        return MICRO_BATCH, True
    number: Any = micro_batch
    if isinstance(number, bool) or not isinstance(number, int | np.integer) or not 1 <= number <= LARGEST:
        raise UsageError(f"micro_batch: expected a whole number from 1 to {LARGEST:,}, or 'auto', got {micro_batch!r}.")
    return int(number), False


def of_length(length: int) -> Sequences:
    """Draw a sequence, for a probe of what is not read yet.

    Example:
        >>> of_length(3).lengths
        array([3])
    """
    return Sequences.from_strings(["".join(np.random.default_rng(0).choice(list("ACGT"), length))])


def probed(model: Model, work: Callable[[Model], object], most: int = MOST) -> int:
    """Find a micro-batch by trying: half the largest power of two that fits the device's memory.

    The other half is left for what the probe does not see: memory in pieces, and other work on the device.

    Args:
        model: What is tried begins with its micro-batch.
        work: One pass of as many sequences as the model's micro-batch, of the largest that there will be.
        most: The largest answer.

    Returns:
        The micro-batch, from 1 to ``most``.

    Example:
        >>> import kmerit as km
        >>> probed(km.load_model("bundled:promoter"), lambda model: None)
        64
    """

    def fits(size: int) -> bool:
        try:
            work(replace(model, micro_batch=size, undecided=False))
        except RuntimeError as error:
            if not is_out_of_memory(error):
                raise
        else:
            return True
        _free(model.device)  # out of the handler, where the failed pass is forgotten
        return False

    size = model.micro_batch
    if fits(size):
        while size < 2 * most and fits(2 * size):
            size *= 2
    else:
        while size > 1 and not fits(size := size // 2):
            pass
    _free(model.device)
    return max(1, size // 2)


def _free(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.empty_cache()


def slices(count: int, model: Model | MaskedModel) -> Iterator[slice]:
    """Cut ``count`` rows into micro-batches."""
    for start in range(0, count, model.micro_batch):
        yield slice(start, min(start + model.micro_batch, count))


def over_tiles(problem: Problem, logits: Float) -> Float:
    """Average answers over the tiles of a sequence: probabilities, or values.

    Args:
        problem: What the outputs mean.
        logits: ``[tile, ..., output]``.

    Returns:
        ``[..., output]``: the values' mean; of labels, the logit of the mean probability; of classes, the logarithms of
        the mean probabilities, less their mean over the classes. The logits of a single tile are left as they are.

    Example:
        >>> mean = over_tiles(Problem.CLASSES, np.log([[[0.9, 0.1]], [[0.5, 0.5]]]))
        >>> Problem.CLASSES.answer(mean).round(6).tolist()
        [[0.7, 0.3]]
    """
    if len(logits) == 1:
        return np.asarray(logits[0])
    exact = logits.astype(np.float64)
    if problem.are_values:
        mean = exact.mean(axis=0)
    elif problem is Problem.LABELS:
        yes, no = (np.logaddexp.reduce(-np.logaddexp(0, sign * exact), axis=0) for sign in (-1, 1))
        mean = yes - no
    else:
        logs = np.logaddexp.reduce(exact - np.logaddexp.reduce(exact, axis=-1, keepdims=True), axis=0)
        mean = logs - logs.mean(axis=-1, keepdims=True)
    return np.asarray(mean, dtype=logits.dtype)


LARGE = 0.05
"""Above this, the mean change of answers between strands, or the share of sequences that change class, is warned of."""


class StrandChange(NamedTuple):
    """By how much answers change between a sequence and its reverse complement.

    Attributes:
        mean: Mean over sequences of the largest change of a probability; of values, in standard deviations over the
            sequences.
        changed: Share of sequences that get another class, or of answers that cross 0.5; None of values.
    """

    mean: float
    changed: float | None


def check_strands(strands: str) -> None:
    """Refuse another word than ``forward`` or ``both``.

    Raises:
        UsageError: With those there are.
    """
    if strands not in get_args(Strands):
        raise UsageError(f"strands: expected 'forward' or 'both', got {strands!r}.")


def strand_change(problem: Problem, forward: Float, back: Float, name: str) -> StrandChange:
    """Measure how answers ``[sequence, output]`` change between strands, and log a warning if they change much.

    Args:
        problem: What the outputs mean.
        forward: Of the sequences.
        back: Of their reverse complements.
        name: Of the model.
    """
    change = np.abs(forward.astype(np.float64) - back)
    if problem.are_values:
        spread = forward.std(axis=0)
        scale = np.where(spread > 0, spread, np.maximum(np.abs(forward).max(axis=0), np.finfo(np.float32).tiny))
        result = StrandChange(float((change / scale).max(axis=1).mean()), None)
        change_text, crossed = f"{significant(result.mean)} standard deviations", ""
    else:
        classes = problem is Problem.CLASSES
        other = forward.argmax(1) != back.argmax(1) if classes else (forward > 0.5) != (back > 0.5)
        result = StrandChange(float(change.max(axis=1).mean()), float(other.mean()))
        change_text = f"{significant(result.mean)} in probability"
        answers = "get another class" if classes else "answers cross 0.5"
        crossed = f"; {int(other.sum()):,} of {other.size:,} {answers}"
    if result.mean > LARGE or (result.changed or 0) > LARGE:
        sequences = "1 sequence" if len(forward) == 1 else f"{len(forward):,} sequences"
        _LOG.warning(
            "%s predicts differently for the reverse complement: %s on average, over %s%s. The mean over "
            "both strands hides that.",
            *(name, change_text, sequences, crossed),
        )
    return result
