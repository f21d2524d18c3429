"""Calibration of verdicts: how often is a ranking that knows nothing called faithful, or worse, and one that knows?

A pool of classified rankings is made once for each null family, dose and foil: every sequence of the pool with one
ranking and its controls. Experiments then resample the pool's sequences, and are judged by the rule of the verdicts.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from pydantic import Field

from kmerit.attribution import attribute, methods, read_attributions
from kmerit.config import Several, Table
from kmerit.data import sample_per_class
from kmerit.data.sources import SequencesLike, as_sequences
from kmerit.errors import ModelError, SequenceError
from kmerit.experiments.on_trial import Watch, unwatched
from kmerit.experiments.study import of_config, study
from kmerit.faithfulness import mutate, read_outcomes
from kmerit.faithfulness.cascade import cascade, has_parts
from kmerit.faithfulness.controls import CONTEXT, DECIDING, ranking_of
from kmerit.faithfulness.endpoint import Endpoint
from kmerit.faithfulness.nulls import LETTERS, NOISE, dosed, ruled, turned
from kmerit.faithfulness.prospects import FEWEST, LEVEL
from kmerit.faithfulness.verdicts import FAITHFUL, WORSE
from kmerit.models import Model, load_model
from kmerit.statistics import Studentised, clopper_pearson, studentised
from kmerit.statistics.paired import mean_differences
from kmerit.store import Stages, atomic_write, begin
from kmerit.types import Attribution, Bool, Float, Floats, Int64, Problem, Sequences

if TYPE_CHECKING:
    import pandas as pd

NOISES, LETTER, REAL, DOSE, FOIL = "noise", "letters", "method", "dose", "foil"
BEYOND = "beyond composition"
AMONG, ALONE, UNADJUSTED = "one among the methods", "a card of nulls alone", "alone, unadjusted"
"""The cards of which rates are given: a null as one more line of the methods' card, all nulls as the only lines of a
card, and a null by itself, by three tests at 2.5 %."""
LIMITS = {AMONG: 0.025, ALONE: 0.075}
"""What the upper bound of a rate may not pass."""
Pair = tuple[str, str]


class CalibrationConfig(Table):
    """What is calibrated, and how precisely."""

    pool: int = Field(2000, ge=20, description="sequences of each class, each with one ranking of every null")
    others: int = Field(500, ge=20, description="of these, with rankings that are not null: methods, doses, foils")
    methods: list[str] = Field(["attention", "rollout", "gradcam", "lrp", "lrp_last", "full_lrp", "input_x_gradient",
                                "integrated_gradients", "attnlrp", "cp_lrp", "saliency"], min_length=1)  # fmt: skip
    turned: list[str] = Field(["attention", "lrp"], description="methods whose scores, turned round, are nulls")
    doses: list[float] = Field([0.05, 0.1, 0.2, 0.4, 1.0])
    foils: dict[str, str] = Field({}, description="other models, whose lrp is reported without a bound, by name")
    counts: Several[int] = (1, 5, 10, 20)
    draws: int = Field(2, ge=1)
    sizes: Several[int] = (50, 100, 200)
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

    Args:
        model: A classifier.
        sequences: With labels, of one length, for the control ``other``; `Sequences`, a DataFrame or a path.
        out: Folder of the results; a calibration that was stopped goes on there.
        quick: Whether to take small pools: minutes, in place of hours.
        watch: Shows the progress of a step.
        settings: Keys of `CalibrationConfig`. Of its default methods those take part that the model can serve.

    Returns:
        The folder, with ``effects.csv``, ``rates.csv`` and ``calibration.json``.

    Raises:
        ConfigError: Unknown keys or wrong values.
        ModelError: A model that predicts a value.
        SequenceError: No labels, or too few sequences.
        RunMismatch: The folder holds another calibration.

    Example:
        >>> import kmerit as km
        >>> model = km.load_model("bundled:promoter")
        >>> km.calibrate(model, km.Sequences.from_strings(["TATAAAGG"]), "nowhere", quick=True)
        Traceback (most recent call last):
        kmerit.errors.SequenceError: Calibration needs the class of every sequence. ...
    """
    config = CalibrationConfig.parse({**(QUICK if quick else {}), **settings})
    served = {key: _served(model, getattr(config, key)) for key in ("methods", "turned") if key not in settings}
    config = config.model_copy(update={key: names for key, names in served.items() if names or key == "turned"})
    return run_calibration(model, as_sequences(sequences), config, out, watch)


def _served(model: Model, names: list[str]) -> list[str]:
    """Leave out of the default methods those that the model cannot serve."""
    known = methods()
    return [name for name in names if known[name].asks_for(known[name].complete({})) <= model.abilities]


