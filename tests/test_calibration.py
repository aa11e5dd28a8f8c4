"""Scores and ranks of forecasts against closed forms and scipy."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import integrate, stats

from helpers.calibration import coverage, crps, density_ranks, pinball, sample_ranks


def crps_of_normal(y: float, mu: float, sigma: float) -> float:
    """Gneiting and Raftery (2007), their formula for a normal forecast."""
    z = (y - mu) / sigma
    return sigma * (z * (2 * stats.norm.cdf(z) - 1) + 2 * stats.norm.pdf(z) - 1 / math.sqrt(math.pi))


@pytest.mark.parametrize("y", [-1.0, 0.3, 4.0])
def test_crps_of_samples_is_that_of_the_normal(y: float) -> None:
    torch.manual_seed(0)
    samples = 1 + 2 * torch.randn(4000, 20, dtype=torch.float64)
    scores = crps(samples, torch.full((4000,), y, dtype=torch.float64))
    error = float(scores.std()) / math.sqrt(4000)
    assert abs(float(scores.mean()) - crps_of_normal(y, 1, 2)) < 4 * error


def test_two_samples_have_no_bias() -> None:
    torch.manual_seed(0)
    scores = crps(torch.randn(200_000, 2, dtype=torch.float64), torch.zeros(200_000, dtype=torch.float64))
    assert abs(float(scores.mean()) - crps_of_normal(0, 0, 1)) < 4 * float(scores.std()) / 200_000**0.5


numbers = st.floats(-100, 100, allow_subnormal=False)


@settings(deadline=None)
@given(st.lists(numbers, min_size=2, max_size=8), numbers)
def test_crps_is_the_sum_over_pairs(draws: list[float], y: float) -> None:
    m = len(draws)
    pairs = sum(abs(a - b) for a in draws for b in draws) / (2 * m * (m - 1))
    wanted = sum(abs(a - y) for a in draws) / m - pairs
    found = crps(torch.tensor([draws], dtype=torch.float64), torch.tensor([y], dtype=torch.float64))
    assert math.isclose(float(found), wanted, abs_tol=1e-9)


@pytest.mark.parametrize("y", [-2.0, 0.0, 1.5])
def test_twice_the_pinball_losses_add_up_to_the_crps(y: float) -> None:
    def at(level: float) -> float:
        q = torch.tensor([[stats.norm.ppf(level)]], dtype=torch.float64)
        value = pinball(q, torch.tensor([y], dtype=torch.float64), torch.tensor([level], dtype=torch.float64))
        return 2 * float(value)

    total, _ = integrate.quad(at, 0, 1, points=[float(stats.norm.cdf(y))], limit=200)
    assert math.isclose(total, crps_of_normal(y, 0, 1), abs_tol=1e-6)


def test_the_true_quantile_has_the_least_pinball_loss() -> None:
    y = torch.from_numpy(stats.expon.ppf((np.arange(100_000) + 0.5) / 100_000))
    grid = torch.linspace(0.1, 4, 400, dtype=torch.float64)
    levels = torch.tensor([0.8], dtype=torch.float64)
    losses = [float(pinball(q.expand(len(y), 1), y, levels).mean()) for q in grid]
    assert abs(float(grid[int(np.argmin(losses))]) - stats.expon.ppf(0.8)) < 0.02


def test_ranks_of_a_draw_like_the_others_are_uniform_with_ties_too() -> None:
    torch.manual_seed(0)
    draws = torch.randint(3, (20_000, 5)).double()  # many are equal
    ranks = sample_ranks(draws[:, :4], draws[:, 4])
    assert stats.kstest(ranks.numpy(), "uniform").pvalue > 0.01
    shifted = sample_ranks(draws[:, :4], draws[:, 4] + 0.5)
    assert stats.kstest(shifted.numpy(), "uniform").pvalue < 1e-6


def test_density_ranks_of_a_normal_are_those_of_its_radius() -> None:
    """In two dimensions the level at which y enters is 1 - exp(-r^2 / 2)."""
    torch.manual_seed(0)
    context = torch.randn(300, 2, dtype=torch.float64)
    y = context + torch.randn(300, 2, dtype=torch.float64)

    def log_prob(y: torch.Tensor, c: torch.Tensor) -> torch.Tensor:
        return -0.5 * (y - c).square().sum(1)

    def sample(n: int, c: torch.Tensor) -> torch.Tensor:
        return c + torch.randn(n, 2, dtype=torch.float64)

    ranks = density_ranks(log_prob, sample, y, context, m=2000)
    exact = 1 - (-0.5 * (y - context).square().sum(1)).exp()
    assert float((ranks - exact).abs().max()) < 0.06


def test_coverage_of_uniform_ranks_and_its_error() -> None:
    ranks = (torch.arange(1000) + 0.5) / 1000
    for central in (True, False):
        value, error = coverage(ranks, 0.8, central=central)
        assert math.isclose(value, 0.8, abs_tol=1e-9)
        assert math.isclose(error, math.sqrt(0.16 / 999), rel_tol=1e-6)
    groups = torch.arange(10).repeat_interleave(100)  # neighbours of like rank
    assert coverage(ranks, 0.8, groups).stderr > 5 * coverage(ranks, 0.8).stderr


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: crps(torch.zeros(3, 1), torch.zeros(3)), "number of samples is 1"),
        (lambda: crps(torch.full((3, 2), math.nan), torch.zeros(3)), "samples has 6 entries"),
        (lambda: pinball(torch.zeros(3, 1), torch.zeros(3), torch.ones(1)), "a level is 1.0"),
        (lambda: coverage(torch.tensor([0.1, 1.2]), 0.5), "ranks reach from"),
        (lambda: coverage(torch.tensor([0.1, 0.2]), 1.0), "a level is 1.0"),
        (
            lambda: density_ranks(lambda y, c: y, lambda n, c: c, torch.zeros(3, 1), torch.zeros(3, 1)),
            "what log_prob returned",
        ),
    ],
)
def test_bad_input_is_named(call: object, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        call()
