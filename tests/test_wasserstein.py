"""The bounds on the least squared distance, on problems whose answer is known."""

import math
from statistics import NormalDist

import numpy as np
import ot
import pytest

from bench import wasserstein
from helpers.rings import OlympicRings


def test_one_point_costs_its_second_moment() -> None:
    cost, _ = wasserstein.semidiscrete(np.array([[1.0, 2.0]]), np.ones(1))
    assert cost == pytest.approx(2 + 5)


@pytest.mark.parametrize("share", [0.5, 0.2])
def test_two_points_are_parted_by_a_line(share: float) -> None:
    """The half-plane beyond the quantile goes to the one; the mean of what is beyond is a normal density."""
    points = np.array([[0.7, 0.3], [-0.7, -0.3]])
    cost, _ = wasserstein.semidiscrete(points, np.array([share, 1 - share]))
    beyond = NormalDist().inv_cdf(1 - share)
    dot = 2 * np.linalg.norm(points[0]) * NormalDist().pdf(beyond)
    assert cost == pytest.approx(2 + 0.58 - 2 * dot, abs=1e-10)


def test_masses_and_moments_of_cells_are_those_of_the_normal_law() -> None:
    """Against sums over a fine grid; and their slopes against differences."""
    rng = np.random.default_rng(0)
    a, b = rng.normal(size=(5, 2)), rng.normal(size=5) / 4
    mass, moment, slopes = wasserstein.power_cells(a, b)

    grid = np.linspace(-6, 6, 1201)
    z = np.stack(np.meshgrid(grid, grid), -1).reshape(-1, 2)
    weight = np.exp(-(z**2).sum(1) / 2) / (2 * math.pi) * (grid[1] - grid[0]) ** 2
    owner = (z @ a.T + b).argmax(1)
    np.testing.assert_allclose(mass, np.bincount(owner, weight, 5), atol=2e-4)
    for axis in range(2):
        np.testing.assert_allclose(moment[:, axis], np.bincount(owner, weight * z[:, axis], 5), atol=5e-4)
    step = 1e-5
    for j in range(5):
        moved = b.copy()
        moved[j] += step
        slope = (wasserstein.power_cells(a, moved)[0] - mass) / step
        np.testing.assert_allclose(np.asarray(slopes.todense())[:, j], slope, atol=1e-4)


def test_the_cost_is_that_of_a_library_of_transport() -> None:
    """Between the points and many even points of the normal law."""
    rng = np.random.default_rng(1)
    a, weights = rng.normal(size=(12, 2)), rng.dirichlet(np.full(12, 3.0))
    cost, _ = wasserstein.semidiscrete(a, weights)
    radius = np.sqrt(-2 * np.log1p(-(np.arange(40) + 0.5) / 40))
    angle = 2 * math.pi * (np.arange(60) + 0.5) / 60
    z = np.stack([np.outer(radius, np.cos(angle)).ravel(), np.outer(radius, np.sin(angle)).ravel()], axis=1)
    even = np.full(len(z), 1 / len(z))
    found = ot.emd2(even, weights, ot.dist(z, a)) + 2 - (z**2).sum(1).mean()
    assert cost == pytest.approx(found, abs=0.02)


def test_centres_draw_together_and_corners_spread() -> None:
    """Both have the mean of the rings; their second moments differ from the rings' by what the move adds."""
    centres, corners = wasserstein.centres_and_corners(2)
    rings = OlympicRings()
    second = float(rings.centres.square().sum(1).mean()) + (rings.inner**2 + rings.outer**2) / 2
    for (points, weights, added), sign in ((centres, -1), (corners, 1)):
        assert weights.sum() == pytest.approx(1, abs=1e-9)
        np.testing.assert_allclose(weights @ points, rings.centres.mean(0).numpy(), atol=1e-9)
        assert weights @ (points**2).sum(1) - second == pytest.approx(sign * added, abs=1e-7)
        assert added > 0


def test_every_point_lies_between_its_corners() -> None:
    """Corners enclose their ring: the sides of the outer polygon stay outside, the inner ones inside."""
    rings = OlympicRings()
    _, (points, _, _) = wasserstein.centres_and_corners(3)
    from_first = np.linalg.norm(points[: len(points) // 5] - rings.centres[0].numpy(), axis=1)
    sectors = len(np.unique(from_first.round(9)))
    assert sectors == 4
    half = math.pi / (len(points) // 5 // 4)
    assert from_first.max() * math.cos(half) == pytest.approx(rings.outer)
    assert from_first.min() == pytest.approx(rings.inner)


def test_the_bounds_are_on_the_two_sides_and_close_in() -> None:
    coarse, fine = wasserstein.measure_bounds(1), wasserstein.measure_bounds(2)
    assert coarse["lower"] < fine["lower"] < fine["upper"] < coarse["upper"]
