"""Scores that another program made: arrays, checked and turned into attributions like any other."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np

from kmerit.attribution.attribute import Target, fixed_target, tie_share
from kmerit.errors import FormatError, SequenceError, TargetError, UsageError, short
from kmerit.io.readers import SequencesLike, as_sequences
from kmerit.io.scores import read_attributions
from kmerit.models.model import Model
from kmerit.results import Attribution, Attributions, Problem
from kmerit.sequences import Float, Int64, Sequences

OwnScores: TypeAlias = Any
"""An array ``[sequence, position]`` or ``[sequence, 4, position]``, a list of arrays, or a dict of such by method."""
ARRAYS = (".npy", ".npz")
"""Suffixes of files that hold such arrays."""
_EXPECTED = (
    "an array [sequence, position] or [sequence, 4, position], a list with an array [position] or [4, position] for "
    "each sequence, or a dict of such by method"
)


def own_scores(
    model: Model,
    sequences: SequencesLike,
    scores: OwnScores,
    target: Target = "predicted",
    *,
    method: str = "own",
) -> Attributions:
    """Convert scores of another program, such as captum, tangermeme or SHAP, to attributions.

    Args:
        model: What was explained; with ``target`` it says which output.
        sequences: What was explained, as `attribute` takes it.
        scores: An array ``[sequence, position]``; an array ``[sequence, 4, position]`` (bases in the order ACGT), of
            which the value at the letter that is there is taken; a list of arrays ``[position]`` or ``[4, position]``,
            one for each sequence; a dict of such by method; or the ``.npy`` or ``.npz`` file of one. NumPy arrays, or
            torch tensors. Beyond the end of a sequence that is shorter than others stands 0 or NaN.
        target: The output that the scores explain, as for `attribute`.
        method: What to call the method of scores without a name.

    Returns:
        One attribution per method.

    Raises:
        UsageError: No such form, or no numbers.
        SequenceError: Another number of sequences or positions, or a value that is not finite; with its place.
        TargetError: An output that the model does not have, or several that could be meant.

    Example:
        >>> import kmerit as km
        >>> model, strings = km.load_model("bundled:promoter"), ["TATAAAGGCGCGCC", "GGGCGGGGCTTCCG"]
        >>> gc = [np.array([letter in "GC" for letter in string], dtype=float) for string in strings]
        >>> mine = km.own_scores(model, strings, {"gc": gc})
        >>> km.mutate(model, strings, mine, counts=[2, "all"], replicates=1).settings["methods"]
        ['gc']
    """
    sequences = as_sequences(sequences)
    model.check(sequences)
    if isinstance(scores, str | os.PathLike):
        scores = read_arrays(scores)
    by_method = dict(scores) if isinstance(scores, Mapping) else {method: scores}
    if not by_method:
        raise UsageError(f"scores: expected {_EXPECTED}; got an empty dict.")
    for name in by_method:
        if not isinstance(name, str) or not name.strip():
            raise UsageError(f"scores: expected names of methods as keys, got {short(name)}.")
    arrays = {name: _matrix(name, values, sequences) for name, values in by_method.items()}
    explained = _explained(model, sequences, target)
    settings: dict[str, Any] = {"model": model.digest, "target": target, "source": "own scores"}
    if model.problem is not Problem.CLASSES:
        settings["problem"] = model.problem.value
    return Attributions(
        {name: _attribution(name, array, sequences, explained, settings) for name, array in arrays.items()}
    )


def read_arrays(path: str | os.PathLike[str]) -> OwnScores:
    """Read scores from a ``.npy`` file, or from a ``.npz`` file, whose arrays are named after their methods.

    Raises:
        FormatError: It is none, or holds Python objects.
    """
    try:
        with Path(path).open("rb") as file:
            archive: Any = np.load(file, allow_pickle=False)
            if isinstance(archive, np.ndarray):
                return archive
            arrays = {name: archive[name] for name in archive.files}
    except FileNotFoundError:
        raise FormatError(f"{path}: no such file.") from None
    except (ValueError, OSError, EOFError, KeyError) as error:
        raise FormatError(f"{path}: not a NumPy file of numbers ({short(str(error))}).") from None
    return arrays["arr_0"] if set(arrays) == {"arr_0"} else arrays


def read_scores(files: Mapping[str, str | os.PathLike[str]] | Sequence[str | os.PathLike[str]]) -> dict[str, Any]:
    """Read the scores of several files, whoever made them.

    Args:
        files: Files of attributions (Parquet), or of arrays (``.npy``, ``.npz``), as `own_scores` takes them; one
            that is given as ``NAME=FILE``, or by name in a dict, holds one method's, which is then called so.

    Returns:
        Attributions and arrays by method; an array without a name is called ``own``.

    Raises:
        FormatError: A file that holds neither, or several methods under one name.
        UsageError: Two files have scores of one name.

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     np.save(f"{folder}/gc.npy", np.ones((2, 14)))
        ...     read_scores({"gc": f"{folder}/gc.npy"})["gc"].shape
        (2, 14)
    """
    named = list(files.items()) if isinstance(files, Mapping) else [_named(path) for path in files]
    found: dict[str, Any] = {}
    for name, path in named:
        read: Any = read_arrays(path) if Path(path).suffix.lower() in ARRAYS else read_attributions(path)
        each = dict(read) if isinstance(read, Mapping) else {"own": read}
        if name is not None and len(each) != 1:
            raise FormatError(f"{path}: expected scores of one method, called {name!r}; found {', '.join(each)}.")
        if name is not None:
            each = {name: next(iter(each.values()))}
        if twice := sorted(set(each) & set(found)):
            raise UsageError(f"{path}: another file has scores called {twice[0]!r}, too. Name these NAME=FILE.")
        found |= each
    return {name: replace(each, method=name) if isinstance(each, Attribution) else each for name, each in found.items()}


def _named(path: str | os.PathLike[str]) -> tuple[str | None, str | os.PathLike[str]]:
    """Part ``NAME=FILE``, unless there is a file of all of that name."""
    name, equals, file = str(path).partition("=")
    return (name, file) if equals and name and not os.path.exists(path) else (None, path)


def _explained(model: Model, sequences: Sequences, target: Target) -> Int64:
    if target == "predicted" and model.problem in (Problem.LABELS, Problem.VALUES):
        raise TargetError(
            f"target: {model.name} predicts {model.n_classes} {model.problem.value}; say which one the scores explain: "
            f"km.own_scores(model, sequences, scores, target=...), one of {model.listed}."
        )
    targets = fixed_target(model, sequences, target)
    return np.asarray(model.logits(sequences).argmax(axis=1), dtype=np.int64) if targets is None else targets


def _attribution(
    name: str, scores: Float, sequences: Sequences, target: Int64, settings: Mapping[str, Any]
) -> Attribution:
    nothing, no = np.full(len(sequences), np.nan), np.zeros(len(sequences), dtype=np.bool_)
    return Attribution(
        method=name,
        scores=scores,
        level="nucleotide",
        target=target,
        names=sequences.names,
        signed=bool((scores < 0).any()),
        settings=settings,
        diagnostics={
            "relevance_sum": nothing,
            "zero": ~(np.nan_to_num(scores) != 0).any(axis=1),
            "undefined": no,
            "nonfinite": no,
            "tie_share": np.array([tie_share(row[np.isfinite(row)]) for row in scores]),
            "delta": nothing,
            "micro_batch": np.zeros(len(sequences), dtype=np.int64),
        },
        sequences=sequences,
    )


def _matrix(method: str, values: Any, sequences: Sequences) -> Float:
    """Check the scores of one method; give them as ``[sequence, position]``, NaN beyond each sequence's end."""
    lengths, what = sequences.lengths, f"scores of {method!r}"
    bases, _ = sequences.padded()
    if isinstance(values, Sequence) and not isinstance(values, str | bytes):
        return _rows(what, values, bases, sequences)
    if isinstance(values, Attribution):
        raise UsageError(f"{what}: this is an Attribution already; use it as it is.")
    array = _numbers(what, values)
    if array.ndim == 1 and array.dtype == object:
        return _rows(what, list(array), bases, sequences)
    widest = int(lengths.max())
    if array.ndim not in (2, 3):
        raise SequenceError(
            f"{what}: expected {len(sequences)} sequences x {widest} positions, or x 4 x {widest}, got an array of the "
            f"shape {array.shape}."
        )
    if len(array) != len(sequences):
        raise SequenceError(f"{what}: expected scores of {len(sequences)} sequences, got those of {len(array)}.")
    if array.shape[-1] != widest or (array.ndim == 3 and array.shape[1] != 4):
        turned = array.ndim == 3 and array.shape[1:] == (widest, 4)
        raise SequenceError(
            f"{what}: expected {len(sequences)} x {'4 x ' if array.ndim == 3 else ''}{widest}, for the longest "
            f"sequence has {widest} nt; got {' x '.join(map(str, array.shape))}."
            + (" Exchange the last two axes: scores.transpose(0, 2, 1)." if turned else "")
        )
    inside = bases >= 0
    size = np.abs(array) if array.ndim == 2 else np.fmax.reduce(np.abs(array), axis=1)
    beyond = ~inside & ~np.isnan(size) & (size != 0)
    if beyond.any():
        i, position = (int(index[0]) for index in np.nonzero(beyond))
        raise SequenceError(
            f"{what}: {sequences.names[i]!r} has {lengths[i]} nt, and a score at position {position}; expected 0 or "
            f"NaN beyond its end."
        )
    if array.ndim == 3:
        array = _at_letters(array, bases)
    _refuse_nonfinite(what, np.where(inside & (bases < 4), array, 0), sequences)
    return np.where(inside, array, np.nan).astype(array.dtype)


