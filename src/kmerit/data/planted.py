"""Planted data sets: made whole, written to a folder, and read back."""

from __future__ import annotations

import json
from collections.abc import Mapping
from importlib.metadata import version
from pathlib import Path
from typing import Any, overload

import numpy as np

from kmerit.data.backgrounds import read_backgrounds, source_digest
from kmerit.data.motifs import Motif, bundled_motifs, find_motif, read_motifs
from kmerit.data.planting import Placement, Planted, Planting, plant_split
from kmerit.data.readers import read_sequences, write_sequences
from kmerit.data.registry import SPLITS
from kmerit.data.tables import read_parquet
from kmerit.errors import FormatError, RunMismatch
from kmerit.store import (
    altered,
    atomic_write,
    hold,
    put_together,
    refuse_other,
    replaceable,
    settle,
    sha256,
    staged,
    sums,
    write_json,
)
from kmerit.types import Floats, Int8, decode, encode

MANIFEST = "manifest.json"
_FILES = tuple(f"{split}{kind}.parquet" for split in SPLITS for kind in ("", ".truth"))
_TRUTH = ("name", "label", "mask", "log_odds", "background", "scrubbed", "motifs")


@overload
def plant(planting: Planting, *, out: None = None) -> dict[str, Planted]: ...


@overload
def plant(planting: Planting, *, out: str | Path) -> Path: ...


def plant(planting: Planting, *, out: str | Path | None = None) -> dict[str, Planted] | Path:
    """Make labelled sequences of which it is known what makes the label.

    Args:
        planting: What determines them; equal plantings give equal bytes.
        out: A folder to write to: ``train.parquet``, ``validation.parquet``, ``test.parquet`` (sequences and labels),
            ``train.truth.parquet`` and so on, and ``manifest.json``, which comes last.

    Returns:
        By split, or with ``out`` the folder.

    Raises:
        UnknownName: A motif that is not in the file.
        SequenceError: Motifs that do not fit, or that occur by chance everywhere.
        FormatError: A file that cannot be read, or a file in the folder that was changed.
        RunMismatch: The folder holds another planted set.

    Example:
        >>> import kmerit as km
        >>> planted = km.plant(km.Planting(regime="localised", motifs=("CTCF",), train=2, validation=2, test=2))
        >>> planted["test"].sequences.labels.tolist(), planted["test"].mask.sum(axis=1).tolist()
        ([0, 1], [0, 15])
    """
    available = read_motifs(planting.meme) if planting.motifs else {}
    motifs = {name: find_motif(available, name) for name in planting.motifs}
    manifest = _manifest(planting, motifs)
    if out is None:
        return _planted(planting, motifs)
    with hold(out):
        return _write(planting, motifs, manifest, Path(out))


def _planted(planting: Planting, motifs: Mapping[str, Motif]) -> dict[str, Planted]:
    backgrounds = read_backgrounds(planting.source, planting.length, planting.background == "shuffled")
    rows = {split: getattr(planting, split) for split in SPLITS}
    return {split: plant_split(planting, split, rows[split], backgrounds[split], motifs) for split in SPLITS}


def _write(planting: Planting, motifs: Mapping[str, Motif], manifest: dict[str, Any], folder: Path) -> Path:
    """Write the files, all at once, unless they are there."""
    old_sums = _sums(folder, manifest)
    mine = lambda name: name in _FILES  # noqa: E731 - what a planted set is made of
    if replaceable(folder, "planted set", mine, old_sums) == sorted(_FILES):
        settle(folder / MANIFEST, {**manifest, "files": old_sums})
        return folder
    with staged(folder, lambda name: name in (*_FILES, MANIFEST)) as place:
        for split, part in _planted(planting, motifs).items():
            write_sequences(part.sequences, place / f"{split}.parquet")
            _write_truth(part, place / f"{split}.truth.parquet")
        files = sums(place, _FILES)
        write_json(place / MANIFEST, {**manifest, "files": files})
        put_together(place, folder, [*replaceable(folder, "planted set", mine, old_sums, files), MANIFEST], MANIFEST)
    return folder


