"""The solvers against matrix exponentials, other libraries' solvers, and the axioms of a density."""

import math
from collections.abc import Callable

import numpy as np
import pytest
import torch
from scipy.integrate import quad, solve_ivp
from torch import Tensor, nn
from torch.distributions import MultivariateNormal
from torch.linalg import matrix_exp, slogdet
from torchdiffeq import odeint

from helpers import ode
from helpers.distributions import UniformBox
from helpers.ode import (
    METHODS,
    integrate,
    integrate_adaptive,
    log_prob,
    trajectory,
    velocity_and_divergence,
)

Field = Callable[..., Tensor]

every_method = pytest.mark.parametrize("method", METHODS)
# A turn, a stretch and a shear at once: no symmetry that an error could hide behind.
MATRICES = {
    2: torch.tensor([[0.3, -1.7], [0.9, -0.6]], dtype=torch.float64),
    3: torch.tensor([[0.2, -1.0, 0.4], [0.8, 0.5, -0.3], [0.1, 0.7, -0.4]], dtype=torch.float64),
}


def linear(matrix: Tensor) -> Field:
    return lambda x, t, context: x @ matrix.T


def swirl(x: Tensor, t: Tensor, context: Tensor | None = None) -> Tensor:
    """A smooth field that depends on the point, the time and the label, and has a divergence."""
    turn = 1.0 if context is None else context[:, None].to(x.dtype) - 0.5
    return turn * torch.stack([x[:, 1] + (3 * t).sin(), -x[:, 0]], dim=1) + (2 * x + t).sin() / 2


class SmallField(nn.Module):
    """A random network of a point and the time, smooth or with kinks."""

    def __init__(self, dim: int = 2, smooth: bool = True, seed: int = 5) -> None:
        super().__init__()
        torch.manual_seed(seed)
        kink = nn.SiLU() if smooth else nn.LeakyReLU()
        self.network = nn.Sequential(nn.Linear(dim + 1, 24), kink, nn.Linear(24, dim)).double()

    def forward(self, x: Tensor, t: Tensor, context: Tensor | None = None) -> Tensor:
        return 2 * self.network(torch.cat([x, t.expand(len(x), 1)], dim=1))


def points(n: int = 50, dim: int = 2) -> Tensor:
    return torch.randn(n, dim, dtype=torch.float64)


def standard(dim: int) -> MultivariateNormal:
    return MultivariateNormal(torch.zeros(dim).double(), torch.eye(dim).double())


# --- where points go --------------------------------------------------------------------------------


@pytest.mark.parametrize("dim", MATRICES)
@pytest.mark.parametrize(("t0", "t1"), [(0.0, 1.0), (1.0, 0.0), (0.25, -0.5), (0.3, 2.0)])
def test_a_linear_field_moves_points_by_the_exponential_of_its_matrix(dim: int, t0: float, t1: float) -> None:
    a, x = MATRICES[dim], points(dim=dim)
    truth = x @ matrix_exp((t1 - t0) * a).T
    assert (integrate(linear(a), x, 200, t0=t0, t1=t1) - truth).abs().max() < 1e-8
    assert (integrate_adaptive(linear(a), x, t0, t1, tolerance=1e-10) - truth).abs().max() < 1e-8


def test_a_rotation_turns_by_its_angle_and_keeps_lengths() -> None:
    spin = torch.tensor([[0.0, -math.pi / 2], [math.pi / 2, 0.0]], dtype=torch.float64)
    x = points()
    turned = integrate(linear(spin), x, 100)
    assert (turned - torch.stack([-x[:, 1], x[:, 0]], dim=1)).abs().max() < 1e-7


@pytest.mark.parametrize(("method", "order"), [("euler", 1), ("midpoint", 2), ("rk4", 4)])
def test_each_method_has_its_order(method: str, order: int) -> None:
    x = points()
    truth = integrate(swirl, x, 600)
    errors = [float((integrate(swirl, x, n, method) - truth).abs().max()) for n in (40, 80, 160)]
    observed = [math.log2(coarse / fine) for coarse, fine in zip(errors, errors[1:])]
    assert observed == pytest.approx([order, order], abs=0.15)


