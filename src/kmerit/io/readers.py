"""Read sequences from files, folders, frames and strings; write them back."""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias, TypeGuard, Union

import numpy as np
from numpy.typing import NDArray

from kmerit.disk import return_memory
from kmerit.errors import ConfigError, FormatError, SequenceError, UsageError, short
from kmerit.io.bed import BED, NARROW_PEAK, as_region, bed_sequences, read_bed, region_sequences, table_windows
from kmerit.io.fasta import read_fasta, read_fastq, write_fasta
from kmerit.io.files import (
    PACKED,
    STDIN,
    Case,
    Where,
    assemble,
    distinct_names,
    encode_strings,
    is_number,
    log_lower,
    open_to_write,
    read_bytes,
    read_labels,
    read_text,
    unpacked_name,
)
from kmerit.io.hub import folder_splits, hub_folder, is_hub_name, read_folder
from kmerit.io.tables import (
    NAME_COLUMNS,
    first_line,
    read_csv,
    read_json,
    read_parquet,
    table_intervals,
    table_sequences,
)
from kmerit.sequences import ALPHABET, Sequences, parse_locus
from kmerit.store import atomic_write

if TYPE_CHECKING:
    import pandas as pd
    import pyarrow as pa


SPLIT_ROLES = {
    "train": ("train", "training"),
    "validation": ("validation", "valid", "val", "dev"),
    "test": ("test", "testing"),
}
"""What splits are for, and what they are called, however capitalised."""
SPLIT_NAMES = {name: role for role, names in SPLIT_ROLES.items() for name in names}


@dataclass(frozen=True)
class TextFolder:
    """What a folder of text files holds.

    Attributes:
        folder: The folder.
        files: By split and class; the name of either is empty where there is none.
    """

    folder: Path
    files: dict[str, dict[str, list[Path]]]

    @property
    def classes(self) -> tuple[str, ...]:
        """Names of the classes of all splits, alphabetically."""
        return tuple(sorted({kind for kinds in self.files.values() for kind in kinds if kind}))


def text_folder(folder: Path, others: Sequence[str]) -> TextFolder | None:
    """Look whether a folder holds text files: ``SPLIT/CLASS/NAME.txt``, ``CLASS/NAME.txt`` or ``NAME.txt``.

    Args:
        folder: To look in.
        others: Suffixes of other data; a folder with such files is none of text files.

    Raises:
        FormatError: Files at several depths.
    """
    inside = [path for pattern in ("*", "*/*", "*/*/*") for path in folder.glob(pattern)]
    texts = [path for path in inside if _is_text(path)]
    if not texts or any(Path(unpacked_name(path)).suffix.lower() in others for path in inside):
        return None
    depths = {len(path.relative_to(folder).parts): path for path in texts}
    if len(depths) > 1:
        examples = " and ".join(str(path.relative_to(folder)) for path in depths.values())
        raise FormatError(f"{folder}: {examples}: expected all text files at one depth, SPLIT/CLASS/NAME.txt.")
    files: dict[str, dict[str, list[Path]]] = {}
    for path in sorted(texts, key=_in_order):
        above = path.relative_to(folder).parts[:-1]
        if len(above) == 1:
            above = (above[0], "") if above[0].lower() in SPLIT_NAMES else ("", above[0])
        split, kind = above or ("", "")
        files.setdefault(split, {}).setdefault(kind, []).append(path)
    return TextFolder(folder, files)


