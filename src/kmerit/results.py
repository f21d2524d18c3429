"""Results: attributions, outcomes and what a model answers; which sequences they belong to."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from enum import StrEnum
from functools import cached_property
from hashlib import sha256
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal, Self, overload

import numpy as np
from numpy.typing import NDArray

from kmerit.disk import AnyRows
from kmerit.errors import FormatError, NotFinite, SequenceError, UnknownName, UsageError, Withheld, short
from kmerit.formats import ShownAttribution, ShownOutcomes, draw_logo, frame_html, withheld
from kmerit.sequences import Bool, Float, Floats, Int64, Locus, Rows, Sequences, Several, Window, rows_of

if TYPE_CHECKING:
    import pandas as pd
    import pyarrow as pa
    from matplotlib.axes import Axes


@dataclass(frozen=True)
class Remark:
    """A code of a closed set, and the values that its sentence needs.

    Attributes:
        CODES: Of each kind of remark: every code, and the names of its values.
        code: What is remarked.
        values: Numbers and names, ready for JSON. Names of classes are those of the data, under ``class_name`` (one),
            ``class_names`` (several) and ``by_class`` (a value for each); a report may show others in their place.

    Raises:
        FormatError: A code that this kind of remark does not have, or other values than belong to it.

    Example:
        >>> class Note(Remark):
        ...     CODES = {"few": ("sequences",)}
        >>> Note("few", {"sequences": 3})
        Note(code='few', values={'sequences': 3})
        >>> Note("many", {"sequences": 3})
        Traceback (most recent call last):
        kmerit.errors.FormatError: Note: expected a code of few, got 'many'.
    """

    CODES: ClassVar[Mapping[str, tuple[str, ...]]] = {}

    code: str
    values: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        kind = type(self).__name__
        if self.code not in self.CODES:
            raise FormatError(f"{kind}: expected a code of {', '.join(self.CODES)}, got {self.code!r}.")
        if set(self.values) != set(self.CODES[self.code]):
            raise FormatError(
                f"{kind} {self.code}: expected the values {', '.join(self.CODES[self.code]) or '(none)'}, got "
                f"{', '.join(self.values) or '(none)'}."
            )


def codes(remarks: Iterable[Remark]) -> str:
    """List the codes of remarks with spaces between, each once: for a cell of a table.

    Example:
        >>> class Note(Remark):
        ...     CODES = {"few": (), "far": ()}
        >>> codes([Note("few"), Note("far"), Note("few")])
        'few far'
    """
    return " ".join(dict.fromkeys(each.code for each in remarks))


@dataclass(frozen=True, eq=False)
class Identity:
    """The sequences that scores belong to.

    Attributes:
        names: One per sequence.
        digests: sha256 of each one's letters.
        windows: Which part of what was read each one is.
        loci: ``Locus`` or None per sequence.

    Example:
        >>> left = Sequences.from_strings(["ACGT", "TTTA"], names=["a", "b"])
        >>> Identity.of(left).rows_of(left.take([1, 0]), "x.parquet").tolist()
        [1, 0]
        >>> Identity.of(left).rows_of(Sequences.from_strings(["ACGT", "TTTT"], names=["a", "b"]), "x.parquet")
        Traceback (most recent call last):
        kmerit.errors.SequenceError: x.parquet has scores of other letters than these of 'b'. ...
    """

    names: tuple[str, ...]
    digests: tuple[str, ...]
    windows: tuple[Window, ...]
    loci: tuple[Locus | None, ...]

    def __repr__(self) -> str:
        return f"<Identity of {len(self.names)} sequences>"

    @classmethod
    def of(cls, sequences: Sequences) -> Identity:
        """Identify sequences."""
        windows = sequences.windows or tuple(Window(0, n, n) for n in sequences.lengths.tolist())
        return cls(sequences.names, sequences.digests, windows, sequences.loci or (None,) * len(sequences))

    @classmethod
    def joined(cls, parts: Sequence[Identity]) -> Identity:
        """Concatenate the identities of consecutive sequences."""
        return cls(
            *(
                tuple(value for part in parts for value in getattr(part, field))
                for field in ("names", "digests", "windows", "loci")
            )
        )

    def take(self, rows: Int64) -> Identity:
        """Select by index, in the given order."""
        names, digests, windows, loci = (
            tuple(values[i] for i in rows) for values in (self.names, self.digests, self.windows, self.loci)
        )
        return Identity(names, digests, windows, loci)

    def matches(self, sequences: Sequences) -> bool:
        """Return whether these are the sequences, in their order: equal names, letters and, where known, loci."""
        other = Identity.of(sequences)
        same_letters = self.names == other.names and self.digests == other.digests
        return same_letters and all(
            one is None or two is None or one == two for one, two in zip(self.loci, other.loci, strict=True)
        )

    def rows_of(self, sequences: Sequences, what: str) -> Int64:
        """Find the rows of sequences among these, in any order: equal names, letters and loci.

        Args:
            sequences: What scores are asked for.
            what: Where these stand, for an error.

        Returns:
            ``int64 [sequence]``, the row of each.

        Raises:
            SequenceError: Another number of sequences, other names, letters or places on the genome.
        """
        identity = Identity.of(sequences)
        if len(self.names) != len(identity.names):
            raise SequenceError(
                f"{what} has scores of {len(self.names)} sequences; expected those of {len(identity.names)}. "
                f"Attribute these sequences."
            )
        at = {name: row for row, name in enumerate(self.names)}
        if unknown := set(identity.names) - set(at):
            i = next(i for i, name in enumerate(identity.names) if name in unknown)
            raise SequenceError(
                f"{what} has scores of {self.names[i]!r} where {identity.names[i]!r} is expected. "
                f"Attribute these very sequences."
            )
        rows = np.array([at[name] for name in identity.names], dtype=np.int64)
        for i, row in enumerate(rows.tolist()):
            if self.digests[row] != identity.digests[i]:
                raise self._other_letters(row, identity, i, what)
            given_locus, own_locus = self.loci[row], identity.loci[i]
            if given_locus is not None and own_locus is not None and given_locus != own_locus:
                raise SequenceError(
                    f"{what} has scores of {identity.names[i]!r} at {given_locus}; these letters are at {own_locus}. "
                    f"Give the coordinates that were attributed, or attribute these sequences."
                )
        return rows

    def _other_letters(self, row: int, identity: Identity, i: int, what: str) -> SequenceError:
        message = f"{what} has scores of other letters than these of {identity.names[i]!r}"
        if self.windows[row] != identity.windows[i]:
            return SequenceError(
                f"{message}: they were made with {self.windows[row]}, these are {identity.windows[i]}. "
                f"Crop as then, or attribute these sequences."
            )
        if identity.digests[i] in self.digests:
            message += f"; those stand under {self.names[self.digests.index(identity.digests[i])]!r} there"
        return SequenceError(f"{message}. Give the sequences that were attributed, or attribute these.")


class Problem(StrEnum):
    """What a model predicts.

    Example:
        >>> logits = np.array([[2.0, 2.0]])
        >>> Problem.CLASSES.answer(logits).tolist(), Problem.LABELS.answer(logits).round(2).tolist()
        ([[0.5, 0.5]], [[0.88, 0.88]])
        >>> Problem("values").are_values
        True
    """

    CLASSES = "classes"
    """One class of several: a softmax over the logits."""
    LABELS = "labels"
    """Several labels, each yes or no: a sigmoid of each logit."""
    VALUE = "value"
    """One value."""
    VALUES = "values"
    """Several values."""

    @property
    def are_values(self) -> bool:
        """Return whether the outputs are values, not logits."""
        return self in (Problem.VALUE, Problem.VALUES)

    def answer(self, logits: Float) -> Float:
        """Convert outputs ``[..., output]`` to predictions: probabilities, or the values themselves."""
        if self.are_values:
            return logits
        if self is Problem.LABELS:
            small = np.exp(-np.abs(logits))  # cannot overflow
            return np.asarray(np.where(logits < 0, small, 1) / (1 + small))
        odds = np.exp(logits - logits.max(axis=-1, keepdims=True))
        return np.asarray(odds / odds.sum(axis=-1, keepdims=True))


def value_name(label: str) -> str:
    """Name a value that a model predicts: ``y`` where the model has no name for it.

    Example:
        >>> value_name("expression"), value_name("LABEL_0")
        ('expression', 'y')
    """
    return "y" if label == "LABEL_0" else label


def task_digest(model: str, problem: str, output: int) -> str:
    """Compute the digest of one output of a model as a task of its own, from the model's own."""
    return sha256(f"{model} {problem} {output}".encode()).hexdigest()


