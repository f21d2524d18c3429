"""Rebuild the bundled models: clean, warm up on DNase sites, train teachers, teach with several seeds, choose, export.

Settings, files and names are checked before anything is written. Every stage is a folder; a finished one is skipped and
a stopped one resumed. A cleaned file that was lost or altered is made anew. A folder whose stages were made by another
recipe, or of other files, is refused before any training begins. On two cores all of it takes an estimated
two and three quarter hours, 75 minutes of them for the encoder::

    python -m studies.bundled_models studies/bundled_models/recipes.toml --out runs/mini
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Mapping
from functools import reduce
from itertools import chain
from operator import or_
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from pydantic import Field

import kmerit as km
from kmerit.config import Table, read_toml
from kmerit.datasets.similarity import without_kmers_of
from kmerit.datasets.task import find_task
from kmerit.datasets.windows import windows_like
from kmerit.errors import ConfigError, KmeritError, RunMismatch, UsageError
from kmerit.io.readers import write_sequences
from kmerit.metrics import over_seeds
from kmerit.store import (
    altered,
    check_begun,
    hold,
    read_record,
    refuse_strangers,
    settle,
    sha256,
    write_json,
    write_proof,
    write_text,
)
from kmerit.training import check_recipe, mean_answers, measure
from kmerit.training.card import chosen, cleaned, finetuned, linear_baselines
from kmerit.training.convolutional import ConvolutionalConfig
from kmerit.training.data import Splits, load_splits, read_corpus, rows_measured_on, without_test_rows
from kmerit.training.finetuning import choose_weights
from kmerit.training.launch import STOPPED, Stage, is_made, launch_round, launch_stage
from kmerit.training.learner import halve_weights
from kmerit.training.recipe import DONE, FinetuneConfig, data_keys
from kmerit.training.sites import Sites, read_sites, site_splits

MOST_BYTES = 6_000_000
"""Of the weights of a bundled model."""
GAPPED = (8, 5)
"""Window and letters read in it, of the gapped k-mers."""
ENCODER = "bundled:encoder, a DNABERT-6 of 3 layers, 192 wide"
"""As the cards describe it."""
BEGUN, CLEANED = "cleaned_of.json", "cleaning.json"
"""What the cleaned files are made of, written before the first of them; their sums and the account, after the last."""
SHAPE = ("k", "hidden", "layers", "heads", "intermediate", "max_tokens")
"""Keys of the first stage that hold for the whole encoder."""
Keys = dict[str, Any]


class Teachers(Table):
    """Convolutional networks: warmed up on the sites, fine-tuned on a task, then asked by their pupils."""

    common: Keys = Field({}, description="keys of all their trainings, after those of every stage")
    warmup: Keys = Field({}, description="keys of their training on the sites")
    windows: int = Field(50_000, ge=1, description="genome windows with the GC content of a task's training rows")
    shared: int = Field(
        24,
        ge=1,
        le=32,
        description="no unlabelled sequence shares a word so long with a row that models are measured on",
    )


class Bundled(Table):
    """Fine-tuning of one bundled model, in tables of keys."""

    pupil: Keys = Field(description="of the model itself")
    teacher: Keys = Field(description="of its teachers, where they differ")
    teachers: list[int] = Field(min_length=1, description="their seeds")
    warm: bool = Field(True, description="its teachers start from the network that is warmed up on the sites")
    network: Keys = Field(description="of a convolutional network trained on the task alone, to compare with")
    notes: list[str] = Field([], description="what its card says, too, of how the recipe came about")


class BundledConfig(Table):
    """What the bundled models are made of."""

    corpus: list[str]
    exclude: list[str] = Field(description="tasks and files that models are measured on")
    sites: Sites
    processes: int = Field(2, ge=1, description="one thread each: together on the encoder, then one for each model")
    seeds: list[int] = Field([0, 1, 2], min_length=1)
    common: Keys = Field({}, description="keys of every stage")
    warmup: list[Keys] = Field(min_length=1, description="stages on the sites, each from the one before")
    teachers: Teachers
    models: dict[str, Bundled]


class Plan(NamedTuple):
    """All trainings: the encoder's one after the other; then the rounds, whose stages do not need each other."""

    encoder: list[Stage]
    rounds: tuple[list[Stage], ...]
    shipped: dict[str, list[Path]]
    compared: dict[str, dict[str, list[Path]]]


