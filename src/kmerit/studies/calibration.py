"""Calibration of verdicts: how often is a ranking that knows nothing called faithful, or worse, and one that knows?

A pool of classified rankings is made once for each null family, dose and foil: every sequence of the pool with one
ranking and its controls. Experiments then resample the pool's sequences, and are judged by the rule of the verdicts.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, ClassVar

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

import kmerit as km
from kmerit.config import Several, Table
from kmerit.errors import CountError, ModelError, SequenceError
from kmerit.formats import DASH, fine_percent, interval
from kmerit.io.readers import as_sequences
from kmerit.models.model import Model
from kmerit.report import studies as reports
from kmerit.report import text
from kmerit.results import Problem, Remark, value_name
from kmerit.runs.stages import Progress, Watch, unwatched
from kmerit.runs.study import Study, study_folder
from kmerit.store import write_csv, write_json
from kmerit.trials.checks import cascade, has_parts
from kmerit.trials.controls import DECIDING, NEAREST
from kmerit.trials.design import FEWEST, LEVEL, POOLS_PER_EXPERIMENT
from kmerit.trials.nulls import LETTERS, NOISE, dosed, ranked, ruled, turned_scores
from kmerit.trials.verdicts import excess_by_sequence
from kmerit.uncertainty import Studentised, clopper_pearson, mean_differences, studentised

if TYPE_CHECKING:
    import pandas as pd

    from kmerit.io.readers import SequencesLike


FAITHFUL, WORSE, BEYOND = "faithful", "worse than its controls", "beyond composition"
CONTEXT = "context"
NOISES, LETTER, REAL, DOSE, FOIL = "noise", "letters", "method", "dose", "foil"
AMONG, ALONE, UNADJUSTED = "one among the methods", "a card of nulls alone", "alone, unadjusted"
"""The cards of which rates are given: a null as one more line of the methods' card, all nulls as the only lines of a
card, and a null by itself, by three tests at 2.5 %."""
LIMITS = {AMONG: 0.025, ALONE: 0.075}
"""What the upper bound of a rate may not pass."""
Array = NDArray[Any]
Pair = tuple[str, str]
Pool = tuple[list[Array], list[Pair]]
"""For each class the excesses ``[sequence, column]``, and ranking and control of each column."""
Row = dict[str, Any]


class Failure(Remark):
    """What a calibration does not show.

    Attributes:
        CODES: ``limit_passed``: the upper bound of a rate lies above its limit. ``small_pool``: it is too small for
            experiments of that size.
    """

    CODES: ClassVar[Mapping[str, tuple[str, ...]]] = {
        "limit_passed": ("ranking", "class_name", "sequences", "claim", "card", "rate", "upper", "limit"),
        "small_pool": ("sequences", "pool"),
    }


class CalibrationConfig(Table):
    """What is calibrated, and how precisely."""

    pool: int = Field(2000, ge=20, description="sequences of each class, each with one ranking of every null")
    others: int = Field(500, ge=20, description="of these, with rankings that are not null: methods, doses, foils")
    methods: list[str] = Field(["attention", "rollout", "gradcam", "lrp", "lrp_last", "full_lrp", "input_x_gradient",
                                "integrated_gradients", "attnlrp", "cp_lrp", "saliency"], min_length=1)  # fmt: skip
    turned: list[str] = Field(["attention", "lrp"], description="methods whose rotated scores are nulls")
    doses: list[Annotated[float, Field(gt=0, le=1)]] = Field(
        [0.05, 0.1, 0.2, 0.4, 1.0], description="of exact in-silico mutagenesis; with none it is not computed"
    )
    foils: dict[str, str] = Field({}, description="other models, whose lrp is reported without a bound, by name")
    counts: Several[int] = (1, 5, 10, 20)
    draws: int = Field(2, ge=1)
    sizes: Several[Annotated[int, Field(ge=2)]] = Field((50, 100, 200), min_length=1)
    experiments: int = Field(1000, ge=20)
    resamples: int = Field(500, ge=100, description="bootstrap draws of one experiment")
    seed: int = Field(0, ge=0)


QUICK = {
    "pool": 200,
    "others": 60,
    "methods": ["attention", "lrp", "input_x_gradient"],
    "doses": [0.2, 0.4],
    "draws": 1,
    "sizes": (50,),
    "experiments": 400,
    "resamples": 300,
}
"""Keys of a calibration of minutes; its pools are too small for the bounds, and the report says so."""


def calibrate(
    model: Model,
    sequences: SequencesLike,
    out: str | Path,
    *,
    quick: bool = False,
    watch: Watch = unwatched,
    **settings: Any,
) -> Path:
    """Calibrate the verdicts on one model: rankings that know nothing, letters, doses of exact in-silico mutagenesis.

    Only sequences that the model calls by their label take part, as in a verdict. Their labels are explained. On a
    model that predicts a value all sequences take part, the value is explained, and labels are not needed.

    Args:
        model: A classifier, or a model that predicts one value.
        sequences: With labels, unless the model predicts a value; of one length, for the control ``other``;
            `Sequences`, a DataFrame or a path.
        out: Folder of the results; a calibration that was stopped resumes there.
        quick: Whether to take small pools: minutes, in place of hours.
        watch: Shows the progress of a step.
        settings: Keys of `CalibrationConfig`. Of its default methods those take part that the model can serve.

    Returns:
        The folder, with ``calibration.md``, ``effects.csv``, ``rates.csv``, ``calibration.json`` and the pools.

    Raises:
        ConfigError: Unknown keys or wrong values.
        ModelError: A model that predicts several labels or values.
        SequenceError: No labels, or fewer than 10 sequences of a class that the model calls so.
        RunMismatch: The folder holds another calibration.

    Example:
        >>> import kmerit as km
        >>> model = km.load_model("bundled:promoter")
        >>> km.calibrate(model, km.Sequences.from_strings(["TATAAAGG"]), "nowhere", quick=True)
        Traceback (most recent call last):
        kmerit.errors.SequenceError: Calibration needs the class of every sequence. ...
    """
    config = CalibrationConfig.parse({**(QUICK if quick else {}), **settings})
    every = km.methods()
    for key in {"methods", "turned"} - set(settings):
        names = getattr(config, key)
        methods = [name for name in names if every[name].asks_for(every[name].complete({})) <= model.abilities]
        config = config.model_copy(update={key: methods if methods or key == "turned" else names})
    if model.problem not in (Problem.CLASSES, Problem.VALUE):
        raise ModelError(
            f"{model.name} predicts {model.n_classes} {model.problem.value}, each a task of its own. Choose one: "
            f"model.task(...), --label. It has: {model.listed}."
        )
    sequences = as_sequences(sequences)
    if model.problem is Problem.VALUE:  # the value is the one class, to which all belong
        labels = np.zeros(len(sequences), dtype=np.int64)
        sequences = replace(sequences, labels=labels, classes=None, outputs=None)
    sequences = model.numbered(sequences)
    if sequences.labels is None or sequences.labels.dtype != np.int64:
        raise SequenceError("Calibration needs the class of every sequence. Give a label column (--label-column).")
    right = sequences.take(np.flatnonzero(model.logits(sequences).argmax(axis=1) == sequences.labels))
    chosen = km.sample_per_class(right, config.pool, config.seed) if len(right) else right
    sizes = np.bincount(np.asarray(chosen.labels, dtype=np.int64), minlength=model.n_classes)
    if sizes.min() < FEWEST:
        whose = "" if model.regression else " of every class that the model calls so"
        raise SequenceError(
            f"Calibration needs {FEWEST} sequences{whose}; of {model.labels[int(sizes.argmin())]} there are "
            f"{sizes.min()}. Give more sequences."
        )
    _check_lengths(chosen, config)
    out = Path(out)
    with study_folder(out, config, watch=watch, model=model, sequences=chosen) as study:
        return _run(model, chosen, sizes, config, study)


def _check_lengths(chosen: km.Sequences, config: CalibrationConfig) -> None:
    """Refuse sequences of which a control cannot be formed, before anything is computed."""
    shortest = int(chosen.lengths.min())
    if shortest <= 2 * NEAREST:
        raise SequenceError(
            f"Calibration needs sequences of more than {2 * NEAREST} nt, for the control shifted; the shortest has "
            f"{shortest}. Give longer ones, or drop those (--min-length {2 * NEAREST + 1})."
        )
    if all(not 0 < count < shortest for count in config.counts):
        raise CountError(
            f"counts: expected one between 0 and the {shortest} nt of the shortest sequence, got "
            f"{', '.join(map(str, config.counts)) or 'none'}. Where every nucleotide is mutated, all rankings are one."
        )
    for some in (chosen, km.sample_per_class(chosen, config.others, config.seed)):
        kinds = np.stack([np.asarray(some.labels), some.lengths])
        _, kind, count = np.unique(kinds, axis=1, return_inverse=True, return_counts=True)
        paired = np.bincount(np.asarray(some.labels)[count[kind] > 1], minlength=int(np.max(kinds[0])) + 1)
        if paired.min() < FEWEST:
            raise SequenceError(
                f"Calibration needs {FEWEST} sequences of every class that share their length with another one of it, "
                f"for the control other; of one class there are {paired.min()}. Crop them to one "
                f"length (--crop; Python: km.prepare)."
            )


def _run(model: Model, chosen: km.Sequences, sizes: Array, config: CalibrationConfig, study: Study) -> Path:
    """Make the pools, resample them, and write what came out."""
    import pandas as pd

    others = km.sample_per_class(chosen, config.others, config.seed)
    frame = pd.concat(
        [
            _pooled(model, kind, sequences, scores, config, study / "pools" / kind)
            for kind, sequences, scores in _families(model, chosen, others, config, study / "scores")
        ],
        ignore_index=True,
    )
    effects = effect_table(frame, config)
    rates, out = study.watched("experiments", rate_table, frame, config), study.folder
    write_csv(out / "effects.csv", effects)
    write_csv(out / "rates.csv", rates)
    names = [value_name(model.labels[0])] if model.regression else list(model.labels)
    about = {
        "model": model.name,
        "classes": names,
        **({"value": names[0]} if model.regression else {}),
        "sequences": dict(zip(names, sizes.tolist(), strict=True)),
        "config": config.model_dump(mode="json"),
        "effects": records(effects),
        "rates": records(rates),
    }
    write_json(out / "calibration.json", about)
    write_report(out / "calibration.md", about)
    return out


def records(frame: pd.DataFrame) -> list[Row]:
    """Give the rows of a table, None for what is undefined."""
    return [
        {str(key): None if isinstance(value, float) and np.isnan(value) else value for key, value in row.items()}
        for row in frame.to_dict("records")
    ]


Named = dict[str, Array]
Family = tuple[str, km.Sequences, Callable[[], Named]]


def _families(
    model: Model, chosen: km.Sequences, others: km.Sequences, config: CalibrationConfig, study: Study
) -> Iterator[Family]:
    """Give each kind of rankings, the sequences that they rank, and a way to make their scores."""

    def attributed(of: Model, sequences: km.Sequences, methods: list[str], name: str) -> Named:
        by_method = study.attribute(of, sequences, methods, "label", name=name)
        return {method: each.usable().scores for method, each in by_method.items()}

    def noise() -> Named:
        real = attributed(model, chosen, config.turned, "turned") if config.turned else {}
        return {name: ruled(name, chosen, config.seed) for name in NOISE} | {
            f"{name}, turned": turned_scores(scores, chosen, config.seed) for name, scores in real.items()
        }

    def doses() -> Named:
        ism = attributed(model, others, ["ism"], "ism")["ism"]
        by_name = {"ism": ism, "ism smoothed": dosed(ism, others, 1.0, config.seed, smooth=6)}
        for dose in [each for each in config.doses if each < 1]:  # names key draws and tables: their format stays
            by_name[f"ism, {dose:.0%} of each score"] = dosed(ism, others, dose, config.seed)
            by_name[f"ism smoothed, {dose:.0%} of each score"] = dosed(ism, others, dose, config.seed, smooth=6)
            by_name[f"ism, {dose:.0%} of the sequences"] = dosed(ism, others, dose, config.seed, share=True)
        return by_name

    def foils() -> Named:
        by_name: Named = {}
        if has_parts(model):
            *_, (_, randomised) = cascade(model, config.seed)
            by_name["random weights"] = attributed(randomised, others, ["lrp"], "random weights")["lrp"]
        for name, place in config.foils.items():
            other = km.load_model(place, str(model.device), micro_batch=model.micro_batch)
            by_name[name] = attributed(other, others, ["lrp"], f"foil {name}")["lrp"]
        return by_name

    yield NOISES, chosen, noise
    yield LETTER, chosen, lambda: {name: ruled(name, chosen, config.seed) for name in LETTERS}
    yield REAL, others, lambda: attributed(model, others, config.methods, "methods")
    if config.doses:
        yield DOSE, others, doses
    if has_parts(model) or config.foils:
        yield FOIL, others, foils


def _pooled(
    model: Model,
    kind: str,
    sequences: km.Sequences,
    scores: Callable[[], Named],
    config: CalibrationConfig,
    study: Study,
) -> pd.DataFrame:
    """Classify one kind's rankings and their controls; give every sequence's excess.

    Returns:
        A row per sequence, ranking and control: ``kind``, ``ranking``, ``control``, ``label``, ``row`` (the sequence)
        and ``excess``.
    """
    import pandas as pd

    def make(path: Path) -> None:
        labels = np.asarray(sequences.labels)
        by_name = {name: ranked(name, each, labels, sequences.names) for name, each in scores().items()}
        controls = [*DECIDING, CONTEXT] if kind in (LETTER, REAL, DOSE) else list(DECIDING)
        outcomes = study.mutate(
            model,
            sequences,
            by_name,
            counts=config.counts,
            replicates=config.draws,
            controls=controls,
            seed=config.seed,
        )
        excess = excess_by_sequence(outcomes, controls)
        excess.insert(0, "kind", kind)
        excess.to_parquet(path, index=False)

    return pd.read_parquet(study.once("excesses", "excesses.parquet", make))


def effect_table(frame: pd.DataFrame, config: CalibrationConfig) -> pd.DataFrame:
    """Give each ranking's effect over each control: the mean excess in standard deviations, with a 95 % interval.

    Args:
        frame: Of the pools.
        config: Resamples and seed.
    """
    import pandas as pd

    rows = []
    for (kind, ranking, control, label), part in frame.groupby(["kind", "ranking", "control", "label"], sort=False):
        values = part["excess"].dropna().to_numpy()
        spread = values.std(ddof=1) if values.size > 1 else np.nan
        means = mean_differences(values[:, None], resamples=max(config.resamples, 1000), seed=config.seed)
        ends = [float(each[0]) for each in (means.mean, means.low, means.high)]
        scaled = [0.0 if spread == 0 and end == 0 else end / spread for end in ends]
        rows.append((kind, ranking, control, int(str(label)), values.size, *scaled))
    return pd.DataFrame(rows, columns=["kind", "ranking", "control", "label", "sequences", "effect", "low", "high"])


def rate_table(
    frame: pd.DataFrame, config: CalibrationConfig, progress: Progress = lambda done, total: None
) -> pd.DataFrame:
    """Count claims over resampled experiments: of nulls, of letters beyond composition, of doses and of foils.

    Args:
        frame: Of the pools.
        config: Sizes, experiments, resamples.
        progress: Called with the experiments done, and their number.

    Returns:
        A row per card, ranking, class, claim and size, with ``count``, ``rate`` and its one-sided 95 % ``upper`` and
        ``lower`` bounds, and ``pool``, the sequences resampled.
    """
    import pandas as pd

    groups = {str(kind): part for kind, part in frame.groupby("kind", sort=False)}
    card = wide(groups.pop(REAL))
    steps = [(size, kind) for size in config.sizes for kind in groups]
    resampling = {key: getattr(config, key) for key in ("experiments", "resamples", "seed")}
    rows: list[Row] = []
    for at, (size, kind) in enumerate(steps):
        tables, pairs = wide(groups[kind])

        def done(experiment: int, before: int = at * config.experiments) -> None:
            progress(before + experiment, len(steps) * config.experiments)

        counts = rates(tables, pairs, size, card=card, alone=kind == NOISES, progress=done, **resampling)
        rows += [{**row, "kind": kind, "pool": min(len(each) for each in tables)} for row in counts]
    table = pd.DataFrame(rows)
    bounds = [clopper_pearson(count, config.experiments, 0.9) for count in table["count"]]
    table["rate"] = table["count"] / config.experiments
    table["lower"], table["upper"] = zip(*bounds, strict=True)
    return table[["card", "kind", "ranking", "label", "claim", "size", "pool", "count", "rate", "lower", "upper"]]


def wide(frame: pd.DataFrame) -> Pool:
    """Lay out a kind's excesses; sequences that lack a control are left out."""
    order = list(dict.fromkeys(zip(frame["ranking"], frame["control"], strict=True)))
    tables = []
    for label, part in frame.groupby("label"):
        table = part.pivot_table(index="row", columns=["ranking", "control"], values="excess", dropna=False)[order]
        whole = table.dropna(how="any")
        if len(whole) < 2:
            missing = table.isna().mean().groupby(level="ranking").max()
            raise SequenceError(
                f"{len(whole)} of {len(table)} sequences of class {label} have every ranking and every control; most "
                f"often {missing.idxmax()} is missing, of {fine_percent(missing.max())}. Leave it out (--set "
                f"'methods=[...]')."
            )
        tables.append(whole.to_numpy(dtype=np.float64))
    return tables, order


