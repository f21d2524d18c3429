"""Tables (CSV, TSV, Parquet, Arrow): which column is what, and sequences from them."""

from __future__ import annotations

import csv
from collections import Counter
from collections.abc import Sequence
from io import StringIO
from pathlib import Path
from typing import TYPE_CHECKING, Any

from kmerit.data.files import read_bytes, read_text
from kmerit.data.letters import Case, Where, assemble, check_names, encode_strings, parse_labels
from kmerit.data.loci import parse_locus
from kmerit.errors import FormatError, LabelError, short
from kmerit.types import Locus, Sequences

if TYPE_CHECKING:
    import pyarrow as pa

SEQUENCE_COLUMNS = ("sequence", "seq", "dna", "dna_sequence", "text")
"""Usual names of the column with the letters; upper and lower case are alike in all of these lists."""
LABEL_COLUMNS = ("label", "labels", "y", "target", "class", "value")
"""Usual names of the column with the labels; whole numbers are classes, except in ``value``."""
NAME_COLUMNS = ("name", "id", "seq_id", "sequence_id")
"""Usual names of the column with the names."""
CHROM_COLUMNS = ("chrom", "chr", "chromosome", "region")
START_COLUMNS = ("start", "start_grch38", "start_grch37")
"""Usual names of the first position, 0-based; the first that is there counts. ``end`` has the same endings."""
_PLACE = (*CHROM_COLUMNS, *START_COLUMNS, *(start.replace("start", "end") for start in START_COLUMNS), "strand")


def read_csv(path: Path, separator: str = ",") -> tuple[pa.Table, Where]:
    """Read a CSV or TSV file with a header line, every cell as text.

    Lines may end as on any system. Blank lines are passed over, and so are rows without anything in their cells at the
    end, which spreadsheets leave there.

    Raises:
        FormatError: Damaged gzip, no text, rows of unequal length, a quote that never ends, two columns of one name.
    """
    import pyarrow as pa

    text = read_text(path)
    csv.field_size_limit(max(csv.field_size_limit(), len(text)))  # a cell may be as long as a chromosome
    reader = csv.reader(StringIO(text, newline=""), delimiter=separator, strict=True)
    rows: list[list[str]] = []
    lines: list[int] = []  # at which each row begins: a cell in quotes may hold line ends
    line = 1
    try:
        for cells in reader:
            if cells:
                rows.append(cells)
                lines.append(line)
            line = reader.line_num + 1
    except csv.Error as error:
        what = "a quote is never closed" if "end of data" in str(error) else f"a quote is not doubled ({error})"
        raise FormatError(f"{path}, line {line}: not a table separated by {separator!r}: {what}.") from None
    while len(rows) > 1 and not any(cell.strip() for cell in rows[-1]):
        rows.pop()
    header, *body = rows
    for cells, line in zip(body, lines[1:], strict=False):
        if len(cells) != len(header):
            raise FormatError(
                f"{path}, line {line}: not a table separated by {separator!r}: expected {len(header)} cells as in the "
                f"header, found {len(cells)}."
            )
    columns = zip(*body, strict=True) if body else [()] * len(header)
    table = pa.Table.from_arrays([pa.array(column, pa.large_string()) for column in columns], names=header)
    return _named_once(table, path), lambda row: f"{path}, line {lines[row + 1]}"


def read_parquet(path: Path) -> tuple[pa.Table, Where]:
    """Read a Parquet file.

    Raises:
        FormatError: It is not one, or it is truncated; two columns of one name.
    """
    import pyarrow as pa
    import pyarrow.parquet

    try:
        # Without threads: now and then a process that bad labels ended at once was seen to end with SIGABRT instead.
        table = pa.parquet.ParquetFile(pa.BufferReader(read_bytes(path))).read(use_threads=False)
    except (pa.ArrowException, OSError, ValueError) as error:
        raise FormatError(f"{path}: not a Parquet file, or truncated: {first_line(error)}.") from None
    return _named_once(table, path), lambda row: f"{path}, row {row}"


def _named_once(table: pa.Table, path: Path) -> pa.Table:
    """Refuse two columns of one name; columns without one can be several, as they play no part."""
    for name, times in Counter(table.column_names).items():
        if times > 1 and name.strip():
            raise FormatError(f"{path}: {times} columns are named {short(name)}. Rename all but one.")
    return table


