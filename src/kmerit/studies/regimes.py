"""Regimes: do verdicts depend on the task, the length, the operator or the model's seed? And where do methods agree?

A crossed design: tasks x lengths x models (or seeds of a training) x operators x methods, on one list of budgets. The
rows of a task are the same at every length, cropped around their centres; every model is scored once for all operators.
"""

from __future__ import annotations

import json
import logging
import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import ExitStack
from copy import deepcopy
from dataclasses import replace
from functools import partial
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, Self

import numpy as np
from pydantic import Field, model_validator

from kmerit.attribution.attribute import check_methods
from kmerit.config import Table, merge, read_toml
from kmerit.datasets.planting import Planting, plant
from kmerit.datasets.task import find_task
from kmerit.errors import ConfigError, LabelError, NoneLeft
from kmerit.io.crops import Crop, Tiles, prepare, sample_per_class
from kmerit.metrics import classification_metrics
from kmerit.models.model import Model, load_model
from kmerit.report import studies as reports
from kmerit.results import Attribution, Outcomes
from kmerit.runs.stages import Watch, unwatched
from kmerit.runs.study import Study, study_folder
from kmerit.sequences import Float, Floats, Sequences
from kmerit.store import Share, hold, write_csv, write_json
from kmerit.training.data import Splits, load_splits
from kmerit.training.recipe import FinetuneConfig, is_done
from kmerit.trials.controls import DECIDING, RANDOM, ranking_of
from kmerit.trials.operators import check_room, operator_named
from kmerit.trials.rankings import SHARE, as_numbers, check_counts, mutation_order
from kmerit.trials.verdicts import judge, mean_over_draws
from kmerit.uncertainty import concordance, mean_interval, shifted_concordance, variance_shares

if TYPE_CHECKING:
    import pandas as pd

FACTORS = ("task", "length", "operator", "method", "seed")
"""Of the crossed design whose variance is shared out."""
OPERATOR, ORDER = "random_other", "morf"
"""What `judge` reads."""
_SHAPE = {"architecture", "k", "hidden", "layers", "heads", "intermediate"}
"""Keys of a training that describe a new model."""
ROTATIONS = 20
"""Shifted scores per sequence."""

_LOG = logging.getLogger(__name__)


class RegimesConfig(Table):
    """The crossed design."""

    tasks: dict[str, dict[str, Any]] = Field(
        min_length=1,
        description="by name, keys of a fine-tuning that say what data: task, or train and test; or plant, a table of "
        "what to plant",
    )
    lengths: list[int] = Field(min_length=1, description="nucleotides around the centre of each row")
    tile: int | None = Field(
        None, ge=1, description="lengths beyond it are read in tiles of this many nucleotides, end to end"
    )
    seeds: list[int] = Field([], description="of the trainings")
    models: dict[str, list[str]] = Field({}, description="by task, models that are loaded; in place of seeds")
    operators: list[str] = Field(["random_other"], min_length=1)
    methods: list[str] = Field(min_length=2)
    counts: list[int | str] = Field(
        [5, 10, 20], min_length=1, description='nucleotides mutated, above 0, or shares of each length, "10%"'
    )
    per_class: int = Field(100, ge=2, description="test sequences on trial")
    train_per_class: int | None = Field(None, ge=2, description="training rows; all by default")
    validation_per_class: int | None = Field(None, ge=2, description="validation rows; all by default")
    test_per_class: int | None = Field(None, ge=2, description="test rows that models are measured on; all by default")
    replicates: int = Field(1, ge=1)
    random_sets: int = Field(4, ge=0)
    resamples: int = Field(1000, ge=100)
    seed: int = Field(0, ge=0, description="of the rows on trial and of their mutants")
    training: dict[str, Any] = Field(
        {},
        description="keys of a fine-tuning; of the bundled encoder, unless base or the shape of a new model is given",
    )

    @model_validator(mode="after")
    def _is_a_grid(self) -> Self:
        if bool(self.seeds) == bool(self.models):
            raise ValueError("give either seeds (models are trained) or models (they are loaded)")
        if self.models and sorted(self.models) != sorted(self.tasks):
            raise ValueError(f"models: expected a list for each of the tasks {', '.join(self.tasks)}")
        for key in ("lengths", "seeds", "operators", "methods", "counts"):
            values = getattr(self, key)
            if len(set(values)) < len(values):
                raise ValueError(f"{key}: one is named twice")
        if self.tile is not None and self.training.get("jitter"):
            raise ValueError("training.jitter moves a crop inside its row, and tiles have no place to go. Leave it out")
        if "all" in self.counts:
            raise ValueError("counts: where all positions are mutated every ranking is alike. Leave 'all' out")
        numbers = [float(share[1]) if (share := SHARE.fullmatch(str(count))) else count for count in self.counts]
        if unknown := [each for each in numbers if isinstance(each, str)]:
            raise ValueError(f"counts: expected whole numbers, or shares such as '10%', got {unknown[0]!r}")
        if min(self.lengths) < 1 or min(map(float, numbers)) <= 0:
            raise ValueError("lengths and counts: expected at least 1 nucleotide")
        return self


