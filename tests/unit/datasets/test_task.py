"""Tasks: every one is complete; packed ones load, are intact, and are split without leaks."""

from __future__ import annotations

import dataclasses
from importlib.metadata import EntryPoint
from pathlib import Path

import numpy as np
import pytest

import kmerit.datasets.task as registry
from kmerit import config
from kmerit.datasets.similarity import near_copies
from kmerit.datasets.task import Intervals, load_task, tasks
from kmerit.errors import ConfigError, FormatError, UnknownName
from kmerit.io.crops import prepare
from kmerit.sequences import Sequences, decode, reverse_complement

OFFICIAL = ("human_enhancers_cohn", "human_enhancers_ensembl", "human_nontata_promoters", "human_ocr_ensembl")
PACKED = ("epdnew_nontata", "human_enhancers_dedup", "ienhancer_2l")


def test_all_tasks_are_found() -> None:
    assert list(tasks()) == sorted(tasks())
    assert set(tasks()) >= {*OFFICIAL, *PACKED}
    assert {name for name in OFFICIAL + PACKED if tasks()[name].packed} == set(PACKED)


@pytest.mark.parametrize("name", [*OFFICIAL, *PACKED])
def test_tasks_are_complete(name: str) -> None:
    task = tasks()[name]
    assert task.name == name
    assert len(task.classes) == 2
    assert task.classes[0] == "background"
    assert set(task.rows) == {"train", "test"}
    assert all(len(checksum) == 64 for checksum in task.checksums.values())
    assert len(task.checksums) == (2 if task.packed else 4)
    assert task.crop is not None
    anchor = "center" if name == "human_enhancers_dedup" else "left"
    assert (task.crop.length, task.crop.anchor, task.min_length, task.drop_n) == (200, anchor, 200, True)
    assert task.source
    assert task.licence


@pytest.mark.parametrize("name", PACKED)
def test_packed_tasks_load(name: str) -> None:
    task = tasks()[name]
    parts = {split: load_task(name, split) for split in ("train", "validation", "test")}
    counts = {split: np.bincount(part.labels).tolist() for split, part in parts.items() if part.labels is not None}
    assert tuple(counts["test"]) == task.rows["test"]
    assert tuple(np.add(counts["train"], counts["validation"])) == task.rows["train"]
    for label in (0, 1):
        assert 0.08 < counts["validation"][label] / task.rows["train"][label] < 0.14
    names = [name for part in parts.values() for name in part.names]
    assert len(set(names)) == len(names)


def strands(sequences: Sequences) -> set[str]:
    turned = Sequences(
        sequences.names, np.concatenate([reverse_complement(part) for part in sequences.rows()]), sequences.offsets
    )
    return {*sequences.strings(), *turned.strings()}


@pytest.mark.parametrize("name", PACKED)
def test_nothing_of_validation_is_in_train(name: str) -> None:
    train, validation = load_task(name, "train"), load_task(name, "validation")
    assert not strands(train) & set(validation.strings())
    both = [*train.rows(), *validation.rows()]
    together = Sequences(
        tuple(str(i) for i in range(len(both))), np.concatenate(both), np.cumsum([0, *(part.size for part in both)])
    )
    pairs = near_copies(together, most=len(both))
    assert not ((pairs[:, 0] < len(train)) & (pairs[:, 1] >= len(train))).any()
    near = [
        (a, b)
        for a in validation.loci or ()
        for b in train.loci or ()
        if a and b and a.chrom == b.chrom and a.start - b.end <= 1000 and b.start - a.end <= 1000
    ]
    assert near == []


def test_genes_are_not_torn() -> None:
    import pyarrow.parquet

    path = Path(registry.__file__).parents[1] / "assets" / "data" / "epdnew_nontata.train.parquet"
    table = pyarrow.parquet.read_table(path, columns=["name", "group"]).to_pydict()
    group = dict(zip(table["name"], table["group"], strict=True))
    train = {group[name] for name in load_task("epdnew_nontata", "train").names}
    validation = {group[name] for name in load_task("epdnew_nontata", "validation").names}
    assert not train & validation
    assert "STAU1" in validation


