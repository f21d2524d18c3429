"""The page as a browser gets it, from the files that a run leaves."""

from __future__ import annotations

import base64
import csv
import hashlib
import io
import json
import re
import shutil
from html.parser import HTMLParser
from itertools import pairwise
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from helpers.explored import exploration
from helpers.report_run import GRID, audit_of, excess_rows
from kmerit.datasets.findings import Finding
from kmerit.errors import FormatError, RunError
from kmerit.report.load import read_run
from kmerit.report.page import page, write_report
from kmerit.store import Stages

VOID = {"meta", "link", "img", "source", "br", "line", "rect", "circle"}


class Page(HTMLParser):
    """Check that elements nest, and collect the text, the addresses and the headers."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.pieces: list[str] = []
        self.scripts: list[str] = []
        self.feed(html)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if self.open and self.open[-1] == "script":
            self.scripts.append(data)
        elif not self.open or self.open[-1] != "style":
            self.pieces.append(data)

    @property
    def text(self) -> str:
        return " ".join(" ".join(self.pieces).split())

    def all(self, tag: str) -> list[dict[str, str | None]]:
        return [attrs for name, attrs in self.tags if name == tag]


def written(folder: Path) -> Page:
    return Page(write_report(folder).read_text(encoding="utf-8"))


def shown(folder: Path) -> Page:
    """The page without its figure: quicker."""
    return Page(page(read_run(folder), {}))


def only_its_own_scripts(html: Page) -> bool:
    """Whether each script is data, or one that the page's policy allows by its hash; and no element has a handler."""
    policy = next(str(meta["content"]) for meta in html.all("meta") if "http-equiv" in meta)
    allowed = set(re.findall(r"'sha256-([^']+)'", policy))
    run = [
        text
        for attrs, text in zip(html.all("script"), html.scripts, strict=True)
        if attrs.get("type") != "application/json"
    ]
    hashes = {base64.b64encode(hashlib.sha256(text.encode()).digest()).decode() for text in run}
    handlers = [name for _, attrs in html.tags for name in attrs if name.startswith("on")]
    return len(run) == 3 and hashes == allowed and not handlers


def alter(path: Path, **changes: Any) -> None:
    path.write_text(json.dumps(json.loads(path.read_text(encoding="utf-8")) | changes), encoding="utf-8")


def test_writes_every_artefact_and_returns_the_page(run_folder: Path) -> None:
    assert write_report(run_folder) == run_folder / "report.html"
    files = {path.name for path in run_folder.iterdir() if path.is_file()}
    assert files == {
        "config.toml",
        "manifest.json",
        "report.html",
        "table1.csv",
        "table1.md",
        "figure1.png",
        "figure1.svg",
    }


def test_page_shows_ours_and_the_papers_numbers(run_folder: Path) -> None:
    text = shown(run_folder).text
    assert "0.766 [0.626, 0.906]" in text  # lrp_last on promoters, the choice for LRP*
    for published in ("0.878", "0.784", "0.788", "0.678", "0.306", "0.490", "0.838", "0.620"):
        assert f"paper {published}" in text
    assert "0.845 [0.830, 0.860] paper 0.930" in text
    assert "92 of 195 tokens" in text


def test_page_needs_nothing_from_elsewhere(run_folder: Path) -> None:
    html = written(run_folder)
    assert not [attrs for attrs in html.all("script") if "src" in attrs]
    loaded = [a.get("src") or a.get("srcset") or a.get("href") for t in ("img", "source", "link") for a in html.all(t)]
    assert loaded
    assert all(address and address.startswith("data:") for address in loaded)
    css = (run_folder / "report.html").read_text(encoding="utf-8").split("<style>")[1].split("</style>")[0]
    assert "url(" not in css
    assert "@import" not in css


