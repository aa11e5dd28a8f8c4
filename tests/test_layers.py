"""One contract for every layer and every noise: a table lists them all, and each is held to the same laws."""

import math
from collections.abc import Callable
from functools import partial

import numpy as np
import pytest
import torch
from conftest import RARE
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import linalg, stats
from sklearn.decomposition import PCA, FastICA
from torch import Tensor, nn
from torch.linalg import slogdet

from helpers import distributions, flows
from helpers.distributions import StandardNormal, UniformBox
from helpers.flows import (
    AffineCoupling,
    Coupling,
    Layer,
    NormalizingFlow,
    Permutation,
    Rotation,
    SplineCoupling,
    affine_flow,
    spline_flow,
)
from helpers.rings import OlympicRings
from helpers.training import fit, load

Randomized = Callable[..., nn.Module]
Jacobian = Callable[..., Tensor]

# Every layer of the module, with its defaults and with settings that are none. A layer that is told a context
# takes `told`, which is {"classes": ...}, {"features": ...} or nothing.
LAYERS: dict[str, Callable[..., Layer]] = {
    "AffineCoupling": lambda dim, **told: AffineCoupling(dim, **told),
    "AffineCoupling, set": lambda dim, **told: AffineCoupling(
        dim, hidden=9, depth=1, frequencies=0, limit=0.4, **told
    ),
    "AffineCoupling, far": lambda dim, **told: AffineCoupling(
        dim, 12, 3, frequencies=2, reach=1.3, limit=2.5, **told
    ),
    "SplineCoupling": lambda dim, **told: SplineCoupling(dim, **told),
    "SplineCoupling, set": lambda dim, **told: SplineCoupling(
        dim, hidden=9, depth=1, frequencies=0, bins=2, reach=0.7, **told
    ),
    "SplineCoupling, wide": lambda dim, **told: SplineCoupling(
        dim, 12, 3, frequencies=3, bins=40, reach=6.0, **told
    ),
    # Not its own inverse where the dimension allows it.
    "Permutation": lambda dim: Permutation([*range(1, dim), 0]),
    "Rotation": lambda dim: Rotation(torch.linalg.qr(torch.randn(dim, dim).double()).Q),
}
TOLD = {"nothing": {}, "classes": {"classes": 4}, "features": {"features": 3}}
CASES = [(name, told) for name in LAYERS for told in TOLD if told == "nothing" or "Coupling" in name]

each_layer = pytest.mark.parametrize("name, told", CASES)
each_size = pytest.mark.parametrize("dim", [2, 3, 5])
both_ways = pytest.mark.parametrize("direction", ["forward", "inverse"])


def context(n: int, told: str) -> Tensor | None:
    if told == "classes":
        return torch.arange(n) % 4
    return torch.randn(n, 3, dtype=torch.float64) if told == "features" else None


def build(name: str, told: str, dim: int, randomized: Randomized, size: float = 1.5) -> Layer:
    return randomized(LAYERS[name](dim, **TOLD[told]).double(), size=size)


def points(n: int, dim: int, layer: Layer) -> Tensor:
    """Points in the box where splines act, and some outside."""
    return 1.2 * getattr(layer, "reach", 1.5) * (2 * torch.rand(n, dim, dtype=torch.float64) - 1)


def given_to(layer: Layer, told: Tensor | None) -> tuple[Tensor, ...]:
    return () if told is None else (told,)


def test_the_table_holds_every_layer_of_the_module() -> None:
    concrete = {
        name for name in flows.__all__ if isinstance(getattr(flows, name), type) and name != "NormalizingFlow"
    }
    assert concrete - {"Layer", "Coupling"} == {name.split(",")[0] for name in LAYERS}
    assert all(issubclass(getattr(flows, name), Layer) for name in concrete)


@each_layer
@each_size
@both_ways
def test_the_log_det_is_autograds(
    name: str, told: str, dim: int, direction: str, randomized: Randomized, jacobian: Jacobian
) -> None:
    layer = build(name, told, dim, randomized)
    x, known = points(300, dim, layer), context(300, told)
    map_ = lambda x: getattr(layer, direction)(x, *given_to(layer, known))  # noqa: E731
    log_det = map_(x)[1]
    assert log_det.shape == (300,)
    assert (log_det - slogdet(jacobian(map_, x)).logabsdet).abs().max() < 1e-7  # slopes reach exp(-20)
    if isinstance(layer, Coupling):
        assert log_det.abs().max() > 0.05  # zero everywhere would be no test


