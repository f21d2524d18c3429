"""Tiny checkpoints of other families: random weights, and tokenisers trained on random sequences."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np

REFERENCE = Path(__file__).parents[1] / "golden" / "reference" / "families"
SPECIAL = ["[UNK]", "[CLS]", "[SEP]", "[PAD]", "[MASK]"]


def write_tiny(folder: Path, k: int = 6, labels: tuple[str, ...] = ("background", "signal"), seed: int = 0) -> Path:
    """Save a random BertForSequenceClassification with DNABERT's k-mers: 2 layers x 32, 4 heads."""
    from transformers import BertForSequenceClassification

    names = {"id2label": dict(enumerate(labels)), "label2id": {label: i for i, label in enumerate(labels)}}
    return _save_bert(BertForSequenceClassification, folder, k, seed, max_position_embeddings=256, **names)


def _save_bert(kind: Any, folder: Path, k: int, seed: int, **settings: Any) -> Path:
    import torch
    from transformers import BertConfig

    from kmerit.models.tokenizers import vocabulary

    torch.manual_seed(seed)
    config = BertConfig(
        vocab_size=4**k + 5,
        hidden_size=32,
        num_hidden_layers=2,
        num_attention_heads=4,
        intermediate_size=64,
        initializer_range=0.2,
        **settings,
    )
    kind(config).save_pretrained(folder)
    (folder / "vocab.txt").write_text("\n".join(vocabulary(k)) + "\n", encoding="utf-8")
    return folder


def random_strings(lengths: list[int], seed: int = 0) -> list[str]:
    """Draw sequences."""
    generator = np.random.default_rng(seed)
    return ["".join(generator.choice(list("ACGT"), n)) for n in lengths]


def write_bpe(folder: Path, size: int = 40, letters: str = "ACGT") -> int:
    """Train a BPE tokeniser on random sequences of some letters; give the size of its vocabulary."""
    from tokenizers import Tokenizer, models, pre_tokenizers, processors, trainers

    corpus = ["".join(letters["ACGT".index(c) % len(letters)] for c in text) for text in random_strings([200] * 20, 1)]
    backend = Tokenizer(models.BPE(unk_token="[UNK]"))
    backend.pre_tokenizer = pre_tokenizers.Whitespace()
    backend.train_from_iterator(
        corpus, trainers.BpeTrainer(vocab_size=size, special_tokens=SPECIAL, show_progress=False)
    )
    ends = [("[CLS]", 1), ("[SEP]", 2)]
    backend.post_processor = processors.TemplateProcessing(single="[CLS] $A [SEP]", special_tokens=ends)
    folder.mkdir(parents=True, exist_ok=True)
    backend.save(str(folder / "tokenizer.json"))
    return int(backend.get_vocab_size())


SMALL = {
    "hidden_size": 16,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "intermediate_size": 24,
    "max_position_embeddings": 96,
    "pad_token_id": 3,
    "initializer_range": 0.3,
    "id2label": {0: "background", 1: "signal"},
    "label2id": {"background": 0, "signal": 1},
}


def write_library(folder: Path, kind: str, letters: str = "ACGT", **changes: Any) -> Path:
    """Save a random classifier of transformers (``bert``, ``distilbert``, ...) with a BPE tokeniser."""
    import torch
    from transformers import AutoConfig, AutoModelForSequenceClassification

    size = write_bpe(folder, letters=letters)
    torch.manual_seed(0)
    config = AutoConfig.for_model(kind, **({"vocab_size": size} | SMALL | changes))
    AutoModelForSequenceClassification.from_config(config).save_pretrained(folder)
    return folder


def change_config(folder: Path, **changes: object) -> None:
    """Overwrite keys of config.json."""
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config | changes))


def write_masked(folder: Path, k: int = 3, seed: int = 0) -> Path:
    """Save a random masked language model with DNABERT's k-mers: 2 layers x 32."""
    from transformers import BertForMaskedLM

    return _save_bert(BertForMaskedLM, folder, k, seed, max_position_embeddings=64)
