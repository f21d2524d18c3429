"""Variants: windows, strands, references and reasons, against windows cut by hand."""

from __future__ import annotations

import gzip
import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch

import kmerit as km
from kmerit.errors import FormatError, LengthError, RunError, RunMismatch, SequenceError, TargetError, UsageError
from kmerit.io.genome import Genome
from kmerit.io.vcf import BgzipWriter
from kmerit.sequences import decode
from kmerit.store import Share, Work

HEADER = "##fileformat=VCFv4.2\n#CHROM\tPOS\tID\tREF\tALT\tQUAL\tFILTER\tINFO\n"
LETTERS = np.random.default_rng(3).choice(list("ACGT"), 1000)
CHR1 = "".join(LETTERS[:600])
CHR2 = "".join(LETTERS[600:800]) + "N" + "".join(LETTERS[800:])
LENGTH = 40
OTHER = str.maketrans("ACGT", "TGCA")


@pytest.fixture
def genome(tmp_path: Path) -> Path:
    path = tmp_path / "g.fa"
    lines = [CHR1[i : i + 60] for i in range(0, len(CHR1), 60)]
    path.write_text("\n".join([">chr1", *lines, ">chr2", CHR2.lower(), ""]))
    return path


@pytest.fixture
def write(tmp_path: Path) -> Callable[..., Path]:
    def writer(*rows: tuple[str, int, str, str], header: str = HEADER) -> Path:
        path = tmp_path / "v.vcf"
        lines = [f"{chrom}\t{pos}\t.\t{ref}\t{alt}\t.\t.\t." for chrom, pos, ref, alt in rows]
        path.write_text("\n".join([header.rstrip("\n"), *lines, ""]))
        return path

    return writer


@pytest.fixture(scope="module")
def model() -> km.Model:
    torch.manual_seed(0)
    module = torch.nn.Sequential(
        torch.nn.Conv1d(4, 6, 7), torch.nn.Softplus(), torch.nn.Flatten(), torch.nn.Linear(6 * (LENGTH - 6), 2)
    )
    return km.wrap(module, LENGTH, ["off", "on"], dtype="float64", micro_batch=3)


def reverse(text: str) -> str:
    return text.translate(OTHER)[::-1]


def logit(model: km.Model, text: str, both: bool = True) -> float:
    each = [text, reverse(text)] if both else [text]
    return float(model.logits(each)[:, 1].mean())


def test_substitutions_insertions_and_deletions(model: km.Model, genome: Path, write: Callable[..., Path]) -> None:
    # 0-based; letters at the end that both alleles share are cut first, so there shall be none.
    at = next(i for i in range(300, 400) if CHR1[i + 3] != CHR1[i] and CHR1[i] not in "GT" and CHR1[i + 2] != CHR1[i])
    ref = CHR1[at]
    snv = next(base for base in "ACGT" if base != ref)
    vcf = write(
        ("1", at + 1, ref, snv.lower()),
        ("1", at + 1, ref, ref + "ACG"),
        ("chr1", at + 1, CHR1[at : at + 4], ref),
        ("chr1", at + 1, CHR1[at : at + 3], reverse(CHR1[at : at + 3])),
    )
    table = km.variants(model, vcf, genome, target="on").table
    window = CHR1[at - 20 : at + 20]
    assert table["ref_logit"][0] == pytest.approx(logit(model, window), rel=1e-12)
    assert table["alt_logit"][0] == pytest.approx(logit(model, window[:20] + snv + window[21:]), rel=1e-12)
    # The core of an insertion begins behind the letter that both alleles share.
    shifted = CHR1[at - 19 : at + 21]
    assert table["ref_logit"][1] == pytest.approx(logit(model, shifted), rel=1e-12)
    assert table["alt_logit"][1] == pytest.approx(logit(model, (shifted[:20] + "ACG" + shifted[20:])[:40]), rel=1e-12)
    deleted = CHR1[at - 19 : at + 1] + CHR1[at + 4 : at + 24]
    assert len(deleted) == LENGTH
    assert table["alt_logit"][2] == pytest.approx(logit(model, deleted), rel=1e-12)
    assert (table["difference"] == table["alt_logit"] - table["ref_logit"]).all()
    assert (table["left_out"] == "").all()
    p = [
        1 / (1 + np.exp(-(on - off)))
        for text in (window, window[:20] + snv + window[21:])
        for off, on in [model.logits([text])[0]]
    ]
    back = [
        1 / (1 + np.exp(-(on - off)))
        for text in (window, window[:20] + snv + window[21:])
        for off, on in [model.logits([reverse(text)])[0]]
    ]
    assert table["probability_difference"][0] == pytest.approx((p[1] - p[0] + back[1] - back[0]) / 2)


