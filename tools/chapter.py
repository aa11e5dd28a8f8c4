"""Pack one chapter with what it needs, to run elsewhere: dist/five-rings-chapter-NN.zip.

Helpers and models lie beside the notebook, where Python finds the ones and the helpers find the others. So
nothing of the book's has to be installed, and chapters unpacked side by side leave each other alone.
"""

import ast
import re
import shutil
import sys
import tempfile
from importlib.metadata import packages_distributions
from pathlib import Path

import archive
import nbformat
from nbformat import NotebookNode
from staleness import helpers_of, measurements_of, models_of, syntax

from notebooks import chapters

ROOT = Path(__file__).resolve().parent.parent
PICTURE = re.compile(r"\]\(\.\./(book/_static/[^)\s]+)\)")
DATA = re.compile(r'distribution\("([\w-]+)"\)')  # a package that is opened for its tables, not imported

README = """\
# Chapter {number}: {title}

One chapter of *Flow-Based Generative Modeling on Five Rings*, with its outputs and all that it needs to run
again: the helpers that it imports, and the models, measurements and drawings that it reads.

With Python 3.11 or later, in this folder and best in a virtual environment of its own, one line installs the
other packages:

    python -m pip install -r requirements.txt

Then `python -m jupyterlab` opens JupyterLab, in which you open `notebooks/{name}`.
The notebook imports `helpers/` from beside it: keep the two together. A model that you train is saved to
`notebooks/my_models/`.

On Linux, pip's `torch` brings several gigabytes of CUDA along. If you would rather not have them, install the
CPU build of the same version first, as https://pytorch.org/get-started/locally/ tells.

Links to other chapters and to the glossary are those of the whole book, and lead nowhere from here.

Code is under the MIT License, text and figures under CC BY 4.0: see LICENSE.
"""


def find_chapter(number: str) -> Path:
    """The notebook of a chapter, by a number such as "08" or "8".

    Raises:
        ValueError: there is no such chapter.
    """
    known = {path.name[:2]: path for path in chapters()}
    if number.zfill(2) not in known:
        raise ValueError(f"N is {number!r}; it must be one of {', '.join(known)}, as in `make chapter N=08`")
    return known[number.zfill(2)]


def outside_imports(source: str) -> set[str]:
    """The packages that a piece of code imports, neither Python's own nor the book's, by name."""
    names = set()
    for node in ast.walk(syntax(source)):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            names.add(node.module or "")
    return {name.split(".")[0] for name in names} - {"helpers"} - sys.stdlib_module_names


def pins_of(sources: list[str]) -> list[str]:
    """What pip has to install for these sources, and Jupyter to open them, as lines of constraints.txt.

    Raises:
        KeyError: a package is imported that is not installed here, or has no line there.
    """
    installed = packages_distributions()  # sklearn comes from scikit-learn
    wanted = {installed[name][0] for source in sources for name in outside_imports(source)} | {"jupyter"}
    wanted |= {name for source in sources for name in DATA.findall(source)}
    lines = (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines()
    pins = {line.split("==")[0].lower(): line for line in lines}
    return sorted(pins[name.lower()] for name in wanted)


def layout(notebook: NotebookNode) -> dict[str, Path]:
    """Where in the archive which file of the book goes."""
    code = [cell.source for cell in notebook.cells if cell.cell_type == "code"]
    prose = "\n".join(cell.source for cell in notebook.cells if cell.cell_type == "markdown")
    beside = [path.relative_to(ROOT).as_posix() for path in helpers_of(code) + models_of(code)]
    # The notebook asks for these by ../bench/results/... and ../book/_static/...
    above = [path.relative_to(ROOT).as_posix() for path in measurements_of(code)] + PICTURE.findall(prose)
    files = {f"notebooks/{name}": ROOT / name for name in beside}
    return files | {name: ROOT / name for name in above} | {"LICENSE": ROOT / "LICENSE"}


def pack_chapter(number: str, folder: Path) -> Path:
    """Write the archive of a chapter, and its checksum, into a folder.

    Raises:
        ValueError: there is no such chapter.
    """
    path = find_chapter(number)
    notebook = nbformat.read(path, as_version=4)
    files = layout(notebook) | {f"notebooks/{path.name}": path}
    sources = [file.read_text(encoding="utf-8") for file in files.values() if file.suffix == ".py"]
    sources += [cell.source for cell in notebook.cells if cell.cell_type == "code"]
    title = notebook.cells[0].source.split("\n")[0].lstrip("# ")
    texts = {"README.md": README.format(number=int(path.name[:2]), title=title, name=path.name)}
    texts["requirements.txt"] = "\n".join(pins_of(sources)) + "\n"
    packed = folder / f"five-rings-chapter-{path.name[:2]}.zip"
    with tempfile.TemporaryDirectory() as name:
        for place, file in files.items():
            target = Path(name) / place
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(file, target)
        for place, text in texts.items():
            (Path(name) / place).write_text(text, encoding="utf-8", newline="\n")
        archive.pack(Path(name), packed)
    return packed


if __name__ == "__main__":
    (ROOT / "dist").mkdir(exist_ok=True)
    try:
        packed = pack_chapter(" ".join(sys.argv[1:]), ROOT / "dist")
    except ValueError as error:
        sys.exit(str(error))
    print(f"{packed.relative_to(ROOT)}: {packed.stat().st_size / 1e6:.1f} MB; its README says how to run it")
