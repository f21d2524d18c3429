"""Negatives for a set of positives: random genome, GC-matched, shuffled, or out of genes."""

from __future__ import annotations

import gzip
import re
import zlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path
from typing import Literal, get_args

import numpy as np

from kmerit.datasets.reading import SAME_GENOME, another_assembly
from kmerit.datasets.task import Split, Task, find_task, load_task
from kmerit.errors import ConfigError, FormatError, SequenceError
from kmerit.io.crops import prepare, sample_per_class
from kmerit.io.files import GZIP
from kmerit.io.genome import Genome, locate
from kmerit.sequences import (
    Bool,
    Int8,
    Int64,
    Locus,
    N,
    Sequences,
    decode,
    dinucleotide_shuffle,
    gc_count,
    reverse_complement,
)

TRIES = 400
"""Draws after which a window is given up."""
_BLOCK = 14
_TOGETHER = 1 << 25
Window = tuple[Locus, Int8]


class Room:
    """Places of the genome that are still free.

    Raises:
        FormatError: The positives' loci are of another assembly.
    """

    def __init__(self, genome: Genome, positives: Sequences) -> None:
        self.genome = genome
        self._taken: dict[str, list[tuple[int, int]]] = {}
        for locus in places(genome, positives):
            self.take(locus)
        self._weights = np.cumsum(genome.length / genome.length.sum())

    def take(self, locus: Locus) -> None:
        """Mark a place as taken."""
        # Kept by blocks, so that a place is compared with few others.
        for block in range(locus.start >> _BLOCK, (locus.end - 1 >> _BLOCK) + 1):
            self._taken.setdefault(f"{locus.chrom.removeprefix('chr')}/{block}", []).append((locus.start, locus.end))

    def free(self, locus: Locus) -> bool:
        """Return whether a place overlaps nothing that is taken."""
        return not any(
            start < locus.end and locus.start < end
            for block in range(locus.start >> _BLOCK, (locus.end - 1 >> _BLOCK) + 1)
            for start, end in self._taken.get(f"{locus.chrom.removeprefix('chr')}/{block}", ())
        )

    def look(self, piece: int, at: int, length: int, strand: str) -> Window | None:
        """Read a window, unless it is taken, has an N, or does not fit."""
        genome = self.genome
        if at < 0 or at + length > genome.length[piece]:
            return None
        start = int(genome.start[piece]) + at
        locus = Locus(genome.chrom[piece], start, start + length, strand)
        if not self.free(locus):
            return None
        bases = genome.letters(piece, at, length)
        if bases.max() >= N:
            return None
        return locus, reverse_complement(bases) if strand == "-" else bases

    def candidate(self, length: int, rng: np.random.Generator) -> Window | None:
        """Look at one random place, on a random strand."""
        piece = int(np.searchsorted(self._weights, rng.random()))
        piece = min(piece, self._weights.size - 1)
        spare = int(self.genome.length[piece]) - length
        return None if spare < 0 else self.look(piece, int(rng.integers(spare + 1)), length, "+-"[int(rng.integers(2))])

    def draw(self, length: int, rng: np.random.Generator) -> Window:
        """Take a random free window.

        Raises:
            FormatError: None is found.
        """
        for _ in range(TRIES):
            if (window := self.candidate(length, rng)) is not None:
                self.take(window[0])
                return window
        raise self.full(length)

    def full(self, length: int) -> FormatError:
        """Return the error that there is no room left."""
        return FormatError(
            f"{self.genome.path}: no free window of {length} nt without an N was found in {TRIES} tries. "
            f"Give more genome."
        )


