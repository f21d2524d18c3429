"""Pre-training and fine-tuning learn what there is to learn, and leave what they promise."""

import json
import threading
from dataclasses import replace
from itertools import product
from pathlib import Path

import numpy as np
import pytest
from safetensors.torch import load_file

from helpers.checkpoints import write_tiny
from helpers.training_data import CROP, LEARN, TINY, corpus, labelled, random_strings, splits
from kmerit.cli.running import _results
from kmerit.errors import CheckpointError, ConfigError, LabelError, LengthError, RunLocked, RunMismatch, UnknownName
from kmerit.io.crops import Crop
from kmerit.io.readers import write_sequences
from kmerit.metrics import classification_metrics
from kmerit.models.model import load_model
from kmerit.models.tokenizers import vocabulary
from kmerit.sequences import Sequences
from kmerit.store import hold
from kmerit.training import finetune, learner, pretrain
from kmerit.training.card import made_by
from kmerit.training.data import Splits, carve, check_classes, load_splits
from kmerit.training.recipe import FinetuneConfig, PretrainConfig


def log_of(folder):
    return json.loads((folder / "training_log.json").read_text())["log"]


def test_masked_kmers_are_learnt_and_the_folder_is_whole(tmp_path) -> None:
    steps: list[tuple[int, int]] = []
    config = PretrainConfig(
        **TINY, crop_lengths=[40], reverse_complement=0, learning_rate=5e-3, batch_size=16, max_steps=50,
        validation_crops=16,
    )  # fmt: skip
    out = pretrain(
        config, tmp_path / "encoder", corpus=corpus(), progress=lambda done, total: steps.append((done, total))
    )
    losses = [entry["eval_loss"] for entry in log_of(out) if "eval_loss" in entry]
    # 64 k-mers to guess among at first, then the corpus's ten.
    assert losses[-1] < np.log(11) < losses[0] < np.log(69)
    assert sorted(path.name for path in out.iterdir()) == [
        "README.md", "config.json", "model.safetensors", "tokenizer_config.json", "training.json", "training_log.json",
        "vocab.txt",
    ]  # fmt: skip
    card = (out / "README.md").read_text()
    assert "DNABERT-3" in card
    assert '"max_steps": 50' in card
    assert steps == [(step, 50) for step in range(1, 51)]


def test_classes_are_learnt_and_measured_on_the_test_split(tmp_path) -> None:
    config = FinetuneConfig(**LEARN, epochs=4, targets={"auroc": 0.9, "accuracy": 1.1})
    out = finetune(config, tmp_path / "model", data=splits())
    measured = json.loads((out / "metrics.json").read_text())
    assert measured["test"]["rows"] == 40
    assert measured["test"]["auroc"]["low"] > 0.9
    assert measured["crop"] == "40 nt, left"
    assert measured["split"] == {"train": 160, "validation": 40, "test": 40}
    assert [goal["reached"] for goal in measured["targets"].values()] == [True, False]
    assert set(measured["baselines"]) == set(measured["above"]) == {"4-mers", "6-mers"}
    difference = measured["test"]["auroc"]["value"] - measured["baselines"]["4-mers"]["auroc"]["value"]
    assert measured["above"]["4-mers"]["auroc"]["value"] == pytest.approx(difference)
    logits = load_model(out, device="cpu").logits(splits().test)
    assert np.mean(logits.argmax(1) == splits().test.labels) == pytest.approx(measured["test"]["accuracy"]["value"])
    message = _results(out)
    assert message[0].startswith("validation, last of 4: accuracy ")
    assert f"auroc {measured['test']['auroc']['value']:.3f} (" in message[1]
    assert any(line.startswith("test, logistic regression on 4-mers: accuracy ") for line in message)
    card = (out / "README.md").read_text()
    for words in (
        "class0, class1",
        "logistic regression on 6-mers",
        "this model less logistic regression on 4-mers",
        "was reached",
        "MISSED",
    ):
        assert words in card


