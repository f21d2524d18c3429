"""Rebuild the bundled models: clean, warm up on DNase sites, train teachers, teach with three seeds, choose, export.

Every stage is a folder that is skipped when it is done and gone on with when it was stopped::

    python -m kmerit.training.mini configs/mini.toml --out runs/mini
"""

from __future__ import annotations

import argparse
import csv
import gzip
import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, Literal, NamedTuple, Self

import numpy as np
from pydantic import Field, model_validator

from kmerit.config import Table, read_toml
from kmerit.data import write_sequences
from kmerit.errors import ConfigError, FormatError, KmeritError, RunError
from kmerit.store import write_json
from kmerit.training.config import FinetuneConfig, PretrainConfig
from kmerit.training.corpus import (
    cut_windows,
    joined,
    matched_windows,
    read_corpus,
    rows_measured_on,
    windows,
    without_test_rows,
    without_words,
)
from kmerit.training.folder import is_done, remove_checkpoints
from kmerit.training.minicard import average, export
from kmerit.training.splits import load_splits
from kmerit.types import Sequences

# glibc gives large blocks back to the system after each batch and pays for them again as page faults; keeping them
# is worth a quarter of the speed on a CPU.
_ENVIRONMENT = {
    "OMP_NUM_THREADS": "1",
    "MALLOC_MMAP_THRESHOLD_": str(2**32),
    "MALLOC_TRIM_THRESHOLD_": str(2**34),
    "MALLOC_TOP_PAD_": str(2**28),
}

_DATA = (
    "task", "train", "validation", "test", "sequence_column", "label_column", "classes", "crop", "min_length",
    "train_min_length", "drop_n",
)  # fmt: skip
"""Keys of a fine-tuning that say what is learnt, not how."""
_TABLES = ("teacher", "network", "elder", "second")


class Sites(Table):
    """DNase sites, told from the genome and by cell: the supervised warm-up."""

    file: str = Field(description="CSV with the columns chr, cell, sequence; all of one length")
    held_out: list[str] = Field(["chr1"], description="chromosomes whose sites are the validation split")
    windows: float = Field(6, gt=0, description="genome windows to draw from, per site")
    matched: float = Field(0.5, ge=0, le=1, description="share of windows with the GC content of a site")
    seed: int = 0


class Teachers(Table):
    """Convolutional networks: warmed up on the sites, fine-tuned on a task, then asked by its pupils."""

    seeds: list[int] = Field([0, 1], min_length=1)
    common: dict[str, Any] = Field({}, description="keys of all their trainings, beside those of every stage")
    warmup: dict[str, Any] = Field({}, description="keys of their training on the sites")
    windows: int = Field(
        50_000, ge=1, description="genome windows with the GC content of a task's training rows, for its pupils"
    )
    shared: int = Field(
        24, ge=1, le=32, description="no unlabelled sequence shares a word so long with a row to be measured on"
    )


class MiniConfig(Table):
    """What the bundled models are made of."""

    corpus: list[str]
    exclude: list[str] = Field(description="tasks and files that models are measured on")
    sites: Sites
    processes: int = Field(
        2, ge=1, description="one thread each: together on the encoder, then on as many models at a time"
    )
    seeds: list[int] = Field([0, 1, 2], min_length=1)
    common: dict[str, Any] = Field({}, description="keys of every stage")
    pretrain: dict[str, Any] | None = Field(None, description="masked k-mers; left out by default")
    warmup: list[dict[str, Any]] = Field(min_length=1, description="stages on the sites, each from the one before")
    teachers: Teachers | None = Field(None, description="for the models that have a table `teacher`")
    models: dict[str, dict[str, Any]] = Field(
        description="fine-tuning, by name of the bundled model; a table `teacher` in it says what differs for its "
        "teachers, a table `network` for a convolutional network that is trained on the task alone, to compare with. "
        "With tables `elder` and `second`, an elder of the model's own shape learns the labels alone, and each model "
        "learns a second time, from the mean of its weights and the elder's, from the teachers and the elder"
    )

    @model_validator(mode="after")
    def _teachers_are_described(self) -> Self:
        wanting = [name for name, keys in self.models.items() if "teacher" in keys and self.teachers is None]
        if wanting:
            raise ValueError(f"models.{wanting[0]} has a table teacher: [teachers] must say what teachers are")
        alone = [name for name, keys in self.models.items() if ("elder" in keys) != ("second" in keys)]
        if alone:
            raise ValueError(f"models.{alone[0]}: the tables elder and second go together")
        return self


class Stage(NamedTuple):
    """A training: its kind, its config, its folder; where it starts from the mean of models, their folders."""

    kind: Literal["pretrain", "finetune"]
    config: dict[str, Any]
    out: Path
    mean_of: tuple[Path, ...] = ()


class Plan(NamedTuple):
    """All trainings: the encoder's one after the other; then each round's, as many as fit at a time."""

    encoder: list[Stage]
    rounds: list[list[Stage]]
    shipped: dict[str, list[Path]]
    beside: dict[str, dict[str, list[Path]]]

    @property
    def all(self) -> list[Stage]:
        """In their order."""
        return [*self.encoder, *(stage for each in self.rounds for stage in each)]


