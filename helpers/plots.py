"""Every figure of the book, as one set: SVG on a transparent ground, letters that stay letters, one ink.

Each function draws, shows the figure and returns nothing. Panels are given as a mapping from their
titles, and stand in two columns at most, so that a page on a telephone can still be read. The colours of the
rings are theirs alone; lines, points of no ring and the star have others. The ink is one grey, which the
book's pages replace by the colour of their text.
"""

import base64
import io
import re
import textwrap
from collections.abc import Callable, Mapping, Sequence
from functools import wraps
from itertools import cycle

import matplotlib.pyplot as plt
import numpy as np
import torch
from IPython import get_ipython
from jaxtyping import Float, Int
from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.cm import ScalarMappable
from matplotlib.colors import LinearSegmentedColormap, ListedColormap, to_rgba
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Annulus
from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter, NullLocator
from matplotlib.transforms import Bbox
from PIL import Image
from torch import Tensor

from helpers.page import plain
from helpers.rings import OlympicRings

__all__ = [
    "as_svg",
    "columns",
    "curves",
    "densities",
    "fields",
    "grids",
    "heatmap",
    "histograms",
    "images",
    "maps",
    "samples",
    "scatter",
    "stacked",
    "trajectories",
    "ways",
]

BLUE, GREY, RED, YELLOW, GREEN = RING_COLOURS = ("#0072B2", "#808080", "#D55E00", "#E69F00", "#009E73")
INK = "#767676"  # 4.5 : 1 on white, for notebooks; nothing else has this colour, as pages replace it
STAR = "#CC79A7"
SKY = "#56B4E9"  # points of no ring
VIOLET, BROWN = "#6A5ACD", "#9C6B1E"
# Model, truth and floor look the same in every figure; other lines take the rest in turn.
LINES = {
    "model": {"color": VIOLET, "linestyle": "-"},
    "truth": {"color": INK, "linestyle": "--", "zorder": 3},
    "floor": {"color": INK, "linestyle": ":"},
}
OTHERS = (VIOLET, "#2A9D9D", BROWN, "#B5489A", "#7F8F2A", SKY)
# From less to more, and nothing in between: there the page shows through, light or dark.
SIGNED = LinearSegmentedColormap.from_list(
    "signed", list(zip((0, 0.5, 0.5, 1), map(to_rgba, (BROWN, BROWN, VIOLET, VIOLET), (1, 0, 0, 1))))
)
WIDTH, WIDE = 6.5, 8.0  # inches: of a figure, and of one whose panels stand side by side
WINDOW = (-2.7, 2.7, -1.7, 1.45)  # left, right, bottom, top of every picture of the rings
PIXELS = "image-rendering:crisp-edges;image-rendering:pixelated"  # what keeps an image from being smooth
LABEL = 17  # letters in a line beside a curve
GAP = 0.09  # inches above and below panels with numbers

STYLE = {
    "figure.facecolor": "none",
    "axes.facecolor": "none",
    "savefig.facecolor": "none",
    "figure.dpi": 72,
    "savefig.dpi": 160,  # of what is drawn as points of an image
    "svg.fonttype": "none",
    "svg.hashsalt": "five rings",  # the same names at every run
    "font.family": "serif",
    "font.serif": ["STIX Two Text", "STIXGeneral", "Times New Roman", "DejaVu Serif"],
    "mathtext.fontset": "stix",
    "font.size": 11,
    "axes.titlesize": 11,
    "axes.labelsize": 11,
    "xtick.labelsize": 11,
    "ytick.labelsize": 11,
    "legend.fontsize": 11,
    "legend.frameon": False,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.linewidth": 0.7,
    "axes.grid": False,
    "lines.linewidth": 1.8,
    **dict.fromkeys(("text.color", "axes.edgecolor", "axes.labelcolor", "axes.titlecolor"), INK),
    **dict.fromkeys(("xtick.color", "ytick.color"), INK),
}


def _figure_of_the_book(draw: Callable[..., None]) -> Callable[..., None]:
    """Draw in the style of the book, without gradients, and leave no figure open, not even where it fails."""

    @wraps(draw)
    def drawn(*args: object, **kwargs: object) -> None:
        before = set(plt.get_fignums())
        try:
            with plt.rc_context(STYLE), torch.no_grad():
                draw(*args, **kwargs)
        finally:
            for number in set(plt.get_fignums()) - before:
                plt.close(number)

    return drawn


