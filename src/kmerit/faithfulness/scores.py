"""Where a trial's scores come from: attributions in memory, or their Parquet file read a chunk at a time."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from kmerit.attribution.own_scores import ARRAYS, own_scores
from kmerit.attribution.storage import (
    IDENTITY,
    read_identity,
    readable,
    refuse_gaps,
    stored_settings,
    verify,
    without_letters,
)
from kmerit.attribution.withholding import reason_to_withhold, too_far
from kmerit.errors import FormatError, SequenceError, TargetError, UsageError, Withheld
from kmerit.store import sha256
from kmerit.types import Attribution, Bool, Float, Identity, Int64, Sequences

if TYPE_CHECKING:
    import pyarrow as pa

    from kmerit.models import Model

Chunks = Callable[[int], Iterator[list[Float]]]
"""A chunk's size in sequences to chunks, each a list of scores ``[method, position]``, one per sequence."""

_HEADER = ["name", "method", "level", "target"]
_MORE = ["delta", *IDENTITY]
_HEADER_SEQUENCES = 4096


@dataclass(frozen=True)
class Scores:
    """The scores of several methods for the same sequences and the same explained classes.

    Attributes:
        methods: Names, in the order of the scores' rows.
        targets: ``int64 [sequence]``, the class explained.
        digest: sha256 of methods, targets and scores, or of the file they are in.
        chunks: Gives the scores, in the order of the sequences.
        withheld: ``bool [method, sequence]``, whether scores were withheld; such a method does not rank that sequence.
        rows: ``int64 [sequence]``, where each sequence stands among those of the source.
        model: Digest of the model that they are of, where that is known.
        problem: What that model predicts, if that is not classes.
    """

    methods: tuple[str, ...]
    targets: Int64
    digest: str
    chunks: Chunks
    withheld: Bool
    rows: Int64
    model: str | None = None
    problem: str | None = None


SIGNED, UNSIGNED = "signed", "unsigned"
"""What a line of scores is ranked by: signed scores, or sizes (of scores that have a sign, too)."""


def size_of(method: str) -> str:
    """Name the line in which a signed method is ranked by the size of its scores.

    Example:
        >>> size_of("lrp")
        'size(lrp)'
    """
    return f"size({method})"


