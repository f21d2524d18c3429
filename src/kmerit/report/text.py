"""Every sentence about a result, made here from its codes and numbers and nowhere else, and the page's words."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from string import Formatter
from typing import TYPE_CHECKING, Any, NamedTuple

from kmerit.formats import DASH, DIGITS, MINUS, fine_percent, fixed, interval, percent, significant
from kmerit.report.calibrations import calibrated
from kmerit.trials.controls import CONTROLS, NEAREST, OF_A_METHOD, RANDOM
from kmerit.trials.design import FEWEST, LARGEST, POOLS_PER_EXPERIMENT
from kmerit.trials.measures import BOUNDS

if TYPE_CHECKING:
    from kmerit.biology.head_study import Heads
    from kmerit.biology.motif_tests import Motifs
    from kmerit.datasets.findings import Audit, Concern, Finding
    from kmerit.report.load import Card, Compare, Group, RunResults, TaskResult
    from kmerit.report.table1 import Row
    from kmerit.results import Remark
    from kmerit.trials.design import Prospect
    from kmerit.trials.side_by_side import SideBySide
    from kmerit.trials.verdicts import Floor, ValueFloor


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
        "method",
        "method, score",
        "A method, such as attention or lrp, gives each nucleotide a score: a number that says how much the model "
        "used it.",
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
        "the base it pairs with. transition: A and G, or C and T, are exchanged. background: another base, drawn by "
        "its frequency in the data. shuffle: it is rearranged with its neighbours. mask: the tokens that cover it are "
        "hidden from the model. block: every base of the window around it is replaced. delete: it is taken out, "
        "and the end refilled. insert: a letter is put before it. harshest, mildest: the base that lowers the answer "
        "most, or least, when it is replaced alone.",
    ),
    Term(
        "n",
        "n",
        "How many nucleotides were replaced, or put back; “all” is every one of them.",
    ),
    Term(
        "floor",
        "floor, default label",
        "Even with every nucleotide replaced the model gives an answer, often mostly the same class: its default "
        "label. The floor is the accuracy that remains then. If the mutants of all classes get the default label "
        "equally often, every other class falls to the floor no matter which nucleotides are replaced first, so a "
        "fall alone says little about a method. But full mutation need not erase a class: the mutants may keep its "
        "composition, for example, and then the answers still differ between classes.",
    ),
    Term(
        "lrpstar",
        "LRP*",
        "The better of the methods lrp and lrp_last, chosen for each class on validation sequences that are not in "
        "the trial.",
    ),
    Term(
        "control",
        f"controls: {', '.join(OF_A_METHOD)}, {RANDOM}",
        "Rankings without information on what the model used in this sequence. Three change as many tokens as the "
        "method does and decide its verdict. shifted: the method's own scores, rotated along the sequence. clump: the "
        "runs and gaps of the positions that the method ranks first, reordered and moved elsewhere. other: the scores "
        "of another sequence of the same class and length, explained for the same class. context: the method's scores, "
        "exchanged among nucleotides with the same neighbours, the same GC content around them and in the same quarter "
        "of the sequence; it keeps what letters alone show, and is compared at equal numbers of changed tokens. "
        "random: positions chosen at random, the paper's control; it changes more tokens than most methods, and "
        "decides nothing.",
    ),
    Term(
        "aopc",
        "AOPC",
        "Area over the perturbation curve: how far the answer falls, averaged over every n tried. Here the answer is "
        "the logit of the explained class; a logit is what the model computes before it turns it into a probability.",
    ),
    Term(
        "excess",
        "excess",
        "The AOPC of a method minus that of a control, on the same sequences, in logits. Above 0: replacing what the "
        "method ranks first had a larger effect than replacing what the control ranks first.",
    ),
    Term(
        "verdict",
        "faithful, worse than its controls, no better than its controls, undecided",
        "faithful: the bands of the excess over shifted, clump and other all lie above 0. worse than its controls: all "
        "three lie below 0. no better than its controls: all three lie within the margin, which is 10 % of what exact "
        "in-silico mutagenesis reaches over the same control. undecided: anything else, too few sequences, or a "
        "control that could not be drawn.",
    ),
    Term(
        "band",
        "band",
        "The interval of an excess that holds for all methods, classes and deciding controls of a task at once. It is "
        "wider than a 95 % interval, so that among many methods hardly any is called faithful by chance.",
    ),
    Term(
        "beyond",
        "beyond composition",
        "The second answer, for a faithful method: whether it also lies above context, that is, whether it knows more "
        "than what single letters, their neighbours and the GC content around them say. It means no more than that.",
    ),
    Term(
        "interval",
        "95 % interval",
        "In square brackets. For a method: the range in which its average would lie for other sequences of the same "
        "kind, by bootstrap. For random positions: the range in which the average of one such ranking falls; there is "
        "none if only one was drawn.",
    ),
)
"""In the order of the page."""


Names = Mapping[str, str]
"""By the data's name of a class, the one to show; a class that is not among them keeps its own."""
Sentence = str | Callable[..., str]
"""A template of a remark's values, or a function of them."""

SMALL_SAMPLE = 100
"""Below this many sequences a class, an accuracy's 95 % interval is wider than about 0.15."""
MOST_GROUPS = 3
"""Of methods that are faithful on the same classes, in the sentence of the verdicts."""
FAR_BELOW = 2 / 3
"""Of the tokens that random positions change; a method that changes fewer has a footprint worth a warning."""


def join(parts: Iterable[str], last: str = "and") -> str:
    """Enumerate: ``a, b and c``."""
    *first, end = list(parts) or [""]
    return f"{', '.join(first)} {last} {end}" if first else end


def few(parts: list[str], most: int = 3) -> str:
    """Enumerate the first ones: ``a, b, c, ...``."""
    return ", ".join(parts[:most]) + (", ..." if len(parts) > most else "")


def spread(values: Iterable[float], digits: int = 0) -> str:
    """Write the smallest and the largest value: ``30 to 60``."""
    texts = [fixed(value, digits) for value in sorted(values)]
    return texts[0] if texts[0] == texts[-1] else f"{texts[0]} to {texts[-1]}"


def counted(values: Iterable[float], noun: str) -> str:
    """Count: ``1 sequence``, ``30 to 60 sequences``.

    Example:
        >>> counted([1], "sequence"), counted([1, 30], "sequence")
        ('1 sequence', '1 to 30 sequences')
    """
    text = spread(values)
    return f"{text} {noun}" if text == "1" else f"{text} {noun}s"


class _Spelling(Formatter):
    """Templates with formats of their own.

    ``{share:share}``, ``{names:list}``, ``{number:digits 2}``, ``{number:count sequence}``, and
    ``{flag: text if so}`` of a bool.
    """

    def format_field(self, value: Any, format_spec: str) -> str:
        if isinstance(value, bool):
            return format_spec if value else ""
        if format_spec == "share":
            return fine_percent(value)
        if format_spec == "list":
            return join(value)
        if format_spec.startswith("count "):
            return counted([value], format_spec.removeprefix("count "))
        if format_spec.startswith("digits "):
            return fixed(value, int(format_spec.removeprefix("digits ")))
        return str(super().format_field(value, format_spec))


_SPELLING = _Spelling()


def _write(sentence: Sentence, values: Mapping[str, Any]) -> str:
    return _SPELLING.format(sentence, **values) if isinstance(sentence, str) else sentence(**values)


def _with_names(values: Mapping[str, Any], names: Names) -> dict[str, Any]:
    """Put the names to show in the place of the data's, where a value is one, several, or by class."""
    named_values = dict(values)
    if isinstance(name := values.get("class_name"), str):
        named_values["class_name"] = names.get(name, name)
    if "class_names" in values:
        named_values["class_names"] = [names.get(name, name) for name in values["class_names"]]
    if "by_class" in values:
        named_values["by_class"] = {names.get(name, name): value for name, value in values["by_class"].items()}
    return named_values


def sentence(remark: Remark, names: Names | None = None) -> str:
    """Put a remark into words: a caveat of a verdict, a gap or a concern of an audit, a note of a run.

    Args:
        remark: What is to be said.
        names: Of classes.

    Example:
        >>> from kmerit.datasets.findings import Gap
        >>> sentence(Gap("class_missing", {"split": "test", "class_names": ["off"], "learning": False}), {"off": "b"})
        'The split test has no rows of b: AUROCs leave it out.'
    """
    return _write(SENTENCES[type(remark).__name__][remark.code], _with_names(remark.values, names or {}))


# Verdicts: what must be known with them.


def _prospect(
    sequences: int, mistaken: int | None, clusters: int, questions: int, detectable: float | None, decides: bool = False
) -> str:
    calls = "" if mistaken is None else " classified correctly"
    text = f"{counted([sequences], 'sequence')}{calls}, {clusters} of them independent"
    text += f"; {mistaken} misclassified, reported separately" if mistaken else ""
    if detectable is None:
        return f"{text}. Undecided: at least {FEWEST} independent sequences are needed."
    effect = f"{fixed(detectable, 2)} standard deviations (power 90 %, {questions} questions at once)"
    if decides:
        return f"{text}. Smallest detectable effect: {effect}."
    return f"{text}. Undecided: the smallest detectable effect is {effect}, above the limit of {LARGEST}."


def prospect(expected: Prospect, names: Names | None = None) -> str:
    """Say what the sequences of a class can show, before any mutant is classified."""
    name = (names or {}).get(expected.class_name, expected.class_name)
    numbers = (expected.sequences, expected.mistaken, expected.clusters, expected.questions, expected.detectable)
    return f"{name}: {_prospect(*numbers, expected.decidable)}"


def _undecidable(
    class_name: str, sequences: int, mistaken: int | None, clusters: int, questions: int, detectable: float | None
) -> str:
    return f"{class_name}: {_prospect(sequences, mistaken, clusters, questions, detectable)}"


NEEDS = {
    "shifted": f"a sequence of {2 * NEAREST} nt or fewer is too short to move its scores far enough",
    "other": "it needs another sequence of the same class and length, explained for the same class",
}


def _control_missing(control: str, asked: bool) -> str:
    reason = f" ({NEEDS[control]})" if control in NEEDS else ""
    state = f"could not be drawn{reason}" if asked else "was not requested"
    then = "beyond composition is not answered" if control == "context" else "the method cannot be called faithful"
    return f"The control {control} {state}, so {then}."


def _control_partly(control: str, sequences: int, of: int) -> str:
    why = f": {NEEDS[control]}" if control in NEEDS else ""
    return f"The control {control} exists for {sequences} of {of} sequences{why}."


def _joined_contexts(positions: int, joined_quarters: int, joined_gc: int, alone: int) -> str:
    text = (
        f"Control context: of {positions:,} positions, {joined_quarters:,} were pooled with another quarter of the "
        f"sequence and {joined_gc:,} with another GC count, because fewer than five shared their context"
    )
    return f"{text}; {alone:,} had no position to exchange scores with." if alone else f"{text}."


def _mistaken(sequences: int, control: str | None, excess: float | None, low: float | None, high: float | None) -> str:
    text = _not_judged(sequences)
    if control is None or excess is None:
        return f"{text}."
    return f"{text}; there the excess over {control} is {fixed(excess)} ({_mistaken_interval(low, high)})."


def _not_judged(sequences: int) -> str:
    return f"{counted([sequences], 'misclassified sequence')} {'is' if sequences == 1 else 'are'} not judged"


def _mistaken_interval(low: float | None, high: float | None) -> str:
    if low is None or high is None:
        return "too few for an interval"
    return f"95 % interval {fixed(low)} to {fixed(high)}"


_CAVEATS: Mapping[str, Sentence] = {
    "undecidable": _undecidable,
    "no_sequences": "The model classifies no sequence of this class correctly, so nothing can be said about it.",
    "no_counts": "No count between 0 and all was tried, so every ranking mutates the same nucleotides.",
    "control_missing": _control_missing,
    "control_partly": _control_partly,
    "few_clusters": (
        "Compared with {controls:list} on {clusters:count independent sequence}; at least {needed} are "
        "needed to decide."
    ),
    "joined_contexts": _joined_contexts,
    "narrow_intervals": (
        "Few independent sequences ({clusters}): below {enough}, a 95 % interval of skewed differences misses the "
        "truth on one side in 5 to 10 % of cases instead of 2.5 %."
    ),
    "no_margin": (
        "Exact in-silico mutagenesis covers fewer than {needed} of these sequences, or has no effect. Without it there "
        "is no margin, and no method can be called no better than its controls."
    ),
    "mistaken": _mistaken,
    "explained_for_another": "{sequences} of {of} sequences are explained for a class other than this one.",
    "floor_explains": (
        "The floor explains the fall of accuracy from {accuracy:digits 2} to {floor:digits 2}: with every nucleotide "
        "replaced, the model gives its default answer, “{class_name}”."
    ),
    "withheld": (
        "{sequences} of {of} sequences are left out: their scores do not add up as they should, and were withheld."
    ),
    "constant": (
        "All scores of {sequences} of {of} sequences are equal (for example all zero), so they were ranked at random."
    ),
    "nonfinite": "{sequences} of {of} sequences have scores that are not finite; these positions rank last.",
    "ties": "{share:share} of the positions have tied scores (ranked at random).",
    "both_strands": "Scores are means over both strands; mutants are classified on the forward strand only.",
    "mixed_strands": (
        "Scores of {methods:list} are means over both strands, scores of {others:list} are not: differences between "
        "these methods may come from the strands."
    ),
}


