"""Chromium without a window and without a network, and pages that were opened in it."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, Page, sync_playwright

QUIET = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-first-run",
)


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    """Start the machine's Chromium."""
    result = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
    if result is None:
        pytest.fail("These tests need Chromium. Run: make test-browser (it says how to install it)")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=result, args=list(QUIET))
        yield browser
        browser.close()


@dataclass
class Visit:
    """A page that is open, and all that it complained of or asked for."""

    page: Page
    complaints: list[str] = field(default_factory=list)
    requests: list[str] = field(default_factory=list)


@pytest.fixture
def visit(browser: Browser) -> Iterator[Any]:
    """Open pages: ``visit(path, hash="#y=probability", color_scheme="dark")``; a complaint fails the test."""
    contexts, visits = [], []

    def open_page(path: Path, hash: str = "", wait: bool = True, **options: Any) -> Visit:
        options.setdefault("viewport", {"width": 1280, "height": 900})
        context = browser.new_context(offline=True, **options)
        contexts.append(context)
        page = context.new_page()
        page.set_default_timeout(30_000)
        opened = Visit(page)
        visits.append(opened)
        page.on("console", lambda message: opened.complaints.append(f"{message.type}: {message.text}"))
        page.on("pageerror", lambda error: opened.complaints.append(str(error)))
        page.on("request", lambda request: opened.requests.append(request.url))
        page.goto(path.as_uri() + hash)
        if wait:
            page.wait_for_selector("html[data-ready]")
        return opened

    yield open_page
    for context in contexts:
        context.close()
    assert [each.complaints for each in visits] == [[] for _ in visits]
    for each in visits:
        assert [
            url for url in each.requests if not url.startswith("file:") or not url.partition("#")[0].endswith(".html")
        ] == []
