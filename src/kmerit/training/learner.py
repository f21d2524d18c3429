"""What is trained: a network with its tokenizer and head, low-rank adapters where asked for, and how it is published.

A network of kmerit's own with its published tensors as parameters: what is trained is what predicts. Families of
which transformers has no class (DNABERT-2, HyenaDNA, Caduceus) and those of which it has train alike: the tensors of
a checkpoint hang in a tree of modules under their published names, and each forward pass builds the family's network
on them. So gradients reach them, adapters of peft find linear layers by their names, and a state dict is a
checkpoint.
"""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from safetensors import SafetensorError
from safetensors.torch import save_file
from torch import Tensor, nn
from transformers import (
    AutoConfig,
    AutoModel,
    AutoModelForSequenceClassification,
    BertConfig,
    BertForMaskedLM,
    PreTrainedModel,
    set_seed,
)
from transformers.modeling_outputs import MaskedLMOutput
from transformers.models.auto.modeling_auto import MODEL_FOR_SEQUENCE_CLASSIFICATION_MAPPING

from kmerit.errors import CheckpointError, ConfigError, MissingExtra
from kmerit.models import tokenizers
from kmerit.models.checkpoint import Checkpoint, Settings, locate, read
from kmerit.models.families.huggingface import positions
from kmerit.models.family import Family, Head, Network, families
from kmerit.models.library import quiet
from kmerit.models.sequence_to_function import Nucleotides
from kmerit.models.tokenizers import SPECIAL, Tokenizer, check_vocabulary, read_subwords, vocabulary
from kmerit.store import publishing, write_json
from kmerit.training.data import IGNORED
from kmerit.training.hyena import new_hyenadna
from kmerit.training.profiles import SmallEnformer
from kmerit.training.recipe import FinetuneConfig, PretrainConfig, TrainingConfig

_STD = 0.02
_LONGEST = 196_608
"""Nucleotides that an Enformer reads."""


class MaskedKmers(BertForMaskedLM):  # type: ignore[misc]
    """BertForMaskedLM that decodes only the tokens to be restored: the decoder is as wide as the vocabulary."""

    def forward(self, input_ids: Tensor, labels: Tensor, attention_mask: Tensor | None = None) -> MaskedLMOutput:
        """Compute the mean cross entropy over the tokens to be restored, in nats."""
        hidden = self.bert(input_ids, attention_mask=attention_mask)[0]
        masked = labels != IGNORED
        logits = self.cls(hidden[masked])
        total = nn.functional.cross_entropy(logits.float(), labels[masked], reduction="sum")
        # A batch may have no masked token at all: then the loss is 0, not 0/0.
        return MaskedLMOutput(loss=total / masked.sum().clamp(min=1), logits=logits)


def masked_model(config: PretrainConfig) -> MaskedKmers:
    """Make a new masked model, or load one to continue from.

    Raises:
        CheckpointError: ``base`` is not a BERT of this k.
    """
    set_seed(config.seed)
    if config.base is not None:
        with loading(config.base):
            shape = _shape(config.base, config)
            if kmer_length(shape.vocab_size, config.base) != config.k or shape.model_type != "bert":
                raise CheckpointError(
                    f"{config.base}: expected a BERT over {config.k}-mers. Set k to the checkpoint's."
                )
            loaded: tuple[MaskedKmers, dict[str, Any]] = MaskedKmers.from_pretrained(
                locate(config.base),
                config=shape,
                dtype=torch.float32,
                output_loading_info=True,
                trust_remote_code=False,
            )
        _only_missing(loaded[1]["missing_keys"], ("cls.",), config.base)
        check_vocabulary(read(config.base), config.k)
        return loaded[0]
    model = MaskedKmers(_new_shape(config))
    _start_embeddings(model, config)
    return model


def _new_shape(config: TrainingConfig) -> BertConfig:
    return BertConfig(
        vocab_size=4**config.k + len(SPECIAL),
        hidden_size=config.hidden,
        num_hidden_layers=config.layers,
        num_attention_heads=config.heads,
        intermediate_size=config.intermediate,
        max_position_embeddings=config.max_tokens,
        hidden_dropout_prob=config.hidden_dropout,
        attention_probs_dropout_prob=config.attention_dropout,
        attn_implementation=config.attention,
    )


def _start_embeddings(model: PreTrainedModel, config: TrainingConfig) -> None:
    if config.embedding_start == "composed":
        compose_embeddings(model.get_input_embeddings().weight, config.k, config.seed)


