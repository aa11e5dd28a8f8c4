"""Bounds on the least squared distance from N(0, I) to the rings, and the distance that the exact flow goes.

python -m bench.wasserstein

Both bounds are costs of another problem that is solved exactly: to carry the normal law to finitely many
points of given weights. There the best map is the gradient of phi(z) = max_i (a_i z + b_i), whose cells are
polygons, and only the numbers b_i are sought, for which each cell has the weight of its point.

Upper: each sector of a ring is drawn together to its centre of mass. Whoever has arrived at a centre goes on
to a point of the sector, drawn independently, which adds the variance within the sectors.

Lower: each point x of a ring is moved at random to one of four corners about it, so that their mean is x.
With phi and its conjugate phi*, which are best for the corners, Kantorovich's dual problem gives a lower
bound for the rings: phi* is convex, so its mean at the corners is at least that at x. Hence the cost for the
corners, less the variance that the move has added, is at most the cost for the rings.

Source: Aurenhammer, Hoffmann and Aronov, "Minkowski-type theorems and least-squares clustering" (1998); the
damped Newton method: Kitagawa, Mérigot and Thibert, "Convergence of a Newton algorithm for semi-discrete
optimal transport" (2019).
"""

import math
import time

import numpy as np
import torch
from scipy import sparse
from scipy.sparse.linalg import spsolve
from scipy.spatial import ConvexHull
from scipy.special import ndtr

from bench.result_files import write_records
from helpers.ode import integrate
from helpers.path import RingsPath
from helpers.rings import OlympicRings

LAYERS = (1, 2, 4, 8, 16, 24)  # of each ring; its sectors are about as long as wide
FAR = 10.0  # the normal law has 1e-22 of its mass beyond
NODES, WEIGHTS = np.polynomial.legendre.leggauss(64)
Bounds = tuple[np.ndarray, np.ndarray, float]


def _edges(a: np.ndarray, b: np.ndarray) -> tuple[np.ndarray, ...]:
    """Edges between cells of phi: pairs of cells, the gap between their points, the normal, and both ends.

    A corner of a cell is the slope of a triangle of the lower hull of the points (a_i, -b_i). Guards,
    from n on, take what is so far out that the normal law has nothing there, and keep other cells finite.
    """
    angle = np.arange(16) * math.pi / 8
    out = np.stack([np.cos(angle), np.sin(angle)], 1)
    sites = np.concatenate([a, 4 * out])
    heights = np.concatenate([b, (FAR * out @ a.T + b).max(1) - 4 * FAR])
    hull = ConvexHull(np.column_stack([sites, -heights]))
    lower = hull.equations[:, 2] < -1e-12
    corner = -hull.equations[:, :2] / np.where(lower, hull.equations[:, 2], 1)[:, None]
    other = hull.neighbors
    once = lower[:, None] & lower[other] & (other > np.arange(len(other))[:, None])
    facet, opposite = np.nonzero(once)
    pair = np.stack([hull.simplices[facet, (opposite + k) % 3] for k in (1, 2)], 1)
    away = sites[pair[:, 1]] - sites[pair[:, 0]]
    gap = np.linalg.norm(away, axis=1)
    return pair, gap, away / gap[:, None], corner[facet], corner[other[facet, opposite]]


def power_cells(a: np.ndarray, b: np.ndarray) -> tuple[np.ndarray, np.ndarray, sparse.csr_matrix]:
    """What the normal law has in the cells of phi: mass (n,), first moment (n, 2), slopes of the masses in b.

    An integral over a cell is one over its edges: of the mass as seen from 0, in polar coordinates; of the
    moment by the divergence theorem, as z N(z) is minus the gradient of N.
    """
    n = len(a)
    pair, gap, normal, start, end = _edges(a, b)
    tangent = np.stack([-normal[:, 1], normal[:, 0]], 1)
    h = (start * normal).sum(1)
    low, high = np.sort(np.stack([(start * tangent).sum(1), (end * tangent).sum(1)]), axis=0)
    s = (low + high)[:, None] / 2 + (high - low)[:, None] / 2 * NODES
    q = h[:, None] ** 2 + s**2
    seen = h * (high - low) / 2 * (-np.expm1(-q / 2) / q @ WEIGHTS) / (2 * math.pi)
    line = np.exp(-(h**2) / 2) / math.sqrt(2 * math.pi) * (ndtr(high) - ndtr(low))
    mass, moment = np.zeros(n + 16), np.zeros((n + 16, 2))
    for side, sign in ((0, 1), (1, -1)):
        np.add.at(mass, pair[:, side], sign * seen)
        np.add.at(moment, pair[:, side], -sign * normal * line[:, None])
    real = (pair < n).all(1)
    links = sparse.coo_matrix((line[real] / gap[real], pair[real].T), (n, n)).tocsr()
    links = links + links.T
    return mass[:n], moment[:n], sparse.diags(np.asarray(links.sum(1)).ravel()) - links


