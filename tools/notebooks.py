"""Execute the tutorials and keep what they answer: python tools/notebooks.py (the tests execute them, too)."""

from __future__ import annotations

import re
import sys
import tempfile
from pathlib import Path

import nbformat
from nbclient import NotebookClient

TEMPORARY = re.compile(re.escape(tempfile.gettempdir()) + r"[/\\\\]tmp\w+")
TUTORIALS = Path(__file__).parent.parent / "docs" / "tutorials"


def execute(path: Path) -> nbformat.NotebookNode:
    """Run a notebook in a folder of its own making; whatever fails in it is raised."""
    notebook = nbformat.read(path, as_version=4)
    NotebookClient(notebook, timeout=600, kernel_name="python3", record_timing=False).execute()
    for cell in notebook.cells:
        for output in cell.get("outputs", ()):
            if "text" in output:  # where a temporary folder lay is nobody's business
                output["text"] = TEMPORARY.sub("(temporary folder)", output["text"])
    notebook.metadata.pop("widgets", None)
    notebook.metadata["language_info"] = {"name": "python"}
    return notebook


def main() -> None:
    """Execute all of them, or those that are named."""
    for path in map(Path, sys.argv[1:]) if sys.argv[1:] else sorted(TUTORIALS.glob("*.ipynb")):
        nbformat.write(execute(path), path)
        print(path)


if __name__ == "__main__":
    main()
