"""Splines against exact arithmetic, autograd and two other libraries; and the flow that is made of them."""

import math
from collections.abc import Callable
from fractions import Fraction
from functools import partial

import pytest
import torch
import zuko
from hypothesis import given, settings
from hypothesis import strategies as st
from normflows.utils.splines import unconstrained_rational_quadratic_spline
from torch import Tensor, nn
from torch.linalg import slogdet

from helpers.distributions import StandardNormal, UniformBox
from helpers.flows import (
    NormalizingFlow,
    Permutation,
    SplineCoupling,
    spline_flow,
)
from helpers.rings import OlympicRings
from helpers.splines import STEEPEST, Knots, rational_quadratic_spline, spline_knots
from helpers.training import fit

Randomized = Callable[..., nn.Module]
Jacobian = Callable[..., Tensor]

BINS, REACH = 8, 2.5

both_ways = pytest.mark.parametrize("inverse", [False, True], ids=["forward", "inverse"])
with_and_without_classes = pytest.mark.parametrize("classes", [0, 4])


def table_of(raw: Tensor, reach: float = REACH, least: float = 1e-3) -> Tensor:
    """The knots as one table, handier here: rows of positions, values and log-slopes, (..., 3, K + 1)."""
    knots = spline_knots(raw, reach, least)
    return torch.cat([knots.places, knots.log_slopes[..., None, :]], dim=-2)


def spline(x: Tensor, table: Tensor, inverse: bool = False) -> tuple[Tensor, Tensor]:
    return rational_quadratic_spline(x, Knots(table[..., :2, :], table[..., 2, :]), inverse)


def random_knots(n: int, size: float = 1.5, bins: int = BINS, reach: float = REACH) -> Tensor:
    """The knots (n, 3, bins + 1) of n splines in float64."""
    return table_of(size * torch.randn(n, 3 * bins - 1, dtype=torch.float64), reach)


def each_place(n: int, size: float = 1.0, inverse: bool = False) -> tuple[Tensor, Tensor]:
    """Splines, each with a point: in the bins, on every knot, beside every knot, and in the tails."""
    knots = random_knots(n, size)
    row = knots[:, int(inverse)]
    inner = 2 * REACH * torch.rand(n, 40, dtype=torch.float64) - REACH
    beside = [torch.nextafter(row, torch.full_like(row, way)) for way in (-math.inf, math.inf)]
    tails = torch.tensor([-1e6, -7.0, -REACH - 1e-9, REACH + 1e-9, 3.0, 1e6], dtype=torch.float64).expand(
        n, 6
    )
    x = torch.cat([inner, row, *beside, tails], dim=1)
    return x, knots[:, None].expand(n, x.shape[1], 3, BINS + 1)


def slope_by_autograd(x: Tensor, knots: Tensor, inverse: bool) -> Tensor:
    x = x.clone().requires_grad_()
    return torch.autograd.grad(spline(x, knots, inverse)[0].sum(), x)[0]


def exact_value(x: float, knots: Tensor) -> Fraction:
    """The spline's value in rational numbers, without any rounding, from Gregory and Delbourgo's form."""
    xs, ys = ([Fraction(v) for v in row] for row in knots[:2].tolist())
    ds = [Fraction(v) for v in knots[2].exp().tolist()]
    at = Fraction(x)
    k = max(j for j in range(len(xs) - 1) if xs[j] <= at)
    height, slope = ys[k + 1] - ys[k], (ys[k + 1] - ys[k]) / (xs[k + 1] - xs[k])
    left, right = at - xs[k], xs[k + 1] - at
    top = slope * left * left + ds[k] * left * right
    bottom = slope * (left + right) ** 2 + (ds[k] + ds[k + 1] - 2 * slope) * left * right
    return ys[k] + height * top / bottom


