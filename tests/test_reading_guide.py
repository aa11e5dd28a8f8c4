"""The minutes of *Three ways through* are those of the pages, and its sums are sums."""

import pickle
import re
from functools import cache
from pathlib import Path

import page_head
import pytest
from browser import ROOT, pages
from docutils import nodes

GUIDE = (ROOT / "book" / "reading_guide.md").read_text(encoding="utf-8")
EXERCISE = 20  # minutes
CHAPTER = re.compile(r"\]\(\.\./(notebooks/\w+)\.ipynb(?:#([\w-]+))?\)")
WORDS = {"five": 5, "four": 4}


def part(title: str) -> str:
    """What stands below a heading."""
    return re.split(r"^## ", GUIDE.split(f"## {title}\n")[1], flags=re.MULTILINE)[0]


def rows(title: str) -> list[list[str]]:
    """The rows of the table below a heading, cell by cell."""
    lines = [line for line in part(title).splitlines() if line.startswith("|")]
    return [[cell.strip() for cell in line.strip("|").split(" | ")] for line in lines[2:]]


@pytest.fixture(scope="module")
def heads(built: Path) -> dict[str, int]:
    """What stands below the title of each chapter."""
    line = r'class="fr-minutes">(\d+) minutes to read'
    chapters = [page for page in pages() if page.startswith("notebooks/")]
    return {
        page: int(re.search(line, (built / f"{page}.html").read_text(encoding="utf-8"))[1])
        for page in chapters
    }


@cache
def read_page(built: Path, page: str) -> nodes.document:
    """A page as it was read when the book was built."""
    return pickle.loads((built.parent / ".doctrees" / f"{page}.doctree").read_bytes())


def section(built: Path, page: str, anchor: str | None) -> nodes.Element:
    """A section of a page, or all of it."""
    document = read_page(built, page)
    sections = (one for one in document.findall(nodes.section) if anchor in one["ids"])
    return next(sections) if anchor else document


def test_the_weekend_has_the_minutes_of_the_chapters(built: Path, heads: dict[str, int]) -> None:
    for _, chapter, reading, *_ in rows("A weekend"):
        (page, _), *sections = CHAPTER.findall(chapter)
        given = int(reading.removesuffix(" min"))
        if not sections:
            assert given == heads[page], page
        else:
            exact = sum(page_head.reading_minutes(section(built, *one).findall()) for one in sections)
            assert given == pytest.approx(exact, abs=page_head.NEAREST / 2), page


def test_the_hours_of_the_weekend_are_those_of_its_rows() -> None:
    days: list[list[str]] = []
    for day, _, reading, *_ in rows("A weekend"):
        days += [[]] if day else []
        days[-1].append(reading)
    hours = [sum(int(one.removesuffix(" min")) + EXERCISE for one in day) / 60 for day in days]
    said = re.search(r"(\w+) hours on Saturday and somewhat more than (\w+)\s+on Sunday", part("A weekend"))
    assert hours[0] == pytest.approx(WORDS[said[1]], abs=0.25)
    assert WORDS[said[2]] < hours[1] < WORDS[said[2]] + 0.5


def test_a_week_of_the_course_has_the_minutes_of_its_chapters(heads: dict[str, int]) -> None:
    weeks = rows("A course of eight weeks")
    assert len(weeks) == 8
    for _, chapters, reading, *_ in weeks:
        assert int(reading.removesuffix(" min")) == sum(heads[page] for page, _ in CHAPTER.findall(chapters))
    more = re.findall(r"\]\(\.\./(notebooks/\w+)\.ipynb\)\s\((\d+) min\)", part("A course of eight weeks"))
    assert len(more) == 9 and all(int(said) == heads[page] for page, said in more)


def test_the_hour_has_the_minutes_of_its_sections_without_code(built: Path) -> None:
    given = []
    for _, name, said, _ in rows("The practitioner's hour"):
        link = re.search(r"\]\(([^)#]+)\.(?:md|ipynb)(?:#([\w-]+))?\)", name)
        page = link[1].removeprefix("../") if "notebooks" in link[1] else f"book/{link[1]}"
        exact = page_head.reading_minutes(section(built, page, link[2]).findall(), code=False)
        given.append(int(said))
        assert given[-1] == pytest.approx(exact, abs=0.75), name
    assert "That makes an hour." in part("The practitioner's hour")
    assert sum(given) == pytest.approx(60, abs=2)


def test_the_whole_book_is_the_sum_of_its_chapters(built: Path, heads: dict[str, int]) -> None:
    said = re.search(r"take (\d+) minutes to read.*?between eighteen and nineteen hours", GUIDE, re.DOTALL)
    assert int(said[1]) == sum(heads.values())
    assert 18 * 60 < sum(heads.values()) < 19 * 60
    texts = [(built / f"{page}.html").read_text(encoding="utf-8") for page in heads]
    exercises = sum(len(re.findall(r'id="exercise-\d+"', text)) for text in texts)
    solved = int(re.search(r"their (\d+) exercises with solutions", GUIDE)[1])
    assert solved + len(heads) + 2 == exercises  # the last of each chapter has none, nor have two patients
    assert "twenty-six hours more" in GUIDE.replace("\n", " ") and solved * EXERCISE / 60 == pytest.approx(
        26, abs=1
    )
