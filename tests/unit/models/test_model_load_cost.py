"""Opening a model takes little more memory than its weights."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from transformers import BertConfig, BertForSequenceClassification

from helpers.checkpoints import write_library

MEASURE = """
import sys
from kmerit.models.model import load_model

def memory(kind):
    return next(int(line.split()[1]) for line in open("/proc/self/status") if line.startswith(kind)) * 1024

load_model(sys.argv[2])
open("/proc/self/clear_refs", "w").write("5")  # forget the peak so far
before = memory("VmRSS")
model = load_model(sys.argv[1])
print(memory("VmHWM") - before)
"""


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/clear_refs").exists(), reason="peaks are read from Linux's /proc")
@pytest.mark.parametrize("family", ["dnabert", "huggingface"])
@pytest.mark.parametrize("pickled", [False, True])
def test_peak_memory_is_that_of_the_weights(family: str, pickled: bool, tmp_path: Path) -> None:
    if family == "dnabert":
        BertForSequenceClassification(BertConfig(vocab_size=4101, num_hidden_layers=8)).save_pretrained(tmp_path)
    else:
        sizes = {"hidden_size": 768, "num_attention_heads": 12, "intermediate_size": 3072, "num_hidden_layers": 16}
        write_library(tmp_path, "roberta", **sizes)
    weights = tmp_path / "model.safetensors"
    if pickled:
        torch.save(load_file(weights), tmp_path / "pytorch_model.bin")
        weights.unlink()
        weights = tmp_path / "pytorch_model.bin"
    first = (
        write_library(tmp_path / "first", "roberta") if family == "huggingface" else "bundled:promoter"
    )  # for imports
    # Where memory is short, pages of libraries are dropped and come back while the model is loaded, as if it took them.
    peaks = (
        int(
            subprocess.run(
                [sys.executable, "-c", MEASURE, str(tmp_path), str(first)], capture_output=True, text=True, check=True
            ).stdout
        )
        for _ in range(3)
    )
    assert any(peak < 1.2 * weights.stat().st_size for peak in peaks)
