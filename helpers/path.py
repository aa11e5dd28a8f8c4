"""The straight path from noise to rings: its density, its velocity and the least loss, all exact."""

import math

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from helpers.rings import Rings
from helpers.validation import require_count, require_finite, require_labels, require_points, require_time

__all__ = ["RingsPath"]

Ring = Int[Tensor, " batch"] | None
Time = float | int | Float[Tensor, ""] | Float[Tensor, " batch"]
Each = Float[Tensor, "batch rings"]


def _gauss_legendre(nodes: int) -> tuple[Float[Tensor, " nodes"], Float[Tensor, " nodes"]]:
    """Nodes and weights on [-1, 1]."""
    points, weights = np.polynomial.legendre.leggauss(nodes)
    return torch.from_numpy(points), torch.from_numpy(weights)


REACH = 8.0  # integrals stop where the integrand has fallen by exp(-REACH^2 / 2), which is 1e-14
# While a ring is at most so many deviations of the noise wide, integrands are so smooth that few nodes do.
WIDE, FEW, MANY = 3.75, _gauss_legendre(16), _gauss_legendre(36)
CHUNK = 8192  # points integrated at a time, so that many points do not need much memory
TINY = 1e-300  # lost in every sum, but keeps what is divided by from being 0


class RingsPath:
    """The path xt = (1 - t) x0 + t x1 from noise x0 ~ N(0, I) to points x1 of the rings, independent of x0.

    About the centre of its ring everything is symmetric. So, with tau = 1 - t and d = |xt - t centre|,
    only an integral over the radius rho of x1 is left of the convolution of a ring with the noise:

        p_t(x | ring) = 1 / (area tau^2) Int rho exp(-(d - t rho)^2 / (2 tau^2)) i0e(d t rho / tau^2) d rho,

    where i0e(z) = exp(-z) I0(z) is the mean of exp(z cos(angle) - z) over all angles. Given xt, the mean
    of x1 lies from the centre in the direction of xt - t centre, at a distance that is the same integral
    with rho^2 i1e in place of rho i0e, divided by this one. Bayes' rule puts the rings together.

    Every method takes points, (batch, 2); a time in [0, 1), one for all points or (batch,); and labels,
    (batch,), where one ring of each point is meant: x1 is then drawn from this ring alone. It computes in
    float64 and returns the dtype of the points. Autograd finds the derivatives in x and t as exactly.

    Up to t = 0.999, log-densities are within 1e-12 of the truth and velocities within 1e-11, relative to
    1 + their size; within 1e-8 at the very centre of a ring, where the field is so steep that it shows
    the rounding of the centre. Later such rounding grows, but nothing becomes infinite or nan unless the
    dtype of the points cannot hold it.

    Args:
        rings: the distribution of x1.

    Example:
        >>> from helpers.rings import OlympicRings
        >>> path = RingsPath(OlympicRings())
        >>> x = torch.tensor([[0.5, 1.0]])
        >>> path.velocity(x, 0.0)  # at the start nothing is known of x1 but its mean, which is 0
        tensor([[-0.5000, -1.0000]])
        >>> path.posterior(x, 0.9).argmax(1)
        tensor([1])
    """

    def __init__(self, rings: Rings) -> None:
        self.rings = rings

    def sample(
        self, n: int, t: Time, ring: Int[Tensor, " n"] | None = None
    ) -> tuple[Float[Tensor, "n 2"], Float[Tensor, "n 2"], Float[Tensor, "n 2"], Int[Tensor, " n"]]:
        """Draw n points of the path, with the noise and the data that they lie between.

        Args:
            n: how many.
            t: time in [0, 1), one for all or (n,).
            ring: the ring of each x1; drawn uniformly when left out.

        Returns:
            xt, x0, x1: (n, 2) each, in torch's default dtype.
            ring: (n,) labels in 0..rings-1.

        Raises:
            TypeError: `n`, `t` or `ring` is of a wrong type.
            ValueError: `n` is below 1, `t` lies outside [0, 1), or `ring` is not n labels in 0..rings-1.
        """
        require_count(n)
        require_time(t, n)
        x1, ring = self.rings.sample(n, ring)
        x0 = torch.randn_like(x1)
        time = _column(t, x1)
        return ((1 - time) * x0 + time * x1).to(x1.dtype), x0, x1, ring

    def log_prob(self, x: Float[Tensor, "batch 2"], t: Time, ring: Ring = None) -> Float[Tensor, " batch"]:
        """Log-density log p_t(x) in nats, of all rings or of one.

        Raises:
            TypeError: `x`, `t` or `ring` is of a wrong type.
            ValueError: `x` is not finite points, `t` not in [0, 1), or `ring` not labels in 0..rings-1.
        """
        log_p, _ = self._each_ring(x, t, ring)
        return (log_p.logsumexp(1) - math.log(log_p.shape[1])).to(x.dtype)

    def posterior(self, x: Float[Tensor, "batch 2"], t: Time) -> Float[Tensor, "batch rings"]:
        """Probability of each ring given xt = x.

        Raises:
            TypeError: `x` or `t` is of a wrong type.
            ValueError: `x` is not finite points, or `t` lies outside [0, 1).
        """
        return self._each_ring(x, t)[0].softmax(1).to(x.dtype)

    def mean(self, x: Float[Tensor, "batch 2"], t: Time, ring: Ring = None) -> Float[Tensor, "batch 2"]:
        """Mean of x1 given xt = x: the best guess of the data.

        Raises:
            TypeError: `x`, `t` or `ring` is of a wrong type.
            ValueError: `x` is not finite points, `t` not in [0, 1), or `ring` not labels in 0..rings-1.
        """
        return self._mean(x, t, ring).to(x.dtype)

    def velocity(self, x: Float[Tensor, "batch 2"], t: Time, ring: Ring = None) -> Float[Tensor, "batch 2"]:
        """The field u_t that carries p_t: the mean of x1 - x0 given xt = x, (E[x1 | xt = x] - x) / (1 - t).

        Raises:
            TypeError: `x`, `t` or `ring` is of a wrong type.
            ValueError: `x` is not finite points, `t` not in [0, 1), or `ring` not labels in 0..rings-1.
        """
        mean, time = self._mean(x, t, ring), _column(t, x)
        return ((mean - x) / (1 - time)).to(x.dtype)

    def score(self, x: Float[Tensor, "batch 2"], t: Time, ring: Ring = None) -> Float[Tensor, "batch 2"]:
        """Gradient of log p_t in x, (t E[x1 | xt = x] - x) / (1 - t)^2.

        Raises:
            TypeError: `x`, `t` or `ring` is of a wrong type.
            ValueError: `x` is not finite points, `t` not in [0, 1), or `ring` not labels in 0..rings-1.
        """
        mean, time = self._mean(x, t, ring), _column(t, x)
        return ((time * mean - x) / (1 - time).square()).to(x.dtype)

    def loss_floor(self, by_class: bool = False) -> float:
        """Least flow-matching loss: the mean of |x1 - x0 - u_t(xt)|^2 over t uniform in (0, 1).

        The square is summed over both coordinates. No field of x and t has less, and the velocity alone
        has as little. It takes seconds; the error is below 1e-5, or 1e-4 where rings are as thin as 0.05.

        Args:
            by_class: for fields that are told the ring of x1.

        Example:
            >>> from helpers.rings import OlympicRings
            >>> round(RingsPath(OlympicRings()).loss_floor(by_class=True), 4)
            1.5304
        """
        nodes, weights = _gauss_legendre(24)
        each = [self.loss_floor_at(float(t), by_class) for t in (1 + nodes) / 2]
        return float(weights @ torch.tensor(each, dtype=torch.float64, device="cpu")) / 2

    def loss_floor_at(self, t: float | int, by_class: bool = False) -> float:
        """Least flow-matching loss at one time: the mean of |x1 - x0 - u_t(xt)|^2; it tends to 2 as t to 1.

        Raises:
            TypeError: `t` is no number.
            ValueError: `t` lies outside [0, 1).
        """
        require_time(t, 1)
        floor = self._floor_by_class(float(t))
        return floor if by_class else floor + self._cost_of_no_label(float(t))

    @torch.no_grad()
    def _floor_by_class(self, t: float) -> float:
        """E |x1 - x0|^2 - E |u_t(xt)|^2, a mean over rings; |centre|^2 is part of both and is left out."""
        tau, radii = 1 - t, self.rings.radii
        # An integral over d. Cut where the layer about an edge begins and ends, each piece is smooth.
        layers = [t * radii + side * 9 * tau for side in (-1, 0, 1)]
        cuts = torch.cat([0 * radii[:, :1], *layers], dim=1).clamp(min=0).sort(dim=1).values
        nodes, weights = _gauss_legendre(32)
        half = cuts.diff(dim=1)[..., None] / 2
        d = (cuts[:, :-1, None] + half * (1 + nodes)).flatten(1).T
        measure = (half * weights).flatten(1).T * 2 * math.pi * d
        log_p, radius = self._radial(d, torch.full_like(d[:, :1], t), radii.expand(len(d), -1, -1))
        energy = (measure * log_p.exp() * ((radius - d) / tau).square()).sum(0)
        return float((2 + radii.square().sum(1) / 2 - energy).mean())

    @torch.no_grad()
    def _cost_of_no_label(self, t: float) -> float:
        """How much the floor rises when the ring is not told: the mean variance of u_t(xt | ring) over rings.

        A sum over a square grid, which is as good as exact while the grid is finer than the noise. When it
        no longer is, from t = 0.97 on, the rings differ only in layers along their edges as thin as the
        noise: the rise is about 1.5 (1 - t) for those of the book, and what the grid misses does not count.
        """
        tau, radii = 1 - t, self.rings.radii
        step = max(tau / 1.5, 0.02)
        box = t * (self.rings.centres.abs() + radii[:, 1:]).amax(0) + 7 * tau
        on_cpu = {"dtype": torch.float64, "device": "cpu"}
        axes = [torch.arange(-float(side), float(side), step, **on_cpu) for side in box]
        x = torch.cartesian_prod(*axes)
        log_p, mean = self._each_ring(x, t)
        posterior = log_p.softmax(1)[..., None]
        away = mean - (posterior * mean).sum(1, keepdim=True)
        variance = (posterior * away.square()).sum((1, 2)) / tau**2
        return float((log_p.exp().mean(1) * variance).sum()) * step**2

    def _mean(self, x: Tensor, t: Time, ring: Ring) -> Float[Tensor, "batch 2"]:
        log_p, mean = self._each_ring(x, t, ring)
        return (log_p.softmax(1)[..., None] * mean).sum(1)

    def _each_ring(
        self, x: Tensor, t: Time, ring: Ring = None
    ) -> tuple[Each, Float[Tensor, "batch rings 2"]]:
        """Log-density and mean of x1, for all rings or for the one of each point's label."""
        require_points(x, 2)
        require_finite(x)
        require_time(t, len(x))
        centres, radii = (part.to(x.device)[None] for part in (self.rings.centres, self.rings.radii))
        if ring is not None:
            require_labels(ring, len(x), len(self.rings))
            centres, radii = (part[0, ring][:, None] for part in (centres, radii))
        time = _column(t, x)
        offset = x.double()[:, None] - time[..., None] * centres
        distance = (offset.square().sum(-1) + TINY).sqrt()  # a root at 0 would have no derivative
        parts = (part.split(CHUNK) for part in (distance, time, radii.expand(len(x), -1, -1)))
        log_p, radius = (torch.cat(part) for part in zip(*map(self._radial, *parts)))
        return log_p, centres + (radius / distance)[..., None] * offset

    def _radial(
        self, d: Each, t: Float[Tensor, "batch 1"], radii: Float[Tensor, "batch rings 2"]
    ) -> tuple[Each, Each]:
        """Log-density at distance d from t centre, and the distance of the mean of x1 from the centre."""
        tau, (inner, outer) = 1 - t, radii.unbind(-1)
        with torch.no_grad():  # where to integrate is a choice, and no part of the integral
            moving = t.clamp(min=TINY)
            # The exponential is largest at this radius, and has fallen enough at this far from it.
            nearest = (d / moving).clamp(inner, outer)
            gap, fall = (d - t * nearest).abs(), (REACH * tau).square()
            width = fall / ((gap.square() + fall).sqrt() + gap) / moving  # (gap + t width)^2 = gap^2 + fall
            low = torch.maximum(inner - nearest, -width)[..., None]
            high = torch.minimum(outer - nearest, width)[..., None]
            few = (t * (outer - inner) <= WIDE * tau).all()
            nodes, weights = (part.to(d.device) for part in (FEW if few else MANY))
            step = (low + high) / 2 + (high - low) / 2 * nodes
            weight = (high - low) / 2 * weights
            rho = nearest[..., None] + step
        # The exponent at the nearest radius, -(gap / tau)^2 / 2, stands before the integral: it may be
        # below -1e6, where an exponential is 0. Inside is what it falls by from there.
        gap, tau3, t3 = d - t * nearest, tau[..., None], t[..., None]
        falls = t3 * step * (2 * gap[..., None] - t3 * step) / (2 * tau3.square())
        z = d[..., None] * t3 * rho / tau3.square() + TINY  # at 0 itself, torch gives i0e the slope 0
        mass = weight * rho * falls.exp()
        total = (mass * torch.special.i0e(z)).sum(-1)
        radius = (mass * rho * torch.special.i1e(z)).sum(-1) / total
        log_p = total.log() - (gap / tau).square() / 2 - (math.pi * (outer**2 - inner**2) * tau**2).log()
        return log_p, radius


def _column(t: Time, x: Tensor) -> Float[Tensor, "batch 1"]:
    """Time as float64 on the device of the points, one for each of them."""
    return torch.as_tensor(t, dtype=torch.float64, device=x.device).expand(len(x))[:, None]
