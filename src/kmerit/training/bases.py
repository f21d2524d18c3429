"""From a pre-trained checkpoint to a network with a new head, under the names in which such models are published."""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from kmerit.models.checkpoint import Checkpoint, read
from kmerit.models.family import Family, Head, families
from kmerit.models.keys import Settings
from kmerit.models.network import Network
from kmerit.models.tokenizer import Tokenizer

_STD = 0.02
_TOKENIZER_FILES = (
    "tokenizer.json",
    "tokenizer_config.json",
    "special_tokens_map.json",
    "added_tokens.json",
    "vocab.txt",
    "vocab.json",
    "merges.txt",
)


@dataclass(frozen=True, eq=False)
class Base:
    """A checkpoint with a new head, ready to be trained.

    Attributes:
        checkpoint: Its configuration names the new outputs; its tensors are those that the network uses.
        family: Whose forward pass is trained.
        head: The family's.
        tokenizer: Of the base.
        max_tokens: How many it takes.
        new: Names of the tensors that are not the base's.
    """

    checkpoint: Checkpoint
    family: Family
    head: Head
    tokenizer: Tokenizer
    max_tokens: int
    new: tuple[str, ...]

    def network(self, tensors: Mapping[str, Tensor]) -> Network:
        """Build the family's network on other tensors of the same names."""
        return self.head.network(self.checkpoint.holding(tensors))

    def write_files(self, out: Path, about: Mapping[str, Any]) -> None:
        """Write what surrounds the weights: config.json, and the tokeniser's files as they are."""
        config = {**self.checkpoint.config, "dtype": "float32", "kmerit": dict(about)}
        (out / "config.json").write_text(json.dumps(config, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
        copy_tokenizer(self.checkpoint.folder, out)


def base_of(name: str, outputs: Sequence[str], problem_type: str, seed: int) -> Base | None:
    """Find the family of a pre-trained checkpoint, and give it a new head.

    Args:
        name: A folder, a hub name, or a bundled model.
        outputs: Names of classes, labels or values.
        problem_type: As transformers calls it.
        seed: Of the new weights.

    Returns:
        None where no family of kmerit's own trains such a checkpoint.

    Raises:
        CheckpointError: A tensor is missing or of another shape, or something of the base would be ignored.
    """
    source = read(name, dtype=torch.float32)
    for family in sorted(families().values(), key=lambda family: family.breadth):
        checkpoint = source if family.head is None else _with_stem(source, family.head.stem)
        if family.fits(checkpoint):
            if family.head is None:
                return None
            return _with_head(checkpoint, family, family.head, outputs, problem_type, seed)
    return None


def copy_tokenizer(source: Path, out: Path) -> None:
    """Copy the files of a tokeniser as they are."""
    for name in _TOKENIZER_FILES:
        if (source / name).is_file():
            shutil.copyfile(source / name, out / name)


def _with_stem(checkpoint: Checkpoint, stem: str) -> Checkpoint:
    """Name the tensors of a bare encoder as they are called under a head."""
    if any(key.startswith(stem) for key in checkpoint.tensors):
        return checkpoint
    return checkpoint.holding({f"{stem}{key}": checkpoint.tensors[key] for key in checkpoint.tensors})


def _with_head(
    checkpoint: Checkpoint, family: Family, head: Head, outputs: Sequence[str], problem_type: str, seed: int
) -> Base:
    shapes = head.shapes(checkpoint)
    generator = torch.Generator().manual_seed(seed)
    tensors = {key: each.float() if each.is_floating_point() else each for key, each in checkpoint.tensors.items()}
    new = []
    for key, shape in shapes.items():
        if -1 not in shape and key in tensors:
            continue  # the base has learned this part of the head
        size = tuple(len(outputs) if length == -1 else length for length in shape)
        tensors[key] = _fresh(key, size, generator)
        new.append(key)
    for key in head.doubles(tensors):
        del tensors[key]
    config = {key: value for key, value in checkpoint.config.items() if key not in ("auto_map", "_name_or_path")}
    config |= {
        "architectures": [head.architecture],
        "id2label": {str(i): label for i, label in enumerate(outputs)},
        "label2id": {label: i for i, label in enumerate(outputs)},
        "problem_type": problem_type,
    }
    config.pop("num_labels", None)
    ready = replace(checkpoint.holding(tensors), config=Settings(config))
    parts = family.build(ready)
    ready.close("|".join(filter(None, (parts.unused, head.leftovers))), parts.ignored)
    state = {key: tensors[key] for key in sorted(ready.taken)}  # in one order, by which an optimiser knows them
    return Base(ready.holding(state), family, head, parts.tokenizer, parts.max_tokens, tuple(new))


def _fresh(key: str, shape: tuple[int, ...], generator: torch.Generator) -> Tensor:
    """Start a tensor of the head: matrices small and random, norms at one, biases at zero."""
    if len(shape) > 1:
        return torch.randn(shape, generator=generator) * _STD
    return torch.ones(shape) if key.endswith("norm.weight") else torch.zeros(shape)
