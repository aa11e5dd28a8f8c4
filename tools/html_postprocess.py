"""An extension of Sphinx: what the settings cannot say. Lighter pages, markup mended, hosts for chapters.

The theme carries two thousand icons twice, as a font and as a script, and the book shows some twenty. They
are cut from the font into the style sheet, where browsers take them on file:// too. Figures become WebP,
with every pixel kept, or, where they are smooth maps of colour, as close as an eye can tell. All this takes
up to 3 MB off a page. The introduction's live figure is put in when its page is read.

A page that a later build leaves as it is keeps what was done to it, once: a mark at its end says so.

Where FIVE_RINGS_REPOSITORY holds the repository's public address, https://github.com/OWNER/NAME, each
chapter gets buttons that open it on Binder or Colab.
"""

import base64
import hashlib
import io
import os
import re
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import boxes
import cells
import formulas
import hero
import inline_figures
import live_figures
from docutils import nodes
from fontTools import subset
from fontTools.ttLib import TTFont
from PIL import Image
from sphinx.application import Sphinx
from sphinx.config import Config

LIVE_FIGURE = "<!-- the live figure -->"  # where it stands in book/intro.md
MARK = "<!-- postprocessed -->"
FIGURE = re.compile(r"(_images/[\w-]+)\.png")
UNUSED = re.compile(
    r"<(?:link|script)\b[^>]*sphinx-design[^>]*>(?:</script>)?|<script[^>]*design-tabs[^>]*></script>"
)
GLYPHS = re.compile(r'url\(([./\w-]+)\.woff2\) format\("woff2"\),url\([^)]*\.ttf\) format\("truetype"\)')
GLYPH = re.compile(r'((?:\.fa-[\w-]+:before,?)+)\{content:"[^"]*"\}')

HOSTS = {
    "notebook_interface": "jupyterlab",
    "binderhub_url": "https://mybinder.org",
    "colab_url": "https://colab.research.google.com",
}

# What the theme, Sphinx or MyST-NB writes, and what a reader who listens to the page needs.
REPAIRS = (
    # A name that does not say what is written on the button cannot be spoken to press it.
    (r'(<button class="btn search-button-field[^>]*) aria-label="Search"', r"\1"),
    (r'(<i class="theme-switch [^>]*) title="[^"]*"', r"\1"),
    (r'<summary aria-label="Toggle hidden content">', r"<summary>"),
    # A list whose children are no list items, and a role that has been withdrawn.
    (r' role="list" class="citation-list"', ' class="citation-list"'),
    (r' role="doc-biblioentry"', ""),
    # The icons stand in the style sheet.
    (r"\s*<script[^>]*fontawesome\.js[^>]*></script>", ""),
    # The sidebar lies outside of every landmark.
    (r'(<div id="pst-primary-sidebar") ', r'\1 role="region" aria-label="Contents" '),
    # A stop or a comma stays on the line of its formula.
    (
        r'(\(?<span class="math notranslate nohighlight">[^<]*</span>[.,;:?!)’”]*)',
        r'<span class="whole">\1</span>',
    ),
    # The number of a preprint leads to it; in the text that a citation shows when pointed at it cannot.
    (
        r"arXiv:(\d{4}\.\d{4,5})(?=\.?(?: <|</p>))",
        r'<a class="reference external" href="https://arxiv.org/abs/\1">arXiv:\1</a>',
    ),
    # A notebook opened in a tab is a page of JSON.
    (r' target="_blank"(\s+class="btn btn-sm btn-download-source-button)', r" download\1"),
)


def offer_hosts(app: Sphinx, config: Config) -> None:
    """Switch the buttons on where there is an address."""
    if address := os.environ.get("FIVE_RINGS_REPOSITORY"):
        where = {"repository_url": address, "repository_branch": "main", "path_to_docs": ""}
        config.html_theme_options |= where | {"launch_buttons": HOSTS}


def mend(page: str, path: Path) -> str:
    """A page with its repairs, showing the lighter figures; one that has them already, as it is."""
    if page.endswith(MARK):
        return page
    for wrong, right in REPAIRS:
        page = re.sub(wrong, right, page)
    if ' class="sd-' not in page:
        page = UNUSED.sub("", page)
    page = live_figures.number_live_figures(inline_figures.set_in(page, path), path)
    return FIGURE.sub(r"\1.webp", page) + MARK