@pytest.mark.parametrize(("method", "order"), [("euler", 1), ("midpoint", 2), ("rk4", 4)])
def test_the_log_density_converges_at_its_methods_order(method: str, order: int) -> None:
    x, field = points(), SmallField()
    truth = log_prob(field, x, 200)
    errors = [float((log_prob(field, x, n, method) - truth).abs().max()) for n in (10, 20, 40)]
    observed = [math.log2(coarse / fine) for coarse, fine in zip(errors, errors[1:])]
    assert observed == pytest.approx([order, order], abs=0.3)


@every_method
def test_each_method_is_torchdiffeqs_of_the_same_name(method: str) -> None:
    """But for rk4: theirs is another method of order 4, which is compared loosely."""
    x, times = points(), torch.linspace(0, 1, 31, dtype=torch.float64)
    theirs = odeint(lambda t, x: swirl(x, t), x, times, method=method)
    ours = trajectory(swirl, x, 30, method)
    assert (ours - theirs).abs().max() < (1e-6 if method == "rk4" else 1e-12)


def test_both_solvers_agree_with_scipys() -> None:
    def f(t: float, flat: np.ndarray) -> np.ndarray:
        return swirl(torch.tensor(flat).view(-1, 2), torch.tensor(t)).flatten().numpy()

    x = points(20)
    for t0, t1 in ((0.0, 1.0), (0.9, 0.2)):
        theirs = solve_ivp(f, (t0, t1), x.flatten().numpy(), method="DOP853", rtol=1e-11, atol=1e-11).y[:, -1]
        for ours in (
            integrate(swirl, x, 300, t0=t0, t1=t1),
            integrate_adaptive(swirl, x, t0, t1, tolerance=1e-10),
        ):
            assert (ours - torch.tensor(theirs).view(-1, 2)).abs().max() < 1e-8


@pytest.mark.parametrize(("t0", "t1"), [(0.0, 1.0), (1.0, 0.0), (0.2, 0.9)])
def test_an_adaptive_solver_never_asks_for_times_outside(t0: float, t1: float) -> None:
    """A learned field has no values there, and the last step may be far longer than what is left."""
    seen: list[float] = []
    integrate_adaptive(
        lambda x, t, context: seen.append(float(t)) or swirl(x, t), points(), t0, t1, tolerance=1e-2
    )
    assert min(t0, t1) <= min(seen) and max(seen) <= max(t0, t1)


def test_an_adaptive_step_grows_with_the_tolerance() -> None:
    def calls(tolerance: float) -> int:
        seen = []
        integrate_adaptive(lambda x, t, context: seen.append(t) or swirl(x, t), points(), tolerance=tolerance)
        return len(seen)

    assert calls(1e-3) < calls(1e-9)


@every_method
def test_a_field_of_the_time_alone_is_a_quadrature_rule(method: str) -> None:
    """Left ends, middles, and Simpson's rule, on steps of several lengths."""
    times = torch.tensor([0.0, 0.1, 0.4, 1.0], dtype=torch.float64)
    start, h = times[:-1], times.diff()
    g = lambda t: (2 * t).exp()  # noqa: E731
    rule = {
        "euler": h * g(start),
        "midpoint": h * g(start + h / 2),
        "rk4": h / 6 * (g(start) + 4 * g(start + h / 2) + g(start + h)),
    }[method]
    moved = integrate(lambda x, t, context: 0 * x + g(t), torch.zeros(1, 2).double(), times, method)
    assert torch.allclose(moved, rule.sum().expand(1, 2), rtol=1e-12)


@every_method
def test_a_way_there_and_back_ends_where_it_began(method: str) -> None:
    x = points()
    steps = {"euler": 4000, "midpoint": 200, "rk4": 50}[method]
    there = integrate(swirl, x, steps, method)
    assert (there - x).abs().max() > 0.1
    assert (integrate(swirl, there, steps, method, t0=1.0, t1=0.0) - x).abs().max() < 5e-3
    assert (integrate_adaptive(swirl, integrate_adaptive(swirl, x), 1.0, 0.0) - x).abs().max() < 1e-4


# --- steps and states -------------------------------------------------------------------------------


@every_method
def test_a_trajectory_holds_every_state(method: str) -> None:
    x = points()
    states = trajectory(swirl, x, 6, method, t0=0.2, t1=0.8)
    assert states.shape == (7, 50, 2) and torch.equal(states[0], x)
    for k in range(1, 7):
        alone = integrate(swirl, states[k - 1], 1, method, t0=0.1 + 0.1 * k, t1=0.2 + 0.1 * k)
        assert torch.allclose(states[k], alone, rtol=0, atol=1e-12)
    assert torch.equal(states[-1], integrate(swirl, x, 6, method, t0=0.2, t1=0.8))


