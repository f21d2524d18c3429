"""Check the judge by measured effects from outside: a public model of transcription initiation on public measurements.

    python benchmarks/puffin.py ELEMENTS WEIGHTS [--methods saliency,input_x_gradient] [--draws 16] [--out FOLDER]

ELEMENTS is ``data/elements.tsv.gz`` of github.com/kircherlab/MPRA_SaturationMutagenesis (Kircher et al. 2019),
WEIGHTS ``resources/puffin.pth`` of github.com/jzhoulab/puffin (Dudnyk et al. 2024; for academic use). Neither is part
of kmerit.

The model's value is the logarithm of all initiation that it predicts over an element and its flanks on both strands
(FANTOM CAGE). The flanks are 325 letters on either side, as many as the model asks for, drawn at random: zeros drive
this model off. Known from other programs, plain Spearman correlations of its in-silico mutagenesis: HBG1 0.53, TERT
0.39 to 0.48 (four assays), LDLR 0.31, F9 0.30, PKLR 0.21, HNF4A 0.13, MSMB 0.09.

A correlation depends on the flanks that were drawn. What is compared with the known one is the mean of the correlations
of single draws; their spread, and the correlation of the predictions' mean, are printed, too.
"""

from __future__ import annotations

import argparse
import logging
import math
import os
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np
import pandas as pd
import torch
from scipy.stats import spearmanr
from torch import Tensor, nn

import kmerit as km
from kmerit.biology.measured import pool, read_predictions
from kmerit.io.elements import Assay, read_elements

ELEMENTS = ["F9", "HBG1", "HNF4A", "LDLR", "LDLR.2", "MSMB", "PKLR-24h", "PKLR-48h"]
TERT = ["TERT-GAa", "TERT-GBM", "TERT-GSc", "TERT-HEK"]
KNOWN = {"HBG1": 0.53, "LDLR": 0.31, "F9": 0.30, "PKLR": 0.21, "HNF4A": 0.13, "MSMB": 0.09, "TERT": (0.39, 0.48)}
REACH = 325
"""Nucleotides on either side of an element that the model asks for."""
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


def correlations(model: km.Model, assays: list[Assay], draws: int, out: Path) -> list[tuple[Assay, list[float], float]]:
    """Correlate in-silico mutagenesis with the effects of an element's assays.

    Returns:
        For each assay the Spearman correlations, one per draw of flanks, and that of the predictions' mean.
    """
    for seed in range(draws):
        place = out / f"draw-{seed}"
        km.measured(model, assays, flank_draws=1, strands="forward", resamples=2, seed=seed, out=place)
    result = []
    for assay in assays:
        stored = [read_predictions(out / f"draw-{seed}", assay.bases) for seed in range(draws)]
        ism = np.stack([each.ism[assay.position, assay.step - 1] for each in stored if each is not None])
        values = [float(spearmanr(each, assay.effect).statistic) for each in ism]
        result.append((assay, values, float(spearmanr(ism.mean(axis=0), assay.effect).statistic)))
    return result


def main() -> None:
    """Print the correlations next to those known, and the judge's tables."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("elements", type=Path)
    parser.add_argument("weights", type=Path)
    parser.add_argument("--methods", default="saliency,input_x_gradient")
    parser.add_argument("--draws", type=int, default=16, help="of flanks, each correlated by itself; at least 2")
    parser.add_argument("--judge-draws", type=int, default=4, help="of flanks, averaged, for the judge's tables")
    parser.add_argument("--only", default="", help="names of elements, comma-separated")
    parser.add_argument("--out", type=Path, default=Path("runs/puffin"))
    options = parser.parse_args()
    logging.getLogger("kmerit").setLevel(logging.ERROR)
    weights = torch.load(options.weights, map_location="cpu", weights_only=True)
    names = options.only.split(",") if options.only else ELEMENTS + TERT
    groups: dict[str, list[Assay]] = {}
    for assay in read_elements(options.elements, release="GRCh38", elements=names):
        groups.setdefault(assay.element, []).append(assay)
    models = {}
    for element, assays in groups.items():
        length = max(each.bases.size for each in assays) + 2 * REACH
        module = Initiation(weights)
        models[element] = km.wrap(module, length, ["initiation"], problem="value", device="cpu", micro_batch=32)
        for assay, values, of_mean in correlations(models[element], assays, options.draws, options.out / element):
            known = KNOWN[assay.element]
            low, high = known if isinstance(known, tuple) else (known, known)
            value, spread = float(np.mean(values)), float(np.std(values, ddof=1))
            near = "within 0.03" if low - 0.03 <= round(value, 3) <= high + 0.03 else "not within 0.03"
            print(
                f"{assay.name:9} Spearman {value:.3f} (standard error {spread / options.draws**0.5:.3f}; draws "
                f"{min(values):.3f} to {max(values):.3f}; of the mean prediction {of_mean:.3f}), known {known}: {near}",
                flush=True,
            )
    results = [
        km.measured(
            models[element],
            assays,
            methods=[name for name in options.methods.split(",") if name],
            flank_draws=options.judge_draws,
            strands="forward",
            out=options.out / element / "judged",
        )
        for element, assays in groups.items()
    ]
    methods = pd.concat([each.methods for each in results], ignore_index=True)
    pooled = [
        {"method": name, **pool(mine["difference"].to_numpy(), mine["error"].to_numpy())._asdict()}
        for name, mine in methods[methods["judges"].astype(bool)].groupby("method", sort=False)
    ]
    for table in (pd.concat([each.elements for each in results]), methods, pd.DataFrame(pooled)):
        print(table.round(3).to_string(index=False))


if __name__ == "__main__":
    main()
