"""`scripts/train_distributed.py`: one process or several, stopped or not, the parameters are the same."""

import importlib.util
import os
import random
import re
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import load, load_file
from torch import Tensor

from helpers.flows import affine_flow
from helpers.matching import VelocityField, independent_pairs, matching_loss

SCRIPT = Path(__file__).resolve().parent.parent / "scripts" / "train_distributed.py"
STEPS = 200
COMMON = ("--steps", str(STEPS), "--batch", "8", "--dtype", "float64", "--show", "20", "--every", "30")
# Kills its process in the loss of one step, where the environment says so: KILL=RANK:CALL.
KILLER = """
import os, signal
from __main__ import RECIPES, Recipe

calls = 0

def loss(*rows):
    global calls
    calls += 1
    if os.environ.get("KILL") == f"{os.environ.get('RANK')}:{calls}":
        os.kill(os.getpid(), signal.SIGKILL)
    return RECIPES["matching"].loss(*rows)

mortal = Recipe(RECIPES["matching"].build, RECIPES["matching"].draw, loss)
"""

spec = importlib.util.spec_from_file_location("train_distributed", SCRIPT)
script = importlib.util.module_from_spec(spec)
spec.loader.exec_module(script)


def run(processes: int, folder: Path, *options: str, kill: str = "") -> subprocess.CompletedProcess[str]:
    """The script by torchrun, or where `processes` is 0 as any other script."""
    torchrun = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", str(processes)]
    command = [
        sys.executable,
        *(torchrun if processes else []),
        SCRIPT,
        "--folder",
        folder,
        *COMMON,
        *options,
    ]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "KILL": kill}
    return subprocess.run(command, capture_output=True, text=True, check=False, env=environment, timeout=120)


def weights(folder: Path) -> dict[str, Tensor]:
    return load_file(folder / f"step-{STEPS:08d}" / "model.safetensors")


def losses(ran: subprocess.CompletedProcess[str]) -> dict[int, float]:
    return {int(step): float(loss) for step, loss in re.findall(r"^step (\d+) loss (\S+)$", ran.stdout, re.M)}


def told(ran: subprocess.CompletedProcess[str]) -> list[str]:
    return [line for line in ran.stderr.splitlines() if line.startswith("train_distributed:")]


@pytest.fixture(scope="module")
def two(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[int, float]]:
    """The weights of two processes that nothing has stopped, and their losses."""
    folder = tmp_path_factory.mktemp("two")
    ran = run(2, folder, "--model", "matching")
    assert ran.returncode == 0 and ran.stdout.splitlines()[-1].startswith("done"), ran.stderr
    return folder, losses(ran)


def test_two_processes_end_where_one_does(two: tuple[Path, dict[int, float]], tmp_path: Path) -> None:
    ran = run(0, tmp_path, "--model", "matching")
    assert ran.returncode == 0, ran.stderr
    assert losses(ran) == pytest.approx(two[1], abs=2e-6) and len(two[1]) == STEPS // 20
    ones, twos = weights(tmp_path), weights(two[0])
    assert max(float((ones[name] - twos[name]).abs().max()) for name in ones) < 1e-10
    assert max(float(weight.abs().max()) for name, weight in ones.items() if name.endswith("6.weight")) > 0.01


def test_killed_and_resumed_the_weights_are_the_same_bit_for_bit(
    two: tuple[Path, dict[int, float]], tmp_path: Path
) -> None:
    """Killed twice, at steps and in processes that a seed chooses; then once more resumed, by one process."""
    (tmp_path / "recipe.py").write_text(KILLER, encoding="utf-8")
    chance, folder = random.Random(7), tmp_path / "run"
    model = ("--model", f"{tmp_path / 'recipe.py'}:mortal")
    for rank in (1, 0):
        ran = run(2, folder, *model, kill=f"{rank}:{chance.randrange(35, 80)}")
        assert ran.returncode != 0 and len(told(ran)) == 1, ran.stderr
        assert re.search(
            r"after step \d+: another process was lost.*resumes from \S+step-\d{8}", told(ran)[0]
        )
    stopped = {path.name: path for path in script.checkpoints(folder)}
    assert stopped and f"step-{STEPS:08d}" not in stopped
    other = tmp_path / "other"
    subprocess.run(["cp", "-r", folder, other], check=True)
    ran, alone = run(2, folder, *model), run(0, other, *model)
    assert ran.returncode == alone.returncode == 0, ran.stderr + alone.stderr
    ours, theirs = weights(folder), weights(two[0])
    assert all(torch.equal(ours[name], theirs[name]) for name in theirs)
    assert 0 < len(losses(alone)) < len(two[1])
    for step, loss in losses(alone).items():
        assert loss == pytest.approx(two[1][step], abs=2e-6)


# --- in this process ----------------------------------------------------------------------------------