@every_method
def test_equal_times_are_the_same_as_their_number_and_others_are_not(method: str) -> None:
    x, equal = points(), torch.linspace(0, 1, 9, dtype=torch.float64)
    assert torch.equal(trajectory(swirl, x, equal, method), trajectory(swirl, x, 8, method))
    assert torch.equal(
        integrate(swirl, x, equal.flip(0), method), integrate(swirl, x, 8, method, t0=1.0, t1=0.0)
    )
    assert torch.equal(log_prob(swirl, x, equal.flip(0), method), log_prob(swirl, x, 8, method))
    uneven = equal**2
    assert not torch.allclose(integrate(swirl, x, uneven, method), integrate(swirl, x, 8, method))
    assert not torch.allclose(log_prob(swirl, x, uneven.flip(0), method), log_prob(swirl, x, 8, method))
    by_hand = x
    for start, end in zip(uneven.tolist(), uneven.tolist()[1:]):
        by_hand = integrate(swirl, by_hand, 1, method, t0=start, t1=end)
    assert torch.equal(integrate(swirl, x, uneven, method), by_hand)


@pytest.mark.parametrize(("method", "calls"), [("euler", 1), ("midpoint", 2), ("rk4", 4)])
def test_a_step_calls_the_field_as_often_as_promised_at_times_between_its_ends(
    method: str, calls: int
) -> None:
    seen = []

    def watched(x: Tensor, t: Tensor, context: Tensor | None) -> Tensor:
        assert t.ndim == 0 and t.dtype == x.dtype
        seen.append(float(t))
        return x * t

    x = torch.ones(3, 2)
    for run, steps in ((integrate, 7), (log_prob, 7), (trajectory, 7)):
        seen.clear()
        run(watched, x, steps, method)
        assert len(seen) == 7 * calls
        assert min(seen) >= 0 and max(seen) <= 1


def test_labels_reach_the_field() -> None:
    x, ring = points(), torch.arange(50) % 2
    for run in (
        lambda x, ring: integrate(swirl, x, 20, context=ring),
        lambda x, ring: trajectory(swirl, x, 20, context=ring)[-1],
        lambda x, ring: integrate_adaptive(swirl, x, context=ring),
        lambda x, ring: log_prob(swirl, x, 20, context=ring)[:, None],
    ):
        together = run(x, ring)
        for label in (0, 1):
            mine = ring == label
            assert torch.allclose(together[mine], run(x[mine], ring[mine]), atol=1e-4)
        assert not torch.allclose(together, run(x, None), atol=1e-2)


@every_method
def test_float32_and_float64_stay_what_they_are(method: str) -> None:
    for dtype in (torch.float32, torch.float64):
        x = torch.randn(5, 2).to(dtype)
        assert integrate(swirl, x, 5, method).dtype == dtype
        assert log_prob(swirl, x, 5, method).dtype == dtype
        assert integrate_adaptive(swirl, x).dtype == dtype


def test_no_result_carries_a_gradient_unless_asked_for() -> None:
    field, x = SmallField(), points().requires_grad_()
    assert not integrate(field, x, 3).requires_grad
    assert not trajectory(field, x, 3).requires_grad
    assert not integrate_adaptive(field, x).requires_grad
    assert not log_prob(field, x, 3).requires_grad
    v, div = velocity_and_divergence(lambda x: field(x, torch.tensor(0.5)), x)
    assert not v.requires_grad and not div.requires_grad
    with torch.no_grad():  # and autograd works inside where the caller has turned it off
        inside = log_prob(field, x, 3)
    assert torch.equal(inside, log_prob(field, x, 3))
    assert x.grad is None and all(weight.grad is None for weight in field.parameters())


