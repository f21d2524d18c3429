"""Rebuild the bundled models: clean, warm up on DNase sites, train teachers, teach with several seeds, choose, export.

Every stage is a folder; a finished one is skipped and a stopped one resumed::

    python -m studies.bundled_models studies/bundled_models/recipes.toml --out runs/mini
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, NamedTuple, Self

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from pydantic import Field, model_validator

import kmerit as km
from kmerit.config import Table, read_toml
from kmerit.datasets.similarity import without_kmers_of
from kmerit.datasets.windows import cut_windows, matched_windows, with_windows
from kmerit.errors import FormatError, KmeritError
from kmerit.io.readers import write_sequences
from kmerit.metrics import classification_metrics, over_seeds
from kmerit.store import write_json, write_text
from kmerit.training import mean_answers, measure
from kmerit.training.card import crop_text, linear_baselines, metrics_table, notes, render
from kmerit.training.convolutional import ConvolutionalConfig
from kmerit.training.data import Splits, load_splits, read_corpus, rows_measured_on, without_test_rows
from kmerit.training.launch import launch
from kmerit.training.learner import average_weights, halve_weights
from kmerit.training.recipe import FinetuneConfig, is_done

MOST_BYTES = 6_000_000
"""Of the weights of a bundled model."""
GAPPED = (8, 5)
"""Window and letters read in it, of the gapped k-mers."""
DATA = (
    "task", "train", "validation", "test", "sequence_column", "label_column", "classes", "crop", "min_length",
    "train_min_length", "drop_n",
)  # fmt: skip
"""Keys of a fine-tuning that say what is learned, not how."""
Keys = dict[str, Any]


class Sites(Table):
    """DNase sites, which the encoder learns to distinguish from the genome and by cell: the supervised warm-up."""

    file: str = Field(description="CSV with the columns chr, cell, sequence; all of one length")
    held_out: list[str] = Field(["chr1"], description="chromosomes whose sites are the validation split")
    windows: float = Field(6, gt=0, description="genome windows to draw from, per site")
    matched: float = Field(0.5, ge=0, le=1, description="share of windows with the GC content of a site")
    seed: int = 0


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
    network: Keys = Field(description="of a convolutional network trained on the task alone, to compare with")
    elder: Keys | None = Field(None, description="of a model of its own shape that learns the labels alone")
    second: Keys | None = Field(
        None, description="of a second training, from the mean of its weights and the elder's, by teachers and elder"
    )

    @model_validator(mode="after")
    def _pairs(self) -> Self:
        if (self.elder is None) != (self.second is None):
            raise ValueError("the tables elder and second go together")
        return self


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


class Stage(NamedTuple):
    """A training: its recipe, its folder; where it starts from the mean of models, their folders."""

    recipe: FinetuneConfig
    out: Path
    mean_of: tuple[Path, ...] = ()


class Plan(NamedTuple):
    """All trainings: the encoder's one after the other; then the rounds, whose stages do not need each other."""

    encoder: list[Stage]
    rounds: tuple[list[Stage], ...]
    shipped: dict[str, list[Path]]
    compared: dict[str, dict[str, list[Path]]]


def data_of(model: Bundled) -> Keys:
    """Take what a model learns from its recipe."""
    return {key: model.pupil[key] for key in DATA if key in model.pupil}