class TaskRows(NamedTuple):
    """Rows of a task that are long enough for every length.

    Attributes:
        splits: Whole rows.
        test: Whole test rows that models are measured on.
        trial: Whole test rows on trial.
        left_out: By split, the rows ``with_n``, ``too_short``, ``outside`` (the window is not whole in the genome) and
            ``overlapping`` (it overlaps one of another split), which are left out at every length.
    """

    splits: Splits
    test: Sequences
    trial: Sequences
    left_out: dict[str, dict[str, int]]


def rows_of_task(name: str, config: RegimesConfig) -> TaskRows:
    """Read a task's rows, and leave out those that are too short for the longest length.

    Raises:
        ConfigError: No test split, or planted sequences of another length.
        NoneLeft: No row is long enough for the longest length.
        LabelError: Fewer than two classes.

    Example:
        >>> design = {"tasks": {"few": {"task": "ienhancer_2l"}}, "lengths": [50, 100], "seeds": [0]}
        >>> config = RegimesConfig.parse({**design, "methods": ["attention", "lrp"], "per_class": 3})
        >>> len(rows_of_task("few", config).trial)
        6
    """
    splits = _splits(name, config)
    if splits.test is None:
        raise ConfigError(
            f"tasks.{name}: expected test rows to put on trial, got none. Name a file: test = 'test.csv'."
        )
    for split, part in (("train", splits.train), ("test", splits.test)):
        labels = part.labels
        if labels is None or labels.dtype != np.int64 or labels.ndim != 1 or np.unique(labels).size < 2:
            count = "other labels" if labels is None or labels.dtype != np.int64 or labels.ndim != 1 else "one"
            raise LabelError(
                f"tasks.{name}, {split}: expected rows of two classes or more, of {max(config.lengths)} nt or more; "
                f"got {count}. Name a task with negatives, or lower lengths."
            )
    keys = ("with_n", "too_short", "outside", "overlapping")
    left_out = {split: {key: counts.get(key, 0) for key in keys} for split, counts in splits.dropped.items()}

    def drawn(key: str, split: str, part: Sequences) -> Sequences:
        most: int | None = getattr(config, key)
        if most is None:
            return part
        counts = zip(*(each.tolist() for each in np.unique(np.asarray(part.labels), return_counts=True)), strict=True)
        if fewer := [f"{count} of {_class_name(splits, label)}" for label, count in counts if count < most]:
            asked = f"tasks.{name}: {key} = {most}"
            _LOG.warning("%s, but there are fewer %s rows; all are taken: %s", asked, split, ", ".join(fewer))
        return sample_per_class(part, most, config.seed)

    train, validation = drawn("train_per_class", "train", splits.train), splits.validation
    if validation is not None:
        validation = drawn("validation_per_class", "validation", validation)
    trial, test = drawn("per_class", "test", splits.test), drawn("test_per_class", "test", splits.test)
    return TaskRows(replace(splits, train=train, validation=validation, test=test), test, trial, left_out)