def plan(config: BundledConfig, out: Path) -> Plan:
    """Plan the warm-up, the teachers, and every model with every seed; a wrong key shows here."""
    sites = {
        "train": str(out / "sites_train.parquet"),
        "validation": str(out / "sites_validation.parquet"),
        "classes": ["genome", *read_sites(config.sites.file)[2]],
        "baselines": False,
        "measure_test": False,
    }

    def stage(folder: Path, *keys: Keys) -> Stage:
        return Stage(FinetuneConfig.parse(reduce(or_, keys, config.common)), folder)

    def network(folder: Path, *keys: Keys) -> Stage:
        return Stage(ConvolutionalConfig.parse(reduce(or_, keys, config.common)), folder)

    encoder: list[Stage] = []
    for number, keys in enumerate(config.warmup, 1):
        base = {"base": str(encoder[-1].out)} if encoder else {}
        encoder.append(stage(out / f"warmup{number}", base, sites, keys))
    base = {"base": str(encoder[-1].out)}
    teachers, warm = config.teachers, out / "teachers"
    first = [network(warm, sites, teachers.common, teachers.warmup)]
    taught: list[Stage] = []
    pupils: list[Stage] = []
    shipped, compared = {}, {}
    for name, model in config.models.items():
        folder = out / name
        data = data_keys(model.pupil) | {"baselines": False}
        alone = network(folder / "network", data, model.network)
        how = data | teachers.common | ({"base": str(warm)} if model.warm else {}) | model.teacher
        own = [network(folder / f"teacher{seed}", how, {"seed": seed}) for seed in model.teachers]
        asked: Keys = {"baselines": False, "teachers": [str(each.out) for each in own]}
        if "unlabelled_share" in model.pupil:
            asked["unlabelled"] = [str(out / "unlabelled.parquet"), str(out / f"unlabelled_{name}.parquet")]
        models = [stage(folder / f"seed{seed}", base, model.pupil, asked, {"seed": seed}) for seed in config.seeds]
        first, taught, pupils = [*first, alone], [*taught, *own], [*pupils, *models]
        compared[name] = {
            "a convolutional network, from scratch": [alone.out],
            "its teachers": [each.out for each in own],
        }
        shipped[name] = [each.out for each in models]
    return Plan(encoder, (first, taught, pupils), shipped, compared)


def check_names(config: BundledConfig) -> None:
    """Look up what the cleaning reads.

    Raises:
        ConfigError: A file or a chromosome that is not there.
        UnknownName: Neither a file nor a task.
    """
    for key, names in (("corpus", config.corpus), ("exclude", config.exclude)):
        for name in names:
            if Path(name).is_file():
                continue
            if key == "corpus" or Path(name).suffix or Path(name).name != name:
                raise ConfigError(
                    f"{key}: there is no file {name!r}. Correct it; paths start from where the command is given."
                )
            find_task(name)
    if not config.corpus:
        raise ConfigError("corpus: expected at least 1 file, got none. Name one, such as 'genome.fa.gz'.")
    chromosomes = set(map(str, read_sites(config.sites.file)[1]))
    if missing := [name for name in config.sites.held_out if name not in chromosomes]:
        raise ConfigError(
            f"sites.held_out: no site is on {missing[0]!r}. Known in {config.sites.file}: "
            f"{', '.join(sorted(chromosomes)[:30])}."
        )
    if chromosomes <= set(config.sites.held_out) or not config.sites.held_out:
        raise ConfigError("sites.held_out: expected some chromosomes, not none and not all. Change it.")


def check_models(config: BundledConfig, planned: Plan) -> dict[str, Splits]:
    """Read the rows of every model, and try its recipe on an untrained encoder.

    Returns:
        By name of a model, its rows.

    Raises:
        ConfigError: It is no classifier with validation and test rows.
        KmeritError: What its training would refuse.
    """
    shape = {key: getattr(planned.encoder[0].recipe, key) for key in SHAPE}
    recipes = {stage.out: stage.recipe for stage in planned.rounds[-1]}
    data = {}
    for name, model in config.models.items():
        recipe = recipes[planned.shipped[name][0]]
        splits = data[name] = load_splits(FinetuneConfig.parse(data_keys(model.pupil)))
        classifies = recipe.problem_type == "single_label_classification" and recipe.measure_test
        if splits.validation is None or splits.test is None or not classifies:
            raise ConfigError(
                f"models.{name}.pupil: expected a classifier of single labels with validation and test rows, which it "
                f"is chosen by and measured on (measure_test). Name files with validation and test."
            )
        check_recipe(recipe.model_copy(update={**shape, "base": None, "teachers": []}), data=splits)
    return data


