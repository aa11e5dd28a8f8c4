"""Metrics on models and samples whose scores are known in closed form."""

import math
from collections.abc import Callable

import numpy as np
import pytest
import torch
from conftest import RARE
from scipy import stats
from torch import Tensor, nn

from helpers.flows import Layer, NormalizingFlow, affine_flow
from helpers.matching import VelocityField, matching_loss
from helpers.metrics import Estimate, kl_to_truth, on_ring_share, round_trip_error, sliced_wasserstein
from helpers.rings import OlympicRings

# The exact variances of the rings: of the five centres, plus that of an annulus, over the scale squared.
ANNULUS = (0.875**2 + 1.125**2) / 4
SCALE = math.sqrt((2 + 0.24) / 2 + ANNULUS)
VARIANCE = [(2 + ANNULUS) / SCALE**2, (0.24 + ANNULUS) / SCALE**2]
AREA = math.pi * (1.125**2 - 0.875**2) / SCALE**2


def gaussian(variance: list[float]) -> tuple[Callable[[Tensor], Tensor], float]:
    """The log-density of N(0, diag(variance)), and its exact KL: cross-entropy less the entropy 1.413273."""
    normal = torch.distributions.Normal(torch.zeros(2), torch.tensor(variance).sqrt())
    cross = sum(0.5 * math.log(2 * math.pi * v) + 0.5 * true / v for v, true in zip(variance, VARIANCE))
    return lambda x: normal.log_prob(x).sum(1), cross - 1.4132727


@pytest.mark.parametrize("variance", [VARIANCE, [1.0, 1.0], [3.0, 0.3]])
def test_kl_of_a_gaussian_is_the_closed_form(rings: OlympicRings, variance: list[float]) -> None:
    log_prob, exact = gaussian(variance)
    x, _ = rings.sample(200_000)
    kl = kl_to_truth(log_prob, x)
    assert kl.stderr < 0.004 and abs(kl.value - exact) < 5 * kl.stderr
    if variance is VARIANCE:
        assert exact == pytest.approx(1.2519, abs=2e-4)


def test_the_standard_error_of_kl_is_the_spread_over_repetitions(rings: OlympicRings) -> None:
    log_prob, exact = gaussian([1.0, 1.0])
    x, _ = rings.sample(400 * 500)
    scores = [(kl.value - exact) / kl.stderr for kl in (kl_to_truth(log_prob, part) for part in x.split(500))]
    # The mean and the standard deviation of 400 unit normals, each to within four standard errors.
    assert abs(np.mean(scores)) < 4 / math.sqrt(400)
    assert abs(np.std(scores) - 1) < 4 / math.sqrt(800)


def test_kl_by_class_scores_each_point_under_its_own_ring(rings: OlympicRings) -> None:
    """N(centre, 0.5 I) for each class, so that log q is a function of the radius alone."""
    x, ring = rings.sample(100_000)

    def log_prob(x: Tensor, ring: Tensor) -> Tensor:
        return -(x - rings.centres[ring]).square().sum(1) - math.log(math.pi)

    kl = kl_to_truth(log_prob, x, ring)
    exact = math.log(math.pi) + 2 * ANNULUS / SCALE**2 - math.log(AREA)
    assert kl.stderr < 1e-3 and abs(kl.value - exact) < 5 * kl.stderr


def test_kl_of_the_truth_itself_is_zero(rings: OlympicRings) -> None:
    assert kl_to_truth(rings.log_prob, rings.sample(100)[0]) == (0, 0)
    assert kl_to_truth(rings.log_prob, *rings.sample(100)) == (0, 0)


def test_kl_takes_no_gradient(rings: OlympicRings, randomized: Callable[..., nn.Module]) -> None:
    flow = randomized(affine_flow(couplings=2))
    seen = []
    kl_to_truth(lambda x: seen.append(flow.log_prob(x)) or seen[0], rings.sample(10)[0])
    assert not seen[0].requires_grad


def test_on_ring_share_is_a_count_and_its_binomial_error(rings: OlympicRings) -> None:
    on, _ = rings.sample(300)
    off = 1e-3 * torch.randn(100, 2) + rings.centres[0].float()  # inside the blue ring's hole
    share = on_ring_share(torch.cat([on, off]))
    assert share.value == 0.75
    assert share.stderr == pytest.approx(math.sqrt(0.75 * 0.25 / 399))


def test_with_labels_only_the_own_ring_counts(rings: OlympicRings) -> None:
    x, ring = rings.sample(300, torch.full((300,), 2))
    assert on_ring_share(x, ring).value == 1
    other = on_ring_share(x, torch.full((300,), 4))  # red points that green covers, too
    assert other.value == float(rings.covers(x)[:, 4].double().mean())
    assert other.stderr == pytest.approx(math.sqrt(other.value * (1 - other.value) / 299))


def test_on_ring_share_of_a_uniform_box_is_the_area_of_the_rings() -> None:
    x = torch.rand(100_000, 2) * torch.tensor([5.0, 2.6]) - torch.tensor([2.5, 1.4])
    union = 0.89308 * 5 * AREA  # the accuracy of the best classifier is the union's area over 5 areas
    hits = round(on_ring_share(x).value * len(x))
    assert stats.binomtest(hits, len(x), union / (5.0 * 2.6)).pvalue > RARE


