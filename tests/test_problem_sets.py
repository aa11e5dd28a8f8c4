"""Problem sets: solved they pass, unsolved they fail for the right reason, and no solution leaks."""

import copy
import json
from pathlib import Path

import pytest
from problem_sets import PROBLEMS, SEED, faults, for_students, graded, run, with_seed, without_solutions

Notebook = dict[str, object]
SOURCES = sorted(PROBLEMS.glob("*.ipynb"))
each = pytest.mark.parametrize("path", SOURCES, ids=lambda path: path.stem)


def read(path: Path) -> Notebook:
    return json.loads(path.read_text(encoding="utf-8"))


def text_of(notebook: Notebook) -> str:
    return "\n".join("".join(cell["source"]) for cell in notebook["cells"])


def toy(solution: str, test: str, hidden: str = "") -> Notebook:
    """A problem set of one problem."""
    code = f"SEED = 1\ndef answer():\n    ### BEGIN SOLUTION\n    {solution}\n    ### END SOLUTION\n"
    tests = f"{test}\n### BEGIN HIDDEN TESTS\n{hidden}\n### END HIDDEN TESTS\n"
    nbgrader = {"grade": True, "grade_id": "the test"}
    return {
        "cells": [
            {"cell_type": "code", "metadata": {}, "source": code.splitlines(keepends=True)},
            {
                "cell_type": "code",
                "metadata": {"nbgrader": nbgrader},
                "source": tests.splitlines(keepends=True),
            },
        ]
    }


@each
@pytest.mark.parametrize("seed", [2027, 5])
def test_both_versions_of_a_problem_set_do_what_they_must(path: Path, seed: int) -> None:
    assert faults(with_seed(read(path), seed)) == []


# Solutions with a mistake that a student may make, and the tests that must refuse them.
MISTAKES = [
    ("areas = math.pi * (radii[:, 1] ** 2 - radii[:, 0] ** 2)", "areas = 3 + 0 * radii[:, 0]", 1),
    ("return each.mean(1), each / each", "return each.sum(1), each / each", 1),
    (
        "radius = (inner**2 + share * (outer**2 - inner**2)).sqrt()",
        "radius = inner + share * (outer - inner)",
        2,
    ),
    ("math.log(math.pi * (outer**2 - inner**2))", "-math.log(math.pi * (outer**2 - inner**2))", 2),
    ("float(surprise.std()) / math.sqrt(count)", "float(surprise.std()) / count", 3),
    ("(stderr / wanted) ** 2", "(stderr / wanted)", 3),
    (
        "excess = rings.log_prob(x) - colleagues_log_prob(x, rings)",
        "excess = -colleagues_log_prob(x, rings)",
        4,
    ),
    ("return rings.areas > rings.areas.mean()", "return rings.areas < rings.areas.mean()", 4),
    ('return "AB"[abs(off[1]) > abs(off[0])]', 'return "AB"[abs(off[1]) < abs(off[0])]', 5),
    (".covers(x).sum(1) > 1)", ".covers(x).sum(1) > 0)", 5),
]


@pytest.mark.parametrize("old, new, problem", MISTAKES)
def test_a_mistake_is_refused_by_the_tests_of_its_problem_alone(old: str, new: str, problem: int) -> None:
    source = read(PROBLEMS / "part_1.ipynb")
    assert text_of(source).count(old) == 1
    for cell in source["cells"]:
        cell["source"] = ["".join(cell["source"]).replace(old, new)]
    raised = {name: type(error) for name, error in run(source).items() if error}
    assert raised == {f"problem_{problem}_tests": AssertionError}


@each
def test_a_problem_set_is_whole_and_leaks_nothing(path: Path) -> None:
    source = read(path)
    students, unsolved = text_of(for_students(source)), text_of(without_solutions(source))
    assert len(SEED.findall(students)) == 1
    assert "BEGIN" not in students and "END " not in students and "HIDDEN TESTS" in unsolved
    solutions = text_of(source).split("### BEGIN SOLUTION\n")[1:]
    lines = {line.strip() for part in solutions for line in part.split("### END")[0].splitlines()}
    kept = {line.strip() for line in students.splitlines()}
    assert len(solutions) == students.count("raise NotImplementedError") >= 5 and not (lines & kept) - {""}
    ids = [cell["metadata"].get("nbgrader", {}).get("grade_id") for cell in source["cells"]]
    ids = [name for name in ids if name]
    assert len(ids) == len(set(ids)) and sum(map(graded, source["cells"])) == 5
    assert all(not cell.get("outputs") for cell in source["cells"])
    for cell in source["cells"]:
        settings = cell["metadata"].get("nbgrader", {})
        if cell["cell_type"] == "markdown" and settings.get("solution"):
            assert "".join(cell["source"])[:60] not in students


@pytest.mark.parametrize(
    "solution, test, hidden, words",
    [
        ("return 1", "assert answer() == 1", "assert answer() > 0", []),
        ("return 2", "assert answer() == 1", "", ["the test, solved: AssertionError"]),
        ("return 1", "assert answer() == 1", "assert answer() == 2", ["solved: AssertionError"]),
        ("return 1", "assert True", "", ["unsolved, all tests: None", "unsolved, public tests: None"]),
        ("return 1", "unknown(answer)", "", ["solved: NameError", "unsolved, all tests: NameError"]),
        ("return 1", "assert True", "assert answer() == 1", ["unsolved, public tests: None"]),
    ],
)
def test_what_is_wrong_with_a_problem_set_is_told(
    solution: str, test: str, hidden: str, words: list[str]
) -> None:
    found = faults(toy(solution, test, hidden))
    assert bool(found) == bool(words) and all(any(word in line for line in found) for word in words)


def test_a_seed_must_be_named_once() -> None:
    source = toy("return 1", "assert answer() == 1")
    assert "SEED = 7" in text_of(with_seed(source, 7)) and "SEED = 1" in text_of(source)
    twice = copy.deepcopy(source)
    twice["cells"] *= 2
    with pytest.raises(ValueError, match="stands there 2 times"):
        with_seed(twice, 7)
    assert faults({"cells": []}) == ["there is no cell of tests"]