def mini(config: MiniConfig, out: Path, assets: Path) -> None:
    """Rebuild the bundled models into ``assets``.

    Raises:
        ConfigError: A wrong setting of any stage, before the first one begins.
        RunError: A stage failed; its own message stands above.
    """
    plan = stages(config, out)
    for stage in plan.all:
        (PretrainConfig if stage.kind == "pretrain" else FinetuneConfig).parse(stage.config)
    out.mkdir(parents=True, exist_ok=True)
    if not (out / "cleaning.json").is_file():
        clean(config, out)
    for stage in plan.encoder:
        run(stage, config.processes)
    for independent in plan.rounds:  # models of one round need nothing of each other: one process each
        with ThreadPoolExecutor(config.processes) as pool:
            for result in [pool.submit(run, stage, 1) for stage in independent]:
                result.result()
    export(out, assets, plan.encoder[-1].out, plan.shipped, config.seeds, plan.beside)


def stages(config: MiniConfig, out: Path) -> Plan:
    """Plan the trainings: masked k-mers if asked for, the warm-up, teachers where wanted, every model with every seed.

    Rounds follow the encoder: teachers on the sites, networks to compare with and elders; teachers on tasks; models;
    and those that learn a second time.
    """
    encoder: list[Stage] = []
    if config.pretrain is not None:
        masked = {**config.common, "corpus": [str(out / "corpus.parquet")], **config.pretrain}
        encoder.append(Stage("pretrain", masked, out / "pretrain"))
    sites = {
        "train": str(out / "sites_train.parquet"),
        "validation": str(out / "sites_validation.parquet"),
        "classes": ["genome", *_read_sites(Path(config.sites.file))[2]],
        "baselines": False,
    }
    for number, keys in enumerate(config.warmup, 1):
        base = str(encoder[-1].out) if encoder else None
        encoder.append(Stage("finetune", {**config.common, "base": base, **sites, **keys}, out / f"warmup{number}"))
    rounds: list[list[Stage]] = [[], [], [], []]
    shipped: dict[str, list[Path]] = {}
    beside: dict[str, dict[str, list[Path]]] = {}
    network = {**config.common, "architecture": "convolutional"}
    teachers = config.teachers if any("teacher" in keys for keys in config.models.values()) else None
    warm = out / "teachers"
    if teachers is not None:
        rounds[0].append(Stage("finetune", {**network, **sites, **teachers.common, **teachers.warmup}, warm))
    for name, keys in config.models.items():
        recipe = {key: value for key, value in keys.items() if key not in _TABLES}
        tree = {**config.common, "base": str(encoder[-1].out), "baselines": False, **recipe}
        data = {key: recipe[key] for key in _DATA if key in recipe} | {"baselines": False}
        beside[name] = {}
        if "network" in keys:
            alone = Stage("finetune", {**network, **data, **keys["network"]}, out / name / "network")
            rounds[0].append(alone)
            beside[name]["a convolutional network, from scratch"] = [alone.out]
        if teachers is not None and "teacher" in keys:
            taught = [
                Stage(
                    "finetune",
                    {**network, **data, **teachers.common, "base": str(warm), **keys["teacher"], "seed": seed},
                    out / name / f"teacher{seed}",
                )
                for seed in teachers.seeds
            ]
            rounds[1] += taught
            beside[name]["its teachers"] = [stage.out for stage in taught]
            tree["teachers"] = [str(stage.out) for stage in taught]
            if "unlabelled_share" in recipe:
                tree["unlabelled"] = [str(out / "unlabelled.parquet"), str(out / f"unlabelled_{name}.parquet")]
        models = [Stage("finetune", {**tree, "seed": seed}, out / name / f"seed{seed}") for seed in config.seeds]
        rounds[2] += models
        if "second" in keys:
            elder = Stage(
                "finetune",
                {**config.common, "base": str(encoder[-1].out), **data, **keys["elder"]},
                out / name / "elder",
            )
            rounds[0].append(elder)
            beside[name]["the same shape, taught by labels alone"] = [elder.out]
            both = {"teachers": [*tree.get("teachers", []), str(elder.out)]}
            models = [
                Stage(
                    "finetune",
                    {**tree, **both, **keys["second"], "seed": seed, "base": str(out / name / f"start{seed}")},
                    out / name / f"second{seed}",
                    (first.out, elder.out),
                )
                for seed, first in zip(config.seeds, models, strict=True)
            ]
            rounds[3] += models
        shipped[name] = [stage.out for stage in models]
    return Plan(encoder, rounds, shipped, beside)


