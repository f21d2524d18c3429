"""Reading a checkpoint: a folder in Hugging Face's layout, a hub name, or a bundled model. Never remote code.

A checkpoint is a closed world: who builds a model takes tensors and keys of config.json through it, and at the end
``close`` refuses what nobody took.
"""

from __future__ import annotations

import json
import math
import os
import re
import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from hashlib import sha256
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from kmerit.errors import CheckpointError
from kmerit.models.containers import Tensors, open_weights, refuse_pointer
from kmerit.models.keys import HARMLESS, PLAIN, Settings
from kmerit.models.snapshots import ADAPTER, BUNDLED, bundled, locate

__all__ = ["BUNDLED", "Checkpoint", "bundled", "locate", "read"]

_LEFTOVERS = re.compile(
    r"cls\.(predictions|seq_relationship)\..+|lm_head\..+|(.+\.)?contact_head\..+|(.+\.)?(position_ids|inv_freq|token_type_ids)"
)
"""Tensors that a classifier may keep from its pre-training, and tables that follow from the configuration."""
_ADAPTERS = re.compile(r"\.(lora_|ia3_|modules_to_save|base_layer|original_module|adapters?\.)|prompt_encoder|hada_")
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

    def check_architecture(self) -> None:
        """Refuse a checkpoint that says it is something else than a sequence classifier.

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
        adapters = [key for key in names if _ADAPTERS.search(f".{key}")]
        if not adapters:
            return None
        return (
            f"{self.name}: {adapters[0]!r} is part of an adapter (LoRA or the like), which the model needs. "
            f"Merge it first: peft's merge_and_unload(), then save_pretrained()."
        )

    def _leftover(self, odd: list[str]) -> str:
        many = f"{len(odd)} tensors" if len(odd) > 1 else "a tensor"
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
            f"{self.name}: holds {many} that such a model does not use: {', '.join(map(repr, odd[:3]))}"
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
        from kmerit.models.adapters import merged

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
