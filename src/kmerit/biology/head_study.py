"""Heads against features, across stages of training: the study, its tables and its folder."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property, partial
from hashlib import sha256 as digest_of
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, NamedTuple, overload

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import Field

from kmerit.biology.feature import Feature, parse_features
from kmerit.biology.head_effects import (
    Contrast,
    Effects,
    Head,
    Outputs,
    check_ablation,
    contrasts,
    ladder,
    with_feature,
)
from kmerit.biology.head_tests import ADJUSTED, REASONS, Result, associate, aurocs, loci_of, over_loci
from kmerit.biology.head_windows import draw_windows
from kmerit.biology.heads import VARIANTS, paid_attention, passes
from kmerit.config import Several, Table, read_toml
from kmerit.errors import ConfigError, FormatError, UsageError, short
from kmerit.io.readers import SequencesLike, as_sequences, read_sequences
from kmerit.models.inference import MICRO_BATCH
from kmerit.models.model import Model, environment, load_model
from kmerit.models.untrained import permuted_weights, random_weights, training_steps
from kmerit.sequences import Bool, Floats, Int64, Sequences
from kmerit.store import (
    Share,
    Stages,
    StoredParts,
    Tables,
    Work,
    all_recorded,
    atomic_write,
    begin,
    check_begun,
    hold,
    recorded,
    settle,
    sha256,
)
from kmerit.uncertainty import max_t, studentised

if TYPE_CHECKING:
    import pandas as pd

_LOG = logging.getLogger(__name__)
Progress = Callable[[int, int], None]
Features = Sequence["Feature | Mapping[str, Any] | str"]

SETTINGS = "heads.json"
TABLES = ("stages", "features", "associations", "changes", "effects", "doses")
"""What is written, as CSV and as Parquet."""
SEEDS = 10
"""Random models that a reference needs at least."""
LOCI = 10
"""With fewer loci a change is not tested: a resample of so few may have no spread."""
SHARE = 0.05
"""Of random heads that may lie beyond their bar for any feature."""
_RANDOM, _PERMUTED = "random", "permuted"
_PARTS = "parts"


# --- the config -------------------------------------------------------------------------------------------------------


class Windows(Table):
    """Where to look: sequences with loci, or windows drawn from a genome."""

    sequences: str | None = None
    genome: str | None = None
    width: Annotated[int, Field(ge=1)] | None = None
    length: Annotated[int, Field(ge=1)] = 200
    count: Annotated[int, Field(ge=0)] = 1000
    around: dict[str, Annotated[int, Field(ge=1)]] = Field(default_factory=dict)
    chromosomes: Several[str] = ()


class Stage(Table):
    """A model, or with ``steps`` all the checkpoints that a training left in a folder.

    Attributes:
        name: Of the stage.
        model: A path or name.
        steps: A folder with ``checkpoint-N``.
        before: The stage from which it was trained, by default the one above.
        target: The output whose change by ablation is measured; the last by default.
    """

    name: str
    model: str | None = None
    steps: str | None = None
    before: str | None = None
    target: int | str | None = None


class Untrained(Table):
    """Models that know nothing: the reference of random weights, and permuted weights as a stage of its own."""

    model: str | None = None
    seeds: Annotated[int, Field(ge=0)] = SEEDS
    permuted: Annotated[int, Field(ge=0)] = 0


class Tests(Table):
    """How heads are compared with features."""

    attention: Literal["paid", "focus", "cls"] = "paid"
    adjust: Several[Literal["gc", "position", "kmers"]] = ("gc", "position", "kmers")
    draws: Annotated[int, Field(ge=20)] = 2000
    min_loci: Annotated[int, Field(ge=1)] = 1


class Ablation(Table):
    """Whether heads are ablated, how many together, and in how many of the windows; all by default."""

    test: bool = True
    dose: Annotated[int, Field(ge=1)] = 3
    windows: Annotated[int, Field(ge=20)] | None = None


class HeadsConfig(Table):
    """A study of heads."""

    windows: Windows
    features: list[dict[str, Any]]
    stages: list[Stage]
    untrained: Untrained = Untrained()
    tests: Tests = Tests()
    ablation: Ablation = Ablation()
    seed: Annotated[int, Field(ge=0)] = 0


def read_heads_config(path: str | os.PathLike[str], overrides: Sequence[str] = ()) -> HeadsConfig:
    """Read the config of a study; paths in it are as seen from the folder in which kmerit runs.

    Raises:
        ConfigError: What it says cannot be.
    """
    config = HeadsConfig.parse(read_toml(Path(path), overrides))
    parse_features(config.features)
    for stage in config.stages:
        if (stage.model is None) == (stage.steps is None):
            raise ConfigError(f"stages: {stage.name!r}: give model or steps (a folder with checkpoint-N), one of them.")
    keys = config.windows.model_fields_set
    if not keys & {"sequences", "genome"}:
        raise ConfigError("windows: give sequences (with loci), or genome to draw windows from.")
    idle = keys & ({"length", "count", "around", "chromosomes"} if "sequences" in keys else {"width"})
    if idle:
        raise ConfigError(
            f"windows: {', '.join(sorted(idle))} would be ignored. With sequences (or BED and genome) give width "
            f"alone; with genome alone length, count, around, chromosomes."
        )
    return config


def run_heads(
    config: HeadsConfig,
    *,
    device: str = "auto",
    out: str | Path | None = None,
    progress: Progress | None = None,
    share: Work | None = None,
) -> Heads | None:
    """Run the study of a config; see `heads`."""
    configured = parse_features(config.features)
    where = config.windows
    if where.sequences is not None:
        windows = read_sequences(where.sequences, genome=where.genome, width=where.width)
    else:
        windows = draw_windows(
            str(where.genome), where.length, where.count, where.around, {each.title: each for each in configured},
            where.chromosomes, config.seed,
        )  # fmt: skip
    stages: dict[str, str] = {}
    targets: dict[str, int | str] = {}
    before: dict[str, str] = {}
    for stage in config.stages:
        own_models = {stage.name: str(stage.model)}
        if stage.steps is not None:
            own_models = {f"{stage.name} {step}": path for step, path in training_steps(stage.steps).items()}
        if twice := stages.keys() & own_models.keys():
            raise ConfigError(f"stages: {sorted(twice)[0]!r} occurs twice; give each a name of its own.")
        stages |= own_models
        targets |= {} if stage.target is None else dict.fromkeys(own_models, stage.target)
        before |= {} if stage.before is None else {next(iter(own_models)): stage.before}
    options: dict[str, Any] = {
        "before": before, "targets": targets, "untrained": config.untrained.model, "seeds": config.untrained.seeds,
        "permuted": config.untrained.permuted, "attention": config.tests.attention, "adjust": config.tests.adjust,
        "draws": config.tests.draws, "min_loci": config.tests.min_loci, "ablation": config.ablation.test,
        "dose": config.ablation.dose, "ablated_windows": config.ablation.windows, "seed": config.seed,
        "device": device, "out": out, "progress": progress,
    }  # fmt: skip
    return heads(stages, windows, configured, share=share, **options)


# --- results ----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, eq=False)
class Heads(Tables):
    """What heads have to do with features.

    Attributes:
        stages: A row per model: ``stage``, ``kind`` (``model``, ``random`` or ``permuted``), ``model``, ``digest``,
            ``layers``, ``heads`` of a layer, ``sink``, the mean share of attention that special tokens take.
        features: A row per feature: whether it is a ``mask``, what it is not ``adjusted`` for, its ``windows`` and
            ``loci`` with a number, those without by reason (``constant``, ``missing``, ``explained``), and the ``bar``
            that random heads set.
        associations: A row per model, head and feature: ``value``, the mean partial Spearman correlation over loci;
            ``excess`` over its mean under rotation; ``z``, ``p``, ``p_max`` (family-wise) and ``q`` of all loci;
            ``candidate`` of one half of the loci, ``p_confirmed`` of the other, ``found``; ``beyond``, whether ``z``
            lies beyond the bar of random heads; ``counts``, whether both; ``auroc``, of masks, unadjusted; ``sink`` of
            the head. Layers and heads count from 1.
        changes: A row per head and feature, from one stage to the next: ``change`` of the value, its 95 % interval
            over loci, and whether it ``changed``, corrected for all heads and features (max-T).
        effects: A row per stage, head and feature: by how much more the output falls in windows with the feature than
            in others when the head is ablated (``effect``), the same for its ``control``, the head of the same layer
            with the nearest size, and their ``difference``; each with a 95 % interval over loci.
        doses: Likewise for the first 1, 2, ... heads together, of features with a confirmed head.
        settings: What determined all of it.

    Example:
        >>> import pandas as pd
        >>> stages = pd.DataFrame({"stage": ["mine"], "kind": ["model"]})
        >>> associations = pd.DataFrame({"stage": ["mine"] * 2, "z": [4.0, 0.5], "counts": [True, False]})
        >>> Heads(stages, stages, associations, stages, stages, stages, {"seed": 0})
        <Heads: 1 of 2 heads and features count, in mine>
    """

    stages: pd.DataFrame
    features: pd.DataFrame
    associations: pd.DataFrame
    changes: pd.DataFrame
    effects: pd.DataFrame
    doses: pd.DataFrame
    settings: Mapping[str, Any]

    TABLES = TABLES
    RECORD, WHAT, COMMAND = SETTINGS, "a study of heads", "kmerit heads"

    def to_frame(self) -> pd.DataFrame:
        """Return the associations, a row per model, head and feature.

        Example:
            >>> import pandas as pd
            >>> table = pd.DataFrame({"stage": ["mine"]})
            >>> len(Heads(table, table, table, table, table, table, {"seed": 0}).to_frame())
            1
        """
        return self.associations

    def _shown_frame(self) -> pd.DataFrame:
        columns = ["stage", "layer", "head", "feature", "value", "z", "beyond"]
        return self.counted[[name for name in columns if name in self.counted]]

    def __repr__(self) -> str:
        models = self.stages["stage"][self.stages["kind"] == "model"].tolist()
        table = self.counted
        return f"<Heads: {len(table)} of {self._tests(models)} heads and features count, in {', '.join(models)}>"

    def _tests(self, models: Sequence[str]) -> int:
        return int((self.associations["stage"].isin(models) & self.associations["z"].notna()).sum())

    @property
    def counted(self) -> pd.DataFrame:
        """The associations of trained models that count, strongest first."""
        table = self.associations[self.associations["counts"].astype(bool)]
        models = self.stages.loc[self.stages["kind"] == "model", "stage"]
        table = table[table["stage"].isin(models)]
        return table.iloc[np.argsort(-table["z"].abs().to_numpy(), kind="stable")].reset_index(drop=True)

    def save(self, folder: str | os.PathLike[str]) -> Path:
        """Write every table as CSV and as Parquet, and the settings.

        Returns:
            The folder.

        Example:
            >>> import tempfile
            >>> import pandas as pd
            >>> table = pd.DataFrame({"stage": ["mine"]})
            >>> folder = Heads(table, table, table, table, table, table, {"seed": 0}).save(tempfile.mkdtemp())
            >>> read_heads(folder).stages["stage"].tolist()
            ['mine']
        """
        place = Path(folder)
        with hold(place):
            begin(place / SETTINGS, self.WHAT, self.settings, free=_FREE)
            self.write_tables(place)
        return place


def _parquet(table: pd.DataFrame, path: Path) -> None:
    with atomic_write(path) as part:
        table.to_parquet(part, index=False, compression="zstd")


def read_heads(folder: str | os.PathLike[str]) -> Heads:
    """Read what a study of heads wrote into a folder.

    Raises:
        FormatError: It holds no such results.
    """
    return Heads.load(folder)


# --- the study --------------------------------------------------------------------------------------------------------


@overload
def heads(
    stages: Model | str | os.PathLike[str] | Mapping[str, Model | str | os.PathLike[str]],
    windows: SequencesLike,
    features: Features,
    *,
    before: Mapping[str, str] | None = None,
    targets: Mapping[str, int | str] | None = None,
    untrained: str | os.PathLike[str] | None = None,
    seeds: int = SEEDS,
    permuted: int = 0,
    attention: str = "paid",
    adjust: Collection[str] = ADJUSTED,
    draws: int = 2000,
    min_loci: int = 1,
    ablation: bool = True,
    dose: int = 3,
    ablated_windows: int | None = None,
    seed: int = 0,
    device: str = "auto",
    out: str | Path | None = None,
    progress: Progress | None = None,
) -> Heads: ...


@overload
def heads(
    stages: Model | str | os.PathLike[str] | Mapping[str, Model | str | os.PathLike[str]],
    windows: SequencesLike,
    features: Features,
    *,
    before: Mapping[str, str] | None = None,
    targets: Mapping[str, int | str] | None = None,
    untrained: str | os.PathLike[str] | None = None,
    seeds: int = SEEDS,
    permuted: int = 0,
    attention: str = "paid",
    adjust: Collection[str] = ADJUSTED,
    draws: int = 2000,
    min_loci: int = 1,
    ablation: bool = True,
    dose: int = 3,
    ablated_windows: int | None = None,
    seed: int = 0,
    device: str = "auto",
    out: str | Path | None = None,
    progress: Progress | None = None,
    share: Work | None,
) -> Heads | None: ...


def heads(
    stages: Model | str | os.PathLike[str] | Mapping[str, Model | str | os.PathLike[str]],
    windows: SequencesLike,
    features: Features,
    *,
    before: Mapping[str, str] | None = None,
    targets: Mapping[str, int | str] | None = None,
    untrained: str | os.PathLike[str] | None = None,
    seeds: int = SEEDS,
    permuted: int = 0,
    attention: str = "paid",
    adjust: Collection[str] = ADJUSTED,
    draws: int = 2000,
    min_loci: int = 1,
    ablation: bool = True,
    dose: int = 3,
    ablated_windows: int | None = None,
    seed: int = 0,
    device: str = "auto",
    out: str | Path | None = None,
    progress: Progress | None = None,
    share: Work | None = None,
) -> Heads | None:
    """Ask what the attention heads of models have to do with features of DNA, by association and by cause.

    Args:
        stages: A model, or several by name in the order of training: loaded ones, paths or names.
        windows: Sequences of one length with loci; anything that ``as_sequences`` takes.
        features: Of ``kmerit.biology.feature``, names such as ``"gc"``, tables such as
            ``{"feature": "gc", "width": 51}``, or arrays by name,
            ``{"mine": [window, position]}``, NaN where missing; an array of 0 and 1 is a mask.
        before: By stage, the one from which it was trained; by default the one before it in ``stages``.
        targets: By stage, the output whose change by ablation is measured; the last by default.
        untrained: Checkpoint of the shape of the random models; by default the first stage that is a path or name.
            They are the reference of stages of the same architecture; of others nothing counts.
        seeds: Random models of the reference, at least 10; 0 for no reference, and then no association counts.
        permuted: Models with permuted weights, a stage each.
        attention: ``paid``, ``focus`` or ``cls``, see ``paid_attention``.
        adjust: What is removed from attention and features: ``gc``, ``position``, ``kmers``.
        draws: Rotations of the null.
        min_loci: A feature with fewer loci that have a number is measured, and not tested.
        ablation: Whether heads of the stages are ablated.
        dose: Heads of a feature that are ablated together, at most.
        ablated_windows: In how many windows, spread evenly over all; in all by default, which takes longest of all.
        seed: Of all draws.
        device: Where models given by path run.
        out: Folder for tables and each window's numbers; stopped work resumes.
        progress: Called with steps done and steps in all.
        share: What of it is done, with ``out``: ``"plan"`` or a `kmerit.store.Share`, which return None, or
            ``"gather"``; by default all. The bytes are the same.

    Raises:
        UsageError: No stage or feature, two features of one name, too small a number, too few windows.
        SequenceError: Windows without loci, or of several lengths.
        UnsupportedMethod: A model without attention, or whose heads cannot be ablated.
        RunMismatch: The folder holds other results, or the plan is another.
        RunError: A share without a plan, or to be gathered before every share is there.

    Example:
        >>> import kmerit as km
        >>> rng = np.random.default_rng(0)
        >>> strings = ["".join(rng.choice(list("ACGT"), 120)) for _ in range(60)]
        >>> windows = km.Sequences.from_strings(
        ...     strings, loci=[km.Locus("chr1", 1000 * i, 1000 * i + 120) for i in range(60)])
        >>> heads("bundled:promoter", windows, [{"feature": "gc"}], seeds=0, ablation=False, draws=50)
        <Heads: 0 of 9 heads and features count, in model>
    """
    study = _Study.of(
        stages, as_sequences(windows), features, dict(before or {}), dict(targets or {}), untrained, seeds, permuted,
        attention,
        tuple(name for name in ADJUSTED if name in adjust) if set(adjust) <= set(ADJUSTED) else tuple(adjust),
        draws, min_loci, ablation, dose, ablated_windows, seed, device, None if out is None else Path(out),
    )  # fmt: skip
    if study.folder is None:
        if share is not None:
            raise UsageError("share: expected a folder (out) that the shares meet in, got none.")
        return study.result(progress)
    return study.worked(study.folder, share, progress)


@dataclass(frozen=True)
class _Unit:
    """A model that is tested.

    Attributes:
        name: Of the model.
        kind: ``model``, ``random`` or ``permuted``.
        mark: Of its files.
        make: Makes it; None for a model that is given.
    """

    name: str
    kind: str
    mark: str
    make: Callable[[], Model] | None


@dataclass(frozen=True, eq=False)
class _Study:
    windows: Sequences
    names: tuple[str, ...]
    tracks: Floats  # [W, F, L]
    masks: Bool  # [F]
    itself: tuple[frozenset[str], ...]
    units: tuple[_Unit, ...]
    before: Mapping[str, str]
    targets: Mapping[str, int]
    attention: str
    adjust: tuple[str, ...]
    draws: int
    min_loci: int
    ablation: bool
    dose: int
    ablated_windows: int | None
    seed: int
    folder: Path | None
    architectures: Mapping[str, _Architecture]
    settings: Mapping[str, Any]
    computing: Mapping[str, Any]
    models: dict[str, Model]
    effects: dict[str, Effects] = field(default_factory=dict)

    @classmethod
    def of(
        cls,
        stages: Any,
        windows: Sequences,
        features: Features,
        before: dict[str, str],
        targets: dict[str, int | str],
        untrained: Any,
        seeds: int,
        permuted: int,
        attention: str,
        adjust: tuple[str, ...],
        draws: int,
        min_loci: int,
        ablation: bool,
        dose: int,
        ablated_windows: int | None,
        seed: int,
        device: str,
        folder: Path | None,
    ) -> _Study:
        """Check what is asked, read the features, and list the models."""
        by_name: dict[str, Any] = dict(stages) if isinstance(stages, Mapping) else {"model": stages}
        if isinstance(stages, list | tuple) or not all(isinstance(name, str) for name in by_name):
            raise UsageError('stages: expected a model, or several by name: {"before": ..., "after": ...}.')
        if not by_name or not features:
            raise UsageError("heads: expected at least one model and one feature.")
        if attention not in VARIANTS:
            raise UsageError(f"attention: expected one of {', '.join(VARIANTS)}, got {attention!r}.")
        Tests.parse({"draws": draws, "min_loci": min_loci}, "tests")
        Untrained.parse({"permuted": permuted}, "untrained")
        Ablation.parse({"dose": dose, "windows": ablated_windows}, "ablation")
        if seeds and seeds < SEEDS:
            raise UsageError(f"seeds: expected at least {SEEDS} random models, or 0 for no reference; got {seeds}.")
        for key, stage_names in (("targets", set(targets)), ("before", {*before, *before.values()})):
            if unknown := sorted(stage_names - set(by_name)):
                raise UsageError(f"{key}: {unknown[0]!r} is not one of the stages: {', '.join(by_name)}.")
        paths = [each for each in by_name.values() if not isinstance(each, Model)]
        shape = untrained if untrained is not None else next(iter(paths), None)
        if seeds + permuted and shape is None:
            raise UsageError(
                "untrained: loaded models cannot be made random; name a checkpoint as their architecture, "
                "or seeds=0 for no reference."
            )
        loci_of(windows)
        names, tracks, masks, itself, files = _read(features, windows)

        record = {} if folder is None else all_recorded(folder / _PARTS / "settings.json")
        if folder is not None and not record:  # done: what is added is made of the same products
            record = {key: recorded(folder / SETTINGS, key) for key in _COMPUTED_WITH}

        longest = int(windows.lengths.max())

        def held(name: str, model: Model) -> Model:
            begun = {key: value.get(name) if isinstance(value, dict) else value for key, value in record.items()}
            model = model if folder is None else model.begun_with(begun, folder, "heads with other settings")
            return model.fitted(windows, partial(passes, variant=attention, longest=longest))

        def loaded(name: str) -> Model:
            given = by_name[name]
            return held(name, given if isinstance(given, Model) else load_model(given, device=device))

        def untrained_model(make: Callable[..., Model], number: int) -> Model:
            return held(_RANDOM, make(str(shape), seed + number, device, MICRO_BATCH))

        units = [_Unit(name, "model", f"model-{i}", None) for i, name in enumerate(by_name)]
        for kind, count, make in (
            (_PERMUTED, permuted, permuted_weights),
            (_RANDOM, seeds, random_weights),
        ):
            if clash := [name for name in by_name if name == kind or name.startswith(f"{kind} ")]:
                raise UsageError(f"stages: {clash[0]!r} is what models without training are called; choose another.")
            units += [
                _Unit(f"{kind} {i}", kind, f"untrained-{kind}-{i}", partial(untrained_model, make, i))
                for i in range(count)
            ]
        models = {name: loaded(name) for name in by_name}
        outputs = {name: model.output(targets.get(name, model.n_classes - 1)) for name, model in models.items()}
        for model in models.values() if ablation else ():
            check_ablation(model)
        architectures = {name: _architecture(model, windows, attention) for name, model in models.items()}
        random = None if shape is None or not seeds + permuted else untrained_model(random_weights, 0)
        reference = _architecture(random, windows, attention) if random is not None and seeds else None
        incomparable = [name for name, architecture in architectures.items() if reference and architecture != reference]
        for name in incomparable:
            _LOG.warning(
                "%s: the random models are of another architecture (%s), so no association counts.", name, shape
            )
        earlier = _earlier(list(by_name), before)
        for after, above in list(earlier.items()):
            if architectures[after] != architectures[above]:
                _LOG.warning("%s and %s are of different architectures; their heads are not compared.", above, after)
                del earlier[after]
        every = {**models, **({} if random is None else {_RANDOM: random})}
        about = {
            "stages": {name: model.digest for name, model in models.items()},
            "targets": outputs,
            "before": earlier,
            "windows": list(windows.digests),
            "loci": [str(locus) for locus in windows.loci or ()],
            "features": {
                name: {"mask": bool(mask), "itself": sorted(own), "digest": _digest(tracks[:, i])}
                for i, (name, mask, own) in enumerate(zip(names, masks, itself, strict=True))
            },
            "files": files,
            "untrained": None if random is None else random.digest,
            "incomparable": incomparable,
            "seeds": seeds,
            "permuted": permuted,
            "attention": attention,
            "adjust": list(adjust),
            "draws": draws,
            "min_loci": min_loci,
            "ablation": ablation,
            "dose": dose,
            "ablated_windows": ablated_windows,
            "seed": seed,
            **{key: {name: getattr(model, key) for name, model in every.items()} for key in _COMPUTED_WITH},
        }
        conditions = {name: model.conditions for name, model in every.items()}
        here = environment()
        of_a_model = [key for key in next(iter(conditions.values())) if key not in here]
        computing = here | {key: {name: each[key] for name, each in conditions.items()} for key in of_a_model}
        return cls(
            windows, names, tracks, masks, itself, tuple(units), earlier, outputs, attention, adjust, draws, min_loci,
            ablation, dose, ablated_windows, seed, folder, architectures, about, computing, models,
        )  # fmt: skip

    # In shares: each part is a model that is tested, or a layer of one whose heads are ablated.

    def worked(self, folder: Path, share: Work | None, progress: Progress | None) -> Heads | None:
        """Do the study in a folder, or a part of it."""
        parts = StoredParts(folder / _PARTS, {**self.computing, **self.settings}, folder)
        check = partial(
            check_begun, folder / SETTINGS, "a study of heads", self.settings, own=lambda path: path.name == _PARTS,
            free=_FREE, earlier=lambda settings: {"min_loci": 1, **settings},
        )  # fmt: skip
        if isinstance(share, Share):
            with parts.holding(share):
                check()
                parts.check("heads")
                if undone := self._undone():
                    parts.need_plan()
                    self._make([index for index in undone if index in share], progress)
            return None
        with hold(folder):
            undone = self._undone()
            if undone and share == "gather":
                parts.need_plan()
            check()
            parts.check("heads", () if share == "gather" else _FREE)
            settle(folder / SETTINGS, self.settings)
            if undone and share != "gather":
                parts.plan()
            if share == "plan":
                return None
            parts.need_idle()
            if undone and share == "gather":
                parts.need_all(len(self._parts), self._done)
            self._make(undone, progress)
            result = self.result(None)
            result.write_tables(folder)
            self._remove_parts(parts)
            return result

    def _undone(self) -> list[int]:
        return [index for index in range(len(self._parts)) if not self._done(index)]

    @cached_property
    def _parts(self) -> list[tuple[str, int | None]]:
        """Every part: a model, or the layer of a stage."""
        layers = [
            (name, layer)
            for name, each in self.architectures.items()
            for layer in range(each.layers if self.ablation else 0)
        ]
        return [*((unit.name, None) for unit in self.units), *layers]

    def _done(self, index: int) -> bool:
        """Return whether a part is done, or what is made of it."""
        name, layer = self._parts[index]
        stages = Stages(self._place)
        unit = self.units[index] if layer is None else None
        if unit is not None and not stages.is_done(unit.mark):
            return False
        if unit is not None and (unit.kind != "model" or not self.ablation):
            return True
        return stages.is_done(self._mark(name)) or stages.is_done(self._mark_of_part(name, layer))

    def _make(self, indices: Sequence[int], progress: Progress | None) -> None:
        for number, index in enumerate(indices):
            name, layer = self._parts[index]
            if layer is None:
                unit = self.units[index]
                table, _ = self._once(unit)
                if unit.kind == "model" and self.ablation:
                    self._keep_doses(name, table)
            else:
                self._keep_effects(name, layer, [[(layer, head)] for head in range(self.architectures[name].heads)])
            if progress is not None:
                progress(number + 1, len(indices))

    @property
    def _place(self) -> Path:
        if self.folder is None:
            raise RuntimeError("parts of a study are kept in a folder")
        return self.folder

    def _mark(self, name: str) -> str:
        """Name what is known of a stage's ablation in the end."""
        return f"ablation-{list(self.models).index(name)}-dose-{self.dose}-windows-{self.ablated_windows or 'all'}"

    def _mark_of_part(self, name: str, layer: int | None) -> str:
        """Name the effects of a layer's heads; of the doses, None."""
        return f"{self._mark(name)}-{'doses' if layer is None else f'layer-{layer}'}-part"

    def _rows(self) -> Int64:
        """Windows in which heads are ablated."""
        size = len(self.windows)
        return np.unique(np.linspace(0, size - 1, min(self.ablated_windows or size, size)).astype(np.int64))

    def _effects(self, name: str) -> Effects:
        """Measure, or go on measuring, what the heads of a stage do."""
        if name not in self.effects:
            windows, heads = self.windows.take(self._rows()), self.architectures[name].heads
            self.effects[name] = Effects(self.models[name], windows, heads, int(self.targets[name]))
        return self.effects[name]

    def _steps(self, table: pd.DataFrame, effects: Effects) -> dict[str, list[tuple[list[Head], list[Head]]]]:
        """Choose the heads that are ablated together, of each feature with one that was found, and their controls."""
        steps = {}
        for feature in self.names:
            of_feature = table[table["feature"] == feature]
            if of_feature["found"].any():
                order = np.argsort(-of_feature["z"].abs().fillna(0).to_numpy(), kind="stable")
                ranked = [
                    (int(of_feature["layer"].iloc[i]) - 1, int(of_feature["head"].iloc[i]) - 1) for i in order.tolist()
                ]
                steps[feature] = ladder(ranked, effects.outputs, self.dose)
        return steps

    def _keep_doses(self, name: str, table: pd.DataFrame) -> None:
        """Ablate several heads of a stage together, and keep that, and what all put out."""
        import pandas as pd

        effects = self._effects(name)
        sets = [heads for steps in self._steps(table, effects).values() for step in steps for heads in step]
        outputs = {"mean": [each.tolist() for each in effects.outputs.mean], "size": effects.outputs.size.tolist()}
        file = f"{_PARTS}/{self._mark_of_part(name, None)}-outputs.parquet"
        _parquet(pd.DataFrame(outputs), self._place / file)
        self._keep_effects(name, None, [heads for heads in sets if len(heads) > 1], file)

    def _keep_effects(self, name: str, layer: int | None, sets: Sequence[Sequence[Head]], *more: str) -> None:
        import pandas as pd

        effects, mark = self._effects(name), self._mark_of_part(name, layer)
        file = f"{_PARTS}/{mark}.parquet"
        values = {_spelt(sorted(heads)): effects.of(heads) for heads in sets}
        _parquet(pd.DataFrame(values, index=range(len(self._rows()))), self._place / file)
        Stages(self._place).mark_done(mark, [file, *more])

    def _read_effects(self, name: str) -> None:
        """Take what the parts have measured."""
        import pandas as pd

        effects, stages = self._effects(name), Stages(self._place)
        for layer in (None, *range(self.architectures[name].layers)):
            mark = self._mark_of_part(name, layer)
            if not stages.is_done(mark):
                continue
            table = pd.read_parquet(self._place / _PARTS / f"{mark}.parquet")
            for spelt in table:
                heads = [tuple(int(i) - 1 for i in each.split(".")) for each in str(spelt).split(", ")]
                effects.known[frozenset((a, b) for a, b in heads)] = table[spelt].to_numpy(np.float64)
            if layer is None:
                outputs = pd.read_parquet(self._place / _PARTS / f"{mark}-outputs.parquet")
                mean = tuple(torch.from_numpy(np.array(each, dtype=np.float64)) for each in outputs["mean"])
                effects.outputs = Outputs(mean, np.stack(outputs["size"].tolist()).astype(np.float64))

    def _remove_parts(self, parts: StoredParts) -> None:
        stages = Stages(self._place)
        files = []
        for mark in stages.names():
            if mark.endswith("-part"):
                files += [Path(file).name for file in stages.recorded(mark) or ()]
                stages.forget(mark)
        parts.remove((), files)

    def result(self, progress: Progress | None) -> Heads:
        """Test all models, then compare them."""
        import pandas as pd

        steps = len(self.units) + self.ablation * len(self.models)
        tables: list[pd.DataFrame] = []
        numbers: dict[str, NDArray[np.float32]] = {}
        count = 0
        for unit in self.units:
            table, rho = self._once(unit)
            tables.append(table)
            numbers |= rho
            count += 1
            if progress is not None:
                progress(count, steps)
        everything = pd.concat(tables, ignore_index=True)
        stages = everything[list(_STAGE)].drop_duplicates(ignore_index=True)
        stages["sink"] = stages["stage"].map(everything.groupby("stage", sort=False)["sink"].mean())
        associations = everything.drop(columns=[*_STAGE[1:], *_COUNTED])
        bars = random_bars(everything[everything["kind"] == _RANDOM])
        bar = associations["feature"].map(bars).to_numpy(dtype=np.float64)
        associations["beyond"] = np.abs(associations["z"].to_numpy()) > np.where(np.isfinite(bar), bar, np.inf)
        associations["beyond"] &= ~associations["stage"].isin(self.settings["incomparable"])
        associations["counts"] = associations["found"].astype(bool) & associations["beyond"]
        effects, doses = [], []
        for name, model in self.models.items() if self.ablation else ():
            of_stage = associations[associations["stage"] == name]
            pair = self._ablated_once(name, model, of_stage)
            effects.append(pair[0])
            doses.append(pair[1])
            count += 1
            if progress is not None:
                progress(count, steps)
        return Heads(
            stages,
            self._features(everything, bars),
            associations,
            self._changes(numbers),
            _table(effects, _EFFECT),
            _table(doses, _DOSE),
            self.settings,
        )

    def _tested(self, unit: _Unit) -> tuple[pd.DataFrame, dict[str, NDArray[np.float32]]]:
        """Test a model: its table, and of a trained one the number of each window ``[W, H, F]``."""
        import pandas as pd

        model = self.models[unit.name] if unit.make is None else unit.make()
        paid = paid_attention(model, self.windows, self.attention)
        attention = paid.values.reshape(len(self.windows), -1, paid.values.shape[3])
        result = associate(
            attention, self.tracks, self.windows,
            itself=self.itself, adjust=self.adjust, draws=self.draws, min_loci=self.min_loci, seed=self.seed,
        )  # fmt: skip
        loci = loci_of(self.windows)
        layers, heads = paid.sink.shape[1:]
        areas = np.full((layers * heads, len(self.names)), np.nan)
        if self.masks.any():
            areas[:, self.masks] = over_loci(aurocs(attention, self.tracks[:, self.masks]), loci)
        head, feature = (each.ravel() for each in np.indices(areas.shape))
        table = pd.DataFrame(
            {
                "stage": unit.name,
                "kind": unit.kind,
                "model": model.name,
                "digest": model.digest,
                "layers": layers,
                "heads": heads,
                "layer": head // heads + 1,
                "head": head % heads + 1,
                "feature": np.array(self.names)[feature],
                **_columns(result),
                "auroc": areas.ravel(),
                "sink": over_loci(paid.sink, loci).ravel()[head],
                **{key: counts[feature] for key, counts in _counts(result).items()},
            }
        )
        return table, {unit.name: result.rho} if unit.kind == "model" else {}

    def _once(self, unit: _Unit) -> tuple[pd.DataFrame, dict[str, NDArray[np.float32]]]:
        """Test a model, or read what an earlier time left of it in the folder."""
        import pandas as pd

        if self.folder is None:
            return self._tested(unit)
        stages, files = Stages(self.folder), [f"{unit.mark}.parquet"]
        files += [f"numbers-{self.units.index(unit)}.parquet"] if unit.kind == "model" else []
        if stages.is_done(unit.mark):
            table = pd.read_parquet(self.folder / files[0])
            if unit.kind != "model":
                return table, {}
            rows = pd.read_parquet(self.folder / files[1])[list(self.names)].to_numpy(np.float32)
            return table, {unit.name: rows.reshape(len(self.windows), -1, len(self.names))}
        table, numbers = self._tested(unit)
        _parquet(table, self.folder / files[0])
        for rho in numbers.values():
            heads = int(table["heads"].iloc[0])
            window, head = (each.ravel() for each in np.indices(rho.shape[:2]))
            about = {
                "window": np.array(self.windows.names)[window],
                "layer": head // heads + 1,
                "head": head % heads + 1,
            }
            values = dict(zip(self.names, rho.reshape(-1, len(self.names)).T, strict=True))
            _parquet(pd.DataFrame(about | values), self.folder / files[1])
        stages.mark_done(unit.mark, files)
        return table, numbers

    def _features(self, table: pd.DataFrame, bars: Mapping[str, float]) -> pd.DataFrame:
        import pandas as pd

        counts = table.drop_duplicates("feature").set_index("feature")
        tested = table.groupby("feature")["z"].count() > 0
        rows = [
            {
                "feature": name,
                "mask": bool(mask),
                "not_adjusted_for": ", ".join(sorted(own)),
                **{key: int(counts[key][name]) for key in _COUNTED},
                "tested": bool(tested[name]),
                "bar": bars.get(name, np.nan),
            }
            for name, mask, own in zip(self.names, self.masks, self.itself, strict=True)
        ]
        return pd.DataFrame(rows)

    def _changes(self, numbers: Mapping[str, NDArray[np.float32]]) -> pd.DataFrame:
        """Compare each stage with the one before it, head by head."""
        import pandas as pd

        clusters, frames = loci_of(self.windows).cluster, []
        for after, before in self.before.items():
            gap = (numbers[after].astype(np.float64) - numbers[before]).reshape(len(self.windows), -1)
            gap[:, [np.unique(clusters[each]).size < LOCI for each in np.isfinite(gap).T]] = np.nan
            statistics = studentised(gap, clusters=clusters, seed=self.seed)
            low, high = statistics.interval()
            above, below = max_t([statistics])
            heads = self.architectures[after].heads
            index = np.arange(gap.shape[1])
            head = index // len(self.names)
            with np.errstate(invalid="ignore", divide="ignore"):
                t = statistics.mean / statistics.error
            frames.append(
                pd.DataFrame(
                    {
                        "stage": after,
                        "before": before,
                        "layer": head // heads + 1,
                        "head": head % heads + 1,
                        "feature": np.array(self.names)[index % len(self.names)],
                        "change": statistics.mean,
                        "low": low,
                        "high": high,
                        "changed": (t > above) | (t < -below),
                    }
                )
            )
        return _table(frames, _CHANGE)

    def _ablated_once(self, name: str, model: Model, table: pd.DataFrame) -> tuple[pd.DataFrame, pd.DataFrame]:
        """Ablate a model's heads, or read what an earlier time left of that in the folder."""
        import pandas as pd

        if self.folder is None:
            return self._ablated(name, model, table)
        mark, stages = self._mark(name), Stages(self.folder)
        files = [f"{mark}-{part}.parquet" for part in ("effects", "doses")]
        if not stages.is_done(mark):
            self._read_effects(name)
            for part, file in zip(self._ablated(name, model, table), files, strict=True):
                _parquet(part, self.folder / file)
            stages.mark_done(mark, files)
        alone, together = (pd.read_parquet(self.folder / file) for file in files)
        return alone, together

    def _ablated(self, name: str, model: Model, table: pd.DataFrame) -> tuple[pd.DataFrame, pd.DataFrame]:
        """Ablate every head alone, and the first of each feature together; each against heads of the same size."""
        import pandas as pd

        layers, heads = int(table["layer"].max()), int(table["head"].max())
        rows, work = self._rows(), self._effects(name)
        clusters = loci_of(self.windows.take(rows)).cluster
        ladders = self._steps(table, work)
        every: list[Head] = [(layer, head) for layer in range(layers) for head in range(heads)]
        control = {head: work.outputs.matched(head, ()) for head in every}
        alone, together = [], []
        for column, feature in enumerate(self.names):
            present, usable = with_feature(self.tracks[rows, column], bool(self.masks[column]))
            windows = {"with": int((present & usable).sum()), "without": int((~present & usable).sum())}
            if min(windows.values()) < 2:
                continue
            own = [work.of([head]) for head in every]
            other = [work.of([mine]) if mine is not None else np.full(len(rows), np.nan)
                     for mine in control.values()]  # fmt: skip
            gaps = [a - b for a, b in zip(own, other, strict=True)]
            effects = contrasts([*own, *other, *gaps], present, usable, clusters, seed=self.seed)
            for i, head in enumerate(every):
                three = effects[i], effects[i + len(every)], effects[i + 2 * len(every)]
                about = {"stage": name, "feature": feature, "layer": head[0] + 1, "head": head[1] + 1}
                alone.append(about | {"controlled_by": _spell(control[head])} | _three(*three) | windows)
            for chosen, controls in ladders.get(feature, ()):
                pair = work.of(chosen), work.of(controls)
                dosed = contrasts([*pair, pair[0] - pair[1]], present, usable, clusters, seed=self.seed)
                about = {"stage": name, "feature": feature, "dose": len(chosen)}
                about |= {"ablated": _spelt(chosen), "controls": _spelt(controls)}
                together.append(about | _three(*dosed) | windows)
        return pd.DataFrame(alone, columns=list(_EFFECT)), pd.DataFrame(together, columns=list(_DOSE))


