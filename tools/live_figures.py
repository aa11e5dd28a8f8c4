"""Live figures get their numbers: they are no figures to Sphinx, which sees raw HTML."""

import re
from itertools import count
from pathlib import Path

from helpers.explorer.frame import NUMBER

FIGURE = re.compile(
    r'(<figure class="fr-(?:explorer|strip)" id="([^"]+)">(?:(?!</figure>).)*?<figcaption><p>'
    rf'<span class="caption-number">){NUMBER}\. (</span>.*?)(</p></figcaption>)',
    re.DOTALL,
)


def number_live_figures(page: str, path: Path) -> str:
    """A page whose live figures are numbered, by chapter and place, and can be linked to.

    Args:
        page: the page as HTML.
        path: its file, whose name begins with the number of its chapter, if it is one.
    """
    chapter, place = re.match(r"\d+", path.name), count(1)

    def numbered(found: re.Match[str]) -> str:
        head, name, text, end = found.groups()
        number = f"{NUMBER} {int(chapter[0])}.{next(place)} " if chapter else ""
        link = f'<a class="headerlink" href="#{name}" title="Link to this figure">#</a>'
        return f"{head}{number}{text}{link}{end}"

    return FIGURE.sub(numbered, page)