def caveats(cards: Iterable[Card], names: Names | None = None) -> list[tuple[str, str]]:
    """List each caveat of report cards once: what it is about, and the sentence.

    A class without methods means all of its methods. What the floor explains is left to `floor`, the misclassified
    sequences of a class are one sentence, and of two that say that sequences are too few one is enough.
    """
    cards = list(cards)
    methods = {card.method for card in cards}
    by_sentence: dict[str, dict[str, list[str]]] = {}
    mistaken: dict[str, list[Card]] = {}
    for card in cards:
        name = (names or {}).get(card.class_name, card.class_name)
        undecidable = any(each.code == "undecidable" for each in card.caveats)
        for each in card.caveats:
            if each.code == "mistaken":
                if not undecidable or each.values["excess"] is not None:  # else their number is said with the others'
                    mistaken.setdefault(name, []).append(card)
            elif each.code == "undecidable":
                numbers = {key: value for key, value in each.values.items() if key != "class_name"}
                by_sentence.setdefault(_prospect(**numbers), {}).setdefault(name, []).append(card.method)
            elif each.code != "floor_explains" and not (undecidable and each.code == "few_clusters"):
                by_sentence.setdefault(sentence(each, names), {}).setdefault(name, []).append(card.method)
    return [
        ("; ".join(name if methods <= set(of) else f"{name} ({', '.join(of)})" for name, of in by_class.items()), text)
        for text, by_class in by_sentence.items()
    ] + [(name, text) for name, of_class in mistaken.items() for text in _all_mistaken(of_class)]


def _all_mistaken(cards: Sequence[Card]) -> Iterator[str]:
    """Say once of a class that its misclassified sequences are not judged, with the excess of each method on them."""
    by_count: dict[int, list[str]] = {}
    for card in cards:
        values = next(each.values for each in card.caveats if each.code == "mistaken")
        excesses = by_count.setdefault(values["sequences"], [])
        if values["control"] is not None and values["excess"] is not None:
            interval = _mistaken_interval(values["low"], values["high"])
            excesses.append(f"{card.method} {fixed(values['excess'])} over {values['control']} ({interval})")
    for sequences, excesses in by_count.items():
        text = _not_judged(sequences)
        yield f"{text}. Excess on them: {'; '.join(excesses)}." if excesses else f"{text}."


def own_caveats(task: TaskResult, card: Card) -> list[str]:
    """List what only this card must say: not what holds for every method on its class, or `caveats` says once."""
    others = [other for other in task.cards.cards if other.label == card.label and other.method != card.method]
    own = [each for each in card.caveats if not others or any(each not in other.caveats for other in others)]
    own = [each for each in own if each.code != "mistaken"]
    if not _has_margin(task):  # which `decisions` says once
        own = [each for each in own if each.code != "no_margin"]
    return [sentence(each, task.class_names) for each in own]


def _has_margin(task: TaskResult) -> bool:
    """Tell whether exact in-silico mutagenesis gave any comparison of a task a margin."""
    return any(each.margin is not None for card in task.cards.cards for each in card.comparisons)


Link = Callable[[str, str], str]
"""Of words and the glossary's term that explains them: the words, linked to it where there is a glossary."""


def _unlinked(words: str, term: str) -> str:
    return words


def rule(link: Link = _unlinked, values: Iterable[str] = ()) -> str:
    """Say what was measured for the verdicts, when a method is faithful, and how a card's numbers are meant.

    Args:
        link: Makes a link to a term of the page's glossary.
        values: Names of the values that were judged; none where there are classes alone. ``""`` stands for classes.
    """
    names = list(dict.fromkeys(name for name in values if name))
    endpoint, basis, unit = "the explained class's logit", _RIGHT, "logits"
    if names and all(values):
        endpoint, basis, unit = f"the predicted value ({join(names)})", "All sequences take part.", "the value's unit"
    elif names:
        endpoint, unit = f"{endpoint}, or of the predicted value ({join(names)})", "logits or the value's unit"
    basis += f" {_BOTH_WAYS}" if names else ""
    return (
        f"Endpoint: {link('AOPC', 'aopc')} of {endpoint}, {link('most relevant first', 'order')}, "
        f"{link('random_other', 'operator')}. A method is {link('faithful', 'verdict')} if the {link('bands', 'band')} "
        f"of its {link('excess', 'excess')} over the {link('controls', 'control')} shifted, clump and other all lie "
        "above 0, worse than its controls if all lie below 0, no better than its controls if all lie within 10 % of "
        "what exact in-silico mutagenesis reaches over them, and undecided otherwise. A band holds for all methods, "
        f"classes and deciding controls of a task at once. {basis} Excess: over the deciding control whose band begins "
        f"lowest (of what is worse: ends highest), in {unit}, with that band; sd: the same in standard deviations over "
        f"sequences."
    )


_RIGHT = "Verdicts rest on the sequences that the model classifies correctly."
_BOTH_WAYS = (
    "A value may be moved both ways: of a signed method, mutating the highest scores first is to lower the value, and "
    "mutating the lowest first, negative(METHOD), is to raise it; there the excess is a rise."
)


VALUE_CURVES = (
    "Mean of the predicted value over sequences, with its 95 % interval, after the n nucleotides that a method ranks "
    "first were replaced (random_other). A signed method is to lower it, and negative(METHOD), which replaces the "
    "lowest scores first, is to raise it. Every method ends at the same value where all nucleotides are replaced. The "
    "interval of random: where the mean of one random ranking of each sequence falls."
)
"""How to read what is left of a value."""
BEYOND = {True: "yes", False: "not shown", None: "not answered"}
"""Whether what is faithful reaches beyond composition."""
NOT_AUDITED = "not audited"
OTHERS = {
    "worse than its controls": "worse than their controls",
    "no better than its controls": "no better than their controls",
}
"""Verdicts on several methods."""


def beyond(card: Card) -> str:
    """Give the second answer in a word; nothing for a method that is not faithful."""
    return BEYOND[card.beyond] if card.verdict == "faithful" else ""


# The trial: what was mutated, what full mutation leaves, what it took.


def grid(settings: Mapping[str, Any] | None) -> str:
    """Say what a fair trial mutated; nothing where there was none.

    Args:
        settings: The grid, as the settings of a curve and ``cards.json`` have it.

    Example:
        >>> grid(None)
        ''
    """
    if not settings:
        return ""
    sequences, counts = settings["sequences"], ", ".join(map(str, settings["counts"]))
    parts = [
        f"Grid: {counted([sequences['core']], 'sequence')}, random_other, most relevant first, n = {counts}, "
        f"{counted([settings['draws']], 'draw')}, one ranking of each matched control per draw, "
        f"{counted([settings['random_sets']], 'random ranking')}"
    ]
    if "orders" in sequences:
        parts.append(f"on {sequences['orders']} of them, 1 draw: the orders {', '.join(settings['orders'])}")
    if "operators" in sequences:
        parts.append(
            f"on {sequences['operators']}, 1 draw, at n = {settings['operator_count']} and all: the operators "
            f"{', '.join(settings['operators'])}"
        )
    if "ism" in sequences:
        parts.append(f"on {sequences['ism']}: exact in-silico mutagenesis")
    if "greedy" in sequences:
        parts.append(
            f"on {sequences['greedy']}: greedy search up to n = {settings['greedy_count']}, among the "
            f"{settings['greedy_candidates']} positions that in-silico mutagenesis ranks first"
        )
    return "; ".join(parts) + "."


def grids(run: RunResults) -> list[tuple[str, str]]:
    """Say once what each trial mutated: names of tasks, and the sentence."""
    tasks: dict[str, list[str]] = {}
    for task in run.tasks:
        if text := grid(task.cards.grid):
            tasks.setdefault(text, []).append(task.name)
    return [("" if len(names) == len(run.tasks) else join(names), text) for text, names in tasks.items()]


def evaluations(done: int, naive: int, share_saved: float, of_rankings: Mapping[str, int], value: str = "") -> str:
    """Say how many mutants a trial asked the model about, and how many it saved.

    Args:
        done: Distinct mutants.
        naive: What they would have been without sharing.
        share_saved: Of those.
        of_rankings: What the bounds took in addition.
        value: The value's name, of a model that predicts one.
    """
    text = (
        f"{done:,} distinct mutants were {'predicted' if value else 'classified'}; without sharing equal mutants among "
        f"methods, operators, orders, counts and draws it would have been {naive:,} ({percent(share_saved)} saved)"
    )
    if bounds := [f"{name} {n:,}" for name, n in of_rankings.items() if n]:
        text += f"; in addition, for the bounds: {join(bounds)}"
    return f"{text}."


def calibration(model: str, cards: Iterable[Card], names: Names | None = None, value: str | None = None) -> list[str]:
    """Say for each class how often its verdicts err, by the row of the calibration tables that applies.

    Args:
        model: Digest of the model.
        cards: Of one task.
        names: Of classes.
        value: Of the value explained, its name; all sequences are one group then.
    """
    of_class = "" if value else " a class"
    sentences, largest = [], {card.label: card for card in sorted(cards, key=lambda card: card.sequences)}
    for _, card in sorted(largest.items()):
        row, name = calibrated(model, card.label, card.sequences), (names or {}).get(card.class_name, card.class_name)
        if row is None:
            continue
        text = (
            f"{name}: calibrated at {row.sequences} sequences{of_class}. At most {fine_percent(row.faithful)} of "
            f"rankings of noise were called faithful, {fine_percent(row.worse)} worse than their controls, and "
            f"{fine_percent(row.beyond)} of letter rules beyond composition (upper 95 % bounds)"
        )
        if row.pool < POOLS_PER_EXPERIMENT * row.sequences:
            text += f"; the pool of {row.pool} sequences is small, so these rates prove little"
        sentences.append(f"{text}. The rates: docs/calibration.md, column {row.sequences}{of_class}.")
    return sentences or [NOT_CALIBRATED]


NOT_CALIBRATED = (
    "How often verdicts on this model err has not been measured at this number of sequences (kmerit calibrate)."
)
TOO_FEW = "Too few sequences to know what full mutation leaves of a class."


def floor(floors: Iterable[Floor], names: Names | None = None, operator: str = "random_other") -> str:
    """Say what the model answers to sequences fully mutated by an operator, and what follows for each class.

    Args:
        floors: Of all operators and classes.
        names: Of classes.
        operator: Which one; nothing is said of one that was not tried.
    """
    own_floors = [each for each in floors if each.operator == operator]
    if not own_floors:
        return ""
    shown: dict[str, str] = {name: (names or {}).get(name, name) for name in own_floors[0].rates}
    default = (names or {}).get(own_floors[0].default_name, own_floors[0].default_name)
    rates = [f"{percent(rate)} of {shown[name]}" for name, rate in own_floors[0].rates.items()]
    text = f"With every nucleotide replaced ({operator}), the model answers “{default}” for {join(rates)}"
    falls = [
        f"{shown[each.class_name]} ({fixed(each.accuracy, 2)} to {fixed(each.floor, 2)})"
        for each in own_floors
        if each.outcome == "explained"
    ]
    text += f"; this alone explains the fall in accuracy of {join(falls)}." if falls else "."
    return " ".join([text, *_differences(own_floors, shown)])


def value_floor(floors: Iterable[ValueFloor], operator: str = "random_other") -> str:
    """Say what the model predicts for sequences fully mutated by an operator.

    Args:
        floors: Of all operators.
        operator: Which one; nothing is said of one that was not tried.

    Example:
        >>> from kmerit.trials.verdicts import ValueFloor
        >>> floor = ValueFloor("random_other", "expression", 2.0, 0.5, -1.5, -2.0, -1.0, 0.1, 30)
        >>> value_floor([floor])[:78]
        'With every nucleotide replaced (random_other), expression falls from 2.000 to '
    """
    known = [each for each in floors if each.operator == operator]
    if not known:
        return ""
    (one,) = known
    fall = "falls" if one.change < 0 else "rises"
    text = (
        f"With every nucleotide replaced ({operator}), {one.class_name} {fall} from {fixed(one.intact)} to "
        f"{fixed(one.floor)}, means over {counted([one.sequences], 'sequence')}"
    )
    if one.low is not None and one.high is not None:
        text += f" (change {fixed(one.change)}, 95 % interval {fixed(one.low)} to {fixed(one.high)})"
    if one.spread is not None:
        text += f"; the fully mutated sequences differ by a standard deviation of {fixed(one.spread)}"
    return f"{text}. Every method ends at this value."


def _differences(known: Sequence[Floor], shown: Names) -> Iterator[str]:
    """Say by how much the answers to a class's mutants differ from those to the others, and what follows."""
    own_comparisons = [each for each in known if each.outcome != "alone"]
    if not own_comparisons:
        yield "There is no other class to compare with, so what full mutation leaves of this one is unknown."
        return
    if len(own_comparisons) == 2:  # the second class's difference is the first's, turned round
        own_comparisons = own_comparisons[:1]
        yield f"Difference between the two classes: {_difference(own_comparisons[0])}."
    else:
        each = [f"{shown[one.class_name]} {_difference(one)}" for one in own_comparisons]
        yield f"Difference from the mean of the other classes: {'; '.join(each)}."
    apart = [each for each in own_comparisons if each.outcome == "kept"]
    if apart:
        whose = "the class" if len(apart) == len(own_comparisons) else join(shown[each.class_name] for each in apart)
        yield (
            f"Full mutation does not erase {whose}: mutants still differ between classes, in composition for instance, "
            "so the default label alone does not set the floor."
        )
    elif any(each.outcome == "too_few" for each in own_comparisons):
        yield TOO_FEW


def _difference(of: Floor) -> str:
    if of.low is None or of.high is None:
        return _signed(of.difference)
    return f"{_signed(of.difference)}, 95 % interval {_signed(of.low)} to {_signed(of.high)}"


def _signed(value: float | None) -> str:
    text = percent(value)
    return f"+{text}" if value is not None and text[0] in "123456789" else text


def kept(task: TaskResult) -> bool:
    """Whether full mutation leaves something of a class of the task."""
    return any(each.outcome == "kept" for each in task.cards.floors if each.operator == "random_other")


