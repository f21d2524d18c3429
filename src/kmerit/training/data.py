"""What is trained on: splits of a task, and its rows as batches."""

from __future__ import annotations

import logging
import os
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import lru_cache
from pathlib import Path
from typing import Any
from zlib import crc32

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import Dataset

from kmerit.datasets.contexts import contexts_of_splits, without_shared
from kmerit.datasets.leaks import LeakingTask, leaking_rows, plant_leaks
from kmerit.datasets.negatives import Kind, draw_positives, make_backgrounds
from kmerit.datasets.similarity import Decontamination, decontaminate, related_groups
from kmerit.datasets.task import Split, Task, find_task, load_task
from kmerit.errors import ConfigError, LabelError, NoneLeft, SequenceError
from kmerit.formats import percent
from kmerit.io.crops import Crop, prepare
from kmerit.io.genome import Genome
from kmerit.io.readers import count_intervals, read_sequences, splits_of
from kmerit.models.tokenizers import CLS, MASK, SEP, SPECIAL, UNK, Overlapping, Tokenizer, token_ids
from kmerit.sequences import Bool, Int8, Int64, N, Sequences, Tokens, reverse_complement
from kmerit.training.recipe import FinetuneConfig, PretrainConfig

Batch = dict[str, Tensor]
IGNORED = -100
"""The label of a token that is not to be restored."""

_REDRAWS = 16


def as_batch(batch: Batch) -> Batch:
    """Return the batch unchanged: the data sets already return batches."""
    return batch


class MaskedCrops(Dataset[Batch]):
    """Random crops of a corpus, with contiguous k-mers masked.

    Args:
        corpus: Records of any length; those shorter than a crop length are not used for it.
        config: Crop lengths, strands, masks.
        rows: How many crops there are.
        seed: Of everything drawn.
    """

    def __init__(self, corpus: Sequences, config: PretrainConfig, rows: int, seed: int) -> None:
        self.corpus, self.config, self.rows, self.seed = corpus, config, rows, seed
        self.ends = {
            length: np.cumsum(np.maximum(corpus.lengths - length + 1, 0)) for length in sorted(set(config.crop_lengths))
        }
        for length, ends in self.ends.items():
            if not ends.size or ends[-1] == 0:
                longest = int(corpus.lengths.max(initial=0))
                raise SequenceError(
                    f"No record of the corpus has {length} nt (the longest has {longest}). Lower crop_lengths."
                )

    def __len__(self) -> int:
        return self.rows

    def __getitem__(self, row: int) -> Batch:
        return self.__getitems__([row])

    def __getitems__(self, rows: list[int]) -> Batch:
        """Make the batch of these rows; its first row determines the crop length."""
        lengths = self.config.crop_lengths
        length = lengths[np.random.default_rng((self.seed, rows[0], 1)).integers(len(lengths))]
        generators = [np.random.default_rng((self.seed, row, 0)) for row in rows]
        crops = np.stack([self._crop(length, rng) for rng in generators])
        ids = token_ids(crops, np.full(len(rows), length, dtype=np.int64), self.config.k).ids
        inputs, labels = mask_spans(ids, self.config, generators)
        return {"input_ids": torch.from_numpy(inputs), "labels": torch.from_numpy(labels)}

    def _crop(self, length: int, rng: np.random.Generator) -> Int8:
        ends = self.ends[length]
        for _ in range(_REDRAWS):
            place = int(rng.integers(ends[-1]))
            record = int(np.searchsorted(ends, place, side="right"))
            start = self.corpus.offsets[record] + place - (ends[record - 1] if record else 0)
            crop: Int8 = self.corpus.bases[start : start + length]
            if not (crop == N).any():
                break
        return reverse_complement(crop) if rng.random() < self.config.reverse_complement else crop


