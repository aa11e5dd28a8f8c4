"""The pictures of the front page: one for the README, and a live one for the introduction.

`python tools/hero.py` draws the README's: noise on its way through the committed affine flow. The live one is
put into the introduction at every build.
"""

import hashlib
from pathlib import Path

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt
import torch

from helpers import ode, plots, training
from helpers.environment import models_folder
from helpers.explorer import cloud_noise, explorer_html
from helpers.flows import affine_flow
from helpers.matching import VelocityField
from helpers.rings import OlympicRings

ROOT = Path(__file__).resolve().parent.parent
PICTURE = ROOT / "book" / "_static" / "hero.png"


def model_digest() -> str:
    """The digest of the file that the picture shows."""
    return hashlib.sha256((models_folder() / "affine.safetensors").read_bytes()).hexdigest()


def draw(path: Path = PICTURE) -> None:
    """Write the picture: 12,000 points of noise after some of the layers, coloured by where they end."""
    flow, rings = affine_flow(), OlympicRings()
    training.load(flow, "affine")
    torch.manual_seed(0)
    states = flow.trajectory(torch.randn(12_000, 2))
    off_middle = (states[-1][:, None].double() - rings.centres).norm(dim=-1) - (rings.inner + rings.outer) / 2
    colours = [plots.RING_COLOURS[c] for c in off_middle.abs().argmin(1).tolist()]
    figure, axes = plt.subplots(1, 4, figsize=(12, 2.8), layout="constrained")
    for ax, layer in zip(axes, (0, 8, 16, 24)):
        ax.scatter(*states[layer].T.numpy(), s=0.8, c=colours, linewidths=0)
        ax.set(xlim=(-3.2, 3.2), ylim=(-3.0, 3.0), aspect="equal")
        ax.axis("off")
    # The picture says which model it shows, so that a test can tell when it is out of date.
    figure.savefig(path, dpi=160, transparent=True, metadata={"Model": model_digest()})


def live_html() -> str:
    """The explorer that plays once when the reader sees it, along ways that travel with the page."""
    field = VelocityField()
    training.load(field, "matching")
    steps = 12
    times = 1 - (1 - torch.linspace(0, 1, steps + 1)) ** 2
    ways = ode.trajectory(field, cloud_noise(2000).float(), times)
    label = "Two thousand points of noise, carried by a learned velocity field to the five Olympic rings"
    caption = (
        "Two thousand points of noise on their way to the rings, along a velocity field that was learned."
    )
    controls = ["points", "way"]
    start = {"points": "cloud", "steps": steps, "method": "rk4", "late": 2, "autoplay": True}
    return explorer_html(field, "explorer-hero", label, controls, caption, ways, **start)


if __name__ == "__main__":
    draw()
