"""Every command that is documented anywhere is typed here, with the package as it is installed and a user's files."""

from __future__ import annotations

import gzip
import json
import subprocess
import sys
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from typer.main import get_command

from helpers import documented
from helpers.documented import Command, commands
from kmerit.cli.app import app
from kmerit.datasets.task import load_task
from kmerit.io.readers import write_sequences
from kmerit.sequences import Locus, Sequences, decode, encode, reverse_complement

pytestmark = pytest.mark.slow

APP: Any = get_command(app)
PROMISED = commands()
NOT_RUN = {
    "kmerit fetch": "downloads; tests/unit/datasets/test_task_fetch.py downloads from a server of its own",
    "kmerit finetune --base zhihan1996/DNA_bert_6": "downloads a model from the hub",
    "kmerit run bundled:paper --out": "downloads models and data sets from the hub, and wants a graphics card",
    "kmerit leakage configs/leakage-overlaps.toml": "is for a clone of the repository, which has the chromosomes",
    "kmerit study configs/": "likewise; tests/unit/studies/test_regimes.py",
    "kmerit study VALUE": "an error names the config; tests/unit/studies/test_regimes.py",
    "kmerit study bundled:regimes --out runs/shared --shard '$SLURM": "an array job sets the variable",
    "kmerit compare seed0=runs/regimes": "compares models of a finished study; tests/unit/runs/test_compare.py",
    "kmerit backgrounds bundled:negatives --out runs/four": "wants the genome GRCh37",
    "kmerit --install-completion": "writes to the user's shell; tests/unit/cli/test_options_completion.py",
    "kmerit --show-completion": "likewise",
    "kmerit run bund ": "a word to be completed, in the text on completion",
    **dict.fromkeys(("pip ", "git ", "cd "), "installation"),
    "make ": "is for a clone of the repository",
    "python benchmarks/": "likewise; tests/unit/test_benchmarks.py",
    "kmerit attribute --model bundled:promoter --sequences my.fa --methods attention_mean": "the page on a new method: "
    "tests/e2e/test_add_pages.py follows it, and tries the method",
    "kmerit motifs": "looks for 244 families and 20 copies of each, for minutes; tests/e2e/test_motifs.py",
    "kmerit workflow": "tests/unit/runs/test_workflow.py",
    "kmerit work": "its parts follow each other; tests/e2e/test_how_to.py follows the page",
    "kmerit heads": "compares ten random models and more, for minutes; tests/unit/biology/test_head_study.py",
    "kmerit calibrate": "mutates for a quarter of an hour at least; tests/unit/studies/test_calibration.py",
    "python tools/": "is for a clone of the repository",
    "python -m studies.bundled_models": "rebuilds the bundled models, in hours; tests/unit/test_bundled_models.py",
    "python -m pytest": "the pages on additions; tests/e2e/test_add_pages.py follows them",
}
"""What is documented and not run here, by how it begins, and why."""

