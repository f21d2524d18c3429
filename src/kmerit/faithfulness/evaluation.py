"""One chunk of a trial: make the mutants of a few sequences, classify each once, and tabulate what came out."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from kmerit.errors import LengthError, UnsupportedMethod
from kmerit.faithfulness.curves import logits_column, method_column, named
from kmerit.faithfulness.mutants import Design, SequenceMutants, mutants_of
from kmerit.faithfulness.operators import revealed
from kmerit.faithfulness.rankings import tied
from kmerit.sequence import gc_count
from kmerit.types import Bool, Float, Int8, Int64, Sequences, Tokens

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
        mutants: As in `Outcomes`, ids from 0.
        cells: As in `Outcomes`, mutants as numbered here.
        sequences: Of the third table of `Outcomes`: ``original``, as numbered here, and what is known by method.
        micro_batch: What they were classified with.
        asked: Classifications that rankings themselves took (the bounds), by ranking.
    """

    mutants: pa.Table
    cells: pa.Table
    sequences: pa.Table
    micro_batch: int
    asked: dict[str, int] = field(default_factory=dict)


def evaluate(
    model: Model,
    designs: Sequence[Design],
    chunk: Sequences,
    rankings: Sequence[Sequence[Mapping[str, Float]]],
    first: int,
    progress: Callable[[int], None] | None = None,
) -> tuple[pa.Table, pa.Table, int]:
    """Run the trial on one chunk of sequences.

    Args:
        model: What classifies.
        designs: Which mutants to make.
        chunk: The sequences.
        rankings: For each sequence and design, the scores of the rankings that it takes part in.
        first: Index of the first sequence among all.
        progress: Told the number of sequences finished, after each micro-batch.

    Returns:
        The tables of mutants and of cells, and the micro-batch that the model had.

    Raises:
        UnsupportedMethod: Nucleotides are to be masked, and the model has no token for that.
    """
    made = [mutants_of(designs, *each) for each in zip(chunk.names, chunk, rankings, strict=True)]
    owner = np.repeat(np.arange(len(chunk)), [len(each.distinct) for each in made])
    bases = np.full((owner.size, int(chunk.lengths.max())), -1, dtype=np.int8)
    bases[np.arange(bases.shape[1]) < chunk.lengths[owner, None]] = np.concatenate([m.distinct.ravel() for m in made])
    logits, changed = _classify(model, chunk, bases, owner, progress)
    exact = all(operator.exact for design in designs for operator in design.operators)
    substituted = None if exact else (revealed(bases)[0] != chunk.padded()[0][owner]).sum(axis=1)
    return (
        _mutants_table(bases, owner + first, logits, changed, substituted),
        _cells_table(designs, made, chunk.lengths, first),
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

    known = [np.isfinite(each) for each in scores]
    equal = [each.min(axis=1) == each.max(axis=1) for each in scores]
    by_method = {
        "tied": np.array([tied(each) for each in scores]).T.astype(np.int32),
        "nonfinite": np.array([(~here).sum(axis=1) for here in known]).T.astype(np.int32),
        "constant": np.array([here.all(axis=1) & same for here, same in zip(known, equal, strict=True)]).T,
        "withheld": withheld,
    }
    originals = np.unique(mutants["sequence"].to_numpy(), return_index=True)[1]
    columns = {name: method_column(methods, values) for name, values in by_method.items()}
    return pa.table({"original": pa.array(originals, pa.int64()), **columns})


def _classify(
    model: Model, chunk: Sequences, bases: Int8, owner: Int64, progress: Callable[[int], None] | None
) -> tuple[Float, Int64]:
    """Give the logits of every mutant, and how many of its tokens its sequence does not have."""
    wild = np.sort(_token_keys(model.tokenize(*chunk.padded()), np.arange(len(chunk))), axis=None)
    logits, changed = [], []
    for start in range(0, owner.size, model.micro_batch):
        rows = slice(start, start + model.micro_batch)
        lengths = chunk.lengths[owner[rows]]
        shown, hidden = revealed(bases[rows, : lengths.max()])
        tokens = _masked(model.tokenize(shown, lengths), hidden, model)
        logits.append(model.forward(tokens, [f"a mutant of {chunk.names[i]}" for i in owner[rows]]))
        keys = _token_keys(tokens, owner[rows])
        nearest = wild[np.searchsorted(wild[:-1], keys)]
        changed.append(((keys >= 0) & (keys != nearest)).sum(axis=1))
        if progress is not None:
            progress(int(owner[rows.stop]) if rows.stop < owner.size else len(chunk))
    return np.concatenate(logits), np.concatenate(changed)


def _masked(tokens: Tokens, hidden: Bool, model: Model) -> Tokens:
    """Put [MASK] in place of every token over a hidden nucleotide."""
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
                f"and {2**_ID_BITS} words; got {part.max()}. Crop with --crop (nt)."
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


def _cells_table(designs: Sequence[Design], made: list[SequenceMutants], lengths: Int64, first: int) -> pa.Table:
    """List the cells sequence by sequence, the designs of each in their order; names are numbered over all designs."""
    import pyarrow as pa

    names, operators, orders = (
        tuple(dict.fromkeys(name for design in designs for name in of(design))) for of in _NAMES
    )
    before = np.cumsum([0, *(len(each.distinct) for each in made)])[:-1]
    parts: list[list[NDArray[Any]]] = []
    for i, mutants in enumerate(made):
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
