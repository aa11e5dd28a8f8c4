"""Training, the same for every model of the book; and saving and loading what was trained."""

import math
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save as to_bytes
from torch import Tensor, nn
from tqdm.auto import tqdm

from helpers.environment import models_folder, save_folder, shows_progress
from helpers.inputs import require_count, require_positive

__all__ = ["History", "fit", "learning_rate", "load", "save"]

KEPT = "the model keeps the last parameters that had a finite loss"


@dataclass
class History:
    """What happened while a model was trained.

    Attributes:
        loss: the loss of every step, on its batch.
        validation: triples (step, CPU-seconds spent on training so far, loss on held-out data).
    """

    loss: list[float] = field(default_factory=list)
    validation: list[tuple[int, float, float]] = field(default_factory=list)


def learning_rate(step: int, steps: int, peak: float, warmup: float = 0.02) -> float:
    """Learning rate of one step: a linear rise over the first share `warmup`, times a cosine to 0.

    Source: Loshchilov and Hutter, "SGDR: stochastic gradient descent with warm restarts" (2017),
    without the restarts.

    Example:
        >>> [round(learning_rate(step, 100, peak=1.0), 3) for step in (0, 50, 99)]
        [0.5, 0.5, 0.0]
    """
    rise = min(1.0, (step + 1) / max(1.0, warmup * steps))
    return peak * rise * 0.5 * (1 + math.cos(math.pi * step / steps))


def fit(
    model: nn.Module,
    loss: Callable[..., Tensor],
    data: tuple[Tensor, ...],
    *,
    steps: int,
    batch_size: int = 256,
    peak: float = 2e-3,
    clip: float = 1.0,
    held_out: tuple[Tensor, ...] | None = None,
    every: int = 200,
) -> History:
    """Train a model in place by Adam, with a cosine learning rate and clipped gradients.

    Args:
        model: whose parameters are trained.
        loss: called with one batch of each tensor in `data`; returns a scalar in nats.
        data: tensors of equal length; each batch is drawn from them at random, with replacement.
        steps, batch_size: how many updates, and on how many points each.
        peak: the highest learning rate.
        clip: bound on the norm of the gradient.
        held_out: tensors like `data`, on which the loss is taken every `every` steps.

    Raises:
        TypeError, ValueError: a count below 1, or data of unequal lengths.
        FloatingPointError: the loss or its gradient is not finite. The message names the step, and
            the model keeps the last parameters that had a finite loss.

    Source: Kingma and Ba, "Adam: a method for stochastic optimization" (2015).
    """
    require_count(steps, "steps")
    require_count(batch_size, "batch_size")
    require_count(every, "every")
    require_positive(peak, "peak")
    require_positive(clip, "clip")
    if not data or len({len(part) for part in data}) != 1 or not len(data[0]):
        raise ValueError(f"data has lengths {[len(part) for part in data]}; they must agree, and not be 0")
    parameters = [p for p in model.parameters() if p.requires_grad]
    optimizer = torch.optim.Adam(parameters, lr=peak, fused=True)
    last_good = [p.detach().clone() for p in parameters]
    history = History()
    started = time.process_time()
    for step in tqdm(range(steps), disable=not shows_progress()):
        index = torch.randint(len(data[0]), (batch_size,))
        value = loss(*(part[index] for part in data))
        optimizer.zero_grad()
        value.backward()
        norm = nn.utils.clip_grad_norm_(parameters, clip)
        if not torch.isfinite(value):
            _copy(parameters, last_good)
            raise FloatingPointError(f"step {step}: the loss is {value.item()}; {KEPT}")
        if not torch.isfinite(norm):
            raise FloatingPointError(f"step {step}: the gradient has norm {norm.item()}; {KEPT}")
        _copy(last_good, parameters)
        for group in optimizer.param_groups:
            group["lr"] = learning_rate(step, steps, peak)
        optimizer.step()
        history.loss.append(value.item())
        if held_out is not None and ((step + 1) % every == 0 or step + 1 == steps):
            paused = time.process_time()
            with torch.no_grad():
                validation = loss(*held_out).item()
            if not math.isfinite(validation):
                _copy(parameters, last_good)
                raise FloatingPointError(f"step {step}: the held-out loss is {validation}; {KEPT}")
            history.validation.append((step + 1, paused - started, validation))
            started += time.process_time() - paused  # validation is not training
    return history


def _copy(into: list[Tensor], values: list[Tensor]) -> None:
    with torch.no_grad():
        torch._foreach_copy_(into, values)


def save(model: nn.Module, name: str) -> Path:
    """Write a model's tensors to `NAME.safetensors` in the models' folder, whole or not at all.

    Raises:
        ValueError: a tensor holds values that are not finite.

    Returns:
        The file's path.
    """
    state = {key: value.detach().cpu().contiguous() for key, value in model.state_dict().items()}
    for key, value in state.items():
        if not torch.isfinite(value).all():
            raise ValueError(f"{key} of this {type(model).__name__} is not finite; it was not saved")
    folder = save_folder()
    folder.mkdir(parents=True, exist_ok=True)
    # One entry, as several come in random order, and the same model should give the same file.
    content = to_bytes(state, metadata={"model": repr(model)})
    # Written beside its place and then moved there: a reader never meets half a file.
    path, part = folder / f"{name}.safetensors", folder / f"{name}.part"
    try:
        part.write_bytes(content)
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)
    return path


def load(model: nn.Module, name: str, folder: Path | None = None) -> None:
    """Fill a model with the tensors of `NAME.safetensors`, from the committed models by default.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: it is truncated or not safetensors, or was saved from another model.
    """
    path = (folder or models_folder()) / f"{name}.safetensors"
    if not path.is_file():
        raise FileNotFoundError(f"no model {name!r}: {path} does not exist")
    try:
        with safe_open(path, framework="pt") as file:
            metadata = file.metadata() or {}
            state = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118
    except SafetensorError as error:
        raise ValueError(f"{path} is truncated, or not a safetensors file: {error}") from error
    structure = metadata.get("model", "model of unknown kind")
    if (kind := structure.split("(")[0]) != type(model).__name__:
        raise ValueError(f"{path} holds a {kind}, not a {type(model).__name__}")
    own = {key: tuple(value.shape) for key, value in model.state_dict().items()}
    found = {key: tuple(value.shape) for key, value in state.items()}
    if own != found:
        differing = sorted(key for key in own.keys() | found.keys() if own.get(key) != found.get(key))
        raise ValueError(
            f"{path} was saved from another {type(model).__name__}: {len(differing)} tensors differ, "
            f"first {differing[0]!r} (file {found.get(differing[0])}, model {own.get(differing[0])})"
        )
    if structure != repr(model):  # tensors may fit where activations differ
        raise ValueError(f"{path} was saved from a {type(model).__name__} of another structure")
    model.load_state_dict(state)
