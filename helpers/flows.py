"""Normalizing flows: invertible layers that know their Jacobian, and the flow that chains them.

One direction throughout: `forward` maps noise z to data x, `inverse` maps x back to z. Each returns
the log-determinant of the Jacobian of the map that it computes, so the two have opposite signs.
"""

import math

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.nn import functional

from helpers.inputs import require_count, require_finite, require_points, require_positive, require_rings
from helpers.splines import Knots, rational_quadratic_spline, spline_knots

__all__ = [
    "AffineCoupling",
    "Coupling",
    "NormalizingFlow",
    "Permutation",
    "SplineCoupling",
    "StandardNormal",
    "UniformBox",
    "affine_flow",
    "periodic_features",
    "spline_flow",
    "zero_ended_network",
]

Ring = Int[Tensor, " batch"] | None
Mapped = tuple[Float[Tensor, "batch dim"], Float[Tensor, " batch"]]


class StandardNormal(nn.Module):
    """The base distribution N(0, I) in `dim` dimensions."""

    def __init__(self, dim: int = 2) -> None:
        super().__init__()
        self.dim = dim

    def log_prob(self, z: Float[Tensor, "batch dim"]) -> Float[Tensor, " batch"]:
        """Log-density in nats."""
        return -0.5 * z.square().sum(1) - 0.5 * self.dim * math.log(2 * math.pi)

    def sample(self, n: int) -> Float[Tensor, "n dim"]:
        """Draw n points, on the CPU (so that a seed means the same on every device)."""
        return torch.randn(n, self.dim)


class UniformBox(nn.Module):
    """The base distribution that is uniform on the box [-reach, reach]^dim.

    Its log-density has no slope that could lead a point back into the box: a flow on this base must map
    all data into it. Splines do, whose tails begin where the box ends.

    Example:
        >>> UniformBox(reach=2.0).log_prob(torch.tensor([[0.0, 2.0], [0.0, 2.1]]))
        tensor([-2.7726,    -inf])
    """

    def __init__(self, dim: int = 2, reach: float = 2.5) -> None:
        super().__init__()
        require_count(dim, "dim")
        require_positive(reach, "reach")
        self.dim, self.reach = dim, reach

    def log_prob(self, z: Float[Tensor, "batch dim"]) -> Float[Tensor, " batch"]:
        """Log-density in nats: -dim * log(2 reach) inside and on the edge, -inf outside."""
        # A spline may land some roundings beyond the edge, where a point that it moved still counts.
        edge = self.reach * (1 + 8 * torch.finfo(z.dtype).eps)
        inside = (z.detach().abs() <= edge).all(1)
        density = z.new_full((len(z),), -self.dim * math.log(2 * self.reach))
        return density.masked_fill(~inside, -math.inf)

    def sample(self, n: int) -> Float[Tensor, "n dim"]:
        """Draw n points, on the CPU (so that a seed means the same on every device)."""
        return self.reach * (2 * torch.rand(n, self.dim) - 1)


def periodic_features(
    a: Float[Tensor, "batch kept"], frequencies: int, reach: float = 3.0
) -> Float[Tensor, "batch features"]:
    """The coordinates themselves, and the sine and cosine of k pi a / reach for k = 1..frequencies.

    A network that sees only `a` learns slow functions first; waves of several lengths let it draw
    sharp ones. Returns (batch, kept * (1 + 2 frequencies)).

    Source: Tancik et al., "Fourier features let networks learn high frequency functions in low
    dimensional domains" (2020).

    Example:
        >>> periodic_features(torch.zeros(5, 1), frequencies=4).shape
        torch.Size([5, 9])
    """
    k = torch.arange(1, frequencies + 1, device=a.device, dtype=a.dtype) * (math.pi / reach)
    phase = (a[:, :, None] * k).flatten(1)
    return torch.cat([a, phase.sin(), phase.cos()], dim=1)


