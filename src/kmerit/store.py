"""Results on disk: written atomically, by one process at a time, with checksums; a user's files are never removed.

Every verb that writes holds what it writes (`hold`); every file appears whole or not at all (`atomic_write`); what was
finished is recorded with its sums (`Stages`, `write_record`) and proven before it is used again; a folder says what
determines its results (`begin`), and results of other settings are never mixed in.
"""

from __future__ import annotations

import ctypes
import filecmp
import hashlib
import json
import logging
import os
import re
import socket
import threading
import time
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from contextvars import ContextVar
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal, Self

from filelock import FileLock, Timeout

from kmerit.disk import as_disk_full, disk_full_explained
from kmerit.errors import FormatError, KmeritError, RunError, RunLocked, RunMismatch, UsageError
from kmerit.formats import Shown
from kmerit.results import Remark

if TYPE_CHECKING:
    import pandas as pd


def process_count() -> int:
    """Count the processes that train a model together."""
    return int(os.environ.get("WORLD_SIZE", "1"))


def is_first() -> bool:
    """Return whether this is the process that writes what all have trained."""
    return int(os.environ.get("RANK", "0")) == 0


def refuse_launcher() -> None:
    """Refuse to be one of several processes that a launcher of trainings has started.

    Raises:
        UsageError: It is one of several.
    """
    if (count := process_count()) > 1:
        raise UsageError(
            f"This is one of {count} processes (WORLD_SIZE), which is for training alone. Share a run with: "
            f"{part_command('--plan')}"
        )


@dataclass(frozen=True)
class Share:
    """One of several shares of the same work, made by processes that know nothing of each other.

    Attributes:
        number: Which one, from 1.
        count: How many there are.

    Example:
        >>> Share.parse("2/7")
        Share(number=2, count=7)
        >>> [index for index in range(10) if index in Share(2, 3)]
        [1, 4, 7]
    """

    number: int
    count: int

    def __post_init__(self) -> None:
        if not 1 <= self.number <= self.count:
            raise UsageError(f"--shard: expected i/N with i from 1 to N, got {self.number}/{self.count}.")

    def __contains__(self, index: int) -> bool:
        return index % self.count == self.number - 1

    @classmethod
    def parse(cls, text: str) -> Share:
        """Read ``i/N``.

        Raises:
            UsageError: It is something else.
        """
        match = re.fullmatch(r"([0-9]+)/([0-9]+)", text)
        if match is None:
            raise UsageError(f"--shard: expected i/N, such as 1/4, got {text!r}.")
        return cls(int(match[1]), int(match[2]))


Work = Share | Literal["plan", "gather"]
"""What of some work is done: its plan, a share, or all that follows when every share is there."""


_COMMAND: ContextVar[str | None] = ContextVar("command", default=None)


@contextmanager
def worked_by(command: str) -> Iterator[None]:
    """Let errors in the block name the command that makes the parts of some work, as the user gave it.

    Args:
        command: It, without ``--plan``, ``--shard`` and ``--gather``.
    """
    before = _COMMAND.set(command)
    try:
        yield
    finally:
        _COMMAND.reset(before)


def part_command(part: str) -> str:
    """Name the command that makes a part, ``"--plan"``.

    Example:
        >>> with worked_by("kmerit work my.toml --out judged"):
        ...     part_command("--plan")
        'kmerit work my.toml --out judged --plan'
    """
    command = _COMMAND.get()
    return f"kmerit work CONFIG --out FOLDER {part} (Python: share=)" if command is None else f"{command} {part}"


logger = logging.getLogger(__name__)

LOCK = ".kmerit.lock"
"""In a folder, while a process writes to it; of a file it is ``.NAME.lock`` next to it."""
PARTIAL = ".partial-"
"""How the name of a file begins that is not whole yet."""
_WINDOWS = os.name == "nt"
_PAUSES = (0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0)
"""Seconds between attempts on a file that another program has open."""
_OF_A_MODEL = (".safetensors", ".bin", ".json", ".txt", ".model")
"""Endings of what a checkpoint's folder holds that determines its answers."""
_NAMES = "names"
_ABSENT = "absent"

_held: dict[Path, int] = {}
"""What this process holds, and which of its threads does."""


