"""The work of a trial: chunk by chunk, in memory or on disk, on one process or several."""

from __future__ import annotations

import hashlib
import logging
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from kmerit import processes
from kmerit.data.groups import group_names, near_copies, neighbours
from kmerit.errors import LabelError, SequenceError, TargetError
from kmerit.faithfulness.controls import Controls
from kmerit.faithfulness.curves import finish, sequences_table
from kmerit.faithfulness.evaluation import MOST_SEQUENCES, Part, evaluate, sequence_columns
from kmerit.faithfulness.mutants import Design
from kmerit.faithfulness.parts import PartFolder, Totals, join_tables, write_tables
from kmerit.faithfulness.scores import Scores
from kmerit.store import hold
from kmerit.types import Bool, Float, Int64, N, Outcomes, Problem, Sequences, known_or
from kmerit.types.problem import task_digest

if TYPE_CHECKING:
    import pyarrow as pa

    from kmerit.models import Model

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
    extra: Extra | None = None,
    diagnostics: Mapping[str, Any] | None = None,
) -> Outcomes | Path:
    """Classify the mutants of every arm, and keep the raw outcomes.

    Args:
        model: What classifies.
        sequences: Checked.
        scores: Of the methods, which the first arm compares.
        arms: Which mutants of which sequences.
        settings: Everything that determines the outcomes.
        out: The folder of the outcomes; None keeps them in memory.
        progress: Told the sequences finished, and their number.
        extra: Makes the rankings that the scores do not hold.
        diagnostics: What is known beforehand; what is counted is added to it.
    """
    from kmerit.models.memory import fitting

    designs = [arm.design for arm in arms]
    size = max(1, min(CELLS_PER_CHUNK // sum(design.cells for design in designs), MOST_SEQUENCES))
    settings = {**settings, "chunk": size}
    rankings = _controls(sequences, scores, arms)
    before = {**(diagnostics or {}), **rankings.about}

    def evaluated(skip: Callable[[int], bool]) -> Iterator[tuple[int, Part]]:
        for index, chunk_scores in enumerate(scores.chunks(size)):
            first = index * size
            rows = np.arange(first, min(first + size, len(sequences)))
            if not skip(index):
                chunk, asked = sequences.take(rows), dict[str, int]()
                held = [rankings(i, each) for i, each in zip(rows.tolist(), chunk_scores, strict=True)]
                if extra is not None:
                    more, asked = extra(chunk, rows)
                    held = [{**known, **new} for known, new in zip(held, more, strict=True)]
                by_arm = [[each if arm.members[i] else {} for arm in arms] for i, each in zip(rows, held, strict=True)]
                told = _from(first, len(sequences), progress)
                work = partial(evaluate, designs=designs, chunk=chunk, rankings=by_arm, first=first, progress=told)
                mutants, cells, micro_batch = fitting(model, work)
                known = sequence_columns(mutants, scores.methods, chunk_scores, scores.withheld[:, rows])
                yield index, Part(mutants, cells, known, micro_batch, asked)
            elif progress is not None:
                progress(first + rows.size, len(sequences))

    def finished(totals: Totals) -> tuple[pa.Table, dict[str, Any], dict[str, Any]]:
        return (
            _sequences(sequences, scores, totals),
            {**settings, "classes": [] if model.regression else list(model.labels)},
            {**before, **_counted(settings, totals, len(sequences))},
        )

    if out is None:
        mutants, cells, totals = join_tables(part for _, part in evaluated(lambda index: False))
        return Outcomes(mutants, cells, *finished(totals))
    with hold(out):
        folder = PartFolder(out, settings)
        processes.meet()  # before the first of them changes what the others have looked at
        if not folder.finished:
            mine = (processes.rank(), processes.count())
            for index, part in evaluated(lambda index: index % mine[1] != mine[0] or folder.done(index)):
                folder.write(index, part)
            processes.meet()
            if processes.is_first():
                totals = write_tables(folder.read(math.ceil(len(sequences) / size)), folder.folder)
                finish(folder.folder, *finished(totals))
                folder.remove()
            processes.meet()
    return out


def check_sequences(model: Model, sequences: Sequences) -> None:
    """Refuse sequences that cannot be mutated.

    Raises:
        SequenceError: There is none, or one has an N.
        LengthError: One is too long for the model.
        LabelError: A label is none of the model's classes.
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
    """Take of a model that predicts several labels or values the one that the scores explain.

    Returns:
        The model, or that output as a model of its own (see `Model.task`), and the scores, whose target is then the
        answer yes, or the value.

    Raises:
        TargetError: The scores explain several of them.
    """
    explained = np.unique(scores.targets)
    if model.problem in (Problem.CLASSES, Problem.VALUE):
        if scores.model is None or scores.model == model.digest:
            return model, scores
        if scores.problem is None:
            logger.warning(
                "The scores were made with another model (sha256 %s) than %s (%s), which is asked here.",
                str(scores.model)[:12], model.name, model.digest[:12],
            )  # fmt: skip
            return model, scores
        if explained.size == 1 and task_digest(scores.model, scores.problem, int(explained[0])) == model.digest:
            return model, _answered(scores, model.problem is Problem.CLASSES)
        raise TargetError(
            f"The scores are of output {', '.join(map(str, explained[:3]))} of a model that predicts {scores.problem}; "
            f"{model.name} is another task. Attribute with the model that is asked here."
        )
    if explained.size > 1:
        raise TargetError(
            f"The scores explain {explained.size} of the {model.problem.value} of {model.name}; each is a task of its "
            f"own. Attribute with one target, by its number or name."
        )
    return model.task(int(explained[0])), _answered(scores, model.problem is Problem.LABELS)


def _answered(scores: Scores, asks: bool) -> Scores:
    """Explain the answer yes of a question, or the only value."""
    return replace(scores, targets=np.full_like(scores.targets, int(asks)), model=None)


def given(model: Model, sequences: Sequences, scores: Scores) -> dict[str, Any]:
    """List what of the model, the sequences and the scores determines the outcomes."""
    return {
        "model_sha256": model.digest,
        "dtype": str(model.dtype).removeprefix("torch."),
        "device": model.device.type,
        "micro_batch": model.micro_batch,
        "sequences_sha256": _digest(sequences),
        "scores_sha256": scores.digest,
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
    """Tell whether outcomes are of these sequences: names, letters and labels."""
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
        lambda: [each for chunk in scores.chunks(MOST_SEQUENCES) for each in chunk],
    )


def _sequences(sequences: Sequences, scores: Scores, totals: Totals) -> pa.Table:
    """Gather what is known of each sequence."""
    import pyarrow as pa

    found = pa.concat_tables(totals.sequences)
    return sequences_table(
        sequences.names,
        sequences.lengths,
        true_classes(sequences),
        scores.targets,
        found["original"].to_numpy(),
        clusters_of(sequences),
        sequences.loci,
        {name: found[name] for name in Outcomes.BY_METHOD},
    )


def _counted(settings: Mapping[str, Any], totals: Totals, sequences: int) -> dict[str, Any]:
    """List what was counted over all chunks."""
    counted = {
        "evaluations": totals.evaluations,
        "naive_evaluations": totals.cells,
        "evaluations_by_micro_batch": {str(size): count for size, count in sorted(totals.micro_batches.items())},
    }
    if "grid" in settings:
        # A grid holds n = 0 only for the figures' sake; a naive trial would classify each sequence itself but once.
        counted["naive_evaluations"] = totals.cells - totals.intact + sequences
        counted["ranking_evaluations"] = dict(totals.asked)
    return counted


def clusters_of(sequences: Sequences) -> list[int]:
    """Number the clusters that a bootstrap draws whole: overlapping loci where known, else near copies, else singles.

    Example:
        >>> clusters_of(Sequences.from_strings(["ACGT" * 20, "TTGCA" * 4]))
        [0, 1]
    """
    known = np.array([locus is not None for locus in sequences.loci or [None] * len(sequences)])
    copies = near_copies(sequences)
    names = group_names(sequences, neighbours(sequences, -1), copies[~known[copies].all(axis=1)])
    numbers = {name: number for number, name in enumerate(dict.fromkeys(names))}
    return [numbers[name] for name in names]


def _from(first: int, total: int, progress: Progress | None) -> Callable[[int], None] | None:
    return None if progress is None else lambda finished: progress(first + finished, total)
