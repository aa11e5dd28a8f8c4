"""Rings of any number and radii against strips, sums over the plane, samples, and laws they must obey."""

import doctest
import math

import numpy as np
import pytest
import torch
from conftest import RARE
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats
from strips import Strips, strips_of
from torch import Tensor

from helpers.path import RingsPath
from helpers.rings import OlympicRings, Rings
from teaching import arrangements
from teaching.arrangements import random_rings


def points(*pairs: tuple[float, float]) -> Tensor:
    return torch.tensor(pairs, dtype=torch.float64)


def each(*numbers: float) -> Tensor:
    return torch.tensor(numbers, dtype=torch.float64)


def scattered(seed: int) -> Rings:
    """Two to seven rings anywhere, from thin ones to discs with a small hole."""
    chance = np.random.default_rng(seed)
    n = int(chance.integers(2, 8))
    outer = chance.uniform(0.2, 1.6, n)
    inner = outer * chance.uniform(0, 0.95, n)
    return Rings(*(torch.tensor(part) for part in (chance.uniform(-1.2, 1.2, (n, 2)), inner, outer)))


HEXAGON = [(0.3 * math.cos(k * math.pi / 3), 0.3 * math.sin(k * math.pi / 3)) for k in range(6)]
ARRANGEMENTS = {
    "one": Rings(points((0.3, -1)), 0.5, 0.9),
    "a disc and a ring": Rings(points((0, 0), (0.7, 0.2)), each(0, 0.4), each(0.9, 0.8)),
    "nested": Rings(points((0, 0), (0.1, 0), (0.1, -0.2)), each(0.2, 0.7, 1.2), each(0.6, 1.1, 2.0)),
    "about one centre": Rings(points(*[(1, 1)] * 3), each(0.2, 0.6, 0), each(0.6, 1.1, 0.8)),
    "twins": Rings(points((0, 0), (0, 0), (1, 0), (1, 0)), 0.5, 0.9),
    "apart": Rings(points((0, 0), (3, 0), (-2, 4)), each(0.2, 0.7, 0.2), each(0.6, 1.1, 1.0)),
    "touching outside": Rings(points((0, 0), (1.2, 1.6), (-1.6, 1.2)), 0.5, 1),
    "touching inside": Rings(points((0, 0), (0.5, 0), (-0.25, 0)), each(0.8, 0.1, 0.2), each(1, 0.5, 0.55)),
    "holes that touch": Rings(points((0, 0), (1.5, 0), (0, 1.9)), each(0.75, 0.75, 0.9), 1.0),
    "six deep": Rings(points(*HEXAGON), 0, 1),
    **{f"scattered {seed}": scattered(seed) for seed in range(8)},
    **{f"seed {seed}": random_rings(seed) for seed in (0, 1)},
}
every = pytest.mark.parametrize("name", ARRANGEMENTS)
some = pytest.mark.parametrize("name", ["a disc and a ring", "nested", "twins", "scattered 1", "seed 1"])


def strips(rings: Rings) -> Strips:
    return strips_of(rings.centres.numpy(), rings.radii.numpy())


def density_of(covers: np.ndarray, rings: Rings) -> np.ndarray:
    """Density under rings: each is as likely as any other, and uniform on its area."""
    areas = np.pi * np.diff(rings.radii.numpy() ** 2, axis=1)
    return (covers / areas).mean(0)


def entropy_of(s: Strips, rings: Rings) -> float:
    density = density_of(s.covers, rings)
    on = density > 0
    return -float((s.measure * density * np.log(density, where=on, out=np.zeros(len(on))))[on].sum())


def test_twenty_arrangements_hold_what_is_hard() -> None:
    assert len(ARRANGEMENTS) == 20
    assert sum(len(rings.coverage()) > 3 for rings in ARRANGEMENTS.values()) >= 5
    assert len(ARRANGEMENTS["six deep"].coverage()) == 6


@every
def test_information_is_that_of_the_strips(name: str) -> None:
    rings = ARRANGEMENTS[name]
    s = strips(rings)
    density = density_of(s.covers, rings) * s.measure
    assert density.sum() == pytest.approx(1, abs=1e-9)
    assert rings.entropy() == pytest.approx(entropy_of(s, rings), abs=1e-9)
    areas = (s.covers * s.measure).sum(1)
    assert rings.areas.tolist() == pytest.approx(areas, abs=1e-9)
    assert rings.conditional_entropy() == pytest.approx(np.log(areas).mean(), abs=1e-9)
    assert rings.mutual_information() == pytest.approx(rings.entropy() - np.log(areas).mean(), abs=1e-9)
    assert -1e-12 < rings.mutual_information() < math.log(len(rings)) + 1e-12
    share = np.bincount(s.covers.sum(0), weights=density)[1:]
    assert rings.coverage().tolist() == pytest.approx(share, abs=1e-9)
    middles, left, right = s.middles.numpy(), s.left, s.right
    mean = density @ middles
    variance = density @ np.stack([(left**2 + left * right + right**2) / 3, s.height**2], axis=1) - mean**2
    assert rings.mean().tolist() == pytest.approx(mean, abs=1e-9)
    assert rings.variance().tolist() == pytest.approx(variance, abs=1e-9)