def with_sizes(scores: Scores) -> tuple[Scores, dict[str, str]]:
    """Give every method whose sign matters a second line: its scores without their sign.

    It matters where, in some sequence, another score is among the tenth that is highest by size than by sign.

    Returns:
        The scores of all lines, the methods' own first; and by line, whether it is ``signed`` or ``unsigned``.
    """
    matters = np.zeros(len(scores.methods), dtype=np.bool_)
    for chunk in scores.chunks(_HEADER_SEQUENCES):
        for each in chunk:
            known = np.where(np.isfinite(each), each, -np.inf)
            first = max(1, each.shape[1] // 10)
            least = np.partition(known, -first, axis=1)[:, -first]  # the lowest of the highest tenth
            matters |= (-each > least[:, None]).any(axis=1)
    signed = np.flatnonzero(matters)
    lines = {m: SIGNED if has else UNSIGNED for m, has in zip(scores.methods, matters.tolist(), strict=True)}
    more = tuple(size_of(scores.methods[at]) for at in signed.tolist())

    def chunks(size: int) -> Iterator[list[Float]]:
        for chunk in scores.chunks(size):
            yield [np.concatenate([each, np.abs(each[signed])]) for each in chunk]

    withheld = np.concatenate([scores.withheld, scores.withheld[signed]])
    every = replace(scores, methods=(*scores.methods, *more), chunks=chunks, withheld=withheld)
    return every, lines | dict.fromkeys(more, UNSIGNED)


def apart_from(scores: Scores, control: str) -> tuple[Scores, dict[str, str]]:
    """Give a method that is called like a control another name, ``random_scores`` for ``random``.

    Returns:
        The scores, and the new name by the old one; empty where there is no such method.

    Raises:
        UsageError: There is a method of the new name, too.
    """
    if control not in scores.methods:
        return scores, {}
    new = f"{control}_scores"
    if new in scores.methods:
        raise UsageError(
            f"The method {control!r} is called {new!r} in a trial, and there is one of that name. Rename it."
        )
    return replace(scores, methods=tuple(new if name == control else name for name in scores.methods)), {control: new}


def open_scores(source: Any, sequences: Sequences, model: Model | None = None) -> Scores:
    """Check that scores belong to the letters of the sequences, and make them readable in chunks.

    Args:
        source: One attribution, several by name, the Parquet file that `attribute` wrote; or what `own_scores` takes,
            alone or among attributions by name.
        sequences: What was explained.
        model: What was explained; needed for arrays.

    Raises:
        UsageError: No attribution, or scores of tokens.
        SequenceError: Scores of other letters, other loci, or another number of sequences.
        TargetError: Two methods explain different classes of one sequence.
        FormatError: A file that does not hold attributions, or does not say of which letters.
        Withheld: A method whose scores were withheld for every sequence.
    """
    if isinstance(source, str | os.PathLike) and Path(source).suffix.lower() not in ARRAYS:
        return _from_file(Path(source), sequences)
    given = _attributions(source, sequences, model)
    if not given:
        raise UsageError("Expected at least one attribution to put on trial, got none. Name a method.")
    named: dict[str, Attribution] = {}
    for method, attribution in given.items():
        _check_level(attribution.usable().level, method)
        if attribution.identity is None and attribution.names != sequences.names:
            raise _other_sequences(method, attribution.names, sequences.names)
        named[method] = attribution.of(sequences)
    first = next(iter(named.values()))
    digest = hashlib.sha256()
    for method, attribution in named.items():
        _check_targets(attribution.target != first.target, method, sequences.names)
        for part in (method.encode(), attribution.target.tobytes(), attribution.scores.tobytes()):
            digest.update(part)

    def chunks(size: int) -> Iterator[list[Float]]:
        for start in range(0, len(sequences), size):
            rows = range(start, min(start + size, len(sequences)))
            yield [np.stack([_fitted(a.scores[i], sequences, i) for a in named.values()]) for i in rows]

    withheld = np.stack([attribution.withheld_rows for attribution in named.values()])
    rows = np.arange(len(sequences))
    return Scores(tuple(named), first.target, digest.hexdigest(), chunks, withheld, rows, *_of(first.settings))


def _of(settings: Mapping[str, Any]) -> tuple[str | None, str | None]:
    """Read of which model scores are, and what it predicts."""
    model, problem = settings.get("model"), settings.get("problem")
    return None if model is None else str(model), None if problem is None else str(problem)


def _attributions(source: Any, sequences: Sequences, model: Model | None) -> dict[str, Attribution]:
    """Take attributions as they are, and make some of arrays; those explain what the attributions among them do."""
    if isinstance(source, Attribution):
        return {source.method: source}
    if isinstance(source, Mapping) and all(isinstance(each, Attribution) for each in source.values()):
        return dict(source)
    if model is None:
        raise UsageError("Arrays of scores need the model that they explain: km.own_scores(model, sequences, scores).")
    if not isinstance(source, Mapping):
        return own_scores(model, sequences, source)
    made: dict[str, Attribution] = {name: each for name, each in source.items() if isinstance(each, Attribution)}
    arrays = {name: each for name, each in source.items() if name not in made}
    if not made:
        return own_scores(model, sequences, arrays)
    target = next(iter(made.values())).of(sequences).target
    explained = own_scores(model, sequences, arrays, 0)
    made |= {name: replace(each, target=target) for name, each in explained.items()}
    return {name: made[name] for name in source}


def _from_file(path: Path, sequences: Sequences) -> Scores:
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        verify(path)
        file = pq.ParquetFile(path)
    except FileNotFoundError:
        raise FormatError(f"{path}: no such file. Write attributions with: kmerit attribute --out {path}") from None
    except (pa.ArrowException, OSError) as error:
        raise FormatError(f"{path}: not a readable Parquet file ({error}).") from None
    if missing := {*_HEADER, "scores"} - set(file.schema_arrow.names):
        raise FormatError(f"{path}: expected the columns of an attribution, lacks {', '.join(sorted(missing))}.")
    if not set(_MORE) <= set(file.schema_arrow.names):
        raise without_letters(path)
    settings = stored_settings(path, file.schema_arrow)
    with readable(path):
        header = _header(path, file.metadata.num_rows, sequences)
    for method, delta in zip(header.methods, header.delta.T, strict=True):
        tolerance = settings.get(method, {}).get("tolerance")
        if tolerance is not None and too_far(delta, tolerance).all():
            reason = reason_to_withhold(delta, tolerance)
            raise Withheld(f"{path}: {method} was withheld: {reason}. Attribute again without it.")
    rows = header.identity.rows_of(sequences, repr(str(path)))
    tolerances = [settings.get(method, {}).get("tolerance") for method in header.methods]
    withheld = [
        np.zeros(rows.size, dtype=np.bool_) if tolerance is None else too_far(delta[rows], tolerance)
        for delta, tolerance in zip(header.delta.T, tolerances, strict=True)
    ]

    def stored(size: int) -> Iterator[Float]:
        """Read the scores ``[method, position]`` of sequence after sequence, in the order of the file."""
        for table in _tables(path, ["scores"], size * len(header.methods)):
            lists = table["scores"].combine_chunks()
            values = np.split(
                lists.flatten().to_numpy(zero_copy_only=False), np.cumsum(lists.value_lengths().to_numpy())[:-1]
            )
            for start in range(0, len(values), len(header.methods)):
                with readable(path):
                    found = np.stack(values[start : start + len(header.methods)])
                yield found

    def chunks(size: int) -> Iterator[list[Float]]:
        found: Iterable[Float] = stored(size)
        if not np.array_equal(rows, np.arange(rows.size)):  # another order: all must be at hand
            every = list(found)
            found = (every[row] for row in rows.tolist())
        fitted = (_fitted_all(scores, sequences, i) for i, scores in enumerate(found))
        while chunk := list(islice(fitted, size)):
            yield chunk

    of = _of(settings.get(header.methods[0], {}))
    return Scores(header.methods, header.targets[rows], sha256(path), chunks, np.stack(withheld), rows, *of)


def _tables(path: Path, columns: list[str], rows: int) -> Iterator[pa.Table]:
    """Read so many rows at a time, whatever the row groups: batches of a dictionary end where a row group ends."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    held = None
    # A pre-buffering reader would hold those columns of the whole file.
    for batch in pq.ParquetFile(path, pre_buffer=False).iter_batches(rows, columns=columns):
        table = pa.Table.from_batches([batch])
        refuse_gaps(path, table)
        held = table if held is None else pa.concat_tables([held, table])
        while held is not None and held.num_rows >= rows:
            yield held.slice(0, rows)
            # What is left of a whole table is empty, and would keep it in memory to the end of the file.
            held = held.slice(rows) if held.num_rows > rows else None
    if held is not None:
        yield held


class _Header(NamedTuple):
    """All but the scores: methods in the order of their rows, and by sequence of the file its target and deltas."""

    methods: tuple[str, ...]
    targets: Int64
    delta: Float  # [sequence, method]
    identity: Identity


def _header(path: Path, rows: int, sequences: Sequences) -> _Header:
    """Read all but the scores, and check that the rows of each sequence lie together."""
    first = next(_tables(path, _HEADER, _HEADER_SEQUENCES), None)
    named = [] if first is None else list(zip(first["name"].to_pylist(), first["method"].to_pylist(), strict=True))
    methods = tuple(method for name, method in named if name == named[0][0])
    if not methods or rows != len(methods) * len(sequences):
        raise FormatError(
            f"{path}: expected a row for each of {len(sequences)} sequences and {len(methods)} methods, found {rows}."
        )
    parts: list[_Header] = []
    for table in _tables(path, [*_HEADER, *_MORE], _HEADER_SEQUENCES * len(methods)):
        identity = read_identity(table.take(np.arange(0, table.num_rows, len(methods))))
        names, method = table["name"].to_pylist(), table["method"].to_pylist()
        if method != list(methods) * len(identity.names) or names != [n for n in identity.names for _ in methods]:
            raise FormatError(f"{path}: expected the rows of each sequence together, in one order of the methods.")
        for name, level in sorted(set(zip(method, table["level"].to_pylist(), strict=True))):
            _check_level(level, name)
        target = table["target"].to_numpy().reshape(-1, len(methods))
        for column, name in enumerate(methods):
            _check_targets(target[:, column] != target[:, 0], name, identity.names)
        delta = table["delta"].to_numpy().reshape(-1, len(methods))
        parts.append(_Header(methods, target[:, 0].astype(np.int64), delta, identity))
    return _Header(
        methods,
        np.concatenate([part.targets for part in parts]),
        np.concatenate([part.delta for part in parts]),
        Identity.joined([part.identity for part in parts]),
    )


def _fitted_all(scores: Float, sequences: Sequences, i: int) -> Float:
    return np.stack([_fitted(each, sequences, i) for each in scores])


def _fitted(scores: Float, sequences: Sequences, i: int) -> Float:
    """Cut off padding, and refuse scores that reach beyond the sequence or end before it."""
    length = int(sequences.offsets[i + 1] - sequences.offsets[i])
    if scores.size < length or np.isfinite(scores[length:]).any():
        raise SequenceError(
            f"The scores of {sequences.names[i]!r} are not of its {length} nucleotides. Attribute these sequences."
        )
    return scores[:length]


def _check_level(level: str, method: str) -> None:
    if level != "nucleotide":
        raise UsageError(
            f"The scores of {method!r} are per {level}; mutagenesis ranks nucleotides. Attribute at that level."
        )


def _check_targets(differ: Any, method: str, names: tuple[str, ...]) -> None:
    if np.any(differ):
        raise TargetError(
            f"{method!r} explains another class of {names[int(np.argmax(differ))]!r} than the first method does; "
            f"one trial compares scores for one class. Attribute all methods with the same target."
        )


def _other_sequences(what: str, found: tuple[str, ...], expected: tuple[str, ...]) -> SequenceError:
    if len(found) != len(expected):
        return SequenceError(f"{what!r} has scores of {len(found)} sequences; expected those of {len(expected)}.")
    i = next(i for i, (a, b) in enumerate(zip(found, expected, strict=True)) if a != b)
    return SequenceError(
        f"{what!r} has scores of {found[i]!r} where {expected[i]!r} is expected. Attribute these very sequences."
    )
