"""Pairs: planted conjunctions, redundancies and sums are called so, and every effect is the model's own."""

from itertools import product
from pathlib import Path

import numpy as np
import pytest
import torch

import kmerit as km
from kmerit.errors import CountError, RunMismatch, UsageError
from kmerit.models.model import Model
from kmerit.report.text import sentence
from kmerit.sequences import Sequences
from kmerit.trials.pairs import kind_of, pairs

LENGTH, FIRST, SECOND = 60, 12, 40


class Planted(torch.nn.Module):
    """Two letters A that a model reads together (and), either of which it reads (or), or each by itself (sum).

    By itself, too, but bounded: where one mutation takes most of what can be taken (floor), or little (ceiling).
    """

    def __init__(self, logic: str) -> None:
        super().__init__()
        self.logic = logic

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        a, b = x[:, 0, FIRST], x[:, 0, SECOND]
        signal = {
            "and": a * b,
            "or": a + b - a * b,
            "sum": (a + b) / 2,
            "floor": torch.clamp(2 * (a + b) - 1, min=0) / 3,
            "ceiling": torch.clamp(3 * (a + b), max=4) / 4,
        }[self.logic]
        strength = 4 + x[:, 1, 20:30].sum(dim=1) / 4  # differs from sequence to sequence
        return torch.stack([torch.zeros_like(signal), strength * signal - 1], dim=1)


@pytest.fixture(scope="module")
def sequences() -> Sequences:
    rng = np.random.default_rng(0)
    strings = []
    for _ in range(16):
        letters = rng.choice(list("ACGT"), LENGTH)
        letters[[FIRST, SECOND]] = "A"
        strings.append("".join(letters))
    return Sequences.from_strings(strings, labels=[1] * 16)


def planted(logic: str) -> Model:
    return km.wrap(Planted(logic), LENGTH, ["off", "on"], dtype="float64")


def truth(count: int) -> dict[str, np.ndarray]:
    """Score the planted letters highest."""
    scores = np.tile(np.linspace(0, 0.1, LENGTH), (count, 1))
    scores[:, [FIRST, SECOND]] = 1.0
    return {"truth": scores}


@pytest.mark.parametrize(
    ("logic", "kind", "ratio"), [("and", "conjunction", 0.5), ("or", "redundant", None), ("sum", "additive", 1.0)]
)
@pytest.mark.parametrize("top", [2, 4])
def test_planted_logic_is_found(sequences: Sequences, logic: str, kind: str, ratio: float | None, top: int) -> None:
    result = pairs(planted(logic), sequences, truth(16), top=top, resamples=300)
    row = result.summary.query("distance == 'all'").iloc[0]
    assert row["kind"] == kind
    assert row["sequences"] == 16
    own = result.pairs.query("ranking == 'truth'")
    both = own[(own["first"] == FIRST) & (own["second"] == SECOND)].set_index("sequence")
    strength = np.array([4 + text[20:30].count("C") / 4 for text in sequences.strings()])
    effect = {"and": (1, 1, -1), "or": (0, 1, 1), "sum": (0.5, 1, 0)}[logic]
    single, joint, interaction = (each * strength for each in effect)
    assert both["single_first"].to_numpy() == pytest.approx(single)
    assert both["single_second"].to_numpy() == pytest.approx(single)
    assert both["joint"].to_numpy() == pytest.approx(joint)
    assert both["interaction"].to_numpy() == pytest.approx(interaction)
    others = own.drop(own[(own["first"] == FIRST) & (own["second"] == SECOND)].index)
    assert others["interaction"].to_numpy() == pytest.approx(0.0)
    assert row["interaction"] == pytest.approx(interaction.mean() / (top * (top - 1) / 2))
    if top == 2 and ratio is not None:
        assert row["ratio"] == pytest.approx(ratio)
    assert [each.code for each in result.remarks] == [kind]
    assert result.summary.query("distance == 'near'").empty == (top == 2)


@pytest.mark.parametrize(
    ("logic", "kind", "ratio", "said"),
    [
        ("and", "conjunction", 0.5, "take less together than their sum"),
        ("floor", "conjunction", 0.75, "take less together than their sum"),
        ("ceiling", "redundant", 2.0, "take more together than their sum"),
    ],
)
def test_saturation_is_called_as_what_it_looks_like_and_the_sentence_says_so(
    sequences: Sequences, logic: str, kind: str, ratio: float, said: str
) -> None:
    result = pairs(planted(logic), sequences, truth(16), top=2, resamples=300)
    row = result.summary.query("distance == 'all'").iloc[0]
    assert (row["kind"], row["ratio"]) == (kind, pytest.approx(ratio))
    (remark,) = result.remarks
    assert said in sentence(remark)
    assert "or the output is saturated" in sentence(remark)


def test_positions_that_the_model_does_not_read_show_nothing(sequences: Sequences) -> None:
    elsewhere = {"elsewhere": np.roll(truth(16)["truth"], 5, axis=1)}
    result = pairs(planted("and"), sequences, elsewhere, top=2, resamples=300)
    assert set(result.summary["kind"]) == {"undecided"}
    both = pairs(planted("and"), sequences, {**truth(16), **elsewhere}, top=2, resamples=300)
    assert both.summary.query("method == 'truth' and distance == 'far'")["kind"].tolist() == ["conjunction"]


