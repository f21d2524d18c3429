"""The paper's promoters: the official set of genomic_benchmarks."""

from kmerit.datasets.task import GENOMIC_BENCHMARKS, Task

TASK = Task(
    name="human_nontata_promoters",
    classes=("background", "promoter"),
    description="Human promoters without a TATA box (-200 to +50 of the transcription start, 251 nt) against "
    "random gene fragments downstream of the first exon. Known fault: 99.6 % of the negative test rows overlap a "
    "negative train row.",
    source=f"{GENOMIC_BENCHMARKS}; Umarov and Solovyev 2017 (EPDnew).",
    licence="Intervals: Apache-2.0. Sequences: public reference genome (GRC).",
    assembly="GRCh38",
    rows={"train": (12355, 14742), "test": (4119, 4915)},
    checksums={
        "train/negative.csv.gz": "44b93cc1eb1273645d4123078809d9012bed3933605f4da906723a971b5a730e",
        "train/positive.csv.gz": "8d8824518233a49cd02d9854a28154078bc69f3509719855dd4127a9024a44c9",
        "test/negative.csv.gz": "3dd480a549f5e4b12770038e4ecc7f55cbec8101aa89b146fa9c4546ff7fad84",
        "test/positive.csv.gz": "062277be939aea6538fe5e8a84792916835707e303e833d5ac1e6263c7416894",
    },
    hub="katarinagresova/Genomic_Benchmarks_human_nontata_promoters",
)