# --- the knots --------------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("bins", [2, 7, 16])
def test_zeros_give_the_identity(bins: int, dtype: torch.dtype) -> None:
    knots, x = (
        table_of(torch.zeros(50, 3 * bins - 1, dtype=dtype), 2.0),
        torch.linspace(-3, 3, 50).to(dtype),
    )
    assert knots.shape == (50, 3, bins + 1) and knots.dtype == dtype
    for inverse in (False, True):
        y, log_slope = spline(x, knots, inverse)
        eps = torch.finfo(dtype).eps
        assert (y - x).abs().max() < 10 * eps and log_slope.abs().max() < 10 * bins * eps


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("size", [1.0, 30.0, 1e4])
def test_any_numbers_give_knots_in_order_with_room_between_them(size: float, dtype: torch.dtype) -> None:
    knots = table_of(size * torch.randn(200, 47, dtype=dtype), reach=2.5, least=1e-3)
    ends = torch.tensor([[-2.5, 2.5], [-2.5, 2.5], [0, 0]], dtype=dtype).expand(200, 3, 2)
    assert torch.equal(knots[..., [0, -1]], ends)  # to the last bit
    assert knots[:, :2].diff().min() > 0.999 * 5 * 1e-3
    assert torch.isfinite(knots).all()


def test_the_numbers_are_widths_then_heights_then_slopes() -> None:
    """By hand: softmax of (log 3, 0) is (3/4, 1/4)."""
    raw, least = torch.tensor([math.log(3), 0, 0, math.log(4), 0.7], dtype=torch.float64), 1e-3
    stretch = 1 - 2 * least
    expected = [[-1, -1 + 2 * (least + stretch * 0.75), 1], [-1, -1 + 2 * (least + stretch * 0.2), 1]]
    expected = torch.tensor([*expected, [0, 0.7, 0]], dtype=torch.float64)
    assert torch.allclose(table_of(raw, reach=1.0, least=least), expected, rtol=1e-14)


# --- a spline by itself -----------------------------------------------------------------------------


def test_the_value_is_that_of_exact_arithmetic() -> None:
    x = 2 * REACH * torch.rand(300, dtype=torch.float64) - REACH
    knots = random_knots(300, size=2.5)
    y, _ = spline(x, knots)
    exact = torch.tensor([float(exact_value(float(a), b)) for a, b in zip(x, knots)], dtype=torch.float64)
    assert (y - exact).abs().max() < 1e-13
    assert (y - x).abs().max() > 1  # the identity would be no test


def test_a_spline_goes_through_its_knots_with_their_slopes() -> None:
    knots = random_knots(100)
    each = knots[:, None].expand(100, BINS + 1, 3, BINS + 1)
    y, log_slope = spline(knots[:, 0], each)
    back, log_slope_back = spline(knots[:, 1], each, inverse=True)
    assert (y - knots[:, 1]).abs().max() < 1e-13 and (back - knots[:, 0]).abs().max() < 1e-13
    assert (log_slope - knots[:, 2]).abs().max() < 1e-11
    assert (log_slope_back + knots[:, 2]).abs().max() < 1e-11


@both_ways
def test_the_log_slope_is_autograds_everywhere(inverse: bool) -> None:
    x, knots = each_place(200, inverse=inverse)
    _, log_slope = spline(x, knots, inverse)
    truth = slope_by_autograd(x, knots, inverse).log()
    assert (log_slope - truth).abs().max() < 1e-10
    assert log_slope.abs().max() > 1


@both_ways
def test_the_inverse_undoes_it_everywhere(inverse: bool) -> None:
    x, knots = each_place(200, inverse=inverse)
    y, log_slope = spline(x, knots, inverse)
    back, log_slope_back = spline(y, knots, not inverse)
    assert (back - x).abs().max() < 1e-10
    assert (log_slope + log_slope_back).abs().max() < 1e-10


