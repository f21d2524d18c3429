"""What comes out: the scores of a method, and the raw outcomes of a trial."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, overload

import numpy as np
from numpy.typing import NDArray

from kmerit.errors import SequenceError, UnknownName, UsageError, Withheld
from kmerit.logo import draw_logo
from kmerit.notebook import ShownAttribution, ShownCurve, frame_html
from kmerit.types.arrays import Bool, Float, Int64
from kmerit.types.identity import Identity
from kmerit.types.sequences import Sequences

if TYPE_CHECKING:
    import pandas as pd
    import pyarrow as pa
    from matplotlib.axes import Axes

ExportFormat = Literal["npz", "bed", "bedgraph", "bigwig"]
"""What scores are written as for other programs."""
Level = Literal["nucleotide", "token"]
"""Where scores live."""


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

    def __repr__(self) -> str:
        count = "1 sequence" if len(self) == 1 else f"{len(self)} sequences"
        withheld = "" if self.withheld is None else f", withheld: {self.withheld}"
        what = f"{count} x {self.scores.shape[1]} {self.level}s, {'signed' if self.signed else 'unsigned'}"
        return f"<Attribution {self.method}: {what}{withheld}>"

    def __iter__(self) -> Iterator[Float]:
        """Give the scores of each sequence, ``[position]`` of its own length."""
        return (self._row(i) for i in range(len(self)))

    @overload
    def __getitem__(self, key: int | str) -> Float: ...

    @overload
    def __getitem__(self, key: slice | Sequence[int] | list[str] | NDArray[Any]) -> Attribution: ...

    def __getitem__(self, key: int | str | slice | Sequence[int] | list[str] | NDArray[Any]) -> Float | Attribution:
        """Give the scores of one sequence by its number or name, or the attribution of several."""
        if isinstance(key, str):
            return self._row(self._named(key))
        if isinstance(key, int | np.integer):
            if not -len(self) <= key < len(self):
                raise IndexError(f"sequence {key}: there are {len(self)}, numbered from 0.")
            return self._row(int(key) % len(self))
        if isinstance(key, slice | np.ndarray):
            return self.take(key)
        if any(isinstance(each, str) for each in key):
            return self.take([self._named(each) for each in key])
        return self.take([each for each in key if not isinstance(each, str)])

    def _named(self, name: int | str) -> int:
        if not isinstance(name, str) or name not in self.names:
            raise UnknownName("sequence", str(name), self.names)
        return self.names.index(name)

    def _row(self, i: int) -> Float:
        if self.level != "nucleotide" or self.identity is None:
            return np.asarray(self.scores[i])
        start, end, _ = self.identity.windows[i]
        return np.asarray(self.scores[i, : end - start])

    def to_frame(self) -> pd.DataFrame:
        """Give a row per nucleotide (or token): ``name``, ``target``, ``position``, ``letter`` where known, ``score``.

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
        """Tell positions from padding, ``bool [sequence, position]``."""
        if self.level == "nucleotide" and self.identity is not None:
            lengths = np.array([end - start for start, end, _ in self.identity.windows], dtype=np.int64)
            return np.asarray(np.arange(self.scores.shape[1]) < lengths[:, None])
        finite = np.isfinite(self.scores)
        return np.asarray(np.logical_or.accumulate(finite[:, ::-1], axis=1)[:, ::-1])

    @classmethod
    def concat(cls, parts: Sequence[Attribution]) -> Attribution:
        """Put the scores of one method for several sets of sequences together.

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
        parts = list(parts)
        if not parts:
            raise UsageError("concat: expected at least one attribution, got none.")
        first = parts[0]
        names = tuple(name for part in parts for name in part.names)
        for part in parts[1:]:
            for what in ("method", "level", "signed", "settings"):
                if (theirs := _comparable(getattr(part, what))) != (ours := _comparable(getattr(first, what))):
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


def _comparable(value: Any) -> Any:
    """Leave out of settings what differs from part to part: how many scores were withheld, what a check found."""
    if not isinstance(value, Mapping):
        return value
    return {key: each for key, each in value.items() if key not in ("withheld", "check", "strand_change")}


class Attributions(dict[str, Attribution]):
    """Attributions of several methods for the same sequences, by name of the method.

    Example:
        >>> import kmerit as km
        >>> scores = km.attribute(km.load_model("bundled:promoter"), ["TATAAAGGCGCGCC"], ["rollout", "random"])
        >>> scores
        <Attributions of 1 sequence: rollout, random>
    """

    def __repr__(self) -> str:
        if not self:
            return "<Attributions: none>"
        count = len(next(iter(self.values())))
        return f"<Attributions of {count} sequence{'' if count == 1 else 's'}: {', '.join(self)}>"

    def _repr_html_(self) -> str:
        return "".join(each._repr_html_() for each in self.values())

    def to_frame(self) -> pd.DataFrame:
        """Give a row per nucleotide, and a column for the scores of each method.

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
        written: Path = import_module("kmerit.attribution.storage").save(self, path)
        return written


