"""Checkpoints: find the folder, read its settings and tensors. Never remote code.

Reading a checkpoint: a folder in Hugging Face's layout, a hub name, or a bundled model. Never remote code. A
checkpoint is a closed world: who builds a model takes tensors and keys of config.json through it, and at the end
``close`` refuses what nobody took.
"""

from __future__ import annotations

import io
import json
import logging
import math
import os
import pickle
import pickletools
import re
import sys
import warnings
import zipfile
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from hashlib import sha256
from importlib.resources import files
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Self, cast

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor, nn

from kmerit.disk import return_memory
from kmerit.errors import CheckpointError, MissingExtra, OfflineError, UnknownName

BUNDLED = "bundled:"
ADAPTER = "adapter_config.json"
_SMALL = (".json", ".txt", ".model")
"""Endings of the files that a checkpoint needs besides its weights."""
_MODELS = (("model", ".safetensors"), ("pytorch_model", ".bin"))
_ADAPTERS = (("adapter_model", ".safetensors"), ("adapter_model", ".bin"))


def bundled() -> list[str]:
    """List the models that ship with kmerit.

    Example:
        >>> bundled()
        ['encoder', 'enhancer', 'planted_values', 'promoter']
    """
    root = Path(str(files("kmerit"))) / "assets" / "models"
    return sorted(path.parent.name for path in root.glob("*/config.json"))


def locate(path_or_name: str | os.PathLike[str], revision: str | None = None) -> Path:
    """Find the folder of a checkpoint, downloading it from the hub where need be.

    Args:
        path_or_name: A folder, ``bundled:NAME``, or a name of the hub: ``owner/name`` or ``owner/name@revision``.
        revision: Branch, tag or commit of a hub name.

    Raises:
        CheckpointError: Neither a folder of a checkpoint nor the name of one.
        OfflineError: On the hub perhaps, but it cannot be reached.
        UnknownName: No bundled model of that name.
    """
    name = os.fspath(path_or_name)
    folder = Path(name).expanduser()
    local = name.startswith(BUNDLED) or os.path.exists(folder)
    if local and revision is not None:
        raise CheckpointError(f"{name}: is not a hub name, so it has no revision {revision!r}. Leave it out.")
    if name.startswith(BUNDLED):
        if name.removeprefix(BUNDLED) not in bundled():
            raise UnknownName("bundled model", name.removeprefix(BUNDLED), bundled(), see="kmerit list models")
        return Path(str(files("kmerit"))) / "assets" / "models" / name.removeprefix(BUNDLED)
    if os.path.isdir(folder):
        _check_folder(folder, name)
        return folder
    plain, _, version = name.partition("@")
    if os.path.exists(folder) or plain.count("/") > 1 or name.startswith((".", "/", "~")) or name != name.strip():
        raise CheckpointError(f"{name}: expected a folder in Hugging Face's layout, or a hub name owner/name.")
    if version and revision not in (None, version):
        raise CheckpointError(f"{name}: names the revision {version!r}, and {revision!r} is asked for. Give one.")
    if name != plain and not version:
        raise CheckpointError(f"{name}: expected a revision after @. Give one, or leave the @ out.")
    path = _download(plain, version or revision)
    _check_folder(path, name)
    return path


def _check_folder(folder: Path, name: str) -> None:
    """Refuse a folder that is no checkpoint, and name what it is instead."""
    if (folder / ADAPTER).is_file():
        if weights := [f"{stem}{end}" for stem, end in _MODELS if any(folder.glob(f"{stem}{end}*"))]:
            raise CheckpointError(
                f"{name}: holds an adapter of peft ({ADAPTER}) next to a model's weights ({weights[0]}), and does not "
                f"say whether it is merged into them. Move one of them to a folder of its own."
            )
        return
    if (folder / "config.json").is_file():
        return
    steps = sorted(folder.glob("checkpoint-*/config.json"), key=lambda path: (len(path.parent.name), str(path)))
    if steps:
        names = ", ".join(path.parent.name for path in steps)
        raise CheckpointError(
            f"{name}: the folder of a training, with checkpoints and no model of its own: {names}. "
            f"Choose one, as {folder / steps[-1].parent.name}."
        )
    raise CheckpointError(f"{name}: expected a folder with config.json and weights; there is no config.json.")