def decisions(run: RunResults) -> list[str]:
    """Say what a run can decide and what it cannot, for any scores; nothing where there are no verdicts."""
    judged = [task for task in run.tasks if task.cards.cards]
    if not judged:
        return []
    lines = []
    for task in judged:
        names = task.class_names
        able = [each for each in task.cards.prospects if each.decidable and each.detectable is not None]
        unable = [each for each in task.cards.prospects if not each.decidable]
        if able:
            each_able = [
                f"{fixed(each.detectable, 2)} for {names.get(each.class_name, each.class_name)} "
                f"({counted([each.clusters], 'independent sequence')})"
                for each in able
            ]
            lines.append(
                f"{task.name}: the smallest detectable effect, in standard deviations and with a power of 90 %, is "
                f"{join(each_able)}. Smaller effects may stay undecided; more sequences decide more."
            )
        if unable:
            each_unable = [
                f"{names.get(each.class_name, each.class_name)} ({counted([each.clusters], 'independent sequence')})"
                for each in unable
            ]
            lines.append(f"{task.name}: nothing can be decided about {join(each_unable)}: too few sequences.")
    if without := [task.name for task in judged if not _has_margin(task)]:
        where = "here" if len(without) == len(judged) else f"on {join(without)}"
        lines.append(
            f"No method can be called “no better than its controls” {where}: that takes exact in-silico mutagenesis "
            "(trial.ism_per_class)."
        )
    return lines


def footprints(task: TaskResult) -> str:
    """Say which judged methods changed far fewer tokens than random positions did; nothing where none did."""
    of_classes = [text for group in task.groups if (text := _footprint_of(task, group))]
    if not of_classes:
        return ""
    return (
        f"At n = {task.compared} some methods change far fewer tokens than random positions do: "
        f"{'; '.join(of_classes)}. Equal n is not equal damage, so random decides nothing; the controls shifted, clump "
        "and other change as many tokens as the method does."
    )


def _footprint_of(task: TaskResult, group: Group) -> str:
    control = group.at("random", task.compared)
    judged = [card.method for card in task.cards.cards if card.label == group.label]
    if control is None:
        return ""
    cells = [cell for method in judged if (cell := group.at(method, task.compared)) is not None]
    small = [cell for cell in cells if cell.tokens_changed < FAR_BELOW * control.tokens_changed]
    if not small:
        return ""
    counts = join([f"{cell.method} {fixed(cell.tokens_changed, 0)}" for cell in small])
    return f"{group.name}: {counts} (random {fixed(control.tokens_changed, 0)})"


# Audits: findings, gaps, concerns.


class FindingText(NamedTuple):
    """A finding in words.

    Attributes:
        title: What was found, in a few words.
        severity: ``note``, ``warning`` or ``failure``.
        text: The finding, with its numbers.
        remedy: What to do about it.
    """

    title: str
    severity: str
    text: str
    remedy: str


_SPLIT = "Split again by group (kmerit split --data DATA --out FOLDER), or leave those test rows out."


def _near_contradicting(value: float, where: str, split: str, rows: int, against: str, placed_only: bool) -> str:
    place = "the same split" if against == split else against
    return (
        f"{fine_percent(value)} of the {rows:,} {split} rows of {where} are near copies of rows of another class in "
        f"{place}: their labels contradict each other."
    )


def _feature(value: float, where: str, at_least: float | None) -> str:
    text = f"{where} alone distinguishes the classes: AUROC {fixed(value, 2)}"
    return f"{text}." if at_least is None else f"{text}, with 95 % confidence at least {fixed(at_least, 2)}."


def _leak_gain(
    value: float, where: str, accuracy: float, accuracy_clean: float, share_from_leaked: float | None
) -> str:
    text = (
        f"The baseline {where} is right on {fine_percent(accuracy)} of all test rows and on "
        f"{fine_percent(accuracy_clean)} of those without a leak"
    )
    if share_from_leaked is None:
        return f"{text}."
    return f"{text}; {fine_percent(share_from_leaked)} of its right answers are on leaked rows."


def _half_placed(value: float, where: str, by_class: Mapping[str, Sequence[int]]) -> str:
    counts = ", ".join(f"{known:,} of {rows:,} rows of {name}" for name, (known, rows) in by_class.items())
    return f"{counts} have coordinates; overlaps and distances are known only for those."


_OF_SPLIT = "{value:share} of the {rows:,} {split} rows of {where}"
FINDINGS: Mapping[str, tuple[str, Sentence, str]] = {
    "contradicting": (
        "Contradictory labels",
        "{value:share} of the rows of {where} have a copy with another label.",
        "Find out which label is right, or drop both: kmerit split drops and counts them.",
    ),
    "copied": (
        "Copies of training rows",
        f"{_OF_SPLIT} are copies of rows of the same class in {{against}}, on either strand.",
        _SPLIT,
    ),
    "overlapping": (
        "Overlap with training rows",
        f"{_OF_SPLIT}{{placed_only: with coordinates}} overlap rows of the same class in {{against}} on the genome.",
        _SPLIT,
    ),
    "near": (
        "Near copies of training rows",
        f"{_OF_SPLIT} are near copies of rows of the same class in {{against}}.",
        _SPLIT,
    ),
    "leaked": (
        "Leaks of any kind",
        f"{_OF_SPLIT} copy, overlap or nearly copy rows of the same class in {{against}}.",
        _SPLIT,
    ),
    "near_contradicting": (
        "Near copies with contradictory labels",
        _near_contradicting,
        "Find out which label is right. If a few letters do decide (variants), keep near copies in one split: kmerit "
        "split does that.",
    ),
    "one_split": (
        "One split only",
        "There is only one split ({where}), so leaks between splits cannot be seen.",
        "Make splits: kmerit split --data DATA --out FOLDER",
    ),
    "feature_auroc": (
        "One feature distinguishes the classes",
        _feature,
        "Match the background in composition: kmerit negatives --kind gc, or --kind shuffled.",
    ),
    "ends": (
        "The ends distinguish the classes",
        "The first and last 20 letters distinguish the classes with AUROC {auroc:digits 2}, GC content with "
        "{gc:digits 2}: where rows were cut gives their class away.",
        "Cut both classes in the same way: shift the ends at random, or crop from the centre.",
    ),
    "baseline_auroc": (
        "A baseline distinguishes the classes",
        "The baseline {where} reaches AUROC {value:digits 2}.",
        "Report it next to every model: only what exceeds it is the model's merit.",
    ),
    "leak_gain": ("Accuracy from leaked rows", _leak_gain, _SPLIT),
    "mixed": (
        "Overlap with another class",
        "{value:share} of the rows of {where}{placed_only: with coordinates} overlap a row of another class on the "
        "genome.",
        "Draw the background away from the positives, or drop what overlaps.",
    ),
    "repeated": (
        "Repeated rows",
        f"{_OF_SPLIT} repeat an earlier row of the same split.",
        "Drop the second copies: kmerit split does.",
    ),
    "half_placed": (
        "Coordinates missing",
        _half_placed,
        "Give coordinates for all rows, or rely on the search for near copies, which needs letters only.",
    ),
    "smallest_class": (
        "Uneven classes",
        "{where} has {value:share} of the {rows:,} {split} rows.",
        "Measure AUROC or MCC instead of accuracy, and weight the classes in training.",
    ),
    "too_short": ("Rows without a 6-mer", f"{_OF_SPLIT} are shorter than a 6-mer.", "Drop them: min_length = 6."),
    "with_n": (
        "Unknown nucleotides",
        f"{_OF_SPLIT} have an N.",
        "Drop them (drop_n = true), or keep in mind that no k-mer covers an N.",
    ),
    "low_complexity": (
        "Low complexity",
        f"{_OF_SPLIT} are of low complexity.",
        "Check whether they are simple repeats, and drop them if so.",
    ),
}
"""Of each code of a finding: title, sentence, and what to do. The sentence has ``where`` and ``value``, too."""
FEATURE_REMEDIES = {
    "length": "Match the classes in length, or crop all rows to one length.",
    "N": "Drop rows with an N (drop_n = true) in both classes, or find out why one class has more.",
    "longest run": "Check for runs left from cloning, sequencing or padding; cut them off, or drop such rows.",
    "low complexity": "Check whether such rows are simple repeats or padding of one class, and drop them if so.",
    "repeats": "Mask the repeats of the genome, or drop rows that are mostly repeats, in both classes.",
}
"""Of features that are no matter of composition."""
_GRAVE = (
    *("contradicting", "near_contradicting", "copied", "overlapping", "near", "leaked"),
    *("feature_auroc", "ends", "baseline_auroc", "leak_gain"),
)
_PLACELESS = ("ends", "one_split")
"""Findings whose place the title names already."""


def finding(record: Finding, names: Names | None = None) -> FindingText:
    """Put a finding of an audit into words.

    Example:
        >>> from kmerit.datasets.findings import Finding
        >>> short = Finding("too_short", {"split": "test", "rows": 8}, where="on", label=1, value=0.5, threshold=0)
        >>> finding(short).text
        '50.0 % of the 8 test rows of on are shorter than a 6-mer.'
    """
    title, text, remedy = FINDINGS[record.code]
    where = _where(record, names or {})
    if record.code == "feature_auroc":
        remedy = FEATURE_REMEDIES.get(record.where, remedy)
    elif record.code == "baseline_auroc" and record.where == "memory":
        remedy = _SPLIT
    severity = "failure" if record.gate else "warning" if record.code in _GRAVE else "note"
    values = {**_with_names(record.values, names or {}), "value": record.value, "where": where}
    return FindingText(
        title if record.code in _PLACELESS else f"{title}: {where}", severity, _write(text, values), remedy
    )


def _where(record: Finding, names: Names) -> str:
    """Name the place of a finding, a class as it is to be shown."""
    if "by_class" in record.values:
        return ", ".join(names.get(name, name) for name in record.values["by_class"])
    return record.where if record.label is None else names.get(record.where, record.where)


def findings(audit: Audit, names: Names | None = None) -> list[FindingText]:
    """Put the findings of an audit into words, those of one kind, severity and remedy in one."""
    alike: dict[tuple[str, str, str], list[Finding]] = {}
    for each in audit.findings:
        wording = finding(each, names)
        alike.setdefault((each.code, wording.severity, wording.remedy), []).append(each)
    return [
        FindingText(_title(group, names or {}), severity, _texts(group, names), remedy)
        for (_, severity, remedy), group in alike.items()
    ]


def _title(group: Sequence[Finding], names: Names) -> str:
    title, code = FINDINGS[group[0].code][0], group[0].code
    return (
        title if code in _PLACELESS else f"{title}: {', '.join(dict.fromkeys(_where(each, names) for each in group))}"
    )


def _texts(group: Iterable[Finding], names: Names | None) -> str:
    return " ".join(dict.fromkeys(finding(each, names).text for each in group))


def grave_titles(audit: Audit, names: Names | None = None) -> list[str]:
    """List the titles of the findings that warn or fail, those of one kind in one."""
    grave: dict[str, list[Finding]] = {}
    for each in audit.findings:
        if each.gate or each.code in _GRAVE:
            grave.setdefault(each.code, []).append(each)
    return [_title(group, names or {}) for group in grave.values()]


def _class_missing(split: str, class_names: Sequence[str], learning: bool) -> str:
    pronoun = "it" if len(class_names) == 1 else "them"
    lacking = f"baselines cannot learn {pronoun}" if learning else f"AUROCs leave {pronoun} out"
    return f"The split {split} has no rows of {', '.join(class_names)}: {lacking}."


def _auroc_undefined(features: Sequence[str], baselines: Sequence[str]) -> str:
    unknown = [*features, *(f"the baseline {name}" for name in baselines)]
    return (
        f"AUROCs are undefined ({few(unknown)}): the rows measured are all of one class, so how easily the classes are "
        f"distinguished is unknown."
    )


def _rows_of(split: str | None, class_name: str) -> str:
    return f"rows of {class_name}" if split is None else f"{split} rows of {class_name}"


def _off_genome(rows: int, split: str | None, class_name: str, chromosomes: Sequence[str]) -> str:
    return (
        f"{rows:,} {_rows_of(split, class_name)} lie on chromosomes that the genome lacks ({few(list(chromosomes))}): "
        f"their coordinates were not compared with it."
    )


def _other_letters(rows: int, of: int, split: str | None, class_name: str) -> str:
    return (
        f"{rows:,} of the {of:,} {_rows_of(split, class_name)} that were compared with the genome do not have its "
        f"letters at their coordinates: do not trust their overlaps and distances."
    )


def _unmeasured(thresholds: Sequence[str], partly: bool) -> str:
    names = f"threshold{'s' if len(thresholds) > 1 else ''} {', '.join(thresholds)}"
    if partly:
        return f"Could not be checked for every class and split; passing says nothing about the others: {names}."
    return f"Could not be checked; passing says nothing about {'them' if len(thresholds) > 1 else 'it'}: {names}."


_JUDGED = {"feature_auroc": "feature", "baseline_auroc": "baseline", "ends": "cut of the ends"}


def _all_unresolved(code: str, threshold: float, ceiling: float) -> str:
    return (
        f"Could not be checked; too few rows: whether any {_JUDGED[code]} exceeds {code} {threshold:g} (on so few rows "
        f"the 95 % interval of even a perfect separation begins at {fixed(ceiling, 2)})."
    )


def _unresolved(where: str, code: str, threshold: float, value: float, low: float | None) -> str:
    interval = "no interval" if low is None else f"95 % interval from {fixed(low, 2)}"
    return (
        f"Could not be checked; too few rows: whether {where} exceeds {code} {threshold:g} "
        f"({fixed(value, 2)}, {interval})."
    )


_GAPS: Mapping[str, Sentence] = {
    "unread": lambda files: (
        f"Not read: {', '.join(files)}. To read files with other names, say which split they are: train=FILE test=FILE"
    ),
    "left_out": "{rows:,} rows of fewer than {min_length} nt were left out (--min-length).",
    "no_letters": "There are no letters: composition, near copies and baselines on k-mers were not checked.",
    "wordless": (
        "{rows:,} of {of:,} rows have no {k} known letters in a row, so near copies of them cannot be seen. To see "
        "them, lower settings.k (at least 8)."
    ),
    "no_coordinates": "There are no coordinates: overlaps and distances were not checked.",
    "one_split": (
        "There is only one split: leaks between splits cannot be seen; baselines are judged on rows held out of it."
    ),
    "class_missing": _class_missing,
    "auroc_undefined": _auroc_undefined,
    "off_genome": _off_genome,
    "other_letters": _other_letters,
    "unmeasured": _unmeasured,
    "all_unresolved": _all_unresolved,
    "unresolved": _unresolved,
}

