"""What comes out: the scores of a method, and the raw outcomes of a trial."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from kmerit.errors import SequenceError, UsageError, Withheld
from kmerit.logo import draw_logo
from kmerit.notebook import ShownAttribution, ShownCurve
from kmerit.types.arrays import Bool, Float, Int64
from kmerit.types.identity import Identity
from kmerit.types.sequences import Sequences

if TYPE_CHECKING:
    import pyarrow as pa
    from matplotlib.axes import Axes


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
        diagnostics: Per sequence: ``relevance_sum``, ``zero``, ``undefined`` (0/0), ``nonfinite``, ``tie_share``,
            ``delta``, by how much the sum of the scores misses what it should be, as a share of that, and
            ``micro_batch``, smaller than that of the settings where memory ran out. Scores whose ``delta`` exceeds the
            ``tolerance`` of the settings are withheld: NaN.
        substitutions: ``[sequence, position, base]``, the change of the explained logit by each substitution, 0 for the
            base that is there; None where the method does not know.
        sequences: What was explained; None where scores were read from a file, which does not hold it.
        identity: Whose letters the scores belong to; None where only names are known.

    Example:
        >>> import kmerit as km
        >>> sequences = km.Sequences.from_strings(["TATAAAGGCGCGCC"])
        >>> rollout = km.attribute(km.load_model("bundled:promoter"), sequences, ["rollout"])["rollout"]
        >>> rollout.method, rollout.level, rollout.scores.shape, rollout.signed
        ('rollout', 'nucleotide', (1, 14), False)
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
    identity: Identity | None = None

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
        if self.sequences is not None and self.identity is None:
            object.__setattr__(self, "identity", Identity.of(self.sequences))
        if self.identity is not None:
            if self.identity.names != self.names:
                raise ValueError("identity: expected that of the sequences that the names name, in their order.")
            if self.level == "nucleotide":
                self._check_lengths(np.array([end - start for start, end, _ in self.identity.windows], dtype=np.int64))
        self.scores.setflags(write=False)

    def _check_lengths(self, lengths: Int64) -> None:
        """Refuse scores that reach beyond a sequence's letters, or end before them."""
        beyond = np.isfinite(self.scores) & (np.arange(self.scores.shape[1]) >= lengths[:, None])
        wrong = beyond.any(1) | (lengths > self.scores.shape[1])
        if wrong.any():
            i = int(np.argmax(wrong))
            raise SequenceError(
                f"The {self.method} scores of {self.names[i]!r} are not of its {lengths[i]} nucleotides. "
                f"Attribute these sequences."
            )

    def __len__(self) -> int:
        return len(self.names)

    @property
    def withheld(self) -> str | None:
        """Why scores were withheld (they are NaN then), and for how many sequences; None where none were."""
        return self.settings.get("withheld")

    @property
    def withheld_rows(self) -> Bool:
        """Whether the scores of each sequence were withheld, ``bool [sequence]``."""
        tolerance = self.settings.get("tolerance")
        if tolerance is None or "delta" not in self.diagnostics:
            return np.zeros(len(self), dtype=np.bool_)
        return np.asarray(~(self.diagnostics["delta"] <= tolerance))  # what is no number is not below it

    def take(self, rows: NDArray[Any] | Sequence[int]) -> Attribution:
        """Select sequences by index, in the order asked.

        Example:
            >>> import kmerit as km
            >>> sequences = km.Sequences.from_strings(["TATAAAGGCGCGCC", "ACGTTGCAACGG"])
            >>> scores = km.attribute(km.load_model("bundled:promoter"), sequences, ["rollout"])["rollout"]
            >>> scores.take([1]).names
            ('seq1',)
        """
        rows = np.arange(len(self))[rows]
        return replace(
            self,
            scores=self.scores[rows],
            target=self.target[rows],
            names=tuple(self.names[i] for i in rows),
            diagnostics={key: values[rows] for key, values in self.diagnostics.items()},
            substitutions=None if self.substitutions is None else self.substitutions[rows],
            sequences=None if self.sequences is None else self.sequences.take(rows),
            identity=None if self.identity is None else self.identity.take(rows),
        )

    def of(self, sequences: Sequences) -> Attribution:
        """Give the scores of these very sequences, in their order and under their names.

        Identity is by letters. Scores whose letters are not known, made by hand, go by names and lengths.

        Raises:
            SequenceError: Scores of other letters, other places on the genome, or other lengths.
            UsageError: Scores made by hand, for sequences of other names.

        Example:
            >>> import kmerit as km
            >>> sequences = km.Sequences.from_strings(["TATAAAGGCGCGCC", "ACGTTGCAACGG"])
            >>> scores = km.attribute(km.load_model("bundled:promoter"), sequences, ["rollout"])["rollout"]
            >>> scores.of(sequences.take([1, 0])).names
            ('seq1', 'seq0')
        """
        identity = self.identity
        if identity is None:
            if self.names != sequences.names:
                raise UsageError(
                    f"The {self.method} scores are not of these {len(sequences)} sequences; "
                    f"expected the {len(self)} sequences explained."
                )
            mine = self
        else:
            mine = self.take(identity.rows_of(sequences, repr(self.method)))
        return replace(mine, names=sequences.names, sequences=sequences, identity=None)

    def usable(self) -> Attribution:
        """Give this attribution itself.

        Raises:
            Withheld: There are no scores to use: those of every sequence were withheld.

        Example:
            >>> import numpy as np
            >>> settings = {"withheld": "median delta 3.0 % is above 1 %"}
            >>> scores, target = np.full((1, 4), np.nan), np.zeros(1, dtype=np.int64)
            >>> Attribution("expected_gradients", scores, "nucleotide", target, ("a",), settings=settings).usable()
            Traceback (most recent call last):
            kmerit.errors.Withheld: expected_gradients was withheld: median delta 3.0 % is above 1 %. ...
        """
        if self.withheld is not None and not np.isfinite(self.scores).any():
            raise Withheld(f"{self.method} was withheld: {self.withheld}. Leave it out, or give it more samples.")
        return self

    def plot(
        self, i: int, sequences: Sequences | None = None, start: int = 0, end: int | None = None, ax: Axes | None = None
    ) -> Axes:
        """Draw the scores of sequence ``i`` as a logo: its letters, as high as their scores.

        Args:
            i: Which of the sequences.
            sequences: Those sequences; needed where scores were read from a file, which does not hold the letters.
            start: First position drawn, 0-based.
            end: Position after the last one drawn; by default the sequence's end.
            ax: Where to draw; by default on a new figure, as wide as the letters need.

        Returns:
            The axes; ``ax.figure.savefig(...)`` writes the picture.

        Raises:
            UsageError: Scores of tokens, no sequences, or a window that is not inside the sequence.
            SequenceError: Other sequences than those explained.
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
        if self.level != "nucleotide":
            raise UsageError(f"plot: expected scores of nucleotides, got scores of {self.level}s.")
        these = self.of(sequences)
        these.take([i]).usable()
        letters = sequences.string(i)
        end = len(letters) if end is None else end
        if not 0 <= start < end <= len(letters):
            raise UsageError(f"plot: expected 0 <= start < end <= {len(letters)}, got {start} and {end}.")
        return draw_logo(letters[start:end], these.scores[i, start:end], start, f"{these.names[i]}: {self.method}", ax)


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

    Example:
        >>> import kmerit as km
        >>> model, sequences = km.load_model("bundled:promoter"), km.Sequences.from_strings(["TATAAAGGCGCGCC"])
        >>> scores = km.attribute(model, sequences, ["rollout"])
        >>> curve = km.mutate(model, sequences, scores, counts=[0, 2], replicates=1, random_sets=1)
        >>> curve.cells.num_rows, curve.mutants.column_names
        (4, ['id', 'sequence', 'logits', 'tokens_changed', 'gc'])
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
