"""The trial by mutagenesis: mutants, curves, controls, summaries."""

from kmerit.faithfulness.curves import read_curve, write_curve
from kmerit.faithfulness.trial import mutate

__all__ = ["mutate", "read_curve", "write_curve"]
