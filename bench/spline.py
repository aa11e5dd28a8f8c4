"""The spline flows of the book, without and with classes: KL against CPU-seconds, for three seeds each.

python -m bench.spline
"""

import time

import torch
from torch import Tensor

from bench.judging import Trace, score
from bench.result_files import write_records
from helpers.flows import NormalizingFlow, spline_flow
from helpers.rings import OlympicRings
from helpers.training import fit

SEEDS = range(3)
# The edges of the rings move on the rare points that fall just beyond them, so the gradient is noisy:
# a million points in large batches and a high learning rate come further in the same time than many steps.
POINTS, BATCH, PEAK = 1_000_000, 2048, 1e-2
STEPS = {0: 3550, 5: 3000}  # by the number of classes


def train_spline(
    seed: int, classes: int, steps: int | None = None, looks: int = 17
) -> tuple[NormalizingFlow, Trace]:
    """A trained flow, and so many looks at its nats above the floor, each after its CPU-seconds."""
    torch.manual_seed(seed)
    rings = OlympicRings()
    floor = rings.conditional_entropy() if classes else rings.entropy()
    parts = 2 if classes else 1  # a class-conditional flow is told the ring of each point
    held_out = rings.sample(20_000)[:parts]
    started = time.process_time()
    data = rings.sample(POINTS)[:parts]
    flow = spline_flow(classes=classes)
    drawn = time.process_time() - started

    def loss(x: Tensor, context: Tensor | None = None) -> Tensor:
        return -flow.log_prob(x, context).mean()

    steps = steps or STEPS[classes]
    history = fit(
        flow,
        loss,
        data,
        steps=steps,
        batch_size=BATCH,
        peak=PEAK,
        held_out=held_out if looks else None,
        every=max(1, steps // max(1, looks)),
    )
    return flow, [(drawn + seconds, value - floor) for _, seconds, value in history.validation]


def measure_spline(seed: int, classes: int) -> dict[str, object]:
    """Train and judge one flow. The CPU time counts the data and the training, not the judging."""
    flow, trace = train_spline(seed, classes)
    return {
        "model": "spline flow by class" if classes else "spline flow",
        "seed": seed,
        "cpu_seconds": trace[-1][0],
        **score(flow, seed),
        "trace": trace,
    }


def main() -> None:
    """Measure all seeds of both flows and write the records."""
    records = []
    for classes in STEPS:
        for seed in SEEDS:
            records.append(measure_spline(seed, classes))
            print({key: value for key, value in records[-1].items() if key != "trace"}, flush=True)
    write_records("spline", records)


if __name__ == "__main__":
    main()
