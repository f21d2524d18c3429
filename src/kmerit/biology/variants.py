"""Variants: how a model's answer changes from the reference allele to another, and what each method predicted of that.

An allele is taken apart into what both alleles share and a core that differs. The window of the reference allele has
the core's first letter in its middle; that of the other allele begins at the same place and is as long, so that a
deletion draws in letters from the right and an insertion pushes some out.
"""

from __future__ import annotations

import json
import logging
import math
import os
import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple, overload

import numpy as np
from numpy.typing import NDArray

from kmerit.attribution.attribute import Target, attribute, check_methods, fixed_target, over_strands
from kmerit.attribution.method import Method
from kmerit.errors import FormatError, SequenceError, TargetError, UsageError, short
from kmerit.formats import Shown
from kmerit.io.genome import chromosome_key, genome_letters, open_genome
from kmerit.io.readers import SequencesLike, as_sequences
from kmerit.io.vcf import MISSING, BgzipWriter, Row, Vcf, with_fields, with_info
from kmerit.models.inference import check_strands, of_length
from kmerit.models.model import Model, window_of
from kmerit.results import Attribution, Problem
from kmerit.sequences import (
    Bool,
    Floats,
    Int8,
    Int64,
    Locus,
    N,
    Rows,
    Sequences,
    Strands,
    Tokens,
    encode,
    other_strand,
    reverse_complement,
)
from kmerit.store import (
    Share,
    StoredParts,
    Work,
    all_recorded,
    atomic_write,
    begin,
    check_begun,
    differences,
    hold,
    json_digest,
    read_proof,
    read_record,
    sha256,
    write_proof,
)

if TYPE_CHECKING:
    import pandas as pd
    import pyarrow as pa
    import pyfaidx


_LOG = logging.getLogger(__name__)
Progress = Callable[[int, int], None]

_TOGETHER, _LETTERS = 2048, 2**20
"""Alleles that are scored together, at most; and nucleotides of their windows."""
SETTINGS, SUMMARY = "variants.json", "summary.json"
TABLE, LEFT_OUT, ROWS = "variants.parquet", "left_out.csv", "variants.vcf.gz"
_PARTS = "parts"
_LETTERS_OF = frozenset("ACGT")
_AMBIGUOUS = frozenset("ACGTNRYSWKMBDHV")


class Reason(StrEnum):
    """Why an allele was left out."""

    NO_ALTERNATIVE = "no_alternative"
    SYMBOLIC = "symbolic_allele"
    STAR = "star_allele"
    BREAKEND = "breakend"
    UNREADABLE = "unreadable_allele"
    AMBIGUOUS = "ambiguous_allele"
    UNCHANGED = "no_change"
    POSITION = "position_below_1"
    CHROMOSOME = "chromosome_absent"
    PAST_END = "past_chromosome_end"
    MISMATCH = "reference_mismatch"
    TOO_LONG = "longer_than_window"
    WINDOW = "window_over_end"
    OUTSIDE = "outside_windows"
    UNKNOWN = "n_in_window"
    TOKENS = "too_many_tokens"


class Allele(NamedTuple):
    """One allele of a row against the reference: without the letters at either end that both share.

    Attributes:
        row: The row of the file.
        alt: The allele, as the file has it.
        start: Where the core begins, 0-based.
        ref: The core of the reference; empty for an insertion.
        new: What stands in its place; empty for a deletion.
        reason: Why it is left out; None if it is scored.
    """

    row: Row
    alt: str
    start: int
    ref: str
    new: str
    reason: Reason | None = None


class Cut(NamedTuple):
    """Both windows of an allele, as the model reads them.

    Attributes:
        locus: Of the reference's window.
        ref: ``int8 [position]``.
        new: ``int8 [position]``.
        ref_at: Where the core begins in the reference's window.
        new_at: Where it begins in the other one.
    """

    locus: Locus
    ref: Int8
    new: Int8
    ref_at: int
    new_at: int


