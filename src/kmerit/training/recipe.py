"""Training recipes: every setting, its unit and its default. The defaults are the paper's."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, Field, model_validator

from kmerit.config import Table
from kmerit.errors import RunMismatch
from kmerit.io.crops import Anchor
from kmerit.io.files import Case
from kmerit.store import (
    check_begun,
    check_sources,
    is_first,
    read_proof,
    read_record,
    remove_own,
    settle,
    source_sums,
    write_proof,
    write_record,
)

Share = Annotated[float, Field(ge=0, le=1)]


class CropConfig(Table):
    """Which part of a longer sequence is kept."""

    length: int = Field(ge=1, description="nucleotides")
    anchor: Anchor = "left"


class TrainingConfig(Table):
    """What pre-training and fine-tuning share."""

    base: str | None = Field(
        None, description="checkpoint to start from: a folder, a hub name, bundled:NAME; a new model by default"
    )
    k: int = Field(6, ge=1, le=8, description="nucleotides a token of a new model")
    hidden: int = Field(192, ge=1, description="width of the model")
    layers: int = Field(3, ge=1)
    heads: int = Field(3, ge=1)
    intermediate: int = Field(768, ge=1, description="width inside the feed-forward parts")
    max_tokens: int = Field(512, ge=3, description="special tokens included")
    embedding_start: Literal["random", "composed"] = Field(
        "random", description="composed: new k-mer embeddings start similar where the k-mers share bases"
    )
    seed: int = Field(0, ge=0, description="of new weights, order, augmentation and dropout")
    learning_rate: float = Field(2e-4, gt=0, description="the highest, after the warm-up")
    weight_decay: float = Field(0.01, ge=0, description="AdamW's, on matrices only")
    adam_beta2: float = Field(0.999, gt=0, lt=1)
    warmup: Share = Field(0.1, description="share of the steps over which the learning rate rises from 0")
    schedule: Literal["linear", "cosine", "constant"] = Field("linear", description="how the learning rate falls to 0")
    layer_decay: float = Field(1.0, gt=0, le=1, description="factor on the learning rate per layer below the head")
    max_gradient_norm: float = Field(1.0, gt=0)
    epochs: float = Field(5, gt=0, description="passes over the training rows")
    max_steps: int | None = Field(None, ge=1, description="optimiser steps; in place of epochs")
    batch_size: int = Field(48, ge=1, description="sequences a device and step")
    accumulate: int = Field(1, ge=1, description="batches per optimiser step")
    hidden_dropout: Share = 0.1
    attention_dropout: Share = Field(0.0, description="above 0 it switches the fast attention kernels off")
    attention: Literal["sdpa", "eager"] = Field("sdpa", description="which implementation of attention computes")
    bf16: bool = Field(
        False,
        description="bfloat16 autocast, on GPU and CPU; weights stay float32; slow on a CPU that lacks bfloat16",
    )
    average_decay: Annotated[float, Field(gt=0, lt=1)] | None = Field(
        None, description="per step, of an exponential moving average of the weights that replaces the last ones"
    )
    eval_steps: int | None = Field(None, ge=1, description="optimiser steps between validations; one epoch by default")
    save_steps: int = Field(250, ge=25, multiple_of=25, description="optimiser steps between checkpoints")
    patience: int | None = Field(None, ge=1, description="stop after this many validations without improvement")
    device: Literal["auto", "cpu"] = "auto"
    threads: int | None = Field(None, ge=1, description="CPU threads; torch's choice by default")

    @model_validator(mode="after")
    def _heads_fit(self) -> Self:
        if self.hidden % self.heads:
            raise ValueError(f"hidden ({self.hidden}) must be a multiple of heads ({self.heads})")
        return self


class PretrainConfig(TrainingConfig):
    """Masked contiguous k-mers on unlabelled sequences."""

    corpus: list[str] = Field([], description="files of sequences: FASTA, CSV, Parquet, plain or gzipped")
    exclude: list[str] = Field(
        [], description="tasks and files whose rows to be measured on are first cut out of the corpus"
    )
    crop_lengths: list[Annotated[int, Field(ge=1)]] = Field(
        [200], min_length=1, description="nucleotides; each batch draws one of them"
    )
    reverse_complement: Share = Field(0.5, description="share of crops read from the other strand")
    mask_share: Share = Field(0.15, description="share of tokens to restore")
    span_min: int | None = Field(None, ge=1, description="fewest contiguous tokens masked together; k by default")
    span_max: int | None = Field(None, ge=1, description="most contiguous tokens masked together; span_min by default")
    hide: Share = Field(0.8, description="share of tokens to restore that are shown as [MASK]")
    replace: Share = Field(0.1, description="share of tokens to restore that are shown as a random k-mer")
    validation_share: Annotated[float, Field(ge=0, lt=1)] = Field(0.01, description="of the corpus, its far end")
    validation_crops: int = Field(1024, ge=1)

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if self.hide + self.replace > 1:
            raise ValueError("hide and replace together exceed 1")
        low, high = self.spans
        if low > high:
            raise ValueError(f"span_min ({low}) exceeds span_max ({high})")
        if min(self.crop_lengths) < self.k or max(self.crop_lengths) - self.k + 3 > self.max_tokens:
            raise ValueError(f"crop_lengths must give 1 to {self.max_tokens - 2} k-mers")
        return self

    @property
    def spans(self) -> tuple[int, int]:
        """Fewest and most tokens of a masked span."""
        low = self.span_min or min(self.k, self.span_max or self.k)
        return low, self.span_max or low


class LoraTable(Table):
    """Low-rank adapters in place of all weights; merged into the published model, and kept next to it."""

    rank: int = Field(8, ge=1)
    alpha: int = Field(16, ge=1, description="the adapters' scale times the rank")
    targets: list[str] | None = Field(
        None, description="ends of the names of linear layers; all of the encoder by default"
    )


def _columns(bins: int) -> list[str]:
    return [f"bin_{i}" for i in range(bins)]


class FinetuneConfig(TrainingConfig):
    """A classifier or regressor on labelled sequences."""

    architecture: Literal["bert", "hyenadna", "enformer"] = Field(
        "bert",
        description="of a new model: over k-mers; over nucleotides, with long filters in place of attention; or from "
        "one-hot nucleotides to values of tracks in bins",
    )
    downsamples: int = Field(3, ge=2, le=8, description="enformer: how often neighbours are pooled; a bin has 2^n nt")
    bins: int | None = Field(
        None, ge=1, description="enformer: learn each bin's value, of the columns bin_0, bin_1, ...; n of them"
    )
    loss: Literal["mse", "poisson"] | None = Field(
        None, description="of values: mse by default, poisson of an enformer, whose values are above 0"
    )
    task: str | None = Field(None, description="a registered task")
    source: str | None = Field(None, description="where the task's data lie, when they are not shipped")
    train: str | None = Field(None, description="a labelled file, or a folder with its splits, in place of a task")
    validation: str | None = Field(
        None, description="a labelled file to choose by; by default the folder's, or carved from train"
    )
    test: str | None = Field(
        None, description="a labelled file to measure on, once, at the end; by default the folder's"
    )
    sequence_column: str | None = None
    label_column: str | None = None
    labels: list[str] | None = Field(
        None,
        min_length=1,
        description="columns of several labels, 0 or 1 each, in place of one label_column; with regression: of several "
        "values",
    )
    name_column: str | None = None
    case: Case = Field("upper", description="exact refuses lower-case (soft-masked) letters")
    rename: bool = Field(False, description="number names that occur twice in a file, instead of refusing them")
    genome: str | None = Field(
        None,
        description="FASTA that files are intervals of: chrom, start, end and label; or, with width, a task's rows",
    )
    width: int | None = Field(
        None, ge=1, description="nucleotides around the middle of each interval, or of each row of a task"
    )
    coordinates: bool = Field(True, description="false ignores coordinates that stand next to letters")
    classes: list[str] | None = Field(
        None, description="names of the classes, in the order of the labels; labels that are names, alphabetically"
    )
    regression: bool = Field(False, description="labels are values, not classes")
    validation_share: Annotated[float, Field(ge=0, lt=1)] = Field(0.1, description="carved, where no file is given")
    crop: CropConfig | Literal["none"] | None = Field(None, description="the task's own by default; none for files")
    min_length: int | None = Field(None, ge=1, description="nucleotides; the task's own by default")
    train_min_length: int | None = Field(None, ge=1, description="nucleotides, of training rows; min_length by default")
    drop_n: bool | None = Field(None, description="the task's own by default; true for files")
    jitter: int = Field(0, ge=0, description="nucleotides by which a training crop may move inside its sequence")
    jitter_share: Share = Field(1.0, description="share of training crops that move")
    reverse_complement: Share = Field(0.0, description="share of training rows read from the other strand")
    hidden_tokens: Share = Field(0.0, description="share of k-mers hidden in training")
    background_share: Annotated[float, Field(gt=0, lt=1)] | None = Field(
        None, description="redraw class 0 each epoch, to this share of the rows; all rows by default"
    )
    class_weights: list[float] | Literal["balanced"] | None = None
    label_smoothing: Annotated[float, Field(ge=0, lt=1)] = 0.0
    head_dropout: Share | None = Field(None, description="before the new head; hidden_dropout by default")
    lora: LoraTable | None = Field(None, description="train low-rank adapters and the head alone")
    teachers: list[str] = Field(
        [], description="fine-tuned models of the same classes, whose mean answer to each batch is learned too"
    )
    unlabelled: list[str] = Field([], description="files of sequences that only the teachers answer to")
    unlabelled_share: Share = Field(0.0, description="share of rows shown in place of which stands an unlabelled one")
    mixed_share: Share = Field(
        0.0, description="share of rows that from a random place on are another row; only the teachers answer to them"
    )
    teaching: Share = Field(0.5, description="the teachers' share of the loss, where there are any")
    choose_by: str | None = Field(
        None,
        description="validation metric whose best checkpoint is kept: auroc (pearson) by default; last: keep the last",
    )
    measure_test: bool = Field(
        True,
        description="false while recipes are compared: the test split is for the last one; true without a test split "
        "measures on validation",
    )
    resamples: int = Field(2000, ge=1, description="bootstrap draws for the intervals of the metrics")
    baselines: bool = Field(True, description="measure logistic regression on 4-mers and 6-mers on the same rows")
    targets: dict[str, float] = Field({}, description="test metrics to reach; the card says whether they are")

    @property
    def problem_type(self) -> str:
        """What the outputs mean, as transformers calls it."""
        if self.regression:
            return "regression"
        return "single_label_classification" if self.labels is None else "multi_label_classification"

    @model_validator(mode="before")
    @classmethod
    def _name_bins(cls, settings: Any) -> Any:
        """Fill in the columns of the bins."""
        bins = settings.get("bins") if isinstance(settings, dict) else None
        if not isinstance(bins, int) or isinstance(bins, bool) or bins < 1 or settings.get("labels") is not None:
            return settings
        return {**settings, "labels": _columns(bins)}

    @model_validator(mode="after")
    def _profiles(self) -> Self:
        if self.architecture == "hyenadna":
            absent = {"base": self.base is not None, "lora": self.lora is not None, "teachers": bool(self.teachers)}
            absent |= {"attention_dropout": self.attention_dropout > 0, "head_dropout": self.head_dropout is not None}
            absent |= {"embedding_start": self.embedding_start != "random", "attention": self.attention != "sdpa"}
            if wrong := [key for key, there in absent.items() if there]:
                raise ValueError(f"a new hyenadna is trained from scratch, without attention; {wrong[0]} is not for it")
        if self.architecture != "enformer":
            if self.bins is not None or self.loss == "poisson":
                raise ValueError(
                    "bins and loss = 'poisson' are for architecture = 'enformer', whose values are above 0"
                )
            if self.loss is not None and not self.regression:
                raise ValueError("loss is for values (regression = true)")
            return self
        unfit = {"base": self.base is not None, "lora": self.lora is not None, "teachers": bool(self.teachers)}
        unfit |= {"hidden_tokens": self.hidden_tokens > 0, "regression = false": not self.regression}
        unfit |= {"bf16": self.bf16, "crop of bins": self.bins is not None and self.crop is not None}
        unfit |= {"reverse_complement": self.bins is not None and self.reverse_complement > 0}
        if wrong := [key for key, there in unfit.items() if there]:
            raise ValueError(f"an enformer is trained from scratch on values; {wrong[0]} does not go with it")
        if self.bins is not None and self.labels != _columns(self.bins):
            raise ValueError("bins names the columns itself; leave labels out")
        return self

    @model_validator(mode="after")
    def _several(self) -> Self:
        if self.labels is None:
            return self
        if len(set(self.labels)) < len(self.labels):
            raise ValueError("labels: a column is named twice")
        settings = {key: getattr(self, key) for key in ("task", "label_column", "classes", "teachers", "class_weights")}
        settings |= {"background_share": self.background_share, "label_smoothing": self.label_smoothing}
        if unfit := [key for key, value in settings.items() if value]:
            raise ValueError(f"labels names columns of several labels; {unfit[0]} is for one label. Leave one out")
        return self

    @model_validator(mode="after")
    def _one_source(self) -> Self:
        if self.task is not None and self.train is not None:
            raise ValueError("give either a task or a train file, not both")
        if self.task is not None and (self.genome is None) != (self.width is None):
            raise ValueError("genome and width go together: windows around a task's rows, cut out of a genome")
        if self.teachers and self.regression:
            raise ValueError("teachers teach classes; a regression learns from its labels")
        if bool(self.unlabelled) != (self.unlabelled_share > 0):
            raise ValueError("unlabelled (files) and unlabelled_share go together")
        if self.unlabelled_share + self.mixed_share > 1:
            raise ValueError("unlabelled_share and mixed_share together exceed 1")
        if (self.unlabelled_share or self.mixed_share) and not self.teachers:
            raise ValueError("rows without labels need teachers")
        return self


CHECKPOINTS = "checkpoints"
CONFIG = "training.json"
DONE = "training_log.json"
SOURCES = "sources.json"
_FILES = ("genome", "base", "train", "validation", "test", "source", "teachers", "unlabelled", "corpus", "exclude")
"""Keys of recipes that name files or folders of the user's."""
_WHOLE = "whole.json"
_KEPT = 2
"""Number of checkpoints kept during a training."""
_PUBLISHED = {
    "README.md", "adapter", "added_tokens.json", "config.json", "merges.txt", "metrics.json", "model.safetensors",
    "special_tokens_map.json", "tokenizer.json", "tokenizer_config.json", "vocab.json", "vocab.txt", CHECKPOINTS, DONE,
    SOURCES,
}  # fmt: skip
_SAVED = re.compile(
    r"(average|model)\.safetensors|(config|trainer_state|whole)\.json|(optimizer|scheduler|scaler)\.pt|"
    r"rng_state.*\.pth|training_args\.bin"
)
"""Files of a checkpoint."""


