"""A process that is killed right before it gives a result its name."""

KILLED_AT_A_RENAMING = """
import os, signal, sys
from pathlib import Path
moment, arguments = int(sys.argv[1]), sys.argv[2:]
replace, calls = os.replace, iter(range(1, 10**6))

def deadly(*paths, **options):
    if next(calls) == moment:
        os.kill(os.getpid(), signal.SIGKILL)
    return replace(*paths, **options)

os.replace = deadly
"""
"""The start of a program for ``python -c``: its first argument says before which renaming it dies, and what follows it
reads the others, ``arguments``."""
