"""Verbs are killed, results damaged, disks filled; then the same command ends with the same bytes, or refuses.

    python tests/disturbing.py --kills 100 --damages 3 --fillings 4 [--verbs run,split] [--seed 0]

Prints a JSON line for each verb. Commands are forked from a process that has everything loaded, so that they are cheap.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import random
import resource
import shutil
import signal
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import numpy as np

FINETUNE = """k = 3
hidden = 8
layers = 1
heads = 1
intermediate = 8
epochs = 4
batch_size = 4
resamples = 20
save_steps = 25
device = "cpu"
"""
RUN = """
[tasks.mine]
model = "bundled:promoter"
sequences = "mine.csv"
[data]
per_class = 4
[attribution]
methods = ["attention", "lrp", "lrp_last"]
[trial]
preset = "paper"
counts = [5]
draws = 1
random_sets = 2
choice_count = 5
[statistics]
resamples = 100
[compute]
device = "cpu"
threads = 1
"""
TUNED = """
[tasks.mine]
sequences = "mine.csv"
train = "train.csv"
[tasks.mine.finetune]
""" + FINETUNE.replace('device = "cpu"\n', "") + RUN.split('sequences = "mine.csv"')[1].replace(
    '["attention", "lrp", "lrp_last"]', '["rollout"]'
)  # fmt: skip
ON_MINE = ("--model", "bundled:promoter", "--sequences", "mine.csv", "--device", "cpu")
VERBS: dict[str, tuple[str, ...]] = {
    "run": ("run", "run.toml", "--out", "OUT"),
    "tuned": ("run", "tuned.toml", "--out", "OUT"),
    "trial": ("trial", *ON_MINE, "--attributions", "scores.parquet", "--preset", "quick", "--set", "counts=[5]",
              "--set", "ism_per_class=2", "--resamples", "100", "--out", "OUT"),
    "attribute": ("attribute", *ON_MINE, "--methods", "attention,lrp,saliency", "--out", "OUT/scores.parquet"),
    "mutate": ("mutate", *ON_MINE, "--attributions", "scores.parquet", "--counts", "0,5,all", "--replicates", "9",
               "--random-sets", "30", "--out", "OUT"),
    "finetune": ("finetune", "--train", "train.csv", "--config", "ft.toml", "--out", "OUT"),
    "audit": ("audit", "train=train.csv", "test=mine.csv", "--out", "OUT", "--set", "settings.resamples=50"),
    "split": ("split", "train.csv", "--seed", "SEED", "--out", "OUT"),
    "plant": ("plant", "--regime", "localised", "--motifs", "CTCF", "--train", "60", "--validation", "20", "--test",
              "20", "--length", "60", "--out", "OUT"),
}  # fmt: skip
Sums = dict[str, str]


def inputs(folder: Path) -> None:
    """Write the configs, and sequences of which half are rich in A and T."""
    rng = np.random.default_rng(0)
    for name, count in (("mine", 24), ("train", 60)):
        rows = [
            f"{name}{i},{''.join(rng.choice(list('ACGT'), 40, p=[[0.4, 0.1, 0.1, 0.4], [0.25] * 4][i % 2]))},{i % 2}"
            for i in range(count)
        ]
        (folder / f"{name}.csv").write_text("\n".join(["name,sequence,label", *rows, ""]))
    for name, text in (("run", RUN), ("tuned", TUNED), ("ft", FINETUNE)):
        (folder / f"{name}.toml").write_text(text)


class Started(NamedTuple):
    """A forked process, and what it says."""

    child: int
    said: list[str]
    listener: threading.Thread


def start(verb: str, out: Path, limit: int | None = None, seed: int = 0) -> Started:
    """Fork a process that does a verb; no file that it writes may grow beyond the limit."""
    reader, writer = os.pipe()
    child = os.fork()
    if child:
        os.close(writer)
        sentence: list[str] = []
        listener = threading.Thread(target=lambda: sentence.append(_drained(reader)))
        listener.start()
        return Started(child, sentence, listener)
    code = 70
    try:
        os.dup2(writer, 1)
        os.dup2(writer, 2)
        if limit is not None:
            resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))
        from kmerit.cli import main

        words = (word.replace("OUT", str(out)).replace("SEED", str(seed)) for word in VERBS[verb])
        sys.argv = ["kmerit", *words, *([] if verb == "split" else ["--quiet"])]
        try:
            main()
            code = 0
        except SystemExit as left:
            code = int(left.code or 0)
    finally:
        with contextlib.suppress(Exception):
            sys.stdout.flush()
        os._exit(code)


def _drained(reader: int) -> str:
    with open(reader, errors="replace") as file:
        return file.read()


def end(started: Started) -> tuple[int, str]:
    """Wait for it: its exit code (negative: killed), and what it said."""
    _, status = os.waitpid(started.child, 0)
    started.listener.join()
    return os.waitstatus_to_exitcode(status), started.said[0]


def results(out: Path) -> Sums:
    """Hash all files but the log, which alone tells of time."""
    from kmerit.store import sha256

    files = [path for path in sorted(out.rglob("*")) if path.is_file() and path.name != "run.log"]
    return {path.relative_to(out).as_posix(): sha256(path) for path in files}


def killed(verb: str, whole: Sums, seconds: float, times: int, rng: random.Random, here: Path) -> Counter[str]:
    """Kill a verb at random moments, again and again until it ends; then begin anew."""
    counts: Counter[str] = Counter()
    kills = 0
    while kills < times:
        out = here / "out"
        if verb == "split":
            assert end(start(verb, out, seed=1))[0] == 0
        for _ in range(8):
            started = start(verb, out)
            time.sleep(rng.uniform(0, seconds * 1.1))
            with contextlib.suppress(ProcessLookupError):
                os.kill(started.child, signal.SIGKILL)
            code, text = end(started)
            kills += code == -signal.SIGKILL
            counts["kills"] += code == -signal.SIGKILL
            if verb == "split":
                rows = _rows_of(out)
                counts["old and new together"] += len(rows) > 1
            if code == 0:
                break
            assert code == -signal.SIGKILL, text
        code, text = end(start(verb, out))
        counts["ended"] += code == 0
        counts["other bytes"] += results(out) != whole
        if results(out) != whole:
            print(verb, "differs:", sorted(set(results(out).items()) ^ set(whole.items())), text, file=sys.stderr)
        shutil.rmtree(out)
    return counts


def _rows_of(out: Path) -> set[str]:
    """Tell of which split the files in a folder are, by their manifest's words: at most one."""
    from kmerit.store import sha256

    train, test = out / "train.parquet", out / "test.parquet"
    if not (train.exists() and test.exists() and (out / "manifest.json").exists()):
        return set()
    sums = json.loads((out / "manifest.json").read_text())["sha256"]
    return {"whole"} if all(sums[path.name] == sha256(path) for path in (train, test)) else {"mixed", "up"}