def read_text_folder(
    text_folder: TextFolder, split: str | None, case: Case, rename: bool, classes: Sequence[str] | None
) -> Sequences:
    """Read one split: a file is a sequence (its lines joined), its folder the class, its name the name.

    Where two classes have files of one name, the class stands in front: ``positive/0``.

    Raises:
        FormatError: No such split, or several and none asked for; an empty file.
        LabelError: A class that is not among those given.
        SequenceError: A refused letter.
    """
    splits = text_folder.files
    if split is None and len(splits) == 1:
        split = next(iter(splits))
    if split not in splits:
        problem = "name one with split (--split)" if split is None else f"there is no {split!r}"
        split_names = ", ".join(sorted(filter(None, splits))) or "none"
        raise FormatError(f"{text_folder.folder}: the splits are {split_names}; {problem}.")
    order = tuple(classes or text_folder.classes)
    paths = [path for files in splits[split].values() for path in files]
    names = [Path(unpacked_name(path)).stem for path in paths]
    if len(set(names)) < len(names) and text_folder.classes:
        names = [f"{path.parent.name}/{name}" for path, name in zip(paths, names, strict=True)]

    def where(row: int) -> str:
        return str(paths[row])

    names = distinct_names(names, where, str(text_folder.folder), rename)
    strings = ["".join(line.strip() for line in read_text(path).splitlines()) for path in paths]
    bases, offsets, lower = encode_strings(strings, case, names, where)
    log_lower(lower, len(names), str(text_folder.folder))
    if not text_folder.classes:
        return assemble(names, bases, offsets, None, None, where)
    kinds = [kind for kind, files in splits[split].items() for _ in files]
    labels, class_names = read_labels(kinds, where, str(text_folder.folder), classes=order)
    return assemble(names, bases, offsets, labels, None, where, class_names)


def _is_text(path: Path) -> bool:
    return path.name[0] != "." and unpacked_name(path).lower().endswith(".txt") and path.is_file()


def _in_order(path: Path) -> tuple[tuple[str, ...], int, str]:
    """Sort 2.txt before 10.txt."""
    stem = Path(unpacked_name(path)).stem
    return path.parts[:-1], int(stem) if stem.isascii() and stem.isdecimal() else -1, stem


FASTA = (".fa", ".fasta", ".fna", ".ffn", ".fas")
FASTQ = (".fq", ".fastq")
CSV = (".csv",)
TSV = (".tsv", ".tab")
JSON = (".json",)
JSON_LINES = (".jsonl", ".ndjson")
PARQUET = (".parquet", ".pq")
_TABLE_READERS: dict[str, Callable[[Path], tuple[pa.Table, Where]]] = {
    **dict.fromkeys(CSV, read_csv),
    **dict.fromkeys(TSV, partial(read_csv, separator="\t")),
    **dict.fromkeys(JSON, partial(read_json, lines=False)),
    **dict.fromkeys(JSON_LINES, partial(read_json, lines=True)),
    **dict.fromkeys(PARQUET, read_parquet),
}
TABLES = tuple(_TABLE_READERS)
"""Suffixes of tables."""
READABLE = (*FASTA, *FASTQ, *TABLES)
"""Suffixes of files of sequences."""
NOT_TEXT = (*(suffix for suffix in READABLE if suffix not in JSON), ".arrow")
"""A folder with such files is none of text files."""


