"""Training against optima and schedules known in closed form; and models on disk, come what may."""

import copy
import math
import os
import stat
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from helpers import training
from helpers.distributions import UniformBox
from helpers.flows import AffineCoupling, NormalizingFlow, Permutation, affine_flow, spline_flow
from helpers.matching import VelocityField
from helpers.rings import OlympicRings
from helpers.training import as_one, fit, learning_rate, load, save


class Gaussian(nn.Module):
    """The simplest model of one number: its negative log-likelihood has its minimum in closed form."""

    def __init__(self) -> None:
        super().__init__()
        self.loc, self.log_scale = nn.Parameter(torch.zeros(())), nn.Parameter(torch.zeros(()))

    def loss(self, x: Tensor) -> Tensor:
        return -torch.distributions.Normal(self.loc, self.log_scale.exp()).log_prob(x).mean()


class Slope(nn.Module):
    """One number with a constant gradient, which makes every step of Adam exactly the learning rate."""

    def __init__(self, gradient: float = 1.0) -> None:
        super().__init__()
        self.w, self.gradient = nn.Parameter(torch.zeros(1)), gradient

    def loss(self, x: Tensor) -> Tensor:
        return self.gradient * self.w.sum() + 0 * x.sum()


# --- fit --------------------------------------------------------------------------------------------


def test_fit_reaches_the_optimum_in_closed_form() -> None:
    data = 0.5 + 0.3 * torch.randn(4000)
    spread, model = data.std(unbiased=False).item(), Gaussian()
    history = fit(model, model.loss, (data,), steps=600, peak=0.03, held_out=(data,), every=600)
    best = 0.5 + math.log(spread) + 0.5 * math.log(2 * math.pi)
    assert best <= history.validation[-1][-1] + 1e-6
    assert history.validation[-1][-1] < best + 2e-3
    assert model.loc.item() == pytest.approx(data.mean().item(), abs=0.02)
    assert model.log_scale.exp().item() == pytest.approx(spread, rel=0.04)


def test_fit_brings_a_flow_below_the_best_gaussian() -> None:
    """The best Gaussian costs log(2 pi e) plus half the log variances; no coupling would beat it by luck."""
    torch.manual_seed(0)
    x, _ = OlympicRings().sample(4000)
    flow = affine_flow(couplings=4, hidden=16)
    history = fit(flow, lambda x: -flow.log_prob(x).mean(), (x,), steps=400, batch_size=256, peak=1e-2)
    gaussian = math.log(2 * math.pi * math.e) + x.var(0).log().sum().item() / 2
    assert sum(history.loss[-50:]) / 50 < gaussian - 0.2


def test_each_step_moves_by_the_learning_rate_of_that_step() -> None:
    path, model = [], Slope(0.01)  # far below the clip, which would hide gradients that pile up

    def loss(x: Tensor) -> Tensor:
        path.append(model.w.item())
        return model.loss(x)

    fit(model, loss, (torch.ones(8),), steps=40, peak=0.1)
    moves = -torch.diff(torch.tensor([*path, model.w.item()]))
    expected = torch.tensor([learning_rate(step, 40, 0.1) for step in range(40)])
    assert torch.allclose(moves, expected, atol=1e-6)


def test_the_learning_rate_is_torchs_cosine_times_a_linear_rise() -> None:
    optimizer = torch.optim.SGD([nn.Parameter(torch.zeros(1))], lr=0.5)
    cosine = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, T_max=200)
    for step in range(200):
        rise = min(1, (step + 1) / 20)  # a tenth of 200 steps
        assert learning_rate(step, 200, 0.5, warmup=0.0) == pytest.approx(cosine.get_last_lr()[0], abs=1e-12)
        assert learning_rate(step, 200, 0.5, warmup=0.1) == pytest.approx(rise * cosine.get_last_lr()[0])
        optimizer.step()
        cosine.step()


