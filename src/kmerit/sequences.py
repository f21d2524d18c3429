"""Sequences: letters as numbers, loci, tokens, arithmetic on bases, and random draws that are keyed by their purpose.

Common random numbers: every draw has its own generator, named by what it is for. A generator depends on the seed, the
purpose, the number of the draw and the sequence's name, and on nothing else: not on the chunk, on the methods
compared or on which other sequences take part.
"""

from __future__ import annotations

import hashlib
import re
from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from hashlib import sha256
from typing import TYPE_CHECKING, Any, ClassVar, Generic, Literal, NamedTuple, Self, TypeAlias, TypeVar, overload

import numpy as np
from numpy.typing import NDArray

from kmerit.errors import FormatError, LabelError, SequenceError, UnknownName, short
from kmerit.formats import MOST_ROWS, frame_html

if TYPE_CHECKING:
    import pandas as pd

ALPHABET = "ACGTN"
N = 4
"""The number of the unknown base."""

_CODES = np.full(256, -1, dtype=np.int8)
for _code, _letter in enumerate(ALPHABET):
    _CODES[ord(_letter)] = _code
_LETTERS = np.frombuffer(ALPHABET.encode(), dtype=np.uint8)


def _letter_problem(letter: str) -> str:
    if letter.upper() in ALPHABET:
        return "a lower-case (soft-masked) letter; write it in upper case, or read it with case='upper' (--case upper)"
    if letter in "Uu":
        return "RNA; write T for U"
    if letter.upper() in "RYSWKMBDHV":
        return "an IUPAC ambiguity code; write N, or drop the sequence"
    return "not a nucleotide; write N, or drop the sequence"


def encode(text: str, name: str = "sequence") -> NDArray[np.int8]:
    """Number the bases of a string.

    Args:
        text: Upper-case letters of ``ACGTN``.
        name: What to call the sequence in an error.

    Returns:
        The bases, ``int8 [position]``.

    Raises:
        SequenceError: At the first letter outside the alphabet.

    Example:
        >>> encode("ACGTN").tolist()
        [0, 1, 2, 3, 4]
    """
    raw = np.frombuffer(text.encode("utf-8", "replace"), dtype=np.uint8)
    bases: NDArray[np.int8] = _CODES[raw]
    if bases.size and bases.min() < 0:
        at = int(np.argmin(bases >= 0))
        letter = text[at] if text.isascii() else next(c for c in text if c not in ALPHABET)
        raise SequenceError(
            f"{short(name)}, position {at}: expected one of A, C, G, T, N, found {letter!r}: {_letter_problem(letter)}."
        )
    return bases


_TOGETHER = 4096
"""Strings that are numbered at once: an array for each would take more memory than its letters."""


def _encoded(strings: Sequence[str], names: Sequence[str]) -> NDArray[np.int8]:
    """Number the bases of strings, one after another; see `encode`."""
    try:
        return encode("".join(strings))
    except (SequenceError, TypeError):  # the string at fault is to be named
        return np.concatenate([encode(text, name) for text, name in zip(strings, names, strict=True)])


def decode(bases: NDArray[np.int8]) -> str:
    """Return the string of numbered bases.

    Example:
        >>> decode(np.array([0, 1, 2, 3, 4], dtype=np.int8))
        'ACGTN'
    """
    return _LETTERS[bases].tobytes().decode()


Int8 = NDArray[np.int8]
Int32 = NDArray[np.int32]
Int64 = NDArray[np.int64]
Bool = NDArray[np.bool_]
Float = NDArray[np.floating[Any]]
Floats = NDArray[np.float64]


MOST_CLASSES = 2**31
"""Classes are numbered below this."""
_SHOWN = 60
"""Letters of a sequence that a notebook shows."""

Several: TypeAlias = slice | Sequence[int] | list[str] | NDArray[Any]
"""What selects several: a slice, a list of numbers or of names, or a boolean mask."""


