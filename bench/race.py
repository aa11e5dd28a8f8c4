"""The race of Chapter 21: every model of the book and of the libraries beside it, judged in one way.

Each is trained for about thirty CPU-seconds, those with a teacher for about as long once more, and judged by
the same 50,000 fresh points, or the first 10,000 where a density is the work of a solver. A model that is
told the ring is judged by the densities of its classes. Sampling and densities are timed on the way, in
batches of 10,000 points, of which the fastest counts.

Fields sample by 8 steps of the midpoint method, which is 16 calls of the network, and by the same steps go
back home; their densities take 20 steps of RK4. The reflowed field samples by one step of Euler; its density
is still that of the field which is followed in small steps. torchcfm has no solver, so ours carries its
fields. A pass through a normalizing flow counts as one call, though zuko's autoregressive layers ask their
networks twice on the way to the data.

The peers are the recipes of `bench.peer_quality`; a library that is not installed is left out. Of torchcfm
the package alone is enough: `pip install --no-deps torchcfm`. What has been measured is not measured again.

python -m bench.race                  all that is missing
python -m bench.race --device cuda    on a GPU, where there is one: by the clock, in a record of its own
python -m bench.race --share 0.01     a trial with a hundredth of the training, which writes no record
"""

import argparse
import itertools
import os
import statistics
import time
import warnings
from collections.abc import Callable
from functools import partial
from importlib.util import find_spec
from typing import NamedTuple

import torch
from torch import Tensor, nn

from bench import one_step, peer_quality, straight_paths
from bench.affine import STEPS as AFFINE_STEPS
from bench.affine import train_affine
from bench.matching import train_matching
from bench.one_step import measure_teacher, train_map
from bench.peer_quality import train_by_clock
from bench.peers import PACKAGES
from bench.result_files import RESULTS, read_records, write_records
from bench.spline import STEPS as SPLINE_STEPS
from bench.spline import train_spline
from bench.straight_paths import train_on_pairs
from bench.turns import machine, version_of
from helpers import metrics, ode
from helpers.flow_maps import FlowMap
from helpers.rings import OlympicRings

SEEDS = range(3)
JUDGED, BATCH, SLICED = 50_000, 10_000, 10_000
FRESH = 5_000_000  # the seed of the points that all are judged by
FIELD_STEPS = 15_000  # of training, on independent pairs, without classes and with them
SECONDS = 30.0  # of a peer's training
SOLVER, SOLVER_STEPS, DENSITY_STEPS = "midpoint", 8, 20
CALLS = {"euler": 1, "midpoint": 2, "rk4": 4}  # of the network, in a step

Told = Tensor | None
Clock = Callable[[], float]


class Racer(NamedTuple):
    """A trained model, by what it can do; a thing that it cannot do is None.

    Attributes:
        sample: n points, told their rings or not.
        log_prob: the log-density in nats.
        home: from the data to the noise.
        out: from the noise to the data, by the way that `sample` takes.
    """

    sample: Callable[[int, Told], Tensor]
    log_prob: Callable[[Tensor, Told], Tensor] | None = None
    home: Callable[[Tensor, Told], Tensor] | None = None
    out: Callable[[Tensor, Told], Tensor] | None = None


class Contestant(NamedTuple):
    """A row of the race.

    Attributes:
        family: "normalizing flow", "flow matching" or "flow map".
        library: whose it is; "ours" is the book's.
        training: its key in `TRAININGS`, or in the candidates of `bench.peer_quality`.
        racer: what the trained module can do.
        calls: of the network, for a sample.
        density_calls: of the network, for a density; None where there is none.
        told: "nothing" or "the ring".
    """

    family: str
    library: str
    training: str
    racer: Callable[[nn.Module], Racer]
    calls: int = 1
    density_calls: int | None = 1
    told: str = "nothing"


def share_of(steps: int, share: float) -> int:
    """A share of so many steps, at least one."""
    return max(1, round(share * steps))


def train_transport(seed: int, share: float) -> nn.Module:
    """The field of Chapter 17 on pairs of least distance within blocks."""
    torch.manual_seed(seed)
    name = "transport pairs"
    return train_on_pairs(name, steps=share_of(straight_paths.MODELS[name][1], share))


def train_reflowed(seed: int, share: float) -> nn.Module:
    """Its field on the ends of a teacher, which is trained first."""
    teacher = None
    for name in ("independent pairs", "reflowed"):
        torch.manual_seed(seed)
        teacher = train_on_pairs(name, teacher, steps=share_of(straight_paths.MODELS[name][1], share))
    return teacher


