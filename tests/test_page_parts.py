"""What the book makes of a notebook's parts: folded code, lists of checks, boxes, drawings in the page."""

import ast
import base64
import io
import re
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from boxes import NAMED
from browser import ROOT, pages
from cells import CHECK, check_row, only_shows
from docutils import nodes
from fontTools.pens.recordingPen import RecordingPen
from fontTools.svgLib.path import parse_path
from formulas import group, group_statements
from inline_figures import drop_unused, relative, set_in
from listings import COLUMNS, broken_to_width
from live_figures import number_live_figures
from PIL import Image

from helpers.page import _without_docstrings
from helpers.plots import INK

CHAPTERS = [page for page in pages() if page.startswith("notebooks/")]


@pytest.mark.parametrize(
    ("code", "shown"),
    [
        ("plots.curves({'a': (x, y)}, 'x', 'y')", "figure"),
        ("show(ode.log_prob)", "listing"),
        ("explorer.image_strip(images, times, labels)", "figure"),
        ("table(['a'], rows)\nplots.grids(panels)", "figure"),
        ("# Over seeds: 0.1.\ncheck('small', error, below=1)", "check"),
        ("error = f(x)\ncheck('small', error, below=1)", None),  # it computes
        ("model.plots(x)", None),
        ("plots", None),
        ("", None),
        ("%matplotlib inline", None),
    ],
)
def test_code_is_folded_where_it_only_shows(code: str, shown: str | None) -> None:
    assert only_shows(code) == shown


@pytest.mark.parametrize(
    ("line", "claim", "value"),
    [
        ("✓ a layer: undone: 3.6e-7 < 1e-6", "a layer: undone", "3.6e-7"),
        ("✓ the share: 0.81 > 0.8 and < 0.82", "the share", "0.81"),
        ("✓ the entropy: 1.41330 = 1.4132727 to within 1e-4", "the entropy", "1.41330"),
    ],
)
def test_what_a_check_prints_is_taken_apart(line: str, claim: str, value: str) -> None:
    found = CHECK.fullmatch(line)
    assert (found["claim"], found["value"]) == (claim, value)


def test_a_check_shows_a_true_minus_but_exponents_as_in_code() -> None:
    row = check_row("✓ the drop - of one: -1.2e-7 > -2 and < -1e-9")
    assert "the drop - of one" in row and ">−1.2e-7<" in row and "&gt; −2 and &lt; −1e-9" in row
    assert ">−inf<" in check_row("✓ of rounded points: -inf < 0")


SOURCES = sorted([*(ROOT / "helpers").glob("*.py"), *(ROOT / "scripts").glob("*.py")])


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: path.stem)
def test_a_listing_that_is_made_to_fit_is_the_same_code(path: Path) -> None:
    code = path.read_text(encoding="utf-8")
    fitted = broken_to_width(code)
    assert ast.dump(ast.parse(fitted)) == ast.dump(ast.parse(code))
    # Remarks as well; a string may have become several.
    words = [re.sub(r'"\s*f?"|\s|#', "", text) for text in (code, fitted)]
    assert sorted(words[0].replace('f"', '"')) == sorted(words[1].replace('f"', '"'))
    assert broken_to_width(fitted) == fitted
    shown = broken_to_width(_without_docstrings(code)).splitlines()
    long = [line for line in shown if len(line) > COLUMNS]
    assert [line for line in long if '"' not in line and " import " not in line] == []


def test_a_listing_is_broken_in_its_outermost_brackets() -> None:
    code = "def f(first: Tensor, second: tuple[int, int]) -> Tensor:\n    return first  # not the other\n"
    short = broken_to_width(code, 43)
    assert short.splitlines() == [
        "def f(first: Tensor,",
        "        second: tuple[int, int]) -> Tensor:",
        "    return first  # not the other",
    ]
    closing = broken_to_width("def f(\n    x: int,\n) -> tuple[Callable[..., Tensor], Tensor]:\n    ...", 40)
    assert closing.splitlines()[2:4] == [") -> tuple[Callable[..., Tensor],", "        Tensor]:"]
    assert broken_to_width("    x = y  # as it is", 16) == "    # as it is\n    x = y"
    assert (
        broken_to_width("x = 1", 3) == "x = 1" and broken_to_width("def (:", 3) == "def (:"
    )  # no place, and no code


def test_a_string_that_is_too_long_becomes_several() -> None:
    code = 'raise ValueError(\n    f"x has {len(x)} rows; one each is needed"\n)'
    assert broken_to_width(code, 30).splitlines() == [
        "raise ValueError(",
        '    f"x has {len(x)} rows; "',
        '    "one each is needed"',
        ")",
    ]
    one = 'name = "there is no place to break this"'
    assert broken_to_width(one, 30) == one


