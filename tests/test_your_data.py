"""The script of the page *Use it on your data*, on tables that the book does not use."""

import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest
from sklearn.datasets import load_wine

ROOT = Path(__file__).resolve().parent.parent
SCRIPT = ROOT / "scripts" / "your_data.py"


def run(folder: Path, *options: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, SCRIPT, "wine.csv", "--steps", "300", *options]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)


@pytest.fixture
def wine(tmp_path: Path) -> Path:
    load_wine(as_frame=True).data.to_csv(tmp_path / "wine.csv", index=False)
    return tmp_path


def test_from_a_table_to_judged_samples(wine: Path) -> None:
    ran = run(wine, "--positive", "malic_acid,proline", "--between", "hue:0:2,ash:1:4")
    assert ran.returncode == 0, ran.stderr
    told = [line.split(":")[0] for line in ran.stdout.splitlines()]
    assert told[0] == "mixture" and told[1].startswith("flow matching, noise 0.")
    for what in ("flow matching over the mixture", "with twice the steps"):
        assert what in told
    assert any(line.startswith("nearest training row") for line in told) and told[-1].startswith("classifier")
    samples, table = pd.read_csv(wine / "samples.csv"), pd.read_csv(wine / "wine.csv")
    assert list(samples) == list(table) and len(samples) == len(table)
    assert (samples[["malic_acid", "proline"]] > 0).all(axis=None)
    assert samples["hue"].between(0, 2).all() and samples["ash"].between(1, 4).all()
    away = (samples.mean() - table.mean()).abs() / table.std()
    assert away.max() < 0.6


def test_groups_are_a_column_that_is_not_modelled(wine: Path) -> None:
    table = pd.read_csv(wine / "wine.csv")
    table.insert(0, "bottle", [f"number {row // 3}" for row in range(len(table))])
    table.to_csv(wine / "wine.csv", index=False)
    ran = run(wine, "--group", "bottle", "--step", "0.01")
    assert ran.returncode == 0, ran.stderr
    assert "bottle" not in pd.read_csv(wine / "samples.csv")


def test_text_and_holes_are_named(wine: Path) -> None:
    table = pd.read_csv(wine / "wine.csv").assign(grape="nebbiolo")
    table.loc[3, "ash"] = None
    table.to_csv(wine / "wine.csv", index=False)
    ran = run(wine)
    assert ran.returncode == 2 and "columns with text or holes: ash, grape" in ran.stderr


def test_a_value_on_a_wall_is_named(wine: Path) -> None:
    table = pd.read_csv(wine / "wine.csv")
    table.loc[5, "proline"] = 0
    table.to_csv(wine / "wine.csv", index=False)
    ran = run(wine, "--positive", "proline")
    assert ran.returncode == 2 and "1 rows lie on a wall" in ran.stderr


def test_it_is_short() -> None:
    assert sum(bool(line.strip()) for line in SCRIPT.read_text(encoding="utf-8").splitlines()) <= 60
