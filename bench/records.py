"""What a measurement writes down, and where."""

import json
from pathlib import Path

import torch

from helpers import metrics
from helpers.flows import NormalizingFlow
from helpers.rings import OlympicRings

__all__ = ["RESULTS", "read_records", "score", "write_records"]

RESULTS = Path(__file__).parent / "results"


def score(flow: NormalizingFlow, seed: int) -> dict[str, float]:
    """Judge a flow on 100,000 fresh points: KL in nats with its standard error, and on-ring share."""
    torch.manual_seed(1_000_000 + seed)
    x, _ = OlympicRings().sample(100_000)
    kl = metrics.kl_to_truth(flow.log_prob, x)
    share = metrics.on_ring_share(flow.sample(100_000))
    return {"kl": kl.value, "kl_se": kl.stderr, "on_ring_share": share.value}


def write_records(name: str, records: list[dict[str, object]]) -> None:
    """Write records to `results/NAME.json`."""
    RESULTS.mkdir(exist_ok=True)
    (RESULTS / f"{name}.json").write_text(json.dumps(records, indent=1) + "\n", encoding="utf-8")


def read_records() -> list[dict[str, object]]:
    """All records of all measurements, by file name."""
    files = sorted(RESULTS.glob("*.json"))
    return [record for file in files for record in json.loads(file.read_text(encoding="utf-8"))]
