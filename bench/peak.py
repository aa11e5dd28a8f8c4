"""How fast one thread multiplies matrices, and the share of it that each training loop of the book reaches.

The peak is the best of many products of two large matrices in float32. What a step of training does is
counted by torch's own counter, products of matrices alone; the seconds are those of the step that all peers
share. So a share says how much of a step is multiplication at full speed. The rest is waiting for memory,
functions of single numbers, and the calling of operations, which takes as long for few numbers as for many.

python -m bench.peak
"""

import statistics
from collections.abc import Callable
from functools import partial
from itertools import cycle

import torch
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from bench.peers import Training, batches_of_rings
from bench.result_files import write_records
from bench.turns import machine, parse_device, seconds_of, take_turns
from helpers.flows import affine_flow, spline_flow
from helpers.matching import VelocityField, independent_pairs, matching_loss

SIZES = (256, 1024, 2048)
Loss = Callable[[Tensor], Tensor]


def affine_loop() -> tuple[nn.Module, Loss, int]:
    """The affine flow, its loss, and its batch in the book."""
    flow = affine_flow()
    return flow, lambda x: -flow.log_prob(x).mean(), 256


def spline_loop() -> tuple[nn.Module, Loss, int]:
    """The spline flow, its loss, and its batch in the book."""
    flow = spline_flow()
    return flow, lambda x: -flow.log_prob(x).mean(), 2048


def matching_loop() -> tuple[nn.Module, Loss, int]:
    """The velocity field, its loss, and its batch in the book."""
    field = VelocityField()
    return field, lambda x: matching_loss(field, *independent_pairs(x)), 512


LOOPS = {"affine flow": affine_loop, "spline flow": spline_loop, "flow matching": matching_loop}


def product_peak(device: str = "cpu", repeats: int = 9) -> dict[int, float]:
    """The most operations a second of a product of two square matrices, by their size."""
    found = {}
    for size in SIZES:
        a, b, out = (torch.randn(size, size, device=device) for _ in range(3))
        product, calls = partial(torch.mm, a, b, out=out), max(1, 1024**3 // size**3)
        least = min(seconds_of(product, calls, device) for _ in range(repeats))
        found[size] = 2 * size**3 * calls / least
    return found


def share_of_peak(name: str, peak: float, device: str = "cpu") -> dict[str, object]:
    """What a step of this loop costs, in operations and in seconds, and its share of the peak."""
    torch.manual_seed(0)
    module, loss, batch = LOOPS[name]()
    module.to(device)
    batches = batches_of_rings(batch, device)
    with FlopCounterMode(display=False) as counter:
        loss(batches[0]).backward()
    training, turn = Training(module, loss), cycle(batches)
    seconds = statistics.median(
        take_turns({"ours": lambda: training.step(next(turn))}, device=device, turns=4)["ours"]
    )
    operations = counter.get_total_flops()
    return {
        "loop": name,
        "batch": batch,
        "operations": operations,
        "seconds": seconds,
        "share": operations / seconds / peak,
    }


def measure_peak(device: str = "cpu") -> None:
    """Measure the peak and the shares, and write the records."""
    torch.set_num_threads(1)
    peaks = product_peak(device)
    peak = max(peaks.values())
    print({size: f"{found / 1e9:.0f} G a second" for size, found in peaks.items()}, flush=True)
    records: list[dict[str, object]] = [{"machine": machine(device), "peak": peak, "peaks": peaks}]
    for name in LOOPS:
        records.append(share_of_peak(name, peak, device))
        print(records[-1], flush=True)
    write_records("peak" if device == "cpu" else f"peak_{torch.device(device).type}", records)


if __name__ == "__main__":
    measure_peak(parse_device(__doc__))
