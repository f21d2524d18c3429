"""Networks: the sparse decoder equals the full one, encoders pass from stage to stage, folders open elsewhere."""

import json

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from torch import nn
from transformers import AutoModelForSequenceClassification, AutoTokenizer, BertForMaskedLM, GPT2Config, GPT2Model

from helpers.training_data import TINY, random_strings
from kmerit.errors import CheckpointError
from kmerit.models.model import load_model
from kmerit.models.tokenizers import SPECIAL, token_ids, vocabulary
from kmerit.sequences import Sequences
from kmerit.training.data import IGNORED
from kmerit.training.learner import classifier, compose_embeddings, kmer_length, masked_model, publish
from kmerit.training.recipe import FinetuneConfig, PretrainConfig

SHAPE = PretrainConfig(**TINY, crop_lengths=[30])


@pytest.fixture
def encoder(tmp_path):
    folder = tmp_path / "encoder"
    publish(masked_model(SHAPE), folder, 3, {"stage": "pretrain"})
    return folder


def test_decoding_masked_tokens_only_gives_the_full_models_loss() -> None:
    model = masked_model(SHAPE).eval()
    ids = torch.randint(5, 69, (4, 20), generator=torch.Generator().manual_seed(0))
    labels = torch.where(torch.arange(20) % 3 == 0, ids, IGNORED)
    full = BertForMaskedLM(model.config).eval()
    full.load_state_dict(model.state_dict())
    sparse, whole = model(ids, labels), full(input_ids=ids, labels=labels)
    assert sparse.loss.item() == pytest.approx(whole.loss.item(), abs=1e-5)
    assert torch.allclose(sparse.logits, whole.logits[labels != IGNORED], atol=1e-5)
    sparse.loss.backward()
    whole.loss.backward()
    pairs = zip(model.parameters(), full.parameters(), strict=True)
    assert all(torch.allclose(a.grad, b.grad, atol=1e-5) for a, b in pairs)


def test_a_batch_without_masks_has_loss_zero() -> None:
    loss = masked_model(SHAPE)(torch.full((2, 9), 7), torch.full((2, 9), IGNORED)).loss
    loss.backward()
    assert loss.item() == 0


def test_new_weights_follow_from_the_seed() -> None:
    one, again, other = (masked_model(SHAPE.model_copy(update={"seed": seed})) for seed in (1, 1, 2))
    weights = [model.bert.encoder.layer[0].output.dense.weight for model in (one, again, other)]
    assert torch.equal(weights[0], weights[1])
    assert not torch.equal(weights[0], weights[2])


def test_composed_embeddings_are_alike_where_kmers_are() -> None:
    table = nn.Embedding(4**4 + 5, 64).weight
    special = table[:5].detach().clone()
    compose_embeddings(table, 4, seed=0)
    tokens = vocabulary(4)

    def alike(a: str, b: str) -> float:
        pair = table.detach()[[tokens.index(a), tokens.index(b)]]
        return float(torch.cosine_similarity(pair[0], pair[1], dim=0))

    assert alike("ACGT", "ACGA") > 0.3 > alike("ACGT", "GTAC")
    assert table.detach()[5:].std().item() == pytest.approx(0.04, rel=0.05)
    assert torch.equal(table.detach()[:5], special)


def test_an_encoder_passes_into_a_classifier_with_a_new_head(encoder) -> None:
    config = FinetuneConfig(base=str(encoder), device="cpu")
    model, k = classifier(config, ("no", "yes", "perhaps"))
    assert k == 3
    assert model.config.id2label == {0: "no", 1: "yes", 2: "perhaps"}
    before, after = load_file(encoder / "model.safetensors"), model.state_dict()
    shared = [name for name in before if name.startswith("bert.")]
    assert len(shared) > 15
    assert all(torch.equal(before[name], after[name]) for name in shared)
    again, _ = classifier(config, ("no", "yes", "perhaps"))
    assert all(torch.equal(after[name], value) for name, value in again.state_dict().items())


def test_a_warmed_up_classifier_gives_its_pooler_but_not_its_head(tmp_path) -> None:
    first, _ = classifier(FinetuneConfig(**TINY, seed=1), ("a", "b"))
    publish(first, tmp_path, 3, {})
    second, _ = classifier(FinetuneConfig(base=str(tmp_path), seed=2), ("c", "d"))
    assert torch.equal(first.bert.pooler.dense.weight, second.bert.pooler.dense.weight)
    assert not torch.equal(first.classifier.weight, second.classifier.weight)


