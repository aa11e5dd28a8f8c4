"""Draw the picture of the introduction: noise on its way through the committed affine flow."""

import hashlib
from pathlib import Path

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt
import torch

from helpers import plots, training
from helpers.environment import models_folder
from helpers.flows import affine_flow
from helpers.rings import OlympicRings

PICTURE = Path(__file__).resolve().parent.parent / "book" / "_static" / "hero.png"


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


if __name__ == "__main__":
    draw()