def places(genome: Genome, positives: Sequences) -> Iterator[Locus]:
    """Locate the positives: by their loci, where these have their letters, else where they are found by letters.

    Loci are set even where the letters are not there, or the genome lacks a part: the positive may differ in a letter.

    Args:
        genome: To look in.
        positives: With or without loci. Those without, with others' letters at theirs, or with a locus that the genome
            lacks, are looked for on both strands, from 32 nt on.

    Raises:
        FormatError: Of the loci that the genome has, fewer than nine tenths have the letters.
    """
    wanted_rows = []
    inside = agree = 0
    loci = positives.loci or (None,) * len(positives)
    pieces = iter(genome.find(locus for locus in loci if locus is not None).tolist())
    for i, locus in enumerate(loci):
        if locus is None:
            wanted_rows.append(i)
            continue
        yield locus
        if (piece := next(pieces)) < 0:
            wanted_rows.append(i)
            continue
        inside += 1
        genome_bases = genome.letters(piece, locus.start - int(genome.start[piece]), locus.end - locus.start)
        own_bases = positives.bases[positives.offsets[i] : positives.offsets[i + 1]]
        if np.array_equal(genome_bases, own_bases) or np.array_equal(reverse_complement(genome_bases), own_bases):
            agree += 1
        else:
            wanted_rows.append(i)
    if agree < SAME_GENOME * inside:
        raise another_assembly(genome.path, agree, inside, "positives")
    yield from _found(genome, positives.take(wanted_rows))


def _found(genome: Genome, sequences: Sequences) -> Iterator[Locus]:
    """Find sequences letter for letter, each at its first place."""
    for first, last in _batches(genome.length):
        if not len(sequences):
            return
        length = genome.length[first:last]
        bases = [genome.letters(piece, 0, int(genome.length[piece])) for piece in range(first, last)]
        offsets = np.concatenate([[0], np.cumsum(length)]).astype(np.int64)
        place, _ = locate(sequences, Sequences(genome.names[first:last], np.concatenate(bases), offsets))
        piece = np.searchsorted(offsets, place, side="right") - 1
        start = genome.start[first + piece] + place - offsets[piece]
        for i in np.flatnonzero(place >= 0).tolist():
            chrom = genome.chrom[first + int(piece[i])]
            yield Locus(chrom, int(start[i]), int(start[i] + sequences.lengths[i]))
        sequences = sequences.take(np.flatnonzero(place < 0))


def _batches(length: Int64) -> Iterator[tuple[int, int]]:
    """Gather pieces, so that small ones are searched together: first and last (not included) of each batch."""
    ends = np.cumsum(length)
    first = 0
    while first < length.size:
        last = int(np.searchsorted(ends, ends[first] - length[first] + _TOGETHER, side="right"))
        last = max(last, first + 1)
        yield first, last
        first = last


Kind = Literal["random", "gc", "shuffled", "gene_body"]
KINDS: tuple[Kind, ...] = get_args(Kind)
ALIKE = 0.02
"""A window is taken at once if its GC content is so near; else the nearest one of all tries."""
SHUFFLES = 20
"""Shuffles after which a positive that is still itself is taken to have no other order."""
FROM_START, FARTHEST = 1000, 40_000
"""Gene-body windows lie at least so far from every start of transcription, and at most so far from their gene's: nt."""


