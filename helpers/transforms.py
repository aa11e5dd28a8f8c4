"""From the columns of a table to coordinates without walls or seams, and back, each with its log-determinant.

Each is a layer of a flow without parameters: `forward` leads to the columns, `inverse` away from them. So
`NormalizingFlow([Standardize(...), Exp(...)], base=model)` is a density of the columns themselves, whatever
model has learned the coordinates.
"""

import math
from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor

from helpers.flows import Layer, Mapped
from helpers.validation import require_count, require_finite, require_points, require_positive

__all__ = ["Exp", "Polar", "Sigmoid", "Standardize", "Whiten"]


class Standardize(Layer):
    """Coordinates of mean 0 and standard deviation 1 to the columns: x = mean + std * z.

    Args:
        mean, std: (dim,) of the columns.

    Raises:
        ValueError: they differ in shape, or a standard deviation is not above 0.

    Example:
        >>> layer = Standardize.of(torch.tensor([[1.0, 10.0], [3.0, 30.0]]))
        >>> layer.inverse(torch.tensor([[2.0, 20.0]]))[0]
        tensor([[0., 0.]])
    """

    def __init__(self, mean: Float[Tensor, " dim"], std: Float[Tensor, " dim"]) -> None:
        super().__init__()
        if mean.ndim != 1 or mean.shape != std.shape:
            raise ValueError(
                f"mean has shape {tuple(mean.shape)}, std {tuple(std.shape)}; both must be (dim,)"
            )
        require_finite(mean, "mean")
        require_finite(std, "std")
        if not (std > 0).all():
            raise ValueError(f"std of column {int((std <= 0).nonzero()[0])} is not above 0; is it constant?")
        self.dim = len(mean)
        self.register_buffer("mean", mean.detach().clone())
        self.register_buffer("std", std.detach().clone())

    @classmethod
    def of(cls, x: Float[Tensor, "batch dim"]) -> "Standardize":
        """The one that takes the points x to mean 0 and standard deviation 1; give it training data alone."""
        require_points(x)
        require_finite(x)
        require_count(len(x), "the number of points", least=2)
        return cls(x.mean(0), x.std(0))

    def forward(self, z: Float[Tensor, "batch dim"]) -> Mapped:
        """To the columns."""
        return self.mean + self.std * z, self.std.log().sum().expand(len(z))

    def inverse(self, x: Float[Tensor, "batch dim"]) -> Mapped:
        """Away from them."""
        return (x - self.mean) / self.std, -self.std.log().sum().expand(len(x))


class Whiten(Layer):
    """Uncorrelated coordinates of mean 0 and deviation 1 to the columns: x = mean + root z, root triangular.

    Where columns nearly follow from each other, noise of one size on each would drown what they differ in.

    Args:
        mean: (dim,) of the columns.
        root: (dim, dim) lower triangular, with root root^T their covariance.

    Raises:
        ValueError: shapes that disagree, or a diagonal that is not above 0.

    Example:
        >>> corners = torch.tensor([[0.0, 0.0], [2.0, 2.0], [0.0, 2.0], [2.0, 4.0]])
        >>> torch.cov(Whiten.of(corners).inverse(corners)[0].T).round(decimals=3).abs()
        tensor([[1., 0.],
                [0., 1.]])
    """

    def __init__(self, mean: Float[Tensor, " dim"], root: Float[Tensor, "dim dim"]) -> None:
        super().__init__()
        if mean.ndim != 1 or root.shape != (len(mean), len(mean)):
            raise ValueError(f"mean has shape {tuple(mean.shape)}, root {tuple(root.shape)}; they do not fit")
        require_finite(mean, "mean")
        require_finite(root, "root")
        if not (root.diagonal() > 0).all():
            raise ValueError("root has a diagonal that is not above 0; is a column a sum of others?")
        self.dim = len(mean)
        self.register_buffer("mean", mean.detach().clone())
        self.register_buffer("root", root.detach().tril())

    @classmethod
    def of(cls, x: Float[Tensor, "batch dim"]) -> "Whiten":
        """The one that takes the points x to covariance I; give it training data alone.

        Raises:
            ValueError: fewer points than columns and one, or columns of which one is a sum of others.
        """
        require_points(x)
        require_finite(x)
        require_count(len(x), "the number of points", least=x.shape[1] + 1)
        std = x.double().std(0)
        root, failed = torch.linalg.cholesky_ex(torch.cov(x.double().T).reshape(x.shape[1], -1))
        lost = root.diagonal() < 1e-5 * std if not failed else torch.arange(x.shape[1]) == int(failed) - 1
        if lost.any():
            raise ValueError(
                f"column {int(lost.nonzero()[0])} is constant, or a sum of the ones before it; leave it out"
            )
        return cls(x.mean(0), root.to(x.dtype))

    def forward(self, z: Float[Tensor, "batch dim"]) -> Mapped:
        """To the columns."""
        return self.mean + z @ self.root.T.to(z.dtype), self.root.diagonal().log().sum().expand(len(z))

    def inverse(self, x: Float[Tensor, "batch dim"]) -> Mapped:
        """Away from them."""
        z = torch.linalg.solve_triangular(self.root.to(x.dtype), (x - self.mean).to(x.dtype).T, upper=False).T
        return z, -self.root.diagonal().log().sum().expand(len(x))


class _Columns(Layer):
    """A map of some columns, each by itself; the others stay as they are."""

    def __init__(self, dim: int, columns: Sequence[int]) -> None:
        super().__init__()
        require_count(dim, "dim")
        self.dim, self.columns = dim, list(columns)
        for column in self.columns:
            require_count(column, "a column", least=0)
        if not self.columns or len(set(self.columns)) < len(self.columns) or max(self.columns) >= dim:
            raise ValueError(f"columns are {self.columns}; they must be different ones of 0..{dim - 1}")

    def extra_repr(self) -> str:
        """The settings, as they stand in a saved model's identity."""
        return f"dim={self.dim}, columns={self.columns}"

    def _put(self, into: Tensor, values: Tensor) -> Tensor:
        return into.index_copy(1, torch.tensor(self.columns, device=into.device), values)


