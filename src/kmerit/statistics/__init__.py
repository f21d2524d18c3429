"""Intervals, metrics and comparisons. No torch."""

from kmerit.statistics.bootstrap import Interval, bootstrap_interval, bootstrap_means, paired_difference, percentiles
from kmerit.statistics.curves import aopc, locus_clusters, wilson
from kmerit.statistics.metrics import (
    auprc,
    auroc,
    auroc_interval,
    classification_metrics,
    metric_differences,
    regression_metrics,
)
from kmerit.statistics.paired import MeanDifferences, holm, mcnemar, mean_differences

__all__ = [
    "Interval",
    "MeanDifferences",
    "aopc",
    "auprc",
    "auroc",
    "auroc_interval",
    "bootstrap_interval",
    "bootstrap_means",
    "classification_metrics",
    "holm",
    "locus_clusters",
    "mcnemar",
    "mean_differences",
    "metric_differences",
    "paired_difference",
    "percentiles",
    "regression_metrics",
    "wilson",
]
