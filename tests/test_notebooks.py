"""The form of the chapters: executed as they stand, in short cells, with prose, checks and captions."""

import ast
import re
import shutil
import statistics
import subprocess
import sys
from pathlib import Path

import nbformat
import pytest
from nbconvert.exporters import ScriptExporter
from nbformat import NotebookNode

ROOT = Path(__file__).resolve().parent.parent
sys.path.append(str(ROOT / "tools"))

import staleness  # noqa: E402

import notebooks  # noqa: E402

CHAPTERS = [path for path in notebooks.chapters() if path.exists()]
UNCHECKED = ("Exercises", "Summary", "Where to read on", "What you")  # sections that need no check

each_chapter = pytest.mark.parametrize("path", CHAPTERS, ids=lambda path: path.stem)


def cells(path: Path) -> list[NotebookNode]:
    return nbformat.read(path, as_version=4).cells


def code(path: Path) -> list[NotebookNode]:
    return [cell for cell in cells(path) if cell.cell_type == "code"]


def tags(cell: NotebookNode) -> list[str]:
    return cell.metadata.get("tags", [])


def has_image(cell: NotebookNode) -> bool:
    return any(kind.startswith("image/") for output in cell.outputs for kind in output.get("data", {}))


def calls(cell: NotebookNode) -> set[str]:
    """The names that a cell calls, such as `check` or `plots.samples`."""
    tree = ast.parse(cell.source)
    return {ast.unparse(node.func) for node in ast.walk(tree) if isinstance(node, ast.Call)}


def assert_none(found: list[NotebookNode] | list[str]) -> None:
    """Name all that were found: a cell by its number and its beginning."""
    names = [one if isinstance(one, str) else f"[{one.execution_count}] {one.source[:60]}" for one in found]
    assert not names, "\n" + "\n".join(names)


def test_table_of_contents_and_folder_agree() -> None:
    assert sorted(notebooks.chapters()) == sorted((ROOT / "notebooks").glob("*.ipynb"))


@each_chapter
def test_chapter_is_up_to_date(path: Path) -> None:
    assert not notebooks.is_stale(path), "cells, outputs, helpers or models have changed: `make notebooks`"


@each_chapter
def test_executed_in_order(path: Path) -> None:
    """nbval compares nothing in a cell without a count."""
    assert [cell.execution_count for cell in code(path)] == list(range(1, len(code(path)) + 1))


@each_chapter
def test_nothing_volatile_is_stored(path: Path) -> None:
    content = path.read_text(encoding="utf-8")
    notebook = nbformat.reads(content, as_version=4)
    nbformat.validate(notebook)
    assert notebook.nbformat_minor == 5
    assert content == nbformat.writes(notebooks.strip(notebook)) + "\n"


@each_chapter
def test_a_chapter_becomes_a_python_script(path: Path) -> None:
    """What `nbconvert --to script` writes, whose ending comes from the notebook's metadata."""
    script, resources = ScriptExporter().from_filename(str(path))
    assert resources["output_extension"] == ".py"
    compile(script, path.name, "exec")


@each_chapter
def test_no_addresses_in_outputs(path: Path) -> None:
    """An object's address is another one at each run."""
    outputs = [output for cell in code(path) for output in cell.outputs]
    texts = [output.get("text", "") or output.get("data", {}).get("text/plain", "") for output in outputs]
    assert_none([text for text in texts if notebooks.ADDRESS.search(text)])


@each_chapter
def test_errors_only_where_they_are_meant(path: Path) -> None:
    failed = [cell for cell in code(path) if any(output.output_type == "error" for output in cell.outputs)]
    assert_none([cell for cell in failed if "raises-exception" not in tags(cell)])


@each_chapter
def test_cells_are_short(path: Path) -> None:
    def length(cell: NotebookNode) -> int:
        return len(cell.source.splitlines())

    def allowed(cell: NotebookNode) -> int:
        return 30 if re.search(r"^(def|class) ", cell.source, re.MULTILINE) else 15

    assert_none([cell for cell in code(path) if length(cell) > allowed(cell)])
    # The blank lines that the formatter puts around a definition are not the author's.
    full = [sum(bool(line.strip()) for line in cell.source.splitlines()) for cell in code(path)]
    assert statistics.median(full) <= 8


@each_chapter
def test_a_chapter_is_light_enough_for_a_code_host(path: Path) -> None:
    assert path.stat().st_size < 1_200_000


@each_chapter
def test_lines_are_short(path: Path) -> None:
    assert_none([line for cell in code(path) for line in cell.source.splitlines() if len(line) > 88])


