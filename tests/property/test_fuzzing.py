"""Mutated inputs: every reader reads them, or refuses them with a KmeritError in time; round trips change nothing."""

from __future__ import annotations

import os

import pytest

from fuzzing import TARGETS, fuzz

TIMES = float(os.environ.get("KMERIT_FUZZ_TIMES", "1"))
"""How many times as many inputs as usual; see also ``python tests/fuzzing.py --help``."""
SEED = int(os.environ.get("KMERIT_FUZZ_SEED", "0"))


@pytest.mark.slow
@pytest.mark.parametrize("name", TARGETS)
def test_mutated_inputs(name: str) -> None:
    outcome = fuzz(name, round(TIMES * TARGETS[name].inputs), SEED)
    assert not outcome.faults, "\n".join(f"{number}: {what}" for number, what in outcome.faults.items())
    assert len(outcome.ends) > 1  # some are read, some are refused