def _class_name(splits: Splits, label: int) -> str:
    return splits.classes[label] if 0 <= label < len(splits.classes) else str(label)


def _splits(name: str, config: RegimesConfig) -> Splits:
    """Read whole rows, or plant them: those are tried whole, since a crop may cut the signal off."""
    source = config.tasks[name]
    if "plant" not in source:
        keys = {**source, "crop": "none", "min_length": max(config.lengths)}
        try:
            return load_splits(FinetuneConfig.parse(keys, f"tasks.{name}"))
        except NoneLeft as error:
            raise NoneLeft(
                f"tasks.{name}: {error} In a study min_length is the longest of lengths, {max(config.lengths)} nt: "
                f"lower lengths, or name longer rows without N (windows of a genome: raise width)."
            ) from None
    if others := sorted(source.keys() - {"plant"}):
        raise ConfigError(f"tasks.{name}: plant says what data there are; {others[0]} says it, too. Leave one out.")
    planting = Planting.parse(source["plant"], f"tasks.{name}.plant")
    if config.lengths != [planting.length]:
        raise ConfigError(
            f"tasks.{name}: planted sequences are tried whole; expected lengths = [{planting.length}], got "
            f"{config.lengths}. Set lengths, or plant.length."
        )
    parts = {split: each.sequences for split, each in plant(planting).items()}
    return Splits(parts["train"], parts["validation"], parts["test"], ("absent", "planted"), name=name)


def cropped(sequences: Sequences, length: int) -> Sequences:
    """Keep ``length`` nucleotides around the centre of each row.

    Example:
        >>> cropped(Sequences.from_strings(["AACGTT"]), 2).strings()
        ['CG']
    """
    return prepare(sequences, crop=Crop(length, "center"), drop_n=False)[0]


def tiles_of(config: RegimesConfig, length: int) -> Tiles | None:
    """Return how sequences of this length are taken apart; None where they are read whole.

    Example:
        >>> design = {"tasks": {"few": {"task": "ienhancer_2l"}}, "lengths": [50, 100], "seeds": [0], "tile": 50}
        >>> config = RegimesConfig.parse({**design, "methods": ["attention", "lrp"]})
        >>> [tiles_of(config, length) for length in config.lengths]
        [None, Tiles(length=50, stride=None)]
    """
    return None if config.tile is None or length <= config.tile else Tiles(config.tile)


def numbers_of(config: RegimesConfig, rows: Sequences) -> list[int]:
    """Return how many nucleotides are mutated in rows of one length; a share of it is rounded, at least 1.

    Raises:
        CountError: A share above 100 %.

    Example:
        >>> design = {"tasks": {"few": {"task": "ienhancer_2l"}}, "lengths": [50, 100], "seeds": [0]}
        >>> config = RegimesConfig.parse({**design, "methods": ["attention", "lrp"], "counts": [5, "10%", "20%"]})
        >>> numbers_of(config, Sequences.from_strings(["ACGTT" * 10]))
        [5, 10]
    """
    return list(dict.fromkeys(int(number) for number in as_numbers(config.counts, rows)))


def constant_of(scores: Mapping[str, Attribution], rows: Sequences) -> list[dict[str, Any]]:
    """Count the sequences that a method gives one score throughout: that ranks nothing, and its order is drawn.

    Returns:
        Per class and method ``class``, ``method``, ``constant`` and ``sequences``.
    """
    labels, result = np.asarray(rows.labels), []
    for method, own in scores.items():
        constant = np.array([np.ptp(own[i]) == 0 for i in range(len(rows))], dtype=np.bool_)
        for label in np.unique(labels).tolist():
            of_class = constant[labels == label]
            counts = {"constant": int(of_class.sum()), "sequences": of_class.size}
            result.append({"class": label, "method": method, **counts})
    return result


def training_rows(rows: Sequences, tiles: Tiles | None) -> Sequences:
    """Take training rows apart as they are read: every tile of a row has the row's label.

    Example:
        >>> rows = Sequences.from_strings(["AACCGG"], labels=[1])
        >>> training_rows(rows, Tiles(4)).strings(), training_rows(rows, Tiles(4)).labels.tolist()
        (['AACC', 'CCGG'], [1, 1])
    """
    if tiles is None or rows.labels is None:
        return rows
    pieces = tiles.cut(rows)
    return replace(pieces.sequences, labels=rows.labels[pieces.owner], classes=rows.classes)


