"""The training loop:
transformers' Trainer, with layer-wise learning rates, weight averages, teachers and exact resumption.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, load_model, save_file, save_model
from torch import Tensor, nn
from torch.utils.data import Dataset
from transformers import AutoModelForSequenceClassification, Trainer, TrainerCallback, TrainingArguments
from transformers.trainer_callback import PrinterCallback, ProgressCallback
from transformers.trainer_utils import EvalPrediction

from kmerit.errors import CheckpointError, NotFinite
from kmerit.models.checkpoint import locate
from kmerit.models.inference import where_it_began
from kmerit.models.library import quiet
from kmerit.store import atomic_write, is_first, read_proof, write_proof
from kmerit.training.data import Batch, as_batch
from kmerit.training.learner import loading
from kmerit.training.recipe import CHECKPOINTS, TrainingConfig, forget_checkpoints, last_whole, mark_whole

Progress = Callable[[int, int], None]
Log = list[dict[str, float]]

BEST = "best.safetensors"
_AVERAGE = "average.safetensors"


def save_weights(model: nn.Module, path: Path, about: Mapping[str, Any] | None = None) -> None:
    """Write weights, and a record next to them that proves them."""
    with atomic_write(path) as part:
        save_model(model, str(part))
    write_proof(path.with_suffix(".json"), [path.name], about)


class WeightAverage(TrainerCallback):  # type: ignore[misc]
    """An exponential moving average of the weights, part of every checkpoint."""

    def __init__(self, decay: float) -> None:
        self.decay = decay
        self.weights: dict[str, Tensor] = {}

    def on_train_begin(self, args: Any, state: Any, control: Any, **rest: Any) -> None:
        """Start from the weights as they are, or from the checkpoint's average."""
        self.weights = {name: value.detach().clone() for name, value in _averaged(rest["model"])}
        if state.global_step:
            average = load_file(Path(args.output_dir) / f"checkpoint-{state.global_step}" / _AVERAGE)
            for name, value in self.weights.items():
                value.copy_(average[name])

    def on_step_end(self, args: Any, state: Any, control: Any, **rest: Any) -> None:
        """Take the new weights in; the first steps weigh more, so that the start is forgotten."""
        decay = min(self.decay, (1 + state.global_step) / (10 + state.global_step))
        with torch.no_grad():
            for name, value in _averaged(rest["model"]):
                self.weights[name].lerp_(value, 1 - decay)

    def on_save(self, args: Any, state: Any, control: Any, **rest: Any) -> None:
        """Write the average next to the weights."""
        if is_first():
            save_file(self.weights, Path(args.output_dir) / f"checkpoint-{state.global_step}" / _AVERAGE)

    @contextmanager
    def shown(self, model: nn.Module) -> Iterator[None]:
        """Load the average into the model for the duration of the block."""
        own = {name: value.detach().clone() for name, value in _averaged(model)}
        _assign(model, self.weights or own)
        try:
            yield
        finally:
            _assign(model, own)


def _averaged(model: nn.Module) -> Iterator[tuple[str, Tensor]]:
    """List what an average is made of: the parameters, and what batch norm has seen."""
    yield from model.named_parameters()
    yield from ((name, value) for name, value in model.named_buffers() if value.is_floating_point())


def _assign(model: nn.Module, weights: Mapping[str, Tensor]) -> None:
    with torch.no_grad():
        for name, value in _averaged(model):
            value.copy_(weights[name])


