"""What a step of training costs in memory, arithmetic and messages, and what a second process gains.

python -m bench.scaling             measure (a minute), then report
python -m bench.scaling --report    only report: book/scaling_*.md

Counted: parameters, and the operations of torch's own counter. Measured: steps with one process and with two,
on two cores. Extrapolated: the same arithmetic for models of images, whose figures are those of Peebles and
Xie, "Scalable diffusion models with transformers" (2023), on devices and links that are assumed.
"""

import os
import statistics
import sys
import time
from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path

import torch
import torch.distributed as dist
import torch.multiprocessing
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel
from torch.utils.flop_counter import FlopCounterMode

from bench.result_files import read_records, write_records
from helpers.flows import affine_flow, spline_flow
from helpers.matching import VelocityField, independent_pairs, matching_loss

BOOK = Path(__file__).parent.parent / "book"
BATCH = 256
BYTES = 4  # of a number in float32
SCALED: dict[str, Callable[[], nn.Module]] = {
    "affine flow": affine_flow,
    "spline flow": spline_flow,
    "flow matching": VelocityField,
    "flow matching, ten times the width": lambda: VelocityField(hidden=960),
}
TIMED = [("affine flow", 256), ("flow matching", 256), ("flow matching", 4096), (list(SCALED)[3], 1024)]
ROUNDS, WARM = 3, 3
IMAGES = {  # parameters, multiply-adds of one forward pass of one image
    "DiT-XL/2 on 32 × 32 × 4": (675e6, 118.64e9),
    "DiT-XL/2 on 64 × 64 × 4": (675e6, 524.60e9),
}
IMAGE_BATCH, DEVICES, SUSTAINED = 256, 8, 100e12  # the last: operations a second of one device, assumed
LINKS = {"a link of 100 GB/s": 100e9, "a network of 1.25 GB/s": 1.25e9}


def state_bytes(parameters: float) -> float:
    """Bytes that stay for the whole of the training: weights, gradients, and Adam's two moments."""
    return 4 * BYTES * parameters


def training_operations(multiply_adds: float, batch: int) -> float:
    """Additions and multiplications of one step: forward once, backward twice that, two to a multiply-add."""
    return 3 * 2 * multiply_adds * batch


def all_reduce_bytes(parameters: float, processes: int) -> float:
    """Bytes that each process sends in one step, where gradients go round a ring.

    Source: Patarasuk and Yuan, "Bandwidth optimal all-reduce algorithms for clusters of workstations" (2009).
    """
    return 2 * (processes - 1) / processes * BYTES * parameters


def loss_of_scaled(model: nn.Module, x: Tensor) -> Tensor:
    """The loss of either family."""
    if isinstance(model, VelocityField):
        return matching_loss(model, *independent_pairs(x))
    return -model.log_prob(x).mean()


def count_model(name: str) -> dict[str, object]:
    """Parameters, and the operations that torch counts in one step on BATCH points."""
    torch.manual_seed(0)
    model = SCALED[name]()
    with FlopCounterMode(display=False) as counter:
        loss_of_scaled(model, torch.rand(BATCH, 2) - 0.5).backward()
    parameters = sum(weight.numel() for weight in model.parameters())
    return {"kind": "count", "model": name, "parameters": parameters, "operations": counter.get_total_flops()}


def seconds_a_step(module: nn.Module, batch: int, steps: int) -> float:
    """Mean over steps of Adam on this module, whose forward pass is its loss."""
    optimizer = torch.optim.Adam(module.parameters(), lr=1e-4)
    x = torch.rand(batch, 2) - 0.5
    for step in range(WARM + steps):
        if step == WARM:
            started = time.perf_counter()
        optimizer.zero_grad()
        module(x).backward()
        optimizer.step()
    return (time.perf_counter() - started) / steps


