"""Make one realistic mistake at a time, and tell which test, or which check of a chapter, finds it.

python tools/faults.py [WORD ...]    the faults of tools/fault_list.py whose names or files hold one of these
Each mistake is made in a copy of the working tree, and its suspects are tried in turn until one finds it: a
file of tests, or a chapter, executed up to its first cell that fails. Every suspect is also run without any
mistake, and must pass. Exit status 1: something was not found, cannot be tried, or fails without a mistake.
"""

import argparse
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from fault_list import FAULTS, Fault

from notebooks import ROOT

TEST = re.compile(r"^FAILED (.+?)(?: - .*)?$", re.MULTILINE)
CELL = re.compile(r"code cell \[(\d+)\] failed")
CHECK = re.compile(r"AssertionError: ✗ (.*): measured")
ERROR = re.compile(r"^(?:FAILED .+? - |E +)?(\w+(?:Error|Exception)\b.*)$", re.MULTILINE)
# A mistake that ends in one of these is none that anybody would overlook: the list itself is wrong.
NO_CODE = re.compile(r"^(SyntaxError|IndentationError|NameError|ImportError|ModuleNotFoundError)")
LONGEST = 1200  # seconds; who takes longer waits for what never comes
NOT_RUN = "CANNOT BE TRIED:"
TRIED: set[str] = set()  # suspects that were run, each of which must pass without a mistake


def copy_tree(to: Path) -> None:
    """Copy the working tree: what git tracks, and what it neither tracks nor ignores."""
    listed = subprocess.run(["git", "ls-files", "-coz", "--exclude-standard"], cwd=ROOT, capture_output=True)
    for name in filter(None, listed.stdout.decode().split("\0")):
        if (ROOT / name).is_file():
            (to / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, to / name)


def path_of(name: str, root: Path) -> Path:
    """The file that is meant: a chapter goes by its number."""
    return next(root.glob(f"notebooks/{name}_*.ipynb"), root / name) if name.isdecimal() else root / name


def changed(fault: Fault, root: Path) -> tuple[int, str]:
    """How often the old text stands in its file, and the file's text with the new one in its place."""
    path = path_of(fault.file, root)
    text = path.read_text(encoding="utf-8")
    if path.suffix != ".ipynb":
        return text.count(fault.old), text.replace(fault.old, fault.new)
    notebook, places = json.loads(text), 0
    for cell in notebook["cells"]:
        if cell["cell_type"] == "code":
            source = "".join(cell["source"])
            places += source.count(fault.old)
            cell["source"] = source.replace(fault.old, fault.new)
    return places, json.dumps(notebook)


def failure(suspect: str, root: Path) -> str:
    """Run a suspect in the copy; returns what failed, or nothing."""
    TRIED.add(suspect)
    tests = suspect.startswith("test_")
    if tests:
        command = ["-m", "pytest", "-x", "-q", "-rfE", "--tb=line", f"tests/{suspect}.py"]
    else:
        command = ["tools/notebooks.py", "execute", path_of(suspect, root).name, "--all"]
    environment = os.environ | {"PYTHONPATH": str(root), "OMP_NUM_THREADS": "1"}
    options = {"cwd": root, "env": environment, "capture_output": True, "text": True, "timeout": LONGEST}
    try:
        done = subprocess.run([sys.executable, *command], **options)
    except subprocess.TimeoutExpired:
        return f"{suspect}, which does not end"
    if done.returncode == 0:
        return ""
    said = done.stdout + done.stderr
    reason = (ERROR.findall(said) or said.splitlines()[-1:] or ["no word"])[-1]
    where = (TEST if tests else CELL).search(said)
    if not where or NO_CODE.search(reason):
        return f"{NOT_RUN} {reason}"
    claim = CHECK.search(said)
    found = f'check "{claim[1]}"' if claim else f"cell [{where[1]}]: {reason}"
    return where[1] if tests else f"{path_of(suspect, root).stem}, {found}"


def search(tree: Path, fault: Fault | None, suspects: list[str]) -> str:
    """Make a mistake, or none, and try the suspects; returns what found it, nothing, or why none could."""
    with tempfile.TemporaryDirectory(prefix="five-rings-") as folder:
        root = Path(shutil.copytree(tree, folder, dirs_exist_ok=True))
        if fault:
            places, text = changed(fault, root)
            if places != 1:
                return f"{NOT_RUN} the old text stands there {places} times, and must once: {fault.old!r}"
            path_of(fault.file, root).write_text(text, encoding="utf-8", newline="\n")
        return next(filter(None, (failure(suspect, root) for suspect in suspects)), "")


def suspects_of(fault: Fault) -> list[str]:
    """What is tried, in this order; a mistake in a chapter is that chapter's own to find."""
    return [*fault.suspects.split(), *([fault.file] if fault.file.isdecimal() else [])]


def main() -> None:
    """Read the command line and do what it says."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("words", nargs="*", help="all faults by default")
    parser.add_argument("--jobs", type=int, default=2, help="how many at a time")
    options = parser.parse_args()
    wanted = [f for f in FAULTS if not options.words or any(w in f"{f.file} {f.name}" for w in options.words)]
    sys.stdout.reconfigure(line_buffering=True)
    begun, bad = time.perf_counter(), []
    with ThreadPoolExecutor(options.jobs) as pool, tempfile.TemporaryDirectory() as folder:
        copy_tree(tree := Path(folder))  # once, so that the tree may be worked on meanwhile
        tries = pool.map(lambda fault: search(tree, fault, suspects_of(fault)), wanted)
        for fault, by in zip(wanted, tries):
            caught = by and not by.startswith(NOT_RUN)
            print(f"{fault.file}: {fault.name}\n    {'caught by ' * bool(caught)}{by or 'NOT CAUGHT'}")
            bad += [] if caught else [f"{fault.file}: {fault.name}"]
        print(f"\n{len(wanted) - len(bad)} of {len(wanted)} mistakes were caught. Without any mistake:")
        control = sorted(TRIED)
        tries = pool.map(lambda suspect: search(tree, None, [suspect]), control)
        for suspect, failed in zip(control, tries):
            print(f"    {suspect} {f'FAILS: {failed}' if failed else 'passes'}")
            bad += [f"{suspect} without any mistake"] if failed else []
    print(f"{time.perf_counter() - begun:.0f} s", *[f"TO MEND: {one}" for one in bad], sep="\n")
    sys.exit(bool(bad))


if __name__ == "__main__":
    main()
