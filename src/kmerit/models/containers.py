"""Weights on disk: safetensors or pickled tensors, whole or in shards, each tensor read when it is asked for."""

from __future__ import annotations

import ctypes
import io
import json
import logging
import pickle
import pickletools
import re
import warnings
import zipfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Self, cast

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from kmerit.errors import CheckpointError

_LIBC = ctypes.CDLL(None)
_LOG = logging.getLogger(__name__)
_WRAPPERS = ("module.", "_orig_mod.", "model.")
"""What DataParallel, torch.compile and training frameworks put before the name of every tensor."""
_STATES = ("state_dict", "model_state_dict", "model")
"""Entries of a training's file that hold the model."""
_OF_TENSORS = re.compile(
    r"torch\._utils\._rebuild|torch\.(\w+Storage|Size)$|collections\.OrderedDict$|torch\.storage\."
)
"""What pickled tensors ask for."""
_TYPES = {
    "F64": torch.float64,
    "F32": torch.float32,
    "F16": torch.float16,
    "BF16": torch.bfloat16,
    "I64": torch.int64,
    "I32": torch.int32,
    "U8": torch.uint8,
    "BOOL": torch.bool,
}
_FLOATING = (torch.float64, torch.float32, torch.float16, torch.bfloat16)
_INDEX_OF = {".safetensors": "model.safetensors.index.json", ".bin": "pytorch_model.bin.index.json"}
_OTHERS = ("tf_model.h5", "flax_model.msgpack", "model.onnx", "rust_model.ot", "model.ckpt.index")


@dataclass(frozen=True, eq=False)
class _Entry:
    """One tensor: where it lies, under which name, and what it is like."""

    source: Path | Tensor
    key: str
    shape: tuple[int, ...]
    dtype: torch.dtype

    def read(self) -> Tensor:
        if isinstance(self.source, Tensor):
            return self.source
        with safe_open(self.source, "pt") as file:  # each time, so that the pages that were read are given back
            tensor: Tensor = file.get_tensor(self.key).clone()
        return tensor


class Tensors(Mapping[str, Tensor]):
    """The tensors of a checkpoint by name.

    Those of safetensors files are mapped, and read when they are asked for: nothing is held here. Those of pickled
    files are held until they are taken.
    """

    def __init__(self, entries: Mapping[str, _Entry]) -> None:
        """Take what ``open_weights`` found."""
        self._entries = dict(entries)

    def __getitem__(self, name: str) -> Tensor:
        return self._entries[name].read()

    def __iter__(self) -> Iterator[str]:
        return iter(self._entries)

    def __len__(self) -> int:
        return len(self._entries)

    def __contains__(self, name: object) -> bool:
        return name in self._entries

    def shape(self, name: str) -> tuple[int, ...]:
        """Tell the shape of a tensor without reading it."""
        return self._entries[name].shape

    @classmethod
    def of(cls, tensors: Mapping[str, Tensor]) -> Self:
        """Take tensors that are in memory."""
        return cls({key: _Entry(each, key, tuple(each.shape), each.dtype) for key, each in tensors.items()})

    def behind(self, stem: str) -> Self:
        """Return the same tensors with a stem before each name that has it not."""
        return type(self)({k if k.startswith(stem) else f"{stem}{k}": each for k, each in self._entries.items()})

    def changed(self, tensors: Mapping[str, Tensor], without: tuple[str, ...] = ()) -> Self:
        """Put tensors in the place of others, after leaving out those whose names begin in some way."""
        entries = {key: each for key, each in self._entries.items() if not key.startswith(without)}
        return type(self)(entries | self.of(tensors)._entries)

    def forget(self, name: str) -> None:
        """Hold a tensor no longer; it cannot be read again, if it was held."""
        entry = self._entries[name]
        if isinstance(entry.source, Tensor):
            self._entries[name] = replace(entry, source=Path(name))
            if hasattr(_LIBC, "malloc_trim"):
                _LIBC.malloc_trim(0)  # or gaps between the others would stay with this process


def open_file(path: Path) -> Tensors:
    """Find the tensors of one file, under the names that they have there.

    Raises:
        CheckpointError: It is not readable, or holds something else than tensors.
    """
    return Tensors(_entries(path))


def open_weights(folder: Path, name: str) -> Tensors:
    """Find the weights of a folder, safetensors by preference, and read what is in them.

    Args:
        folder: Of the checkpoint.
        name: What errors call it.

    Raises:
        CheckpointError: No weights, not readable, something else than tensors, or of a type that is no plain number.
    """
    entries: dict[str, _Entry] = {}
    for path in _weight_files(folder, name):
        for key, entry in _entries(path).items():
            if key in entries:
                raise CheckpointError(f"{path}: {key!r} is in another file of the checkpoint, too.")
            entries[key] = entry
    entries = _unwrapped(entries, name)
    modern = {_modern(key): entry for key, entry in entries.items()}
    if len(modern) < len(entries):
        raise CheckpointError(
            f"{name}: holds LayerNorm.gamma or .beta in addition to .weight or .bias. Remove one of them."
        )
    for key, entry in modern.items():
        if (entry.dtype.is_floating_point or "weight" in key) and entry.dtype not in _FLOATING:
            raise CheckpointError(
                f"{name}: {key!r} is {_type_name(entry.dtype)}; expected float32, float16, bfloat16 or float64. "
                f"Quantised weights are not supported; save the model unquantised."
            )
    return Tensors(modern)


