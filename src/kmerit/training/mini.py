"""Rebuild the bundled models: clean, pre-train, warm up on DNase sites, fine-tune with three seeds, choose, export.

Every stage is a folder that is skipped when it is done and gone on with when it was stopped::

    python -m kmerit.training.mini configs/mini.toml --out runs/mini
"""

from __future__ import annotations

import argparse
import csv
import gzip
import json
import os
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import numpy as np
from pydantic import BaseModel, ConfigDict, Field

from kmerit.data import write_sequences
from kmerit.errors import ConfigError, FormatError, KmeritError, RunError
from kmerit.training.config import FinetuneConfig, PretrainConfig
from kmerit.training.corpus import cut_windows, joined, matched_windows, read_corpus, windows, without_test_rows
from kmerit.training.folder import write_json
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


class Sites(BaseModel):
    """DNase sites, told from the genome and by cell: the supervised warm-up."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    file: str = Field(description="CSV with the columns chr, cell, sequence; all of one length")
    held_out: list[str] = Field(["chr1"], description="chromosomes whose sites are the validation split")
    windows: float = Field(6, gt=0, description="genome windows to draw from, per site")
    matched: float = Field(0.5, ge=0, le=1, description="share of windows with the GC content of a site")
    seed: int = 0


class MiniConfig(BaseModel):
    """What the bundled models are made of."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    corpus: list[str]
    exclude: list[str] = Field(description="tasks and files that models are measured on")
    sites: Sites
    processes: int = Field(2, ge=1, description="one thread each")
    seeds: list[int] = Field([0, 1, 2], min_length=1)
    common: dict[str, Any] = Field({}, description="keys of every stage")
    pretrain: dict[str, Any] | None = Field(None, description="masked k-mers; left out by default")
    warmup: dict[str, Any]
    models: dict[str, dict[str, Any]] = Field(description="fine-tuning, by name of the bundled model")


def mini(config: MiniConfig, out: Path, assets: Path) -> None:
    """Rebuild the bundled models into ``assets``.

    Raises:
        RunError: A stage failed; its own message stands above.
    """
    out.mkdir(parents=True, exist_ok=True)
    corpus, train, validation = (out / f"{name}.parquet" for name in ("corpus", "sites_train", "sites_validation"))
    if not (out / "cleaning.json").is_file():
        _clean(config, corpus, train, validation, out / "cleaning.json")
    base: str | None = None
    if config.pretrain is not None:
        tree = {**config.common, "corpus": [str(corpus)], **config.pretrain}
        PretrainConfig.parse(tree)
        base = str(_stage("pretrain", tree, out / "pretrain", config.processes))
    cells = json.loads((out / "cleaning.json").read_text(encoding="utf-8"))["classes"]
    tree = {
        **config.common,
        "base": base,
        "train": str(train),
        "validation": str(validation),
        "classes": cells,
        "baselines": False,
        **config.warmup,
    }
    FinetuneConfig.parse(tree)
    encoder = _stage("finetune", tree, out / "warmup", config.processes)
    for name, model in config.models.items():
        for seed in config.seeds:
            tree = {**config.common, "base": str(encoder), **model, "seed": seed}
            FinetuneConfig.parse(tree)
            _stage("finetune", tree, out / name / f"seed{seed}", config.processes)
    export(out, assets, list(config.models), config.seeds)


def _clean(config: MiniConfig, corpus_path: Path, train_path: Path, validation_path: Path, done: Path) -> None:
    """Write the clean corpus, and the clean sites with their windows; the account last."""
    _say("cleaning the corpus and the sites of test rows")
    corpus, corpus_account = without_test_rows(read_corpus(config.corpus), config.exclude)
    sites, chromosomes, cells = _read_sites(Path(config.sites.file))
    clean, site_account = without_test_rows(sites, config.exclude)
    kept = np.isin(sites.names, clean.names)
    held = np.isin(chromosomes[kept], config.sites.held_out)
    rng = np.random.default_rng(config.sites.seed)
    write_sequences(_with_windows(clean.take(~held), corpus, config.sites, config.sites.windows, rng), train_path)
    write_sequences(_with_windows(clean.take(held), corpus, config.sites, 1, rng), validation_path)
    write_sequences(corpus, corpus_path)
    write_json(
        done,
        {
            "classes": ["genome", *cells],
            "corpus": corpus_account.as_dict() if corpus_account else {},
            "sites": site_account.as_dict() if site_account else {},
        },
    )


def _read_sites(path: Path) -> tuple[Sequences, np.ndarray[Any, Any], list[str]]:
    """Read sites: labels from 1 in the order of the cells' names, and the chromosomes."""
    opener = gzip.open if path.suffix == ".gz" else open
    with opener(path, "rt", encoding="utf-8") as handle:
        rows = list(csv.DictReader(handle))
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


def _stage(kind: str, tree: dict[str, Any], out: Path, processes: int) -> Path:
    """Run a training in processes of its own.

    Raises:
        RunError: It failed.
    """
    if (out / "training_log.json").is_file():
        return out
    _say(f"{kind} {out}")
    out.parent.mkdir(parents=True, exist_ok=True)
    config = out.parent / f"{out.name}.json"
    write_json(config, tree)
    launcher = [sys.executable, "-m"]
    if processes > 1:
        launcher += ["torch.distributed.run", "--standalone", "--nproc_per_node", str(processes), "-m"]
    command = [*launcher, "kmerit.training", kind, str(config), str(out)]
    if subprocess.run(command, env={**_ENVIRONMENT, **os.environ}, check=False).returncode != 0:
        raise RunError(f"The stage {out.name} failed; its message stands above. Mend that, and start again.")
    return out


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
        tree = tomllib.loads(options.config.read_text(encoding="utf-8"))
        mini(MiniConfig.model_validate(tree), options.out, options.assets or options.out / "models")
    except (KmeritError, ValueError, OSError) as error:
        print(f"{type(error).__name__}: {error}", file=sys.stderr)
        return getattr(error, "exit_code", 1)
    return 0


if __name__ == "__main__":
    sys.exit(main())