def clean(config: MiniConfig, out: Path) -> None:
    """Write the clean corpus, the clean sites with windows of the genome, what teachers answer to; the account last."""
    _say("cleaning the corpus and the sites of test rows")
    corpus, corpus_account = without_test_rows(read_corpus(config.corpus), config.exclude)
    sites, chromosomes, _ = _read_sites(Path(config.sites.file))
    kept, site_account = without_test_rows(sites, config.exclude)
    held = np.isin(chromosomes[np.isin(sites.names, kept.names)], config.sites.held_out)
    rng = np.random.default_rng(config.sites.seed)
    train = _with_windows(kept.take(~held), corpus, config.sites, config.sites.windows, rng)
    write_sequences(train, out / "sites_train.parquet")
    write_sequences(_with_windows(kept.take(held), corpus, config.sites, 1, rng), out / "sites_validation.parquet")
    write_sequences(corpus, out / "corpus.parquet")
    if config.teachers is not None:
        rng = np.random.default_rng((config.sites.seed, 1))
        measured = rows_measured_on(config.exclude)
        unlabelled = {"unlabelled": train}
        for name, keys in config.models.items():
            rows = load_splits(FinetuneConfig.parse({key: keys[key] for key in _DATA if key in keys})).train
            bases = rows.padded()[0][rows.lengths >= (length := int(np.median(rows.lengths))), :length]
            starts = matched_windows(corpus, bases, config.teachers.windows, rng)
            unlabelled[f"unlabelled_{name}"] = cut_windows(corpus, starts, length, 0)
        for name, sequences in unlabelled.items():
            write_sequences(without_words(sequences, measured, config.teachers.shared), out / f"{name}.parquet")
    accounts = {"corpus": corpus_account, "sites": site_account}
    write_json(
        out / "cleaning.json", {name: account.as_dict() if account else {} for name, account in accounts.items()}
    )


def _read_sites(path: Path) -> tuple[Sequences, np.ndarray[Any, Any], list[str]]:
    """Read sites: labels from 1 in the order of the cells' names, and the chromosomes."""
    try:
        with (gzip.open if path.suffix == ".gz" else open)(path, "rt", encoding="utf-8") as handle:
            rows = list(csv.DictReader(handle))
    except OSError as error:
        raise FormatError(f"{path}: expected a CSV of DNase sites ({error.strerror or error}).") from error
    missing = {"chr", "cell", "sequence"} - set(rows[0] if rows else {})
    if missing:
        raise FormatError(
            f"{path}: expected the columns chr, cell and sequence, found no {', '.join(sorted(missing))}."
        )
    cells = sorted({row["cell"] for row in rows})
    sequences = Sequences.from_strings(
        [row["sequence"] for row in rows],
        labels=[1 + cells.index(row["cell"]) for row in rows],
        names=[f"site{i}" for i in range(len(rows))],
    )
    return sequences, np.array([row["chr"] for row in rows]), cells


def _with_windows(
    sites: Sequences, corpus: Sequences, config: Sites, per_site: float, rng: np.random.Generator
) -> Sequences:
    """Put genome windows (label 0) beside sites."""
    bases, lengths = sites.padded()
    length = int(lengths.min())
    if length != lengths.max():
        raise ConfigError(f"{config.file}: expected sites of one length, found {length} to {lengths.max()} nt.")
    number = round(len(sites) * per_site)
    matched = matched_windows(corpus, bases, round(number * config.matched), rng)
    uniform = windows(corpus, length, number - matched.size, rng)
    background = cut_windows(corpus, np.concatenate([matched, uniform]), length, 0)
    both = joined([sites, background])
    labels = np.concatenate([np.asarray(sites.labels), np.asarray(background.labels)])
    return Sequences(both.names, both.bases, both.offsets, labels)


def run(stage: Stage, processes: int) -> None:
    """Run a training in processes of its own, unless it is done.

    Raises:
        RunError: It failed.
    """
    if is_done(stage.out):
        remove_checkpoints(stage.out)
        return
    _say(f"{stage.kind} {stage.out}")
    stage.out.parent.mkdir(parents=True, exist_ok=True)
    if stage.mean_of:
        average(stage.mean_of, Path(stage.config["base"]))
    path = stage.out.with_name(f"{stage.out.name}.json")
    write_json(path, stage.config)
    launcher = ["-m", "torch.distributed.run", "--standalone", "--nproc_per_node", str(processes)]
    command = [*(launcher if processes > 1 else []), "-m", "kmerit.training", stage.kind, str(path), str(stage.out)]
    if subprocess.run([sys.executable, *command], env={**_ENVIRONMENT, **os.environ}, check=False).returncode != 0:
        raise RunError(f"The stage {stage.out} failed; its message stands above. Mend that, and start again.")


def _say(text: str) -> None:
    print(f"mini: {text}", file=sys.stderr, flush=True)


def main(arguments: list[str] | None = None) -> int:
    """Parse the command line and rebuild."""
    parser = argparse.ArgumentParser(prog="python -m kmerit.training.mini", description=mini.__doc__)
    parser.add_argument("config", type=Path, help="a TOML like configs/mini.toml")
    parser.add_argument("--out", type=Path, default=Path("runs/mini"), help="folder of the stages")
    parser.add_argument("--assets", type=Path, help="where the models go; by default OUT/models")
    options = parser.parse_args(arguments)
    try:
        config = MiniConfig.parse(read_toml(options.config))
        mini(config, options.out, options.assets or options.out / "models")
    except KmeritError as error:
        print(f"{type(error).__name__}: {error}", file=sys.stderr)
        return error.exit_code
    return 0


if __name__ == "__main__":
    sys.exit(main())
