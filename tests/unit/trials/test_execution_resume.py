"""A trial on disk: stopped anywhere and started again, it ends with the same bytes."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from kmerit.errors import FormatError, RunError, RunMismatch
from kmerit.models.model import Model
from kmerit.results import Attribution
from kmerit.sequences import Sequences
from kmerit.store import refuse_other
from kmerit.trials import execution
from kmerit.trials.measures import summarise
from kmerit.trials.outcomes import read_outcomes, write_outcomes
from kmerit.trials.trial import mutate

FILES = ("mutants.parquet", "cells.parquet", "sequences.parquet", "outcomes.json")
EIGHT_SEQUENCES = 8 * (2 * 2 + 3) * 3
"""Cells: 2 methods x 2 draws and 3 random sets, 3 counts."""
Run = Callable[..., Path]


@pytest.fixture
def run(
    model: Model,
    sequences: Sequences,
    make_scores: Callable[..., Attribution],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> Run:
    monkeypatch.setattr(execution, "CELLS_PER_CHUNK", EIGHT_SEQUENCES)
    inputs = {name: make_scores(sequences, name, seed) for seed, name in enumerate(["one", "two"])}

    def start(folder: str, **options: object) -> Path:
        return mutate(
            model,
            sequences,
            inputs,
            [0, 2, "all"],
            **{"replicates": 2, "random_sets": 3, "out": tmp_path / folder, **options},
        )

    return start


def contents(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def stop_at(sequence: int) -> Callable[[int, int], None]:
    def progress(done: int, total: int) -> None:
        if done >= sequence:
            raise KeyboardInterrupt

    return progress


def test_the_folder_holds_its_files_and_what_memory_would(run: Run, model: Model, sequences: Sequences) -> None:
    folder = run("a")
    assert sorted(contents(folder)) == sorted(FILES)
    on_disk, in_memory = read_outcomes(folder), run("unused", out=None)
    assert on_disk.mutants.equals(in_memory.mutants)
    assert on_disk.cells.to_pandas().equals(in_memory.cells.to_pandas())
    assert on_disk.settings == json.loads(json.dumps(in_memory.settings))
    assert on_disk.diagnostics == json.loads(json.dumps(in_memory.diagnostics))
    assert on_disk.sequences.equals(in_memory.sequences.combine_chunks())


@pytest.mark.parametrize("together", [1, 2, 3])
def test_tables_of_chunks_are_joined_as_they_come_and_clusters_found_once(
    run: Run, monkeypatch: pytest.MonkeyPatch, together: int
) -> None:
    monkeypatch.setattr(execution, "CELLS_PER_CHUNK", EIGHT_SEQUENCES // 4)  # two sequences a chunk
    whole = contents(run("whole"))
    calls, near_copies, kept = [], execution.near_copies, []
    add = execution.Totals.add

    def counted(sequences: Sequences) -> object:
        calls.append(len(sequences))
        return near_copies(sequences)

    def watched(totals: execution.Totals, part: execution.Part) -> execution.Part:
        kept.append(len(totals.sequences) * together + len(totals.latest))
        assert len(totals.latest) < together
        return add(totals, part)

    monkeypatch.setattr(execution, "_TABLES_TOGETHER", together)
    monkeypatch.setattr(execution, "near_copies", counted)
    monkeypatch.setattr(execution.Totals, "add", watched)
    assert contents(run("other")) == whole
    assert kept == list(range(6))
    assert calls == [11]


@pytest.mark.parametrize("sequence", [1, 8, 9, 11])
def test_interrupted_and_continued_it_ends_with_the_same_bytes(run: Run, sequence: int) -> None:
    with pytest.raises(KeyboardInterrupt):
        run("stopped", progress=stop_at(sequence))
    calls: list[int] = []
    folder = run("stopped", progress=lambda done, total: calls.append(done))
    assert contents(folder) == contents(run("whole"))
    if sequence > 8:  # the first chunk was kept, so the count starts beyond it
        assert calls[0] == 8


def test_stopped_while_the_parts_are_joined(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*args: object) -> None:
        raise OSError("stopped")

    with monkeypatch.context() as patch:
        patch.setattr(execution, "finish", full)
        with pytest.raises(OSError, match="stopped"):
            run("stopped")
    assert not (run("stopped") / "parts").exists()
    assert contents(run("stopped")) == contents(run("whole"))


def test_killed_outright(run: Run, tmp_path: Path, model: Model, sequences: Sequences) -> None:
    folder = tmp_path / "killed"
    script = f"""
