"""The stages of a task, in order. Each reads what earlier ones left, and leaves its own artefacts."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from kmerit.config import Tree
from kmerit.runs.drawing import class_labels
from kmerit.runs.inputs import draw, own_attributions, provide_model
from kmerit.runs.job import Job
from kmerit.runs.notes import audited, notes
from kmerit.runs.resolve import grid
from kmerit.store import atomic_write, write_json

if TYPE_CHECKING:
    from kmerit.types import Float, Sequences

QUICK = ("length", "GC", "memory", "ends", "4-mer regression")
"""Baselines of the audit that take seconds; kmerit audit tries them all."""
CHECKED = 20
"""Sequences that are scored again in float64, to know what float32 costs in ranks."""
LRP = ("lrp", "lrp_last")
"""The scores of which LRP* is the better one."""


@dataclass(frozen=True)
class Stage:
    """A step that is done or not done.

    Attributes:
        name: What its record is called.
        title: What it does, for people.
        work: Does it.
        artefacts: What it leaves in the task's folder.
        shared: Whether several processes share its work; else the first does it alone.
        table: The config's table that it reads, and no other stage, if that may be added to a finished run.
    """

    name: str
    title: str
    work: Callable[[Job], None]
    artefacts: tuple[str, ...]
    shared: bool = False
    table: str = ""


def inspect(job: Job) -> None:
    """Audit the splits that the model learned from and is tested on."""
    from kmerit.audit import Config, audit
    from kmerit.runs.inputs import audited_splits

    resamples = min(job.config.statistics.resamples, 200)
    settings = {"baselines": QUICK, "resamples": resamples, "seed": job.config.seed}
    with job.watch(f"{job.name}: auditing (steps)") as progress:
        found = audit(audited_splits(job), config=Config.parse({"settings": settings}), progress=progress)
    write_json(job.folder / "audit.json", found.as_dict())


def evaluate(job: Job) -> None:
    """Predict the whole test split and measure: the paper's section 5.1."""
    from kmerit.statistics import classification_metrics, locus_clusters

    test = job.sequences("test")
    labels = class_labels(test, job.name)
    with job.watch(f"{job.name}: predicting the test split") as progress:
        logits = job.model.logits(test, progress)
    _write_predictions(job, test, logits)
    clusters = None if test.loci is None else locus_clusters(test.loci)
    metrics = classification_metrics(
        labels, logits, clusters=clusters, resamples=job.config.statistics.resamples, seed=job.config.seed
    )
    crop = "none" if job.crop is None else {"length": job.crop.length, "anchor": job.crop.anchor}
    write_json(job.folder / "metrics.json", {"test": metrics, "model": job.model.name, "crop": crop, "split": "test"})


def choose(job: Job) -> None:
    """Choose LRP*, the better of two scores, for every class: on validation sequences, never on those of the trial."""
    from kmerit.attribution import attribute
    from kmerit.faithfulness import choose_lrp, mutate
    from kmerit.faithfulness.endpoint import OPERATOR

    if not (job.folder / "validation.parquet").exists() or not set(LRP) <= set(job.config.attribution.methods):
        write_json(job.folder / "choice.json", {"lrp_star": {}, "validation_drop": {}, "sequences": 0})
        return
    validation, trial, settings = job.sequences("validation"), job.config.trial, job.config.attribution
    with job.watch(f"{job.name}: scoring validation sequences") as progress:
        scores = attribute(job.model, validation, LRP, settings.target, strands=settings.strands, progress=progress)
    with job.watch(f"{job.name}: choosing LRP*") as progress:
        outcomes = mutate(
            job.model,
            validation,
            scores,
            counts=(0, trial.choice_count),
            replicates=grid(trial).draws,
            operator=OPERATOR,
            seed=job.config.seed,
            progress=progress,
        )
    write_json(job.folder / "choice.json", choose_lrp(outcomes, trial.choice_count))


def explain(job: Job) -> None:
    """Score every nucleotide of every sequence with every method; own scores join them."""
    from kmerit.attribution import attribute
    from kmerit.attribution.storage import save

    settings, sample, path = job.config.attribution, job.sequences("sequences"), job.folder / "attributions.parquet"
    with job.watch(f"{job.name}: scoring nucleotides") as progress:
        score = partial(
            attribute,
            job.model,
            sample,
            settings.methods,
            settings.target,
            strands=settings.strands,
            check=CHECKED,
            progress=progress,
        )
        if job.table.own is None:
            score(out=path)
        else:
            scores = score()
            checked = {name: each.settings["check"] for name, each in scores.items() if "check" in each.settings}
            target = next(iter(scores.values())).target
            save({**scores, **own_attributions(job, job.model, sample, job.sequences("test"), target)}, path, checked)
    _write_tokens(job, sample)


