"""Normalizing flows: invertible layers that know their Jacobian, and the flow that chains them.

One direction throughout: `forward` maps noise z to data x, `inverse` maps x back to z. Each returns
the log-determinant of the Jacobian of the map that it computes, so the two have opposite signs.

A flow checks what it is given, once, where it comes in; its layers trust it.
"""

import math
from collections.abc import Callable

import torch
from jaxtyping import Float
from torch import Tensor, nn

from helpers.distributions import StandardNormal, UniformBox
from helpers.networks import Context, context_features, periodic_features, zero_ended_network
from helpers.splines import Knots, rational_quadratic_spline, spline_knots
from helpers.validation import (
    require_context,
    require_count,
    require_finite,
    require_one_each,
    require_points,
    require_positive,
)

__all__ = [
    "AffineCoupling",
    "Coupling",
    "Layer",
    "NormalizingFlow",
    "Permutation",
    "Rotation",
    "SplineCoupling",
    "affine_flow",
    "spline_flow",
]

Mapped = tuple[Float[Tensor, "batch dim"], Float[Tensor, " batch"]]


class Layer(nn.Module):
    """An invertible map of points that knows its log-determinant; a layer of your own starts here.

    It has `forward(z)` and `inverse(x)`, which both return the points, (batch, dim), and the
    log-determinant of the map that was taken, (batch,). Where `classes` or `features` is not 0, the two
    take the context as a second argument. Its `extra_repr` has to show every setting that is no tensor: a
    model's file is known by what is shown.

    Attributes:
        dim: dimension of a point.
        classes: number of class labels that the layer is told, or 0.
        features: how many real numbers it is told beside each point, or 0.
    """

    dim: int
    classes: int = 0
    features: int = 0


class Coupling(Layer):
    """Keep the first part of a point, and let it decide how each coordinate of the second part moves.

    With z = (a, b):  x = (a, b'), where each coordinate of b goes through an increasing function of one
    number, and a network, the conditioner, reads off `a` which function that is. So the Jacobian is
    triangular, and its log-determinant is the sum of the functions' log-slopes. The way back finds `a`
    unchanged, asks the same network, and undoes the same functions: the network is never inverted. Its last
    layer starts at zero, so that a new coupling is the identity.

    A subclass says how a coordinate moves: `move(b, numbers)` and `move_back(b, numbers)`, each of which
    returns the moved coordinates and the log-slopes of its map, both (batch, moved), for the network's
    numbers, (batch, moved, numbers).

    Source: Dinh, Krueger and Bengio, "NICE: non-linear independent components estimation" (2015).

    Args:
        dim: dimension of a point; the first dim // 2 coordinates are kept.
        hidden: width of the network's hidden layers.
        depth: number of hidden layers.
        classes: number of class labels that the network is told, or 0 for none.
        features: how many real numbers it is told beside each point, or 0 for none.
        frequencies: how many sines and cosines of the kept part it sees, or 0 for none.
        reach: the longest wave has period 2 reach.
        numbers: how many numbers the network gives for each coordinate that is moved.

    Raises:
        TypeError: a size that is no whole number, or a reach that is no number.
        ValueError: a size that is too small, or both classes and features.
    """

    def __init__(
        self,
        dim: int,
        hidden: int,
        depth: int,
        classes: int,
        features: int,
        frequencies: int,
        reach: float,
        numbers: int,
    ) -> None:
        super().__init__()
        require_count(dim, "dim", least=2)
        require_count(hidden, "hidden")
        require_count(depth, "depth")
        require_count(classes, "classes", least=0)
        require_count(features, "features", least=0)
        require_count(frequencies, "frequencies", least=0)
        require_positive(reach, "reach")
        if classes and features:
            raise ValueError(f"classes is {classes} and features is {features}; one of them must be 0")
        self.dim, self.classes, self.features = dim, classes, features
        self.frequencies, self.reach = frequencies, float(reach)
        self.kept, self.moved, self.numbers = dim // 2, dim - dim // 2, numbers
        inputs = self.kept * (1 + 2 * frequencies) + classes + features
        self.network = zero_ended_network(inputs, hidden, depth, outputs=self.moved * numbers)

    def read(
        self, a: Float[Tensor, "batch kept"], context: Context = None
    ) -> Float[Tensor, "batch moved numbers"]:
        """The network's numbers for each coordinate that is moved, read off the kept part and the context."""
        seen = periodic_features(a, self.frequencies, self.reach)
        if context is not None:
            seen = torch.cat([seen, context_features(context, self.classes, a.dtype)], dim=1)
        # Under autocast the network computes in less precision than the points have; what follows does not.
        return self.network(seen).to(a.dtype).view(len(a), self.moved, self.numbers)

    def forward(self, z: Float[Tensor, "batch dim"], context: Context = None) -> Mapped:
        """Map z to x; return x and the log-determinant, (batch,)."""
        return self._carry(z, context, self.move)

    def inverse(self, x: Float[Tensor, "batch dim"], context: Context = None) -> Mapped:
        """Map x back to z; return z and the log-determinant of this inverse map, (batch,)."""
        return self._carry(x, context, self.move_back)

    def _carry(self, points: Tensor, context: Context, move: Callable[..., tuple[Tensor, Tensor]]) -> Mapped:
        a, b = points.split_with_sizes([self.kept, self.moved], dim=1)
        b, log_slope = move(b, self.read(a, context))
        return torch.cat([a, b], dim=1), log_slope.sum(1)

    def extra_repr(self) -> str:
        """The settings, as they stand in a saved model's identity."""
        names = ("dim", "classes", "features", "frequencies", "reach")
        return ", ".join(f"{name}={getattr(self, name)}" for name in names)