@each_chapter
def test_prose_between_cells(path: Path) -> None:
    pairs = zip(cells(path), cells(path)[1:])
    assert_none([after for before, after in pairs if before.cell_type == after.cell_type == "code"])


@each_chapter
def test_imports_in_first_cell_only(path: Path) -> None:
    imports = re.compile(r"^\s*(import|from) ", re.MULTILINE)
    assert imports.search(code(path)[0].source)
    assert_none([cell for cell in code(path)[1:] if imports.search(cell.source)])


@each_chapter
def test_no_plotting_code(path: Path) -> None:
    drawn = re.compile(r"matplotlib|\bplt\.|\bax(es)?\.(plot|set|scatter|imshow)")
    assert_none([cell for cell in code(path) if drawn.search(cell.source)])


@each_chapter
def test_figures_have_captions_and_alternative_text(path: Path) -> None:
    wanting = []
    for cell in filter(has_image, code(path)):
        about = cell.metadata.get("mystnb", {})
        alt, figure = about.get("image", {}).get("alt", ""), about.get("figure", {})
        if len(alt) < 20 or not figure.get("caption") or not figure.get("name"):
            wanting.append(cell)
    assert_none(wanting)


@each_chapter
def test_every_section_holds_a_compared_check(path: Path) -> None:
    sections: dict[str, int] = {}
    title = ""
    for cell in cells(path):
        if cell.cell_type == "markdown":
            for heading in re.findall(r"^## (.+)$", cell.source, re.MULTILINE):
                title = heading
                sections[title] = 0
        elif title and "check" in calls(cell) and "nbval-ignore-output" not in tags(cell):
            sections[title] += 1
    unchecked = [title for title, checks in sections.items() if not checks]
    assert_none([title for title in unchecked if not title.startswith(UNCHECKED)])


@each_chapter
def test_most_outputs_are_compared(path: Path) -> None:
    ignored = [cell for cell in code(path) if "nbval-ignore-output" in tags(cell)]
    assert len(ignored) <= len(code(path)) / 5


@each_chapter
def test_solutions_are_hidden_everywhere(path: Path) -> None:
    """In the book by their tag, in JupyterLab by their metadata."""
    hidden = [cell for cell in code(path) if "hide-cell" in tags(cell)]
    assert_none([cell for cell in hidden if not cell.metadata.get("jupyter", {}).get("source_hidden")])


LOADING = 'from helpers import training\n\ntraining.load(flow, "one")\nopen("one.json")\nprint(1)'


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    """A chapter with what its digest covers, in a folder of its own, to be tampered with."""
    for folder in ("helpers", "models"):
        shutil.copytree(ROOT / folder, tmp_path / folder, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "requirements.txt", tmp_path)
    (tmp_path / "models" / "one.safetensors").write_bytes(b"weights")
    (tmp_path / "models" / "other.safetensors").write_bytes(b"weights")
    (tmp_path / "bench" / "results").mkdir(parents=True)
    for name in ("one", "other"):
        (tmp_path / "bench" / "results" / f"{name}.json").write_text("[1]", encoding="utf-8")
    cell = nbformat.v4.new_code_cell(LOADING, id="a", execution_count=1)
    cell.outputs = [nbformat.v4.new_output("stream", name="stdout", text="1\n")]
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_markdown_cell("# A chapter", id="b"), cell])
    notebook.metadata["five_rings"] = {"digest": notebooks.digest(notebook, tmp_path)}
    nbformat.write(notebook, tmp_path / "chapter.ipynb")
    return tmp_path


def stale(copy: Path) -> bool:
    return notebooks.is_stale(copy / "chapter.ipynb", copy)


@pytest.mark.parametrize(
    ("name", "old", "new"),
    [
        ("chapter.ipynb", "print(1)", "print(2)"),
        ("chapter.ipynb", "# A chapter", "# A Chapter"),
        ("chapter.ipynb", '"1\\n"', '"2\\n"'),
        ("helpers/training.py", "def load", "def read"),
        ("helpers/environment.py", "def device", "def machine"),  # training imports it
        ("helpers/__init__.py", "limit_threads()", "limit_threads( )"),
        ("requirements.txt", "torch==", "torch>="),
        ("models/one.safetensors", "weights", "Weights"),
        ("bench/results/one.json", "[1]", "[2]"),
    ],
)
def test_digest_notices(copy: Path, name: str, old: str, new: str) -> None:
    assert not stale(copy)
    content = (copy / name).read_text(encoding="utf-8")
    assert old in content
    (copy / name).write_text(content.replace(old, new), encoding="utf-8")
    assert stale(copy)


