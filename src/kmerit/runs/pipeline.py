"""A run from its config to its report: stage after stage, each done once."""

from __future__ import annotations

import json
import logging
import os
import platform
import time
from collections.abc import Callable, Iterator, Mapping, Sequence, Set
from contextlib import ExitStack, contextmanager, nullcontext
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

import tomli_w

from kmerit import store
from kmerit.config import Tree, read_toml
from kmerit.errors import ConfigError, RunError, RunMismatch, UnknownName, UsageError
from kmerit.formats import Shown
from kmerit.report.load import REFERENCE
from kmerit.runs.settings import Preset, RunConfig, load_config, resolve
from kmerit.runs.stages import STAGES, Job, Stage, Watch, check_own_sources, plan, unsaid, unwatched
from kmerit.store import (
    Share,
    Stages,
    Work,
    altered,
    hold,
    refuse_other,
    refuse_strangers,
    remove_own,
    settle_text,
    sha256,
    write_json,
)
from kmerit.trials.outcomes import read_outcomes

if TYPE_CHECKING:
    import pandas as pd

    from kmerit.models.model import Model
    from kmerit.results import Outcomes
    from kmerit.sequences import Sequences


SCHEMA = 2
"""The layout of a run folder; raised when a reader of the old layout would misread the new one."""

_PACKAGES = ("kmerit", "numpy", "pandas", "pyarrow", "scikit-learn", "scipy", "torch", "transformers")


def describe(config: RunConfig) -> Tree:
    """Say with which versions and on which machine a run is computed."""
    compute = config.compute.model_dump(mode="json")
    return {
        "schema": SCHEMA,
        "versions": {"python": platform.python_version(), **{name: version(name) for name in _PACKAGES}},
        "seed": config.seed,
        "compute": {**compute, "machine": platform.machine(), "system": platform.system()},
    }


@contextmanager
def threads(count: int) -> Iterator[None]:
    """Let torch compute with ``count`` threads, and put back what was set."""
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(before)


CONFIG, MANIFEST, LOG = "config.toml", "manifest.json", "run.log"


@dataclass(frozen=True)
class RunFolder(Stages):
    """A run's folder. Whoever writes to it must hold it."""

    def check(self, config: Tree, manifest: Tree, optional: Mapping[str, Sequence[str]] | None = None) -> None:
        """Refuse a folder that is none of this run; nothing is written.

        Args:
            config: All that determines the results.
            manifest: What else is known of the run.
            optional: Tables of the config that a run may be given later; by name, the stages that read it and are done
                again. Nothing but the report follows from them. Until one of these stages is done with a table, it may
                be another, or withdrawn.

        Raises:
            RunMismatch: The folder holds a run of another config, or of other versions, or something else.
            RunError: What says of which config the run is, is damaged.
        """
        here, about = self.settings(), self._manifest()
        if here is None or (about is None and not self.names()):
            names = {LOG} if about is None else {LOG, MANIFEST}  # by a start that was cut off
            refuse_strangers(self.path, "a run", lambda entry: entry.name in names)
        if not self._holds_work():  # a config that led nowhere may be corrected
            return
        if about is not None and about["schema"] != manifest["schema"]:
            raise RunMismatch(
                f"{self.path} holds a run of another version of kmerit (layout {about['schema']}; this one writes "
                f"{manifest['schema']}). Choose a new folder with --out (Python: out=)."
            )
        if here is not None:
            free = {name for name, stages in (optional or {}).items() if name not in here or not self._any(stages)}
            compared = ({key: value for key, value in each.items() if key not in free} for each in (here, config))
            presets = ({"trial": {"preset": each.get("trial", {}).get("preset")}} for each in (here, config))
            refuse_other(self.path, "a run of another config", *presets)  # first, for other keys follow from it
            refuse_other(self.path, "a run of another config", *compared)
        if about is not None:
            refuse_other(self.path, "a run of another environment", about["versions"], manifest["versions"])

    def gone_models(self, models: Mapping[str, str | None]) -> dict[str, str]:
        """Find models whose folders are gone: a path that is not there is taken for a hub's name.

        Args:
            models: By task, what the config calls it now.

        Returns:
            By task, the path that it was.
        """
        tasks = (self.settings() or {}).get("tasks", {})
        before = {name: tasks.get(name, {}).get("model") for name in models}
        return {
            name: was
            for name, was in before.items()
            if was and Path(was).is_absolute() and not os.path.exists(was) and Path(was).match(models[name] or "/")
        }

    def begin(self, config: Tree, manifest: Tree, optional: Mapping[str, Sequence[str]] | None = None) -> None:
        """Start a run here, or resume the one that is here; see `check`."""
        self.check(config, manifest, optional)
        earlier = self.settings()
        for table in optional or {}:
            if earlier is not None and config.get(table) != earlier.get(table):
                for stage in (optional or {})[table]:
                    self.forget(stage)
        if self._manifest() is None or not self._holds_work():
            write_json(self.path / MANIFEST, manifest)
        settle_text(self.path / CONFIG, tomli_w.dumps(config))

    def _any(self, stages: Sequence[str]) -> bool:
        return any(self.recorded(stage) is not None for stage in stages)

    def _holds_work(self) -> bool:
        return bool(self.names()) or (self.path / "tasks").exists()

    def settings(self) -> Tree | None:
        """Read the run's config as it was resolved; None if there is none."""
        path = self.path / CONFIG
        if not path.exists():
            return None
        try:
            return read_toml(path)
        except (ConfigError, ValueError) as error:
            raise RunError(f"{path} is damaged: {error}. Choose a new folder with --out (Python: out=).") from None

    def _manifest(self) -> Any:
        """Read the manifest; None if there is none. One of another program's is no run's."""
        path = self.path / MANIFEST
        if not path.exists():
            return None
        try:
            manifest = json.loads(path.read_text(encoding="utf-8"))
            if isinstance(manifest, dict) and isinstance(manifest.get("versions"), dict) and "schema" in manifest:
                return manifest
        except ValueError:
            pass
        raise RunError(f"{path} is not of a run, or damaged. Choose a new folder with --out (Python: out=).")