@pytest.mark.parametrize("estimated", [False, True])
def test_gradients_are_those_of_finite_differences(estimated: bool) -> None:
    field, x = SmallField(), points(3).requires_grad_()
    probe = points(3) if estimated else None
    torch.autograd.gradcheck(lambda x: integrate(field, x, 3, gradients=True), x)
    torch.autograd.gradcheck(lambda x: log_prob(field, x, 3, probe=probe, gradients=True), x)
    bias = field.network[0].bias

    def by_bias(b: Tensor) -> Tensor:
        given = {"network.0.bias": b}
        moved = lambda x, t, context: torch.func.functional_call(field, given, (x, t))  # noqa: E731
        return log_prob(moved, x.detach(), 3, probe=probe, gradients=True)

    torch.autograd.gradcheck(by_bias, bias.detach().requires_grad_())


# --- densities --------------------------------------------------------------------------------------


@pytest.mark.parametrize("dim", MATRICES)
def test_the_density_of_a_linear_field_is_the_gaussian_that_it_makes(dim: int) -> None:
    a, x = MATRICES[dim], 1.5 * points(dim=dim)
    move = matrix_exp(a)
    truth = MultivariateNormal(torch.zeros(dim).double(), move @ move.T).log_prob(x)
    assert (log_prob(linear(a), x, 100) - truth).abs().max() < 1e-7


@pytest.mark.parametrize("dim", MATRICES)
def test_the_integral_of_the_divergence_is_t_times_the_trace(dim: int) -> None:
    a, x = MATRICES[dim], points(dim=dim)
    start = x @ matrix_exp(-a).T
    found = log_prob(linear(a), x, 100) - standard(dim).log_prob(start)
    assert (found + a.trace()).abs().max() < 1e-7


def test_a_path_between_two_gaussians_has_the_density_of_its_end() -> None:
    """x_t = m_t + s_t x_0 with s from 1 to 0.3: the field's divergence depends on the time."""
    mean, s1 = torch.tensor([0.7, -1.2], dtype=torch.float64), 0.3

    def field(x: Tensor, t: Tensor, context: None) -> Tensor:
        s = 1 + t * (s1 - 1)
        return mean + (s1 - 1) / s * (x - t * mean)

    x = mean + s1 * points(200)
    truth = MultivariateNormal(mean, s1**2 * torch.eye(2).double()).log_prob(x)
    assert (log_prob(field, x, 100) - truth).abs().max() < 1e-7


@pytest.mark.parametrize("smooth", [True, False])
@pytest.mark.parametrize("dim", [1, 2, 4])
def test_log_prob_is_the_change_of_variables_by_autograds_jacobian(dim: int, smooth: bool) -> None:
    """The Jacobian of the discrete map backward is another approximation of the same number."""
    field, x = SmallField(dim, smooth), points(dim=dim)
    steps = 100 if smooth else 300
    back = lambda x: integrate(field, x, steps, t0=1.0, t1=0.0, gradients=True)  # noqa: E731
    matrix = torch.func.jacrev(lambda x: back(x).sum(0))(x).movedim(1, 0).detach()
    truth = standard(dim).log_prob(back(x)) + slogdet(matrix).logabsdet
    found = log_prob(field, x, steps)
    assert (found - truth).abs().max() < (1e-7 if smooth else 0.05)
    assert (found - standard(dim).log_prob(x)).abs().max() > 0.1


def test_a_density_integrates_to_one() -> None:
    axis = torch.linspace(-9, 9, 201, dtype=torch.float64)
    log_p = log_prob(SmallField(), torch.cartesian_prod(axis, axis), 20)
    assert float(log_p.exp().sum() * (axis[1] - axis[0]) ** 2) == pytest.approx(1, abs=1e-4)


def test_the_density_is_that_of_the_samples() -> None:
    """The mean of -log p over samples is the entropy, and so is the sum over a grid; moments likewise."""
    field, axis = SmallField(), torch.linspace(-9, 9, 201, dtype=torch.float64)
    grid = torch.cartesian_prod(axis, axis)
    log_p = log_prob(field, grid, 20)
    x = integrate(field, points(20_000), 20)
    for ours, exact in (
        (-log_prob(field, x, 20), -log_p),
        (x[:, 0] * x[:, 1], grid[:, 0] * grid[:, 1]),
        (x[:, 0], grid[:, 0]),
        (x[:, 1] ** 2, grid[:, 1] ** 2),
    ):
        expected = float((log_p.exp() * exact).sum() * (axis[1] - axis[0]) ** 2)
        assert abs(float(ours.mean()) - expected) < 5 * float(ours.std()) / 20_000**0.5


