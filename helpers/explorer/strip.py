"""A strip of images along a path, which the reader moves through in time; a picture where no script runs.

The images travel with the page, one byte for each pixel, so the page needs no model and no kernel.
"""

import base64
import io
import re
from html import escape
from pathlib import Path

import torch
from IPython.display import HTML
from jaxtyping import Float
from matplotlib.image import imsave
from torch import Tensor

from helpers.explorer.frame import live_figure
from helpers.validation import require_count, require_finite

__all__ = ["image_strip"]

SIDE = 8  # pixels of an image, each way
STILLS = 5  # times that the picture without scripts shows
SCRIPT = Path(__file__).with_name("strip.js")


def image_strip(
    images: Float[Tensor, "rows times 8 8"],
    times: list[float],
    labels: list[str],
    question: str,
    element: str = "strip",
    span: tuple[float, float] = (0.0, 1.0),
) -> HTML:
    """Images side by side, at a time that the reader chooses with a slider, keys or a finger, or plays.

    Between two stored times each pixel is on the straight line between its two values. A page holds 64 bytes
    for each image at each time, and a third more for their base64: ten images at 33 times are 28 KB.

    Args:
        images: (rows, times, 8, 8) each image at each of the times.
        times: increasing, within [0, 1]; the slider runs from the first to the last.
        labels: what stands under each image.
        question: what the reader should find out; it stands in the caption, behind the figure's number.
        element: the figure's id in the page, the same at every run.
        span: the values that are drawn white and black; those beyond are drawn as these.

    Raises:
        TypeError: `images` is no floating-point tensor.
        ValueError: its shape is another, or holds no image or only one time; entries are infinite or nan;
            times that are not as many, do not increase or leave [0, 1]; labels that are not as many; no
            question; an element that is no name of letters, digits and dashes; a span that does not increase.
    """
    _require_images(images)
    rows, count = images.shape[:2]
    low, high = span
    if len(times) != count:
        raise ValueError(f"times has {len(times)} entries; images has {count} times, and needs as many")
    if not all(0 <= a < b <= 1 for a, b in zip(times, times[1:])):
        raise ValueError(f"times is {times}; they must increase, within [0, 1]")
    if len(labels) != rows:
        raise ValueError(f"labels has {len(labels)} entries; images has {rows} rows, and needs as many")
    if not question.strip():
        raise ValueError("question is empty; say what the reader should find out")
    if not re.fullmatch(r"[A-Za-z][\w-]*", element):
        raise ValueError(f"element is {element!r}; it must be a name of letters, digits and dashes")
    if not low < high:
        raise ValueError(f"span is {span}; its first value must be below its second")
    ink = _quantized(images, low, high)
    data = {"times": times, "labels": labels, "packed": base64.b64encode(ink.numpy().tobytes()).decode()}
    box = f'<div class="fr-film">{_still(ink, times, labels)}</div>'
    script = f'{SCRIPT.read_text(encoding="utf-8")}FiveRingsStrip.mount("{element}");'
    return HTML(live_figure(element, box, question, data, script, kind="fr-strip"))


def _require_images(images: object) -> None:
    if not isinstance(images, Tensor) or not images.is_floating_point():
        kind = f"of dtype {images.dtype}" if isinstance(images, Tensor) else f"a {type(images).__name__}"
        raise TypeError(f"images is {kind}; it must be a floating-point tensor")
    if images.ndim != 4 or tuple(images.shape[2:]) != (SIDE, SIDE):
        raise ValueError(f"images has shape {tuple(images.shape)}; it must be (rows, times, {SIDE}, {SIDE})")
    require_count(len(images), "the number of images")
    require_count(images.shape[1], "the number of times", least=2)
    require_finite(images, "images")


def _quantized(images: Tensor, low: float, high: float) -> Tensor:
    """(times, rows, 8, 8) how black each pixel is, from 0 to 255."""
    share = ((images.detach().double().cpu() - low) / (high - low)).clamp(0, 1)
    return (255 * share).round().to(torch.uint8).transpose(0, 1).contiguous()


def _still(ink: Tensor, times: list[float], labels: list[str]) -> str:
    """The images at a few of the times, one row for each, as one PNG."""
    chosen = torch.linspace(0, len(times) - 1, min(STILLS, len(times))).round().long().tolist()
    grey = torch.nn.functional.pad(255 - ink[chosen], (0, 1, 0, 1), value=128)  # a line between two images
    sheet = grey.permute(0, 2, 1, 3).flatten(2).flatten(0, 1)[:-1, :-1]
    png = io.BytesIO()
    imsave(png, sheet[..., None].expand(-1, -1, 3).numpy(), format="png", metadata={"Software": None})
    seen = ", ".join(f"{times[k]:.2f}" for k in chosen)
    alt = escape(f"A strip of images at {len(chosen)} times, of these: {', '.join(labels)}")
    source = f"data:image/png;base64,{base64.b64encode(png.getvalue()).decode()}"
    look = "display: block; width: 100%; image-rendering: pixelated"
    return f'<img alt="{alt}" src="{source}" style="{look}"><p>From the top row down, t = {seen}.</p>'
