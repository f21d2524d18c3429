"""Check the page's scripts: the format of each, and what is wrong with them as the page runs them, joined.

``python tools/javascript.py`` checks, ``python tools/javascript.py --write`` formats. The tools are wheels of binaries,
and fetch nothing.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from tempfile import TemporaryDirectory

from kmerit.report import page as assets

HERE = Path(__file__).resolve().parent
SCRIPTS = HERE.parent / "src" / "kmerit" / "report" / "scripts"
BIN = Path(sys.executable).parent


def main(arguments: list[str]) -> int:
    """Check, or format with ``--write``; 0 if nothing is wrong."""
    way = "--write" if "--write" in arguments else "--check"
    formatted = subprocess.run([BIN / "oxfmt", way, "--config", HERE / "oxfmt.json", SCRIPTS], check=False)
    with TemporaryDirectory() as folder:
        joined = Path(folder) / "page.js"
        joined.write_text(assets.script(), encoding="utf-8")
        linted = subprocess.run(
            [BIN / "oxlint", "--deny-warnings", "--config", HERE / "oxlint.json", joined], check=False
        )
    return formatted.returncode or linted.returncode


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
