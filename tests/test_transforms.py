"""Layers between coordinates and columns, against torch.distributions, scipy and autograd."""

import math
from collections.abc import Callable

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import multivariate_normal
from torch import Tensor
from torch.distributions.transforms import ExpTransform, SigmoidTransform

from helpers.flows import Layer, NormalizingFlow
from helpers.transforms import Exp, Polar, Sigmoid, Standardize, Whiten

MEAN = torch.tensor([1.0, -2.0, 30.0], dtype=torch.float64)
STD = torch.tensor([0.5, 2.0, 10.0], dtype=torch.float64)
ROOT = torch.tensor([[2.0, 0.0, 0.0], [1.0, 0.5, 0.0], [-0.3, 0.7, 1.5]], dtype=torch.float64)
LAYERS = {
    "standardize": Standardize(MEAN, STD),
    "whiten": Whiten(MEAN, ROOT),
    "exp": Exp(3, columns=[2, 0]),
    "sigmoid": Sigmoid(3, columns=[1], low=-3.0, high=5.0),
    "polar": Polar(3, columns=[2, 0], period=360),
}
each_layer = pytest.mark.parametrize("layer", LAYERS.values(), ids=LAYERS)


def points(seed: int, n: int = 50) -> Tensor:
    return torch.randn(n, 3, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


@each_layer
@given(seed=st.integers(0, 10_000))
@settings(max_examples=15, deadline=None)
def test_there_and_back_with_opposite_log_determinants(layer: Layer, seed: int) -> None:
    z = points(seed)
    x, log_det = layer(z)
    back, log_det_back = layer.inverse(x)
    torch.testing.assert_close(back, z, rtol=1e-7, atol=1e-7)
    torch.testing.assert_close(log_det_back, -log_det, rtol=1e-7, atol=1e-7)


@each_layer
def test_log_determinants_are_those_of_autograd(layer: Layer) -> None:
    z = points(0, 20)
    for way, at in ((layer.forward, z), (layer.inverse, layer(z)[0])):
        jacobian = torch.func.vmap(torch.func.jacrev(lambda one, way=way: way(one[None])[0][0]))(at)
        torch.testing.assert_close(
            way(at)[1].double(), torch.linalg.slogdet(jacobian)[1], atol=1e-9, rtol=1e-9
        )


def test_exp_and_sigmoid_are_those_of_torch_distributions() -> None:
    z = points(1)
    x, log_det = LAYERS["exp"](z)
    exp = ExpTransform()
    torch.testing.assert_close(x[:, 2], exp(z[:, 2]))
    torch.testing.assert_close(log_det, sum(exp.log_abs_det_jacobian(z[:, j], x[:, j]) for j in (0, 2)))
    x, log_det = LAYERS["sigmoid"](z)
    unit = SigmoidTransform()(z[:, 1])
    torch.testing.assert_close(x[:, 1], 8 * unit - 3)
    torch.testing.assert_close(
        log_det, SigmoidTransform().log_abs_det_jacobian(z[:, 1], unit) + math.log(8), rtol=1e-6, atol=1e-6
    )


def test_whitened_noise_has_the_density_of_scipy() -> None:
    x = 3 * points(2) + MEAN
    flow = NormalizingFlow([Whiten(MEAN, ROOT)])
    expected = multivariate_normal(MEAN.numpy(), (ROOT @ ROOT.T).numpy()).logpdf(x.numpy())
    torch.testing.assert_close(flow.log_prob(x), torch.from_numpy(expected), atol=1e-5, rtol=1e-6)


@pytest.mark.parametrize("kind", [Standardize, Whiten])
def test_what_is_fitted_has_mean_0_and_deviation_1(kind: type[Standardize] | type[Whiten]) -> None:
    x = points(3, 400) @ ROOT.T + MEAN
    z, _ = kind.of(x).inverse(x)
    torch.testing.assert_close(z.mean(0), torch.zeros(3, dtype=torch.float64), atol=1e-6, rtol=0)
    torch.testing.assert_close(z.std(0), torch.ones(3, dtype=torch.float64), atol=1e-5, rtol=0)


def test_a_wind_from_the_east_and_a_full_turn() -> None:
    layer = Polar(2, columns=[0, 1], period=360)
    x, _ = layer(torch.tensor([[3.0, 0.0], [0.0, 2.0], [0.0, -1.0], [-4.0, 0.0]]))
    assert x.tolist() == [[3.0, 90.0], [2.0, 0.0], [1.0, 180.0], [4.0, 270.0]]
    nearly, _ = layer(torch.tensor([[-1e-9, 1.0]]))
    assert 0 <= float(nearly[0, 1]) < 360


@pytest.mark.parametrize(
    ("layer", "outside"),
    [
        (Exp(2, columns=[0]), [[0.0, 1.0], [-1.0, 1.0]]),
        (Sigmoid(2, columns=[0]), [[0.0, 1.0], [1.0, 1.0], [1.5, 1.0]]),
        (Polar(2, columns=[0, 1]), [[0.0, 1.0], [1.0, -0.1], [1.0, 7.0]]),
    ],
)
def test_where_nothing_is_sent_the_density_is_zero(layer: Layer, outside: list[list[float]]) -> None:
    log_prob = NormalizingFlow([layer]).log_prob(torch.tensor(outside))
    assert torch.equal(log_prob, torch.full((len(outside),), -math.inf))


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Standardize(MEAN, STD[:2]), "shape"),
        (lambda: Standardize.of(torch.tensor([[1.0, 2.0], [1.0, 3.0]])), "column 0 .* constant"),
        (lambda: Whiten(MEAN, STD), "do not fit"),
        (lambda: Whiten.of(torch.rand(9, 1).expand(9, 2)), "column 1 is constant, or a sum"),
        (lambda: Whiten.of(torch.rand(2, 2)), "number of points"),
        (lambda: Exp(3, columns=[]), r"columns are \[\]"),
        (lambda: Exp(3, columns=[3]), "different ones of 0..2"),
        (lambda: Exp(3, columns=[1, 1]), "different ones"),
        (lambda: Sigmoid(3, columns=[1], low=2.0, high=1.0), "high - low"),
        (lambda: Polar(3, columns=[1]), "two"),
        (lambda: Polar(3, columns=[1, 2], period=0), "period"),
    ],
)
def test_bad_input_is_named(make: Callable[[], object], message: str, no_shape_check: None) -> None:
    with pytest.raises(ValueError, match=message):
        make()
