"""What a trained model is judged by: KL to the truth and on-ring share, on fresh points."""

from typing import Protocol

import torch
from torch import Tensor

from helpers import metrics
from helpers.rings import OlympicRings

__all__ = ["Judged", "Trace", "score"]

Trace = list[tuple[float, float]]  # CPU-seconds of training, and the nats above the floor after them


class Judged(Protocol):
    """What can be judged: a number of classes, a density and samples."""

    classes: int

    def log_prob(self, x: Tensor, context: Tensor | None = None) -> Tensor:
        """Log-density in nats."""

    def sample(self, n: int, context: Tensor | None = None) -> Tensor:
        """Draw n points."""


def score(flow: Judged, seed: int, points: int = 100_000) -> dict[str, float]:
    """Judge a flow on fresh points: KL in nats with its standard error, and on-ring share.

    A class-conditional flow is told the rings of the points, and the KL is that of its classes' densities,
    averaged; the share of its samples that lie on the very ring that was asked for is noted as well.
    """
    torch.manual_seed(1_000_000 + seed)
    rings = OlympicRings()
    x, ring = rings.sample(points)
    given = (x, ring) if flow.classes else (x,)
    kl = metrics.kl_to_truth(flow.log_prob, *given)
    drawn = flow.sample(points, *given[1:])
    found = {"kl": kl.value, "kl_se": kl.stderr, "on_ring_share": metrics.on_ring_share(drawn).value}
    if flow.classes:
        found["own_ring_share"] = metrics.on_ring_share(drawn, ring).value
    return found
