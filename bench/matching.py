"""Flow matching, without and with classes, with kinks and without: KL against CPU-seconds, three seeds each.

python -m bench.matching
"""

import time

import torch
from torch import Tensor

from bench.judging import Trace, score
from bench.result_files import write_records
from helpers import metrics
from helpers.matching import VelocityField, independent_pairs, matching_loss
from helpers.ode import integrate, log_prob
from helpers.rings import OlympicRings
from helpers.training import fit

SEEDS = range(3)
POINTS, BATCH = 1_000_000, 512
LATE = 2.0  # the edges of the rings form near time 1, so times there are drawn more often
DROP = 0.2  # the share of labels that training hides
SOLVER = 40  # steps of RK4, both ways
JUDGED = 20_000  # points that a field is judged on; their densities are what costs
MODELS = {  # the name: the field's settings, the number of training steps, the highest learning rate
    "flow matching": ({}, 9000, 6e-3),
    "flow matching by class": ({"classes": 5}, 9000, 6e-3),
    "flow matching, kinked": ({"smooth": False}, 10_000, 4e-3),
    "flow matching by class, kinked": ({"classes": 5, "smooth": False}, 10_000, 4e-3),
}


class Carried:
    """A velocity field as a distribution: what its solver makes of noise."""

    def __init__(self, field: VelocityField, steps: int = SOLVER) -> None:
        self.field, self.classes, self.steps = field, field.classes, steps

    def log_prob(self, x: Tensor, context: Tensor | None = None) -> Tensor:
        """Log-density in nats; of the null class where there are classes and no labels."""
        return log_prob(self.field, x, self.steps, context=context)

    def sample(self, n: int, context: Tensor | None = None) -> Tensor:
        """Draw n points; of the null class where there are classes and no labels."""
        return integrate(self.field, torch.randn(n, self.field.dim), self.steps, context=context)


def train_matching(
    seed: int, name: str, steps: int | None = None, looks: int = 12
) -> tuple[VelocityField, Trace]:
    """A trained field, and so many looks at its nats above the floor, each after its CPU-seconds."""
    settings, usual, peak = MODELS[name]
    steps = steps or usual
    torch.manual_seed(seed)
    rings = OlympicRings()
    parts = 2 if settings.get("classes") else 1  # a class-conditional field is told the ring of each point
    floor = rings.conditional_entropy() if parts == 2 else rings.entropy()
    held_out = rings.sample(1000)[:parts]
    started = time.process_time()
    data = rings.sample(POINTS)[:parts]
    field = VelocityField(**settings)
    drawn = time.process_time() - started

    def loss(x: Tensor, context: Tensor | None = None) -> Tensor:
        if not torch.is_grad_enabled():  # on held-out points, where nats are wanted
            return -log_prob(field, x, SOLVER // 2, context=context).mean()
        return matching_loss(
            field, *independent_pairs(x, context), drop=DROP if field.classes else 0.0, late=LATE
        )

    history = fit(
        field,
        loss,
        data,
        steps=steps,
        batch_size=BATCH,
        peak=peak,
        held_out=held_out if looks else None,
        every=max(1, steps // max(1, looks)),
    )
    return field, [(drawn + seconds, value - floor) for _, seconds, value in history.validation]


def measure_matching(seed: int, name: str) -> dict[str, object]:
    """Train and judge one field. The CPU time counts the data and the training, not the judging."""
    field, trace = train_matching(seed, name)
    return {
        "model": name,
        "seed": seed,
        "cpu_seconds": trace[-1][0],
        **score(Carried(field), seed, JUDGED),
        **compare_samples(field, seed),
        **solver_gap(field, seed),
        "trace": trace,
    }


def compare_samples(field: VelocityField, seed: int) -> dict[str, float]:
    """Sliced Wasserstein distance of 20,000 samples from fresh data, and of other fresh data from it.

    The samples of a class-conditional field have the labels of data, so that all classes are alike there.
    """
    torch.manual_seed(2_000_000 + seed)
    rings = OlympicRings()
    (x, _), (y, ring) = rings.sample(JUDGED), rings.sample(JUDGED)
    drawn = Carried(field).sample(JUDGED, ring if field.classes else None)
    return {
        "sliced_wasserstein": metrics.sliced_wasserstein(drawn, x),
        "sliced_wasserstein_floor": metrics.sliced_wasserstein(y, x),
    }


def solver_gap(field: VelocityField, seed: int) -> dict[str, float]:
    """How far the log-densities of 40 steps are from those of 480: on average, and at the worst point.

    For a class-conditional field, the KL of its null class, which stands for all of the rings, as well.
    """
    torch.manual_seed(3_000_000 + seed)
    x, ring = OlympicRings().sample(1000)
    told = ring if field.classes else None
    gap = Carried(field).log_prob(x, told) - Carried(field, 12 * SOLVER).log_prob(x, told)
    found = {"solver_mean_gap": float(gap.mean()), "solver_worst_gap": float(gap.abs().max())}
    if field.classes:
        found["null_class_kl"] = metrics.kl_to_truth(Carried(field).log_prob, x).value
    return found


def main() -> None:
    """Measure all seeds of all fields and write the records."""
    records = []
    for name in MODELS:
        for seed in SEEDS:
            records.append(measure_matching(seed, name))
            print({key: value for key, value in records[-1].items() if key != "trace"}, flush=True)
    write_records("matching", records)


if __name__ == "__main__":
    main()
