"""Downloads from a hub on this machine: a small server that speaks as much of the hub's language as is needed."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from hashlib import sha1
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import pytest

from kmerit.data import fetch, load_task, tasks
from kmerit.data.hub import cache_folder
from kmerit.errors import OfflineError

TASK = "human_enhancers_cohn"
COMMIT = "a" * 40
STALL_AT = 12_000_000
"""The hub's library writes 10 MB at a time; what it has not written cannot be continued."""


class Hub(ThreadingHTTPServer):
    """A hub with one data set."""

    daemon_threads = True

    def __init__(self, files: dict[str, bytes]) -> None:
        super().__init__(("127.0.0.1", 0), Answer)
        self.files = files
        self.stall = False
        self.asked: list[tuple[str, str, str | None]] = []


class Answer(BaseHTTPRequestHandler):
    """One answer of the hub."""

    protocol_version = "HTTP/1.1"
    server: Hub

    def do_HEAD(self) -> None:
        self.do_GET()

    def do_GET(self) -> None:
        self.server.asked.append((self.command, self.path, self.headers.get("Range")))
        name = next((name for name in self.server.files if self.path.endswith(name)), None)
        if name is not None:
            self.send_file(name)
        elif self.path.startswith("/api/datasets/") and "/tree/" in self.path:
            sizes = {name: len(content) for name, content in self.server.files.items()}
            self.send_json(
                [{"type": "file", "path": name, "size": size, "oid": COMMIT} for name, size in sizes.items()]
            )
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
        wanted = self.headers.get("Range")
        start = int(wanted.removeprefix("bytes=").split("-")[0]) if wanted else 0
        self.send_response(206 if wanted else 200)
        self.send_header("ETag", f'"{sha1(content).hexdigest()}"')
        self.send_header("X-Repo-Commit", COMMIT)
        self.send_header("Accept-Ranges", "bytes")
        if wanted:
            self.send_header("Content-Range", f"bytes {start}-{len(content) - 1}/{len(content)}")
        self.send_header("Content-Length", str(len(content) - start))
        self.end_headers()
        if self.command == "GET":
            self.wfile.write(content[start:STALL_AT] if self.server.stall else content[start:])
            while self.server.stall:
                time.sleep(0.05)

    def log_message(self, *_: object) -> None:
        """Stay silent."""


@pytest.fixture
def hub() -> Iterator[Hub]:
    big = np.random.default_rng(0).bytes(25_000_000)
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
    code = f"from kmerit.data import fetch; print(fetch({TASK!r}))"
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
    deadline = time.monotonic() + 60
    while not any(part.stat().st_size >= 10_000_000 for part in folder.rglob("*.incomplete")):
        assert first.poll() is None, first.communicate()
        assert time.monotonic() < deadline
        time.sleep(0.1)
    first.kill()
    first.communicate()
    assert not (folder / ".complete").exists()

    hub.stall = False
    hub.asked.clear()
    second = download(hub, tmp_path)
    printed, progress = second.communicate(timeout=60)
    assert second.returncode == 0, progress
    assert printed.strip() == str(folder)
    assert "100%" in progress
    ranges = [wanted for command, path, wanted in hub.asked if command == "GET" and path.endswith(".parquet")]
    assert len(ranges) == 1
    assert ranges[0] is not None
    assert int(ranges[0].removeprefix("bytes=").split("-")[0]) >= 10_000_000
    name = "data/train-00000-of-00001.parquet"
    assert (folder / name).read_bytes() == hub.files[name]
    assert not (folder / "train.py").exists()

    hub.asked.clear()
    third = download(hub, tmp_path)
    assert third.communicate(timeout=60)[0].strip() == str(folder)
    assert hub.asked == []


@pytest.mark.slow
def test_a_hub_that_has_no_such_set_is_no_network_trouble(hub: Hub, tmp_path: Path) -> None:
    hub.files = {}
    hub.RequestHandlerClass = Refusal
    process = download(hub, tmp_path)
    _, error = process.communicate(timeout=60)
    assert process.returncode == 1
    assert "FormatError" in error
    assert "neither a file here nor a public data set on the hub" in error


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
