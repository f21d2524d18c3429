"""Measure the tests of motifs: how often they err, how often they see what is there, and how long they take.

    python benchmarks/motifs.py error --out motif-error [--runs 400]
    python benchmarks/motifs.py power --out motif-power [--sets 40] [--methods ism,input_x_gradient]
    python benchmarks/motifs.py time [--sequences 1000]
    python benchmarks/motifs.py tables --out motif-tables [--only promoters,K562,and] [--per-class 1000]
    python benchmarks/motifs.py de-novo --out motif-tables [--only promoters,enhancers,and] [--per-class 300]

``error``: each run draws 400 promoters of 251 nt, 20 column-shuffled copies of each family out of 100, new halves, and
four scores that know no motif: clumped noise, local GC (11 nt), G and C first, and the scores of another sequence.
A run errs if any family is found by any of them. ``power``: each set plants one motif in 400 shuffled sequences of
200 nt, half of them positive, trains a small model, and tests its scores: is the planted family found, and is it first?
``time``: 1,000 sequences of 200 nt, 6 methods, the bundled families; the first two questions. ``tables``: held-out
sequences of a model, with the families that were named beforehand; these, and those found by any method, are asked of
the model. ``--only`` names tables: promoters, enhancers; the DNase sites of a cell line on chr1, against those of the
other three; sets of ``kmerit planted bundled:planted``, whose models are trained first, and of which every family is
asked; and planted_values, sequences of the bundled model of that name. ``de-novo``: motifs of the scores alone, with
TF-MoDISco where it can read them, next to shifted scores, random weights and a model trained on shuffled labels.

``error`` and ``power`` write a line per run to ``results.jsonl`` in ``--out``; what is there is not done again.
"""

from __future__ import annotations

import argparse
import json
import os
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, Literal, NamedTuple

os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("TRANSFORMERS_VERBOSITY", "error")

import numpy as np

import kmerit as km
from kmerit.biology.motif_hits import COPIES, USUAL_NAMES, Family, bundled_families, find_hits, read_families
from kmerit.biology.motif_tests import Line, Spans, find, motifs
from kmerit.biology.motif_use import Use, used
from kmerit.sequences import Floats, Int64, generator
from kmerit.store import atomic_write, sha256
from kmerit.trials.execution import clusters_of
from kmerit.uncertainty import clopper_pearson

LENGTH = 200
WHOLE = 251
"""Nucleotides of a promoter, and of what its model reads."""
POOL = 2000
ROWS = 400
POOL_COPIES = 100
KINDS = ("clumped noise", "local GC", "G and C first", "another sequence")


def _smooth(values: Floats, width: int) -> Floats:
    kernel = np.ones(width) / width
    return np.stack([np.convolve(row, kernel, "same") for row in values])


def _pool(out: Path, pool: int, copies: int, meme: Path | None) -> dict[str, Any]:
    """Promoters, where families and their copies occur on them, and a model's scores of them; computed once."""
    own = sha256(meme or bundled_families())[:12]
    file = out / f"pool-{pool}-{copies}-{own}.npz"
    if file.is_file():
        with np.load(file) as arrays:
            made = dict(arrays)
        made["spans"] = [Spans(*made.pop(f"spans{copy}")) for copy in range(copies + 1)]
        return made
    out.mkdir(parents=True, exist_ok=True)
    train = km.load_task("epdnew_nontata", "train")
    sequences, _ = km.prepare(train, crop=km.Crop(WHOLE, "left"), min_length=WHOLE, drop_n=True)
    sequences = sequences.take(np.flatnonzero(np.asarray(sequences.labels) == 1)[:pool])
    families = read_families(meme)
    scores = km.attribute(km.load_model("bundled:promoter"), sequences, ["input_x_gradient"], target=1)
    spans = [Spans(*find_hits([each.matrices() for each in families], sequences).merged(len(sequences)))]
    for copy in range(copies):
        hits = find_hits([each.shuffled(copy, 0) for each in families], sequences)
        spans.append(Spans(*hits.merged(len(sequences))))
    made = {
        "bases": sequences.padded()[0],
        "clusters": np.asarray(clusters_of(sequences), dtype=np.int64),
        "scores": np.asarray(scores["input_x_gradient"].scores, dtype=np.float64),
        "spans": spans,
        "families": len(families),
    }
    arrays = {key: np.asarray(value) for key, value in made.items() if key != "spans"}
    arrays |= {f"spans{copy}": np.stack(each) for copy, each in enumerate(spans)}
    with atomic_write(file) as part, part.open("wb") as stream:
        np.savez(stream, **arrays)
    return made


