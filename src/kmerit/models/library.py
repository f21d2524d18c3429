"""A network of the transformers library behind kmerit's interface:
its own forward pass, and autograd for the way back.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from copy import deepcopy
from dataclasses import dataclass, replace
from typing import Any, Self

import torch
from torch import Tensor, nn

from kmerit.errors import CheckpointError, KmeritError, ModelError, UnsupportedMethod
from kmerit.io.tables import first_line
from kmerit.models.encoder import Rules, of_output
from kmerit.models.rules import GRADIENT


@contextmanager
def quiet() -> Iterator[None]:
    """Silence transformers' warnings and progress bars for a while."""
    from transformers.utils import logging  # not before it is needed: most models are read without transformers

    level, bars = logging.get_verbosity(), logging.is_progress_bar_enabled()
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    try:
        yield
    finally:
        logging.set_verbosity(level)
        if bars:
            logging.enable_progress_bar()


@dataclass(frozen=True, eq=False)
class LibraryRecording:
    """What a forward pass left, with autograd's graph behind it."""

    input: Tensor  # [B, T, H]
    attentions: list[Tensor]  # [B, h, T, T] each; none where they are of no use
    logits: Tensor  # [B, C]

    @property
    def last_attention(self) -> Tensor:
        """Every query row, always."""
        return self.attentions[-1]


