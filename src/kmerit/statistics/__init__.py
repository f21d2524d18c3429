"""Intervals, metrics and comparisons. No torch."""

from kmerit.statistics.bootstrap import Interval, bootstrap_interval, bootstrap_means, paired_difference, percentiles
from kmerit.statistics.curves import aopc, locus_clusters, wilson
from kmerit.statistics.metrics import auprc, auroc, classification_metrics, regression_metrics

__all__ = [
    "Interval",
    "aopc",
    "auprc",
    "auroc",
    "bootstrap_interval",
    "bootstrap_means",
    "classification_metrics",
    "locus_clusters",
    "paired_difference",
    "percentiles",
    "regression_metrics",
    "wilson",
]
