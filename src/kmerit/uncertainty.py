"""Uncertainty: bootstrap, intervals, paired tests, one threshold for many comparisons, agreement of rankings.

The bootstrap: rows, or clusters of rows, drawn again and again. A statistic here is a function of integer weights
``[..., row]``: how often each row was drawn. All ones give the observed value, a multinomial draw gives one resample,
and a whole batch of resamples is computed at once.

The studentised bootstrap of means: intervals, and one threshold for the largest of many t values (max-T). Where
differences are skewed and few, its intervals miss the truth less often than percentile or BCa intervals do.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from kmerit.disk import StoredRows
from kmerit.errors import LabelError
from kmerit.sequences import Bool, Floats, Int64, Locus

Statistic = Callable[[Floats], Floats]
"""Weights ``[..., row]`` to values ``[...]``; NaN where a resample leaves it undefined."""

Table = ArrayLike | StoredRows
"""Values ``[row, column]``; or `StoredRows`, in which a column is what is stored together: ``[column, row]``."""

_CELLS_AT_ONCE = 2_000_000
_VALUES_AT_ONCE = 2**18


class Interval(NamedTuple):
    """An observed value and its percentile interval."""

    value: float
    low: float
    high: float

    def known(self) -> dict[str, float | None]:
        """Give the three numbers by name, ready for JSON: None for what is undefined.

        Example:
            >>> Interval(0.5, float("nan"), float("nan")).known()
            {'value': 0.5, 'low': None, 'high': None}
        """
        return {name: float(number) if np.isfinite(number) else None for name, number in self._asdict().items()}


def bootstrap_interval(
    statistic: Statistic,
    rows: int,
    *,
    clusters: ArrayLike | None = None,
    resamples: int = 2000,
    level: float = 0.95,
    seed: int = 0,
) -> Interval:
    """Return the percentile bootstrap interval of a statistic.

    Args:
        statistic: A function of weights ``[..., row]``.
        rows: How many rows there are.
        clusters: ``[row]``, any hashable names; rows of one cluster (a locus) are drawn together. None: each alone.
        resamples: Bootstrap draws; with 0 the interval is NaN.
        level: Coverage, between 0 and 1.
        seed: Of the draws.

    Returns:
        Value, low, high. Resamples on which the statistic is undefined (NaN) are left out; one cluster has no interval.

    Raises:
        LabelError: No rows.

    Example:
        >>> correct = np.array([1.0, 1.0, 0.0, 1.0])
        >>> bootstrap_interval(lambda w: w @ correct / w.sum(-1), 4).value
        0.75
    """
    if rows < 1:
        raise LabelError("Expected at least one row to measure on, got none.")
    value = float(statistic(np.ones(rows)))
    if np.unique(np.arange(rows) if clusters is None else np.asarray(clusters)).size < 2:
        return Interval(value, float("nan"), float("nan"))
    draws = np.concatenate([np.empty(0), *(statistic(w) for w in resampled(rows, clusters, resamples, seed))])
    draws = draws[np.isfinite(draws)]
    if not draws.size:
        return Interval(value, float("nan"), float("nan"))
    low, high = np.quantile(draws, [(1 - level) / 2, (1 + level) / 2])
    return Interval(value, float(low), float(high))


def class_difference(
    values: ArrayLike, labels: ArrayLike, clusters: ArrayLike | None = None, resamples: int = 2000, seed: int = 0
) -> Interval:
    """Take the mean of class 0 from that of class 1, with a 95 % bootstrap interval over rows.

    Args:
        values: ``[row]``; a row without one (NaN) is left out.
        labels: ``[row]``, 0 or 1.
        clusters: ``[row]``; rows of one cluster are drawn together.
        resamples: Bootstrap draws.
        seed: Of those draws.

    Example:
        >>> class_difference([0.1, 0.3, 0.2, 0.4], [0, 0, 1, 1]).value.__round__(2)
        0.1
    """
    numbers, classes = np.asarray(values), np.asarray(labels)
    finite, finite_numbers = np.isfinite(numbers), np.nan_to_num(numbers)

    def difference(weights: Floats) -> Floats:
        shares = [weights * (finite & (classes == label)) for label in (0, 1)]
        zero, one = (ratio(share @ finite_numbers, share.sum(axis=-1)) for share in shares)
        return np.asarray(one - zero)

    return bootstrap_interval(difference, numbers.size, clusters=clusters, resamples=resamples, seed=seed)


def blocks(rows: int, columns: int) -> Iterator[slice]:
    """Cut columns into runs of about 262,144 values, which are held in memory together.

    All have a multiple of four columns but the last, which has two or more, unless there is no other: matrix products
    round sums of other runs otherwise, and every value is to be the same, however the columns are cut.

    Example:
        >>> list(blocks(2**16, 9))
        [slice(0, 4, None), slice(4, 9, None)]
    """
    width = max(4, _VALUES_AT_ONCE // max(1, rows) // 4 * 4)
    starts = list(range(0, max(1, columns - 1), width))
    for start, stop in zip(starts, [*starts[1:], columns], strict=True):
        yield slice(start, stop)


class _Columns:
    """A table of which some columns at a time are in memory.

    Args:
        table: Of numbers.

    Raises:
        LabelError: No table.
    """

    def __init__(self, table: Table) -> None:
        self._table = table if isinstance(table, StoredRows) else np.asarray(table, dtype=np.float64)
        if len(self._table.shape) != 2:
            raise LabelError(f"Expected values [row, column], got {self._table.shape}.")
        one, two = self._table.shape
        self.rows, self.columns = (two, one) if isinstance(self._table, StoredRows) else (one, two)

    def __iter__(self) -> Iterator[slice]:
        """Give runs of columns."""
        return blocks(self.rows, self.columns)

    def __getitem__(self, at: slice) -> Floats:
        """Give the values of a run of columns, ``[row, column]``."""
        if isinstance(self._table, StoredRows):
            part = np.empty((self.rows, at.stop - at.start))
            for column, values in enumerate(part.T, start=at.start):
                values[:] = self._table.read_row(column, 0, self.rows)
            return part
        return self._table if at == slice(0, self.columns) else np.ascontiguousarray(self._table[:, at])

    def take(self, columns: Bool) -> Table:
        """Select columns by a mask."""
        if not isinstance(self._table, StoredRows):
            return np.asarray(self._table[:, columns])
        part = StoredRows(0, self.rows, self._table.dtype)
        for column in np.flatnonzero(columns).tolist():
            part.append(self._table[column])
        return part


def bootstrap_means(
    values: Table,
    *,
    clusters: ArrayLike | None = None,
    resamples: int = 2000,
    seed: int = 0,
) -> Floats:
    """Resample rows and average every column, all columns over the same rows, so that columns compare in pairs.

    Args:
        values: ``[row, column]``; NaN where a row has no value in a column.
        clusters: ``[row]``; rows of one cluster are drawn together.
        resamples: Bootstrap draws.
        seed: Of the draws.

    Returns:
        Means ``[resample, column]``; NaN where no row with a value was drawn, and in a column whose values are all of
        one cluster: drawn again and again it has no spread, and an interval of no width would claim to be sure.

    Example:
        >>> bootstrap_means([[1.0, 0.0], [1.0, 0.5]], resamples=3).shape
        (3, 2)
    """
    table = _Columns(values)
    groups = _numbered(table.rows, clusters)
    means = np.empty((resamples, table.columns))
    start = 0
    for weights in resampled(table.rows, clusters, resamples, seed):
        stop = start + len(weights)
        for at in table:
            part = table[at]
            finite = np.isfinite(part)
            means[start:stop, at] = ratio(weights @ np.where(finite, part, 0.0), weights @ finite)
            del part, finite  # before the next are read
        start = stop
        del weights  # before the next are drawn
    for at in table:
        alone = [np.unique(groups[column]).size < 2 for column in np.isfinite(table[at]).T]
        means[:, np.flatnonzero(alone) + at.start] = np.nan
    return means


def _numbered(rows: int, clusters: ArrayLike | None) -> Int64:
    """Number the cluster of each row."""
    return np.arange(rows) if clusters is None else np.unique(np.asarray(clusters), return_inverse=True)[1]


def percentiles(draws: Floats, level: float = 0.95) -> tuple[Floats, Floats]:
    """Take the percentile interval of every column of draws ``[resample, column]``, leaving out NaN: low, high.

    Example:
        >>> low, high = percentiles(np.arange(101.0)[:, None], level=0.9)
        >>> low.tolist(), high.tolist()
        ([5.0], [95.0])
    """
    finite = np.isfinite(draws).any(axis=0)
    bounds = np.full((2, draws.shape[1]), np.nan)
    bounds[:, finite] = np.nanquantile(draws[:, finite], [(1 - level) / 2, (1 + level) / 2], axis=0)
    return bounds[0], bounds[1]


def paired_difference(
    first: ArrayLike,
    second: ArrayLike,
    *,
    clusters: ArrayLike | None = None,
    resamples: int = 2000,
    level: float = 0.95,
    seed: int = 0,
) -> Interval:
    """Compare two measurements of the same rows: mean of first - second, with its bootstrap interval over rows.

    Args:
        first: ``[row]``.
        second: ``[row]``, in the same order and unit.
        clusters: ``[row]``; rows of one cluster are drawn together.
        resamples: Bootstrap draws; with 0 the interval is NaN.
        level: Coverage, between 0 and 1.
        seed: Of the draws.

    Raises:
        LabelError: The measurements are not of the same rows.

    Example:
        >>> paired_difference([3.0, 5.0], [1.0, 3.0])
        Interval(value=2.0, low=2.0, high=2.0)
    """
    a, b = np.asarray(first, dtype=np.float64), np.asarray(second, dtype=np.float64)
    if a.ndim != 1 or a.shape != b.shape:
        raise LabelError(f"Expected two measurements of the same rows, got {a.shape} and {b.shape}.")
    difference = a - b
    return bootstrap_interval(
        lambda w: w @ difference / w.sum(-1),
        a.size,
        clusters=clusters,
        resamples=resamples,
        level=level,
        seed=seed,
    )


def resampled(rows: int, clusters: ArrayLike | None, resamples: int, seed: int) -> Iterator[Floats]:
    rng = np.random.default_rng(seed)
    cluster = None if clusters is None else np.unique(np.asarray(clusters), return_inverse=True)[1]
    count = rows if cluster is None else int(cluster.max()) + 1
    batch = max(1, _CELLS_AT_ONCE // rows)
    for start in range(0, resamples, batch):
        yield _drawn(min(batch, resamples - start), count, cluster, rng)  # not held here while the next are drawn


def _drawn(resamples: int, count: int, cluster: Int64 | None, rng: np.random.Generator) -> Floats:
    # Columns that are selected lie one after another; sums depend on that order in their last bits.
    weights = np.empty((resamples, count), order="F" if cluster is None else "C")
    for row in weights:  # whole numbers of all rows would take as much memory again
        row[:] = rng.multinomial(count, np.full(count, 1 / count))
    return weights if cluster is None else weights[:, cluster]


def ratio(numerator: Floats, denominator: Floats) -> Floats:
    """Divide, giving NaN for a denominator of 0 (or a rounding error of 0).

    Example:
        >>> ratio(np.array([1.0, 0.0]), np.array([2.0, 0.0])).tolist()
        [0.5, nan]
    """
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.where(denominator > 0, numerator / denominator, np.nan)


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

    def take(self, columns: Bool) -> Studentised:
        """Select columns by a mask, ``bool [column]``."""
        return Studentised(
            self.rows[columns], self.clusters[columns], self.mean[columns], self.error[columns], self.draws[:, columns]
        )

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
    table: Table, *, clusters: ArrayLike | None = None, resamples: int = 2000, seed: int = 0
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
        >>> result = studentised([[1.0], [2.0], [3.0]])
        >>> result.mean.tolist(), result.error.round(4).tolist()
        ([2.0], [0.5774])
    """
    values = _Columns(table)
    groups, columns = _numbered(values.rows, clusters), values.columns
    size = int(groups.max(initial=-1)) + 1
    rows: Int64 = np.zeros(columns, dtype=np.int64)
    clusters_with_values: Int64 = np.zeros(columns, dtype=np.int64)
    mean, error, scale = np.empty(columns), np.empty(columns), np.empty(columns)
    # Residuals of clusters, so that no digits are lost in differences of large sums; and their rows.
    residuals, counts = (StoredRows(columns, size, np.float64) for _ in range(2))
    for at in values:
        part = values[at]
        finite = np.isfinite(part)
        part = np.where(finite, part, 0.0)
        rows[at] = finite.sum(axis=0)
        mean[at] = ratio(part.sum(axis=0), rows[at].astype(np.float64))
        scale[at] = np.maximum(part.max(axis=0, initial=0.0), -part.min(axis=0, initial=0.0))
        np.subtract(part, mean[at], out=part, where=finite)
        rest = _by_group(part, groups, size)
        del part
        count = _by_group(finite.astype(np.float64), groups, size)
        clusters_with_values[at] = (count > 0).sum(axis=0)
        with np.errstate(invalid="ignore", divide="ignore"):
            factor = clusters_with_values[at] / (clusters_with_values[at] - 1.0)
            error[at] = np.sqrt(factor * (rest**2).sum(axis=0)) / rows[at]
        for column in range(rest.shape[1]):
            residuals.write_row(at.start + column, 0, rest[:, column])
            counts.write_row(at.start + column, 0, count[:, column])
        del rest, count, finite  # before the next are read
    error[clusters_with_values < 2] = np.nan
    flat = error <= _ZERO * scale
    error[flat] = 0.0
    with np.errstate(invalid="ignore", divide="ignore"):
        factor = clusters_with_values / (clusters_with_values - 1.0)
    draws = np.full((resamples, columns), np.nan)
    start = 0
    for weights in resampled(size, None, resamples, seed) if size else ():
        stop = start + len(weights)
        for at in blocks(size, columns):
            draws[start:stop, at] = _centred(
                weights, _Columns(residuals)[at], _Columns(counts)[at], factor[at], _ZERO * scale[at]
            )
        start = stop
        del weights  # before the next are drawn
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
    about_sample = weights @ rest**2
    squares = about_sample - 2 * shift * (weights @ (rest * count)) + shift**2 * (weights @ count**2)
    squares = np.where(squares <= _ZERO * about_sample, 0.0, squares)  # of equal values only rounding is left
    with np.errstate(invalid="ignore", divide="ignore"):
        error = np.sqrt(factor * np.maximum(squares, 0.0)) / rows
        t = shift / error
    # All that was drawn is equal: no error, and so infinitely many of them, unless nothing moved.
    flat = np.where(np.abs(shift) <= least, 0.0, np.where(shift > 0, np.inf, -np.inf))
    return np.where(np.isnan(shift), np.nan, np.where(error > np.maximum(least, _TINY), t, flat))


