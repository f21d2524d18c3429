"""Scores belong to letters: whatever asks for them under other letters, another crop or another place is refused."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest

import kmerit as km
from helpers.score_files import without_sum
from kmerit.errors import FormatError, SequenceError, Withheld
from kmerit.io.crops import Crop, prepare
from kmerit.io.scores import IDENTITY, read_attributions
from kmerit.report.figures import plot_logo
from kmerit.results import Identity
from kmerit.sequences import Window
from kmerit.trials.execution import open_scores

GENERATOR = np.random.default_rng(8)
STRINGS = ["".join(GENERATOR.choice(list("ACGT"), 60)) for _ in range(4)]
LOCI = [km.Locus("chr1", 1000 * i, 1000 * i + 60, "+-"[i % 2]) for i in range(4)]
WHOLE = km.Sequences.from_strings(STRINGS, labels=[0, 1, 0, 1], loci=LOCI)


def cropped(length: int, anchor: Any = "left", whole: km.Sequences = WHOLE) -> km.Sequences:
    return prepare(whole, crop=Crop(length, anchor))[0]


@pytest.fixture(scope="module")
def model(tiny_checkpoint: Path) -> Any:
    return km.load_model(tiny_checkpoint)


@pytest.fixture(scope="module")
def written(model: Any, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("scores") / "scores.parquet"
    return km.attribute(model, cropped(40), ["lrp", "ism"], target=1, out=out)


Use = Callable[[Any, Path, km.Sequences, Path], object]
USES: dict[str, Use] = {
    **{
        to: lambda model, scores, sequences, out, to=to: km.export(
            km.read_attributions(scores)["ism"],
            sequences,
            out,
            to,  # type: ignore[misc]
        )
        for to in ("npz", "bed", "bedgraph", "bigwig")
    },
    "logo": lambda model, scores, sequences, out: (
        plot_logo(sequences, km.read_attributions(scores), sequences.names[0]).numbers
    ),
    "plot": lambda model, scores, sequences, out: km.read_attributions(scores)["lrp"].plot(0, sequences),
    "mutate": lambda model, scores, sequences, out: km.mutate(model, sequences, scores, [2], 1),
    "mutate in memory": lambda model, scores, sequences, out: km.mutate(
        model, sequences, km.read_attributions(scores), [2], 1
    ),
    "trial": lambda model, scores, sequences, out: km.trial(model, sequences, scores),
}
edited = ["ACGT"[("ACGT".index(text[0]) + 1) % 4] + text[1:] for text in STRINGS]
OTHERS = {
    "another anchor": (cropped(40, "right"), r"--crop 40 --anchor left.*--crop 40 --anchor right"),
    "another length": (cropped(39), r"nucleotides 0 to 40 of 60 .*nucleotides 0 to 39 of 60"),
    "no crop": (WHOLE, r"--crop 40 --anchor left.*all 60 nucleotides"),
    "edited letters": (cropped(40, whole=km.Sequences.from_strings(edited, loci=LOCI)), "other letters than these"),
    "another order, same names": (
        cropped(40, whole=km.Sequences.from_strings(STRINGS[::-1], loci=LOCI[::-1])),
        "other letters than these of 'seq0'",
    ),
    "another place": (
        replace(cropped(40), loci=tuple(km.Locus("chr2", 0, 40) for _ in range(4))),
        r"'seq0' at chr1:0-40:\+; these letters are at chr2:0-40:\+",
    ),
    "another strand": (
        replace(
            cropped(40),
            loci=tuple(
                locus._replace(strand="-" if locus.strand == "+" else "+") for locus in cropped(40).loci or () if locus
            ),
        ),
        "these letters are at chr1:0-40:-",
    ),
}


@pytest.mark.parametrize("other", OTHERS)
@pytest.mark.parametrize("use", USES)
def test_scores_of_other_letters_are_refused(use: str, other: str, model: Any, written: Path, tmp_path: Path) -> None:
    sequences, words = OTHERS[other]
    with pytest.raises(SequenceError, match=words):
        USES[use](model, written, sequences, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_the_same_letters_are_taken_by_all(model: Any, written: Path, tmp_path: Path) -> None:
    for use in USES:
        if use != "trial":
            USES[use](model, written, cropped(40), tmp_path / use)


def test_reordered_sequences_get_their_own_scores(model: Any, written: Path, tmp_path: Path) -> None:
    order = [2, 0, 3, 1]
    there, here = cropped(40), cropped(40).take(order)
    for to in ("bedgraph", "bigwig", "bed"):
        one, two = (
            USES[to](model, written, each, tmp_path / f"{to}{i}").read_bytes()  # type: ignore[attr-defined]
            for i, each in enumerate((there, here))
        )
        assert sorted(one.splitlines()) == sorted(two.splitlines()) if to == "bed" else one == two
    USES["npz"](model, written, there, tmp_path / "there")
    USES["npz"](model, written, here, tmp_path / "here")
    for name in ("ohe", "shap"):
        arrays = [np.load(tmp_path / folder / f"{name}.npz")["arr_0"] for folder in ("there", "here")]
        assert arrays[0].shape == (4, 4, 40)
        np.testing.assert_array_equal(arrays[0][order], arrays[1])
    ours, theirs = (open_scores(source, here) for source in (written, km.read_attributions(written)))
    own = km.read_attributions(written)
    for chunks in (ours.chunks(3), theirs.chunks(3)):
        for i, scores in zip(order, [each for chunk in chunks for each in chunk], strict=True):
            np.testing.assert_array_equal(scores, [own["lrp"].scores[i], own["ism"].scores[i]])
    moved = {name: km.mutate(model, each, written, [2], 2) for name, each in (("there", there), ("here", here))}
    logits = {
        name: [
            mutants["logits"]
            for mutants in sorted(curve.mutants.to_pylist(), key=lambda row: (curve.names[row["sequence"]], row["id"]))
        ]
        for name, curve in moved.items()
    }
    np.testing.assert_allclose(logits["here"], logits["there"], rtol=1e-5)


def test_letters_under_another_name_are_found_for_the_message(written: Path) -> None:
    with pytest.raises(SequenceError, match="'seq0'; those stand under 'seq3' there"):
        open_scores(written, OTHERS["another order, same names"][0])


def test_a_file_says_whose_letters_it_is_of(written: Path) -> None:
    rows = pq.read_table(written).to_pylist()[2 * 1]
    assert rows["letters_sha256"] == sha256(STRINGS[1][:40].encode()).hexdigest()
    assert [rows[name] for name in IDENTITY[1:]] == [0, 40, 60, "chr1", 1020, 1060, "-"]


def test_a_flipped_bit_anywhere_in_a_file_is_refused(model: Any, written: Path, tmp_path: Path) -> None:
    """Of every byte, in the scores, the other columns, the settings and the sum itself."""
    data = bytearray(written.read_bytes())
    path = tmp_path / "flipped.parquet"
    rng = np.random.default_rng(0)
    places = {*range(len(data) - 200, len(data)), *rng.integers(0, len(data), 400).tolist()}
    for at in places:
        data[at] ^= 1 << int(rng.integers(8))
        path.write_bytes(data)
        for reloaded in (read_attributions, lambda p: open_scores(p, cropped(40))):
            with pytest.raises(FormatError):
                reloaded(path)
        data[:] = written.read_bytes()


def test_a_file_without_a_sum_is_read_and_that_is_said(
    written: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    old = tmp_path / "old.parquet"
    pq.write_table(without_sum(written), old)
    for path, times in ((written, 0), (old, 1)):
        caplog.clear()
        read_attributions(path)
        assert [record.message for record in caplog.records] == [
            f"{path}: has no sum of its own (older version), so its scores cannot be proven whole."
        ] * times


def test_a_file_of_an_older_version_is_refused(model: Any, written: Path, tmp_path: Path) -> None:
    old = tmp_path / "old.parquet"
    pq.write_table(without_sum(written).drop_columns(list(IDENTITY)), old)
    for use in USES.values():
        with pytest.raises(FormatError, match=r"does not state the letters .* Attribute these sequences again"):
            use(model, old, cropped(40), tmp_path / "out")
    assert list(tmp_path.iterdir()) == [old]


def test_a_crop_of_a_crop_is_counted_from_the_whole() -> None:
    twice = prepare(cropped(50, "center"), crop=Crop(40, "right"))[0]
    assert twice.windows == (Window(15, 55, 60),) * 4
    assert twice.string(0) == STRINGS[0][15:55]
    assert twice.take([1]).windows == (Window(15, 55, 60),)
    with pytest.raises(SequenceError, match="windows"):
        replace(twice, windows=(Window(0, 39, 60),) * 4)


def test_scores_and_letters_have_one_length(model: Any) -> None:
    scores = km.attribute(model, cropped(40), ["lrp"], target=1)["lrp"]
    for sequences in (WHOLE, cropped(39)):
        with pytest.raises(SequenceError, match=r"not of its (60|39) nucleotides"):
            replace(scores, sequences=sequences, identity=None)
    with pytest.raises(ValueError, match="identity: expected"):
        replace(scores, identity=Identity.of(WHOLE.take([0, 1])))
    assert scores.take([3, 1]).of(cropped(40).take([1, 3])).names == ("seq1", "seq3")


def test_an_array_has_no_place_for_withheld_scores(tmp_path: Path) -> None:
    sequences = cropped(40, whole=WHOLE.take([0, 1]))
    scores = km.Attribution(
        "made",
        np.array([[np.nan] * 40, [1.0] * 40]),
        "nucleotide",
        np.zeros(2, np.int64),
        sequences.names,
        settings={"tolerance": 0.01, "withheld": "1 of 2 sequences"},
        diagnostics={"delta": np.array([0.5, 0.0])},
        sequences=sequences,
    )
    with pytest.raises(Withheld, match=r"1 of 2 sequences \(first: 'seq0'\)"):
        km.export(scores, sequences, tmp_path / "npz", "npz")
    rows = km.export(scores, sequences, tmp_path / "a.bed", "bed").read_text().splitlines()
    assert {row.split("\t")[3] for row in rows} == {"seq1"}
    with pytest.raises(Withheld):
        scores.plot(0)
    with pytest.raises(Withheld):
        plot_logo(sequences, {"made": scores}, "seq0")