def run_calibration(
    model: Model, sequences: Sequences, config: CalibrationConfig, out: str | Path, watch: Watch
) -> Path:
    """Calibrate the verdicts on one model and its sequences; go on where a stopped calibration was.

    Only sequences that the model calls by their label take part, as in a verdict. Their labels are explained.

    Args:
        model: A classifier.
        sequences: With labels, of one length, for the control ``other``.
        config: Families, sizes and numbers.
        out: Folder of the results, and of the pools.
        watch: Shows the progress of a step: gets its title, gives a context with a function of (done, all).

    Returns:
        The folder: ``calibration.json``, and ``effects.csv`` and ``rates.csv``.

    Raises:
        ModelError: A model that predicts a value.
        SequenceError: No labels, or fewer than 10 sequences of a class that the model calls so.
        RunMismatch: The folder holds another calibration.

    Example:
        >>> import tempfile
        >>> from contextlib import nullcontext
        >>> import kmerit as km
        >>> model = km.load_model("bundled:promoter")
        >>> config = CalibrationConfig.parse(QUICK)
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     watch = lambda title: nullcontext(lambda done, total: None)
        ...     run_calibration(model, km.Sequences.from_strings(["TATAAAGG"], labels=[1]), config, folder, watch)
        Traceback (most recent call last):
        kmerit.errors.SequenceError: Calibration needs 10 sequences of every class that the model calls so; ...
    """
    if model.problem is not Problem.CLASSES:
        raise ModelError(
            f"{model.name} predicts {model.problem.value}; only verdicts on classes are calibrated. Give a classifier, "
            f"or one label of it: model.task(...), --label."
        )
    sequences = model.numbered(sequences)
    if sequences.labels is None or sequences.labels.dtype != np.int64:
        raise SequenceError("Calibration needs the class of every sequence. Give a label column (--label-column).")
    out = Path(out)
    right = sequences.take(np.flatnonzero(model.logits(sequences).argmax(axis=1) == sequences.labels))
    chosen = sample_per_class(right, config.pool, config.seed) if len(right) else right
    held = np.bincount(np.asarray(chosen.labels, dtype=np.int64), minlength=model.n_classes)
    if held.min() < FEWEST:
        scarce = model.labels[int(held.argmin())]
        raise SequenceError(
            f"Calibration needs {FEWEST} sequences of every class that the model calls so; of {scarce} there are "
            f"{held.min()}. Give more sequences."
        )
    settings, earlier = of_config(config)
    with study(out, settings, earlier=earlier):
        _same_inputs(out, model, chosen)
        return _run(model, chosen, held, config, out, watch)


