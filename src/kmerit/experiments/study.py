"""The folder of a study: it holds the results of one config, and no others are taken for them."""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

from kmerit.data.files import atomic_write
from kmerit.errors import ConfigError, RunMismatch
from kmerit.training.config import Table

STUDY = "study.json"
_MISSING = "absent"


def begin_study(out: Path, config: Table, free: Collection[str] = ()) -> None:
    """Record what determines a study in its folder, or check that it is the same.

    Args:
        out: The folder; it is made if it is not there.
        config: All that determines the results.
        free: Keys that may differ from one time to the next, as what is computed for one of their values does not
            depend on the others: the folder may be filled in parts.

    Raises:
        RunMismatch: The folder holds results of another config, or results and no record of their config.

    Example:
        >>> import tempfile
        >>> from kmerit.training import PretrainConfig
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     begin_study(Path(folder), PretrainConfig(corpus=["a.fa"]))
        ...     begin_study(Path(folder), PretrainConfig(corpus=["a.fa"], layers=2))
        Traceback (most recent call last):
        ...
        kmerit.errors.RunMismatch: ... layers was 3, now it is 2. ...
    """
    path = out / STUDY
    now = config.model_dump(mode="json")
    if path.is_file():
        before = _recorded(path, config)
        for key, was, asked in _differences(before, now):
            if key.split(".")[0] not in free:
                raise RunMismatch(
                    f"{out} holds a study of another config: {key} was {was!r}, now it is {asked!r}. "
                    f"Choose another folder with --out, or delete this one."
                )
    elif (stranger := _result(out)) is not None:
        raise RunMismatch(
            f"{out} holds results (there is {stranger!r}) and no {STUDY} that says of which config they are. "
            f"Choose another folder with --out, or delete this one."
        )
    with atomic_write(path) as part:
        part.write_text(json.dumps(now, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")


def _recorded(path: Path, config: Table) -> dict[str, Any]:
    """Read a record; a setting that did not exist yet had the value that is now its default."""
    try:
        return type(config).parse(json.loads(path.read_text(encoding="utf-8"))).model_dump(mode="json")
    except (ValueError, TypeError, ConfigError) as error:
        raise RunMismatch(
            f"{path} is not the config of such a study ({error}). Choose another folder with --out, or delete this one."
        ) from None


def _differences(before: Any, now: Any, at: str = "") -> list[tuple[str, Any, Any]]:
    """List what differs: the key, with dots, and both values."""
    if isinstance(before, Mapping) and isinstance(now, Mapping):
        keys = sorted({*before, *now})
        return [
            found
            for key in keys
            for found in _differences(before.get(key, _MISSING), now.get(key, _MISSING), f"{at}.{key}" if at else key)
        ]
    return [] if before == now else [(at, before, now)]


def _result(out: Path) -> str | None:
    """Find a folder or a table of results; notes and logs of the user's are let be."""
    if not out.is_dir():
        return None
    return next(
        (
            path.name
            for path in sorted(out.iterdir())
            if not path.name.startswith(".") and (path.is_dir() or path.suffix in (".csv", ".json"))
        ),
        None,
    )
