"""Mutated inputs: every reader reads them, or refuses them with a KmeritError in time; round trips change nothing."""

from __future__ import annotations

import os

import pytest

from fuzzing import TARGETS, fuzz

SECONDS = float(os.environ.get("KMERIT_FUZZ_SECONDS", "4"))
"""For each reader; the inputs are the same ones each time, and a slower machine reads fewer of them."""
SEED = int(os.environ.get("KMERIT_FUZZ_SEED", "0"))


@pytest.mark.slow
@pytest.mark.parametrize("name", sorted(TARGETS.keys() - {"checkpoint", "scores"}))
def test_mutated_inputs(name: str) -> None:
    outcome = fuzz(name, 10**9, SEED, seconds=SECONDS)
    assert not outcome.faults, "\n".join(f"{number}: {what}" for number, what in outcome.faults.items())
    assert sum(outcome.ends.values()) >= 10
    assert len(outcome.ends) > 1  # some are read, some are refused
