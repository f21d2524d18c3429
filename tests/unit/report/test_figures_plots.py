"""Figures for papers: the formats, the numbers behind them, and what is refused."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

import kmerit as km
from helpers.report_run import METHODS, excess_rows, summary_rows
from kmerit.biology.heads import head_attention
from kmerit.errors import FormatError, RunError, UnknownName, UnsupportedMethod, UsageError
from kmerit.report.figures import plot_curve, plot_excess, plot_heads, plot_heatmap, plot_logo, save
from kmerit.report.load import read_excesses, read_run, read_summary
from kmerit.results import Attribution


@pytest.fixture
def summary() -> pd.DataFrame:
    return pd.DataFrame(summary_rows("epdnew_nontata"))


def attribution(method: str = "lrp", level: str = "nucleotide", names: tuple[str, ...] = ("a", "b")) -> Attribution:
    scores = np.random.default_rng(0).normal(size=(len(names), 12)).astype(np.float32)
    scores[-1, 9:] = np.nan
    return Attribution(method, scores, level, np.zeros(len(names), dtype=np.int64), names)


@pytest.fixture
def sequences() -> km.Sequences:
    return km.Sequences.from_strings(["ACGTACGTACGT", "ACGTACGTA"], names=["a", "b"])


def test_every_format_is_what_it_says_and_the_same_each_time(summary: pd.DataFrame, tmp_path: Path) -> None:
    def bytes_of(folder: str) -> dict[str, bytes]:
        written = save(plot_curve(summary, ["background", "promoter"]), tmp_path / folder / "figure")
        return {path.name: path.read_bytes() for path in written}

    for folder in "xy":
        (tmp_path / folder).mkdir()
    product = bytes_of("x")
    assert list(product) == ["figure.png", "figure.svg", "figure.pdf", "figure.csv"]
    assert product["figure.png"].startswith(b"\x89PNG")
    assert b"<svg" in product["figure.svg"]
    assert b"promoter" in product["figure.svg"]
    assert product["figure.pdf"].startswith(b"%PDF")
    assert product == bytes_of("y")


def test_one_format_by_its_ending_and_others_are_refused(summary: pd.DataFrame, tmp_path: Path) -> None:
    plot = plot_curve(summary)
    assert [path.name for path in save(plot, tmp_path / "a.b.pdf")] == ["a.b.pdf", "a.b.csv"]
    with pytest.raises(UsageError, match=r"\.tiff"):
        save(plot, tmp_path / "a.tiff")


def test_curves_numbers_are_the_summarys(summary: pd.DataFrame) -> None:
    numbers = plot_curve(summary, methods=["lrp"]).numbers
    assert set(numbers["method"]) == {"lrp", "random"}
    expected = summary[summary["method"].isin(["lrp", "random"])].reset_index(drop=True)
    assert numbers["class"].tolist() == [f"class {label}" for label in expected["label"]]
    by_name = plot_curve(summary, ["background", "promoter"], methods=["lrp"]).numbers
    assert dict(zip(by_name["label"], by_name["class"], strict=True)) == {0: "background", 1: "promoter"}
    pd.testing.assert_frame_equal(numbers.drop(columns="class"), expected[numbers.columns.drop("class").tolist()])
    figure = plot_curve(summary, measure="flip_rate").figure
    assert [axis.get_ylabel() for axis in figure.axes] == ["share of answers flipped", ""]
    drawn = [list(line.get_ydata()) for line in figure.axes[1].lines]
    ours = summary[(summary["label"] == 1) & (summary["method"] == "gradcam") & ~summary["full"]]["flip_rate"].tolist()
    assert ours in drawn


def test_nucleotides_put_back_are_not_called_replaced(summary: pd.DataFrame) -> None:
    replaced = plot_curve(summary).figure
    back = plot_curve(summary.assign(order="insertion")).figure
    assert [figure.axes[0].get_xlabel() for figure in (replaced, back)] == [
        "nucleotides replaced",
        "nucleotides put back",
    ]
    ends = summary[(summary["label"] == 0) & (summary["method"] == "attention")]
    at_floor = [ends[ends["full"]]["accuracy"].item(), ends[ends["n"] == 0]["accuracy"].item()]
    drawn = [[list(line.get_ydata()) for line in figure.axes[0].lines] for figure in (replaced, back)]
    for lines, floor in zip(drawn, at_floor, strict=True):
        assert [floor] * 2 in lines
    assert [at_floor[0]] * 2 not in drawn[1]


def test_legend_names_a_band_only_where_there_is_one(summary: pd.DataFrame) -> None:
    bare = summary.copy()
    bare.loc[bare["method"] == "random", ["low", "high"]] = np.nan

    def legend(table: pd.DataFrame) -> set[str]:
        return {text.get_text() for text in plot_curve(table).figure.legends[0].get_texts()}

    assert legend(summary) - legend(bare) == {"random: 95 %"}


def test_note_stands_under_the_picture(summary: pd.DataFrame) -> None:
    figure = plot_curve(summary, note="Grid: 400 sequences. " * 20).figure
    assert figure.get_supxlabel().startswith("Grid: 400 sequences.")
    assert "\n" in figure.get_supxlabel()
    assert plot_curve(summary).figure.get_supxlabel() == ""


@pytest.mark.parametrize(
    "wrong", [{"measure": "acuracy"}, {"methods": ["lpr"]}, {"operator": "complement"}, {"order": "lerf"}]
)
def test_unknown_names_are_refused(summary: pd.DataFrame, wrong: dict[str, Any]) -> None:
    with pytest.raises(UnknownName):
        plot_curve(summary, **wrong)


def test_nothing_to_draw_is_refused(summary: pd.DataFrame) -> None:
    with pytest.raises(UsageError, match="no logit"):
        plot_curve(summary.assign(logit=np.nan), measure="logit")


@pytest.fixture
def beyond() -> pd.DataFrame:
    return pd.DataFrame(excess_rows("epdnew_nontata"))


def test_excess_is_drawn_beside_its_control_at_zero(beyond: pd.DataFrame) -> None:
    plot = plot_excess(beyond, "shifted", methods=["lrp", "gradcam"])
    axis = plot.figure.axes[1]
    assert axis.get_title(loc="left") == "promoter"
    assert plot.figure.axes[0].get_ylabel() == "logit lost beyond shifted"
    lines = [list(line.get_ydata()) for line in axis.lines]
    mine = beyond[(beyond["condition"] == "all") & (beyond["measure"] == "logit") & (beyond["control"] == "shifted")]
    mine = mine[(mine["label"] == 1) & mine["n"].str.isdigit()]
    assert [0, 0] in lines
    assert [lines[1], lines[2]] == [mine[mine["method"] == name]["value"].tolist() for name in ("lrp", "gradcam")]
    assert set(plot.numbers["n"]) == {1, 5, 10, 15, 20}
    kept = mine[mine["method"] == "lrp"][["low", "high"]].to_numpy()
    numbers = plot.numbers[(plot.numbers["label"] == 1) & (plot.numbers["method"] == "lrp")]
    np.testing.assert_array_equal(numbers[["low", "high"]].to_numpy(), kept)
    legend = [text.get_text() for text in plot.figure.legends[0].get_texts()]
    assert legend == ["lrp", "gradcam", "shifted"]
    assert plot_excess(beyond, measure="flip_rate").figure.axes[0].get_ylabel() == "answers flipped beyond random"


@pytest.mark.parametrize(
    "wrong",
    [{"measure": "gc_shift"}, {"control": "other"}, {"methods": ["random"]}, {"operator": "mask"}, {"order": "lerf"}],
)
def test_excess_over_what_was_not_tried_is_refused(beyond: pd.DataFrame, wrong: dict[str, Any]) -> None:
    with pytest.raises(UnknownName):
        plot_excess(beyond, **wrong)


def test_excess_without_controls_or_below_all_is_refused(beyond: pd.DataFrame) -> None:
    with pytest.raises(UsageError, match="no controls"):
        plot_excess(pd.DataFrame(columns=["label", "class_name", "condition"]))
    with pytest.raises(UsageError, match=r"over random below n = all\. Mutate with a count there"):
        plot_excess(beyond[~beyond["n"].str.isdigit()], operator="random_other", methods=["lrp"])
    with pytest.raises(UsageError, match=r"of accuracy over random below n = all\. Draw logit"):
        plot_excess(beyond[beyond["measure"] == "logit"], measure="accuracy")


@pytest.mark.parametrize(
    ("order", "axis", "side"),
    [
        ("morf", "nucleotides replaced", "a good method lies above"),
        ("lerf", "nucleotides replaced, least relevant first", "a good method lies below"),
        ("insertion", "nucleotides put back", "a good method lies below"),
    ],
)
def test_excess_says_on_which_side_a_good_score_lies(beyond: pd.DataFrame, order: str, axis: str, side: str) -> None:
    figure = plot_excess(beyond.assign(order=order), note="Grid: 60 sequences.").figure
    assert figure.axes[0].get_xlabel() == axis
    message = " ".join(figure.get_supxlabel().split())
    assert message.startswith("Grid: 60 sequences. Above 0, more is lost than with random; ")
    assert side in message


def test_the_folder_of_a_trial_is_no_run(tmp_path: Path) -> None:
    (tmp_path / "outcomes").mkdir()
    (tmp_path / "outcomes" / "outcomes.json").write_text("{}")
    with pytest.raises(RunError, match=r"the folder of a trial; expected that of a run. Judge it with: kmerit trial"):
        read_run(tmp_path)
    (tmp_path / "cards.md").write_text("")
    with pytest.raises(RunError, match=r"the folder of a trial; .* Its report cards: .*cards.md"):
        read_run(tmp_path)


def test_excesses_of_a_run(run_folder: Path, beyond: pd.DataFrame) -> None:
    with pytest.raises(RunError, match="Finish the run with: kmerit run"):
        read_excesses(run_folder, "epdnew_nontata")
    path = run_folder / "tasks" / "epdnew_nontata" / "excesses.csv"
    beyond.to_csv(path, index=False)
    table, classes, grid = read_excesses(run_folder, "epdnew_nontata")
    assert (classes, grid) == (("non-promoter", "non-TATA promoter"), "")
    pd.testing.assert_frame_equal(table, beyond)
    beyond.drop(columns="control").to_csv(path, index=False)
    with pytest.raises(FormatError, match="lacks the columns control"):
        read_excesses(run_folder, "epdnew_nontata")


def test_summary_of_a_run(run_folder: Path) -> None:
    table, classes, grid = read_summary(run_folder, "epdnew_nontata")
    assert grid == ""
    assert classes == ("non-promoter", "non-TATA promoter")
    assert set(table["method"]) == {*METHODS, "random"}
    with pytest.raises(UsageError, match="--task"):
        read_summary(run_folder)
    with pytest.raises(UnknownName, match="epdnew_nontata"):
        read_summary(run_folder, "epdnew_nonata")


def test_logo(sequences: km.Sequences) -> None:
    pytest.importorskip("logomaker")
    scores = {"lrp": attribution(), "attention": attribution("attention")}
    plot = plot_logo(sequences, scores, "b", 2, 8)
    assert "".join(plot.numbers["letter"]) == "GTACGT"
    assert plot.numbers["position"].tolist() == [2, 3, 4, 5, 6, 7]
    np.testing.assert_array_equal(plot.numbers["lrp"], scores["lrp"].scores[1, 2:8])
    assert [axis.get_title() for axis in plot.figure.axes] == ["lrp", "attention"]
    assert all(axis.patches for axis in plot.figure.axes)


def test_logo_of_many_names_a_few_near_ones() -> None:
    many = km.Sequences.from_strings(["ACGTACGTACGT"] * 500, names=[f"chr{i}:{i}00-{i}12" for i in range(500)])
    with pytest.raises(UnknownName, match="There are 500; the nearest: ") as refused:
        plot_logo(many, {"lrp": attribution()}, "nope")
    assert len(str(refused.value)) < 200
    with pytest.raises(UnknownName, match="Did you mean 'chr7:700-712'"):
        plot_logo(many, {"lrp": attribution()}, "chr7:700-713")


def test_logo_refuses_what_does_not_fit(sequences: km.Sequences) -> None:
    with pytest.raises(UnknownName):
        plot_logo(sequences, {"lrp": attribution()}, "c")
    with pytest.raises(UsageError, match="not within"):
        plot_logo(sequences, {"lrp": attribution()}, "b", 2, 10)
    with pytest.raises(UsageError, match="per token"):
        plot_logo(sequences, {"lrp": attribution(level="token")}, "b")
    with pytest.raises(UsageError, match="at least one method"):
        plot_logo(sequences, {}, "b")
    longer = km.Sequences.from_strings(["A" * 20], names=["a"])
    with pytest.raises(UsageError, match="20 nucleotides"):
        plot_logo(longer, {"lrp": attribution()}, "a")


def test_heatmap() -> None:
    inputs = attribution()
    plot = plot_heatmap(inputs)
    assert len(plot.numbers) == 21
    np.testing.assert_array_equal(plot.numbers["score"], inputs.scores[np.isfinite(inputs.scores)])
    image = plot.figure.axes[0].images[0].get_array()
    assert np.abs(image[0]).max() == pytest.approx(1)
    with pytest.raises(UsageError, match="per token"):
        plot_heatmap(attribution(level="token"))
    with pytest.raises(UsageError, match="at least one"):
        plot_heatmap(Attribution("lrp", np.zeros((0, 3)), "nucleotide", np.zeros(0, dtype=np.int64), ()))


def test_heads_sum_to_the_attention_method(tiny_checkpoint: Path, sequences: km.Sequences) -> None:
    model = km.load_model(tiny_checkpoint, dtype="float64")
    result = head_attention(model, sequences)
    assert result.shape == (2, 2, 4, 12)
    scores = km.attribute(model, sequences, ["attention"])["attention"].scores
    np.testing.assert_allclose(result[:, -1].sum(axis=1), scores, atol=1e-12)
    with pytest.raises(UnsupportedMethod, match="does not show its attention"):
        head_attention(replace(model, abilities=frozenset()), sequences)
    plot = plot_heads(result[0], sequences.string(0))
    assert len(plot.numbers) == 2 * 4 * 12
    row = plot.numbers[(plot.numbers["layer"] == 1) & (plot.numbers["head"] == 2) & (plot.numbers["position"] == 3)]
    assert row["attention"].item() == result[0, 1, 2, 3]
    with pytest.raises(UsageError, match="layer, head, position"):
        plot_heads(result[0, 0])
