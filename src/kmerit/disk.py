"""Disks: whether there is room, what a full one looks like, and rows that lie in a file where memory is too small.

And memory that is no longer used, returned to the system.
"""

from __future__ import annotations

import ctypes
import errno
import os
import re
import shutil
import sys
import tempfile
import weakref
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

from kmerit.errors import DiskFull, KmeritError
from kmerit.formats import size as spelt_size

_WINDOWS = os.name == "nt"
_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
_FULL_ON_WINDOWS = (39, 112)
"""ERROR_HANDLE_DISK_FULL, ERROR_DISK_FULL: numbers of the system, which Python turns into `errno.ENOSPC`."""
_OS_ERROR = re.compile(r"\(os error (\d+)\)")
_SPARE_BYTES = 2**20


def as_disk_full(error: BaseException, where: Path | str) -> DiskFull | None:
    """Recognise a full disk in an exception or in what caused it, whichever library raised it."""
    cause: BaseException | None = error
    while cause is not None:
        match = _OS_ERROR.search(str(cause))  # by libraries in Rust, which raise errors of their own
        full = match is not None and int(match[1]) in (_FULL_ON_WINDOWS if _WINDOWS else _FULL)
        if full or getattr(cause, "errno", None) in _FULL or "No space left on device" in str(cause):
            return DiskFull(f"There is no space left to write {where}. Free some, and give the same command again.")
        cause = cause.__cause__ or cause.__context__
    return None


@contextmanager
def disk_full_explained(path: Path | str) -> Iterator[None]:
    """Raise `DiskFull` for any error in the block whose cause is that no space is left for ``path``."""
    try:
        yield
    except KmeritError:
        raise
    except Exception as error:
        full = as_disk_full(error, path)
        # torch and safetensors do not pass the system's error on, so the disk itself is asked.
        if full is None and isinstance(error, RuntimeError) and (_free(path) < _SPARE_BYTES or _has_limit()):
            full = as_disk_full(OSError(errno.ENOSPC, ""), path)
        if full is None:
            raise
        raise full from error


def _has_limit() -> bool:
    """Return whether the system lets no file of this process grow beyond some size."""
    if _WINDOWS:
        return False
    import resource

    return resource.getrlimit(resource.RLIMIT_FSIZE)[0] != resource.RLIM_INFINITY


def need_space(path: Path | str, size: int) -> None:
    """Check that there is enough free space.

    Args:
        path: Where it will be written.
        size: Bytes that it takes at least.

    Raises:
        DiskFull: Fewer are free.
    """
    if (free := _free(path)) < size:
        raise DiskFull(
            f"{path}: {spelt_size(size)} are needed at least, and {spelt_size(free)} are free. Free some, or "
            f"choose another disk with --out (Python: out=)."
        )


def _free(path: Path | str) -> int:
    real = Path(os.path.realpath(path))
    return shutil.disk_usage(next(each for each in (real, *real.parents) if each.exists())).free


# --- memory -----------------------------------------------------------------------------------------------------------

_LIBRARY: Any = ctypes.CDLL(None) if os.name == "posix" else None


def return_memory() -> None:
    """Return memory to the system that was freed, and that Arrow and the C library would keep for later.

    It is called after a step that needed more than the next ones will.
    """
    if (arrow := sys.modules.get("pyarrow")) is not None:
        arrow.default_memory_pool().release_unused()
    if hasattr(_LIBRARY, "malloc_trim"):  # in Linux's usual library; gaps between what is held would stay otherwise
        _LIBRARY.malloc_trim(0)


@cache
def keep_memory() -> None:
    """Let the C library keep what is freed, up to 2 GiB, until `return_memory` is called.

    A pass frees its tensors and needs as many again for the next batch. Where the system takes them back in between, it
    hands out each page anew: up to a fifth of the time. Once for a process; elsewhere than on Linux it does nothing.
    """
    if hasattr(_LIBRARY, "mallopt"):
        trim_threshold, mmap_threshold = -1, -3  # their numbers in malloc.h
        _LIBRARY.mallopt(trim_threshold, 2**31 - 1)
        _LIBRARY.mallopt(mmap_threshold, 2**25)  # the largest that it takes: what is larger goes back in any case


# --- rows -------------------------------------------------------------------------------------------------------------

_IN_MEMORY = 2**23


