"""Flow matching against the velocities that are known: of straight lines, of Gaussians, of no data at all."""

import math
from collections.abc import Callable

import pytest
import torch
from conftest import RARE
from scipy import stats
from torch import Tensor, nn
from torch.distributions import Normal

from helpers.matching import VelocityField, independent_pairs, matching_loss, spread_times
from helpers.ode import integrate, log_prob
from helpers.rings import OlympicRings

Randomized = Callable[..., nn.Module]

with_and_without_classes = pytest.mark.parametrize("classes", [0, 3])
kinked_and_smooth = pytest.mark.parametrize("smooth", [False, True])


def labels(n: int, classes: int) -> Tensor | None:
    return torch.arange(n) % classes if classes else None


# --- the field --------------------------------------------------------------------------------------


def by_hand(field: VelocityField, x: Tensor, t: float, label: int | None, smooth: bool) -> Tensor:
    """The velocity of one point, from the copied weights, feature by feature."""
    seen = list(x)
    seen += [f(k * math.pi * a / 3) for f in (torch.sin, torch.cos) for a in x for k in range(1, 9)]
    seen += [torch.tensor(t)] + [
        torch.tensor(f(k * math.pi * t)) for f in (math.sin, math.cos) for k in range(1, 5)
    ]
    if field.classes:
        null = field.classes if label is None else label
        seen += [torch.tensor(float(c == null)) for c in range(field.classes + 1)]
    hidden = torch.stack([part.to(x.dtype) for part in seen])
    linears = [part for part in field.network if isinstance(part, nn.Linear)]
    for i, part in enumerate(linears):
        hidden = part.weight @ hidden + part.bias
        if i + 1 < len(linears):
            hidden = hidden / (1 + (-hidden).exp()) if smooth else torch.maximum(hidden, hidden / 100)
    return hidden + (t * x - (1 - t) * x) / (t**2 + (1 - t) ** 2)


@with_and_without_classes
@kinked_and_smooth
@pytest.mark.parametrize("dim", [1, 2, 3])
def test_a_field_is_its_features_its_network_and_the_gaussians_velocity(
    dim: int, classes: int, smooth: bool, randomized: Randomized, float64: None
) -> None:
    field = randomized(VelocityField(dim, hidden=12, depth=3, classes=classes, smooth=smooth))
    x, ring, times = torch.randn(9, dim), labels(9, classes), torch.linspace(0, 1, 9)
    found = field(x, times, ring)
    for i in range(9):
        expected = by_hand(field, x[i], float(times[i]), None if ring is None else int(ring[i]), smooth)
        assert torch.allclose(found[i], expected, atol=1e-12)
    assert found.abs().min() > 1e-3


@pytest.mark.parametrize("size", [{"hidden": 7}, {"depth": 1}, {"frequencies": 0}, {"time_frequencies": 2}])
def test_the_sizes_are_those_that_were_asked_for(size: dict[str, int]) -> None:
    field = VelocityField(**size)
    linears = [part for part in field.network if isinstance(part, nn.Linear)]
    given = {"hidden": 96, "depth": 3, "frequencies": 8, "time_frequencies": 4, **size}
    inputs = 2 * (1 + 2 * given["frequencies"]) + 1 + 2 * given["time_frequencies"]
    widths = [inputs] + [given["hidden"]] * given["depth"] + [2]
    assert [(part.in_features, part.out_features) for part in linears] == list(zip(widths, widths[1:]))
    assert field(torch.randn(4, 2), 0.3).shape == (4, 2)


@pytest.mark.parametrize("classes", [0, 5])
@kinked_and_smooth
def test_a_field_is_a_small_file(classes: int, smooth: bool) -> None:
    state = VelocityField(classes=classes, smooth=smooth).state_dict()
    assert sum(4 * part.numel() for part in state.values()) < 98_000  # bytes, the names left out


@with_and_without_classes
def test_one_time_is_the_same_as_many_equal_ones(classes: int, randomized: Randomized) -> None:
    field, x, ring = randomized(VelocityField(classes=classes)), torch.randn(20, 2), labels(20, classes)
    for t in (0.0, 0.25, 1.0):
        expected = field(x, torch.full((20,), t), ring)
        assert torch.equal(field(x, t, ring), expected)
        assert torch.equal(field(x, torch.tensor(t), ring), expected)
    assert torch.equal(field(x, 1, ring), field(x, 1.0, ring))
    assert not torch.allclose(field(x, 0.0, ring), field(x, 1.0, ring), atol=0.1)