def test_page_is_accessible(run_folder: Path) -> None:
    html = written(run_folder)
    assert html.all("html")[0]["lang"] == "en"
    assert all(attrs.get("alt") for attrs in html.all("img"))
    assert all(attrs.get("scope") for attrs in html.all("th"))
    ids = [attrs["id"] for _, attrs in html.tags if "id" in attrs]
    assert len(ids) == len(set(ids))
    pointed = [attrs["aria-labelledby"] for _, attrs in html.tags if "aria-labelledby" in attrs]
    anchors = [str(attrs["href"])[1:] for attrs in html.all("a") if str(attrs["href"]).startswith("#")]
    assert pointed
    assert anchors
    assert set(pointed + anchors) <= set(ids)
    levels = [int(tag[1]) for tag, _ in html.tags if re.fullmatch("h[1-6]", tag)]
    assert levels[0] == 1
    assert all(b - a <= 1 for a, b in pairwise(levels))


def test_same_results_give_the_same_bytes_wherever_they_lie(run_folder: Path, tmp_path: Path) -> None:
    def digests(folder: Path) -> dict[str, str]:
        write_report(folder)
        return {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in folder.iterdir() if path.is_file()}

    elsewhere = tmp_path / "elsewhere"
    shutil.copytree(run_folder, elsewhere)
    assert digests(run_folder) == digests(elsewhere)


def test_names_are_text_never_markup(run_folder: Path) -> None:
    name = "<script>alert(\"x\")</script> & 'é' $x_1$ | 北"
    place = (run_folder / "tasks" / "epdnew_nontata").rename(run_folder / "tasks" / "<u>mine")
    alter(place / "info.json", title=name, classes=[name, "<b>"], model=name, dropped={name: 1})
    summary = place / "summary.csv"
    summary.write_text(summary.read_text(encoding="utf-8").replace("rollout", "<i>rollout$^2$"), encoding="utf-8")
    html = written(run_folder)
    assert only_its_own_scripts(html)
    assert name in json.loads(html.scripts[0])["tasks"]["<u>mine"]["classes"]
    assert not html.all("i")
    assert not html.all("b")
    assert not html.all("u")
    assert name in html.text
    assert "<i>rollout$^2$" in html.text
    svg = (run_folder / "figure1.svg").read_text(encoding="utf-8")
    assert "<script" not in svg
    assert "&lt;script&gt;" in svg
    markdown = (run_folder / "table1.md").read_text(encoding="utf-8")
    assert "<script" not in markdown.replace("\\<", "")
    table = [line for line in markdown.split("##")[0].splitlines() if line.startswith("|")]
    assert len({len(re.findall(r"(?<!\\)\|", line)) for line in table}) == 1


def test_one_task_alone(run_folder: Path) -> None:
    shutil.rmtree(run_folder / "tasks" / "human_enhancers_dedup")
    html = shown(run_folder)
    assert "tasks/human_enhancers_dedup" in html.text  # the config names it: so it is missing
    assert "0.490" not in html.text


@pytest.mark.parametrize(
    "name", ["info.json", "metrics.json", "choice.json", "summary.csv", "config.toml", "manifest.json"]
)
def test_what_is_missing_is_named_and_the_rest_is_shown(run_folder: Path, name: str) -> None:
    where = run_folder if name in ("config.toml", "manifest.json") else run_folder / "tasks" / "epdnew_nontata"
    (where / name).unlink()
    html = shown(run_folder)
    assert "Missing from the run folder" in html.text
    assert (where / name).relative_to(run_folder).as_posix() in html.text
    assert "0.370 [0.273, 0.467]" in html.text  # enhancers, all replaced


def test_metrics_without_a_trial(run_folder: Path) -> None:
    for summary in run_folder.glob("tasks/*/summary.csv"):
        summary.unlink()
    (run_folder / "figure1.png").write_bytes(b"of an earlier report")
    html = written(run_folder)
    assert "holds no mutagenesis trial yet" in html.text
    assert "0.845" in html.text
    assert not html.all("img")
    assert not (run_folder / "figure1.png").exists()


def test_another_tasks_numbers_stand_without_the_papers(run_folder: Path) -> None:
    (run_folder / "tasks" / "epdnew_nontata").rename(run_folder / "tasks" / "mine")
    shutil.rmtree(run_folder / "tasks" / "human_enhancers_dedup")
    html = shown(run_folder)
    assert "0.766 [0.626, 0.906]" in html.text
    assert "paper 0." not in html.text


