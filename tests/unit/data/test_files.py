"""Files are replaced whole or not at all."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from kmerit.data.files import atomic_write
from kmerit.errors import DiskFull


def test_the_file_appears_whole(tmp_path: Path) -> None:
    target = tmp_path / "new" / "table.csv.gz"
    with atomic_write(target) as temporary:
        assert temporary.parent == target.parent
        assert temporary.name.endswith(".csv.gz")
        temporary.write_text("whole")
        assert not target.exists()
    assert target.read_text() == "whole"
    assert os.listdir(target.parent) == ["table.csv.gz"]


def test_after_an_error_the_old_file_is_there_and_nothing_else(tmp_path: Path) -> None:
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


def test_what_a_killed_attempt_left_is_overwritten(tmp_path: Path) -> None:
    (tmp_path / ".partial-x.txt").write_text("left by a kill")
    with atomic_write(tmp_path / "x.txt") as temporary:
        temporary.write_text("whole")
    assert os.listdir(tmp_path) == ["x.txt"]


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no device that is always full")
def test_a_full_disk_is_said(tmp_path: Path) -> None:
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


def test_other_errors_keep_their_class(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(NotADirectoryError), atomic_write(tmp_path / "file" / "x.txt"):
        pass
