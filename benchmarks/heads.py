"""Measure the tests of heads: their errors, what random models reach, and how long they take; and the study's data.

    python benchmarks/heads.py data --alignment chr22.maf.gz --out heads-data [--genes grch37.csv]
    python benchmarks/heads.py error --out heads-error [--runs 400]
    python benchmarks/heads.py random --config benchmarks/heads.toml --reference heads --out heads-random [--models 20]
    python benchmarks/heads.py time [--windows 2000 --heads 36 --features 20 --draws 2000]

``data`` writes what ``docs/heads.md`` reads: genome.fa; genes.gtf, that of the repository or built from the table of
exon junctions in the package cispliceai (GENCODE on GRCh37; CC BY 4.0); and of an alignment of apes in MAF (the package
maffilter-examples: Ensembl Compara, chromosome 22) soft-masked.fa.gz and conservation.bedgraph.gz, the share of apes
that have the human letter.

``error``: each run compares the attention of a random model on windows of chr20 and chr22 with tracks that know nothing
of them: real tracks of windows far away (``rotated``), and smooth random functions of the place on the chromosome and
in the window (``function``). A run errs if any head and feature is claimed, by max-T over all loci or by two halves.
Also the published statistic, which pools all nucleotides: Spearman's correlation against 100 draws in which
attention is shuffled between windows and in blocks of 10, |z| above 1.96.

``random``: models with random weights that are not among those of the reference, through the tests of a study: how
many of their heads pass the null alone, with and without adjusting, and how many both bars.
"""

from __future__ import annotations

import argparse
import csv
import gzip
import json
import os
import time
from collections.abc import Iterator
from pathlib import Path

os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("TRANSFORMERS_VERBOSITY", "error")

import numpy as np
from scipy.ndimage import gaussian_filter1d
from scipy.stats import rankdata

import kmerit as km
from kmerit.biology.feature import parse_features
from kmerit.biology.head_study import read_heads_config
from kmerit.biology.head_tests import associate, associate_each
from kmerit.biology.head_windows import draw_windows
from kmerit.biology.heads import paid_attention
from kmerit.models.untrained import random_weights
from kmerit.sequences import Floats, Sequences, generator
from kmerit.uncertainty import clopper_pearson

ENCODER = str(Path(km.__file__).parent / "assets" / "models" / "encoder")
CORPUS = [Path(__file__).parents[1] / "data" / "corpus" / f"grch37_{name}.fa.gz" for name in ("chr20", "chr22_subset")]
GENES = Path(__file__).parents[1] / "data" / "annotation" / "genes_grch37_chr20_chr22.gtf.gz"


# --- data -------------------------------------------------------------------------------------------------------------


def genes(table: Path, out: Path, chromosomes: tuple[str, ...] = ("chr20", "chr22")) -> int:
    """Write the genes of a table of junctions (start, end, ends and starts of introns' exons) as GTF."""
    count = 0
    with table.open(newline="") as file, out.open("w") as gtf:
        for row in csv.DictReader(file):
            if row["chr"] not in chromosomes:
                continue
            starts = [int(row["start"]), *(int(each) for each in row["jn_end"].split(",") if each)]
            ends = [*(int(each) for each in row["jn_start"].split(",") if each), int(row["end"])]
            exons = _collapsed(sorted(starts), sorted(ends))
            for start, end in exons:
                name = f'gene_id "{row["gene_id"]}"; transcript_id "{row["gene_id"]}";'
                gtf.write(f"{row['chr']}\tGENCODE\texon\t{start}\t{end}\t.\t{row['strand']}\t.\t{name}\n")
                count += 1
    return count


def _collapsed(starts: list[int], ends: list[int]) -> list[tuple[int, int]]:
    """Make exons of all junctions of a gene: each starts at a junction's end, and ends before the next exon starts."""
    exons: list[tuple[int, int]] = []
    for start in starts:
        end = next((each for each in ends if each >= start), None)
        if end is not None and (not exons or start > exons[-1][1]):
            exons.append((start, end))
    return exons