@dataclass(frozen=True, eq=False)
class Variants(Shown, Rows[dict[str, Any]]):
    """What a model and its methods say of variants: a row per allele, in the order of the VCF.

    Attributes:
        table: ``chrom``, ``pos`` (1-based, as in the VCF), ``id``, ``ref``, ``alt``, ``line`` of the file;
            ``left_out``, why the allele was not scored (empty where it was); ``window_start``, ``window_end`` (0-based,
            half-open) and ``strand`` of the window; ``target``, the output that is explained; ``ref_logit``,
            ``alt_logit``, ``difference`` (alt - ref), ``probability_difference`` (NaN for values); ``tokens_changed``;
            ``resegmented``, whether tokens outside the variant were cut otherwise; and per method its prediction of the
            difference: the substitution's own change where the method gives it, else minus the score at the position.
        settings: What determined them.
        counts: Alleles left out, by reason.
    """

    table: pd.DataFrame
    settings: Mapping[str, Any]
    counts: Mapping[str, int]

    def __repr__(self) -> str:
        left_out = sum(self.counts.values())
        return f"<Variants: {len(self.table) - left_out:,} scored, {left_out:,} left out>"

    _what: ClassVar[str] = "allele"

    def _row_names(self) -> tuple[str, ...]:
        names = zip(*(self.table[name] for name in ("chrom", "pos", "ref", "alt")), strict=True)
        return tuple(f"{chrom}:{position}:{ref}>{alt}" for chrom, position, ref, alt in names)

    def _row(self, i: int) -> dict[str, Any]:
        return {str(name): value for name, value in self.table.iloc[i].items()}

    def to_frame(self) -> pd.DataFrame:
        """Return the table, a row per allele."""
        return self.table

    def take(self, rows: NDArray[Any] | Sequence[int] | slice) -> Variants:
        """Select alleles by index, slice or boolean mask, in the order asked; by name: ``["chr1:201:A>G"]``."""
        table = self.table.iloc[np.arange(len(self))[rows]].reset_index(drop=True)
        return replace(self, table=table, counts=_left_out(table))

    @classmethod
    def concat(cls, parts: Sequence[Variants]) -> Variants:
        """Put the variants of several files together; one model, its methods and options.

        Raises:
            UsageError: No part, or other settings.
        """
        import pandas as pd

        if not parts:
            raise UsageError("concat: expected at least one part, got none.")
        settings = [{key: value for key, value in part.settings.items() if key != "vcf"} for part in parts]
        for each in settings[1:]:
            for key, was, is_now in differences(settings[0], each):
                raise UsageError(f"concat: expected the same {key} in all parts, got {was!r} and {is_now!r}.")
        table = pd.concat([part.table for part in parts], ignore_index=True)
        return cls(table, settings[0] | {"vcf": [part.settings.get("vcf") for part in parts]}, _left_out(table))

    def save(self, folder: str | os.PathLike[str]) -> Path:
        """Write ``variants.parquet`` and ``variants.json`` (the settings) into a folder; `load` reads it.

        Raises:
            RunMismatch: The folder holds other variants.
        """
        place = Path(folder)
        with hold(place):
            begin(place / SETTINGS, "variants", self.settings, own=lambda path: False)
            with atomic_write(place / TABLE) as part:
                self.table.to_parquet(part, index=False, compression="zstd")
        return place

    @classmethod
    def load(cls, folder: str | os.PathLike[str]) -> Variants:
        """Read what `save`, or ``variants(out=...)``, wrote.

        Raises:
            FormatError: The folder does not hold that.
        """
        import pandas as pd
        import pyarrow as pa

        place = Path(folder)
        try:
            table = pd.read_parquet(place / TABLE)
            settings = json.loads((place / SETTINGS).read_text(encoding="utf-8"))
        except (OSError, ValueError, pa.ArrowException) as error:
            raise FormatError(f"{folder}: expected results of kmerit variants ({error}).") from None
        return cls(table, settings, _left_out(table))

    @property
    def loci(self) -> list[Locus | None]:
        """Window of each allele; None where it was left out."""
        columns = (self.table[name] for name in ("chrom", "window_start", "window_end", "strand", "left_out"))
        return [
            None if left_out else Locus(chrom, int(start), int(end), strand)
            for chrom, start, end, strand, left_out in zip(*columns, strict=True)
        ]


def _left_out(table: pd.DataFrame) -> dict[str, int]:
    """Count the alleles that were left out, by reason."""
    counts = Counter(str(reason) for reason in table["left_out"])
    return {reason: count for reason, count in sorted(counts.items()) if reason}


# --- alleles ----------------------------------------------------------------------------------------------------------


def alleles(row: Row) -> list[Allele]:
    """Split a row by its alleles, and say which have no letters to score.

    Example:
        >>> row = Row(9, "chr1", 4, ".", "CAG", ("CG", "CTG", "<DEL>"), "")
        >>> [(each.start, each.ref, each.new, each.reason and each.reason.value) for each in alleles(row)]
        [(5, 'A', '', None), (5, 'A', 'T', None), (4, 'CAG', '<DEL>', 'symbolic_allele')]
    """
    if not row.alts:
        return [Allele(row, MISSING, row.start, row.ref, "", Reason.NO_ALTERNATIVE)]
    return [_allele(row, alt) for alt in row.alts]


def _allele(row: Row, alt: str) -> Allele:
    new = alt.upper()
    reason: Reason | None = None
    if alt == "*":
        reason = Reason.STAR
    elif alt.startswith("<"):
        reason = Reason.SYMBOLIC
    elif {*"[]"} & set(alt) or alt.startswith(".") or alt.endswith("."):
        reason = Reason.BREAKEND if alt != MISSING else Reason.NO_ALTERNATIVE
    elif not new or not set(new) <= _AMBIGUOUS or not set(row.ref) <= _AMBIGUOUS:
        reason = Reason.UNREADABLE
    elif not set(new) | set(row.ref) <= _LETTERS_OF:
        reason = Reason.AMBIGUOUS
    elif new == row.ref:
        reason = Reason.UNCHANGED
    elif row.start < 0:
        reason = Reason.POSITION
    if reason is not None:
        return Allele(row, alt, row.start, row.ref, alt, reason)
    end = 0
    while end < min(len(row.ref), len(new)) and row.ref[-1 - end] == new[-1 - end]:
        end += 1
    ref, new = row.ref[: len(row.ref) - end], new[: len(new) - end]
    begins = 0
    while begins < min(len(ref), len(new)) and ref[begins] == new[begins]:
        begins += 1
    return Allele(row, alt, row.start + begins, ref[begins:], new[begins:])


