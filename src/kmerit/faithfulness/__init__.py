"""The trial by mutagenesis: mutants, curves, controls, summaries, verdicts."""

from kmerit.faithfulness.cards import write_cards
from kmerit.faithfulness.comparisons import Comparison
from kmerit.faithfulness.controls import CONTROLS
from kmerit.faithfulness.curves import read_outcomes, write_outcomes
from kmerit.faithfulness.fair import PRESETS, Grid, evaluations, grid_sentence, trial
from kmerit.faithfulness.floor import Floor, floors
from kmerit.faithfulness.measures import differences, excesses, measures
from kmerit.faithfulness.mutagenesis import mutate
from kmerit.faithfulness.operators import OPERATORS
from kmerit.faithfulness.rankings import ORDERS
from kmerit.faithfulness.summary import choose_lrp, default_label, summarise
from kmerit.faithfulness.verdicts import Verdict, Verdicts, judge

__all__ = [
    "CONTROLS",
    "OPERATORS",
    "ORDERS",
    "PRESETS",
    "Comparison",
    "Floor",
    "Grid",
    "Verdict",
    "Verdicts",
    "choose_lrp",
    "default_label",
    "differences",
    "evaluations",
    "excesses",
    "floors",
    "grid_sentence",
    "judge",
    "measures",
    "mutate",
    "read_outcomes",
    "summarise",
    "trial",
    "write_cards",
    "write_outcomes",
]
