"""An extension of Sphinx: what each page says of itself, and what its browser must know before it draws.

A description for those who link to the page; below a chapter's title, the minutes to read and the seconds to
run; the size of every image, so that nothing jumps; and a head without the theme's two errors. What is done
to a page a second time leaves it as it is.
"""

import base64
import html
import io
import re
import urllib.parse
from collections.abc import Iterable
from functools import cache
from pathlib import Path

import search_index
from docutils import nodes
from PIL import Image
from sphinx.application import Sphinx

DESCRIPTION = 160  # letters that those who show it have room for
# The pace of a first reading, by book/reading_guide.md; exercises are apart.
WORDS_A_MINUTE, FORMULAS_A_MINUTE, LINES_A_MINUTE = 160, 2, 20
NEAREST = 5  # minutes
RUN_TIME = re.compile(r"\| \[[^]]*\]\(\.\./(notebooks/\w+)\.ipynb\) \| ([\d.]+) \|")
IMAGE = re.compile(r"<img\b[^>]*>")
PIXELS = {"": 1, "px": 1, "pt": 4 / 3, "in": 96, "mm": 96 / 25.4, "cm": 96 / 2.54}

THEME_SET = re.compile(r'(<script data-cfasync="false">).*?(</script>)', re.DOTALL)
# The theme's lines know no reader without a choice: an error on the console, a flash of the other look.
SET_THEME = """
    (() => {
      const kept = localStorage.getItem("mode"), root = document.documentElement.dataset;
      root.mode = ["light", "dark"].includes(kept) ? kept : "auto";
      const dark = matchMedia("(prefers-color-scheme: dark)").matches ? "dark" : "light";
      root.theme = root.mode === "auto" ? dark : root.mode;
    })();
  """
UNUSED = (  # pattern and what stands in its place
    # Running code in the page by a service of others: the book does not, and declares it twice.
    (r"\s*<script>const THEBE_JS_URL.*?</script>", ""),
    (r"\s*<script [^>]*sphinx-thebe\.js[^>]*></script>", ""),
    (r"\s*<link [^>]*sphinx-thebe\.css[^>]*/>", ""),
    # Sphinx's search, which the book's own replaces, with its index and its marks.
    (
        r'\s*<script src="[^"]*(searchtools|language_data|searchindex|sphinx_highlight)\.js[^"]*"></script>',
        "",
    ),
    (r'\s*<meta name="docsearch:[^>]*/>', ""),
    (r'(<html lang="en" data-content_root="[^"]*") *>', r'\1 data-theme="light">'),
    # The title and the search stay in sight while the contents scroll.
    (
        r'(<div class="sidebar-primary-items__start[^>]*>)\s*(<div class="sidebar-primary-item">)'
        r'(.*?)(<div class="sidebar-primary-item"><nav)',
        r'\1<div class="fr-sidebar-top">\2\3</div>\4',
    ),
)


def shorten(text: str, most: int = DESCRIPTION) -> str:
    """The first sentences of a text that fit, or as many words as do."""
    if len(text) <= most:
        return text
    sentences = text[:most].rfind(". ")
    return text[: sentences + 1] if sentences > most // 2 else f"{text[: most - 1].rsplit(' ', 1)[0]}…"


def description(document: nodes.document) -> str:
    """What a page is about: its first paragraph of prose."""
    paragraphs = (p for p in document.findall(nodes.paragraph) if isinstance(p.parent, nodes.section))
    texts = (" ".join(search_index.plain_text(paragraph).split()) for paragraph in paragraphs)
    return shorten(next((text for text in texts if len(text) > 40), ""))


def reading_minutes(parts: Iterable[nodes.Node], code: bool = True) -> float:
    """What parts of a page take to read, with their code or without."""
    parts = list(parts)
    inputs = [part for part in parts if isinstance(part, nodes.container) and "cell_input" in part["classes"]]
    lines = sum(bool(line.strip()) for part in inputs for line in part.astext().splitlines())
    formulas = sum(isinstance(part, nodes.math_block) for part in parts)
    prose = (nodes.paragraph, nodes.title, nodes.caption)
    words = sum(len(search_index.plain_text(part).split()) for part in parts if isinstance(part, prose))
    return words / WORDS_A_MINUTE + formulas / FORMULAS_A_MINUTE + code * lines / LINES_A_MINUTE