FORWARD, BOTH, UNKNOWN = "forward", "both", "unknown"
"""Strands that scores were taken on: the sequence as it is, the mean over both, and what another program took."""


def strands_of(settings: Mapping[str, Any]) -> str:
    """Read from the settings of scores which strands they were taken on: ``forward``, ``both``, or ``unknown``.

    Own scores are unknown; scores that kmerit made before it wrote this down were on the forward strand, or say both.

    Example:
        >>> strands_of({"dtype": "float32"}), strands_of({"strands": "both"}), strands_of({"source": "own scores"})
        ('forward', 'both', 'unknown')
    """
    return str(settings.get("strands", FORWARD if "dtype" in settings else UNKNOWN))


ExportFormat = Literal["npz", "bed", "bedgraph", "bigwig"]
"""What scores are written as for other programs."""
Level = Literal["nucleotide", "token"]
"""Where scores live."""


@dataclass(frozen=True, eq=False)
class Attribution(ShownAttribution, Rows[Float]):
    """Signed scores of one method for every position of every sequence.

    Attributes:
        method: Its registered name.
        scores: ``[sequence, position]`` in the model's dtype; NaN on padding and where no token covers a nucleotide.
        level: ``"nucleotide"`` or ``"token"`` (then special tokens are included, in the order of the ids).
        target: ``int64 [sequence]``, the class explained.
        names: ``[sequence]``.
        signed: Whether negative scores mean evidence against the target.
        settings: What else determined the scores (target mode, projection, variant, dtype, micro-batch, strands).
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
        >>> rollout
        <Attribution rollout: 1 sequence x 14 nucleotides, unsigned>
        >>> rollout["seq0"].shape, rollout[0].shape, rollout[:1].names
        ((14,), (14,), ('seq0',))
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
        overhang = np.isfinite(self.scores) & (np.arange(self.scores.shape[1]) >= lengths[:, None])
        wrong_rows = overhang.any(1) | (lengths > self.scores.shape[1])
        if wrong_rows.any():
            i = int(np.argmax(wrong_rows))
            raise SequenceError(
                f"The {self.method} scores of {self.names[i]!r} are not of its {lengths[i]} nucleotides. "
                f"Attribute these sequences."
            )

    def __repr__(self) -> str:
        count = "1 sequence" if len(self) == 1 else f"{len(self)} sequences"
        reason = "" if self.withheld is None else f", withheld: {self.withheld}"
        what = f"{count} x {self.scores.shape[1]} {self.level}s, {'signed' if self.signed else 'unsigned'}"
        return f"<Attribution {self.method}: {what}{reason}>"

    def _row_names(self) -> tuple[str, ...]:
        return self.names

    def _row(self, i: int) -> Float:
        if self.level != "nucleotide" or self.identity is None:
            return np.asarray(self.scores[i])
        start, end, _ = self.identity.windows[i]
        return np.asarray(self.scores[i, : end - start])

    def to_frame(self) -> pd.DataFrame:
        """Return a row per nucleotide (or token): ``name``, ``target``, ``position``, ``letter`` if known, ``score``.

        Positions are 0-based. Padding has no row.

        Example:
            >>> import kmerit as km
            >>> scores = km.attribute(km.load_model("bundled:promoter"), ["TATAAAGGCGCGCC"], ["random"])
            >>> scores["random"].to_frame().head(2).drop(columns="score")
               name  target  position letter
            0  seq0       1         0      T
            1  seq0       1         1      A
        """
        import pandas as pd

        inside = self._inside()
        row, position = np.nonzero(inside)
        columns: dict[str, Any] = {
            "name": np.array(self.names, dtype=object)[row],
            "target": self.target[row],
            "token" if self.level == "token" else "position": position,
        }
        if self.level == "nucleotide" and self.sequences is not None:
            columns["letter"] = [letter for text in self.sequences.strings() for letter in text]
        return pd.DataFrame({**columns, "score": self.scores[inside]})

    def _inside(self) -> Bool:
        """Return which positions are inside a sequence, not padding, ``bool [sequence, position]``."""
        if self.level == "nucleotide" and self.identity is not None:
            lengths = np.array([end - start for start, end, _ in self.identity.windows], dtype=np.int64)
            return np.asarray(np.arange(self.scores.shape[1]) < lengths[:, None])
        finite = np.isfinite(self.scores)
        return np.asarray(np.logical_or.accumulate(finite[:, ::-1], axis=1)[:, ::-1])

    @classmethod
    def concat(cls, parts: Sequence[Attribution]) -> Attribution:
        """Concatenate the scores of one method for several sets of sequences.

        Args:
            parts: Of one method, level, model and options; their sequences have distinct names.

        Raises:
            UsageError: No part, or other methods, levels or settings.
            SequenceError: A name that occurs twice.

        Example:
            >>> import kmerit as km
            >>> model = km.load_model("bundled:promoter")
            >>> one, two = ({name: "TATAAAGGCGCGCC"} for name in "ab")
            >>> scores = [km.attribute(model, each, ["rollout"])["rollout"] for each in (one, two)]
            >>> km.Attribution.concat(scores).names
            ('a', 'b')
        """
        parts = _parts(parts, "Attribution", "substitutions", "Attributions.concat joins those of several methods")
        first: Attribution = parts[0]
        names = tuple(name for part in parts for name in part.names)
        for part in parts[1:]:
            for what in ("method", "level", "signed", "settings"):
                theirs, ours = (_comparable(getattr(each, what)) for each in (part, first))
                if theirs == ours:
                    continue
                if isinstance(ours, Mapping):
                    key = next(key for key in (*ours, *theirs) if ours.get(key) != theirs.get(key))
                    what, ours, theirs = f"{what}[{key!r}]", ours.get(key), theirs.get(key)
                raise UsageError(f"concat: expected the same {what} in all parts, got {ours} and {theirs}.")
        if len(set(names)) < len(names):
            raise SequenceError("concat: a name occurs twice; names must be distinct. Rename the sequences.")
        width = max(part.scores.shape[1] for part in parts)

        def padded(arrays: Sequence[Any], fill: float) -> Any:
            widen = [[(0, 0), (0, width - array.shape[1]), *[(0, 0)] * (array.ndim - 2)] for array in arrays]
            return np.concatenate(
                [np.pad(array, by, constant_values=fill) for array, by in zip(arrays, widen, strict=True)]
            )

        effects = [part.substitutions for part in parts if part.substitutions is not None]
        letters = [part.sequences for part in parts if part.sequences is not None]
        identities = [part.identity for part in parts if part.identity is not None]
        return replace(
            first,
            scores=padded([part.scores for part in parts], np.nan),
            target=np.concatenate([part.target for part in parts]),
            names=names,
            diagnostics={key: np.concatenate([part.diagnostics[key] for part in parts]) for key in first.diagnostics},
            substitutions=padded(effects, 0) if len(effects) == len(parts) else None,
            sequences=Sequences.concat(letters) if len(letters) == len(parts) else None,
            identity=Identity.joined(identities) if len(identities) == len(parts) else None,
        )

    def save(self, path: str | os.PathLike[str]) -> Path:
        """Write the scores to a Parquet file, as ``attribute(out=...)`` does; ``read_attributions`` reads it.

        Raises:
            UsageError: Scores whose letters are not known.

        Example:
            >>> import tempfile
            >>> import kmerit as km
            >>> scores = km.attribute(km.load_model("bundled:promoter"), ["TATAAAGGCGCGCC"], ["rollout"])["rollout"]
            >>> with tempfile.TemporaryDirectory() as folder:
            ...     km.read_attributions(scores.save(f"{folder}/scores.parquet"))["rollout"].names
            ('seq0',)
        """
        return Attributions({self.method: self}).save(path)

    @classmethod
    def load(cls, path: str | os.PathLike[str], method: str | None = None) -> Attribution:
        """Read the scores of one method from a file, by its name where there are several.

        Raises:
            UsageError: The file has scores of several methods, and none was named.
            UnknownName: A method that the file does not have.

        Example:
            >>> import tempfile
            >>> import kmerit as km
            >>> scores = km.attribute(km.load_model("bundled:promoter"), ["TATAAAGGCGCGCC"], ["rollout"])["rollout"]
            >>> with tempfile.TemporaryDirectory() as folder:
            ...     km.Attribution.load(scores.save(f"{folder}/scores.parquet"))
            <Attribution rollout: 1 sequence x 14 nucleotides, unsigned>
        """
        by_method = Attributions.load(path)
        if method is None and len(by_method) > 1:
            raise UsageError(f"{path} has scores of {', '.join(by_method)}. Name one: load(path, method=...).")
        return by_method[next(iter(by_method)) if method is None else method]

    @property
    def strands(self) -> str:
        """Return the strands that the scores were taken on: ``forward``, ``both``, or ``unknown`` of own scores."""
        return strands_of(self.settings)

    @property
    def withheld(self) -> str | None:
        """Why scores were withheld (they are NaN then), and for how many sequences; None where none were.

        The settings have the numbers: ``sequences`` withheld ``of`` all, the ``median`` and the ``highest`` delta, and
        the ``tolerance``. Files of earlier versions have the text.
        """
        numbers = self.settings.get("withheld")
        return withheld(**numbers) if isinstance(numbers, Mapping) else numbers

    @property
    def withheld_rows(self) -> Bool:
        """Return whether the scores of each sequence were withheld, ``bool [sequence]``."""
        tolerance = self.settings.get("tolerance")
        if tolerance is None or "delta" not in self.diagnostics:
            return np.zeros(len(self), dtype=np.bool_)
        return np.asarray(~(self.diagnostics["delta"] <= tolerance))  # what is no number is not below it

    def take(self, rows: NDArray[Any] | Sequence[int] | slice) -> Attribution:
        """Select sequences by index, slice or boolean mask, in the order asked.

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
        """Return the scores of the given sequences, in their order and under their names.

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
            attribution = self
        else:
            attribution = self.take(identity.rows_of(sequences, repr(self.method)))
        return replace(attribution, names=sequences.names, sequences=sequences, identity=None)

    def usable(self) -> Attribution:
        """Return this attribution itself.

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
        self,
        i: int | str,
        sequences: Sequences | None = None,
        start: int = 0,
        end: int | None = None,
        ax: Axes | None = None,
    ) -> Axes:
        """Draw the scores of sequence ``i`` as a logo: its letters, as high as their scores.

        Args:
            i: Which of the sequences, by its number or name.
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
        attribution = self.of(sequences)
        i = int(np.ravel(rows_of(i, attribution.names))[0])
        attribution.take([i]).usable()
        letters = sequences.string(i)
        end = len(letters) if end is None else end
        if not 0 <= start < end <= len(letters):
            raise UsageError(f"plot: expected 0 <= start < end <= {len(letters)}, got {start} and {end}.")
        return draw_logo(
            letters[start:end], attribution.scores[i, start:end], start, f"{attribution.names[i]}: {self.method}", ax
        )


def _parts(parts: Any, kind: str, attribute: str, other: str) -> list[Any]:
    """List the parts that are to be concatenated.

    Args:
        parts: A list of them.
        kind: What each is.
        attribute: What each has, and no other result.
        other: What joins those of the other kind.

    Raises:
        UsageError: No part, or something else than such parts.
    """
    if isinstance(parts, Mapping | Attribution | str) or not isinstance(parts, Iterable):
        raise UsageError(f"concat: expected a list of {kind}, got {short(parts)}. {other}.")
    listed = list(parts)
    if not listed:
        raise UsageError("concat: expected at least one part, got none.")
    for i, part in enumerate(listed):
        if not hasattr(part, attribute):
            raise UsageError(f"concat: expected {kind} in all parts, got {short(part)} in part {i}. {other}.")
    return listed


def _comparable(value: Any) -> Any:
    """Leave out of settings what differs from part to part: how many scores were withheld, what a check found."""
    if not isinstance(value, Mapping):
        return value
    compared = {key: each for key, each in value.items() if key not in ("withheld", "check", "strand_change")}
    return compared | ({"strands": strands_of(value)} if value else {})  # older files do not say "forward"


class Attributions(dict[str, Attribution]):
    """Attributions of several methods for the same sequences, by name of the method.

    Raises:
        UsageError: A value that is no `Attribution`, here or when one is added. ``{**scores, "mine": array}`` is a
            plain dict, which `trial` and `mutate` take.

    Example:
        >>> import kmerit as km
        >>> scores = km.attribute(km.load_model("bundled:promoter"), ["TATAAAGGCGCGCC"], ["rollout", "random"])
        >>> scores
        <Attributions of 1 sequence: rollout, random>
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__()
        self.update(*args, **kwargs)

    def __setitem__(self, method: str, attribution: Attribution) -> None:
        if not isinstance(method, str):
            raise UsageError(f"Attributions: expected the name of a method as key, got {short(method)}.")
        if not isinstance(attribution, Attribution):
            raise UsageError(
                f"Attributions[{method!r}]: expected an Attribution, got {type(attribution).__name__}. Convert "
                f"scores of your own: km.own_scores(model, sequences, {{{method!r}: scores}})[{method!r}]."
            )
        super().__setitem__(method, attribution)

    def update(self, *args: Any, **kwargs: Any) -> None:
        """Add attributions, checked as one that is set.

        Example:
            >>> import kmerit as km
            >>> scores = km.attribute(km.load_model("bundled:promoter"), ["TATAAAGGCGCGCC"], ["random"])
            >>> scores.update({"mine": [[0.5] * 14]})
            Traceback (most recent call last):
            kmerit.errors.UsageError: Attributions['mine']: expected an Attribution, got list. ...
        """
        added = dict(*args, **kwargs)
        for method, attribution in added.items():
            self[method] = attribution

    def setdefault(self, method: str, default: Any = None) -> Attribution:
        """Return the scores of a method; where there are none, add the given ones."""
        if method not in self:
            self[method] = default
        return self[method]

    def __ior__(self, other: Any) -> Self:  # type: ignore[override,misc]  # as update, and checked
        self.update(other)
        return self

    def __repr__(self) -> str:
        if not self:
            return "<Attributions: none>"
        count = len(next(iter(self.values())))
        return f"<Attributions of {count} sequence{'' if count == 1 else 's'}: {', '.join(self)}>"

    def _repr_html_(self) -> str:
        return "".join(each._repr_html_() for each in self.values())

    @overload
    def __getitem__(self, key: str) -> Attribution: ...

    @overload
    def __getitem__(self, key: slice | list[int] | list[str] | NDArray[Any]) -> Attributions: ...

    def __getitem__(self, key: str | slice | list[int] | list[str] | NDArray[Any]) -> Attribution | Attributions:
        """Return the scores of one method by its name; or of all for some sequences, by a slice, a list or a mask."""
        return self.take(key) if isinstance(key, slice | list | np.ndarray) else super().__getitem__(key)

    def __missing__(self, method: object) -> Attribution:
        if isinstance(method, int | np.integer) and not isinstance(method, bool):
            example = repr(next(iter(self), "METHOD"))
            raise UsageError(
                f"[{method}]: expected the name of a method ({', '.join(self) or 'there are none'}); sequences are "
                f"numbered within one: [{example}][{method}]. All methods of some sequences: [[{method}]]."
            )
        if not isinstance(method, str):
            raise UsageError(
                f"Expected the name of a method ({', '.join(self) or 'there are none'}), or a slice, a list or a mask "
                f"of sequences, got {short(method)}."
            )
        raise UnknownName("method of these attributions", method, self)

    def take(self, rows: Several) -> Attributions:
        """Select sequences for every method, by number, name, slice or boolean mask, in the order asked.

        Example:
            >>> import kmerit as km
            >>> scores = km.attribute(km.load_model("bundled:promoter"), ["TATAAAGGCGCGCC", "ACGTTGCAACGG"], ["random"])
            >>> scores.take([1])["random"].names
            ('seq1',)
        """
        return Attributions(
            {method: each.take(np.atleast_1d(rows_of(rows, each.names))) for method, each in self.items()}
        )

    @classmethod
    def concat(cls, parts: Sequence[Mapping[str, Attribution]]) -> Attributions:
        """Concatenate the scores of the same methods for several sets of sequences; see `Attribution.concat`.

        Raises:
            UsageError: No part, or other methods.

        Example:
            >>> import kmerit as km
            >>> model = km.load_model("bundled:promoter")
            >>> parts = [km.attribute(model, {name: "TATAAAGGCGCGCC"}, ["random"]) for name in "ab"]
            >>> Attributions.concat(parts)
            <Attributions of 2 sequences: random>
        """
        parts = _parts(parts, "Attributions", "items", "Attribution.concat joins the scores of one method")
        if len({frozenset(part) for part in parts}) != 1:
            methods = " and ".join(", ".join(part) for part in parts)
            raise UsageError(f"concat: expected the same methods in all parts, got {methods}.")
        return cls({method: Attribution.concat([part[method] for part in parts]) for method in parts[0]})

    def to_frame(self) -> pd.DataFrame:
        """Return a row per nucleotide, and a column for the scores of each method.

        Raises:
            UsageError: Methods of other sequences or levels, or none; take the frame of each.

        Example:
            >>> import kmerit as km
            >>> scores = km.attribute(km.load_model("bundled:promoter"), ["TATAAAGGCGCGCC"], ["rollout", "random"])
            >>> scores.to_frame().columns.tolist()
            ['name', 'target', 'position', 'letter', 'rollout', 'random']
        """
        if not self:
            raise UsageError("to_frame: there are no attributions.")
        first = next(iter(self.values()))
        for name, each in self.items():
            if (each.names, each.level) != (first.names, first.level) or (each.target != first.target).any():
                raise UsageError(
                    f"to_frame: {name!r} is of other sequences, targets or tokens. Take the frame of each."
                )
        table = first.to_frame().drop(columns="score")
        inside = first._inside()
        for name, each in self.items():
            table[name] = each.scores[:, : inside.shape[1]][inside]
        return table

    def save(self, path: str | os.PathLike[str]) -> Path:
        """Write the scores of all methods to one Parquet file, as ``attribute(out=...)`` does.

        Raises:
            UsageError: Scores whose letters are not known, or methods of other sequences.

        Example:
            >>> import tempfile
            >>> import kmerit as km
            >>> scores = km.attribute(km.load_model("bundled:promoter"), ["TATAAAGGCGCGCC"], ["rollout", "random"])
            >>> with tempfile.TemporaryDirectory() as folder:
            ...     km.read_attributions(scores.save(f"{folder}/scores.parquet"))
            <Attributions of 1 sequence: rollout, random>
        """
        # Files are written above this floor, and a result does not know of them before it is written.
        target_path: Path = import_module("kmerit.io.scores").save(self, path)
        return target_path

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> Attributions:
        """Read the scores of all methods from a file, as `read_attributions` does.

        Example:
            >>> import tempfile
            >>> import kmerit as km
            >>> scores = km.attribute(km.load_model("bundled:promoter"), ["TATAAAGGCGCGCC"], ["rollout", "random"])
            >>> with tempfile.TemporaryDirectory() as folder:
            ...     Attributions.load(scores.save(f"{folder}/scores.parquet"))
            <Attributions of 1 sequence: rollout, random>
        """
        attributions: Attributions = import_module("kmerit.io.scores").read_attributions(path)
        return attributions


