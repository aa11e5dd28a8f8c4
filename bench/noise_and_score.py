"""Samples with noise and the loss in nats: three fields of Chapter 8 from three seeds.

python -m bench.noise_and_score

Each field is trained as in Chapter 8 and judged at t = 0.95: the divergence without noise, by its own
density; the bound for samples with noise, which is the excess of its loss with the weight t / (1 - t); and
samples made up to 0.98 at several levels of noise, as one sees them through the blur of 0.95. The same for
what a network predicts: velocity, noise on the schedule of DDPM, or data, each trained for 2,500 steps. What
a crowd of the path's own points shows there is noted beside it. What has been measured is not measured again.
"""

import math
import time
from collections.abc import Callable

import torch
from torch import Tensor, nn

from bench.result_files import RESULTS, read_records, write_records
from helpers.matching import VelocityField, independent_pairs, matching_loss, spread_times
from helpers.ode import integrate, log_prob
from helpers.path import RingsPath
from helpers.rings import OlympicRings
from helpers.schedules import VARIANCE_PRESERVING
from helpers.sde import diffuse
from helpers.training import fit

SEEDS = range(3)
CROWD, JUDGED, LATE, SEEN = 30_000, 2000, 0.98, 0.95
LEVELS = (0.5, 1.0)
PATH = RingsPath(OlympicRings())

Field = Callable[..., Tensor]


class PreservingNoise(nn.Module):
    """The body of a velocity field that guesses the noise, from points and times of DDPM's schedule."""

    def __init__(self) -> None:
        super().__init__()
        self.body = VelocityField()

    def forward(self, y: Tensor, r: Tensor) -> Tensor:
        """The guess of the noise in y at the own time r."""
        return -self.body(y, 1 - r)

    def velocity(self, x: Tensor, t: Tensor, context: None = None) -> Tensor:
        """The velocity of the straight path; before its first time that of the first."""
        t = torch.as_tensor(t, dtype=x.dtype).clamp(min=float(VARIANCE_PRESERVING.time(1.0)))
        r = VARIANCE_PRESERVING.own_time(t)
        at = VARIANCE_PRESERVING.at(r)
        scale = (at.alpha + at.sigma).to(x)[..., None]
        return (x - self(scale * x, r.to(x.dtype))) / t[..., None]


def noise_loss(network: PreservingNoise, x1: Tensor) -> Tensor:
    """DDPM's: the squared error of the guess at times that are even on its schedule."""
    r, x0 = spread_times(len(x1)), torch.randn_like(x1)
    at = VARIANCE_PRESERVING.at(r)
    y = at.alpha.float()[:, None] * x1 + at.sigma.float()[:, None] * x0
    return (x0 - network(y, r)).square().sum(1).mean()


def data_guess_loss(network: VelocityField, x1: Tensor) -> Tensor:
    """The squared error of a guess of the data at the times of Chapter 8."""
    x0, t = torch.randn_like(x1), spread_times(len(x1), late=2.0)
    xt = x0 + t[:, None] * (x1 - x0)
    return (x1 - network(xt, t)).square().sum(1).mean()


def trained(kind: str, seed: int) -> tuple[Field, float]:
    """A field of the straight path, and the CPU-seconds of its training."""
    torch.manual_seed(seed)
    data, _ = OlympicRings().sample(200_000)
    network = PreservingNoise() if kind == "noise" else VelocityField()
    losses = {"noise": noise_loss, "data": data_guess_loss}

    def loss(x1: Tensor) -> Tensor:
        if kind in losses:
            return losses[kind](network, x1)
        return matching_loss(network, *independent_pairs(x1), late=2.0)

    started = time.process_time()
    steps = 9000 if kind == "velocity, 9,000 steps" else 2500
    fit(network, loss, data, steps=steps, batch_size=512, peak=6e-3)
    network.requires_grad_(False)
    seconds = time.process_time() - started
    if kind == "noise":
        return network.velocity, seconds
    if kind == "data":
        return lambda x, t, context=None: (network(x, t) - x) / (1 - t), seconds
    return network, seconds


