"""How the prints of pages become one book, tried on prints of blank sheets."""

from pathlib import Path

import pytest
from pdf import Printed, bind, contents, feet, parts
from pypdf import PdfReader, PdfWriter
from pypdf.annotations import Link


def printed_sheets(path: Path, sheets: int, sections: list[tuple[str, int]], links: list[str]) -> PdfReader:
    """A print of so many blank sheets, with bookmarks, whose first sheet links to files."""
    writer = PdfWriter()
    for _ in range(sheets):
        writer.add_blank_page(595, 842)
    above = None
    for title, sheet in sections:
        item = writer.add_outline_item(title=title, page_number=sheet, parent=above)
        above = above or item
    for place, link in enumerate(links):
        rectangle = (10, 10 * place, 50, 10 * place + 8)
        writer.add_annotation(page_number=0, annotation=Link(rect=rectangle, url=link))
    writer.write(path)
    return PdfReader(path)


@pytest.fixture
def book(tmp_path: Path) -> PdfReader:
    """Three pages of 2, 3 and 1 sheets, after a cover."""
    links = ["file:///x/notebooks/02_b.html#here", "file:///x/elsewhere.html", "https://example.org/paper"]
    one = printed_sheets(tmp_path / "1.pdf", 2, [("One", 0), ("1.1", 1)], links)
    two = printed_sheets(tmp_path / "2.pdf", 3, [("Two", 0), ("2.1", 0), ("2.2", 2)], [])
    three = printed_sheets(tmp_path / "3.pdf", 1, [("Three", 0)], ["file:///x/notebooks/01_a.html"])
    pages = [
        Printed("notebooks/01_a", "One", "I Part", one, 0),
        Printed("notebooks/02_b", "Two", "I Part", two, 2),
        Printed("book/c", "Three", "Reference", three, 5),
    ]
    cover = printed_sheets(tmp_path / "cover.pdf", 1, [], [])
    numbers = printed_sheets(tmp_path / "feet.pdf", 6, [], [])
    assert bind(pages, [cover], numbers, tmp_path / "book.pdf") == 7
    return PdfReader(tmp_path / "book.pdf")


def test_bookmarks_lead_to_parts_pages_and_sections(book: PdfReader) -> None:
    def listed(items: list, depth: int = 0) -> list[tuple[int, str, int]]:
        found = []
        for item in items:
            if isinstance(item, list):
                found += listed(item, depth + 1)
            else:
                found.append((depth, item.title, book.get_destination_page_number(item)))
        return found

    assert listed(book.outline) == [
        (0, "I Part", 1),
        (1, "One", 1),
        (2, "1.1", 2),
        (1, "Two", 3),
        (2, "2.1", 3),
        (2, "2.2", 5),
        (0, "Reference", 6),
        (1, "Three", 6),
    ]


def test_links_between_pages_stay_in_the_book_and_none_leads_to_a_file(book: PdfReader) -> None:
    addresses, aims = [], []
    for sheet in book.pages:
        for reference in sheet.get("/Annots", []):
            link = reference.get_object()
            if "/Dest" in link:
                aim = list.__getitem__(link["/Dest"].get_object(), 0)  # the reference, not what it leads to
                there = [page.indirect_reference.idnum for page in book.pages].index(aim.idnum)
                aims.append((book.get_page_number(sheet), there))
            else:
                addresses.append(link["/A"]["/URI"])
    assert aims == [(1, 3), (6, 1)]
    assert addresses == ["https://example.org/paper"]


def test_contents_count_sheets_from_the_cover(tmp_path: Path) -> None:
    blank = printed_sheets(tmp_path / "b.pdf", 1, [], [])
    pages = [Printed("a", "One & all", "", blank, 0), Printed("b", "Two", "Part", blank, 4)]
    listed = contents(pages, before=2)
    assert "One &amp; all <span></span> 3" in listed and "Two <span></span> 7" in listed
    assert listed.index("Part") > listed.index("One")
    assert feet(["One", "One", "Two"], first=3).count("<b>") == 3 and "<b>5</b>" in feet(
        ["", "", ""], first=3
    )


def test_every_chapter_has_a_part() -> None:
    assert parts()["notebooks/07_continuous_flows"] == "III Flow matching"
