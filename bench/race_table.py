"""The table of Chapter 21, from the records of `bench.race`; it needs none of the libraries beside us."""

import statistics

from bench.result_files import read_records

__all__ = ["race_table"]

SAME = ("name", "family", "library", "told", "parameters", "calls", "density_calls")  # for all seeds
NUMBERS = (
    "train_seconds",
    "samples_a_second",
    "densities_a_second",
    "kl",
    "kl_se",
    "on_ring_share",
    "on_ring_share_se",
    "own_ring_share",
    "over_floor",
    "round_trip_median",
    "round_trip_99",
)

Row = dict[str, str | int | None | tuple[float, float, float]]


def race_table(file: str = "race") -> list[Row]:
    """A row of each contestant, in the order of the record.

    Args:
        file: the record's name; "race_cuda" is that of a GPU.

    Returns:
        Rows with what is the same for all seeds (`SAME`), how many seeds there are ("seeds"), and of each of
        `NUMBERS` the median over the seeds, the lowest and the highest, as one triple; or None where the
        contestant has no such number. Seconds are CPU-seconds, divergences (kl) are in nats, and over_floor
        is the sliced distance of samples from data over that of other data.

    Raises:
        FileNotFoundError: there is no such record.
    """
    groups: dict[str, list[dict[str, object]]] = {}
    for record in read_records(file):
        if "name" in record:
            groups.setdefault(record["name"], []).append(record)
    return [
        {key: group[0][key] for key in SAME}
        | {"seeds": len(group)}
        | {key: middle_and_ends([record[key] for record in group]) for key in NUMBERS}
        for group in groups.values()
    ]


def middle_and_ends(values: list[float | None]) -> tuple[float, float, float] | None:
    """The median, the lowest and the highest; None where a value is missing."""
    return None if None in values else (statistics.median(values), min(values), max(values))