def alignment(maf: Path, out: Path) -> tuple[int, int]:
    """Write the human lines of an alignment soft-masked, and the share of apes that have the human letter."""
    pieces: list[tuple[str, int, bytes]] = []
    values: list[tuple[str, int, int, float]] = []
    for chrom, start, human, others in _blocks(maf):
        inside = np.frombuffer(human, dtype=np.uint8) != ord("-")
        letters = np.frombuffer(human, dtype=np.uint8)[inside]
        pieces.append((chrom, start, letters.tobytes()))
        same = np.mean([(np.frombuffer(each, np.uint8)[inside] | 32) == (letters | 32) for each in others], axis=0)
        edges = np.flatnonzero(np.diff(same, prepend=-1.0))
        for low, high in zip(edges.tolist(), [*edges[1:].tolist(), same.size], strict=True):
            values.append((chrom, start + low, start + high, float(same[low])))
    if not pieces:
        raise SystemExit(
            f"{maf}: expected blocks with a human sequence, Hsap.CHROMOSOME, on its + strand; there is none."
        )
    with gzip.open(out / "soft-masked.fa.gz", "wb", 6) as fasta:
        for chrom, start, text in pieces:
            fasta.write(f">{chrom}:{start}-{start + len(text)}\n".encode() + text + b"\n")
    with gzip.open(out / "conservation.bedgraph.gz", "wt", 6) as graph:
        for chrom, low, high, value in sorted(values):
            graph.write(f"{chrom}\t{low}\t{high}\t{value:.3f}\n")
    return len(pieces), len(values)


def _blocks(maf: Path) -> Iterator[tuple[str, int, bytes, list[bytes]]]:
    with gzip.open(maf, "rt") as file:
        block: list[list[str]] = []
        for line in [*file, "\n"]:
            if line.startswith("s "):
                block.append(line.split())
            elif not line.strip() and block:
                human = next((each for each in block if each[1].startswith("Hsap.")), None)
                if human is not None and human[4] == "+" and len(block) > 1:
                    others = [each[6].encode() for each in block if each is not human]
                    yield f"chr{human[1].split('.')[1]}", int(human[2]), human[6].encode(), others
                block = []


# --- errors -----------------------------------------------------------------------------------------------------------


