"""Checks of what a caller passes in: each names the argument, what it was, and what is wanted.

A public function checks its arguments once, where they come in. Under the transforms of `torch.func` and
under `torch.compile` the values of a tensor cannot be looked at; shapes and types still can, and are.
"""

import numbers

import torch
from torch import Tensor

__all__ = [
    "require_context",
    "require_count",
    "require_finite",
    "require_labels",
    "require_one_each",
    "require_points",
    "require_positive",
    "require_time",
]


def _values_can_be_read(x: Tensor) -> bool:
    return not (torch.compiler.is_compiling() or torch._C._functorch.is_functorch_wrapped_tensor(x))


def require_points(
    x: object, dim: int | None = None, name: str = "x", dtype: torch.dtype | None = None
) -> None:
    """Raise unless `x` is a floating-point tensor of shape (batch, dim), of any dim where none is given.

    Args:
        x, name: what was passed, and what it is called.
        dim: the number of coordinates of a point.
        dtype: the type in which a model computes.

    Raises:
        TypeError: `x` is no tensor, or not of a floating-point type, or not of the model's.
        ValueError: its shape is another.
    """
    if not isinstance(x, Tensor):
        raise TypeError(f"{name} is a {type(x).__name__}; it must be a torch tensor of points")
    if not x.is_floating_point():
        raise TypeError(f"{name} has dtype {x.dtype}; it must be a floating-point tensor")
    if dtype is not None and x.dtype != dtype:
        raise TypeError(f"{name} has dtype {x.dtype}; this model computes in {dtype}")
    if x.ndim != 2 or dim not in (None, x.shape[1]):
        wanted = "dim" if dim is None else dim
        raise ValueError(f"{name} has shape {tuple(x.shape)}; it must be (batch, {wanted})")


def require_finite(x: Tensor, name: str = "x") -> None:
    """Raise `ValueError` unless every entry of `x` is finite."""
    if _values_can_be_read(x) and not (finite := torch.isfinite(x)).all():
        raise ValueError(f"{name} has {int((~finite).sum())} entries that are infinite or nan")


def require_one_each(values: Tensor, batch: int, name: str) -> None:
    """Raise `ValueError` unless `values` has shape (batch,): any other would broadcast, without a word."""
    if values.shape != (batch,):
        raise ValueError(f"{name} has shape {tuple(values.shape)}; it must be ({batch},)")


def require_labels(labels: object, batch: int, classes: int = 5, name: str = "ring") -> None:
    """Raise unless `labels` is a tensor of integers (int64), of shape (batch,), with entries in 0..classes-1.

    Raises:
        TypeError: `labels` is no tensor, or not of an integer type.
        ValueError: its shape is another, or a label is out of range.
    """
    if not isinstance(labels, Tensor):
        raise TypeError(f"{name} is a {type(labels).__name__}; it must be a tensor of class labels")
    if labels.dtype != torch.int64:
        raise TypeError(
            f"{name} has dtype {labels.dtype}; class labels must be integers, of dtype torch.int64"
        )
    if tuple(labels.shape) != (batch,):
        raise ValueError(f"{name} has shape {tuple(labels.shape)}; it must be ({batch},)")
    if batch and _values_can_be_read(labels):
        low, high = int(labels.min()), int(labels.max())
        if low < 0 or high >= classes:
            raise ValueError(f"{name} has labels from {low} to {high}; they must lie in 0..{classes - 1}")


def require_context(context: object, batch: int, classes: int, features: int) -> None:
    """Raise unless `context` is what a model with these `classes` or `features` is told beside its points.

    Raises:
        TypeError: it is no tensor, or of the wrong type: labels are integers, features are real numbers.
        ValueError: it is missing or not asked for, its shape is another, or a value is out of range.
    """
    if not classes and not features:
        if context is not None:
            raise ValueError("context is given, but this model was built without classes or features")
    elif context is None:
        wanted = "a label for each point" if classes else f"{features} numbers for each point"
        raise ValueError(f"context is missing; this model is conditional and needs {wanted}")
    elif classes:
        require_labels(context, batch, classes, "context")
    else:
        require_points(context, features, "context")
        if len(context) != batch:
            raise ValueError(f"context has shape {tuple(context.shape)}; it must be ({batch}, {features})")
        require_finite(context, "context")


def require_count(n: object, name: str = "n", least: int = 1) -> None:
    """Raise unless `n` is a whole number of at least `least`.

    Raises:
        TypeError: `n` is not an integer, of Python's or of numpy's.
        ValueError: `n` is too small.
    """
    if not isinstance(n, numbers.Integral) or isinstance(n, bool):
        raise TypeError(f"{name} is {n!r}; it must be a whole number")
    if n < least:
        raise ValueError(f"{name} is {n}; it must be at least {least}")


def require_positive(value: object, name: str) -> None:
    """Raise unless `value` is a finite number above zero.

    Raises:
        TypeError: `value` is no number.
        ValueError: it is not above 0, infinite or nan.
    """
    if not isinstance(value, numbers.Real) or isinstance(value, bool):
        raise TypeError(f"{name} is {value!r}; it must be a number")
    if not 0 < value < float("inf"):
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
        if not _values_can_be_read(t):
            return
    elif not isinstance(t, numbers.Real) or isinstance(t, bool):
        raise TypeError(f"{name} is {t!r}; it must be a number, or a tensor of times")
    inside = (t >= 0) & ((t <= 1) if end else (t < 1))  # nan compares as false, and so is outside
    if isinstance(t, Tensor):
        if inside.all():
            return
        t = t.detach()[~inside].flatten()[0]
    elif inside:
        return
    raise ValueError(f"{name} is {float(t)}; times must lie in [0, 1{']' if end else ')'}")
