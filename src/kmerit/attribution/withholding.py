"""Scores that do not add up are withheld: NaN in their place, and the reason with them."""

from __future__ import annotations

import json
import os
import warnings
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from kmerit.errors import WithheldWarning
from kmerit.types import Attribution, Float


def reason_to_withhold(delta: Float, tolerance: float | None) -> str | None:
    """Say why scores cannot be trusted, or None.

    Args:
        delta: ``[sequence]``, by how much the scores' sum misses what it should be, as a share of that.
        tolerance: The greatest median of it that is allowed; None: any.

    Example:
        >>> reason_to_withhold(np.array([0.0, 0.2, 0.4]), 0.01)
        'median delta 20 % over 3 sequences, above 1 %'
        >>> reason_to_withhold(np.array([0.0, 0.002, 0.4]), 0.01)
    """
    median = float(np.median(delta)) if delta.size else 0.0
    if tolerance is None or median <= tolerance:  # a median that is no number is not below it
        return None
    return f"median delta {100 * median:.3g} % over {delta.size} sequences, above {100 * tolerance:.3g} %"


def withhold(attribution: Attribution, tolerance: float | None) -> Attribution:
    """Replace scores that do not add up by NaN, warn, and note why under ``withheld`` in the settings."""
    reason = reason_to_withhold(attribution.diagnostics["delta"], tolerance)
    if reason is None:
        return attribution
    _warn(attribution.method, reason)
    return replace(
        attribution,
        scores=np.full_like(attribution.scores, np.nan),
        substitutions=None,
        settings={**attribution.settings, "withheld": reason},
    )


def withhold_in_file(path: Path, reasons: Mapping[str, str]) -> None:
    """Do the same to methods in a file of attributions, row group by row group.

    Args:
        path: Is written anew.
        reasons: By the name of the method.
    """
    file = pq.ParquetFile(path)
    settings = json.loads(file.schema_arrow.metadata[b"kmerit"])
    for method, reason in reasons.items():
        _warn(method, reason)
        settings[method]["withheld"] = reason
    schema = file.schema_arrow.with_metadata({"kmerit": json.dumps(settings, sort_keys=True)})
    second = path.with_name(f"{path.name}.second")
    try:
        with pq.ParquetWriter(second, schema, compression="zstd") as writer:
            for group in range(file.num_row_groups):
                writer.write_table(_without(file.read_row_group(group), list(reasons)).cast(schema))
        os.replace(second, path)
    finally:
        file.close()
        second.unlink(missing_ok=True)


def _without(table: pa.Table, methods: list[str]) -> pa.Table:
    """Put NaN in place of the scores of some methods, and null in place of their substitutions."""
    gone = pc.is_in(table["method"].cast(pa.string()), pa.array(methods)).combine_chunks()
    lists = table["scores"].combine_chunks()
    flat = lists.flatten().to_numpy(zero_copy_only=False).copy()
    flat[np.repeat(gone.to_numpy(zero_copy_only=False), lists.value_lengths().to_numpy())] = np.nan
    scores = pa.ListArray.from_arrays(lists.offsets, pa.array(flat))
    effects = pc.if_else(gone, pa.scalar(None, table["substitutions"].type), table["substitutions"].combine_chunks())
    for name, column in (("scores", scores), ("substitutions", effects)):
        table = table.set_column(table.column_names.index(name), name, column)
    return table


def _warn(method: str, reason: str) -> None:
    warnings.warn(f"{method} is withheld: {reason}. Its scores are NaN.", WithheldWarning, stacklevel=3)