def study(
    config: str | Path | Mapping[str, Any],
    out: str | Path,
    overrides: Sequence[str] = (),
    watch: Watch = unwatched,
    *,
    shard: str | None = None,
) -> Path:
    """Cross tasks, lengths, models or seeds, operators and methods in one design; resume a stopped one.

    Args:
        config: Keys of `RegimesConfig`, or the TOML that has them, or ``bundled:NAME``.
        out: Folder of the results.
        overrides: Keys of the config set to other values, ``"seeds=[0]"``.
        watch: Shows the progress of a step.
        shard: ``"2/8"`` trains, scores and tries the second, tenth, ... model of the design, and no more: of eight such
            processes, on any machines that see the folder. Then the same call without it does what is left, and
            writes the results.

    Returns:
        ``regimes.md`` in it; of a shard, the folder. ``study.parquet`` has a row per task, length, model (or seed),
        operator, n, method and sequence (`table_of`); ``agreement.csv`` Kendall's W of the methods' scores per task,
        length, model and class (`agreement_of`); ``shares.csv`` the shares of the variance, and is absent where the
        design has none (`shares_of`); ``models.csv`` every model's accuracy and AUROC on the test rows; ``places.csv``
        where the first positions of methods lie (`places_of`); ``regimes.json`` the rows left out, the scores that rank
        nothing (`constant_of`), the verdicts, and why shares are absent.

    Raises:
        ConfigError: A config that is wrong or no grid; nothing was written.
        RunLocked: Another process does this study, or models of this shard.
        RunMismatch: The folder holds results of another config; ``seeds`` and ``operators`` may differ.
        UsageError: A shard that is not ``i/N``.
        UnknownName: A method or an operator that does not exist; nothing was written, nor for any of the following.
        UnsupportedMethod: A method that a model's family cannot serve.
        LengthError: A length that a model cannot take.
        CountError: An operator or a count that the shortest length has no room for.
        LabelError: A task without two classes.
        KmeritError: Other data or settings that do not fit.

    Example:
        >>> import tempfile
        >>> design = {"tasks": {"few": {"task": "ienhancer_2l"}}, "models": {"few": ["bundled:promoter"]}}
        >>> design |= {"lengths": [40], "methods": ["attention", "rollout"], "counts": [5], "per_class": 2}
        >>> with tempfile.TemporaryDirectory() as out:
        ...     study({**design, "resamples": 100}, out).name
        'regimes.md'
    """
    share = None if shard is None else Share.parse(shard)
    tree = read_toml(None if isinstance(config, Mapping) else config, overrides)
    if isinstance(config, Mapping):
        merge(whole := deepcopy(dict(config)), tree)
        tree = whole
    return _run(RegimesConfig.parse(tree), Path(out), watch, share)