def random_bars(table: pd.DataFrame) -> dict[str, float]:
    """Set the bar of each feature: so high that 5 % of random heads at most lie beyond any of theirs.

    By order statistics, since heads of other seeds have no names: the 95th percentile of the sizes of z over all
    random heads, feature by feature, and all of them raised by one factor until that holds for heads.

    Args:
        table: Associations of random models: ``stage``, ``layer``, ``head``, ``feature``, ``z``.

    Example:
        >>> import pandas as pd
        >>> rows = [{"stage": "a", "layer": 1, "head": i, "feature": "gc", "z": i / 10} for i in range(100)]
        >>> random_bars(pd.DataFrame(rows))
        {'gc': 9.5}
    """
    if not len(table):
        return {}
    wide = table.assign(z=table["z"].abs()).pivot_table(
        index=["stage", "layer", "head"], columns="feature", values="z", dropna=False, sort=False
    )
    values = wide.to_numpy(dtype=np.float64)
    tops = [_upper(column[np.isfinite(column)]) for column in values.T]
    finite = np.isfinite(tops)
    ratio = np.nan_to_num(values[:, finite], nan=-np.inf) / np.array(tops)[finite]
    factor = max(1.0, _upper(ratio.max(axis=1))) if finite.any() else 1.0
    return {name: top * factor for name, top in zip(wide.columns, tops, strict=True) if np.isfinite(top)}