def mask_spans(ids: Int64, config: PretrainConfig, generators: list[np.random.Generator]) -> tuple[Int64, Int64]:
    """Choose contiguous k-mers to restore, and hide most of them.

    Every k-mer is the centre of a span with probability ``mask_share / mean span``, so that about ``mask_share`` of
    the k-mers are covered; each covered k-mer is then hidden, replaced or shown on its own account.
    Source: ji2021, section 2.2 and their published code (a span of k around each centre).

    Args:
        ids: ``[sequence, token]``, no padding.
        config: Shares and span lengths.
        generators: One per sequence.

    Returns:
        Ids as shown, and labels: the id where it is to be restored, else ``IGNORED``.
    """
    low, high = config.spans
    size = ids.shape[1]
    uniform, length, kmer = [], [], []
    for rng in generators:
        uniform.append(rng.random((2, size)))
        length.append(rng.integers(low, high + 1, size))
        kmer.append(rng.integers(len(SPECIAL), 4**config.k + len(SPECIAL), size))
    centre, action = np.stack(uniform, axis=1)
    span = np.stack(length)
    sequence, token = np.nonzero(centre < config.mask_share * 2 / (low + high))
    first = np.maximum(token - (span[sequence, token] - 1) // 2, 0)
    after = np.minimum(token + span[sequence, token] // 2 + 1, size)
    edges = np.zeros((len(ids), size + 1), dtype=np.int64)
    np.add.at(edges, (sequence, first), 1)
    np.add.at(edges, (sequence, after), -1)
    in_span = (np.cumsum(edges, axis=1)[:, :-1] > 0) & ~np.isin(ids, (CLS, SEP, UNK))
    inputs = np.where(in_span & (action < config.hide), MASK, ids)
    replaced = in_span & (action >= config.hide) & (action < config.hide + config.replace)
    return np.where(replaced, np.stack(kmer), inputs), np.where(in_span, ids, IGNORED)


class LabelledRows(Dataset[Batch]):
    """Labelled sequences, cropped; augmented when they are for training.

    Args:
        sequences: With labels.
        config: Crop, jitter, strands, hidden tokens, share of class 0, shares of mixed and of unlabelled rows.
        k: Nucleotides a token.
        crop: The part kept, or None for all.
        epochs: How often every row comes; 0: once, in order, not augmented (for validation).
        unlabelled: Sequences that only teachers answer to.
        tokenizer: What makes the ids; overlapping k-mers by default.
    """

    def __init__(
        self,
        sequences: Sequences,
        config: FinetuneConfig,
        k: int,
        crop: Crop | None,
        epochs: float,
        unlabelled: Sequences | None = None,
        tokenizer: Tokenizer | None = None,
    ) -> None:
        if sequences.labels is None:
            raise LabelError("Training needs labels; none were read. Name their column with label_column.")
        self.sequences, self.config, self.crop = sequences, config, crop
        self.tokenizer: Tokenizer = Overlapping(k) if tokenizer is None else tokenizer
        self.labels: NDArray[np.generic] = sequences.labels.astype(
            np.int64 if config.problem_type == "single_label_classification" else np.float32
        )
        self.training, self.unlabelled = epochs > 0, unlabelled
        self.per_epoch = self._order(0).size
        self.rows = round(self.per_epoch * epochs) if self.training else self.per_epoch
        self._shuffled = lru_cache(maxsize=2)(self._order)

    def __len__(self) -> int:
        return self.rows

    def __getitem__(self, row: int) -> Batch:
        return self.__getitems__([row])

    def __getitems__(self, rows: list[int]) -> Batch:
        """Make the batch of these rows."""
        epochs, places = np.divmod(np.asarray(rows), self.per_epoch)
        index = [int(self._shuffled(int(epoch))[place]) for epoch, place in zip(epochs, places, strict=True)]
        generators = [
            np.random.default_rng((self.config.seed, int(epoch), i, 2)) for epoch, i in zip(epochs, index, strict=True)
        ]
        pieces = [self._shown(i, rng) for i, rng in zip(index, generators, strict=True)]
        crops = [crop for crop, _ in pieces]
        labels = np.array([label for _, label in pieces])
        lengths = np.array([crop.size for crop in crops], dtype=np.int64)
        bases = np.full((len(crops), int(lengths.max())), -1, dtype=np.int8)
        for line, crop in zip(bases, crops, strict=True):
            line[: crop.size] = crop
        tokens = self.tokenizer(bases, lengths)
        hide = self.training and self.config.hidden_tokens
        ids = self._hide(tokens, generators) if hide else tokens.ids
        batch = {"input_ids": torch.from_numpy(ids), "labels": torch.from_numpy(labels)}
        if not tokens.mask.all():  # without padding, attention may use its fastest kernel
            batch["attention_mask"] = torch.from_numpy(tokens.mask.astype(np.int64))
        return batch

    def _order(self, epoch: int) -> Int64:
        """List the rows of an epoch in the order they come."""
        every = np.arange(len(self.sequences))
        if not self.training:
            return every
        rng = np.random.default_rng((self.config.seed, epoch, 3))
        share = self.config.background_share
        if share is not None:
            background, foreground = np.flatnonzero(self.labels == 0), np.flatnonzero(self.labels != 0)
            count = min(background.size, round(foreground.size * share / (1 - share)))
            every = np.concatenate([rng.permutation(background)[:count], foreground])
        return rng.permutation(every)

    def _shown(self, i: int, rng: np.random.Generator) -> tuple[Int8, Any]:
        """Return row ``i``, or its replacement, and the label; ``IGNORED`` if there is none."""
        kind = rng.random() if self.training and (self.unlabelled or self.config.mixed_share) else 1.0
        if self.unlabelled is not None and kind < self.config.unlabelled_share:
            return self._window(self.unlabelled, int(rng.integers(len(self.unlabelled))), rng), IGNORED
        crop = self._window(self.sequences, i, rng)
        if kind < self.config.unlabelled_share + self.config.mixed_share:
            other = self._window(self.sequences, int(rng.integers(len(self.sequences))), rng)
            place = int(rng.integers(1, max(min(crop.size, other.size), 2)))
            return np.concatenate([crop[:place], other[place:]]), IGNORED
        return crop, self.labels[i]

    def _window(self, sequences: Sequences, i: int, rng: np.random.Generator) -> Int8:
        whole: Int8 = sequences.bases[sequences.offsets[i] : sequences.offsets[i + 1]]
        if self.crop is None:
            part = whole
        else:
            start, end = self.crop.window(whole.size)
            if self.training and self.config.jitter and rng.random() < self.config.jitter_share:
                lowest = max(start - self.config.jitter, 0)
                highest = min(start + self.config.jitter, whole.size - (end - start))
                shift = int(rng.integers(lowest, highest + 1))
                start, end = shift, shift + end - start
            part = whole[start:end]
        is_reversed = self.training and rng.random() < self.config.reverse_complement
        return reverse_complement(part) if is_reversed else part

    def _hide(self, tokens: Tokens, generators: list[np.random.Generator]) -> Int64:
        mask_id = self.tokenizer.mask_id
        if mask_id is None:
            raise ConfigError("hidden_tokens: the model's vocabulary has no mask token to show. Leave it at 0.")
        hidden: Bool = np.stack([rng.random(tokens.ids.shape[1]) for rng in generators]) < self.config.hidden_tokens
        return np.where(hidden & (tokens.spans[..., 1] > tokens.spans[..., 0]), mask_id, tokens.ids)


def read_corpus(paths: Sequence[str]) -> Sequences:
    """Read files of sequences, soft-masked or not, one after the other.

    Raises:
        ConfigError: No file.

    Example:
        >>> read_corpus([])
        Traceback (most recent call last):
        kmerit.errors.ConfigError: Pre-training needs a corpus: ...
    """
    if not paths:
        raise ConfigError("Pre-training needs a corpus: corpus = ['genome.fa.gz'] (--corpus genome.fa.gz).")
    return joined([read_sequences(path, case="upper") for path in paths])


def joined(parts: Sequence[Sequences]) -> Sequences:
    """Put sets of sequences end to end; several sets' names are numbered, since they may repeat.

    Example:
        >>> one = Sequences.from_strings(["ACG"])
        >>> joined([one, one]).names
        ('0:seq0', '1:seq0')
    """
    if len(parts) == 1:
        return parts[0]
    names = tuple(f"{i}:{name}" for i, part in enumerate(parts) for name in part.names)
    offsets = np.concatenate([[0], np.cumsum(np.concatenate([part.lengths for part in parts]))])
    return Sequences(names, np.concatenate([part.bases for part in parts]), offsets)


def without_test_rows(sequences: Sequences, exclude: Sequence[str]) -> tuple[Sequences, Decontamination | None]:
    """Remove rows that share 40 32-mers, on either strand, with a row that models are measured on or chosen by.

    Args:
        sequences: A corpus, or labelled rows.
        exclude: Names of tasks (their test and validation rows), and files of sequences.

    Returns:
        The clean sequences, and an account; None where nothing is excluded.

    Raises:
        UnknownName: Neither a task nor a file.

    Example:
        >>> corpus = load_task("ienhancer_2l", "test")
        >>> clean, account = without_test_rows(corpus, ["ienhancer_2l"])
        >>> len(clean), account.dropped == len(corpus)
        (0, True)
    """
    if not exclude:
        return sequences, None
    return decontaminate(sequences, rows_measured_on(exclude))


def rows_measured_on(names: Sequence[str]) -> Sequences:
    """Read the test and validation rows of tasks, and all rows of files.

    Raises:
        UnknownName: Neither a task nor a file.

    Example:
        >>> len(rows_measured_on(["ienhancer_2l"])) > len(load_task("ienhancer_2l", "test"))
        True
    """
    rows: list[Sequences] = []
    for name in names:
        if os.path.isfile(name):
            rows.append(read_sequences(name, case="upper"))
        else:
            task = find_task(name)
            rows += [load_task(task, "test"), load_task(task, "validation")]
    return joined(rows)


def held_out(corpus: Sequences, share: float, least: int) -> tuple[Sequences, Sequences | None]:
    """Hold out the far end of a corpus, cutting the record it begins in.

    Args:
        corpus: Records end to end.
        share: Of its nucleotides.
        least: Fewest nucleotides held out.

    Returns:
        The corpus without its end, and the end (None for a share of 0).

    Raises:
        SequenceError: Nothing would be left.

    Example:
        >>> front, end = held_out(Sequences.from_strings(["ACGT", "GGGG"]), 0.25, 1)
        >>> front.strings(), end.strings()
        (['ACGT', 'GG'], ['GG'])
    """
    if share == 0:
        return corpus, None
    boundary = corpus.bases.size - max(round(corpus.bases.size * share), least)
    if boundary < least:
        raise SequenceError(
            f"A corpus of {corpus.bases.size} nt is too small to hold {percent(share, 1)} of it out (at least {least} "
            f"nt). Give more, or validation_share = 0."
        )
    record = int(np.searchsorted(corpus.offsets, boundary, side="right")) - 1
    whole = record + int(boundary > corpus.offsets[record])  # records of which something comes before the cut
    front = Sequences(corpus.names[:whole], corpus.bases[:boundary], np.append(corpus.offsets[:whole], boundary))
    ends = np.concatenate([[boundary], corpus.offsets[record + 1 :]]) - boundary
    return front, Sequences(corpus.names[record:], corpus.bases[boundary:], ends)


_LOG = logging.getLogger(__name__)


@dataclass(frozen=True, eq=False)
class Splits:
    """Training, validation and test sequences of a fine-tuning.

    Attributes:
        train: Whole sequences with labels; crops are redrawn each epoch.
        validation: Cropped sequences to choose by, or None.
        test: Cropped sequences to measure on, or None.
        classes: Names of the classes, in the order of the labels; of several labels or values; one name for a value.
        crop: The part that the model sees, or None for all.
        name: Of the data.
        dropped: Per split, what was left out and why.
    """

    train: Sequences
    validation: Sequences | None = None
    test: Sequences | None = None
    classes: tuple[str, ...] = ("0", "1")
    crop: Crop | None = None
    name: str = "given sequences"
    dropped: dict[str, dict[str, int]] = field(default_factory=dict)

    @property
    def sizes(self) -> dict[str, int]:
        """Rows per split."""
        parts = {"train": self.train, "validation": self.validation, "test": self.test}
        return {name: len(part) for name, part in parts.items() if part is not None}


def shuffle_labels(splits: Splits, seed: int) -> Splits:
    """Permute the labels of training and validation rows, each split by itself; the test split stays.

    Args:
        splits: With labels.
        seed: Of the permutation.

    Raises:
        LabelError: A split has no labels.

    Example:
        >>> rows = Sequences.from_strings(["ACGT", "CCGT", "AAGT"], labels=[0, 1, 1])
        >>> sorted(shuffle_labels(Splits(rows), seed=0).train.labels.tolist())
        [0, 1, 1]
    """
    rng = np.random.default_rng(seed)

    def permuted(part: Sequences) -> Sequences:
        return replace(part, labels=rng.permutation(labels_of(part, splits.name)))

    train = permuted(splits.train)
    return replace(splits, train=train, validation=splits.validation and permuted(splits.validation))


def background_splits(
    task: str | Task,
    kinds: Sequence[Kind],
    rows: Mapping[Split, int],
    *,
    genome: str | Path | None = None,
    gtf: str | Path | None = None,
    seed: int = 0,
) -> dict[str, Splits]:
    """Draw positives of a task once, and give them a background of each kind, see `make_backgrounds`.

    Args:
        task: With two classes; class 1 are the positives.
        kinds: Of the backgrounds; what is drawn for one does not depend on the others.
        rows: Positives of training, validation and test split, in this order.
        genome: FASTA that some kinds are cut out of.
        gtf: Genes of that genome.
        seed: Of all draws.

    Returns:
        By kind; background first, without coordinates, as no model may use them.

    Raises:
        ConfigError: A kind that needs a genome, and none is given.

    Example:
        >>> sets = background_splits("ienhancer_2l", ["shuffled"], {"train": 6, "validation": 2, "test": 4})
        >>> sets["shuffled"].classes, sets["shuffled"].sizes
        (('shuffled', 'enhancer'), {'train': 12, 'validation': 4, 'test': 8})
    """
    task = find_task(task)
    positives = draw_positives(task, rows, seed)
    sets: dict[str, Splits] = {}
    for kind in kinds:
        backgrounds = make_backgrounds(positives, kind, genome=genome, gtf=gtf, seed=seed)
        train, validation, test = (
            replace(Sequences.concat(pair), loci=None, windows=None)
            for pair in zip(backgrounds, positives.values(), strict=True)
        )
        sets[kind] = Splits(train, validation, test, (kind, task.classes[1]), task.crop, kind)
    return sets


def leaking_splits(config: LeakingTask, arms: Mapping[str, Collection[int]], seed: int) -> dict[str, Splits]:
    """Let classes of a task leak from its test rows into its training rows, one choice of classes an arm.

    Args:
        config: Which rows, and which leaks.
        arms: By name, the classes that leak.
        seed: Of rows and leaks, the same in all arms.

    Returns:
        By arm; sizes, validation and test split are the same in all.

    Raises:
        ConfigError: Overlaps without a corpus.
        FormatError: Too few test rows are found in the corpus.

    Example:
        >>> few = LeakingTask(task="ienhancer_2l", leaks="copies", train_rows=8, test_per_class=4)
        >>> arms = leaking_splits(few, {"none": (), "positives": (1,)}, seed=0)
        >>> [sum(name.startswith("leak/") for name in splits.train.names) for splits in arms.values()]
        [0, 3]
    """
    task, rows = find_task(config.task), leaking_rows(config, seed)
    sets: dict[str, Splits] = {}
    for arm, classes in arms.items():
        train = plant_leaks(rows.train, rows.leaks, classes, seed)
        sets[arm] = Splits(train, rows.validation, rows.test, task.classes, task.crop, f"arm {arm}")
    return sets


def load_splits(config: FinetuneConfig) -> Splits:
    """Read, filter and crop what a config names.

    Raises:
        ConfigError: Neither a task nor a file.
        LabelError: No labels.
        NoneLeft: No sequence of a split is long enough and without N.

    Example:
        >>> load_splits(FinetuneConfig.parse({"task": "human_enhancers_dedup"})).classes
        ('background', 'enhancer')
    """
    left_out: dict[str, dict[str, int]] = {}
    if config.task is not None:
        task = find_task(config.task)
        raw = {split: load_task(task, split, source=config.source) for split in ("train", "validation", "test")}
        crop, min_length, drop_n, name, classes = task.crop, task.min_length, task.drop_n, task.name, task.classes
        if config.genome is not None and config.width is not None:
            raw, left_out = contexts_of_splits(raw, Genome.open(config.genome), config.width)
            crop, min_length = None, 1
    elif config.train is not None:
        raw, left_out = _files(config)
        crop, min_length, drop_n, name, classes = None, 1, True, Path(config.train).name, None
    else:
        raise ConfigError("Fine-tuning needs labelled sequences: task = 'epdnew_nontata', or train = 'file.csv'.")
    if config.crop is not None:
        crop = None if config.crop == "none" else Crop(config.crop.length, config.crop.anchor)
    min_length = config.min_length or min_length
    drop_n = drop_n if config.drop_n is None else config.drop_n
    parts, dropped = {}, {}
    for split, sequences in raw.items():
        labels_of(sequences, f"{name}, {split}")
        training = split == "train"
        shortest = config.train_min_length or min_length if training else min_length
        try:
            parts[split], dropped[split] = prepare(
                sequences, crop=None if training else crop, min_length=shortest, drop_n=drop_n
            )
        except NoneLeft as error:
            raise NoneLeft(f"{name}, {split}: {error}") from None
        dropped[split] |= left_out.get(split, {})
    names = config.classes or classes or config.labels or _class_names(parts["train"], config.regression)
    return Splits(parts["train"], parts.get("validation"), parts.get("test"), tuple(names), crop, name, dropped)


def _files(config: FinetuneConfig) -> tuple[dict[str, Sequences], dict[str, dict[str, int]]]:
    """Read the files of all splits; of windows around loci, also count which are left out, see `contexts_of_splits`."""
    left_out: dict[str, dict[str, int]] = {}

    def read(part: str, path: str, split: str | None = None) -> Sequences:
        rows = read_sequences(
            path,
            sequence_column=config.sequence_column,
            label_column=config.labels or config.label_column,
            name_column=config.name_column,
            case=config.case,
            rename=config.rename,
            classes=config.classes,
            split=split,
            genome=config.genome,
            width=config.width,
            coordinates=config.coordinates,
        )
        if config.genome is not None and config.width is not None:
            left_out[part] = {"outside": count_intervals(path) - len(rows)}
        return rows

    folder = str(config.train)
    split_names = splits_of(folder)
    raw = {"train": read("train", folder, split_names.get("train"))}
    if config.validation is not None:
        raw["validation"] = read("validation", config.validation)
    elif "validation" in split_names:
        raw["validation"] = read("validation", folder, split_names["validation"])
    elif config.validation_share > 0:
        raw["train"], raw["validation"] = carve(raw["train"], config.validation_share)
    if config.test is not None:
        raw["test"] = read("test", config.test)
    elif "test" in split_names:
        raw["test"] = read("test", folder, split_names["test"])
    raw = {split: _numbered(part, raw["train"], split, config) for split, part in raw.items()}
    if left_out:
        raw, overlapping = without_shared(raw)
        for part, number in overlapping.items():
            left_out.setdefault(part, {})["overlapping"] = number
            if number:
                others = "test" if part == "validation" else "test or validation"
                _LOG.warning(
                    f"{part}: left out, as they share a nucleotide with a window of {others}: {number} of "
                    f"{len(raw[part]) + number} windows."
                )
    return raw, left_out


def _numbered(part: Sequences, train: Sequences, split: str, config: FinetuneConfig) -> Sequences:
    """Number named labels of every split as those of the training split, unless the config gives their order."""
    if config.regression and part.classes is not None:
        raise LabelError(f"{split}: regression needs numbers as labels, found names: {', '.join(part.classes[:5])}.")
    if config.classes is not None or part.labels is None or train.labels is None:
        return part
    if (part.classes is None) != (train.classes is None):
        raise LabelError(f"{split}: labels are names here and numbers in train, or the other way. Write one kind.")
    return part if train.classes is None else part.numbered(train.classes)


def carve(sequences: Sequences, share: float) -> tuple[Sequences, Sequences]:
    """Carve a validation split out; near copies and overlapping loci stay together.

    Raises:
        ConfigError: A part would be empty.
    """
    groups = related_groups(sequences, 0)
    in_part = np.array([crc32(group.encode()) < share * 2**32 for group in groups])
    if in_part.all() or not in_part.any():
        raise ConfigError(f"validation_share = {share} of {len(sequences)} sequences leaves a part empty. Change it.")
    return sequences.take(~in_part), sequences.take(in_part)


def labels_of(sequences: Sequences, name: str) -> NDArray[Any]:
    """Return the labels, which must be there.

    Raises:
        LabelError: They are not.

    Example:
        >>> labels_of(Sequences.from_strings(["ACGT"], labels=[1]), "mine").tolist()
        [1]
    """
    if sequences.labels is None:
        raise LabelError(f"{name}: expected a label for each sequence, found none. Name their column: label_column.")
    return sequences.labels


def check_classes(splits: Splits) -> None:
    """Refuse training rows of one class; name those that have no rows.

    Raises:
        LabelError: There is nothing to tell apart.
    """
    labels = labels_of(splits.train, splits.name)
    if splits.train.outputs is not None:
        _check_several(splits.name, splits.train.outputs, labels)
        return
    present = np.unique(labels)
    if present.size < 2:
        raise LabelError(
            f"{splits.name}, train: every row has the label {present[0]}; a classifier needs rows of two classes or "
            f"more. Is this the column of the labels (label_column)? Values train with regression = true."
        )
    for label in sorted(set(range(len(splits.classes))) - set(present.tolist())):
        _LOG.warning("%s, train: no row is of class %d (%s).", splits.name, label, splits.classes[label])


def _check_several(name: str, outputs: tuple[str, ...], labels: NDArray[Any]) -> None:
    constant = (labels == labels[0]).all(axis=0)
    if constant.all():
        raise LabelError(f"{name}, train: every row has the same labels; there is nothing to distinguish.")
    for j in np.flatnonzero(constant).tolist():
        _LOG.warning("%s, train: every row has %d for %s.", name, labels[0, j], outputs[j])


def _class_names(train: Sequences, regression: bool) -> list[str]:
    if regression:
        return ["value"]
    if train.classes is not None:
        return list(train.classes)
    last = labels_of(train, "train").max()
    if last >= len(train):
        raise LabelError(
            f"train: a row has the label {last}, so there would be more classes than the {len(train)} rows. Number the "
            f"classes 0, 1, 2, ..., or train values with regression = true."
        )
    return [str(i) for i in range(int(last) + 1)]
