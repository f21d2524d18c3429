"""The mutagenesis trial: mutate what each method ranks first, classify, keep the raw outcomes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, overload

import numpy as np
from numpy.typing import NDArray

from kmerit.data.sources import SequencesLike, as_sequences
from kmerit.errors import UsageError
from kmerit.faithfulness.controls import CONTROLS, RANDOM, check_controls, is_control
from kmerit.faithfulness.counts import check_counts
from kmerit.faithfulness.execution import Arm, Progress, check_sequences, given, one_task, perform
from kmerit.faithfulness.mutants import Design
from kmerit.faithfulness.operators import composition, operator_named
from kmerit.faithfulness.rankings import order_named
from kmerit.faithfulness.scores import Scores, apart_from, open_scores
from kmerit.types import Attribution, Outcomes, Sequences

if TYPE_CHECKING:
    from kmerit.models import Model

Attributions = Attribution | Mapping[str, Any] | Sequence[Any] | NDArray[Any] | str | Path
"""What ranks: one attribution, several by name, a file of them, or arrays as `own_scores` takes them."""
PAPER_COUNTS = (0, 1, 5, 10, 15, 20, "all")


@overload
def mutate(
    model: Model,
    sequences: SequencesLike,
    attributions: Attributions,
    counts: Sequence[int | str] = ...,
    replicates: int = ...,
    random_sets: int = ...,
    operator: str | Sequence[str] = ...,
    order: str | Sequence[str] = ...,
    seed: int = ...,
    out: None = ...,
    progress: Progress | None = ...,
    controls: Sequence[str] = ...,
) -> Outcomes: ...


@overload
def mutate(
    model: Model,
    sequences: SequencesLike,
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
    controls: Sequence[str] = ...,
) -> Path: ...


def mutate(
    model: Model,
    sequences: SequencesLike,
    attributions: Attributions,
    counts: Sequence[int | str] = PAPER_COUNTS,
    replicates: int = 5,
    random_sets: int = 0,
    operator: str | Sequence[str] = "random_other",
    order: str | Sequence[str] = "morf",
    seed: int = 0,
    out: str | Path | None = None,
    progress: Progress | None = None,
    controls: Sequence[str] = (),
) -> Outcomes | Path:
    """Mutate the nucleotides that each method ranks first, and classify every distinct mutant once.

    All methods and counts share their alleles and their ties, so that curves differ by the rankings alone.

    Args:
        model: What classifies. Of one that predicts several labels or values, the one that the scores explain: a label
            is a task with the classes no and yes.
        sequences: What to mutate, as `attribute` takes it; without N.
        attributions: Scores per nucleotide of one method, of several by name, or the Parquet file of them; or arrays as
            `own_scores` takes them, which explain the predicted class. The method ``random`` is called
            ``random_scores`` where there is the control ``random``.
        counts: Numbers of nucleotides to substitute, and ``"all"``.
        replicates: Draws of alleles.
        random_sets: Random rankings per sequence, the control ``"random"``.
        operator: Name of what replaces a base, or several.
        order: ``"morf"``, ``"lerf"``, ``"insertion"``, or several.
        seed: Of every draw.
        out: A folder: then results go to disk chunk by chunk, and a trial that was stopped continues.
        progress: Called with the sequences finished and their number.
        controls: What a verdict compares with: ``shifted``, ``clump`` and ``other`` decide it, ``context`` its second
            answer; ``random``, the paper's, has as many sets as replicates, unless ``random_sets`` says otherwise. A
            control that cannot be formed for a sequence has no cells.

    Returns:
        The raw outcomes, or the folder they are in.

    Raises:
        SequenceError: No sequence, an N, or attributions of other sequences.
        CountError: A count above a sequence's length.
        UsageError: Nothing to do, or no replicates.
        UnknownName: An operator, order or control that does not exist.
        TargetError: Methods that explain different classes, or scores of several labels or values.
        RunMismatch: The folder holds another trial.

    Example:
        >>> import kmerit as km
        >>> model = km.load_model("bundled:promoter")
        >>> sequences = km.Sequences.from_strings(["TATAAAGGCGCGCC", "GGGCGGGGCTTCCG"])
        >>> scores = km.attribute(model, sequences, methods=["attention", "lrp"])
        >>> outcomes = km.mutate(model, sequences, scores, counts=[0, 5, "all"], replicates=2)
        >>> outcomes.diagnostics["naive_evaluations"]
        24
    """
    sequences = as_sequences(sequences)
    asked = check_controls(controls)
    random_sets = random_sets or (replicates if RANDOM in asked else 0)
    scores, renamed = open_scores(attributions, sequences, model), dict[str, str]()
    if random_sets > 0 or asked:
        scores, renamed = apart_from(scores, RANDOM)
    model, scores = one_task(model, scores)
    sequences = model.numbered(sequences)
    check_sequences(model, sequences)
    design = _design(scores, sequences, counts, replicates, random_sets, operator, order, seed, asked)
    arm = Arm("mutagenesis", design, np.ones(len(sequences), dtype=np.bool_))
    settings = {**described(design), **given(model, sequences, scores), **({"controls": list(asked)} if asked else {})}
    settings |= {"renamed": renamed} if renamed else {}
    return perform(model, sequences, scores, [arm], settings, None if out is None else Path(out), progress)


def _design(
    scores: Scores,
    sequences: Sequences,
    counts: Sequence[int | str],
    replicates: int,
    random_sets: int,
    operator: str | Sequence[str],
    order: str | Sequence[str],
    seed: int,
    controls: tuple[str, ...],
) -> Design:
    if not counts or replicates < 1 or random_sets < 0:
        raise UsageError(
            f"Expected counts, at least 1 replicate and no negative number of random sets, got counts={counts!r}, "
            f"replicates={replicates}, random_sets={random_sets}."
        )
    if controls:
        check_methods(scores.methods)
    numbers, full = columns(sequences, counts)
    return Design(
        methods=scores.methods,
        operators=tuple(operator_named(name) for name in _listed(operator)),
        orders=tuple(order_named(name) for name in _listed(order)),
        counts=numbers,
        full=full,
        replicates=replicates,
        random_sets=random_sets,
        seed=seed,
        composition=composition(sequences),
        controls=tuple(each for each in controls if each != RANDOM),
    )


def columns(sequences: Sequences, counts: Sequence[int | str], key: str = "counts") -> tuple[tuple[int, ...], bool]:
    """Sort counts, and tell whether all positions are mutated too.

    Raises:
        CountError: A count above a sequence's length.
    """
    lengths = sequences.lengths
    shortest = int(np.argmin(lengths))
    check_counts(counts, int(lengths[shortest]), sequences.names[shortest], key=key)
    # Where every sequence has this very length, its count and "all" are one column.
    full = "all" in counts or lengths.max() in counts
    return tuple(sorted({int(n) for n in counts if n != "all" and not (full and n == lengths.max())})), full


def check_methods(methods: Sequence[str]) -> None:
    """Refuse methods that would be taken for a control.

    Raises:
        UsageError: With the name.
    """
    for name in methods:
        if name in CONTROLS or is_control(name):
            raise UsageError(f"{name!r} is the name of a control. Rename that method, or leave it out.")


def _listed(names: str | Sequence[str]) -> tuple[str, ...]:
    return (names,) if isinstance(names, str) else tuple(dict.fromkeys(names))


def described(design: Design) -> dict[str, Any]:
    """List what of a design determines the outcomes; equal settings, equal bytes."""
    return {
        "methods": list(design.methods),
        "operators": [each.name for each in design.operators],
        "orders": [each.name for each in design.orders],
        "counts": [*design.counts, *(["all"] if design.full else [])],
        "replicates": design.replicates,
        "random_sets": design.random_sets,
        "seed": design.seed,
        "composition": design.composition.tolist(),
    }