def rows_of(key: int | str | Several, names: tuple[str, ...], what: str = "sequence") -> int | Int64:
    """Find rows by number, name, slice, list or boolean mask; one row is an ``int``.

    Args:
        key: What selects; negative numbers count from the end.
        names: Of all rows.
        what: What has these names, for an error.

    Raises:
        UnknownName: No row has that name.
        IndexError: There is no such row, or the mask has another length.
        TypeError: It is not one of these.

    Example:
        >>> rows_of("b", ("a", "b")), rows_of(-1, ("a", "b")), rows_of(["b", "a"], ("a", "b")).tolist()
        (1, 1, [1, 0])
    """
    count = len(names)
    if isinstance(key, str):
        return _row_named(key, names, what)
    if isinstance(key, int | np.integer) and not isinstance(key, bool):
        if not -count <= key < count:
            raise IndexError(
                f"{key}: expected a number from {-count} to {count - 1}; there are {count}, numbered from 0."
                if count
                else f"{key}: there is nothing to select from."
            )
        return int(key) % count
    if isinstance(key, slice):
        return np.arange(count)[key]
    if isinstance(key, tuple):
        inner = ", ".join(map(short, key))
        raise TypeError(
            f"[{inner}] would select along several axes, and only one has names. Several are selected by a list: "
            f"[[{inner}]]; inside one, index twice: [{short(key[0]) if key else 0}][...]."
        )
    several = hasattr(key, "__array__") or isinstance(key, list | range)
    each = np.asarray(key if several and len(np.shape(key)) == 1 else 0)
    if several and each.ndim == 1 and not each.size:
        return np.zeros(0, dtype=np.int64)
    if each.ndim != 1 or each.dtype.kind not in "biuUO":
        raise TypeError(f"Expected a number, a name, a slice, a list of either, or a mask, got {short(key)}.")
    if each.dtype.kind in "UO":
        return np.array([_row_named(name, names, what) for name in each.tolist()], dtype=np.int64)
    if each.dtype.kind == "b":
        if each.size != count:
            raise IndexError(f"A mask of {each.size}: expected one of {count}, as many as there are.")
        return np.flatnonzero(each)
    return np.array([rows_of(row, names, what) for row in each.tolist()], dtype=np.int64)


Row = TypeVar("Row", covariant=True)


class Rows(ABC, Generic[Row]):
    """Something with rows that have names: each by its number or name, several by a slice, a list or a mask.

    A subclass has `take`, and says the names (`_row_names`) and what one row is (`_row`).
    """

    _what: ClassVar[str] = "sequence"
    """What has a name, for errors."""

    @abstractmethod
    def _row_names(self) -> tuple[str, ...]: ...

    @abstractmethod
    def _row(self, i: int) -> Row: ...

    @abstractmethod
    def take(self, rows: Any) -> Any:
        """Select rows, in the order asked."""

    def __len__(self) -> int:
        return len(self._row_names())

    def __iter__(self) -> Iterator[Row]:
        return (self._row(i) for i in range(len(self)))

    def __contains__(self, name: object) -> bool:
        """Return whether a row has this name."""
        return isinstance(name, str) and name in self._row_names()

    @overload
    def __getitem__(self, key: int | str) -> Row: ...

    @overload
    def __getitem__(self, key: Several) -> Self: ...

    def __getitem__(self, key: int | str | Several) -> Row | Self:
        """Return one row by its number or name; or several, by a slice, a list or a mask."""
        rows = rows_of(key, self._row_names(), self._what)
        if isinstance(rows, int):
            return self._row(rows)
        part: Self = self.take(rows)
        return part


def _row_named(name: Any, names: tuple[str, ...], what: str) -> int:
    if not isinstance(name, str) or name not in names:
        raise UnknownName(what, str(name), names)
    return names.index(name)


def all_distinct(names: Sequence[str]) -> bool:
    """Return whether no name occurs twice; a set of them all would take several times the memory.

    Example:
        >>> all_distinct(("a", "b")), all_distinct(("a", "b", "a"))
        (True, False)
    """
    hashes = np.fromiter(map(hash, names), dtype=np.int64, count=len(names))
    hashes.sort()
    return bool((hashes[1:] != hashes[:-1]).all()) or len(set(names)) == len(names)


class Locus(NamedTuple):
    """Location of a sequence on a genome: 0-based, half-open.

    Example:
        >>> Locus("chr8", 100, 300)
        Locus(chrom='chr8', start=100, end=300, strand='+')
    """

    chrom: str
    start: int
    end: int
    strand: str = "+"

    def __str__(self) -> str:
        return f"{self.chrom}:{self.start}-{self.end}:{self.strand}"