def zero_ended_network(
    inputs: int, hidden: int, depth: int, outputs: int, activation: type[nn.Module] = nn.LeakyReLU
) -> nn.Sequential:
    """A network of `depth` hidden layers of width `hidden`, whose last layer starts at zero.

    So a new coupling, which does nothing where its network says nothing, is the identity.
    """
    sizes = [inputs] + [hidden] * depth
    layers: list[nn.Module] = []
    for wide, next_wide in zip(sizes, sizes[1:]):
        layers += [nn.Linear(wide, next_wide), activation()]
    last = nn.Linear(hidden, outputs)
    nn.init.zeros_(last.weight)
    nn.init.zeros_(last.bias)
    return nn.Sequential(*layers, last)


class Coupling(nn.Module):
    """What every coupling has: a part that it keeps, a part that it moves, and a network that reads the one.

    The network sees the kept part, sines and cosines of it, and the class label where there is one. Its
    last layer starts at zero, so that a new coupling is the identity.

    Args:
        dim: dimension of a point; the first dim // 2 coordinates are kept.
        hidden: width of the network's hidden layers.
        depth: number of hidden layers.
        classes: number of class labels that the network may be told, or 0 for none.
        frequencies: how many sines and cosines of the kept part it sees, or 0 for none.
        reach: the longest wave has period 2 reach.
        numbers: how many numbers the network gives for each coordinate that is moved.

    Raises:
        TypeError, ValueError: a size that is no whole number, or too small.
    """

    def __init__(
        self, dim: int, hidden: int, depth: int, classes: int, frequencies: int, reach: float, numbers: int
    ) -> None:
        super().__init__()
        require_count(dim, "dim", least=2)
        require_count(hidden, "hidden")
        require_count(depth, "depth")
        require_count(classes, "classes", least=0)
        require_count(frequencies, "frequencies", least=0)
        require_positive(reach, "reach")
        self.dim, self.classes, self.frequencies, self.reach = dim, classes, frequencies, reach
        self.kept, self.moved = dim // 2, dim - dim // 2
        inputs = self.kept * (1 + 2 * frequencies) + classes
        self.network = zero_ended_network(inputs, hidden, depth, outputs=self.moved * numbers)

    def read(self, a: Float[Tensor, "batch kept"], ring: Ring = None) -> Float[Tensor, "batch moved numbers"]:
        """The network's numbers for each coordinate that is moved, read off the kept part."""
        seen = periodic_features(a, self.frequencies, self.reach)
        if self.classes:
            label = functional.one_hot(ring, self.classes).to(a.dtype)
            seen = torch.cat([seen, label], dim=1)
        return self.network(seen).unflatten(1, (self.moved, -1))


class AffineCoupling(Coupling):
    """Keep the first part of a point; let it scale and shift the second part.

    With z = (a, b):  x = (a, b * exp(log_scale(a)) + shift(a)).  The Jacobian is triangular, and its
    log-determinant is the sum of `log_scale`. One network gives both functions. `log_scale` is squashed
    to (-limit, limit): a chain of layers that may each stretch a lot breaks down in training.

    Source: Dinh, Sohl-Dickstein and Bengio, "Density estimation using Real NVP" (2017).

    Args:
        dim, hidden, depth, classes, frequencies: as for `Coupling`.
        limit: bound on the size of `log_scale`, in nats.

    Example:
        >>> layer = AffineCoupling()
        >>> x, log_det = layer(torch.ones(3, 2))
        >>> x.shape, log_det.shape
        (torch.Size([3, 2]), torch.Size([3]))
    """

    def __init__(
        self,
        dim: int = 2,
        hidden: int = 32,
        depth: int = 2,
        classes: int = 0,
        frequencies: int = 4,
        limit: float = 1.0,
    ) -> None:
        super().__init__(dim, hidden, depth, classes, frequencies, reach=3.0, numbers=2)
        require_positive(limit, "limit")
        self.limit = limit

    def log_scale_and_shift(
        self, a: Float[Tensor, "batch kept"], ring: Ring = None
    ) -> tuple[Float[Tensor, "batch moved"], Float[Tensor, "batch moved"]]:
        """The two functions of the kept part, each of shape (batch, moved)."""
        log_scale, shift = self.read(a, ring).unbind(2)
        return self.limit * log_scale.tanh(), shift

    def forward(self, z: Float[Tensor, "batch dim"], ring: Ring = None) -> Mapped:
        """Map z to x; return x and the log-determinant, (batch,).

        Raises:
            TypeError, ValueError: points or labels that do not fit this layer.
        """
        _require_input(self, z, ring, "z")
        a, b = z.split([self.kept, self.moved], dim=1)
        log_scale, shift = self.log_scale_and_shift(a, ring)
        return torch.cat([a, b * log_scale.exp() + shift], dim=1), log_scale.sum(1)

    def inverse(self, x: Float[Tensor, "batch dim"], ring: Ring = None) -> Mapped:
        """Map x back to z; return z and the log-determinant of this inverse map, (batch,).

        Raises:
            TypeError, ValueError: points or labels that do not fit this layer.
        """
        _require_input(self, x, ring, "x")
        a, b = x.split([self.kept, self.moved], dim=1)
        log_scale, shift = self.log_scale_and_shift(a, ring)
        return torch.cat([a, (b - shift) * (-log_scale).exp()], dim=1), -log_scale.sum(1)