@pytest.mark.parametrize(("gradient", "kept"), [(10.0, 2.0), (0.5, 0.5)])
def test_only_a_gradient_longer_than_the_clip_is_shortened(gradient: float, kept: float) -> None:
    model = Slope(gradient)
    fit(model, model.loss, (torch.ones(8),), steps=1, clip=2.0)
    assert model.w.grad.item() == pytest.approx(kept, rel=1e-5)


def test_batches_draw_the_same_rows_of_every_tensor_and_all_of_them_in_time() -> None:
    x, seen, model = torch.arange(50.0), set(), Slope()

    def loss(part: Tensor, double: Tensor) -> Tensor:
        assert part.shape == (16,) and torch.equal(double, 2 * part)
        seen.update(part.tolist())
        return model.loss(part)

    fit(model, loss, (x, 2 * x), steps=60, batch_size=16)
    assert seen == set(x.tolist())


def test_history_has_every_loss_and_the_validations_that_were_asked_for() -> None:
    model, graphs = Slope(), []

    def loss(x: Tensor) -> Tensor:
        graphs.append((len(x), torch.is_grad_enabled()))
        return model.loss(x)

    history = fit(
        model, loss, (torch.ones(8),), steps=25, batch_size=4, held_out=(torch.ones(3),), every=10, peak=0.1
    )
    rates = [learning_rate(step, 25, 0.1) for step in range(25)]
    assert history.loss == pytest.approx([-sum(rates[:step]) for step in range(25)], abs=1e-5)
    assert [step for step, _, _ in history.validation] == [10, 20, 25]
    expected = [-sum(rates[:k]) for k in (10, 20, 25)]
    assert [value for _, _, value in history.validation] == pytest.approx(expected, abs=1e-5)
    assert graphs.count((4, True)) == 25 and graphs.count((3, False)) == 3 and len(graphs) == 28


def test_the_best_state_is_kept_where_that_is_asked_for(no_shape_check: None) -> None:
    """Trained on data from elsewhere, the held-out loss falls on the way there and then rises."""
    data, held_out = torch.full((50,), 4.0), torch.full((20,), 1.5)
    options = {"steps": 200, "peak": 0.1, "held_out": held_out, "every": 5}
    last, best = Gaussian(), Gaussian()
    fit(last, last.loss, data, **options)
    history = fit(best, best.loss, data, **options, keep_best=True)
    lowest = min(value for _, _, value in history.validation)
    assert best.loss(held_out).item() == pytest.approx(lowest, abs=1e-6)
    assert last.loss(held_out).item() > lowest + 0.5
    with pytest.raises(ValueError, match="keep_best"):
        fit(best, best.loss, data, steps=1, keep_best=True)


def test_the_clock_of_the_validations_stands_still_while_they_run() -> None:
    """Each validation burns a tenth of a second, and ten steps of training far less."""
    model = Slope()

    def loss(x: Tensor) -> Tensor:
        start = time.process_time()
        while len(x) == 3 and time.process_time() < start + 0.1:
            pass
        return model.loss(x)

    history = fit(model, loss, (torch.ones(8),), steps=30, held_out=(torch.ones(3),), every=10)
    seconds = [passed for _, passed, _ in history.validation]
    assert 0 < seconds[0] < seconds[1] < seconds[2] < 0.1


def test_a_seed_repeats_the_training_bit_for_bit() -> None:
    runs = []
    for seed in (3, 3, 4):
        torch.manual_seed(seed)
        flow, (x, _) = affine_flow(couplings=2, hidden=8), OlympicRings().sample(500)
        history = fit(flow, lambda x, flow=flow: -flow.log_prob(x).mean(), (x,), steps=20)
        runs.append((history.loss, [p.tolist() for p in flow.parameters()]))
    assert runs[0] == runs[1] and runs[0] != runs[2]