def make_negatives(
    positives: Sequences,
    kind: Kind,
    *,
    genome: str | Path | None = None,
    gtf: str | Path | None = None,
    per_positive: int = 1,
    split: Split = "train",
    seed: int = 0,
) -> Sequences:
    """Make background sequences, as long as the positives and labelled 0.

    Args:
        positives: Sequences: windows of a genome keep away from them, and from each other. Loci are compared with the
            genome, letter for letter on either strand; positives without loci, or whose loci do not have their
            letters, are looked for in all of it (from 32 nt on).
        kind: ``"random"``: anywhere in the genome. ``"gc"``: of some windows the one with the nearest GC content.
            ``"shuffled"``: the positives' letters, every dinucleotide kept. ``"gene_body"``: inside genes, behind the
            first exon, on the gene's strand; without a GTF resampled from the background of the task epdnew_nontata.
        genome: FASTA, plain or gzipped; for ``random``, ``gc``, and ``gene_body`` with a GTF.
        gtf: Genes and exons, of the genome's assembly.
        per_positive: How many for each.
        split: Which split of epdnew_nontata is resampled.
        seed: Of every draw.

    Returns:
        The background, named after kind and number; with loci where it is cut out of a genome.

    Raises:
        ConfigError: Another kind, or a genome that is missing.
        FormatError: A genome or GTF that cannot be read, or in which not enough room is found; a genome of another
            assembly than the positives' loci.
        SequenceError: Positives longer than what is resampled; or that have no other order, as AAAA has none.

    Example:
        >>> rows = Sequences.from_strings(["ACGGTTACGACG"], labels=[1])
        >>> result = make_negatives(rows, "shuffled")
        >>> result.labels.tolist(), sorted(result.string(0)) == sorted(rows.string(0))
        ([0], True)
    """
    if kind not in KINDS:
        raise ConfigError(f"kind: expected one of {', '.join(KINDS)}, got {kind!r}.")
    if per_positive < 1:
        raise ConfigError(f"per_positive: expected at least 1, got {per_positive}.")
    rng = np.random.default_rng(seed)
    rows = np.repeat(np.arange(len(positives)), per_positive)
    if kind == "shuffled":
        return _named(_shuffled(positives, rows, rng), kind)
    if kind == "gene_body" and gtf is None:
        return _resampled(positives.lengths[rows], split, rng)
    if genome is None:
        raise ConfigError(f"kind = {kind!r} is cut out of a genome. Give one: --genome genome.fa")
    source = Genome.open(genome)
    room = Room(source, positives)
    if kind == "gene_body":
        bodies = list(gene_bodies(Path(str(gtf)), source))
        if not bodies:
            raise FormatError(f"{gtf}: no gene of the genome's chromosomes has room after its first exon.")
        windows = [_in_gene(room, bodies, int(length), rng) for length in positives.lengths[rows]]
    elif kind == "gc":
        windows = [_like(room, positives, int(i), rng) for i in rows]
    else:
        windows = [room.draw(int(length), rng) for length in positives.lengths[rows]]
    return _named([decode(bases) for _, bases in windows], kind, [locus for locus, _ in windows])


def draw_positives(task: str | Task, rows: Mapping[Split, int], seed: int = 0) -> dict[Split, Sequences]:
    """Draw rows of class 1 of a task, cropped and filtered as the task says.

    Args:
        task: With two classes.
        rows: How many, by split.
        seed: Of the draw.

    Example:
        >>> [len(positives) for positives in draw_positives("ienhancer_2l", {"train": 6, "test": 3}).values()]
        [6, 3]
    """
    task, positives = find_task(task), {}
    for split, number in rows.items():
        every = load_task(task, split)
        own = every.take(np.flatnonzero(every.labels == 1))
        kept, _ = prepare(own, crop=task.crop, min_length=task.min_length, drop_n=task.drop_n)
        positives[split] = sample_per_class(kept, number, seed)
    return positives


def make_backgrounds(
    positives: Mapping[Split, Sequences],
    kind: Kind,
    *,
    genome: str | Path | None = None,
    gtf: str | Path | None = None,
    seed: int = 0,
) -> list[Sequences]:
    """Make a background for every split of a data set, one sequence for each positive, see `make_negatives`.

    Windows of a genome are drawn for all splits together, so that none overlaps one of another split.

    Example:
        >>> rows = Sequences.from_strings(["ACGGTTACGACG"], labels=[1])
        >>> [len(background) for background in make_backgrounds({"train": rows, "test": rows}, "shuffled")]
        [1, 1]
    """
    if kind == "gene_body" and gtf is None:
        return [make_negatives(part, kind, split=split, seed=seed) for split, part in positives.items()]
    # A name may stand in two splits.
    renamed = [replace(part, names=tuple(f"{split}/{n}" for n in part.names)) for split, part in positives.items()]
    together = make_negatives(Sequences.concat(renamed), kind, genome=genome, gtf=gtf, seed=seed)
    ends = np.cumsum([0, *map(len, renamed)]).tolist()
    return [together.take(slice(start, end)) for start, end in pairwise(ends)]


def labelled(positives: Sequences, background: Sequences) -> Sequences:
    """Join positives and background to one set, labelled 1 and 0.

    Raises:
        SequenceError: A name that both have.

    Example:
        >>> rows = Sequences.from_strings(["ACGGTTACGACG"])
        >>> labelled(rows, make_negatives(rows, "shuffled")).labels.tolist()
        [1, 0]
    """
    parts = (positives, background)
    offsets = np.concatenate([[0], np.cumsum(np.concatenate([part.lengths for part in parts]))]).astype(np.int64)
    loci = [locus for part in parts for locus in part.loci or (None,) * len(part)]
    places = tuple(loci) if any(locus is not None for locus in loci) else None
    labels = np.repeat(np.array([1, 0], dtype=np.int64), [len(part) for part in parts])
    names = positives.names + background.names
    return Sequences(names, np.concatenate([part.bases for part in parts]), offsets, labels, places)


