"""The data types: frozen, validated when made, the same axis names everywhere.

Positions are 0-based and half-open. Bases are numbered in the order ACGT = 0..3, N = 4.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from kmerit.alphabet import ALPHABET as ALPHABET
from kmerit.alphabet import N as N
from kmerit.alphabet import decode as decode
from kmerit.alphabet import encode as encode
from kmerit.errors import LabelError, SequenceError, UsageError, Withheld
from kmerit.logo import draw_logo
from kmerit.notebook import ShownAttribution, ShownCurve

if TYPE_CHECKING:
    import pyarrow as pa
    from matplotlib.axes import Axes

Int8 = NDArray[np.int8]
Int32 = NDArray[np.int32]
Int64 = NDArray[np.int64]
Bool = NDArray[np.bool_]
Float = NDArray[np.floating[Any]]
Floats = NDArray[np.float64]


class Locus(NamedTuple):
    """Where a sequence lies on a genome: 0-based, half-open."""

    chrom: str
    start: int
    end: int
    strand: str = "+"


@dataclass(frozen=True, eq=False)
class Sequences:
    """DNA sequences with names, and labels and loci where known.

    Attributes:
        names: One per sequence, distinct, not empty.
        bases: ``int8 [nucleotide]``, all sequences end to end; ACGT = 0..3, N = 4.
        offsets: ``int64 [sequence + 1]``; sequence ``i`` is ``bases[offsets[i]:offsets[i + 1]]``.
        labels: ``int64 [sequence]`` classes, ``float64 [sequence]`` values, or None.
        loci: ``Locus`` or None per sequence, or None if none is known.
    """

    names: tuple[str, ...]
    bases: Int8
    offsets: Int64
    labels: NDArray[Any] | None = None
    loci: tuple[Locus | None, ...] | None = None

    def __post_init__(self) -> None:
        n = len(self.names)
        if self.bases.dtype != np.int8 or self.bases.ndim != 1:
            raise SequenceError(f"bases: expected a flat int8 array, got {self.bases.dtype} {self.bases.shape}.")
        if self.offsets.shape != (n + 1,) or self.offsets[0] != 0 or self.offsets[-1] != self.bases.size:
            raise SequenceError(f"offsets: expected {n + 1} of them from 0 to {self.bases.size}.")
        lengths = np.diff(self.offsets)
        if n and lengths.min() < 1:
            raise SequenceError(f"{self.names[int(np.argmin(lengths))]!r} is empty; expected at least one nucleotide.")
        if self.bases.size and (self.bases.min() < 0 or self.bases.max() > N):
            raise SequenceError("bases: expected numbers 0..4 (A, C, G, T, N).")
        if len(set(self.names)) != n:
            twice = next(name for name, times in Counter(self.names).items() if times > 1)
            raise SequenceError(f"The name {twice!r} occurs twice; names must be distinct. Rename one of the records.")
        if self.labels is not None:
            if self.labels.shape != (n,):
                raise LabelError(f"Expected one label for each of {n} sequences, got {self.labels.shape}.")
            if self.labels.dtype not in (np.int64, np.float64):
                raise LabelError(f"Labels are {self.labels.dtype}; expected int64 (classes) or float64 (values).")
        if self.loci is not None and len(self.loci) != n:
            raise SequenceError(f"Expected one locus for each of {n} sequences, got {len(self.loci)}.")
        for array in (self.bases, self.offsets, self.labels):
            if array is not None:
                array.setflags(write=False)

    @classmethod
    def from_strings(
        cls,
        strings: Sequence[str],
        labels: Sequence[int] | Sequence[float] | NDArray[Any] | None = None,
        names: Sequence[str] | None = None,
        loci: Sequence[Locus | None] | None = None,
    ) -> Sequences:
        """Make sequences from strings.

        Args:
            strings: Upper-case letters of ``ACGTN``.
            labels: Whole numbers from 0 for classes, floats for regression.
            names: Distinct names; ``seq0``, ``seq1``, ... by default.
            loci: Where each lies, where known.

        Raises:
            SequenceError: Other letters, an empty string, a name that occurs twice.
            LabelError: Not one usable label per sequence.

        Example:
            >>> Sequences.from_strings(["ACGT", "TTT"], labels=[1, 0]).string(1)
            'TTT'
        """
        if isinstance(strings, str):
            raise SequenceError(f"Expected a list of strings, got one string. Write [{strings[:12]!r}].")
        named = tuple(f"seq{i}" for i in range(len(strings))) if names is None else tuple(names)
        if len(named) != len(strings):
            raise SequenceError(f"Expected one name for each of {len(strings)} sequences, got {len(named)}.")
        parts = [encode(text, name) for text, name in zip(strings, named, strict=True)]
        offsets = np.zeros(len(parts) + 1, dtype=np.int64)
        np.cumsum([part.size for part in parts], out=offsets[1:])
        bases = np.concatenate(parts) if parts else np.zeros(0, dtype=np.int8)
        return cls(named, bases, offsets, _labels(labels), None if loci is None else tuple(loci))

    def __len__(self) -> int:
        return len(self.names)

    def __iter__(self) -> Iterator[Int8]:
        return (self.bases[a:b] for a, b in zip(self.offsets[:-1], self.offsets[1:], strict=True))

    @property
    def lengths(self) -> Int64:
        """Nucleotides per sequence, ``int64 [sequence]``."""
        return np.diff(self.offsets)

    def string(self, i: int) -> str:
        """Spell sequence ``i``."""
        return decode(self.bases[self.offsets[i] : self.offsets[i + 1]])

    def strings(self) -> list[str]:
        """Spell all sequences."""
        return [decode(part) for part in self]

    def padded(self) -> tuple[Int8, Int64]:
        """Lay the sequences side by side.

        Returns:
            Bases ``int8 [sequence, position]`` with -1 as padding, and the lengths.
        """
        lengths = self.lengths
        out = np.full((len(self), int(lengths.max(initial=0))), -1, dtype=np.int8)
        out[np.arange(out.shape[1]) < lengths[:, None]] = self.bases
        return out, lengths

    def take(self, rows: NDArray[Any] | Sequence[int] | slice) -> Sequences:
        """Select sequences by index, slice or boolean mask, in the order asked."""
        index = np.arange(len(self))[rows]
        lengths = self.lengths[index]
        offsets = np.zeros(index.size + 1, dtype=np.int64)
        np.cumsum(lengths, out=offsets[1:])
        parts = [self.bases[self.offsets[i] : self.offsets[i + 1]] for i in index]
        return Sequences(
            tuple(self.names[i] for i in index),
            np.concatenate(parts) if parts else np.zeros(0, dtype=np.int8),
            offsets,
            None if self.labels is None else self.labels[index].copy(),
            None if self.loci is None else tuple(self.loci[i] for i in index),
        )


def _labels(labels: Sequence[int] | Sequence[float] | NDArray[Any] | None) -> NDArray[Any] | None:
    if labels is None:
        return None
    array = np.asarray(labels)
    if array.dtype.kind in "iub":
        return array.astype(np.int64)
    if array.dtype.kind == "f":
        return array.astype(np.float64)
    raise LabelError(f"Labels are {array.dtype}; expected whole numbers (classes) or floats (values).")


@dataclass(frozen=True, eq=False)
class Tokens:
    """What a tokeniser makes of a micro-batch.

    Attributes:
        ids: ``int64 [sequence, token]``, special tokens included.
        mask: ``bool [sequence, token]``, False on padding.
        spans: ``int32 [sequence, token, 2]``, half-open nucleotides under each token, empty for special tokens
            and padding.
    """

    ids: Int64
    mask: Bool
    spans: Int32

    def __post_init__(self) -> None:
        if self.ids.shape != self.mask.shape or self.spans.shape != (*self.ids.shape, 2):
            raise ValueError(f"ids {self.ids.shape}, mask {self.mask.shape}, spans {self.spans.shape} do not fit.")


@dataclass(frozen=True, eq=False)
class Attribution(ShownAttribution):
    """Signed scores of one method for every position of every sequence.

    Attributes:
        method: Its registered name.
        scores: ``[sequence, position]`` in the model's dtype; NaN on padding and where no token covers a nucleotide.
        level: ``"nucleotide"`` or ``"token"`` (then special tokens are included, in the order of the ids).
        target: ``int64 [sequence]``, the class explained.
        names: ``[sequence]``.
        signed: Whether negative scores mean evidence against the target.
        settings: What else determined the scores (target mode, projection, variant, dtype, micro-batch).
        diagnostics: Per sequence: ``relevance_sum``, ``zero``, ``undefined`` (0/0), ``nonfinite``, ``tie_share``, and
            ``delta``, by how much the sum of the scores misses what it should be, as a share of that, and
            ``micro_batch``, smaller than that of the settings where memory ran out.
        substitutions: ``[sequence, position, base]``, the change of the explained logit by each substitution, 0 for the
            base that is there; None where the method does not know.
        sequences: What was explained; None where scores were read from a file, which does not hold it.
    """

    method: str
    scores: Float
    level: str
    target: Int64
    names: tuple[str, ...]
    signed: bool = True
    settings: Mapping[str, Any] = field(default_factory=dict)
    diagnostics: Mapping[str, NDArray[Any]] = field(default_factory=dict)
    substitutions: Float | None = None
    sequences: Sequences | None = None

    def __post_init__(self) -> None:
        n = len(self.names)
        if self.level not in ("nucleotide", "token"):
            raise ValueError(f"level: expected 'nucleotide' or 'token', got {self.level!r}.")
        if self.scores.ndim != 2 or self.scores.shape[0] != n or self.target.shape != (n,):
            raise ValueError(f"scores {self.scores.shape}, target {self.target.shape} do not fit {n} sequences.")
        if any(values.shape != (n,) for values in self.diagnostics.values()):
            raise ValueError("diagnostics: expected one value per sequence.")
        if self.substitutions is not None and self.substitutions.shape != (*self.scores.shape, 4):
            raise ValueError(f"substitutions {self.substitutions.shape} do not fit scores {self.scores.shape}.")
        if self.sequences is not None and self.sequences.names != self.names:
            raise ValueError("sequences: expected those that the names name, in their order.")
        self.scores.setflags(write=False)

    def __len__(self) -> int:
        return len(self.names)

    @property
    def withheld(self) -> str | None:
        """Why the scores were withheld (they are NaN then), or None."""
        return self.settings.get("withheld")

    def usable(self) -> Attribution:
        """Give this attribution itself.

        Raises:
            Withheld: There are no scores to use.
        """
        if self.withheld is not None:
            raise Withheld(f"{self.method} was withheld: {self.withheld}. Leave it out, or give it more samples.")
        return self

    def plot(
        self, i: int, sequences: Sequences | None = None, start: int = 0, end: int | None = None, ax: Axes | None = None
    ) -> Axes:
        """Draw the scores of sequence ``i`` as a logo: its letters, as high as their scores.

        Args:
            i: Which of the sequences explained.
            sequences: Those sequences; needed where scores were read from a file, which does not hold the letters.
            start: First position drawn, 0-based.
            end: Position after the last one drawn; by default the sequence's end.
            ax: Where to draw; by default on a new figure, as wide as the letters need.

        Returns:
            The axes; ``ax.figure.savefig(...)`` writes the picture.

        Raises:
            UsageError: Scores of tokens, no sequences or others, or a window that is not inside the sequence.
            Withheld: The scores were withheld.
            MissingExtra: logomaker is not installed.

        Example:
            >>> import kmerit as km
            >>> sequences = km.Sequences.from_strings(["TATAAAGGCGCGCC"])
            >>> scores = km.attribute(km.load_model("bundled:promoter"), sequences, ["input_x_gradient"])
            >>> scores["input_x_gradient"].plot(0, end=8).get_title()
            'seq0: input_x_gradient'
        """
        sequences = self.sequences if sequences is None else sequences
        if sequences is None:
            raise UsageError("plot: these scores were read from a file, without letters. Give the sequences, too.")
        if self.level != "nucleotide" or sequences.names != self.names:
            raise UsageError(f"plot: expected scores of nucleotides, and the {len(self)} sequences explained.")
        letters = sequences.string(i)
        end = len(letters) if end is None else end
        if not 0 <= start < end <= len(letters):
            raise UsageError(f"plot: expected 0 <= start < end <= {len(letters)}, got {start} and {end}.")
        scores = self.usable().scores[i, start:end]
        return draw_logo(letters[start:end], scores, start, f"{self.names[i]}: {self.method}", ax)


ORDERS = ("morf", "lerf", "insertion")


@dataclass(frozen=True, eq=False)
class MutagenesisCurve(ShownCurve):
    """Raw outcomes of a mutagenesis trial; every summary is computed from these two tables.

    Attributes:
        mutants: One row per distinct mutant: ``id``, ``sequence`` (index), ``logits`` (list), ``tokens_changed``,
            ``gc`` (bases that are G or C), and ``positions_changed`` where an operator does not change exactly the
            positions chosen.
        cells: One row per cell of the design: ``method``, ``operator``, ``order`` (dictionary-encoded), ``n``
            (substitutions), ``full`` (whether this is the column "all"), ``draw``, ``sequence``, ``mutant`` (id).
        names: ``[sequence]``.
        labels: ``int64 [sequence]``, the true classes, or None.
        lengths: ``int64 [sequence]``.
        settings: Everything that determined the outcomes.
    """

    mutants: pa.Table
    cells: pa.Table
    names: tuple[str, ...]
    labels: Int64 | None
    lengths: Int64
    settings: Mapping[str, Any] = field(default_factory=dict)

    MUTANT_COLUMNS = ("id", "sequence", "logits", "tokens_changed", "gc")
    CELL_COLUMNS = ("method", "operator", "order", "n", "full", "draw", "sequence", "mutant")

    def __post_init__(self) -> None:
        for what, table, columns in (
            ("mutants", self.mutants, self.MUTANT_COLUMNS),
            ("cells", self.cells, self.CELL_COLUMNS),
        ):
            if tuple(name for name in table.column_names if name != "positions_changed") != columns:
                raise ValueError(f"{what}: expected columns {columns}, got {tuple(table.column_names)}.")
        if self.labels is not None and self.labels.shape != (len(self.names),):
            raise ValueError(f"labels {self.labels.shape} do not fit {len(self.names)} sequences.")
