"""Reading a checkpoint: a folder in Hugging Face's layout, a hub name, or a bundled model. Never remote code."""

from __future__ import annotations

import json
import os
import pickle
from collections.abc import Mapping
from dataclasses import dataclass
from hashlib import sha256
from importlib.resources import files
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

from kmerit.errors import CheckpointError, MissingExtra, OfflineError, UnknownName

BUNDLED = "bundled:"
_FILES = ["*.json", "*.safetensors", "*.txt", "*.model", "pytorch_model*.bin"]


@dataclass(frozen=True, eq=False)
class Checkpoint:
    """A checkpoint on disk: its configuration as published, its tensors by name, and where it lies."""

    name: str
    folder: Path
    config: Mapping[str, Any]
    tensors: Mapping[str, Tensor]

    def tensor(self, name: str, *shape: int) -> Tensor:
        """Take one tensor, checking its shape (-1: any).

        Raises:
            CheckpointError: It is missing, or of another shape.
        """
        found = self.tensors.get(name)
        if found is None:
            raise CheckpointError(
                f"{self.name}: expected a tensor {name!r}, found none of that name among {len(self.tensors)}. "
                f"Is this a checkpoint of {self.config.get('architectures') or 'another architecture'}?"
            )
        if len(shape) != found.ndim or any(s not in (-1, f) for s, f in zip(shape, found.shape, strict=True)):
            raise CheckpointError(
                f"{self.name}: config.json makes {name!r} {list(shape)}, the weights make it {list(found.shape)}."
            )
        return found

    def size(self, key: str) -> int:
        """Take a whole number from the configuration.

        Raises:
            CheckpointError: It is not there, or is no whole number.
        """
        value = self.config.get(key)
        if not isinstance(value, int) or isinstance(value, bool):
            raise CheckpointError(f"{self.name}: expected a whole number as {key!r} in config.json, got {value!r}.")
        return value

    def json(self, file: str) -> dict[str, Any]:
        """Read one of its smaller files; nothing where there is none.

        Raises:
            CheckpointError: It is not JSON.
        """
        path = self.folder / file
        try:
            return dict(json.loads(path.read_text(encoding="utf-8"))) if path.is_file() else {}
        except ValueError as error:
            raise CheckpointError(f"{path}: not valid JSON ({error}).") from error

    @property
    def digest(self) -> str:
        """sha256 over the names and bytes of all tensors, in order of their names."""
        total = sha256()
        for name in sorted(self.tensors):
            total.update(name.encode())
            total.update(self.tensors[name].reshape(-1).contiguous().view(torch.uint8).numpy().tobytes())
        return total.hexdigest()


def bundled() -> list[str]:
    """List the models that ship with kmerit.

    Example:
        >>> bundled()
        ['encoder', 'enhancer', 'promoter']
    """
    root = Path(str(files("kmerit"))) / "assets" / "models"
    return sorted(path.parent.name for path in root.glob("*/config.json"))


def locate(path_or_name: str | os.PathLike[str]) -> Path:
    """Find the folder of a checkpoint, downloading it from the hub where need be.

    Raises:
        CheckpointError: Neither a folder with a config.json nor the name of one.
        OfflineError: On the hub perhaps, but it cannot be reached.
        UnknownName: No bundled model of that name.
    """
    name = os.fspath(path_or_name)
    if name.startswith(BUNDLED):
        if name.removeprefix(BUNDLED) not in bundled():
            raise UnknownName("bundled model", name.removeprefix(BUNDLED), bundled(), see="kmerit list models")
        return Path(str(files("kmerit"))) / "assets" / "models" / name.removeprefix(BUNDLED)
    folder = Path(name).expanduser()
    if folder.is_dir():
        if not (folder / "config.json").is_file():
            raise CheckpointError(f"{name}: expected a folder with config.json and weights; there is no config.json.")
        return folder
    if folder.exists() or name.count("/") > 1 or name.startswith((".", "/", "~")):
        raise CheckpointError(f"{name}: expected a folder in Hugging Face's layout, or a hub name owner/name.")
    return _download(name)


def _download(name: str) -> Path:
    try:
        from huggingface_hub import snapshot_download
        from huggingface_hub.errors import HfHubHTTPError, LocalEntryNotFoundError, RepositoryNotFoundError
    except ImportError as error:
        raise MissingExtra("huggingface-hub", "hub", "Loading a model by its hub name") from error
    try:
        return Path(snapshot_download(name, allow_patterns=_FILES))
    except RepositoryNotFoundError as error:
        raise CheckpointError(f"{name}: no such folder here and no such model on the hub.") from error
    except (LocalEntryNotFoundError, HfHubHTTPError, OSError, ValueError) as error:
        raise OfflineError(
            f"{name}: no such folder here, and the hub cannot be reached. Copy the model's folder "
            f"(config.json, model.safetensors or pytorch_model.bin, vocab.txt) to this machine and give its path."
        ) from error


def read(path_or_name: str | os.PathLike[str]) -> Checkpoint:
    """Read configuration and tensors; safetensors by preference.

    Raises:
        CheckpointError: Files missing, truncated, not readable, or weights that are not finite.
    """
    folder, name = locate(path_or_name), os.fspath(path_or_name)
    try:
        config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    except ValueError as error:
        raise CheckpointError(f"{folder / 'config.json'}: not valid JSON ({error}).") from error
    tensors: dict[str, Tensor] = {}
    for path in _weight_files(folder, name):
        tensors.update(_read_weights(path))
    for key, tensor in tensors.items():
        if tensor.is_floating_point() and not bool(torch.isfinite(tensor).all()):
            raise CheckpointError(
                f"{name}: {key!r} holds NaN or infinite weights; the training diverged, or the file broke."
            )
    return Checkpoint(name, folder, config, {_modern(key): tensor for key, tensor in tensors.items()})


def _weight_files(folder: Path, name: str) -> list[Path]:
    for stem in ("model.safetensors", "pytorch_model.bin"):
        index = folder / f"{stem}.index.json"
        if index.is_file():
            return [folder / part for part in sorted(set(json.loads(index.read_text())["weight_map"].values()))]
        if (folder / stem).is_file():
            return [folder / stem]
    raise CheckpointError(f"{name}: expected model.safetensors or pytorch_model.bin in {folder}; found neither.")


def _read_weights(path: Path) -> dict[str, Tensor]:
    try:
        if path.suffix == ".safetensors":
            return dict(load_file(path))
        return dict(torch.load(path, map_location="cpu", weights_only=True))
    except (SafetensorError, OSError, RuntimeError, ValueError, EOFError, pickle.UnpicklingError) as error:
        reason = str(error).splitlines()[0][:120] if str(error) else type(error).__name__
        raise CheckpointError(
            f"{path}: not readable as weights, truncated perhaps ({reason}). Copy it anew."
        ) from error


def _modern(key: str) -> str:
    """Name a tensor as transformers does today; old checkpoints say gamma and beta."""
    return key.replace("LayerNorm.gamma", "LayerNorm.weight").replace("LayerNorm.beta", "LayerNorm.bias")
