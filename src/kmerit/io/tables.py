"""Tables (CSV, TSV, JSON, Parquet, Arrow), and DNABERT's files of spaced k-mers:
which column is what, and sequences from them.
"""

from __future__ import annotations

import csv
import json
import logging
import re
from array import array
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from io import BytesIO, TextIOWrapper
from pathlib import Path
from types import NoneType
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from kmerit.errors import FormatError, LabelError, SequenceError, short
from kmerit.io.files import (
    Case,
    Where,
    assemble,
    distinct_names,
    encode_blocks,
    is_number,
    listed,
    log_lower,
    parse_labels,
    read_bytes,
    read_labels,
    read_text,
    read_utf8,
)
from kmerit.sequences import Locus, Sequences, parse_locus, split_locus

if TYPE_CHECKING:
    import pyarrow as pa


def kmer_length(strings: Sequence[str]) -> int | None:
    """Return the length of the first word of the first string that has a space between its letters; None without one.

    Example:
        >>> kmer_length([" ACG", "TTA TAC"]), kmer_length([" ACG", "TTA "])
        (3, None)
    """
    if len("".join(strings).split(maxsplit=1)) < 2:  # which most files are done with
        return None
    return next((len(words[0]) for words in map(str.split, strings) if len(words) > 1), None)


def join_kmers(strings: Sequence[str], where: Where, k: int) -> list[str]:
    """Join overlapping k-mers to the letters that they were cut from.

    Args:
        strings: As files have them: ``"ACG CGT GTT"``.
        where: The place of each.
        k: Letters in a word.

    Raises:
        SequenceError: Words of several lengths, or one that does not follow from the one before.

    Example:
        >>> join_kmers(["ACG CGT GTT", "TTA TAC"], str, 3)
        ['ACGTT', 'TTAC']
    """
    words = [string.split() for string in strings]
    letters = []
    for row, kmers in enumerate(words):
        if other := next((word for word in kmers if len(word) != k), None):
            raise SequenceError(
                f"{where(row)}: expected overlapping {k}-mers with spaces between, found {short(other)}. Write the "
                f"letters without spaces, or k-mers of one k throughout."
            )
        for i in range(1, len(kmers)):
            if kmers[i - 1][1:] != kmers[i][:-1]:
                raise SequenceError(
                    f"{where(row)}: the {k}-mers do not overlap: {kmers[i - 1]!r} is not followed by {kmers[i]!r} "
                    f"(word {i + 1}). Write each {k}-mer one letter further than the one before."
                )
        letters.append("".join([*kmers[:1], *(word[-1] for word in kmers[1:])]))
    return letters


_LOG = logging.getLogger(__name__)
SEQUENCE_COLUMNS = ("sequence", "seq", "dna", "dna_sequence", "text")
"""Usual names of the column with the letters; in all these lists case does not matter, and a space is a ``_``."""
LABEL_COLUMNS = ("label", "labels", "y", "target", "class", "value")
"""Usual names of the column with the labels; whole numbers are classes, except in ``value``."""
NAME_COLUMNS = ("name", "id", "seq_id", "sequence_id", "sample_id")
"""Usual names of the column with the names."""
CHROM_COLUMNS = ("chrom", "chr", "chromosome", "region")
START_COLUMNS = ("start", "start_grch38", "start_grch37")
"""Usual names of the first position, 0-based; the first that is there counts. ``end`` has the same endings."""
_PLACE = (
    *CHROM_COLUMNS,
    *START_COLUMNS,
    *(start.replace("start", "end") for start in START_COLUMNS),
    "strand",
    "locus",
)


SEPARATORS = (",", "\t", ";", "|")
_LINE = re.compile(rb"[^\r\n]+")
_TOGETHER = 2**12
"""Rows of a table of which Python has the cells at a time."""


