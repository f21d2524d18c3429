"""The page's own words, explained."""

from __future__ import annotations

from typing import NamedTuple


class Term(NamedTuple):
    """A word of the page.

    Attributes:
        id: Its place on the page is ``term-ID``.
        name: As it stands in the tables.
        text: What it means.
    """

    id: str
    name: str
    text: str


TERMS = (
    Term(
        "score",
        "score, method",
        "A way to give each nucleotide a number that says how much the model used it: attention, lrp and others.",
    ),
    Term(
        "order",
        "morf, lerf, insertion",
        "The order in which nucleotides are taken. morf: most relevant first, the highest-scored are replaced"
        " first. lerf: least relevant first. insertion: every nucleotide is replaced, then the highest-scored"
        " are put back first.",
    ),
    Term(
        "operator",
        "random_other and other operators",
        "What a chosen nucleotide becomes. random_other: one of the three other bases, by lot. complement: "
        "the base it pairs with. transition: A and G, or C and T, change places. background: another base, "
        "drawn by its share in the data. shuffle: it is rearranged with its surroundings. mask: the tokens "
        "over it are hidden from the model.",
    ),
    Term(
        "n",
        "n",
        "How many nucleotides were taken; “all” is every one of them.",
    ),
    Term(
        "floor",
        "floor, default label",
        "With every nucleotide replaced the model still answers: often mostly one and the same class, its "
        "default label. The accuracy that is left then is the floor. Where the mutants of all classes get that "
        "label alike, a class that is another falls to the floor whatever is replaced, so a fall alone says "
        "little of a score. But full mutation need not erase a class: the mutants may keep its composition, say, "
        "and then the answers still differ between classes.",
    ),
    Term(
        "lrpstar",
        "LRP*",
        "The better of the two scores lrp and lrp_last, chosen for each class on validation sequences that "
        "are not in the trial.",
    ),
    Term(
        "control",
        "controls: random, shifted, other, blurred_random",
        "Rankings that know nothing of the model's answer. random: positions by lot. shifted: the score's "
        "own, moved along the sequence. other: those of another sequence of the same class, explained for the "
        "same class. blurred_random: "
        "random scores, smoothed as overlapping tokens smooth a score's. The clustering of shifted and other "
        "is the score's own.",
    ),
    Term(
        "aopc",
        "AOPC",
        "Area over the perturbation curve: by how much the answer fell, averaged over every n tried. Here the"
        " answer is the logit of the explained class; a logit is what the model computes before it turns it "
        "into a probability.",
    ),
    Term(
        "excess",
        "excess",
        "The AOPC of a score less that of a control, on the same sequences, in logits. Above 0: replacing "
        "what the score ranks first did more than what the control ranks first.",
    ),
    Term(
        "verdict",
        "faithful, worse than control, not distinguishable, undecided",
        "faithful: the 95 % interval of the excess lies above 0 against every control. worse than control: it"
        " lies below 0 against one. not distinguishable: neither. undecided: too few sequences, or a control "
        "could not be formed.",
    ),
    Term(
        "mcnemar",
        "McNemar, Holm",
        "McNemar's test asks whether the model's answer is right more often under the score or under the "
        "control, on the same sequences. Holm's correction makes up for testing several methods at once.",
    ),
    Term(
        "interval",
        "95 % interval",
        "In square brackets. Of a score: between which values its average would lie for other sequences of "
        "the kind, by bootstrap. Of random positions: between which values the average of one such ranking "
        "falls; there is none where only one was drawn.",
    ),
)
"""In the order of the page."""