@every
def test_density_and_posterior_are_those_of_the_strips(name: str) -> None:
    rings = ARRANGEMENTS[name]
    s = strips(rings)
    keep = s.right - s.left > 1e-6  # the middle of a thinner strip is next to an edge
    x, covers = s.middles[keep], s.covers[:, keep]
    density = density_of(covers, rings)
    assert torch.equal(rings.covers(x), torch.tensor(covers.T.copy()))
    assert np.allclose(rings.log_prob(x).exp().numpy(), density, rtol=1e-13)
    posterior, on = rings.posterior(x).numpy(), density > 0
    for c in range(len(rings)):
        of_ring = rings.log_prob(x, torch.full((len(x),), c)).exp().numpy()
        assert np.allclose(of_ring, covers[c] / float(rings.areas[c]), rtol=1e-13)
        assert np.allclose(posterior[on, c], of_ring[on] / density[on] / len(rings), rtol=1e-13)
    assert np.isnan(posterior[~on]).all() and not rings.on_rings(x)[~on].any()


@every
def test_a_sample_is_uniform_on_every_ring_and_has_the_entropy(name: str) -> None:
    rings = ARRANGEMENTS[name]
    x, ring = rings.sample(40_000)
    assert rings.covers(x).gather(1, ring[:, None]).all()
    surprise = -rings.log_prob(x).double()
    # The log-density has few values, on rings that lie apart one alone, which float32 rounds to 1e-7 or so.
    assert abs(surprise.mean() - rings.entropy()) < 4 * surprise.std() / math.sqrt(len(x)) + 1e-6
    counts = torch.bincount(ring, minlength=len(rings))
    assert len(rings) == 1 or stats.chisquare(counts).pvalue > RARE
    offset = x.double() - rings.centres[ring]
    inner, outer = rings.radii[ring].square().T
    shares = (offset.square().sum(1) - inner) / (outer - inner), torch.atan2(*offset.T) / (2 * math.pi) + 0.5
    for share in shares:
        for c in range(len(rings)):
            assert stats.kstest(share[ring == c].numpy(), "uniform").pvalue > RARE


# The path.


def plane_sum(x: Tensor, t: float, rings: Rings) -> tuple[Tensor, Tensor]:
    """Log-density at each point, and the mean of x1, of each ring: a sum over points of the ring."""
    along, turns = (50, 300) if t < 0.9 else (300, 2400)
    nodes, weights = (torch.tensor(part) for part in np.polynomial.legendre.leggauss(along))
    angle = torch.arange(turns, dtype=torch.float64) * 2 * math.pi / turns
    circle = torch.stack([angle.cos(), angle.sin()], dim=1)
    logs, means = [], []
    for centre, (inner, outer) in zip(rings.centres, rings.radii):
        rho = (inner + outer) / 2 + (outer - inner) / 2 * nodes
        log_weight = (weights * rho / (inner + outer) / turns).log()[:, None].expand(-1, turns).flatten()
        x1 = (centre + rho[:, None, None] * circle).reshape(-1, 2)
        for point in x:
            log_mass = log_weight - (point - t * x1).square().sum(1) / (2 * (1 - t) ** 2)
            logs.append(log_mass.logsumexp(0) - math.log(2 * math.pi * (1 - t) ** 2))
            means.append(log_mass.softmax(0) @ x1)
    shape = len(rings), len(x)
    return torch.stack(logs).view(shape).T, torch.stack(means).view(*shape, 2).movedim(1, 0)


def close(found: Tensor, truth: Tensor, tolerance: float) -> bool:
    """As Chapter 8 and the tests of the path judge: relative to 1 + the size of the truth."""
    if truth.ndim == 1:
        found, truth = found[:, None], truth[:, None]
    return bool(((found - truth).norm(dim=-1) <= tolerance * (1 + truth.norm(dim=-1))).all())


def noisy(rings: Rings, t: float, n: int) -> Tensor:
    return RingsPath(rings).sample(n, t)[0].double()


