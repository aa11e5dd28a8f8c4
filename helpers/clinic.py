"""A round of tests for a model, its data and the script between them; none of them knows the truth.

Each test asks one question, and returns one number that is small where all is well. They stand in an order:
the data, one step of training, the map, the path, the label. The first that fails names the place to look,
as those behind it may fail for the same reason. `examine` runs all for which it is given what they need:

    train, held        (n, dim) rows that were trained on, and rows that were not
    model, loss        what is trained, and loss(*batch), without any chance of its own
    batch, step        tensors that belong together row by row, 2 and more; step(*batch), a step of training
    home, out          home(x) -> (z, log_det), as the density takes it; out(z) -> x, as the sampler does
    log_prob, sample   log_prob(x), (n,) in nats; sample(n), (n, dim)
    precise            log_prob once more, computed with more digits
    field, reported    field(x, t), and the matching loss, at even times, that its script reports for `held`
    ends               ends(steps), where a sampler leads the same noise in so many steps
    cdf                of the noise, in each coordinate; where it is left out, of N(0, 1)
    crowd              crowd(t), many points of a sampler at time t, from noise at 0 to data at 1
    labels             (n,) the labels of the rows in `held`
    log_prob_given     log_prob_given(x, labels), (n,) in nats
    sample_given       sample_given(labels), a point for each label
"""

import inspect
import math
from collections.abc import Callable, Sequence
from typing import NamedTuple

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.optim.optimizer import register_optimizer_step_pre_hook

from helpers.instruments import total_mass
from helpers.matching import independent_pairs, matching_loss
from helpers.metrics import sliced_wasserstein
from helpers.page import plain, printable

__all__ = [
    "LIMITS",
    "Finding",
    "counted_in_balls",
    "crowd_on_its_way",
    "double_steps",
    "examine",
    "findings",
    "gradient_of",
    "mass_off_one",
    "more_digits",
    "noise_at_home",
    "one_by_one",
    "own_gradient",
    "repeated_values",
    "samples_of_a_label",
    "second_opinion",
    "shared_rows",
    "home_and_out",
    "volume",
    "wrong_label_as_good",
]

Rows = Float[Tensor, "n dim"]
LogProb = Callable[[Tensor], Tensor]
Home = Callable[[Tensor], tuple[Tensor, Tensor]]


def shared_rows(train: Rows, held: Float[Tensor, "m dim"]) -> float:
    """The share of held-out rows that stand among those of training, to the last digit."""
    seen = {tuple(row) for row in train.tolist()}
    return sum(tuple(row) in seen for row in held.tolist()) / len(held)


def repeated_values(train: Rows) -> float:
    """The share of rows that only repeat a value which their column already has, in the worst column."""
    return max(1 - len(column.unique()) / len(column) for column in train.T)


def gradient_of(
    model: nn.Module, loss: Callable[..., Tensor], batch: tuple[Tensor, ...]
) -> Float[Tensor, " parameters"]:
    """The gradient of loss(*batch), in a row; what a training loop has gathered is not touched."""
    parts = [p for p in model.parameters() if p.requires_grad]
    slopes = torch.autograd.grad(loss(*batch), parts, allow_unused=True)
    return torch.cat([(p * 0 if s is None else s).detach().flatten() for p, s in zip(parts, slopes)])


def one_by_one(model: nn.Module, loss: Callable[..., Tensor], batch: tuple[Tensor, ...]) -> float:
    """The gradient of a batch, against the mean of those of its rows alone; relative."""
    whole = gradient_of(model, loss, batch)
    rows = [tuple(part[i : i + 1] for part in batch) for i in range(len(batch[0]))]
    alone = torch.stack([gradient_of(model, loss, row) for row in rows]).mean(0)
    return float((whole - alone).norm() / alone.norm())


def own_gradient(
    model: nn.Module, loss: Callable[..., Tensor], batch: tuple[Tensor, ...], step: Callable[..., object]
) -> float:
    """One less the cosine between the gradient that an update follows and that of its own batch.

    What a first step leaves behind is made large, so that it shows in the second one if it counts there.
    """
    parts = [p for p in model.parameters() if p.requires_grad]
    kept, followed = [p.detach().clone() for p in parts], []

    def look(*_: object) -> None:
        gradients = [torch.zeros_like(p) if p.grad is None else p.grad for p in parts]
        followed.append(torch.cat([gradient.flatten() for gradient in gradients]))

    hook = register_optimizer_step_pre_hook(look)
    try:
        first, second = zip(*(part.chunk(2) for part in batch))
        step(*first)
        for p in parts:
            if p.grad is not None:
                p.grad += 1e3 * p.grad.norm() * torch.randn_like(p)
        wanted = gradient_of(model, loss, second)
        followed.clear()
        step(*second)
    finally:
        hook.remove()
        for p, value in zip(parts, kept):
            p.data.copy_(value)
    return float(1 - torch.cosine_similarity(wanted, followed[-1], dim=0)) if followed else math.nan