def table_sequences(
    table: pa.Table,
    where: Where,
    source: str,
    *,
    sequence_column: str | None = None,
    label_column: str | None = None,
    name_column: str | None = None,
    case: Case = "exact",
) -> Sequences:
    """Make sequences from a table whose columns are named, or have usual names.

    Args:
        table: One row per sequence.
        where: The place of a row, for errors.
        source: What to call the table in errors.
        sequence_column: Column of the letters; by default the one of :data:`SEQUENCE_COLUMNS`.
        label_column: Column of the labels; by default the one of :data:`LABEL_COLUMNS`, if there is one.
        name_column: Column of the names; by default the one of :data:`NAME_COLUMNS`, else ``seq0``, ``seq1``, ...
        case: ``"exact"`` refuses lower case, ``"upper"`` reads it as upper case.

    Raises:
        FormatError: No sequence column, or several that could be meant; no rows; half an interval.
        LabelError: No such label column, or several that could be meant, or labels that are no numbers.
        SequenceError: A refused letter, an empty sequence, a name missing or twice.
    """
    columns = table.column_names
    sequence = _find("sequence", sequence_column, SEQUENCE_COLUMNS, columns, source, FormatError)
    if sequence is None:
        raise FormatError(
            f"{source}: no sequence column among {_quoted(columns)}; expected one of {_quoted(SEQUENCE_COLUMNS)}. "
            f"Name it with sequence_column (--sequence-column)."
        )
    label = _find("label", label_column, LABEL_COLUMNS, columns, source, LabelError)
    name = _find("name", name_column, NAME_COLUMNS, columns, source, FormatError)
    if table.num_rows == 0:
        raise FormatError(f"{source}: the table has no rows; expected sequences.")
    strings = _cells(table, sequence, source)
    names = [f"seq{i}" for i in range(len(strings))]
    if name is not None:
        names = [_text(value) for value in _cells(table, name, source)]
    check_names(names, where)
    for row, string in enumerate(strings):
        if not isinstance(string, str | None):
            raise FormatError(f"{where(row)}: column {sequence!r} holds {type(string).__name__}; expected letters.")
    bases, offsets = encode_strings([string or "" for string in strings], case, names, where)
    labels = None
    if label is not None:
        labels = parse_labels(_cells(table, label, source), where, regression=label.strip().lower() == "value")
    return assemble(names, bases, offsets, labels, table_loci(table, where, source))


def table_loci(table: pa.Table, where: Where, source: str) -> list[Locus | None] | None:
    """Read coordinates where a chromosome, a start and an end column are there; None where they are not.

    Raises:
        FormatError: Half an interval, or two columns whose names differ in upper and lower case alone.
    """
    present: dict[str, str] = {}
    for column in table.column_names:
        usual = column.strip().lower()
        if present.setdefault(usual, column) != column and (usual in _PLACE):
            raise FormatError(f"{source}: {_quoted([present[usual], column])} could each be the {usual} column.")
    chrom = next((present[column] for column in CHROM_COLUMNS if column in present), None)
    start = next((present[column] for column in START_COLUMNS if column in present), None)
    end = None if start is None else present.get("end" + start.strip().lower().removeprefix("start"))
    if chrom is None or start is None or end is None:
        return None
    columns = [_cells(table, column, source) for column in (chrom, start, end)]
    strand = _cells(table, present["strand"], source) if "strand" in present else [None] * table.num_rows
    rows = zip(*columns, strand, strict=True)
    return [parse_locus(cells, where(row)) for row, cells in enumerate(rows)]


def table_column(role: str, named: str | None, usual: Sequence[str], table: pa.Table, source: str) -> list[Any] | None:
    """Read the column of a role: the named one, else the only one with a usual name, else None.

    Raises:
        FormatError: No such column, or several that could be meant.
    """
    column = _find(role, named, usual, table.column_names, source, FormatError)
    return None if column is None else _cells(table, column, source)


def _find(
    role: str,
    named: str | None,
    usual: Sequence[str],
    columns: Sequence[str],
    source: str,
    error: type[FormatError | LabelError],
) -> str | None:
    """Find the column of a role: the named one, else the only one with a usual name, else None."""
    if named is not None:
        if named not in columns:
            raise error(f"{source}: no column {named!r} for the {role}; the columns are {_quoted(columns)}.")
        return named
    found = [column for column in columns if column.strip().lower() in usual]
    if len(found) > 1:
        raise error(
            f"{source}: {_quoted(found)} could each be the {role} column. "
            f"Name one with {role}_column (--{role}-column)."
        )
    return found[0] if found else None


def _cells(table: pa.Table, column: str, source: str) -> list[Any]:
    try:
        return list(table.column(column).to_pylist())
    except (ValueError, OverflowError) as error:  # text that is not UTF-8, times that no calendar has
        raise FormatError(f"{source}: the column {short(column)} cannot be read: {first_line(error)}.") from None


def _text(value: object) -> str:
    return "" if value is None else str(value)


def _quoted(names: Sequence[str]) -> str:
    listed = ", ".join(short(name, 40) for name in names[:12])
    return listed if len(names) <= 12 else f"{listed} and {len(names) - 12} more"


def first_line(error: Exception) -> str:
    """Shorten what another library says to one line."""
    return (str(error).splitlines() or [type(error).__name__])[0][:160].rstrip(".")
