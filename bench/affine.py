"""The affine flow of the book: KL against CPU-seconds, for five seeds.

python -m bench.affine
"""

import time

import torch

from bench.judging import Trace, score
from bench.result_files import write_records
from helpers.flows import NormalizingFlow, affine_flow
from helpers.rings import OlympicRings
from helpers.training import fit

SEEDS = range(5)
STEPS = 3910  # ten epochs of 100,000 points in batches of 256, as in chapter 4


def train_affine(seed: int, steps: int = STEPS, looks: int = 17) -> tuple[NormalizingFlow, Trace]:
    """A trained flow, and so many looks at its nats above the floor, each after its CPU-seconds."""
    torch.manual_seed(seed)
    rings = OlympicRings()
    held_out, _ = rings.sample(20_000)
    started = time.process_time()
    data, _ = rings.sample(100_000)
    flow = affine_flow()
    drawn = time.process_time() - started
    history = fit(
        flow,
        lambda x: -flow.log_prob(x).mean(),
        (data,),
        steps=steps,
        held_out=(held_out,) if looks else None,
        every=max(1, steps // max(1, looks)),
    )
    return flow, [(drawn + seconds, loss - rings.entropy()) for _, seconds, loss in history.validation]


def measure_affine(seed: int) -> dict[str, object]:
    """Train and judge one flow. The CPU time counts the data and the training, not the judging."""
    flow, trace = train_affine(seed)
    return {
        "model": "affine flow",
        "seed": seed,
        "cpu_seconds": trace[-1][0],
        **score(flow, seed),
        "trace": trace,
    }


def main() -> None:
    """Measure all seeds and write the records."""
    records = []
    for seed in SEEDS:
        records.append(measure_affine(seed))
        print({key: value for key, value in records[-1].items() if key != "trace"}, flush=True)
    write_records("affine", records)


if __name__ == "__main__":
    main()