def test_the_density_takes_another_base() -> None:
    x = torch.tensor([[0.5, 0.5], [3.9, 0.0], [4.1, 0.0]])
    found = log_prob(linear(math.log(2) * torch.eye(2)), x, 50, base=UniformBox(reach=2.0))
    assert torch.allclose(found[:2], torch.tensor(-2 * math.log(8.0)), atol=1e-5)
    assert found[2] == -math.inf


# --- the trace --------------------------------------------------------------------------------------


@pytest.mark.parametrize("dim", [1, 2, 3, 6])
def test_the_divergence_is_the_trace_of_autograds_jacobian(dim: int) -> None:
    field, x = SmallField(dim), points(dim=dim)
    velocity = lambda x: field(x, torch.tensor(0.3).double())  # noqa: E731
    matrix = torch.func.jacrev(lambda x: velocity(x).sum(0))(x).movedim(1, 0).detach()
    v, div = velocity_and_divergence(velocity, x)
    assert torch.equal(v, velocity(x))
    assert torch.allclose(div, matrix.diagonal(dim1=1, dim2=2).sum(1), atol=1e-12)
    probe = points(dim=dim)
    _, estimate = velocity_and_divergence(velocity, x, probe)
    assert torch.allclose(estimate, torch.einsum("bi,bij,bj->b", probe, matrix, probe), atol=1e-12)


@pytest.mark.parametrize("kind", ["normal", "signs"])
def test_hutchinsons_estimate_is_right_on_average(kind: str) -> None:
    field, x, n = SmallField(), points(4), 4000
    many = x.repeat_interleave(n, dim=0)
    probe = torch.randn_like(many) if kind == "normal" else torch.randint(2, many.shape) * 2.0 - 1
    found = log_prob(field, many, 10, probe=probe.double()).view(4, n)
    error = (found.mean(1) - log_prob(field, x, 10)) / found.std(1) * n**0.5
    assert (found.std(1) > 0.01).all() and error.abs().max() < 5


def test_a_probe_is_kept_over_all_steps() -> None:
    """For a linear field the estimate is then t e'Ae exactly, however many steps."""
    a, x, probe = MATRICES[2], points(), points()
    estimate = torch.einsum("bi,ij,bj->b", probe, a, probe)
    start = x @ matrix_exp(-a).T
    for steps in (60, 90):
        found = log_prob(linear(a), x, steps, probe=probe) - standard(2).log_prob(start)
        assert (found + estimate).abs().max() < 1e-6


def test_the_state_takes_the_same_way_with_and_without_a_probe() -> None:
    seen = {"exact": [], "probe": []}
    x, probe = points(5), points(5)
    for kind, given in (("exact", None), ("probe", probe)):
        log_prob(
            lambda x, t, context, kind=kind: seen[kind].append(x.detach()) or swirl(x, t), x, 5, probe=given
        )
    assert all(torch.equal(a, b) for a, b in zip(seen["exact"], seen["probe"]))


def test_the_divergence_of_one_dimension_is_an_ordinary_integral() -> None:
    """x' = x cos t / (1 + t): log p = log N(x_0) - the integral of cos t / (1 + t), by scipy."""
    growth = quad(lambda t: math.cos(t) / (1 + t), 0, 1)[0]
    x = torch.tensor([[0.4], [-1.1]], dtype=torch.float64)
    found = log_prob(lambda x, t, context: x * t.cos() / (1 + t), x, 60)
    truth = standard(1).log_prob(x * math.exp(-growth)) - growth
    assert (found - truth).abs().max() < 1e-8


# --- what users meet --------------------------------------------------------------------------------


def test_the_density_can_be_asked_for_in_inference_mode() -> None:
    x = points()
    expected = log_prob(swirl, x, 20)
    with torch.inference_mode():
        assert torch.allclose(log_prob(swirl, x.clone(), 20), expected)
        probe = torch.randn_like(x)
        assert torch.isfinite(log_prob(swirl, x.clone(), 5, probe=probe)).all()


def test_the_noise_comes_along_on_request() -> None:
    x = points()
    log_density, z = log_prob(swirl, x, 30, with_noise=True)
    assert torch.equal(log_density, log_prob(swirl, x, 30))
    assert torch.allclose(z, integrate(swirl, x, 30, t0=1.0, t1=0.0), atol=1e-6)


