"""Flows against autograd, against two other libraries, and against the axioms of a density."""

import math
from collections.abc import Callable
from functools import partial
from typing import NamedTuple

import normflows
import pytest
import torch
import zuko
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats
from torch import Tensor, nn
from torch.distributions import MultivariateNormal, TransformedDistribution
from torch.linalg import slogdet

from helpers.flows import (
    AffineCoupling,
    NormalizingFlow,
    Permutation,
    affine_flow,
)
from helpers.networks import periodic_features

Randomized = Callable[..., nn.Module]
Jacobian = Callable[..., Tensor]

every_size = pytest.mark.parametrize("dim", [2, 3, 5])
with_and_without_classes = pytest.mark.parametrize("classes", [0, 4])


def labels(n: int, classes: int) -> Tensor | None:
    return torch.arange(n) % classes if classes else None


# --- a whole flow (each layer by itself: test_layers.py) -----------------------------------------------


@given(
    dim=st.integers(2, 6),
    classes=st.sampled_from([0, 3]),
    couplings=st.integers(1, 3),
    seed=st.integers(0, 2**32),
    size=st.floats(0, 1),
    far=st.floats(0.01, 10),
)
@settings(max_examples=60, deadline=None, derandomize=True)
def test_any_flow_is_undone_by_its_inverse_and_knows_its_jacobian(
    randomized: Randomized,
    jacobian: Jacobian,
    dim: int,
    classes: int,
    couplings: int,
    seed: int,
    size: float,
    far: float,
) -> None:
    torch.manual_seed(seed)
    flow = affine_flow(dim, couplings, hidden=8, depth=2, classes=classes).double()
    randomized(flow, seed, size)
    z, ring = far * torch.randn(20, dim, dtype=torch.float64), labels(20, classes)
    with torch.no_grad():
        x, log_det = flow(z, ring)
        back, log_det_back = flow.inverse(x, ring)
    # Undoing the smallest scale, exp(-limit), blows rounding up by exp(limit), once for every coupling.
    rounding = 1e-13 * math.exp(flow.layers[0].limit * couplings) * max(1, far, float(x.abs().max()))
    assert (back - z).abs().max() < rounding
    assert (log_det + log_det_back).abs().max() < rounding
    matrix = jacobian(partial(flow, context=ring), z)
    error = (log_det - slogdet(matrix).logabsdet).abs()
    assert (error < 1e-13 * torch.linalg.cond(matrix)).all()


@every_size
@with_and_without_classes
def test_in_float64_a_whole_flow_is_exact_to_rounding(
    dim: int, classes: int, randomized: Randomized, jacobian: Jacobian
) -> None:
    flow = randomized(affine_flow(dim, hidden=16, classes=classes).double(), size=0.7)
    z, ring = torch.randn(2000, dim, dtype=torch.float64), labels(2000, classes)
    x, log_det = flow(z, ring)
    assert (flow.inverse(x, ring)[0] - z).abs().max() < 1e-10
    assert (log_det - slogdet(jacobian(partial(flow, context=ring), z)).logabsdet).abs().max() < 1e-11


@pytest.mark.parametrize("limit", [0.5, 3.0])
def test_log_scale_is_the_networks_word_squashed_to_its_limit(limit: float) -> None:
    layer = AffineCoupling(limit=limit)
    for raw, log_scale in [(1e6, limit), (-1e6, -limit), (1e-3, 1e-3 * limit)]:
        nn.init.constant_(layer.network[-1].bias, raw)
        _, log_det = layer(torch.randn(10, 2))
        assert torch.allclose(log_det, torch.tensor(log_scale), rtol=1e-5)


@pytest.mark.parametrize("frequencies", [0, 1, 5])
def test_periodic_features_are_the_point_and_its_waves(frequencies: int) -> None:
    a = torch.randn(20, 2)
    seen = periodic_features(a, frequencies, reach=2.5)
    waves = [
        [
            *p,
            *(
                f(k * math.pi * v / 2.5)
                for f in (math.sin, math.cos)
                for v in p
                for k in range(1, frequencies + 1)
            ),
        ]
        for p in a.tolist()
    ]
    assert torch.allclose(seen, torch.tensor(waves), atol=1e-5)
    around = periodic_features(a + 2 * 2.5, frequencies, reach=2.5)
    assert torch.allclose(around[:, 2:], seen[:, 2:], atol=1e-4)  # the waves fit the window's width


@pytest.mark.parametrize("order", [[0], [1, 0], [1, 2, 0], [3, 0, 4, 1, 2]])
def test_a_permutation_is_its_matrix(order: list[int]) -> None:
    layer, matrix = Permutation(order), torch.eye(len(order))[order]
    z = torch.randn(20, len(order))
    (x, log_det), (back, log_det_back) = layer(z), layer.inverse(z)
    assert torch.equal(x, z @ matrix.T) and torch.equal(back, z @ torch.linalg.inv(matrix).T)
    expected = torch.linalg.det(matrix).abs().log().expand(20)
    assert torch.equal(log_det, expected) and torch.equal(log_det_back, -expected)


