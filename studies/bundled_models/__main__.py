"""Rebuild the bundled models: clean, warm up on DNase sites, train teachers, teach with several seeds, choose, export.

Every stage is a folder; a finished one is skipped and a stopped one resumed. A folder whose stages were made by another
recipe, or of other files, is refused before anything is done. On two cores all of it takes an estimated
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
from kmerit.datasets.windows import windows_like
from kmerit.errors import KmeritError
from kmerit.io.readers import write_sequences
from kmerit.metrics import over_seeds
from kmerit.store import check_begun, sha256, write_json, write_text
from kmerit.training import mean_answers, measure
from kmerit.training.card import chosen, cleaned, linear_baselines
from kmerit.training.convolutional import ConvolutionalConfig
from kmerit.training.data import load_splits, read_corpus, rows_measured_on, without_test_rows
from kmerit.training.finetuning import choose_weights
from kmerit.training.launch import STOPPED, Stage, is_made, launch_round, launch_stage
from kmerit.training.learner import halve_weights
from kmerit.training.recipe import FinetuneConfig, data_keys
from kmerit.training.sites import Sites, read_sites, site_splits

MOST_BYTES = 6_000_000
"""Of the weights of a bundled model."""
GAPPED = (8, 5)
"""Window and letters read in it, of the gapped k-mers."""
ENCODER = "bundled:encoder, a DNABERT-6 of 3 layers, 192 wide"
"""As the cards describe it."""
Keys = dict[str, Any]


class Teachers(Table):
    """Convolutional networks: warmed up on the sites, fine-tuned on a task, then asked by their pupils."""

    seeds: list[int] = Field([0, 1], min_length=1)
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
    teachers: list[int] | None = Field(None, min_length=1, description="their seeds, in place of those of all")
    warm: bool = Field(True, description="its teachers start from the network that is warmed up on the sites")
    network: Keys = Field(description="of a convolutional network trained on the task alone, to compare with")


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
        own = [network(folder / f"teacher{seed}", how, {"seed": seed}) for seed in model.teachers or teachers.seeds]
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


def clean(config: BundledConfig, rows: Mapping[str, km.Sequences], out: Path) -> None:
    """Write the sites with windows of the genome, and what teachers answer to; the account of the cleaning last.

    Args:
        config: What is cleaned, and of what.
        rows: By name of a model, its training rows: windows with their GC content are cut for its teachers.
        out: Folder of the files.
    """
    corpus, of_corpus = without_test_rows(read_corpus(config.corpus), config.exclude)
    splits, of_sites = site_splits(config.sites, corpus, config.exclude)
    assert splits.validation is not None
    write_sequences(splits.train, out / "sites_train.parquet")
    write_sequences(splits.validation, out / "sites_validation.parquet")
    rng = np.random.default_rng((config.sites.seed, 1))
    unlabelled = {"unlabelled": splits.train}
    for name, labelled in rows.items():
        unlabelled[f"unlabelled_{name}"] = windows_like(labelled, corpus, config.teachers.windows, rng)
    measured = rows_measured_on(config.exclude)
    for name, sequences in unlabelled.items():
        write_sequences(without_kmers_of(sequences, measured, config.teachers.shared), out / f"{name}.parquet")
    accounts = {"corpus": of_corpus, "sites": of_sites}
    write_json(out / "cleaning.json", {name: each.as_dict() if each else {} for name, each in accounts.items()})


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
        ConfigError: A wrong setting of any stage, before the first one begins.
        RunError: A stage failed; its own message stands above.
        RunMismatch: ``out`` holds stages by another recipe, or of other files; the first that differs is named.
    """
    planned, of, made_of = plan(config, out), cleaned_of(config), out / "cleaned_of.json"
    check_begun(made_of, "a cleaning", of, own=lambda entry: entry.name != "cleaning.json")
    for stage in (*planned.encoder, *chain(*planned.rounds)):
        is_made(stage)
    out.mkdir(parents=True, exist_ok=True)
    if not (out / "cleaning.json").is_file():
        say("cleaning the corpus and the sites of test rows")
        write_json(made_of, of)
        recipes = {name: FinetuneConfig.parse(data_keys(model.pupil)) for name, model in config.models.items()}
        clean(config, {name: load_splits(recipe).train for name, recipe in recipes.items()}, out)
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
    encoder, seeds = planned.encoder[-1].out, config.seeds
    account = cleaned(**read(out / "cleaning.json"))
    halve_weights(encoder, assets / "encoder", "encoder", MOST_BYTES)
    write_text(assets / "encoder" / "README.md", (encoder / "README.md").read_text(encoding="utf-8") + account)
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
        log = read(by_seed.get(choice.name, folders[0]) / "training_log.json")["log"]
        card = chosen(f"The bundled {name} model", recipe, splits, measured, log, ENCODER)
        write_text(assets / name / "README.md", card + account)


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