def rates(
    tables: Sequence[Array],
    pairs: Sequence[Pair],
    size: int,
    *,
    card: Pool | None = None,
    alone: bool = False,
    experiments: int,
    resamples: int,
    seed: int,
    progress: Callable[[int], None] = lambda done: None,
) -> list[Row]:
    """Count how often each ranking is claimed to be faithful, or worse, or beyond composition.

    Args:
        tables: For each class the pool's excesses, ``[sequence, column]``.
        pairs: Ranking and control of each column.
        size: Sequences of each class in an experiment, drawn from the pool with replacement.
        card: The pool of the methods whose card each ranking joins, one at a time; None: a card of its own.
        alone: Whether the rankings also make up one card, on which any claim is counted.
        experiments: How many.
        resamples: Bootstrap draws of each.
        seed: Of the experiments.
        progress: Called with the experiments done.

    Returns:
        By card, ranking, class and claim, the number of experiments.
    """
    names = list(dict.fromkeys(name for name, _ in pairs))
    columns = {name: {control: at for at, (other, control) in enumerate(pairs) if other == name} for name in names}
    deciding = np.array([control in DECIDING for _, control in pairs])
    of_card = [] if card is None else card[1]
    methods = np.array([control in DECIDING for _, control in of_card], dtype=np.bool_)
    counts: dict[tuple[str, str, int, str], int] = {}

    def count(kind: str, name: str, label: int, claim: str, holds: bool) -> None:
        key = (kind, name, label, claim)
        counts[key] = counts.get(key, 0) + int(holds)

    rng = np.random.default_rng(seed)

    def draw(pool: Sequence[Array]) -> list[Studentised]:
        rows = [rng.integers(len(table), size=size) for table in pool]
        return [
            studentised(table[at], resamples=resamples, seed=int(rng.integers(2**31)))
            for table, at in zip(pool, rows, strict=True)
        ]

    for experiment in range(experiments):
        statistics = draw(tables)
        others = [] if card is None else draw(card[0])
        first, second = _extremes(others, methods, resamples), _extremes(others, ~methods, resamples)
        ends = [each.interval() for each in statistics]
        for name in names:
            three = [columns[name][control] for control in DECIDING]
            above, below = _thresholds(first, _extremes(statistics, _only(three, len(pairs)), resamples))
            context = columns[name].get(CONTEXT)
            beyond = 0.0
            if context is not None:
                beyond, _ = _thresholds(second, _extremes(statistics, _only([context], len(pairs)), resamples))
            for label, (each, (low, high)) in enumerate(zip(statistics, ends, strict=True)):
                faithful = bool((each.t[three] > above).all())
                count(AMONG, name, label, FAITHFUL, faithful)
                count(AMONG, name, label, WORSE, bool((-each.t[three] > below).all()))
                count(UNADJUSTED, name, label, FAITHFUL, bool((low[three] > 0).all()))
                count(UNADJUSTED, name, label, WORSE, bool((high[three] < 0).all()))
                if context is not None:
                    passes = bool(each.t[context] > beyond)
                    count(AMONG, name, label, BEYOND, faithful and passes)
                    count(UNADJUSTED, name, label, BEYOND, bool(low[context] > 0))
        if alone:
            above, below = _thresholds(_extremes(statistics, deciding, resamples))
            by_name = [[columns[name][control] for control in DECIDING] for name in names]
            t = np.stack([each.t[three] for each in statistics for three in by_name])
            count(ALONE, "any null", -1, "any claim", bool(((t > above).all(axis=1) | (-t > below).all(axis=1)).any()))
        progress(experiment + 1)
    return [
        {"card": kind, "ranking": name, "label": label, "claim": claim, "size": size, "count": number}
        for (kind, name, label, claim), number in counts.items()
    ]


