"""Data sets from the Hugging Face hub, and folders laid out as the hub does."""

from __future__ import annotations

import errno
import os
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from fnmatch import fnmatch
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

from kmerit.errors import DiskFull, FormatError, KmeritError, MissingExtra, OfflineError
from kmerit.io.files import Where
from kmerit.io.tables import first_line, with_class_names
from kmerit.store import sha256

if TYPE_CHECKING:
    import pyarrow as pa


_HUB_NAME = re.compile(r"[A-Za-z0-9][\w.-]*/[\w.-]+")
_FILE_NAME = re.compile(
    r"\.(fa|fasta|fna|ffn|fas|fq|fastq|csv|tsv|tab|txt|jsonl?|ndjson|parquet|pq|bed\d*|narrowpeak|broadpeak|b?gz|bz2|xz|zst)$",
    re.IGNORECASE,
)
Progress = Callable[[int, int], None]
"""Called with what is done and what there is to do, in bytes."""
_BLOCK = 1 << 20
_DATA_FILES = ("*.parquet", "*.csv", "*.csv.gz", "*.tsv", "*.json", "*.jsonl", "*.arrow", "README.md")


def cache_folder() -> Path:
    """Return the folder of downloaded data: ``KMERIT_CACHE``, else ``kmerit`` in the user's cache folder."""
    if folder := os.environ.get("KMERIT_CACHE"):
        return Path(folder).expanduser()
    return Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache").expanduser() / "kmerit"


def is_hub_name(text: str) -> bool:
    """Return whether a text could name a data set on the hub: ``owner/name``.

    Example:
        >>> is_hub_name("katarinagresova/Genomic_Benchmarks_human_nontata_promoters"), is_hub_name("data/x.csv")
        (True, False)
    """
    return bool(_HUB_NAME.fullmatch(text)) and not _FILE_NAME.search(text)


def hub_folder(name: str) -> Path:
    """Download a data set into the hub's own cache, or find it there.

    Args:
        name: ``owner/name``.

    Returns:
        The folder with the data files.

    Raises:
        MissingExtra: huggingface_hub is not installed.
        OfflineError: The hub cannot be reached, or the environment forbids to try (``HF_HUB_OFFLINE``).
        FormatError: The hub has no such data set.
        DiskFull: No space left.
    """
    remedy = "Copy the data set into a folder, and give the folder instead of the name."
    with _hub_library(name, remedy) as hub, _no_progress_bars(hub.utils):
        return Path(hub.snapshot_download(name, repo_type="dataset", allow_patterns=list(_DATA_FILES)))


def download(name: str, folder: Path, remedy: str, progress: Progress | None = None) -> None:
    """Download a data set into a folder; resume an interrupted download, even after a kill.

    The hub's library would restart the file, so the blocks are asked for here. While anything is missing, the
    folder holds a file ``.incomplete``.

    Args:
        name: ``owner/name``.
        folder: Where to.
        remedy: What the user can do without a network, for the error.
        progress: Called with the bytes that are here and those of all files.

    Raises:
        MissingExtra: huggingface_hub is not installed.
        OfflineError: The hub cannot be reached, or the environment forbids to try (``HF_HUB_OFFLINE``).
        FormatError: The hub has no such data set, or a file came damaged.
        DiskFull: No space left.
    """
    with _hub_library(name, remedy) as hub:
        commit = hub.HfApi().dataset_info(name).sha
        entries = hub.HfApi().list_repo_tree(name, recursive=True, revision=commit, repo_type="dataset")
        files = [file for file in entries if any(fnmatch(file.path, pattern) for pattern in _DATA_FILES)]
        folder.mkdir(parents=True, exist_ok=True)
        (folder / ".incomplete").touch()
        total, before = sum(file.size for file in files), 0
        for file in files:
            target = folder / file.path
            part = target.with_name(f"{target.name}.{commit[:12]}.partial")
            if not target.exists():
                part.parent.mkdir(parents=True, exist_ok=True)
                with hub.HfFileSystem().open(
                    f"datasets/{name}@{commit}/{file.path}", "rb", block_size=_BLOCK, cache_type="none"
                ) as remote:
                    for size in _continue(remote, part, file.size):
                        if progress is not None:
                            progress(before + size, total)
                _check(part, file)
                os.replace(part, target)
            before += file.size
        (folder / ".incomplete").unlink()


