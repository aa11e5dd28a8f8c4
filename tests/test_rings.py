"""The rings against exact areas, a quadrature of our own in the height, and a million samples."""

import math
from functools import cache

import numpy as np
import pytest
import torch
from conftest import RARE
from numpy.typing import NDArray
from scipy import stats
from strips import Strips, strips_of

from helpers.path import RingsPath
from helpers.rings import NAMES, OlympicRings

# The drawing as the book states it, and its scale from the formula for the variance of an annulus.
DRAWN = np.array([[0, 0], [2, 0], [4, 0], [1, -1], [3, -1]])
SCALE = math.sqrt((DRAWN.var(axis=0).sum() + (0.875**2 + 1.125**2) / 2) / 2)
CENTRES = (DRAWN - [2, -0.4]) / SCALE
INNER, OUTER = 0.875 / SCALE, 1.125 / SCALE
AREA = math.pi * (OUTER**2 - INNER**2)


@cache
def strips() -> Strips:
    return strips_of(CENTRES, [[INNER, OUTER]] * 5)


def under(multiplicity: int) -> float:
    """Area that exactly so many rings cover."""
    return float(strips().measure[strips().covers.sum(0) == multiplicity].sum())


def disc_quadrant(a: NDArray, b: NDArray) -> NDArray:
    """Area of the part of the unit disc with x <= a and y <= b, in closed form."""
    a, b = np.clip(a, -1, 1), np.clip(b, -1, 1)
    half = lambda x: (x * np.sqrt(1 - x * x) + np.arcsin(x)) / 2  # noqa: E731  of sqrt(1 - x^2)
    edge = np.sqrt(1 - b * b)  # where y = b meets the circle
    inside = np.clip(a, -edge, edge)
    below = b * (inside + edge) + half(inside) - half(-edge)
    beyond = half(np.minimum(a, -edge)) - half(-1.0) + half(np.maximum(a, edge)) - half(edge)
    return below + np.where(b > 0, 2 * beyond, 0)


def cell_masses(xs: NDArray, ys: NDArray) -> NDArray:
    """Probability of (ring, cell), shape (5, len(xs) - 1, len(ys) - 1), from areas of discs."""
    masses = []
    for x, y in CENTRES:
        a, b = np.meshgrid(xs - x, ys - y, indexing="ij")
        area = sum(s * r**2 * disc_quadrant(a / r, b / r) for s, r in ((1, OUTER), (-1, INNER)))
        masses.append(np.diff(np.diff(area, axis=0), axis=1) / (5 * AREA))
    return np.array(masses)


def test_the_oracle_knows_the_areas() -> None:
    """Both oracles find the area of every ring, so a disagreement below is not theirs."""
    assert np.allclose((strips().covers * strips().measure).sum(1), AREA, rtol=0, atol=1e-12)
    assert np.allclose(
        cell_masses(np.linspace(-3, 3, 7), np.linspace(-2, 2, 6)).sum((1, 2)), 0.2, rtol=0, atol=1e-14
    )


def test_geometry_is_the_designs(rings: OlympicRings) -> None:
    assert NAMES == ("blue", "black", "red", "yellow", "green")
    assert np.allclose(rings.centres.numpy(), CENTRES, rtol=0, atol=1e-15)
    edges = (rings.scale, rings.inner, rings.outer, rings.area)
    assert edges == pytest.approx((1.275858, 0.685813, 0.881760, AREA), abs=5e-7)
    low, high = rings.centres.amin(0) - rings.outer, rings.centres.amax(0) + rings.outer
    box = [*low.tolist(), *high.tolist()]
    assert box == pytest.approx([-2.4494, -1.3521, 2.4494, 1.1953], abs=1e-4)


def test_the_star_is_the_top_of_the_black_ring(rings: OlympicRings) -> None:
    middle = 1 / SCALE  # halfway between the edges
    assert np.allclose(rings.star.numpy(), CENTRES[1:2] + [0, middle], rtol=0, atol=1e-6)
    assert rings.covers(rings.star).tolist() == [[False, True, False, False, False]]


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_the_star_has_the_default_dtype(rings: OlympicRings, dtype: torch.dtype) -> None:
    torch.set_default_dtype(dtype)
    try:
        assert rings.star.dtype == dtype and rings.on_rings(rings.star).all()
    finally:
        torch.set_default_dtype(torch.float32)


def test_the_rings_are_on_the_cpu_whatever_the_default_device() -> None:
    """A seed gives the same points everywhere, and the exact answers stay exact answers."""
    torch.manual_seed(2)
    expected, ring = OlympicRings().sample(20)
    torch.manual_seed(2)
    with torch.device("meta"):
        rings = OlympicRings()
        drawn, labels = rings.sample(20)
        assert torch.equal(drawn, expected) and torch.equal(labels, ring)
        assert rings.entropy() == OlympicRings().entropy()
        assert torch.equal(RingsPath(rings).velocity(expected, 0.5), RingsPath(rings).velocity(drawn, 0.5))
        assert RingsPath(rings).loss_floor_at(0.5) > 2


def test_entropies_agree_with_an_independent_quadrature(rings: OlympicRings) -> None:
    entropy = math.log(5 * AREA) - sum(m * under(m) / (5 * AREA) * math.log(m) for m in (1, 2, 3))
    found = (rings.entropy(), rings.conditional_entropy(), rings.mutual_information())
    assert found == pytest.approx((entropy, math.log(AREA), entropy - math.log(AREA)), abs=1e-9)
    assert found == pytest.approx((1.413273, -0.035654, 1.448927), abs=5e-7)
    assert 0 < found[2] < math.log(5)