@dataclass(frozen=True, eq=False)
class Library:
    """Any classifier that transformers loads.

    Prediction is the library's, from ids. To enter at the word embeddings, the answer of the embedding layer is
    replaced while the rest runs on ids that tell it no more than where the padding is.

    Attributes:
        module: In evaluation mode, its parameters frozen.
        pad_id: Of the padding token.
        stand_in: Id of some token that is not special.
        attends: Whether its attention can be explained: it gives all layers', and its head reads the first token.
        shows: Whether it gives all layers' attention, also if its head reads one of them.
        chosen: The one output that is kept; None for all.
        asks: Whether that is a question, with two answers.
    """

    module: nn.Module
    pad_id: int
    stand_in: int
    attends: bool = False
    shows: bool = False
    chosen: int | None = None
    asks: bool = False

    @classmethod
    def of(cls, module: nn.Module, pad_id: int, stand_in: int) -> Self:
        """Freeze a module, and find out whether its attention can be explained.

        Raises:
            CheckpointError: A pass over it changes the module itself.
        """
        module = module.eval().requires_grad_(False)
        before = _anatomy(module)
        with as_it_was(module):
            shows, attends = _attends(module, stand_in)
        if _anatomy(module) != before:
            raise CheckpointError(
                f"{type(module).__name__} changes after a short sequence: its outputs depend on earlier "
                f"inputs. Such models are not supported."
            )
        return cls(module, pad_id, stand_in, attends, shows)

    @property
    def outputs(self) -> int:
        """Classes, labels or values."""
        config: Any = self.module.config
        return int(config.num_labels) if self.chosen is None else 1 + self.asks

    @property
    def device(self) -> torch.device:
        """Where it runs."""
        return self._table.device

    @property
    def dtype(self) -> torch.dtype:
        """What it computes in."""
        return self._table.dtype

    @property
    def _embedding(self) -> nn.Module:
        return _embedding_of(self.module)

    @property
    def _table(self) -> Tensor:
        return next(self._embedding.parameters())

    def to(self, device: torch.device, dtype: torch.dtype) -> Self:
        """Copy it to a device, with its parameters in a dtype; buffers, as of rotary positions, keep theirs."""
        shared = {id(p): nn.Parameter(p.data.to(device, dtype), False) for p in self.module.parameters()}
        return replace(self, module=deepcopy(self.module, shared).to(device))

    def of_output(self, index: int, asks: bool) -> Self:
        """Keep one output alone, or as a question; see ``Network``."""
        return replace(self, chosen=index, asks=asks)

    def _kept(self, logits: Tensor) -> Tensor:
        return logits if self.chosen is None else of_output(logits.T, self.chosen, self.asks).T

    def logits(self, ids: Tensor, mask: Tensor) -> Tensor:
        """Predict from ids."""

        def predict(rows: Tensor, length: int) -> Tensor:
            with as_it_was(self.module):
                logits: Tensor = self._run(ids[rows, :length], mask[rows, :length]).logits
                return logits

        return self._in_company(mask, predict)

    def _in_company(self, mask: Tensor, predict: Callable[[Tensor, int], Tensor]) -> Tensor:
        """Predict all rows at once, or where a row's answer depends on its padding, those of each length together.

        Args:
            mask: bool [B, T], False on padding.
            predict: Computes logits of rows of the batch, cut to a number of tokens.
        """
        if not _is_block_sparse(self.module):
            return self._kept(predict(torch.arange(len(mask), device=mask.device), mask.shape[1]))
        parts, order = [], []
        for length in sorted(set(mask.sum(1).tolist())):
            order.append(torch.nonzero(mask.sum(1) == length)[:, 0])
            parts.append(predict(order[-1], length))
        return self._kept(torch.cat(parts)[torch.cat(order).argsort()])

    def look_up(self, ids: Tensor, mask: Tensor) -> Tensor:
        """Take the word embeddings [B, T, H]."""
        words: Tensor = self._embedding(ids)
        return words

    def embed(self, words: Tensor) -> Tensor:
        """Word embeddings are its input."""
        return words

    def to_words(self, words: Tensor, rules: Rules, r: Tensor) -> Tensor:
        """Word embeddings are its input."""
        return r

    def classify(self, x: Tensor, mask: Tensor) -> Tensor:
        """Predict from word embeddings."""
        return self._in_company(mask, lambda rows, t: self._enter(x[rows, :t], mask[rows, :t]).logits)

    def record(self, x: Tensor, mask: Tensor, every_row: bool = False, rules: Rules | None = None) -> LibraryRecording:
        """Predict from word embeddings, leaving autograd's graph."""
        with torch.inference_mode(False), torch.enable_grad():
            x, mask = x.clone().requires_grad_(), mask.clone()
            if not self.attends and not (every_row and self.shows):
                return LibraryRecording(x, [], self.classify(x, mask))
            out = self._enter(x, mask, output_attentions=True)
            return LibraryRecording(x, list(out.attentions), self._kept(out.logits))

    def sweep(self, tape: LibraryRecording, rules: Rules, seed: Tensor) -> Iterator[tuple[int, Tensor]]:
        """Differentiate; see ``Network``."""
        if rules is not GRADIENT:
            raise UnsupportedMethod("There are no relevance rules for the forward pass of a library, only gradients.")
        with torch.inference_mode(False), torch.enable_grad():
            explained = (tape.logits * seed.clone()).sum()
            *received, by_input = torch.autograd.grad(explained, [*tape.attentions, tape.input], retain_graph=True)
        for depth in range(len(received) - 1, -1, -1):
            yield depth, received[depth]
        yield -1, by_input

    def _enter(self, words: Tensor, mask: Tensor, **options: Any) -> Any:
        """Run the module with these word embeddings in place of the ids' own."""

        def replaced(embedding: nn.Module, inputs: Any, own: Tensor) -> Tensor:
            if own.shape != words.shape:
                raise UnsupportedMethod(
                    f"{type(self.module).__name__} embeds {tuple(own.shape)} where {tuple(words.shape)} was expected; "
                    f"its word embeddings cannot be changed. Use ism, which changes the sequence."
                )
            return words

        ids = torch.where(mask, self.stand_in, self.pad_id)
        handle = self._embedding.register_forward_hook(replaced)
        try:
            with as_it_was(self.module):
                return self._run(ids, mask, **options)
        finally:
            handle.remove()

    def _run(self, ids: Tensor, mask: Tensor, **options: Any) -> Any:
        try:
            return self.module(input_ids=ids, attention_mask=mask.long(), **options)
        except Exception as error:  # the forward pass is the library's, and so are its errors
            if isinstance(error, KmeritError) or is_out_of_memory(error):
                raise
            raise ModelError(
                f"{type(self.module).__name__} of transformers cannot be run in "
                f"{str(self.dtype).removeprefix('torch.')} on {self.device} ({first_line(error)}). The error is the "
                f"library's own: check config.json, or try another --dtype or --device."
            ) from error


