from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from pydantic import Field, PositiveInt, ValidationError

import kmerit
from kmerit.config import Several, Table, check, merge, parse_override, read_toml
from kmerit.errors import ConfigError, UnknownName
from kmerit.runs.settings import RunConfig, load_config

SOURCE = Path(kmerit.__file__).parent


def config(override: str) -> RunConfig:
    tree: dict[str, Any] = {"tasks": {"mine": {"model": "folder"}}}
    merge(tree, parse_override(override))
    return check(RunConfig, tree)


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("trial.drws=3", "Unknown key 'trial.drws'. Did you mean 'draws'?"),
        ("tasks.mine.modle='x'", "Unknown key 'tasks.mine.modle'. Did you mean 'model'?"),
        ("data.crop={lenght=3}", "Unknown key 'data.crop.lenght'. Did you mean 'length'?"),
        ("compute.xyz=1", "Unknown key 'compute.xyz'. Known here: device, dtype, micro_batch, threads."),
        ("tril.x=3", "Unknown key 'tril'. Did you mean 'trial'?"),
        ("data.crop='nne'", "data.crop: expected a table or 'none', got 'nne'."),
        ("data.crop.anchor='left'", "The key 'data.crop.length' is missing."),
        (
            "trial.counts=[0, 'al']",
            "trial.counts[1]: expected a whole number or 'all' or a share such as '10%', got 'al'.",
        ),
        ("trial.counts=[-1]", "trial.counts[0]: expected at least 0 or 'all' or a share such as '10%', got -1."),
        ("trial.draws='5'", "trial.draws: expected a whole number, got '5'."),
        ("trial.draws=0", "trial.draws: expected more than 0, got 0."),
        ("trial.draws=true", "trial.draws: expected a whole number, got True."),
        ("data.per_class=1.5", "data.per_class: expected a whole number, got 1.5."),
        ("data.drop_n=1", "data.drop_n: expected true or false, got 1."),
        ("compute.dtype='f16'", "compute.dtype: expected 'float32' or 'float64', got 'f16'."),
        ("compute.device=0", "compute.device: expected text in quotes, got 0."),
        ("compute=3", "compute: expected a table, got 3."),
        ("attribution.methods='lrp'", "attribution.methods: expected a list, got 'lrp'."),
        ("attribution.methods=[]", "attribution.methods: expected at least 1 of them, got []."),
        ("tasks.'../up'.model='x'", "tasks.../up: expected a name of letters, digits, '.', '_', '-', got '../up'."),
        ("tasks.mine.finetune={}", "tasks.mine: give either the key 'model', or a table 'finetune'"),
        ("tasks.other.title='x'", "tasks.other: give either the key 'model', or a table 'finetune'"),
    ],
)
def test_what_is_wrong_is_named_with_its_key(override: str, message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        config(override)
    assert str(caught.value).startswith(message)
    assert "\n" not in str(caught.value)


def test_unknown_keys_come_before_wrong_values() -> None:
    with pytest.raises(ConfigError, match=r"Unknown key 'trial\.ordr'"):
        config("trial={draws='five', ordr='morf'}")


@pytest.mark.parametrize("override", ["seed", "=3", "a b=3", "seed=", "trial..x=3"])
def test_an_override_is_key_and_value(override: str) -> None:
    with pytest.raises(ConfigError, match=r"--set .* expected KEY=VALUE"):
        parse_override(override)


def test_overrides_are_toml_and_bare_words_are_text() -> None:
    assert parse_override("training.learning_rate=1e-4") == {"training": {"learning_rate": 1e-4}}
    assert parse_override("trial.counts=[0, 'all']") == {"trial": {"counts": [0, "all"]}}
    assert parse_override("compute.device=cuda:1") == {"compute": {"device": "cuda:1"}}
    assert parse_override('title=a "b"') == {"title": 'a "b"'}


def test_a_merge_goes_table_by_table() -> None:
    tree = {"a": {"b": 1, "c": 2}, "d": {"e": 3}}
    merge(tree, {"a": {"b": 5}, "d": "none"})
    assert tree == {"a": {"b": 5, "c": 2}, "d": "none"}


@pytest.mark.parametrize(
    ("content", "message"),
    [(b"seed = ", "is not TOML"), (b"\xff\xfe", "is not TOML"), (None, "There is no config file")],
)
def test_a_file_that_is_no_toml(tmp_path: Path, content: bytes | None, message: str) -> None:
    if content is not None:
        (tmp_path / "x.toml").write_bytes(content)
    with pytest.raises(ConfigError, match=message):
        read_toml(tmp_path / "x.toml")


def test_a_byte_order_mark_is_passed_over(tmp_path: Path) -> None:
    path = tmp_path / "my.toml"
    path.write_bytes(b"\xef\xbb\xbf" + b"draws = 3")
    assert read_toml(path) == {"draws": 3}


def test_overrides_are_applied_in_order(tmp_path: Path) -> None:
    (tmp_path / "x.toml").write_text("seed = 1\n[trial]\nreplicates = 2\n")
    tree = read_toml(tmp_path / "x.toml", ["seed=2", "seed=3", "trial.random_sets=4"])
    assert tree == {"seed": 3, "trial": {"replicates": 2, "random_sets": 4}}


@pytest.mark.parametrize("long", ["x" * 3000, "lr p " * 600])
def test_what_a_user_wrote_at_length_is_cut_in_messages(tmp_path: Path, long: str) -> None:
    for text in (f'[tasks.mine]\n"{long}" = 1\n', f'[tasks.mine]\nmodel = "b"\n[compute]\ndtype = "{long}"\n'):
        (tmp_path / "run.toml").write_text(text)
        with pytest.raises(ConfigError) as caught:
            load_config(tmp_path / "run.toml")
        assert len(str(caught.value)) < 700
    assert len(str(UnknownName("method", long, ["lrp"]))) < 200
    known = ", ".join(f"name{i}" for i in range(100))
    assert str(ConfigError(f"Unknown 'x'. Known: {known}; or 'y'.")) == f"Unknown 'x'. Known: {known}; or 'y'."


class Leaf(Table):
    size: PositiveInt = 1


class Tree(Table):
    leaf: Leaf = Leaf()
    leaves: list[Leaf] = Field([])
    named: dict[str, Leaf] = Field({})
    counts: Several[int] = ()


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"leaf": {"sise": 1}}, "Unknown key 'leaf.sise'. Did you mean 'size'?"),
        ({"leaves": [{}, {"sise": 1}]}, "Unknown key 'leaves[1].sise'. Did you mean 'size'?"),
        ({"named": {"a": {"sise": 1}}}, "Unknown key 'named.a.sise'. Did you mean 'size'?"),
        ({"leaf": {"size": 0}}, "leaf.size: expected more than 0, got 0."),
        ({"counts": (1, "2")}, "counts[1]: expected a whole number, got '2'."),
        ({"counts": 1}, "counts: expected a list, got 1."),
    ],
)
def test_a_table_made_in_python_is_checked_as_one_from_a_file(values: dict[str, Any], message: str) -> None:
    for make in (lambda: Tree(**values), lambda: Tree.parse(values)):
        with pytest.raises(ConfigError) as caught:
            make()
        assert str(caught.value) == message


def test_lists_become_tuples_and_tables_are_frozen() -> None:
    tree = Tree.parse({"counts": [1, 2], "leaf": {"size": 3}})
    assert tree == Tree(counts=(1, 2), leaf=Leaf(size=3))
    with pytest.raises(ValidationError):
        tree.leaf.size = 5  # type: ignore[misc]


def test_every_config_is_a_table() -> None:
    """One base and one checker; what is read of result files and of models' cards is no config."""
    bases = {
        path.relative_to(SOURCE).as_posix()
        for path in SOURCE.rglob("*.py")
        if "(BaseModel" in path.read_text(encoding="utf-8")
    }
    assert bases - {"report/load.py", "runs/model_card.py"} == {"config.py"}
