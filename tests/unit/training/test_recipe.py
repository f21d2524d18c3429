"""The recipe's defaults are the paper's, and a wrong key or value is told in one line."""

import pytest

from kmerit.errors import ConfigError
from kmerit.training.recipe import FinetuneConfig, PretrainConfig


def test_defaults_are_the_papers_recipe() -> None:
    config = FinetuneConfig(base="zhihan1996/DNA_bert_6")
    assert (config.learning_rate, config.weight_decay, config.hidden_dropout) == (2e-4, 0.01, 0.1)
    assert (config.epochs, config.batch_size, config.warmup) == (5, 48, 0.1)


def test_defaults_of_masking_are_dnaberts() -> None:
    config = PretrainConfig(k=4)
    assert (config.mask_share, config.hide, config.replace, config.spans) == (0.15, 0.8, 0.1, (4, 4))


@pytest.mark.parametrize(
    ("tree", "says"),
    [
        ({"learning_rat": 1}, "Unknown key 'learning_rat'. Did you mean 'learning_rate'?"),
        ({"qqq": 1}, "Known here: "),
        ({"crop": {"length": 200, "anker": "left"}}, "Unknown key 'crop.anker'. Did you mean 'anchor'?"),
        ({"learning_rate": -1}, "learning_rate: expected more than 0, got -1."),
        ({"hidden": 10, "heads": 3}, "multiple of heads"),
        ({"task": "epdnew_nontata", "train": "mine.csv"}, "either a task or a train file"),
        ({"save_steps": 30}, "multiple of 25"),
    ],
)
def test_wrong_settings_are_told(tree, says) -> None:
    with pytest.raises(ConfigError) as error:
        FinetuneConfig.parse(tree)
    assert says in str(error.value)
    assert len(str(error.value).splitlines()) <= 2


@pytest.mark.parametrize(
    ("tree", "says"),
    [
        ({"crop_lengths": [5], "k": 6}, "crop_lengths"),
        ({"crop_lengths": [600]}, "crop_lengths"),
        ({"hide": 0.9, "replace": 0.2}, "exceed 1"),
        ({"span_min": 9, "span_max": 3}, "span_min"),
    ],
)
def test_masks_and_crops_must_be_possible(tree, says) -> None:
    with pytest.raises(ConfigError, match=says):
        PretrainConfig.parse(tree)
