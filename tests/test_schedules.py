"""Schedules against the definition by sums and integrals, the literature's equations, and each other."""

import math
from collections.abc import Callable

import numpy as np
import pytest
import torch
from conftest import Bad
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from helpers import ode
from helpers.empirical import EmpiricalPath
from helpers.matching import VelocityField
from helpers.path import RingsPath
from helpers.rings import OlympicRings
from helpers.schedules import (
    COSINE,
    LINEAR,
    PREDICTIONS,
    VARIANCE_EXPLODING,
    VARIANCE_PRESERVING,
    Schedule,
    ScheduledField,
    ScheduledPath,
    convert,
)

ALL = {
    "linear": LINEAR,
    "cosine": COSINE,
    "preserving": VARIANCE_PRESERVING,
    "exploding": VARIANCE_EXPLODING,
}
# One early, one middle and one late moment of each, in its own time.
MOMENTS = [
    ("linear", 0.1),
    ("linear", 0.5),
    ("linear", 0.93),
    ("cosine", 0.9),
    ("cosine", 0.4),
    ("cosine", 0.06),
    ("preserving", 0.8),
    ("preserving", 0.3),
    ("preserving", 0.02),
    ("exploding", 20.0),
    ("exploding", 1.0),
    ("exploding", 0.08),
]
each_moment = pytest.mark.parametrize(("name", "r"), MOMENTS)

# Written down a second time, as the papers have them, with the derivatives by hand.
BY_HAND: dict[str, Callable[[float], tuple[float, float, float, float]]] = {
    "linear": lambda r: (r, 1 - r, 1.0, -1.0),
    "cosine": lambda r: (
        math.cos(math.pi * r / 2),
        math.sin(math.pi * r / 2),
        -math.pi / 2 * math.sin(math.pi * r / 2),
        math.pi / 2 * math.cos(math.pi * r / 2),
    ),
    "preserving": lambda r: _preserving(r),
    "exploding": lambda r: (1.0, r, 0.0, 1.0),
}


def _preserving(r: float) -> tuple[float, float, float, float]:
    """d alpha / dr = -beta alpha / 2 and d sigma / dr = beta alpha^2 / (2 sigma), beta = 0.1 + 19.9 r."""
    beta, total = 0.1 + 19.9 * r, 0.1 * r + 19.9 * r**2 / 2
    alpha, sigma = math.exp(-total / 2), math.sqrt(1 - math.exp(-total))
    return alpha, sigma, -beta * alpha / 2, beta * alpha**2 / (2 * sigma)


@each_moment
def test_coefficients_and_rates(name: str, r: float) -> None:
    assert [float(part) for part in ALL[name].at(r)] == pytest.approx(BY_HAND[name](r), rel=1e-12, abs=1e-14)


def plain(points: Tensor, y: Tensor, name: str, r: float) -> dict[str, Tensor]:
    """The four predictions for n points, by sums of Python's own numbers, and the log-density."""
    alpha, sigma, alpha_rate, sigma_rate = BY_HAND[name](r)
    found: dict[str, list] = {kind: [] for kind in (*PREDICTIONS, "log_prob")}
    for place in y.tolist():
        logs = [
            -sum((a - alpha * b) ** 2 for a, b in zip(place, p)) / (2 * sigma**2) for p in points.tolist()
        ]
        top = max(logs)
        weights = [math.exp(value - top) for value in logs]
        total = math.fsum(weights)

        def mean(of: Callable[[float, float], float]) -> list[float]:
            return [
                math.fsum(w * of(a, p[k]) for w, p in zip(weights, points.tolist())) / total  # noqa: B023
                for k, a in enumerate(place)  # noqa: B023
            ]

        found["data"].append(mean(lambda a, b: b))
        found["noise"].append(mean(lambda a, b: (a - alpha * b) / sigma))
        found["velocity"].append(mean(lambda a, b: alpha_rate * b + sigma_rate * (a - alpha * b) / sigma))
        found["score"].append(mean(lambda a, b: (alpha * b - a) / sigma**2))
        norm = len(place) * math.log(sigma * math.sqrt(2 * math.pi))
        found["log_prob"].append(top + math.log(total / len(weights)) - norm)
    return {kind: torch.tensor(values, dtype=torch.float64) for kind, values in found.items()}


@each_moment
def test_the_path_of_a_table_is_what_the_definition_says(name: str, r: float) -> None:
    points = OlympicRings().sample(20)[0].double()
    path = ScheduledPath(EmpiricalPath(points), ALL[name])
    y = path.sample(10, r)[0]
    expected = plain(points, y, name, r)
    for kind in PREDICTIONS:
        assert torch.allclose(path.predict(kind, y, r), expected[kind], rtol=1e-9, atol=1e-9)
    assert torch.allclose(path.log_prob(y, r), expected["log_prob"], rtol=1e-10, atol=1e-10)


