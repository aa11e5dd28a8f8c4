"""The files that measurements are written to, and read from: `results/NAME.json`, a list of records each."""

import json
from pathlib import Path

__all__ = ["RESULTS", "read_records", "write_records"]

RESULTS = Path(__file__).parent / "results"


def write_records(name: str, records: list[dict[str, object]]) -> None:
    """Write records to `results/NAME.json`."""
    RESULTS.mkdir(exist_ok=True)
    (RESULTS / f"{name}.json").write_text(json.dumps(records, indent=1) + "\n", encoding="utf-8")


def read_records(*names: str) -> list[dict[str, object]]:
    """All records of the measurements of these names, in this order."""
    files = [RESULTS / f"{name}.json" for name in names]
    return [record for file in files for record in json.loads(file.read_text(encoding="utf-8"))]