def mean_divergence(log_ratio: Tensor) -> tuple[float, float]:
    """KL from log p - log q at points of p, by terms that are never negative; and its standard error."""
    terms = log_ratio + (-log_ratio).exp() - 1
    return float(terms.mean()), float(terms.std()) / math.sqrt(len(terms))


def without_noise(field: Field) -> tuple[float, float]:
    """KL at t = 0.95 of the field's own density."""
    x = PATH.sample(JUDGED, SEEN)[0]
    back = 1 - torch.linspace(0, 1, 33, dtype=torch.float64) ** 2
    log_q = log_prob(lambda x, t, context: SEEN * field(x, SEEN * t), x, back)
    return mean_divergence(PATH.log_prob(x.double(), SEEN) - log_q.double())


def weighted_excess(field: Field, until: float, times: int = 40) -> float:
    """The bound with noise: the integral of t E|v - u|^2 over the logarithm of the blur."""
    shrunk = torch.linspace(0, -math.log(1 - until), times, dtype=torch.float64)[1:]
    rates = []
    for t in (1 - torch.exp(-shrunk)).tolist():
        x = PATH.sample(4000, t)[0]
        gap = field(x, torch.tensor(t)) - PATH.velocity(x, t)
        rates.append(t * float(gap.square().sum(1).mean()))
    return float(torch.trapezoid(torch.tensor([0.0, *rates]), torch.cat([torch.zeros(1), shrunk])))


def seen_through_blur(samples: Tensor) -> tuple[float, float]:
    """KL at 0.95 of samples made up to 0.98, by bells of the known width about each."""
    width = SEEN * math.sqrt(((1 - SEEN) / SEEN) ** 2 - ((1 - LATE) / LATE) ** 2)
    x, centres = PATH.sample(JUDGED, SEEN)[0], samples * SEEN / LATE
    gaps = [-torch.cdist(part, centres).square() / (2 * width**2) for part in x.split(100)]
    log_q = torch.cat([gap.logsumexp(1) for gap in gaps]).double()
    log_q = log_q - math.log(len(samples) * 2 * math.pi * width**2)
    return mean_divergence(PATH.log_prob(x.double(), SEEN) - log_q)


def even_ratios(steps: int) -> Tensor:
    """Times from 0 to 0.98 with equal factors between the ratios of noise to data."""
    last = (1 - LATE) / LATE
    eta = last * (20 / last) ** torch.linspace(1, 0, steps, dtype=torch.float64)
    return torch.cat([torch.zeros(1, dtype=torch.float64), 1 / (1 + eta)])


def record(kind: str, seed: int) -> dict[str, object]:
    """Train and judge one field."""
    field, seconds = trained(kind, seed)
    torch.manual_seed(1_000_000 + seed)
    kl, kl_se = without_noise(field)
    noise = torch.randn(CROWD, 2)
    seen = {
        "the path itself": PATH.sample(CROWD, LATE)[0],
        "level 0": integrate(field, noise, 32, "midpoint", t1=LATE),
        **{f"level {level:g}": diffuse(field, noise, even_ratios(240), level) for level in LEVELS},
    }
    return {
        "kind": kind,
        "seed": seed,
        "cpu_seconds": round(seconds, 1),
        "kl_without_noise": round(kl, 4),
        "kl_se": round(kl_se, 4),
        "bound_095": round(weighted_excess(field, SEEN), 4),
        "bound_098": round(weighted_excess(field, LATE), 4),
        "seen": {name: round(seen_through_blur(samples)[0], 4) for name, samples in seen.items()},
    }


def main() -> None:
    """Measure what is missing, and write the records as they come."""
    records = read_records("noise_and_score") if (RESULTS / "noise_and_score.json").exists() else []
    measured = {(one["kind"], one["seed"]) for one in records}
    for seed in SEEDS:
        for kind in ("velocity, 9,000 steps", "velocity", "noise", "data"):
            if (kind, seed) not in measured:
                records.append(record(kind, seed))
                print(records[-1], flush=True)
                write_records("noise_and_score", records)


if __name__ == "__main__":
    main()
