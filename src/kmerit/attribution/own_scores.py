"""Scores that another program made: arrays and tables, checked and turned into attributions like any other."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np

from kmerit.attribution.attribute import Target, fixed_target, tie_share
from kmerit.errors import FormatError, SequenceError, TargetError, UsageError, short
from kmerit.io.crops import Tiles
from kmerit.io.files import Where, is_parquet, unpacked_name
from kmerit.io.readers import SequencesLike, as_sequences, is_frame, names_of_index
from kmerit.io.scores import diagnostics_of, read_attributions
from kmerit.io.tables import read_csv
from kmerit.models.model import Model
from kmerit.results import Attribution, Attributions, Problem
from kmerit.sequences import Float, Int64, Sequences

if TYPE_CHECKING:
    import pandas as pd

OwnScores: TypeAlias = Any
"""An array ``[sequence, position]`` or ``[sequence, 4, position]``, a list of arrays, a table with a row for each
nucleotide, or a dict of such by method."""
ARRAYS = (".npy", ".npz")
"""Suffixes of files that hold such arrays."""
_NUMPY = (b"\x93NUMPY", b"PK")
"""How such files begin."""
TABLES = (".csv", ".tsv")
"""Suffixes of tables with a row for each nucleotide."""
OWN_FILES = f"Own scores: {', '.join((*ARRAYS, *TABLES))}."
"""Which files those of other programs are, for errors."""
_KEYS = ("name", "position", "letter", "target")
"""Columns of such a table that are no scores; the last two may be left out."""
_ONE = (
    "an array [sequence, position] or [sequence, 4, position], a list with an array [position] or [4, position] for "
    "each sequence, or a table with the columns name, position and score"
)
_EXPECTED = f"{_ONE}, or a dict of such by method"


def own_scores(
    model: Model,
    sequences: SequencesLike,
    scores: OwnScores,
    target: Target | Int64 = "predicted",
    *,
    method: str = "own",
    tiles: Tiles | None = None,
) -> Attributions:
    """Convert scores of another program, such as captum, tangermeme or SHAP, to attributions.

    Args:
        model: What was explained; with ``target`` it says which output.
        sequences: What was explained, as `attribute` takes it.
        scores: An array ``[sequence, position]``; an array ``[sequence, 4, position]`` (bases in the order ACGT), of
            which the value at the letter that is there is taken; a list of arrays ``[position]`` or ``[4, position]``,
            one for each sequence, or a dict of them by its name; a DataFrame with a row for each nucleotide, as
            `Attributions.to_frame` makes it (columns ``name``, ``position`` from 0, and one of scores for each method;
            ``letter`` and ``target`` are compared where they are there); a dict of such by method; or the ``.npy``,
            ``.npz``, ``.csv`` or ``.tsv`` file of one. NumPy arrays, torch tensors, or pandas. Beyond the end of a
            sequence that is shorter than others stands 0 or NaN. A pandas index that names the sequences is followed.
        target: The output that the scores explain, as for `attribute`; or a number for each sequence. The column
            ``target`` of a table says it, too.
        method: What to call the method of scores without a name.
        tiles: How the model reads longer sequences, as for `attribute`; the predicted class is that of the mean.

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
    wanted_target = target if isinstance(target, str | int | Mapping) else "given"
    if isinstance(target, Mapping):
        model, target = model.of_target(target)
    sequences = as_sequences(sequences)
    model = model if tiles is None else replace(model, tiles=tiles)
    model.check(sequences)
    if isinstance(scores, str | os.PathLike):
        if os.path.isfile(scores) and not is_file_of_own(scores):
            raise FormatError(f"{scores}: no file of own scores. {OWN_FILES} Scores of kmerit: km.read_attributions.")
        scores = read_table(scores) if _suffix(scores) in TABLES else read_arrays(scores)
    by_method = _named_methods(scores, sequences, method)
    arrays = {name: _matrix(name, values, sequences) for name, values in by_method.items()}
    targets = {name: _targets(name, values, model, sequences, target) for name, values in by_method.items()}
    explained = {name: each for name, each in targets.items() if each is not None}
    if len(explained) < len(targets):
        explained = dict.fromkeys(targets, _explained(model, sequences, target)) | explained
    settings: dict[str, Any] = {"model": model.digest, "target": wanted_target, "source": "own scores"}
    if model.tiles is not None:
        settings |= {"tile": model.tiles.length, "stride": model.tiles.step}
    if model.problem is not Problem.CLASSES:
        settings["problem"] = model.problem.value
    return Attributions(
        {name: _attribution(name, array, sequences, explained[name], settings) for name, array in arrays.items()}
    )


