"""The five Olympic rings: a two-dimensional distribution of which everything is known exactly."""

import math

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from helpers.validation import require_count, require_finite, require_labels, require_points

__all__ = ["NAMES", "OlympicRings"]

NAMES = ("blue", "black", "red", "yellow", "green")

# The drawing: five annuli of inner radius 0.875 and outer radius 1.125.
DRAWN_CENTRES = torch.tensor([[0, 0], [2, 0], [4, 0], [1, -1], [3, -1]], dtype=torch.float64, device="cpu")
DRAWN_INNER, DRAWN_OUTER = 0.875, 1.125
DRAWN_STAR = torch.tensor([[2, 1]], dtype=torch.float64, device="cpu")  # the top of the black ring


class OlympicRings:
    """Pick one of five rings at random, then a point of it uniformly by area.

    The drawing is shifted to mean zero and divided by **one** number, so that the variance of the
    two coordinates is 1 on average and circles stay circles. All results are in nats.

    Attributes:
        centres: (5, 2) centres of the rings, in the order of `NAMES`.
        inner, outer: radii between which every ring lies.
        area: area of one ring.

    Example:
        >>> rings = OlympicRings()
        >>> rings.log_prob(rings.star)
        tensor([-1.5738])
        >>> round(rings.entropy(), 6)
        1.413273
    """

    def __init__(self) -> None:
        mean = DRAWN_CENTRES.mean(0)
        # Per axis: the variance of the centres, plus half the mean squared radius of one ring.
        variance = DRAWN_CENTRES.var(0, unbiased=False) + (DRAWN_INNER**2 + DRAWN_OUTER**2) / 4
        self.scale = math.sqrt(variance.mean())
        self.centres: Float[Tensor, "5 2"] = (DRAWN_CENTRES - mean) / self.scale
        self.inner, self.outer = DRAWN_INNER / self.scale, DRAWN_OUTER / self.scale
        self.area = math.pi * (self.outer**2 - self.inner**2)
        self._star: Float[Tensor, "1 2"] = (DRAWN_STAR - mean) / self.scale

    @property
    def star(self) -> Float[Tensor, "1 2"]:
        """The point that the book follows, the top of the black ring, in torch's default dtype."""
        return self._star.to(torch.get_default_dtype())

    def sample(
        self, n: int, ring: Int[Tensor, " n"] | None = None
    ) -> tuple[Float[Tensor, "n 2"], Int[Tensor, " n"]]:
        """Draw n points and the rings they were drawn from.

        Args:
            n: how many.
            ring: the ring of each point; drawn uniformly when left out.

        Returns:
            x: (n, 2) points, in torch's default dtype.
            ring: (n,) labels in 0..4.

        Raises:
            TypeError, ValueError: `n` is no whole number above 0, or `ring` is not n labels in 0..4.

        Example:
            >>> _ = torch.manual_seed(0)
            >>> x, ring = OlympicRings().sample(1000)
            >>> bool(OlympicRings().on_rings(x).all())
            True
        """
        require_count(n)
        if ring is None:
            ring = torch.randint(5, (n,), device="cpu")  # so that a seed means the same on every device
        require_labels(ring, n)
        x = self._draw(ring)
        # Rounding to float32 can push a point across an edge; such a point is drawn again.
        while (lost := ~self.covers(x).gather(1, ring[:, None]).squeeze(1)).any():
            x[lost] = self._draw(ring[lost])
        return x, ring

    def _draw(self, ring: Int[Tensor, " n"]) -> Float[Tensor, "n 2"]:
        # Uniform by area: the square of the radius is uniform between the squares of the edges.
        share, turn = torch.rand(2, len(ring), dtype=torch.float64, device="cpu")
        radius = (self.inner**2 + share * (self.outer**2 - self.inner**2)).sqrt()
        angle = 2 * math.pi * turn
        offset = radius[:, None] * torch.stack([angle.cos(), angle.sin()], dim=1)
        return (self.centres[ring] + offset).to(torch.get_default_dtype())

    def covers(self, x: Float[Tensor, "batch 2"]) -> Bool[Tensor, "batch 5"]:
        """Which rings cover each point, edges included.

        Raises:
            TypeError, ValueError: `x` is not a finite floating-point tensor of shape (batch, 2).
        """
        require_points(x, 2)
        require_finite(x)
        # In float64, and without the matrix product that cdist would use: edges must be sharp.
        offset = x.detach().double()[:, None] - self.centres.to(x.device)
        distance = offset.norm(dim=-1)
        return (distance >= self.inner) & (distance <= self.outer)

    def on_rings(self, x: Float[Tensor, "batch 2"]) -> Bool[Tensor, " batch"]:
        """Whether any ring covers each point."""
        return self.covers(x).any(1)

    def log_prob(
        self, x: Float[Tensor, "batch 2"], ring: Int[Tensor, " batch"] | None = None
    ) -> Float[Tensor, " batch"]:
        """Log-density at x, of all five rings or of one; -inf where there is no mass.

        Args:
            x: (batch, 2) points.
            ring: (batch,) the ring whose density is meant, for each point.

        Raises:
            TypeError, ValueError: bad points, or labels that are not (batch,) integers in 0..4.
        """
        covers = self.covers(x)
        if ring is None:
            return (covers.sum(1).double() / (5 * self.area)).log().to(x.dtype)
        require_labels(ring, len(x))
        return (covers.gather(1, ring[:, None]).squeeze(1).double() / self.area).log().to(x.dtype)

    def posterior(self, x: Float[Tensor, "batch 2"]) -> Float[Tensor, "batch 5"]:
        """Probability of each ring given the point; nan off the rings, where no ring could be it."""
        covers = self.covers(x).to(x.dtype)
        return covers / covers.sum(1, keepdim=True)

    def coverage(self) -> Float[Tensor, " 3"]:
        """Share of the points that one, two and three rings cover.

        The circle of radius rho about a centre meets the edges of the other rings in known angles,
        so the share of the circle under each number of rings is exact. What is left is an integral
        over rho; it is cut where the picture changes (where the circle touches an edge, or passes
        through a crossing of two edges), and each piece is smooth but for square roots at its ends,
        which the substitution rho = mid - half cos(s) removes. Gauss-Legendre does the rest.
        """
        nodes, weights = np.polynomial.legendre.leggauss(40)
        angle, weights = math.pi / 2 * (nodes + 1), weights * math.pi / 2
        share = torch.zeros(3, dtype=torch.float64, device="cpu")
        for c in range(5):
            cuts = self._changes(c)
            for low, high in zip(cuts, cuts[1:]):
                radii = (low + high) / 2 - (high - low) / 2 * np.cos(angle)
                measure = weights * np.sin(angle) * (high - low) / 2 * 2 * math.pi * radii
                for radius, weight in zip(radii, measure):
                    share += weight / (5 * self.area) * self._shares_of_circle(c, radius)
        return share

    def _changes(self, c: int) -> list[float]:
        """Radii about centre c at which the arcs under other rings appear, vanish or change order."""
        centres, edges = self.centres.numpy(), (self.inner, self.outer)
        away = [k for k in range(5) if k != c]
        gap = {k: float(np.linalg.norm(centres[k] - centres[c])) for k in away}
        radii = [abs(gap[k] + sign * edge) for k in away for sign in (-1, 1) for edge in edges]
        circles = [(centres[k], edge) for k in away for edge in edges]
        for i, (p, r) in enumerate(circles):
            for q, s in circles[:i]:
                apart = float(np.linalg.norm(q - p))
                if abs(r - s) < apart < r + s:  # the two edges cross in two points
                    along = (apart**2 + r**2 - s**2) / (2 * apart)
                    unit, across = (q - p) / apart, math.sqrt(r**2 - along**2)
                    normal = np.array([-unit[1], unit[0]])
                    for side in (-across, across):
                        crossing = p + along * unit + side * normal
                        radii.append(float(np.linalg.norm(crossing - centres[c])))
        inside = [r for r in radii if self.inner < r < self.outer]
        return [self.inner, *sorted(inside), self.outer]

    def _shares_of_circle(self, c: int, radius: float) -> Float[Tensor, " 3"]:
        """Share of the circle about centre c that lies under one, two and three rings."""
        starts_and_ends = [0.0, 2 * math.pi]
        arcs = []  # (middle, smallest, largest angle from the middle), for each other ring
        for k in (k for k in range(5) if k != c):
            offset = self.centres[k] - self.centres[c]
            gap, middle = float(offset.norm()), math.atan2(offset[1], offset[0])
            # A point at angle a from the middle is at squared distance gap^2 + rho^2 - 2 gap rho cos a.
            cosines = [(gap**2 + radius**2 - e**2) / (2 * gap * radius) for e in (self.inner, self.outer)]
            near, far = (math.acos(min(1.0, max(-1.0, cosine))) for cosine in cosines)
            arcs.append((middle, near, far))
            starts_and_ends += [(middle + s * a) % (2 * math.pi) for s in (-1, 1) for a in (near, far)]
        cuts = np.sort(starts_and_ends)
        middles, lengths = (cuts[1:] + cuts[:-1]) / 2, np.diff(cuts)
        count = np.ones_like(middles)
        for middle, near, far in arcs:
            away = np.abs((middles - middle + math.pi) % (2 * math.pi) - math.pi)
            count += (near < away) & (away < far)
        shares = [lengths[count == m].sum() / (2 * math.pi) for m in (1, 2, 3)]
        return torch.tensor(shares, dtype=torch.float64, device="cpu")

    def entropy(self) -> float:
        """Entropy H(x) in nats: log(5 area) minus the mean log number of rings over a point."""
        counts = torch.tensor([1.0, 2.0, 3.0], dtype=torch.float64, device="cpu")
        return math.log(5 * self.area) - float(self.coverage() @ counts.log())

    def conditional_entropy(self) -> float:
        """Entropy H(x | class) in nats: the logarithm of one ring's area."""
        return math.log(self.area)

    def mutual_information(self) -> float:
        """Information I(x; class) in nats that a point gives about its ring."""
        return self.entropy() - self.conditional_entropy()