def test_without_test_rows_model_and_baselines_are_measured_on_validation(tmp_path) -> None:
    out = finetune(FinetuneConfig(**LEARN, epochs=4), tmp_path / "model", data=replace(splits(), test=None))
    measured = json.loads((out / "metrics.json").read_text())
    assert "test" not in measured
    assert measured["validation"]["rows"] == 40
    validation = splits().validation
    right = np.mean(load_model(out, device="cpu").logits(validation).argmax(1) == validation.labels)
    assert measured["validation"]["accuracy"]["value"] == pytest.approx(right)
    assert set(measured["baselines"]) == set(measured["above"]) == {"4-mers", "6-mers"}
    message = _results(out)
    assert any(line.startswith("validation, logistic regression on 4-mers: accuracy ") for line in message)
    assert message[-1] == "test: not measured; give test rows (--test) for that"
    card = (out / "README.md").read_text()
    assert "On the validation split" in card
    assert "On the test split" not in card


def test_baselines_learn_from_shorter_rows_where_a_class_has_no_others(tmp_path) -> None:
    rows = splits().train.strings()
    short = Sequences.from_strings(
        [row[: 20 + 10 * (i % 2)] for i, row in enumerate(rows)], [i % 2 for i in range(len(rows))]
    )
    long = Sequences.from_strings([row[:30] for row in rows[:8]], [0, 1] * 4)
    out = finetune(FinetuneConfig(**LEARN, max_steps=1), tmp_path, data=Splits(short, long))
    assert json.loads((out / "metrics.json").read_text())["baselines"]["4-mers"]["rows"] == 8


def test_the_checkpoint_is_the_best_by_validation_not_the_last(tmp_path) -> None:
    # The learning rate rises until it destroys what was learnt at first.
    config = FinetuneConfig(**{**LEARN, "learning_rate": 0.3}, warmup=1, max_steps=30, eval_steps=6, measure_test=False)
    last = config.model_copy(update={"choose_by": "last"})
    result = [finetune(config, tmp_path / "best", data=splits()), finetune(last, tmp_path / "last", data=splits())]
    scores = [entry["eval_auroc"] for entry in log_of(result[0]) if "eval_auroc" in entry]
    assert max(scores) > scores[-1] + 0.05
    validation = splits().validation
    best, ruined = (
        classification_metrics(validation.labels, load_model(out, device="cpu").logits(validation), resamples=0)[
            "auroc"
        ]
        for out in result
    )
    assert best["value"] == pytest.approx(max(scores), abs=0.01)
    assert ruined["value"] < max(scores) - 0.05  # its weights are so large that rounding alone moves its score


def test_patience_ends_a_training_that_gets_no_better(tmp_path) -> None:
    config = FinetuneConfig(**LEARN, max_steps=200, eval_steps=5, patience=2, baselines=False)
    out = finetune(config, tmp_path, data=splits())
    scores = [entry["eval_auroc"] for entry in log_of(out) if "eval_auroc" in entry]
    assert len(scores) < 40
    assert len(scores) - 1 - scores.index(max(scores)) == 2


def test_three_classes_are_learnt(tmp_path) -> None:
    config = FinetuneConfig(**LEARN, epochs=5, class_weights="balanced", label_smoothing=0.05, baselines=False)
    out = finetune(config, tmp_path, data=splits(classes=3))
    assert json.loads((out / "metrics.json").read_text())["test"]["accuracy"]["value"] > 0.6
    assert load_model(out, device="cpu").labels == ("class0", "class1", "class2")


def test_values_are_learnt(tmp_path) -> None:
    def rich(rows: int, seed: int) -> Sequences:
        sequences = labelled(rows, seed, classes=4, length=40)
        values = [float(np.mean(part == 0)) for part in sequences.rows()]
        return Sequences.from_strings(sequences.strings(), labels=values)

    data = Splits(rich(160, 1), rich(40, 2), rich(40, 3), ("share of A",), CROP)
    out = finetune(FinetuneConfig(**LEARN, epochs=8, regression=True), tmp_path, data=data)
    measured = json.loads((out / "metrics.json").read_text())["test"]
    assert set(measured) == {"rows", "r2", "pearson", "spearman", "rmse"}
    assert measured["pearson"]["value"] > 0.8
    assert load_model(out, device="cpu").regression