class Keeper(TrainerCallback):  # type: ignore[misc]
    """Keeps the best weights by validation, stops in time, marks whole checkpoints, reports progress.

    What is best follows from the log alone, which every checkpoint holds: so a resumed training chooses alike.
    """

    def __init__(
        self, choose_by: str | None, patience: int | None, average: WeightAverage | None, progress: Progress | None
    ) -> None:
        self.choose_by, self.patience, self.average, self.progress = choose_by, patience, average, progress

    def averaged(self, model: nn.Module) -> AbstractContextManager[None]:
        """Show the average, if there is one."""
        return self.average.shown(model) if self.average else nullcontext()

    def _since_best(self, log: Log) -> int:
        """Count the validations since the best one."""
        sign = -1 if self.choose_by == "loss" else 1
        scores = [sign * entry[f"eval_{self.choose_by}"] for entry in log if f"eval_{self.choose_by}" in entry]
        return len(scores) - 1 - scores.index(max(scores)) if scores else 0

    def exhausted(self, log: Log) -> bool:
        """Return whether the patience has run out."""
        return self.choose_by is not None and self.patience is not None and self._since_best(log) >= self.patience

    def on_evaluate(self, args: Any, state: Any, control: Any, **rest: Any) -> None:
        """Keep these weights if no earlier ones are as good; stop if the last ones to be so are too long ago."""
        if self.choose_by is None:
            return
        if self._since_best(state.log_history) == 0 and is_first():
            save_weights(rest["model"], Path(args.output_dir) / BEST)
        control.should_training_stop |= self.exhausted(state.log_history)

    def on_save(self, args: Any, state: Any, control: Any, **rest: Any) -> None:
        """Mark the checkpoint as whole, once every process has written its part."""
        if torch.distributed.is_initialized():
            torch.distributed.barrier()
        if is_first():
            mark_whole(Path(args.output_dir) / f"checkpoint-{state.global_step}")

    def on_step_end(self, args: Any, state: Any, control: Any, **rest: Any) -> None:
        """Report progress."""
        if self.progress is not None and is_first():
            self.progress(state.global_step, state.max_steps)


@dataclass(frozen=True, eq=False)
class Teacher:
    """An ensemble of fine-tuned models, whose probabilities a pupil learns.

    Source: hinton2015, section 2, at temperature 1.

    Attributes:
        models: Frozen.
        share: The teachers' share of the loss.
    """

    models: tuple[nn.Module, ...]
    share: float

    def blend(self, loss: Tensor, logits: Tensor, batch: Batch) -> Tensor:
        """Mix the loss on the labels with the cross entropy [nats] to the teachers' mean probabilities.

        Args:
            loss: On the labels.
            logits: The pupil's, [row, class].
            batch: What it was shown.
        """
        with torch.no_grad():
            answers = [model.to(logits.device)(**batch)["logits"].float().softmax(-1) for model in self.models]
        mean = torch.stack(answers).mean(0)
        return (1 - self.share) * loss + self.share * nn.functional.cross_entropy(logits, mean)


def teacher(names: Sequence[str], share: float, pupil: nn.Module) -> Teacher | None:
    """Load the teachers of a pupil; None if the recipe names none.

    Raises:
        CheckpointError: Not readable, or not of the pupil's tokens and classes.
    """
    models: list[nn.Module] = []
    for name in names:
        with loading(name):
            model = AutoModelForSequenceClassification.from_pretrained(
                locate(name), dtype=torch.float32, trust_remote_code=False
            )
        for what in ("vocab_size", "num_labels"):
            model_value, pupil_value = getattr(model.config, what), getattr(pupil.config, what)
            if model_value != pupil_value:
                raise CheckpointError(
                    f"{name}: a teacher needs the pupil's {what}, {pupil_value}; it has {model_value}."
                )
        models.append(model.eval().requires_grad_(False))
    return Teacher(tuple(models), share) if models else None


Loss = Callable[[Tensor, Tensor], Tensor]

LOG_STEPS = 25
_LAST = "last.safetensors"


