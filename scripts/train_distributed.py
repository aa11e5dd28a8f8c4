"""Train a model of the book with any number of processes, and go on where the last run was stopped.

python scripts/train_distributed.py --model affine --folder my_runs/affine               one process
torchrun --standalone --nproc-per-node 2 scripts/train_distributed.py --model affine     two, on one machine

Every process draws the whole batch of a step, from a seed that is made of --seed and the step's number, and
keeps its own slice. So a step's batch is the same for any number of processes, and after a stop it is drawn
again as it was: beside the weights and the optimizer's state a checkpoint needs nothing but the step. The
same command resumes. Only process 0 reads and writes checkpoints. The page "More than one process" of the
book tells the rest.
"""

import argparse
import hashlib
import importlib.util
import json
import os
import shutil
import signal
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import NoReturn

import numpy as np
import pandas as pd
import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from helpers import training
from helpers.flows import NormalizingFlow, affine_flow, spline_flow
from helpers.matching import VelocityField, independent_pairs, spread_times
from helpers.rings import OlympicRings
from helpers.transforms import Whiten
from helpers.validation import require_count, require_finite, require_positive

Batch = tuple[Tensor, ...]
KEPT = 2  # checkpoints
DROPPED = 0.2  # the share of labels that a field is not told, as in chapter 9
POINTS = 100_000  # of the rings
# What a resumed run must share with the one that was stopped.
SHARED = ("model", "table", "batch", "steps", "peak", "clip", "seed", "dtype")


class Stopped(Exception):
    """The run cannot go on: a process was lost, or the run was told to end."""


@dataclass
class Recipe:
    """What is trained, and on what.

    Attributes:
        build: a new model for points of this dimension.
        draw: from the rows of a whole batch to what the loss takes, all that chance adds included: tensors
            with one row a point.
        loss: called with the model and slices of these tensors; the mean over their rows.
        classes: how many labels come with the points, 0 for none.
    """

    build: Callable[[int], nn.Module]
    draw: Callable[..., Batch]
    loss: Callable[..., Tensor]
    classes: int = 0


def negative_log_prob(flow: NormalizingFlow, x: Tensor, context: Tensor | None = None) -> Tensor:
    """The loss of a normalizing flow, in nats."""
    return -flow.log_prob(x, context).mean()


def draw_lines(x1: Tensor, ring: Tensor | None = None) -> Batch:
    """Noise, times and, where there are labels, which are hidden: what `matching_loss` draws by itself."""
    x0, x1, _ = independent_pairs(x1)
    if ring is None:
        return x0, x1, spread_times(len(x1)).to(x1)
    hidden = torch.rand(len(x1)) < DROPPED
    return x0, x1, spread_times(len(x1)).to(x1), torch.where(hidden, 5, ring)


def loss_on_lines(
    field: nn.Module, x0: Tensor, x1: Tensor, t: Tensor, context: Tensor | None = None
) -> Tensor:
    """The flow-matching loss of chapter 8 at times that are given: a slice must not draw times of its own."""
    xt = x0 + t[:, None] * (x1 - x0)
    return (x1 - x0 - field(xt, t, context)).square().sum(1).mean()


def as_they_are(*rows: Tensor) -> Batch:
    """A flow's loss needs nothing beside the points."""
    return rows


RECIPES = {
    "affine": Recipe(affine_flow, as_they_are, negative_log_prob),
    "affine_by_class": Recipe(lambda dim: affine_flow(dim, classes=5), as_they_are, negative_log_prob, 5),
    "spline": Recipe(spline_flow, as_they_are, negative_log_prob),
    "spline_by_class": Recipe(lambda dim: spline_flow(dim, classes=5), as_they_are, negative_log_prob, 5),
    "matching": Recipe(VelocityField, draw_lines, loss_on_lines),
    "matching_by_class": Recipe(lambda dim: VelocityField(dim, classes=5), draw_lines, loss_on_lines, 5),
}


