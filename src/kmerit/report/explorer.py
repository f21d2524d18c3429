"""The sequence explorer: letters, scores, mutations and answers, packed for a page.

An exploration packed for a page: a header in JSON, and arrays in one gzip-compressed block, as base64. Scores are
rounded to 8 bits of their track's largest magnitude, probabilities to 16 bits: enough for the eye. The exact numbers
stay in the run folder.
"""

from __future__ import annotations

import base64
import gzip
import json
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from kmerit.errors import FormatError, KmeritError
from kmerit.io.readers import read_sequences
from kmerit.report.load import RANDOM, Hits
from kmerit.results import Outcomes
from kmerit.sequences import Bool, Float, Floats, Int64, Sequences
from kmerit.trials.execution import is_of, open_scores
from kmerit.trials.outcomes import ABOUT, read_outcomes
from kmerit.trials.rankings import mutation_order, order_named

FILES = ("sequences.parquet", "attributions.parquet", "outcomes")
"""What the explorer needs; without the curve it shows the scores alone."""
_REMEDY = "Remove it, and run again to write a new one."
_CHUNK = 256


@dataclass(frozen=True, eq=False)
class Trial:
    """What a trial did to each sequence, under one operator and order.

    Attributes:
        operator: What replaced a base.
        order: In which order positions were taken.
        restores: Whether the first n positions are those that stayed.
        counts: Substitutions, and last "all" where tried.
        rows: Methods, and the random control where there was one.
        probability: ``[row, sequence, count]``, of the explained class (regression: the value), mean over draws.
        first: By method and sequence, the positions first taken, ``int64 [method, sequence, position]``.
        replicates: Draws per method.
        called: ``int64 [sequence]``, what the model calls the unmutated sequence.
        correct: ``bool [sequence]``, or None where there are no labels.
        of_values: Whether what is explained is a value, not a class.
    """

    operator: str
    order: str
    restores: bool
    counts: tuple[int | str, ...]
    rows: tuple[str, ...]
    probability: Floats
    first: Int64
    replicates: int
    called: Int64
    correct: Bool | None
    of_values: bool = False


@dataclass(frozen=True, eq=False)
class Exploration:
    """The sequences of a task, and what is known of each.

    Attributes:
        sequences: Those of the trial.
        methods: In the order of the run.
        signed: Whether a method's scores have a sign, by method.
        scores: By sequence, ``[method, position]``.
        targets: ``int64 [sequence]``, the class explained.
        ties: ``bool [method, sequence]``, whether any position's rank was drawn.
        trial: None where the trial is not done.
        spans: By sequence, the nucleotides under each token, ``int [token, 2]``; None where not recorded.
        hits: Motifs on the sequences.
        total: How many sequences the run has; more than are here where they were too many for a page.
    """

    sequences: Sequences
    methods: tuple[str, ...]
    signed: tuple[bool, ...]
    scores: tuple[Float, ...]
    targets: Int64
    ties: Bool
    trial: Trial | None
    spans: tuple[Int64, ...] | None
    hits: Hits
    total: int

    def take(self, rows: Int64) -> Exploration:
        """Keep some of the sequences."""
        trial = self.trial and replace(
            self.trial,
            probability=self.trial.probability[:, rows],
            first=self.trial.first[:, rows],
            called=self.trial.called[rows],
            correct=None if self.trial.correct is None else self.trial.correct[rows],
        )
        sequences = self.sequences.take(rows)
        names = set(sequences.names)
        return replace(
            self,
            sequences=sequences,
            scores=tuple(self.scores[i] for i in rows),
            targets=self.targets[rows],
            ties=self.ties[:, rows],
            trial=trial,
            spans=self.spans and tuple(self.spans[i] for i in rows),
            hits=Hits(source=self.hits.source, hits=tuple(hit for hit in self.hits.hits if hit.sequence in names)),
        )