class _Reference:
    """The genome that the rows are of, and the windows in it."""

    def __init__(self, path: Path, length: int | None, places: Sequence[Locus]) -> None:
        self.path, self.length = path, length
        self.genome: pyfaidx.Fasta = open_genome(path, None)
        self._keys: dict[str, str | None] = {}
        self._places: dict[str | None, list[Locus]] = {}
        for locus in places:
            self._places.setdefault(self.key(locus.chrom), []).append(locus)
        self._bounds = {
            key: np.array([(locus.start, locus.end) for locus in loci]) for key, loci in self._places.items()
        }

    @property
    def renamed(self) -> dict[str, str]:
        """Chromosomes that the genome calls otherwise."""
        return {chrom: key for chrom, key in self._keys.items() if key is not None and key != chrom}

    def key(self, chrom: str) -> str | None:
        if chrom not in self._keys:
            self._keys[chrom] = chromosome_key(self.genome, chrom)
        return self._keys[chrom]

    def size(self, chrom: str) -> int | None:
        """Nucleotides of a chromosome; None if there is none."""
        key = self.key(chrom)
        return None if key is None else len(self.genome[key])

    def check(self, allele: Allele) -> Allele:
        """Compare an allele's row with the genome."""
        if allele.reason is not None:
            return allele
        row, key = allele.row, self.key(allele.row.chrom)
        if key is None:
            return allele._replace(reason=Reason.CHROMOSOME)
        end = row.start + len(row.ref)
        if end > len(self.genome[key]):
            return allele._replace(reason=Reason.PAST_END)
        if genome_letters(self.genome, key, row.start, end, self.path) != row.ref:
            return allele._replace(reason=Reason.MISMATCH)
        return allele

    def cut(self, allele: Allele) -> Cut | Reason:
        """Cut both windows of a checked allele, or say why there are none."""
        key = str(self.key(allele.row.chrom))
        locus = self._window(allele, key)
        if isinstance(locus, Reason):
            return locus
        size, at = locus.end - locus.start, allele.start - locus.start
        if at + max(len(allele.ref), len(allele.new)) > size:
            return Reason.TOO_LONG
        more = max(0, len(allele.ref) - len(allele.new))
        if locus.start < 0 or locus.end + more > len(self.genome[key]):
            return Reason.WINDOW
        text = genome_letters(self.genome, key, locus.start, locus.end + more, self.path)
        letters = encode(text, str(locus))
        if (letters == N).any():
            return Reason.UNKNOWN
        ref, new = letters[:size], encode(text[:at] + allele.new + text[at + len(allele.ref) :])[:size]
        if locus.strand == "+":
            return Cut(locus, ref, new, at, at)
        ends = (size - at - len(core) for core in (allele.ref, allele.new))
        return Cut(locus, reverse_complement(ref), reverse_complement(new), *ends)

    def _window(self, allele: Allele, key: str) -> Locus | Reason:
        if self.length is not None:
            start = allele.start - self.length // 2
            return Locus(allele.row.chrom, start, start + self.length)
        if key not in self._places:
            return Reason.OUTSIDE
        start, end = self._bounds[key].T
        inside = np.flatnonzero((start <= allele.start) & (end >= allele.start + max(1, len(allele.ref))))
        if not inside.size:
            return Reason.OUTSIDE
        # The window in whose middle it is, of several.
        off = np.abs(start[inside] + end[inside] - 2 * allele.start)
        return self._places[key][int(inside[np.argmin(off)])]


# --- tokens -----------------------------------------------------------------------------------------------------------


def token_changes(
    ref: Tokens, new: Tokens, cuts: Sequence[Cut], cores: Sequence[tuple[int, int]]
) -> tuple[Int64, Bool]:
    """Count the tokens of each other window that the reference's does not have.

    A token is the same if it is the same word over the same nucleotides; those behind an insertion or a deletion are
    the same though they are shifted. Tokens over nucleotides that came in from the side do not count.

    Args:
        ref: Of the reference's windows.
        new: Of the others.
        cuts: The windows.
        cores: Nucleotides of the variant in each of both.

    Returns:
        ``int64 [row]`` tokens changed, and ``bool [row]`` whether tokens outside the variant were cut otherwise.
    """
    changed, resegmented = np.zeros(len(cuts), dtype=np.int64), np.zeros(len(cuts), dtype=np.bool_)
    if ref.ids.shape == new.ids.shape:
        alike = np.array([a == b for a, b in cores]) & (ref.spans == new.spans).all((1, 2))
        changed[alike] = (ref.ids[alike] != new.ids[alike]).sum(axis=1)
    else:
        alike = resegmented
    for i in np.flatnonzero(~alike).tolist():
        (ref_length, new_length), begins, size = cores[i], cuts[i].new_at, cuts[i].ref.size
        ends = begins + new_length
        left, right = cuts[i].ref_at - begins, cuts[i].ref_at + ref_length - ends
        words = dict(zip(map(tuple, ref.spans[i].tolist()), ref.ids[i].tolist(), strict=True))
        for word, (start, end) in zip(new.ids[i].tolist(), new.spans[i].tolist(), strict=True):
            if (start < ends and end > begins) or start < begins < end:  # over the variant, or over the gap
                changed[i] += left != right or words.get((start + left, end + left)) != word
                continue
            by = left if end <= begins else right
            if end > start and start + by >= 0 and end + by <= size:
                word_there = words.get((start + by, end + by))
                changed[i] += word_there != word
                resegmented[i] |= word_there is None
    return changed, resegmented