def plan(config: BundledConfig, out: Path) -> Plan:
    """Plan the warm-up, the teachers, and every model with every seed; a wrong key shows here."""
    sites = {
        "train": str(out / "sites_train.parquet"),
        "validation": str(out / "sites_validation.parquet"),
        "classes": ["genome", *read_sites(config.sites.file)[2]],
        "baselines": False,
        "measure_test": False,
    }

    def stage(
        kind: type[FinetuneConfig], folder: Path, *keys: Keys, mean_of: tuple[Path, ...] = (), **own: Any
    ) -> Stage:
        recipe: Keys = {**config.common}
        for each in (*keys, own):
            recipe |= each
        return Stage(kind.parse(recipe), folder, mean_of)

    encoder: list[Stage] = []
    for number, keys in enumerate(config.warmup, 1):
        base = {"base": str(encoder[-1].out)} if encoder else {}
        encoder.append(stage(FinetuneConfig, out / f"warmup{number}", base, sites, keys))
    base = {"base": str(encoder[-1].out)}
    teachers, warm = config.teachers, out / "teachers"
    first = [stage(ConvolutionalConfig, warm, sites, teachers.common, teachers.warmup)]
    taught: list[Stage] = []
    pupils: list[Stage] = []
    again: list[Stage] = []
    shipped, compared = {}, {}
    for name, model in config.models.items():
        folder = out / name
        data = data_of(model) | {"baselines": False}
        alone = stage(ConvolutionalConfig, folder / "network", data, model.network)
        own = [
            stage(
                ConvolutionalConfig,
                folder / f"teacher{seed}",
                data,
                teachers.common,
                {"base": str(warm)},
                model.teacher,
                seed=seed,
            )
            for seed in teachers.seeds
        ]
        asked: Keys = {"baselines": False, "teachers": [str(each.out) for each in own]}
        if "unlabelled_share" in model.pupil:
            asked["unlabelled"] = [str(out / "unlabelled.parquet"), str(out / f"unlabelled_{name}.parquet")]
        models = [
            stage(FinetuneConfig, folder / f"seed{seed}", base, model.pupil, asked, seed=seed) for seed in config.seeds
        ]
        first, taught, pupils = [*first, alone], [*taught, *own], [*pupils, *models]
        compared[name] = {
            "a convolutional network, from scratch": [alone.out],
            "its teachers": [each.out for each in own],
        }
        if model.elder is not None and model.second is not None:
            elder = stage(FinetuneConfig, folder / "elder", base, data, model.elder)
            first.append(elder)
            compared[name]["the same shape, taught by labels alone"] = [elder.out]
            both = asked | {"teachers": [*asked["teachers"], str(elder.out)]}
            models = [
                stage(
                    FinetuneConfig, folder / f"second{seed}", model.pupil, both, model.second,
                    seed=seed, base=str(folder / f"start{seed}"), mean_of=(before.out, elder.out),
                )
                for seed, before in zip(config.seeds, models, strict=True)
            ]  # fmt: skip
            again += models
        shipped[name] = [each.out for each in models]
    return Plan(encoder, (first, taught, pupils, again), shipped, compared)


def read_sites(path: str) -> tuple[km.Sequences, NDArray[Any], list[str]]:
    """Read sites: labels from 1 in the order of the cells' names, the chromosomes, the names of the cells."""
    try:
        frame = pd.read_csv(path)
    except OSError as error:
        raise FormatError(f"{path}: expected a CSV of DNase sites ({error.strerror or error}).") from error
    if missing := {"chr", "cell", "sequence"} - set(frame.columns):
        raise FormatError(
            f"{path}: expected the columns chr, cell and sequence; missing: {', '.join(sorted(missing))}."
        )
    cells = pd.Categorical(frame["cell"])
    names = [f"site{i}" for i in range(len(frame))]
    sequences = km.Sequences.from_strings(frame["sequence"].tolist(), (cells.codes.astype(int) + 1).tolist(), names)
    return sequences, frame["chr"].to_numpy(), list(cells.categories)