def read_exploration(
    place: Path, design: tuple[str, str] | None = None, hits: Hits | None = None
) -> Exploration | None:
    """Read what the explorer shows of a task.

    Args:
        place: The task's folder in a run.
        design: Operator and order to show; the curve's first by default.
        hits: Motifs on the sequences, and where those come from; none by default.

    Returns:
        None where there are no scores of sequences yet.

    Raises:
        FormatError: A file cannot be understood, or the files do not belong together.
    """
    sequences_path, scores_path, curve_path, spans_path = (place / name for name in (*FILES, "tokens.parquet"))
    if not sequences_path.exists() or not scores_path.exists():
        return None
    try:
        sequences = read_sequences(sequences_path)
        source = open_scores(scores_path, sequences)
        if (source.rows != np.arange(len(sequences))).any():
            raise FormatError(f"{str(scores_path)!r} has its sequences in another order. {_REMEDY}")
        scores = tuple(rows for chunk in source.chunks(_CHUNK) for rows in chunk)
        outcomes = read_outcomes(curve_path) if (curve_path / ABOUT).exists() else None
        if outcomes is not None and not is_of(outcomes, sequences):
            raise FormatError(f"{str(curve_path)!r} is of other sequences than {sequences_path.name}. {_REMEDY}")
        header = pq.read_table(scores_path, columns=["signed", "tie_share"])
        spans = _spans(spans_path, sequences) if spans_path.exists() else None
        renamed = {} if outcomes is None else outcomes.settings.get("renamed", {})
        methods = tuple(renamed.get(name, name) for name in source.methods)
        trial = None if outcomes is None else _trial(outcomes, sequences, methods, scores, design)
    except (pa.ArrowException, OSError, KeyError, IndexError) as problem:
        raise FormatError(f"{str(place)!r}: the sequences' scores cannot be read ({problem}). {_REMEDY}") from None
    except FormatError:
        raise
    except KmeritError as problem:
        raise FormatError(f"{str(scores_path)!r}: {problem} {_REMEDY}") from None
    width = len(methods)
    hits = hits or Hits()
    if strangers := {hit.sequence for hit in hits.hits} - set(sequences.names):
        raise FormatError(
            f"{str(place / 'hits.json')!r} has hits on {min(strangers)!r}, which is not a sequence here. {_REMEDY}"
        )
    return Exploration(
        sequences,
        methods,
        tuple(bool(signed) for signed in header["signed"].slice(0, width).to_pylist()),
        scores,
        source.targets,
        (header["tie_share"].to_numpy().reshape(-1, width) > 0).T,
        trial,
        spans,
        hits,
        len(sequences),
    )


def _trial(
    outcomes: Outcomes,
    sequences: Sequences,
    methods: tuple[str, ...],
    scores: tuple[Float, ...],
    design: tuple[str, str] | None,
) -> Trial:
    groups, settings = outcomes.groups, outcomes.settings
    operator, order = design or (settings["operators"][0], settings["orders"][0])
    groups = groups[(groups["operator"] == operator) & (groups["order"] == order)]
    outcome = outcomes.arrays(
        {"outcome": lambda part: part.per_sequence(part.logit if part.regression else part.probability)}
    )["outcome"]
    rows = tuple(dict.fromkeys([*methods, RANDOM] if (groups["method"] == RANDOM).any() else methods))
    counts = tuple(settings["counts"])
    probability = np.full((len(rows), len(sequences), len(counts)), np.nan)
    columns = (groups.index.to_numpy(), groups["method"], groups["full"], groups["n"])
    for index, method, full, n in zip(*columns, strict=True):
        if method in rows:
            probability[rows.index(method), :, counts.index("all" if full else n)] = outcome[index]
    deepest = min(max((n for n in counts if isinstance(n, int)), default=0), int(sequences.lengths.min()))
    first = [
        mutation_order(of_sequence, name, settings["seed"], order)[:, :deepest]
        for name, of_sequence in zip(sequences.names, scores, strict=True)
    ]
    return Trial(
        operator,
        order,
        order_named(order).restores,
        counts,
        rows,
        probability,
        np.stack(first, axis=1),
        settings["replicates"],
        outcomes.predicted,
        None if outcomes.labels is None or outcomes.regression else outcomes.initially_correct,
        outcomes.regression,
    )


