"""Execute the chapters, and know which of them are stale.

digest: list the stale ones, exit 1 where there is one    strip: drop metadata that editors leave behind
execute: the stale ones, in the order of _toc.yml         times: write book/run_times_table.md anew
What makes a chapter stale: tools/staleness.py.
"""

import argparse
import os
import re
import sys
import time
from pathlib import Path

import nbformat
import yaml
from nbclient import NotebookClient
from nbclient.exceptions import CellControlSignal, DeadKernelError
from nbformat import NotebookNode
from staleness import digest, is_stale

ROOT = Path(__file__).resolve().parent.parent
KERNEL = {"display_name": "Python 3 (ipykernel)", "language": "python", "name": "python3"}
# No version, which differs between machines; the ending is for `nbconvert --to script`.
LANGUAGE = {
    "name": "python",
    "file_extension": ".py",
    "mimetype": "text/x-python",
    "pygments_lexer": "ipython3",
}
VOLATILE = ("execution", "ExecuteTime", "collapsed", "scrolled")
ADDRESS = re.compile(r"\b0x[0-9a-f]{8,}\b")
ROW = re.compile(r"\(\.\./notebooks/(\w+\.ipynb)\) \| ([\d.]+) \| ([\d.]+) \|")
NEXT = "The file was left as it was. Mend the cell (`make lab` opens JupyterLab); `make notebooks` goes on."


def chapters(root: Path = ROOT) -> list[Path]:
    """The notebooks of the book, in reading order."""
    toc = yaml.safe_load((root / "_toc.yml").read_text(encoding="utf-8"))
    files = [entry["file"] for part in toc["parts"] for entry in part["chapters"]]
    return [root / f"{name}.ipynb" for name in files if name.startswith("notebooks/")]


def write(path: Path, content: NotebookNode | str) -> None:
    """Write a notebook or a text whole or not at all."""
    text = content if isinstance(content, str) else nbformat.writes(content) + "\n"
    part = path.with_name(path.name + ".part")
    part.write_text(text, encoding="utf-8", newline="\n")
    part.replace(path)


def strip(notebook: NotebookNode) -> NotebookNode:
    """Drop what differs from run to run, or from machine to machine, and says nothing."""
    notebook.nbformat_minor = 5
    notebook.metadata.pop("widgets", None)
    notebook.metadata.update(nbformat.from_dict({"kernelspec": KERNEL, "language_info": LANGUAGE}))
    for number, cell in enumerate(notebook.cells):
        cell.setdefault("id", f"cell-{number}")
        cell.metadata = nbformat.from_dict({k: v for k, v in cell.metadata.items() if k not in VOLATILE})
        for output in cell.get("outputs", []):
            if output.output_type == "error":  # a whole traceback names folders of this machine
                output.traceback = [f"{output.ename}: {output.evalue}"]
    return notebook


def execute(path: Path) -> None:
    """Execute one chapter in a fresh kernel, write it, and record its run time."""
    notebook = nbformat.read(path, as_version=4)
    # A last cell asks the kernel for its own CPU time, and is taken away again.
    notebook.cells.append(nbformat.v4.new_code_cell("__import__('time').process_time()"))
    options = {"coalesce_streams": True, "extra_arguments": ["--log-level=ERROR"]}
    client = NotebookClient(notebook, resources={"metadata": {"path": str(path.parent)}}, **options)
    begun: list[NotebookNode] = []
    client.on_cell_execute = lambda cell, cell_index: begun.append(cell)
    start = time.perf_counter()
    try:
        client.execute()
    except (CellControlSignal, DeadKernelError) as error:
        said = f"{error.ename}: {error.evalue}" if hasattr(error, "ename") else str(error)
        sys.exit(f"{path.name}: code cell [{len(begun)}] failed:\n{begun[-1].source}\n\n{said}\n\n{NEXT}")
    took = time.perf_counter() - start, float(notebook.cells.pop().outputs[0].data["text/plain"])
    for output in (output for cell in strip(notebook).cells for output in cell.get("outputs", [])):
        said = f"{output.get('text', '')}{output.get('data', {}).get('text/plain', '')}"
        if ADDRESS.search(said) or str(ROOT) in said:
            sys.exit(f"{path.name}: an object's address, or a folder of this machine, in:\n{said}\n\n{NEXT}")
    notebook.metadata["five_rings"] = {"digest": digest(notebook)}
    write(path, notebook)
    times({path.name: took})
    print(f"{path.stem:40} {took[0]:.1f} s, {took[1]:.1f} CPU-s", flush=True)


def times(new: dict[str, tuple[float, float]]) -> None:
    """Write the table of run times; a chapter that was not executed keeps its entry."""
    table = ROOT / "book" / "run_times_table.md"
    old = ROW.findall(table.read_text(encoding="utf-8"))
    known = {name: (float(wall), float(cpu)) for name, wall, cpu in old} | new
    rows = []
    for path in (path for path in chapters() if path.exists() and path.name in known):
        title = nbformat.read(path, as_version=4).cells[0].source.split("\n")[0].lstrip("# ")
        rows.append((f"[{title}](../notebooks/{path.name})", *known[path.name]))
    rows.append(("All chapters", sum(row[1] for row in rows), sum(row[2] for row in rows)))
    lines = [f"| {title} | {wall:.1f} | {cpu:.1f} |" for title, wall, cpu in rows]
    write(table, "\n".join(["| Chapter | Seconds | CPU seconds |", "|:---|---:|---:|", *lines, ""]))


def main() -> None:
    """Read the command line and do what it says."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("command", choices=("digest", "execute", "strip", "times"))
    parser.add_argument("names", nargs="*", help="only the chapters whose file names hold one of these")
    parser.add_argument("--all", action="store_true", help="execute chapters that are up to date, too")
    options = parser.parse_args()
    wanted = [p for p in chapters() if not options.names or any(name in p.name for name in options.names)]
    if missing := [path.name for path in wanted if not path.exists()]:
        sys.exit(f"_toc.yml names what is not there: {', '.join(missing)}")
    # The kernel inherits these: models go to models/, figures into the page, sets keep one order.
    os.environ |= {"FIVE_RINGS_PROGRESS": "0", "FIVE_RINGS_SAVE": str(ROOT / "models"), "MPLBACKEND": ""}
    os.environ |= {"OMP_NUM_THREADS": "1", "PYTHONHASHSEED": "0", "PYTHONPATH": str(ROOT)}
    for path in wanted if options.command == "strip" else []:
        write(path, strip(nbformat.read(path, as_version=4)))
    for path in wanted if options.command == "execute" else []:
        if options.all or is_stale(path):
            execute(path)
        else:
            print(f"{path.stem:40} up to date", flush=True)
    if options.command == "times":
        times({})
    if options.command == "digest" and (stale := [path.name for path in wanted if is_stale(path)]):
        sys.exit(f"stale; `make notebooks` executes them: {', '.join(stale)}")


if __name__ == "__main__":
    main()
