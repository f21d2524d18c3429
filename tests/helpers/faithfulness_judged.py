"""Curves whose drops are written down by hand, for verdicts with known answers."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from types import MappingProxyType

import numpy as np
import pyarrow as pa

from kmerit.results import Outcomes
from kmerit.trials.outcomes import logits_column, method_column, sequences_table

INTACT = 5.0
"""The explained class's logit of every unmutated sequence; that of the other class is 0."""


def curve_of(
    drops: Mapping[str, np.ndarray],
    labels: np.ndarray,
    counts: tuple[int, ...] = (5, 10),
    order: Mapping[str, str] | None = None,
    tokens: Mapping[str, tuple[int, ...]] = MappingProxyType({}),
    targets: Sequence[int] | None = None,
    clusters: Sequence[int] | None = None,
    by_method: Mapping[str, Mapping[str, Sequence[int]]] = MappingProxyType({}),
    **settings: object,
) -> Outcomes:
    """Make a curve of sequences of 50 nt from drops of the explained logit ``[sequence, draw, count]`` by ranking.

    NaN: the sequence has no such cell. The class explained is the true one, and ``tokens`` says how many tokens each
    ranking changes at each count; ``by_method`` what is known of its scores, ``[sequence]`` by column and method.
    """
    names = list(drops)
    rows = [(s, INTACT, "", 0, 0) for s in range(labels.size)]
    for name, of in drops.items():
        for (s, d, c), drop in np.ndenumerate(of):
            if np.isfinite(drop):
                rows.append((s, INTACT - drop, name, d, counts[c]))
    rows.sort(key=lambda row: (row[0], row[2] != ""))
    sequence = np.array([row[0] for row in rows])
    explained = np.array([row[1] for row in rows])
    logits = np.where(labels[sequence][:, None] == np.arange(2), explained[:, None], 0.0)
    mutants = pa.table(
        {
            "id": np.arange(len(rows)),
            "sequence": sequence,
            "logits": logits_column(logits),
            "tokens_changed": np.array(
                [tokens[row[2]][counts.index(row[4])] if row[2] in tokens else 0 for row in rows]
            ),
            "gc": np.zeros(len(rows), dtype=int),
        }
    )
    mutated = [i for i, row in enumerate(rows) if row[2]]
    cells = pa.table(
        {
            "method": pa.DictionaryArray.from_arrays(pa.array([names.index(rows[i][2]) for i in mutated]), names),
            "operator": pa.array(["random_other"] * len(mutated)).dictionary_encode(),
            "order": pa.array([(order or {}).get(rows[i][2], "morf") for i in mutated]).dictionary_encode(),
            "n": pa.array([rows[i][4] for i in mutated]),
            "full": pa.array([False] * len(mutated)),
            "draw": pa.array([rows[i][3] for i in mutated]),
            "sequence": pa.array([rows[i][0] for i in mutated]),
            "mutant": pa.array(mutated),
        }
    )
    controls = ["random", "shifted", "clump", "other", "context"]
    about = {"classes": ["off", "on"], "controls": controls, **settings}
    originals = np.unique(sequence, return_index=True)[1]
    known = sequences_table(
        [f"s{i}" for i in range(labels.size)],
        np.full(labels.size, 50),
        labels,
        labels if targets is None else np.array(targets),
        originals,
        clusters,
        by_method={key: method_column(list(of), np.array([*of.values()])) for key, of in by_method.items()},
    )
    return Outcomes(mutants, cells, known, about)


def labelled(outcomes: Outcomes, labels: np.ndarray) -> Outcomes:
    """Give outcomes other true classes."""
    at = outcomes.sequences.column_names.index("label")
    return replace(outcomes, sequences=outcomes.sequences.set_column(at, "label", pa.array(labels)))