def compose_embeddings(weight: Tensor, k: int, seed: int, std: float = 2 * _STD, noise: float = 0.3) -> None:
    """Start k-mers that share parts from similar embeddings, in place.

    Random projections of what a k-mer is made of (its base and its pair of bases at each place; how often each base,
    pair and triple occurs in it), plus independent noise. A new embedding table knows nothing of what k-mers share,
    and a small corpus shows each of them too rarely to learn it.

    Args:
        weight: ``[4**k + 5, width]``; special tokens stay as they are.
        k: Nucleotides a token.
        seed: Of the projections.
        std: Standard deviation of the result.
        noise: Its independent part, as a share of the standard deviation.
    """
    rng = np.random.default_rng((seed, 4))
    base = np.array(list(product(range(4), repeat=k)))
    places, counts = [], []
    for size in range(1, min(k, 3) + 1):
        word = sum(base[:, j : k - size + 1 + j] * 4 ** (size - 1 - j) for j in range(size))
        one_hot = np.eye(4**size)[word]
        counts.append(one_hot.sum(axis=1))
        if size < 3:
            places.append(one_hot.reshape(len(base), -1))
    total = np.zeros((len(base), weight.shape[1]))
    for features in [*places, *counts]:
        projected = (features - features.mean(axis=0)) @ rng.normal(size=(features.shape[1], weight.shape[1]))
        total += projected / projected.std()
    total = total / total.std() * np.sqrt(1 - noise**2) + rng.normal(size=total.shape) * noise
    with torch.no_grad():
        weight[len(SPECIAL) :] = torch.from_numpy(total * std).to(weight.dtype)


def classifier(config: FinetuneConfig, classes: Sequence[str]) -> tuple[PreTrainedModel, int]:
    """Put a new head on an encoder, or on a new one.

    Args:
        config: Names the encoder, or gives the shape of a new one; dropouts.
        classes: Names of the classes; one name for regression.

    Returns:
        The network, and k.

    Raises:
        CheckpointError: Not an encoder over k-mers, or not readable.
    """
    set_seed(config.seed)
    if config.base is None:
        model = AutoModelForSequenceClassification.from_config(
            _bert_with_head(_new_shape(config), config, classes), trust_remote_code=False
        )
        _start_embeddings(model, config)
        return model, config.k
    with loading(config.base):
        shape = _bert_with_head(_shape(config.base, config), config, classes)
        k = kmer_length(shape.vocab_size, config.base)
        model = AutoModelForSequenceClassification.from_config(
            shape, attn_implementation=config.attention, trust_remote_code=False
        )
        encoder, report = AutoModel.from_pretrained(
            locate(config.base), config=shape, dtype=torch.float32, output_loading_info=True, trust_remote_code=False
        )
    _only_missing(report["missing_keys"], ("pooler.",), config.base)
    check_vocabulary(read(config.base), k)
    # A masked model has no pooler, and the one invented by the loader is not seeded: keep the new network's own.
    missing = {name.removeprefix(f"{model.base_model_prefix}.") for name in report["missing_keys"]}
    weights = {name: value for name, value in encoder.state_dict().items() if name not in missing}
    getattr(model, model.base_model_prefix).load_state_dict(weights, strict=False)
    return model, k


def _bert_with_head(shape: Any, config: FinetuneConfig, classes: Sequence[str]) -> Any:
    shape.num_labels = len(classes)
    shape.id2label = dict(enumerate(classes))
    shape.label2id = {name: i for i, name in enumerate(classes)}
    shape.problem_type = config.problem_type
    if hasattr(shape, "classifier_dropout"):
        shape.classifier_dropout = config.head_dropout
    return shape


def _shape(base: str, config: TrainingConfig) -> Any:
    shape = AutoConfig.from_pretrained(locate(base), trust_remote_code=False)
    shape.hidden_dropout_prob = config.hidden_dropout
    shape.attention_probs_dropout_prob = config.attention_dropout
    shape._attn_implementation = config.attention
    shape.dtype = torch.float32  # weights that lie on disk in float16 are trained in float32 like all others
    return shape


