"""Mutated inputs for every reader: read, or refused by a KmeritError in time; what is read survives round trips.

Run it longer than the tests do:

    python tests/fuzzing.py --inputs 10000 --seed 1 --keep faults csv meme
"""

from __future__ import annotations

import argparse
import copy
import gzip
import json
import logging
import random
import shutil
import signal
import sys
import tempfile
import time
import traceback
import warnings
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from io import BytesIO
from pathlib import Path
from types import FrameType
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

import kmerit as km
from helpers.checkpoints import REFERENCE, write_library, write_tiny
from helpers.score_files import without_sum
from kmerit.datasets.negatives import gene_bodies
from kmerit.datasets.reading import read_dataset
from kmerit.datasets.task import read_interval_file
from kmerit.io.fasta import read_fasta
from kmerit.io.genome import Genome
from kmerit.io.motifs import read_motifs
from kmerit.io.readers import write_sequences
from kmerit.sequences import Sequences, decode

SECONDS = 20
"""A reading that takes longer hangs."""
LONGEST = 1500
"""Characters of an error, at most: it never repeats the input."""
Files = Mapping[str, bytes]
Read = Callable[[Path], None]


class Hang(BaseException):
    """A reader did not come to an end."""


class Changed(AssertionError):
    """What was read did not survive being written and read again."""


@dataclass(frozen=True)
class Target:
    """A reader: the files it starts from, which of them are mutated, what is done with them, and how often in tests."""

    seeds: Callable[[], list[Files]]
    read: Read
    inputs: int
    mutated: Callable[[str], bool] = lambda _: True


@dataclass
class Outcome:
    """What became of the inputs of one reader."""

    ends: Counter[str] = field(default_factory=Counter)
    faults: dict[str, str] = field(default_factory=dict)
    """By number of the input: what went wrong."""


TARGETS: dict[str, Target] = {}


def target(
    name: str, inputs: int, seeds: Callable[[], list[Files]], mutated: Callable[[str], bool] = lambda _: True
) -> Any:
    """Register a reader under a name."""

    def register(read: Read) -> Read:
        TARGETS[name] = Target(seeds, read, inputs, mutated)
        return read

    return register


def fuzz(name: str, inputs: int, seed: int = 0, keep: Path | None = None, seconds: float | None = None) -> Outcome:
    """Read mutated inputs, the same ones for a seed; files that show a fault are kept where one asks for them."""
    chosen, outcome = TARGETS[name], Outcome()
    seeds = chosen.seeds()
    for base in seeds:  # the first reading loads libraries, which takes its time
        with tempfile.TemporaryDirectory() as folder, warnings.catch_warnings(), suppress(km.KmeritError):
            warnings.simplefilter("ignore")
            chosen.read(_written(Path(folder), base, chosen, None))
    until = None if seconds is None else time.monotonic() + seconds
    for number in range(inputs):
        if until is not None and time.monotonic() > until:
            break
        rng = random.Random(f"{name}/{seed}/{number}")
        base = rng.choice(seeds)
        with tempfile.TemporaryDirectory() as folder:
            path = _written(Path(folder), base, chosen, rng)
            end, what = _tried(chosen.read, path)
            outcome.ends[end] += 1
            if what is not None:
                outcome.faults[f"{name}/{seed}/{number}"] = what
                if keep is not None:
                    shutil.copytree(folder, keep / f"{name}-{seed}-{number}", dirs_exist_ok=True)
                    (keep / f"{name}-{seed}-{number}" / "fault.txt").write_text(what)
    return outcome


def _written(folder: Path, base: Files, chosen: Target, rng: random.Random | None) -> Path:
    """Write the files of a seed, one of them mutated; give the path of the only file, or of the folder."""
    victim = rng.choice(sorted(filter(chosen.mutated, base))) if rng else next(iter(base))
    for name, data in base.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(mutate(name, data, rng) if rng and name == victim else data)
    return folder / victim if len(base) == 1 else folder


def _tried(read: Read, path: Path) -> tuple[str, str | None]:
    try:
        with _time_limit(), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            read(path)
    except km.KmeritError as error:
        text = str(error)
        if len(text) > LONGEST or text.count("\n") > 2:
            return "long error", f"{type(error).__name__} of {len(text)} characters: {text[:LONGEST]}"
        return type(error).__name__, None
    except (Exception, Hang) as error:
        return f"! {type(error).__name__}", "".join(traceback.format_exception(error))[-3000:]
    return "read", None