def test_each_point_sees_its_own_time_and_label_alone(randomized: Randomized, float64: None) -> None:
    field = randomized(VelocityField(classes=3))
    x, t, ring = torch.randn(30, 2), torch.rand(30), labels(30, 3)
    alone = torch.cat([field(x[i : i + 1], t[i : i + 1], ring[i : i + 1]) for i in range(30)])
    assert torch.allclose(field(x, t, ring), alone, atol=1e-12)
    moved = field(x, t, torch.where(ring == 1, 2, ring))
    assert torch.equal((moved == field(x, t, ring)).all(1), ring != 1)


def test_no_label_is_the_null_class(randomized: Randomized) -> None:
    field, x = randomized(VelocityField(classes=3)), torch.randn(20, 2)
    unlabelled = field(x, 0.4)
    assert torch.equal(unlabelled, field(x, 0.4, torch.full((20,), 3)))
    for c in range(3):
        assert not torch.allclose(unlabelled, field(x, 0.4, torch.full((20,), c)), atol=0.01)


def test_a_smooth_field_starts_with_twice_the_weights() -> None:
    torch.manual_seed(3)
    kinked = VelocityField(classes=2, smooth=False).state_dict()
    torch.manual_seed(3)
    smooth = VelocityField(classes=2, smooth=True).state_dict()
    assert len(kinked) == 8
    for name, value in kinked.items():
        assert torch.equal(smooth[name], 2 * value if name.endswith("weight") else value)


def test_without_its_head_start_a_field_is_its_network(randomized: Randomized) -> None:
    """It begins at rest, differs by the known field, and is another model to a saved file."""
    torch.manual_seed(3)
    field = randomized(VelocityField())
    other = VelocityField(head_start=False)
    assert torch.equal(other(torch.randn(5, 2), 0.3), torch.zeros(5, 2))
    other.load_state_dict(field.state_dict())
    x, t = torch.randn(50, 2), torch.rand(50)
    known = ((2 * t - 1) / (t**2 + (1 - t) ** 2))[:, None] * x
    torch.testing.assert_close(field(x, t) - other(x, t), known, rtol=1e-5, atol=1e-5)
    assert repr(field) != repr(other)


@kinked_and_smooth
def test_a_new_field_carries_the_standard_normal_to_itself(smooth: bool, float64: None) -> None:
    """With data of N(0, I) a path ends where it began: x_t is x0 times the root of t^2 + (1 - t)^2."""
    field, x = VelocityField(smooth=smooth), torch.randn(50, 2)
    assert torch.allclose(integrate(field, x, 100), x, atol=1e-6)
    assert torch.allclose(integrate(field, x, 100, t1=0.5), x * math.sqrt(0.5), atol=1e-6)
    truth = Normal(0.0, 1.0).log_prob(x).sum(1)
    assert torch.allclose(log_prob(field, x, 100), truth, atol=1e-6)


@pytest.mark.parametrize(("smooth", "least"), [(True, 3.5), (False, 0.0)])
def test_only_a_smooth_field_lets_the_density_converge_at_order_four(
    smooth: bool, least: float, randomized: Randomized, float64: None
) -> None:
    field, x = randomized(VelocityField(smooth=smooth), size=0.8), torch.randn(200, 2)
    truth = log_prob(field, x, 160)
    coarse, fine = ((log_prob(field, x, n) - truth).abs().mean() for n in (20, 40))
    order = math.log2(coarse / fine)
    assert least < order < least + (1.0 if smooth else 3.0)


# --- pairs and times --------------------------------------------------------------------------------


@with_and_without_classes
def test_independent_pairs_are_noise_beside_the_data_as_it_is(classes: int) -> None:
    data, ring = torch.randn(40_000, 2) ** 3, labels(40_000, classes)
    x0, x1, same = independent_pairs(data, ring)
    assert x1 is data and same is ring
    assert stats.kstest(x0.flatten(), "norm").pvalue > RARE
    table = torch.cat([x0, x1], dim=1)
    beside = torch.corrcoef(table.T)[:2, 2:]
    assert beside.abs().max() < 5 / 200 and abs(float(torch.corrcoef(x0.T)[0, 1])) < 5 / 200
    assert not torch.equal(x0, independent_pairs(data)[0])
    assert independent_pairs(data.double())[0].dtype == torch.float64


@pytest.mark.parametrize("late", [1.0, 2.0, 3.5])
def test_times_have_the_density_that_is_promised(late: float) -> None:
    """P(t < s) = 1 - (1 - s)^(1 / late), from batches of three, in which no time may be preferred."""
    t = torch.cat([spread_times(3, late) for _ in range(10_000)]).numpy()
    assert t.min() >= 0 and t.max() <= 1
    assert stats.kstest(t, lambda s: 1 - (1 - s) ** (1 / late)).pvalue > RARE


def test_times_are_spread_one_to_each_part() -> None:
    t = spread_times(64).double()
    assert torch.equal((t * 64).floor(), torch.arange(64).double())


