"""One training step of the affine flow, beside the same flow built in normflows, in nflows and in zuko.

Twelve couplings in two dimensions, each with one network of two hidden layers of width 32 that gives
scale and shift: the same modules in all four, once with the kept coordinate alone for their input, and
once with four waves of it as well. A step is the loss of 256 points, its gradient, clipped, and Adam's
update; one function takes it for all.

The libraries take turns of five steps, so that whatever else the machine does meets them alike, and a
ratio compares the hundred steps of one round. What cannot be made equal is how each keeps the scale
within bounds, so each does it in its own way: ours by a tanh, nflows by a sigmoid, zuko by a rational
function, normflows not at all. And where we and normflows swap the coordinates, the masks of nflows and
of zuko alternate.

nflows is measured as the fork that comes with glasflow: its couplings are those of nflows 0.14, line by
line, and it needs no more than torch and numpy.

python -m bench.peers
"""

import statistics
import time
from collections.abc import Callable
from importlib.metadata import version

import normflows
import torch
import zuko
from glasflow.nflows.distributions import StandardNormal
from glasflow.nflows.flows import Flow
from glasflow.nflows.transforms import AffineCouplingTransform, CompositeTransform
from torch import Tensor, nn

from bench.result_files import write_records
from helpers.flows import affine_flow
from helpers.networks import periodic_features, zero_ended_network
from helpers.rings import OlympicRings

COUPLINGS, HIDDEN, DEPTH, BATCH, PEAK, CLIP = 12, 32, 2, 256, 2e-3, 1.0
INPUTS = {"the coordinate": 0, "the coordinate and four waves of it": 4}  # of the networks: how many waves
ROUNDS, STEPS, TURN = 15, 100, 5

Model = tuple[nn.Module, Callable[[Tensor], Tensor]]  # what is trained, and its log-density


class Conditioner(nn.Module):
    """The network of our couplings, for those of the others."""

    def __init__(self, frequencies: int) -> None:
        super().__init__()
        self.frequencies = frequencies
        self.network = zero_ended_network(1 + 2 * frequencies, HIDDEN, DEPTH, 2)

    def forward(self, a: Tensor, context: None = None) -> Tensor:
        """Scale and shift, in whichever order they are taken, for each kept coordinate."""
        return self.network(periodic_features(a, self.frequencies) if self.frequencies else a)


def ours(frequencies: int) -> Model:
    """The flow of the book."""
    flow = affine_flow(couplings=COUPLINGS, hidden=HIDDEN, depth=DEPTH, frequencies=frequencies)
    return flow, flow.log_prob


def in_normflows(frequencies: int) -> Model:
    """Its blocks split, move and merge; its scale is the exponential of what the network says."""
    layers = []
    for _ in range(COUPLINGS):
        layers.append(normflows.flows.AffineCouplingBlock(Conditioner(frequencies)))
        layers.append(normflows.flows.Permute(2, mode="swap"))
    flow = normflows.NormalizingFlow(normflows.distributions.DiagGaussian(2, trainable=False), layers)
    return flow, flow.log_prob


def in_nflows(frequencies: int) -> Model:
    """Its transforms run from data to noise, and masks say what moves."""
    masks = [(1, 0) if k % 2 else (0, 1) for k in range(COUPLINGS)]
    layers = [AffineCouplingTransform(mask, lambda *_: Conditioner(frequencies)) for mask in masks]
    flow = Flow(CompositeTransform(layers), StandardNormal([2]))
    return flow, flow.log_prob


def in_zuko(frequencies: int) -> Model:
    """Its flow builds a distribution at every call."""
    flow = zuko.flows.NICE(2, transforms=COUPLINGS, hidden_features=(HIDDEN,) * DEPTH)
    for layer in flow.transform.transforms:
        layer.hyper = Conditioner(frequencies)
    return flow, lambda x: flow().log_prob(x)


LIBRARIES = {"ours": ours, "normflows": in_normflows, "nflows": in_nflows, "zuko": in_zuko}
PACKAGES = {"normflows": "normflows", "nflows": "glasflow", "zuko": "zuko"}
FASTEST = "the fastest of them"


class Training:
    """A model with its optimizer."""

    def __init__(self, model: nn.Module, log_prob: Callable[[Tensor], Tensor]) -> None:
        self.log_prob, self.parameters = log_prob, list(model.parameters())
        self.optimizer = torch.optim.Adam(self.parameters, lr=PEAK, fused=True)

    def step(self, x: Tensor) -> float:
        """Take one step; return the loss."""
        loss = -self.log_prob(x).mean()
        self.optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(self.parameters, CLIP)
        self.optimizer.step()
        return loss.item()

    def seconds(self, batches: Tensor) -> float:
        """CPU-seconds of a step for each of these batches."""
        started = time.process_time()
        for x in batches:
            self.step(x)
        return time.process_time() - started


def measure_peers(frequencies: int, rounds: int = ROUNDS, steps: int = STEPS) -> dict[str, list[float]]:
    """The CPU-seconds that the steps of each round took, by library."""
    torch.manual_seed(0)
    batches = OlympicRings().sample(steps * BATCH)[0].reshape(steps, BATCH, 2)
    trainings = {name: Training(*build(frequencies)) for name, build in LIBRARIES.items()}
    for training in trainings.values():
        training.seconds(batches[:20])  # not counted: memory is found, and code is met first
    names, seconds = list(LIBRARIES), {name: [0.0] * rounds for name in LIBRARIES}
    for number in range(rounds):
        for turn, few in enumerate(batches.split(TURN)):
            first = turn % len(names)
            for name in names[first:] + names[:first]:
                seconds[name][number] += trainings[name].seconds(few)
    return seconds


def compare(seconds: dict[str, list[float]]) -> dict[str, list[float]]:
    """Ours over theirs, round by round; and over the fastest of theirs: the one whose median is the least."""
    peers = [name for name in seconds if name != "ours"]
    ratios = {name: [a / b for a, b in zip(seconds["ours"], seconds[name])] for name in peers}
    return ratios | {FASTEST: ratios[min(peers, key=lambda name: statistics.median(seconds[name]))]}


def main() -> None:
    """Measure both, print medians and spreads, and write the records."""
    records = []
    for told, frequencies in INPUTS.items():
        seconds = measure_peers(frequencies)
        print(f"The networks see {told}.", flush=True)
        for name, ratios in compare(seconds).items():
            low, middle, high = min(ratios), statistics.median(ratios), max(ratios)
            print(f"  ours / {name}: {middle:.3f} ({low:.3f} to {high:.3f})", flush=True)
            if name in PACKAGES:
                about = {"library": name, "version": version(PACKAGES[name]), "inputs": told}
                took = {"cpu_seconds_of_theirs": seconds[name], "cpu_seconds_of_ours": seconds["ours"]}
                records.append(about | {"steps": STEPS} | took)
    write_records("peers", records)


if __name__ == "__main__":
    main()
