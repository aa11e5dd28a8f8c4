"""The explorer: a trained flow in the page, evaluated by the reader's browser.

A figure carries the model's weights and its settings. The script that goes with it does the rest; here it has
a file for each thing it does. Where scripts do not run, a picture of some points on their way stands there.
"""

import base64
import math
import re
from html import escape
from pathlib import Path

import numpy as np
import torch
from IPython.display import HTML, display
from jaxtyping import Float
from torch import Tensor, nn

from helpers import ode
from helpers.distributions import UniformBox
from helpers.empirical import EmpiricalPath
from helpers.explorer.frame import live_figure
from helpers.explorer.strip import image_strip
from helpers.flow_maps import FlowMap
from helpers.flows import AffineCoupling, NormalizingFlow, Permutation, SplineCoupling
from helpers.matching import VelocityField
from helpers.plots import RING_COLOURS
from helpers.rings import OlympicRings
from helpers.splines import LEAST, STEEPEST

__all__ = ["CONTROLS", "cloud_noise", "describe", "explore", "explorer_html", "image_strip"]

ROWS = (1, 5, 20, 50, 200, 1000)  # sizes of a table, of which those below its own are offered
# The files of the script. Each imports only from those before it, so that they may be joined in this order.
PARTS = ("numbers", "network", "field_of_points", "noise", "solvers", "flow_map", "models")
PARTS += ("exact_field", "guidance", "settings", "plane", "density", "computing")
PARTS += ("ways", "stored", "worker", "drawing", "sentences", "style", "controls", "figure")
# The function has a name, so that a worker can be made of its text.
OPENING = (
    '// The files of helpers/explorer/ as one.\nwindow.FiveRings ??= (function fiveRings() {\n"use strict";\n'
)
EXPORT = re.compile(r"^export (?=(?:const|class|function\*?) (\w+))", re.MULTILINE)
CONTROLS = (
    "points",
    "way",
    "method",
    "steps",
    "field",
    "rows",
    "level",
    "push",
    "weight",
    "ring",
    "arrows",
    "grid",
    "density",
)
# What a flow has not; of these the last is for labels only.
FOR_FIELDS = {"method", "steps", "field", "level", "push", "weight"}
FOR_MAPS = {"points", "steps", "grid"}
NOT_WITH_NOISE = {"way", "method", "weight"}  # its steps are of one kind, and no noise is taken back
FOR_TABLES = {"rows"}
# Between its points a table's field has no way back.
NOT_FOR_TABLES = {"way", "density", "weight", "level", "push"}
# The settings that a figure may start with, and their values; settings.js has those of the rest.
WORDS = {"points": ("one", "handful", "cloud"), "way": ("forward", "backward", "return")}
WORDS |= {"method": tuple(ode.METHODS), "field": ("learned", "exact")}
NUMBERS = (
    "steps",
    "late",
    "rows",
    "weight",
    "level",
    "push",
    "ring",
    "at",
    "x",
    "y",
    "arrows",
    "grid",
    "density",
    "truth",
    "autoplay",
)


def _shown(name: str) -> float:
    """A size of the part of the plane that is shown, of which plane.js is the home."""
    plane = Path(__file__).with_name("plane.js").read_text(encoding="utf-8")
    return float(re.search(rf"const {name} = ([\d.]+)", plane)[1])


WIDTH, HEIGHT = _shown("WIDTH"), _shown("HEIGHT")


def describe(model: nn.Module | EmpiricalPath) -> dict[str, object]:
    """What the browser needs to evaluate a model of the book: its structure, and its weights in base64.

    Raises:
        TypeError: the model is no `NormalizingFlow` of couplings and swaps, no `VelocityField`, no
            `FlowMap`, and no `EmpiricalPath`.
        ValueError: it is not two-dimensional, or is told real numbers.
    """
    if isinstance(model, EmpiricalPath):
        return _table(model.points)
    if not isinstance(model, (NormalizingFlow, VelocityField, FlowMap)):
        known = "a NormalizingFlow, a VelocityField, a FlowMap or an EmpiricalPath"
        raise TypeError(f"model is {type(model).__name__}; it must be {known}")
    if model.dim != 2:
        raise ValueError(f"model has dim {model.dim}; the explorer shows a plane")
    if getattr(model, "features", 0):
        raise ValueError(f"model has features {model.features}; the explorer knows labels only")
    parts = list(model.layers) if isinstance(model, NormalizingFlow) else [model]
    networks = [part.network for part in parts if not isinstance(part, Permutation)]
    weights = torch.cat([w.detach().flatten() for n in networks for w in n.parameters()])
    shared = {"classes": getattr(model, "classes", 0), "weights": _base64(weights)}
    if not isinstance(model, NormalizingFlow):
        kind = "map" if isinstance(model, FlowMap) else "field"
        activation = "silu" if isinstance(model.network[1], nn.SiLU) else "leaky"
        shared |= {"frequencies": model.frequencies, "timeFrequencies": model.time_frequencies}
        shared |= {"headStart": getattr(model, "head_start", False), "activation": activation}
        return {"kind": kind, "sizes": _sizes(model.network), **shared}
    box = model.base.reach if isinstance(model.base, UniformBox) else 0
    return {"kind": "flow", "box": box, "layers": [_layer(layer) for layer in model.layers], **shared}


