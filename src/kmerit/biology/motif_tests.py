"""Motifs, asked three questions: enriched in the data, found by a method, used by the model."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property, partial
from importlib.metadata import version
from itertools import combinations
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, TypeAlias, overload

import numpy as np

from kmerit.biology.motif_hits import (
    ALIKE,
    COPIES,
    MATCH,
    Family,
    Hits,
    bundled_families,
    consensus,
    database,
    families_named,
    read_families,
    write_meme,
)
from kmerit.biology.motif_parts import MotifParts
from kmerit.biology.motif_use import BACKGROUNDS, RATE, Use, used
from kmerit.errors import FormatError, LabelError, UnknownName, UsageError
from kmerit.formats import Shown
from kmerit.io.readers import SequencesLike, as_sequences
from kmerit.results import Attribution
from kmerit.sequences import (
    Bool,
    Float,
    Floats,
    Int8,
    Int64,
    Sequences,
    decode,
    gc_count,
    generator,
    reverse_complement,
)
from kmerit.store import (
    Share,
    Stages,
    StoredParts,
    Work,
    atomic_write,
    check_begun,
    hold,
    json_digest,
    read_record,
    recorded,
    settle,
    sha256,
    write_record,
    write_text,
)
from kmerit.trials.controls import RANDOM
from kmerit.uncertainty import Studentised, false_discovery, holm, mean_differences, moderated, studentised

if TYPE_CHECKING:
    import pandas as pd

    from kmerit.models.model import Model

BUDGET = 0.1
"""Share of its nucleotides that each method gives, those with the highest scores."""
CLUSTERS = 10
"""A family is tested where hits lie in at least this number of clusters of each half of the loci."""
NULLS = ("shift", "other", "shuffled")
"""What a family must be found beyond: the attribution shifted along its sequence, that of other sequences at the same
places, and hits of column-shuffled copies of the family."""
CANDIDATES = 0.01
"""Largest p value, beyond each null, of what the discovery half names; the other half pays for their number alone."""
RULE = 5
"""Counts the changes of the tests; what another rule made is not resumed."""
FOOLED = 4.0
"""t beyond shifted scores and beyond those of other sequences, from which these two nulls would have made much."""
_PARTS = "parts"
_DECILES = 10
_DRAWS = 2000

Progress = Callable[[int, int], None]
Announce = Callable[[str, int], None]
"""Takes the name of a step that begins, and how much it has to do."""
Scores: TypeAlias = Any
"""Attributions by method, one of them, the file of several, or own scores, as `kmerit.own_scores` takes them."""


@dataclass(frozen=True, eq=False)
class Motifs(Shown):
    """Which families of motifs the data have, the methods found, and the model uses.

    Attributes:
        families: A row per family: its ``name``, ``members``, ``consensus``; ``sequences`` of the class and
            ``others`` that have a hit, of the class and of the others; ``odds_ratio`` within deciles of GC with its
            interval (one-sided, exact, where the ratio is 0 or infinite), ``p``, corrected by Holm, and ``enriched``.
            ``effect`` on the log-odds of the class with its interval, on the ``strand`` where it is larger, ``p_used``
            (Holm), ``used``; missing where the model was not asked: by default families neither tested nor enriched.
        found: A row per method, part of its scores (``positive``, or ``size``) and family: ``excess``, by how much the
            share of hit nucleotides within the method's budget lies above the budget; ``beyond_shift``,
            ``beyond_other``, ``beyond_shuffled``, by how much it lies above what each null has, with ``t``; ``q``, of
            all sequences (Benjamini-Hochberg), for exploring; ``candidate``, by the discovery half; ``p``, family-wise
            (max-T), by the confirmation half; ``found``; ``composition``, whether shuffled copies pass where the family
            would have passed the first two nulls, see `composed`.
        methods: A row per method: the mean AUROC of its scores for nucleotides inside hits of families that are
            enriched or used.
        comparisons: A row per pair of methods: the difference of that, its interval, ``p``, corrected by Holm.
        hits: A row per hit.
        patterns: A row per motif made of the scores alone, if asked for; see `kmerit.biology.seqlets.discover`.
        settings: What determined all of this.

    Example:
        >>> import pandas as pd
        >>> families = pd.DataFrame({"family": [0], "name": ["AP-1"], "members": ["FOS, JUN"], "used": [True]})
        >>> found = pd.DataFrame({"family": [0], "method": ["lrp"], "found": [False]})
        >>> Motifs(families, found, *[pd.DataFrame()] * 4)
        <Motifs: 1 family, 1 method; 0 found, 1 used>
    """

    families: pd.DataFrame
    found: pd.DataFrame
    methods: pd.DataFrame
    comparisons: pd.DataFrame
    hits: pd.DataFrame
    patterns: pd.DataFrame
    settings: Mapping[str, Any] = field(default_factory=dict)

    def __repr__(self) -> str:
        claims = self.found[self.found["found"]]
        methods, count = self.found["method"].nunique(), len(self.families)
        return (
            f"<Motifs: {count} famil{'y' if count == 1 else 'ies'}, {methods} method{'' if methods == 1 else 's'}; "
            f"{claims['family'].nunique()} found, {int(self.families['used'].fillna(False).sum())} used>"
        )

    def to_frame(self) -> pd.DataFrame:
        """Return a row per method, part and family, with the three answers and the verdict.

        ``verdict``: ``found and used``, ``found, not used``, ``used, not found``, ``neither``; ``found`` or ``not
        found`` where the model was not asked, and of ``random``, a control; where too few sequences have a hit,
        ``used, untested`` or ``untested``.

        Example:
            >>> import pandas as pd
            >>> known = {"family": [0], "name": ["AP-1"], "members": ["FOS, JUN"], "consensus": ["TGACTCA"]}
            >>> families = pd.DataFrame({**known, "enriched": [True], "effect": [1.5], "used": [True]})
            >>> found = pd.DataFrame({"family": [0], "method": ["lrp"], "tested": [True], "found": [False]})
            >>> Motifs(families, found, *[pd.DataFrame()] * 4).to_frame()["verdict"].tolist()
            ['used, not found']
        """
        columns = ["family", "name", "members", "consensus", "enriched", "effect", "used"]
        table = self.found.merge(self.families[columns], on="family", how="left", validate="many_to_one")
        used = [
            None if missing else bool(value) for value, missing in zip(table["used"], table["used"].isna(), strict=True)
        ]
        columns_of_verdict = (table["method"], table["tested"], table["found"], used)
        verdicts = [_verdict(*row) for row in zip(*columns_of_verdict, strict=True)]
        return table.assign(verdict=verdicts)

    def _shown_frame(self) -> pd.DataFrame:
        return self.table[["method", "name", "verdict", "excess", "effect", "enriched"]]

    @property
    def claimed(self) -> list[int]:
        """Numbers of the families that are found, enriched or used."""
        families = self.families
        claims = families["enriched"].fillna(False) | families["used"].fillna(False)
        return sorted({*families[claims]["family"], *self.found[self.found["found"]]["family"]})

    @cached_property
    def table(self) -> pd.DataFrame:
        """What is found or used, or both: the rows of `to_frame` that say so, of signed scores by positive part."""
        frame = self.to_frame()
        frame = frame[(frame["part"] != "size") | ~frame["signed"]]
        return frame[frame["verdict"].isin(["found, not used", "used, not found", "found and used", "used, untested"])]

    def save(self, folder: str | os.PathLike[str]) -> Path:
        """Write the tables (Parquet and CSV), the families (MEME) and the hits (BED).

        Example:
            >>> import tempfile
            >>> import pandas as pd
            >>> known = {"family": [0], "name": ["AP-1"], "members": ["FOS, JUN"], "consensus": ["A"]}
            >>> known |= {"identifier": ["M1"], "probabilities": [[1.0, 0.0, 0.0, 0.0]]}
            >>> families = pd.DataFrame({**known, "enriched": [True], "effect": [1.5], "used": [True]})
            >>> found = pd.DataFrame({"family": [0], "method": ["lrp"], "tested": [True], "found": [True]})
            >>> with tempfile.TemporaryDirectory() as folder:
            ...     Motifs.load(Motifs(families, found, *[pd.DataFrame()] * 4).save(folder))
            <Motifs: 1 family, 1 method; 1 found, 1 used>
        """
        place = Path(folder)
        with hold(place):
            for name in _TABLES:
                _write_frame(getattr(self, name), place / f"{name}.parquet")
            write_record(place / _ABOUT, {"settings": dict(self.settings)})
            self._export(place)
        return place

    @classmethod
    def load(cls, folder: str | os.PathLike[str]) -> Motifs:
        """Read what `save`, or ``kmerit motifs``, wrote.

        Raises:
            FormatError: The folder does not hold that.

        Example:
            >>> Motifs.load("nowhere")
            Traceback (most recent call last):
            kmerit.errors.FormatError: nowhere: expected the output of: kmerit motifs --out nowhere
        """
        import pandas as pd

        place = Path(folder)
        about = read_record(place / _ABOUT)
        if about is None or not all((place / f"{name}.parquet").is_file() for name in _TABLES):
            raise FormatError(f"{place}: expected the output of: kmerit motifs --out {place}")
        tables: dict[str, Any] = {name: pd.read_parquet(place / f"{name}.parquet") for name in _TABLES}
        return cls(**tables, settings=about["settings"])

    def _export(self, place: Path) -> None:
        from kmerit.store import write_csv

        write_csv(place / "motifs.csv", self.to_frame().drop(columns="contribution", errors="ignore"))
        write_csv(place / "families.csv", self.families.drop(columns="probabilities"))
        write_text(place / "hits.bed", "".join(_bed(self.hits)))
        known = {row.identifier: (row.name, np.reshape(row.probabilities, (-1, 4))) for row in each_row(self.families)}
        write_text(place / "families.meme", write_meme(known))
        if self.settings.get("de_novo"):
            own = self.patterns[self.patterns["source"] == "own"]
            motifs_by_name = {
                f"{row.method}-{row.finder}-{row.pattern}": (row.consensus, np.reshape(row.probabilities, (-1, 4)))
                for row in each_row(own)
            }
            write_text(place / "patterns.meme", write_meme(motifs_by_name))


_TABLES = ("families", "found", "methods", "comparisons", "hits", "patterns")
_ABOUT = "motifs.json"
_COMPUTED_WITH = ("products", "micro_batch")
"""What of the model's last bits is recorded for good."""