@given(
    case=st.sampled_from(CASES),
    dim=st.integers(2, 6),
    seed=st.integers(0, 2**32),
    size=st.floats(0, 3),
    far=st.floats(0.01, 10),
)
@settings(max_examples=150, deadline=None, derandomize=True)
def test_any_layer_is_undone_by_its_inverse(
    randomized: Randomized, case: tuple[str, str], dim: int, seed: int, size: float, far: float
) -> None:
    name, told = case
    torch.manual_seed(seed)
    layer = randomized(LAYERS[name](dim, **TOLD[told]).double(), seed, size)
    z, known = far * torch.randn(30, dim, dtype=torch.float64), context(30, told)
    with torch.no_grad():
        x, log_det = layer(z, *given_to(layer, known))
        back, log_det_back = layer.inverse(x, *given_to(layer, known))
    # What is undone blows rounding up by the smallest slope's inverse: exp(limit), or a spline's least slope.
    steepest = math.exp(max(float(log_det.abs().max()), float(log_det_back.abs().max())))
    rounding = 1e-12 * steepest**2 * max(1, far, float(x.abs().max()))
    assert (back - z).abs().max() < rounding
    assert (log_det + log_det_back).abs().max() < 1e3 * rounding


@each_layer
@each_size
def test_a_coupling_keeps_the_first_half_and_reads_nothing_else(
    name: str, told: str, dim: int, randomized: Randomized, jacobian: Jacobian
) -> None:
    """Its Jacobian has the identity at the top, and moves each coordinate of the rest by that one alone."""
    layer = build(name, told, dim, randomized)
    if not isinstance(layer, Coupling):
        pytest.skip("no coupling")
    z, known = points(50, dim, layer), context(50, told)
    matrix = jacobian(lambda z: layer(z, *given_to(layer, known)), z)
    kept = dim // 2
    top = torch.eye(dim, dtype=torch.float64)[:kept].expand(50, kept, dim)
    assert torch.equal(matrix[:, :kept], top)
    corner = matrix[:, kept:, kept:]
    assert torch.equal(corner, torch.diag_embed(corner.diagonal(dim1=1, dim2=2)))
    assert (matrix[:, kept:, :kept].abs().amax((1, 2)) > 0).any()  # the kept part is read


@each_layer
def test_a_new_coupling_is_the_identity(name: str, told: str) -> None:
    layer = LAYERS[name](3, **TOLD[told]).double()
    if not isinstance(layer, Coupling):
        pytest.skip("no coupling")
    z, known = points(50, 3, layer), context(50, told)
    for x, log_det in (layer(z, *given_to(layer, known)), layer.inverse(z, *given_to(layer, known))):
        assert torch.allclose(x, z, atol=1e-12) and log_det.abs().max() < 1e-12


@each_layer
def test_each_point_is_mapped_by_itself_and_by_its_own_context(
    name: str, told: str, randomized: Randomized
) -> None:
    layer = build(name, told, 3, randomized)
    z, known = points(24, 3, layer), context(24, told)
    whole = layer(z, *given_to(layer, known))
    alone = [
        layer(z[i, None], *given_to(layer, None if known is None else known[i, None])) for i in range(24)
    ]
    for all_, parts in zip(whole, zip(*alone)):
        assert torch.allclose(all_, torch.cat(parts), atol=1e-11)
    if known is not None:
        changed = known.clone()
        changed[::2] = known[::2].roll(1, 0)
        same = (layer(z, changed)[0] == whole[0]).all(1)
        assert same[1::2].all() and not same[::2].all()


@each_layer
def test_a_layers_settings_stand_in_its_name(name: str, told: str) -> None:
    """A model's file is known by them: what changes the function has to change the text."""
    layer = LAYERS[name](4, **TOLD[told])
    text = repr(layer)
    for setting in ("dim", "classes", "features", "frequencies", "reach", "limit", "bins"):
        if hasattr(layer, setting) and isinstance(layer, Coupling):
            assert f"{setting}={getattr(layer, setting)}" in text
    assert "dim=4" in text


# --- in a flow --------------------------------------------------------------------------------------


@each_layer
@each_size
def test_a_flow_of_the_layer_is_a_density_that_autograd_confirms(
    name: str, told: str, dim: int, randomized: Randomized, jacobian: Jacobian
) -> None:
    """Three of a kind with permutations between them, in float64, against the base and autograd alone."""
    parts = [
        part for _ in range(3) for part in (LAYERS[name](dim, **TOLD[told]), Permutation([*range(1, dim), 0]))
    ]
    flow = randomized(NormalizingFlow(parts).double(), size=0.7)
    x, known = torch.randn(200, dim, dtype=torch.float64), context(200, told)
    z, _ = flow.inverse(x, known)
    normal = torch.distributions.MultivariateNormal(
        torch.zeros(dim, dtype=torch.float64), torch.eye(dim, dtype=torch.float64)
    )
    log_det = slogdet(jacobian(partial(flow.inverse, context=known), x)).logabsdet
    assert torch.allclose(flow.log_prob(x, known), normal.log_prob(z) + log_det, rtol=0, atol=1e-8)
    assert torch.allclose(flow(z, known)[0], x, atol=1e-8)