def own_scores_of_class(sequences: Sequences, scores: OwnScores, label: int, *, method: str = "own") -> Attributions:
    """Convert scores of another program that explain one class, without the model that they explain.

    Args:
        sequences: What was explained.
        scores: As `own_scores` takes them, but no file.
        label: Number of the class; the column ``target`` of a table says another.
        method: What to call the method of scores without a name.

    Raises:
        UsageError: No such form, or no numbers.
        SequenceError: Another number of sequences or positions, or a value that is not finite; with its place.
        TargetError: A column ``target`` that is no number for each sequence.

    Example:
        >>> sequences = Sequences.from_strings(["ACGT"])
        >>> own_scores_of_class(sequences, [[0, 1, 0, 0]], 1)["own"].target.tolist()
        [1]
    """
    by_method = _named_methods(scores, sequences, method)
    attributions = {}
    for name, values in by_method.items():
        column = _target_column(name, values, sequences)
        target = np.array([label] * len(sequences) if column is None else column, dtype=np.int64)
        settings = {"target": label if column is None else "given", "source": "own scores"}
        attributions[name] = _attribution(name, _matrix(name, values, sequences), sequences, target, settings)
    return Attributions(attributions)


def _named_methods(scores: Any, sequences: Sequences, method: str) -> dict[str, Any]:
    """Part scores by method, and refuse none, and keys that name no method."""
    by_method = _by_method(scores, sequences, method)
    if not by_method:
        raise UsageError(f"scores: expected {_EXPECTED}; got an empty dict.")
    for name in by_method:
        if not isinstance(name, str) or not name.strip():
            raise UsageError(f"scores: expected names of methods as keys, got {short(name)}.")
    return by_method


def _by_method(scores: Any, sequences: Sequences, method: str) -> dict[Any, Any]:
    """Part scores by method; those of one method may be in a dict by the sequences' names."""
    if is_table(scores):
        return _by_column(scores, method)
    if not isinstance(scores, Mapping):
        return {method: scores}
    of_one = not set(scores).isdisjoint(sequences.names) and all(map(_is_of_one_sequence, scores.values()))
    return {method: scores} if of_one else dict(scores)


def _by_column(table: pd.DataFrame, method: str) -> dict[Any, Any]:
    """Part a table into one for each column of scores; one that is called ``score`` is the method's."""
    columns = [column for column in table.columns if column not in _KEYS]
    if not columns:
        raise UsageError(f"scores: a table without a column of scores, only {', '.join(table.columns)}.")
    keys = [column for column in table.columns if column in _KEYS]
    return {
        method if column == "score" else column: table[[*keys, column]].rename(columns={column: "score"})
        for column in columns
    }


def is_table(scores: Any) -> bool:
    """Return whether these are scores in a DataFrame with a row for each nucleotide."""
    return is_frame(scores) and {"name", "position"} <= set(scores.columns)


def is_file_of_own(path: str | os.PathLike[str]) -> bool:
    """Tell by its suffix whether a file has arrays or a table, and no attributions."""
    return _suffix(path) in (*ARRAYS, *TABLES)


def says_target(scores: Any) -> bool:
    """Return whether these are scores in a table that says what they explain."""
    return is_table(scores) and "target" in scores.columns


