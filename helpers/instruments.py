"""Instruments that need no truth: what can be asked of a model where there are only data.

Each has a value that it would have for a perfect model, and misses some faults; the book tries each on the
rings first, where one sees which.
"""

import math
from collections.abc import Callable

import numpy as np
import torch
from jaxtyping import Float, Int
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.model_selection import StratifiedGroupKFold, StratifiedKFold, cross_val_predict
from torch import Tensor

from helpers.metrics import Estimate
from helpers.validation import require_count, require_finite, require_one_each, require_points

__all__ = ["grouped_mean", "total_mass", "two_sample_accuracy"]


def grouped_mean(values: Float[Tensor, " n"], groups: Int[Tensor, " n"]) -> Estimate:
    """A mean over rows that come in groups, with a standard error that trusts the groups alone.

    Hours of one day, or patients of one hospital, are no independent draws. Rows may depend on each other in
    any way within a group; what is assumed is that the groups are independent.

    Args:
        values: (n,), such as log-densities in nats, or the differences of two models on the same rows.
        groups: (n,) whole numbers, equal for rows of one group.

    Raises:
        ValueError: shapes that disagree; values that are not finite; fewer than two groups.

    Source: Liang and Zeger, "Longitudinal data analysis using generalized linear models" (1986), for a mean.

    Example:
        >>> grouped_mean(torch.tensor([1.0, 1.0, 3.0, 3.0]), torch.tensor([0, 0, 1, 1]))
        Estimate(value=2.0, stderr=1.0)
    """
    require_one_each(groups, len(values), "groups")
    require_finite(values, "values")
    names, index = groups.unique(return_inverse=True)
    require_count(len(names), "the number of groups", least=2)
    away = values.double() - values.double().mean()
    sums = torch.zeros(len(names), dtype=torch.float64).index_add(0, index.cpu(), away.cpu())
    spread = len(names) / (len(names) - 1) * sums.square().sum()
    return Estimate(float(values.double().mean()), float(spread.sqrt()) / len(values))


def two_sample_accuracy(
    x: Float[Tensor, "n dim"],
    y: Float[Tensor, "m dim"],
    groups: tuple[Int[Tensor, " n"], Int[Tensor, " m"]] | None = None,
    seed: int = 0,
) -> Estimate:
    """How often a classifier says rightly whether a point is one of x or of y: 0.5 where it cannot tell.

    Gradient-boosted trees, each judged on the fifth of the points that it has not seen; trees see one
    column at a time and no units. Both samples count for half, whatever their sizes.

    Args:
        x, y: the two samples, one of them held-out data and the other a model's.
        groups: of the rows of both; those of one group are seen together or not at all. Without it a
            classifier knows an hour by the hour before, and tells apart what is of one kind.
        seed: of the folds.

    Returns:
        The accuracy, and the standard error that it has if the groups, or the points, are independent.

    Raises:
        TypeError, ValueError: no points, of different dims, infinite or nan; fewer than five in a sample;
            groups of another length.

    Source: Lopez-Paz and Oquab, "Revisiting classifier two-sample tests" (2017).
    """
    require_points(x, name="x")
    require_points(y, x.shape[1], "y")
    require_finite(x, "x")
    require_finite(y, "y")
    for points, name in ((x, "x"), (y, "y")):
        require_count(len(points), f"the number of points in {name}", least=5)
    rows = torch.arange(len(x) + len(y))
    own = rows.split([len(x), len(y)]) if groups is None else [part.cpu() for part in groups]
    for part, points, name in zip(own, (x, y), ("x", "y")):
        require_one_each(part, len(points), f"the groups of {name}")
    both = torch.cat([x, y]).detach().cpu().numpy()
    label = np.repeat([0, 1], [len(x), len(y)])
    trees = HistGradientBoostingClassifier(class_weight="balanced", random_state=seed)
    if groups is None:
        folds, together = StratifiedKFold(5, shuffle=True, random_state=seed), None
    else:
        folds, together = StratifiedGroupKFold(5, shuffle=True, random_state=seed), torch.cat([*own]).numpy()
    said = cross_val_predict(trees, both, label, groups=together, cv=folds)
    right = torch.from_numpy(said == label).double().split([len(x), len(y)])
    rates = [grouped_mean(part, group) for part, group in zip(right, own)]
    return Estimate(sum(rate.value for rate in rates) / 2, math.hypot(*(rate.stderr for rate in rates)) / 2)


@torch.no_grad()
def total_mass(
    log_prob: Callable[[Tensor], Tensor],
    points: Float[Tensor, "n dim"],
    log_proposal: Float[Tensor, " n"],
) -> Estimate:
    """What a density integrates to, 1 if its log-determinants are right: by importance sampling.

    The mean of q(x) / g(x) over points drawn from a proposal g, which has to reach wherever q does and should
    know nothing of the code that computes q: one mistake in both would cancel.

    Args:
        log_prob: log q, from points (n, dim) to (n,), in nats.
        points: drawn from the proposal.
        log_proposal: log g at these points.

    Raises:
        ValueError: shapes that disagree; fewer than two points; log q that is nan or +inf.
    """
    require_points(points, name="points")
    require_count(len(points), "the number of points", least=2)
    require_one_each(log_proposal, len(points), "log_proposal")
    log_q = log_prob(points)
    require_one_each(log_q, len(points), "what log_prob returned")
    weight = (log_q.double() - log_proposal.double()).exp()
    require_finite(weight, "q / g")
    return Estimate(float(weight.mean()), float(weight.std()) / math.sqrt(len(weight)))
