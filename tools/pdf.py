"""The whole book as one PDF: dist/five-rings-VERSION.pdf, with cover, contents, bookmarks and page numbers.

python tools/pdf.py [WORD ...]    only the pages whose names hold one of these, to look at

A browser prints each page of the built book; live figures are printed as the picture that they are without
scripts, and solutions open. Then the prints are put together.
"""

import html
import sys
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import unquote, urlsplit

import yaml
from archive import name
from browser import FETCH_IMAGES, HTML, ROOT, browser, pages, program
from playwright.sync_api import Browser, Page
from pypdf import PdfReader, PdfWriter
from pypdf.annotations import Link
from pypdf.generic import ArrayObject, Fit, NameObject

PAPER = {"format": "A4", "print_background": True, "prefer_css_page_size": False}
MARGIN = {"top": "18mm", "bottom": "22mm", "left": "20mm", "right": "20mm"}
PATIENCE = 300_000  # milliseconds for a page, on a machine that is busy
SCALE = 0.84  # 14 pixels of the page, in points of paper: text of about ten and a half
# A script of a live figure finds that the explorer is there already, and that it leaves the picture alone.
STILL = "window.FiveRings = window.FiveRingsStrip = { mount() {} };"
READY = """async () => {
    await window.MathJax?.startup?.promise;
    for (const part of document.querySelectorAll('details:not(.code-of)')) part.open = true;
    await document.fonts.ready;
}"""
STYLE = """<meta charset="utf-8"><link rel="stylesheet" href="_static/fonts/stix-two-text.css"><style>
    body { font: 11pt/1.5 "STIX Two Text", serif; margin: 0; }
    h1 { font-size: 30pt; font-weight: 600; line-height: 1.2; margin: 55mm 0 8mm; }
    h2 { font-size: 18pt; font-weight: 600; } img { width: 100%; margin: 15mm 0; }
    p.part { font-weight: 600; margin: 4mm 0 1mm; } p.line { display: flex; margin: 0; gap: 2mm; }
    p.line span { border-bottom: 1px dotted #999; flex: 1; margin-bottom: 1.2mm; }
    div.page { break-after: page; height: 290mm; position: relative; font-size: 9pt; color: #444; }
    div.page p { bottom: 4mm; display: flex; justify-content: space-between; margin: 0; position: absolute;
        left: 20mm; right: 20mm; }
</style>"""


@dataclass
class Printed:
    """A page of the book on paper."""

    page: str
    title: str
    part: str
    pdf: PdfReader
    start: int = 0  # its first sheet, counted from 0


def parts() -> dict[str, str]:
    """The caption under which _toc.yml lists each page."""
    toc = yaml.safe_load((ROOT / "_toc.yml").read_text(encoding="utf-8"))
    return {entry["file"]: part["caption"] for part in toc["parts"] for entry in part["chapters"]}


def print_page(chromium: Browser, page: str, to: Path) -> str:
    """Print a page of the book; returns its title."""
    tab = chromium.new_page(color_scheme="light")
    tab.set_default_timeout(PATIENCE)
    tab.add_init_script(STILL)
    tab.goto((HTML / f"{page}.html").as_uri())
    tab.evaluate(READY)
    tab.evaluate(FETCH_IMAGES)
    title = tab.locator("article h1").first.evaluate(
        "title => { const copy = title.cloneNode(true); copy.querySelector('.headerlink')?.remove();"
        " return copy.textContent.trim(); }"
    )
    tab.pdf(path=to, margin=MARGIN, scale=SCALE, outline=True, tagged=True, **PAPER)
    tab.close()
    return title


def print_text(tab: Page, text: str, to: Path, **margin: str) -> PdfReader:
    """Print a page of our own; what it names lies beside the book's pages."""
    path = HTML / "_print.html"
    path.write_text(STYLE + text, encoding="utf-8")
    tab.goto(path.as_uri())
    tab.evaluate("document.fonts.ready")
    tab.pdf(path=to, margin=margin or MARGIN, **PAPER)
    path.unlink()
    return PdfReader(to)


def contents(printed: Iterable[Printed], before: int) -> str:
    """The table of contents, with the numbers of sheets, of which so many come before the first page."""
    lines, part = ["<h2>Contents</h2>"], ""
    for one in printed:
        if one.part != part:
            part = one.part
            lines.append(f'<p class="part">{html.escape(part)}</p>')
        number = one.start + before + 1
        lines.append(f'<p class="line">{html.escape(one.title)} <span></span> {number}</p>')
    return "\n".join(lines)


