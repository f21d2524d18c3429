"""The trial by mutagenesis: mutants, curves, controls, summaries, verdicts."""

from kmerit.faithfulness.controls import CONTROLS
from kmerit.faithfulness.curves import read_curve, write_curve
from kmerit.faithfulness.floor import Floor, floors
from kmerit.faithfulness.mutagenesis import mutate
from kmerit.faithfulness.operators import OPERATORS
from kmerit.faithfulness.rankings import ORDERS
from kmerit.faithfulness.summary import choose_lrp, default_label, summarise
from kmerit.faithfulness.verdicts import Comparison, Verdict, judge

__all__ = [
    "CONTROLS",
    "OPERATORS",
    "ORDERS",
    "Comparison",
    "Floor",
    "Verdict",
    "choose_lrp",
    "default_label",
    "floors",
    "judge",
    "mutate",
    "read_curve",
    "summarise",
    "write_curve",
]