@contextmanager
def _time_limit() -> Iterator[None]:
    def stop(_: int, __: FrameType | None) -> None:
        raise Hang

    before = signal.signal(signal.SIGALRM, stop)
    signal.setitimer(signal.ITIMER_REAL, SECONDS)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


# What inputs become


WORDS = [
    *(
        b"\0",
        b"\r",
        b"\r\n",
        b"\n",
        b"\n\n",
        b"\t",
        b",",
        b";",
        b'"',
        b'""',
        b"'",
        b">",
        b"=",
        b":",
        b"-",
        b"+",
        b".",
        b" ",
    ),
    *(b"\xa0", b"\xff", b"\xff\xfe", b"\xef\xbb\xbf", b"\x1f\x8b", b"\x0b", b"\x1c", b"\\", b"/", b"#", b"%", b"@"),
    *(
        b"-1",
        b"0",
        b"1",
        b"1.5",
        b"1e300",
        b"9223372036854775808",
        b"-9223372036854775808",
        b"2147483648",
        b"1_0",
        b"1e-300",
    ),
    *(b"nan", b"inf", b"-inf", b"NA", b"null", b"true", b"None", b"", b"N", b"A", b"R", b"u", b"acgt", b"ACGT" * 40),
    *("\u00a0\u2028\ufeff\u0661\u00e4\u200b\U0001f9ec".encode(), b"A" * 5000, b"9" * 5000, b"[" * 3000, b"{" * 3000),
    *(b"label=1", b"value=0.5", b"locus=chr1:5-9:+", b"HLA-A*01:01:01:01:1-9(-)", b"MOTIF x y", b"URL z", b"w= 3"),
]
VALUES: list[Any] = [
    *(None, True, False, 0, 1, -1, 7, 2**31, 2**63, -(2**63), 10**400, 0.5, 1e300, float("nan"), float("inf"), -1.5),
    *("", "x", "0", "float16", "relu", "\0", "\ud800", "A" * 3000, "../..", [], {}, [[]], [None], {"x": 1}, ["a", "b"]),
]


def mutate(name: str, data: bytes, rng: random.Random) -> bytes:
    """Change a file in a few places: as bytes, or what its format holds."""
    if name.endswith(".json") and rng.random() < 0.7:
        return _mutated_json(data, rng)
    if name.endswith(".parquet") and rng.random() < 0.7:
        return _mutated_parquet(data, rng)
    packed = data[:2] == b"\x1f\x8b"
    data = gzip.decompress(data) if packed else data
    for _ in range(min(1 + int(rng.expovariate(0.7)), 8)):
        data = rng.choice(_CHANGES)(data, rng)
    if packed or rng.random() < 0.03:
        data = gzip.compress(data, mtime=0)
        if rng.random() < 0.1:
            data = _flipped(data, rng) if rng.random() < 0.5 else data[: rng.randrange(len(data) + 1)]
    return data


def _span(data: bytes, rng: random.Random) -> tuple[int, int]:
    start = rng.randrange(len(data) + 1)
    return start, min(len(data), start + int(rng.expovariate(0.1)))


def _flipped(data: bytes, rng: random.Random) -> bytes:
    if not data:
        return data
    at = rng.randrange(len(data))
    return data[:at] + bytes([data[at] ^ 1 << rng.randrange(8)]) + data[at + 1 :]


def _inserted(data: bytes, rng: random.Random) -> bytes:
    at = rng.randrange(len(data) + 1)
    return data[:at] + rng.choice(WORDS) + data[at:]


def _replaced(data: bytes, rng: random.Random) -> bytes:
    a, b = _span(data, rng)
    return data[:a] + rng.choice(WORDS) + data[b:]


def _deleted(data: bytes, rng: random.Random) -> bytes:
    a, b = _span(data, rng)
    return data[:a] + data[b:]


def _doubled(data: bytes, rng: random.Random) -> bytes:
    a, b = _span(data, rng)
    return data[:b] + data[a:b] * rng.choice((1, 1, 2, 300)) + data[b:]


def _truncated(data: bytes, rng: random.Random) -> bytes:
    return data[: rng.randrange(len(data) + 1)]


def _word(data: bytes, rng: random.Random) -> bytes:
    """Replace a whole cell, word or number."""
    parts = [i for i, byte in enumerate(data) if byte in b" ,\t\n=:;|"]
    if len(parts) < 2:
        return data
    i = rng.randrange(len(parts) - 1)
    return data[: parts[i] + 1] + rng.choice(WORDS) + data[parts[i + 1] :]