class AffineCoupling(Coupling):
    """The coupling that scales and shifts: b' = b * exp(log_scale(a)) + shift(a).

    Its log-determinant is the sum of `log_scale`, which is squashed to (-limit, limit): a chain of layers
    that may each stretch a lot breaks down in training.

    Source: Dinh, Sohl-Dickstein and Bengio, "Density estimation using Real NVP" (2017).

    Args:
        dim, hidden, depth, classes, features, frequencies, reach: as for `Coupling`.
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
        features: int = 0,
        frequencies: int = 4,
        reach: float = 3.0,
        limit: float = 1.0,
    ) -> None:
        super().__init__(dim, hidden, depth, classes, features, frequencies, reach, numbers=2)
        require_positive(limit, "limit")
        self.limit = float(limit)

    def log_scale_and_shift(
        self, numbers: Float[Tensor, "batch moved 2"]
    ) -> tuple[Float[Tensor, "batch moved"], Float[Tensor, "batch moved"]]:
        """The network's two numbers for each coordinate, the first of them squashed."""
        raw, shift = numbers.unbind(2)
        log_scale = raw.tanh()
        return (log_scale if self.limit == 1 else self.limit * log_scale), shift

    def move(self, b: Float[Tensor, "batch moved"], numbers: Tensor) -> tuple[Tensor, Tensor]:
        """Scale, then shift."""
        log_scale, shift = self.log_scale_and_shift(numbers)
        return b * log_scale.exp() + shift, log_scale

    def move_back(self, b: Float[Tensor, "batch moved"], numbers: Tensor) -> tuple[Tensor, Tensor]:
        """Take the shift away, then the scale."""
        log_scale, shift = self.log_scale_and_shift(numbers)
        log_slope = -log_scale
        return (b - shift) * log_slope.exp(), log_slope

    def extra_repr(self) -> str:
        """The settings, as they stand in a saved model's identity."""
        return f"{super().extra_repr()}, limit={self.limit}"