def _is_of_one_sequence(values: Any) -> bool:
    try:
        shape = np.shape(values)
    except ValueError:  # rows of different lengths
        return False
    return len(shape) == 1 or (len(shape) == 2 and shape[0] == 4)


def _suffix(path: str | os.PathLike[str]) -> str:
    return Path(unpacked_name(Path(path))).suffix.lower()


def read_table(path: str | os.PathLike[str]) -> pd.DataFrame:
    """Read a table of scores, a row for each nucleotide, from a CSV or TSV file, plain or compressed.

    Columns without a name, such as the index that pandas writes, play no part.

    Raises:
        FormatError: It is none, lacks a column, or has a cell that is no number; with its line.
    """
    cells, where = read_csv(Path(path), "," if _suffix(path) == ".csv" else "\t")
    table: pd.DataFrame = cells.select([name for name in cells.column_names if name.strip()]).to_pandas()
    if not is_table(table):
        raise FormatError(
            f"{path}: expected a row for each nucleotide: columns name, position (from 0), and one of scores for each "
            f"method; found {short(', '.join(table.columns))}. Scores with a row for each sequence: give them as .npy."
        )
    for column in table.columns:
        if column not in ("name", "letter"):
            table[column] = _read_numbers(table[column].tolist(), column, int if column in _KEYS else float, where)
    return table


def _read_numbers(
    cells: list[str], column: str, kind: type[int] | type[float], where: Where
) -> list[int] | list[float]:
    """Read the cells of a column; one of scores that is empty is NaN."""
    for row, cell in enumerate(cells):
        try:
            kind(cell or "nan")
        except ValueError:
            what = "a whole number" if kind is int else "a number"
            raise FormatError(f"{where(row)}: expected {what} in the column {column!r}, got {short(cell)}.") from None
    return [kind(cell or "nan") for cell in cells]


def read_arrays(path: str | os.PathLike[str]) -> OwnScores:
    """Read scores from a ``.npy`` file, or from a ``.npz`` file, whose arrays are named after their methods.

    Raises:
        FormatError: It is none, or holds Python objects.
    """
    try:
        with Path(path).open("rb") as file:
            if not file.read(6).startswith(_NUMPY):
                raise ValueError("it does not begin as one; unpack it if it is compressed")
            file.seek(0)
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
        files: Files of attributions (Parquet), of arrays (``.npy``, ``.npz``), or tables (``.csv``, ``.tsv``), as
            `own_scores` takes them. Of one that is given as ``NAME=FILE``, or by name in a dict, the scores called so
            are taken, or its only ones, which are then called so.

    Returns:
        Attributions, arrays and tables by method; what has no name is called ``own``.

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
    sources = list(files.items()) if isinstance(files, Mapping) else [_named(path) for path in files]
    scores_by_name: dict[str, Any] = {}
    for name, path in sources:
        each = _read_file(path)
        if name is not None and name not in each and len(each) != 1:
            raise FormatError(f"{path}: has no scores called {name!r}, but {', '.join(each)}.")
        if name is not None:
            each = {name: each[name] if name in each else next(iter(each.values()))}
        if twice := sorted(set(each) & set(scores_by_name)):
            raise UsageError(f"{path}: another file has scores called {twice[0]!r}, too. Name these NAME=FILE.")
        scores_by_name |= each
    return {
        name: replace(each, method=name) if isinstance(each, Attribution) else each
        for name, each in scores_by_name.items()
    }


