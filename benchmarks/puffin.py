"""Check the judge by measured effects from outside: a public model of transcription initiation on public measurements.

    python benchmarks/puffin.py ELEMENTS WEIGHTS [--methods saliency,input_x_gradient] [--draws 1] [--out FOLDER]

ELEMENTS is ``data/elements.tsv.gz`` of github.com/kircherlab/MPRA_SaturationMutagenesis (Kircher et al. 2019),
WEIGHTS ``resources/puffin.pth`` of github.com/jzhoulab/puffin (Dudnyk et al. 2024; for academic use). Neither is part
of kmerit.

The model's value is the logarithm of all initiation that it predicts over an element and its flanks on both strands
(FANTOM CAGE). The flanks are letters drawn at random: zeros drive this model off. Known from other programs, plain
Spearman correlations of its in-silico mutagenesis: HBG1 0.53, TERT 0.39 to 0.48 (four assays), LDLR 0.31, F9 0.30, PKLR
0.21, HNF4A 0.13, MSMB 0.09.
"""

from __future__ import annotations

import argparse
import logging
import math
import os
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")

import torch
from scipy.stats import spearmanr
from torch import Tensor, nn

import kmerit as km
from kmerit.biology.measured import read_predictions
from kmerit.io.elements import read_elements

ELEMENTS = ["F9", "HBG1", "HNF4A", "LDLR", "LDLR.2", "MSMB", "PKLR-24h", "PKLR-48h"]
TERT = ["TERT-GAa", "TERT-GBM", "TERT-GSc", "TERT-HEK"]
KNOWN = {"HBG1": 0.53, "LDLR": 0.31, "F9": 0.30, "PKLR": 0.21, "HNF4A": 0.13, "MSMB": 0.09, "TERT": (0.39, 0.48)}
REACH = 325
"""Nucleotides on either side of an element that the model sees."""
LONGEST = 591
TRACKS = [0, 9]
"""FANTOM CAGE on either strand."""


class Initiation(nn.Module):
    """Motif scores on both strands, and what each adds at every distance: one-hot [B, 4, T] to a value [B, 1]."""

    def __init__(self, weights: dict[str, Tensor]) -> None:
        super().__init__()
        for layer in ("conv", "conv_inr", "conv_sim", "deconv", "deconv_sim", "deconv_inr"):
            for part in ("weight", "bias"):
                self.register_buffer(f"{layer}_{part}", weights[f"{layer}.{part}"].float())

    def forward(self, x: Tensor) -> Tensor:
        """Take the logarithm of the initiation that is predicted."""
        rate = (
            self.effects(self.motifs(x, "conv"), "deconv")
            + self.effects(self.motifs(x, "conv_sim"), "deconv_sim")
            + nn.functional.conv_transpose1d(
                self.motifs(x, "conv_inr"), self.deconv_inr_weight[:, TRACKS], self.deconv_inr_bias[TRACKS], padding=7
            )
        )
        return torch.expm1(nn.functional.softplus(rate)).sum((1, 2)).log()[:, None]

    def motifs(self, x: Tensor, layer: str) -> Tensor:
        """Score motifs on both strands: [B, 2 x motif, T]."""
        weight, bias = getattr(self, f"{layer}_weight"), getattr(self, f"{layer}_bias")
        both = [nn.functional.conv1d(strand, weight, bias, padding="same") for strand in (x, x.flip(1, 2))]
        return nn.functional.softplus(torch.cat([both[0], both[1].flip(2)], 1))

    def effects(self, motifs: Tensor, layer: str) -> Tensor:
        """Add what motifs do at a distance, by a Fourier transform: [B, track, T]."""
        weight, bias = getattr(self, f"{layer}_weight")[TRACKS], getattr(self, f"{layer}_bias")[TRACKS]
        size, reach = motifs.shape[2], weight.shape[2] // 2
        length = 2 ** math.ceil(math.log2(size + weight.shape[2]))
        spectrum = torch.einsum("bmf,omf->bof", torch.fft.rfft(motifs, length), torch.fft.rfft(weight, length).conj())
        turned = torch.fft.irfft(spectrum, length)  # a correlation: entry t - reach stands at t
        return torch.cat([turned[:, :, -reach:], turned[:, :, : size - reach]], 2) + bias[:, None]


def main() -> None:
    """Print the correlations next to those known, and the judge's tables."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("elements", type=Path)
    parser.add_argument("weights", type=Path)
    parser.add_argument("--methods", default="saliency,input_x_gradient")
    parser.add_argument("--draws", type=int, default=1)
    parser.add_argument("--only", default="", help="names of elements, comma-separated")
    parser.add_argument("--out", type=Path, default=Path("runs/puffin"))
    given = parser.parse_args()
    logging.getLogger("kmerit").setLevel(logging.ERROR)
    weights = torch.load(given.weights, map_location="cpu", weights_only=True)
    length = LONGEST + 2 * REACH
    model = km.wrap(Initiation(weights), length, ["initiation"], problem="value", device="cpu", micro_batch=32)
    names = given.only.split(",") if given.only else ELEMENTS + TERT
    assays = read_elements(given.elements, release="GRCh38", elements=names)
    result = km.measured(
        model,
        assays,
        methods=[name for name in given.methods.split(",") if name],
        flank_draws=given.draws,
        strands="forward",
        out=given.out,
        progress=lambda done, total: print(f"{done} of {total} elements", flush=True),
    )
    for assay in assays:
        ism = read_predictions(given.out, assay.bases).ism[assay.position, assay.step - 1]
        known = KNOWN[assay.element]
        low, high = known if isinstance(known, tuple) else (known, known)
        value = float(spearmanr(ism, assay.effect).statistic)
        near = "within 0.03" if low - 0.03 <= round(value, 3) <= high + 0.03 else "not within 0.03"
        print(f"{assay.name:9} Spearman {value:.3f}, known {known}: {near}")
    for name in ("elements", "methods", "pooled"):
        print(getattr(result, name).round(3).to_string(index=False))


if __name__ == "__main__":
    main()
