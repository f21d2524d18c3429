"""An exploration packed for a page: a header in JSON, and arrays in one gzip-compressed block, as base64.

Scores are rounded to 8 bits of their track's largest magnitude, probabilities to 16 bits: enough for the eye. The
exact numbers stay in the run folder.
"""

from __future__ import annotations

import base64
import gzip
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from kmerit.report.exploration import Exploration, Trial
from kmerit.types import Int64

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
        found = pack(explorations[name], most // (len(waiting) - at))
        if found is not None:
            packed[name] = found
            most -= len(embed(found).encode())
    return {name: packed[name] for name in explorations if name in packed}


def embed(value: Any) -> str:
    """Spell JSON so that no text in it can end the script element that holds it.

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
        known = np.isfinite(scores)
        largest = np.abs(np.where(known, scores, 0)).max(axis=1, initial=0)
        scales[:, i] = largest
        steps = np.rint(np.where(known, scores, 0) / np.where(largest, largest, 1)[:, None] * STEPS)
        parts.append(np.where(known, steps, UNKNOWN).astype(np.int8))
    return scales, np.concatenate(parts, axis=1) if parts else np.zeros((len(exploration.methods), 0), np.int8)


def _pack_trial(trial: Trial, block: _Block) -> dict[str, Any]:
    known = np.isfinite(trial.probability)
    bounded = bool(((trial.probability >= 0) & (trial.probability <= 1))[known].all())
    if bounded:
        steps = np.rint(np.where(known, trial.probability, 0) * PROBABILITY_STEPS)
        block.add("probability", np.where(known, steps, PROBABILITY_STEPS + 1).astype(np.uint16))
    else:  # a regression's values
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
        "bounded": bounded,
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
