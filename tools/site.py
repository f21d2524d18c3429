"""For the documentation site: executed notebooks become pages, and examples in docstrings become code."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import griffe
from mkdocs.structure.files import File, Files

SHIM = "assets/iframe-worker-1.0.4.js"
"""Lets a page that was opened from disk have a worker, which the search needs; NOTICE has its licence."""


class Examples(griffe.Extension):
    """Take a docstring's ``Example:`` for the section that it is."""

    def on_object(self, *, obj: griffe.Object, **_: Any) -> None:
        """Rewrite the heading, in the copy that the site is made of."""
        if obj.docstring is not None:
            obj.docstring.value = obj.docstring.value.replace("\nExample:\n", "\nExamples:\n")


def as_markdown(notebook: dict[str, Any]) -> str:
    """Write a notebook as Markdown: its text, its code, and what the code had answered."""
    return "\n\n".join(part for cell in notebook["cells"] for part in _cell(cell)) + "\n"


def _cell(cell: dict[str, Any]) -> list[str]:
    source = "".join(cell["source"])
    if cell["cell_type"] == "markdown":
        return [source]
    parts = [f"```python\n{source}\n```"]
    for output in cell.get("outputs", []):
        data = output.get("data", {})
        if "text/html" in data:
            parts.append("".join(data["text/html"]))
        elif text := "".join(output.get("text", data.get("text/plain", ""))).rstrip():
            parts.append(f"```text\n{text}\n```")
    return parts


def on_files(files: Files, config: Any) -> Files:
    """Put a Markdown page in the place of each notebook."""
    for file in list(files):
        if file.src_uri.endswith(".ipynb"):
            notebook = json.loads(Path(file.abs_src_path).read_text(encoding="utf-8"))
            files.remove(file)
            page = file.src_uri.removesuffix(".ipynb") + ".md"
            files.append(File.generated(config, page, content=as_markdown(notebook)))
    return files


def on_page_markdown(markdown: str, **_: Any) -> str:
    """Let links to notebooks lead to their pages."""
    return markdown.replace(".ipynb)", ".md)")


def on_post_page(output: str, *, page: Any, **_: Any) -> str:
    """Load the search of pages that were opened from disk from beside them, not from a network."""
    return _local(output, "../" * page.url.count("/") + SHIM)


def on_post_template(output: str, **_: Any) -> str:
    """Do the same for the page that is shown where there is none."""
    return _local(output, f"/{SHIM}")


def _local(output: str, shim: str) -> str:
    return re.sub(r"https://[^\"]*/iframe-worker/shim", shim, output)


def on_config(config: Any) -> Any:
    """Let the navigation name the notebooks as they lie in the repository, and a folder for all its pages."""
    config.nav = _pages(config.nav, Path(config.docs_dir))
    return config


def _pages(nav: Any, docs: Path) -> Any:
    if isinstance(nav, dict):
        return {title: _pages(below, docs) for title, below in nav.items()}
    if isinstance(nav, list):
        return [_pages(each, docs) for each in nav]
    if (docs / nav).is_dir():
        return [page.relative_to(docs).as_posix() for page in sorted((docs / nav).glob("*.md"))]
    return nav.removesuffix(".ipynb") + ".md" if nav.endswith(".ipynb") else nav
