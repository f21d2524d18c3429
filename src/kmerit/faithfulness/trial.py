"""The mutagenesis trial: mutate what each method ranks first, classify, keep the raw outcomes."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, overload

import numpy as np

from kmerit.errors import SequenceError, UsageError
from kmerit.faithfulness.curves import write_about
from kmerit.faithfulness.evaluation import MOST_SEQUENCES, Part, evaluate
from kmerit.faithfulness.mutants import RANDOM, Design
from kmerit.faithfulness.operators import composition, operator_named
from kmerit.faithfulness.parts import PartFolder, Totals, join_tables, write_tables
from kmerit.faithfulness.rankings import order_named
from kmerit.faithfulness.scores import Scores, open_scores
from kmerit.types import Attribution, MutagenesisCurve, N, Sequences, check_counts

if TYPE_CHECKING:
    from kmerit.models import Model

Progress = Callable[[int, int], None]
Attributions = Attribution | Mapping[str, Attribution] | str | Path
PAPER_COUNTS = (0, 1, 5, 10, 15, 20, "all")

CELLS_PER_CHUNK = 2048
"""A chunk, what is lost when a trial is killed, is as many sequences as have about this many cells in the design."""


@overload
def mutate(
    model: Model,
    sequences: Sequences,
    attributions: Attributions,
    counts: Sequence[int | str] = ...,
    replicates: int = ...,
    random_sets: int = ...,
    operator: str | Sequence[str] = ...,
    order: str | Sequence[str] = ...,
    seed: int = ...,
    out: None = ...,
    progress: Progress | None = ...,
) -> MutagenesisCurve: ...


@overload
def mutate(
    model: Model,
    sequences: Sequences,
    attributions: Attributions,
    counts: Sequence[int | str] = ...,
    replicates: int = ...,
    random_sets: int = ...,
    operator: str | Sequence[str] = ...,
    order: str | Sequence[str] = ...,
    seed: int = ...,
    *,
    out: str | Path,
    progress: Progress | None = ...,
) -> Path: ...


def mutate(
    model: Model,
    sequences: Sequences,
    attributions: Attributions,
    counts: Sequence[int | str] = PAPER_COUNTS,
    replicates: int = 5,
    random_sets: int = 0,
    operator: str | Sequence[str] = "random_other",
    order: str | Sequence[str] = "morf",
    seed: int = 0,
    out: str | Path | None = None,
    progress: Progress | None = None,
) -> MutagenesisCurve | Path:
    """Mutate the nucleotides that each method ranks first, and classify every distinct mutant once.

    All methods and counts share their alleles and their ties, so that curves differ by the rankings alone.

    Args:
        model: What classifies.
        sequences: What to mutate; without N.
        attributions: Scores per nucleotide of one method, of several by name, or the Parquet file of them.
        counts: Numbers of nucleotides to substitute, and ``"all"``.
        replicates: Draws of alleles.
        random_sets: Random rankings per sequence, the control ``"random"``.
        operator: Name of what replaces a base, or several.
        order: ``"morf"``, ``"lerf"``, ``"insertion"``, or several.
        seed: Of every draw.
        out: A folder: then results go to disk chunk by chunk, and a trial that was stopped continues.
        progress: Called with the sequences finished and their number.

    Returns:
        The raw outcomes, or the folder they are in.

    Raises:
        SequenceError: No sequence, an N, or attributions of other sequences.
        CountError: A count above a sequence's length.
        UsageError: Nothing to do, or no replicates.
        UnknownName: An operator or order that does not exist.
        TargetError: Methods that explain different classes.
        RunMismatch: The folder holds another trial.

    Example:
        >>> import kmerit as km
        >>> model = km.load_model("bundled:promoter")
        >>> sequences = km.Sequences.from_strings(["TATAAAGGCGCGCC", "GGGCGGGGCTTCCG"])
        >>> scores = km.attribute(model, sequences, methods=["attention", "lrp"])
        >>> curve = km.mutate(model, sequences, scores, counts=[0, 5, "all"], replicates=2)
        >>> curve.settings["naive_evaluations"]
        24
    """
    from kmerit.models.memory import fitting

    _check_sequences(model, sequences)
    scores = open_scores(attributions, sequences)
    design = _design(scores, sequences, counts, replicates, random_sets, operator, order, seed)
    size = max(1, min(CELLS_PER_CHUNK // design.cells, MOST_SEQUENCES))
    settings = {**_settings(model, sequences, scores, design), "chunk": size}

    def evaluated(done: Callable[[int], bool]) -> Iterator[tuple[int, Part]]:
        for index, chunk_scores in enumerate(scores.chunks(size)):
            first = index * size
            chunk = sequences.take(slice(first, first + size))
            if not done(index):
                told = _from(first, len(sequences), progress)
                work = partial(evaluate, design=design, chunk=chunk, scores=chunk_scores, first=first, progress=told)
                yield index, fitting(model, work)
            elif progress is not None:
                progress(first + len(chunk), len(sequences))

    labels = None if sequences.labels is None or sequences.labels.dtype != np.int64 else sequences.labels
    if out is None:
        mutants, cells, totals = join_tables(part for _, part in evaluated(lambda index: False))
        settings = _complete(settings, totals, sequences, scores)
        return MutagenesisCurve(mutants, cells, sequences.names, labels, sequences.lengths, settings)
    folder = PartFolder(Path(out), settings)
    if not folder.finished:
        for index, part in evaluated(folder.done):
            folder.write(index, part)
        totals = write_tables(folder.read(math.ceil(len(sequences) / size)), folder.folder)
        settings = _complete(settings, totals, sequences, scores)
        write_about(folder.folder, sequences.names, labels, sequences.lengths, settings)
        folder.remove()
    return folder.folder


def _check_sequences(model: Model, sequences: Sequences) -> None:
    if not len(sequences):
        raise SequenceError("Expected at least one sequence to mutate, got none.")
    unknown = np.flatnonzero(sequences.bases == N)
    if unknown.size:
        i = int(np.searchsorted(sequences.offsets, unknown[0], side="right")) - 1
        raise SequenceError(
            f"{sequences.names[i]!r} has an N at position {unknown[0] - sequences.offsets[i]}; an N has no other "
            f"bases to be mutated to. Drop such sequences with prepare (--drop-n)."
        )
    model.check(sequences)


def _design(
    scores: Scores,
    sequences: Sequences,
    counts: Sequence[int | str],
    replicates: int,
    random_sets: int,
    operator: str | Sequence[str],
    order: str | Sequence[str],
    seed: int,
) -> Design:
    if not counts or replicates < 1 or random_sets < 0:
        raise UsageError(
            f"Expected counts, at least 1 replicate and no negative number of random sets, got counts={counts!r}, "
            f"replicates={replicates}, random_sets={random_sets}."
        )
    if random_sets and RANDOM in scores.methods:
        raise UsageError(f"The control is called {RANDOM!r}; rename the method of that name, or set random_sets=0.")
    lengths = sequences.lengths
    shortest = int(np.argmin(lengths))
    check_counts(counts, int(lengths[shortest]), sequences.names[shortest])
    # Where every sequence has this very length, its count and "all" are one column.
    full = "all" in counts or lengths.max() in counts
    return Design(
        methods=scores.methods,
        operators=tuple(operator_named(name) for name in _listed(operator)),
        orders=tuple(order_named(name) for name in _listed(order)),
        counts=tuple(sorted({int(n) for n in counts if n != "all" and not (full and n == lengths.max())})),
        full=full,
        replicates=replicates,
        random_sets=random_sets,
        seed=seed,
        composition=composition(sequences),
    )


def _listed(names: str | Sequence[str]) -> tuple[str, ...]:
    return (names,) if isinstance(names, str) else tuple(dict.fromkeys(names))


def _settings(model: Model, sequences: Sequences, scores: Scores, design: Design) -> dict[str, Any]:
    """List what determines the outcomes; equal settings, equal bytes."""
    data = hashlib.sha256("\n".join(sequences.names).encode())
    for array in (sequences.bases, sequences.offsets, sequences.labels):
        data.update(b"" if array is None else array.tobytes())
    return {
        "methods": list(design.methods),
        "operators": [each.name for each in design.operators],
        "orders": [each.name for each in design.orders],
        "counts": [*design.counts, *(["all"] if design.full else [])],
        "replicates": design.replicates,
        "random_sets": design.random_sets,
        "seed": design.seed,
        "composition": design.composition.tolist(),
        "model_sha256": model.digest,
        "dtype": str(model.dtype).removeprefix("torch."),
        "device": model.device.type,
        "micro_batch": model.micro_batch,
        "sequences_sha256": data.hexdigest(),
        "scores_sha256": scores.digest,
    }


def _complete(settings: dict[str, Any], totals: Totals, sequences: Sequences, scores: Scores) -> dict[str, Any]:
    """Add what came of the trial, and what a summary needs to know of the sequences."""
    return {
        **settings,
        "evaluations": totals.evaluations,
        "naive_evaluations": totals.cells,
        "evaluations_by_micro_batch": {str(size): count for size, count in sorted(totals.micro_batches.items())},
        "tie_share": {method: count / sequences.bases.size for method, count in totals.tied.items()},
        "nonfinite_positions": dict(totals.nonfinite),
        "targets": scores.targets.tolist(),
        "loci": None if sequences.loci is None else [None if x is None else list(x) for x in sequences.loci],
    }


def _from(first: int, total: int, progress: Progress | None) -> Callable[[int], None] | None:
    return None if progress is None else lambda finished: progress(first + finished, total)