def _run(config: RegimesConfig, out: Path, watch: Watch, share: Share | None) -> Path:
    import pandas as pd

    for seed in config.seeds:
        recipe_of(config, seed)
    rows = {name: rows_of_task(name, config) for name in config.tasks}
    _check(config, rows, Study(out, watch))
    tables, agreements, places, verdicts = [], [], [], []
    models: list[dict[str, Any]] = []
    constant: list[dict[str, Any]] = []
    inputs = {f"rows of {name}": each.trial for name, each in rows.items()}
    recorded = config.model_dump(mode="json", exclude=None if config.tile else {"tile"})  # as before there were tiles
    free = ("seeds", "operators")
    with (
        study_folder(out, recorded, free=free, watch=watch, shared=share is not None, **inputs) as folder,
        ExitStack() as held,
    ):
        own = _own_arms(config, folder, share)
        for place in own:
            held.enter_context(hold(place))
        for name, task in rows.items():
            for length in sorted(config.lengths, reverse=True):  # what a model cannot take is refused first
                trial, tiles = cropped(task.trial, length), tiles_of(config, length)
                for label, arm, model in _models(config, folder, name, task, length, own):
                    keys: dict[str, Any] = {"task": name, "length": length, **label}
                    scores = arm.attribute(model, trial, config.methods, tiles=tiles)
                    models.append({**keys, **accuracy_of(arm, model, task.test, length, config)})
                    if share is None:
                        agreements.append(agreement_of(scores, trial, config).assign(**keys))
                        places.append(places_of(scores, trial, config).assign(**keys))
                        constant += [{**keys, **each} for each in constant_of(scores, trial)]
                    for operator in config.operators:
                        outcomes = arm.mutate(
                            model,
                            trial,
                            scores,
                            name=_folder(operator),
                            counts=[0, *numbers_of(config, trial)],
                            replicates=config.replicates,
                            random_sets=config.random_sets,
                            operator=operator,
                            controls=(RANDOM, *DECIDING),
                            seed=config.seed,
                            tiles=tiles,
                        )
                        if share is not None:
                            continue  # what is said of all cells is computed once they are all there
                        by_method = verdicts_of(outcomes, operator, config)
                        verdicts += [{**keys, "operator": operator, **each} for each in by_method]
                        tables.append(table_of(outcomes, operator, config.methods, by_method).assign(**keys))
        if share is not None:
            return out
        grid = ["task", "length", "model", "seed"]
        table, agreement, placed = (
            whole[[*grid, *(column for column in whole.columns if column not in grid)]]
            for whole in (pd.concat(each, ignore_index=True) for each in (tables, agreements, places))
        )
        shares, reason = shares_of(table, config)
        table.to_parquet(out / "study.parquet.part", index=False, compression="zstd")
        (out / "study.parquet.part").replace(out / "study.parquet")
        write_csv(out / "agreement.csv", agreement)
        write_csv(out / "models.csv", pd.DataFrame(models))
        write_csv(out / "places.csv", placed)
        if shares is None:
            (out / "shares.csv").unlink(missing_ok=True)
        else:
            write_csv(out / "shares.csv", shares)
        left_out = {name: each.left_out for name, each in rows.items()}
        facts = {"left_out": left_out, "no_shares": reason, "constant": constant, "verdicts": verdicts}
        write_json(out / "regimes.json", facts)
        listed = None if shares is None else _records(shares)
        return reports.regimes(
            out / "regimes.md",
            verdicts,
            _records(agreement),
            listed,
            reason,
            left_out,
            sorted(config.lengths),
            models,
            _records(placed),
            constant,
            config.tile,
            {name: find_task(source["task"]).description for name, source in config.tasks.items() if "task" in source},
        )


def _records(table: pd.DataFrame) -> list[dict[str, Any]]:
    return [{str(key): value for key, value in row.items()} for row in table.to_dict("records")]


def _check(config: RegimesConfig, rows: Mapping[str, TaskRows], folder: Study) -> None:
    """Refuse what the shortest or the longest length does not allow, or a model, before anything is computed."""
    longest = max(config.lengths)
    tiles = tiles_of(config, longest)

    def check_model(source: str | Path, trial: Sequences) -> None:
        check_methods(replace(load_model(source), tiles=tiles), cropped(trial, longest), config.methods)

    operators = [operator_named(name) for name in config.operators]
    for name, task in rows.items():
        shortest = cropped(task.trial, min(config.lengths))
        check_room(operators, shortest)
        check_counts(numbers_of(config, shortest), int(shortest.lengths.min()), shortest.names[0])
        for source in config.models.get(name, ()):
            check_model(source, task.trial)
        places = [arm.folder / "model" for length in config.lengths for _, arm in _arms(config, folder, name, length)]
        if config.seeds and not all(is_done(place) for place in places):
            from kmerit.training import check_recipe  # needs the extra `train`

            data = _of_length(task.splits, longest, tiles, name)
            check_recipe(recipe_of(config, config.seeds[0]), partial(check_model, trial=task.trial), data=data)