class Exp(_Columns):
    """Some columns are above zero: x = exp(z). Where one is not, the log-determinant of the way back is -inf.

    Args:
        dim: how many columns there are.
        columns: which of them are meant.

    Raises:
        TypeError: a count that is no whole number.
        ValueError: a column that is not there, or is named twice.

    Example:
        >>> Exp(2, columns=[1]).inverse(torch.tensor([[5.0, 1.0], [5.0, -1.0]]))[1]
        tensor([-0., -inf])
    """

    def forward(self, z: Float[Tensor, "batch dim"]) -> Mapped:
        """To the columns."""
        part = z[:, self.columns]
        return self._put(z, part.exp()), part.sum(1)

    def inverse(self, x: Float[Tensor, "batch dim"]) -> Mapped:
        """Away from them; a point that no z is sent to has density 0, which its -inf says."""
        part = x[:, self.columns]
        inside = (part > 0).all(1)
        logs = part.where(inside[:, None], torch.ones_like(part)).log()
        return self._put(x, logs), (-logs.sum(1)).masked_fill(~inside, -math.inf)


class Sigmoid(_Columns):
    """Some columns lie between two walls: x = low + (high - low) / (1 + exp(-z)).

    On a wall or beyond it the log-determinant of the way back is -inf, as for `Exp`.

    Args:
        dim, columns: as for `Exp`.
        low, high: the walls, the same for these columns.

    Raises:
        TypeError: a count that is no whole number, a wall that is no number.
        ValueError: a column that is not there, or is named twice; walls in the wrong order.
    """

    def __init__(
        self, dim: int, columns: Sequence[int], low: int | float = 0.0, high: int | float = 1.0
    ) -> None:
        super().__init__(dim, columns)
        require_positive(high - low, "high - low")
        self.low, self.high = float(low), float(high)

    def forward(self, z: Float[Tensor, "batch dim"]) -> Mapped:
        """To the columns."""
        part = z[:, self.columns]
        return self._put(z, self.low + (self.high - self.low) * part.sigmoid()), self._log_slope(part).sum(1)

    def inverse(self, x: Float[Tensor, "batch dim"]) -> Mapped:
        """Away from them; a point that no z is sent to has density 0, which its -inf says."""
        share = (x[:, self.columns] - self.low) / (self.high - self.low)
        inside = ((share > 0) & (share < 1)).all(1)
        part = share.where(inside[:, None], torch.full_like(share, 0.5)).logit()
        return self._put(x, part), (-self._log_slope(part).sum(1)).masked_fill(~inside, -math.inf)

    def _log_slope(self, z: Tensor) -> Tensor:
        softplus = torch.nn.functional.softplus
        return math.log(self.high - self.low) - softplus(z) - softplus(-z)

    def extra_repr(self) -> str:
        """The settings, as they stand in a saved model's identity."""
        return f"{super().extra_repr()}, low={self.low}, high={self.high}"


class Polar(_Columns):
    """Two coordinates (u, v) to a length and an angle, which has no seam as long as one looks at (u, v).

    u = length * sin(angle) and v = length * cos(angle), as winds are given: the angle is counted from v
    towards u. An area of the plane is dudv = length * dlength * dangle, and this factor is the determinant.

    Args:
        dim: how many columns there are.
        columns: two of them: the length, which is above 0, and the angle.
        period: a full turn, in the angle's unit: 360 for degrees. Angles come out in [0, period).

    Raises:
        TypeError: a count that is no whole number, a period that is no number.
        ValueError: not two columns that are there; a period that is not above 0.

    Example:
        >>> Polar(2, columns=[0, 1], period=360)(torch.tensor([[3.0, 0.0]]))[0]  # a wind from the east
        tensor([[ 3., 90.]])
    """

    def __init__(self, dim: int, columns: Sequence[int], period: int | float = 2 * math.pi) -> None:
        super().__init__(dim, columns)
        if len(self.columns) != 2:
            raise ValueError(f"columns are {self.columns}; they must be two, of the length and of the angle")
        require_positive(period, "period")
        self.period = float(period)

    def forward(self, z: Float[Tensor, "batch dim"]) -> Mapped:
        """To the length and the angle."""
        u, v = z[:, self.columns].unbind(1)
        length = torch.hypot(u, v)
        turns = (torch.atan2(u, v) / (2 * math.pi)) % 1
        angle = (self.period * turns).clamp(max=self.period * (1 - torch.finfo(z.dtype).eps))
        polar = torch.stack([length, angle], dim=1)
        return self._put(z, polar), math.log(self.period / (2 * math.pi)) - length.log()

    def inverse(self, x: Float[Tensor, "batch dim"]) -> Mapped:
        """Away from them; a length that is not above 0, or an angle out of range, has density 0: -inf."""
        length, angle = x[:, self.columns].unbind(1)
        inside = (length > 0) & (angle >= 0) & (angle < self.period)
        length = length.where(inside, torch.ones_like(length))
        turn = 2 * math.pi / self.period * angle
        flat = torch.stack([length * turn.sin(), length * turn.cos()], dim=1)
        log_det = length.log() + math.log(2 * math.pi / self.period)
        return self._put(x, flat), log_det.masked_fill(~inside, -math.inf)

    def extra_repr(self) -> str:
        """The settings, as they stand in a saved model's identity."""
        return f"{super().extra_repr()}, period={self.period}"
