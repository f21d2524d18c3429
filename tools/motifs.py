"""Write the bundled families of motifs from JASPAR's MEME file.

    python -P tools/motifs.py JASPAR2026_CORE_vertebrates_non-redundant_pfms_meme.txt

Motifs that Tomtom finds alike are a family (`kmerit.biology.motif_hits.families`). The table has a row for each motif:
identifier, name, number of the family, whose first row is its most central motif, and the probabilities of
[position, base] in millionths, position by position. The file's licence is in NOTICE.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from kmerit.biology.motif_hits import bundled_families, families
from kmerit.io.motifs import read_motifs


def main() -> None:
    """Group the motifs and write the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("meme", type=Path, help="JASPAR's CORE motifs of vertebrates, not redundant, as MEME")
    parser.add_argument("--out", type=Path, default=bundled_families())
    options = parser.parse_args()
    rows = [
        (motif, number)
        for number, family in enumerate(families(list(read_motifs(options.meme).values())))
        for motif in family.motifs
    ]
    table = pa.table(
        {
            "identifier": [motif.identifier for motif, _ in rows],
            "name": [motif.name for motif, _ in rows],
            "family": pa.array([number for _, number in rows], pa.int16()),
            "probabilities": pa.array(
                [np.rint(motif.probabilities * 1e6).astype(int).ravel().tolist() for motif, _ in rows],
                pa.list_(pa.int32()),
            ),
        }
    )
    pq.write_table(table, options.out, compression="zstd", compression_level=22)
    print(f"{len(rows)} motifs, {rows[-1][1] + 1} families: {options.out}")


if __name__ == "__main__":
    main()