def _restricted(spans: Spans, rows: Int64, total: int) -> Spans:
    number = np.full(total, -1, dtype=np.int64)
    number[rows] = np.arange(len(rows))
    kept = number[spans.sequence] >= 0
    return Spans(spans.family[kept], number[spans.sequence[kept]], spans.start[kept], spans.end[kept])


def _ignorant(made: dict[str, Any], rows: Int64, rng: np.random.Generator) -> list[Line]:
    """Scores that know no motif, one line each."""
    bases = made["bases"][rows]
    gc = ((bases == 1) | (bases == 2)).astype(np.float64)
    noise = rng.normal(size=bases.shape)
    others = np.setdiff1d(np.arange(len(made["bases"])), rows)
    borrowed = made["scores"][rng.choice(others, len(rows), replace=False)]
    tables = (
        _smooth(noise, 9),
        _smooth(gc, 11) + 1e-3 * noise,
        gc + 1e-3 * noise,
        np.maximum(borrowed, 0),
    )
    return [Line(kind, "size", False, table) for kind, table in zip(KINDS, tables, strict=True)]


def error_run(made: dict[str, Any], run: int, rows: int) -> dict[str, Any]:
    """Do one run with scores that know no motif."""
    rng = generator(run, "ignorant", 0, "")
    chosen = np.sort(rng.choice(len(made["bases"]), rows, replace=False))
    copies = rng.choice(np.arange(1, len(made["spans"])), COPIES, replace=False)
    clusters = np.unique(made["clusters"][chosen], return_inverse=True)[1].astype(np.int64)
    total = len(made["bases"])
    own = _restricted(made["spans"][0], chosen, total)
    table = find(
        _ignorant(made, chosen, rng),
        np.full(rows, WHOLE),
        clusters,
        own,
        [_restricted(made["spans"][copy], chosen, total) for copy in copies],
        int(made["families"]),
        run,
    )
    claims = table[table["found"]]
    return {
        "run": run,
        "error": bool(len(claims)),
        "claims": {kind: int((claims["method"] == kind).sum()) for kind in KINDS},
        "candidates": {kind: int(part["candidate"].sum()) for kind, part in table.groupby("method")},
        "tested": int(table["tested"].sum()),
        "families": sorted(set(claims["family"].tolist())),
    }


MOTIFS = ("MA0139.2", "MA0099.4", "MA0102.5", "MA0114.5", "MA0138.3", "MA0497.2", "MA0060.4", "MA0093.4")
"""Of the bundled MEME file, taken in turn."""


def power_run(number: int, methods: list[str], length: int = LENGTH) -> dict[str, Any]:
    """Plant a motif, train a model on it, and ask what its scores find."""
    from kmerit.training import finetune
    from kmerit.training.recipe import FinetuneConfig

    motif = MOTIFS[number % len(MOTIFS)]
    with tempfile.TemporaryDirectory() as folder:
        planting = km.Planting(
            regime="localised", motifs=(motif,), length=length, train=4000, validation=200, test=400, seed=number
        )
        data = km.plant(planting, out=Path(folder) / "data")
        recipe = _recipe(data, number)
        finetune(FinetuneConfig.parse(recipe), Path(folder) / "model")
        model = km.load_model(Path(folder) / "model")
        test = km.read_sequences(data / "test.parquet")
        accuracy = float((model.logits(test).argmax(1) == test.labels).mean())
        positives = test.take(np.flatnonzero(np.asarray(test.labels) == 1))
        scores = km.attribute(model, positives, methods, target=1)
        family = next(each for each in read_families() if motif in [m.identifier for m in each.motifs])
        asked = used([family], [Use(model, positives, 1, seed=number).of(family)])
        frame = motifs(scores, positives, seed=number).to_frame()
    rows = {}
    for method in methods:
        part = frame[(frame["method"] == method) & ((frame["part"] == "positive") | ~frame["signed"])]
        first = part.sort_values("t", ascending=False)["name"].iloc[0]
        mine = part[part["name"] == family.name].iloc[0]
        rows[method] = {"found": bool(mine["found"]), "first": first == family.name, "claims": int(part["found"].sum())}
        rows[method]["leader"] = str(first)
    return {"run": number, "motif": motif, "accuracy": accuracy, "methods": rows, "used": bool(asked["used"].iloc[0])}


