"""Sampling with noise against chains solved by hand, solvers without noise, and exact densities."""

import math
from collections.abc import Callable

import pytest
import torch
from conftest import RARE, Bad
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats
from torch import Tensor

from helpers import ode
from helpers.matching import VelocityField
from helpers.path import RingsPath
from helpers.rings import OlympicRings
from helpers.sde import diffuse, noisy_step

MEAN, SPREAD = 0.7, 0.4  # of normal data


def normal_field(x: Tensor, t: Tensor, context: None = None) -> Tensor:
    """The exact field for data N(MEAN, SPREAD^2) in every coordinate."""
    variance = (t * SPREAD) ** 2 + (1 - t) ** 2
    return MEAN + (t * SPREAD**2 - (1 - t)) / variance * (x - t * MEAN)


def chain(times: list[float], level: float) -> tuple[float, float]:
    """Mean and variance after the steps, from N(0, 1) at the start: each step is linear, plus noise."""
    mean, variance = 0.0, 1.0
    for t, later in zip(times, times[1:]):
        slope = (t * SPREAD**2 - (1 - t)) / ((t * SPREAD) ** 2 + (1 - t) ** 2)
        v0 = MEAN - slope * t * MEAN  # the velocity is v0 + slope x
        ratio = (1 - later) * t / (later * (1 - t))
        keep = ratio**level
        factor = later * (1 + (1 - t) * slope) + (1 - later) * keep * (1 - t * slope)
        shift = (later * (1 - t) - (1 - later) * keep * t) * v0
        mean, variance = factor * mean + shift, factor**2 * variance + (1 - later) ** 2 * (1 - keep**2)
    return mean, variance


@pytest.mark.parametrize("level", [0.0, 0.3, 1.0, 5.0])
@pytest.mark.parametrize("steps", [1, 3, 10])
def test_the_law_of_every_chain(level: float, steps: int) -> None:
    times = torch.linspace(0, 0.9, steps + 1, dtype=torch.float64)
    x = diffuse(normal_field, torch.randn(20_000, 1, dtype=torch.float64), times, level)[:, 0]
    mean, variance = chain(times.tolist(), level)
    assert stats.kstest(x.numpy(), stats.norm(mean, math.sqrt(variance)).cdf).pvalue > RARE


@pytest.mark.parametrize("level", [0.0, 0.5, 1.0, 3.0])
def test_many_short_steps_have_the_densities_of_the_path(level: float) -> None:
    """By the chain of hand: its law tends to N(t MEAN, (t SPREAD)^2 + (1 - t)^2), at order one."""
    errors = []
    for steps in (2000, 4000):
        mean, variance = chain(torch.linspace(0, 0.9, steps + 1, dtype=torch.float64).tolist(), level)
        errors.append(abs(variance / ((0.9 * SPREAD) ** 2 + 0.1**2) - 1) + abs(mean / (0.9 * MEAN) - 1))
    assert errors[1] < 5e-3
    assert errors[1] == pytest.approx(errors[0] / 2, rel=0.2)


@given(st.lists(st.floats(0.02, 0.98), min_size=1, max_size=6, unique=True), st.floats(0, 8))
@settings(deadline=None, max_examples=30)
def test_with_one_data_point_every_chain_is_exact(inner: list[float], level: float) -> None:
    """Whatever the steps and the level: x is t MEAN + (1 - t) times a standard normal number."""
    times = torch.tensor([0.0, *sorted(inner)], dtype=torch.float64)
    torch.manual_seed(1)
    start = torch.randn(2000, 1, dtype=torch.float64)
    x = diffuse(lambda x, t, c: (MEAN - x) / (1 - t), start, times, level)
    t = float(times[-1])
    assert stats.kstest(((x - t * MEAN) / (1 - t))[:, 0].numpy(), "norm").pvalue > RARE


