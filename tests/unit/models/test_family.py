"""Which family a checkpoint belongs to, and what is refused."""

from __future__ import annotations

import json
import shutil
import textwrap
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

import kmerit as km
from helpers.checkpoints import REFERENCE, change_config, random_strings, write_bpe, write_library
from kmerit.errors import CheckpointError, LengthError, SequenceError
from kmerit.io.scores import read_attributions
from kmerit.models.checkpoint import read
from kmerit.models.family import Family, families


@pytest.fixture(scope="module")
def bert(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """BERT over BPE."""
    return write_library(tmp_path_factory.mktemp("bert"), "bert")


@pytest.fixture
def spoil(tmp_path: Path, bert: Path) -> Callable[[str], Path]:
    """Copy a checkpoint to spoil it."""

    def copy(name: str) -> Path:
        return Path(shutil.copytree(bert if name == "bert" else REFERENCE / name, tmp_path / name))

    return copy


def change_tensors(folder: Path, change: Callable[[dict[str, torch.Tensor]], object]) -> None:
    tensors = load_file(folder / "model.safetensors")
    change(tensors)
    save_file(tensors, folder / "model.safetensors")


def drop_head(folder: Path) -> None:
    tensors = load_file(folder / "model.safetensors")
    kept = {key: value for key, value in tensors.items() if not key.startswith("classifier")}
    save_file(kept, folder / "model.safetensors")


NT, D2 = "nucleotide_transformer_v2", "dnabert2"
SPOILT: dict[str, tuple[str, Callable[[Path], object], str]] = {
    "no tokenizer file": (
        "bert",
        lambda f: (f / "tokenizer.json").unlink(),
        r"no tokenizer file\. Expected",
    ),
    "no tokenizer file beside MosaicBERT": (D2, lambda f: (f / "tokenizer.json").unlink(), "no tokenizer file"),
    "broken tokenizer": ("bert", lambda f: (f / "tokenizer.json").write_text("{}"), "not readable as a tokeniser"),
    "a larger tokenizer": ("bert", lambda f: write_bpe(f, 80), r"tokens up to 79; the model has 40 embeddings"),
    "no [CLS] first": (D2, lambda f: without_ends(f / "tokenizer.json"), r"puts no \[CLS\] first"),
    "a tokenizer that drops G": (
        "bert",
        lambda f: dropping(f / "tokenizer.json"),
        "under no token, or under two",
    ),
    "a template that names a token which is not there": (
        "bert",
        lambda f: templated(f / "tokenizer.json"),
        "tokenizer.json: The tokeniser cannot tokenise DNA .*no entry found",
    ),
    "a config nested too deeply": (
        "bert",
        lambda f: (f / "config.json").write_text('{"x": ' + "[" * 100_000),
        "config.json: not valid JSON .*recursion",
    ),
    "a number beyond all numbers": (
        D2,
        lambda f: (f / "config.json").write_text((f / "config.json").read_text().replace("1e-12", "1" + "0" * 400)),
        r"positive number as 'layer_norm_eps'.*00\.\.\.\(402 characters\)",
    ),
    "words without a tokenizer.json": ("bert", lambda f: words(f, "ACG"), r"'ACG', which is not a single letter"),
    "letters without [SEP]": ("bert", lambda f: words(f), r"vocab.txt: lacks \[SEP\]"),
    "a size missing": (
        D2,
        lambda f: change_config(f, num_attention_heads=None),
        "whole number as 'num_attention_heads'",
    ),
    "no padding token": (NT, lambda f: change_config(f, pad_token_id=None), "pad_token_id is None"),
    "headless": (D2, drop_head, r"no classification head.*with transformers"),
    "headless ESM": (NT, drop_head, r"no classification head.*with transformers"),
    "another vocabulary": (
        NT,
        lambda f: (f / "vocab.txt").write_text("A C G T"),
        "Nucleotide Transformer's 3-mers",
    ),
    "another order of the special tokens": (NT, lambda f: swapped(f / "vocab.txt"), r"pad_token_id is 1 .* at 2"),
    "other positions": (NT, lambda f: change_config(f, position_embedding_type="relative_key"), "'relative_key'"),
    "ESM that is MosaicBERT": (
        D2,
        lambda f: change_config(f, model_type="esm", vocab_size=75, pad_token_id=1, mask_token_id=2),
        "found none of that",
    ),
    "MosaicBERT of another width": (D2, lambda f: change_config(f, hidden_size=30), "config.json makes"),
    "a bias that would be repeated for every class": (
        D2,
        lambda f: change_tensors(f, lambda t: t.update({"classifier.bias": t["classifier.bias"][:1].clone()})),
        r"makes 'classifier.bias' \[3\], the weights make it \[1\]",
    ),
    "sparse attention": ("gena_lm", lambda f: change_config(f, sparse_attention={"block": 64}), "attention is sparse"),
    "another activation": (D2, lambda f: change_config(f, hidden_act="relu"), "'relu'"),
    "NaN": (
        NT,
        lambda f: change_tensors(f, lambda t: t["esm.encoder.layer.1.output.dense.weight"].fill_(torch.nan)),
        "layer.1.output.dense.weight.*NaN",
    ),
}


def without_ends(file: Path) -> None:
    file.write_text(json.dumps(json.loads(file.read_text()) | {"post_processor": None}))


def templated(file: Path) -> None:
    tree = json.loads(file.read_text())
    template = [{"SpecialToken": {"id": "[GONE]", "type_id": 0}}, {"Sequence": {"id": "A", "type_id": 0}}]
    end = {"type": "TemplateProcessing", "single": template, "pair": template, "special_tokens": {}}
    file.write_text(json.dumps(tree | {"post_processor": end}))


def dropping(file: Path) -> None:
    split = {"type": "Split", "pattern": {"String": "G"}, "behavior": "Removed", "invert": False}
    file.write_text(json.dumps(json.loads(file.read_text()) | {"pre_tokenizer": split}))


def words(folder: Path, *more: str) -> None:
    (folder / "tokenizer.json").unlink()
    ends = ["[SEP]"] if more else []
    (folder / "vocab.txt").write_text("\n".join(["[PAD]", "[UNK]", "[CLS]", *ends, *"ACGT", *more]))


def swapped(file: Path) -> None:
    file.write_text(file.read_text().replace("<pad>", "x").replace("<mask>", "<pad>").replace("x", "<mask>"))


@pytest.mark.parametrize("fault", SPOILT)
def test_what_does_not_fit_is_refused(fault: str, spoil: Callable[[str], Path]) -> None:
    name, spoiler, message = SPOILT[fault]
    folder = spoil(name)
    spoiler(folder)
    with pytest.raises(CheckpointError, match=message) as caught:
        km.load_model(folder)
    assert str(caught.value).count("\n") <= 1


def test_the_narrowest_family_is_taken(bert: Path, tiny_checkpoint: Path) -> None:
    fitting = {name: family.breadth for name, family in families().items()}
    bert_like = {"dnabert", "dnabert2", "llama", "modernbert", "nucleotide_transformer"}
    lines = bert_like | {"borzoi", "caduceus", "enformer", "hyenadna"}
    assert fitting == {"bert": 1, "huggingface": 2} | dict.fromkeys(lines, 0)
    assert km.load_model(tiny_checkpoint).family == "dnabert"
    assert km.load_model(bert).family == "bert"


def test_bpe_with_as_many_tokens_as_dnabert_is_no_dnabert(tmp_path: Path) -> None:
    """69 tokens are those of DNABERT-3, or 69 others: the tokeniser tells."""
    folder = write_library(tmp_path, "bert", vocab_size=69)
    assert km.load_model(folder).family == "bert"
    (folder / "tokenizer.json").unlink()
    assert km.load_model(folder).family == "dnabert"


def test_a_character_vocabulary(tmp_path: Path) -> None:
    folder = write_library(tmp_path, "bert")
    (folder / "tokenizer.json").unlink()
    (folder / "vocab.txt").write_text("\n".join(["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *"ACGTN"]))
    model = km.load_model(folder)
    tokens = model.tokenize(*km.Sequences.from_strings(["ACGTN", "TT"]).padded())
    assert tokens.ids.tolist() == [[2, 5, 6, 7, 8, 9, 3], [2, 8, 8, 3, 0, 0, 0]]
    assert tokens.spans[0, 1:6].tolist() == [[i, i + 1] for i in range(5)]


def test_letters_that_the_vocabulary_lacks(bert: Path, tmp_path: Path) -> None:
    model = km.load_model(bert)
    with pytest.raises(SequenceError, match=r"'seq1' has an N at position 4; bert .*unknown token.*--drop-n"):
        model.predict(km.Sequences.from_strings(["ACGT", "ACGTN"]))
    poor = km.load_model(write_library(tmp_path, "bert", letters="ACG"))
    with pytest.raises(SequenceError, match=r"'seq0' has a T at position 3.*vocabulary for DNA\?"):
        poor.predict(km.Sequences.from_strings(["ACGT"]))
    with pytest.raises(SequenceError, match="Sequence 1 of this batch has letters without a token, from position 2"):
        poor.tokenize(*km.Sequences.from_strings(["ACG", "GGT"]).padded())


def test_letters_that_the_vocabulary_drops(bert: Path, tmp_path: Path) -> None:
    """A tokeniser without an unknown token leaves them out."""
    folder = Path(shutil.copytree(bert, tmp_path / "dropping"))
    message = json.loads((folder / "tokenizer.json").read_text())
    message["model"]["unk_token"] = None
    (folder / "tokenizer.json").write_text(json.dumps(message))
    model = km.load_model(folder)
    with pytest.raises(SequenceError, match=r"'seq1' has an N at position 2; bert would see an unknown token there"):
        model.predict(km.Sequences.from_strings(["ACGT", "ACNGTN"]))
    with pytest.raises(CheckpointError, match=r"puts nucleotides of ACNGT\.\.\. under no token"):
        model.tokenize(*km.Sequences.from_strings(["ACGTTT", "ACNGT"]).padded())


@pytest.mark.parametrize(
    ("name", "length", "message"),
    [
        ("dnabert2", 400, r"'seq0' gives \d+ tokens; dnabert2 allows 62 plus 2 special\. Crop"),
        ("nucleotide_transformer_v1", 144, r"'seq0' gives 48 tokens; nucleotide_transformer allows 47 plus 1 special"),
        ("nucleotide_transformer_v2", 144, r"'seq0' gives 48 tokens; nucleotide_transformer allows 47 plus 1 special"),
    ],
)
def test_more_tokens_than_positions(name: str, length: int, message: str) -> None:
    model = km.load_model(REFERENCE / name)
    with pytest.raises(LengthError, match=message):
        model.predict(km.Sequences.from_strings(random_strings([length])))


POSITIONS = "bert.embeddings.position_embeddings.weight"


def test_a_mutant_with_more_tokens_than_its_sequence(bert: Path, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(bert, tmp_path / "short"))
    change_tensors(folder, lambda t: t.update({POSITIONS: t[POSITIONS][:11].clone()}))
    change_config(folder, max_position_embeddings=11)
    model = km.load_model(folder)
    many = km.Sequences.from_strings(random_strings([24] * 400))
    tokens = model.tokenizer.survey(many).tokens
    sequences = many.take(tokens <= 11)
    assert 3 < len(sequences) < len(many)
    scores = km.attribute(model, sequences, ["random"])
    with pytest.raises(LengthError, match=r"\.\.\. gives \d+ tokens; bert allows 9 plus 2 special\. Crop"):
        km.mutate(model, sequences, scores, counts=[12], replicates=2)


def test_nucleotide_transformer_has_a_token_for_n() -> None:
    model = km.load_model(REFERENCE / "nucleotide_transformer_v2")
    assert model.predict(km.Sequences.from_strings(["ACGNACGT"])).shape == (1, 2)


def test_eos_is_added_where_the_tokeniser_says_so(spoil: Callable[[str], Path]) -> None:
    folder = spoil("nucleotide_transformer_v2")
    bare = km.load_model(folder).tokenize(*km.Sequences.from_strings(["ACGT"]).padded())
    (folder / "tokenizer_config.json").write_text(json.dumps({"eos_token": "<eos>"}))
    closed = km.load_model(folder).tokenize(*km.Sequences.from_strings(["ACGT"]).padded())
    assert closed.ids[0].tolist() == [*bare.ids[0].tolist(), 4]


def test_the_how_to_is_literally_true(make_checkpoint: Callable[..., Path]) -> None:
    how_to = (Path(__file__).resolve().parents[3] / "docs" / "how-to" / "add-a-family.md").read_text(encoding="utf-8")
    code = how_to.split("   ```python\n")[1].split("   ```\n")[0]
    product: dict[str, object] = {}
    exec(textwrap.dedent(code), product)
    family, checkpoint = product["FAMILY"], read(make_checkpoint(k=2))
    assert isinstance(family, Family)
    assert family.fits(checkpoint)
    assert family.breadth < families()["bert"].breadth
    parts = family.build(checkpoint)
    tokens = parts.tokenizer(*km.Sequences.from_strings(["ACGT"]).padded())
    assert tokens.spans[0].tolist() == [[0, 0], [0, 2], [1, 3], [2, 4], [0, 0]]
    assert parts.encoder.logits(torch.from_numpy(tokens.ids), torch.from_numpy(tokens.mask)).shape == (1, 2)


def test_scores_of_tokens_to_a_file(bert: Path, tmp_path: Path) -> None:
    """Their number follows from how each sequence is cut."""
    model = km.load_model(bert, micro_batch=2)
    sequences = km.Sequences.from_strings(random_strings([40, 17, 3, 60, 22]))
    in_memory = km.attribute(model, sequences, ["lrp", "saliency"], level="token")
    path = km.attribute(model, sequences, ["lrp", "saliency"], level="token", out=tmp_path / "scores.parquet")
    for name, attribution in read_attributions(path).items():
        assert np.array_equal(attribution.scores, in_memory[name].scores, equal_nan=True)
    counts = model.tokenizer.survey(sequences).tokens
    assert np.isfinite(in_memory["lrp"].scores).sum(1).tolist() == counts.tolist()


@pytest.mark.parametrize("order", ["ATCG", "ACGT"])
def test_a_tokenizer_of_k_mers_numbers_them_as_the_model_does(tmp_path: Path, order: str) -> None:
    from itertools import product

    from tokenizers import Tokenizer, models, pre_tokenizers

    from helpers.checkpoints import write_tiny

    folder = write_tiny(tmp_path / "model", k=3)
    words = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *map("".join, product(order, repeat=3))]
    backend = Tokenizer(models.WordLevel({word: i for i, word in enumerate(words)}, unk_token="[UNK]"))
    backend.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    backend.save(str(folder / "tokenizer.json"))
    if order == "ATCG":
        assert km.load_model(folder).family == "dnabert"
    else:
        with pytest.raises(CheckpointError, match=r"tokenizer\.json: expected 'AAT' as number 6, found 8"):
            km.load_model(folder)


def test_a_model_that_cannot_be_run_from_its_embeddings_is_refused(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="IBertForSequenceClassification cannot be run from its embeddings"):
        km.load_model(write_library(tmp_path / "ibert", "ibert"))


def test_what_transformers_cannot_make_of_a_config_is_refused(tmp_path: Path) -> None:
    folder = write_library(tmp_path / "roberta", "roberta")
    change_config(folder, dtype="relu")
    with pytest.raises(CheckpointError, match="transformers cannot load it"):
        km.load_model(folder)