class SplineCoupling(Coupling):
    """The coupling that moves each coordinate along a monotone rational-quadratic spline.

    The network gives the knots. The spline is written down from data to noise: b is its value at b'.
    So training, which goes this way, pays for no root; sampling solves a quadratic. Outside
    [-reach, reach] nothing moves.

    Source: Durkan, Bekasov, Murray and Papamakarios, "Neural spline flows" (2019).

    Args:
        dim, hidden, depth, classes, features, frequencies: as for `Coupling`.
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
        features: int = 0,
        frequencies: int = 16,
        bins: int = 24,
        reach: float = 2.5,
    ) -> None:
        require_count(bins, "bins", least=2)
        super().__init__(dim, hidden, depth, classes, features, frequencies, reach, numbers=3 * bins - 1)
        self.bins = bins

    def knots(self, a: Float[Tensor, "batch kept"], context: Context = None) -> Knots:
        """The splines that the kept part chooses, (batch, moved) of them."""
        return spline_knots(self.read(a, context), self.reach)

    def move(self, b: Float[Tensor, "batch moved"], numbers: Tensor) -> tuple[Tensor, Tensor]:
        """To the position at which the spline has the value b."""
        return rational_quadratic_spline(b, spline_knots(numbers, self.reach), inverse=True)

    def move_back(self, b: Float[Tensor, "batch moved"], numbers: Tensor) -> tuple[Tensor, Tensor]:
        """To the value of the spline at b."""
        return rational_quadratic_spline(b, spline_knots(numbers, self.reach))

    def extra_repr(self) -> str:
        """The settings, as they stand in a saved model's identity."""
        return f"{super().extra_repr()}, bins={self.bins}"


class Permutation(Layer):
    """Reorder the coordinates: x[i] = z[order[i]]. Volume stays as it is, so log_det is 0.

    Args:
        order: a permutation of 0..dim-1.

    Raises:
        TypeError: an entry is no whole number.
        ValueError: `order` is empty, or not such a permutation.

    Example:
        >>> x, log_det = Permutation([1, 0])(torch.tensor([[1.0, 2.0]]))
        >>> x
        tensor([[2., 1.]])
    """

    def __init__(self, order: list[int]) -> None:
        super().__init__()
        order = list(order)
        for place in order:
            require_count(place, "an entry of order", least=0)
        if not order or sorted(order) != list(range(len(order))):
            raise ValueError(f"order is {order}; it must hold each of 0..{max(len(order) - 1, 0)} once")
        self.dim = len(order)
        self.register_buffer("order", torch.tensor(order))
        self.register_buffer("order_back", torch.tensor(order).argsort())

    def forward(self, z: Float[Tensor, "batch dim"]) -> Mapped:
        """Reorder the coordinates of z; return x and a log-determinant of zeros, (batch,)."""
        return z.index_select(1, self.order), z.new_zeros(len(z))

    def inverse(self, x: Float[Tensor, "batch dim"]) -> Mapped:
        """Put the coordinates of x back; return z and a log-determinant of zeros, (batch,)."""
        return x.index_select(1, self.order_back), x.new_zeros(len(x))

    def extra_repr(self) -> str:
        """The dimension; the order itself is saved with the weights."""
        return f"dim={self.dim}"


