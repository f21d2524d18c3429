"""What the Tab key completes: names of methods, measures and of what comes with kmerit.

Each answer comes from the names of files, without the heavy imports that the verbs need, for it is waited for.
"""

from __future__ import annotations

from importlib.metadata import entry_points
from importlib.resources import files
from pathlib import Path

BUNDLED = "bundled:"
MEASURES = ("accuracy", "probability", "logit", "flip_rate", "tokens_changed", "gc_shift")
"""What `kmerit plot curve` can draw."""
CONTROLS = ("random", "shifted", "clump", "other", "context")
"""With which a method can be compared."""
KINDS = ("methods", "tasks", "families", "models", "configs")
"""What `kmerit list` can list."""


def methods(incomplete: str) -> list[str]:
    """Complete the last of comma-separated methods; earlier ones are not offered again.

    Example:
        >>> methods("lrp,atte"), methods("att")
        (['lrp,attention'], ['attention', 'attnlrp'])
    """
    *complete, last = incomplete.split(",")
    before = "".join(f"{name}," for name in complete)
    return [before + name for name in _methods() if name.startswith(last) and name not in complete]


def measures(incomplete: str) -> list[str]:
    """Complete a measure of a trial.

    Example:
        >>> measures("a")
        ['accuracy']
    """
    return [name for name in MEASURES if name.startswith(incomplete)]


def controls(incomplete: str) -> list[str]:
    """Complete a control.

    Example:
        >>> controls("s")
        ['shifted']
    """
    return [name for name in CONTROLS if name.startswith(incomplete)]


def kinds(incomplete: str) -> list[str]:
    """Complete what can be listed.

    Example:
        >>> kinds("m")
        ['methods', 'models']
    """
    return [name for name in KINDS if name.startswith(incomplete)]


def configs(incomplete: str) -> list[str]:
    """Complete a config that comes with kmerit; nothing where nothing is typed, so that files are offered.

    Example:
        >>> configs("bundled:p"), configs("my"), configs("")
        (['bundled:paper', 'bundled:paper-mini', 'bundled:planted'], [], [])
    """
    return _bundled("configs/*.toml", incomplete)


def models(incomplete: str) -> list[str]:
    """Complete a model that comes with kmerit; nothing where nothing is typed, so that files are offered.

    Example:
        >>> models("bundled:p")
        ['bundled:promoter']
    """
    return _bundled("models/*/config.json", incomplete)


def _methods() -> list[str]:
    own = (_house() / "attribution" / "methods").glob("[!_]*.py")
    return sorted({path.stem for path in own} | {entry.name for entry in entry_points(group="kmerit.methods")})


def _bundled(pattern: str, incomplete: str) -> list[str]:
    paths = (_house() / "assets").glob(pattern)
    names = sorted(path.parent.name if path.name == "config.json" else path.stem for path in paths)
    return [BUNDLED + name for name in names if incomplete and (BUNDLED + name).startswith(incomplete)]


def _house() -> Path:
    return Path(str(files("kmerit")))
