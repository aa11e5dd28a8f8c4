"""The rings in more than two dimensions, where the truth is still known: hidden in noise, and copied.

Both have `dim`, `sample`, `log_prob`, `entropy` and `parts`, and are the rings themselves in two dimensions.
All results are in nats.
"""

import math

import torch
from jaxtyping import Float
from torch import Tensor

from helpers.rings import OlympicRings
from helpers.validation import require_count, require_points

__all__ = ["CopiedRings", "HiddenRings"]


class HiddenRings:
    """The rings in two directions of a space of `dim`, N(0, 1) in all others, and all of it turned.

    The turn is a rotation or a reflection, the same one whenever `dim` is the same, and no single coordinate
    shows the rings.

    Args:
        dim: at least 2.

    Attributes:
        turn: (dim, dim) orthogonal; its first two columns are the directions of the rings.

    Raises:
        TypeError: `dim` is no whole number.
        ValueError: it is below 2.

    Example:
        >>> hidden = HiddenRings(8)
        >>> x = hidden.sample(100)
        >>> bool(OlympicRings().on_rings(hidden.parts(x)[0]).all())
        True
        >>> round(hidden.entropy() - OlympicRings().entropy(), 4)  # of six numbers from N(0, 1)
        8.5136
    """

    def __init__(self, dim: int) -> None:
        require_count(dim, "dim", least=2)
        self.dim = dim
        generator = torch.Generator("cpu").manual_seed(dim)
        square = torch.randn(dim, dim, generator=generator, dtype=torch.float64, device="cpu")
        self.turn = torch.linalg.qr(square).Q if dim > 2 else torch.eye(2, dtype=torch.float64, device="cpu")

    def sample(self, n: int) -> Float[Tensor, "n dim"]:
        """Draw n points, (n, dim), in torch's default dtype."""
        x = self._draw(n)
        # Rounding to float32 can push a point off its ring; such a point is drawn again.
        while (lost := self.log_prob(x).isinf()).any():
            x[lost] = self._draw(int(lost.sum()))
        return x

    def _draw(self, n: int) -> Float[Tensor, "n dim"]:
        rings, _ = OlympicRings().sample(n)
        straight = torch.cat([rings, torch.randn(n, self.dim - 2, device="cpu")], dim=1)
        return (straight.double() @ self.turn.T).to(rings.dtype)

    def parts(self, x: Float[Tensor, "batch dim"]) -> list[Float[Tensor, "batch 2"]]:
        """The one pair of coordinates in which the rings lie."""
        require_points(x, self.dim)
        return [(x.double() @ self.turn[:, :2].to(x.device)).to(x.dtype)]

    def log_prob(self, x: Float[Tensor, "batch dim"]) -> Float[Tensor, " batch"]:
        """Log-density at x, (batch,), in float64; -inf off the rings."""
        (rings,) = self.parts(x)
        rest = x.double() @ self.turn[:, 2:].to(x.device)
        normal = -rest.square().sum(1) / 2 - rest.shape[1] / 2 * math.log(2 * math.pi)
        return OlympicRings().log_prob(rings).double() + normal

    def entropy(self) -> float:
        """That of the rings and of the noise; a turn changes no volume."""
        return OlympicRings().entropy() + (self.dim - 2) / 2 * math.log(2 * math.pi * math.e)


class CopiedRings:
    """`dim / 2` independent pairs of coordinates, each of which is the rings: 5^(dim / 2) combinations.

    Args:
        dim: an even number, at least 2.

    Raises:
        TypeError: `dim` is no whole number.
        ValueError: it is below 2, or odd.

    Example:
        >>> round(CopiedRings(8).entropy() / OlympicRings().entropy(), 9)
        4.0
    """

    def __init__(self, dim: int) -> None:
        require_count(dim, "dim", least=2)
        if dim % 2:
            raise ValueError(f"dim is {dim}; it must be even, as each copy of the rings takes two")
        self.dim = dim

    def sample(self, n: int) -> Float[Tensor, "n dim"]:
        """Draw n points, (n, dim), in torch's default dtype."""
        require_count(n)
        return OlympicRings().sample(n * self.dim // 2)[0].view(n, self.dim)

    def parts(self, x: Float[Tensor, "batch dim"]) -> list[Float[Tensor, "batch 2"]]:
        """The pairs of coordinates in which the rings lie."""
        require_points(x, self.dim)
        return list(x.split(2, dim=1))

    def log_prob(self, x: Float[Tensor, "batch dim"]) -> Float[Tensor, " batch"]:
        """Log-density at x, (batch,), in float64; -inf where one pair is off its rings."""
        return sum(OlympicRings().log_prob(part).double() for part in self.parts(x))

    def entropy(self) -> float:
        """As many times that of the rings: entropies of independent parts add up."""
        return self.dim / 2 * OlympicRings().entropy()
