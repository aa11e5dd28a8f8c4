"""Flow matching: a velocity field is learned by regression on the velocities of straight lines.

A noise point x0 and a data point x1 are joined by a straight line, on which x_t = (1 - t) x0 + t x1 moves
with the velocity x1 - x0. The mean of these velocities over all lines through a place at a time is a field
that carries the noise to the data, and least squares learn a mean. No equation is solved in training.

Source: Lipman, Chen, Ben-Hamu, Nickel and Le, "Flow matching for generative modeling" (2023).
"""

import numbers
from collections.abc import Callable

import torch
from jaxtyping import Float
from torch import Tensor, nn

from helpers.networks import Context, context_features, periodic_features, zero_ended_network
from helpers.validation import (
    require_context,
    require_count,
    require_labels,
    require_points,
    require_positive,
    require_time,
)

__all__ = ["VelocityField", "independent_pairs", "matching_loss", "spread_times"]

Time = int | float | Float[Tensor, ""] | Float[Tensor, " batch"]
Pairs = tuple[Float[Tensor, "batch dim"], Float[Tensor, "batch dim"], Context]


class VelocityField(nn.Module):
    """A learned velocity v(x, t), told nothing else, a class label, or real numbers.

    A network of sines and cosines of the point and of the time, added to a field that is known:

        v(x, t) = (2 t - 1) / (t^2 + (1 - t)^2) x + network(x, t)

    The first part, a head start, is the exact velocity for independent pairs where the data too are N(0, I);
    the rings have that mean and, on average over the two coordinates, that variance. The network's last layer
    starts at zero, so that training begins there.

    With classes there is one label more, the null class, for "any class": it is what `context=None` means.
    It is learned only where training drops labels.

    Args:
        dim: dimension of a point.
        hidden: width of the network's hidden layers.
        depth: number of hidden layers.
        classes: number of class labels that the network is told, or 0 for none.
        features: how many real numbers it is told beside each point, or 0 for none.
        frequencies: how many sines and cosines of each coordinate it sees, or 0 for none.
        time_frequencies: how many sines and cosines of the time it sees, or 0 for none.
        smooth: SiLU, so that the field is smooth, and a solver of order 4 converges at order 4 also where it
            integrates the divergence. Otherwise LeakyReLU: a step of training is somewhat cheaper, but a
            field with kinks has a divergence with jumps.
        head_start: whether the known field is added; without it, training begins at no motion at all, which
            is nearer to what pairs by least distance ask for.

    Raises:
        TypeError: a size that is no whole number.
        ValueError: a size that is too small, or both classes and features.

    Example:
        >>> field = VelocityField(classes=5)
        >>> field(torch.zeros(3, 2), 0.5, context=torch.tensor([0, 1, 4])).shape
        torch.Size([3, 2])
    """

    def __init__(
        self,
        dim: int = 2,
        hidden: int = 96,
        depth: int = 3,
        classes: int = 0,
        features: int = 0,
        frequencies: int = 8,
        time_frequencies: int = 4,
        smooth: bool = True,
        head_start: bool = True,
    ) -> None:
        super().__init__()
        require_count(dim, "dim")
        require_count(hidden, "hidden")
        require_count(depth, "depth")
        require_count(classes, "classes", least=0)
        require_count(features, "features", least=0)
        require_count(frequencies, "frequencies", least=0)
        require_count(time_frequencies, "time_frequencies", least=0)
        if classes and features:
            raise ValueError(f"classes is {classes} and features is {features}; one of them must be 0")
        self.dim, self.classes, self.features = dim, classes, features
        self.frequencies, self.time_frequencies = frequencies, time_frequencies
        self.labels, self.head_start = classes + 1 if classes else 0, head_start
        inputs = dim * (1 + 2 * frequencies) + 1 + 2 * time_frequencies + self.labels + features
        activation = nn.SiLU if smooth else nn.LeakyReLU
        self.network = zero_ended_network(inputs, hidden, depth, dim, activation)
        if smooth:
            # With twice the weights SiLU bends twice as fast, which the edges of the rings need.
            with torch.no_grad():
                for layer in self.network[::2]:
                    layer.weight.mul_(2)

    def forward(
        self, x: Float[Tensor, "batch dim"], t: Time, context: Context = None
    ) -> Float[Tensor, "batch dim"]:
        """The velocity at the points x and the time or times t.

        Args:
            x: (batch, dim) points.
            t: one time in [0, 1] for all points, or (batch,) times.
            context: (batch,) labels in 0..classes, the last of them the null class, and None for the null
                class everywhere; or (batch, features) real numbers.

        Raises:
            TypeError: points, times or a context of a wrong type.
            ValueError: points of another dim; times outside [0, 1]; a context that is missing, not asked for,
                of another shape or out of range.
        """
        require_points(x, self.dim, dtype=self.network[0].weight.dtype)
        require_time(t, len(x), end=True)
        if self.classes and context is None:
            context = torch.full((len(x),), self.classes, device=x.device)
        require_context(context, len(x), self.labels, self.features)
        t = torch.as_tensor(t, dtype=x.dtype, device=x.device).expand(len(x))[:, None]
        seen = [
            periodic_features(x, self.frequencies),
            periodic_features(t, self.time_frequencies, reach=1.0),
        ]
        if context is not None:
            seen.append(context_features(context, self.labels, x.dtype))
        v = self.network(torch.cat(seen, dim=1))
        return (2 * t - 1) / (t**2 + (1 - t) ** 2) * x + v if self.head_start else v

    def extra_repr(self) -> str:
        """The settings, as they stand in a saved model's identity."""
        names = ("dim", "classes", "features", "frequencies", "time_frequencies")
        settings = [f"{name}={getattr(self, name)}" for name in names]
        return ", ".join(settings + ["head_start=False"] * (not self.head_start))