def _earlier(stages: Sequence[str], before: Mapping[str, str]) -> dict[str, str]:
    """Name the stage before each: what is said, else the one above."""
    return {after: before.get(after, above) for above, after in pairwise(stages)} | dict(before)


class _Architecture(NamedTuple):
    """What makes heads of two models comparable.

    Attributes:
        family: Of the model.
        layers: With attention.
        heads: Of a layer.
        tokens: sha256 of what it reads of some windows.
    """

    family: str
    layers: int
    heads: int
    tokens: str


def _architecture(model: Model, windows: Sequences, attention: str) -> _Architecture:
    """Find the architecture of a model, or refuse the model before anything is measured.

    Raises:
        UnsupportedMethod: It has no attention.
        SequenceError: A window that it cannot take.
        LengthError: Likewise.
    """
    model.check(windows)
    layers, heads = paid_attention(model, windows.take([0]), attention).sink.shape[1:]
    ids = model.tokenize(*windows.take(np.arange(min(_READ, len(windows)))).padded()).ids
    return _Architecture(model.family, layers, heads, digest_of(np.ascontiguousarray(ids).tobytes()).hexdigest())


_READ = 16
"""Windows whose tokens tell tokenizers apart."""
_COMPUTED_WITH = ("products", "micro_batch")
"""What of the models' last bits is recorded for good."""
_FREE = ("files", "incomparable", "ablation", "dose", "ablated_windows", *_COMPUTED_WITH)
"""Settings that may change in a folder: what is tested does not depend on them. Products are those of the beginning."""
_RESERVED = ("window", "layer", "head")
"""Columns of the tables of each window's numbers."""
_STAGE = ("stage", "kind", "model", "digest", "layers", "heads")
_COUNTED = ("windows", "loci", *REASONS[1:])
_CHANGE = ("stage", "before", "layer", "head", "feature", "change", "low", "high", "changed")
_CONTRAST = tuple(f"{what}{end}" for what in ("effect", "control", "difference") for end in ("", "_low", "_high"))
_EFFECT = ("stage", "feature", "layer", "head", "controlled_by", *_CONTRAST, "with", "without")
_DOSE = ("stage", "feature", "dose", "ablated", "controls", *_CONTRAST, "with", "without")


