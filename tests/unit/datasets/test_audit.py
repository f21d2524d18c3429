"""The audit as a whole: planted faults are told, with what to do; clean sets are let pass."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from helpers.faulty_sets import Parts, made, mutated, random_parts
from kmerit.datasets.audit import audit
from kmerit.datasets.findings import Audit, Config, Finding
from kmerit.datasets.split import split, write_split
from kmerit.errors import ConfigError, FormatError
from kmerit.io.readers import read_sequences
from kmerit.report import text as words
from kmerit.report.page import audit_page
from kmerit.sequences import Locus, Sequences, reverse_complement

CHEAP = {"settings": {"baselines": ["length", "GC", "memory", "ends", "nearest neighbour"], "resamples": 50}}


def look(train: Parts, test: Parts, **thresholds: float) -> Audit:
    return audit({"train": made(train), "test": made(test)}, config=Config.parse({**CHEAP, "thresholds": thresholds}))


def codes(found: Audit) -> set[str]:
    return {finding.code for finding in found.findings}


def lines(found: Audit) -> list[tuple[str | None, str]]:
    return words.concerns(found.concerns)


def unchecked(found: Audit) -> list[str]:
    return [words.sentence(gap) for gap in found.unchecked]


def texts(found: Sequence[Finding], code: str) -> list[str]:
    return [words.finding(each).text for each in found if each.code == code]


@pytest.fixture
def clean() -> tuple[Parts, Parts]:
    """Rows without anything in common."""
    return random_parts(300), random_parts(200, seed=1)


def test_a_clean_set(clean: tuple[Parts, Parts]) -> None:
    result = look(*clean)
    assert result.findings == ()
    assert lines(result) == []
    assert not result.stops


def test_copies_are_told_per_class_with_their_remedy(clean: tuple[Parts, Parts]) -> None:
    train, test = clean
    for i in range(1, 61, 2):
        test[i] = train[i] if i < 41 else reverse_complement(train[i])
    result = look(train, test)
    leaked = result.classes["1"]
    assert leaked["test_rows_copied_from_train"] == 0.3
    assert leaked["test_rows_reverse_complement_of_train"] == 0.1
    assert leaked["test_rows_leaked"] == 0.3
    assert result.classes["0"]["test_rows_leaked"] == 0
    first = result.findings[0]
    assert (first.code, first.where, first.label) == ("copied", "1", 1)
    assert words.finding(first).text.startswith(
        "30.0 % of the 100 test rows of 1 are copies of rows of the same class in train"
    )
    assert "kmerit split" in words.finding(first).remedy
    assert lines(result) == [("1", "leaked: 30.0 % of 1 test rows are copies of training rows")]


def test_many_small_leaks_are_told_together(clean: tuple[Parts, Parts]) -> None:
    train, test = random_parts(300, 250), random_parts(200, 250, seed=1)
    loci: list[list[Locus | None]] = [
        [Locus(f"chr{s}", 1000 * i, 1000 * i + 250) for i in range(n)] for s, n in ((1, 300), (2, 200))
    ]
    for i in range(1, 9, 2):
        test[i] = mutated(train[i], 0.01)
    for i in range(11, 19, 2):
        loci[1][i] = loci[0][i]
    sets = {"train": made(train, loci=loci[0]), "test": made(test, loci=loci[1])}
    result = audit(sets, config=Config.parse(CHEAP))
    leak = next(finding for finding in result.findings if finding.code == "leaked")
    assert (
        words.finding(leak).text
        == "8.0 % of the 100 test rows of 1 copy, overlap or nearly copy rows of the same class in train."
    )
    assert ("1", "leaked: 8.0 % of 1 test rows copy or overlap training rows, or nearly copy them") in lines(result)
    assert words.in_a_line(result.concerns) == "leaked: 8.0 % of the 1 test rows"
    assert audit(sets, config=Config.parse({**CHEAP, "thresholds": {"leaked": 0.05}})).stops


def test_the_largest_leak_is_named(clean: tuple[Parts, Parts]) -> None:
    train, test = clean
    for i in range(1, 61, 2):
        test[i] = train[i] if i < 11 else mutated(train[i], 0.01, seed=i)
    assert lines(look(train, test)) == [("1", "leaked: 30.0 % of 1 test rows are near copies of training rows")]


def test_a_data_set_in_a_line(clean: tuple[Parts, Parts]) -> None:
    train, test = clean
    assert words.in_a_line(look(train, test).concerns) == "no leaks or easy features found"
    alone = audit(made(train), config=Config.parse(CHEAP))
    assert words.in_a_line(alone.concerns) == "leaks unknown: no training rows were given; no easy features found"
    for parts in clean:
        for i in range(1, len(parts), 2):
            parts[i] = parts[i][:-3]
    for i in range(1, 151, 2):
        test[i] = train[i]
    sentence = words.in_a_line(look(train, test).concerns)
    assert sentence == "leaked: 75.0 % of the 1 test rows; length alone distinguishes the classes, AUROC 1.00"
    test[0] = train[1]
    assert words.in_a_line(look(train, test).concerns).endswith("; contradictory labels")


def test_what_leaks_earn(clean: tuple[Parts, Parts]) -> None:
    train, test = clean
    for i in range(100):
        test[i] = mutated(train[i], 0.02, seed=i)
    result = look(train, test)
    by_name = {entry["baseline"]: entry for entry in result.baselines}
    neighbour = by_name["nearest neighbour"]
    assert neighbour["accuracy_leaked"]["value"] == 1.0
    assert 0.3 < neighbour["accuracy_clean"]["value"] < 0.7
    gain = neighbour["leak_gain"]
    assert gain["value"] == neighbour["accuracy"]["value"] - neighbour["accuracy_clean"]["value"]
    assert 0.1 < gain["low"] < gain["value"] < gain["high"]
    assert 0.5 < neighbour["share_from_leaked"]["value"] < 0.9
    assert by_name["memory"]["accuracy_leaked"]["value"] == 1.0
    assert by_name["memory"]["leak_gain"]["value"] > 0.15
    assert abs(by_name["GC"]["leak_gain"]["value"]) < 0.1
    assert {"near", "leak_gain"} <= codes(result)


def test_a_leak_of_one_class_earns_nothing_for_who_does_not_remember(clean: tuple[Parts, Parts]) -> None:
    train, test = clean
    for i in range(1, 181, 2):
        test[i] = train[i]
    constant = {entry["baseline"]: entry for entry in look(train, test).baselines}["length"]
    # All rows are called alike; among those without a leak the other class is rarer, and must not count for less.
    assert constant["leak_gain"]["value"] == 0.0


def test_contradictory_labels(clean: tuple[Parts, Parts]) -> None:
    train, test = clean
    test[0], train[5] = train[1], train[2]
    result = look(train, test)
    assert result.classes["0"]["test_rows_contradicted_by_train"] == 0.01
    assert [finding.code for finding in result.findings[:2]] == ["contradicting"] * 2
    assert ("0", "contradictory labels: 0.8 % of the rows of 0 have a copy with another label") in lines(result)


def test_near_copies_with_another_label(clean: tuple[Parts, Parts]) -> None:
    train, test = clean
    for i in range(0, 20, 2):
        test[i] = mutated(train[i + 1], 0.01, seed=i)
    train[100] = mutated(train[201], 0.01)
    result = look(train, test, near_contradicting=0.005)
    assert result.classes["0"]["test_rows_near_another_class"] == 0.1
    assert result.classes["0"]["test_rows_contradicted_by_train"] == 0
    assert result.classes["1"]["test_rows_near_another_class"] == 0
    assert {pair["class"]: pair["near_another_class"] for pair in result.leaks} == {"0": 10, "1": 0}
    text = "10.0 % of the 100 test rows of 0 are near copies of rows of another class in train"
    across, *inside = [finding for finding in result.findings if finding.code == "near_contradicting"]
    assert words.finding(across).text.startswith(text)
    assert "which label is right" in words.finding(across).remedy
    assert {finding.where for finding in inside} == {"0", "1"}
    assert all("in the same split" in words.finding(each).text for each in inside)
    assert result.stops
    line = "10.0 % of the test rows of 0 are near copies of rows of another class in train"
    assert ("0", f"contradictory labels: {line}") in lines(result)
    assert "Near copies with another label" in audit_page(result)
    assert codes(look(train, test, near_contradicting=0.2)) == set()


@pytest.mark.parametrize(
    ("fault", "told"),
    [
        ("gc", ("feature_auroc", "GC")),
        ("length", ("feature_auroc", "length")),
        ("spread", ("baseline_auroc", "length")),
        ("first letters", ("baseline_auroc", "ends")),
        ("an N", ("feature_auroc", "N")),
        ("runs", ("feature_auroc", "longest run")),
    ],
)
def test_easy_features(clean: tuple[Parts, Parts], fault: str, told: tuple[str, str]) -> None:
    rng = np.random.default_rng(3)
    for parts in clean:
        for i, part in enumerate(parts):
            if fault == "spread":
                parts[i] = part[: 80 if i % 4 == 1 else 110] if i % 2 else part[:95]
            elif i % 2:
                chosen = rng.random(part.size) < 0.4
                parts[i] = {
                    "gc": np.where(chosen, rng.integers(1, 3, part.size), part).astype(np.int8),
                    "length": part[:-3],
                    "first letters": np.concatenate([np.array([0, 1, 2, 3], dtype=np.int8), part[4:]]),
                    "an N": np.concatenate([part[:50], np.array([4], dtype=np.int8), part[51:]]),
                    "runs": np.concatenate([part[:50], np.zeros(15, dtype=np.int8), part[65:]]),
                }[fault]
    result = look(*clean)
    assert told in {(finding.code, finding.where) for finding in result.findings}
    assert any(text.startswith(f"trivially separable: {told[1]} alone, AUROC ") for _, text in lines(result))


def test_repeats_short_rows_and_uneven_classes(clean: tuple[Parts, Parts]) -> None:
    train, test = clean
    for i in range(0, 60, 2):
        train[i] = train[0]
    test[1] = test[1][:5]
    labels = [1 if i < 10 else 0 for i in range(200)]
    result = audit({"train": made(train), "test": made(test, labels)}, config=Config.parse(CHEAP))
    assert {"repeated", "too_short", "smallest_class"} <= codes(result)
    groups = {(group["split"], group["class"]): group for group in result.groups}
    assert groups["train", "0"]["repeated"] == 29
    assert groups["test", "1"]["too_short"] == 1


def test_near_copies_of_rows_that_are_too_short_are_unknown(clean: tuple[Parts, Parts]) -> None:
    train, test = ([part[:31] for part in parts] for parts in clean)
    result = look(train, test, near=0.0)
    assert {facts["test_rows_near_train"] for facts in result.classes.values()} == {None}
    assert {pair["near"] for pair in result.leaks} == {None}
    assert {group["near_each_other"] for group in result.groups} == {None}
    assert any(text.startswith("500 of 500 rows have no 32 known letters in a row") for text in unchecked(result))
    assert any(text.endswith("threshold near.") for text in unchecked(result))
    audit_page(result)
    test[1] = clean[1][1]
    assert look(train, test).classes["1"]["test_rows_near_train"] == 0.0


def test_repeats_on_either_strand_are_told_apart(clean: tuple[Parts, Parts]) -> None:
    train, test = clean
    train[2], train[4], train[6] = train[0], reverse_complement(train[0]), reverse_complement(train[8])
    result = audit({"train": made(train), "test": made(test)}, baselines=())
    assert (result.groups[0]["repeated"], result.groups[0]["repeated_on_the_other_strand"]) == (3, 2)


def test_numbers_of_a_group() -> None:
    rows = made([np.array(p, dtype=np.int8) for p in ([1, 2, 1, 2], [0, 0, 0, 4], [1, 1, 2, 2], [0, 3, 0, 3])])
    group = audit({"train": rows, "test": rows}, baselines=()).groups[0]
    assert group["alphabet"] == {"A": 0, "C": 4, "G": 4, "T": 0, "N": 0}
    assert group["gc"]["mean"] == 1.0
    assert group["cpg_oe"] == (2 * 4 / 4 + 1 * 4 / 4) / 2
    assert group["length"] == {"min": 4, "median": 4.0, "mean": 4.0, "max": 4}
    assert group["dinucleotides"]["CpG"] == pytest.approx(0.5)


def test_one_split() -> None:
    result = audit(made(random_parts(200)), config=Config.parse(CHEAP))
    assert codes(result) == {"one_split"}
    assert "leaks between splits cannot be seen" in words.finding(result.findings[0]).text
    assert "kmerit split" in words.finding(result.findings[0]).remedy
    assert result.classes["0"]["test_rows_copied_from_train"] is None
    assert result.leaks == ()
    assert result.baselines  # judged on rows held out


def halfway(placed: int, **thresholds: float) -> Audit:
    """Audit 40 rows a split, the same places in both; class 0 has them, of class 1 so many of each split."""
    loci: list[Locus | None] = [
        Locus("chr1", 1000 * i, 1000 * i + 120) if i % 2 == 0 or i // 2 < placed else None for i in range(40)
    ]
    rows = {name: made(random_parts(40, seed=s), loci=loci) for s, name in enumerate(("train", "test"))}
    return audit(rows, config=Config.parse({"thresholds": thresholds}), baselines=())


def test_coordinates_of_one_class_only() -> None:
    result = halfway(0, overlapping=0.99, mixed=0.5)
    assert {"half_placed", "overlapping"} <= codes(result)
    one, zero = result.classes["1"], result.classes["0"]
    assert (one["test_rows_overlapping_train"], one["rows_overlapping_another_class"]) == (None, None)
    assert (zero["test_rows_overlapping_train"], zero["rows_overlapping_another_class"]) == (1.0, None)
    assert {pair["class"]: (pair["placed"], pair["overlapping"]) for pair in result.leaks} == {
        "0": (20, 20),
        "1": (0, None),
    }
    assert {group["class"]: group["overlapping_each_other"] for group in result.groups} == {"0": 0, "1": None}
    text = "0 of 40 rows of 1 have coordinates; overlaps and distances are known only for those."
    assert texts(result.findings, "half_placed") == [text]
    assert unchecked(result)[-2:] == [
        "Could not be checked; passing says nothing about it: threshold mixed.",
        "Could not be checked for every class and split; passing says nothing about the others: threshold overlapping.",
    ]
    audit_page(result)


def test_overlaps_are_shares_of_the_rows_with_coordinates() -> None:
    result = halfway(2, overlapping=0.5)
    one = result.classes["1"]
    assert (one["test_rows"], one["test_rows_placed"], one["test_rows_overlapping_train"]) == (20, 2, 1.0)
    assert one["rows_overlapping_another_class"] == 0.0
    sentences = [words.finding(each).text for each in result.findings]
    assert (
        "100 % of the 2 test rows of 1 with coordinates overlap rows of the same class in train on the genome."
        in sentences
    )
    assert "4 of 40 rows of 1 have coordinates; overlaps and distances are known only for those." in sentences
    assert ("1", "leaked: 100 % of 1 test rows with coordinates overlap training rows") in lines(result)
    assert ("0", "leaked: 100 % of 0 test rows overlap training rows") in lines(result)
    assert not any("passing says nothing" in line for line in unchecked(result))


def test_overlap_with_another_class_is_a_share_of_the_rows_with_coordinates() -> None:
    at = Locus("chr1", 0, 120)
    loci: list[Locus | None] = [at, at, Locus("chr2", 0, 120), None, None, None]
    result = audit(made(random_parts(6), loci=loci), baselines=())
    assert {name: facts["rows_overlapping_another_class"] for name, facts in result.classes.items()} == {
        "0": 0.5,
        "1": 1.0,
    }
    assert texts(result.findings, "mixed") == [
        "100 % of the rows of 1 with coordinates overlap a row of another class on the genome.",
        "50.0 % of the rows of 0 with coordinates overlap a row of another class on the genome.",
    ]


def test_copies_of_validation_rows_are_told(clean: tuple[Parts, Parts]) -> None:
    train, test = clean
    sets = {"train": made(train), "validation": made(test), "test": made(test)}
    result = audit(sets, config=Config.parse(CHEAP))
    messages = [f"100 % of {name} test rows have a copy or near copy in validation" for name in "01"]
    assert lines(result) == [(name, f"leaked: {text}") for name, text in zip("01", messages, strict=True)]
    assert words.in_a_line(result.concerns) == f"leaked: {messages[0]} and {messages[1]}"


@pytest.mark.parametrize(
    ("feature", "remedy"),
    [
        ("length", "crop all rows to one length"),
        ("N", "drop_n = true"),
        ("longest run", "cloning, sequencing or padding"),
        ("low complexity", "simple repeats or padding"),
        ("repeats", "Mask the repeats"),
        ("CpG o/e", "--kind gc, or --kind shuffled"),
    ],
)
def test_every_feature_has_its_own_remedy(feature: str, remedy: str) -> None:
    from kmerit.datasets.findings import findings

    result = look(random_parts(40), random_parts(40, seed=1))
    entry = {**result.features[0], "feature": feature, "strength": 0.9, "at_least": 0.85}
    message = findings(replace(result, features=(entry,), baselines=()), Config())
    assert [remedy in words.finding(each).remedy for each in message if each.code == "feature_auroc"] == [True]


def test_memory_is_repaired_by_another_split() -> None:
    from kmerit.datasets.findings import findings

    result = look(random_parts(40), random_parts(40, seed=1))
    area = {"value": 0.99, "low": 0.96, "high": 1.0, "ceiling": 0.97}
    entries = tuple({**result.baselines[0], "baseline": name, "auroc": area} for name in ("memory", "4-mer regression"))
    messages = {
        f.where: words.finding(f).remedy
        for f in findings(replace(result, baselines=entries), Config())
        if f.code == "baseline_auroc"
    }
    assert "kmerit split" in messages["memory"]
    assert "Report it next to every model" in messages["4-mer regression"]


def test_the_chromosome_tells_the_class_however_it_is_spelt() -> None:
    def placed(spelling: str, seed: int) -> Sequences:
        loci: list[Locus | None] = [Locus(f"{spelling}{i % 2}", 1000 * i, 1000 * i + 120) for i in range(100)]
        return made(random_parts(100, seed=seed), loci=loci)

    result = audit({"train": placed("chr", 0), "test": placed("", 1)}, baselines=["chromosome"])
    assert result.baselines[0]["auroc"]["value"] == 1.0


def test_three_classes(clean: tuple[Parts, Parts]) -> None:
    train, test = clean
    test[2] = train[5]
    labels = [[i % 3 for i in range(len(part))] for part in clean]
    sets = {"train": made(train, labels[0]), "test": made(test, labels[1])}
    result = audit(sets, config=Config.parse({"settings": {"resamples": 20, "trees": 5}}))
    assert [entry["baseline"] for entry in result.baselines][-2:] == ["4-mer regression", "6-mer forest"]
    assert result.classes["2"]["test_rows_copied_from_train"] == pytest.approx(1 / 66)
    assert all(0.5 <= entry["strength"] <= 1 for entry in result.features)


def test_a_baseline_that_is_never_right_on_test_rows() -> None:
    from kmerit.datasets.findings import findings

    train, test = random_parts(40), random_parts(40, seed=1)
    result = look(train, test)
    nothing = {"value": None, "low": None, "high": None}
    zero = {"value": 0.0, "low": None, "high": None}
    gain = {"value": 0.2, "low": 0.1, "high": 0.3}
    entry = {**result.baselines[0], "accuracy": zero, "accuracy_clean": zero, "share_from_leaked": nothing}
    message = findings(replace(result, baselines=({**entry, "leak_gain": gain},)), Config())
    assert texts(message, "leak_gain") == [
        "The baseline length is right on 0 % of all test rows and on 0 % of those without a leak."
    ]


def test_ends_are_compared_with_chance_where_gc_is_below_it() -> None:
    from kmerit.datasets.findings import findings

    result = look(random_parts(40), random_parts(40, seed=1))
    areas = {"ends": {"value": 0.6, "low": 0.54, "high": 0.66}, "GC": {"value": 0.4, "low": 0.3, "high": 0.5}}
    areas = {name: {**area, "ceiling": 0.9} for name, area in areas.items()}
    entries = [{**entry, "auroc": areas[entry["baseline"]]} for entry in result.baselines if entry["baseline"] in areas]
    assert not [
        finding for finding in findings(replace(result, baselines=tuple(entries)), Config()) if finding.code == "ends"
    ]
    areas["ends"]["low"] = 0.56
    assert [
        finding for finding in findings(replace(result, baselines=tuple(entries)), Config()) if finding.code == "ends"
    ]


def test_gates_that_were_not_measured_are_said(clean: tuple[Parts, Parts]) -> None:
    gates = {"copied": 0.5, "overlapping": 0.5, "mixed": 0.5, "repeated": 0.5, "smallest_class": 0.0, "ends": 0.5}
    result = look(*clean, **gates)
    assert (
        unchecked(result)[-1] == "Could not be checked; passing says nothing about them: thresholds overlapping, mixed."
    )
    alone = audit(made(clean[0]), config=Config.parse({"thresholds": gates}), baselines=())
    assert unchecked(alone)[-1].endswith("about them: thresholds copied, overlapping, ends, mixed.")


def test_a_class_that_the_test_split_lacks(clean: tuple[Parts, Parts]) -> None:
    train, test = clean
    for parts in clean:
        for i in range(0, len(parts), 3):
            parts[i] = np.where(np.arange(120) % 2 == 0, 1, parts[i]).astype(np.int8)
    sets = {"train": made(train, [i % 3 for i in range(300)]), "test": made(test, [i % 3 % 2 for i in range(200)])}
    result = audit(sets, config=Config.parse(CHEAP))
    by_name = {entry["feature"]: entry for entry in result.features}
    assert by_name["GC"]["strength"] > 0.7
    assert all(entry["auroc"]["value"] is not None for entry in result.baselines)
    assert "The split test has no rows of 2: AUROCs leave it out." in unchecked(result)


def test_a_test_split_of_one_class_is_said(clean: tuple[Parts, Parts]) -> None:
    train, test = clean
    result = audit({"train": made(train), "test": made(test, [1] * 200)}, config=Config.parse(CHEAP))
    assert {entry["strength"] for entry in result.features} == {None}
    assert "The split test has no rows of 0: AUROCs leave it out." in unchecked(result)
    assert any(text.startswith("AUROCs are undefined (") for text in unchecked(result))


def test_labels_that_do_not_begin_at_0(clean: tuple[Parts, Parts], tmp_path: Path) -> None:
    train, test = clean
    for parts in clean:
        for i in range(1, len(parts), 2):
            parts[i] = parts[i][:-3]
    sets = {
        name: made(parts, [5 + 2 * (i % 2) for i in range(len(parts))])
        for name, parts in (("train", train), ("test", test))
    }
    result = audit(sets, config=Config.parse(CHEAP))
    assert {name: facts["label"] for name, facts in result.classes.items()} == {"5": 5, "7": 7}
    assert ("feature_auroc", "length") in {(finding.code, finding.where) for finding in result.findings}
    write_split(split(sets), tmp_path)
    assert set(read_sequences(tmp_path / "test.parquet").labels.tolist()) == {5, 7}


def test_thresholds_of_the_config_are_gates(clean: tuple[Parts, Parts]) -> None:
    train, test = clean
    test[1] = train[1]
    assert codes(look(train, test)) == set()
    assert not look(train, test, copied=0.02).stops
    result = look(train, test, copied=0.001)
    assert result.stops
    assert [finding.code for finding in result.findings if finding.gate] == ["copied"]
    assert words.finding(result.findings[0]).severity == "failure"


@pytest.mark.parametrize(
    ("tree", "message"),
    [
        ({"thresholds": {"copyed": 0.1}}, "Unknown key 'thresholds.copyed'. Did you mean 'copied'?"),
        ({"threshold": {}}, "Unknown key 'threshold'. Did you mean 'thresholds'?"),
        ({"thresholds": {"copied": "few"}}, "thresholds.copied: expected a number, got 'few'"),
        ({"thresholds": {"copied": 5}}, "copied: expected a number from 0 to 1, got 5: nothing would ever exceed it"),
        ({"thresholds": {"ends": float("nan")}}, "ends: expected a finite number, got nan"),
        ({"settings": {"resamples": 1.5}}, "resamples: expected a whole number, got 1.5"),
        ({"settings": {"baselines": ["luck"]}}, r"settings.baselines\[0\]: expected 'length', 'GC', .*, got 'luck'"),
        ({"settings": {"trees": 0}}, "trees: expected more than 0, got 0"),
        ({"settings": {"covered": 0}}, "covered: expected more than 0, got 0"),
        ({"settings": {"k": 40}}, "k: expected at most 32, got 40"),
    ],
)
def test_configs_that_cannot_be(tree: dict[str, object], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        Config.parse(tree)


def test_json_there_and_back(clean: tuple[Parts, Parts]) -> None:
    train, test = clean
    test[1] = train[1]
    result = look(train, test, copied=0.0)
    text = result.to_json()
    assert Audit.from_json(text).to_json() == text
    assert json.loads(text)["classes"]["1"]["test_rows_copied_from_train"] == 0.01
    assert look(train, test, copied=0.0).to_json() == text
    with pytest.raises(FormatError, match="Not an audit in JSON"):
        Audit.from_json("{}")
    with pytest.raises(FormatError, match="layout 99"):
        Audit.from_json(text.replace('"schema": 2', '"schema": 99'))


def test_the_page_needs_nothing_from_elsewhere(clean: tuple[Parts, Parts]) -> None:
    train, test = clean
    test[1] = train[1]
    sets = {"train": made(train), "test": made(test), "<b>third</b>": made(random_parts(20, seed=5))}
    html = audit_page(audit(sets, config=Config.parse({**CHEAP, "thresholds": {"copied": 0.0}})))
    assert re.findall(r"(?:src|href)=\"(?!#|data:)[^\"]*", html) == []
    assert "<script" not in html
    assert "<b>" not in html
    assert "&lt;b&gt;third" in html
    assert "prefers-color-scheme: dark" in html
    assert "Above the config's threshold." in html
    for part in ("findings", "leaks", "separability", "rows", "settings"):
        assert f'<section id="{part}"' in html


def test_progress_goes_from_first_to_last(clean: tuple[Parts, Parts]) -> None:
    calls: list[tuple[int, int]] = []
    audit({"train": made(clean[0])}, baselines=(), progress=lambda done, total: calls.append((done, total)))
    assert [done for done, _ in calls] == sorted(done for done, _ in calls)
    assert calls[-1][0] == calls[-1][1]


def test_ends_that_were_cut_by_class(clean: tuple[Parts, Parts]) -> None:
    rng = np.random.default_rng(4)
    for parts in clean:
        for i in range(1, len(parts), 2):
            if rng.random() < 0.7:
                parts[i][0] = 3
    result = look(*clean)
    first = next(finding for finding in result.findings if finding.code == "ends")
    assert "where rows were cut gives their class away" in words.finding(first).text
    assert "crop from the centre" in words.finding(first).remedy
    numbers = f"AUROC {first.values['auroc']:.2f}, GC content {first.values['gc']:.2f}"
    assert (None, f"cut differently: the first and last 20 letters reach {numbers}") in lines(result)