POWER = 0.8
"""With which probability a minimum detectable difference would be seen."""


class MeanDifferences(NamedTuple):
    """Mean of each column of differences ``[row, column]``, with intervals; NaN where undefined.

    Attributes:
        rows: ``int64 [column]``, rows with a value.
        clusters: ``int64 [column]``, clusters with a value.
        mean: In the unit of the differences.
        low: Of the studentised bootstrap interval; of the percentile one where too many resamples have no spread (as
            shares have that are nearly all 0).
        high: Of that interval.
        effect_size: Cohen's d of paired differences: the mean in standard deviations over rows.
        detectable: The smallest mean that this sample would tell from 0 at the level, with a power of 80 %.
    """

    rows: Int64
    clusters: Int64
    mean: Floats
    low: Floats
    high: Floats
    effect_size: Floats
    detectable: Floats


def mean_differences(
    differences: Table,
    *,
    clusters: ArrayLike | None = None,
    resamples: int = 2000,
    level: float = 0.95,
    seed: int = 0,
) -> MeanDifferences:
    """Average paired differences over rows, with bootstrap intervals over clusters of rows.

    Source: cohen1988, chapter 2, for the effect size and the detectable difference; davison1997, section 5.2, for the
    intervals.

    Args:
        differences: ``[row, column]``; NaN where a row has no value in a column.
        clusters: ``[row]``; rows of one cluster are drawn together. None: each alone.
        resamples: Bootstrap draws.
        level: Coverage, between 0 and 1.
        seed: Of the draws; the same draws for every column.

    Raises:
        LabelError: No table.

    Example:
        >>> result = mean_differences([[1.0], [2.0], [3.0]])
        >>> result.rows.tolist(), result.mean.tolist(), result.effect_size.tolist()
        ([3], [2.0], [2.0])
    """
    from scipy.special import ndtri

    table = differences if isinstance(differences, StoredRows) else np.asarray(differences, dtype=np.float64)
    means = studentised(table, clusters=clusters, resamples=resamples, seed=seed)
    low, high = intervals(means, table, clusters, resamples, level, seed)
    reach = float(ndtri((1 + level) / 2) + ndtri(POWER))
    effect = effect_sizes(table)
    return MeanDifferences(means.rows, means.clusters, means.mean, low, high, effect, reach * means.error)


