"""Every figure of the book, in one style: transparent ground, mid-grey axes, one colour for each ring.

Each function draws, shows the figure and returns nothing. Panels are given as a mapping from their
titles, and stand in two columns at most, so that a page on a telephone can still be read.
"""

from collections.abc import Callable, Mapping, Sequence
from functools import wraps
from itertools import cycle

import matplotlib.pyplot as plt
import numpy as np
import torch
from IPython import get_ipython
from jaxtyping import Float, Int
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Annulus
from matplotlib.ticker import NullLocator
from matplotlib_inline.backend_inline import set_matplotlib_formats
from torch import Tensor

from helpers.rings import OlympicRings

__all__ = [
    "curves",
    "densities",
    "fields",
    "grids",
    "heatmap",
    "histograms",
    "maps",
    "samples",
    "trajectories",
]

BLUE, GREY, RED, YELLOW, GREEN = RING_COLOURS = ("#0072B2", "#808080", "#D55E00", "#E69F00", "#009E73")
INK = "#7a7a7a"  # as far from white as from the dark theme's ground
# Model, truth and floor look the same in every figure; other lines take the rest in turn.
LINES = {
    "model": {"color": BLUE, "linestyle": "-"},
    "truth": {"color": INK, "linestyle": "--", "zorder": 3},
    "floor": {"color": RED, "linestyle": ":"},
}
SKY = "#56B4E9"  # points of no ring
OTHERS = (BLUE, GREEN, YELLOW, "#CC79A7", SKY, INK)  # the floor is red
WIDTH = 5.6  # inches: narrow, so that 12-point letters can be read on a telephone
WINDOW = (-2.7, 2.7, -1.6, 1.45)  # left, right, bottom, top of every picture of the rings

if get_ipython() is not None:  # in a notebook: two pixels for one, so that lines stay sharp
    set_matplotlib_formats("retina")