_LEAKED = {
    "copied": "are copies of training rows",
    "overlapping": "overlap training rows",
    "near": "are near copies of training rows",
    "leaked": "copy or overlap training rows, or nearly copy them",
}


def _leaked(class_name: str, kind: str, share: float, any_share: float, placed_only: bool) -> str:
    rows = "test rows with coordinates" if placed_only else "test rows"
    return f"leaked: {fine_percent(share)} of {class_name} {rows} {_LEAKED[kind]}"


def _separable(by: str, auroc: float) -> str:
    return f"{_ease(auroc)} separable: {_alone(by, auroc)}"


def _ease(auroc: float) -> str:
    return "trivially" if auroc >= 0.95 else "easily"


def _alone(by: str, auroc: float) -> str:
    return f"{by} alone, AUROC {fixed(auroc, 2)}"


def _contradictory(class_name: str, share: float, split: str | None, against: str | None) -> str:
    if split is None:
        return f"contradictory labels: {fine_percent(share)} of the rows of {class_name} have a copy with another label"
    place = "the same split" if against == split else against
    return (
        f"contradictory labels: {fine_percent(share)} of the {split} rows of {class_name} are near copies of rows of "
        f"another class in {place}"
    )


_CONCERNS: Mapping[str, Sentence] = {
    "leaked": _leaked,
    "leaked_across": "leaked: {share:share} of {class_name} {split} rows have a copy or near copy in {against}",
    "separable": _separable,
    "ends": "cut differently: the first and last 20 letters reach AUROC {auroc:digits 2}, GC content {gc:digits 2}",
    "contradictory": _contradictory,
    "leaks_unknown": "leaks unknown: no training rows were given",
    "separability_unknown": "separability unknown: the test rows are of one class",
    "separability_unseen": "too few rows to see easy separation",
}
_UNKNOWNS = ("leaks_unknown", "separability_unknown", "separability_unseen")


def concerns(data_set: Iterable[Concern], names: Names | None = None) -> list[tuple[str | None, str]]:
    """Say in a few words each what a verdict on a data set must be read with.

    Returns:
        The class concerned, by the data's name (None: the whole set), and a line such as ``leaked: 75.5 % of positive
        test rows are copies of training rows``.
    """
    return [(each.values.get("class_name"), sentence(each, names)) for each in data_set if each.code not in _UNKNOWNS]


def in_a_line(data_set: Sequence[Concern] | None, names: Names | None = None) -> str:
    """Say in one short line whether a verdict on a data set can be trusted: leaks, easy features, labels.

    Example:
        >>> in_a_line(None), in_a_line([])
        ('not audited', 'no leaks or easy features found')
    """
    if data_set is None:
        return NOT_AUDITED
    by_code: dict[str, list[dict[str, Any]]] = {}
    for each in data_set:
        by_code.setdefault(each.code, []).append(_with_names(each.values, names or {}))
    parts = []
    if leaked := by_code.get("leaked"):
        shares = (f"{fine_percent(v['any_share'])} of the {v['class_name']}" for v in leaked)
        parts.append(f"leaked: {join(shares)} test rows")
    if across := by_code.get("leaked_across"):
        shares = (
            f"{fine_percent(v['share'])} of {v['class_name']} {v['split']} rows have a copy or near copy in "
            f"{v['against']}"
            for v in across
        )
        parts.append(f"leaked: {join(shares)}")
    if easy := by_code.get("separable"):
        best = max(easy, key=lambda values: float(values["auroc"]))
        parts.append(f"{best['by']} alone distinguishes the classes, AUROC {fixed(best['auroc'], 2)}")
    if "ends" in by_code:
        parts.append("where rows were cut distinguishes the classes")
    if "contradictory" in by_code:
        parts.append("contradictory labels")
    unknown = [code for code in _UNKNOWNS if code in by_code]
    if "leaks_unknown" in unknown:
        parts.insert(0, str(_CONCERNS["leaks_unknown"]))
    parts += [str(_CONCERNS[code]) for code in unknown if code != "leaks_unknown"]
    if unknown == ["leaks_unknown"] and len(parts) == 1:
        parts.append("no easy features found")
    return "; ".join(parts) or "no leaks or easy features found"


# Runs: notes.

_NOTES: Mapping[str, Sentence] = {
    "few_sequences": lambda wanted, by_class: (
        f"Fewer sequences than the {wanted} requested: there are only {by_class['']}."
        if "" in by_class
        else f"Fewer sequences than the {wanted} requested of each class: there are only "
        f"{join(f'{n} of {name}' for name, n in by_class.items())}."
    ),
    "no_lrp_star": "LRP* was not chosen: it needs lrp, lrp_last and validation sequences.",
    "other_unit": (
        "labels are in the unit of what a model was trained on, and {model} is not known to be trained on the {label}."
    ),
    "baselines_unread": (
        "the metrics.json beside the model's weights is not one that kmerit writes, so no baselines are shown. "
        "{problem} Make the model with kmerit finetune, which writes one, or remove the file."
    ),
    "foreign_model": lambda leaks: (
        "The model was trained elsewhere. "
        + {
            "train_key": "Leaks are counted against the file given as train; ",
            "task": "Leaks are counted against the training split of this task; ",
            "unknown": "No training rows were given, so leaks are not known; ",
        }[leaks]
        + "rows of the trial that it was trained on make it look better than it is."
    ),
    "no_ledger": lambda methods: (
        f"There is no ledger of {join(methods)}: its entries do not add up to the output, so how much of it lies in "
        f"the sequence is not known for this model. The scores do not depend on that."
    ),
}

# Studies: what changes, what is left out, what follows. Reports of studies are Markdown.

_CHANGES: Mapping[str, Sentence] = {
    "ranking": lambda tau, first, second, first_set, second_set: (
        f"The ranking of methods changes (Kendall's tau {fixed(tau, 2)}): {', '.join(first)} with {first_set}, "
        f"{', '.join(second)} with {second_set}."
    ),
    "falls_further": lambda before, after, first_set, second_set: (
        f"The class that falls further changes: {or_neither(before)} with {first_set}, {or_neither(after)} with "
        f"{second_set}."
    ),
}
NO_CHANGE = "Neither the ranking of methods nor the class changes."
EXCESSES = "Excess of the AOPC of the logit over the nearest deciding control, in logits, with its band over sequences."

_OMISSIONS: Mapping[str, Sentence] = {
    "parts_unknown": (
        "Left out: random weights, because the forward pass of {model} is a library's and its parts are not known."
    ),
}
CHECKS = {
    "sparsity": "Gini's index of the sizes of scores: 0 even, towards 1 all in one place",
    "entropy": "entropy of the sizes of scores, as a share of the greatest: 1 even, 0 all in one place",
    "ism": "rank correlation with exact in silico mutagenesis: high if scores say what single substitutions do",
    "class swap": "rank correlation with the scores for the next class: low, or negative, if scores know the class",
    "strand": "rank correlation with the scores of the reverse complement: high if the strand does not matter",
    "random weights": "rank correlation after this and all parts above are random: low if scores know the weights",
    "shuffled labels": "rank correlation with a model trained on shuffled labels: low if scores know the task",
    "another seed": "rank correlation with a model of another seed: high if scores are the task's, not the seed's",
}
"""Sanity checks."""


def sanity(sequences: int) -> str:
    """Say how to read a table of sanity checks."""
    return (
        f"{sequences} sequences; the class explained is the predicted one. Means over sequences, with 95 % bootstrap "
        "intervals; where fewer sequences have a value, their number follows."
    )


def or_neither(label: int | None) -> str:
    """Write the number of a class, or that there is none."""
    return "neither" if label is None else str(label)


REGIMES = (
    "Every model was scored once for all methods, and tried with every operator on the same rows, cropped around their "
    "centres. The table `study.parquet` has the excess of every sequence at every n."
)


def regime_tiles(tile: int, lengths: Sequence[int]) -> str:
    """Say which lengths were read in tiles, and what that means.

    Example:
        >>> regime_tiles(500, [200, 500, 1000, 2000])
        'Sequences of 1,000 and 2,000 nt were read in tiles of 500 nt, end to end. Models were trained on single ...'
    """
    long = sorted(length for length in lengths if length > tile)
    return (
        f"Sequences of {join(f'{length:,}' for length in long)} nt were read in tiles of {tile:,} nt, end to end. "
        f"Models were trained on single tiles, each with the label of its row, also where a tile has nothing of what "
        f"makes the label. A whole sequence, and each mutant of it, is classified by the mean probability of its "
        f"tiles: accuracy and drops are of whole sequences, but no model saw letters of two tiles together."
    )


REGIME_VERDICTS = (
    "Verdicts follow the rule for the deciding controls, over all n together. No exact in-silico mutagenesis was "
    "done, so no method can be *no better than its controls*: it is faithful, worse or undecided."
)
REGIME_AGREEMENT = (
    "Kendall's W of the scores of all methods, mean over the sequences: 1 is one ranking. *Shifted*: the same after "
    "each method's scores are rotated along the sequence. The difference has a 95 % interval over sequences."
)
SHARES = (
    "Shares of the variance of the cells' observed means of the excess, mean over n, over all classes, with 95 % "
    "intervals over sequences and seeds. They are shares of observed means, not of a population: with few sequences, "
    "part of each is noise. Resampling repeats seeds, so with three seeds the interval of the seeds' own share is "
    "biased low. Sequences are compared in the class that each model predicts, so effects of the class do not show."
)
NO_SHARES: Mapping[str, str] = {
    "seeds": "Shares of the variance are absent: they need at least three seeds of training.",
    "levels": "Shares of the variance are absent: no factor but the seed has more than one level.",
    "sequences": "Shares of the variance are absent: fewer than two sequences of a task have an excess in every cell.",
    "equal": "Shares of the variance are absent: the excess is equal in all cells.",
}


def shares_rows(sequences: int, left_out: int) -> str:
    """Say how many sequences the shares rest on.

    Example:
        >>> shares_rows(20, 4)
        'They rest on 20 sequences of each task; 4 were left out: no excess in some cell, or more than another has.'
    """
    return (
        f"They rest on {sequences} sequences of each task; {left_out} were left out: no excess in some cell, or more "
        f"than another has."
    )


RANKS_NOTHING = (
    "Where a method gives a sequence one score throughout, it ranks nothing: its first positions are drawn, and count "
    "with the others in verdicts, agreement and shares. How many of its sequences, over all models:"
)


def central(shortest: int, least: int, most: int) -> str:
    """Say what share of first positions is compared: as many as the highest count, which may depend on the length.

    Example:
        >>> central(200, 20, 20)
        'Share of the first 20 positions in the 200 nt around the centre, mean over models; *even*: if spread evenly.'
        >>> central(200, 20, 40)[:40]
        'Share of the first 20 to 40 positions (a'
    """
    n = f"{least} positions" if least == most else f"{least} to {most} positions (a share of the length)"
    return f"Share of the first {n} in the {shortest} nt around the centre, mean over models; *even*: if spread evenly."


def rows_left_out(longest: int) -> str:
    """Say which rows are left out at every length.

    Example:
        >>> rows_left_out(200)
        'Rows with an N or shorter than the longest length, 200 nt, are left out at every length; ...'
    """
    return (
        f"Rows with an N or shorter than the longest length, {longest} nt, are left out at every length; where windows "
        f"are cut out of a genome, also those whose window is not whole in it, or overlaps one of a split measured on."
    )


LEAKAGE = (
    "In each arm rows that copy or overlap test rows take the place of training rows: of no class, of class 1 "
    "(positives), of class 0 (negatives), or of both. *Drop*: accuracy lost under the mutations that the methods rank "
    "first, mean over the methods; *random*: the same under random positions. A class *falls further* if its drop is "
    "more than 0.02 greater than the other's. The first table of a set has differences of drops, with 95 % intervals "
    "over the sequences on trial, and in brackets the value of each training alone."
)
CONTRASTS = {
    "unleaked": "class 1 falls further by, without leaks",
    "positives": "a leak of class 1 adds to that",
    "negatives": "a leak of class 0 takes from that",
    "leaked": "a leak adds to its class, mean of both",
}
"""Of the arms of the study of leakage."""


FAITHFUL_MODELS = "Models whose trial calls a method faithful:"


def collapse(models: int, leaked: int, not_default: int) -> str:
    """Say what the collapse follows in a data set: the leaked class, or the one that is not the default label.

    Args:
        models: With one leaked class, in which a class falls further.
        leaked: Of these, in how many it is the leaked one.
        not_default: In how many it is the one that is not the default label.
    """
    if not models:
        return "no model with one leaked class has a class that falls further."
    return (
        f"of {models} models with one leaked class in which a class falls further, it is the leaked one in {leaked}, "
        f"and the one that is not the default label in {not_default}."
    )


PLANTED = (
    "Truth: how well a method's scores find the planted letters (AUROC per sequence, 0.5 by chance), or, for "
    "composition, their rank correlation with the generator's log-odds (0 by chance). Trial: the excess of the AOPC of "
    "the logit over the nearest deciding control, in logits, with its band. Other brackets: 95 % bootstrap intervals "
    "over sequences. A method *finds* the signal if its interval lies above chance. A mask counts every letter of a "
    "motif alike, and a model need not: a small reversal between two methods that both find the signal may be the "
    "mask's error, or the trial's."
)
TRUTHS = {"auroc": "AUROC", "auprc": "AUPRC", "mass_inside": "mass inside", "correlation": "rank correlation"}
"""Measures of scores against planted truth."""


