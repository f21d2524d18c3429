"""Rebuild the bundled models: clean, warm up on DNase sites, fine-tune with three seeds, teach pupils, choose, export.

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
import tomllib
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, Literal, NamedTuple

import numpy as np
from pydantic import Field

from kmerit.data import write_sequences
from kmerit.errors import ConfigError, FormatError, KmeritError, RunError
from kmerit.training.config import FinetuneConfig, PretrainConfig, Table
from kmerit.training.corpus import cut_windows, joined, matched_windows, read_corpus, windows, without_test_rows
from kmerit.training.folder import DONE, write_json
from kmerit.training.minicard import export
from kmerit.types import Sequences

# glibc gives large blocks back to the system after each batch and pays for them again as page faults; keeping them
# is worth a quarter of the speed on a CPU.
_ENVIRONMENT = {
    "OMP_NUM_THREADS": "1",
    "MALLOC_MMAP_THRESHOLD_": str(2**32),
    "MALLOC_TRIM_THRESHOLD_": str(2**34),
    "MALLOC_TOP_PAD_": str(2**28),
}


class Sites(Table):
    """DNase sites, told from the genome and by cell: the supervised warm-up."""

    file: str = Field(description="CSV with the columns chr, cell, sequence; all of one length")
    held_out: list[str] = Field(["chr1"], description="chromosomes whose sites are the validation split")
    windows: float = Field(6, gt=0, description="genome windows to draw from, per site")
    matched: float = Field(0.5, ge=0, le=1, description="share of windows with the GC content of a site")
    seed: int = 0


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
    models: dict[str, dict[str, Any]] = Field(
        description="fine-tuning, by name of the bundled model; a table `pupil` in it says what differs in a second "
        "round, which the models of the first teach"
    )


class Stage(NamedTuple):
    """A training: its kind, its config, its folder."""

    kind: Literal["pretrain", "finetune"]
    config: dict[str, Any]
    out: Path


class Plan(NamedTuple):
    """All trainings, in their order: one after the other, then all models and all pupils, as many as fit at a time."""

    encoder: list[Stage]
    models: dict[str, list[Stage]]
    pupils: dict[str, list[Stage]]

    @property
    def shipped(self) -> dict[str, list[Path]]:
        """By name of the bundled model, the folders that it is chosen from, one a seed."""
        final = self.models | self.pupils
        return {name: [stage.out for stage in final[name]] for name in final}


def mini(config: MiniConfig, out: Path, assets: Path) -> None:
    """Rebuild the bundled models into ``assets``.

    Raises:
        ConfigError: A wrong setting of any stage, before the first one begins.
        RunError: A stage failed; its own message stands above.
    """
    plan = stages(config, out)
    rounds = [[stage for each in table.values() for stage in each] for table in (plan.models, plan.pupils)]
    for stage in [*plan.encoder, *rounds[0], *rounds[1]]:
        (PretrainConfig if stage.kind == "pretrain" else FinetuneConfig).parse(stage.config)
    out.mkdir(parents=True, exist_ok=True)
    if not (out / "cleaning.json").is_file():
        clean(config, out)
    for stage in plan.encoder:
        run(stage, config.processes)
    for independent in rounds:  # models of one round need nothing of each other: one process each
        with ThreadPoolExecutor(config.processes) as pool:
            for result in [pool.submit(run, stage, 1) for stage in independent]:
                result.result()
    export(out, assets, plan.encoder[-1].out, plan.shipped, config.seeds)


def stages(config: MiniConfig, out: Path) -> Plan:
    """Plan the trainings: masked k-mers if asked for, the warm-up, every model with every seed, pupils where wanted."""
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
    models: dict[str, list[Stage]] = {}
    pupils: dict[str, list[Stage]] = {}
    for name, keys in config.models.items():
        recipe = {key: value for key, value in keys.items() if key != "pupil"}
        tree = {**config.common, "base": str(encoder[-1].out), "baselines": False, **recipe}
        models[name] = [Stage("finetune", {**tree, "seed": seed}, out / name / f"seed{seed}") for seed in config.seeds]
        if "pupil" in keys:
            tree |= {"teachers": [str(stage.out) for stage in models[name]], **keys["pupil"]}
            pupils[name] = [Stage("finetune", {**tree, "seed": s}, out / name / f"pupil{s}") for s in config.seeds]
    return Plan(encoder, models, pupils)


def clean(config: MiniConfig, out: Path) -> None:
    """Write the clean corpus, and the clean sites with windows of the genome; the account last."""
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
    if (stage.out / DONE).is_file():
        return
    _say(f"{stage.kind} {stage.out}")
    stage.out.parent.mkdir(parents=True, exist_ok=True)
    path = stage.out.with_name(f"{stage.out.name}.json")
    write_json(path, stage.config)
    launcher = ["-m", "torch.distributed.run", "--standalone", "--nproc_per_node", str(processes)]
    command = [*(launcher if processes > 1 else []), "-m", "kmerit.training", stage.kind, str(path), str(stage.out)]
    if subprocess.run([sys.executable, *command], env={**_ENVIRONMENT, **os.environ}, check=False).returncode != 0:
        raise RunError(f"The stage {stage.out} failed; its message stands above. Mend that, and start again.")


def read_toml(path: Path) -> dict[str, Any]:
    """Read a TOML file.

    Raises:
        ConfigError: It is missing, or not TOML.
    """
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ConfigError(f"{path}: expected a TOML file ({error}).") from error


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
