"""The report of a run: tables, figures and one self-contained page.

The page contains its data, the charting libraries and its own script; its content security policy names each script by
its hash, so that no other script runs. The same results give the same bytes: no times, no paths, nothing random.
"""

from __future__ import annotations

import base64
import hashlib
import math
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import cache, partial
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING, Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from kmerit.datasets.findings import Audit
from kmerit.errors import RunError
from kmerit.formats import DASH, fine_percent, fixed, interval, markdown_table, percent, span, tokens
from kmerit.report import explorer, load, table1, text
from kmerit.report.explorer import Exploration, read_exploration
from kmerit.report.figures import chart, write_figures
from kmerit.report.heads_page import heads_payload
from kmerit.report.load import RunResults, read_run
from kmerit.report.motif_section import section
from kmerit.report.text import lists
from kmerit.store import hold, write_bytes, write_text

if TYPE_CHECKING:
    import pandas as pd

    from kmerit.biology.head_study import Heads
    from kmerit.biology.measured import Measured
    from kmerit.trials.side_by_side import SideBySide

LIBRARIES = {
    "d3-7.9.0.min.js": "f2094bbf6141b359722c4fe454eb6c4b0f0e42cc10cc7af921fc158fceb86539",
    "plot-0.6.17.umd.min.js": "4358086467740777dd788d6b27a95cebdbaefdd50c730a3060117073bd7134cb",
}
"""Vendored files and their sha256; NOTICE has their licences."""
_HERE = files("kmerit.report")


@cache
def libraries() -> tuple[str, ...]:
    """Read the vendored libraries, in the order in which they must run.

    Raises:
        RunError: One is missing or damaged.
    """
    return tuple(_library(name) for name in LIBRARIES)


def _library(name: str) -> str:
    try:
        data = (_HERE / "assets" / name).read_bytes()
    except OSError as problem:
        raise RunError(f"The page's library {name} is missing ({problem.strerror}). Install kmerit again.") from None
    if (digest := hashlib.sha256(data).hexdigest()) != LIBRARIES[name]:
        raise RunError(
            f"The page's library {name} has sha256 {digest[:12]}, expected {LIBRARIES[name][:12]}. "
            "Install kmerit again."
        )
    return data.decode("utf-8")


@cache
def script() -> str:
    """Put the page's own script together."""
    parts = sorted((part for part in (_HERE / "scripts").iterdir() if part.name.endswith(".js")), key=lambda p: p.name)
    inner = "\n".join(part.read_text(encoding="utf-8") for part in parts)
    return f'(() => {{\n"use strict";\n{inner}}})();'


def policy(scripts: tuple[str, ...]) -> str:
    """Write the content security policy that lets these scripts run, and nothing else, and lets nothing be loaded."""
    digests = (base64.b64encode(hashlib.sha256(text.encode()).digest()).decode() for text in scripts)
    sources = " ".join(f"'sha256-{digest}'" for digest in digests)
    return f"default-src 'none'; style-src 'unsafe-inline'; img-src data:; script-src {sources}; base-uri 'none'"


REPORT = "report.html"
MOST_BYTES = 8_000_000
"""What a page may take."""
_SPARE = 10_000
"""What a page says of the sequences that it holds, at most."""
_OTHER_SPLIT = re.compile("train|valid", re.IGNORECASE)
"""How the name of a row begins that its first set had elsewhere than among the test rows."""
COUNTED = {
    "rows": "rows read",
    "with_n": "left out: with an unknown nucleotide",
    "too_short": "left out: too short",
    "kept": "rows kept",
    "cropped": "rows cropped",
    "cropped_nt": "nucleotides cropped off",
}
"""What the counts of a task's rows are called; others are of what was left out."""