def read_csv(path: Path, separator: str = ",") -> tuple[pa.Table, Where]:
    """Read a CSV or TSV file with a header line, every cell as text.

    Args:
        path: The file.
        separator: What stands between cells; where the header line has none, another of :data:`SEPARATORS` that it has.

    Lines may end as on any system. Blank lines are passed over; rows without anything in their cells at the
    end, which spreadsheets leave there, are left out, and logged.

    Raises:
        FormatError: A damaged file, no text, rows of unequal length, a quote that never ends, two columns of one name,
            or several other separators in the header.
    """
    import pyarrow as pa

    data = read_utf8(path)
    csv.field_size_limit(max(csv.field_size_limit(), len(data)))  # a cell may be as long as a chromosome
    separator = _separator(next(_LINE.finditer(data))[0].decode(), separator, path)
    reader = csv.reader(TextIOWrapper(BytesIO(data), "utf-8", newline=""), delimiter=separator, strict=True)
    header: list[str] = []
    blocks: list[list[pa.Array]] = []
    rows: list[list[str]] = []
    lines = array("q")  # at which each row begins: a cell in quotes may hold line ends
    blank: list[tuple[int, list[str]]] = []  # rows without anything in their cells that nothing has followed so far
    unequal: FormatError | None = None
    line = 1
    try:
        for cells in reader:
            if not header:
                header = cells
            elif cells and not any(map(str.strip, cells)):
                blank.append((line, cells))
            elif cells:
                for at, row in (*blank, (line, cells)):
                    if unequal is None and len(row) != len(header):
                        unequal = FormatError(
                            f"{path}, line {at}: not a table separated by {separator!r}: expected {len(header)} cells "
                            f"as in the header, found {len(row)}."
                        )
                    elif unequal is None:
                        rows.append(row)
                        lines.append(at)
                blank.clear()
            if len(rows) >= _TOGETHER:
                blocks.append(_arrays(rows))
                rows.clear()
            line = reader.line_num + 1
    except csv.Error as error:
        problem = "a quote is never closed" if "end of data" in str(error) else f"a quote is not doubled ({error})"
        raise FormatError(f"{path}, line {line}: not a table separated by {separator!r}: {problem}.") from None
    if blank:
        _LOG.warning(f"{path}: blank rows at the end were left out: {len(blank)}.")
    if unequal is not None:
        raise unequal
    blocks.append(_arrays(rows))
    columns = zip(*filter(None, blocks), strict=True) if lines else [()] * len(header)
    table = pa.Table.from_arrays([pa.chunked_array(each, pa.large_string()) for each in columns], names=header)
    return _named_once(table, path), lambda row: f"{path}, line {lines[row]}"


def _arrays(rows: Sequence[Sequence[str]]) -> list[pa.Array]:
    """Make a column of every cell of rows of equal length; none of no rows."""
    import pyarrow as pa

    return [pa.array(column, pa.large_string()) for column in zip(*rows, strict=True)]


def _separator(header: str, separator: str, path: Path) -> str:
    """Return the separator that a header line has: the usual one, else the only other one, else the usual one."""
    candidates = [each for each in SEPARATORS if len(next(csv.reader([header], delimiter=each), [])) > 1]
    if separator in candidates or not candidates:
        return separator
    if len(candidates) > 1:
        raise FormatError(
            f"{path}: the header {short(header)} has no {separator!r}, and could be separated by "
            f"{' or by '.join(map(repr, candidates))}. Separate cells by {separator!r}."
        )
    return candidates[0]