EXPERIMENT = (
    *("data.per_class=2", "data.validation_per_class=2", 'data.crop={length=60, anchor="left"}', "data.min_length=60"),
    *("statistics.resamples=100", "compute.threads=1", "compute.device=cpu", "compute.micro_batch=64"),
)
TRAINING = ("max_steps=1", "batch_size=2", "device=cpu")
STUDY = ("training.max_steps=1", "training.device=cpu", "trial.resamples=100", "trial.replicates=1")
TRIAL = (
    *("trial.counts=[1, 20]", "trial.draws=1", "trial.random_sets=2", "trial.operator_count=5"),
    *("trial.satellite_per_class=0", "trial.ism_per_class=0", "trial.greedy_per_class=0"),
)
SETS = ("localised", "and", "composition", "or", "spacing", "localised_real", "dinucleotides")
SMALL: dict[str, tuple[str, ...]] = {
    "kmerit run bundled:fair": (*EXPERIMENT, 'attribution.methods=["lrp"]', *TRIAL),
    "kmerit run": (*EXPERIMENT, *TRIAL),
    "kmerit trial": (
        "draws=1",
        "counts=[5]",
        "random_sets=2",
        "satellite_per_class=0",
        "ism_per_class=0",
        "greedy_per_class=0",
    ),
    "kmerit finetune": TRAINING,
    "kmerit pretrain": (*TRAINING, "hidden=12", "intermediate=8", "crop_lengths=[60]", "validation_crops=2"),
    "kmerit leakage": (
        *(*STUDY, 'arms=["none", "positives"]', "seeds=[0]", "sets.enhancers.train_rows=40", "trial.per_class=3"),
        *("sets.enhancers.test_per_class=8", "trial.counts=[0, 20]", 'trial.methods=["attention", "lrp"]'),
    ),
    "kmerit backgrounds": (
        *(*STUDY, "train_rows=20", "validation_rows=4", "test_rows=8", "trial.per_class=3", "trial.counts=[0, 20]"),
        'trial.methods=["attention", "lrp"]',
    ),
    "kmerit study": (
        *("training.max_steps=1", "training.device=cpu", "resamples=100", "seeds=[0]", "lengths=[60]", "per_class=2"),
        *("train_per_class=4", "validation_per_class=2", 'operators=["random_other"]', 'methods=["attention", "lrp"]'),
        *("test_per_class=2", "counts=[5]", "random_sets=1"),
    ),
    "kmerit study bundled:distances": (
        "lengths=[120]",
        *(f"tasks.apart{nt}.plant.train=8" for nt in (0, 10, 20, 40, 80)),
        *(f"tasks.apart{nt}.plant.{part}=4" for nt in (0, 10, 20, 40, 80) for part in ("validation", "test")),
    ),
    "kmerit planted": (
        *("training.max_steps=1", "learned.auroc=1.0", "resamples=100"),
        *(
            f"sets.{name}.{part}={rows}"
            for name in SETS
            for part, rows in (("train", 8), ("validation", 2), ("test", 4))
        ),
    ),
    "kmerit audit human_enhancers_dedup": ('settings.baselines=["GC"]', "settings.resamples=20"),
}
"""Settings that make the heavy ones small."""
OPTIONS: dict[str, tuple[str, ...]] = {
    "kmerit mutate": ("--counts", "0,5", "--replicates", "1"),
    "kmerit plant ": ("--train", "8", "--validation", "2", "--test", "4"),
    "kmerit sanity": ("--methods", "attention,lrp", "--resamples", "100"),
    "kmerit attribute ": ("--check-size", "1"),
    "kmerit measured": ("--length", "60", "--resamples", "100"),
    "kmerit compare": ("--resamples", "100"),
}
WORDS = {
    "RUN": "results/demo",
    "TASK": "epdnew_nontata",
    "DATA": "my.csv",
    "CONFIG": "mine.toml",
    "FOLDER": "new",
    "VALUE": "new",
    "MODEL": "bundled:promoter",
    "FILE": "my.fa",
}
"""What stands for the capitals of a command."""
RECIPE = """\
train = "mine.csv"
hidden = 12
layers = 2
intermediate = 8
max_steps = 2
batch_size = 4
device = "cpu"
baselines = false
"""
EXPERIMENT_OF_MINE = """\
[tasks.mine]
model = "my-model"
sequences = "my.csv"
"""
MODISCO = (
    ("attribute", "--model", "bundled:promoter", "--sequences", "promoters.csv", "--crop", "251", "--target", "1",
     "--methods", "input_x_gradient", "--out", "promoters.parquet"),
    ("export", "--attributions", "promoters.parquet", "--sequences", "promoters.csv", "--crop", "251", "--to", "npz",
     "--out", "modisco"),
)  # fmt: skip
FIRST = (
    ("finetune", "--config", "recipe.toml", "--out", "my"),
    ("finetune", "--base", "bundled:encoder", "--train", "cells.csv", "--labels", "K562,HepG2", "--out", "my-cells",
     *(part for each in TRAINING for part in ("--set", each))),
    ("finetune", "--base", "bundled:encoder", "--train", "planted/sequences.csv", "--out", "my-values",
     *(part for each in (*TRAINING, "regression=true") for part in ("--set", each))),
    ("attribute", "--model", "bundled:promoter", "--sequences", "my.csv", "--methods", "lrp", "--out",
     "of_my_csv.parquet"),
    ("attribute", "--model", "bundled:promoter", "--sequences", "my.fa", "--crop", "251", "--methods",
     "lrp,attention,ism", "--out", "scores.parquet"),
    ("mutate", "--model", "bundled:promoter", "--sequences", "my.fa", "--crop", "251", "--attributions",
     "scores.parquet", "--out", "trial", *OPTIONS["kmerit mutate"]),
    *(("run", "mine.toml", "--out", f"results/seed{seed}",
       *(part for each in SMALL["kmerit run"] for part in ("--set", each))) for seed in (0, 1)),
    *MODISCO,
)  # fmt: skip
"""What a user has done before: a model, scores, a trial."""


