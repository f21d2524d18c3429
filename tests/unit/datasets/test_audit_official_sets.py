"""The faults of the two official sets, counted on their intervals, as they were counted by hand before."""

from __future__ import annotations

import csv
import gzip
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from kmerit.datasets.audit import audit
from kmerit.datasets.findings import Audit, Config
from kmerit.datasets.reading import Reading
from kmerit.report import text as words

INTERVALS = Path(__file__).resolve().parents[3] / "data" / "intervals"
COUNTS_ONLY = Config.parse({"settings": {"baselines": [], "resamples": 0}})


def as_published(name: str, folder: Path) -> Path:
    """Unpack a set into the folder that genomic_benchmarks publishes: ``train/positive.csv.gz`` and so on."""
    rows: dict[tuple[str, int], list[dict[str, Any]]] = {}
    for row in pq.read_table(INTERVALS / f"{name}.parquet").to_pylist():
        rows.setdefault((row["split"], row["label"]), []).append(row)
    for (split, label), result in rows.items():
        path = folder / name / split / f"{('negative', 'positive')[label]}.csv.gz"
        path.parent.mkdir(parents=True, exist_ok=True)
        with gzip.open(path, "wt", newline="", compresslevel=1) as file:
            table = csv.writer(file)
            table.writerow(["id", "region", "start", "end", "strand"])
            table.writerows([row["id"], row["chrom"], row["start"], row["end"], row["strand"]] for row in result)
    return folder / name


@pytest.fixture(scope="module")
def enhancers(tmp_path_factory: pytest.TempPathFactory) -> Audit:
    """The audit of the official enhancers, from the folder as it is published."""
    return audit(as_published("human_enhancers_ensembl", tmp_path_factory.mktemp("gb")), config=COUNTS_ONLY)


@pytest.fixture(scope="module")
def promoters(tmp_path_factory: pytest.TempPathFactory) -> Audit:
    """The audit of the official promoters, likewise."""
    return audit(as_published("human_nontata_promoters", tmp_path_factory.mktemp("gb")), config=COUNTS_ONLY)


def test_enhancers(enhancers: Audit) -> None:
    positive, negative = enhancers.classes["positive"], enhancers.classes["negative"]
    assert enhancers.splits == {"train": 123_872, "test": 30_970}
    assert (positive["rows"], positive["distinct_rows"]) == (77_421, 40_934)
    assert round(positive["test_rows_copied_from_train"] * positive["test_rows"]) == 11_694
    assert round(positive["test_rows_copied_from_train"], 3) == 0.755
    assert negative["test_rows_copied_from_train"] == 0.0
    assert negative["distinct_rows"] == negative["rows"] == 77_421
    assert round(negative["test_rows_overlapping_train"], 3) == 0.009
    lengths = [group["length"] for group in enhancers.groups]
    assert (min(length["min"] for length in lengths), max(length["max"] for length in lengths)) == (2, 573)
    assert sum(group["too_short"] for group in enhancers.groups) == 148
    assert ("positive", "leaked: 75.5 % of positive test rows are copies of training rows") in words.concerns(
        enhancers.concerns
    )


def test_promoters(promoters: Audit) -> None:
    positive, negative = promoters.classes["positive"], promoters.classes["negative"]
    assert promoters.splits == {"train": 27_097, "test": 9_034}
    assert (negative["rows"], negative["loci"], negative["covered_nt"]) == (16_474, 650, 585_621)
    assert round(negative["test_rows_overlapping_train"] * negative["test_rows"]) == 4_101
    assert round(negative["test_rows_overlapping_train"], 3) == 0.996
    assert round(positive["test_rows_overlapping_train"] * positive["test_rows"]) == 343
    assert round(positive["test_rows_overlapping_train"], 3) == 0.070
    assert positive["test_rows_copied_from_train"] == negative["test_rows_copied_from_train"] == 0.0
    assert words.concerns(promoters.concerns) == [
        ("negative", "leaked: 99.6 % of negative test rows overlap training rows"),
        ("positive", "leaked: 7.0 % of positive test rows overlap training rows"),
    ]


def test_what_is_not_known_is_not_claimed(promoters: Audit) -> None:
    assert promoters.classes["positive"]["test_rows_near_train"] is None
    assert promoters.classes["positive"]["test_rows_reverse_complement_of_train"] is None
    assert "no_letters" in {gap.code for gap in promoters.unchecked}
    assert promoters.histograms is None


def test_the_shipped_table_itself_after_the_length_filter_of_the_paper() -> None:
    result = audit(
        INTERVALS / "human_enhancers_ensembl.parquet",
        config=COUNTS_ONLY,
        reading=Reading(min_length=200, classes=("background", "enhancer")),
    )
    assert round(result.classes["enhancer"]["test_rows_copied_from_train"], 3) == 0.769
