"""Every code has its sentence, and every sentence its code; a sentence takes the values of its code."""

from __future__ import annotations

import inspect
import re
from pathlib import Path
from string import Formatter
from typing import Any

import pytest

from kmerit.biology.measured import Judgement
from kmerit.datasets.findings import Concern, Finding, Gap, Thresholds
from kmerit.errors import FormatError
from kmerit.report import text
from kmerit.report.load import Note
from kmerit.results import Remark
from kmerit.studies.calibration import Failure
from kmerit.trials.checks import Omission
from kmerit.trials.controls import CONTROLS
from kmerit.trials.measures import Change
from kmerit.trials.operators import INFILL, OPERATORS
from kmerit.trials.pairs import Interaction
from kmerit.trials.side_by_side import Contrast
from kmerit.trials.verdicts import FAITHFUL, SAME, UNDECIDED, WORSE, Caveat

DOCS = Path(__file__).parents[2] / "docs"
KINDS: tuple[type[Remark], ...] = (
    Caveat,
    Gap,
    Concern,
    Note,
    Change,
    Omission,
    Judgement,
    Contrast,
    Interaction,
    Failure,
)
EXAMPLES: dict[str, Any] = {
    **dict.fromkeys(("sequences", "rows", "of", "clusters", "needed", "wanted", "k", "min_length", "positions"), 12),
    **dict.fromkeys(("joined_quarters", "joined_gc", "alone", "mistaken", "questions", "enough", "first", "second"), 7),
    **dict.fromkeys(("value", "threshold", "share", "any_share", "auroc", "gc", "low", "high", "excess", "tau"), 0.25),
    **dict.fromkeys(
        ("accuracy", "accuracy_clean", "share_from_leaked", "at_least", "detectable", "ceiling", "tau2"), 0.5
    ),
    **dict.fromkeys(("asked", "partly", "placed_only", "learning"), True),
    **{name: ["x"] for name in ("controls", "files", "class_names", "features", "baselines", "chromosomes", "methods")},
    "others": ["y"],
    "thresholds": ["x"],
    **dict.fromkeys(
        ("split", "against", "where", "class_name", "by", "model", "label", "first_set", "second_set"), "NAME"
    ),
    "floor": 0.125,
    **dict.fromkeys(("rate", "upper", "limit"), 0.125),
    **dict.fromkeys(("ranking", "claim", "card"), "NAME"),
    "pool": 40,
    "control": "shifted",
    "names": ["x", "y"],
    "elements": 3,
    "method": "lrp",
    "kind": "copied",
    "code": "ends",
    "leaks": "task",
    "problem": "The key 'model' is missing.",
}
RUNS: dict[str, Any] = {"first": "A", "second": "B", "before": "faithful", "after": "undecided"}
BY_CODE: dict[str, dict[str, Any]] = {
    "half_placed": {"by_class": {"NAME": [1, 2]}},
    "few_sequences": {"by_class": {"NAME": 3}},
    "ranking": {"first": ["x", "y"], "second": ["y", "x"]},
    **dict.fromkeys(("verdict_differs", "higher", "lower", "agreement", "sequences_left_out", "other_names"), RUNS),
    "methods_left_out": {"run": "A"},
    **{kind: {"ratio": 0.5} for kind in ("additive", "redundant", "conjunction", "undecided")},
    "falls_further": {"before": None, "after": 1},
}


def values(names: tuple[str, ...], code: str) -> dict[str, Any]:
    """Make up values of these names."""
    return {name: BY_CODE.get(code, {}).get(name, EXAMPLES.get(name)) for name in names}


def taken(sentence: text.Sentence) -> set[str]:
    """List the values that a sentence takes."""
    if isinstance(sentence, str):
        return {name for _, name, *_ in Formatter().parse(sentence) if name}
    return {name for name, each in inspect.signature(sentence).parameters.items() if each.default is each.empty}


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)
def test_every_code_has_its_sentence_and_every_sentence_its_code(kind: type[Remark]) -> None:
    sentences = text.SENTENCES[kind.__name__]
    assert set(sentences) == set(kind.CODES)
    for code, names in kind.CODES.items():
        assert taken(sentences[code]) == set(names), code
        sentence = text.sentence(kind(code, values(names, code)))
        assert re.search(r"[a-z]{3}", sentence), code
        assert "{" not in sentence, code
        assert "None" not in sentence, code


def test_there_are_sentences_of_no_other_kind() -> None:
    assert set(text.SENTENCES) == {kind.__name__ for kind in KINDS}


def test_every_finding_has_a_title_a_sentence_and_a_remedy() -> None:
    assert set(text.FINDINGS) == set(Finding.CODES)
    thresholds = set(Thresholds.model_fields)
    assert thresholds <= set(Finding.CODES)
    assert set(Finding.CODES) - thresholds == {"one_split", "half_placed"}
    for code, names in Finding.CODES.items():
        title, sentence, remedy = text.FINDINGS[code]
        own = taken(sentence) - {"where", "value"}
        assert own <= set(names), code
        result = Finding(code, values(names, code), where="on", label=None, value=0.25, threshold=0.125)
        message = text.finding(result)
        assert message.title.startswith(title)
        assert message.text[-1] == "."
        assert message.remedy == remedy
        assert "{" not in message.text, code
        assert "None" not in message.text, code


def test_classes_are_called_by_the_names_to_show() -> None:
    for kind in KINDS:
        for code, names in kind.CODES.items():
            if "class_name" in names:
                sentence = text.sentence(kind(code, values(names, code)), {"NAME": "shown", "x": "shown"})
                assert "shown" in sentence, code


def test_a_code_or_value_that_does_not_belong_is_refused() -> None:
    with pytest.raises(FormatError, match=r"^Caveat: expected a code of undecidable, .*, got 'many'\.$"):
        Caveat("many")
    with pytest.raises(FormatError, match=r"^Caveat ties: expected the values share, got \(none\)\.$"):
        Caveat("ties")


def test_verdicts_and_controls_that_sentences_name_exist() -> None:
    assert set(text.OTHERS) < {FAITHFUL, WORSE, SAME, UNDECIDED}
    assert set(text.NEEDS) < set(CONTROLS)


def test_every_control_has_its_words_on_the_page_and_in_the_glossary() -> None:
    (term,) = (each for each in text.TERMS if each.id == "control")
    (row,) = re.findall(r"^\| control \| (.*)$", (DOCS / "glossary.md").read_text(encoding="utf-8"), re.M)
    assert set(text.CONTROL_WORDS) == set(CONTROLS)
    assert [name for name in CONTROLS if f" {name}: " not in term.text or f"`{name}`" not in row] == []


def test_every_operator_has_its_words_on_the_page_and_in_the_manual() -> None:
    (term,) = (each for each in text.TERMS if each.id == "operator")
    manual = (DOCS / "how-to" / "command-line.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| (`.*?) \|", manual[manual.index("| operator |") :].split("\n\n")[0], re.M)
    assert {name for row in rows for name in re.findall(r"`(\w+)", row)} == {*OPERATORS, INFILL}
    assert [name for name in OPERATORS if not re.search(rf"\b{name}(, \w+)*: ", term.text)] == []
