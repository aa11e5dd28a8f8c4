"""The exact path against an oracle without Bessel functions, sums over samples, and laws it must obey."""

import math
import time
from collections.abc import Callable
from functools import cache

import mpmath as mp
import numpy as np
import pytest
import torch
from hypothesis import example, given, settings
from hypothesis import strategies as st
from scipy import stats
from torch import Tensor

from helpers.path import RingsPath
from helpers.rings import OlympicRings

RINGS = OlympicRings()
PATH = RingsPath(RINGS)
LAST = 1 - 2.0**-53  # the largest float64 below 1
TIMES = [0.0, 0.01, 0.1, 0.5, 0.9, 0.99, 0.999]
RADII = [mp.mpf(edge) for edge in (RINGS.inner, RINGS.outer)]
AREA = mp.pi * (RADII[1] ** 2 - RADII[0] ** 2)
NODES, WEIGHTS = (part.tolist() for part in np.polynomial.legendre.leggauss(60))


def half_angle(r: mp.mpf, away: mp.mpf, edge: mp.mpf) -> mp.mpf:
    """Half of the arc of the circle of radius r about a point that lies in the disc `away` from the point."""
    if away == 0:
        return mp.pi if r < edge else mp.mpf(0)
    cosine = (away**2 + r**2 - edge**2) / (2 * away * r)
    return mp.acos(max(mp.mpf(-1), min(mp.mpf(1), cosine)))


@cache
def oracle_of_ring(d: mp.mpf, t: mp.mpf) -> tuple[mp.mpf, mp.mpf]:
    """Log-density at distance d from t centre, and how far the mean of x1 is from the centre.

    Given xt, x1 has the density of a normal about xt / t of deviation s = (1 - t) / t, cut to the annulus.
    In polar coordinates about xt / t (not about the centre, as in the book) this is an integral over
    q = r^2 / (2 s^2) of exp(-q) times the arcs that lie in the annulus, which are arc cosines.
    """
    away, s = d / t, (1 - t) / t
    q_of = lambda r: r**2 / (2 * s**2)  # noqa: E731
    nearest = max(away - RADII[1], RADII[0] - away, mp.mpf(0))
    low = q_of(nearest)
    high = min(q_of(away + RADII[1]), low + 45)
    cuts = {low, high} | {q_of(abs(away + sign * r)) for sign in (-1, 1) for r in RADII}
    cuts = sorted(q for q in cuts | {low + k for k in (1, 4, 8, 14, 20, 28, 36)} if low <= q <= high)
    mass, towards = mp.mpf(0), mp.mpf(0)
    for a, b in zip(cuts, cuts[1:]):
        for node, weight in zip(NODES, WEIGHTS):
            # sin removes the square roots with which an arc begins and ends.
            turn = mp.pi / 2 * node
            q = (a + b) / 2 + (b - a) / 2 * mp.sin(turn)
            step = weight * mp.pi / 2 * (b - a) / 2 * mp.cos(turn) * mp.exp(low - q)
            r = s * mp.sqrt(2 * q)
            inner, outer = (half_angle(r, away, edge) for edge in RADII)
            mass += step * (outer - inner)
            towards += step * r * (mp.sin(outer) - mp.sin(inner))
    return mp.log(mass / (mp.pi * AREA * t**2)) - low, away - towards / mass


def oracle(x: tuple[float, float], t: float, ring: int | None = None) -> tuple[float, list[float]]:
    """Log-density and velocity at x, in 30 digits, from the very numbers that the path is given."""
    with mp.workdps(30):
        point, time = [mp.mpf(v) for v in x], mp.mpf(t)
        logs, means = [], []
        for centre in RINGS.centres.tolist() if ring is None else [RINGS.centres[ring].tolist()]:
            offset = [p - time * mp.mpf(c) for p, c in zip(point, centre)]
            d = mp.sqrt(offset[0] ** 2 + offset[1] ** 2)
            if t:
                log_p, radius = oracle_of_ring(d, time)
            else:
                log_p, radius = -(d**2) / 2 - mp.log(2 * mp.pi), mp.mpf(0)
            logs.append(log_p)
            means.append([mp.mpf(c) + (radius / d * o if d else 0) for c, o in zip(centre, offset)])
        top = max(logs)
        shares = [mp.exp(log_p - top) for log_p in logs]
        mean = [sum(s * m[i] for s, m in zip(shares, means)) / sum(shares) for i in (0, 1)]
        velocity = [float((m - p) / (1 - time)) for m, p in zip(mean, point)]
        return float(top + mp.log(sum(shares) / len(shares))), velocity


