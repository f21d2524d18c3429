"""Run one training from a JSON config, alone or under a launcher of many processes.

Example::

    torchrun --nproc_per_node 2 -m kmerit.training finetune warmup.json runs/warmup
"""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path

from kmerit.errors import KmeritError, UsageError
from kmerit.training import FinetuneConfig, PretrainConfig, finetune, pretrain


def main(arguments: list[str]) -> int:
    """Run ``pretrain`` or ``finetune``; print a line a minute."""
    try:
        if len(arguments) != 3 or arguments[0] not in ("pretrain", "finetune"):
            raise UsageError("Usage: python -m kmerit.training pretrain|finetune CONFIG.json FOLDER")
        kind, path, out = arguments
        tree = json.loads(Path(path).read_text(encoding="utf-8"))
        if kind == "pretrain":
            pretrain(PretrainConfig.parse(tree), out, progress=LineAMinute(Path(out).name))
        else:
            finetune(FinetuneConfig.parse(tree), out, progress=LineAMinute(Path(out).name))
    except KmeritError as error:
        print(f"{type(error).__name__}: {error}", file=sys.stderr)
        return error.exit_code
    return 0


class LineAMinute:
    """Print progress to stderr at most once a minute, and at the end."""

    def __init__(self, name: str, every: float = 60.0) -> None:
        self.name, self.every = name, every
        self.first: tuple[float, int] | None = None
        self.last = 0.0

    def __call__(self, done: int, total: int) -> None:
        """Take note of the steps done and to do."""
        now = time.monotonic()
        self.first = self.first or (now, done)
        if now - self.last < self.every and done < total:
            return
        self.last = now
        started, at = self.first
        left = f", about {(now - started) / (done - at) * (total - done) / 60:.0f} min left" if done > at else ""
        print(f"{self.name}: step {done} of {total}{left}", file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
