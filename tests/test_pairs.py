"""Pairs that look at each other, against all permutations, a library, and what must not change."""

import itertools
import math
from collections.abc import Callable

import ot
import pytest
import torch
from conftest import RARE, Bad
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from helpers.matching import independent_pairs
from helpers.ode import integrate
from helpers.pairs import reflow_pairs, transport_pairs
from helpers.rings import OlympicRings


@given(n=st.integers(1, 6), dim=st.integers(1, 4), seed=st.integers(0, 10_000))
def test_no_permutation_of_a_block_is_better(n: int, dim: int, seed: int) -> None:
    torch.manual_seed(seed)
    x1 = torch.randn(n, dim)
    x0, _, _ = transport_pairs(x1)
    cost = (x1 - x0).square().sum()
    every = [(x1 - x0[list(order)]).square().sum() for order in itertools.permutations(range(n))]
    assert cost <= min(every) * (1 + 1e-6)


def test_a_block_costs_what_a_library_of_transport_says() -> None:
    x1, _ = OlympicRings().sample(300)
    x0, _, _ = transport_pairs(x1, block=300)
    even = torch.full((300,), 1 / 300, dtype=torch.float64).numpy()
    distances = torch.cdist(x0.double(), x1.double()).square().numpy()
    assert float((x1 - x0).double().square().sum(1).mean()) == pytest.approx(
        ot.emd2(even, even, distances), rel=1e-5
    )


def test_on_a_line_the_best_pairs_are_the_sorted_ones() -> None:
    x1 = torch.randn(200, 1)
    x0, _, _ = transport_pairs(x1, block=200)
    assert torch.equal(x0[x1[:, 0].argsort()], x0.sort(0).values)


def test_the_noise_is_that_of_independent_pairs_in_another_order() -> None:
    """So by itself it is N(0, I); and the data stay where they are."""
    x1, ring = OlympicRings().sample(700)
    torch.manual_seed(3)
    expected, _, _ = independent_pairs(x1)
    torch.manual_seed(3)
    x0, data, context = transport_pairs(x1, ring, block=100)
    assert data is x1 and context is ring
    for rows in torch.arange(700).split(100):  # within each block
        assert torch.equal(*(part[rows][part[rows][:, 0].argsort()] for part in (x0, expected)))
    assert not torch.equal(x0, expected)


def test_blocks_do_not_see_each_other() -> None:
    """The first block is paired as it is alone, whatever comes after."""
    x1 = torch.randn(90, 2)
    torch.manual_seed(5)
    x0, _, _ = transport_pairs(x1, block=30)
    torch.manual_seed(5)
    noise = torch.randn(90, 2)
    distances = torch.cdist(noise[:30].double(), x1[:30].double()).square()
    even = torch.full((30,), 1 / 30, dtype=torch.float64).numpy()
    cost = float((x1[:30] - x0[:30]).double().square().sum(1).mean())
    assert cost == pytest.approx(ot.emd2(even, even, distances.numpy()), rel=1e-5)


def test_blocks_of_one_are_independent_pairs() -> None:
    x1 = torch.randn(50, 3)
    torch.manual_seed(1)
    expected = independent_pairs(x1)[0]
    torch.manual_seed(1)
    assert torch.equal(transport_pairs(x1, block=1)[0], expected)


def test_within_a_label_the_noise_stays_normal() -> None:
    """Whatever the label, by a test of both coordinates; pairs of the whole block fail it."""
    x1, ring = OlympicRings().sample(20_000)
    careful, careless = transport_pairs(x1, ring)[0], transport_pairs(x1)[0]
    for c in range(5):
        for axis in range(2):
            assert stats.kstest(careful[ring == c, axis].numpy(), "norm").pvalue > RARE
        assert stats.kstest(careless[ring == c, 0].numpy(), "norm").pvalue < RARE or c == 1


def test_within_a_label_the_noise_is_only_exchanged_within_it() -> None:
    x1, ring = OlympicRings().sample(400)
    torch.manual_seed(2)
    expected = independent_pairs(x1)[0]
    torch.manual_seed(2)
    x0, _, _ = transport_pairs(x1, ring, block=400)
    for c in range(5):
        assert torch.equal(x0[ring == c, 0].sort().values, expected[ring == c, 0].sort().values)


def test_reflow_pairs_are_the_two_ends_of_a_path() -> None:
    """On a field whose flow is known: a turn by an angle that the context says."""

    def turn(x: torch.Tensor, t: torch.Tensor, context: torch.Tensor) -> torch.Tensor:
        return context * torch.stack([-x[:, 1], x[:, 0]], dim=1)

    x0 = torch.randn(20, 2, dtype=torch.float64)
    angle = torch.rand(20, 1, dtype=torch.float64)
    start, x1, context = reflow_pairs(turn, x0, 200, "rk4", angle)
    assert start is x0 and context is angle
    c, s = angle[:, 0].cos(), angle[:, 0].sin()
    expected = torch.stack([c * x0[:, 0] - s * x0[:, 1], s * x0[:, 0] + c * x0[:, 1]], dim=1)
    torch.testing.assert_close(x1, expected, rtol=0, atol=1e-9)


def test_reflow_never_costs_more_than_the_pairs_of_its_field() -> None:
    """Independent pairs of normal data: the flow leads each point back to where it started."""

    def known(x: torch.Tensor, t: torch.Tensor, context: None = None) -> torch.Tensor:
        return (2 * t - 1) / (t**2 + (1 - t) ** 2) * x

    x0 = torch.randn(500, 2, dtype=torch.float64)
    assert (reflow_pairs(known, x0, 100, "rk4")[1] - x0).abs().max() < 1e-6
    middle = integrate(known, x0, 100, "rk4", t1=0.5)
    torch.testing.assert_close(middle, x0 / math.sqrt(2), rtol=0, atol=1e-6)


X1 = torch.zeros(4, 2)
BAD: list[Bad] = [
    (lambda: transport_pairs([0.0]), TypeError, ["x1"]),
    (lambda: transport_pairs(torch.zeros(4)), ValueError, ["x1", "(4,)"]),
    (lambda: transport_pairs(X1 / 0), ValueError, ["x1", "nan"]),
    (lambda: transport_pairs(X1, block=0), ValueError, ["block", "0"]),
    (lambda: transport_pairs(X1, block=2.5), TypeError, ["block", "2.5"]),
    (lambda: transport_pairs(X1, torch.zeros(4, 3)), TypeError, ["context", "labels"]),
    (lambda: transport_pairs(X1, torch.zeros(3, dtype=torch.long)), ValueError, ["context", "(4,)"]),
    (lambda: reflow_pairs(lambda x, t, c: x, X1, 0), ValueError, ["steps"]),
]


@pytest.mark.parametrize("bad", BAD, ids=lambda bad: bad[2][0])
def test_bad_input_meets_one_clear_error(bad: Bad, meets_one_clear_error: Callable[[Bad], None]) -> None:
    meets_one_clear_error(bad)