def find_recipe(name: str) -> Recipe:
    """One of the book's, or with FILE.py:NAME the Recipe of this name in a file of yours."""
    if name in RECIPES:
        return RECIPES[name]
    file, _, inside = name.rpartition(":")
    if not Path(file).is_file():
        raise ValueError(f"--model is {name!r}; it must be one of {', '.join(RECIPES)}, or FILE.py:NAME")
    spec = importlib.util.spec_from_file_location("recipe", file)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return getattr(module, inside)


def seed_by(*numbers: int) -> None:
    """Seed torch by several whole numbers, such that near ones have nothing to do with each other."""
    torch.manual_seed(int(np.random.SeedSequence(numbers).generate_state(1)[0]))


def read_data(table: str | None, recipe: Recipe, seed: int) -> Batch:
    """Points of the rings by seed (and their labels); or a CSV file of numbers, its columns whitened.

    `Whiten.of` the same table takes samples back to its columns.
    """
    if table is None:
        seed_by(seed, 0)
        return OlympicRings().sample(POINTS)[: 2 if recipe.classes else 1]
    frame = pd.read_csv(table)
    if wrong := [name for name in frame if frame[name].dtype.kind not in "biuf" or frame[name].isna().any()]:
        raise ValueError(
            f"--table has columns with text or holes: {', '.join(wrong)}; mend or drop them first"
        )
    if recipe.classes:
        raise ValueError("--table goes with a model without classes")
    x = torch.tensor(frame.to_numpy(float), dtype=torch.get_default_dtype())
    require_finite(x, "--table")
    return (Whiten.of(x).inverse(x)[0],)


def own_slice(
    data: Batch, recipe: Recipe, asked: argparse.Namespace, step: int, rank: int, world: int
) -> Batch:
    """This process's rows of the step's batch; from then on chance differs between processes (dropout)."""
    seed_by(asked.seed, 1, step)
    index = torch.randint(len(data[0]), (asked.batch,))
    drawn = recipe.draw(*(part[index] for part in data))
    seed_by(asked.seed, 2, step, rank)
    size = asked.batch // world
    return tuple(part[rank * size : (rank + 1) * size] for part in drawn)


class WithLoss(nn.Module):
    """The loss as a forward pass: DistributedDataParallel averages the gradients of what went through one."""

    def __init__(self, model: nn.Module, loss: Callable[..., Tensor]) -> None:
        super().__init__()
        self.model, self.loss = model, loss

    def forward(self, *rows: Tensor) -> Tensor:
        """The mean loss of these rows."""
        return self.loss(self.model, *rows)


def write_checkpoint(
    folder: Path, step: int, model: nn.Module, optimizer: torch.optim.Optimizer, own: dict
) -> Path:
    """Write weights, optimizer and random state: one folder, named when all of it is on the disk."""
    part, whole = folder / f"step-{step:08d}.part", folder / f"step-{step:08d}"
    shutil.rmtree(part, ignore_errors=True)
    part.mkdir(parents=True)
    os.environ["FIVE_RINGS_SAVE"] = str(part)
    training.save(model, "model")
    state = {"step": step, "optimizer": optimizer.state_dict(), "random": torch.get_rng_state()}
    torch.save(state, part / "state.pt")
    sums = {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in part.iterdir()}
    (part / "sums.json").write_text(json.dumps({"sha256": sums, "settings": own}), encoding="utf-8")
    for path in (*part.iterdir(), part):
        flush(path)
    shutil.rmtree(whole, ignore_errors=True)  # of this step, and damaged: a whole one would have been resumed
    part.replace(whole)
    flush(folder)
    for old in checkpoints(folder)[KEPT:]:
        shutil.rmtree(old)
    return whole