def _arms(config: RegimesConfig, folder: Study, name: str, length: int) -> Iterator[tuple[str | int, Study]]:
    """Give where each model of a task and length has its results: what is loaded, or the seed of the training."""
    for which in config.models.get(name, ()) or config.seeds:
        yield which, folder / name / str(length) / (f"seed{which}" if isinstance(which, int) else _folder(which))


def _own_arms(config: RegimesConfig, folder: Study, share: Share | None) -> list[Path]:
    """List the folders of the models that this process makes: all, or every N-th."""
    arms = [
        arm.folder
        for name in config.tasks
        for length in sorted(config.lengths, reverse=True)
        for _, arm in _arms(config, folder, name, length)
    ]
    return [arm for index, arm in enumerate(arms) if share is None or index in share]


def _models(
    config: RegimesConfig, folder: Study, name: str, task: TaskRows, length: int, own: Collection[Path]
) -> Iterator[tuple[dict[str, Any], Study, Model]]:
    """Load the own models of a task, or train one for each seed on rows of this length."""
    for which, arm in _arms(config, folder, name, length):
        if arm.folder not in own:
            continue
        if isinstance(which, str):
            yield {"model": which, "seed": -1}, arm, load_model(which)
            continue
        splits = _of_length(task.splits, length, tiles_of(config, length), name)
        yield {"model": "trained", "seed": which}, arm, arm.train(recipe_of(config, which), data=splits)


def _of_length(whole: Splits, length: int, tiles: Tiles | None, name: str) -> Splits:
    """Crop rows; where they are read in tiles, train on those."""

    def part(rows: Sequences | None) -> Sequences | None:
        return None if rows is None else training_rows(cropped(rows, length), tiles)

    splits = replace(whole, validation=part(whole.validation), test=part(whole.test), name=f"{name}, {length} nt")
    if tiles is None:
        return replace(splits, crop=Crop(length, "center"))
    train = training_rows(cropped(whole.train, length), tiles)
    return replace(splits, train=train, crop=None, name=f"{splits.name} in tiles of {tiles.length} nt")


def recipe_of(config: RegimesConfig, seed: int) -> FinetuneConfig:
    """Make the recipe of a training: of the bundled encoder, unless another base or the shape of a new model is given.

    Example:
        >>> design = {"tasks": {"few": {"task": "ienhancer_2l"}}, "lengths": [50], "seeds": [0], "methods": ["a", "b"]}
        >>> [recipe_of(RegimesConfig.parse({**design, "training": keys}), 0).base for keys in ({}, {"hidden": 48})]
        ['bundled:encoder', None]
    """
    base = {} if _SHAPE & config.training.keys() else {"base": "bundled:encoder"}
    fixed = {"baselines": False, "measure_test": False}
    return FinetuneConfig.parse({**base, **fixed, **config.training, "seed": seed}, "training")


def _folder(name: str) -> str:
    """Make a folder's name of an operator's or a model's; one that loses characters gets a digest."""
    plain = re.sub(r"[^\w()]+", "_", name)[-60:]
    return plain if plain == name else f"{plain}-{sha256(name.encode()).hexdigest()[:8]}"


def accuracy_of(arm: Study, model: Model, test: Sequences, length: int, config: RegimesConfig) -> dict[str, Any]:
    """Measure a model on whole test rows, once.

    Returns:
        ``rows``, and ``accuracy`` and ``auroc`` with their 95 % intervals over rows, ``accuracy_low`` and so on.
    """

    def make(path: Path) -> None:
        logits = arm.watched("accuracy", replace(model, tiles=tiles_of(config, length)).logits, cropped(test, length))
        measured = classification_metrics(np.asarray(test.labels), logits, resamples=config.resamples, seed=config.seed)
        answer: dict[str, Any] = {"rows": measured["rows"]}
        for name in ("accuracy", "auroc"):
            answer |= {
                name: measured[name]["value"],
                **{f"{name}_{end}": measured[name][end] for end in ("low", "high")},
            }
        write_json(path, answer)

    path = arm.once(f"accuracy-{model.digest[:12]}", "accuracy.json", make)
    answer: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return answer


