"""How the cells of a chapter look in the book: checks as a quiet list, code that only shows folded below.

In a notebook nothing changes: what a cell does is read off its code when the page is made.
"""

import ast
import re
from html import escape

import listings
from docutils import nodes

# What a statement may call that computes nothing, and what the code under its result is called.
SHOWS = {"plots": "figure", "explore": "figure", "explorer": "figure"}
SHOWS |= {"table": "table", "show": "listing", "check": "check"}
CHECK = re.compile(
    r"(?P<sign>[✓✗]) (?P<claim>.*): (?P<value>\S+) (?P<bounds>(?:not )?(?:[<>] |= \S+ to within ).*)"
)

MINUS = re.compile(r"(?<!\S)-(?=[\d.i])")  # of a number, and not of its exponent, which is written as in code


def only_shows(code: str) -> str | None:
    """What a cell shows ("figure", "table", "listing", "check"), if it does nothing else."""
    try:
        statements = ast.parse(code).body
    except SyntaxError:  # a line of IPython's own
        return None
    kinds = [_shows(one) for one in statements]
    return kinds[-1] if kinds and all(kinds) else None


def _shows(statement: ast.stmt) -> str | None:
    if not (isinstance(statement, ast.Expr) and isinstance(statement.value, ast.Call)):
        return None
    called = statement.value.func
    name = called.value if isinstance(called, ast.Attribute) else called
    return SHOWS.get(name.id) if isinstance(name, ast.Name) else None


def fold(cell: nodes.Element) -> None:
    """Put code that only shows something below what it shows, closed."""
    parts = {name: part for part in cell.children for name in part.get("classes", [])}
    given, output = parts.get("cell_input"), parts.get("cell_output")
    if given is None or output is None or "tag_hide-cell" in cell["classes"]:
        return
    if kind := only_shows(given.astext()):
        number = len(ast.parse(given.astext()).body)
        what = "these checks" if kind == "check" and number > 1 else f"this {kind}"
        cell.remove(given)
        opening = f'<details class="code-of"><summary>code of {what}</summary>'
        cell += [nodes.raw("", opening, format="html"), given, nodes.raw("", "</details>", format="html")]


def list_checks(printed: nodes.literal_block) -> None:
    """Set what checks have printed, claim by claim, with the measured value standing out."""
    lines = printed.astext().strip().splitlines()
    if not any(map(CHECK.fullmatch, lines)):
        return
    html = f'<ul class="checks">{"".join(map(check_row, lines))}</ul>'
    printed.replace_self(nodes.raw(printed.rawsource, html, format="html"))


def check_row(line: str) -> str:
    """A check as an item of a list; of what else the cell has printed, the line as it is."""
    if not (one := CHECK.fullmatch(line)):
        return f"<li>{escape(line)}</li>"
    value, bounds = (MINUS.sub("−", one[part]) for part in ("value", "bounds"))
    kind = "held" if one["sign"] == "✓" else "failed"
    return (
        f'<li><span class="{kind}">{one["sign"]}</span>{escape(one["claim"])}: '
        f'<span class="measured">{escape(value)}</span> '
        f'<span class="bounds">{escape(bounds)}</span></li>'
    )


def rearrange(document: nodes.document) -> None:
    """Go over the cells of a chapter that has been read."""
    for printed in list(document.findall(nodes.literal_block)):
        if {"output", "stream"} <= set(printed["classes"]):
            list_checks(printed)
        elif printed.get("language") in ("python", "ipython3"):
            fitted = listings.broken_to_width(printed.astext())
            printed.rawsource, printed[:] = fitted, [nodes.Text(fitted)]
    for cell in list(document.findall(nodes.container)):
        if "cell" in cell["classes"]:
            fold(cell)