class Window(NamedTuple):
    """Part of a longer sequence that was kept: 0-based, half-open, of ``whole`` nucleotides.

    Example:
        >>> print(Window(20, 60, 60))
        nucleotides 20 to 60 of 60 (--crop 40 --anchor right)
    """

    start: int
    end: int
    whole: int

    def __str__(self) -> str:
        length = self.end - self.start
        if length == self.whole:
            return f"all {length} nucleotides (no --crop)"
        anchors = {0: "left", (self.whole - length) // 2: "center", self.whole - length: "right"}
        anchor = anchors.get(self.start)
        options = "" if anchor is None else f" (--crop {length} --anchor {anchor})"
        return f"nucleotides {self.start} to {self.end} of {self.whole}{options}"


@dataclass(frozen=True, eq=False)
class Sequences(Rows[str]):
    """DNA sequences with names, and labels and loci where known.

    Attributes:
        names: One per sequence, distinct, not empty.
        bases: ``int8 [nucleotide]``, all sequences end to end; ACGT = 0..3, N = 4.
        offsets: ``int64 [sequence + 1]``; sequence ``i`` is ``bases[offsets[i]:offsets[i + 1]]``.
        labels: ``int64 [sequence]`` classes, ``float64 [sequence]`` values, or None; with outputs ``[sequence,
            output]``: of int64 labels, 0 or 1 each, or of float64 values.
        loci: ``Locus`` or None per sequence, or None if none is known.
        windows: Which part of what was read each sequence is; None if all of them are whole.
        classes: Names of the classes 0, 1, ..., where the labels were names; None where they were numbers.
        outputs: Names of several labels or values that each sequence has; None where it has one.

    Example:
        >>> sequences = Sequences.from_strings(["ACGT", "TTN"], labels=[1, 0], names=["one", "two"])
        >>> len(sequences), sequences.bases.tolist(), sequences.offsets.tolist(), sequences.lengths.tolist()
        (2, [0, 1, 2, 3, 3, 3, 4], [0, 4, 7], [4, 3])
    """

    names: tuple[str, ...]
    bases: Int8
    offsets: Int64
    labels: NDArray[Any] | None = None
    loci: tuple[Locus | None, ...] | None = None
    windows: tuple[Window, ...] | None = None
    classes: tuple[str, ...] | None = field(default=None, kw_only=True)
    outputs: tuple[str, ...] | None = field(default=None, kw_only=True)

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
        if not all_distinct(self.names):
            twice = next(name for name, times in Counter(self.names).items() if times > 1)
            raise SequenceError(
                f"The name {short(twice)} occurs twice; names must be distinct. Rename one of the records."
            )
        if self.outputs is not None:
            self._check_outputs(self.outputs)
        if self.labels is not None:
            if self.labels.shape != (n,) and self.outputs is None:
                raise LabelError(f"Expected one label for each of {n} sequences, got {self.labels.shape}.")
            if self.labels.dtype not in (np.int64, np.float64):
                raise LabelError(f"Labels are {self.labels.dtype}; expected int64 (classes) or float64 (values).")
            whole = self.labels.dtype == np.int64
            usable = (self.labels >= 0) & (self.labels < MOST_CLASSES) if whole else np.isfinite(self.labels)
            if not usable.all():
                i, *output = map(int, np.argwhere(~usable)[0])
                of = f" of {short(self.outputs[output[0]])}" if self.outputs is not None else ""
                raise LabelError(
                    f"{short(self.names[i])} has the label {self.labels[(i, *output)]}{of}; expected "
                    f"{'a class: 0, 1, 2, ...' if whole else 'a finite number.'}"
                )
        if self.classes is not None:
            self._check_classes(self.classes)
        if self.loci is not None:
            if len(self.loci) != n:
                raise SequenceError(f"Expected one locus for each of {n} sequences, got {len(self.loci)}.")
            if (wrong := misfit(self.loci, lengths)) is not None:
                raise SequenceError(f"{short(self.names[wrong[0]])}: {wrong[1]}")
        if self.windows is not None and [end - start for start, end, _ in self.windows] != lengths.tolist():
            raise SequenceError(f"windows: expected one as long as the sequence for each of {n} sequences.")
        for array in (self.bases, self.offsets, self.labels):
            if array is not None:
                array.setflags(write=False)

    def _check_classes(self, classes: tuple[str, ...]) -> None:
        if self.labels is None or self.labels.dtype != np.int64:
            raise LabelError(f"classes: {', '.join(classes)} name the labels; expected whole numbers as labels.")
        if self.labels.max(initial=-1) >= len(classes) or len(set(classes)) < len(classes):
            raise LabelError(
                f"classes: expected a name of its own for each of 0 to {self.labels.max(initial=-1)}, got "
                f"{', '.join(map(repr, classes))}."
            )

    def _check_outputs(self, outputs: tuple[str, ...]) -> None:
        shape = (len(self.names), len(outputs))
        if self.labels is None or self.labels.shape != shape or self.classes is not None:
            actual = None if self.labels is None else self.labels.shape
            raise LabelError(f"outputs: expected labels {shape} [sequence, output] without classes, got {actual}.")
        if twice := [name for name, times in Counter(outputs).items() if times > 1]:
            raise LabelError(f"outputs: expected distinct names, at least one; {short(twice[0])} occurs twice.")

    @classmethod
    def from_strings(
        cls,
        strings: Sequence[str],
        labels: Sequence[Any] | NDArray[Any] | None = None,
        names: Sequence[str] | None = None,
        loci: Sequence[Locus | None] | None = None,
        outputs: Sequence[str] | None = None,
    ) -> Sequences:
        """Make sequences from strings.

        Args:
            strings: Upper-case letters of ``ACGTN``.
            labels: Whole numbers from 0 for classes, floats for values (``2.0``, not ``2``); with outputs a row of them
                per sequence.
            names: Distinct names; ``seq0``, ``seq1``, ... by default.
            loci: Where each lies, where known.
            outputs: Names of several labels or values.

        Raises:
            SequenceError: Other letters, an empty string, a name that occurs twice.
            LabelError: Not one usable label per sequence.

        Example:
            >>> Sequences.from_strings(["ACGT", "TTT"], labels=[1, 0]).string(1)
            'TTT'
        """
        if isinstance(strings, str):
            raise SequenceError(f"Expected a list of strings, got one string. Write [{strings[:12]!r}].")
        all_names = tuple(f"seq{i}" for i in range(len(strings))) if names is None else tuple(names)
        if len(all_names) != len(strings):
            raise SequenceError(f"Expected one name for each of {len(strings)} sequences, got {len(all_names)}.")
        starts = range(0, len(strings), _TOGETHER)
        parts = [_encoded(strings[i : i + _TOGETHER], all_names[i : i + _TOGETHER]) for i in starts]
        offsets = np.zeros(len(strings) + 1, dtype=np.int64)
        np.cumsum(np.fromiter(map(len, strings), dtype=np.int64, count=len(strings)), out=offsets[1:])
        bases = np.concatenate(parts) if parts else np.zeros(0, dtype=np.int8)
        all_loci = None if loci is None else tuple(loci)
        several = None if outputs is None else tuple(outputs)
        return cls(all_names, bases, offsets, _labels(labels), all_loci, outputs=several)

    @classmethod
    def concat(cls, parts: Sequence[Sequences]) -> Sequences:
        """Concatenate sets of sequences.

        Args:
            parts: With distinct names; all with labels of one kind and the same classes, or all without. Loci may be
                known for some.

        Raises:
            SequenceError: No part, or a name that occurs twice.
            LabelError: Some parts have labels and others none, or their classes have other names.

        Example:
            >>> one, two = Sequences.from_strings(["ACGT"], names=["a"]), Sequences.from_strings(["TTT"], names=["b"])
            >>> Sequences.concat([one, two]).names
            ('a', 'b')
        """
        parts = list(parts)
        if not parts:
            raise SequenceError("Expected at least one part to put together, got none.")
        kinds = {None if part.labels is None else str(part.labels.dtype) for part in parts}
        if len(kinds) > 1 or len({(part.classes, part.outputs) for part in parts}) > 1:
            raise LabelError(
                "The parts have other kinds of labels, or other classes; expected the same in all of them."
            )
        loci = [locus for part in parts for locus in part.loci or (None,) * len(part)]
        windows = [
            window
            for part in parts
            for window in part.windows or (Window(0, length, length) for length in part.lengths.tolist())
        ]
        lengths = np.concatenate([part.lengths for part in parts])
        return cls(
            tuple(name for part in parts for name in part.names),
            np.concatenate([part.bases for part in parts]),
            np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64),
            None if None in kinds else np.concatenate([part.labels for part in parts if part.labels is not None]),
            tuple(loci) if any(locus is not None for locus in loci) else None,
            tuple(windows) if any(part.windows is not None for part in parts) else None,
            classes=parts[0].classes,
            outputs=parts[0].outputs,
        )

    def __repr__(self) -> str:
        lengths = self.lengths
        sizes = (
            "" if not len(self) else f", {lengths.min()}" + (f" to {lengths.max()}" if np.ptp(lengths) else "") + " nt"
        )
        labels = (
            "" if self.labels is None else f", {'classes' if self.labels.dtype == np.int64 else 'values'} as labels"
        )
        return f"<Sequences: {len(self)}{sizes}{labels}{'' if self.loci is None else ', with loci'}>"

    def _row_names(self) -> tuple[str, ...]:
        return self.names

    def _row(self, i: int) -> str:
        return self.string(i)

    def rows(self) -> Iterator[Int8]:
        """Return the bases of each sequence, ``int8 [position]``; ACGT = 0..3, N = 4.

        Example:
            >>> [bases.tolist() for bases in Sequences.from_strings(["ACGT", "TN"]).rows()]
            [[0, 1, 2, 3], [3, 4]]
        """
        return (self.bases[a:b] for a, b in zip(self.offsets[:-1], self.offsets[1:], strict=True))

    def one_hot(self) -> NDArray[np.float32]:
        """Encode the sequences one-hot, as captum, tangermeme and `wrap` take them; N and padding are all 0.

        Returns:
            ``float32 [sequence, 4, position]``, bases in the order ACGT.

        Example:
            >>> Sequences.from_strings(["ACGT", "TTT"]).one_hot().shape
            (2, 4, 4)
        """
        return one_hot(self.padded()[0])

    def to_frame(self) -> pd.DataFrame:
        """Return a row per sequence: ``name``, ``length``, its labels and its locus where known, and ``sequence``.

        Labels that are named classes are names; several labels or values have a column each.

        Example:
            >>> Sequences.from_strings(["ACGT", "TTT"], labels=[1, 0]).to_frame()
               name  length  label sequence
            0  seq0       4      1     ACGT
            1  seq1       3      0      TTT
        """
        import pandas as pd

        columns: dict[str, Any] = {"name": list(self.names), "length": self.lengths}
        if self.labels is not None and self.outputs is not None:
            columns |= {f"label {name}": self.labels[:, i] for i, name in enumerate(self.outputs)}
        elif self.labels is not None:
            classes = self.classes
            columns["label"] = self.labels if classes is None else [classes[i] for i in self.labels.tolist()]
        if self.loci is not None:
            columns["locus"] = [None if locus is None else str(locus) for locus in self.loci]
        return pd.DataFrame({**columns, "sequence": self.strings()})

    def _repr_html_(self) -> str:
        frame = self[:MOST_ROWS].to_frame()
        frame["sequence"] = [text if len(text) <= _SHOWN else f"{text[:_SHOWN]}..." for text in frame["sequence"]]
        return frame_html(repr(self).strip("<>"), frame, len(self))

    @property
    def lengths(self) -> Int64:
        """Nucleotides per sequence, ``int64 [sequence]``."""
        return np.diff(self.offsets)

    @property
    def digests(self) -> tuple[str, ...]:
        """sha256 of each sequence's letters, as ``printf ACGT | sha256sum`` prints it; not kept, for it is long.

        Example:
            >>> Sequences.from_strings(["ACGT"]).digests[0][:12]
            '1dff3e84fe78'
        """
        letters = np.frombuffer(ALPHABET.encode(), dtype=np.uint8)[self.bases].tobytes()
        return tuple(sha256(letters[a:b]).hexdigest() for a, b in zip(self.offsets[:-1], self.offsets[1:], strict=True))

    def string(self, i: int) -> str:
        """Return sequence ``i`` as a string.

        Example:
            >>> Sequences.from_strings(["ACGT", "TTT"]).string(0)
            'ACGT'
        """
        return decode(self.bases[self.offsets[i] : self.offsets[i + 1]])

    def strings(self) -> list[str]:
        """Return all sequences as strings.

        Example:
            >>> Sequences.from_strings(["ACGT", "TTT"]).strings()
            ['ACGT', 'TTT']
        """
        return list(self)

    def padded(self) -> tuple[Int8, Int64]:
        """Pad the sequences to one array.

        Returns:
            Bases ``int8 [sequence, position]`` with -1 as padding, and the lengths.

        Example:
            >>> bases, lengths = Sequences.from_strings(["ACGT", "TTT"]).padded()
            >>> bases.tolist(), lengths.tolist()
            ([[0, 1, 2, 3], [3, 3, 3, -1]], [4, 3])
        """
        lengths = self.lengths
        out = np.full((len(self), int(lengths.max(initial=0))), -1, dtype=np.int8)
        out[np.arange(out.shape[1]) < lengths[:, None]] = self.bases
        return out, lengths

    def take(self, rows: NDArray[Any] | Sequence[int] | slice) -> Sequences:
        """Select sequences by index, slice or boolean mask, in the order asked.

        Example:
            >>> sequences = Sequences.from_strings(["ACGT", "TTT", "CA"])
            >>> sequences.take([2, 0]).strings(), sequences.take(sequences.lengths > 2).names
            (['CA', 'ACGT'], ('seq0', 'seq1'))
        """
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
            None if self.windows is None else tuple(self.windows[i] for i in index),
            classes=self.classes,
            outputs=self.outputs,
        )

    def of_output(self, name: str) -> Sequences:
        """Keep one of several labels or values: as classes 0 and 1, or as a value.

        Raises:
            LabelError: None is called so.

        Example:
            >>> two = Sequences.from_strings(["ACGT"], labels=[[0, 1]], outputs=["open", "bound"])
            >>> two.of_output("bound").labels.tolist()
            [1]
        """
        if self.outputs is None or self.labels is None:
            return self
        if name not in self.outputs:
            names = ", ".join(map(short, self.outputs[:20]))
            raise LabelError(f"The sequences have no label {short(name)}, but {names}. Name that column.")
        return replace(self, labels=self.labels[:, self.outputs.index(name)].copy(), outputs=None)

    def numbered(self, classes: Sequence[str]) -> Sequences:
        """Renumber named labels by another order of their names; labels without names are unchanged.

        Args:
            classes: Names of the classes 0, 1, ...; at least those that occur.

        Raises:
            LabelError: A class that occurs is not among them, or is so more than once.

        Example:
            >>> two = replace(Sequences.from_strings(["ACGT", "TTT"], labels=[0, 1]), classes=("peak", "background"))
            >>> two.numbered(["background", "peak"]).labels.tolist()
            [1, 0]
        """
        if self.classes is None or self.labels is None or self.classes == tuple(classes):
            return self
        class_names = [self.classes[i] for i in np.unique(self.labels).tolist()]
        if missing := [name for name in class_names if name not in classes]:
            raise LabelError(
                f"The labels are {', '.join(map(repr, class_names[:20]))}; {short(missing[0])} is not one of the "
                f"classes {', '.join(map(repr, list(classes)[:20]))}. Name the labels like the classes, or number them "
                f"in their order."
            )
        if twice := [name for name in class_names if list(classes).count(name) > 1]:
            raise LabelError(
                f"Of the classes {', '.join(map(repr, list(classes)[:20]))} more than one is called {short(twice[0])}. "
                f"Number the labels in their order."
            )
        place = {name: i for i, name in enumerate(classes)}
        order = np.array([place.get(name, -1) for name in self.classes], dtype=np.int64)
        return replace(self, labels=order[self.labels], classes=tuple(classes))