def mark_motifs(job: Job) -> None:
    """Look for the config's motifs on the sequences on trial, for the report to mark."""
    from kmerit.data.motifs import bundled_motifs, occurrences, read_motifs

    found: Tree = {"source": "", "hits": []}
    if (asked := job.config.motifs) is not None:
        motifs = read_motifs(asked.file).values()
        source = f"{Path(asked.file or bundled_motifs()).name}, at least {asked.match:.0%} of the highest score"
        hits = occurrences(job.sequences("sequences"), motifs, asked.match)
        found = {"source": source, "hits": [asdict(hit) for hit in hits]}
    write_json(job.folder / "hits.json", found)


def put_on_trial(job: Job) -> None:
    """Mutate what each method and its controls rank first, and classify the mutants."""
    from kmerit.faithfulness import trial
    from kmerit.faithfulness.prospects import Prospect
    from kmerit.processes import is_first
    from kmerit.report import text

    def announce(found: list[Prospect]) -> None:
        if is_first():
            job.say("\n".join(f"{job.name}: {text.prospect(each)}" for each in found))

    with job.watch(f"{job.name}: trial") as progress:
        trial(
            job.model,
            job.sequences("sequences"),
            job.folder / "attributions.parquet",
            grid(job.config.trial),
            seed=job.config.seed,
            out=job.folder / "curve",
            progress=progress,
            announce=announce,
        )


def decide(job: Job) -> None:
    """Give every method its verdict, and summarise what stands behind it."""
    from kmerit.faithfulness import read_outcomes, summarise, write_cards
    from kmerit.faithfulness.controls import RANDOM
    from kmerit.faithfulness.endpoint import OPERATOR, ORDER
    from kmerit.report import write_cards_md

    outcomes = read_outcomes(job.folder / "curve")
    names = job.table.classes or job.read_json("model.json")["labels"]
    outcomes = replace(outcomes, settings={**outcomes.settings, "classes": names})
    resamples, seed = job.config.statistics.resamples, job.config.seed
    write_cards(outcomes, job.folder, data_set=audited(job).concerns, resamples=resamples, seed=seed)
    write_cards_md(job.folder, job.table.title or job.name)
    every = summarise(outcomes, resamples=resamples, seed=seed)
    # Table 1 and Figure 1 show methods and the random control; the other controls are in curves.csv, excesses.csv.
    shown = every[every["method"].isin([*outcomes.settings["methods"], RANDOM])]
    for name, table in (("curves.csv", every), ("summary.csv", shown)):
        with atomic_write(job.folder / name) as part:
            table.to_csv(part, index=False, lineterminator="\n")
    core = shown[(shown["operator"] == OPERATOR) & (shown["order"] == ORDER)]
    write_json(job.folder / "info.json", notes(job, outcomes, core))


def _write_predictions(job: Job, test: Sequences, logits: Float) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    columns = {
        "name": pa.array(test.names),
        "label": pa.array(class_labels(test, job.name)),
        "predicted": pa.array(logits.argmax(axis=1)),
        "logits": pa.FixedSizeListArray.from_arrays(pa.array(logits.ravel()), logits.shape[1]),
    }
    with atomic_write(job.folder / "predictions.parquet") as part:
        pq.write_table(pa.table(columns), part, compression="zstd")


def _write_tokens(job: Job, sequences: Sequences) -> None:
    """Write which nucleotides each token covers, for those who look at single sequences."""
    import numpy as np
    import pyarrow as pa
    import pyarrow.parquet as pq

    spans = []
    for start in range(0, len(sequences), job.model.micro_batch):
        batch = sequences.take(slice(start, start + job.model.micro_batch))
        tokens = job.model.tokenize(*batch.padded())
        covering = tokens.mask & (tokens.spans[..., 1] > tokens.spans[..., 0])
        spans += [row[kept] for row, kept in zip(tokens.spans, covering, strict=True)]
    columns = {
        "name": pa.array(sequences.names),
        "starts": pa.array([np.asarray(row[:, 0]) for row in spans], pa.list_(pa.int32())),
        "ends": pa.array([np.asarray(row[:, 1]) for row in spans], pa.list_(pa.int32())),
    }
    with atomic_write(job.folder / "tokens.parquet") as part:
        pq.write_table(pa.table(columns), part, compression="zstd")


_CARDS = ("cards.json", "cards.csv", "cards.md", "excesses.csv", "measures.csv", "differences.csv", "curves.csv")

STAGES = (
    Stage("data", "sequences", draw, ("test.parquet", "sequences.parquet", "validation.parquet", "data.json")),
    Stage("model", "model", provide_model, ("model.json", "model")),
    Stage("audit", "audit of the splits", inspect, ("audit.json",)),
    Stage("evaluate", "full test split", evaluate, ("predictions.parquet", "metrics.json")),
    Stage("choose", "choice of LRP*", choose, ("choice.json",)),
    Stage("attribute", "scores", explain, ("attributions.parquet", "attributions.check.json", "tokens.parquet")),
    Stage("motifs", "motifs", mark_motifs, ("hits.json",), table="motifs"),
    Stage("trial", "trial", put_on_trial, ("curve",), shared=True),
    Stage("decide", "verdicts", decide, (*_CARDS, "summary.csv", "info.json")),
)
