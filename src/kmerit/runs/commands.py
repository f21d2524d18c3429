"""A verb's command in a config, to be made in shares: ``kmerit work`` takes it in place of an experiment."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from pathlib import Path

from pydantic import Field

from kmerit.config import BUNDLED, Table, read_toml
from kmerit.errors import ConfigError

VERBS = {
    "attribute": "scores.parquet",
    "trial": "judged",
    "variants": "effects",
    "motifs": "motifs",
    "heads": "heads",
}
"""Verbs that can be made in shares, and what a workflow calls their output."""


class CommandConfig(Table):
    """What a config with a command says.

    Attributes:
        command: As it is given to a shell, without ``kmerit`` and ``--out``; paths are relative to the config.
        threads: Threads of each part; the number can change the last bits of a result, so all parts have the same.

    Example:
        >>> config = CommandConfig.parse({"command": "attribute --model bundled:promoter --sequences my.fa"})
        >>> config.words, config.output
        (['attribute', '--model', 'bundled:promoter', '--sequences', 'my.fa'], 'scores.parquet')
    """

    command: str
    threads: int = Field(1, ge=1)

    @property
    def words(self) -> list[str]:
        """The command, word by word.

        Raises:
            ConfigError: An open quote, a verb that cannot be shared, ``--out``, or ``--help``, which does no work.
        """
        try:
            words = shlex.split(self.command)
        except ValueError as error:
            raise ConfigError(f"command: {self.command!r} is not a command ({error}).") from None
        if not words or words[0] not in VERBS:
            raise ConfigError(
                f"command: expected a verb that can be made in shares, {', '.join(VERBS)}, got "
                f"{words[0] if words else ''!r}. Of an experiment, give its config."
            )
        if any(word.split("=")[0] == "--out" for word in words):
            raise ConfigError("command: leave out --out; it is given to kmerit work, the same for every part.")
        if asked := [word for word in words if word in ("--help", "-h")]:
            raise ConfigError(f"command: leave out {asked[0]}; with it the command does no work.")
        return words

    @property
    def output(self) -> str:
        """What a workflow calls the output."""
        return VERBS[self.words[0]]


def command_of(path: Path | str, preset: str | None = None, overrides: Sequence[str] = ()) -> CommandConfig | None:
    """Read a config that has a command; None if it is one of an experiment.

    Raises:
        ConfigError: There is more than the command, or a preset or override is given for it.
    """
    if str(path).startswith(BUNDLED):
        return None
    tree = read_toml(path)
    if "command" not in tree:
        return None
    if preset or overrides:
        raise ConfigError(f"{path}: --preset and --set are for experiments; write into the command what it is to do.")
    config = CommandConfig.parse(tree)
    _ = config.words
    return config