def _download(name: str, revision: str | None) -> Path:
    try:
        from huggingface_hub import HfApi, snapshot_download
        from huggingface_hub import errors as hub
    except ImportError as error:
        raise MissingExtra("huggingface-hub", "hub", "Loading a model by its hub name") from error
    try:
        try:
            names = HfApi().list_repo_files(name, revision=revision)
        except (hub.OfflineModeIsEnabled, hub.RepositoryNotFoundError, hub.RevisionNotFoundError):
            raise
        except (hub.HfHubHTTPError, OSError):  # not to be reached: a snapshot that is here will do
            return Path(snapshot_download(name, revision=revision, local_files_only=True))
        return Path(snapshot_download(name, revision=revision, allow_patterns=needed(names)))
    except hub.OfflineModeIsEnabled as error:
        return _cached(name, revision, error)
    except hub.GatedRepoError as error:
        raise CheckpointError(
            f"{name}: is gated. Ask for access on its page on the hub, then log in here with: hf auth login"
        ) from error
    except hub.RepositoryNotFoundError as error:
        raise CheckpointError(
            f"{name}: no such folder here and no such model on the hub; if it is private, log in with: hf auth login"
        ) from error
    except hub.RevisionNotFoundError as error:
        raise CheckpointError(
            f"{name}: has no revision {revision!r} on the hub; expected a branch, tag or commit."
        ) from error
    except hub.HFValidationError as error:
        raise CheckpointError(
            f"{name}: no such folder here, and not a hub name (owner/name). Bundled models: kmerit list models"
        ) from error
    except (hub.LocalEntryNotFoundError, hub.HfHubHTTPError, OSError, ValueError) as error:
        raise _offline(name, revision) from error


def _cached(name: str, revision: str | None, cause: Any) -> Path:
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HFValidationError, LocalEntryNotFoundError

    try:
        return Path(snapshot_download(name, revision=revision, local_files_only=True))
    except HFValidationError as error:
        raise CheckpointError(
            f"{name}: no such folder here, and not a hub name (owner/name). Bundled models: kmerit list models"
        ) from error
    except LocalEntryNotFoundError:
        raise _offline(name, revision) from cause


def _offline(name: str, revision: str | None) -> OfflineError:
    at = f" at revision {revision}" if revision else ""
    return OfflineError(
        f"{name}: no such folder here, no snapshot{at} in the hub's cache, and the hub cannot be reached. Copy its "
        f"folder (config.json, model.safetensors or pytorch_model.bin, vocab.txt) to this machine and give its path."
    )


def needed(names: Sequence[str]) -> list[str]:
    """Choose the files of a repository to download: its own small files, and one set of weights, safetensors first.

    Example:
        >>> needed(["config.json", "pytorch_model.bin", "model.safetensors", "checkpoint-5/model.safetensors"])
        ['config.json', 'model.safetensors']
    """
    own = [name for name in names if "/" not in name]
    small = [name for name in own if name.endswith(_SMALL)]
    sets = ([name for name in own if name.startswith(stem) and name.endswith(end)] for stem, end in _MODELS + _ADAPTERS)
    return [*small, *next((files for files in sets if files), [])]


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
            return_memory()  # or gaps between the others would stay with this process


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
    foreign_files = [file for file in _OTHERS if (folder / file).is_file()]
    if foreign_files:
        return f" {foreign_files[0]} is of another framework: save the model with torch's save_pretrained."
    shards = sorted(path for pattern in ("model-*.safetensors", "pytorch_model-*.bin") for path in folder.glob(pattern))
    if shards:
        return f" {shards[0].name} is a part: copy {_INDEX_OF[shards[0].suffix]}, which lists the parts."
    steps = sorted(folder.glob("checkpoint-*"), key=lambda path: (len(path.name), path.name))
    return f" There are checkpoints of a training; choose one, as {steps[-1]}." if steps else ""