def damaged(verb: str, whole: Sums, flips: int, rng: random.Random, here: Path) -> Counter[str]:
    """Damage each file of a finished verb in every way, and give the command again."""
    counts: Counter[str] = Counter()
    base = here / f"{verb}-whole"
    for name in whole:
        ways: list[tuple[str, Callable[[bytes], bytes | None]]] = [
            ("half", lambda data: data[: len(data) // 2]),
            ("less a byte", lambda data: data[:-1]),
            ("empty", lambda data: b""),
            ("gone", lambda data: None),
        ]
        ways += [("bit", lambda data: _flipped(data, rng))] * flips
        for way, change in ways:
            out = here / "out"
            shutil.copytree(base, out)
            new = change((out / name).read_bytes())
            (out / name).unlink() if new is None else (out / name).write_bytes(new)
            before = results(out)
            code, text = end(start(verb, out))
            after = results(out)
            if code == 0 and after == whole:
                counts["identical"] += 1
            elif code in (1, 2) and "bug in kmerit" not in text and after == before:
                counts["refused"] += 1
            else:
                counts["WRONG"] += 1
                print(verb, name, way, code, text[-300:], sorted(set(after.items()) ^ set(whole.items())),
                      file=sys.stderr)  # fmt: skip
            shutil.rmtree(out)
    return counts


def _flipped(data: bytes, rng: random.Random) -> bytes:
    at = rng.randrange(len(data)) if data else 0
    return data[:at] + bytes([data[at] ^ 1 << rng.randrange(8)]) + data[at + 1 :] if data else b"x"


def filled(verb: str, whole: Sums, steps: int, here: Path) -> Counter[str]:
    """Let no file grow beyond a limit, or the disk be full, then give the command again with space."""
    counts: Counter[str] = Counter()
    largest = max((here / f"{verb}-whole" / name).stat().st_size for name in whole)
    for step in range(steps):
        out = here / "out"
        limit = int(20 * (largest / 20) ** ((step + 0.5) / steps))
        code, text = end(start(verb, out, limit))
        clear = code == 0 or (code == 1 and "DiskFull: " in text and "bug in kmerit" not in text)
        counts["said"] += clear
        counts["partial files left"] += any(out.rglob(".partial-*")) if out.exists() else 0
        code, again = end(start(verb, out))
        good = clear and code == 0 and results(out) == whole
        counts["then identical" if good else "WRONG"] += 1
        if not good:
            print(verb, "limit", limit, code, text[-300:], again[-300:], file=sys.stderr)
        shutil.rmtree(out, ignore_errors=True)
    return counts


def main(arguments: list[str] | None = None) -> int:
    """Disturb each verb, and print what became of it; exit code 1 if anything was wrong."""
    parser = argparse.ArgumentParser(description=__doc__)
    for name in ("kills", "damages", "fillings", "seed"):
        parser.add_argument(f"--{name}", type=int, default=0)
    parser.add_argument("--verbs", default=",".join(VERBS))
    parser.add_argument("--folder", type=Path)
    options = parser.parse_args(arguments)
    import matplotlib.pyplot  # noqa: F401 - all that is loaded here need not be loaded by each process
    import pandas  # noqa: F401
    import sklearn.linear_model  # noqa: F401
    import torch
    import transformers  # noqa: F401

    import kmerit.cli.app
    import kmerit.datasets
    import kmerit.report
    import kmerit.runs.pipeline
    import kmerit.training.finetuning  # noqa: F401

    torch.set_num_threads(1)
    here = Path(tempfile.mkdtemp(dir=options.folder))
    os.chdir(here)
    inputs(here)
    VERBS["scores"] = tuple(word.replace("OUT/", "") for word in VERBS["attribute"])
    assert end(start("scores", here))[0] == 0
    wrong = 0
    for verb in options.verbs.split(","):
        rng = random.Random(f"{options.seed} {verb}")
        out = here / "out"  # always the same, as models and cards name it
        started = time.monotonic()
        code, text = end(start(verb, out))
        seconds = time.monotonic() - started
        assert code == 0, text
        whole = results(out)
        out.rename(here / f"{verb}-whole")
        result = {
            "verb": verb,
            "seconds": round(seconds, 1),
            "files": len(whole),
            "killed": dict(killed(verb, whole, seconds, options.kills, rng, here)) if options.kills else {},
            "damaged": dict(damaged(verb, whole, options.damages, rng, here)) if options.damages else {},
            "filled": dict(filled(verb, whole, options.fillings, here)) if options.fillings else {},
        }
        wrong += result["killed"].get("other bytes", 0) + result["killed"].get("old and new together", 0)
        wrong += result["damaged"].get("WRONG", 0) + result["filled"].get("WRONG", 0)
        print(json.dumps(result), flush=True)
    shutil.rmtree(here)
    return int(wrong > 0)


if __name__ == "__main__":
    sys.exit(main())