def clean(config: BundledConfig, rows: Mapping[str, km.Sequences]) -> tuple[dict[str, km.Sequences], Keys]:
    """Make the sites with windows of the genome, and what teachers answer to.

    Args:
        config: What is cleaned, and of what.
        rows: By name of a model, its training rows: windows with their GC content are cut for its teachers.

    Returns:
        Sequences by file name, and the account of the cleaning.
    """
    corpus, of_corpus = without_test_rows(read_corpus(config.corpus), config.exclude)
    splits, of_sites = site_splits(config.sites, corpus, config.exclude)
    assert splits.validation is not None
    files = {"sites_train.parquet": splits.train, "sites_validation.parquet": splits.validation}
    rng = np.random.default_rng((config.sites.seed, 1))
    unlabelled = {"unlabelled": splits.train}
    for name, labelled in rows.items():
        unlabelled[f"unlabelled_{name}"] = windows_like(labelled, corpus, config.teachers.windows, rng)
    measured = rows_measured_on(config.exclude) if config.exclude else None
    for name, sequences in unlabelled.items():
        shared = sequences if measured is None else without_kmers_of(sequences, measured, config.teachers.shared)
        files[f"{name}.parquet"] = shared
    accounts = {"corpus": of_corpus, "sites": of_sites}
    return files, {name: each.as_dict() if each else {} for name, each in accounts.items()}


def check_cleaned(config: BundledConfig, planned: Plan, out: Path) -> None:
    """Refuse a folder that is not of this command, or whose cleaning, if it was finished, is another.

    Raises:
        RunMismatch: It is that; the first setting or file that differs is named.
    """
    stages = (*planned.encoder, *chain(*planned.rounds))
    if read_record(out / CLEANED) is not None or any(stage.out.exists() for stage in stages):
        check_begun(out / BEGUN, "a cleaning", cleaned_of(config), own=lambda entry: entry.name == CLEANED)
    elif not (out / BEGUN).is_file():  # a cleaning that was stopped may be begun again with other settings
        refuse_strangers(out, "a cleaning", own=lambda entry: entry.name == CLEANED)


def write_cleaned(config: BundledConfig, rows: Mapping[str, km.Sequences], out: Path) -> None:
    """Write the cleaned files with their sums and account, unless they are there; make lost or altered ones anew.

    Raises:
        RunMismatch: A file that was lost or altered is not the same, made anew.
    """
    record = read_record(out / CLEANED)
    lost = None if record is None else altered(out, record["files"])
    if lost == []:
        return
    again = f"; lost or altered, and made anew: {', '.join(lost)}" if lost else ""
    say(f"cleaning the corpus and the sites of test rows{again}")
    files, account = clean(config, rows)
    with hold(out):
        settle(out / BEGUN, cleaned_of(config))
        for name in files if lost is None else lost:
            write_sequences(files[name], out / name)
        if record is None:
            write_proof(out / CLEANED, files, account)
        elif other := altered(out, record["files"]):
            raise RunMismatch(
                f"{out / other[0]} was lost or altered, and made anew it is not the same (other packages?). "
                "Put it back as it was, or choose a new folder with --out."
            )


def cleaned_of(config: BundledConfig) -> Keys:
    """Return all that the cleaning depends on: settings, and the sums of the files that they name."""
    files = [Path(each) for each in (*config.corpus, *config.exclude, config.sites.file)]
    return {
        "corpus": config.corpus,
        "exclude": config.exclude,
        "sites": config.sites.model_dump(mode="json"),
        "windows": config.teachers.windows,
        "shared": config.teachers.shared,
        "rows": {name: data_keys(model.pupil) for name, model in config.models.items()},
        "sums": {str(path): sha256(path) for path in files if path.is_file()},
    }