def home_and_out(home: Home, out: Callable[[Tensor], Tensor], held: Rows) -> float:
    """How far a row is from itself after a trip to the noise and out; nine rows in ten, in spreads."""
    with torch.no_grad():
        z, _ = home(held)
        gap = (out(z) - held) / held.std(0)
    return float(gap.square().mean(1).sqrt().quantile(0.9))


def volume(home: Home, held: Rows) -> float:
    """The log-determinant that the way home reports, against autograd's; nine rows in ten, in nats."""
    rows = held[:100]
    jacobian = torch.func.vmap(torch.func.jacrev(lambda row: home(row[None])[0][0]))(rows)
    reported = home(rows)[1].detach()
    return float((torch.linalg.slogdet(jacobian.detach()).logabsdet - reported).abs().quantile(0.9))


def more_digits(log_prob: LogProb, precise: LogProb, held: Rows) -> float:
    """By how much log-densities move when they are computed with more digits; the median, in nats."""
    with torch.no_grad():
        return float((log_prob(held[:500]) - precise(held[:500])).abs().median())


def mass_off_one(log_prob: LogProb, train: Rows) -> float:
    """What the density integrates to, less 1; by importance sampling from a wide normal distribution."""
    wide = torch.distributions.MultivariateNormal(train.mean(0), 2 * torch.cov(train.T))
    points = wide.sample((20_000,))
    return abs(total_mass(log_prob, points, wide.log_prob(points)).value - 1)


def noise_at_home(home: Home, held: Rows, cdf: Callable[[Tensor], Tensor] = torch.special.ndtr) -> float:
    """How far held-out rows at home are from the base's noise: Kolmogorov's distance, beyond chance.

    Normal noise is normal in every direction: the worst of the coordinates and of as many random directions
    counts. `cdf` is the base's, in each coordinate.
    """
    with torch.no_grad():
        z, _ = home(held)
        normal = torch.special.ndtri(cdf(z).double().clamp(1e-12, 1 - 1e-12))
    n, dim = z.shape
    turned = normal @ torch.linalg.qr(torch.randn(dim, dim, dtype=torch.float64).to(z.device)).Q
    seen = torch.special.ndtr(torch.cat([normal, turned], dim=1).sort(dim=0).values)
    even = (torch.arange(n, device=z.device) + 0.5)[:, None] / n
    distance = (seen - even).abs().max() + 0.5 / n
    # True noise stays below this in nineteen cases of twenty, in one direction.
    return float((distance - 1.36 / math.sqrt(n)).clamp(min=0))


