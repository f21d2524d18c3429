"""Rebuild the bundled models: clean, warm up on DNase sites, train teachers, teach with several seeds, choose, export.

Every stage is a folder; a finished one is skipped and a stopped one resumed::

    python -m studies.bundled_models studies/bundled_models/recipes.toml --out runs/mini
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, NamedTuple, Self

from pydantic import Field, model_validator

from kmerit.config import Table, read_toml
from kmerit.errors import KmeritError, RunError
from kmerit.store import write_json
from kmerit.training import finetune
from kmerit.training.convolutional import ConvolutionalConfig, convolutional_network
from kmerit.training.data import load_splits
from kmerit.training.learner import average_weights
from kmerit.training.recipe import FinetuneConfig, is_done
from studies.bundled_models.publication import export
from studies.bundled_models.sites import Sites, clean, read_sites

ROOT = Path(__file__).parents[2]
# glibc gives large blocks back to the system after each batch and pays for them again as page faults; keeping them
# is worth a quarter of the speed on a CPU.
ENVIRONMENT = {
    "OMP_NUM_THREADS": "1",
    "MALLOC_MMAP_THRESHOLD_": str(2**32),
    "MALLOC_TRIM_THRESHOLD_": str(2**34),
    "MALLOC_TOP_PAD_": str(2**28),
}
DATA = (
    "task", "train", "validation", "test", "sequence_column", "label_column", "classes", "crop", "min_length",
    "train_min_length", "drop_n",
)  # fmt: skip
"""Keys of a fine-tuning that say what is learned, not how."""
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
        data = {key: model.pupil[key] for key in DATA if key in model.pupil} | {"baselines": False}
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
        recipes = {
            name: FinetuneConfig.parse({key: model.pupil[key] for key in DATA if key in model.pupil})
            for name, model in config.models.items()
        }
        rows = {name: load_splits(recipe).train for name, recipe in recipes.items()}
        teachers = config.teachers
        clean(config.sites, config.corpus, config.exclude, rows, teachers.windows, teachers.shared, out)
    for stage in planned.encoder:
        run(stage, config.processes)
    for independent in planned.rounds:
        with ThreadPoolExecutor(config.processes) as pool:
            for result in [pool.submit(run, stage, 1) for stage in independent]:
                result.result()
    export(out, assets, planned.encoder[-1].out, planned.shipped, config.seeds, planned.compared)


def run(stage: Stage, processes: int) -> None:
    """Run a training in processes of its own, unless it is done."""
    if is_done(stage.out):
        return
    say(f"{stage.out}")
    stage.out.parent.mkdir(parents=True, exist_ok=True)
    if stage.mean_of:
        average_weights(stage.mean_of, Path(str(stage.recipe.base)))
    kind, path = type(stage.recipe).__name__, stage.out.with_name(f"{stage.out.name}.json")
    write_json(path, stage.recipe.model_dump(mode="json"))
    launcher = ["-m", "torch.distributed.run", "--standalone", "--nproc_per_node", str(processes)]
    module = ["-m", "studies.bundled_models", "stage", kind, str(path), str(stage.out)]
    command = [sys.executable, *(launcher if processes > 1 else []), *module]
    paths = os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH")]))
    environment = {**ENVIRONMENT, **os.environ, "PYTHONPATH": paths}
    if subprocess.run(command, env=environment, check=False).returncode != 0:
        raise RunError(f"The stage {stage.out} failed; its message stands above. Fix that, and start again.")


def train(kind: str, path: str, out: str) -> None:
    """Do one stage, in a process that `run` started."""
    keys, progress = json.loads(Path(path).read_text(encoding="utf-8")), line_a_minute(Path(out).name)
    if kind == ConvolutionalConfig.__name__:
        finetune(ConvolutionalConfig.parse(keys), out, network=convolutional_network, progress=progress)
    else:
        finetune(FinetuneConfig.parse(keys), out, progress=progress)


def line_a_minute(name: str) -> Callable[[int, int], None]:
    """Print the steps done at most once a minute, and at the end."""
    last = 0.0

    def progress(done: int, total: int) -> None:
        nonlocal last
        if time.monotonic() - last >= 60 or done == total:
            last = time.monotonic()
            say(f"{name}: step {done} of {total}")

    return progress


def say(text: str) -> None:
    """Print to stderr."""
    print(f"bundled models: {text}", file=sys.stderr, flush=True)


def main(arguments: list[str] | None = None) -> int:
    """Parse the command line and rebuild, or do one stage."""
    given = sys.argv[1:] if arguments is None else arguments
    try:
        if given[:1] == ["stage"]:
            train(*given[1:])
            return 0
        parser = argparse.ArgumentParser(prog="python -m studies.bundled_models", description=rebuild.__doc__)
        parser.add_argument("config", type=Path, help="recipes.toml")
        parser.add_argument("--out", type=Path, default=Path("runs/mini"), help="folder of the stages")
        parser.add_argument("--assets", type=Path, help="where the models go; by default OUT/models")
        options = parser.parse_args(given)
        rebuild(BundledConfig.parse(read_toml(options.config)), options.out, options.assets or options.out / "models")
    except KmeritError as error:
        print(f"{type(error).__name__}: {error}", file=sys.stderr)
        return error.exit_code
    return 0


if __name__ == "__main__":
    sys.exit(main())
