"""An oracle for rings: horizontal strips, exact in x, with a quadrature in the height alone."""

import math
from itertools import combinations
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from scipy.special import roots_legendre


class Strips(NamedTuple):
    """Horizontal intervals that no circle cuts; `measure` is the area that each stands for."""

    left: NDArray
    right: NDArray
    height: NDArray
    measure: NDArray
    covers: NDArray  # (rings, strips)

    @property
    def middles(self) -> torch.Tensor:
        return torch.tensor(np.stack([(self.left + self.right) / 2, self.height], axis=1))


def strips_of(centres: ArrayLike, radii: ArrayLike, nodes: int = 40) -> Strips:
    """Exact in x, Gauss-Legendre in y between the heights at which the order of the circles changes."""
    centres, radii = np.asarray(centres, dtype=float), np.asarray(radii, dtype=float)
    circles = [(x, y, r) for (x, y), pair in zip(centres, radii) for r in pair]
    cuts = {y + sign * r for _, y, r in circles for sign in (-1, 1)}
    for (x1, y1, r1), (x0, y0, r0) in combinations(circles, 2):
        d = math.hypot(x1 - x0, y1 - y0)
        if abs(r0 - r1) + 1e-12 < d < r0 + r1:
            turn = math.acos(max(-1.0, min(1.0, (d * d + r0 * r0 - r1 * r1) / (2 * d * r0))))
            towards = math.atan2(y1 - y0, x1 - x0)
            cuts |= {y0 + r0 * math.sin(towards + sign * turn) for sign in (-1, 1)}
    low, high = (np.array(sorted(cuts))[part][:, None] for part in (slice(None, -1), slice(1, None)))
    at, weights = roots_legendre(nodes)
    # y = middle + half sin(s): the square roots at a circle's top and bottom become smooth.
    turn = at * math.pi / 2
    height = ((low + high) / 2 + (high - low) / 2 * np.sin(turn)).ravel()
    weight = ((high - low) / 2 * np.cos(turn) * weights * math.pi / 2).ravel()
    x, y, r = (np.array(part)[:, None] for part in zip(*circles))
    half = np.sqrt(np.clip(r**2 - (height - y) ** 2, 0, None))  # half chords, (circle, height)
    ends = np.sort(np.concatenate([x - half, x + half]), axis=0)
    left, right = ends[:-1], ends[1:]
    away = np.abs((left + right) / 2 - centres[:, 0, None, None])  # (ring, strip, height)
    covers = (away > half[0::2, None]) & (away < half[1::2, None])
    tall, heavy = (np.broadcast_to(part, left.shape) for part in (height, weight * (right - left)))
    wide = right - left > 1e-9  # a strip that thin has its middle on an edge; all together have no mass
    return Strips(left[wide], right[wide], tall[wide], heavy[wide], covers[:, wide])
