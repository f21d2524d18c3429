"""Mutation operators: what becomes of the chosen nucleotides.

Most replace base by base, never by the base that is there. Others reach further: `shuffle` rearranges the surroundings
of what was chosen, `block` replaces a window around it, `delete` and `insert` move what comes after it, and `mask`
hides the tokens over it. What a deletion moves in at the end is drawn, or read from the genome. They report what they
changed. What each keeps of a sequence stands with it, and is tested.

`harshest` and `mildest` ask the model: the base that lowers the explained logit most, and the one that lowers it least,
by exact in-silico mutagenesis of each position alone. They bound what any choice of single bases does, as long as
positions add up.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np

from kmerit.errors import CountError, UnknownName, UsageError
from kmerit.sequences import COMPLEMENT, Bool, Float, Floats, Int8, Sequences, dinucleotide_shuffle

Generators = Callable[[str], np.random.Generator]
"""What is drawn (an operator's name, a place) to its generator; equal for all methods, orders and counts."""

Draw = Callable[[Int8, np.random.Generator, Floats], Int8]
"""Bases ``[position]`` (0..3), a generator and the data's composition ``[base]`` to alleles ``[position]``."""

HIDDEN = 8
"""Added to a base that is hidden: every token over it is read as [MASK]."""

WINDOW = 5
"""How many nucleotides on either side of a chosen one are shuffled with it."""


Choice = Callable[[Int8, Float, Generators], Int8]
Refill = Callable[[Int8, Bool, Float], Int8]
Answers = Mapping[str, Float]
"""By an operator's ``source``, what was answered of one sequence: ``[position, base]``."""
EFFECTS = "effects"

BLOCK = 10
"""Nucleotides of the window that ``block`` replaces."""

Kept = Literal["other positions", "order", "letters", "GC", "dinucleotides"]
"""What an operator keeps of a sequence: the letters that were not chosen, where they are (other positions) or in their
order; how often each letter occurs (letters), G or C, and each dinucleotide."""


@dataclass(frozen=True)
class Operator:
    """A rule of mutation.

    Attributes:
        name: Its registered name.
        summary: What it does, in a line.
        mutate: Bases ``[position]``, the chosen positions ``bool [mutant, position]``, generators and the data's
            composition to mutants ``int8 [mutant, position]``.
        keeps: What it keeps of a sequence, in addition to its length.
        exact: Whether exactly the chosen positions get another base.
        choose: In place of ``mutate`` where a model is asked: bases ``[position]``, its answer ``[position, base]`` and
            generators to alleles ``[position]``.
        source: What is asked for: ``EFFECTS``, the exact change of the explained logit by each substitution; or the
            probabilities of each letter, of the masked language model of this name; or the flank, of ``genome``.
        room: Nucleotides that a sequence must have: the width of a window that was asked for.
        refill: In place of ``mutate`` where flanks are read: bases ``[position]``, the chosen positions ``bool [mutant,
            position]`` and the flank ``[position, base]`` to mutants.
        genome: The FASTA of the flanks.
    """

    name: str
    summary: str
    mutate: Callable[[Int8, Bool, Generators, Floats], Int8]
    keeps: tuple[Kept, ...] = ()
    exact: bool = True
    choose: Choice | None = None
    source: str = ""
    room: int = 1
    refill: Refill | None = None
    genome: str = ""

    @property
    def asks(self) -> bool:
        """Return whether something must be asked of each sequence before it is mutated."""
        return self.choose is not None or self.refill is not None


def _by_base(name: str, summary: str, draw: Draw, keeps: tuple[Kept, ...], exact: bool = True) -> Operator:
    """Make an operator of one allele per position."""

    def mutate(bases: Int8, chosen: Bool, generators: Generators, composition: Floats) -> Int8:
        return np.where(chosen, draw(bases, generators(name), composition), bases)

    return Operator(name, summary, mutate, ("other positions", *keeps), exact)


def _asking(name: str, summary: str, choose: Choice, source: str = EFFECTS) -> Operator:
    """Make an operator whose alleles follow from what a model answers."""

    def mutate(bases: Int8, chosen: Bool, generators: Generators, composition: Floats) -> Int8:
        raise UsageError(f"{name} needs what a model answers; give it with mutants_of(..., answers=...).")

    return Operator(name, summary, mutate, ("other positions",), choose=choose, source=source)


def _infill(bases: Int8, odds: Float, generators: Generators) -> Int8:
    """Draw another base, each as probable as a masked language model finds it there."""
    others = np.where(np.arange(4) == bases[:, None], 0.0, odds) + np.where(np.arange(4) == bases[:, None], 0.0, 1e-12)
    upto = np.cumsum(others, axis=1)
    uniform = generators("infill").random(bases.size)[:, None] * upto[:, -1:]
    return np.asarray((uniform >= upto).sum(axis=1), dtype=np.int8)


def _extreme(sign: int) -> Choice:
    """Make the choice of the other base with the lowest ``sign * effect``; of equal ones the first."""

    def choose(bases: Int8, effects: Float, generators: Generators) -> Int8:
        others = np.where(np.arange(4) == bases[:, None], np.inf, sign * effects)
        return np.asarray(others.argmin(axis=1), dtype=np.int8)

    return choose


def _random_other(bases: Int8, generator: np.random.Generator, composition: Floats) -> Int8:
    return np.asarray((bases + generator.integers(1, 4, size=bases.size)) % 4, dtype=np.int8)


def _complement(bases: Int8, generator: np.random.Generator, composition: Floats) -> Int8:
    return np.asarray(COMPLEMENT[bases])


def _transition(bases: Int8, generator: np.random.Generator, composition: Floats) -> Int8:
    return np.asarray(bases ^ 2)  # A = 0 and G = 2, C = 1 and T = 3


def _background(bases: Int8, generator: np.random.Generator, composition: Floats) -> Int8:
    share = np.where(np.eye(4, dtype=np.bool_), 0.0, composition)
    upto = np.cumsum(share, axis=1)
    upto /= upto[:, -1:]
    return np.asarray((generator.random(bases.size)[:, None] >= upto[bases]).sum(axis=1), dtype=np.int8)


def _mask(bases: Int8, generator: np.random.Generator, composition: Floats) -> Int8:
    return np.asarray(bases + HIDDEN, dtype=np.int8)


def _shuffle(width: int) -> Operator:
    def mutate(bases: Int8, chosen: Bool, generators: Generators, composition: Floats) -> Int8:
        """Shuffle each stretch that the windows of chosen nucleotides cover; the same stretch always alike."""
        mutants = np.repeat(bases[None], len(chosen), axis=0)
        shuffles: dict[tuple[int, int], Int8] = {}
        for mutant, positions in zip(mutants, chosen, strict=True):
            for start, end in windows(positions, width // 2):
                if (start, end) not in shuffles:
                    shuffles[start, end] = dinucleotide_shuffle(bases[start:end], generators(f"shuffle {start}-{end}"))
                mutant[start:end] = shuffles[start, end]
        return mutants

    summary = f"the {width // 2} nt around each, in another order with the same dinucleotides"
    return Operator("shuffle", summary, mutate, ("letters", "GC", "dinucleotides"), exact=False)


def _block(width: int) -> Operator:
    def mutate(bases: Int8, chosen: Bool, generators: Generators, composition: Floats) -> Int8:
        """Replace the window around each; at the ends of the sequence it lies inside, as wide as elsewhere."""
        alleles = _random_other(bases, generators("random_other"), composition)
        starts = np.clip(np.arange(bases.size) - width // 2, 0, bases.size - width)
        covers = (np.arange(bases.size) >= starts[:, None]) & (np.arange(bases.size) < starts[:, None] + width)
        return np.where(chosen.astype(np.float32) @ covers.astype(np.float32) > 0, alleles, bases)

    summary = f"the window of {width} nt around each: every base becomes one of the three others"
    return Operator("block", summary, mutate, exact=width == 1, room=width)


def _delete(bases: Int8, chosen: Bool, generators: Generators, composition: Floats) -> Int8:
    """Close the gaps, and refill the end with letters of a flank that is drawn once."""
    return _closed(bases, chosen, generators("delete").choice(4, size=bases.size, p=composition).astype(np.int8))


def _closed(bases: Int8, chosen: Bool, flank: Int8) -> Int8:
    return np.stack([np.concatenate([bases[~each], flank])[: bases.size] for each in chosen])


def _insert(bases: Int8, chosen: Bool, generators: Generators, composition: Floats) -> Int8:
    """Put a letter before each; what is pushed over the end is cut."""
    letters = generators("insert").choice(4, size=bases.size, p=composition).astype(np.int8)
    both = np.stack([letters, bases], axis=1)
    return np.stack([both[np.stack([each, np.ones_like(each)], axis=1)][: bases.size] for each in chosen])


def windows(chosen: Bool, reach: int) -> list[tuple[int, int]]:
    """Find the stretches within ``reach`` nucleotides of a chosen one; those that touch are one.

    Example:
        >>> windows(np.arange(20) % 19 == 0, 2)
        [(0, 3), (17, 20)]
    """
    near = np.convolve(chosen, np.ones(2 * reach + 1), mode="full")[reach : reach + chosen.size] > 0
    edges = np.flatnonzero(np.diff(np.concatenate([[False], near, [False]]).astype(np.int8)))
    return [(int(start), int(end)) for start, end in edges.reshape(-1, 2)]


OPERATORS: dict[str, Operator] = {
    operator.name: operator
    for operator in (
        _by_base("random_other", "one of the three other bases, equally likely (the paper's)", _random_other, ()),
        _by_base("complement", "A <-> T, C <-> G", _complement, ("GC",)),
        _by_base("transition", "A <-> G, C <-> T", _transition, ()),
        _by_base("background", "one of the three others, as frequent as in the data", _background, ()),
        _shuffle(2 * WINDOW + 1),
        _by_base(
            "mask", "no other base: the tokens over it become [MASK]", _mask, ("letters", "GC", "dinucleotides"), False
        ),
        _block(BLOCK),
        Operator(
            "delete",
            "it is taken out; the end is refilled with letters as frequent as in the data",
            _delete,
            ("order",),
            exact=False,
        ),
        Operator(
            "insert",
            "a letter, as frequent as in the data, is put before it; the end is cut",
            _insert,
            ("order",),
            exact=False,
        ),
        _asking("harshest", "the base that lowers the explained logit most, alone: an upper bound", _extreme(1)),
        _asking("mildest", "the base that lowers the explained logit least, alone: a lower bound", _extreme(-1)),
    )
}
INFILL = "infill"
_INFILL = re.compile(r"infill\((.+)\)")


def infill(model: str) -> Operator:
    """Make the operator that draws letters from a masked language model, by its folder or name."""
    return _asking(
        f"{INFILL}({model})", "another base, as probable as a masked language model finds it", _infill, model
    )


_DELETE = re.compile(r"delete\((.*[^\d].*)\)")


def delete_from(genome: str) -> Operator:
    """Make the operator that refills the end with the letters that follow on the genome, by its FASTA."""

    def mutate(bases: Int8, chosen: Bool, generators: Generators, composition: Floats) -> Int8:
        raise UsageError(f"{name} needs the flanks of the sequences; give them with mutants_of(..., answers=...).")

    def refill(bases: Int8, chosen: Bool, flank: Float) -> Int8:
        return _closed(bases, chosen, flank.argmax(axis=1).astype(np.int8))

    name = f"delete({genome})"
    summary = "it is taken out; the letters that follow on the genome move in at the end"
    return Operator(
        name, summary, mutate, ("order",), exact=False, source=f"flank({genome})", refill=refill, genome=genome
    )


_OF_WIDTH: dict[str, Callable[[int], Operator]] = {"block": _block, "shuffle": _shuffle}
_WITH_WIDTH = re.compile(r"(\w+)\((\d{1,6})\)")


def operator_named(name: str) -> Operator:
    """Find an operator; ``block(25)`` and ``shuffle(101)`` say how many nucleotides a window has.

    A sequence must be as long as the window that is asked for (`check_room`). ``shuffle`` without a width asks for
    none: it rearranges up to 5 nt on either side of what was chosen, fewer in a shorter sequence.

    ``infill(MODEL)`` names the masked language model that letters are drawn from, ``delete(GENOME)`` the FASTA that
    the end is refilled from.

    Raises:
        UnknownName: With the nearest name.
        UsageError: A width that it cannot have, or an operator that has none.

    Example:
        >>> operator_named("block(25)").summary
        'the window of 25 nt around each: every base becomes one of the three others'
        >>> chosen = np.array([[True, False]])
        >>> mutate = operator_named("complement").mutate
        >>> mutate(np.array([0, 1], np.int8), chosen, lambda purpose: np.random.default_rng(0), np.ones(4)).tolist()
        [[3, 1]]
    """
    if name == INFILL:
        raise UsageError("infill draws letters from a masked language model; name it: infill(FOLDER).")
    if match := _INFILL.fullmatch(name):
        return infill(match[1])
    if match := _DELETE.fullmatch(name):
        return delete_from(match[1])
    if wide := _WITH_WIDTH.fullmatch(name):
        base, width = wide[1], int(wide[2])
        if base in OPERATORS and base not in _OF_WIDTH:
            raise UsageError(f"{name}: {base} has no width; {' and '.join(_OF_WIDTH)} have. Leave it out.")
        if base in _OF_WIDTH:
            if width < 1 or (base == "shuffle" and (width < 3 or width % 2 == 0)):
                least = "an odd number of nt from 3" if base == "shuffle" else "at least 1 nt"
                raise UsageError(f"{name}: expected {least} for the window, got {width}.")
            operator, usual = _OF_WIDTH[base](width), OPERATORS[base]
            return replace(operator, name=base if operator.summary == usual.summary else name, room=width)
    if name not in OPERATORS:
        raise UnknownName("operator", name, OPERATORS)
    return OPERATORS[name]


def check_room(operators: Iterable[Operator], sequences: Sequences) -> None:
    """Refuse operators that a sequence has no room for.

    Raises:
        CountError: With the operator and the sequence.

    Example:
        >>> check_room([operator_named("block(25)")], Sequences.from_strings(["ACGT"]))
        Traceback (most recent call last):
        kmerit.errors.CountError: block(25) needs a window of 25 nt; 'seq0' has 4. Give a narrower one, or leave ...
    """
    shortest = int(np.argmin(sequences.lengths))
    for operator in operators:
        if operator.room > (length := int(sequences.lengths[shortest])):
            raise CountError(
                f"{operator.name} needs a window of {operator.room} nt; {sequences.names[shortest]!r} has {length}. "
                f"Give a narrower one, or leave shorter sequences out (--min-length)."
            )


def revealed(bases: Int8) -> tuple[Int8, Bool]:
    """Separate the bases of mutants from the mask of hidden positions; -1 (padding) stays.

    Example:
        >>> [part.tolist() for part in revealed(np.array([2, 2 + HIDDEN, -1], dtype=np.int8))]
        [[2, 2, -1], [False, True, False]]
    """
    hidden = bases >= HIDDEN
    return np.where(hidden, bases - HIDDEN, bases).astype(np.int8), hidden


def composition(sequences: Sequences) -> Floats:
    """Count the bases of the data, as shares ``[base]`` in the order ACGT.

    One is added to each count, so that an operator can always draw another base.

    Example:
        >>> composition(Sequences.from_strings(["AACC"])).round(3).tolist()
        [0.375, 0.375, 0.125, 0.125]
    """
    counts = np.array([np.count_nonzero(sequences.bases == base) for base in range(4)]) + 1
    return np.asarray(counts / counts.sum(), dtype=np.float64)
