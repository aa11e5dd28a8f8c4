"""Instruments that need no truth, where the truth is known."""

import math
from collections.abc import Callable

import pytest
import torch

from helpers.instruments import grouped_mean, total_mass, two_sample_accuracy


def test_the_standard_error_of_groups_is_that_of_repetition() -> None:
    """Twenty rows that share a shift: over 400 repetitions the error of the mean is as stated."""
    torch.manual_seed(0)
    groups = torch.arange(50).repeat_interleave(20)
    draws = [torch.randn(50).repeat_interleave(20) + 0.5 * torch.randn(1000) for _ in range(400)]
    stated = torch.tensor([grouped_mean(values, groups).stderr for values in draws])
    true = torch.stack(draws).mean(1).std()
    assert 0.9 < float(stated.mean() / true) < 1.1
    naive = torch.tensor([grouped_mean(values, torch.arange(1000)).stderr for values in draws])
    assert float(naive.mean() / true) < 0.35


def test_rows_of_their_own_have_the_usual_standard_error() -> None:
    values = torch.randn(200, generator=torch.Generator().manual_seed(1))
    estimate = grouped_mean(values, torch.randperm(200))
    assert math.isclose(estimate.value, float(values.mean()), abs_tol=1e-6)
    assert math.isclose(estimate.stderr, float(values.double().std()) / math.sqrt(200), rel_tol=1e-6)


def test_groups_of_unequal_sizes() -> None:
    """By hand: the mean is 2, the groups' sums of deviations are -2 and 2."""
    estimate = grouped_mean(torch.tensor([1.0, 1.0, 4.0]), torch.tensor([7, 7, 3]))
    assert math.isclose(estimate.value, 2) and math.isclose(estimate.stderr, 4 / 3)


def test_a_classifier_tells_a_shift_and_nothing_else() -> None:
    torch.manual_seed(0)
    x, y = torch.randn(2, 1500, 2)
    same = two_sample_accuracy(x, y)
    assert abs(same.value - 0.5) < 4 * same.stderr and 0.005 < same.stderr < 0.02
    shifted = two_sample_accuracy(x, y + 1)  # the best possible: Phi(sqrt(2) / 2) = 0.76
    assert 0.7 < shifted.value < 0.78


def test_both_samples_count_for_half() -> None:
    torch.manual_seed(0)
    few_and_many = two_sample_accuracy(torch.randn(200, 2), torch.randn(4000, 2))
    assert abs(few_and_many.value - 0.5) < 4 * few_and_many.stderr


def test_rows_of_one_group_are_held_out_together() -> None:
    """Each group sits in a place of its own, which says nothing of groups not seen."""
    torch.manual_seed(0)
    groups = torch.arange(120).repeat_interleave(15)
    x = 10 * torch.randn(120, 2).repeat_interleave(15, 0) + 0.01 * torch.randn(1800, 2)
    halves = (groups[:900], groups[900:])
    assert two_sample_accuracy(x[:900], x[900:]).value > 0.9
    together = two_sample_accuracy(x[:900], x[900:], halves)
    assert abs(together.value - 0.5) < 4 * together.stderr and together.stderr > 0.02


def test_mass_of_a_density_and_of_half_of_one() -> None:
    torch.manual_seed(0)
    proposal = torch.distributions.Normal(0.0, 2.0)
    x = proposal.sample((50_000, 2))
    log_g = proposal.log_prob(x).sum(1)
    normal = torch.distributions.Normal(0.0, 1.0)
    for share in (1.0, 0.5):
        found = total_mass(lambda x, share=share: normal.log_prob(x).sum(1) + math.log(share), x, log_g)
        assert abs(found.value - share) < 4 * found.stderr and found.stderr < 0.01 * share


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: grouped_mean(torch.ones(3), torch.arange(2)), "groups"),
        (lambda: grouped_mean(torch.ones(3), torch.zeros(3, dtype=torch.int64)), "number of groups"),
        (lambda: grouped_mean(torch.tensor([1.0, math.nan]), torch.arange(2)), "values"),
        (lambda: two_sample_accuracy(torch.ones(9, 2), torch.ones(9, 3)), "y has shape"),
        (lambda: two_sample_accuracy(torch.ones(4, 2), torch.ones(9, 2)), "points in x"),
        (
            lambda: two_sample_accuracy(
                torch.ones(9, 2), torch.ones(9, 2), (torch.arange(9), torch.arange(8))
            ),
            "of y",
        ),
        (lambda: total_mass(lambda x: x, torch.ones(9, 2), torch.zeros(9)), "log_prob returned"),
        (lambda: total_mass(lambda x: x[:, 0] * math.inf, torch.ones(9, 2), torch.zeros(9)), "q / g"),
    ],
)
def test_bad_input_is_named(call: Callable[[], object], message: str, no_shape_check: None) -> None:
    with pytest.raises(ValueError, match=message):
        call()