import os, signal
import numpy as np
from kmerit.trials import execution
from kmerit.trials.trial import mutate
from kmerit.models.model import load_model
from kmerit.results import Attribution
from kmerit.sequences import Sequences
execution.CELLS_PER_CHUNK = {EIGHT_SEQUENCES}
sequences = Sequences.from_strings({sequences.strings()!r}, labels={sequences.labels.tolist()!r})
scores = np.load({str(tmp_path / "scores.npy")!r})
given = {{name: Attribution(name, x, "nucleotide", np.zeros(len(sequences), np.int64), sequences.names)
         for name, x in zip(("one", "two"), scores)}}
mutate(load_model({model.name!r}, device="cpu"), sequences, given, [0, 2, "all"], 2, 3, out={str(folder)!r},
       progress=lambda done, total: os.kill(os.getpid(), signal.SIGKILL) if done >= 9 else None)
"""
    save_scores(tmp_path / "scores.npy", sequences)
    ended = subprocess.run([sys.executable, "-c", script], env={**os.environ, "OMP_NUM_THREADS": "1"}, check=False)
    assert ended.returncode == -signal.SIGKILL
    assert (folder / "parts" / "000000.json").exists()
    assert not (folder / "outcomes.json").exists()
    assert contents(run("killed")) == contents(run("whole"))


def save_scores(path: Path, sequences: Sequences) -> None:
    import numpy as np

    rows = []
    for seed in range(2):
        scores = np.random.default_rng(seed).normal(size=(len(sequences), int(sequences.lengths.max())))
        scores = scores.astype(np.float32)
        scores[np.arange(scores.shape[1]) >= sequences.lengths[:, None]] = np.nan
        rows.append(scores)
    np.save(path, np.stack(rows))


def test_a_finished_trial_is_not_run_again(run: Run) -> None:
    before = contents(run("a"))
    assert contents(run("a", progress=stop_at(0))) == before


def test_a_folder_of_other_settings_is_refused(run: Run) -> None:
    folder = run("a")
    before = contents(folder)
    with pytest.raises(RunMismatch, match=r"trial with other settings: seed was 0, now it is 1\. Choose a new folder"):
        run("a", seed=1)
    assert contents(folder) == before


def test_other_inputs_are_named_not_their_digests(tmp_path: Path) -> None:
    was, now = (dict.fromkeys(("scores_sha256", "sequences_sha256"), digest * 16) for digest in ("3f2a", "90bc"))
    for key, name in {"scores_sha256": "other scores", "sequences_sha256": "other sequences"}.items():
        with pytest.raises(RunMismatch, match=rf"holds a trial of {name} \({key} 3f2a3f2a, now 90bc90bc\)"):
            refuse_other(tmp_path, "a trial with other settings", {key: was[key]}, {key: now[key]})


def test_parts_of_other_settings_are_refused(run: Run) -> None:
    with pytest.raises(KeyboardInterrupt):
        run("a", progress=stop_at(9))
    with pytest.raises(RunMismatch, match="replicates"):
        run("a", replicates=1)


@pytest.mark.parametrize("name", ["000000.json", "000000.mutants.parquet", "000000.cells.parquet", "settings.json"])
def test_a_part_that_was_damaged_is_made_again(run: Run, tmp_path: Path, name: str) -> None:
    whole = contents(run("whole"))
    with pytest.raises(KeyboardInterrupt):
        run("stopped", progress=stop_at(9))
    parts = {path.name: path.read_bytes() for path in (tmp_path / "stopped" / "parts").iterdir()}
    content = parts[name]
    bits = [
        bytes([*content[:at], content[at] ^ 1 << at % 8, *content[at + 1 :]])
        for at in range(0, len(content), max(1, len(content) // 12))
    ]
    for number, damaged in enumerate([*bits, b"", content[:-3], content[: len(content) // 2]]):
        folder = tmp_path / f"{number}"
        (folder / "parts").mkdir(parents=True)
        for each, there in parts.items():
            (folder / "parts" / each).write_bytes(damaged if each == name else there)
        assert contents(run(f"{number}")) == whole


def test_files_of_the_user_are_left_alone(run: Run, tmp_path: Path) -> None:
    (tmp_path / "a" / "parts").mkdir(parents=True)
    (tmp_path / "a" / "parts" / "engine.txt").write_text("mine")
    (tmp_path / "a" / "cells.parquet").write_text("mine")
    with pytest.raises(RunMismatch, match=r"holds no trial \(there is 'cells.parquet'\)"):
        run("a")
    assert (tmp_path / "a" / "cells.parquet").read_text() == "mine"
    (tmp_path / "a" / "cells.parquet").rename(tmp_path / "a" / "notes.parquet")
    run("a")
    assert sorted(contents(tmp_path / "a")) == sorted([*FILES, "notes.parquet", "parts/engine.txt"])


def test_written_and_read_it_is_the_same_curve(run: Run, tmp_path: Path) -> None:
    curve = run("unused", out=None)
    copy = read_outcomes(write_outcomes(curve, tmp_path / "copy"))
    assert copy.mutants.equals(curve.mutants.combine_chunks())
    assert summarise(copy, resamples=50).equals(summarise(curve, resamples=50))


def test_a_file_in_the_way_is_refused(run: Run, tmp_path: Path) -> None:
    (tmp_path / "a").write_text("mine")
    with pytest.raises(RunError, match="exists, but is not a folder"):
        run("a")
    assert (tmp_path / "a").read_text() == "mine"


class TestDamaged:
    def test_not_finished(self, tmp_path: Path) -> None:
        with pytest.raises(FormatError, match=r"outcomes\.json is missing"):
            read_outcomes(tmp_path)

    def test_json_cut_short(self, run: Run) -> None:
        folder = run("a")
        (folder / "outcomes.json").write_text('{"format": 1, "na')
        with pytest.raises(FormatError, match="damaged"):
            read_outcomes(folder)

    def test_json_edited(self, run: Run) -> None:
        folder = run("a")
        (folder / "outcomes.json").write_text('{"format": 1, "names": [], "settings": {}}')
        with pytest.raises(FormatError, match="damaged, or of an older kmerit"):
            read_outcomes(folder)

    def test_older_version(self, run: Run, tmp_path: Path) -> None:
        (tmp_path / "a").mkdir()
        (tmp_path / "a" / "curve.json").write_text('{"format": 2, "names": [], "settings": {}}')
        with pytest.raises(FormatError, match=r"of an older kmerit\. Run mutate again, into another folder"):
            read_outcomes(tmp_path / "a")
        with pytest.raises(FormatError, match="of an older kmerit"):
            run("a")

    def test_newer_version(self, run: Run) -> None:
        folder = run("a")
        (folder / "outcomes.json").write_text('{"format": 99}')
        with pytest.raises(FormatError, match="Update kmerit"):
            read_outcomes(folder)

    @pytest.mark.parametrize("name", FILES[:3])
    def test_table_missing_or_cut_short(self, run: Run, name: str) -> None:
        folder = run("a")
        (folder / name).write_bytes((folder / name).read_bytes()[:100])
        with pytest.raises(FormatError, match=f"{name}: missing, or changed since it was written"):
            read_outcomes(folder)
        (folder / name).unlink()
        with pytest.raises(FormatError, match=f"{name}: missing, or changed since it was written"):
            read_outcomes(folder)
        whole = contents(run("b"))
        assert contents(run("a")) == whole
