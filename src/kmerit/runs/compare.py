"""Runs and trials on disk, side by side: read, compared, and written as tables and a page."""

from __future__ import annotations

import hashlib
import os
import shlex
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from kmerit.errors import FormatError, RunError, SequenceError, UnknownName, UsageError
from kmerit.io.scores import read_attributions
from kmerit.results import Attributions, Outcomes
from kmerit.runs.pipeline import CONFIG, RunFolder
from kmerit.runs.settings import RunConfig
from kmerit.runs.study import STUDY
from kmerit.store import begin, hold, read_record, sha256
from kmerit.trials.execution import scores_digest
from kmerit.trials.outcomes import ABOUT, read_outcomes
from kmerit.trials.side_by_side import Side, SideBySide, side_by_side
from kmerit.trials.verdicts import OPERATOR

if TYPE_CHECKING:
    from kmerit.results import Attribution

Trial = str | os.PathLike[str] | Outcomes
"""The folder of a run, of a trial, or of raw outcomes; or outcomes in memory."""
Scores = str | os.PathLike[str] | Mapping[str, "Attribution"]
"""What a trial ranked: the file of `attribute`, or what that gave."""
SETTINGS = "compare.json"
NAMED = 3
"""How many of the trials inside a folder an error names."""


def compare(
    runs: Sequence[str | os.PathLike[str]] | Mapping[str, Trial],
    *,
    task: str | None = None,
    scores: Mapping[str, Scores] | None = None,
    resamples: int = 2000,
    seed: int = 0,
    out: str | os.PathLike[str] | None = None,
) -> SideBySide:
    """Compare two or more runs, models or seeds on the same sequences.

    Every pair of runs is compared: verdicts, the paired difference of each method's excess over each control by class,
    and the agreement of the scores position by position. Sequences are the same where their letters are; everything
    that determines the mutants must be equal, too.

    Args:
        runs: Folders of ``run``, of ``trial``, or of raw outcomes; by name, or each called like its folder.
        task: Of runs with several tasks.
        scores: What trials ranked, by the name of the trial; runs hold theirs.
        resamples: Bootstrap draws, over clusters of sequences.
        seed: Of those draws.
        out: Folder for the tables (Parquet, CSV), ``compare.md`` and the page ``compare.html``.

    Raises:
        UsageError: Fewer than two runs, two of one name, or no method that all have.
        SequenceError: Other sequences, crops, labels, or scores that are not those of the trial.
        RunMismatch: Other operators, counts, draws or other settings; they are named, with both values.
        FormatError: A folder that holds no finished trial; those inside it, as in a study's, are named.

    Example:
        >>> import kmerit as km
        >>> model = km.load_model("bundled:promoter")
        >>> sequences = km.Sequences.from_strings(["TATAAAGGCGCGCC" * 4, "ACGTTGCAACGGTT" * 4], labels=[1, 0])
        >>> scores = {draw: km.attribute(model, sequences, ["lrp", "random"]) for draw in "ab"}
        >>> runs = {draw: km.mutate(model, sequences, scores[draw], counts=[5], controls=["shifted"]) for draw in "ab"}
        >>> result = compare(runs, scores=scores)
        >>> result
        <SideBySide: a, b; 0 of 2 differences shown>
        >>> agreement = result.agreement.query("class_name == 'all classes' and measure == 'rank correlation'")
        >>> dict(zip(agreement["method"], agreement["value"].round(2)))
        {'lrp': 1.0, 'random_scores': 1.0}
    """
    trials: dict[str, Trial] = dict(runs) if isinstance(runs, Mapping) else named([os.fspath(run) for run in runs])
    if strange := set(scores or {}) - set(trials):
        raise UnknownName("run of this comparison", min(strange), trials)
    sides = [_open(name, each, task, (scores or {}).get(name)) for name, each in trials.items()]
    if out is None:
        return side_by_side(sides, resamples=resamples, seed=seed)
    from kmerit.report.page import write_side_by_side

    folder = Path(out)
    with hold(folder):
        result = side_by_side(sides, resamples=resamples, seed=seed)
        begin(folder / result.RECORD, result.WHAT, result.settings, own=lambda path: False)
        result.write_tables(folder)
        write_side_by_side(result, folder)
    return result


def named(paths: Sequence[str]) -> dict[str, Trial]:
    """Name folders: ``NAME=FOLDER``, or as the folder is called where that is no other's name.

    Raises:
        UsageError: Two of one name.

    Example:
        >>> named(["results/a", "mine=results/b"])
        {'a': 'results/a', 'mine': 'results/b'}
        >>> named(["a/out", "b/out"])
        {'a/out': 'a/out', 'b/out': 'b/out'}
    """
    pairs = []
    for path in paths:
        name, equals, folder = path.partition("=")
        pairs.append((name, folder) if equals and name and not os.path.exists(path) else (None, path))
    short = Counter(Path(path).resolve().name for name, path in pairs if name is None)
    full = [
        (name or (Path(path).resolve().name if short[Path(path).resolve().name] == 1 else path), path)
        for name, path in pairs
    ]
    if twice := [name for name, count in Counter(name for name, _ in full).items() if count > 1]:
        raise UsageError(f"Two runs are called {twice[0]!r}. Give each its own name: NAME=FOLDER.")
    return dict(full)