@each_moment
def test_the_velocity_on_the_rings_by_quadrature(name: str, r: float) -> None:
    """The mean of alpha' x1 + sigma' x0 over all points of the rings, by Gauss and the trapezium rule."""
    rings = OlympicRings()
    alpha, sigma, alpha_rate, sigma_rate = BY_HAND[name](r)
    nodes, weights = np.polynomial.legendre.leggauss(40)
    radius = (rings.inner + rings.outer) / 2 + (rings.outer - rings.inner) / 2 * torch.from_numpy(nodes)
    angle = 2 * math.pi * torch.arange(400, dtype=torch.float64) / 400
    turn = torch.stack([angle.cos(), angle.sin()], dim=1)
    x1 = (rings.centres[:, None, None] + radius[:, None, None] * turn).reshape(-1, 2)
    weight = (torch.from_numpy(weights) * radius)[None, :, None].expand(5, 40, 400).reshape(-1)

    path = ScheduledPath(RingsPath(rings), ALL[name])
    y = path.sample(12, r)[0].double()
    x0 = (y[:, None] - alpha * x1) / sigma
    weight = weight * torch.exp(-(x0.square().sum(-1) - x0.square().sum(-1).amin(1, keepdim=True)) / 2)
    velocity = (weight[..., None] * (alpha_rate * x1 + sigma_rate * x0)).sum(1) / weight.sum(1, keepdim=True)
    assert torch.allclose(path(y, r), velocity, rtol=1e-7, atol=1e-7)


@pytest.mark.parametrize(("name", "r"), MOMENTS[4::3])
def test_a_density_integrates_to_one(name: str, r: float) -> None:
    path = ScheduledPath(EmpiricalPath(torch.tensor([[0.5, 0.0], [-0.5, 1.0]])), ALL[name])
    alpha, sigma, *_ = BY_HAND[name](r)
    side = torch.linspace(-alpha - 7 * sigma, alpha + 7 * sigma, 200, dtype=torch.float64)
    step = float(side[1] - side[0])
    total = path.log_prob(torch.cartesian_prod(side, side), r).exp().sum() * step**2
    assert float(total) == pytest.approx(1, abs=1e-6)


@pytest.mark.parametrize(("name", "r"), MOMENTS)
def test_samples_and_the_least_loss(name: str, r: float) -> None:
    """y is made of what is returned beside it, and the loss of the exact field is the floor, by drawing."""
    path = ScheduledPath(RingsPath(OlympicRings()), ALL[name])
    alpha, sigma, alpha_rate, sigma_rate = BY_HAND[name](r)
    y, x0, x1, _ = path.sample(4000, r)
    assert torch.allclose(y, alpha * x1 + sigma * x0, rtol=1e-5, atol=1e-4)
    loss = (alpha_rate * x1 + sigma_rate * x0 - path(y, r)).square().sum(1)
    assert path.loss_floor_at(r) == pytest.approx(float(loss.mean()), abs=5 * float(loss.std()) / 4000**0.5)


@given(
    st.sampled_from(MOMENTS),
    st.sampled_from(PREDICTIONS),
    st.sampled_from(PREDICTIONS),
    st.floats(-3, 3),
    st.floats(-3, 3),
)
@settings(deadline=None)
def test_conversions_undo_each_other(
    moment: tuple[str, float], given_kind: str, wanted: str, a: float, b: float
) -> None:
    name, r = moment
    value = torch.tensor([[a, b]], dtype=torch.float64)
    y, at = torch.tensor([[b, 1.0]], dtype=torch.float64), ALL[name].at(r)
    there = convert(value, y, given_kind, wanted, at)
    back = convert(there, y, wanted, given_kind, at)
    assert torch.allclose(back, value, rtol=1e-10, atol=1e-10 * (1 + float(there.abs().max())))


def test_times_and_own_times_undo_each_other() -> None:
    t = torch.linspace(0.02, 0.98, 49, dtype=torch.float64)
    for schedule in ALL.values():
        assert torch.allclose(schedule.time(schedule.own_time(t)), t, rtol=0, atol=1e-13)
        assert float(schedule.own_time(0.0)) == pytest.approx(schedule.noise, rel=1e-12)


