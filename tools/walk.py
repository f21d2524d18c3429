"""Count which files a command walks through: ``PYTHONPATH=src python tools/walk.py run my.toml --out out``.

Several commands are separated by ``then``. Counted are:

calls: functions of the package, each where it is first entered; imports, lambdas and comprehensions are left out.
stays: calls that follow each other in one file.
climbs: stays on a higher floor than the stay before; floors are the layers that import-linter holds.
returns: stays in a file that was left before.
upward calls: calls from a lower floor to a higher one.
"""

from __future__ import annotations

import sys
import tomllib
from functools import cache
from itertools import pairwise
from pathlib import Path
from types import FrameType
from typing import Any

import kmerit.cli

PACKAGE = Path(kmerit.cli.__file__).parents[1]


def floors() -> dict[str, int]:
    """Read the floors of the package's rooms, the lowest first."""
    contracts = tomllib.loads((PACKAGE.parents[1] / "pyproject.toml").read_text(encoding="utf-8"))
    layers = next(each["layers"] for each in contracts["tool"]["importlinter"]["contracts"] if each["type"] == "layers")
    return {room.strip(): i for i, rooms in enumerate(reversed(layers)) for room in rooms.split("|")}


class Walk:
    """Files in the order of their first calls, and for each call the file of its caller."""

    def __init__(self) -> None:
        self.files: list[str] = []
        self.callers: list[str | None] = []
        self._codes: set[object] = set()
        self._imports = 0

    def watch(self, frame: FrameType, event: str, _: Any) -> None:
        """Record a call; for `sys.setprofile`."""
        file, code = _file(frame), frame.f_code
        if file is None or event not in ("call", "return"):
            return
        if code.co_name == "<module>":
            self._imports += 1 if event == "call" else -1
        elif event == "call" and not self._imports and code.co_name[0] != "<" and code not in self._codes:
            self._codes.add(code)
            self.files.append(file)
            self.callers.append(_caller(frame))


def _file(frame: FrameType) -> str | None:
    return _inside(frame.f_code.co_filename)


@cache
def _inside(name: str) -> str | None:
    path = Path(name)
    return path.relative_to(PACKAGE).as_posix() if path.is_relative_to(PACKAGE) else None


def _caller(frame: FrameType) -> str | None:
    back = frame.f_back
    while back is not None and _file(back) is None:
        back = back.f_back
    return None if back is None else _file(back)


def main(arguments: list[str]) -> None:
    """Run the commands and print the counts."""
    walk, commands = Walk(), " ".join(arguments).split(" then ")
    for command in commands:
        sys.argv = ["kmerit", *command.split()]
        sys.setprofile(walk.watch)
        try:
            kmerit.cli.main()
        except SystemExit as stop:
            if stop.code:
                sys.exit(f"kmerit {command}: exit code {stop.code}")
        finally:
            sys.setprofile(None)
    rooms = floors()
    floor = {file: rooms[file.split("/")[0].removesuffix(".py")] for file in walk.files}
    stays = [file for i, file in enumerate(walk.files) if i == 0 or file != walk.files[i - 1]]
    calls = [(caller, file) for caller, file in zip(walk.callers, walk.files, strict=True) if caller in floor]
    print(
        f"{len(walk.files)} calls, {len(stays)} stays in {len(set(stays))} files, "
        f"{sum(floor[after] > floor[before] for before, after in pairwise(stays))} climbs, "
        f"{len(stays) - len(set(stays))} returns, "
        f"{sum(floor[file] > floor[caller] for caller, file in calls if caller)} upward calls"
    )


if __name__ == "__main__":
    main(sys.argv[1:])