def test_frozen_parameters_stay_as_they_are() -> None:
    model = Gaussian()
    model.loc.requires_grad_(False)
    fit(model, model.loss, (1 + torch.randn(100),), steps=5)
    assert model.loc.item() == 0 and model.log_scale.item() != 0


@pytest.mark.parametrize("step", [0, 1, 7])
@pytest.mark.parametrize("bad", [math.nan, math.inf])
@pytest.mark.parametrize("what", ["loss", "gradient"])
def test_training_stops_at_what_is_not_finite_and_keeps_the_last_good_state(
    step: int, bad: float, what: str
) -> None:
    model, states = Gaussian(), []

    def loss(x: Tensor) -> Tensor:
        states.append([p.detach().clone() for p in model.parameters()])
        spoilt = what == "loss" and len(states) == step + 1
        return model.loss(x) * (bad if spoilt else 1)

    if what == "gradient":
        model.loc.register_hook(lambda gradient: gradient * (bad if len(states) == step + 1 else 1))
    with pytest.raises(FloatingPointError, match=rf"step {step}\b"):
        fit(model, loss, (torch.randn(100),), steps=20)
    # The loss was last finite a step before where the loss is bad, and here where its gradient is.
    good = states[max(0, step - 1)] if what == "loss" else states[step]
    assert len(states) == step + 1
    assert all(torch.equal(now, then) for now, then in zip(model.parameters(), good))


def test_data_may_be_one_tensor_and_held_out_data_have_to_match(no_shape_check: None) -> None:
    model, data = Gaussian(), torch.randn(50)
    history = fit(model, model.loss, data, steps=3, held_out=data, every=1)
    assert len(history.validation) == 3
    for held_out, words in [
        ((data, data), "held_out has 2 tensors; it must have 1"),
        (torch.randn(0), r"held_out has lengths \[0\]"),
        (torch.full((3,), math.nan), "held_out has 3 entries"),
    ]:
        with pytest.raises(ValueError, match=words):
            fit(model, model.loss, data, steps=3, held_out=held_out)
    with pytest.raises(TypeError, match="data is a list; it must be a tensor, or a tuple of tensors"):
        fit(model, model.loss, [1.0, 2.0], steps=3)
    with pytest.raises(ValueError, match="data has lengths"):
        fit(model, model.loss, (data, data[:3]), steps=3)
    with pytest.raises(ValueError, match="without parameters"):
        fit(nn.ReLU(), model.loss, data, steps=3)


def test_batches_meet_the_model_in_training_mode_and_held_out_data_in_evaluation_mode() -> None:
    model, modes = nn.Sequential(nn.Linear(1, 1), nn.BatchNorm1d(1)), []

    def loss(x: Tensor) -> Tensor:
        modes.append((len(x), model.training))
        return model(x).square().mean() + model[0].weight.square().sum()

    model.eval()
    fit(model, loss, torch.randn(40, 1), steps=4, batch_size=8, held_out=torch.randn(5, 1), every=2)
    assert modes == [(8, True), (8, True), (5, False), (8, True), (8, True), (5, False)]
    assert not model.training


def test_each_part_comes_back_in_its_own_mode() -> None:
    model = nn.Sequential(nn.Linear(1, 1), nn.Dropout(0.5))
    model[1].eval()
    fit(model, lambda x: model(x).square().mean(), torch.randn(20, 1), steps=2)
    assert model.training and model[0].training and not model[1].training


def test_a_loss_that_cannot_train_the_model_is_named() -> None:
    model, other, data = Gaussian(), Gaussian(), torch.randn(50)
    with pytest.raises(ValueError, match="loss does not depend on the parameters of model"):
        fit(model, other.loss, data, steps=2)
    with pytest.raises(ValueError, match=r"loss returned shape \(256,\); it must be one number"):
        fit(model, lambda x: (x - model.loc) ** 2, data, steps=2)