def kmer_length(vocabulary_size: int, name: str) -> int:
    """Recognise k by the size of the vocabulary.

    Raises:
        CheckpointError: No k has this many k-mers.
    """
    for k in range(1, 9):
        if vocabulary_size == 4**k + len(SPECIAL):
            return k
    raise CheckpointError(
        f"{name}: its vocabulary has {vocabulary_size} tokens, which is 4^k + {len(SPECIAL)} for no k. "
        f"Only models over overlapping k-mers (DNABERT) can be trained."
    )


def _only_missing(missing: Sequence[str], allowed: tuple[str, ...], name: str) -> None:
    unexpected = sorted(key for key in missing if not any(part in key for part in allowed))
    if unexpected:
        raise CheckpointError(
            f"{name}: {len(unexpected)} tensors of the encoder are missing, {unexpected[0]!r} first. "
            f"Is it a checkpoint of this architecture?"
        )


@contextmanager
def loading(name: str) -> Iterator[None]:
    """Translate the loader's errors; its report on the head that is new by design is not wanted."""
    try:
        with quiet():
            yield
    except (OSError, ValueError, RuntimeError, SafetensorError, KeyError) as error:
        if "trust_remote_code" in str(error):
            raise CheckpointError(
                f"{name}: transformers knows no such model, and code that comes with a checkpoint is never run here."
            ) from error
        reason = str(error).strip().splitlines()[0][:160] if str(error).strip() else type(error).__name__
        raise CheckpointError(f"{name}: cannot be loaded, truncated or of another architecture ({reason}).") from error


def publish(
    model: PreTrainedModel, out: Path, k: int, about: dict[str, Any], dtype: torch.dtype = torch.float32
) -> list[str]:
    """Write a folder as Hugging Face lays it out: config.json, model.safetensors, vocab.txt, tokenizer_config.json.

    Args:
        model: What was trained.
        out: The folder.
        k: Nucleotides a token.
        about: Stands in config.json under ``kmerit``.
        dtype: Of the weights on disk.

    Returns:
        The names of the files.
    """
    with publishing(out) as (part, names):
        _write(model, part, k, about, dtype)
    return names