def _recipe(data: Path, seed: int) -> dict[str, Any]:
    from kmerit.config import read_toml
    from kmerit.studies.planted import PlantedConfig

    config = PlantedConfig.parse(read_toml("bundled:planted"))
    return {**config.training, "train": str(data / "train.parquet"), "validation": str(data / "validation.parquet"),
            "seed": seed, "max_tokens": LENGTH, "measure_test": False}  # fmt: skip


def _resumed(out: Path, runs: range, work: Callable[[int], dict[str, Any]]) -> Iterator[dict[str, Any]]:
    out.mkdir(parents=True, exist_ok=True)
    file = out / "results.jsonl"
    lines = [json.loads(line) for line in file.read_text().splitlines()] if file.is_file() else []
    done = {each["run"]: each for each in lines}
    for run in runs:
        if run in done:
            yield done[run]
        else:
            result = work(run)
            with file.open("a") as handle:
                handle.write(json.dumps(result) + "\n")
            yield result


def error(out: Path, runs: range, pool: int, rows: int, copies: int, meme: Path | None) -> dict[str, Any]:
    """Count runs with a false claim."""
    made = _pool(out, pool, copies, meme)
    results = list(_resumed(out, runs, lambda run: error_run(made, run, rows)))
    errors = sum(each["error"] for each in results)
    return {
        "runs": len(results),
        "errors": errors,
        "rate": errors / len(results),
        "upper": clopper_pearson(errors, len(results), 0.9)[1],
        "by_kind": {kind: sum(each["claims"][kind] > 0 for each in results) for kind in KINDS},
        "tested": float(np.mean([each["tested"] for each in results])),
    }


def power(out: Path, sets: range, methods: list[str]) -> dict[str, Any]:
    """Count sets whose planted motif is found, and first."""
    results = list(_resumed(out, sets, lambda run: power_run(run, methods)))
    return {
        "sets": len(results),
        "used": sum(each["used"] for each in results),
        **{
            method: {key: sum(each["methods"][method][key] for each in results) for key in ("found", "first", "claims")}
            for method in methods
        },
    }


def duration(sequences: int) -> dict[str, Any]:
    """Time the first two questions."""
    rng = np.random.default_rng(0)
    train = km.load_task("epdnew_nontata", "train")
    rows, _ = km.prepare(train, crop=km.Crop(LENGTH, "left"), min_length=LENGTH, drop_n=True)
    rows = rows.take(slice(0, sequences))
    labels = np.asarray(rows.labels)
    scores = {
        f"method {i}": km.Attribution(
            f"method {i}", rng.normal(size=(len(rows), LENGTH)), "nucleotide", labels, rows.names, sequences=rows
        )
        for i in range(6)
    }
    find_hits([read_families()[0].matrices()], rows.take([0]))  # compiles
    start = time.perf_counter()
    motifs(scores, rows)
    return {"sequences": len(rows), "methods": 6, "seconds": round(time.perf_counter() - start, 1)}


NAMED = {name: identifier for name, (identifier, *_) in USUAL_NAMES.items()} | {
    "JUN/ATF": "MA1140.3", "CTCF": "MA0139.2", "NRF1": "MA0506.3", "REST": "MA0138.3",
    "SPI1": "MA0080.7", "USF1": "MA0093.4", "YY1": "MA0095.4", "ZEB1": "MA0103.4", "ZNF143": "MA0088.3"
}  # fmt: skip
"""A member, by its identifier, of each family that is named before the tables are made; ETS and SPI1 are one."""
PLANTED = {"localised": ("CTCF",), "localised_real": ("REST",), "and": ("USF1", "NFY"), "composition": ()}
"""Sets of the bundled study of planted truth, and what was planted."""
VALUES = "planted_values"
EXPECTED = {
    "promoters": ("NFY", "ETS", "SP/KLF", "NRF1", "ZNF143", "CREB/ATF", "YY1"),
    "enhancers": ("AP-1", "ETS", "SPI1", "C/EBP", "HNF1", "HNF4"),
    "K562": ("GATA", "TAL1"),
    "HepG2": ("HNF1", "HNF4"),
    "hESCT0": ("OCT", "SOX"),
    "GM12878": ("RUNX", "EBF", "SPI1"),
    **PLANTED,
    VALUES: ("SP/KLF", "JUN/ATF", "ETS", "POU", "REST", "ZEB1", "TBX"),
}
"""Families that should come out. Of planted values the families most like each word; REST and ZEB1 or TBX repress."""
TASKS: dict[str, tuple[str, int, Literal["left", "center"]]] = {
    "promoters": ("epdnew_nontata", WHOLE, "left"),
    "enhancers": ("human_enhancers_dedup", LENGTH, "center"),
}
CHEAP = "input_x_gradient,attnlrp,lrp,ism_first_order,gradcam,attention,random"
MAKERS = "ism_first_order,attnlrp,attention,random"
_DNASE = Path(__file__).parents[1] / "data" / "dnase" / "dhs_200bp_4cells.csv.gz"


