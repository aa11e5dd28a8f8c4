"""The tables of the page of benchmarks that stand beside other libraries, from what has been measured."""

from bench.result_files import read_records
from bench.turns import FASTEST, spread

__all__ = ["growth_table", "peak_table", "quality_table", "speed_table"]

MODELS = {"peers_affine": "affine flow", "peers_spline": "spline flow", "peers_matching": "flow matching"}


def as_markdown(head: list[str], rows: list[list[str]], words: int = 1) -> str:
    """A table whose first columns, as many as `words`, hold words, and the others numbers."""
    rule = [":---"] * words + ["---:"] * (len(head) - words)
    return "".join(f"| {' | '.join(row)} |\n" for row in [head, rule, *rows])


def comparisons() -> list[tuple[str, dict[str, object]]]:
    """Every comparison of a task, with the model that it is of."""
    return [
        (model, record) for name, model in MODELS.items() for record in read_records(name) if "task" in record
    ]


def speed_table() -> str:
    """Our seconds over theirs: the median and the spread, for every task, library and device."""
    found = comparisons()
    libraries = list(
        dict.fromkeys(name for _, record in found for name in record["ratios"] if name != FASTEST)
    )
    on_gpu = any(record["device"] != "cpu" for _, record in found)
    rows = [
        [f"{model}, {record['setting']}", record["task"]]
        + [record["device"]] * on_gpu
        + [spread(record["ratios"][name]) if name in record["ratios"] else "–" for name in libraries]
        for model, record in found
    ]
    head = ["model", "task"] + ["device"] * on_gpu + [f"ours / {name}" for name in libraries]
    return as_markdown(head, rows, words=2 + on_gpu)


def peak_table() -> str:
    """What a step of each training loop multiplies, how long it takes, and its share of the peak."""
    about, *loops = read_records("peak")
    head = ["training loop", "batch", "operations a step, millions", "milliseconds", "share of the peak"]
    rows = [
        [
            row["loop"],
            f"{row['batch']:,}",
            f"{row['operations'] / 1e6:.0f}",
            f"{1e3 * row['seconds']:.2f}",
            f"{100 * row['share']:.0f} %",
        ]
        for row in loops
    ]
    best = ["products of large matrices", "–", "–", "–", f"{about['peak'] / 1e9:.0f} billion a second"]
    return as_markdown(head, [*rows, best])


def growth_table() -> str:
    """Milliseconds by the size that grows."""
    rows = []
    for row in read_records("growth")[1:]:
        sizes, seconds = zip(*row["seconds"].items())
        told = " · ".join(f"{1e3 * value:.1f}" for value in seconds)
        rows.append([row["model"], row["growing"], ", ".join(sizes), told])
    return as_markdown(["model", "what grows", "sizes", "milliseconds, in the same order"], rows, words=3)


def quality_table() -> str:
    """The divergence at every mark, in nats, and its error at the last."""
    _, *models = read_records("peer_quality")
    marks = [at["cpu_seconds"] for at in models[0]["trace"]]
    head = ["model", "parameters", "steps", *(f"KL at {mark} s" for mark in marks), "its error"]
    rows = [
        [row["model"], f"{row['parameters']:,}", f"{row['trace'][-1]['steps']:,}"]
        + [f"{at['kl']:.3f}" for at in row["trace"]]
        + [f"{row['trace'][-1]['kl_se']:.4f}"]
        for row in models
    ]
    return as_markdown(head, rows)
