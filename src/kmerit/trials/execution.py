"""The work of a trial:
scores in, chunk by chunk mutants out and classified, in memory or on disk, whole or in shares.
"""

from __future__ import annotations

import hashlib
import json
import logging
import math
import os
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from functools import cache, partial
from itertools import chain, islice
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from kmerit import store
from kmerit.attribution.method import Method
from kmerit.attribution.own_scores import OWN_FILES, is_file_of_own, own_scores
from kmerit.datasets.similarity import groups, near_copies, neighbours
from kmerit.disk import return_memory
from kmerit.errors import (
    FormatError,
    LabelError,
    LengthError,
    RunMismatch,
    SequenceError,
    TargetError,
    UnsupportedMethod,
    UsageError,
    Withheld,
)
from kmerit.io.crops import Tiles
from kmerit.io.readers import SequencesLike, as_sequences
from kmerit.io.scores import (
    IDENTITY,
    read_attributions,
    read_identity,
    readable,
    reason_to_withhold,
    refuse_gaps,
    stored_settings,
    too_far,
    verify,
    without_letters,
)
from kmerit.results import (
    BOTH,
    FORWARD,
    UNKNOWN,
    Attribution,
    Identity,
    Outcomes,
    Problem,
    known_or,
    strands_of,
    task_digest,
    value_name,
)
from kmerit.sequences import Bool, Float, Int8, Int64, N, Sequences, Tokens, gc_count
from kmerit.store import (
    StoredParts,
    altered,
    atomic_write,
    hold,
    read_proof,
    read_record,
    refuse_other,
    refuse_strangers,
    write_record,
)
from kmerit.trials.controls import RANDOM, Controls
from kmerit.trials.design import Design, SequenceMutants, mutants_of
from kmerit.trials.flanks import Flanks
from kmerit.trials.operators import EFFECTS, Answers, Operator, revealed
from kmerit.trials.outcomes import (
    ABOUT,
    CELLS,
    COMPRESSION,
    FORMAT,
    MUTANTS,
    SEQUENCES,
    TABLES,
    finish,
    logits_column,
    method_column,
    named,
    read_about,
    sequences_table,
    write_table,
)
from kmerit.trials.rankings import exact_effects, tied

