from __future__ import annotations

import errno
import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from kmerit.errors import RunError, RunLocked, RunMismatch
from kmerit.runs.files import as_disk_full, write_json
from kmerit.runs.folder import LOCK, RunFolder, hold

MANIFEST = {"schema": 1, "versions": {"torch": "2.6"}}
CONFIG = {"seed": 0, "trial": {"replicates": 5}}
HOLDER = """
import sys, time
from pathlib import Path
from kmerit.runs.folder import hold
with hold(Path(sys.argv[1])):
    print("held", flush=True)
    time.sleep(60)
"""


@pytest.fixture
def folder(tmp_path: Path) -> RunFolder:
    run = RunFolder(tmp_path / "run")
    run.path.mkdir()
    run.begin(CONFIG, MANIFEST)
    return run


def test_a_live_process_keeps_others_out_and_a_killed_one_does_not(tmp_path: Path) -> None:
    holder = subprocess.Popen([sys.executable, "-c", HOLDER, str(tmp_path)], stdout=subprocess.PIPE, text=True)
    try:
        assert holder.stdout is not None
        assert holder.stdout.readline() == "held\n"
        with pytest.raises(RunLocked, match=rf"in use by process {holder.pid} on \S+\. Let it end"), hold(tmp_path):
            pass
    finally:
        holder.send_signal(signal.SIGKILL)
        holder.wait()
        holder.stdout.close()
    with hold(tmp_path):
        assert (tmp_path / LOCK).read_text().startswith(f"process {os.getpid()} on ")
    assert (tmp_path / LOCK).read_text() == ""


def test_the_lock_is_let_go_after_an_error(tmp_path: Path) -> None:
    with pytest.raises(ZeroDivisionError), hold(tmp_path):
        raise ZeroDivisionError
    with hold(tmp_path):
        pass


def test_a_file_is_no_folder(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(RunError, match="cannot be written to"), hold(tmp_path / "file"):
        pass


def test_a_folder_with_something_else_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "thesis.tex").touch()
    with pytest.raises(RunError, match=r"is not empty and holds no run \(there is 'thesis.tex'\)"):
        RunFolder(tmp_path).begin(CONFIG, MANIFEST)
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.tex"]


def test_a_start_that_was_cut_off_is_started_again(tmp_path: Path) -> None:
    for name in (LOCK, "manifest.json", ".partial-config.toml"):
        (tmp_path / name).touch()
    RunFolder(tmp_path).begin(CONFIG, MANIFEST)
    assert json.loads((tmp_path / "manifest.json").read_text()) == MANIFEST


def test_the_same_run_goes_on(folder: RunFolder) -> None:
    folder.begin(CONFIG, MANIFEST)


@pytest.mark.parametrize(
    ("config", "versions", "message"),
    [
        ({"seed": 1, "trial": {"replicates": 5}}, "2.6", "another config: seed was 0, now it is 1."),
        ({"seed": 0, "trial": {"replicates": 3}}, "2.6", "another config: trial.replicates was 5, now it is 3."),
        ({"seed": 0, "trial": {}}, "2.6", "another config: trial.replicates was 5, now it is 'absent'."),
        (CONFIG, "2.7", "another environment: torch was '2.6', now it is '2.7'."),
    ],
)
def test_another_run_is_refused_by_the_key_that_differs(
    folder: RunFolder, config: dict[str, object], versions: str, message: str
) -> None:
    with pytest.raises(RunMismatch) as caught:
        folder.begin(config, {"schema": 1, "versions": {"torch": versions}})
    assert message in str(caught.value)