def _shuffled(positives: Sequences, rows: Int64, rng: np.random.Generator) -> list[str]:
    """Shuffle each row until it is neither itself nor its reverse complement: that would be a positive labelled 0.

    Raises:
        SequenceError: Some have no other order.
    """
    shuffles: list[str] = []
    same: dict[int, None] = {}
    for i in rows.tolist():
        part = positives.bases[positives.offsets[i] : positives.offsets[i + 1]]
        itself = {decode(part), decode(reverse_complement(part))}
        tries = (decode(dinucleotide_shuffle(part, rng)) for _ in range(SHUFFLES))
        text = next((text for text in tries if text not in itself), None)
        shuffles.append(text or "")
        if text is None:
            same[i] = None
    if same:
        names = ", ".join(repr(positives.names[i]) for i in [*same][:3])
        raise SequenceError(
            f"{len(same)} of {len(positives)} positives ({names}{', ...' if len(same) > 3 else ''}) are short or "
            f"repetitive: no other order of their letters keeps every dinucleotide, so the background would be the "
            f"positive itself. Leave them out, or use another kind: gc, random."
        )
    return shuffles


def _named(strings: list[str], kind: str, loci: list[Locus] | None = None) -> Sequences:
    names = [f"{kind}_{i}" for i in range(len(strings))]
    return Sequences.from_strings(strings, np.zeros(len(strings), dtype=np.int64), names, loci)


def _like(room: Room, positives: Sequences, row: int, rng: np.random.Generator) -> Window:
    """Choose, of some random windows, the one whose GC content is nearest to that of a positive."""
    letters = positives.bases[positives.offsets[row] : positives.offsets[row + 1]]
    goal = int(gc_count(letters))
    best: Window | None = None
    nearest = letters.size + 1
    for _ in range(TRIES):
        window = room.candidate(letters.size, rng)
        if window is not None and (off := abs(int(gc_count(window[1])) - goal)) < nearest:
            best, nearest = window, off
            if off <= ALIKE * letters.size:
                break
    if best is None:
        raise room.full(letters.size)
    room.take(best[0])
    return best


@dataclass(frozen=True)
class Body:
    """Where windows of a gene may lie: a stretch behind its first exon, in pieces of the genome.

    Attributes:
        chrom, start, end, strand: The stretch, at most 40 kb from the gene's start.
        starts: Starts of transcription nearby, of any gene: windows keep 1 kb away from them.
    """

    chrom: str
    start: int
    end: int
    strand: str
    starts: tuple[int, ...]


def gene_bodies(path: Path, genome: Genome) -> Iterator[Body]:
    """Read the genes of a GTF: what lies behind the first exon of the longest transcript.

    Raises:
        FormatError: The file cannot be read, or has no exons.
    """
    transcripts: dict[tuple[str, str], dict[str, list[tuple[int, int]]]] = {}
    starts: dict[str, set[int]] = {}
    strands: dict[tuple[str, str], str] = {}
    chromosomes = {chrom.removeprefix("chr") for chrom in genome.chrom}
    for chrom, start, end, strand, gene, transcript in _exons(path):
        if chrom.removeprefix("chr") in chromosomes:
            transcripts.setdefault((chrom, gene), {}).setdefault(transcript, []).append((start, end))
            strands[chrom, gene] = strand
    for (chrom, gene), by_transcript in transcripts.items():
        for exons in by_transcript.values():
            first = min(e[0] for e in exons) if strands[chrom, gene] == "+" else max(e[1] for e in exons)
            starts.setdefault(chrom, set()).add(first)
    starts_by_chrom = {chrom: np.array(sorted(places)) for chrom, places in starts.items()}
    for (chrom, gene), by_transcript in transcripts.items():
        exons = sorted(
            max(by_transcript.values(), key=lambda exons: max(e[1] for e in exons) - min(e[0] for e in exons))
        )
        forward = strands[chrom, gene] == "+"
        low, high = exons[0][0], exons[-1][1]
        a, b = (exons[0][1], min(high, low + FARTHEST)) if forward else (max(low, high - FARTHEST), exons[-1][0])
        near = starts_by_chrom[chrom]
        near = near[(near > a - FROM_START) & (near < b + FROM_START)]
        if b > a:
            yield Body(chrom, a, b, strands[chrom, gene], tuple(near.tolist()))