def _manifest(planting: Planting, motifs: Mapping[str, Motif]) -> dict[str, Any]:
    return {
        "planting": planting.model_dump(mode="json"),
        "motifs": [{"identifier": m.identifier, "name": m.name, "nt": len(m)} for m in motifs.values()],
        "meme_sha256": sha256(Path(planting.meme or bundled_motifs())) if motifs else None,
        "source": source_digest(planting.source),
        "versions": {name: version(name) for name in ("kmerit", "numpy")},
    }


def _sums(folder: Path, manifest: dict[str, Any] | None = None) -> dict[str, str]:
    """Read the sums of the files that are there; refuse those of another planting than that of ``manifest``."""
    path = folder / MANIFEST
    if not path.is_file():
        return {}
    try:
        record = json.loads(path.read_text(encoding="utf-8"))
        files = dict(record.pop("files"))
    except (ValueError, TypeError, KeyError, AttributeError):
        raise RunMismatch(f"{path} is not of a planted set, or damaged. Choose another folder (--out).") from None
    if manifest is not None:
        refuse_other(folder, "another planted set", record, json.loads(json.dumps(manifest)))
    return files


def _write_truth(part: Planted, path: Path) -> None:
    import pyarrow as pa
    import pyarrow.parquet

    table = pa.table(
        {
            "name": pa.array(part.sequences.names),
            "label": pa.array(part.sequences.labels),
            "mask": pa.array(part.mask.tolist(), pa.list_(pa.bool_())),
            "log_odds": pa.array(
                [None] * len(part.mask) if part.log_odds is None else part.log_odds.tolist(), pa.list_(pa.float64())
            ),
            "background": pa.array([decode(bases) for bases in part.background]),
            "scrubbed": pa.array([decode(bases) for bases in part.scrubbed]),
            "motifs": pa.array(
                [[placement._asdict() for placement in placements] for placements in part.placements],
                pa.list_(pa.struct({"motif": pa.string(), "start": pa.int32(), "strand": pa.string()})),
            ),
        }
    )
    with atomic_write(path) as temporary:
        pa.parquet.write_table(table, temporary, compression="zstd")


def read_planted(folder: str | Path, split: str) -> Planted:
    """Read a split, and its truth, of what :func:`plant` wrote.

    Raises:
        FormatError: A file is missing or is not one of a planted set.

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     path = plant(Planting(regime="composition", train=2, validation=2, test=4), out=folder)
        ...     read_planted(path, "test").log_odds.shape
        (4, 100)
    """
    folder = Path(folder)
    sums = {name: digest for name, digest in _sums(folder).items() if name.split(".")[0] == split}
    if changed := altered(folder, sums):
        raise FormatError(f"{folder / changed[0]}: changed since it was planted, or missing. Plant again.")
    sequences = read_sequences(folder / f"{split}.parquet")
    path = folder / f"{split}.truth.parquet"
    table, _ = read_parquet(path)
    if missing := [column for column in _TRUTH if column not in table.column_names]:
        raise FormatError(f"{path}: no truth of a planted set; it has no column {missing[0]!r}. Plant again.")
    if tuple(table["name"].to_pylist()) != sequences.names:
        raise FormatError(f"{path}: its names are not those of {split}.parquet. Plant again.")
    log_odds = table["log_odds"]
    return Planted(
        sequences,
        np.array(table["mask"].to_pylist(), dtype=np.bool_),
        None if log_odds.null_count else _floats(log_odds.to_pylist()),
        _bases(table["background"].to_pylist()),
        _bases(table["scrubbed"].to_pylist()),
        tuple(tuple(Placement(**each) for each in placed) for placed in table["motifs"].to_pylist()),
    )


def _floats(rows: list[list[float]]) -> Floats:
    return np.array(rows, dtype=np.float64)


def _bases(rows: list[str]) -> Int8:
    return np.stack([encode(row) for row in rows])
