"""Report cards: the verdicts of a trial as JSON, CSV and Markdown, with what they rest on."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pandas as pd

from kmerit.faithfulness.fair import evaluations, grid_sentence
from kmerit.faithfulness.measures import differences, excesses, measures
from kmerit.faithfulness.verdicts import FAITHFUL, Verdict, Verdicts, judge
from kmerit.formats import fixed, markdown_table
from kmerit.store import write_text
from kmerit.types import Outcomes

FILES = ("cards.json", "cards.csv", "cards.md", "excesses.csv", "measures.csv", "differences.csv")
"""What `write_cards` leaves."""

_COLUMNS = (
    *("class_name", "label", "method", "line", "verdict", "beyond", "control", "excess", "low", "high", "effect_size"),
    *("detectable", "aopc", "sequences", "mistaken", "data_set", "warnings"),
)


RULE = (
    "A method is faithful if the bands of its excess over the controls shifted, clump and other all lie above 0, worse "
    "than its controls if all lie below, no better than its controls if all lie within 10 % of what exact in-silico "
    "mutagenesis reaches over them, else undecided. A band holds over all methods, classes and deciding controls of "
    "the card at once."
)
BEYOND = {True: "yes", False: "not shown", None: "not asked"}
"""Whether what is faithful reaches beyond composition."""
NOT_AUDITED = "not audited"
"""What a card says of its data set where nobody looked."""


def write_cards(
    outcomes: Outcomes,
    folder: str | Path,
    *,
    title: str = "",
    data_set: str = NOT_AUDITED,
    resamples: int = 2000,
    seed: int = 0,
) -> Verdicts:
    """Judge the outcomes of a trial, and write the report cards and every measure beside them.

    Args:
        outcomes: Of a trial with controls.
        folder: Gets ``cards.json``, ``cards.csv``, ``cards.md`` (a line per class and method), ``excesses.csv``,
            ``measures.csv`` (what else was measured) and ``differences.csv`` (each method beside each other one).
        title: Heads ``cards.md``: the task, say.
        data_set: What a verdict on this data set must be read with, in the line of each card:
            :meth:`kmerit.audit.Audit.in_a_line`.
        resamples: Bootstrap draws of each interval.
        seed: Of those draws.

    Returns:
        The verdicts.

    Raises:
        UsageError: There are no outcomes of ``random_other``, most relevant first.

    Example:
        >>> import tempfile
        >>> import kmerit as km
        >>> model = km.load_model("bundled:promoter")
        >>> sequences = km.Sequences.from_strings(["TATAAAGGCGCGCC" * 4, "ACGTTGCAACGGTT" * 4], labels=[1, 0])
        >>> scores = km.attribute(model, sequences, ["lrp"])
        >>> outcomes = km.mutate(model, sequences, scores, counts=[1, "all"], controls=["random"])
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     cards = write_cards(outcomes, folder, resamples=100)
        ...     sorted(path.name for path in Path(folder).iterdir())
        ['cards.csv', 'cards.json', 'cards.md', 'differences.csv', 'excesses.csv', 'measures.csv']
    """
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    verdicts = judge(outcomes, resamples=resamples, seed=seed)
    about = card_tree(outcomes, verdicts, data_set)
    tables = {
        "excesses.csv": excesses(outcomes, resamples=resamples, seed=seed),
        "measures.csv": measures(outcomes, resamples=resamples, seed=seed),
        "differences.csv": differences(outcomes, resamples=resamples, seed=seed),
    }
    texts = {name: table.to_csv(index=False, lineterminator="\n") for name, table in tables.items()}
    texts["cards.csv"] = cards_csv(verdicts, data_set)
    texts["cards.md"] = cards_markdown(about, title)
    texts["cards.json"] = json.dumps(about, indent=2, ensure_ascii=False, allow_nan=False) + "\n"
    for name, text in texts.items():
        write_text(folder / name, text)
    return verdicts


def card_tree(outcomes: Outcomes, verdicts: Verdicts, data_set: str = NOT_AUDITED) -> dict[str, Any]:
    """Gather cards, what could be decided, warnings, floors, grid and evaluations, as they stand in ``cards.json``."""
    return {
        "endpoint": "AOPC of the explained class's logit, most relevant first, random_other",
        "rule": RULE,
        "grid": grid_sentence(outcomes.settings),
        "evaluations": evaluations(outcomes.diagnostics),
        "prospects": list(outcomes.diagnostics.get("prospects", [])),
        "warnings": _gathered(verdicts),
        "floors": [asdict(floor) for floor in verdicts.floors],
        "cards": [{**asdict(verdict), "data_set": data_set} for verdict in verdicts],
    }


def _gathered(verdicts: Sequence[Verdict]) -> list[dict[str, str]]:
    """List each warning once, with whom it is for; a class stands for all of its methods."""
    methods = {verdict.method for verdict in verdicts}
    told: dict[str, dict[str, list[str]]] = {}
    for verdict in verdicts:
        for text in verdict.warnings:
            told.setdefault(text, {}).setdefault(verdict.class_name, []).append(verdict.method)
    gathered = []
    for text, by_class in told.items():
        parts = [name if methods <= set(of) else f"{name} ({', '.join(of)})" for name, of in by_class.items()]
        gathered.append({"of": "; ".join(parts), "text": text})
    return gathered


def cards_csv(verdicts: Iterable[Verdict], data_set: str = NOT_AUDITED) -> str:
    """Write one line for each card; the comparisons with every control stand in ``cards.json``."""
    rows = [{**asdict(verdict), "data_set": data_set, "warnings": " ".join(verdict.warnings)} for verdict in verdicts]
    return str(pd.DataFrame(rows, columns=list(_COLUMNS), dtype=object).to_csv(index=False, lineterminator="\n"))


def cards_markdown(about: dict[str, Any], title: str = "") -> str:
    """Write the cards for people."""
    lines = [f"# Report cards{f': {title}' if title else ''}", "", f"Endpoint: {about['endpoint']}. "]
    lines[-1] += f"{RULE} Excess: over the deciding control that the method comes closest to, in logits, with its band."
    columns = ["class", "method", "verdict", "beyond composition", "excess", "band", "control", "sd", "sequences"]
    rows = [
        [
            card["class_name"],
            card["method"],
            card["verdict"],
            BEYOND[card["beyond"]] if card["verdict"] == FAITHFUL else "",
            fixed(card["excess"], none=""),
            "" if card["low"] is None else f"{fixed(card['low'])} to {fixed(card['high'])}",
            card["control"],
            fixed(card["effect_size"], 2, none=""),
            card["sequences"],
            card["data_set"],
        ]
        for card in about["cards"]
    ]
    lines += ["", markdown_table([*columns, "data set"], rows)]
    if about["warnings"]:
        lines += ["", "## Warnings", "", *(f"- {each['of']}: {each['text']}" for each in about["warnings"])]
    if about["floors"]:
        lines += ["", "## The floor", "", *(f"- {floor['sentence']}" for floor in about["floors"])]
    lines += [
        "",
        "## What was done",
        "",
        *(f"- {text}" for text in (about["grid"], about["evaluations"]["sentence"]) if text),
    ]
    return "\n".join(lines) + "\n"