def _weight_files(folder: Path, name: str) -> list[Path]:
    for stem in ("model.safetensors", "pytorch_model.bin"):
        if (folder / stem).is_file():
            return [folder / stem]
        index = folder / f"{stem}.index.json"
        if index.is_file():
            return _shards(index)
    raise CheckpointError(
        f"{name}: expected model.safetensors or pytorch_model.bin in {folder}; found neither.{_hint(folder)}"
    )


def _hint(folder: Path) -> str:
    """Tell what there is where weights are not."""
    for path in sorted(folder.iterdir()):
        if path.is_symlink() and not path.exists():
            return f" {path.name} is a link to {path.readlink()}, which is not there: copy what it links to."
    others = [file for file in _OTHERS if (folder / file).is_file()]
    if others:
        return f" {others[0]} is of another framework: save the model with torch's save_pretrained."
    shards = sorted(path for pattern in ("model-*.safetensors", "pytorch_model-*.bin") for path in folder.glob(pattern))
    if shards:
        return f" {shards[0].name} is a part: copy {_INDEX_OF[shards[0].suffix]}, which tells what is in which."
    steps = sorted(folder.glob("checkpoint-*"), key=lambda path: (len(path.name), path.name))
    return f" There are checkpoints of a training; choose one, as {steps[-1]}." if steps else ""


def _shards(index: Path) -> list[Path]:
    try:
        index_table = json.loads(index.read_text(encoding="utf-8"))
    except (ValueError, RecursionError) as error:
        raise CheckpointError(f"{index}: not valid JSON ({error}).") from error
    where = index_table.get("weight_map") if isinstance(index_table, dict) else None
    if not isinstance(where, dict) or not where or not all(isinstance(part, str) for part in where.values()):
        raise CheckpointError(
            f"{index}: expected under 'weight_map' the file of each tensor; there is none. Copy the index again."
        )
    parts = sorted(set(where.values()))
    for part in parts:
        if Path(part).name != part:
            raise CheckpointError(f"{index}: names {part!r}; expected files of the same folder.")
        if not (index.parent / part).is_file():
            raise CheckpointError(f"{index}: names {part}, which is not in the folder. Copy all {len(parts)} files.")
    entries = {key: part for part in parts for key in _entries(index.parent / part)}
    wrong = [key for key in {**where, **entries} if where.get(key) != entries.get(key)]
    if wrong:
        raise CheckpointError(
            f"{index}: says that {wrong[0]!r} is in {where.get(wrong[0], 'no file')}; it is in "
            f"{entries.get(wrong[0], 'none')}. Copy the index and its files again."
        )
    return [index.parent / part for part in parts]


def _entries(path: Path) -> dict[str, _Entry]:
    try:
        if path.suffix == ".safetensors":
            return _mapped(path)
        with warnings.catch_warnings(action="ignore"):  # of protocols
            loaded = torch.load(path, map_location="cpu", weights_only=True)
    except (pickle.UnpicklingError, SafetensorError, OSError, RuntimeError, ValueError, LookupError, EOFError) as error:
        raise _unreadable(path, error) from error
    return {key: _Entry(t, key, tuple(t.shape), t.dtype) for key, t in _state(path, loaded).items()}


def _mapped(path: Path) -> dict[str, _Entry]:
    entries = {}
    with safe_open(path, "pt") as file:
        for key in file.keys():  # noqa: SIM118  it is no mapping
            part = file.get_slice(key)
            dtype = _TYPES.get(part.get_dtype())
            if dtype is None:
                raise CheckpointError(
                    f"{path}: {key!r} is {part.get_dtype()}; expected float32, float16, bfloat16 or float64. "
                    f"Quantised weights are not supported; save the model unquantised."
                )
            entries[key] = _Entry(path, key, tuple(part.get_shape()), dtype)
    return entries