def _table(frames: Sequence[pd.DataFrame], columns: Sequence[str]) -> pd.DataFrame:
    import pandas as pd

    filled_frames = [each for each in frames if len(each)]
    return pd.concat(filled_frames, ignore_index=True) if filled_frames else pd.DataFrame(columns=list(columns))


def _three(own: Contrast, other: Contrast, gap: Contrast) -> dict[str, float]:
    values = [value for each in (own, other, gap) for value in each]
    return dict(zip(_CONTRAST, values, strict=True))


def _spell(head: Head | None) -> str:
    """Spell a head as layer.head, from 1."""
    return "" if head is None else f"{head[0] + 1}.{head[1] + 1}"


def _spelt(heads: Sequence[Head]) -> str:
    return ", ".join(map(_spell, heads))


def _columns(result: Result) -> dict[str, Any]:
    whole = result.whole
    return {
        "value": whole.value.ravel(),
        "excess": whole.excess.ravel(),
        "z": whole.z.ravel(),
        "p": whole.p.ravel(),
        "p_max": whole.p_max.ravel(),
        "q": whole.q.ravel(),
        "candidate": result.candidate.ravel(),
        "p_confirmed": result.confirmation.p_max.ravel(),
        "found": result.found.ravel(),
    }


def _counts(result: Result) -> dict[str, NDArray[np.int64]]:
    reasons = [(result.reason == code).sum(axis=0) for code in range(len(REASONS))]
    return {"windows": reasons[0], "loci": result.loci, **dict(zip(REASONS[1:], reasons[1:], strict=True))}