class Predictions(np.ndarray[Any, np.dtype[np.floating[Any]]]):
    """What a model predicts, ``[sequence, output]``: a NumPy array that knows its rows and columns.

    Some sequences by a slice, a list or a mask keep their names, and so do copies; what is computed of predictions, or
    selected of their outputs, is an array without names.

    Attributes:
        names: Of the sequences.
        labels: Of the outputs.
        settings: How it was made: the model's digest, ``problem``, ``strands``.

    Example:
        >>> import kmerit as km
        >>> odds = km.load_model("bundled:promoter").predict({"a": "TATAAAGGCGCGCC"})
        >>> odds.to_frame().columns.tolist()
        ['name', 'predicted', 'p(background)', 'p(promoter)']
    """

    names: tuple[str, ...]
    labels: tuple[str, ...]
    settings: Mapping[str, Any]

    @classmethod
    def of(cls, values: Float, names: Sequence[str], labels: Sequence[str], settings: Mapping[str, Any]) -> Predictions:
        """Name the rows and columns of an array ``[sequence, output]``.

        Example:
            >>> Predictions.of(np.array([[0.5]]), ["a"], ["activity"], {"problem": "value"}).to_frame().columns.tolist()
            ['name', 'value']
        """
        result = np.asarray(values).view(cls)
        result.names, result.labels, result.settings = tuple(names), tuple(labels), settings
        return result

    def __getitem__(self, key: Any) -> Any:
        """Return what NumPy would; a sequence can be named, and so can an output: ``["seq0", "promoter"]``.

        Several sequences, by a slice, a list or a mask, are predictions with their names.
        """
        values, named = np.asarray(self), hasattr(self, "names")
        if named and isinstance(key, tuple):
            axes = ((self.names, "sequence"), (self.labels, "output"))
            key = (*(_place(part, *axis) for part, axis in zip(key, axes, strict=False)), *key[2:])
        elif named:
            key = _place(key, self.names, "sequence")
            key = np.zeros(0, dtype=np.int64) if isinstance(key, list) and not key else key
            if isinstance(key, slice) or (isinstance(key, list | range | np.ndarray) and np.ndim(key) == 1):
                return self._of_rows(values[key], np.arange(len(self.names))[key].tolist())
        chosen = values[key]
        return chosen.view(Predictions) if isinstance(chosen, np.ndarray) else chosen

    def _of_rows(self, values: Any, rows: Iterable[int]) -> Predictions:
        return Predictions.of(values, [self.names[i] for i in rows], self.labels, self.settings)

    def copy(self, order: Any = "C") -> Predictions:
        """Copy it, with its names."""
        values = np.array(self, order=order)
        return self._of_rows(values, range(len(self.names))) if hasattr(self, "names") else values.view(Predictions)

    def __copy__(self) -> Predictions:
        return self.copy()

    def __deepcopy__(self, memo: Any) -> Predictions:
        return self.copy()

    def __array_wrap__(self, array: Any, context: Any = None, return_scalar: bool = False) -> Any:
        return array[()] if return_scalar else np.asarray(array)

    def __reduce__(self) -> Any:
        if not hasattr(self, "names"):
            return np.asarray(self).__reduce__()
        return Predictions.of, (np.array(self), self.names, self.labels, dict(self.settings))

    def __repr__(self) -> str:
        with np.printoptions(threshold=_MOST_NUMBERS):
            return repr(np.asarray(self))

    def _repr_html_(self) -> str | None:
        return frame_html(f"Predictions of {len(self)} sequences", self.to_frame()) if hasattr(self, "names") else None

    def to_frame(self) -> pd.DataFrame:
        """Return a row per sequence: ``name``, the class ``predicted``, and the probability of each class or label.

        Of a model that predicts values: ``name`` and the values.

        Raises:
            UsageError: Something that was computed of predictions, which has no names.

        Example:
            >>> import kmerit as km
            >>> len(km.load_model("bundled:promoter").predict(["TATAAAGGCGCGCC"]).to_frame())
            1
        """
        import pandas as pd

        if not hasattr(self, "names"):
            raise UsageError(
                "to_frame: this was computed of predictions, or is one row or column of them, and has no names. Take "
                "the frame of predict(), or of some sequences of it: predictions[[0]]."
            )
        problem = self.settings.get("problem", "classes")
        titles = {"value": ["value"], "values": list(self.labels)}.get(problem, [f"p({each})" for each in self.labels])
        if len({"name", "predicted", "strands", *titles}) < len(titles) + 3:  # outputs that share a name
            titles = [f"{title}, output {i}" for i, title in enumerate(titles)]
        values = np.asarray(self)
        columns: dict[str, Any] = {"name": list(self.names)}
        if problem == "classes":
            columns["predicted"] = [self.labels[i] for i in values.argmax(axis=1).tolist()]
        columns |= {title: values[:, i] for i, title in enumerate(titles)}
        if self.settings.get("strands", "forward") != "forward":
            columns["strands"] = self.settings["strands"]
        return pd.DataFrame(columns)


