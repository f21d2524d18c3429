"""A run from its config to its report: stage after stage, each done once."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator, Mapping, Sequence, Set
from contextlib import ExitStack, contextmanager, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING

from kmerit import processes
from kmerit.config import Tree
from kmerit.errors import UsageError
from kmerit.runs.config import Preset, load_config
from kmerit.runs.environment import describe, threads
from kmerit.runs.folder import LOG, RunFolder
from kmerit.runs.inputs import check_own_sources, plan
from kmerit.runs.job import Job, Progress, Watch, unsaid
from kmerit.runs.resolve import resolve
from kmerit.runs.stages import STAGES, Stage
from kmerit.store import altered, hold, remove_own, sha256, write_json

if TYPE_CHECKING:
    from kmerit.models import Model

_REPORT = ("report.html", "table1.csv", "table1.md", "figure1.png", "figure1.svg")
_ASKED = ("config.toml", "manifest.json")
"""What the report tells of how the run was made; its record keeps their sums, too."""
_LOG = logging.getLogger("kmerit.runs")
_LOG.setLevel(logging.INFO)


def run(
    config_path: Path | str,
    out: Path | str,
    overrides: Sequence[str] = (),
    watch: Watch | None = None,
    say: Callable[[str], None] = unsaid,
    preset: Preset | None = None,
    models: Mapping[str, Model] | None = None,
) -> Path:
    r"""Run an experiment, from sequences to verdicts and a report, or go on with it where it stopped.

    Several processes (``accelerate launch``) share the mutants, with the same results. A finished run may be given the
    table ``[motifs]``; nothing else is done again. All other keys must be as they were.

    Args:
        config_path: The TOML that says what to do, or ``bundled:NAME`` (``kmerit list configs``).
        out: The run's folder: a new one, or that of the same run stopped earlier.
        overrides: Keys of the config set to other values, ``"trial.draws=3"``.
        watch: Displays progress; by default nothing does.
        say: Shows a line of text: before any mutant is classified, what so many sequences can show.
        preset: ``fair``, ``paper`` or ``quick``, in place of what the config's ``[trial]`` mutates.
        models: Models in memory, such as ``wrap`` makes, by the name that stands in the config: ``model = "mine"``.

    Returns:
        The report, ``out/report.html``; each task's report cards are ``out/tasks/TASK/cards.md``.

    Raises:
        ConfigError: The config is wrong; nothing was written.
        RunLocked: Another process works in ``out``.
        RunMismatch: ``out`` holds a run of another config.
        DiskFull: There is no space left; what is done stays done.

    Example:
        >>> import tempfile
        >>> folder = Path(tempfile.mkdtemp())
        >>> rows = [f"{'ACGTTGCA' * 4}{'AC'[i % 2]}{'ACGT'[i // 2]},{i % 2}" for i in range(8)]
        >>> _ = (folder / "mine.csv").write_text("\n".join(["sequence,label", *rows]))
        >>> _ = (folder / "mine.toml").write_text("[tasks.mine]\nmodel = 'bundled:promoter'\nsequences = 'mine.csv'")
        >>> small = ["attribution.methods=['rollout']", "trial.ism_per_class=0", "statistics.resamples=100"]
        >>> report = run(folder / "mine.toml", folder / "out", small, preset="quick")
        >>> report.with_name("tasks").joinpath("mine", "cards.md").exists()
        True
    """
    written = load_config(config_path, overrides, preset)
    config, out = resolve(written), Path(out)
    if config.data.per_class < written.data.per_class and processes.is_first():
        say(f"A quick trial takes {config.data.per_class} sequences a class at most, not {written.data.per_class}.")
    given = models or {}
    if strange := set(given) - {table.model for table in config.tasks.values()}:
        raise UsageError(f"models: no task of the config has model = {min(strange)!r}.")
    folder = RunFolder(out)
    gone = folder.gone_models({name: table.model for name, table in config.tasks.items()})
    tasks = {
        name: table.model_copy(update={"model": gone.get(name, table.model)}) for name, table in config.tasks.items()
    }
    config = config.model_copy(update={"tasks": tasks})
    jobs = [Job(name, config, folder.path / "tasks" / name, watch or _unwatched, say, given) for name in config.tasks]
    if not processes.is_first():
        return _assist(folder, jobs)
    manifest = describe(config)
    with ExitStack() as stack:
        stack.enter_context(hold(folder.path))
        stack.enter_context(threads(config.compute.threads))
        optional = {each.table: [f"{job.name}.{each.name}" for job in jobs] for each in STAGES if each.table}
        asked = config.model_dump(mode="json", exclude_none=True)
        folder.check(asked, manifest, optional)
        undone = {job.name: {s.name for s in STAGES if not folder.is_done(f"{job.name}.{s.name}")} for job in jobs}
        for job in jobs:
            if "data" not in undone[job.name]:
                check_own_sources(job)
            plan(job, undone[job.name])
        folder.begin(asked, manifest, optional)
        stack.enter_context(_logged_to(folder.path / LOG))
        # Stage by stage, not task by task: what is wrong with any input shows before the long computations.
        for stage in STAGES:
            for job in jobs:
                processes.meet()
                _perform(folder, stage, job, undone[job.name])
        return _report(folder, manifest, jobs)


def rewrite_report(out: Path | str) -> Path:
    """Write the report of a run again, from what is saved; an unfinished run gets what can be said of it.

    Args:
        out: The run's folder.

    Returns:
        The report, ``out/report.html``.

    Raises:
        RunError: The folder holds no run, or one of a newer kmerit.
        RunLocked: The run is still going on.
        FormatError: An artefact cannot be understood.

    Example:
        >>> rewrite_report("nowhere")
        Traceback (most recent call last):
        kmerit.errors.RunError: 'nowhere' is not a folder; expected the output of: kmerit run CONFIG --out FOLDER
    """
    from kmerit.report import write_report

    folder = Path(out)
    with hold(folder) if folder.is_dir() else nullcontext():
        return write_report(folder)


def _assist(folder: RunFolder, jobs: Sequence[Job]) -> Path:
    """Do this process's share of what the first one cannot finish alone, and write nothing else."""
    with threads(jobs[0].config.compute.threads):
        for stage in STAGES:
            for job in jobs:
                processes.meet()
                if stage.shared and not folder.is_done(f"{job.name}.{stage.name}"):
                    stage.work(job)
    return folder.path / "report.html"