class Rotation(Layer):
    """Turn the whole space by a rotation that is learned: x = R z. Volume stays as it is, so log_det is 0.

    A coupling moves one coordinate given others; what lies across the coordinates it meets only after a turn.
    R = S exp(A - A'), where S is where training starts, and A a matrix of parameters that starts at zero.

    Args:
        start: (dim, dim) orthogonal, such as the identity; `Rotation.of` takes the principal axes of points.

    Raises:
        ValueError: `start` is no orthogonal matrix of at least two rows.

    Source: Tomczak and Welling, "Improving variational auto-encoders using Householder flow" (2016); for
    linear maps of any kind, Kingma and Dhariwal, "Glow: generative flow with invertible 1x1 convolutions"
    (2018).

    Example:
        >>> layer = Rotation(torch.tensor([[0.0, -1.0], [1.0, 0.0]]))  # a quarter turn
        >>> layer(torch.tensor([[1.0, 0.0]]))[0].detach()
        tensor([[0., 1.]])
    """

    def __init__(self, start: Float[Tensor, "dim dim"]) -> None:
        super().__init__()
        require_points(start, name="start")
        require_count(len(start), "the number of rows of start", least=2)
        square = start.shape[1] == len(start)
        off = start @ start.T - torch.eye(len(start)).to(start) if square else start
        if not square or not off.abs().max() < 1e-4:
            raise ValueError(f"start, {tuple(start.shape)}, is not orthogonal: start @ start.T must be I")
        self.dim = len(start)
        self.turns = nn.Parameter(torch.zeros_like(start))
        self.register_buffer("start", start.detach().clone())

    @classmethod
    def of(cls, x: Float[Tensor, "batch dim"]) -> "Rotation":
        """The one that starts at the principal axes of the points x, the widest first.

        Raises:
            ValueError: points that are not finite, or fewer than two.
        """
        require_points(x)
        require_finite(x)
        require_count(len(x), "the number of points", least=2)
        axes = torch.linalg.eigh(torch.cov(x.double().T)).eigenvectors
        return cls(axes.flip(1).to(x.dtype))

    def matrix(self) -> Float[Tensor, "dim dim"]:
        """R, (dim, dim), orthogonal."""
        return self.start @ torch.linalg.matrix_exp(self.turns - self.turns.T)

    def forward(self, z: Float[Tensor, "batch dim"]) -> Mapped:
        """Turn z; return x and a log-determinant of zeros, (batch,)."""
        return z @ self.matrix().T, z.new_zeros(len(z))

    def inverse(self, x: Float[Tensor, "batch dim"]) -> Mapped:
        """Turn x back; return z and a log-determinant of zeros, (batch,)."""
        return x @ self.matrix(), x.new_zeros(len(x))

    def extra_repr(self) -> str:
        """The dimension; the turn itself is saved with the weights."""
        return f"dim={self.dim}"


