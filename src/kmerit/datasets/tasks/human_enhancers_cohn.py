"""Enhancers of Cohn et al., nearly free of leaks: a natural control."""

from kmerit.datasets.task import GENOMIC_BENCHMARKS, Task

TASK = Task(
    name="human_enhancers_cohn",
    classes=("background", "enhancer"),
    description="Human enhancers (500 nt) against other genome windows.",
    source=f"{GENOMIC_BENCHMARKS}; Cohn, Zuk and Kaplan 2018 (doi:10.1101/264200).",
    licence="Intervals: Apache-2.0. Sequences: public reference genome (GRC).",
    assembly="GRCh38",
    rows={"train": (10422, 10421), "test": (3474, 3474)},
    checksums={
        "train/negative.csv.gz": "3c0bebb5754b4789c77a9f6c7acccdc9a0e69d5a7bcc5a8f45f7c848fa9dcfba",
        "train/positive.csv.gz": "c878a094f035eeea2d0a353c0e6fd21fe9791f1d61f52f9d45d051c5017e1b64",
        "test/negative.csv.gz": "f42d72a8453f1fedd155d6c3a62acf245b54da930c9e15a504527f295d3831d1",
        "test/positive.csv.gz": "4ac66408838e3a049dcb3a5c2e78160237af6d03f46eacc2082a85693ca254c8",
    },
    hub="katarinagresova/Genomic_Benchmarks_human_enhancers_cohn",
)