class ScaledLoss(nn.Module):
    """The loss as a forward pass."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model

    def forward(self, x: Tensor) -> Tensor:
        """The mean loss of these points."""
        return loss_of_scaled(self.model, x)


def work_of_one(rank: int, world: int, name: str, batch: int, steps: int, path: str) -> None:
    """One process: whole steps, and steps whose gradients stay at home, in turns; 0 notes the seconds."""
    torch.set_num_threads(1)
    torch.manual_seed(rank)
    where = {"init_method": f"file://{path}.group", "rank": rank, "world_size": world}
    dist.init_process_group("gloo", **where)
    module = ScaledLoss(SCALED[name]())
    if world > 1:
        module = DistributedDataParallel(module)
    whole, at_home = [], []
    for _ in range(ROUNDS):
        whole.append(seconds_a_step(module, batch // world, steps))
        with module.no_sync() if world > 1 else nullcontext():
            at_home.append(seconds_a_step(module, batch // world, steps))
        dist.barrier()
    dist.destroy_process_group()
    if rank == 0:
        torch.save([whole, at_home], path)


def measure_processes(name: str, batch: int, folder: Path) -> dict[str, object]:
    """How much faster two processes are on the same batch, and what the messages take of their step."""
    steps, found = 4 if batch > BATCH else 60, {}
    for world in (1, 2):
        path = str(folder / f"{name}-{batch}-{world}".replace(" ", "-"))
        torch.multiprocessing.spawn(work_of_one, (world, name, batch, steps, path), nprocs=world)
        found[world] = torch.load(path)
    one = statistics.median(found[1][0])
    two, alone = (statistics.median(values) for values in found[2])
    return {
        "kind": "processes",
        "model": name,
        "batch": batch,
        "gain": round(one / two, 2),
        "messages": round(1 - alone / two, 2),
    }


def counted_table() -> str:
    """The book's models: what torch counts beside the rule of six, memory and messages."""
    lines = [
        "| model | parameters | state, kB | operations a step, millions | by the rule of six "
        "| sent a step by each of 2, kB | of 8, kB |",
        "|:---|---:|---:|---:|---:|---:|---:|",
    ]
    for row in read_records("scaling"):
        if row["kind"] == "count":
            n = row["parameters"]
            six = training_operations(n, BATCH)
            sent = [all_reduce_bytes(n, processes) / 1e3 for processes in (2, 8)]
            lines.append(
                f"| {row['model']} | {n:,} | {state_bytes(n) / 1e3:,.0f} | {row['operations'] / 1e6:,.0f} "
                f"| {six / 1e6:,.0f} | {sent[0]:,.0f} | {sent[1]:,.0f} |"
            )
    return "\n".join(lines) + "\n"


def measured_table() -> str:
    """Two processes against one."""
    lines = [
        "| model | global batch | steps of two over steps of one | share of the messages |",
        "|:---|---:|---:|---:|",
    ]
    for row in read_records("scaling"):
        if row["kind"] == "processes":
            lines.append(
                f"| {row['model']} | {row['batch']:,} | {row['gain']:.2f} | {100 * row['messages']:.0f} % |"
            )
    return "\n".join(lines) + "\n"


def extrapolated_table() -> str:
    """The same arithmetic for images."""
    lines = [
        "| model | state, GB | operations a step | arithmetic of a step, s | messages of a step, GB | "
        + " | ".join(f"over {link}, s" for link in LINKS)
        + " |",
        "|:---|---:|---:|---:|---:|" + "---:|" * len(LINKS),
    ]
    for name, (parameters, multiply_adds) in IMAGES.items():
        operations = training_operations(multiply_adds, IMAGE_BATCH)
        sent = all_reduce_bytes(parameters, DEVICES)
        times = " | ".join(f"{sent / speed:.2g}" for speed in LINKS.values())
        lines.append(
            f"| {name} | {state_bytes(parameters) / 1e9:.1f} | {operations / 1e12:,.0f} T "
            f"| {operations / DEVICES / SUSTAINED:.2g} | {sent / 1e9:.1f} | {times} |"
        )
    return "\n".join(lines) + "\n"


def main() -> None:
    """Read the command line and do what it says."""
    if "--report" not in sys.argv[1:]:
        from tempfile import TemporaryDirectory

        os.environ.setdefault("OMP_NUM_THREADS", "1")
        records = [count_model(name) for name in SCALED]
        with TemporaryDirectory() as folder:
            records += [measure_processes(name, batch, Path(folder)) for name, batch in TIMED]
        write_records("scaling", records)
    tables = {"counted": counted_table(), "measured": measured_table(), "extrapolated": extrapolated_table()}
    for name, table in tables.items():
        (BOOK / f"scaling_{name}_table.md").write_text(table, encoding="utf-8", newline="\n")
        print(table)


if __name__ == "__main__":
    main()
