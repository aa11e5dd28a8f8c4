"""What a page says of itself, and that its head, its images and its sidebar are as they should be."""

import re
from collections.abc import Iterator
from functools import partial
from http.server import ThreadingHTTPServer
from pathlib import Path
from threading import Thread

import page_head
import pytest
from browser import HTML, ROOT, Silent, pages
from docutils import nodes
from playwright.sync_api import Browser

CHAPTERS = [page for page in pages() if page.startswith("notebooks/")]


@pytest.fixture(scope="module")
def read(built: Path) -> dict[str, str]:
    return {page: (built / f"{page}.html").read_text(encoding="utf-8") for page in pages()}


def test_every_page_says_what_it_is_about(read: dict[str, str]) -> None:
    found = {}
    for page, text in read.items():
        about = re.findall(r'<meta name="description" content="([^"]*)"', text)
        assert about == re.findall(r'<meta property="og:description" content="([^"]*)"', text)
        assert len(about) == 1
        assert 30 < len(about[0]) <= 160 + about[0].count("&")
        assert not re.search(r"[\\${}]|eq-", about[0]), about
        assert len(re.findall(r'<meta property="og:title" content="[^"]+"', text)) == 1
        found[page] = about[0]
    assert len(set(found.values())) == len(found)


def test_a_description_ends_with_a_sentence_or_a_word() -> None:
    assert page_head.shorten("Short.") == "Short."
    assert page_head.shorten("One sentence that is long. Another one.", 30) == "One sentence that is long."
    assert page_head.shorten("One sentence that does not end before", 30) == "One sentence that does not…"


def test_each_chapter_says_what_it_takes(read: dict[str, str]) -> None:
    table = (ROOT / "book" / "run_times_table.md").read_text(encoding="utf-8")
    times = page_head.seconds_to_run(table)
    assert list(times) == CHAPTERS
    for page, text in read.items():
        lines = re.findall(r'</h1>\s*<p class="fr-minutes">(.*?)</p>', text)
        assert len(lines) == (page in CHAPTERS)
        for line in lines:
            minutes, seconds = map(int, re.findall(r"\d+", line))
            assert (minutes % 5, seconds) == (0, times[page])
            assert 15 <= minutes <= 95


def chapter(words: int, formulas: int, exercises: int) -> nodes.document:
    """A document with so much in it."""
    made = nodes.document(None, None)
    section = nodes.section("", nodes.paragraph(text="word " * words), ids=["one"])
    section += [nodes.math_block("", "x") for _ in range(formulas)]
    made += section
    made += nodes.section("", nodes.paragraph(text="word " * exercises), ids=["exercises"])
    return made


def test_minutes_follow_from_what_is_read() -> None:
    assert page_head.minutes_to_read(chapter(1600, 0, 0)) == 10
    assert page_head.minutes_to_read(chapter(1600, 20, 0)) == 20
    assert page_head.minutes_to_read(chapter(1600, 0, 8000)) == 10


IMAGES = """() => Promise.all([...document.querySelectorAll('article img')].map(async one => {
    one.loading = 'eager';
    await one.decode();
    const said = one.getAttribute('width') / one.getAttribute('height');
    return [one.src, said, one.naturalWidth / one.naturalHeight];
}))"""


def test_images_keep_their_place(chromium: Browser, read: dict[str, str]) -> None:
    """Each says the size of its file; those after the first are fetched when they come near."""
    with_images = [page for page, text in read.items() if "<img" in text]
    assert with_images  # the drawings are parts of their pages
    for page in with_images:
        tags = re.findall(r"<img\b[^>]*>", read[page])
        assert [tag for tag in tags if not re.search(r' width="\d+" height="\d+"', tag)] == []
        assert [' loading="lazy" decoding="async"' in tag for tag in tags] == [False] + [True] * (
            len(tags) - 1
        )
    tab = chromium.new_page()
    for page in with_images[:3]:
        tab.goto((HTML / f"{page}.html").as_uri())
        for source, said, found in tab.evaluate(IMAGES):
            assert said == pytest.approx(found, rel=0.01), source
    tab.context.close()


def test_a_page_that_is_finished_stays_as_it_is(built: Path, read: dict[str, str]) -> None:
    for page in (CHAPTERS[0], "book/intro"):
        again = page_head.with_sizes(page_head.tidy(read[page]), built / f"{page}.html")
        assert again == read[page]


def test_the_look_is_known_before_the_page_is_drawn(chromium: Browser, built: Path) -> None:
    context = chromium.new_context(color_scheme="dark")
    tab = context.new_page()
    tab.route("**/*.js*", lambda way: way.abort())  # the head's own lines alone
    tab.goto((built / "book" / "faq.html").as_uri())
    assert tab.locator("html").get_attribute("data-theme") == "dark"
    context.close()


@pytest.mark.parametrize("page", ["book/bibliography", CHAPTERS[-1], "book/how_to_use"])
def test_the_sidebar_shows_where_one_is(chromium: Browser, built: Path, page: str) -> None:
    tab = chromium.new_page(viewport={"width": 1280, "height": 600})
    tab.goto((built / f"{page}.html").as_uri())
    tab.wait_for_function("""() => {
        const top = document.querySelector('.fr-sidebar-top').getBoundingClientRect().bottom;
        const here = document.querySelector('.bd-docs-nav .current.active > a').getBoundingClientRect();
        return here.top >= top && here.bottom <= innerHeight;
    }""")
    for end in (0, 10_000):
        box = tab.locator(".bd-sidebar-primary .sidebar-primary-item:has(.bd-docs-nav)")
        box.evaluate("(box, end) => box.scrollTop = end", end)
        for part in (".navbar-brand", ".search-button-field"):
            place = tab.locator(f".bd-sidebar-primary {part}").bounding_box()
            assert 0 <= place["y"] < place["y"] + place["height"] < 200
    tab.context.close()


class Host(Silent):
    """Serves the book in a folder of a site, and its page for addresses that are not there."""

    def translate_path(self, path: str) -> str:
        """The file for an address."""
        return super().translate_path(path.removeprefix("/some/project"))

    def send_error(self, code: int, *_: object) -> None:
        """Answer as hosts of pages do."""
        page = (HTML / "404.html").read_bytes()
        self.send_response(code)
        self.send_header("Content-Type", "text/html")
        self.send_header("Content-Length", str(len(page)))
        self.end_headers()
        self.wfile.write(page)


@pytest.fixture(scope="module")
def hosted(built: Path) -> Iterator[str]:
    with ThreadingHTTPServer(("127.0.0.1", 0), partial(Host, directory=built)) as server:
        Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}/some/project"
        server.shutdown()


@pytest.mark.parametrize("missing", ["nowhere.html", "notebooks/nowhere.html", "a/b/c/"])
def test_a_page_that_is_missing_leads_back(chromium: Browser, hosted: str, missing: str) -> None:
    tab = chromium.new_page()
    assert tab.goto(f"{hosted}/{missing}").status == 404
    tab.wait_for_selector("base", state="attached")
    for name, address in (("introduction", "book/intro.html"), ("index", "book/subject_index.html")):
        link = tab.get_by_role("link", name=name)
        assert link.evaluate("link => link.href") == f"{hosted}/{address}"
    tab.get_by_role("link", name="introduction").click()
    tab.wait_for_url(f"{hosted}/book/intro.html")
    tab.context.close()


def test_sphinxs_own_index_is_gone(built: Path, read: dict[str, str]) -> None:
    assert not (built / "genindex.html").exists()
    assert [page for page, text in read.items() if "genindex" in text] == []
