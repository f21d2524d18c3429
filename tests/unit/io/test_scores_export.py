"""What other programs get: read back with their own libraries, or as they document it."""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyBigWig
import pytest

import kmerit as km
from kmerit.errors import DataError, FormatError, MissingExtra, SequenceError, UsageError

STRINGS = ["ACGTTGCAACGG", "TTGACATTACAG"]
LOCI = [km.Locus("chr2", 100, 112, "+"), km.Locus("chr1", 500, 512, "-")]
SEQUENCES = km.Sequences.from_strings(STRINGS, names=["forward", "backward"], loci=LOCI)


def scores(values: Any = None, sequences: km.Sequences = SEQUENCES) -> km.Attribution:
    """Scores that can be told apart: 0.5, 1.5, ... and -0.5, -1.5, ..., not a number at position 3 of the second."""
    if values is None:
        values = (np.arange(12) + 0.5) * np.array([[1], [-1]])
        values[1, 3] = np.nan
    target = np.zeros(len(sequences), np.int64)
    return km.Attribution("made", np.array(values, np.float32), "nucleotide", target, sequences.names)


def test_bedgraph_is_sorted_and_minus_strands_run_backwards(tmp_path: Path) -> None:
    path = km.export(scores(), SEQUENCES, tmp_path / "a.bedgraph", "bedgraph")
    rows = [line.split("\t") for line in path.read_text().splitlines()]
    assert rows[:2] == [["chr1", "500", "501", "-11.5"], ["chr1", "501", "502", "-10.5"]]
    assert [row[1] for row in rows[:11]] == [str(500 + i) for i in range(12) if i != 8]  # no token covers position 3
    assert rows[11:13] == [["chr2", "100", "101", "0.5"], ["chr2", "101", "102", "1.5"]]
    assert rows[-1] == ["chr2", "111", "112", "11.5"]


def test_bed_may_overlap(tmp_path: Path) -> None:
    twice = km.Sequences.from_strings(STRINGS, names=["a", "b"], loci=[LOCI[0], km.Locus("chr2", 105, 117, "-")])
    path = km.export(scores(sequences=twice), twice, tmp_path / "a.bed", "bed")
    rows = [line.split("\t") for line in path.read_text().splitlines()]
    assert rows[0] == ["chr2", "100", "101", "a", "43", "+", "0.5"]
    assert rows[11] == ["chr2", "111", "112", "a", "1000", "+", "11.5"]
    assert rows[12] == ["chr2", "105", "106", "b", "1000", "-", "-11.5"]
    for to in ("bedgraph", "bigwig"):
        with pytest.raises(DataError, match="'a' and 'b' overlap on chr2"):
            km.export(scores(sequences=twice), twice, tmp_path / "b", to)
    assert not (tmp_path / "b").exists()


def test_bigwig_reads_back(tmp_path: Path) -> None:
    sizes = tmp_path / "genome.fa.fai"
    sizes.write_text("chr1\t1000\t6\t60\t61\n\nchr2\t2000\t6\t60\t61\nchr3\t3000\t6\t60\t61\n \n")
    km.export(scores(), SEQUENCES, tmp_path / "a.bw", "bigwig", chrom_sizes=sizes)
    with pyBigWig.open(str(tmp_path / "a.bw")) as file:
        assert file.chroms() == {"chr1": 1000, "chr2": 2000, "chr3": 3000}
        assert file.values("chr2", 100, 112) == [i + 0.5 for i in range(12)]
        backward = file.values("chr1", 500, 512)
        assert np.isnan(backward[8])
        assert [value for value in backward if value == value] == [-(i + 0.5) for i in range(11, -1, -1) if i != 3]
        assert file.intervals("chr1", 0, 500) is None
    km.export(scores(), SEQUENCES, tmp_path / "b.bw", "bigwig")
    with pyBigWig.open(str(tmp_path / "b.bw")) as file:
        assert file.chroms() == {"chr1": 512, "chr2": 112}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("chr1\t1000\n", "chr2 is missing"),
        ("chr1\t1000\nchr2\t50\n", "chr2 has 50 nt"),
        ("chr1 long\n", "line 1"),
        ("chr1 9\nchr1 8\n", "line 2: 'chr1' has two lengths"),
        (f"chr1 {2**32}\nchr2 500\n", "2[*][*]32"),
    ],
)
def test_sizes_of_another_genome(text: str, message: str, tmp_path: Path) -> None:
    (tmp_path / "sizes").write_text(text)
    with pytest.raises(FormatError, match=message):
        km.export(scores(), SEQUENCES, tmp_path / "a.bw", "bigwig", chrom_sizes=tmp_path / "sizes")
    assert not (tmp_path / "a.bw").exists()