# --- other libraries --------------------------------------------------------------------------------


class ByHand(nn.Module):
    """The network of a coupling, rebuilt with copied weights: (log_scale, shift) without our class."""

    def __init__(self, layer: AffineCoupling, ring: Tensor | None) -> None:
        super().__init__()
        linears = [part for part in layer.network if isinstance(part, nn.Linear)]
        self.weights = [(part.weight, part.bias) for part in linears]
        self.frequencies, self.limit = layer.frequencies, layer.limit
        self.label = None if ring is None else torch.eye(layer.classes)[ring]

    def parts(self, a: Tensor) -> tuple[Tensor, Tensor]:
        phases = [k * math.pi / 3 * column for column in a.T for k in range(1, 1 + self.frequencies)]
        waves = [wave(phase)[:, None] for wave in (torch.sin, torch.cos) for phase in phases]
        hidden = torch.cat([a, *waves] if self.label is None else [a, *waves, self.label], dim=1)
        for i, (weight, bias) in enumerate(self.weights):
            hidden = hidden if i == 0 else torch.maximum(hidden, 0.01 * hidden)
            hidden = hidden @ weight.T + bias
        raw, shift = hidden[:, 0::2], hidden[:, 1::2]  # in turns, coordinate by coordinate
        return self.limit * torch.tanh(raw), shift

    def forward(self, a: Tensor) -> Tensor:
        """The form that normflows wants: shift and log-scale take turns."""
        log_scale, shift = self.parts(a)
        return torch.stack([shift, log_scale], dim=2).flatten(1)

    def zuko(self, a: Tensor) -> torch.distributions.Transform:
        """The form that zuko wants; its log-scale is s / (1 + |s / ln slope|), here solved for s."""
        log_scale, shift = self.parts(a)
        scale = log_scale / (1 - log_scale.abs() / -math.log(1e-3))
        affine = zuko.transforms.MonotonicAffineTransform(shift, scale, slope=1e-3)
        return zuko.transforms.DependentTransform(affine, 1)