def intervals(
    means: Studentised, table: Table, clusters: ArrayLike | None, resamples: int, level: float, seed: int
) -> tuple[Floats, Floats]:
    """Return the studentised interval of every column, and the percentile interval where an end of that is infinite."""
    low, high = means.interval(level)
    open_ended = np.isinf(low) | np.isinf(high)
    if open_ended.any():
        draws = bootstrap_means(_Columns(table).take(open_ended), clusters=clusters, resamples=resamples, seed=seed)
        low[open_ended], high[open_ended] = percentiles(draws, level)
    return low, high


def effect_sizes(table: Table) -> Floats:
    """Return Cohen's d of every column of paired differences: the mean in standard deviations over rows; NaN for none.

    Example:
        >>> effect_sizes(np.array([[1.0, 2.0], [2.0, 2.0], [3.0, np.nan]])).tolist()
        [2.0, nan]
    """
    values = _Columns(table)
    out = np.full(values.columns, np.nan)
    for at in values:
        part = values[at]
        several = np.isfinite(part).sum(axis=0) > 1
        if several.any():
            mean, spread = np.nanmean(part[:, several], axis=0), np.nanstd(part[:, several], axis=0, ddof=1)
            out[at.start + np.flatnonzero(several)] = np.divide(
                mean, spread, out=np.full(mean.shape, np.nan), where=spread > 0
            )
        del part  # before the next is read
    return out


