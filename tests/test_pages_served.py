"""The built book as a site: served, read on a telephone, heard, read without scripts."""

from collections.abc import Iterator
from pathlib import Path

import axe_playwright_python
import pytest
from browser import FETCH_IMAGES, Opened, pages, served
from playwright.sync_api import Browser, BrowserContext, Page

AXE = (Path(axe_playwright_python.__file__).parent / "axe.min.js").read_text(encoding="utf-8")
NARROW = {"width": 390, "height": 844}
HEAVIEST = 3_000_000
# What only the theme can mend: (rule, page) and why. There is nothing at present.
ALLOWED: dict[tuple[str, str], str] = {}


@pytest.fixture(scope="module")
def site(built: Path) -> Iterator[str]:
    with served() as address:
        yield address


@pytest.fixture(scope="module", params=[*pages(), "search"])
def opened(request: pytest.FixtureRequest, chromium: Browser, site: str) -> Iterator[Opened]:
    # With less motion, colours change at once.
    context = chromium.new_context(color_scheme="light", reduced_motion="reduce", viewport=NARROW)
    opened = Opened(context.new_page())
    opened.go(f"{site}/{request.param}.html")
    yield opened
    context.close()


def test_asks_only_its_own_server(opened: Opened, site: str) -> None:
    assert [url for url in opened.requests if not url.startswith((site, "data:", "blob:"))] == []


def test_console_is_quiet(opened: Opened) -> None:
    assert opened.errors == []


def test_page_is_light(opened: Opened) -> None:
    weight = sum(opened.sizes.values())
    heaviest = sorted(opened.sizes.items(), key=lambda one: -one[1])[:5]
    assert 500_000 < weight < HEAVIEST, f"{weight / 1e6:.2f} MB, of which {heaviest}"


# axe takes most of its time for words of code and strokes of formulas. One word of code in a colour speaks
# for the others on the same ground, and a formula is heard from its MathML, not from its strokes.
ABRIDGE = """() => {
    const seen = new Set();
    for (const word of document.querySelectorAll('.highlight pre span:not(:has(*))')) {
        const look = getComputedStyle(word);
        const ground = word.closest('.cell_output, details, .admonition')?.className;
        const key = [look.color, look.backgroundColor, look.fontWeight, ground].join();
        if (seen.has(key)) word.replaceWith(word.textContent);
        seen.add(key);
    }
    document.querySelectorAll('mjx-container > svg').forEach(formula => formula.replaceChildren());
}"""
CHAPTER = next(page for page in pages() if page.startswith("notebooks/"))
# Two rules that axe leaves out unless asked; and the dark page differs from the light one in colours alone.
RULES = {
    "light": "rules: {'label-content-name-mismatch': {enabled: true}, 'target-size': {enabled: true}}",
    "dark": "runOnly: ['color-contrast', 'link-in-text-block']",
}


def test_buttons_and_menus_are_large_enough_for_a_finger(opened: Opened) -> None:
    """24 pixels each way (WCAG 2.5.8); axe's rule below judges the links between them."""
    assert small_controls(opened.tab, "") == []


def small_controls(tab: Page, within: str) -> list[str]:
    controls = ", ".join(
        f"{within} {kind}"
        for kind in ("button", "summary", "select", "input", ".btn", "nav a", ".prev-next-area a")
    )
    return tab.eval_on_selector_all(
        controls,
        """all => all.filter(one => {
            const box = one.getBoundingClientRect();
            return one.checkVisibility({visibilityProperty: true}) && (box.width < 24 || box.height < 24);
        }).map(one => `${one.outerHTML.slice(0, 120)}: ${JSON.stringify(one.getBoundingClientRect())}`)""",
    )


def test_a_hidden_solution_has_one_label(opened: Opened) -> None:
    # All are open, so each one that is code offers to hide it, and no more.
    labels = opened.tab.eval_on_selector_all("summary", "all => all.map(one => one.innerText.trim())")
    assert [label for label in labels if not label or "Solution in code" in label] == []


@pytest.mark.parametrize("scheme", RULES)
def test_accessible(opened: Opened, scheme: str, request: pytest.FixtureRequest) -> None:
    page = request.node.callspec.params["opened"]
    opened.wear(scheme)
    if not opened.tab.evaluate("() => window.axe"):
        opened.tab.evaluate(ABRIDGE)
        opened.tab.evaluate(AXE)
    found = opened.tab.evaluate(
        f"() => axe.run({{preload: false, resultTypes: ['violations'], {RULES[scheme]}}})"
    )
    worst = [
        f"{one['id']}: {node['html']}\n{node['failureSummary']}"
        for one in found["violations"]
        for node in one["nodes"]
        if node["impact"] in ("serious", "critical") and (one["id"], page) not in ALLOWED
    ]
    assert not worst, "\n".join(worst)


