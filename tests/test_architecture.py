"""One home for every idea; and helpers that are short, in order, and right in their examples."""

import ast
import doctest
import importlib
import json
import re
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pytest

import helpers

ROOT = Path(__file__).resolve().parents[1]
FIRST = ROOT / "helpers" / "__init__.py"
FILES = sorted(path for path in (ROOT / "helpers").rglob("*.py") if path != FIRST)
ORDER = re.findall(r"`(\w+)`", helpers.__doc__.split("\n\n")[1])
# 2,200 for Chapters 1 to 12; then transformations, instruments, ladders; pairs, flow maps, schedules, noise;
# rings of any number and radii; and the round of the clinic.
MOST_LINES = 3280


def name_of(path: Path) -> str:
    """A module's: that of its file, or of its folder, where it has one."""
    return path.stem if path.parent == FIRST.parent else path.parent.name


def import_name(path: Path) -> str:
    """What Python calls it."""
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(part for part in parts if part != "__init__")


def module_of(path: Path) -> ModuleType:
    return importlib.import_module(import_name(path))


by_file = pytest.mark.parametrize("path", FILES, ids=import_name)


def parsed(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"))


def definitions(tree: ast.Module) -> Iterator[str]:
    """Public classes and functions at the top level of a file or a cell."""
    for node in tree.body:
        is_definition = isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef))
        if is_definition and not node.name.startswith("_"):
            yield node.name


def code_of(notebook: Path) -> Iterator[tuple[str, ast.Module]]:
    """Code cells, without the lines that are IPython's and not Python's."""
    cells = json.loads(notebook.read_text(encoding="utf-8"))["cells"]
    for number, cell in enumerate(cells):
        if cell["cell_type"] == "code":
            lines = "".join(cell["source"]).splitlines()
            source = "\n".join(line for line in lines if not line.startswith(("%", "!")))
            yield f"{notebook.name}, cell {number}", ast.parse(source)


def test_no_public_name_is_defined_in_two_places() -> None:
    homes: dict[str, list[str]] = defaultdict(list)
    for folder in ("helpers", "tools", "bench", "teaching"):
        for path in (ROOT / folder).rglob("*.py"):
            for name in definitions(parsed(path)):
                homes[name].append(path.relative_to(ROOT).as_posix())
    for notebook in (ROOT / "notebooks").glob("*.ipynb"):
        for place, tree in code_of(notebook):
            for name in definitions(tree):
                homes[name].append(place)
    for start in ("main", "setup"):  # that of a program, or of an extension of Sphinx, is no idea
        homes.pop(start, None)
    assert "OlympicRings" in homes
    assert {name: places for name, places in homes.items() if len(places) > 1} == {}


def test_the_reading_order_names_every_file_or_folder_once() -> None:
    assert sorted(ORDER) == sorted(set(map(name_of, FILES)))


@by_file
def test_a_file_imports_only_from_files_before_it(path: Path) -> None:
    imported = set()
    for node in ast.walk(parsed(path)):
        if isinstance(node, ast.ImportFrom) and node.module == "helpers":
            imported |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert not node.level, "a relative import hides where a name comes from"
            imported |= {name.split(".")[1] for name in [node.module] if name.startswith("helpers.")}
        elif isinstance(node, ast.Import):
            assert not any(alias.name.split(".")[0] == "helpers" for alias in node.names)
    own = {name_of(path)} - {path.stem}  # the files of one folder may import from each other
    assert imported - own <= set(ORDER[: ORDER.index(name_of(path))])


@by_file
def test_all_names_what_exists_and_every_public_definition(path: Path) -> None:
    module = module_of(path)
    assert len(module.__all__) == len(set(module.__all__))
    assert all(hasattr(module, name) for name in module.__all__)
    assert set(definitions(parsed(path))) <= set(module.__all__)


def lines_without_docstrings(path: Path) -> int:
    """Lines that hold something: blank ones are layout, and docstrings are for the reader."""
    kinds = (ast.Module, ast.ClassDef, ast.FunctionDef)
    blocks = [node for node in ast.walk(parsed(path)) if isinstance(node, kinds) and ast.get_docstring(node)]
    docstrings = {n for block in blocks for n in range(block.body[0].lineno, block.body[0].end_lineno + 1)}
    lines = path.read_text(encoding="utf-8").splitlines()
    return sum(bool(line.strip()) and n not in docstrings for n, line in enumerate(lines, start=1))


def test_the_helpers_are_short() -> None:
    files = [*FILES, FIRST]
    assert sum(lines_without_docstrings(path) for path in files) <= MOST_LINES


@by_file
def test_the_examples_in_docstrings_hold(path: Path) -> None:
    module = module_of(path)
    result = doctest.testmod(module, optionflags=doctest.NORMALIZE_WHITESPACE)
    assert result.failed == 0
    if name_of(path) in {"rings", "path", "flows", "matching", "ode", "training", "page"}:
        assert result.attempted > 0


@by_file
def test_everything_public_is_explained(path: Path) -> None:
    module = module_of(path)
    assert module.__doc__
    for name in module.__all__:
        thing = getattr(module, name)
        if callable(thing):
            assert (thing.__doc__ or "").strip(), f"{name} has no docstring"
