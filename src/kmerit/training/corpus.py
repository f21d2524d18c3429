"""Unlabelled sequences: reading them, cleaning them of test rows, holding a part out, cutting windows from them."""

from __future__ import annotations

import os
from collections.abc import Sequence

import numpy as np

from kmerit.data import find_task, load_task, read_sequences
from kmerit.data.decontaminate import Decontamination, decontaminate
from kmerit.errors import ConfigError, SequenceError
from kmerit.types import Sequences


def read_corpus(paths: Sequence[str]) -> Sequences:
    """Read files of sequences, soft-masked or not, one after the other.

    Raises:
        ConfigError: No file.

    Example:
        >>> read_corpus([])
        Traceback (most recent call last):
        kmerit.errors.ConfigError: Pre-training needs a corpus: ...
    """
    if not paths:
        raise ConfigError("Pre-training needs a corpus: corpus = ['genome.fa.gz'] (--corpus genome.fa.gz).")
    return joined([read_sequences(path, case="upper") for path in paths])


def joined(parts: Sequence[Sequences]) -> Sequences:
    """Put sets of sequences end to end; several sets' names are numbered, since they may repeat.

    Example:
        >>> one = Sequences.from_strings(["ACG"])
        >>> joined([one, one]).names
        ('0:seq0', '1:seq0')
    """
    if len(parts) == 1:
        return parts[0]
    names = tuple(f"{i}:{name}" for i, part in enumerate(parts) for name in part.names)
    offsets = np.concatenate([[0], np.cumsum(np.concatenate([part.lengths for part in parts]))])
    return Sequences(names, np.concatenate([part.bases for part in parts]), offsets)


def without_test_rows(sequences: Sequences, exclude: Sequence[str]) -> tuple[Sequences, Decontamination | None]:
    """Remove rows that share 40 32-mers, on either strand, with a row that models are measured on or chosen by.

    Args:
        sequences: A corpus, or labelled rows.
        exclude: Names of tasks (their test and validation rows), and files of sequences.

    Returns:
        The clean sequences, and an account; None where nothing is excluded.

    Raises:
        UnknownName: Neither a task nor a file.

    Example:
        >>> corpus = load_task("ienhancer_2l", "test")
        >>> clean, account = without_test_rows(corpus, ["ienhancer_2l"])
        >>> len(clean), account.dropped == len(corpus)
        (0, True)
    """
    if not exclude:
        return sequences, None
    return decontaminate(sequences, rows_measured_on(exclude))


def rows_measured_on(names: Sequence[str]) -> Sequences:
    """Read the test and validation rows of tasks, and all rows of files.

    Raises:
        UnknownName: Neither a task nor a file.

    Example:
        >>> len(rows_measured_on(["ienhancer_2l"])) > len(load_task("ienhancer_2l", "test"))
        True
    """
    rows: list[Sequences] = []
    for name in names:
        if os.path.isfile(name):
            rows.append(read_sequences(name, case="upper"))
        else:
            task = find_task(name)
            rows += [load_task(task, "test"), load_task(task, "validation")]
    return joined(rows)


def held_out(corpus: Sequences, share: float, least: int) -> tuple[Sequences, Sequences | None]:
    """Hold out the far end of a corpus, cutting the record it begins in.

    Args:
        corpus: Records end to end.
        share: Of its nucleotides.
        least: Fewest nucleotides held out.

    Returns:
        The corpus without its end, and the end (None for a share of 0).

    Raises:
        SequenceError: Nothing would be left.

    Example:
        >>> front, end = held_out(Sequences.from_strings(["ACGT", "GGGG"]), 0.25, 1)
        >>> front.strings(), end.strings()
        (['ACGT', 'GG'], ['GG'])
    """
    if share == 0:
        return corpus, None
    boundary = corpus.bases.size - max(round(corpus.bases.size * share), least)
    if boundary < least:
        raise SequenceError(
            f"A corpus of {corpus.bases.size} nt is too small to hold {share:.1%} of it out (at least {least} nt). "
            f"Give more, or validation_share = 0."
        )
    record = int(np.searchsorted(corpus.offsets, boundary, side="right")) - 1
    whole = record + int(boundary > corpus.offsets[record])  # records of which something comes before the cut
    front = Sequences(corpus.names[:whole], corpus.bases[:boundary], np.append(corpus.offsets[:whole], boundary))
    ends = np.concatenate([[boundary], corpus.offsets[record + 1 :]]) - boundary
    return front, Sequences(corpus.names[record:], corpus.bases[boundary:], ends)