def test_every_reason(model: km.Model, genome: Path, write: Callable[..., Path], tmp_path: Path) -> None:
    a = CHR1[300]
    other = next(base for base in "ACGT" if base != a)
    rows = {
        ("chr1", 301, a, "."): "no_alternative",
        ("chr1", 301, a, "<DEL>"): "symbolic_allele",
        ("chr1", 301, a, "*"): "star_allele",
        ("chr1", 301, a, f"{a}[chr2:5["): "breakend",
        ("chr1", 301, a, "." + a): "breakend",
        ("chr1", 301, a, "Z"): "unreadable_allele",
        ("chr1", 301, a, "R"): "ambiguous_allele",
        ("chr1", 301, a, a.lower()): "no_change",
        ("chr1", -4, a, other): "position_below_1",
        ("chr1", 0, a, other): "position_below_1",
        ("chr9", 301, a, other): "chromosome_absent",
        ("chr1", 601, a, other): "past_chromosome_end",
        ("chr1", 301, other, a): "reference_mismatch",
        ("chr1", 301, a, a + "ACGT" * 6): "longer_than_window",
        ("chr1", 5, CHR1[4], next(base for base in "ACGT" if base != CHR1[4])): "window_over_end",
        ("chr1", 596, CHR1[595], next(base for base in "ACGT" if base != CHR1[595])): "window_over_end",
        ("chr2", 190, CHR2[189], next(base for base in "ACGT" if base != CHR2[189])): "n_in_window",
        ("chr1", 301, a, other): "",
    }
    result = km.variants(model, write(*rows), genome, target="on", skip_mismatches=True)
    assert result.table["left_out"].tolist() == list(rows.values())
    assert result.table["difference"].notna().tolist() == [reason == "" for reason in rows.values()]
    assert sum(result.counts.values()) == len(rows) - 1
    assert repr(result) == "<Variants: 1 scored, 17 left out>"
    assert [locus is None for locus in result.loci] == [reason != "" for reason in rows.values()]
    assert result.loci[-1] == km.Locus("chr1", 280, 320)


def test_other_references_are_refused_and_counted(model: km.Model, genome: Path, write: Callable[..., Path]) -> None:
    a = CHR1[300]
    other = next(base for base in "ACGT" if base != a)
    vcf = write(("chr1", 301, other, a), ("chr1", 302, CHR1[301], "A" if CHR1[301] != "A" else "C"))
    with pytest.raises(FormatError, match=rf"REF of 1 of 2 alleles .* first line 3, chr1:301 '{other}'\. Leave"):
        km.variants(model, vcf, genome, target="on")
    with pytest.raises(FormatError, match="Most do not: is it another assembly"):
        km.variants(model, write(("chr1", 301, other, a)), genome, target="on")
    header = HEADER.replace("#CHROM", "##contig=<ID=chr1,length=601>\n#CHROM")
    with pytest.raises(FormatError, match=r"the header gives chr1 601 nt, .* has 600: another assembly"):
        km.variants(model, write(("chr1", 301, a, other), header=header), genome, target="on")