def test_a_table_may_be_added_but_not_changed(folder: RunFolder) -> None:
    optional = {"motifs": ["a.motifs", "b.motifs"]}
    for name in ("a.motifs", "a.mutate", "b.motifs"):
        folder.mark_done(name, [])
    with pytest.raises(RunMismatch, match=r"motifs.match was 'absent', now it is 0.9"):
        folder.begin({**CONFIG, "motifs": {"match": 0.9}}, MANIFEST)
    with pytest.raises(RunMismatch, match="seed was 0, now it is 1"):
        folder.begin({**CONFIG, "seed": 1, "motifs": {"match": 0.9}}, MANIFEST, optional)
    assert folder.recorded("a.motifs")
    folder.begin({**CONFIG, "motifs": {"match": 0.9}}, MANIFEST, optional)
    assert [folder.recorded(name) for name in ("a.motifs", "b.motifs", "a.mutate")] == [False, False, True]
    folder.mark_done("a.motifs", [])
    folder.begin({**CONFIG, "motifs": {"match": 0.9}}, MANIFEST, optional)
    assert folder.recorded("a.motifs")
    with pytest.raises(RunMismatch, match=r"motifs.match was 0.9, now it is 0.8"):
        folder.begin({**CONFIG, "motifs": {"match": 0.8}}, MANIFEST, optional)
    with pytest.raises(RunMismatch, match=r"motifs.match was 0.9, now it is 'absent'"):
        folder.begin(CONFIG, MANIFEST, optional)


def test_done_is_what_has_a_record_and_unchanged_artefacts(folder: RunFolder) -> None:
    inner = folder.path / "tasks" / "mine" / "curve"
    write_json(inner / "a.json", [1])
    write_json(folder.path / "tasks" / "mine" / "b.json", [2])
    assert not folder.is_done("mine.mutate")
    folder.mark_done("mine.mutate", ["tasks/mine/curve", "tasks/mine/b.json", "tasks/mine/absent.json"])
    record = json.loads((folder.path / "stages" / "mine.mutate.json").read_text())
    assert list(record["artefacts"]) == ["tasks/mine/b.json", "tasks/mine/curve/a.json"]
    assert folder.is_done("mine.mutate")
    (inner / "a.json").write_text("[3]")
    assert not folder.is_done("mine.mutate")
    assert folder.recorded("mine.mutate")


def test_undone_is_gone(folder: RunFolder) -> None:
    write_json(folder.path / "tasks" / "mine" / "curve" / "a.json", [1])
    folder.mark_done("mine.mutate", ["tasks/mine/curve"])
    folder.undo("mine.mutate", ["tasks/mine/curve", "tasks/mine/absent.json"])
    assert not folder.recorded("mine.mutate")
    assert not (folder.path / "tasks" / "mine" / "curve").exists()


def test_data_alone_is_not_work_that_must_be_kept(folder: RunFolder) -> None:
    folder.mark_done("mine.data", [])
    assert not folder.holds_work()
    (folder.path / "tasks" / "mine" / "model" / "checkpoints" / "checkpoint-5").mkdir(parents=True)
    assert folder.holds_work()


def test_json_has_no_room_for_nan_and_stays_as_it_was(tmp_path: Path) -> None:
    write_json(tmp_path / "a.json", {"x": 1})
    with pytest.raises(ValueError, match="not JSON compliant"):
        write_json(tmp_path / "a.json", {"x": float("nan")})
    assert json.loads((tmp_path / "a.json").read_text()) == {"x": 1}
    assert [path.name for path in tmp_path.iterdir()] == ["a.json"]


def test_a_full_disk_is_seen_whoever_reports_it() -> None:
    assert as_disk_full(OSError(errno.ENOSPC, "No space left on device"), "x") is not None
    assert as_disk_full(OSError(errno.EFBIG, "File too large"), "x") is not None
    assert as_disk_full(RuntimeError("Error while serializing: Io(Os { No space left on device })"), "x") is not None
    assert as_disk_full(OSError(errno.EACCES, "Permission denied"), "x") is None
    try:
        try:
            raise OSError(errno.EDQUOT, "Disk quota exceeded")
        except OSError as error:
            raise RuntimeError("could not save") from error
    except RuntimeError as error:
        found = as_disk_full(error, "results/x")
    assert "no space left to write results/x" in str(found)