@both_ways
def test_it_increases_and_its_slope_is_continuous(inverse: bool) -> None:
    knots = random_knots(30, size=1.0)
    x = torch.linspace(-1.2 * REACH, 1.2 * REACH, 4001, dtype=torch.float64)
    y, _ = spline(x.expand(30, -1), knots[:, None].expand(30, 4001, 3, -1), inverse)
    assert (y.diff() > 0).all()
    edges = knots[:, int(inverse)]
    each = knots[:, None].expand(30, BINS + 1, 3, -1)
    left, right = (spline(edges + gap, each, inverse)[1] for gap in (-1e-12, 1e-12))
    assert (left - right).abs().max() < 1e-6
    left, right = (slope_by_autograd(edges + gap, each, inverse) for gap in (-1e-12, 1e-12))
    assert (left / right - 1).abs().max() < 1e-6


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@both_ways
def test_outside_the_box_it_is_the_identity_to_the_last_bit(inverse: bool, dtype: torch.dtype) -> None:
    far = torch.tensor([-1e30, -3.0, 3.0, 1e30], dtype=dtype)
    edge = torch.tensor([-REACH, REACH], dtype=dtype)
    x = torch.cat([far, edge, torch.nextafter(edge, 9 * edge)])
    knots = random_knots(8).to(dtype)
    y, log_slope = spline(x, knots, inverse)
    outside = x.abs() > REACH
    assert torch.equal(y[outside], x[outside]) and not log_slope[outside].any()
    assert torch.equal(y[4:6], x[4:6]) and log_slope[4:6].abs().max() < 1000 * torch.finfo(dtype).eps


