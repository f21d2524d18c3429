"""Results in a notebook: the right numbers, and names that stay text."""

from __future__ import annotations

import re
from dataclasses import replace
from html import escape
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest

import kmerit as km
from kmerit.trials.measures import summarise

HOSTILE = "<script>x</script>\"'&é北"


def tags(html: str) -> list[str]:
    result: list[str] = []
    parser = HTMLParser()
    parser.handle_starttag = lambda tag, attrs: result.append(tag)  # type: ignore[method-assign]
    parser.feed(html)
    return result


def test_attribution() -> None:
    scores = np.array([[0.5, -0.25, 0.0, np.nan]] * 12)
    scores[1] = np.nan
    names = (HOSTILE, *(f"s{i}" for i in range(11)))
    html = km.Attribution("l<r>p", scores, "nucleotide", np.ones(12, dtype=np.int64), names)._repr_html_()
    assert "script" not in tags(html)
    assert "r" not in tags(html)
    assert "&lt;script&gt;" in html
    assert "and 2 more" in html
    assert html.count("<svg") == 9  # of ten shown, one has no score
    assert "M1 22v-22.0" in html
    assert "M4 22v11.0" in html


def test_curve_shows_the_summarys_flip_rates(tiny_checkpoint: Path) -> None:
    model = km.load_model(tiny_checkpoint)
    rng = np.random.default_rng(0)
    sequences = km.Sequences.from_strings(["".join(rng.choice(list("ACGT"), 30)) for _ in range(6)], [0, 1] * 3)
    scores = km.attribute(model, sequences, ["lrp", "attention"])
    curve = km.mutate(model, sequences, scores, counts=[0, 10, "all"], replicates=2, random_sets=3)
    html = curve._repr_html_()
    head = re.findall(r"<th [^>]*>([^<]*)<", html)
    assert head == ["method", "operator", "order", "n = 0", "n = 10", "all"]
    body = [re.findall(r"<td[^>]*>([^<]*)<", row) for row in html.split("<tr>")[2:]]
    summary = summarise(curve).groupby(["method", "n"])["flip_rate"].mean()  # classes are of one size
    for method, _, _, *shares in body:
        assert [float(share) for share in shares] == pytest.approx(100 * summary[method].to_numpy(), abs=0.51)
    assert {row[0] for row in body} == {"lrp", "attention", "random"}


def test_an_audit_shows_its_findings_as_text() -> None:
    rows = km.Sequences.from_strings(["ACGTTGCA", "GGATCCAT"], labels=[0, 1])
    audit = replace(km.audit({"train": rows, "test": rows}, baselines=()), name=HOSTILE)
    html = audit._repr_html_()
    assert audit.findings
    assert "script" not in tags(html)
    assert html.count("<tr>") == 1 + len(audit.findings)
    for finding in audit.findings:
        assert finding.code in html
        assert escape(finding.where) in html
