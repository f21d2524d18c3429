"""What a part is held to, for every verb that can be made in shares: what the last bits of an answer depend on."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pytest
import torch

import kmerit as km
from helpers.cramped import cramped
from helpers.planted_head import planted_windows, write_planted
from kmerit.errors import RunMismatch
from kmerit.io.motifs import bundled_motifs
from kmerit.models import inference
from kmerit.models import model as models
from kmerit.models.layers import can_pack
from kmerit.sequences import Sequences
from kmerit.store import Share, Work

Part = Callable[[km.Model, Work], Any]


@pytest.fixture
def load(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Callable[..., km.Model]:
    planted = write_planted(tmp_path)
    kind = "packed" if can_pack(torch.device("cpu"), torch.float32) else "plain"
    monkeypatch.setattr(models, "fastest", lambda device, dtype, width: kind if dtype == torch.float32 else "plain")
    return lambda **options: km.load_model(planted, device="cpu", **options)


@pytest.fixture(params=["attribute", "trial", "variants", "motifs", "heads"])
def part(request: pytest.FixtureRequest, tmp_path: Path, load: Callable[..., km.Model]) -> Part:
    """Do a part of a verb's work with a model."""
    windows = planted_windows(30)
    strings = windows.strings()
    sequences = Sequences.from_strings(strings, labels=[0, 1] * 15)
    scores = km.attribute(load(), sequences, ["attention"], target=1)
    letters = "".join(strings)
    genome, vcf = tmp_path / "genome.fa", tmp_path / "mine.vcf"
    genome.write_text(f">chr1\n{letters}\n")
    other = dict(zip("ACGT", "CGTA", strict=True))
    rows = [f"chr1\t{at + 1}\t.\t{letters[at]}\t{other[letters[at]]}\t.\t.\t." for at in range(200, 220)]
    header = ["##fileformat=VCFv4.2", "#" + "\t".join(["CHROM", "POS", "ID", "REF", "ALT", "QUAL", "FILTER", "INFO"])]
    vcf.write_text("\n".join([*header, *rows, ""]))
    grid, out = km.Grid.quick(), tmp_path / "out"
    verbs: dict[str, Part] = {
        "attribute": lambda model, share: km.attribute(
            model, sequences, ["attention"], out=tmp_path / "scores.parquet", share=share
        ),
        "trial": lambda model, share: km.trial(model, sequences, scores, grid, out=out, share=share),
        "variants": lambda model, share: km.variants(model, vcf, genome, length=60, target=1, out=out, share=share),
        "motifs": lambda model, share: km.motifs(
            scores, sequences, model, meme=bundled_motifs(), label=1, out=out, share=share
        ),
        "heads": lambda model, share: km.heads(
            {"mine": model}, windows, [{"feature": "gc"}], draws=60, seeds=0, ablation=False, out=out, share=share
        ),
    }
    return verbs[request.param]


@pytest.fixture
def one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.mark.usefixtures("one_thread")
def test_a_part_under_other_conditions_is_refused_by_name(
    part: Part, load: Callable[..., km.Model], monkeypatch: pytest.MonkeyPatch
) -> None:
    part(load(), "plan")
    parts: tuple[Work, ...] = (Share(1, 2), "gather")
    for share in parts:
        for name in ("kmerit", "torch"):
            with monkeypatch.context() as elsewhere:
                elsewhere.setattr(models, "version", lambda of, name=name: "9.9.9" if of == name else version(of))
                with pytest.raises(RunMismatch, match=rf"{name} was '\S+', now it is '9\.9\.9'"):
                    part(load(), share)
        torch.set_num_threads(2)
        with pytest.raises(RunMismatch, match="threads was 1, now it is 2"):
            part(load(), share)
        torch.set_num_threads(1)
        with pytest.raises(RunMismatch, match=r"dtype\S* was 'float32', now it is 'bfloat16'"):
            part(load(dtype="bfloat16"), share)  # not the products, which follow from it
        with pytest.raises(RunMismatch, match=r"micro_batch\S* was 8, now it is 3"):
            part(load(micro_batch=3), share)
    torch.set_num_threads(2)
    with pytest.raises(RunMismatch, match="threads was 1, now it is 2"):
        part(load(), "plan")
    torch.set_num_threads(1)
    part(load(), Share(1, 2))


def test_parts_take_the_micro_batch_that_the_plan_found(
    part: Part, load: Callable[..., km.Model], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(inference, "_PROBED", ("cpu",))
    part(cramped(load(), 40), "plan")
    with pytest.raises(RunMismatch, match=r"micro_batch\S* was 16, now it is 8"):
        part(load(micro_batch=8), Share(1, 2))
    part(cramped(load(), 20), Share(1, 2))  # whose own probe would find 8
    part(load(), Share(2, 2))  # and this one's 64
    with pytest.raises(RunMismatch, match=r"micro_batch\S* was 16, now it is 64"):
        part(load(micro_batch=64), "gather")
    part(load(), "gather")


@pytest.mark.parametrize("part", ["motifs", "heads"], indirect=True)
def test_what_is_finished_says_its_micro_batch(part: Part, load: Callable[..., km.Model], tmp_path: Path) -> None:
    for share in ("plan", Share(1, 1), "gather"):
        part(load(micro_batch=3), share)
    files = (json.loads(path.read_text()) for path in (tmp_path / "out").glob("*.json"))
    assert [each["micro_batch"] for each in files if "micro_batch" in each] in ([3], [{"mine": 3}])
    part(load(), "gather")  # it is taken where none is named
    with pytest.raises(RunMismatch, match=r"micro_batch\S* was 3, now it is 8"):
        part(load(micro_batch=8), "gather")
