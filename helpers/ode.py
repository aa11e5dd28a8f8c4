"""Ordinary differential equations: a velocity field carries points from noise to data and back.

A field is anything that is called as `field(x, t, context)`, for points x (batch, dim), a time t (a tensor
without dimensions, of the points' type) and what the field is told beside them, or None, and returns the
velocities (batch, dim). Time 0 is noise and time 1 is data; an integral may run either way.
"""

import math
from collections import deque
from collections.abc import Callable, Iterator
from itertools import pairwise

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torchdiffeq import odeint

from helpers.distributions import StandardNormal
from helpers.networks import Context
from helpers.validation import (
    require_count,
    require_finite,
    require_one_each,
    require_points,
    require_positive,
)

__all__ = [
    "ContinuousFlow",
    "METHODS",
    "TITLES",
    "integrate",
    "integrate_adaptive",
    "log_prob",
    "trajectory",
    "velocity_and_divergence",
]

Field = Callable[..., Tensor]
# How many equal steps; or all the times, from the first to the last, that the steps run between.
Steps = int | Float[Tensor, " times"]


MOST_CALLS = 100_000  # of a field by the adaptive method; those of the book take a few hundred


def _euler(f: Field, x: Tensor, t: float, h: float) -> Tensor:
    return x + h * f(x, t)


def _midpoint(f: Field, x: Tensor, t: float, h: float) -> Tensor:
    return x + h * f(x + h / 2 * f(x, t), t + h / 2)


def _rk4(f: Field, x: Tensor, t: float, h: float) -> Tensor:
    k1 = f(x, t)
    k2 = f(x + h / 2 * k1, t + h / 2)
    k3 = f(x + h / 2 * k2, t + h / 2)
    k4 = f(x + h * k3, t + h)
    return x + h / 6 * (k1 + 2 * k2 + 2 * k3 + k4)


# One step from (x, t) over a span of time h; they call the field once, twice and four times. Euler and the
# midpoint method never look at the end of a span; RK4 does: its last step asks for the field at t1 itself.
METHODS: dict[str, Callable[[Field, Tensor, float, float], Tensor]] = {
    "euler": _euler,
    "midpoint": _midpoint,
    "rk4": _rk4,
}
TITLES = {"euler": "Euler", "midpoint": "midpoint", "rk4": "RK4"}  # as the text writes them


def integrate(
    field: Field,
    x: Float[Tensor, "batch dim"],
    steps: Steps,
    method: str = "rk4",
    t0: float = 0.0,
    t1: float = 1.0,
    context: Context = None,
    gradients: bool = False,
) -> Float[Tensor, "batch dim"]:
    """Where the field has carried the points at time t1 that are at x at time t0.

    Args:
        field: called as field(x, t, context); see the top of this file.
        x: (batch, dim) points at t0.
        steps: how many equal steps; or the times (steps + 1,) to step between, rising or falling, which
            then stand in for t0 and t1.
        method: "euler" (order 1), "midpoint" (order 2) or "rk4" (order 4). Only "rk4" asks the field for t1
            itself; a field that is defined on [0, 1) alone takes the other two up to t1 = 1.
        t0, t1: from when to when; t1 below t0 runs backward.
        context: what the field is told, such as labels (batch,); handed to it as it is.
        gradients: whether autograd may see through the result. Off, no step is remembered.

    Returns:
        (batch, dim) the points at t1; infinite or nan where the field carries them beyond all bounds, which
        `integrate_adaptive` refuses.

    Raises:
        TypeError: x is no floating-point tensor; a number of steps that is not whole.
        ValueError: x is not finite points; fewer than one step; times that are not finite, or neither all
            rise nor all fall; t0 equal to t1; an unknown method; a field that returns another shape than x.

    Source: Hairer, Nørsett and Wanner, "Solving ordinary differential equations I" (1993), II.1.

    Example:
        >>> turn = lambda x, t, context: torch.pi * torch.stack([-x[:, 1], x[:, 0]], dim=1)
        >>> integrate(turn, torch.tensor([[1.0, 0.0]]), steps=20).round(decimals=3)
        tensor([[-1.,  0.]])
    """
    _require_start(x)
    with torch.set_grad_enabled(gradients):
        return _last(_states(_told(field, context, x), x, method, _spans(steps, t0, t1)))


