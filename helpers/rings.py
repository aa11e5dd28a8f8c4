"""Rings in the plane, a distribution of which everything is known exactly; and the five Olympic ones."""

import math

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from helpers.arcs import overlaps
from helpers.validation import require_count, require_finite, require_labels, require_one_each, require_points

__all__ = ["NAMES", "OlympicRings", "Rings"]

Radius = float | int | Float[Tensor, " rings"]


class Rings:
    """Pick one of some rings at random, then a point of it uniformly by area. All results are in nats.

    Args:
        centres: (rings, 2), at least one.
        inner, outer: radii between which a ring lies, 0 <= inner < outer: one number for all rings, or
            (rings,). With an inner radius of 0 it is a disc.

    Attributes:
        centres: (rings, 2), in float64, as are the others.
        radii: (rings, 2) inner and outer radius of each ring.
        areas: (rings,) area of each ring.

    Raises:
        TypeError: `centres` is no floating-point tensor, or a radius neither a number nor a tensor.
        ValueError: there is no ring, a shape does not fit, an entry is infinite or nan, a radius lies outside
            of 0 <= inner < outer, or a ring is so thin that it has hardly a point in float32.

    Example:
        >>> rings = Rings(torch.tensor([[0.0, 0.0], [1.0, 0.0]]), 0, 1)  # two discs
        >>> rings.coverage()
        tensor([0.6090, 0.3910], dtype=torch.float64)
        >>> round(rings.mutual_information(), 4)  # log 2, less what is lost where both could be meant
        0.4221
    """

    def __init__(self, centres: Float[Tensor, "rings 2"], inner: Radius, outer: Radius) -> None:
        require_points(centres, 2, "centres")
        require_finite(centres, "centres")
        require_count(len(centres), "number of centres")
        self.centres = centres.detach().to("cpu", torch.float64, copy=True)
        self.radii = torch.stack([_of_each(inner, "inner", centres), _of_each(outer, "outer", centres)], 1)
        for c, (low, high) in enumerate(self.radii.tolist()):
            if not 0 <= low < high < math.inf:
                raise ValueError(f"ring {c} has inner {low}, outer {high}; needs finite 0 <= inner < outer")
            if high - low < 1e-5 * (high + float(self.centres[c].norm())):  # sample would hardly hit it
                raise ValueError(f"ring {c} has inner {low}, outer {high}; it is too thin for float32")
        self.areas: Float[Tensor, " rings"] = math.pi * self.radii.square().diff(dim=1)[:, 0]

    def __len__(self) -> int:
        return len(self.centres)

    def mean(self) -> Float[Tensor, " 2"]:
        """Mean of the distribution."""
        return self.centres.mean(0)

    def variance(self) -> Float[Tensor, " 2"]:
        """Variance of each coordinate: that of the centres, plus half the mean squared radius of a ring."""
        return self.centres.var(0, unbiased=False) + self.radii.square().sum(1).mean() / 4

    def sample(
        self, n: int, ring: Int[Tensor, " n"] | None = None
    ) -> tuple[Float[Tensor, "n 2"], Int[Tensor, " n"]]:
        """Draw n points and the rings they were drawn from.

        Args:
            n: how many.
            ring: the ring of each point; drawn uniformly when left out.

        Returns:
            x: (n, 2) points, in torch's default dtype.
            ring: (n,) labels in 0..rings-1.

        Raises:
            TypeError: `n` is no whole number, or `ring` no tensor of integers.
            ValueError: `n` is below 1, or `ring` is not n labels in 0..rings-1.

        Example:
            >>> _ = torch.manual_seed(0)
            >>> x, ring = OlympicRings().sample(1000)
            >>> bool(OlympicRings().on_rings(x).all())
            True
        """
        require_count(n)
        if ring is None:
            ring = torch.randint(len(self), (n,), device="cpu")  # a seed means the same on every device
        require_labels(ring, n, len(self))
        x = self._draw(ring)
        # Rounding to float32 can push a point across an edge; such a point is drawn again.
        while (lost := ~self.covers(x).gather(1, ring[:, None]).squeeze(1)).any():
            x[lost] = self._draw(ring[lost])
        return x, ring

    def _draw(self, ring: Int[Tensor, " n"]) -> Float[Tensor, "n 2"]:
        # Uniform by area: the square of the radius is uniform between the squares of the edges.
        share, turn = torch.rand(2, len(ring), dtype=torch.float64, device="cpu")
        inner, outer = self.radii[ring].unbind(1)
        radius = (inner**2 + share * (outer**2 - inner**2)).sqrt()
        angle = 2 * math.pi * turn
        offset = radius[:, None] * torch.stack([angle.cos(), angle.sin()], dim=1)
        return (self.centres[ring] + offset).to(torch.get_default_dtype())

    def covers(self, x: Float[Tensor, "batch 2"]) -> Bool[Tensor, "batch rings"]:
        """Which rings cover each point, edges included.

        Raises:
            TypeError: `x` is no floating-point tensor.
            ValueError: its shape is not (batch, 2), or an entry is infinite or nan.
        """
        require_points(x, 2)
        require_finite(x)
        # In float64, and without the matrix product that cdist would use: edges must be sharp.
        distance = (x.detach().double()[:, None] - self.centres.to(x.device)).norm(dim=-1)
        inner, outer = self.radii.to(x.device).unbind(1)
        return (distance >= inner) & (distance <= outer)

    def on_rings(self, x: Float[Tensor, "batch 2"]) -> Bool[Tensor, " batch"]:
        """Whether any ring covers each point."""
        return self.covers(x).any(1)

    def log_prob(
        self, x: Float[Tensor, "batch 2"], ring: Int[Tensor, " batch"] | None = None
    ) -> Float[Tensor, " batch"]:
        """Log-density at x, of all rings or of one; -inf where there is no mass.

        Args:
            x: (batch, 2) points.
            ring: (batch,) the ring whose density is meant, for each point.

        Raises:
            TypeError: `x` is no floating-point tensor, or `ring` no tensor of integers.
            ValueError: `x` is not finite points, or `ring` is not (batch,) labels in 0..rings-1.
        """
        covers, areas = self.covers(x), self.areas.to(x.device)
        if ring is None:
            return (covers / (len(self) * areas)).sum(1).log().to(x.dtype)
        require_labels(ring, len(x), len(self))
        return (covers.gather(1, ring[:, None]).squeeze(1) / areas[ring]).log().to(x.dtype)

    def posterior(self, x: Float[Tensor, "batch 2"]) -> Float[Tensor, "batch rings"]:
        """Probability of each ring given the point; nan off the rings, where no ring could be it."""
        each = self.covers(x) / self.areas.to(x.device)
        return (each / each.sum(1, keepdim=True)).to(x.dtype)

    def coverage(self) -> Float[Tensor, " most"]:
        """Share of the points that one ring covers, two rings, and so on to the most that meet anywhere."""
        share, covers = overlaps(self.centres, self.radii)
        return torch.bincount(covers.sum(1), share)[1:]

    def entropy(self) -> float:
        """Entropy H(x) in nats: minus the mean log-density, which is constant where the same rings meet."""
        share, covers = overlaps(self.centres, self.radii)
        return -float(share @ (covers / (len(self) * self.areas)).sum(1).log())

    def conditional_entropy(self) -> float:
        """Entropy H(x | class) in nats: the mean logarithm of a ring's area."""
        return float(self.areas.log().mean())

    def mutual_information(self) -> float:
        """Information I(x; class) in nats that a point gives about its ring."""
        return self.entropy() - self.conditional_entropy()