def test_digest_notices_a_lost_model(copy: Path) -> None:
    (copy / "models" / "one.safetensors").unlink()
    assert stale(copy)


@pytest.mark.parametrize("shown", [True, False])
@pytest.mark.parametrize("name", ["__init__.py", "solvers.js"])
def test_digest_notices_the_explorers_files_where_it_is_imported(copy: Path, name: str, shown: bool) -> None:
    notebook = nbformat.read(copy / "chapter.ipynb", as_version=4)
    notebook.cells[1].source += "\nfrom helpers.explorer import explore" if shown else ""
    notebook.metadata["five_rings"] = {"digest": notebooks.digest(notebook, copy)}
    nbformat.write(notebook, copy / "chapter.ipynb")
    assert not stale(copy)
    (copy / "helpers" / "explorer" / name).write_text("1", encoding="utf-8")
    assert stale(copy) == shown


def test_digest_leaves_other_things_aside(copy: Path) -> None:
    """Models, records and helpers that are not used, a run's timestamps, how a checkout ends its lines."""
    (copy / "models" / "other.safetensors").write_bytes(b"other weights")
    (copy / "bench" / "results" / "other.json").write_text("[2]", encoding="utf-8")
    (copy / "helpers" / "rings.py").write_text("RINGS = 5", encoding="utf-8")
    (copy / "helpers" / "extra.py").write_text("1", encoding="utf-8")
    text = (copy / "helpers" / "training.py").read_bytes()
    (copy / "helpers" / "training.py").write_bytes(text.replace(b"\n", b"\r\n"))
    notebook = nbformat.read(copy / "chapter.ipynb", as_version=4)
    notebook.cells[1].metadata["execution"] = {"shell.execute_reply": "2026-01-01"}
    nbformat.write(notebook, copy / "chapter.ipynb")
    assert not stale(copy)


def test_the_digest_covers_every_helper_that_a_kernel_imports() -> None:
    """It follows imports by their text; Python itself says which files they lead to."""
    for path in CHAPTERS:
        lines = [
            ast.unparse(node)
            for node in ast.parse(code(path)[0].source).body
            if isinstance(node, ast.ImportFrom) and node.module.startswith("helpers")
        ]
        loaded = "print(*[m.__file__ for name, m in sys.modules.items() if name.startswith('helpers')])"
        program = "\n".join(["import sys", *lines, loaded])
        run = subprocess.run(
            [sys.executable, "-c", program], stdout=subprocess.PIPE, text=True, cwd=ROOT, check=True
        )
        covered = staleness.helpers_of([cell.source for cell in code(path)])
        assert {Path(name) for name in run.stdout.split()} <= set(covered), path.name


def test_nbval_compares_claims_and_bounds_but_not_what_was_measured(tmp_path: Path) -> None:
    source = 'from helpers.page import check\n\ncheck("the share: of x", 0.5, above=0.4, below=1)'
    stored = {
        "✓ the share: of x: 0.5 > 0.4 and < 1": "PASSED",
        "✓ the share: of x: 0.7 > 0.4 and < 1": "PASSED",  # measured on another machine
        "✓ the share: of y: 0.5 > 0.4 and < 1": "FAILED",  # another claim
        "✓ the share: of x: 0.5 > 0.4 and < 2": "FAILED",  # another bound
    }
    notebook = nbformat.v4.new_notebook()
    for line in stored:
        notebook.cells.append(nbformat.v4.new_code_cell(source, execution_count=len(notebook.cells) + 1))
        notebook.cells[-1].outputs = [nbformat.v4.new_output("stream", name="stdout", text=line + "\n")]
    nbformat.write(notebook, tmp_path / "chapter.ipynb")
    options = [
        "-p",
        "no:xdist",
        "-p",
        "no:cacheprovider",
        "--rootdir",
        tmp_path,
        "-rA",
        "--nbval-current-env",
    ]
    options += ["--nbval-current-env", "--nbval-sanitize-with", ROOT / "tests" / "nbval_sanitize.cfg"]
    command = [sys.executable, "-m", "pytest", "--nbval", *options, tmp_path]
    run = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, check=False)
    outcomes = re.findall(r"^(PASSED|FAILED) .*Cell (\d)", run.stdout, re.MULTILINE)
    assert [outcome for outcome, _ in sorted(outcomes, key=lambda found: found[1])] == list(stored.values())
