"""One step to the rings: three equations, with a teacher and without, and solved ways, at equal cost.

python -m bench.one_step

Every flow map has about the same CPU-seconds, with its teacher's training and the solving of its ways; the
last row, the best that is known, has up to 90. The records: "floor" (how far data are from other data),
"teacher" (a field, by many steps), and "map" (a flow map, by 1, 2, 4 and 8 jumps, with its distances from the
exact ends of the same noise, from the ends by its own field or teacher, and from itself by two jumps).
"""

import statistics
import time
from collections.abc import Callable
from itertools import combinations
from typing import NamedTuple

import torch
from torch import Tensor

from bench.result_files import write_records
from helpers import metrics
from helpers.flow_maps import FlowMap, flow_map_loss, semigroup_gap
from helpers.matching import VelocityField, independent_pairs, matching_loss
from helpers.ode import integrate, trajectory
from helpers.path import RingsPath
from helpers.rings import OlympicRings
from helpers.training import fit

SEEDS = range(3)
POINTS, BATCH, JUDGED, BATCHES, SETS = 200_000, 512, 10_000, 3, 8
JUMPS = (1, 2, 4, 8)
FINE = 1 - 1e-3 ** torch.linspace(0, 1, 41, dtype=torch.float64)  # times of the exact field's steps
TEACHERS = {"a field": 9000, "a field, longer": 20_000}  # steps of training


class Row(NamedTuple):
    """A flow map: the equation it is trained by, its teacher, and how long and how."""

    equation: str
    teacher: str | None
    steps: int
    settings: dict[str, int | bool] = {}
    peak: float = 6e-3
    ways: int = 60_000
    kept: int = 9


BEST = {"hidden": 128, "smooth": False}
PLAN = [
    Row("lagrangian", None, 10_000),
    Row("semigroup", None, 12_000),
    Row("eulerian", None, 12_000, peak=3e-3),  # its targets scatter most
    Row("lagrangian", "a field", 5500),
    Row("semigroup", "a field", 7000),
    Row("eulerian", "a field", 7000, peak=3e-3),
    Row("solved ways", "a field", 8000),
    Row("solved ways, squares", "a field", 8000),
    Row("solved ways, best", "a field, longer", 10_000, BEST, ways=100_000, kept=3),
]


class ExactEnds:
    """Data, noise and the exact ends of some of it, drawn once."""

    def __init__(self) -> None:
        torch.manual_seed(10_000)
        self.fresh = [OlympicRings().sample(JUDGED)[0] for _ in range(SETS)]
        self.noise = [torch.randn(JUDGED, 2) for _ in range(BATCHES)]
        pairs = [metrics.sliced_wasserstein(x, y) for x, y in combinations(self.fresh, 2)]
        self.floor = statistics.mean(pairs)
        self.few, path = self.noise[0][:4000], RingsPath(OlympicRings())
        late = integrate(path.velocity, self.few.double(), FINE)
        self.exact = path.mean(late, float(FINE[-1])).float()

    def samples(self, sample: Callable[[Tensor], Tensor]) -> dict[str, float]:
        """Share on the rings, and the distance from data over its floor, of what is made of the noise."""
        with torch.no_grad():
            made = [sample(z) for z in self.noise]
        on = statistics.mean(metrics.on_ring_share(x).value for x in made)
        sets = zip(made * 2, self.fresh)
        far = statistics.mean(metrics.sliced_wasserstein(x, y) for x, y in sets)
        return {"on_rings": round(on, 4), "distance": round(far / self.floor, 4)}

    def from_exact(self, ends: Tensor) -> float:
        """Mean distance of the ends of the few noise points from where they belong."""
        return round(float((ends - self.exact).norm(dim=1).mean()), 5)


def solve(field: Callable[..., Tensor], z: Tensor) -> Tensor:
    """Ends by 24 steps, in parts that fit the processor's cache."""
    return torch.cat([integrate(field, part, 24, "midpoint") for part in z.split(4096)])


def measure_teacher(kind: str, seed: int, steps: int | None = None) -> tuple[VelocityField, float]:
    """Train a field as Chapter 8 does; and the CPU-seconds of it."""
    torch.manual_seed(seed)
    started = time.process_time()
    data, _ = OlympicRings().sample(POINTS)
    field = VelocityField()

    def loss(x1: Tensor) -> Tensor:
        return matching_loss(field, *independent_pairs(x1), late=2.0)

    fit(field, loss, data, steps=steps or TEACHERS[kind], batch_size=BATCH, peak=6e-3)
    return field.requires_grad_(False), time.process_time() - started