def write_report(run_folder: Path | str) -> Path:
    """Write ``table1.csv``, ``table1.md``, ``figure1.png``, ``figure1.svg`` and ``report.html`` into a run folder.

    Of a fair trial ``figure2.png`` and ``figure2.svg``, too: each method's excess over each matched control.

    Args:
        run_folder: What ``kmerit run`` left, finished or not; what is missing is named, and the rest is shown.

    Returns:
        The path of ``report.html``, which opens without a network and without the other files.

    Raises:
        RunError: The folder holds no results, or was written by a newer kmerit.
        FormatError: One of its artefacts cannot be understood.

    Example:
        >>> import tempfile
        >>> folder = Path(tempfile.mkdtemp())
        >>> (folder / "tasks" / "mine").mkdir(parents=True)
        >>> (folder / "tasks" / "mine" / "metrics.json").write_text('{"test": {"auroc": {"value": 0.9}}}')
        35
        >>> write_report(folder).name
        'report.html'
    """
    folder = Path(run_folder)
    run = read_run(folder)
    explorations = {
        task.name: exploration
        for task in run.tasks
        if (exploration := read_exploration(folder / "tasks" / task.name, task.design, task.hits)) is not None
    }
    table1.write_tables(run, folder)
    pictures = write_figures(run.tasks, folder)
    write_bytes(folder / REPORT, page(run, pictures, explorations).encode())
    return folder / REPORT


def page(run: RunResults, pictures: Mapping[str, str], explorations: Mapping[str, Exploration] | None = None) -> str:
    """Lay out the page; every name in it is text, never markup.

    Args:
        run: What the folder holds.
        pictures: Figure 1, ``wide`` and ``narrow``, and ``verdicts of TASK``, as data addresses; empty where there is
            none.
        explorations: By task, the sequences to be explored; of more than fit, as many as do.
    """
    explorations = explorations or {}
    most = explorer.MOST_BYTES
    html = _lay_out(run, pictures, explorations, most)
    if explorations and len(html.encode()) >= MOST_BYTES:  # the rest of the page is large, too
        bare = len(_lay_out(run, pictures, explorations, 0).encode())
        html = _lay_out(run, pictures, explorations, MOST_BYTES - bare - _SPARE)
    return html


def _lay_out(run: RunResults, pictures: Mapping[str, str], explorations: Mapping[str, Exploration], most: int) -> str:
    packed = explorer.pack_all(explorations, most)
    payload = {
        "lists": lists(load.COMPARED_COUNT),
        "chart": chart(run),
        "tasks": {task.name: {"classes": list(task.shown_classes)} for task in run.tasks},
        "explorations": packed,
    }
    scripts = (*libraries(), script())
    environment = _environment()
    environment.globals["COMMON"] = table1.COMMON
    environment.filters.update(
        fixed=fixed,
        span=span,
        percent=percent,
        tokens=tokens,
        plot=_plot,
        unbroken=_unbroken,
    )
    table = table1.rows(run)
    measured_tasks = [(task, table1.test_metrics(task)) for task in run.tasks if table1.test_metrics(task)]
    return environment.get_template("report.html").render(
        run=run,
        table=table,
        scored=[row for row in table if row.scores],
        named=[method for method in ("lrp", "lrp_last") if any(row.score(method) for row in table)],
        counts=sorted({n for row in table for n in row.group.counts}),
        tested=measured_tasks,
        metric_titles=list(dict.fromkeys(metric.title for _, metrics in measured_tasks for metric in metrics)),
        baseline_tables=[(task, each) for task in run.tasks if (each := table1.baseline_table(task)) is not None],
        rows_counted=lambda task: _counted(task.info.dropped),
        left_out=text.not_on_page(_left_out(explorations, packed)),
        old_names=text.old_names(_old_names(run, explorations)),
        settings=list(_flat(run.config)),
        provenance=list(_flat(run.manifest)),
        pictures=pictures,
        judged=[task for task in run.tasks if task.cards.cards],
        say=text,
        rule=Markup(text.rule(_link, [task.cards.endpoint.value for task in run.tasks if task.cards.cards])),
        restores=any(row.group.restores for row in table),
        paper_link=load.LINK,
        paper_citation=load.CITATION,
        audited=[
            (task, text.findings(task.audit, task.class_names))
            for task in run.tasks
            if task.audit is not None and task.audit.findings
        ],
        departures=[(task.name, *table1.departure_cells(task.departures)) for task in run.tasks if task.departures],
        motif_sections=[(task, section(task.motifs)) for task in run.tasks if task.motifs is not None],
        payload=payload,
        embedded=Markup(explorer.embed(payload)),
        scripts=[Markup(text) for text in scripts],
        policy=policy(scripts),
    )


def _link(words: str, term: str) -> str:
    return f'<a href="#term-{term}">{words}</a>'


def _left_out(explorations: Mapping[str, Exploration], packed: Mapping[str, Any]) -> dict[str, tuple[int, int]]:
    """Count, of the tasks whose sequences do not all fit on the page, those that are on it and all."""
    counts = {name: len(packed[name]["names"]) if name in packed else 0 for name in explorations}
    return {
        name: (counts[name], exploration.total)
        for name, exploration in explorations.items()
        if counts[name] < exploration.total
    }