def flush(path: Path) -> None:
    """Wait until a file or a folder's entries are on the disk."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def checkpoints(folder: Path) -> list[Path]:
    """The finished ones, the newest first."""
    return sorted((path for path in folder.glob("step-*") if not path.suffix), reverse=True)


def read_checkpoint(folder: Path, model: nn.Module, own: dict) -> dict | None:
    """Fill the model from the newest undamaged checkpoint; its other state, or None where there is none yet.

    Raises:
        ValueError: all are damaged; or the run had other settings.
    """
    found = checkpoints(folder)
    for path in found:
        try:
            notes = json.loads((path / "sums.json").read_text(encoding="utf-8"))
            for name, expected in notes["sha256"].items():
                if hashlib.sha256((path / name).read_bytes()).hexdigest() != expected:
                    raise ValueError(f"{name} is not what was written")
        except (OSError, ValueError, KeyError) as error:
            print(f"passed over {path}, which is damaged: {error}", file=sys.stderr, flush=True)
            continue
        if differing := [name for name in own if notes["settings"].get(name) != own[name]]:
            was = ", ".join(f"--{name} {notes['settings'].get(name)}" for name in differing)
            raise ValueError(f"{path} was trained with {was}; use the same, or another --folder")
        training.load(model, "model", folder=path)
        return torch.load(path / "state.pt", weights_only=True)
    if found:
        raise ValueError(f"all checkpoints in {folder} are damaged; name another --folder to start anew")
    return None


def train(asked: argparse.Namespace, rank: int, world: int) -> Iterator[int]:
    """Train from where the folder says to the end; yields how many steps are done, at the start as well."""
    cuda = torch.cuda.is_available()
    where = torch.device("cuda", int(os.environ.get("LOCAL_RANK", 0))) if cuda else torch.device("cpu")
    if cuda:
        torch.cuda.set_device(where)
    recipe, folder = find_recipe(asked.model), Path(asked.folder)
    own = {name: getattr(asked, name) for name in SHARED}
    data = read_data(asked.table, recipe, asked.seed)
    seed_by(asked.seed, 3)
    model = recipe.build(data[0].shape[1])
    state = read_checkpoint(folder, model, own) if rank == 0 else None
    if world > 1:
        sent = [state]
        dist.broadcast_object_list(sent, src=0, device=torch.device("cpu"))
        state = sent[0]
    module = WithLoss(model.to(where).train(), recipe.loss)
    # Where unused parameters are allowed, gradients keep their places in the sums from the first step on.
    # Otherwise they are put in order once, after the first step of each run, and a resume rounds differently.
    # It also sends the weights of process 0 to the others.
    ddp = DistributedDataParallel(module, find_unused_parameters=world > 2) if world > 1 else module
    optimizer = torch.optim.Adam(model.parameters(), lr=asked.peak)
    first = 0
    if state is not None:
        optimizer.load_state_dict(state["optimizer"])
        torch.set_rng_state(state["random"])
        first = state["step"]
    yield first
    mixed = torch.autocast("cuda", torch.bfloat16, enabled=cuda and asked.dtype == "float32")
    for step in range(first, asked.steps):
        rows = own_slice(data, recipe, asked, step, rank, world)
        with mixed:
            value = ddp(*(part.to(where) for part in rows))
        optimizer.zero_grad()
        value.backward()
        norm = nn.utils.clip_grad_norm_(model.parameters(), asked.clip)
        if not torch.isfinite(norm):  # the mean of all gradients, so that every process stops here
            raise FloatingPointError(f"step {step}: the loss or its gradient is not finite")
        for group in optimizer.param_groups:
            group["lr"] = training.learning_rate(step, asked.steps, asked.peak)
        optimizer.step()
        if (step + 1) % asked.show == 0:
            mean = value.detach() / world
            if world > 1:
                dist.all_reduce(mean)
            if rank == 0:
                print(f"step {step + 1} loss {mean.item():.6f}", flush=True)
        if rank == 0 and ((step + 1) % asked.every == 0 or step + 1 == asked.steps):
            write_checkpoint(folder, step + 1, model, optimizer, own)
        yield step + 1


def stop(*_: object) -> NoReturn:
    """What SIGTERM does, which torchrun sends to all others where one process is lost."""
    raise Stopped("told to end (SIGTERM)")


def tell(message: str, store: dist.Store | None) -> None:
    """Print a line, in the process that comes first to it. The store is torchrun's and outlives them."""
    try:
        first = store is None or store.add("told", 1) == 1
    except Exception:  # the store is lost as well, with its machine
        first = True
    if first:
        print(message, file=sys.stderr, flush=True)


