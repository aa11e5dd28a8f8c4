"""Execute chapters with other seeds, and with the models that those seeds gave; tell which checks fail.

python tools/seeds.py 04 05 --seeds 1 2 3    the chapters whose names hold one of these, in the book's order
With seed S every `torch.manual_seed(k)` means k + 1000 S. Models that a chapter trains go to
_build/seeds/S, and chapters read them from there; where one is missing, the committed one serves, and the
report says so. The chapters' files are left alone. Exit status 1: a check failed, or a cell raised.
"""

import argparse
import functools
import json
import os
import statistics
import sys
import time
from collections.abc import Iterable
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import nbformat
import torch
from nbclient import NotebookClient
from nbclient.exceptions import DeadKernelError

from notebooks import ROOT, chapters

sys.path.insert(0, str(ROOT))
from helpers import environment, page, training  # noqa: E402

QUICK = 3.0  # seconds; a cell that takes less is one that a reader runs again
MODULE = "__import__('seeds')"  # so that the name is free for the chapter
CHECKS: list[tuple[str, float, dict[str, float], bool]] = []  # in the kernel: claim, value, bounds, holds
BORROWED: list[str] = []  # in the kernel: the committed models that stood in for missing ones


def inject(seed: int, models: str) -> None:
    """Called in a chapter's kernel before its first cell: other seeds, other models, checks that go on."""
    seeded, load, check, own = torch.manual_seed, training.load, page.check, Path(models)

    @functools.wraps(load)
    def load_of_seed(model: torch.nn.Module, name: str, folder: Path | str | None = None) -> None:
        if folder is None and not (own / f"{name}.safetensors").exists():
            BORROWED.append(name)
            folder = environment.models_folder()
        load(model, name, folder or own)

    @functools.wraps(check)
    def record(claim: str, value: float | torch.Tensor, **bounds: float) -> None:
        value, holds = float(value.detach() if isinstance(value, torch.Tensor) else value), True
        try:
            check(claim, value, **bounds)
        except AssertionError:
            holds = False
        CHECKS.append((claim, value, {name: float(bound) for name, bound in bounds.items()}, holds))

    torch.manual_seed = lambda given: seeded(given + 1000 * seed)
    training.load, page.check = load_of_seed, record


def report() -> None:
    """Called in the kernel after the last cell: print what was recorded, and forget it."""
    print(json.dumps({"checks": CHECKS, "borrowed": sorted(set(BORROWED))}))
    CHECKS.clear()


def run_chapter(path: Path, seed: int, models: Path, twice: bool) -> dict[str, list]:
    """Execute a chapter with one seed: what its checks said, which models were borrowed, what raised."""
    notebook, folder, errors = nbformat.read(path, as_version=4), models / str(seed), []
    calls = f"{MODULE}.inject({seed}, {str(folder)!r})", f"{MODULE}.report()"
    first, last = (nbformat.v4.new_code_cell(call) for call in calls)
    notebook.cells = [first, *(cell for cell in notebook.cells if cell.cell_type == "code"), last]
    options = {"allow_errors": True, "extra_arguments": ["--log-level=ERROR"]}
    client = NotebookClient(notebook, resources={"metadata": {"path": str(path.parent)}}, **options)
    settings = {"FIVE_RINGS_PROGRESS": "0", "FIVE_RINGS_SAVE": str(folder), "OMP_NUM_THREADS": "1"}
    settings |= {"PYTHONPATH": f"{ROOT}{os.pathsep}{ROOT / 'tools'}", "PYTHONHASHSEED": "0", "MPLBACKEND": ""}

    def execute(numbers: Iterable[int], again: str = "") -> list[int]:
        """Execute these cells; returns those that were quick."""
        quick = []
        for number in numbers:
            cell, begun = notebook.cells[number], time.perf_counter()
            client.execute_cell(cell, number)
            if time.perf_counter() - begun < QUICK:
                quick.append(number)
            said = [f"{out.ename}: {out.evalue}" for out in cell.outputs if out.output_type == "error"]
            if bool(said) != ("raises-exception" in cell.metadata.get("tags", [])):
                errors.append(f"seed {seed}, cell {cell.id}{again}: {(said or ['did not raise'])[0]}")
        return quick

    with client.setup_kernel(env=os.environ | settings):
        quick = execute(range(len(notebook.cells)))
        found = json.loads(last.outputs[0].text)
        if twice:
            execute([*quick[1:-1], len(notebook.cells) - 1], ", run again")
            for claim, value, _, holds in json.loads(last.outputs[0].text)["checks"]:
                if not holds:
                    errors.append(f"seed {seed}, run again: ✗ {claim}: {value:.4g}")
    return found | {"errors": errors}


