"""Keys of config.json that say nothing of what a model computes when it predicts, or only at one value."""

from __future__ import annotations

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
