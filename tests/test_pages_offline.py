"""The built book as a reader meets it: in a browser, from a folder, without a network.

Needs `make html` and Chromium or Chrome, and is skipped without them; REQUIRE_BROWSER=1 forbids that.
"""

import json
import re
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

import hero
import pytest
from browser import ROOT, Opened, pages
from conftest import need
from PIL import Image
from playwright.sync_api import Browser

WIDTHS = (1280, 390)


@pytest.fixture(scope="module", params=pages())
def opened(request: pytest.FixtureRequest, chromium: Browser, built: Path) -> Iterator[Opened]:
    context = chromium.new_context(color_scheme="light", viewport={"width": WIDTHS[0], "height": 900})
    opened = Opened(context.new_page())
    opened.go((built / f"{request.param}.html").as_uri())
    yield opened
    context.close()


def test_asks_no_one(opened: Opened) -> None:
    assert [url for url in opened.requests if not url.startswith(("file:", "data:", "blob:"))] == []


def test_console_is_quiet(opened: Opened) -> None:
    assert opened.errors == []


def test_formulas_are_set(opened: Opened) -> None:
    unset = """() => [...document.querySelectorAll('.bd-content .math')].filter(part =>
        !part.querySelector('mjx-container svg') || part.querySelector('[data-mml-node=merror]')
    ).map(part => part.textContent)"""
    assert opened.tab.evaluate(unset) == []


def test_figures_have_alternative_text(opened: Opened) -> None:
    texts = opened.tab.eval_on_selector_all(".bd-content img", "all => all.map(one => one.alt)")
    assert [text for text in texts if len(text) < 20 or "/" in text] == []


@pytest.mark.parametrize("width", WIDTHS)
def test_page_does_not_scroll_sideways(opened: Opened, width: int) -> None:
    opened.tab.set_viewport_size({"width": width, "height": 900})
    wider = """() => {
        const root = document.scrollingElement;
        if (root.scrollWidth <= root.clientWidth) return [];
        return [...document.querySelectorAll('.bd-content *')]
            .filter(part => part.getBoundingClientRect().right > root.clientWidth + 1)
            .map(part => part.outerHTML.slice(0, 200));
    }"""
    assert opened.tab.evaluate(wider) == []


@pytest.mark.parametrize("width", WIDTHS)
def test_equations_are_whole(opened: Opened, width: int) -> None:
    """Each lies in the page, or in a box of its own that scrolls; its number stands beside it, or below."""
    opened.tab.set_viewport_size({"width": width, "height": 900})
    broken = """() => [...document.querySelectorAll('.bd-content mjx-container')].filter(equation => {
        const box = equation.getBoundingClientRect();
        const ink = equation.querySelector('svg').getBoundingClientRect();
        // In a wide table it is the table that scrolls.
        const column = (equation.closest('table') ?? equation.closest('section')).getBoundingClientRect();
        const number = equation.parentElement.querySelector('.eqno')?.getBoundingClientRect();
        const scrolls = getComputedStyle(equation).overflowX === 'auto';
        const displayed = equation.hasAttribute('display');
        const tall = displayed && (ink.top < box.top - 1 || ink.bottom > box.bottom + 1);
        const outside = box.left < column.left - 1 || box.right > column.right + 1;
        const struck = number?.left < box.right - 1 && number.top < box.bottom - 1;
        return (ink.width > box.width + 1 && !scrolls) || tall || outside || struck;
    }).map(equation => equation.parentElement.textContent)"""
    found = opened.tab.evaluate(broken)
    assert not found, "too wide for a phone, shorten or display:\n" + "\n".join(found)


def test_figures_stay_as_they_are_in_the_dark(opened: Opened) -> None:
    opened.wear("dark")
    looks = """all => all.map(one => getComputedStyle(one))
        .map(look => `${look.filter} ${look.backgroundColor} ${look.padding}`)"""
    found = opened.tab.eval_on_selector_all(".bd-content img", looks)
    opened.wear("light")
    assert set(found) <= {"none rgba(0, 0, 0, 0) 0px"}


class Links(HTMLParser):
    """The links and the anchors of a page."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.links: list[str] = []
        self.anchors: set[str] = set()
        self.feed(path.read_text(encoding="utf-8"))

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        values = dict(attributes)
        self.links += [values[key] for key in ("href", "src") if values.get(key)]
        self.anchors |= {values["id"]} if values.get("id") else set()


def test_links_lead_somewhere(built: Path) -> None:
    read = {path: Links(path) for path in built.rglob("*.html") if "_static" not in path.parts}
    broken = []
    for path, page in read.items():
        for link in page.links:
            parts = urlsplit(link)
            if parts.scheme or parts.netloc:
                continue
            target = (path.parent / unquote(parts.path)).resolve() if parts.path else path
            anchors = read[target].anchors if target in read else {parts.fragment}
            if not target.exists() or (parts.fragment and unquote(parts.fragment) not in anchors):
                broken.append(f"{path.relative_to(built)}: {link}")
    assert broken == []


def test_the_introductions_picture_shows_the_committed_flow() -> None:
    shown = Image.open(hero.PICTURE).info.get("Model")
    assert shown == hero.model_digest(), "the flow has changed since the picture was drawn: `make hero`"


def test_every_page_is_there(built: Path) -> None:
    """Jupyter Book 2 reads another file than _config.yml, and builds nothing without a word."""
    assert [page for page in pages() if not (built / f"{page}.html").exists()] == []


def test_built_without_warnings(built: Path) -> None:
    log = built.parent / "book.log"
    need(log.exists(), "no log of the build: run `make html`")
    assert [line for line in log.read_text(encoding="utf-8").splitlines() if "WARNING" in line] == []


def test_the_index_names_sections_as_the_chapters_do() -> None:
    """Its numbers and titles are written by hand, and a section that is moved would leave them behind."""
    index = (ROOT / "book" / "subject_index.md").read_text(encoding="utf-8")
    entries = re.findall(r"\[(\d+)\.(\d+)\]\(\.\./notebooks/(\w+)\.ipynb#[\w-]+ \"(.*?)\"\)", index)
    assert len(entries) > 200
    for chapter, section, name, title in entries:
        cells = json.loads((ROOT / "notebooks" / f"{name}.ipynb").read_text(encoding="utf-8"))["cells"]
        lines = "\n".join("".join(cell["source"]) for cell in cells if cell["cell_type"] == "markdown")
        headings = re.findall(r"^## (.*)$", lines, re.MULTILINE)
        assert (name[:2], headings[int(section) - 1]) == (f"{int(chapter):02}", title)
