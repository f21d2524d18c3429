"""Teachers: what the loss becomes, who may teach, and that a pupil learns what no label says."""

from dataclasses import replace

import pytest
import torch

from helpers.training_data import LEARN, TINY, labelled, splits
from kmerit.errors import CheckpointError, ConfigError
from kmerit.io.readers import write_sequences
from kmerit.models.model import load_model
from kmerit.sequences import Sequences
from kmerit.training import finetune
from kmerit.training.data import LabelledRows
from kmerit.training.learner import classifier, publish
from kmerit.training.loop import teacher
from kmerit.training.recipe import FinetuneConfig


@pytest.fixture(scope="module")
def taught(tmp_path_factory):
    """Two teachers of the toy classes."""
    folder = tmp_path_factory.mktemp("teachers")
    recipe = {**LEARN, "epochs": 4, "measure_test": False, "choose_by": "last"}
    return [str(finetune(FinetuneConfig(**recipe, seed=s), folder / f"t{s}", data=splits())) for s in (0, 1)]


def batch_of(config):
    return {
        name: tensor
        for name, tensor in LabelledRows(splits().train, config, 3, splits().crop, 0)
        .__getitems__(list(range(8)))
        .items()
        if name != "labels"
    }


def test_the_loss_is_mixed_with_the_cross_entropy_to_the_mean_answer(taught) -> None:
    config = FinetuneConfig(**TINY)
    pupil, _ = classifier(config, ("a", "b"))
    both, one, other = (teacher(names, 0.25, pupil) for names in (taught, taught[:1], taught[1:]))
    batch = batch_of(config)
    logits = torch.randn(8, 2, generator=torch.Generator().manual_seed(0))
    mean = sum(each.models[0](**batch).logits.softmax(-1) for each in (one, other)) / 2
    expected = 0.75 * 3.0 - 0.25 * (mean * logits.log_softmax(-1)).sum(-1).mean()
    assert both.blend(torch.tensor(3.0), logits, batch).item() == pytest.approx(expected.item(), abs=1e-6)
    assert not any(parameter.requires_grad for parameter in both.models[0].parameters())


def test_a_pupil_learns_from_teachers_where_labels_are_wrong(taught, tmp_path) -> None:
    data = splits()
    train = data.train
    flipped = Sequences(train.names, train.bases, train.offsets, 1 - train.labels)
    wrong = replace(data, train=flipped, validation=None)
    recipe = FinetuneConfig(**LEARN, epochs=6, teachers=taught, teaching=1.0, baselines=False)
    finetune(recipe, tmp_path / "pupil", data=wrong)
    logits = load_model(tmp_path / "pupil", device="cpu").logits(data.test)
    assert (logits.argmax(1) == data.test.labels).mean() > 0.9


def test_a_pupil_learns_from_unlabelled_and_mixed_rows(taught, tmp_path) -> None:
    data = splits()
    few = replace(data, train=data.train.take(slice(0, 4)), validation=None)
    write_sequences(labelled(200, 7), tmp_path / "more.parquet")
    shares = {"unlabelled": [str(tmp_path / "more.parquet")], "unlabelled_share": 0.9, "mixed_share": 0.1}
    recipe = FinetuneConfig(**LEARN, max_steps=60, teachers=taught, teaching=1.0, baselines=False, **shares)
    finetune(recipe, tmp_path / "pupil", data=few)
    logits = load_model(tmp_path / "pupil", device="cpu").logits(data.test)
    assert (logits.argmax(1) == data.test.labels).mean() > 0.9


def test_rows_without_labels_need_teachers() -> None:
    for wrong in (
        {"mixed_share": 0.1}, {"unlabelled": ["x"], "teachers": ["t"]}, {"unlabelled_share": 0.1, "teachers": ["t"]},
        {"mixed_share": 0.6, "unlabelled_share": 0.6, "unlabelled": ["x"], "teachers": ["t"]},
    ):  # fmt: skip
        with pytest.raises(ConfigError, match=r"unlabelled|need teachers"):
            FinetuneConfig.parse(wrong)


def test_who_may_not_teach(taught, tmp_path) -> None:
    pupil, _ = classifier(FinetuneConfig(**TINY), ("a", "b", "c"))
    with pytest.raises(CheckpointError, match="pupil's num_labels, 3; it has 2"):
        teacher(taught, 0.5, pupil)
    publish(classifier(FinetuneConfig(**{**TINY, "k": 4}), ("a", "b", "c"))[0], tmp_path / "k4", 4, {})
    with pytest.raises(CheckpointError, match="vocab_size"):
        teacher([str(tmp_path / "k4")], 0.5, pupil)
    with pytest.raises(ConfigError, match="teachers teach classes"):
        FinetuneConfig.parse({"regression": True, "teachers": ["x"]})
    assert teacher([], 0.5, pupil) is None