def is_loss_of_a_process(error: BaseException) -> bool:
    """Whether this is what is left when another process is gone: gloo has no class of errors for it."""
    return isinstance(error, (Stopped, dist.DistError)) or "gloo" in str(error)


def parse(arguments: list[str] | None) -> argparse.Namespace:
    """Read the command line."""
    form = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=form)
    add = parser.add_argument
    add("--model", default="affine", help=f"{', '.join(RECIPES)}, or FILE.py:NAME, a Recipe of yours")
    add("--table", help="a CSV file of numbers without holes; by default points of the rings")
    add("--folder", default="my_runs/default", help="of the checkpoints: what is there is resumed")
    add("--batch", type=int, default=256, help="points in a step's batch, over all processes together")
    add("--steps", type=int, default=4000, help="of training, from the first start to the end")
    add("--every", type=int, default=200, help="steps between checkpoints; the newest two are kept")
    add("--show", type=int, default=100, help="steps between printed losses")
    add(
        "--peak",
        type=float,
        default=2e-3,
        help="the highest learning rate; it rises over 2 %% and falls to 0",
    )
    add("--clip", type=float, default=1.0, help="bound on the norm of the gradient")
    add("--seed", type=int, default=0, help="of data, first weights, batches and noise")
    add(
        "--dtype",
        choices=("float32", "float64"),
        default="float32",
        help="float32 on a GPU computes in bfloat16",
    )
    add(
        "--timeout", type=float, default=60, help="seconds without a sign of another process until it is lost"
    )
    return parser.parse_args(arguments)


def check(asked: argparse.Namespace, world: int) -> None:
    """Raise where an argument is out of range, or the batch cannot be shared evenly."""
    for name in ("batch", "steps", "every", "show"):
        require_count(getattr(asked, name), f"--{name}")
    for name in ("peak", "clip", "timeout"):
        require_positive(getattr(asked, name), f"--{name}")
    if asked.batch % world:
        raise ValueError(f"--batch is {asked.batch}; {world} processes need a multiple of {world}")


def main(arguments: list[str] | None = None) -> int:
    """Train, and say in one line why if it ends early. Returns the exit status."""
    asked = parse(arguments)
    rank, world = (int(os.environ.get(name, default)) for name, default in (("RANK", 0), ("WORLD_SIZE", 1)))
    store, done, limit = None, 0, timedelta(seconds=max(asked.timeout, 1))
    signal.signal(signal.SIGTERM, stop)
    torch.set_default_dtype(getattr(torch, asked.dtype))
    try:
        if world > 1:
            store = next(dist.rendezvous("env://", rank, world, timeout=limit))[0]
        check(asked, world)
        if world > 1:
            backend = "cpu:gloo,cuda:nccl" if torch.cuda.is_available() else "gloo"
            group = {"store": dist.PrefixStore("group", store), "rank": rank, "world_size": world}
            dist.init_process_group(backend, timeout=limit, **group)
        for step in train(asked, rank, world):
            done = step
    except (ValueError, TypeError, FloatingPointError, FileNotFoundError) as error:
        tell(f"train_distributed: {error}", store)
        os._exit(2)  # what is left of a group cannot be closed in order
    except (RuntimeError, Stopped) as error:
        if not is_loss_of_a_process(error):
            raise
        found = checkpoints(Path(asked.folder))
        again = f"resumes from {found[0]}" if found else "starts anew, as there is no checkpoint yet"
        what = "another process was lost, or the run was told to end"
        tell(
            f"train_distributed: stopped after step {done}: {what}. The same command {again}, "
            f"with any number of processes that divides {asked.batch}.",
            store,
        )
        os._exit(1)
    if world > 1:
        dist.destroy_process_group()
    if rank == 0:
        print(f"done: {checkpoints(Path(asked.folder))[0] / 'model.safetensors'}", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