def places(t: float) -> Tensor:
    """Points at time t in the picture and around it: on rings, edges, overlaps, centres, near and far."""
    blue, black = RINGS.centres[:2]
    turn = torch.tensor([0.6, 0.8], dtype=torch.float64)
    middle = (RINGS.inner + RINGS.outer) / 2
    rho = torch.tensor([0, 0.2, RINGS.inner, middle, RINGS.outer, 0.99], dtype=torch.float64)
    on = [t * (black + r * turn) for r in rho]
    overlap = t * ((blue + black) / 2 + torch.tensor([0.0, 0.05], dtype=torch.float64))
    around = torch.tensor([[5, 0], [0, -5], [-3.5, 3.5], [0.3, -2], [300, 200]], dtype=torch.float64)
    return torch.cat([torch.stack([*on, overlap]), around])


def noisy(n: int, t: float) -> Tensor:
    """Points of the path in float64, all different in kind."""
    return PATH.sample(n, t)[0].double()


def error_of(found: Tensor, truth: Tensor) -> Tensor:
    """The error of each point, relative to 1 + the size of the truth."""
    if truth.ndim == 1:
        found, truth = found[:, None], truth[:, None]
    return (found - truth).norm(dim=1) / (1 + truth.norm(dim=1))


def closely(found: Tensor, truth: Tensor, tolerance: float) -> bool:
    return bool((error_of(found, truth) <= tolerance).all())


def gradient(f: Callable[[Tensor], Tensor], at: Tensor) -> Tensor:
    at = at.clone().requires_grad_()
    return torch.autograd.grad(f(at).sum(), at)[0]


# The oracle.


@pytest.mark.parametrize("t", TIMES)
@pytest.mark.parametrize("c", [None, 1, 3])
def test_densities_and_velocities_are_those_of_the_oracle(t: float, c: int | None) -> None:
    x = places(t)
    ring = None if c is None else torch.full((len(x),), c)
    truth = [oracle(tuple(point), t, c) for point in x.tolist()]
    log_p, velocity = (torch.tensor(part, dtype=torch.float64) for part in zip(*truth))
    assert closely(PATH.log_prob(x, t, ring), log_p, 1e-12)
    # At a centre the mean of x1 turns about with the direction from it: a rounding error of 1e-17 in
    # where the centre is becomes one of 1e-8 in the velocity at t = 0.999.
    at_centre = torch.arange(len(x)) == 0
    error = error_of(PATH.velocity(x, t, ring), velocity)
    assert error[~at_centre].max() < 1e-11 and error[at_centre].max() < 1e-8
    mean = x + (1 - t) * velocity
    assert closely(PATH.mean(x, t, ring), mean, 1e-10)
    score = (t * mean - x) / (1 - t) ** 2
    assert closely(PATH.score(x, t, ring), score, 1e-10 if t < 0.99 else 1e-8 / (1 - t))


def test_a_log_density_of_minus_a_million_keeps_its_digits() -> None:
    t, x = 0.999, torch.tensor([[5.0, 0.0]], dtype=torch.float64)
    truth, _ = oracle((5.0, 0.0), t)
    assert truth < -1e6
    assert PATH.log_prob(x, t).item() == pytest.approx(truth, rel=1e-12)


@pytest.mark.parametrize("t", TIMES[1:])
def test_the_density_of_a_ring_is_a_difference_of_chi_square_laws(t: float) -> None:
    """The density at xt is the chance that (xt - (1 - t) x0) / t lies on the ring, over area t^2."""
    x, s = torch.cat([noisy(300, t), places(t)]), (1 - t) / t
    for c in range(5):
        squared = ((x / t - RINGS.centres[c]) / s).square().sum(1).numpy()
        inside = np.diff(
            [stats.ncx2.cdf((r / s) ** 2, 2, squared) for r in (RINGS.inner, RINGS.outer)], axis=0
        )
        seen = inside[0] > 1e-6
        found = PATH.log_prob(x, t, torch.full((len(x),), c)).exp().numpy() * RINGS.area * t**2
        assert seen.sum() > 20
        assert np.allclose(found[seen], inside[0][seen], rtol=1e-8, atol=0)