def scores_for_trial(files: Sequence[str | os.PathLike[str]]) -> dict[str, Any] | Path:
    """Read the scores of several files, as `read_scores` does; of the one file of attributions, give the path.

    A trial reads such a file some sequences at a time, and so never holds the scores of all of them.

    Args:
        files: As for `read_scores`.

    Example:
        >>> import tempfile
        >>> import kmerit as km
        >>> scores = km.attribute(km.load_model("bundled:promoter"), ["TATAAAGGCGCGCC"], methods=["lrp"])
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     path = scores.save(f"{folder}/scores.parquet")
        ...     scores_for_trial([path]).name, list(scores_for_trial([f"mine={path}"]))
        ('scores.parquet', ['mine'])
    """
    if len(files) == 1:
        name, path = _named(files[0])
        if name is None and not is_file_of_own(path) and is_parquet(path):
            return Path(path)
    return read_scores(files)


def _read_file(path: str | os.PathLike[str]) -> dict[str, Any]:
    if not os.path.exists(path):
        raise FormatError(f"{path}: no such file. Write scores with: kmerit attribute")
    if _suffix(path) in TABLES:
        return _by_column(read_table(path), "own")
    if _suffix(path) in ARRAYS:
        arrays = read_arrays(path)
        return dict(arrays) if isinstance(arrays, Mapping) else {"own": arrays}
    try:
        return dict(read_attributions(path))
    except FormatError as error:
        raise FormatError(f"{error} {OWN_FILES}") from None


def _named(path: str | os.PathLike[str]) -> tuple[str | None, str | os.PathLike[str]]:
    """Part ``NAME=FILE``, unless there is a file of all of that name."""
    name, equals, file = str(path).partition("=")
    return (name, file) if equals and name and not os.path.exists(path) else (None, path)


def _targets(name: str, values: Any, model: Model, sequences: Sequences, target: Target | Int64) -> Int64 | None:
    """Read from a table which output its scores explain, one of the model; None if it does not say."""
    column = _target_column(name, values, sequences)
    if column is None:
        return None
    targets = given_targets(model, sequences, column)
    if not (isinstance(target, str) and target == "predicted"):
        mismatches = targets != _explained(model, sequences, target)
        if mismatches.any():
            i = int(np.argmax(mismatches))
            raise TargetError(
                f"scores of {name!r}: the table explains output {targets[i]} of {sequences.names[i]!r}; target names "
                f"another. Leave target out, or drop the column."
            )
    return targets


def _target_column(name: str, values: Any, sequences: Sequences) -> list[int] | None:
    """Read the column ``target`` of a table, a number for each sequence; None if there is none."""
    if not says_target(values):
        return None
    by_name = values.groupby("name")["target"]
    if (by_name.nunique() != 1).any() or values["target"].dtype.kind not in "iu":
        raise TargetError(f"scores of {name!r}: expected one whole number as target in all rows of a sequence.")
    first = by_name.first()
    return [int(first[each]) for each in sequences.names]


def given_targets(model: Model, sequences: Sequences, target: Any) -> Int64:
    """Check the number of an output for each sequence.

    Raises:
        TargetError: Other numbers, or not one for each sequence.
    """
    targets = np.asarray(target.detach().cpu() if hasattr(target, "detach") else target)
    if targets.shape != (len(sequences),) or targets.dtype.kind not in "iu":
        raise TargetError(
            f"target: expected the number of an output for each of {len(sequences)} sequences, got an array of "
            f"{targets.dtype} with shape {targets.shape}."
        )
    for each in np.unique(targets).tolist():
        model.output(each)
    return targets.astype(np.int64)


def _explained(model: Model, sequences: Sequences, target: Target | Int64) -> Int64:
    if not isinstance(target, str | int):
        return given_targets(model, sequences, target)
    if target == "predicted" and model.problem in (Problem.LABELS, Problem.VALUES) and model.n_classes > 1:
        raise TargetError(
            f"target: {model.name} predicts {model.n_classes} {model.problem.value}; say which one the scores explain: "
            f"km.own_scores(model, sequences, scores, target=...), one of {model.listed}."
        )
    targets = fixed_target(model, sequences, target)
    return np.asarray(model.logits(sequences).argmax(axis=1), dtype=np.int64) if targets is None else targets


