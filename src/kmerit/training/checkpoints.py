"""The folder of a training: its recipe, its checkpoints, and its record of completion."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from pydantic import BaseModel

from kmerit.errors import RunMismatch
from kmerit.processes import is_first
from kmerit.store import (
    check_begun,
    check_sources,
    read_proof,
    read_record,
    remove_own,
    settle,
    source_sums,
    write_proof,
    write_record,
)

CHECKPOINTS = "checkpoints"
CONFIG = "training.json"
DONE = "training_log.json"
SOURCES = "sources.json"
_FILES = ("genome", "base", "train", "validation", "test", "source", "teachers", "unlabelled", "corpus", "exclude")
"""Keys of recipes that name files or folders of the user's."""
_WHOLE = "whole.json"
_KEPT = 2
"""Number of checkpoints kept during a training."""
_PUBLISHED = {
    "README.md", "adapter", "added_tokens.json", "config.json", "merges.txt", "metrics.json", "model.safetensors",
    "special_tokens_map.json", "tokenizer.json", "tokenizer_config.json", "vocab.json", "vocab.txt", CHECKPOINTS, DONE,
    SOURCES,
}  # fmt: skip
_SAVED = re.compile(
    r"(average|model)\.safetensors|(config|trainer_state|whole)\.json|(optimizer|scheduler|scaler)\.pt|"
    r"rng_state.*\.pth|training_args\.bin"
)
"""Files of a checkpoint."""


def check_folder(out: Path, config: BaseModel) -> None:
    """Refuse a folder of another training, or one that holds files which this one would overwrite.

    Raises:
        RunMismatch: It does.
    """
    # A setting that did not exist yet had the value that is now its default.
    defaults = {name: field.get_default() for name, field in type(config).model_fields.items()}
    check_begun(
        out / CONFIG,
        "a training",
        config.model_dump(mode="json"),
        earlier=lambda found: defaults | found,
        own=lambda entry: entry.name not in _PUBLISHED,
    )
    check_sources(_made_of(out), _sources(config))


def begin(out: Path, config: BaseModel) -> None:
    """Record the recipe of a folder that was checked."""
    if is_first():
        made_of = _made_of(out) if (out / CONFIG).exists() else source_sums(_sources(config))
        if made_of:
            write_record(out / SOURCES, made_of)
        if (done := read_record(out / DONE)) is not None:
            write_record(out / DONE, done)
        settle(out / CONFIG, config.model_dump(mode="json"))


def _made_of(out: Path) -> dict[str, str]:
    """Return the sums of the files that a training is of; a finished one holds them twice.

    Raises:
        RunMismatch: They were recorded, and the record is damaged.
    """
    record = read_record(out / SOURCES)
    if record is None:
        record = (read_record(out / DONE) or {}).get("made_of")
    if record is None and (out / SOURCES).exists():
        raise RunMismatch(
            f"{out / SOURCES} is damaged, so that it is not known of which files this training is. Choose a new "
            f"folder with --out."
        )
    return record or {}


def _sources(config: BaseModel) -> dict[str, str]:
    """Name the files and folders that a recipe names, by their keys."""
    sources: dict[str, str] = {}
    for key in _FILES:
        value = getattr(config, key, None)
        each = [value] if isinstance(value, str) else value or []
        sources |= {key if len(each) == 1 else f"{key}[{i}]": name for i, name in enumerate(each)}
    return sources


def is_done(out: Path) -> bool:
    """Return whether the training in a folder is done, and its files are unchanged.

    Example:
        >>> is_done(Path("nothing/here"))
        False
    """
    return read_proof(out / DONE) is not None


def finish(out: Path, about: Mapping[str, Any], files: Iterable[str]) -> None:
    """Write the record of completion, and remove the checkpoints."""
    made_of = read_record(out / SOURCES)
    about = about if made_of is None else {**about, "made_of": made_of}
    write_proof(out / DONE, files, about)
    remove_checkpoints(out)


def remove_checkpoints(out: Path) -> None:
    """Remove the checkpoints of a training that is done; one that was stopped while it removed them left some."""
    for path in _checkpoints(out):
        _remove(path)
    remove_own(
        out / CHECKPOINTS, [name for stem in ("best", "last") for name in (f"{stem}.json", f"{stem}.safetensors")]
    )


def mark_whole(checkpoint: Path) -> None:
    """Note that everything of a checkpoint has been written, and remove those that are no longer needed."""
    names = [path.name for path in checkpoint.iterdir() if path.name != _WHOLE]
    write_proof(checkpoint / _WHOLE, names)
    for path in _checkpoints(checkpoint.parents[1])[:-_KEPT]:
        _remove(path)


def last_whole(out: Path) -> Path | None:
    """Find the last checkpoint that was written to its end and is as it was."""
    return next((path for path in reversed(_checkpoints(out)) if read_proof(path / _WHOLE)), None)


def forget_checkpoints(out: Path) -> None:
    """Let no checkpoint count as whole: the training begins again."""
    for path in _checkpoints(out):
        (path / _WHOLE).unlink(missing_ok=True)


def _checkpoints(out: Path) -> list[Path]:
    folders = (path for path in (out / CHECKPOINTS).glob("checkpoint-*") if path.name.split("-")[1].isdecimal())
    return sorted(folders, key=lambda path: int(path.name.split("-")[1]))


def _remove(checkpoint: Path) -> None:
    remove_own(checkpoint, [path.name for path in checkpoint.iterdir() if _SAVED.fullmatch(path.name)])
