"""The exact field of n points against a plain sum in float64, autograd, and cases that are known."""

import math
from collections.abc import Callable

import numpy as np
import pytest
import torch
from conftest import RARE, Bad
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats
from scipy.spatial import cKDTree
from torch import Tensor, nn

from helpers import empirical, ode
from helpers.empirical import EmpiricalPath, copy_share, nearest_distances
from helpers.matching import matching_loss
from helpers.path import RingsPath
from helpers.rings import OlympicRings

TIMES = [0.0, 0.1, 0.5, 0.9, 0.99, 0.9999]


def plain(points: Tensor, x: Tensor, t: float) -> tuple[Tensor, Tensor]:
    """Log-density and velocity, point by point, by sums of Python's own numbers."""
    dim, tau = points.shape[1], 1 - t
    logs, velocities = [], []
    for place in x.tolist():
        of_point = [
            -sum((a - t * b) ** 2 for a, b in zip(place, point)) / (2 * tau**2) for point in points.tolist()
        ]
        largest = max(of_point)
        weights = [math.exp(value - largest) for value in of_point]
        total = math.fsum(weights)
        bell = dim * (math.log(2 * math.pi) / 2 + math.log(tau))
        logs.append(largest + math.log(total) - math.log(len(points)) - bell)
        velocities.append(
            [
                math.fsum(w * (point[k] - place[k]) for w, point in zip(weights, points.tolist()))
                / (total * tau)
                for k in range(dim)
            ]
        )
    return torch.tensor(logs, dtype=torch.float64), torch.tensor(velocities, dtype=torch.float64)


def relative(a: Tensor, b: Tensor) -> float:
    return float(((a - b).abs() / (1 + b.abs())).detach().max())


@pytest.mark.parametrize("t", TIMES)
@pytest.mark.parametrize(("n", "dim"), [(1, 2), (2, 1), (50, 2), (31, 7)])
def test_density_and_velocity_are_the_plain_sums(n: int, dim: int, t: float) -> None:
    path = EmpiricalPath(torch.randn(n, dim, dtype=torch.float64))
    x = torch.cat([path.sample(40, t)[0], 3 * torch.randn(20, dim, dtype=torch.float64)])
    log_p, u = plain(path.points, x, t)
    assert relative(path.log_prob(x, t), log_p) < 1e-12
    assert relative(path.velocity(x, t), u) < 1e-12
    assert relative(path.mean(x, t), (1 - t) * u + x) < 1e-12


@settings(max_examples=40, deadline=None)
@given(
    st.integers(1, 6), st.integers(1, 4), st.floats(0.01, 0.99), st.integers(0, 2**31 - 1), st.floats(0.1, 3)
)
def test_the_field_is_the_score_and_carries_the_density(
    n: int, dim: int, t: float, seed: int, wide: float
) -> None:
    """u = (x + tau score) / t; and d log p / dt = -u . score - div u, the continuity equation."""
    torch.manual_seed(seed)
    path = EmpiricalPath(wide * torch.randn(n, dim))
    x = path.sample(20, t)[0].requires_grad_()
    time = torch.full((20,), t, dtype=torch.float64, requires_grad=True)
    score, rate = torch.autograd.grad(path.log_prob(x, time).sum(), (x, time))
    u, div = ode.velocity_and_divergence(lambda y: path.velocity(y, t), x)
    assert relative((x + (1 - t) * score) / t, u) < 1e-9
    along = (u * score).sum(1)
    size = 1 + rate.abs() + along.abs() + div.abs()
    assert float(((rate + along + div).abs() / size).detach().max()) < 1e-9


def test_the_order_of_the_points_does_not_matter_and_twice_the_points_are_the_same_distribution() -> None:
    points = torch.randn(9, 3, dtype=torch.float64)
    path, x = EmpiricalPath(points), torch.randn(30, 3, dtype=torch.float64)
    for same in (points.flip(0), torch.cat([points, points])):
        other = EmpiricalPath(same)
        assert relative(other.log_prob(x, 0.7), path.log_prob(x, 0.7)) < 1e-12
        assert relative(other.velocity(x, 0.7), path.velocity(x, 0.7)) < 1e-12


def test_every_point_has_a_time_of_its_own() -> None:
    path, x, t = EmpiricalPath(torch.randn(20, 2)), torch.randn(6, 2).double(), torch.rand(6).double()
    for result in (path.log_prob, path.velocity, path.mean):
        alone = torch.cat([result(x[i : i + 1], float(t[i])) for i in range(6)])
        assert relative(result(x, t), alone) < 1e-12


def test_chunks_do_not_show(monkeypatch: pytest.MonkeyPatch) -> None:
    path, x, t = EmpiricalPath(torch.randn(20, 2)), torch.randn(17, 2), torch.rand(17)
    whole = path.log_prob(x, t), path.velocity(x, t), nearest_distances(x, path.points.float())
    monkeypatch.setattr(empirical, "CHUNK", 50)
    parts = path.log_prob(x, t), path.velocity(x, t), nearest_distances(x, path.points.float())
    assert all(torch.equal(a, b) for a, b in zip(whole, parts))


def test_results_have_the_dtype_of_the_points_asked_about() -> None:
    path = EmpiricalPath(torch.randn(5, 2))
    for dtype in (torch.float32, torch.float64):
        x = torch.zeros(3, 2, dtype=dtype)
        assert path.log_prob(x, 0.5).dtype == path.velocity(x, 0.5).dtype == path.mean(x, 0.5).dtype == dtype


