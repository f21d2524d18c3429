"""Files are replaced whole or not at all; a folder has one writer; what is recorded is proven."""

from __future__ import annotations

import errno
import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors import SafetensorError

import kmerit as km
from kmerit import disk, store
from kmerit.datasets.planting import read_planted
from kmerit.datasets.split import split, write_split
from kmerit.disk import NamedRows, StoredRows, as_disk_full, disk_full_explained, need_space
from kmerit.errors import DiskFull, RunError, RunLocked, RunMismatch, UsageError
from kmerit.io.readers import write_sequences
from kmerit.store import (
    LOCK,
    Stages,
    altered,
    atomic_write,
    begin,
    check_begun,
    hold,
    put_together,
    read_record,
    remove_own,
    replaceable,
    staged,
    sums,
    write_json,
    write_record,
)
from kmerit.trials.outcomes import read_outcomes, write_outcomes

HOLDER = """
import sys, time
from kmerit.store import hold
with hold(sys.argv[1], file=sys.argv[2] == "file"):
    print("held", flush=True)
    time.sleep(60)
"""


@pytest.fixture
def elsewhere(request):
    """Hold a path in another process until it is killed."""
    processes: list[subprocess.Popen[str]] = []

    def start(path: Path, kind: str = "folder") -> subprocess.Popen[str]:
        command = [sys.executable, "-c", HOLDER, str(path), kind]
        process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        processes.append(process)
        assert process.stdout is not None
        assert process.stdout.readline() == "held\n"
        return process

    yield start
    for process in processes:
        process.kill()
        process.wait()
        process.stdout.close()


class TestHold:
    def test_a_live_process_keeps_others_out_and_a_killed_one_does_not(self, tmp_path: Path, elsewhere) -> None:
        holder = elsewhere(tmp_path)
        says = rf"{tmp_path} is in use by process {holder.pid} on \S+\. Wait for it to end"
        with pytest.raises(RunLocked, match=says), hold(tmp_path):
            pass
        holder.send_signal(signal.SIGKILL)
        holder.wait()
        assert (tmp_path / LOCK).exists()  # what is left of it is no obstacle
        with hold(tmp_path):
            assert (tmp_path / LOCK).read_text().startswith(f"process {os.getpid()} on ")
        assert os.listdir(tmp_path) == []

    def test_a_file_is_held_by_the_name_that_it_really_has(self, tmp_path: Path, elsewhere) -> None:
        (tmp_path / "link.parquet").symlink_to(tmp_path / "scores.parquet")
        elsewhere(tmp_path / "link.parquet", "file")
        with pytest.raises(RunLocked, match=r"scores\.parquet is in use"), atomic_write(tmp_path / "scores.parquet"):
            pass
        with atomic_write(tmp_path / "other.parquet") as part:
            part.write_text("free")

    def test_a_thread_may_hold_again_and_another_thread_may_not(self, tmp_path: Path) -> None:
        refused: list[Exception] = []

        def other() -> None:
            try:
                with hold(tmp_path):
                    pass
            except RunLocked as error:
                refused.append(error)

        with hold(tmp_path), hold(tmp_path):
            thread = threading.Thread(target=other)
            thread.start()
            thread.join()
            assert (tmp_path / LOCK).exists()
        assert len(refused) == 1

    def test_it_is_let_go_after_an_error(self, tmp_path: Path) -> None:
        with pytest.raises(ZeroDivisionError), hold(tmp_path):
            raise ZeroDivisionError
        with hold(tmp_path):
            pass

    def test_folders_that_it_made_are_gone_if_nothing_is_in_them(self, tmp_path: Path) -> None:
        with hold(tmp_path / "a" / "b"):
            pass
        assert os.listdir(tmp_path) == []
        with hold(tmp_path / "a" / "b"):
            (tmp_path / "a" / "note").touch()
        assert os.listdir(tmp_path / "a") == ["note"]
        (tmp_path / "empty").mkdir()
        with hold(tmp_path / "empty"):
            pass
        assert (tmp_path / "empty").is_dir()

    def test_what_is_of_another_kind_is_refused(self, tmp_path: Path) -> None:
        (tmp_path / "file").touch()
        for path, file in ((tmp_path / "file", False), (tmp_path, True), (Path(os.devnull), True)):
            with pytest.raises(RunError, match="exists, but is not a"), hold(path, file=file):
                pass
        with pytest.raises(RunError, match="cannot be written to"), hold(tmp_path / "file" / "sub"):
            pass

    def test_a_link_to_a_folder_stays_one(self, tmp_path: Path) -> None:
        (tmp_path / "link").symlink_to(tmp_path / "target")
        with hold(tmp_path / "link"):
            write_json(tmp_path / "link" / "a.json", 1)
        assert (tmp_path / "link").is_symlink()
        assert os.listdir(tmp_path / "target") == ["a.json"]