class EffectDifferences(NamedTuple):
    """Effect sizes of two measurements of the same rows, ``[column]`` each; NaN where a column has no spread.

    Attributes:
        first: Mean of the first in standard deviations over rows.
        second: Of the second.
        difference: Second less first.
        low: Of its percentile bootstrap interval; NaN for fewer than two clusters.
        high: Of it.
    """

    first: Floats
    second: Floats
    difference: Floats
    low: Floats
    high: Floats


def effect_differences(
    first: ArrayLike,
    second: ArrayLike,
    *,
    clusters: ArrayLike | None = None,
    resamples: int = 2000,
    level: float = 0.95,
    seed: int = 0,
) -> EffectDifferences:
    """Compare the effect sizes of two measurements whose scales differ, column by column.

    Both are resampled together, row by row.

    Args:
        first: ``[row, column]``; NaN where a row has no value. A row counts where both have one.
        second: Likewise.
        clusters: ``[row]``; rows of one cluster are drawn together.
        resamples: Bootstrap draws.
        level: Coverage, between 0 and 1.
        seed: Of the draws.

    Raises:
        LabelError: Measurements of different shapes.

    Example:
        >>> result = effect_differences([[1.0], [2.0], [3.0]], [[10.0], [20.0], [30.0]])
        >>> result.first.tolist(), result.difference.tolist()
        ([2.0], [0.0])
    """
    a, b = np.asarray(first, dtype=np.float64), np.asarray(second, dtype=np.float64)
    if a.ndim != 2 or a.shape != b.shape:
        raise LabelError(f"Expected two tables of one shape [row, column], got {a.shape} and {b.shape}.")
    both = np.isfinite(a) & np.isfinite(b)
    a, b = np.where(both, a, np.nan), np.where(both, b, np.nan)
    effects = [effect_sizes(each) for each in (a, b)]
    zeroed, is_counted = [np.where(both, each, 0.0) for each in (a, b)], both.astype(np.float64)

    def drawn(weights: Floats, values: Floats) -> Floats:
        rows = weights @ is_counted
        mean = ratio(weights @ values, rows)
        spread = np.sqrt(np.maximum(weights @ values**2 - rows * mean**2, 0.0) / np.maximum(rows - 1, 1))
        return ratio(mean, np.where(spread > _ZERO * np.abs(mean), spread, 0.0))

    parts = [drawn(w, zeroed[1]) - drawn(w, zeroed[0]) for w in resampled(len(a), clusters, resamples, seed)]
    low, high = percentiles(np.concatenate(parts) if parts else np.empty((0, a.shape[1])), level)
    groups = np.arange(len(a)) if clusters is None else np.asarray(clusters)
    alone = np.array([np.unique(groups[column]).size < 2 for column in both.T], dtype=np.bool_)
    low[alone], high[alone] = np.nan, np.nan
    return EffectDifferences(effects[0], effects[1], effects[1] - effects[0], low, high)