def _verdict(method: str, tested: bool, is_found: bool, used: bool | None) -> str:
    control = method == RANDOM  # no method: what it does not find, it does not miss
    if not tested:
        return "used, untested" if used and not control else "untested"
    if used is None or control:
        return "found" if is_found else "not found"
    if is_found:
        return "found and used" if used else "found, not used"
    return "used, not found" if used else "neither"


def each_row(table: pd.DataFrame) -> Iterator[Any]:
    """Go through the rows of a table, whose columns are attributes."""
    yield from table.itertuples(index=False)


def _bed(hits: pd.DataFrame) -> Iterator[str]:
    """Place hits on the genome where loci are known, else on the sequence itself."""
    for row in each_row(hits):
        score = min(1000, round(-100 * np.log10(max(row.p, 1e-10))))  # BED's scores end at 1000
        yield f"{row.chrom}\t{row.chrom_start}\t{row.chrom_end}\t{row.motif}\t{score}\t{row.chrom_strand}\n"


class Line(NamedTuple):
    """Scores of a method, by their positive part or by size."""

    method: str
    part: str
    signed: bool
    scores: Float


def lines_of(attributions: Mapping[str, Attribution]) -> list[Line]:
    """Split methods into what is tested: the positive part of scores, and, for signed ones, their size."""
    lines = []
    for name, each in attributions.items():
        scores = np.asarray(each.scores, dtype=np.float64)
        if each.signed:
            lines.append(Line(name, "positive", True, np.where(np.isnan(scores), np.nan, np.maximum(scores, 0))))
        lines.append(Line(name, "size", each.signed, np.abs(scores)))
    return lines


def budgets(scores: Float, share: float = BUDGET) -> Floats:
    """Spend the same budget on every sequence: 1 on each of its highest scores, ties sharing what is left.

    Args:
        scores: ``[sequence, position]``; NaN where a position has none.
        share: Of the positions with a score.

    Returns:
        ``[sequence, position]``, 0 to 1, which sums to ``share`` times the scores of a sequence.

    Example:
        >>> budgets(np.array([[3.0, 1.0, 1.0, 0.0]]), 0.5).tolist()
        [[1.0, 0.5, 0.5, 0.0]]
    """
    finite = np.isfinite(scores)
    budget = share * finite.sum(axis=1, keepdims=True)
    values = np.where(finite, scores, -np.inf)
    order = -np.sort(-values, axis=1)
    last = np.clip(np.ceil(budget).astype(np.int64) - 1, 0, max(scores.shape[1] - 1, 0))
    least = np.take_along_axis(order, last, axis=1)
    above, equal = values > least, (values == least) & finite
    rest = budget - above.sum(axis=1, keepdims=True)
    return np.asarray(above + equal * rest / np.maximum(equal.sum(axis=1, keepdims=True), 1))