_DATA = (
    "task",
    "train",
    "validation",
    "test",
    "sequence_column",
    "label_column",
    "classes",
    "crop",
    "min_length",
    "train_min_length",
    "drop_n",
)


def data_keys(recipe: Mapping[str, Any]) -> dict[str, Any]:
    """Take from a fine-tuning's keys those that say what is learned, not how.

    Example:
        >>> data_keys({"task": "ienhancer_2l", "epochs": 3})
        {'task': 'ienhancer_2l'}
    """
    return {key: recipe[key] for key in _DATA if key in recipe}


def check_folder(out: Path, config: BaseModel) -> None:
    """Refuse a folder of another training, or one that holds files which this one would overwrite.

    Raises:
        RunMismatch: It does.
    """
    # A setting that did not exist yet had the value that is now its default.
    defaults = {name: field.get_default() for name, field in type(config).model_fields.items()}
    check_begun(
        out / CONFIG,
        "a training",
        config.model_dump(mode="json"),
        earlier=lambda recorded: defaults | recorded,
        own=lambda entry: entry.name not in _PUBLISHED,
    )
    check_sources(_made_of(out), _sources(config))


def begin(out: Path, config: BaseModel) -> None:
    """Record the recipe of a folder that was checked."""
    if is_first():
        made_of = _made_of(out) if (out / CONFIG).exists() else source_sums(_sources(config))
        if made_of:
            write_record(out / SOURCES, made_of)
        if (record := read_record(out / DONE)) is not None:
            write_record(out / DONE, record)
        settle(out / CONFIG, config.model_dump(mode="json"))


