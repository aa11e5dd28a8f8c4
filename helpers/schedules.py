"""Gaussian paths of every schedule, each of them the straight path in other clothes; and four predictions.

A schedule says how much of the data and of the noise is in a point, y = alpha x1 + sigma x0, at each moment r
of its own time. Divided by alpha + sigma that is a point of the straight path at t = alpha / (alpha + sigma).
So whatever is known of the straight path, exactly or by learning, is known of all of them. What a network
predicts, velocity, noise, data or score, can be computed from any of the other three, and from the point.
"""

import math
from collections.abc import Callable
from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

from helpers.empirical import EmpiricalPath
from helpers.matching import Time
from helpers.networks import Context
from helpers.path import RingsPath
from helpers.validation import require_finite, require_points

__all__ = [
    "COSINE",
    "LINEAR",
    "PREDICTIONS",
    "VARIANCE_EXPLODING",
    "VARIANCE_PRESERVING",
    "Moment",
    "Schedule",
    "ScheduledField",
    "ScheduledPath",
    "convert",
]

PREDICTIONS = ("velocity", "noise", "data", "score")


class Moment(NamedTuple):
    """A schedule at one time: the two coefficients, and their rates by the schedule's own time."""

    alpha: Tensor
    sigma: Tensor
    alpha_rate: Tensor
    sigma_rate: Tensor


class Schedule:
    """The coefficients of a path y = alpha(r) x1 + sigma(r) x0, as functions of a time r of its own.

    Args:
        alpha, sigma: from times to coefficients, by operations that autograd knows. alpha / sigma has to grow
            all the way from the noise to the data.
        noise, data: the first and the last r of a sampler, of which either may be the larger one.

    Raises:
        ValueError: alpha / (alpha + sigma) does not grow from `noise` to `data`.

    Example:
        >>> COSINE.time(0.5)  # as much of the one as of the other
        tensor(0.5000, dtype=torch.float64)
        >>> VARIANCE_EXPLODING.own_time(0.2)  # the noise has four times the weight of the data
        tensor(4., dtype=torch.float64)
    """

    def __init__(
        self, alpha: Callable[[Tensor], Tensor], sigma: Callable[[Tensor], Tensor], noise: float, data: float
    ) -> None:
        self.alpha, self.sigma, self.noise, self.data = alpha, sigma, float(noise), float(data)
        ends = self.time(torch.linspace(self.noise, self.data, 33, dtype=torch.float64, device="cpu"))
        if not (ends.diff() > 0).all():
            raise ValueError(f"alpha / (alpha + sigma) must grow from r = {noise} to r = {data}")

    def at(self, r: Time) -> Moment:
        """Coefficients and rates, in float64 and in the shape of r."""
        (alpha, alpha_rate), (sigma, sigma_rate) = (_with_rate(part, r) for part in (self.alpha, self.sigma))
        return Moment(alpha, sigma, alpha_rate, sigma_rate)

    def time(self, r: Time) -> Tensor:
        """The time t of the straight path that r stands for, in float64: alpha / (alpha + sigma)."""
        r = torch.as_tensor(r, dtype=torch.float64)
        alpha = self.alpha(r)
        return alpha / (alpha + self.sigma(r))

    def own_time(self, t: Time) -> Tensor:
        """The r that stands for the time t, in float64, by bisection; the nearer end if t lies beyond it."""
        t = torch.as_tensor(t, dtype=torch.float64)
        early, late = torch.full_like(t, self.noise), torch.full_like(t, self.data)
        for _ in range(100):  # halvings of an interval, more than float64 has digits
            middle = (early + late) / 2
            before = self.time(middle) < t
            early, late = torch.where(before, middle, early), torch.where(before, late, middle)
        return (early + late) / 2


def _with_rate(part: Callable[[Tensor], Tensor], r: Time) -> tuple[Tensor, Tensor]:
    """A coefficient, and its derivative."""
    with torch.enable_grad():
        here = torch.as_tensor(r, dtype=torch.float64).detach().requires_grad_()
        value = part(here) + 0 * here  # or a coefficient that does not move would hide its derivative, 0
        return value.detach(), torch.autograd.grad(value.sum(), here)[0]


LINEAR = Schedule(lambda r: r, lambda r: 1 - r, noise=0.0, data=1.0)
COSINE = Schedule(
    lambda r: torch.cos(math.pi / 2 * r), lambda r: torch.sin(math.pi / 2 * r), noise=1.0, data=0.0
)
# The integral of beta from 0 to r, where beta rises linearly from 0.1 to 20.
VARIANCE_PRESERVING = Schedule(
    lambda r: torch.exp(-(0.1 * r + 9.95 * r**2) / 2),
    lambda r: torch.sqrt(-torch.expm1(-(0.1 * r + 9.95 * r**2))),
    noise=1.0,
    data=0.0,
)
VARIANCE_EXPLODING = Schedule(torch.ones_like, lambda r: r, noise=80.0, data=0.0)


