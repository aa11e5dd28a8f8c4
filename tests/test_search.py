"""The search: that it finds the section, from a folder as well as from a server, and shows it there."""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
import search_index
from browser import ROOT, Opened, served
from playwright.sync_api import Browser, Page
from test_pages_served import AXE

START = "book/how_to_use"
# What a reader types, and the term of the glossary that is meant: plurals, other words, slips, beginnings.
# The section that the glossary sends to has to be among the first three.
QUERIES = {
    "annealing the learning rate": "Annealing",
    "inverse autoregressive": "Autoregressive flow",
    "bijectors": "Bijector",
    "condition number": "Condition number",
    "conditioners": "Conditioner",
    "continuity": "Continuity equation",
    "log determinant": "Log-determinant",
    "hutchison": "Hutchinson's estimate",
    "classifier-free guidance": "Guidance",
    "instantaneous change of variables": "Instantaneous change of variables",
    "kinks": "Kink",
    "lipshitz": "Lipschitz constant",
    "mutual information": "Mutual information",
    "NFE": "Number of function evaluations (NFE)",
    "neural spline flow": "Rational-quadratic spline",
    "seams": "Seam",
    "step doubling": "Step doubling",
    "sliced wasserstein": "Sliced Wasserstein distance",
    "fourier features": "Waves",
    "weak form": "Weak form",
}
# Every query in one go: the addresses of the first three results, without what is to be marked there.
FIRST_THREE = """async queries => {
    const field = document.querySelector('#pst-search-dialog input');
    const box = document.querySelector('#pst-search-dialog .fr-found');
    const found = {};
    for (const query of queries) {
        field.value = query;
        field.dispatchEvent(new Event('input', {bubbles: true}));
        while (box.dataset.answered !== query) await new Promise(requestAnimationFrame);
        found[query] = [...box.querySelectorAll('.fr-results a')].slice(0, 3)
            .map(link => link.href.replace(/[?]find=[^#]*/, '').match(/(book|notebooks)[/][^/]*$/)[0]);
    }
    return found;
}"""


def introductions() -> dict[str, set[str]]:
    """By term, where the glossary sends its readers, as addresses in the book."""
    text = (ROOT / "book" / "glossary.md").read_text(encoding="utf-8")
    terms = re.findall(r"^### (.*?)$(.*?)(?=^##|\Z)", text, re.MULTILINE | re.DOTALL)
    link = re.compile(r"\]\(\.\./(notebooks/\w+)\.ipynb(#[\w-]+)\)")
    return {term: {f"{page}.html{anchor}" for page, anchor in link.findall(body)} for term, body in terms}


@pytest.fixture(scope="module", params=["file", "http"])
def root(request: pytest.FixtureRequest, built: Path) -> Iterator[str]:
    if request.param == "file":
        yield built.as_uri()
    else:
        with served() as address:
            yield address


@pytest.fixture
def opened(chromium: Browser, root: str) -> Iterator[Opened]:
    opened = Opened(chromium.new_page(viewport={"width": 1280, "height": 900}))
    opened.tab.goto(f"{root}/{START}.html")
    yield opened
    opened.tab.context.close()


@pytest.fixture
def tab(opened: Opened) -> Page:
    return opened.tab


def seek(tab: Page, query: str) -> None:
    """Open the search by its keys, type, and wait for the answer."""
    tab.keyboard.press("ControlOrMeta+k")
    tab.keyboard.type(query)
    tab.locator(f'#pst-search-dialog .fr-found[data-answered="{query}"]').wait_for()


def test_each_query_leads_to_the_section_that_introduces_the_term(tab: Page) -> None:
    tab.keyboard.press("ControlOrMeta+k")
    found = tab.evaluate(FIRST_THREE, list(QUERIES))
    right = introductions()
    missed = {query: first for query, first in found.items() if not right[QUERIES[query]] & set(first)}
    assert len(QUERIES) == 20
    assert missed == {}


@pytest.mark.parametrize("root", ["file"], indirect=True)
def test_every_term_is_found_by_its_name(tab: Page) -> None:
    tab.keyboard.press("ControlOrMeta+k")
    terms = list(introductions())
    anchors = {
        query: [one.rpartition("#")[2] for one in found if "glossary" in one]
        for query, found in tab.evaluate(FIRST_THREE, terms).items()
    }
    plain = {term: re.sub(r"[^a-z\d]+", "-", term.lower()).strip("-") for term in terms}
    assert [term for term in terms if plain[term] not in anchors[term]] == []


def test_what_is_nowhere_is_said_to_be(tab: Page) -> None:
    seek(tab, "xylophonist")
    assert tab.locator(".fr-results a").count() == 0
    assert "Nothing found for “xylophonist”" in tab.get_by_role("status").inner_text()


def test_a_result_shows_where_it_is_and_why(opened: Opened) -> None:
    tab = opened.tab
    seek(tab, "yardstick")
    assert re.match(r"\d+ places found", tab.get_by_role("status").inner_text())
    results = tab.locator(".fr-results li").all()
    assert len(results) > 2
    for result in results:
        assert result.locator("mark").count() > 0
        assert len(result.locator(".fr-result-text").inner_text()) < 200
    pages = tab.locator(".fr-result-page").all_inner_texts()
    assert {"Glossary", "8. Flow matching"} <= set(pages)
    assert opened.errors == []