def planted(result: Mapping[str, Any]) -> str:
    """Say in a sentence or two whether the trial errs on a planted data set, and where.

    Args:
        result: Of the set, as ``planted.json`` has it.
    """
    if not result["learned"]:
        return (
            f"not learned (test AUROC {fixed(result['auroc']['value'])}, scrubbing flips "
            f"{percent(result['scrubbing_flips'])}), so nothing is concluded."
        )
    taus = [
        f"{interval(tau['value'], tau['low'], tau['high'])} by {TRUTHS[measure]}"
        for measure, tau in result["kendall_tau"].items()
    ]
    errors = []
    if methods := result["false_acquittals"]:
        others = {row["method"]: " and ".join(TRUTHS[each] for each in row["finds_by"]) for row in result["methods"]}
        names = [f"{each}, which does by {others[each]}" if others[each] else each for each in methods]
        by = TRUTHS[result["ranked_by"]]
        errors.append(f"it calls faithful what does not find the signal by {by} ({', '.join(names)})")
    if missed_methods := result["false_convictions"]:
        errors.append(f"it does not call faithful what finds the signal ({', '.join(missed_methods)})")
    if pairs := result["reversed_pairs"]:
        errors.append(
            f"it reverses {len(pairs)} of {result['pairs']} pairs beyond chance, the widest being "
            f"{pairs[0]['truth_prefers']} (truth) against {pairs[0]['trial_prefers']} (trial)"
        )
    text = f"Kendall's tau between truth and trial is {', '.join(taus)}; "
    text += f"the trial errs: {'; '.join(errors)}." if errors else "no error of the trial was found."
    return text + (f" It leaves undecided: {', '.join(result['undecided'])}." if result["undecided"] else "")


def planted_set(result: Mapping[str, Any]) -> str:
    """Say what was planted, and how well the model learned it."""
    motifs = f", {' and '.join(result['motifs'])}" if result["motifs"] else ""
    auroc = result["auroc"]
    return (
        f"{result['regime']}{motifs}; negatives {result['negatives']}. The model: test AUROC "
        f"{interval(auroc['value'], auroc['low'], auroc['high'])}; scrubbing flips "
        f"{percent(result['scrubbing_flips'])} of the positives called so, restoring the whole background "
        f"{percent(result['restoring_background_flips'])}. {result['sequences']} sequences."
    )


def acquitted(rows: Sequence[Mapping[str, Any]]) -> str:
    """Say how many scores that find a planted signal, and how many that do not, are called faithful."""
    yes, no = ([row["verdict"] == "faithful" for row in rows if row["finds"] is finds] for finds in (True, False))
    return (
        f"Over all sets the trial calls faithful {sum(yes)} of {len(yes)} scores that find the signal, and {sum(no)} "
        f"of {len(no)} that do not."
    )


def agreement(cases: int, agree: int, lower: float, unclear: int, hard: int, acquitted: int) -> str:
    """Say how often truth and trial agree, see `kmerit.trials.truth.Agreement`."""
    return (
        "With hard negatives (turned, of another sequence, the wrong class, an early layer, shuffled labels): truth "
        f"and trial agree in {agree} of {cases} cases with a truth, which is at least {percent(lower, 1)} "
        f"(Clopper-Pearson, one-sided 95 %); {unclear} cases lie between. Of {hard} hard negatives that find nothing, "
        f"{acquitted} are called faithful."
    )


_FAILURES: Mapping[str, Sentence] = {
    "limit_passed": (
        "**{ranking}, {class_name}, {sequences} sequences, {claim} ({card})**: {rate:share} ({upper:share}), limit "
        "{limit:share}."
    ),
    "small_pool": (
        "At {sequences} sequences the pool of {pool} is too small: its chance mean shifts the rates, so they prove "
        "nothing. Use the effects."
    ),
}
NO_FAILURE = "No bound exceeds its limit."
EFFECTS = (
    "Mean excess in standard deviations over sequences, with its 95 % interval. For null rankings it must be 0 over "
    "the controls that they are exchangeable with: noise over all three, a method's rotated scores over clump and "
    "other, one place for all sequences over other, letters over context."
)


def rate(value: float, upper: float) -> str:
    """Write a rate of claims and its upper bound, in per cent."""
    return f"{fixed(100 * value, 1)} ({fixed(100 * upper, 1)})"


def pool(model: str, sequences: Mapping[str, int], others: int, draws: int, value: bool = False) -> str:
    """Say what a calibration rests on.

    Args:
        model: Its name.
        sequences: By class, of the pool.
        others: Of a class, at most, for rankings that are not null.
        draws: Of alleles and of each control.
        value: Whether the model predicts a value.
    """
    sizes = ", ".join(f"{count} {name}" for name, count in sequences.items())
    of_class = "" if value else " a class"
    pool_text = (
        f"{sum(sequences.values())} sequences; the value explained is {join(sequences)}"
        if value
        else (f"{sizes}, all classified correctly")
    )
    return (
        f"Model: {model}. Pool: {pool_text}; of these, up to {others}{of_class} for methods, doses and foils. "
        f"{counted([draws], 'draw')} of alleles and of each control."
    )


def claims(experiments: int) -> str:
    """Say how to read the rates of a calibration."""
    return (
        f"In per cent of {experiments:,} resampled experiments, in brackets the one-sided 95 % upper bound "
        "(Clopper-Pearson)."
    )


TRUTH_AND_TRIAL = "Truth, and the trial's verdict; in bold where they disagree."


def _pooled(how: str) -> Sentence:
    """Make the sentence of a method's difference over elements."""

    def made(method: str, value: float, low: float, high: float, elements: int, tau2: float | None) -> str:
        between = "" if tau2 is None else f"; variance between elements (tau squared) {fixed(tau2, 4)}"
        return (
            f"{how.format(method)}: its correlation differs by "
            f"{interval(value, low, high)} over {counted([elements], 'element')}{between}."
        )

    return made


_JUDGEMENTS: dict[str, Sentence] = {
    "judges": "In-silico mutagenesis agrees with the measured effects in {names:list}, of {of} elements: these judge.",
    "none_judges": "No element of {of} can judge: nowhere does in-silico mutagenesis, which is exact about the "
    "model, agree with the measured effects. The model does not know them; nothing follows about a method.",
    "ism_disagrees": "Cannot judge: {names:list}. The interval of in-silico mutagenesis does not lie above 0.",
    "few_blocks": "Cannot judge: {names:list}. An interval needs {needed} blocks of 10 nucleotides with effects.",
    "letter_missing": "Cannot judge: {names:list}. The construct has letters that no row of the table names.",
    "no_effects": "Cannot judge: {names:list}. No row has an effect that can be used.",
    "no_result": "{method} has no result in {names:list}: there scores are withheld or missing, or all are equal.",
    "below": _pooled("{} agrees with the measured effects less than in-silico mutagenesis"),
    "above": _pooled("{} agrees with the measured effects more than in-silico mutagenesis"),
    "undecided": _pooled("No difference between {} and in-silico mutagenesis is shown"),
    "rows_left_out": "{rows:,} of {of:,} rows take no part; the reasons are in the table of assays.",
}


# Trials side by side.

SIDE_BY_SIDE = (
    "The excess of a method is its AOPC minus that of a control, in logits, on the sequences that both runs classify "
    "correctly and explain for the same class. Differences are of the second run less the first, sequence by "
    "sequence; intervals are by a bootstrap over clusters of sequences. Logits of two models may be on different "
    "scales; the effect size, the excess in standard deviations over sequences, does not depend on that."
)
AGREEMENT = (
    "Per sequence, then averaged: Spearman's correlation of the scores position by position, and the share of the n "
    "highest-scored positions that both runs have, ties drawn independently. Floor: the same with the second run's "
    "scores rotated along the sequence by 20 nt and more, what agreement by clustering alone reaches."
)


def multiplicity(result: SideBySide) -> str:
    """Say what the bands allow for."""
    banded = int(result.differences["band_low"].notna().sum())
    if not banded:
        return f"There are no bands: they need {FEWEST} clusters of sequences."
    return (
        f"Bands hold over all {banded} differences from matched controls at once (the largest t of the bootstrap); "
        f"intervals of 95 % are of one difference alone. A difference is claimed where its bands over shifted, clump "
        f"and other all lie on one side of 0."
    )


def _excess_differs(how: str) -> Sentence:
    """Make the sentence of a claimed difference."""

    def made(
        method: str, class_name: str, first: str, second: str, control: str, value: float, low: float, high: float
    ) -> str:
        return (
            f"{method}, {class_name}: the excess is {how} in {second} than in {first}, by {interval(value, low, high)} "
            f"logits over {control}, the control where the difference is smallest."
        )

    return made


def _scores_agree(
    method: str,
    first: str,
    second: str,
    value: float | None,
    low: float | None,
    high: float | None,
    floor: float | None,
) -> str:
    return (
        f"{method}: the scores of {first} and {second} have a rank correlation of {interval(value, low, high)}; with "
        f"moved scores {fixed(floor)}."
    )


DEPARTURES = (
    "Ranks among the data, at random positions: 0.5, a mutant is as ordinary as a sequence of the data; 1, it lies "
    "farther out than all of them. State: distance of [CLS] to the nearest sequences; letters: likelihood under a "
    "Markov chain of order 4; pseudo-likelihood: of each letter given all others, by a masked language model. Moved: "
    "distance from the sequence itself, in typical distances between sequences; log-likelihood: its change, in nats a "
    "nucleotide. A drop under an operator that leaves the data proves little."
)

# Pairs of positions.

PAIRS = (
    "An effect is how far the explained logit falls, averaged over the three other bases at each position; exact. The "
    "interaction of a pair is its joint effect less the sum of its two single effects: below 0, the positions "
    "need each other (conjunction; a pure one has half of the sum); above 0, each can replace the other (redundant). "
    "An output near its floor looks like a conjunction, one near its ceiling redundant. Shifted: the same "
    "positions rotated along the sequence, what any two positions of this model do. Bands hold over all rows at once; "
    "intervals are of one row."
)


def _pair_kind(how: str) -> Sentence:
    """Make the sentence of what the pairs of a method are."""

    def made(
        method: str,
        class_name: str,
        value: float | None,
        low: float | None,
        high: float | None,
        ratio: float | None,
        sequences: int,
    ) -> str:
        share = "" if ratio is None else f"; the joint effect is {fixed(ratio, 2)} of the sum of the single ones"
        return (
            f"{method}, {class_name}: {how}. Interaction {interval(value, low, high)} logits a pair, over "
            f"{counted([sequences], 'sequence')}{share}."
        )

    return made


_INTERACTIONS: Mapping[str, Sentence] = {
    "additive": _pair_kind("the positions it ranks first act alone; their effects add up"),
    "redundant": _pair_kind(
        "the positions it ranks first take more together than their sum; they stand in for each other, "
        "or the output is saturated"
    ),
    "conjunction": _pair_kind(
        "the positions it ranks first take less together than their sum; they need each other, "
        "or the output is saturated"
    ),
    "undecided": _pair_kind("whether the positions it ranks first act together is not shown"),
    "none_of_class": "{class_name}: no pair is judged, as all {mistaken} sequences are misclassified.",
}


_CONTRASTS: Mapping[str, Sentence] = {
    "verdict_differs": "{method}, {class_name}: {before} in {first}, {after} in {second}.",
    "verdicts_agree": "All {of} verdicts are the same in all runs.",
    "higher": _excess_differs("higher"),
    "lower": _excess_differs("lower"),
    "none_differs": "Of {of} differences of an excess none is shown.",
    "agreement": _scores_agree,
    "sequences_left_out": "{class_name}: {sequences} of {of} sequences are not compared between {first} and {second}, "
    "as one of the two misclassifies them or they are explained for different classes.",
    "methods_left_out": "Not compared, as not all runs have them: {names:list} of {run}.",
    "other_names": "{first} and {second} call sequences differently. Letters decide what is compared; but replacing "
    "nucleotides are drawn by name, so the runs do not share their draws.",
    "scores_missing": "The scores of {names:list} are not at hand, so their agreement is not measured (--scores).",
}


SENTENCES: Mapping[str, Mapping[str, Sentence]] = {
    "Caveat": _CAVEATS,
    "Gap": _GAPS,
    "Concern": _CONCERNS,
    "Note": _NOTES,
    "Change": _CHANGES,
    "Omission": _OMISSIONS,
    "Judgement": _JUDGEMENTS,
    "Contrast": _CONTRASTS,
    "Interaction": _INTERACTIONS,
    "Failure": _FAILURES,
}
"""By kind of remark and code."""

# The page of a run: what its numbers show, and what could mislead.

DONE = {
    "morf": "highest-scored {} replaced",
    "lerf": "lowest-scored {} replaced",
    "insertion": "highest-scored {} put back into a sequence otherwise replaced",
}
"""What each order does with n nucleotides."""
DEGENERATE = {"zero": "all zero", "undefined": "undefined (0/0), set to zero", "nonfinite": "not finite"}
"""What is said of scores with a flag."""


def done(table: Sequence[Row], n: int | None = None) -> str:
    """Say what was done with n nucleotides."""
    return join(dict.fromkeys(done_by(cell.order, n) for row in table for cell in row.group.cells), "or")


def done_by(order: str, n: int | None = None) -> str:
    """Say what an order does with n nucleotides."""
    nucleotides = "nucleotide" if n == 1 else "nucleotides"
    return DONE.get(order, f"{{}} in the order {order}").format(nucleotides)


def design(table: Sequence[Row]) -> str:
    """Name the operators and orders of the trial."""
    cells = [cell for row in table for cell in row.group.cells]
    return join(dict.fromkeys(f"operator {cell.operator}, order {cell.order}" for cell in cells), "or")


def headline(run: RunResults, table: Sequence[Row]) -> list[str]:
    """Say in three sentences what the trial showed.

    Args:
        run: What the folder holds.
        table: Its Table 1.
    """
    of_values = [(task.class_of(card), card) for task in run.tasks if task.info.value for card in task.cards.cards]
    floors = [text for task in run.tasks if task.info.value and (text := floor_of(task))]
    if not table:
        nothing = "This folder holds no mutagenesis trial yet, only the metrics over the whole test set."
        return [_verdicts(of_values) or nothing, *floors]
    judged = [(row.name, card) for row in table for card in row.task.cards.cards if card.label == row.group.label]
    verdicts = _verdicts([*judged, *of_values]) or _against_random(table)
    return [verdicts, _default_labels(run, table), _footprint(table), *floors]


