"""The spline flow of the book, beside the same flow built in normflows, in nflows and in zuko.

Two couplings in two dimensions, whose rational-quadratic splines have 24 bins on the same box; the network of
the one next to the data has width 64 and sees sixteen waves of its coordinate, that of the other has half of
both: the same modules in all four. The noise is N(0, I), since nflows has no uniform noise for a flow.
Measured are a training step, the density without a gradient, and sampling, of 256 points and of 2,048, with
which the book trains. All four write the spline from data to noise, so that sampling pays for the root.

What differs is how numbers become a slope: a softplus of them in nflows and normflows, an exponential in ours
and in zuko; and what is the smallest bin: each keeps its own. normflows and nflows would scale the numbers
down where the network says how wide it is; ours does not say.

python -m bench.peers_spline
"""

import warnings
from functools import partial

import normflows
import torch
import zuko
from glasflow.nflows import flows as nflows
from glasflow.nflows.distributions import StandardNormal
from glasflow.nflows.transforms import CompositeTransform, PiecewiseRationalQuadraticCouplingTransform
from torch import nn

from bench.peers import Conditioner, Flow, flow_works, note_peers, peer_records
from bench.turns import parse_device
from helpers.flows import NormalizingFlow, spline_flow

BINS, REACH, DEPTH = 24, 2.5, 2
NETWORKS = [(64, 16), (32, 8)]  # from data to noise: the width, and how many waves
BATCHES = (256, 2048)
MASKS = [(0, 1), (1, 0)]  # from data to noise: 1 for what moves
TAILS = {"num_bins": BINS, "tails": "linear", "tail_bound": REACH}


def conditioners() -> list[Conditioner]:
    """From data to noise, the network of each coupling."""
    return [Conditioner(waves, REACH, width, DEPTH, outputs=3 * BINS - 1) for width, waves in NETWORKS]


def spline_in_ours() -> Flow:
    """The couplings of the book."""
    flow = NormalizingFlow(list(spline_flow(reach=REACH, bins=BINS, depth=DEPTH).layers))
    return Flow(flow, flow.log_prob, flow.sample)


def spline_in_normflows() -> Flow:
    """Its couplings, turned round as its own wrapper does, so that the spline runs from data to noise."""
    layers: list[nn.Module] = []
    for mask, network in zip(MASKS, conditioners()):
        coupling = normflows.flows.neural_spline.coupling.PiecewiseRationalQuadraticCoupling(
            torch.tensor(mask), lambda *_, network=network: network, **TAILS
        )
        layers.insert(0, normflows.flows.Reverse(coupling))
    flow = normflows.NormalizingFlow(normflows.distributions.DiagGaussian(2, trainable=False), layers)
    return Flow(flow, flow.log_prob, lambda n: flow.sample(n)[0])


def spline_in_nflows() -> Flow:
    """Its transforms run from data to noise."""
    layers = [
        PiecewiseRationalQuadraticCouplingTransform(mask, lambda *_, network=network: network, **TAILS)
        for mask, network in zip(MASKS, conditioners())
    ]
    flow = nflows.Flow(CompositeTransform(layers), StandardNormal([2]))
    return Flow(flow, flow.log_prob, flow.sample)


def spline_in_zuko() -> Flow:
    """Its transforms run from data to noise, and its masks say what is kept."""
    layers = []
    for mask, network in zip(MASKS, conditioners()):
        layer = zuko.flows.GeneralCouplingTransform(
            2,
            mask=torch.tensor(mask) == 0,
            univariate=partial(zuko.transforms.MonotonicRQSTransform, bound=REACH),
            shapes=[(BINS,), (BINS,), (BINS - 1,)],
        )
        layer.hyper = network
        layers.append(layer)
    noise = zuko.flows.UnconditionalDistribution(
        zuko.distributions.DiagNormal, torch.zeros(2), torch.ones(2), buffer=True
    )
    flow = zuko.flows.Flow(layers, noise)
    return Flow(flow, lambda x: flow().log_prob(x), lambda n: flow().sample((n,)))


SPLINE_LIBRARIES = {
    "ours": spline_in_ours,
    "normflows": spline_in_normflows,
    "nflows": spline_in_nflows,
    "zuko": spline_in_zuko,
}


def spline_peers(device: str = "cpu") -> None:
    """Measure all tasks at both batches, and write the records."""
    records = []
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Inputs to the softmax")  # a word at every call
        for batch in BATCHES:
            works = {name: flow_works(build(), batch, device) for name, build in SPLINE_LIBRARIES.items()}
            records += peer_records(f"{batch:,} points", works, device)
    note_peers("peers_spline", records, device)


if __name__ == "__main__":
    spline_peers(parse_device(__doc__))