class StoredRows:
    """An array ``[row, column, ...]`` of which only what is asked for is in memory, where it is larger than 8 MiB.

    Then it is kept in a file without a name, in the system's folder for temporary files; it is gone when the rows are.
    ``rows[3]``, ``rows[[3, 5]]`` and ``rows[3:5]`` are arrays, as those of NumPy; so is ``np.asarray(rows)``, of all.

    Args:
        rows: How many there are to begin with.
        columns: How many.
        dtype: Of the values.
        more: Further axes, of each column.

    Raises:
        DiskFull: There is no space for it.

    Example:
        >>> table = StoredRows(2, 3, np.dtype("float32"))
        >>> table.write(1, np.array([[1.0], [2.0]]))
        >>> table.read(1, 2).tolist()
        [[1.0], [2.0]]
        >>> table[1].tolist(), table.take(np.array([False, True, False]))[[1, 0]].tolist()
        ([0.0, 2.0, 0.0], [[2.0], [1.0]])
    """

    def __init__(self, rows: int, columns: int, dtype: np.dtype[Any] | type, more: tuple[int, ...] = ()) -> None:
        self.shape, self.dtype = (rows, columns, *more), np.dtype(dtype)
        self._table: NDArray[Any] | None = None
        self._file: IO[bytes] | None = None
        if self._size(rows) <= _IN_MEMORY:
            self._table = np.zeros(self.shape, dtype=dtype)
        else:
            self._open(rows)

    def __len__(self) -> int:
        return self.shape[0]

    def __getitem__(self, key: int | slice | list[int] | NDArray[np.integer[Any]]) -> NDArray[Any]:
        if self._table is not None:
            return np.asarray(self._table[key])
        rows = np.arange(len(self))[key]  # which refuses what there is not
        if rows.ndim == 0:
            return self.read_row(int(rows), 0, self.shape[1])
        values = np.empty((rows.size, *self.shape[1:]), dtype=self.dtype)
        for at, row in enumerate(rows.tolist()):
            values[at] = self.read_row(row, 0, self.shape[1])
        return values

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> NDArray[Any]:
        return np.asarray(self[:], dtype=dtype)

    def append(self, values: NDArray[Any]) -> None:
        """Add a row ``[column, ...]``."""
        row = len(self)
        self.shape = (row + 1, *self.shape[1:])
        if self._table is not None and self._size(row + 1) > _IN_MEMORY:
            table, self._table = self._table, None
            self._open(row + 1)
            for at, each in enumerate(table):
                self.write_row(at, 0, each)
        if self._table is not None:
            self._table = np.concatenate([self._table, np.asarray(values, dtype=self.dtype)[None]])
        else:
            self.write_row(row, 0, values)

    def take(self, columns: NDArray[np.bool_]) -> StoredRows:
        """Select columns by a mask, ``bool [column]``."""
        part = StoredRows(0, int(columns.sum()), self.dtype, self.shape[2:])
        for row in range(len(self)):
            part.append(self[row][columns])
        return part

    def write(self, start: int, values: NDArray[Any]) -> None:
        """Put values ``[row, column, ...]`` into all rows, from a column on."""
        for row, each in enumerate(values):
            self.write_row(row, start, each)

    def write_row(self, row: int, start: int, values: NDArray[Any]) -> None:
        """Put values ``[column, ...]`` into a row, from a column on."""
        if self._table is not None:
            self._table[row, start : start + len(values)] = values
        elif self._file is not None:
            with disk_full_explained(tempfile.gettempdir()):
                self._file.seek(self._at(row, start))
                self._file.write(np.ascontiguousarray(values, dtype=self.dtype).data)

    def read(self, start: int, stop: int) -> NDArray[Any]:
        """Give a range of columns, ``[row, column, ...]``."""
        return np.stack([self.read_row(row, start, stop) for row in range(len(self))])

    def read_row(self, row: int, start: int, stop: int) -> NDArray[Any]:
        """Give a range of columns of one row, ``[column, ...]``."""
        if self._file is None:
            return np.asarray(self._table)[row, start:stop]
        self._file.seek(self._at(row, start))
        content = self._file.read(self._at(row, stop) - self._at(row, start))
        return np.frombuffer(content, dtype=self.dtype).reshape(-1, *self.shape[2:])

    def _open(self, rows: int) -> None:
        need_space(tempfile.gettempdir(), self._size(rows))
        self._file = tempfile.TemporaryFile()  # noqa: SIM115 - closed with the rows
        weakref.finalize(self, self._file.close)

    def _size(self, rows: int) -> int:
        return rows * int(np.prod(self.shape[1:])) * self.dtype.itemsize

    def _at(self, row: int, column: int) -> int:
        return (row * self.shape[1] + column) * int(np.prod(self.shape[2:])) * self.dtype.itemsize


AnyRows = NDArray[Any] | StoredRows
"""An array, or one of which only the rows that are asked for are in memory."""


class NamedRows(Mapping[str, NDArray[Any]]):
    """Rows by name, each read when asked for.

    Args:
        rows: All rows.
        at: By name, which one.

    Example:
        >>> NamedRows(np.array([[1, 2], [3, 4]]), {"a": 1})["a"].tolist()
        [3, 4]
    """

    def __init__(self, rows: AnyRows, at: Mapping[str, int]) -> None:
        self._rows, self._row = rows, dict(at)

    def __getitem__(self, name: str) -> NDArray[Any]:
        return np.asarray(self._rows[self._row[name]])

    def __contains__(self, name: object) -> bool:
        return name in self._row  # without reading it

    def __iter__(self) -> Iterator[str]:
        return iter(self._row)

    def __len__(self) -> int:
        return len(self._row)