def test_the_continuous_schedule_is_the_limit_of_the_table_of_ddpm() -> None:
    """Ho, Jain and Abbeel: a thousand betas from 1e-4 to 0.02."""
    keep = torch.cumprod(1 - torch.linspace(1e-4, 0.02, 1000, dtype=torch.float64), 0)
    k = torch.arange(1, 1001, dtype=torch.float64)
    alpha = VARIANCE_PRESERVING.at(k / 1000).alpha
    assert float((alpha - keep.sqrt()).abs().max()) < 2e-3


def test_the_equations_of_the_literature() -> None:
    """Song and others: dy/dr = -beta (y + score) / 2; Karras and others: dy/d sigma = (y - D) / sigma."""
    path = EmpiricalPath(torch.randn(9, 3))
    preserving, exploding = ScheduledPath(path, VARIANCE_PRESERVING), ScheduledPath(path, VARIANCE_EXPLODING)
    y = torch.randn(7, 3, dtype=torch.float64)
    flow = -(0.1 + 19.9 * 0.3) / 2 * (y + preserving.predict("score", y, 0.3))
    assert torch.allclose(preserving(y, 0.3), flow, rtol=1e-10)
    assert torch.allclose(exploding(y, 2.0), (y - exploding.predict("data", y, 2.0)) / 2, rtol=1e-10)


def test_the_score_is_the_gradient_of_the_log_density() -> None:
    for name, r in MOMENTS:
        path = ScheduledPath(EmpiricalPath(torch.randn(5, 2)), ALL[name])
        y = path.sample(6, r)[0].requires_grad_()
        (gradient,) = torch.autograd.grad(path.log_prob(y, r).sum(), y)
        assert torch.allclose(path.predict("score", y.detach(), r), gradient, rtol=1e-8, atol=1e-8)


@pytest.mark.parametrize("name", ["cosine", "preserving", "exploding"])
def test_the_ways_are_those_of_the_straight_path(name: str) -> None:
    """Carried in its own clothes, a point comes to where the straight field brings it."""
    schedule, field = ALL[name], VelocityField().double()
    with torch.no_grad():
        for part in field.parameters():
            part.add_(0.05 * torch.randn_like(part))
    x = torch.randn(20, 2, dtype=torch.float64)
    straight = ode.integrate(field, x, 60, t0=0.2, t1=0.8)
    r = schedule.own_time(torch.linspace(0.2, 0.8, 61, dtype=torch.float64))
    scale = [schedule.at(end).alpha + schedule.at(end).sigma for end in (r[0], r[-1])]
    y = ode.integrate(ScheduledField(field, schedule), x * scale[0], r)
    assert torch.allclose(y / scale[1], straight, rtol=0, atol=1e-6)


def test_a_context_reaches_the_field() -> None:
    field = ScheduledField(RingsPath(OlympicRings()).velocity, COSINE)
    y, ring = torch.randn(5, 2), torch.arange(5)
    of_class = ScheduledPath(RingsPath(OlympicRings()), COSINE).predict("data", y, 0.3, ring)
    assert torch.equal(field.predict("data", y, 0.3, ring), of_class)
    assert not torch.allclose(field.predict("data", y, 0.3), of_class)


def test_times_may_differ_from_point_to_point_and_dtypes_stay() -> None:
    path = ScheduledPath(RingsPath(OlympicRings()), VARIANCE_EXPLODING)
    y, r = torch.randn(4, 2), torch.tensor([0.1, 0.5, 2.0, 9.0])
    one_by_one = torch.cat([path(y[i : i + 1], float(r[i])) for i in range(4)])
    assert path(y, r).dtype == torch.float32
    assert torch.allclose(path(y, r), one_by_one, atol=1e-5)


Y = torch.zeros(3, 2)
BAD: dict[str, Bad] = {
    "a schedule the wrong way round": (
        lambda: Schedule(lambda r: r, lambda r: 1 - r, noise=1.0, data=0.0),
        ValueError,
        ["must grow", "r = 1.0"],
    ),
    "a kind that is none": (
        lambda: convert(Y, Y, "velocity", "speed", LINEAR.at(0.5)),
        ValueError,
        ["'speed'", "velocity, noise, data, score"],
    ),
    "the end of the data": (
        lambda: ScheduledPath(RingsPath(OlympicRings()), COSINE)(Y, 0.0),
        ValueError,
        ["t is 1.0"],
    ),
    "points that are none": (
        lambda: ScheduledField(VelocityField(), LINEAR)(Y.fill_(math.nan), 0.5),
        ValueError,
        ["y has 6 entries"],
    ),
}


@pytest.mark.parametrize("bad", BAD.values(), ids=BAD)
def test_bad_input_meets_one_clear_error(bad: Bad, meets_one_clear_error: Callable[[Bad], None]) -> None:
    meets_one_clear_error(bad)
