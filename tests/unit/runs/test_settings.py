from __future__ import annotations

import tomllib
from pathlib import Path

import pytest
import tomli_w

from helpers.small_run import write_experiment
from kmerit.config import bundled_configs, check
from kmerit.datasets.task import tasks
from kmerit.errors import ConfigError, UnknownName
from kmerit.runs.settings import RunConfig, load_config, resolve
from kmerit.runs.stages import Job, finetune_config, unwatched

CONFIGS = Path(__file__).resolve().parents[3] / "configs"


@pytest.mark.parametrize("name", ["demo", "paper-mini", "paper"])
def test_shipped_configs_are_complete(name: str) -> None:
    config = resolve(load_config(CONFIGS / f"{name}.toml"))
    for task, table in config.tasks.items():
        assert table.classes == list(tasks()[task].classes)
        assert table.crop is not None
        assert table.crop != "none"
        anchor = "center" if task == "human_enhancers_dedup" else "left"  # the set's ends tell its classes apart
        length = 251 if task == "epdnew_nontata" else 200
        assert (table.crop.length, table.crop.anchor, table.min_length, table.drop_n) == (length, anchor, 200, True)
    assert config.trial.counts == (0, 1, 5, 10, 15, 20, "all")
    assert len(config.attribution.methods) == 6


def test_bundled_configs_are_those_of_the_repository(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert set(bundled_configs()) >= {"demo", "fair"}
    for name, path in bundled_configs().items():
        assert path.read_bytes() == (CONFIGS / f"{name}.toml").read_bytes(), "Run: python tools/sums.py"
    monkeypatch.chdir(tmp_path)
    assert load_config("bundled:demo", ["seed=3"]) == load_config(CONFIGS / "demo.toml", ["seed=3"])
    with pytest.raises(ConfigError, match=r"'configs/leakage\.toml'\. kmerit comes with bundled:leakage"):
        load_config("configs/leakage.toml")
    with pytest.raises(UnknownName, match=r"bundled config 'dmo'\. Did you mean 'demo'\? See: kmerit list configs"):
        load_config("bundled:dmo")


def test_the_papers_recipe_reaches_the_training() -> None:
    config = resolve(load_config(CONFIGS / "paper.toml", ["training.epochs=2", "compute.device=cpu"]))
    for task in config.tasks:
        recipe = finetune_config(Job(task, config, Path("nowhere"), unwatched))
        assert (recipe.task, recipe.base) == (task, "zhihan1996/DNA_bert_6")
        assert (recipe.learning_rate, recipe.weight_decay, recipe.hidden_dropout) == (2e-4, 0.01, 0.1)
        assert (recipe.batch_size * recipe.accumulate, recipe.warmup, recipe.epochs) == (192, 0.1, 2)
        assert recipe.crop is not None
        assert recipe.crop != "none"
        assert (recipe.crop.length, recipe.crop.anchor) == (200, "left")


def test_a_wrong_recipe_is_named() -> None:
    config = resolve(load_config(CONFIGS / "paper.toml", ["training.learning_rat=1"]))
    with pytest.raises(ConfigError, match="Did you mean 'learning_rate'"):
        finetune_config(Job("human_nontata_promoters", config, Path("nowhere"), unwatched))


def test_the_resolved_config_says_the_same_when_read_again(tmp_path: Path) -> None:
    for path in [write_experiment(tmp_path, "hub/name"), CONFIGS / "paper.toml", CONFIGS / "demo.toml"]:
        resolved = resolve(load_config(path))
        tree = resolved.model_dump(mode="json", exclude_none=True)
        assert tomllib.loads(tomli_w.dumps(tree)) == tree
        assert resolve(check(RunConfig, tree)) == resolved


def test_the_nearest_table_decides_what_is_kept(tmp_path: Path) -> None:
    path = write_experiment(tmp_path, "hub/name")

    def kept(*overrides: str) -> tuple[object, int | None, bool | None]:
        table = resolve(load_config(path, overrides)).tasks["mine"]
        return table.crop, table.min_length, table.drop_n

    assert kept() == ("none", 1, True)
    assert kept("data.drop_n=false", "data.min_length=7") == ("none", 7, False)
    assert kept("data.min_length=7", "tasks.mine.min_length=9") == ("none", 9, True)


def test_paths_start_from_the_configs_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "checkpoint").mkdir()
    path = write_experiment(tmp_path, "checkpoint")
    monkeypatch.chdir("/")
    table = load_config(path).tasks["mine"]
    assert table.sequences == str(tmp_path / "mine.csv")
    assert table.model == str(tmp_path / "checkpoint")
    assert load_config(path, ["tasks.mine.model=owner/name"]).tasks["mine"].model == "owner/name"


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("attribution.methods=['rolout']", "Unknown method 'rolout'. Did you mean 'rollout'?"),
        ("trial.operators=['transitoin']", "Unknown operator 'transitoin'. Did you mean 'transition'?"),
        ("trial.orders=['lerv']", "Unknown order 'lerv'. Did you mean 'lerf'?"),
        ("tasks.epdnew_nontat.model=x", "Unknown task 'epdnew_nontat'. Did you mean 'epdnew_nontata'?"),
    ],
)
def test_names_nobody_knows(tmp_path: Path, override: str, message: str) -> None:
    with pytest.raises(UnknownName) as caught:
        resolve(load_config(write_experiment(tmp_path, "hub/name"), [override]))
    assert str(caught.value).startswith(message)


def test_columns_belong_to_ones_own_file() -> None:
    with pytest.raises(ConfigError, match="label_column needs your own file"):
        resolve(load_config(CONFIGS / "demo.toml", ["tasks.epdnew_nontata.label_column=y"]))


def test_the_test_of_motifs_has_keys_of_its_own(tmp_path: Path) -> None:
    path = write_experiment(tmp_path, "bundled:promoter")
    names = "motifs.families=['NFYA', 'fos::jun']"
    for key, value in (("label", "1"), ("families", "['NFYA']"), ("de_novo", "true")):
        with pytest.raises(
            ConfigError, match=rf"motifs\.{key}: only the test of motifs takes it\. Add motifs\.test = true"
        ):
            resolve(load_config(path, [f"motifs.{key}={value}"]))
        with pytest.raises(ConfigError, match=rf"motifs\.{key}: only the test of motifs takes it"):
            resolve(load_config(path, [f"motifs.{key}={value}", "motifs.test=false"]))
        assert resolve(load_config(path, [f"motifs.{key}={value}", "motifs.test=true"])).motifs is not None
    motifs = resolve(load_config(path, ["motifs.test=true", names])).motifs
    assert motifs is not None
    assert motifs.families == ("NFYA", "fos::jun")
    with pytest.raises(UnknownName, match="NFYAA"):
        resolve(load_config(path, ["motifs.test=true", "motifs.families=['NFYAA']"]))
    assert resolve(load_config(path, ["motifs.match=0.9"])).motifs is not None
