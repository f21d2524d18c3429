"""Fine-tuning: a classifier or a regressor on labelled sequences, from any encoder over k-mers."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.special import softmax
from torch import Tensor, nn
from transformers import AutoModelForSequenceClassification
from transformers.trainer_utils import EvalPrediction

from kmerit.datasets.similarity import group_names, neighbours
from kmerit.disk import need_space
from kmerit.errors import ConfigError, LabelError, LengthError, UnknownName, short
from kmerit.io.crops import prepare
from kmerit.io.readers import read_sequences
from kmerit.metrics import classification_metrics, metric_differences, output_metrics, regression_metrics
from kmerit.models.model import load_model
from kmerit.sequences import Floats, Sequences
from kmerit.store import hold, is_first, process_count, write_json, write_text
from kmerit.training import card
from kmerit.training.card import linear_baselines, value_baseline
from kmerit.training.convolutional import ConvolutionalConfig
from kmerit.training.data import IGNORED, LabelledRows, Splits, check_classes, joined, labels_of, load_splits
from kmerit.training.learner import Learner, NetworkFactory, average_weights, learner
from kmerit.training.loop import Loss, Progress, fit, teacher
from kmerit.training.recipe import FinetuneConfig, begin, check_folder, finish, is_done, remove_checkpoints


def finetune(
    config: FinetuneConfig,
    out: Path | str,
    *,
    data: Splits | None = None,
    network: NetworkFactory | None = None,
    progress: Progress | None = None,
) -> Path:
    """Fine-tune an encoder on a task, or resume an interrupted training.

    The checkpoint is chosen on the validation split. The test split is measured once, at the end, in float32; without
    one, the validation split, and the card says so.

    Args:
        config: The recipe.
        out: Folder of the result: config.json, model.safetensors, vocab.txt, README.md, metrics.json,
            training_log.json.
        data: Sequences in place of the config's task or files.
        network: Makes a network of your own from the recipe and the names of its outputs: one of transformers' classes,
            from the tokens of overlapping k-mers to logits. Its settings belong in a subclass of the recipe.
        progress: Told the steps done and to do.

    Returns:
        The folder, in Hugging Face's layout.

    Raises:
        LabelError: Labels that are missing or do not fit.
        RunLocked: The folder is in use.
        RunMismatch: The folder holds another training.
        CheckpointError: ``base`` is not an encoder over k-mers.

    Example:
        >>> import tempfile
        >>> import kmerit as km
        >>> rows = km.Sequences.from_strings(["ACGTTGCAACGG", "TTGACATTACAG"], labels=[0, 1])
        >>> tiny = {"k": 3, "hidden": 8, "layers": 1, "heads": 1, "intermediate": 8, "max_steps": 1, "device": "cpu"}
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     model = finetune(FinetuneConfig.parse(tiny), f"{folder}/model", data=Splits(rows))
        ...     km.load_model(model).labels
        ('0', '1')
    """
    out = Path(out)
    if data is not None and data.train.outputs is not None:
        data = replace(data, classes=data.train.outputs)
        config = type(config).parse({**config.model_dump(), "labels": config.labels or list(data.classes)})
    with hold(out):
        check_folder(out, config)
        if is_done(out):
            begin(out, config)
            if is_first():
                remove_checkpoints(out)
            return out
        # What is wrong with data, base or recipe shows before anything is written.
        splits = data or load_splits(config)
        learned, size = _planned(config, splits, network)
        taught_by = teacher(config.teachers, config.teaching, learned.module)
        unlabelled = joined([read_sequences(path) for path in config.unlabelled]) if config.unlabelled else None
        need_space(out, size)
        begin(out, config)
        train = LabelledRows(splits.train, config, config.k, splits.crop, config.epochs, unlabelled, learned.tokenizer)
        if config.max_steps is not None:
            epochs = config.max_steps * config.batch_size * config.accumulate * process_count() / train.per_epoch
            train = LabelledRows(splits.train, config, config.k, splits.crop, epochs, unlabelled, learned.tokenizer)
        choose_by = _choose_by(config) if splits.validation is not None else None
        log = fit(
            learned.module,
            train,
            len(train),
            config,
            out,
            validation=None
            if splits.validation is None
            else LabelledRows(splits.validation, config, config.k, splits.crop, 0, tokenizer=learned.tokenizer),
            rows_per_epoch=train.per_epoch,
            loss=_loss(config, labels_of(splits.train, splits.name)),
            teacher=taught_by,
            metrics=_validated(config),
            choose_by=choose_by,
            progress=progress,
        )
        if is_first():
            lengths = [n if splits.crop is None else min(n, splits.crop.length) for n in splits.train.lengths.tolist()]
            about = {
                "stage": "finetune",
                "task": config.task,
                "seed": config.seed,
                "crop": card.crop_text(splits.crop),
                "lengths": [min(lengths), max(lengths)],
            }
            folder = learned.publish(out, about)
            own = None if network is None else learned.module
            measured = measure(config, splits, out, network=own)
            write_json(out / "metrics.json", measured)
            write_text(out / "README.md", card.finetuned(config, splits, measured, log))
            finish(out, {"log": log}, [*folder, "metrics.json", "README.md"])
    return out


def check_recipe(
    config: FinetuneConfig, use: Callable[[Path], None] | None = None, *, data: Splits | None = None
) -> int:
    """Check a recipe, and read its data and its base; nothing is written but temporary files.

    Args:
        config: The recipe.
        use: Does with the folder of a model, here an untrained one, what is to be done once it is trained.
        data: Sequences in place of the config's task or files.

    Returns:
        Bytes that the training will take on disk, at least.

    Raises:
        KmeritError: What `finetune` would refuse.

    Example:
        >>> check_recipe(FinetuneConfig.parse({"task": "ienhancer_2l", "learning_rate": 1e-4})) > 1000
        True
    """
    learned, size = _planned(config, data or load_splits(config))
    teacher(config.teachers, config.teaching, learned.module)
    if use is not None:
        with TemporaryDirectory() as folder:
            learned.publish(Path(folder), {})
            use(Path(folder))
    return size


def _planned(config: FinetuneConfig, splits: Splits, network: NetworkFactory | None = None) -> tuple[Learner, int]:
    """Check that labels, lengths and settings fit; give what is to be trained, and the bytes that it will take."""
    _check_labels(splits, config)
    _choose_by(config)
    if config.targets and splits.test is not None and config.measure_test:
        labels = labels_of(splits.test, splits.name)
        metrics = _metrics(config, labels, np.zeros((len(labels), len(splits.classes))), resamples=0)[0]
        for name in config.targets:
            if name not in metrics or name == "rows":
                raise UnknownName("metric in targets", name, set(metrics) - {"rows"})
            if config.problem_type == "single_label_classification" and len(np.unique(labels)) < 2:
                raise LabelError(f"{splits.name}, test: all rows are of one class, so {name} cannot be measured.")
    learned = learner(config, splits.classes, network)
    train, _ = prepare(splits.train, crop=splits.crop)
    for split, part in (("train", train), ("validation", splits.validation), ("test", splits.test)):
        if part is None or not len(part):
            continue
        tokens = learned.tokenizer.survey(part).tokens
        if tokens.max() > learned.max_tokens:
            row = int(np.argmax(tokens))
            raise LengthError(
                f"{splits.name}, {split}: a sequence of {part.lengths[row]} nt has {tokens[row]} tokens; the model "
                f"takes {learned.max_tokens}. Crop them (crop), or raise max_tokens of a new model."
            )
    if config.architecture == "enformer":
        _check_lengths(config, splits, train)
    weights = sum(value.numel() * value.element_size() for value in learned.module.state_dict().values())
    return learned, 2 * weights  # those that are published, and the last ones


def _check_lengths(config: FinetuneConfig, splits: Splits, train: Sequences) -> None:
    """Refuse rows that would have to be padded, which the convolutions would read, or that have other bins."""
    length = (config.bins or 0) * 2**config.downsamples or int(train.lengths[0])
    for split, part in (("train", train), ("validation", splits.validation), ("test", splits.test)):
        if part is None or (split == "test" and config.bins is None):
            continue
        for row in np.flatnonzero(part.lengths != length)[:1].tolist():
            raise LengthError(
                f"{splits.name}, {split}: expected sequences of {length} nt, found {part.lengths[row]} in "
                f"{short(part.names[row])}; an enformer trains on one length. Crop them (crop), or set bins to the "
                f"columns that there are."
            )


def _check_labels(splits: Splits, config: FinetuneConfig) -> None:
    for split, part in (("train", splits.train), ("validation", splits.validation), ("test", splits.test)):
        if part is None:
            continue
        labels = labels_of(part, f"{splits.name}, {split}")
        if (part.outputs or ()) != tuple(config.labels or ()):
            actual = "one label a row" if part.outputs is None else f"the labels {', '.join(part.outputs[:20])}"
            expected = "one label a row" if config.labels is None else f"the labels {', '.join(config.labels[:20])}"
            raise LabelError(f"{splits.name}, {split}: expected {expected}, in this order (labels), found {actual}.")
        if config.regression:
            continue
        if config.labels is not None:
            _check_yes_no(config.labels, part, labels, f"{splits.name}, {split}")
            continue
        usable = (labels == np.floor(labels)) & (labels >= 0) & (labels < len(splits.classes))
        if labels.dtype != np.int64 or not usable.all():
            row = int(np.argmin(usable))
            raise LabelError(
                f"{splits.name}, {split}: expected whole numbers from 0 to {len(splits.classes) - 1} as labels; "
                f"{short(part.names[row])} has {labels[row]}. Values train with regression = true."
            )
    if not config.regression:
        check_classes(splits)


def _check_yes_no(outputs: Sequence[str], part: Sequences, labels: NDArray[Any], where: str) -> None:
    for row, output in np.argwhere((labels != 0) & (labels != 1))[:1].tolist():
        raise LabelError(
            f"{where}: expected 0 or 1 for each label; {short(part.names[row])} has {labels[row, output]} for "
            f"{short(outputs[output])}. Values train with regression = true."
        )


def _choose_by(config: FinetuneConfig) -> str | None:
    names = ("r2", "pearson", "spearman", "rmse") if config.regression else ("accuracy", "f1", "mcc", "auroc", "auprc")
    name = config.choose_by or ("pearson" if config.regression else "auroc")
    if name == "last":
        return None
    if name not in (*names, "loss") or name == "rmse":
        raise ConfigError(f"choose_by: expected last, loss or one of {', '.join(names)} but rmse, got {name!r}.")
    return name


def _loss(config: FinetuneConfig, labels: NDArray[Any]) -> Loss:
    if config.regression and config.architecture == "enformer" and config.loss != "mse":
        if (labels < 0).any():
            raise LabelError(
                f"Expected values of at least 0, for a Poisson loss; found {labels.min():g}. Set loss=mse."
            )
        return lambda y, targets: nn.functional.poisson_nll_loss(y.reshape(targets.shape), targets, log_input=False)
    if config.regression:
        return lambda logits, targets: nn.functional.mse_loss(logits.reshape(targets.shape), targets)
    if config.labels is not None:
        return nn.functional.binary_cross_entropy_with_logits
    weights: Tensor | None = None
    if config.class_weights == "balanced":
        counts = np.bincount(labels)
        weights = torch.tensor(counts.sum() / (counts.size * np.maximum(counts, 1)), dtype=torch.float32)
    elif config.class_weights is not None:
        weights = torch.tensor(config.class_weights)

    def cross_entropy(logits: Tensor, labels: Tensor) -> Tensor:
        weight = None if weights is None else weights.to(logits.device)
        if not (labels != IGNORED).any():  # a batch that only teachers answer to
            return logits.sum() * 0
        return nn.functional.cross_entropy(logits, labels, weight=weight, label_smoothing=config.label_smoothing)

    return cross_entropy


def _metrics(
    config: FinetuneConfig, labels: NDArray[Any], answers: Any, **draws: Any
) -> tuple[dict[str, Any], dict[str, Any]]:
    """Measure answers; where there are several labels or values their mean, and each by its name.

    Of bins, their mean is measured: it is what the model explains by default.
    """
    if config.bins is not None:
        answers = np.asarray(answers)
        return regression_metrics(labels.mean(1), answers.reshape(len(labels), -1).mean(1), **draws), {}
    if config.labels is not None:
        means, each = output_metrics(labels, answers, values=config.regression, **draws)
        return means, dict(zip(config.labels, each, strict=True))
    return (regression_metrics if config.regression else classification_metrics)(labels, answers, **draws), {}


def _validated(config: FinetuneConfig) -> Callable[[EvalPrediction], dict[str, float]]:
    def metrics(prediction: EvalPrediction) -> dict[str, float]:
        labels = np.asarray(prediction.label_ids)
        if config.labels is not None and not config.regression:
            labels = labels.astype(np.int64)
        scores, _ = _metrics(config, labels, prediction.predictions, resamples=0)
        return {name: entry["value"] for name, entry in scores.items() if name != "rows" and entry["value"] is not None}

    return metrics


def measure(
    config: FinetuneConfig,
    splits: Splits,
    folder: Path,
    *,
    network: nn.Module | None = None,
    others: Mapping[str, Floats] | None = None,
) -> dict[str, Any]:
    """Measure the published folder on the test split, as a user will load it; where there is none, on validation.

    Args:
        config: Of the training.
        splits: Its data.
        folder: What was published.
        network: What was published, where it is a network of the caller's.
        others: Logits of further models on the rows measured on, by name.

    Returns:
        ``test`` (or ``validation``) metrics, of several labels or values their mean, and under ``outputs`` those of
        each; under ``baselines`` those of the baselines on the same rows; under ``above`` by how much the model's
        exceed them, each draw of the bootstrap with the same rows for both.

    Example:
        >>> rows = Sequences.from_strings(["ACGTTGCAACGG", "TTGACATTACAG"], labels=[0, 1])
        >>> config = FinetuneConfig.parse({"measure_test": False})
        >>> measure(config, Splits(rows), Path("my-model"))["split"]
        {'train': 2}
    """
    result: dict[str, Any] = {
        "model": folder.name,
        "data": splits.name,
        "crop": card.crop_text(splits.crop),
        "split": splits.sizes,
        "dropped": splits.dropped,
    }
    split, part = ("test", splits.test) if splits.test is not None else ("validation", splits.validation)
    if part is None or not config.measure_test:
        return result
    labels = labels_of(part, splits.name)
    if network is None and config.architecture == "enformer" and config.bins is None and config.labels is not None:
        each = [
            load_model(folder, device=config.device, target={"tracks": [i], "bins": "all"}).logits(part)
            for i in range(len(config.labels))
        ]
        logits = np.concatenate(each, axis=1).astype(np.float64)
    elif network is None:
        logits = load_model(folder, device=config.device).logits(part).astype(np.float64)
    else:
        logits = answers(network, config, part)
    clusters = group_names(part, neighbours(part, 0))
    result[split], outputs = _metrics(config, labels, logits, clusters=clusters, resamples=config.resamples)
    if outputs:
        result["outputs"] = outputs
    if config.baselines and config.problem_type == "single_label_classification":
        rows, _ = prepare(splits.train, crop=splits.crop)
        as_long = rows.take(rows.lengths >= part.lengths.min())
        if np.array_equal(np.unique(labels_of(as_long, splits.name)), np.unique(labels_of(rows, splits.name))):
            rows = as_long  # what is shorter than all rows measured on teaches of other rows than these
        baselines = linear_baselines(rows, part) | dict(others or {})
        settings: dict[str, Any] = {"clusters": clusters, "resamples": config.resamples}
        result["baselines"] = {
            name: classification_metrics(labels, theirs, **settings) for name, theirs in baselines.items()
        }
        result["above"] = {
            name: metric_differences(labels, logits, theirs, **settings) for name, theirs in baselines.items()
        }
    if config.baselines and config.architecture == "enformer":
        fitted = value_baseline(prepare(splits.train, crop=splits.crop)[0], part)
        result["baselines"] = {
            "ridge regression on 4-mers": _metrics(
                config, labels, fitted, clusters=clusters, resamples=config.resamples
            )[0]
        }
    if config.targets and split == "test":
        result["targets"] = {
            name: {"target": target, "reached": result["test"][name]["value"] >= target}
            for name, target in config.targets.items()
        }
    return result


class Choice(NamedTuple):
    """What validation chose, see `choose_weights`.

    Attributes:
        name: Of the chosen classifier, or ``average``.
        folder: Its folder.
        auroc: Of every candidate, on the validation rows.
    """

    name: str
    folder: Path
    auroc: dict[str, float]


def choose_weights(folders: Mapping[str, Path], validation: Sequences, average: Path) -> Choice:
    """Choose the best of several classifiers and the average of their weights, by AUROC on validation rows.

    They start from one encoder, so the average is a model too. Source: wortsman2022, section 2.

    Args:
        folders: Of the classifiers, by name; over k-mers, of one shape.
        validation: Cropped, with classes as labels.
        average: Folder of the average; it is not made of a single classifier.

    Raises:
        LabelError: Sequences without labels.

    Example:
        >>> from kmerit.models.checkpoint import locate
        >>> rows = Sequences.from_strings(["ACGTTGCAACGG", "TTGACATTACAG"], labels=[0, 1])
        >>> choose_weights({"0": locate("bundled:promoter")}, rows, Path("average")).name
        '0'
    """
    labels = labels_of(validation, "validation")
    candidates = dict(folders)
    if len(folders) > 1:
        candidates["average"] = average_weights(list(folders.values()), average)
    auroc: dict[str, float] = {}
    for name, folder in candidates.items():
        logits = load_model(folder, device="cpu").logits(validation)
        auroc[name] = float(classification_metrics(labels, logits, resamples=0)["auroc"]["value"])
    best = max(auroc, key=lambda name: auroc[name])
    return Choice(best, candidates[best], auroc)


def mean_answers(folders: Sequence[Path], sequences: Sequences) -> Floats:
    """Answer to cropped sequences with the mean probability of several fine-tuned classifiers.

    Args:
        folders: Of the classifiers: `finetune` wrote them.
        sequences: With labels, which play no part.

    Returns:
        Its logarithm, ``[sequence, class]``.

    Example:
        >>> import tempfile
        >>> recipe = {"task": "ienhancer_2l", "k": 3, "hidden": 8, "layers": 1, "heads": 1, "max_steps": 1}
        >>> config = FinetuneConfig.parse({**recipe, "baselines": False, "device": "cpu"})
        >>> rows = Sequences.from_strings(["ACGTTGCAACGG", "TTGACATTACAG"], labels=[0, 1])
        >>> folder = finetune(config, tempfile.mkdtemp())
        >>> np.exp(mean_answers([folder, folder], rows)).sum(axis=1).round(6).tolist()
        [1.0, 1.0]
    """
    logits = []
    for folder in folders:
        recipe = json.loads((folder / "training.json").read_text(encoding="utf-8"))
        if "channels" in recipe:
            network = AutoModelForSequenceClassification.from_pretrained(
                folder, dtype=torch.float32, trust_remote_code=False
            )
            logits.append(answers(network, ConvolutionalConfig.parse(recipe), sequences))
        else:
            logits.append(load_model(folder, device=recipe["device"]).logits(sequences).astype(np.float64))
    mean: Floats = np.log(np.mean([softmax(each, axis=1) for each in logits], axis=0))
    return mean


def answers(network: nn.Module, config: FinetuneConfig, sequences: Sequences) -> Floats:
    """Answer to cropped sequences with a network over the tokens of overlapping k-mers.

    Args:
        network: From ``input_ids`` to ``logits``.
        config: Its recipe.
        sequences: With labels, which play no part.

    Returns:
        Logits, ``[sequence, class]``.

    Example:
        >>> from types import SimpleNamespace
        >>> class Cs(nn.Module):
        ...     def forward(self, ids: Tensor) -> SimpleNamespace:
        ...         return SimpleNamespace(logits=torch.stack([(ids == 7).sum(1), (ids == 8).sum(1)], dim=1))
        >>> answers(Cs(), FinetuneConfig(k=1), Sequences.from_strings(["ACGT", "GGCC"], labels=[0, 1])).tolist()
        [[1.0, 1.0], [2.0, 2.0]]
    """
    rows = LabelledRows(sequences, config, config.k, None, 0)
    device = next((each.device for each in network.parameters()), torch.device("cpu"))
    network.eval()
    with torch.no_grad():
        parts = [
            network(
                rows.__getitems__(list(range(i, min(i + config.batch_size, len(rows)))))["input_ids"].to(device)
            ).logits
            for i in range(0, len(rows), config.batch_size)
        ]
    return torch.cat(parts).double().cpu().numpy()
