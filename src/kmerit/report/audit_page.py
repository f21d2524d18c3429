"""The audit as one self-contained page; the same audit gives the same bytes."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined

from kmerit.datasets.findings import Audit
from kmerit.formats import DASH, fixed
from kmerit.formats import share as percent
from kmerit.report import text
from kmerit.store import hold, write_text


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
    environment = Environment(
        loader=PackageLoader("kmerit.report"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters.update(percent=_percent, number=fixed, whole=partial(fixed, digits=0), place=_place)
    features = sorted(audit.features, key=lambda entry: -(entry["strength"] or 0))
    return environment.get_template("audit_page.html").render(
        audit=audit,
        found=[text.finding(each) for each in audit.findings],
        unchecked=[text.sentence(each) for each in audit.unchecked],
        features=features,
        curves=_curves(audit.histograms),
        settings=[(key, value) for key, value in audit.settings.items() if key not in ("thresholds", "gates")],
        thresholds=audit.settings["thresholds"],
        stops=[finding for finding in audit.findings if finding.gate],
    )


def _percent(share: float | None) -> str:
    return DASH if share is None else percent(share).replace(" %", "\N{NO-BREAK SPACE}%")


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
