"""What results look like in a notebook: HTML that needs nothing from elsewhere, with every name escaped."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from html import escape
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    import pandas as pd
    import pyarrow as pa

MOST_ROWS = 10
"""More sequences than these are counted, not shown."""
MOST_BARS = 400
"""Positions drawn of one sequence."""
_TALL = 22


class ShownAttribution:
    """What a notebook shows of an attribution."""

    def _repr_html_(self: Any) -> str:
        return attribution_html(self.method, self.level, self.signed, self.names, self.target, self.scores)


class ShownCurve:
    """What a notebook shows of a mutagenesis curve."""

    def _repr_html_(self: Any) -> str:
        return curve_html(self.mutants, self.cells, self.names)


class ShownAudit:
    """What a notebook shows of an audit."""

    def _repr_html_(self: Any) -> str:
        return audit_html(self.name, self.splits, self.findings)


def audit_html(name: str, splits: Mapping[str, int], findings: Sequence[Any]) -> str:
    """Show an audit: its findings, worst first, each with what to do about it.

    Args:
        name: Of the data set.
        splits: Rows per split.
        findings: With ``where``, ``text`` and ``remedy``.

    Example:
        >>> import kmerit as km
        >>> rows = km.Sequences.from_strings(["ACGTTGCA", "GGATCCAT"], labels=[0, 1])
        >>> "are copies of rows" in km.audit({"train": rows, "test": rows}, baselines=())._repr_html_()
        True
    """
    sizes = ", ".join(f"{split} {rows:,}" for split, rows in splits.items())
    count = "1 finding" if len(findings) == 1 else f"{len(findings)} findings"
    title = f"Audit of {name} ({sizes}): {count}"
    rows = [[escape(finding.where), escape(finding.text), escape(finding.remedy)] for finding in findings]
    return _table(title, ("where", "finding", "what to do"), rows, len(rows))


def attribution_html(
    method: str, level: str, signed: bool, names: Sequence[str], target: NDArray[Any], scores: NDArray[Any]
) -> str:
    """Show an attribution: a row for each of the first sequences, its scores as bars, negative ones below the line.

    Args:
        method: Its name.
        level: What has a score each.
        signed: Whether negative scores mean evidence against the class.
        names: Of the sequences.
        target: ``[sequence]``, the class explained.
        scores: ``[sequence, position]``.

    Example:
        >>> import kmerit as km
        >>> scores = np.array([[0.5, -0.25, np.nan]])
        >>> shown = km.Attribution("lrp", scores, "nucleotide", np.array([1]), ("<seq>",))._repr_html_()
        >>> "&lt;seq&gt;" in shown, "<seq>" in shown
        (True, False)
    """
    rows = [
        [
            escape(name),
            str(int(explained)),
            _number(np.nanmax(np.abs(row)) if np.isfinite(row).any() else np.nan),
            _bars(row),
        ]
        for name, explained, row in zip(names[:MOST_ROWS], target, scores, strict=False)
    ]
    title = f"{method}: {'signed' if signed else 'unsigned'} scores per {level} of {len(names)} sequences"
    return _table(title, ("sequence", "class explained", "largest |score|", "scores"), rows, len(names))


def curve_html(mutants: pa.Table, cells: pa.Table, names: Sequence[str]) -> str:
    """Show a trial: by method and count, how many answers changed, in per cent; mean over sequences and draws.

    Args:
        mutants: The curve's.
        cells: The curve's.
        names: Of the sequences.

    Example:
        >>> import kmerit as km
        >>> model, sequences = km.load_model("bundled:promoter"), km.Sequences.from_strings(["TATAAAGGCGCGCC"])
        >>> curve = km.mutate(model, sequences, km.attribute(model, sequences, ["lrp"]), counts=[0, 2], replicates=1)
        >>> "answers changed" in curve._repr_html_()
        True
    """
    table = cells.select(["method", "operator", "order", "n", "full", "sequence", "mutant"]).to_pandas()
    lists = mutants["logits"].combine_chunks()
    predicted = lists.flatten().to_numpy().reshape(len(lists), -1).argmax(axis=1)
    owner = mutants["sequence"].to_numpy()
    # Mutants come sequence by sequence, and the first of each is the sequence itself.
    first = np.unique(owner, return_index=True)[1]
    table["changed"] = (predicted != predicted[first][owner])[table["mutant"].to_numpy()]
    table["count"] = np.where(table["full"], np.inf, table["n"])
    arms = ["method", "operator", "order"]
    each = table.groupby([*arms, "count", "sequence"], observed=True)["changed"].mean()
    mean = each.groupby([*arms, "count"], observed=True).mean().unstack("count")
    counts = ["all" if np.isinf(count) else f"n = {count:.0f}" for count in mean.columns]
    shares = ([f"{100 * share:.0f}" for share in row] for row in mean.to_numpy())
    rows = [[*(escape(str(part)) for part in arm), *row] for arm, row in zip(mean.index, shares, strict=True)]
    title = f"Mutagenesis of {len(names)} sequences, {len(lists)} mutants classified: answers changed, in per cent"
    return _table(title, (*arms, *counts), rows, len(rows))


def frame_html(title: str, frame: pd.DataFrame) -> str:
    """Show the first rows of a frame.

    Example:
        >>> import pandas as pd
        >>> "&lt;a&gt;" in frame_html("Names", pd.DataFrame({"name": ["<a>"]}))
        True
    """
    first = frame.head(MOST_ROWS).to_numpy(dtype=object)
    rows = [[escape(_number(cell) if isinstance(cell, float) else str(cell)) for cell in row] for row in first]
    return _table(title, [str(column) for column in frame.columns], rows, len(frame))


def _table(title: str, head: Sequence[str], rows: Iterable[Sequence[str]], total: int) -> str:
    """Lay out a table; what is in the rows is HTML already."""
    body = ["<tr>" + "".join(f"<td style='text-align:left'>{cell}</td>" for cell in row) + "</tr>" for row in rows]
    rest = f"<p>and {total - len(body)} more</p>" if total > len(body) else ""
    names = "".join(f"<th style='text-align:left'>{escape(name)}</th>" for name in head)
    return (
        f"<div><p><strong>{escape(title)}</strong></p><table><thead><tr>{names}</tr></thead>"
        f"<tbody>{''.join(body)}</tbody></table>{rest}</div>"
    )


def _bars(scores: Any) -> str:
    scores = np.asarray(scores, dtype=float)[:MOST_BARS]
    positions = np.flatnonzero(np.isfinite(scores))
    if not positions.size:
        return "none"
    scores = scores[: positions[-1] + 1]
    largest = float(np.nanmax(np.abs(scores))) or 1.0
    has_negative = bool((scores[np.isfinite(scores)] < 0).any())
    height = _TALL * (2 if has_negative else 1)
    paths = {"#0072B2": "", "#D55E00": ""}
    for i, score in enumerate(scores):
        if np.isfinite(score) and score:
            tall = abs(score) / largest * _TALL
            paths["#0072B2" if score > 0 else "#D55E00"] += f"M{3 * i + 1} {_TALL}v{-tall if score > 0 else tall:.1f}"
    lines = "".join(f"<path d='{path}' stroke='{colour}' stroke-width='2'/>" for colour, path in paths.items() if path)
    return (
        f"<svg width='{3 * len(scores)}' height='{height}' viewBox='0 0 {3 * len(scores)} {height}' "
        f"preserveAspectRatio='none' role='img' aria-label='scores as bars'>{lines}"
        f"<line x1='0' x2='{3 * len(scores)}' y1='{_TALL}' y2='{_TALL}' stroke='gray' stroke-width='.5'/></svg>"
    )


def _number(value: float) -> str:
    return f"{value:.3g}" if np.isfinite(value) else "none"