def misfit(loci: Sequence[Locus | None], lengths: Int64) -> tuple[int, str] | None:
    """Find the first locus that is not as long as its sequence, and say so; None where all fit.

    Example:
        >>> misfit([None, Locus("chr1", 100, 300)], np.array([5, 201]))
        (1, 'its locus chr1:100-300:+ has 200 nt, its letters 201: ...')
    """
    for row, (locus, length) in enumerate(zip(loci, lengths.tolist(), strict=True)):
        if locus is not None and locus.end - locus.start != length:
            wide = locus.end - locus.start
            hint = " (a start that is 1-based is one too high)" if wide == length - 1 else ""
            return row, (
                f"its locus {locus} has {wide:,} nt, its letters {length:,}: expected as many, 0-based and half-open"
                f"{hint}."
            )
    return None


def _labels(labels: Sequence[Any] | NDArray[Any] | None) -> NDArray[Any] | None:
    if labels is None:
        return None
    array = np.asarray(labels)
    if array.dtype == np.uint64 and (array >= MOST_CLASSES).any():
        raise LabelError(f"Expected classes as labels: 0, 1, 2, ..., found {array.max()}.")
    if array.dtype.kind in "iub":
        return array.astype(np.int64)
    if array.dtype.kind == "f":
        return array.astype(np.float64)
    raise LabelError(f"Labels are {array.dtype}; expected whole numbers (classes) or floats (values).")