# --- scores -----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, eq=False)
class _Request:
    """What is asked of the model, checked."""

    model: Model
    methods: tuple[str | Method, ...]
    options: Mapping[str, Mapping[str, Any]]
    target: int | str
    strands: Strands

    @property
    def names(self) -> list[str]:
        return [each.name if isinstance(each, Method) else each for each in self.methods]

    @property
    def fields(self) -> dict[str, tuple[str, str]]:
        """INFO fields by name: their column, and the line of the header without its ID."""
        about = {
            "KM_REF": ("ref_logit", "Float", "Answer to the reference allele: logit, or value"),
            "KM_ALT": ("alt_logit", "Float", "Answer to the alternative allele: logit, or value"),
            "KM_DIFF": ("difference", "Float", "KM_ALT - KM_REF"),
            "KM_PDIFF": ("probability_difference", "Float", "Difference of the probability"),
            "KM_TARGET": ("target", "Integer", "Number of the output that is explained"),
            "KM_TOKENS": ("tokens_changed", "Integer", "Tokens of the alternative allele that the reference has not"),
            "KM_RESEG": ("resegmented", "Integer", "1 if tokens outside the variant were cut otherwise"),
            "KM_LEFT_OUT": ("left_out", "String", "Why the allele was not scored"),
            **{
                f"KM_{re.sub(r'[^0-9A-Za-z_]', '_', name).upper()}": (name, "Float", f"KM_DIFF as {name} predicts it")
                for name in self.names
            },
        }
        return {
            field: (column, f'Number=A,Type={kind},Description="{text}"')
            for field, (column, kind, text) in about.items()
        }

    @property
    def header(self) -> list[str]:
        """Lines of the header that declare the fields."""
        model = f"##kmerit=<model={self.model.digest},target={self.target},strands={self.strands}>"
        return [model, *(f"##INFO=<ID={field},{text}>" for field, (_, text) in self.fields.items())]

    def info(self, alleles_of_row: Sequence[Mapping[str, Any]]) -> dict[str, str]:
        """Write what a row's alleles got as INFO fields, a value for each allele; none of a row without alleles."""
        if alleles_of_row[0]["alt"] == MISSING:
            return {}
        values = {field: [_cell(each[column]) for each in alleles_of_row] for field, (column, _) in self.fields.items()}
        return {field: ",".join(cells) for field, cells in values.items() if set(cells) != {MISSING}}

    def score(self, checked: Sequence[Allele], reference: _Reference) -> pa.Table:
        """Score alleles; those that cannot be are in the table with the reason."""
        import pyarrow as pa

        results = [each.reason or reference.cut(each) for each in checked]
        pairs = [(i, each) for i, each in enumerate(results) if isinstance(each, Cut)]
        fitting = self._fitting([cut for _, cut in pairs])
        for (i, _), fits in zip(pairs, fitting, strict=True):
            if not fits:
                results[i] = Reason.TOKENS
        rows = [i for i, each in enumerate(results) if isinstance(each, Cut)]
        cuts = [each for each in results if isinstance(each, Cut)]
        values = self._values([checked[i] for i in rows], cuts) if cuts else {}
        columns: dict[str, Any] = {
            "chrom": [each.row.chrom for each in checked],
            "pos": [each.row.start + 1 for each in checked],
            "id": [each.row.id for each in checked],
            "ref": [each.row.ref for each in checked],
            "alt": [each.alt for each in checked],
            "line": [each.row.line for each in checked],
            "left_out": ["" if isinstance(each, Cut) else each.value for each in results],
        }
        for name, kind in self.schema.items():
            column = np.full(len(checked), None, dtype=object)
            if cuts:
                column[rows] = np.asarray(values[name]).tolist()
            columns[name] = pa.array(column.tolist(), kind)
        return pa.table(columns)

    @property
    def schema(self) -> dict[str, Any]:
        """The columns of what is scored."""
        import pyarrow as pa

        return {
            "window_start": pa.int64(),
            "window_end": pa.int64(),
            "strand": pa.string(),
            "target": pa.int32(),
            **dict.fromkeys(("ref_logit", "alt_logit", "difference", "probability_difference"), pa.float64()),
            "tokens_changed": pa.int32(),
            "resegmented": pa.bool_(),
            **dict.fromkeys(self.names, pa.float64()),
        }

    def _fitting(self, cuts: Sequence[Cut]) -> Bool:
        """Find the alleles whose windows have no more tokens than the model takes."""
        if not cuts:
            return np.zeros(0, dtype=np.bool_)
        tokens = self.model.tokenizer.survey(_sequences([cut.new for cut in cuts])).tokens
        return np.asarray(tokens <= self.model.max_tokens, dtype=np.bool_)

    def _logits(self, windows: Sequences) -> Floats:
        """Ask the model in whole micro-batches, the last one filled up with the last window.

        Matrix libraries keep memory for each batch size that they meet; odd ones would make it grow with a file.
        """
        bases = [*windows.rows()]
        more = -len(bases) % self.model.micro_batch
        batch = _sequences(bases + bases[-1:] * more, [*windows.names, *(f"filling {i}" for i in range(more))])
        return self.model.logits(batch)[: len(bases)].astype(np.float64)

    def _values(self, checked: Sequence[Allele], cuts: Sequence[Cut]) -> dict[str, Any]:
        index: dict[Locus, int] = {}
        owner = np.array([index.setdefault(cut.locus, len(index)) for cut in cuts])
        first = np.unique(owner, return_index=True)[1]
        refs = _sequences([cuts[i].ref for i in first], [str(locus) for locus in index])
        news = _sequences([cut.new for cut in cuts])
        both = Sequences.concat([refs, news])
        logits = self._logits(both)
        answers = self.model.problem.answer(logits)
        if self.strands == "both":
            back = self._logits(other_strand(both))
            answers, logits = (answers + self.model.problem.answer(back)) / 2, (logits + back) / 2
        target_rows = fixed_target(self.model, refs, self.target)
        target = (answers[: len(refs)].argmax(axis=1) if target_rows is None else target_rows)[owner]
        rows = len(refs) + np.arange(len(cuts))
        before, after = logits[owner, target], logits[rows, target]
        values = self.model.problem.are_values
        shift = np.full(len(cuts), np.nan) if values else answers[rows, target] - answers[owner, target]
        changed, resegmented = self._token_changes(checked, cuts)
        columns: dict[str, Any] = {
            "window_start": [cut.locus.start for cut in cuts],
            "window_end": [cut.locus.end for cut in cuts],
            "strand": [cut.locus.strand for cut in cuts],
            "target": target,
            "ref_logit": before,
            "alt_logit": after,
            "difference": after - before,
            "probability_difference": shift,
            "tokens_changed": changed,
            "resegmented": resegmented,
        }
        if self.methods:
            scores = self._attributions(refs, target[first])
            for name in self.names:
                columns[name] = [
                    predicted(scores, name, int(window), cut, len(allele.ref), len(allele.new))
                    for window, cut, allele in zip(owner, cuts, checked, strict=True)
                ]
        return columns

    def _attributions(self, refs: Sequences, target: Int64) -> Mapping[str, Attribution]:
        """Score the references' windows for their targets, on the strands asked for."""
        classes = self.model.problem is Problem.CLASSES
        labelled, of = (replace(refs, labels=target.astype(np.int64)), "label") if classes else (refs, self.target)
        forward = attribute(self.model, labelled, self.methods, of, options=self.options)
        if self.strands == "forward":
            return forward
        back = attribute(self.model, other_strand(labelled), self.methods, of, options=self.options)
        return {name: over_strands(each, back[name], refs.lengths) for name, each in forward.items()}

    def _token_changes(self, checked: Sequence[Allele], cuts: Sequence[Cut]) -> tuple[Int64, Bool]:
        parts = []
        for start in range(0, len(cuts), self.model.micro_batch):
            rows = slice(start, start + self.model.micro_batch)
            cores = [(len(each.ref), len(each.new)) for each in checked[rows]]
            before, after = (
                self.model.tokenize(*_sequences(windows).padded())
                for windows in ([cut.ref for cut in cuts[rows]], [cut.new for cut in cuts[rows]])
            )
            parts.append(token_changes(before, after, cuts[rows], cores))
        return np.concatenate([part[0] for part in parts]), np.concatenate([part[1] for part in parts])