def test_joined_parameters_take_the_steps_that_they_take_alone() -> None:
    torch.manual_seed(0)
    alone = affine_flow(couplings=2)
    joined, x = copy.deepcopy(alone), torch.randn(64, 2)
    whole = as_one(list(joined.parameters()))
    for flow, parameters in ((alone, list(alone.parameters())), (joined, [whole])):
        optimizer = torch.optim.Adam(parameters, lr=1e-2)
        for _ in range(5):
            optimizer.zero_grad(set_to_none=False)
            (-flow.log_prob(x).mean()).backward()
            nn.utils.clip_grad_norm_(parameters, 0.1)
            optimizer.step()
    for one, other in zip(alone.parameters(), joined.parameters()):
        assert torch.allclose(one, other, atol=1e-6)


def test_parameters_are_parts_of_one_only_while_they_are_trained() -> None:
    model = nn.Linear(2, 3)
    fit(model, lambda x: model(x).square().mean(), torch.randn(20, 2), steps=2)
    assert model.weight.untyped_storage().nbytes() == 4 * 6


def test_parameters_of_several_types_cannot_be_joined() -> None:
    model = nn.Sequential(nn.Linear(2, 2), nn.Linear(2, 2).double())
    with pytest.raises(TypeError, match=r"dtypes torch.float32, torch.float64; they must have one"):
        as_one(list(model.parameters()))


def test_data_that_carry_a_gradient_are_left_alone() -> None:
    model, data = Gaussian(), torch.randn(50, requires_grad=True)
    fit(model, model.loss, data * 1, steps=3)
    assert data.grad is None


def test_buffers_go_back_with_the_parameters() -> None:
    """A batch normalization has seen the batch whose loss was infinite."""
    model, calls = nn.Sequential(nn.Linear(1, 1), nn.BatchNorm1d(1)), []

    def loss(x: Tensor) -> Tensor:
        calls.append([b.clone() for b in model.buffers()])
        return model(x + 100 * (len(calls) == 4)).square().mean() / (len(calls) != 4)

    with pytest.raises(FloatingPointError, match="step 3"):
        fit(model, loss, torch.randn(40, 1), steps=9, batch_size=8)
    assert all(torch.equal(now, then) for now, then in zip(model.buffers(), calls[3]))


# --- save and load ----------------------------------------------------------------------------------


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder that does not exist yet, named by FIVE_RINGS_SAVE."""
    monkeypatch.setenv("FIVE_RINGS_SAVE", str(tmp_path / "new" / "models"))
    return tmp_path / "new" / "models"


@pytest.fixture
def flow(randomized: Callable[..., nn.Module]) -> NormalizingFlow:
    return randomized(affine_flow(dim=3, couplings=2, hidden=8))


def same(a: nn.Module, b: nn.Module) -> bool:
    return all(
        torch.equal(x, y) for x, y in zip(a.state_dict().values(), b.state_dict().values(), strict=True)
    )


def test_a_model_comes_back_from_disk_bit_for_bit(flow: NormalizingFlow, folder: Path) -> None:
    path = save(flow, "mine")
    assert path == folder / "mine.safetensors" and list(folder.iterdir()) == [path]
    other = affine_flow(dim=3, couplings=2, hidden=8)
    assert not same(flow, other)
    load(other, "mine", folder)
    assert same(flow, other)


def test_models_are_read_from_the_committed_ones_unless_a_folder_is_given(
    flow: NormalizingFlow, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    save(flow, "mine")
    with pytest.raises(FileNotFoundError, match="mine"):
        load(flow, "mine")
    monkeypatch.setattr(training, "models_folder", lambda: folder)
    load(flow, "mine")


@pytest.mark.skipif(os.name == "nt", reason="Windows has no such permissions")
def test_a_saved_model_may_be_read_by_whoever_may_read_a_new_file(
    flow: NormalizingFlow, folder: Path
) -> None:
    path = save(flow, "mine")
    (folder / "other").touch()
    assert stat.S_IMODE(path.stat().st_mode) == stat.S_IMODE((folder / "other").stat().st_mode)


@contextmanager
def no_move(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The file was written, and cannot be put in its place."""

    def refuse(*_: object) -> None:
        raise OSError("refused")

    with monkeypatch.context() as patch:
        for owner, name in ((Path, "replace"), (os, "replace"), (Path, "rename"), (os, "rename")):
            patch.setattr(owner, name, refuse)
        yield