def _shards(index: Path) -> list[Path]:
    try:
        index_table = json.loads(index.read_text(encoding="utf-8"))
    except (ValueError, RecursionError) as error:
        raise CheckpointError(f"{index}: not valid JSON ({error}).") from error
    file_of = index_table.get("weight_map") if isinstance(index_table, dict) else None
    if not isinstance(file_of, dict) or not file_of or not all(isinstance(part, str) for part in file_of.values()):
        raise CheckpointError(
            f"{index}: expected under 'weight_map' the file of each tensor; there is none. Copy the index again."
        )
    parts = sorted(set(file_of.values()))
    for part in parts:
        if Path(part).name != part:
            raise CheckpointError(f"{index}: names {part!r}; expected files of the same folder.")
        if not (index.parent / part).is_file():
            raise CheckpointError(f"{index}: names {part}, which is not in the folder. Copy all {len(parts)} files.")
    entries = {key: part for part in parts for key in _entries(index.parent / part)}
    misplaced = [key for key in {**file_of, **entries} if file_of.get(key) != entries.get(key)]
    if misplaced:
        raise CheckpointError(
            f"{index}: says that {misplaced[0]!r} is in {file_of.get(misplaced[0], 'no file')}; it is in "
            f"{entries.get(misplaced[0], 'none')}. Copy the index and its files again."
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
            raise CheckpointError(
                f"{path}: {key!r} is not a plain tensor. Save the model unquantised, in dense tensors."
            )
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


_BOOKKEEPING = """
architectures auto_map custom_pipelines dtype finetuning_task id2label kmerit label2id model_type name_or_path
num_labels problem_type task_specific_params tokenizer_class torch_dtype transformers_version
"""
_OUTPUTS = """
gradient_checkpointing output_attentions output_hidden_states output_past return_dict torchscript use_bfloat16
use_cache use_return_dict
"""
_TRAINING = """
attention_dropout attention_probs_dropout_prob classifier_dropout hidden_dropout_prob initializer_factor
initializer_range label_smoothing mlm_probability tie_encoder_decoder tie_word_embeddings
"""
_GENERATION = """
bad_words_ids begin_suppress_tokens decoder_start_token_id diversity_penalty do_sample early_stopping
encoder_no_repeat_ngram_size exponential_decay_length_penalty forced_bos_token_id forced_eos_token_id length_penalty
max_length min_length no_repeat_ngram_size num_beam_groups num_beams num_return_sequences output_scores prefix
remove_invalid_values repetition_penalty return_dict_in_generate suppress_tokens temperature tf_legacy_loss top_k
top_p typical_p
"""
_TOKENS = """
bos_token_id cls_token_id eos_token_id eos_token_ids mask_token_id pad_token_id sep_token_id unk_token_id
"""
_IN_PIECES = "chunk_size_feed_forward"  # the same numbers, computed in pieces

HARMLESS = frozenset(" ".join((_BOOKKEEPING, _OUTPUTS, _TRAINING, _GENERATION, _TOKENS, _IN_PIECES)).split())
"""What a checkpoint may set to anything."""

PLAIN: dict[str, Any] = {
    "add_cross_attention": False,
    "cross_attention_hidden_size": None,
    "is_decoder": False,
    "is_encoder_decoder": False,
    "pruned_heads": {},
}
"""What changes the forward pass, and at which value it does not."""


class Settings(Mapping[str, Any]):
    """The settings of a config.json; it notes which were asked for.

    Example:
        >>> settings = Settings({"hidden_size": 8, "scale": 2})
        >>> settings.get("hidden_size"), settings.taken
        (8, {'hidden_size'})
    """

    def __init__(self, values: Mapping[str, Any]) -> None:
        """Take what was read."""
        self._values = dict(values)
        self.taken: set[str] = set()

    def __getitem__(self, key: str) -> Any:
        self.taken.add(key)
        return self._values[key]

    def __iter__(self) -> Iterator[str]:
        return iter(self._values)

    def __len__(self) -> int:
        return len(self._values)

    def __contains__(self, key: object) -> bool:
        return key in self._values

    def unknown(self, known: Iterable[str]) -> dict[str, Any]:
        """List what nobody asked for, but what is known and what is off."""
        unread = self._values.keys() - self.taken - set(known)
        return {
            key: value
            for key, value in self._values.items()
            if key in unread and not key.startswith("_") and value not in (None, False, "", [], {})
        }


__all__ = ["BUNDLED", "Checkpoint", "bundled", "locate", "read"]

_LEFTOVERS = re.compile(
    r"cls\.(predictions|seq_relationship)\..+|lm_head\..+|(.+\.)?contact_head\..+|(.+\.)?(position_ids|inv_freq|token_type_ids)"
)
"""Tensors that a classifier may keep from its pre-training, and tables that follow from the configuration."""
_ADAPTER_FILES = re.compile(
    r"\.(lora_|ia3_|modules_to_save|base_layer|original_module|adapters?\.)|prompt_encoder|hada_"
)
_PADDED = 128
"""By how many rows a table of embeddings is filled up, for speed, at most."""
_UNTRAINED = ("ForMaskedLM", "ForPreTraining", "ForCausalLM", "LMHeadModel", "Model")


@dataclass(frozen=True, eq=False)
class Checkpoint:
    """A checkpoint on disk: its configuration as published, its tensors by name, and where it lies.

    Attributes:
        name: What it was asked for by.
        folder: Where its files are.
        config: config.json; a key that is asked for counts as taken.
        tensors: By name; read when asked for.
        dtype: What tensors are to be handed out in; as they are on disk by default.
    """

    name: str
    folder: Path
    config: Settings
    tensors: Tensors
    dtype: torch.dtype | None = None
    _taken: set[str] = field(default_factory=set, repr=False)

    def tensor(self, name: str, *shape: int) -> Tensor:
        """Take one tensor, checking its shape (-1: any).

        Raises:
            CheckpointError: It is missing, or of another shape.
        """
        if name not in self.tensors:
            raise CheckpointError(
                f"{self.name}: expected a tensor {name!r}, found none of that name among {len(self.tensors)}. "
                f"Is this a checkpoint of {self.config.get('architectures') or 'another architecture'}?"
            )
        actual = self.tensors.shape(name)
        if len(shape) != len(actual) or any(s not in (-1, f) for s, f in zip(shape, actual, strict=True)):
            raise CheckpointError(
                f"{self.name}: config.json makes {name!r} {list(shape)}, the weights make it {list(actual)}."
            )
        self._taken.add(name)
        value = self.tensors[name]
        return value.to(self.dtype) if self.dtype is not None and value.is_floating_point() else value

    @property
    def taken(self) -> frozenset[str]:
        """Names of the tensors that have been taken."""
        return frozenset(self._taken)

    def holding(self, tensors: Mapping[str, Tensor]) -> Checkpoint:
        """Return the same checkpoint with other tensors, none of them taken yet."""
        return replace(self, tensors=Tensors.of(tensors), _taken=set())

    def used(self, names: Iterable[str]) -> None:
        """Count tensors as taken that a library has put to use."""
        self._taken.update(names)

    def understood(self, keys: Iterable[str]) -> None:
        """Count keys of config.json as taken that a library reads."""
        self.config.taken.update(keys)

    def size(self, key: str) -> int:
        """Take a whole number from the configuration.

        Raises:
            CheckpointError: It is not there, or is no whole number, or is negative.
        """
        value = self.config.get(key)
        if not isinstance(value, int) or isinstance(value, bool) or value < 0:
            raise CheckpointError(f"{self.name}: expected a whole number as {key!r} in config.json, got {value!r}.")
        return value

    def window(self, key: str, default: int | None) -> int | None:
        """Take how many tokens something reaches over; null for no limit.

        Raises:
            CheckpointError: It is no whole number, or not positive.
        """
        value = self.config.get(key, default)
        if value is None:
            return None
        if not isinstance(value, int) or isinstance(value, bool) or value < 1:
            raise CheckpointError(
                f"{self.name}: expected a positive whole number as {key!r} in config.json, got {value!r}."
            )
        return value

    def number(self, key: str, default: float) -> float:
        """Take a positive number from the configuration.

        Raises:
            CheckpointError: It is none.
        """
        value = self.config.get(key, default)
        if not isinstance(value, int | float) or isinstance(value, bool) or not 0 < value <= sys.float_info.max:
            raise CheckpointError(f"{self.name}: expected a positive number as {key!r} in config.json, got {value!r}.")
        return float(value)

    def flag(self, key: str, default: bool = False) -> bool:
        """Take true or false from the configuration; null counts as the default.

        Raises:
            CheckpointError: It is neither.
        """
        value = self.config.get(key)
        if value is None:
            return default
        if not isinstance(value, bool):
            raise CheckpointError(f"{self.name}: expected true or false as {key!r} in config.json, got {value!r}.")
        return value

    def choice(self, key: str, *values: Any) -> Any:
        """Take one of the values that are computed here; the first is what a missing key means.

        Raises:
            CheckpointError: Another value.
        """
        value = self.config.get(key, values[0])
        if value not in values or isinstance(value, bool) != isinstance(values[values.index(value)], bool):
            choices = " or ".join(map(repr, dict.fromkeys(values)))
            raise CheckpointError(f"{self.name}: {key} is {value!r}; only {choices} is supported in config.json.")
        return value

    def rotary_base(self, kind: str = "") -> float | None:
        """Take the base of the frequencies of rotary positions from where newer configurations have it.

        Args:
            kind: Of the layers, where each kind has settings of its own.

        Raises:
            CheckpointError: Positions that are scaled, or partial, or two bases.
        """
        bases = set()
        for key in ("rope_parameters", "rope_scaling"):
            rope = self.config.get(key) or {}
            rope = rope.get(kind, rope) if isinstance(rope, Mapping) else rope
            if not isinstance(rope, Mapping):
                raise CheckpointError(f"{self.name}: expected settings as {key!r} in config.json, got {rope!r}.")
            for name in ("rope_type", "type"):
                if rope.get(name, "default") != "default":
                    raise CheckpointError(
                        f"{self.name}: {name} of {key} is {rope[name]!r} in config.json; only 'default' is supported."
                    )
            if rope.get("partial_rotary_factor") not in (None, 1):
                raise CheckpointError(f"{self.name}: {key} rotates a part of each head only, which is not supported.")
            if rope.get("rope_theta") is not None:
                bases.add(float(rope["rope_theta"]))
        if len(bases) > 1:
            raise CheckpointError(
                f"{self.name}: rope_parameters and rope_scaling name two bases in config.json: {sorted(bases)}."
            )
        return next(iter(bases), None)

    def heads(self, hidden: int) -> int:
        """Take the number of attention heads, which divides the width.

        Raises:
            CheckpointError: It does not.
        """
        heads = self.size("num_attention_heads")
        if heads == 0 or hidden % heads:
            raise CheckpointError(
                f"{self.name}: num_attention_heads is {heads} in config.json, which does not divide hidden_size "
                f"({hidden})."
            )
        return heads

    def json(self, file: str) -> dict[str, Any]:
        """Read one of its smaller files; nothing where there is none.

        Raises:
            CheckpointError: It is no JSON object.
        """
        path = self.folder / file
        return read_object(path) if path.is_file() else {}

    def lines(self, file: str) -> list[str] | None:
        """Read the words of a vocabulary file, one a line; None where there is none.

        Raises:
            CheckpointError: It is no text.
        """
        path = self.folder / file
        if not path.is_file():
            return None
        try:
            return path.read_text(encoding="utf-8").split()
        except ValueError as error:
            raise CheckpointError(f"{path}: not readable as text ({error}).") from error

    def token_ids(self) -> dict[str, int] | None:
        """Return the number of every word as tokenizer.json has it; None where there is no such file.

        Raises:
            CheckpointError: It is no JSON object.
        """
        tree = self.json("tokenizer.json")
        if not tree:
            return None
        model = tree.get("model")
        words = model.get("vocab") if isinstance(model, dict) else None
        extra_tokens = [each for each in tree.get("added_tokens") or () if isinstance(each, dict)]
        ids = words if isinstance(words, dict) else {}
        return {
            str(word): id_ for word, id_ in [*ids.items(), *((a.get("content"), a.get("id")) for a in extra_tokens)]
        }

    def check_token_ids(self, vocabulary: Sequence[str]) -> None:
        """Refuse a tokenizer.json that numbers words otherwise than they are numbered here.

        Args:
            vocabulary: The words in the order of their ids.

        Raises:
            CheckpointError: At the first word.
        """
        ids = self.token_ids()
        for id_, word in enumerate(vocabulary if ids is not None else ()):
            if ids is not None and ids.get(word) != id_:
                raise CheckpointError(
                    f"{self.folder / 'tokenizer.json'}: expected {word!r} as number {id_}, found {ids.get(word)!r}. "
                    f"Use the tokenizer.json of such a model; this one's numbers would be ignored."
                )

    def special_tokens(self) -> dict[str, str | None]:
        """Name the special tokens as the tokeniser's files do, by kind: ``pad_token``, ``eos_token`` ...

        Source: wolf2020, whose loader reads special_tokens_map.json where tokenizer_config.json lists no added tokens.
        """
        settings = self.json("tokenizer_config.json")
        if "added_tokens_decoder" not in settings:
            settings = {**settings, **self.json("special_tokens_map.json")}
        plain = {key: value.get("content") if isinstance(value, dict) else value for key, value in settings.items()}
        return {k: v for k, v in plain.items() if k.endswith("_token") and isinstance(v, str | None)}

    def check_architecture(self, others: frozenset[str] = frozenset()) -> None:
        """Refuse a checkpoint that says it is something else than a sequence classifier.

        Args:
            others: Names that its family takes besides.

        Raises:
            CheckpointError: It is for tokens, choices, spans ... or is not yet a classifier.
        """
        architectures = self.config.get("architectures")
        if not isinstance(architectures, list | None) or not all(isinstance(each, str) for each in architectures or ()):
            raise CheckpointError(
                f"{self.name}: expected names as 'architectures' in config.json, got {architectures!r}."
            )
        if not architectures or any(each.endswith("ForSequenceClassification") for each in architectures):
            return
        if others.issuperset(architectures):
            return
        names = ", ".join(architectures)
        if any("ForLongSequenceClassification" in each for each in architectures):
            raise CheckpointError(
                f"{self.name}: is {names} (DNABERT's dnalong), whose head runs a recurrent network over pieces of 512 "
                f"tokens; kmerit does not compute that. Fine-tune with --model_type dna, on shorter sequences."
            )
        heads = [key for key in self.tensors if key.startswith(("classifier.", "score."))]
        if not all(each.endswith(_UNTRAINED) for each in architectures):
            raise CheckpointError(
                f"{self.name}: config.json says {names}; expected a model for whole sequences, "
                f"...ForSequenceClassification. Others are not supported."
            )
        if heads:
            raise CheckpointError(
                f"{self.name}: config.json says {names}, so there is no classification head; the weights have one "
                f"({heads[0]!r}). Correct 'architectures', if it was fine-tuned."
            )

    def close(self, unused: str = "", ignored: frozenset[str] = frozenset()) -> None:
        """Refuse what nobody took: tensors, and keys of the configuration that may change the forward pass.

        Args:
            unused: A pattern of further tensors that are known to have no effect.
            ignored: Further keys that are known to have none.

        Raises:
            CheckpointError: Naming the first, and the remedy.
        """
        self._close_config(ignored)
        leftovers = [key for key in self.tensors if key not in self._taken]
        odd = [k for k in leftovers if not _LEFTOVERS.fullmatch(k) and not (unused and re.fullmatch(unused, k))]
        if odd:
            raise CheckpointError(self._leftover(odd))
        for key in leftovers:
            if key.endswith("position_ids"):
                ids = self.tensors[key].reshape(-1)
                if not torch.equal(ids, torch.arange(len(ids), dtype=ids.dtype)):
                    raise CheckpointError(
                        f"{self.name}: {key!r} does not count 0, 1, 2 ...; other position ids are not supported."
                    )
            elif key.endswith("token_type_ids") and bool(self.tensors[key].any()):
                raise CheckpointError(f"{self.name}: {key!r} is not all zero; other token types are not supported.")

    def headless(self, otherwise: str) -> CheckpointError:
        """Explain that there is no head: it may be in an adapter."""
        return CheckpointError(self._adapter(self.tensors) or f"{self.name}: {otherwise}")

    def _adapter(self, names: Iterable[str]) -> str | None:
        adapters = [key for key in names if _ADAPTER_FILES.search(f".{key}")]
        if not adapters:
            return None
        return (
            f"{self.name}: {adapters[0]!r} is part of an adapter (LoRA or the like), which the model needs. "
            f"Merge it first: peft's merge_and_unload(), then save_pretrained()."
        )

    def _leftover(self, odd: list[str]) -> str:
        count_text = f"{len(odd)} tensors" if len(odd) > 1 else "a tensor"
        if (adapter := self._adapter(odd)) is not None:
            return adapter
        if any(key.startswith(("rnn.", "lstm.", "gru.")) for key in odd):
            return (
                f"{self.name}: {odd[0]!r} belongs to a recurrent network between encoder and head (DNABERT's dnalong), "
                f"which kmerit does not compute. Fine-tune with --model_type dna, on shorter sequences."
            )
        layers = self.config.get("num_hidden_layers")
        deep = [key for key in odd if (at := re.search(r"\.layer\.(\d+)\.", key)) and int(at[1]) >= (layers or 0)]
        if deep:
            return f"{self.name}: config.json says num_hidden_layers {layers}; the weights hold more: {deep[0]!r}."
        return (
            f"{self.name}: holds {count_text} that such a model does not use: {', '.join(map(repr, odd[:3]))}"
            f"{' ...' if len(odd) > 3 else ''}. Is it of another architecture? Remove what is not part of the model."
        )

    def _close_config(self, ignored: frozenset[str]) -> None:
        for key, value in PLAIN.items():
            if self.config.get(key, value) not in (value, None):
                raise CheckpointError(f"{self.name}: {key} is {self.config[key]!r} in config.json: not supported.")
        for key, value in self.config.unknown(HARMLESS | ignored).items():
            raise CheckpointError(
                f"{self.name}: config.json sets {key} to {str(value)[:60]!r}, which kmerit does not know and which may "
                f"change what the model computes. Remove the key if it does not."
            )

    @property
    def digest(self) -> str:
        """sha256 over the names and bytes of all tensors, in order of their names.

        Raises:
            CheckpointError: Weights that are not finite.
        """
        total = sha256()
        for name in sorted(self.tensors):
            tensor = self.tensors[name].contiguous()
            tensor = tensor.as_strided((tensor.numel(),), (1,))
            if tensor.is_floating_point() and tensor.numel():
                low, high = tensor.aminmax()  # of which NaN makes NaN
                if not math.isfinite(float(low)) or not math.isfinite(float(high)):
                    raise CheckpointError(
                        f"{self.name}: {name!r} holds NaN or infinite weights; the training diverged, or the file is "
                        f"broken."
                    )
            total.update(name.encode())
            total.update(tensor.view(torch.uint8).numpy().data)
        return total.hexdigest()


def read(
    path_or_name: str | os.PathLike[str], revision: str | None = None, dtype: torch.dtype | None = None
) -> Checkpoint:
    """Read the configuration, and find the tensors; safetensors by preference. An adapter of peft is merged.

    Args:
        path_or_name: As for ``locate``.
        revision: Branch, tag or commit of a hub name.
        dtype: What tensors are to be handed out in.

    Raises:
        CheckpointError: Files missing, truncated or not readable.
    """
    folder, name = locate(path_or_name, revision), os.fspath(path_or_name)
    if (folder / ADAPTER).is_file():
        adapter = read_object(folder / ADAPTER)
        return merged(folder, name, adapter, lambda base, its_revision: read(base, its_revision, dtype))
    config = Settings(read_object(folder / "config.json"))
    if not isinstance(config.get("model_type"), str | None):
        raise CheckpointError(f"{name}: expected a name as 'model_type' in config.json, got {config['model_type']!r}.")
    return Checkpoint(name, folder, config, open_weights(folder, name), dtype)


def read_object(path: Path) -> dict[str, Any]:
    """Read a JSON object.

    Raises:
        CheckpointError: It is none.
    """
    refuse_pointer(path)
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except (ValueError, RecursionError) as error:
        raise CheckpointError(f"{path}: not valid JSON ({error}).") from error
    if not isinstance(value, dict):
        raise CheckpointError(f"{path}: expected a JSON object, {{...}}, got a {type(value).__name__}.")
    return value


def first_difference(words: Sequence[str], vocabulary: Sequence[str]) -> int | None:
    """Find where a vocabulary begins to be another; words that are no letters of DNA may follow it.

    Example:
        >>> first_difference(["A", "C", "<eos>"], ["A", "C"]), first_difference(["A", "C", "G"], ["A", "C"])
        (None, 2)
    """
    size = len(vocabulary)
    for at, (word, other) in enumerate(zip(words, vocabulary, strict=False)):
        if word != other:
            return at
    if len(words) < size:
        return len(words)
    return next((at for at in range(size, len(words)) if re.fullmatch("[ACGTNacgtn]+", words[at])), None)


def check_rows(checkpoint: Checkpoint, vocabulary: Sequence[str], words: Sequence[str] | None) -> None:
    """Refuse a table of embeddings with fewer rows than words, or with far more than its vocabulary and padding need.

    Args:
        checkpoint: Its configuration has the number of rows.
        vocabulary: Words that sequences yield, which each need one.
        words: All words of its vocabulary file, if there is one.

    Raises:
        CheckpointError: It has.
    """
    rows, ids = checkpoint.size("vocab_size"), max(len(words or ()), len(vocabulary))
    if not len(vocabulary) <= rows <= ids + _PADDED:
        raise CheckpointError(
            f"{checkpoint.name}: has {rows} embeddings for a vocabulary of {ids} words. Take the vocab.txt that "
            f"belongs to the model."
        )


_FILES = ("adapter_model.safetensors", "adapter_model.bin")
_TOKENIZERS = ("tokenizer.json", "vocab.txt", "tokenizer_config.json")
_PARTS = ("lora_A", "lora_B", "lora_magnitude_vector")
_STARTS = (None, True, False, "gaussian", "orthogonal", "eva")
"""How adapters start without changing the base; after training the weights say all."""
_HEADS = ("id2label", "label2id", "num_labels", "problem_type")
Read = Callable[[str, str | None], Checkpoint]


def merged(folder: Path, name: str, config: Mapping[str, Any], read: Read) -> Checkpoint:
    """Read an adapter and the model that it changes, and add the one to the other.

    Args:
        folder: Of the adapter.
        name: What errors call it.
        config: Its adapter_config.json.
        read: Reads the base, by path or name and revision.

    Raises:
        CheckpointError: It is no LoRA for sequence classifiers, its base is not here or another, or it holds something
            that cannot be merged.
        MissingExtra: peft is not installed.
    """
    _check(name, config)
    if find_spec("peft") is None:
        raise MissingExtra("peft", "lora", f"{name}: is an adapter of peft; merging it into its model")
    base = _base(folder, name, config, read)
    whole_prefixes = tuple(f"{each}." for each in config.get("modules_to_save") or ())
    lora, whole = _sorted(folder, name, whole_prefixes)
    tensors = _with_stem(base.tensors, lora)
    for key, tensor in whole.items():
        if not key.startswith(whole_prefixes) and key in tensors and tensors.shape(key) != tuple(tensor.shape):
            raise _other_base(name, base, f"{key!r} is {list(tensor.shape)} here and {list(tensors.shape(key))} there")
    new = {key.split(".")[0] for key in whole} - {key.split(".")[0] for key in tensors}
    tensors = tensors.changed(whole, without=whole_prefixes)
    tensors = tensors.changed(_added(name, base, config, lora, tensors))
    return replace(
        base,
        name=name,
        folder=folder if any((folder / each).is_file() for each in _TOKENIZERS) else base.folder,
        config=_config(folder, name, base, bool(new)),
        tensors=tensors,
    )


def _check(name: str, config: Mapping[str, Any]) -> None:
    """Refuse what is no LoRA of a sequence classifier, or changes its base in another way, too."""
    for key, values in (
        ("peft_type", ("LORA",)),
        ("task_type", (None, "SEQ_CLS", "FEATURE_EXTRACTION")),
        ("fan_in_fan_out", (None, False)),
        ("layer_replication", (None,)),
        ("init_lora_weights", _STARTS),
    ):
        if config.get(key) not in values:
            raise CheckpointError(
                f"{name}: {key} is {config[key]!r} in adapter_config.json; kmerit merges only LoRA on the linear "
                f"layers of a sequence classifier, with an unchanged base. Merge it with peft: merge_and_unload()."
            )


def _base(folder: Path, name: str, config: Mapping[str, Any], read: Read) -> Checkpoint:
    base_name = config.get("base_model_name_or_path")
    if not isinstance(base_name, str) or not base_name:
        raise CheckpointError(f"{name}: adapter_config.json names no base_model_name_or_path, which it changes.")
    if Path(base_name).expanduser().resolve() == folder.resolve():
        raise CheckpointError(f"{name}: adapter_config.json names this very folder as base_model_name_or_path.")
    revision = config.get("revision") if not Path(base_name).expanduser().exists() else None
    try:
        return read(base_name, revision)
    except (CheckpointError, OfflineError, UnknownName) as error:
        kind = OfflineError if isinstance(error, OfflineError) else CheckpointError
        raise kind(
            f"{name}: an adapter of peft, without the model that it changes ({base_name}). Put that here, and its path "
            f"into base_model_name_or_path in {folder / 'adapter_config.json'}. {error}"
        ) from error


def _sorted(folder: Path, name: str, saved: tuple[str, ...]) -> tuple[dict[str, dict[str, Tensor]], dict[str, Tensor]]:
    """Sort the tensors of an adapter: per layer what is added to it, and tensors that stand in place of the base's."""
    path = next((folder / file for file in _FILES if (folder / file).is_file()), None)
    if path is None:
        raise CheckpointError(f"{name}: expected {' or '.join(_FILES)} next to adapter_config.json, found neither.")
    lora: dict[str, dict[str, Tensor]] = {}
    whole: dict[str, Tensor] = {}
    tensors = open_file(path)
    for key in tensors:
        plain = key.removeprefix("base_model.model.").replace(".default.", ".")
        parts = plain.split(".")
        if "original_module" in parts and plain.startswith(saved):
            continue  # what modules_to_save stand in place of
        plain = ".".join(part for part in parts if part not in ("modules_to_save", "base_layer"))
        layer, mark, rest = plain.partition(".lora_")
        kind = f"lora_{rest.removesuffix('.weight')}" if mark else ""
        if kind in _PARTS:
            place, at = lora.setdefault(layer, {}), kind
        elif not mark:  # a new head, a bias, a table of embeddings; whether the model has such a tensor is seen later
            place, at = whole, plain
        else:
            raise CheckpointError(
                f"{path}: {key!r} cannot be merged here; expected lora_A and lora_B of linear layers, and whole "
                f"tensors. Merge it with peft: merge_and_unload(), then save_pretrained()."
            )
        if at in place and not torch.equal(place[at], tensors[key]):
            raise CheckpointError(f"{path}: {key!r} differs from another tensor of the same place. Save it again.")
        place[at] = tensors[key]
    for layer, halves in lora.items():
        if missing := [part for part in _PARTS[:2] if part not in halves]:
            raise CheckpointError(f"{path}: {layer!r} has no {missing[0]}. Is the file whole?")
    return lora, whole


def _with_stem(tensors: Tensors, lora: Mapping[str, Any]) -> Tensors:
    """Name the tensors of a bare encoder as they are called under a head, where the adapter's layers are there."""
    stems = {f"{layer.split('.')[0]}." for layer in lora if f"{layer}.weight" not in tensors}
    for stem in sorted(stems):
        if all(f"{layer}.weight".removeprefix(stem) in tensors for layer in lora if layer.startswith(stem)):
            return tensors.behind(stem)
    return tensors


def _added(
    name: str,
    base: Checkpoint,
    config: Mapping[str, Any],
    lora: Mapping[str, Mapping[str, Tensor]],
    tensors: Tensors,
) -> dict[str, Tensor]:
    """Let peft's layers add to the base's weights what the adapter says, in float64."""
    root = nn.Module()
    for layer, parts in lora.items():
        weight = tensors.get(f"{layer}.weight")
        if weight is None:
            raise _other_base(name, base, f"{layer!r} is not one of its layers")
        shape = (parts["lora_B"].shape[0], parts["lora_A"].shape[-1])
        if weight.ndim != 2 or tuple(weight.shape) != shape:
            raise _other_base(name, base, f"{layer!r} is {list(shape)} here and {list(weight.shape)} there")
        linear = nn.Linear(shape[1], shape[0], bias=False, dtype=torch.float64)
        linear.weight = nn.Parameter(weight.double(), requires_grad=False)
        *path, leaf = layer.split(".")
        node = root
        for part in path:
            if part not in node._modules:
                node.add_module(part, nn.Module())
            node = node.get_submodule(part)
        node.add_module(leaf, linear)
    _inject(root, name, config, lora)
    return {f"{layer}.weight": _merged_weight(root.get_submodule(layer)) for layer in lora}


def _inject(root: nn.Module, name: str, config: Mapping[str, Any], lora: Mapping[str, Mapping[str, Tensor]]) -> None:
    from peft import LoraConfig, inject_adapter_in_model

    fields = LoraConfig.__dataclass_fields__
    if odd := [key for key, value in config.items() if key not in fields and value]:
        raise CheckpointError(
            f"{name}: adapter_config.json sets {odd[0]!r}, which this version of peft does not know. Upgrade it."
        )
    left_out = ("modules_to_save", "layers_to_transform", "layers_pattern", "exclude_modules", "inference_mode")
    settings = {key: value for key, value in config.items() if key in fields and key not in left_out}
    settings |= {"target_modules": sorted(lora), "init_lora_weights": False, "lora_dropout": 0.0, "bias": "none"}
    inject_adapter_in_model(LoraConfig(**settings), root)
    for layer, parts in lora.items():
        adapted: Any = root.get_submodule(layer)
        for part, tensor in parts.items():
            place: Any = getattr(adapted, part)
            if "default" not in place or place["default"].weight.shape != tensor.shape:
                model_shape = list(place["default"].weight.shape) if "default" in place else "none"
                raise CheckpointError(
                    f"{name}: adapter_config.json makes {layer}.{part} {model_shape}, the adapter makes it "
                    f"{list(tensor.shape)}."
                )
            place["default"].weight = nn.Parameter(tensor.double(), requires_grad=False)


def _merged_weight(adapted: Any) -> Tensor:
    with torch.no_grad():
        adapted.merge()
    weight: Tensor = adapted.get_base_layer().weight.detach()
    return weight


def _config(folder: Path, name: str, base: Checkpoint, headless: bool) -> Settings:
    """Read config.json next to the adapter, else the base's without the settings of another head."""
    if (folder / "config.json").is_file():
        config = read_object(folder / "config.json")
    else:
        config = {key: base.config[key] for key in base.config if not (headless and key in _HEADS)}
        if headless:
            _LOG.warning(
                f"{name}: no config.json next to the adapter defines its outputs; several are taken to be "
                f"classes, LABEL_0, LABEL_1 ..., one to be a value. Save the model's config.json there if not."
            )
    architectures = config.get("architectures")
    if (
        isinstance(architectures, list)
        and architectures
        and headless
        and "ForSequenceClassification" not in str(architectures[0])
    ):
        config["architectures"] = ["ForSequenceClassification"]
    return Settings(config)


def _other_base(name: str, base: Checkpoint, what: str) -> CheckpointError:
    return CheckpointError(
        f"{name}: does not fit the base {os.fspath(base.name)}: {what}. Is that the model it was trained on?"
    )
