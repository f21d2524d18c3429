"""Tables, figures, pages and sentences: made from saved results, computing nothing new."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from kmerit.report.audit_page import write_audit
    from kmerit.report.markdown import write_cards_md
    from kmerit.report.page import write_report

_LAZY = {
    "write_audit": "kmerit.report.audit_page",
    "write_cards_md": "kmerit.report.markdown",
    "write_report": "kmerit.report.page",
}
"""What an audit's page needs does not load what a run's does."""

__all__ = ["write_audit", "write_cards_md", "write_report"]


def __getattr__(name: str) -> Any:
    if name in _LAZY:
        return getattr(import_module(_LAZY[name]), name)
    raise AttributeError(f"module 'kmerit.report' has no attribute {name!r}")