# Laws of the path.


def test_at_the_start_the_noise_knows_nothing() -> None:
    x = 2 * torch.randn(100, 2, dtype=torch.float64)
    assert torch.allclose(PATH.velocity(x, 0.0), -x, rtol=0, atol=1e-14)
    assert torch.allclose(PATH.score(x, 0.0), -x, rtol=0, atol=1e-14)
    assert torch.allclose(PATH.mean(x, 0.0), torch.zeros_like(x), rtol=0, atol=1e-14)
    assert torch.allclose(PATH.posterior(x, 0.0), torch.full((100, 5), 0.2).double(), rtol=1e-13)
    normal = -x.square().sum(1) / 2 - math.log(2 * math.pi)
    assert torch.allclose(PATH.log_prob(x, 0.0), normal, rtol=1e-13)
    ring = torch.arange(5).repeat(20)
    assert torch.allclose(PATH.velocity(x, 0.0, ring), RINGS.centres[ring] - x, rtol=0, atol=1e-14)
    assert torch.allclose(PATH.log_prob(x, 0.0, ring), normal, rtol=1e-13)


@pytest.mark.parametrize("t", [0.99, 0.995, 0.999])
def test_late_the_density_and_the_posterior_are_those_of_the_rings(t: float) -> None:
    """Deep inside the rings, 6 deviations from every edge, p_t is p(x / t) / t^2, and so is the posterior."""
    x = noisy(2000, t) / t
    distance = (x[:, None] - RINGS.centres).norm(dim=-1)[..., None]
    clear = ((distance - torch.tensor([RINGS.inner, RINGS.outer])).abs() > 6 * (1 - t) / t).all(2).all(1)
    x = x[clear & RINGS.on_rings(x)]
    assert len(x) > 100
    assert torch.allclose(PATH.log_prob(t * x, t), RINGS.log_prob(x) - 2 * math.log(t), rtol=0, atol=1e-7)
    assert torch.allclose(PATH.posterior(t * x, t), RINGS.posterior(x), rtol=0, atol=1e-7)


@pytest.mark.parametrize("t", TIMES)
def test_five_rings_are_the_mean_of_each(t: float) -> None:
    x = torch.cat([noisy(50, t), places(t)[:-1]])
    labels = [torch.full((len(x),), c) for c in range(5)]
    each = torch.stack([PATH.log_prob(x, t, ring) for ring in labels], dim=1)
    log_p, posterior = PATH.log_prob(x, t), PATH.posterior(x, t)
    assert torch.allclose(log_p, each.logsumexp(1) - math.log(5), rtol=1e-13, atol=1e-13)
    assert torch.allclose(posterior.sum(1), torch.ones(len(x)).double(), rtol=0, atol=1e-14)
    assert torch.allclose(posterior, (each - log_p[:, None]).exp() / 5, rtol=1e-6, atol=1e-12)
    for field in (PATH.mean, PATH.velocity, PATH.score):
        apart = torch.stack([field(x, t, ring) for ring in labels], dim=1)
        assert closely(field(x, t), (posterior[..., None] * apart).sum(1), 1e-10 / (1 - t))


@pytest.mark.parametrize("t", TIMES)
@pytest.mark.parametrize("labelled", [False, True])
def test_the_score_is_the_gradient_and_gives_the_velocity(t: float, labelled: bool) -> None:
    x = torch.cat([noisy(50, t), places(t)])
    ring = torch.randint(5, (len(x),)) if labelled else None
    score = PATH.score(x, t, ring)
    assert closely(score, gradient(lambda x: PATH.log_prob(x, t, ring), x), 1e-9)
    if t >= 0.1:
        assert closely(PATH.velocity(x, t, ring), (x + (1 - t) * score) / t, 1e-9)


