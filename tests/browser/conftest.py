"""A browser for each module, a fresh tab for each test."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, expect, sync_playwright

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")


def chromium() -> str | None:
    """The machine's own Chromium; None leaves the choice to Playwright, which has one of its own or says so."""
    return os.environ.get("BIGMODEL_LAB_CHROMIUM") or next(filter(None, map(shutil.which, NAMES)), None)


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """Ends with the module: while it lives, its event loop hinders asyncio in other tests."""
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium(), headless=True)
        yield browser
        browser.close()


@pytest.fixture
def tab(browser: Browser, tmp_path: Path) -> Iterator[Page]:
    """An empty tab of its own session; a failed test finds its last sight in its temporary folder."""
    context = browser.new_context(viewport={"width": 1400, "height": 1100}, device_scale_factor=1)
    context.set_default_timeout(60_000)
    expect.set_options(timeout=60_000)  # a busy machine imports torch in half a minute
    page = context.new_page()
    yield page
    page.screenshot(path=tmp_path / "last.png")
    context.close()