class SplineCoupling(Coupling):
    """Keep the first part of a point; let it choose the splines that move the second part.

    With z = (a, b):  x = (a, b'), where b is the value at b' of a monotone rational-quadratic spline,
    one for each coordinate, whose knots a network reads off `a`. The spline is written down from data to
    noise: training goes this way only, and pays for no root; sampling solves a quadratic. The
    log-determinant is the sum of the splines' log-slopes. Outside [-reach, reach] nothing moves.

    Source: Durkan, Bekasov, Murray and Papamakarios, "Neural spline flows" (2019).

    Args:
        dim, hidden, depth, classes, frequencies: as for `Coupling`.
        bins: number of bins of each spline, at least 2.
        reach: the splines act on [-reach, reach], and the longest wave has period 2 reach.

    Example:
        >>> layer = SplineCoupling()
        >>> x, log_det = layer(torch.ones(3, 2))
        >>> x.shape, log_det.shape
        (torch.Size([3, 2]), torch.Size([3]))
    """

    def __init__(
        self,
        dim: int = 2,
        hidden: int = 64,
        depth: int = 2,
        classes: int = 0,
        frequencies: int = 16,
        bins: int = 24,
        reach: float = 2.5,
    ) -> None:
        require_count(bins, "bins", least=2)
        super().__init__(dim, hidden, depth, classes, frequencies, reach, numbers=3 * bins - 1)

    def knots(self, a: Float[Tensor, "batch kept"], ring: Ring = None) -> Knots:
        """The splines that the kept part chooses, (batch, moved) of them."""
        return spline_knots(self.read(a, ring), self.reach)

    def forward(self, z: Float[Tensor, "batch dim"], ring: Ring = None) -> Mapped:
        """Map z to x; return x and the log-determinant, (batch,).

        Raises:
            TypeError, ValueError: points or labels that do not fit this layer.
        """
        _require_input(self, z, ring, "z")
        a, b = z.split([self.kept, self.moved], dim=1)
        b, log_slope = rational_quadratic_spline(b, self.knots(a, ring), inverse=True)
        return torch.cat([a, b], dim=1), log_slope.sum(1)

    def inverse(self, x: Float[Tensor, "batch dim"], ring: Ring = None) -> Mapped:
        """Map x back to z; return z and the log-determinant of this inverse map, (batch,).

        Raises:
            TypeError, ValueError: points or labels that do not fit this layer.
        """
        _require_input(self, x, ring, "x")
        a, b = x.split([self.kept, self.moved], dim=1)
        b, log_slope = rational_quadratic_spline(b, self.knots(a, ring))
        return torch.cat([a, b], dim=1), log_slope.sum(1)


