"""Several ways of doing the same work take turns, so that whatever else the machine does meets them alike.

A turn is a few calls of each, one after the other, and each time another begins. A round is many turns, and a
ratio compares what two of them took in the same round. On the CPU the seconds are those of the process, which
do not count what other programs take; on a GPU they are those of the clock, from and to an idle device.
"""

import argparse
import datetime
import os
import platform
import statistics
import time
from collections.abc import Callable
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import torch

__all__ = ["FASTEST", "Work", "compare", "machine", "parse_device", "spread", "take_turns", "version_of"]

Work = Callable[[], object]
Seconds = dict[str, list[float]]  # of one call, by name: one number for each round

FASTEST = "the fastest of them"


def seconds_of(work: Work, calls: int, device: str) -> float:
    """What so many calls took."""
    if device == "cpu":
        started = time.process_time()
        for _ in range(calls):
            work()
        return time.process_time() - started
    torch.cuda.synchronize(device)
    started = time.perf_counter()
    for _ in range(calls):
        work()
    torch.cuda.synchronize(device)
    return time.perf_counter() - started


def take_turns(
    works: dict[str, Work], rounds: int = 9, turns: int = 8, calls: int = 5, device: str = "cpu"
) -> Seconds:
    """The seconds that one call of each work takes, by name: a mean over `turns * calls` for every round."""
    torch.set_num_threads(1)  # or the seconds of several threads would add up
    for work in works.values():
        seconds_of(work, 2 * calls, device)  # not counted: memory is found, and code is met first
    names, found = list(works), {name: [0.0] * rounds for name in works}
    for number in range(rounds):
        for turn in range(turns):
            first = turn % len(names)
            for name in names[first:] + names[:first]:
                found[name][number] += seconds_of(works[name], calls, device) / (turns * calls)
    return found


def compare(seconds: Seconds) -> dict[str, list[float]]:
    """Ours over theirs, round by round; and over the fastest of theirs: the one whose median is the least."""
    peers = [name for name in seconds if name != "ours"]
    ratios = {name: [a / b for a, b in zip(seconds["ours"], seconds[name])] for name in peers}
    return ratios | {FASTEST: ratios[min(peers, key=lambda name: statistics.median(seconds[name]))]}


def spread(ratios: list[float]) -> str:
    """The median, and between which values the rounds lie."""
    return f"{statistics.median(ratios):.2f} ({min(ratios):.2f} to {max(ratios):.2f})"


def version_of(package: str) -> str | None:
    """Which version of a package is installed, or None."""
    try:
        return version(package)
    except PackageNotFoundError:
        return None


def machine(device: str = "cpu") -> dict[str, object]:
    """Where and when something was measured, for the record."""
    cpu = platform.processor() or platform.machine()
    if (listing := Path("/proc/cpuinfo")).is_file():
        lines = listing.read_text(encoding="utf-8").splitlines()
        cpu = next((line.split(":")[1].strip() for line in lines if line.startswith("model name")), cpu)
    return {
        "cpu": cpu,
        "cores": os.cpu_count(),
        "threads": torch.get_num_threads(),
        "device": "cpu" if device == "cpu" else torch.cuda.get_device_name(device),
        "instructions": torch.backends.cpu.get_cpu_capability(),
        "torch": torch.__version__,
        "python": platform.python_version(),
        "date": datetime.date.today().isoformat(),
    }


def parse_device(about: str | None) -> str:
    """The device that the command line names: --device cpu, or a GPU such as --device cuda."""
    parser = argparse.ArgumentParser(description=about, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", default="cpu", help="cpu, or a GPU such as cuda")
    device = parser.parse_args().device
    if device != "cpu" and not torch.cuda.is_available():
        parser.error(f"--device {device}: torch finds no GPU here")
    return device