@pytest.mark.parametrize("t", [0.0, 0.2, 0.5, 0.8, 0.9])
@pytest.mark.parametrize("labelled", [False, True])
def test_the_velocity_carries_the_density(t: float, labelled: bool) -> None:
    """The continuity equation dp/dt + div(p u) = 0, by autograd in time and space."""
    x = torch.cat([noisy(50, t), places(t)]).requires_grad_()
    ring = torch.randint(5, (len(x),)) if labelled else None
    times = torch.full((len(x),), t, dtype=torch.float64, requires_grad=True)
    density = PATH.log_prob(x, times, ring).exp()
    change = torch.autograd.grad(density.sum(), times, retain_graph=True)[0]
    flow = density[:, None] * PATH.velocity(x, times, ring)
    terms = [torch.autograd.grad(flow[:, i].sum(), x, retain_graph=True)[0][:, i] for i in (0, 1)]
    size = 1 + change.abs() + terms[0].abs() + terms[1].abs()
    assert ((change + terms[0] + terms[1]).abs() < 1e-11 * size).all()
    assert change.abs().max() > 0.01


@pytest.mark.parametrize("t", [0.0, 0.01, 0.5, 0.9, 0.99, 0.999])
def test_derivatives_are_those_of_finite_differences(t: float) -> None:
    """The field's Jacobian and its change in time, at centres of rings too."""
    x = torch.cat([noisy(40, t), places(t)[:7]])
    h = 1e-4 * (1 - t)
    jacobian = torch.func.jacrev(lambda x: PATH.velocity(x, t).sum(0))(x).movedim(1, 0)
    for i, step in enumerate(h * torch.eye(2, dtype=torch.float64)):
        # Two steps of central differences, extrapolated: the error is of order h^4.
        one, two = (
            (PATH.velocity(x + k * step, t) - PATH.velocity(x - k * step, t)) / (2 * k) for k in (1, 2)
        )
        assert closely(jacobian[:, :, i], (4 * one - two) / (3 * h), 1e-7 / (1 - t))
    times = torch.full((len(x), 2), t, dtype=torch.float64)  # a copy of time for each coordinate
    change = torch.stack(
        [gradient(lambda s, i=i: PATH.velocity(x, s)[:, i], times[:, i]) for i in (0, 1)], dim=1
    )
    ahead = [PATH.velocity(x, t + k * h) for k in range(5)]
    forward = sum(w * u for w, u in zip((-25 / 12, 4, -3, 4 / 3, -1 / 4), ahead)) / h
    assert closely(change, forward, 1e-6 / (1 - t))


def test_the_jacobian_is_the_covariance_of_the_data() -> None:
    """(1 - t)^2 / t times the Jacobian of E[x1 | xt] is Cov(x1 | xt), so it is symmetric and positive."""
    for t in (0.1, 0.5, 0.9, 0.99):
        jacobian = torch.func.jacrev(lambda x, t=t: PATH.mean(x, t).sum(0))(noisy(200, t)).movedim(1, 0)
        assert torch.allclose(jacobian, jacobian.mT, rtol=0, atol=1e-9 / (1 - t))
        assert torch.linalg.eigvalsh(jacobian).min() > 0


@pytest.mark.parametrize("t", TIMES)
def test_the_mirror_image_swaps_the_rings(t: float) -> None:
    x = torch.cat([noisy(50, t), places(t)])
    flip, swap = torch.tensor([-1.0, 1.0], dtype=torch.float64), torch.tensor([2, 1, 0, 4, 3])
    ring = torch.randint(5, (len(x),))
    tolerance = 1e-12 / (1 - t)
    assert closely(PATH.log_prob(x * flip, t), PATH.log_prob(x, t), tolerance)
    assert closely(PATH.velocity(x * flip, t), PATH.velocity(x, t) * flip, tolerance)
    assert closely(PATH.velocity(x * flip, t, swap[ring]), PATH.velocity(x, t, ring) * flip, tolerance)
    assert torch.allclose(PATH.posterior(x * flip, t), PATH.posterior(x, t)[:, swap], rtol=1e-8, atol=1e-10)


# Samples.