class Permutation(nn.Module):
    """Reorder the coordinates: x[i] = z[order[i]]. Volume stays as it is, so log_det is 0.

    Args:
        order: a permutation of 0..dim-1.

    Example:
        >>> x, log_det = Permutation([1, 0])(torch.tensor([[1.0, 2.0]]))
        >>> x
        tensor([[2., 1.]])
    """

    def __init__(self, order: list[int]) -> None:
        super().__init__()
        if sorted(order) != list(range(len(order))):
            raise ValueError(f"order is {order}; it must hold each of 0..{len(order) - 1} once")
        self.dim, self.classes = len(order), 0
        self.register_buffer("order", torch.tensor(order))
        self.register_buffer("order_back", torch.tensor(order).argsort())

    def forward(self, z: Float[Tensor, "batch dim"], ring: Ring = None) -> Mapped:
        """Reorder the coordinates of z; return x and a log-determinant of zeros, (batch,)."""
        require_points(z, self.dim, "z")
        return z.index_select(1, self.order), z.new_zeros(len(z))

    def inverse(self, x: Float[Tensor, "batch dim"], ring: Ring = None) -> Mapped:
        """Put the coordinates of x back; return z and a log-determinant of zeros, (batch,)."""
        require_points(x, self.dim)
        return x.index_select(1, self.order_back), x.new_zeros(len(x))


class NormalizingFlow(nn.Module):
    """A chain of invertible layers between a base distribution and the data.

    Args:
        layers: modules with `forward(z, ring)` and `inverse(x, ring)` like `AffineCoupling`, all of
            one `dim`; the first is nearest to the noise.
        base: the distribution of the noise, with `log_prob(z)` and `sample(n)`; by default N(0, I).

    A flow whose layers take class labels is class-conditional: `ring` then picks the class, and
    where it is left out, `log_prob` averages the density over the classes and `sample` draws them.

    Example:
        >>> _ = torch.manual_seed(0)
        >>> flow = affine_flow(couplings=2)
        >>> flow.sample(3).shape
        torch.Size([3, 2])
    """

    def __init__(self, layers: list[nn.Module], base: nn.Module | None = None) -> None:
        super().__init__()
        if not layers or len({layer.dim for layer in layers}) != 1:
            raise ValueError("layers must be at least one, and all of the same dim")
        classes = {layer.classes for layer in layers if layer.classes}
        if len(classes) > 1:
            raise ValueError(f"layers disagree on the number of classes: {sorted(classes)}")
        self.layers = nn.ModuleList(layers)
        self.dim = layers[0].dim
        self.classes = classes.pop() if classes else 0
        self.base = StandardNormal(self.dim) if base is None else base
        if self.base.dim != self.dim:
            raise ValueError(f"base has dim {self.base.dim}; the layers have dim {self.dim}")

    def forward(self, z: Float[Tensor, "batch dim"], ring: Ring = None) -> Mapped:
        """Map noise to data; return x and log|det dx/dz|, (batch,).

        Raises:
            TypeError, ValueError: `z` is not finite points of this flow's dim, or `ring` does not fit.
        """
        _require_input(self, z, ring, "z")
        require_finite(z, "z")
        log_det = z.new_zeros(len(z))
        for layer in self.layers:
            z, step = layer(z, ring)
            log_det = log_det + step
        return z, log_det

    def inverse(self, x: Float[Tensor, "batch dim"], ring: Ring = None) -> Mapped:
        """Map data to noise; return z and log|det dz/dx|, (batch,).

        Raises:
            TypeError, ValueError: `x` is not finite points of this flow's dim, or `ring` does not fit.
        """
        _require_input(self, x, ring, "x")
        require_finite(x)
        log_det = x.new_zeros(len(x))
        for layer in reversed(self.layers):
            x, step = layer.inverse(x, ring)
            log_det = log_det + step
        return x, log_det

    def log_prob(self, x: Float[Tensor, "batch dim"], ring: Ring = None) -> Float[Tensor, " batch"]:
        """Log-density at x in nats: the base's at z, plus the log-determinant of the inverse.

        It is -inf where x comes from outside a base that is a box, and training on such a point stops.

        Raises:
            TypeError, ValueError: `x` is not finite points of this flow's dim, or `ring` does not fit.
        """
        if self.classes and ring is None:
            labels = torch.arange(self.classes, device=x.device)
            each = [self.log_prob(x, label.expand(len(x))) for label in labels]
            return torch.stack(each).logsumexp(0) - math.log(self.classes)
        z, log_det = self.inverse(x, ring)
        return self.base.log_prob(z) + log_det

    @torch.no_grad()
    def sample(self, n: int, ring: Int[Tensor, " n"] | None = None) -> Float[Tensor, "n dim"]:
        """Draw n points, (n, dim), without gradients.

        Raises:
            TypeError, ValueError: `n` is no whole number above 0, or `ring` does not fit.
        """
        require_count(n)
        like = next(self.parameters(), torch.empty(0))
        if self.classes and ring is None:
            ring = torch.randint(self.classes, (n,)).to(like.device)
        return self.forward(self.base.sample(n).to(like), ring)[0]

    @torch.no_grad()
    def trajectory(
        self, z: Float[Tensor, "batch dim"], ring: Ring = None
    ) -> Float[Tensor, "states batch dim"]:
        """Where each point is before the first layer and after every layer, without gradients.

        Raises:
            TypeError, ValueError: `z` is not finite points of this flow's dim, or `ring` does not fit.
        """
        _require_input(self, z, ring, "z")
        require_finite(z, "z")
        states = [z]
        for layer in self.layers:
            states.append(layer(states[-1], ring)[0])
        return torch.stack(states)


