"""The distributions of the noise that a flow starts from, each with its log-density and its samples."""

import math

import torch
from jaxtyping import Float
from torch import Tensor, nn

from helpers.validation import require_count, require_points, require_positive

__all__ = ["StandardNormal", "UniformBox"]


class StandardNormal(nn.Module):
    """The base distribution N(0, I) in `dim` dimensions."""

    def __init__(self, dim: int = 2) -> None:
        super().__init__()
        require_count(dim, "dim")
        self.dim = dim

    def log_prob(self, z: Float[Tensor, "batch dim"]) -> Float[Tensor, " batch"]:
        """Log-density in nats.

        Raises:
            TypeError: `z` is no floating-point tensor.
            ValueError: its shape is not (batch, dim).
        """
        require_points(z, self.dim, "z")
        return -0.5 * z.square().sum(1) - 0.5 * self.dim * math.log(2 * math.pi)

    def sample(self, n: int) -> Float[Tensor, "n dim"]:
        """Draw n points, on the CPU (so that a seed means the same on every device)."""
        return torch.randn(n, self.dim, device="cpu")

    def extra_repr(self) -> str:
        """The settings, as they stand in a saved model's identity."""
        return f"dim={self.dim}"


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
        self.dim, self.reach = dim, float(reach)

    def log_prob(self, z: Float[Tensor, "batch dim"]) -> Float[Tensor, " batch"]:
        """Log-density in nats: -dim * log(2 reach) inside and on the edge, -inf outside.

        Raises:
            TypeError: `z` is no floating-point tensor.
            ValueError: its shape is not (batch, dim).
        """
        require_points(z, self.dim, "z")
        # A spline may land some roundings beyond the edge, where a point that it moved still counts.
        edge = self.reach * (1 + 8 * torch.finfo(z.dtype).eps)
        inside = (z.detach().abs() <= edge).all(1)
        density = z.new_full((len(z),), -self.dim * math.log(2 * self.reach))
        return density.masked_fill(~inside, -math.inf)

    def sample(self, n: int) -> Float[Tensor, "n dim"]:
        """Draw n points, on the CPU (so that a seed means the same on every device)."""
        return self.reach * (2 * torch.rand(n, self.dim, device="cpu") - 1)

    def extra_repr(self) -> str:
        """The settings, as they stand in a saved model's identity."""
        return f"dim={self.dim}, reach={self.reach}"
