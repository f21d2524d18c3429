"""Mutagenesis curves as Arrow tables and on disk: ``mutants.parquet``, ``cells.parquet``, ``curve.json``."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from kmerit.errors import FormatError
from kmerit.store import altered, atomic_write, hold, read_record, sums, write_record
from kmerit.types import MutagenesisCurve

if TYPE_CHECKING:
    import pyarrow as pa

MUTANTS, CELLS, ABOUT = "mutants.parquet", "cells.parquet", "curve.json"
FORMAT = 2


def write_curve(curve: MutagenesisCurve, folder: str | Path) -> Path:
    """Write a curve to a folder, each file atomically and ``curve.json`` last.

    Returns:
        The folder.

    Example:
        >>> import tempfile
        >>> import kmerit as km
        >>> model = km.load_model("bundled:promoter")
        >>> sequences = km.Sequences.from_strings(["TATAAAGGCGCGCC"])
        >>> curve = km.mutate(model, sequences, km.attribute(model, sequences, ["lrp"]), counts=[0, 2], replicates=1)
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     sorted(path.name for path in write_curve(curve, folder).iterdir())
        ['cells.parquet', 'curve.json', 'mutants.parquet']
    """
    import pyarrow.parquet as pq

    folder = Path(folder)
    with hold(folder):
        for name, table in ((MUTANTS, curve.mutants), (CELLS, curve.cells)):
            with atomic_write(folder / name) as temporary:
                pq.write_table(table, temporary, compression="zstd")
        write_about(folder, curve.names, curve.labels, curve.lengths, curve.settings)
    return folder


def write_about(folder: Path, names: Any, labels: Any, lengths: Any, settings: Mapping[str, Any]) -> None:
    """Write what the tables, which are there, do not hold; and their sums."""
    about = {
        "format": FORMAT,
        "settings": dict(settings),
        "names": list(names),
        "labels": None if labels is None else labels.tolist(),
        "lengths": lengths.tolist(),
        "files": sums(folder, (MUTANTS, CELLS)),
    }
    write_record(folder / ABOUT, about)


def read_curve(folder: str | Path) -> MutagenesisCurve:
    """Read a curve from its folder.

    Raises:
        FormatError: A file is missing, damaged, or of a newer version.

    Example:
        >>> import tempfile
        >>> import kmerit as km
        >>> model = km.load_model("bundled:promoter")
        >>> sequences = km.Sequences.from_strings(["TATAAAGGCGCGCC"])
        >>> scores = km.attribute(model, sequences, ["lrp"])
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     path = km.mutate(model, sequences, scores, counts=[0, 2], replicates=1, out=folder)
        ...     read_curve(path).names
        ('seq0',)
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    folder = Path(folder)
    about = read_about(folder)
    if about is None:
        raise FormatError(f"{folder}: expected a finished curve, but {ABOUT} is missing. Run mutate to its end.")
    if damaged := altered(folder, about["files"]):
        raise FormatError(
            f"{folder / damaged[0]}: missing, or changed since it was written. Give the same mutate again: it is made "
            f"again."
        )
    try:
        mutants, cells = pq.read_table(folder / MUTANTS), pq.read_table(folder / CELLS)
        return MutagenesisCurve(
            mutants,
            cells,
            tuple(about["names"]),
            None if about["labels"] is None else np.array(about["labels"], dtype=np.int64),
            np.array(about["lengths"], dtype=np.int64),
            about["settings"],
        )
    except (KeyError, ValueError, OSError, pa.ArrowException) as error:
        raise FormatError(f"{folder}: not a readable mutagenesis curve ({error}).") from None


def read_about(folder: Path) -> dict[str, Any] | None:
    """Read ``curve.json``; None if there is none, that is, if the curve is not finished.

    Raises:
        FormatError: It is damaged, or of a newer version.
    """
    if not (folder / ABOUT).exists():
        return None
    try:
        found = json.loads((folder / ABOUT).read_text(encoding="utf-8"))["format"]
    except (ValueError, KeyError, TypeError):
        found = FORMAT
    if isinstance(found, int) and found > FORMAT:
        raise FormatError(f"{folder / ABOUT}: format {found}, but this kmerit reads {FORMAT}. Update kmerit.")
    about = read_record(folder / ABOUT)
    if about is None or found != FORMAT:
        raise FormatError(
            f"{folder / ABOUT}: damaged, or of an older kmerit. Run mutate again, into another folder (--out)."
        )
    return about


def named(codes: Any, names: tuple[str, ...]) -> pa.DictionaryArray:
    """Encode a column of names as a dictionary, the same for every chunk."""
    import pyarrow as pa

    return pa.DictionaryArray.from_arrays(pa.array(codes, pa.int32()), pa.array(names, pa.string()))


def logits_column(logits: Any) -> pa.FixedSizeListArray:
    """Store logits ``[mutant, class]`` as lists of one size."""
    import pyarrow as pa

    return pa.FixedSizeListArray.from_arrays(pa.array(logits.ravel()), logits.shape[1])
