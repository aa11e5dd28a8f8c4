"""Figures into their pages: SVG drawn in the colour of the text, with the images in it beside the page.

What stands in a page as an image cannot know whether the page is light or dark. So the drawings of
helpers.plots are set into the page itself, where their one grey becomes the colour of the page's ink.
"""

import base64
import hashlib
import html
import io
import re
from collections.abc import Iterable
from pathlib import Path

import numpy as np
from PIL import Image

from helpers.plots import INK, WIDTH

PICTURE = re.compile(r'<img alt="([^"]*)" src="([./]*_images/[\w.-]+\.svg)" ?/?>')
RASTER = re.compile(r'xlink:href="data:image/png;base64,([^"]+)"')
ID = re.compile(r' id="([^"]+)"')
OUTLINE = re.compile(r'(?<= d=")[^"]+')
PLAIN = re.compile(r"M[\d. -]+(?:[MLCQ][\d. -]+|z\s*)*")  # as matplotlib writes them
COMMAND = re.compile(r"([A-Za-z])([^A-Za-z]*)")
CLIPPED = re.compile(r'<g>((?:\s*<path\b[^>]*? clip-path="([^"]+)"[^>]*/>)+)\s*</g>')
UPRIGHT = re.compile(r'<text((?=[^>]* transform="rotate\(-90 )[^>]* x="([-\d.]+)")')
POINTS = 72  # an inch
KEPT = ("viewBox", "fill", "font-size")


def set_in(page: str, path: Path) -> str:
    """A page with its drawings in it; `path` says where it lies."""
    drawn = 0

    def drawing(found: re.Match[str]) -> str:
        nonlocal drawn
        file = path.parent / found[2]
        if not file.exists() or INK.lower() not in (text := file.read_text(encoding="utf-8")).lower():
            return found[0]
        drawn += 1
        return inline(text, html.unescape(found[1]), f"f{drawn}-", file.parent, found[2].rsplit("/", 1)[0])

    return PICTURE.sub(drawing, page)


def inline(svg: str, alternative: str, prefix: str, folder: Path, address: str) -> str:
    """An SVG as a part of a page, with names of its own, and its images as files."""
    svg = svg[svg.index("<svg") :].strip()
    svg = RASTER.sub(lambda one: f'href="{address}/{write_image(one[1], folder)}"', svg)
    used = set(re.findall(r'(?:url\(|href=")#([^")]+)', svg))
    svg = ID.sub(lambda one: f' id="{prefix}{one[1]}"' if one[1] in used else "", svg)
    svg = re.sub(r'(url\(|href=")#', rf"\1#{prefix}", svg)
    svg = re.sub(re.escape(INK), "currentColor", svg, flags=re.IGNORECASE)
    head, body = svg.split(">", 1)
    given = {name: value for name, value in re.findall(r'([\w:-]+)="([^"]*)"', head) if name in KEPT}
    width = float(given["viewBox"].split()[2])
    kind = "figure" if "font-size" not in given else "drawing"  # by hand, in pixels and not in points
    wide = " wide" if kind == "figure" and width > 1.1 * WIDTH * POINTS else ""
    given |= {"class": kind + wide, "style": f"--width: {width:g}"}
    given |= {"role": "img", "aria-label": html.escape(alternative)}
    body = re.sub(r"<!--.*?-->", "", body, flags=re.DOTALL)
    attributes = " ".join(f'{name}="{value}"' for name, value in given.items())
    body = CLIPPED.sub(clip_once, OUTLINE.sub(lambda one: relative(one[0]), body))
    body = UPRIGHT.sub(lambda one: f'<text class="beside {side(float(one[2]), width)}"{one[1]}', body)
    return f"<svg {attributes}>" + re.sub(r"\s*\n\s*", "\n", body)


def side(x: float, width: float) -> str:
    """Whether what is written upright at x stands left of an axis, or right of a scale of colours."""
    return "right" if x > 0.8 * width else "left"


def relative(outline: str) -> str:
    """An outline in steps from point to point, which are shorter to write than places; none is rounded."""
    if not PLAIN.fullmatch(outline):
        return outline
    digits = max((len(part) for part in re.findall(r"\.(\d+)", outline)), default=0)
    unit, short = 10**digits, []
    at = start = (0, 0)
    for command, numbers in COMMAND.findall(outline):
        given = [round(float(number) * unit) for number in numbers.split()]
        points = list(zip(given[::2], given[1::2], strict=True))
        steps = [step for x, y in points for step in (x - at[0], y - at[1])]
        at = points[-1] if points else start
        start = at if command == "M" else start
        written = " ".join(np.format_float_positional(step / unit, trim="-") for step in steps)
        written = re.sub(r"(^|[ -])0\.", r"\1.", written).replace(" -", "-")
        again = command == "L" and short[-1][0] in "l -"  # a letter that is the one before is left out
        gap = "" if written.startswith("-") else " "
        short.append((gap if again else command.lower()) + written)
    return short[0].upper() + "".join(short[1:])


def clip_once(group: re.Match[str]) -> str:
    """Paths that all lie in one window, with the window named once."""
    if set(re.findall(r'clip-path="([^"]+)"', group[1])) != {group[2]}:
        return group[0]
    window = f' clip-path="{group[2]}"'
    return f"<g{window}>{group[1].replace(window, '')}</g>"


def drop_unused(folder: Path, pages: Iterable[str]) -> None:
    """Delete the drawings that no page shows as an image any more."""
    shown = set(re.findall(r"_images/([\w.-]+\.svg)", "\n".join(pages)))
    for file in folder.glob("*.svg"):
        if file.name not in shown:
            file.unlink()


def write_image(png: str, folder: Path) -> str:
    """Write an image of a drawing as WebP, every pixel kept; returns its name."""
    data = base64.b64decode(png)
    name = f"{hashlib.sha256(data).hexdigest()[:40]}.webp"
    if not (folder / name).exists():
        Image.open(io.BytesIO(data)).convert("RGBA").save(folder / name, "WEBP", lossless=True)
    return name