def test_what_is_said_and_what_is_refused(
    model: km.Model, genome: Path, write: Callable[..., Path], caplog: pytest.LogCaptureFixture
) -> None:
    rows = [(chrom, at + 1, CHR1[at], "A" if CHR1[at] != "A" else "C") for chrom, at in (("1", 300), ("1", 200))]
    table = km.variants(model, write(*rows), genome, target="on").table
    assert table["pos"].tolist() == [301, 201]
    assert "The genome calls 1 chr1" in caplog.text
    assert "is not sorted (line 4)" in caplog.text
    with pytest.raises(FormatError, match="none of 1 alleles can be scored: star_allele 1"):
        km.variants(model, write(("chr1", 301, CHR1[300], "*")), genome, target="on")
    with pytest.raises(FormatError, match="expected variants, found no row"):
        km.variants(model, write(), genome, target="on")
    with pytest.raises(TargetError, match="have no labels"):
        km.variants(model, write(*rows), genome, target="label")
    with pytest.raises(UsageError, match="expected windows of at least 1 nt, got 0"):
        km.variants(model, write(*rows), genome, target="on", length=0)
    undeclared = write(*rows)
    undeclared.write_text(undeclared.read_text().rstrip("\n.") + "DP=3;KM_DIFF=1\n")
    with pytest.raises(FormatError, match="line 4: the row has the INFO field KM_DIFF already"):
        km.variants(model, undeclared, genome, target="on")
    clash = HEADER.replace("#CHROM", '##INFO=<ID=KM_DIFF,Number=A,Type=Float,Description="x">\n#CHROM')
    with pytest.raises(FormatError, match="has the INFO field KM_DIFF already"):
        km.variants(model, write(*rows, header=clash), genome, target="on")


def test_windows_of_a_reader_and_their_strand(
    model: km.Model, genome: Path, write: Callable[..., Path], tiny_checkpoint: Path, tmp_path: Path
) -> None:
    bed = tmp_path / "w.bed"
    bed.write_text("chr1\t280\t320\tminus\t0\t-\nchr1\t290\t330\tplus\t0\t+\n")
    windows = km.read_sequences(bed, genome=genome)
    rows = [("chr1", at + 1, CHR1[at], "A" if CHR1[at] != "A" else "C") for at in (295, 315, 400)]
    deletion = ("chr1", 291, CHR1[290:293], CHR1[290])
    result = km.variants(model, write(*rows, deletion), genome, target="on", windows=windows)
    table = result.table
    assert table["left_out"].tolist()[:3] == ["", "", "outside_windows"]
    assert result.loci[:2] == [km.Locus("chr1", 280, 320, "-"), km.Locus("chr1", 290, 330, "+")]
    changed = CHR1[280:295] + rows[0][3] + CHR1[296:320]
    assert table["ref_logit"][0] == pytest.approx(logit(model, reverse(CHR1[280:320]), both=False))
    assert table["alt_logit"][0] == pytest.approx(logit(model, reverse(changed), both=False))
    assert windows.string(0) == reverse(CHR1[280:320])
    if table["window_start"][3] == 280:
        with_gap = (CHR1[280:291] + CHR1[293:322])[:40]
        assert table["alt_logit"][3] == pytest.approx(logit(model, reverse(with_gap), both=False))
    with pytest.raises(SequenceError, match="windows: 'seq0' has no locus"):
        km.variants(model, write(*rows), genome, target="on", windows=[CHR1[:40]])
    other = tmp_path / "other.bed"
    other.write_text(bed.read_text() + "chr1\t281\t283\tshort\t0\t+\n")
    others = km.read_sequences(other, genome=genome)
    with pytest.raises(LengthError, match=r"'chr1:281-283:\+' has 2 nt; the wrapped module takes exactly 40"):
        km.variants(model, write(*rows), genome, target="on", windows=others)
    words = km.load_model(str(tiny_checkpoint))
    with pytest.raises(UsageError, match=r"windows: chr1:281-283:\+ has 2 nt; dnabert needs at least .*\. Leave such"):
        km.variants(words, write(*rows), genome, target=1, windows=others)
    with pytest.raises(UsageError, match=r"length: got windows of 2 nt; dnabert needs at least \d+\.$"):
        km.variants(words, write(*rows), genome, target=1, length=2)
    with pytest.raises(UsageError, match="windows have their own lengths"):
        km.variants(model, write(*rows), genome, target="on", windows=windows, length=40)