@contextmanager
def full_disk(_: pytest.MonkeyPatch) -> Iterator[None]:
    """The system takes a thousand bytes, and refuses the rest."""
    resource = pytest.importorskip("resource", reason="Windows has no such limits")
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


@pytest.mark.parametrize("mishap", [no_move, full_disk])
def test_a_write_that_fails_leaves_the_old_model_and_nothing_else(
    flow: NormalizingFlow,
    folder: Path,
    monkeypatch: pytest.MonkeyPatch,
    mishap: Callable[..., AbstractContextManager],
) -> None:
    path = save(flow, "mine")
    before = path.read_bytes()
    with torch.no_grad():
        next(flow.parameters()).add_(1)
    with mishap(monkeypatch), pytest.raises(OSError):
        save(flow, "mine")
    assert path.read_bytes() == before
    assert [file.name for file in folder.iterdir()] == [path.name], "half a file was left behind"


@pytest.mark.parametrize("bad", [math.nan, math.inf])
def test_a_model_that_is_not_finite_is_refused_and_the_old_one_kept(
    flow: NormalizingFlow, folder: Path, bad: float
) -> None:
    before = save(flow, "mine").read_bytes()
    with torch.no_grad():
        flow.layers[2].network[0].weight[0, 0] = bad
    with pytest.raises(ValueError, match=r"layers\.2\.network\.0\.weight.*not finite"):
        save(flow, "mine")
    assert [path.read_bytes() for path in folder.iterdir()] == [before]