def _open(name: str, trial: Trial, task: str | None, scores: Scores | None) -> Side:
    """Read a trial with what it ranked."""
    if isinstance(trial, Outcomes):
        return _with_scores(Side(name, trial), scores)
    folder = Path(trial)
    if not folder.is_dir():
        raise FormatError(f"{folder}: no such folder. Give that of kmerit run or kmerit trial.")
    if (folder / ABOUT).exists():
        return _with_scores(Side(name, read_outcomes(folder)), scores)
    settings = RunFolder(folder).settings()
    if settings is None:
        if not (folder / "outcomes").is_dir():
            raise FormatError(_no_trial(folder))
        return _with_scores(Side(name, read_outcomes(folder / "outcomes")), scores)
    if scores is not None:
        raise UsageError(f"scores of {name!r}: {folder} is a run, which holds its own. Leave them out.")
    config = RunConfig.parse(settings)
    if task is None and len(config.tasks) > 1:
        raise UsageError(f"{folder} has the tasks {', '.join(config.tasks)}. Choose one with task (--task).")
    of = next(iter(config.tasks)) if task is None else task
    if of not in config.tasks:
        raise UnknownName(f"task of {folder}", of, config.tasks)
    place = folder / "tasks" / of
    if not RunFolder(folder).is_done(f"{of}.trial"):
        raise RunError(f"{folder} has no trial of {of} yet. Finish it: kmerit run CONFIG --out {folder}")
    outcomes = read_outcomes(place / "outcomes")
    if (classes := config.tasks[of].classes) is not None:
        outcomes = replace(outcomes, settings={**outcomes.settings, "classes": classes})
    return _with_scores(Side(name, outcomes), place / "attributions.parquet")


def _no_trial(folder: Path) -> str:
    """Say that a folder is no trial, and which folders inside it are."""
    inside = trials_inside(folder)
    study = (folder / STUDY).exists()
    if not inside:
        what = "a study's folder, with no finished trial yet" if study else "holds no run, and no trial"
        return f"{folder}: {what}. Give the folder of kmerit run or kmerit trial."
    places = ", ".join(shlex.quote(str(each)) for each in inside[:NAMED])
    more = f" and {len(inside) - NAMED} more" if len(inside) > NAMED else ""
    if study:
        return (
            f"{folder}: a study's folder is not compared as a whole. Give trials inside it, of the same sequences: "
            f"{places}{more}."
        )
    return f"{folder}: holds no run, and no trial. Give what is inside it: {places}{more}."


def trials_inside(folder: Path) -> list[Path]:
    """Find what can be compared up to five folders down: runs, and finished trials with what decides a verdict.

    Example:
        >>> import tempfile
        >>> import kmerit as km
        >>> from kmerit.runs.study import Study
        >>> rows, model = km.Sequences.from_strings(["TATAAAGG"]), km.load_model("bundled:promoter")
        >>> study = Study(Path(tempfile.mkdtemp()))
        >>> scores = study.attribute(model, rows, ["rollout"])
        >>> for operator in ("random_other", "complement"):
        ...     _ = (study / "mine").mutate(model, rows, scores, operator, operator=operator, counts=[1])
        >>> [str(each.relative_to(study.folder)) for each in trials_inside(study.folder)]
        ['mine/random_other']
    """
    found = set()
    for depth in range(1, 6):
        for about in folder.glob("*/" * depth + ABOUT):
            record, place = read_record(about), about.parent
            if record is None or OPERATOR not in record.get("settings", {}).get("operators", [OPERATOR]):
                continue
            if place.name == "outcomes":  # of a trial, or of a task of a run
                run = place.parent.parent.parent
                place = run if (run / CONFIG).exists() else place.parent
            if place != folder:
                found.add(place)
    return sorted(found)


def _with_scores(side: Side, scores: Scores | None) -> Side:
    """Add what was ranked, in the order of the outcomes; refuse other scores."""
    if scores is None:
        return side
    by_method = read_attributions(scores) if isinstance(scores, str | os.PathLike) else Attributions(scores)
    at = {name: row for row, name in enumerate(next(iter(by_method.values())).names)} if by_method else {}
    names = side.outcomes.names
    if set(at) != set(names):
        missing = next(iter(set(names) - set(at) or set(at) - set(names)))
        raise SequenceError(
            f"scores of {side.name!r}: they and the trial do not have the same sequences; {missing!r} is only in one. "
            f"Give the scores that were put on trial."
        )
    ordered = Attributions({name: each.take([at[i] for i in names]) for name, each in by_method.items()})
    if side.outcomes.settings["scores_sha256"] not in _digests(ordered, scores):
        raise SequenceError(
            f"scores of {side.name!r}: these are not the scores that were put on trial (sha256 "
            f"{side.outcomes.settings['scores_sha256'][:12]}). Give those, or leave them out."
        )
    return replace(side, scores=ordered)


def _digests(attributions: Attributions, source: Scores) -> Iterator[str]:
    """Yield what a trial of these scores records of them: this version, then earlier ones, of a file and of memory."""
    every = list(attributions.values())
    rows = (np.stack([each.scores[i] for each in every]) for i in range(len(every[0].names)))
    yield scores_digest(list(attributions), every[0].target, rows)
    if isinstance(source, str | os.PathLike):
        yield sha256(Path(source))
    earlier = hashlib.sha256()
    for name, each in attributions.items():
        for part in (name.encode(), each.target.tobytes(), each.scores.tobytes()):
            earlier.update(part)
    yield earlier.hexdigest()
