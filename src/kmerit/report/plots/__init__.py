"""Figures for papers: each is drawn in one style, and written with the numbers behind it."""

from __future__ import annotations

from kmerit.report.plots.curve import plot_curve, plot_excess
from kmerit.report.plots.heads import plot_heads
from kmerit.report.plots.heatmap import plot_heatmap
from kmerit.report.plots.logo import plot_logo
from kmerit.report.plots.saving import save
from kmerit.report.plots.verdicts import plot_verdicts

__all__ = ["plot_curve", "plot_excess", "plot_heads", "plot_heatmap", "plot_logo", "plot_verdicts", "save"]