@dataclass(frozen=True, eq=False)
class Tokens:
    """Tokens of a micro-batch.

    Attributes:
        ids: ``int64 [sequence, token]``, special tokens included.
        mask: ``bool [sequence, token]``, False on padding.
        spans: ``int32 [sequence, token, 2]``, half-open nucleotides under each token, empty for special tokens
            and padding.

    Example:
        >>> import kmerit as km
        >>> model = km.load_model("bundled:promoter")
        >>> tokens = model.tokenize(*Sequences.from_strings(["ACGTTGCA"]).padded())
        >>> tokens.spans[0].tolist()  # [CLS], three 6-mers, [SEP]
        [[0, 0], [0, 6], [1, 7], [2, 8], [0, 0]]
    """

    ids: Int64
    mask: Bool
    spans: Int32

    def __repr__(self) -> str:
        return f"<Tokens: {self.ids.shape[0]} sequences x {self.ids.shape[1]} tokens, padding included>"

    def __post_init__(self) -> None:
        if self.ids.shape != self.mask.shape or self.spans.shape != (*self.ids.shape, 2):
            raise ValueError(f"ids {self.ids.shape}, mask {self.mask.shape}, spans {self.spans.shape} do not fit.")


Strands = Literal["forward", "both"]
"""A sequence as it is read, or that and its reverse complement."""
Words = NDArray[np.uint64]

