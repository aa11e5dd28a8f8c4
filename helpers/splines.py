"""Monotone rational-quadratic splines: curves through knots that know their slope and their inverse.

A spline here runs from (-reach, -reach) to (reach, reach), with slope 1 at both ends, so that the identity
goes on outside. Between two neighbouring knots stands a ratio of two quadratics, which increases and
takes the values and the slopes of both.

Source: Durkan, Bekasov, Murray and Papamakarios, "Neural spline flows" (2019), after Gregory and
Delbourgo, "Piecewise rational quadratic interpolation to monotonic data" (1982).
"""

import math
from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional

from helpers.validation import require_positive

__all__ = ["Knots", "rational_quadratic_spline", "spline_knots"]

LEAST = 1e-4  # the share of the box that a bin has at least
STEEPEST = math.log(1e4)  # log-slopes at knots beyond this, up or down, count as this


class Knots(NamedTuple):
    """The K + 1 knots of one spline or of many.

    Attributes:
        places: (..., 2, K + 1) the positions x, and below them the values y; both increase.
        log_slopes: (..., K + 1) the logarithms of the slopes there; the first and last are 0.
    """

    places: Float[Tensor, "*batch 2 knots"]
    log_slopes: Float[Tensor, "*batch knots"]


def spline_knots(raw: Float[Tensor, "*batch numbers"], reach: float = 2.5, least: float = LEAST) -> Knots:
    """Turn any numbers into the knots of a monotone spline; zeros into those of the identity.

    With K bins, the first K numbers become their widths and the next K their heights, each through a
    softmax, so that they are positive and fill [-reach, reach]. The last K - 1 are the logarithms of
    the slopes at the inner knots. (The paper takes a softplus of them; a logarithm is 0 for the
    identity, and need be undone for the two knots beside each point only.) Where the spline is evaluated,
    a log-slope beyond STEEPEST, up or down, counts as STEEPEST. This bounds the slopes at knots; between two
    of them the curve is nowhere steeper than at its ends, or than twice its chord.

    Everything is computed in float32 at least: with the 8 binary digits of bfloat16, knots would coincide.

    Args:
        raw: (..., 3K - 1) numbers without bounds, such as a network gives.
        reach: the spline runs from -reach to reach.
        least: no bin takes less than this share of the box, neither in width nor in height.

    Returns:
        The knots, K + 1 of them for each row of raw.

    Raises:
        TypeError: reach or least is no number.
        ValueError: raw does not hold 3K - 1 numbers for a K of at least 2, or the bins do not fit.

    Example:
        >>> spline_knots(torch.zeros(5), reach=1.0).places.round(decimals=6)
        tensor([[-1.,  0.,  1.],
                [-1.,  0.,  1.]])
    """
    bins, left_over = divmod(raw.shape[-1] + 1, 3)
    if left_over or bins < 2:
        raise ValueError(
            f"raw has {raw.shape[-1]} numbers for each spline; they must be 3K - 1 for K bins, K >= 2"
        )
    require_positive(reach, "reach")
    require_positive(least, "least")
    reach, least = float(reach), float(least)  # torch takes no numbers of numpy's in some places
    if least * bins >= 1:
        raise ValueError(f"least is {least}; {bins} bins of that share do not fit into the box")
    sizes, log_slopes = _in_float32_at_least(raw).split([2 * bins, bins - 1], dim=-1)
    shares = sizes.unflatten(-1, (2, bins)).softmax(-1)
    # Inner knot j stands at reach * (2 t - 1) with t = least * j + (1 - least * bins) * (sum of j shares).
    # A matrix takes the sums: one fast step, and its empty columns 0 and `bins` leave the ends as they are
    # put down in `places`, so that rounding does not move the edge of the box.
    places = 2 * reach * least * torch.arange(bins + 1, device=raw.device, dtype=shares.dtype) - reach
    places[-1] = reach
    sums = shares.new_full((bins, bins + 1), 2 * reach * (1 - least * bins)).triu(1)
    sums[:, -1] = 0
    with torch.autocast(raw.device.type, enabled=False):  # which would sum in bfloat16
        places = torch.addmm(places, shares.flatten(0, -2), sums).view(*shares.shape[:-1], bins + 1)
    return Knots(places, functional.pad(log_slopes, (1, 1)))