def test_loci_are_known_where_they_should_be_and_fit() -> None:
    for name, known in (("epdnew_nontata", 3016), ("human_enhancers_dedup", 1023), ("ienhancer_2l", 0)):
        sequences = load_task(name)
        loci = sequences.loci or (None,) * len(sequences)
        lengths = [locus.end - locus.start == n for locus, n in zip(loci, sequences.lengths, strict=True) if locus]
        assert len(lengths) == known
        assert all(lengths)


def test_the_filters_leave_what_the_baselines_were_measured_on() -> None:
    task = tasks()["human_enhancers_dedup"]
    kept, report = prepare(load_task(task), crop=task.crop, min_length=task.min_length, drop_n=task.drop_n)
    assert len(kept) == 729
    assert report["too_short"] == 1023 - 729
    assert set(kept.lengths.tolist()) == {200}


def test_the_package_stays_small() -> None:
    folder = Path(registry.__file__).parents[1] / "assets" / "data"
    assert sum(file.stat().st_size for file in folder.iterdir()) < 4_000_000


def test_a_damaged_file_is_noticed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    data = (registry._assets() / "ienhancer_2l.test.parquet").read_bytes()
    (tmp_path / "ienhancer_2l.test.parquet").write_bytes(data.replace(b"zstd", b"zzzz") + b"\n")
    monkeypatch.setattr(registry, "_assets", lambda: tmp_path)
    with pytest.raises(FormatError, match=r"ienhancer_2l\.test\.parquet: missing or damaged .* Install kmerit again"):
        load_task("ienhancer_2l", "test")
    with pytest.raises(FormatError, match=r"ienhancer_2l\.train\.parquet: missing or damaged"):
        load_task("ienhancer_2l", "train")


def test_unknown_names_and_splits() -> None:
    with pytest.raises(UnknownName, match=r"Unknown task 'epdnew_notata'\. Did you mean 'epdnew_nontata'\?"):
        load_task("epdnew_notata")
    with pytest.raises(ConfigError, match="split: expected one of train, validation, test, got 'dev'"):
        load_task("epdnew_nontata", "dev")
    with pytest.raises(ConfigError, match="epdnew_nontata comes with kmerit and has no other source"):
        load_task("epdnew_nontata", source=Intervals("x", "y"))


def test_an_official_set_of_another_size_is_refused(tmp_path: Path) -> None:
    for split in ("train", "test"):
        (tmp_path / f"{split}.csv").write_text("seq,label\nACGT,1\nTTTT,0\n")
    with pytest.raises(
        FormatError, match=r"human_ocr_ensembl, split test: expected \(17476, 17476\) .* found \(1, 1\)"
    ):
        load_task("human_ocr_ensembl", source=tmp_path)


def test_official_sets_are_split_by_near_copies(tmp_path: Path) -> None:
    """Every sequence is there three times, once turned round: no copy may be on the other side."""
    bases = np.random.default_rng(0).integers(0, 4, (300, 120)).astype(np.int8)
    rows = [part for row in bases for part in (row, reverse_complement(row), row)]
    lines = "".join(f"{decode(row)},{i % 2}\n" for i, row in enumerate(rows))
    for split in ("train", "test"):
        (tmp_path / f"{split}.csv").write_text("seq,label\n" + lines)
    official = tasks()["human_ocr_ensembl"]
    small = dataclasses.replace(official, rows={"train": (450, 450), "test": (450, 450)})
    train, validation = load_task(small, "train", source=tmp_path), load_task(small, "validation", source=tmp_path)
    assert len(train) + len(validation) == 900
    assert len(validation) % 3 == 0
    assert 30 < len(validation) < 180
    assert not strands(train) & set(validation.strings())


def test_other_packages_can_add_tasks(monkeypatch: pytest.MonkeyPatch) -> None:
    entry = EntryPoint("borrowed", "kmerit.datasets.tasks.ienhancer_2l:TASK", "kmerit.tasks")
    task = dataclasses.replace(tasks()["ienhancer_2l"], name="borrowed")
    monkeypatch.setattr(EntryPoint, "load", lambda self: task)
    monkeypatch.setattr(config, "entry_points", lambda group: [entry] if group == "kmerit.tasks" else [])
    tasks.cache_clear()
    try:
        assert tasks()["borrowed"] is task
    finally:
        tasks.cache_clear()
