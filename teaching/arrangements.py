"""Rings that a seed chooses, so that every class and every year can have problems of its own."""

import math

import torch

from helpers.rings import Rings
from helpers.validation import require_count

__all__ = ["random_rings"]


def random_rings(seed: int) -> Rings:
    """Three to six rings that cross in part, of mean zero and a mean variance of 1, as `OlympicRings` has.

    They are drawn in hundredths, so that a seed gives the same ones on every machine, each across an earlier
    one. A drawing is kept if between a tenth and a half of the points lie on more than one ring.

    Raises:
        TypeError: `seed` is no whole number.
        ValueError: it is negative.

    Example:
        >>> rings = random_rings(2027)
        >>> len(rings), round(rings.entropy(), 4)
        (4, 1.9138)
    """
    require_count(seed, "seed", least=0)
    chance = {"generator": torch.Generator("cpu").manual_seed(seed), "device": "cpu"}
    while True:
        rings = int(torch.randint(3, 7, (), **chance))
        size, width, gap, turn, which = torch.rand(5, rings, dtype=torch.float64, **chance)
        middle, half = 0.7 + 0.5 * size, 0.08 + 0.12 * width
        centres = torch.zeros(rings, 2, dtype=torch.float64, device="cpu")
        for c in range(1, rings):
            earlier, angle = int(which[c] * c), 2 * math.pi * turn[c]
            # Too far apart to lie in one another, as sizes differ by 0.5 at most, and near enough to cross.
            away = (0.55 + 0.4 * gap[c]) * (middle[c] + middle[earlier])
            centres[c] = centres[earlier] + away * torch.stack([angle.cos(), angle.sin()])
        inner, outer = (middle - half).round(decimals=2), (middle + half).round(decimals=2)
        drawn = Rings(centres.round(decimals=2), inner, outer)
        if 0.5 <= drawn.coverage()[0] <= 0.9:
            scale = drawn.variance().mean().sqrt()
            return Rings((drawn.centres - drawn.mean()) / scale, inner / scale, outer / scale)
