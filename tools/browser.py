"""The built book in a browser without a window, for the tests and for `make screenshots`."""

import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from playwright.sync_api import Browser, sync_playwright

ROOT = Path(__file__).resolve().parent.parent
HTML = ROOT / "_build" / "html"
PROGRAMS = (
    "chromium",
    "chromium-browser",
    "google-chrome",
    "chrome",
    "msedge",
    "/Applications/Google Chrome.app/Contents/MacOS/Google Chrome",
    "/Applications/Chromium.app/Contents/MacOS/Chromium",
)
QUIET = "background-networking component-update quic sync gpu extensions default-apps dev-shm-usage"


def program() -> str | None:
    """The browser of this machine, or None."""
    return next((found for found in map(shutil.which, PROGRAMS) if found), None)


def pages() -> list[str]:
    """The pages that _toc.yml names, without their ending."""
    toc = (ROOT / "_toc.yml").read_text(encoding="utf-8")
    return re.findall(r"^[ -]*(?:root|file): *(\S+)", toc, re.MULTILINE)


@contextmanager
def browser() -> Iterator[Browser]:
    """A headless browser that asks nobody for anything."""
    flags = ["--headless", "--no-sandbox", "--no-first-run", *(f"--disable-{word}" for word in QUIET.split())]
    with sync_playwright() as playwright:
        yield playwright.chromium.launch(executable_path=program(), args=flags)
