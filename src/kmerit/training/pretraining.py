"""Pre-training: restore masked contiguous k-mers of unlabelled sequences. Source: ji2021, section 2.2."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np

from kmerit.errors import ConfigError
from kmerit.training import card
from kmerit.training.config import PretrainConfig
from kmerit.training.folder import begin, claimed, finish, is_main, processes, write_text
from kmerit.training.loop import Progress, fit
from kmerit.training.networks import masked_model, publish
from kmerit.training.rows import MaskedCrops
from kmerit.types import Sequences


def pretrain(
    config: PretrainConfig, out: Path | str, *, corpus: Sequences | None = None, progress: Progress | None = None
) -> Path:
    """Pre-train a k-mer model; go on where a stopped training was.

    Args:
        config: The recipe.
        out: Folder of the result: config.json, model.safetensors, vocab.txt, README.md, training_log.json.
        corpus: Sequences in place of ``config.corpus``.
        progress: Told the steps done and to do.

    Returns:
        The folder, in Hugging Face's layout.

    Raises:
        ConfigError: No corpus.
        RunLocked: The folder is in use.
        RunMismatch: The folder holds another training.
        CheckpointError: ``base`` cannot be gone on from.
    """
    out = Path(out)
    with claimed(out):
        if begin(out, config):
            return out
        records, origin = (corpus, "given sequences") if corpus is not None else _read(config)
        records, removed = _clean(records, config)
        train, held_out = _split(records, config)
        model = masked_model(config)
        length = sum(config.crop_lengths) / len(config.crop_lengths)
        rows = max(1, round(config.epochs * train.bases.size / length))
        if config.max_steps is not None:
            # Enough for every process: the training stops at max_steps, wherever that is.
            rows = config.max_steps * config.batch_size * config.accumulate * processes()
        log = fit(
            model,
            MaskedCrops(train, config, rows, config.seed),
            rows,
            config,
            out,
            validation=None if held_out is None else MaskedCrops(held_out, config, config.validation_crops, 1),
            rows_per_epoch=math.ceil(rows / 10),
            choose_by=None if held_out is None else "loss",
            progress=progress,
        )
        if is_main():
            size = sum(p.numel() for p in model.parameters())
            publish(model, out, config.k, {"stage": "pretrain", "seed": config.seed, "exclude": config.exclude})
            facts = {"origin": origin, "nucleotides": train.bases.size, "removed": removed, "parameters": size}
            write_text(out / "README.md", card.pretrained(config, facts, log))
            finish(out, {"corpus": facts, "log": log})
    return out


def _read(config: PretrainConfig) -> tuple[Sequences, str]:
    from kmerit.data import read_sequences

    if not config.corpus:
        raise ConfigError("Pre-training needs a corpus: corpus = ['genome.fa.gz'] (--corpus genome.fa.gz).")
    return joined([read_sequences(path, case="upper") for path in config.corpus]), ", ".join(
        Path(path).name for path in config.corpus
    )


def joined(parts: list[Sequences]) -> Sequences:
    """Put sets of sequences end to end, numbering names that occur twice."""
    if len(parts) == 1:
        return parts[0]
    names = [f"{i}:{name}" for i, part in enumerate(parts) for name in part.names]
    lengths = np.concatenate([part.lengths for part in parts])
    return Sequences(
        tuple(names), np.concatenate([part.bases for part in parts]), np.concatenate([[0], np.cumsum(lengths)])
    )


def _clean(corpus: Sequences, config: PretrainConfig) -> tuple[Sequences, int]:
    """Cut the test rows of the excluded tasks out of the corpus; count the nucleotides removed."""
    if not config.exclude:
        return corpus, 0
    from kmerit.data import load_task
    from kmerit.data.decontaminate import remove_shared

    tests = joined([load_task(name, "test") for name in config.exclude])
    kept = remove_shared(corpus, tests)
    return kept, corpus.bases.size - kept.bases.size


def _split(corpus: Sequences, config: PretrainConfig) -> tuple[Sequences, Sequences | None]:
    """Hold out the far end of the corpus, at least one crop long, cutting the record it begins in."""
    if config.validation_share == 0:
        return corpus, None
    cut = corpus.bases.size - max(round(corpus.bases.size * config.validation_share), max(config.crop_lengths))
    record = int(np.searchsorted(corpus.offsets, cut, side="right")) - 1
    inside = int(cut > corpus.offsets[record])  # whether a part of that record comes before the cut
    before = corpus.offsets[: record + inside]
    after = corpus.offsets[record + 1 :]
    train = Sequences(corpus.names[: record + inside], corpus.bases[:cut], np.append(before, cut))
    return train, Sequences(corpus.names[record:], corpus.bases[cut:], np.concatenate([[0], after - cut]))