def skipped(command: Command) -> str | None:
    return next((why for start, why in NOT_RUN.items() if f"{command.text} ".startswith(start)), None)


@cache
def parsed(command: Command) -> tuple[set[str], bool]:
    """Give the options that the verb has, and whether the command has all it needs."""
    verb = APP
    words = list(command.words[1:])
    if words[:1] == ["COMMAND"]:
        return {"--help"}, False
    while hasattr(verb, "commands") and words and not words[0].startswith("-"):
        assert words[0] in verb.commands, f"{command.place}: no such verb in: {command.text}"
        verb, words = verb.commands[words[0]], words[1:]
    parameters = verb.params
    known = {option for each in parameters for option in (*each.opts, *each.secondary_opts)} | {"--help", "-h"}
    needed = [each for each in parameters if each.required and each.param_type_name == "option"]
    arguments = sum(each.required for each in parameters if each.param_type_name == "argument")
    inputs = any(not word.startswith("-") for word in words[:1])
    complete = all(set(each.opts) & set(words) for each in needed) and (inputs or not arguments)
    return known, complete and not hasattr(verb, "commands")


def is_mention(command: Command) -> bool:
    """Whether a command is only named, in running text, without what it needs."""
    return command.words[0] == "kmerit" and not command.whole and not parsed(command)[1]


@cache
def to_run() -> list[Command]:
    """Choose what is run; of commands that differ in their output's name alone, the first."""
    chosen: dict[tuple[str, ...], Command] = {}
    for command in PROMISED:
        if skipped(command) is None and not is_mention(command) and command.words[0] in ("kmerit", "modisco"):
            words = [command.words[0], *small(command)]
            if "--out" in words:
                del words[words.index("--out") : words.index("--out") + 2]
            chosen.setdefault(tuple(words), command)
    return [each for each in chosen.values() if each.words[1:]]


def small(command: Command) -> list[str]:
    """Spell a command for the program: small settings, and names where it has capitals."""
    words = list(command.words[1:])
    for capital, name in WORDS.items():
        words = [word.replace(capital, name) for word in words]
    if "NAME" in words:
        words[words.index("NAME")] = documented.FIRST_NAME
    for start, settings in SMALL.items():
        if command.text.startswith(start):
            words += [part for each in settings for part in ("--set", each)]
    for start, options in OPTIONS.items():
        if command.text.startswith(start) and (start != "kmerit attribute " or "--check" in words):
            words += options
    return words


