"""A training as a process of its own, to be killed or launched many times over: KIND FOLDER [STEP TO DIE AT]."""

from __future__ import annotations

import os
import signal
import sys

from tests.helpers.training_data import LEARN, TINY, corpus, splits

from kmerit.training import finetune, pretrain
from kmerit.training.recipe import FinetuneConfig, PretrainConfig

if __name__ == "__main__":
    kind, out, *rest = sys.argv[1:]
    fatal = int(rest[0]) if rest else 0

    def progress(done: int, total: int) -> None:
        """Die without a word at the fatal step."""
        if done == fatal:
            os.kill(os.getpid(), signal.SIGKILL)

    if kind == "pretrain":
        recipe = PretrainConfig(
            **{**TINY, "hidden_dropout": 0.1},
            crop_lengths=[30, 40], max_steps=80, save_steps=25, eval_steps=10, batch_size=4, validation_crops=8,
        )  # fmt: skip
        pretrain(recipe, out, corpus=corpus(), progress=progress)
    else:
        task = FinetuneConfig(
            **{**LEARN, "hidden_dropout": 0.1, "batch_size": 8, "learning_rate": 1e-3},
            epochs=4, save_steps=25, jitter=4, reverse_complement=0.3, hidden_tokens=0.1, average_decay=0.9,
            accumulate=1, patience=9, baselines=False,
        )  # fmt: skip
        finetune(task, out, data=splits(), progress=progress)