def counted_in_balls(log_prob: LogProb, sample: Callable[[int], Tensor], held: Rows) -> float:
    """The shares of samples in balls about held-out rows, against the density's integrals; relative."""
    drawn, dim, gaps, sizes = sample(5000), held.shape[1], 0.0, 0.0
    std = held.std(0)
    unit = math.pi ** (dim / 2) / math.gamma(dim / 2 + 1)  # the volume of a ball of radius 1
    for centre in held[:20]:
        radius = ((held - centre) / std).norm(dim=1).kthvalue(max(2, len(held) // 20)).values
        turn = nn.functional.normalize(torch.randn(2000, dim), dim=1) * torch.rand(2000, 1) ** (1 / dim)
        with torch.no_grad():
            mean = log_prob(centre + std * radius * turn.to(held)).exp().mean()
        integral = float(mean * unit * radius**dim * std.prod())
        share = float((((drawn - centre) / std).norm(dim=1) < radius).float().mean())
        gaps, sizes = gaps + abs(share - integral), sizes + share + integral
    return gaps / sizes


def second_opinion(field: Callable[..., Tensor], held: Rows, reported: float) -> float:
    """The matching loss as `helpers.matching` computes it, against the one that is reported; relative."""
    x0, x1, _ = independent_pairs(held.repeat(-(-20_000 // len(held)), 1))
    with torch.no_grad():
        return abs(float(matching_loss(lambda x, t, context: field(x, t), x0, x1)) / reported - 1)


def double_steps(ends: Callable[[int], Tensor], held: Rows) -> float:
    """How far 64 steps end from where 32 do; the median, in spreads of the data."""
    return float(((ends(64) - ends(32)) / held.std(0)).square().mean(1).sqrt().median())


def crowd_on_its_way(
    crowd: Callable[[float], Tensor], held: Rows, times: Sequence[float] = (0.25, 0.5, 0.75, 1.0)
) -> float:
    """A sampler's points against data mixed with noise; in units of chance, at the worst of the times."""
    away, chance = [], []
    for t in times:
        there = crowd(t)
        n = min(len(there), len(held) // 2)
        one, other = (t * rows + (1 - t) * torch.randn_like(rows) for rows in held[: 2 * n].split(n))
        away.append(sliced_wasserstein(there[:n], one))
        chance.append(sliced_wasserstein(other, one))
    return max(away) / (sum(chance) / len(chance))


def wrong_label_as_good(
    log_prob_given: Callable[..., Tensor], held: Rows, labels: Int[Tensor, " n"]
) -> float:
    """The share of rows to which a wrong label gives at least as much density as their own."""
    kinds, place = labels.unique(return_inverse=True)
    away = torch.randint(1, len(kinds), labels.shape).to(labels.device)
    wrong = kinds[(place + away) % len(kinds)]
    with torch.no_grad():
        better = log_prob_given(held, labels) > log_prob_given(held, wrong)
    return 1 - float(better.float().mean())


def samples_of_a_label(
    sample_given: Callable[[Tensor], Tensor], held: Rows, labels: Int[Tensor, " n"]
) -> float:
    """Samples of a label against rows of that label; in units of chance, for the worst label."""
    drawn, worst = sample_given(labels), 0.0
    for label in labels.unique():
        rows, n = held[labels == label], int((labels == label).sum()) // 2
        distance = sliced_wasserstein(drawn[labels == label][:n], rows[:n])
        worst = max(worst, distance / sliced_wasserstein(rows[n : 2 * n], rows[:n]))
    return worst


# In order; below which number a healthy model stays.
LIMITS = {
    shared_rows: 0.01,
    repeated_values: 0.5,
    one_by_one: 1e-3,
    own_gradient: 1e-3,
    home_and_out: 1e-3,
    volume: 1e-3,
    more_digits: 0.01,
    mass_off_one: 0.1,
    noise_at_home: 0.05,
    counted_in_balls: 0.2,
    second_opinion: 0.1,
    double_steps: 0.05,
    crowd_on_its_way: 3,
    wrong_label_as_good: 0.3,
    samples_of_a_label: 10,
}


class Finding(NamedTuple):
    """What one test has found: its number, the limit of the healthy, and what stopped it, if anything."""

    test: str
    value: float
    limit: float
    stopped: str = ""

    @property
    def healthy(self) -> bool:
        """Whether the number is below the limit; nan is not."""
        return self.value < self.limit

    def __str__(self) -> str:
        sign, bound = ("✓", "<") if self.healthy else ("✗", "not <")
        why = f" ({self.stopped})" if self.stopped else ""
        return f"{printable(sign)} {self.test}: {plain(self.value)} {bound} {plain(self.limit)}{why}"


def findings(**given: object) -> list[Finding]:
    """The numbers of all tests for which everything that they need is given, in order.

    What is given is listed at the head of this file. Held-out rows are put in random order first. Chance is
    the same at every call, and the caller's is left as it was. A test that stops with an error is nan.

    Raises:
        TypeError: something is given that no test asks for, or too little for any test.
    """
    known = set().union(*map(_arguments, LIMITS))
    if strange := sorted(set(given) - known):
        raise TypeError(f"no test asks for {', '.join(strange)}; they ask for {', '.join(sorted(known))}")
    asked = [test for test in LIMITS if _arguments(test, needed=True) <= set(given)]
    if not asked:
        raise TypeError(f"nothing can be asked of {', '.join(sorted(given)) or 'nothing'} alone")
    found = []
    for test in asked:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            if "held" in given:
                order = torch.randperm(len(given["held"]))
                given |= {name: given[name][order] for name in ("held", "labels") if name in given}
            try:
                value, stopped = test(**{name: given[name] for name in _arguments(test) & set(given)}), ""
            except Exception as error:  # of whatever kind: it is the patient's, and the round goes on
                value, stopped = math.nan, f"{type(error).__name__}: {error}".splitlines()[0]
        found.append(Finding(test.__name__.replace("_", " "), float(value), LIMITS[test], stopped))
    return found


def examine(**given: object) -> None:
    """Print what `findings` finds, a line for each test, and how many were asked."""
    found = findings(**given)
    print(*found, f"{len(found)} of {len(LIMITS)} asked", sep="\n")


def _arguments(test: Callable[..., float], needed: bool = False) -> set[str]:
    """What a test can be given, or has to be."""
    each = inspect.signature(test).parameters.values()
    return {argument.name for argument in each if not needed or argument.default is argument.empty}
