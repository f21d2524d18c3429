"""What every result of the public API owes: a short repr, a notebook view, a frame; rows, joining, files."""

from __future__ import annotations

import inspect
import typing
from collections.abc import Callable, Iterator
from functools import cache
from importlib import import_module
from pathlib import Path
from types import UnionType
from typing import Any

import numpy as np
import pandas as pd
import pytest
from pandas.testing import assert_frame_equal

import kmerit as km
from helpers.checkpoints import write_tiny
from helpers.small_run import write_experiment
from kmerit.attribution.references import Reference
from kmerit.biology.measured import Measured
from kmerit.biology.variants import Variants
from kmerit.datasets.findings import Audit
from kmerit.datasets.planted_values import PlantedValues
from kmerit.datasets.planting import Planted
from kmerit.models.model import Model
from kmerit.results import Attributions, Predictions
from kmerit.runs.pipeline import Run
from kmerit.trials.pairs import Pairs
from kmerit.trials.side_by_side import SideBySide
from kmerit.trials.verdicts import Verdicts

ROWS = (km.Attribution, Audit, km.Outcomes, km.Sequences, Variants, Verdicts)
"""Results with rows of their own."""
JOINED = (km.Attribution, Attributions, km.Outcomes, km.Sequences, Variants, Verdicts)
FILES = (
    km.Attribution, Attributions, Audit, km.Heads, Measured, km.Motifs, km.Outcomes, Pairs, SideBySide, Variants,
    Verdicts,
)  # fmt: skip
FRAMES = (*FILES, Planted, PlantedValues, Predictions, Reference, Run, km.Sequences)
SHOWN = (*FRAMES, Model)
SUFFIX = {km.Attribution: ".parquet", Attributions: ".parquet", Audit: ".json", Verdicts: ".json"}
"""Of results that are one file; others are a folder."""
NO_RESULTS = ("OneHotModel",)
"""A module that other programs call."""


@pytest.fixture(scope="module", autouse=True)
def folder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    global _folder
    _folder = tmp_path_factory.mktemp("results")
    yield _folder
    made.cache_clear()


_folder = Path()


@cache
def made(kind: type) -> Any:
    """Make a result as a user does, by the public API; heads and motifs by hand, for they take minutes."""
    return MADE[kind]()


@cache
def _model() -> Model:
    return km.load_model(write_tiny(_folder / "model"), micro_batch=4)


@cache
def _sequences() -> km.Sequences:
    rng = np.random.default_rng(5)
    return km.Sequences.from_strings(["".join(rng.choice(list("ACGT"), 48)) for _ in range(4)], labels=[0, 1, 0, 1])


@cache
def _scores() -> Attributions:
    return km.attribute(_model(), _sequences(), ["lrp", "rollout"])


def _audit() -> Audit:
    return km.audit({"train": _sequences(), "test": _sequences()}, baselines=())


def _heads() -> km.Heads:
    table = pd.DataFrame({"stage": ["mine"], "kind": ["model"], "z": [4.0], "counts": [True], "layer": [1]})
    return km.Heads(table, table, table, table, table, table, {"seed": 0})


def _measured() -> Measured:
    from kmerit.io.elements import Assay

    rng = np.random.default_rng(0)
    position, step = np.repeat(np.arange(90), 3), np.tile([1, 2, 3], 90)
    effect, unknown = rng.normal(size=270), np.full(270, np.nan)
    bases = rng.integers(0, 4, 90).astype(np.int8)
    assay = Assay("one", "one", "", 0, bases, position, step, effect, unknown, unknown, {})
    return km.measured(_model(), [assay], methods=["saliency"], target=1, flank_draws=1, resamples=100)


def _motifs() -> km.Motifs:
    families = pd.DataFrame(
        {
            "family": [0], "name": ["AP-1"], "members": ["FOS, JUN"], "consensus": ["A"], "identifier": ["M1"],
            "probabilities": [[1.0, 0.0, 0.0, 0.0]], "enriched": [True], "effect": [1.5], "used": [True],
        }
    )  # fmt: skip
    found = pd.DataFrame(
        {
            "family": [0], "method": ["lrp"], "part": ["positive"], "signed": [True], "tested": [True],
            "found": [True], "excess": [0.1],
        }
    )  # fmt: skip
    return km.Motifs(families, found, *[pd.DataFrame()] * 4)


def _compared() -> SideBySide:
    scores = {name: _scores() for name in "ab"}
    runs = {name: km.mutate(_model(), _sequences(), _scores(), counts=[5], controls=["shifted"]) for name in "ab"}
    return km.compare(runs, scores=scores, resamples=100)


def _variants() -> Variants:
    genome, vcf = _folder / "g.fa", _folder / "v.vcf"
    genome.write_text(">chr1\n" + "ACGTTGCAGT" * 40 + "\n")
    header = "##fileformat=VCFv4.2\n#CHROM\tPOS\tID\tREF\tALT\tQUAL\tFILTER\tINFO\n"
    vcf.write_text(header + "1\t201\t.\tA\tG,AT\t.\t.\t.\n1\t301\t.\tA\t<DEL>\t.\t.\t.\n")
    return km.variants(_model(), vcf, genome, target=1, length=40)


def _run() -> Run:
    config = write_experiment(_folder, _folder / "model")
    assert _model()  # which writes it
    return km.run(config, _folder / "run", ["attribution.methods=['rollout']"])


def _planted() -> Planted:
    return km.plant(km.Planting(regime="localised", motifs=("CTCF",), train=2, validation=2, test=2))["test"]


