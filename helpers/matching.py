"""Flow matching: a velocity field is learned by regression on the velocities of straight lines.

A noise point x0 and a data point x1 are joined by a straight line, on which x_t = (1 - t) x0 + t x1 moves
with the velocity x1 - x0. The mean of these velocities over all lines through a place at a time is a field
that carries the noise to the data, and least squares learn a mean. No equation is solved in training.

Source: Lipman, Chen, Ben-Hamu, Nickel and Le, "Flow matching for generative modeling" (2023).
"""

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.nn import functional

from helpers.flows import periodic_features, zero_ended_network
from helpers.inputs import require_count, require_points, require_positive, require_rings, require_time

__all__ = ["VelocityField", "independent_pairs", "matching_loss", "spread_times"]

Ring = Int[Tensor, " batch"] | None
Time = int | float | Float[Tensor, ""] | Float[Tensor, " batch"]


class VelocityField(nn.Module):
    """A learned velocity v(x, t), without or with class labels.

    A network of sines and cosines of the point and of the time, added to a field that is known:

        v(x, t) = (2 t - 1) / (t^2 + (1 - t)^2) x + network(x, t)

    The first part is the exact velocity for independent pairs where the data too are N(0, I); the rings
    have that mean and, on average over the two coordinates, that variance. The network's last layer starts
    at zero, so that training begins there.

    With classes there is one label more, the null class, for "any class": it is what `ring=None` means.
    It is learned only where training drops labels.

    Args:
        dim: dimension of a point.
        hidden: width of the network's hidden layers.
        depth: number of hidden layers.
        classes: number of class labels that the network may be told, or 0 for none.
        frequencies: how many sines and cosines of each coordinate it sees, or 0 for none.
        time_frequencies: how many sines and cosines of the time it sees, or 0 for none.
        smooth: SiLU, so that the field is smooth, and a solver of order 4 converges at order 4 also where it
            integrates the divergence. Otherwise LeakyReLU: a step of training is somewhat cheaper, but a
            field with kinks has a divergence with jumps.

    Example:
        >>> field = VelocityField(classes=5)
        >>> field(torch.zeros(3, 2), 0.5, ring=torch.tensor([0, 1, 4])).shape
        torch.Size([3, 2])
    """

    def __init__(
        self,
        dim: int = 2,
        hidden: int = 96,
        depth: int = 3,
        classes: int = 0,
        frequencies: int = 8,
        time_frequencies: int = 4,
        smooth: bool = True,
    ) -> None:
        super().__init__()
        require_count(dim, "dim")
        require_count(hidden, "hidden")
        require_count(depth, "depth")
        require_count(classes, "classes", least=0)
        require_count(frequencies, "frequencies", least=0)
        require_count(time_frequencies, "time_frequencies", least=0)
        self.dim, self.classes = dim, classes
        self.frequencies, self.time_frequencies = frequencies, time_frequencies
        labels = classes + 1 if classes else 0
        inputs = dim * (1 + 2 * frequencies) + 1 + 2 * time_frequencies + labels
        activation = nn.SiLU if smooth else nn.LeakyReLU
        self.network = zero_ended_network(inputs, hidden, depth, dim, activation)
        if smooth:
            # With twice the weights SiLU bends twice as fast, which the edges of the rings need.
            with torch.no_grad():
                for layer in self.network[::2]:
                    layer.weight.mul_(2)

    def forward(
        self, x: Float[Tensor, "batch dim"], t: Time, ring: Ring = None
    ) -> Float[Tensor, "batch dim"]:
        """The velocity at the points x and the time or times t.

        Args:
            x: (batch, dim) points.
            t: one time in [0, 1] for all points, or (batch,) times.
            ring: (batch,) labels in 0..classes, the last of them the null class; None for the null class
                everywhere.

        Raises:
            TypeError, ValueError: points, times or labels that do not fit this field.
        """
        self._require_input(x, t, ring)
        t = torch.as_tensor(t, dtype=x.dtype, device=x.device).expand(len(x))[:, None]
        seen = [
            periodic_features(x, self.frequencies),
            periodic_features(t, self.time_frequencies, reach=1.0),
        ]
        if self.classes:
            if ring is None:
                ring = torch.full((len(x),), self.classes, device=x.device)
            seen.append(functional.one_hot(ring, self.classes + 1).to(x.dtype))
        return (2 * t - 1) / (t**2 + (1 - t) ** 2) * x + self.network(torch.cat(seen, dim=1))

    def _require_input(self, x: Tensor, t: Time, ring: Ring) -> None:
        require_points(x, self.dim)
        weight = self.network[0].weight
        if x.dtype != weight.dtype:
            raise TypeError(f"x has dtype {x.dtype}; this model computes in {weight.dtype}")
        require_time(t, len(x), end=True)
        if ring is not None:
            if not self.classes:
                raise ValueError("ring is given, but this field was built without classes")
            require_rings(ring, len(x), self.classes + 1)


