"""The study of heads: a head made by hand is found, tables and folders, stages, configs and what is refused."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch

import kmerit as km
from helpers.dying import KILLED_AT_A_RENAMING
from helpers.planted_head import LENGTH, PLANTED, WORD, planted_windows, write_planted
from kmerit.biology.head_study import TABLES, read_heads, read_heads_config, run_heads
from kmerit.biology.head_windows import draw_windows
from kmerit.errors import ConfigError, FormatError, RunError, RunMismatch, UsageError
from kmerit.io.readers import write_sequences
from kmerit.models import layers
from kmerit.models import model as models
from kmerit.report.page import heads_page, write_heads
from kmerit.report.text import head_lines
from kmerit.sequences import Sequences
from kmerit.store import Share, Work

ROOT = Path(__file__).parents[3]
FEATURES = [
    {"feature": "kmer", "word": WORD},
    {"feature": "gc"},
    {"feature": "cpg_ratio", "width": 31},
    {"feature": "position"},
]


@pytest.fixture(scope="module")
def planted(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_planted(tmp_path_factory.mktemp("planted"))


@pytest.fixture(scope="module")
def windows() -> Sequences:
    return planted_windows(120)


@pytest.fixture(scope="module")
def folder(planted: Path, windows: Sequences, tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("heads") / "out"
    km.heads({"planted": planted}, windows, FEATURES, draws=400, permuted=1, dose=2, out=place)
    return place


@pytest.fixture(scope="module")
def result(folder: Path) -> km.Heads:
    return read_heads(folder)


def test_the_head_made_by_hand_is_found_first(result: km.Heads) -> None:
    rows = result.associations[result.associations["stage"] == "planted"]
    first = rows.loc[rows["z"].abs().idxmax()]
    assert (first["layer"] - 1, first["head"] - 1, first["feature"]) == (*PLANTED, f"kmer {WORD}")
    assert first["q"] < 0.01
    assert first["p_max"] == pytest.approx(1 / 401)
    assert first["value"] > 0.2
    assert first["auroc"] > 0.9
    assert first[["candidate", "found", "beyond", "counts"]].all()
    best = result.counted.iloc[0]
    assert (best["layer"], best["head"]) == (PLANTED[0] + 1, PLANTED[1] + 1)
    assert "heads and features count, in planted" in repr(result)
    assert result.effects.set_index(["feature", "layer", "head"]).loc[(f"kmer {WORD}", 1, 3), "difference_low"] > 1
    others = result.effects[result.effects["feature"] == f"kmer {WORD}"]
    others = others[(others["layer"] != 1) | (others["head"] != 3)]
    assert others["effect"].abs().max() < 0.05
    dose = result.doses[result.doses["feature"] == f"kmer {WORD}"]
    assert dose["dose"].tolist() == [1, 2]
    assert dose["ablated"].tolist()[0] == "1.3"
    assert (dose["difference_low"] > 1).all()


def test_random_models_are_the_reference(result: km.Heads) -> None:
    assert result.stages["kind"].tolist() == ["model", "permuted", *["random"] * 10]
    assert result.stages["digest"].nunique() == 12
    random = result.associations[result.associations["stage"].str.startswith("random")]
    bars = result.features.set_index("feature")["bar"]
    size = random.assign(z=random["z"].abs()).pivot_table(
        index=["stage", "layer", "head"], columns="feature", values="z", dropna=False
    )
    tested = bars[result.features.set_index("feature")["tested"]]
    assert set(bars.index) - set(tested.index) == {"position"}
    assert bars.drop(tested.index).isna().all()
    for name, bar in tested.items():
        assert bar >= np.sort(size[name])[int(np.ceil(0.95 * 81)) - 1] - 1e-9
    assert (size[tested.index] > tested).any(axis=1).mean() <= 0.05
    assert (random["beyond"] == (random["z"].abs() > random["feature"].map(bars))).all()
    assert not random["counts"].any() or random["found"].any()


def test_heads_of_another_architecture_are_not_compared(
    planted: Path, windows: Sequences, caplog: pytest.LogCaptureFixture
) -> None:
    from helpers.checkpoints import REFERENCE

    other = REFERENCE / "gena_lm"  # 2 layers of 4 heads, too, but other tokens
    track = {"label": np.random.default_rng(0).normal(size=(120, LENGTH))}
    result = km.heads({"one": planted, "other": other}, windows, [track], draws=20, seeds=10, ablation=False)
    assert not len(result.changes)
    assert result.settings["incomparable"] == ["other"]
    assert not result.associations.loc[result.associations["stage"] == "other", "beyond"].any()
    assert head_lines(result)[-1].endswith("none can count without random models of its architecture.")
    assert "one and other are of different architectures" in caplog.text


def test_features_of_few_loci_are_measured_and_not_tested(planted: Path, windows: Sequences) -> None:
    rare = np.zeros((120, LENGTH))
    rare[:9, 40:50] = 1
    result, bare = (
        km.heads(planted, windows, [{"rare": rare}, "gc"], draws=60, seeds=0, ablation=False, min_loci=n)
        for n in (10, 1)
    )
    assert result.features["tested"].tolist() == [False, True]
    assert bare.features["tested"].tolist() == [True, True]
    assert result.features["loci"].tolist() == [9, 120]
    rows, others = (each.associations.query("feature == 'rare'") for each in (result, bare))
    assert rows[["z", "p", "p_max", "q"]].isna().all().all()
    pd.testing.assert_series_equal(rows["value"], others["value"])
    z = [each.associations.query("feature == 'gc'")["z"] for each in (result, bare)]
    pd.testing.assert_series_equal(*z)


def test_ablation_resumes_and_can_be_left_out(planted: Path, windows: Sequences, tmp_path: Path) -> None:
    some = windows.take(range(60))
    options = {"draws": 60, "seeds": 0, "dose": 1, "out": tmp_path / "out"}
    first = km.heads(planted, some, ["gc"], **options)
    stored = sorted((tmp_path / "out").glob("ablation-*.parquet"))
    times = [each.stat().st_mtime_ns for each in stored]
    assert not len(km.heads(planted, some, ["gc"], ablation=False, **options).effects)
    again = km.heads(planted, some, ["gc"], **options)
    pd.testing.assert_frame_equal(again.effects, first.effects, check_dtype=False)
    assert [each.stat().st_mtime_ns for each in stored] == times
    assert len(times) == 2


@pytest.mark.skipif(not layers._CAN_PACK, reason="this build of torch has no packed products")
def test_what_is_added_to_a_study_is_made_of_its_products(
    planted: Path, windows: Sequences, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def effects(out: str, kind: str, **options: Any) -> pd.DataFrame:
        monkeypatch.setattr(models, "fastest", lambda *of: kind)
        few = windows.take(range(60))
        return km.heads(
            planted, few, ["gc"], draws=60, seeds=0, dose=1, device="cpu", out=tmp_path / out, **options
        ).effects

    plain = effects("plain", "plain")
    effects("both", "plain", ablation=False)
    pd.testing.assert_frame_equal(effects("both", "packed"), plain, check_exact=True)
    products = json.loads((tmp_path / "both" / "heads.json").read_text())["products"]
    assert set(products.values()) == {"plain"}


def test_position_is_measured_and_not_tested(result: km.Heads) -> None:
    rows = result.associations[result.associations["feature"] == "position"]
    assert rows["value"].notna().all()
    assert rows[["z", "p", "q"]].isna().all().all()
    assert not rows["counts"].any()


def test_windows_are_counted(result: km.Heads) -> None:
    row = result.features.set_index("feature").loc[f"kmer {WORD}"]
    assert row[["windows", "loci", "constant", "missing", "explained"]].tolist() == [60, 60, 60, 0, 0]
    assert result.features.set_index("feature").loc["gc", "not_adjusted_for"] == "gc"


def test_tables_are_csv_and_parquet_and_numbers_are_kept(folder: Path, result: km.Heads, windows: Sequences) -> None:
    for name in TABLES:
        table = pd.read_csv(folder / f"{name}.csv")
        assert list(table.columns) == list(getattr(result, name).columns)
        assert len(table) == len(getattr(result, name))
    numbers = pd.read_parquet(folder / "numbers-0.parquet")
    assert len(numbers) == 120 * 8
    mine = numbers[(numbers["layer"] == 1) & (numbers["head"] == 3)]
    assert mine["window"].tolist() == list(windows.names)
    rows = result.associations.set_index(["stage", "layer", "head", "feature"])["value"]
    assert mine["gc"].mean() == pytest.approx(rows["planted", 1, 3, "gc"], abs=1e-5)


def test_work_resumes_and_gives_the_same(folder: Path, planted: Path, windows: Sequences, tmp_path: Path) -> None:
    place = tmp_path / "again"
    shutil.copytree(folder, place)
    for name in TABLES:
        (place / f"{name}.parquet").unlink()
    (place / "untrained-random-2.parquet").unlink()
    again = km.heads({"planted": planted}, windows, FEATURES, draws=400, permuted=1, dose=2, out=place)
    for name in TABLES:
        pd.testing.assert_frame_equal(getattr(again, name), getattr(read_heads(folder), name), check_dtype=False)
    with pytest.raises(RunMismatch, match="draws was 400, now it is 300"):
        km.heads({"planted": planted}, windows, FEATURES, draws=300, permuted=1, dose=2, out=place)
    with pytest.raises(FormatError, match=r"heads\.json is missing"):
        read_heads(tmp_path)


def study(planted: Path, windows: Sequences, out: Path, share: Work | None = None, **options: Any) -> None:
    """Study a model and its copy, with a reference, in a folder."""
    stages = {"planted": planted, "again": planted}
    chosen = {"draws": 60, "dose": 2, "permuted": 1, **options}
    km.heads(stages, windows.take(range(60)), FEATURES[:2], out=out, device="cpu", share=share, **chosen)  # type: ignore[call-overload]


def files(folder: Path) -> dict[str, bytes]:
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.fixture(scope="module")
def whole(planted: Path, windows: Sequences, tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    place = tmp_path_factory.mktemp("whole") / "out"
    study(planted, windows, place)
    assert len(pd.read_parquet(place / "doses.parquet"))  # so that heads are ablated together
    return files(place)


@pytest.mark.slow
@pytest.mark.parametrize("count", [1, 2, 7])
def test_shares_make_the_bytes_of_one_process(
    count: int, planted: Path, windows: Sequences, whole: dict[str, bytes], tmp_path: Path
) -> None:
    out = tmp_path / "out"
    for share in (Share(1, 2), "gather"):
        with pytest.raises(RunError, match="no plan yet"):
            study(planted, windows, out, share)  # type: ignore[arg-type]
    assert not out.exists()
    study(planted, windows, out, "plan")
    with pytest.raises(RunError, match="17 of 17 parts are missing or damaged, the first 000000"):
        study(planted, windows, out, "gather")
    for number in range(count, 0, -1):
        study(planted, windows, out, Share(number, count))
    damaged = out / "parts" / "ablation-1-dose-2-windows-all-layer-1-part.parquet"
    damaged.write_bytes(damaged.read_bytes()[:-1])
    with pytest.raises(RunError, match="1 of 17 parts are missing or damaged, the first 000016"):
        study(planted, windows, out, "gather")
    study(planted, windows, out, Share(16 % count + 1, count))
    study(planted, windows, out, "gather")
    assert files(out) == whole
    for share in (Share(1, 2), "plan", "gather"):  # those that come late
        study(planted, windows, out, share)  # type: ignore[arg-type]
    assert files(out) == whole


KILLED = f"""{KILLED_AT_A_RENAMING}
from tests.unit.biology.test_head_study import planted_windows, study
from kmerit.store import Share
study(Path(arguments[0]), planted_windows(120), Path(arguments[1]), Share(1, 2))
"""


@pytest.mark.slow
def test_a_share_that_is_killed_is_made_again(
    planted: Path, windows: Sequences, whole: dict[str, bytes], tmp_path: Path
) -> None:
    out = tmp_path / "out"
    study(planted, windows, out, "plan")
    places = [str(ROOT), str(ROOT / "tests"), os.environ.get("PYTHONPATH", "")]
    environment = {**os.environ, "OMP_NUM_THREADS": str(torch.get_num_threads()), "PYTHONPATH": os.pathsep.join(places)}
    for moment in (2, 6):
        command = [sys.executable, "-c", KILLED, str(moment), str(planted), str(out)]
        process = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, check=False, timeout=600)
        assert process.returncode == -signal.SIGKILL, process.stderr[-2000:]
    for share in (Share(2, 2), Share(1, 2), "gather"):
        study(planted, windows, out, share)  # type: ignore[arg-type]
    assert files(out) == whole


def test_a_share_of_another_plan_is_refused_by_name(
    planted: Path, windows: Sequences, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "out"
    study(planted, windows, out, "plan")
    with pytest.raises(RunMismatch, match="draws was 60, now it is 80"):
        study(planted, windows, out, Share(1, 2), draws=80)
    with pytest.raises(RunMismatch, match="dose was 2, now it is 1"):
        study(planted, windows, out, Share(1, 2), dose=1)
    with pytest.raises(RunMismatch, match="ablation was True, now it is False"):
        study(planted, windows, out, "gather", ablation=False)
    threads = torch.get_num_threads()
    torch.set_num_threads(threads + 1)
    try:
        with pytest.raises(RunMismatch, match=r"threads was \d+, now it is \d+"):
            study(planted, windows, out, "gather")
    finally:
        torch.set_num_threads(threads)
    monkeypatch.setattr(models, "version", lambda name: "0")
    with pytest.raises(RunMismatch, match=r"kmerit was '\S+', now it is '0'"):
        study(planted, windows, out, Share(1, 2))
    monkeypatch.undo()
    study(planted, windows, out, "plan", dose=1)  # another plan may ablate otherwise
    with pytest.raises(RunMismatch, match="dose was 1, now it is 2"):
        study(planted, windows, out, Share(1, 2))
    with pytest.raises(UsageError, match="share: expected a folder"):
        km.heads(planted, windows, ["gc"], seeds=0, share="plan")


def test_stages_are_compared_head_by_head(planted: Path, windows: Sequences, tmp_path: Path) -> None:
    from kmerit.models.untrained import random_weights

    before = random_weights(planted, 5)
    result = km.heads(
        {"before": before, "after": planted}, windows, FEATURES[:2], draws=60, seeds=0, ablation=False
    ).changes
    assert result["before"].unique().tolist() == ["before"]
    assert len(result) == 8 * 2
    row = result.set_index(["layer", "head", "feature"]).loc[(1, 3, f"kmer {WORD}")]
    assert row["changed"]
    assert row["low"] > 0.2
    assert result["changed"].sum() <= 4
    turned = km.heads(
        {"before": before, "after": planted}, windows, FEATURES[:2], before={"after": "after"}, draws=60, seeds=0,
        ablation=False,
    ).changes  # fmt: skip
    assert (turned["change"] == 0).all()
    # Of a feature of few loci no change is tested, and it does not blur the others'.
    rare = np.zeros((120, LENGTH))
    rare[:4, 40:50] = 1
    few = km.heads(
        {"before": before, "after": planted}, windows, [FEATURES[0], {"rare": rare}], draws=60, seeds=0, ablation=False
    ).changes
    assert few.loc[few["feature"] == "rare", ["change", "low"]].isna().all().all()
    assert few["changed"].any()


def test_without_a_reference_nothing_counts(planted: Path, windows: Sequences) -> None:
    result = km.heads(km.load_model(planted), windows, FEATURES[:1], draws=60, seeds=0, ablation=False)
    assert result.associations["found"].any()
    assert not result.associations["counts"].any()
    assert head_lines(result)[0].endswith("none can count without random models.")


def test_arrays_are_features(planted: Path, windows: Sequences) -> None:
    mask = np.zeros((120, LENGTH))
    mask[:, 50:60] = 1
    mask[:30] = np.nan
    result = km.heads(
        planted, windows, [{"mine": mask, "values": np.random.default_rng(0).normal(size=(120, LENGTH))}], draws=60,
        seeds=0, ablation=False,
    )  # fmt: skip
    assert result.features["mask"].tolist() == [True, False]
    assert result.features["missing"].tolist() == [30, 0]


def test_the_page_shows_maps_and_no_script(folder: Path, result: km.Heads) -> None:
    page = write_heads(result, folder).read_text()
    assert "adjusted for gc, position, kmers;" in page
    assert page == heads_page(result)
    assert "<script" not in page
    assert page.count('class="counts"') == int(
        result.associations.loc[result.associations["stage"].isin(["planted", "permuted 0"]), "counts"].sum()
    )
    assert page.count('role="img"') == 2 * len(result.features)
    for line in head_lines(result):
        assert line in page
    evil = result.associations.assign(feature="<b>x</b>")
    features = result.features.assign(feature="<b>x</b>")
    other = heads_page(
        km.Heads(result.stages, features, evil, result.changes, result.effects, result.doses, result.settings)
    )
    assert "<b>x" not in other


def config(tmp_path: Path, planted: Path, windows: Sequences, **more: str) -> Path:
    write_sequences(windows, tmp_path / "windows.parquet")
    text = f"""