def test_averaged_weights_are_the_mean_of_the_last_ones(tmp_path) -> None:
    last = finetune(FinetuneConfig(**LEARN, epochs=2, choose_by="last", baselines=False), tmp_path / "a", data=splits())
    mean = finetune(
        FinetuneConfig(**LEARN, epochs=2, choose_by="last", baselines=False, average_decay=0.5),
        tmp_path / "b",
        data=splits(),
    )
    a, b = (load_file(folder / "model.safetensors")["classifier.weight"] for folder in (last, mean))
    assert 0 < float((a - b).abs().max()) < 0.05


def test_lower_layers_may_learn_more_slowly(tmp_path) -> None:
    frozen = finetune(
        FinetuneConfig(**LEARN, max_steps=5, layer_decay=1e-9, baselines=False), tmp_path / "a", data=splits()
    )
    free = finetune(FinetuneConfig(**LEARN, max_steps=5, baselines=False), tmp_path / "b", data=splits())
    new = finetune(
        FinetuneConfig(**{**LEARN, "learning_rate": 1e-12}, max_steps=5, baselines=False), tmp_path / "c", data=splits()
    )
    frozen_weights, free_weights, new_weights = (load_file(out / "model.safetensors") for out in (frozen, free, new))
    embeddings = "bert.embeddings.word_embeddings.weight"
    assert float((frozen_weights[embeddings] - new_weights[embeddings]).abs().max()) < 1e-6
    assert float((free_weights[embeddings] - new_weights[embeddings]).abs().max()) > 1e-4
    assert float((frozen_weights["classifier.weight"] - new_weights["classifier.weight"]).abs().max()) > 1e-4


def test_autocast_and_accumulation_train(tmp_path) -> None:
    config = FinetuneConfig(
        **{**LEARN, "batch_size": 8}, accumulate=2, bf16=True, attention="eager", epochs=4, baselines=False
    )
    out = finetune(config, tmp_path, data=splits())
    assert json.loads((out / "metrics.json").read_text())["test"]["auroc"]["value"] > 0.9
    assert {str(value.dtype) for value in load_file(out / "model.safetensors").values()} == {"torch.float32"}


def test_labelled_files_are_read_carved_and_filtered(tmp_path) -> None:
    rows = labelled(120, 1)
    write_sequences(rows, tmp_path / "train.csv")
    write_sequences(labelled(20, 2), tmp_path / "test.parquet")
    config = FinetuneConfig(
        train=str(tmp_path / "train.csv"), test=str(tmp_path / "test.parquet"), crop={"length": 30, "anchor": "right"}
    )
    result = load_splits(config)
    assert result.sizes["train"] + result.sizes["validation"] == 120
    assert 3 <= result.sizes["validation"] <= 25
    assert result.classes == ("0", "1")
    assert set(result.validation.lengths) == set(result.test.lengths) == {30}
    assert set(result.train.lengths) == {48}


def test_intervals_are_cut_out_of_a_genome(tmp_path) -> None:
    letters = random_strings(1, 4000, seed=3)[0]
    (tmp_path / "g.fa").write_text(f">chr1\n{letters}\n")
    rows = [f"chr1,{a},{a + 40},+,{'peak' if i % 2 else 'none'}" for i, a in enumerate(range(10, 3900, 100))]
    (tmp_path / "x.csv").write_text("\n".join(["chrom,start,end,strand,label", *rows]) + "\n")
    config = FinetuneConfig(train=str(tmp_path / "x.csv"), genome=str(tmp_path / "g.fa"), width=20, validation_share=0)
    result = load_splits(config)
    assert result.classes == ("none", "peak")
    assert result.train.strings()[0] == letters[20:40]