def test_effects_are_means_over_every_other_base(model: Model, sequences: Sequences) -> None:
    scores = km.attribute(model, sequences, ["lrp"], 1)
    table = pairs(model, sequences, scores, top=3, per_class=2, resamples=100).pairs
    row = table[table["ranking"] == "lrp"].iloc[1]
    text = sequences.string(sequences.names.index(row["sequence"]))

    def fall(*places: int) -> float:
        mutants = []
        for letters in product("ACGT", repeat=len(places)):
            mutant = list(text)
            for place, letter in zip(places, letters, strict=True):
                mutant[place] = letter
            if all(mutant[place] != text[place] for place in places):
                mutants.append("".join(mutant))
        logits = model.logits([text, *mutants])[:, 1].astype(np.float64)
        return float(logits[0] - logits[1:].mean())

    singles = fall(row["first"]), fall(row["second"])
    assert [row["single_first"], row["single_second"]] == pytest.approx(singles, abs=1e-4)
    assert row["joint"] == pytest.approx(fall(row["first"], row["second"]), abs=1e-4)
    assert row["interaction"] == pytest.approx(row["joint"] - sum(singles), abs=1e-4)
    ranked = np.sort(np.argsort(-scores["lrp"][row["sequence"]], kind="stable")[:3])
    own = table[(table["ranking"] == "lrp") & (table["sequence"] == row["sequence"])]
    assert sorted({*own["first"], *own["second"]}) == ranked.tolist()
    assert (own["distance"] == own["second"] - own["first"]).all()


def test_the_budget_is_counted_before_and_kept(
    sequences: Sequences, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model, counts, classified = planted("and"), list[int](), list[int]()
    forward, scores = type(model).forward, km.own_scores(model, sequences, truth(16))

    def counting(self: Model, tokens: km.Tokens, names: list[str] | None = None) -> np.ndarray:
        classified.append(len(tokens.ids))
        return forward(self, tokens, names)

    monkeypatch.setattr(type(model), "forward", counting)
    pairs(model, sequences, scores, top=3, per_class=5, resamples=100, announce=counts.append)
    assert counts == [sum(classified) - 5]  # and once more, unmutated, for what the model calls them
    with pytest.raises(UsageError, match=rf"take {counts[0]:,} classifications, more than the budget of 10\."):
        pairs(model, sequences, truth(16), top=3, per_class=5, budget=10, out=tmp_path / "out")
    assert not (tmp_path / "out").exists()
    pairs(model, sequences, truth(16), top=3, per_class=5, resamples=100, budget=counts[0])


def test_sequences_that_the_model_misclassifies_are_not_judged(sequences: Sequences) -> None:
    wrong = Sequences.from_strings(
        [text[:FIRST] + "C" + text[FIRST + 1 :] for text in sequences.strings()], labels=[1] * 16
    )
    result = pairs(planted("and"), wrong, truth(16), top=2, resamples=100)
    assert result.summary.empty
    assert [(each.code, each.values["mistaken"]) for each in result.remarks] == [("none_of_class", 16)]
    assert len(result.pairs) == 2 * 16


def test_tables_are_written_and_other_pairs_refused(sequences: Sequences, tmp_path: Path) -> None:
    model = planted("and")
    result = pairs(model, sequences, truth(16), top=2, resamples=100, out=tmp_path / "out")
    assert {each.name for each in (tmp_path / "out").iterdir() if not each.name.startswith(".")} == {
        "pairs.json", "pairs.csv", "pairs.parquet", "summary.csv", "summary.parquet", "remarks.json",
    }  # fmt: skip
    again = pairs(model, sequences, truth(16), top=2, resamples=100, out=tmp_path / "out")
    assert again.pairs.equals(result.pairs)
    with pytest.raises(RunMismatch, match="top was 2, now it is 3"):
        pairs(model, sequences, truth(16), top=3, resamples=100, out=tmp_path / "out")


def test_what_cannot_be_paired(sequences: Sequences) -> None:
    model = planted("and")
    with pytest.raises(UsageError, match="at least 2 positions"):
        pairs(model, sequences, truth(16), top=1)
    with pytest.raises(CountError, match="top: cannot substitute 61 nucleotides in 'seq0', which has 60"):
        pairs(model, sequences, truth(16), top=61)


@pytest.mark.parametrize(
    ("total", "joint", "low", "high", "kind"),
    [
        (2.0, 1.0, -1.1, -0.9, "conjunction"),
        (2.0, 1.5, -0.6, -0.4, "conjunction"),
        (2.0, 3.0, 0.5, 1.5, "redundant"),
        (0.0, 1.0, 0.9, 1.1, "redundant"),
        (2.0, 2.0, -0.19, 0.19, "additive"),
        (2.0, 1.9, -0.15, -0.05, "additive"),
        (2.0, 1.8, -0.5, 0.1, "undecided"),
        (2.0, -1.0, -3.5, -2.5, "undecided"),
        (2.0, 1.0, np.nan, np.nan, "undecided"),
    ],
)
def test_the_rule(total: float, joint: float, low: float, high: float, kind: str) -> None:
    assert kind_of({"sum": total, "joint": joint, "band_low": low, "band_high": high}) == kind
