"""SHA-256 of what `kmerit work` leaves when its shares are killed, against one process.

    python benchmarks/kills.py [--verbs run attribute trial variants motifs heads] [--shares 1 2 7] [--json]

Random sequences and a random model, both small; blocks and chunks are small, too, so that every share has some. Shares
are made in shuffled order. Each is killed (SIGKILL) right before it gives a file its name, a random one of its first
six, twice unless it was done before; the gathering is killed at its second file; then each is given again.

The sum of a result is that of the sums of its files, but ``run.log`` and ``*.parts``, which tell how it was made:
``find * -type f ! -name run.log ! -path '*.parts/*' | LC_ALL=C sort | xargs sha256sum | sha256sum`` in its folder. It
depends on versions, processor and matrix products; what must be equal are the sums of one verb.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import shlex
import signal
import sys
import tempfile
from hashlib import sha256
from pathlib import Path
from typing import Any

os.environ |= {"HF_HUB_OFFLINE": "1", "OMP_NUM_THREADS": "1", "TRANSFORMERS_VERBOSITY": "error"}

import numpy as np
import torch
from transformers import BertConfig, BertForSequenceClassification
from transformers.utils.logging import disable_progress_bar

import kmerit as km
from kmerit.attribution import attribute
from kmerit.biology import variants
from kmerit.cli.app import app
from kmerit.io.motifs import bundled_motifs
from kmerit.io.readers import write_sequences
from kmerit.sequences import Locus
from kmerit.trials import execution

ROWS, SCORES = "--model model --sequences rows.csv", "--attributions scores.parquet"
COMMANDS = {
    "attribute": f"attribute {ROWS} --device cpu --methods attention,lrp --check --check-size 3",
    "trial": f"trial {ROWS} --device cpu {SCORES} --preset quick --resamples 100 --set counts=[3] "
    "--set ism_per_class=2",
    "variants": "variants --model model --device cpu --vcf rows.vcf --genome genome.fa --methods saliency --length 40 "
    "--target 1",
    "motifs": f"motifs {ROWS} {SCORES} --label 1 --families GATA1,SP1 --meme '{bundled_motifs()}'",
    "heads": "heads study.toml --device cpu",
}
RUN = """
trial = {preset = "paper", counts = [0, 3, "all"], draws = 2, random_sets = 2, choice_count = 3}
tasks.mine = {model = "model", sequences = "rows.csv"}
attribution.methods = ["attention", "lrp"]
data.per_class = 30
statistics.resamples = 100
compute = {device = "cpu", threads = 1}
"""
STUDY = """
windows.sequences = "windows.parquet"
features = [{feature = "gc"}]
stages = [{name = "mine", model = "model"}]
untrained.seeds = 0
tests.draws = 20
ablation.dose = 1
"""


def write_inputs() -> None:
    """Write a random model, 60 labelled sequences and their scores, 120 variants, 60 windows, and the configs."""
    disable_progress_bar()
    torch.manual_seed(0)
    shape = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4, "intermediate_size": 64}
    BertForSequenceClassification(BertConfig(vocab_size=4**3 + 5, **shape)).save_pretrained("model")
    rng = np.random.default_rng(0)
    drawn = ["".join(rng.choice(list("ACGT"), length)) for length in [40] * 60 + [140] * 60 + [400]]
    rows, windows, chromosome = drawn[:60], drawn[60:-1], drawn[-1]
    sequences = km.Sequences.from_strings(rows, labels=[0, 1] * 30)
    write_sequences(sequences, "rows.csv")
    loci = [Locus(f"chr{1 + i // 30}", 1000 * i, 1000 * i + 140) for i in range(60)]
    write_sequences(km.Sequences.from_strings(windows, loci=loci), "windows.parquet")
    km.attribute(km.load_model("model", device="cpu"), sequences, ["lrp", "attention"], target=1, out="scores.parquet")
    Path("genome.fa").write_text(f">chr1\n{chromosome}\n")
    other = dict(zip("ACGT", "CGTA", strict=True))
    changes = [(at, chromosome[at - 1]) for at in range(100, 220)]
    lines = ["##fileformat=VCFv4.2", "#CHROM\tPOS\tID\tREF\tALT\tQUAL\tFILTER\tINFO"]
    lines += [f"chr1\t{at}\t.\t{letter}\t{other[letter]}\t.\t.\t." for at, letter in changes]
    Path("rows.vcf").write_text("\n".join([*lines, ""]))
    Path("study.toml").write_text(STUDY)
    Path("run.toml").write_text(RUN)
    for verb, command in COMMANDS.items():
        Path(f"{verb}.toml").write_text(f"command = {json.dumps(command)}\n")


def typed(*words: str, dies_at: int = 0) -> bool:
    """Run the command line in a process of its own, which is killed before that renaming; return whether it was.

    Raises:
        SystemExit: The command failed.
    """
    if process := os.fork():
        status = os.waitstatus_to_exitcode(os.waitpid(process, 0)[1])
        if status not in (0, -signal.SIGKILL):
            raise SystemExit(f"kmerit {shlex.join(words)} failed: {Path('log').read_text()[-2000:]}")
        return status != 0
    log, replace, renamings = os.open("log", os.O_CREAT | os.O_APPEND | os.O_WRONLY), os.replace, iter(range(1, 10**6))
    os.dup2(log, 1), os.dup2(log, 2)

    def deadly(*paths: Any, **options: Any) -> None:
        if next(renamings) == dies_at:
            os.kill(os.getpid(), signal.SIGKILL)
        replace(*paths, **options)

    os.replace = deadly
    try:
        app([*words, "--quiet"], standalone_mode=False)
    except BaseException as error:
        print(repr(error), flush=True)
        os._exit(1)
    os._exit(0)


def sum_of(folder: Path) -> dict[str, Any]:
    """Count the files of a result, and sum them up; see above."""
    files = {str(path.relative_to(folder)): path for path in folder.rglob("*") if path.is_file()}
    names = sorted(name for name in files if files[name].name != "run.log" and ".parts/" not in name)
    text = "".join(f"{sha256(files[name].read_bytes()).hexdigest()}  {name}\n" for name in names)
    return {"files": len(names), "sha256": sha256(text.encode()).hexdigest()}


def measure(verb: str, shares: list[int], draw: random.Random) -> list[dict[str, Any]]:
    """Do one verb's work in one process, and in shares that are killed."""
    end = "/scores.parquet" if verb == "attribute" else ""
    command = ["run", "run.toml"] if verb == "run" else shlex.split(COMMANDS[verb])
    Path(verb, "whole").mkdir(parents=True)
    typed(*command, "--out", f"{verb}/whole{end}")
    rows = [{"verb": verb, "shares": None, "order": [], "kills": 0, **sum_of(Path(verb, "whole"))}]
    for count in shares:
        Path(verb, str(count)).mkdir()
        part = ["work", f"{verb}.toml", "--out", f"{verb}/{count}{end}"]
        typed(*part, "--plan")
        order, kills = draw.sample(range(1, count + 1), count), 0
        for number in order:
            share = [*part, "--shard", f"{number}/{count}"]
            for _ in range(2):
                if not typed(*share, dies_at=draw.randint(1, 6)):
                    break
                kills += 1
            typed(*share)
        kills += typed(*part, "--gather", dies_at=2)
        typed(*part, "--gather")
        rows.append({"verb": verb, "shares": count, "order": order, "kills": kills, **sum_of(Path(verb, str(count)))})
    return rows


def main() -> None:
    """Parse the command line, measure each verb, print; fail where a sum differs from that of one process."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--verbs", nargs="+", choices=("run", *COMMANDS), default=["run", *COMMANDS])
    parser.add_argument("--shares", nargs="+", type=int, default=[1, 2, 7], metavar="N")
    parser.add_argument("--json", action="store_true", help="print the numbers as JSON")
    options = parser.parse_args()
    attribute._BATCHES_PER_BLOCK, execution.CELLS_PER_CHUNK, variants._TOGETHER = 1, 120, 16
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        os.chdir(folder)
        write_inputs()
        for verb in options.verbs:
            rows += measure(verb, options.shares, random.Random(verb))
            if not options.json:
                for row in rows[-1 - len(options.shares) :]:
                    print(*row.values(), sep=" | ", flush=True)
        os.chdir("/")
    if options.json:
        print(json.dumps(rows, indent=2))
    sys.exit(len({(row["verb"], row["sha256"]) for row in rows}) > len(options.verbs))


if __name__ == "__main__":
    main()
