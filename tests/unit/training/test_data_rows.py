"""Rows are functions of their number; crops, strands and masks are what the config says."""

import numpy as np
import pytest
import torch

from helpers.training_data import labelled, random_strings
from kmerit.errors import LabelError, SequenceError
from kmerit.io.crops import Crop
from kmerit.models.tokenizers import CLS, MASK, PAD, SEP, UNK, token_ids
from kmerit.sequences import Sequences, reverse_complement
from kmerit.training.convolutional import letters
from kmerit.training.data import IGNORED, LabelledRows, MaskedCrops, mask_spans
from kmerit.training.recipe import FinetuneConfig, PretrainConfig

IDS = np.full((50, 402), 100, dtype=np.int64)
IDS[:, 0], IDS[:, -1] = CLS, SEP


def generators(rows: int = 50) -> list[np.random.Generator]:
    return [np.random.default_rng((7, row)) for row in range(rows)]


def same(a, b) -> bool:
    return a.keys() == b.keys() and all(torch.equal(a[key], b[key]) for key in a)


def test_a_batch_of_crops_depends_on_its_rows_alone() -> None:
    records = Sequences.from_strings(random_strings(3, 200, seed=0))
    config = PretrainConfig(k=3, crop_lengths=[30, 40])
    first, second = (MaskedCrops(records, config, rows, 5) for rows in (100, 1000))
    assert same(first.__getitems__([7, 8, 9]), second.__getitems__([7, 8, 9]))
    assert torch.equal(first.__getitems__([7, 8])["labels"][1], first.__getitems__([7, 8, 9])["labels"][1])
    assert not same(first[7], MaskedCrops(records, config, 100, 6)[7])


def test_crops_come_from_the_corpus_on_both_strands_and_avoid_n() -> None:
    text = random_strings(1, 80, seed=1)[0] + "N" + random_strings(1, 80, seed=2)[0]
    records = Sequences.from_strings([text, "ACG"])
    data = MaskedCrops(records, PretrainConfig(k=3, crop_lengths=[20], mask_share=0), 60, 0)
    whole = next(records.rows())
    known = {
        token_ids(piece[None], np.array([20]), 3).ids.tobytes()
        for start in range(len(text) - 19)
        for piece in (whole[start : start + 20], reverse_complement(whole[start : start + 20]))
        if 4 not in piece
    }
    crops = [data[row]["input_ids"].numpy() for row in range(60)]
    assert all(crop.tobytes() in known for crop in crops)
    assert len({crop.tobytes() for crop in crops}) > 40


def test_crop_lengths_are_all_used() -> None:
    data = MaskedCrops(
        Sequences.from_strings(random_strings(1, 99, seed=0)), PretrainConfig(k=3, crop_lengths=[20, 30]), 40, 0
    )
    assert {data[row]["input_ids"].shape[1] for row in range(40)} == {20, 30}


def test_a_corpus_of_short_records_is_refused() -> None:
    with pytest.raises(SequenceError, match="200 nt"):
        MaskedCrops(Sequences.from_strings(["ACGT"]), PretrainConfig(), 1, 0)


def test_masks_cover_their_share_in_spans() -> None:
    shown, expected = mask_spans(IDS, PretrainConfig(mask_share=0.12, hide=1, replace=0), generators())
    chosen = expected != IGNORED
    assert chosen[:, 1:-1].mean() == pytest.approx(0.12 * 0.94, abs=0.02)  # spans overlap now and then
    assert ((shown == MASK) == chosen).all()
    inner = chosen[:, 7:-7].astype(int)
    starts = np.argwhere((inner[:, 1:-30] == 1) & (inner[:, :-31] == 0))
    assert all(inner[row, column + 1 : column + 7].all() for row, column in starts)


def test_special_and_unknown_tokens_are_never_restored() -> None:
    ids = IDS.copy()
    ids[:, 10:20] = UNK
    shown, expected = mask_spans(ids, PretrainConfig(mask_share=0.9), generators())
    special = (ids == CLS) | (ids == SEP) | (ids == UNK)
    assert (expected[special] == IGNORED).all()
    assert (shown[special] == ids[special]).all()


def test_restored_tokens_are_hidden_replaced_and_shown_in_their_shares() -> None:
    shown, expected = mask_spans(IDS, PretrainConfig(mask_share=0.5, hide=0.6, replace=0.3), generators())
    chosen = expected != IGNORED
    assert (expected[chosen] == 100).all()
    assert (shown[chosen] == MASK).mean() == pytest.approx(0.6, abs=0.03)
    assert (shown[chosen] == 100).mean() == pytest.approx(0.1, abs=0.02)
    assert shown[chosen].min() >= MASK
    assert (shown[~chosen] == IDS[~chosen]).all()


def rows_of(config: FinetuneConfig, sequences: Sequences, crop: Crop | None, epochs: float = 1.0) -> LabelledRows:
    return LabelledRows(sequences, config, 3, crop, epochs)


def test_every_row_comes_once_an_epoch_in_a_new_order() -> None:
    sequences = labelled(50, seed=0)
    data = rows_of(FinetuneConfig(), sequences, None, epochs=2)
    assert len(data) == 100
    whole = token_ids(*sequences.padded(), 3).ids
    epochs = [[data[row]["input_ids"].numpy()[0].tolist() for row in range(start, start + 50)] for start in (0, 50)]
    assert sorted(epochs[0]) == sorted(epochs[1]) == sorted(whole.tolist())
    assert epochs[0] != epochs[1]


