"""Flow matching beside torchcfm and flow_matching: the same network, independent pairs, the same steps.

All train the `VelocityField` of the book on 512 points a step: each pairs them with noise, draws times, forms
the points and the velocities of the lines, and takes the mean squared distance, in its own way. Ours spreads
the times evenly; theirs are drawn without regard for each other. The samples and the densities of
flow_matching come from its solver (torchdiffeq's fixed steps), by as many steps of the midpoint method as
ours. torchcfm has no solver.

A library that is not installed is left out. flow_matching needs only torch, numpy and torchdiffeq; torchcfm's
matcher, which is all that is used here, needs torch, numpy and POT, but its package asks for torchdyn, which
asks for lightning and torchvision: `pip install --no-deps torchcfm`.

python -m bench.peers_matching
"""

from collections.abc import Callable
from functools import partial
from importlib.util import find_spec
from itertools import cycle

import torch
from torch import Tensor

from bench.peers import Training, batches_of_rings, note_peers, peer_records
from bench.turns import Work, parse_device
from helpers import ode
from helpers.distributions import StandardNormal
from helpers.matching import VelocityField, independent_pairs, matching_loss

BATCH, STEPS = 512, 20  # of the midpoint method
Loss = Callable[[VelocityField, Tensor], Tensor]


def loss_of_ours(field: VelocityField, x1: Tensor) -> Tensor:
    """As the book trains."""
    return matching_loss(field, *independent_pairs(x1))


def loss_in_torchcfm() -> Loss:
    """As its examples in the plane do it."""
    from torchcfm.conditional_flow_matching import ConditionalFlowMatcher

    matcher = ConditionalFlowMatcher(sigma=0.0)

    def loss(field: VelocityField, x1: Tensor) -> Tensor:
        t, xt, ut = matcher.sample_location_and_conditional_flow(torch.randn_like(x1), x1)
        return torch.mean((field(xt, t) - ut) ** 2)

    return loss


def loss_in_flow_matching() -> Loss:
    """As its examples in the plane do it."""
    from flow_matching.path import AffineProbPath
    from flow_matching.path.scheduler import CondOTScheduler

    path = AffineProbPath(scheduler=CondOTScheduler())

    def loss(field: VelocityField, x1: Tensor) -> Tensor:
        t = torch.rand(x1.shape[0], device=x1.device)
        drawn = path.sample(t=t, x_0=torch.randn_like(x1), x_1=x1)
        return torch.pow(field(drawn.x_t, drawn.t) - drawn.dx_t, 2).mean()

    return loss


def works_of_ours(field: VelocityField, x: Tensor) -> dict[str, Work]:
    """Our samples and densities, of so many points as x has."""
    return {
        "sampling": lambda: ode.integrate(field, torch.randn_like(x), STEPS, "midpoint"),
        "density": lambda: ode.log_prob(field, x, STEPS, "midpoint"),
    }


def works_in_flow_matching(field: VelocityField, x: Tensor) -> dict[str, Work]:
    """Its samples and densities, the divergence exact as in ours."""
    from flow_matching.solver import ODESolver

    solver, base = ODESolver(velocity_model=field), StandardNormal(2)
    how = {"step_size": 1 / STEPS, "method": "midpoint"}
    return {
        "sampling": lambda: solver.sample(x_init=torch.randn_like(x), **how),
        "density": lambda: solver.compute_likelihood(
            x_1=x, log_p0=base.log_prob, exact_divergence=True, **how
        )[1],
    }


LOSSES: dict[str, Callable[[], Loss]] = {
    "ours": lambda: loss_of_ours,
    "torchcfm": loss_in_torchcfm,
    "flow_matching": loss_in_flow_matching,
}
SOLVERS = {"ours": works_of_ours, "flow_matching": works_in_flow_matching}


def installed() -> list[str]:
    """Ours, and the libraries that are here."""
    return [name for name in LOSSES if name == "ours" or find_spec(name)]


def matching_works(library: str, device: str = "cpu") -> dict[str, Work]:
    """What a field is asked for, at one batch a call."""
    torch.manual_seed(0)
    field = VelocityField().to(device)
    points = batches_of_rings(BATCH, device)
    batches = cycle(points)
    training = Training(field, partial(LOSSES[library](), field))
    works: dict[str, Work] = {"training step": lambda: training.step(next(batches))}
    return works | (SOLVERS[library](field, points[0]) if library in SOLVERS else {})


def matching_peers(device: str = "cpu") -> None:
    """Measure all tasks, and write the records; without a peer to stand beside, leave them alone."""
    if installed() == ["ours"]:
        print("Neither torchcfm nor flow_matching is installed: the records stay as they are.")
        return
    works = {name: matching_works(name, device) for name in installed()}
    note_peers("peers_matching", peer_records(f"{BATCH} points", works, device, turns=4), device)


if __name__ == "__main__":
    matching_peers(parse_device(__doc__))