def _upper(values: Floats) -> float:
    """Return the order statistic that one more of the same kind exceeds with a probability of 5 % at most."""
    at = int(np.ceil((1 - SHARE) * (values.size + 1))) - 1
    return float(np.sort(values)[at]) if at < values.size else float("inf")


def _digest(track: Floats) -> str:
    return digest_of(np.ascontiguousarray(track.astype(np.float64)).tobytes()).hexdigest()


def _read(
    features: Features, windows: Sequences
) -> tuple[tuple[str, ...], Floats, Bool, tuple[frozenset[str], ...], dict[str, str]]:
    """Read all tracks: names, ``[W, F, L]``, which are masks, what each is itself, and the sums of the files."""
    names: list[str] = []
    tracks: list[Floats] = []
    masks: list[bool] = []
    itself: list[frozenset[str]] = []
    files: dict[str, str] = {}
    for name, values, mask, own in _each(features, windows, files):
        if not isinstance(name, str) or name in _RESERVED:
            raise UsageError(f"features: expected a name other than {', '.join(_RESERVED)}, got {name!r}.")
        if name in names:
            raise UsageError(f"features: two are called {name!r}; give one of them a label.")
        if np.isnan(values).all():
            raise FormatError(f"{name}: missing in every window. Is it of another assembly, or other chromosomes?")
        names.append(name)
        tracks.append(values)
        masks.append(mask)
        itself.append(own)
    return tuple(names), np.stack(tracks, axis=1), np.array(masks), tuple(itself), files


def _each(
    features: Features, windows: Sequences, files: dict[str, str]
) -> Iterator[tuple[str, Floats, bool, frozenset[str]]]:
    shape = (len(windows), int(windows.lengths.max()))
    for each in [features] if isinstance(features, Mapping | Feature | str) else features:
        if isinstance(each, Mapping) and "feature" not in each:
            for name, values in each.items():
                try:
                    track = np.asarray(values, dtype=np.float64)
                except (TypeError, ValueError):
                    raise UsageError(
                        f"features: {name!r}: expected an array of numbers, got {short(values)}."
                    ) from None
                if track.shape != shape or np.isinf(track).any():
                    raise UsageError(
                        f"features: {name!r}: expected finite numbers or NaN {list(shape)} [window, position], got "
                        f"{list(track.shape)}."
                    )
                yield name, track, bool(np.isin(track[np.isfinite(track)], (0, 1)).all()), frozenset()
            continue
        feature = each if isinstance(each, Feature) else parse_features([each])[0]
        for path in feature.files():
            files[path] = sha256(Path(path)) if Path(path).is_file() else ""
        for name, track in feature.tracks(windows).items():
            yield name, track, feature.mask, feature.itself