if TYPE_CHECKING:
    import pyarrow as pa

    from kmerit.models.layers import Products
    from kmerit.models.masked import MaskedModel
    from kmerit.models.model import Model


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
        content: Computes `digest`, once.
        chunks: Gives the scores, in the order of the sequences.
        withheld: ``bool [method, sequence]``, whether scores were withheld; such a method does not rank that sequence.
        rows: ``int64 [sequence]``, where each sequence stands among those of the source.
        model: Digest of the model that they are of, where that is known.
        problem: What that model predicts, if that is not classes.
        strands: Which strands each method's scores were taken on, see `strands_of`; the lines that `with_signs` adds
            are a method's, and have no entry.
    """

    methods: tuple[str, ...]
    targets: Int64
    content: Callable[[], str]
    chunks: Chunks
    withheld: Bool
    rows: Int64
    model: str | None = None
    problem: str | None = None
    strands: tuple[str, ...] = ()

    @property
    def digest(self) -> str:
        """sha256 of methods, targets and scores, the same for a file and for what was read from it."""
        return self.content()

    @property
    def by_strands(self) -> dict[str, list[str]]:
        """List the methods by the strands of their scores."""
        own_methods = list(zip(self.strands, self.methods, strict=False))
        return {each: [m for strands, m in own_methods if strands == each] for each in sorted(set(self.strands))}


SIGNED, UNSIGNED, NEGATIVE = "signed", "unsigned", "negative"
"""What a line of scores is ranked by: signed scores; sizes (of scores that have a sign, too); or, of scores for a
value, signed scores from the lowest up, whose mutation is to raise the value."""


def size_of(method: str) -> str:
    """Name the line in which a signed method is ranked by the size of its scores.

    Example:
        >>> size_of("lrp")
        'size(lrp)'
    """
    return f"size({method})"


def negative_of(method: str) -> str:
    """Name the line in which a signed method is ranked from its lowest score up.

    Example:
        >>> negative_of("lrp")
        'negative(lrp)'
    """
    return f"negative({method})"


def is_line(ranking: str) -> bool:
    """Return whether a name is that of a second line of a method, by size or from the lowest score up.

    Example:
        >>> is_line("size(lrp)"), is_line("negative(lrp)"), is_line("lrp")
        (True, True, False)
    """
    return ranking.startswith(("size(", "negative(")) and ranking.endswith(")")


def method_of(ranking: str) -> str:
    """Name the method whose scores a line ranks by.

    Example:
        >>> method_of("size(lrp)"), method_of("lrp")
        ('lrp', 'lrp')
    """
    return ranking.partition("(")[2][:-1] if is_line(ranking) else ranking


def with_signs(scores: Scores, *, sizes: bool = True, negatives: bool = False) -> tuple[Scores, dict[str, str]]:
    """Give every method whose sign matters more rankings: its scores without their sign, and turned round.

    It matters where, in some sequence, another score is among the tenth that is highest by size than by sign.

    Args:
        scores: Of the methods.
        sizes: Whether such a method is also ranked by the size of its scores.
        negatives: Whether it is also ranked from its lowest score up, as the scores for a value are.

    Returns:
        The scores of all rankings, the methods' own first; and by name, whether each is ``signed``, ``unsigned`` or
        ``negative``.
    """
    matters = np.zeros(len(scores.methods), dtype=np.bool_)
    for chunk in scores.chunks(_HEADER_SEQUENCES):
        for each in chunk:
            finite = np.where(np.isfinite(each), each, -np.inf)
            first = max(1, each.shape[1] // 10)
            least = np.partition(finite, -first, axis=1)[:, -first]  # the lowest of the highest tenth
            matters |= (-each > least[:, None]).any(axis=1)
    signed = np.flatnonzero(matters)
    signs = {m: SIGNED if has else UNSIGNED for m, has in zip(scores.methods, matters.tolist(), strict=True)}
    of_signed = [scores.methods[at] for at in signed.tolist()]
    by_size = {size_of(name): UNSIGNED for name in of_signed if sizes}
    turned = {negative_of(name): NEGATIVE for name in of_signed if negatives}

    def chunks(size: int) -> Iterator[list[Float]]:
        for chunk in scores.chunks(size):
            yield [
                np.concatenate([each, *([np.abs(each[signed])] * sizes), *([-each[signed]] * negatives)])
                for each in chunk
            ]

    withheld = np.concatenate([scores.withheld, *[scores.withheld[signed]] * (sizes + negatives)])
    every = replace(scores, methods=(*scores.methods, *by_size, *turned), chunks=chunks, withheld=withheld)
    return every, signs | by_size | turned


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


class OnTrial(NamedTuple):
    """What is put on trial, see `on_trial`."""

    model: Model
    sequences: Sequences
    scores: Scores
    renamed: dict[str, str]


def on_trial(
    model: Model, sequences: SequencesLike, source: Any, *, controlled: bool = True, tiles: Tiles | None = None
) -> OnTrial:
    """Open what is put on trial, and check that it fits together.

    Args:
        model: What classifies; of one that predicts several labels or values, the one that the scores explain is kept.
        sequences: What to mutate; labels get the model's numbers.
        source: Scores, see `open_scores`.
        controlled: Whether there are controls; then a method called like one is renamed.
        tiles: How the model reads longer sequences; as the scores were made.

    Raises:
        SequenceError: No sequence, an N, or scores of other sequences.
        TargetError: Scores of several labels or values.
        UsageError: Scores that were made with other tiles.
    """
    sequences, model = as_sequences(sequences), replace(model, tiles=tiles)
    if tiles is not None:
        tiles.log(sequences)
    scores, renamed = open_scores(source, sequences, model), dict[str, str]()
    if controlled:
        scores, renamed = apart_from(scores, RANDOM)
        for old, new in renamed.items():
            logger.warning("The scores %s are called %s in this trial: %s is its control.", old, new, old)
    model, scores = one_task(model, scores)
    sequences = model.numbered(sequences)
    check_sequences(model, sequences)
    _log_strands(scores)
    return_memory()
    return OnTrial(model, sequences, scores, renamed)


def _log_strands(scores: Scores) -> None:
    """Log that scores are of both strands, which mutants are not; warn where others on trial are not, either."""
    by_strands = {strands: ", ".join(methods) for strands, methods in scores.by_strands.items()}
    if (both := by_strands.pop(BOTH, None)) is None:
        return
    logger.info("scores of both strands: %s; mutants are classified on the forward strand only", both)
    if by_strands:
        names = {FORWARD: "the forward strand", UNKNOWN: "unknown strands"}
        logger.warning(
            "This trial compares scores of both strands (%s) with scores of %s. Score all methods on the same strands "
            "to compare them.",
            *(both, " and of ".join(f"{names[strands]} ({methods})" for strands, methods in by_strands.items())),
        )


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
    if isinstance(source, str | os.PathLike) and not is_file_of_own(source):
        return _from_file(Path(source), sequences, model)
    attributions = _attributions(source, sequences, model)
    if not attributions:
        raise UsageError("Expected at least one attribution to put on trial, got none. Name a method.")
    by_method: dict[str, Attribution] = {}
    for method, attribution in attributions.items():
        _check_level(attribution.usable().level, method)
        if attribution.identity is None and attribution.names != sequences.names:
            raise _other_sequences(method, attribution.names, sequences.names)
        _check_tiles(attribution.settings, method, sequences, model)
        by_method[method] = attribution.of(sequences)
    first = next(iter(by_method.values()))
    for method, attribution in by_method.items():
        _check_targets(attribution.target != first.target, method, sequences.names)

    def chunks(size: int) -> Iterator[list[Float]]:
        for start in range(0, len(sequences), size):
            rows = range(start, min(start + size, len(sequences)))
            yield [np.stack([_fitted(a.scores[i], sequences, i) for a in by_method.values()]) for i in rows]

    withheld = np.stack([attribution.withheld_rows for attribution in by_method.values()])
    rows = np.arange(len(sequences))
    of, strands = _of(first.settings), tuple(attribution.strands for attribution in by_method.values())
    content = _content(tuple(by_method), first.target, chunks)
    return Scores(tuple(by_method), first.target, content, chunks, withheld, rows, *of, strands)


def _content(methods: Sequence[str], targets: Int64, chunks: Chunks) -> Callable[[], str]:
    """Compute `scores_digest` when it is asked for."""
    return cache(lambda: scores_digest(methods, targets, chain.from_iterable(chunks(_HEADER_SEQUENCES))))


def scores_digest(methods: Sequence[str], targets: Int64, scores: Iterable[Float]) -> str:
    """sha256 of methods, targets and scores.

    Args:
        methods: Names.
        targets: ``int64 [sequence]``, what the scores explain.
        scores: ``[method, position]`` for each sequence; positions at its end without any score do not count.

    Example:
        >>> targets, scores = np.array([1]), np.array([[0.5, 1.0]])
        >>> padded = np.array([[0.5, 1.0, np.nan]])
        >>> scores_digest(["lrp"], targets, [scores]) == scores_digest(["lrp"], targets, [padded])
        True
    """
    digest = hashlib.sha256(json.dumps(list(methods)).encode())
    digest.update(np.asarray(targets, dtype=np.int64).tobytes())
    for each in scores:
        end = each.shape[1]
        while end and np.isnan(each[:, end - 1]).all():
            end -= 1
        digest.update(f"{each.dtype} {end} ".encode())
        digest.update(each[:, :end].tobytes())
    return digest.hexdigest()


def _of(settings: Mapping[str, Any]) -> tuple[str | None, str | None]:
    """Return from settings which model was scored, and its type of problem."""
    model, problem = settings.get("model"), settings.get("problem")
    return None if model is None else str(model), None if problem is None else str(problem)


def _attributions(source: Any, sequences: Sequences, model: Model | None) -> dict[str, Attribution]:
    """Return attributions as they are; turn arrays into attributions of the same explained classes."""
    if isinstance(source, Attribution):
        return {source.method: source}
    if isinstance(source, Mapping) and all(isinstance(each, Attribution) for each in source.values()):
        return dict(source)
    if isinstance(source, list | tuple) and source:
        if all(isinstance(each, Attribution) for each in source):
            by_method = {each.method: each for each in source}
            if len(by_method) < len(source):
                raise UsageError(f"attributions: two are of {source[0].method}; give them names: {{'mine': ..., ...}}.")
            return by_method
        if all(isinstance(each, str | Method) for each in source):
            names = ", ".join(repr(each if isinstance(each, str) else each.name) for each in source)
            raise UsageError(
                f"attributions: expected scores, got names of methods; km.attribute(..., [{names}]) scores."
            )
    if model is None:
        raise UsageError("Arrays of scores need the model that they explain: km.own_scores(model, sequences, scores).")
    if not isinstance(source, Mapping):
        return own_scores(model, sequences, source)
    attributions: dict[str, Attribution] = {
        name: each for name, each in source.items() if isinstance(each, Attribution)
    }
    arrays = {name: each for name, each in source.items() if name not in attributions}
    if not attributions:
        return own_scores(model, sequences, arrays)
    target = next(iter(attributions.values())).of(sequences).target
    attributions |= own_scores(model, sequences, arrays, target)
    return {name: attributions[name] for name in source}


def _from_file(path: Path, sequences: Sequences, model: Model | None) -> Scores:
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        verify(path)
        file = pq.ParquetFile(path)
    except FileNotFoundError:
        raise FormatError(f"{path}: no such file. Write attributions with: kmerit attribute --out {path}") from None
    except (pa.ArrowException, OSError) as error:
        raise FormatError(f"{path}: not a readable Parquet file ({error}). {OWN_FILES}") from None
    if missing := {*_HEADER, "scores"} - set(file.schema_arrow.names):
        raise FormatError(
            f"{path}: expected the columns of an attribution, lacks {', '.join(sorted(missing))}. {OWN_FILES}"
        )
    if not set(_MORE) <= set(file.schema_arrow.names):
        raise without_letters(path)
    settings = stored_settings(path, file.schema_arrow)
    with readable(path):
        header = _header(path, file.metadata.num_rows, sequences)
    if header is None:
        logger.info("%s: the rows of a sequence are not together, so the scores of all sequences are held", path)
        return open_scores(read_attributions(path), sequences, model)
    for method in header.methods:
        _check_tiles(settings.get(method, {}), method, sequences, model)
    for method, delta in zip(header.methods, header.delta.T, strict=True):
        tolerance = settings.get(method, {}).get("tolerance")
        if tolerance is not None and too_far(delta, tolerance).all():
            reason = reason_to_withhold(delta, tolerance)
            raise Withheld(f"{path}: {method} was withheld: {reason}. Attribute again without it.")
    # What is given back reads the scores later; it holds these, and not the header.
    methods, rows, targets = header.methods, header.rows, header.targets[header.rows]
    tolerances = [settings.get(method, {}).get("tolerance") for method in methods]
    withheld = [
        np.zeros(rows.size, dtype=np.bool_) if tolerance is None else too_far(delta[rows], tolerance)
        for delta, tolerance in zip(header.delta.T, tolerances, strict=True)
    ]

    def stored(size: int) -> Iterator[list[Float]]:
        """Read the scores of each method, of sequence after sequence, in the order of the file."""
        for table in _tables(path, ["scores"], size * len(methods)):
            lists = table["scores"].combine_chunks()
            values = np.split(
                lists.flatten().to_numpy(zero_copy_only=False), np.cumsum(lists.value_lengths().to_numpy())[:-1]
            )
            for start in range(0, len(values), len(methods)):
                yield values[start : start + len(methods)]

    def chunks(size: int) -> Iterator[list[Float]]:
        in_order: Iterable[list[Float]] = stored(size)
        if not np.array_equal(rows, np.arange(rows.size)):  # another order: all must be at hand
            every = list(in_order)
            in_order = (every[row] for row in rows.tolist())
        fitted = (_fitted_all(scores, sequences, i) for i, scores in enumerate(in_order))
        while chunk := list(islice(fitted, size)):
            yield chunk

    of = _of(settings.get(methods[0], {}))
    strands = tuple(strands_of(settings.get(method, {})) for method in methods)
    content = _content(methods, targets, chunks)
    return Scores(methods, targets, content, chunks, np.stack(withheld), rows, *of, strands)


def _tables(path: Path, columns: list[str], rows: int) -> Iterator[pa.Table]:
    """Read ``rows`` rows at a time across row groups: batches of a dictionary end where a row group ends."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    buffer = None
    # A pre-buffering reader would hold those columns of the whole file.
    for batch in pq.ParquetFile(path, pre_buffer=False).iter_batches(rows, columns=columns):
        table = pa.Table.from_batches([batch])
        refuse_gaps(path, table)
        buffer = table if buffer is None else pa.concat_tables([buffer, table])
        while buffer is not None and buffer.num_rows >= rows:
            yield buffer.slice(0, rows)
            # What is left of a whole table is empty, and would keep it in memory to the end of the file.
            buffer = buffer.slice(rows) if buffer.num_rows > rows else None
    if buffer is not None:
        yield buffer