def _lines(data: bytes, rng: random.Random) -> bytes:
    lines = data.split(b"\n")
    i, j = rng.randrange(len(lines)), rng.randrange(len(lines))
    kind = rng.randrange(4)
    if kind == 0:
        lines[i], lines[j] = lines[j], lines[i]
    elif kind == 1:
        lines.insert(i, lines[j])
    elif kind == 2:
        del lines[i]
    else:
        lines[i] += rng.choice(WORDS)
    return b"\n".join(lines)


def _ends(data: bytes, rng: random.Random) -> bytes:
    return data.replace(b"\n", rng.choice((b"\r", b"\r\n", b"\n\n", b"\r\r\n")), rng.choice((-1, -1, 1, 2)))


def _encoded(data: bytes, rng: random.Random) -> bytes:
    kind = rng.randrange(12)  # rarely: such files are refused at once
    if kind == 0:
        return data.decode("latin-1").encode(rng.choice(("utf-16", "utf-16-le", "utf-32")))
    return b"\xef\xbb\xbf" + data if kind == 1 else data


_CHANGES = (_flipped, _inserted, _inserted, _replaced, _replaced, _deleted, _doubled, _truncated, _word, _word, _word,
            _lines, _lines, _ends, _encoded)  # fmt: skip


def _mutated_json(data: bytes, rng: random.Random) -> bytes:
    tree = json.loads(data)
    for _ in range(rng.choice((1, 1, 1, 2, 3))):
        places = list(_places(tree))
        if not places:
            break
        holder, key = rng.choice(places)
        kind = rng.randrange(8)
        if kind == 0:
            del holder[key]
        elif kind == 1 and isinstance(holder, dict):
            holder[rng.choice(["x", "model_type", "dtype", "config", "hidden_act", "label"])] = copy.deepcopy(
                rng.choice(VALUES)
            )
        elif kind == 2:
            other, theirs = rng.choice(places)
            holder[key] = json.loads(json.dumps(other[theirs]))
        else:
            holder[key] = copy.deepcopy(rng.choice(VALUES))  # later changes may go into it
    return json.dumps(rng.choice([[], 1, None, "x"]) if rng.random() < 0.03 else tree).encode()


def _places(tree: Any) -> Iterator[tuple[Any, Any]]:
    """List what holds something, and under which key: what is near the root comes more often than its share."""
    keys = list(tree) if isinstance(tree, dict) else list(range(len(tree))) if isinstance(tree, list) else []
    for key in keys[:40]:
        yield tree, key
        yield from _places(tree[key])


_ARRAYS: list[Callable[[int], pa.Array]] = [
    lambda n: pa.nulls(n),
    lambda n: pa.array([True] * n),
    lambda n: pa.array([-1] * n),
    lambda n: pa.array([2**63 - 1] * n),
    lambda n: pa.array([2**64 - 1] * n, pa.uint64()),
    lambda n: pa.array([0.5] * n),
    lambda n: pa.array([float(i) for i in range(n)], pa.float32()),
    lambda n: pa.array([float("nan")] * n),
    lambda n: pa.array([1e300] * n),
    lambda n: pa.array([b"A\xff"] * n),
    lambda n: pa.array(["ACGT"] * n).dictionary_encode(),
    lambda n: pa.array(["", None, "\0", "chr1\t2"][: n % 5] + ["ACGT"] * (n - min(n, n % 5, 4)) if n else []),
    lambda n: pa.array([[1.0, 2.0]] * n),
    lambda n: pa.array([[]] * n, pa.list_(pa.float32())),
    lambda n: pa.array([{"a": 1}] * n),
    lambda n: pa.array([2**62] * n, pa.timestamp("ms")),
    lambda n: pa.array([None if i % 2 else i for i in range(n)], pa.int64()),
    lambda n: pa.array(np.arange(n), pa.int8()) if n < 100 else pa.nulls(n),
]


