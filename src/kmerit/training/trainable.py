"""A network of kmerit's own with its published tensors as parameters: what is trained is what predicts.

Families of which transformers has no class (DNABERT-2, HyenaDNA, Caduceus) and those of which it has train alike: the
tensors of a checkpoint hang in a tree of modules under their published names, and each forward pass builds the family's
network on them. So gradients reach them, adapters of peft find linear layers by their names, and a state dict is a
checkpoint.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from kmerit.models.network import Network

Build = Callable[[Mapping[str, Tensor]], Network]


class Trainable(nn.Module):
    """A family's network whose tensors are parameters.

    Attributes:
        tree: Modules named as the published tensors are.
    """

    def __init__(self, tensors: Mapping[str, Tensor], build: Build, dropout: float = 0.0, constants: str = "") -> None:
        """Hang tensors in a tree.

        Args:
            tensors: By their published names; whole numbers are not trained.
            build: Makes the network of tensors by name.
            dropout: Of the embeddings that enter the network.
            constants: A pattern of further tensors that are not trained.
        """
        super().__init__()
        self.tree, self.build, self.dropout = _tree(tensors, constants), build, dropout

    def tensors(self) -> dict[str, Tensor]:
        """Return the tensors by their published names, adapters added to what they adapt."""
        return dict(_collected(self.tree))

    def forward(self, input_ids: Tensor, attention_mask: Tensor | None = None) -> dict[str, Tensor]:
        """Compute outputs [sequence, output] of ids [sequence, token], under ``logits``."""
        tensors = self.tensors()
        device = next(self.parameters()).device
        network = self.build(tensors).to(device, torch.float32)  # tables of positions are not among the tensors
        mask = torch.ones_like(input_ids, dtype=torch.bool) if attention_mask is None else attention_mask.bool()
        x = network.embed(network.look_up(input_ids, mask))
        return {"logits": network.classify(F.dropout(x, self.dropout, self.training), mask)}


def _tree(tensors: Mapping[str, Tensor], constants: str) -> nn.Module:
    root = nn.Module()
    for name, tensor in tensors.items():
        *path, leaf = name.split(".")
        node = root
        for part in path:
            if part not in node._modules:
                node.add_module(part, nn.Module())
            node = node.get_submodule(part)
        if tensor.is_floating_point() and not (constants and re.fullmatch(constants, name)):
            node.register_parameter(leaf, nn.Parameter(tensor.detach().clone().float()))
        else:
            node.register_buffer(leaf, tensor.clone())
    for module in list(root.modules()):
        for name, child in module.named_children():
            if _is_linear(name, child):
                setattr(module, name, _linear(child))
    return root


def _is_linear(name: str, module: nn.Module) -> bool:
    """Return whether a module has the tensors of a linear layer; only its name sets an embedding table apart."""
    parameters = dict(module.named_parameters(recurse=False))
    weight, bias = parameters.get("weight"), parameters.get("bias")
    if module._modules or weight is None or weight.ndim != 2 or "embed" in name or len(parameters) > 2:
        return False
    return len(parameters) == 1 or (bias is not None and bias.shape == weight.shape[:1])


def _linear(module: nn.Module) -> nn.Linear:
    parameters = dict(module.named_parameters(recurse=False))
    outputs, inputs = parameters["weight"].shape
    linear = nn.Linear(inputs, outputs, bias="bias" in parameters, device="meta")
    for name, parameter in parameters.items():
        setattr(linear, name, parameter)
    return linear


def _collected(module: nn.Module, stem: str = "") -> Iterator[tuple[str, Tensor]]:
    adapted: Any = module
    if hasattr(module, "lora_A"):  # a linear layer within an adapter of peft
        base = adapted.get_base_layer()
        weight = base.weight
        for adapter in adapted.active_adapters:
            weight = weight + adapted.get_delta_weight(adapter).to(weight.dtype)
        yield f"{stem}weight", weight
        if base.bias is not None:
            yield f"{stem}bias", base.bias
        return
    for name, parameter in module.named_parameters(recurse=False):
        yield f"{stem}{name}", parameter
    for name, buffer in module.named_buffers(recurse=False):
        yield f"{stem}{name}", buffer
    for name, child in module.named_children():
        yield from _collected(child, f"{stem}{name}.")