@torch.no_grad()
def trajectory(
    field: Field,
    x: Float[Tensor, "batch dim"],
    steps: Steps,
    method: str = "rk4",
    t0: float = 0.0,
    t1: float = 1.0,
    context: Context = None,
) -> Float[Tensor, "times batch dim"]:
    """Where the points are before the first step and after every step, (steps + 1, batch, dim).

    The arguments and errors are those of `integrate`; the result carries no gradient.
    """
    _require_start(x)
    return torch.stack(list(_states(_told(field, context, x), x, method, _spans(steps, t0, t1))))


@torch.no_grad()
def integrate_adaptive(
    field: Field,
    x: Float[Tensor, "batch dim"],
    t0: float = 0.0,
    t1: float = 1.0,
    context: Context = None,
    tolerance: float = 1e-6,
) -> Float[Tensor, "batch dim"]:
    """Like `integrate`, by a method of order 5 that chooses its steps: torchdiffeq's dopri5.

    One size of step serves all points. `tolerance` bounds the error that a step may make, absolute and
    relative to the state. Arguments, result and errors are those of `integrate` otherwise.

    Raises:
        TypeError: as `integrate`; a tolerance that is no number.
        ValueError: as `integrate`; a tolerance that is not above 0.
        FloatingPointError: the field returns values that are not finite, or so steep ones that the steps
            become too short to go on, or that more than MOST_CALLS calls do not reach t1.

    Source: Dormand and Prince, "A family of embedded Runge-Kutta formulae" (1980).
    """
    _require_start(x)
    require_positive(tolerance, "tolerance")
    times = torch.tensor([t0, t1], dtype=x.dtype, device=x.device)
    _require_times(times.tolist())
    if not len(x):
        return x.clone()
    f, calls = _told(field, context, x), 0

    def guarded(t: Tensor, x: Tensor) -> Tensor:
        nonlocal calls
        calls += 1
        v = f(x, t.clamp(times.min(), times.max()))  # a guess at the first step may look past t1
        if not torch.isfinite(v).all():
            raise FloatingPointError(f"at t = {float(t):.6g} the field returned values that are not finite")
        if calls > MOST_CALLS:
            raise FloatingPointError(
                f"{MOST_CALLS} calls of the field led no further than t = {float(t):.6g}"
            )
        return v

    accuracy = {"rtol": tolerance, "atol": tolerance}
    stop = {"step_t": times[-1:]}  # or its last step goes past t1, where a field may have no values
    try:
        return odeint(guarded, x, times, **accuracy, method="dopri5", options=stop)[-1]
    except AssertionError as error:
        if not str(error).startswith(("underflow", "non-finite")):  # torchdiffeq's own words; not the field's
            raise
        raise FloatingPointError(f"the steps became too short: {error}; does the field blow up?") from error


def velocity_and_divergence(
    velocity: Callable[[Tensor], Tensor],
    x: Float[Tensor, "batch dim"],
    probe: Float[Tensor, "batch dim"] | None = None,
    gradients: bool = False,
) -> tuple[Float[Tensor, "batch dim"], Float[Tensor, " batch"]]:
    """The velocities at x, and their divergence: the trace of each point's Jacobian dv/dx.

    Exact where `probe` is None, at the price of one backward pass a dimension. Otherwise the estimate
    e' (dv/dx) e at one pass in all: right on average over probes e with mean 0 and covariance I.

    Args:
        velocity: maps points to velocities, each point for itself.
        x: (batch, dim) points.
        probe: (batch, dim) one probe e for each point, or None.
        gradients: whether autograd may see through the results.

    Returns:
        v: (batch, dim) the velocities.
        div: (batch,) their divergence, or its estimate.

    Raises:
        ValueError: the velocities have another shape than x, or do not tell autograd how they depend on x
            (found only where nothing else in them has a gradient).

    Source: Hutchinson, "A stochastic estimator of the trace of the influence matrix" (1989).

    Example:
        >>> v, div = velocity_and_divergence(lambda x: x * x, torch.tensor([[1.0, 2.0]]))
        >>> v, div
        (tensor([[1., 4.]]), tensor([6.]))
    """
    # Inference mode would hide all gradients; a tensor that was made in it has to be copied first.
    with torch.inference_mode(False), torch.enable_grad():
        x, probe = (part.clone() if part is not None and part.is_inference() else part for part in (x, probe))
        here = x if gradients and x.requires_grad else x.detach().requires_grad_()
        v = velocity(here)
        _require_like(v, x)
        if not v.requires_grad:
            raise ValueError(
                "the field hides from autograd how v depends on x (where it does not, add 0 * x)"
            )

        def pull_back(e: Tensor) -> Tensor:  # e' dv/dx, a row for each point
            return torch.autograd.grad(
                v, here, e, retain_graph=True, create_graph=gradients, materialize_grads=True
            )[0]

        if probe is not None:
            div = (pull_back(probe) * probe).sum(1)
        else:
            axes = torch.eye(x.shape[1], dtype=x.dtype, device=x.device)
            div = sum(pull_back(axis.expand_as(v))[:, i] for i, axis in enumerate(axes))
    return (v, div) if gradients else (v.detach(), div.detach())