def test_one_point_draws_everything_to_it_in_straight_lines_and_costs_nothing() -> None:
    point = torch.tensor([[0.3, -0.7]], dtype=torch.float64)
    path, x0 = EmpiricalPath(point), torch.randn(50, 2, dtype=torch.float64)
    for t in (0.0, 0.5, 0.999):
        xt = (1 - t) * x0 + t * point
        assert relative(path.velocity(xt, t), point - x0) < 1e-10
    assert path.loss_floor(50) == (0.0, 0.0)


def test_samples_lie_between_noise_and_points() -> None:
    points = torch.randn(3, 2, dtype=torch.float64)
    xt, x0, x1 = EmpiricalPath(points).sample(30_000, 0.25)
    assert torch.equal(xt, 0.75 * x0 + 0.25 * x1)
    counts = (x1[:, None] == points).all(-1).sum(0)
    assert int(counts.sum()) == 30_000
    assert stats.chisquare(counts.numpy()).pvalue > RARE
    assert stats.kstest(x0.flatten().numpy(), "norm").pvalue > RARE


def test_following_the_field_ends_in_the_points() -> None:
    path = EmpiricalPath(torch.randn(12, 2, dtype=torch.float64))
    late = 1 - 1e-5 ** torch.linspace(0, 1, 101, dtype=torch.float64)
    end = ode.integrate(lambda x, t, c: path.velocity(x, t), torch.randn(300, 2).double(), late)
    assert float(nearest_distances(end, path.points)[:, 0].max()) < 1e-3


@pytest.mark.parametrize("late", [1.0, 2.0])
def test_the_floor_is_the_loss_of_the_exact_field(late: float) -> None:
    path = EmpiricalPath(OlympicRings().sample(100)[0])
    floor = path.loss_floor(20_000, late)
    x1 = path.points[torch.randint(100, (100_000,))]

    class Exact(nn.Module):
        def forward(self, x: Tensor, t: Tensor, context: None = None) -> Tensor:
            return path.velocity(x, t.clamp(max=1 - 1e-6))

    parts = x1.split(5000)
    losses = [float(matching_loss(Exact(), torch.randn_like(part), part, late=late)) for part in parts]
    error = math.hypot(floor.stderr, np.std(losses) / math.sqrt(len(losses)))
    assert abs(np.mean(losses) - floor.value) < 4.5 * error


def test_the_floor_of_many_points_is_that_of_their_distribution() -> None:
    floor = EmpiricalPath(OlympicRings().sample(20_000)[0]).loss_floor(2000)
    assert abs(floor.value - RingsPath(OlympicRings()).loss_floor()) < 4.5 * floor.stderr


def test_nearest_distances_are_those_of_a_tree() -> None:
    x, points = torch.randn(50, 3, dtype=torch.float64), torch.randn(200, 3, dtype=torch.float64)
    found = nearest_distances(x, points, 4)
    assert torch.allclose(found, torch.from_numpy(cKDTree(points).query(x, 4)[0]), atol=1e-14)


def test_copies_and_what_is_none() -> None:
    points = torch.tensor([[0.0, 0.0], [1.0, 0.0], [5.0, 5.0]])
    samples = torch.tensor([[0.0, 0.0], [0.24, 0.0], [0.26, 0.0], [0.5, 3.0]])
    assert copy_share(samples, points).value == 0.5
    assert copy_share(points, points).value == 1
    assert copy_share(samples, points, ratio=0.36).value == 0.75


@pytest.mark.parametrize("dim", [1, 2, 3])
def test_fresh_points_are_copies_by_chance_as_often_as_the_dimension_says(dim: int) -> None:
    share = copy_share(0.1 + 0.8 * torch.rand(4000, dim), torch.rand(20_000, dim))
    assert abs(share.value - 3.0**-dim) < 4.5 * share.stderr


PATH = EmpiricalPath(torch.zeros(3, 2))
X = torch.zeros(4, 2)
BAD: list[Bad] = [
    (lambda: EmpiricalPath([[0.0, 1.0]]), TypeError, ["points is a list"]),
    (lambda: EmpiricalPath(torch.zeros(3)), ValueError, ["points has shape (3,)", "(batch, dim)"]),
    (lambda: EmpiricalPath(torch.zeros(0, 2)), ValueError, ["the number of points is 0", "at least 1"]),
    (lambda: EmpiricalPath(torch.tensor([[0.0, math.nan]])), ValueError, ["points has 1 entries"]),
    (lambda: PATH.velocity(torch.zeros(4, 3), 0.5), ValueError, ["x has shape (4, 3)", "(batch, 2)"]),
    (lambda: PATH.log_prob(X, 1.0), ValueError, ["t is 1.0", "[0, 1)"]),
    (lambda: PATH.mean(X, torch.zeros(3)), ValueError, ["t has shape (3,)"]),
    (lambda: PATH.sample(0, 0.5), ValueError, ["n is 0"]),
    (lambda: PATH.loss_floor(1), ValueError, ["draws is 1", "at least 2"]),
    (lambda: PATH.loss_floor(late=0), ValueError, ["late is 0"]),
    (lambda: nearest_distances(X, torch.zeros(3, 1)), ValueError, ["x has shape (4, 2)", "(batch, 1)"]),
    (lambda: nearest_distances(X, torch.zeros(1, 2)), ValueError, ["number of points is 1", "at least 2"]),
    (lambda: copy_share(X[:1], torch.zeros(3, 2)), ValueError, ["number of samples is 1"]),
    (lambda: copy_share(X, torch.zeros(3, 2), ratio=0), ValueError, ["ratio is 0"]),
]


@pytest.mark.parametrize("bad", BAD, ids=lambda bad: " ".join(bad[2]))
def test_bad_input_meets_one_clear_error(bad: Bad, meets_one_clear_error: Callable[[Bad], None]) -> None:
    meets_one_clear_error(bad)
