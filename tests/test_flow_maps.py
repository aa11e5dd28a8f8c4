"""Flow maps against closed forms: of normal data, of a field that bends, and against autograd's own rates."""

from itertools import pairwise

import pytest
import torch
from conftest import Bad
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from helpers import flow_maps, ode
from helpers.flow_maps import (
    EQUATIONS,
    FlowMap,
    eulerian_target,
    flow_map_loss,
    lagrangian_target,
    ordered_times,
    semigroup_gap,
    semigroup_target,
)
from helpers.matching import matching_loss, spread_times


def logistic_jump(x: Tensor, s: Tensor, t: Tensor) -> Tensor:
    """Where dx/dt = (1 + 2 t) x (1 - x) carries x from s to t, in closed form."""
    growth = (t + t**2 - s - s**2).exp()[:, None]
    return x * growth / (1 - x + x * growth)


def logistic(x: Tensor, s: Tensor, t: Tensor) -> Tensor:
    return (logistic_jump(x, s, t) - x) / (t - s)[:, None]


def logistic_field(x: Tensor, t: Tensor) -> Tensor:
    return (1 + 2 * t)[:, None] * x * (1 - x)


def spread_out(n: int = 64, dim: int = 2) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Points in (0, 1), and times s < m < t that keep away from each other and from the ends."""
    x = 0.1 + 0.8 * torch.rand(n, dim, dtype=torch.float64)
    s, m, t = (low + 0.2 * torch.rand(n, dtype=torch.float64) for low in (0.05, 0.4, 0.75))
    return x, s, m, t


def mean_velocity_by(
    name: str, v: object, field: object, x: Tensor, s: Tensor, m: Tensor, t: Tensor
) -> Tensor:
    if name == "lagrangian":
        return lagrangian_target(v, x, s, t, field)
    if name == "eulerian":
        return eulerian_target(v, x, s, t, field(x, s))
    return semigroup_target(v, x, s, m, t)


@pytest.mark.parametrize("name", EQUATIONS)
def test_the_true_flow_map_is_a_fixed_point_of_each_equation(name: str) -> None:
    x, s, m, t = spread_out()
    target = mean_velocity_by(name, logistic, logistic_field, x, s, m, t)
    assert (target - logistic(x, s, t)).abs().max() < 1e-4  # of the differences in time; a slip gives 0.1
    assert logistic(x, s, t).abs().max() > 0.3


@pytest.mark.parametrize("name", ["lagrangian", "eulerian"])
def test_the_flow_map_of_another_field_is_none(name: str) -> None:
    """Of the same ways at another speed."""
    x, s, m, t = spread_out()
    target = mean_velocity_by(name, logistic, lambda x, t: 1.1 * logistic_field(x, t), x, s, m, t)
    assert (target - logistic(x, s, t)).abs().median() > 0.01


@settings(max_examples=30, deadline=None)
@given(st.floats(0, 1), st.floats(0, 1), st.floats(0, 1), st.integers(1, 5))
def test_an_untrained_map_is_that_of_normal_data(s: float, m: float, t: float, dim: int) -> None:
    """Whose field carries x along x sqrt(t^2 + (1 - t)^2), so that the maps are multiples of x."""
    flow_map, x = FlowMap(dim).double(), torch.randn(5, dim, dtype=torch.float64)
    ratio = ((t**2 + (1 - t) ** 2) / (s**2 + (1 - s) ** 2)) ** 0.5
    assert torch.allclose(flow_map.jump(x, s, t), ratio * x, atol=1e-12)
    assert torch.allclose(flow_map.field(x, t), (2 * t - 1) / (t**2 + (1 - t) ** 2) * x, atol=1e-12)
    assert semigroup_gap(flow_map, x, s, m, t).max() < 1e-12


def test_many_jumps_of_an_untrained_map_are_what_a_solver_finds_on_its_field() -> None:
    flow_map, x = FlowMap().double(), torch.randn(20, 2, dtype=torch.float64)
    for steps in (1, 3):
        assert torch.allclose(flow_map.carry(x, steps), x)
    assert torch.allclose(ode.integrate(flow_map.field, x, 40), x, atol=1e-6)
    assert torch.allclose(ode.integrate(flow_map.field, x, 40, t1=0.6), flow_map.jump(x, 0.0, 0.6), atol=1e-6)


def test_jumps_are_made_one_after_the_other(randomized: object) -> None:
    flow_map, x = randomized(FlowMap()), torch.randn(7, 2)
    by_hand = x
    for s, t in pairwise((0.0, 0.25, 0.5, 0.75, 1.0)):
        by_hand = by_hand + (t - s) * flow_map(by_hand, s, t)
    assert torch.allclose(flow_map.carry(x, 4), by_hand, atol=1e-6)
    assert torch.equal(flow_map.jump(x, 0.3, 0.3), x)
    half = flow_map.jump(x, 0.0, 0.5)
    gap = (flow_map.jump(half, 0.5, 1.0) - flow_map.jump(x, 0.0, 1.0)).norm(dim=1)
    assert torch.allclose(semigroup_gap(flow_map, x), gap)


def test_every_point_has_times_of_its_own(randomized: object) -> None:
    flow_map, x = randomized(FlowMap(3)), torch.randn(6, 3)
    s, t = ordered_times(6)
    alone = torch.cat([flow_map(x[i : i + 1], float(s[i]), float(t[i])) for i in range(6)])
    assert torch.allclose(flow_map(x, s, t), alone, atol=1e-6)
    assert torch.allclose(flow_map.jump(x, s, t), x + (t - s)[:, None] * alone, atol=1e-6)


def test_rates_are_those_of_autograd(randomized: object, monkeypatch: pytest.MonkeyPatch) -> None:
    flow_map = randomized(FlowMap(), size=0.5).double()
    x, s, _, t = spread_out()
    u, one = torch.randn_like(x), torch.ones_like(s)
    span = (t - s)[:, None]
    v, along_t = torch.func.jvp(lambda t: flow_map(x, s, t), (t,), (one,))
    _, along_s = torch.func.jvp(lambda x, s: flow_map(x, s, t), (x, s), (u, one))
    end = flow_map.field(x + span * v, t) - span * along_t
    for width, most in ((flow_maps.SPAN, 0.02), (1e-5, 1e-6)):
        monkeypatch.setattr(flow_maps, "SPAN", width)
        off = (lagrangian_target(flow_map, x, s, t, flow_map.field) - end).abs().max() / end.abs().max()
        assert off < most
        off = (eulerian_target(flow_map, x, s, t, u) - u - span * along_s).abs().max()
        assert off / (span * along_s).abs().max() < most


def test_rates_stay_within_the_times(randomized: object) -> None:
    """At the very ends they are taken to one side; times outside would raise."""
    flow_map, x = randomized(FlowMap()), torch.randn(4, 2)
    s, t = torch.zeros(4), torch.ones(4)
    assert torch.isfinite(lagrangian_target(flow_map, x, s, t, flow_map.field)).all()
    assert torch.isfinite(eulerian_target(flow_map, x, s, t, x)).all()


def test_the_eulerian_target_is_linear_in_the_velocity(monkeypatch: pytest.MonkeyPatch) -> None:
    """So that a mean over lines through a place may be taken before or after."""
    monkeypatch.setattr(flow_maps, "SPAN", 1e-6)
    x, s, _, t = spread_out()
    a, b = torch.randn_like(x), torch.randn_like(x)
    both, of_a, of_b = (eulerian_target(logistic, x, s, t, u) for u in (0.3 * a + 0.7 * b, a, b))
    assert (both - 0.3 * of_a - 0.7 * of_b).abs().max() < 1e-6


def test_ordered_times_fill_the_triangle_evenly() -> None:
    """The distribution function of (s, t): for s < t, P(s < a, t < b) = 2 a b - a^2 where a < b."""
    s, t = ordered_times(100_000)
    assert bool((s <= t).all() and (s >= 0).all() and (t <= 1).all())
    for a, b in ((0.2, 0.5), (0.5, 0.6), (0.9, 0.95)):
        share = float(((s < a) & (t < b)).double().mean())
        assert abs(share - (2 * a * b - a**2)) < 0.006


class AsField(nn.Module):
    def __init__(self, flow_map: FlowMap) -> None:
        super().__init__()
        self.flow_map = flow_map

    def forward(self, x: Tensor, t: Tensor, context: None = None) -> Tensor:
        return self.flow_map(x, t, t)


@pytest.mark.parametrize("equation", EQUATIONS)
def test_where_all_times_agree_the_loss_is_flow_matching(
    equation: str, randomized: object, monkeypatch: pytest.MonkeyPatch
) -> None:
    flow_map, x0, x1 = randomized(FlowMap()), torch.randn(50, 2), torch.randn(50, 2)
    times = spread_times(50, late=2.0)
    monkeypatch.setattr(flow_maps, "spread_times", lambda n, late: times)
    monkeypatch.setattr("helpers.matching.spread_times", lambda n, late: times)
    loss = flow_map_loss(flow_map, x0, x1, equation, diagonal=1.0)
    assert torch.allclose(loss, matching_loss(AsField(flow_map), x0, x1, late=2.0))


@pytest.mark.parametrize("taught", [False, True])
@pytest.mark.parametrize("equation", EQUATIONS)
def test_no_gradient_flows_through_a_target(
    equation: str, taught: bool, randomized: object, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The gradient is that of a regression on targets that a frozen copy has written down."""
    flow_map, frozen = randomized(FlowMap(hidden=16)), randomized(FlowMap(hidden=16)).requires_grad_(False)
    x0, x1 = torch.randn(40, 2), torch.randn(40, 2)
    s, t = ordered_times(40)
    s[:10] = spread_times(10, late=2.0)
    monkeypatch.setattr(flow_maps, "ordered_times", lambda n: (s.clone(), t.clone()))
    monkeypatch.setattr(flow_maps, "spread_times", lambda n, late: s[:n])
    teacher = (lambda x, t: 0.5 * x + t[:, None]) if taught else None
    torch.manual_seed(3)
    found = torch.autograd.grad(
        flow_map_loss(flow_map, x0, x1, equation, teacher, diagonal=0.25), list(flow_map.parameters())
    )
    x = (1 - s[:, None]) * x0 + s[:, None] * x1
    u = teacher(x, s) if taught else x1 - x0
    torch.manual_seed(3)
    m = s[10:] + torch.rand(30) * (t - s)[10:]
    of_rest = x[10:], s[10:], t[10:]
    rest = {
        "lagrangian": lambda: lagrangian_target(frozen, *of_rest, teacher or frozen.field),
        "eulerian": lambda: eulerian_target(frozen, *of_rest, u[10:]),
        "semigroup": lambda: semigroup_target(frozen, x[10:], s[10:], m, t[10:]),
    }[equation]()
    ends = torch.cat([s[:10], t[10:]])
    plain = (flow_map(x, s, ends) - torch.cat([u[:10], rest])).square().sum(1).mean()
    for one, other in zip(found, torch.autograd.grad(plain, list(flow_map.parameters()))):
        assert torch.allclose(one, other, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("equation", EQUATIONS)
def test_training_finds_the_map_of_normal_data_of_another_width(equation: str) -> None:
    """On the line, data N(0.5, 0.25): the flow is x -> 0.5 + 0.5 x, which no untrained map is."""
    flow_map = FlowMap(1, hidden=32, depth=2, frequencies=2)
    optimizer = torch.optim.Adam(flow_map.parameters(), lr=5e-3)
    z = torch.linspace(-1.5, 1.5, 31)[:, None]

    def error() -> float:
        with torch.no_grad():
            return float((flow_map.carry(z) - 0.5 - 0.5 * z).abs().mean())

    before = error()
    for _ in range(450):
        x1 = 0.5 + 0.5 * torch.randn(256, 1)
        optimizer.zero_grad()
        flow_map_loss(flow_map, torch.randn_like(x1), x1, equation).backward()
        optimizer.step()
    assert error() < 0.4 * before


def test_results_have_the_dtype_of_the_points() -> None:
    flow_map, x = FlowMap().double(), torch.zeros(3, 2, dtype=torch.float64)
    s, t = ordered_times(3)
    assert flow_map(x, s, t).dtype == flow_map.jump(x, 0.0, 1).dtype == torch.float64


def test_settings_are_part_of_a_saved_models_identity() -> None:
    assert repr(FlowMap(frequencies=4)) != repr(FlowMap())
    assert repr(FlowMap(smooth=False)) != repr(FlowMap())
    assert all(isinstance(part, nn.LeakyReLU) for part in FlowMap(smooth=False).network[1::2])


X = torch.zeros(3, 2)


@pytest.mark.parametrize(
    "bad",
    [
        (lambda: FlowMap(hidden=0), ValueError, ["hidden", "0"]),
        (lambda: FlowMap(frequencies=1.5), TypeError, ["frequencies", "1.5"]),
        (lambda: FlowMap()(torch.zeros(3, 3), 0.0, 1.0), ValueError, ["x", "(3, 3)", "(batch, 2)"]),
        (lambda: FlowMap()(X, 0.0, 1.5), ValueError, ["t", "1.5"]),
        (lambda: FlowMap()(X, -0.1, 1.0), ValueError, ["s", "-0.1"]),
        (lambda: FlowMap()(X.double(), 0.0, 1.0), TypeError, ["float64", "float32"]),
        (lambda: FlowMap().carry(X, 0), ValueError, ["steps", "0"]),
        (lambda: ordered_times(0), ValueError, ["n", "0"]),
        (lambda: flow_map_loss(FlowMap(), X, X[:2], "eulerian"), ValueError, ["x0", "3", "2"]),
        (lambda: flow_map_loss(FlowMap(), X[:0], X[:0], "eulerian"), ValueError, ["pairs", "0"]),
        (lambda: flow_map_loss(FlowMap(), X, X, "euler"), ValueError, ["equation", "euler", "semigroup"]),
        (lambda: flow_map_loss(FlowMap(), X, X, "eulerian", diagonal=2), ValueError, ["diagonal", "2"]),
    ],
)
def test_bad_input_meets_one_clear_error(bad: Bad, meets_one_clear_error: object) -> None:
    meets_one_clear_error(bad)
