"""Tables, figures and the page: made from the saved results of a run, computing nothing new."""

from __future__ import annotations

from kmerit.report.page import write_report

__all__ = ["write_report"]