def _verdicts(judged: Sequence[tuple[str, Card]]) -> str:
    """Say what the trial against fair controls concluded, what is faithful first; nothing where there was none.

    Args:
        judged: Names of classes, or values, and their cards.
    """
    if not judged:
        return ""
    classes: dict[str, list[str]] = {}
    for name, card in judged:
        if card.verdict == "faithful":
            classes.setdefault(card.method, []).append(name)
    methods: dict[tuple[str, ...], list[str]] = {}
    for method, names in classes.items():
        methods.setdefault(tuple(names), []).append(method)
    class_names = list(dict.fromkeys(name for name, _ in judged))
    groups = [
        f"{join(of)} on {'every class' if len(names) == len(class_names) > 1 else join(names)}"
        for names, of in sorted(methods.items(), key=lambda each: -len(each[0]))
    ]
    count = sum(map(len, classes.values()))
    rankings = f"{counted([len(judged)], 'ranking')} (a method on a {_kinds(judged)})"
    text = f"Against matched controls, {count or 'none'} of {rankings} "
    text += "is faithful" if count <= 1 else "are faithful"
    if groups:
        more = len(groups) - MOST_GROUPS
        text += f": {'; '.join(groups[:MOST_GROUPS])}" + (" and more (see the report cards)" if more > 0 else "")
    times = Counter(card.verdict for _, card in judged if card.verdict != "faithful")
    order = [verdict for verdict in (*OTHERS, "undecided") if verdict in times]
    order += [verdict for verdict in times if verdict not in order]
    others = ", ".join(f"{times[each]} {OTHERS.get(each, each) if times[each] > 1 else each}" for each in order)
    if not others:
        return f"{text}."
    return f"{text}. The others: {others}." if count else f"{text}: {others}."


def _kinds(judged: Sequence[tuple[str, Card]]) -> str:
    values = any(card.sign == "negative" for _, card in judged)
    return "class, or on a value in one direction" if values else "class"


def _against_random(table: Sequence[Row]) -> str:
    table = [row for row in table if row.scores]
    if not table:
        return (
            "Only n = 0 and n = all were tried. There every method replaces the same nucleotides, so methods cannot be "
            "compared, and none is judged."
        )
    compared = {row.task.compared for row in table}
    top = join(sorted(map(str, compared)))
    if not any(entry.position for row in table for entry in row.scores):
        single = any(row.control.cell for row in table)
        what = "The random control is a single draw, which has no interval," if single else "There is no random control"
        return f"{what} at n = {top}, so no method can be compared with chance here."
    below, none, above = [], [], []
    for row in table:
        under = [entry.column for entry in row.scores if entry.position == "below"]
        over = [entry.column for entry in row.scores if entry.position == "above"]
        everyone = len(under) == len(row.scores) > 1
        if under:
            below.append(f"{f'all {len(under)} methods' if everyone else join(under)} on {row.name}")
        else:
            none.append(row.name)
        if over:
            above.append(f"{join(over)} on {row.name}")
    if none:
        below.append(f"no method on {join(none, 'or')}")
    text = f"With the {top} {done(table, max(compared))}, accuracy lies "
    text += f"below the random control's 95 % interval for {'; '.join(below)}"
    if above:
        text += f"; it lies above that interval for {'; '.join(above)}"
    return text + "."


def _default_labels(run: RunResults, table: Sequence[Row]) -> str:
    """Say for each class how often a fully replaced sequence gets the default label, and whether classes stay apart."""
    calls = []
    for task in run.tasks:
        ends = [(row.name, row.group.mutated) for row in table if row.task is task]
        rates = [f"{percent(end.default_label_rate)} of {name}" for name, end in ends if end is not None]
        if task.default_label is not None and rates:
            calls.append(f"the model for {task.name} answers “{task.default_label}” for {join(rates)}")
    if not calls:
        return "What the model answers when every nucleotide is replaced was not recorded."
    text = f"With every nucleotide replaced, {join(calls)}: every method ends at this accuracy"
    apart = [task.name for task in run.tasks if task.groups and kept(task)]
    return f"{text}; on {join(apart)} the mutants still differ between classes." if apart else f"{text}."


def _footprint(table: Sequence[Row]) -> str:
    changed = _finite(entry.cell.tokens_changed for row in table for entry in row.scores if entry.cell)
    random = _finite(row.control.cell.tokens_changed for row in table if row.control.cell)
    widths = _finite(entry.cell.high - entry.cell.low for row in table for entry in row.scores if entry.cell)
    widths = widths or _finite(
        end.high - end.low for row in table for end in (row.group.intact, row.group.mutated) if end
    )
    counts = sorted({cell.sequences for row in table for cell in row.group.cells if cell.sequences})
    text = (
        f"Each accuracy rests on {counted(counts, 'sequence')}" if counts else "The number of sequences is not recorded"
    )
    if widths:
        text += f", and its 95 % interval is up to {fixed(max(widths), 2)} wide"
    if changed:
        text += f"; the replaced nucleotides change {counted(changed, 'token')}"
        if random:
            text += f" where random positions change {spread(random)}"
            apart = max(changed) < min(random) or max(random) < min(changed)
            text += ", so equal n is not equal damage" if apart else ""
    return text + "."


def cautions(run: RunResults, table: Sequence[Row]) -> list[tuple[str, str]]:
    """Say what could mislead here, each with this run's numbers: a title and a sentence or two.

    Args:
        run: What the folder holds.
        table: Its Table 1.
    """
    if not table:
        return [*_value_cautions(run), *_same_names(run)]
    entries = [entry for row in table for entry in row.scores if entry.cell]
    out = [("The floor", _floor_caution(run, table))]
    if changed := _finite(entry.cell.tokens_changed for entry in entries if entry.cell):
        text = (
            "One substitution changes up to k overlapping k-mers, and neighbours share them: scattered positions "
            f"change many more tokens than clustered ones. Here {spread(changed)} tokens changed under the methods"
        )
        random = _finite(row.control.cell.tokens_changed for row in table if row.control.cell)
        text += f" and {spread(random)} under uniformly random positions" if random else ""
        text += (
            "; the verdicts rest on controls that change as many as a method does: shifted, clump and other."
            if any(task.cards.cards for task in run.tasks)
            else "; controls that change as many as a method does are fairer."
        )
        out.append(("The token footprint", text))
    if gc := _finite(entry.cell.gc_shift for entry in entries if entry.cell):
        out.append(_composition_caution(gc))
    out += [("Leakage", text) for text in [_leak_caution(run.tasks)] if text]
    out += [("Choice", _choice_caution(run.tasks, len(entries)))]
    return out + _same_names(run)


def _same_names(run: RunResults) -> list[tuple[str, str]]:
    """Say what the method that is called like a control is called; nothing where there is none."""
    new = f"{RANDOM}_scores"
    methods = {cell.method for task in run.tasks for cell in task.cells}
    methods |= {card.method for task in run.tasks for card in task.cards.cards}
    if new not in methods:
        return []
    return [
        (
            "Names",
            f"On trial, the scores of the method {RANDOM} are called {new}, because {RANDOM} is the control: positions "
            f"chosen at random.",
        )
    ]


def _value_cautions(run: RunResults) -> list[tuple[str, str]]:
    """Say what could mislead of tasks on values, of which there is no Table 1."""
    cells = [cell for task in run.tasks for _, counts in task.curves for cell in counts.values()]
    if not cells:
        return []
    out = [
        ("The floor", "Fully mutated sequences have a value, too. It depends on what mutants keep, such as their "
         "composition, and a method may pass it on the way. So compare a method with its controls at the same n."),
    ]  # fmt: skip
    gc = _finite(cell.gc_shift for cell in cells)
    return [*out, _composition_caution(gc)] if gc else out


def _composition_caution(gc: Sequence[float]) -> tuple[str, str]:
    return (
        "Composition",
        "Substitution shifts GC content: replacing nucleotides by other bases at random moves it towards one half, and "
        f"past it if all are replaced. Its mean change here is {spread(gc, 3)}.",
    )


def _floor_caution(run: RunResults, table: Sequence[Row]) -> str:
    ends = [f"{row.group.name} {fixed(row.group.mutated.accuracy)}" for row in table if row.group.mutated is not None]
    text = (
        "Even with every nucleotide replaced the model gives an answer, often its default label, and for that label "
        "accuracy may hardly fall. What the mutants keep of a class, such as its composition, also moves this floor. "
        "So each drop is also given as a share of the way to the floor (a dash if that way is shorter than 0.05, "
        "or if accuracy rises on it, as for a class that the model mostly mistakes). A share above 100 % means that a "
        "method goes past the floor: accuracy falls lower than with every nucleotide replaced."
    )
    text += f" With every nucleotide replaced: {join(ends)}." if ends else ""
    # With report cards, the floor stands under them.
    of_tasks = [
        f" {task.name}: {answers}" for task in run.tasks if not task.cards.cards and (answers := floor_of(task))
    ]
    return text + "".join(of_tasks)


def floor_of(task: TaskResult) -> str:
    """Say what the model answers to a task's fully mutated sequences; nothing where no fair trial measured it."""
    return floor(task.cards.floors, task.class_names) or value_floor(task.cards.value_floors)


def _leak_caution(tasks: Iterable[TaskResult]) -> str:
    parts = []
    for task in tasks:
        if task.paper is None:
            continue
        same = task.name == task.paper.name
        parts.append(
            f"{task.name} is the paper's own set: {task.paper.leak}"
            if same
            else f"the paper's numbers next to {task.name} come from {task.paper.name}, where {task.paper.leak}; "
            "the rows here differ, so the two cannot be compared directly"
        )
    return f"{'; '.join(parts)[:1].upper()}{'; '.join(parts)[1:]}." if parts else ""


def _choice_caution(tasks: Sequence[TaskResult], comparisons: int) -> str:
    sizes = sorted({task.choice.sequences for task in tasks if task.choice.sequences})
    text = "LRP* is the better of lrp and lrp_last"
    text += f", chosen on {counted(sizes, 'validation sequence')}" if sizes else "; here no choice is recorded"
    text += " (the paper chose on the test sequences)." if any(task.paper for task in tasks) else "."
    if not comparisons:
        return text
    text += (
        f" This page makes {counted([comparisons], 'comparison')} with the random control's interval, not corrected "
        "for their number"
    )
    if any(task.cards.cards for task in tasks):
        return (
            f"{text}. The verdicts do not rest on them but on paired differences from matched controls, whose bands "
            "hold for all methods and classes of a task at once."
        )
    return f"{text}: about one in twenty null rankings would fall outside, too."


def warnings(run: RunResults) -> list[str]:
    """List what a reader must know before trusting a number: the run's notes, small samples, altered files."""
    tasks_of: dict[str, list[str]] = {}
    for task in run.tasks:
        for text in _task_warnings(task):
            tasks_of.setdefault(text, []).append(task.name)
    everywhere = [f"{join(names)}: {text}" for text, names in tasks_of.items()]
    return everywhere + [f"{name} was changed after the run wrote it." for name in run.altered]


def _task_warnings(task: TaskResult) -> Iterator[str]:
    sizes = [max((cell.sequences for cell in group.cells), default=0) for group in task.groups]
    small = sorted({size for size in sizes if 0 < size < SMALL_SAMPLE})
    if small:
        yield f"small samples ({counted(small, 'sequence')} per class). Read the intervals, not the points."
    if task.groups and not any(group.curve("random") for group in task.groups):
        yield "no random control. Set trial.random_sets."
    yield from notices(task)
    if task.left_out:
        yield f"summary.csv also holds what the tables do not show ({'; '.join(task.left_out)})."


def notices(task: TaskResult) -> Iterator[str]:
    """List a task's own warnings: its notes, what of the data set concerns all classes, and the flags of its scores."""
    names = task.class_names
    whole = [each for each in task.concerns if each.values.get("class_name") is None]
    separable: dict[str, list[str]] = {}
    for each in whole:
        if each.code == "separable":
            separable.setdefault(_ease(each.values["auroc"]), []).append(_alone(**each.values))
    yield from (f"{ease} separable: {'; '.join(by)}" for ease, by in separable.items())
    yield from (text for _, text in concerns([each for each in whole if each.code != "separable"], names))
    yield from (sentence(note, names) for note in task.info.notes)
    flagged = []
    for method in dict.fromkeys(method for group in task.groups for method in group.flags):
        for group in task.groups:
            flags = group.flags.get(method)
            counts = {what: getattr(flags, flag) for flag, what in DEGENERATE.items()}
            parts = [f"{count} of {flags.sequences} {what}" for what, count in counts.items() if count and flags]
            if parts:
                flagged.append(f"{method} on {group.name} {', '.join(parts)}")
    if flagged:
        yield f"some sequences have degenerate scores: {'; '.join(flagged)}."


# The page: what its figures and tables show.

CONTROL_WORDS = {
    "random": "positions chosen at random for each sequence",
    "shifted": "each method's own scores, rotated along the sequence",
    "clump": "the runs and gaps of each method's own positions, reordered and moved elsewhere",
    "other": "each method's scores of another sequence of the same class",
    "context": "each method's scores, exchanged among nucleotides in the same surroundings; it changes more tokens",
}
"""What each control is, after its name."""
PLOT = (
    "Plot: the dot is the accuracy, the line its 95 % interval over sequences, the grey block the random control's "
    "95 % interval."
)
EXPLORER = (
    "A letter is as tall as the size of its score, on one scale for the whole track, rounded for display to 1/127 of "
    "the largest; negative scores hang below the line, in paler letters. Shaded: what is replaced at the chosen n. "
    "Positions count from 0. The exact numbers are in attributions.parquet and outcomes/ of the run."
)
HEAT_MAP = (
    "Each method gives its top 10 % of nucleotides. Colour: the share of hit letters among them, minus that for copies "
    "of the family with shuffled columns. A dot: found, that is, chosen on one half of the sequences and confirmed on "
    "the other, beyond shifted scores, other sequences' scores and shuffled copies, at a family-wise error rate of 5 %."
)