_REPORT = ("report.html", "table1.csv", "table1.md", "figure1.png", "figure1.svg")
_ASKED = ("config.toml", "manifest.json")
"""What the report shows of how the run was made; its record keeps their sums, too."""
UNDONE = {"data": "sequences", "model": "model", "attribute": "scores", "trial": "outcomes", "decide": "verdicts"}
"""What stages leave, by their names."""
_LOG = logging.getLogger("kmerit.runs")
_LOG.setLevel(logging.INFO)


@dataclass(frozen=True)
class Run(Shown):
    """A run on disk: its report, verdicts and curves, and the scores and raw outcomes behind them.

    Nothing is read before it is asked for. Where a run has several tasks, name one, or choose a part of `tasks`.

    Attributes:
        folder: The run's.

    Example:
        >>> Run(Path("nowhere")).tasks
        Traceback (most recent call last):
        kmerit.errors.RunError: 'nowhere' holds no run; expected the output of: kmerit run CONFIG --out FOLDER
    """

    folder: Path

    def __repr__(self) -> str:
        return f"<Run in {str(self.folder)!r}>"

    def to_frame(self) -> pd.DataFrame:
        """Return the verdicts, see `verdicts`."""
        return self.verdicts()

    def _shown_frame(self) -> pd.DataFrame:
        return self.verdicts().iloc[:, :5]

    @property
    def report(self) -> Path:
        """The page with everything that the run shows, ``report.html``."""
        return self.folder / "report.html"

    @property
    def config(self) -> RunConfig:
        """All that determines the run, as it was resolved.

        Raises:
            RunError: The folder holds no run.
        """
        settings = RunFolder(self.folder).settings()
        if settings is None:
            raise RunError(f"{str(self.folder)!r} holds no run; expected the output of: kmerit run CONFIG --out FOLDER")
        return RunConfig.parse(settings)

    @property
    def tasks(self) -> tuple[str, ...]:
        """Names of the tasks."""
        return tuple(self.config.tasks)

    def verdicts(self) -> pd.DataFrame:
        """Give a row per task, class and method, as ``cards.csv`` has it: the verdict and the numbers behind it."""
        return self._tables("cards.csv")

    def summary(self) -> pd.DataFrame:
        """Give a row per task, class, method and count: accuracies and more, as `summarise` gives them."""
        return self._tables("summary.csv")

    def sequences(self, task: str | None = None) -> Sequences:
        """Read a task's sequences on trial."""
        return self._job(task, "data").sequences("sequences")

    def scores(self, task: str | None = None) -> Path:
        """Return the file of a task's scores; `read_attributions` reads it."""
        return self._job(task, "attribute").folder / "attributions.parquet"

    def model(self, task: str | None = None) -> Model:
        """Load a task's model."""
        return self._job(task, "model").model

    def outcomes(self, task: str | None = None) -> Outcomes:
        """Read the raw outcomes of a task's trial."""
        return read_outcomes(self._job(task, "trial").folder / "outcomes")

    def _tables(self, name: str) -> pd.DataFrame:
        import pandas as pd

        jobs = [self._job(task, "decide") for task in self.tasks]
        return pd.concat([pd.read_csv(job.folder / name).assign(task=job.name) for job in jobs], ignore_index=True)

    def _job(self, task: str | None, stage: str) -> Job:
        """Find a task whose stage is done.

        Raises:
            RunError: The folder holds no run, or one that has not come so far.
            UsageError: Several tasks and none named.
            UnknownName: A task that the run does not have.
        """
        config, out = self.config, self.folder
        if task is None and len(config.tasks) > 1:
            raise UsageError(f"{out} has the tasks {', '.join(config.tasks)}. Choose one with --task.")
        name = next(iter(config.tasks)) if task is None else task
        if name not in config.tasks:
            raise UnknownName("task of this run", name, config.tasks)
        if not RunFolder(out).is_done(f"{name}.{stage}"):
            raise RunError(f"{out} has no {UNDONE[stage]} of {name} yet. Finish it: kmerit run CONFIG --out {out}")
        return Job(name, config, out / "tasks" / name, unwatched)