def read_sequences(
    path: str | Path,
    *,
    sequence_column: str | None = None,
    label_column: str | Sequence[str] | None = None,
    name_column: str | None = None,
    split: str | None = None,
    case: Case = "upper",
    rename: bool = False,
    classes: Sequence[str] | None = None,
    genome: str | Path | None = None,
    width: int | None = None,
    coordinates: bool = True,
) -> Sequences:
    r"""Read sequences, with labels and loci where there are any.

    Letters other than ACGTN are refused. What a file leaves open (lower case read as upper case, the
    order of named classes, k-mers joined to letters, blank rows left out) is logged as a warning.

    Args:
        path: A file of FASTA, FASTQ, CSV, TSV, JSON, JSON lines or Parquet (recognised by suffix; plain, or compressed
            by gzip, bzip2, xz or zstandard); ``-`` for standard input (by its beginning); a Hugging Face data-set
            folder, or a data set's name on the hub (``owner/name``); a folder of text files, one a sequence
            (``train/positive/0.txt``); or, with a genome, intervals: BED, narrowPeak, a table with columns ``chrom``,
            ``start``, ``end`` (``strand``) and without letters, or a region ``chr20:1-2000`` (1-based, both ends
            included, as genome browsers write it).
        sequence_column: Column of the letters, or of overlapping k-mers with spaces between; by default the only one of
            ``sequence, seq, dna, dna_sequence, text``.
        label_column: Column of the labels; by default the only one of ``label, labels, y, target, class, value``.
            Whole numbers are classes, other numbers (and everything in ``value``) values to regress on; names are
            classes, too: in their own order where the file has one (a ClassLabel, a categorical), else alphabetically.
            A list of columns: several labels, 0 or 1 each, or several values, of each sequence.
        name_column: Column of the names; by default the only one of ``name, id, seq_id, sequence_id, sample_id``,
            else the sequences are called ``seq0``, ``seq1``, ...
        split: Which part of a data-set folder or of a data set on the hub; needed if it has several.
        case: ``"upper"`` reads soft-masked (lower-case) letters as upper case; ``"exact"`` refuses them.
        rename: Whether names that occur twice are numbered (``a``, ``a_2``), instead of refused.
        classes: Names of the classes 0, 1, ..., where labels are names and the order is not to be the alphabetical one.
        genome: FASTA of the genome that intervals are of. Windows that reach beyond an end are left out, and counted.
        width: Nucleotides cut out around the summit of each narrowPeak, or the middle of each other interval; by
            default intervals as they are.
        coordinates: Whether coordinates that stand next to letters are read, as the loci of the sequences: columns
            ``chrom``, ``start``, ``end`` (``strand``), or ``locus`` (``chr1:100-300:+``).

    Raises:
        FormatError: The file cannot be read as what its suffix says, a column cannot be recognised, or a locus is
            not as long as its letters.
        SequenceError: Other letters, an empty sequence, a name missing or twice; with file and line.
        LabelError: Labels that are missing, ambiguous, or numbers among names.
        OfflineError: The data set is on the hub and the hub cannot be reached.

    Example:
        >>> import tempfile
        >>> path = Path(tempfile.mkdtemp()) / "two.csv"
        >>> _ = path.write_text("name,sequence,label\na,ACGT,peak\nb,TTN,background\n")
        >>> sequences = read_sequences(path)
        >>> sequences.labels.tolist(), sequences.classes
        ([1, 0], ('background', 'peak'))
    """
    columns: dict[str, Any] = {
        "sequence_column": sequence_column,
        "label_column": label_column,
        "name_column": name_column,
    }
    text_options: dict[str, Any] = {"case": case, "rename": rename, "classes": classes}
    row_options: dict[str, Any] = {**text_options, "coordinates": coordinates}
    local = Path(path)
    if width is not None and width < 1:
        raise ConfigError(f"width: expected at least 1 nt, got {width}.")
    if not os.path.exists(local) and (region := as_region(str(path))) is not None:
        if width is not None:
            raise FormatError(f"{path}: width was given, but a region has its own.")
        return region_sequences(str(path), region, _genome(genome, path))
    if not os.path.exists(local) and local != STDIN and is_hub_name(str(path)):
        local = hub_folder(str(path))
    if os.path.isdir(local):
        _refuse_genome(genome, width, path)
        if (texts := text_folder(local, NOT_TEXT)) is not None:
            if arguments := [argument for argument, column in columns.items() if column is not None]:
                raise FormatError(f"{path}: {arguments[0]} was given, but text files have no columns.")
            return read_text_folder(texts, split, **text_options)
        return _of_table(partial(read_folder, local, split), str(path), columns | row_options)
    if split is not None:
        raise FormatError(f"{path}: split={split!r} was asked for, but a single file has no splits.")
    _refuse_missing(local)
    kind = suffix_of(local, (*READABLE, *BED))
    if kind in BED:
        if arguments := [argument for argument, column in columns.items() if column is not None]:
            raise FormatError(f"{path}: {arguments[0]} was given, but the columns of BED have their places.")
        summits = kind in NARROW_PEAK
        return bed_sequences(local, _genome(genome, path), summits=summits, width=width, rename=rename)
    if kind in (*FASTA, *FASTQ):
        if arguments := [argument for argument, column in columns.items() if column is not None]:
            raise FormatError(f"{path}: {arguments[0]} was given, but FASTA and FASTQ have no columns.")
        _refuse_genome(genome, width, path)
        sequences = read_fasta(local, **row_options) if kind in FASTA else read_fastq(local, case, rename=rename)
        return_memory()
        return sequences
    if genome is not None:
        table, where = read_table(local)
        columns.pop("sequence_column")
        intervals = table_intervals(table, where, str(path), **columns, classes=classes)
        return table_windows(intervals, where, str(path), Path(genome), width, rename)
    _refuse_genome(genome, width, path)
    return _of_table(partial(read_table, local), str(path), columns | row_options)