@pytest.mark.parametrize("side", ["primary", "secondary"])
def test_sidebars_open_on_a_telephone(chromium: Browser, site: str, side: str) -> None:
    tab = chromium.new_page(viewport=NARROW)
    tab.goto(f"{site}/{CHAPTER}.html")
    tab.locator(f".{side}-toggle").click()
    links = tab.locator(f"#pst-{side}-sidebar-modal a")
    links.last.wait_for()
    assert links.count() > 5
    assert small_controls(tab, f"#pst-{side}-sidebar-modal") == []
    tab.context.close()


def test_prints_black_on_white_without_what_is_for_screens(chromium: Browser, site: str) -> None:
    opened = Opened(chromium.new_page(color_scheme="dark"))
    opened.go(f"{site}/{CHAPTER}.html")
    opened.wear("dark")
    opened.tab.emulate_media(media="print")
    state = opened.tab.evaluate("""() => ({
        ground: getComputedStyle(document.body).backgroundColor,
        inks: [...new Set([...document.querySelectorAll('article :is(p, h1, h2, pre, pre span, td, th)')]
            .filter(part => !part.closest('.cell_output, summary'))
            .map(part => getComputedStyle(part).color))],
        shades: [...new Set([...document.querySelectorAll('article .cell_input, article pre')]
            .map(part => getComputedStyle(part).backgroundColor))].sort(),
        screen: [...document.querySelectorAll(`.bd-sidebar-primary, .bd-sidebar-secondary, .bd-header-article,
            .headerlink, .prev-next-area, button`)]
            .filter(part => part.checkVisibility()).map(part => part.outerHTML.slice(0, 100)),
        untitled: !document.querySelector('article h1').checkVisibility(),
    })""")
    opened.tab.context.close()
    assert state.pop("ground") in ("rgb(255, 255, 255)", "rgba(0, 0, 0, 0)")
    assert set(state.pop("shades")) <= {"rgb(245, 245, 245)", "rgba(0, 0, 0, 0)"}
    assert state == {"inks": ["rgb(0, 0, 0)"], "screen": [], "untitled": False}


@pytest.fixture(scope="module")
def without_scripts(chromium: Browser) -> Iterator[BrowserContext]:
    context = chromium.new_context(viewport=NARROW)
    context.route(
        "**/*", lambda way: way.abort() if way.request.resource_type == "script" else way.continue_()
    )
    yield context
    context.close()


@pytest.mark.parametrize("page", pages())
def test_is_read_before_its_scripts_have_run(without_scripts: BrowserContext, site: str, page: str) -> None:
    tab = without_scripts.new_page()
    tab.goto(f"{site}/{page}.html")
    tab.evaluate(FETCH_IMAGES)
    state = tab.locator("article.bd-article").evaluate("""article => {
        const look = {opacityProperty: true, visibilityProperty: true};
        const shown = part => part.closest('details:not([open])')
            || (part.checkVisibility(look) && part.offsetHeight > 0);
        return {
            words: article.innerText.split(/\\s+/).length,
            hidden: [...article.querySelectorAll('p, h1, h2, h3, li, pre')].filter(part =>
                part.textContent.trim() && !shown(part)).map(part => part.outerHTML.slice(0, 200)),
            figures: [...article.querySelectorAll('img')]
                .filter(one => !one.naturalWidth || !shown(one)).map(one => one.src),
            unread: [...article.querySelectorAll('.math')].map(one => one.textContent.trim())
                .filter(text => !/^(\\(.*\\d\\)#?)?\\s*\\\\[([][^]*\\\\[)\\]]$/.test(text)),
        };
    }""")
    tab.close()
    assert state.pop("words") > 100
    assert state == {"hidden": [], "figures": [], "unread": []}


def test_notebook_can_be_downloaded(chromium: Browser, site: str) -> None:
    tab = chromium.new_page()
    tab.goto(f"{site}/{CHAPTER}.html")
    tab.locator(".dropdown-download-buttons > button").click()
    with tab.expect_download() as download:
        tab.locator(".btn-download-source-button").click()
    assert download.value.suggested_filename == f"{CHAPTER.split('/')[-1]}.ipynb"
    tab.context.close()
