"""The built book in a browser without a window, for the tests and for `make screenshots`."""

import re
import shutil
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from playwright.sync_api import Browser, Page, sync_playwright

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
# Images below the first are fetched when they come near; whoever looks at all of a page wants them all.
FETCH_IMAGES = """() => Promise.all([...document.images].map(one => {
    one.loading = 'eager';
    return one.decode().catch(() => null);
}))"""
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


@contextmanager
def served() -> Iterator[str]:
    """The built book at an address of this machine."""
    with ThreadingHTTPServer(("127.0.0.1", 0), partial(Silent, directory=HTML)) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


class Silent(SimpleHTTPRequestHandler):
    """Serves files without a line for each."""

    def log_message(self, *said: object) -> None:
        """Say nothing."""


@dataclass
class Opened:
    """A page, and what it did while it was loading."""

    tab: Page
    requests: list[str] = field(default_factory=list)
    sizes: dict[str, int] = field(default_factory=dict)
    errors: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.tab.on("request", lambda asked: self.requests.append(asked.url))
        self.tab.on(
            "response", lambda got: self.sizes.update({got.url: int(got.headers.get("content-length", 0))})
        )
        self.tab.on("pageerror", lambda error: self.errors.append(str(error)))
        self.tab.on("console", lambda said: self.errors.append(said.text) if said.type == "error" else None)

    def go(self, address: str) -> None:
        """Open an address, wait for its formulas and images, and open what is hidden: it has to be right."""
        self.tab.goto(address)
        self.tab.evaluate("() => window.MathJax?.startup?.promise")
        self.tab.evaluate("() => document.querySelectorAll('details').forEach(part => part.open = true)")
        self.tab.evaluate(FETCH_IMAGES)

    def wear(self, scheme: str) -> None:
        """Turn light or dark."""
        self.tab.emulate_media(color_scheme=scheme)
        self.tab.wait_for_function(f"() => document.documentElement.dataset.theme === '{scheme}'")
