"""The affine flow of the book, beside the same flow built in normflows, in nflows and in zuko.

Twelve couplings in two dimensions, each with one network of two hidden layers of width 32 that gives
scale and shift: the same modules in all four, once with the kept coordinate alone for their input, and
once with four waves of it as well. Measured are a training step, the density without a gradient, and
sampling, of 256 points each.

What cannot be made equal is how each keeps the scale within bounds, so each does it in its own way: ours by a
tanh, nflows by a sigmoid, zuko by a rational function, normflows not at all. And where we and normflows swap
the coordinates, the masks of nflows and of zuko alternate.

nflows is measured as the fork that comes with glasflow: its couplings are those of nflows 0.14, line by
line, and it needs no more than torch and numpy.

python -m bench.peers_affine
"""

import normflows
import zuko
from glasflow.nflows import flows as nflows
from glasflow.nflows.distributions import StandardNormal
from glasflow.nflows.transforms import AffineCouplingTransform, CompositeTransform

from bench.peers import Conditioner, Flow, flow_works, note_peers, peer_records
from bench.turns import parse_device
from helpers.flows import affine_flow

COUPLINGS, HIDDEN, DEPTH, BATCH = 12, 32, 2, 256
REACH = 3.0  # half the period of the longest wave, as in the book's couplings
INPUTS = {"the coordinate": 0, "the coordinate and four waves of it": 4}  # of the networks: how many waves


def conditioner(frequencies: int) -> Conditioner:
    """Two numbers for each kept coordinate: scale and shift, in whichever order they are taken."""
    return Conditioner(frequencies, REACH, HIDDEN, DEPTH, outputs=2)


def ours(frequencies: int) -> Flow:
    """The flow of the book."""
    flow = affine_flow(couplings=COUPLINGS, hidden=HIDDEN, depth=DEPTH, frequencies=frequencies)
    return Flow(flow, flow.log_prob, flow.sample)


def in_normflows(frequencies: int) -> Flow:
    """Its blocks split, move and merge; its scale is the exponential of what the network says."""
    layers = []
    for _ in range(COUPLINGS):
        layers.append(normflows.flows.AffineCouplingBlock(conditioner(frequencies)))
        layers.append(normflows.flows.Permute(2, mode="swap"))
    flow = normflows.NormalizingFlow(normflows.distributions.DiagGaussian(2, trainable=False), layers)
    return Flow(flow, flow.log_prob, lambda n: flow.sample(n)[0])


def in_nflows(frequencies: int) -> Flow:
    """Its transforms run from data to noise, and masks say what moves."""
    masks = [(1, 0) if k % 2 else (0, 1) for k in range(COUPLINGS)]
    layers = [AffineCouplingTransform(mask, lambda *_: conditioner(frequencies)) for mask in masks]
    flow = nflows.Flow(CompositeTransform(layers), StandardNormal([2]))
    return Flow(flow, flow.log_prob, flow.sample)


def in_zuko(frequencies: int) -> Flow:
    """Its flow builds a distribution at every call."""
    flow = zuko.flows.NICE(2, transforms=COUPLINGS, hidden_features=(HIDDEN,) * DEPTH)
    for layer in flow.transform.transforms:
        layer.hyper = conditioner(frequencies)
    return Flow(flow, lambda x: flow().log_prob(x), lambda n: flow().sample((n,)))


LIBRARIES = {"ours": ours, "normflows": in_normflows, "nflows": in_nflows, "zuko": in_zuko}


def affine_peers(device: str = "cpu") -> None:
    """Measure all tasks with both inputs, and write the records."""
    records = []
    for told, frequencies in INPUTS.items():
        works = {name: flow_works(build(frequencies), BATCH, device) for name, build in LIBRARIES.items()}
        records += peer_records(f"networks see {told}, {BATCH} points", works, device)
    note_peers("peers_affine", records, device)


if __name__ == "__main__":
    affine_peers(parse_device(__doc__))