def places_of(scores: Mapping[str, Attribution], rows: Sequences, config: RegimesConfig) -> pd.DataFrame:
    """Measure where the first positions of each method lie: how many of them in the part that all lengths share.

    Returns:
        Per class and method ``central``, the share of its first ``n`` positions (the largest of the counts) in the
        shortest length around the centre, mean over ``sequences`` (those with scores), with ``low`` and ``high`` of its
        95 % interval over them, and ``even``, the share that positions drawn evenly would have.
    """
    import pandas as pd

    n, part = max(numbers_of(config, rows)), Crop(min(config.lengths), "center")
    labels, result = np.asarray(rows.labels), []
    for method in config.methods:
        shares, even = np.full(len(rows), np.nan), np.zeros(len(rows))
        for i, name in enumerate(rows.names):
            own = scores[method][i]
            start, end = part.window(own.size)
            even[i] = (end - start) / own.size
            if np.isfinite(own).any():  # else its scores are withheld, and its order is drawn
                first = mutation_order(own, name, config.seed)[:n]
                shares[i] = ((first >= start) & (first < end)).mean()
        for label in np.unique(labels).tolist():
            of_class = labels == label
            share = mean_interval(shares[of_class], resamples=config.resamples, seed=config.seed)
            cell = {"class": label, "method": method, "n": n, "sequences": int(np.isfinite(shares[of_class]).sum())}
            result.append({**cell, "central": share.value, "low": share.low, "high": share.high})
            result[-1]["even"] = float(even[of_class].mean())
    return pd.DataFrame(result)


def verdicts_of(outcomes: Outcomes, operator: str, config: RegimesConfig) -> list[dict[str, Any]]:
    """Judge a trial of one operator.

    `judge` reads mutants of ``random_other``; a trial of another operator is given it under that name.

    Returns:
        Per class and method ``method``, ``label``, ``verdict``, ``excess``, ``low``, ``high``, ``control`` and
        ``sequences``.
    """
    import pyarrow as pa

    at = outcomes.cells.column_names.index("operator")
    column = outcomes.cells["operator"]
    alike = pa.array([OPERATOR] * len(column)).dictionary_encode().cast(column.type)
    judged = (
        outcomes if operator == OPERATOR else replace(outcomes, cells=outcomes.cells.set_column(at, "operator", alike))
    )
    kept = ("method", "label", "verdict", "excess", "low", "high", "control", "sequences")
    card = judge(judged, methods=config.methods, resamples=config.resamples, seed=config.seed)
    return [{key: getattr(each, key) for key in kept} for each in card]


def table_of(outcomes: Outcomes, operator: str, methods: list[str], verdicts: list[dict[str, Any]]) -> pd.DataFrame:
    """Give every sequence's excess of each method over each deciding control, at every n.

    Returns:
        ``operator``, ``n``, ``class``, ``method``, ``sequence`` (its name), ``correct`` (whether the model gives it its
        class, unmutated), ``drop`` of the explained logit, ``shifted``, ``clump`` and ``other`` (the drop less that of
        the control, in logits; NaN where the control could not be formed), ``excess`` (their mean; NaN where one of the
        three is missing, so that it means the same in every cell), and the ``verdict``
        on the method and the class, of all n together.
    """
    import pandas as pd

    drops = outcomes.drops("logit")
    labels = {(each["method"], each["label"]): each["verdict"] for each in verdicts}
    tables = []
    for method in methods:
        own = outcomes.counts(method, operator, ORDER, full=False)
        for n, group in own.items():
            columns: dict[str, Floats] = {}
            for control in DECIDING:
                theirs = outcomes.counts(ranking_of(control, method), operator, ORDER, full=False)
                missing = np.full(len(outcomes), np.nan)
                columns[control] = mean_over_draws(drops[group] - drops[theirs[n]]) if n in theirs else missing
            every = np.stack([*columns.values()], axis=1)
            tables.append(
                pd.DataFrame(
                    {
                        "operator": operator,
                        "n": n,
                        "class": outcomes.classes,
                        "method": method,
                        "sequence": outcomes.names,
                        "correct": outcomes.initially_correct,
                        "drop": mean_over_draws(drops[group]),
                        **columns,
                        "excess": every.mean(axis=1),
                        "verdict": [labels[method, int(label)] for label in outcomes.classes],
                    }
                )
            )
    return pd.concat(tables, ignore_index=True)


