"""What the page carries with it: the charting library, the page's own script, and proof that they are the right ones.

The page's content security policy names each script by its hash, so nothing else that might get into the page runs.
"""

from __future__ import annotations

import base64
import hashlib
from functools import cache
from importlib.resources import files

from kmerit.errors import RunError

LIBRARIES = {
    "d3-7.9.0.min.js": "f2094bbf6141b359722c4fe454eb6c4b0f0e42cc10cc7af921fc158fceb86539",
    "plot-0.6.17.umd.min.js": "4358086467740777dd788d6b27a95cebdbaefdd50c730a3060117073bd7134cb",
}
"""Vendored files and their sha256; NOTICE has their licences."""
_HERE = files("kmerit.report")


@cache
def libraries() -> tuple[str, ...]:
    """Read the vendored libraries, in the order in which they must run.

    Raises:
        RunError: One is missing or damaged.
    """
    return tuple(_library(name) for name in LIBRARIES)


def _library(name: str) -> str:
    try:
        data = (_HERE / "assets" / name).read_bytes()
    except OSError as problem:
        raise RunError(f"The page's library {name} is missing ({problem.strerror}). Install kmerit again.") from None
    if (found := hashlib.sha256(data).hexdigest()) != LIBRARIES[name]:
        raise RunError(
            f"The page's library {name} has sha256 {found[:12]}, expected {LIBRARIES[name][:12]}. Install kmerit again."
        )
    return data.decode("utf-8")


@cache
def script() -> str:
    """Put the page's own script together."""
    parts = sorted((part for part in (_HERE / "scripts").iterdir() if part.name.endswith(".js")), key=lambda p: p.name)
    inner = "\n".join(part.read_text(encoding="utf-8") for part in parts)
    return f'(() => {{\n"use strict";\n{inner}}})();'


def policy(scripts: tuple[str, ...]) -> str:
    """Write the content security policy that lets these scripts run, and nothing else, and lets nothing be loaded."""
    digests = (base64.b64encode(hashlib.sha256(text.encode()).digest()).decode() for text in scripts)
    allowed = " ".join(f"'sha256-{digest}'" for digest in digests)
    return f"default-src 'none'; style-src 'unsafe-inline'; img-src data:; script-src {allowed}; base-uri 'none'"