def independent_pairs(x1: Float[Tensor, "batch dim"], context: Context = None) -> Pairs:
    """Pair every data point with a noise point of its own, drawn from N(0, I).

    A pairing is any function (x1, context) -> (x0, x1, context) that returns noise points next to data points
    and what is told of them; one that looks at the noise before it pairs can take the place of this one.

    Raises:
        TypeError: `x1` is no floating-point tensor.
        ValueError: its shape is not (batch, dim).

    Example:
        >>> x1 = torch.ones(4, 2)
        >>> x0, x1, context = independent_pairs(x1)
        >>> x0.shape, context
        (torch.Size([4, 2]), None)
    """
    require_points(x1, name="x1")
    # Drawn on the CPU, so that a seed means the same on every device.
    return torch.randn(x1.shape, dtype=x1.dtype, device="cpu").to(x1.device), x1, context


def spread_times(n: int, late: float = 1.0) -> Float[Tensor, " n"]:
    """Draw n times in [0, 1], (n,), one from each n-th of them, on the CPU.

    Each n-th is as likely as any other, and each time uniform in its n-th: a mean over the times is right
    on average, and scatters less than one over times that are drawn without regard for each other.

    Args:
        n: how many.
        late: 1 for times with equal density everywhere. Above 1 they crowd towards time 1, like
            1 - (1 - u)^late for even u; their density is proportional to (1 - t)^(1 / late - 1).

    Raises:
        TypeError: `n` is no whole number, or `late` no number.
        ValueError: `n` is below 1, or `late` is not above 0.

    Example:
        >>> _ = torch.manual_seed(0)
        >>> (spread_times(4) * 4).floor()
        tensor([0., 1., 2., 3.])
    """
    require_count(n)
    require_positive(late, "late")
    even = (torch.arange(n, device="cpu") + torch.rand(n, device="cpu")) / n
    return 1 - (1 - even) ** late


def matching_loss(
    field: Callable[..., Tensor],
    x0: Float[Tensor, "batch dim"],
    x1: Float[Tensor, "batch dim"],
    context: Context = None,
    drop: float = 0.0,
    late: float = 1.0,
) -> Float[Tensor, ""]:
    """The flow-matching loss of a batch of pairs, each at one random time.

    The squared distance between the velocity x1 - x0 of the line and the field's at x_t, summed over the
    coordinates and averaged over the pairs; it is no number of nats. It does not fall to 0, for lines of many
    velocities cross.

    Args:
        field: called as field(x, t, context).
        x0, x1: (batch, dim) noise and data points, paired row by row.
        context: what the field is told of each data point, (batch,) labels or (batch, features), or None.
        drop: the share of labels that is replaced, at random, by the field's null class.
        late: above 1, times near 1 are drawn more often than early ones; see `spread_times`. The field
            that is best is the same, but the loss is another number.

    Raises:
        TypeError: points or a context of a wrong type; `drop` or `late` is no number.
        ValueError: points that are no pairs, or none; a context that does not fit; a share outside [0, 1];
            labels to drop where there are none; a field that returns another shape than x1.

    Source: Lipman et al., "Flow matching for generative modeling" (2023), equation 23 without the smallest
    noise; dropping labels: Ho and Salimans, "Classifier-free diffusion guidance" (2022).

    Example:
        >>> _ = torch.manual_seed(0)
        >>> x0, x1, _ = independent_pairs(torch.randn(1000, 2))
        >>> bool(matching_loss(VelocityField(), x0, x1) < 4)
        True
    """
    require_points(x0, name="x0")
    require_points(x1, x0.shape[1], "x1")
    if len(x0) != len(x1):
        raise ValueError(f"x0 has {len(x0)} points and x1 has {len(x1)}; they must be paired")
    require_count(len(x1), "the number of pairs")
    if not isinstance(drop, numbers.Real) or isinstance(drop, bool):
        raise TypeError(f"drop is {drop!r}; it must be a number")
    if not 0 <= drop <= 1:
        raise ValueError(f"drop is {drop}; it must be a share from 0 to 1")
    if drop:
        if context is None:
            raise ValueError(f"drop is {drop}, but context is missing: there are no labels to drop")
        require_labels(context, len(x1), field.classes + 1, "context")
        dropped = torch.rand(len(x1), device="cpu").to(x1.device) < drop
        context = torch.where(dropped, field.classes, context)
    t = spread_times(len(x1), late).to(x1)
    xt = x0 + t[:, None] * (x1 - x0)
    v = field(xt, t, context)
    if v.shape != xt.shape:
        raise ValueError(
            f"the field returned shape {tuple(v.shape)}; it must be that of x1, {tuple(xt.shape)}"
        )
    return (x1 - x0 - v).square().sum(1).mean()