def test_the_papers_numbers_at_20_do_not_stand_beside_another_n(run_folder: Path) -> None:
    for summary in run_folder.glob("tasks/*/summary.csv"):
        lines = summary.read_text(encoding="utf-8").splitlines()
        summary.write_text("\n".join(line for line in lines if ",morf,20," not in line), encoding="utf-8")
    text = shown(run_folder).text
    assert "n = 15" in text
    assert "paper 0.784" not in text
    assert "paper 0.878" in text


def test_a_method_that_was_not_run_is_a_dash(run_folder: Path) -> None:
    for summary in run_folder.glob("tasks/*/summary.csv"):
        lines = summary.read_text(encoding="utf-8").splitlines()
        summary.write_text("\n".join(line for line in lines if ",attention," not in line), encoding="utf-8")
    assert "– paper 0.788" in shown(run_folder).text


def test_regression_is_shown_without_classes(run_folder: Path) -> None:
    shutil.rmtree(run_folder / "tasks" / "human_enhancers_dedup")
    place = run_folder / "tasks" / "epdnew_nontata"
    place = place.rename(place.with_name("expression"))
    with (place / "summary.csv").open(newline="", encoding="utf-8") as lines:
        rows = [
            row | {"label": "", "accuracy": "", "low": "", "high": ""}
            for row in csv.DictReader(lines)
            if row["label"] == "1"
        ]
    out = io.StringIO()
    writer = csv.DictWriter(out, rows[0])
    writer.writeheader()
    writer.writerows(rows)
    (place / "summary.csv").write_text(out.getvalue(), encoding="utf-8")
    alter(place / "info.json", classes=[], default_label=None, default_label_rate=None)
    alter(place / "metrics.json", test={"rows": 50, "pearson": {"value": 0.5, "low": 0.4, "high": 0.6}})
    html = shown(run_folder)
    assert "all sequences" in html.text
    assert "0.500 [0.400, 0.600]" in html.text


def test_altered_artefact_is_told(run_folder: Path) -> None:
    name = "tasks/epdnew_nontata/summary.csv"
    Stages(run_folder).mark_done("epdnew_nontata.summary", [name])
    assert "was changed" not in shown(run_folder).text
    with (run_folder / name).open("a", encoding="utf-8") as summary:
        summary.write("\n")
    assert f"{name} was changed after the run wrote it" in shown(run_folder).text
    (run_folder / "stages" / "epdnew_nontata.summary.json").write_text("{}")
    assert "stages/epdnew_nontata.summary.json was changed after" in shown(run_folder).text


@pytest.mark.parametrize("name", ["config.toml", "manifest.json"])
def test_altered_settings_are_told(run_folder: Path, name: str) -> None:
    Stages(run_folder).mark_done("report", [name])
    assert "was changed" not in shown(run_folder).text
    path = run_folder / name
    path.write_text(path.read_text(encoding="utf-8").replace("seed", "sead", 1), encoding="utf-8")
    assert f"{name} was changed after the run wrote it" in shown(run_folder).text


@pytest.mark.parametrize(
    "make", [lambda p: None, lambda p: p.mkdir(), lambda p: (p / "tasks" / "x").mkdir(parents=True)]
)
def test_folder_without_results_is_refused(tmp_path: Path, make: Any) -> None:
    folder = tmp_path / "empty"
    make(folder)
    with pytest.raises(RunError, match="kmerit run"):
        write_report(folder)
    assert not (folder / "report.html").exists()


def test_newer_layout_is_refused(run_folder: Path) -> None:
    alter(run_folder / "manifest.json", schema=3)
    with pytest.raises(RunError, match="Upgrade"):
        write_report(run_folder)


@pytest.mark.parametrize(
    ("name", "content", "says"),
    [
        ("summary.csv", "label,method\n0,lrp\n", "lacks the columns accuracy"),
        ("info.json", "{", "not JSON"),
        ("info.json", "[]", "JSON object"),
        ("metrics.json", b"\xff\xfe", "not JSON"),
        ("info.json", '{"flags": [1]}', "flags: input should be a valid dictionary"),
        ("info.json", '{"default_label": "promoter"}', "default_label: input should be a valid integer"),
        ("choice.json", '{"lrp_star": "lrp"}', "lrp_star: input should be a valid dictionary"),
        ("metrics.json", '{"test": {"accuracy": {"value": "high"}}}', "value: input should be a valid number"),
    ],
)
def test_artefact_that_cannot_be_understood_is_refused(run_folder: Path, name: str, content: Any, says: str) -> None:
    path = run_folder / "tasks" / "epdnew_nontata" / name
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(FormatError, match=says):
        write_report(run_folder)
    assert not (run_folder / "report.html").exists()