class TestAtomicWrite:
    def test_the_file_appears_whole(self, tmp_path: Path) -> None:
        target = tmp_path / "new" / "table.csv.gz"
        with atomic_write(target) as temporary:
            assert temporary.parent == target.parent
            assert temporary.name.endswith(".csv.gz")
            temporary.write_text("whole")
            assert not target.exists()
        assert target.read_text() == "whole"
        assert os.listdir(target.parent) == ["table.csv.gz"]

    def test_after_an_error_the_old_file_is_there_and_nothing_else(self, tmp_path: Path) -> None:
        target = tmp_path / "x.txt"
        target.write_text("old")

        def write_half() -> None:
            with atomic_write(target) as temporary:
                temporary.write_text("ha")
                raise KeyboardInterrupt

        with pytest.raises(KeyboardInterrupt):
            write_half()
        assert target.read_text() == "old"
        assert os.listdir(tmp_path) == ["x.txt"]

    def test_what_a_killed_attempt_left_is_overwritten(self, tmp_path: Path) -> None:
        (tmp_path / ".partial-x.txt").write_text("left by a kill")
        with atomic_write(tmp_path / "x.txt") as temporary:
            temporary.write_text("whole")
        assert os.listdir(tmp_path) == ["x.txt"]

    def test_a_link_is_followed_and_stays(self, tmp_path: Path) -> None:
        (tmp_path / "real").mkdir()
        (tmp_path / "x.txt").symlink_to(tmp_path / "real" / "y.txt")
        with atomic_write(tmp_path / "x.txt") as temporary:
            temporary.write_text("whole")
        assert (tmp_path / "x.txt").is_symlink()
        assert (tmp_path / "real" / "y.txt").read_text() == "whole"

    @pytest.mark.skipif(not Path("/dev/full").exists(), reason="no device that is always full")
    def test_a_full_disk_is_said(self, tmp_path: Path) -> None:
        target = tmp_path / "x.txt"
        target.write_text("old")

        def write_to_full_disk() -> None:
            with atomic_write(target) as temporary:
                temporary.symlink_to("/dev/full")
                temporary.write_bytes(b"x" * 100_000)

        with pytest.raises(DiskFull, match="no space left"):
            write_to_full_disk()
        assert target.read_text() == "old"
        assert os.listdir(tmp_path) == ["x.txt"]

    def test_json_has_no_room_for_nan_and_stays_as_it_was(self, tmp_path: Path) -> None:
        write_json(tmp_path / "a.json", {"x": 1})
        with pytest.raises(ValueError, match="not JSON compliant"):
            write_json(tmp_path / "a.json", {"x": float("nan")})
        assert json.loads((tmp_path / "a.json").read_text()) == {"x": 1}
        assert os.listdir(tmp_path) == ["a.json"]


