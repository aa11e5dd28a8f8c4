"""Sampling with noise: the ways of a stochastic differential equation whose densities are those of the path.

A point of the path is made of data and noise, xt = t x1 + (1 - t) x0. A field guesses both. A step keeps the
guess of the data, and a part of the guess of the noise; the rest of that it replaces by fresh noise of the
same size, the more of it the higher the level of noise. At level 0 it is Euler's method.
"""

import math
import numbers
from collections.abc import Callable
from itertools import pairwise

import torch
from jaxtyping import Float
from torch import Tensor

from helpers.networks import Context
from helpers.validation import require_count, require_finite, require_points

__all__ = ["diffuse", "noisy_step"]

Number = float | int


def noisy_step(
    x: Float[Tensor, "batch dim"], v: Float[Tensor, "batch dim"], t: Number, later: Number, level: Number
) -> tuple[Float[Tensor, "batch dim"], float]:
    """Where a step with noise leads: points are spread about a centre of their own, all with one width.

    With eta = (1 - t) / t, the noise in units of the data, the point becomes

        t' data + (1 - t') (keep noise + sqrt(1 - keep^2) fresh),    keep = (eta' / eta)^level,

    with the guesses of data and noise that the velocity v makes, and fresh noise from N(0, I).

    Args:
        x, v: points at time t, and their velocities.
        t, later: from when to when, 0 <= t < later <= 1.
        level: 0 for Euler's method; see `diffuse`.

    Returns:
        centre: (batch, dim), and
        width: the standard deviation of each coordinate about it.

    Example:
        >>> x, v = torch.tensor([[1.0, 2.0]]), torch.tensor([[0.0, -2.0]])
        >>> noisy_step(x, v, 0.0, 0.5, level=1.0)  # at the start all of the noise is replaced
        (tensor([[0.5000, 0.0000]]), 0.5)
        >>> noisy_step(x, v, 0.0, 0.5, level=0.0)  # half of a unit of time along the velocity
        (tensor([[1., 1.]]), 0.0)
    """
    data, noise = x + (1 - t) * v, x - t * v
    keep = ((1 - later) / later * t / (1 - t)) ** level
    return later * data + (1 - later) * keep * noise, (1 - later) * math.sqrt(1 - keep**2)


@torch.no_grad()
def diffuse(
    field: Callable[..., Tensor],
    x: Float[Tensor, "batch dim"],
    steps: int | Float[Tensor, " times"],
    level: Number = 1.0,
    t0: Number = 0.0,
    t1: Number = 1.0,
    context: Context = None,
) -> Float[Tensor, "batch dim"]:
    """Where points that are at x at time t0 may be at t1, if on their way they are stirred by noise.

    The steps are those of `noisy_step`. Where they are short, these are the ways of

        dX = (v + g^2 score / 2) dt + g dW,    g^2 = 2 level (1 - t) / t,

    which have the densities of the path where v is its exact field. At t = 0, where g is infinite, all of the
    noise is replaced. Where t1 is 1 the last step lands on the guess of the data.

    Args:
        field: called as field(x, t, context), for a field of the straight path.
        x: (batch, dim) points at t0.
        steps: how many equal steps; or the times (steps + 1,) to step between, rising, which then stand in
            for t0 and t1.
        level: of the noise. 0 is Euler's method, which papers call DDIM; 1 is the reversal of a process that
            only adds noise, which they call ancestral sampling; any other number above 0 will do.
        t0, t1: from when to when.
        context: what the field is told.

    Raises:
        TypeError: x is no floating-point tensor; a number of steps that is not whole; a level that is no
            number.
        ValueError: x is not finite points; fewer than one step; times that do not rise within [0, 1]; a level
            below 0 or infinite.

    Source: Song, Meng and Ermon, "Denoising diffusion implicit models" (2021), whose eta^2 says at each step
    how much of the variance of level 1 is used; here the level is that of the equation, whatever the steps.

    Example:
        >>> to_one = lambda x, t, context: (1 - x) / (1 - t)  # all data are the point 1
        >>> diffuse(to_one, torch.randn(3, 1), steps=4, level=2.0)
        tensor([[1.],
                [1.],
                [1.]])
    """
    require_points(x)
    require_finite(x)
    if not isinstance(level, numbers.Real) or isinstance(level, bool):
        raise TypeError(f"level is {level!r}; it must be a number")
    if not 0 <= level < math.inf:
        raise ValueError(f"level is {level}; it must be a finite number, 0 or more")
    if not isinstance(steps, Tensor):
        require_count(steps, "steps")
        steps = torch.linspace(t0, t1, steps + 1, dtype=torch.float64, device="cpu")
    times = steps.tolist()
    if len(times) < 2 or not all(0 <= t < later <= 1 for t, later in pairwise(times)):
        raise ValueError(f"times from {times[0]} to {times[-1]} must rise, and lie within [0, 1]")
    for t, later in pairwise(times):
        v = field(x, torch.as_tensor(t, dtype=x.dtype, device=x.device), context)
        centre, width = noisy_step(x, v, t, later, level)
        # Drawn on the CPU, so that a seed means the same on every device.
        x = centre + width * torch.randn(x.shape, dtype=x.dtype, device="cpu").to(x.device)
    return x
