"""The networks that are trained, and the folders they are published in."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors import SafetensorError
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

from kmerit.errors import CheckpointError
from kmerit.models.checkpoint import locate, read
from kmerit.models.library import quiet
from kmerit.models.tokenizers.kmer import SPECIAL, check_vocabulary, vocabulary
from kmerit.store import publishing
from kmerit.training.recipe import FinetuneConfig, PretrainConfig, TrainingConfig
from kmerit.training.rows import IGNORED

_STD = 0.02


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
            _with_head(_new_shape(config), config, classes), trust_remote_code=False
        )
        _start_embeddings(model, config)
        return model, config.k
    with loading(config.base):
        shape = _with_head(_shape(config.base, config), config, classes)
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


def _with_head(shape: Any, config: FinetuneConfig, classes: Sequence[str]) -> Any:
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
    bad = sorted(key for key in missing if not any(part in key for part in allowed))
    if bad:
        raise CheckpointError(
            f"{name}: {len(bad)} tensors of the encoder are missing, {bad[0]!r} first. "
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
    with publishing(out) as (part, written):
        _write(model, part, k, about, dtype)
    return written


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