def _sequences(windows: Sequence[Int8], names: Sequence[str] | None = None) -> Sequences:
    offsets = np.concatenate([[0], np.cumsum([window.size for window in windows])]).astype(np.int64)
    names = [f"variant {i}" for i in range(len(windows))] if names is None else names
    return Sequences(tuple(names), np.concatenate(windows), offsets)


def _cell(value: Any) -> str:
    """Write a value into INFO; what is missing is a dot."""
    if value is None or value == "" or value != value:
        return MISSING
    return f"{value:.6g}" if isinstance(value, float) else str(int(value) if isinstance(value, bool) else value)


def predicted(
    scores: Mapping[str, Attribution], name: str, row: int, cut: Cut, ref_length: int, new_length: int
) -> float:
    """Read a method's prediction of an allele's difference; NaN for an insertion, of whose letters no score knows.

    Args:
        scores: Of the reference's windows.
        name: Of the method.
        row: Of the window.
        cut: The windows.
        ref_length: Nucleotides of the variant in the reference's window.
        new_length: And in the other.
    """
    each, at = scores[name], slice(cut.ref_at, cut.ref_at + ref_length)
    if ref_length == 0 or new_length not in (0, ref_length):
        return float("nan")
    old, new = cut.ref[at], cut.new[cut.new_at : cut.new_at + new_length]
    if new_length and each.substitutions is not None:
        return float(each.substitutions[row, at][np.arange(ref_length), new].sum())
    deleted_or_other = np.ones(ref_length, dtype=np.bool_) if new_length == 0 else old != new
    return float(-each.scores[row, at][deleted_or_other].sum())