class _Header(NamedTuple):
    """All but the scores.

    Attributes:
        methods: In the order of their rows.
        targets: ``int64 [sequence]``, by sequence of the file.
        delta: ``[sequence, method]``, likewise.
        rows: ``int64 [sequence]``, where in the file each sequence on trial stands.
    """

    methods: tuple[str, ...]
    targets: Int64
    delta: Float
    rows: Int64


def _header(path: Path, count: int, sequences: Sequences) -> _Header | None:
    """Read all but the scores; names are not held. None if the rows of a sequence are not together, in one order."""
    import pyarrow.parquet as pq

    first = next(_tables(path, _HEADER, _HEADER_SEQUENCES), None)
    pairs = [] if first is None else list(zip(first["name"].to_pylist(), first["method"].to_pylist(), strict=True))
    methods = tuple(method for name, method in pairs if name == pairs[0][0])
    if not methods:
        raise FormatError(f"{path}: expected a row for each sequence and method, found none. Attribute again.")
    stored, rest = divmod(count, len(methods))
    if rest:
        return None
    targets: Int64 = np.empty(stored, dtype=np.int64)
    kind = pq.read_schema(path).field("delta").type.to_pandas_dtype()
    delta: Float = np.empty((stored, len(methods)), dtype=kind)
    in_order, start = stored == len(sequences), 0
    for table, identity in _identities(path, len(methods)):
        names, method = table["name"].to_pylist(), table["method"].to_pylist()
        if method != list(methods) * len(identity.names) or names != [n for n in identity.names for _ in methods]:
            return None
        for name, level in sorted(set(zip(method, table["level"].to_pylist(), strict=True))):
            _check_level(level, name)
        target = table["target"].to_numpy().reshape(-1, len(methods))
        for column, name in enumerate(methods):
            _check_targets(target[:, column] != target[:, 0], name, identity.names)
        rows = slice(start, start + len(identity.names))
        targets[rows] = target[:, 0]
        delta[rows] = table["delta"].to_numpy().reshape(-1, len(methods))
        in_order = in_order and identity.matches(sequences.take(rows))
        start = rows.stop
    if in_order:
        own_rows = np.arange(len(sequences))
    else:
        whole = Identity.joined([identity for _, identity in _identities(path, len(methods))])
        own_rows = whole.rows_of(sequences, repr(str(path)))
    return _Header(methods, targets, delta, own_rows)


def _identities(path: Path, methods: int) -> Iterator[tuple[pa.Table, Identity]]:
    """Read all but the scores, some sequences at a time, and who they are."""
    for table in _tables(path, [*_HEADER, *_MORE], _HEADER_SEQUENCES * methods):
        yield table, read_identity(table.take(np.arange(0, table.num_rows, methods)))


def _fitted_all(scores: Iterable[Float], sequences: Sequences, i: int) -> Float:
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


def _check_tiles(settings: Mapping[str, Any], method: str, sequences: Sequences, model: Model | None) -> None:
    """Refuse scores of other tiles than the model reads, if a sequence is longer than a tile."""
    if model is None or "model" not in settings:
        return
    longest = int(sequences.lengths.max(initial=0))

    def words(tiles: Tiles | None) -> str:
        if tiles is None or tiles.length >= longest:
            return "whole sequences"
        return f"tiles of {tiles.length} nt, one every {tiles.step} nt"

    of_scores = words(Tiles(settings["tile"], settings["stride"]) if "tile" in settings else None)
    if of_scores != words(model.tiles):
        raise UsageError(
            f"The scores of {method!r} were made of {of_scores}; here the model reads {words(model.tiles)}. Give both "
            f"the same --tile and --stride (Python: tiles=)."
        )


def _check_targets(differ: Any, method: str, names: tuple[str, ...]) -> None:
    if np.any(differ):
        raise TargetError(
            f"{method!r} explains another class of {names[int(np.argmax(differ))]!r} than the first method does; "
            f"one trial compares scores for one class. Attribute all methods with the same target."
        )


