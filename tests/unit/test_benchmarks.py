"""The benchmarks run, on a tiny size; how fast is nobody's business here."""

from __future__ import annotations

import gzip
import json
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import numpy as np
import pytest

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"


def run(script: str, *arguments: str) -> Any:
    command = [sys.executable, str(BENCHMARKS / script), "--json", *arguments]
    process = subprocess.run(command, capture_output=True, text=True, timeout=600, check=True)
    assert process.stderr == "", "nothing but the numbers is printed"
    return json.loads(process.stdout)


def test_engine() -> None:
    result = run("engine.py", "--size", "tiny", "--repeats", "1", "--threads", "1", "--device", "cpu")
    assert "torch" in result["machine"]
    (tiny,) = result["results"]
    assert set(tiny["milliseconds"]) == {"Hugging Face forward", "kmerit prediction", "kmerit six scores"}
    assert min(tiny["milliseconds"].values()) > 0
    assert tiny["largest_difference"] < 1e-5
    # Two layers, the last one cut short. Forward: 12/12 and 3/12 of a layer. The gradient comes down to the first
    # attention, the relevance (three products for one) to the input: 9/12 + 2/12, and 3 x (12/12 + 2/12).
    expected = (15 + 11 + 42) / 24
    assert tiny["anatomy"]["arithmetic"] == pytest.approx(expected, rel=0.03)


@pytest.mark.slow
def test_streaming() -> None:
    rows = run("streaming.py", "--counts", "64", "640")
    steps = ["attribute", "mutate", "plan", "share", "gather", "summary", "cards"]
    assert [(row["sequences"], row["step"]) for row in rows] == [(n, step) for n in (64, 640) for step in steps]
    assert all(row["loaded"] <= row["read"] <= row["peak"] for row in rows)


@pytest.mark.slow
def test_kills() -> None:
    whole, shared = run("kills.py", "--verbs", "attribute", "--shares", "2")
    assert (whole["shares"], whole["kills"], whole["files"]) == (None, 0, 2)
    assert (sorted(shared["order"]), shared["files"]) == ([1, 2], 2)
    assert shared["kills"] > 2, "both shares, and the gathering"
    assert shared["sha256"] == whole["sha256"]


@pytest.mark.slow
def test_vcf() -> None:
    (small,) = run("vcf.py", "--counts", "300")
    assert small["rows"] == 300
    assert small["windows"] == 2 * (300 - small["left_out"])
    assert 0 < small["throughput"] < 2


@pytest.mark.slow
def test_measured() -> None:
    result = run("measured.py", "--tables", "3", "--resamples", "100")
    assert result["tables"] == 3
    assert 0 <= result["opened"] <= 3
    assert set(result["holds"]) == {"copy", "copy, by position"}


@pytest.mark.slow
def test_motifs(tmp_path: Path) -> None:
    """It runs and resumes, and few runs bound the error rate as the specification asks of 400: must hold."""
    from kmerit.io.motifs import bundled_motifs

    small = ("--pool", "160", "--rows", "80", "--copies", "20", "--meme", str(bundled_motifs()), "--out", str(tmp_path))
    first = run("motifs.py", "error", *small, "--runs", "2")
    assert (first["runs"], first["errors"]) == (2, 0)
    assert first["upper"] == pytest.approx(0.7764, abs=1e-3)
    before = (tmp_path / "results.jsonl").read_text()
    more = run("motifs.py", "error", *small, "--runs", "48")
    assert more["runs"] == 48
    assert more["tested"] > 2
    assert more["upper"] <= 0.1, "a procedure that errs in one run of ten"
    assert (tmp_path / "results.jsonl").read_text().startswith(before)