def read_json(path: Path, lines: bool) -> tuple[pa.Table, Where]:
    """Read JSON objects, one a line (JSON lines) or in one list, as a table.

    Raises:
        FormatError: No JSON, no objects, or a key whose values are of several types.
    """
    import pyarrow as pa

    text = read_text(path)
    rows: list[Any] = []
    numbers: list[int] = []
    try:
        if lines:
            for number, line in enumerate(re.split("\r\n|\r|\n", text), 1):
                if line.strip():
                    numbers.append(number)
                    rows.append(json.loads(line, object_pairs_hook=_once))
        else:
            rows = json.loads(text, object_pairs_hook=_once)
    except (ValueError, RecursionError) as error:
        at = f", line {numbers[-1] if numbers else getattr(error, 'lineno', 1)}"
        raise FormatError(f"{path}{at}: not JSON: {first_line(error)}.") from None

    def where(row: int) -> str:
        return f"{path}, line {numbers[row]}" if lines else f"{path}, row {row}"

    if not isinstance(rows, list):
        raise FormatError(f"{path}: expected a list of objects, found {type(rows).__name__}.")
    for row, record in enumerate(rows):
        if not isinstance(record, dict):
            raise FormatError(
                f"{where(row)}: expected an object such as {{'sequence': 'ACGT'}}, found {short(record)}."
            )
    columns = dict.fromkeys(key for record in rows for key in record)
    try:
        return pa.table({key: [record.get(key) for record in rows] for key in columns}), where
    except (pa.ArrowException, ValueError, OverflowError) as error:
        raise FormatError(f"{path}: a key has values of several types: {first_line(error)}.") from None


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Make an object; of a key that stands there twice neither value may be lost."""
    mapping = dict(pairs)
    if len(mapping) < len(pairs):
        raise ValueError(f"an object has a key twice: {', '.join(short(key) for key, _ in pairs)[:100]}")
    return mapping


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
    return with_class_names(_named_once(table, path)), lambda row: f"{path}, row {row}"


def _named_once(table: pa.Table, path: Path) -> pa.Table:
    """Refuse two columns of one name; columns without one can be several, as they play no part."""
    for name, times in Counter(table.column_names).items():
        if times > 1 and name.strip():
            raise FormatError(f"{path}: {times} columns are named {short(name)}. Rename all but one.")
    return table


def with_class_names(table: pa.Table, names: Mapping[str, Sequence[str]] | None = None) -> pa.Table:
    """Name numbered classes, in their order, if the table has names.

    Args:
        table: Perhaps written by the library ``datasets``, which notes names of classes in the metadata.
        names: By column, in place of the metadata.

    Returns:
        The table, such columns as dictionaries; -1 (no label) becomes missing, and a column of nothing else is dropped.
    """
    import pyarrow as pa
    import pyarrow.compute as pc

    for column, classes in (_noted_classes(table) if names is None else names).items():
        if column not in table.column_names or not pa.types.is_integer(table.column(column).type):
            continue
        numbers = table.column(column).combine_chunks().cast(pa.int64())
        if not (size := len(numbers)) or (pc.max(numbers).as_py() or 0) >= len(classes):
            continue
        at = table.column_names.index(column)
        numbers = pc.if_else(pc.less(numbers, 0), pa.scalar(None, pa.int64()), numbers)
        if numbers.null_count == size:
            table = table.remove_column(at)
        else:
            names_of_column = pa.array(list(classes), pa.string())
            column_of_names = pa.DictionaryArray.from_arrays(numbers, names_of_column, ordered=True)
            table = table.set_column(at, column, column_of_names)
    return table


def _noted_classes(table: pa.Table) -> dict[str, list[str]]:
    """Read what ``datasets`` notes of its ClassLabels in a schema's metadata."""
    try:
        features = json.loads((table.schema.metadata or {}).get(b"huggingface", b"{}"))["info"]["features"]
        return {
            column: list(map(str, feature["names"]))
            for column, feature in features.items()
            if isinstance(feature, dict) and feature.get("_type") == "ClassLabel"
        }
    except (ValueError, KeyError, TypeError, AttributeError):
        return {}