@pytest.mark.parametrize(
    ("old", "new"),
    [("0,attention,random_other,morf,5,", "0,attention,random_other,morf,five,"), (",False,", ",maybe,")],
)
def test_summary_edited_by_hand_is_refused_with_its_line(run_folder: Path, old: str, new: str) -> None:
    path = run_folder / "tasks" / "epdnew_nontata" / "summary.csv"
    path.write_text(path.read_text(encoding="utf-8").replace(old, new, 1), encoding="utf-8")
    with pytest.raises(FormatError, match=r"line \d+"):
        write_report(run_folder)


def test_page_inlines_the_figure(run_folder: Path) -> None:
    html = written(run_folder)
    address = str(html.all("img")[0]["src"])
    svg = base64.b64decode(address.removeprefix("data:image/svg+xml;base64,"))
    assert svg == (run_folder / "figure1.svg").read_bytes()
    assert len((run_folder / "report.html").read_bytes()) < 1_000_000


def test_every_design_is_in_the_chart_and_the_tables_show_the_papers(run_folder: Path) -> None:
    path = run_folder / "tasks" / "epdnew_nontata" / "summary.csv"
    text = path.read_text(encoding="utf-8")
    head, *rows = text.splitlines()
    path.write_text("\n".join([head, *(row.replace("random_other", "complement") for row in rows), *rows, ""]))
    chart = json.loads(shown(run_folder).scripts[0])["chart"]
    names = [design["name"] for design in chart["groups"][0]["designs"]]
    assert names == ["random_other, morf", "complement, morf"]
    cells = chart["groups"][0]["designs"][0]["cells"]
    at_20 = next(cell for cell in cells if cell[:2] == ["lrp_last", 20])
    assert at_20[3 + chart["values"].index("accuracy")] == pytest.approx(0.766, abs=5e-4)
    assert chart["groups"][0]["compared"] == 20


def test_controls_of_a_fair_trial_are_in_the_chart_and_not_in_the_tables(run_folder: Path) -> None:
    place = run_folder / "tasks" / "epdnew_nontata"
    head, *rows = (place / "summary.csv").read_text(encoding="utf-8").splitlines()
    shifted = [row.replace(",lrp,", ",shifted(lrp),") for row in rows if ",lrp," in row]
    clumped = [row.replace(",lrp,", ",clump(lrp),") for row in rows if ",lrp," in row]
    (place / "curves.csv").write_text("\n".join([head, *rows, *shifted, *clumped, ""]), encoding="utf-8")
    html = shown(run_folder)
    chart = json.loads(html.scripts[0])["chart"]
    assert chart["controls"] == ["random", "shifted", "clump"]
    cells = chart["groups"][0]["designs"][0]["cells"]
    counts = {name: sum(cell[0] == name for cell in cells) for name in ("lrp", "random", "shifted(lrp)")}
    assert counts == {"lrp": 7, "random": 7, "shifted(lrp)": 7}
    assert "shifted(lrp)" not in html.text
    assert "shifted(lrp)" not in [method["name"] for method in chart["methods"]]


def test_excesses_of_a_fair_trial_are_in_the_chart(run_folder: Path) -> None:
    table = pd.DataFrame(excess_rows("epdnew_nontata"))
    table.to_csv(run_folder / "tasks" / "epdnew_nontata" / "excesses.csv", index=False)
    groups = json.loads(shown(run_folder).scripts[0])["chart"]["groups"]
    design = groups[0]["designs"][0]
    result = {tuple(each[:4]): each[4:] for each in design["excesses"]}
    arguments = table[(table["condition"] == "all") & (table["label"] == 1) & table["n"].str.isdigit()]
    arguments = arguments[arguments["measure"].isin(["logit", "accuracy"])]
    assert result == {
        (row.control, row.method, row.measure, int(row.n)): [
            pytest.approx(value, abs=1e-5) for value in (row.value, row.low, row.high)
        ]
        for row in arguments.itertuples()
    }
    assert groups[2]["designs"][0]["excesses"] == []