def minutes_to_read(document: nodes.document) -> int:
    """Of a chapter, without its exercises, to the nearest five."""
    exercises = {
        id(part) for s in document.findall(nodes.section) if "exercises" in s["ids"] for part in s.findall()
    }
    parts = [part for part in document.findall() if id(part) not in exercises]
    return max(NEAREST, NEAREST * round(reading_minutes(parts) / NEAREST))


def seconds_to_run(table: str) -> dict[str, int]:
    """By chapter, what its last run took, from the table in book/run_times_table.md."""
    return {page: round(float(seconds)) for page, seconds in RUN_TIME.findall(table)}


def fill_head(app: Sphinx, page: str, _: str, context: dict, document: nodes.document | None) -> None:
    """Before a page is written."""
    if document is None:
        return
    title = search_index.plain_text(app.env.titles[page])
    said = {"og:title": title, "og:type": "article"}
    if about := description(document):
        said |= {"og:description": about}
        context["metatags"] += f'\n<meta name="description" content="{html.escape(about)}" />'
    for name, content in said.items():
        context["metatags"] += f'\n<meta property="{name}" content="{html.escape(content)}" />'
    times = seconds_to_run((Path(app.srcdir) / "book" / "run_times_table.md").read_text(encoding="utf-8"))
    if page in times:
        line = f"{minutes_to_read(document)} minutes to read, {times[page]} seconds to run"
        context["body"] = context["body"].replace("</h1>", f'</h1>\n<p class="fr-minutes">{line}</p>', 1)


@cache
def size_of(path: Path) -> tuple[int, int] | None:
    """Width and height of an image in pixels, as a browser shows it; None for a drawing that does not say."""
    if path.suffix != ".svg":
        with Image.open(path) as image:
            return image.size
    head = re.search(r"<svg[^>]*>", path.read_text(encoding="utf-8"))[0]
    box = re.search(r'viewBox="[-\d.]+ [-\d.]+ ([\d.]+) ([\d.]+)"', head)
    sides = [re.search(rf'\s{side}="([\d.]+)(\w*)"', head) for side in ("width", "height")]
    if all(sides) and all(side[2] in PIXELS for side in sides):
        width, height = (float(side[1]) * PIXELS[side[2]] for side in sides)
    elif box:
        width, height = float(box[1]), float(box[2])
    else:
        return None
    return round(width), round(height)


def size_of_source(source: str, folder: Path) -> tuple[int, int] | None:
    """The same for what an image's tag names: a file, or an image that the page carries itself."""
    if source.startswith("data:image/png;base64,"):
        with Image.open(io.BytesIO(base64.b64decode(source.partition(",")[2]))) as image:
            return image.size
    file = folder / urllib.parse.unquote(source)
    return size_of(file) if not source.startswith("data:") and file.is_file() else None


def with_sizes(page: str, path: Path) -> str:
    """A page whose images say how large they are; those after the first are fetched when they come near."""
    seen = 0

    def sized(found: re.Match[str]) -> str:
        nonlocal seen
        tag, seen = found[0], seen + 1
        source = re.search(r'\ssrc="([^"]+)"', tag)
        added = ""
        size = size_of_source(source[1], path.parent) if source else None
        if size and " width=" not in tag and " height=" not in tag:
            added += f' width="{size[0]}" height="{size[1]}"'
        if seen > 1 and " loading=" not in tag:
            added += ' loading="lazy" decoding="async"'
        return f"<img{added}{tag[4:]}"

    return IMAGE.sub(sized, page)


def tidy(page: str) -> str:
    """A page without what the book does not use, that knows its look from the start."""
    page = THEME_SET.sub(lambda one: one[1] + SET_THEME + one[2], page)
    for pattern, instead in UNUSED:
        page = re.sub(pattern, instead, page, flags=re.DOTALL)
    return page


def finish_pages(app: Sphinx, error: Exception | None) -> None:
    """When the book is built and its figures have their last form."""
    if error or app.builder.format != "html":
        return
    for path in Path(app.outdir).rglob("*.html"):
        if "_static" not in path.relative_to(app.outdir).parts:
            page = with_sizes(tidy(path.read_text(encoding="utf-8")), path)
            path.write_text(page, encoding="utf-8", newline="\n")


def setup(app: Sphinx) -> dict[str, bool]:
    """Called by Sphinx."""
    app.connect("html-page-context", fill_head)
    app.connect("build-finished", finish_pages, priority=900)  # after html_postprocess
    return {"parallel_read_safe": True, "parallel_write_safe": True}
