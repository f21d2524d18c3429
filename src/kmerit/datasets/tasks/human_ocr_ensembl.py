"""Open chromatin, nearly free of leaks: a natural control."""

from kmerit.datasets.task import GENOMIC_BENCHMARKS, Task

TASK = Task(
    name="human_ocr_ensembl",
    classes=("background", "open_chromatin"),
    description="Open chromatin (DNase sites by Ensembl) against random genome windows of equal lengths.",
    source=f"{GENOMIC_BENCHMARKS}; Ensembl release 100 regulatory build.",
    licence="Intervals: Apache-2.0. Sequences: public reference genome (GRC).",
    assembly="GRCh38",
    rows={"train": (69902, 69902), "test": (17476, 17476)},
    checksums={
        "train/negative.csv.gz": "fab89f7eb09e77c3914f686647c56b1da14afba9c9fb19bc974c3756dab31139",
        "train/positive.csv.gz": "498b7b696b0782e493ce470399c79f8f90455823bcf10d86da433e9653e9cd98",
        "test/negative.csv.gz": "496fbac5d9d20517ca77d693d196ce5cea26bf2c685f29bfc5dc53efe074636b",
        "test/positive.csv.gz": "133a59bb3af0633fb79ba84cbd37bae2c2fac7ab0981c10e89cdf7c5cc1252db",
    },
    hub="katarinagresova/Genomic_Benchmarks_human_ocr_ensembl",
)
