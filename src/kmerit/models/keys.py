"""The settings of a config.json: which were asked for, and which say nothing of what a model computes."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

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
        rest = self._values.keys() - self.taken - set(known)
        return {
            key: value
            for key, value in self._values.items()
            if key in rest and not key.startswith("_") and value not in (None, False, "", [], {})
        }