def _only(at: Sequence[int], size: int) -> Array:
    chosen = np.zeros(size, dtype=np.bool_)
    chosen[list(at)] = True
    return chosen


def _extremes(statistics: Sequence[Studentised], columns: Array, resamples: int) -> Array:
    """Take the largest centred t, and the largest -t, of some columns of all classes: ``[2, resample]``."""
    draws = [each.draws[:, columns & (each.error > 0)] for each in statistics]
    together = np.concatenate([np.full((resamples, 1), np.nan), *draws], axis=1)
    has_columns = together.shape[1] > 1
    largest = [np.fmax.reduce(sign * together, axis=1) for sign in (1, -1)]
    return np.stack(largest) if has_columns else np.full((2, resamples), -np.inf)


def _thresholds(*extremes: Array) -> tuple[float, float]:
    """Take the upper 5 % point of the largest of several extremes, above and below."""
    largest = np.maximum.reduce(extremes)
    at = int(np.ceil((1 - LEVEL) * largest.shape[1])) - 1
    above, below = np.sort(largest, axis=1)[:, at]
    return float(above), float(below)


def write_report(path: Path, about: Row) -> Path:
    """Write effects and rates in words and tables."""
    config, names = about["config"], dict(enumerate(about["classes"])) | {-1: "any"}
    effects: dict[tuple[str, ...], Row] = {}
    for row in about["effects"]:
        key = row["kind"], row["ranking"], names[row["label"]]
        head = dict(zip(("kind", "ranking", "class"), key, strict=True)) | dict.fromkeys((*DECIDING, CONTEXT), DASH)
        cells = effects.setdefault(key, head | {"sequences": row["sequences"]})
        cells[row["control"]] = interval(row["effect"], row["low"], row["high"], 2)
    return reports.write(
        path,
        "# Calibration of verdicts",
        text.pool(about["model"], about["sequences"], config["others"], config["draws"], "value" in about),
        *(f"- {line}" for line in [*map(text.sentence, failures(about))] or [text.NO_FAILURE]),
        "## Effects",
        text.EFFECTS,
        reports.table(effects.values()),
        "## Claims",
        text.claims(config["experiments"]),
        *_claims(about["rates"], names, "value" in about),
    )