def table_sequences(
    table: pa.Table,
    where: Where,
    source: str,
    *,
    sequence_column: str | None = None,
    label_column: str | Sequence[str] | None = None,
    name_column: str | None = None,
    case: Case = "upper",
    rename: bool = False,
    classes: Sequence[str] | None = None,
    coordinates: bool = True,
) -> Sequences:
    """Make sequences from a table whose columns are named, or have usual names.

    Args:
        table: One row per sequence.
        where: The place of a row, for errors.
        source: What to call the table in errors.
        sequence_column: Column of the letters; by default the one of :data:`SEQUENCE_COLUMNS`.
        label_column: Column of the labels; by default the one of :data:`LABEL_COLUMNS`, if there is one. A list:
            columns of several labels, 0 or 1 each, or of several values.
        name_column: Column of the names; by default the one of :data:`NAME_COLUMNS`, else ``seq0``, ``seq1``, ...
        case: ``"upper"`` reads lower case as upper case, and logs it; ``"exact"`` refuses it.
        rename: Whether names that occur twice are numbered.
        classes: Names of the classes, in their order.
        coordinates: Whether columns of coordinates are read.

    Raises:
        FormatError: No sequence column, or several that could be meant; no rows; half an interval, or one that is not
            as long as its letters.
        LabelError: No such label column, or several that could be meant, or labels that cannot be understood.
        SequenceError: A refused letter, k-mers that do not overlap, an empty sequence, a name missing or twice.
    """
    columns = table.column_names
    sequence = _find("sequence", sequence_column, SEQUENCE_COLUMNS, columns, source, FormatError)
    if sequence is None:
        raise FormatError(
            f"{source}: no sequence column among {_quoted(columns)}; expected one of {_quoted(SEQUENCE_COLUMNS)}. "
            f"Name it with sequence_column (--sequence-column)."
        )
    name = _find("name", name_column, NAME_COLUMNS, columns, source, FormatError)
    if table.num_rows == 0:
        raise FormatError(f"{source}: the table has no rows; expected sequences.")
    no_text: int | None = None
    k: int | None = None
    for start, cells in _blocks(table, sequence, source):
        if no_text is None and not {str, NoneType}.issuperset(map(type, cells)):
            no_text = start + next(i for i, cell in enumerate(cells) if not isinstance(cell, str | None))
        if no_text is None and k is None:
            k = kmer_length([cell or "" for cell in cells])
    if name is None:
        names = [f"seq{i}" for i in range(table.num_rows)]
    else:
        names = [_text(cell) for _, cells in _blocks(table, name, source) for cell in cells]
    names = distinct_names(names, where, source, rename)
    if no_text is not None:
        kind = type(table.column(sequence)[no_text].as_py()).__name__
        raise FormatError(f"{where(no_text)}: column {sequence!r} holds {kind}; expected letters.")
    if k is not None:
        _LOG.warning(f"{source}: the sequences are overlapping {k}-mers, joined to their letters.")
    bases, offsets, lower = encode_blocks(_letters(table, sequence, where, source, k), case, names, where)
    log_lower(lower, len(names), source)
    labels, class_names, outputs = _labels(table, label_column, where, source, classes)
    loci = table_loci(table, where, source) if coordinates else None
    return assemble(names, bases, offsets, labels, loci, where, class_names, outputs)


def _letters(table: pa.Table, column: str, where: Where, source: str, k: int | None) -> Iterator[list[str]]:
    """Read the letters of some rows at a time; overlapping k-mers are joined."""
    for start, cells in _blocks(table, column, source):
        letters = [(cell or "").strip() for cell in cells]  # spaces around letters are a spreadsheet's, not letters
        yield letters if k is None else join_kmers(letters, partial(_later, where, start), k)


def _later(where: Where, start: int, row: int) -> str:
    return where(start + row)


@dataclass(frozen=True, eq=False)
class TableIntervals:
    """Rows of a table that has coordinates in place of letters.

    Attributes:
        names: One per row; the locus where there is no column of names.
        loci: One per row.
        labels: Classes or values, or None.
        classes: Names of the classes, where labels are names.
        outputs: Names of several labels or values.
    """

    names: list[str]
    loci: list[Locus]
    labels: NDArray[Any] | None
    classes: tuple[str, ...] | None
    outputs: tuple[str, ...] | None