def test_validation_rows_are_in_order_cropped_and_untouched() -> None:
    sequences = labelled(20, seed=0)
    config = FinetuneConfig(jitter=5, reverse_complement=1.0, hidden_tokens=0.5)
    batch = rows_of(config, sequences, Crop(40, "right"), epochs=0).__getitems__(list(range(20)))
    bases = np.stack([part[-40:] for part in sequences.rows()])
    assert np.array_equal(batch["input_ids"], token_ids(bases, np.full(20, 40), 3).ids)
    assert batch["labels"].tolist() == sequences.labels.tolist()


@pytest.mark.parametrize(
    ("anchor", "jitter", "starts"),
    [("left", 4, range(5)), ("right", 3, range(7, 11)), ("center", 2, range(3, 8)), ("left", 99, range(11))],
)
def test_jitter_moves_the_crop_within_its_sequence(anchor, jitter, starts) -> None:
    sequences = Sequences.from_strings(random_strings(1, 30, seed=3), labels=[1])
    (whole,) = sequences.rows()
    data = rows_of(FinetuneConfig(jitter=jitter), sequences, Crop(20, anchor), epochs=300)
    known = {token_ids(whole[None, s : s + 20], np.array([20]), 3).ids.tobytes(): s for s in range(11)}
    assert {known[data[row]["input_ids"].numpy().tobytes()] for row in range(300)} == set(starts)


def test_both_strands_come_in_their_share() -> None:
    sequences = Sequences.from_strings(["AAAAAAAA"], labels=[0])
    data = rows_of(FinetuneConfig(reverse_complement=0.3), sequences, None, epochs=500)
    turned = [int(data[row]["input_ids"][0, 1]) == 5 + 21 for row in range(500)]  # TTT is 1 1 1 in base 4
    assert np.mean(turned) == pytest.approx(0.3, abs=0.06)


def test_hidden_tokens_are_kmers_only() -> None:
    data = rows_of(FinetuneConfig(hidden_tokens=0.4), labelled(64, seed=0), None)
    ids = data.__getitems__(list(range(64)))["input_ids"]
    assert (ids[:, 0] == CLS).all()
    assert (ids[:, -1] == SEP).all()
    assert (ids[:, 1:-1] == MASK).float().mean().item() == pytest.approx(0.4, abs=0.03)


def test_background_is_drawn_anew_each_epoch() -> None:
    sequences = Sequences.from_strings(random_strings(100, 20, seed=4), labels=[0] * 80 + [1] * 10 + [2] * 10)
    data = rows_of(FinetuneConfig(background_share=0.5), sequences, None, epochs=2)
    assert len(data) == 80
    first, second = (data.__getitems__(list(range(start, start + 40))) for start in (0, 40))
    assert (first["labels"] == 0).sum() == (second["labels"] == 0).sum() == 20
    backgrounds = [
        {row.numpy().tobytes() for row in part["input_ids"][part["labels"] == 0]} for part in (first, second)
    ]
    assert backgrounds[0] != backgrounds[1]


def test_short_rows_are_padded_and_masked() -> None:
    sequences = Sequences.from_strings(["ACGTACGT", "ACGTA"], labels=[0.5, 1.5])
    batch = rows_of(FinetuneConfig(regression=True), sequences, None, epochs=0).__getitems__([0, 1])
    assert batch["attention_mask"].tolist() == [[1] * 8, [1] * 5 + [0] * 3]
    assert (batch["input_ids"][1, 5:] == PAD).all()
    assert batch["labels"].dtype == torch.float32
    assert "attention_mask" not in rows_of(FinetuneConfig(regression=True), sequences, Crop(5), 0).__getitems__([0, 1])


def test_sequences_without_labels_are_refused() -> None:
    with pytest.raises(LabelError, match="label_column"):
        rows_of(FinetuneConfig(), Sequences.from_strings(["ACGT"]), None)


def test_unlabelled_and_mixed_rows_have_no_label_and_validation_has_neither() -> None:
    rows = Sequences.from_strings(["A" * 20, "C" * 20] * 8, labels=[0, 1] * 8)
    others = Sequences.from_strings(["G" * 20])
    config = FinetuneConfig(
        k=3, teachers=["t"], unlabelled=["u"], unlabelled_share=0.25, mixed_share=0.5, crop={"length": 20}
    )
    every = list(range(16 * 40))
    batch = LabelledRows(rows, config, 3, Crop(20), 40, others).__getitems__(every)
    shown = letters(batch["input_ids"], 3)[:, :20]
    labels, place = batch["labels"].numpy(), {base: "ATCG".index(base) for base in "ACG"}
    unlabelled = (shown == place["G"]).all(1).numpy()
    mixed = ((shown == place["A"]).any(1) & (shown == place["C"]).any(1)).numpy()
    assert 0.2 < unlabelled.mean() < 0.3
    assert 0.2 < mixed.mean() < 0.3  # half of the mixtures are of one kind
    assert (labels[unlabelled | mixed] == IGNORED).all()
    assert 0.2 < (labels != IGNORED).mean() < 0.3
    kept = labels != IGNORED
    assert ((shown[kept] == place["C"]).all(1).numpy() == labels[kept]).all()
    turns = {int((line == place["A"]).sum()) for line in shown[mixed]}
    assert len(turns) > 12  # the place is drawn
    plain = LabelledRows(rows, config, 3, Crop(20), 0, others).__getitems__(list(range(16)))
    assert plain["labels"].tolist() == [0, 1] * 8
