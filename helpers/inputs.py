"""Checks of what a caller passes in: each names the argument, what it was, and what is wanted."""

import torch
from torch import Tensor

__all__ = [
    "require_count",
    "require_finite",
    "require_points",
    "require_positive",
    "require_rings",
    "require_time",
]


def require_points(x: object, dim: int, name: str = "x") -> None:
    """Raise unless `x` is a floating-point tensor of shape (batch, dim).

    Raises:
        TypeError: `x` is no tensor, or not of a floating-point type.
        ValueError: its shape is another.
    """
    if not isinstance(x, Tensor):
        raise TypeError(f"{name} is a {type(x).__name__}; it must be a torch tensor of points")
    if not x.is_floating_point():
        raise TypeError(f"{name} has dtype {x.dtype}; it must be a floating-point tensor")
    if x.ndim != 2 or x.shape[1] != dim:
        raise ValueError(f"{name} has shape {tuple(x.shape)}; it must be (batch, {dim})")


def require_finite(x: Tensor, name: str = "x") -> None:
    """Raise `ValueError` unless every entry of `x` is finite."""
    finite = torch.isfinite(x)
    if not finite.all():
        raise ValueError(f"{name} has {int((~finite).sum())} entries that are infinite or nan")


def require_rings(ring: object, batch: int, classes: int = 5, name: str = "ring") -> None:
    """Raise unless `ring` is an integer tensor of shape (batch,) with labels in 0..classes-1.

    Raises:
        TypeError: `ring` is no tensor, or not of an integer type.
        ValueError: its shape is another, or a label is out of range.
    """
    if not isinstance(ring, Tensor):
        raise TypeError(f"{name} is a {type(ring).__name__}; it must be a tensor of class labels")
    if ring.dtype != torch.int64:
        raise TypeError(f"{name} has dtype {ring.dtype}; class labels must be integers, of dtype torch.int64")
    if tuple(ring.shape) != (batch,):
        raise ValueError(f"{name} has shape {tuple(ring.shape)}; it must be ({batch},)")
    if batch and not 0 <= int(ring.min()) <= int(ring.max()) < classes:
        low, high = int(ring.min()), int(ring.max())
        raise ValueError(f"{name} has labels from {low} to {high}; they must lie in 0..{classes - 1}")


def require_count(n: object, name: str = "n", least: int = 1) -> None:
    """Raise unless `n` is a whole number of at least `least`.

    Raises:
        TypeError: `n` is not an int.
        ValueError: `n` is too small.
    """
    if not isinstance(n, int) or isinstance(n, bool):
        raise TypeError(f"{name} is {n!r}; it must be a whole number")
    if n < least:
        raise ValueError(f"{name} is {n}; it must be at least {least}")


def require_positive(value: object, name: str) -> None:
    """Raise `ValueError` unless `value` is a finite number above zero."""
    if not isinstance(value, (int, float)) or not 0 < value < float("inf"):
        raise ValueError(f"{name} is {value!r}; it must be a finite number above 0")


def require_time(t: object, batch: int, end: bool = False, name: str = "t") -> None:
    """Raise unless `t` is a time in [0, 1), or in [0, 1] with `end`: a number, or a tensor of one or `batch`.

    Raises:
        TypeError: `t` is neither a number nor a floating-point tensor.
        ValueError: its shape is neither () nor (batch,), or an entry is out of range, infinite or nan.
    """
    if isinstance(t, Tensor):
        if not t.is_floating_point():
            raise TypeError(f"{name} has dtype {t.dtype}; a tensor of times must be of floating point")
        if tuple(t.shape) not in ((), (batch,)):
            raise ValueError(f"{name} has shape {tuple(t.shape)}; it must be one time, or ({batch},)")
    elif not isinstance(t, (int, float)) or isinstance(t, bool):
        raise TypeError(f"{name} is {t!r}; it must be a number, or a tensor of times")
    times = torch.as_tensor(t, dtype=torch.float64).detach().flatten()
    # Written so that nan, which compares as false, counts as out of range.
    bad = times[~((times >= 0) & ((times <= 1) if end else (times < 1)))]
    if len(bad):
        raise ValueError(f"{name} is {float(bad[0])}; times must lie in [0, 1{']' if end else ')'}")