def mcnemar(first: ArrayLike, second: ArrayLike) -> float:
    """Test whether two classifiers are right equally often on the same rows: McNemar's exact test, two-sided.

    Source: mcnemar1947.

    Args:
        first: ``bool [row]``, whether each row is classified correctly.
        second: ``bool [row]``, likewise.

    Returns:
        The p value; 1 where they never disagree, NaN for no rows.

    Raises:
        LabelError: The measurements are not of the same rows.

    Example:
        >>> mcnemar([True] * 6 + [False], [False] * 6 + [False])
        0.03125
    """
    from scipy.special import betainc  # the binomial distribution, without all of scipy.stats

    a, b = np.asarray(first, dtype=np.bool_), np.asarray(second, dtype=np.bool_)
    if a.ndim != 1 or a.shape != b.shape:
        raise LabelError(f"Expected two measurements of the same rows, got {a.shape} and {b.shape}.")
    if not a.size:
        return float("nan")
    fewer, more = sorted((int(np.sum(a & ~b)), int(np.sum(~a & b))))
    if more - fewer < 2:
        return 1.0  # one of both tails has half of the probability, or more
    return 2 * float(betainc(more, fewer + 1, 0.5))


def holm(p_values: ArrayLike) -> Floats:
    """Correct p values for their number, stepping down; NaN is no test and stays. Source: holm1979.

    Example:
        >>> holm([0.01, 0.04, float("nan"), 0.03]).round(4).tolist()
        [0.03, 0.06, nan, 0.06]
    """
    values = np.asarray(p_values, dtype=np.float64)
    corrected = np.full(values.shape, np.nan)
    order = np.argsort(values)[: np.isfinite(values).sum()]  # NaN comes last
    steps = np.maximum.accumulate(values[order] * np.arange(order.size, 0, -1))
    corrected[order] = np.minimum(steps, 1.0)
    return corrected


def false_discovery(p_values: ArrayLike) -> Floats:
    """Correct p values for the false discovery rate; NaN is no test and stays. Source: benjamini1995.

    Example:
        >>> false_discovery([0.01, 0.04, float("nan"), 0.03]).round(4).tolist()
        [0.03, 0.04, nan, 0.04]
    """
    from statsmodels.stats.multitest import multipletests

    values = np.asarray(p_values, dtype=np.float64)
    corrected, finite = np.full(values.shape, np.nan), np.isfinite(values)
    if finite.any():
        corrected[finite] = multipletests(values[finite], method="fdr_bh")[1]
    return corrected


def wilson(successes: ArrayLike, trials: ArrayLike, level: float = 0.95) -> tuple[Floats, Floats]:
    """Return the Wilson score interval of a proportion: low, high; NaN for no trials.

    Source: wilson1927.

    Example:
        >>> low, high = wilson([5], [10])
        >>> round(float(low[0]), 4), round(float(high[0]), 4)
        (0.2366, 0.7634)
    """
    from scipy.special import ndtri

    hits, of = np.broadcast_arrays(np.asarray(successes, dtype=np.float64), np.asarray(trials, dtype=np.float64))
    some = np.where(of > 0, of, np.nan)
    share, z = hits / some, -ndtri((1 - level) / 2)
    scale = 1 + z**2 / some
    center = (share + z**2 / (2 * some)) / scale
    reach = z * np.sqrt(share * (1 - share) / some + z**2 / (4 * some**2)) / scale
    return np.clip(center - reach, 0, 1), np.clip(center + reach, 0, 1)


def clopper_pearson(successes: int, trials: int, level: float = 0.95) -> tuple[float, float]:
    """Return the exact interval of a proportion: low, high; NaN for no trials.

    The upper end of a one-sided 95 % interval is that of a two-sided one at the level 0.9.

    Source: clopper1934.

    Example:
        >>> low, high = clopper_pearson(0, 10)
        >>> low, round(high, 4)
        (0.0, 0.3085)
    """
    from scipy.stats import binomtest

    if not trials:
        return float("nan"), float("nan")
    interval = binomtest(successes, trials).proportion_ci(level, method="exact")
    return float(interval.low), float(interval.high)


def locus_clusters(loci: Sequence[Locus | None]) -> Int64:
    """Number the clusters of loci that overlap, on either strand, directly or through others.

    Args:
        loci: One per row; None (unknown) is a cluster of its own.

    Returns:
        ``int64 [row]``, from 0.

    Example:
        >>> a, b, c = Locus("chr1", 0, 10), Locus("chr1", 20, 30), Locus("chr1", 5, 21, "-")
        >>> locus_clusters([a, b, None, c]).tolist()
        [0, 0, 1, 0]
    """
    places = sorted((locus.chrom, locus.start, locus.end, row) for row, locus in enumerate(loci) if locus is not None)
    cluster = np.arange(len(loci), dtype=np.int64)
    open_chrom, open_end, open_row = "", 0, 0
    for chrom, start, end, row in places:
        if chrom != open_chrom or start >= open_end:
            open_chrom, open_end, open_row = chrom, end, row
        cluster[row] = open_row
        open_end = max(open_end, end)
    renumbered: Int64 = np.unique(cluster, return_inverse=True)[1].astype(np.int64)
    return renumbered