def failures(about: Row) -> list[Failure]:
    """Find which limits are passed, and which sizes the pool is too small for."""
    names = dict(enumerate(about["classes"])) | {-1: "any"}
    remarks = [
        Failure("limit_passed", {key: row[key] for key in ("ranking", "claim", "card", "rate", "upper")} | {
            "class_name": names[row["label"]], "sequences": row["size"], "limit": LIMITS[row["card"]]
        })
        for row in about["rates"]
        if row["card"] in LIMITS and row["upper"] > LIMITS[row["card"]]
        if row["kind"] == NOISES or (row["kind"] == LETTER and row["claim"] == BEYOND)
    ]  # fmt: skip
    for size in about["config"]["sizes"]:
        pools = {row["pool"] for row in about["rates"] if row["size"] == size and row["kind"] in (NOISES, LETTER)}
        if pools and min(pools) < POOLS_PER_EXPERIMENT * size:
            remarks.append(Failure("small_pool", {"sequences": size, "pool": min(pools)}))
    return remarks


def _claims(rates: list[Row], names: dict[int, str], value: bool) -> Iterator[str]:
    two, three = (FAITHFUL, WORSE), (FAITHFUL, WORSE, BEYOND)
    for title, card, kind, claims in (
        ("A null as one more line of the methods' card (at most 2.5)", AMONG, NOISES, two),
        ("A card of nulls alone, any claim (at most 7.5)", ALONE, NOISES, ("any claim",)),
        ("A null alone, by three tests at 2.5 %", UNADJUSTED, NOISES, two),
        ("Letters beyond composition, as one more line (at most 2.5)", AMONG, LETTER, (BEYOND,)),
        ("Letters over context alone, by one test at 2.5 %", UNADJUSTED, LETTER, (BEYOND,)),
        ("Letters, called faithful or worse (they are no null of this answer)", AMONG, LETTER, two),
        ("Doses, as one more line", AMONG, DOSE, three),
        ("Foils, as one more line", AMONG, FOIL, three),
    ):
        rows = [row for row in rates if (row["card"], row["kind"]) == (card, kind) and row["claim"] in claims]
        cells = (
            {"ranking": row["ranking"], "class": names[row["label"]], "claim": row["claim"]}
            | {f"{row['size']}{'' if value else ' a class'}": text.rate(row["rate"], row["upper"])}
            for row in rows
        )
        if rows:
            yield from (f"### {title}", reports.table(cells, ["ranking", "class", "claim"]))