def _attribution(
    name: str, scores: Float, sequences: Sequences, target: Int64, settings: Mapping[str, Any]
) -> Attribution:
    diagnostics = {
        "zero": ~(np.nan_to_num(scores) != 0).any(axis=1),
        "tie_share": np.array([tie_share(row[np.isfinite(row)]) for row in scores]),
    }
    return Attribution(
        method=name,
        scores=scores,
        level="nucleotide",
        target=target,
        names=sequences.names,
        signed=bool((scores < 0).any()),
        settings=settings,
        diagnostics=diagnostics_of(len(sequences), diagnostics),
        sequences=sequences,
    )


def _matrix(method: str, values: Any, sequences: Sequences) -> Float:
    """Check the scores of one method; give them as ``[sequence, position]``, NaN beyond each sequence's end."""
    lengths, what = sequences.lengths, f"scores of {method!r}"
    bases, _ = sequences.padded()
    if is_table(values):
        return _rows(what, _table_rows(what, values, sequences), bases, sequences)
    if isinstance(values, Mapping):
        return _rows(what, _in_order(what, values, sequences.names), bases, sequences)
    if hasattr(values, "iloc") and (index := names_of_index(values.index)) is not None:  # of pandas
        places = {name: row for row, name in enumerate(index)}
        if len(places) < len(index):
            raise SequenceError(f"{what}: the index of these rows has a name twice. Name each sequence once.")
        values = values.iloc[_in_order(what, places, sequences.names)]
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
            f"{what}: expected {len(sequences)} x {widest} [sequence, position], or {len(sequences)} x 4 x {widest}, "
            f"got the shape {array.shape}.{_remedy(array.shape, len(sequences), widest)}"
        )
    if len(array) != len(sequences):
        raise SequenceError(f"{what}: expected scores of {len(sequences)} sequences, got those of {len(array)}.")
    if array.shape[-1] != widest or (array.ndim == 3 and array.shape[1] != 4):
        is_transposed = array.ndim == 3 and array.shape[1:] == (widest, 4)
        raise SequenceError(
            f"{what}: expected {len(sequences)} x {'4 x ' if array.ndim == 3 else ''}{widest} (the longest "
            f"sequence has {widest} nt); got {' x '.join(map(str, array.shape))}."
            + (" Exchange the last two axes: scores.transpose(0, 2, 1)." if is_transposed else "")
        )
    inside = bases >= 0
    size = np.abs(array) if array.ndim == 2 else np.fmax.reduce(np.abs(array), axis=1)
    overhang = ~inside & ~np.isnan(size) & (size != 0)
    if overhang.any():
        i, position = (int(index[0]) for index in np.nonzero(overhang))
        raise SequenceError(
            f"{what}: {sequences.names[i]!r} has {lengths[i]} nt, and a score at position {position}; expected 0 or "
            f"NaN beyond its end."
        )
    if array.ndim == 3:
        array = _at_letters(array, bases)
    _refuse_nonfinite(what, np.where(inside & (bases < 4), array, 0), sequences)
    return np.where(inside, array, np.nan).astype(array.dtype)


def _remedy(shape: tuple[int, ...], count: int, length: int) -> str:
    """Explain an array of too many or too few axes, where its shape allows."""
    if shape == (length,) and count == 1:
        return " Put it into a list: [scores]."
    if len(shape) == 4 and shape[:3] == (count, 4, length):
        return f" Choose the output explained, of {shape[3]}: scores[..., i]."
    return ""


def _in_order(what: str, by_name: Mapping[Any, Any], names: Sequence[str]) -> list[Any]:
    """Put scores by the sequences' names into the order of the sequences."""
    if missing := [name for name in names if name not in by_name]:
        raise SequenceError(
            f"{what}: no scores of {missing[0]!r} ({len(missing)} of {len(names)} sequences lack them)."
        )
    if unknown := [name for name in by_name if name not in set(names)]:
        raise SequenceError(f"{what}: {short(unknown[0])} is not one of the {len(names)} sequences. Leave it out.")
    return [by_name[name] for name in names]