def test_a_layer_that_stands_in_a_flow_twice_is_taken_twice(randomized: Randomized) -> None:
    layer, swap = randomized(AffineCoupling()), Permutation([1, 0])
    flow, z = NormalizingFlow([layer, swap, layer]), torch.randn(20, 2)
    assert torch.equal(flow(z)[0], layer(swap(layer(z)[0])[0])[0])


class Stretch(Layer):
    """A layer that somebody wrote for their own data."""

    dim = 2

    def forward(self, z: Tensor) -> tuple[Tensor, Tensor]:
        return 3 * z, torch.full((len(z),), 2 * math.log(3))

    def inverse(self, x: Tensor) -> tuple[Tensor, Tensor]:
        return x / 3, torch.full((len(x),), -2 * math.log(3))


def test_a_layer_of_ones_own_joins_the_books(randomized: Randomized) -> None:
    """It is called without a context, also where its neighbours are told one."""
    flow = NormalizingFlow([randomized(AffineCoupling(classes=3)), Stretch()])
    x, labels = torch.randn(10, 2), torch.arange(10) % 3
    z, log_det = flow.layers[0].inverse(x / 3, labels)
    expected = StandardNormal(2).log_prob(z) + log_det - 2 * math.log(3)
    assert torch.allclose(flow.log_prob(x, labels), expected)


class Column(Stretch):
    """A layer that keeps a dimension which would broadcast (batch, 1) against (batch,)."""

    def inverse(self, x: Tensor) -> tuple[Tensor, Tensor]:
        return x / 3, torch.full((len(x), 1), -2 * math.log(3))


class Unsummed(nn.Module):
    """A noise whose log-density was not summed over the coordinates."""

    dim = 2

    def log_prob(self, z: Tensor) -> Tensor:
        return torch.distributions.Normal(0.0, 1.0).log_prob(z)


def test_log_densities_of_another_shape_are_refused_and_do_not_broadcast() -> None:
    x = torch.randn(2, 2)
    for flow, words in [
        (NormalizingFlow([Column()]), r"a layer's log-determinant has shape \(2, 1\); it must be \(2,\)"),
        (NormalizingFlow([Stretch()], Unsummed()), r"what base.log_prob returned has shape \(2, 2\)"),
    ]:
        with pytest.raises(ValueError, match=words):
            flow.log_prob(x)


def test_settings_may_be_numbers_of_numpy_or_whole(no_shape_check: None) -> None:
    flow = spline_flow(reach=np.float32(2.0), couplings=np.int64(1))
    assert flow.sample(3).abs().max() <= 2
    assert repr(affine_flow(reach=3, limit=1)) == repr(affine_flow(reach=3.0, limit=1.0))


@pytest.mark.parametrize("make", [affine_flow, spline_flow])
def test_the_transforms_of_torch_reach_through_a_flow(
    make: Callable[..., NormalizingFlow], randomized: Randomized
) -> None:
    """Checks of values cannot look under `vmap`; they must not stand in its way either."""
    flow = randomized(make().double(), size=0.5)
    x = 2 * torch.rand(20, 2, dtype=torch.float64) - 1
    one = lambda x: flow.inverse(x[None])[0][0]  # noqa: E731
    each = torch.func.vmap(torch.func.jacrev(one))(x)
    assert torch.allclose(slogdet(each).logabsdet, flow.inverse(x)[1], atol=1e-9)
    assert torch.allclose(
        torch.func.vmap(lambda x: flow.log_prob(x[None])[0])(x), flow.log_prob(x), atol=1e-12
    )


@pytest.mark.parametrize("name, make", [("affine", affine_flow), ("spline", spline_flow)])
def test_a_trained_flow_under_autocast_stays_a_density(
    name: str, make: Callable[..., NormalizingFlow], rings: OlympicRings
) -> None:
    """The networks then compute in bfloat16; knots, slopes and log-determinants must not."""
    flow = make()
    load(flow, name)
    x, _ = rings.sample(50_000)
    with torch.no_grad(), torch.autocast("cpu", dtype=torch.bfloat16):
        found = flow.log_prob(x)
        z, log_det = flow.inverse(x)
        back, log_det_back = flow(z)
    with torch.no_grad():
        away = found - flow.log_prob(x)
    assert found.dtype == torch.float32 and torch.isfinite(found).all()
    assert abs(away.mean()) < 0.005 and away.abs().quantile(0.9) < 0.1
    assert (back - x).norm(dim=1).quantile(0.99) < 1e-5
    assert (log_det + log_det_back).abs().quantile(0.99) < 1e-4


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
@pytest.mark.parametrize("make", [affine_flow, spline_flow])
def test_half_precision_is_refused(make: Callable[..., NormalizingFlow], dtype: torch.dtype) -> None:
    flow = make().to(dtype)
    with pytest.raises(TypeError, match=f"x has dtype {dtype}; densities need float32 or float64"):
        flow.log_prob(torch.zeros(3, 2, dtype=dtype))