def log_prob(
    field: Field,
    x: Float[Tensor, "batch dim"],
    steps: Steps,
    method: str = "rk4",
    context: Context = None,
    probe: Float[Tensor, "batch dim"] | None = None,
    base: nn.Module | None = None,
    gradients: bool = False,
    with_noise: bool = False,
) -> Float[Tensor, " batch"] | tuple[Float[Tensor, " batch"], Float[Tensor, "batch dim"]]:
    """Log-density in nats of the points that the field makes of noise, at x at time 1.

    Along a path, d log p / dt = -(divergence of the field). So the path of x is followed backward to the
    noise, together with the integral of the divergence over it:

        log p(x) = log base(x at time 0) - integral from 0 to 1 of the divergence dt.

    Args:
        field: called as field(x, t, context); it must let autograd through.
        x: (batch, dim) points at time 1.
        steps: how many equal steps back; or the times (steps + 1,) to step between, from 1 down to 0.
        method: as for `integrate`.
        context: what the field is told, such as labels (batch,): the density is the one given this context.
        probe: None for the exact divergence; or (batch, dim) random vectors with mean 0 and covariance I,
            one for each point, which is kept over all of its steps: log p is then right on average only.
        base: the distribution of the noise, with `log_prob(z)`; by default N(0, I).
        gradients: whether autograd may see through the result. Off, no step is remembered.
        with_noise: whether to return the noise points as well, which were found on the way.

    Returns:
        (batch,) log-densities; with `with_noise` a pair of these and of the noise points, (batch, dim).

    Raises:
        TypeError: as `integrate`.
        ValueError: as `integrate`; times that do not run from 1 to 0; a probe of another shape than x; a
            field that hides from autograd how it depends on x.

    Source: Chen, Rubanova, Bettencourt and Duvenaud, "Neural ordinary differential equations" (2018); the
    probe: Grathwohl et al., "FFJORD: free-form continuous dynamics for scalable reversible generative
    models" (2019).

    Example:
        >>> grow = lambda x, t, context: x  # all is e times as far out at time 1 as it was at time 0
        >>> log_prob(grow, torch.zeros(1, 2), steps=10)
        tensor([-3.8379])
        >>> StandardNormal(2).log_prob(torch.zeros(1, 2)) - 2
        tensor([-3.8379])
    """
    _require_start(x)
    spans = _spans(steps, 1.0, 0.0)
    if isinstance(steps, Tensor) and (steps[0] != 1 or steps[-1] != 0):
        raise ValueError("steps holds times that do not run from 1 down to 0, as the density needs them")
    if probe is not None:
        require_points(probe, name="probe", dtype=x.dtype)
    if probe is not None and probe.shape != x.shape:
        raise ValueError(f"probe has shape {tuple(probe.shape)}; it must be that of x, {tuple(x.shape)}")
    dim = x.shape[1]
    base = StandardNormal(dim) if base is None else base
    if isinstance(context, Tensor) and context.is_inference():
        with torch.inference_mode(False):
            context = context.clone()
    f = _told(field, context, x)

    def with_divergence(state: Tensor, t: float) -> Tensor:
        v, div = velocity_and_divergence(lambda x: f(x, t), state[:, :dim], probe, gradients)
        return torch.cat([v, div[:, None]], dim=1)

    with torch.set_grad_enabled(gradients):
        start = torch.cat([x, x.new_zeros(len(x), 1)], dim=1)
        state = _last(_states(with_divergence, start, method, spans))
        # The way led backward, so that its integral is already minus the one from 0 to 1.
        z = state[:, :dim]
        log_base = base.log_prob(z)
        require_one_each(log_base, len(x), "what base.log_prob returned")
        log_density = log_base + state[:, dim]
    return (log_density, z) if with_noise else log_density