def _base64(numbers: Tensor) -> str:
    return base64.b64encode(numbers.float().cpu().numpy().tobytes()).decode()


def _table(points: Tensor) -> dict[str, object]:
    """A table of points, and of how many of its first ones the reader may see the field."""
    if points.shape[1] != 2:
        raise ValueError(f"model has dim {points.shape[1]}; the explorer shows a plane")
    offers = [*(n for n in ROWS if n < len(points)), len(points)]
    return {"kind": "empirical", "count": len(points), "offers": offers, "weights": _base64(points)}


def _layer(layer: nn.Module) -> dict[str, object]:
    if isinstance(layer, Permutation):
        return {"kind": "swap"}
    seen = {"sizes": _sizes(layer.network), "frequencies": layer.frequencies, "waves": layer.reach}
    if isinstance(layer, AffineCoupling):
        return {"kind": "affine", "limit": layer.limit, **seen}
    if isinstance(layer, SplineCoupling):
        return {"kind": "spline", "reach": layer.reach, "least": LEAST, "steepest": STEEPEST, **seen}
    raise TypeError(f"the flow holds a {type(layer).__name__}; the explorer knows couplings and permutations")


def _sizes(network: nn.Sequential) -> list[int]:
    return [network[0].in_features, *(layer.out_features for layer in network[::2])]


def explorer_html(
    model: nn.Module | EmpiricalPath,
    name: str,
    label: str,
    controls: list[str],
    caption: str = "",
    stored: Float[Tensor, "states points 2"] | None = None,
    **start: object,
) -> str:
    """The explorer's HTML; the arguments are those of `explore`, and one more.

    Args:
        stored: (states, points, 2) ways of the cloud under the settings at first, from `cloud_noise`: they
            travel with the page, so that its points move before anything is computed.
    """
    allowed = set(CONTROLS) - (FOR_FIELDS if isinstance(model, NormalizingFlow) else set())
    allowed -= set() if getattr(model, "classes", 0) else {"weight"}
    allowed &= FOR_MAPS if isinstance(model, FlowMap) else allowed
    allowed -= NOT_WITH_NOISE if "level" in controls else set()
    of_a_table = isinstance(model, EmpiricalPath)
    allowed -= NOT_FOR_TABLES if of_a_table else FOR_TABLES
    if unknown := set(controls) - allowed:
        known = ", ".join(c for c in CONTROLS if c in allowed)
        raise ValueError(f"controls holds {sorted(unknown)}; they must be of {known}")
    for key, value in start.items():
        if value not in WORDS[key] if key in WORDS else key not in NUMBERS or isinstance(value, str):
            raise ValueError(f"{key} is {value!r}; the explorer starts with no such setting")
    described = describe(model)
    if of_a_table:
        start = _start_of_a_table(described["offers"], start)
    rings = OlympicRings()
    about = {"centres": rings.centres.tolist(), "inner": rings.inner, "outer": rings.outer}
    settings = {"model": described, "rings": about, "colours": RING_COLOURS, "label": label}
    settings |= {"controls": controls, "start": start} | (
        {} if stored is None else {"stored": _packed(stored)}
    )
    box = f'<div class="fr-live">{_picture(model, label, start.get("rows", 0))}</div>'
    return live_figure(name, box, caption, settings, f'{_script()}FiveRings.mount("{name}");')


def _start_of_a_table(offers: list[int], start: dict[str, object]) -> dict[str, object]:
    """The settings at first, with the most points up to fifty where nothing is said."""
    start = {"rows": max(n for n in offers if n <= 50)} | start
    if start["rows"] not in offers:
        raise ValueError(f"rows is {start['rows']!r}; this table offers {offers}")
    if wrong := NOT_FOR_TABLES & set(start):
        raise ValueError(f"start holds {sorted(wrong)}; the field of a table has no such setting")
    return start


