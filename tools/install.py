"""Install kmerit and its locked dependencies into a virtual environment: ``python tools/install.py .venv``.

The order matters: the lock first (without torch), then the build of torch that fits the machine, then kmerit
itself; at the end pip checks that the whole set is consistent. Why: docs/decisions/0004-locking.md.
"""

from __future__ import annotations

import os
import platform
import shutil
import subprocess
import sys
import venv
from collections.abc import Sequence
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
LOCK = ROOT / "requirements.lock"
TORCH_LOCK = ROOT / "requirements-torch.lock"


def say(text: str) -> None:
    """Tell the user what happens next, on stderr."""
    print(f"install: {text}", file=sys.stderr, flush=True)


def torch_pin() -> str:
    """Read the pinned requirement, as ``torch==2.13.0``."""
    return next(line for line in TORCH_LOCK.read_text().splitlines() if line.startswith("torch=="))


def make_venv(folder: Path) -> Path:
    """Create the environment unless a usable one is there, and return its Python."""
    python = folder / "bin" / "python"
    usable = python.exists() and _runs([python, "-c", "import pip, sys; sys.exit(sys.version_info < (3, 11))"])
    if not usable:
        say(f"creating {folder} with Python {platform.python_version()}")
        try:
            venv.EnvBuilder(with_pip=True, clear=(folder / "pyvenv.cfg").exists(), symlinks=True).create(folder)
        except subprocess.CalledProcessError:
            sys.exit("install: this Python cannot make virtual environments (on Debian: apt install python3-venv).")
    return python


def has_nvidia_gpu() -> bool:
    """Ask the driver; its tool may be installed on a machine without a card."""
    return shutil.which("nvidia-smi") is not None and _runs(["nvidia-smi", "-L"])


def install_torch(python: Path) -> None:
    """Install the pinned torch: a CPU build on Linux without a GPU wherever one can be had, else the default one."""
    pin = torch_pin()
    pip = (python, "-m", "pip", "install", "--no-compile")
    if sys.platform == "linux" and not has_nvidia_gpu():
        say(f"{pin}, CPU build")
        if _runs([*pip, "--quiet", "--no-deps", f"{pin}+cpu"]):
            return
        say("no CPU build where pip looks; trying PyTorch's own index, which uv knows")
        uv = (python, "-m", "uv", "pip", "install", "--python", python, "--quiet", "--no-deps")
        if _runs([*uv, "--torch-backend", "cpu", pin], UV_HTTP_RETRIES="1"):
            return
        say("no CPU build can be reached: taking the default build, with several GB of CUDA libraries")
    elif _installed_torch(python).endswith("+cpu"):  # it would satisfy the pin, and leave the GPU idle
        _must([python, "-m", "pip", "uninstall", "--quiet", "--yes", "torch"])
    _must([*pip, "--constraint", LOCK, pin])


def main() -> None:
    """Install everything that the project's commands need."""
    python = make_venv(Path(sys.argv[1]).absolute())
    # -qq: errors only. --no-compile: byte code is made when a module is first imported; most never are.
    pip = (python, "-m", "pip", "install", "-qq", "--no-compile", "--no-deps")
    say("locked dependencies (some 400 MB the first time)")
    _must([*pip, "--requirement", LOCK])
    install_torch(python)
    say("kmerit")
    _must([*pip, "--no-build-isolation", "--editable", ROOT])
    _must([python, "-m", "pip", "check"], stdout=subprocess.DEVNULL)
    say(f"done, with torch {_installed_torch(python)}")


def _installed_torch(python: Path) -> str:
    code = "from importlib.metadata import distributions as d; print(*(x.version for x in d(name='torch')))"
    return subprocess.run([python, "-c", code], check=True, capture_output=True, text=True).stdout.strip()


def _runs(command: Sequence[str | Path], **environment: str) -> bool:
    """Try a command whose failure is an answer."""
    return subprocess.run(command, env=os.environ | environment, capture_output=True).returncode == 0


def _must(command: Sequence[str | Path], stdout: int | None = None) -> None:
    """Run a command whose failure ends the installation; it has said why by itself."""
    if subprocess.run(command, stdout=stdout).returncode:
        sys.exit(f"install: this failed: {' '.join(map(str, command))}")


if __name__ == "__main__":
    main()
