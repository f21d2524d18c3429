"""What the sequence explorer shows of a task: letters, scores, what was mutated, and what the model then said."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from kmerit.data import read_sequences
from kmerit.errors import FormatError, KmeritError
from kmerit.faithfulness import read_outcomes
from kmerit.faithfulness.curves import ABOUT
from kmerit.faithfulness.execution import is_of
from kmerit.faithfulness.positions import mutation_order
from kmerit.faithfulness.rankings import order_named
from kmerit.faithfulness.scores import open_scores
from kmerit.report.results import RANDOM
from kmerit.report.slots import Hits
from kmerit.types import Bool, Float, Floats, Int64, Outcomes, Sequences

FILES = ("sequences.parquet", "attributions.parquet", "curve")
"""What the explorer needs; without the curve it shows the scores alone."""
_REMEDY = "Remove it, and run again to make it anew."
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
        kept = self.sequences.take(rows)
        names = set(kept.names)
        return replace(
            self,
            sequences=kept,
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
        opened = open_scores(scores_path, sequences)
        if (opened.rows != np.arange(len(sequences))).any():
            raise FormatError(f"{str(scores_path)!r} has its sequences in another order. {_REMEDY}")
        scores = tuple(rows for chunk in opened.chunks(_CHUNK) for rows in chunk)
        outcomes = read_outcomes(curve_path) if (curve_path / ABOUT).exists() else None
        if outcomes is not None and not is_of(outcomes, sequences):
            raise FormatError(f"{str(curve_path)!r} is of other sequences than {sequences_path.name}. {_REMEDY}")
        header = pq.read_table(scores_path, columns=["signed", "tie_share"])
        spans = _spans(spans_path, sequences) if spans_path.exists() else None
        renamed = {} if outcomes is None else outcomes.settings.get("renamed", {})
        methods = tuple(renamed.get(name, name) for name in opened.methods)
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
            f"{str(place / 'hits.json')!r} has hits on {min(strangers)!r}, which is no sequence here. {_REMEDY}"
        )
    return Exploration(
        sequences,
        methods,
        tuple(bool(signed) for signed in header["signed"].slice(0, width).to_pylist()),
        scores,
        opened.targets,
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
    outcome = outcomes.per_sequence(outcomes.logit if outcomes.regression else outcomes.probability)
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
    )


def _spans(path: Path, sequences: Sequences) -> tuple[Int64, ...]:
    table = pq.read_table(path, columns=["name", "starts", "ends"])
    if tuple(table["name"].to_pylist()) != sequences.names:
        raise FormatError(f"{str(path)!r} is of other sequences than {FILES[0]}. {_REMEDY}")
    pairs = zip(table["starts"].to_pylist(), table["ends"].to_pylist(), strict=True)
    return tuple(np.array([starts, ends], dtype=np.int64).T for starts, ends in pairs)