def fit(
    model: nn.Module,
    train: Dataset[Batch],
    rows: int,
    config: TrainingConfig,
    out: Path,
    *,
    validation: Dataset[Batch] | None = None,
    rows_per_epoch: int | None = None,
    loss: Loss | None = None,
    teacher: Teacher | None = None,
    metrics: Callable[[EvalPrediction], dict[str, float]] | None = None,
    choose_by: str | None = None,
    progress: Progress | None = None,
) -> Log:
    """Train a model in place, resuming from the last complete checkpoint in ``out``; end with the chosen weights.

    Args:
        model: What is trained.
        train: Rows in the order in which they are to come, all epochs end to end.
        rows: How many those are.
        config: The recipe.
        out: Folder of the training.
        validation: Rows to measure on, if any.
        rows_per_epoch: After how many rows it is measured, unless ``config.eval_steps`` says; once by default.
        loss: ``(logits, labels) -> scalar``; the model's own by default.
        teacher: Gives every training batch a second, softer target.
        metrics: Computes validation metrics; only the loss is measured by default.
        choose_by: Metric (higher is better; ``loss``: lower) whose best weights are kept; the last ones by default.
        progress: Told the steps done and to do.

    Returns:
        The log: training loss and validation metrics by step, without times.
    """
    if config.threads:
        torch.set_num_threads(config.threads)
    folder = out / CHECKPOINTS
    arguments = _arguments(config, folder, measured=validation is not None, only_loss=metrics is None)
    per_step = config.batch_size * config.accumulate * arguments.world_size
    steps = config.max_steps or math.ceil(rows / per_step)
    arguments.max_steps = steps
    arguments.warmup_steps = round(config.warmup * steps)
    arguments.eval_steps = config.eval_steps or max(1, min(steps, math.ceil((rows_per_epoch or rows) / per_step)))
    average = WeightAverage(config.average_decay) if config.average_decay else None
    keeper = Keeper(choose_by, config.patience, average, progress)
    trainer = KmeritTrainer(
        model=model,
        args=arguments,
        train_dataset=train,
        eval_dataset=validation,
        data_collator=as_batch,
        compute_metrics=metrics,
        callbacks=[*([average] if average else []), keeper],
        logits_loss=loss,
        teacher=teacher,
        average=average,
        layer_decay=config.layer_decay,
    )
    trainer.remove_callback(PrinterCallback)
    trainer.remove_callback(ProgressCallback)
    start, last, best = last_whole(out), _proven(folder / _LAST), _proven(folder / BEST)
    log = _logged(start) if last is None else last["log"]
    if best is None and choose_by and any(f"eval_{choose_by}" in entry for entry in log):
        start, last, log = None, None, []  # the best weights are gone, and only the whole training makes them again
    trainer.accelerator.wait_for_everyone()
    if start is None and is_first():
        forget_checkpoints(out)
    trainer.accelerator.wait_for_everyone()
    if last is None and not keeper.exhausted(log):
        with quiet():
            trainer.train(resume_from_checkpoint=str(start) if start else None)
        log = trainer.state.log_history
        if is_first():
            with keeper.averaged(model):
                save_weights(model, folder / _LAST, {"log": log})
    trainer.accelerator.wait_for_everyone()
    load_model(model, folder / (BEST if choose_by and (folder / BEST).is_file() else _LAST))
    trainer.accelerator.wait_for_everyone()  # before anyone removes the checkpoints
    return _reproducible(log)


def _arguments(config: TrainingConfig, folder: Path, *, measured: bool, only_loss: bool) -> TrainingArguments:
    return TrainingArguments(
        output_dir=str(folder),
        seed=config.seed,
        learning_rate=config.learning_rate,
        weight_decay=config.weight_decay,
        adam_beta2=config.adam_beta2,
        lr_scheduler_type={"constant": "constant_with_warmup"}.get(config.schedule, config.schedule),
        max_grad_norm=config.max_gradient_norm,
        max_steps=1,
        per_device_train_batch_size=config.batch_size,
        per_device_eval_batch_size=config.batch_size,
        gradient_accumulation_steps=config.accumulate,
        bf16=config.bf16,
        use_cpu=config.device == "cpu",
        eval_strategy="steps" if measured else "no",
        save_strategy="steps",
        save_steps=config.save_steps,
        logging_steps=LOG_STEPS,
        prediction_loss_only=only_loss,
        remove_unused_columns=False,
        label_names=["labels"],
        train_sampling_strategy="sequential",
        dataloader_pin_memory=False,
        ddp_find_unused_parameters=False,
        average_tokens_across_devices=False,
        disable_tqdm=True,
        report_to="none",
    )


def _reproducible(log: Log) -> Log:
    """Leave out times, and the summary, which after a resumption covers the rest only.

    What transformers calls an epoch goes too: here one epoch is the whole training.
    """
    left_out = ("epoch", "_runtime", "_per_second")
    entries = [entry for entry in log if "train_loss" not in entry]
    return [{key: entry[key] for key in sorted(entry) if not key.endswith(left_out)} for entry in entries]