def agreement_of(scores: Mapping[str, Attribution], rows: Sequences, config: RegimesConfig) -> pd.DataFrame:
    """Compute Kendall's W of the methods' scores, per class, and its value under shifted scores.

    Returns:
        ``class``, ``sequences``, ``left_out`` (with fewer than two methods that score every nucleotide), ``w``, its
        mean over sequences, ``shifted``, that of scores rotated along the sequence, and ``beyond``, their difference,
        with ``low`` and ``high`` of its 95 % interval over sequences.
    """
    import pandas as pd

    values = np.full((len(rows), 2), np.nan)
    for i in range(len(rows)):
        every: list[Float] = [scores[method][i] for method in config.methods]
        finite = [each for each in every if np.isfinite(each).all()]
        if len(finite) > 1:
            stacked = np.stack(finite)
            shifted = shifted_concordance(stacked, draws=ROTATIONS, seed=config.seed + i)
            values[i] = concordance(stacked), shifted.mean()
    labels = np.asarray(rows.labels)
    result = []
    for label in np.unique(labels).tolist():
        of_class = values[labels == label]
        known = of_class[np.isfinite(of_class).all(axis=1)]
        beyond = mean_interval(known[:, 0] - known[:, 1], resamples=config.resamples, seed=config.seed)
        w, null = known.mean(axis=0) if len(known) else (np.nan, np.nan)
        counts = {"class": label, "sequences": len(known), "left_out": len(of_class) - len(known)}
        result.append(
            {**counts, "w": w, "shifted": null, "beyond": beyond.value, "low": beyond.low, "high": beyond.high}
        )
    return pd.DataFrame(result)


def shares_of(table: pd.DataFrame, config: RegimesConfig) -> tuple[pd.DataFrame | None, str | None]:
    """Share out the variance of the excess, mean over n, among the factors of the design that have several levels.

    Sequences of all classes take part, if they have an excess in every cell of their task; of a task with more of them
    than another, as many are drawn.

    Args:
        table: As `table_of` gives them, with ``task``, ``length`` and ``seed``.
        config: The design.

    Returns:
        ``factor``, ``share``, ``low``, ``high``, ``sequences`` (of each task) and ``left_out`` (of all tasks); or None,
        and why there is none: ``seeds``, ``levels``, ``sequences`` or ``equal``.
    """
    import pandas as pd

    if len(config.seeds) < 3:
        return None, "seeds"
    factors = [name for name in FACTORS if table[name].nunique() > 1]
    if len(factors) < 2:
        return None, "levels"
    others = [name for name in factors if name != "task"]
    by_task = []
    for _, of_task in table.groupby("task", sort=False):
        mean = of_task.groupby([*others, "sequence"], sort=False)["excess"].agg(
            lambda values: values.mean(skipna=False)
        )
        wide = mean.unstack("sequence").sort_index()
        by_task.append((wide.dropna(axis=1), wide.shape[1]))
    least = min(cells.shape[1] for cells, _ in by_task)
    if least < 2:
        return None, "sequences"
    generator = np.random.default_rng(config.seed)
    blocks = []
    for cells, _ in by_task:
        columns = np.sort(generator.permutation(cells.shape[1])[:least])
        blocks.append(cells.to_numpy()[:, columns].reshape(*(table[name].nunique() for name in others), least))
    stacked = np.stack(blocks) if "task" in factors else blocks[0]
    apart = ["task"] if "task" in factors else []
    shares = variance_shares(stacked, factors, seeds="seed", apart=apart, resamples=config.resamples, seed=config.seed)
    if not np.isfinite([each.value for each in shares.values()]).all():
        return None, "equal"
    left_out = sum(total - least for _, total in by_task)
    rows = [(name, *each, least, left_out) for name, each in shares.items()]
    return pd.DataFrame(rows, columns=["factor", "share", "low", "high", "sequences", "left_out"]), None
