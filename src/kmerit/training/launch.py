"""Fine-tuning in processes of its own: several together on one model, or one for each of several models.

``launch`` starts ``python -m kmerit.training.launch``, which does one training.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple

from kmerit.errors import KmeritError, RunError
from kmerit.store import write_json
from kmerit.training.convolutional import ConvolutionalConfig, convolutional_network
from kmerit.training.finetuning import finetune
from kmerit.training.recipe import FinetuneConfig, check_folder, is_done

# glibc gives large blocks back to the system after each batch and pays for them again as page faults; keeping them
# is worth a quarter of the speed on a CPU.
_ENVIRONMENT = {
    "OMP_NUM_THREADS": "1",
    "MALLOC_MMAP_THRESHOLD_": str(2**32),
    "MALLOC_TRIM_THRESHOLD_": str(2**34),
    "MALLOC_TOP_PAD_": str(2**28),
}


def launch(config: FinetuneConfig, out: Path, processes: int = 1) -> Path:
    """Fine-tune in processes of its own, of one thread each, unless it is done; a stopped training resumes.

    Args:
        config: Of the training; a `ConvolutionalConfig` trains a convolutional network.
        out: The model's folder; the recipe goes next to it, as ``OUT.json``.
        processes: How many train together.

    Returns:
        ``out``.

    Raises:
        RunError: It failed; its own message is on stderr.
        RunMismatch: The folder holds another training, a finished one included.

    Example:
        What is done is not done again:

        >>> import tempfile
        >>> recipe = {"task": "ienhancer_2l", "k": 3, "hidden": 8, "layers": 1, "heads": 1, "max_steps": 1}
        >>> config = FinetuneConfig.parse({**recipe, "baselines": False, "device": "cpu"})
        >>> folder = finetune(config, Path(tempfile.mkdtemp()) / "mine")
        >>> launch(config, folder).name
        'mine'
    """
    if is_made(Stage(config, out)):
        return out
    out.parent.mkdir(parents=True, exist_ok=True)
    recipe = out.with_name(f"{out.name}.json")
    write_json(recipe, config.model_dump(mode="json"))
    together = ["-m", "torch.distributed.run", "--standalone", "--nproc_per_node", str(processes)]
    module = ["-m", "kmerit.training.launch", type(config).__name__, str(recipe), str(out)]
    command = [sys.executable, *(together if processes > 1 else []), *module]
    if subprocess.run(command, env={**_ENVIRONMENT, **os.environ}, check=False).returncode != 0:
        raise RunError(f"The training {out} failed; its error is printed above. Fix it, and start again.")
    return out


STOPPED = 130
"""What a process returns that was stopped by Ctrl-C."""


class Stage(NamedTuple):
    """One of several trainings.

    Attributes:
        recipe: Of the fine-tuning.
        out: The model's folder.
    """

    recipe: FinetuneConfig
    out: Path


def is_made(stage: Stage) -> bool:
    """Return whether the training of a stage is done.

    Raises:
        RunMismatch: Its folder holds a training by another recipe, or of other files; the first that differs is named.

    Example:
        >>> import tempfile
        >>> is_made(Stage(FinetuneConfig.parse({"k": 3}), Path(tempfile.mkdtemp()) / "mine"))
        False
    """
    check_folder(stage.out, stage.recipe)
    return is_done(stage.out)


def launch_stage(stage: Stage, processes: int = 1, begun: Callable[[Path], None] | None = None) -> Path:
    """Do a stage, unless it is done; see `launch`.

    Args:
        stage: A training.
        processes: How many train together.
        begun: Gets the folder, where there is something to do.

    Returns:
        The model's folder.

    Raises:
        RunError: It failed; its own message is on stderr.
        RunMismatch: The folder holds another training, a finished one included.

    Example:
        >>> import tempfile
        >>> recipe = {"task": "ienhancer_2l", "k": 3, "hidden": 8, "layers": 1, "heads": 1, "max_steps": 1}
        >>> config = FinetuneConfig.parse({**recipe, "baselines": False, "device": "cpu"})
        >>> folder = finetune(config, Path(tempfile.mkdtemp()) / "mine")
        >>> launch_stage(Stage(config, folder)).name
        'mine'
    """
    if not is_made(stage):
        if begun is not None:
            begun(stage.out)
        launch(stage.recipe, stage.out, processes)
    return stage.out


def launch_round(stages: Sequence[Stage], together: int, begun: Callable[[Path], None] | None = None) -> list[Path]:
    """Do stages that do not need each other, several at a time, each in a process of its own.

    Args:
        stages: Trainings.
        together: How many train at a time.
        begun: Gets the folder of each that has something to do.

    Returns:
        The models' folders.

    Raises:
        RunError: One failed; its own message is on stderr.
        RunMismatch: A folder holds another training.

    Example:
        >>> launch_round([], together=2)
        []
    """
    with ThreadPoolExecutor(together) as pool:
        futures = [pool.submit(launch_stage, stage, 1, begun) for stage in stages]
        try:
            return [each.result() for each in futures]
        except BaseException:  # Ctrl-C, too: no other one is begun
            pool.shutdown(wait=False, cancel_futures=True)
            raise


def main(kind: str, recipe: str, out: str) -> int:
    """Do one training, in a process that `launch` started."""
    keys, progress = json.loads(Path(recipe).read_text(encoding="utf-8")), _line_a_minute(Path(out).name)
    try:
        if kind == ConvolutionalConfig.__name__:
            finetune(ConvolutionalConfig.parse(keys), out, network=convolutional_network, progress=progress)
        else:
            finetune(FinetuneConfig.parse(keys), out, progress=progress)
    except KmeritError as error:
        print(f"{type(error).__name__}: {error}", file=sys.stderr)
        return error.exit_code
    except KeyboardInterrupt:  # whoever started this says what to do
        return STOPPED
    return 0


def _line_a_minute(name: str) -> Callable[[int, int], None]:
    last = 0.0

    def progress(done: int, total: int) -> None:
        nonlocal last
        if time.monotonic() - last >= 60 or done == total:
            last = time.monotonic()
            print(f"{name}: step {done} of {total}", file=sys.stderr, flush=True)

    return progress


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