# --- the loss ---------------------------------------------------------------------------------------


class Recorder(nn.Module):
    """A field that gives what a formula says, and keeps what it was called with."""

    def __init__(self, formula: Callable[..., Tensor], classes: int = 0) -> None:
        super().__init__()
        self.formula, self.classes = formula, classes

    def forward(self, x: Tensor, t: Tensor, context: Tensor | None = None) -> Tensor:
        self.x, self.t, self.context = x, t, context
        return self.formula(x, t)


def test_the_loss_is_the_squared_distance_to_the_lines_velocity() -> None:
    x0, x1 = torch.randn(500, 2), torch.randn(500, 2)
    field = Recorder(lambda x, t: torch.stack([x[:, 1], t], dim=1))
    value = matching_loss(field, x0, x1)
    t = field.t[:, None]
    assert torch.allclose(field.x, (1 - t) * x0 + t * x1, atol=1e-6)
    gap = x1 - x0 - torch.stack([field.x[:, 1], field.t], dim=1)
    assert value.ndim == 0
    assert float(value) == pytest.approx(sum(a * a + b * b for a, b in gap.tolist()) / 500, rel=1e-5)


def test_lines_that_do_not_cross_leave_nothing_to_lose() -> None:
    x0 = torch.randn(200, 2)
    shift = torch.tensor([2.0, -1.0])
    assert matching_loss(Recorder(lambda x, t: shift.expand_as(x)), x0, x0 + shift) < 1e-10
    assert float(matching_loss(Recorder(lambda x, t: 0 * x), x0, x0 + shift)) == pytest.approx(5.0, rel=1e-5)


def test_a_gaussians_loss_is_known_and_its_exact_velocity_has_the_least() -> None:
    """For data N(0, I) the loss of u is the integral of 2 / (t^2 + (1 - t)^2), which is pi."""
    x0, x1, _ = independent_pairs(torch.randn(400_000, 2))
    new = VelocityField()  # which is that velocity
    with torch.no_grad():
        least = float(matching_loss(new, x0, x1))
        for factor in (0.8, 1.2):
            assert matching_loss(Recorder(lambda x, t, f=factor: f * new(x, t)), x0, x1) > least + 0.01
    assert least == pytest.approx(math.pi, abs=5 * 3.5 / 400_000**0.5)


def test_a_velocity_of_another_shape_is_refused_and_does_not_broadcast() -> None:
    x0, x1 = torch.randn(9, 3), torch.randn(9, 3)
    with pytest.raises(
        ValueError, match=r"the field returned shape \(9, 1\); it must be that of x1, \(9, 3\)"
    ):
        matching_loss(Recorder(lambda x, t: x[:, :1]), x0, x1)


def test_late_times_reach_the_field() -> None:
    field = Recorder(lambda x, t: 0 * x)
    x0, x1 = torch.zeros(9000, 2), torch.zeros(9000, 2)
    matching_loss(field, x0, x1, late=3.0)
    assert stats.kstest(field.t.numpy(), lambda s: 1 - (1 - s) ** (1 / 3)).pvalue > RARE
    matching_loss(field, x0, x1)
    assert stats.kstest(field.t.numpy(), "uniform").pvalue > RARE


def test_labels_are_dropped_at_random_and_at_their_rate() -> None:
    field = Recorder(lambda x, t: 0 * x, classes=5)
    n = 20_000
    x0, x1, ring = torch.zeros(n, 2), torch.zeros(n, 2), labels(n, 5)
    matching_loss(field, x0, x1, ring)
    assert torch.equal(field.context, ring)
    matching_loss(field, x0, x1, ring, drop=0.1)
    dropped = field.context == 5
    assert torch.equal(field.context[~dropped], ring[~dropped])
    assert stats.binomtest(int(dropped.sum()), n, 0.1).pvalue > RARE
    # Neither the label nor the time tells whether it is dropped.
    counts = ring[dropped].bincount(minlength=5)
    assert stats.chisquare(counts.numpy()).pvalue > RARE
    assert stats.kstest(field.t[dropped].numpy(), "uniform").pvalue > RARE
    matching_loss(field, x0, x1, ring, drop=1.0)
    assert (field.context == 5).all()
    matching_loss(field, x0, x1)
    assert field.context is None


@pytest.mark.parametrize(("classes", "floor", "reached"), [(0, 2.852, 3.03), (5, 1.530, 1.9)])
def test_training_brings_a_field_towards_the_floor(
    classes: int, floor: float, reached: float, rings: OlympicRings
) -> None:
    """The floors are the losses of the exact velocities, by quadrature."""
    field = VelocityField(hidden=32, depth=2, classes=classes)
    held_out, ring = rings.sample(50_000)
    held_out = independent_pairs(held_out, ring if classes else None)
    optimizer = torch.optim.Adam(field.parameters(), lr=5e-3)
    for _ in range(200):
        x, ring = rings.sample(512)
        loss = matching_loss(field, *independent_pairs(x, ring if classes else None))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    with torch.no_grad():
        before, after = (float(matching_loss(f, *held_out)) for f in (VelocityField(classes=classes), field))
    assert floor < after < reached < before


