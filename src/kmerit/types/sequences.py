"""What goes in: sequences, where they lie, and their tokens."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from hashlib import sha256
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from kmerit.alphabet import ALPHABET, N, decode, encode
from kmerit.errors import LabelError, SequenceError, short
from kmerit.types.arrays import Bool, Int8, Int32, Int64

MOST_CLASSES = 2**31
"""Classes are numbered below this."""


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
        how = "" if anchor is None else f" (--crop {length} --anchor {anchor})"
        return f"nucleotides {self.start} to {self.end} of {self.whole}{how}"


@dataclass(frozen=True, eq=False)
class Sequences:
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
        if len(set(self.names)) != n:
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
            labels: Whole numbers from 0 for classes, floats for regression; with outputs a row of them per sequence.
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
        parts = [encode(text, name) for text, name in zip(strings, all_names, strict=True)]
        offsets = np.zeros(len(parts) + 1, dtype=np.int64)
        np.cumsum([part.size for part in parts], out=offsets[1:])
        bases = np.concatenate(parts) if parts else np.zeros(0, dtype=np.int8)
        where = None if loci is None else tuple(loci)
        several = None if outputs is None else tuple(outputs)
        return cls(all_names, bases, offsets, _labels(labels), where, outputs=several)

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

    def __len__(self) -> int:
        return len(self.names)

    def __iter__(self) -> Iterator[Int8]:
        return (self.bases[a:b] for a, b in zip(self.offsets[:-1], self.offsets[1:], strict=True))

    @property
    def lengths(self) -> Int64:
        """Nucleotides per sequence, ``int64 [sequence]``."""
        return np.diff(self.offsets)

    @cached_property
    def digests(self) -> tuple[str, ...]:
        """sha256 of each sequence's letters, as ``printf ACGT | sha256sum`` prints it.

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
        return [decode(part) for part in self]

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
            LabelError: A class that occurs is not among them.

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
                f"The labels are {', '.join(map(repr, class_names[:20]))}; {short(missing[0])} is none of the classes "
                f"{', '.join(map(repr, list(classes)[:20]))}. Name the labels like the classes, or number them in "
                f"their order."
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