def _of_each(radius: Radius, name: str, centres: Float[Tensor, "rings 2"]) -> Float[Tensor, " rings"]:
    """One radius for each ring, from one number for all of them or one for each."""
    if not isinstance(radius, float | int | Tensor):
        raise TypeError(f"{name} is {radius!r}; it must be a number, or a tensor of one for each ring")
    radius = torch.as_tensor(radius, dtype=torch.float64, device="cpu").detach()
    if radius.ndim:
        require_one_each(radius, len(centres), name)
    return radius.expand(len(centres))


NAMES = ("blue", "black", "red", "yellow", "green")

# The drawing: five annuli of inner radius 0.875 and outer radius 1.125.
DRAWN_CENTRES = torch.tensor([[0, 0], [2, 0], [4, 0], [1, -1], [3, -1]], dtype=torch.float64, device="cpu")
DRAWN_INNER, DRAWN_OUTER = 0.875, 1.125
DRAWN_STAR = torch.tensor([[2, 1]], dtype=torch.float64, device="cpu")  # the top of the black ring


class OlympicRings(Rings):
    """The five rings of the book.

    The drawing is shifted to mean zero and divided by **one** number, so that the variance of the
    two coordinates is 1 on average and circles stay circles.

    Attributes:
        inner, outer, area: the radii and the area that all five rings share.
        scale: by what the drawing is divided.

    Example:
        >>> rings = OlympicRings()
        >>> rings.log_prob(rings.star)
        tensor([-1.5738])
        >>> round(rings.entropy(), 6)
        1.413273
    """

    def __init__(self) -> None:
        drawn = Rings(DRAWN_CENTRES, DRAWN_INNER, DRAWN_OUTER)
        self.scale = math.sqrt(drawn.variance().mean())
        self.inner, self.outer = DRAWN_INNER / self.scale, DRAWN_OUTER / self.scale
        super().__init__((DRAWN_CENTRES - drawn.mean()) / self.scale, self.inner, self.outer)
        self.area = math.pi * (self.outer**2 - self.inner**2)
        self._star: Float[Tensor, "1 2"] = (DRAWN_STAR - drawn.mean()) / self.scale

    @property
    def star(self) -> Float[Tensor, "1 2"]:
        """The point that the book follows, the top of the black ring, in torch's default dtype."""
        return self._star.to(torch.get_default_dtype())