def _continue(remote: BinaryIO, part: Path, size: int) -> Iterator[int]:
    """Append what is missing, block by block, and tell how much is here."""
    with part.open("ab") as local:
        while (position := local.tell()) < size:
            remote.seek(position)
            local.write(remote.read(min(_BLOCK, size - position)))
            yield local.tell()


def _check(part: Path, file: Any) -> None:
    """Compare a downloaded file with the size and, where the hub knows it, the sha256."""
    expected = file.lfs.sha256 if file.lfs else None
    if part.stat().st_size != file.size or (expected and sha256(part) != expected):
        part.unlink()
        raise FormatError(f"{file.path} came damaged from the hub. Try again.")


@contextmanager
def _hub_library(name: str, remedy: str) -> Iterator[Any]:
    """Import the hub's library; translate its errors."""
    try:
        import huggingface_hub as hub
        from huggingface_hub import constants
        from huggingface_hub.errors import HfHubHTTPError, RepositoryNotFoundError
    except ImportError:
        raise MissingExtra("huggingface_hub", "hub", f"Downloading {name}") from None
    try:
        yield hub
    except KmeritError:
        raise
    except RepositoryNotFoundError:
        raise FormatError(
            f"{name}: neither a local file nor a public data set on the hub. Check the spelling."
        ) from None
    except HfHubHTTPError as error:
        raise OfflineError(f"{name} cannot be downloaded: {first_line(error)}. {remedy}") from None
    except Exception as error:  # connections fail with the classes of whichever HTTP library the hub's library uses
        if isinstance(error, OSError) and error.errno == errno.ENOSPC:
            raise DiskFull(f"{name} cannot be downloaded: no space left. Free some, and it continues.") from None
        cause = "HF_HUB_OFFLINE is set" if constants.HF_HUB_OFFLINE else "the hub cannot be reached"
        raise OfflineError(f"{name}: no such file or folder here, and {cause}. {remedy}") from None


def read_folder(folder: Path, split: str | None) -> tuple[pa.Table, Where]:
    """Read one split of a data-set folder: one that ``save_to_disk`` wrote, or one with data files.

    Raises:
        MissingExtra: The library ``datasets`` is not installed.
        FormatError: No data set in there, no such split, or several and none asked for.
    """
    splits = _splits(folder)
    if split is None and len(splits) == 1:
        split = next(iter(splits))
    if split not in splits:
        problem = "name one with split (--split)" if split is None else f"there is no {split!r}"
        raise FormatError(f"{folder}: the splits are {', '.join(sorted(splits))}; {problem}.")
    features = splits[split].features.items()
    names = {column: feature.names for column, feature in features if type(feature).__name__ == "ClassLabel"}
    table = with_class_names(splits[split].with_format("arrow")[:], names)
    return table, lambda row: f"{folder}, split {split}, row {row}"


def folder_splits(folder: Path) -> tuple[str, ...]:
    """List the splits of a data-set folder; see :func:`read_folder`."""
    return tuple(_splits(folder))


def _splits(folder: Path) -> dict[str, Any]:
    try:
        import datasets
        import datasets.utils
    except ImportError:
        raise MissingExtra("datasets", "hub", f"Reading the data-set folder {folder}") from None
    try:
        with _no_progress_bars(datasets.utils):
            if (folder / "dataset_dict.json").exists() or (folder / "dataset_info.json").exists():
                dataset = datasets.load_from_disk(str(folder))
            else:
                dataset = datasets.load_dataset(str(folder))
    except Exception as error:  # datasets raises a dozen unrelated classes, for anything from JSON to Arrow
        raise FormatError(f"{folder}: not a data-set folder: {first_line(error)}.") from None
    return dict(dataset) if isinstance(dataset, dict) else {str(dataset.split or "train"): dataset}


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