def _other_sequences(what: str, names: tuple[str, ...], expected: tuple[str, ...]) -> SequenceError:
    if len(names) != len(expected):
        return SequenceError(f"{what!r} has scores of {len(names)} sequences; expected those of {len(expected)}.")
    i = next(i for i, (a, b) in enumerate(zip(names, expected, strict=True)) if a != b)
    return SequenceError(
        f"{what!r} has scores of {names[i]!r} where {expected[i]!r} is expected. Attribute these very sequences."
    )


# A token's key holds its sequence in the chunk, its start, its span and its id: 11 + 20 + 12 + 20 bits.
_START_BITS, _SPAN_BITS, _ID_BITS = 20, 12, 20
MOST_SEQUENCES = 2**11
"""In a chunk."""


@dataclass(frozen=True, eq=False)
class Part:
    """The outcomes of one chunk; mutants are numbered within it.

    Attributes:
        mutants: As in `Outcomes`, ids from 0.
        cells: As in `Outcomes`, mutants as numbered here.
        sequences: Of the third table of `Outcomes`: ``original``, as numbered here, and what is known by method.
        micro_batch: What they were classified with.
        ranking_evaluations: Classifications that rankings themselves took (the bounds), by ranking.
    """

    mutants: pa.Table
    cells: pa.Table
    sequences: pa.Table
    micro_batch: int
    ranking_evaluations: dict[str, int] = field(default_factory=dict)


def evaluate(
    model: Model,
    designs: Sequence[Design],
    chunk: Sequences,
    rankings: Sequence[Sequence[Mapping[str, Float]]],
    first: int,
    progress: Callable[[int], None] | None = None,
    answers: Sequence[Answers] | None = None,
) -> tuple[pa.Table, pa.Table, int]:
    """Run the trial on one chunk of sequences.

    Args:
        model: What classifies.
        designs: Which mutants to make.
        chunk: The sequences.
        rankings: For each sequence and design, the scores of the rankings that it takes part in.
        first: Index of the first sequence among all.
        progress: Called with the number of sequences finished, after each micro-batch.
        answers: What models answered of each sequence, for operators that ask one.

    Returns:
        The tables of mutants and of cells, and the micro-batch that the model had.

    Raises:
        UnsupportedMethod: Nucleotides are to be masked, and the model has no token for that.
    """
    by_sequence = zip(chunk.names, chunk.rows(), rankings, answers or [{}] * len(chunk), strict=True)
    mutants = [mutants_of(designs, *each) for each in by_sequence]
    owner = np.repeat(np.arange(len(chunk)), [len(each.distinct) for each in mutants])
    bases = np.full((owner.size, int(chunk.lengths.max())), -1, dtype=np.int8)
    bases[np.arange(bases.shape[1]) < chunk.lengths[owner, None]] = np.concatenate(
        [m.distinct.ravel() for m in mutants]
    )
    logits, changed = _classify(model, chunk, bases, owner, progress)
    exact = all(operator.exact for design in designs for operator in design.operators)
    substituted = None if exact else (revealed(bases)[0] != chunk.padded()[0][owner]).sum(axis=1)
    return (
        _mutants_table(bases, owner + first, logits, changed, substituted),
        _cells_table(designs, mutants, chunk.lengths, first),
        model.micro_batch,
    )


def sequence_columns(mutants: pa.Table, methods: Sequence[str], scores: Sequence[Float], withheld: Bool) -> pa.Table:
    """Tabulate what is known of a chunk's sequences: the ids of the unmutated ones, and how far scores rank positions.

    Args:
        mutants: Of the chunk: sequence by sequence, and the first of each is the sequence itself.
        methods: In the order of the scores.
        scores: By sequence ``[method, position]``.
        withheld: ``bool [method, sequence]``.
    """
    import pyarrow as pa

    finite = [np.isfinite(each) for each in scores]
    equal = [each.min(axis=1) == each.max(axis=1) for each in scores]
    by_method = {
        "tied": np.array([tied(each) for each in scores]).T.astype(np.int32),
        "nonfinite": np.array([(~here).sum(axis=1) for here in finite]).T.astype(np.int32),
        "constant": np.array([here.all(axis=1) & same for here, same in zip(finite, equal, strict=True)]).T,
        "withheld": withheld,
    }
    originals = np.unique(mutants["sequence"].to_numpy(), return_index=True)[1]
    columns = {name: method_column(methods, values) for name, values in by_method.items()}
    return pa.table({"original": pa.array(originals, pa.int64()), **columns})


def _classify(
    model: Model, chunk: Sequences, bases: Int8, owner: Int64, progress: Callable[[int], None] | None
) -> tuple[Float, Int64]:
    """Give the logits of every mutant, and how many of its tokens its sequence does not have."""
    if model.tiles is not None:
        return _classify_tiles(model, model.tiles, chunk, bases, owner, progress)
    wild = np.sort(_token_keys(model.tokenize(*chunk.padded()), np.arange(len(chunk))), axis=None)
    logits, changed = [], []
    for start in range(0, owner.size, model.micro_batch):
        rows = slice(start, start + model.micro_batch)
        lengths = chunk.lengths[owner[rows]]
        letters, hidden = revealed(bases[rows, : lengths.max()])
        tokens = masked(model.tokenize(letters, lengths), hidden, model)
        logits.append(model.forward(tokens, [f"a mutant of {chunk.names[i]}" for i in owner[rows]]))
        keys = _token_keys(tokens, owner[rows])
        nearest = wild[np.searchsorted(wild[:-1], keys)]
        changed.append(((keys >= 0) & (keys != nearest)).sum(axis=1))
        if progress is not None:
            progress(int(owner[rows.stop]) if rows.stop < owner.size else len(chunk))
    return np.concatenate(logits), np.concatenate(changed)


def _classify_tiles(
    model: Model, tiles: Tiles, chunk: Sequences, bases: Int8, owner: Int64, progress: Callable[[int], None] | None
) -> tuple[Float, Int64]:
    """Classify mutants by the mean over their tiles, each different tile once, and count changed tokens in all."""
    from kmerit.models.inference import over_tiles

    pieces, whole = tiles.cut(chunk), replace(model, tiles=None)
    logits, changed = [], []
    for i, length in enumerate(chunk.lengths.tolist()):
        own = np.flatnonzero(pieces.owner == i).tolist()
        answers, counts = [], []
        for tile, (letters, which) in zip(own, tiles.distinct(bases[owner == i, :length]), strict=True):
            alone = np.zeros(len(letters), dtype=np.int64)
            of_tile, count = _classify(whole, pieces.sequences.take([tile]), letters, alone, None)
            answers.append(of_tile[which])
            counts.append(count[which])
        logits.append(over_tiles(model.problem, np.stack(answers)))
        changed.append(np.sum(counts, axis=0))
        if progress is not None:
            progress(i + 1)
    return np.concatenate(logits), np.concatenate(changed)


