"""Any other model that transformers loads as a sequence classifier, without remote code. Source: wolf2020.

The forward pass is the library's and the gradients are autograd's, so there are no relevance rules.
"""

from __future__ import annotations

import sys
from typing import Any

import torch

from kmerit.errors import CheckpointError
from kmerit.io.tables import first_line
from kmerit.models.checkpoint import Checkpoint
from kmerit.models.family import Ability, Family, Parts
from kmerit.models.library import Library
from kmerit.models.tokenizers import read_subwords, refuse_padding_with_a_word


def fits(checkpoint: Checkpoint) -> bool:
    """Any model type for which transformers itself has a sequence classifier."""
    from transformers.models.auto.modeling_auto import MODEL_FOR_SEQUENCE_CLASSIFICATION_MAPPING_NAMES as known

    return checkpoint.config.get("model_type") in known


def build(checkpoint: Checkpoint) -> Parts:
    """Let transformers load the model; read the tokeniser."""
    module = _load(checkpoint)
    table = module.get_input_embeddings().weight
    config = module.config
    tokenizer = read_subwords(checkpoint, len(table), getattr(config, "pad_token_id", None))
    config.pad_token_id = tokenizer.pad_id  # some heads look for the last token before the padding
    try:
        stand_in = tokenizer.backend.encode("A", add_special_tokens=False).ids[0]
        network = Library.of(module, tokenizer.pad_id, stand_in)
    except Exception as error:  # the forward pass is the library's, and so are its errors
        raise CheckpointError(
            f"{checkpoint.name}: {type(module).__name__} cannot be run from its embeddings on ({first_line(error)})."
        ) from error
    if not tokenizer.leads:
        refuse_padding_with_a_word(checkpoint, tokenizer)
    abilities = {Ability.ATTENTION} if network.attends and tokenizer.leads else set()
    return Parts(network, tokenizer, positions(module), frozenset(abilities))


def _load(checkpoint: Checkpoint) -> Any:
    from transformers import AutoConfig
    from transformers.models.auto.modeling_auto import MODEL_FOR_SEQUENCE_CLASSIFICATION_MAPPING

    from kmerit.models.library import quiet

    config = checkpoint.config
    if config.get("is_encoder_decoder"):
        raise CheckpointError(
            f"{checkpoint.name}: {config.get('model_type')} is an encoder with a decoder; expected a model of one part."
        )
    if not any(name.endswith("ForSequenceClassification") for name in config.get("architectures") or ()):
        raise CheckpointError(
            f"{checkpoint.name}: config.json names {config.get('architectures')}, no ...ForSequenceClassification; "
            f"there is no classification head. Fine-tune it first, with transformers."
        )
    try:
        with quiet():
            if (checkpoint.folder / "config.json").is_file():
                transformers_config = AutoConfig.from_pretrained(
                    checkpoint.folder, trust_remote_code=False, local_files_only=True
                )
            else:  # an adapter's folder, which has a tokeniser alone
                transformers_config = AutoConfig.for_model(**checkpoint.config)
            model, loading = MODEL_FOR_SEQUENCE_CLASSIFICATION_MAPPING[type(transformers_config)].from_pretrained(
                None,
                config=transformers_config,
                state_dict=dict(checkpoint.tensors),
                trust_remote_code=False,
                attn_implementation="eager",  # the others keep no attention
                dtype=checkpoint.dtype or torch.float32,  # not what config.json says, which rounds
                ignore_mismatched_sizes=True,  # they are named below
                output_loading_info=True,
            )
            model.get_input_embeddings().weight  # noqa: B018  some models have no such table
    except Exception as error:  # of any class: what transformers makes of a config is checked nowhere
        raise CheckpointError(f"{checkpoint.name}: transformers cannot load it ({first_line(error)}).") from error
    for key, here, there in sorted(loading["mismatched_keys"]):
        raise CheckpointError(
            f"{checkpoint.name}: config.json makes {key!r} {list(there)}, the weights make it {list(here)}."
        )
    if loading["missing_keys"]:
        raise CheckpointError(
            f"{checkpoint.name}: expected a tensor {sorted(loading['missing_keys'])[0]!r}, found none of that name. "
            f"Is this a checkpoint of {type(model).__name__}?"
        )
    # Of a model that has code of its own, transformers may know other settings than that code.
    own = (checkpoint.config.get("auto_map") or {}).keys() - {"AutoTokenizer"}
    checkpoint.understood(key for key in checkpoint.config if not own or hasattr(type(transformers_config)(), key))
    checkpoint.used(set(checkpoint.tensors) - set(loading["unexpected_keys"]))
    return model


def positions(module: Any) -> int:
    """Count the tokens that fit: by learned positions, some of which are counted from the padding token's id."""
    for name, part in module.named_modules():
        if name.endswith("position_embeddings") and hasattr(part, "num_embeddings"):
            return int(part.num_embeddings) - (0 if part.padding_idx is None else int(part.padding_idx) + 1)
    return int(getattr(module.config, "max_position_embeddings", None) or sys.maxsize)


FAMILY = Family(
    name="huggingface",
    summary="any other sequence classifier of transformers, by its own forward pass: every method but relevance",
    cites="wolf2020",
    fits=fits,
    build=build,
    breadth=2,
)