def write_files(home: Path) -> None:
    """Write what a user has: a genome, sequences and peaks of it, a config, a recipe, a published data set."""
    rng = np.random.default_rng(0)
    chromosomes = {name: "".join(rng.choice(list("ACGT"), 30_000)) for name in ("chr1", "chr8", "chr9", "chr20")}
    genome = "".join(f">{name}\n{letters}\n" for name, letters in chromosomes.items())
    (home / "hg38.fa").write_text(genome, encoding="utf-8")
    with gzip.open(home / "genome.fa.gz", "wt") as file:
        file.write(genome)
    loci = [
        Locus(name, start, start + 200, "+-"[i % 2])
        for i, start in enumerate(range(100, 24_100, 3_000))
        for name in chromosomes
    ]
    loci[0] = Locus("chr1", 100, 300)

    def cut(locus: Locus) -> str:
        forward = encode(chromosomes[locus.chrom][locus.start : locus.end])
        return decode(forward if locus.strand == "+" else reverse_complement(forward))

    names = [f"{locus.chrom}:{locus.start}-{locus.end}" for locus in loci]
    mine = Sequences.from_strings(
        [cut(locus) for locus in loci], [i % 2 for i in range(len(loci))], names=names, loci=loci
    )
    few = mine.take(range(4))
    for name, rows in (("my.fa", few), ("a.fa", mine.take(range(12))), ("b.fa", mine.take(range(12, 24)))):
        write_sequences(rows, home / name)
    table = ["name,sequence,label,chrom,start,end,strand,split"]
    for i, (name, letters, locus) in enumerate(zip(names, mine.strings(), loci, strict=True)):
        split = "test" if i % 3 == 2 else "train"
        table.append(f"{name},{letters},{i % 2},{locus.chrom},{locus.start},{locus.end},{locus.strand},{split}")
    (home / "my.csv").write_text("\n".join([*table, ""]), encoding="utf-8")
    pieces = [letters[25_000:25_500] for letters in chromosomes.values()]
    (home / "long.fa").write_text("".join(f">long{i}\n{piece}\n" for i, piece in enumerate(pieces)), encoding="utf-8")
    peaks = [
        f"{name}\t{at}\t{at + 300}\t{name}.{at}\t0\t.\t1\t1\t1\t150" for name in chromosomes for at in (26_000, 28_000)
    ]
    (home / "peaks.narrowPeak").write_text("\n".join([*peaks, ""]), encoding="utf-8")
    for name in ("mine", "my_train", "my_test"):
        rows = ["".join(rng.choice(list("ACGT"), 60)) for _ in range(40)]
        lines = ["sequence,label", *(f"{letters},{i % 2}" for i, letters in enumerate(rows)), ""]
        (home / f"{name}.csv").write_text("\n".join(lines), encoding="utf-8")
    cells = ["sequence,K562,HepG2", *(f"{letters},{i % 2},{i % 3 % 2}" for i, letters in enumerate(rows)), ""]
    (home / "cells.csv").write_text("\n".join(cells), encoding="utf-8")
    (home / "planted").mkdir()
    values = ["sequence,value", *(f"{letters[:56]},{letters.count('C') / 10}" for letters in rows), ""]
    (home / "planted" / "sequences.csv").write_text("\n".join(values), encoding="utf-8")
    for split in ("train", "test"):
        for label in ("negative", "positive"):
            path = home / "datasets" / "human_enhancers_ensembl" / split / f"{label}.csv.gz"
            path.parent.mkdir(parents=True, exist_ok=True)
            starts = rng.integers(0, 10**8, 12)
            rows = [f"{i},chr{7 + i % 3},{start},{start + 250},+" for i, start in enumerate(starts)]
            with gzip.open(path, "wt") as file:
                file.write("\n".join(["id,region,start,end,strand", *rows, ""]))
    (home / "recipe.toml").write_text(RECIPE, encoding="utf-8")
    for name in ("my.toml", "mine.toml"):
        (home / name).write_text(EXPERIMENT_OF_MINE, encoding="utf-8")
    rows = [
        f"{name}\t{at + 1}\t.\t{letters[at]}\t{'ACGT'['CGTA'.index(letters[at])]}\t.\t.\t.\n"
        for name, letters in chromosomes.items()
        for at in (2_000, 4_000)
    ]
    vcf = "##fileformat=VCFv4.2\n#CHROM\tPOS\tID\tREF\tALT\tQUAL\tFILTER\tINFO\n" + "".join(rows)
    (home / "my.vcf").write_text(vcf, encoding="utf-8")
    with gzip.open(home / "my.vcf.gz", "wt") as file:
        file.write(vcf)
    lines = ["Chrom\tPos\tRef\tAlt\tBarcodes\tDNA\tRNA\tCoefficient\tpValue\tElement\tRelease"]
    for at, ref in enumerate(chromosomes["chr1"][5_000:5_060], 5_001):
        others = (alt for alt in "ACGT" if alt != ref)
        lines += [f"1\t{at}\t{ref}\t{alt}\t99\t1\t1\t{rng.normal():.3f}\t0.5\tone\tGRCh38" for alt in others]
    with gzip.open(home / "elements.tsv.gz", "wt") as file:
        file.write("\n".join([*lines, ""]))
    test = load_task("epdnew_nontata", "test")
    write_sequences(test.take(np.flatnonzero((test.labels == 1) & (test.lengths >= 200))[:60]), home / "promoters.csv")


