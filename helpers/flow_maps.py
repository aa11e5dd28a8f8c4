"""Flow maps: one network that carries points from time s to time t in one call, and what it is trained on.

The flow map of a field takes a point at time s to where the field has carried it by time t. It is written
with its mean velocity v(x, s, t), as X(x, s, t) = x + (t - s) v(x, s, t), so that nothing moves where t = s.
It satisfies three equations, and each says what the mean velocity has to be, given what it is elsewhere.
Training is a regression on what they say, as if it were known: no gradient flows through a target.

Source: Boffi, Albergo and Vanden-Eijnden, "How to build a consistency model: learning flow maps via
self-distillation" (2025), where the three are named.
"""

from collections.abc import Callable
from itertools import pairwise

import torch
from jaxtyping import Float
from torch import Tensor, nn

from helpers.matching import spread_times
from helpers.networks import periodic_features, zero_ended_network
from helpers.validation import require_count, require_points, require_time

__all__ = [
    "EQUATIONS",
    "FlowMap",
    "eulerian_target",
    "flow_map_loss",
    "lagrangian_target",
    "ordered_times",
    "semigroup_gap",
    "semigroup_target",
]

Time = int | float | Float[Tensor, ""] | Float[Tensor, " batch"]
Times = Float[Tensor, " batch"]
Field = Callable[..., Tensor]  # called as field(x, t)
Map = Callable[..., Tensor]  # called as flow_map(x, s, t), it returns mean velocities
# Rates are differences over this much time before and after, which costs two calls of the network; in float32
# a shorter one would show rounding, and a longer one the bends of the network.
SPAN = 2e-3
EQUATIONS = ("lagrangian", "semigroup", "eulerian")


class FlowMap(nn.Module):
    """A learned mean velocity v(x, s, t), and the jumps that it makes.

    A network of sines and cosines of the point and of both times, added to a mean velocity that is known:

        v(x, s, t) = 2 (s + t - 1) / (r_s (r_s + r_t)) x + network(x, s, t),  r_t^2 = t^2 + (1 - t)^2.

    The first part is exact for independent pairs where the data too are N(0, I). The network's last layer
    starts at zero, so that training begins there, with jumps from noise to noise.

    Args:
        dim: dimension of a point.
        hidden, depth: width and number of the network's hidden layers.
        frequencies, time_frequencies: how many sines and cosines of each coordinate and of each time it sees.
        smooth: SiLU or, if not, LeakyReLU, whose kinks suit the edges of a one-step map.

    Raises:
        TypeError: a size that is no whole number.
        ValueError: a size that is too small.

    Example:
        >>> flow_map = FlowMap()
        >>> x = torch.tensor([[0.5, 1.0]])
        >>> flow_map.jump(x, 0.0, 1.0).detach()  # untrained: from noise to the same noise
        tensor([[0.5000, 1.0000]])
    """

    def __init__(
        self,
        dim: int = 2,
        hidden: int = 96,
        depth: int = 3,
        frequencies: int = 8,
        time_frequencies: int = 2,
        smooth: bool = True,
    ) -> None:
        super().__init__()
        for name, size in (("dim", dim), ("hidden", hidden), ("depth", depth)):
            require_count(size, name)
        for name, size in (("frequencies", frequencies), ("time_frequencies", time_frequencies)):
            require_count(size, name, least=0)
        self.dim = dim
        self.frequencies, self.time_frequencies = frequencies, time_frequencies
        inputs = dim * (1 + 2 * frequencies) + 2 * (1 + 2 * time_frequencies)
        activation = nn.SiLU if smooth else nn.LeakyReLU
        self.network = zero_ended_network(inputs, hidden, depth, dim, activation)
        if smooth:  # as in `VelocityField`: with twice the weights SiLU bends twice as fast
            with torch.no_grad():
                for layer in self.network[::2]:
                    layer.weight.mul_(2)

    def forward(self, x: Float[Tensor, "batch dim"], s: Time, t: Time) -> Float[Tensor, "batch dim"]:
        """The mean velocity between times s and t of the points that are at x at time s; at t = s, the field.

        Args:
            x: (batch, dim) points at time s.
            s, t: one time in [0, 1] for all points each, or (batch,) times.

        Raises:
            TypeError: points or times of a wrong type.
            ValueError: points of another dim; times outside [0, 1].
        """
        require_points(x, self.dim, dtype=self.network[0].weight.dtype)
        require_time(s, len(x), end=True, name="s")
        require_time(t, len(x), end=True)
        s, t = (torch.as_tensor(a, dtype=x.dtype, device=x.device).expand(len(x))[:, None] for a in (s, t))
        r_s, r_t = ((a**2 + (1 - a) ** 2).sqrt() for a in (s, t))
        seen = torch.cat(
            [periodic_features(x, self.frequencies)]
            + [periodic_features(a, self.time_frequencies, reach=1.0) for a in (s, t)],
            dim=1,
        )
        return 2 * (s + t - 1) / (r_s * (r_s + r_t)) * x + self.network(seen)

    def field(
        self, x: Float[Tensor, "batch dim"], t: Time, context: None = None
    ) -> Float[Tensor, "batch dim"]:
        """Its own velocity v(x, t, t), a field that every solver takes; there is no context."""
        return self(x, t, t)

    def jump(self, x: Float[Tensor, "batch dim"], s: Time, t: Time) -> Float[Tensor, "batch dim"]:
        """Where the points at x at time s are at time t, by one call of the network."""
        return x + _column(t - s, x) * self(x, s, t)

    def carry(self, x: Float[Tensor, "batch dim"], steps: int = 1) -> Float[Tensor, "batch dim"]:
        """From noise at time 0 to data at time 1, by so many equal jumps.

        Raises:
            TypeError, ValueError: as `forward`; a number of steps that is not whole, or below 1.
        """
        require_count(steps, "steps")
        for s, t in pairwise(torch.linspace(0, 1, steps + 1).tolist()):
            x = self.jump(x, s, t)
        return x

    def extra_repr(self) -> str:
        """The settings, as they stand in a saved model's identity."""
        names = ("dim", "frequencies", "time_frequencies")
        return ", ".join(f"{name}={getattr(self, name)}" for name in names)


