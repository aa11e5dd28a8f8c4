"""Both families in more dimensions, where the truth is still known: two ladders that start at the rings.

python -m bench.dimensions

The first ladder hides the rings: they lie in two directions, all others are normal noise, and a fixed
rotation mixes them. The second multiplies them: d / 2 independent pairs of coordinates, each the rings,
with as many times their entropy and 5^(d / 2) combinations of rings. On both, three models are trained from
three seeds and scored in nats above the truth; on hidden rings the spline flow twice more, after a rotation
that is learned, from nowhere or from the principal axes. Each has one recipe, whatever the dimension; the
numbers of steps are such that all take about as long at d = 8. What has been measured is not measured again.

The records: "run" (a model on a ladder at a d), and "trace" (one field's log-densities by the exact
divergence and by Hutchinson's estimate of it, with what each costs).
"""

import math
import time
from collections.abc import Callable

import torch
from torch import Tensor, nn

from bench.finite_data import drawn
from bench.result_files import RESULTS, read_records, write_records
from helpers.distributions import StandardNormal
from helpers.flows import NormalizingFlow, Permutation, Rotation, SplineCoupling, affine_flow
from helpers.ladders import CopiedRings, HiddenRings
from helpers.matching import VelocityField, independent_pairs, matching_loss
from helpers.ode import log_prob
from helpers.rings import OlympicRings
from helpers.training import fit

SEEDS = range(3)
DIMS = (2, 4, 8, 16, 64)
BATCH, JUDGED = 512, 500
TRAIN = 200_000  # points that every model is trained on
# Times from 1 down to 0 for log-densities.
BACK = 1 - torch.linspace(0, 1, 25, dtype=torch.float64) ** 2


# What they are called in the records.
LADDERS = {"hidden": HiddenRings, "copies": CopiedRings}
RUN = ("ladder", "dim", "model", "seed")  # what tells a run from others


def spline_model(x: Tensor) -> NormalizingFlow:
    """Six spline couplings on normal noise, each after a permutation drawn at random."""
    dim, layers = x.shape[1], []
    for _ in range(6):
        order = torch.randperm(dim).tolist() if dim > 2 else [1, 0]
        layers += [Permutation(order), SplineCoupling(dim, frequencies=8, bins=16, reach=4.0)]
    return NormalizingFlow(layers, StandardNormal(dim))


def turned_spline_model(x: Tensor) -> NormalizingFlow:
    """The same, and next to the data a rotation that is learned."""
    return NormalizingFlow([*spline_model(x).layers, Rotation(torch.eye(x.shape[1]))])


def principal_spline_model(x: Tensor) -> NormalizingFlow:
    """The same, but the rotation starts at the principal axes of the data."""
    return NormalizingFlow([*spline_model(x).layers, Rotation.of(x)])


def affine_model(x: Tensor) -> NormalizingFlow:
    """Twelve affine couplings with the permutations of the book."""
    return affine_flow(x.shape[1], couplings=12)


def matching_model(x: Tensor) -> VelocityField:
    """The field of Chapter 8, wider, as it has to serve 64 dimensions as well."""
    return VelocityField(x.shape[1], hidden=128)


# How each is built for the data that it will be trained on, its highest learning rate, and its steps.
MODELS: dict[str, tuple[Callable[[Tensor], nn.Module], float, int]] = {
    "affine flow": (affine_model, 3e-3, 1200),
    "spline flow": (spline_model, 3e-3, 800),
    "flow matching": (matching_model, 5e-3, 3600),
    "spline, learned rotation": (turned_spline_model, 3e-3, 800),
    "spline, principal axes": (principal_spline_model, 3e-3, 800),
}
ON_HIDDEN_ALONE = {"spline, learned rotation", "spline, principal axes"}  # copies lie along columns already


