"""The explorer: a trained flow in the page, evaluated by the reader's browser.

A figure carries the model's weights and its settings. The script that goes with it does the rest; here it has
a file for each thing it does. Where scripts do not run, a picture of some points on their way stands there.
"""

import base64
import json
import re
from html import escape
from pathlib import Path

import torch
from IPython.display import HTML, display
from torch import nn

from helpers import ode
from helpers.distributions import UniformBox
from helpers.flows import AffineCoupling, NormalizingFlow, Permutation, SplineCoupling
from helpers.matching import VelocityField
from helpers.plots import RING_COLOURS
from helpers.rings import OlympicRings
from helpers.splines import LEAST, STEEPEST

__all__ = ["CONTROLS", "describe", "explore", "explorer_html"]

# The files of the script. Each imports only from those before it, so that they may be joined in this order.
PARTS = ("numbers", "models", "exact_field", "solvers", "settings", "plane", "ways", "density", "drawing")
PARTS += ("sentences", "style", "controls", "figure")
OPENING = '// The files of helpers/explorer/ as one.\nwindow.FiveRings ??= (() => {\n"use strict";\n'
EXPORT = re.compile(r"^export (?=(?:const|class|function\*?) (\w+))", re.MULTILINE)
CONTROLS = ("points", "way", "method", "steps", "field", "ring", "arrows", "grid", "density")
# The settings that a figure may start with, and their values; settings.js has those of the rest.
WORDS = {"points": ("one", "handful", "cloud"), "way": ("forward", "backward", "return")}
WORDS |= {"method": tuple(ode.METHODS), "field": ("learned", "exact")}
NUMBERS = ("steps", "late", "ring", "at", "x", "y", "arrows", "grid", "density", "truth", "autoplay")


def describe(model: nn.Module) -> dict[str, object]:
    """What the browser needs to evaluate a model of the book: its structure, and its weights in base64.

    Raises:
        TypeError: the model is no `NormalizingFlow` of couplings and swaps, and no `VelocityField`.
        ValueError: it is not two-dimensional, or is told real numbers.
    """
    if not isinstance(model, (NormalizingFlow, VelocityField)):
        raise TypeError(f"model is {type(model).__name__}; it must be a NormalizingFlow or a VelocityField")
    if model.dim != 2:
        raise ValueError(f"model has dim {model.dim}; the explorer shows a plane")
    if model.features:
        raise ValueError(f"model has features {model.features}; the explorer knows labels only")
    parts = [model] if isinstance(model, VelocityField) else list(model.layers)
    networks = [part.network for part in parts if not isinstance(part, Permutation)]
    weights = torch.cat([w.detach().float().flatten().cpu() for n in networks for w in n.parameters()])
    shared = {"classes": model.classes, "weights": base64.b64encode(weights.numpy().tobytes()).decode()}
    if isinstance(model, VelocityField):
        activation = "silu" if isinstance(model.network[1], nn.SiLU) else "leaky"
        waves = {"frequencies": model.frequencies, "timeFrequencies": model.time_frequencies}
        return {"kind": "field", "activation": activation, "sizes": _sizes(model.network), **waves, **shared}
    box = model.base.reach if isinstance(model.base, UniformBox) else 0
    return {"kind": "flow", "box": box, "layers": [_layer(layer) for layer in model.layers], **shared}


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


def explorer_html(model: nn.Module, name: str, label: str, controls: list[str], **start: object) -> str:
    """The explorer's HTML; the arguments are those of `explore`."""
    known = [c for c in CONTROLS if c not in ("method", "steps", "field") or not hasattr(model, "layers")]
    if unknown := set(controls) - set(known):
        raise ValueError(f"controls holds {sorted(unknown)}; they must be of {', '.join(known)}")
    for key, value in start.items():
        if value not in WORDS[key] if key in WORDS else key not in NUMBERS or isinstance(value, str):
            raise ValueError(f"{key} is {value!r}; the explorer starts with no such setting")
    rings = OlympicRings()
    about = {"centres": rings.centres.tolist(), "inner": rings.inner, "outer": rings.outer}
    settings = {"model": describe(model), "rings": about, "colours": RING_COLOURS, "label": label}
    data = json.dumps(settings | {"controls": controls, "start": start}).replace("<", "\\u003c")
    return (
        f'<div class="fr-explorer" id="{name}">{_picture(model, label)}</div>\n'
        f'<script type="application/json" id="{name}-data">{data}</script>\n'
        f'<script>\n{_script()}FiveRings.mount("{name}");\n</script>'
    )


def _script() -> str:
    """The parts in one function, which keeps their names to itself and runs once in a page.

    They are modules, but a page that is opened as a file may fetch none. So the head of each, up to the first
    blank line, stays behind: what the part is for, and what it imports.
    """
    parts = [Path(__file__).with_name(f"{part}.js").read_text(encoding="utf-8") for part in PARTS]
    body = "\n".join(part.split("\n\n", 1)[1] for part in parts)
    names = ", ".join(EXPORT.findall(body))
    return f"{OPENING}\n{EXPORT.sub('', body)}\nreturn {{ {names} }};\n}})();\n"


def _picture(model: nn.Module, label: str) -> str:
    """The ways of forty points, and where they end, in the colour of the nearest ring."""
    z = torch.randn(40, 2, generator=torch.Generator().manual_seed(0))
    ring = torch.arange(40) % 5 if model.classes else None
    learned = isinstance(model, VelocityField)
    with torch.no_grad():
        ways = ode.trajectory(model, z, 12, context=ring) if learned else torch.stack([z, model(z, ring)[0]])
    rings = OlympicRings()
    away = (ways[-1][:, None] - rings.centres).norm(dim=-1) - (rings.inner + rings.outer) / 2
    colours = [RING_COLOURS[c] for c in (away.abs().argmin(1) if ring is None else ring)]
    paths = ""
    for colour, way in zip(colours, ways.movedim(1, 0).tolist()):
        line, (x, y) = " ".join(f"{x:.2f},{-y:.2f}" for x, y in way), way[-1]
        paths += f'<g stroke="{colour}" fill="{colour}"><path fill="none" opacity=".4" d="M{line}"/>'
        paths += f'<circle r=".05" cx="{x:.2f}" cy="{-y:.2f}"/></g>'
    look = f'role="img" aria-label="{escape(label)}" viewBox="-3.4 -2.5 6.8 5" stroke-width=".02"'
    return f'<svg xmlns="http://www.w3.org/2000/svg" {look}>{paths}</svg>'


def explore(model: nn.Module, name: str, label: str, controls: list[str], **start: object) -> None:
    """Show a model in the page, where its points can be dragged with mouse, finger and arrow keys.

    Args:
        model: a `NormalizingFlow` of couplings and swaps, or a `VelocityField`, of two dimensions.
        name: the figure's id in the page, the same at every run.
        label: says to those who do not see it what the figure shows.
        controls: what the reader may change, of `CONTROLS`.
        start: the settings at first, of `WORDS` and `NUMBERS`; the others are in settings.js, under DEFAULTS.

    Raises:
        TypeError: a model that the explorer does not know.
        ValueError: a model of another dim; an unknown control or setting.
    """
    display(HTML(explorer_html(model, name, label, controls, **start)))