def test_without_noise_it_is_eulers_method() -> None:
    field, x = VelocityField(classes=5).double(), torch.randn(50, 2, dtype=torch.float64)
    torch.nn.init.normal_(field.network[-1].weight, std=0.1)
    labels = torch.arange(50) % 5
    for t0, t1 in ((0.0, 1.0), (0.2, 0.7)):
        euler = ode.integrate(field, x, 12, "euler", t0, t1, context=labels)
        still = diffuse(field, x, 12, 0, t0, t1, context=labels)
        assert torch.allclose(still, euler, rtol=0, atol=1e-12)


@pytest.mark.parametrize("level", [0.25, 1.0])
def test_the_rings_have_their_density_with_noise(level: float) -> None:
    """Counts in the cells of a grid against integrals of the exact density at T = 0.7."""
    path, until = RingsPath(OlympicRings()), 0.7
    times = torch.linspace(0, until, 61, dtype=torch.float64)
    x = diffuse(path.velocity, torch.randn(3000, 2), times, level)
    side = torch.arange(-150, 150) * 0.02 + 0.01  # cells of 0.5, from -3 to 3, of 25 x 25 places each
    grid = torch.cartesian_prod(side, side)
    mass = (path.log_prob(grid, until).double().exp() * 0.02**2).view(12, 25, 12, 25).sum((1, 3))
    edges = torch.arange(-6, 7) * 0.5
    found = torch.histogramdd(x, [edges, edges]).hist.double()
    often = mass * len(x) > 5
    expected = torch.cat([mass[often], 1 - mass[often].sum()[None]]) * len(x)
    counted = torch.cat([found[often], len(x) - found[often].sum()[None]])
    assert stats.chisquare(counted.numpy(), expected.numpy()).pvalue > 1e-4


def test_noise_is_fresh_and_follows_the_seed() -> None:
    field, x = VelocityField(), torch.zeros(500, 2)
    first, second = diffuse(field, x, 4), diffuse(field, x, 4)
    assert not torch.equal(first, second)
    torch.manual_seed(5)
    one = diffuse(field, x, 4)
    torch.manual_seed(5)
    assert torch.equal(one, diffuse(field, x, 4))
    assert one.dtype == torch.float32


@given(st.floats(0, 0.97), st.floats(0.01, 1), st.floats(0, 20))
@settings(deadline=None)
def test_a_step_has_as_much_noise_as_its_time_asks_for(t: float, part: float, level: float) -> None:
    """What is kept of the noise and what is fresh make (1 - t')^2 together."""
    later = t + part * (1 - t)
    noise, data = torch.randn(3, 2, dtype=torch.float64), torch.randn(3, 2, dtype=torch.float64)
    centre, width = noisy_step((1 - t) * noise + t * data, data - noise, t, min(later, 1.0), level)
    kept = (centre - min(later, 1.0) * data) / noise
    expected = torch.full_like(kept, (1 - min(later, 1.0)) ** 2)
    assert torch.allclose(kept**2 + width**2, expected, rtol=1e-9, atol=1e-12)


X = torch.zeros(3, 2)
FIELD = VelocityField()
BAD: dict[str, Bad] = {
    "a level below zero": (lambda: diffuse(FIELD, X, 4, -1.0), ValueError, ["level is -1.0"]),
    "a level that is no number": (lambda: diffuse(FIELD, X, 4, "much"), TypeError, ["level is 'much'"]),
    "no step": (lambda: diffuse(FIELD, X, 0), ValueError, ["steps is 0"]),
    "times that fall": (
        lambda: diffuse(FIELD, X, torch.tensor([0.5, 0.2])),
        ValueError,
        ["from 0.5", "must rise"],
    ),
    "one time": (lambda: diffuse(FIELD, X, torch.tensor([0.5])), ValueError, ["must rise"]),
    "past the end": (lambda: diffuse(FIELD, X, 4, t1=1.2), ValueError, ["to 1.2", "[0, 1]"]),
    "points that are none": (lambda: diffuse(FIELD, [0.0, 0.0], 4), TypeError, ["x is a list"]),
}


@pytest.mark.parametrize("bad", BAD.values(), ids=BAD)
def test_bad_input_meets_one_clear_error(bad: Bad, meets_one_clear_error: Callable[[Bad], None]) -> None:
    meets_one_clear_error(bad)
