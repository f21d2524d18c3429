"""Departures: ranks among the data, computed again by other means, and which operators leave it."""

from collections import Counter
from math import log
from pathlib import Path

import numpy as np
import pytest
import torch

import kmerit as km
from helpers.checkpoints import write_masked
from kmerit.errors import ModelError, SequenceError
from kmerit.models.masked import load_masked
from kmerit.models.model import Model
from kmerit.sequences import Locus, Sequences, encode
from kmerit.trials.departures import FEWEST, _Chain, _farness, _rank, departures, states


@pytest.fixture(scope="module")
def skewed() -> Sequences:
    """Sequences of few T, in which every A is followed by C."""
    rng = np.random.default_rng(0)
    strings = ["".join(rng.choice(["AC", "G", "C", "GG"], 60))[:60] for _ in range(30)]
    return Sequences.from_strings(strings, labels=[i % 2 for i in range(30)])


def test_what_leaves_the_letters_of_the_data_ranks_beyond_all_of_it(model: Model, skewed: Sequences) -> None:
    names = ["random_other", "shuffle(59)", "background", "delete", "mask"]
    table = departures(model, skewed, names, [1, "all"], per_class=10).set_index(["operator", "n"])
    assert table["sequences"].unique().tolist() == [20]
    letters = table["letters"]
    assert letters["random_other", "all"] == 1
    assert letters["random_other", "1"] < 1
    assert letters["shuffle(59)", "all"] < letters["delete", "all"] <= letters["random_other", "all"]
    assert table["likelihood"]["random_other", "all"] < table["likelihood"]["random_other", "1"] < 0
    assert table["likelihood"]["shuffle(59)", "all"] > table["likelihood"]["delete", "all"]
    assert np.isnan(letters["mask", "all"])
    assert table["state"]["mask", "all"] > 0.5
    known = table.drop(index="mask", level="operator")
    for key in ("state", "letters"):
        assert (known[f"{key}_low"] <= known[key]).all()
        assert (known[key] <= known[f"{key}_high"]).all()
        assert known[key].between(0, 1).all()
    assert (table["moved"] > 0).all()


def test_a_sequence_of_the_data_is_ordinary(model: Model, skewed: Sequences) -> None:
    natural = states(model, skewed)
    farness = np.array([_farness(natural[i], natural, i) for i in range(30)])
    assert np.mean([_rank(each, farness) for each in farness]) == pytest.approx(0.5)
    distances = sorted(float(np.linalg.norm(natural[7] - natural[j])) for j in range(30) if j != 7)
    assert farness[7] == pytest.approx(np.mean(distances[:5]))


def test_the_state_is_what_the_classifier_reads(model: Model, skewed: Sequences) -> None:
    network = model.encoder
    cls = torch.from_numpy(states(model, skewed)).to(network.dtype)  # type: ignore[attr-defined]
    logits = network.classifier(torch.tanh(network.pooler(cls)))  # type: ignore[attr-defined]
    assert logits.numpy() == pytest.approx(model.logits(skewed), abs=1e-4)


def test_the_likelihood_is_that_of_counted_words_without_the_sequence_itself(skewed: Sequences) -> None:
    strings = skewed.strings()
    words: Counter[str] = Counter()
    for text in strings[:3] + strings[4:]:
        words.update(text[i : i + 5] for i in range(len(text) - 4))
    logs = []
    for i in range(len(strings[3]) - 4):
        word = strings[3][i : i + 5]
        before = sum(words[word[:4] + letter] + 0.25 for letter in "ACGT")
        logs.append(log((words[word] + 0.25) / before))
    assert _Chain(skewed).likelihood(encode(strings[3]), 3) == pytest.approx(np.mean(logs))


def test_operators_that_ask_the_model_are_measured_too(model: Model, skewed: Sequences) -> None:
    table = departures(model, skewed, ["harshest", "block(8)"], [2], per_class=2)
    assert table["operator"].tolist() == ["harshest", "block(8)"]
    assert table["n"].tolist() == ["2", "2"]


def test_the_pseudo_likelihood_is_that_of_each_letter_given_the_others(
    model: Model, skewed: Sequences, tmp_path: Path
) -> None:
    masker = load_masked(str(write_masked(tmp_path / "masked")))
    table = departures(model, skewed, ["transition", "mask"], ["all"], masker=masker, per_class=3)
    bases = skewed.padded()[0]
    pairs = [(own, own ^ 2) for own in (bases[i] for i in range(30))]
    logs = {True: [], False: []}  # type: ignore[var-annotated]
    for own, mutant in pairs:
        for of_mutant, letters in ((False, own), (True, mutant)):
            logs[of_mutant].append(np.log(masker.letters(letters)[np.arange(60), letters]).mean())
    changes = np.array(logs[True]) - np.array(logs[False])
    row = table.set_index("operator").loc["transition"]
    assert changes.min() <= row["pseudo_change"] <= changes.max()
    assert 0 <= row["pseudo_low"] <= row["pseudo"] <= row["pseudo_high"] <= 1
    assert np.isnan(table.set_index("operator").loc["mask"]["pseudo"])
    everyone = departures(model, skewed, ["transition"], ["all"], masker=masker, per_class=15)
    assert everyone["pseudo_change"][0] == pytest.approx(changes.mean(), abs=1e-6)
    natural = np.array(logs[False])
    ranks = [((natural > each).mean() + (natural == each).mean() / 2) for each in logs[True]]
    assert everyone["pseudo"][0] == pytest.approx(np.mean(ranks), abs=1e-3)


def test_operators_that_move_letters_are_measured_with_the_genome_they_read(model: Model, tmp_path: Path) -> None:
    chromosome = "".join(np.random.default_rng(3).choice(list("AACG"), 1600))
    path = tmp_path / "genome.fa"
    path.write_text(f">chr1\n{chromosome}\n")
    places = [(start, start + 60) for start in range(0, 1440, 120)]
    rows = Sequences.from_strings(
        [chromosome[start:end] for start, end in places],
        labels=[0, 1] * 6,
        loci=[Locus("chr1", start, end, "+") for start, end in places],
    )
    table = departures(model, rows, [f"delete({path})", "delete", "insert"], [60], per_class=6)
    change = table.set_index("operator")["likelihood"]
    chain, own = _Chain(rows), list(rows.rows())
    flanks = [encode(chromosome[end : end + 60]) for _, end in places]  # all 60 are deleted, and the flank moves in
    expected = [chain.likelihood(flank, i) - chain.likelihood(own[i], i) for i, flank in enumerate(flanks)]
    assert change[f"delete({path})"] == pytest.approx(np.mean(expected))
    assert table[["state", "letters", "moved"]].notna().all(axis=None)


def test_what_cannot_be_measured(model: Model, skewed: Sequences, tmp_path: Path) -> None:
    with pytest.raises(SequenceError, match=rf"expected {FEWEST} or more sequences, got 9"):
        departures(model, skewed.take(range(9)))
    module = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(240, 2))
    with pytest.raises(ModelError, match=r"has no \[CLS\] state that is known here. Give an encoder"):
        departures(model, skewed, encoder=km.wrap(module, 60, ["off", "on"]))
