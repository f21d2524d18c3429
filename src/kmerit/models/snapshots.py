"""Finding the folder of a checkpoint: a path, a bundled model, or a snapshot of the hub."""

from __future__ import annotations

import os
from collections.abc import Sequence
from importlib.resources import files
from pathlib import Path
from typing import Any

from kmerit.errors import CheckpointError, MissingExtra, OfflineError, UnknownName

BUNDLED = "bundled:"
ADAPTER = "adapter_config.json"
_SMALL = (".json", ".txt", ".model")
"""Endings of the files that a checkpoint needs besides its weights."""
_MODELS = (("model", ".safetensors"), ("pytorch_model", ".bin"))
_ADAPTERS = (("adapter_model", ".safetensors"), ("adapter_model", ".bin"))


def bundled() -> list[str]:
    """List the models that ship with kmerit.

    Example:
        >>> bundled()
        ['encoder', 'enhancer', 'promoter']
    """
    root = Path(str(files("kmerit"))) / "assets" / "models"
    return sorted(path.parent.name for path in root.glob("*/config.json"))


def locate(path_or_name: str | os.PathLike[str], revision: str | None = None) -> Path:
    """Find the folder of a checkpoint, downloading it from the hub where need be.

    Args:
        path_or_name: A folder, ``bundled:NAME``, or a name of the hub: ``owner/name`` or ``owner/name@revision``.
        revision: Branch, tag or commit of a hub name.

    Raises:
        CheckpointError: Neither a folder of a checkpoint nor the name of one.
        OfflineError: On the hub perhaps, but it cannot be reached.
        UnknownName: No bundled model of that name.
    """
    name = os.fspath(path_or_name)
    folder = Path(name).expanduser()
    local = name.startswith(BUNDLED) or os.path.exists(folder)
    if local and revision is not None:
        raise CheckpointError(f"{name}: is no name of the hub, so it has no revision {revision!r}. Leave it out.")
    if name.startswith(BUNDLED):
        if name.removeprefix(BUNDLED) not in bundled():
            raise UnknownName("bundled model", name.removeprefix(BUNDLED), bundled(), see="kmerit list models")
        return Path(str(files("kmerit"))) / "assets" / "models" / name.removeprefix(BUNDLED)
    if os.path.isdir(folder):
        _check_folder(folder, name)
        return folder
    plain, _, version = name.partition("@")
    if os.path.exists(folder) or plain.count("/") > 1 or name.startswith((".", "/", "~")) or name != name.strip():
        raise CheckpointError(f"{name}: expected a folder in Hugging Face's layout, or a hub name owner/name.")
    if version and revision not in (None, version):
        raise CheckpointError(f"{name}: names the revision {version!r}, and {revision!r} is asked for. Give one.")
    if name != plain and not version:
        raise CheckpointError(f"{name}: expected a revision after @. Give one, or leave the @ out.")
    path = _download(plain, version or revision)
    _check_folder(path, name)
    return path


def _check_folder(folder: Path, name: str) -> None:
    """Refuse a folder that is no checkpoint, and name what it is instead."""
    if (folder / ADAPTER).is_file():
        if weights := [f"{stem}{end}" for stem, end in _MODELS if any(folder.glob(f"{stem}{end}*"))]:
            raise CheckpointError(
                f"{name}: holds an adapter of peft ({ADAPTER}) next to a model's weights ({weights[0]}), and does not "
                f"say whether it is merged into them. Move one of them to a folder of its own."
            )
        return
    if (folder / "config.json").is_file():
        return
    steps = sorted(folder.glob("checkpoint-*/config.json"), key=lambda path: (len(path.parent.name), str(path)))
    if steps:
        names = ", ".join(path.parent.name for path in steps)
        raise CheckpointError(
            f"{name}: the folder of a training, with checkpoints and no model of its own: {names}. "
            f"Choose one, as {folder / steps[-1].parent.name}."
        )
    raise CheckpointError(f"{name}: expected a folder with config.json and weights; there is no config.json.")


def _download(name: str, revision: str | None) -> Path:
    try:
        from huggingface_hub import HfApi, snapshot_download
        from huggingface_hub import errors as hub
    except ImportError as error:
        raise MissingExtra("huggingface-hub", "hub", "Loading a model by its hub name") from error
    try:
        try:
            names = HfApi().list_repo_files(name, revision=revision)
        except (hub.OfflineModeIsEnabled, hub.RepositoryNotFoundError, hub.RevisionNotFoundError):
            raise
        except (hub.HfHubHTTPError, OSError):  # not to be reached: a snapshot that is here will do
            return Path(snapshot_download(name, revision=revision, local_files_only=True))
        return Path(snapshot_download(name, revision=revision, allow_patterns=needed(names)))
    except hub.OfflineModeIsEnabled as error:
        return _cached(name, revision, error)
    except hub.GatedRepoError as error:
        raise CheckpointError(
            f"{name}: is gated. Ask for access on its page on the hub, then log in here with: hf auth login"
        ) from error
    except hub.RepositoryNotFoundError as error:
        raise CheckpointError(
            f"{name}: no such folder here and no such model on the hub; if it is private, log in with: hf auth login"
        ) from error
    except hub.RevisionNotFoundError as error:
        raise CheckpointError(
            f"{name}: has no revision {revision!r} on the hub; expected a branch, tag or commit."
        ) from error
    except hub.HFValidationError as error:
        raise CheckpointError(f"{name}: no such folder here, and no name of the hub (owner/name).") from error
    except (hub.LocalEntryNotFoundError, hub.HfHubHTTPError, OSError, ValueError) as error:
        raise _offline(name, revision) from error


def _cached(name: str, revision: str | None, cause: Any) -> Path:
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HFValidationError, LocalEntryNotFoundError

    try:
        return Path(snapshot_download(name, revision=revision, local_files_only=True))
    except HFValidationError as error:
        raise CheckpointError(f"{name}: no such folder here, and no name of the hub (owner/name).") from error
    except LocalEntryNotFoundError:
        raise _offline(name, revision) from cause


def _offline(name: str, revision: str | None) -> OfflineError:
    at = f" at revision {revision}" if revision else ""
    return OfflineError(
        f"{name}: no such folder here, no snapshot{at} in the hub's cache, and the hub cannot be reached. Copy its "
        f"folder (config.json, model.safetensors or pytorch_model.bin, vocab.txt) to this machine and give its path."
    )


def needed(names: Sequence[str]) -> list[str]:
    """Choose the files of a repository to download: its own small files, and one set of weights, safetensors first.

    Example:
        >>> needed(["config.json", "pytorch_model.bin", "model.safetensors", "checkpoint-5/model.safetensors"])
        ['config.json', 'model.safetensors']
    """
    own = [name for name in names if "/" not in name]
    small = [name for name in own if name.endswith(_SMALL)]
    sets = ([name for name in own if name.startswith(stem) and name.endswith(end)] for stem, end in _MODELS + _ADAPTERS)
    return [*small, *next((files for files in sets if files), [])]