def test_a_full_disk_is_seen_whoever_reports_it(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    assert as_disk_full(OSError(errno.ENOSPC, "No space left on device"), "x") is not None
    assert as_disk_full(OSError(errno.EFBIG, "File too large"), "x") is not None
    assert as_disk_full(RuntimeError("Error while serializing: Io(Os { No space left on device })"), "x") is not None
    assert as_disk_full(OSError(errno.EACCES, "Permission denied"), "x") is None
    assert as_disk_full(SafetensorError("Error while serializing: I/O error: File too large (os error 27)"), "x")
    assert as_disk_full(SafetensorError("Error while serializing: I/O error: denied (os error 13)"), "x") is None
    try:
        try:
            raise OSError(errno.EDQUOT, "Disk quota exceeded")
        except OSError as error:
            raise RuntimeError("could not save") from error
    except RuntimeError as error:
        result = as_disk_full(error, "results/x")
    assert "no space left to write results/x" in str(result)
    with pytest.raises(RuntimeError, match="unexpected pos"), disk_full_explained(tmp_path):
        raise RuntimeError("unexpected pos 64 vs 0")
    monkeypatch.setattr("kmerit.disk._free", lambda path: 100)
    with pytest.raises(DiskFull), disk_full_explained(tmp_path):
        raise RuntimeError("unexpected pos 64 vs 0")
    with pytest.raises(DiskFull, match="2 MB are needed at least, and 0 MB are free"):
        need_space(tmp_path / "new", 2_000_000)


@pytest.mark.parametrize("in_memory", [0, 100, 2**23])
def test_stored_rows_are_those_of_an_array(in_memory: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("kmerit.disk._IN_MEMORY", in_memory)
    array = np.random.default_rng(0).normal(size=(5, 7, 2))
    rows = StoredRows(2, 7, np.float64, (2,))
    rows.write(3, array[:2, 3:])
    rows.write(0, array[:2, :3])
    for row in array[2:]:
        rows.append(row)
    assert rows.shape == array.shape
    for key in (1, -1, slice(1, 4), slice(None), [4, 0, 0], np.array([2])):
        assert np.array_equal(rows[key], array[key]), key
    assert np.array_equal(np.asarray(rows), array)
    assert np.array_equal(rows.read(2, 5), array[:, 2:5])
    assert np.array_equal(rows.read_row(3, 1, 7), array[3, 1:7])
    mask = np.arange(7) % 3 == 0
    assert np.array_equal(rows.take(mask), array[:, mask])
    named = NamedRows(rows, {"a": 4, "b": 0})
    assert (list(named), len(named), "a" in named, "c" in named) == (["a", "b"], 2, True, False)
    assert np.array_equal(named["a"], array[4])
    with pytest.raises(IndexError):
        rows[5]


def test_rows_need_space(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("kmerit.disk._IN_MEMORY", 0)
    monkeypatch.setattr("kmerit.disk._free", lambda path: 100)
    with pytest.raises(DiskFull, match="are needed at least"):
        StoredRows(2, 1000, np.float64)


class TestRecords:
    def test_any_changed_bit_and_any_cut_is_seen(self, tmp_path: Path) -> None:
        path = tmp_path / "a.json"
        write_record(path, {"rows": 12, "names": ["ä", "b"], "share": 0.25, "none": None})
        whole = path.read_bytes()
        assert read_record(path) == {"rows": 12, "names": ["ä", "b"], "share": 0.25, "none": None}
        for at in range(len(whole)):
            changed = bytearray(whole)
            changed[at] ^= 1 << at % 8
            path.write_bytes(changed)
            assert read_record(path) is None
            path.write_bytes(whole[:at])
            assert read_record(path) is None
        for text in ("[]", "1", '{"sha256": "0"}', "{}"):
            path.write_text(text)
            assert read_record(path) is None

    def test_done_is_what_has_a_record_and_unchanged_artefacts(self, tmp_path: Path) -> None:
        stages = Stages(tmp_path)
        write_json(tmp_path / "outcomes" / "a.json", [1])
        write_json(tmp_path / "b.json", [2])
        (tmp_path / "outcomes" / ".kmerit.lock").touch()
        assert not stages.is_done("mutate")
        stages.mark_done("mutate", ["outcomes", "b.json", "absent.json"])
        assert list(stages.recorded("mutate") or ()) == ["b.json", "outcomes/a.json"]
        assert stages.is_done("mutate")
        (tmp_path / "outcomes" / "a.json").write_text("[3]")
        assert not stages.is_done("mutate")
        assert altered(tmp_path, stages.recorded("mutate") or {}) == ["outcomes/a.json"]
        stages.forget("mutate")
        assert stages.recorded("mutate") is None
        assert (tmp_path / "outcomes" / "a.json").exists()

    def test_only_what_is_named_is_removed(self, tmp_path: Path) -> None:
        folder = tmp_path / "parts"
        for name in ("000001.json", "thesis.tex"):
            write_json(folder / name, 1)
        remove_own(folder, ["000001.json", "000002.json"])
        assert os.listdir(folder) == ["thesis.tex"]
        remove_own(folder, ["thesis.tex"])
        assert not folder.exists()


class TestBegin:
    def test_other_settings_are_refused_by_the_key_that_differs(self, tmp_path: Path) -> None:
        record = tmp_path / "study.json"
        begin(record, "a study", {"seed": 0, "trial": {"counts": (1, 2)}, "arms": [1]}, free=("arms",))
        begin(record, "a study", {"seed": 0, "trial": {"counts": (1, 2)}, "arms": [1, 2]}, free=("arms",))
        assert json.loads(record.read_text())["arms"] == [1, 2]
        with pytest.raises(RunMismatch, match=r"holds a study of another config: trial.counts was \[1, 2\], now it is"):
            begin(record, "a study", {"seed": 0, "trial": {"counts": (1, 3)}, "arms": [1]}, free=("arms",))
        record.write_text("{")
        with pytest.raises(RunMismatch, match="damaged, or not of a study"):
            begin(record, "a study", {"seed": 0})

    def test_files_that_nobody_accounts_for_are_refused(self, tmp_path: Path) -> None:
        (tmp_path / "config.json").write_text('{"mine": "precious"}')
        with pytest.raises(RunMismatch, match=r"holds no training \(there is 'config.json'\)"):
            check_begun(tmp_path / "training.json", "a training", {}, own=lambda entry: entry.name != "config.json")
        assert os.listdir(tmp_path) == ["config.json"]


def is_mine(name: str) -> bool:
    return name.endswith(".csv") or name == "manifest.json"


def write_together(folder: Path, files: dict[str, str]) -> None:
    known = json.loads((folder / "manifest.json").read_text()) if (folder / "manifest.json").exists() else {}
    with staged(folder, is_mine) as place:
        for name, text in files.items():
            (place / name).write_text(text)
        new = sums(place, files)
        write_json(place / "manifest.json", new)
        earlier = replaceable(folder, "set", lambda name: name.endswith(".csv"), known, new)
        put_together(place, folder, [*earlier, "manifest.json"], "manifest.json")


OLD, NEW = {"train.csv": "old", "test.csv": "old", "extra.csv": "old"}, {"train.csv": "new", "test.csv": "new"}


class Killed(BaseException):
    """The end of a process, of which nothing is cleaned up."""


@pytest.fixture
def kill_at(monkeypatch: pytest.MonkeyPatch) -> Callable[[int], AbstractContextManager[None]]:
    """Let nothing reach the disk from some file operation on, as if the process had been killed there."""

    @contextmanager
    def killing(moment: int) -> Iterator[None]:
        calls = iter(range(1, 10**6))

        def deadly(what: Callable[..., Any]) -> Callable[..., Any]:
            def call(*arguments: Any, **options: Any) -> Any:
                if next(calls) >= moment:
                    raise Killed
                return what(*arguments, **options)

            return call

        with monkeypatch.context() as patch:
            for name in ("replace", "unlink", "fsync", "rmdir"):
                patch.setattr(os, name, deadly(getattr(os, name)))
            patch.setattr(store, "_exchange", deadly(store._exchange))
            yield

    return killing


class TestTogether:
    def test_new_files_take_the_place_of_old_ones(self, tmp_path: Path) -> None:
        write_together(tmp_path / "set", OLD)
        write_together(tmp_path / "set", NEW)
        assert os.listdir(tmp_path) == ["set"]
        assert sorted(os.listdir(tmp_path / "set")) == ["manifest.json", "test.csv", "train.csv"]
        assert (tmp_path / "set" / "test.csv").read_text() == "new"

    def test_files_of_the_user_stay(self, tmp_path: Path) -> None:
        write_together(tmp_path, OLD)
        (tmp_path / "notes").mkdir()
        write_together(tmp_path, NEW)
        assert sorted(os.listdir(tmp_path)) == ["manifest.json", "notes", "test.csv", "train.csv"]
        (tmp_path / "test.csv").write_text("by hand")
        with pytest.raises(UsageError, match=r"test\.csv was changed since the set"):
            write_together(tmp_path, OLD)
        assert (tmp_path / "test.csv").read_text() == "by hand"
        (tmp_path / "manifest.json").unlink()
        with pytest.raises(UsageError, match="is there and not of an earlier set"):
            write_together(tmp_path, OLD)

    @pytest.mark.parametrize("way", ["swap", "in place"])
    def test_at_whatever_step_it_is_killed_old_and_new_are_never_seen_together(
        self, tmp_path: Path, way: str, kill_at, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        if way == "in place":
            monkeypatch.setattr(store, "_exchange", lambda one, other: False)
        for moment in range(1, 60):
            folder = tmp_path / f"{moment}" / "set"
            write_together(folder, OLD)
            killed = False
            try:
                with kill_at(moment):
                    write_together(folder, NEW)
            except Killed:
                killed = True
            observation = {path.name: path.read_text() for path in folder.glob("*.csv")}
            assert len(set(observation.values())) < 2, observation
            assert observation in (OLD, NEW) or way == "in place"
            if not killed:
                break
            write_together(folder, NEW)
            assert {path.name: path.read_text() for path in folder.glob("*.csv")} == NEW
            assert {path.name for path in folder.parent.iterdir()} == {"set"}
        assert moment > 10


class Refused(PermissionError):
    """What Windows says when a file that is open is to be renamed, replaced or removed."""


def is_open(path: Path) -> bool:
    """Tell whether this process has a file open, or mapped into its memory."""
    real = os.path.realpath(path)
    opened = {os.path.realpath(f"/proc/self/fd/{number}") for number in os.listdir("/proc/self/fd")}
    return real in opened or f" {real}\n" in Path("/proc/self/maps").read_text()


@pytest.fixture
def windows(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Let files be as on Windows: one that is open keeps its name and its place; folders are not exchanged."""
    refused: list[str] = []

    def guarded(what: Callable[..., Any], touched: int) -> Callable[..., Any]:
        def call(*paths: Any, **options: Any) -> Any:
            for path in paths[:touched]:
                if isinstance(path, str | Path) and not str(path).endswith(".lock") and is_open(Path(path)):
                    refused.append(Path(path).name)
                    raise Refused(13, "The process cannot access the file", str(path))
            return what(*paths, **options)

        return call

    for name, touched in (("replace", 2), ("rename", 2), ("unlink", 1), ("remove", 1)):
        monkeypatch.setattr(os, name, guarded(getattr(os, name), touched))
    monkeypatch.setattr(store, "_WINDOWS", True)
    monkeypatch.setattr(disk, "_WINDOWS", True)
    monkeypatch.setattr(store, "_exchange", lambda one, other: False)
    monkeypatch.setattr(store, "_PAUSES", (0.0,) * 5)
    return refused


@pytest.mark.skipif(not Path("/proc/self/maps").exists(), reason="what is open is read from /proc")
class TestWindows:
    def test_a_reader_that_closes_the_file_is_waited_for(
        self, tmp_path: Path, windows: list[str], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        target = tmp_path / "table.csv"
        target.write_text("old")
        reader = target.open()
        pauses: list[float] = []

        def sleep(pause: float) -> None:
            pauses.append(pause)
            if len(pauses) == 3:
                reader.close()

        monkeypatch.setattr(store.time, "sleep", sleep)
        store.write_text(target, "new")
        assert (target.read_text(), len(pauses), windows) == ("new", 3, ["table.csv"] * 3)

    def test_a_reader_that_stays_is_an_error_and_the_old_file_is_whole(
        self, tmp_path: Path, windows: list[str]
    ) -> None:
        target = tmp_path / "table.csv"
        target.write_text("old")
        with target.open(), pytest.raises(Refused):
            store.write_text(target, "new")
        assert target.read_text() == "old"
        assert os.listdir(tmp_path) == ["table.csv"]

    def test_the_error_of_the_block_is_told_although_its_file_is_still_open(
        self, tmp_path: Path, windows: list[str]
    ) -> None:
        opened = []

        def failing() -> None:
            with atomic_write(tmp_path / "table.csv") as part:
                opened.append(part.open("w"))
                raise ZeroDivisionError

        with pytest.raises(ZeroDivisionError):
            failing()
        opened[0].close()
        store.write_text(tmp_path / "table.csv", "next")
        assert os.listdir(tmp_path) == ["table.csv"]

    def test_sets_of_files_replace_each_other(self, tmp_path: Path, windows: list[str]) -> None:
        write_together(tmp_path / "set", OLD)
        write_together(tmp_path / "set", NEW)
        assert sorted(os.listdir(tmp_path / "set")) == ["manifest.json", "test.csv", "train.csv"]
        assert os.listdir(tmp_path) == ["set"]

    def test_a_full_disk_has_other_numbers(self, windows: list[str]) -> None:
        assert disk.as_disk_full(RuntimeError("write: (os error 112)"), "x") is not None
        assert disk.as_disk_full(RuntimeError("write: (os error 28)"), "x") is None  # ERROR_OUT_OF_PAPER

    @pytest.mark.slow
    def test_nothing_that_is_written_or_read_is_left_open(self, tmp_path: Path, windows: list[str]) -> None:
        """Every writer of results twice into the same place, and every reader between."""
        rows = km.Sequences.from_strings(["ACGTTGCA", "GGATCCAT", "TTTTGACA", "CCATTGAC"], labels=[0, 1] * 2)
        planting = km.Planting(regime="composition", train=2, validation=2, test=2)
        model = km.load_model("bundled:promoter")
        for seed in (0, 1):
            write_sequences(rows, tmp_path / "rows.parquet")
            scores = km.attribute(model, rows, ["input_x_gradient"], out=tmp_path / "scores.parquet")
            reloaded = km.read_attributions(scores)["input_x_gradient"]
            km.export(reloaded, rows, tmp_path / "npz", "npz")
            curve = km.mutate(model, rows, scores, counts=[1], controls=["random"], seed=seed, out=tmp_path / f"{seed}")
            write_outcomes(read_outcomes(curve), tmp_path / "outcomes")
            write_split(split(rows, test=0.5, seed=seed), tmp_path / "split")
            km.plant(planting, out=tmp_path / "planted")
            read_planted(tmp_path / "planted", "test")
            Stages(tmp_path).mark_done("all", ["scores.parquet", "outcomes"])
            assert Stages(tmp_path).is_done("all")
        assert windows == []