def _made_of(out: Path) -> dict[str, str]:
    """Return the sums of the files that a training is of; a finished one holds them twice.

    Raises:
        RunMismatch: They were recorded, and the record is damaged.
    """
    record = read_record(out / SOURCES)
    if record is None:
        record = (read_record(out / DONE) or {}).get("made_of")
    if record is None and (out / SOURCES).exists():
        raise RunMismatch(
            f"{out / SOURCES} is damaged, so the input files of this training are unknown. Choose a new "
            f"folder with --out (Python: out=)."
        )
    return record or {}


def _sources(config: BaseModel) -> dict[str, str]:
    """Name the files and folders that a recipe names, by their keys."""
    sources: dict[str, str] = {}
    for key in _FILES:
        value = getattr(config, key, None)
        each = [value] if isinstance(value, str) else value or []
        sources |= {key if len(each) == 1 else f"{key}[{i}]": name for i, name in enumerate(each)}
    return sources


def is_done(out: Path) -> bool:
    """Return whether the training in a folder is done, and its files are unchanged.

    Example:
        >>> is_done(Path("nothing/here"))
        False
    """
    return read_proof(out / DONE) is not None


def finish(out: Path, about: Mapping[str, Any], files: Iterable[str]) -> None:
    """Write the record of completion, and remove the checkpoints."""
    made_of = read_record(out / SOURCES)
    about = about if made_of is None else {**about, "made_of": made_of}
    write_proof(out / DONE, files, about)
    remove_checkpoints(out)


