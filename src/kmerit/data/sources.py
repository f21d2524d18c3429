"""Sequences from what a user has at hand: strings, names with strings, frames, paths."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, TypeAlias, TypeGuard, Union

import numpy as np
from numpy.typing import NDArray

from kmerit.data.letters import assemble, encode_strings
from kmerit.data.readers import read_sequences
from kmerit.data.tables import NAME_COLUMNS, first_line, table_sequences
from kmerit.errors import FormatError, SequenceError, UsageError, short
from kmerit.types import ALPHABET, Sequences

if TYPE_CHECKING:
    import pandas as pd

SequencesLike: TypeAlias = Union[
    Sequences, Sequence[str], NDArray[Any], Mapping[str, str], "pd.Series[Any]", "pd.DataFrame", str, os.PathLike[str]
]
"""Whatever `as_sequences` takes."""
_EXPECTED = "Sequences, a list of strings, a dict of names and strings, a pandas Series or DataFrame, or a path"


def as_sequences(source: SequencesLike) -> Sequences:
    """Make sequences from strings, a dict of names and strings, a pandas Series or DataFrame, or a path.

    Letters in memory must be upper-case ``ACGTN``; a file is read as `read_sequences` reads it.

    Args:
        source: ``Sequences`` are returned as they are. Strings in a list are named ``seq0``, ``seq1``, ... A Series is
            named by its index where that has names; numbers in it that are not 0, 1, ... become ``seq17``. A DataFrame
            needs a column ``sequence``, and may have ``label``, ``name`` and coordinates, as a table in a file.

    Raises:
        UsageError: Another type.
        SequenceError: No sequence, an empty one, another letter, a value that is no string, a name twice: with its
            index.
        FormatError: A DataFrame or a file that is not understood.
        LabelError: Labels that are not understood.

    Example:
        >>> as_sequences({"one": "ACGT", "two": "TTN"}).names
        ('one', 'two')
        >>> as_sequences(["ACGT", "AXT"])
        Traceback (most recent call last):
        kmerit.errors.SequenceError: sequences[1]: 'seq1', position 1: expected one of A, C, G, T, N, found 'X': ...
    """
    if isinstance(source, Sequences):
        return source
    if isinstance(source, str | os.PathLike):
        return _from_path(source)
    pandas = sys.modules.get("pandas")  # not loaded: nothing of it can have come
    if is_frame(source):
        return _from_frame(source)
    if pandas is not None and isinstance(source, pandas.Series | pandas.Index):
        names = None if isinstance(source, pandas.Index) else _index_names(source.index)
        return _from_strings(source.tolist(), names)
    if isinstance(source, Mapping):
        return _from_strings(list(source.values()), list(source))
    if isinstance(source, np.ndarray) and (source.ndim != 1 or source.dtype.kind not in "UOT"):
        raise UsageError(f"sequences: expected {_EXPECTED}; got an array of {source.dtype}, {source.ndim}-dimensional.")
    if isinstance(source, np.ndarray):
        return _from_strings(source.tolist(), None)
    if isinstance(source, Sequence) and not isinstance(source, bytes | bytearray | memoryview):
        return _from_strings(list(source), None)
    raise UsageError(f"sequences: expected {_EXPECTED}; got {type(source).__name__}.")


def is_frame(source: object) -> TypeGuard[pd.DataFrame]:
    """Tell a pandas DataFrame from anything else, without loading pandas."""
    pandas = sys.modules.get("pandas")
    return pandas is not None and isinstance(source, pandas.DataFrame)


def _from_path(path: str | os.PathLike[str]) -> Sequences:
    if isinstance(path, str) and path and not set(path.upper()) - set(ALPHABET) and not os.path.exists(path):
        raise SequenceError(f"sequences: one string is taken for a path. Write a list: [{short(path, 20)}].")
    return read_sequences(os.fspath(path))


def _from_strings(strings: Sequence[Any], names: Sequence[Any] | None) -> Sequences:
    """Number the bases of strings; without names they are counted."""
    if not strings:
        raise SequenceError("sequences: expected at least one, got none.")
    all_names = [f"seq{i}" for i in range(len(strings))] if names is None else list(names)

    def where(row: int) -> str:
        return f"sequences[{row if names is None else short(all_names[row])}]"

    for row, (name, text) in enumerate(zip(all_names, strings, strict=True)):
        if not isinstance(name, str):
            raise SequenceError(f"sequences: expected strings as names, got {short(name)} at index {row}.")
        if not isinstance(text, str):
            raise SequenceError(f"{where(row)}: expected a string of letters, got {short(text)}.")
        if not name:
            raise SequenceError(f"sequences: the name at index {row} is empty; every sequence needs one.")
    first: dict[str, int] = {}
    for row, name in enumerate(all_names):
        if first.setdefault(name, row) != row:
            raise SequenceError(
                f"sequences: the name {short(name)} occurs twice, at index {first[name]} and {row}. Rename one."
            )
    bases, offsets, _ = encode_strings(strings, "exact", all_names, where)
    return assemble(all_names, bases, offsets, None, None, where)


def _index_names(index: Any) -> list[Any] | None:
    """Take names from a Series' index: its strings, or its numbers where rows were left out or moved."""
    labels = index.tolist()
    if labels == list(range(len(labels))):
        return None
    return [f"seq{label}" if isinstance(label, int) else label for label in labels]


def _from_frame(frame: pd.DataFrame) -> Sequences:
    import pyarrow as pa

    twice = [name for name in frame.columns if (frame.columns == name).sum() > 1]
    if twice:
        raise FormatError(f"DataFrame: several columns are named {short(twice[0])}. Rename all but one.")
    if wrong := [name for name in frame.columns if not isinstance(name, str)]:
        raise FormatError(f"DataFrame: expected strings as names of columns, got {short(wrong[0])}.")
    try:
        table = pa.Table.from_pandas(frame, preserve_index=False)
    except (pa.ArrowException, TypeError, ValueError) as error:
        raise FormatError(f"DataFrame: a column has values of several types: {first_line(error)}.") from None
    names = _index_names(frame.index)
    if names is not None and all(isinstance(name, str) for name in names) and not _has_names(table.column_names):
        table = table.append_column("name", pa.array(names, pa.string()))
    return table_sequences(table, lambda row: f"DataFrame, row {row}", "DataFrame", case="exact")


def _has_names(columns: Iterable[str]) -> bool:
    return any(column.strip().lower().replace(" ", "_") in NAME_COLUMNS for column in columns)