def rational_quadratic_spline(
    x: Float[Tensor, "*batch"], knots: Knots, inverse: bool = False
) -> tuple[Float[Tensor, "*batch"], Float[Tensor, "*batch"]]:
    """Value of a monotone rational-quadratic spline, or of its inverse, and the log of its slope there.

    In the bin from (x0, y0) to (x0 + width, y0 + height), with t = (x - x0) / width, the slope of the chord
    s = height / width, and the slopes d0 and d1 at the knots, the spline is equation 4 of the paper,

        y = y0 + height (s t^2 + d0 t (1 - t)) / (s + (d0 + d1 - 2 s) t (1 - t)),

    its slope equation 5, and its inverse the root of a quadratic, equations 6 to 8.

    Args:
        x: where; with `inverse`, the values whose positions are wanted.
        knots: a spline for each entry of x, such as `spline_knots` gives. Whether its places increase, and
            whether it ends where and as it should, is not checked.
        inverse: whether to go from values to positions.

    Returns:
        y: of the shape of x, in float32 at least; outside the spline's box, x itself.
        log_slope: like y, the logarithm of |dy/dx|; outside the box, 0.

    Raises:
        ValueError: the shapes do not fit.

    Example:
        >>> knots = spline_knots(torch.tensor([0.0, 1.0, 1.0, 0.0, 0.0]))
        >>> y, log_slope = rational_quadratic_spline(torch.tensor(0.5), knots)
        >>> back, log_slope_back = rational_quadratic_spline(y, knots, inverse=True)
        >>> round(back.item(), 4), round(abs(log_slope + log_slope_back).item(), 4)
        (0.5, 0.0)
    """
    x, (places, log_slopes) = _in_float32_at_least(x), knots
    count = log_slopes.shape[-1]
    if count < 2 or places.shape != (*x.shape, 2, count) or log_slopes.shape != (*x.shape, count):
        raise ValueError(
            f"knots has places of shape {tuple(places.shape)} and log_slopes of shape "
            f"{tuple(log_slopes.shape)}; for x of shape {tuple(x.shape)} they must be "
            f"{(*x.shape, 2, 'K + 1')} and {(*x.shape, 'K + 1')}"
        )
    # Points outside are computed as if they stood on the edge: torch.where hides what it does not
    # choose, but an infinity there would still come back from its gradient as nan.
    low, high = places[..., 0, 0].detach(), places[..., 0, -1].detach()
    inside = (x >= low) & (x <= high)
    held = torch.where(inside, x, x.detach().clamp(low, high))
    bin_ = (places.detach()[..., int(inverse), 1:-1] <= held.detach()[..., None]).sum(-1)
    sides = torch.stack([bin_, bin_ + 1], dim=-1)
    left, right = places.gather(-1, sides[..., None, :].expand(*x.shape, 2, 2)).unbind(-1)
    d0, d1 = log_slopes.gather(-1, sides).clamp(-STEEPEST, STEEPEST).exp().unbind(-1)
    x0, y0 = left.unbind(-1)
    width, height = (right - left).unbind(-1)
    slope = height / width  # of the chord
    bend = d0 + d1 - 2 * slope
    # t goes from 0 to 1 through the bin.
    t = _position(held - y0, height, slope, bend, d0) if inverse else (held - x0) / width
    rest = 1 - t
    both = t * rest
    ratio = slope / (slope + bend * both)
    log_slope = (ratio.square() * (d1 * t.square() + 2 * slope * both + d0 * rest.square())).log()
    if inverse:
        moved, log_slope = x0 + width * t, -log_slope
    else:
        moved = y0 + width * ratio * (slope * t.square() + d0 * both)
    return torch.where(inside, moved, x), torch.where(inside, log_slope, 0)


def _in_float32_at_least(x: Tensor) -> Tensor:
    return x.to(torch.promote_types(x.dtype, torch.float32))


def _position(rise: Tensor, height: Tensor, slope: Tensor, bend: Tensor, d0: Tensor) -> Tensor:
    """The t in [0, 1] at which the curve has risen by `rise`: the root of a t^2 + b t = slope * rise."""
    a = height * (slope - d0) + rise * bend
    b = height * d0 - rise * bend
    # Positive but for rounding; 0 has no finite gradient under the root, the smallest number has.
    root = (b * b + 4 * a * slope * rise).clamp(min=torch.finfo(b.dtype).tiny).sqrt()
    # Of the two forms of the root, each subtracts nearly equal numbers where the other adds. Both
    # denominators are positive where they are chosen: a + b = height * slope, so b < 0 makes a > 0.
    falls = b < 0
    t = torch.where(falls, root - b, 2 * slope * rise) / torch.where(falls, 2 * a, b + root)
    # Where the curve is far flatter than its chord, rounding may carry t out of its bin. It is brought back
    # without a trace: clamp alone would leave no gradient to a point that stands on a knot.
    return t - (t - t.clamp(0, 1)).detach()
