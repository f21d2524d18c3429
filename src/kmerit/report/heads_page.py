"""The page of a study of heads: maps, association next to cause, changes from stage to stage."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from markupsafe import Markup

from kmerit.formats import DASH, fixed, significant

if TYPE_CHECKING:
    import pandas as pd

    from kmerit.biology.head_study import Heads

_MOST = 60
"""Rows of a table on the page; the tables in the folder have all."""
_SETTINGS = ("attention", "adjust", "draws", "seeds", "permuted", "ablation", "dose", "seed")


def heads_payload(result: Heads) -> dict[str, Any]:
    """Lay out what the template of the page shows, in cells of text and small drawings."""
    table = result.associations
    models = result.stages.loc[result.stages["kind"] != "random", "stage"].tolist()
    top = max(0.05, float(table.loc[table["stage"].isin(models), "value"].abs().max()))
    rows = result.counted
    if not len(rows):
        trained = result.stages.loc[result.stages["kind"] == "model", "stage"]
        found_rows = table[table["found"].astype(bool) & table["stage"].isin(trained)]
        rows = found_rows.iloc[(-found_rows["z"].abs()).argsort(kind="stable")]
    changes = result.changes[result.changes["changed"].astype(bool)] if len(result.changes) else result.changes
    largest = changes.iloc[(-changes["change"].abs()).argsort(kind="stable")].head(_MOST) if len(changes) else changes
    return {
        "top": top,
        "maps": [
            {"name": name, "maps": [_map(table, result.stages, stage, name, top) for stage in models]}
            for name in result.features["feature"]
        ],
        "counted": len(result.counted),
        "rows": _associations(result, rows.head(_MOST)),
        "changed": len(changes),
        "compared": len(result.changes),
        "changes": [
            (row["stage"], row["before"], _head(row), row["feature"], fixed(row["change"]), _span(row, ""))
            for row in largest.to_dict("records")
        ],
        "doses": [
            (
                *(row["stage"], row["feature"], row["ablated"], row["controls"], fixed(row["effect"], 3)),
                *(fixed(row["control"], 3), fixed(row["difference"], 3), _span(row, "difference_")),
            )
            for row in result.doses.to_dict("records")
        ],
        "features": [
            (
                row["feature"],
                ("mask" if row["mask"] else "values") + ("" if row["tested"] else ", not tested"),
                row["not_adjusted_for"] or DASH,
                *(row[name] for name in ("windows", "loci", "constant", "missing", "explained")),
                fixed(row["bar"], 2),
            )
            for row in result.features.to_dict("records")
        ],
        "stages": [_stage(row, table) for row in result.stages.to_dict("records")],
        "settings": {key: _plain(result.settings[key]) for key in _SETTINGS if key in result.settings},
    }


def _plain(value: Any) -> Any:
    return ", ".join(map(str, value)) if isinstance(value, list) else value


def _head(row: Mapping[Any, Any]) -> str:
    return f"{int(row['layer'])}.{int(row['head'])}"


def _span(row: Mapping[Any, Any], prefix: str) -> str:
    return f"{fixed(row[f'{prefix}low'], 3)} to {fixed(row[f'{prefix}high'], 3)}"


def _stage(row: Mapping[Any, Any], table: pd.DataFrame) -> tuple[Any, ...]:
    of_stage = table[table["stage"] == row["stage"]]
    return (
        *(row["stage"], row["kind"], row["layers"], row["heads"], fixed(row["sink"], 3)),
        *(int((of_stage["q"] < 0.05).sum()), int(of_stage["found"].sum()), int(of_stage["counts"].sum())),
    )


def _map(table: pd.DataFrame, stages: pd.DataFrame, stage: str, feature: str, top: float) -> dict[str, Any]:
    """Draw one feature in one model, layer by head."""
    about = stages[stages["stage"] == stage].iloc[0]
    rows = table[(table["stage"] == stage) & (table["feature"] == feature)].to_dict("records")
    cells = []
    for row in rows:
        value, z = float(row["value"]), float(row["z"])
        known = math.isfinite(value)
        title = f"{_head(row)}: {fixed(value, 3)}" + (f", z {fixed(z, 1)}" if math.isfinite(z) else ", not tested")
        cells.append(
            {
                "x": 19 + 20 * (int(row["head"]) - 1),
                "y": 13 + 20 * (int(row["layer"]) - 1),
                "shade": f"{min(1.0, abs(value) / top):.2f}" if known else "",
                "way": "more" if value > 0 else "less",
                "frame": "counts" if row["counts"] else "confirmed" if row["found"] else "",
                "title": title + (f", q {significant(row['q'])}" if math.isfinite(z) else ""),
            }
        )
    counts = sum(bool(row["counts"]) for row in rows)
    return {
        "stage": stage,
        "layers": int(about["layers"]),
        "heads": int(about["heads"]),
        "cells": cells,
        "counts": counts,
    }


def _associations(result: Heads, shown: pd.DataFrame) -> list[tuple[Any, ...]]:
    """Put each association next to the effect of ablating the head."""
    keys = ["stage", "feature", "layer", "head"]
    effects = {tuple(row[key] for key in keys): row for row in result.effects.to_dict("records")}
    ends = [abs(row[f"difference_{end}"]) for row in effects.values() for end in ("low", "high")]
    reach = max([end for end in ends if math.isfinite(end)], default=1.0) or 1.0
    rows = []
    for row in shown.to_dict("records"):
        effect = effects.get(tuple(row[key] for key in keys))
        known = effect is not None and math.isfinite(effect["difference"])
        rows.append(
            (
                *(row["stage"], _head(row), row["feature"], fixed(row["value"], 3), fixed(row["z"], 1)),
                *(significant(row[key]) for key in ("q", "p_max", "p_confirmed")),
                fixed(row["auroc"], 3),
                fixed(effect["difference"], 3) if effect is not None and known else DASH,
                _span(effect, "difference_") if effect is not None and known else DASH,
                _forest(effect, reach) if effect is not None and known else "",
            )
        )
    return rows


def _forest(effect: Mapping[Any, Any], reach: float) -> Markup:
    value, low, high = (
        f"{60 + 58 * float(effect[name]) / reach:.1f}" for name in ("difference", "difference_low", "difference_high")
    )
    return Markup(
        '<svg class="plot" viewBox="0 0 120 14" width="120" height="14" aria-hidden="true" focusable="false">'
        '<line class="axis" x1="60" y1="0" x2="60" y2="14"/><line class="whisker" x1="{}" y1="7" x2="{}" y2="7"/>'
        '<circle class="dot" cx="{}" cy="7" r="3.2"/></svg>'
    ).format(low, high, value)