@pytest.mark.parametrize("name", ["vocab.txt", "tokenizer.json"])
def test_a_base_that_numbers_kmers_otherwise_is_refused(tmp_path, name: str) -> None:
    base = write_tiny(tmp_path / "base", k=3)
    words = [*vocabulary(3)[:5], *map("".join, product("ACGT", repeat=3))]
    if name == "vocab.txt":
        (base / name).write_text("\n".join(words) + "\n")
    else:
        (base / "vocab.txt").unlink()
        (base / name).write_text(json.dumps({"model": {"vocab": {word: i for i, word in enumerate(words)}}}))
    with pytest.raises(CheckpointError, match=name):
        finetune(FinetuneConfig(base=str(base), **LEARN), tmp_path / "model", data=splits())
    with pytest.raises(CheckpointError, match=name):
        pretrain(PretrainConfig(base=str(base), **TINY, crop_lengths=[40]), tmp_path / "more", corpus=corpus())
    with pytest.raises(CheckpointError, match=name):
        load_model(base)


def test_near_copies_are_not_torn_apart() -> None:
    texts = random_strings(40, 100, seed=0)
    twins = Sequences.from_strings(texts + [text[:90] + "ACGTACGTAC" for text in texts], labels=[0] * 80)
    train, validation = carve(twins, 0.3)
    assert not {text[:90] for text in train.strings()} & {text[:90] for text in validation.strings()}


def test_a_task_brings_its_own_splits_and_crop() -> None:
    result = load_splits(FinetuneConfig(task="human_enhancers_dedup", train_min_length=50))
    assert result.sizes["test"] == 729
    assert result.crop == Crop(200, "center")
    assert result.train.lengths.min() < 200 < result.train.lengths.max()
    assert set(result.validation.lengths) == {200}


def test_a_finished_training_is_left_alone_and_another_refused(tmp_path) -> None:
    config = FinetuneConfig(**LEARN, max_steps=2, baselines=False)
    out = finetune(config, tmp_path, data=splits())
    before = {path: path.stat().st_mtime_ns for path in out.iterdir()}
    finetune(config, tmp_path, data=splits())
    assert {path: path.stat().st_mtime_ns for path in out.iterdir()} == before
    with pytest.raises(RunMismatch, match=r"holds a training of another config: learning_rate was"):
        finetune(config.model_copy(update={"learning_rate": 1.0}), tmp_path, data=splits())