BAD_FILES: dict[str, tuple[Callable[[Path], object], str]] = {
    "cut in half": (
        lambda path: path.write_bytes(path.read_bytes()[: path.stat().st_size // 2]),
        "truncated",
    ),
    "cut in its header": (lambda path: path.write_bytes(path.read_bytes()[:20]), "truncated"),
    "one byte short": (lambda path: path.write_bytes(path.read_bytes()[:-1]), "truncated"),
    "empty": (lambda path: path.write_bytes(b""), "truncated"),
    "a text": (
        lambda path: path.write_text("weights, honest\n" * 100, encoding="utf-8"),
        "not a safetensors",
    ),
    "a pickle": (lambda path: torch.save({"w": torch.ones(3)}, path), "not a safetensors"),
    "another model": (lambda _: save(Gaussian(), "mine"), "holds a Gaussian, not a NormalizingFlow"),
    "another program's": (lambda path: save_file({"w": torch.ones(3)}, path), "unknown kind"),
    "another width": (
        lambda _: save(affine_flow(dim=3, couplings=2, hidden=9), "mine"),
        r"layers\.0\.network\.0\.bias.*\(9,\).*\(8,\)",
    ),
    "another depth": (
        lambda _: save(affine_flow(dim=3, couplings=3, hidden=8), "mine"),
        r"another NormalizingFlow.*layers\.4",
    ),
}


@pytest.mark.parametrize("kind", BAD_FILES)
def test_a_file_that_is_not_this_model_is_refused_and_leaves_the_model_alone(
    flow: NormalizingFlow, folder: Path, kind: str
) -> None:
    damage, message = BAD_FILES[kind]
    damage(save(flow, "mine"))
    before = {key: value.clone() for key, value in flow.state_dict().items()}
    with pytest.raises(ValueError, match=message) as raised:
        load(flow, "mine", folder)
    assert str(folder / "mine.safetensors") in str(raised.value)
    assert all(torch.equal(value, before[key]) for key, value in flow.state_dict().items())


def test_a_missing_model_is_named(flow: NormalizingFlow, tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="no model 'absent'.*absent.safetensors"):
        load(flow, "absent", tmp_path)


def test_a_file_of_another_structure_is_refused_though_its_tensors_fit(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FIVE_RINGS_SAVE", str(tmp_path))
    save(nn.Sequential(nn.Linear(2, 2), nn.SiLU()), "smooth")
    with pytest.raises(
        ValueError, match=r"smooth.* of other settings: it has '.*SiLU.*' where this has '.*ReLU"
    ):
        load(nn.Sequential(nn.Linear(2, 2), nn.ReLU()), "smooth", tmp_path)
    load(nn.Sequential(nn.Linear(2, 2), nn.SiLU()), "smooth", tmp_path)


@pytest.mark.parametrize(
    ("saved", "wanted", "word"),
    [
        (lambda: spline_flow(reach=4.0), spline_flow, "reach=4.0"),
        (lambda: affine_flow(limit=2.0), affine_flow, "limit=2.0"),
        (lambda: affine_flow(reach=2.0), affine_flow, "reach=2.0"),
        (lambda: affine_flow(classes=2), lambda: affine_flow(features=2), "classes=2"),
        # One wave more in place of two labels: the tensors have the same shapes.
        (lambda: affine_flow(frequencies=3, classes=2), lambda: affine_flow(frequencies=4), "frequencies=3"),
        (lambda: VelocityField(frequencies=7, time_frequencies=6), VelocityField, "frequencies=7"),
        (
            lambda: NormalizingFlow([AffineCoupling()]),
            lambda: NormalizingFlow([AffineCoupling()], UniformBox()),
            "N",
        ),
    ],
)
def test_whatever_changes_the_function_belongs_to_the_models_identity(
    saved: Callable[[], nn.Module],
    wanted: Callable[[], nn.Module],
    word: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The tensors fit each time, and the densities would be off by nats."""
    monkeypatch.setenv("FIVE_RINGS_SAVE", str(tmp_path))
    model, other = saved(), wanted()
    assert {k: v.shape for k, v in model.state_dict().items()} == {
        k: v.shape for k, v in other.state_dict().items()
    }
    save(model, "one")
    before = {key: value.clone() for key, value in other.state_dict().items()}
    with pytest.raises(ValueError, match=f"of other settings.*{word}"):
        load(other, "one", tmp_path)
    assert all(torch.equal(value, before[key]) for key, value in other.state_dict().items())
    load(saved(), "one", str(tmp_path))  # a folder may be text


def test_a_layer_that_stands_twice_is_saved_and_loaded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FIVE_RINGS_SAVE", str(tmp_path))

    def twice() -> NormalizingFlow:
        layer = AffineCoupling()
        return NormalizingFlow([layer, Permutation([1, 0]), layer])

    flow, other = twice(), twice()
    with torch.no_grad():
        flow.layers[0].network[-1].bias.fill_(0.3)
    save(flow, "twice")
    load(other, "twice", tmp_path)
    x = torch.randn(10, 2)
    assert torch.equal(other.log_prob(x), flow.log_prob(x)) and other.layers[0] is other.layers[2]


def test_a_compiled_model_and_a_plain_one_read_each_others_files(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FIVE_RINGS_SAVE", str(tmp_path))
    plain, other = nn.Linear(3, 2), nn.Linear(3, 2)
    save(torch.compile(plain), "compiled")  # wraps only; nothing is compiled before the first call
    load(other, "compiled", tmp_path)
    assert torch.equal(other.weight, plain.weight)
    again = torch.compile(nn.Linear(3, 2))
    load(again, "compiled", tmp_path)
    assert torch.equal(again.weight, plain.weight)


def test_the_same_model_gives_the_same_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FIVE_RINGS_SAVE", str(tmp_path))
    files = [save(nn.Linear(2, 2), f"model{i}") for i in range(8) if torch.manual_seed(0)]
    assert len({file.read_bytes() for file in files}) == 1