def _old_names(run: RunResults, explorations: Mapping[str, Exploration]) -> list[str]:
    """Name the tasks whose rows keep the names of a set that was split again: train_1 may be a test row."""
    names = [task.name for task in run.tasks if task.paper is not None and task.paper.name != task.name]
    return [
        name
        for name in names
        if name in explorations and any(map(_OTHER_SPLIT.match, explorations[name].sequences.names))
    ]


def _counted(counts: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """Name what was counted of a task's rows: what was read, left out, kept and cropped."""
    for key, value in _flat(counts):
        yield COUNTED.get(key, f"left out: {key}"), f"{int(value):,}" if value.isdigit() else value


def _plot(value: float) -> str:
    """Place an accuracy on the 0..100 axis of a small plot; off the axis where there is none."""
    return f"{100 * value:.1f}" if math.isfinite(value) else "-9"


def _unbroken(text: str) -> str:
    """Keep a number and its per cent sign on one line; markup stays markup."""
    return text.replace(" %", "\N{NO-BREAK SPACE}%")


def _flat(tree: Mapping[str, Any], above: str = "") -> Iterator[tuple[str, str]]:
    """Flatten a tree of settings to dotted keys and values."""
    for key, value in tree.items():
        name = f"{above}{key}"
        if isinstance(value, Mapping):
            yield from _flat(value, f"{name}.")
        else:
            yield name, ", ".join(map(str, value)) if isinstance(value, list) else str(value)


def write_audit(audit: Audit, out: Path | str) -> Path:
    """Write ``audit.json`` and the page ``audit.html`` into a folder.

    Returns:
        The page.

    Example:
        >>> import tempfile
        >>> from kmerit.datasets.audit import audit
        >>> from kmerit.sequences import Sequences
        >>> rows = Sequences.from_strings(["ACGTTGCA", "GGATCCAT"], labels=[0, 1])
        >>> write_audit(audit({"train": rows, "test": rows}, baselines=()), tempfile.mkdtemp()).name
        'audit.html'
    """
    folder = Path(out)
    with hold(folder):
        for name, content in (("audit.json", audit.to_json()), ("audit.html", audit_page(audit))):
            write_text(folder / name, content)
    return folder / "audit.html"


def audit_page(audit: Audit) -> str:
    """Lay out the page; every name in it is text, never markup.

    Example:
        >>> from kmerit.datasets.audit import audit
        >>> from kmerit.sequences import Sequences
        >>> rows = Sequences.from_strings(["ACGTTGCA", "GGATCCAT"], labels=[0, 1])
        >>> "<script" in audit_page(audit({"train": rows, "test": rows}, baselines=()))
        False
    """
    environment = _environment()
    environment.filters.update(
        percent=_percent, number=fixed, whole=partial(fixed, digits=0), place=_place, unbroken=_unbroken
    )
    features = sorted(audit.features, key=lambda entry: -(entry["strength"] or 0))
    return environment.get_template("audit_page.html").render(
        audit=audit,
        say=text,
        findings=[text.finding(each) for each in audit.findings],
        unchecked=[text.sentence(each) for each in audit.unchecked],
        features=features,
        curves=_curves(audit.histograms),
        settings=[(key, value) for key, value in audit.settings.items() if key not in ("thresholds", "gates")],
        thresholds=audit.settings["thresholds"],
        stops=[finding for finding in audit.findings if finding.gate],
    )


def _write_alone(path: Path, page: str) -> Path:
    with hold(path.parent):
        write_text(path, page)
    return path


def write_measured(result: Measured, out: Path | str) -> Path:
    """Write the page ``measured.html`` into the folder of the results.

    Returns:
        The page.
    """
    return _write_alone(Path(out) / "measured.html", measured_page(result))


def measured_page(result: Measured) -> str:
    """Lay out what measured effects say of methods: sentences, a forest plot for each method, and the tables.

    Example:
        >>> import pandas as pd
        >>> from kmerit.biology.measured import ELEMENT, METHOD, METHOD_NULL, Measured, Pooled
        >>> columns = [ELEMENT, (*METHOD, *METHOD_NULL), ("method", *Pooled._fields), ("element", "substitutions")]
        >>> tables = [pd.DataFrame(columns=list(each)) for each in columns]
        >>> "No element of 0 can judge" in measured_page(Measured(*tables, {"model": "x", "target": "on"}))
        True
    """
    from kmerit.biology.measured import judgements  # with torch, which no other page needs

    environment = _environment()
    environment.filters.update(number=fixed, whole=partial(fixed, digits=0))
    elements = result.elements.to_dict("records")
    about = {row["element"]: row for row in elements}
    forests = []
    for pooled in result.pooled.to_dict("records"):
        rows = [row for row in result.methods.to_dict("records") if row["method"] == pooled["method"]]
        ends = [row[key] for row in (*rows, pooled) for key in ("low", "high") if math.isfinite(row[key])]
        forests.append({"pooled": pooled, "rows": rows, "axis": _axis(ends)})
    return environment.get_template("measured_page.html").render(
        sentences=[text.sentence(each) for each in judgements(result)],
        target=result.settings["target"],
        elements=elements,
        about=about,
        forests=forests,
        scale=_axis([-0.2, 1.0]),
        assays=result.assays.to_dict("records"),
        settings=[(key, value) for key, value in _flat(result.settings) if key != "assays" and value.strip(", ")],
        finite=math.isfinite,
    )


def write_side_by_side(result: SideBySide, out: Path | str) -> Path:
    """Write ``compare.html`` and ``compare.md`` into the folder of the tables.

    Returns:
        The page.
    """
    folder = Path(out)
    with hold(folder):
        write_text(folder / "compare.md", side_by_side_md(result))
        write_text(folder / "compare.html", side_by_side_page(result))
    return folder / "compare.html"


def side_by_side_page(result: SideBySide) -> str:
    """Lay out trials side by side: sentences, verdicts, a forest of differences for each pair, and agreement.

    Example:
        >>> import pandas as pd
        >>> from kmerit.trials.side_by_side import TABLES, SideBySide
        >>> tables = [pd.DataFrame(columns=["band_low"]) for _ in TABLES]
        >>> "a and b" in side_by_side_page(SideBySide(*tables, (), {"runs": [{"name": "a"}, {"name": "b"}]}))
        True
    """
    environment = _environment()
    environment.filters.update(number=fixed, whole=partial(fixed, digits=0))
    runs = [each["name"] for each in result.settings["runs"]]
    of_runs = {
        f"{each['name']}: {key}": value
        for each in result.settings["runs"]
        for key, value in each.items()
        if key != "name"
    }
    common = {key: value for key, value in result.settings.items() if key != "runs"}
    claims = {_place_of(row): row["claim"] for row in result.claims.to_dict("records")}
    return environment.get_template("side_by_side_page.html").render(
        runs=runs,
        title=text.join(runs),
        sentences=[text.sentence(each) for each in result.remarks],
        multiplicity=text.multiplicity(result),
        about=text.SIDE_BY_SIDE,
        about_agreement=text.AGREEMENT,
        verdicts=_verdict_rows(result),
        forests=[
            _forest(key, table, claims) for key, table in _by(result.differences, ["first", "second", "class_name"])
        ],
        agreements=[(key, table.to_dict("records")) for key, table in _by(result.agreement, ["first", "second"])],
        settings=list(_flat(common | of_runs)),
        finite=math.isfinite,
    )


def side_by_side_md(result: SideBySide) -> str:
    """Write trials side by side as Markdown: sentences, verdicts, differences and agreement over all classes."""
    runs = [each["name"] for each in result.settings["runs"]]
    differences = [
        [row["first"], row["second"], row["class_name"], row["method"], row["control"], row["sequences"],
         fixed(row["excess_first"]), fixed(row["excess_second"]), interval(row["difference"], row["low"], row["high"]),
         span(row["band_low"], row["band_high"]),
         interval(row["effect_difference"], row["effect_low"], row["effect_high"])]
        for row in result.differences.to_dict("records")
    ]  # fmt: skip
    agreement = [
        [row["first"], row["second"], row["class_name"], row["method"],
         row["measure"] + (f", n = {row['n']}" if row["n"] else ""), row["sequences"],
         interval(row["value"], row["low"], row["high"]), fixed(row["floor"]),
         interval(row["above"], row["above_low"], row["above_high"])]
        for row in result.agreement.to_dict("records")
    ]  # fmt: skip
    heads = (
        ["First", "Second", "Class", "Method", "Control", "Sequences", "Excess, first", "Excess, second", "Difference",
         "Band", "Difference of effect sizes"],
        ["First", "Second", "Class", "Method", "Measure", "Sequences", "Agreement", "Floor", "Above the floor"],
    )  # fmt: skip
    parts = [
        f"# {text.join(runs)} side by side",
        "\n".join(f"- {text.sentence(each)}" for each in result.remarks),
        "## Verdicts",
        markdown_table(["Class", "Method", *runs], [[*key, *verdicts] for key, verdicts in _verdict_rows(result)]),
        "## Differences",
        f"{text.SIDE_BY_SIDE} {text.multiplicity(result)}",
        markdown_table(heads[0], differences),
        "## Agreement of the scores",
        text.AGREEMENT,
        markdown_table(heads[1], agreement),
    ]
    return "\n\n".join(parts) + "\n"


def _verdict_rows(result: SideBySide) -> list[tuple[tuple[str, str], list[str]]]:
    """List classes and methods, each with the verdict of every run."""
    runs = [each["name"] for each in result.settings["runs"]]
    rows = []
    for key, table in _by(result.verdicts, ["class_name", "method"]):
        by_run = {row["run"]: row for row in table.to_dict("records")}
        rows.append((key, [_verdict_cell(by_run[run]) if run in by_run else DASH for run in runs]))
    return rows


def _verdict_cell(row: Mapping[Any, Any]) -> str:
    is_finite = all(row[key] is not None and math.isfinite(row[key]) for key in ("excess", "low", "high"))
    return f"{row['verdict']}; {interval(row['excess'], row['low'], row['high'])}" if is_finite else str(row["verdict"])


def _by(table: pd.DataFrame, keys: list[str]) -> Iterator[tuple[Any, pd.DataFrame]]:
    """Yield the parts of a table, in their order; of an empty one none."""
    if len(table):
        yield from table.groupby(keys, sort=False)


def _place_of(row: Mapping[Any, Any]) -> tuple[str, ...]:
    return tuple(row[key] for key in ("first", "second", "class_name", "method"))


def _forest(key: Any, table: pd.DataFrame, claims: Mapping[tuple[str, ...], str]) -> dict[str, Any]:
    """Gather the differences of one pair and class, with the axis that they share."""
    rows = [{**row, "claim": claims.get(_place_of(row), "")} for row in table.to_dict("records")]
    ends = [row[name] for row in rows for name in ("low", "high", "band_low", "band_high") if math.isfinite(row[name])]
    return {"key": key, "rows": rows, "axis": _axis(ends)}


def write_heads(result: Heads, out: Path | str) -> Path:
    """Write the page ``heads.html`` into the folder of the results.

    Returns:
        The page.
    """
    return _write_alone(Path(out) / "heads.html", heads_page(result))


def heads_page(result: Heads) -> str:
    """Lay out a study of heads; every name in it is text, never markup."""
    environment = _environment()
    environment.filters.update(number=fixed)
    return environment.get_template("heads_page.html").render(
        sentences=text.head_lines(result), **heads_payload(result)
    )


def _environment() -> Environment:
    """Make what fills the templates of pages: every value is text, never markup."""
    return Environment(
        loader=PackageLoader("kmerit.report"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )


def _axis(ends: Sequence[float]) -> Callable[[float], str]:
    """Place values on an axis of 300 units that holds 0 and all ends."""
    low, high = min([0.0, *ends]), max([0.0, *ends])
    room = 0.05 * ((high - low) or 1.0)

    def place(value: float) -> str:
        return f"{300 * (value - low + room) / (high - low + 2 * room):.1f}"

    return place


def _percent(share: float | None) -> str:
    return DASH if share is None else _unbroken(fine_percent(share))


def _place(value: float | None) -> str:
    """Place a value from 0 to 1 on an axis of 100 units; off it where there is none."""
    return "-9" if value is None else f"{100 * value:.1f}"


def _curves(histograms: Any) -> list[tuple[str, str]]:
    """Draw each class's histogram of GC content as a line of steps: its name, and the points of a polyline."""
    if not histograms:
        return []
    top = max(max(shares) for shares in histograms.values()) or 1.0
    curves = []
    for name, shares in histograms.items():
        points = []
        for i, share in enumerate(shares):
            y = f"{60 * (1 - share / top):.1f}"
            points += [f"{15 * i},{y}", f"{15 * (i + 1)},{y}"]
        curves.append((name, " ".join(points)))
    return curves