def ledger(compared: bool) -> str:
    """Explain the table of who received the output.

    Args:
        compared: Whether it is compared with a reference.
    """
    total = "the output less that at the reference ('output there')" if compared else "the output"
    return (
        "These methods propagate the explained output back, and part of it reaches no nucleotide: biases, offsets of "
        "norms, learned positions, special tokens and softmaxes receive their share. First, shares of the sizes of all "
        "parts. If the nucleotides' share is small, the scores explain little of the output. 'Where' is the share of "
        "positions: where something is, not what it is. 'No input' is the share of biases, offsets of norms, softmaxes "
        "and the reference. Then the parts, means over the sequences of each class, in the output's unit; all parts "
        f"add up to {total}. Sequences as given, not their reverse complements."
    )


_REFERENCES = {
    "shuffled": "the mean over {sequences} dinucleotide-shuffled copies of the same sequence",
    "negatives": "the mean over {sequences} negatives",
    "training": "the mean over {sequences} training rows",
    "number": "a number",
}


_MISSING = {
    "unreachable": "the output cannot be it",
    "no_rows": "the run has no such sequences",
    "no_values": "its rows are labelled with no values of what is explained",
    "other_unit": "its values are in another unit than what is explained",
    "no_other_order": "a sequence has no other order of its dinucleotides",
}


def reference(compared: Compare) -> str:
    """State what outputs were compared with, and how to read how far ranks depend on it.

    Example:
        >>> from kmerit.report.load import Compare
        >>> reference(Compare(kind="number", mean=0.5))[:73]
        'Scores that are parts of the output say why it is not the reference: a nu'
    """
    what = _REFERENCES.get(compared.kind, compared.kind).format(sequences=compared.sequences)
    text = (
        f"Scores that are parts of the output say why it is not the reference: {what}, {fixed(compared.mean)} on "
        "average. "
    )
    if len(compared.formed) == 1:
        text += f"The run can form no reference but {compared.formed[0]}, so how far ranks depend on it is not known."
    else:
        text += (
            "Kendall's tau compares how two references rank the positions, mean over a sample of sequences; 1: "
            "alike. Where it is low, the ranking rests on the choice of the reference."
        )
    reasons = [f"{name} ({_MISSING.get(why, why)})" for name, why in compared.missing.items()]
    return f"{text} Missing: {join(reasons)}." if reasons else text


FLAGS = (
    "For how many sequences a method's scores were all zero, undefined (0/0), or not finite, and the share of "
    "positions with tied scores (ranked at random). For methods that propagate relevance, the mean sum of relevance. "
    "Last, how well the ranks of a sample agree with those computed in float64 (Spearman's correlation: median and "
    "minimum)."
)


def excess_note(control: str, side: str | None) -> str:
    """Explain the line at 0 of a figure of excesses, and on which side of it a good method lies, if that is known."""
    text = f"Above 0, more is lost than with {control}"
    return f"{text}; a good method lies {side}." if side else f"{text}."


def undecided(run: RunResults, table: Sequence[Row]) -> str:
    """Say why a run without verdicts decides nothing."""
    if run.missing:
        why = "its verdicts are not there yet"
    elif table and not any(row.scores for row in table):
        why = "only n = all was tried, where every method replaces the same nucleotides"
    else:
        why = "it has no verdicts"
    return f"This run decides nothing: {why}."


def compared(table: Iterable[Row]) -> str:
    """Give the n at which methods are compared."""
    return join(sorted({str(row.task.compared) for row in table if row.scores}))


def glance(run: RunResults, table: Sequence[Row]) -> str:
    """Say what the cards of a page show."""
    if any(task.cards.cards for task in run.tasks):
        return f"The verdict on each method and class, from matched controls, with what it rests on. {PLOT}"
    return (
        f"Each method on each class at n = {compared(table)}, against positions chosen uniformly at random; this run "
        f"has no matched controls. {PLOT}"
    )


def in_audit(task: TaskResult) -> str:
    """List the grave findings of a task's audit by their titles; nothing where there are none."""
    titles = [] if task.audit is None else grave_titles(task.audit, task.class_names)
    return f"The audit of {task.name}: {'; '.join(titles)}." if titles else ""


def _verb(table: Iterable[Row]) -> str:
    return "put back" if any(row.group.restores for row in table) else "replaced"


def figure1_title(table: Sequence[Row]) -> str:
    """Give the title of Figure 1."""
    return f"Figure 1. Accuracy against the number of nucleotides {_verb(table)}"


def figure1_alternative(table: Sequence[Row], summary: str) -> str:
    """Describe Figure 1 to those who do not see it."""
    return (
        f"Line charts, one for each class ({len(table)}): accuracy against the number of nucleotides, a line for each "
        f"method, with the random control's band. {summary} The numbers are in the table below the figure."
    )


def figure1_caption(table: Sequence[Row]) -> str:
    """Explain Figure 1."""
    text = (
        f"A panel for each class, a line for each method: accuracy with the n {done(table)} ({design(table)}). Grey: "
        "positions chosen at random, their mean and, if several rankings were drawn, their 95 % interval."
    )
    has_scores = any(row.scores for row in table)
    if has_scores:
        which = "first break" if takes_all(table) else "break"
        text += (
            f" After the {which}: each method at n = {compared(table)} with its bootstrap 95 % interval over sequences."
        )
    if takes_all(table):
        text += (
            f" After the {'second ' if has_scores else ''}break: every nucleotide {_verb(table)}. The dotted line is "
            "the floor, the accuracy with every nucleotide replaced. The default label is what the model answers "
            "there, with how often it does."
        )
    return text


def takes_all(table: Sequence[Row]) -> bool:
    """Return whether every nucleotide was replaced, or put back, of any class: whether there is a column for that."""
    return any(row.group.mutated is not None for row in table)


def table1_caption(run: RunResults, table: Sequence[Row]) -> str:
    """Explain Table 1."""
    has_scores = any(row.scores for row in table)
    below = ["the paper's number"] if run.published else []
    below += ["the drop", "where it lies relative to random positions", "the tokens changed"] if has_scores else []
    text = f"Accuracy by class with the n {done(table)}, and its 95 % interval"
    text += f"; below it {join(below)}. " if below else ". "
    if not takes_all(table):
        return text.rstrip()
    return f"{text}The column for all nucleotides also gives how often the model answers the default label."


def lrp_star(run: RunResults) -> str:
    """Say how LRP* was chosen, here and in the paper."""
    is_chosen = any(task.choice.lrp_star for task in run.tasks)
    choice_text = "chosen here on validation sequences" if is_chosen else "not chosen here"
    text = f"LRP* is the better of lrp and lrp_last, {choice_text}"
    return f"{text}; in the paper, on the test sequences." if run.published else f"{text}."


def every_method(table: Sequence[Row]) -> str:
    """Give the title of the table of all methods."""
    return f"Every method at n = {compared(table)}, with what to read its drop against"


def every_method_caption(table: Sequence[Row]) -> str:
    """Explain the table of all methods."""
    orders = {entry.cell.order for row in table for entry in row.scores if entry.cell}
    if orders <= {"morf"}:
        position = "“Below” means that replacing these nucleotides cost more accuracy than replacing random ones."
    else:
        position = "“Above” means that more accuracy was left than with random nucleotides."
    return f"{PLOT} {position} Blue is the side on which a good method lies, red-brown the other."


def tested(run: RunResults) -> str:
    """Explain the metrics over the test set, and name the tasks of which only some sequences were predicted."""
    paper = " (the paper's section 5.1)" if run.published else ""
    parts = [
        f"{task.name}: {task.metrics.rows:,} of {task.metrics.rows_of_split:,} test sequences, drawn at random."
        for task in run.tasks
        if task.metrics.rows_of_split is not None and task.metrics.rows is not None
    ]
    return " ".join([f"How good the model is before anything is replaced, with 95 % intervals{paper}.", *parts])


def test_set(run: RunResults) -> str:
    """Give the title of that: the whole test set, or the test set where a task has only some of its sequences."""
    is_whole = all(task.metrics.rows_of_split is None for task in run.tasks)
    return "The whole test set" if is_whole else "The test set"


OTHER_MODELS = "Baselines: how far other models get"
"""The title of a model's baselines."""


def baselines_caption(run: RunResults) -> str:
    """Explain the tables of baselines; nothing where there are none."""
    known = [each for task in run.tasks if (found := task.metrics.baselines) is not None for each in found.baselines]
    if not known:
        return ""
    parts = [
        "Recorded when the model was made, in metrics.json beside its weights, with 95 % intervals; this run did not "
        "fit them again."
    ]
    if any(each.above for each in known):
        parts.append(
            "Difference: this model less the baseline, on the same rows. Where its interval lies above 0, this model "
            "is better."
        )
    names = [each.name for each in known]
    if any(name.startswith("gapped k-mers (8, 5)") for name in names):
        parts.append("Gapped k-mers (8, 5): any 5 of 8 neighbouring letters.")
    if "its teachers" in names:
        parts.append("Its teachers: the networks whose answers this model learned to give, taken together.")
    return " ".join(parts)


def baseline_rows(task: TaskResult) -> str:
    """Say which rows the numbers of a model's card are of, and whether they are those that this run measured.

    Example:
        >>> from kmerit.report.load import Baselines, Cards, Choice, Hits, Info, Metrics, TaskResult
        >>> card = Baselines(data="mine", split="test", crop="200 nt, left", rows=80, this_run=False)
        >>> rest = (Choice(), (), (), (), (), Cards(), None, Hits())
        >>> baseline_rows(TaskResult("mine", Info(), Metrics(test={"rows": 50.0}, baselines=card), *rest))[-74:].strip()
        "other rows than this run's, which measured 50: compare within this table."
    """
    card, measured = task.metrics.baselines, task.metrics
    if card is None or card.rows is None:
        return ""
    crop = "not cropped" if card.crop == "none" else f"crop {card.crop}"
    of = f" of {card.data}" if card.data else ""
    text = f"{task.name}: {card.rows:,} {card.split} rows{of}, {crop}."
    if card.this_run:
        return f"{text} These are the rows that this run measured: as many, and this model's metrics are the same."
    if measured.rows == card.rows:
        return (
            f"{text} This run measured as many rows, but this model's metrics differ, so take them for other rows than "
            f"this run's, and compare within this table."
        )
    sampled = "" if measured.rows_of_split is None else f" of {measured.rows_of_split:,}"
    own = f"{fixed(measured.rows, 0)}{sampled}"
    return f"{text} These are other rows than this run's, which measured {own}: compare within this table."


def no_baselines(run: RunResults) -> str:
    """Say of which tasks' models no baselines are known, and how to get them; nothing where all are."""
    found = {task.name: task.metrics.baselines for task in run.tasks if task.metrics.test}
    notes = [f"{name}: {sentence(card.unread)}" for name, card in found.items() if card is not None and card.unread]
    without = [name for name, card in found.items() if card is not None and not card.baselines and not card.unread]
    if without:
        notes.append(
            f"No baselines (other models on the same rows) are recorded for the model of {join(without)}; "
            f"kmerit finetune records them beside the classifiers that it trains."
        )
    return " ".join(notes)


def withheld(run: RunResults) -> str:
    """Say of which tasks the test set is not measured, and why; nothing where all are."""
    withheld_by_task = {task.name: task.metrics.withheld for task in run.tasks}
    reasons = [f"{name}: {sentence(note)}" for name, note in withheld_by_task.items() if note is not None]
    return f"Predictions are not compared with labels. {' '.join(reasons)}" if reasons else ""


def old_names(tasks: Sequence[str]) -> str:
    """Say that names such as train_1 are no sign of the split here; nothing where there are none."""
    if not tasks:
        return ""
    return (
        f"The names of {join(tasks)} come from the original set, which was split again: they keep the original split, "
        "but all sequences here are test sequences."
    )


def not_on_page(shown: Mapping[str, tuple[int, int]]) -> str:
    """Say how many sequences of each task a page that is full shows; nothing where all are on it.

    Args:
        shown: By task, how many sequences are on the page, and of how many.
    """
    if not shown:
        return ""
    counts = "; ".join(f"{task} {count or 'none'} of {of}" for task, (count, of) in shown.items())
    return f"Not all sequences fit on a page of 8 MB; the run folder has them all. On the page: {counts}."


# The page of an audit.


def leaks_caption(settings: Mapping[str, Any]) -> str:
    """Explain the table of leaks."""
    return (
        "Shares of each class's test rows (for overlaps: of those with coordinates), against training rows of the same "
        "class. A copy has the same letters on either strand or, if only coordinates are known, the same interval. "
        f"Near copies share {settings['shared']} different {settings['k']}-mers with one row (those in more than "
        f"{settings['most']} rows are considered repeats), or have {percent(settings['covered'])} of their "
        f"{settings['k']}-mers in the training rows. Shorter common stretches than {settings['k']} nt are not seen."
    )


BASELINES = (
    "Trained on training rows and measured on test rows (of a single split: on rows held out of it), with 95 % "
    "intervals over groups of linked rows. “memory” answers with the class of a training row that leaks into the test "
    "row; for test rows without such a row, with the most frequent class of the training rows that leak into none. "
    "Accuracy without leaks weights each class by its share of all test rows."
)
FEATURES = (
    "Measured on all rows of the test split, or of the only split, with 95 % intervals. A feature is a finding if its "
    "whole interval lies above the threshold, or below the threshold's mirror image."
)


def _finite(values: Iterable[float]) -> list[float]:
    return [value for value in values if math.isfinite(value)]


@dataclass(frozen=True)
class Measure:
    """What a chart can show.

    Attributes:
        title: The label of its axis.
        low: Column of its interval's lower end; None where it has none.
        high: Likewise, the upper end.
        unit: Whether it lies between 0 and 1.
        excess_of: Of an excess over a control: the measure that was lost.
    """

    title: str
    low: str | None = None
    high: str | None = None
    unit: bool = False
    excess_of: str | None = None