def run(
    config: Path | str,
    out: Path | str,
    overrides: Sequence[str] = (),
    watch: Watch = unwatched,
    say: Callable[[str], None] = unsaid,
    preset: Preset | None = None,
    models: Mapping[str, Model] | None = None,
    until: str | None = None,
) -> Run:
    r"""Run an experiment, from sequences to verdicts and a report, or resume it where it stopped.

    A finished run may be given the table ``[motifs]``; nothing else is done again. All other keys must be as they were.
    Several processes or machines share the mutants with `work`.

    Args:
        config: The TOML that says what to do, or ``bundled:NAME`` (``kmerit list configs``).
        out: The run's folder: a new one, or that of the same run stopped earlier.
        overrides: Keys of the config set to other values, ``"trial.draws=3"``.
        watch: Displays progress; by default nothing does.
        say: Shows a line of text: before any mutant is classified, what the number of sequences can show.
        preset: ``fair``, ``paper`` or ``quick``, in place of what the config's ``[trial]`` mutates.
        models: Models in memory, such as ``wrap`` makes, by the name that stands in the config: ``model = "mine"``.
        until: The last stage that is done, ``attribute`` for scores only; the run can be resumed to its end.

    Returns:
        The run: ``run.report`` is its page, ``run.verdicts()`` a table; more see `Run`.

    Raises:
        ConfigError: The config is wrong; nothing was written.
        RunLocked: Another process works in ``out``.
        RunMismatch: ``out`` holds a run of another config, or of a model in memory with other weights.
        DiskFull: There is no space left; what is done stays done.

    Example:
        >>> import tempfile
        >>> folder = Path(tempfile.mkdtemp())
        >>> rows = [f"{'ACGTTGCA' * 4}{'AC'[i % 2]}{'ACGT'[i // 2]},{i % 2}" for i in range(8)]
        >>> _ = (folder / "mine.csv").write_text("\n".join(["sequence,label", *rows]))
        >>> _ = (folder / "mine.toml").write_text("[tasks.mine]\nmodel = 'bundled:promoter'\nsequences = 'mine.csv'")
        >>> small = ["attribution.methods=['rollout']", "trial.ism_per_class=0", "statistics.resamples=100"]
        >>> result = run(folder / "mine.toml", folder / "out", small, preset="quick")
        >>> result.tasks, result.report.exists()
        (('mine',), True)
        >>> result.verdicts()[["label", "method", "verdict"]].values.tolist()
        [[0, 'rollout', 'undecided'], [1, 'rollout', 'undecided']]
    """
    return _run(config, out, overrides, watch, say, preset, models or {}, until, None)


