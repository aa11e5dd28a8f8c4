"""Fields on pairs that look at each other, and reflowed ones: KL and few-step samples, three seeds each.

python -m bench.straight_paths
"""

import statistics
import time
from collections.abc import Callable

import torch
from torch import Tensor

from bench.result_files import write_records
from helpers import metrics
from helpers.matching import Pairs, VelocityField, independent_pairs, matching_loss
from helpers.ode import integrate, log_prob
from helpers.pairs import reflow_pairs, transport_pairs
from helpers.rings import OlympicRings
from helpers.training import fit

SEEDS = range(3)
POINTS, BLOCK, BATCH, PEAK = 200_000, 256, 512, 8e-3
CALLS = (1, 2, 4, 8, 16)  # of a field, by Euler's steps
JUDGED = 10_000
# The name: the settings of its field, the number of steps, and how many times late are drawn more often.
MODELS = {
    "independent pairs": ({}, 15_000, 2.0),
    "transport pairs": ({"head_start": False}, 15_000, 1.0),
    "reflowed": ({"head_start": False}, 9000, 1.0),
}


def draw_pairs(name: str, teacher: VelocityField | None) -> Pairs:
    """All pairs that a field is trained on; those of a teacher come from its own ends."""
    if name == "reflowed":
        return reflow_pairs(teacher, torch.randn(POINTS // 2, 2), 24)
    x1, _ = OlympicRings().sample(POINTS)
    return independent_pairs(x1) if name == "independent pairs" else transport_pairs(x1, block=BLOCK)


def train_on_pairs(
    name: str, teacher: VelocityField | None = None, steps: int | None = None
) -> VelocityField:
    """A field with twenty waves of each coordinate; independent noise is drawn anew for each batch."""
    settings, usual, late = MODELS[name]
    field = VelocityField(frequencies=20, **settings)

    def loss(x0: Tensor, x1: Tensor) -> Tensor:
        if name == "independent pairs":
            x0, x1, _ = independent_pairs(x1)
        return matching_loss(field, x0, x1, late=late)

    fit(field, loss, draw_pairs(name, teacher)[:2], steps=steps or usual, batch_size=BATCH, peak=PEAK)
    return field


def distance_from_data(draw: Callable[[], Tensor]) -> float:
    """Mean sliced distance of four samples of 10,000 points from four fresh samples of data each."""
    rings = OlympicRings()
    samples = [draw() for _ in range(4)]
    return statistics.fmean(
        metrics.sliced_wasserstein(x, rings.sample(len(x))[0]) for x in samples for _ in range(4)
    )


def judge_paths(field: VelocityField, seed: int) -> dict[str, object]:
    """KL, and few-step samples: their share on the rings and their distance from data over its floor."""
    torch.manual_seed(1_000_000 + seed)
    rings = OlympicRings()
    kl = metrics.kl_to_truth(lambda x: log_prob(field, x, 40, "midpoint"), rings.sample(JUDGED)[0])
    floor = distance_from_data(lambda: rings.sample(JUDGED)[0])
    found: dict[str, dict[int, float]] = {"on_ring_share": {}, "over_floor": {}}
    for calls in CALLS:

        def draw(calls: int = calls) -> Tensor:
            return integrate(field, torch.randn(JUDGED, 2), calls, "euler")

        found["on_ring_share"][calls] = round(metrics.on_ring_share(draw()).value, 4)
        found["over_floor"][calls] = round(distance_from_data(draw) / floor, 3)
    return {"kl": round(kl.value, 4), "kl_se": round(kl.stderr, 4), **found}


def measure_paths(seed: int) -> list[dict[str, object]]:
    """All fields of one seed; the seconds count data, pairs and training, and a teacher's as well."""
    records, fields, seconds = [], {}, {}
    for name in MODELS:
        torch.manual_seed(seed)
        started = time.process_time()
        fields[name] = train_on_pairs(name, fields.get("independent pairs"))
        seconds[name] = time.process_time() - started
        before = seconds["independent pairs"] if name == "reflowed" else 0.0
        record = {"pairs": name, "seed": seed, "cpu_seconds": round(seconds[name] + before, 1)}
        records.append(record | judge_paths(fields[name], seed))
        print(records[-1], flush=True)
    return records


def main() -> None:
    """Measure all seeds and write the records."""
    write_records("straight_paths", [record for seed in SEEDS for record in measure_paths(seed)])


if __name__ == "__main__":
    main()
