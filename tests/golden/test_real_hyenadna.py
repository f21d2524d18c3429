"""HyenaDNA with real weights, where a package that carries them is installed (it is no dependency: GPL-3).

The weights are LongSafari/hyenadna-tiny-1k-seqlen-hf, further trained on aptamers by that package's authors; the
reference is the code that lies beside them.
"""

from __future__ import annotations

import importlib.util
import shutil
import sys
from importlib.machinery import ModuleSpec
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
import torch

import kmerit as km
from helpers.checkpoints import change_config, random_strings
from kmerit.errors import CheckpointError

SPEC = importlib.util.find_spec("anticapt")
pytestmark = [
    pytest.mark.skipif(SPEC is None, reason="real weights of HyenaDNA are in the package anticapt"),
    pytest.mark.filterwarnings("ignore:.torch.jit.script. is deprecated"),  # the reference's
]
SEQUENCES = km.Sequences.from_strings(random_strings([200, 121, 64, 1000], seed=5))


@pytest.fixture(scope="module")
def published() -> Path:
    assert SPEC is not None
    return Path(str((SPEC.submodule_search_locations or [])[0])) / "models" / "dataset1" / "finetuned_hyenadna"


def code_beside(folder: Path) -> Any:
    """Import the reference: its files are a package of their own."""
    package = ModuleType("hyena_reference")
    package.__path__ = [str(folder)]
    package.__spec__ = ModuleSpec("hyena_reference", None, is_package=True)
    sys.modules["hyena_reference"] = package
    return importlib.import_module("hyena_reference.modeling_hyena"), importlib.import_module(
        "hyena_reference.configuration_hyena"
    )


def with_head(published: Path, folder: Path) -> Path:
    """Put a random head on the weights, of which the published ones have none."""
    shutil.copytree(published, folder)
    weights = torch.load(folder / "pytorch_model.bin", map_location="cpu", weights_only=True)
    stem = "" if any(key.startswith("hyena.") for key in weights) else "hyena."
    torch.manual_seed(0)
    head = {"score.weight": torch.randn(2, 128) * 0.1}
    torch.save({f"{stem}{key}": each for key, each in weights.items()} | head, folder / "pytorch_model.bin")
    change_config(folder, architectures=["HyenaDNAForSequenceClassification"], num_labels=2)
    return folder


def test_without_a_head_it_is_refused(published: Path) -> None:
    with pytest.raises(CheckpointError, match=r"found none: it is a pre-trained model\. Fine-tune it first"):
        km.load_model(published)


def test_logits_equal_those_of_the_code_beside_the_weights(published: Path, tmp_path: Path) -> None:
    folder = with_head(published, tmp_path / "model")
    modeling, configuration = code_beside(published)
    config = configuration.HyenaConfig.from_pretrained(folder, num_labels=2)
    config.use_cache, config.pad_token_id = False, 4
    reference = modeling.HyenaDNAForSequenceClassification(config).double().eval()
    weights = torch.load(folder / "pytorch_model.bin", map_location="cpu", weights_only=True)
    lacking = reference.load_state_dict({k: v.double() for k, v in weights.items()}, strict=False)
    assert not lacking.unexpected_keys
    assert all(key.endswith(".freq") for key in lacking.missing_keys)
    model = km.load_model(folder, dtype="float64")
    assert model.family == "hyenadna"
    expected = []
    for i in range(len(SEQUENCES)):
        tokens = model.tokenize(*SEQUENCES.take([i]).padded())
        with torch.no_grad():
            expected.append(np.asarray(reference(input_ids=torch.from_numpy(tokens.ids)).logits)[0])
    np.testing.assert_allclose(
        model.logits(SEQUENCES), np.stack(expected), rtol=0, atol=1e-6
    )  # it convolves in float32