def work(
    config: Path | str,
    out: Path | str,
    share: Work,
    overrides: Sequence[str] = (),
    watch: Watch = unwatched,
    say: Callable[[str], None] = unsaid,
    preset: Preset | None = None,
) -> Run:
    """Do a part of a run: the plan, a share of the mutants, or what follows when every share is there.

    The plan does all that is global once: sequences, model, scores, and what determines the outcomes (seeds, device,
    micro-batch, digests of weights, sequences and scores). A share classifies the mutants of its chunks, on any machine
    that sees the folder. Draws are keyed by the names of the sequences, so for every number of shares, in any order,
    the files are those of `run`.

    Args:
        config: As for `run`, the same for every part.
        out: The run's folder, which all parts see.
        share: ``"plan"``, a `Share`, or ``"gather"``.
        overrides: As for `run`.
        watch: As for `run`.
        say: As for `run`.
        preset: As for `run`.

    Returns:
        The run.

    Raises:
        RunError: A share before the plan, or gathered before every share is there.
        RunMismatch: Of another plan: other keys, versions, weights, device or micro-batch; the first is named.
        RunLocked: Another process makes the same share.
    """
    return _run(config, out, overrides, watch, say, preset, {}, None, share)


def _run(
    config: Path | str,
    out: Path | str,
    overrides: Sequence[str],
    watch: Watch,
    say: Callable[[str], None],
    preset: Preset | None,
    own_models: Mapping[str, Model],
    until: str | None,
    share: Work | None,
) -> Run:
    store.refuse_launcher()
    folder = RunFolder(Path(out))
    original = _as_begun(load_config(config, overrides, preset), folder)
    resolved, result = resolve(original), Run(folder.path)
    if resolved.data.per_class < original.data.per_class:
        say(f"A quick trial takes {resolved.data.per_class} sequences a class at most, not {original.data.per_class}.")
    if strange := set(own_models) - {table.model for table in resolved.tasks.values()}:
        raise UsageError(f"models: no task of the config has model = {min(strange)!r}.")
    old_models = folder.gone_models({name: table.model for name, table in resolved.tasks.items()})
    tasks = {
        name: table.model_copy(update={"model": old_models.get(name, table.model)})
        for name, table in resolved.tasks.items()
    }
    resolved = resolved.model_copy(update={"tasks": tasks})
    jobs = [Job(name, resolved, folder.path / "tasks" / name, watch, say, own_models, share) for name in tasks]
    manifest = describe(resolved)
    with ExitStack() as stack:
        if not isinstance(share, Share):
            stack.enter_context(hold(folder.path))
        stack.enter_context(threads(resolved.compute.threads))
        optional = {each.table: [f"{job.name}.{each.name}" for job in jobs] for each in STAGES if each.table}
        if share not in (None, "plan"):  # which follow a plan that names all tables
            optional = {}
        settings = resolved.model_dump(mode="json", exclude_none=True)
        folder.check(settings, manifest, optional)
        undone = {job.name: {s.name for s in STAGES if not folder.is_done(f"{job.name}.{s.name}")} for job in jobs}
        if share not in (None, "plan"):
            _need_planned(folder, jobs, undone)
        for job in jobs:
            if "data" not in undone[job.name]:
                check_own_sources(job)
            if "model" not in undone[job.name]:
                job.check_own_model()
            plan(job, undone[job.name])
        if isinstance(share, Share):
            for stage, job in ((stage, job) for stage in STAGES if stage.shared for job in jobs):
                if stage.name in undone[job.name]:
                    stage.work(job)
            return result
        folder.begin(settings, manifest, optional)
        stack.enter_context(_logged_to(folder.path / LOG))
        # Stage by stage, not task by task: what is wrong with any input shows before the long computations.
        for stage in STAGES:
            if share == "plan" and stage.shared:
                for job in jobs:
                    if not folder.is_done(f"{job.name}.{stage.name}"):
                        stage.work(job)
                return result
            for job in jobs:
                _perform(folder, stage, job, undone[job.name])
            if stage.name == until:
                return result
        _report(folder, manifest, jobs)
        return result


def _as_begun(config: RunConfig, folder: RunFolder) -> RunConfig:
    """Take the micro-batch of the run in a folder where the config names none."""
    begun = (folder.settings() or {}).get("compute", {}).get("micro_batch")
    if config.compute.micro_batch != "auto" or not isinstance(begun, int):
        return config
    return config.model_copy(update={"compute": config.compute.model_copy(update={"micro_batch": begun})})