class Predictions(np.ndarray[Any, np.dtype[np.floating[Any]]]):
    """What a model predicts, ``[sequence, output]``: a NumPy array that knows its rows and columns.

    What is computed of it is a plain array.

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
        return np.asarray(self)[key]

    def __array_wrap__(self, array: Any, context: Any = None, return_scalar: bool = False) -> Any:
        return array[()] if return_scalar else np.asarray(array)

    def __reduce__(self) -> Any:
        return np.asarray(self).__reduce__()

    def __repr__(self) -> str:
        return repr(np.asarray(self))

    def _repr_html_(self) -> str | None:
        return frame_html(f"Predictions of {len(self)} sequences", self.to_frame()) if hasattr(self, "names") else None

    def to_frame(self) -> pd.DataFrame:
        """Give a row per sequence: ``name``, the class ``predicted``, and the probability of each class or label.

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
                "to_frame: this was computed of predictions, and has no names. Take the frame of predict()."
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

    def __repr__(self) -> str:
        methods = [str(name) for name in self.settings.get("methods", ())]
        return (
            f"<MutagenesisCurve: {len(self.names)} sequences, {self.mutants.num_rows} mutants, {self.cells.num_rows} "
            f"cells; {', '.join(methods[:8])}{', ...' if len(methods) > 8 else ''}>"
        )

    def to_frame(self) -> pd.DataFrame:
        """Give a row per cell: its place in the design, and what the model answered to the mutant.

        Columns: those of the cells, ``name``, ``label`` where known, ``called`` (the class answered, by number),
        ``tokens_changed``, ``gc`` and ``logit_0``, ``logit_1``, ...

        Example:
            >>> import kmerit as km
            >>> model, strings = km.load_model("bundled:promoter"), ["TATAAAGGCGCGCC"]
            >>> curve = km.mutate(model, strings, km.attribute(model, strings, ["lrp"]), counts=[0, 2], replicates=1)
            >>> curve.to_frame()[["method", "n", "name", "called"]]
              method  n  name  called
            0    lrp  0  seq0       1
            1    lrp  2  seq0       0
        """
        cells = self.cells.to_pandas()
        lists = self.mutants["logits"].combine_chunks()
        logits = lists.flatten().to_numpy().reshape(len(lists), -1)
        at = cells["mutant"].to_numpy()
        for name in ("method", "operator", "order"):
            cells[name] = cells[name].astype(str)
        cells["name"] = np.array(self.names, dtype=object)[cells["sequence"].to_numpy()]
        if self.labels is not None:
            cells["label"] = self.labels[cells["sequence"].to_numpy()]
        if logits.shape[1] > 1:
            cells["called"] = logits.argmax(axis=1)[at]
        for name in ("tokens_changed", "gc"):
            cells[name] = self.mutants[name].to_numpy()[at]
        for i in range(logits.shape[1]):
            cells[f"logit_{i}"] = logits[at, i]
        frame: pd.DataFrame = cells
        return frame

    def __post_init__(self) -> None:
        for what, table, columns in (
            ("mutants", self.mutants, self.MUTANT_COLUMNS),
            ("cells", self.cells, self.CELL_COLUMNS),
        ):
            if tuple(name for name in table.column_names if name != "positions_changed") != columns:
                raise ValueError(f"{what}: expected columns {columns}, got {tuple(table.column_names)}.")
        if self.labels is not None and self.labels.shape != (len(self.names),):
            raise ValueError(f"labels {self.labels.shape} do not fit {len(self.names)} sequences.")