_MOST_NUMBERS = 20
"""Of predictions, in their repr; of more the first and the last rows and outputs are shown."""


def _place(key: Any, names: tuple[str, ...], what: str) -> Any:
    """Put the number in place of a name, or of each name in a list; other keys are NumPy's."""
    each = key if isinstance(key, list) else [key]
    return rows_of(key, names, what) if any(isinstance(name, str) for name in each) else key


ORDERS = ("morf", "lerf", "insertion")


GROUP = ["method", "operator", "order", "full", "n"]
MEASURES = ("logit", "probability", "accuracy", "flips")
"""What mutation lowers: the explained class's logit (regression: the value) and probability, how often the class is
right, and how often the call is what it was; the drop of the last is the flip rate."""


@dataclass(frozen=True, eq=False)
class Outcomes(ShownOutcomes, Rows["Outcomes"]):
    """What a trial left: three tables, its settings, and what every measure is computed from, each array made once.

    The cells belong to groups; a group is all that a cell is, but for its sequence and its draw.

    Attributes:
        mutants: One row per distinct mutant: ``id``, ``sequence`` (index), ``logits`` (list), ``tokens_changed``,
            ``gc`` (bases that are G or C), and ``positions_changed`` where an operator does not change exactly the
            positions chosen.
        cells: One row per cell of the design: ``method``, ``operator``, ``order`` (dictionary-encoded), ``n``
            (substitutions), ``full`` (whether this is the column "all"), ``draw``, ``sequence``, ``mutant`` (id).
        sequences: One row per sequence: ``name``, ``length``, ``label`` (the true class; null where unknown),
            ``target`` (the class explained), ``cluster`` (sequences of one are resampled together), ``original`` (id of
            the unmutated sequence among the mutants), its place on the genome where known (``chrom``, ``start``,
            ``end``, ``strand``), and by method: ``tied`` and ``nonfinite`` (positions whose score another has too, and
            those without a finite one), ``constant`` (whether all scores are equal), ``withheld`` (whether the method
            takes no part).
        settings: What was asked; equal settings, equal outcomes.
        diagnostics: What was counted on the way: ``evaluations`` (distinct mutants classified), ``naive_evaluations``
            (had each cell been classified on its own), ``evaluations_by_micro_batch``, and of trials with controls
            ``context_strata``, ``prospects`` and ``ranking_evaluations``.

    Example:
        >>> import kmerit as km
        >>> model, sequences = km.load_model("bundled:promoter"), km.Sequences.from_strings(["TATAAAGGCGCGCC"])
        >>> scores = km.attribute(model, sequences, ["rollout"])
        >>> outcomes = km.mutate(model, sequences, scores, counts=[0, 2], replicates=1, random_sets=1)
        >>> outcomes
        <Outcomes: 1 sequence, 3 mutants, 4 cells; rollout>
        >>> outcomes.cells.num_rows, outcomes.mutants.column_names
        (4, ['id', 'sequence', 'logits', 'tokens_changed', 'gc'])
    """

    mutants: pa.Table
    cells: pa.Table
    sequences: pa.Table
    settings: Mapping[str, Any] = field(default_factory=dict)
    diagnostics: Mapping[str, Any] = field(default_factory=dict)

    MUTANT_COLUMNS = ("id", "sequence", "logits", "tokens_changed", "gc")
    CELL_COLUMNS = ("method", "operator", "order", "n", "full", "draw", "sequence", "mutant")
    SEQUENCE_COLUMNS = ("name", "length", "label", "target", "cluster", "original")
    BY_METHOD = ("tied", "nonfinite", "constant", "withheld")

    def __post_init__(self) -> None:
        optional = ("positions_changed", "chrom", "start", "end", "strand", *self.BY_METHOD)
        for what, table, columns in (
            ("mutants", self.mutants, self.MUTANT_COLUMNS),
            ("cells", self.cells, self.CELL_COLUMNS),
            ("sequences", self.sequences, self.SEQUENCE_COLUMNS),
        ):
            if tuple(name for name in table.column_names if name not in optional) != columns:
                raise ValueError(f"{what}: expected columns {columns}, got {tuple(table.column_names)}.")
        if self.sequences["label"].null_count not in (0, len(self)):
            raise ValueError("sequences: expected a label for all of them, or for none.")

    def __len__(self) -> int:
        return int(self.sequences.num_rows)

    def _row_names(self) -> tuple[str, ...]:
        return self.names

    def _row(self, i: int) -> Outcomes:
        return self.take([i])

    def take(self, rows: NDArray[Any] | Sequence[int] | slice) -> Outcomes:
        """Select sequences by index, slice or boolean mask, in the order asked, with their mutants and cells.

        The settings of a part say of which trial it is (``part_of``). What was counted over the whole trial and has no
        count for a part (``prospects``, ``context_strata``, ...) is left out.

        Raises:
            UsageError: A sequence is asked for twice, or none is.

        Example:
            >>> import kmerit as km
            >>> model, strings = km.load_model("bundled:promoter"), ["TATAAAGGCGCGCC", "ACGTTGCAACGG"]
            >>> scores = km.attribute(model, strings, ["lrp"])
            >>> outcomes = km.mutate(model, strings, scores, counts=[0, 2], replicates=1)
            >>> outcomes, outcomes["seq1"]
            (<Outcomes: 2 sequences, 4 mutants, 4 cells; lrp>, <Outcomes: 1 sequence, 2 mutants, 2 cells; lrp>)
        """
        part: Outcomes = import_module("kmerit.trials.outcomes").take(self, np.arange(len(self))[rows])
        return part

    @classmethod
    def concat(cls, parts: Sequence[Outcomes]) -> Outcomes:
        """Concatenate the outcomes of several sets of sequences: parts of one trial, or trials of equal settings.

        Clusters of parts of one trial stay. Sequences of different trials are in different clusters, for whether they
        are near copies of each other is not known: put such sequences on trial together.

        Args:
            parts: Their sequences have distinct names; all with labels, or none.

        Raises:
            UsageError: No part, other settings, or labels in some.
            SequenceError: A name that occurs twice.

        Example:
            >>> import kmerit as km
            >>> model, strings = km.load_model("bundled:promoter"), ["TATAAAGGCGCGCC", "ACGTTGCAACGG"]
            >>> scores = km.attribute(model, strings, ["lrp"])
            >>> outcomes = km.mutate(model, strings, scores, counts=[0, 2], replicates=1)
            >>> Outcomes.concat(list(outcomes))
            <Outcomes: 2 sequences, 4 mutants, 4 cells; lrp>
        """
        whole: Outcomes = import_module("kmerit.trials.outcomes").concat(parts)
        return whole

    def __repr__(self) -> str:
        methods = [str(name) for name in self.settings.get("methods", ())]
        count = "1 sequence" if len(self) == 1 else f"{len(self)} sequences"
        return (
            f"<Outcomes: {count}, {self.mutants.num_rows} mutants, {self.cells.num_rows} cells; "
            f"{', '.join(methods[:8])}{', ...' if len(methods) > 8 else ''}>"
        )

    def to_frame(self) -> pd.DataFrame:
        """Return a row per cell: its place in the design, and the model's output for the mutant.

        Columns: those of the cells, ``name``, ``label`` where known, ``predicted`` (the class, by number),
        ``tokens_changed``, ``gc`` and ``logit_0``, ``logit_1``, ...

        Example:
            >>> import kmerit as km
            >>> model, strings = km.load_model("bundled:promoter"), ["CGCGCGCGCG"]
            >>> scores = km.attribute(model, strings, ["lrp"])
            >>> km.mutate(model, strings, scores, counts=[0, 6], replicates=1).to_frame()[["n", "name", "predicted"]]
               n  name  predicted
            0  0  seq0       1
            1  6  seq0       0
        """
        cells: pd.DataFrame = self.cells.to_pandas()
        for name in ("method", "operator", "order"):
            cells[name] = cells[name].astype(str)
        cells["name"] = np.array(self.names, dtype=object)[self._sequence]
        if self.labels is not None:
            cells["label"] = self.labels[self._sequence]
        if not self.regression:
            cells["predicted"] = self._predicted[self._mutant]
        for name in ("tokens_changed", "gc"):
            cells[name] = self.mutants[name].to_numpy()[self._mutant]
        stored = _logits(self.mutants)
        for i in range(self.outputs):
            cells[f"logit_{i}"] = stored[self._mutant, i]
        return cells

    def save(self, folder: str | os.PathLike[str]) -> Path:
        """Write the tables and the settings to a folder, as ``mutate(out=...)`` does; `read_outcomes` reads it.

        Example:
            >>> import tempfile
            >>> import kmerit as km
            >>> model, strings = km.load_model("bundled:promoter"), ["TATAAAGGCGCGCC"]
            >>> scores = km.attribute(model, strings, ["lrp"])
            >>> outcomes = km.mutate(model, strings, scores, counts=[0, 2], replicates=1)
            >>> with tempfile.TemporaryDirectory() as folder:
            ...     km.read_outcomes(outcomes.save(folder))
            <Outcomes: 1 sequence, 2 mutants, 2 cells; lrp>
        """
        target_path: Path = import_module("kmerit.trials.outcomes").write_outcomes(self, folder)
        return target_path

    @classmethod
    def load(cls, folder: str | os.PathLike[str]) -> Outcomes:
        """Read the outcomes in a folder, as `read_outcomes` does.

        Example:
            >>> Outcomes.load("nowhere")
            Traceback (most recent call last):
            kmerit.errors.FormatError: nowhere: expected a finished trial, but outcomes.json is missing. ...
        """
        outcomes: Outcomes = import_module("kmerit.trials.outcomes").read_outcomes(folder)
        return outcomes

    # --- what is known of each sequence ---

    @cached_property
    def names(self) -> tuple[str, ...]:
        """Of the sequences."""
        return tuple(self.sequences["name"].to_pylist())

    @cached_property
    def lengths(self) -> Int64:
        """Of the sequences, in nt, ``int64 [sequence]``."""
        return self._known("length")

    @cached_property
    def labels(self) -> Int64 | None:
        """The true classes, ``int64 [sequence]``; None where they are not known."""
        return None if self.sequences["label"].null_count else self._known("label")

    @cached_property
    def targets(self) -> Int64:
        """The class explained, ``int64 [sequence]``."""
        return self._known("target")

    @cached_property
    def clusters(self) -> Int64:
        """Which sequences are resampled together, ``int64 [sequence]``."""
        return self._known("cluster")

    def _known(self, column: str) -> Int64:
        return np.asarray(self.sequences[column].to_numpy(), dtype=np.int64)

    def of_method(self, column: str, method: str) -> NDArray[Any]:
        """Give what is known of a method's scores for each sequence, ``[sequence]``; zeros of a ranking that has none.

        Args:
            column: ``tied``, ``nonfinite``, ``constant`` or ``withheld``.
            method: Its name.

        Example:
            >>> import kmerit as km
            >>> model, strings = km.load_model("bundled:promoter"), ["TATAAAGGCGCGCC"]
            >>> scores = km.attribute(model, strings, ["lrp"])
            >>> outcomes = km.mutate(model, strings, scores, counts=[0, 2], replicates=3)
            >>> outcomes.of_method("withheld", "lrp").tolist()
            [False]
        """
        kind: Any = np.bool_ if column in ("constant", "withheld") else np.int64
        if column not in self.sequences.column_names:
            return np.zeros(len(self), dtype=kind)
        by_method = self.sequences[column].combine_chunks()
        if method not in {each.name for each in by_method.type}:
            return np.zeros(len(self), dtype=kind)
        return np.asarray(by_method.field(method).to_numpy(zero_copy_only=False), dtype=kind)

    @cached_property
    def predicted(self) -> Int64:
        """What the model calls the unmutated sequences, ``int64 [sequence]``."""
        return np.asarray(self._predicted[self._originals])

    @cached_property
    def classes(self) -> Int64:
        """Put every sequence into a class, ``int64 [sequence]``: its label, or what the model calls it without one.

        A model with one output (regression) has one class, 0.
        """
        return np.zeros(len(self), dtype=np.int64) if self.regression else known_or(self.labels, self.predicted)

    @cached_property
    def initially_correct(self) -> Bool:
        """Whether each sequence is given its class unmutated, ``bool [sequence]``."""
        return np.asarray(self.predicted == self.classes)

    @cached_property
    def without_labels(self) -> Outcomes:
        """The same outcomes, whose classes are what the model calls the unmutated sequences."""
        nothing = self.sequences["label"].slice(0, 0)
        at = self.sequences.column_names.index("label")
        column = import_module("pyarrow").nulls(len(self), nothing.type)
        return replace(self, sequences=self.sequences.set_column(at, "label", column))

    @cached_property
    def class_names(self) -> dict[int, str]:
        """Name every class by its number, those without a sequence, too; of a regression, the value."""
        if self.regression:
            return {0: str(self.settings.get("value", "y"))}
        class_list = list(self.settings.get("classes", ()))
        count = max(int(self.classes.max()) + 1, self.outputs, len(class_list))
        return {i: class_list[i] if i < len(class_list) else f"class {i}" for i in range(count)}

    # --- what each cell did to its sequence ---

    @cached_property
    def methods(self) -> list[str]:
        """Every ranking that was mutated by, controls and bounds included."""
        return _categories(self.cells["method"])

    @cached_property
    def operators(self) -> list[str]:
        """What replaced bases."""
        return _categories(self.cells["operator"])

    @cached_property
    def _grouped(self) -> tuple[pd.DataFrame, Int64]:
        return grouped(self.cells.select(GROUP).to_pandas(), int(self.lengths.max()))

    @property
    def groups(self) -> pd.DataFrame:
        """A row per group, in the order of the names: ``method``, ``operator``, ``order``, ``full``, ``n``."""
        return self._grouped[0]

    @property
    def group(self) -> Int64:
        """The group of each cell, ``int64 [cell]``."""
        return self._grouped[1]

    def counts(self, method: str, operator: str, order: str, *, full: bool = True) -> dict[int, int]:
        """Find the groups of a ranking by ``n`` above 0: its curve.

        Args:
            method: The ranking.
            operator: What replaced bases.
            order: Which positions went first.
            full: Whether the full mutation is one of them.

        Example:
            >>> import kmerit as km
            >>> model, strings = km.load_model("bundled:promoter"), ["TATAAAGGCGCGCC"]
            >>> scores = km.attribute(model, strings, ["lrp"])
            >>> outcomes = km.mutate(model, strings, scores, counts=[0, 2], replicates=3)
            >>> outcomes.counts("lrp", "random_other", "morf")
            {2: 1}
        """
        groups = self.groups
        own_groups = (groups["method"] == method) & (groups["operator"] == operator) & (groups["order"] == order)
        of_ranking = groups[own_groups & (groups["n"] > 0) & (full | ~groups["full"])]
        return dict(zip(of_ranking["n"].tolist(), of_ranking.index.tolist(), strict=True))

    @cached_property
    def _sequence(self) -> Int64:
        return np.asarray(self.cells["sequence"].to_numpy(), dtype=np.int64)

    @cached_property
    def _mutant(self) -> Int64:
        return np.asarray(self.cells["mutant"].to_numpy())

    @cached_property
    def _draw(self) -> Int64:
        return np.asarray(self.cells["draw"].to_numpy())

    @cached_property
    def _owner(self) -> Int64:
        return np.asarray(self.mutants["sequence"].to_numpy())

    @cached_property
    def _originals(self) -> Int64:
        return self._known("original")

    @cached_property
    def _logits(self) -> Floats:
        logits = _logits(self.mutants).astype(np.float64)
        if not np.isfinite(logits).all():
            row = int(np.argmin(np.isfinite(logits).all(axis=1)))
            raise NotFinite(
                f"The model's answer to a mutant of {self.names[self._owner[row]]!r} is {logits[row].tolist()}, which "
                f"is no class. Run the trial again, with --dtype float64."
            )
        return logits

    @cached_property
    def _predicted(self) -> Int64:
        return np.asarray(self._logits.argmax(axis=1))

    @cached_property
    def outputs(self) -> int:
        """How many the model has."""
        return int(self._logits.shape[1])

    @property
    def regression(self) -> bool:
        """Whether the model has one output, a value."""
        return self.outputs == 1

    @cached_property
    def _at(self) -> Int64:
        return self.group * len(self) + self._sequence

    def parts(self) -> Iterator[Outcomes]:
        """Give these outcomes as those of successive sequences, numbered from 0 in each part.

        They are one part, unless they lie in a folder and are many; see `read_outcomes`.

        Example:
            >>> import kmerit as km
            >>> model, strings = km.load_model("bundled:promoter"), ["TATAAAGGCGCGCC"]
            >>> scores = km.attribute(model, strings, ["lrp"])
            >>> [len(part) for part in km.mutate(model, strings, scores, counts=[2], replicates=1).parts()]
            [1]
        """
        yield self

    def arrays(
        self, makers: Mapping[str, Callable[[Outcomes], NDArray[Any]]], method: str | None = None
    ) -> dict[str, AnyRows]:
        """Make arrays ``[group, sequence, ...]`` part by part, all of them in one reading.

        Args:
            makers: By name, what makes an array of a part: of all its groups, all its sequences, and further axes that
                are the same for every part.
            method: Make them of the groups of this ranking alone.

        Example:
            >>> import kmerit as km
            >>> model, strings = km.load_model("bundled:promoter"), ["TATAAAGGCGCGCC"]
            >>> scores = km.attribute(model, strings, ["lrp"])
            >>> outcomes = km.mutate(model, strings, scores, counts=[0, 2], replicates=3)
            >>> outcomes.arrays({"draws": lambda part: part.draws})["draws"][1].tolist()
            [3]
        """
        own = slice(None) if method is None else (self.groups["method"] == method).to_numpy()
        return {name: make(self)[own] for name, make in makers.items()}

    @cached_property
    def draws(self) -> AnyRows:
        """Draws of every sequence in every group, ``int64 [group, sequence]``; 0 where it takes no part."""
        return np.bincount(self._at, minlength=len(self.groups) * len(self)).reshape(-1, len(self))

    def per_sequence(self, of_cell: NDArray[Any]) -> Floats:
        """Average ``[cell]`` over the draws of each sequence: ``[group, sequence]``, NaN where it takes no part.

        Example:
            >>> import kmerit as km
            >>> model, strings = km.load_model("bundled:promoter"), ["TATAAAGGCGCGCC"]
            >>> scores = km.attribute(model, strings, ["lrp"])
            >>> outcomes = km.mutate(model, strings, scores, counts=[0, 2], replicates=3)
            >>> outcomes.per_sequence(outcomes.flipped).shape
            (2, 1)
        """
        sums = np.bincount(self._at, weights=of_cell, minlength=len(self.groups) * len(self))
        with np.errstate(invalid="ignore"):
            return np.asarray(sums.reshape(-1, len(self)) / np.asarray(self.draws))

    def per_draw(self, of_cell: NDArray[Any], group: int) -> Floats:
        """Lay a group's ``[cell]`` out as ``[sequence, draw]``, NaN where there is no cell.

        Example:
            >>> import kmerit as km
            >>> model, strings = km.load_model("bundled:promoter"), ["TATAAAGGCGCGCC"]
            >>> scores = km.attribute(model, strings, ["lrp"])
            >>> outcomes = km.mutate(model, strings, scores, counts=[0, 2], replicates=3)
            >>> outcomes.per_draw(outcomes.logit, 1).shape
            (1, 3)
        """
        rows = self.group == group
        out = np.full((len(self), int(self._draw[rows].max()) + 1), np.nan)
        out[self._sequence[rows], self._draw[rows]] = of_cell[rows]
        return out

    @cached_property
    def most_draws(self) -> int:
        """The most draws that a group has of one sequence."""
        return int(self._draw.max(initial=-1)) + 1

    def laid_out(self, of_cell: NDArray[Any], draws: int) -> Floats:
        """Lay ``[cell]`` out as ``[group, sequence, draw]``, NaN where there is no cell.

        Args:
            of_cell: A value for each cell.
            draws: How many of them, the first ones, are laid out.

        Example:
            >>> import kmerit as km
            >>> model, strings = km.load_model("bundled:promoter"), ["TATAAAGGCGCGCC"]
            >>> scores = km.attribute(model, strings, ["lrp"])
            >>> outcomes = km.mutate(model, strings, scores, counts=[0, 2], replicates=3)
            >>> outcomes.laid_out(outcomes.logit, 1).shape
            (2, 1, 1)
        """
        out = np.full((len(self.groups), len(self), draws), np.nan)
        first = self._draw < draws
        out[self.group[first], self._sequence[first], self._draw[first]] = of_cell[first]
        return out

    def drops(self, measure: str) -> AnyRows:
        """Say by how much each cell's mutation lowers a measure, ``[group, sequence, draw]``; see `MEASURES`.

        Draws are those of alleles: random sets that share one are averaged. NaN where there is no cell.

        Example:
            >>> import kmerit as km
            >>> model, strings = km.load_model("bundled:promoter"), ["TATAAAGGCGCGCC"]
            >>> scores = km.attribute(model, strings, ["lrp"])
            >>> outcomes = km.mutate(model, strings, scores, counts=[0, 2], replicates=3)
            >>> outcomes.drops("logit").shape
            (2, 1, 3)
        """
        if measure not in self._drops:
            value = self._value(measure)
            self._drops[measure] = self._by_draw((value[self._originals][self._owner] - value)[self._mutant])
        return self._drops[measure]

    @cached_property
    def _drops(self) -> dict[str, AnyRows]:
        return {}

    @cached_property
    def tokens_by_draw(self) -> AnyRows:
        """Count the tokens that mutation changed, as `drops` lays out a drop."""
        return self._by_draw(self.tokens_changed)

    def _by_draw(self, cells: NDArray[Any]) -> Floats:
        """Average values ``[cell]`` over the cells that share alleles: ``[group, sequence, draw]``."""
        replicates = int(self.settings.get("replicates", max(1, self.most_draws)))
        at = self._at * replicates + self._draw % replicates
        shape = (len(self.groups), len(self), replicates)
        size = int(np.prod(shape))
        with np.errstate(invalid="ignore"):
            mean = np.bincount(at, weights=cells, minlength=size) / np.bincount(at, minlength=size)
        return np.asarray(mean.reshape(shape))

    def _value(self, measure: str) -> Floats:
        """Give a measure of every mutant, ``[mutant]``."""
        if measure == "logit":
            return self._explained(self._logits)
        if measure == "probability":
            from scipy.special import softmax

            return self._explained(softmax(self._logits, axis=1))
        same = self.classes if measure == "accuracy" else self.predicted
        return np.asarray(self._predicted == same[self._owner], dtype=np.float64)

    def _explained(self, outputs: Floats) -> Floats:
        column = np.zeros_like(self._owner) if self.regression else self.targets[self._owner]
        return np.asarray(outputs[np.arange(column.size), column])

    @cached_property
    def predicted_of_cell(self) -> Int64:
        """What the model calls the mutant of each cell, ``int64 [cell]``."""
        return self._predicted[self._mutant]

    @cached_property
    def correct(self) -> Bool:
        """Whether the mutant of each cell is given its sequence's class, ``bool [cell]``."""
        return np.asarray(self.predicted_of_cell == self.class_of_cell)

    @cached_property
    def class_of_cell(self) -> Int64:
        """The class of each cell's sequence, ``int64 [cell]``."""
        return self.classes[self._sequence]

    @cached_property
    def flipped(self) -> Bool:
        """Whether the mutant of each cell is given another class than its sequence, ``bool [cell]``."""
        return np.asarray((self._predicted != self.predicted[self._owner])[self._mutant])

    @cached_property
    def logit(self) -> Floats:
        """Give the logit of the explained class (regression: the value), ``[cell]``."""
        return self._value("logit")[self._mutant]

    @cached_property
    def probability(self) -> Floats:
        """Give the probability of the explained class, ``[cell]``."""
        return self._value("probability")[self._mutant]

    @cached_property
    def tokens_changed(self) -> Int64:
        """Count the tokens that mutation changed, ``int64 [cell]``."""
        return np.asarray(self.mutants["tokens_changed"].to_numpy()[self._mutant])

    @cached_property
    def positions_changed(self) -> Int64 | None:
        """Count the bases that mutation changed, ``int64 [cell]``; None where that is the number chosen."""
        if "positions_changed" not in self.mutants.column_names:
            return None
        return np.asarray(self.mutants["positions_changed"].to_numpy()[self._mutant])

    @cached_property
    def gc_shift(self) -> Floats:
        """Give the change of the share of G and C, ``[cell]``."""
        gc = self.mutants["gc"].to_numpy()
        return np.asarray(((gc - gc[self._originals][self._owner]) / self.lengths[self._owner])[self._mutant])


def known_or(labels: Int64 | None, otherwise: Int64) -> Int64:
    """Give the true classes where they are known, or what stands for them without labels: what the model predicts.

    Example:
        >>> known_or(None, np.array([1, 0])).tolist()
        [1, 0]
    """
    return otherwise if labels is None else labels


def grouped(cells: pd.DataFrame, longest: int) -> tuple[pd.DataFrame, Int64]:
    """Number the groups of cells: a row per group, in the order of the names, and the group of each cell.

    Args:
        cells: Columns `GROUP`, their names categories.
        longest: Length of the longest sequence, nt: a full mutation is one group, also of sequences of several lengths.
    """
    cells["n"] = cells["n"].where(~cells["full"], longest)
    groups = cells.groupby(GROUP, observed=True)
    return groups.size().index.to_frame(index=False), np.asarray(groups.ngroup(), dtype=np.int64)


def _categories(column: pa.ChunkedArray) -> list[str]:
    return [str(name) for name in column.to_pandas().cat.categories]


def _logits(mutants: pa.Table) -> NDArray[Any]:
    """Lay out logits ``[mutant, output]`` as they are stored."""
    lists = mutants["logits"].combine_chunks()
    return np.asarray(lists.flatten().to_numpy().reshape(len(lists), -1))