def test_coverage_and_the_best_classifier_agree_with_the_quadrature(rings: OlympicRings) -> None:
    share = rings.coverage()
    assert share.tolist() == pytest.approx([m * under(m) / (5 * AREA) for m in (1, 2, 3)], abs=1e-9)
    assert share.tolist() == pytest.approx([0.810, 0.120, 0.070], abs=5e-4)
    # Under m rings the best guess is right once in m, so its accuracy is the union's area over 5 A.
    accuracy = float(share @ torch.tensor([1, 1 / 2, 1 / 3], dtype=torch.float64))
    assert accuracy == pytest.approx(sum(map(under, (1, 2, 3))) / (5 * AREA), abs=1e-9)
    assert accuracy == pytest.approx(0.89308, abs=5e-6)


@pytest.mark.parametrize("c", [None, 0, 1, 2, 3, 4])
def test_the_density_integrates_to_one(rings: OlympicRings, c: int | None) -> None:
    x = strips().middles
    ring = None if c is None else torch.full((len(x),), c)
    density = rings.log_prob(x, ring).exp().numpy()
    assert (density * strips().measure).sum() == pytest.approx(1, abs=1e-6)
    per_ring = strips().covers.sum(0) / 5 if c is None else strips().covers[c]
    assert np.allclose(density, per_ring / AREA, rtol=1e-12, atol=0)


def test_the_mean_is_zero_and_the_mean_variance_one(rings: OlympicRings) -> None:
    s = strips()
    density = rings.log_prob(s.middles).exp().numpy() * s.measure
    mean = [(density * s.middles[:, i].numpy()).sum() for i in (0, 1)]
    squares = (density * (s.left**2 + s.left * s.right + s.right**2) / 3).sum(), (density * s.height**2).sum()
    assert mean == pytest.approx([0, 0], abs=1e-6)
    assert np.mean(squares) == pytest.approx(1, abs=1e-6)


@pytest.mark.parametrize("seed", range(5))
def test_a_million_samples_fit_the_exact_masses_of_rings_and_cells(rings: OlympicRings, seed: int) -> None:
    torch.manual_seed(seed)
    x, ring = rings.sample(1_000_000)
    xs, ys = np.linspace(-2.5, 2.5, 41), np.linspace(-1.4, 1.25, 24)
    edges = [np.arange(6) - 0.5, xs, ys]
    counts, _ = np.histogramdd(np.column_stack([ring.numpy(), x.numpy()]), edges)
    expected = 1_000_000 * cell_masses(xs, ys)
    assert counts.sum() == 1_000_000
    assert not counts[expected < 1e-7].any(), "a cell without mass holds a sample"
    assert stats.chisquare(counts.sum((1, 2))).pvalue > RARE, "the rings are not equally likely"
    few = expected < 20
    observed = np.append(counts[~few], counts[few].sum())
    p = stats.chisquare(observed, np.append(expected[~few], expected[few].sum())).pvalue
    assert 1e-6 < p < 1 - 1e-6  # nor may a sample follow the masses closer than chance lets it


@pytest.mark.parametrize("dtype", [torch.float16, torch.float32, torch.float64])
def test_every_sample_lies_on_its_own_ring_in_the_default_dtype(
    rings: OlympicRings, dtype: torch.dtype
) -> None:
    """In float16 a point in two hundred is rounded across an edge, and has to be drawn again."""
    torch.set_default_dtype(dtype)
    try:
        x, ring = rings.sample(100_000)
    finally:
        torch.set_default_dtype(torch.float32)
    distance = np.linalg.norm(x.double().numpy() - CENTRES[ring.numpy()], axis=1)
    assert x.dtype == dtype and ring.dtype == torch.int64
    assert distance.min() >= INNER and distance.max() <= OUTER
    assert rings.on_rings(x).all()


def test_a_seed_repeats_the_sample_and_chosen_rings_are_kept(rings: OlympicRings) -> None:
    ring = torch.tensor([3, 3, 0, 4] * 25)
    torch.manual_seed(5)
    x, kept = rings.sample(100, ring)
    torch.manual_seed(5)
    assert torch.equal(x, rings.sample(100, ring)[0]) and torch.equal(kept, ring)
    assert rings.covers(x).gather(1, ring[:, None]).all()


def test_covers_on_rings_and_posterior_agree_with_the_oracle_off_the_edges(rings: OlympicRings) -> None:
    s = strips()
    x, covers = s.middles, torch.tensor(s.covers.T.copy())
    assert torch.equal(rings.covers(x), covers)
    assert torch.equal(rings.on_rings(x), covers.any(1))
    posterior, on = rings.posterior(x), covers.any(1)
    assert torch.allclose(posterior[on], covers[on].double() / covers[on].sum(1, keepdim=True))
    assert torch.allclose(posterior[on].sum(1), torch.ones(int(on.sum()), dtype=torch.float64))
    assert posterior[~on].isnan().all() and (~on).any()


def test_off_the_rings_and_on_another_ring_the_log_density_is_minus_infinity(rings: OlympicRings) -> None:
    x = torch.cat([rings.star, torch.tensor([[0.0, 0.3], [9.0, 9.0]])])
    assert rings.log_prob(x).tolist() == [pytest.approx(-math.log(5 * AREA), abs=1e-6), -math.inf, -math.inf]
    black, blue = torch.tensor([1]), torch.tensor([0])
    assert rings.log_prob(rings.star, black).item() == pytest.approx(-math.log(AREA), abs=1e-6)
    assert rings.log_prob(rings.star, blue).item() == -math.inf


def test_results_have_the_dtype_of_the_points(rings: OlympicRings) -> None:
    for dtype in (torch.float32, torch.float64):
        x = rings.star.to(dtype)
        assert rings.log_prob(x).dtype == rings.posterior(x).dtype == dtype
