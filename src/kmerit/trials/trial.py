"""The trial by mutagenesis:
a core that gives the verdict, satellites that put it in perspective, and single curves.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self, overload

import numpy as np
from numpy.typing import NDArray

from kmerit.errors import UnknownName, UsageError, short
from kmerit.io.crops import Tiles
from kmerit.io.readers import SequencesLike
from kmerit.results import Attribution, Outcomes, known_or, value_name
from kmerit.sequences import Bool, Int64, Sequences, generator
from kmerit.store import Share, Work
from kmerit.trials.controls import CONTROLS, OF_A_METHOD, RANDOM, SHIFTED, check_controls, is_control
from kmerit.trials.design import Design, Prospect, prospects
from kmerit.trials.execution import (
    Arm,
    Progress,
    Scores,
    begun_in,
    classes_of,
    clusters_of,
    inputs_of,
    is_line,
    on_trial,
    perform,
    true_classes,
    with_signs,
)
from kmerit.trials.operators import check_room, composition, operator_named
from kmerit.trials.rankings import GREEDY, ISM, Bounds, as_numbers, check_counts, check_listed, is_bound, order_named
from kmerit.trials.verdicts import OPERATOR, ORDER

if TYPE_CHECKING:
    from kmerit.models.model import Model


Attributions = Attribution | Mapping[str, Any] | Sequence[Any] | NDArray[Any] | str | Path
"""What ranks: one attribution, several by name, a file of them, or arrays as `own_scores` takes them."""
PAPER_COUNTS = (0, 1, 5, 10, 15, 20, "all")


@overload
def mutate(
    model: Model,
    sequences: SequencesLike,
    attributions: Attributions,
    counts: Sequence[int | str] = ...,
    replicates: int = ...,
    random_sets: int = ...,
    operator: str | Sequence[str] = ...,
    order: str | Sequence[str] = ...,
    seed: int = ...,
    out: None = ...,
    progress: Progress | None = ...,
    controls: Sequence[str] = ...,
    tiles: Tiles | None = ...,
) -> Outcomes: ...


@overload
def mutate(
    model: Model,
    sequences: SequencesLike,
    attributions: Attributions,
    counts: Sequence[int | str] = ...,
    replicates: int = ...,
    random_sets: int = ...,
    operator: str | Sequence[str] = ...,
    order: str | Sequence[str] = ...,
    seed: int = ...,
    *,
    out: str | Path,
    progress: Progress | None = ...,
    controls: Sequence[str] = ...,
    tiles: Tiles | None = ...,
) -> Path: ...


def mutate(
    model: Model,
    sequences: SequencesLike,
    attributions: Attributions,
    counts: Sequence[int | str] = PAPER_COUNTS,
    replicates: int = 5,
    random_sets: int = 0,
    operator: str | Sequence[str] = "random_other",
    order: str | Sequence[str] = "morf",
    seed: int = 0,
    out: str | Path | None = None,
    progress: Progress | None = None,
    controls: Sequence[str] = (),
    tiles: Tiles | None = None,
) -> Outcomes | Path:
    """Mutate the nucleotides that each method ranks first, and classify every distinct mutant once.

    All methods and counts share their alleles and their ties, so that curves differ by the rankings alone.

    Args:
        model: What classifies. Of one that predicts several labels or values, the one that the scores explain: a label
            is a task with the classes no and yes.
        sequences: What to mutate, as `attribute` takes it; without N.
        attributions: Scores per nucleotide of one method, of several by name, or the Parquet file of them; or arrays as
            `own_scores` takes them, which explain the predicted class. The method ``random`` is called
            ``random_scores`` where there is the control ``random``.
        counts: Numbers of nucleotides to mutate, shares of the length (``"10%"``, of sequences of one length), and
            ``"all"``.
        replicates: Draws of alleles.
        random_sets: Random rankings per sequence, the control ``"random"``.
        operator: Name of what becomes of a chosen base, or several (``kmerit list operators``).
        order: ``"morf"``, ``"lerf"``, ``"insertion"``, or several.
        seed: Of every draw.
        out: A folder: then results go to disk chunk by chunk, and a trial that was stopped continues.
        progress: Called with the sequences finished and their number.
        controls: What a verdict compares with: ``shifted``, ``clump`` and ``other`` decide it, ``context`` its second
            answer; ``random``, the paper's, has as many sets as replicates, unless ``random_sets`` says otherwise. A
            control that cannot be formed for a sequence has no cells.
        tiles: How longer sequences are taken apart, as the scores were made. A mutant's answer is the mean over its
            tiles, as `Model.predict` gives it; of classes, its logits are the logarithms of the mean probabilities,
            less their mean. Tokens changed are counted in all tiles.

    Returns:
        The raw outcomes, or the folder they are in.

    Raises:
        SequenceError: No sequence, an N, or attributions of other sequences.
        CountError: A count above a sequence's length.
        UsageError: Nothing to do, no replicates, or scores that were made with other tiles.
        UnknownName: An operator, order or control that does not exist.
        TargetError: Methods that explain different classes, or scores of several labels or values.
        RunMismatch: The folder holds another trial.

    Example:
        >>> import kmerit as km
        >>> model = km.load_model("bundled:promoter")
        >>> sequences = km.Sequences.from_strings(["TATAAAGGCGCGCC", "GGGCGGGGCTTCCG"])
        >>> scores = km.attribute(model, sequences, methods=["attention", "lrp"])
        >>> outcomes = km.mutate(model, sequences, scores, counts=[0, 5, "all"], replicates=2)
        >>> outcomes.diagnostics["naive_evaluations"]
        24
    """
    _check_numbers(replicates, random_sets, seed)
    names = check_controls(_listed(controls))
    random_sets = random_sets or (replicates if RANDOM in names else 0)
    controlled = random_sets > 0 or bool(names)
    model, sequences, scores, renamed = on_trial(model, sequences, attributions, controlled=controlled, tiles=tiles)
    folder = None if out is None else Path(out)
    model = model.fitted(sequences, begun=begun_in(folder))
    design = _design(scores, sequences, counts, replicates, random_sets, operator, order, seed, names)
    arm = Arm("mutagenesis", design, np.ones(len(sequences), dtype=np.bool_))
    settings = {
        **described(design),
        **inputs_of(model, sequences, scores),
        **({"controls": list(names)} if names else {}),
    }
    settings |= {"renamed": renamed} if renamed else {}
    return perform(model, sequences, scores, [arm], settings, folder, progress, clusters_of(sequences))


def _design(
    scores: Scores,
    sequences: Sequences,
    counts: Sequence[int | str],
    replicates: int,
    random_sets: int,
    operator: str | Sequence[str],
    order: str | Sequence[str],
    seed: int,
    controls: tuple[str, ...],
) -> Design:
    check_listed(counts)
    if not len(counts) or replicates < 1 or random_sets < 0:
        raise UsageError(
            f"Expected counts, at least 1 replicate and no negative number of random sets, got counts={counts!r}, "
            f"replicates={replicates}, random_sets={random_sets}."
        )
    if controls:
        check_methods(scores.methods)
    numbers, full = columns(sequences, counts)
    operators = tuple(operator_named(name) for name in _listed(operator))
    check_room(operators, sequences)
    return Design(
        methods=scores.methods,
        operators=operators,
        orders=tuple(order_named(name) for name in _listed(order)),
        counts=numbers,
        full=full,
        replicates=replicates,
        random_sets=random_sets,
        seed=seed,
        composition=composition(sequences),
        controls=tuple(each for each in controls if each != RANDOM),
    )


def _check_numbers(replicates: int, random_sets: int, seed: int) -> None:
    for name, number in (("replicates", replicates), ("random_sets", random_sets), ("seed", seed)):
        if not isinstance(number, int) or isinstance(number, bool):
            raise UsageError(f"{name}: expected a whole number, got {short(number)}.")


def columns(sequences: Sequences, counts: Sequence[int | str], key: str = "counts") -> tuple[tuple[int, ...], bool]:
    """Sort counts, shares of the length among them, and tell whether all positions are mutated too.

    Raises:
        CountError: A count above a sequence's length.
    """
    lengths, counts = sequences.lengths, as_numbers(counts, sequences, key=key)
    shortest = int(np.argmin(lengths))
    check_counts(counts, int(lengths[shortest]), sequences.names[shortest], key=key)
    # Where every sequence has this very length, its count and "all" are one column.
    full = "all" in counts or lengths.max() in counts
    return tuple(sorted({int(n) for n in counts if n != "all" and not (full and n == lengths.max())})), full


def check_methods(methods: Sequence[str]) -> None:
    """Refuse methods that would be taken for a control, or for the second line of a method.

    Raises:
        UsageError: With the name.
    """
    for name in methods:
        if is_line(name):
            raise UsageError(
                f"{name!r} is the name of a second ranking of a method, which a trial makes itself. Rename that "
                f"method, or leave it out."
            )
        if name in CONTROLS or is_control(name):
            raise UsageError(f"{name!r} is the name of a control. Rename that method, or leave it out.")


def _listed(names: str | Sequence[str]) -> tuple[str, ...]:
    if not isinstance(names, str | Iterable):
        raise UsageError(f"Expected a name or a list of names, got {short(names)}.")
    return (names,) if isinstance(names, str) else tuple(dict.fromkeys(names))


def described(design: Design) -> dict[str, Any]:
    """List what of a design determines the outcomes; equal settings, equal bytes."""
    return {
        "methods": list(design.methods),
        "operators": [each.name for each in design.operators],
        "orders": [each.name for each in design.orders],
        "counts": [*design.counts, *(["all"] if design.full else [])],
        "replicates": design.replicates,
        "random_sets": design.random_sets,
        "seed": design.seed,
        "composition": design.composition.tolist(),
    }


Announce = Callable[[list[Prospect]], None]
"""Is given what the verdicts of each class can show."""


@dataclass(frozen=True)
class Grid:
    """What a trial mutates; `Grid.fair`, `Grid.quick` and `Grid.paper` are its presets.

    The core: every sequence, ``random_other``, most relevant first, with all controls. The satellites: fewer sequences,
    one draw, the methods' own signs with the controls ``random`` and ``shifted``. Each smaller set of sequences is part
    of the larger ones.

    Attributes:
        counts: Nucleotides mutated, in the core and under the other orders; ``"10%"`` is a share of the length.
        draws: Of alleles, in the core; one ranking of each control but ``random`` for each.
        random_sets: Random rankings, in the core.
        sizes: Whether a method whose sign matters gets a second ranking, by the size of its scores; on a value it gets
            one from the lowest score up instead.
        satellite_per_class: Sequences of each class under other orders and operators; 0: none.
        orders: The other orders, under ``random_other``; none for ``()``.
        operators: The other operators, most relevant first; none for ``()``.
        operator_count: Nucleotides mutated under those, in addition to all.
        ism_per_class: Sequences of each class whose in-silico mutagenesis is done, a bound, which the margin of *no
            better than its controls* is measured on; 0: none.
        greedy_per_class: Sequences of each class that get a greedy order, the other bound; 0: none.
        greedy_count: How many positions greedy chooses.
        greedy_candidates: Among how many of in-silico mutagenesis's first.

    Example:
        >>> Grid(counts=(5, 20), orders=()).draws
        2
    """

    counts: tuple[int | str, ...] = (1, 5, 10, 20, "all")
    draws: int = 2
    random_sets: int = 4
    sizes: bool = True
    satellite_per_class: int = 50
    orders: tuple[str, ...] = ("lerf", "insertion")
    operators: tuple[str, ...] = ("complement", "transition", "background", "shuffle", "mask")
    operator_count: int = 20
    ism_per_class: int = 50
    greedy_per_class: int = 25
    greedy_count: int = 10
    greedy_candidates: int = 30

    @classmethod
    def fair(cls) -> Grid:
        """Give the default grid: all controls, satellites under other orders and operators, both bounds.

        Example:
            >>> Grid.fair() == Grid()
            True
        """
        return cls()

    @classmethod
    def quick(cls) -> Grid:
        """Give the grid of a first look: two counts and all, one draw, no lines by size, no satellites, no bounds.

        Without in-silico mutagenesis there is no margin, and nothing is called *no better than its controls*.

        Example:
            >>> Grid.quick().counts
            (5, 20, 'all')
        """
        return cls(
            counts=(5, 20, "all"),
            draws=1,
            random_sets=2,
            sizes=False,
            satellite_per_class=0,
            orders=(),
            operators=(),
            ism_per_class=0,
            greedy_per_class=0,
        )

    @classmethod
    def paper(cls) -> Grid:
        """Give the grid of the paper's experiment: its counts and draws, with controls, without satellites and bounds.

        Without in-silico mutagenesis there is no margin, and nothing is called *no better than its controls*.

        Source: consens2023, section 4.

        Example:
            >>> Grid.paper().counts
            (0, 1, 5, 10, 15, 20, 'all')
        """
        return cls(
            counts=(0, 1, 5, 10, 15, 20, "all"),
            draws=5,
            random_sets=20,
            sizes=False,
            satellite_per_class=0,
            orders=(),
            operators=(),
            ism_per_class=0,
            greedy_per_class=0,
        )

    def __new__(cls, *args: Any, **settings: Any) -> Self:
        """Refuse a setting that a grid does not have, with the nearest name."""
        known = [field.name for field in fields(cls)]
        if unknown := next((name for name in settings if name not in known), None):
            raise UnknownName("setting of a Grid", unknown, known)
        return super().__new__(cls)

    def __post_init__(self) -> None:
        at_least = {field.name: 0 for field in fields(self) if field.name.endswith("per_class")}
        at_least |= dict.fromkeys(["draws", "random_sets", "operator_count", "greedy_count", "greedy_candidates"], 1)
        check_listed(self.counts, key="Grid: counts")
        for name in ("orders", "operators"):
            if isinstance(getattr(self, name), str) or not isinstance(getattr(self, name), Sequence):
                raise UsageError(f"Grid: expected a list of {name}, got {short(getattr(self, name))}.")
        for name, least in at_least.items():
            if not isinstance(getattr(self, name), int) or isinstance(getattr(self, name), bool):
                raise UsageError(f"Grid: {name}: expected a whole number, got {short(getattr(self, name))}.")
            if getattr(self, name) < least:
                raise UsageError(f"Grid: expected {name} of at least {least}, got {getattr(self, name)}.")
        if not {count for count in self.counts if count != 0}:
            raise UsageError(f"Grid: expected counts above 0, got {self.counts!r}.")
        for name, core in (("operators", OPERATOR), ("orders", ORDER)):
            names = getattr(self, name)
            if core in names or len(set(names)) < len(names):
                raise UsageError(
                    f"Grid: {name} lists others than {core!r}, which is always included, each once; got "
                    f"{', '.join(map(repr, names))}."
                )
        if self.greedy_per_class and self.greedy_candidates < self.greedy_count:
            raise UsageError(
                f"Grid: greedy chooses greedy_count={self.greedy_count} positions among greedy_candidates="
                f"{self.greedy_candidates}; give at least as many candidates."
            )
        if self.greedy_per_class > self.ism_per_class:
            raise UsageError(
                f"Grid: greedy orders are chosen by in-silico mutagenesis, so greedy_per_class={self.greedy_per_class} "
                f"must not exceed ism_per_class={self.ism_per_class}."
            )


PRESETS: Mapping[str, Callable[[], Grid]] = {"fair": Grid.fair, "paper": Grid.paper, "quick": Grid.quick}
"""Grids by name."""


@overload
def trial(
    model: Model,
    sequences: SequencesLike,
    attributions: Attributions,
    grid: Grid | None = ...,
    *,
    seed: int = ...,
    out: None = ...,
    progress: Progress | None = ...,
    announce: Announce | None = ...,
    share: None = ...,
    tiles: Tiles | None = ...,
    judging: Mapping[str, Any] | None = ...,
) -> Outcomes: ...


@overload
def trial(
    model: Model,
    sequences: SequencesLike,
    attributions: Attributions,
    grid: Grid | None = ...,
    *,
    seed: int = ...,
    out: str | Path,
    progress: Progress | None = ...,
    announce: Announce | None = ...,
    share: Work | None = ...,
    tiles: Tiles | None = ...,
    judging: Mapping[str, Any] | None = ...,
) -> Path: ...


def trial(
    model: Model,
    sequences: SequencesLike,
    attributions: Attributions,
    grid: Grid | None = None,
    *,
    seed: int = 0,
    out: str | Path | None = None,
    progress: Progress | None = None,
    announce: Announce | None = None,
    share: Work | None = None,
    tiles: Tiles | None = None,
    judging: Mapping[str, Any] | None = None,
) -> Outcomes | Path:
    """Put methods on a fair trial: against controls, under several operators and orders, with bounds.

    Every distinct mutant of the whole grid is classified once. Give the outcome to `judge`. On a model that predicts a
    value, a method whose sign matters has two lines: its own, from the highest score down, whose mutation is to lower
    the value, and ``negative(NAME)``, from the lowest score up, whose mutation is to raise it.

    Args:
        model: What classifies, or predicts a value. Of one that predicts several labels or values, the one that the
            scores explain; a label is a task with the classes no and yes.
        sequences: What to mutate, as `attribute` takes it; without N. All of them are in the core.
        attributions: As for `mutate`.
        grid: What is mutated; `Grid.fair` where absent.
        seed: Of every draw.
        out: A folder: then results go to disk chunk by chunk, and a trial that was stopped continues.
        progress: Called with the sequences finished and their number.
        announce: Called before any mutant is classified, with what the verdicts of each class can show.
        share: What of it is done: ``"plan"`` records what determines the outcomes, a `kmerit.store.Share`
            classifies its chunks, and ``"gather"`` joins them; by default all is done. The bytes are the same.
        tiles: As for `mutate`.
        judging: With ``share``, how the outcomes will be judged, such as ``{"resamples": 2000}``: a part that says
            otherwise than the plan is refused. The outcomes do not depend on it.

    Returns:
        The raw outcomes, or the folder they are in.

    Raises:
        SequenceError: No sequence, an N, or attributions of other sequences.
        CountError: A count above a sequence's length.
        UsageError: A method that is called like a control, a bound, or the second line of a method; or scores that were
            made with other tiles.
        UnknownName: An operator or order that does not exist.
        TargetError: Methods that explain different classes, or scores of several labels or values.
        RunMismatch: The folder holds another trial, or the plan is another.

    Example:
        >>> import kmerit as km
        >>> model = km.load_model("bundled:promoter")
        >>> sequences = km.Sequences.from_strings(["TATAAAGGCGCGCC" * 2, "GGGCGGGGCTTCCG" * 2], labels=[1, 0])
        >>> scores = km.attribute(model, sequences, methods=["lrp"])
        >>> small = Grid(counts=(1, "all"), draws=1, operator_count=2, ism_per_class=0, greedy_per_class=0)
        >>> counted = km.trial(model, sequences, scores, small).diagnostics
        >>> counted["evaluations"] < counted["naive_evaluations"]
        True
    """
    grid = _grid(grid)
    model, sequences, scores, renamed = on_trial(model, sequences, attributions, tiles=tiles)
    folder = None if out is None else Path(out)
    model = model.fitted(sequences, begun=begun_in(folder))
    check_methods(scores.methods)
    if bound := next((name for name in scores.methods if is_bound(name)), None):
        raise UsageError(f"{bound!r} is the name of a bound. Rename that method, or leave it out.")
    own, signs = scores.methods, dict.fromkeys(scores.methods, "")
    if grid.sizes or model.regression:
        scores, signs = with_signs(scores, sizes=grid.sizes and not model.regression, negatives=model.regression)
    clusters = None if isinstance(share, Share) else clusters_of(sequences)
    expected = [] if clusters is None else prospects_of(model, sequences, scores, clusters)  # of the whole
    if announce is not None and expected:
        announce(expected)
    arms = _arms(sequences, scores, own, grid, seed)
    core, members = arms[0].design, {arm.name: arm.members for arm in arms}
    nobody = np.zeros(len(sequences), dtype=np.bool_)
    bounds = Bounds(
        model,
        scores.targets,
        seed,
        core.composition,
        members.get("ism", nobody),
        members.get("greedy", nobody),
        grid.greedy_count,
        grid.greedy_candidates,
    )
    settings = {
        **described(core),
        **inputs_of(model, sequences, scores),
        "controls": list(CONTROLS),
        "signs": signs,
        **({"renamed": renamed} if renamed else {}),
        "grid": {
            **{key: list(each) if isinstance(each, tuple) else each for key, each in asdict(grid).items()},
            "sequences": {arm.name: int(arm.members.sum()) for arm in arms},
        },
    }
    extra = bounds if "ism" in members else None
    known = {"prospects": [asdict(each) for each in expected]}
    return perform(model, sequences, scores, arms, settings, folder, progress, clusters, extra, known, share, judging)


def _grid(grid: object) -> Grid:
    """Give the grid asked for, `Grid.fair` where none is.

    Raises:
        UsageError: It is no grid.
    """
    if grid is None:
        return Grid.fair()
    if not isinstance(grid, Grid):
        presets = "Grid.fair(), Grid.quick() or Grid.paper()"
        raise UsageError(f"grid: expected a Grid, such as {presets}, got {short(grid)}.")
    return grid


def prospects_of(model: Model, sequences: Sequences, scores: Scores, clusters: Int64) -> list[Prospect]:
    """State for each class, or for the value, what its number of sequences can show, before any is mutated."""
    questions = len(scores.methods)
    if model.regression:
        together = np.zeros(len(sequences), dtype=np.int64)
        return prospects(together, None, clusters, [value_name(model.labels[0])], questions)
    predicted = np.asarray(model.logits(sequences).argmax(axis=1), dtype=np.int64)
    classes = known_or(true_classes(sequences), predicted)
    return prospects(classes, classes == predicted, clusters, list(model.labels), questions)


def _arms(sequences: Sequences, scores: Scores, own: tuple[str, ...], grid: Grid, seed: int) -> list[Arm]:
    """Lay the grid out as designs over nested sets of sequences; an arm that nobody takes part in is left out."""
    counts, full = columns(sequences, (0, *grid.counts))
    if grid.operators and grid.satellite_per_class:
        columns(sequences, (grid.operator_count,), "operator_count")
    other_operators = [operator_named(name) for name in grid.operators]
    check_room(other_operators, sequences)
    orders = [order_named(name) for name in grid.orders]
    sizes = (grid.satellite_per_class, grid.ism_per_class, grid.greedy_per_class)
    nobody = np.zeros(len(sequences), dtype=np.bool_)
    order = by_lot(classes_of(sequences, scores), sequences.names, seed) if any(sizes) else nobody
    nonzero_counts = tuple(count for count in counts if count)

    def design(methods: tuple[str, ...], **changed: Any) -> Design:
        common: dict[str, Any] = {
            "operators": (operator_named(OPERATOR),),
            "orders": (order_named(ORDER),),
            "counts": nonzero_counts,
            "full": full,
            "replicates": 1,
            "random_sets": 1,
            "seed": seed,
            "composition": composition(sequences),
            "controls": (SHIFTED,),
        }
        return Design(methods=methods, **{**common, **changed})

    bare: Mapping[str, Any] = {"full": False, "random_sets": 0, "controls": ()}
    first = tuple(count for count in nonzero_counts if count <= grid.greedy_count)
    every = {"controls": OF_A_METHOD, "replicates": grid.draws, "random_sets": grid.random_sets}
    core = design(scores.methods, counts=counts, **every)
    arms = [Arm("core", core, np.ones(len(sequences), dtype=np.bool_))]
    some, few, fewest = (order < most for most in sizes)
    if orders:
        arms.append(Arm("orders", design(own, orders=tuple(orders)), some))
    if other_operators:
        satellite = {"operators": tuple(other_operators), "counts": (grid.operator_count,), "full": True}
        arms.append(Arm("operators", design(own, **satellite), some))
    if nonzero_counts:
        both = (order_named("morf"), order_named("lerf"))
        arms.append(Arm("ism", design((ISM,), orders=both, **bare), few))
    if first:
        arms.append(Arm("greedy", design((GREEDY,), counts=first, **bare), fewest))
    return [arm for arm in arms if arm.members.any()]


def by_lot(classes: Int64, names: tuple[str, ...], seed: int) -> Int64:
    """Number the sequences within their class in a random order, ``int64 [sequence]``."""
    lots = np.array([generator(seed, "satellites", 0, name).random() for name in names])
    numbers: Int64 = np.zeros(classes.size, dtype=np.int64)
    for label in np.unique(classes):
        rows: Bool = classes == label
        numbers[rows] = np.argsort(np.argsort(lots[rows]))
    return numbers


def evaluations(diagnostics: Mapping[str, Any]) -> dict[str, Any]:
    """Count what a trial took: distinct mutants classified, cells had each been classified on its own, share saved.

    Example:
        >>> evaluations({"evaluations": 60, "naive_evaluations": 80})["share_saved"]
        0.25
    """
    count, naive = diagnostics["evaluations"], diagnostics["naive_evaluations"]
    of_rankings = dict(diagnostics.get("ranking_evaluations", {}))
    return {"done": count, "naive": naive, "share_saved": 1 - count / naive, "of_rankings": of_rankings}