def test_a_training_is_of_the_files_that_it_was_made_of(tmp_path, caplog) -> None:
    for split in ("train", "test"):
        write_sequences(splits().train, tmp_path / f"{split}.csv")
    config = FinetuneConfig(
        **LEARN, max_steps=2, baselines=False, train=str(tmp_path / "train.csv"), test=str(tmp_path / "test.csv")
    )
    whole = finetune(config, tmp_path / "out").joinpath("metrics.json").read_bytes()
    (tmp_path / "test.csv").unlink()
    finetune(config, tmp_path / "out")
    assert "test.csv) is missing; the results made from it are kept" in caplog.text
    record = tmp_path / "out" / "sources.json"
    known = record.read_bytes()
    for damaged in (b"", known[:-1], known[: len(known) // 2], known.replace(b"train", b"trail"), None):
        record.unlink() if damaged is None else record.write_bytes(damaged)
        finetune(config, tmp_path / "out")
        assert record.read_bytes() == known
    (tmp_path / "train.csv").write_text((tmp_path / "train.csv").read_text().replace(",1\n", ",0\n", 1))
    record.write_bytes(known[:-9])
    with pytest.raises(
        RunMismatch,
        match=r"train \(.*train.csv\) has changed since the work began: its sha256 was \w{12}, now it is \w{12}\.",
    ):
        finetune(config, tmp_path / "out")
    assert (tmp_path / "out" / "metrics.json").read_bytes() == whole
    (tmp_path / "out" / "training_log.json").unlink()
    with pytest.raises(RunMismatch, match=r"sources\.json is damaged"):
        finetune(config, tmp_path / "out")


def test_a_folder_in_use_is_refused(tmp_path) -> None:
    refused: list[RunLocked] = []

    def other() -> None:
        try:
            pretrain(PretrainConfig(**TINY, crop_lengths=[40]), tmp_path, corpus=corpus())
        except RunLocked as error:
            refused.append(error)

    with hold(tmp_path):
        thread = threading.Thread(target=other)
        thread.start()
        thread.join()
    assert "is in use by process" in str(refused[0])


@pytest.mark.parametrize("name", ["config.json", "model.safetensors", "checkpoints"])
def test_a_folder_with_a_model_of_the_users_is_left_alone(tmp_path, name) -> None:
    (tmp_path / name).write_text("mine")
    with pytest.raises(RunMismatch, match=rf"holds no training \(there is '{name}'\)"):
        finetune(FinetuneConfig(**LEARN, max_steps=2), tmp_path, data=splits())
    assert [path.name for path in tmp_path.iterdir()] == [name]
    assert (tmp_path / name).read_text() == "mine"


def test_checkpoints_that_a_kill_left_after_the_end_are_removed(tmp_path, monkeypatch) -> None:
    config = FinetuneConfig(**LEARN, max_steps=2, baselines=False)
    whole = {path.name for path in finetune(config, tmp_path / "whole", data=splits()).iterdir()}

    def killed(out: Path) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr("kmerit.training.recipe.remove_checkpoints", killed)
        with pytest.raises(KeyboardInterrupt):
            finetune(config, tmp_path / "out", data=splits())
    assert {path.name for path in (tmp_path / "out").iterdir()} == whole | {"checkpoints"}
    finetune(config, tmp_path / "out", data=splits())
    assert {path.name for path in (tmp_path / "out").iterdir()} == whole


def test_cards_name_the_command_or_what_made_the_model(tmp_path, monkeypatch) -> None:
    config = FinetuneConfig(**LEARN, max_steps=1, baselines=False)
    cards = []
    for i, part in enumerate((["--plan"], ["--shard", "1/2"])):
        monkeypatch.setattr("sys.argv", ["kmerit", "work", "my.toml", *part])
        with made_by("A run of kmerit."):
            cards.append((finetune(config, tmp_path / str(i), data=splits()) / "README.md").read_text())
    assert cards[0] == cards[1]
    assert "## Made with\n\nA run of kmerit.\n" in cards[0]
    own = (finetune(config, tmp_path / "own", data=splits()) / "README.md").read_text()
    assert "work my.toml --shard 1/2`\n" in own


@pytest.mark.slow
def test_what_was_damaged_after_a_training_is_made_again(tmp_path) -> None:
    config = FinetuneConfig(**LEARN, max_steps=2, baselines=False)
    out = finetune(config, tmp_path, data=splits())
    whole = {path.name: path.read_bytes() for path in out.iterdir()}
    (out / "note.txt").write_text("mine")
    for name in ("model.safetensors", "config.json", "metrics.json", "training_log.json", "README.md"):
        (out / name).write_bytes(whole[name][:-2])
        finetune(config, tmp_path, data=splits())
        assert {path.name: path.read_bytes() for path in out.iterdir() if path.name != "note.txt"} == whole
    (out / "model.safetensors").unlink()
    finetune(config, tmp_path, data=splits())
    assert (out / "model.safetensors").read_bytes() == whole["model.safetensors"]
    assert (out / "note.txt").read_text() == "mine"


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "damage"),
    [("best.safetensors", "bit"), ("best.json", "cut"), ("last.safetensors", "bit"), ("last.json", "gone")],
)
def test_weights_that_were_damaged_before_the_end_are_made_again(tmp_path, monkeypatch, name, damage) -> None:
    config = FinetuneConfig(**LEARN, baselines=False, measure_test=False, save_steps=25)
    whole = (finetune(config, tmp_path / "whole", data=splits()) / "model.safetensors").read_bytes()
    with monkeypatch.context() as cut:
        cut.setattr(learner, "_write", lambda *rest: 1 / 0)  # what publishing begins with
        with pytest.raises(ZeroDivisionError):
            finetune(config, tmp_path / "cut", data=splits())
    path = tmp_path / "cut" / "checkpoints" / name
    content = path.read_bytes()
    changed = bytes([*content[: len(content) // 2], content[len(content) // 2] ^ 1, *content[len(content) // 2 + 1 :]])
    path.write_bytes({"bit": changed, "cut": content[:-5], "gone": b""}[damage])
    if damage == "gone":
        path.unlink()
    out = finetune(config, tmp_path / "cut", data=splits())
    assert (out / "model.safetensors").read_bytes() == whole
    assert not (out / "checkpoints").exists()


def test_what_the_end_would_refuse_is_refused_before_the_first_step(tmp_path) -> None:
    long = Sequences.from_strings(["ACGT" * 200, "TTGA" * 200], labels=[0, 1])
    with pytest.raises(LengthError, match=r"test: a sequence of 800 nt has \d+ tokens; the model takes"):
        finetune(FinetuneConfig(**LEARN), tmp_path / "a", data=replace(splits(), test=long))
    with pytest.raises(UnknownName, match="metric in targets 'aurok'"):
        finetune(FinetuneConfig(**LEARN, targets={"aurok": 0.9}), tmp_path / "a", data=splits())
    single = Sequences.from_strings(["ACGT" * 10], labels=[1])
    with pytest.raises(LabelError, match="all rows are of one class, so auroc cannot be measured"):
        finetune(FinetuneConfig(**LEARN, targets={"auroc": 0.9}), tmp_path / "a", data=replace(splits(), test=single))
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"train": Sequences.from_strings(["ACGT" * 12])}, "found none"),
        ({"test": Sequences.from_strings(["ACGT" * 10], labels=[2])}, "from 0 to 1 as labels; 'seq0' has 2"),
        ({"validation": Sequences.from_strings(["ACGT" * 10, "A" * 40], labels=[1, 0.5])}, "'seq1' has 0.5"),
        ({"train": Sequences.from_strings(["ACGT" * 12, "A" * 48], labels=[0, 0])}, "train: every row has the label 0"),
    ],
)
def test_labels_that_do_not_fit_are_refused(change, says, tmp_path) -> None:
    with pytest.raises(LabelError, match=says):
        finetune(FinetuneConfig(**LEARN), tmp_path, data=replace(splits(), **change))


