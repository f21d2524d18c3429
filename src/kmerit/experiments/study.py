"""The folder of a study: it holds the results of one config, and no others are taken for them."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from kmerit.config import Table
from kmerit.store import begin, hold

STUDY = "study.json"


@contextmanager
def study(
    out: Path,
    settings: Mapping[str, Any],
    free: Collection[str] = (),
    earlier: Callable[[Any], Mapping[str, Any]] | None = None,
) -> Iterator[None]:
    """Hold the folder of a study, and record what determines it, or check that it is the same.

    Args:
        out: The folder; it is made if it is not there.
        settings: All that determines the results.
        free: Keys that may differ from one time to the next, as what is computed for one of their values does not
            depend on the others: the folder may be filled in parts.
        earlier: Completes settings that were recorded before some keys existed.

    Raises:
        RunLocked: Another process writes to it.
        RunMismatch: The folder holds results of another config, or results and no record of their config.

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     with study(Path(folder), {"seed": 1}):
        ...         pass
        ...     with study(Path(folder), {"seed": 2}):
        ...         pass
        Traceback (most recent call last):
        ...
        kmerit.errors.RunMismatch: ... seed was 1, now it is 2. ...
    """
    with hold(out):
        begin(out / STUDY, "a study", settings, free=free, earlier=earlier, own=_is_a_note)
        yield


def of_config(config: Table) -> tuple[dict[str, Any], Callable[[Any], dict[str, Any]]]:
    """Give the settings that a config stands for, and what completes older ones with today's defaults."""
    return config.model_dump(mode="json"), lambda found: type(config).parse(found).model_dump(mode="json")


def _is_a_note(entry: Path) -> bool:
    """Whether something is no result: notes and logs of the user's are left alone."""
    return not entry.is_dir() and entry.suffix not in (".csv", ".json")