def _rows(what: str, values: Sequence[Any], bases: Any, sequences: Sequences) -> Float:
    """Check a list with an array for each sequence, and lay them out as one array."""
    if len(values) != len(sequences):
        raise SequenceError(f"{what}: expected an array for each of {len(sequences)} sequences, got {len(values)}.")
    rows = []
    for i, (value, name, length) in enumerate(zip(values, sequences.names, sequences.lengths.tolist(), strict=True)):
        row = _numbers(f"{what}, index {i} ({name!r})", value)
        if row.shape not in ((length,), (4, length)):
            turned = " Transpose it." if row.shape == (length, 4) else ""
            raise SequenceError(
                f"{what}, index {i} ({name!r}): expected {length} scores, or 4 x {length}, for it has {length} "
                f"nt; got the shape {row.shape}.{turned}"
            )
        rows.append(row if row.ndim == 1 else _at_letters(row[None], bases[i : i + 1, :length])[0])
    out = np.full(bases.shape, np.nan, dtype=np.result_type(*rows))
    for i, row in enumerate(rows):
        out[i, : row.size] = row
    _refuse_nonfinite(what, np.where((bases >= 0) & (bases < 4), out, 0), sequences)
    return out


def _numbers(what: str, values: Any) -> Any:
    """Take an array or a tensor of real numbers, in float32 or float64."""
    if hasattr(values, "detach"):  # a torch tensor; torch need not be loaded to tell
        values = values.detach().cpu()
        if str(values.dtype) in ("torch.bfloat16", "torch.float16"):
            values = values.float()
    if np.ma.isMaskedArray(values):
        raise UsageError(f"{what}: a masked array; fill its masked positions: scores.filled(0).")
    try:
        array = np.asarray(values)
    except (TypeError, ValueError, RuntimeError) as error:
        raise UsageError(f"{what}: expected {_EXPECTED}; got {type(values).__name__} ({short(str(error))}).") from None
    if array.dtype == object and array.ndim == 1 and array.size and not np.isscalar(array[0]):
        return array
    if array.dtype.kind not in "fiu" or array.ndim == 0:
        raise UsageError(
            f"{what}: expected {_EXPECTED}, of real numbers; got {type(values).__name__} of {array.dtype}, shape "
            f"{array.shape}."
        )
    return array.astype(np.float32 if array.dtype in (np.float16, np.float32) else np.float64)


def _at_letters(values: Any, bases: Any) -> Any:
    """Select from values ``[sequence, 4, position]`` those of the sequence's own letters; NaN at N and on padding."""
    is_letter = (bases >= 0) & (bases < 4)
    at_letters = np.take_along_axis(values, np.where(is_letter, bases, 0)[:, None].astype(np.int64), axis=1)[:, 0]
    return np.where(is_letter, at_letters, np.nan).astype(values.dtype)


def _refuse_nonfinite(what: str, array: Any, sequences: Sequences) -> None:
    bad = ~np.isfinite(array)
    if bad.any():
        i, position = (int(index[0]) for index in np.nonzero(bad))
        raise SequenceError(
            f"{what}: {array[i, position]} at position {position} of {sequences.names[i]!r} ({int(bad.sum()):,} such "
            f"values); expected finite numbers. Leave that sequence out, or say with a number what is meant."
        )