def _state(path: Path, loaded: object) -> dict[str, Tensor]:
    """Find the tensors by name in what was pickled: that itself, or one of its entries."""
    if not isinstance(loaded, Mapping):
        raise CheckpointError(f"{path}: expected tensors by name, got {type(loaded).__name__}. Save a state_dict().")
    inside = [key for key in _STATES if isinstance(loaded.get(key), Mapping)]
    if len(inside) == 1:
        others = [key for key, value in loaded.items() if key != inside[0] and _has_tensors(value)]
        if others and others[0] not in ("optimizer", "optimizer_states", "optimizer_state_dict"):
            raise CheckpointError(
                f"{path}: holds weights under {inside[0]!r} and under {others[0]!r}. Save those of the model alone."
            )
        loaded = loaded[inside[0]]
    elif len(inside) > 1:
        raise CheckpointError(f"{path}: holds weights under {' and '.join(inside)}. Save those of the model alone.")
    state = cast("Mapping[Any, Any]", loaded)
    for key, value in state.items():
        if not isinstance(key, str) or not isinstance(value, Tensor):
            raise CheckpointError(
                f"{path}: {key!r} is {type(value).__name__}; expected tensors by name. Save the model's state_dict()."
            )
        if value.layout != torch.strided or value.is_quantized:
            raise CheckpointError(f"{path}: {key!r} is no plain tensor. Save the model unquantised, in dense tensors.")
    return dict(state)


def _has_tensors(value: object) -> bool:
    return isinstance(value, Tensor) or (isinstance(value, Mapping) and any(map(_has_tensors, value.values())))


def _unreadable(path: Path, error: Exception) -> CheckpointError:
    refuse_pointer(path)
    with path.open("rb") as file:
        start = file.read(9)
    if path.suffix == ".safetensors" and (start.startswith(b"PK") or start[:1] == b"\x80"):
        return CheckpointError(
            f"{path}: a file of torch under the name of a safetensors file. Name it pytorch_model.bin."
        )
    if path.suffix != ".safetensors" and start[8:] == b"{":
        return CheckpointError(f"{path}: a safetensors file under the name of one of torch. Name it model.safetensors.")
    name = None if path.suffix == ".safetensors" else _asked(path)
    if name is not None:
        whole = re.search(r"(^|\.)(modeling|modules|models|nn|model)(_|\.)", name)
        return CheckpointError(
            f"{path}: not readable as weights alone: it asks to run {name}, as "
            f"{'a whole model saved by torch.save' if whole else 'a program'} does. Nothing was run. Get the model as "
            f"safetensors, or save its state_dict() where you trust it."
        )
    if path.suffix != ".safetensors" and start[:1] == b"\x80" and not isinstance(error, EOFError) and name is None:
        return CheckpointError(
            f"{path}: a pickle that torch.save did not write. Write it with torch.save, or safetensors."
        )
    detail = "" if isinstance(error, pickle.UnpicklingError) else str(error)  # torch's says how to run it all the same
    reason = detail.splitlines()[0][:120] if detail else type(error).__name__
    return CheckpointError(f"{path}: not readable as weights, truncated perhaps ({reason}). Copy it again.")


def refuse_pointer(path: Path) -> None:
    """Refuse a pointer of Git LFS in a file's place.

    Raises:
        CheckpointError: It is one.
    """
    with path.open("rb") as file:
        if file.read(40).startswith(b"version https://git-lfs"):
            raise CheckpointError(f"{path}: a pointer of Git LFS, not the file itself. Fetch it with: git lfs pull")


def _asked(path: Path) -> str | None:
    """Name the first thing that a pickle asks for and that no tensor needs; reading its instructions runs nothing."""
    words: list[str] = []
    try:
        if zipfile.is_zipfile(path):
            with zipfile.ZipFile(path) as archive:
                inside = next(name for name in archive.namelist() if name.endswith("data.pkl"))
                stream = io.BytesIO(archive.read(inside))
        else:
            stream = io.BytesIO(path.read_bytes())
        while stream.tell() < len(stream.getbuffer()):  # old files are several pickles
            for code, value, _ in pickletools.genops(stream):
                if isinstance(value, str):
                    words.append(value.replace(" ", ".") if code.name == "GLOBAL" else value)
                global_name = words[-1] if code.name == "GLOBAL" else ".".join(words[-2:])
                if code.name in ("GLOBAL", "STACK_GLOBAL") and not _OF_TENSORS.match(global_name):
                    return global_name
    except (ValueError, OSError, LookupError, StopIteration, zipfile.BadZipFile):
        return None
    return None


def _unwrapped(entries: dict[str, _Entry], name: str) -> dict[str, _Entry]:
    """Take off what a wrapper put before every name, and say so."""
    for wrapper in _WRAPPERS * 2:
        if entries and all(key.startswith(wrapper) for key in entries):
            _LOG.warning("%s: every tensor's name begins with %r, a wrapper's; it was taken off.", name, wrapper)
            entries = {key.removeprefix(wrapper): entry for key, entry in entries.items()}
    return entries


def _type_name(dtype: Any) -> str:
    return str(dtype).removeprefix("torch.")


def _modern(key: str) -> str:
    """Name a tensor as transformers does today; old checkpoints say gamma and beta."""
    return re.sub(r"(LayerNorm|layer_norm)\.(gamma|beta)$", _renamed, key)


def _renamed(match: re.Match[str]) -> str:
    return f"{match[1]}.{'weight' if match[2] == 'gamma' else 'bias'}"
