"""The numbers that the paper published.

Source: consens2023 (Consens et al., "Transforming Genomic Interpretability: A DNABERT Case Study"), Table 1 and
section 5.1. They were measured on 500 sequences a class (Table 1) and on the whole test set (section 5.1) of the
official splits, in which test sequences also occur in, or overlap with, the training set.
"""

from __future__ import annotations

from dataclasses import dataclass

CITATION = "Consens et al. 2023, Transforming Genomic Interpretability: A DNABERT Case Study"
LINK = "https://openreview.net/forum?id=Fs2c16sbS7"
N = 20
"""The number of substituted nucleotides at which Table 1 compares the methods."""


@dataclass(frozen=True)
class PaperClass:
    """One row of Table 1: accuracies on one class.

    Attributes:
        name: The paper's name for the class.
        intact: At n = 0.
        lrp_star: At n = 20, the better of the two LRP scores, chosen on the test sequences.
        attention: At n = 20.
        mutated: At n = 200, every nucleotide.
    """

    name: str
    intact: float
    lrp_star: float
    attention: float
    mutated: float


@dataclass(frozen=True)
class PaperTask:
    """What the paper reports for one task.

    Attributes:
        name: Its data set.
        classes: By label.
        accuracy: On the whole test set, after fine-tuning.
        leak: What its test split shares with its training split, counted on the official intervals.
    """

    name: str
    classes: tuple[PaperClass, PaperClass]
    accuracy: float
    leak: str


PROMOTERS = PaperTask(
    "human_nontata_promoters",
    (
        PaperClass("non-promoter", intact=0.968, lrp_star=0.814, attention=0.854, mutated=0.306),
        PaperClass("non-TATA promoter", intact=0.878, lrp_star=0.784, attention=0.788, mutated=0.678),
    ),
    accuracy=0.93,
    leak="99.6 % of its negative test rows overlap a negative training row",
)
ENHANCERS = PaperTask(
    "human_enhancers_ensembl",
    (
        PaperClass("non-enhancer", intact=0.870, lrp_star=0.838, attention=0.852, mutated=0.620),
        PaperClass("enhancer", intact=0.876, lrp_star=0.490, attention=0.512, mutated=0.386),
    ),
    accuracy=0.86,
    leak="75.5 % of its positive test rows are exact copies of positive training rows",
)

COUNTERPARTS = {
    "human_nontata_promoters": PROMOTERS,
    "epdnew_nontata": PROMOTERS,
    "human_enhancers_ensembl": ENHANCERS,
    "human_enhancers_dedup": ENHANCERS,
}
"""Our tasks, and the paper's task whose numbers stand next to them."""