def solved_ways(field: VelocityField, count: int, kept: int) -> Tensor:
    """Ways of so many noise points by 24 steps, at so many times evenly from 0 to 1: (count, kept, 2)."""
    every = 24 // (kept - 1)
    parts = [
        trajectory(field, part, 24, "midpoint")[::every].transpose(0, 1)
        for part in torch.randn(count, 2).split(4096)
    ]
    return torch.cat(parts)


def way_loss(flow_map: FlowMap, ways: Tensor, squares: bool = False) -> Tensor:
    """Mean distance between the ends of jumps and of solved ways, half of them from time 0 to time 1."""
    n, kept, _ = ways.shape
    ends = torch.rand(n, kept).argsort(dim=1)[:, :2].sort(dim=1).values
    ends[: n // 2] = torch.tensor([0, kept - 1])
    start, end = (ways[torch.arange(n), k] for k in ends.T)
    s, t = (ends / (kept - 1)).T
    gap = flow_map.jump(start, s, t) - end
    return gap.square().sum(1).mean() if squares else gap.norm(dim=1).mean()


def train_map(row: Row, seed: int, teacher: VelocityField | None) -> tuple[FlowMap, float]:
    """Train one flow map; and the CPU-seconds of it, without its teacher's."""
    torch.manual_seed(100 + seed)
    started = time.process_time()
    flow_map = FlowMap(**row.settings)
    if row.equation.startswith("solved ways"):
        data = solved_ways(teacher, row.ways, row.kept)

        def loss(rows: Tensor) -> Tensor:
            return way_loss(flow_map, rows, squares=row.equation.endswith("squares"))
    else:
        data, _ = OlympicRings().sample(POINTS)

        def loss(rows: Tensor) -> Tensor:
            return flow_map_loss(flow_map, torch.randn_like(rows), rows, row.equation, teacher)

    fit(flow_map, loss, data, steps=row.steps, batch_size=BATCH, peak=row.peak)
    return flow_map.requires_grad_(False), time.process_time() - started


def measure_map(
    row: Row, seed: int, judge: ExactEnds, teacher: VelocityField | None, spent: float
) -> dict[str, object]:
    """Train one flow map and judge it; `spent` are the CPU-seconds of its teacher."""
    flow_map, own_seconds = train_map(row, seed, teacher)
    spent += own_seconds
    one = flow_map.carry(judge.few)
    own = solve(teacher or flow_map.field, judge.few)
    scores = {n: judge.samples(lambda z, n=n: flow_map.carry(z, n)) for n in JUMPS}
    return {
        "kind": "map",
        "equation": row.equation,
        "teacher": row.teacher,
        "seed": seed,
        "steps": row.steps,
        "cpu_seconds": round(spent, 1),
        "on_rings": {n: found["on_rings"] for n, found in scores.items()},
        "distance": {n: found["distance"] for n, found in scores.items()},
        "errors": {n: judge.from_exact(flow_map.carry(judge.few, n)) for n in JUMPS},
        "error": judge.from_exact(one),
        "own": round(float((one - own).norm(dim=1).mean()), 5),
        "gap": round(float(semigroup_gap(flow_map, judge.few).mean()), 5),
    }


def main() -> None:
    """Measure everything and write the records as they come."""
    judge = ExactEnds()
    records: list[dict[str, object]] = [{"kind": "floor", "distance": judge.floor}]
    for seed in SEEDS:
        teachers: dict[str | None, tuple[VelocityField | None, float]] = {None: (None, 0.0)}
        for kind in TEACHERS:
            field, spent = teachers[kind] = measure_teacher(kind, seed)
            by_steps = judge.samples(lambda z, field=field: solve(field, z))
            error = judge.from_exact(solve(field, judge.few))
            about = {"kind": "teacher", "teacher": kind, "seed": seed, "cpu_seconds": round(spent, 1)}
            records.append(about | by_steps | {"error": error})
        for row in PLAN:
            records.append(measure_map(row, seed, judge, *teachers[row.teacher]))
            print(records[-1], flush=True)
            write_records("one_step", records)


if __name__ == "__main__":
    main()