@pytest.mark.parametrize(
    ("field", "words"),
    [
        (lambda x, t, context: x**2, "too short|led no further"),  # from 3 it is infinite at time 1/3
        (lambda x, t, context: x / (0.5 - t).clamp(min=0), "not finite"),
        (lambda x, t, context: torch.full_like(x, math.nan), "at t = 0 .* not finite"),
    ],
    ids=["blows up", "infinite", "nan"],
)
def test_a_field_that_blows_up_ends_with_one_clear_error(field: Callable[..., Tensor], words: str) -> None:
    with pytest.raises(FloatingPointError, match=words):
        integrate_adaptive(field, torch.full((2, 2), 3.0))


def test_a_field_that_blows_up_ends_without_assertions_too(monkeypatch: pytest.MonkeyPatch) -> None:
    """Under `python -O` torchdiffeq has no assertion that would stop it; the count of calls does."""
    monkeypatch.setattr(ode, "MOST_CALLS", 200)
    monkeypatch.setattr(ode, "odeint", endless)
    with pytest.raises(FloatingPointError, match="200 calls of the field led no further than t = 0.25"):
        integrate_adaptive(swirl, points())


def endless(f: Callable[..., Tensor], x: Tensor, times: Tensor, **_: object) -> Tensor:
    """A solver whose steps have become too short to count."""
    while True:
        f(times[0] + 0.25, x)


@pytest.mark.parametrize(("t0", "t1"), [(0.99, 1.0), (0.0, 1.0), (0.001, 0.0), (1.0, 0.0)])
def test_the_adaptive_method_never_asks_beyond_its_ends(t0: float, t1: float) -> None:
    """Its first guess at a step has no bound of its own."""
    seen = []
    integrate_adaptive(lambda x, t, context: seen.append(float(t)) or swirl(x, t), points(), t0, t1)
    low, high = sorted((t0, t1))
    assert low - 1e-6 <= min(seen) and max(seen) <= high + 1e-6


def test_the_adaptive_method_takes_no_points() -> None:
    assert integrate_adaptive(swirl, points()[:0]).shape == (0, 2)


def test_an_assertion_of_the_field_is_its_own() -> None:
    def careful(x: Tensor, t: Tensor, context: None) -> Tensor:
        raise AssertionError("context must be given")

    with pytest.raises(AssertionError, match="context must be given"):
        integrate_adaptive(careful, points())


@pytest.mark.parametrize("steps", [torch.ones(2, 2), torch.ones(1), torch.tensor(1.0)])
def test_steps_that_are_no_row_of_times_are_refused(steps: Tensor, no_shape_check: None) -> None:
    for call in (lambda: integrate(swirl, points(), steps), lambda: log_prob(swirl, points(), steps)):
        with pytest.raises(ValueError, match="steps has shape .* two or more times"):
            call()


@pytest.mark.parametrize(("method", "last"), [("euler", 0.75), ("midpoint", 0.875), ("rk4", 1.0)])
def test_which_methods_look_at_the_end_itself(method: str, last: float) -> None:
    seen = []
    integrate(lambda x, t, context: seen.append(float(t)) or 0 * x, points(), 4, method)
    assert max(seen) == last


# --- bad input --------------------------------------------------------------------------------------