def test_a_sample_lies_between_its_ends() -> None:
    t, ring = torch.rand(20_000), torch.arange(5).repeat(4000)
    xt, x0, x1, kept = PATH.sample(20_000, t, ring)
    assert torch.equal(kept, ring) and RINGS.covers(x1).gather(1, ring[:, None]).all()
    assert torch.allclose(xt, x0 + t[:, None] * (x1 - x0), rtol=0, atol=1e-6)
    assert xt.dtype == x0.dtype == x1.dtype == torch.float32
    assert min(stats.kstest(x0[:, i].numpy(), "norm").pvalue for i in (0, 1)) > 1e-5
    assert torch.corrcoef(torch.cat([x0, x1, t[:, None]], 1).T)[:2, 2:].abs().max() < 5 / math.sqrt(20_000)
    assert torch.bincount(PATH.sample(20_000, 0.5)[3], minlength=5).min() > 3600


@pytest.mark.parametrize("t", [0.3, 0.7, 0.9])
def test_means_posteriors_and_densities_are_those_of_a_sample(t: float) -> None:
    """In each cell of a grid, the average of x1, of its label and of 1 is within 5 standard errors."""
    n = 50_000
    xt, _, x1, ring = PATH.sample(n, t)
    labels = torch.nn.functional.one_hot(ring, 5)
    guess = torch.cat([PATH.mean(xt, t), PATH.posterior(xt, t)], dim=1).double()
    lines = [torch.linspace(-2, 2, 9), torch.linspace(-1.2, 1.2, 6)]
    cell = torch.bucketize(xt[:, 0].contiguous(), lines[0]) * 7 + torch.bucketize(
        xt[:, 1].contiguous(), lines[1]
    )
    error = torch.cat([x1, labels], dim=1).double() - guess
    likely = guess[:, 2:]
    for k in cell.unique().tolist():
        here = cell == k
        spread = error[here].square().sum(0)
        spread[2:] = (likely * (1 - likely))[here].sum(0)  # what the posterior says of its own errors
        normal = spread > torch.tensor([1.0, 1.0, *[20.0] * 5])  # enough points, and enough of that ring
        assert ((error[here].sum(0).abs() < 5 * spread.sqrt()) | ~normal).all()
    # Cells wholly inside the lines: their mass by the density, on a fine grid of midpoints.
    fine = [
        torch.lerp(line[:1], line[-1:], (torch.arange(k) + 0.5) / k) for line, k in zip(lines, (320, 200))
    ]
    x = torch.cartesian_prod(*fine).double()
    mass = PATH.log_prob(x, t).exp() * (4 / 320) * (2.4 / 200)
    at = torch.bucketize(x[:, 0].contiguous(), lines[0]) * 7 + torch.bucketize(x[:, 1].contiguous(), lines[1])
    expected = torch.zeros(70, dtype=torch.float64).index_add(0, at, mass)
    share = torch.bincount(cell, minlength=70).double() / n
    seen = expected > 0
    assert seen.sum() == 40
    assert ((share - expected).abs()[seen] <= 5 * (expected[seen] / n).sqrt() + 1e-4 * expected[seen]).all()


def test_the_exact_field_takes_noise_to_the_rings() -> None:
    """Plain Euler in 128 steps."""
    x = torch.randn(20_000, 2)
    for k in range(128):
        x = x + PATH.velocity(x, k / 128) / 128
    assert RINGS.on_rings(x).float().mean() > 0.999
    # It is p_1 that it ends in, not only its support: rings over a point, and the two coordinates.
    share = torch.bincount(RINGS.covers(x).sum(1), minlength=4)[1:] / len(x)
    assert torch.allclose(share.double(), RINGS.coverage(), rtol=0, atol=0.02)
    data = RINGS.sample(20_000)[0]
    assert max(stats.ks_2samp(x[:, i].numpy(), data[:, i].numpy()).statistic for i in (0, 1)) < 0.025


def test_the_field_of_a_ring_takes_noise_to_it() -> None:
    x, ring = torch.randn(5000, 2), torch.arange(5).repeat(1000)
    for k in range(128):
        x = x + PATH.velocity(x, k / 128, ring) / 128
    assert RINGS.covers(x).gather(1, ring[:, None]).float().mean() > 0.999


# The least loss.


@cache
def floor(by_class: bool) -> float:
    return PATH.loss_floor(by_class)


