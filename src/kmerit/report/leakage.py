"""The crossed design of leaks in words, tables and a figure: what the collapse under mutation follows."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from kmerit.faithfulness.controls import RANDOM, is_control
from kmerit.formats import fixed, interval, markdown_table
from kmerit.report.figures import GREY, INK
from kmerit.report.plots.saving import Plot, blank, paper_style, save
from kmerit.report.studies import class_or_neither, read_study
from kmerit.store import write_text

COLOURS = {0: "#0072B2", 1: "#D55E00"}
Models = Sequence[Mapping[str, Any]]


def write_leakage(folder: str | Path) -> Path:
    """Write ``leakage.md``, and ``figure.png``, ``.svg``, ``.pdf``, ``.csv``, from a study's ``leakage.json``.

    Raises:
        FormatError: There is none, or it is damaged.

    Example:
        >>> import json, tempfile
        >>> folder = Path(tempfile.mkdtemp())
        >>> known = {"value": 0.8, "low": 0.7, "high": 0.9}
        >>> model = {"set": "a", "arm": "none", "seed": 0, "leaked": [], "default_label": 0, "falls_further": 1,
        ...          "accuracy": known, "auroc": known, "drops": {"lrp": {"0": 0.1, "1": 0.3}}, "verdicts": []}
        >>> answer = {"models": 0, "leaked": 0, "not_default": 0}
        >>> _ = (folder / "leakage.json").write_text(json.dumps({"models": [model], "answers": {"a": answer}}))
        >>> "| none | 0 | 0.800 |" in write_leakage(folder).read_text()
        True
    """
    folder = Path(folder)
    told = read_study(folder, "leakage.json", "leakage")
    save(figure(told["models"]), folder / "figure")
    sections = [
        "# Leaks, class by class",
        _SUMMARY,
        "\n".join(f"- **{name}**: {sentence(answer)}" for name, answer in told["answers"].items()),
        "![Accuracy lost by class and arm](figure.png)",
    ]
    for name in told["answers"]:
        mine = [model for model in told["models"] if model["set"] == name]
        leaks = told["answers"][name].get("effects", {})
        sections += [f"## {name}", *([_contrasts(leaks)] if leaks else []), _table(mine), _verdicts(mine)]
    write_text(folder / "leakage.md", "\n\n".join(sections) + "\n")
    return folder / "leakage.md"


_SUMMARY = (
    "In each arm rows that copy or overlap test rows take the place of training rows: of no class, of class 1 "
    "(positives), of class 0 (negatives), or of both. *Drop*: accuracy lost under the mutations that the methods rank "
    "first, mean over the methods; *random*: the same under random positions. A class *falls further* if its drop is "
    "more than 0.02 greater than the other's. The first table of a set has differences of drops, with 95 % intervals "
    "over the sequences on trial, and in brackets the value of each training alone."
)


CONTRASTS = {
    "unleaked": "class 1 falls further by, without leaks",
    "positives": "a leak of class 1 adds to that",
    "negatives": "a leak of class 0 takes from that",
    "leaked": "a leak adds to its class, mean of both",
}


def _contrasts(effects: Mapping[str, Mapping[str, Mapping[str, Any]]]) -> str:
    """Tabulate how much further one class falls and what leaks add, with 95 % intervals, and each training's value."""
    there = [name for name in CONTRASTS if any(name in by for each in effects.values() for by in each.values())]
    rows = []
    for n, by_ranking in effects.items():
        for ranking, found in by_ranking.items():
            cells = [
                f"{interval(told['value'], told['low'], told['high'])} [{', '.join(map(fixed, told['trainings']))}]"
                for told in (found[name] for name in there)
            ]
            rows.append([n, "by the methods" if ranking == "methods" else ranking, *cells])
    return markdown_table(["n", "mutated first", *(CONTRASTS[name] for name in there)], rows)