def profiles(weights: Floats, valid: Bool, lengths: Int64, clusters: Int64) -> Floats:
    """Average the budgets of the sequences of other clusters at the same places, ``[sequence, position]``.

    Sequences of other lengths are compared at the same share of their length.
    """
    longest = weights.shape[1]
    whole = np.where(valid, weights, 0.0)
    grid = np.arange(longest)
    at = np.minimum((grid * lengths[:, None]) // longest, longest - 1)
    spread = np.take_along_axis(whole, at, axis=1)
    count = valid.any(axis=1).astype(np.float64)
    size = int(clusters.max()) + 1
    own = np.zeros((size, longest))
    np.add.at(own, clusters, spread)
    members = np.bincount(clusters, weights=count, minlength=size)
    rest = count.sum() - members[clusters]
    with np.errstate(invalid="ignore", divide="ignore"):
        mean = (spread.sum(axis=0) - own[clusters]) / rest[:, None]
    back = np.minimum((grid * longest + longest // 2) // np.maximum(lengths[:, None], 1), longest - 1)
    return np.asarray(np.take_along_axis(mean, back, axis=1), dtype=np.float64)


class Spans(NamedTuple):
    """Stretches that hits cover: family, sequence, start, end; ``int64 [stretch]`` each."""

    family: Int64
    sequence: Int64
    start: Int64
    end: Int64

    def sums(self, values: Floats, families: int) -> Floats:
        """Add values ``[sequence, position]`` over the stretches: ``[family, sequence]``."""
        upto = np.concatenate([np.zeros((len(values), 1)), np.cumsum(values, axis=1)], axis=1)
        inside = upto[self.sequence, self.end] - upto[self.sequence, self.start]
        at = self.family * len(values) + self.sequence
        sums = np.bincount(at, weights=inside, minlength=families * len(values))
        return np.asarray(sums.reshape(families, -1), dtype=np.float64)

    def apart(self, other: Spans) -> Spans:
        """Keep the stretches that overlap none of another's of the same family in the same sequence.

        Args:
            other: Sorted by family, sequence and start, without overlaps, as `Hits.merged` gives them.
        """
        count, wide = (1 + max(int(each.max(initial=0)) for each in ends) for ends in (
            (self.sequence, other.sequence), (self.end, other.end)
        ))  # fmt: skip
        own, theirs = ((each.family * count + each.sequence) * wide for each in (self, other))
        begun = np.searchsorted(theirs + other.start, own + self.end, side="left")
        over = np.searchsorted(theirs + other.end, own + self.start, side="right")
        return Spans(*(column[begun == over] for column in self))


class Measured(NamedTuple):
    """A line's numbers, one per sequence and family; NaN where a sequence has no hit.

    Attributes:
        own: ``[sequence, family]``, the share of the nucleotides in hits that the budget covers.
        other: ``[sequence, family]``, the share that the budgets of other sequences cover at the same places.
        apart: ``[sequence, family]``, the share for hits that overlap none of a copy's; the mean over copies.
        copies: ``[copy, sequence, family]``, the share for each copy's hits that overlap none of the family's.
    """

    own: Floats
    other: Floats
    apart: Floats
    copies: Float


def measure(
    line: Line, lengths: Int64, clusters: Int64, spans: Spans, pairs: Sequence[tuple[Spans, Spans]], families: int
) -> Measured:
    """Measure the share of hit nucleotides that a line's budget covers, and the same for two of the nulls.

    Over all circular shifts of the attribution the mean share is the budget itself for any hits, so no
    shift need be drawn for the first.

    Args:
        line: The scores.
        lengths: ``[sequence]``.
        clusters: ``[sequence]``.
        spans: The families' hits.
        pairs: For each copy the families' hits apart from the copy's, and the copy's apart from the families'.
        families: How many there are.
    """
    valid = np.isfinite(line.scores)
    weights = budgets(line.scores)
    has_values = valid.any(axis=1)

    def share(of: Spans, values: Floats) -> Floats:
        with np.errstate(invalid="ignore", divide="ignore"):
            out = of.sums(values, families) / of.sums(valid.astype(np.float64), families)
        out[:, ~has_values] = np.nan
        return out.T

    other = np.where(valid, profiles(weights, valid, lengths, clusters), 0.0)
    total, number = np.zeros((2, len(lengths), families))
    for own, _ in pairs:
        part = share(own, weights)
        total += np.nan_to_num(part)
        number += np.isfinite(part)
    with np.errstate(invalid="ignore"):
        apart = total / number
    each = np.stack([share(copy, weights).astype(np.float32) for _, copy in pairs])
    return Measured(share(spans, weights), share(spans, other), apart, each)


class Tested(NamedTuple):
    """Tests of a line on some rows, per family.

    Attributes:
        beyond: ``[null, row, family]``, what is averaged.
        mean: ``[null, family]``.
        error: ``[null, family]``, the standard error; of ``shuffled`` with what differs between copies.
        spread: ``[family]``, the part of that error that differs between copies.
        sure: ``[family]``, degrees of freedom of that part.
        freedom: ``[null, family]``, degrees of freedom.
        clusters: ``[family]``, with a hit apart from those of copies.
    """

    beyond: Floats
    mean: Floats
    error: Floats
    spread: Floats
    sure: Floats
    freedom: Floats
    clusters: Int64

    @property
    def t(self) -> Floats:
        """Means in standard errors, ``[null, family]``.

        Infinite where all clusters agree on a mean that is not 0, for there the error is 0; NaN where both are 0, or
        there is no error.
        """
        with np.errstate(invalid="ignore", divide="ignore"):
            return np.asarray(self.mean / self.error)

    @property
    def p(self) -> Floats:
        """The largest of the three one-sided p values, ``[family]``: all nulls must be rejected.

        1 where nothing lies beyond a null in any cluster; NaN where a null could not be tested.
        """
        from scipy.stats import t

        nothing = (self.mean == 0) & (self.error == 0)
        return np.asarray(np.where(nothing, 1.0, t.sf(self.t, self.freedom)).max(axis=0))


def test_line(measured: Measured, rows: Bool, clusters: Int64) -> Tested:
    """Test a line on some rows: means over sequences, errors over clusters of them.

    The third null leaves out hits of the family and of a copy that overlap each other, on both sides: they say nothing
    of the order of columns, and where a copy matches the very letters of a true site, the site would speak against
    itself. Its reference is the mean share of the copies' hits in the same sequence, drawn towards their mean
    over all sequences where there are few. It takes a family for one more draw of the order of its columns: by
    how much copies differ beyond what their sequences do is part of the error.
    """
    own, copies = measured.own[rows], measured.copies[:, rows].astype(np.float64)
    finite = np.isfinite(copies)
    finite_copies = np.where(finite, copies, 0.0)
    in_sequence, of_copy = finite.sum(axis=0), finite.sum(axis=1)
    total = of_copy.sum(axis=0)
    with np.errstate(invalid="ignore", divide="ignore"):
        overall = finite_copies.sum(axis=(0, 1)) / total
        reference = (finite_copies.sum(axis=0) + _DRAWN * overall) / (in_sequence + _DRAWN)
    beyond = np.stack([own - BUDGET, own - measured.other[rows], measured.apart[rows] - reference])
    beyond = np.round(beyond, _DIGITS)
    parts = [studentised(table, clusters=clusters[rows], resamples=0) for table in beyond]
    mean, error = np.stack([part.mean for part in parts]), np.stack([part.error for part in parts])
    number = np.stack([part.clusters for part in parts])
    freedom = np.asarray(number - 1.0, dtype=np.float64)
    variance, sure = _between(finite_copies, of_copy)
    between = variance * (1 + 1 / len(copies))
    with np.errstate(invalid="ignore", divide="ignore"):
        within = error[2] ** 2
        spread = (within + between) ** 2 / (within**2 / freedom[2] + between**2 / sure)
        freedom[2] = np.where(within + between == 0, freedom[2], spread)
    error[2] = np.sqrt(within + between)
    return Tested(beyond, mean, error, np.sqrt(between), sure, freedom, number.min(axis=0))


_DIGITS = 6
"""Decimals of a share that are kept: what is behind them is rounding, and would pass for an error, or an excess."""
_DRAWN = 4.0
"""As many copies does the mean over all sequences count for in a sequence."""


def _between(filled: Floats, of_copy: Int64) -> tuple[Floats, Floats]:
    """Estimate the variance of the mean share from one order of a family's columns to the next, and how sure it is.

    The variance of the copies' means, moderated: drawn towards what is usual over all families, the more the less
    families differ in it. It holds what few hits of a copy add by chance.

    Source: smyth2004, section 6.2.

    Args:
        filled: ``[copy, sequence, family]``, 0 where a copy has no hit.
        of_copy: ``[copy, family]``, sequences with a hit.

    Returns:
        Variance and degrees of freedom, ``[family]``; NaN where fewer than two copies have hits.
    """
    with np.errstate(invalid="ignore", divide="ignore"):
        means = np.where(of_copy > 0, filled.sum(axis=1) / of_copy, np.nan)
    some = np.isfinite(means).sum(axis=0)
    freedom = np.where(some > 1, some - 1.0, np.nan)
    with np.errstate(invalid="ignore"):
        variance = np.nansum((means - np.nansum(means, axis=0) / some) ** 2, axis=0) / freedom
    return moderated(variance, freedom)


def composed(tested: Tested, able: Bool) -> Bool:
    """Say where the first two nulls alone would have been fooled by composition, ``bool [family]``.

    There the family lies far above both (t over 4), and so do its shuffled copies: the interval of what it has beyond
    them holds 0 and ends below its whole excess, of which they have half or more. Where the copies settle nothing, for
    the interval is wide, nothing is said.

    Args:
        tested: A line's tests.
        able: Which families have enough hits.
    """
    from scipy.stats import t

    excess, beyond = tested.mean[0], tested.mean[2]
    with np.errstate(invalid="ignore"):
        reach = t.ppf(0.975, tested.freedom[2]) * tested.error[2]
        far = np.minimum(tested.t[0], tested.t[1]) > FOOLED
        of_copies = (beyond - reach <= 0) & (beyond + reach < excess) & (beyond <= excess / 2)
    return np.asarray(able & far & of_copies)


def confirm(
    tested: Sequence[Tested],
    chosen: Sequence[Int64],
    tables: Sequence[Floats],
    freedom: Floats,
    clusters: Int64,
    seed: int,
) -> list[Floats]:
    """Correct candidates for their number, by max-T over candidates and nulls: family-wise p values.

    The third null is corrected for all families that were tested, not for candidates alone: the same copies are behind
    both halves, so a family whose order of columns is unusual by chance is so in both.

    Source: westfall1993, section 2.3, on the studentised bootstrap over clusters.

    Args:
        tested: Per line, the confirmation half.
        chosen: Per line, its candidates.
        tables: Per line, the candidates' values ``[row, null * candidate]``.
        freedom: Degrees of freedom of the third null, of every family and line that was tested.
        clusters: ``[row]``.
        seed: Of the draws.
    """
    if not sum(map(len, chosen)):
        return [np.zeros(0) for _ in chosen]
    rng = generator(seed, "max-t", 0, "")
    table = np.concatenate(tables, axis=1)
    part = studentised(table, clusters=clusters, resamples=_DRAWS, seed=seed)
    draws, at = _bounded(part, table), 0
    largest = rng.standard_t(freedom, size=(_DRAWS, len(freedom))).max(axis=1)
    for line, families in zip(tested, chosen, strict=True):
        width = len(families)
        of_line = draws[:, at : at + 3 * width].reshape(_DRAWS, 3, width).copy()
        own, spread, sure = part.error[at + 2 * width : at + 3 * width], line.spread[families], line.sure[families]
        noise = rng.normal(size=(_DRAWS, width)) * spread
        scale = rng.chisquare(sure, size=(_DRAWS, width)) / sure
        error = np.sqrt(own**2 + spread**2 * scale)
        of_line[:, 2] = np.where(error > 0, (of_line[:, 2] * own + noise) / np.where(error > 0, error, 1.0), 0.0)
        largest = np.fmax(largest, np.fmax.reduce(of_line.reshape(_DRAWS, -1), axis=1)) if width else largest
        at += 3 * width
    return [
        (1 + (largest[:, None] >= line.t[:, families].min(axis=0)).sum(axis=0)) / (_DRAWS + 1)
        for line, families in zip(tested, chosen, strict=True)
    ]


def _bounded(part: Studentised, table: Floats) -> Floats:
    """Limit draws that have no error of their own, for all that was drawn is equal, ``[resample, column]``.

    They lie, in standard errors of the sample, no further from its mean than its largest and smallest value do. Where
    nearly all rows agree these resamples are many, and one row that differs would outweigh all others.
    """
    with np.errstate(invalid="ignore", divide="ignore"):
        highest, lowest = ((end.reduce(table, axis=0) - part.mean) / part.error for end in (np.fmax, np.fmin))
    return np.where(np.isposinf(part.draws), highest, np.where(np.isneginf(part.draws), lowest, part.draws))


def halves(clusters: Int64, seed: int) -> Bool:
    """Draw half of the clusters for discovery, ``bool [row]``; the others confirm."""
    number = int(clusters.max()) + 1
    order = generator(seed, "halves", 0, "").permutation(number)
    return np.asarray(order[clusters] % 2 == 0)


def find(
    lines: Sequence[Line],
    lengths: Int64,
    clusters: Int64,
    spans: Spans,
    copies: Sequence[Spans],
    families: int,
    seed: int,
    progress: Progress | None = None,
) -> pd.DataFrame:
    """Ask which families each line found: the second question."""
    import pandas as pd

    discovery = halves(clusters, seed)
    every = np.ones(len(clusters), dtype=np.bool_)
    pairs = [(spans.apart(copy), copy.apart(spans)) for copy in copies]
    results: list[tuple[Tested, Tested, Tested]] = []
    for number, line in enumerate(lines):
        measured = measure(line, lengths, clusters, spans, pairs, families)
        whole, first, second = (test_line(measured, rows, clusters) for rows in (every, discovery, ~discovery))
        results.append((whole, first, second._replace(beyond=second.beyond.astype(np.float32))))
        if progress:
            progress(number + 1, len(lines))
    able = [
        (first.clusters >= CLUSTERS) & (second.clusters >= CLUSTERS) & np.isfinite(first.p) & np.isfinite(second.p)
        for _, first, second in results
    ]
    q_whole = false_discovery(
        np.stack([np.where(ok, whole.p, np.nan) for ok, (whole, *_) in zip(able, results, strict=True)])
    )
    chosen = [np.flatnonzero(ok & (first.p <= CANDIDATES)) for ok, (_, first, _) in zip(able, results, strict=True)]
    tables = [
        second.beyond[:, :, picked].transpose(1, 0, 2).reshape(second.beyond.shape[1], len(second.beyond) * picked.size)
        for picked, (*_, second) in zip(chosen, results, strict=True)
    ]
    freedom = np.concatenate([second.freedom[2][ok] for ok, (*_, second) in zip(able, results, strict=True)])
    confirmed = confirm([second for *_, second in results], chosen, tables, freedom, clusters[~discovery], seed)
    frames = []
    for line, ok, picked, p, q, (whole, *_) in zip(lines, able, chosen, confirmed, q_whole, results, strict=True):
        candidate = np.zeros(families, dtype=np.bool_)
        candidate[picked] = True
        corrected = np.full(families, np.nan)
        corrected[picked] = p
        is_found = candidate & (np.nan_to_num(corrected, nan=1.0) <= RATE)
        frames.append(
            pd.DataFrame(
                {
                    "method": line.method,
                    "part": line.part,
                    "signed": line.signed,
                    "family": np.arange(families),
                    "sequences": np.isfinite(whole.beyond[0]).sum(axis=0),
                    "clusters": whole.clusters,
                    "tested": ok,
                    "excess": whole.mean[0],
                    **{f"beyond_{null}": whole.mean[i] for i, null in enumerate(NULLS)},
                    **{f"t_{null}": whole.t[i] for i, null in enumerate(NULLS)},
                    "t": whole.t.min(axis=0),
                    "q": q,
                    "candidate": candidate,
                    "p": corrected,
                    "found": is_found,
                    "composition": composed(whole, ok) & ~is_found,
                }
            )
        )
    return pd.concat(frames, ignore_index=True)


def enrichment(present: Bool, of_class: Bool, gc: Floats, clusters: Int64) -> pd.DataFrame:
    """Ask which families occur more often in a class than in the other sequences of the same GC: the first question.

    Within deciles of GC: the odds ratio of Mantel and Haenszel, its interval (robins1986), and a score test whose
    variance is taken over clusters. A ratio of 0 or infinity has a one-sided bound, exact given the strata's margins
    (mehta1985).

    Args:
        present: ``[sequence, family]``, whether there is a hit.
        of_class: ``[sequence]``.
        gc: ``[sequence]``, share of G and C.
        clusters: ``[sequence]``.

    Example:
        >>> rng = np.random.default_rng(0)
        >>> of_class = np.arange(400) % 2 == 0
        >>> present = (rng.random((400, 2)) < np.where(of_class, 0.6, 0.2)[:, None]) & np.array([True, False])
        >>> frame = enrichment(present, of_class, rng.random(400), np.arange(400))
        >>> frame["enriched"].tolist()
        [True, False]
    """
    import pandas as pd
    from scipy.stats import norm
    from scipy.stats import t as student

    edges = np.quantile(gc, np.linspace(0, 1, _DECILES + 1)[1:-1])
    stratum = np.searchsorted(edges, gc, side="right")
    families = present.shape[1]
    r, s, pr, ps_qr, qs, score = (np.zeros(families) for _ in range(6))
    by_cluster = np.zeros((int(clusters.max()) + 1, families))
    margins = []
    for each in range(_DECILES):
        rows = stratum == each
        n, ones = int(rows.sum()), int((rows & of_class).sum())
        if not 0 < ones < n:
            continue
        hit = present[rows]
        a = hit[of_class[rows]].sum(axis=0).astype(np.float64)
        b, c = ones - a, hit.sum(axis=0) - a
        margins.append((np.full(families, n), np.full(families, ones), hit.sum(axis=0)))
        d = n - ones - c
        ri, si, pi, qi = a * d / n, b * c / n, (a + d) / n, (b + c) / n
        r, s = r + ri, s + si
        pr, ps_qr, qs = pr + pi * ri, ps_qr + pi * si + qi * ri, qs + qi * si
        residual = (of_class[rows] - ones / n)[:, None] * (hit - hit.mean(axis=0))
        score += residual.sum(axis=0)
        np.add.at(by_cluster, clusters[rows], residual)
    with np.errstate(invalid="ignore", divide="ignore"):
        ratio = r / s
        spread = np.sqrt(pr / (2 * r**2) + ps_qr / (2 * r * s) + qs / (2 * s**2))
        reach = np.exp(norm.ppf(0.975) * spread)
        z = score / np.sqrt((by_cluster**2).sum(axis=0))
        low, high = ratio / reach, ratio * reach
    for i in np.flatnonzero((r == 0) ^ (s == 0)):
        bound = odds_bound(np.array([[column[i] for column in stratum] for stratum in margins]), largest=bool(r[i]))
        low[i], high[i] = (bound, np.inf) if r[i] else (0.0, bound)
    corrected = holm(2 * student.sf(np.abs(z), len(by_cluster) - 1))
    return pd.DataFrame(
        {
            "sequences": present[of_class].sum(axis=0),
            "others": present[~of_class].sum(axis=0),
            "odds_ratio": ratio,
            "odds_low": low,
            "odds_high": high,
            "p_enriched": corrected,
            "enriched": (np.nan_to_num(corrected, nan=1.0) <= RATE) & (score > 0),
        }
    )


def odds_bound(margins: Int64, largest: bool) -> float:
    """Bound an odds ratio of 0 or infinity: the value that gives the counts seen a chance of 2.5 %.

    Source: mehta1985, of which this is the case where every stratum has its largest, or smallest, count.

    Args:
        margins: ``[stratum, 3]``: rows, those of the class, those with a hit.
        largest: Whether as many rows of the class have a hit as the margins allow; else as few.

    Returns:
        NaN where the margins allow no other counts.

    Example:
        >>> float(np.round(odds_bound(np.array([[20, 10, 5]]), largest=True), 2))
        1.2
    """
    from scipy.optimize import brentq
    from scipy.special import gammaln, logsumexp

    strata = []
    for rows, ones, hits in margins:
        x = np.arange(max(0, hits - (rows - ones)), min(ones, hits) + 1)
        ways = -gammaln(x + 1) - gammaln(ones - x + 1) - gammaln(hits - x + 1) - gammaln(rows - ones - hits + x + 1)
        strata.append((x if largest else -x, ways))
    if all(len(x) == 1 for x, _ in strata):
        return np.nan

    def excess(log_odds: float) -> float:
        parts = (ways + log_odds * x for x, ways in strata)
        ends = (part[-1 if largest else 0] - logsumexp(part) for part in parts)
        return float(sum(ends)) - float(np.log(0.025))

    log_odds = brentq(excess, -60.0, 60.0)
    return float(np.exp(log_odds if largest else -log_odds))


def contribution(scores: Float, bases: Int8, hits: pd.DataFrame, width: int) -> Floats:
    """Average scores over the hits of a motif, each at the letter that is there, ``[position, base]``.

    Args:
        scores: ``[sequence, position]``; NaN counts as 0.
        bases: ``[sequence, position]``.
        hits: With ``sequence``, ``start`` and ``strand``.
        width: Of the motif.

    Example:
        >>> import pandas as pd
        >>> hits = pd.DataFrame({"sequence": [0], "start": [1], "strand": ["-"]})
        >>> contribution(np.array([[0.0, 1.0, 3.0]]), np.array([[0, 0, 1]], dtype=np.int8), hits, 2).tolist()
        [[0.0, 0.0, 3.0, 0.0], [0.0, 0.0, 0.0, 1.0]]
    """
    at = hits["start"].to_numpy()[:, None] + np.arange(width)
    row = hits["sequence"].to_numpy()[:, None]
    letters, values = bases[row, at], np.nan_to_num(scores[row, at])
    minus = (hits["strand"] == "-").to_numpy()
    letters[minus], values[minus] = reverse_complement(letters[minus]), values[minus, ::-1]
    out = np.zeros((width, 4))
    np.add.at(out, (np.broadcast_to(np.arange(width), at.shape), letters), values)
    return out / max(len(hits), 1)


def aurocs(scores: Float, inside: Bool) -> Floats:
    """Measure per sequence how scores tell nucleotides inside hits from others: AUROC, ties counting half.

    Args:
        scores: ``[sequence, position]``; NaN takes no part.
        inside: ``bool [sequence, position]``.

    Returns:
        ``[sequence]``; NaN where all or none are inside.

    Example:
        >>> aurocs(np.array([[3.0, 1.0, 1.0]]), np.array([[True, False, True]])).tolist()
        [0.75]
    """
    from scipy.stats import rankdata

    finite = np.isfinite(scores)
    ranks = rankdata(np.where(finite, scores, -np.inf), axis=1) - (~finite).sum(axis=1, keepdims=True)
    positive, negative = (inside & finite).sum(axis=1), (~inside & finite).sum(axis=1)
    total = np.where(inside & finite, ranks, 0.0).sum(axis=1)
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.asarray((total - positive * (positive + 1) / 2) / (positive * negative))


def compare_methods(
    attributions: Mapping[str, Attribution], inside: Bool, clusters: Int64, seed: int
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Compare methods by the AUROC of their scores inside hits, in pairs over the same sequences."""
    import pandas as pd

    each = {name: aurocs(np.asarray(a.scores, dtype=np.float64), inside) for name, a in attributions.items()}
    table = np.stack(list(each.values()), axis=1)
    means = mean_differences(table, clusters=clusters, resamples=_DRAWS, seed=seed)
    methods = pd.DataFrame(
        {"method": list(each), "auroc": means.mean, "low": means.low, "high": means.high, "sequences": means.rows}
    )
    pairs = list(combinations(each, 2))
    columns = ["method", "other", "difference", "low", "high", "p"]
    if not pairs:
        return methods, pd.DataFrame(columns=columns)
    differences = np.stack([each[a] - each[b] for a, b in pairs], axis=1)
    part = studentised(differences, clusters=clusters, resamples=_DRAWS, seed=seed)
    ends = mean_differences(differences, clusters=clusters, resamples=_DRAWS, seed=seed)
    p = (1 + (np.abs(_bounded(part, differences)) >= np.abs(part.t)).sum(axis=0)) / (_DRAWS + 1)
    p = np.where(np.isnan(part.t), np.nan, p)
    rows = zip(*zip(*pairs, strict=True), part.mean, ends.low, ends.high, holm(p), strict=True)
    return methods, pd.DataFrame(rows, columns=columns)


class _Rows(NamedTuple):
    """Which sequences are of the class asked for, and whether there are others to compare with."""

    target: int
    of_class: Bool
    explained: Bool
    labelled: bool


def _rows(sequences: Sequences, attribution: Attribution, label: int | None) -> _Rows:
    """Choose the class, and the sequences of it whose scores explain it."""
    labels = sequences.labels
    targets = attribution.target
    if labels is None or labels.dtype.kind == "f" or labels.ndim > 1:
        known = np.unique(targets).tolist()
    else:
        known = np.unique(labels).tolist()
    if label is None:
        if len(known) > 2:
            raise UsageError(
                f"label: these are sequences of {len(known)} classes. Name the one to ask about (--label)."
            )
        label = int(known[-1])
    if label not in known:
        raise UnknownName("class", str(label), map(str, known))
    if labels is None or labels.dtype.kind == "f":
        explained = np.asarray(targets == label)
        return _Rows(label, explained, explained, False)
    of_class = np.asarray(labels[:, label] == 1 if labels.ndim > 1 else labels == label)
    explained = of_class & (targets == label)
    if not explained.any():
        raise LabelError(
            f"No scores explain class {label} on a sequence of that class. Attribute with target {label} (--target)."
        )
    return _Rows(label, of_class, np.asarray(explained), bool(of_class.any() and not of_class.all()))


@overload
def motifs(
    attributions: Scores,
    sequences: SequencesLike,
    model: Model | None = None,
    *,
    meme: str | os.PathLike[str] | None = None,
    label: int | None = None,
    families: Sequence[str] | None = None,
    de_novo: bool = False,
    modisco: bool = False,
    floors: Mapping[str, Scores] | None = None,
    backgrounds: int = BACKGROUNDS,
    seed: int = 0,
    out: str | os.PathLike[str] | None = None,
    progress: Progress | None = None,
    announce: Announce | None = None,
) -> Motifs: ...


@overload
def motifs(
    attributions: Scores,
    sequences: SequencesLike,
    model: Model | None = None,
    *,
    meme: str | os.PathLike[str] | None = None,
    label: int | None = None,
    families: Sequence[str] | None = None,
    de_novo: bool = False,
    modisco: bool = False,
    floors: Mapping[str, Scores] | None = None,
    backgrounds: int = BACKGROUNDS,
    seed: int = 0,
    out: str | os.PathLike[str] | None = None,
    progress: Progress | None = None,
    announce: Announce | None = None,
    share: Work | None,
) -> Motifs | None: ...


def motifs(
    attributions: Scores,
    sequences: SequencesLike,
    model: Model | None = None,
    *,
    meme: str | os.PathLike[str] | None = None,
    label: int | None = None,
    families: Sequence[str] | None = None,
    de_novo: bool = False,
    modisco: bool = False,
    floors: Mapping[str, Scores] | None = None,
    backgrounds: int = BACKGROUNDS,
    seed: int = 0,
    out: str | os.PathLike[str] | None = None,
    progress: Progress | None = None,
    announce: Announce | None = None,
    share: Work | None = None,
) -> Motifs | None:
    """Ask of every family of motifs: is it enriched in the data, found by each method, used by the model?

    * In the data: hits in the class against the other sequences, within deciles of GC.
    * Found: each method gives its top 10 % of nucleotides, and a family is found where more of its hits are among them
      than after shifting the attribution, than with other sequences' attribution at the same places, and than for
      column-shuffled copies of the family; chosen on one half of the loci, confirmed on the other, at a family-wise
      error rate of 5 % (max-T).
    * Used: the consensus in shuffled backgrounds changes the log-odds more than its letters in other orders do.

    Scores of nucleotides are those of the class asked about, on sequences of that class.

    Args:
        attributions: Scores by method, or the file of them. Own scores, as `own_scores` takes them, explain the class
            asked about, unless a column ``target`` says another.
        sequences: Those explained. With labels, the other classes are the background of the first question.
        model: Asked for the third question; without it, that stays open.
        meme: Motifs in MEME format; by default the families of JASPAR 2026 that come with kmerit.
        label: Number of the class; by default the last of one or two.
        families: Those that the model is asked about, by the name of the family or of a member, however few hits they
            have; by default those that have enough hits to be tested, or are enriched.
        de_novo: Whether motifs are also made of the scores alone, and compared with the families and with what scores
            that know nothing give: shifted ones, and with a model those of its random weights.
        modisco: With ``de_novo``: whether TF-MoDISco reads the methods that know substitutions.
        floors: With ``de_novo``: scores of the same methods by other models that know nothing, by name.
        backgrounds: Shuffled sequences that each consensus is put into, at least 100.
        seed: Of halves, copies, backgrounds and resamples.
        out: Folder to save to, step by step; what is done there is not done again.
        progress: Called with parts done and all; how many ask the model is known once the second question is answered.
        announce: Called with each step that begins, and how much it is about: ``hits`` and ``used`` with a number of
            families, ``found`` and ``patterns`` with one of methods.
        share: What of it is done, with ``out``: ``"plan"`` or a `kmerit.store.Share`, which return None, or
            ``"gather"``; by default all. The bytes are the same.

    Raises:
        UsageError: Several classes and none named; scores of tokens; too few backgrounds; families, but no model.
        UnknownName: No such family or class.
        LabelError: No scores explain the class on sequences of it.
        SequenceError: Scores of other letters.
        FormatError: Not a MEME file.
        MissingExtra: memelite is not installed (extra ``motifs``).
        RunMismatch: ``out`` holds results of other scores, sequences or settings, or the plan is another.
        RunError: A share without a plan, or to be gathered before every share is there.

    Example:
        >>> import kmerit as km
        >>> model, sequences = km.load_model("bundled:promoter"), km.Sequences.from_strings(["TATAAAGGCGCGCC"], [1])
        >>> scores = km.attribute(model, sequences, ["rollout"], target=0)  # of the other class
        >>> km.motifs(scores, sequences, model)
        Traceback (most recent call last):
        kmerit.errors.LabelError: No scores explain class 1 on a sequence of that class. ...
    """
    if backgrounds < BACKGROUNDS:
        raise UsageError(f"backgrounds: expected {BACKGROUNDS} or more, got {backgrounds}.")
    if (modisco or floors) and not de_novo:
        raise UsageError("modisco and floors go with de_novo.")
    if families is not None and model is None:
        raise UsageError("families: these are what the model is asked about; give a model, too.")
    known = None if families is None and meme is None else read_families(None if meme is None else Path(meme))
    named = None if families is None or known is None else families_named(families, known)
    sequences = as_sequences(sequences)
    scores = _scores(attributions, sequences, label, model)
    lower = {name: _scores(each, sequences, label, model) for name, each in (floors or {}).items()}
    first = next(iter(scores.values()))
    rows = _rows(sequences, first, label)
    if any((each.target != first.target).any() for each in scores.values()):
        raise UsageError("The methods explain different classes. Attribute them with one target.")
    settings: dict[str, Any] = {
        "methods": list(scores),
        "label": rows.target,
        "database": {
            "file": (bundled_families() if meme is None else Path(meme)).name,
            "sha256": sha256(bundled_families() if meme is None else Path(meme)),
        },
        "source": database(meme),
        "families": named and list(named.values()),
        "model": None if model is None else model.digest,
        "problem": None if model is None else model.problem.value,
        "sequences": json_digest([sequences.names, sequences.digests]),
        "scores": json_digest({name: _digest(each) for name, each in scores.items()}),
        "de_novo": de_novo,
        "modisco": modisco,
        "floors": {name: json_digest({m: _digest(a) for m, a in each.items()}) for name, each in lower.items()},
        "backgrounds": backgrounds,
        "seed": seed,
        "rule": RULE,
        "budget": BUDGET,
        "hit": MATCH,
        "copies": COPIES,
        "candidates": CANDIDATES,
        "rate": RATE,
        "alike": ALIKE,
    }
    names = {
        "model": None if model is None else Path(model.name).name,
        "sequences": f"{len(sequences)} sequences, {sequences.names[0]} first",
        "scores": _name(attributions),
        **{f"floors.{name}": _name(each) for name, each in (floors or {}).items()},
    }
    asked = None if named is None else tuple(named)
    if out is None:
        if share is not None:
            raise UsageError("share: expected a folder (out) that the shares meet in, got none.")
        work = _Work(scores, sequences, model, rows, settings, meme, lower, None, progress, announce, asked=asked)
        return work.result()
    folder = Path(out)
    begun = read_record(folder / _PARTS / "settings.json") or {
        key: recorded(folder / "settings.json", key) for key in _COMPUTED_WITH
    }
    model = None if model is None else model.begun_with(begun, folder, "motifs with other settings").fitted(sequences)
    conditions = {name: version(name) for name in ("kmerit", "memelite")} | ({} if model is None else model.conditions)
    stored = StoredParts(folder / _PARTS, {**conditions, **settings}, folder)
    work = _Work(scores, sequences, model, rows, settings, meme, lower, folder, progress, announce, stored, asked)
    settled = {**settings, "names": recorded(folder / "settings.json", "names") or names}
    settled |= {} if model is None else {key: getattr(model, key) for key in _COMPUTED_WITH}
    check = partial(
        check_begun,
        folder / "settings.json",
        "motifs",
        {**settings, "names": names},
        free=_COMPUTED_WITH,
        own=lambda entry: entry.name in ("run", _PARTS),
    )
    if isinstance(share, Share):
        with stored.holding(share):
            check()
            stored.check("motifs")
            if read_record(folder / _ABOUT) is None:
                stored.need_plan()
                work.parts.make(share, progress)
        return None
    with hold(folder):
        finished = read_record(folder / _ABOUT) is not None
        if share == "gather" and not finished:
            stored.need_plan()
        check()
        stored.check("motifs")
        settle(folder / "settings.json", settled)
        if not finished:
            stored.plan()
        if share == "plan":
            return None
        stored.need_idle()
        if share == "gather" and not finished:
            stored.need_all(len(work.parts.parts))
        result = work.result()
        write_record(folder / _ABOUT, {"settings": settings})
        result._export(folder)
        stored.remove(["parquet"])
        return result


def _scores(
    attributions: Scores, sequences: Sequences, label: int | None, model: Model | None
) -> dict[str, Attribution]:
    """Read scores, and turn own ones into attributions of the class asked about."""
    from kmerit.attribution.own_scores import own_scores_of_class, read_scores

    if isinstance(attributions, str | os.PathLike):
        attributions = read_scores([attributions])
    if isinstance(attributions, Attribution):
        attributions = {attributions.method: attributions}
    if isinstance(attributions, Mapping) and not attributions:
        raise UsageError("motifs: there are no attributions.")
    known = {}
    if isinstance(attributions, Mapping):
        known = {name: each for name, each in attributions.items() if isinstance(each, Attribution)}
    methods: Mapping[str, Attribution] = known
    if not isinstance(attributions, Mapping) or len(known) < len(attributions):
        own = attributions
        if known:
            own = {name: each for name, each in attributions.items() if name not in known}
        by_method = own_scores_of_class(sequences, own, _class_of_own(sequences, label, model))
        order = attributions if known else by_method
        methods = {name: known[name] if name in known else by_method[name] for name in order}
    scores = {}
    for name, each in methods.items():
        if each.usable().level != "nucleotide":
            raise UsageError(
                f"Expected scores of nucleotides, got {each.level}s ({name}). Attribute at level 'nucleotide'."
            )
        scores[name] = each.of(sequences)
    return scores


def _name(attributions: Scores) -> str:
    """Call scores by their file, or by their methods."""
    if isinstance(attributions, Attribution):
        return attributions.method
    if isinstance(attributions, Mapping):
        return ", ".join(attributions)
    return Path(attributions).name if isinstance(attributions, str | os.PathLike) else "own scores"


def _class_of_own(sequences: Sequences, label: int | None, model: Model | None) -> int:
    """Say which class own scores explain: the one asked about; of values, the only one."""
    labels = sequences.labels
    if label is not None:
        if model is not None:
            model.output(label)
        return label
    if labels is not None and labels.ndim == 1 and labels.dtype.kind != "f":
        return int(labels.max())
    if (labels is not None and labels.ndim == 1) or (model is not None and model.n_classes == 1):
        return 0
    raise UsageError(
        "motifs: own scores do not say which class they explain, nor do these sequences. Name it: label= (--label)."
    )


def _digest(attribution: Attribution) -> str:
    import hashlib

    return hashlib.sha256(
        np.ascontiguousarray(attribution.scores).tobytes() + np.ascontiguousarray(attribution.target).tobytes()
    ).hexdigest()


@dataclass(eq=False)
class _Work:
    """The steps, each of which is a table that is read if an earlier call wrote it."""

    scores: Mapping[str, Attribution]
    sequences: Sequences
    model: Model | None
    rows: _Rows
    settings: Mapping[str, Any]
    meme: str | os.PathLike[str] | None
    floors: Mapping[str, Mapping[str, Attribution]]
    folder: Path | None
    progress: Progress | None
    announce: Announce | None = None
    stored: StoredParts | None = None
    asked: tuple[int, ...] | None = None
    _done: int = 0
    _total: int = 0

    def result(self) -> Motifs:
        self._total = sum(part.kind != "use" for part in self.parts.parts) + bool(self.settings["de_novo"])
        for step in (self._hits, self._enriched, self._found, self._used, self._patterns):
            self._once(step.__name__.lstrip("_"), step)
        families = self._tables["enriched"].join(self._tables["used"])
        relevant = families["enriched"].fillna(False).to_numpy(dtype=bool) | families["used"].fillna(False).to_numpy(
            dtype=bool
        )
        self._relevant = np.flatnonzero(relevant)
        methods, comparisons = self._comparisons()
        for name, table in (("methods", methods), ("comparisons", comparisons), ("families", families)):
            self._keep(name, table)
        if self.progress:
            self.progress(self._total, self._total)
        tables = self._tables
        return Motifs(
            families, tables["found"], methods, comparisons, tables["hits"], tables["patterns"], self.settings
        )

    def _say(self, step: str, count: int) -> None:
        if self.announce:
            self.announce(step, count)

    def _advance(self) -> None:
        self._done += 1
        if self.progress:
            self.progress(min(self._done, self._total), self._total)

    @cached_property
    def families(self) -> tuple[Family, ...]:
        return read_families(None if self.meme is None else Path(self.meme))

    @cached_property
    def parts(self) -> MotifParts:
        seed, use = int(self.settings["seed"]), None
        if self.model is not None:
            outside = ~self.rows.of_class if self.rows.labelled else np.ones(len(self.sequences), dtype=np.bool_)
            backgrounds = self.sequences.take(outside)
            use = Use(self.model, backgrounds, self.rows.target, int(self.settings["backgrounds"]), seed)
        own = self.sequences.take(np.flatnonzero(self.rows.explained))
        return MotifParts(self.families, self.sequences, own, seed, use, self.stored, self.asked, self._advance)

    @cached_property
    def clusters(self) -> Int64:
        from kmerit.trials.execution import clusters_of

        return np.asarray(clusters_of(self.sequences), dtype=np.int64)

    @cached_property
    def _tables(self) -> dict[str, pd.DataFrame]:
        return {}

    def _once(self, name: str, make: Callable[[], pd.DataFrame]) -> None:
        import pandas as pd

        if self.folder is None:
            self._tables[name] = make()
            return
        stages, file = Stages(self.folder), f"{name}.parquet"
        if stages.is_done(name):
            self._tables[name] = pd.read_parquet(self.folder / file)
            return
        self._tables[name] = make()
        _write_frame(self._tables[name], self.folder / file)
        stages.mark_done(name, [file])

    def _keep(self, name: str, table: pd.DataFrame) -> None:
        if self.folder is not None:
            _write_frame(table, self.folder / f"{name}.parquet")

    def _hits(self) -> pd.DataFrame:
        import pandas as pd

        self._say("hits", len(self.families))
        hits = self.parts.hits()
        is_turned = np.array([t for family in self.families for t in family.reverse], dtype=np.bool_)
        first = np.cumsum([0, *(len(family) for family in self.families)])[:-1]
        reverse = hits.reverse.astype(np.bool_) ^ is_turned[first[hits.group] + hits.member]
        names = np.array([each.name for family in self.families for each in family.motifs], dtype=object)
        identifiers = np.array([each.identifier for family in self.families for each in family.motifs], dtype=object)
        table = pd.DataFrame(
            {
                "family": hits.group,
                "motif": names[first[hits.group] + hits.member],
                "identifier": identifiers[first[hits.group] + hits.member],
                "sequence": hits.sequence,
                "name": np.array(self.sequences.names, dtype=object)[hits.sequence],
                "start": hits.start,
                "end": hits.end,
                "strand": np.where(reverse, "-", "+"),
                "score": hits.score,
                "p": hits.p,
            }
        )
        return table.assign(**_placed_hits(table, self.sequences))

    @cached_property
    def _spans(self) -> Spans:
        table = self._tables["hits"]
        column = {name: table[name].to_numpy(dtype=np.int64) for name in ("family", "sequence", "start", "end")}
        empty = np.zeros(len(table), dtype=np.int64)
        hits = Hits(
            column["family"],
            empty,
            column["sequence"],
            column["start"],
            column["end"],
            empty,
            table["score"].to_numpy(),
            table["p"].to_numpy(),
        )
        return Spans(*hits.merged(len(self.sequences)))

    def _enriched(self) -> pd.DataFrame:
        import pandas as pd

        names = pd.DataFrame(
            {
                "family": np.arange(len(self.families)),
                "name": [each.name for each in self.families],
                "members": [each.members for each in self.families],
                "identifier": [each.motif.identifier for each in self.families],
                "consensus": [decode(consensus(each.motif)) for each in self.families],
                "probabilities": [each.motif.probabilities.ravel().tolist() for each in self.families],
            }
        )
        present = np.zeros((len(self.sequences), len(self.families)), dtype=np.bool_)
        present[self._spans.sequence, self._spans.family] = True
        if not self.rows.labelled:
            counts = present[self.rows.of_class].sum(axis=0)
            return names.assign(sequences=counts, enriched=pd.array([None] * len(names), dtype="boolean"))
        gc = np.array([gc_count(bases) / len(bases) for bases in self.sequences.rows()])
        table = enrichment(present, self.rows.of_class, gc, self.clusters)
        return names.join(table.astype({"enriched": "boolean"}))

    def _found(self) -> pd.DataFrame:
        import pandas as pd

        self._say("found", len(self.scores))
        rows = np.flatnonzero(self.rows.explained)
        own_sequences = self.sequences.take(rows)
        clusters = np.unique(self.clusters[rows], return_inverse=True)[1].astype(np.int64)
        number = np.full(len(self.sequences), -1, dtype=np.int64)
        number[rows] = np.arange(len(rows))
        spans = self._spans
        kept = number[spans.sequence] >= 0
        own = Spans(spans.family[kept], number[spans.sequence[kept]], spans.start[kept], spans.end[kept])
        seed = int(self.settings["seed"])
        copies = [Spans(*copy) for copy in self.parts.copies()]
        longest = int(own_sequences.lengths.max())
        lines = lines_of({name: each.take(rows) for name, each in self.scores.items()})
        lines = [line._replace(scores=line.scores[:, :longest]) for line in lines]
        table = find(lines, own_sequences.lengths, clusters, own, copies, len(self.families), seed)
        table["contribution"] = pd.Series(self._contributions(table, lines, own_sequences, number), dtype=object)
        return table

    def _contributions(
        self, table: pd.DataFrame, lines: Sequence[Line], few: Sequences, number: Int64
    ) -> list[list[float] | None]:
        """Picture what was found: the scores at the letters of a family's first member, for claims only."""
        hits = self._tables["hits"]
        hits = hits.assign(sequence=number[hits["sequence"].to_numpy()])
        hits = hits[hits["sequence"] >= 0]
        bases, _ = few.padded()
        scores = {(line.method, line.part): line.scores for line in lines}
        pictures: list[list[float] | None] = []
        for row in each_row(table):
            motif = self.families[row.family].motif
            motif_hits = hits[hits["identifier"] == motif.identifier] if row.found else hits[:0]
            values = (
                contribution(scores[row.method, row.part], bases, motif_hits, len(motif)) if len(motif_hits) else None
            )
            pictures.append(None if values is None else values.ravel().tolist())
        return pictures

    def _used(self) -> pd.DataFrame:
        import pandas as pd

        table = pd.DataFrame(
            np.nan, index=range(len(self.families)), columns=["effect", "effect_low", "effect_high", "p_used"]
        ).assign(
            strand=pd.array([None] * len(self.families), dtype="string"),
            used=pd.array([None] * len(self.families), dtype="boolean"),
        )
        tests, enriched = self._tables["found"], self._tables["enriched"]["enriched"].fillna(False)
        families = sorted({*tests["family"][tests["tested"]], *enriched.index[enriched]})
        if self.asked is not None:
            families = list(self.asked)
        if self.model is None or not families:
            return table
        self._say("used", len(families))
        self._total += len(families)
        answers = used([self.families[i] for i in families], self.parts.changes(families))
        for name in table:
            table.loc[families, name] = answers[name].to_numpy()
        return table

    def _patterns(self) -> pd.DataFrame:
        import pandas as pd

        from kmerit.attribution.attribute import attribute
        from kmerit.attribution.method import methods as registered
        from kmerit.biology.seqlets import discover
        from kmerit.trials.checks import cascade, has_parts

        if not self.settings["de_novo"]:
            return pd.DataFrame(columns=["method", "source", "beyond"])
        self._say("patterns", len(self.scores))
        rows = np.flatnonzero(self.rows.explained)
        few = self.sequences.take(rows)
        floors = {name: {m: a.take(rows) for m, a in each.items()} for name, each in self.floors.items()}
        if self.model is not None and has_parts(self.model):
            *_, (_, ignorant) = cascade(self.model, int(self.settings["seed"]))
            names = [name for name in self.scores if name in registered()]
            floors["random weights"] = attribute(ignorant, few, names, self.rows.target)
        return discover(
            {name: each.take(rows) for name, each in self.scores.items()},
            few,
            self.families,
            floors=floors,
            modisco=bool(self.settings["modisco"]),
            seed=int(self.settings["seed"]),
        )

    def _comparisons(self) -> tuple[pd.DataFrame, pd.DataFrame]:
        rows = np.flatnonzero(self.rows.explained)
        longest = int(self.sequences.lengths.max())
        inside = np.zeros((len(self.sequences), longest), dtype=np.bool_)
        spans = self._spans
        for i in np.flatnonzero(np.isin(spans.family, self._relevant)):
            inside[spans.sequence[i], spans.start[i] : spans.end[i]] = True
        scores = {name: each.take(rows) for name, each in self.scores.items()}
        return compare_methods(
            scores,
            inside[rows][:, : next(iter(scores.values())).scores.shape[1]],
            self.clusters[rows],
            int(self.settings["seed"]),
        )


def sites(result: Motifs) -> pd.DataFrame:
    """Join the overlapping hits of each family of which anything is claimed: a row per site, named after the family.

    Returns:
        ``name`` of the sequence, ``start``, ``end``, ``motif`` (the family's name), ``strand`` and ``score`` of the
        best hit; in the order of the sequences.
    """
    hits = result.hits[result.hits["family"].isin(result.claimed)]
    hits = hits.sort_values(["family", "sequence", "start"], kind="stable")
    reach = hits.groupby(["family", "sequence"])["end"].cummax()
    same = (hits["family"] == hits["family"].shift()) & (hits["sequence"] == hits["sequence"].shift())
    number = (~same | (hits["start"] >= reach.shift(fill_value=0))).cumsum()
    names = result.families.set_index("family")["name"]
    best = hits.loc[hits.groupby(number)["score"].idxmax()]
    spans = hits.groupby(number).agg(start=("start", "min"), end=("end", "max"))
    table = best.assign(start=spans["start"].to_numpy(), end=spans["end"].to_numpy())
    table = table.assign(motif=names.loc[table["family"]].to_numpy())
    return table.sort_values(["sequence", "start", "family"], kind="stable").reset_index(drop=True)


def _placed_hits(table: pd.DataFrame, sequences: Sequences) -> dict[str, Any]:
    """Place hits on the genome; without a locus, on the sequence itself."""
    loci = sequences.loci or (None,) * len(sequences)
    lengths = sequences.lengths
    chrom = np.array(
        [name if locus is None else locus.chrom for name, locus in zip(sequences.names, loci, strict=True)],
        dtype=object,
    )
    offset = np.array([0 if locus is None else locus.start for locus in loci], dtype=np.int64)
    minus = np.array([locus is not None and locus.strand == "-" for locus in loci], dtype=np.bool_)
    at = table["sequence"].to_numpy()
    start, end = table["start"].to_numpy(), table["end"].to_numpy()
    reverse = minus[at]
    plus = table["strand"].to_numpy() == "+"
    return {
        "chrom": chrom[at],
        "chrom_start": offset[at] + np.where(reverse, lengths[at] - end, start),
        "chrom_end": offset[at] + np.where(reverse, lengths[at] - start, end),
        "chrom_strand": np.where(plus ^ reverse, "+", "-"),
    }


def _write_frame(table: pd.DataFrame, path: Path) -> None:
    with atomic_write(path) as part:
        table.to_parquet(part, index=False, compression="zstd")