def _run(model: Model, chosen: Sequences, held: Int64, config: CalibrationConfig, out: Path, watch: Watch) -> Path:
    """Make the pools, resample them, and write what came out."""
    import pandas as pd

    others = sample_per_class(chosen, config.others, config.seed)
    tables = [
        _pooled(model, kind, scores, config, out / "pools" / kind, watch)
        for kind, scores in _families(model, chosen, others, config, out, watch)
    ]
    frame = pd.concat(tables, ignore_index=True)
    effects = effect_table(frame, config)
    with watch("experiments") as progress:
        found = rate_table(frame, config, progress)
    for name, table in (("effects.csv", effects), ("rates.csv", found)):
        with atomic_write(out / name) as part:
            table.to_csv(part, index=False, lineterminator="\n")
    about = {
        "model": model.name,
        "classes": list(model.labels),
        "sequences": dict(zip(model.labels, held.tolist(), strict=True)),
        "config": config.model_dump(mode="json"),
        "effects": json.loads(effects.to_json(orient="records")),
        "rates": json.loads(found.to_json(orient="records")),
    }
    with atomic_write(out / "calibration.json") as part:
        part.write_text(json.dumps(about, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    return out


def _same_inputs(out: Path, model: Model, chosen: Sequences) -> None:
    """Keep the pools of one model and one set of sequences together."""
    letters = hashlib.sha256("\n".join(chosen.names).encode())
    letters.update(chosen.bases.tobytes() + chosen.offsets.tobytes())
    about = {"model": model.digest, "sequences": letters.hexdigest()}
    begin(out / "inputs.json", "a calibration", about)


Named = dict[str, Float]


def _families(
    model: Model, chosen: Sequences, others: Sequences, config: CalibrationConfig, out: Path, watch: Watch
) -> Iterator[tuple[str, tuple[Sequences, Callable[[], Named]]]]:
    """Give each kind of rankings, the sequences that they rank, and a way to make their scores."""

    def attributed(of: Model, sequences: Sequences, methods: list[str], name: str) -> Mapping[str, Attribution]:
        path = out / "scores" / f"{name}.parquet"
        stages = Stages(out / "scores")
        if not stages.is_done(name):
            with watch(f"scores: {name}") as progress:
                attribute(of, sequences, methods, "label", out=path, progress=progress)
            stages.mark_done(name, [path.name])
        return read_attributions(path)

    def noise() -> Named:
        found = {name: ruled(name, chosen, config.seed) for name in NOISE}
        if config.turned:
            real = attributed(model, chosen, config.turned, "turned")
            found |= {f"{name}, turned": turned(each.scores, chosen, config.seed) for name, each in real.items()}
        return found

    def doses() -> Named:
        ism = attributed(model, others, ["ism"], "ism")["ism"].scores
        found = {"ism": ism, "ism smoothed": dosed(ism, others, 1.0, config.seed, smooth=6)}
        for dose in [each for each in config.doses if each < 1]:
            found[f"ism, {dose:.0%} of each score"] = dosed(ism, others, dose, config.seed)
            found[f"ism smoothed, {dose:.0%} of each score"] = dosed(ism, others, dose, config.seed, smooth=6)
            found[f"ism, {dose:.0%} of the sequences"] = dosed(ism, others, dose, config.seed, share=True)
        return found

    def foils() -> Named:
        found: Named = {}
        if has_parts(model):
            *_, (_, spoilt) = cascade(model, config.seed)
            found["random weights"] = attributed(spoilt, others, ["lrp"], "random weights")["lrp"].scores
        for name, place in config.foils.items():
            other = load_model(place, str(model.device), micro_batch=model.micro_batch)
            found[name] = attributed(other, others, ["lrp"], f"foil {name}")["lrp"].scores
        return found

    yield NOISES, (chosen, noise)
    yield LETTER, (chosen, lambda: {name: ruled(name, chosen, config.seed) for name in LETTERS})
    yield REAL, (others, lambda: {m: a.scores for m, a in attributed(model, others, config.methods, "methods").items()})
    yield DOSE, (others, doses)
    if has_parts(model) or config.foils:
        yield FOIL, (others, foils)


def _pooled(
    model: Model,
    kind: str,
    given: tuple[Sequences, Callable[[], Named]],
    config: CalibrationConfig,
    folder: Path,
    watch: Watch,
) -> pd.DataFrame:
    """Classify one kind's rankings and their controls; give every sequence's excess.

    Returns:
        A row per sequence, ranking and control: ``kind``, ``ranking``, ``control``, ``label``, ``row`` (the sequence)
        and ``excess``.
    """
    import pandas as pd

    sequences, make = given
    table = folder / "excesses.parquet"
    stages = Stages(folder)
    if stages.is_done("excesses"):
        return pd.read_parquet(table)
    labels = np.asarray(sequences.labels)
    named = {name: Attribution(name, scores, "nucleotide", labels, sequences.names) for name, scores in make().items()}
    controls = [*DECIDING, CONTEXT] if kind in (LETTER, REAL, DOSE) else list(DECIDING)
    with watch(f"pool: {kind}") as progress:
        place = mutate(
            model,
            sequences,
            named,
            counts=config.counts,
            replicates=config.draws,
            controls=controls,
            seed=config.seed,
            out=folder / "curve",
            progress=progress,
        )
    endpoint = Endpoint(read_outcomes(place))
    rows = [
        pd.DataFrame(
            {
                "kind": kind,
                "ranking": method,
                "control": control,
                "label": labels,
                "row": np.arange(len(sequences)),
                "excess": endpoint.excess(method, control),
            }
        )
        for method in endpoint.methods
        for control in controls
        if ranking_of(control, method) in endpoint.aopc
    ]
    found = pd.concat(rows, ignore_index=True)
    with atomic_write(table) as part:
        found.to_parquet(part, index=False)
    stages.mark_done("excesses", [table.name])
    return found


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
        found = mean_differences(values[:, None], resamples=max(config.resamples, 1000), seed=config.seed)
        ends = [float(each[0]) for each in (found.mean, found.low, found.high)]
        scaled = [0.0 if spread == 0 and end == 0 else end / spread for end in ends]
        rows.append((kind, ranking, control, int(str(label)), values.size, *scaled))
    return pd.DataFrame(rows, columns=["kind", "ranking", "control", "label", "sequences", "effect", "low", "high"])


def rate_table(
    frame: pd.DataFrame, config: CalibrationConfig, progress: Callable[[int, int], None] = lambda done, total: None
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
    card = wide(groups[REAL])
    rows: list[dict[str, Any]] = []
    kinds = [kind for kind in groups if kind != REAL]
    steps = [(size, kind) for size in config.sizes for kind in kinds]
    for at, (size, kind) in enumerate(steps):
        tables, pairs = wide(groups[kind])

        def done(experiment: int, before: int = at * config.experiments) -> None:
            progress(before + experiment, len(steps) * config.experiments)

        found = rates(
            tables,
            pairs,
            size,
            card=card,
            alone=kind == NOISES,
            experiments=config.experiments,
            resamples=config.resamples,
            seed=config.seed,
            progress=done,
        )
        rows += [{**row, "kind": kind, "pool": min(len(each) for each in tables)} for row in found]
    table = pd.DataFrame(rows)
    bounds = [clopper_pearson(count, config.experiments, 0.9) for count in table["count"]]
    table["rate"] = table["count"] / config.experiments
    table["lower"], table["upper"] = zip(*bounds, strict=True)
    return table[["card", "kind", "ranking", "label", "claim", "size", "pool", "count", "rate", "lower", "upper"]]


Pool = tuple[list[Floats], list[Pair]]
"""For each class the excesses ``[sequence, column]``, and ranking and control of each column."""


def wide(frame: pd.DataFrame) -> Pool:
    """Lay out a kind's excesses; sequences that lack a control are left out."""
    order = list(dict.fromkeys(zip(frame["ranking"], frame["control"], strict=True)))
    tables = []
    for _, part in frame.groupby("label"):
        table = part.pivot_table(index="row", columns=["ranking", "control"], values="excess", dropna=False)[order]
        tables.append(table.dropna(how="any").to_numpy(dtype=np.float64))
    return tables, order


def rates(
    tables: Sequence[Floats],
    pairs: Sequence[Pair],
    size: int,
    *,
    card: Pool | None = None,
    alone: bool = False,
    experiments: int,
    resamples: int,
    seed: int,
    progress: Callable[[int], None] = lambda done: None,
) -> list[dict[str, Any]]:
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

    def draw(pool: Sequence[Floats]) -> list[Studentised]:
        rows = [rng.integers(len(table), size=size) for table in pool]
        return [
            studentised(table[at], resamples=resamples, seed=int(rng.integers(2**31)))
            for table, at in zip(pool, rows, strict=True)
        ]

    for experiment in range(experiments):
        found = draw(tables)
        others = [] if card is None else draw(card[0])
        first, second = _extremes(others, methods, resamples), _extremes(others, ~methods, resamples)
        ends = [each.interval() for each in found]
        for name in names:
            three = [columns[name][control] for control in DECIDING]
            above, below = _thresholds(first, _extremes(found, _only(three, len(pairs)), resamples))
            context = columns[name].get(CONTEXT)
            beyond = 0.0
            if context is not None:
                beyond, _ = _thresholds(second, _extremes(found, _only([context], len(pairs)), resamples))
            for label, (each, (low, high)) in enumerate(zip(found, ends, strict=True)):
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
            above, below = _thresholds(_extremes(found, deciding, resamples))
            by_name = [[columns[name][control] for control in DECIDING] for name in names]
            t = np.stack([each.t[three] for each in found for three in by_name])
            count(ALONE, "any null", -1, "any claim", bool(((t > above).all(axis=1) | (-t > below).all(axis=1)).any()))
        progress(experiment + 1)
    return [
        {"card": kind, "ranking": name, "label": label, "claim": claim, "size": size, "count": number}
        for (kind, name, label, claim), number in counts.items()
    ]


def _only(at: Sequence[int], size: int) -> Bool:
    chosen = np.zeros(size, dtype=np.bool_)
    chosen[list(at)] = True
    return chosen


def _extremes(found: Sequence[Studentised], columns: Bool, resamples: int) -> Floats:
    """Take the largest centred t, and the largest -t, of some columns of all classes: ``[2, resample]``."""
    draws = [each.draws[:, columns & (each.error > 0)] for each in found]
    together = np.concatenate([np.full((resamples, 1), np.nan), *draws], axis=1)
    found_any = together.shape[1] > 1
    largest = [np.fmax.reduce(sign * together, axis=1) for sign in (1, -1)]
    return np.stack(largest) if found_any else np.full((2, resamples), -np.inf)


def _thresholds(*extremes: Floats) -> tuple[float, float]:
    """Take the upper 5 % point of the largest of several extremes, above and below."""
    largest = np.maximum.reduce(extremes)
    at = int(np.ceil((1 - LEVEL) * largest.shape[1])) - 1
    above, below = np.sort(largest, axis=1)[:, at]
    return float(above), float(below)