def train_best_map(seed: int, share: float) -> nn.Module:
    """The best flow map of Chapter 18, on ways of a teacher, which is trained first."""
    row = next(row for row in one_step.PLAN if row.equation == "solved ways, best")
    steps = share_of(one_step.TEACHERS[row.teacher], share)
    teacher, _ = measure_teacher(row.teacher, seed, steps)
    row = row._replace(steps=share_of(row.steps, share), ways=max(one_step.BATCH, share_of(row.ways, share)))
    return train_map(row, seed, teacher)[0]


def train_our_spline(seed: int, share: float, classes: int) -> nn.Module:
    """The spline flow, told nothing or told the ring."""
    return train_spline(seed, classes, share_of(SPLINE_STEPS[classes], share), looks=0)[0]


def train_our_field(seed: int, share: float, name: str) -> nn.Module:
    """The velocity field on independent pairs, told nothing or told the ring."""
    return train_matching(seed, name, share_of(FIELD_STEPS, share), looks=0)[0]


TRAININGS: dict[str, Callable[[int, float], nn.Module]] = {  # from a seed and a share of the training
    "affine flow": lambda seed, share: train_affine(seed, share_of(AFFINE_STEPS, share), looks=0)[0],
    "spline flow": partial(train_our_spline, classes=0),
    "spline flow by class": partial(train_our_spline, classes=5),
    "flow matching": partial(train_our_field, name="flow matching"),
    "flow matching by class": partial(train_our_field, name="flow matching by class"),
    "transport pairs": train_transport,
    "reflowed": train_reflowed,
    "solved ways": train_best_map,
}


def train_peer(name: str, seed: int, share: float, device: str) -> nn.Module:
    """Train a candidate of `bench.peer_quality` until its seconds are over, the drawing of data included."""
    torch.manual_seed(seed)
    candidate = peer_quality.CANDIDATES[name]()  # before the clock starts, as it may import its library
    candidate.module.to(device)
    clock = clock_of(device)
    started = clock()
    data = OlympicRings().sample(peer_quality.POINTS)[0].to(device)
    for _ in train_by_clock(candidate, data, started, (share * SECONDS,), clock):
        pass
    return candidate.module


def as_our_flow(flow: nn.Module) -> Racer:
    """A normalizing flow of the book."""
    return Racer(
        flow.sample, flow.log_prob, lambda x, ring: flow.inverse(x, ring)[0], lambda z, ring: flow(z, ring)[0]
    )


def as_zuko_flow(flow: nn.Module) -> Racer:
    """A flow of zuko, whose transform leads from data to noise."""
    return Racer(
        lambda n, ring: flow().sample((n,)),
        lambda x, ring: flow().log_prob(x),
        lambda x, ring: flow().transform(x),
        lambda z, ring: flow().transform.inv(z),
    )


def as_normflows_flow(flow: nn.Module) -> Racer:
    """A flow of normflows, which leads from noise to data."""
    return Racer(
        lambda n, ring: flow.sample(n)[0],
        lambda x, ring: flow.log_prob(x),
        lambda x, ring: flow.inverse(x),
        lambda z, ring: flow(z),
    )


def as_nflows_flow(flow: nn.Module) -> Racer:
    """A flow of nflows, which shows only the way to the noise; the way back is its samples'."""
    return Racer(
        lambda n, ring: flow.sample(n),
        lambda x, ring: flow.log_prob(x),
        lambda x, ring: flow.transform_to_noise(x),
        lambda z, ring: flow._transform.inverse(z)[0],
    )


def as_field(field: nn.Module, steps: int = SOLVER_STEPS, method: str = SOLVER) -> Racer:
    """A velocity field of whatever library, carried by our solver."""
    device = next(field.parameters()).device

    def out(z: Tensor, ring: Told) -> Tensor:
        return ode.integrate(field, z, steps, method, context=ring)

    return Racer(
        lambda n, ring: out(torch.randn(n, 2).to(device), ring),
        lambda x, ring: ode.log_prob(field, x, DENSITY_STEPS, context=ring),
        lambda x, ring: ode.integrate(field, x, steps, method, t0=1.0, t1=0.0, context=ring),
        out,
    )


def as_map(flow_map: FlowMap, steps: int) -> Racer:
    """A flow map, which has no density, and no way home that it was trained for."""
    device = next(flow_map.parameters()).device
    return Racer(lambda n, ring: flow_map.carry(torch.randn(n, 2).to(device), steps))


