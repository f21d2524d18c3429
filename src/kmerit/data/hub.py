"""Data sets from the Hugging Face hub, and folders laid out as the hub does."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from kmerit.data.letters import Where
from kmerit.errors import FormatError, MissingExtra, OfflineError

if TYPE_CHECKING:
    import pyarrow as pa

_HUB_NAME = re.compile(r"[A-Za-z0-9][\w.-]*/[\w.-]+")
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


def hub_folder(name: str, folder: Path | None = None, progress: bool = True, remedy: str = "") -> Path:
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
    """
    try:
        import huggingface_hub as hub
        from huggingface_hub.errors import HfHubHTTPError, LocalEntryNotFoundError, RepositoryNotFoundError
    except ImportError:
        raise MissingExtra("huggingface_hub", "hub", f"Downloading {name}") from None
    try:
        with _progress_bars(progress):
            return Path(
                hub.snapshot_download(name, repo_type="dataset", local_dir=folder, allow_patterns=list(_DATA_FILES))
            )
    except RepositoryNotFoundError:
        raise FormatError(
            f"{name}: neither a file here nor a public data set on the hub. Check the spelling."
        ) from None
    except (LocalEntryNotFoundError, HfHubHTTPError, OSError) as error:
        first = (str(error).splitlines() or [type(error).__name__])[0]
        raise OfflineError(
            f"{name} cannot be downloaded: {first[:120]} "
            + (remedy or "Copy the data set into a folder, and give the folder instead of the name.")
        ) from None


def read_folder(folder: Path, split: str | None) -> tuple[pa.Table, Where]:
    """Read one split of a data-set folder: one that ``save_to_disk`` wrote, or one with data files.

    Raises:
        MissingExtra: The library ``datasets`` is not installed.
        FormatError: No data set in there, no such split, or several and none asked for.
    """
    try:
        import datasets
    except ImportError:
        raise MissingExtra("datasets", "hub", f"Reading the data-set folder {folder}") from None
    try:
        with _progress_bars(False):
            if (folder / "dataset_dict.json").exists() or (folder / "dataset_info.json").exists():
                found = datasets.load_from_disk(str(folder))
            else:
                found = datasets.load_dataset(str(folder))
    except Exception as error:  # datasets raises a dozen unrelated classes, for anything from JSON to Arrow
        first = (str(error).splitlines() or [type(error).__name__])[0]
        raise FormatError(f"{folder}: not a data-set folder: {first[:160]}") from None
    splits: dict[str, Any] = dict(found) if isinstance(found, dict) else {str(found.split or "train"): found}
    if split is None and len(splits) == 1:
        split = next(iter(splits))
    if split not in splits:
        asked = "name one with split (--split)" if split is None else f"there is no {split!r}"
        raise FormatError(f"{folder}: the splits are {', '.join(sorted(splits))}; {asked}.")
    table = splits[split].with_format("arrow")[:]
    return table, lambda row: f"{folder}, split {split}, row {row}"


@contextmanager
def _progress_bars(wanted: bool) -> Iterator[None]:
    """Switch the progress bars of the Hugging Face libraries, and put the switch back."""
    from huggingface_hub.utils import are_progress_bars_disabled, disable_progress_bars, enable_progress_bars

    before = are_progress_bars_disabled()
    if not wanted:
        disable_progress_bars()
    try:
        yield
    finally:
        if not wanted and not before:
            enable_progress_bars()
