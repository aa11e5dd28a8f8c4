"""Beside pyproject.toml: the one thing that it cannot say.

Installing the project brings its dependencies. A package with so common a name as `helpers` must not land in
anybody's site-packages; an editable install (`pip install -e .`) puts this checkout's `helpers` on the path,
and `pip install .` nothing at all.
"""

from setuptools import setup
from setuptools.command.build_py import build_py


class OnlyWhereEditable(build_py):
    """Copies nothing into a wheel."""

    def run(self) -> None:
        """Let an editable install find the package; leave any other without it."""
        if not self.editable_mode:
            self.packages = []
        super().run()


setup(cmdclass={"build_py": OnlyWhereEditable})