def masked(tokens: Tokens, hidden: Bool, model: Model) -> Tokens:
    """Put [MASK] in place of every token over a hidden nucleotide.

    Raises:
        UnsupportedMethod: The model has no token for that.
    """
    if not hidden.any():
        return tokens
    mask_id = model.tokenizer.mask_id
    if mask_id is None:
        raise UnsupportedMethod(f"{model.name} has no mask token. Leave out the operator mask.")
    upto = np.pad(np.cumsum(hidden, axis=1), ((0, 0), (1, 0)))
    start, end = (np.take_along_axis(upto, tokens.spans[..., side].astype(np.int64), axis=1) for side in (0, 1))
    return Tokens(np.where(end > start, mask_id, tokens.ids), tokens.mask, tokens.spans)


def _token_keys(tokens: Tokens, owner: Int64) -> Int64:
    """Number what a token is and where, apart for each sequence: ``int64 [row, token]``, -1 where it spans nothing."""
    start, end = tokens.spans[..., 0].astype(np.int64), tokens.spans[..., 1].astype(np.int64)
    key = owner[:, None]
    for part, bits in ((start, _START_BITS), (end - start, _SPAN_BITS), (tokens.ids, _ID_BITS)):
        if int(part.max(initial=0)) >> bits:
            raise LengthError(
                f"A trial counts changed tokens up to position {2**_START_BITS - 1}, {2**_SPAN_BITS - 1} nt a token "
                f"and {2**_ID_BITS} words; got {part.max()}. Crop with --crop (Python: km.prepare)."
            )
        key = (key << bits) + part
    return np.where(end > start, key, -1)


def _mutants_table(bases: Int8, sequence: Int64, logits: Float, changed: Int64, substituted: Int64 | None) -> pa.Table:
    import pyarrow as pa

    columns = {
        "id": pa.array(np.arange(sequence.size)),
        "sequence": pa.array(sequence, pa.int32()),
        "logits": logits_column(logits),
        "tokens_changed": pa.array(changed, pa.int32()),
        "gc": pa.array(gc_count(revealed(bases)[0]), pa.int32()),
    }
    if substituted is not None:
        columns["positions_changed"] = pa.array(substituted, pa.int32())
    return pa.table(columns)


def _cells_table(
    designs: Sequence[Design], mutants_by_sequence: list[SequenceMutants], lengths: Int64, first: int
) -> pa.Table:
    """List the cells sequence by sequence, the designs of each in their order; names are numbered over all designs."""
    import pyarrow as pa

    names, operators, orders = (
        tuple(dict.fromkeys(name for design in designs for name in of(design))) for of in _NAMES
    )
    before = np.cumsum([0, *(len(each.distinct) for each in mutants_by_sequence)])[:-1]
    parts: list[list[NDArray[Any]]] = []
    for i, mutants in enumerate(mutants_by_sequence):
        for design, which in zip(designs, mutants.which, strict=True):
            rows, shape = design.rows, which.shape
            full = np.arange(design.columns) == (design.columns - 1 if design.full else -1)
            columns = (
                _number(design.names, names)[rows.method][:, None],
                _number(_NAMES[1](design), operators)[rows.operator][:, None],
                _number(_NAMES[2](design), orders)[rows.order][:, None],
                design.substitutions(int(lengths[i]))[None],
                full[None],
                rows.draw[:, None],
                np.array([[first + i]]),
                which + before[i],
            )
            parts.append([np.broadcast_to(values, shape)[which >= 0] for values in columns])
    method, operator, order, n, is_full, draw, sequence, mutant = map(np.concatenate, zip(*parts, strict=True))
    return pa.table(
        {
            "method": named(method, names),
            "operator": named(operator, operators),
            "order": named(order, orders),
            "n": pa.array(n, pa.int32()),
            "full": pa.array(is_full),
            "draw": pa.array(draw, pa.int32()),
            "sequence": pa.array(sequence, pa.int32()),
            "mutant": pa.array(mutant),
        }
    )


_NAMES: tuple[Callable[[Design], tuple[str, ...]], ...] = (
    lambda design: design.names,
    lambda design: tuple(operator.name for operator in design.operators),
    lambda design: tuple(order.name for order in design.orders),
)


def _number(here: tuple[str, ...], all_names: tuple[str, ...]) -> Int64:
    return np.array([all_names.index(name) for name in here], dtype=np.int64)


_WHAT = "a trial with other settings"
_OTHER = "Choose a new folder with --out (Python: out=)."
_WHERE_ASKED = ("tile", "stride", "controls", "grid")
"""Settings that are recorded only where they were asked for."""
ROW_GROUP = 2**16
"""Rows that are written together."""


class PartFolder(StoredParts):
    """The chunks of one trial, each written once; its record comes last and proves that the chunk is done.

    Args:
        folder: Where the outcomes will be; the parts lie in ``parts/`` in it.
        settings: What determines the outcomes; parts of other settings are refused.
        model: What it computes with is recorded in the parts, which all of them are held to.

    Raises:
        RunMismatch: The folder holds, wholly or in part, the outcomes of another trial, or files that are none of ours.
    """

    def __init__(self, folder: Path, settings: Mapping[str, Any], model: Model) -> None:
        from kmerit.models.model import environment

        self.folder = folder
        record, about = read_record(folder / "parts" / "settings.json"), read_about(folder)
        begun = begun_in(folder)
        conditions = model.begun_with(begun, folder, _WHAT).conditions
        self.products: Products = conditions["products"]  # they differ in the last bits
        super().__init__(folder / "parts", {"layout": FORMAT, **settings, **conditions}, folder)
        self.finished = about is not None and not altered(folder, about["files"])
        if about is not None:
            self._check(begun, {*self.settings, *_WHERE_ASKED} - environment().keys())
        elif record is not None:
            self._check(record, {*self.settings, *_WHERE_ASKED})
        else:
            refuse_strangers(folder, "a trial", lambda entry: entry.name not in TABLES or _is_table(entry))
            for path in self.parts.glob("[0-9]*.json"):
                if (read_record(path) or {"settings": self.digest}).get("settings") != self.digest:
                    raise RunMismatch(f"{folder} holds parts of a trial with other settings. {_OTHER}")
        if about is not None and self.finished:
            write_record(folder / ABOUT, about)  # where blanks were changed
            self.remove(TABLES)

    def _check(self, record: Mapping[str, Any], compared: Collection[str]) -> None:
        for keys in ({key for key in compared if key != "chunk"}, {"chunk"}):  # which follows from the others
            then, now = ({key: each.get(key) for key in keys} for each in (record, self.settings))
            refuse_other(self.folder, _WHAT, then, now)

    def write(self, index: int, part: Part) -> None:
        """Keep a chunk."""
        self.plan()
        tables = {
            self.path(index, name): table
            for name, table in zip(TABLES, (part.mutants, part.cells, part.sequences), strict=True)
        }
        for path, table in tables.items():
            write_table(path, table)
        self.prove(index, TABLES, tallies={"micro_batch": part.micro_batch, "asked": part.ranking_evaluations})

    def read(self, count: int) -> Iterator[Part]:
        """Read the chunks back, in order.

        Raises:
            FormatError: One was damaged after it was looked at.
        """
        import pyarrow.parquet as pq

        for index in range(count):
            record = read_proof(self.path(index, "json"))
            if record is None:
                raise FormatError(f"{self.path(index, 'json')}: damaged. Give the same command again.")
            tallies = record["tallies"]
            mutants, cells, sequences = (pq.read_table(self.path(index, name)) for name in TABLES)
            yield Part(mutants, cells, sequences, tallies["micro_batch"], tallies["asked"])


