"""Problem sets: solved they pass, unsolved they fail for the right reason, and no solution leaks."""

import copy
import json
from pathlib import Path

import pytest
from problem_sets import (
    PROBLEMS,
    SEED,
    faults,
    for_students,
    graded,
    points,
    run,
    with_answers,
    with_seed,
    without_solutions,
)

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
    nbgrader = {"grade": True, "grade_id": "the test", "points": 3}
    answer = {"solution": True, "grade_id": "the answer"}
    return {
        "cells": [
            {
                "cell_type": "code",
                "metadata": {"nbgrader": answer},
                "source": code.splitlines(keepends=True),
            },
            {
                "cell_type": "code",
                "metadata": {"nbgrader": nbgrader},
                "source": tests.splitlines(keepends=True),
            },
        ]
    }


def alone(source: Notebook, problem: int) -> Notebook:
    """A problem set of one problem: the cells before the first one, and those of this one."""
    parts = [[]]
    for cell in source["cells"]:
        if "".join(cell["source"]).startswith("## "):
            parts.append([])
        parts[-1].append(cell)
    return {"cells": [*parts[0], *parts[problem]]}


@each
def test_both_versions_of_a_problem_set_do_what_they_must(path: Path) -> None:
    assert faults(with_seed(read(path), 2027)) == []


@each
def test_every_problem_stands_by_itself(path: Path) -> None:
    source = with_seed(read(path), 5)
    found = [run(alone(source, problem)) for problem in range(1, 6)]
    assert found == [{f"problem_{problem}_tests": None} for problem in range(1, 6)]


# Solutions with a mistake that a student may make, and the problem whose tests must refuse them. As every
# problem stands by itself, no other problem's tests can see them.
PART_1 = [
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
PART_2 = [
    ("argsort(descending=True)", "argsort()", 1),
    ("order = density.argsort(descending=True)", "order = torch.arange(len(density))", 1),
    ("* square), math.sqrt(square / 2)", "* square), math.sqrt(square)", 1),
    ("b[:, None] * w + a[:, None] * n, -log_scale(a)", "b[:, None] * w + a[:, None] * n, log_scale(a)", 2),
    ("a, b = z @ n, z @ w", "a, b = z @ w, z @ n", 2),
    (
        "return -math.tan(angle / 2), math.sin(angle), -math.tan(angle / 2)",
        "return math.tan(angle / 2), -math.sin(angle), math.tan(angle / 2)",
        2,
    ),
    ("2 * (h1 - h0) / (len(rings) * rings.areas)", "2 * (h1 - h0) / rings.areas.sum()", 3),
    ("tried = [math.pi * k / 360 for k in range(360)]", "tried = [0.0, math.pi / 2]", 3),
    (".logsumexp(0) - math.log(len(flows))", ".logsumexp(0)", 4),
    ("x = drawn[torch.randint(len(flows), (count,)), torch.arange(count)]", "x = drawn[0]", 4),
    ("float(ratio.std()) / math.sqrt(count)", "float(ratio.std())", 4),
    (
        "stderr = float(of_walk.square().sum().sqrt()) / len(lead)",
        "stderr = float(lead.std()) / math.sqrt(len(lead))",
        5,
    ),
    ("lead = log_q_b - log_q_a", "lead = log_q_a - log_q_b", 5),
    ("(3 * stderr / mean) ** 2", "3 * stderr / abs(mean)", 5),
]
PART_3 = [
    ("- spread.log()).softmax(1)", ").softmax(1)", 1),
    ("weight * (2 * slope + (each * away).sum(-1))", "weight * 2 * slope", 1),
    ("math.log(2 * math.pi) + state[:, 2]", "math.log(2 * math.pi) - state[:, 2]", 2),
    ("k4 = rates((state + h * k3)[:, :2]", "k4 = rates((state + h / 2 * k3)[:, :2]", 2),
    ("return 1 - (1 - end) ** (1 - share)", "return end * (1 - share)", 2),
    ("return math.pi - float(apart.mean())", "return 4 - float(apart.mean())", 3),
    ("(plain / floor_estimate(rings, count)[1]) ** 2", "plain / floor_estimate(rings, count)[1]", 3),
    (
        "return each_loss(field, torch.randn_like(x1), x1, torch.rand(len(x1))).mean()",
        "return each_loss(field, torch.randn_like(x1), x1, torch.rand(1).expand(len(x1))).mean()",
        4,
    ),
    ("float(of_row / found.var())", "float((of_row / found.var()).sqrt())", 4),
    ("return 1 / shared", "return effective", 4),
    ('{"euler": 1, "midpoint": 2, "rk4": 4}[method]', "1", 5),
    ("gap.mean() / gap.std()) *", "gap.mean() / (lost[0].var() + lost[1].var()).sqrt()) *", 5),
    ("method = min(errors, key=errors.get)", 'method = "rk4"', 5),
]
MISTAKES = [
    (f"part_{part}", *mistake)
    for part, mistakes in enumerate((PART_1, PART_2, PART_3), start=1)
    for mistake in mistakes
]


@pytest.mark.parametrize("name, old, new, problem", MISTAKES)
def test_a_mistake_is_refused_by_the_tests_of_its_problem(
    name: str, old: str, new: str, problem: int
) -> None:
    source = alone(read(PROBLEMS / f"{name}.ipynb"), problem)
    assert text_of(source).count(old) == 1
    for cell in source["cells"]:
        cell["source"] = ["".join(cell["source"]).replace(old, new)]
    raised = {found: type(error) for found, error in run(source).items()}
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


def test_what_is_handed_in_is_run_with_all_tests() -> None:
    source = toy("return 1", "assert answer() > 0", "assert answer() == 1")
    right, wrong = for_students(source), for_students(source)
    right["cells"][0]["source"] = ["def answer():\n", "    return 3 - 2\n"]
    wrong["cells"][0]["source"] = ["def answer():\n", "    return 2\n"]
    wrong["cells"][1]["source"] = ["pass\n"]  # tests that were taken out come back
    assert points(with_answers(source, right)) == [("the test", 3, 3, None)]
    [(_, reached, most, error)] = points(with_answers(source, wrong))
    assert (reached, most, type(error)) == (0, 3, AssertionError)
    with pytest.raises(ValueError, match="the cell of the answer is not in what was handed in"):
        with_answers(source, {"cells": []})
