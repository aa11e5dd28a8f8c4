"""What a page does besides computing: check a claim, show a helper's source, set out a table."""

import inspect
import math
import re
import sys
import textwrap
from collections.abc import Callable, Sequence

import torch
from IPython.display import Markdown, display

__all__ = ["check", "plain", "printable", "show", "table"]

EXPONENT = re.compile(r"(?<=\d)e([+-])0*(?=\d)")  # of a number as Python writes it
# A number, or what stands for one in its column: with its unit, its error or an exponent; several of them;
# a remark in parentheses, or nothing.
NUMBER = re.compile(
    r"[-−]?inf|[-−+<>]? ?[\d.,]+(e-?\d+)?( ?%)?( (±|to) [\d.,]+( ?%)?)?|[-–—]?|\(.*\)"
    r"|[\d.]+((;| /) [\d.]+)+"
)


def check(
    claim: str,
    value: float | torch.Tensor,
    *,
    below: float | None = None,
    above: float | None = None,
    near: float | None = None,
    within: float | None = None,
) -> None:
    """Print a claim with its measured value, or raise where the value refutes it.

    Give `below`, or `above`, or both; or `near` and `within`, for |value - near| < within. What is
    measured is printed between the claim and its bounds, so that a validation can mask it and
    still compare the rest. With `within`, it is printed to one digit more than the tolerance, `near` to two.

    Raises:
        AssertionError: the claim does not hold; the message carries the measured value.
        ValueError: no bound was given, or `within` is not above 0.

    Example:
        >>> check("a layer undoes itself", 3.6e-7, below=1e-6)
        ✓ a layer undoes itself: 3.6e-7 < 1e-6
        >>> check("the share lies between", 0.81, above=0.8, below=0.82)
        ✓ the share lies between: 0.81 > 0.8 and < 0.82
        >>> check("the entropy", 1.4133, near=1.4132727, within=1e-4)
        ✓ the entropy: 1.41330 = 1.413273 to within 0.0001
    """
    value = float(value.detach() if isinstance(value, torch.Tensor) else value)
    if (near is None) != (within is None) or (near is None and below is None and above is None):
        raise ValueError(f"check of {claim!r} needs below, above, or near and within")
    if within is not None and not within > 0:
        raise ValueError(f"check of {claim!r} has within {within}; it must be above 0")
    parts, holds, shown = [], True, plain(value)
    if above is not None:
        parts.append(f"> {plain(above, 6)}")
        holds &= value > above
    if below is not None:
        parts.append(f"< {plain(below, 6)}")
        holds &= value < below
    if near is not None and within is not None:
        digits = max(0, 1 - math.floor(math.log10(within)))
        holds &= abs(value - near) < within
        told = round(float(near), digits + 1) if holds else near
        parts.append(f"= {plain(told, 9)} to within {plain(within, 6)}")
        shown = f"{value:z.{digits}f}"  # z: no minus before a zero
    bounds = " and ".join(parts)
    if not holds:
        raise AssertionError(f"{printable('✗')} {claim}: measured {value:.9g}, wanted {bounds}")
    print(f"{printable('✓')} {claim}: {shown} {bounds}")


def plain(value: float, digits: int = 4) -> str:
    """A number to so many significant digits, as the book writes it: 0.25, 1200, 1e-6 (and not 1e-06).

    Example:
        >>> plain(0.000001), plain(12.34567), plain(2e10)
        ('1e-6', '12.35', '2e10')
    """
    return EXPONENT.sub(_short, f"{value:.{digits}g}")


def _short(exponent: re.Match[str]) -> str:
    return f"e{exponent[1].strip('+')}"


def printable(mark: str) -> str:
    """A tick or a cross, or a letter in its place where the console has no such sign."""
    encoding = getattr(sys.stdout, "encoding", None) or "utf-8"
    return mark if mark.encode(encoding, "ignore") else {"✓": "v", "✗": "x"}[mark]


def show(*things: Callable[..., object] | type) -> None:
    """Show the source of helpers as it stands in the file, highlighted, without their docstrings."""
    blocks = [f"```python\n{_without_docstrings(inspect.getsource(thing))}\n```" for thing in things]
    display(Markdown("\n\n".join(blocks)))


def _without_docstrings(source: str) -> str:
    kept, inside = [], False
    for line in textwrap.dedent(source).splitlines():
        marks = line.count('"""')
        if inside or (marks and line.strip().startswith('"""')):
            inside = inside != (marks % 2 == 1)
            continue
        if line or (kept and kept[-1]):
            kept.append(line)
    return "\n".join(kept).strip()


def table(header: Sequence[str], rows: Sequence[Sequence[object]]) -> None:
    """Show rows under a header; numbers are set to the right, with a true minus."""
    texts = [[EXPONENT.sub(_short, str(cell)) for cell in row] for row in rows]
    texts = [[re.sub(r"^-(?=0?\.?0*$)", "", cell) for cell in row] for row in texts]  # no minus before a zero
    texts = [[re.sub("^-", "−", cell) if NUMBER.fullmatch(cell) else cell for cell in row] for row in texts]
    numeric = [all(NUMBER.fullmatch(row[i]) for row in texts) for i in range(len(header))]
    lines = [header, ["---:" if right else ":---" for right in numeric], *texts]
    cells = [[str(cell).replace("|", "\\|") for cell in line] for line in lines]
    display(Markdown("\n".join(f"| {' | '.join(line)} |" for line in cells)))