def begun_in(folder: Path | None) -> dict[str, Any]:
    """Read the settings of the trial that a folder holds, wholly or in part; empty where there is none."""
    if folder is None:
        return {}
    if (about := read_about(folder)) is not None:
        return {"layout": about["format"], **about["settings"]}
    return read_record(folder / "parts" / "settings.json") or {}


_MARKS = {MUTANTS: {"sequence", "id"}, CELLS: {"sequence", "mutant"}, SEQUENCES: {"name", "target", "original"}}
"""Columns that show a table to be one of outcomes."""


def _is_table(path: Path) -> bool:
    """Whether a file is a table of some trial: one may have lost its ``outcomes.json``."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        return _MARKS[path.name] <= set(pq.read_schema(path).names)
    except (OSError, pa.ArrowException):
        return False


_TABLES_TOGETHER = 64


@dataclass
class Totals:
    """What is counted over all chunks.

    Attributes:
        evaluations: Distinct mutants, each classified once.
        cells: Classifications, had every cell of the design been classified on its own.
        micro_batches: Mutants by the micro-batch they were classified with.
        intact: Cells whose mutant is the sequence itself.
        ranking_evaluations: Per ranking, classifications that making it took.
        sequences: The third tables of the chunks, many in one: each of them alone would keep pages of memory from
            being used again.
        latest: Those of the last chunks.
    """

    evaluations: int = 0
    cells: int = 0
    intact: int = 0
    micro_batches: Counter[int] = field(default_factory=Counter)
    ranking_evaluations: Counter[str] = field(default_factory=Counter)
    sequences: list[pa.Table] = field(default_factory=list)
    latest: list[pa.Table] = field(default_factory=list)

    def add(self, part: Part) -> Part:
        """Count a chunk, and hand it on."""
        import pyarrow as pa

        self.evaluations += part.mutants.num_rows
        self.cells += part.cells.num_rows
        self.micro_batches[part.micro_batch] += part.mutants.num_rows
        self.ranking_evaluations.update(part.ranking_evaluations)
        self.intact += int(np.isin(part.cells["mutant"].to_numpy(), part.sequences["original"].to_numpy()).sum())
        self.latest.append(part.sequences)
        if len(self.latest) == _TABLES_TOGETHER:
            self.sequences.append(pa.concat_tables(self.latest).combine_chunks())
            self.latest.clear()
        return part


def numbered(parts: Iterable[Part]) -> Iterator[Part]:
    """Number the mutants of successive chunks through, from 0."""
    import pyarrow as pa
    import pyarrow.compute as pc

    before = 0
    for part in parts:
        mutants, cells, sequences = (
            table.set_column(table.column_names.index(name), name, pc.add(table[name], pa.scalar(before, pa.int64())))
            for table, name in ((part.mutants, "id"), (part.cells, "mutant"), (part.sequences, "original"))
        )
        before += mutants.num_rows
        yield replace(part, mutants=mutants, cells=cells, sequences=sequences)


def join_tables(parts: Iterable[Part]) -> tuple[pa.Table, pa.Table, Totals]:
    """Put the tables of successive chunks together in memory: mutants, cells, and what was counted."""
    import pyarrow as pa

    totals = Totals()
    tables = [totals.add(part) for part in numbered(parts)]
    return pa.concat_tables(p.mutants for p in tables), pa.concat_tables(p.cells for p in tables), totals


def write_tables(parts: Iterable[Part], folder: Path) -> Totals:
    """Write the mutants and cells of successive chunks to their files, one row group in memory at a time."""
    import pyarrow.parquet as pq

    totals = Totals()
    with atomic_write(folder / MUTANTS) as mutants, atomic_write(folder / CELLS) as cells, ExitStack() as opened:
        writers: list[pq.ParquetWriter] = []
        for tables in row_groups(map(totals.add, numbered(parts))):
            writers = writers or [
                opened.enter_context(pq.ParquetWriter(path, table.schema, compression=COMPRESSION))
                for path, table in zip((mutants, cells), tables, strict=True)
            ]
            for writer, table in zip(writers, tables, strict=True):
                writer.write_table(table)
    return totals


def row_groups(parts: Iterable[Part]) -> Iterator[tuple[pa.Table, pa.Table]]:
    """Gather the tables of chunks, mutants and cells, until either has `ROW_GROUP` rows.

    A writer remembers every row group until the file is closed, so small ones are not written.
    """
    import pyarrow as pa

    group: list[Part] = []

    def together() -> tuple[pa.Table, pa.Table]:
        return pa.concat_tables(part.mutants for part in group), pa.concat_tables(part.cells for part in group)

    for part in parts:
        group.append(part)
        if max(sum(each.mutants.num_rows for each in group), sum(each.cells.num_rows for each in group)) >= ROW_GROUP:
            yield together()
            group.clear()
    if group:
        yield together()


logger = logging.getLogger(__name__)

Progress = Callable[[int, int], None]

CELLS_PER_CHUNK = 2048
"""A chunk, what is lost when a trial is killed, is as many sequences as have about this many cells in the design."""


@dataclass(frozen=True, eq=False)
class Arm:
    """A design, and the sequences that take part in it.

    Attributes:
        name: What it is called in the settings.
        design: Its full cross; all arms share seed and composition.
        members: ``bool [sequence]``.
    """

    name: str
    design: Design
    members: Bool


Extra = Callable[[Sequences, Int64], tuple[list[dict[str, Float]], dict[str, int]]]
"""Makes rankings by asking the model: a chunk and its indices among all sequences to each one's further rankings, and
how many classifications those took."""


def perform(
    model: Model,
    sequences: Sequences,
    scores: Scores,
    arms: Sequence[Arm],
    settings: dict[str, Any],
    out: Path | None,
    progress: Progress | None,
    clusters: Int64 | None,
    extra: Extra | None = None,
    diagnostics: Mapping[str, Any] | None = None,
    share: store.Work | None = None,
    judging: Mapping[str, Any] | None = None,
) -> Outcomes | Path:
    """Classify the mutants of every arm, and keep the raw outcomes.

    Args:
        model: What classifies.
        sequences: Checked.
        scores: Of the methods, which the first arm compares.
        arms: Which mutants of which sequences.
        settings: Everything that determines the outcomes.
        out: The folder of the outcomes; None keeps them in memory.
        progress: Called with the sequences finished, and their number.
        clusters: Of `clusters_of`; None in a share, which does not write them. They are found before the work, because
            finding them takes memory.
        extra: Makes the rankings that the scores do not hold.
        diagnostics: What is known beforehand; what is counted is added to it.
        share: What of it is done, in a folder; by default all.
        judging: What the plan and all shares must agree on, though no outcome depends on it.

    Raises:
        UsageError: A share of what is kept in memory, or a process that a launcher of trainings has started.
        RunError: A share without a plan, or to be gathered before every share is there.
    """
    from kmerit.models.inference import fitting
    from kmerit.models.layers import making

    store.refuse_launcher()
    if share is not None and out is None:
        raise UsageError("share: expected a folder (out) that the shares meet in, got none.")

    judging = store.as_json(judging or {}, "judging")
    designs = [arm.design for arm in arms]
    maskers = maskers_of(model, sequences, [operator for design in designs for operator in design.operators])
    if maskers:
        settings["maskers"] = {name: each.digest for name, each in maskers.items()}
    size = max(1, min(CELLS_PER_CHUNK // sum(design.cells for design in designs), MOST_SEQUENCES))
    settings = {**settings, "chunk": size}
    rankings = _controls(sequences, scores, arms)

    def evaluated(skip: Callable[[int], bool]) -> Iterator[tuple[int, Part]]:
        for index, chunk_scores in enumerate(scores.chunks(size)):
            first = index * size
            rows = np.arange(first, min(first + size, len(sequences)))
            if not skip(index):
                chunk, evaluations = sequences.take(rows), dict[str, int]()
                by_sequence = [rankings(i, each) for i, each in zip(rows.tolist(), chunk_scores, strict=True)]
                if extra is not None:
                    more, evaluations = extra(chunk, rows)
                    by_sequence = [{**columns, **new} for columns, new in zip(by_sequence, more, strict=True)]
                by_arm = [
                    [each if arm.members[i] else {} for arm in arms] for i, each in zip(rows, by_sequence, strict=True)
                ]
                answers = _answers(model, chunk, scores.targets[rows], arms, rows, maskers)
                if any(EFFECTS in each for each in answers):
                    evaluations[SUBSTITUTIONS] = 3 * sum(len(each[EFFECTS]) for each in answers if EFFECTS in each)
                report = _from(first, len(sequences), progress)
                work = partial(
                    evaluate,
                    designs=designs,
                    chunk=chunk,
                    rankings=by_arm,
                    first=first,
                    progress=report,
                    answers=answers,
                )
                mutants, cells, micro_batch = fitting(model, work)
                columns = sequence_columns(mutants, scores.methods, chunk_scores, scores.withheld[:, rows])
                yield index, Part(mutants, cells, columns, micro_batch, evaluations)
            elif progress is not None:
                progress(first + rows.size, len(sequences))

    def finished(totals: Totals, products: Products) -> tuple[pa.Table, dict[str, Any], dict[str, Any]]:
        return (
            _sequences(sequences, scores, totals, clusters),
            {
                **settings,
                "products": products,
                "classes": [] if model.regression else list(model.labels),
                **_value_of(model),
            },
            {**(diagnostics or {}), **rankings.about, **_counted(settings, totals, len(sequences))},
        )

    if out is None:
        mutants, cells, totals = join_tables(part for _, part in evaluated(lambda index: False))
        return Outcomes(mutants, cells, *finished(totals, model.products))
    if isinstance(share, store.Share):
        # Shares lock their own names, and the plan is there before any of them begins.
        with StoredParts(out / "parts", settings, out).holding(share):
            folder = PartFolder(out, settings, model)
            if not folder.finished:
                folder.need_plan()
                folder.check_last_step(judging)
                with making(folder.products):
                    for index, part in evaluated(lambda index: index not in share or folder.done(index)):
                        folder.write(index, part)
                PartFolder(out, settings, model)  # which removes the parts if the trial was finished meanwhile
        return out
    with hold(out):
        folder, count = PartFolder(out, settings, model), math.ceil(len(sequences) / size)
        if share == "plan" and not folder.finished:
            folder.plan_last_step(judging)
            folder.plan()
        elif not folder.finished:
            folder.need_idle()
            if share == "gather":
                folder.need_plan()
                folder.check_last_step(judging)
                folder.need_all(count)
            else:
                with making(folder.products):
                    for index, part in evaluated(folder.done):
                        folder.write(index, part)
            totals = write_tables(folder.read(count), folder.folder)
            return_memory()
            table, *about = finished(totals, folder.products)
            return_memory()
            finish(folder.folder, table, *about)
            folder.remove(TABLES)
    return out


SUBSTITUTIONS = "single substitutions"
"""Under which the classifications are counted that operators took which ask the model."""


def maskers_of(model: Model, sequences: Sequences, operators: Iterable[Operator]) -> dict[str, MaskedModel | Flanks]:
    """Load what operators take letters from: masked language models, where the model is, and flanks on a genome.

    Raises:
        CheckpointError: One is no masked language model.
        LengthError: A sequence is too long for one.
        SequenceError, FormatError: A sequence without a flank, or a file that is not its genome.
    """
    from kmerit.models.masked import load_each

    sources = {operator.source: operator.genome for operator in operators if operator.source not in ("", EFFECTS)}
    maskers = load_each([name for name, genome in sources.items() if not genome], model.device, model.micro_batch)
    for masker in maskers.values():
        masker.check(sequences)
    return {**maskers, **{name: Flanks.of(genome, sequences) for name, genome in sources.items() if genome}}


def answers_of(
    model: Model,
    sequences: Sequences,
    targets: Int64,
    operators: Sequence[Operator],
    maskers: Mapping[str, MaskedModel | Flanks],
) -> list[dict[str, Float]]:
    """Ask what operators ask: of each sequence, what each source answers."""
    answers: list[dict[str, Float]] = [{} for _ in range(len(sequences))]
    if len(sequences) and any(operator.source == EFFECTS for operator in operators):
        for own, (_, effects) in zip(answers, exact_effects(model, sequences, targets), strict=True):
            own[EFFECTS] = effects
    for name in {operator.source for operator in operators} & maskers.keys():
        source = maskers[name]
        if isinstance(source, Flanks):
            letters: Iterable[Float] = source.answers(sequences)
        else:
            letters = map(source.letters, sequences.rows())
        for own, each in zip(answers, letters, strict=True):
            own[name] = each
    return answers


def _answers(
    model: Model,
    chunk: Sequences,
    targets: Int64,
    arms: Sequence[Arm],
    rows: Int64,
    maskers: Mapping[str, MaskedModel | Flanks],
) -> list[dict[str, Float]]:
    """Ask of the sequences whose arms have an operator that asks."""
    asking = [arm for arm in arms if any(operator.asks for operator in arm.design.operators)]
    answers: list[dict[str, Float]] = [{} for _ in range(len(chunk))]
    members = np.flatnonzero(np.any([arm.members[rows] for arm in asking], axis=0)) if asking else np.zeros(0, np.int64)
    operators = [operator for arm in asking for operator in arm.design.operators]
    answers_of_members = (
        answers_of(model, chunk.take(members), targets[members], operators, maskers) if members.size else []
    )
    for member, each in zip(members.tolist(), answers_of_members, strict=True):
        answers[member] = each
    return answers


def check_sequences(model: Model, sequences: Sequences) -> None:
    """Refuse sequences that cannot be mutated.

    Raises:
        SequenceError: There is none, or one has an N.
        LengthError: One is too long for the model.
        LabelError: A label is not one of the model's classes.
    """
    if not len(sequences):
        raise SequenceError("Expected at least one sequence to mutate, got none.")
    unknown = np.flatnonzero(sequences.bases == N)
    if unknown.size:
        i = int(np.searchsorted(sequences.offsets, unknown[0], side="right")) - 1
        raise SequenceError(
            f"{sequences.names[i]!r} has an N at position {unknown[0] - sequences.offsets[i]}; an N has no other "
            f"bases to be mutated to. Drop such sequences with prepare (--drop-n)."
        )
    labels = true_classes(sequences)
    if labels is not None and not model.regression:
        for i in np.flatnonzero((labels < 0) | (labels >= model.n_classes))[:1].tolist():
            raise LabelError(
                f"{sequences.names[i]!r} has the label {labels[i]}; the model's classes are 0 to "
                f"{model.n_classes - 1} ({', '.join(model.labels)}). Give labels that count them so, or none."
            )
    model.check(sequences)


def one_task(model: Model, scores: Scores) -> tuple[Model, Scores]:
    """Reduce a model of several labels or values to the one that the scores explain.

    Returns:
        The model, or that output as a model of its own (see `Model.task`), and the scores, whose target is then the
        answer yes, or the value.

    Raises:
        TargetError: The scores explain several of them.
    """
    targets = np.unique(scores.targets)
    if model.problem in (Problem.CLASSES, Problem.VALUE):
        if scores.model is None or scores.model == model.digest:
            return model, scores
        if scores.problem is None:
            logger.warning(
                "The scores were made with another model (sha256 %s) than the one given, %s (%s).",
                str(scores.model)[:12], model.name, model.digest[:12],
            )  # fmt: skip
            return model, scores
        if targets.size == 1 and task_digest(scores.model, scores.problem, int(targets[0])) == model.digest:
            return model, _answered(scores, model.problem is Problem.CLASSES)
        raise TargetError(
            f"The scores are of output {', '.join(map(str, targets[:3]))} of a model that predicts {scores.problem}; "
            f"{model.name} is another task. Attribute with this model."
        )
    if targets.size > 1:
        raise TargetError(
            f"The scores explain {targets.size} of the {model.problem.value} of {model.name}; each is a task of its "
            f"own. Attribute with one target, by its number or name."
        )
    return model.task(int(targets[0])), _answered(scores, model.problem is Problem.LABELS)


def _value_of(model: Model) -> dict[str, str]:
    """Name the value that a model predicts; nothing of classes."""
    return {"value": value_name(model.labels[0])} if model.problem is Problem.VALUE else {}


def _answered(scores: Scores, asks: bool) -> Scores:
    """Set the explained output of scores: yes of a yes/no question, or the only value."""
    return replace(scores, targets=np.full_like(scores.targets, int(asks)), model=None)


def inputs_of(model: Model, sequences: Sequences, scores: Scores) -> dict[str, Any]:
    """List what of the model, the sequences and the scores determines the outcomes."""
    return {
        "model_sha256": model.digest,
        "dtype": str(model.dtype).removeprefix("torch."),
        "device": model.device.type,
        "micro_batch": model.micro_batch,
        **({} if model.tiles is None else {"tile": model.tiles.length, "stride": model.tiles.step}),
        "sequences_sha256": _digest(sequences),
        "scores_sha256": scores.digest,
        "strands": scores.by_strands,
    }


def _digest(sequences: Sequences) -> str:
    """sha256 of names, letters and labels."""
    data = hashlib.sha256()
    for name in sequences.names:
        data.update(f"{name}\n".encode())
    for array in (sequences.bases, sequences.offsets, sequences.labels):
        data.update(b"" if array is None else array.tobytes())
    return data.hexdigest()


def is_of(outcomes: Outcomes, sequences: Sequences) -> bool:
    """Return whether outcomes are of these sequences: names, letters and labels."""
    return outcomes.names == sequences.names and outcomes.settings["sequences_sha256"] == _digest(sequences)


def true_classes(sequences: Sequences) -> Int64 | None:
    """Give the true classes, ``int64 [sequence]``; None where sequences have none, or values."""
    labels = sequences.labels
    return labels if labels is not None and labels.dtype == np.int64 else None


def classes_of(sequences: Sequences, scores: Scores) -> Int64:
    """Give each sequence its true class where that is known, else the class that is explained."""
    return known_or(true_classes(sequences), scores.targets)


def _controls(sequences: Sequences, scores: Scores, arms: Sequence[Arm]) -> Controls:
    """Prepare to make the rankings of a sequence: the methods' own, and every control that the arms ask for."""
    designs = [arm.design for arm in arms]
    return Controls(
        [control for design in designs for control in design.controls],
        designs[0].seed,
        max(design.replicates for design in designs),
        max(design.random_sets for design in designs),
        sequences,
        scores.methods,
        classes_of(sequences, scores),
        scores.targets,
        scores.withheld,
        lambda: scores.chunks(MOST_SEQUENCES),
    )


