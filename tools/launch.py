"""Buttons that open a chapter on Binder or Colab, once the repository is public. An extension of Sphinx.

Off unless FIVE_RINGS_REPOSITORY holds the address: https://github.com/OWNER/NAME
"""

import os

from sphinx.application import Sphinx
from sphinx.config import Config

HOSTS = {
    "notebook_interface": "jupyterlab",
    "binderhub_url": "https://mybinder.org",
    "colab_url": "https://colab.research.google.com",
}


def offer(app: Sphinx, config: Config) -> None:
    """Switch the buttons on where there is an address."""
    if address := os.environ.get("FIVE_RINGS_REPOSITORY"):
        where = {"repository_url": address, "repository_branch": "main", "path_to_docs": ""}
        config.html_theme_options |= where | {"launch_buttons": HOSTS}


def setup(app: Sphinx) -> dict[str, bool]:
    """Called by Sphinx."""
    app.connect("config-inited", offer)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
