"""Is this installation sound? Versions, machine, cache, and proof that the bundled files are as they were published."""

from __future__ import annotations

import os
import platform
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from importlib import metadata, resources
from pathlib import Path

from packaging.requirements import Requirement

from kmerit.errors import KmeritError
from kmerit.formats import size
from kmerit.io.hub import cache_folder
from kmerit.store import sha256

OK, NOTE, WARNING, FAILED = "ok", "note", "warning", "failed"
SUMS = "SHA256SUMS"
LITTLE_MEMORY = 2e9
"""Below this number of bytes free, a run on a full-size model may not fit."""


@dataclass(frozen=True)
class Check:
    """What was looked at, how it is, and what to know or do about it."""

    name: str
    state: str
    text: str


def examine() -> list[Check]:
    """Look at everything that a run stands on; nothing is changed or fetched.

    Example:
        >>> [check.name for check in examine() if check.name in ("python", "bundled files")]
        ['python', 'bundled files']
    """
    return [
        _python(),
        *_packages(),
        _device(),
        _memory(),
        _cache(),
        bundled_files(Path(str(resources.files("kmerit"))) / "assets"),
        _page(),
    ]


def _python() -> Check:
    machine = f"{platform.system()} {platform.machine()}"
    return Check("python", OK, f"{platform.python_version()} on {machine}; kmerit {metadata.version('kmerit')}")


def _packages() -> Iterator[Check]:
    """Compare what is installed with what the package asks for; extras apart."""
    requirements = [Requirement(text) for text in metadata.requires("kmerit") or []]
    core = [each for each in requirements if each.marker is None]
    yield _requirements_check("packages", core, FAILED)
    extras = metadata.metadata("kmerit").get_all("Provides-Extra") or []
    for extra in sorted(set(extras) - {"all", "dev", "docs"}):
        of_extra = [each for each in requirements if each.marker is not None and each.marker.evaluate({"extra": extra})]
        if of_extra:
            yield _requirements_check(f"extra {extra}", of_extra, NOTE)


def _requirements_check(name: str, requirements: list[Requirement], if_absent: str) -> Check:
    versions, absent = [], []
    for each in requirements:
        try:
            version = metadata.version(each.name)
        except metadata.PackageNotFoundError:
            absent.append(str(each.name))
            continue
        if each.specifier.contains(version, prereleases=True):
            versions.append(f"{each.name} {version}")
        else:
            absent.append(f"{each.name} is {version}, wanted {each.specifier}")
    if not absent:
        return Check(name, OK, ", ".join(versions))
    remedy = "pip install --upgrade kmerit" if name == "packages" else f"pip install 'kmerit[{name.split()[-1]}]'"
    return Check(name, if_absent, f"not installed: {', '.join(absent)}. To install: {remedy}")


def _device() -> Check:
    import torch

    if torch.cuda.is_available():
        names = [torch.cuda.get_device_name(i) for i in range(torch.cuda.device_count())]
        memory = torch.cuda.get_device_properties(0).total_memory
        return Check("device", OK, f"{', '.join(names)} ({size(memory)})")
    return Check("device", OK, f"CPU, {os.cpu_count()} cores, torch uses {torch.get_num_threads()}; no GPU")


def _memory() -> Check:
    try:
        page = os.sysconf("SC_PAGE_SIZE")
        total, free = (page * os.sysconf(key) for key in ("SC_PHYS_PAGES", "SC_AVPHYS_PAGES"))
    except (ValueError, OSError):
        return Check("memory", OK, "unknown on this system")
    text = f"{size(total)}, {size(free)} of it free"
    if free < LITTLE_MEMORY:
        return Check("memory", WARNING, f"{text}. If a run stops for lack of memory, lower compute.micro_batch.")
    return Check("memory", OK, text)


def _cache() -> Check:
    folder = cache_folder()
    existing = next(path for path in (folder, *folder.parents) if path.exists())
    free = shutil.disk_usage(existing).free
    own = sum(path.stat().st_size for path in folder.rglob("*") if path.is_file()) if folder.exists() else 0
    text = f"{folder}: {size(own)} held, {size(free)} free"
    if not os.access(existing, os.W_OK):
        return Check("cache", WARNING, f"{text}; it may not be written to. Set KMERIT_CACHE to another folder.")
    return Check("cache", OK, text)


def bundled_files(assets: Path) -> Check:
    """Compare the bundled models and sequences with their published checksums.

    Args:
        assets: The folder that holds them and ``SHA256SUMS``.
    """
    try:
        lines = (assets / SUMS).read_text(encoding="utf-8").splitlines()
    except OSError:
        return Check("bundled files", FAILED, f"{SUMS} is not there. Install kmerit again.")
    published = {name: digest for digest, name in (line.split("  ", 1) for line in lines if line)}
    absent = [name for name in published if not (assets / name).is_file()]
    changed_files = [name for name in published if name not in absent and sha256(assets / name) != published[name]]
    if absent or changed_files:
        problems = [
            f"{what}: {', '.join(names)}" for what, names in (("absent", absent), ("changed", changed_files)) if names
        ]
        return Check("bundled files", FAILED, f"{'; '.join(problems)}. Install kmerit again.")
    return Check("bundled files", OK, f"all {len(published)} are as published (sha256)")


def _page() -> Check:
    from kmerit.report.page import LIBRARIES, libraries

    try:
        libraries()
    except KmeritError as problem:
        return Check("report's libraries", FAILED, str(problem))
    return Check("report's libraries", OK, f"{', '.join(LIBRARIES)}: as published (sha256)")