def feet(titles: Iterable[str], first: int) -> str:
    """A sheet for each title, empty but for it and its number at the foot."""
    return "".join(
        f'<div class="page"><p><i>{html.escape(title)}</i><b>{first + place}</b></p></div>'
        for place, title in enumerate(titles)
    )


def join_links(writer: PdfWriter, starts: dict[str, int]) -> None:
    """Let links between pages lead within the book, to where a page starts; drop others to files."""
    for sheet in writer.pages:
        kept = ArrayObject()
        for reference in sheet.get("/Annots", ArrayObject()):
            annotation = reference.get_object()
            address = annotation.get("/A", {}).get("/URI", "")
            if not address.startswith("file:"):
                kept.append(reference)
                continue
            target = starts.get(Path(unquote(urlsplit(address).path)).stem)
            if target is not None:
                link = Link(rect=annotation["/Rect"], target_page_index=target, fit=Fit.fit_horizontally())
                destination = ArrayObject([writer.pages[target].indirect_reference, NameObject("/Fit")])
                link[NameObject("/Dest")] = destination
                link[NameObject("/Border")] = annotation.get("/Border", ArrayObject())
                kept.append(writer._add_object(link))
        sheet[NameObject("/Annots")] = kept


def add_bookmarks(writer: PdfWriter, reader: PdfReader, items: list, start: int, above: object) -> None:
    """Add the bookmarks of a print, whose first sheet is number `start`, below another one."""
    last = above
    for item in items:
        if isinstance(item, list):  # what belongs to the one before
            add_bookmarks(writer, reader, item, start, last)
        else:
            sheet = start + reader.get_destination_page_number(item)
            last = writer.add_outline_item(
                title=item.title.removesuffix("#"), page_number=sheet, parent=above
            )


def bind(printed: list[Printed], front: list[PdfReader], feet_of: PdfReader, to: Path) -> int:
    """Put all together, with bookmarks for parts, pages and sections; returns the number of sheets."""
    writer = PdfWriter()
    for reader in front:
        writer.append(reader, import_outline=False)
    before, part, above = len(writer.pages), "", None
    for one in printed:
        start = one.start + before
        writer.append(one.pdf, import_outline=False)
        for sheet, foot in zip(writer.pages[start:], feet_of.pages[one.start :]):
            sheet.merge_page(foot)
        if one.part != part:
            part = one.part
            above = writer.add_outline_item(title=part, page_number=start) if part else None
        add_bookmarks(writer, one.pdf, one.pdf.outline, start, above)
    join_links(writer, {Path(one.page).stem: one.start + before for one in printed})
    writer.add_metadata({"/Title": "Flow-Based Generative Modeling on Five Rings"})
    writer.compress_identical_objects()
    writer.write(to)
    return len(writer.pages)


def main() -> None:
    """Read the command line and do what it says."""
    if not program():
        sys.exit("The PDF needs Chromium or Chrome, and none was found.")
    folder, words = ROOT / "_build" / "pdf", sys.argv[1:]
    folder.mkdir(parents=True, exist_ok=True)
    wanted = [page for page in pages() if not words or any(word in page for word in words)]
    printed, caption = [], parts()
    with browser() as chromium:
        for page in wanted:
            path = folder / f"{Path(page).stem}.pdf"
            title = print_page(chromium, page, path)
            printed.append(Printed(page, title, caption.get(page, ""), PdfReader(path)))
            print(f"{title}: {len(printed[-1].pdf.pages)} sheets", flush=True)
        for last, one in zip(printed, printed[1:]):
            one.start = last.start + len(last.pdf.pages)
        tab = chromium.new_page()
        version = name().rsplit("-", 1)[1]
        title = "<h1>Flow-Based Generative Modeling on Five Rings</h1>"
        cover = f"{title}<p>The Five Rings authors</p><img src='_static/hero.png'><p>Version {version}</p>"
        front = [print_text(tab, cover, folder / "cover.pdf")]
        sheets = len(print_text(tab, contents(printed, 0), folder / "contents.pdf").pages)
        front.append(print_text(tab, contents(printed, 1 + sheets), folder / "contents.pdf"))
        titles = [one.title for one in printed for _ in one.pdf.pages]
        nothing = dict.fromkeys(MARGIN, "0")
        numbers = print_text(tab, feet(titles, 2 + sheets), folder / "feet.pdf", **nothing)
    to = ROOT / "dist" / f"{name()}.pdf"
    to.parent.mkdir(exist_ok=True)
    total = bind(printed, front, numbers, to)
    print(f"{to.relative_to(ROOT)}: {total} sheets, {to.stat().st_size / 1e6:.1f} MB")


if __name__ == "__main__":
    main()
