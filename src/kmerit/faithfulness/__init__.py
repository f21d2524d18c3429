"""The trial by mutagenesis: mutants, curves, controls, summaries."""

from kmerit.faithfulness.curves import read_curve, write_curve
from kmerit.faithfulness.operators import OPERATORS
from kmerit.faithfulness.rankings import ORDERS
from kmerit.faithfulness.summary import choose_lrp, default_label, summarise
from kmerit.faithfulness.trial import mutate

__all__ = ["OPERATORS", "ORDERS", "choose_lrp", "default_label", "mutate", "read_curve", "summarise", "write_curve"]