def _spans(path: Path, sequences: Sequences) -> tuple[Int64, ...]:
    table = pq.read_table(path, columns=["name", "starts", "ends"])
    if tuple(table["name"].to_pylist()) != sequences.names:
        raise FormatError(f"{str(path)!r} is of other sequences than {FILES[0]}. {_REMEDY}")
    pairs = zip(table["starts"].to_pylist(), table["ends"].to_pylist(), strict=True)
    return tuple(np.array([starts, ends], dtype=np.int64).T for starts, ends in pairs)


UNKNOWN = -128
"""A position without a finite score."""
STEPS = 127
"""Of a score, between zero and its track's largest magnitude."""
PROBABILITY_STEPS = 65534
"""Of a probability, between 0 and 1; one more is: unknown."""
MOST_BYTES = 6_000_000
"""What all explorations of a page may take; the page must stay below 8 MB."""
LINE_ENDS = (0x2028, 0x2029)
"""Characters that end a line in JavaScript, though not in JSON."""
_SHRINK = 0.97


@dataclass
class _Block:
    """Arrays end to end, and where each begins."""

    parts: list[bytes] = field(default_factory=list)
    index: dict[str, dict[str, Any]] = field(default_factory=dict)
    size: int = 0

    def add(self, name: str, array: NDArray[Any]) -> None:
        data = np.ascontiguousarray(array, dtype=array.dtype.newbyteorder("<")).tobytes()
        self.index[name] = {"type": str(array.dtype), "start": self.size, "count": int(array.size)}
        self.parts.append(data)
        self.size += len(data)


def pack(exploration: Exploration, most: int = MOST_BYTES) -> dict[str, Any] | None:
    """Pack an exploration; of more sequences than fit, keep the first of each class, and say so by ``total``.

    Args:
        exploration: What to pack.
        most: Bytes that it may take on the page: names, places and motifs as well as the compressed arrays.

    Returns:
        What JSON can hold; None where not even one sequence fits.
    """
    packed = _pack(exploration)
    while (size := len(embed(packed).encode())) > most:
        count = len(exploration.sequences)
        if count <= 1:
            return None
        keep = max(1, min(count - 1, int(count * most / size * _SHRINK)))
        exploration = exploration.take(_first_of_each(exploration, keep))
        packed = _pack(exploration)
    return packed