class Inputs(NamedTuple):
    """A model, sequences that it was not trained on, and the class asked about.

    Attributes:
        model: It.
        sequences: With labels.
        label: The class, or the value.
        ignorant: Trains the model on shuffled labels.
    """

    model: km.Model
    sequences: km.Sequences
    label: int
    ignorant: Callable[[], km.Model]

    @property
    def of_class(self) -> Int64:
        labels = np.asarray(self.sequences.labels)
        return np.arange(len(labels)) if labels.dtype.kind == "f" else np.flatnonzero(labels == self.label)


def _of_task(name: str, out: Path) -> Inputs:
    from kmerit.runs.study import Study
    from kmerit.training.data import load_splits, shuffle_labels
    from kmerit.training.recipe import FinetuneConfig

    task, length, anchor = TASKS[name]
    sequences, _ = km.prepare(km.load_task(task, "test"), crop=km.Crop(length, anchor), min_length=length, drop_n=True)

    def ignorant() -> km.Model:
        keys = {"base": "bundled:encoder", "task": task, "crop": {"length": length, "anchor": anchor}}
        keys |= {"max_steps": 200, "batch_size": 32, "learning_rate": 5e-4, "hidden_dropout": 0.0, "eval_steps": 200}
        keys |= {"train_min_length": 50, "attention": "eager", "device": "cpu", "threads": 1}
        recipe = FinetuneConfig.parse({**keys, "baselines": False, "measure_test": False})
        return Study(out).train(recipe, f"{name}-shuffled", data=shuffle_labels(load_splits(recipe), 0))

    return Inputs(km.load_model(f"bundled:{name.removesuffix('s')}"), sequences, 1, ignorant)


def _of_cell_line(name: str) -> Inputs:
    import pandas as pd

    model, width = km.load_model("bundled:encoder"), 180
    sites = pd.read_csv(_DNASE)
    sites = sites[sites["chr"] == "chr1"]
    first = (sites["sequence"].str.len().iloc[0] - width) // 2
    rows = [each[first : first + width] for each in sites["sequence"]]
    sequences = km.Sequences.from_strings(rows, [model.labels.index(cell) for cell in sites["cell"]])

    def ignorant() -> km.Model:
        raise SystemExit(f"{name}: no model of the cell lines is trained on shuffled labels here.")

    return Inputs(model, sequences, model.labels.index(name), ignorant)


def _of_planted_set(name: str, out: Path) -> Inputs:
    from kmerit.config import read_toml
    from kmerit.datasets.planting import plant, read_planted
    from kmerit.runs.study import Study
    from kmerit.studies.planted import PlantedConfig, PlantedSet
    from kmerit.training.data import load_splits, shuffle_labels

    keys = read_toml("bundled:planted")
    keys["sets"] = {name: {**keys["sets"][name], "test": 1000}}
    keys["training_of"] = {}
    config = PlantedConfig.parse(keys)
    one = PlantedSet(config, name, Study(out / "planted" / name))
    test = read_planted(plant(config.sets[name], out=one.study.folder / "data"), "test")

    def ignorant() -> km.Model:
        return one.model("shuffled", data=shuffle_labels(load_splits(one.recipe), 0))

    return Inputs(one.model("model"), test.sequences, 1, ignorant)


def _of_values() -> Inputs:
    def ignorant() -> km.Model:
        raise SystemExit(f"{VALUES}: no model of values is trained on shuffled values here.")

    return Inputs(km.load_model(f"bundled:{VALUES}"), km.plant_values(300, seed=2).sequences, 0, ignorant)