def test_the_floors_are_the_books() -> None:
    assert floor(False) == pytest.approx(2.85128, abs=2e-5)
    assert floor(True) == pytest.approx(1.53041, abs=2e-5)
    assert PATH.loss_floor_at(0.6) == PATH.loss_floor_at(0.6), "it depends on chance"


@pytest.mark.parametrize("by_class", [False, True])
def test_the_floor_is_the_loss_of_the_exact_field(by_class: bool) -> None:
    n = 60_000
    t = torch.rand(n).sort().values  # sorted, early chunks need few nodes
    xt, x0, x1, ring = PATH.sample(n, t)
    u = PATH.velocity(xt, t, ring if by_class else None)
    loss = (x1 - x0 - u).square().sum(1).double()
    assert abs(loss.mean() - floor(by_class)) < 5 * loss.std() / math.sqrt(n)


@pytest.mark.parametrize("t", [0.2, 0.5, 0.8, 0.98])
def test_the_floor_at_a_time_is_the_loss_of_the_exact_field(t: float) -> None:
    n = 20_000
    xt, x0, x1, ring = PATH.sample(n, t)
    for by_class in (False, True):
        u = PATH.velocity(xt, t, ring if by_class else None)
        loss = (x1 - x0 - u).square().sum(1).double()
        assert abs(loss.mean() - PATH.loss_floor_at(t, by_class)) < 5 * loss.std() / math.sqrt(n)


def test_the_floor_at_its_ends() -> None:
    """At the start, the variance of the data, of 2 in all; at the end, the 2 of the noise."""
    assert PATH.loss_floor_at(0.0) == pytest.approx(2, abs=1e-6)
    assert PATH.loss_floor_at(0, by_class=True) == pytest.approx(
        (RINGS.inner**2 + RINGS.outer**2) / 2, abs=1e-12
    )
    for by_class in (False, True):
        assert PATH.loss_floor_at(0.9995, by_class) == pytest.approx(2, abs=0.01)


def integral_over_time(f: Callable[[float], float], nodes: int) -> float:
    points, weights = np.polynomial.legendre.leggauss(nodes)
    return sum(w / 2 * f((1 + p) / 2) for p, w in zip(points.tolist(), weights.tolist()))


def test_the_floor_by_class_knows_the_entropy_of_a_ring() -> None:
    """Information grows by t / (1 - t) times the floor; from the floor of a normal with the ring's variance
    to the ring's own, the loss of information by t = 1 is the difference of their entropies."""
    variance = (RINGS.inner**2 + RINGS.outer**2) / 4

    def lost(t: float) -> float:
        normal = 2 * variance / (t * t * variance + (1 - t) ** 2)
        return t / (1 - t) * (normal - PATH.loss_floor_at(t, by_class=True))

    entropies = math.log(2 * math.pi * math.e * variance) - RINGS.conditional_entropy()
    assert integral_over_time(lost, 48) == pytest.approx(entropies, abs=1e-6)


def test_the_rise_of_the_floor_without_labels_knows_the_mutual_information() -> None:
    """What a point tells about its ring at the end, 1.4489 nats, is the sum of t / (1 - t) times the rise."""

    def learned(t: float) -> float:
        return t / (1 - t) * (PATH.loss_floor_at(t) - PATH.loss_floor_at(t, by_class=True))

    assert integral_over_time(learned, 20) == pytest.approx(RINGS.mutual_information(), rel=1e-3)


# Whatever comes in.