def cloud_noise(count: int) -> Float[Tensor, "count 2"]:
    """The points of noise with which a page's cloud begins, in double precision, as numbers.js makes them."""
    state, uniform = 20_260, []
    for _ in range(2 * count):
        state ^= (state << 13) & 0xFFFFFFFF
        state ^= state >> 17
        state ^= (state << 5) & 0xFFFFFFFF
        uniform.append((state + 0.5) / 2**32)
    first, second = torch.tensor(uniform, dtype=torch.float64).view(-1, 2).T
    radius, angle = (-2 * first.log()).sqrt(), 2 * math.pi * second
    return torch.stack([radius * angle.cos(), radius * angle.sin()], dim=1)


def _packed(ways: Tensor) -> dict[str, object]:
    """Ways of points in three bytes for each point and state, as stored.js reads them."""
    reach = math.ceil(ways.abs().max().item())
    x, y = ((ways / reach + 1) * (4095 / 2)).round().to(torch.int64).unbind(-1)
    parts = torch.stack([x >> 4, (x & 15) << 4 | y >> 8, y & 255], dim=-1)
    packed = base64.b64encode(parts.numpy().astype(np.uint8).tobytes()).decode()
    return {"points": ways.shape[1], "reach": reach, "packed": packed}


def _script() -> str:
    """The parts in one function, which keeps their names to itself and runs once in a page.

    They are modules, but a page that is opened as a file may fetch none. So the head of each, up to the first
    blank line, stays behind: what the part is for, and what it imports.
    """
    parts = [Path(__file__).with_name(f"{part}.js").read_text(encoding="utf-8") for part in PARTS]
    body = "\n".join(part.split("\n\n", 1)[1] for part in parts)
    names = ", ".join(EXPORT.findall(body))
    return f"{OPENING}\n{EXPORT.sub('', body)}\nreturn {{ {names} }};\n}})();\n"


def _picture(model: nn.Module | EmpiricalPath, label: str, rows: int) -> str:
    """The ways of forty points, and where they end, in the colour of the nearest ring."""
    z = torch.randn(40, 2, generator=torch.Generator().manual_seed(0))
    ring = torch.arange(40) % 5 if getattr(model, "classes", 0) else None
    with torch.no_grad():
        if isinstance(model, EmpiricalPath):
            times = 0.9999 * (1 - (1 - torch.linspace(0, 1, 25, dtype=torch.float64)) ** 3)
            ways = ode.trajectory(EmpiricalPath(model.points[:rows]).velocity, z.double(), times).float()
        elif isinstance(model, VelocityField):
            ways = ode.trajectory(model, z, 12, context=ring)
        elif isinstance(model, FlowMap):
            ways = torch.stack([z, model.carry(z)])
        else:
            ways = torch.stack([z, model(z, ring)[0]])
    rings = OlympicRings()
    away = (ways[-1][:, None] - rings.centres).norm(dim=-1) - (rings.inner + rings.outer) / 2
    colours = [RING_COLOURS[c] for c in (away.abs().argmin(1) if ring is None else ring)]
    paths = ""
    for colour, way in zip(colours, ways.movedim(1, 0).tolist()):
        line, (x, y) = " ".join(f"{x:.2f},{-y:.2f}" for x, y in way), way[-1]
        paths += f'<g stroke="{colour}" fill="{colour}"><path fill="none" opacity=".4" d="M{line}"/>'
        paths += f'<circle r=".05" cx="{x:.2f}" cy="{-y:.2f}"/></g>'
    look = f'role="img" aria-label="{escape(label)}" viewBox="{-WIDTH / 2} {-HEIGHT / 2} {WIDTH} {HEIGHT}"'
    return f'<svg xmlns="http://www.w3.org/2000/svg" {look} stroke-width=".02">{paths}</svg>'


def explore(
    model: nn.Module | EmpiricalPath,
    name: str,
    label: str,
    controls: list[str],
    caption: str = "",
    **start: object,
) -> None:
    """Show a model in the page, where its points can be dragged with mouse, finger and arrow keys.

    Args:
        model: a `NormalizingFlow` of couplings and swaps, a `VelocityField`, a `FlowMap`, whose jumps stand
            beside the ends of the exact flow, or an `EmpiricalPath`, whose reader chooses how many of its
            points the field knows; of two dimensions.
        name: the figure's id in the page, the same at every run.
        label: says to those who do not see it what the figure shows.
        controls: what the reader may change, of `CONTROLS`.
        caption: stands below, plain text; the book puts the figure's number before it.
        start: the settings at first, of `WORDS` and `NUMBERS`; the others are in settings.js, under DEFAULTS.

    Raises:
        TypeError: a model that the explorer does not know.
        ValueError: a model of another dim; an unknown control or setting.
    """
    display(HTML(explorer_html(model, name, label, controls, caption, **start)))
