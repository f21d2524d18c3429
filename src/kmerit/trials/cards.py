"""Report cards: the verdicts of a trial as JSON and CSV, with what they rest on. A report puts them into words."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pandas as pd

from kmerit.remarks import Remark, codes
from kmerit.results import Outcomes
from kmerit.store import write_text
from kmerit.trials.comparisons import MARGIN, OPERATOR, ORDER
from kmerit.trials.controls import DECIDING
from kmerit.trials.measures import differences, excesses, measures
from kmerit.trials.trial import evaluations
from kmerit.trials.verdicts import Verdict, Verdicts, judge

FILES = ("cards.json", "cards.csv", "excesses.csv", "measures.csv", "differences.csv")
"""What `write_cards` leaves."""

_COLUMNS = (
    *("class_name", "label", "method", "line", "verdict", "beyond", "control", "excess", "low", "high", "effect_size"),
    *("detectable", "aopc", "sequences", "mistaken", "data_set", "caveats"),
)

NOT_AUDITED = "not_audited"
"""What ``cards.csv`` says of the data set where nobody looked."""


def write_cards(
    outcomes: Outcomes,
    folder: str | Path,
    *,
    data_set: Sequence[Remark] | None = None,
    resamples: int = 2000,
    seed: int = 0,
) -> Verdicts:
    """Judge the outcomes of a trial, and write the report cards and a table of every measure.

    Args:
        outcomes: Of a trial with controls.
        folder: Gets ``cards.json``, ``cards.csv`` (a line per class and method), ``excesses.csv``, ``measures.csv``
            (what else was measured) and ``differences.csv`` (each method against each other one).
        data_set: What a verdict on this data set must be read with: :attr:`kmerit.datasets.findings.Audit.concerns`;
            None where nobody looked.
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
        ['cards.csv', 'cards.json', 'differences.csv', 'excesses.csv', 'measures.csv']
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
    texts["cards.json"] = json.dumps(about, indent=2, ensure_ascii=False, allow_nan=False) + "\n"
    for name, text in texts.items():
        write_text(folder / name, text)
    return verdicts


def card_tree(outcomes: Outcomes, verdicts: Verdicts, data_set: Sequence[Remark] | None = None) -> dict[str, Any]:
    """Gather cards, what could be decided, floors, grid and evaluations, as they stand in ``cards.json``."""
    return {
        "endpoint": {"measure": "aopc_logit", "operator": OPERATOR, "order": ORDER},
        "rule": {"controls": list(DECIDING), "margin": MARGIN},
        "grid": outcomes.settings.get("grid"),
        "evaluations": evaluations(outcomes.diagnostics),
        "prospects": list(outcomes.diagnostics.get("prospects", [])),
        "data_set": None if data_set is None else [asdict(each) for each in data_set],
        "floors": [asdict(floor) for floor in verdicts.floors],
        "cards": [asdict(verdict) for verdict in verdicts],
    }


def cards_csv(verdicts: Iterable[Verdict], data_set: Sequence[Remark] | None = None) -> str:
    """Write one line for each card; the comparisons with every control stand in ``cards.json``."""
    about = NOT_AUDITED if data_set is None else codes(data_set)
    rows = [{**asdict(each), "data_set": about, "caveats": codes(each.caveats)} for each in verdicts]
    return str(pd.DataFrame(rows, columns=list(_COLUMNS), dtype=object).to_csv(index=False, lineterminator="\n"))
