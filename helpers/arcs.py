"""Which rings lie over one another, and how much of them: arcs of circles, exact for any number of rings."""

import math
from itertools import combinations

import numpy as np
import torch
from jaxtyping import Bool, Float
from numpy.typing import NDArray
from torch import Tensor

__all__ = ["overlaps"]

NODES, WEIGHTS = np.polynomial.legendre.leggauss(40)
TURN = math.pi / 2 * (NODES[:, None] + 1)  # from 0 to pi


def overlaps(
    centres: Float[Tensor, "rings 2"], radii: Float[Tensor, "rings 2"]
) -> tuple[Float[Tensor, " pieces"], Bool[Tensor, "pieces rings"]]:
    """Cut rings into pieces, each of which lies under the same rings as a whole.

    The circle of radius rho about a centre meets the edges of the other rings in known angles, so its arcs
    under each set of rings are exact. What is left is an integral over rho; it is cut where the picture
    changes (where the circle touches an edge, or passes through a crossing of two edges), and each part is
    smooth but for square roots at its ends, which the substitution rho = mid - half cos(turn) removes.
    Gauss-Legendre does the rest.

    Args:
        centres, radii: (rings, 2) each, in float64; the radii of a ring are its inner and its outer one.

    Returns:
        share: (pieces,) share of the points in each, where every ring holds equally many, spread evenly.
        covers: (pieces, rings) which rings lie over it.

    Example:
        >>> centres = torch.tensor([[0.0, 0.0], [1.0, 0.0]], dtype=torch.float64)
        >>> share, covers = overlaps(centres, torch.tensor([[0.0, 1.0]] * 2, dtype=torch.float64))  # discs
        >>> round(float(share @ covers.all(1).double()), 6)  # 2 / 3 - sqrt(3) / (2 pi)
        0.391002
    """
    places, shares, covers = torch.view_as_complex(centres.contiguous()).numpy(), [], []
    inner, outer = radii.numpy().T
    area = len(places) * math.pi * (outer**2 - inner**2)  # of all rings, were each as large as ring c
    for c in range(len(places)):
        others = places - places[c]
        cuts = _changes(others, radii.tolist(), c)
        for low, high in zip(cuts, cuts[1:]):
            rho = (low + high) / 2 - (high - low) / 2 * np.cos(TURN)
            step = math.pi / 2 * WEIGHTS[:, None] * (high - low) / 2 * np.sin(TURN)
            ends = _ends_of_arcs(others, radii.numpy(), rho)
            lengths, middles = np.diff(ends), (ends[:, 1:] + ends[:, :-1]) / 2
            away = np.abs((rho * np.exp(1j * middles))[..., None] - others)
            under = (inner < away) & (away < outer)
            under[..., c] = True  # whatever rounding says of a circle next to an edge of its own
            seen = lengths > 1e-9  # shorter arcs are there by rounding alone
            shares.append((step * rho * lengths)[seen] / area[c])
            covers.append(under[seen])
    return torch.from_numpy(np.concatenate(shares)), torch.from_numpy(np.concatenate(covers))


def _ends_of_arcs(others: NDArray, radii: NDArray, rho: NDArray) -> NDArray:
    """Angles, in order, at which circles about 0 meet the edges of rings elsewhere; with 0 and 2 pi."""
    elsewhere = np.abs(others) > 1e-12 * rho.max()  # nearer than that, two centres are one
    gap, middle = np.abs(others[elsewhere]), np.angle(others[elsewhere])
    # A point at angle a from the middle is at squared distance gap^2 + rho^2 - 2 gap rho cos a.
    cosines = [(gap**2 + rho**2 - edge**2) / (2 * gap * rho) for edge in radii[elsewhere].T]
    away = np.arccos(np.clip(cosines, -1, 1))
    ends = np.concatenate([*(middle - away), *(middle + away), 0 * rho], axis=1) % (2 * math.pi)
    return np.sort(np.append(ends, 0 * rho + 2 * math.pi, axis=1))


def _changes(others: NDArray, radii: list[list[float]], c: int) -> NDArray:
    """Radii about 0, where ring c is, at which the arcs under other rings appear, vanish or change order."""
    circles = [(p, r) for k, p in enumerate(others) if k != c for r in radii[k]]
    cuts = [abs(abs(p) + side * r) for p, r in circles for side in (-1, 1)]
    for (p, r), (q, s) in combinations(circles, 2):
        apart = abs(q - p)
        if abs(r - s) + 1e-12 * r < apart < r + s:  # the two edges cross in two points
            along = (apart**2 + r**2 - s**2) / (2 * apart)
            across = math.sqrt(max(0.0, r**2 - along**2))
            cuts += [abs(p + (q - p) / apart * complex(along, side * across)) for side in (-1, 1)]
    cuts = np.unique(np.clip([*radii[c], *cuts], *radii[c]))
    return cuts[np.diff(cuts, append=math.inf) > 1e-12 * cuts[-1]]  # nearer than that, two are one