@every_size
@with_and_without_classes
def test_an_affine_coupling_is_that_of_normflows(dim: int, classes: int, randomized: Randomized) -> None:
    ring = labels(100, classes)
    layer = randomized(AffineCoupling(dim, classes=classes))
    theirs, z = normflows.flows.AffineCoupling(ByHand(layer, ring)), torch.randn(100, dim)
    for ours, direction in ((layer.forward, theirs.forward), (layer.inverse, theirs.inverse)):
        moved, log_det = ours(z, ring)
        parts, expected = direction(list(z.tensor_split([dim // 2], dim=1)))
        assert torch.allclose(moved, torch.cat(parts, dim=1), rtol=1e-5, atol=1e-5)
        assert torch.allclose(log_det, expected, rtol=1e-5, atol=1e-5)


@every_size
@with_and_without_classes
def test_a_flow_is_zukos_transforms_in_the_same_order(
    dim: int, classes: int, randomized: Randomized, float64: None
) -> None:
    """Layer by layer from the noise, and as a torch distribution whose log_prob is not ours."""
    ring = labels(100, classes)
    flow = randomized(affine_flow(dim, couplings=3, classes=classes))
    transforms = []
    for layer in flow.layers:
        if isinstance(layer, Permutation):
            transforms.append(zuko.transforms.PermutationTransform(layer.order))
        else:
            mask = torch.arange(dim) < dim // 2
            transforms.append(zuko.transforms.CouplingTransform(ByHand(layer, ring).zuko, mask))
    base = MultivariateNormal(torch.zeros(dim), torch.eye(dim))
    theirs = TransformedDistribution(base, transforms)
    z = torch.randn(100, dim)
    x = z
    for transform in transforms:
        x = transform(x)
    assert torch.allclose(flow(z, ring)[0], x, rtol=1e-9, atol=1e-9)
    assert torch.allclose(flow.log_prob(x, ring), theirs.log_prob(x), rtol=1e-9, atol=1e-9)


# --- a flow as a density ----------------------------------------------------------------------------


class Gridded(NamedTuple):
    """A flow with its log-densities on a grid that holds its mass: of each class, then of all together."""

    flow: NormalizingFlow
    x: Tensor
    cell: float
    log_probs: list[Tensor]


@pytest.fixture(scope="module", params=[0, 3])
def gridded(request: pytest.FixtureRequest, randomized: Randomized) -> Gridded:
    flow = randomized(affine_flow(couplings=3, classes=request.param).double(), size=0.7)
    with torch.no_grad():
        turn = torch.linspace(0, 2 * math.pi, 100, dtype=torch.float64)
        disc = torch.cat([r * torch.stack([turn.cos(), turn.sin()], 1) for r in (0, 2, 4, 6)])
        rings = [torch.full((len(disc),), c) for c in range(flow.classes)] or [None]
        reach = torch.cat([flow(disc, ring)[0] for ring in rings])  # all but exp(-18) of the mass
        axes = [
            torch.linspace(float(side.min()), float(side.max()), 400, dtype=torch.float64) for side in reach.T
        ]
        x = torch.cartesian_prod(*axes)
        cell = float((axes[0][1] - axes[0][0]) * (axes[1][1] - axes[1][0]))
        per_class = [flow.log_prob(x, torch.full((len(x),), c)) for c in range(flow.classes)]
        return Gridded(flow, x, cell, [*per_class, flow.log_prob(x)])


def test_the_density_integrates_to_one_and_averages_over_classes(gridded: Gridded) -> None:
    *per_class, total = gridded.log_probs
    masses = [float(log_p.exp().sum()) * gridded.cell for log_p in gridded.log_probs]
    assert masses == pytest.approx([1] * len(masses), abs=1e-4)
    if per_class:
        average = torch.stack(per_class).exp().mean(0)
        assert torch.allclose(total.exp(), average, rtol=1e-9, atol=1e-300)
        assert (per_class[0].exp() - per_class[1].exp()).abs().max() > 0.01  # the classes do differ


def test_samples_have_the_moments_and_entropy_of_the_density(gridded: Gridded) -> None:
    def features(x: Tensor, log_p: Tensor) -> Tensor:
        return torch.column_stack([x, x**2, x[:, 0] * x[:, 1], -log_p])

    for c, log_p in enumerate(gridded.log_probs):
        label = torch.full((50_000,), c) if c < gridded.flow.classes else None
        x = gridded.flow.sample(50_000, label)
        with torch.no_grad():
            measured = features(x, gridded.flow.log_prob(x, label))
        exact = log_p.exp() @ features(gridded.x, log_p) * gridded.cell
        z_scores = (measured.mean(0) - exact) / measured.std(0) * len(x) ** 0.5
        assert z_scores.abs().max() < 5


def test_log_prob_of_the_average_survives_densities_that_underflow() -> None:
    flow = affine_flow(couplings=1, classes=2)
    far = torch.full((1, 2), 30.0)  # exp(-900) is 0 in float32
    assert flow.log_prob(far).item() == pytest.approx(-900 - math.log(2 * math.pi), rel=1e-6)


# --- a flow as a chain ------------------------------------------------------------------------------


@with_and_without_classes
def test_a_trajectory_starts_at_the_noise_and_ends_at_forward(classes: int, randomized: Randomized) -> None:
    flow = randomized(affine_flow(couplings=4, classes=classes))
    z, ring = torch.randn(30, 2), labels(30, classes)
    states = flow.trajectory(z, ring)
    assert states.shape == (9, 30, 2) and not states.requires_grad
    assert torch.equal(states[0], z) and torch.equal(states[-1], flow(z, ring)[0])
    for k in range(9):
        part = flow if k == 0 else NormalizingFlow(list(flow.layers[:k]))
        expected = z if k == 0 else part(z, ring if part.classes else None)[0]
        assert torch.equal(states[k], expected)


def test_a_flow_of_many_dimensions_keeps_its_permutations_with_its_weights(randomized: Randomized) -> None:
    flow, z = randomized(affine_flow(dim=6)), torch.randn(20, 6)
    other = affine_flow(dim=6)  # drawn after, so with other permutations
    assert [p.order.tolist() for p in flow.layers[1::2]] != [p.order.tolist() for p in other.layers[1::2]]
    other.load_state_dict(flow.state_dict())
    x = flow(z)[0]
    assert torch.equal(other(z)[0], x) and torch.equal(other.inverse(x)[0], flow.inverse(x)[0])


def test_a_flow_without_weights_still_samples_and_scores() -> None:
    flow = NormalizingFlow([Permutation([1, 0])])
    assert flow.sample(5).shape == (5, 2)
    assert torch.allclose(flow.log_prob(torch.zeros(1, 2)), torch.tensor(-math.log(2 * math.pi)))


# --- classes ----------------------------------------------------------------------------------------


def test_sampling_without_labels_draws_the_classes_evenly() -> None:
    """A layer that shifts class c by 20 c, so that a sample shows which class was drawn."""
    layer = AffineCoupling(classes=4)
    layer.read = lambda a, context: torch.stack([0 * a, 20.0 * context[:, None]], dim=2)
    flow = NormalizingFlow([layer])
    drawn = (flow.sample(4000)[:, 1] / 20).round()
    counts = [int((drawn == c).sum()) for c in range(4)]
    assert sum(counts) == 4000 and stats.chisquare(counts).pvalue > 1e-6
    told = flow.sample(4000, torch.arange(4).repeat(1000))
    assert torch.equal((told[:, 1] / 20).round(), torch.arange(4.0).repeat(1000))


def test_a_seed_repeats_the_samples_and_they_carry_no_gradient(randomized: Randomized) -> None:
    flow = randomized(affine_flow(classes=3))
    draws = []
    for seed in (7, 7, 8):
        torch.manual_seed(seed)
        draws.append(flow.sample(20))
    assert torch.equal(draws[0], draws[1]) and not torch.equal(draws[0], draws[2])
    assert not draws[0].requires_grad