ONES, NAN = torch.ones(4, 2), torch.tensor([[0.0, math.nan]])
BAD: dict[str, tuple[Callable[[], object], type[Exception], list[str]]] = {
    "no tensor": (lambda: integrate(swirl, [[1.0]], 2), TypeError, ["x is a list"]),
    "whole": (lambda: trajectory(swirl, ONES.int(), 2), TypeError, ["x has dtype torch.int32"]),
    "flat": (lambda: log_prob(swirl, ONES[0], 2), ValueError, ["x has shape (2,)", "(batch, dim)"]),
    "number": (lambda: integrate(swirl, torch.tensor(1.0), 2), ValueError, ["x has shape ()"]),
    "nan": (lambda: integrate(swirl, NAN, 2), ValueError, ["x has 1 entries"]),
    "nan, density": (lambda: log_prob(swirl, NAN, 2), ValueError, ["x has 1 entries"]),
    "nan, adaptive": (lambda: integrate_adaptive(swirl, NAN), ValueError, ["x has 1 entries"]),
    "nan, states": (lambda: trajectory(swirl, NAN, 2), ValueError, ["x has 1 entries"]),
    "no steps": (lambda: integrate(swirl, ONES, 0), ValueError, ["steps is 0", "at least 1"]),
    "half a step": (lambda: integrate(swirl, ONES, 0.5), TypeError, ["steps is 0.5", "whole number"]),
    "method": (lambda: integrate(swirl, ONES, 2, "rk5"), ValueError, ["'rk5'", "euler, midpoint, rk4"]),
    "standing": (lambda: integrate(swirl, ONES, 2, t0=1.0), ValueError, ["times from 1.0 to 1.0", "rise"]),
    "standing, adaptive": (lambda: integrate_adaptive(swirl, ONES, 1.0, 1.0), ValueError, ["rise or all"]),
    "zigzag": (
        lambda: integrate(swirl, ONES, torch.tensor([0.0, 0.5, 0.4, 1.0])),
        ValueError,
        ["times from 0.0 to 1.0", "all rise or all fall"],
    ),
    "one time": (lambda: integrate(swirl, ONES, torch.ones(1)), ValueError, ["(1,)", "two or more"]),
    "table of times": (lambda: integrate(swirl, ONES, ONES), ValueError, ["(4, 2)", "two or more"]),
    "no time": (
        lambda: trajectory(swirl, ONES, torch.tensor([0, math.nan])),
        ValueError,
        ["must be finite"],
    ),
    "forward": (lambda: log_prob(swirl, ONES, torch.linspace(0, 1, 3)), ValueError, ["from 1 down to 0"]),
    "cut short": (lambda: log_prob(swirl, ONES, torch.tensor([1.0, 0.1])), ValueError, ["down to 0"]),
    "late": (lambda: log_prob(swirl, ONES, torch.tensor([0.9, 0.0])), ValueError, ["down to 0"]),
    "probe": (
        lambda: log_prob(swirl, ONES, 2, probe=ONES[:3]),
        ValueError,
        ["probe has shape (3, 2)", "(4, 2)"],
    ),
    "narrow field": (
        lambda: integrate(lambda x, t, context: x[:, :1], ONES, 2),
        ValueError,
        ["returned shape (4, 1)", "(4, 2)"],
    ),
    "narrow field, density": (
        lambda: log_prob(lambda x, t, context: x[:, :1], ONES, 2),
        ValueError,
        ["returned shape (4, 1)"],
    ),
    "narrow velocity": (
        lambda: velocity_and_divergence(lambda x: x[:, :1], ONES),
        ValueError,
        ["returned shape (4, 1)"],
    ),
    "field without a link": (
        lambda: log_prob(torch.no_grad()(swirl), ONES, 2),
        ValueError,
        ["hides from autograd", "0 * x"],
    ),
    "tolerance": (lambda: integrate_adaptive(swirl, ONES, tolerance=0.0), ValueError, ["tolerance is 0.0"]),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_input_meets_one_clear_error(case: str, meets_one_clear_error: Callable[..., None]) -> None:
    meets_one_clear_error(BAD[case])


class Linear(nn.Module):
    """A field whose flow is a matrix exponential."""

    dim = 3

    def __init__(self) -> None:
        super().__init__()
        self.matrix = nn.Parameter(MATRICES[3])

    def forward(self, x: Tensor, t: Tensor, context: Tensor | None = None) -> Tensor:
        return x @ self.matrix.T if context is None else x @ self.matrix.T + context


def test_a_field_as_a_model_has_the_density_and_the_samples_of_its_flow() -> None:
    model = ode.ContinuousFlow(Linear(), steps=20, method="rk4")
    grown = matrix_exp(MATRICES[3])
    law = MultivariateNormal(torch.zeros(3, dtype=torch.float64), grown @ grown.T)
    x = torch.randn(40, 3, dtype=torch.float64)
    torch.testing.assert_close(model.log_prob(x), law.log_prob(x), atol=1e-5, rtol=1e-5)
    torch.manual_seed(3)
    drawn = model.sample(20_000)
    assert drawn.dtype == torch.float64 and not drawn.requires_grad
    torch.testing.assert_close(torch.cov(drawn.T), grown @ grown.T, atol=0.15, rtol=0.1)
    pushed = model.sample(5, torch.full((5, 3), 9.0, dtype=torch.float64))
    assert float((pushed.mean(0) - drawn.mean(0)).norm()) > 5
