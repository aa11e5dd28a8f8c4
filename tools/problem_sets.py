"""Problem sets: the students' and the lecturer's version of a source with solutions, and whether both hold.

    python tools/problem_sets.py part_1 --seed 2027
    python tools/problem_sets.py part_1 --seed 2027 --grade HANDED_IN.ipynb

A source under teaching/problems/ holds its solutions between `### BEGIN SOLUTION` and `### END SOLUTION`,
and what students shall not see of the tests between `### BEGIN HIDDEN TESTS` and `### END HIDDEN TESTS`, as
nbgrader has them. A cell of tests is one that nbgrader grades. The seed chooses the rings.

Both versions are run before they are written to _build/teaching/: with the solutions every test passes;
without them every test fails, by a `NotImplementedError` or an `AssertionError` and by nothing else.

With --grade nothing is written: the code that was handed in is run with all tests, and the points are told.
"""

import argparse
import contextlib
import copy
import io
import json
import re
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PROBLEMS = ROOT / "teaching" / "problems"
REGION = r"^([ ]*)### BEGIN {0}\n.*?^[ ]*### END {0}\n?"
SEED = re.compile(r"^SEED = \d+$", re.MULTILINE)

Notebook = dict[str, object]


def graded(cell: Notebook) -> bool:
    """Whether a cell holds tests."""
    return cell["cell_type"] == "code" and cell["metadata"].get("nbgrader", {}).get("grade", False)


def replaced(source: Notebook, region: str, by: str) -> Notebook:
    """A copy of a notebook with other text, of the same indent, in place of every region of this name."""
    notebook = copy.deepcopy(source)
    pattern = re.compile(REGION.format(region), re.MULTILINE | re.DOTALL)
    for cell in notebook["cells"]:
        text = pattern.sub(lambda found: found[1] + by + "\n" if by else "", "".join(cell["source"]))
        cell["source"] = text.rstrip("\n").splitlines(keepends=True)
    return notebook


def with_seed(source: Notebook, seed: int) -> Notebook:
    """A copy of a notebook whose rings another seed chooses.

    Raises:
        ValueError: the line that names the seed does not stand there once.
    """
    notebook = copy.deepcopy(source)
    places = 0
    for cell in notebook["cells"]:
        text, found = SEED.subn(f"SEED = {seed}", "".join(cell["source"]))
        cell["source"], places = text.splitlines(keepends=True), places + found
    if places != 1:
        raise ValueError(f"the line 'SEED = ...' stands there {places} times, and must once")
    return notebook


def without_solutions(source: Notebook) -> Notebook:
    """A copy of a notebook in which the solutions are still to be written, in code and in prose."""
    notebook = replaced(source, "SOLUTION", "raise NotImplementedError")
    for cell in notebook["cells"]:
        if cell["cell_type"] == "markdown" and cell["metadata"].get("nbgrader", {}).get("solution"):
            cell["source"] = ["*Your answer:*"]
    return notebook


def for_students(source: Notebook) -> Notebook:
    """A copy of a notebook without its solutions and without hidden tests."""
    return replaced(without_solutions(source), "HIDDEN TESTS", "")


def run(notebook: Notebook) -> dict[str, BaseException | None]:
    """Run the code cells, each to its end or its error; returns by name what tests raised, if anything."""
    space: dict[str, object] = {"__name__": "__main__"}
    raised = {}
    for number, cell in enumerate(notebook["cells"]):
        if cell["cell_type"] != "code":
            continue
        name = cell["metadata"]["nbgrader"]["grade_id"] if graded(cell) else f"cell {number}"
        try:
            with contextlib.redirect_stdout(io.StringIO()):
                exec(compile("".join(cell["source"]), name, "exec"), space)
            error = None
        except Exception as caught:
            error = caught
        if graded(cell) or error:
            raised[name] = error
    return raised


def faults(source: Notebook) -> list[str]:
    """What is wrong with a problem set: a test that solutions fail, or that passes or breaks without them."""
    solved = [f"{name}, solved: {error!r}" for name, error in run(source).items() if error]
    tests = {cell["metadata"]["nbgrader"]["grade_id"] for cell in source["cells"] if graded(cell)}
    unsolved = []
    for version, kind in ((without_solutions(source), "all tests"), (for_students(source), "public tests")):
        for name, error in run(version).items():
            wanted = isinstance(error, NotImplementedError | AssertionError)
            if not wanted or name not in tests:
                unsolved.append(f"{name}, unsolved, {kind}: {error!r}")
    return [*solved, *unsolved] if tests else ["there is no cell of tests"]


def with_answers(source: Notebook, handed_in: Notebook) -> Notebook:
    """A copy of a notebook, tests and all, with the code that was handed in where it has solutions.

    Raises:
        ValueError: a cell for a solution is not in what was handed in.
    """

    def answers(notebook: Notebook) -> dict[str, dict[str, object]]:
        cells = [(cell["metadata"].get("nbgrader", {}), cell) for cell in notebook["cells"]]
        code = [(kind, cell) for kind, cell in cells if cell["cell_type"] == "code" and kind.get("solution")]
        return {kind["grade_id"]: cell for kind, cell in code}

    notebook, theirs = copy.deepcopy(source), answers(handed_in)
    for name, cell in answers(notebook).items():
        if name not in theirs:
            raise ValueError(f"the cell of {name} is not in what was handed in")
        cell["source"] = theirs[name]["source"]
    return notebook


def points(notebook: Notebook) -> list[tuple[str, int, int, BaseException | None]]:
    """Run a notebook: of each cell of tests the name, the points reached, those there are, and the error."""
    raised = run(notebook)
    told = []
    for cell in filter(graded, notebook["cells"]):
        name, most = (cell["metadata"]["nbgrader"][key] for key in ("grade_id", "points"))
        told.append((name, 0 if raised[name] else most, most, raised[name]))
    return told


def main() -> None:
    """Read the command line and do what it says."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("name", help="of a source in teaching/problems/, such as part_1")
    parser.add_argument("--seed", type=int, default=2027, help="which rings")
    parser.add_argument("--grade", type=Path, help="a notebook that was handed in; its code is run")
    options = parser.parse_args()
    text = (PROBLEMS / f"{options.name}.ipynb").read_text(encoding="utf-8")
    source = with_seed(json.loads(text), options.seed)
    if options.grade:
        handed_in = json.loads(options.grade.read_text(encoding="utf-8"))
        for name, reached, most, error in points(with_answers(source, handed_in)):
            print(f"{name}: {reached} of {most}" + (f", {error!r}" if error else ""))
        return
    if found := faults(source):
        sys.exit("\n".join(found))
    folder = ROOT / "_build" / "teaching"
    folder.mkdir(parents=True, exist_ok=True)
    for version, kind in ((for_students(source), "students"), (source, "lecturer")):
        path = folder / f"{options.name}_{options.seed}_{kind}.ipynb"
        path.write_text(json.dumps(version, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
        print(path.relative_to(ROOT))


if __name__ == "__main__":
    main()
