"""How near to the rings other libraries come in thirty CPU-seconds, beside ours in the same seconds.

Each model is trained until the seconds are over, on fresh points of the rings out of a million, and is
judged at 5, 10, 20 and 30 of them; drawing the points counts, judging does not. Where a recipe lets the
learning rate fall, it falls over the thirty seconds. Two kinds of recipe:

"as documented": the model, the batch, the optimizer and the constant rate of the library's own examples in
the plane. zuko's are a neural spline flow of three autoregressive layers; normflows' are autoregressive
splines between learned linear maps, here four of the sixteen, as thirty seconds are too few for more;
torchcfm's are a small network with pairs by optimal transport.

"with our tricks": what makes ours fast, as far as the library lets one say it. In zuko all of it: two
couplings, waves, 24 bins on the box, noise uniform on the box, batches of 2,048, warm-up and cosine, one
joined update. In nflows all but the noise. In torchcfm the velocity field of the book, and times near 1 drawn
more often.

One seed each, so a difference of a few hundredths of a nat says nothing.

python -m bench.peer_quality
"""

import time
import warnings
from collections.abc import Callable, Iterator
from functools import partial
from importlib.util import find_spec
from typing import NamedTuple

import normflows
import torch
import zuko
from torch import Tensor, nn

from bench.peers_spline import REACH, spline_in_nflows, spline_in_zuko
from bench.result_files import write_records
from bench.turns import machine
from helpers import metrics, ode
from helpers.flows import spline_flow
from helpers.matching import VelocityField, independent_pairs, matching_loss, spread_times
from helpers.rings import OlympicRings
from helpers.training import as_one, learning_rate

MARKS = (5, 10, 20, 30)  # CPU-seconds at which a model is judged
POINTS, JUDGED, FIELD_JUDGED = 1_000_000, 50_000, 10_000  # a field's densities are what costs
LATE, SOLVER = 2.0, 20  # of the field: times near 1; steps of RK4


class Candidate(NamedTuple):
    """A model, and how it is trained.

    Attributes:
        module: what is trained.
        loss: of a batch.
        log_prob: the log-density in nats.
        batch: how many points a step sees.
        optimizer: from the parameters; its rate is `peak` where the rate falls.
        peak: the highest rate of a warm-up and a cosine, with clipping and one joined update; None for a
            constant rate and nothing else.
        judged: how many points it is judged on.
    """

    module: nn.Module
    loss: Callable[[Tensor], Tensor]
    log_prob: Callable[[Tensor], Tensor]
    batch: int
    optimizer: Callable[[list[nn.Parameter]], torch.optim.Optimizer]
    peak: float | None
    judged: int = JUDGED


def by_likelihood(module: nn.Module, log_prob: Callable[[Tensor], Tensor], **how: object) -> Candidate:
    """A candidate that is trained by the likelihood of the points."""
    return Candidate(module, lambda x: -log_prob(x).mean(), log_prob, **how)


def by_matching(field: nn.Module, loss: Callable[[Tensor], Tensor], **how: object) -> Candidate:
    """A candidate that is trained by flow matching."""
    return Candidate(field, loss, lambda x: ode.log_prob(field, x, SOLVER), judged=FIELD_JUDGED, **how)


ADAM = torch.optim.Adam
OF_SPLINES = {"batch": 2048, "optimizer": partial(ADAM, fused=True), "peak": 1e-2}
OF_FIELDS = {"batch": 512, "optimizer": partial(ADAM, fused=True), "peak": 6e-3}


def our_spline() -> Candidate:
    """The spline flow of the book."""
    flow = spline_flow()
    return by_likelihood(flow, flow.log_prob, **OF_SPLINES)


def our_field() -> Candidate:
    """The velocity field of the book, on independent pairs."""
    field = VelocityField()
    return by_matching(field, lambda x: matching_loss(field, *independent_pairs(x), late=LATE), **OF_FIELDS)


def zuko_as_documented() -> Candidate:
    """The neural spline flow of its tutorial."""
    flow = zuko.flows.NSF(2, transforms=3, hidden_features=(64, 64))
    return by_likelihood(
        flow, lambda x: flow().log_prob(x), batch=64, optimizer=partial(ADAM, lr=1e-3), peak=None
    )


def zuko_with_tricks() -> Candidate:
    """Our spline flow in it, its noise uniform on the box and a rounding more."""
    edge = torch.full((2,), REACH + 1e-5)
    noise = zuko.lazy.UnconditionalDistribution(zuko.distributions.BoxUniform, -edge, edge, buffer=True)
    flow = zuko.flows.Flow(spline_in_zuko().module.transform, noise)
    return by_likelihood(flow, lambda x: flow().log_prob(x), **OF_SPLINES)


def normflows_as_documented() -> Candidate:
    """Four of its autoregressive splines, with its own networks, and linear maps between."""
    layers: list[nn.Module] = []
    for _ in range(4):
        layers.append(
            normflows.flows.AutoregressiveRationalQuadraticSpline(2, num_blocks=2, num_hidden_channels=128)
        )
        layers.append(normflows.flows.LULinearPermute(2))
    flow = normflows.NormalizingFlow(normflows.distributions.DiagGaussian(2, trainable=False), layers)
    adam = partial(ADAM, lr=1e-3, weight_decay=1e-5)
    return by_likelihood(flow, flow.log_prob, batch=512, optimizer=adam, peak=None)


