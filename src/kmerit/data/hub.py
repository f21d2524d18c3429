"""Data sets from the Hugging Face hub, and folders laid out as the hub does."""

from __future__ import annotations

import errno
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Any

from kmerit.data.letters import Where
from kmerit.data.tables import first_line
from kmerit.errors import DiskFull, FormatError, MissingExtra, OfflineError

if TYPE_CHECKING:
    import pyarrow as pa

_HUB_NAME = re.compile(r"[A-Za-z0-9][\w.-]*/[\w.-]+")
_REMEDY = "Copy the data set into a folder, and give the folder instead of the name."
_DATA_FILES = ("*.parquet", "*.csv", "*.csv.gz", "*.tsv", "*.json", "*.jsonl", "*.arrow", "README.md")


def cache_folder() -> Path:
    """Give the folder of downloaded data: ``KMERIT_CACHE``, else ``kmerit`` in the user's cache folder."""
    if named := os.environ.get("KMERIT_CACHE"):
        return Path(named).expanduser()
    return Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache").expanduser() / "kmerit"


def is_hub_name(text: str) -> bool:
    """Say whether this could be the name of a data set on the hub: ``owner/name``.

    Example:
        >>> is_hub_name("katarinagresova/Genomic_Benchmarks_human_nontata_promoters"), is_hub_name("data/x.csv")
        (True, False)
    """
    return bool(_HUB_NAME.fullmatch(text)) and not re.search(r"\.(fa|fasta|fna|csv|tsv|parquet|pq|gz)$", text)


def hub_folder(name: str, folder: Path | None = None, progress: bool = True, remedy: str = _REMEDY) -> Path:
    """Download a data set from the hub; what is there already is not loaded again, what broke off is continued.

    Args:
        name: ``owner/name``.
        folder: Where to; the hub's own cache by default.
        progress: Whether to show a progress bar on stderr.
        remedy: What the user can do without a network, for the error.

    Returns:
        The folder with the data files.

    Raises:
        MissingExtra: huggingface_hub is not installed.
        OfflineError: The hub cannot be reached, or the environment forbids to try (``HF_HUB_OFFLINE``).
        FormatError: The hub has no such data set.
        DiskFull: No space left.
    """
    try:
        import huggingface_hub as hub
        from huggingface_hub.errors import HfHubHTTPError, RepositoryNotFoundError
    except ImportError:
        raise MissingExtra("huggingface_hub", "hub", f"Downloading {name}") from None
    try:
        with nullcontext() if progress else _no_progress_bars(hub.utils):
            return Path(
                hub.snapshot_download(name, repo_type="dataset", local_dir=folder, allow_patterns=list(_DATA_FILES))
            )
    except RepositoryNotFoundError:
        raise FormatError(
            f"{name}: neither a file here nor a public data set on the hub. Check the spelling."
        ) from None
    except HfHubHTTPError as error:
        raise OfflineError(f"{name} cannot be downloaded: {first_line(error)}. {remedy}") from None
    except Exception as error:  # connections fail with the classes of whichever HTTP library the hub's library uses
        if isinstance(error, OSError) and error.errno == errno.ENOSPC:
            raise DiskFull(
                f"{name} cannot be downloaded: no space left on the disk. Free some, it continues."
            ) from None
        why = "HF_HUB_OFFLINE is set" if hub.constants.HF_HUB_OFFLINE else "the hub cannot be reached"
        raise OfflineError(f"{name} is not here, and {why}. {remedy}") from None


def read_folder(folder: Path, split: str | None) -> tuple[pa.Table, Where]:
    """Read one split of a data-set folder: one that ``save_to_disk`` wrote, or one with data files.

    Raises:
        MissingExtra: The library ``datasets`` is not installed.
        FormatError: No data set in there, no such split, or several and none asked for.
    """
    try:
        import datasets
        import datasets.utils
    except ImportError:
        raise MissingExtra("datasets", "hub", f"Reading the data-set folder {folder}") from None
    try:
        with _no_progress_bars(datasets.utils):
            if (folder / "dataset_dict.json").exists() or (folder / "dataset_info.json").exists():
                found = datasets.load_from_disk(str(folder))
            else:
                found = datasets.load_dataset(str(folder))
    except Exception as error:  # datasets raises a dozen unrelated classes, for anything from JSON to Arrow
        raise FormatError(f"{folder}: not a data-set folder: {first_line(error)}.") from None
    splits: dict[str, Any] = dict(found) if isinstance(found, dict) else {str(found.split or "train"): found}
    if split is None and len(splits) == 1:
        split = next(iter(splits))
    if split not in splits:
        asked = "name one with split (--split)" if split is None else f"there is no {split!r}"
        raise FormatError(f"{folder}: the splits are {', '.join(sorted(splits))}; {asked}.")
    table = splits[split].with_format("arrow")[:]
    return table, lambda row: f"{folder}, split {split}, row {row}"


@contextmanager
def _no_progress_bars(library: Any) -> Iterator[None]:
    """Silence the progress bars of a Hugging Face library, and put its switch back."""
    before = library.are_progress_bars_disabled()
    library.disable_progress_bars()
    try:
        yield
    finally:
        if not before:
            library.enable_progress_bars()
