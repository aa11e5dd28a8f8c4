"""Measure every flow, and bring the page of the book up to date.

python -m bench.run             measure all, then report (the reference alone takes some ten minutes)
python -m bench.run --report    only report what has been measured
"""

import statistics
import sys
import textwrap
from collections import defaultdict
from itertools import cycle
from pathlib import Path

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt

from bench import (
    affine,
    dimensions,
    finite_data,
    growth,
    matching,
    noise_and_score,
    one_step,
    peak,
    peer_quality,
    peer_tables,
    peers_affine,
    peers_matching,
    peers_spline,
    race,
    reference_exercise,
    scaling,
    spline,
    straight_paths,
    wasserstein,
)
from bench.result_files import read_records
from helpers import plots

BOOK = Path(__file__).parent.parent / "book"
MEASURED = ("affine", "matching", "reference_exercise", "spline")  # what is judged in nats


def by_model() -> dict[str, list[dict[str, object]]]:
    """The records of each model, in order of seeds."""
    groups = defaultdict(list)
    for record in read_records(*MEASURED):
        groups[record["model"]].append(record)
    return dict(groups)


def summary() -> str:
    """A markdown table: the median over seeds, and the spread, of each model."""
    lines = [
        "| model | seeds | CPU-seconds | KL (nats), median | lowest to highest | its error | on-ring share |",
        "|:---|---:|---:|---:|---:|---:|---:|",
    ]
    for model, group in by_model().items():
        kl = [record["kl"] for record in group]
        seconds, error, share = (
            statistics.median(record[key] for record in group)
            for key in ("cpu_seconds", "kl_se", "on_ring_share")
        )
        spread = f"{min(kl):.3f} to {max(kl):.3f}" if len(kl) > 1 else "–"
        lines.append(
            f"| {model} | {len(group)} | {seconds:.0f} | {statistics.median(kl):.3f} | {spread} "
            f"| {error:.4f} | {share:.3f} |"
        )
    return "\n".join(lines) + "\n"


@plt.rc_context(plots.STYLE)
def figure(path: Path) -> None:
    """Nats above the floor against CPU-seconds of training: of each model the run with the median KL."""
    drawing, ax = plt.subplots(figsize=(plots.WIDTH, 4.2))
    drawing.subplots_adjust(left=0.115, right=0.7, bottom=0.13, top=0.97)
    models = by_model()
    # A model that is told the ring has the colour of the one that is not.
    kinds = dict(zip(dict.fromkeys(model.replace(" by class", "") for model in models), cycle(plots.OTHERS)))
    for model in models:
        colour = kinds[model.replace(" by class", "")]
        middle = sorted(models[model], key=lambda record: record["kl"])[len(models[model]) // 2]
        seconds, above = zip(*middle["trace"])
        ax.plot(seconds, above, color=colour, linestyle="--" if "by class" in model else "-", label=model)
    ax.set(xscale="log", yscale="log", xlabel="CPU-seconds of training", ylabel="nats above the floor")
    for axis in (ax.xaxis, ax.yaxis):
        axis.set_major_formatter("{x:g}")
    ends = {line.get_label(): line.get_ydata()[-1] for line in ax.lines}
    handles = sorted(ax.lines, key=lambda line: -ends[line.get_label()])  # as the ends lie
    names = [textwrap.fill(str(line.get_label()), plots.LABEL) for line in handles]
    ax.legend(handles, names, loc="center left", bbox_to_anchor=(1.01, 0.5), handlelength=1.5)
    path.write_text(plots.as_svg(drawing) + "\n", encoding="utf-8", newline="\n")
    plt.close(drawing)


TABLES = {  # of the page: book/NAME_table.md
    "benchmarks": summary,
    "benchmarks_peers": peer_tables.speed_table,
    "benchmarks_quality": peer_tables.quality_table,
    "benchmarks_peak": peer_tables.peak_table,
    "benchmarks_growth": peer_tables.growth_table,
}


def main() -> None:
    """Read the command line and do what it says."""
    if "--report" not in sys.argv[1:]:
        affine.main()
        spline.main()
        matching.main()
        reference_exercise.main()
        peers_affine.affine_peers()  # beside other libraries, as the next five; eight minutes in all
        peers_spline.spline_peers()
        peers_matching.matching_peers()
        peak.measure_peak()
        growth.measure_growth()
        peer_quality.main()
        finite_data.main()  # for Chapter 13; another twenty minutes
        dimensions.main()  # two ladders; an hour
        wasserstein.main()  # for Chapter 17, as the next; a minute
        straight_paths.main()  # six minutes
        one_step.main()  # for Chapter 18; half an hour
        noise_and_score.main()  # for Chapter 19; ten minutes
        race.main()  # for Chapter 21; twenty-five minutes, what is in its record excepted
        scaling.main()  # and the tables of its page
    for name, table in TABLES.items():
        (BOOK / f"{name}_table.md").write_text(table(), encoding="utf-8", newline="\n")
        print(table())
    figure(BOOK / "_static" / "benchmarks.svg")


if __name__ == "__main__":
    main()