def written(folder, labels) -> FinetuneConfig:
    path = folder / "x.csv"
    rows = zip(random_strings(len(labels), 48, seed=0), labels, strict=True)
    path.write_text("sequence,label\n" + "".join(f"{text},{label}\n" for text, label in rows))
    return FinetuneConfig(train=str(path))


def test_a_class_without_rows_is_told(tmp_path, caplog) -> None:
    result = load_splits(written(tmp_path, [1, 2] * 20))
    assert result.classes == ("0", "1", "2")
    check_classes(result)
    assert [record.message for record in caplog.records] == ["x.csv, train: no row is of class 0 (0)."]


def test_more_classes_than_rows_are_refused(tmp_path) -> None:
    with pytest.raises(LabelError, match=r"the label [78]000000, so there would be more classes than the [0-9]+ rows"):
        load_splits(written(tmp_path, [i * 10**6 for i in range(9)]))


def test_something_to_train_on_must_be_named(tmp_path) -> None:
    with pytest.raises(ConfigError, match="task = 'epdnew_nontata'"):
        finetune(FinetuneConfig(base="bundled:encoder"), tmp_path)


def test_an_unknown_metric_to_choose_by_is_refused(tmp_path) -> None:
    with pytest.raises(ConfigError, match="choose_by"):
        finetune(FinetuneConfig(**LEARN, choose_by="auc"), tmp_path, data=splits())


def test_a_recipe_can_be_tried_without_a_look_at_the_test_split(tmp_path) -> None:
    out = finetune(FinetuneConfig(**LEARN, max_steps=2, measure_test=False), tmp_path, data=splits())
    assert "test" not in json.loads((out / "metrics.json").read_text())
    assert "Measured" not in (out / "README.md").read_text()


def test_a_training_of_an_older_version_goes_on(tmp_path) -> None:
    config = FinetuneConfig(**LEARN, max_steps=2, measure_test=False)
    out = finetune(config, tmp_path, data=splits())
    tree = json.loads((out / "training.json").read_text())
    tree.pop("patience")
    (out / "training.json").write_text(json.dumps(tree))
    assert finetune(config, tmp_path, data=splits()) == out
    with pytest.raises(RunMismatch, match="patience"):
        finetune(config.model_copy(update={"patience": 3}), tmp_path, data=splits())