def rank_correlations(first: ArrayLike, second: ArrayLike) -> Floats:
    """Correlate the ranks of two tables row by row (Spearman), ties sharing their mean rank.

    Args:
        first: ``[row, column]``; a column counts where both tables are finite.
        second: Likewise.

    Returns:
        ``[row]`` between -1 and 1; NaN for a row that is constant in either table, or has fewer than two columns.

    Raises:
        LabelError: Tables of different shapes.

    Example:
        >>> rank_correlations([[1.0, 2.0, 3.0], [1.0, 1.0, 1.0]], [[1.0, 2.0, 9.0], [1.0, 2.0, 3.0]]).tolist()
        [1.0, nan]
    """
    from scipy.stats import rankdata

    a, b = np.asarray(first, dtype=np.float64), np.asarray(second, dtype=np.float64)
    if a.ndim != 2 or a.shape != b.shape:
        raise LabelError(f"Expected two tables of one shape [row, column], got {a.shape} and {b.shape}.")
    finite = np.isfinite(a) & np.isfinite(b)
    ranks = [rankdata(np.where(finite, table, np.nan), axis=1, nan_policy="omit") for table in (a, b)]
    count = finite.sum(axis=1, keepdims=True)
    x, y = (np.where(finite, rank - (count + 1) / 2, 0.0) for rank in ranks)
    spread = np.sqrt((x**2).sum(axis=1) * (y**2).sum(axis=1))
    return np.asarray(np.where(spread > 0, (x * y).sum(axis=1) / np.where(spread > 0, spread, 1.0), np.nan))


def mean_interval(
    values: ArrayLike,
    *,
    clusters: ArrayLike | None = None,
    resamples: int = 2000,
    level: float = 0.95,
    seed: int = 0,
) -> Interval:
    """Average rows, with a percentile bootstrap interval over them; rows of NaN are left out.

    Args:
        values: ``[row]``.
        clusters: ``[row]``; rows of one cluster (a locus) are drawn together.
        resamples: Bootstrap draws.
        level: Coverage, between 0 and 1.
        seed: Of the draws.

    Returns:
        Value, low, high; all NaN without any finite row.

    Example:
        >>> mean_interval([1.0, 1.0, float("nan")])
        Interval(value=1.0, low=1.0, high=1.0)
    """
    rows = np.asarray(values, dtype=np.float64)
    finite = np.isfinite(rows)
    rows = rows[finite]
    if not rows.size:
        return Interval(float("nan"), float("nan"), float("nan"))
    of_known = None if clusters is None else np.asarray(clusters)[finite]
    draws = bootstrap_means(rows[:, None], clusters=of_known, resamples=resamples, seed=seed)[:, 0]
    low, high = np.quantile(draws, [(1 - level) / 2, (1 + level) / 2])
    return Interval(float(rows.mean()), float(low), float(high))


def student_interval(values: ArrayLike, *, level: float = 0.95) -> Interval:
    """Average values, with Student's interval of their mean, as of a metric over seeds.

    Args:
        values: ``[run]``, finite.
        level: Coverage, between 0 and 1.

    Returns:
        Value, low, high; low and high are NaN for a single value.

    Example:
        >>> [round(bound, 4) for bound in student_interval([0.7, 0.8, 0.9])]
        [0.8, 0.5516, 1.0484]
    """
    from scipy import stats

    runs = np.asarray(values, dtype=np.float64)
    mean = float(runs.mean())
    if runs.size < 2:
        return Interval(mean, float("nan"), float("nan"))
    half = float(stats.t.ppf((1 + level) / 2, runs.size - 1) * stats.sem(runs))
    return Interval(mean, mean - half, mean + half)


def kendall_tau(first: ArrayLike, second: ArrayLike) -> Floats:
    """Compute Kendall's tau-b of two rankings of the same things.

    Source: kendall1945, tau-b.

    Args:
        first: ``[..., thing]``.
        second: ``[..., thing]``.

    Returns:
        ``[...]``; NaN where either ranks all things alike.

    Example:
        >>> float(kendall_tau([1.0, 2.0, 3.0], [1.0, 3.0, 2.0]))
        0.3333333333333333
    """
    a, b = np.asarray(first, dtype=np.float64), np.asarray(second, dtype=np.float64)
    i, j = np.triu_indices(a.shape[-1], 1)
    x, y = np.sign(a[..., i] - a[..., j]), np.sign(b[..., i] - b[..., j])
    scale = np.sqrt((x**2).sum(-1) * (y**2).sum(-1))
    return np.asarray(np.where(scale > 0, (x * y).sum(-1) / np.where(scale > 0, scale, 1.0), np.nan))


def ranking_agreement(
    first: ArrayLike,
    second: ArrayLike,
    *,
    clusters: ArrayLike | None = None,
    resamples: int = 2000,
    level: float = 0.95,
    seed: int = 0,
) -> Interval:
    """Compare how two measurements of the same rows rank methods: Kendall's tau of the means over rows.

    Both measurements are resampled together, row by row.

    Args:
        first: ``[row, method]``; NaN where a row has no value.
        second: Likewise.
        clusters: ``[row]``; rows of one cluster are drawn together.
        resamples: Bootstrap draws.
        level: Coverage, between 0 and 1.
        seed: Of the draws.

    Returns:
        Tau-b, low, high; NaN for fewer than two methods.

    Raises:
        LabelError: Measurements of different shapes.

    Example:
        >>> truth = [[0.9, 0.6, 0.5], [0.8, 0.7, 0.4]]
        >>> ranking_agreement(truth, [[3.0, 2.0, 1.0], [2.5, 2.0, 0.5]]).value
        1.0
    """
    a, b = np.asarray(first, dtype=np.float64), np.asarray(second, dtype=np.float64)
    if a.ndim != 2 or a.shape != b.shape:
        raise LabelError(f"Expected two tables of one shape [row, method], got {a.shape} and {b.shape}.")
    draws = [bootstrap_means(table, clusters=clusters, resamples=resamples, seed=seed) for table in (a, b)]
    with np.errstate(invalid="ignore"):
        taus = kendall_tau(*draws)
        value = float(kendall_tau(*(_means(table) for table in (a, b))))
    taus = taus[np.isfinite(taus)]
    if not taus.size:
        return Interval(value, float("nan"), float("nan"))
    low, high = np.quantile(taus, [(1 - level) / 2, (1 + level) / 2])
    return Interval(value, float(low), float(high))