FLOW = ("normalizing flow", "ours")
OF_FIELDS = {
    "racer": as_field,
    "calls": SOLVER_STEPS * CALLS[SOLVER],
    "density_calls": DENSITY_STEPS * CALLS["rk4"],
}
FIELD = partial(Contestant, "flow matching", **OF_FIELDS)
ONE_CALL = {"racer": partial(as_field, steps=1, method="euler"), "calls": 1}
MAP = partial(Contestant, "flow map", "ours", "solved ways", density_calls=None)
CONTESTANTS: dict[str, Contestant] = {
    "affine flow": Contestant(*FLOW, "affine flow", as_our_flow),
    "spline flow": Contestant(*FLOW, "spline flow", as_our_flow),
    "spline flow by class": Contestant(*FLOW, "spline flow by class", as_our_flow, told="the ring"),
    "flow matching": FIELD("ours", "flow matching"),
    "flow matching by class": FIELD("ours", "flow matching by class", told="the ring"),
    "flow matching, transport pairs": FIELD("ours", "transport pairs"),
    "reflowed, one step": FIELD("ours", "reflowed", **ONE_CALL),
    "flow map, one step": MAP(partial(as_map, steps=1), calls=1),
    "flow map, two steps": MAP(partial(as_map, steps=2), calls=2),
    **{
        name: Contestant("normalizing flow", name.split(",")[0], name, racer)
        for name, racer in (
            ("zuko, as documented", as_zuko_flow),
            ("zuko, with our tricks", as_zuko_flow),
            ("normflows, as documented", as_normflows_flow),
            ("nflows, with our tricks", as_nflows_flow),
        )
    },
    **{name: FIELD("torchcfm", name) for name in ("torchcfm, as documented", "torchcfm, with our tricks")},
}


def clock_of(device: str) -> Clock:
    """CPU-seconds of the process; on a GPU the clock's, once the device is idle."""

    def on_gpu() -> float:
        torch.cuda.synchronize(device)
        return time.perf_counter()

    return time.process_time if device == "cpu" else on_gpu


class FreshPoints:
    """The points that all are judged by, and the distance of data from other data."""

    def __init__(self) -> None:
        torch.manual_seed(FRESH)
        rings = OlympicRings()
        self.x, self.ring = rings.sample(JUDGED)
        other, _ = rings.sample(JUDGED)
        self.sets = self.x.split(SLICED)
        pairs = itertools.product(self.sets, other.split(SLICED))
        self.floor = statistics.fmean(metrics.sliced_wasserstein(x, y) for x, y in pairs)

    def over_floor(self, drawn: Tensor) -> float:
        """The mean sliced distance of the samples from the data, over its floor; each set meets two."""
        parts = drawn.split(SLICED)
        pairs = [(x, y) for turn in (0, 1) for x, y in zip(parts, self.sets[turn:] + self.sets[:turn])]
        return statistics.fmean(metrics.sliced_wasserstein(x, y) for x, y in pairs) / self.floor


def in_batches(
    work: Callable[[slice], Tensor], points: int, clock: Clock, warm_up: bool = True
) -> tuple[Tensor, float]:
    """What the work makes of batches of the points, on the CPU; and points a second in the fastest batch."""
    made, fastest = [], 0.0
    if warm_up:
        work(slice(0, min(BATCH, points)))
    for first in range(0, points, BATCH):
        rows = slice(first, min(first + BATCH, points))
        started = clock()
        made.append(work(rows))
        fastest = max(fastest, (rows.stop - rows.start) / max(clock() - started, 1e-9))
        made[-1] = made[-1].detach().cpu()
    return torch.cat(made), fastest


