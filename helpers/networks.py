"""What the models' networks see, waves of a number and a context, and how their layers begin."""

import math
from itertools import pairwise

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

__all__ = ["Context", "context_features", "periodic_features", "zero_ended_network"]

# What a model is told beside the point: class labels, or rows of real numbers.
Context = Int[Tensor, " batch"] | Float[Tensor, "batch features"] | None


def periodic_features(
    a: Float[Tensor, "batch kept"], frequencies: int, reach: float = 3.0
) -> Float[Tensor, "batch features"]:
    """The coordinates themselves, and the sine and cosine of k pi a / reach for k = 1..frequencies.

    A network that sees only `a` learns slow functions first; waves of several lengths let it draw
    sharp ones. Returns (batch, kept * (1 + 2 frequencies)).

    Source: Tancik et al., "Fourier features let networks learn high frequency functions in low
    dimensional domains" (2020).

    Example:
        >>> periodic_features(torch.zeros(5, 1), frequencies=4).shape
        torch.Size([5, 9])
    """
    if not frequencies:
        return a
    k = torch.arange(1, frequencies + 1, device=a.device, dtype=a.dtype) * (math.pi / reach)
    phase = (a[:, :, None] * k).flatten(1)
    return torch.cat([a, phase.sin(), phase.cos()], dim=1)


def context_features(
    context: Int[Tensor, " batch"] | Float[Tensor, "batch features"], classes: int, dtype: torch.dtype
) -> Float[Tensor, "batch features"]:
    """A context as a network sees it: labels as vectors with a single 1 (one-hot), real vectors as they are.

    Args:
        context: (batch,) labels in 0..classes-1; or (batch, features) real numbers, where `classes` is 0.
        classes: how many classes there are, or 0.
        dtype: of the result.

    Example:
        >>> context_features(torch.tensor([2, 0]), classes=3, dtype=torch.float32)
        tensor([[0., 0., 1.],
                [1., 0., 0.]])
    """
    if not classes:
        return context.to(dtype)
    return (context[:, None] == torch.arange(classes, device=context.device)).to(dtype)


def zero_ended_network(
    inputs: int, hidden: int, depth: int, outputs: int, activation: type[nn.Module] = nn.LeakyReLU
) -> nn.Sequential:
    """A network of `depth` hidden layers of width `hidden`, whose last layer starts at zero.

    So a new coupling, which does nothing where its network says nothing, is the identity.
    """
    layers: list[nn.Module] = []
    for wide, next_wide in pairwise([inputs] + [hidden] * depth):
        layers += [nn.Linear(wide, next_wide), activation()]
    last = nn.Linear(hidden, outputs)
    nn.init.zeros_(last.weight)
    nn.init.zeros_(last.bias)
    return nn.Sequential(*layers, last)