def lighten(figure: Path, kept: Path) -> None:
    """Replace a PNG by a WebP; `kept` holds those of earlier builds."""
    copy = kept / f"{hashlib.sha256(figure.read_bytes()).hexdigest()}.webp"
    if not copy.exists():
        part, image = copy.with_suffix(".part"), Image.open(figure)
        image.save(part, "WEBP", lossless=True)
        exact = part.read_bytes()
        image.save(part, "WEBP", quality=95)
        if 2 * part.stat().st_size > len(exact):  # marks and lines: nothing is gained by losing any
            part.write_bytes(exact)
        part.replace(copy)
    figure.with_suffix(".webp").write_bytes(copy.read_bytes())
    figure.unlink()


def without_icons(sheet: str, used: set[str]) -> str:
    """The theme's style sheet, with only those icons that are used."""
    return GLYPH.sub(lambda one: one[0] if used & set(re.findall(r"fa-([\w-]+)", one[1])) else "", sheet)


def with_glyphs(sheet: str, place: Path) -> str:
    """The theme's style sheet with its fonts of icons in it, cut to the characters that any sheet writes."""
    folder = place.parent
    others = {path for path in folder.parent.rglob("*.css") if "vendor" not in path.parts} - {place}
    sheets = "".join(path.read_text(encoding="utf-8") for path in others) + sheet
    written = [chr(int(code, 16)) for code in re.findall(r"\\([ef][0-9a-f]{3})\b", sheets)]
    shown = {ord(one) for one in [*sheets, *written] if "\ue000" <= one <= "\uf8ff"}

    def packed(found: re.Match[str]) -> str:
        font = TTFont((folder / found[1]).with_suffix(".ttf"))
        cut = subset.Subsetter()
        cut.populate(unicodes=shown)
        cut.subset(font)
        font.flavor = "woff"
        font.save(file := io.BytesIO())
        return f'url(data:font/woff;base64,{base64.b64encode(file.getvalue()).decode()}) format("woff")'

    return GLYPHS.sub(packed, sheet)


def finish(app: Sphinx, error: Exception | None) -> None:
    """Go over what was built."""
    if error or app.builder.format != "html":
        return
    html, kept = Path(app.outdir), Path(app.outdir).parent / "figures"
    kept.mkdir(exist_ok=True)
    with ThreadPoolExecutor() as pool:
        list(pool.map(lambda figure: lighten(figure, kept), html.glob("_images/*.png")))
    pages = {path: path.read_text(encoding="utf-8") for path in html.rglob("*.html")}
    scripts = [path.read_text(encoding="utf-8") for path in html.glob("_static/scripts/*-theme.js")]
    used = set(re.findall(r"\bfa-([a-z-]+)", "\n".join([*pages.values(), *scripts])))
    path = html / "_static" / "styles" / "pydata-sphinx-theme.css"
    sheet = without_icons(path.read_text(encoding="utf-8"), used)
    path.write_text(with_glyphs(sheet, path), encoding="utf-8", newline="\n")
    mended = {path: mend(page, path) for path, page in pages.items()}
    for path, page in mended.items():
        path.write_text(page, encoding="utf-8", newline="\n")
    inline_figures.drop_unused(html / "_images", mended.values())


def put_in_live_figure(_: Sphinx, page: str, source: list[str]) -> None:
    """Before the introduction is read: nothing is written beside the sources, which may be read-only."""
    if page == "book/intro":
        source[0] = source[0].replace(LIVE_FIGURE, hero.live_html())


def rearrange_cells(_: Sphinx, document: nodes.document) -> None:
    """When a page has been read."""
    cells.rearrange(document)
    formulas.group_statements(document)


def setup(app: Sphinx) -> dict[str, bool]:
    """Called by Sphinx."""
    app.add_transform(boxes.Boxes)
    app.connect("doctree-read", rearrange_cells)
    app.connect("config-inited", offer_hosts)
    app.connect("source-read", put_in_live_figure)
    app.connect("build-finished", finish)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