def run_chapters(wanted: list[Path], seed: int, models: Path, twice: bool) -> dict[str, dict[str, list]]:
    """Execute chapters in order with one seed, as later ones read what earlier ones have trained."""
    found = {}
    for path in wanted:
        begun = time.perf_counter()
        try:
            found[path.stem] = run_chapter(path, seed, models, twice)
        except DeadKernelError as error:
            found[path.stem] = {"checks": [], "borrowed": [], "errors": [f"seed {seed}: {error}"]}
        print(f"seed {seed}: {path.stem}, {time.perf_counter() - begun:.0f} s", file=sys.stderr, flush=True)
    return found


def tell(name: str, of_seed: dict[int, dict[str, list]]) -> bool:
    """Print a chapter's table: the range that each check measured, and who fails. Whether all is well."""
    values: dict[str, dict[str, list]] = {}
    for seed, found in of_seed.items():
        for claim, value, bounds, holds in found["checks"]:
            shown = " ".join(f"{key} {bound:g}" for key, bound in bounds.items())
            one = values.setdefault(f"{claim}  [{shown}]", {"values": [], "fails": []})
            one["values"].append(value)
            one["fails"] += [] if holds else [f"{value:.4g} with seed {seed}"]
    print(f"\n{name}, seeds {' '.join(map(str, of_seed))}\n  {'least':>10} {'median':>10} {'most':>10}")
    for claim, one in values.items():
        least, median, most = (f(one["values"]) for f in (min, statistics.median, max))
        mark = "✗" if one["fails"] else " "
        print(f"{mark} {least:10.4g} {median:10.4g} {most:10.4g}  {claim} {', '.join(one['fails'])}")
    for seed, found in of_seed.items():
        if found["borrowed"]:
            print(f"! seed {seed} has no models {', '.join(found['borrowed'])}; the committed ones served")
        for error in found["errors"]:
            print(f"✗ {error}")
    return not any(one["fails"] for one in values.values()) and not any(f["errors"] for f in of_seed.values())


def main() -> None:
    """Read the command line and do what it says."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("names", nargs="*", help="chapters; all of them by default")
    parser.add_argument("--seeds", nargs="+", type=int, default=[1, 2, 3])
    parser.add_argument("--models", type=Path, default=ROOT / "_build" / "seeds", help="the models' folder")
    parser.add_argument("--jobs", type=int, default=1, help="seeds at the same time")
    parser.add_argument("--twice", action="store_true", help="at the end, run every quick cell once again")
    options = parser.parse_args()
    wanted = [p for p in chapters() if not options.names or any(name in p.name for name in options.names)]
    with ProcessPoolExecutor(options.jobs) as pool:
        asked = options.models.resolve(), options.twice
        jobs = [pool.submit(run_chapters, wanted, seed, *asked) for seed in options.seeds]
    found = {seed: job.result() for seed, job in zip(options.seeds, jobs)}
    well = [tell(path.stem, {seed: one[path.stem] for seed, one in found.items()}) for path in wanted]
    sys.exit(not all(well))


if __name__ == "__main__":
    main()