def clean(config: BundledConfig, rows: Mapping[str, km.Sequences], out: Path) -> None:
    """Write the sites with windows of the genome, and what teachers answer to; the account of the cleaning last.

    Args:
        config: What is cleaned, and of what.
        rows: By name of a model, its training rows: windows with their GC content are cut for its teachers.
        out: Folder of the files.
    """
    sites, teachers = config.sites, config.teachers
    corpus, of_corpus = without_test_rows(read_corpus(config.corpus), config.exclude)
    every, chromosomes, _ = read_sites(sites.file)
    kept, of_sites = without_test_rows(every, config.exclude)
    held_out = np.isin(chromosomes[np.isin(every.names, kept.names)], sites.held_out)
    rng = np.random.default_rng(sites.seed)
    learned, chosen_by = kept.take(~held_out), kept.take(held_out)
    train = with_windows(learned, corpus, round(len(learned) * sites.windows), rng, sites.matched)
    write_sequences(train, out / "sites_train.parquet")
    validation = with_windows(chosen_by, corpus, len(chosen_by), rng, sites.matched)
    write_sequences(validation, out / "sites_validation.parquet")
    rng = np.random.default_rng((sites.seed, 1))
    unlabelled = {"unlabelled": train}
    for name, labelled in rows.items():
        bases = labelled.padded()[0][labelled.lengths >= (length := int(np.median(labelled.lengths))), :length]
        starts = matched_windows(corpus, bases, teachers.windows, rng)
        unlabelled[f"unlabelled_{name}"] = cut_windows(corpus, starts, length)
    measured = rows_measured_on(config.exclude)
    for name, sequences in unlabelled.items():
        write_sequences(without_kmers_of(sequences, measured, teachers.shared), out / f"{name}.parquet")
    accounts = {"corpus": of_corpus, "sites": of_sites}
    write_json(out / "cleaning.json", {name: each.as_dict() if each else {} for name, each in accounts.items()})


def rebuild(config: BundledConfig, out: Path, assets: Path) -> None:
    """Rebuild the bundled models into ``assets``.

    Raises:
        ConfigError: A wrong setting of any stage, before the first one begins.
        RunError: A stage failed; its own message stands above.
    """
    planned = plan(config, out)
    out.mkdir(parents=True, exist_ok=True)
    if not (out / "cleaning.json").is_file():
        say("cleaning the corpus and the sites of test rows")
        recipes = {name: FinetuneConfig.parse(data_of(model)) for name, model in config.models.items()}
        clean(config, {name: load_splits(recipe).train for name, recipe in recipes.items()}, out)
    for stage in planned.encoder:
        train(stage, config.processes)
    for independent in planned.rounds:
        with ThreadPoolExecutor(config.processes) as pool:
            for result in [pool.submit(train, stage, 1) for stage in independent]:
                result.result()
    export(config, planned, out, assets)


def train(stage: Stage, processes: int) -> None:
    """Do a training, unless it is done."""
    if not is_done(stage.out):
        say(f"{stage.out}")
        if stage.mean_of:
            average_weights(stage.mean_of, Path(str(stage.recipe.base)))
        launch(stage.recipe, stage.out, processes)


def export(config: BundledConfig, planned: Plan, out: Path, assets: Path) -> None:
    """Put the encoder and the best model of each task into ``assets``, as float16.

    The best, by validation, of the seeds' models and the model with the average of their weights is shipped (they start
    from one encoder, so the average is a model too). It is measured as it is shipped; the card shows the mean over the
    seeds too. Source: wortsman2022, section 2, for the average.
    """
    encoder, seeds = planned.encoder[-1].out, config.seeds
    cleaned = cleaning(read(out / "cleaning.json"))
    ship(encoder, assets / "encoder")
    write_text(assets / "encoder" / "README.md", (encoder / "README.md").read_text(encoding="utf-8") + cleaned)
    for name, folders in planned.shipped.items():
        recipe = FinetuneConfig.parse({**read(folders[0] / "training.json"), "baselines": True})
        splits = load_splits(recipe)
        assert splits.test is not None
        candidates = dict(zip(map(str, seeds), folders, strict=True))
        if len(seeds) > 1:
            candidates["average"] = average_weights(folders, out / name / "average")
        auroc = {label: on_validation(folder, splits) for label, folder in candidates.items()}
        best = max(auroc, key=lambda label: auroc[label])
        ship(candidates[best], assets / name)
        rows, _ = km.prepare(splits.train, crop=splits.crop, min_length=int(splits.test.lengths.min()))
        others = linear_baselines(rows, splits.test, ks=(), gapped=GAPPED)
        others |= {label: mean_answers(parts, splits.test) for label, parts in planned.compared[name].items()}
        measured = measure(recipe, splits, assets / name, others=others) | {
            "seeds": over_seeds([read(folder / "metrics.json")["test"] for folder in folders], seeds),
            "chosen": best,
            "validation": auroc,
        }
        write_json(assets / name / "metrics.json", measured)
        log = read(folders[0 if best == "average" else seeds.index(int(best))] / "training_log.json")["log"]
        write_text(assets / name / "README.md", card(name, recipe, splits, measured, log) + cleaned)


