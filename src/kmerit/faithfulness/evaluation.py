"""One chunk of a trial: make the mutants of a few sequences, classify each once, and tabulate what came out."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from kmerit.errors import LengthError
from kmerit.faithfulness.curves import logits_column, named
from kmerit.faithfulness.mutants import Design, SequenceMutants, mutants_of
from kmerit.faithfulness.rankings import tied
from kmerit.sequence import gc_count
from kmerit.types import Float, Int8, Int64, Sequences, Tokens

if TYPE_CHECKING:
    import pyarrow as pa

    from kmerit.models import Model

# A token's key holds its sequence in the chunk, its start, its span and its id: 11 + 20 + 12 + 20 bits.
_START_BITS, _SPAN_BITS, _ID_BITS = 20, 12, 20
MOST_SEQUENCES = 2**11
"""In a chunk."""


@dataclass(frozen=True, eq=False)
class Part:
    """The outcomes of one chunk; mutants are numbered within it.

    Attributes:
        mutants: As in a `MutagenesisCurve`, ids from 0.
        cells: As in a `MutagenesisCurve`, mutants as numbered here.
        tied: Per method, positions whose score another position has too.
        nonfinite: Per method, positions without a finite score.
        micro_batch: What they were classified with.
    """

    mutants: pa.Table
    cells: pa.Table
    tied: dict[str, int]
    nonfinite: dict[str, int]
    micro_batch: int


def evaluate(
    model: Model,
    design: Design,
    chunk: Sequences,
    scores: list[Float],
    first: int,
    progress: Callable[[int], None] | None = None,
) -> Part:
    """Run the trial on one chunk of sequences.

    Args:
        model: What classifies.
        design: Which mutants to make.
        chunk: The sequences.
        scores: ``[method, position]`` for each.
        first: Index of the first sequence among all.
        progress: Told the number of sequences finished, after each micro-batch.
    """
    made = [mutants_of(design, *each) for each in zip(chunk.names, chunk, scores, strict=True)]
    owner = np.repeat(np.arange(len(chunk)), [len(each.distinct) for each in made])
    bases = np.full((owner.size, int(chunk.lengths.max())), -1, dtype=np.int8)
    bases[np.arange(bases.shape[1]) < chunk.lengths[owner, None]] = np.concatenate([m.distinct.ravel() for m in made])
    logits, changed = _classify(model, chunk, bases, owner, progress)
    return Part(
        _mutants_table(bases, owner + first, logits, changed),
        _cells_table(design, made, chunk.lengths, first),
        _tally(design, [tied(each) for each in scores]),
        _tally(design, [(~np.isfinite(each)).sum(axis=-1) for each in scores]),
        model.micro_batch,
    )


def _classify(
    model: Model, chunk: Sequences, bases: Int8, owner: Int64, progress: Callable[[int], None] | None
) -> tuple[Float, Int64]:
    """Give the logits of every mutant, and how many of its tokens its sequence does not have."""
    wild = np.sort(_token_keys(model.tokenize(*chunk.padded()), np.arange(len(chunk))), axis=None)
    logits, changed = [], []
    for start in range(0, owner.size, model.micro_batch):
        rows = slice(start, start + model.micro_batch)
        lengths = chunk.lengths[owner[rows]]
        tokens = model.tokenize(bases[rows, : lengths.max()], lengths)
        logits.append(model.forward(tokens))
        keys = _token_keys(tokens, owner[rows])
        nearest = wild[np.searchsorted(wild[:-1], keys)]
        changed.append(((keys >= 0) & (keys != nearest)).sum(axis=1))
        if progress is not None:
            progress(int(owner[rows.stop]) if rows.stop < owner.size else len(chunk))
    return np.concatenate(logits), np.concatenate(changed)


def _token_keys(tokens: Tokens, owner: Int64) -> Int64:
    """Number what a token is and where, apart for each sequence: ``int64 [row, token]``, -1 where it spans nothing."""
    start, end = tokens.spans[..., 0].astype(np.int64), tokens.spans[..., 1].astype(np.int64)
    key = owner[:, None]
    for part, bits in ((start, _START_BITS), (end - start, _SPAN_BITS), (tokens.ids, _ID_BITS)):
        if int(part.max(initial=0)) >> bits:
            raise LengthError(
                f"A trial counts changed tokens up to position {2**_START_BITS - 1}, {2**_SPAN_BITS - 1} nt a token "
                f"and {2**_ID_BITS} words; got {part.max()}. Crop with --crop (nt)."
            )
        key = (key << bits) + part
    return np.where(end > start, key, -1)


def _mutants_table(bases: Int8, sequence: Int64, logits: Float, changed: Int64) -> pa.Table:
    import pyarrow as pa

    return pa.table(
        {
            "id": pa.array(np.arange(sequence.size)),
            "sequence": pa.array(sequence, pa.int32()),
            "logits": logits_column(logits),
            "tokens_changed": pa.array(changed, pa.int32()),
            "gc": pa.array(gc_count(bases), pa.int32()),
        }
    )


def _cells_table(design: Design, made: list[SequenceMutants], lengths: Int64, first: int) -> pa.Table:
    import pyarrow as pa

    rows, columns = design.rows, design.columns
    shape = (len(made), rows.method.size, columns)
    before = np.cumsum([0, *(len(each.distinct) for each in made)])[:-1]
    substitutions = np.stack([design.substitutions(int(length)) for length in lengths])
    full = np.arange(columns) == (columns - 1 if design.full else -1)

    def column(values: NDArray[Any]) -> NDArray[Any]:
        return np.broadcast_to(values, shape).ravel()

    return pa.table(
        {
            "method": named(column(rows.method[:, None]), design.names),
            "operator": named(column(rows.operator[:, None]), tuple(o.name for o in design.operators)),
            "order": named(column(rows.order[:, None]), tuple(o.name for o in design.orders)),
            "n": pa.array(column(substitutions[:, None, :]), pa.int32()),
            "full": pa.array(column(full)),
            "draw": pa.array(column(rows.draw[:, None]), pa.int32()),
            "sequence": pa.array(column(np.arange(first, first + len(made))[:, None, None]), pa.int32()),
            "mutant": pa.array(column(np.stack([each.which for each in made]) + before[:, None, None])),
        }
    )


def _tally(design: Design, counts: list[Int64]) -> dict[str, int]:
    return dict(zip(design.methods, np.sum(counts, axis=0).tolist(), strict=True))
