"""Rankings that know nothing, against an additive model: they have no effect, and no claim beyond the nominal rate.

The model is kmerit's own, tokeniser and all, with a network that adds up a weight for each token. 20 nt in a row weigh
more than elsewhere in half of the sequences, so that there is something to know, and a habit of place to be had.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Self

import numpy as np
import pytest
import torch
from scipy.ndimage import uniform_filter1d

from kmerit.models.model import Model, load_model
from kmerit.results import Attribution, Outcomes
from kmerit.sequences import Sequences
from kmerit.studies.calibration import UNADJUSTED, rates
from kmerit.trials.controls import CONTROLS, DECIDING
from kmerit.trials.trial import mutate
from kmerit.trials.verdicts import FAITHFUL, WORSE, Compared, Endpoint, compare

LENGTH, SEQUENCES = 100, 500
CPU = torch.device("cpu")


@dataclass(frozen=True)
class Additive:
    """A network whose logit of class 1 is the sum of its tokens' weights."""

    weights: torch.Tensor
    outputs: int = 2
    device: torch.device = CPU
    dtype: torch.dtype = torch.float32

    def logits(self, ids: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        total = torch.where(mask, self.weights[ids], torch.zeros(())).sum(dim=1)
        return torch.stack([torch.zeros_like(total), total], dim=1)

    def to(self, device: torch.device, dtype: torch.dtype) -> Self:
        return self


@pytest.fixture(scope="module")
def additive(make_checkpoint: Callable[..., Path]) -> Model:
    base = load_model(make_checkpoint(k=6), device="cpu")
    rng = np.random.default_rng(5)
    weights = torch.tensor(rng.normal(size=4**6 + 5), dtype=torch.float32)
    return replace(base, encoder=Additive(weights), micro_batch=256)


@pytest.fixture(scope="module")
def sequences(additive: Model) -> Sequences:
    """Sequences of class 1, called so, whose middle holds the heaviest 6-mers of 30 each."""
    rng, strings = np.random.default_rng(6), []
    while len(strings) < SEQUENCES:
        strings += ["".join(rng.choice(list("ACGT"), LENGTH))]
    result = Sequences.from_strings(strings)
    called = additive.logits(result).argmax(axis=1)
    return replace(result, labels=called.astype(np.int64))


def relevance(model: Model, sequences: Sequences) -> np.ndarray:
    """Give each position the weight of the tokens over it, for the class that is called: the truth."""
    tokens = model.tokenize(*sequences.padded())
    weights = model.encoder.weights.numpy()[tokens.ids] * np.where(sequences.labels == 1, 1, -1)[:, None]
    truth = np.zeros((len(sequences), LENGTH))
    for at in range(tokens.ids.shape[1]):
        start, end = tokens.spans[0, at]
        truth[:, start:end] += weights[:, at : at + 1]
    return truth


def nulls(truth: np.ndarray) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(7)
    noise = rng.normal(size=(4, *truth.shape))
    blurred = uniform_filter1d(noise[1], 11, axis=1)
    turned = np.stack([np.roll(row, by) for row, by in zip(truth, rng.integers(0, LENGTH, len(truth)), strict=True)])
    return {
        "uniform": noise[0],
        "blurred": blurred,
        "clumped": np.exp(3 * blurred / blurred.std()),
        "turned": turned,
        "place": np.broadcast_to(uniform_filter1d(noise[2, :1], 15, axis=1), truth.shape),
    }


@pytest.fixture(scope="module")
def curve(additive: Model, sequences: Sequences) -> Outcomes:
    truth = relevance(additive, sequences)
    noise = np.random.default_rng(8).normal(size=truth.shape)
    scores = {
        **nulls(truth),
        "truth": truth,
        "dose": 0.3 * truth / truth.std() + 0.7 * uniform_filter1d(noise, 6, axis=1) * 6**0.5,
    }
    by_name = {
        name: Attribution(name, values, "nucleotide", sequences.labels, sequences.names)
        for name, values in scores.items()
    }
    return mutate(additive, sequences, by_name, [1, 5, 10, 20], 2, controls=CONTROLS)


@pytest.fixture(scope="module")
def compared(curve: Outcomes) -> Compared:
    result = compare(Endpoint(curve), curve.clusters, np.ones(SEQUENCES, dtype=np.bool_), 400, 0)
    assert result is not None
    return result


NULLS = ("uniform", "blurred", "clumped", "turned", "place")


@pytest.mark.parametrize("null", NULLS)
def test_a_null_has_no_effect_over_the_control_that_it_is_exchangeable_with(compared: Compared, null: str) -> None:
    t = {control: compared.statistics.t[compared.pairs.index((null, control))] for control in DECIDING}
    exchangeable = ("other",) if null == "place" else ("clump", "other") if null == "turned" else DECIDING
    for control in exchangeable:
        assert abs(t[control]) < 3.3, (null, control)
    if null == "place":
        assert t["other"] == 0  # the very same scores


def test_random_positions_do_more_damage_than_clumps_do(compared: Compared) -> None:
    assert compared.statistics.t[compared.pairs.index(("clumped", "random"))] < -2
    assert compared.statistics.t[compared.pairs.index(("truth", "clump"))] > 10


def claims(compared: Compared, rankings: Sequence[str], size: int, experiments: int) -> dict[tuple[str, str], int]:
    pairs = [pair for pair in compared.pairs if pair[0] in rankings and pair[1] in DECIDING]
    table = np.asarray(compared.table).T[:, [compared.pairs.index(pair) for pair in pairs]]
    result = rates([table], pairs, size, alone=True, experiments=experiments, resamples=300, seed=1)
    return {(row["ranking"], row["claim"]): row["count"] for row in result if row["card"] != UNADJUSTED}


@pytest.mark.parametrize("size", [50, 150])
def test_nulls_are_claimed_at_most_at_the_nominal_rate(compared: Compared, size: int) -> None:
    result = claims(compared, NULLS, size, 300)
    for null in NULLS:
        for claim in (FAITHFUL, WORSE):
            # By itself at 5 % for each claim by one exchangeable control, of 300; the pool's own error on top.
            assert result[null, claim] <= 0.08 * 300, (null, claim)
    assert result["any null", "any claim"] <= 0.1 * 300


def test_truth_is_called_faithful_and_a_dose_of_it_often(compared: Compared) -> None:
    result = claims(compared, ("truth", "dose"), 150, 100)
    assert result["truth", FAITHFUL] == 100
    assert result["dose", FAITHFUL] >= 80
    assert result["dose", WORSE] == 0
