"""Leakage, class by class: does the collapse under mutation follow the leaked class, or the default label?

Four arms per data set: leaks of no class, the background, the regulatory class, both. Training rows give way to copies
of test rows, or to windows that overlap them; sizes, test set and everything else are the same in all arms.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray
from pydantic import Field

import kmerit as km
from kmerit.config import Several, Table
from kmerit.datasets.planting import draw_leaking, overlapping_windows, placed, plant_leaks
from kmerit.datasets.similarity import without_shared
from kmerit.datasets.task import find_task
from kmerit.errors import ConfigError
from kmerit.formats import fixed
from kmerit.report import text
from kmerit.store import write_csv, write_json
from kmerit.studies.study import (
    RANDOM,
    Trial,
    Watch,
    audited,
    falls_further,
    interval,
    mean_drops,
    on_trial,
    report,
    study,
    table,
    unwatched,
)
from kmerit.training.data import Splits
from kmerit.trials.verdicts import FAITHFUL
from kmerit.uncertainty import Interval, bootstrap_interval, ratio

if TYPE_CHECKING:
    import pandas as pd

WATCHED = 100
"""Validation rows of each class: they show how training goes, and choose nothing."""
KEPT = ["label", "method", "n", "full", "accuracy", "low", "high", "tokens_changed", "gc_shift"]
"""What is kept of a summary."""
Arm = Literal["none", "positives", "negatives", "both"]
ARMS: dict[Arm, tuple[int, ...]] = {"none": (), "positives": (1,), "negatives": (0,), "both": (0, 1)}
"""Which classes leak."""
CONTRASTS: dict[str, dict[Arm, float]] = {
    "unleaked": {"none": 1.0},
    "positives": {"positives": 1.0, "none": -1.0},
    "negatives": {"negatives": -1.0, "none": 1.0},
    "leaked": {"positives": 0.5, "negatives": -0.5},
}
"""How arms are weighed; of each arm, how much further class 1 falls than class 0."""


class DataSet(Table):
    """One data set of the design."""

    task: str
    leaks: Literal["copies", "overlaps"]
    share: float = Field(0.755, gt=0, le=1, description="of each class's test rows that leak, where it leaks")
    train_min_length: int | None = Field(None, ge=1, description="nucleotides; that of the test rows by default")
    train_rows: int | None = Field(None, ge=2, description="of both classes together; all there are by default")
    test_per_class: int | None = Field(None, ge=1, description="all there are by default")
    corpus: list[str] = Field([], description="FASTA that windows are cut out of; for overlaps")


class LeakageConfig(Table):
    """The crossed design."""

    sets: dict[str, DataSet] = Field(min_length=1)
    arms: Several[Arm] = ("none", "positives", "negatives", "both")
    seeds: list[int] = Field([0, 1, 2], min_length=1)
    seed: int = Field(0, ge=0, description="of the leaks, the same in all arms")
    training: dict[str, Any] = Field({}, description="keys of a fine-tuning")
    trial: Trial = Field(description="the same in all arms; its seed draws the sequences on trial")


def design(config: DataSet, seed: int) -> tuple[Splits, km.Sequences]:
    """Gather the rows of a data set before anything leaks, and what may leak.

    Raises:
        ConfigError: Overlaps without a corpus.
        FormatError: Too few test rows are found in the corpus.
    """
    task = find_task(config.task)
    least = {"train": config.train_min_length or task.min_length}
    train, validation, test = (
        km.prepare(km.load_task(task, split), min_length=least.get(split, task.min_length), drop_n=task.drop_n)[0]
        for split in ("train", "validation", "test")
    )

    def drawn(rows: km.Sequences, per_class: int | None) -> km.Sequences:
        return rows if per_class is None else km.sample_per_class(rows, per_class, seed)

    if config.leaks == "copies":
        test = drawn(test, config.test_per_class)
        leaks = test.take(draw_leaking(test, config.share, seed))
    else:
        if not config.corpus:
            raise ConfigError("leaks = 'overlaps' needs a corpus to cut windows out of: corpus = ['genome.fa.gz'].")
        pieces = joined([km.read_sequences(path, case="upper") for path in config.corpus])
        # Few positives lie in the corpus: those of the training split are tested on, too, and nothing like them stays.
        pool = joined([test, train])
        test = drawn(pool.take(placed(pool, pieces)), config.test_per_class)
        train = train.take(~np.isin(train.names, test.names))
        validation = without_shared(validation, test)
        leaks = overlapping_windows(test.take(draw_leaking(test, config.share, seed)), pieces, seed)
    validation = drawn(validation, WATCHED)
    train = drawn(without_shared(train, test), config.train_rows and config.train_rows // 2)
    validation, test = (km.prepare(rows, crop=task.crop, drop_n=False)[0] for rows in (validation, test))
    return Splits(train, validation, test, task.classes, task.crop), leaks


def joined(parts: Sequence[km.Sequences]) -> km.Sequences:
    """Put sequences end to end; loci are left out."""
    return replace(km.Sequences.concat(parts), loci=None)


def run_leakage(config: LeakageConfig, out: str | Path, watch: Watch = unwatched) -> Path:
    """Run the crossed design; resume a stopped one.

    Args:
        config: What determines it.
        out: Folder of the results.
        watch: Shows the progress of a step.

    Returns:
        ``leakage.md`` in it. ``leakage.csv`` has a row per data set, arm, seed, class and method; ``leakage.json``
        says, per data set, arm and seed, which class fell further, which leaked, and which is the default label, and
        per data set how much further one class falls, and what a leak adds to that (`effects`); ``study.json`` is the
        config.

    Raises:
        RunMismatch: The folder holds results of another config; ``arms`` and ``seeds`` may differ.
        KmeritError: Data or settings that do not fit.

    Example:
        >>> import tempfile
        >>> few = {"task": "ienhancer_2l", "leaks": "copies", "train_rows": 8, "test_per_class": 4}
        >>> config = LeakageConfig.parse(
        ...     {
        ...         "sets": {"few": few},
        ...         "arms": ["none"],
        ...         "seeds": [0],
        ...         "training": {"max_steps": 1, "device": "cpu"},
        ...         "trial": {"methods": ["attention"], "counts": [0, 5], "compared": 5, "per_class": 2},
        ...     }
        ... )
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     run_leakage(config, folder).name
        'leakage.md'
    """
    import pandas as pd

    out, trial = Path(out), config.trial
    rows, models, answers = [], [], {}
    with study(out, config, free=("arms", "seeds")):  # no model depends on which others there are
        for name, settings in config.sets.items():
            unleaked, leaks = design(settings, config.seed)
            mine, lost = [], []
            for seed in config.seeds:  # all arms with one seed, then with the next: what is done early compares
                for arm in config.arms:
                    train = plant_leaks(unleaked.train, leaks, ARMS[arm], config.seed)
                    splits = Splits(
                        train, unleaked.validation, unleaked.test, unleaked.classes, unleaked.crop, f"arm {arm}"
                    )
                    audited(splits, out / name / arm, baselines=("memory",), resamples=200)
                    recipe = {**config.training, "seed": seed}
                    outcomes, summary, model = on_trial(recipe, trial, splits, out / name / arm / f"seed{seed}", watch)
                    lost.append(losses(outcomes, trial).assign(arm=arm, seed=seed))
                    rows.append(summary[KEPT].assign(set=name, arm=arm, seed=seed))
                    further = falls_further(model["drops"], trial.methods)
                    keys = {"set": name, "arm": arm, "seed": seed, "leaked": list(ARMS[arm]), "falls_further": further}
                    mine.append(keys | model)
            models += sorted(mine, key=lambda model: config.arms.index(model["arm"]))
            answers[name] = answer(mine, trial.methods) | {
                "effects": effects(pd.concat(lost), trial.resamples, trial.seed)
            }
        every = pd.concat(rows).sort_values(
            ["set", "arm"], key=lambda column: column.map([*config.sets, *config.arms].index), kind="stable"
        )
        write_csv(out / "leakage.csv", every[["set", "arm", "seed", *KEPT]])
        write_json(out / "leakage.json", {"models": models, "answers": answers})
        draw(models, trial.methods, out)
        return report(
            out / "leakage.md",
            "# Leaks, class by class",
            text.LEAKAGE,
            "\n".join(
                f"- **{name}**: {text.collapse(each['models'], each['leaked'], each['not_default'])}"
                for name, each in answers.items()
            ),
            "![Accuracy lost by class and arm](figure.png)",
            *(part for name in config.sets for part in section(name, models, answers[name]["effects"], trial.methods)),
        )


def losses(outcomes: km.Outcomes, trial: Trial) -> pd.DataFrame:
    """Take from a trial what mutation took from each sequence, at the n compared and with all mutated.

    Returns:
        ``lost``, in accuracy, by ``n``, ``ranking`` (``methods``: their mean; ``random`` positions), ``sequence``,
        ``label`` and ``cluster``.
    """
    import pandas as pd

    cells = outcomes.to_frame()
    cells["lost"] = outcomes.initially_correct[cells["sequence"]].astype(float) - outcomes.correct
    cells["cluster"] = outcomes.clusters[cells["sequence"]]
    of_methods, at_n = cells["method"].isin(trial.methods), (cells["n"] == trial.compared) & ~cells["full"]
    parts = {
        (str(trial.compared), "methods"): cells[of_methods & at_n],
        (str(trial.compared), RANDOM): cells[(cells["method"] == RANDOM) & at_n],
        ("all", "methods"): cells[of_methods & cells["full"]],
    }
    there = {key: part for key, part in parts.items() if len(part)}
    means = [part.groupby(["sequence", "label", "cluster"])["lost"].mean() for part in there.values()]
    lost: pd.DataFrame = pd.concat(means, keys=there, names=["n", "ranking"]).reset_index()
    return lost


def effects(lost: pd.DataFrame, resamples: int = 2000, seed: int = 0) -> dict[str, dict[str, dict[str, Any]]]:
    """Compute how much further one class falls than the other: without leaks, and what a leak adds to that.

    Args:
        lost: `losses` of the models of one data set, with ``arm`` and ``seed``.
        resamples: Bootstrap draws of the intervals, over sequences; the trainings are taken as they are.
        seed: Of those draws.

    Returns:
        By ``n``, then by ranking, then by contrast, see `CONTRASTS`: ``value``, ``low``, ``high`` in accuracy, and
        ``trainings``, the values of each seed alone. A contrast whose arms are not there is left out.

    Example:
        >>> import pandas as pd
        >>> rows = pd.DataFrame({"sequence": [0, 1], "label": [0, 1], "cluster": [0, 1], "lost": [0.1, 0.3]})
        >>> found = effects(rows.assign(n="20", ranking="methods", arm="none", seed=0), resamples=100)
        >>> round(found["20"]["methods"]["unleaked"]["value"], 2)
        0.2
    """
    by_arm = lost.pivot(index=["n", "ranking", "sequence", "label", "cluster", "seed"], columns="arm", values="lost")
    found: dict[str, dict[str, dict[str, Any]]] = {}
    for n, ranking in dict.fromkeys(zip(lost["n"], lost["ranking"], strict=True)):
        here = found.setdefault(n, {}).setdefault(ranking, {})
        for name, weights in CONTRASTS.items():
            if set(weights) <= set(by_arm):
                each = sum(by * by_arm.loc[(n, ranking), arm] for arm, by in weights.items()).unstack("seed")
                labels, clusters = (each.index.get_level_values(key).to_numpy() for key in ("label", "cluster"))
                whole = class_difference(each.mean(axis=1, skipna=False), labels, clusters, resamples, seed)
                alone = [class_difference(each[of], labels, clusters, 0).known()["value"] for of in each]
                here[name] = whole.known() | {"trainings": alone}
    return found


def class_difference(
    values: ArrayLike, labels: NDArray[Any], clusters: Any = None, resamples: int = 2000, seed: int = 0
) -> Interval:
    """Take the mean of class 0 from that of class 1, with a 95 % bootstrap interval over sequences.

    Args:
        values: ``[sequence]``; a sequence without one (NaN) is left out.
        labels: ``[sequence]``, 0 or 1.
        clusters: ``[sequence]``; sequences of one cluster are drawn together.
        resamples: Bootstrap draws.
        seed: Of those draws.

    Example:
        >>> class_difference(np.array([0.1, 0.3, 0.2, 0.4]), np.array([0, 0, 1, 1])).value.__round__(2)
        0.1
    """
    values = np.asarray(values)
    there, filled = np.isfinite(values), np.nan_to_num(values)

    def difference(weights: NDArray[Any]) -> NDArray[Any]:
        shares = [weights * (there & (labels == label)) for label in (0, 1)]
        zero, one = (ratio(share @ filled, share.sum(axis=-1)) for share in shares)
        return np.asarray(one - zero)

    return bootstrap_interval(difference, values.size, clusters=clusters, resamples=resamples, seed=seed)


def answer(models: list[dict[str, Any]], methods: list[str]) -> dict[str, Any]:
    """Count what the collapse follows in one data set.

    Args:
        models: Per model ``arm``, ``leaked``, ``default_label``, ``falls_further`` and ``drops``.
        methods: Without controls.

    Returns:
        Of the ``models`` with one leaked class, how many fell further in the ``leaked`` class and how many in the one
        that is ``not_default``; and per arm the ``drop`` of each class, averaged over methods and seeds, less that of
        the arm ``none`` (``against_none``).

    Example:
        >>> model = {"arm": "positives", "leaked": [1], "default_label": 1, "falls_further": 1,
        ...          "drops": {"lrp": {"0": 0.1, "1": 0.3}}}
        >>> found = answer([model], ["lrp"])
        >>> found["leaked"], found["not_default"], found["models"]
        (1, 0, 1)
    """
    single = [model for model in models if len(model["leaked"]) == 1 and model["falls_further"] is not None]
    by_arm = {arm: mean_drops([model["drops"] for model in models if model["arm"] == arm], methods) for arm in ARMS}
    none = by_arm["none"]
    return {
        "models": len(single),
        "leaked": sum(model["falls_further"] in model["leaked"] for model in single),
        "not_default": sum(model["default_label"] not in (None, model["falls_further"]) for model in single),
        "drop": by_arm,
        "against_none": {
            arm: {label: drop - none[label] for label, drop in by_label.items() if label in none}
            for arm, by_label in by_arm.items()
            if arm != "none"
        },
    }


def section(name: str, models: list[dict[str, Any]], of_set: dict[str, Any], methods: list[str]) -> list[str]:
    """Tabulate one data set: contrasts, models, and how often each method is called faithful."""

    def line(model: dict[str, Any]) -> dict[str, object]:
        drops, control = mean_drops([model["drops"]], methods), model["drops"].get(RANDOM, {})
        return {
            "arm": model["arm"],
            "seed": model["seed"],
            "accuracy on the test split": fixed(model["accuracy"]["value"]),
            "AUROC": fixed(model["auroc"]["value"]),
            "default label": text.or_neither(model["default_label"]),
            "falls further": text.or_neither(model["falls_further"]),
            **{f"drop of class {k} (random)": f"{fixed(drops[k])} ({fixed(control.get(k))})" for k in drops},
        }

    contrasts = [
        {"n": n, "mutated first": "by the methods" if ranking == "methods" else ranking}
        | {
            text.CONTRASTS[key]: f"{interval(**difference)} [{', '.join(map(fixed, difference['trainings']))}]"
            for key, difference in by_contrast.items()
        }
        for n, by_ranking in of_set.items()
        for ranking, by_contrast in by_ranking.items()
    ]
    mine = [model for model in models if model["set"] == name]
    verdicts: dict[tuple[str, int, str], list[bool]] = {}
    for model in mine:
        for each in model["verdicts"]:
            verdicts.setdefault((each["method"], each["label"], model["arm"]), []).append(each["verdict"] == FAITHFUL)
    faithful = [
        {"method": method, "class": label, arm: f"{sum(every)} of {len(every)}"}
        for (method, label, arm), every in verdicts.items()
    ]
    return [
        f"## {name}",
        table(contrasts),
        table(map(line, mine)),
        text.FAITHFUL_MODELS,
        table(faithful, ["method", "class"]),
    ]


def draw(models: list[dict[str, Any]], methods: list[str], out: Path) -> None:
    """Draw the drop of each class in each arm: a dot for a model, a line through the means; a panel for each set."""
    import pandas as pd

    from kmerit.report.figures import Plot, blank, paper_style, save

    drops = [(m["set"], m["arm"], m["seed"], mean_drops([m["drops"]], methods)) for m in models]
    rows = pd.DataFrame(
        [(*key, int(label), drop) for *key, by_label in drops for label, drop in by_label.items()],
        columns=["set", "arm", "seed", "label", "drop"],
    )
    with paper_style():
        figure = blank(3.6 * rows["set"].nunique(), 2.8)
        axes = figure.subplots(1, rows["set"].nunique(), squeeze=False, sharey=True)[0]
        for axis, (name, mine) in zip(axes, rows.groupby("set", sort=False), strict=True):
            arms = list(dict.fromkeys(mine["arm"]))
            for label, colour in enumerate(("#0072B2", "#D55E00")):
                of_class = mine[mine["label"] == label]
                at = of_class["arm"].map(arms.index) + 0.08 * (label - 0.5)
                axis.plot(at, of_class["drop"], "o", ms=4, alpha=0.6, color=colour)
                means = of_class.groupby("arm")["drop"].mean().reindex(arms)
                axis.plot(range(len(arms)), means, "-", lw=1.4, color=colour, label=f"class {label}")
            axis.axhline(0, lw=0.6, color="grey")
            axis.set_xticks(range(len(arms)), arms)
            axis.set_xlabel("leaked")
            axis.set_title(str(name), fontsize=8)
        axes[0].set_ylabel("accuracy lost")
        axes[0].legend(frameon=False)
    save(Plot(figure, rows), out / "figure")
