"""The studentised bootstrap of means: intervals, and one threshold for the largest of many t values (max-T).

Where differences are skewed and few, its intervals miss the truth less often than percentile or BCa intervals do.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from kmerit.errors import LabelError
from kmerit.statistics.bootstrap import ratio, resampled
from kmerit.types import Floats, Int64

_ZERO = 1e-12
"""A standard error below this share of the column's largest value is none: what is left is rounding."""
_TINY = 1e-150


@dataclass(frozen=True, eq=False)
class Studentised:
    """The mean of each column of a table ``[row, column]``, its standard error, and its bootstrap.

    Attributes:
        rows: ``int64 [column]``, rows with a value.
        clusters: ``int64 [column]``, clusters with a value.
        mean: ``[column]``; NaN without a row.
        error: ``[column]``, the standard error over clusters; NaN for fewer than two.
        draws: ``[resample, column]``, the centred t: by how many of its own standard errors a resample's mean lies
            above the observed mean. 0 in a column whose values are all equal; NaN in one without a standard error.
    """

    rows: Int64
    clusters: Int64
    mean: Floats
    error: Floats
    draws: Floats

    @property
    def t(self) -> Floats:
        """The mean in standard errors, ``[column]``; 0 where all values are 0, NaN where there is no error."""
        with np.errstate(invalid="ignore", divide="ignore"):
            value = self.mean / self.error
        return np.where((self.mean == 0) & (self.error == 0), 0.0, value)

    def interval(self, level: float = 0.95) -> tuple[Floats, Floats]:
        """Return the studentised interval of each column: low, high; NaN where there is none.

        Source: davison1997, section 5.2. An end is infinite where too many resamples have no spread.
        """
        return self.band(*(self._quantile((1 + sign * level) / 2) for sign in (1, -1)))

    def band(self, above: ArrayLike, below: ArrayLike) -> tuple[Floats, Floats]:
        """Return the ends ``mean - above * error`` and ``mean - below * error`` of each column."""
        finite = np.isfinite(self.error)
        flat = finite & (self.error == 0)
        with np.errstate(invalid="ignore"):
            ends = [np.where(flat, self.mean, self.mean - np.asarray(end) * self.error) for end in (above, below)]
        return np.where(finite, ends[0], np.nan), np.where(finite, ends[1], np.nan)

    def _quantile(self, share: float) -> Floats:
        """Take a quantile of each column's draws, without interpolation: draws may be infinite."""
        if not len(self.draws):
            return np.full(self.mean.shape, np.nan)
        draws = np.sort(self.draws, axis=0)  # NaN comes last
        at = np.ceil(share * (~np.isnan(draws)).sum(axis=0)).astype(np.int64) - 1
        return np.asarray(np.take_along_axis(draws, np.maximum(at, 0)[None], axis=0)[0])


