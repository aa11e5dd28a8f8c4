"""How the cost of a step grows with the batch, the layers, the steps of the solver and the dimension.

Each row of a table doubles one size and keeps the others as they are in the book; all rows of one table take
turns. A cost that is all calling of operations does not grow with the batch; one that is all arithmetic
doubles with it.

python -m bench.growth
"""

import statistics
from collections.abc import Callable

import torch
from torch import nn

from bench.peers import Training
from bench.result_files import write_records
from bench.turns import Work, machine, parse_device, take_turns
from helpers import ode
from helpers.flows import affine_flow, spline_flow
from helpers.matching import VelocityField, independent_pairs, matching_loss

BATCHES = (64, 128, 256, 512, 1024, 2048, 4096)
LAYERS = (2, 4, 8, 16, 32)
STEPS = (4, 8, 16, 32, 64)
DIMENSIONS = (2, 4, 8, 16, 32, 64)
BATCH = 256
MODELS: dict[str, Callable[..., nn.Module]] = {
    "affine flow": affine_flow,
    "spline flow": spline_flow,
    "flow matching": VelocityField,
}


def training_work(name: str, batch: int, device: str, **settings: int) -> Work:
    """A step of training on points within the splines' box."""
    torch.manual_seed(0)
    module = MODELS[name](**settings).to(device)
    x = (torch.rand(batch, module.dim) - 0.5).to(device)
    if isinstance(module, VelocityField):
        training = Training(module, lambda x: matching_loss(module, *independent_pairs(x)))
    else:
        training = Training(module, lambda x: -module.log_prob(x).mean())
    return lambda: training.step(x)


def sampling_work(steps: int, device: str) -> Work:
    """BATCH samples of a field by so many steps of the midpoint method."""
    field, noise = VelocityField().to(device), torch.randn(BATCH, 2).to(device)
    return lambda: ode.integrate(field, noise, steps, "midpoint")


def growing_works(device: str) -> dict[tuple[str, str], dict[int, Work]]:
    """By model and by what grows: the work at each size."""
    works: dict[tuple[str, str], dict[int, Work]] = {}
    for name in MODELS:
        works[name, "batch"] = {n: training_work(name, n, device) for n in BATCHES}
        works[name, "dimension"] = {n: training_work(name, BATCH, device, dim=n) for n in DIMENSIONS}
    for name in ("affine flow", "spline flow"):
        works[name, "couplings"] = {n: training_work(name, BATCH, device, couplings=n) for n in LAYERS}
    works["flow matching", "hidden layers"] = {
        n: training_work("flow matching", BATCH, device, depth=n) for n in LAYERS
    }
    works["flow matching", "steps of the solver"] = {n: sampling_work(n, device) for n in STEPS}
    return works


def measure_growth(device: str = "cpu") -> None:
    """Measure every table and write the records."""
    records: list[dict[str, object]] = [{"machine": machine(device)}]
    for (name, growing), works in growing_works(device).items():
        seconds = take_turns({str(n): work for n, work in works.items()}, 5, turns=4, calls=2, device=device)
        found = {size: statistics.median(values) for size, values in seconds.items()}
        records.append({"model": name, "growing": growing, "seconds": found})
        told = ", ".join(f"{size}: {1e3 * value:.2f}" for size, value in found.items())
        print(f"{name}, milliseconds by {growing}: {told}", flush=True)
    write_records("growth" if device == "cpu" else f"growth_{torch.device(device).type}", records)


if __name__ == "__main__":
    measure_growth(parse_device(__doc__))
