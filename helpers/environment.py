"""The settings of the book, read from environment variables.

`FIVE_RINGS_THREADS`   threads that torch may use (default 1: on nets this small more cost time)
`FIVE_RINGS_DEVICE`    where models are trained (default `cpu`)
`FIVE_RINGS_PROGRESS`  `1` or `0`: whether training draws a progress bar (default 1)

`FIVE_RINGS_SAVE`      the folder that models are saved to (default: `my_models` in the working folder)

The book's own tools save to `models/`, from which chapters load; a reader's run leaves that folder alone.
"""

import os
from pathlib import Path

import torch

__all__ = ["device", "limit_threads", "models_folder", "save_folder", "saves_to_own_folder", "shows_progress"]


def limit_threads() -> None:
    """Let torch use `FIVE_RINGS_THREADS` threads.

    Raises:
        ValueError: the variable is not a whole number of at least 1.
    """
    wanted = os.environ.get("FIVE_RINGS_THREADS", "1")
    if not wanted.isdecimal() or int(wanted) < 1:
        raise ValueError(f"FIVE_RINGS_THREADS is {wanted!r}; it must be a whole number, 1 or more")
    torch.set_num_threads(int(wanted))


def device() -> torch.device:
    """The device named by `FIVE_RINGS_DEVICE`.

    Raises:
        ValueError: torch knows no such device, or this machine has none.
    """
    name = os.environ.get("FIVE_RINGS_DEVICE", "cpu")
    try:
        found = torch.device(name)
        torch.empty(0, device=found)
    except (RuntimeError, AssertionError) as error:
        raise ValueError(f"FIVE_RINGS_DEVICE is {name!r}, which cannot be used: {error}") from error
    return found


def shows_progress() -> bool:
    """Whether training draws a progress bar (`FIVE_RINGS_PROGRESS`).

    Raises:
        ValueError: the variable is neither 1 nor 0.
    """
    wanted = os.environ.get("FIVE_RINGS_PROGRESS", "1")
    if wanted not in ("0", "1"):
        raise ValueError(f"FIVE_RINGS_PROGRESS is {wanted!r}; it must be 1 or 0")
    return wanted == "1"


def models_folder() -> Path:
    """The folder of the models that come with the book."""
    return Path(__file__).resolve().parent.parent / "models"


def saves_to_own_folder() -> bool:
    """Whether nobody has said where models are to be saved, by `FIVE_RINGS_SAVE`."""
    return not os.environ.get("FIVE_RINGS_SAVE")


def save_folder() -> Path:
    """The folder that models are saved to: `FIVE_RINGS_SAVE`, or `my_models` in the working folder."""
    return Path("my_models" if saves_to_own_folder() else os.environ["FIVE_RINGS_SAVE"])
