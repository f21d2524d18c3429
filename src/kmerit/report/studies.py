"""Reports of studies, in Markdown: tables and one figure, from what the studies found."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from kmerit.formats import DASH, fixed, interval, markdown_table
from kmerit.report import text
from kmerit.report.figures import Plot, blank, paper_style, save
from kmerit.results import Remark
from kmerit.store import write_text
from kmerit.trials.controls import RANDOM
from kmerit.trials.measures import mean_drops
from kmerit.trials.verdicts import FAITHFUL, UNDECIDED

Row = Mapping[str, Any]


def write(path: Path, *sections: str) -> Path:
    """Write the sections of a report."""
    write_text(path, "\n\n".join(sections) + "\n")
    return path


def table(rows: Iterable[Mapping[str, object]], index: Sequence[str] = ()) -> str:
    """Write rows as a Markdown table.

    Args:
        rows: By column; a dash stands where a row has no cell.
        index: Columns that name a row: rows that agree in them become one.

    Example:
        >>> print(table([{"method": "lrp", "a": 1}, {"method": "lrp", "b": 2}, {"method": "ism", "b": 3}], ["method"]))
        | method | a | b |
        |----------|-----|-----|
        | lrp | 1 | 2 |
        | ism | – | 3 |
    """
    lines: dict[object, dict[str, object]] = {}
    for i, row in enumerate(rows):
        lines.setdefault(tuple(row[key] for key in index) or i, {}).update(row)
    head = list(dict.fromkeys(key for line in lines.values() for key in line))
    return markdown_table(head, [[line.get(key, DASH) for key in head] for line in lines.values()])


def _bullets(lines: Iterable[str]) -> str:
    return "\n".join(f"- {line}" for line in lines)


def _interval(row: Row, digits: int = 3) -> str:
    return interval(row["value"], row["low"], row["high"], digits)


def _measured(row: Row, key: str) -> str:
    """Format a measure of a row whose interval stands next to it, as KEY_low and KEY_high."""
    return interval(row[key], row[f"{key}_low"], row[f"{key}_high"])


def leakage(path: Path, models: Sequence[Row], answers: Mapping[str, Row], methods: Sequence[str]) -> Path:
    """Write the study of leakage, with its figure.

    Args:
        path: Of the report; the figure goes next to it.
        models: As in ``leakage.json``; and by data set the
        answers: Likewise.
        methods: Without controls.
    """
    save(_drops(models, methods), path.parent / "figure")
    collapses = (
        f"**{name}**: {text.collapse(each['models'], each['leaked'], each['not_default'])}"
        for name, each in answers.items()
    )
    return write(
        path,
        "# Leaks, class by class",
        text.LEAKAGE,
        _bullets(collapses),
        "![Accuracy lost by class and arm](figure.png)",
        *(part for name, each in answers.items() for part in _leaked_set(name, models, each["effects"], methods)),
    )


def _leaked_set(name: str, models: Sequence[Row], effects: Row, methods: Sequence[str]) -> Iterator[str]:
    """Tabulate one data set: contrasts, models, and how often each method is called faithful."""
    of_set = [model for model in models if model["set"] == name]
    yield f"## {name}"
    yield table(
        {"n": n, "mutated first": "by the methods" if ranking == "methods" else ranking}
        | {
            text.CONTRASTS[key]: f"{_interval(difference)} [{', '.join(map(fixed, difference['trainings']))}]"
            for key, difference in by_contrast.items()
        }
        for n, by_ranking in effects.items()
        for ranking, by_contrast in by_ranking.items()
    )
    yield table(_leaked_model(model, methods) for model in of_set)
    yield text.FAITHFUL_MODELS
    verdicts: dict[tuple[str, int, str], list[bool]] = {}
    for model in of_set:
        for each in model["verdicts"]:
            verdicts.setdefault((each["method"], each["label"], model["arm"]), []).append(each["verdict"] == FAITHFUL)
    cells = (
        {"method": method, "class": label, arm: f"{sum(every)} of {len(every)}"}
        for (method, label, arm), every in verdicts.items()
    )
    yield table(cells, ["method", "class"])


def _leaked_model(model: Row, methods: Sequence[str]) -> dict[str, object]:
    drops, control = mean_drops([model["drops"]], methods), model["drops"].get(RANDOM, {})
    return {
        "arm": model["arm"],
        "seed": model["seed"],
        "accuracy on the test split": fixed(model["accuracy"]["value"]),
        "AUROC": fixed(model["auroc"]["value"]),
        "default label": text.or_neither(model["default_label"]),
        "falls further": text.or_neither(model["falls_further"]),
        **{f"drop of class {k} (random)": f"{fixed(drops[k])} ({fixed(control.get(k))})" for k in drops},
    }


def _drops(models: Sequence[Row], methods: Sequence[str]) -> Plot:
    """Draw the drop of each class in each arm: a dot for a model, a line through the means; a panel for each set."""
    import pandas as pd

    drops = [(m["set"], m["arm"], m["seed"], mean_drops([m["drops"]], methods)) for m in models]
    rows = pd.DataFrame(
        [(*key, int(label), drop) for *key, by_label in drops for label, drop in by_label.items()],
        columns=["set", "arm", "seed", "label", "drop"],
    )
    with paper_style():
        figure = blank(3.6 * rows["set"].nunique(), 2.8)
        axes = figure.subplots(1, rows["set"].nunique(), squeeze=False, sharey=True)[0]
        for axis, (name, of_set) in zip(axes, rows.groupby("set", sort=False), strict=True):
            arms = list(dict.fromkeys(of_set["arm"]))
            for label, colour in enumerate(("#0072B2", "#D55E00")):
                of_class = of_set[of_set["label"] == label]
                at = of_class["arm"].map(arms.index) + 0.08 * (label - 0.5)
                axis.plot(at, of_class["drop"], "o", ms=4, alpha=0.6, color=colour)
                means = of_class.groupby("arm")["drop"].mean().reindex(arms)
                axis.plot(range(len(arms)), means, "-", lw=1.4, color=colour, label=f"class {label}")
            axis.axhline(0, lw=0.6, color="grey")
            axis.set_xticks(range(len(arms)), arms)
            axis.set_xlabel("leaked")
            axis.set_title(str(name), fontsize=8)
        axes[0].set_ylabel("accuracy lost")
        axes[0].legend(frameon=False)
    return Plot(figure, rows)


def backgrounds(path: Path, sets: Mapping[str, Row], changes: Sequence[Remark]) -> Path:
    """Write the study of backgrounds.

    Args:
        path: Of the report.
        sets: By background, as in ``negatives.json``.
        changes: From each background to the next.
    """
    models = (
        {
            "background": name,
            "accuracy": _interval(model["accuracy"]),
            "AUROC": _interval(model["auroc"]),
            "default label": text.or_neither(model["default_label"]),
            "falls further": text.or_neither(model["falls_further"]),
            "drops (class 0, class 1)": "; ".join(
                f"{method} {' / '.join(fixed(by[k]) for k in sorted(by))}" for method, by in model["drops"].items()
            ),
            "ranking": ", ".join(model["ranking"]),
        }
        for name, model in sets.items()
    )
    verdicts = (
        {"method": each["method"], "class": each["label"]}
        | {name: f"{each['verdict']}: {interval(each['excess'], each['low'], each['high'])}"}
        for name, model in sets.items()
        for each in model["verdicts"]
    )
    return write(
        path,
        "# The same positives against other backgrounds",
        _bullets([*map(text.sentence, changes)] or [text.NO_CHANGE]),
        "## Models",
        table(models),
        "## Verdicts",
        text.EXCESSES,
        table(verdicts, ["method", "class"]),
    )


def planted(path: Path, results: Mapping[str, Row], agreed: Row | None) -> Path:
    """Write the study of planted truth: what the truth says of every method, and what the trial says.

    Args:
        path: Of the report.
        results: By data set, as in ``planted.json``.
        agreed: As in ``agreement.json``.
    """
    learned_results = {name: result for name, result in results.items() if result["learned"]}
    summary = _bullets(f"**{name}**: {text.planted(result)}" for name, result in results.items())
    sections = ["# Planted truth and the mutagenesis trial", text.PLANTED, summary]
    if learned_results:
        sections.append(text.acquitted([row for result in learned_results.values() for row in result["methods"]]))
        if agreed is not None:
            sections.append(text.agreement(**agreed))
        cells = (
            {"method": row["method"], name: _truth_and_verdict(row)}
            for name, result in learned_results.items()
            for row in result["methods"]
        )
        sections += [text.TRUTH_AND_TRIAL, table(cells, ["method"])]
    for name, result in learned_results.items():
        sections += [f"## {name}", text.planted_set(result), table(map(_planted_method, result["methods"]))]
    return write(path, *sections)


def _truth_and_verdict(row: Row) -> str:
    """Format truth and verdict; in bold where they disagree."""
    cell = f"{fixed(row['truth'], 2)}, {row['verdict']}"
    agrees = row["verdict"] == UNDECIDED or row["finds"] == (row["verdict"] == FAITHFUL)
    return cell if agrees else f"**{cell}**"


def _planted_method(row: Row) -> dict[str, object]:
    measures = {"truth": row["measure"], "auprc": "auprc", "mass_inside": "mass_inside"}
    return {
        "method": row["method"],
        **{text.TRUTHS[measure]: _measured(row, key) for key, measure in measures.items() if key in row},
        "finds it": "yes" if row["finds"] else "no",
        "trial's verdict": row["verdict"],
        "excess": _measured(row, "excess"),
        "control": row["control"] or DASH,
    }


def sanity(path: Path, model: str, sequences: int, checks: Sequence[Row], omissions: Sequence[Remark]) -> Path:
    """Write sanity checks.

    Args:
        path: Of the report.
        model: Its name.
        sequences: How many were scored.
        checks: As in ``sanity.json``.
        omissions: Checks that could not be done.
    """

    def cell(row: Row) -> str:
        is_partial = row["value"] is not None and row["sequences"] < sequences
        return _interval(row, 2) + (f", {row['sequences']}" if is_partial else "")

    cells = ({"check": ", ".join(filter(None, (r["check"], r["stage"]))), r["method"]: cell(r)} for r in checks)
    return write(
        path,
        f"# Sanity checks: {model}",
        text.sanity(sequences),
        table(cells, ["check"]),
        _bullets(f"**{each}**: {text.CHECKS[each]}." for each in dict.fromkeys(row["check"] for row in checks)),
        *map(text.sentence, omissions),
    )


_METRICS = {"accuracy": "accuracy", "auroc": "AUROC"}


def _model(row: Row) -> str:
    """Name a model that was loaded, or the seed of one that was trained."""
    return str(row["model"]) if row["seed"] < 0 else f"seed {row['seed']}"


def _constant(constant: Sequence[Row]) -> list[str]:
    """Tell how often a method ranked nothing, where one did."""
    methods = list(dict.fromkeys(row["method"] for row in constant if row["constant"]))
    counts: dict[tuple[Any, ...], dict[str, list[Row]]] = {}
    for row in constant:
        if row["method"] in methods:
            place = (row["task"], row["class"], row["length"])
            counts.setdefault(place, {}).setdefault(row["method"], []).append(row)
    rows = (
        {
            **dict(zip(("task", "class", "length"), place, strict=True)),
            **{
                method: f"{sum(row['constant'] for row in each)} of {sum(row['sequences'] for row in each)}"
                for method, each in by_method.items()
            },
        }
        for place, by_method in counts.items()
    )
    return [text.RANKS_NOTHING, table(rows, ["task", "class", "length"])] if methods else []


def regimes(
    path: Path,
    verdicts: Sequence[Row],
    agreement: Sequence[Row],
    shares: Sequence[Row] | None,
    reason: str | None,
    left_out: Mapping[str, Mapping[str, Mapping[str, int]]],
    lengths: Sequence[int],
    models: Sequence[Row],
    places: Sequence[Row],
    constant: Sequence[Row] = (),
    tile: int | None = None,
    tasks: Mapping[str, str] | None = None,
) -> Path:
    """Write the study of regimes: accuracy, verdicts, agreement, places and shares of the variance.

    Args:
        path: Of the report.
        verdicts: As in ``regimes.json``.
        agreement: As in ``agreement.csv``.
        shares: As in ``shares.csv``; None where there are none, for the
        reason: A key of `text.NO_SHARES`.
        left_out: By task and split, the rows left out.
        lengths: From the shortest to the longest, nt.
        models: As in ``models.csv``.
        places: As in ``places.csv``.
        constant: As in ``regimes.json``.
        tile: Lengths beyond it were read in tiles of as many nucleotides.
        tasks: What registered tasks are, with their known faults, by name.
    """
    counts: dict[tuple[Any, ...], list[bool]] = {}
    for each in verdicts:
        keys = (each["task"], each["label"], each["length"], each["operator"], each["method"])
        counts.setdefault(keys, []).append(each["verdict"] == FAITHFUL)
    faithful = (
        {"task": task, "class": label, "length": length, "operator": operator, method: f"{sum(each)} of {len(each)}"}
        for (task, label, length, operator, method), each in counts.items()
    )
    agreed = (
        {
            "task": row["task"],
            "length": row["length"],
            "model": _model(row),
            "class": row["class"],
            "sequences": row["sequences"],
            "W": fixed(row["w"]),
            "W, shifted": fixed(row["shifted"]),
            "difference": interval(row["beyond"], row["low"], row["high"]),
        }
        for row in agreement
    )
    if shares is None:
        shared = [text.NO_SHARES[reason or "equal"]]
    else:
        shared = [
            text.SHARES,
            text.shares_rows(shares[0]["sequences"], shares[0]["left_out"]),
            table({"factor": r["factor"], "share": interval(r["share"], r["low"], r["high"])} for r in shares),
        ]
    measured = (
        {
            "task": row["task"],
            "length": row["length"],
            "model": _model(row),
            "test rows": row["rows"],
            **{
                name: interval(*(row[f"{key}{end}"] for end in ("", "_low", "_high"))) for key, name in _METRICS.items()
            },
        }
        for row in models
    )
    central: dict[tuple[Any, ...], dict[str, list[Row]]] = {}
    for row in places:
        place = (row["task"], row["class"], row["length"])
        central.setdefault(place, {}).setdefault(row["method"], []).append(row)
    placed = (
        {
            **dict(zip(("task", "class", "length"), place, strict=True)),
            "even": fixed(next(iter(methods.values()))[0]["even"]),
            **{method: fixed(sum(row["central"] for row in rows) / len(rows)) for method, rows in methods.items()},
        }
        for place, methods in central.items()
    )
    where = []
    if len(lengths) > 1:
        taken = sorted({row["n"] for row in places})
        where = ["## Where the first positions lie", text.central(lengths[0], taken[0], taken[-1])]
        where.append(table(placed, ["task", "class", "length"]))
    omitted = (
        {
            "task": task,
            "split": split,
            "with N": counts["with_n"],
            "too short": counts["too_short"],
            "outside the genome": counts["outside"],
            "overlapping another split": counts["overlapping"],
        }
        for task, by_split in left_out.items()
        for split, counts in by_split.items()
    )
    return write(
        path,
        "# Tasks, lengths, operators and models",
        text.REGIMES,
        *(f"`{name}`: {description}" for name, description in (tasks or {}).items()),
        *([text.regime_tiles(tile, lengths)] if tile is not None and tile < lengths[-1] else []),
        "## How accurate the models are",
        table(measured),
        "## How many models a method is faithful to",
        text.REGIME_VERDICTS,
        table(faithful, ["task", "class", "length", "operator"]),
        *_constant(constant),
        "## Where methods agree",
        text.REGIME_AGREEMENT,
        table(agreed),
        *where,
        "## What the excess depends on",
        *shared,
        "## Rows left out",
        text.rows_left_out(lengths[-1]),
        table(omitted),
    )
