"""Training, the same for every model of the book; and saving and loading what was trained."""

import math
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import zip_longest
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save as to_bytes
from torch import Tensor, nn
from tqdm.auto import tqdm

from helpers.environment import device, models_folder, save_folder, saves_to_own_folder, shows_progress
from helpers.validation import require_count, require_finite, require_positive

__all__ = ["History", "as_one", "fit", "learning_rate", "load", "save"]

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

    Args:
        step: which step, from 0 to steps - 1.
        steps: how many there are in all.
        peak: the highest rate that it could reach.
        warmup: the share of the steps over which it rises, from 0 to 1.

    Source: Loshchilov and Hutter, "SGDR: stochastic gradient descent with warm restarts" (2017),
    without the restarts.

    Example:
        >>> [round(learning_rate(step, 100, peak=1.0), 3) for step in (0, 50, 99)]
        [0.5, 0.5, 0.0]
    """
    rise = min(1.0, (step + 1) / max(1.0, warmup * steps))
    return peak * rise * 0.5 * (1 + math.cos(math.pi * step / steps))


def as_one(parameters: list[nn.Parameter]) -> nn.Parameter:
    """Join parameters: they and their gradients become parts of one long parameter, and change with it.

    An optimizer has some operations to call for each parameter, however small. The flows have dozens of
    small ones; joined, they are updated, clipped and set back in one call each, to the same numbers.

    Raises:
        TypeError: the parameters are of several types.

    Example:
        >>> layer = nn.Linear(2, 3)
        >>> whole = as_one(list(layer.parameters()))
        >>> _ = whole.data.fill_(0.5)
        >>> layer.bias.data
        tensor([0.5000, 0.5000, 0.5000])
    """
    if len(types := {str(p.dtype) for p in parameters}) > 1:
        raise TypeError(f"the parameters have dtypes {', '.join(sorted(types))}; they must have one")
    whole = nn.Parameter(torch.cat([p.detach().flatten() for p in parameters]))
    whole.grad = torch.zeros_like(whole)
    sizes = [p.numel() for p in parameters]
    for p, values, gradient in zip(parameters, whole.detach().split(sizes), whole.grad.split(sizes)):
        p.data, p.grad = values.view_as(p), gradient.view_as(p)
    return whole


def fit(
    model: nn.Module,
    loss: Callable[..., Tensor],
    data: Tensor | tuple[Tensor, ...],
    *,
    steps: int,
    batch_size: int = 256,
    peak: float = 2e-3,
    clip: float = 1.0,
    held_out: Tensor | tuple[Tensor, ...] | None = None,
    every: int = 200,
    keep_best: bool = False,
) -> History:
    """Train a model in place by Adam, with a cosine learning rate and clipped gradients.

    It is trained on the device that FIVE_RINGS_DEVICE names, where the batches go as well, and comes back to
    its own. Held-out data meet it in evaluation mode, batches in training mode. A loss that draws random
    numbers draws them for held-out data too, so that `every` changes the batches that follow.

    Args:
        model: whose parameters are trained.
        loss: called with one batch of each tensor in `data`; returns a scalar, for a flow in nats.
        data: a tensor, or a tuple of tensors of equal length; batches are drawn from it at random, with
            replacement.
        steps, batch_size: how many updates, and on how many points each.
        peak: the highest learning rate.
        clip: bound on the norm of the gradient.
        held_out: tensors like `data`, on which the loss is taken every `every` steps.
        keep_best: leave the model as it was when its held-out loss was lowest, and not as it is at the end.

    Returns:
        The loss of every step, and the held-out losses.

    Raises:
        TypeError: a count that is no whole number; data that are no tensors; parameters of several types.
        ValueError: a count below 1; data that are empty, infinite, nan or of unequal lengths; another number
            of tensors held out than in the data, or none where the best state is to be kept; a model
            without parameters; a loss that is not one number, or does not depend on them.
        FloatingPointError: the loss or its gradient is not finite. The message names the step, and the
            model keeps the last parameters and buffers that had a finite loss.

    Source: Kingma and Ba, "Adam: a method for stochastic optimization" (2015).
    """
    require_count(steps, "steps")
    require_count(batch_size, "batch_size")
    require_count(every, "every")
    require_positive(peak, "peak")
    require_positive(clip, "clip")
    data = _parts(data, "data")
    if keep_best and held_out is None:
        raise ValueError("keep_best is set, but held_out is missing: nothing says which state is best")
    held_out = None if held_out is None else _parts(held_out, "held_out", len(data))
    parameters = [p for p in model.parameters() if p.requires_grad]
    if not parameters:
        raise ValueError(f"model is a {type(model).__name__} without parameters to train")
    history = History()
    with _in_training(model) as where:
        whole = as_one(parameters)
        optimizer = torch.optim.Adam([whole], lr=peak, fused=True)
        state = [whole, *model.buffers()]
        last_good = [part.detach().clone() for part in state]
        best, lowest = last_good, math.inf
        started = time.process_time()
        for step in tqdm(range(steps), disable=not shows_progress()):
            index = torch.randint(len(data[0]), (batch_size,), device="cpu")
            value = loss(*(part[index].to(where) for part in data))
            if value.ndim:
                raise ValueError(
                    f"loss returned shape {tuple(value.shape)}; it must be one number, such as a mean"
                )
            if step == 0:
                _require_dependence(value, parameters)
            optimizer.zero_grad(set_to_none=False)  # or it would let go of the parts' gradients
            value.backward()
            norm = nn.utils.clip_grad_norm_(whole, clip)
            if not torch.isfinite(value):
                _copy(state, last_good)
                raise FloatingPointError(f"step {step}: the loss is {value.item()}; {KEPT}")
            if not torch.isfinite(norm):  # at parameters whose loss is finite: they stay
                raise FloatingPointError(f"step {step}: the gradient has norm {norm.item()}; {KEPT}")
            _copy(last_good, state)
            optimizer.param_groups[0]["lr"] = learning_rate(step, steps, peak)
            optimizer.step()
            history.loss.append(value.item())
            if held_out is not None and ((step + 1) % every == 0 or step + 1 == steps):
                paused = time.process_time()
                model.eval()
                with torch.no_grad():
                    validation = loss(*(part.to(where) for part in held_out)).item()
                model.train()
                if not math.isfinite(validation):
                    _copy(state, last_good)
                    raise FloatingPointError(f"step {step}: the held-out loss is {validation}; {KEPT}")
                history.validation.append((step + 1, paused - started, validation))
                if keep_best and validation < lowest:
                    best, lowest = [part.detach().clone() for part in state], validation
                started += time.process_time() - paused  # validation is not training
        if keep_best:
            _copy(state, best)
    return history


@contextmanager
def _in_training(model: nn.Module) -> Iterator[torch.device]:
    """The model in training mode on the device of FIVE_RINGS_DEVICE; afterwards as and where it was.

    Its parameters, which training joins, part again.
    """
    home, modes = next(model.parameters()).device, {part: part.training for part in model.modules()}
    where = device()
    try:
        model.to(where).train()
        yield where
    finally:
        for p in model.parameters():
            p.data, p.grad = p.data.clone(), None if p.grad is None else p.grad.clone()
        model.to(home)
        for part, mode in modes.items():
            part.training = mode


def _parts(data: object, name: str, count: int | None = None) -> tuple[Tensor, ...]:
    """Data as a tuple of tensors that belong together row by row."""
    parts = (data,) if isinstance(data, Tensor) else data
    if not isinstance(parts, (tuple, list)) or not all(isinstance(part, Tensor) for part in parts):
        raise TypeError(f"{name} is a {type(data).__name__}; it must be a tensor, or a tuple of tensors")
    lengths = [len(part) for part in parts]
    if len(set(lengths)) != 1 or not lengths[0]:
        raise ValueError(f"{name} has lengths {lengths}; they must agree, and not be 0")
    if count not in (None, len(parts)):
        raise ValueError(f"{name} has {len(parts)} tensors; it must have {count}, as data has")
    for part in parts:
        require_finite(part, name)
    return tuple(part.detach() for part in parts)


def _require_dependence(value: Tensor, parameters: list[nn.Parameter]) -> None:
    """Raise unless the gradient of the value reaches at least one of the parameters."""
    found = torch.autograd.grad(value, parameters, retain_graph=True, allow_unused=True)
    if all(gradient is None for gradient in found):
        raise ValueError("loss does not depend on the parameters of model; is it another model's?")


def _copy(into: list[Tensor], values: list[Tensor]) -> None:
    with torch.no_grad():
        torch._foreach_copy_(into, values)


def _own(model: nn.Module) -> nn.Module:
    """The model itself, where `torch.compile` has wrapped it."""
    return getattr(model, "_orig_mod", model)


def save(model: nn.Module, name: str) -> Path:
    """Write a model's tensors, structure and settings to `NAME.safetensors`, whole or not at all.

    The folder is the one that FIVE_RINGS_SAVE names; without it `my_models` in the working folder, so that a
    reader's run leaves the models that come with the book alone, and a line says where the file is.

    Args:
        model: any module.
        name: of the file, without its ending.

    Returns:
        The file's path.

    Raises:
        ValueError: a tensor holds values that are not finite.
    """
    model = _own(model)
    # Copies: a layer that stands in a flow twice has its tensors once, which the format does not allow.
    state = {key: value.detach().cpu().contiguous().clone() for key, value in model.state_dict().items()}
    for key, value in state.items():
        if not torch.isfinite(value).all():
            raise ValueError(f"{key} of this {type(model).__name__} is not finite; it was not saved")
    folder = save_folder()
    # One entry, as several come in random order, and the same model should give the same file.
    content = to_bytes(state, metadata={"model": repr(model)})
    # Written beside its place and then moved there: a reader never meets half a file.
    path, part = folder / f"{name}.safetensors", folder / f"{name}.part"
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        part.write_bytes(content)
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)
    if saves_to_own_folder():
        print(f"saved to {path}; load(..., folder={str(folder)!r}) reads it back")
    return path


def load(model: nn.Module, name: str, folder: Path | str | None = None) -> None:
    """Fill a model in place with the tensors of `NAME.safetensors`, in the model's own dtype.

    Args:
        model: of the structure and the settings that the file was saved from.
        name: of the file, without its ending.
        folder: where it is; by default among the models that come with the book.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: it is truncated or not safetensors, or was saved from another model.
    """
    model = _own(model)
    path = Path(models_folder() if folder is None else folder) / f"{name}.safetensors"
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
    if structure != repr(model):  # tensors may fit where activations or settings differ
        pairs = zip_longest(structure.splitlines(), repr(model).splitlines(), fillvalue="nothing")
        theirs, ours = next((a.strip(), b.strip()) for a, b in pairs if a != b)
        raise ValueError(
            f"{path} is a {type(model).__name__} of other settings: it has {theirs!r} where this has {ours!r}"
        )
    model.load_state_dict(state)