def _table_rows(what: str, table: pd.DataFrame, sequences: Sequences) -> list[Any]:
    """Check a table with a row for each nucleotide, in any order; give the scores of each sequence."""
    if table["position"].dtype.kind not in "iu":
        raise SequenceError(f"{what}: expected whole numbers from 0 in the column 'position'.")
    parts = _in_order(what, dict(iter(table.sort_values("position", kind="stable").groupby("name"))), sequences.names)
    for name, letters, part in zip(sequences.names, sequences, parts, strict=True):
        if part["position"].tolist() != list(range(len(letters))):
            raise SequenceError(
                f"{what}: {name!r} has {len(letters)} nt; expected a row for each position from 0 to "
                f"{len(letters) - 1}, got {len(part)} rows, of positions {part['position'].min()} to "
                f"{part['position'].max()}."
            )
        if "letter" in part and "".join(map(str, part["letter"])) != letters:
            at = next(i for i, pair in enumerate(zip(part["letter"], letters, strict=True)) if pair[0] != pair[1])
            raise SequenceError(
                f"{what}: {name!r} has {letters[at]} at position {at}, the table {part['letter'].iloc[at]}. Give the "
                f"sequences that were scored."
            )
    return [part["score"].to_numpy() for part in parts]


def _rows(what: str, values: Sequence[Any], bases: Any, sequences: Sequences) -> Float:
    """Check a list with an array for each sequence, and lay them out as one array."""
    if len(values) != len(sequences):
        whole = bool(len(values)) and len(getattr(values[0], "shape", ())) > 1 and len(values[0]) == len(sequences)
        raise SequenceError(
            f"{what}: expected an array for each of {len(sequences)} sequences, got {len(values)}."
            + (" Each of these is of all sequences: give the one of the output explained, scores[i]." if whole else "")
        )
    rows = []
    for i, (value, name, length) in enumerate(zip(values, sequences.names, sequences.lengths.tolist(), strict=True)):
        row = _numbers(f"{what}, index {i} ({name!r})", value)
        if row.shape not in ((length,), (4, length)):
            hint = " Transpose it." if row.shape == (length, 4) else ""
            raise SequenceError(
                f"{what}, index {i} ({name!r}): expected {length} scores, or 4 x {length}, for its {length} "
                f"nt; got the shape {row.shape}.{hint}"
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
        raise UsageError(f"{what}: expected {_ONE}; got {type(values).__name__} ({short(str(error))}).") from None
    if array.dtype == object and array.ndim == 1 and array.size and not np.isscalar(array[0]):
        return array
    if array.dtype.kind not in "fiu" or array.ndim == 0:
        raise UsageError(
            f"{what}: expected real numbers: {_ONE}; got {type(values).__name__} of {array.dtype}, shape {array.shape}."
        )
    return array.astype(np.float32 if array.dtype in (np.float16, np.float32) else np.float64)


def _at_letters(values: Any, bases: Any) -> Any:
    """Select from values ``[sequence, 4, position]`` those of the sequence's own letters; NaN at N and on padding."""
    is_letter = (bases >= 0) & (bases < 4)
    at_letters = np.take_along_axis(values, np.where(is_letter, bases, 0)[:, None].astype(np.int64), axis=1)[:, 0]
    return np.where(is_letter, at_letters, np.nan).astype(values.dtype)


def _refuse_nonfinite(what: str, array: Any, sequences: Sequences) -> None:
    nonfinite = ~np.isfinite(array)
    if nonfinite.any():
        i, position = (int(index[0]) for index in np.nonzero(nonfinite))
        raise SequenceError(
            f"{what}: {array[i, position]} at position {position} of {sequences.names[i]!r} ({int(nonfinite.sum()):,} "
            f"such values); expected finite numbers. Leave that sequence out, or replace these values by numbers."
        )