STYLE = {
    "figure.facecolor": "none",
    "axes.facecolor": "none",
    "savefig.facecolor": "none",
    "figure.constrained_layout.use": True,
    "font.size": 12,
    "axes.titlesize": 12,
    "legend.frameon": False,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": False,
    "lines.linewidth": 2,
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


def _figure(panels: int, columns: int, height: float) -> tuple[Figure, list[Axes]]:
    columns = min(columns, panels)
    rows = -(-panels // columns)
    figure, axes = plt.subplots(rows, columns, figsize=(WIDTH, height * rows), squeeze=False)
    for spare in axes.flat[panels:]:
        spare.set_visible(False)
    return figure, list(axes.flat[:panels])


def _plane(ax: Axes, title: str, window: Sequence[float] = WINDOW) -> None:
    ax.set(title=title, xlim=window[:2], ylim=window[2:], aspect="equal", xticks=[], yticks=[])
    for spine in ax.spines.values():
        spine.set_visible(False)


def _plane_height(panels: int, columns: int, window: Sequence[float] = WINDOW) -> float:
    left, right, bottom, top = window
    return WIDTH / min(columns, panels) * (top - bottom) / (right - left) + 0.35


def _outlines(ax: Axes) -> None:
    rings = OlympicRings()
    for centre in rings.centres.tolist():
        width = rings.outer - rings.inner
        ax.add_patch(Annulus(centre, rings.outer, width, color=INK, alpha=0.25, linewidth=0))


def _star(ax: Axes, star: Float[Tensor, "1 2"] | None) -> None:
    if star is not None:
        ax.plot(*star[0].tolist(), "*", markersize=15, color="#CC79A7", markeredgecolor="white")


@_figure_of_the_book
def samples(
    panels: Mapping[str, Float[Tensor, "n 2"] | tuple[Float[Tensor, "n 2"], Int[Tensor, " n"]]],
    star: Float[Tensor, "stars 2"] | None = None,
    columns: int = 2,
    reach: float | None = None,
    outlines: bool = False,
) -> None:
    """Scatter plots, one in each panel; points given with their rings take the rings' colours.

    `reach` opens a square window of [-reach, reach] about the origin, for noise; `outlines` draws the
    rings faintly behind the points; `star` marks one point in all panels, or one in each.
    """
    window = WINDOW if reach is None else (-reach, reach, -reach, reach)
    figure, axes = _figure(len(panels), columns, _plane_height(len(panels), columns, window))
    for i, (ax, (title, points)) in enumerate(zip(axes, panels.items())):
        x, ring = points if isinstance(points, tuple) else (points, None)
        colour = SKY if ring is None else [RING_COLOURS[c] for c in ring.tolist()]
        size = max(0.6, min(6.0, 12000 / len(x))) / min(columns, len(panels)) ** 0.5
        ax.scatter(*x.cpu().T.numpy(), s=size, c=colour, linewidths=0)
        _plane(ax, title, window)
        _star(ax, None if star is None else star[i % len(star), None])
        if outlines:
            _outlines(ax)
    plt.show()


@_figure_of_the_book
def trajectories(
    paths: Float[Tensor, "states batch 2"],
    names: Sequence[str] = (),
    reach: float | None = None,
    ring: Int[Tensor, " batch"] | None = None,
) -> None:
    """Paths of points over the outlines of the rings, from an open circle to a dot.

    `names` has a name for every point, or none; `reach` opens a square window of [-reach, reach] about the
    origin, for noise; with `ring`, paths take the colours of rings.
    """
    window = WINDOW if reach is None else (-reach, reach, -reach, reach)
    figure, (ax,) = _figure(1, 1, _plane_height(1, 1, window) * (0.8 if reach else 1))
    _outlines(ax)
    colours = cycle((BLUE, RED, YELLOW, GREEN, "#CC79A7"))
    if ring is not None:
        colours = [RING_COLOURS[c] for c in ring.tolist()]
    for path, name, colour in zip(paths.cpu().unbind(1), names or [None] * paths.shape[1], colours):
        ax.plot(*path.T.numpy(), color=colour, linewidth=1.5, label=name)
        ax.plot(*path[0].tolist(), "o", color=colour, markerfacecolor="none", markersize=8)
        ax.plot(*path[-1].tolist(), "o", color=colour, markersize=8)
    _plane(ax, "", window)
    if names:
        ax.legend(loc="lower left", bbox_to_anchor=(0, 1), ncols=3)
    plt.show()


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
        value = value.reshape(grid.shape[:2]).clamp(min=low)  # -inf has no colour
        image = ax.imshow(value.numpy(), extent=window, origin="lower", vmin=low, vmax=high, cmap="viridis")
        _plane(ax, title, window)
        _star(ax, star)
    figure.colorbar(image, ax=axes, label=label, shrink=0.85, extend=beyond)
    plt.show()


@_figure_of_the_book
def fields(
    panels: Mapping[str, Callable[[Float[Tensor, "n 2"]], Float[Tensor, "n 2"]]],
    columns: int = 2,
    reach: float | None = None,
    arrows: int = 24,
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
        look = {"cmap": "viridis", "clim": (0, fastest), "width": 0.006}
        scale = {"angles": "xy", "scale_units": "xy", "scale": fastest / (1.6 * gap)}
        image = ax.quiver(*x.T.numpy(), *shown.T.numpy(), speed.numpy(), **look, **scale)
        _plane(ax, title, window)
        _outlines(ax)
    figure.colorbar(image, ax=axes, label="speed", shrink=0.85, extend="max")
    plt.show()


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
    figure, axes = _figure(len(panels), columns, 0.9 * WIDTH / min(columns, len(panels)))
    for ax, (title, map_) in zip(axes, panels.items()):
        log_det = map_(middles.reshape(-1, 2))[1].reshape(middles.shape[:2])
        mesh = ax.pcolormesh(
            *moved[title].permute(2, 0, 1).numpy(),
            log_det.numpy(),
            cmap="RdBu_r",
            vmin=-limit,
            vmax=limit,
            edgecolors=INK if cells <= 60 else "face",  # a fine grid shows by its colours
            linewidth=min(0.3, 6 / cells),
        )
        square = reach * np.array([[-1, 1, 1, -1, -1], [-1, -1, 1, 1, -1]])
        ax.plot(*square, color=INK, linestyle="--", linewidth=1)  # each panel has its own scale
        edge = 1.03 * max(reach, float(moved[title].abs().max()))
        _plane(ax, title, (-edge, edge, -edge, edge))
    figure.colorbar(mesh, ax=axes, label="log area change (nats)", shrink=0.8, aspect=35, extend="both")
    plt.show()


@_figure_of_the_book
def curves(
    series: Mapping[str, tuple[Sequence[float], Sequence[float]]],
    x_label: str,
    y_label: str,
    floor: tuple[str, float] | None = None,
    log: str = "",
    y_range: tuple[float, float] | None = None,
) -> None:
    """Lines over one axis; `floor` is a label and the height of a dotted line; `log` names log axes."""
    figure, (ax,) = _figure(1, 1, 3.2)
    for (label, (x, y)), colour in zip(series.items(), cycle(OTHERS)):
        style = LINES.get(label, {"color": colour})
        marker = "o" if len(x) < 25 else None
        ax.plot(x, y, label=label, marker=marker, markersize=4, **style)
    if floor is not None:
        ax.axhline(floor[1], label=floor[0], **LINES["floor"])
    ax.set(xlabel=x_label, ylabel=y_label)
    for name in log:
        ax.set(**{f"{name}scale": "log"})
        axis, (low, high) = (ax.xaxis, ax.get_xlim()) if name == "x" else (ax.yaxis, ax.get_ylim())
        axis.set_major_formatter("{x:g}")
        axis.set_minor_formatter("{x:g}" if high < 10 * low else "")
    places = sorted({place for x, _ in series.values() for place in x})
    if "x" in log and len(places) < 8:  # so few that each can be named
        ax.set_xticks(places)
        ax.xaxis.set_minor_locator(NullLocator())
    if y_range is not None:
        ax.set_ylim(*y_range)
    ax.legend(loc="lower left", bbox_to_anchor=(0, 1), ncols=2)
    plt.show()


@_figure_of_the_book
def histograms(
    panels: Mapping[str, tuple[Float[Tensor, " n"], Callable[[Tensor], Tensor], tuple[float, float]]],
    x_label: str = "",
) -> None:
    """Histograms of one-dimensional samples under their predicted densities, over given ranges."""
    figure, axes = _figure(len(panels), 2, 2.3)
    for ax, (title, (values, density, (low, high))) in zip(axes, panels.items()):
        bins = np.linspace(low, high, 61)
        share = np.histogram(values.numpy(), bins)[0] / len(values) / np.diff(bins)
        ax.stairs(share, bins, fill=True, color=BLUE, alpha=0.35, label="samples")
        line = torch.linspace(low, high, 600)
        ax.plot(line.numpy(), density(line).numpy(), color=INK, linestyle="--", label="formula")
        ax.set(
            title=title,
            xlabel=x_label,
            yticks=[],
            ylim=(0, 1.1 * max(share.max(), float(density(line).max()))),
        )
        ax.spines["left"].set_visible(False)
    axes[-1].legend()
    plt.show()


@_figure_of_the_book
def heatmap(
    values: Float[Tensor, "rows columns"], x_label: str, y_label: str, label: str, limit: float
) -> None:
    """A matrix in colour, from -limit to limit; the first row stands at the bottom."""
    figure, (ax,) = _figure(1, 1, 3.2)
    rows, columns = values.shape
    image = ax.imshow(
        values.numpy(),
        cmap="RdBu_r",
        vmin=-limit,
        vmax=limit,
        aspect="auto",
        origin="lower",
        extent=(0.5, columns + 0.5, 0.5, rows + 0.5),
    )
    ax.set(xlabel=x_label, ylabel=y_label)
    figure.colorbar(image, ax=ax, label=label, extend="both")
    plt.show()