def sentence(answer: Mapping[str, Any]) -> str:
    """Say what the collapse follows in one data set."""
    if not answer["models"]:
        return "no model with one leaked class has a class that falls further."
    return (
        f"of {answer['models']} models with one leaked class in which a class falls further, it is the leaked one in "
        f"{answer['leaked']}, and the one that is not the default label in {answer['not_default']}."
    )


def figure(models: Models) -> Plot:
    """Draw the drop of each class in each arm: a dot for a model, a line through the means; a panel for each set."""
    rows = pd.DataFrame(
        [
            {"set": m["set"], "arm": m["arm"], "seed": m["seed"], "label": int(label), "drop": drop}
            for m in models
            for label, drop in mean_drops(m).items()
        ]
    )
    sets = list(dict.fromkeys(rows["set"]))
    with paper_style():
        drawn = blank(3.6 * len(sets), 2.8)
        axes = drawn.subplots(1, len(sets), squeeze=False, sharey=True)[0]
        for axis, name in zip(axes, sets, strict=True):
            mine = rows[rows["set"] == name]
            arms = list(dict.fromkeys(mine["arm"]))
            for label, of_class in mine.groupby("label"):
                at = of_class["arm"].map(arms.index) + 0.08 * (int(str(label)) - 0.5)
                colour = COLOURS.get(int(str(label)), INK)
                axis.plot(at, of_class["drop"], "o", ms=4, alpha=0.6, color=colour)
                means = of_class.groupby("arm")["drop"].mean().reindex(arms)
                axis.plot(range(len(arms)), means, "-", lw=1.4, color=colour, label=f"class {label}")
            axis.axhline(0, lw=0.6, color=GREY)
            axis.set_xticks(range(len(arms)), arms)
            axis.set_xlabel("leaked")
            axis.set_title(name, fontsize=8)
        axes[0].set_ylabel("accuracy lost")
        axes[0].legend(frameon=False)
    return Plot(drawn, rows)


def mean_drops(model: Mapping[str, Any]) -> dict[str, float]:
    """Average a model's drops over the methods, controls left out.

    Example:
        >>> controls = {"random": {"0": 9.0}, "shifted(lrp)": {"0": 9.0}}
        >>> mean_drops({"drops": {"lrp": {"0": 0.25}, "attention": {"0": 0.75}, **controls}})
        {'0': 0.5}
    """
    methods = [by for method, by in model["drops"].items() if not is_control(method)]
    return {label: float(np.mean([by[label] for by in methods])) for label in sorted(methods[0])}


def _table(models: Models) -> str:
    labels = sorted(mean_drops(models[0]))
    head = ["arm", "seed", "accuracy on the test split", "AUROC", "default label", "falls further"]
    head += [f"drop of class {label} (random)" for label in labels]
    rows = []
    for model in models:
        lost, control = mean_drops(model), model["drops"].get(RANDOM, {})
        cells = [model["arm"], model["seed"], fixed(model["accuracy"]["value"]), fixed(model["auroc"]["value"])]
        cells += [class_or_neither(model["default_label"]), class_or_neither(model["falls_further"])]
        cells += [f"{fixed(lost[label])} ({fixed(control.get(label))})" for label in labels]
        rows.append(cells)
    return markdown_table(head, rows)


def _verdicts(models: Models) -> str:
    """Count per arm and class how often each method is called faithful."""
    arms = list(dict.fromkeys(model["arm"] for model in models))
    keys = dict.fromkeys((v["method"], v["label"]) for model in models for v in model["verdicts"])
    if not keys:
        return "No verdicts."
    rows = [
        [method, label, *(_faithful(method, label, (m for m in models if m["arm"] == arm)) for arm in arms)]
        for method, label in keys
    ]
    return "Models whose trial calls a method faithful:\n\n" + markdown_table(["method", "class", *arms], rows)


def _faithful(method: str, label: Any, models: Iterable[Mapping[str, Any]]) -> str:
    verdicts = [v["verdict"] for m in models for v in m["verdicts"] if (v["method"], v["label"]) == (method, label)]
    return f"{sum(verdict == 'faithful' for verdict in verdicts)} of {len(verdicts)}"