def table_intervals(
    table: pa.Table,
    where: Where,
    source: str,
    *,
    label_column: str | Sequence[str] | None = None,
    name_column: str | None = None,
    classes: Sequence[str] | None = None,
) -> TableIntervals:
    """Read the coordinates of a table without letters.

    Raises:
        FormatError: It has letters, no coordinates, or a row without them.
        LabelError: Labels that cannot be understood.
    """
    if (letters := _find("sequence", None, SEQUENCE_COLUMNS, table.column_names, source, FormatError)) is not None:
        raise FormatError(f"{source}: the column {letters!r} has letters; leave the genome out, or that column.")
    loci = table_loci(table, where, source)
    if loci is None or not loci:
        raise FormatError(f"{source}: expected rows with columns chrom, start and end, to cut out of the genome.")
    known_loci = [locus for locus in loci if locus is not None]
    if len(known_loci) < len(loci):
        raise FormatError(f"{where(loci.index(None))}: the interval is missing; every row needs one.")
    names = table_column("name", name_column, NAME_COLUMNS, table, source)
    headings = (
        [f"{x.chrom}:{x.start}-{x.end}({x.strand})" for x in known_loci] if names is None else list(map(_text, names))
    )
    return TableIntervals(headings, known_loci, *_labels(table, label_column, where, source, classes))


def _labels(
    table: pa.Table,
    columns: str | Sequence[str] | None,
    where: Where,
    source: str,
    classes: Sequence[str] | None,
) -> tuple[NDArray[Any] | None, tuple[str, ...] | None, tuple[str, ...] | None]:
    """Read the column of the labels, with names of classes; or several columns, with their names."""
    if columns is None or isinstance(columns, str):
        label = _find("label", columns, LABEL_COLUMNS, table.column_names, source, LabelError)
        return (None, None, None) if label is None else (*_label(table, label, where, source, classes), None)
    if classes is not None:
        raise LabelError(f"{source}: classes name the values of one label column, but {len(columns)} are read.")
    numbers = []
    for column in columns:
        _find("label", column, LABEL_COLUMNS, table.column_names, source, LabelError)
        numbers.append(parse_labels(_cells(table, column, source), partial(_cell, where, column), regression=True))
    matrix = np.stack(numbers, axis=1)
    whole = bool(((matrix == 0) | (matrix == 1)).all())
    return matrix.astype(np.int64) if whole else matrix, None, tuple(columns)


def _cell(where: Where, column: str, row: int) -> str:
    return f"{where(row)}, column {short(column)}"


def _label(
    table: pa.Table, column: str, where: Where, source: str, classes: Sequence[str] | None
) -> tuple[NDArray[Any], tuple[str, ...] | None]:
    """Read labels; a dictionary of names (a ClassLabel, a categorical) has its own order.

    One of numbers that is not said to be ordered is read as text is: programs list them as they met them.
    """
    import pyarrow as pa

    values = table.column(column)
    has_names = pa.types.is_dictionary(values.type) and str(values.type.value_type) in ("string", "large_string")
    whole = values.unify_dictionaries().combine_chunks() if has_names else None
    if whole is not None and not whole.type.ordered and all(map(is_number, whole.dictionary.drop_null().to_pylist())):
        whole = None
    if classes is not None or whole is None or whole.dictionary.null_count:
        regression = column.strip().lower() == "value"
        return read_labels(_cells(table, column, source), where, source, regression=regression, classes=classes)
    if whole.null_count:
        row = whole.is_null().to_pylist().index(True)
        raise LabelError(f"{where(row)}: the label is missing; every sequence needs one, or none has one.")
    names = tuple(whole.dictionary.to_pylist())
    labels = whole.indices.to_numpy().astype(np.int64)
    if names == tuple(map(str, range(len(names)))):
        return labels, None
    _LOG.warning(f"{source}: the classes, in the order of the file: {listed(names, numbered=True)}.")
    return labels, names


