"""The trial by mutagenesis: mutants, curves, controls, summaries, verdicts."""

from kmerit.faithfulness.agreement import Case, agreement, truth_of
from kmerit.faithfulness.cards import write_cards
from kmerit.faithfulness.cascade import cascade, has_parts
from kmerit.faithfulness.caveats import Caveat
from kmerit.faithfulness.comparisons import Comparison
from kmerit.faithfulness.contexts import context_share
from kmerit.faithfulness.controls import CONTROLS, DECIDING
from kmerit.faithfulness.curves import read_outcomes, write_outcomes
from kmerit.faithfulness.endpoint import aopc_by_method, excess_by_sequence
from kmerit.faithfulness.execution import clusters_of
from kmerit.faithfulness.fair import PRESETS, Grid, evaluations, trial
from kmerit.faithfulness.floor import Floor, floors
from kmerit.faithfulness.localisation import composition_correlations, localisation, needed
from kmerit.faithfulness.measures import differences, excesses, measures
from kmerit.faithfulness.mutagenesis import mutate
from kmerit.faithfulness.nulls import LETTERS, NOISE, dosed, ruled, turned
from kmerit.faithfulness.operators import OPERATORS
from kmerit.faithfulness.prospects import FEWEST, LEVEL
from kmerit.faithfulness.rankings import ORDERS
from kmerit.faithfulness.sanity import entropy, gini
from kmerit.faithfulness.summary import choose_lrp, default_label, summarise
from kmerit.faithfulness.verdicts import Verdict, Verdicts, judge

__all__ = [
    "CONTROLS",
    "DECIDING",
    "FEWEST",
    "LETTERS",
    "LEVEL",
    "NOISE",
    "OPERATORS",
    "ORDERS",
    "PRESETS",
    "Case",
    "Caveat",
    "Comparison",
    "Floor",
    "Grid",
    "Verdict",
    "Verdicts",
    "agreement",
    "aopc_by_method",
    "cascade",
    "choose_lrp",
    "clusters_of",
    "composition_correlations",
    "context_share",
    "default_label",
    "differences",
    "dosed",
    "entropy",
    "evaluations",
    "excess_by_sequence",
    "excesses",
    "floors",
    "gini",
    "has_parts",
    "judge",
    "localisation",
    "measures",
    "mutate",
    "needed",
    "read_outcomes",
    "ruled",
    "summarise",
    "trial",
    "truth_of",
    "turned",
    "write_cards",
    "write_outcomes",
]