def _show() -> None:
    """Show the figure; a notebook gets SVG of it, and shows a reader's own figures as it did before."""
    if (shell := get_ipython()) is None:
        return plt.show()
    png, svg = (shell.display_formatter.formatters[kind] for kind in ("image/png", "image/svg+xml"))
    before = [(kind, kind.lookup_by_type(Figure)) for kind in (png, svg) if Figure in kind]
    png.pop(Figure, None)
    svg.for_type(Figure, as_svg)
    try:
        plt.show()
    finally:
        svg.pop(Figure)
        for kind, as_before in before:
            kind.for_type(Figure, as_before)
    return None


def as_svg(figure: Figure) -> str:
    """A figure as SVG, as small as it can be: images of few colours, and no more digits than are seen."""
    file = io.StringIO()
    figure.draw_without_rendering()  # so that all is in its place
    box = figure.get_tightbbox()  # in inches; the width stays, so that letters have one size in all figures
    crop = Bbox([[min(0, box.x0), box.y0 - 0.03], [max(figure.get_figwidth(), box.x1), box.y1 + 0.03]])
    nothing = dict.fromkeys(("Date", "Creator", "Format", "Type"))
    figure.savefig(file, format="svg", bbox_inches=crop, metadata=nothing)
    text = re.sub(r"<\?xml.*?<svg", "<svg", file.getvalue(), count=1, flags=re.DOTALL)
    text = re.sub(r"<metadata>.*?</metadata>", "", text, flags=re.DOTALL)
    text = re.sub(r'(?<=base64,)\s*([A-Za-z0-9+/=\s]+)(?=")', lambda found: _few_colours(found[1]), text)
    text = re.sub(
        r"<image[^>]{4000,}>", lambda image: image[0].replace(PIXELS, ""), text
    )  # few cells stay so
    text = re.sub(r">\s+<", "><", text).strip()
    return re.sub(r"<[^>]*>", _shorter, text)


def _shorter(tag: re.Match[str]) -> str:
    """A tag on one line, with no more digits than are seen; what is written in a figure stays whole."""
    text = re.sub(r"(-?\d+\.\d\d)\d+", r"\1", tag[0])
    if text.startswith("<path"):
        text = re.sub(r"(-?\d+\.\d)\d", r"\1", text)
        text = re.sub(r"\s*([MLCQZz])\s*(?=[-\d\"MLCQZz\s])", r"\1", text)
    return re.sub(r"\s*\n\s*", " ", text)


def _few_colours(png: str) -> str:
    """A PNG in base64 with a palette of 256 colours, if it has no more, or nearly the same ones."""
    image, file = Image.open(io.BytesIO(base64.b64decode(png))).convert("RGBA"), io.BytesIO()
    pixels = np.array(image)
    pixels[pixels[..., 3] == 0] = 0  # what is not seen has no colour
    image = Image.fromarray(pixels)
    colours, index = np.unique(pixels.reshape(-1, 4), axis=0, return_inverse=True)
    if len(colours) <= 256:
        few = Image.fromarray(index.reshape(pixels.shape[:2]).astype(np.uint8))
        few.putpalette(colours.tobytes(), "RGBA")
    else:
        few = image.quantize(256, method=Image.Quantize.FASTOCTREE, dither=Image.Dither.NONE)
        off = np.abs(np.asarray(few.convert("RGBA")).astype(int) - pixels).max(-1)[pixels[..., 3] > 0]
        if len(png) < 30_000 or off.mean() > 10:  # little to gain, or much to see
            few = image
    few.save(file, "PNG", optimize=True)
    return base64.b64encode(file.getvalue()).decode()