def pack_all(explorations: Mapping[str, Exploration], most: int = MOST_BYTES) -> dict[str, dict[str, Any]]:
    """Pack the explorations of a page, by task; what the small ones leave of the space, the large ones may take.

    Args:
        explorations: By task.
        most: Bytes that they may take together.

    Returns:
        By task; one of which not a sequence fits is not there.
    """
    packed: dict[str, dict[str, Any]] = {}
    waiting = sorted(explorations, key=lambda name: sum(scores.size for scores in explorations[name].scores))
    for at, name in enumerate(waiting if most > 0 else ()):
        block = pack(explorations[name], most // (len(waiting) - at))
        if block is not None:
            packed[name] = block
            most -= len(embed(block).encode())
    return {name: packed[name] for name in explorations if name in packed}


def embed(value: Any) -> str:
    """Write JSON so that no text in it can end the script element that holds it.

    Example:
        >>> "<" in embed({"name": "</script>"})
        False
    """
    text = json.dumps(value, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    for code in (ord("<"), *LINE_ENDS):
        text = text.replace(chr(code), f"\\u{code:04x}")
    return text


def _first_of_each(exploration: Exploration, keep: int) -> Int64:
    labels = exploration.sequences.labels
    classes = np.zeros(len(exploration.sequences), np.int64) if labels is None else labels
    if classes.dtype != np.int64:
        return np.arange(keep)
    # A sequence's number within its class, then the class: the first of every class, the second of every class, ...
    within = np.zeros(classes.size, np.int64)
    for label in np.unique(classes):
        within[classes == label] = np.arange((classes == label).sum())
    return np.sort(np.lexsort((classes, within))[:keep])


def _pack(exploration: Exploration) -> dict[str, Any]:
    sequences = exploration.sequences
    block = _Block()
    block.add("bases", sequences.bases.astype(np.uint8))
    scales, scores = _quantised(exploration)
    block.add("scales", scales)
    block.add("scores", scores)
    block.add("ties", exploration.ties.astype(np.uint8))
    labels = sequences.labels
    header = {
        "names": list(sequences.names),
        "lengths": sequences.lengths.tolist(),
        "loci": _loci(exploration),
        "labels": None if labels is None or labels.dtype != np.int64 else labels.tolist(),
        "targets": exploration.targets.tolist(),
        "methods": list(exploration.methods),
        "signed": list(exploration.signed),
        "total": exploration.total,
        "trial": None if exploration.trial is None else _pack_trial(exploration.trial, block),
        "tokens": _pack_spans(exploration, block),
        "hits": [hit.model_dump() for hit in exploration.hits.hits],
        "motifs": exploration.hits.source,
    }
    compressed = gzip.compress(b"".join(block.parts), compresslevel=9, mtime=0)
    return {**header, "index": block.index, "block": base64.b64encode(compressed).decode("ascii")}


def _quantised(exploration: Exploration) -> tuple[NDArray[np.float32], NDArray[np.int8]]:
    """Round scores: scales ``[method, sequence]``, and steps ``[method, nucleotide]``, sequences end to end."""
    scales = np.zeros((len(exploration.methods), len(exploration.sequences)), dtype=np.float32)
    parts = []
    for i, scores in enumerate(exploration.scores):
        finite = np.isfinite(scores)
        largest = np.abs(np.where(finite, scores, 0)).max(axis=1, initial=0)
        scales[:, i] = largest
        steps = np.rint(np.where(finite, scores, 0) / np.where(largest, largest, 1)[:, None] * STEPS)
        parts.append(np.where(finite, steps, UNKNOWN).astype(np.int8))
    return scales, np.concatenate(parts, axis=1) if parts else np.zeros((len(exploration.methods), 0), np.int8)


def _pack_trial(trial: Trial, block: _Block) -> dict[str, Any]:
    finite = np.isfinite(trial.probability)
    if not trial.of_values:
        steps = np.rint(np.where(finite, trial.probability, 0) * PROBABILITY_STEPS)
        block.add("probability", np.where(finite, steps, PROBABILITY_STEPS + 1).astype(np.uint16))
    else:
        block.add("probability", trial.probability.astype(np.float32))
    block.add("first", trial.first.astype(np.uint16 if trial.first.max(initial=0) < 2**16 else np.uint32))
    return {
        "operator": trial.operator,
        "order": trial.order,
        "restores": trial.restores,
        "counts": list(trial.counts),
        "rows": list(trial.rows),
        "deepest": int(trial.first.shape[2]),
        "replicates": trial.replicates,
        "bounded": not trial.of_values,
        "called": trial.called.tolist(),
        "correct": None if trial.correct is None else [int(right) for right in trial.correct],
    }


def _pack_spans(exploration: Exploration, block: _Block) -> dict[str, Any] | None:
    """Describe tokens by a word length where they are overlapping k-mers, else by their boundaries."""
    if exploration.spans is None:
        return None
    lengths = exploration.sequences.lengths
    k = int(exploration.spans[0][0, 1]) if exploration.spans and len(exploration.spans[0]) else 0
    if k and all(
        len(spans) == length - k + 1
        and (spans[:, 0] == np.arange(len(spans))).all()
        and (spans[:, 1] - spans[:, 0] == k).all()
        for spans, length in zip(exploration.spans, lengths, strict=True)
    ):
        return {"k": k}
    block.add("starts", np.concatenate([spans[:, 0] for spans in exploration.spans]).astype(np.uint32))
    block.add("ends", np.concatenate([spans[:, 1] for spans in exploration.spans]).astype(np.uint32))
    return {"counts": [len(spans) for spans in exploration.spans]}


def _loci(exploration: Exploration) -> list[str | None] | None:
    loci = exploration.sequences.loci
    if loci is None:
        return None
    return [None if x is None else f"{x.chrom}:{x.start:,}-{x.end:,} ({x.strand})" for x in loci]