# --- a whole VCF ------------------------------------------------------------------------------------------------------


@overload
def variants(
    model: Model,
    vcf: str | Path,
    genome: str | Path,
    *,
    methods: Sequence[str | Method] = (),
    target: Target = "predicted",
    length: int | None = None,
    windows: SequencesLike | None = None,
    strands: Strands | None = None,
    skip_mismatches: bool = False,
    options: Mapping[str, Mapping[str, Any]] | None = None,
    out: None = None,
    progress: Progress | None = None,
) -> Variants: ...


@overload
def variants(
    model: Model,
    vcf: str | Path,
    genome: str | Path,
    *,
    methods: Sequence[str | Method] = (),
    target: Target = "predicted",
    length: int | None = None,
    windows: SequencesLike | None = None,
    strands: Strands | None = None,
    skip_mismatches: bool = False,
    options: Mapping[str, Mapping[str, Any]] | None = None,
    out: str | Path,
    progress: Progress | None = None,
    share: Work | None = None,
) -> Path: ...


def variants(
    model: Model,
    vcf: str | Path,
    genome: str | Path,
    *,
    methods: Sequence[str | Method] = (),
    target: Target = "predicted",
    length: int | None = None,
    windows: SequencesLike | None = None,
    strands: Strands | None = None,
    skip_mismatches: bool = False,
    options: Mapping[str, Mapping[str, Any]] | None = None,
    out: str | Path | None = None,
    progress: Progress | None = None,
    share: Work | None = None,
) -> Variants | Path:
    r"""Score the variants of a VCF: the model's answer to each allele, and the methods' predictions of the difference.

    The VCF is read twice, row by row: once to compare every row with the genome, once to score. Every allele that
    cannot be scored is in the results with its reason, see `Reason`. Rows may be in any order.

    Args:
        model: From ``load_model`` or ``wrap``; left as it was found.
        vcf: Plain, gzipped or bgzipped.
        genome: FASTA of the same assembly, plain or bgzipped; ``chr1`` and ``1`` are one chromosome.
        methods: Attribution methods that are to predict each difference, from the reference's window.
        target: Output to explain: ``predicted`` (of the reference allele), or a class, label or value by its number or
            its name.
        length: Nucleotides of a window, the variant in its middle; by default as many as the model takes or was trained
            on, where that is one number.
        windows: In place of ``length``: sequences with loci, of any reader. A variant is scored in the one in whose
            middle it lies, read on that one's strand.
        strands: ``both`` averages over each window and its reverse complement; the default without ``windows``, for the
            rows of a VCF have no strand. With windows the default is ``forward``: as these are read.
        skip_mismatches: Leave out rows whose REF is not what the genome has, instead of refusing the VCF.
        options: Of the methods.
        share: What of it is done, with ``out``: ``"plan"``, a `kmerit.store.Share` or ``"gather"``; by default all. The
            bytes are the same.
        out: Folder of the results, instead of holding them in memory: ``variants.vcf.gz`` (the rows as they are, with
            INFO fields ``KM_...``; bgzip), ``variants.parquet``, ``left_out.csv``, ``summary.json``. Stopped work
            resumes.
        progress: Called with (alleles done, alleles in all).

    Raises:
        FormatError: A file that cannot be read, a REF that the genome does not have, another assembly; or nothing is
            left to score.
        SequenceError: Windows without loci.
        UsageError: No length of windows can be told.
        TargetError: The model has no such output.
        RunMismatch: The folder holds other results.

    Example:
        >>> import tempfile
        >>> import kmerit as km
        >>> folder = Path(tempfile.mkdtemp())
        >>> _ = (folder / "g.fa").write_text(">chr1\n" + "ACGTTGCAGT" * 40 + "\n")
        >>> header = "##fileformat=VCFv4.2\n#CHROM\tPOS\tID\tREF\tALT\tQUAL\tFILTER\tINFO\n"
        >>> _ = (folder / "v.vcf").write_text(header + "1\t201\t.\tA\tG,AT\t.\t.\t.\n")
        >>> result = variants(km.load_model("bundled:promoter"), folder / "v.vcf", folder / "g.fa", target="promoter")
        >>> result.table[["chrom", "pos", "ref", "alt", "tokens_changed"]].values.tolist()
        [['1', 201, 'A', 'G', 6], ['1', 201, 'A', 'AT', 6]]
    """
    places = None if windows is None else _places(windows)
    strands = strands or ("both" if places is None else "forward")
    check_strands(strands)
    if target == "label":
        raise TargetError(
            "target: the rows of a VCF have no labels. Give a class by its number or name, or 'predicted'."
        )
    if places is not None and length is not None:
        raise UsageError("length: windows have their own lengths; leave out one of the two.")
    width = None if places is not None else _width(model) if length is None else length
    model, whole = model.of_target(target)
    if out is not None:
        begun = read_record(Path(out) / _PARTS / "settings.json") or all_recorded(Path(out) / SETTINGS)
        model = model.begun_with(begun, Path(out), "variants with other settings")
    model = model.fitted(of_length(width or max((locus.end - locus.start for locus in places or ()), default=1)))
    request = _Request(model, tuple(methods), options or {}, whole, strands)
    _check_request(request, width, places)
    rows, reference = Vcf.open(vcf), _Reference(Path(genome), width, places or [])
    if clash := sorted(set(request.fields) & rows.fields):
        raise FormatError(f"{vcf}: the header has the INFO field {clash[0]} already. Score the VCF without it.")
    total = _screen(rows, reference, skip_mismatches, set(request.fields))
    longest = width or max(locus.end - locus.start for locus in places or ())
    together = max(16, min(_TOGETHER, _LETTERS // longest))
    settings = {
        "vcf": sha256(Path(vcf)),
        "genome": sha256(Path(genome)),
        "model": model.digest,
        "problem": model.problem.value,
        "dtype": str(model.dtype).removeprefix("torch."),
        "micro_batch": model.micro_batch,
        "products": model.products,
        "methods": request.names,
        "options": {name: dict(each) for name, each in request.options.items()},
        "target": target,
        "length": width,
        "windows": None if places is None else json_digest([str(locus) for locus in places]),
        "strands": strands,
        "skip_mismatches": skip_mismatches,
        "together": together,
    }
    checked = (reference.check(allele) for row in rows.rows() for allele in alleles(row))
    blocks = _blocks(checked, together)
    if out is None:
        import pyarrow as pa

        tables, count = [], 0
        for block in blocks:
            tables.append(request.score(block, reference))
            count += len(block)
            if progress is not None:
                progress(count, total)
        table = pa.concat_tables(tables).to_pandas()
        counts = _check_some(Counter(table["left_out"]), rows.path)
        return Variants(table, settings, counts)
    folder, number_of_blocks = Path(out), math.ceil(total / together)
    parts = StoredParts(folder / _PARTS, {**settings, **model.conditions}, folder)

    def make(mine: Callable[[int], bool]) -> None:
        count = 0
        for number, block in enumerate(blocks):
            if mine(number) and not parts.done(number):
                _write_part(parts, number, request, block, reference)
            count += len(block)
            if progress is not None:
                progress(count, total)

    if isinstance(share, Share):
        with parts.holding(share):
            parts.check("variants")
            if read_proof(folder / SUMMARY) is None:
                parts.need_plan()
                make(lambda number: number in share)
            else:
                check_begun(folder / SETTINGS, "variants", settings)
        return folder
    with hold(folder):
        finished = read_proof(folder / SUMMARY) is not None
        if share == "gather" and not finished:
            parts.need_plan()
        begin(folder / SETTINGS, "variants", settings, own=lambda path: False)
        parts.check("variants")
        if finished:
            return folder
        parts.plan()
        if share == "plan":
            return folder
        parts.need_idle()
        if share == "gather":
            parts.need_all(number_of_blocks)
        make(lambda number: True)
        _finish(folder, parts, number_of_blocks, rows, request)
    return folder


def _places(windows: SequencesLike) -> list[Locus]:
    sequences = as_sequences(windows)
    missing = [name for i, name in enumerate(sequences.names) if sequences.loci is None or sequences.loci[i] is None]
    if missing:
        raise SequenceError(
            f"windows: {short(missing[0])} has no locus, so no variant can be placed in it. Read intervals (BED, a "
            f"table of chrom, start, end) with the genome, or letters with coordinates."
        )
    return [locus for locus in sequences.loci or () if locus is not None]


def _width(model: Model) -> int:
    """Find the one number of nucleotides that a model takes, or was trained on."""
    window = window_of(model)
    if window is not None:
        return window
    raise UsageError(
        f"length: {model.name} does not say how many nucleotides it was trained on. Give the windows' length "
        f"(length=, --length)."
    )


def _check_request(request: _Request, width: int | None, places: Sequence[Locus] | None) -> None:
    """Refuse what the model or a method cannot do, before anything is read."""
    names = {locus.end - locus.start: str(locus) for locus in places or ()}
    lengths = [width] if width is not None else sorted(names)
    if not lengths or lengths[0] < 1:
        raise UsageError(f"length: expected windows of at least 1 nt, got {lengths[0] if lengths else 'no window'}.")
    if lengths[0] < request.model.shortest:
        needs = f"{lengths[0]} nt; {request.model.family} needs at least {request.model.shortest}"
        raise UsageError(
            f"windows: {names[lengths[0]]} has {needs}. Leave such windows out."
            if names
            else f"length: got windows of {needs}."
        )
    draws, extremes = np.random.default_rng(0), sorted({lengths[0], lengths[-1]})
    windows = [draws.integers(0, 4, length).astype(np.int8) for length in extremes]
    probe = _sequences(windows, [names.get(length, "the window") for length in extremes])
    request.model.check(probe)
    fixed_target(request.model, probe, request.target)
    check_methods(request.model, probe, request.methods, request.target)


def _blocks(each: Iterable[Allele], size: int) -> Iterator[list[Allele]]:
    block: list[Allele] = []
    for allele in each:
        block.append(allele)
        if len(block) == size:
            yield block
            block = []
    if block:
        yield block


def _screen(rows: Vcf, reference: _Reference, skip_mismatches: bool, fields: set[str]) -> int:
    """Compare every row with the genome: refuse another assembly and other references; say what is taken as what."""
    total, mismatches, first, checked_count = 0, 0, "", 0
    chromosomes, ends, unsorted_line = set[str](), ("", -1), 0
    for row in rows.rows():
        if clash := sorted(fields & row.fields):
            raise FormatError(
                f"{rows.path}, line {row.line}: the row has the INFO field {clash[0]} already. Score the VCF "
                f"without it."
            )
        if row.chrom not in chromosomes:
            chromosomes.add(row.chrom)
            size, stated = reference.size(row.chrom), rows.contigs.get(row.chrom)
            if size is not None and stated is not None and stated != size:
                raise FormatError(
                    f"{rows.path}: the header gives {row.chrom} {stated:,} nt, {reference.path} has {size:,}: another "
                    f"assembly? Give the genome that the VCF was called on."
                )
        elif not unsorted_line and (row.chrom != ends[0] or row.start < ends[1]):
            unsorted_line = row.line
        ends = (row.chrom, row.start)
        for allele in alleles(row):
            total += 1
            reason = reference.check(allele).reason
            checked_count += reason in (None, Reason.MISMATCH)
            if reason is Reason.MISMATCH:
                mismatches += 1
                first = first or f"line {row.line}, {row.chrom}:{row.start + 1} {short(row.ref, 20)}"
    if not total:
        raise FormatError(f"{rows.path}: expected variants, found no row.")
    if mismatches and not skip_mismatches:
        hint = " Most do not: is it another assembly?" if 2 * mismatches > checked_count else ""
        raise FormatError(
            f"{rows.path}: REF of {mismatches:,} of {checked_count:,} alleles is not what {reference.path} has there, "
            f"first {first}.{hint} Leave them out with skip_mismatches=True (--skip-mismatches), which lists them."
        )
    if renamed := reference.renamed:
        chrom, key = next(iter(renamed.items()))
        _LOG.warning("The genome calls %s %s; such names are taken to be the same (%d).", chrom, key, len(renamed))
    if unsorted_line:
        _LOG.warning("%s is not sorted (line %d); the rows keep their order.", rows.path, unsorted_line)
    return total


def _check_some(left_out: Counter[str], path: Path) -> dict[str, int]:
    """Count the alleles left out, by reason; say so, and refuse a VCF of which none is left."""
    scored_count = left_out.pop("", 0)
    counts = dict(sorted(left_out.items()))
    reasons = ", ".join(f"{reason} {count:,}" for reason, count in counts.items())
    if not scored_count:
        raise FormatError(f"{path}: none of {sum(counts.values()):,} alleles can be scored: {reasons}.")
    if counts:
        _LOG.warning(
            "Left out %s of %s alleles: %s.",
            f"{sum(counts.values()):,}",
            f"{scored_count + sum(counts.values()):,}",
            reasons,
        )
    return counts


def _write_part(
    parts: StoredParts, number: int, request: _Request, block: Sequence[Allele], reference: _Reference
) -> None:
    """Score a block and write its table."""
    import pyarrow.parquet

    table = request.score(block, reference)
    with atomic_write(parts.path(number, "parquet")) as part:
        pyarrow.parquet.write_table(table, part, compression="zstd")
    parts.prove(number, ["parquet"], alleles=len(block))


def _finish(folder: Path, parts: StoredParts, count: int, rows: Vcf, request: _Request) -> None:
    """Join the parts: a table, the VCF with INFO fields, what was left out and how much; one part at a time."""
    import pandas as pd
    import pyarrow.parquet

    paths = [parts.path(number, "parquet") for number in range(count)]
    counts = Counter[str]()
    header = ["chrom", "pos", "id", "ref", "alt", "line", "left_out"]
    with (
        atomic_write(folder / TABLE) as table_path,
        atomic_write(folder / ROWS) as vcf_path,
        atomic_write(folder / LEFT_OUT) as list_path,
        vcf_path.open("wb") as raw,
        BgzipWriter(raw) as lines,
        list_path.open("w", encoding="utf-8", newline="") as listed,
    ):
        pd.DataFrame(columns=header).to_csv(listed, index=False, lineterminator="\n")
        lines.write("\n".join(with_fields(rows.header, request.header)) + "\n")
        source = rows.rows()
        row, mine = next(source), list[dict[str, Any]]()
        writer: Any = None
        for path in paths:
            table = pyarrow.parquet.read_table(path)
            writer = writer or pyarrow.parquet.ParquetWriter(table_path, table.schema, compression="zstd")
            writer.write_table(table)
            missed = table.select(header).to_pandas()
            missed[missed["left_out"] != ""].to_csv(listed, index=False, header=False, lineterminator="\n")
            for each in table.to_pylist():
                counts[each["left_out"]] += 1
                if each["line"] != row.line:
                    lines.write(with_info(row.text, request.info(mine)) + "\n")
                    row, mine = next(source), []
                mine.append(each)
        lines.write(with_info(row.text, request.info(mine)) + "\n")
        writer.close()
        _check_some(counts.copy(), rows.path)
    scored = counts.pop("", 0)
    about = {"alleles": scored + counts.total(), "scored": scored, "left_out": dict(sorted(counts.items()))}
    write_proof(folder / SUMMARY, [TABLE, LEFT_OUT, ROWS], about)
    parts.remove(["parquet"])