def remove_checkpoints(out: Path) -> None:
    """Remove the checkpoints of a training that is done; one that was stopped while it removed them left some."""
    for path in _checkpoints(out):
        _remove(path)
    remove_own(
        out / CHECKPOINTS, [name for stem in ("best", "last") for name in (f"{stem}.json", f"{stem}.safetensors")]
    )


def mark_whole(checkpoint: Path) -> None:
    """Note that everything of a checkpoint has been written, and remove those that are no longer needed."""
    names = [path.name for path in checkpoint.iterdir() if path.name != _WHOLE]
    write_proof(checkpoint / _WHOLE, names)
    for path in _checkpoints(checkpoint.parents[1])[:-_KEPT]:
        _remove(path)


def last_whole(out: Path) -> Path | None:
    """Find the last checkpoint that was written to its end and is as it was."""
    return next((path for path in reversed(_checkpoints(out)) if read_proof(path / _WHOLE)), None)


def forget_checkpoints(out: Path) -> None:
    """Let no checkpoint count as whole: the training begins again."""
    for path in _checkpoints(out):
        (path / _WHOLE).unlink(missing_ok=True)


def _checkpoints(out: Path) -> list[Path]:
    folders = (path for path in (out / CHECKPOINTS).glob("checkpoint-*") if path.name.split("-")[1].isdecimal())
    return sorted(folders, key=lambda path: int(path.name.split("-")[1]))


def _remove(checkpoint: Path) -> None:
    remove_own(checkpoint, [path.name for path in checkpoint.iterdir() if _SAVED.fullmatch(path.name)])
