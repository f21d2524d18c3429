"""A BERT of 6-mers in which one head looks for one word, and nothing else moves the logit; and windows that have it."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from kmerit.sequences import Locus, Sequences

WORD = "TATAAG"
PLANTED = (0, 2)
"""Layer and head, from 0."""
LENGTH = 140


def write_planted(folder: Path) -> Path:
    """Save a checkpoint of 2 layers x 32 with 4 heads: random, but for the one head, and the classifier that reads it.

    The word's embedding has one unit of its own. The head's queries are constant, its keys read that unit, its values
    carry it into another unit, which the pooler and the classifier read; no other head writes there.
    """
    import torch
    from transformers import BertConfig, BertForSequenceClassification

    from kmerit.models.tokenizers import vocabulary

    torch.manual_seed(3)
    words = vocabulary(6)
    config = BertConfig(
        vocab_size=len(words), hidden_size=32, num_hidden_layers=2, num_attention_heads=4, intermediate_size=32,
        max_position_embeddings=256, initializer_range=0.05, id2label={0: "background", 1: "signal"},
        label2id={"background": 0, "signal": 1},
    )  # fmt: skip
    model = BertForSequenceClassification(config)
    word, reader = 30, 31  # units
    layer, head = PLANTED
    own = slice(8 * head, 8 * head + 8)
    with torch.no_grad():
        embedding = model.bert.embeddings.word_embeddings.weight
        embedding.normal_(0, 1)
        embedding[:, [word, reader]] = 0
        embedding[words.index(WORD), :] = 0
        embedding[words.index(WORD), word] = 6
        for each in (
            model.bert.embeddings.position_embeddings.weight,
            model.bert.embeddings.token_type_embeddings.weight,
        ):
            each[:, [word, reader]] = 0
        for block in model.bert.encoder.layer:
            block.attention.output.dense.weight[reader] = 0
            block.output.dense.weight[reader] = 0
            block.output.dense.weight *= 0.1
        attention = model.bert.encoder.layer[layer].attention
        query, key, value = attention.self.query, attention.self.key, attention.self.value
        for part in (query, key, value):
            part.weight[own] = 0
            part.bias[own] = 0
        query.bias[own.start] = 6
        key.weight[own.start, word] = 3
        value.weight[own.start, word] = 1
        attention.output.dense.weight[:, own] = 0
        attention.output.dense.weight[reader, own.start] = 2
        pooler = model.bert.pooler.dense
        pooler.weight.zero_()
        pooler.bias.zero_()
        pooler.weight[0, reader] = 0.5
        model.classifier.weight.zero_()
        model.classifier.bias.zero_()
        model.classifier.weight[1, 0] = 8
    model.save_pretrained(folder)
    (folder / "vocab.txt").write_text("\n".join(words) + "\n", encoding="utf-8")
    return folder


def planted_windows(count: int, seed: int = 0) -> Sequences:
    """Draw windows along two chromosomes; every second one has the word, at a random place, and no other has it."""
    rng = np.random.default_rng(seed)
    strings = []
    while len(strings) < count:
        text = "".join(rng.choice(list("ACGT"), LENGTH))
        if WORD in text:
            continue
        if len(strings) % 2:
            at = int(rng.integers(10, LENGTH - 16))
            text = text[:at] + WORD + text[at + 6 :]
        if text.count(WORD) == len(strings) % 2:
            strings.append(text)
    order = rng.permutation(count)
    loci = [Locus(f"chr{1 + i // (count // 2)}", 1000 * i, 1000 * i + LENGTH) for i in range(count)]
    return Sequences.from_strings([strings[i] for i in order], loci=loci)
