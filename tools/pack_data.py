"""Pack the labelled data sets that come with kmerit.

Reads ``<source>/<folder>/{train,test}.csv.gz`` (columns ``id, label, sequence``; where known ``gene``, ``chrom``,
``start_grch37``, ``end_grch37``, ``strand``) and writes one Parquet file per task and split, with the columns ``name,
sequence, label, chrom, start, end, strand`` and, in train, ``group``: what must stay on one side when a validation
split is carved out. Prints the checksums that the task files record.

Usage: python tools/pack_data.py SOURCE [OUT]
"""

from __future__ import annotations

import argparse
import gzip
from pathlib import Path

import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet

from kmerit.datasets.similarity import group_names, near_copies, neighbours
from kmerit.datasets.task import find_task
from kmerit.sequences import Locus, Sequences
from kmerit.store import atomic_write, sha256

FOLDERS = {
    "epdnew_nontata": "promoters/epdnew_nontata_251",
    "human_enhancers_dedup": "enhancers/human_enhancers_ensembl_dedup",
    "ienhancer_2l": "enhancers/ienhancer_2l",
}
ASSETS = Path(__file__).parents[1] / "src" / "kmerit" / "assets" / "data"


def read(path: Path) -> pa.Table:
    """Read a source file with the columns of a packed one, and ``gene``."""
    with gzip.open(path) as file:
        table = pa.csv.read_csv(file)
    columns = {
        "name": table["id"],
        "sequence": table["sequence"],
        "label": table["label"].cast(pa.int8()),
    }
    for column, source, kind in (
        ("chrom", "chrom", pa.string()),
        ("start", "start_grch37", pa.int32()),
        ("end", "end_grch37", pa.int32()),
        ("strand", "strand", pa.string()),
        ("gene", "gene", pa.string()),
    ):
        known = source in table.column_names
        cells = [cell or None if kind == pa.string() else cell for cell in table[source].to_pylist()] if known else None
        columns[column] = pa.array(cells or [None] * table.num_rows, kind)
    return pa.table(columns)


def groups(table: pa.Table, near: int) -> list[str]:
    """Group the rows by gene, by place and by near copies; 32-mers count however many rows have them."""
    places = zip(*(table[column].to_pylist() for column in ("chrom", "start", "end", "strand")), strict=True)
    loci = [None if chrom is None else Locus(chrom, start, end, strand) for chrom, start, end, strand in places]
    sequences = Sequences.from_strings(table["sequence"].to_pylist(), names=table["name"].to_pylist(), loci=loci)
    links = near_copies(sequences, most=len(sequences)), neighbours(sequences, near)
    return group_names(sequences, *links, own_names=table["gene"].to_pylist())


def main() -> None:
    """Pack every task and print the checksums."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("source", type=Path, help="folder with promoters/ and enhancers/")
    parser.add_argument("out", type=Path, nargs="?", default=ASSETS, help="folder of the packed files")
    arguments = parser.parse_args()
    for name, folder in FOLDERS.items():
        for split in ("train", "test"):
            table = read(arguments.source / folder / f"{split}.csv.gz")
            if split == "train":
                table = table.append_column("group", pa.array(groups(table, find_task(name).near)))
            path = arguments.out / f"{name}.{split}.parquet"
            with atomic_write(path) as temporary:
                pa.parquet.write_table(
                    table.drop_columns("gene"),
                    temporary,
                    compression="zstd",
                    compression_level=22,
                    use_dictionary=False,
                )
            print(f"{path.name}  {table.num_rows} rows  {path.stat().st_size} bytes  {sha256(path)}")


if __name__ == "__main__":
    main()