def _figure(panels: int, columns: int, height: float, gap: float = 1 / 24) -> tuple[Figure, list[Axes]]:
    """A figure with equal panels, whose height is given for panels in so many columns.

    `gap` inches are left above and below each, more where numbers stand below a panel.
    """
    columns = min(columns, panels)
    rows = -(-panels // columns)
    size = (WIDE if columns > 1 else WIDTH, height * rows)
    figure, axes = plt.subplots(rows, columns, figsize=size, squeeze=False, layout="compressed")
    figure.get_layout_engine().set(h_pad=gap)
    for spare in axes.flat[panels:]:
        spare.remove()
    return figure, list(axes.flat[:panels])


def _plane(ax: Axes, title: str, window: Sequence[float] = WINDOW) -> None:
    ax.set(xlim=window[:2], ylim=window[2:], aspect="equal", xticks=[], yticks=[])
    ax.set_title(title, loc="left")
    for spine in ax.spines.values():
        spine.set_visible(False)


def _plane_height(panels: int, columns: int, window: Sequence[float] = WINDOW) -> float:
    left, right, bottom, top = window
    columns = min(columns, panels)
    return (WIDE if columns > 1 else WIDTH) / columns * (top - bottom) / (right - left) + 0.35


def _outlines(ax: Axes) -> None:
    rings = OlympicRings()
    for centre in rings.centres.tolist():
        width = rings.outer - rings.inner
        ax.add_patch(Annulus(centre, rings.outer, width, color=INK, alpha=0.25, linewidth=0))


def _star(ax: Axes, star: Float[Tensor, "1 2"] | None) -> None:
    if star is not None:
        ax.plot(
            *star[0].tolist(), "*", markersize=14, color=STAR, markeredgecolor="white", markeredgewidth=0.8
        )


def _plain_numbers(axis: Axis) -> None:
    """Write numbers as the text does, and leave out those that would touch the one before."""
    axis.set_major_formatter(FuncFormatter(lambda value, _: _mark(value)))
    axis.figure.draw_without_rendering()
    along, last = (0 if axis.axis_name == "x" else 1), -np.inf
    labels = [label for label in axis.get_ticklabels() if label.get_text()]
    extents = [label.get_window_extent().get_points()[:, along] for label in labels]
    for (start, end), label in sorted(zip(extents, labels), key=lambda one: one[0][0]):
        if start < last + (6 if along == 0 else 0):
            label.set_visible(False)
        else:
            last = end


def _mark(value: float) -> str:
    """A number as it stands beside an axis: with a true minus, and thousands as in tables, 20,000 for 2e4."""
    thousands = 1000 <= abs(value) < 1e6 and float(value).is_integer()
    return re.sub("^-", "−", f"{value:,.0f}" if thousands else plain(value))


def _alike(axes: Sequence[Axes]) -> None:
    """Give panels that are compared the same scales: each as wide as the widest asks."""
    for low_and_high, change in ((Axes.get_xlim, Axes.set_xlim), (Axes.get_ylim, Axes.set_ylim)):
        ends = np.array([low_and_high(ax) for ax in axes])
        for ax in axes:
            change(ax, ends[:, 0].min(), ends[:, 1].max())


def _label_beside(ax: Axes, lines: Sequence[Line2D]) -> None:
    """Name each curve at its right end, in the order of the ends, with a piece of it."""
    figure = ax.figure
    figure.draw_without_rendering()
    height = ax.get_window_extent().height
    line_height = 1.25 * STYLE["font.size"] * figure.dpi / 72 / height
    texts = [textwrap.fill(str(line.get_label()), LABEL) for line in lines]
    sizes = [line_height * (text.count("\n") + 1.35) for text in texts]  # letters grow on a telephone
    ends = []
    for line in lines:
        y = np.asarray(line.get_ydata(), dtype=float)
        y = y[np.isfinite(y)][-1:]
        end = ax.transData.transform((0, y[0]))[1] if len(y) else -np.inf
        ends.append(float(np.clip(ax.transAxes.inverted().transform((0, end))[1], 0, 1)))
    order = sorted(range(len(lines)), key=lambda i: ends[i])
    places, floor = {}, -0.1
    for i in order:  # from below: none lower than its end asks, none on another
        places[i] = max(ends[i], floor + sizes[i] / 2)
        floor = places[i] + sizes[i] / 2
    ceiling = max(1.06, sum(sizes) - 0.1)
    for i in reversed(order):  # from above: none beyond the top
        places[i] = min(places[i], ceiling - sizes[i] / 2)
        ceiling = places[i] - sizes[i] / 2
    for i, line in enumerate(lines):
        look = {"color": line.get_color(), "linestyle": line.get_linestyle(), "marker": line.get_marker()}
        key = Line2D(
            [1.015, 1.05], [places[i]] * 2, transform=ax.transAxes, clip_on=False, markersize=3, **look
        )
        figure.add_artist(key)
        ax.text(1.065, places[i], texts[i], transform=ax.transAxes, va="center", linespacing=1.1)


@_figure_of_the_book
def samples(
    panels: Mapping[str, Float[Tensor, "n 2"] | tuple[Float[Tensor, "n 2"], Int[Tensor, " n"]]],
    star: Float[Tensor, "stars 2"] | None = None,
    columns: int = 2,
    reach: float | None = None,
    outlines: bool = False,
    rings: bool = True,
) -> None:
    """Scatter plots, one in each panel; points given with their rings take the rings' colours.

    `reach` opens a square window of [-reach, reach] about the origin, for noise; `outlines` draws the
    rings faintly behind the points; `star` marks one point in all panels, or one in each. With `rings` off
    the labels are of something else, and have other colours.
    """
    window = WINDOW if reach is None else (-reach, reach, -reach, reach)
    colours = RING_COLOURS if rings else OTHERS
    figure, axes = _figure(len(panels), columns, _plane_height(len(panels), columns, window))
    for i, (ax, (title, points)) in enumerate(zip(axes, panels.items())):
        x, ring = points if isinstance(points, tuple) else (points, None)
        colour = SKY if ring is None else [colours[c] for c in ring.tolist()]
        size = max(0.8, min(8.0, 16000 / len(x))) / min(columns, len(panels)) ** 0.5
        ax.scatter(*x.cpu().T.numpy(), s=size, c=colour, linewidths=0, rasterized=True)
        _plane(ax, title, window)
        _star(ax, None if star is None else star[i % len(star), None])
        if outlines:
            _outlines(ax)
    _show()


@_figure_of_the_book
def trajectories(
    paths: Float[Tensor, "states batch 2"],
    names: Sequence[str] = (),
    reach: float | None = None,
    ring: Int[Tensor, " batch"] | None = None,
    about: tuple[float, float] = (0.0, 0.0),
) -> None:
    """Paths of points over the outlines of the rings, from an open circle to a dot.

    `names` has a name for every point, or none; `reach` opens a square window of [-reach, reach] about the
    point `about`, the origin for noise; with `ring`, paths take the colours of rings; a path named after the
    star has its own.
    """
    (x, y), r = about, reach
    window = WINDOW if r is None else (x - r, x + r, y - r, y + r)
    figure, (ax,) = _figure(1, 1, _plane_height(1, 1, window) * (0.8 if reach else 1))
    _outlines(ax)
    others = cycle(OTHERS)
    names = names or [""] * paths.shape[1]
    rings = [None] * paths.shape[1] if ring is None else ring.tolist()
    for path, name, c in zip(paths.cpu().unbind(1), names, rings):
        colour = STAR if "star" in name else next(others) if c is None else RING_COLOURS[c]
        ax.plot(*path.T.numpy(), color=colour, linewidth=1.5, label=name)
        ax.plot(*path[0].tolist(), "o", color=colour, markerfacecolor="none", markersize=7)
        ax.plot(*path[-1].tolist(), "o", color=colour, markersize=7)
    _plane(ax, "", window)
    if any(names):
        across = 2 if len(names) == 4 else 3  # two rows of two, and not a fourth alone
        ax.legend(loc="lower left", bbox_to_anchor=(0, 1), ncols=across, borderaxespad=0, handlelength=1.2)
    _show()


@_figure_of_the_book
def ways(
    panels: Mapping[str, Float[Tensor, "states batch 2"]],
    columns: int = 2,
    star: bool = False,
    window: tuple[float, float, float, float] = (-2.7, 2.7, -2.6, 2.3),
) -> None:
    """Many paths in each panel over the outlines of the rings, from faint open circles to dots.

    Args:
        panels: titles, and paths; two states draw straight lines.
        columns: how many panels stand side by side.
        star: whether the first path of each panel is the star's, and has its colour.
        window: left, right, bottom and top of a panel; wider than for data alone, as paths begin in noise.
    """
    figure, axes = _figure(len(panels), columns, _plane_height(len(panels), columns, window))
    for ax, (title, paths) in zip(axes, panels.items()):
        _outlines(ax)
        for i, path in enumerate(paths.cpu().unbind(1)):
            own = star and i == 0
            look = (
                {"color": STAR, "linewidth": 2, "zorder": 4} if own else {"color": VIOLET, "linewidth": 0.9}
            )
            ax.plot(*path.T.numpy(), **look)
            ax.plot(*path[0].tolist(), "o", color=look["color"], markerfacecolor="none", markersize=3.5)
            ax.plot(*path[-1].tolist(), "o", color=look["color"], markersize=3.5, zorder=3)
        _plane(ax, title, window)
    _show()


def densities(
    panels: Mapping[str, Callable[[Float[Tensor, "n 2"]], Float[Tensor, " n"]]],
    star: Float[Tensor, "1 2"] | None = None,
    columns: int = 1,
    lowest: float = -6.0,
    resolution: int = 700,
    reach: float | None = None,
) -> None:
    """Maps of log-density in nats on one scale; what lies below `lowest` has the lowest colour.

    The arguments are those of `maps`.
    """
    maps(panels, "log-density (nats)", lowest, 0.0, star, columns, resolution, reach, beyond="min")


@_figure_of_the_book
def maps(
    panels: Mapping[str, Callable[[Float[Tensor, "n 2"]], Float[Tensor, " n"]]],
    label: str,
    low: float,
    high: float,
    star: Float[Tensor, "1 2"] | None = None,
    columns: int = 1,
    resolution: int = 700,
    reach: float | None = None,
    beyond: str = "max",
) -> None:
    """Functions of a point in colour, all panels on one scale.

    Args:
        panels: titles, and functions from points (n, 2) to values (n,).
        label: what the values are, and their unit.
        low, high: where the scale of colours ends; values beyond have the colour of its end.
        star: a point to mark.
        columns: how many panels stand side by side.
        resolution: pixels across a panel.
        reach: opens a square window of [-reach, reach] about the origin, for noise.
        beyond: which end of the scale has values beyond it, "min", "max", "both" or "neither".
    """
    window = WINDOW if reach is None else (-reach, reach, -reach, reach)
    height = _plane_height(len(panels), columns, window) * 0.86  # the bar takes some of the width
    figure, axes = _figure(len(panels), columns, height)
    left, right, bottom, top = window
    across = torch.linspace(left, right, resolution)
    up = torch.linspace(bottom, top, round(resolution * (top - bottom) / (right - left)))
    grid = torch.stack(torch.meshgrid(across, up, indexing="xy"), dim=-1)
    for ax, (title, function) in zip(axes, panels.items()):
        # In parts that fit the processor's cache: several times faster.
        value = torch.cat([function(part) for part in grid.reshape(-1, 2).split(8192)])
        value = (
            value.nan_to_num(nan=low).reshape(grid.shape[:2]).clamp(min=low)
        )  # -inf and nan have no colour
        look = {"vmin": low, "vmax": high, "cmap": "viridis", "interpolation": "none"}
        image = ax.imshow(value.numpy(), extent=window, origin="lower", **look)
        _plane(ax, title, window)
        _star(ax, star)
    _colour_bar(figure, image, axes, label, beyond)
    _show()


@_figure_of_the_book
def fields(
    panels: Mapping[str, Callable[[Float[Tensor, "n 2"]], Float[Tensor, "n 2"]]],
    columns: int = 2,
    reach: float | None = None,
    arrows: int = 20,
    fastest: float = 3.0,
) -> None:
    """Velocity fields as arrows over the outlines of the rings; colour is the speed.

    Args:
        panels: titles, and functions from points (n, 2) to velocities (n, 2).
        columns: how many panels stand side by side.
        reach: opens a square window of [-reach, reach] about the origin, for noise.
        arrows: how many stand side by side in a panel.
        fastest: the speed at which the scale of colours ends; longer arrows are cut to this length.
    """
    window = WINDOW if reach is None else (-reach, reach, -reach, reach)
    figure, axes = _figure(len(panels), columns, _plane_height(len(panels), columns, window) * 0.9)
    left, right, bottom, top = window
    gap = (right - left) / arrows
    x = torch.cartesian_prod(
        torch.arange(left + gap / 2, right, gap), torch.arange(bottom + gap / 2, top, gap)
    )
    for ax, (title, field) in zip(axes, panels.items()):
        v = field(x)
        speed = v.norm(dim=1)
        shown = v * (fastest / speed.clamp(min=fastest))[:, None]
        look = {"cmap": "viridis", "clim": (0, fastest), "width": 0.005}
        scale = {"angles": "xy", "scale_units": "xy", "scale": fastest / (1.6 * gap)}
        image = ax.quiver(*x.T.numpy(), *shown.T.numpy(), speed.numpy(), **look, **scale)
        _plane(ax, title, window)
        _outlines(ax)
    _colour_bar(figure, image, axes, "speed", "max")
    _show()


@_figure_of_the_book
def grids(
    panels: Mapping[str, Callable[[Float[Tensor, "n 2"]], tuple[Tensor, Tensor]]],
    reach: float = 2.0,
    cells: int = 20,
    columns: int = 2,
    limit: float = 2.0,
) -> None:
    """A square grid under maps that return (point, log_det); colour is the log of the area's change.

    The dashed outline is the square before the map.

    Args:
        reach: the grid covers [-reach, reach] in both directions.
        cells: cells a side.
        limit: log area change at which the colour scale ends.
    """
    line = torch.linspace(-reach, reach, cells + 1)
    corners = torch.stack(torch.meshgrid(line, line, indexing="xy"), dim=-1)
    middles = (corners[1:, 1:] + corners[:-1, :-1]) / 2
    moved = {title: map_(corners.reshape(-1, 2))[0].reshape(corners.shape) for title, map_ in panels.items()}
    edge = 1.03 * max(reach, *(float(grid.abs().max()) for grid in moved.values()))
    window, fine = (-edge, edge, -edge, edge), cells > 60  # a fine grid shows by its colours
    figure, axes = _figure(len(panels), columns, 0.9 * _plane_height(len(panels), columns, window))
    for ax, (title, map_) in zip(axes, panels.items()):
        log_det = map_(middles.reshape(-1, 2))[1].reshape(middles.shape[:2])
        sheet = moved[title].permute(2, 0, 1).numpy()
        if fine:  # what has kept its area has no colour, and is seen as well
            ax.pcolormesh(*sheet, 0 * log_det.numpy(), cmap=ListedColormap([INK]), alpha=0.3, rasterized=True)
        mesh = ax.pcolormesh(
            *sheet,
            log_det.numpy(),
            cmap=SIGNED,
            vmin=-limit,
            vmax=limit,
            edgecolors="face" if fine else INK,
            linewidth=min(0.4, 8 / cells),
            rasterized=fine,
        )
        square = reach * np.array([[-1, 1, 1, -1, -1], [-1, -1, 1, 1, -1]])
        ax.plot(*square, color=INK, linestyle="--", linewidth=1)
        _plane(ax, title, window)
    _colour_bar(figure, mesh, axes, "log area change (nats)", "both")
    _show()


def _colour_bar(figure: Figure, mapped: ScalarMappable, axes: list[Axes], label: str, beyond: str) -> None:
    """The scale of colours, beside all panels."""
    bar = figure.colorbar(mapped, ax=axes, shrink=0.85, aspect=30, extend=beyond, pad=0.03)
    bar.set_label(label, labelpad=10)  # room for larger numbers, as on a telephone
    bar.outline.set_visible(False)
    bar.solids.set_rasterized(True)
    _plain_numbers(bar.ax.yaxis)


@_figure_of_the_book
def curves(
    series: Mapping[str, tuple[Sequence[float], Sequence[float]]],
    x_label: str,
    y_label: str,
    floor: tuple[str, float] | None = None,
    log: str = "",
    y_range: tuple[float, float] | None = None,
) -> None:
    """Lines over one axis, named at their right ends.

    Args:
        series: names, and where each line goes, as x and y.
        x_label, y_label: what stands at the axes, and its unit.
        floor: a label and the height of a dotted line.
        log: names the logarithmic axes, of "x" and "y".
        y_range: the lowest and the highest y that is shown.
    """
    figure, ax = plt.subplots(figsize=(WIDTH, 3.2))
    figure.subplots_adjust(left=0.115, right=0.75, bottom=0.16, top=0.95)  # the same whatever the names
    others = cycle(colour for colour in OTHERS if not ("model" in series and colour == VIOLET))
    for label, (x, y) in series.items():
        style = LINES.get(label) or {"color": next(others)}
        ax.plot(x, y, label=label, marker="o" if len(x) < 25 else None, markersize=3.5, **style)
    if floor is not None:
        ax.axhline(floor[1], label=floor[0], **LINES["floor"])
    ax.set(xlabel=x_label, ylabel=y_label)
    for name in log:
        ax.set(**{f"{name}scale": "log"})
        axis, (low, high) = (ax.xaxis, ax.get_xlim()) if name == "x" else (ax.yaxis, ax.get_ylim())
        if high < 100 * low:  # less than two powers of ten: others are named as well
            axis.set_major_locator(LogLocator(subs=(1, 2, 5)))
        axis.set_minor_formatter(NullFormatter())
    places = sorted({place for x, _ in series.values() for place in x})
    if "x" in log and len(places) < 8:  # so few that each can be named
        ax.set_xticks(places)
        ax.xaxis.set_minor_locator(NullLocator())
    if y_range is not None:
        ax.set_ylim(*y_range)
    for axis in (ax.xaxis, ax.yaxis):
        _plain_numbers(axis)
    if len(ax.lines) > 1:
        _label_beside(ax, list(ax.lines))
    _show()


@_figure_of_the_book
def stacked(rows: Mapping[str, Mapping[str, float]], x_label: str) -> None:
    """Sums as bars, a row each, of parts that all rows name alike; the first row stands on top."""
    figure, ax = plt.subplots(figsize=(WIDTH, 0.9 + 0.42 * len(rows)), layout="compressed")
    parts = list(next(iter(rows.values())))
    left = np.zeros(len(rows))
    for part, colour in zip(parts, cycle(OTHERS)):
        length = np.array([row[part] for row in rows.values()])
        ax.barh(range(len(rows)), length, left=left, height=0.62, color=colour, label=part)
        left += length
    ax.set_yticks(range(len(rows)), rows)
    ax.set(xlabel=x_label, ylim=(len(rows) - 0.5, -0.5))
    ax.tick_params(axis="y", length=0)
    ax.spines["left"].set_visible(False)
    _plain_numbers(ax.xaxis)
    figure.legend(loc="outside upper left", ncols=2 if len(parts) > 3 else len(parts), handlelength=1.2)
    _show()


@_figure_of_the_book
def histograms(
    panels: Mapping[str, tuple[Float[Tensor, " n"], Callable[[Tensor], Tensor], tuple[float, float]]],
    x_label: str = "",
) -> None:
    """Histograms of one-dimensional samples under their predicted densities, over given ranges."""
    figure, axes = _figure(len(panels), 2, 2.3, GAP)
    for ax, (title, (values, density, (low, high))) in zip(axes, panels.items()):
        bins = np.linspace(low, high, 61)
        share = np.histogram(values.numpy(), bins)[0] / len(values) / np.diff(bins)
        ax.stairs(share, bins, fill=True, color=VIOLET, alpha=0.7, label="samples")
        line = torch.linspace(low, high, 600)
        ax.plot(line.numpy(), density(line).numpy(), color=INK, linestyle="--", label="formula")
        ax.set_title(title, loc="left")
        ax.set(
            xlabel=x_label,
            yticks=[],
            ylim=(0, 1.1 * max(share.max(), float(density(line).max()))),
        )
        ax.spines["left"].set_visible(False)
        _plain_numbers(ax.xaxis)
    axes[-1].legend()
    _show()


@_figure_of_the_book
def images(rows: Mapping[str, Float[Tensor, "n height width"]], highest: int | float = 1.0) -> None:
    """Rows of small grey images, from black at 0 to white at `highest`, each row under its name."""
    count = max(len(row) for row in rows.values())
    gap = 1  # pixels between two images, through which the page shows
    figure, axes = plt.subplots(
        len(rows), 1, figsize=(WIDTH, len(rows) * (WIDTH / count + 0.32)), squeeze=False, layout="compressed"
    )
    for ax, (name, row) in zip(axes.flat, rows.items()):
        height, width = row.shape[1:]
        strip = np.full((height, count * (width + gap) - gap), np.nan)
        for i, image in enumerate(row.double().cpu().numpy()):
            strip[:, i * (width + gap) : i * (width + gap) + width] = image
        ax.imshow(strip, cmap="gray", vmin=0, vmax=highest, interpolation="none")
        ax.set(xticks=[], yticks=[])
        ax.set_title(name, loc="left", fontsize=13)  # legible on a telephone
        for spine in ax.spines.values():
            spine.set_visible(False)
    _show()


@_figure_of_the_book
def columns(panels: Mapping[str, Mapping[str, Float[Tensor, " n"]]], bins: int = 48) -> None:
    """The columns of a table, a panel each: the first sample as a filled histogram, others as lines over it.

    Each panel reaches as far as its first sample does. Panels whose first samples have the same ends, such as
    ranks, are compared, and have the same scales. Names of samples stand beside the last panel's lines.
    """
    figure, axes = _figure(len(panels), 2, 2.1, GAP)
    firsts = [next(iter(kinds.values())).double() for kinds in panels.values()]
    for ax, (title, kinds), first in zip(axes, panels.items(), firsts):
        edges = np.linspace(float(first.min()), float(first.max()) + 1e-9, bins + 1)
        for i, (name, values) in enumerate(kinds.items()):
            share = np.histogram(values.cpu().numpy(), edges)[0] / len(values) / np.diff(edges)
            look = {"fill": True, "color": SKY, "alpha": 0.45} if i == 0 else {"color": OTHERS[i - 1]}
            ax.stairs(share, edges, label=name, linewidth=1.4, **look)
        ax.set_title(title, loc="left")
        ax.set(yticks=[])
        ax.spines["left"].set_visible(False)
    ends = np.array([(float(first.min()), float(first.max())) for first in firsts])
    if (np.ptp(ends, axis=0) < 0.05 * np.ptp(ends, axis=1).min()).all():
        _alike(axes)
    for ax in axes:
        _plain_numbers(ax.xaxis)
    if len(next(iter(panels.values()))) > 1:
        axes[-1].legend()
    _show()


@_figure_of_the_book
def scatter(panels: Mapping[str, tuple[Float[Tensor, "n 2"], str, str]]) -> None:
    """Points of two columns in each panel, with the names of both, which carry their units.

    Panels of the same two columns have the same scales.
    """
    figure, axes = _figure(len(panels), 2, 3.4, GAP)
    for ax, (title, (points, x_label, y_label)) in zip(axes, panels.items()):
        ax.scatter(
            *points.cpu().T.numpy(),
            s=max(0.8, 9000 / len(points)),
            c=VIOLET,
            linewidths=0,
            alpha=0.8,
            rasterized=True,
        )
        ax.set_title(title, loc="left")
        ax.set(xlabel=x_label, ylabel=y_label)
    if len({panel[1:] for panel in panels.values()}) == 1:
        _alike(axes)
    for ax in axes:
        for axis in (ax.xaxis, ax.yaxis):
            _plain_numbers(axis)
    _show()


@_figure_of_the_book
def heatmap(
    values: Float[Tensor, "rows columns"], x_label: str, y_label: str, label: str, limit: float
) -> None:
    """A matrix in colour, from -limit to limit; the first row stands at the bottom."""
    figure, (ax,) = _figure(1, 1, 3.2)
    rows, columns = values.shape
    image = ax.imshow(
        values.numpy(),
        cmap=SIGNED,
        vmin=-limit,
        vmax=limit,
        interpolation="none",
        aspect="auto",
        origin="lower",
        extent=(0.5, columns + 0.5, 0.5, rows + 0.5),
    )
    ax.set(xlabel=x_label, ylabel=y_label)
    _colour_bar(figure, image, [ax], label, "both")
    _show()
