"""What the comparisons beside other libraries share: a model of any library, its tasks, and the records.

A model is trained by one and the same step: the loss of a batch, its gradient, clipped, and Adam's update.
So what is compared is what a library does between the points and the number that the step lowers, and how it
draws samples. `peers_affine`, `peers_spline` and `peers_matching` build the same model in each library.

python -m bench.peers                  all three
python -m bench.peers --device cuda    on a GPU, where there is one: by the clock, beside the CPU's records
"""

from collections.abc import Callable
from itertools import cycle
from typing import NamedTuple

import torch
from torch import Tensor, nn

from bench.result_files import RESULTS, read_records, write_records
from bench.turns import FASTEST, Work, compare, machine, parse_device, spread, take_turns, version_of
from helpers.networks import periodic_features, zero_ended_network
from helpers.rings import OlympicRings
from helpers.training import as_one

__all__ = ["Conditioner", "Flow", "Training", "flow_works", "note_peers", "peer_records"]

PEAK, CLIP, KINDS = 2e-3, 1.0, 20  # the learning rate, the bound on the gradient, how many batches there are
PACKAGES = {  # the library, and the package that it comes in
    "normflows": "normflows",
    "nflows": "glasflow",
    "zuko": "zuko",
    "torchcfm": "torchcfm",
    "flow_matching": "flow_matching",
}


class Flow(NamedTuple):
    """A normalizing flow of some library."""

    module: nn.Module
    log_prob: Callable[[Tensor], Tensor]
    sample: Callable[[int], Tensor]


class Conditioner(nn.Module):
    """The network of one of our couplings, for those of the others."""

    def __init__(self, frequencies: int, reach: float, hidden: int, depth: int, outputs: int) -> None:
        super().__init__()
        self.frequencies, self.reach = frequencies, reach
        self.network = zero_ended_network(1 + 2 * frequencies, hidden, depth, outputs)

    def forward(self, a: Tensor, context: None = None) -> Tensor:
        """The numbers that say how the other coordinate moves, for each kept one."""
        return self.network(periodic_features(a, self.frequencies, self.reach))


class Training:
    """A model with its loss and its optimizer, joined for one update as `helpers.training.fit` does it."""

    def __init__(self, module: nn.Module, loss: Callable[[Tensor], Tensor]) -> None:
        self.loss, self.whole = loss, as_one(list(module.parameters()))
        self.optimizer = torch.optim.Adam([self.whole], lr=PEAK, fused=True)

    def step(self, x: Tensor) -> float:
        """Take one step; return the loss."""
        loss = self.loss(x)
        self.optimizer.zero_grad(set_to_none=False)
        loss.backward()
        nn.utils.clip_grad_norm_(self.whole, CLIP)
        self.optimizer.step()
        return loss.item()


def batches_of_rings(batch: int, device: str = "cpu") -> Tensor:
    """Points of the rings, (KINDS, batch, 2)."""
    torch.manual_seed(0)
    return OlympicRings().sample(KINDS * batch)[0].reshape(KINDS, batch, 2).to(device)


def flow_works(flow: Flow, batch: int, device: str = "cpu") -> dict[str, Work]:
    """What a flow is asked for, at one batch a call."""
    flow.module.to(device)
    batches = cycle(batches_of_rings(batch, device))
    training = Training(flow.module, lambda x: -flow.log_prob(x).mean())
    no_grad = torch.no_grad()
    return {
        "training step": lambda: training.step(next(batches)),
        "density": no_grad(lambda: flow.log_prob(next(batches))),
        "sampling": no_grad(lambda: flow.sample(batch)),
    }


def peer_records(
    setting: str, works: dict[str, dict[str, Work]], device: str = "cpu", **how: int
) -> list[dict[str, object]]:
    """Let the libraries take turns at each task that they share with us; print the ratios.

    Args:
        setting: what the record says of the model and the batch.
        works: by library, then by task; one library is "ours".
        device: what they run on.
        how: rounds, turns and calls, as for `take_turns`.

    Returns:
        A record of each task: the seconds of a call in each round, by library, and the ratios of ours to
        theirs.
    """
    records = []
    for task in works["ours"]:
        sharing = {name: own[task] for name, own in works.items() if task in own}
        if len(sharing) == 1:  # ours alone
            continue
        seconds = take_turns(sharing, device=device, **how)
        ratios = compare(seconds)
        told = ", ".join(f"{name} {spread(values)}" for name, values in ratios.items() if name != FASTEST)
        print(f"{setting}, {task}: ours over {told}", flush=True)
        about = {"setting": setting, "task": task, "device": device}
        seconds, ratios = (
            {name: [float(f"{value:.4g}") for value in values] for name, values in found.items()}
            for found in (seconds, ratios)
        )
        records.append(about | {"seconds_a_call": seconds, "ratios": ratios})
    return records


def note_peers(name: str, records: list[dict[str, object]], device: str = "cpu") -> None:
    """Write the records of one kind of device, and keep those of the other."""
    kept = read_records(name) if (RESULTS / f"{name}.json").is_file() else []
    kept = [record for record in kept if record.get("device", "cpu") != device]
    about = {"device": device, "machine": machine(device)}
    about["versions"] = {library: version_of(package) for library, package in PACKAGES.items()}
    write_records(name, kept + [about, *records])


def main() -> None:
    """Measure the affine flow, the spline flow and flow matching beside their peers."""
    from bench.peers_affine import affine_peers  # they read this file
    from bench.peers_matching import matching_peers
    from bench.peers_spline import spline_peers

    device = parse_device(__doc__)
    for measure in (affine_peers, spline_peers, matching_peers):
        measure(device)


if __name__ == "__main__":
    main()