def test_a_field_told_real_numbers_learns_the_velocity_given_them(rings: OlympicRings) -> None:
    """Told the centre of its ring, it knows as much as one that is told the label."""
    field = VelocityField(hidden=32, depth=2, features=2)

    def batch(n: int) -> tuple[Tensor, Tensor, Tensor]:
        x, ring = rings.sample(n)
        return independent_pairs(x, rings.centres[ring].float())

    held_out, optimizer = batch(50_000), torch.optim.Adam(field.parameters(), lr=5e-3)
    for _ in range(200):
        loss = matching_loss(field, *batch(512))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    with torch.no_grad():
        after = float(matching_loss(field, *held_out))
        x0, x1, centres = held_out
        shuffled = float(matching_loss(field, x0, x1, centres.roll(1, 0)))
    assert 1.530 < after < 1.9 and shuffled > 2.5


# --- bad input --------------------------------------------------------------------------------------

FIELD, BY_CLASS, ONES = VelocityField(hidden=4), VelocityField(hidden=4, classes=3), torch.ones(4, 2)
BAD: dict[str, tuple[Callable[[], object], type[Exception], list[str]]] = {
    "field time": (lambda: FIELD(ONES, 1.5), ValueError, ["t is 1.5", "[0, 1]"]),
    "field times": (lambda: FIELD(ONES, torch.zeros(3)), ValueError, ["t has shape (3,)", "(4,)"]),
    "field, wide": (lambda: FIELD(torch.ones(4, 3), 0.5), ValueError, ["x has shape (4, 3)", "(batch, 2)"]),
    "field, float64": (lambda: FIELD(ONES.double(), 0.5), TypeError, ["float64", "float32"]),
    "field, ring": (lambda: FIELD(ONES, 0.5, torch.arange(4)), ValueError, ["without classes"]),
    "field, ring 4": (lambda: BY_CLASS(ONES, 0.5, torch.arange(1, 5)), ValueError, ["1 to 4", "0..3"]),
    "field, short ring": (
        lambda: BY_CLASS(ONES, 0.5, torch.arange(3)),
        ValueError,
        ["context has shape (3,)"],
    ),
    **{
        f"field, {name}": (lambda name=name: VelocityField(**{name: -1}), ValueError, [f"{name} is -1"])
        for name in ("dim", "hidden", "depth", "classes", "frequencies", "time_frequencies")
    },
    "pairs, flat": (lambda: independent_pairs(torch.ones(3)), ValueError, ["x1 has shape (3,)"]),
    "pairs, whole": (lambda: independent_pairs(ONES.int()), TypeError, ["x1 has dtype"]),
    "pairs, list": (lambda: independent_pairs([[1.0]]), TypeError, ["x1 is a list"]),
    "times, none": (lambda: spread_times(0), ValueError, ["n is 0"]),
    "times, late 0": (lambda: spread_times(3, 0.0), ValueError, ["late is 0.0"]),
    "loss, unpaired": (lambda: matching_loss(FIELD, ONES, ONES[:3]), ValueError, ["4 points", "3", "paired"]),
    "loss, dims": (
        lambda: matching_loss(FIELD, ONES, torch.ones(4, 3)),
        ValueError,
        ["x1 has shape (4, 3)", "(batch, 2)"],
    ),
    "loss, list": (lambda: matching_loss(FIELD, [1.0], ONES), TypeError, ["x0 is a list"]),
    "loss, ring": (
        lambda: matching_loss(BY_CLASS, ONES, ONES, torch.arange(3)),
        ValueError,
        ["context has shape (3,)"],
    ),
    "loss, ring and drop": (
        lambda: matching_loss(BY_CLASS, ONES, ONES, torch.arange(4), drop=0.5, late=-1.0),
        ValueError,
        ["late is -1.0"],
    ),
    "loss, drop": (
        lambda: matching_loss(BY_CLASS, ONES, ONES, torch.arange(4), drop=1.5),
        ValueError,
        ["drop is 1.5", "0 to 1"],
    ),
    "loss, drop nothing": (
        lambda: matching_loss(BY_CLASS, ONES, ONES, drop=0.5),
        ValueError,
        ["context is missing"],
    ),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_input_meets_one_clear_error(case: str, meets_one_clear_error: Callable[..., None]) -> None:
    meets_one_clear_error(BAD[case])