@pytest.fixture
def trained(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Arguments of a short run in a folder, which holds its last two checkpoints, of steps 20 and 30."""
    monkeypatch.setenv("FIVE_RINGS_SAVE", "unused")
    monkeypatch.setattr(script, "POINTS", 1000)
    arguments = ["--folder", str(tmp_path), "--batch", "8", "--every", "10", "--steps", "30"]
    assert go(arguments) == list(range(31))
    assert [path.name for path in script.checkpoints(tmp_path)] == ["step-00000030", "step-00000020"]
    return arguments


def go(arguments: list[str]) -> list[int]:
    return list(script.train(script.parse(arguments), 0, 1))


@pytest.mark.parametrize("name", script.RECIPES)
def test_slices_make_up_the_batch(name: str) -> None:
    asked, recipe = script.parse(["--batch", "8"]), script.RECIPES[name]
    data = script.read_data(None, recipe, 0)
    whole = script.own_slice(data, recipe, asked, 5, 0, 1)
    for world in (2, 4):
        slices = [script.own_slice(data, recipe, asked, 5, rank, world) for rank in range(world)]
        assert all(torch.equal(torch.cat(parts), part) for parts, part in zip(zip(*slices), whole))
    later = script.own_slice(data, recipe, asked, 6, 0, 1)
    assert not any(torch.equal(one, other) for one, other in zip(whole, later))
    model = recipe.build(2)
    assert recipe.loss(model, *whole).isfinite()


def test_chance_in_the_model_differs_from_process_to_process() -> None:
    asked, recipe = script.parse(["--batch", "8"]), script.RECIPES["affine"]
    drawn = []
    for rank in (0, 1, 0):
        script.own_slice((torch.zeros(9, 2),), recipe, asked, 5, rank, 2)
        drawn.append(torch.rand(3))
    assert torch.equal(drawn[0], drawn[2]) and not torch.equal(drawn[0], drawn[1])


@pytest.mark.parametrize("classes", [0, 5])
def test_the_loss_on_lines_is_the_matching_loss(classes: int) -> None:
    field, x1 = VelocityField(classes=classes), torch.randn(50, 2)
    torch.nn.init.normal_(field.network[-1].weight)
    context = () if not classes else (torch.randint(5, (50,)),)
    torch.manual_seed(1)
    ours = script.loss_on_lines(field, *script.draw_lines(x1, *context))
    torch.manual_seed(1)
    x0, _, _ = independent_pairs(x1)
    theirs = matching_loss(field, x0, x1, *context, drop=script.DROPPED if classes else 0.0)
    assert torch.allclose(ours, theirs)


def test_a_finished_run_has_nothing_left_to_do(trained: list[str]) -> None:
    assert go(trained) == [30]


@pytest.mark.parametrize("name", ["model.safetensors", "state.pt", "sums.json"])
def test_a_damaged_checkpoint_is_named_and_the_one_before_resumed(
    name: str, trained: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = load(
        (tmp_path / "step-00000030" / "model.safetensors").read_bytes()
    )  # a copy, not a view of the file
    damaged = tmp_path / "step-00000030" / name
    damaged.write_bytes(damaged.read_bytes()[:-9])
    (tmp_path / "step-00000040.part").mkdir()  # what a kill while writing leaves behind
    assert go(trained)[0] == 20
    said = capsys.readouterr().err
    assert said.count("passed over") == 1 and "step-00000030, which is damaged" in said
    after = load_file(tmp_path / "step-00000030" / "model.safetensors")
    assert all(torch.equal(before[key], after[key]) for key in before)


def test_where_all_are_damaged_nothing_is_begun_anew(trained: list[str], tmp_path: Path) -> None:
    for path in script.checkpoints(tmp_path):
        (path / "state.pt").unlink()
    with pytest.raises(ValueError, match="all checkpoints in .* are damaged"):
        go(trained)


def test_a_run_of_other_settings_is_not_resumed(trained: list[str]) -> None:
    with pytest.raises(ValueError, match="was trained with --peak 0.002, --seed 0; use the same"):
        go([*trained, "--seed", "1", "--peak", "0.1"])


def test_a_loss_that_is_not_finite_stops_the_run(
    trained: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def loss(model: torch.nn.Module, x: Tensor) -> Tensor:
        return -model.log_prob(x).mean() * torch.tensor(float("nan"))

    monkeypatch.setattr(script.RECIPES["affine"], "loss", loss)
    with pytest.raises(FloatingPointError, match="step 0: the loss or its gradient is not finite"):
        go(["--folder", str(tmp_path / "new"), "--batch", "8"])


BAD = {
    "batch": (["--batch", "10"], 4, "--batch is 10; 4 processes need a multiple of 4"),
    "steps": (["--steps", "0"], 1, "--steps is 0"),
    "peak": (["--peak", "-1"], 1, "--peak is -1"),
}


@pytest.mark.parametrize("name", BAD)
def test_bad_arguments_are_named(name: str) -> None:
    arguments, world, message = BAD[name]
    with pytest.raises(ValueError, match=message):
        script.check(script.parse(arguments), world)


def test_an_unknown_model_is_named() -> None:
    with pytest.raises(ValueError, match="--model is 'spine'; it must be one of affine, "):
        script.find_recipe("spine")


def test_a_table_is_whitened_and_its_faults_are_named(tmp_path: Path) -> None:
    recipe, table = script.RECIPES["affine"], tmp_path / "table.csv"
    rows = (torch.randn(200, 3) * torch.tensor([1.0, 10.0, 0.1]) + 5).tolist()
    table.write_text("\n".join(["a,b,c", *(",".join(map(str, row)) for row in rows)]), encoding="utf-8")
    (x,) = script.read_data(str(table), recipe, 0)
    assert (
        torch.allclose(torch.cov(x.T), torch.eye(3), atol=1e-4)
        and affine_flow(3).log_prob(x).isfinite().all()
    )
    with pytest.raises(ValueError, match="--table goes with a model without classes"):
        script.read_data(str(table), script.RECIPES["matching_by_class"], 0)
    table.write_text("a,b\n1,x\n2,y\n", encoding="utf-8")
    with pytest.raises(ValueError, match="--table has columns with text or holes: b"):
        script.read_data(str(table), recipe, 0)