@pytest.fixture(scope="module")
def results(clean: Callable[..., str], tmp_path_factory: pytest.TempPathFactory) -> dict[Command, dict[str, object]]:
    """Run all commands with the installed package, each in a copy of the user's folder."""
    place = tmp_path_factory.mktemp("documented")
    home = place / "home"
    home.mkdir()
    write_files(home)
    chosen = [command for command in to_run() if command.words[0] == "kmerit"]
    makers = {"kmerit run bundled:demo": "results/demo", "kmerit run bundled:fair": "results/fair"}
    before = [Command("before", ("kmerit", *words), True) for words in FIRST]
    product = [Command("before", (*start.split(), "--out", out), True) for start, out in makers.items()]
    jobs = [
        {"words": small(each) if each in product else list(each.words[1:]), "folder": str(home)}
        for each in (*before, *product)
    ]
    rest = [each for each in chosen if not any(each.text.startswith(start) for start in makers)]
    jobs += [{"words": small(each), "folder": str(place / f"{i:03}"), "home": str(home)} for i, each in enumerate(rest)]
    (place / "jobs.json").write_text(json.dumps(jobs), encoding="utf-8")
    clean("python", documented.__file__, place / "jobs.json", place / "results.json", timeout=3600)
    result = json.loads((place / "results.json").read_text(encoding="utf-8"))
    answer = dict(zip((*before, *product, *rest), result, strict=True))
    for each in chosen:
        for maker in product:
            if each.words[:3] == maker.words[:3]:
                answer[each] = answer[maker]
    for each in to_run():
        if each.words[0] == "modisco":
            answer[each] = run_modisco(each, home)
    return answer


def run_modisco(command: Command, home: Path) -> dict[str, object]:
    """Run TF-MoDISco on what was exported, cut to the length that the command is documented for."""
    width = int(command.words[command.words.index("-w") + 1])
    folder = home.with_name(f"modisco{width}")
    (folder / "modisco").mkdir(parents=True)
    for name in ("ohe", "shap"):
        array = np.load(home / "modisco" / f"{name}.npz")["arr_0"]
        np.savez_compressed(folder / "modisco" / f"{name}.npz", array[:, :, :width])
    program = Path(sys.executable).with_name("modisco")
    process = subprocess.run([program, *command.words[1:]], cwd=folder, capture_output=True, text=True, timeout=900)
    files = (folder / "motifs.h5").is_file()
    return {"code": process.returncode if files else "no motifs.h5", "out": process.stdout, "err": process.stderr}


def test_every_reason_not_to_run_is_needed() -> None:
    texts = [f"{command.text} " for command in PROMISED]
    assert [start for start in NOT_RUN if not any(text.startswith(start) for text in texts)] == []


def test_nothing_is_documented_and_neither_run_nor_excused() -> None:
    run = to_run()
    assert len(run) > 50
    for command in PROMISED:
        if command.words[0] == "kmerit" and skipped(command) is None:
            known, _ = parsed(command)
            options = [word.split("=")[0] for word in command.words if word.startswith("-") and word[1:]]
            assert [option for option in options if option not in known] == [], f"{command.place}: {command.text}"
        elif command.words[0] != "modisco":
            assert skipped(command), f"{command.place}: {command.text}"


@pytest.mark.parametrize("command", to_run(), ids=lambda command: command.text)
def test_documented_command_works(command: Command, results: dict[Command, dict[str, object]]) -> None:
    result = results[command]
    assert result["code"] == 0, f"{command.place}: {command.text}\n{result['out']}\n{result['err']}"
    assert "Traceback" not in f"{result['err']}"