@pytest.mark.parametrize(
    ("formula", "grouped"),
    [
        (r"a = b, \qquad c = d", r"{a = b,}\qquad{c = d}"),
        (r"a, \qquad \left( b \qquad c \right) \qquad {d \qquad e}", None),
        (r"\begin{cases} a \qquad b \end{cases}", r"\begin{cases} a \qquad b \end{cases}"),
        (r"\{a\} \qquad b", r"{\{a\}}\qquad{b}"),
        ("a = b", "a = b"),
    ],
)
def test_statements_of_a_formula_are_grouped(formula: str, grouped: str | None) -> None:
    assert group(formula) == (grouped or r"{a,}\qquad{\left( b \qquad c \right)}\qquad{{d \qquad e}}")


@pytest.mark.parametrize(
    ("formula", "set_so"),
    [
        (r"a \bigl| b \bigr|", r"a \bigl| b \nobreak\bigr|"),  # no line begins with the second bar
        (r"a,\qquad b", r"{a,}\qquad{b}"),
        (r"a &= b \qquad c", r"a &= b \qquad c"),  # columns of its own: left as it is
        (
            r"\begin{aligned} a &= b \end{aligned}\qquad c",
            r"{\begin{aligned} a &= b \end{aligned}}\qquad{c}",
        ),
    ],
)
def test_the_formulas_of_a_page_are_grouped_where_they_may_be(formula: str, set_so: str) -> None:
    page = nodes.section("", nodes.paragraph("", "Before."), nodes.math_block(formula, formula))
    group_statements(page)
    assert page[1].astext() == set_so


@pytest.mark.parametrize("page", CHAPTERS)
def test_every_check_of_a_chapter_is_in_a_list_and_no_code_is_lost(built: Path, page: str) -> None:
    html = (built / f"{page}.html").read_text(encoding="utf-8")
    assert html.count('<span class="held">✓</span>') > 10
    assert "<pre><span></span>✓" not in html
    folded = re.findall(r'<details class="code-of"><summary>code of (?:this|these) (\w+)</summary>', html)
    assert Counter(folded)["figure"] > 0
    # Folded code stands below what it makes.
    assert not re.search(r"</details>\s*<div class=\"cell_output", html)


@pytest.mark.parametrize("page", CHAPTERS)
def test_boxes_and_exercises_have_anchors_that_count(built: Path, page: str) -> None:
    html = (built / f"{page}.html").read_text(encoding="utf-8")
    exercises = [int(number) for number in re.findall(r'id="exercise-(\d+)"', html)]
    assert exercises == list(range(1, len(exercises) + 1)) and len(exercises) >= 3
    chapter = int(re.search(r"/(\d+)_", page)[1])
    boxes = re.findall(r'class="[^"]*fr-box[^"]*"[^>]*>.*?<strong>(.*?)</strong>', html, re.DOTALL)
    numbers = [(int(named[2]), int(named[3])) for named in map(NAMED.match, boxes)]
    assert numbers == [(chapter, place + 1) for place in range(len(numbers))]


def test_every_theorem_of_the_book_is_in_a_box_with_its_proof_after_it(built: Path) -> None:
    found = {page: (built / f"{page}.html").read_text(encoding="utf-8") for page in CHAPTERS}
    assert sum(html.count("fr-box") for html in found.values()) >= 10
    bare = [
        page
        for page, html in found.items()
        if re.search(r"<p><strong>(Theorem|Lemma)\b", html)
        and not re.search(r'fr-box[^"]*"[^>]*>\s*<p><strong>(Theorem|Lemma)', html)
    ]
    assert bare == []
    assert all(html.count("fr-proof") >= html.count("fr-box") for html in found.values())


def drawing(tmp_path: Path) -> Path:
    """A page that shows one drawing, which holds a marker and an image of two colours."""
    image, file = Image.new("RGBA", (2, 1), (1, 2, 3, 255)), io.BytesIO()
    image.putpixel((1, 0), (200, 0, 0, 0))
    image.save(file, "PNG")
    png = base64.b64encode(file.getvalue()).decode()
    svg = (
        '<?xml version="1.0"?><svg xmlns="http://www.w3.org/2000/svg" width="468pt" viewBox="0 0 468 300">'
        '<defs><path id="tip" d="M0 0"/></defs><g id="axes_1"><use xlink:href="#tip"/>'
        f'<text style="fill: {INK}">1.5</text><image xlink:href="data:image/png;base64,{png}"/></g></svg>'
    )
    for folder in ("_images", "notebooks"):
        (tmp_path / folder).mkdir()
    (tmp_path / "_images" / "ab12.svg").write_text(svg, encoding="utf-8")
    return tmp_path / "notebooks" / "03_page.html"