COMPLEMENT: Int8 = np.array([3, 2, 1, 0, N], dtype=np.int8)
"""``COMPLEMENT[b]`` pairs with ``b``; N stays N."""


def reverse_complement(bases: Int8) -> Int8:
    """Read the other strand, 5' to 3'.

    Example:
        >>> from kmerit.sequences import decode, encode
        >>> decode(reverse_complement(encode("AACGN")))
        'NCGTT'
    """
    return COMPLEMENT[bases[..., ::-1]]


def other_strand(sequences: Sequences) -> Sequences:
    """Return the reverse complement of each sequence, under its name and with its label; without loci.

    Example:
        >>> other_strand(Sequences.from_strings(["AACG", "TTN"])).strings()
        ['CGTT', 'NAA']
    """
    bases = (
        np.concatenate([reverse_complement(each) for each in sequences.rows()]) if len(sequences) else sequences.bases
    )
    return Sequences(
        sequences.names,
        bases,
        sequences.offsets,
        sequences.labels,
        classes=sequences.classes,
        outputs=sequences.outputs,
    )


def kmers(bases: Int8, k: int) -> Int64:
    """Number every k-mer, stride 1, in the order of ACGT.

    Args:
        bases: ``[..., position]``; anything outside 0..3 spoils the k-mers over it.
        k: Word length, 1 to 31.

    Returns:
        ``int64 [..., position - k + 1]`` in ``0 .. 4**k - 1``, or -1 where a base is not A, C, G or T.

    Example:
        >>> from kmerit.sequences import encode
        >>> kmers(encode("ACGTN"), 2).tolist()
        [1, 6, 11, -1]
    """
    count = bases.shape[-1] - k + 1
    if count < 1:
        return np.zeros((*bases.shape[:-1], 0), dtype=np.int64)
    number = np.zeros((*bases.shape[:-1], count), dtype=np.int64)
    invalid: Bool = np.zeros(number.shape, dtype=np.bool_)
    for j in range(k):
        digit = bases[..., j : j + count]
        number = number * 4 + digit
        invalid |= (digit < 0) | (digit >= N)
    number[invalid] = -1
    return number