seed = 2
[windows]
sequences = "{tmp_path}/windows.parquet"
[[features]]
feature = "kmer"
word = "{WORD}"
[[stages]]
name = "planted"
{more.get("stage", f'model = "{planted}"')}
[untrained]
seeds = 0
[tests]
draws = 60
[ablation]
dose = 1
"""
    path = tmp_path / "study.toml"
    path.write_text(text)
    return path


def test_a_config_is_the_same_study(planted: Path, windows: Sequences, tmp_path: Path) -> None:
    result = run_heads(read_heads_config(config(tmp_path, planted, windows)), device="cpu")
    same = km.heads({"planted": planted}, windows, FEATURES[:1], draws=60, seeds=0, dose=1, seed=2, device="cpu")
    pd.testing.assert_frame_equal(result.associations, same.associations)
    pd.testing.assert_frame_equal(result.effects, same.effects)


def test_checkpoints_of_a_training_are_stages(planted: Path, windows: Sequences, tmp_path: Path) -> None:
    for step in (20, 100):
        shutil.copytree(planted, tmp_path / "run" / f"checkpoint-{step}")
    path = config(tmp_path, planted, windows, stage=f'steps = "{tmp_path}/run"')
    result = run_heads(read_heads_config(path, ["ablation.test=false"]))
    assert result.stages["stage"].tolist() == ["planted 20", "planted 100"]
    assert result.changes["before"].unique().tolist() == ["planted 20"]


def test_the_command(planted: Path, windows: Sequences, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    from typer.testing import CliRunner

    from kmerit.cli.app import app

    run = CliRunner().invoke(app, ["heads", str(config(tmp_path, planted, windows)), "--out", str(tmp_path / "out")])
    assert run.exit_code == 0, run.output
    assert "planted: of 8 pairs of a head and a feature" in run.stdout
    assert (tmp_path / "out" / "heads.html").is_file()
    assert json.loads((tmp_path / "out" / "heads.json").read_text())["seed"] == 2


def test_windows_are_drawn_over_features(tmp_path: Path) -> None:
    from kmerit.biology.feature import parse_features

    rng = np.random.default_rng(0)
    pieces = {f"chr1:{a}-{a + 20000}": "".join(rng.choice(list("ACGT"), 20000)) for a in (1000, 50000)}
    pieces["chr2"] = "ACGTN" * 1000
    (tmp_path / "g.fa").write_text("".join(f">{name}\n{text}\n" for name, text in pieces.items()))
    (tmp_path / "x.bed").write_text("".join(f"chr1\t{a}\t{a + 20}\n" for a in range(51000, 69000, 1000)))
    feature = parse_features([{"feature": "regulatory", "path": str(tmp_path / "x.bed")}])[0]
    drawn = draw_windows(tmp_path / "g.fa", 100, 20, {"regulatory": 10}, {"regulatory": feature}, seed=4)
    assert len(drawn) == 30
    have = next(iter(feature.tracks(drawn).values())).max(axis=1) == 1
    assert have.sum() >= 10
    loci = sorted(each for each in drawn.loci or () if each is not None)
    assert all(a.end <= b.start for a, b in pairwise(loci) if a.chrom == b.chrom)
    assert all(pieces["chr1:1000-21000"][x.start - 1000 : x.end - 1000] == text
               for x, text in zip(loci, drawn, strict=True) if x.start < 21000)  # fmt: skip
    assert "N" not in "".join(drawn)
    with pytest.raises(UsageError, match=r"'chr9' is not in .*g\.fa, which has chr1, chr2"):
        draw_windows(tmp_path / "g.fa", 100, 5, chromosomes=("chr9",))
    with pytest.raises(UsageError, match="none are asked for"):
        draw_windows(tmp_path / "g.fa", 100, 0)
    with pytest.raises(ConfigError, match="'exons' is not one of the features: regulatory"):
        draw_windows(tmp_path / "g.fa", 100, 5, {"exons": 1}, {"regulatory": feature})


def test_windows_of_bed_and_keys_that_would_be_ignored(planted: Path, windows: Sequences, tmp_path: Path) -> None:
    path = config(tmp_path, planted, windows)
    line = f'sequences = "{tmp_path}/windows.parquet"'
    (tmp_path / "new.toml").write_text(path.read_text().replace(line, 'sequences = "x.bed"\ngenome = "g.fa"'))
    assert read_heads_config(tmp_path / "new.toml").windows.genome == "g.fa"
    for new, words in (
        (f"{line}\ncount = 5\nlength = 9", "windows: count, length would be ignored"),
        ('genome = "g.fa"\nwidth = 9', "windows: width would be ignored"),
        ("width = 9", "windows: give sequences"),
        ('genome = "g.fa"\naround = { exons = -1 }', "around.exons: expected at least 1, got -1"),
    ):
        (tmp_path / "new.toml").write_text(path.read_text().replace(line, new))
        with pytest.raises(ConfigError, match=words):
            read_heads_config(tmp_path / "new.toml")


def test_features_are_given_in_several_ways(planted: Path, windows: Sequences) -> None:
    from kmerit.biology.features.gc import Gc

    tables = [
        km.heads(planted, windows, each, draws=20, seeds=0, ablation=False).associations
        for each in ({"feature": "gc"}, "gc", ["gc"], Gc())
    ]
    for table in tables[1:]:
        pd.testing.assert_frame_equal(table, tables[0])


def test_what_cannot_be_studied_is_refused(planted: Path, windows: Sequences, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="at least 10 random models, or 0"):
        km.heads(planted, windows, FEATURES, seeds=3)
    with pytest.raises(UsageError, match="loaded models cannot be made random"):
        km.heads(km.load_model(planted), windows, FEATURES)
    with pytest.raises(UsageError, match="two are called 'gc'"):
        km.heads(planted, windows, [{"feature": "gc"}, {"feature": "gc", "width": 11}])
    with pytest.raises(UsageError, match="at least one model and one feature"):
        km.heads(planted, windows, [])
    with pytest.raises(UsageError, match="attention: expected one of paid, focus, cls"):
        km.heads(planted, windows, FEATURES, attention="sent")
    with pytest.raises(UsageError, match="targets: 'other' is not one of the stages: model"):
        km.heads(planted, windows, FEATURES, targets={"other": 1})
    with pytest.raises(UsageError, match="'random 1' is what models without training are called"):
        km.heads({"random 1": planted}, windows, FEATURES)
    with pytest.raises(FormatError, match="nowhere: missing in every window"):
        km.heads(planted, windows, [{"nowhere": np.full((120, LENGTH), np.nan)}])
    with pytest.raises(UsageError, match="a name other than window, layer, head, got 'head'"):
        km.heads(planted, windows, [{"head": np.zeros((120, LENGTH))}])
    with pytest.raises(UsageError, match="expected an array of numbers"):
        km.heads(planted, windows, {"text": [["x"]]})
    with pytest.raises(ConfigError, match=r"features\[0\]: expected a table, a name or a Feature, got 3"):
        km.heads(planted, windows, [3])  # type: ignore[list-item]
    for options, words in (
        ({"draws": 0}, "tests.draws: expected at least 20"),
        ({"seeds": -1}, "at least 10 random models"),
        ({"permuted": -1}, "untrained.permuted: expected at least 0"),
        ({"dose": 0}, "ablation.dose: expected at least 1"),
    ):
        with pytest.raises(UsageError, match=words):
            km.heads(planted, windows, FEATURES, **options)
    with pytest.raises(UsageError, match="several by name"):
        km.heads([planted], windows, FEATURES)  # type: ignore[arg-type]
    path = config(tmp_path, planted, windows)
    for old, new, words in (
        ('model = "', 'steps = "x"\nmodel = "', "give model or steps"),
        ("seeds = 0", "seed = 0", "'untrained.seed'. Did you mean 'seeds'"),
        ('feature = "kmer"', 'feature = "kmers"', "Unknown feature 'kmers'"),
    ):
        (tmp_path / "wrong.toml").write_text(path.read_text().replace(old, new))
        with pytest.raises(UsageError, match=words):
            read_heads_config(tmp_path / "wrong.toml")
