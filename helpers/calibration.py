"""Forecasts that are distributions, held against what happened: how sharp they are, and whether they mean it.

A forecast comes as samples, as a distribution function, or as a density with a sampler. `crps` scores it in
the units of the forecast; the others ask whether what it calls a probability of 80 percent happens in 80
percent of the cases.
"""

import math
from collections.abc import Callable

import torch
from jaxtyping import Float, Int
from torch import Tensor

from helpers.instruments import grouped_mean
from helpers.metrics import Estimate
from helpers.validation import require_count, require_finite, require_one_each, require_points

__all__ = ["coverage", "crps", "density_ranks", "pinball", "sample_ranks"]


def crps(samples: Float[Tensor, "batch m"], y: Float[Tensor, " batch"]) -> Float[Tensor, " batch"]:
    """Continuous ranked probability score of forecasts of one number, from samples: the lower, the better.

    E|X - y| - E|X - X'| / 2 for independent draws X, X' of the forecast, estimated without bias: the second
    mean runs over pairs of *different* samples. So an estimate may be below 0, and the number of samples
    changes its noise alone. The unit is that of y.

    Args:
        samples: (batch, m) at least two independent draws of each forecast.
        y: (batch,) what happened.

    Raises:
        TypeError, ValueError: samples that are no finite floating-point matrix of two columns or more; a y of
            another length, or not finite.

    Source: Gneiting and Raftery, "Strictly proper scoring rules, prediction, and estimation" (2007),
    equation 21; the unbiased form: Ferro, "Fair scores for ensemble forecasts" (2014).

    Example:
        >>> crps(torch.tensor([[0.0, 2.0]]), torch.tensor([3.0]))
        tensor([1.])
    """
    _require_forecasts(samples, y)
    m = samples.shape[1]
    # In order, a sample is above i others and below m - 1 - i: the sum of all |X - X'| takes one sort.
    weight = 2 * torch.arange(m, dtype=samples.dtype, device=samples.device) - (m - 1)
    spread = (samples.sort(1).values * weight).sum(1) / (m * (m - 1))
    return (samples - y[:, None]).abs().mean(1) - spread


def pinball(
    quantiles: Float[Tensor, "batch levels"], y: Float[Tensor, " batch"], levels: Float[Tensor, " levels"]
) -> Float[Tensor, "batch levels"]:
    """Pinball losses of quantiles: level (y - q) where y is above, (1 - level)(q - y) where it is below.

    Its mean is least at the true quantile of that level. Twice its integral over all levels is the CRPS.

    Args:
        quantiles: (batch, levels) the forecasts.
        y: (batch,) what happened.
        levels: (levels,) between 0 and 1.

    Raises:
        TypeError, ValueError: shapes that disagree, entries that are not finite, a level outside (0, 1).

    Source: Koenker and Bassett, "Regression quantiles" (1978).

    Example:
        >>> pinball(torch.tensor([[1.0]]), torch.tensor([3.0]), torch.tensor([0.9]))
        tensor([[1.8000]])
    """
    require_points(quantiles, name="quantiles")
    require_finite(quantiles, "quantiles")
    require_one_each(y, len(quantiles), "y")
    require_finite(y, "y")
    _require_levels(levels)
    require_one_each(levels, quantiles.shape[1], "levels")
    above = y[:, None] - quantiles
    return torch.maximum(levels * above, (levels - 1) * above)


def sample_ranks(samples: Float[Tensor, "batch m"], y: Float[Tensor, " batch"]) -> Float[Tensor, " batch"]:
    """Where what happened stands among the samples of its forecast, in (0, 1); uniform if y is like them.

    This is the probability integral transform where the forecast has no distribution function to ask. With k
    samples below y and e equal to it, y is put at random among the e + 1 places, and within its place:
    the result is exactly uniform whenever y is a draw like the others. It takes torch's random numbers.

    Args:
        samples: (batch, m) draws of each forecast; of one parameter, where the forecast is a posterior.
        y: (batch,) what happened, or the parameter that the simulation started from.

    Raises:
        TypeError, ValueError: as `crps`.

    Source: Talts, Betancourt, Simpson, Vehtari and Gelman, "Validating Bayesian inference algorithms with
    simulation-based calibration" (2018), whose rank is the floor of (m + 1) times this.
    """
    _require_forecasts(samples, y)
    below, equal = ((compare(samples, y[:, None])).sum(1) for compare in (torch.lt, torch.eq))
    place = below + torch.rand(len(y), device="cpu").to(y) * (equal + 1)
    return place / (samples.shape[1] + 1)