def test_pre_training_goes_on_from_a_checkpoint(encoder) -> None:
    model = masked_model(SHAPE.model_copy(update={"base": str(encoder), "seed": 9}))
    stored = load_file(encoder / "model.safetensors")
    assert torch.equal(model.bert.embeddings.word_embeddings.weight, stored["bert.embeddings.word_embeddings.weight"])
    with pytest.raises(CheckpointError, match="4-mers"):
        masked_model(PretrainConfig(base=str(encoder), k=4))


def test_a_published_folder_opens_in_transformers_and_here(tmp_path) -> None:
    model, _ = classifier(FinetuneConfig(**TINY), ("background", "signal"))
    publish(model.eval(), tmp_path, 3, {"task": "toy"})
    config = json.loads((tmp_path / "config.json").read_text())
    assert config["architectures"] == ["BertForSequenceClassification"]
    assert config["kmerit"] == {"k": 3, "task": "toy"}
    sequences = Sequences.from_strings(random_strings(3, 30, seed=0))
    ids = token_ids(*sequences.padded(), 3).ids
    tokenizer = AutoTokenizer.from_pretrained(tmp_path)
    words = [" ".join(text[i : i + 3] for i in range(28)) for text in sequences.strings()]
    assert np.array_equal(tokenizer(words)["input_ids"], ids)
    theirs = AutoModelForSequenceClassification.from_pretrained(tmp_path).eval()(torch.from_numpy(ids)).logits
    assert np.allclose(theirs.detach(), load_model(tmp_path, device="cpu").logits(sequences), atol=1e-5)


def test_half_precision_folders_load_in_single_precision(tmp_path) -> None:
    model, _ = classifier(FinetuneConfig(**TINY), ("a", "b"))
    publish(model, tmp_path, 3, {}, torch.float16)
    stored = load_file(tmp_path / "model.safetensors")
    assert {tensor.dtype for tensor in stored.values()} == {torch.float16}
    loaded = load_model(tmp_path, device="cpu")
    assert loaded.dtype == torch.float32
    logits = loaded.logits(Sequences.from_strings(random_strings(2, 30, seed=0)))
    assert logits.dtype == np.float32


def test_a_half_precision_encoder_is_trained_in_single_precision(encoder) -> None:
    config = FinetuneConfig(**TINY)
    half = encoder.with_name("half")
    publish(classifier(config, ("a", "b"))[0], half, 3, {}, torch.float16)
    again, _ = classifier(config.model_copy(update={"base": str(half)}), ("a", "b"))
    masked = masked_model(SHAPE.model_copy(update={"base": str(half)}))
    for model in (again, masked):
        assert {parameter.dtype for parameter in model.parameters()} == {torch.float32}


@pytest.mark.parametrize("k", [3, 4, 5, 6])
def test_k_follows_from_the_vocabulary(k) -> None:
    assert kmer_length(4**k + len(SPECIAL), "a model") == k


def test_other_vocabularies_are_refused() -> None:
    with pytest.raises(CheckpointError, match="30522"):
        kmer_length(30522, "bert-base")


def test_a_truncated_checkpoint_is_refused(encoder) -> None:
    weights = encoder / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-1000])
    with pytest.raises(CheckpointError, match="truncated"):
        classifier(FinetuneConfig(base=str(encoder)), ("a", "b"))


def test_another_architecture_is_refused(tmp_path) -> None:
    GPT2Model(GPT2Config(vocab_size=69, n_embd=8, n_layer=1, n_head=1, n_positions=16)).save_pretrained(tmp_path)
    with pytest.raises(CheckpointError, match="expected a BERT"):
        masked_model(PretrainConfig(base=str(tmp_path), k=3))


def test_missing_tensors_are_refused(encoder) -> None:
    from safetensors.torch import save_file

    weights = load_file(encoder / "model.safetensors")
    weights.pop("bert.encoder.layer.0.output.dense.weight")
    save_file(weights, encoder / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(CheckpointError, match="missing"):
        classifier(FinetuneConfig(base=str(encoder)), ("a", "b"))