def judged_log_prob(model: nn.Module, x: Tensor, probe: Tensor | None = None) -> Tensor:
    """The log-density of either family."""
    if isinstance(model, VelocityField):
        return log_prob(model, x, BACK, method="midpoint", probe=probe)
    return model.log_prob(x)


def mean_and_error(values: Tensor) -> tuple[float, float]:
    """The mean of independent values and its standard error."""
    return float(values.double().mean()), float(values.double().std()) / math.sqrt(len(values))


def measure(ladder: str, dim: int, name: str, seed: int) -> tuple[dict, nn.Module]:
    """Train one model on one rung and judge it."""
    rung = LADDERS[ladder](dim)
    torch.manual_seed(seed)
    data, fresh = rung.sample(TRAIN), rung.sample(JUDGED)
    build, peak, steps = MODELS[name]
    model = build(data)

    def loss(x: Tensor) -> Tensor:
        if isinstance(model, VelocityField):
            x0, x1, _ = independent_pairs(x)
            return matching_loss(model, x0, x1, late=2.0)
        return -model.log_prob(x).mean()

    started = time.process_time()
    fit(model, loss, data, steps=steps, batch_size=BATCH, peak=peak)
    trained = time.process_time() - started
    # Less noisy than entropy + loss: the truth's log-density at the very points that the model is scored on.
    with torch.no_grad():
        held, held_se = mean_and_error(rung.log_prob(fresh) - judged_log_prob(model, fresh).double())
        seen, _ = mean_and_error(
            rung.log_prob(data[:JUDGED]) - judged_log_prob(model, data[:JUDGED]).double()
        )
        parts = torch.cat(rung.parts(drawn(model, JUDGED)))
        on_rings = float(OlympicRings().on_rings(parts).double().mean())
    return {
        "kind": "run",
        "ladder": ladder,
        "dim": dim,
        "model": name,
        "seed": seed,
        "kl": round(held, 4),
        "kl_se": round(held_se, 4),
        "kl_on_training_points": round(seen, 4),
        "on_rings": round(on_rings, 4),
        "parameters": sum(weight.numel() for weight in model.parameters()),
        "cpu_seconds": round(trained, 1),
        "judging_seconds": round(time.process_time() - started - trained, 1),
    }, model


def measure_trace(ladder: str, dim: int, seed: int, field: VelocityField) -> dict[str, object]:
    """How far Hutchinson's estimate of log q scatters about the exact one, and what each costs."""
    torch.manual_seed(30_000 + seed)
    x = LADDERS[ladder](dim).sample(200)
    started = time.process_time()
    exact = judged_log_prob(field, x).double()
    middle = time.process_time()
    signs = 2.0 * torch.randint(0, 2, x.shape) - 1
    estimated = judged_log_prob(field, x, signs).double()
    ended = time.process_time()
    bias, bias_se = mean_and_error(estimated - exact)
    return {
        "kind": "trace",
        "ladder": ladder,
        "dim": dim,
        "seed": seed,
        "spread": round(float((estimated - exact).std()), 4),
        "bias": round(bias, 4),
        "bias_se": round(bias_se, 4),
        "cost_ratio": round((middle - started) / (ended - middle), 2),
    }


def main() -> None:
    """Measure everything, small dimensions first, and write the records as they come."""
    records = read_records("dimensions") if (RESULTS / "dimensions.json").exists() else []
    measured = {tuple(record.get(key) for key in RUN) for record in records}
    for seed in SEEDS:
        for dim in DIMS:
            for ladder in LADDERS:
                for name in MODELS:
                    skipped = ladder != "hidden" and name in ON_HIDDEN_ALONE
                    if skipped or (ladder, dim, name, seed) in measured:
                        continue
                    record, model = measure(ladder, dim, name, seed)
                    records.append(record)
                    print(record, flush=True)
                    if name == "flow matching":
                        records.append(measure_trace(ladder, dim, seed, model))
                        print(records[-1], flush=True)
                    write_records("dimensions", records)


if __name__ == "__main__":
    main()