def count_intervals(path: str | Path) -> int:
    r"""Count the intervals of a file, also those that no genome has.

    Args:
        path: BED, narrowPeak, or a table with a row per interval.

    Example:
        >>> import tempfile
        >>> path = Path(tempfile.mkdtemp()) / "mine.bed"
        >>> _ = path.write_text("chr1 10 20\nchr1 30 40\n".replace(" ", "\t"))
        >>> count_intervals(path)
        2
    """
    kind = suffix_of(Path(path), (*READABLE, *BED))
    return len(read_bed(Path(path), kind in NARROW_PEAK).loci) if kind in BED else read_table(Path(path))[0].num_rows


def _of_table(read: Callable[[], tuple[pa.Table, Where]], source: str, options: Mapping[str, Any]) -> Sequences:
    """Make sequences from a table, and forget the table."""
    table, where = read()
    sequences = table_sequences(table, where, source, **options)
    del table
    return_memory()
    return sequences


def _genome(genome: str | Path | None, path: str | Path) -> Path:
    if genome is None:
        raise FormatError(
            f"{path}: intervals have no letters; give the genome they are of: --genome hg38.fa (genome=)."
        )
    return Path(genome)


def _refuse_genome(genome: str | Path | None, width: int | None, path: str | Path) -> None:
    """Refuse what is for intervals, where letters are read."""
    if genome is not None or width is not None:
        what = "a genome" if genome is not None else "a width"
        raise FormatError(
            f"{path}: {what} was given, only for intervals: BED, narrowPeak, a table of chrom, start and end, "
            f"a region chr20:1-2000. Leave it out."
        )


def splits_of(path: str | Path) -> dict[str, str]:
    """Find the splits of a data-set folder by what they are for; a file has none.

    Returns:
        Names of splits by role: ``train``, ``validation``, ``test``, where there are such.

    Raises:
        FormatError: A folder without a data set.
    """
    folder = Path(path)
    if not folder.is_dir():
        return {}
    texts = text_folder(folder, NOT_TEXT)
    names = folder_splits(folder) if texts is None else tuple(texts.files)
    return {role: name for name in names if (role := SPLIT_NAMES.get(name.lower())) is not None}


def read_table(path: Path) -> tuple[pa.Table, Where]:
    """Read a table of any format, and say where its rows stand.

    Raises:
        FormatError: It cannot be read as what its suffix says, or that is not of a table.
    """
    _refuse_missing(path)
    return _TABLE_READERS[suffix_of(path, TABLES)](path)


_INTERVAL = re.compile(
    rb"(?:(?:#|track|browser)[^\n]*\n)*\S+\t\d+\t\d+(?:[ \t]*\r?\n|$|\t[^\t\n]*\t[^\t\n]*\t[+.-](\t[\d.eE+-]+){4}\s|\t)"
)
"""How BED begins, with or without headers; a group is found in narrowPeak's ten columns."""


