"""A headless Chromium, from the system's package; whoever needs it skips, and says so, without it."""

import contextlib
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), "")
PICTURES = Path(__file__).resolve().parent.parent.parent / "out" / "console"
WIDTHS = {"wide": (1280, 900), "narrow": (390, 844)}


@contextlib.contextmanager
def chromium() -> Iterator["object"]:
    """A running browser (of Playwright's kind) for the length of a block."""
    sync_api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    if not CHROMIUM:
        pytest.skip("no chromium: apt install chromium")
    with sync_api.sync_playwright() as playwright:
        # The sandbox wants a user of its own kind; tests may run as root in a container.
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        try:
            yield browser
        finally:
            browser.close()
