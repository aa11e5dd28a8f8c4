"""`tools/seeds.py` on a chapter of a few cells: other seeds, other models, cells that are run again."""

import nbformat
import pytest
from seeds import run_chapter, tell

CELLS = [
    "import torch\nfrom helpers import page, training\nfrom helpers.page import check\n"
    "from helpers.flows import affine_flow",
    "torch.manual_seed(3)\nfirst = torch.initial_seed()\ncheck('the seed', first, below=1500)",
    "flow = affine_flow()\ntraining.load(flow, 'affine')\n"
    "check('a weight', next(flow.parameters())[0, 0], above=-9)",
    "training.save(flow, 'affine')\ncount = globals().get('count', 0)",
    "count += 1\ncheck('runs', count, below=2)",
    "only = ['once'][count - 1]",
    "raise KeyError('always')",
]


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> dict[int, dict[str, list]]:
    folder = tmp_path_factory.mktemp("seeds")
    path = folder / "01_small.ipynb"
    cells = [nbformat.v4.new_code_cell(source, id=f"cell-{i}") for i, source in enumerate(CELLS)]
    nbformat.write(nbformat.v4.new_notebook(cells=cells), path)
    before = path.read_bytes()
    found = {seed: run_chapter(path, seed, folder, twice=True) for seed in (1, 2)}
    found[0] = run_chapter(path, 2, folder, twice=False)
    assert path.read_bytes() == before
    return found


def values(found: dict[str, list]) -> dict[str, float]:
    return {claim: value for claim, value, _, _ in found["checks"]}


def test_each_seed_is_moved_by_a_thousand_and_failed_checks_do_not_stop(results: dict) -> None:
    assert [values(results[seed])["the seed"] for seed in (1, 2)] == [1003, 2003]
    assert [results[seed]["checks"][0][3] for seed in (1, 2)] == [True, False]
    assert len(results[2]["checks"]) == 3


def test_committed_models_stand_in_until_the_seed_has_its_own(results: dict) -> None:
    assert results[2]["borrowed"] == ["affine"]
    assert results[0]["borrowed"] == []


def test_cells_that_raise_are_told_and_so_are_those_that_do_when_run_again(results: dict) -> None:
    errors = results[1]["errors"]
    assert any("cell-6: KeyError" in error for error in errors)
    assert any("cell-5, run again: IndexError" in error for error in errors)
    assert any("run again: ✗ runs: 2" in error for error in errors)
    assert not any("run again" in error for error in results[0]["errors"])


def test_the_table_has_ranges_and_marks_what_fails(results: dict, capsys: pytest.CaptureFixture) -> None:
    assert not tell("small", {1: results[1], 2: results[2]})
    said = capsys.readouterr().out
    assert "1003       1503       2003  the seed" in said
    assert "2003 with seed 2" in said
    assert "the committed ones served" in said
