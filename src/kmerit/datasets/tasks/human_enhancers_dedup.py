"""Enhancers against random genome, one row per sequence, split without leaks."""

from kmerit.datasets.task import Task
from kmerit.io.crops import Crop

TASK = Task(
    name="human_enhancers_dedup",
    classes=("background", "enhancer"),
    description="Human enhancers (FANTOM5 by Ensembl) against random genome windows of equal lengths, without the "
    "copies of the official set.",
    source="Rows of human_enhancers_ensembl (genomic_benchmarks, commit 605d853) on chr20, chr22 and chrX, lifted to "
    "GRCh37 without a change, at least 50 nt, one per distinct sequence, re-split by overlapping loci (20 % test); "
    "15 % of the loci were put aside.",
    licence="Intervals: Apache-2.0. Sequences: public reference genome (GRC).",
    assembly="GRCh37",
    crop=Crop(200, "center"),  # the ends of these enhancers give them away: docs/how-to/audit.md, docs/decisions/0014
    rows={"train": (2394, 1439), "test": (642, 381)},
    checksums={
        "train.parquet": "dc2d336296331621e141be9204a43d0da42873aaf4682549ba718fedab0ef8cb",
        "test.parquet": "698a4ce15a51b02aa9089397a5dc32c20e93773b4e3f9f37b1a2f0d1d6cb8d23",
    },
)