@some
@pytest.mark.parametrize("t", [0.0, 0.3, 0.8, 0.95, 0.99])
def test_path_is_that_of_sums_over_the_plane(name: str, t: float) -> None:
    rings = ARRANGEMENTS[name]
    path = RingsPath(rings)
    edge = t * (rings.centres[:1] + torch.stack([rings.radii[:1, 1], torch.zeros(1)], dim=1))
    x = torch.cat([noisy(rings, t, 1 if t > 0.9 else 5), edge])
    logs, means = plane_sum(x, t, rings)
    log_p, posterior = logs.logsumexp(1) - math.log(len(rings)), logs.softmax(1)
    velocity = ((posterior[..., None] * means).sum(1) - x) / (1 - t)
    assert close(path.log_prob(x, t), log_p, 1e-12)
    assert close(path.velocity(x, t), velocity, 1e-11)
    assert close(path.posterior(x, t), posterior, 1e-11)
    for c in range(len(rings)):
        ring = torch.full((len(x),), c)
        assert close(path.log_prob(x, t, ring), logs[:, c], 1e-12)
        assert close(path.velocity(x, t, ring), (means[:, c] - x) / (1 - t), 1e-11)


@every
@pytest.mark.parametrize("t", [0.1, 0.9, 0.97, 0.999])
def test_path_of_each_ring_is_a_difference_of_chi_square_laws(name: str, t: float) -> None:
    rings, s = ARRANGEMENTS[name], (1 - t) / t
    x = torch.cat([noisy(rings, t, 100), t * rings.centres])
    for c, (inner, outer) in enumerate(rings.radii.tolist()):
        squared = ((x / t - rings.centres[c]) / s).square().sum(1).numpy()
        inside = stats.ncx2.cdf((outer / s) ** 2, 2, squared) - stats.ncx2.cdf((inner / s) ** 2, 2, squared)
        seen = inside > 1e-6
        ring = torch.full((len(x),), c)
        found = RingsPath(rings).log_prob(x, t, ring).exp() * rings.areas[c] * t**2
        assert seen.any() and np.allclose(found.numpy()[seen], inside[seen], rtol=1e-8, atol=0)


@some
@pytest.mark.parametrize("t", [0.0, 0.5, 0.9, 0.999])
def test_score_is_the_gradient_and_the_velocity_carries_the_density(name: str, t: float) -> None:
    rings = ARRANGEMENTS[name]
    path, x = RingsPath(rings), noisy(rings, t, 40).requires_grad_()
    times = torch.full((len(x),), t, dtype=torch.float64, requires_grad=True)
    log_p = path.log_prob(x, times)
    by_x, by_t = torch.autograd.grad(log_p.sum(), (x, times), retain_graph=True)
    assert close(path.score(x, t).detach(), by_x, 1e-9)
    if t < 0.999:
        u = path.velocity(x, times)
        parts = [torch.autograd.grad(u[:, i].sum(), x, retain_graph=True)[0][:, i] for i in (0, 1)]
        terms = torch.stack([by_t, (u * by_x).sum(1), *parts])  # of d log p / dt + u . score + div u = 0
        assert (terms.sum(0).abs() < 1e-10 * (1 + terms.abs().sum(0))).all()


@some
@pytest.mark.parametrize("t", [0.4, 0.9])
def test_floor_at_a_time_is_the_loss_of_the_exact_field(name: str, t: float) -> None:
    path = RingsPath(ARRANGEMENTS[name])
    xt, x0, x1, ring = path.sample(8000, t)
    for labels in (None, ring):
        loss = (x1 - x0 - path.velocity(xt, t, labels)).square().sum(1).double()
        floor = path.loss_floor_at(t, labels is not None)
        assert abs(loss.mean() - floor) < 4.5 * loss.std() / math.sqrt(len(loss))


@some
def test_floor_by_class_knows_the_areas(name: str) -> None:
    """Summed over time by t / (1 - t), what a ring's floor is below that of a normal with the ring's variance
    is what the ring's entropy is below the normal's."""
    rings = ARRANGEMENTS[name]
    variance, path = rings.radii.square().sum(1) / 4, RingsPath(rings)
    nodes, weights = np.polynomial.legendre.leggauss(48)
    lost = 0.0
    for t, weight in zip((1 + nodes) / 2, weights / 2):
        normal = 2 * variance / (t * t * variance + (1 - t) ** 2)
        lost += weight * t / (1 - t) * (float(normal.mean()) - path.loss_floor_at(float(t), by_class=True))
    entropies = (2 * math.pi * math.e * variance).log().mean() - rings.conditional_entropy()
    assert lost == pytest.approx(float(entropies), abs=1e-6)


def test_the_rise_of_the_floor_knows_the_mutual_information() -> None:
    path = RingsPath(ARRANGEMENTS["a disc and a ring"])
    nodes, weights = np.polynomial.legendre.leggauss(20)
    learned = 0.0
    for t, weight in zip(((1 + nodes) / 2).tolist(), weights / 2):
        learned += weight * t / (1 - t) * (path.loss_floor_at(t) - path.loss_floor_at(t, by_class=True))
    assert learned == pytest.approx(path.rings.mutual_information(), rel=2e-3)


