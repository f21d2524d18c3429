"""What a run's own texts say of a task, in the page's names for the classes, each thing once."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping

from kmerit.report.results import TaskResult
from kmerit.report.slots import Finding

DEGENERATE = {"zero": "all zero", "undefined": "0/0, set to zero", "nonfinite": "not finite"}
"""What is said of scores with a flag."""


def renamed(text: str, names: Mapping[str, str]) -> str:
    """Call classes as the page does, where a text speaks of one: ``of NAME``, ``..., NAME 20``, ``Title: NAME``.

    Args:
        text: What a run wrote, in the names of the data.
        names: By the data's name, the page's.

    Example:
        >>> renamed("3 of 9 sequences of off, drawn by its background", {"off": "non-promoter", "background": "b"})
        '3 of 9 sequences of non-promoter, drawn by its background'
    """
    changed = [name for name, shown in names.items() if shown != name]
    if not changed:
        return text
    one = "|".join(re.escape(name) for name in sorted(changed, key=len, reverse=True))
    place = (
        rf"(?<=\bof )({one})(?!\w)|(?<=\bof the )({one})(?= (?:and|test rows))|(?<=, )({one})(?= \d)|(?<=: )({one})$"
    )
    return re.sub(place, lambda found: names[found[0]], text)


def names_of(task: TaskResult) -> dict[str, str]:
    """Give the page's name of each class by the data's."""
    return dict(zip(task.classes, task.shown_classes, strict=True))


def own_notices(task: TaskResult) -> Iterator[str]:
    """Tell a task's own warnings: those of one kind in one line, and the flags of its scores in one, too."""
    yield from gathered((renamed(text, names_of(task)) for text in task.info.warnings), "; ")
    told = []
    for method in dict.fromkeys(method for group in task.groups for method in group.flags):
        for group in task.groups:
            flags = group.flags.get(method)
            counts = {what: getattr(flags, flag) for flag, what in DEGENERATE.items()}
            found = [f"{count} of {flags.sequences} {what}" for what, count in counts.items() if count and flags]
            if found:
                told.append(f"{method} on {group.name} {', '.join(found)}")
    if told:
        yield f"some sequences have degenerate scores: {'; '.join(told)}."


def gathered(texts: Iterable[str], between: str = ", ") -> list[str]:
    """Put remarks of one kind, ``KIND: WHAT``, into one; whole sentences stay as they are.

    Example:
        >>> gathered(["easy: GC", "easy: CpG", "The ends tell: ends", "Few rows: 3 of 9."])
        ['easy: GC, CpG', 'The ends tell', 'Few rows: 3 of 9.']
    """
    kinds: dict[str, list[str]] = {}
    for text in texts:
        kind, colon, what = text.partition(": ")
        if not colon or text.endswith("."):
            kinds.setdefault(text, [])
        elif re.search(rf"\b{re.escape(what)}\b", kind):  # says nothing that the kind does not
            kinds.setdefault(kind, [])
        else:
            kinds.setdefault(kind, []).append(what)
    return [f"{kind}: {between.join(dict.fromkeys(what))}" if what else kind for kind, what in kinds.items()]


def findings(task: TaskResult) -> list[Finding]:
    """Put findings of one kind, severity and remedy into one, in the page's names for the classes."""
    alike: dict[tuple[str, str, str], list[Finding]] = {}
    for finding in task.findings.findings:
        key = (finding.title.partition(": ")[0], finding.severity, finding.remedy)
        alike.setdefault(key, []).append(finding)
    names = names_of(task)
    out = []
    for found in alike.values():
        titles = gathered(renamed(each.title, names) for each in found)
        text = " ".join(dict.fromkeys(renamed(each.text, names) for each in found))
        out.append(found[0].model_copy(update={"title": "; ".join(titles), "text": text}))
    return out


def grave_titles(task: TaskResult) -> list[str]:
    """List the titles of the findings that warn or fail, those of one kind in one, whatever their remedies."""
    grave = [each for each in task.findings.findings if each.severity in ("warning", "failure")]
    return gathered(renamed(each.title, names_of(task)) for each in grave)