def studentised(
    table: ArrayLike, *, clusters: ArrayLike | None = None, resamples: int = 2000, seed: int = 0
) -> Studentised:
    """Average every column over rows, and bootstrap the means with their standard errors, by cluster of rows.

    All columns are resampled alike, so that they can be compared in every resample.

    Source: davison1997, section 5.2; the standard error of a mean over clusters is that of a ratio, linearised.

    Args:
        table: ``[row, column]``; NaN where a row has no value in a column.
        clusters: ``[row]``; rows of one cluster are drawn together. None: each alone.
        resamples: Bootstrap draws.
        seed: Of the draws.

    Raises:
        LabelError: No table.

    Example:
        >>> found = studentised([[1.0], [2.0], [3.0]])
        >>> found.mean.tolist(), found.error.round(4).tolist()
        ([2.0], [0.5774])
    """
    values = np.asarray(table, dtype=np.float64)
    if values.ndim != 2:
        raise LabelError(f"Expected differences [row, column], got {values.shape}.")
    finite = np.isfinite(values)
    groups = np.arange(len(values)) if clusters is None else np.unique(np.asarray(clusters), return_inverse=True)[1]
    size = int(groups.max(initial=-1)) + 1
    count = _by_group(finite.astype(np.float64), groups, size)
    rows: Int64 = finite.sum(axis=0).astype(np.int64)
    clusters_with_values: Int64 = (count > 0).sum(axis=0).astype(np.int64)
    mean = ratio(np.where(finite, values, 0.0).sum(axis=0), rows.astype(np.float64))
    # From here on the residuals of clusters, so that no digits are lost in differences of large sums.
    rest = _by_group(np.where(finite, values - mean, 0.0), groups, size)
    with np.errstate(invalid="ignore", divide="ignore"):
        factor = clusters_with_values / (clusters_with_values - 1.0)
        error = np.sqrt(factor * (rest**2).sum(axis=0)) / rows
    error[clusters_with_values < 2] = np.nan
    scale = np.abs(np.where(finite, values, 0.0)).max(axis=0, initial=0.0)
    flat = error <= _ZERO * scale
    error[flat] = 0.0
    draws = np.full((resamples, values.shape[1]), np.nan)
    start = 0
    for weights in resampled(size, None, resamples, seed) if size else ():
        draws[start : start + len(weights)] = _centred(weights, rest, count, factor, _ZERO * scale)
        start += len(weights)
    draws[:, flat] = 0.0
    draws[:, ~np.isfinite(error)] = np.nan
    return Studentised(rows, clusters_with_values, mean, error, draws)


def max_t(parts: Sequence[Studentised], level: float = 0.95) -> tuple[float, float]:
    """Find the thresholds that the largest t of many columns passes by chance with a probability of 1 - level.

    Where every column's true mean is 0, the largest t of all of them lies above the first threshold with that
    probability, and the largest of -t above the second, however the columns hang together.

    Source: westfall1993, section 2.3.

    Args:
        parts: Tables of different rows (classes), with the same number of resamples; they are taken to be independent.
            Columns without a standard error, or whose values are all equal, take no part.
        level: Of the quantile, 0..1.

    Returns:
        The thresholds for what lies above 0, and for what lies below; NaN if no column takes part.

    Example:
        >>> rng = np.random.default_rng(0)
        >>> one, many = (studentised(rng.normal(size=(100, columns))) for columns in (1, 50))
        >>> max_t([one])[0] < max_t([many])[0]
        True
    """
    usable = [part.draws[:, np.isfinite(part.error) & (part.error > 0)] for part in parts]
    usable = [draws for draws in usable if draws.size]
    if not usable:
        return float("nan"), float("nan")
    draws = np.concatenate(usable, axis=1)
    above, below = (np.fmax.reduce(sign * draws, axis=1) for sign in (1, -1))
    return _quantile(above, level), _quantile(below, level)


def _quantile(values: Floats, level: float) -> float:
    """Take a quantile without interpolation: values may be infinite."""
    return float(np.sort(values)[max(0, int(np.ceil(level * values.size)) - 1)])


def _by_group(values: Floats, groups: Int64, size: int) -> Floats:
    out = np.zeros((size, values.shape[1]))
    np.add.at(out, groups, values)
    return out


def _centred(weights: Floats, rest: Floats, count: Floats, factor: Floats, least: Floats) -> Floats:
    """Compute the centred t of resamples ``[resample, cluster]`` from the residuals of clusters."""
    rows = weights @ count
    shift = ratio(weights @ rest, rows)
    # The residuals of a resample are those about its own mean: rest - shift * count.
    squares = weights @ rest**2 - 2 * shift * (weights @ (rest * count)) + shift**2 * (weights @ count**2)
    with np.errstate(invalid="ignore", divide="ignore"):
        error = np.sqrt(factor * np.maximum(squares, 0.0)) / rows
        t = shift / error
    # All that was drawn is equal: no error, and so infinitely many of them, unless nothing moved.
    flat = np.where(np.abs(shift) <= least, 0.0, np.where(shift > 0, np.inf, -np.inf))
    return np.where(np.isnan(shift), np.nan, np.where(error > np.maximum(least, _TINY), t, flat))
