"""Intervals, metrics and comparisons. No torch."""

from kmerit.statistics.agreement import mean_interval, paired_reversals, rank_correlations, ranking_agreement
from kmerit.statistics.bootstrap import Interval, bootstrap_interval, bootstrap_means, paired_difference, percentiles
from kmerit.statistics.curves import clopper_pearson, locus_clusters, wilson
from kmerit.statistics.metrics import (
    auprc,
    auroc,
    auroc_interval,
    classification_metrics,
    metric_differences,
    output_metrics,
    regression_metrics,
)
from kmerit.statistics.paired import MeanDifferences, holm, mcnemar, mean_differences
from kmerit.statistics.studentised import Studentised, max_t, studentised

__all__ = [
    "Interval",
    "MeanDifferences",
    "Studentised",
    "auprc",
    "auroc",
    "auroc_interval",
    "bootstrap_interval",
    "bootstrap_means",
    "classification_metrics",
    "clopper_pearson",
    "holm",
    "locus_clusters",
    "max_t",
    "mcnemar",
    "mean_differences",
    "mean_interval",
    "metric_differences",
    "output_metrics",
    "paired_difference",
    "paired_reversals",
    "percentiles",
    "rank_correlations",
    "ranking_agreement",
    "regression_metrics",
    "studentised",
    "wilson",
]