@pytest.mark.parametrize(("old", "new"), [(",value,", ",worth,"), (",1,30,", ",1,30,much")])
def test_excesses_that_cannot_be_understood_are_refused(run_folder: Path, old: str, new: str) -> None:
    path = run_folder / "tasks" / "epdnew_nontata" / "excesses.csv"
    pd.DataFrame(excess_rows("epdnew_nontata")).to_csv(path, index=False)
    path.write_text(path.read_text(encoding="utf-8").replace(old, new, 1), encoding="utf-8")
    with pytest.raises(FormatError, match="excesses"):
        shown(run_folder)


def test_a_single_random_draw_is_no_interval_anywhere(run_folder: Path) -> None:
    for path in run_folder.glob("tasks/*/summary.csv"):
        table = pd.read_csv(path)
        table.loc[table["method"] == "random", ["low", "high"]] = None
        table.to_csv(path, index=False)
    html = shown(run_folder)
    assert "The random control is a single draw, which has no interval, at n = 20" in html.text
    assert not [attrs for attrs in html.all("rect") if attrs.get("class") == "band"]
    assert not [attrs for attrs in html.all("rect") if str(attrs.get("width")).startswith("-")]


def test_what_was_left_out_is_only_what_was_left_out(run_folder: Path) -> None:
    counts = {"rows": 900, "with_n": 3, "too_short": 7, "kept": 890, "cropped": 880, "cropped_nt": 4321, "odd": 1}
    alter(run_folder / "tasks" / "epdnew_nontata" / "info.json", dropped=counts)
    text = shown(run_folder).text
    for message in (
        "rows read 900",
        "left out: with an unknown nucleotide 3",
        "left out: too short 7",
        "rows kept 890",
    ):
        assert message in text
    assert "nucleotides cropped off 4,321" in text
    assert "left out: odd 1" in text
    for name in ("rows", "kept", "cropped"):
        assert f"left out: {name}" not in text


def test_a_class_has_one_name(run_folder: Path) -> None:
    place = run_folder / "tasks" / "epdnew_nontata"
    card = {"method": "lrp", "class_name": "promoter", "label": 1, "verdict": "faithful"}
    card |= {"caveats": [{"code": "ties", "values": {"share": 0.12}}]}
    (place / "cards.json").write_text(json.dumps({"cards": [card]}), encoding="utf-8")
    text = shown(run_folder).text
    assert "non-TATA promoter: 12.0 % of the positions have tied scores (ranked at random)." in text
    cards = text[text.index("Report cards Endpoint") : text.index("What could mislead")]
    assert re.findall(r"(?<!non-TATA )promoter\b", cards) == []
    assert "non-TATA promoter (in the data: promoter)" in text


def test_words_are_explained_and_linked(run_folder: Path) -> None:
    html = shown(run_folder)
    for word in ("morf", "random_other", "floor", "LRP*", "AOPC", "excess"):
        assert re.search(rf"Glossary.*{re.escape(word)}", html.text)
    links = {str(attrs["href"]) for attrs in html.all("a")}
    assert {"#term-order", "#term-operator", "#term-floor", "#term-lrpstar"} <= links
    assert {link[1:] for link in links if link.startswith("#term-")} <= {attrs.get("id") for _, attrs in html.tags}