def _means(table: Floats) -> Floats:
    finite = np.isfinite(table)
    return np.asarray(np.where(finite, table, 0.0).sum(axis=0) / finite.sum(axis=0))


def paired_reversals(
    first: ArrayLike,
    second: ArrayLike,
    resamples: int = 2000,
    *,
    clusters: ArrayLike | None = None,
    level: float = 0.95,
    seed: int = 0,
) -> list[tuple[int, int, float, float]]:
    """List the pairs of methods that two measurements of the same rows rank oppositely, beyond chance.

    A pair counts if the paired bootstrap interval of the difference lies above 0 by the first measurement and below
    0 by the second.

    Args:
        first: ``[row, method]``; NaN where a row has no value.
        second: Likewise.
        resamples: Bootstrap draws.
        clusters: ``[row]``; rows of one cluster are drawn together.
        level: Coverage of each interval, between 0 and 1.
        seed: Of the draws.

    Returns:
        For each: the method that the first prefers, the one that the second prefers, and by how much each does.

    Example:
        >>> paired_reversals([[0.9, 0.6], [0.8, 0.7]], [[1.0, 2.0], [1.0, 1.5]], resamples=100)
        [(0, 1, 0.2, 0.75)]
    """
    tables = [np.asarray(table, dtype=np.float64) for table in (first, second)]
    draws = [bootstrap_means(table, clusters=clusters, resamples=resamples, seed=seed) for table in tables]
    reversals = []
    for a in range(tables[0].shape[1]):
        for b in range(tables[0].shape[1]):
            apart = np.stack([draws[0][:, a] - draws[0][:, b], draws[1][:, b] - draws[1][:, a]], axis=1)
            if a != b and (percentiles(apart, level)[0] > 0).all():
                margins = [float(np.diff(_means(table[:, [b, a]]))[0]) for table in tables]
                reversals.append((a, b, round(margins[0], 12), round(-margins[1], 12)))
    return reversals


def moderated(variances: Floats, freedom: Floats) -> tuple[Floats, Floats]:
    """Draw variances towards what is usual among them, the more the less they differ beyond chance.

    Source: smyth2004, sections 3 and 6.2: variances are a common value over chi-squares, whose two parameters are
    estimated from the mean and the variance of their logarithms.

    Args:
        variances: ``[item]``; NaN where there is none.
        freedom: ``[item]``, degrees of freedom of each.

    Returns:
        The variances and their degrees of freedom, at most a million, ``[item]``; as given where fewer than two are
        above 0.

    Example:
        >>> drawn, freedom = moderated(np.array([1.0, 2.0, 1.5, 30.0]), np.full(4, 5.0))
        >>> drawn.round(1).tolist(), freedom.round(1).tolist()
        ([1.3, 2.0, 1.6, 22.5], [6.8, 6.8, 6.8, 6.8])
    """
    from scipy.optimize import brentq
    from scipy.special import polygamma, psi

    variances, freedom = np.asarray(variances, dtype=np.float64), np.asarray(freedom, dtype=np.float64)
    usable = np.isfinite(variances) & np.isfinite(freedom) & (variances > 0)
    if usable.sum() < 2:
        return variances, freedom
    half = freedom[usable] / 2
    logs = np.log(variances[usable]) - psi(half) + np.log(half)
    beyond = float(logs.var(ddof=1) - polygamma(1, half).mean())
    least, most = 1e-3, 5e5
    if beyond <= polygamma(1, most):
        prior = most
    else:
        prior = (
            float(brentq(lambda x: polygamma(1, x) - beyond, least, most)) if beyond < polygamma(1, least) else least
        )
    usual = float(np.exp(logs.mean() + psi(prior) - np.log(prior)))
    total = 2 * prior + freedom
    return (2 * prior * usual + freedom * variances) / total, np.minimum(total, 1e6)


def concordance(scores: ArrayLike) -> float:
    """Compute Kendall's W: how far several rankings of the same positions agree.

    Source: kendall1939, corrected for ties.

    Args:
        scores: ``[method, position]``, finite.

    Returns:
        1: equal rankings. Independent ones give 1 / methods on average. NaN if every method ties all positions.

    Raises:
        LabelError: Fewer than two methods or positions, or scores that are not finite.

    Example:
        >>> concordance([[0.1, 0.5, 0.9], [1, 2, 3]])
        1.0
    """
    from scipy.stats import rankdata

    table = np.asarray(scores, dtype=np.float64)
    if table.ndim != 2 or min(table.shape) < 2 or not np.isfinite(table).all():
        raise LabelError(
            f"Kendall's W expects finite scores [method, position], two or more of each; got shape {table.shape}"
            f"{'' if np.isfinite(table).all() else ' with values that are not finite'}. Leave out what has no score."
        )
    methods, positions = table.shape
    ranks = rankdata(table, axis=1)
    spread = float(((ranks.sum(0) - methods * (positions + 1) / 2) ** 2).sum())
    counts = [np.unique(row, return_counts=True)[1].astype(np.float64) for row in table]
    ties = sum(float((count**3 - count).sum()) for count in counts)
    most = (methods**2 * (positions**3 - positions) - methods * ties) / 12
    return spread / most if most > 0 else float("nan")