def _mutated_parquet(data: bytes, rng: random.Random) -> bytes:
    table = pq.read_table(BytesIO(data))
    for _ in range(rng.choice((1, 1, 2))):
        i = rng.randrange(table.num_columns)
        name, kind = table.column_names[i], rng.randrange(7)
        if kind == 0 and table.num_columns > 1:
            table = table.remove_column(i)
        elif kind == 1:
            table = table.rename_columns([rng.choice(["label", "value", "x", "", name.upper()]) if j == i else old
                                          for j, old in enumerate(table.column_names)])  # fmt: skip
        elif kind == 2:
            expected = rng.randrange(len(table) + 2) if len(table) else 0
            table = table.take(pa.array([rng.randrange(len(table)) for _ in range(expected)], pa.int64()))
        elif kind == 3:
            metadata = dict(table.schema.metadata or {})
            metadata[b"kmerit"] = rng.choice(
                [b"{}", b"[", b"[]", b"null", b'{"lrp": 1}', b'{"lrp": {"withheld": 3}}', b"\xff"]
            )
            table = table.replace_schema_metadata(metadata)
        elif kind == 4:
            if len(table):
                at, cells = rng.randrange(len(table)), table.column(i)
                other = rng.choice(
                    [cells.slice(rng.randrange(len(table)), 1), pa.chunked_array([pa.nulls(1, cells.type)])]
                )
                parts = (cells.slice(0, at), other, cells.slice(at + 1))
                table = table.set_column(
                    i, name, pa.chunked_array([c for part in parts for c in part.chunks], cells.type)
                )
        else:
            table = table.set_column(i, name, rng.choice(_ARRAYS)(len(table)))
    sink = BytesIO()
    pq.write_table(table, sink)
    return sink.getvalue()


# Readers


def same(one: Sequences, other: Sequences) -> bool:
    """Whether two sets of sequences are alike in all that they hold."""
    labels = (one.labels is None) == (other.labels is None)
    if one.labels is not None and other.labels is not None:
        labels = one.labels.dtype == other.labels.dtype
        labels = labels and (one.classes is not None or np.array_equal(one.labels, other.labels))
    labels = labels and _named(one) == _named(other)
    return bool(labels and one.names == other.names and one.strings() == other.strings() and one.loci == other.loci)


def _named(sequences: Sequences) -> list[str] | None:
    """Name the class of each sequence: text keeps no order of classes, and no class without rows."""
    classes, labels = sequences.classes, sequences.labels
    return None if classes is None or labels is None else [classes[label] for label in labels.tolist()]


def _round_trip(path: Path) -> None:
    sequences = km.read_sequences(path)
    for suffix in ("fa", "csv", "tsv.gz", "parquet"):
        copy = path.parent / f"copy.{suffix}"
        try:
            write_sequences(sequences, copy)
        except km.errors.FormatError:
            continue  # a name or a locus that the format cannot hold
        try:
            back = km.read_sequences(copy)
        except km.KmeritError as error:
            raise Changed(f"written as {suffix}, it is refused: {error}") from error
        if not same(sequences, back):
            raise Changed(f"written as {suffix}, it is read back otherwise: {sequences} {back}")


def _one_each(**files: bytes | str) -> list[Files]:
    return [
        {name.replace("__", "."): data if isinstance(data, bytes) else data.encode()} for name, data in files.items()
    ]


def _packed(data: str) -> bytes:
    return gzip.compress(data.encode(), mtime=0)


FASTA = ">a label=1 locus=chr1:100-112:+\nACGTACGTACGT\n>b label=0 locus=HLA-A*01:01:01:01:5-13:-\nACGT\nTTTT\n"
PLAIN = ">a first\nACGTN\n>b value\nTT\nGG\n\n>chr1:5-9(+)\nACGT\n"
VALUED = ">a value=0.5\nACGT\n>b value=-1e-3\nTTT\n"
TABLE = """name,sequence,label,chrom,start,end,strand
a,ACGT,1,chr1,5,9,+
"b,c",TTN,0,,,,
d,GATTACA,2,HLA-A*01:01,0,7,-
"""
NAMED = "sequence;label\nACGT AC;peak\nACG CGT;none\nTTA TAA AAC;peak\n"
KMERS = "sequence,label\nACG CGT GTT,0\nTTA TAA AAC,1\n"
LIKE = "name,sequence\nchr1:5-9,ACGT\nchr1:5-9(-),TTT\nHLA-A*01:01:01:01:2-5(+),TTT\n"
FASTQ = "@a 1\nACGT\n+\nIIII\n@b 2\nTTN\n+b\n@#>\n"
ROWS = [{"name": "a", "sequence": "ACGT", "label": "peak"}, {"name": "b", "sequence": "TTN", "label": "none"}]
VALUES_TABLE = "id,seq,value\na,ACGT,0.5\nb,TTN,1e3\nc,TTT,-2\n"
SPLITS = "sequence,label,split\nACGT,1,train\nTTT,0,train\nACG,1,test\nTTA,0,test\n"