def _write(model: PreTrainedModel, part: Path, k: int, about: dict[str, Any], dtype: torch.dtype) -> None:
    kind = "BertForMaskedLM" if isinstance(model, MaskedKmers) else type(model).__name__
    model.config.kmerit = {"k": k, **about}
    with quiet():
        model.save_pretrained(part, state_dict={name: value.to(dtype) for name, value in model.state_dict().items()})
    config = json.loads((part / "config.json").read_text(encoding="utf-8"))
    config |= {"architectures": [kind], "dtype": str(dtype).removeprefix("torch.")}
    (part / "config.json").write_text(json.dumps(config, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
    (part / "vocab.txt").write_text("\n".join(vocabulary(k)) + "\n", encoding="utf-8")
    tokenizer = {
        "tokenizer_class": "BertTokenizer",
        "do_lower_case": False,
        "tokenize_chinese_chars": False,
        "model_max_length": model.config.max_position_embeddings,
    }
    (part / "tokenizer_config.json").write_text(json.dumps(tokenizer, indent=2) + "\n", encoding="utf-8")


def average_weights(folders: Sequence[Path], out: Path) -> Path:
    """Save the model whose weights are the mean of several classifiers' weights. Source: wortsman2022, section 2.

    Args:
        folders: Of classifiers of one shape; they should start from one encoder.
        out: Folder of the result; the config and the tokenizer's files are those of the first.

    Returns:
        ``out``.

    Example:
        >>> import tempfile
        >>> promoter = locate("bundled:promoter")
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     sorted(path.name for path in average_weights([promoter, promoter], Path(folder)).iterdir())
        ['config.json', 'model.safetensors', 'tokenizer_config.json', 'vocab.txt']
    """
    models = [AutoModelForSequenceClassification.from_pretrained(folder, trust_remote_code=False) for folder in folders]
    weights = [model.state_dict() for model in models]
    models[0].load_state_dict({key: torch.stack([each[key] for each in weights]).mean(0) for key in weights[0]})
    models[0].save_pretrained(out)
    copy_tokenizer(folders[0], out)
    return out


def halve_weights(folder: Path, out: Path, name: str, most: int | None = None) -> int:
    """Save a classifier over k-mers with float16 weights, and its tokenizer.

    Args:
        folder: Of the classifier.
        out: Folder of the result.
        name: Of the model, as it is published.
        most: Bytes that the weights may have; any number by default.

    Returns:
        The weights' size on disk, in bytes.

    Raises:
        CheckpointError: More bytes than ``most``.

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as out:
        ...     halve_weights(locate("bundled:promoter"), Path(out), "mine") < 6_000_000
        True
    """
    model = AutoModelForSequenceClassification.from_pretrained(folder, trust_remote_code=False)
    model.config.kmerit = {**model.config.kmerit, "name": name}
    model.half().save_pretrained(out)
    copy_tokenizer(folder, out)
    size = (out / "model.safetensors").stat().st_size
    if most is not None and size > most:
        raise CheckpointError(
            f"{out}: expected at most {most:,} bytes of weights, got {size:,}. Make the model smaller."
        )
    return size


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


def base_of(source: Checkpoint, outputs: Sequence[str], problem_type: str, seed: int) -> Base | None:
    """Find the family of a pre-trained checkpoint, and give it a new head.

    Args:
        source: A checkpoint, read in float32.
        outputs: Names of classes, labels or values.
        problem_type: As transformers calls it.
        seed: Of the new weights.

    Returns:
        None where no family of kmerit's own trains such a checkpoint.

    Raises:
        CheckpointError: A tensor is missing or of another shape, or something of the base would be ignored.
    """
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
    renamed = replace(checkpoint.holding(tensors), config=Settings(config))
    parts = family.build(renamed)
    renamed.close("|".join(filter(None, (parts.unused, head.leftovers))), parts.ignored)
    state = {key: tensors[key] for key in sorted(renamed.taken)}  # in one order, by which an optimiser knows them
    return Base(renamed.holding(state), family, head, parts.tokenizer, parts.max_tokens, tuple(new))


def _fresh(key: str, shape: tuple[int, ...], generator: torch.Generator) -> Tensor:
    """Start a tensor of the head: matrices small and random, norms at one, biases at zero."""
    if len(shape) > 1:
        return torch.randn(shape, generator=generator) * _STD
    return torch.ones(shape) if key.endswith("norm.weight") else torch.zeros(shape)


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


ADAPTER = "adapter"
"""The folder, next to a published model, of the adapter that was merged into it."""

Publish = Callable[[Path, Mapping[str, Any]], list[str]]


@dataclass(frozen=True, eq=False)
class Learner:
    """A network to be trained.

    Attributes:
        module: From ``input_ids`` and ``attention_mask`` to ``logits``.
        tokenizer: What makes the ids.
        max_tokens: How many of them it takes, special tokens included.
        publish: Writes it to a folder that ``load_model`` reads, with what config.json shall say under ``kmerit``;
            gives the names of the files.
    """

    module: nn.Module
    tokenizer: Tokenizer
    max_tokens: int
    publish: Publish


NetworkFactory = Callable[[FinetuneConfig, Sequence[str]], PreTrainedModel]
"""Makes a network over k-mer tokens from the recipe and the names of the outputs."""


def learner(config: FinetuneConfig, outputs: Sequence[str], network: NetworkFactory | None = None) -> Learner:
    """Make the network of a recipe: a new one, or a base of any family with a new head.

    Models over DNABERT's k-mers, and those that only transformers knows, are trained by transformers' own classes, with
    its dropouts. The others are trained by the forward pass that predicts (``trainable``); of dropouts they know
    ``hidden_dropout`` alone, on the embeddings.

    Args:
        config: The recipe.
        outputs: Names of classes, of labels, or of values.
        network: Makes a network of the caller's in place of a base or a new BERT.

    Raises:
        CheckpointError: The base cannot be read, or not be trained.
        ConfigError: The recipe asks for what such a base does not have.
        MissingExtra: Adapters, without peft.
    """
    set_seed(config.seed)
    if config.architecture == "enformer" and network is None:
        profile = SmallEnformer(config, len(outputs))
        tokens = Nucleotides(profile.width * (config.bins or 1), profile.width)
        return Learner(profile, tokens, _LONGEST, partial(_publish_profile, profile, config, outputs))
    new = new_hyenadna(config) if config.architecture == "hyenadna" and network is None else None
    over_kmers = network is not None or (new is None and _over_kmers(config))
    base = None
    if not over_kmers:
        checkpoint = new or read(str(config.base), dtype=torch.float32)
        base = base_of(checkpoint, outputs, config.problem_type, config.seed)
    if base is not None:
        _refuse(config, {"attention_dropout": 0.0, "head_dropout": None, "teachers": []}, base.family.name)
        module: Any = Trainable(base.checkpoint.tensors, base.network, config.hidden_dropout, base.head.constants)
        adapt = _adapted(module, config, skipped=base.new)
        return Learner(module, base.tokenizer, base.max_tokens, partial(_publish_base, module, base, adapt))
    if over_kmers:
        module, k = classifier(config, outputs) if network is None else (network(config, outputs), config.k)
        adapt = _adapted(module, config, skipped=("classifier",))
        most = int(module.config.max_position_embeddings)
        return Learner(module, tokenizers.Overlapping(k), most, partial(_publish_kmers, module, k, adapt))
    checkpoint = read(str(config.base))
    _refuse(config, {"attention_dropout": 0.0, "head_dropout": None, "teachers": []}, "transformers' own classes")
    module = _library(checkpoint, config, outputs)
    tokenizer = read_subwords(checkpoint, len(module.get_input_embeddings().weight))
    module.config.pad_token_id = tokenizer.pad_id  # some heads look for the last token before the padding
    adapt = _adapted(module, config, skipped=("classifier", "score"))
    return Learner(module, tokenizer, positions(module), partial(_publish_library, module, checkpoint, adapt))


def _over_kmers(config: FinetuneConfig) -> bool:
    """Return whether a recipe starts from nothing, or from a BERT over all k-mers."""
    if config.base is None:
        return True
    checkpoint = read(config.base)
    size = checkpoint.config.get("vocab_size")
    words = checkpoint.json("tokenizer.json").get("model", {}).get("vocab")
    sizes = {4**k + len(tokenizers.SPECIAL): k for k in range(1, 9)}
    if checkpoint.config.get("model_type") != "bert" or size not in sizes:
        return False
    return words is None or set(tokenizers.vocabulary(sizes[size])) <= {str(word) for word in words}


def _refuse(config: FinetuneConfig, absent: Mapping[str, Any], subject: str) -> None:
    for key, nothing in absent.items():
        if getattr(config, key) != nothing:
            raise ConfigError(f"{key}: not supported where {subject} is trained from {config.base}. Leave it out.")


def _library(checkpoint: Checkpoint, config: FinetuneConfig, outputs: Sequence[str]) -> Any:
    """Let transformers load an encoder and put a new head on it."""
    with loading(checkpoint.name):
        shape = AutoConfig.from_pretrained(checkpoint.folder, trust_remote_code=False, local_files_only=True)
        if type(shape) not in MODEL_FOR_SEQUENCE_CLASSIFICATION_MAPPING:
            raise CheckpointError(f"{checkpoint.name}: transformers has no classifier of {shape.model_type!r}.")
        shape.num_labels = len(outputs)
        shape.id2label = dict(enumerate(outputs))
        shape.label2id = {name: i for i, name in enumerate(outputs)}
        shape.problem_type = config.problem_type
        shape.dtype = torch.float32
        kind: Any = MODEL_FOR_SEQUENCE_CLASSIFICATION_MAPPING[type(shape)]
        module, report = kind.from_pretrained(
            checkpoint.folder,
            config=shape,
            dtype=torch.float32,
            trust_remote_code=False,
            local_files_only=True,
            ignore_mismatched_sizes=True,
            output_loading_info=True,
        )
    stem = f"{module.base_model_prefix}."
    missing = [key for key in report["missing_keys"] if key.startswith(stem) and "pool" not in key]
    if missing:
        raise CheckpointError(
            f"{checkpoint.name}: {len(missing)} tensors of the encoder are missing, {sorted(missing)[0]!r} first. "
            f"Is it a checkpoint of this architecture?"
        )
    return module


Adapt = Any
"""The configuration of peft's adapter; None where all weights are trained."""


def _adapted(module: nn.Module, config: FinetuneConfig, skipped: Sequence[str]) -> Adapt:
    """Freeze a network but for its new head, and add low-rank adapters to its linear layers.

    Source: hu2022.
    """
    if config.lora is None:
        return None
    try:
        from peft import LoraConfig, inject_adapter_in_model
    except ImportError:
        raise MissingExtra("peft", "lora", "Training low-rank adapters") from None
    heads = tuple(name.removesuffix(".weight").removesuffix(".bias") for name in skipped)
    linear = [name for name, part in module.named_modules() if isinstance(part, nn.Linear)]
    inner = [name for name in linear if not name.removeprefix("tree.").startswith(heads) and "filter_fn" not in name]
    targets = config.lora.targets
    if targets is not None:
        unknown = [each for each in targets if not any(name.endswith(each) for name in inner)]
        if unknown:
            kinds = sorted({name.rsplit(".", 1)[-1] for name in inner})
            raise ConfigError(
                f"lora.targets: no linear layer's name ends in {unknown[0]!r}. There are: {', '.join(kinds)}."
            )
        inner = [name for name in inner if name.endswith(tuple(targets))]
    adapter = LoraConfig(r=config.lora.rank, lora_alpha=config.lora.alpha, target_modules=inner)
    inject_adapter_in_model(adapter, module)
    for name, parameter in module.named_parameters():
        if name.removeprefix("tree.").startswith(heads):
            parameter.requires_grad_(True)
    adapter.base_model_name_or_path = config.base
    return adapter


def _write_adapter(
    module: nn.Module, adapter: Adapt, part: Path, published: Callable[[str], str], config: Mapping[str, Any]
) -> None:
    """Write what was trained, adapters and the head, as peft names it; with the base it is the whole model."""
    if adapter is None:
        return
    folder = part / ADAPTER
    folder.mkdir(exist_ok=True)
    trained = {
        published(name).replace(".default", ""): value.detach().cpu().contiguous()
        for name, value in module.named_parameters()
        if value.requires_grad
    }
    tensors = {f"base_model.model.{name}": value for name, value in trained.items()}
    save_file(tensors, folder / "adapter_model.safetensors", metadata={"format": "pt"})
    adapter.target_modules = sorted(published(name) for name in adapter.target_modules)
    adapter.modules_to_save = sorted({name.rpartition(".")[0] for name in trained if ".lora_" not in name})
    adapter.task_type = "SEQ_CLS"
    write_json(folder / "config.json", dict(config))
    adapter.save_pretrained(str(folder))


def _publish_base(module: nn.Module, base: Base, adapter: Adapt, out: Path, about: Mapping[str, Any]) -> list[str]:
    trained: Any = module
    with publishing(out) as (part, names), torch.no_grad():
        tensors: dict[str, Tensor] = {name: each.cpu().contiguous() for name, each in trained.tensors().items()}
        save_file(tensors, part / "model.safetensors", metadata={"format": "pt"})
        base.write_files(part, about)
        config = json.loads((part / "config.json").read_text(encoding="utf-8"))
        _write_adapter(module, adapter, part, lambda name: name.removeprefix("tree."), config)
    return names


def _publish_profile(
    module: SmallEnformer, config: FinetuneConfig, outputs: Sequence[str], out: Path, about: Mapping[str, Any]
) -> list[str]:
    settings = module.settings(config, len(outputs))
    one = config.labels is None or config.bins is not None
    target = {"target": {"tracks": [0], "bins": "all", "how": "mean"}} if one else {}
    settings["kmerit"] = {**about, **target}
    with publishing(out) as (part, names):
        tensors = {name: value.detach().cpu().contiguous() for name, value in module.state_dict().items()}
        save_file(tensors, part / "model.safetensors", metadata={"format": "pt"})
        write_json(part / "config.json", settings)
    return names


def _publish_kmers(module: Any, k: int, adapter: Adapt, out: Path, about: Mapping[str, Any]) -> list[str]:
    with publishing(out) as (part, names):
        _write_adapter(module, adapter, part, str, json.loads(module.config.to_json_string()))
    _merge(module)
    return [*names, *publish(module, out, k, dict(about))]


def _publish_library(
    module: Any, checkpoint: Checkpoint, adapter: Adapt, out: Path, about: Mapping[str, Any]
) -> list[str]:
    with publishing(out) as (part, names):
        _write_adapter(module, adapter, part, str, json.loads(module.config.to_json_string()))
        _merge(module)
        module.config.kmerit = dict(about)
        module.save_pretrained(part)
        copy_tokenizer(checkpoint.folder, part)
    return names


def _merge(module: nn.Module) -> None:
    """Add adapters to what they adapt, and take them out of the network."""
    for name, each in list(module.named_modules()):
        if hasattr(each, "lora_A"):
            adapted: Any = each
            adapted.merge()
            path, _, leaf = name.rpartition(".")
            setattr(module.get_submodule(path), re.sub(r"^.*\.", "", leaf), adapted.get_base_layer())