def test_a_drawing_becomes_a_part_of_its_page_in_the_colour_of_the_text(tmp_path: Path) -> None:
    path = drawing(tmp_path)
    tag = '<img alt="A &quot;drawing&quot;" src="../_images/ab12.svg" />'
    page = set_in(f"<figure>{tag}</figure><figure>{tag}</figure>", path)
    assert "<img" not in page and INK not in page and page.count("fill: currentColor") == 2
    assert page.count('aria-label="A &quot;drawing&quot;"') == 2
    assert "axes_1" not in page and len(set(re.findall(r'id="([^"]+)"', page))) == 2  # one each
    assert all(f'href="#{name}"' in page for name in re.findall(r'id="([^"]+)"', page))
    (image,) = (tmp_path / "_images").glob("*.webp")
    assert f'href="../_images/{image.name}"' in page
    assert Image.open(image).convert("RGBA").getpixel((0, 0)) == (1, 2, 3, 255)


OUTLINES = (
    "M3.0 161.1L251.8 161.1L251.8 16.0L3.0 16.0L3.0 161.1z M0.5 -0.25L1 0.75z L2 2",
    "M1 1C0.1 0.2 0.3 -0.4 5 6Q7 8.5 -9 -10L0 0z",
)


@pytest.mark.parametrize("outline", OUTLINES)
def test_outlines_in_steps_are_those_in_places(outline: str) -> None:
    """As read by another reader of outlines."""
    read, short = RecordingPen(), RecordingPen()
    parse_path(outline, read)
    parse_path(relative(outline), short)
    assert len(relative(outline)) < len(outline)
    assert [name for name, _ in read.value] == [name for name, _ in short.value]
    for (_, places), (_, steps) in zip(read.value, short.value, strict=True):
        np.testing.assert_allclose(steps, places, atol=1e-9)


def test_outlines_by_hand_stay_as_they_are() -> None:
    assert relative("M0,0 l5,0 A1 1 0 0 1 3 4") == "M0,0 l5,0 A1 1 0 0 1 3 4"


def test_what_stands_upright_beside_an_axis_is_known(tmp_path: Path) -> None:
    path = drawing(tmp_path)
    file = tmp_path / "_images" / "ab12.svg"
    texts = "".join(f'<text x="{x}" transform="rotate(-90 {x} 9)">nats</text>' for x in (12, 460))
    file.write_text(file.read_text(encoding="utf-8").replace("</svg>", f"{texts}</svg>"), encoding="utf-8")
    page = set_in('<img alt="A drawing" src="../_images/ab12.svg" />', path)
    assert re.findall(r'<text class="beside (\w+)" x="(\d+)"', page) == [("left", "12"), ("right", "460")]


def test_only_drawings_that_no_page_shows_are_deleted(tmp_path: Path) -> None:
    drawing(tmp_path)
    drop_unused(tmp_path / "_images", ['<img src="../_images/ab12.svg">'])
    assert (tmp_path / "_images" / "ab12.svg").exists()
    drop_unused(tmp_path / "_images", ["<p>none</p>"])
    assert not (tmp_path / "_images" / "ab12.svg").exists()


@pytest.mark.parametrize("page", CHAPTERS)
def test_no_letter_of_a_figure_is_small_or_pale(built: Path, page: str) -> None:
    """By the style sheet: 9 pixels at 350, where the widest drawing is 576 units wide."""
    html = (built / f"{page}.html").read_text(encoding="utf-8")
    widths = [float(width) for width in re.findall(r'<svg [^>]*class="figure[^>]*--width: ([\d.]+)', html)]
    assert widths and max(widths) <= 600
    assert not re.search(rf"{INK}|<img[^>]*_images/[0-9a-f]+\.svg", html)


def test_live_figures_are_numbered_by_chapter() -> None:
    one = (
        '<figure class="fr-explorer" id="explorer-x"><div>…</div><figcaption><p>'
        '<span class="caption-number">Live figure. </span>Points.</p></figcaption></figure>'
    )
    page = number_live_figures(one + one, Path("notebooks/08_flow_matching.html"))
    assert re.findall(r"Live figure ([\d.]*)", page) == ["8.1", "8.2"]
    assert page.count('href="#explorer-x"') == 2
    assert "8." not in number_live_figures(one, Path("book/intro.html"))