# Laws that hold for all arrangements.

coordinates = st.floats(-2, 2)
ring_of = st.tuples(coordinates, coordinates, st.floats(0, 1.5), st.floats(0.05, 1))


@st.composite
def any_rings(draw: st.DrawFn) -> Rings:
    """Up to five rings; floats are drawn towards zero and whole numbers, so many touch, cross or repeat."""
    x, y, inner, width = (each(*part) for part in zip(*draw(st.lists(ring_of, min_size=1, max_size=5))))
    return Rings(torch.stack([x, y], dim=1), inner, inner + width)


laws = settings(max_examples=1000, deadline=None)


@given(any_rings())
@laws
def test_density_integrates_to_one_and_the_entropy_is_its_mean(rings: Rings) -> None:
    s = strips(rings)
    keep = s.right - s.left > 1e-6
    density = rings.log_prob(s.middles[keep]).exp().numpy()
    assert (density * s.measure[keep]).sum() == pytest.approx(1, abs=1e-4)
    assert rings.entropy() == pytest.approx(entropy_of(s, rings), abs=1e-6)
    assert float(rings.coverage().sum()) == pytest.approx(1, abs=1e-6)


@given(any_rings(), coordinates, coordinates, st.floats(0.1, 10), st.floats(0, 6.3), st.randoms())
@laws
def test_moves_turns_sizes_and_order_do_to_the_entropy_what_they_must(
    rings: Rings, right: float, up: float, size: float, turn: float, chance: object
) -> None:
    order = chance.sample(range(len(rings)), len(rings))
    turned = each(math.cos(turn), -math.sin(turn), math.sin(turn), math.cos(turn)).view(2, 2)
    centres = size * rings.centres[order] @ turned.T + each(right, up)
    moved = Rings(centres, *(size * rings.radii[order]).T)
    assert moved.entropy() == pytest.approx(rings.entropy() + 2 * math.log(size), abs=1e-6)
    assert moved.mutual_information() == pytest.approx(rings.mutual_information(), abs=1e-6)
    twice = Rings(rings.centres.repeat(2, 1), *rings.radii.repeat(2, 1).T)  # says nothing new of x
    assert twice.entropy() == pytest.approx(rings.entropy(), abs=1e-9)


@given(any_rings(), st.integers(0, 1000))
@laws
def test_points_lie_on_their_rings_and_posteriors_sum_to_one(rings: Rings, seed: int) -> None:
    torch.manual_seed(seed)
    x, ring = rings.sample(50)
    assert rings.covers(x).gather(1, ring[:, None]).all() and rings.log_prob(x, ring).isfinite().all()
    path, t = RingsPath(rings), 0.9
    for posterior in (rings.posterior(x), path.posterior(t * x, t)):
        assert posterior.shape == (50, len(rings))
        assert torch.allclose(posterior.sum(1), torch.ones(50), rtol=0, atol=1e-6)
    assert path.velocity(t * x, 0.999).isfinite().all()


def test_one_pair_of_radii_is_the_same_pair_for_each() -> None:
    centres = points((0, 0), (1, 0), (0.5, 1))
    one, many = Rings(centres, 0.4, 0.8), Rings(centres.float(), each(0.4, 0.4, 0.4), each(0.8, 0.8, 0.8))
    assert torch.equal(one.radii, many.radii) and one.entropy() == many.entropy() and len(one) == 3
    book = OlympicRings()
    again = Rings(book.centres, book.inner, book.outer)
    x, _ = book.sample(1000)
    assert torch.equal(again.log_prob(x), book.log_prob(x)) and again.entropy() == book.entropy()


# Rings that a seed chooses.


@pytest.mark.parametrize("seed", range(40))
def test_chosen_rings_are_scaled_and_cross_in_part(seed: int) -> None:
    rings = random_rings(seed)
    assert 3 <= len(rings) <= 6
    assert rings.mean().norm() < 1e-12 and float(rings.variance().mean()) == pytest.approx(1, abs=1e-12)
    assert 0.1 <= 1 - rings.coverage()[0] <= 0.5
    assert (rings.radii.diff(dim=1) > 0.05).all() and rings.centres.abs().max() + rings.radii.max() < 4


def test_a_seed_means_the_same_rings_for_ever_and_another_seed_other_ones() -> None:
    assert len({round(random_rings(seed).entropy(), 6) for seed in range(40)}) == 40
    torch.set_default_dtype(torch.float64)
    try:
        with torch.device("meta"):
            rings = random_rings(7)
    finally:
        torch.set_default_dtype(torch.float32)
    assert torch.equal(rings.centres, random_rings(7).centres)
    assert (len(rings), round(rings.entropy(), 6)) == (6, 1.833857)


def test_the_example_of_the_seed_holds() -> None:
    assert doctest.testmod(arrangements).failed == 0