def canonical_kmers(bases: Int8, k: int = 32) -> tuple[Words, Bool]:
    """Pack every k-mer, stride 1, to a number that is equal on both strands.

    Two bits per base; of a k-mer and its reverse complement the smaller number counts.

    Args:
        bases: ``[position]``; anything outside 0..3 spoils the k-mers over it.
        k: Word length, 1 to 32.

    Returns:
        ``uint64 [position - k + 1]``, and ``bool`` of the same shape: False where a base is not A, C, G or T.

    Example:
        >>> from kmerit.sequences import encode
        >>> canonical_kmers(encode("AACGTTN"), 3)[0][:4].tolist()
        [1, 6, 6, 1]
    """
    count = bases.size - k + 1
    if count < 1:
        return np.zeros(0, dtype=np.uint64), np.zeros(0, dtype=np.bool_)
    valid = (bases >= 0) & (bases < N)
    run = np.concatenate([np.zeros(1, dtype=np.int32), np.cumsum(~valid, dtype=np.int32)])
    forward = np.where(valid, bases, 0).astype(np.uint64)
    words, other_strand = _pack(forward, np.uint64(3) - forward, k)
    return np.minimum(words, other_strand), run[k:] == run[:-k]


def _pack(forward: Words, complement: Words, k: int) -> tuple[Words, Words]:
    """Pack k-mers from their halves: the first half is the high part, on the other strand the low part."""
    if k == 1:
        return forward, complement
    half = k // 2
    right = k - half
    count = forward.size - k + 1
    words, reverse_words = _pack(forward, complement, half)
    right_words, right_others = (words, reverse_words) if right == half else _pack(forward, complement, right)
    return (
        words[:count] << np.uint64(2 * right) | right_words[half : half + count],
        right_others[half : half + count] << np.uint64(2 * half) | reverse_words[:count],
    )


def gc_count(bases: Int8) -> Int64:
    """Count the bases that are G or C along the last axis."""
    return np.asarray(((bases == 1) | (bases == 2)).sum(axis=-1), dtype=np.int64)


def one_hot(bases: Int8) -> NDArray[np.float32]:
    """Encode each base one-hot, in the order ACGT; N and padding are all 0.

    Args:
        bases: ``[sequence, position]``.

    Returns:
        ``float32 [sequence, 4, position]``.

    Example:
        >>> from kmerit.sequences import encode
        >>> one_hot(encode("GAN")[None])[0].tolist()
        [[0.0, 1.0, 0.0], [0.0, 0.0, 0.0], [1.0, 0.0, 0.0], [0.0, 0.0, 0.0]]
    """
    return np.asarray(bases[:, None] == np.arange(4)[:, None], dtype=np.float32)


