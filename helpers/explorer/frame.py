"""The frame of a live figure: a box with a picture for pages without scripts, a caption, data, a script."""

import json
from html import escape

__all__ = ["NUMBER", "live_figure"]

NUMBER = "Live figure"  # where the book puts the number


def live_figure(
    name: str, box: str, caption: str, data: dict[str, object], script: str, kind: str = "fr-explorer"
) -> str:
    """The HTML of a live figure.

    Args:
        name: its id in the page.
        box: HTML of the element that the script fills, with the picture that stands there where none runs.
        caption: plain text; where there is none, the book gives the figure no number.
        data: what the script reads, in an element whose id is the figure's with `-data`.
        script: JavaScript that ends in a call for this figure.
        kind: the class of the figure, by which styles and scripts find it.
    """
    packed = json.dumps(data).replace("<", "\\u003c")
    number = f'<span class="caption-number">{NUMBER}. </span>'
    said = f"<figcaption><p>{number}{escape(caption, quote=False)}</p></figcaption>" if caption else ""
    return (
        f'<figure class="{kind}" id="{name}">{box}{said}</figure>\n'
        f'<script type="application/json" id="{name}-data">{packed}</script>\n'
        f"<script>\n{script}\n</script>"
    )