def _proven(weights: Path) -> dict[str, Any] | None:
    """Read the record of weights that are there as they were written; else None."""
    return read_proof(weights.with_suffix(".json"))


def _logged(checkpoint: Path | None) -> Log:
    if checkpoint is None:
        return []
    state: dict[str, Any] = json.loads((checkpoint / "trainer_state.json").read_text(encoding="utf-8"))
    return list(state["log_history"])


class KmeritTrainer(Trainer):  # type: ignore[misc]
    """transformers' Trainer with a loss on logits, a learning rate per layer, and validation of averaged weights."""

    def __init__(
        self,
        *,
        logits_loss: Loss | None,
        teacher: Teacher | None,
        average: WeightAverage | None,
        layer_decay: float,
        **rest: Any,
    ):
        super().__init__(**rest)
        self.logits_loss, self.teacher, self.average, self.layer_decay = logits_loss, teacher, average, layer_decay
        self.loss_is_scaled_for_ga = False

    def compute_loss(
        self, model: nn.Module, inputs: Batch, return_outputs: bool = False, num_items_in_batch: Any = None
    ) -> Any:
        """Compute the mean loss of a batch."""
        if self.logits_loss is None:
            outputs = model(**inputs)
            value = outputs["loss"]
        else:
            arguments = {name: tensor for name, tensor in inputs.items() if name != "labels"}
            outputs = model(**arguments)
            value = self.logits_loss(outputs["logits"].float(), inputs["labels"])
            if self.teacher is not None and model.training:
                value = self.teacher.blend(value, outputs["logits"].float(), arguments)
        self._refuse_nonfinite(model, inputs, value if model.training else outputs["logits"])
        return (value, outputs) if return_outputs else value

    def _refuse_nonfinite(self, model: nn.Module, inputs: Batch, answer: Tensor) -> None:
        """Stop a training that diverged, before its weights are taken for a model."""
        if not bool(torch.isfinite(answer).all()):
            arguments = {name: tensor for name, tensor in inputs.items() if name != "labels"}
            what = "loss" if model.training else "answer on a validation row"
            raise NotFinite(
                f"Step {self.state.global_step}: the {what} is not a finite number; it began in "
                f"{where_it_began(model, lambda: model(**arguments))}. The training diverged: lower learning_rate."
            )

    def evaluate(self, *args: Any, **options: Any) -> dict[str, float]:
        """Measure the averaged weights, where there are any."""
        with self.average.shown(self.model) if self.average else nullcontext():
            result: dict[str, float] = super().evaluate(*args, **options)
        return result

    def create_optimizer(self, model: nn.Module | None = None) -> torch.optim.Optimizer:
        """Make AdamW: decay on matrices only, the learning rate falling with the distance from the head."""
        kind, options = self.get_optimizer_cls_and_kwargs(self.args, self.model)
        optimizer: torch.optim.Optimizer = kind(_groups(model or self.model, self.args, self.layer_decay), **options)
        self.optimizer = optimizer
        return optimizer


def _groups(model: nn.Module, arguments: TrainingArguments, layer_decay: float) -> list[dict[str, Any]]:
    """Group parameters by learning rate and weight decay."""
    trained = [(name, parameter) for name, parameter in model.named_parameters() if parameter.requires_grad]
    top = 1 + max((_layer(name) or 0 for name, _ in trained), default=0)
    groups: dict[tuple[float, float], list[nn.Parameter]] = {}
    for name, parameter in trained:
        layer = _layer(name)
        below = top - (top if layer is None else layer)
        decay = arguments.weight_decay if parameter.ndim > 1 else 0.0
        groups.setdefault((arguments.learning_rate * layer_decay**below, decay), []).append(parameter)
    return [
        {"params": parameters, "lr": rate, "weight_decay": decay}
        for (rate, decay), parameters in sorted(groups.items())
    ]


def _layer(name: str) -> int | None:
    """Number a parameter's height: 0 for embeddings, from 1 for layers, None for everything above."""
    numbered = re.search(r"\.layers?\.(\d+)\.", name)
    if numbered:
        return 1 + int(numbered[1])
    return 0 if re.search(r"\.embeddings?\.|\.embed_tokens\.", name) else None