def write_sequences(sequences: Sequences, path: str | Path) -> None:
    """Write sequences so that :func:`read_sequences` reads them back alike: names, labels and loci included.

    Args:
        sequences: What to write.
        path: Its suffix says how: FASTA, CSV or TSV (with ``.gz`` and so on: compressed), or Parquet.

    Raises:
        FormatError: Another suffix; or a name or locus that the format cannot hold, as FASTA no white space.
        DiskFull: No space left; the old file at ``path`` is unchanged.

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     write_sequences(Sequences.from_strings(["ACGT"], labels=[1], names=["a"]), f"{folder}/one.fa")
        ...     print(Path(f"{folder}/one.fa").read_text())
        >a label=1
        ACGT
    """
    path = Path(path)
    kind = suffix_of(path, (*FASTA, *CSV, *TSV, *PARQUET))
    _check_writable(sequences, path, kind)
    with atomic_write(path) as temporary:
        if kind in FASTA:
            write_fasta(sequences, temporary)
        else:
            _write_table(_table(sequences, dictionary=kind in PARQUET), temporary, kind)


def _check_writable(sequences: Sequences, path: Path, kind: str) -> None:
    """Refuse what would not be read back as it is."""
    for name in sequences.names:
        _check_text("name", name, path, kind)
    for name in sequences.classes or ():
        _check_text("class", name, path, kind)
    for name in sequences.outputs or ():
        _check_text("label's name", name, path, kind)
        if kind in FASTA or name.strip().lower() in _OWN_COLUMNS:
            what = "FASTA has one label a sequence; write CSV or Parquet" if kind in FASTA else "rename it"
            raise FormatError(f"{path}: the label {short(name)} has no column of its own: {what}.")
    for name, locus in zip(sequences.names, sequences.loci or (), strict=False):
        if locus is None:
            continue
        _check_text("chromosome", locus.chrom, path, kind)
        if parse_locus(locus, f"{path}: {short(name)}") != locus:
            raise FormatError(f"{path}: {short(name)}: {locus} would not be read back as it is. Correct it.")


def _check_text(what: str, text: str, path: Path, kind: str) -> None:
    if kind in FASTA and text.split() != [text]:
        raise FormatError(
            f"{path}: the {what} {short(text)} has white space, which ends a word in FASTA. Write CSV or Parquet."
        )
    if not text or (kind not in PARQUET and "\0" in text) or (not text.isascii() and text != _utf8(text)):
        raise FormatError(f"{path}: the {what} {short(text)} cannot be written as text. Rename it.")


_OWN_COLUMNS = ("name", "sequence", "chrom", "start", "end", "strand")


def _utf8(text: str) -> str:
    """Write and read text; lone surrogates do not come back."""
    return text.encode("utf-8", "replace").decode()


def _refuse_missing(path: Path) -> None:
    """Refuse a path that does not exist before its suffix is asked for."""
    with suppress(OSError):  # what the system says of other paths is said where they are read
        if path != STDIN and not path.exists():
            raise FormatError(f"{path}: no such file.")


def suffix_of(path: Path, suffixes: Sequence[str] = READABLE) -> str:
    """Return the suffix of a file's format, in lower case; of standard input, the one it would have.

    Raises:
        FormatError: It is not one of the known ones.

    Example:
        >>> suffix_of(Path("a/x.CSV.zst"))
        '.csv'
    """
    suffix = sniff(read_bytes(path)) if path == STDIN else Path(unpacked_name(path)).suffix.lower()
    if suffix not in suffixes:
        raise FormatError(
            f"{path}: the suffix {suffix!r} is not known; expected {', '.join(suffixes)}, plain or with "
            f"{', '.join(PACKED)} after it."
        )
    return suffix


