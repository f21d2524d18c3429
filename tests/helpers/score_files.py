"""Files of scores, to be written in another way."""

from __future__ import annotations

from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq


def without_sum(source: Any) -> pa.Table:
    """Read a file of scores; what is written of it is none whose sum must fit."""
    table = pq.read_table(source)
    kept = {key: value for key, value in (table.schema.metadata or {}).items() if key == b"kmerit"}
    return table.replace_schema_metadata(kept or None)
