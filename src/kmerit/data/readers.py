"""Read sequences of every supported format; write them."""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from kmerit.data.bed import BED, NARROW_PEAK, as_region, bed_sequences, region_sequences, table_windows
from kmerit.data.fasta import read_fasta, write_fasta
from kmerit.data.fastq import read_fastq
from kmerit.data.files import PACKED, STDIN, open_to_write, read_bytes, unpacked_name
from kmerit.data.hub import folder_splits, hub_folder, is_hub_name, read_folder
from kmerit.data.labels import is_number
from kmerit.data.letters import Case, Where
from kmerit.data.loci import parse_locus
from kmerit.data.tables import read_csv, read_json, read_parquet, table_intervals, table_sequences
from kmerit.data.text_folders import SPLIT_NAMES, read_text_folder, text_folder
from kmerit.errors import ConfigError, FormatError, short
from kmerit.store import atomic_write
from kmerit.types import Sequences

if TYPE_CHECKING:
    import pyarrow as pa

FASTA = (".fa", ".fasta", ".fna", ".ffn", ".fas")
FASTQ = (".fq", ".fastq")
CSV = (".csv",)
TSV = (".tsv", ".tab")
JSON = (".json",)
JSON_LINES = (".jsonl", ".ndjson")
PARQUET = (".parquet", ".pq")
TABLES = (*CSV, *TSV, *JSON, *JSON_LINES, *PARQUET)
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
        path: A file of FASTA, FASTQ, CSV, TSV, JSON, JSON lines or Parquet (told apart by suffix; plain, or compressed
            by gzip, bzip2, xz or zstandard); ``-`` for standard input (told by how it begins); a Hugging Face data-set
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
        coordinates: Whether coordinates that stand next to letters are read, as the loci of the sequences.

    Raises:
        FormatError: The file cannot be read as what its suffix says, a column cannot be told, or a locus is not as long
            as its letters.
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
    how: dict[str, Any] = {"case": case, "rename": rename, "classes": classes}
    placed: dict[str, Any] = {**how, "coordinates": coordinates}
    local = Path(path)
    if width is not None and width < 1:
        raise ConfigError(f"width: expected at least 1 nt, got {width}.")
    if not os.path.exists(local) and (region := as_region(str(path))) is not None:
        if width is not None:
            raise FormatError(f"{path}: width was given, but a region says its own.")
        return region_sequences(str(path), region, _genome(genome, path))
    if not os.path.exists(local) and local != STDIN and is_hub_name(str(path)):
        local = hub_folder(str(path))
    if os.path.isdir(local):
        _refuse_genome(genome, width, path)
        if (texts := text_folder(local, NOT_TEXT)) is not None:
            if arguments := [argument for argument, column in columns.items() if column is not None]:
                raise FormatError(f"{path}: {arguments[0]} was given, but text files have no columns.")
            return read_text_folder(texts, split, **how)
        table, where = read_folder(local, split)
        return table_sequences(table, where, str(path), **columns, **placed)
    if split is not None:
        raise FormatError(f"{path}: split={split!r} was asked for, but a single file has no splits.")
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
        return read_fasta(local, **placed) if kind in FASTA else read_fastq(local, case, rename=rename)
    table, where = read_table(local)
    if genome is not None:
        columns.pop("sequence_column")
        intervals = table_intervals(table, where, str(path), **columns, classes=classes)
        return table_windows(intervals, where, str(path), Path(genome), width, rename)
    _refuse_genome(genome, width, path)
    return table_sequences(table, where, str(path), **columns, **placed)


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
        FormatError: It cannot be read as what its suffix says.
    """
    kind = suffix_of(path)
    if kind in PARQUET:
        return read_parquet(path)
    if kind in (*JSON, *JSON_LINES):
        return read_json(path, lines=kind in JSON_LINES)
    return read_csv(path, "," if kind in CSV else "\t")


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


def suffix_of(path: Path, suffixes: Sequence[str] = READABLE) -> str:
    """Return the suffix of a file's format, in lower case; of standard input, the one it would have.

    Raises:
        FormatError: It is none of the known ones.

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
            labels = pa.DictionaryArray.from_arrays(labels, pa.array(sequences.classes, pa.string()))
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
