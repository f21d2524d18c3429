"""See that there is a Chromium for the browser tests; install Debian's where that can be done."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys

NAMES = ("chromium", "chromium-browser", "google-chrome")
INSTALL = (["apt-get", "update", "-qq"], ["apt-get", "install", "-y", "-qq", "--no-install-recommends", "chromium"])


def main() -> int:
    """Return 0 if there is a browser now, 1 with a line that says what to do if not."""
    if not any(map(shutil.which, NAMES)) and os.geteuid() == 0 and shutil.which("apt-get"):
        print("Installing Chromium for the browser tests.", file=sys.stderr)
        for command in INSTALL:
            subprocess.run(command, check=False, env={**os.environ, "DEBIAN_FRONTEND": "noninteractive"})
    if any(map(shutil.which, NAMES)):
        return 0
    print(
        "The browser tests need Chromium, and there is none. Install it: as root, apt-get install chromium; "
        "elsewhere, any Chromium or Chrome on the PATH.",
        file=sys.stderr,
    )
    return 1


if __name__ == "__main__":
    sys.exit(main())