@pytest.mark.parametrize("strands", ["forward", "both"])
def test_methods_predict_the_difference(
    model: km.Model, genome: Path, write: Callable[..., Path], tmp_path: Path, strands: str
) -> None:
    rows = [("chr1", at + 1, CHR1[at], "ACGT"["CGTA".index(CHR1[at])]) for at in (295, 300, 310)]
    gone, longer = ("chr1", 401, CHR1[400:403], CHR1[400]), ("chr1", 401, CHR1[400], CHR1[400] + "TT")
    table = km.variants(
        model, write(*rows, gone, longer), genome, target="on", methods=["ism", "input_x_gradient"], strands=strands
    ).table
    assert table["ism"][:3].to_numpy() == pytest.approx(table["difference"][:3].to_numpy(), abs=1e-12)
    start = int(table["window_start"][0])
    window = CHR1[start : start + LENGTH]
    scores = km.attribute(model, [window], ["input_x_gradient"], "on", strands=strands)["input_x_gradient"]
    assert table["input_x_gradient"][0] == pytest.approx(-scores.scores[0, 20])
    at = int(table["window_start"][3])
    scores = km.attribute(model, [CHR1[at : at + LENGTH]], ["input_x_gradient"], "on", strands=strands)
    assert table["input_x_gradient"][3] == pytest.approx(-scores["input_x_gradient"].scores[0, 20:22].sum())
    assert table[["ism", "input_x_gradient"]].loc[4].isna().all()


def test_tokens_of_kmers_and_of_bpe(genome: Path, write: Callable[..., Path]) -> None:
    promoter = km.load_model("bundled:promoter")
    at = 300
    rows = [
        ("chr1", at + 1, CHR1[at], "A" if CHR1[at] != "A" else "C"),
        ("chr1", at + 1, CHR1[at], CHR1[at] + "GATTACA"),
        ("chr1", at + 1, CHR1[at : at + 6], CHR1[at]),
    ]
    table = km.variants(promoter, write(*rows), genome, target="promoter").table
    assert table["window_start"].tolist()[0] == at - 251 // 2
    assert not table["resegmented"].any()
    for i in range(3):
        start = int(table["window_start"][i])
        ref, alt = rows[i][2], rows[i][3]
        left, right = CHR1[start:at], CHR1[at + len(ref) :]
        new = (left + alt + right)[:200]
        core = sum(1 for j in range(195) if j < len(left) + len(alt) and j + 6 > len(left) + (i > 0))
        if i == 0:
            assert table["tokens_changed"][i] == 6
        else:  # no more than the words over the variant and one letter around it
            assert 0 < table["tokens_changed"][i] <= core + 1
        assert len(new) == 200


