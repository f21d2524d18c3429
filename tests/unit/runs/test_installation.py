"""The doctor tells sound from broken."""

from __future__ import annotations

from importlib import resources
from pathlib import Path

import pytest

from kmerit.runs import installation as doctor
from kmerit.runs.installation import FAILED, NOTE, OK, WARNING, bundled_files, examine

ASSETS = Path(str(resources.files("kmerit"))) / "assets"


def test_this_installation_is_sound() -> None:
    states = {check.name: check for check in examine()}
    assert states["packages"].state == OK
    assert "torch" in states["packages"].text
    assert states["report's libraries"].state == OK
    assert FAILED not in {check.state for check in states.values()}


def test_published_checksums_are_those_of_every_bundled_file() -> None:
    message = "The bundled files changed. Run: python tools/sums.py"
    assert bundled_files(ASSETS).state == OK, message
    kinds = (".json", ".meme", ".parquet", ".safetensors", ".toml", ".txt")
    files = {path.relative_to(ASSETS).as_posix() for path in ASSETS.rglob("*") if path.suffix in kinds}
    listed = {line.split("  ", 1)[1] for line in (ASSETS / doctor.SUMS).read_text(encoding="utf-8").splitlines()}
    assert files == listed, message


def test_changed_and_absent_files_are_named(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("a", encoding="utf-8")
    lines = [f"{'0' * 64}  a.txt", f"{'1' * 64}  b.txt", ""]
    assert bundled_files(tmp_path).state == FAILED
    (tmp_path / doctor.SUMS).write_text("\n".join(lines), encoding="utf-8")
    result = bundled_files(tmp_path)
    assert result.state == FAILED
    assert "absent: b.txt; changed: a.txt" in result.text


def test_missing_packages_say_how_to_get_them(monkeypatch: pytest.MonkeyPatch) -> None:
    expected = ["numpy>=2", "nosuchpackage>=1", "pandas>=99", 'alsonot>=1; extra == "logo"']
    monkeypatch.setattr(doctor.metadata, "requires", lambda name: expected)
    checks = {check.name: check for check in doctor._packages()}
    assert checks["packages"].state == FAILED
    assert "nosuchpackage" in checks["packages"].text
    assert "wanted >=99" in checks["packages"].text
    assert checks["extra logo"].state == NOTE
    assert "pip install 'kmerit[logo]'" in checks["extra logo"].text


def test_cache_that_may_not_be_written_to(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("KMERIT_CACHE", str(tmp_path / "not" / "there"))
    assert doctor._cache().state == OK
    monkeypatch.setattr(doctor.os, "access", lambda path, mode: False)
    assert doctor._cache().state == WARNING
    assert "KMERIT_CACHE" in doctor._cache().text


def test_little_memory_is_a_warning(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doctor.os, "sysconf", lambda key: 1000)
    assert doctor._memory().state == WARNING
