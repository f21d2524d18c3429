"""Answers that are no numbers: never a class, but an error that says of which sequence, and where it began."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import fields, is_dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from kmerit.errors import NotFinite

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
            bad = (torch.isfinite(each).logical_not() if finite else torch.isnan(each) for each in outputs)
            if any(bool(each.any()) for each in bad):
                self.began = self.at
        return result