def test_the_hit_is_marked_on_the_page_that_opens_until_it_is_cleared(opened: Opened) -> None:
    tab = opened.tab
    seek(tab, "yardstick")
    tab.locator(".fr-results a[href*='#what-regression-finds']").click()
    tab.wait_for_url("**/08_flow_matching.html?find=yardstick#what-regression-finds")
    marks = tab.locator("mark.fr-hit")
    assert {text.lower() for text in marks.all_inner_texts()} <= {"yardstick", "yardsticks"}
    assert marks.count() > 0
    assert tab.locator("mark.fr-hit:not(#what-regression-finds mark)").count() == 0
    tab.wait_for_function("""() => {
        const {top, bottom} = document.querySelector('mark.fr-hit').getBoundingClientRect();
        return top >= 0 && bottom <= innerHeight;
    }""")
    before = tab.locator("#what-regression-finds").inner_text()
    tab.get_by_role("button", name="Clear").click()
    assert marks.count() == 0
    assert tab.locator("#what-regression-finds").inner_text() == before
    assert opened.errors == []


def test_the_keyboard_is_enough(tab: Page) -> None:
    seek(tab, "coupling")
    links = tab.locator(".fr-results a")
    tab.keyboard.press("ArrowDown")
    tab.keyboard.press("ArrowDown")
    assert links.nth(1).evaluate("link => link === document.activeElement")
    tab.keyboard.press("ArrowUp")
    tab.keyboard.press("ArrowUp")
    tab.keyboard.type("s")  # back in the field
    assert tab.locator("#pst-search-dialog input").input_value() == "couplings"
    tab.keyboard.press("Escape")
    assert not tab.locator("#pst-search-dialog").is_visible()
    tab.locator("#pst-search-dialog input").evaluate("field => field.value = ''")
    seek(tab, "couplings keep")
    first = links.first.get_attribute("href")
    tab.keyboard.press("Enter")
    tab.wait_for_url(f"**/{first.lstrip('./')}")


def test_the_page_of_results_has_an_address(tab: Page, root: str) -> None:
    tab.goto(f"{root}/search.html?q=lipschitz")
    tab.locator('.fr-found[data-answered="lipschitz"]').wait_for()
    assert tab.locator(".fr-results a[href*='#paths-do-not-cross']").count() == 1
    tab.keyboard.press("ControlOrMeta+a")
    tab.keyboard.type("seam")
    tab.keyboard.press("Enter")
    tab.wait_for_url("**/search.html?q=seam")
    tab.locator('.fr-found[data-answered="seam"] a[href*="#seam"]').wait_for()


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_results_are_accessible(opened: Opened, scheme: str) -> None:
    opened.wear(scheme)
    seek(opened.tab, "seam")
    opened.tab.keyboard.press("ArrowDown")
    opened.tab.evaluate(AXE)
    found = opened.tab.evaluate("() => axe.run('#pst-search-dialog', {preload: false})")
    assert [one["id"] for one in found["violations"] if one["impact"] in ("serious", "critical")] == []


def test_nothing_is_fetched_before_the_search_is_used(opened: Opened) -> None:
    def fetched() -> list[str]:
        return [url for url in opened.requests if re.search(r"search_?index|minisearch|searchtools", url)]

    assert fetched() == []
    seek(opened.tab, "ring")
    assert [url.rpartition("/")[2] for url in fetched()] == ["minisearch.js", "search_index.js"]


def test_without_scripts_the_page_says_so(chromium: Browser, root: str) -> None:
    context = chromium.new_context(java_script_enabled=False)
    tab = context.new_page()
    tab.goto(f"{root}/search.html")
    assert "needs scripts" in tab.locator("article").inner_text()
    assert not tab.locator(".fr-search").is_visible()
    tab.locator("article").get_by_role("link", name="Index").click()
    assert "Where each subject" in tab.locator("article").inner_text()
    context.close()


def test_the_index_is_small(built: Path) -> None:
    assert (built / "_static" / "search_index.js").stat().st_size < 900_000  # twenty-one chapters
    assert not (built / "searchindex.js").exists()


@pytest.mark.parametrize(
    ("tex", "text"),
    [
        (r"\log|\det J_f(z)|", "log|det J_f(z)|"),
        (r"\tfrac12(J + J^\top)", "1/2(J + J^T)"),
        (r"\mathcal N(0, I)", "N(0, I)"),
        (r"a\,e^{s(a)}", "ae^s(a)"),
    ],
)
def test_a_formula_becomes_a_line_of_text(tex: str, text: str) -> None:
    assert search_index.readable(tex) == text


def test_the_same_documents_give_the_same_index() -> None:
    entry = search_index.Entry("book/faq", "why", "section", "Why?", ["Because of  it ."], {"b", "a"})
    made = search_index.script([entry], {("book/faq", "why"): ["reason"]}, {})
    assert made == search_index.script([entry], {("book/faq", "why"): ["reason"]}, {})
    assert '["book/faq","why","section","Why?","Because of it.","a b","reason"]' in made