def _perform(folder: RunFolder, stage: Stage, job: Job, undone: Set[str]) -> None:
    name = f"{job.name}.{stage.name}"
    if stage.name not in undone and folder.recorded(name) is not None:
        _LOG.info("%s: %s: done before", job.name, stage.title)
        return
    folder.forget("report")
    before = folder.recorded(name)
    if before is not None:
        changed = altered(folder.path, before)
        _LOG.warning("%s: %s: artefacts were changed; it is done again (%s)", job.name, stage.title, ", ".join(changed))
        trained = f"tasks/{job.name}/model/"  # of which the training itself sees what is damaged
        remove_own(folder.path, [each for each in changed if not each.startswith(trained)], itself=False)
    started = time.monotonic()
    job.folder.mkdir(parents=True, exist_ok=True)
    stage.work(job)
    left = folder.mark_done(name, _artefacts(stage, job))
    if left != before and not stage.table:
        for later in STAGES[STAGES.index(stage) + 1 :]:
            folder.forget(f"{job.name}.{later.name}")
    _LOG.info("%s: %s: %.1f s", job.name, stage.title, time.monotonic() - started)


def _artefacts(stage: Stage, job: Job) -> list[str]:
    return [f"tasks/{job.name}/{artefact}" for artefact in stage.artefacts]


def _report(folder: RunFolder, manifest: Tree, jobs: Sequence[Job]) -> Path:
    from kmerit.report import write_report
    from kmerit.report.page import FIGURE2

    if not folder.is_done("report"):
        folder.forget("report")  # the report reads the records of the stages
        used = {job.name: {"model": job.read_json("model.json"), "data": _digests(job)} for job in jobs}
        write_json(folder.path / "manifest.json", {**manifest, "tasks": used})
        write_report(folder.path)
        drawn = [name for name in FIGURE2 if (folder.path / name).exists()]
        folder.mark_done("report", (*_REPORT, *drawn, *_ASKED))
        _LOG.info("report written")
    return folder.path / "report.html"


def _digests(job: Job) -> Tree:
    paths = (job.folder / f"{which}.parquet" for which in ("test", "sequences", "validation"))
    return {path.stem: sha256(path) for path in paths if path.exists()}


def _unwatched(title: str) -> nullcontext[Progress]:
    return nullcontext(lambda done, total: None)


class _LogFile(logging.FileHandler):
    """A log that a full disk may cut short without a word: the results are what matters."""

    def handleError(self, record: logging.LogRecord) -> None:
        pass


@contextmanager
def _logged_to(path: Path) -> Iterator[None]:
    """Append what happens, with its time; times stand nowhere else in a run's folder."""
    handler = _LogFile(path, encoding="utf-8")
    handler.setFormatter(logging.Formatter("%(asctime)s %(message)s"))
    _LOG.addHandler(handler)
    try:
        yield
    finally:
        _LOG.removeHandler(handler)
        handler.close()