def sniff(data: bytes) -> str:
    r"""Tell by how a file begins what suffix it would have.

    Example:
        >>> sniff(b">a"), sniff(b"@r1"), sniff(b"name,sequence"), sniff(b'{"seq": '), sniff(b"chr1\t5\t9")
        ('.fa', '.fq', '.csv', '.jsonl', '.bed')
    """
    if data.startswith(b"PAR1"):
        return ".parquet"
    if (interval := _INTERVAL.match(data)) is not None:
        return NARROW_PEAK[0] if interval[1] else BED[0]
    start = data.removeprefix(b"\xef\xbb\xbf").lstrip()[:1]
    return {b">": ".fa", b"@": ".fq", b"{": ".jsonl", b"[": ".json"}.get(start, ".csv")


def _table(sequences: Sequences, dictionary: bool) -> pa.Table:
    """Make a table; a column that is a dictionary keeps the order of named classes, text only their names."""
    import pyarrow as pa

    columns: dict[str, pa.Array] = {"name": pa.array(sequences.names), "sequence": pa.array(sequences.strings())}
    if sequences.labels is not None:
        # 'value' keeps whole numbers that are values from being read as classes.
        labels = pa.array(sequences.labels) if sequences.outputs is None else None
        if sequences.classes is not None and (dictionary or not any(map(is_number, sequences.classes))):
            ordered = any(map(is_number, sequences.classes))  # so that numbers are read back as names, in this order
            labels = pa.DictionaryArray.from_arrays(labels, pa.array(sequences.classes, pa.string()), ordered=ordered)
            labels = labels if dictionary else labels.dictionary_decode()
        if labels is None:
            columns |= {name: pa.array(sequences.labels[:, j]) for j, name in enumerate(sequences.outputs or ())}
        else:
            columns["value" if sequences.labels.dtype.kind == "f" else "label"] = labels
    if sequences.loci is not None:
        for j, field in enumerate(("chrom", "start", "end", "strand")):
            columns[field] = pa.array([None if locus is None else locus[j] for locus in sequences.loci])
    return pa.table(columns)


def _write_table(table: pa.Table, path: Path, kind: str) -> None:
    import pyarrow as pa
    import pyarrow.csv
    import pyarrow.parquet

    if kind in PARQUET:
        pa.parquet.write_table(table, path, compression="zstd")
        return
    options = pa.csv.WriteOptions(delimiter="," if kind in CSV else "\t", quoting_style="needed")
    with open_to_write(path) as file:
        pa.csv.write_csv(table, file, options)


SequencesLike: TypeAlias = Union[
    Sequences, Sequence[str], NDArray[Any], Mapping[str, str], "pd.Series[Any]", "pd.DataFrame", str, os.PathLike[str]
]
"""The types that `as_sequences` takes."""
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
        names = None if isinstance(source, pandas.Index) else names_of_index(source.index)
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


def names_of_index(index: Any) -> list[Any] | None:
    """Take names from an index of pandas: its strings, or its numbers where rows were left out or moved."""
    labels = index.tolist()
    if labels == list(range(len(labels))):
        return None
    return [f"seq{label}" if isinstance(label, int) else label for label in labels]


def _from_frame(frame: pd.DataFrame) -> Sequences:
    import pyarrow as pa

    twice = [name for name in frame.columns if (frame.columns == name).sum() > 1]
    if twice:
        raise FormatError(f"DataFrame: several columns are named {short(twice[0])}. Rename all but one.")
    if unnamed := [name for name in frame.columns if not isinstance(name, str)]:
        raise FormatError(f"DataFrame: expected strings as names of columns, got {short(unnamed[0])}.")
    try:
        table = pa.Table.from_pandas(frame, preserve_index=False)
    except (pa.ArrowException, TypeError, ValueError) as error:
        raise FormatError(f"DataFrame: a column has values of several types: {first_line(error)}.") from None
    names = names_of_index(frame.index)
    if names is not None and all(isinstance(name, str) for name in names) and not _has_names(table.column_names):
        table = table.append_column("name", pa.array(names, pa.string()))
    return table_sequences(table, lambda row: f"DataFrame, row {row}", "DataFrame", case="exact")


def _has_names(columns: Iterable[str]) -> bool:
    return any(column.strip().lower().replace(" ", "_") in NAME_COLUMNS for column in columns)