def _sequences(sequences: Sequences, scores: Scores, totals: Totals, clusters: Int64 | None) -> pa.Table:
    """Gather what is known of each sequence."""
    import pyarrow as pa

    table = pa.concat_tables([*totals.sequences, *totals.latest])
    return sequences_table(
        sequences.names,
        sequences.lengths,
        true_classes(sequences),
        scores.targets,
        table["original"].to_numpy(),
        clusters,
        sequences.loci,
        {name: table[name] for name in Outcomes.BY_METHOD},
    )


def _counted(settings: Mapping[str, Any], totals: Totals, sequences: int) -> dict[str, Any]:
    """List what was counted over all chunks."""
    counts = {
        "evaluations": totals.evaluations,
        "naive_evaluations": totals.cells,
        "evaluations_by_micro_batch": {str(size): count for size, count in sorted(totals.micro_batches.items())},
    }
    if "grid" in settings:
        # A grid holds n = 0 only for the figures' sake; a naive trial would classify each sequence itself but once.
        counts["naive_evaluations"] = totals.cells - totals.intact + sequences
    if "grid" in settings or totals.ranking_evaluations:
        counts["ranking_evaluations"] = dict(totals.ranking_evaluations)
    return counts


def clusters_of(sequences: Sequences) -> Int64:
    """Number the clusters that a bootstrap draws whole: overlapping loci where known, else near copies, else singles.

    Example:
        >>> clusters_of(Sequences.from_strings(["ACGT" * 20, "TTGCA" * 4])).tolist()
        [0, 1]
    """
    copies, loci = near_copies(sequences), sequences.loci
    if loci is not None:
        has_locus = np.array([locus is not None for locus in loci])
        copies = copies[~has_locus[copies].all(axis=1)]
    group = groups(len(sequences), neighbours(sequences, -1), copies)
    _, first, number = np.unique(group, return_index=True, return_inverse=True)
    clusters: Int64 = np.argsort(np.argsort(first))[number]  # numbered as they come
    return_memory()
    return clusters


def _from(first: int, total: int, progress: Progress | None) -> Callable[[int], None] | None:
    return None if progress is None else lambda finished: progress(first + finished, total)
