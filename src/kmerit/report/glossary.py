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
        "What a chosen nucleotide becomes. random_other: one of the three other bases, chosen at random. complement: "
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
        "controls: shifted, clump, other, context, random",
        "Rankings that know nothing of what the model read in this sequence. Three change as many tokens as the score "
        "and decide its verdict. shifted: the score's own, moved round the sequence. clump: the runs and gaps of the "
        "positions that the score ranks first, in another order and at another place. other: the scores of another "
        "sequence of the same class and length, explained for the same class. context: the score's values, exchanged "
        "among nucleotides with equal neighbours, equal GC content around and equal quarter of the sequence; it knows "
        "what letters alone say, and is compared at equal numbers of tokens changed. random: positions at random, the "
        "paper's control; it changes more tokens than most scores, and decides nothing.",
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
        "faithful, worse than its controls, no better than its controls, undecided",
        "faithful: the bands of the excess over shifted, clump and other all lie above 0. worse than its controls: all "
        "three lie below. no better than its controls: all three lie inside the margin, which is 10 % of what exact "
        "in-silico mutagenesis reaches over the same control. undecided: otherwise, or too few sequences, or a control "
        "could not be formed.",
    ),
    Term(
        "band",
        "band",
        "Between which values an excess lies, for all methods, classes and deciding controls of a task at once: so of "
        "many methods that know nothing, one is hardly ever called more. It is wider than a 95 % interval.",
    ),
    Term(
        "beyond",
        "beyond composition",
        "The second answer, of what is faithful: whether it also lies above context, that is, whether it knows more "
        "than what single letters, their neighbours and the GC content around them say. It means no more than that.",
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
