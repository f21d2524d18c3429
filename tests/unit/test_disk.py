"""Memory that a process keeps between passes, and returns."""

from __future__ import annotations

import os
import platform
import subprocess
import sys

import pytest

TWICE = """
import resource
import sys
import numpy as np
from kmerit.disk import keep_memory, return_memory

def pages():
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    tensors = [np.ones(2**20) for _ in range(24)]  # 8 MiB each, all alive at once, as those of a pass
    del tensors
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before

if sys.argv[1] == "keep":
    keep_memory()
pages()
again = pages()
return_memory()
print(again, pages())
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="other C libraries have no such setting")
def test_memory_is_kept_for_the_next_pass_and_returned_when_asked() -> None:
    untuned = {name: value for name, value in os.environ.items() if not name.startswith(("MALLOC_", "GLIBC_"))}

    def count(word: str) -> list[int]:
        command = [sys.executable, "-c", TWICE, word]
        done = subprocess.run(command, capture_output=True, text=True, check=True, env=untuned)
        return [int(number) for number in done.stdout.split()]

    (kept, returned), (given_back, _) = count("keep"), count("leave")
    assert kept < given_back / 10
    assert returned > 10 * max(kept, 1)