def _held_out(name: str, per_class: int, out: Path) -> Inputs:
    """Load what a table is of, with so many sequences of the class and so many others."""
    if name == VALUES:
        return _of_values()
    found = _of_task(name, out) if name in TASKS else _of_planted_set(name, out) if name in PLANTED else None
    found = found or _of_cell_line(name)
    of_class = np.asarray(found.sequences.labels) == found.label
    rng = np.random.default_rng(0)
    chosen = [rng.permutation(np.flatnonzero(which))[:per_class] for which in (of_class, ~of_class)]
    return found._replace(sequences=found.sequences.take(np.sort(np.concatenate(chosen))))


def table(name: str, methods: list[str], per_class: int, out: Path) -> Any:
    """Ask the three questions of a model's held-out sequences."""
    model, sequences, label, _ = given = _held_out(name, per_class, out)
    of_class = given.of_class
    own = km.attribute(model, sequences.take(of_class), methods, target=label)
    scores = {}
    for method, each in own.items():
        values = np.zeros((len(sequences), each.scores.shape[1]))
        values[of_class] = each.scores
        targets = np.full(len(sequences), label)
        scores[method] = km.Attribution(
            method, values, "nucleotide", targets, sequences.names, signed=each.signed, sequences=sequences
        )
    result = motifs(scores, sequences, model if name in PLANTED else None, label=label)
    families, found = result.families, result.found
    found = found.assign(name=families["name"].to_numpy()[found["family"]])
    known = read_families()
    named = {title: _number(known, NAMED[title]) for title in EXPECTED[name]}
    others = len(sequences) - len(of_class)
    if name not in PLANTED:
        asked = sorted({*named.values(), *found["family"][found["found"]]})
        use = Use(
            model, sequences.take(np.setdiff1d(np.arange(len(sequences)), of_class)) if others else sequences, label
        )
        answers = used([known[i] for i in asked], [use.of(known[i]) for i in asked]).set_axis(asked)
        families = families.drop(columns=list(answers)).join(answers)
    out.mkdir(parents=True, exist_ok=True)
    families.drop(columns="probabilities").to_csv(out / f"{name}-families.csv", index=False)
    found.drop(columns="contribution").to_csv(out / f"{name}-found.csv", index=False)
    return {
        "sequences": len(of_class),
        "others": others,
        "claims": int(found["found"].sum()),
        "table": "\n".join(_lines(families, found, named)),
        "composition alone": _fooled(found),
    }


def _number(known: Sequence[Family], identifier: str) -> int:
    return next(i for i, each in enumerate(known) if identifier in [motif.identifier for motif in each.motifs])


def _lines(families: Any, found: Any, named: dict[str, int]) -> Iterator[str]:
    """Lay a table out in Markdown: the families named beforehand, then all others that are found or used."""
    shown = found[(found["part"] == "positive") | ~found["signed"]]
    methods = list(dict.fromkeys(shown["method"]))
    claims = {*found["family"][found["found"]], *families.index[families["used"].fillna(False).astype(bool)]}
    titles: dict[int, list[str]] = {}
    for title, i in named.items():
        titles.setdefault(i, []).append(title)
    rows = {", ".join(each): i for i, each in titles.items()}
    rows |= {f"{families['name'][i]} (not named)": i for i in sorted(claims - {*named.values()})}
    yield f"| family | odds ratio | {' | '.join(methods)} | effect | p | used |"
    yield "|---" * (len(methods) + 5) + "|"
    for title, i in rows.items():
        cells = []
        for row in shown[shown["family"] == i].itertuples():
            number = f"{row.t:.1f}"
            cells.append(f"**{number}**" if row.found else number if row.tested else f"({number})")
        about = families.loc[i]
        ratio = (
            f"{about['odds_ratio']:.1f}{', enriched' if about['enriched'] else ''}" if "odds_ratio" in about else "–"
        )
        used = f"{about['effect']:+.2f} | {about['p_used']:.3f} | {about['used']}"
        yield f"| {title}: {about['name']} | {ratio} | {' | '.join(cells)} | {used} |"