def _tables() -> list[Files]:
    tables = {"x": TABLE, "y": VALUES_TABLE, "z": SPLITS, "n": NAMED, "k": KMERS, "l": LIKE}
    return _one_each(**{f"{name}__csv": table for name, table in tables.items()}, w__csv__gz=_packed(TABLE))


def _tsv() -> list[Files]:
    return _one_each(x__tsv=TABLE.replace(",", "\t"), y__tsv__gz=_packed(VALUES_TABLE.replace(",", "\t")))


def _parquet() -> list[Files]:
    result = []
    for columns in (
        {"name": ["a", "b"], "sequence": ["ACGT", "TTN"], "label": [1, 0]},
        {"id": [7, 8], "dna": ["ACGT", "TT"], "value": [0.5, -1.0], "chrom": ["1", None], "start": [3.0, None]},
        {"text": ["ACGT"], "y": [3], "chrom": ["HLA-A*01:01"], "start": [2], "end": [6], "strand": ["-"]},
    ):
        sink = BytesIO()
        pq.write_table(pa.table(columns), sink)
        result.append({"x.parquet": sink.getvalue()})
    return result


target("fasta", 600, lambda: _one_each(x__fa=FASTA, y__fa=PLAIN, z__fa=VALUED, w__fa__gz=_packed(FASTA)))(_round_trip)
target("csv", 500, _tables)(_round_trip)
target("fastq", 200, lambda: _one_each(x__fq=FASTQ, y__fastq__gz=_packed(FASTQ)))(_round_trip)
target("json", 300, lambda: _one_each(x__json=json.dumps(ROWS), y__jsonl="\n".join(map(json.dumps, ROWS))))(_round_trip)
target("tsv", 300, _tsv)(_round_trip)
target("parquet", 300, _parquet)(_round_trip)


@target("audit", 400, lambda: [*_tables(), *_tsv(), *_parquet(), *_one_each(x__fa=FASTA)])
def _audited(path: Path) -> None:
    read_dataset(path)


@target("intervals", 600, lambda: _one_each(x__csv="id,region,start,end,strand\n0,chr1,5,9,+\n1,chr20,7,19,-\n"))
def _intervals(path: Path) -> None:
    ids, loci = read_interval_file(path)
    if len(ids) != len(loci) or not all(0 <= locus.start < locus.end for locus in loci):
        raise Changed("intervals that are none")


MEME = """MEME version 4

ALPHABET= ACGT

strands: + -

Background letter frequencies
A 0.25 C 0.25 G 0.25 T 0.25

MOTIF M1 ONE
log-odds matrix: alength= 4 w= 2
 -100 22 3 -4
 1.5 2 3 4
letter-probability matrix: alength= 4 w= 2 nsites= 20 E= 0
0.97 0.01 0.01 0.01
0.01 0.97 0.01 0.01
URL http://x.org/M1

MOTIF M2
letter-probability matrix: alength= 4
0.25 0.25 0.25 0.25
0.00 0.50 0.5 0
0.1 0.2 0.3 0.4
"""


@target("meme", 800, lambda: _one_each(x__meme=MEME, y__meme=MEME[MEME.index("MOTIF") :], z__meme__gz=_packed(MEME)))
def _motifs(path: Path) -> None:
    for motif in read_motifs(path).values():
        if len(motif) < 1 or not np.allclose(motif.probabilities.sum(axis=1), 1) or motif.probabilities.min() < 0:
            raise Changed(f"{motif.identifier}: probabilities that are none")


GENOME = ">chr1 first\nACGTACGTAC\nACGTACGTAC\nACG\n>chr20:5-15\nACRTacgtNC\n"


@target("genome", 400, lambda: _one_each(x__fa=GENOME, y__fa__gz=_packed(GENOME)))
def _genome(path: Path) -> None:
    """What is read at random is what is read as a whole."""
    genome = Genome.open(path)
    letters = {name: genome.letters(i, 0, int(genome.length[i])) for i, name in enumerate(genome.names)}
    whole = read_fasta(path, "upper", ambiguous_as_n=True)
    if tuple(letters) != whole.names or [decode(bases) for bases in letters.values()] != whole.strings():
        raise Changed(f"{letters} is {whole.strings()}")


GTF = "".join(
    f'chr1\tx\texon\t{start}\t{start + 9}\t.\t{strand}\t.\tgene_id "{gene}"; transcript_id "{gene}1";\n'
    for start, strand, gene in ((1, "+", "A"), (14, "+", "A"), (3, "-", "B"))
)