class ContinuousFlow(nn.Module):
    """A field as a model of points: its density and its samples, each by as many steps.

    It can stand wherever a flow can, and as the base of a `NormalizingFlow`, whose layers then lead from
    its points to the columns of a table.

    Args:
        field: a velocity field with `dim`, called as field(x, t, context).
        steps, method: as for `integrate`.

    Example:
        >>> from helpers.matching import VelocityField
        >>> ContinuousFlow(VelocityField(dim=3), steps=4).sample(5).shape
        torch.Size([5, 3])
    """

    def __init__(self, field: nn.Module, steps: int = 16, method: str = "midpoint") -> None:
        super().__init__()
        require_count(steps, "steps")
        self.field, self.dim, self.steps, self.method = field, field.dim, steps, method

    def log_prob(self, x: Float[Tensor, "batch dim"], context: Context = None) -> Float[Tensor, " batch"]:
        """Log-density at x in nats; it raises what the function `log_prob` of this file does."""
        return log_prob(self.field, x, self.steps, self.method, context)

    @torch.no_grad()
    def sample(self, n: int, context: Context = None) -> Float[Tensor, "n dim"]:
        """Draw n points, (n, dim); it raises what `integrate` does, and where `n` is no whole number."""
        noise = StandardNormal(self.dim).sample(n).to(next(self.field.parameters(), torch.empty(0)))
        return integrate(self.field, noise, self.steps, self.method, context=context)


def _states(f: Field, x: Tensor, method: str, spans: list[tuple[float, float]]) -> Iterator[Tensor]:
    """Where the points are before the first step and after every step."""
    if method not in METHODS:
        raise ValueError(f"method is {method!r}; it must be one of {', '.join(METHODS)}")
    yield x
    for t, h in spans:
        x = METHODS[method](f, x, t, h)
        yield x


def _last(states: Iterator[Tensor]) -> Tensor:
    """The last of them, without keeping the others."""
    return deque(states, maxlen=1).pop()


def _told(field: Field, context: Context, start: Tensor) -> Field:
    """The field as a function f(x, t) of points and a time alone, which checks the shape it returns."""

    def f(x: Tensor, t: float | Tensor) -> Tensor:
        v = field(x, torch.as_tensor(t, dtype=start.dtype, device=start.device), context)
        _require_like(v, x)
        return v

    return f


def _spans(steps: Steps, t0: float, t1: float) -> list[tuple[float, float]]:
    """The start and the (signed) length of every step."""
    if isinstance(steps, Tensor):
        if steps.ndim != 1 or len(steps) < 2:
            raise ValueError(f"steps has shape {tuple(steps.shape)}; it must be two or more times in a row")
        times = steps.tolist()
    else:
        require_count(steps, "steps")
        times = torch.linspace(t0, t1, steps + 1, dtype=torch.float64, device="cpu").tolist()
    _require_times(times)
    return [(start, end - start) for start, end in pairwise(times)]


def _require_times(times: list[float]) -> None:
    lengths = [end - start for start, end in pairwise(times)]
    if not (all(h > 0 for h in lengths) or all(h < 0 for h in lengths)) or not math.isfinite(sum(times)):
        raise ValueError(f"times from {times[0]} to {times[-1]} must be finite, and all rise or all fall")


def _require_start(x: Tensor) -> None:
    require_points(x)
    require_finite(x)


def _require_like(v: Tensor, x: Tensor) -> None:
    if v.shape != x.shape:
        raise ValueError(f"the field returned shape {tuple(v.shape)}; it must be that of x, {tuple(x.shape)}")
