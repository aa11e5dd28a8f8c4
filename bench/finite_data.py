"""Both families on 50 to 100,000 points: loss, nats and copies; and what may keep a model from copying.

python -m bench.finite_data

Every run has one recipe, whatever the number of points, and a quarter as many points beside them are held out
(at least 50, at most 1,000), as a reader would hold them out; the truth judges with points of its own. Along
the training each run notes the loss on its own points and on those held out, the nats of the latter, and the
divergence from the truth. A flow-matching loss is taken as its floor plus the mean squared distance from the
exact field, which scatters far less than the loss itself: the field of its n points for the loss in training,
the field of the rings for the loss on fresh data.

The records: "run" (a model on n points), "kernel" (the exact field of n points, stopped early), "pairs" (how
far models on different data are apart).
"""

import itertools
import time
from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from bench.result_files import write_records
from helpers import metrics
from helpers.empirical import EmpiricalPath, copy_share
from helpers.flows import spline_flow
from helpers.matching import VelocityField, independent_pairs, matching_loss, spread_times
from helpers.ode import integrate, log_prob
from helpers.path import RingsPath
from helpers.rings import OlympicRings
from helpers.training import fit

SEEDS = range(3)
SIZES = (50, 200, 1000, 5000, 20_000, 100_000)
STEPS, BATCH, PEAK = 3000, 512, 6e-3
LOOKS = (100, 200, 300, 400, 500, 700, 1000, 1400, 1800, 2200, 2600, 3000)  # steps at which a run is judged
TRIED = 200  # points on which the remedies are tried
DECAY = 0.999  # of the averaged weights
# Times from 1 down to 0 for log-densities; 96 steps change a KL by about a hundredth of it.
BACK = 1 - torch.linspace(0, 1, 25, dtype=torch.float64) ** 2
FAMILIES = ("flow matching", "spline flow")
REMEDIES: dict[str, dict[str, dict[str, float | bool]]] = {
    "as it is": {"flow matching": {}, "spline flow": {}},
    "a quarter of the width": {"flow matching": {"hidden": 24}, "spline flow": {"hidden": 16}},
    "twice the width": {"flow matching": {"hidden": 192}, "spline flow": {"hidden": 128}},
    "a quarter of the waves": {"flow matching": {"frequencies": 2}, "spline flow": {"frequencies": 4}},
    "noise 0.05 on the data": {"flow matching": {"noise": 0.05}, "spline flow": {"noise": 0.05}},
    "noise 0.1 on the data": {"flow matching": {"noise": 0.1}, "spline flow": {"noise": 0.1}},
    "a tenth of the steps": {"flow matching": {"steps": 300}, "spline flow": {"steps": 300}},
    "exact targets": {"flow matching": {"exact": True}},
}
BANDWIDTHS = [0.32 * 2 ** (-k / 2) for k in range(12)]