def dinucleotide_shuffle(bases: Int8, generator: np.random.Generator) -> Int8:
    """Shuffle a sequence so that every dinucleotide occurs as often as before, every such order equally likely.

    Source: altschul1985, algorithm of the doublet-preserving permutation (a random Eulerian path).

    Args:
        bases: ``int8 [position]``.
        generator: What draws.

    Returns:
        ``int8 [position]``; the first and the last letter stay.

    Example:
        >>> from kmerit.sequences import decode, encode
        >>> decode(dinucleotide_shuffle(encode("AGACAT"), np.random.default_rng(2)))
        'ACAGAT'
    """
    followers = [bases[1:][bases[:-1] == letter] for letter in range(N + 1)]
    last, present = int(bases[-1]), [letter for letter in range(N + 1) if followers[letter].size]
    while True:  # a letter's last exit must lead on to the last letter, else the path would end too early
        exits = {a: int(generator.integers(followers[a].size)) for a in present if a != last}
        if all(_leads(a, last, {b: int(followers[b][i]) for b, i in exits.items()}) for a in exits):
            break
    queues = []
    for letter, follower in enumerate(followers):
        final = exits.get(letter)
        other_followers = follower if final is None else np.delete(follower, final)
        end = follower[:0] if final is None else follower[final : final + 1]
        queues.append(iter(np.concatenate([generator.permutation(other_followers), end]).tolist()))
    path = [int(bases[0])]
    for _ in range(bases.size - 1):
        path.append(next(queues[path[-1]]))
    return np.array(path, dtype=np.int8)


def _leads(start: int, end: int, exits: dict[int, int]) -> bool:
    for _ in range(N + 1):
        if start == end:
            return True
        start = exits[start]
    return False


_LOCUS = re.compile(r"(\S+):([0-9]{1,19})-([0-9]{1,19})(?::([+-])|\(([+.-])\))?")
_WHOLE = re.compile(r"([0-9]+)(?:\.0*)?", re.ASCII)
_END = 2**63
"""Positions are held in 64 bits."""


def split_locus(text: str) -> tuple[str, str, str, str | None] | None:
    """Take ``chrom:start-end`` apart, with ``:+`` or ``(+)`` behind it or without; None if it is something else.

    The chromosome ends at the last colon that leaves an interval: names of HLA contigs hold colons.

    Example:
        >>> split_locus("HLA-A*01:01:01:01:1-200(-)"), split_locus("HLA-A*01:01:01:01")
        (('HLA-A*01:01:01:01', '1', '200', '-'), None)
    """
    match = _LOCUS.fullmatch(text)
    return None if match is None else (match[1], match[2], match[3], match[4] or match[5])


def spell_locus(locus: Locus) -> str:
    """Write a locus as :func:`split_locus` takes it apart.

    Example:
        >>> spell_locus(Locus("chr1", 100, 300, "-"))
        'chr1:100-300:-'
    """
    return f"{locus.chrom}:{locus.start}-{locus.end}:{locus.strand}"


def parse_locus(cells: Sequence[Any], place: str) -> Locus | None:
    """Make a locus of what a file says; None where it says nothing.

    Args:
        cells: Chromosome; first position, 0-based; position after the last; strand: ``+``, ``-``, or nothing or
            ``.``, which mean ``+``.
        place: Where this stands, for an error.

    Raises:
        FormatError: Only a part is there, or it is no interval.

    Example:
        >>> parse_locus(["chr1", "7", 10.0, None], "x.csv, line 2")
        Locus(chrom='chr1', start=7, end=10, strand='+')
    """
    # NaN, unlike everything else, does not equal itself: pandas writes it for whole numbers that are missing.
    values: list[Any] = [None if cell == "" or cell != cell else cell for cell in cells]
    chrom, first, last, strand = values
    present = [cell is not None for cell in (chrom, first, last)]
    if not any(present):
        return None
    start, end = _position(first), _position(last)
    strand = "+" if strand in (None, ".") else strand
    if not all(present) or start is None or end is None or not start < end < _END or strand not in ("+", "-"):
        raise FormatError(
            f"{place}: expected chromosome, start < end (0-based) and strand + or -, "
            f"found {', '.join(map(short, values))}."
        )
    return Locus(_name(chrom), start, end, strand)


def _name(cell: Any) -> str:
    """Spell a chromosome: 1.0 is what pandas makes of 1 where another is missing."""
    return str(int(cell) if isinstance(cell, float) and cell.is_integer() else cell)


def _position(cell: Any) -> int | None:
    """Understand a whole number of at least 0, as number or text; pandas makes floats of whole numbers."""
    match = None if isinstance(cell, bool) else _WHOLE.fullmatch(str(cell).strip())
    return int(match[1]) if match and len(match[1]) < 20 else None


def generator(seed: int, purpose: str, draw: int, name: str) -> np.random.Generator:
    """Make the generator of one draw for one sequence.

    Args:
        seed: Of the whole trial.
        purpose: What is drawn: ``"ties"``, ``"random"``, or an operator's name.
        draw: Its number, from 0.
        name: The sequence's name.

    Example:
        >>> a, b = (generator(0, "ties", 1, "chr1:5-9").random() for _ in range(2))
        >>> a == b
        True
    """
    key = hashlib.blake2b(f"{seed}|{purpose}|{draw}|{name}".encode(), digest_size=16).digest()
    return np.random.Generator(np.random.Philox(key=int.from_bytes(key, "little")))
