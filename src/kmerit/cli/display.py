"""Terminal output: progress and messages on stderr, results on stdout."""

from __future__ import annotations

import logging
import os
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TextIO

Progress = Callable[[int, int], None]

PLAIN_SECONDS = 60.0
"""How often a line is written where there is no terminal to draw a bar on."""


@dataclass
class Display:
    """Verbosity of a process."""

    quiet: bool = False
    verbose: bool = False

    def say(self, message: str) -> None:
        """Write a line on stderr."""
        print(message, file=sys.stderr, flush=True)

    @contextmanager
    def watch(self, title: str) -> Iterator[Progress]:
        """Show how far a step is: a bar on a terminal, a line a minute elsewhere, nothing if quiet."""
        if self.quiet or int(os.environ.get("RANK", "0")) > 0:
            yield lambda done, total: None
        elif sys.stderr.isatty():
            with _bar(title) as progress:
                yield progress
        else:
            yield _plain(title, sys.stderr)

    def set_quiet(self, quiet: bool) -> None:
        """Take the option ``--quiet``."""
        self.quiet = quiet

    def set_verbose(self, verbose: bool) -> None:
        """Take the option ``--verbose``: the time stands before each message of the library."""
        self.verbose = verbose
        shape = logging.Formatter("%(asctime)s %(message)s", datefmt="%H:%M:%S") if verbose else None
        _LOG_HANDLER.setFormatter(shape)

    def listen(self) -> None:
        """Show the library's messages on stderr, as of what a reader understood; of several processes the first's."""
        _LOG_HANDLER.said.clear()
        if int(os.environ.get("RANK", "0")) == 0:
            logging.getLogger("kmerit").addHandler(_LOG_HANDLER)  # which adds it once


DISPLAY = Display()


class _Said(logging.Handler):
    """Shows each message once: a file may be read at several stages."""

    def __init__(self, level: int) -> None:
        super().__init__(level)
        self.said: set[str] = set()

    def emit(self, record: logging.LogRecord) -> None:
        message = record.getMessage()
        if message not in self.said:
            self.said.add(message)
            DISPLAY.say(self.format(record))


_LOG_HANDLER = _Said(logging.WARNING)


@contextmanager
def _bar(title: str) -> Iterator[Progress]:
    from rich import progress
    from rich.console import Console

    columns = (
        progress.TextColumn("{task.description}", markup=False),
        progress.BarColumn(),
        progress.MofNCompleteColumn(),
        progress.TimeRemainingColumn(elapsed_when_finished=True),
    )
    with progress.Progress(*columns, console=Console(stderr=True)) as bars:
        bar = bars.add_task(title, total=None)
        yield lambda done, total: bars.update(bar, completed=done, total=total)


def _plain(title: str, stream: TextIO, clock: Callable[[], float] = time.monotonic) -> Progress:
    """Write ``title: 120 of 500, about 3 min left`` once a minute."""
    started = printed_at = clock()

    def progress(done: int, total: int) -> None:
        nonlocal printed_at
        now = clock()
        if now - printed_at >= PLAIN_SECONDS and done:
            printed_at = now
            minutes = (now - started) / done * (total - done) / 60
            print(f"{title}: {done} of {total}, about {minutes:.0f} min left", file=stream, flush=True)

    return progress