@torch.no_grad()
def judge_racer(
    racer: Racer, told: bool, integrated: bool, judge: FreshPoints, device: str
) -> dict[str, object]:
    """All that a record says of a trained model; `integrated` where its density is the work of a solver."""
    clock = clock_of(device)
    x, ring = judge.x.to(device), judge.ring.to(device) if told else None

    def of(rows: slice) -> Told:
        return None if ring is None else ring[rows]

    drawn, samples_a_second = in_batches(
        lambda rows: racer.sample(rows.stop - rows.start, of(rows)), JUDGED, clock
    )
    share = metrics.on_ring_share(drawn)
    found: dict[str, object] = {
        "samples_a_second": samples_a_second,
        "on_ring_share": share.value,
        "on_ring_share_se": share.stderr,
        "own_ring_share": metrics.on_ring_share(drawn, judge.ring).value if told else None,
        "over_floor": judge.over_floor(drawn),
    }
    found |= dict.fromkeys(("densities_a_second", "kl", "kl_se", "round_trip_median", "round_trip_99"))
    if racer.log_prob is not None:
        points = min(BATCH, JUDGED) if integrated else JUDGED
        log_q, found["densities_a_second"] = in_batches(
            lambda rows: racer.log_prob(x[rows], of(rows)), points, clock, warm_up=not integrated
        )
        labels = (judge.ring[:points],) if told else ()
        kl = metrics.kl_to_truth(lambda *_: log_q, judge.x[:points], *labels)
        found["kl"], found["kl_se"] = kl.value, kl.stderr
    if racer.home is not None:
        few = slice(0, min(BATCH, JUDGED))
        back = racer.out(racer.home(x[few], of(few)), of(few))
        error = (back - x[few]).norm(dim=1)
        found["round_trip_median"] = float(error.median())
        found["round_trip_99"] = float(error.quantile(0.99))
    return found


def measure_race(
    name: str,
    seed: int,
    judge: FreshPoints,
    share: float = 1.0,
    device: str = "cpu",
    trained: dict[tuple[str, int], tuple[nn.Module, float]] | None = None,
) -> dict[str, object]:
    """The record of one contestant from one seed; `trained` keeps modules for others with the same."""
    contestant, trained = CONTESTANTS[name], {} if trained is None else trained
    key = contestant.training, seed
    if key not in trained:
        trained.clear()  # one at a time is kept
        clock = clock_of(device)
        started = clock()
        if contestant.library == "ours":
            module = TRAININGS[contestant.training](seed, share)
        else:
            module = train_peer(contestant.training, seed, share, device)
        trained[key] = module, clock() - started
    module, seconds = trained[key]
    module.to(device).requires_grad_(False).eval()
    torch.manual_seed(FRESH + 1 + seed)
    integrated = contestant.family == "flow matching"
    found = judge_racer(contestant.racer(module), contestant.told == "the ring", integrated, judge, device)
    return {
        "name": name,
        "family": contestant.family,
        "library": contestant.library,
        "told": contestant.told,
        "seed": seed,
        "parameters": sum(p.numel() for p in module.parameters()),
        "train_seconds": seconds,
        "calls": contestant.calls,
        "density_calls": contestant.density_calls,
    } | {key: round_off(value) for key, value in found.items()}


def round_off(value: float | None) -> float | None:
    """To five digits, and nothing as nothing."""
    return None if value is None else float(f"{value:.5g}")


def races(installed: Callable[[str], object] = find_spec) -> list[tuple[str, int]]:
    """All contestants and seeds, in order: one seed of each, then ours again, then the peers."""
    here = {
        name: one.library == "ours"
        for name, one in CONTESTANTS.items()
        if one.library == "ours" or installed(PACKAGES[one.library])
    }
    every = [(name, seed) for seed in SEEDS for name in here]
    return sorted(every, key=lambda race: (race[1] > 0, race[1] > 0 and not here[race[0]], race[1]))


def about(device: str) -> dict[str, object]:
    """Where and with what the race is run."""
    return {"machine": machine(device), "versions": {name: version_of(PACKAGES[name]) for name in PACKAGES}}


def run_races(device: str = "cpu", share: float = 1.0) -> None:
    """Measure what is missing, and write the records as they come; a trial writes none."""
    os.environ["FIVE_RINGS_DEVICE"] = device  # where ours are trained
    torch.set_num_threads(1)
    torch.optim.Adam([torch.zeros(1, requires_grad=True)])  # torch's first one takes a second of its own
    warnings.filterwarnings("ignore", message="Inputs to the softmax")  # a word of nflows at every call
    file = "race" if device == "cpu" else f"race_{torch.device(device).type}"
    kept = (RESULTS / f"{file}.json").exists() and share == 1
    records = read_records(file) if kept else [about(device)]
    measured = {(one["name"], one["seed"]) for one in records if "name" in one}
    judge, trained = FreshPoints(), {}
    for name, seed in races():
        if (name, seed) in measured:
            continue
        records.append(measure_race(name, seed, judge, share, device, trained))
        print(records[-1], flush=True)
        if share == 1:
            write_records(file, records)


def main() -> None:
    """Measure all that is missing, on the CPU."""
    run_races()


if __name__ == "__main__":
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--device", default="cpu", help="cpu, or a GPU such as cuda")
    parser.add_argument("--share", type=float, default=1.0, help="of the training; below 1 for a trial")
    told = parser.parse_args()
    run_races(told.device, told.share)