_NUMBER = re.compile(r"[0-9]{1,18}")
_ATTRIBUTE = re.compile(r'(gene_id|transcript_id) "([^"]*)"')


def _exons(path: Path) -> Iterator[tuple[str, int, int, str, str, str]]:
    """Read the exons of a GTF: chromosome, 0-based half-open place, strand, gene, transcript."""
    if not path.is_file():
        raise FormatError(f"{path}: no such GTF file.")
    with path.open("rb") as raw:
        gzipped = raw.read(2) == GZIP
    any_exon, number = False, 0
    try:
        with gzip.open(path, "rt", encoding="utf-8") if gzipped else path.open(encoding="utf-8") as lines:
            for number, line in enumerate(lines, 1):
                cells = line.rstrip("\n").split("\t")
                if line.startswith("#") or len(cells) < 9 or cells[2] != "exon":
                    continue
                names = dict(_ATTRIBUTE.findall(cells[8]))
                start, end = (int(cell) if _NUMBER.fullmatch(cell) else 0 for cell in cells[3:5])
                if not 1 <= start <= end or len(names) < 2 or cells[6] not in ("+", "-"):
                    raise FormatError(
                        f"{path}, line {number}: expected an exon with start, end, strand, gene_id and transcript_id."
                    )
                any_exon = True
                yield cells[0], start - 1, end, cells[6], names["gene_id"], names["transcript_id"]
    except (UnicodeDecodeError, EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise FormatError(f"{path}, behind line {number}: the file is damaged, or no text ({error}).") from None
    if not any_exon:
        raise FormatError(f"{path}: no exons; expected a GTF with lines of the feature 'exon'.")


def _in_gene(room: Room, bodies: list[Body], length: int, rng: np.random.Generator) -> Window:
    """Take a free window of a random gene, every gene being equally likely."""
    for _ in range(TRIES):
        body = bodies[int(rng.integers(len(bodies)))]
        spare = body.end - body.start - length
        if spare < 0:
            continue
        start = body.start + int(rng.integers(spare + 1))
        if any(start - FROM_START < tss < start + length + FROM_START for tss in body.starts):
            continue
        piece = int(room.genome.find([Locus(body.chrom, start, start + length)])[0])
        if piece < 0:
            continue
        window = room.look(piece, start - int(room.genome.start[piece]), length, body.strand)
        if window is not None:
            room.take(window[0])
            return window
    raise room.full(length)


def _resampled(lengths: Int64, split: Split, rng: np.random.Generator) -> Sequences:
    """Draw the gene-body background of epdnew_nontata without replacement, cut to the lengths wanted."""
    rows = load_task("epdnew_nontata", split)
    background: Bool = np.asarray(rows.labels == 0)
    pool = rows.take(background)
    longest = int(pool.lengths.min())
    if lengths.size and lengths.max() > longest:
        raise SequenceError(
            f"A positive has {lengths.max()} nt, the gene-body background of epdnew_nontata only {longest}. Crop the "
            f"positives, or give a GTF and a genome."
        )
    if lengths.size > len(pool):
        raise FormatError(
            f"{lengths.size} are wanted; epdnew_nontata has {len(pool)} background rows in its split {split}. "
            f"Give a GTF and a genome."
        )
    sample = pool.take(rng.permutation(len(pool))[: lengths.size])
    strings = [text[:length] for text, length in zip(sample.strings(), lengths.tolist(), strict=True)]
    loci = [
        None if x is None else _head(x, length)
        for x, length in zip(sample.loci or (None,) * len(sample), lengths.tolist(), strict=True)
    ]
    names = [f"gene_body_{i}" for i in range(len(strings))]
    return Sequences.from_strings(strings, np.zeros(len(strings), dtype=np.int64), names, loci)


def _head(locus: Locus, length: int) -> Locus:
    from kmerit.io.crops import crop_locus

    return crop_locus(locus, 0, length)