def semidiscrete(a: np.ndarray, weights: np.ndarray) -> tuple[float, int]:
    """The least mean squared distance from N(0, I) in the plane to points a (n, 2) of these weights.

    Returns the cost, and how many steps of Newton's method it took until all masses agree to 1e-11.
    """
    b = -(a**2).sum(1) / 2  # the cells of the nearest point, none of which is empty
    mass, moment, slopes = power_cells(a, b)
    least = min(mass.min(), weights.min()) / 2
    for step in range(200):
        miss = weights - mass
        if np.abs(miss).max() < 1e-11:
            return 2 + weights @ (a**2).sum(1) - 2 * float((a * moment).sum()), step
        move = np.append(spsolve(slopes[:-1, :-1].tocsc(), miss[:-1]), 0.0)
        share = 1.0
        while share > 1e-9:  # shorter steps, until no cell is lost and the masses are nearer
            new = power_cells(a, b + share * move)
            nearer = np.linalg.norm(weights - new[0]) <= (1 - share / 2) * np.linalg.norm(miss)
            if new[0].min() > least and nearer:
                break
            share /= 2
        b, (mass, moment, slopes) = b + share * move, new
    raise FloatingPointError(f"masses are still off by {np.abs(weights - mass).max():.1e}")


def centres_and_corners(layers: int) -> tuple[tuple[np.ndarray, np.ndarray, float], ...]:
    """The sectors' centres of mass, and their corners: points (n, 2), weights, and what their move adds."""
    rings = OlympicRings()
    inner, outer = rings.inner, rings.outer
    sectors = round(math.pi * (inner + outer) * layers / (outer - inner))
    half = math.pi / sectors
    spread = math.sin(half) / half  # the mean of the cosine over a sector
    edges = np.linspace(inner, outer, layers + 1)
    square, cube = np.diff(edges**2), np.diff(edges**3)
    centre_radius, centre_weight = 2 / 3 * cube / square * spread, square / square.sum()

    # Along the axis of its sector a point is at rho cos(theta), between the levels of two pairs of corners.
    levels = np.linspace(inner * math.cos(half), outer, layers + 1)
    rho = np.sqrt(inner**2 + (outer**2 - inner**2) * (np.arange(4000) + 0.5) / 4000)
    at = (rho[:, None] * np.cos(half * (np.arange(200) + 0.5) / 200)).ravel()
    below = np.clip(np.searchsorted(levels, at) - 1, 0, layers - 1)
    up = (at - levels[below]) / np.diff(levels)[below]
    corner_weight = np.bincount(below, 1 - up, layers + 1) + np.bincount(below + 1, up, layers + 1)
    corner_weight, corner_radius = corner_weight / len(at), levels / math.cos(half)

    def around(radius: np.ndarray, weight: np.ndarray, first: float) -> tuple[np.ndarray, np.ndarray, float]:
        theta = 2 * half * np.arange(sectors) + first
        ring = (radius[:, None, None] * np.stack([np.cos(theta), np.sin(theta)], 1)).reshape(-1, 2)
        points = (ring + rings.centres.numpy()[:, None]).reshape(-1, 2)
        added = abs(weight @ radius**2 - (inner**2 + outer**2) / 2)
        return points, np.tile(np.repeat(weight / sectors, sectors), 5) / 5, added

    return around(centre_radius, centre_weight, 0.0), around(corner_radius, corner_weight, half)


def measure_bounds(layers: int) -> dict[str, object]:
    """Both bounds, with sectors as long as a ring's width over `layers`."""
    started = time.process_time()
    centres, corners = centres_and_corners(layers)
    upper, steps = semidiscrete(*centres[:2])
    lower, _ = semidiscrete(*corners[:2])
    return {
        "layers": layers,
        "points": len(centres[0]),
        "lower": round(float(lower - corners[2]), 7),
        "upper": round(float(upper + centres[2]), 7),
        "newton_steps": steps,
        "cpu_seconds": round(time.process_time() - started, 1),
    }


def measure_flow(sets: int = 64) -> dict[str, object]:
    """The mean squared distance over which the exact flow carries the noise, from sets of 1,024 even points.

    Scrambled anew, each set gives an independent estimate that is right on average.
    """
    started = time.process_time()
    path = RingsPath(OlympicRings())
    times = 1 - (1 - torch.linspace(0, 1, 49, dtype=torch.float64)) ** 1.5
    means = []
    for seed in range(sets):
        even = torch.quasirandom.SobolEngine(2, scramble=True, seed=seed).draw(1024, dtype=torch.float64)
        z = math.sqrt(2) * torch.erfinv(2 * even.clamp(1e-9, 1 - 1e-9) - 1)
        means.append((integrate(path.velocity, z, times, "midpoint") - z).square().sum(1).mean())
    means = torch.stack(means)
    return {
        "flow_moves": round(float(means.mean()), 6),
        "stderr": round(float(means.std()) / math.sqrt(sets), 6),
        "cpu_seconds": round(time.process_time() - started, 1),
    }


def main() -> None:
    """Measure all and write the records."""
    records = []
    for layers in LAYERS:
        records.append(measure_bounds(layers))
        print(records[-1], flush=True)
    records.append(measure_flow())
    print(records[-1], flush=True)
    write_records("wasserstein", records)


if __name__ == "__main__":
    main()