def sha256(path: Path) -> str:
    """Compute the sha256 of a file, in hexadecimal digits."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


# --- one writer -------------------------------------------------------------------------------------------------------


@contextmanager
def hold(path: str | Path, *, file: bool = False, wait: float = 0) -> Iterator[None]:
    """Lock a folder or a file for this process; the system releases the lock when the process ends.

    Folders on the way are made, and those that are still empty in the end are gone again. What goes wrong in the block
    because the disk is full is said so.

    Args:
        path: What the block writes. The same thread may hold it again.
        file: Whether it is a file.
        wait: Seconds to wait for another holder before refusing.

    Of several processes that train together the first holds it for all.

    Raises:
        RunLocked: Another process, or another thread, holds it.
        RunError: It is not a folder (or file), or may not be written to.
        DiskFull: There is no space left for what the block writes.

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     with hold(folder):
        ...         print(sorted(os.listdir(folder)))
        ...     print(os.listdir(folder))
        ['.kmerit.lock']
        []
    """
    real = Path(os.path.realpath(path))
    if _held.get(real) == threading.get_ident() or not is_first():
        yield
        return
    folder = real.parent if file else real
    folders: list[Path] = []
    with ExitStack() as stack:
        stack.callback(_remove_empty, folders)
        try:
            refuse_other_kind(path, file=file)
            lock_file = folder / (f".{real.name}.lock" if file else LOCK)
            for last in (False, False, True):
                try:
                    _make_folders(folder, folders)
                    stack.enter_context(_locked(lock_file, path, wait))
                    break
                except FileNotFoundError:  # who held it, or a folder beside it, left the folder empty and removed it
                    if last:
                        raise
        except OSError as error:
            raise as_disk_full(error, path) or RunError(f"{path} cannot be written to: {error.strerror}.") from error
        _held[real] = threading.get_ident()
        stack.callback(_held.pop, real)
        with disk_full_explained(path):
            yield


def refuse_other_kind(path: str | Path, *, file: bool) -> None:
    """Refuse a folder where a file is to be, or anything else where a folder is.

    Raises:
        RunError: It is that.
    """
    if os.path.exists(path) and not (os.path.isfile(path) if file else os.path.isdir(path)):
        raise RunError(
            f"{path} exists, but is not a {'file' if file else 'folder'}. Choose another with --out (Python: out=)."
        )


def _make_folders(folder: Path, folders: list[Path]) -> None:
    """Make a folder and those above it; note which were not there, the innermost first."""
    missing = [each for each in (folder, *folder.parents) if not each.exists()]
    for each in reversed(missing):
        each.mkdir(exist_ok=True)
        folders.insert(0, each)


def _remove_empty(folders: Iterable[Path]) -> None:
    for folder in folders:
        with suppress(OSError):
            folder.rmdir()  # which spares a folder with anything in it


@contextmanager
def _locked(lock_file: Path, what: str | Path, wait: float) -> Iterator[None]:
    lock = FileLock(lock_file)
    try:
        lock.acquire(timeout=wait, blocking=wait > 0)
    except Timeout:
        raise RunLocked(
            f"{what} is in use by {_holder(lock_file)}. Wait for it to end, or choose another with --out (Python: "
            f"out=)."
        ) from None
    native = isinstance(lock, FileLock)  # else the file system knows no locks, and the library uses the file itself
    try:
        if native:
            with suppress(OSError):
                lock_file.write_text(f"process {os.getpid()} on {socket.gethostname()}", encoding="utf-8")
        yield
    finally:
        try:
            if native:
                with suppress(OSError):
                    lock_file.unlink()  # while it is held: who has opened it meanwhile sees that it has no name
        finally:
            lock.release()


def _holder(lock_file: Path) -> str:
    try:
        return lock_file.read_text(encoding="utf-8").strip() or "another process"
    except (OSError, ValueError):
        return "another process"


def _is_held(path: Path) -> bool:
    """Return whether this process holds a file, or a folder above it."""
    return any(each in _held for each in (path, *path.parents))


# --- whole files ------------------------------------------------------------------------------------------------------


@contextmanager
def atomic_write(path: str | Path) -> Iterator[Path]:
    """Return a temporary path in the same folder that becomes ``path`` when the block ends well.

    A reader sees the old file or the whole new one, never a part; after an error in the block, ``path`` is as
    it was and the temporary file is gone. After a kill the temporary file (its name is always the same) is
    overwritten by the next attempt. Folders on the way are made. A link is followed, and stays.

    Args:
        path: What to write. The temporary path has the same suffixes.

    Yields:
        The temporary path.

    Raises:
        DiskFull: There is no space left, or a quota is exhausted.
        RunLocked: Another process is writing it.

    Example:
        >>> import tempfile
        >>> target = Path(tempfile.mkdtemp()) / "results" / "table.csv"
        >>> with atomic_write(target) as temporary:
        ...     _ = temporary.write_text("a,b")
        >>> target.read_text()
        'a,b'
    """
    real = Path(os.path.realpath(path))
    temporary = real.with_name(f"{PARTIAL}{real.name}")
    with ExitStack() as stack:
        if is_first() and not _is_held(real):
            stack.enter_context(hold(path, file=True))
        stack.enter_context(disk_full_explained(path))
        real.parent.mkdir(parents=True, exist_ok=True)
        temporary.unlink(missing_ok=True)  # left by a process that was killed
        try:
            yield temporary
            _flush_to_disk(temporary)
            _replace(temporary, real)
        finally:
            with suppress(PermissionError):  # Windows keeps it while something that failed still has it open
                temporary.unlink(missing_ok=True)
        _flush_folder(real.parent)


def _replace(path: Path, target: Path) -> None:
    """Put a file in the place of another; on Windows wait a moment for readers and virus scanners to close that."""
    for pause in _PAUSES if _WINDOWS else ():
        try:
            os.replace(path, target)
        except PermissionError:
            time.sleep(pause)
        else:
            return
    os.replace(path, target)


def write_bytes(path: Path, content: bytes) -> None:
    """Write bytes atomically.

    Raises:
        DiskFull: There is no space left.
    """
    with atomic_write(path) as part:
        part.write_bytes(content)


def write_csv(path: Path, table: pd.DataFrame, **options: Any) -> None:
    """Write a table as CSV atomically, the same bytes on every system.

    Args:
        path: The file.
        table: Its index is left out.
        options: Of `pandas.DataFrame.to_csv`.

    Raises:
        DiskFull: There is no space left.
    """
    with atomic_write(path) as part:
        table.to_csv(part, index=False, lineterminator="\n", **options)


def write_text(path: Path, text: str) -> None:
    """Write UTF-8 text atomically.

    Raises:
        DiskFull: There is no space left.
    """
    with atomic_write(path) as part:
        part.write_text(text, encoding="utf-8", newline="\n")


def write_json(path: Path, value: Any) -> None:
    """Write JSON atomically, the same bytes for the same value.

    Raises:
        ValueError: It holds NaN or infinity.
        DiskFull: There is no space left.
    """
    write_text(path, _json(value))


def _json(value: Any) -> str:
    return json.dumps(value, indent=2, ensure_ascii=False, allow_nan=False) + "\n"


def _flush_to_disk(path: Path) -> None:
    """Flush bytes to the disk before the renaming, so that a power cut does no harm."""
    with path.open("rb+") as file:
        os.fsync(file.fileno())


def _flush_folder(folder: Path) -> None:
    """Let the names of a folder reach the disk, where the system can do that."""
    if _WINDOWS:  # where a folder cannot be opened, and the names are written through
        return
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        with suppress(OSError):
            os.fsync(descriptor)
    finally:
        os.close(descriptor)


# --- several files at once --------------------------------------------------------------------------------------------


@contextmanager
def staged(folder: Path, own: Callable[[str], bool]) -> Iterator[Path]:
    """Yield a folder to write files to; `put_together` then replaces the earlier ones.

    Args:
        folder: Where they will be.
        own: Whether a file of that name is one of them; those that a process left which was killed are removed.

    Raises:
        RunLocked: Another process writes to either.
    """
    real = Path(os.path.realpath(folder))
    place = real.with_name(f"{PARTIAL}{real.name}")
    with hold(folder):
        with hold(place):
            try:
                _clear(place, own)
                yield place
            finally:
                _clear(place, own)
        _remove_empty([place])


@contextmanager
def publishing(folder: Path) -> Iterator[tuple[Path, list[str]]]:
    """Yield a folder to write to, and move its files to another, one by one, when all are written.

    Yields:
        The folder, and a list that is filled at the end: the names of the files.
    """
    place, names = folder / ".publish", list[str]()
    place.mkdir(parents=True, exist_ok=True)
    yield place, names
    for path in sorted(path for path in place.rglob("*") if path.is_file()):
        path.chmod(0o644)  # safetensors writes for the owner alone
        names.append(path.relative_to(place).as_posix())
        with atomic_write(folder / names[-1]) as whole:
            _replace(path, whole)
    _remove_empty([*sorted((path for path in place.rglob("*") if path.is_dir()), reverse=True), place])


def _clear(place: Path, own: Callable[[str], bool]) -> None:
    remove_own(place, [path.name for path in place.iterdir() if own(path.name.removeprefix(PARTIAL))], itself=False)


def replaceable(
    folder: Path,
    what: str,
    mine: Callable[[str], bool],
    sums_before: Mapping[str, str],
    new: Mapping[str, str] | None = None,
) -> list[str]:
    """List the files that may be replaced; refuse those that this program did not write.

    Args:
        folder: Where new files will be.
        what: What they are of, ``"split"``.
        mine: Whether a file of that name would be replaced, or mixed with the new ones.
        sums_before: The recorded sums of the earlier ones.
        new: Those of the new ones: what is there already of a writing that was stopped.

    Raises:
        UsageError: A file that is not of an earlier time, or was changed since.
    """
    names_found = []
    for path in sorted(folder.iterdir()) if folder.is_dir() else []:
        if not mine(path.name):
            continue
        names_found.append(path.name)
        digest = sha256(path) if path.is_file() else ""
        if digest in ((new or {}).get(path.name), sums_before.get(path.name)):
            continue
        cause = "was changed since" if path.name in sums_before else "is there and not of an earlier"
        raise UsageError(
            f"{path} {cause} {'the ' if path.name in sums_before else ''}{what}, and would be overwritten or mixed "
            f"with new files. Move it away, or choose another folder with --out (Python: out=)."
        )
    return names_found


def put_together(place: Path, folder: Path, earlier: Collection[str], last: str) -> None:
    """Replace the files of one folder by those of another, all at once.

    Where the system can exchange two folders, and there is nothing else in the one to be filled, a reader sees the old
    files or the new ones, at whichever moment the process is stopped. Elsewhere all old ones are gone before the first
    new one comes; old and new ones are never seen together.

    Args:
        place: From `staged`; what was there in the other is in it then.
        folder: The other.
        earlier: Names of the files that are to be replaced, or gone.
        last: Of the file that comes last, and says that the others are there.
    """
    real = Path(os.path.realpath(folder))
    files = sorted((path for path in place.iterdir() if path.name != LOCK), key=lambda path: path.name == last)
    for path in files:
        _flush_to_disk(path)
    existing = {path.name for path in real.iterdir()} - {LOCK}
    if not (existing <= set(earlier) and real != Path.cwd() and _exchange(place, real)):
        for name in sorted(set(earlier) & existing - {last}):
            (real / name).unlink()
        for path in files:
            _replace(path, real / path.name)
    _flush_folder(real)
    _flush_folder(real.parent)


def _exchange(one: Path, other: Path) -> bool:
    """Exchange the names of two folders in one step, where the system can."""
    library: Any = ctypes.CDLL(None, use_errno=True) if os.name == "posix" else None
    exchange = 2
    if hasattr(library, "renameat2"):  # Linux
        here = -100
        return bool(library.renameat2(here, os.fsencode(one), here, os.fsencode(other), exchange) == 0)
    if hasattr(library, "renamex_np"):  # macOS
        return bool(library.renamex_np(os.fsencode(one), os.fsencode(other), exchange) == 0)
    return False


# --- what is read is not written ------------------------------------------------------------------------------------


def refuse_inputs(outputs: Sequence[Path], inputs: Iterable[str | Path], *, within: Iterable[str | Path] = ()) -> None:
    """Refuse to write an input, under any of its names.

    Args:
        outputs: Files to be written, or the folder.
        inputs: Files and folders that are read; what is none, such as a name on the hub, is passed over.
        within: Files that are read and may lie in the folder to be written.

    Raises:
        UsageError: An output is an input (through a link, under another name, or a copy to the byte), a folder that
            holds one, or an existing file of a folder that is one.

    Example:
        >>> import tempfile
        >>> folder = Path(tempfile.mkdtemp())
        >>> _ = (folder / "my.csv").write_text("sequence")
        >>> refuse_inputs([folder / "p.csv"], [folder / "my.csv", "owner/name"])
        >>> refuse_inputs([folder / ".." / folder.name / "my.csv"], [folder / "my.csv"])
        Traceback (most recent call last):
        kmerit.errors.UsageError: ...my.csv is read, and would be overwritten. Choose another with --out (Python: out=).
    """
    protected = [(Path(path), True) for path in inputs] + [(Path(path), False) for path in within]
    for out in outputs:
        real = Path(os.path.realpath(out))
        for path, whole in protected:
            if not path.exists():
                continue
            there = Path(os.path.realpath(path))
            if _same(real, there):
                raise UsageError(f"{path} is read, and would be overwritten. Choose another with --out (Python: out=).")
            if whole and real.is_dir() and real in there.parents:
                raise UsageError(
                    f"{path} is read, and lies in {out}, which is written. Choose another with --out (Python: out=)."
                )
            if real.is_file() and there.is_dir() and there in real.parents:
                raise UsageError(f"{out} is there, in {path}, which is read. Choose another with --out (Python: out=).")


def _same(one: Path, other: Path) -> bool:
    """Return whether two paths are one file or folder, or two files with equal bytes."""
    try:
        if one.samefile(other):
            return True
        return one.is_file() and other.is_file() and one.stat().st_size > 0 and filecmp.cmp(one, other, shallow=False)
    except OSError:
        return False


# --- records and sums -------------------------------------------------------------------------------------------------


def write_record(path: Path, content: Mapping[str, Any]) -> None:
    """Write JSON that proves itself, unless it is there: its key ``sha256`` is the sum of all others.

    Raises:
        DiskFull: There is no space left.
    """
    settle_text(path, _record({**content, "sha256": json_digest(json.loads(json.dumps(content)))}))


def _record(content: Mapping[str, Any]) -> str:
    return json.dumps(content, indent=1, ensure_ascii=False) + "\n"


def read_record(path: Path) -> dict[str, Any] | None:
    """Read what `write_record` wrote, without the sum; None if it is missing or damaged.

    Example:
        >>> import tempfile
        >>> path = Path(tempfile.mkdtemp()) / "done.json"
        >>> write_record(path, {"rows": 10})
        >>> read_record(path)
        {'rows': 10}
        >>> _ = path.write_text(path.read_text().replace("10", "11"))
        >>> read_record(path) is None
        True
    """
    try:
        text = path.read_text(encoding="utf-8")
        content = json.loads(text)
        if text != _record(content):  # not even a line end may be missing
            return None
        return content if content.pop("sha256") == json_digest(content) else None
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return None


def write_proof(path: Path, names: Iterable[str], about: Mapping[str, Any] | None = None) -> None:
    """Record that files are whole: with their sums, under the key ``files``, and what else is known of them.

    Args:
        path: The record, in the folder of the files.
        names: The files, or folders.
        about: What else is recorded.

    Raises:
        DiskFull: There is no space left.
    """
    write_record(path, {**(about or {}), "files": sums(path.parent, names)})


def read_proof(path: Path) -> dict[str, Any] | None:
    """Read what `write_proof` recorded; None if it is missing or damaged, or a file is no longer what it was.

    Example:
        >>> import tempfile
        >>> folder = Path(tempfile.mkdtemp())
        >>> _ = (folder / "a.csv").write_text("a")
        >>> write_proof(folder / "done.json", ["a.csv"], {"rows": 1})
        >>> read_proof(folder / "done.json")["rows"]
        1
        >>> _ = (folder / "a.csv").write_text("b")
        >>> read_proof(folder / "done.json") is None
        True
    """
    record = read_record(path)
    return record if record and "files" in record and not altered(path.parent, record["files"]) else None


def as_json(settings: Mapping[str, Any], what: str) -> dict[str, Any]:
    """Make settings what they are when they are read back: lists of tuples, Python's numbers of NumPy's.

    Args:
        settings: Of an argument.
        what: Its name, for the error.

    Raises:
        UsageError: A value that JSON does not have.

    Example:
        >>> as_json({"counts": (1, 2)}, "judging")
        {'counts': [1, 2]}
    """
    try:
        return dict(json.loads(json.dumps(dict(settings), default=lambda value: value.item())))
    except (TypeError, ValueError, AttributeError) as error:
        raise UsageError(f"{what}: expected numbers, words, and lists of them by name, got {settings!r}.") from error


def json_digest(content: Any) -> str:
    """Compute the sha256 of JSON, independent of the order of its keys."""
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()


def sums(folder: Path, names: Iterable[str]) -> dict[str, str]:
    """Compute the sha256 of files, and of the files in folders, by their path inside ``folder``.

    Files whose names begin with a dot are none of ours, or not whole. What is not there has no sum.
    """
    paths = [folder / name for name in names]
    files = sorted(file for path in paths for file in ([path] if path.is_file() else path.rglob("*")))
    visible = [file for file in files if file.is_file() and not file.name.startswith(".")]
    return {file.relative_to(folder).as_posix(): sha256(file) for file in visible}


def altered(folder: Path, recorded: Mapping[str, str]) -> list[str]:
    """Name the files that are missing, or are not what was recorded with `sums`."""
    return [name for name, digest in recorded.items() if not _is(folder / name, digest)]


def _is(path: Path, digest: str) -> bool:
    try:
        return sha256(path) == digest
    except OSError:
        return False


@dataclass(frozen=True)
class Stages:
    """Stages of work in a folder: each writes its artefacts first and its record last.

    So at whichever moment the work is stopped, a stage is either done and proven, or done again.

    Attributes:
        path: The folder; the records lie in ``stages/`` in it.
    """

    path: Path

    def recorded(self, name: str) -> dict[str, str] | None:
        """Return the checksums of a stage's artefacts; None if it is not recorded as done."""
        artefacts = (read_record(self._record(name)) or {}).get("artefacts")
        return artefacts if isinstance(artefacts, dict) else None

    def is_done(self, name: str) -> bool:
        """Return whether a stage is done and its artefacts are unchanged."""
        artefacts = self.recorded(name)
        return artefacts is not None and not altered(self.path, artefacts)

    def mark_done(self, name: str, artefacts: Sequence[str]) -> dict[str, str]:
        """Record that a stage is done.

        Args:
            name: ``TASK.STAGE``.
            artefacts: Files or folders, relative to this one.

        Returns:
            Their sums.
        """
        artefact_sums = sums(self.path, artefacts)
        write_record(self._record(name), {"stage": name, "artefacts": artefact_sums})
        return artefact_sums

    def forget(self, name: str) -> None:
        """Forget that a stage was done; what it left stays, until it is written again."""
        self._record(name).unlink(missing_ok=True)

    def names(self) -> list[str]:
        """List the stages that have a record, sound or not."""
        return sorted(path.stem for path in self.path.glob("stages/*.json"))

    def _record(self, name: str) -> Path:
        return self.path / "stages" / f"{name}.json"