def lagrangian_target(
    flow_map: Map, x: Float[Tensor, "batch dim"], s: Times, t: Times, field: Field
) -> Float[Tensor, "batch dim"]:
    """What the mean velocity is if the end of the jump moves with the field: field(X, t) - (t - s) dv/dt.

    Args:
        flow_map: a mean velocity, called as flow_map(x, s, t).
        x, s, t: points at times s (batch,), and the times t (batch,) of their ends.
        field: a teacher, or the map's own field.

    Source: Boffi, Albergo and Vanden-Eijnden (2025), Lagrangian self-distillation.
    """
    before, after = (t - SPAN).clamp(min=0), (t + SPAN).clamp(max=1)
    slope = (flow_map(x, s, after) - flow_map(x, s, before)) / _column(after - before, x)
    span = _column(t - s, x)
    return field(x + span * flow_map(x, s, t), t) - span * slope


def eulerian_target(
    flow_map: Map, x: Float[Tensor, "batch dim"], s: Times, t: Times, u: Float[Tensor, "batch dim"]
) -> Float[Tensor, "batch dim"]:
    """What the mean velocity is if the end stays where it is as the start moves on: u + (t - s) Dv.

    Dv is the rate of v at a start that moves with u, dv/ds + (dv/dx) u. It is linear in u.

    Args:
        flow_map, x, s, t: as for `lagrangian_target`.
        u: (batch, dim) the velocity of the start: a teacher's, or that of the line through it, whose mean is
            the field's.

    Source: Geng et al., "Mean flows for one-step generative modeling" (2025), the MeanFlow identity.
    """
    before, after = (s - SPAN).clamp(min=0), (s + SPAN).clamp(max=1)
    ahead = flow_map(x + _column(after - s, x) * u, after, t)
    behind = flow_map(x + _column(before - s, x) * u, before, t)
    return u + _column(t - s, x) * (ahead - behind) / _column(after - before, x)


