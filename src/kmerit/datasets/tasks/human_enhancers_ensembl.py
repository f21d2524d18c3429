"""The paper's enhancers: the official set of genomic_benchmarks."""

from kmerit.datasets.task import GENOMIC_BENCHMARKS, Task

TASK = Task(
    name="human_enhancers_ensembl",
    classes=("background", "enhancer"),
    description="Human enhancers (FANTOM5 by Ensembl, 2 to 573 nt) against random genome windows of equal lengths. "
    "Known fault: 75.5 % of the positive test rows are exact copies of positive train rows.",
    source=f"{GENOMIC_BENCHMARKS}; Ensembl release 100 (FANTOM5).",
    licence="Intervals: Apache-2.0. Sequences: public reference genome (GRC).",
    assembly="GRCh38",
    rows={"train": (61936, 61936), "test": (15485, 15485)},
    checksums={
        "train/negative.csv.gz": "5f941efbebaf8fb655b61b39692340a579c562bcdcc6146d6e476cb98a1c3546",
        "train/positive.csv.gz": "849037a959214342195d4e6f7f9540ea15d7131a367bfe177a4f4217c0d35d58",
        "test/negative.csv.gz": "aa64649b6e9c758896d0a3c51ea4e1908fad978e26092032633abb88d11012cd",
        "test/positive.csv.gz": "c642664f6e2b4874ae5ccb4c1cfb5ae79c53b09bbb3ab017f23063e780bc21f0",
    },
    hub="katarinagresova/Genomic_Benchmarks_human_enhancers_ensembl",
)