MEASURES = {
    "accuracy": Measure("accuracy", *BOUNDS["accuracy"], unit=True),
    "probability": Measure("probability of the explained class", *BOUNDS["probability"], unit=True),
    "logit": Measure("logit of the explained class", *BOUNDS["logit"]),
    "excess_logit": Measure("drop of the logit beyond the control's", "low", "high", excess_of="logit"),
    "excess_accuracy": Measure("drop of accuracy beyond the control's", "low", "high", excess_of="accuracy"),
    "accuracy_correct": Measure("accuracy on sequences first classified correctly", unit=True),
    "flip_rate": Measure("share of answers flipped", *BOUNDS["flip_rate"], unit=True),
    "tokens_changed": Measure("tokens changed"),
    "gc_shift": Measure("change of GC content"),
}
"""What the page's chart can show, by the name of its column; an excess by ``excess_`` and what was lost."""
FIRST = ("lrp", "attention", "gradcam")
"""Methods whose scores the explorer shows at first, if the run has them."""
VALUES = (
    "accuracy", "low", "high", "probability", "probability_low", "probability_high", "logit", "logit_low", "logit_high",
    "accuracy_correct", "flip_rate", "flip_rate_low", "flip_rate_high", "tokens_changed", "gc_shift",
)  # fmt: skip


def lists(compared: int) -> dict[str, Any]:
    """Give the lists that the page's scripts share with this package: measures, controls, formats, first scores."""
    return {
        "measures": {name: asdict(measure) for name, measure in MEASURES.items()},
        "controls": {name: {"words": CONTROL_WORDS[name], "own": name in OF_A_METHOD} for name in CONTROLS},
        "formats": {"dash": DASH, "minus": MINUS, "digits": DIGITS},
        "first": FIRST,
        "compared": compared,
    }


# --- motifs -----------------------------------------------------------------------------------------------------------

MOTIF_VERDICTS = {
    "found and used": "found, and used by the model",
    "found, not used": "found, but not seen to be used by the model",
    "used, not found": "used by the model, but not found",
    "neither": "neither found nor used",
    "found": "found",
    "not found": "not found",
    "used, untested": "used by the model; too few sequences with a hit to say whether it was found",
    "untested": "too few sequences with a hit to test",
}
"""By the code of a verdict."""
PARTS = {"positive": "positive part of the scores", "size": "size of the scores"}
MOST_MOTIFS = 12
"""Families named in a sentence."""


def motif_step(step: str, count: int) -> str:
    """Say which step of the work on motifs begins.

    Example:
        >>> motif_step("used", 12)
        'Motifs: asking the model about 12 families.'
    """
    methods = counted([count], "method")
    words = {
        "hits": f"looking for hits of {_families(count)}",
        "found": f"looking for hits of shuffled copies, and testing the scores of {methods}",
        "used": f"asking the model about {_families(count)}",
        "patterns": f"making motifs of the scores of {methods} alone",
    }
    return f"Motifs: {words[step]}."


def motif_summary(result: Motifs) -> list[str]:
    """Say what was asked of how many families, and what came out; of each question that was not asked, why."""
    families, tests = result.families, result.found
    tested = tests[tests["tested"]]["family"].nunique()
    source = result.settings.get("source", "")
    lines = [
        f"Of {_families(len(families))} of motifs ({source}), {tested or 'none'} {'has' if tested == 1 else 'have'} "
        f"enough hits to be tested."
    ]
    if families["enriched"].notna().any():
        names = families[families["enriched"].fillna(False)].sort_values("p_enriched")["name"].tolist()
        lines.append(
            f"In the data: {len(names) or 'none'} {'is' if len(names) == 1 else 'are'} enriched in the class at equal "
            f"GC{': ' + few(names, MOST_MOTIFS) if names else ''}."
        )
    else:
        lines.append("In the data: not asked, for there are no sequences labelled with another class to compare with.")
    lines.append(_used_line(result))
    if "composition" in tests:  # what earlier versions wrote has it not
        lines += _composition_line(result)
    return lines


def motif_found(result: Motifs) -> str:
    """Name the families that each method found, by the positive part of signed scores."""
    tests = result.found
    tests = tests[(tests["part"] == "positive") | ~tests["signed"]]
    names = dict(zip(result.families["family"], result.families["name"], strict=True))
    if not tests["tested"].any():
        return "Found: not tested, for no family has enough hits."
    parts = []
    for method, rows in tests.groupby("method", sort=False):
        of_method = [names[i] for i in rows[rows["found"]].sort_values("t", ascending=False)["family"]]
        parts.append(f"{few(of_method, MOST_MOTIFS) if of_method else 'none'} by {method}")
    return f"Found: {'; '.join(parts)}."


def _families(count: int) -> str:
    return f"{count} famil{'y' if count == 1 else 'ies'}"


def _used_line(result: Motifs) -> str:
    """Say which families the model uses, of whom it was asked, and why others were not."""
    families, settings = result.families, result.settings
    asked = families[families["used"].notna()]
    if not len(asked):
        if settings.get("model") is None:
            return "Used: not asked, for no model was given."
        return (
            "Used: no family was asked about, for none has enough hits to be tested and none is enriched. Name "
            "families to ask about all the same: motifs.families in the config of a run, --families of kmerit motifs, "
            "families= in Python."
        )
    which = "those named" if settings.get("families") else "those with enough hits to be tested, or enriched"
    rest = len(families) - len(asked)
    used = asked[asked["used"].astype(bool)].sort_values("effect", ascending=False)["name"].tolist()
    return (
        f"Used: the consensus of {len(used) or 'none'} of {_families(len(asked))} asked about ({which}) raises "
        f"{_OUTPUTS[settings.get('problem') or 'classes'][0]} more than its letters in other orders"
        f"{': ' + few(used, MOST_MOTIFS) if used else ''}.{f' The other {rest} were not asked about.' if rest else ''}"
    )


_OUTPUTS = {"classes": ("the class's log-odds", " log-odds"), "labels": ("the label's logit", " of the logit"),
            "values": ("the value", "")}  # fmt: skip
"""By the problem of a model: what a consensus changes, and its unit."""


def _composition_line(result: Motifs) -> list[str]:
    tests = result.found[result.found["composition"].astype(bool)]
    if not len(tests):
        return []
    names = dict(zip(result.families["family"], result.families["name"], strict=True))
    rows = [
        f"{names[family]} by {method}{f' ({part})' if signed else ''}"
        for family, method, part, signed in tests[["family", "method", "part", "signed"]].to_numpy().tolist()
    ]
    return [
        f"Composition alone would have fooled {counted([len(rows)], 'test')}, {few(rows, MOST_MOTIFS)}: far above "
        f"shifted scores and other sequences' scores, but the same letters in another order have half of that or more."
    ]


def motif_lines(result: Motifs) -> list[str]:
    """List, for every method, what it found and what the model uses."""
    frame = result.to_frame()
    lines = motif_summary(result)
    for (method, part), rows in frame.groupby(["method", "part"], sort=False):
        of_part = "" if not rows["signed"].iloc[0] else f" ({PARTS[str(part)]})"
        lines.append(f"{method}{of_part}:")
        for verdict in ("found and used", "found, not used", "found", "used, not found", "used, untested"):
            chosen = rows[rows["verdict"] == verdict].sort_values("t", ascending=False)
            if len(chosen):
                lines.append(f"  {MOTIF_VERDICTS[verdict]}: {few(chosen['name'].tolist(), MOST_MOTIFS)}")
        if not rows["found"].any():
            lines.append("  found: none" if rows["tested"].any() else "  found: not tested")
    return lines + _motif_comparisons(result) + motif_patterns(result)


def motif_aurocs(result: Motifs) -> list[str]:
    """Say how well each method's scores tell nucleotides inside hits of enriched or used families, if there are any."""
    from kmerit.biology.motif_tests import each_row

    methods = result.methods[result.methods["auroc"].notna()].sort_values("auroc", ascending=False, kind="stable")
    each = ", ".join(f"{row.method} {interval(row.auroc, row.low, row.high, 2)}" for row in each_row(methods))
    return [f"AUROC of scores, inside against outside hits of enriched or used families: {each}."] if each else []


def _motif_comparisons(result: Motifs) -> list[str]:
    """Say which methods score hits higher than others."""
    from kmerit.biology.motif_tests import each_row

    lines = []
    for row in each_row(result.comparisons[result.comparisons["p"] <= 0.05]):
        better, worse = (row.method, row.other) if row.difference > 0 else (row.other, row.method)
        lines.append(
            f"{better} scores nucleotides inside hits higher than {worse}: AUROC {fixed(abs(row.difference), 3)} more "
            f"(Holm p = {significant(row.p)})."
        )
    return lines


def motif_patterns(result: Motifs) -> list[str]:
    """Say what motifs of the scores alone match, if they were asked for."""
    lines = []
    if result.settings.get("de_novo"):
        own = result.patterns[result.patterns["source"] == "own"]
        for method in dict.fromkeys(result.found["method"]):
            of_method = own[own["method"] == method]
            rows = of_method[of_method["matched"].astype(bool)]
            beyond = rows[rows["beyond"].astype(bool)]
            names = dict.fromkeys(result.families["name"].iloc[beyond["family"].astype(int)])
            lines.append(
                f"{method!s}, from scores alone: {counted([len(of_method)], 'pattern')}, {len(rows) or 'none'} like a "
                f"family, {len(beyond) or 'none'} beyond the noise floor"
                f"{': ' + few(list(names), MOST_MOTIFS) if names else ''}."
            )
    return lines


def motif_members(names: str, most: int = 8) -> str:
    """Name the motifs of a family, the first of many.

    Example:
        >>> motif_members("FOS, JUN, BATF", most=2)
        'FOS, JUN and 1 more'
    """
    each = names.split(", ")
    return names if len(each) <= most else f"{', '.join(each[:most])} and {len(each) - most} more"


def motif_answers(about: Mapping[str, Any], problem: str | None = None) -> str:
    """Give the answers that do not depend on a method: in the data, used.

    Args:
        about: A family's row of `kmerit.biology.motif_tests.Motifs.families`.
        problem: Of the model; says what its effect is measured in.

    Example:
        >>> odds = {"odds_ratio": math.inf, "odds_low": 4.26, "odds_high": math.inf}
        >>> motif_answers({"enriched": True, **odds, "used": False, "effect": 0.1}).split("; ")
        ['in the data: enriched (odds ratio, with 97.5 % confidence, at least 4.3)',
         'by the model: not seen to be used (+0.10 log-odds)']
    """
    from pandas import isna

    enriched, used = (None if isna(about[name]) else bool(about[name]) for name in ("enriched", "used"))
    data = {None: "not asked", True: "enriched", False: "not enriched"}[enriched] + _odds(about)
    of_model = {None: "not asked", True: "used", False: "not seen to be used"}[used]
    effect = f" ({about['effect']:+.2f}{_OUTPUTS[problem or 'classes'][1]})" if used is not None else ""
    return f"in the data: {data}; by the model: {of_model}{effect}"


def _odds(about: Mapping[str, Any]) -> str:
    ratio, low, high = (float(about[name]) if name in about else math.nan for name in _ODDS)
    if any(map(math.isnan, (ratio, low, high))):
        return ""
    if math.isinf(ratio):
        return f" (odds ratio, with 97.5 % confidence, at least {_ratio(low)})"
    if ratio == 0:
        return f" (odds ratio, with 97.5 % confidence, at most {_ratio(high)})"
    return f" (odds ratio {_ratio(ratio)}, {_ratio(low)} to {_ratio(high)})"


def _ratio(value: float) -> str:
    """Write a ratio with one decimal, or with two digits that count where it is below 1."""
    return fixed(value, 1 if value >= 0.95 or value <= 0 else 1 - math.floor(math.log10(value)))


_ODDS = ("odds_ratio", "odds_low", "odds_high")


MOST_HEADS = 5
"""Heads that are named."""


def head_lines(result: Heads) -> list[str]:
    """List, for every trained stage, what survives, and what does not count for lack of a reference.

    Example:
        >>> import pandas as pd
        >>> stages = pd.DataFrame({"stage": ["a"], "kind": ["model"]})
        >>> columns = {"stage": ["a"], "layer": [1], "head": [2], "feature": ["gc"], "z": [9.0], "value": [0.2]}
        >>> rows = pd.DataFrame({**columns, "q": [0.001], "found": [True], "beyond": [True], "counts": [True]})
        >>> from kmerit.biology.head_study import Heads
        >>> head_lines(Heads(stages, stages, rows, stages, stages, stages, {"seeds": 10}))
        ['a: of 1 pairs of a head and a feature, 1 have q below 0.05, 1 are confirmed, 1 count.', '  1.2 gc (0.20)']
    """
    lines = []
    for stage in result.stages.loc[result.stages["kind"] == "model", "stage"]:
        rows = result.associations[(result.associations["stage"] == stage) & result.associations["z"].notna()]
        survive = [int((rows["q"] < 0.05).sum()), int(rows["found"].sum()), int(rows["counts"].sum())]
        last = f"{survive[2]} count" if result.settings["seeds"] else "none can count without random models"
        if stage in result.settings.get("incomparable", ()):
            last = "none can count without random models of its architecture"
        pairs = f"{len(rows)} pairs of a head and a feature"
        lines.append(f"{stage}: of {pairs}, {survive[0]} have q below 0.05, {survive[1]} are confirmed, {last}.")
        best = rows[rows["counts"].astype(bool)]
        best = best.iloc[(-best["z"].abs()).argsort(kind="stable")]
        head_texts = [
            f"{int(row['layer'])}.{int(row['head'])} {row['feature']} ({fixed(float(row['value']), 2)})"
            for row in best.to_dict("records")
        ]
        if head_texts:
            lines.append(f"  {few(head_texts, MOST_HEADS)}")
    return lines
