"""The page on families says which method serves which: as a model of each family says it."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

import kmerit as km
from helpers.checkpoints import REFERENCE, write_library
from kmerit.attribution.method import methods
from kmerit.models.family import families

PAGE = Path(__file__).parents[2] / "docs" / "families.md"
FOLDERS = {
    "dnabert": "bundled:promoter",
    "nucleotide_transformer": REFERENCE / "nucleotide_transformer_v2",
    "dnabert2": REFERENCE / "dnabert2",
    "bert": REFERENCE / "gena_lm",
    "hyenadna": REFERENCE / "hyenadna",
    "caduceus": REFERENCE / "caduceus_ps",
    "borzoi": REFERENCE.parent / "tracks" / "borzoi",
    "enformer": REFERENCE.parent / "tracks" / "enformer",
}
LIBRARY: dict[str, tuple[str, dict[str, Any]]] = {
    "modernbert": (
        "modernbert",
        {"local_attention": 8, "cls_token_id": 1, "sep_token_id": 2, "bos_token_id": 1, "eos_token_id": 2},
    ),
    "llama": ("llama", {"num_key_value_heads": 2}),
    "huggingface": ("distilbert", {"dim": 16, "n_layers": 2, "n_heads": 4, "hidden_dim": 24}),
}


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> dict[str, km.Model]:
    """One of each family, its head where published ones have it: ModernBERT's at [CLS]."""
    result = {name: km.load_model(folder) for name, folder in FOLDERS.items()}
    for name, (kind, changes) in LIBRARY.items():
        result[name] = km.load_model(write_library(tmp_path_factory.mktemp(name), kind, **changes))
    return result


def table(models: dict[str, km.Model]) -> str:
    """Lay out which methods, at their defaults, each family serves."""
    lines = [f"| method | {' | '.join(f'`{name}`' for name in models)} |", f"|---|{'---|' * len(models)}"]
    for name, method in methods().items():
        needs = method.asks_for(method.complete({}))
        cells = ["yes" if needs <= model.abilities else "" for model in models.values()]
        lines.append(f"| `{name}` | {' | '.join(cells)} |".replace("|  |", "| |").replace("|  |", "| |"))
    return "\n".join(lines)


def test_every_family_is_in_the_table(models: dict[str, km.Model]) -> None:
    assert set(models) == set(families())
    assert {name: model.family for name, model in models.items()} == {name: name for name in models}


def test_the_table_is_what_the_models_say(models: dict[str, km.Model]) -> None:
    written = re.search(r"^\| method \|.*?(?=\n\n)", PAGE.read_text(encoding="utf-8"), re.M | re.S)
    assert written is not None
    assert written[0] == table(models)