class NormalizingFlow(nn.Module):
    """A chain of invertible layers between a base distribution and the data.

    Args:
        layers: each a `Layer`, all of one `dim`; the first is nearest to the noise.
        base: the distribution of the noise, with `dim`, `log_prob(z)` and `sample(n)`; by default N(0, I).

    A flow whose layers are told a context is conditional, and its methods take it: labels, (batch,), or
    real numbers, (batch, features). Where labels are left out, `log_prob` averages the density over the
    classes, as if each were equally likely, and `sample` draws them.

    Raises:
        ValueError: no layers; layers or base of several dimensions; layers that are told different things.

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
        told = {(layer.classes, layer.features) for layer in layers if layer.classes or layer.features}
        if len(told) > 1:
            raise ValueError(f"layers disagree on their context: (classes, features) are {sorted(told)}")
        self.layers = nn.ModuleList(layers)
        self.dim = layers[0].dim
        self.classes, self.features = told.pop() if told else (0, 0)
        self.base = StandardNormal(self.dim) if base is None else base
        if self.base.dim != self.dim:
            raise ValueError(f"base has dim {self.base.dim}; the layers have dim {self.dim}")

    def forward(self, z: Float[Tensor, "batch dim"], context: Context = None) -> Mapped:
        """Map noise to data; return x and log|det dx/dz|, (batch,).

        Raises:
            TypeError: `z` is no floating-point tensor of the model's type, or `context` is of a wrong type.
            ValueError: `z` is not finite points of this flow's dim, or `context` does not fit.
        """
        self._require(z, context, "z")
        log_dets = []
        for layer in self.layers:
            z, log_det = layer(z, *_given(layer, context))
            require_one_each(log_det, len(z), "a layer's log-determinant")
            log_dets.append(log_det)
        return z, torch.stack(log_dets).sum(0)

    def inverse(self, x: Float[Tensor, "batch dim"], context: Context = None) -> Mapped:
        """Map data to noise; return z and log|det dz/dx|, (batch,).

        Raises:
            TypeError, ValueError: as `forward`, for `x` in place of `z`.
        """
        self._require(x, context, "x")
        log_dets = []
        for layer in reversed(list(self.layers)):  # a list, or each is looked up by its name
            x, log_det = layer.inverse(x, *_given(layer, context))
            require_one_each(log_det, len(x), "a layer's log-determinant")
            log_dets.append(log_det)
        return x, torch.stack(log_dets).sum(0)

    def log_prob(self, x: Float[Tensor, "batch dim"], context: Context = None) -> Float[Tensor, " batch"]:
        """Log-density at x in nats: the base's at z, plus the log-determinant of the inverse.

        It is -inf where x comes from outside a base that is a box, and training on such a point stops.

        Raises:
            TypeError, ValueError: as `forward`, for `x` in place of `z`.
        """
        if self.classes and context is None:
            require_points(x, self.dim)
            labels = torch.arange(self.classes, device=x.device)
            each = [self.log_prob(x, label.expand(len(x))) for label in labels]
            return torch.stack(each).logsumexp(0) - math.log(self.classes)
        z, log_det = self.inverse(x, context)
        log_base = self.base.log_prob(z)
        require_one_each(log_base, len(x), "what base.log_prob returned")
        return log_base + log_det

    @torch.no_grad()
    def sample(self, n: int, context: Context = None) -> Float[Tensor, "n dim"]:
        """Draw n points, (n, dim), without gradients.

        Raises:
            TypeError: `n` is no whole number, or `context` is of a wrong type.
            ValueError: `n` is below 1, or `context` does not fit n points.
        """
        require_count(n)
        like = next(self.parameters(), torch.empty(0))
        if self.classes and context is None:
            context = torch.randint(self.classes, (n,), device="cpu").to(like.device)
        return self.forward(self.base.sample(n).to(like), context)[0]

    @torch.no_grad()
    def trajectory(
        self, z: Float[Tensor, "batch dim"], context: Context = None
    ) -> Float[Tensor, "states batch dim"]:
        """Where each point is before the first layer and after every layer, without gradients.

        Raises:
            TypeError, ValueError: as `forward`.
        """
        self._require(z, context, "z")
        states = [z]
        for layer in self.layers:
            states.append(layer(states[-1], *_given(layer, context))[0])
        return torch.stack(states)

    def _require(self, points: object, context: Context, name: str) -> None:
        weight = next(self.parameters(), None)
        require_points(points, self.dim, name, None if weight is None else weight.dtype)
        if points.dtype in (torch.float16, torch.bfloat16):
            raise TypeError(f"{name} has dtype {points.dtype}; densities need float32 or float64")
        require_finite(points, name)
        require_context(context, len(points), self.classes, self.features)


def _given(layer: nn.Module, context: Context) -> tuple[Context, ...]:
    """What a layer is called with beside the points."""
    return (context,) if layer.classes or layer.features else ()


def affine_flow(dim: int = 2, couplings: int = 12, **coupling: int | float) -> NormalizingFlow:
    """The affine flow of the book: couplings, each followed by a permutation.

    In two dimensions the permutation swaps the coordinates; in more it is drawn at random, and kept
    with the weights. Further arguments are those of `AffineCoupling`.

    Raises:
        TypeError: a size that is no whole number.
        ValueError: a size that is too small, `couplings` below 1, or both classes and features.
    """
    require_count(couplings, "couplings")
    layers: list[nn.Module] = []
    for _ in range(couplings):
        layers += [AffineCoupling(dim, **coupling), _mixing(dim)]
    return NormalizingFlow(layers)


def spline_flow(
    dim: int = 2,
    couplings: int = 2,
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
        TypeError: a size that is no whole number.
        ValueError: a size that is too small, `couplings` below 1, or both classes and features.
    """
    require_count(dim, "dim", least=2)
    require_count(couplings, "couplings")
    require_count(hidden, "hidden")
    require_count(frequencies, "frequencies", least=0)
    layers: list[nn.Module] = []
    for left in reversed(range(couplings)):
        width, waves = (hidden, frequencies) if left == 0 else ((hidden + 1) // 2, frequencies // 2)
        layers += [_mixing(dim), SplineCoupling(dim, width, frequencies=waves, reach=reach, **coupling)]
    return NormalizingFlow(layers, UniformBox(dim, reach))


def _mixing(dim: int) -> Permutation:
    return Permutation([1, 0] if dim == 2 else torch.randperm(dim, device="cpu").tolist())