def independent_pairs(
    x1: Float[Tensor, "batch dim"], ring: Ring = None
) -> tuple[Float[Tensor, "batch dim"], Float[Tensor, "batch dim"], Ring]:
    """Pair every data point with a noise point of its own, drawn from N(0, I).

    A pairing is any function (x1, ring) -> (x0, x1, ring) that returns noise points next to data points
    and their labels; one that looks at the noise before it pairs can take the place of this one.

    Raises:
        TypeError, ValueError: `x1` is not floating-point points.

    Example:
        >>> x1 = torch.ones(4, 2)
        >>> x0, x1, ring = independent_pairs(x1)
        >>> x0.shape, ring
        (torch.Size([4, 2]), None)
    """
    require_points(x1, x1.shape[-1] if isinstance(x1, Tensor) and x1.ndim else 1, "x1")
    # Drawn on the CPU, so that a seed means the same on every device.
    return torch.randn(x1.shape, dtype=x1.dtype).to(x1.device), x1, ring


def spread_times(n: int, late: float = 1.0) -> Float[Tensor, " n"]:
    """Draw n times in [0, 1], one from each n-th of them.

    Each n-th is as likely as any other, and each time uniform in its n-th: a mean over the times is right
    on average, and scatters less than one over times that are drawn without regard for each other.

    Args:
        n: how many.
        late: 1 for times with equal density everywhere. Above 1 they crowd towards time 1, like
            1 - (1 - u)^late for even u; their density is proportional to (1 - t)^(1 / late - 1).

    Raises:
        TypeError, ValueError: `n` is no whole number above 0, or `late` is not above 0.

    Example:
        >>> _ = torch.manual_seed(0)
        >>> (spread_times(4) * 4).floor()
        tensor([0., 1., 2., 3.])
    """
    require_count(n)
    require_positive(late, "late")
    even = (torch.arange(n) + torch.rand(n)) / n
    return 1 - (1 - even) ** late


def matching_loss(
    field: nn.Module,
    x0: Float[Tensor, "batch dim"],
    x1: Float[Tensor, "batch dim"],
    ring: Ring = None,
    drop: float = 0.0,
    late: float = 1.0,
) -> Float[Tensor, ""]:
    """The flow-matching loss of a batch of pairs, each at one random time.

    The squared distance between the velocity x1 - x0 of the line and the field's at x_t, summed over the
    coordinates and averaged over the pairs. It does not fall to 0, for lines of many velocities cross.

    Args:
        field: called as field(x, t, ring).
        x0, x1: (batch, dim) noise and data points, paired row by row.
        ring: (batch,) labels of the data points, or None.
        drop: the share of labels that is replaced, at random, by the field's null class.
        late: above 1, times near 1 are drawn more often than early ones; see `spread_times`. The field
            that is best is the same, but the loss is another number.

    Raises:
        TypeError, ValueError: points that are no pairs, or labels that do not fit; a share outside [0, 1];
            labels to drop where there are none.

    Source: Lipman et al., "Flow matching for generative modeling" (2023), equation 23 without the smallest
    noise; dropping labels: Ho and Salimans, "Classifier-free diffusion guidance" (2022).

    Example:
        >>> _ = torch.manual_seed(0)
        >>> x0, x1, _ = independent_pairs(torch.randn(1000, 2))
        >>> bool(matching_loss(VelocityField(), x0, x1) < 4)
        True
    """
    require_points(x0, x0.shape[-1] if isinstance(x0, Tensor) and x0.ndim else 1, "x0")
    require_points(x1, x0.shape[1], "x1")
    if len(x0) != len(x1):
        raise ValueError(f"x0 has {len(x0)} points and x1 has {len(x1)}; they must be paired")
    if not isinstance(drop, (int, float)) or not 0 <= drop <= 1:
        raise ValueError(f"drop is {drop!r}; it must be a share from 0 to 1")
    if drop and ring is None:
        raise ValueError(f"drop is {drop}, but ring is missing: there are no labels to drop")
    if drop:
        ring = torch.where(torch.rand(len(ring)).to(x1.device) < drop, field.classes, ring)
    t = spread_times(len(x1), late).to(x1)
    xt = x0 + t[:, None] * (x1 - x0)
    return (x1 - x0 - field(xt, t, ring)).square().sum(1).mean()