def table_loci(table: pa.Table, where: Where, source: str) -> list[Locus | None] | None:
    """Read coordinates where a chromosome, a start and an end column are there; None where they are not.

    A column ``locus`` that holds ``chr1:100-300:+``, as `Sequences.to_frame` writes it, stands for all of them.

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
        return _spelt_loci(_cells(table, present["locus"], source), where) if "locus" in present else None
    columns = [_cells(table, column, source) for column in (chrom, start, end)]
    strand = _cells(table, present["strand"], source) if "strand" in present else [None] * table.num_rows
    rows = zip(*columns, strand, strict=True)
    return [parse_locus(cells, where(row)) for row, cells in enumerate(rows)]


def _spelt_loci(cells: list[Any], where: Where) -> list[Locus | None] | None:
    """Take apart loci such as ``chr1:100-300:+``; None where no cell is one, and the column names something else."""
    parts = [split_locus(cell.strip()) if isinstance(cell, str) else None for cell in cells]
    if not any(part is not None and part[3] for part in parts):
        return None
    for row, (cell, part) in enumerate(zip(cells, parts, strict=True)):
        if part is None and cell == cell and cell not in (None, "", "."):
            raise FormatError(f"{where(row)}: expected chrom:start-end:strand as locus, found {short(cell)}.")
    return [None if part is None else parse_locus(part, where(row)) for row, part in enumerate(parts)]


def table_column(role: str, name: str | None, usual: Sequence[str], table: pa.Table, source: str) -> list[Any] | None:
    """Read the column of a role: the named one, else the only one with a usual name, else None.

    Raises:
        FormatError: No such column, or several that could be meant.
    """
    column = _find(role, name, usual, table.column_names, source, FormatError)
    return None if column is None else _cells(table, column, source)


def _find(
    role: str,
    name: str | None,
    usual: Sequence[str],
    columns: Sequence[str],
    source: str,
    error: type[FormatError | LabelError],
) -> str | None:
    """Find the column of a role: the named one, else the only one with a usual name, else None."""
    if name is not None:
        if name not in columns:
            raise error(f"{source}: no column {name!r} for the {role}; the columns are {_quoted(columns)}.")
        return name
    matches = [column for column in columns if column.strip().lower().replace(" ", "_") in usual]
    if len(matches) > 1:
        raise error(
            f"{source}: {_quoted(matches)} could each be the {role} column. "
            f"Name one with {role}_column (--{role}-column)."
        )
    return matches[0] if matches else None


def _cells(table: pa.Table, column: str, source: str) -> list[Any]:
    return [cell for _, cells in _blocks(table, column, source) for cell in cells]


def _blocks(table: pa.Table, column: str, source: str) -> Iterator[tuple[int, list[Any]]]:
    """Read the cells of some rows at a time, with the number of the first."""
    values = table.column(column)
    for start in range(0, table.num_rows, _TOGETHER):
        try:
            cells = values.slice(start, _TOGETHER).to_pylist()
        except (ValueError, OverflowError) as error:  # text that is not UTF-8, times that no calendar has
            raise FormatError(f"{source}: the column {short(column)} cannot be read: {first_line(error)}.") from None
        yield start, cells


def _text(value: object) -> str:
    return "" if value is None else str(value)


def _quoted(names: Sequence[str]) -> str:
    quoted = ", ".join(short(name, 40) for name in names[:12])
    return quoted if len(names) <= 12 else f"{quoted} and {len(names) - 12} more"


def first_line(error: Exception) -> str:
    """Shorten what another library says to one line."""
    return (str(error).splitlines() or [type(error).__name__])[0][:160].rstrip(".")