@torch.no_grad()
def density_ranks(
    log_prob: Callable[..., Tensor],
    sample: Callable[..., Tensor],
    y: Float[Tensor, "batch dim"],
    context: Float[Tensor, "batch features"],
    m: int = 200,
) -> Float[Tensor, " batch"]:
    """The level of the smallest highest-density region that holds y, uniform in (0, 1) for a perfect model.

    A model's region of level a is where its density is highest, cut off so that it holds the share a of the
    model's samples. The level at which y just enters is the share of samples with a higher density than y.

    Args:
        log_prob: log q(y | context), called as log_prob(y, context).
        sample: called as sample(n, context), with a context for each sample.
        y: (batch, dim) what happened.
        context: (batch, features) what was known before.
        m: how many samples a forecast.

    Raises:
        TypeError, ValueError: no points or contexts, or of unequal numbers; fewer than one sample; a
            log-density of another shape.

    Source: Hermans et al., "A crisis in simulation-based inference? Beware, your posterior approximations
    can be unfaithful" (2022), whose expected coverage is the share of these ranks below a.
    """
    require_points(y, name="y")
    require_points(context, name="context")
    require_count(m, "m")
    if len(context) != len(y):
        raise ValueError(f"context has {len(context)} rows and y has {len(y)}; they must be paired")
    own = log_prob(y, context)
    require_one_each(own, len(y), "what log_prob returned")
    higher = torch.zeros(len(y), dtype=torch.float64)
    for _ in range(m):
        higher += (log_prob(sample(len(y), context), context) > own).double().cpu()
    return (higher + torch.rand(len(y), dtype=torch.float64, device="cpu")) / (m + 1)


def coverage(
    ranks: Float[Tensor, " n"],
    level: float,
    groups: Int[Tensor, " n"] | None = None,
    central: bool = True,
) -> Estimate:
    """How often intervals of a level held what happened: the level itself, where they mean what they say.

    Args:
        ranks: (n,) in [0, 1], such as the distribution function of each forecast at what happened, or
            `sample_ranks`; or `density_ranks`, with `central` off.
        level: of the intervals, between 0 and 1.
        groups: (n,) whole numbers, equal for rows that depend on each other; without it each is its own.
        central: whether the interval leaves out equal tails; if not, it is [0, level].

    Raises:
        ValueError: ranks outside [0, 1], or none; a level outside (0, 1); as `grouped_mean`.

    Example:
        >>> coverage(torch.tensor([0.05, 0.3, 0.6, 0.9]), 0.5).value
        0.5
    """
    _require_levels(torch.tensor([level]))
    require_one_each(ranks, ranks.numel(), "ranks")
    require_finite(ranks, "ranks")
    if not ((ranks >= 0) & (ranks <= 1)).all():
        raise ValueError(f"ranks reach from {float(ranks.min())} to {float(ranks.max())}; wanted: [0, 1]")
    inside = (ranks - 0.5).abs() <= level / 2 if central else ranks <= level
    return grouped_mean(inside.double(), torch.arange(len(ranks)) if groups is None else groups)


def _require_forecasts(samples: object, y: Tensor) -> None:
    require_points(samples, name="samples")
    require_finite(samples, "samples")
    require_count(samples.shape[1], "the number of samples", least=2)
    require_one_each(y, len(samples), "y")
    require_finite(y, "y")


def _require_levels(levels: Tensor) -> None:
    if not ((levels > 0) & (levels < 1)).all():
        worst = next(float(v) for v in levels if not 0 < v < 1 or math.isnan(v))
        raise ValueError(f"a level is {worst}; levels must lie between 0 and 1")