def affine_flow(
    dim: int = 2, couplings: int = 12, classes: int = 0, **coupling: int | float
) -> NormalizingFlow:
    """The affine flow of the book: couplings, each followed by a permutation.

    In two dimensions the permutation swaps the coordinates; in more it is drawn at random, and kept
    with the weights. Further arguments are those of `AffineCoupling`.

    Raises:
        TypeError, ValueError: a size that is no whole number, or too small.
    """
    require_count(couplings, "couplings")
    layers: list[nn.Module] = []
    for _ in range(couplings):
        layers.append(AffineCoupling(dim, classes=classes, **coupling))
        layers.append(Permutation([1, 0] if dim == 2 else torch.randperm(dim).tolist()))
    return NormalizingFlow(layers)


def spline_flow(
    dim: int = 2,
    couplings: int = 2,
    classes: int = 0,
    reach: float = 2.5,
    hidden: int = 64,
    frequencies: int = 16,
    **coupling: int,
) -> NormalizingFlow:
    """The spline flow of the book: couplings, a permutation before each, noise uniform on their box.

    The splines and the base share one box, [-reach, reach]^dim, so that the flow maps the box onto itself
    and its density integrates to 1 there; outside, `log_prob` is -inf. The box of the default
    holds the rings. The coupling next to the data draws the edges, and the others, whose task is smooth,
    make do with half its width and half its waves. Further arguments are those of `SplineCoupling`.

    In two dimensions the coupling next to the data keeps the first coordinate and moves the second: an
    upright line crosses fewer rings than a level one, so this is the easier way round.

    Raises:
        TypeError, ValueError: a size that is no whole number, or too small.
    """
    require_count(couplings, "couplings")
    require_count(hidden, "hidden")
    require_count(frequencies, "frequencies", least=0)
    layers: list[nn.Module] = []
    for left in reversed(range(couplings)):
        width, waves = (hidden, frequencies) if left == 0 else ((hidden + 1) // 2, frequencies // 2)
        layers.append(Permutation([1, 0] if dim == 2 else torch.randperm(dim).tolist()))
        layers.append(SplineCoupling(dim, width, classes=classes, frequencies=waves, reach=reach, **coupling))
    return NormalizingFlow(layers, UniformBox(dim, reach))


def _require_input(flow: nn.Module, x: object, ring: object, name: str) -> None:
    """Raise unless points and labels fit a layer or a flow (labels reach plain layers too: ignored)."""
    require_points(x, flow.dim, name)
    weight = next(flow.parameters(), x)
    if x.dtype != weight.dtype:
        raise TypeError(f"{name} has dtype {x.dtype}; this model computes in {weight.dtype}")
    if flow.classes:
        if ring is None:
            raise ValueError("ring is missing; this model is class-conditional and needs a label a point")
        require_rings(ring, len(x), flow.classes)
    elif ring is not None and isinstance(flow, NormalizingFlow):
        raise ValueError("ring is given, but this flow was built without classes")