@contextmanager
def in_float64(module: nn.Module) -> Iterator[None]:
    """Let a module compute in float64 for a while, holding the weights of one part in it at a time, not of all."""

    def widen(part: nn.Module, *_: Any) -> None:
        originals[part] = dict(part._parameters)
        for key, parameter in originals[part].items():
            if parameter is not None and parameter.is_floating_point():
                part._parameters[key] = nn.Parameter(parameter.double(), False)

    def narrow(part: nn.Module, *_: Any) -> None:
        part._parameters.update(originals.pop(part))

    originals: dict[nn.Module, dict[str, nn.Parameter | None]] = {}
    hooks = []
    for part in module.modules():
        if part._parameters:
            hooks += [part.register_forward_pre_hook(widen), part.register_forward_hook(narrow, always_call=True)]
    try:
        yield
    finally:
        for hook in hooks:
            hook.remove()


@contextmanager
def as_it_was(module: nn.Module) -> Iterator[None]:
    """Restore a module's kind of attention: a short sequence changes BigBird's permanently."""
    base: Any = getattr(module, "base_model", module)
    kind = getattr(base, "attention_type", None)
    try:
        yield
    finally:
        if kind is not None and base.attention_type != kind:
            base.set_attention_type(kind)


def _is_block_sparse(module: nn.Module) -> bool:
    """Return whether attention is by blocks, BigBird's: which there are follows from the length, padding included."""
    return getattr(getattr(module, "base_model", module), "attention_type", None) == "block_sparse"


def _embedding_of(module: Any) -> nn.Module:
    embedding: nn.Module = module.get_input_embeddings()
    return embedding


def _anatomy(module: nn.Module) -> list[tuple[str, str]]:
    """Name what a module is made of."""
    return [(name, type(part).__name__) for name, part in module.named_modules()]


def _attends(module: nn.Module, stand_in: int) -> tuple[bool, bool]:
    """Return whether a module outputs the attention of all layers, and whether its head reads the first token alone."""
    if _is_block_sparse(module):
        return False, False  # what it attends to changes with the length
    ids = torch.full((1, 5), stand_in)
    with torch.enable_grad():
        words: Tensor = _embedding_of(module)(ids).detach().requires_grad_()
        handle = _embedding_of(module).register_forward_hook(lambda *_: words)
        try:
            out = module(input_ids=ids, output_attentions=True, output_hidden_states=True)
        except (TypeError, ValueError, IndexError, RuntimeError):
            return False, False
        finally:
            handle.remove()
        attentions, states = getattr(out, "attentions", None), getattr(out, "hidden_states", None)
        if not attentions or not states or any(a is None or a.ndim != 4 or a.shape[-1] != 5 for a in attentions):
            return False, False
        outputs = [*attentions, states[-1]]
        *gradients, by_state = torch.autograd.grad(out.logits.sum(), outputs, allow_unused=True)
    is_differentiable = by_state is not None and all(gradient is not None for gradient in gradients)
    return True, is_differentiable and bool(by_state[0, 0].any()) and not bool(by_state[0, 1:].any())


def is_out_of_memory(error: Exception) -> bool:
    """Graphics cards have an exception of their own; processors and other devices only say it."""
    phrases = ("out of memory", "can't allocate memory", "not enough memory")
    return isinstance(error, torch.OutOfMemoryError) or any(words in str(error).lower() for words in phrases)