def _fooled(found: Any, most: int = 8) -> list[str]:
    """Name the lines whose shuffled copies pass the first two nulls as well, and how far those are exceeded."""
    lines = found[found["composition"] & ((found["part"] == "positive") | ~found["signed"])]
    lines = lines.assign(two=lines[["t_shift", "t_other"]].min(axis=1)).sort_values("two", ascending=False).head(most)
    return [
        f"{row.name} {row.method} {row.two:.1f}, beyond copies {row.t_shuffled:.1f}"
        for row in lines.itertuples(index=False)
    ]


def de_novo(name: str, methods: list[str], per_class: int, out: Path) -> Any:
    """Make motifs of scores alone, next to the noise floors."""
    from kmerit.biology.seqlets import discover
    from kmerit.trials.checks import cascade

    given = _held_out(name, per_class, out)
    sequences, known = given.sequences.take(given.of_class), read_families()

    def scores(model: km.Model) -> dict[str, km.Attribution]:
        return km.attribute(model, sequences, methods, target=given.label)

    *_, (_, random) = cascade(given.model, 0)
    floors = {"random weights": scores(random), "shuffled labels": scores(given.ignorant())}
    table = discover(scores(given.model), sequences, known, floors=floors, modisco=True)
    table = table.assign(name=[known[i].name for i in table["family"]])
    out.mkdir(parents=True, exist_ok=True)
    table.drop(columns="probabilities").to_csv(out / f"{name}-patterns.csv", index=False)
    result: dict[str, Any] = {"sequences": len(sequences)}
    for key, rows in table.groupby(["method", "finder", "source"], sort=False):
        matches = ", ".join(
            f"{row.name} {row.consensus} ({row.seqlets}{', beyond' if row.beyond else ''})"
            for row in rows[rows["matched"]].itertuples()
        )
        result[", ".join(key)] = f"{len(rows)} patterns of {rows['seqlets'].sum()} seqlets; {matches or 'no match'}"
    return result


def main() -> None:
    """Measure, and print as text or JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=["error", "power", "time", "tables", "de-novo"])
    parser.add_argument("--out", type=Path, default=Path("motif-benchmark"))
    parser.add_argument("--runs", type=int, default=400)
    parser.add_argument("--sets", type=int, default=40)
    parser.add_argument("--first", type=int, default=0, help="of error and power: the first run's number, its seed")
    parser.add_argument("--pool", type=int, default=POOL)
    parser.add_argument("--rows", type=int, default=ROWS)
    parser.add_argument("--copies", type=int, default=POOL_COPIES)
    parser.add_argument("--meme", type=Path, help="of error: other motifs than the bundled families")
    parser.add_argument("--methods", help=f"of power: ism,input_x_gradient; of tables: {CHEAP}; of de-novo: {MAKERS}")
    parser.add_argument("--only", help="of tables: all by default; of de-novo: promoters,enhancers,localised_real")
    parser.add_argument("--per-class", type=int, help="of tables: 1000; of de-novo: 300")
    parser.add_argument("--sequences", type=int, default=1000)
    parser.add_argument("--json", action="store_true")
    given = parser.parse_args()
    if given.what == "error" and given.pool < 2 * given.rows:
        parser.error("--pool: scores are borrowed from rows that a run does not take; give at least twice --rows.")
    if given.what == "error":
        found = error(
            given.out, range(given.first, given.first + given.runs), given.pool, given.rows, given.copies, given.meme
        )
    elif given.what == "power":
        found = power(
            given.out,
            range(given.first, given.first + given.sets),
            (given.methods or "ism,input_x_gradient").split(","),
        )
    elif given.what == "tables":
        methods = (given.methods or CHEAP).split(",")
        names = (given.only or ",".join(EXPECTED)).split(",")
        found = {name: table(name, methods, given.per_class or 1000, given.out) for name in names}
    elif given.what == "de-novo":
        methods = (given.methods or MAKERS).split(",")
        names = (given.only or "promoters,enhancers,localised_real").split(",")
        found = {name: de_novo(name, methods, given.per_class or 300, given.out) for name in names}
    else:
        found = duration(given.sequences)
    print(json.dumps(found) if given.json else "\n".join(_shown(found)))


def _shown(found: dict[str, Any]) -> Iterator[str]:
    for key, value in found.items():
        if isinstance(value, dict):
            yield f"\n{key}"
            yield from _shown(value)
        else:
            yield f"{key}:\n{value}" if "\n" in str(value) else f"{key}: {value}"


if __name__ == "__main__":
    main()