@target("genes", 400, lambda: _one_each(x__gtf=GTF, y__gtf__gz=_packed(GTF)))
def _genes(path: Path) -> None:
    genome = path.parent / "genome.fa"
    genome.write_text(GENOME)
    list(gene_bodies(path, Genome.open(genome)))


def _configs() -> list[Files]:
    from kmerit.config import bundled_configs

    return [{"x.toml": bundled_configs()[name].read_bytes()} for name in ("demo", "fair")]


@target("config", 150, _configs)
def _config(path: Path) -> None:
    from kmerit.runs.settings import load_config, resolve

    resolve(load_config(path))


SCORED = Sequences.from_strings(["TATAAAGGCGCGCC", "ACGTTGCAAC", "GGGCGTATAATGC"], labels=[1, 0, 1], names=list("abc"))


def _scores() -> list[Files]:
    model = km.load_model("bundled:promoter", device="cpu")
    with tempfile.TemporaryDirectory() as folder:
        path = km.attribute(model, SCORED, ["random", "lrp", "ism_first_order"], out=f"{folder}/scores.parquet")
        sink = BytesIO()
        pq.write_table(without_sum(path), sink)  # else its sum refuses whatever was changed
        return [{"scores.parquet": Path(path).read_bytes()}, {"scores.parquet": sink.getvalue()}]


@target("scores", 150, _scores)
def _read_scores(path: Path) -> None:
    from kmerit.io.scores import read_attributions
    from kmerit.trials.execution import open_scores

    read_attributions(path)
    for _ in open_scores(path, SCORED).chunks(2):
        pass


def _folder(path: Path) -> Files:
    return {file.relative_to(path).as_posix(): file.read_bytes() for file in sorted(path.rglob("*")) if file.is_file()}


def _checkpoints() -> list[Files]:
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        product = [
            write_tiny(folder / "kmers", k=3),
            *(write_library(folder / kind, kind) for kind in ("bert", "roberta")),
        ]
        published = [
            REFERENCE / name for name in ("dnabert2", "nucleotide_transformer_v1", "nucleotide_transformer_v2")
        ]
        result = [_folder(path) for path in [*product, *published]]
    small = {"special_tokens_map.json": b'{"pad_token": "[PAD]"}', "tokenizer_config.json": b'{"unk_token": "[UNK]"}'}
    return [small | files if i < 3 else files for i, files in enumerate(result)]


def _is_small(name: str) -> bool:
    return name in ("config.json", "tokenizer.json", "tokenizer_config.json", "special_tokens_map.json", "vocab.txt")


@target("checkpoint", 120, _checkpoints, _is_small)
def _checkpoint(path: Path) -> None:
    logits = km.load_model(path, device="cpu").logits(SCORED)
    if not np.isfinite(logits).all():
        raise Changed("logits that are not finite")


def _runs() -> list[Files]:
    from helpers.report_run import write_run

    with tempfile.TemporaryDirectory() as folder:
        return [_folder(write_run(Path(folder)))]


@target("run", 60, _runs, lambda name: name.endswith((".json", ".toml", ".csv")))
def _run(path: Path) -> None:
    from kmerit.report.load import read_excesses, read_run, read_summary

    for task in read_run(path).tasks:
        read_summary(path, task.name)
        with suppress(km.errors.RunError):  # a run that was no fair trial has none
            read_excesses(path, task.name)


def main() -> int:
    """Run readers over many inputs, and print what became of them."""
    logging.getLogger("kmerit").setLevel(logging.CRITICAL)
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("readers", nargs="*", help=f"of {', '.join(TARGETS)}; all by default")
    parser.add_argument("--inputs", type=int, default=1000, help="of each reader")
    parser.add_argument("--seconds", type=float, help="for each reader, at most")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--keep", type=Path, help="folder for inputs that show a fault")
    arguments = parser.parse_args()
    faults = 0
    for name in arguments.readers or TARGETS:
        outcome = fuzz(name, arguments.inputs, arguments.seed, arguments.keep, arguments.seconds)
        print(f"{name}: {sum(outcome.ends.values()):,} inputs: {dict(outcome.ends.most_common())}", flush=True)
        kinds: dict[str, list[str]] = {}
        for number, what in outcome.faults.items():
            kinds.setdefault(what.strip().splitlines()[-1][:100], []).append(number)
        for kind, numbers in kinds.items():
            print(f"  {len(numbers)} x {kind}\n    first: {numbers[0]}", flush=True)
        faults += len(outcome.faults)
    return int(faults > 0)


if __name__ == "__main__":
    sys.exit(main())