def rebuild(config: BundledConfig, out: Path, assets: Path) -> None:
    """Rebuild the bundled models into ``assets``.

    Raises:
        UsageError: A file stands where a folder is to be.
        ConfigError: A wrong setting of any stage, before the first one begins.
        DataError: A file of rows that is missing or wrong, likewise.
        RunError: A stage failed; its own message stands above.
        RunMismatch: ``out`` holds stages by another recipe, or of other files; the first that differs is named.
    """
    for option, folder in (("--out", out), ("--assets", assets)):
        for path in (folder, *folder.parents):
            if path.exists() and not path.is_dir():
                raise UsageError(f"{option} {folder}: {path} is no folder. Choose another with {option}.")
    planned = plan(config, out)
    check_names(config)
    check_cleaned(config, planned, out)
    data = check_models(config, planned)
    write_cleaned(config, {name: splits.train for name, splits in data.items()}, out)
    for stage in (*planned.encoder, *chain(*planned.rounds)):
        is_made(stage)
    for stage in planned.encoder:
        launch_stage(stage, config.processes, begun=say)
    for independent in planned.rounds:
        launch_round(independent, config.processes, begun=say)
    export(config, planned, out, assets)


def export(config: BundledConfig, planned: Plan, out: Path, assets: Path) -> None:
    """Put the encoder and the best model of each task into ``assets``, as float16.

    The best by validation of the seeds' models and their average is shipped, and measured as it is shipped; the card
    shows the mean over the seeds too.
    """
    (warmed, encoder), seeds = planned.encoder[-1], config.seeds
    account = {name: each for name, each in read(out / CLEANED).items() if name in ("corpus", "sites")}
    halve_weights(encoder, assets / "encoder", "encoder", MOST_BYTES)
    measured, log = read(encoder / "metrics.json"), read(encoder / DONE)["log"]
    card = finetuned(warmed, load_splits(warmed), measured, log, title="The bundled encoder")
    write_text(assets / "encoder" / "README.md", card + cleaned(**account))
    for name, folders in planned.shipped.items():
        recipe = FinetuneConfig.parse({**read(folders[0] / "training.json"), "baselines": True})
        splits = load_splits(recipe)
        assert splits.validation is not None
        assert splits.test is not None
        by_seed = dict(zip(map(str, seeds), folders, strict=True))
        choice = choose_weights(by_seed, splits.validation, out / name / "average")
        halve_weights(choice.folder, assets / name, name, MOST_BYTES)
        rows, _ = km.prepare(splits.train, crop=splits.crop, min_length=int(splits.test.lengths.min()))
        others = linear_baselines(rows, splits.test, ks=(), gapped=GAPPED)
        others |= {label: mean_answers(parts, splits.test) for label, parts in planned.compared[name].items()}
        measured = measure(recipe, splits, assets / name, others=others) | {
            "seeds": over_seeds([read(folder / "metrics.json")["test"] for folder in folders], seeds),
            "chosen": choice.name,
            "validation": choice.auroc,
        }
        write_json(assets / name / "metrics.json", measured)
        log = read(by_seed.get(choice.name, folders[0]) / DONE)["log"]
        title, remarks = f"The bundled {name} model", config.models[name].notes
        card = chosen(title, recipe, splits, measured, log, ENCODER, remarks=remarks)
        write_text(assets / name / "README.md", card + cleaned(**account, unlabelled=config.teachers.shared))


def read(path: Path) -> Any:
    """Read a JSON file."""
    return json.loads(path.read_text(encoding="utf-8"))


def say(text: object) -> None:
    """Print to stderr."""
    print(f"bundled models: {text}", file=sys.stderr, flush=True)


def main(arguments: list[str] | None = None) -> int:
    """Parse the command line and rebuild."""
    parser = argparse.ArgumentParser(
        prog="python -m studies.bundled_models",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("config", type=Path, help="recipes.toml")
    parser.add_argument("--out", type=Path, default=Path("runs/mini"), help="folder of the stages")
    parser.add_argument("--assets", type=Path, help="where the models go; by default OUT/models")
    options = parser.parse_args(arguments)
    try:
        rebuild(BundledConfig.parse(read_toml(options.config)), options.out, options.assets or options.out / "models")
    except KmeritError as error:
        print(f"{type(error).__name__}: {error}", file=sys.stderr)
        return error.exit_code
    except KeyboardInterrupt:
        say("stopped; the same command goes on from here")
        return STOPPED
    return 0


if __name__ == "__main__":
    sys.exit(main())