# --- the noise --------------------------------------------------------------------------------------

BASES: dict[str, Callable[[int], nn.Module]] = {
    "StandardNormal": StandardNormal,
    "UniformBox": UniformBox,
    "UniformBox, small": lambda dim: UniformBox(dim, reach=0.3),
}


def test_the_table_holds_every_noise_of_the_module() -> None:
    assert set(distributions.__all__) == {name.split(",")[0] for name in BASES}


@pytest.mark.parametrize("name", BASES)
@pytest.mark.parametrize("dim", [1, 2, 3])
def test_a_noise_is_torchs_own(name: str, dim: int) -> None:
    base = BASES[name](dim)
    inside = base.sample(4000)
    if isinstance(base, StandardNormal):
        theirs = torch.distributions.Normal(torch.zeros(dim), torch.ones(dim))
        law = "norm"
    else:
        theirs = torch.distributions.Uniform(-base.reach * torch.ones(dim), base.reach * torch.ones(dim))
        law = stats.uniform(-base.reach, 2 * base.reach).cdf
    assert inside.shape == (4000, dim)
    assert torch.allclose(base.log_prob(inside), theirs.log_prob(inside).sum(1), rtol=1e-5)
    assert stats.kstest(inside.flatten(), law).pvalue > RARE
    assert f"dim={dim}" in repr(base)


@pytest.mark.parametrize("name", BASES)
def test_noise_is_drawn_on_the_cpu_whatever_the_default_device(name: str) -> None:
    torch.manual_seed(3)
    expected = BASES[name](2).sample(5)
    torch.manual_seed(3)
    with torch.device("meta"):
        assert torch.equal(BASES[name](2).sample(5), expected)


def test_a_rotation_is_scipys_exponential_of_a_skew_matrix(randomized: Randomized) -> None:
    start = torch.linalg.qr(torch.randn(4, 4, dtype=torch.float64)).Q
    layer = randomized(Rotation(start))
    skew = (layer.turns - layer.turns.T).detach().numpy()
    np.testing.assert_allclose(layer.matrix().detach(), start.numpy() @ linalg.expm(skew), atol=1e-12)
    assert torch.equal(Rotation(start).matrix(), start)  # nothing learned yet


def test_a_rotation_starts_at_the_principal_axes_of_points() -> None:
    """Columns turned so that their covariance is diagonal, the widest first: as scikit-learn has them."""
    torch.manual_seed(0)
    x = torch.randn(500, 3, dtype=torch.float64) * torch.tensor([1.0, 3.0, 2.0]) @ torch.randn(3, 3).double()
    z, _ = Rotation.of(x).inverse(x)
    expected = PCA().fit(x.numpy()).explained_variance_
    np.testing.assert_allclose(torch.cov(z.T).detach(), np.diag(expected), atol=1e-9)


def test_a_rotation_learns_what_independent_component_analysis_finds() -> None:
    """Three independent columns of variance 1 with heavy tails, turned: no covariance shows it."""
    torch.manual_seed(0)
    noise = torch.distributions.Laplace(0.0, 0.5**0.5)
    base = nn.Module()
    base.dim, base.log_prob = 3, lambda z: noise.log_prob(z).sum(1)
    turn = linalg.expm(np.array([[0, 0.5, -0.3], [-0.5, 0, 0.4], [0.3, -0.4, 0]]))
    x = noise.sample((4000, 3)) @ torch.tensor(turn, dtype=torch.float32).T
    layer = Rotation(torch.eye(3))
    flow = NormalizingFlow([layer], base)
    fit(flow, lambda x: -flow.log_prob(x).mean(), x, steps=300, peak=3e-2)
    found = FastICA(random_state=0, whiten="unit-variance").fit(x.numpy()).mixing_
    agree = np.abs(layer.matrix().detach().numpy().T @ (found / np.linalg.norm(found, axis=0)))
    assert agree.max(0).min() > 0.99  # the same directions, up to their order and signs


@pytest.mark.parametrize("start", [torch.ones(2, 2), torch.zeros(2, 3), torch.eye(1), 2 * torch.eye(3)])
def test_a_rotation_starts_at_an_orthogonal_matrix(start: Tensor, no_shape_check: None) -> None:
    with pytest.raises(ValueError, match="start"):
        Rotation(start)