def rewrite_report(out: Path | str) -> Path:
    """Write the report of a run again, from what is saved; an unfinished run gets a report of what it has.

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
    from kmerit.report.page import write_report

    folder = Path(out)
    with hold(folder) if folder.is_dir() else nullcontext():
        return write_report(folder)


def _need_planned(folder: RunFolder, jobs: Sequence[Job], undone: Mapping[str, Set[str]]) -> None:
    """Refuse a share of what has no plan.

    Raises:
        RunError: A stage that every share reads is not done, or its artefacts were changed.
    """
    before = STAGES[: next(i for i, stage in enumerate(STAGES) if stage.shared)]
    for job in jobs:
        for stage in before:
            if stage.name in undone[job.name]:
                if folder.recorded(f"{job.name}.{stage.name}") is not None:
                    raise RunError(
                        f"{folder.path} ({job.name}: {stage.title}) was changed since the plan was made. Put it back "
                        f"as it was, or make the plan again: {store.part_command('--plan')}"
                    )
                raise RunError(
                    f"{folder.path} has no plan yet ({job.name}: {stage.title}). Make it first: "
                    f"{store.part_command('--plan')}"
                )


def _perform(folder: RunFolder, stage: Stage, job: Job, undone: Set[str]) -> None:
    name = f"{job.name}.{stage.name}"
    if stage.name not in undone and folder.recorded(name) is not None:
        _LOG.info("%s: %s: done before", job.name, stage.title)
        return
    folder.forget("report")
    before = folder.recorded(name)
    if before is not None:
        changed_files = altered(folder.path, before)
        _LOG.warning(
            "%s: %s: artefacts were changed; it is done again (%s)", job.name, stage.title, ", ".join(changed_files)
        )
        model_folder = f"tasks/{job.name}/model/"  # of which the training itself sees what is damaged
        remove_own(folder.path, [each for each in changed_files if not each.startswith(model_folder)], itself=False)
    start = time.monotonic()
    job.folder.mkdir(parents=True, exist_ok=True)
    stage.work(job)
    state = folder.mark_done(name, _artefacts(stage, job))
    if state != before and not stage.table:
        for later in STAGES[STAGES.index(stage) + 1 :]:
            folder.forget(f"{job.name}.{later.name}")
    _LOG.info("%s: %s: %.1f s", job.name, stage.title, time.monotonic() - start)


def _artefacts(stage: Stage, job: Job) -> list[str]:
    return [f"tasks/{job.name}/{artefact}" for artefact in stage.artefacts]


def _report(folder: RunFolder, manifest: Tree, jobs: Sequence[Job]) -> None:
    from kmerit.report.figures import FIGURE2
    from kmerit.report.page import write_report

    if not folder.is_done("report"):
        folder.forget("report")  # the report reads the records of the stages
        records = {
            job.name: {
                "model": job.read_json("model.json"),
                "data": _digests(job),
                "strands": job.read_json("outcomes/outcomes.json")["settings"].get("strands", {}),
                **_reference(job),
                **_withheld(job),
            }
            for job in jobs
        }
        write_json(folder.path / "manifest.json", {**manifest, "tasks": records})
        write_report(folder.path)
        figures = [name for name in FIGURE2 if (folder.path / name).exists()]
        folder.mark_done("report", (*_REPORT, *figures, *_ASKED))
        _LOG.info("report written")


def _digests(job: Job) -> Tree:
    paths = (job.folder / f"{split}.parquet" for split in ("test", "sequences", "validation"))
    return {path.stem: sha256(path) for path in paths if path.exists()}


def _reference(job: Job) -> Tree:
    """State what the outputs were compared with, if anything."""
    return {"reference": job.read_json(REFERENCE)} if (job.folder / REFERENCE).exists() else {}


def _withheld(job: Job) -> Tree:
    """Say why predictions are not compared with labels, where they are not."""
    why = job.read_json("metrics.json").get("withheld")
    return {"metrics_withheld": why} if why else {}


class _LogFile(logging.FileHandler):
    """A log that a full disk may cut short without an error: results matter more."""

    def handleError(self, record: logging.LogRecord) -> None:
        pass


@contextmanager
def _logged_to(path: Path) -> Iterator[None]:
    """Append what happens, with its time; times stand nowhere else in a run's folder."""
    handler = _LogFile(path, encoding="utf-8")
    handler.setFormatter(logging.Formatter("%(asctime)s %(message)s"))
    whole = logging.getLogger("kmerit")  # warnings of every room, such as that the strands are answered differently
    whole.addHandler(handler)
    try:
        yield
    finally:
        whole.removeHandler(handler)
        handler.close()
