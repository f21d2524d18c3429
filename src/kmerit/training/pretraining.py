"""Pre-training: restore masked contiguous k-mers of unlabelled sequences. Source: ji2021, section 2.2."""

from __future__ import annotations

import math
from pathlib import Path

from kmerit.disk import need_space
from kmerit.sequences import Sequences
from kmerit.store import hold, is_first, process_count, write_text
from kmerit.training import card
from kmerit.training.data import MaskedCrops, held_out, read_corpus, without_test_rows
from kmerit.training.learner import masked_model, publish
from kmerit.training.loop import Progress, fit
from kmerit.training.recipe import PretrainConfig, begin, check_folder, finish, is_done, remove_checkpoints


def pretrain(
    config: PretrainConfig, out: Path | str, *, corpus: Sequences | None = None, progress: Progress | None = None
) -> Path:
    """Pre-train a k-mer model, or resume an interrupted training.

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

    Example:
        >>> import tempfile
        >>> tiny = {"k": 3, "hidden": 8, "layers": 1, "heads": 1, "intermediate": 8, "max_steps": 1}
        >>> config = PretrainConfig.parse(tiny | {"crop_lengths": [30], "validation_share": 0, "device": "cpu"})
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     model = pretrain(config, f"{folder}/model", corpus=Sequences.from_strings(["ACGTTGCA" * 9]))
        ...     (model / "model.safetensors").is_file()
        True
    """
    out = Path(out)
    with hold(out):
        check_folder(out, config)
        if is_done(out):
            begin(out, config)
            if is_first():
                remove_checkpoints(out)
            return out
        records = corpus if corpus is not None else read_corpus(config.corpus)
        records, cleaning = without_test_rows(records, config.exclude)
        train, validation = held_out(records, config.validation_share, max(config.crop_lengths))
        model = masked_model(config)
        need_space(out, 2 * sum(value.numel() * value.element_size() for value in model.state_dict().values()))
        begin(out, config)
        length = sum(config.crop_lengths) / len(config.crop_lengths)
        rows = max(1, round(config.epochs * train.bases.size / length))
        if config.max_steps is not None:
            # Enough for every process: the training stops at max_steps, wherever that is.
            rows = config.max_steps * config.batch_size * config.accumulate * process_count()
        log = fit(
            model,
            MaskedCrops(train, config, rows, config.seed),
            rows,
            config,
            out,
            validation=None if validation is None else MaskedCrops(validation, config, config.validation_crops, 1),
            rows_per_epoch=math.ceil(rows / 10),
            choose_by=None if validation is None else "loss",
            progress=progress,
        )
        if is_first():
            size = sum(p.numel() for p in model.parameters())
            folder = publish(
                model, out, config.k, {"stage": "pretrain", "seed": config.seed, "exclude": config.exclude}
            )
            facts = {
                "origin": ", ".join(Path(path).name for path in config.corpus) or "given sequences",
                "nucleotides": train.bases.size,
                "cleaning": cleaning.as_dict() if cleaning else {},
                "parameters": size,
            }
            write_text(out / "README.md", card.pretrained(config, facts, log))
            finish(out, {"corpus": facts, "log": log}, [*folder, "README.md"])
    return out
