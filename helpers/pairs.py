"""Pairs of noise and data that look at each other: least squared distance within a block; a flow's own ends.

A pairing is any function (x1, context) -> (x0, x1, context) that returns noise points next to data points, as
`independent_pairs` does. Flow matching carries N(0, I) to the data by any of them, as long as x0 taken by
itself is N(0, I) and x1 the data; the path in between, the field and the floor of the loss are each pairing's
own.
"""

import torch
from jaxtyping import Float
from scipy.optimize import linear_sum_assignment
from torch import Tensor

from helpers.matching import Pairs, independent_pairs
from helpers.networks import Context
from helpers.ode import Field, Steps, integrate
from helpers.validation import require_count, require_finite, require_labels

__all__ = ["reflow_pairs", "transport_pairs"]


@torch.no_grad()
def transport_pairs(x1: Float[Tensor, "batch dim"], context: Context = None, block: int = 256) -> Pairs:
    """Pair data with fresh noise from N(0, I) so that the squared distance within each block is least.

    The points are taken in blocks as they come, so they should come in random order. With labels, noise is
    exchanged only between points of one label in a block: given its label, too, x0 is then N(0, I).

    Args:
        x1: (batch, dim) data points.
        context: (batch,) labels, or None. Real numbers are refused: hardly two points share them, and noise
            that is exchanged between others is no longer independent of what the field is told.
        block: how many points look at each other; 1 gives independent pairs. The time of a block grows like
            its cube.

    Returns:
        x0, x1, context: x0 is (batch, dim), the noise; the others are those that were given.

    Raises:
        TypeError: `x1` is no floating-point tensor, labels are no integers, `block` is no whole number.
        ValueError: a shape that does not fit; points that are infinite or nan; a block below 1.

    Source: Pooladian et al., "Multisample flow matching: straightening flows with minibatch couplings"
    (2023); Tong et al., "Improving and generalizing flow-based generative models with minibatch optimal
    transport" (2024). Each block is an assignment problem, which scipy solves exactly.

    Example:
        >>> x1 = torch.tensor([[9.0], [-9.0]])
        >>> _ = torch.manual_seed(0)
        >>> x0, _, _ = transport_pairs(x1)
        >>> bool(x0[0] > x0[1])  # the greater noise point goes to the greater data point
        True
    """
    x0, _, _ = independent_pairs(x1)
    require_finite(x1, "x1")
    require_count(block, "block")
    if context is not None:
        require_labels(context, len(x1), torch.iinfo(torch.int64).max, "context")
    for rows in torch.arange(len(x1), device="cpu").split(block):
        labels = torch.zeros(len(rows)) if context is None else context[rows].cpu()
        for label in labels.unique():
            alike = rows[labels == label]
            # Squared distances in float64, as near points differ in late digits only.
            cost = torch.cdist(x1[alike].double(), x0[alike].double()).square()
            _, best = linear_sum_assignment(cost.cpu().numpy())
            x0[alike] = x0[alike[torch.from_numpy(best)]]
    return x0, x1, context


def reflow_pairs(
    field: Field,
    x0: Float[Tensor, "batch dim"],
    steps: Steps,
    method: str = "midpoint",
    context: Context = None,
) -> Pairs:
    """Pair noise with the points that a field carries it to.

    A field trained on these pairs makes the same samples, apart from errors, by straighter ways.

    Args:
        field: called as field(x, t, context).
        x0: (batch, dim) noise points from N(0, I).
        steps, method, context: as for `integrate`.

    Returns:
        x0, x1, context: x1 is (batch, dim), where the field has carried x0; the others are those given.

    Raises:
        TypeError, ValueError: as `integrate`.

    Source: Liu, Gong and Liu, "Flow straight and fast: learning to generate and transfer data with
    rectified flow" (2023).

    Example:
        >>> shift = lambda x, t, context: torch.ones_like(x)
        >>> reflow_pairs(shift, torch.zeros(1, 2), steps=1)[1]
        tensor([[1., 1.]])
    """
    return x0, integrate(field, x0, steps, method, context=context), context