def semigroup_target(
    flow_map: Map, x: Float[Tensor, "batch dim"], s: Times, m: Times, t: Times
) -> Float[Tensor, "batch dim"]:
    """What the mean velocity is if two jumps by way of time m make one: the mean of both, by their lengths.

    Args:
        flow_map, x, s, t: as for `lagrangian_target`.
        m: (batch,) times between s and t.

    Source: Frans et al., "One step diffusion via shortcut models" (2025), with m half-way.
    """
    first, second = _column(m - s, x), _column(t - m, x)
    v = flow_map(x, s, m)
    return (first * v + second * flow_map(x + first * v, m, t)) / (first + second)


def semigroup_gap(
    flow_map: FlowMap, x: Float[Tensor, "batch dim"], s: float = 0.0, m: float = 0.5, t: float = 1.0
) -> Float[Tensor, " batch"]:
    """Distance between the ends of one jump and of two, (batch,): zero for every flow map, right or wrong."""
    return (flow_map.jump(flow_map.jump(x, s, m), m, t) - flow_map.jump(x, s, t)).norm(dim=1)


def ordered_times(n: int) -> tuple[Times, Times]:
    """Draw n pairs of times s < t, each pair as likely as any other, on the CPU.

    Example:
        >>> s, t = ordered_times(100)
        >>> bool((s <= t).all())
        True
    """
    require_count(n)
    s, t = torch.rand(n, 2, device="cpu").sort(dim=1).values.unbind(1)
    return s, t


def flow_map_loss(
    flow_map: FlowMap,
    x0: Float[Tensor, "batch dim"],
    x1: Float[Tensor, "batch dim"],
    equation: str,
    teacher: Field | None = None,
    diagonal: float = 0.5,
) -> Float[Tensor, ""]:
    """The loss of a batch of pairs: flow matching where t = s, and one of the three equations elsewhere.

    Args:
        flow_map: the network that is trained.
        x0, x1: (batch, dim) noise and data points, paired row by row.
        equation: one of EQUATIONS.
        teacher: a field, called as teacher(x, t), that takes the place of what is learned at t = s; without
            it the map learns its own field from the lines' velocities x1 - x0.
        diagonal: the share of the pairs for which t = s.

    Raises:
        TypeError: points of a wrong type.
        ValueError: points that are no pairs, or none; an unknown equation; a share outside [0, 1].

    Example:
        >>> _ = torch.manual_seed(0)
        >>> loss = flow_map_loss(FlowMap(), torch.randn(100, 2), torch.randn(100, 2), "semigroup")
        >>> bool(loss < 4)
        True
    """
    require_points(x0, name="x0")
    require_points(x1, x0.shape[1], "x1")
    if len(x0) != len(x1):
        raise ValueError(f"x0 has {len(x0)} points and x1 has {len(x1)}; they must be paired")
    require_count(len(x1), "the number of pairs")
    if equation not in EQUATIONS:
        raise ValueError(f"equation is {equation!r}; it must be one of {', '.join(EQUATIONS)}")
    if not 0 <= diagonal <= 1:
        raise ValueError(f"diagonal is {diagonal}; it must be a share from 0 to 1")
    s, t = ordered_times(len(x1))
    same = round(diagonal * len(x1))  # the rows come in random order
    if same:
        s[:same] = t[:same] = spread_times(same, late=2.0)  # late, as for a field
    s, t = s.to(x1), t.to(x1)
    x = x0 + _column(s, x1) * (x1 - x0)
    with torch.no_grad():
        line = x1 - x0 if teacher is None else teacher(x, s)
        part = x[same:], s[same:], t[same:]
        if equation == "lagrangian":
            target = lagrangian_target(flow_map, *part, teacher or flow_map.field)
        elif equation == "eulerian":
            target = eulerian_target(flow_map, *part, line[same:])
        else:
            between = part[1] + torch.rand(len(x1) - same, device="cpu").to(x1) * (part[2] - part[1])
            target = semigroup_target(flow_map, part[0], part[1], between, part[2])
        target = torch.cat([line[:same], target])
    return (flow_map(x, s, t) - target).square().sum(1).mean()


def _column(span: Time, x: Tensor) -> Tensor:
    return torch.as_tensor(span, dtype=x.dtype, device=x.device).expand(len(x))[:, None]
