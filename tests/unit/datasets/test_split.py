"""New splits: what is dropped, what stays together, and what is written."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import numpy as np
import pytest

from helpers.faulty_sets import made, mutated, random_parts
from kmerit.datasets.audit import audit
from kmerit.datasets.split import split, write_split
from kmerit.errors import ConfigError, FormatError, UsageError
from kmerit.io.readers import read_sequences
from kmerit.sequences import Locus, Sequences, reverse_complement


def test_second_copies_and_contradictions_go() -> None:
    parts = random_parts(40)
    parts[2], parts[4] = parts[0], reverse_complement(parts[0])
    parts[7] = parts[6]
    result = split(made(parts))
    assert result.dropped == {"repeated": 2, "contradicting": 2, "near_training": 0, "too_short": 0}
    assert len(result.dataset) == 36
    assert not {"seq6", "seq7", "seq2", "seq4"} & set(result.dataset.names)


def test_shares_and_classes_are_kept() -> None:
    labels = [int(i % 5 == 0) for i in range(600)]
    result = split(made(random_parts(600, 60), labels), test=0.2, validation=0.1)
    assert result.dataset.splits == ("train", "validation", "test")
    for number, share in enumerate((0.7, 0.1, 0.2)):
        for label, rows in ((0, 480), (1, 120)):
            assert abs(int(result.dataset.group(number, label).sum()) - share * rows) <= 1


def test_near_copies_and_neighbours_stay_together() -> None:
    parts = random_parts(60, 200)
    loci: list[Locus | None] = [Locus(f"chr{i}", 0, 200) for i in range(60)]
    for i in range(0, 20, 2):
        parts[i + 20] = mutated(parts[i], 0.02, seed=i)
        loci[i + 1] = Locus(f"chr{i}", 900, 1100)
    result = split(made(parts, loci=loci), near=1000)
    where = dict(zip(result.dataset.names, result.dataset.split.tolist(), strict=True))
    group = dict(zip(result.dataset.names, result.group.tolist(), strict=True))
    for i in range(0, 20, 2):
        assert len({where[f"seq{j}"] for j in (i, i + 1, i + 20)}) == 1
        assert len({group[f"seq{j}"] for j in (i, i + 1, i + 20)}) == 1
    assert np.unique(split(made(parts, loci=loci), near=100).group).size == 50


def test_seeds() -> None:
    rows = made(random_parts(100))
    first, again, other = (split(rows, seed=seed).dataset.split.tolist() for seed in (0, 0, 1))
    assert first == again != other


def test_by_chromosome() -> None:
    parts = random_parts(60)
    loci: list[Locus | None] = [Locus(f"chr{i % 6}", 1000 * i, 1000 * i + 120) for i in range(60)]
    parts[5] = mutated(parts[0], 0.01)
    rows = made(parts, [i // 6 % 2 for i in range(60)], loci)
    result = split(rows, by="chromosome", chromosomes=["chr5"])
    tested = {
        locus.chrom for locus, s in zip(result.dataset.loci or (), result.dataset.split, strict=True) if locus and s
    }
    assert tested == {"chr5"}
    assert result.dropped["near_training"] == 1
    drawn = split(rows, by="chromosome", test=0.3)
    homes = {(x.chrom, int(s)) for x, s in zip(drawn.dataset.loci or (), drawn.dataset.split, strict=True) if x}
    assert len(homes) == 6


def test_a_chromosome_has_one_name() -> None:
    loci: list[Locus | None] = [
        Locus(f"{'chr' if i % 4 < 2 else ''}{i % 2}", 1000 * i, 1000 * i + 120) for i in range(40)
    ]
    rows = made(random_parts(40), [i // 4 % 2 for i in range(40)], loci)
    result = split(rows, by="chromosome", chromosomes=["chr1"])
    homes = {
        (x.chrom.removeprefix("chr"), int(s))
        for x, s in zip(result.dataset.loci or (), result.dataset.split, strict=True)
        if x is not None
    }
    assert homes == {("0", 0), ("1", 1)}
    assert np.unique(result.group).size == 2
    drawn = split(rows, by="chromosome", test=0.5)
    assert np.unique(drawn.group).size == 2


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"test": 1.0}, ConfigError, "shares that leave some for training"),
        ({"test": 0.6, "validation": 0.4}, ConfigError, "shares that leave some for training"),
        ({"by": "gene"}, ConfigError, "expected 'group' or 'chromosome', got 'gene'"),
        ({"by": "chromosome"}, FormatError, "needs the coordinates of every row"),
        ({"chromosomes": ["chr2"]}, ConfigError, "chr2 can be the test split only when .* Add --by chromosome"),
    ],
)
def test_what_cannot_be_asked(options: dict[str, object], error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        split(made(random_parts(20)), **options)  # type: ignore[arg-type]


def test_unknown_chromosomes_and_too_few_groups() -> None:
    rows = made(random_parts(4), loci=[Locus("chr1", 200 * i, 200 * i + 120) for i in range(4)])
    with pytest.raises(ConfigError, match="no row lies on 'chr9'; there are chr1"):
        split(rows, by="chromosome", chromosomes=["chr9"])
    with pytest.raises(FormatError, match=r"nothing is left for (test|train): 4 different rows form 1 groups"):
        split(rows)


def test_what_is_written_can_be_read_and_is_clean(tmp_path: Path) -> None:
    parts = random_parts(80)
    parts[3] = parts[1]
    train, test = made(parts[:60]), made(parts[60:])
    manifest = json.loads(write_split(split({"train": train, "test": test}), tmp_path).read_text())
    assert manifest["dropped"]["repeated"] == 1
    assert sum(sum(rows.values()) for rows in manifest["rows"].values()) == 79
    assert set(manifest["sha256"]) == {"train.parquet", "test.parquet", "groups.csv"}
    back = read_sequences(tmp_path / "test.parquet")
    assert len(back) == sum(manifest["rows"]["test"].values())
    with (tmp_path / "groups.csv").open() as file:
        groups = list(csv.DictReader(file))
    assert len(groups) == 79
    # Both splits had a seq0: their old split tells them apart.
    assert {"train/seq0", "test/seq0"} <= {row["name"] for row in groups}
    assert audit(tmp_path, baselines=()).classes["1"]["test_rows_leaked"] == 0


def test_intervals_without_letters(tmp_path: Path) -> None:
    source = tmp_path / "all.csv"
    starts = [5000 * (i // 2) + 60 * (i % 2) for i in range(60)]
    lines = [f"r{i},chr1,{start},{start + 100},{i // 2 % 2}" for i, start in enumerate(starts)]
    source.write_text("\n".join(["name,chrom,start,end,label", *lines]))
    write_split(split(source, near=0), tmp_path / "out")
    result = audit(tmp_path / "out", baselines=())
    assert sum(result.splits.values()) == 60
    assert {facts["test_rows_overlapping_train"] for facts in result.classes.values()} == {0.0}


def test_rows_covered_by_training_rows_go() -> None:
    parts = random_parts(41, 200)
    # Half of it in each of two rows, and too little in either to be a near copy.
    parts[40] = np.concatenate([parts[0][:60], parts[2][:60]])
    for seed in range(20):
        result = split(made(parts), seed=seed)
        home = dict(zip(result.dataset.names, result.dataset.split.tolist(), strict=True))
        if "seq40" not in home:
            assert result.dropped["near_training"] == 1
            return
        assert not (home["seq40"] == 1 and home["seq0"] == home["seq2"] == 0)
    pytest.fail("the row was never placed in the test split")


def test_test_rows_covered_by_validation_rows_go() -> None:
    parts = random_parts(41, 200)
    parts[40] = np.concatenate([parts[0][:60], parts[2][:60]])
    count = 0
    for seed in range(60):
        result = split(made(parts), test=0.3, validation=0.4, seed=seed)
        home = dict(zip(result.dataset.names, result.dataset.split.tolist(), strict=True))
        count += result.dropped["near_validation"]
        assert not (home.get("seq40") == 2 and home["seq0"] == home["seq2"] == 1)
    assert count > 0


def test_a_large_family_stays_together() -> None:
    parts = random_parts(200, 200)
    for i in range(0, 120, 2):
        parts[i] = mutated(parts[0], 0.005, seed=i)
    result = split(made(parts), validation=0.2)
    names = {f"seq{i}" for i in range(0, 120, 2)}
    group = {int(g) for name, g in zip(result.dataset.names, result.group, strict=True) if name in names}
    assert len(group) == 1
    assert result.dropped["near_training"] == result.dropped["near_validation"] == 0


def test_short_rows_that_share_most_of_themselves_stay_together() -> None:
    parts = random_parts(60, 40)
    for i in range(0, 20, 2):
        parts[i + 20] = reverse_complement(np.concatenate([parts[i][3:], parts[i + 20][:3]]))
    result = split(made(parts), validation=0.2)
    group = dict(zip(result.dataset.names, result.group.tolist(), strict=True))
    assert all(group[f"seq{i}"] == group[f"seq{i + 20}"] for i in range(0, 20, 2))
    assert len(result.dataset) == 60


def test_nothing_of_an_earlier_split_stays(tmp_path: Path) -> None:
    rows = made(random_parts(60))
    write_split(split(rows, validation=0.2), tmp_path)
    assert (tmp_path / "validation.parquet").exists()
    write_split(split(rows), tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        *("groups.csv", "manifest.json", "test.parquet", "train.parquet")
    ]
    (tmp_path / "test.csv").write_text("mine")
    with pytest.raises(UsageError, match=r"test\.csv is there and not of an earlier split"):
        write_split(split(rows), tmp_path)
    assert (tmp_path / "test.csv").read_text() == "mine"


def test_names_of_a_plain_file_stay(tmp_path: Path) -> None:
    rows = Sequences.from_strings(["ACGTTGCAAC", "GGATTACCAG", "TTGACCATGA", "CCGATTGACC"], [0, 1, 0, 1], list("abcd"))
    assert set(split(rows, test=0.5).dataset.names) == set("abcd")