MADE: dict[type, Callable[[], Any]] = {
    km.Attribution: lambda: _scores()["lrp"],
    Attributions: _scores,
    Audit: _audit,
    km.Heads: _heads,
    Measured: _measured,
    Model: _model,
    km.Motifs: _motifs,
    km.Outcomes: lambda: km.mutate(_model(), _sequences(), _scores(), counts=[0, 5, "all"], controls=["shifted"]),
    Pairs: lambda: km.pairs(_model(), _sequences(), _scores(), top=3, resamples=100),
    Planted: _planted,
    PlantedValues: lambda: km.plant_values(3, length=64),
    Predictions: lambda: _model().predict(_sequences()),
    Reference: lambda: km.reference(_model(), _sequences(), 0.5, target=1),
    Run: _run,
    km.Sequences: _sequences,
    SideBySide: _compared,
    Variants: _variants,
    Verdicts: lambda: km.judge(made(km.Outcomes), resamples=100),
}


def _returned(function: Any) -> Iterator[type]:
    """List our classes among what a function is annotated to return."""
    scope = {**vars(import_module(function.__module__)), **_hidden(function.__module__)}
    stack = [eval(function.__annotations__.get("return", "None"), scope)]
    while stack:
        each = stack.pop()
        stack += typing.get_args(each) if isinstance(each, UnionType) or typing.get_origin(each) else []
        if inspect.isclass(each) and each.__module__.startswith("kmerit"):
            yield each


def _hidden(module: str) -> dict[str, Any]:
    """Give the names that a module imports for types alone."""
    names = {"pd": pd, "np": np, "Any": Any, "Model": Model, **{each.__name__: each for each in MADE}}
    return {name: each for name, each in names.items() if name not in vars(import_module(module))}


def test_every_result_of_the_door_is_held_to_this() -> None:
    functions = [getattr(km, name) for name in km.__all__ if inspect.isfunction(getattr(km, name))]
    returned = {each for function in [*functions, Model.predict] for each in _returned(function)}
    assert {km.Outcomes, Verdicts, Audit, Run, Predictions} < returned
    assert sorted(each.__name__ for each in returned - set(SHOWN) if each.__name__ not in NO_RESULTS) == []
    assert set(MADE) == set(SHOWN)


@pytest.mark.parametrize("kind", SHOWN)
def test_a_repr_of_a_few_lines_and_a_notebook_view(kind: type) -> None:
    result = made(kind)
    assert isinstance(result, kind)
    assert len(repr(result).splitlines()) <= 10
    assert len(repr(result)) < 1_000
    view = result._repr_html_()
    assert "<table>" in view
    assert "object at 0x" not in view + repr(result)


@pytest.mark.parametrize("kind", FRAMES)
def test_a_frame(kind: type) -> None:
    frame = made(kind).to_frame()
    assert isinstance(frame, pd.DataFrame)
    assert len(frame)
    assert frame.columns.is_unique


@pytest.mark.parametrize("kind", ROWS)
def test_rows_by_number_name_slice_list_and_mask(kind: type) -> None:
    result = made(kind)
    count = len(result)
    assert count > 1
    assert [repr(row) for row in result] == [repr(result[i]) for i in range(count)]
    assert repr(result[-1]) == repr(result[count - 1])
    assert repr(result[np.int64(0)]) == repr(result[0])
    mask = np.arange(count) == 1
    for one in (result[1:2], result[[1]], result[np.array([1])], result[mask], result.take([1])):
        assert isinstance(one, kind)
        assert len(one) == 1
        assert repr(one[0]) == repr(result[1])
    assert repr(result[::-1][0]) == repr(result[count - 1])
    name = result._row_names()[0]
    assert name in result
    assert "nowhere" not in result
    by_name = result[name]
    assert repr(by_name) in (repr(result[0]), repr(result[[i for i, n in enumerate(result._row_names()) if n == name]]))


@pytest.mark.parametrize("kind", ROWS)
def test_what_selects_nothing_is_refused_by_name(kind: type) -> None:
    result = made(kind)
    count = len(result)
    with pytest.raises(IndexError, match=f"{count}: expected a number from -{count} to {count - 1}; there are {count}"):
        result[count]
    with pytest.raises(
        TypeError, match=r"Several are selected by a list: \[\[0, 1\]\]; inside one, index twice: \[0\]"
    ):
        result[0, 1]
    with pytest.raises(km.KmeritError, match="nowhere"):
        result["nowhere"]


@pytest.mark.parametrize("kind", JOINED)
def test_parts_put_together_are_the_whole(kind: Any) -> None:
    whole = made(kind)
    again = kind.concat([whole[:1], whole[1:]])
    assert isinstance(again, kind)
    assert_frame_equal(again.to_frame(), whole.to_frame())
    with pytest.raises(km.KmeritError, match=r"[Ee]xpected at least one"):
        kind.concat([])


@pytest.mark.parametrize("kind", FILES)
def test_what_is_saved_is_read_again(kind: Any, tmp_path: Path) -> None:
    result = made(kind)
    path = result.save(tmp_path / f"saved{SUFFIX.get(kind, '')}")
    assert path.exists()
    again = kind.load(path) if kind is not km.Attribution else kind.load(path, "lrp")
    assert isinstance(again, kind)
    assert repr(again) == repr(result)
    letters = ["letter"] if kind in (km.Attribution, Attributions) else []  # which a file of scores does not hold
    assert_frame_equal(again.to_frame(), result.to_frame().drop(columns=letters))
    with pytest.raises(km.KmeritError):
        kind.load(tmp_path / "nowhere")
