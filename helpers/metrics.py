"""How a model is judged: in nats above the truth, by its samples, and by how exactly it inverts."""

import math
from collections.abc import Callable
from typing import NamedTuple

import torch
from jaxtyping import Float, Int
from torch import Tensor

from helpers.flows import NormalizingFlow
from helpers.networks import Context
from helpers.rings import OlympicRings
from helpers.validation import require_count, require_finite, require_labels, require_points

__all__ = ["Estimate", "kl_to_truth", "on_ring_share", "round_trip_error", "sliced_wasserstein"]


class Estimate(NamedTuple):
    """A Monte Carlo mean and its standard error."""

    value: float
    stderr: float

    def __str__(self) -> str:
        return f"{self.value:.4f} ± {self.stderr:.4f}"


def _mean(values: Tensor) -> Estimate:
    values = values.double()
    return Estimate(float(values.mean()), float(values.std()) / math.sqrt(len(values)))


@torch.no_grad()
def kl_to_truth(
    log_prob: Callable[..., Tensor],
    x: Float[Tensor, "batch 2"],
    ring: Int[Tensor, " batch"] | None = None,
) -> Estimate:
    """KL divergence from the truth to a model, in nats: the mean of log p(x) - log q(x) over data x.

    Args:
        log_prob: the model's log-density, called as log_prob(x) or log_prob(x, ring).
        x: (batch, 2) points drawn from the rings, not seen in training.
        ring: (batch,) their rings, to judge a class-conditional model.

    Raises:
        TypeError, ValueError: bad points or labels, fewer than two points, or points off the rings
            (on which p is zero, so that they cannot be data).
    """
    given = (x,) if ring is None else (x, ring)
    truth = OlympicRings().log_prob(*given)
    require_count(len(x), "the number of points", least=2)
    if torch.isinf(truth).any():
        raise ValueError(f"x has {int(torch.isinf(truth).sum())} points off their rings; they are no data")
    model = log_prob(*given)
    if model.shape != truth.shape:
        raise ValueError(f"log_prob returned shape {tuple(model.shape)}; it must be {tuple(truth.shape)}")
    return _mean(truth.double() - model.double())


def on_ring_share(x: Float[Tensor, "batch 2"], ring: Int[Tensor, " batch"] | None = None) -> Estimate:
    """Share of the points that lie on a ring, or on their own where labels are given, and its standard error.

    Raises:
        TypeError, ValueError: bad points or labels, or fewer than two.
    """
    require_points(x, 2)
    require_count(len(x), "the number of points", least=2)
    covers = OlympicRings().covers(x)
    if ring is None:
        return _mean(covers.any(1))
    require_labels(ring, len(x))
    return _mean(covers.gather(1, ring[:, None]))


@torch.no_grad()
def sliced_wasserstein(x: Float[Tensor, "n dim"], y: Float[Tensor, "n dim"], directions: int = 128) -> float:
    """Sliced Wasserstein-1 distance between two samples of equal size, in data units.

    The mean, over directions, of the distance between the sorted projections. In the plane the
    directions are spread evenly over the half circle; in more dimensions they are random, from a
    fixed seed, so that the same points always give the same number.

    Two samples of the truth do not give zero: compare with that floor.

    Args:
        x, y: (n, dim) the two samples.
        directions: how many directions.

    Raises:
        TypeError: no floating-point tensors, or a number of directions that is not whole.
        ValueError: points of different dims, infinite or nan; no points; samples of different sizes.

    Source: Bonneel, Rabin, Peyre and Pfister, "Sliced and Radon Wasserstein barycenters of
    measures" (2015).
    """
    require_points(x, name="x")
    require_points(y, x.shape[1], "y")
    require_finite(x, "x")
    require_finite(y, "y")
    require_count(directions, "directions")
    if len(x) != len(y):
        raise ValueError(f"x has {len(x)} points and y has {len(y)}; they must have equally many")
    require_count(len(x), "the number of points")
    if x.shape[1] == 2:
        angle = math.pi * (torch.arange(directions, dtype=x.dtype, device="cpu") + 0.5) / directions
        axes = torch.stack([angle.cos(), angle.sin()])
    else:
        generator = torch.Generator("cpu").manual_seed(0)
        axes = torch.randn(x.shape[1], directions, generator=generator, dtype=x.dtype, device="cpu")
        axes = axes / axes.norm(dim=0)
    axes = axes.to(x.device)
    gap = (x @ axes).sort(dim=0).values - (y @ axes).sort(dim=0).values
    return float(gap.abs().mean())


@torch.no_grad()
def round_trip_error(
    flow: NormalizingFlow, x: Float[Tensor, "batch dim"], context: Context = None
) -> Float[Tensor, " batch"]:
    """Distance between each point and itself after a trip to the noise and back, (batch,), in data units.

    Raises:
        TypeError, ValueError: points or a context that do not fit the flow.
    """
    z, _ = flow.inverse(x, context)
    return (flow(z, context)[0] - x).norm(dim=1)
