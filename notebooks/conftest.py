"""How nbval runs the chapters: no progress bars, models to a folder that is thrown away, and cells once more.

After its last cell each chapter meets what a reader does: its cells are run a second time, in order and in the same
kernel, so that none may depend on a name that a later cell has used for something else. Cells that took longer
than a few seconds, which train, are left out, and so are those that give a first value to what such a cell fills.
"""

import ast
import os
import tempfile
import time
from collections.abc import Iterator

import pytest
from nbval.plugin import IPyNbCell, IPyNbFile

SAVED = tempfile.TemporaryDirectory(prefix="five-rings-")  # removed when the run ends
os.environ |= {
    "FIVE_RINGS_PROGRESS": "0",
    "FIVE_RINGS_SAVE": SAVED.name,
    "OMP_NUM_THREADS": "1",
}
os.environ.pop("MPLBACKEND", None)

LONGEST = 2.0  # seconds that a cell may have taken to be run again
seconds: dict[pytest.Item, float] = {}


def names_filled(source: str) -> set[str]:
    """The names whose items a cell sets, as in kl["spline"] = 0.1."""
    nodes = list(ast.walk(ast.parse(source)))
    items = [
        n
        for n in nodes
        if isinstance(n, ast.Subscript) and isinstance(n.ctx, ast.Store)
    ]
    return {item.value.id for item in items if isinstance(item.value, ast.Name)}


def names_bound(source: str) -> set[str]:
    """The names that a cell gives a value."""
    names = [n for n in ast.walk(ast.parse(source)) if isinstance(n, ast.Name)]
    return {name.id for name in names if isinstance(name.ctx, ast.Store)}


class SecondRun(pytest.Item):
    """Runs the quick cells of a chapter once more, after all of them."""

    def __init__(self, *, cells: list[IPyNbCell], **given: object) -> None:
        super().__init__(**given)
        self.cells = cells

    def runtest(self) -> None:
        """Fail with the first cell that raises where it did not at first."""
        kernel = self.parent.kernel
        slow = [cell for cell in self.cells if seconds.get(cell, LONGEST) >= LONGEST]
        kept = set().union(*(names_filled(cell.cell.source) for cell in slow))
        for cell in self.cells:
            expected = "raises-exception" in cell.cell.metadata.get("tags", [])
            if cell in slow or expected or kept & names_bound(cell.cell.source):
                continue
            asked = kernel.execute_cell_input(cell.cell.source, allow_stdin=False)
            reply = kernel.get_message("shell", timeout=300)
            while reply["parent_header"].get("msg_id") != asked:
                reply = kernel.get_message("shell", timeout=300)
            reply = reply["content"]
            kernel.await_idle(asked, timeout=30)
            if reply["status"] != "ok":
                pytest.fail(
                    f"run again: {reply['ename']}: {reply['evalue']}\n\n{cell.cell.source}",
                    pytrace=False,
                )

    def reportinfo(self) -> tuple[str, int, str]:
        """Where it stands in a report."""
        return str(self.path), 0, f"{self.path.name}: every quick cell once more"


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Give every notebook its second run, as its last item."""
    chapters: dict[IPyNbFile, list[IPyNbCell]] = {}
    for item in items:
        if isinstance(item, IPyNbCell):
            chapters.setdefault(item.parent, []).append(item)
    for chapter, cells in chapters.items():
        again = SecondRun.from_parent(chapter, name="Cells once more", cells=cells)
        items.insert(items.index(cells[-1]) + 1, again)


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_call(item: pytest.Item) -> Iterator[None]:
    """Note how long each cell takes."""
    start = time.perf_counter()
    yield
    seconds[item] = time.perf_counter() - start
