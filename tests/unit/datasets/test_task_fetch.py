"""Downloads from a hub on this machine: a small server that speaks as much of the hub's language as is needed."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from hashlib import sha256
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import pytest

from kmerit.datasets.task import fetch, load_task, tasks
from kmerit.errors import OfflineError
from kmerit.io.hub import cache_folder

TASK = "human_enhancers_cohn"
COMMIT = "a" * 40
STALL_AT = 3_000_000


def describe(name: str, content: bytes) -> dict[str, object]:
    """Describe a file as the hub lists it."""
    stored = {"oid": sha256(content).hexdigest(), "size": len(content), "pointerSize": 100}
    return {"type": "file", "path": name, "size": len(content), "oid": COMMIT, "lfs": stored}


class Hub(ThreadingHTTPServer):
    """A hub with one data set."""

    daemon_threads = True

    def __init__(self, files: dict[str, bytes]) -> None:
        super().__init__(("127.0.0.1", 0), Answer)
        self.files = files
        self.stall = self.damage = False
        self.asked: list[tuple[str, str | None]] = []


class Answer(BaseHTTPRequestHandler):
    """One answer of the hub."""

    protocol_version = "HTTP/1.1"
    server: Hub

    def do_GET(self) -> None:
        self.server.asked.append((self.path, self.headers.get("Range")))
        name = next((name for name in self.server.files if self.path.endswith(name)), None)
        if name is not None:
            self.send_file(name)
        elif self.path.startswith("/api/datasets/") and "/tree/" in self.path:
            self.send_json([describe(name, content) for name, content in self.server.files.items()])
        elif self.path.startswith("/api/datasets/"):
            self.send_json(
                {"id": "a/b", "sha": COMMIT, "siblings": [{"rfilename": name} for name in self.server.files]}
            )
        else:
            self.send_response(404)
            self.send_header("Content-Length", "0")
            self.end_headers()

    def send_json(self, answer: object) -> None:
        content = json.dumps(answer).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def send_file(self, name: str) -> None:
        content = self.server.files[name]
        start, end = (int(x) for x in self.headers["Range"].removeprefix("bytes=").split("-"))
        while self.server.stall and start >= STALL_AT:
            time.sleep(0.05)
        part = content[start : end + 1]
        self.send_response(206)
        self.send_header("Content-Range", f"bytes {start}-{start + len(part) - 1}/{len(content)}")
        self.send_header("Content-Length", str(len(part)))
        self.end_headers()
        self.wfile.write(part if not self.server.damage else part[::-1])

    def log_message(self, *_: object) -> None:
        """Stay silent."""


@pytest.fixture
def hub() -> Iterator[Hub]:
    big = np.random.default_rng(0).bytes(5_000_000)
    server = Hub({"data/train-00000-of-00001.parquet": big, "README.md": b"card", "train.py": b"not to be loaded"})
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield server
    server.stall = False
    server.shutdown()
    server.server_close()


def download(hub: Hub, folder: Path) -> subprocess.Popen[str]:
    """Fetch in another process: the hub's library reads its address once, when it is imported."""
    address = {"HF_ENDPOINT": f"http://127.0.0.1:{hub.server_port}", "HF_HUB_DISABLE_XET": "1"}
    places = {"KMERIT_CACHE": str(folder / "cache"), "HF_HOME": str(folder / "home")}
    ours = {name: value for name, value in os.environ.items() if not name.startswith("HF_")}
    code = f"""
import sys
from kmerit.datasets.task import fetch
print(fetch({TASK!r}, progress=lambda done, total: print(done, total, file=sys.stderr)))
"""
    return subprocess.Popen(
        [sys.executable, "-c", code],
        env={**ours, **address, **places},
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )


@pytest.mark.slow
def test_a_download_that_was_killed_continues_where_it_was(hub: Hub, tmp_path: Path) -> None:
    folder = tmp_path / "cache" / "tasks" / TASK
    hub.stall = True
    first = download(hub, tmp_path)
    deadline = time.monotonic() + 300
    while not any(part.stat().st_size >= STALL_AT for part in folder.rglob("*.partial")):
        assert first.poll() is None, first.communicate()
        assert time.monotonic() < deadline
        time.sleep(0.1)
    first.kill()
    first.communicate()
    assert (folder / ".incomplete").exists()

    hub.stall = False
    hub.asked.clear()
    second = download(hub, tmp_path)
    printed, message = second.communicate(timeout=300)
    assert second.returncode == 0, message
    assert printed.strip() == str(folder)
    total = sum(len(content) for name, content in hub.files.items() if name != "train.py")
    assert message.splitlines()[-1] == f"{total} {total}"
    arguments = [
        int(part.removeprefix("bytes=").split("-")[0]) for path, part in hub.asked if part and ".parquet" in path
    ]
    assert min(arguments) >= STALL_AT
    result = {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    assert result == {name: content for name, content in hub.files.items() if name != "train.py"}

    hub.asked.clear()
    third = download(hub, tmp_path)
    assert third.communicate(timeout=300)[0].strip() == str(folder)
    assert hub.asked == []


@pytest.mark.slow
def test_a_file_that_came_damaged_is_not_kept(hub: Hub, tmp_path: Path) -> None:
    hub.damage = True
    process = download(hub, tmp_path)
    _, error = process.communicate(timeout=300)
    assert process.returncode == 1
    assert "FormatError: data/train-00000-of-00001.parquet came damaged from the hub. Try again." in error
    folder = tmp_path / "cache" / "tasks" / TASK
    assert [path.name for path in folder.rglob("*") if path.is_file()] == [".incomplete"]


@pytest.mark.slow
def test_a_hub_that_has_no_such_set_is_no_network_trouble(hub: Hub, tmp_path: Path) -> None:
    hub.files = {}
    hub.RequestHandlerClass = Refusal
    process = download(hub, tmp_path)
    _, error = process.communicate(timeout=300)
    assert process.returncode == 1
    assert "FormatError" in error
    assert "neither a local file nor a public data set on the hub" in error


class Refusal(Answer):
    """A hub that knows nothing."""

    def do_GET(self) -> None:
        self.send_response(404)
        self.send_header("X-Error-Code", "RepoNotFound")
        self.send_header("Content-Length", "0")
        self.end_headers()


def test_offline_it_says_what_to_put_where(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import huggingface_hub.constants

    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
    monkeypatch.setenv("KMERIT_CACHE", str(tmp_path))
    with pytest.raises(OfflineError) as caught:
        load_task(TASK)
    message = str(caught.value)
    assert len(message.splitlines()) == 2
    assert f"huggingface.co/datasets/{tasks()[TASK].hub} into {tmp_path / 'tasks' / TASK}," in message
    assert "source=Intervals(" in message
    assert "GRCh38" in message


def test_files_put_there_by_hand_are_found(tmp_path: Path) -> None:
    folder = tmp_path / "tasks" / TASK
    (folder / "data").mkdir(parents=True)
    (folder / "data" / "train-00000-of-00001.parquet").write_bytes(b"")
    assert fetch(TASK, cache=tmp_path) == folder


def test_packed_tasks_need_no_download() -> None:
    assert (fetch("ienhancer_2l") / "ienhancer_2l.test.parquet").exists()


def test_the_cache_is_where_the_user_says(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("KMERIT_CACHE", str(tmp_path))
    assert cache_folder() == tmp_path
    monkeypatch.delenv("KMERIT_CACHE")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))
    assert cache_folder() == tmp_path / "xdg" / "kmerit"
    monkeypatch.delenv("XDG_CACHE_HOME")
    assert cache_folder() == Path.home() / ".cache" / "kmerit"