def nflows_with_tricks() -> Candidate:
    """Our spline flow in it, its noise N(0, I)."""
    flow = spline_in_nflows()
    return by_likelihood(flow.module, flow.log_prob, **OF_SPLINES)


class OfPointsAndTime(nn.Module):
    """The network of torchcfm's examples, which sees points and time in one row, as a field."""

    def __init__(self) -> None:
        super().__init__()
        from torchcfm.models import MLP

        self.network = MLP(dim=2, time_varying=True)

    def forward(self, x: Tensor, t: Tensor, context: None = None) -> Tensor:
        """The velocity at x and t."""
        return self.network(torch.cat([x, t.expand(len(x))[:, None]], dim=1))


def torchcfm_as_documented() -> Candidate:
    """Its small network, and pairs by optimal transport within a batch."""
    from torchcfm.conditional_flow_matching import ExactOptimalTransportConditionalFlowMatcher

    matcher, field = ExactOptimalTransportConditionalFlowMatcher(sigma=0.0), OfPointsAndTime()

    def loss(x1: Tensor) -> Tensor:
        t, xt, ut = matcher.sample_location_and_conditional_flow(torch.randn_like(x1), x1)
        return torch.mean((field(xt, t) - ut) ** 2)

    return by_matching(field, loss, batch=256, optimizer=ADAM, peak=None)


def torchcfm_with_tricks() -> Candidate:
    """The velocity field of the book, on independent pairs of its matcher."""
    from torchcfm.conditional_flow_matching import ConditionalFlowMatcher

    matcher, field = ConditionalFlowMatcher(sigma=0.0), VelocityField()

    def loss(x1: Tensor) -> Tensor:
        t = spread_times(len(x1), LATE).to(x1)
        t, xt, ut = matcher.sample_location_and_conditional_flow(torch.randn_like(x1), x1, t)
        return torch.sum((field(xt, t) - ut) ** 2, dim=1).mean()

    return by_matching(field, loss, **OF_FIELDS)


CANDIDATES: dict[str, Callable[[], Candidate]] = {
    "ours, spline flow": our_spline,
    "zuko, as documented": zuko_as_documented,
    "zuko, with our tricks": zuko_with_tricks,
    "normflows, as documented": normflows_as_documented,
    "nflows, with our tricks": nflows_with_tricks,
    "ours, flow matching": our_field,
    "torchcfm, as documented": torchcfm_as_documented,
    "torchcfm, with our tricks": torchcfm_with_tricks,
}


def train_by_clock(
    candidate: Candidate,
    data: Tensor,
    started: float,
    marks: tuple[float, ...],
    clock: Callable[[], float] = time.process_time,
) -> Iterator[tuple[float, int]]:
    """Train until each mark in turn, and yield it with the number of steps so far.

    The seconds count from `started`, on the clock that showed it; what happens before the next is asked for
    does not count.
    """
    module, peak, steps = candidate.module, candidate.peak, 0
    parameters = list(module.parameters()) if peak is None else [as_one(list(module.parameters()))]
    optimizer = candidate.optimizer(parameters)
    for mark in marks:
        while (spent := clock() - started) < mark:
            loss = candidate.loss(data[torch.randint(len(data), (candidate.batch,))])
            optimizer.zero_grad(set_to_none=peak is None)
            loss.backward()
            if peak is not None:
                nn.utils.clip_grad_norm_(parameters, 1.0)
                optimizer.param_groups[0]["lr"] = learning_rate(int(1e3 * spent), int(1e3 * marks[-1]), peak)
            optimizer.step()
            steps += 1
        paused = clock()
        yield mark, steps
        started += clock() - paused


def measure_quality(name: str, seed: int = 0, marks: tuple[float, ...] = MARKS) -> dict[str, object]:
    """Train a candidate for as many CPU-seconds as the last mark says, and judge it at every mark."""
    torch.manual_seed(seed)
    rings = OlympicRings()
    fresh = rings.sample(JUDGED)[0]
    started = time.process_time()
    data = rings.sample(POINTS)[0]
    candidate = CANDIDATES[name]()
    trace = []
    for mark, steps in train_by_clock(candidate, data, started, marks):
        kl = metrics.kl_to_truth(candidate.log_prob, fresh[: candidate.judged])
        trace.append({"cpu_seconds": mark, "kl": kl.value, "kl_se": kl.stderr, "steps": steps})
    return {
        "model": name,
        "seed": seed,
        "parameters": sum(p.numel() for p in candidate.module.parameters()),
        "trace": trace,
    }


def main() -> None:
    """Measure every candidate whose library is here, one after the other, and write the records."""
    torch.set_num_threads(1)
    warnings.filterwarnings("ignore", message="Inputs to the softmax")  # a word at every call
    records: list[dict[str, object]] = [{"machine": machine()}]
    for name in CANDIDATES:
        library = name.split(",")[0]
        if library == "torchcfm" and not find_spec(library):
            continue
        records.append(measure_quality(name))
        told = ", ".join(f"{at['cpu_seconds']} s {at['kl']:.3f}" for at in records[-1]["trace"])
        print(f"{name}: {told}", flush=True)
    write_records("peer_quality", records)


if __name__ == "__main__":
    main()
