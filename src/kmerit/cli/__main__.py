"""``python -m kmerit.cli``: the same command line, for launchers such as ``accelerate launch -m``."""

from __future__ import annotations

from kmerit.cli.app import main

if __name__ == "__main__":
    main()
