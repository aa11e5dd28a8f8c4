"""Which chapters are stale: whether what a chapter's outputs depend on is still what it was when it ran.

A digest in the notebook's metadata covers its cells and outputs, the files of `helpers/` that it imports,
directly or through each other, `requirements.txt`, the models that it saves or loads, and the measurements
in `bench/results` that it reads.
"""

import ast
import hashlib
import json
import re
from pathlib import Path

import nbformat
from nbformat import NotebookNode

ROOT = Path(__file__).resolve().parent.parent


def syntax(source: str) -> ast.Module:
    """A piece of code as a tree, without the lines that are IPython's and not Python's."""
    lines = [line for line in source.splitlines() if not line.startswith(("%", "!"))]
    return ast.parse("\n".join(lines))


def imports(source: str) -> set[str]:
    """The helpers that a piece of code imports, by name."""
    found = set()
    for node in ast.walk(syntax(source)):
        if isinstance(node, ast.Import):
            found |= {alias.name.split(".")[1] for alias in node.names if alias.name.startswith("helpers.")}
        elif isinstance(node, ast.ImportFrom) and node.module == "helpers":
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and (node.module or "").startswith("helpers."):
            found.add(node.module.split(".")[1])
    return found


def files_of(helper: str, root: Path = ROOT) -> list[Path]:
    """The file of a helper; of one that is a folder, all of its code and scripts; of another name, none."""
    folder = root / "helpers" / helper
    kinds = (".py", ".js")
    within = [path for path in folder.rglob("*") if path.suffix in kinds and "__pycache__" not in path.parts]
    return [path for path in [folder.with_suffix(".py"), *within] if path.is_file()]


def helpers_of(sources: list[str], root: Path = ROOT) -> list[Path]:
    """The files that these cells import, directly or through each other."""
    waiting, files = {name for source in sources for name in imports(source)} | {"__init__"}, set()
    while waiting:
        new = set(files_of(waiting.pop(), root)) - files
        files |= new
        texts = [path.read_text(encoding="utf-8") for path in new if path.suffix == ".py"]
        waiting |= {name for text in texts for name in imports(text)}
    return sorted(files)


def models_of(sources: list[str], root: Path = ROOT) -> list[Path]:
    """The files of the models that these cells save or load."""
    naming = "\n".join(source for source in sources if "load(" in source or "save(" in source)
    return sorted(path for path in root.glob("models/*.safetensors") if f'"{path.stem}"' in naming)


def measurements_of(sources: list[str], root: Path = ROOT) -> list[Path]:
    """The measurements that these cells read."""
    naming = "\n".join(sources)
    return sorted(p for p in root.glob("bench/results/*.json") if re.search(rf'["/]{p.name}"', naming))


def digest(notebook: NotebookNode, root: Path = ROOT) -> str:
    """What a chapter's outputs depend on, and the outputs themselves, in one number."""
    code = [cell.source for cell in notebook.cells if cell.cell_type == "code"]
    models = models_of(code, root)
    texts = [root / "requirements.txt", *helpers_of(code, root), *measurements_of(code, root)]
    cells = [[c.cell_type, c.source, c.metadata.get("tags"), c.get("outputs")] for c in notebook.cells]
    total = hashlib.sha256(json.dumps(cells, sort_keys=True).encode())
    for path in sorted(models + texts):
        # Line ends are the checkout's affair: texts are read with universal newlines.
        content = path.read_bytes() if path in models else path.read_text(encoding="utf-8").encode()
        total.update(f"{path.relative_to(root).as_posix()} {hashlib.sha256(content).hexdigest()}".encode())
    return total.hexdigest()


def is_stale(path: Path, root: Path = ROOT) -> bool:
    """Whether a chapter has to be executed again."""
    notebook = nbformat.read(path, as_version=4)
    return notebook.metadata.get("five_rings", {}).get("digest") != digest(notebook, root)
