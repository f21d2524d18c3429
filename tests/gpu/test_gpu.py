"""One model of each family on a graphics card, held against the processor.

``make test-gpu`` runs it; ``KMERIT_TEST_DEVICE=cpu`` runs the same comparisons without a card, to try the suite itself.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import kmerit as km
from helpers.checkpoints import REFERENCE, random_strings, write_library
from kmerit.attribution.method import methods

pytestmark = pytest.mark.gpu

DEVICE = os.environ.get("KMERIT_TEST_DEVICE", "cuda")
SIX = ["attention", "rollout", "gradcam", "lrp", "lrp_last", "full_lrp"]
OTHERS = ["saliency", "input_x_gradient", "attnlrp", "cp_lrp", "occlusion"]
LIBRARY: dict[str, dict[str, Any]] = {
    "modernbert": {"local_attention": 8, "cls_token_id": 1, "sep_token_id": 2, "bos_token_id": 1, "eos_token_id": 2},
    "llama": {"num_key_value_heads": 2},
    "distilbert": {"dim": 16, "n_layers": 2, "n_heads": 4, "hidden_dim": 24},
}
FOLDERS = ["nucleotide_transformer_v1", "nucleotide_transformer_v2", "dnabert2", "gena_lm", "hyenadna", "caduceus_ps"]
SEQUENCES = km.Sequences.from_strings(random_strings([40, 12, 70, 25, 66, 31, 70, 18]))


@pytest.fixture(scope="module", autouse=True)
def _shorter_floats_are_allowed() -> Iterator[None]:
    """The process allows TF32; scores and predictions must not use it."""
    before = torch.get_float32_matmul_precision()
    torch.set_float32_matmul_precision("high")
    yield
    torch.set_float32_matmul_precision(before)


@pytest.fixture(scope="module", params=["bundled:promoter", *FOLDERS, *LIBRARY])
def name(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> str:
    """A model of each family."""
    if request.param in LIBRARY:
        folder = tmp_path_factory.mktemp(request.param)
        return str(write_library(folder, request.param, **LIBRARY[request.param]))
    return request.param if ":" in request.param else str(REFERENCE / request.param)


def both(name: str, **options: Any) -> tuple[km.Model, km.Model]:
    return km.load_model(name, device="cpu", **options), km.load_model(name, device=DEVICE, **options)


def test_logits(name: str) -> None:
    ours, theirs = (model.logits(SEQUENCES) for model in both(name))
    np.testing.assert_allclose(theirs, ours, rtol=0, atol=1e-4 * np.abs(ours).max())


def test_scores(name: str) -> None:
    processor, card = both(name)
    served = [
        each for each in [*SIX, *OTHERS] if methods()[each].asks_for(methods()[each].complete({})) <= card.abilities
    ]
    assert "input_x_gradient" in served
    target = 0
    ours = km.attribute(processor, SEQUENCES, served, target=target)
    theirs = km.attribute(card, SEQUENCES, served, target=target)
    for each in served:
        scale = np.nanmax(np.abs(ours[each].scores))
        np.testing.assert_allclose(theirs[each].scores, ours[each].scores, rtol=0, atol=1e-4 * scale, err_msg=each)


def test_bfloat16_predicts_alike() -> None:
    strings = random_strings([200] * 400, seed=1)
    sequences = km.Sequences.from_strings(strings)
    ours = km.load_model("bundled:promoter", device="cpu").predict(sequences)
    theirs = km.load_model("bundled:promoter", device=DEVICE, dtype="bfloat16").predict(sequences)
    assert (ours.argmax(1) == theirs.argmax(1)).mean() >= 0.99
    assert np.abs(ours - theirs).max() <= 0.02


def test_a_micro_batch_that_does_not_fit_is_halved(caplog: pytest.LogCaptureFixture) -> None:
    """Sixty thousand sequences at a time fit no card; the results are those of a smaller micro-batch."""
    if DEVICE == "cpu":
        pytest.skip("a processor's system may end the process instead of saying that memory ran out")
    strings = random_strings([500], seed=2) * 60_000
    sequences = km.Sequences.from_strings(strings)
    model = km.load_model("bundled:promoter", device=DEVICE, micro_batch=len(strings))
    logits = model.logits(sequences)
    np.testing.assert_allclose(logits, logits[:1].repeat(len(logits), 0), rtol=0, atol=1e-4)
    assert "Out of memory" in caplog.text


def test_a_micro_batch_is_found_by_a_probe() -> None:
    """Without a name the card's own number: the same each time, recorded, and with answers like the processor's."""
    processor, card = both("bundled:promoter")
    if DEVICE == "cpu":
        pytest.skip("processors are not probed")
    strings = random_strings([200] * 300, seed=4)
    found = {km.attribute(card, strings, ["lrp"], target=0)["lrp"].settings["micro_batch"] for _ in range(2)}
    assert len(found) == 1
    assert 8 <= found.pop() <= 64
    theirs = card.predict(strings)
    assert theirs.settings["micro_batch"] == 64
    np.testing.assert_allclose(theirs, processor.predict(strings), rtol=0, atol=1e-4)


def test_a_training_on_the_card_predicts_on_the_processor(tmp_path: Path) -> None:
    """A few steps on the device; what is published gives the same logits everywhere."""
    from kmerit.training import finetune
    from kmerit.training.data import Splits
    from kmerit.training.recipe import FinetuneConfig

    rows = km.Sequences.from_strings(random_strings([60] * 64, seed=3), labels=[0, 1] * 32)
    config = FinetuneConfig.parse({"base": "bundled:encoder", "max_steps": 4, "batch_size": 8, "baselines": False})
    folder = finetune(config, tmp_path / "model", data=Splits(rows))
    ours, theirs = (model.logits(SEQUENCES) for model in both(str(folder)))
    np.testing.assert_allclose(theirs, ours, rtol=0, atol=1e-4)