@pytest.mark.slow
def test_heads(tmp_path: Path) -> None:
    def typed(*arguments: str) -> str:
        command = [sys.executable, str(BENCHMARKS / "heads.py"), *arguments]
        return subprocess.run(command, capture_output=True, text=True, timeout=600, check=True).stdout

    table, maf = tmp_path / "genes.csv", tmp_path / "x.maf.gz"
    table.write_text(
        'gene_id,chr,strand,start,end,jn_start,jn_end\nA,chr20,+,101,400,"150,250","201,301"\nB,chr1,-,1,9,,\n'
    )
    lines = ("a", "s Hsap.22 10 4 + 99 Ac-gT", "s Ptro.22 5 5 + 99 ACTGA", "s Ggor.22 5 5 + 99 ACTTT", "", "")
    maf.write_bytes(gzip.compress("\n".join(lines).encode()))
    done = typed("data", "--genes", str(table), "--alignment", str(maf), "--out", str(tmp_path))
    assert done.startswith("3 exons, 1 blocks")
    exons = [line.split("\t")[3:5] for line in (tmp_path / "genes.gtf").read_text().splitlines()]
    assert exons == [["101", "150"], ["201", "250"], ["301", "400"]]
    assert gzip.decompress((tmp_path / "soft-masked.fa.gz").read_bytes()) == b">chr22:10-14\nAcgT\n"
    steps = gzip.decompress((tmp_path / "conservation.bedgraph.gz").read_bytes()).decode().split("\n")[:-1]
    assert steps == ["chr22\t10\t12\t1.000", "chr22\t12\t14\t0.500"]
    clock = typed("time", "--windows", "60", "--heads", "2", "--features", "2", "--draws", "40")
    assert "60 windows, 2 heads, 2 features, 40 rotations" in clock

    letters = np.random.default_rng(0).choice(list("ACGT"), 20_000)
    (tmp_path / "genome.fa").write_text(">chr1\n" + "".join(letters) + "\n")
    study = tmp_path / "study.toml"
    study.write_text(
        f'[windows]\ngenome = "{tmp_path}/genome.fa"\nlength = 60\ncount = 60\n'
        '[[features]]\nfeature = "gc"\n[[features]]\nfeature = "kmer"\nword = "CG"\n'
        '[[stages]]\nname = "encoder"\nmodel = "bundled:encoder"\n'
        '[untrained]\nseeds = 10\n[tests]\ndraws = 40\nadjust = ["position"]\n'
    )
    made = [sys.executable, "-m", "kmerit", "heads", str(study), "--out", str(tmp_path / "heads")]
    subprocess.run(made, capture_output=True, timeout=600, check=True)
    others = ["--config", str(study), "--reference", str(tmp_path / "heads"), "--out", str(tmp_path / "others")]
    shares = typed("random", *others, "--models", "1")
    assert shares.count("heads, any feature:") == 2, "adjusted, and not"
    assert shares.count(" of 9\n") == 2


def test_the_study_of_heads_names_what_there_is() -> None:
    pytest.importorskip("memelite")
    from kmerit.biology.feature import parse_features
    from kmerit.sequences import Sequences

    study = tomllib.loads((BENCHMARKS / "heads.toml").read_text(encoding="utf-8"))
    rows = Sequences.from_strings(["ACGTTTGCCACCTGCTGGGACTCA"])
    computed = [each for each in study["features"] if not {"path", "genome"} & set(each)]
    tracks = [track for feature in parse_features(computed) for track in feature.tracks(rows)]
    assert sum(track.startswith("motif ") for track in tracks) == 5


@pytest.mark.slow
def test_regression() -> None:
    """Relevance of a value has the sign and the rank of exact changes, and adds up: the specification's numbers."""
    result = run("regression.py", "bundled:planted_values", "--sequences", "8", "--methods", "cp_lrp,attnlrp")
    assert result["r2"] > 0.8
    assert result["motifs"] > 30
    assert len(result["methods"]) == 16  # two methods, each with and without gamma, four references
    for row in result["methods"]:
        assert row["signs"] >= 0.9, row
        assert row["spearman"] >= 0.7, row
    assert {*result["ledgers"]} == {"cp_lrp", "attnlrp", "cp_lrp, gamma 0.25", "attnlrp, gamma 0.25"}
    assert all(0.5 < tau < 0.95 for tau in result["tau_gamma"].values())  # it ranks single nucleotides otherwise
    for entries in result["ledgers"].values():
        assert entries["missed_at_most"] < 1e-9
        assert entries["output"] - entries["output_reference"] > 0.05  # not a ledger of nothing
        assert abs(entries["input"]) > 0.02


@pytest.mark.slow
def test_pairs(tmp_path: Path) -> None:
    command = [sys.executable, str(BENCHMARKS / "pairs.py"), str(tmp_path), "promoter", "--per-class", "2"]
    page = subprocess.run(command, capture_output=True, text=True, timeout=600, check=True).stdout
    assert page.startswith("## promoter: ")
    rows = [line.split("|")[1:-1] for line in page.splitlines() if line.startswith("| ")]
    assert rows[0][0].strip() == "class"
    places = {(cells[0].strip(), cells[1].strip(), cells[2].strip()) for cells in rows[1:]}
    assert {method for _, method, _ in places} == {"attnlrp", "lrp"}
    assert {distance for _, _, distance in places} >= {"all", "near"}
    assert (tmp_path / "promoter.csv").is_file()