def test_a_page_stays_below_its_bound_whatever_is_large(run_folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = page(read_run(run_folder), {})
    bound = len(whole.encode()) + 60_000
    monkeypatch.setattr("kmerit.report.page.MOST_BYTES", bound)
    names = [f"sequence {i} {'of a long name ' * 20}" for i in range(400)]
    laid = page(read_run(run_folder), {}, {"epdnew_nontata": exploration(400, names=names)})
    assert len(laid.encode()) < bound
    contents = len(json.loads(Page(laid).scripts[0])["explorations"]["epdnew_nontata"]["names"])
    assert 20 < contents < 400
    assert f"On the page: epdnew_nontata {contents} of 400." in Page(laid).text
    monkeypatch.setattr("kmerit.report.page.MOST_BYTES", len(whole.encode()) + 10_100)
    laid = page(read_run(run_folder), {}, {"epdnew_nontata": exploration(400, names=names)})
    assert "On the page: epdnew_nontata none of 400." in Page(laid).text


def test_how_far_scores_can_be_trusted_is_shown(run_folder: Path) -> None:
    text = " ".join(Page(write_report(run_folder).read_text(encoding="utf-8")).text.split())
    assert "How far the scores can be trusted" in text
    assert "0.987" in text
    assert "0.9987 (0.9912), 11 sequences" in text


def test_cards_say_what_a_run_has_today(run_folder: Path) -> None:
    text = shown(run_folder).text
    assert "inside the random interval" in text
    assert "This run decides nothing: " in text
    assert "2 of 30 undefined (0/0)" in text


def test_no_share_of_the_way_to_a_floor_above_the_start(run_folder: Path) -> None:
    assert "% of the way to the floor" in shown(run_folder).text
    for path in run_folder.glob("tasks/*/summary.csv"):
        table = pd.read_csv(path)
        table["floor_normalised_drop"] *= -1  # drops and the way to the floor have opposite directions
        table.to_csv(path, index=False)
    shares = re.findall(r"(\S+) % of the way to the floor", shown(run_folder).text)
    assert set(shares) <= {"0"}


def test_names_of_a_set_that_was_split_anew_are_explained(run_folder: Path) -> None:
    run = read_run(run_folder)
    old = exploration(2, names=["train_pos_23308", "test_neg_1"])
    own = exploration(2, names=["epdnew_pos_1", "genebody_neg_2"])
    explorations = {"epdnew_nontata": own, "human_enhancers_dedup": old}
    text = Page(page(run, {}, explorations)).text
    assert "The names of human_enhancers_dedup come from the original set, which was split again" in text
    assert "split again" not in Page(page(run, {}, {"epdnew_nontata": own})).text


def test_verdicts_and_findings_are_shown_where_later_stages_left_them(run_folder: Path) -> None:
    place = run_folder / "tasks" / "epdnew_nontata"
    card = {
        "method": "lrp",
        "class_name": "promoter",
        "label": 1,
        "verdict": "not distinguishable from control",
        "excess": 0.012,
        "low": -0.02,
        "high": 0.044,
        "control": "shifted",
        "caveats": [{"code": "few_clusters", "values": {"controls": ["<b>"], "clusters": 3, "needed": 10}}],
    }
    (place / "cards.json").write_text(json.dumps({"cards": [card], "grid": GRID}), encoding="utf-8")
    finding = Finding("feature_auroc", {"at_least": 0.88}, where="GC", label=None, value=0.9, threshold=0.8)
    (place / "audit.json").write_text(audit_of(("background", "promoter"), [finding]).to_json(), encoding="utf-8")
    text = shown(run_folder).text
    assert "Against matched controls, none of 1 ranking" in text
    assert "is faithful: 1 not distinguishable from control." in text
    assert "excess 0.012 [−0.020, 0.044] logits over shifted" in text
    assert "This run decides nothing" not in text
    assert "The audit of epdnew_nontata: One feature distinguishes the classes: GC." in text
    assert "What to do: Match the background in composition" in text
    assert "Compared with <b> on 3 independent sequences" in text
    assert "Grid: 400 sequences, random_other" in text


@pytest.mark.parametrize("name", ["audit.json", "hits.json"])
def test_slots_that_cannot_be_understood_are_refused(run_folder: Path, name: str) -> None:
    key = name.removesuffix(".json")
    (run_folder / "tasks" / "epdnew_nontata" / name).write_text(json.dumps({key: [{"start": "x"}]}), encoding="utf-8")
    with pytest.raises(FormatError, match=name):
        write_report(run_folder)


def test_a_damaged_library_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    from kmerit.report import page as assets

    monkeypatch.setitem(assets.LIBRARIES, "d3-7.9.0.min.js", "0" * 64)
    assets.libraries.cache_clear()
    with pytest.raises(RunError, match="Install kmerit again"):
        assets.libraries()
    monkeypatch.undo()
    assert len(assets.libraries()) == 2