@both_ways
def test_the_gradients_are_those_of_finite_differences(inverse: bool) -> None:
    raw = torch.randn(12, 3 * BINS - 1, dtype=torch.float64, requires_grad=True)
    x = torch.linspace(-3.1, 2.9, 12, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(lambda x, raw: spline(x, table_of(raw), inverse), (x, raw))


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("size", [0.0, 1.5, 1e3])
@both_ways
def test_no_gradient_is_nan_anywhere(inverse: bool, size: float, dtype: torch.dtype) -> None:
    x, _ = each_place(50, inverse=inverse)
    raw = (size * torch.randn(50, 1, 3 * BINS - 1)).to(dtype).requires_grad_()
    knots = table_of(raw, REACH).expand(50, x.shape[1], 3, -1)
    own = knots[:, 0, int(inverse)].detach()
    x = torch.cat([x.to(dtype)[:, : -BINS - 1], own], dim=1).requires_grad_()
    for part in spline(x, knots, inverse):
        gradients = torch.autograd.grad(part.sum(), (x, raw), retain_graph=True)
        assert torch.isfinite(part).all() and all(torch.isfinite(g).all() for g in gradients)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@both_ways
def test_a_point_outside_teaches_the_knots_nothing(inverse: bool, dtype: torch.dtype) -> None:
    """Not even a nan: in float32 the square of 1e30 is infinite."""
    knots = random_knots(6).to(dtype).requires_grad_()
    x = torch.tensor([-1e30, -9.0, -2.6, 2.6, 9.0, 1e30], dtype=dtype, requires_grad=True)
    y, log_slope = spline(x, knots, inverse)
    to_x, to_knots = torch.autograd.grad(y.sum() + log_slope.sum(), (x, knots))
    assert torch.equal(to_x, torch.ones_like(x)) and not to_knots.any()


def test_rounding_carries_no_point_out_of_its_bin() -> None:
    """The steepest bins there are, just below their ends, where the discriminant is lost in rounding."""
    n = 100_000
    raw = torch.cat([9.2 * torch.rand(n, 6), STEEPEST * (2 * torch.rand(n, 2) - 1)], dim=1)
    knots = spline_knots(raw)
    low, high = knots.places[:, 1, 1], knots.places[:, 1, 2]
    y = (high - (high - low) * 10 ** (-8 * torch.rand(n))).requires_grad_()
    x, log_slope = rational_quadratic_spline(y, knots, inverse=True)
    (gradient,) = torch.autograd.grad(x.sum() + log_slope.sum(), y)
    assert torch.isfinite(log_slope).all() and torch.isfinite(gradient).all() and x.abs().max() <= 2.5


@given(
    bins=st.integers(2, 20),
    reach=st.floats(0.1, 10),
    seed=st.integers(0, 2**32),
    size=st.floats(0, 2),
    far=st.floats(0.1, 1.5),
)
@settings(max_examples=100, deadline=None, derandomize=True)
def test_any_spline_is_undone_by_its_inverse_and_knows_its_slope(
    bins: int, reach: float, seed: int, size: float, far: float
) -> None:
    torch.manual_seed(seed)
    knots = random_knots(50, size, bins, reach)
    x = (far * reach * (2 * torch.rand(50, dtype=torch.float64) - 1)).requires_grad_()
    y, log_slope = spline(x, knots)
    back, log_slope_back = spline(y, knots, inverse=True)
    (slope,) = torch.autograd.grad(y.sum(), x)
    assert (log_slope - slope.log()).abs().max() < 1e-10
    # Rounding in y, seen through the inverse's slope and, for log_slope, its change along a bin.
    steep = max(1.0, float(log_slope_back.detach().exp().max()))
    assert (back - x).abs().max() < 1e-13 * reach * steep
    assert (log_slope + log_slope_back).abs().max() < 1e-10 * steep
    assert torch.equal(y[x.abs() > reach], x[x.abs() > reach])


def test_slopes_have_a_limit() -> None:
    beyond = spline_knots(torch.tensor([0.0, 0.0, 0.0, 0.0, 50.0]), reach=1.0)
    at = spline_knots(torch.tensor([0.0, 0.0, 0.0, 0.0, STEEPEST]), reach=1.0)
    y, log_slope = rational_quadratic_spline(torch.tensor(0.0), beyond)
    assert log_slope.item() == pytest.approx(STEEPEST, rel=1e-5) and abs(y) < 1e-6
    assert torch.equal(log_slope, rational_quadratic_spline(torch.tensor(0.0), at)[1])


# --- precision --------------------------------------------------------------------------------------


@given(seed=st.integers(0, 2**32), size=st.floats(0, 8))
@settings(max_examples=60, deadline=None, derandomize=True)
def test_no_slope_is_above_twice_its_chord_or_the_steeper_of_its_ends(seed: int, size: float) -> None:
    torch.manual_seed(seed)
    knots = random_knots(40, size)
    width, height = knots[:, :2].diff(dim=-1).unbind(1)
    ends = knots[:, 2].exp()
    steepest = torch.stack([2 * height / width, ends[:, 1:], ends[:, :-1]]).amax(0)
    share = torch.rand(40, BINS, 50, dtype=torch.float64)
    x = (knots[:, 0, :-1, None] + share * width[..., None]).flatten(1)
    slope = spline(x, knots[:, None].expand(40, x.shape[1], 3, BINS + 1))[1].exp()
    assert (slope.view(40, BINS, 50) <= steepest[..., None] * (1 + 1e-9)).all()


def test_twice_the_chord_is_reached_where_both_ends_are_flat() -> None:
    """At the middle of a bin the slope is 2 s^2 / (2 s + ...): twice the chord's where the ends have none."""
    flat = torch.cat([torch.zeros(4), torch.full((1,), -9.0)])  # two bins; the inner knot is nearly level
    knots = spline_knots(flat.double(), reach=1.0)
    level = Knots(knots.places, torch.full_like(knots.log_slopes, -9.0))
    slope = rational_quadratic_spline(torch.tensor(-0.5).double(), level)[1].exp()
    assert float(slope) == pytest.approx(2.0, rel=1e-3)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_knots_are_computed_in_float32_at_least(dtype: torch.dtype) -> None:
    raw = (3 * torch.randn(50, 71)).to(dtype)
    knots, exact = spline_knots(raw), spline_knots(raw.double())
    assert knots.places.dtype == torch.float32
    assert torch.allclose(knots.places.double(), exact.places, atol=1e-5)
    x = (2 * torch.rand(50) - 1).to(dtype)
    y, log_slope = rational_quadratic_spline(x, knots)
    expected = rational_quadratic_spline(x.double(), exact)
    assert y.dtype == torch.float32 and torch.allclose(y.double(), expected[0], atol=1e-4)
    assert torch.allclose(log_slope.double(), expected[1], atol=1e-2)


def test_in_float32_the_way_there_and_back_is_exact_to_rounding() -> None:
    knots = random_knots(20_000).float()
    x = REACH * (2 * torch.rand(20_000) - 1)
    y, log_slope = spline(x, knots)
    back, log_slope_back = spline(y, knots, inverse=True)
    # Each rounding of y is worth one over the slope of x.
    error = (back - x).abs() * log_slope.exp().clamp(max=1)
    assert error.max() < 3e-6 and error.quantile(0.99) < 1e-6
    assert (log_slope + log_slope_back).abs().median() < 1e-5


@pytest.mark.parametrize("steep", [1e3, 1e5])
def test_the_inverse_keeps_its_digits_where_the_textbook_root_subtracts_them_away(steep: float) -> None:
    """In a bin that ends `steep` times its chord: 2c / (-b - sqrt(b^2 - 4ac)) loses that factor there."""
    knots = torch.tensor([[-1.0, 0.0, 1.0], [-1.0, 0.0, 1.0], [0.0, math.log(steep), 0.0]])
    y = torch.linspace(-0.999, -0.001, 500)
    each = knots.expand(500, 3, 3)
    x, _ = spline(y, each, inverse=True)
    exact, log_slope = spline(y.double(), each.double(), inverse=True)
    assert (x - exact).abs().max() < 4e-7
    theirs = zuko.transforms.MonotonicRQSTransform(torch.zeros(2), torch.zeros(2), torch.zeros(1), bound=1.0)
    theirs.derivatives = knots[2].exp()
    assert (theirs.inv(y) - exact).abs().max() > 1e-5


# --- other libraries --------------------------------------------------------------------------------


@both_ways
def test_a_spline_is_zukos(inverse: bool) -> None:
    x, knots = each_place(100, inverse=inverse)
    theirs = zuko.transforms.MonotonicRQSTransform(
        *(torch.zeros(n, dtype=torch.float64) for n in (BINS, BINS, BINS - 1)), bound=REACH
    )
    theirs.horizontal, theirs.vertical, log_slopes = knots.unbind(-2)
    theirs.derivatives = log_slopes.exp()
    direction = theirs.inv if inverse else theirs
    y, log_slope = spline(x, knots, inverse)
    expected, expected_log_slope = direction.call_and_ladj(x)
    assert (y - expected).abs().max() < 1e-10
    assert (log_slope - expected_log_slope).abs().max() < 1e-6


@both_ways
def test_a_spline_is_nflows(inverse: bool) -> None:
    """The authors' own code, as normflows keeps it: nflows itself asks for tensorboard."""
    x, knots = each_place(100, inverse=inverse)
    width, height = knots[..., :2, :].diff().log().unbind(-2)
    slopes = knots[..., 2, 1:-1].exp().expm1().log()  # undoes a softplus
    least = {"min_bin_width": 0, "min_bin_height": 0, "min_derivative": 0}
    expected, expected_log_slope = unconstrained_rational_quadratic_spline(
        x, width, height, slopes, inverse, tail_bound=REACH, **least
    )
    y, log_slope = spline(x, knots, inverse)
    assert (y - expected).abs().max() < 1e-10
    assert (log_slope - expected_log_slope).abs().max() < 1e-6


# --- the coupling -----------------------------------------------------------------------------------


def labels(n: int, classes: int) -> Tensor | None:
    return torch.arange(n) % classes if classes else None


@pytest.mark.parametrize("dim", [2, 3])
@with_and_without_classes
def test_a_spline_flow_is_undone_by_its_inverse_and_knows_its_jacobian(
    dim: int, classes: int, randomized: Randomized, jacobian: Jacobian
) -> None:
    flow = randomized(spline_flow(dim, couplings=3, classes=classes, hidden=16).double(), size=1.0)
    z, ring = flow.base.sample(500).double(), labels(500, classes)
    x, log_det = flow(z, ring)
    back, log_det_back = flow.inverse(x, ring)
    assert (back - z).abs().max() < 1e-10 and (log_det + log_det_back).abs().max() < 1e-9
    matrix = jacobian(partial(flow.inverse, context=ring), x)
    error = (log_det_back - slogdet(matrix).logabsdet).abs()
    assert error.max() < 1e-10


def test_a_spline_coupling_sees_the_labels_and_the_waves_of_its_own_box(randomized: Randomized) -> None:
    layer = randomized(SplineCoupling(classes=3, frequencies=2, reach=1.5))
    z, ring = 2 * torch.rand(60, 2) - 1, labels(60, 3)
    changed = torch.where(ring == 1, 2, ring)
    same = (layer(z, ring)[0] == layer(z, changed)[0]).all(1)
    assert torch.equal(same, ring != 1)
    with torch.no_grad():
        layer.network[0].weight[:, 0] = 0  # deaf to the coordinate itself, it hears waves of period 2 reach
    a = torch.rand(20, 1) - 0.5
    there, here = layer.knots(a + 3.0, ring[:20]), layer.knots(a, ring[:20])
    assert all(torch.allclose(one, other, atol=1e-4) for one, other in zip(there, here))
    assert here.places.shape == (20, 1, 2, 25) and here.log_slopes.shape == (20, 1, 25)
    assert (here.places[..., 0] == -1.5).all() and (here.places[..., -1] == 1.5).all()


# --- the flow and its box ---------------------------------------------------------------------------


def test_the_box_of_the_default_holds_the_rings(rings: OlympicRings) -> None:
    edges = torch.cat([rings.centres - rings.outer, rings.centres + rings.outer])
    flow = spline_flow()
    reaches = {layer.reach for layer in flow.layers if isinstance(layer, SplineCoupling)} | {flow.base.reach}
    assert len(reaches) == 1 and edges.abs().max() < reaches.pop()


@with_and_without_classes
def test_the_density_integrates_to_one_on_the_box(classes: int, randomized: Randomized) -> None:
    flow = randomized(spline_flow(classes=classes, reach=1.5, hidden=16, bins=8).double(), size=0.7)
    n = 500
    middles = (torch.arange(n, dtype=torch.float64) + 0.5) / n * 3 - 1.5
    with torch.no_grad():
        x = torch.cartesian_prod(middles, middles)
        log_probs = [flow.log_prob(x, torch.full((len(x),), c)) for c in range(classes)] + [flow.log_prob(x)]
    masses = [float(log_p.exp().sum()) * (3 / n) ** 2 for log_p in log_probs]
    assert masses == pytest.approx([1] * len(masses), abs=1e-4)
    assert log_probs[-1].std() > 0.3  # the uniform density would be no test


@with_and_without_classes
def test_outside_the_box_the_density_is_zero(classes: int, randomized: Randomized) -> None:
    flow = randomized(spline_flow(classes=classes))
    x = torch.tensor([[2.6, 0.0], [0.0, -2.6], [9.0, 9.0], [0.0, 0.0]])
    for log_prob in (flow.log_prob(x), flow.log_prob(x, labels(4, classes))):
        assert torch.equal(torch.isneginf(log_prob), torch.tensor([True, True, True, False]))


def test_training_on_a_point_outside_the_box_stops_and_says_so() -> None:
    flow = spline_flow(hidden=8)
    data = torch.tensor([[2.6, 0.0]])
    with pytest.raises(FloatingPointError, match="step 0: the loss is inf"):
        fit(flow, lambda x: -flow.log_prob(x).mean(), (data,), steps=2, batch_size=4)


def test_no_point_in_the_box_falls_out_by_rounding(randomized: Randomized) -> None:
    """In float32, many points and all of the edge: one -inf among them would be an infinite KL."""
    flow = randomized(spline_flow(couplings=4), size=1.5)
    edge = torch.tensor([-2.5, 2.5]).repeat(5000)[:, None]
    other = flow.base.sample(10_000)
    x = torch.cat([other, torch.cat([edge, other[:, 1:]], 1), torch.cat([other[:, :1], edge], 1)])
    with torch.no_grad():
        assert torch.isfinite(flow.log_prob(x)).all()
        assert torch.isfinite(flow.log_prob(flow.sample(20_000))).all()


def test_samples_follow_the_density(randomized: Randomized) -> None:
    """The mean of 1 / (q(x) area) over samples is 1, and their entropy is that of the grid."""
    flow = randomized(spline_flow(reach=1.5, hidden=16).double(), size=0.7)
    middles = (torch.arange(500, dtype=torch.float64) + 0.5) / 500 * 3 - 1.5
    grid = torch.cartesian_prod(middles, middles)
    x = flow.sample(50_000)
    with torch.no_grad():
        log_q, log_p = flow.log_prob(grid), flow.log_prob(x)
    features = torch.column_stack([x, x.square(), x.prod(1), -log_p])
    on_grid = torch.column_stack([grid, grid.square(), grid.prod(1), -log_q])
    exact = log_q.exp() @ on_grid * (3 / 500) ** 2
    z_scores = (features.mean(0) - exact) / features.std(0) * len(x) ** 0.5
    assert z_scores.abs().max() < 5


def test_a_flow_takes_another_base() -> None:
    layer = SplineCoupling()
    assert isinstance(NormalizingFlow([layer]).base, StandardNormal)
    flow = NormalizingFlow([layer], UniformBox(2, 4.0))
    assert torch.allclose(flow.log_prob(torch.zeros(1, 2)), torch.tensor(-2 * math.log(8)), atol=1e-5)
    assert flow.sample(1000).abs().max() > 3


# --- bad input --------------------------------------------------------------------------------------

KNOTS = spline_knots(torch.zeros(5))

BAD: dict[str, tuple[Callable[[], object], list[str]]] = {
    "no 3K - 1": (lambda: spline_knots(torch.zeros(4, 6)), ["raw has 6 numbers", "3K - 1"]),
    "one bin": (lambda: spline_knots(torch.zeros(4, 2)), ["raw has 2 numbers", "K >= 2"]),
    "box": (lambda: spline_knots(torch.zeros(5), reach=0.0), ["reach is 0.0", "above 0"]),
    "least": (lambda: spline_knots(torch.zeros(5), least=0.0), ["least is 0.0", "above 0"]),
    "bins that do not fit": (lambda: spline_knots(torch.zeros(5), least=0.5), ["least is 0.5", "2 bins"]),
    "too few splines": (
        lambda: rational_quadratic_spline(torch.zeros(3), KNOTS),
        ["places of shape (2, 3)", "x of shape (3,)", "(3, 2, 'K + 1')"],
    ),
    "one row": (
        lambda: rational_quadratic_spline(torch.tensor(0.0), Knots(KNOTS.places[:1], KNOTS.log_slopes)),
        ["places of shape (1, 3)"],
    ),
    "a slope too few": (
        lambda: rational_quadratic_spline(torch.tensor(0.0), Knots(KNOTS.places, KNOTS.log_slopes[1:])),
        ["log_slopes of shape (2,)"],
    ),
    "one spline for none": (
        lambda: rational_quadratic_spline(torch.tensor(0.0), Knots(KNOTS.places, KNOTS.log_slopes[None])),
        ["log_slopes of shape (1, 3)"],
    ),
    "one knot": (
        lambda: rational_quadratic_spline(
            torch.tensor(0.0), Knots(KNOTS.places[:, :1], KNOTS.log_slopes[:1])
        ),
        ["places of shape (2, 1)"],
    ),
    "coupling of a line": (lambda: SplineCoupling(dim=1), ["dim is 1", "at least 2"]),
    "coupling, no width": (lambda: SplineCoupling(hidden=0), ["hidden is 0"]),
    "coupling, no depth": (lambda: SplineCoupling(depth=0), ["depth is 0"]),
    "coupling, one bin": (lambda: SplineCoupling(bins=1), ["bins is 1", "at least 2"]),
    "coupling, classes": (lambda: SplineCoupling(classes=-1), ["classes is -1"]),
    "coupling, waves": (lambda: SplineCoupling(frequencies=-1), ["frequencies is -1"]),
    "coupling, box": (lambda: SplineCoupling(reach=-1.0), ["reach is -1.0", "above 0"]),
    "coupling, space": (lambda: spline_flow()(torch.zeros(4, 3)), ["z has shape (4, 3)"]),
    "coupling, no label": (
        lambda: spline_flow(classes=2).inverse(torch.zeros(1, 2)),
        ["context is missing"],
    ),
    "no couplings": (lambda: spline_flow(couplings=0), ["couplings is 0"]),
    "base of a line": (
        lambda: NormalizingFlow([Permutation([1, 0])], UniformBox(1)),
        ["base has dim 1", "dim 2"],
    ),
    "box of nothing": (lambda: UniformBox(0), ["dim is 0"]),
    "box without room": (lambda: UniformBox(2, math.inf), ["reach is inf", "finite"]),
}


@pytest.mark.parametrize("call, words", BAD.values(), ids=BAD)
def test_bad_input_gets_an_error_that_names_it(
    call: Callable[[], object], words: list[str], no_shape_check: None
) -> None:
    with pytest.raises(ValueError) as caught:
        call()
    assert all(word in str(caught.value) for word in words), caught.value