def test_npz_is_what_tf_modisco_reads(tiny_checkpoint: Path, tmp_path: Path) -> None:
    model = km.load_model(tiny_checkpoint, dtype="float64")
    result = km.attribute(model, SEQUENCES, ["ism", "input_x_gradient", "ism_first_order"], target=1)
    for method, attribution in result.items():
        folder = km.export(attribution, SEQUENCES, tmp_path / method, "npz")
        assert sorted(path.name for path in folder.iterdir()) == ["ohe.npz", "shap.npz"]
        hot, shap = (np.load(folder / f"{name}.npz")["arr_0"] for name in ("ohe", "shap"))
        assert hot.shape == shap.shape == (2, 4, 12)
        assert ["".join("ACGT"[base] for base in row.argmax(0)) for row in hot] == STRINGS
        assert (hot.sum(1) == 1).all()
        contribution = (hot * shap).sum(1)  # what TF-MoDISco makes of the two
        share = (
            1 if method == "input_x_gradient" else 0.75
        )  # the mean drop to the others is 4/3 of the drop to the mean of all
        np.testing.assert_allclose(contribution, share * attribution.scores, rtol=1e-5, atol=1e-6)
        if method != "input_x_gradient":
            np.testing.assert_allclose(shap.sum(1), 0, atol=1e-5)
    hypothetical = km.hypothetical(model, SEQUENCES, target=1)
    centred = hypothetical - hypothetical.mean(1, keepdims=True)
    np.testing.assert_allclose(np.load(tmp_path / "ism_first_order" / "shap.npz")["arr_0"], centred, atol=1e-5)


def test_npz_refuses_unsigned_scores(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"unsigned, and of no use to TF-MoDISco.*ism_first_order"):
        km.export(replace(scores(), signed=False), SEQUENCES, tmp_path / "a", "npz")
    assert not (tmp_path / "a").exists()


def test_npz_wants_one_length_and_no_n(tmp_path: Path) -> None:
    uneven = km.Sequences.from_strings(["ACGTACGT", "ACGTAC"])
    values = np.array([[1.0] * 8, [1.0] * 6 + [np.nan] * 2])
    with pytest.raises(SequenceError, match="have 6 to 8 nt"):
        km.export(scores(values, uneven), uneven, tmp_path / "a", "npz")
    unknown = km.Sequences.from_strings(["ACGNACGT"])
    with pytest.raises(SequenceError, match="--drop-n"):
        km.export(scores(np.ones((1, 8)), unknown), unknown, tmp_path / "a", "npz")


def test_arrays_appear_both_or_not_at_all(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / "npz"
    km.export(scores(), SEQUENCES, folder, "npz")
    (folder / "notes.txt").write_text("mine")
    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    save = np.savez_compressed

    def stops(path: Path, array: object) -> None:
        if "shap" in str(path):
            raise KeyboardInterrupt
        save(path, array)

    monkeypatch.setattr(np, "savez_compressed", stops)
    with pytest.raises(KeyboardInterrupt):
        km.export(scores(), SEQUENCES, folder, "npz")
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == before
    monkeypatch.undo()
    other = replace(scores(), scores=-scores().scores)
    km.export(other, SEQUENCES, folder, "npz")
    assert (folder / "shap.npz").read_bytes() != before["shap.npz"]
    assert sorted(path.name for path in tmp_path.rglob("*") if path.is_file()) == ["notes.txt", "ohe.npz", "shap.npz"]


def test_what_cannot_be_exported(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    nowhere = km.Sequences.from_strings(STRINGS, names=SEQUENCES.names)
    with pytest.raises(SequenceError, match="'forward' has no coordinates"):
        km.export(scores(), nowhere, tmp_path / "a.bed", "bed")
    with pytest.raises(UsageError, match="not of these 1 sequences"):
        km.export(scores(), SEQUENCES.take([0]), tmp_path / "a.bed", "bed")
    with pytest.raises(UsageError, match="got 'wig'"):
        km.export(scores(), SEQUENCES, tmp_path / "a.wig", "wig")  # type: ignore[arg-type]
    tokens = km.Attribution("made", np.ones((2, 9)), "token", np.zeros(2, np.int64), SEQUENCES.names)
    with pytest.raises(UsageError, match="got tokens"):
        km.export(tokens, SEQUENCES, tmp_path / "a.bed", "bed")
    tabbed = km.Sequences.from_strings(STRINGS, names=["a\tb", "c"], loci=LOCI)
    with pytest.raises(SequenceError, match="has a tab"):
        km.export(scores(sequences=tabbed), tabbed, tmp_path / "a.bed", "bed")
    monkeypatch.setitem(sys.modules, "pyBigWig", None)
    with pytest.raises(MissingExtra, match=r"kmerit\[genome\]"):
        km.export(scores(), SEQUENCES, tmp_path / "a.bw", "bigwig")
    assert list(tmp_path.iterdir()) == []