def shifted_concordance(scores: ArrayLike, *, draws: int = 200, seed: int = 0) -> Floats:
    """Compute Kendall's W of scores that are shifted: what agreement is left where positions no longer correspond.

    Each method's scores are rotated along the sequence by an amount of their own, so that runs of similar scores stay.

    Args:
        scores: ``[method, position]``, finite.
        draws: How many times all are rotated.
        seed: Of the draws.

    Returns:
        ``[draw]``.

    Raises:
        LabelError: As `concordance`.

    Example:
        >>> equal = np.tile(np.arange(50.0), (4, 1))
        >>> bool(shifted_concordance(equal).mean() < 0.5)
        True
    """
    table = np.asarray(scores, dtype=np.float64)
    concordance(table)  # refuses what has no value
    methods, positions = table.shape
    shifts = np.random.default_rng(seed).integers(positions, size=(draws, methods, 1))
    columns = (np.arange(positions) + shifts) % positions
    return np.array([concordance(np.take_along_axis(table, each, 1)) for each in columns])


def variance_shares(
    values: ArrayLike,
    factors: Sequence[str],
    *,
    seeds: str,
    apart: Sequence[str] = (),
    resamples: int = 500,
    level: float = 0.95,
    seed: int = 0,
) -> dict[str, Interval]:
    """Divide the variance of a crossed design's cells among factors and pairs of factors.

    The shares are sums of squares of the cells' means over sequences, divided by their total; with noise from few
    sequences, part of each share is noise. Intervals are percentiles of a bootstrap over sequences and model seeds.

    Args:
        values: ``[factor, ..., sequence]``, finite: one axis per factor, then sequences. Every cell is there.
        factors: Names of the axes but the last.
        seeds: The factor of model seeds: it has three levels or more, and is drawn again in every resample. Draws
            repeat seeds, so with three the interval of its own share leans low; it is wide, and that is the message.
        apart: Factors whose levels have sequences of their own (tasks): they are drawn independently.
        resamples: Bootstrap draws; with 0 the intervals are NaN.
        level: Coverage, between 0 and 1.
        seed: Of the draws.

    Returns:
        A share and its interval for each factor, each pair (``"a x b"``), and ``"rest"``, the higher orders. They add
        up to 1; all are NaN if no cell differs.

    Raises:
        LabelError: Axes that are not the factors, cells without a value, or fewer than three seeds.

    Example:
        >>> effects = np.zeros((2, 3, 10)) + np.array([0.0, 1.0])[:, None, None]
        >>> variance_shares(effects, ["operator", "seed"], seeds="seed")["operator"].value
        1.0
    """
    cells = np.asarray(values, dtype=np.float64)
    unknown = sorted({seeds, *apart} - set(factors))
    if cells.ndim != len(factors) + 1 or not cells.size or len(set(factors)) < len(factors) or unknown:
        raise LabelError(
            f"a crossed design expects one axis for each factor and one of sequences; got shape {cells.shape} for "
            f"{', '.join(factors)}{'; not a factor: ' + ', '.join(unknown) if unknown else ''}."
        )
    if not np.isfinite(cells).all():
        missing = int((~np.isfinite(cells)).sum())
        raise LabelError(f"a crossed design expects a value in every cell; {missing} are missing. Fill or leave out.")
    axis = list(factors).index(seeds)
    if cells.shape[axis] < 3:
        raise LabelError(
            f"shares of the variance expect three model seeds or more, got {cells.shape[axis]}. Add seeds."
        )
    generator = np.random.default_rng(seed)
    groups = tuple(size if name in apart else 1 for name, size in zip(factors, cells.shape[:-1], strict=True))
    rows = cells.shape[-1]
    draws = []
    for _ in range(resamples):
        weights = generator.multinomial(rows, np.full(rows, 1 / rows), size=groups) / rows
        means = (cells * weights).sum(-1)
        draws.append(
            _shares(np.take(means, generator.integers(cells.shape[axis], size=cells.shape[axis]), axis), factors)
        )
    shares = _shares(cells.mean(-1), factors)
    nan = float("nan")
    result = {}
    for name, value in shares.items():
        known = np.array([draw[name] for draw in draws if np.isfinite(draw[name])])
        tail = (1 - level) / 2
        low, high = np.quantile(known, [tail, 1 - tail]) if known.size else (nan, nan)
        result[name] = Interval(value, float(low), float(high))
    return result


def _shares(means: Floats, factors: Sequence[str]) -> dict[str, float]:
    """Divide the sum of squares of a balanced table into main effects, pairs and the rest."""
    centred = means - means.mean()
    total = float((centred**2).sum())
    axes = range(centred.ndim)
    effects = [centred.mean(tuple(other for other in axes if other != axis), keepdims=True) for axis in axes]
    parts = dict(zip(factors, effects, strict=True))
    for one, two in combinations(axes, 2):
        mean = centred.mean(tuple(other for other in axes if other not in (one, two)), keepdims=True)
        parts[f"{factors[one]} x {factors[two]}"] = mean - effects[one] - effects[two]
    if total <= 1e-20 * max(1.0, float((means**2).sum())):
        return dict.fromkeys([*parts, "rest"], float("nan"))
    shares = {name: float((part**2).sum()) * centred.size / part.size / total for name, part in parts.items()}
    shares["rest"] = max(0.0, 1 - sum(shares.values()))
    return shares
