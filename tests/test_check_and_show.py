"""What a page does: a check that can fail, a source that is the real one, a table that is Markdown."""

import ast
import importlib
import inspect
import io
import math
import re
import sys
import textwrap
import tokenize
from collections.abc import Callable
from io import StringIO

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

import helpers
from helpers import page
from helpers.page import check, plain, show, table

MODULES = re.findall(r"`(\w+)`", helpers.__doc__.split("\n\n")[1])  # all of them, in reading order
PUBLIC = [
    pytest.param(thing, id=f"{name}.{public}")
    for name in MODULES
    for module in [importlib.import_module(f"helpers.{name}")]
    for public in module.__all__
    if callable(thing := getattr(module, public))
]


@pytest.fixture
def shown(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The Markdown of everything that a page displays."""
    texts: list[str] = []
    monkeypatch.setattr(page, "display", lambda markdown: texts.append(markdown.data))
    return texts


@pytest.mark.parametrize(
    ("value", "bounds", "line"),
    [
        (3.6e-7, {"below": 1e-6}, "✓ it holds: 3.6e-7 < 1e-6"),
        (0.95, {"above": 0.9}, "✓ it holds: 0.95 > 0.9"),
        (0.81, {"above": 0.8, "below": 0.82}, "✓ it holds: 0.81 > 0.8 and < 0.82"),
        (1.4133, {"near": 1.4132727, "within": 1e-4}, "✓ it holds: 1.41330 = 1.413273 to within 0.0001"),
        (-2.0, {"near": -2.0, "within": 0.5, "below": 0.0}, "✓ it holds: -2.00 < 0 and = -2 to within 0.5"),
        (0.123456789, {"below": 1.0}, "✓ it holds: 0.1235 < 1"),
    ],
)
def test_a_claim_that_holds_is_printed_with_its_value_and_bounds(
    value: float, bounds: dict[str, float], line: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert check("it holds", value, **bounds) is None
    assert capsys.readouterr().out == line + "\n"
    check("it holds", torch.tensor(value, dtype=torch.float64, requires_grad=True), **bounds)
    assert capsys.readouterr().out == line + "\n"


@pytest.mark.parametrize(
    ("value", "bounds"),
    [
        (2e-6, {"below": 1e-6}),
        (1e-6, {"below": 1e-6}),  # a bound itself does not hold
        (0.9, {"above": 0.9}),
        (0.83, {"above": 0.8, "below": 0.82}),
        (0.79, {"above": 0.8, "below": 0.82}),
        (1.4134, {"near": 1.4132727, "within": 1e-4}),
        (1.4131, {"near": 1.4132727, "within": 1e-4}),
        (2.0, {"near": 1.0, "within": 5.0, "below": 1.5}),
        *[
            (bad, bounds)
            for bad in (math.nan, math.inf, -math.inf)
            for bounds in ({"above": 0.0, "below": 1.0}, {"near": 0.0, "within": 1.0})
        ],
        (math.nan, {"below": 1.0}),
        (math.nan, {"above": 0.0}),
    ],
)
def test_a_claim_that_does_not_hold_raises_with_the_measured_value(
    value: float, bounds: dict[str, float], capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(AssertionError) as raised:
        check("it holds", value, **bounds)
    assert f"✗ it holds: measured {value:.9g}, wanted" in str(raised.value)
    assert all(f"{bound:.9g}".replace("e-0", "e-") in str(raised.value) for bound in bounds.values())
    assert capsys.readouterr().out == ""


@pytest.mark.parametrize("bounds", [{}, {"near": 1.0}, {"within": 1.0}, {"below": 1.0, "within": 1.0}])
def test_a_check_without_a_whole_bound_is_an_error(bounds: dict[str, float]) -> None:
    with pytest.raises(ValueError, match="'it holds' needs below, above, or near and within"):
        check("it holds", 0.5, **bounds)


@pytest.mark.parametrize("within", [0.0, -0.1, math.nan])
def test_a_tolerance_has_to_be_above_zero(within: float) -> None:
    with pytest.raises(ValueError, match="'it holds' has within .*; it must be above 0"):
        check("it holds", 0.5, near=0.5, within=within)


def test_a_console_without_ticks_gets_a_letter(monkeypatch: pytest.MonkeyPatch) -> None:
    console = io.TextIOWrapper(io.BytesIO(), encoding="cp1252")
    monkeypatch.setattr(sys, "stdout", console)
    check("it holds", 0.5, below=1.0)
    with pytest.raises(AssertionError, match="^x it holds: measured 2"):
        check("it holds", 2.0, below=1.0)
    console.seek(0)
    assert console.read() == "v it holds: 0.5 < 1\n"


def without_docstrings(source: str) -> str:
    """The same code by way of its syntax tree: no docstrings, and no layout or comments either."""
    tree = ast.parse(textwrap.dedent(source))
    for node in ast.walk(tree):
        is_block = isinstance(node, (ast.FunctionDef, ast.ClassDef))
        if is_block and ast.get_docstring(node) is not None:
            node.body = node.body[1:] or [ast.Pass()]
    return ast.unparse(tree)


def comments(source: str) -> list[str]:
    tokens = tokenize.generate_tokens(StringIO(source).readline)
    return [token.string for token in tokens if token.type == tokenize.COMMENT]


@pytest.mark.parametrize("thing", PUBLIC)
def test_show_displays_the_real_source_without_docstrings(
    thing: Callable[..., object], shown: list[str]
) -> None:
    assert show(thing) is None
    (text,) = shown
    assert text.startswith("```python\n") and text.endswith("\n```")
    source, real = text[len("```python\n") : -len("\n```")], textwrap.dedent(inspect.getsource(thing))
    assert '"""' not in source
    assert without_docstrings(source) == without_docstrings(real)
    assert comments(source) == comments(real)
    assert set(source.splitlines()) <= {*real.splitlines(), ""}  # nothing is laid out anew


def test_show_sets_several_sources_in_order(shown: list[str]) -> None:
    show(check, table)
    assert shown[0].count("```python\n") == 2
    assert shown[0].index("def check") < shown[0].index("def table")


def test_a_table_is_markdown_with_numbers_to_the_right(shown: list[str]) -> None:
    assert table(["model", "KL", "note"], [["affine", 0.33, "ours"], ["spline", 2, 3]]) is None
    assert shown == [
        "| model | KL | note |\n| :--- | ---: | :--- |\n| affine | 0.33 | ours |\n| spline | 2 | 3 |"
    ]


def test_numbers_written_as_text_are_numbers_with_a_true_minus(shown: list[str]) -> None:
    table(["a", "b", "c"], [["-1.5", "3.0e-07", "1 ± 0.2"], ["-inf", "1.2e+01", "x-1"]])
    assert shown == [
        "| a | b | c |\n| ---: | ---: | :--- |\n| −1.5 | 3.0e-7 | 1 ± 0.2 |\n| −inf | 1.2e1 | x-1 |"
    ]


def test_nothing_has_no_sign(shown: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    table(["a"], [["-0.000"], ["-0.001"]])
    assert shown == ["| a |\n| ---: |\n| 0.000 |\n| −0.001 |"]
    check("none", -1e-9, near=0.0, within=0.01)
    assert capsys.readouterr().out == "✓ none: 0.000 = 0 to within 0.01\n"


def test_several_numbers_and_remarks_in_parentheses_stand_to_the_right(shown: list[str]) -> None:
    table(["h", "shares", "note"], [["0.1", "0.7 / 0.2", "(a)"], ["(data)", "0.75; 1.7", "b"]])
    assert shown[0].splitlines()[1] == "| ---: | ---: | :--- |"


@given(st.floats(allow_nan=False, allow_infinity=False))
def test_a_plain_number_is_the_number_and_has_no_padded_exponent(value: float) -> None:
    text = plain(value, 17)
    assert float(text) == value
    assert not re.search(r"e[+-]?0\d|e\+", text)


def test_a_bar_in_a_cell_does_not_split_it(shown: list[str]) -> None:
    table(["|z|", "n"], [["a | b", 1]])
    assert all(line.replace("\\|", "").count("|") == 3 for line in shown[0].splitlines())
