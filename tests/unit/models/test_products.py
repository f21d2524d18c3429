"""Which products are faster is measured once for a machine and a width, noted, and told to whoever goes on."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

import kmerit as km
from kmerit.errors import RunMismatch
from kmerit.models import layers, model, products
from kmerit.models.layers import Products, making
from kmerit.models.products import fastest

CPU, FLOAT = torch.device("cpu"), torch.float32
needs_packing = pytest.mark.skipif(not layers._CAN_PACK, reason="this build of torch has no packed products")


@pytest.fixture(autouse=True)
def cache_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    monkeypatch.setenv("KMERIT_CACHE", str(tmp_path / "cache"))
    products._noted.cache_clear()
    yield tmp_path / "cache"
    products._noted.cache_clear()


def pretend(monkeypatch: pytest.MonkeyPatch, packed: float, plain: float) -> list[int]:
    """Let products take so long; the list says for which widths they were timed."""
    widths: list[int] = []

    def timed(width: int) -> dict[Products, float]:
        widths.append(width)
        return {"packed": packed, "plain": plain}

    monkeypatch.setattr(products, "timed", timed)
    return widths


@needs_packing
def test_it_is_measured_once_for_a_width_and_kept_for_the_next_process(
    cache_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    widths = pretend(monkeypatch, packed=2.0, plain=1.0)
    assert [fastest(CPU, FLOAT, width) for width in (32, 32, 64)] == ["plain"] * 3
    products._noted.cache_clear()  # as in another process
    pretend(monkeypatch, packed=1.0, plain=2.0)
    assert fastest(CPU, FLOAT, 32) == "plain"
    assert fastest(CPU, FLOAT, 128) == "packed"
    assert widths == [32, 64]
    notes = json.loads((cache_folder / "products.json").read_text())
    assert sorted(notes.values()) == ["packed", "plain", "plain"]
    assert all("threads, width" in key for key in notes)


@needs_packing
@pytest.mark.parametrize(("packed", "expected"), [(1.0, "packed"), (1.04, "packed"), (1.06, "plain")])
def test_a_tie_is_for_packed_ones(packed: float, expected: str, monkeypatch: pytest.MonkeyPatch) -> None:
    pretend(monkeypatch, packed=packed, plain=1.0)
    assert fastest(CPU, FLOAT, 32) == expected


@needs_packing
@pytest.mark.parametrize("damaged", ["", "[]", '{"'])
def test_damaged_notes_are_made_again(damaged: str, cache_folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    cache_folder.mkdir()
    (cache_folder / "products.json").write_text(damaged)
    pretend(monkeypatch, packed=2.0, plain=1.0)
    assert fastest(CPU, FLOAT, 32) == "plain"
    assert list(json.loads((cache_folder / "products.json").read_text()).values()) == ["plain"]


@needs_packing
def test_where_nothing_can_be_noted_that_is_said(
    cache_folder: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    cache_folder.write_text("a file")
    pretend(monkeypatch, packed=2.0, plain=1.0)
    assert fastest(CPU, FLOAT, 32) == "plain"
    assert "the next process measures again" in caplog.text


@needs_packing
def test_both_kinds_are_timed() -> None:
    seconds = products.timed(16)
    assert set(seconds) == {"packed", "plain"}
    assert all(0 < each < 1 for each in seconds.values())


def test_only_float32_on_a_processor_is_packed(monkeypatch: pytest.MonkeyPatch) -> None:
    widths = pretend(monkeypatch, packed=1.0, plain=2.0)
    monkeypatch.setattr(layers, "_CAN_PACK", False)
    assert fastest(CPU, FLOAT, 32) == "plain"
    monkeypatch.undo()
    assert fastest(CPU, torch.float64, 32) == "plain"
    assert widths == []


@needs_packing
def test_a_model_makes_what_it_is_told_unless_a_block_says_otherwise(
    tiny_checkpoint: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    pretend(monkeypatch, packed=2.0, plain=1.0)
    by_itself = km.load_model(tiny_checkpoint, device="cpu")
    choice = by_itself.with_products("packed", tmp_path)
    assert (by_itself.products, choice.products, choice.with_products(None, tmp_path).products) == (
        "plain",
        "packed",
        "packed",
    )
    sequences = ["ACGTTGCAACCA" * 3, "TTGCAGTTAACG" * 3]
    plain, packed = by_itself.logits(sequences), choice.logits(sequences)
    assert (plain != packed).any()
    with making("packed"):
        assert (by_itself.logits(sequences) == packed).all()
    with making("plain"):
        assert (choice.logits(sequences) == plain).all()
    assert km.attribute(choice, sequences, ["attention"])["attention"].settings["products"] == "packed"


def test_what_cannot_be_made_is_refused(tiny_checkpoint: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(layers, "_CAN_PACK", False)
    tiny = km.load_model(tiny_checkpoint, device="cpu")
    with pytest.raises(RunMismatch, match=f"{os.fspath(tmp_path)}: products was 'packed', now it is 'plain'"):
        tiny.with_products("packed", tmp_path)
    assert tiny.with_products("plain", tmp_path).products == "plain"


def test_a_librarys_network_makes_its_own(monkeypatch: pytest.MonkeyPatch, tiny_checkpoint: Path) -> None:
    widths = pretend(monkeypatch, packed=1.0, plain=2.0)
    monkeypatch.setattr(model, "Encoder", type(None))  # as of no model here
    assert km.load_model(tiny_checkpoint, device="cpu").products == "plain"
    assert widths == []
