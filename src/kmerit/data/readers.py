"""Read sequences, whatever they come in; write them back."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from kmerit.data.fasta import read_fasta, write_fasta
from kmerit.data.files import atomic_write, open_to_write
from kmerit.data.hub import hub_folder, is_hub_name, read_folder
from kmerit.data.letters import Case, Where
from kmerit.data.loci import parse_locus
from kmerit.data.tables import read_csv, read_parquet, table_sequences
from kmerit.errors import FormatError, short
from kmerit.types import Sequences

if TYPE_CHECKING:
    import pyarrow as pa

FASTA = (".fa", ".fasta", ".fna", ".ffn", ".fas")
CSV = (".csv",)
TSV = (".tsv", ".tab")
PARQUET = (".parquet", ".pq")


def read_sequences(
    path: str | Path,
    *,
    sequence_column: str | None = None,
    label_column: str | None = None,
    name_column: str | None = None,
    split: str | None = None,
    case: Case = "exact",
) -> Sequences:
    r"""Read sequences, with labels and loci where there are any.

    Nothing is changed on the way: letters other than ACGTN are refused, lower case too unless ``case`` allows it.

    Args:
        path: A FASTA, CSV, TSV or Parquet file (told apart by suffix, plain or gzipped), a Hugging Face data-set
            folder, or a data set's name on the hub (``owner/name``).
        sequence_column: Column of the letters; by default the only one of ``sequence, seq, dna, dna_sequence, text``.
        label_column: Column of the labels; by default the only one of ``label, labels, y, target, class, value``.
            Whole numbers are classes, other numbers (and everything in ``value``) values to regress on.
        name_column: Column of the names; by default the only one of ``name, id, seq_id, sequence_id``,
            else the sequences are called ``seq0``, ``seq1``, ...
        split: Which part of a data-set folder or of a data set on the hub; needed if it has several.
        case: ``"exact"``, or ``"upper"`` to accept soft-masked (lower-case) letters.

    Raises:
        FormatError: The file cannot be read as what its suffix says, or a column cannot be told.
        SequenceError: Other letters, an empty sequence, a name missing or twice; with file and line.
        LabelError: Labels that are missing, ambiguous or no numbers.
        OfflineError: The data set is on the hub and the hub cannot be reached.

    Example:
        >>> import tempfile
        >>> path = Path(tempfile.mkdtemp()) / "two.csv"
        >>> _ = path.write_text("name,sequence,label\na,ACGT,1\nb,TTN,0\n")
        >>> read_sequences(path).labels.tolist()
        [1, 0]
    """
    columns = {"sequence_column": sequence_column, "label_column": label_column, "name_column": name_column}
    local = Path(path)
    if not local.exists() and is_hub_name(str(path)):
        local = hub_folder(str(path))
    if local.is_dir():
        table, where = read_folder(local, split)
        return table_sequences(table, where, str(path), **columns, case=case)
    if split is not None:
        raise FormatError(f"{path}: split={split!r} was asked for, but a single file has no splits.")
    kind = _suffix(local)
    if kind in FASTA:
        if named := [argument for argument, column in columns.items() if column is not None]:
            raise FormatError(f"{path}: {named[0]} was given, but FASTA has no columns.")
        return read_fasta(local, case)
    table, where = _read_table(local, kind)
    return table_sequences(table, where, str(path), **columns, case=case)


def write_sequences(sequences: Sequences, path: str | Path) -> None:
    """Write sequences so that :func:`read_sequences` reads them back alike: names, labels and loci included.

    Args:
        sequences: What to write.
        path: Its suffix says how: FASTA or CSV (with ``.gz``: gzipped), TSV, or Parquet.

    Raises:
        FormatError: Another suffix; or a name or locus that the format cannot hold, as FASTA no white space.
        DiskFull: No space left; whatever was at ``path`` is still there.

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     write_sequences(Sequences.from_strings(["ACGT"], labels=[1], names=["a"]), f"{folder}/one.fa")
        ...     print(Path(f"{folder}/one.fa").read_text())
        >a label=1
        ACGT
    """
    path = Path(path)
    kind = _suffix(path)
    _check_writable(sequences, path, kind)
    with atomic_write(path) as temporary:
        if kind in FASTA:
            write_fasta(sequences, temporary)
        else:
            _write_table(_table(sequences), temporary, kind)


def _check_writable(sequences: Sequences, path: Path, kind: str) -> None:
    """Refuse what would not be read back as it is."""
    for name in sequences.names:
        _check_text("name", name, path, kind)
    for name, locus in zip(sequences.names, sequences.loci or (), strict=False):
        if locus is None:
            continue
        _check_text("chromosome", locus.chrom, path, kind)
        if parse_locus(locus, f"{path}: {short(name)}") != locus:
            raise FormatError(f"{path}: {short(name)}: {locus} would not be read back as it is. Correct it.")


def _check_text(what: str, text: str, path: Path, kind: str) -> None:
    if kind in FASTA and text.split() != [text]:
        raise FormatError(
            f"{path}: the {what} {short(text)} has white space, where FASTA ends a word. Write CSV or Parquet."
        )
    if not text or (kind not in PARQUET and "\0" in text) or (not text.isascii() and text != _utf8(text)):
        raise FormatError(f"{path}: the {what} {short(text)} cannot be written as text. Rename it.")


def _utf8(text: str) -> str:
    """Write and read text; lone surrogates do not come back."""
    return text.encode("utf-8", "replace").decode()


def _suffix(path: Path) -> str:
    suffix = Path(path.name.removesuffix(".gz")).suffix.lower()
    if suffix not in (known := (*FASTA, *CSV, *TSV, *PARQUET)):
        raise FormatError(
            f"{path}: the suffix {suffix!r} is not known; expected {', '.join(known)}, with or without .gz."
        )
    return suffix


def _read_table(path: Path, kind: str) -> tuple[pa.Table, Where]:
    if kind in PARQUET:
        return read_parquet(path)
    return read_csv(path, "," if kind in CSV else "\t")


def _table(sequences: Sequences) -> pa.Table:
    import pyarrow as pa

    columns: dict[str, pa.Array] = {"name": pa.array(sequences.names), "sequence": pa.array(sequences.strings())}
    if sequences.labels is not None:
        # 'value' keeps whole numbers that are values from being read as classes.
        columns["value" if sequences.labels.dtype.kind == "f" else "label"] = pa.array(sequences.labels)
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