def test_into_a_folder_resumed_to_the_byte(
    model: km.Model, genome: Path, write: Callable[..., Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("kmerit.biology.variants._TOGETHER", 16)
    rows = [
        ("chr1" if at % 2 else "1", at + 1, CHR1[at], "<X>,*,G" if at % 7 == 0 else "ACGT"["CGTA".index(CHR1[at])])
        for at in range(15, 160)
    ]
    vcf = write(*rows)
    whole = km.variants(model, vcf, genome, target="on", methods=["saliency"], out=tmp_path / "whole")
    calls = []

    def stop(done: int, total: int) -> None:
        calls.append((done, total))
        if len(calls) == 4:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        km.variants(model, vcf, genome, target="on", methods=["saliency"], out=tmp_path / "again", progress=stop)
    assert len(list((tmp_path / "again" / "parts").glob("*.parquet"))) == 4
    part = next((tmp_path / "again" / "parts").glob("*2.parquet"))
    part.write_bytes(part.read_bytes()[:-1])  # it is made again
    km.variants(model, vcf, genome, target="on", methods=["saliency"], out=tmp_path / "again")
    names = sorted(path.name for path in whole.iterdir())
    assert names == ["left_out.csv", "summary.json", "variants.json", "variants.parquet", "variants.vcf.gz"]
    assert sorted(path.name for path in (tmp_path / "again").iterdir()) == names
    for name in names:
        assert (whole / name).read_bytes() == (tmp_path / "again" / name).read_bytes()
    memory = km.variants(model, vcf, genome, target="on", methods=["saliency"])
    table = pd.read_parquet(whole / "variants.parquet")
    pd.testing.assert_frame_equal(table, memory.table, check_dtype=False)
    summary = json.loads((whole / "summary.json").read_text())
    assert summary["alleles"] == len(table) == summary["scored"] + sum(summary["left_out"].values())
    left_out = pd.read_csv(whole / "left_out.csv")
    assert left_out["left_out"].value_counts().to_dict() == summary["left_out"] == memory.counts
    lines = gzip.decompress((whole / "variants.vcf.gz").read_bytes()).decode().splitlines()
    body = [line for line in lines if not line.startswith("#")]
    assert [line.split("\t")[:7] for line in body] == [
        line.split("\t")[:7] for line in vcf.read_text().splitlines()[2:]
    ]
    row = int(np.flatnonzero(table["left_out"] == "")[0])
    at = int(table["line"][row]) - 3
    first = dict(item.split("=") for item in body[at].split("\t")[7].split(";"))
    assert float(first["KM_DIFF"]) == pytest.approx(table["difference"][row], rel=1e-5)
    assert float(first["KM_SALIENCY"]) == pytest.approx(table["saliency"][row], rel=1e-5)
    several = next(line for line in body if "<X>" in line)
    fields = dict(item.split("=") for item in several.split("\t")[7].split(";"))
    assert fields["KM_LEFT_OUT"].split(",")[:2] == ["symbolic_allele", "star_allele"]
    assert km.variants(model, vcf, genome, target="on", methods=["saliency"], out=whole) == whole  # done already
    with pytest.raises(RunMismatch, match="target was 'on', now it is 'off'"):
        km.variants(model, vcf, genome, target="off", methods=["saliency"], out=whole)


def test_shares_make_the_bytes_of_one_process(
    model: km.Model, genome: Path, write: Callable[..., Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("kmerit.biology.variants._TOGETHER", 16)
    vcf = write(*(("chr1", at + 1, CHR1[at], "ACGT"["CGTA".index(CHR1[at])]) for at in range(15, 130)))

    def make(out: str, share: Work | None = None, target: str = "on") -> Path:
        return km.variants(model, vcf, genome, target=target, methods=["saliency"], out=tmp_path / out, share=share)

    def written(folder: Path) -> dict[str, bytes]:
        return {path.name: path.read_bytes() for path in folder.iterdir()}

    whole = written(make("whole"))
    for share in (Share(1, 2), "gather"):
        with pytest.raises(RunError, match="no plan yet"):
            make("none", share)  # type: ignore[arg-type]
    assert not (tmp_path / "none").exists()
    for count in (1, 2, 7):
        out = str(count)
        make(out, "plan")
        with pytest.raises(RunError, match="8 of 8 parts are missing or damaged, the first 000000"):
            make(out, "gather")
        for number in range(count, 0, -1):
            make(out, Share(number, count))
        damaged = next((tmp_path / out / "parts").glob("*5.parquet"))
        damaged.write_bytes(damaged.read_bytes()[:-1])
        with pytest.raises(RunError, match="1 of 8 parts are missing or damaged, the first 000005"):
            make(out, "gather")
        make(out, Share(5 % count + 1, count))
        with pytest.raises(RunMismatch, match="target was 'on', now it is 'off'"):
            make(out, Share(1, count), "off")
        make(out, "gather")
        assert written(tmp_path / out) == whole
        make(out, Share(1, 2))  # one that comes late
        assert written(tmp_path / out) == whole


def test_a_bgzipped_genome_and_vcf(model: km.Model, genome: Path, write: Callable[..., Path], tmp_path: Path) -> None:
    vcf = write(*[("chr1", at + 1, CHR1[at], "ACGT"["CGTA".index(CHR1[at])]) for at in range(30, 90)])
    packed = {}
    for path in (genome, vcf):
        packed[path] = path.with_name(path.name + ".gz")
        with packed[path].open("wb") as file, BgzipWriter(file) as writer:
            writer.write(path.read_text())
    plain = km.variants(model, vcf, genome, target="on").table
    pd.testing.assert_frame_equal(km.variants(model, packed[vcf], packed[genome], target="on").table, plain)
    assert (tmp_path / "g.fa.gz.gzi").is_file()
    bed = tmp_path / "w.bed"
    bed.write_text("chr1\t280\t320\n")
    assert km.read_sequences(bed, genome=packed[genome]).strings() == [CHR1[280:320]]
    shutil.copy(packed[vcf], tmp_path / "cut.vcf.gz")
    with (tmp_path / "cut.vcf.gz").open("rb+") as file:
        file.truncate(packed[vcf].stat().st_size - 40)
    with pytest.raises(FormatError, match="cut off"):
        km.variants(model, tmp_path / "cut.vcf.gz", genome, target="on")


@pytest.mark.parametrize("kept", ["both", "places of records", "places of blocks"])
def test_an_index_of_another_bgzipped_genome_is_refused(kept: str, tmp_path: Path) -> None:
    rng = np.random.default_rng(3)
    texts = [
        "".join(f">chr{i}\n{''.join(rng.choice(list('ACGT'), size))}\n" for i, size in enumerate(sizes))
        for sizes in ((70_000, 90_000), (80_000, 70_001))
    ]
    path, indices = tmp_path / "g.fa.gz", [tmp_path / "g.fa.gz.fai", tmp_path / "g.fa.gz.gzi"]

    def pack(text: str) -> None:
        with path.open("wb") as file, BgzipWriter(file) as writer:
            writer.write(text)

    pack(texts[1])
    second = Genome.open(path)
    assert decode(second.letters(1, 60_000, 10_001)) == texts[1][-10_002:-1]
    own = [each.read_bytes() for each in indices]
    for each in indices:
        each.unlink()
    pack(texts[0])
    Genome.open(path)
    pack(texts[1])
    for each, text in zip(indices, own, strict=True):
        if kept == ("places of blocks" if each.suffix == ".fai" else "places of records"):
            each.write_bytes(text)
        os.utime(each, (path.stat().st_atime, path.stat().st_mtime + 60))  # newer than the file, and not its own
    with pytest.raises(FormatError, match=r"g\.fa\.gz\.(fai|gzi) is not the index of this file"):
        Genome.open(path)
    for each, text in zip(indices, own, strict=True):
        each.write_bytes(text)
    assert Genome.open(path).length.tolist() == [80_000, 70_001]


def test_a_model_without_a_length_needs_one(genome: Path, write: Callable[..., Path], tiny_checkpoint: Path) -> None:
    model = km.load_model(str(tiny_checkpoint))
    vcf = write(("chr1", 301, CHR1[300], "A" if CHR1[300] != "A" else "C"))
    with pytest.raises(UsageError, match="Give the windows' length"):
        km.variants(model, vcf, genome)
    predicted = km.variants(model, vcf, genome, length=60, strands="forward").table
    window = CHR1[270:330]
    logits = model.logits([window])[0]
    assert predicted["target"][0] == int(logits.argmax())
    assert predicted["ref_logit"][0] == pytest.approx(float(logits.max()), rel=1e-6)
