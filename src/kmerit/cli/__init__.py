"""The command line: commands that parse, call one library function, and print.

Importing this package loads neither torch nor pandas; a verb imports what it needs.
"""

from __future__ import annotations

from kmerit.cli.app import main

__all__ = ["main"]