@pytest.mark.parametrize("dim", [2, 4])
def test_sliced_wasserstein_is_the_mean_over_directions_of_scipys(dim: int) -> None:
    x, y = torch.randn(200, dim), 0.5 + torch.rand(200, dim)
    if dim == 2:
        angles = (np.arange(16) + 0.5) * math.pi / 16
        axes = np.stack([np.cos(angles), np.sin(angles)])
        directions, tolerance = 16, 1e-6
    else:
        axes = np.random.default_rng(0).standard_normal((dim, 2000))
        axes /= np.linalg.norm(axes, axis=0)
        directions, tolerance = 2000, 0.03  # two sets of random directions, so as close as chance allows
    each = [stats.wasserstein_distance(x.numpy() @ axis, y.numpy() @ axis) for axis in axes.T]
    assert sliced_wasserstein(x, y, directions) == pytest.approx(np.mean(each), rel=tolerance)


@pytest.mark.parametrize("shift", [(0.3, 0.0), (0.0, -2.0), (-0.6, 0.8)])
def test_sliced_wasserstein_of_a_shift_is_two_over_pi_times_its_length(shift: tuple[float, float]) -> None:
    """The mean of |cos| over the circle, with 128 directions that leave an error of order 1 / 128^2."""
    x = torch.randn(500, 2, dtype=torch.float64)
    moved = x + torch.tensor(shift, dtype=torch.float64)
    assert sliced_wasserstein(x, moved) == pytest.approx(2 / math.pi * math.hypot(*shift), rel=2e-4)


def test_sliced_wasserstein_of_a_shift_in_three_dimensions_is_half_its_length() -> None:
    x, shift = torch.randn(200, 3), torch.tensor([0.6, 0.0, 0.8])
    # |cos| is uniform on [0, 1] over the sphere: standard deviation 0.29, over 4,000 directions.
    assert sliced_wasserstein(x, x + shift, 4000) == pytest.approx(0.5, abs=5 * 0.29 / math.sqrt(4000))


@pytest.mark.parametrize("dim", [1, 2, 5])
def test_sliced_wasserstein_is_a_distance_that_ignores_order_and_repeats(dim: int) -> None:
    x, y, z = torch.randn(3, 300, dim)
    torch.manual_seed(1)
    distance = sliced_wasserstein(x, y)
    torch.manual_seed(2)
    assert sliced_wasserstein(x, y) == distance > 0
    assert sliced_wasserstein(y, x) == pytest.approx(distance, rel=1e-6)
    assert sliced_wasserstein(x[torch.randperm(300)], x) < 1e-6
    assert sliced_wasserstein(x, z) <= distance + sliced_wasserstein(y, z) + 1e-6
    assert sliced_wasserstein(3 * x, 3 * y) == pytest.approx(3 * distance, rel=1e-5)


class Leaky(Layer):
    """Doubles every point, and comes back with a shift that it should not have."""

    dim, classes = 2, 0

    def __init__(self, shift: list[float]) -> None:
        super().__init__()
        self.shift = torch.tensor(shift)

    def forward(self, z: Tensor, ring: Tensor | None = None) -> tuple[Tensor, Tensor]:
        return 2 * z, z.new_full((len(z),), 2 * math.log(2))

    def inverse(self, x: Tensor, ring: Tensor | None = None) -> tuple[Tensor, Tensor]:
        return x / 2 + self.shift, x.new_full((len(x),), -2 * math.log(2))


def test_round_trip_error_is_a_distance_in_data_units() -> None:
    """A shift of 0.5 in the noise is one of 1 in the data."""
    error = round_trip_error(NormalizingFlow([Leaky([0.3, -0.4])]), torch.randn(20, 2))
    assert torch.allclose(error, torch.ones(20), atol=1e-5)


@pytest.mark.parametrize("classes", [0, 3])
def test_round_trip_error_of_a_coupling_flow_is_rounding(
    classes: int, randomized: Callable[..., nn.Module]
) -> None:
    flow = randomized(affine_flow(couplings=3, classes=classes).double())
    x, ring = torch.randn(100, 2, dtype=torch.float64), torch.arange(100) % 3 if classes else None
    error = round_trip_error(flow, x, ring)
    assert error.shape == (100,) and not error.requires_grad
    assert error.max() < 1e-10


def test_points_with_gradients_are_measured_without_a_warning(
    recwarn: pytest.WarningsRecorder,
) -> None:
    x = torch.randn(50, 2, requires_grad=True)
    assert sliced_wasserstein(x, torch.randn(50, 2)) > 0
    assert not recwarn.list


def test_no_points_are_an_error_and_no_nan() -> None:
    nothing = torch.zeros(0, 2)
    for call in (
        lambda: sliced_wasserstein(nothing, nothing),
        lambda: matching_loss(VelocityField(), nothing, nothing),
    ):
        with pytest.raises(ValueError, match="the number of p.* is 0; it must be at least 1"):
            call()


def test_an_estimate_is_printed_with_its_standard_error() -> None:
    assert str(Estimate(0.33461, 0.00412)) == "0.3346 ± 0.0041"