def _pool(count: int, length: int) -> Sequences:
    parts = [draw_windows(path, length, count // 2, seed=9) for path in CORPUS]
    return Sequences.concat(parts)


def _real(windows: Sequences) -> Floats:
    """Tracks of the letters: GC, CpG o/e, a word, and a smooth one."""
    tables = [
        {"feature": "gc", "width": 21},
        {"feature": "cpg_ratio"},
        {"feature": "kmer", "word": "CTG", "both_strands": True},
        {"feature": "kmer", "word": "AAAA", "both_strands": True},
    ]
    return np.stack([next(iter(each.tracks(windows).values())) for each in parse_features(tables)], axis=1)


def _functions(windows: Sequences, rng: np.random.Generator, count: int = 4) -> Floats:
    """Smooth random functions of the place on the chromosome, times one of the place in the window."""
    where = np.array([locus.start for locus in windows.loci or () if locus is not None], dtype=np.float64)
    chrom = np.array([locus.chrom for locus in windows.loci or () if locus is not None])
    length = int(windows.lengths.max())
    tracks = np.empty((len(windows), count, length))
    for i in range(count):
        slow = np.empty(len(windows))
        for name in np.unique(chrom):
            mine = np.flatnonzero(chrom == name)
            noise = gaussian_filter1d(rng.normal(size=400), rng.uniform(2, 12), mode="wrap")
            grid = np.linspace(where[mine].min(), where[mine].max(), 400)
            slow[mine] = np.interp(where[mine], grid, noise / noise.std())
        inside = gaussian_filter1d(rng.normal(size=(len(windows), length)), 6, axis=1)
        shape = gaussian_filter1d(rng.normal(size=length), 15)
        tracks[:, i] = slow[:, None] * shape / shape.std() + inside / inside.std()
    tracks[:, -1] = tracks[:, -1] > 1
    return tracks


def pooled(paid: Floats, tracks: Floats, rng: np.random.Generator, draws: int = 100) -> Floats:
    """Compute the z of the published statistic: all nucleotides pooled, against blocks of 10 that are shuffled."""
    windows, heads, length = paid.shape
    flat = np.stack([_unit(rankdata(np.nan_to_num(tracks[:, f]))) for f in range(tracks.shape[1])])
    ranks = np.stack([_unit(rankdata(paid[:, h])).reshape(windows, length) for h in range(heads)])
    observed = ranks.reshape(heads, -1) @ flat.T
    blocks = length // 10
    shuffled = np.empty((draws, *observed.shape))
    for draw in range(draws):
        for h in range(heads):
            mixed = ranks[h, rng.permutation(windows)]
            parts = mixed[:, : blocks * 10].reshape(windows, blocks, 10)
            order = rng.random((windows, blocks)).argsort(axis=1)
            mixed = np.concatenate(
                [np.take_along_axis(parts, order[:, :, None], 1).reshape(windows, -1), mixed[:, blocks * 10 :]], axis=1
            )
            shuffled[draw, h] = flat @ mixed.ravel()
    return np.asarray((observed - shuffled.mean(axis=0)) / shuffled.std(axis=0))


def _unit(values: Floats) -> Floats:
    centred = values - values.mean()
    return np.asarray(centred / np.sqrt((centred**2).sum())).ravel()


def error(out: Path, runs: int, rows: int, draws: int, minutes: float) -> None:
    """Do runs, a line each; those that are there already are not done again."""
    out.mkdir(parents=True, exist_ok=True)
    started = time.monotonic()
    file, length = out / "results.jsonl", 200
    done = {json.loads(line)["run"] for line in file.read_text().splitlines()} if file.is_file() else set()
    pool = _pool(1200, length)
    real = _real(pool)
    model = random_weights(ENCODER, 77)
    attention = paid_attention(model, pool).values.reshape(len(pool), -1, length)
    for run in range(runs):
        if run in done or (minutes and time.monotonic() - started > 60 * minutes):
            continue
        rng = generator(run, "error", 0, "")
        chosen = np.sort(rng.choice(len(pool), rows, replace=False))
        windows, kind = pool.take(chosen), ("rotated", "function")[run % 2]
        if kind == "rotated":  # of windows far away on the same chromosomes
            shift = int(rng.integers(len(pool) // 4, 3 * len(pool) // 4))
            tracks = real[(chosen + shift) % len(pool)]
        else:
            tracks = _functions(windows, rng)
        result = associate(attention[chosen], tracks, windows, draws=draws, seed=run)
        foil = run % 8 < 2  # it takes longer than all else
        z = pooled(attention[chosen].astype(np.float64), tracks, rng) if foil else np.full((1, 1), np.nan)
        line = {
            "run": run,
            "kind": kind,
            "max_t": bool((result.whole.p_max <= 0.05).any()),
            "halves": bool(result.found.any()),
            "p": float((result.whole.p <= 0.05).mean()),
            "pooled": float((np.abs(z) > 1.96).mean()) if foil else None,
            "pooled_any": bool((np.abs(z) > 1.96).any()) if foil else None,
        }
        with file.open("a") as stream:
            stream.write(json.dumps(line) + "\n")
    lines = [json.loads(line) for line in file.read_text().splitlines()]
    for kind in ("rotated", "function", ""):
        mine = [each for each in lines if kind in ("", each["kind"])]
        for key in ("max_t", "halves", "pooled_any"):
            runs_done = [each[key] for each in mine if each[key] is not None]
            upper = clopper_pearson(sum(runs_done), len(runs_done), 0.9)[1] if runs_done else float("nan")
            errors = f"{sum(runs_done)} of {len(runs_done)} runs err"
            print(f"{kind or 'all'} {key}: {errors}; one-sided 95 % upper bound {upper:.3f}")
        p, naive = (np.mean([each[key] for each in mine if each[key] is not None]) for key in ("p", "pooled"))
        print(f"{kind or 'all'}: share of pairs with p <= 0.05 {p:.3f}; pooled, |z| > 1.96 {naive:.3f}")


_PASSED = ("null", "max_t", "found", "beyond", "both")


# --- random models ----------------------------------------------------------------------------------------------------


def random_models(config: Path, reference: Path, out: Path, models: int) -> None:
    """Put random models that are not of the reference through a study, adjusted and not, against its bars."""
    import pandas as pd

    study = read_heads_config(config)
    features = parse_features(study.features)
    where = study.windows
    windows = draw_windows(
        str(where.genome), where.length, where.count, where.around, {each.title: each for each in features},
        where.chromosomes, study.seed,
    )  # fmt: skip
    tracks, itself, masks = {}, {}, {}
    for feature in features:
        for name, track in feature.tracks(windows).items():
            tracks[name], itself[name], masks[name] = track, feature.itself, feature.mask
    cube = np.stack(list(tracks.values()), axis=1)
    known = pd.read_parquet(reference / "features.parquet").set_index("feature")["bar"]
    bars = known.reindex(list(tracks)).to_numpy()
    shape = study.untrained.model or str(study.stages[0].model)
    out.mkdir(parents=True, exist_ok=True)
    rows, every = [], []
    for number in range(models):
        values = paid_attention(random_weights(shape, 10_000 + number), windows, study.tests.attention).values
        every.append(values.reshape(len(windows), -1, cube.shape[2]))
    for adjust in (study.tests.adjust, ()):
        results = associate_each(
            every, cube, windows, itself=list(itself.values()), adjust=adjust, draws=study.tests.draws, seed=study.seed
        )
        for number, result in enumerate(results):
            beyond = np.abs(np.nan_to_num(result.whole.z)) > bars
            for head, column in np.argwhere(np.isfinite(result.whole.z)):
                at = int(head), int(column)
                rows.append(
                    {
                        "model": number,
                        "head": at[0],
                        "feature": list(tracks)[at[1]],
                        "adjusted": bool(adjust),
                        "null": bool(result.whole.p[at] < 0.05),
                        "max_t": bool(result.whole.p_max[at] <= 0.05),
                        "found": bool(result.found[at]),
                        "both": bool(result.found[at] and beyond[at]),
                        "beyond": bool(beyond[at]),
                    }
                )
    table = pd.DataFrame(rows)
    table.to_csv(out / "held-out.csv", index=False)
    for adjusted, mine in table.groupby("adjusted"):
        heads_any = mine.groupby(["model", "head"])[["null", "max_t", "found", "beyond", "both"]].any()
        print(
            f"adjusted: {adjusted}; pairs:",
            mine[["null", "max_t", "found", "beyond", "both"]].mean().round(3).to_dict(),
        )
        print("  heads, any feature:", heads_any.mean().round(3).to_dict(), "of", len(heads_any))
        passing = int(heads_any["both"].sum())
        print(f"  both bars: {passing} heads; upper bound {clopper_pearson(passing, len(heads_any), 0.9)[1]:.3f}")
        print(mine.groupby("feature")[["null", "both"]].mean().round(3).to_string())


def clock(windows: int, count: int, features: int, draws: int) -> None:
    """Time the tests on noise."""
    rng = np.random.default_rng(0)
    strings = ["".join(row) for row in rng.choice(list("ACGT"), (windows, 200))]
    places = [km.Locus("chr1" if i < 0.6 * windows else "chr2", 1000 * i, 1000 * i + 200) for i in range(windows)]
    rows = Sequences.from_strings(strings, loci=places)
    paid, tracks = rng.normal(size=(windows, count, 200)), rng.normal(size=(windows, features, 200))
    started = time.perf_counter()
    result = associate(paid, tracks, rows, draws=draws)
    print(f"{time.perf_counter() - started:.0f} s for {windows} windows, {count} heads, {features} features, "
          f"{result.whole.rotations} rotations of all loci and of both halves")  # fmt: skip


def main() -> None:
    """Run a part."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n\n")[0])
    parser.add_argument("part", choices=("data", "error", "random", "time"))
    parser.add_argument("--out", type=Path, default=Path("heads-benchmark"))
    parser.add_argument("--genes", type=Path)
    parser.add_argument("--alignment", type=Path)
    parser.add_argument("--config", type=Path)
    parser.add_argument("--reference", type=Path)
    parser.add_argument("--runs", type=int, default=400)
    parser.add_argument("--rows", type=int, default=300)
    parser.add_argument("--minutes", type=float, default=0, help="Start no further run of error after these.")
    parser.add_argument("--models", type=int, default=20)
    parser.add_argument("--windows", type=int, default=2000)
    parser.add_argument("--heads", type=int, default=36)
    parser.add_argument("--features", type=int, default=20)
    parser.add_argument("--draws", type=int, default=2000)
    options = parser.parse_args()
    if options.part == "data":
        options.out.mkdir(parents=True, exist_ok=True)
        (options.out / "genome.fa").write_bytes(b"".join(gzip.decompress(path.read_bytes()) for path in CORPUS))
        blocks, steps = alignment(options.alignment, options.out)
        if options.genes is None:
            (options.out / "genes.gtf").write_bytes(gzip.decompress(GENES.read_bytes()))
        exons = genes(options.genes, options.out / "genes.gtf") if options.genes is not None else "known"
        print(f"{exons} exons, {blocks} blocks, {steps} steps of conservation")
    elif options.part == "error":
        error(options.out, options.runs, options.rows, options.draws, options.minutes)
    elif options.part == "random":
        random_models(options.config, options.reference, options.out, options.models)
    else:
        clock(options.windows, options.heads, options.features, options.draws)


if __name__ == "__main__":
    main()