def held_out_size(n: int) -> int:
    """A quarter as many as there are to train on, at least 50 and at most 1,000."""
    return min(max(n // 4, 50), 1000)


class Judge:
    """Points, times and exact velocities that every run is judged on, drawn once."""

    def __init__(self) -> None:
        torch.manual_seed(10_000)
        rings, path = OlympicRings(), RingsPath(OlympicRings())
        self.floor = path.loss_floor()
        self.fresh, _ = rings.sample(10_000)
        self.t = (torch.arange(4000) + torch.rand(4000)) / 4000
        self.xt, _, _, _ = path.sample(4000, self.t)
        self.u = path.velocity(self.xt, self.t)
        self.noise = torch.randn(4000, 2)

    def excess(self, field: nn.Module) -> metrics.Estimate:
        """How far the loss on fresh data is above its floor."""
        gap = (field(self.xt, self.t) - self.u).square().sum(1).double()
        return metrics.Estimate(float(gap.mean()), float(gap.std()) / len(gap) ** 0.5)


def density(model: nn.Module) -> Callable[[Tensor], Tensor]:
    """The log-density of either family."""
    if isinstance(model, VelocityField):
        return lambda x: log_prob(model, x, BACK, method="midpoint")
    return model.log_prob


def drawn(model: nn.Module, count: int) -> Tensor:
    """Samples of either family."""
    if isinstance(model, VelocityField):
        return integrate(model, torch.randn(count, model.dim), 40, "midpoint")
    return model.sample(count)


class Trace:
    """What a run notes along its training; `fit` calls it for the loss on the points held out."""

    def __init__(self, model: nn.Module, data: Tensor, held_out: Tensor, judge: Judge) -> None:
        self.model, self.judge, self.calls, self.rows = model, judge, 0, []
        self.data, self.held_out = data[:2000], held_out
        self.average = AveragedModel(model, multi_avg_fn=get_ema_multi_avg_fn(DECAY))

    def losses(self, points: Tensor) -> float:
        """The family's own loss on these points; of flow matching with noise and times that stay."""
        if not isinstance(self.model, VelocityField):
            return float(-self.model.log_prob(points).mean())
        x1 = points.repeat(-(-4000 // len(points)), 1)[:4000]
        xt = self.judge.noise + self.judge.t[:, None] * (x1 - self.judge.noise)
        miss = x1 - self.judge.noise - self.model(xt, self.judge.t)
        return float(miss.square().sum(1).mean())

    @torch.no_grad()
    def look(self, averaged: bool) -> Tensor:
        """Note where the run is, at the steps of LOOKS."""
        self.calls += 1
        step = 100 * self.calls
        if step in LOOKS:
            nats = -density(self.model)(self.held_out).mean()
            row = {
                "step": step,
                "train_loss": self.losses(self.data),
                "held_loss": self.losses(self.held_out),
                "held_nats": float(nats),
                "kl": metrics.kl_to_truth(density(self.model), self.judge.fresh[:1000]).value,
            }
            if averaged:
                average = self.average.module
                row["kl_averaged"] = metrics.kl_to_truth(density(average), self.judge.fresh[:1000]).value
            self.rows.append({key: round(value, 4) for key, value in row.items()})
        return torch.zeros(())


def measure_run(family: str, n: int, seed: int, remedy: str, judge: Judge) -> tuple[dict, nn.Module]:
    """Train one model on n points and judge it."""
    settings = dict(REMEDIES[remedy][family])
    noise, exact = settings.pop("noise", 0.0), settings.pop("exact", False)
    steps = settings.pop("steps", STEPS)
    torch.manual_seed(seed)
    rings = OlympicRings()
    data, (held_out, _) = rings.sample(n)[0], rings.sample(held_out_size(n))
    known = EmpiricalPath(data)
    model = VelocityField(**settings) if family == "flow matching" else spline_flow(**settings)
    trace = Trace(model, data, held_out, judge)
    averaged = n == TRIED and remedy == "as it is"

    def loss(x: Tensor) -> Tensor:
        if not torch.is_grad_enabled():
            return trace.look(averaged)
        if averaged:
            trace.average.update_parameters(model)
        if noise:
            x = x + noise * torch.randn_like(x)
        if family == "spline flow":
            return -model.log_prob(x.clamp(-2.499, 2.499)).mean()  # noise may lead out of its box
        x0, x1, _ = independent_pairs(x)
        if not exact:
            return matching_loss(model, x0, x1, late=2.0)
        t = spread_times(BATCH, late=2.0).clamp(max=1 - 1e-6)
        xt = x0 + t[:, None] * (x1 - x0)
        with torch.no_grad():
            target = known.velocity(xt, t)
        return (model(xt, t) - target).square().sum(1).mean()

    started = time.process_time()
    fit(model, loss, (data,), steps=steps, batch_size=BATCH, peak=PEAK, held_out=(held_out,), every=100)
    with torch.no_grad():
        kl = metrics.kl_to_truth(density(model), judge.fresh)
        train_nats = -density(model)(data[:2000]).double().mean()
        held_nats = -density(model)(held_out).double().mean()
        torch.manual_seed(20_000 + seed)
        count = 2000 if n >= 20_000 else 5000
        copies = copy_share(drawn(model, count), data)
        by_chance = copy_share(judge.fresh[:count], data)
        record = {
            "kind": "run",
            "model": family,
            "n": n,
            "seed": seed,
            "remedy": remedy,
            "kl": kl.value,
            "kl_se": kl.stderr,
            "train_nats": float(train_nats),
            "held_nats": float(held_nats),
            "copies": copies.value,
            "copies_by_chance": by_chance.value,
        }
        if family == "flow matching":
            draws = 1000 if n >= 20_000 else 4000
            t = ((torch.arange(draws) + torch.rand(draws)) / draws).double().clamp(max=1 - 1e-6)
            xt, _, _ = known.sample(draws, t)
            on_data = (model(xt.float(), t.float()) - known.velocity(xt, t)).square().sum(1)
            floor = known.loss_floor(draws)
            record |= {
                "own_floor": floor.value,
                "own_floor_se": floor.stderr,
                "own_excess": float(on_data.mean()),
                "floor": judge.floor,
                "excess": judge.excess(model).value,
            }
    record = {key: round(value, 4) if isinstance(value, float) else value for key, value in record.items()}
    return record | {"cpu_seconds": round(time.process_time() - started, 1), "trace": trace.rows}, model


def measure_kernel(n: int, seed: int, judge: Judge) -> dict[str, object]:
    """The field of n points, stopped when the noise is as wide as held-out points prefer it."""
    torch.manual_seed(seed)
    rings = OlympicRings()
    data, (held_out, _) = rings.sample(n)[0], rings.sample(held_out_size(n))
    path = EmpiricalPath(data)

    def stopped(x: Tensor, width: float) -> Tensor:  # the density of xt / t, where (1 - t) / t is the width
        t = 1 / (1 + width)
        return path.log_prob(t * x, t) + 2 * torch.tensor(t).log()

    widths = BANDWIDTHS if n <= 5000 else BANDWIDTHS[5:10] if n <= 20_000 else BANDWIDTHS[7:11]
    nats = {width: float(-stopped(held_out[:500], width).mean()) for width in widths}
    width = min(nats, key=nats.get)
    kl = metrics.kl_to_truth(lambda x: stopped(x, width), judge.fresh[:1000])
    return {
        "kind": "kernel",
        "n": n,
        "seed": seed,
        "bandwidth": round(width, 4),
        "kl": round(kl.value, 4),
        "kl_se": round(kl.stderr, 4),
    }


def measure_pairs(n: int, fields: list[nn.Module], judge: Judge) -> dict[str, object]:
    """Half the mean squared distance of two fields on different data, over all pairs of them."""
    with torch.no_grad():
        values = [field(judge.xt, judge.t) for field in fields]
    gaps = [float((a - b).square().sum(1).mean()) / 2 for a, b in itertools.combinations(values, 2)]
    return {"kind": "pairs", "n": n, "half_distance": round(sum(gaps) / len(gaps), 4)}


def main() -> None:
    """Measure everything and write the records as they come."""
    judge, records = Judge(), []
    fields: dict[int, list[nn.Module]] = {n: [] for n in SIZES}
    plan = [(family, n, seed, "as it is") for seed in SEEDS for n in SIZES for family in FAMILIES]
    plan += [
        (family, TRIED, seed, remedy)
        for seed in SEEDS
        for remedy in list(REMEDIES)[1:]
        for family in REMEDIES[remedy]
    ]
    for family, n, seed, remedy in plan:
        record, model = measure_run(family, n, seed, remedy, judge)
        records.append(record)
        if family == "flow matching" and remedy == "as it is":
            fields[n].append(model)
            records.append(measure_kernel(n, seed, judge))
        print({key: value for key, value in record.items() if key != "trace"}, flush=True)
        write_records("finite_data", records)
    records += [measure_pairs(n, fields[n], judge) for n in SIZES]
    write_records("finite_data", records)


if __name__ == "__main__":
    main()
