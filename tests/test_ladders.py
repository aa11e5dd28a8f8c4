"""The rings in d dimensions against samples, points made by hand, and the two dimensions that are known."""

import math
from collections.abc import Callable

import pytest
import torch

from helpers.ladders import CopiedRings, HiddenRings
from helpers.rings import OlympicRings

RUNGS = pytest.mark.parametrize(
    "rung", [ladder(dim) for ladder in (HiddenRings, CopiedRings) for dim in (2, 8)]
)


@RUNGS
def test_a_rung_has_the_entropy_and_the_density_that_it_says(rung: HiddenRings | CopiedRings) -> None:
    """The mean of -log p over its own points; and they spread as white noise does."""
    torch.manual_seed(0)
    x = rung.sample(20_000)
    log_p = rung.log_prob(x)
    assert float(-log_p.mean()) == pytest.approx(rung.entropy(), abs=4 * float(log_p.std()) / len(x) ** 0.5)
    torch.testing.assert_close(x.square().sum(1).mean(), torch.tensor(float(rung.dim)), rtol=0.03, atol=0)


@RUNGS
def test_every_point_lies_on_the_rings_of_every_part(rung: HiddenRings | CopiedRings) -> None:
    x = rung.sample(20_000)
    assert all(OlympicRings().on_rings(part).all() for part in rung.parts(x))
    assert x.dtype == torch.get_default_dtype() and x.shape == (20_000, rung.dim)


def test_in_two_dimensions_both_are_the_rings() -> None:
    x, _ = OlympicRings().sample(100)
    for rung in (HiddenRings(2), CopiedRings(2)):
        torch.testing.assert_close(rung.log_prob(x).float(), OlympicRings().log_prob(x))
        assert rung.entropy() == pytest.approx(OlympicRings().entropy(), abs=1e-12)


def test_hidden_rings_need_the_turn() -> None:
    """In the first two columns there is no ring; in the two that the turn tells, every point lies on one."""
    torch.manual_seed(0)
    rung = HiddenRings(8)
    x = rung.sample(2000)
    assert OlympicRings().on_rings(x[:, :2]).double().mean() < 0.5
    torch.testing.assert_close(rung.turn @ rung.turn.T, torch.eye(8, dtype=torch.float64))
    assert torch.equal(HiddenRings(8).turn, rung.turn)  # the same one, whoever asks


def test_hidden_density_by_hand() -> None:
    """A point that is made from its parts: the rings' density times that of a normal distribution."""
    rung = HiddenRings(4)
    star, rest = OlympicRings().star.double(), torch.tensor([[0.3, -1.2]], dtype=torch.float64)
    x = torch.cat([star, rest], dim=1) @ rung.turn.T
    normal = -(0.3**2 + 1.2**2) / 2 - math.log(2 * math.pi)
    assert float(rung.log_prob(x)) == pytest.approx(float(OlympicRings().log_prob(star)) + normal, abs=1e-9)


def test_off_one_of_the_copies_there_is_no_mass() -> None:
    x = CopiedRings(6).sample(10)
    x[3, 2:4] = 0.0  # the middle of the black ring, where there is a hole
    assert CopiedRings(6).log_prob(x).isinf().tolist() == [i == 3 for i in range(10)]


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: CopiedRings(3), ValueError, "dim is 3; it must be even"),
        (lambda: HiddenRings(1), ValueError, "dim is 1; it must be at least 2"),
        (lambda: HiddenRings(4).log_prob(torch.zeros(5, 3)), ValueError, "x has"),
        (lambda: CopiedRings(4).sample(0), ValueError, "n is 0"),
    ],
)
def test_bad_input_is_named(
    call: Callable[[], object], error: type[Exception], message: str, no_shape_check: None
) -> None:
    with pytest.raises(error, match=message):
        call()