class StoredParts:
    """Parts of some work, each written once; its record comes last and proves that the part is done.

    Args:
        folder: Where the parts lie.
        settings: What determines the results.
        whole: What the parts are of, for errors.
    """

    def __init__(self, folder: Path, settings: Mapping[str, Any], whole: Path) -> None:
        self.parts, self.whole = folder, whole
        self.started, self.last_step = folder / "settings.json", folder / "last_step.json"
        self.settings: dict[str, Any] = json.loads(json.dumps(settings))
        self.digest = json_digest(self.settings)

    def done(self, index: int) -> bool:
        """Return whether a part was finished and is unchanged."""
        record = read_proof(self.path(index, "json"))
        return record is not None and record.get("settings") == self.digest

    def plan(self) -> None:
        """Record what determines the results, which every share is held to."""
        if read_record(self.started) != self.settings:
            write_record(self.started, self.settings)

    def plan_last_step(self, settings: Mapping[str, Any]) -> None:
        """Record with the plan what only the step after the parts reads; another plan may change it.

        Args:
            settings: Of JSON; empty where nothing is to be the same for all parts.
        """
        if settings:
            write_record(self.last_step, settings)
        else:
            self.last_step.unlink(missing_ok=True)

    def check_last_step(self, settings: Mapping[str, Any]) -> None:
        """Refuse a part with which the step after the parts would be another than the plan's.

        Args:
            settings: As for `plan_last_step`; of a key that only one of the two names nothing is known.

        Raises:
            RunMismatch: The first key that differs is named.
        """
        record = read_record(self.last_step) or {}
        both = record.keys() & settings.keys()
        for key, was, now in differences(*({key: each[key] for key in both} for each in (record, settings))):
            raise RunMismatch(
                f"{self.last_step} holds a plan with other settings: {key} was {_short(was)}, now it is {_short(now)}. "
                f"Give what was planned, or make the plan again: {part_command('--plan')}"
            )

    def check(self, what: str, free: Collection[str] = ()) -> None:
        """Refuse parts that were begun with other settings.

        Args:
            what: What the parts are of, ``"variants"``.
            free: Keys that may differ.

        Raises:
            RunMismatch: The first key that differs is named.
        """
        if (record := read_record(self.started)) is not None:
            refuse_other(self.whole, f"{what} with other settings", record, self.settings, free)

    def need_plan(self) -> None:
        """Refuse to make a share before there is a plan.

        Raises:
            RunError: There is none.
        """
        if read_record(self.started) is None:
            raise RunError(f"{self.whole} has no plan yet. Make it first: {part_command('--plan')}")

    @contextmanager
    def holding(self, share: Share) -> Iterator[None]:
        """Lock a share for this process.

        Raises:
            RunLocked: Another process makes it.
        """
        with hold(self.parts / f"share-{share.number}-of-{share.count}", file=True):
            yield

    def need_idle(self) -> None:
        """Refuse to finish while a share is at work.

        Raises:
            RunLocked: It is named.
        """
        for lock in sorted(
            self.parts.glob(".share-*.lock")
        ):  # also that of a share that was killed, which nobody holds
            with hold(self.parts / lock.name.removeprefix(".").removesuffix(".lock"), file=True):
                pass

    def need_all(self, count: int, done: Callable[[int], bool] | None = None) -> None:
        """Refuse to gather before every part is there, of this plan.

        Args:
            count: How many there are.
            done: Whether one is done, if that is not to be seen in its record.

        Raises:
            RunError: Some are missing or damaged; the first is named.
        """
        self.need_plan()
        if missing := [index for index in range(count) if not (done or self.done)(index)]:
            raise RunError(
                f"{self.parts}: {len(missing)} of {count} parts are missing or damaged, the first {missing[0]:06d}; of "
                f"N shares, share {missing[0]} mod N + 1 makes it. Give the shares again: {part_command('--shard i/N')}"
            )

    def prove(self, index: int, endings: Iterable[str], **about: Any) -> None:
        """Record that a part is done, once its files are written."""
        names = [self.path(index, ending).name for ending in endings]
        write_proof(self.path(index, "json"), names, {"settings": self.digest, **about})

    def remove(self, endings: Iterable[str], more: Collection[str] = ()) -> None:
        """Remove the parts, whose files end so, and ``more``; of other files in their folder none is touched."""
        part = rf"(settings|last_step)\.json|\d{{6,}}\.(json|{'|'.join(map(re.escape, endings))})"
        own = re.compile(rf"(\{PARTIAL})?({part})|\.({part}|share-\d+-of-\d+)\.lock")  # also of a share that was killed
        if self.parts.is_dir():
            names = [path.name for path in self.parts.iterdir()]
            remove_own(self.parts, [name for name in names if name in more or own.fullmatch(name)])

    def path(self, index: int, ending: str) -> Path:
        """Where a file of a part lies."""
        return self.parts / f"{index:06d}.{ending}"