def read(path: Path) -> Any:
    """Read a JSON file."""
    return json.loads(path.read_text(encoding="utf-8"))


def ship(folder: Path, out: Path) -> None:
    """Write a model with float16 weights, under its folder's name."""
    if (size := halve_weights(folder, out, out.name)) > MOST_BYTES:
        raise ValueError(f"{out}: {size:,} bytes; at most {MOST_BYTES:,} may be bundled. Make the model smaller.")


def on_validation(folder: Path, splits: Splits) -> float:
    """Measure a model on the validation split: the AUROC."""
    assert splits.validation is not None
    assert splits.validation.labels is not None
    logits = km.load_model(folder, device="cpu").logits(splits.validation)
    return float(classification_metrics(splits.validation.labels, logits, resamples=0)["auroc"]["value"])


def card(name: str, recipe: FinetuneConfig, splits: Splits, measured: Mapping[str, Any], log: Any) -> str:
    """Write the card of a bundled model: what is shipped, the mean over seeds, what it is compared with."""
    seeds, chosen = measured["seeds"]["seeds"], measured["chosen"]
    listed = ", ".join(map(str, seeds))
    if chosen == "average":
        weights = f"the average over seeds {listed}, which validation preferred to each seed alone"
    elif len(seeds) == 1:
        weights = f"seed {chosen}, the only one"
    else:
        weights = f"seed {chosen}, which validation preferred to the other of seeds {listed} and to their average"
    facts = {
        "Data": f"{splits.name}: {', '.join(f'{split} {size:,}' for split, size in splits.sizes.items())} rows",
        "Classes": ", ".join(splits.classes),
        "Crop": crop_text(splits.crop),
        "Encoder": "bundled:encoder, a DNABERT-6 of 3 layers, 192 wide",
        "Weights of": weights,
        "Weights": "float16 on disk, computed with in float32",
    }
    difference = (
        "`this model less ...`: the metrics' differences on the same test rows, both drawn together. "
        "Gapped k-mers (8, 5): any 5 of 8 neighbouring letters."
    )
    remarks = [*notes(measured), difference]
    title, summary = f"The bundled {name} model", f"Tells {' and '.join(splits.classes)} apart ({splits.name})."
    return render(title, summary, recipe, facts, log, metrics_table(measured), remarks, clustered=True)


def cleaning(account: Mapping[str, Mapping[str, int]]) -> str:
    """Say what was cleaned away first."""
    corpus, sites = account["corpus"], account["sites"]
    return (
        "\n## What was cleaned away first\n\n"
        f"Whatever shares 40 32-mers, on either strand, with a row to be measured on: {corpus.get('removed_nt', 0):,} "
        f"of {corpus.get('nt', 0):,} nt of the corpus, {sites.get('dropped', 0):,} of {sites.get('rows', 0):,} DNase "
        "sites.\n"
    )


def say(text: str) -> None:
    """Print to stderr."""
    print(f"bundled models: {text}", file=sys.stderr, flush=True)


def main(arguments: list[str] | None = None) -> int:
    """Parse the command line and rebuild."""
    parser = argparse.ArgumentParser(prog="python -m studies.bundled_models", description=rebuild.__doc__)
    parser.add_argument("config", type=Path, help="recipes.toml")
    parser.add_argument("--out", type=Path, default=Path("runs/mini"), help="folder of the stages")
    parser.add_argument("--assets", type=Path, help="where the models go; by default OUT/models")
    options = parser.parse_args(arguments)
    try:
        rebuild(BundledConfig.parse(read_toml(options.config)), options.out, options.assets or options.out / "models")
    except KmeritError as error:
        print(f"{type(error).__name__}: {error}", file=sys.stderr)
        return error.exit_code
    return 0


if __name__ == "__main__":
    sys.exit(main())