def test_a_time_for_each_point_is_that_points_time() -> None:
    t = torch.cat([torch.tensor(TIMES), torch.rand(43)]).double()
    x = 2 * torch.randn(50, 2, dtype=torch.float64)
    ring = torch.randint(5, (50,))
    for labels in (None, ring):
        for f in (PATH.log_prob, PATH.mean, PATH.velocity, PATH.score):
            parts = [
                f(x[i : i + 1], float(t[i]), None if labels is None else ring[i : i + 1]) for i in range(50)
            ]
            assert closely(f(x, t, labels), torch.cat(parts), 1e-9)
    posterior = torch.cat([PATH.posterior(x[i : i + 1], float(t[i])) for i in range(50)])
    assert torch.allclose(PATH.posterior(x, t), posterior, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("t", [0, 0.25, torch.tensor(0.25), torch.tensor(0.25).double()])
def test_kinds_of_time_mean_the_same(t: float | Tensor) -> None:
    x = torch.randn(7, 2)
    assert torch.equal(PATH.velocity(x, t), PATH.velocity(x, torch.full((7,), float(t))))


def test_many_points_are_integrated_in_parts() -> None:
    x, t = torch.randn(20_000, 2, dtype=torch.float64), torch.rand(20_000, dtype=torch.float64)
    some = torch.tensor([0, 8191, 8192, 16383, 16384, 19_999])
    assert torch.allclose(PATH.velocity(x, t)[some], PATH.velocity(x[some], t[some]), rtol=1e-9, atol=1e-9)
    assert PATH.velocity(x[:0], 0.5).shape == (0, 2) and PATH.log_prob(x[:0], t[:0]).shape == (0,)


@pytest.mark.parametrize("dtype", [torch.float16, torch.float32, torch.float64])
def test_results_have_the_dtype_of_the_points_and_the_digits_of_float64(dtype: torch.dtype) -> None:
    x, ring = torch.randn(20, 2).to(dtype), torch.arange(5).repeat(4)
    for f in (PATH.log_prob, PATH.mean, PATH.velocity, PATH.score):
        for labels in (None, ring):
            found = f(x, 0.9, labels)
            assert found.dtype == dtype and torch.equal(found, f(x.double(), 0.9, labels).to(dtype))
    assert PATH.posterior(x, 0.9).dtype == dtype


def test_gradients_come_through_where_they_are_asked_for() -> None:
    x = torch.randn(5, 2, requires_grad=True)
    assert PATH.velocity(x, 0.5).requires_grad
    with torch.no_grad():
        assert not PATH.velocity(x, 0.5).requires_grad
    PATH.velocity(x, 0.5).sum().backward()
    assert x.grad.dtype == torch.float32 and x.grad.isfinite().all()


@given(
    t=st.floats(0, LAST) | st.floats(0, 1).map(lambda s: 1 - 10.0 ** (-16 * s)).filter(lambda t: t < 1),
    x=st.lists(st.floats(-1e6, 1e6) | st.floats(-3, 3), min_size=4, max_size=4),
    dtype=st.sampled_from([torch.float32, torch.float64]),
    c=st.none() | st.integers(0, 4),
)
@example(LAST, [0.0, 0.0, 1e100, -1e100], torch.float64, None)
@example(5e-324, [0.0, 0.0, 1e100, -1e100], torch.float64, 2)
@example(0.0, [0.0, 0.0, 1e100, 1e-100], torch.float64, None)
@example(1 - 1e-7, [*RINGS.centres[0].tolist(), 1e3, 0.0], torch.float32, None)
@example(LAST, [*RINGS.centres[0].tolist(), 1e3, -1e3], torch.float32, 1)
@settings(max_examples=300, deadline=None, derandomize=True)
def test_nothing_is_infinite_or_nan(t: float, x: list[float], dtype: torch.dtype, c: int | None) -> None:
    points = torch.tensor(x, dtype=torch.float64).reshape(2, 2)
    if dtype == torch.float32:
        points = points.clamp(-1e3, 1e3)  # beyond it, the log-density just before t = 1 exceeds float32
    points = points.to(dtype)
    ring = None if c is None else torch.full((2,), c)
    for f in (PATH.log_prob, PATH.mean, PATH.velocity, PATH.score):
        assert f(points, t, ring).isfinite().all(), f.__name__
    posterior = PATH.posterior(points, t)
    assert torch.allclose(posterior.sum(1), torch.ones(2, dtype=dtype))
    # The mean of x1 is a mean of points of the rings.
    assert PATH.mean(points, t, ring).norm(dim=1).max() < 2.5


def test_two_thousand_velocities_take_less_than_a_tenth_of_a_second() -> None:
    x, spent = 2 * torch.randn(2000, 2), []
    for t in (0.5, 0.99, 0.5, 0.99):
        start = time.process_time()
        PATH.velocity(x, t)
        spent.append(time.process_time() - start)
    assert min(spent[0::2]) < 0.1 and min(spent[1::2]) < 0.1