def remove_own(folder: Path, names: Iterable[str], *, itself: bool = True) -> None:
    """Remove files that this program made in a folder, and the folder itself if it is empty then."""
    for name in names:
        (folder / name).unlink(missing_ok=True)
    if itself:
        _remove_empty([folder])


# --- what determines the results --------------------------------------------------------------------------------------


def begin(path: Path, what: str, settings: Mapping[str, Any], **options: Any) -> None:
    """Record what determines the results of a folder, or check that it is the same; see `check_begun`."""
    check_begun(path, what, settings, **options)
    settle(path, settings)


def settle(path: Path, value: Any) -> None:
    """Write JSON, unless the file already has exactly these bytes."""
    settle_text(path, _json(value))


def settle_text(path: Path, text: str) -> None:
    """Write text, unless the file already has exactly these bytes."""
    if not path.is_file() or path.read_bytes() != text.encode():
        write_text(path, text)


def recorded(path: Path, key: str) -> Any:
    """Read one of the settings with which a folder was begun; None where there is none."""
    return all_recorded(path).get(key)


def all_recorded(path: Path) -> dict[str, Any]:
    """Read the settings with which a folder was begun; empty where there are none."""
    try:
        return dict(json.loads(path.read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError):
        return {}


def check_begun(
    path: Path,
    what: str,
    settings: Mapping[str, Any],
    *,
    free: Collection[str] = (),
    earlier: Callable[[Any], Mapping[str, Any]] | None = None,
    own: Callable[[Path], bool] | None = None,
) -> None:
    """Check that a folder holds nothing, or results of these settings.

    Args:
        path: The record of the settings, in the folder.
        what: What the folder holds, ``"a study"``.
        settings: All that determines the results; JSON. ``names``, which may differ, says by key what to call a digest.
        free: Keys that may differ from one time to the next.
        earlier: Completes settings that were recorded before some keys existed.
        own: Whether a file or folder may lie there while there is no record; by default any may.

    Raises:
        RunMismatch: The folder holds results of other settings, or results and no record of their settings.

    Example:
        >>> import tempfile
        >>> path = Path(tempfile.mkdtemp()) / "study.json"
        >>> check_begun(path, "a study", {"seed": 1})
        >>> write_json(path, {"seed": 1})
        >>> check_begun(path, "a study", {"seed": 2})
        Traceback (most recent call last):
        kmerit.errors.RunMismatch: ... holds a study of another config: seed was 1, now it is 2. ...
    """
    now = json.loads(json.dumps(settings))
    if not path.is_file():
        if own is not None:
            refuse_strangers(path.parent, what, own)
        return
    try:
        before = json.loads(path.read_text(encoding="utf-8"))
        before = earlier(before) if earlier else before
    except (ValueError, TypeError, KmeritError) as error:
        raise RunMismatch(
            f"{path} does not name the config of the results: it is damaged, or not of {what} ({error}). "
            f"Choose another folder with --out (Python: out=)."
        ) from None
    refuse_other(path.parent, f"{what} of another config", before, now, free=free)


def refuse_strangers(folder: Path, what: str, own: Callable[[Path], bool]) -> None:
    """Refuse a folder that holds files and no record that says whose they are.

    Raises:
        RunMismatch: There is one that is not ``own``; names with a dot in front are not looked at.
    """
    entries = sorted(folder.iterdir()) if folder.is_dir() else []
    strangers = [each.name for each in entries if not each.name.startswith(".") and not own(each)]
    if strangers:
        raise RunMismatch(
            f"{folder} is not empty and holds no {what.removeprefix('a ')} (there is {strangers[0]!r}). "
            f"Choose a new folder with --out (Python: out=)."
        )


_DIGESTS = {
    "model_sha256": "another model",
    "scores_sha256": "other scores",
    "sequences_sha256": "other sequences",
}
"""What differs where a digest does, which says nothing to a reader."""


def refuse_other(
    folder: Path, what: str, before: Mapping[str, Any], now: Mapping[str, Any], free: Collection[str] = ()
) -> None:
    """Refuse a folder whose results are of other settings.

    Args:
        folder: It.
        what: What it holds.
        before: Its settings. ``names``, which may differ, says by key what to call a digest.
        now: Those asked for.
        free: Further keys that may differ.

    Raises:
        RunMismatch: A key differs; it is named, with both values.

    Example:
        >>> before, now = [{"model": digest * 16, "names": {"model": "my"}} for digest in ("3f2a", "90bc")]
        >>> refuse_other(Path("out"), "motifs", before, now)
        Traceback (most recent call last):
        kmerit.errors.RunMismatch: out holds motifs: model was my (sha256 3f2a3f2a), now it is my (sha256 90bc90bc). ...
    """
    for key, was, now_value in differences(before, now):
        if key.split(".")[0] not in {_NAMES, *free}:
            if key in _DIGESTS and isinstance(was, str) and isinstance(now_value, str):
                raise RunMismatch(
                    f"{folder} holds {what.removesuffix(' with other settings')} of {_DIGESTS[key]} "
                    f"({key} {was[:8]}, now {now_value[:8]}). "
                    f"Choose a new folder with --out (Python: out=)."
                )
            was, now_value = _called(key, was, before), _called(key, now_value, now)
            raise RunMismatch(
                f"{folder} holds {what}: {key} was {was}, now it is {now_value}. "
                f"Choose a new folder with --out (Python: out=)."
            )


def differences(before: Mapping[str, Any], now: Mapping[str, Any]) -> list[tuple[str, Any, Any]]:
    """List what differs between two trees: the key, with dots, and both values.

    Example:
        >>> differences({"a": {"b": 1}, "c": 2}, {"a": {"b": 3}, "c": 2})
        [('a.b', 1, 3)]
    """
    old, new = dict(_leaves(before)), dict(_leaves(now))
    keys = old.keys() | new.keys()
    above = {".".join(key.split(".")[:at]) for key in keys for at in range(1, key.count(".") + 1)}  # empty on one side
    pairs = [(key, old.get(key, _ABSENT), new.get(key, _ABSENT)) for key in sorted(keys - above)]
    return [(key, was, after) for key, was, after in pairs if was != after]


def _leaves(tree: Mapping[str, Any], at: str = "") -> Iterator[tuple[str, Any]]:
    for key, value in tree.items():
        if isinstance(value, Mapping) and value:
            yield from _leaves(value, f"{at}{key}.")
        else:
            yield f"{at}{key}", value


def _called(key: str, value: Any, settings: Mapping[str, Any]) -> str:
    """Name a value of the settings: a digest by what it is of, where the settings say so."""
    name = settings.get(_NAMES, {}).get(key)
    return _short(value) if name is None or not isinstance(value, str) else f"{name} (sha256 {value[:8]})"


def _short(value: Any, most: int = 60) -> str:
    text = _ABSENT if value is _ABSENT else repr(value)  # which is no value
    return text if len(text) <= most else f"{text[:most]}..."


# --- what results were made of ----------------------------------------------------------------------------------------


def source_sums(files: Mapping[str, str]) -> dict[str, str]:
    """Compute the sums of a user's files and folders, by what the config calls them.

    Args:
        files: Key of the config to path; what is not there, as a name of the hub, has no sum.

    Example:
        >>> import tempfile
        >>> path = Path(tempfile.mkdtemp()) / "x.csv"
        >>> _ = path.write_text("sequence")
        >>> {key: sum[:8] for key, sum in source_sums({"train": str(path), "base": "owner/name"}).items()}
        {'train': 'bf37c7c2'}
    """
    sums_by_key = {key: _source_sum(Path(name)) for key, name in files.items()}
    return {key: digest for key, digest in sums_by_key.items() if digest is not None}


def _source_sum(path: Path) -> str | None:
    if os.path.isdir(path):
        is_model = (path / "config.json").is_file()
        names = [each.name for each in path.iterdir() if not is_model or each.suffix in _OF_A_MODEL]
        return json_digest(sums(path, names))
    return sha256(path) if os.path.isfile(path) else None


def check_sources(before: Mapping[str, str], files: Mapping[str, str]) -> None:
    """Refuse to resume results whose input files have changed since.

    Args:
        before: From `source_sums`, when the work began.
        files: As there. What is gone is said, and what was made of it is kept.

    Raises:
        RunMismatch: One was changed since.
    """
    now = source_sums({key: name for key, name in files.items() if key in before})
    for key, digest in before.items():
        if key in files and key not in now:
            logger.warning("%s (%s) is missing; the results made from it are kept", key, files[key])
        elif key in files and digest != now[key]:
            raise RunMismatch(
                f"{key} ({files[key]}) has changed since the work began: its sha256 was {digest[:12]}, now it is "
                f"{now[key][:12]}. Put it back as it was, or choose a new folder with --out (Python: out=)."
            )


class Tables(Shown):
    """A result of several tables, and its folder: each table as CSV and as Parquet, the settings, the remarks.

    A subclass is a dataclass with a DataFrame for each name of `TABLES`, ``settings``, and ``remarks`` if it has a
    kind of them.
    """

    TABLES: ClassVar[tuple[str, ...]] = ()
    RECORD: ClassVar[str] = ""
    """The file of the settings."""
    WHAT: ClassVar[str] = ""
    """What a folder holds, for errors."""
    COMMAND: ClassVar[str] = ""
    """The command that writes such a folder."""
    FREE: ClassVar[tuple[str, ...]] = ()
    """Settings that may differ where a folder is written again."""
    REMARKS: ClassVar[type[Remark] | None] = None

    def save(self, folder: str | os.PathLike[str]) -> Path:
        """Write the tables and the settings into a folder, as the function's ``out`` does.

        Raises:
            RunMismatch: The folder holds results of other settings.
        """
        place, settings = Path(folder), self.__dict__["settings"]
        with hold(place):
            begin(place / self.RECORD, self.WHAT, settings, free=self.FREE, own=lambda path: False)
            self.write_tables(place)
        return place

    def write_tables(self, place: Path) -> None:
        """Write the tables and the remarks into a folder that is held already."""
        for name in self.TABLES:
            table: pd.DataFrame = getattr(self, name)
            write_csv(place / f"{name}.csv", table)
            with atomic_write(place / f"{name}.parquet") as part:
                table.to_parquet(part, index=False, compression="zstd")
        if self.REMARKS is not None:
            settle(place / _REMARKS, [asdict(each) for each in self.__dict__["remarks"]])

    @classmethod
    def load(cls, folder: str | os.PathLike[str]) -> Self:
        """Read what `save`, or the function's ``out``, wrote.

        Raises:
            FormatError: The folder does not hold that.
        """
        import pandas as pd
        import pyarrow as pa

        place = Path(folder)
        files = [cls.RECORD, *(f"{name}.parquet" for name in cls.TABLES), *([_REMARKS] if cls.REMARKS else [])]
        if missing := [name for name in files if not (place / name).is_file()]:
            raise FormatError(f"{folder}: expected results of {cls.COMMAND}; {missing[0]} is missing.")
        try:
            parts: dict[str, Any] = {name: pd.read_parquet(place / f"{name}.parquet") for name in cls.TABLES}
            parts["settings"] = json.loads((place / cls.RECORD).read_text(encoding="utf-8"))
            if cls.REMARKS is not None:
                listed = json.loads((place / _REMARKS).read_text(encoding="utf-8"))
                parts["remarks"] = tuple(cls.REMARKS(**each) for each in listed)
        except (ValueError, TypeError, OSError, pa.ArrowException) as error:
            raise FormatError(f"{folder}: not the readable results of {cls.COMMAND} ({error}).") from None
        return cls(**parts)


_REMARKS = "remarks.json"