def convert(
    value: Float[Tensor, "batch dim"], y: Float[Tensor, "batch dim"], given: str, wanted: str, at: Moment
) -> Float[Tensor, "batch dim"]:
    """One prediction at the points y, made of another.

    The velocity is dy/dr given y, in the schedule's own time; noise and data are the means of x0 and of x1
    given y; the score is the gradient of the log-density of y.

    Args:
        value: (batch, dim) the prediction that is given, exact or learned.
        y: (batch, dim) where it was made.
        given, wanted: two of "velocity", "noise", "data" and "score".
        at: the schedule there, of one time or of (batch,).

    Raises:
        ValueError: another kind of prediction.

    Example:
        >>> y, velocity = torch.tensor([[1.0, 0.0]]), torch.tensor([[0.5, 0.5]])
        >>> convert(velocity, y, "velocity", "data", LINEAR.at(0.5))  # y + (1 - t) velocity
        tensor([[1.2500, 0.2500]])
    """
    if given not in PREDICTIONS:
        raise ValueError(f"the prediction is {given!r}; it must be one of {', '.join(PREDICTIONS)}")
    alpha, sigma, alpha_rate, sigma_rate = (part.to(y)[..., None] for part in at)
    if given == "velocity":
        turn = alpha_rate * sigma - alpha * sigma_rate
        data, noise = (sigma * value - sigma_rate * y) / turn, (alpha_rate * y - alpha * value) / turn
    elif given == "data":
        data, noise = value, (y - alpha * value) / sigma
    else:
        noise = value if given == "noise" else -sigma * value
        data = (y - sigma * noise) / alpha
    return _made_of(data, noise, wanted, at)


def _made_of(data: Tensor, noise: Tensor, wanted: str, at: Moment) -> Tensor:
    """A prediction, from the guesses of both ends."""
    if wanted not in PREDICTIONS:
        raise ValueError(f"the prediction is {wanted!r}; it must be one of {', '.join(PREDICTIONS)}")
    _, sigma, alpha_rate, sigma_rate = (part.to(data)[..., None] for part in at)
    if wanted == "velocity":
        return alpha_rate * data + sigma_rate * noise
    return {"data": data, "noise": noise}.get(wanted, -noise / sigma)


class ScheduledField:
    """A field of the straight path, exact or learned, as the field of a path with another schedule.

    Nothing is learned anew: the point is divided by alpha + sigma, the field is asked at alpha / (alpha +
    sigma), and its answer converted. It can be handed to the solvers of `ode`, from `schedule.noise` to
    `schedule.data`.

    Args:
        field: of the straight path, called as field(x, t, context).
        schedule: of the other one.

    Example:
        >>> from helpers.rings import OlympicRings
        >>> field = ScheduledField(RingsPath(OlympicRings()).velocity, VARIANCE_EXPLODING)
        >>> y, noisy = torch.tensor([[60.0, 30.0]]), 60.0
        >>> field.predict("noise", y, noisy).round(decimals=1)  # nearly all of it is noise
        tensor([[1.0000, 0.5000]])
    """

    def __init__(self, field: Callable[..., Tensor], schedule: Schedule) -> None:
        self.field, self.schedule = field, schedule

    def __call__(
        self, y: Float[Tensor, "batch dim"], r: Time, context: Context = None
    ) -> Float[Tensor, "batch dim"]:
        """The velocity dy/dr."""
        return self.predict("velocity", y, r, context)

    def predict(
        self, kind: str, y: Float[Tensor, "batch dim"], r: Time, context: Context = None
    ) -> Float[Tensor, "batch dim"]:
        """Velocity, noise, data or score at the points y and the own time r, one for all or (batch,).

        Raises:
            TypeError: points or a context of a wrong type.
            ValueError: points that are not finite; another kind; what the field itself refuses.
        """
        x, t, at = self._straight(y, r)
        x, t = x.to(y.dtype), t.to(y.dtype)
        u, t = self.field(x, t, context), t[..., None]
        return _made_of(x + (1 - t) * u, x - t * u, kind, at)

    def _straight(self, y: Tensor, r: Time) -> tuple[Tensor, Tensor, Moment]:
        """The point and the time of the straight path, in float64, and the schedule there."""
        require_points(y, name="y")
        require_finite(y, "y")
        at = self.schedule.at(r)
        scale = at.alpha + at.sigma
        return y.double() / scale.to(y.device)[..., None], (at.alpha / scale).to(y.device), at


class ScheduledPath(ScheduledField):
    """An exact path under another schedule: the field, the density, samples and the least loss.

    Args:
        path: the straight path, of the rings or of the points of a table.
        schedule: of the other one.

    Example:
        >>> from helpers.rings import OlympicRings
        >>> path = ScheduledPath(RingsPath(OlympicRings()), COSINE)
        >>> y, x0, x1, ring = path.sample(100, 0.5)
        >>> torch.allclose(y, 0.5**0.5 * (x0 + x1), atol=1e-6)
        True
    """

    def __init__(self, path: RingsPath | EmpiricalPath, schedule: Schedule) -> None:
        super().__init__(path.velocity, schedule)
        self.path = path

    def sample(self, n: int, r: Time, *given: Tensor) -> tuple[Tensor, ...]:
        """Draw n points y, and what the path's own `sample` returns beside its points: x0, x1, labels."""
        at = self.schedule.at(r)
        x, *rest = self.path.sample(n, self.schedule.time(r), *given)
        return (x * (at.alpha + at.sigma)[..., None]).to(x.dtype), *rest

    def log_prob(self, y: Float[Tensor, "batch dim"], r: Time, *given: Tensor) -> Float[Tensor, " batch"]:
        """Log-density of y in nats: that of the straight path, less dim times log(alpha + sigma)."""
        x, t, at = self._straight(y, r)
        log_scale = (at.alpha + at.sigma).log()
        return (self.path.log_prob(x, t, *given) - y.shape[1] * log_scale).to(y.dtype)

    def loss_floor_at(self, r: float, by_class: bool = False) -> float:
        """Least loss of a velocity dy/dr at one time; for `RingsPath`, which has a `loss_floor_at`."""
        at = self.schedule.at(r)
        pace = (at.alpha_rate * at.sigma - at.alpha * at.sigma_rate) / (at.alpha + at.sigma)
        return float(pace**2) * self.path.loss_floor_at(float(self.schedule.time(r)), by_class)
