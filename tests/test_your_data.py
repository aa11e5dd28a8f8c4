"""The scripts of the page *Use it on your data*, on tables that the book does not use."""

import re
import subprocess
import sys
from argparse import Namespace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from sklearn.datasets import load_breast_cancer, load_wine
from sklearn.linear_model import LinearRegression

ROOT = Path(__file__).resolve().parent.parent
SCRIPT, PAGE = ROOT / "scripts" / "your_data.py", ROOT / "book" / "use_it_on_your_data.md"
sys.path.append(str(SCRIPT.parent))

from look_at_table import as_read, hints, numbers_of, options, unexplained  # noqa: E402


def run(folder: Path, *words: str, flags: tuple = (), then: str = "") -> subprocess.CompletedProcess[str]:
    command = [sys.executable, *flags, SCRIPT, "wine.csv", "--steps", "300", *words]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False, input=then)


def asked(table: Path, **how: object) -> Namespace:
    usual = {"positive": [], "between": [], "step": [], "group": None, "seed": 0}
    return Namespace(table=table, **usual | how)


@pytest.fixture
def wine(tmp_path: Path) -> Path:
    load_wine(as_frame=True).data.to_csv(tmp_path / "wine.csv", index=False)
    return tmp_path


@pytest.fixture
def sales(tmp_path: Path) -> Path:
    """A table as the page prepares one, with everything in it that the page names."""
    chance, n = np.random.default_rng(0), 400
    day = np.sort(chance.integers(0, 200, n))
    table = pd.DataFrame({"date": pd.Timestamp("2024-01-01") + pd.to_timedelta(day, "D")})
    table["region"] = chance.choice(["north", "south"], n)
    table["amount"] = np.where(chance.random(n) < 0.4, 0, chance.lognormal(2, 1, n).round(2) + 0.01)
    table["visits"], table["angle"] = chance.poisson(4, n), chance.integers(0, 360, n)
    table["wind"] = chance.lognormal(1, 0.3, n).round(1)
    table["temp"] = (15 + 5 * np.sin(day / 30) + chance.normal(0, 3, n)).round(1)
    table.loc[table.index[(table.amount == 0) & (chance.random(n) < 0.3)], "wind"] = np.nan
    table.loc[chance.choice(n, 8, replace=False), "temp"] = np.nan
    table.to_csv(tmp_path / "sales.csv", index=False)
    return tmp_path


def test_from_a_table_to_judged_samples(wine: Path) -> None:
    walls = ("--between", "hue", "0", "2", "--between", "ash", "1", "4")
    ran = run(wine, "--positive", "malic_acid", "proline", *walls, "--step", "magnesium", "1")
    assert ran.returncode == 0, ran.stderr
    lines = ran.stdout.splitlines()
    for told, count in (
        (r"^flow matching, noise \S+, (75|300) steps +-?\d", 6),
        (r"^1 normal, noise \S+: .* nats a row, held out", 1),
        (r" nats a row, held out$", 3),
        (r" over 1 normal, noise \S+: ", 1),
        (r"^flow matching.* over .* normal, noise \S+: ", 1),
        (r"^flow matching with --solver 32: [+-]\d", 1),
        (r": nearest training row \d.* classifier 0\.", 2),
        (r"^samples.csv is from: ", 1),
    ):
        assert sum(bool(re.search(told, line)) for line in lines) == count, (told, ran.stdout)
    samples, table = pd.read_csv(wine / "samples.csv"), pd.read_csv(wine / "wine.csv")
    assert list(samples) == list(table) and len(samples) == len(table)
    assert (samples[["malic_acid", "proline"]] > 0).all(axis=None)
    assert samples["hue"].between(0, 2).all() and samples["ash"].between(1, 4).all()
    assert (samples["magnesium"] % 1 == 0).all() and not (samples["proline"] % 1 == 0).any()
    away = (samples.mean() - table.mean()).abs() / table.std()
    assert away.max() < 0.6


def test_the_density_is_left_behind_and_groups_are_not_modelled(wine: Path) -> None:
    table = pd.read_csv(wine / "wine.csv")
    table.insert(0, "bottle", [f"number {row // 3}" for row in range(len(table))])
    table.to_csv(wine / "wine.csv", index=False)
    told = "print('left', density.log_prob(x[:7]).isfinite().sum().item(), len(density.sample(5)))\n"
    ran = run(wine, "--group", "bottle", flags=("-i",), then=told)
    assert "left 7 5" in ran.stdout, ran.stderr
    assert "bottle" not in pd.read_csv(wine / "samples.csv")


def changed(table: pd.DataFrame, change: str) -> pd.DataFrame:
    if change == "few":
        return table.head(45)
    columns = {
        "hole": {"ash": table.ash.where(table.index != 3)},
        "infinite": {"ash": table.ash.where(table.index != 3, float("inf"))},
        "text": {"grape": "nebbiolo"},
        "sum": {"total": table.ash + 2 * table.hue},
        "constant": {"flat": 1.0},
        "zero": {"proline": table.proline.where(table.index != 5, 0)},
    }
    return table.assign(**columns.get(change, {}))


@pytest.mark.parametrize(
    "change, how, message",
    [
        ("hole", {}, "columns with holes: ash; mend or drop them first"),
        ("text", {}, "columns that are no numbers: grape; drop them, or name one by --group"),
        ("sum", {}, "sums of others: ash, hue, total; leave one out"),
        ("constant", {}, "constant, or sums of others: flat; leave one out"),
        ("few", {}, "45 rows in 45 groups are too few to split in three, for 13 columns"),
        ("zero", {"positive": ["proline"]}, "proline: 1 rows lie on a wall, 0 or inf, or beyond it"),
        ("", {"between": [("hue", 0.0, 1.0)]}, "hue: 84 rows lie on a wall, 0 or 1, or beyond it"),
        ("infinite", {}, "columns with holes: ash; mend or drop them first"),
        ("", {"positive": ["hue"], "between": [("hue", 0.0, 2.0)]}, "columns with two roles: hue;"),
        ("", {"positive": ["hue"], "group": "hue"}, "columns with two roles: hue;"),
        (
            "",
            {"between": [("hue", 2.0, 0.0)]},
            "--between hue 2 0: the first number must be below",
        ),
        ("", {"step": [("hue", 0.0)]}, "--step hue 0: a step is a finite number above 0"),
        ("", {"positive": ["prolin"]}, "no columns prolin; there are alcohol, malic_acid,"),
        ("", {"group": "grower"}, "no columns grower; there are alcohol,"),
    ],
)
def test_what_cannot_be_used_is_named(wine: Path, change: str, how: dict[str, object], message: str) -> None:
    changed(pd.read_csv(wine / "wine.csv"), change).to_csv(wine / "wine.csv", index=False)
    with pytest.raises(SystemExit) as ended:
        numbers_of(asked(wine / "wine.csv", **how))
    assert message in ended.value.code


@pytest.mark.parametrize(
    "words, message",
    [
        (["--between", "hue", "0"], "--between: expected 3 arguments"),
        (["--step", "hue", "fine"], "could not convert string to float: 'fine'"),
        (["--positive", "hue", "wine.csv"], "required: table"),
    ],
)
def test_options_that_are_none(
    words: list[str], message: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    table = [] if "wine.csv" in words else ["wine.csv"]
    monkeypatch.setattr(sys, "argv", ["your_data.py", *table, *words])
    with pytest.raises(SystemExit):
        options("")
    assert message in capsys.readouterr().err


def test_the_script_ends_with_one_line_where_it_must(wine: Path) -> None:
    ran = run(wine, "--positive", "prolin")
    assert ran.returncode == 1 and ran.stderr.startswith("no columns prolin") and ran.stderr.count("\n") == 1


def test_a_reading_becomes_a_point_of_its_cell_and_comes_back(tmp_path: Path) -> None:
    chance = np.random.default_rng(1)
    table = pd.DataFrame({"rain": chance.integers(0, 4, 500) / 100, "count": chance.poisson(3, 500)})
    table["share"] = chance.choice([0, 0.1, 0.5, 1], 500)
    table.to_csv(tmp_path / "wet.csv", index=False)
    steps = {"rain": 0.01, "count": 1.0, "share": 0.1}
    how = asked(tmp_path / "wet.csv", positive=["rain"], between=[("share", 0.0, 1.0)], step=[*steps.items()])
    points, group = numbers_of(how)
    assert len(set(group)) == 500
    for name, step in steps.items():
        assert (points[name] - table[name]).abs().max() <= step / 2
        assert points[name].nunique() == 500
    assert points["rain"].min() > 0 and points["share"].min() > 0 and points["share"].max() < 1
    pd.testing.assert_frame_equal(as_read(points, how), table.astype(float), atol=1e-9)


def test_what_the_others_leave_is_what_regression_leaves() -> None:
    table = load_wine(as_frame=True).data
    table["total"] = table.ash - 3 * table.hue
    left = unexplained(table)
    assert left[["ash", "hue", "total"]].max() < 1e-12
    others = table.drop(columns=["proline"])
    score = LinearRegression().fit(others, table.proline).score(others, table.proline)
    assert left["proline"] == pytest.approx(1 - score, rel=1e-6)


def test_the_first_look_names_what_the_page_asks_for(sales: Path) -> None:
    said = {name: "; ".join(of) for name, of in hints(pd.read_csv(sales / "sales.csv")).items()}
    assert "no number" in said["date"] and "no number" in said["region"]
    assert "are exactly 0" in said["amount"] and "--positive 'amount'" in said["amount"]
    assert "--step 'visits' 1" in said["visits"] and "exactly" not in said["visits"]
    assert "degrees?" in said["angle"] and "missing, where amount is off by -" in said["wind"]
    cancer = load_breast_cancer(as_frame=True).data
    cancer.insert(0, "row", range(len(cancer)))
    said = {name: "; ".join(of) for name, of in hints(cancer.assign(flat=2)).items()}
    assert "rises from row to row" in said["row"] and "constant" in said["flat"]
    assert "follows from the others" in said["mean radius"] and "--positive" in said["mean area"]
    assert "13 zeros" in said["concavity error"] and not said["mean texture"]
    look = [sys.executable, SCRIPT.parent / "look_at_table.py", "sales.csv"]
    ran = subprocess.run(look, cwd=sales, capture_output=True, text=True, check=True)
    assert [line.split(":")[0] for line in ran.stdout.splitlines()][:3] == ["date", "region", "amount"]


def test_the_page_prepares_a_table_that_the_script_can_read(
    sales: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    block = re.search(r"```python\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)[1]
    monkeypatch.chdir(sales)
    exec(block, names := {})
    sold, unsold = pd.read_csv("sold.csv"), pd.read_csv("unsold.csv")
    assert list(unsold) == ["visits", "temp", "week", "east", "north"]
    assert set(sold) == {*unsold, "amount"} and sold.amount.min() > 0
    assert names["shares"].sum() == pytest.approx(1)
    # Rows without a wind are days without a sale: shares that are counted after the drop are off.
    assert names["shares"][False] > len(unsold) / (len(sold) + len(unsold)) + 0.05
    steps = [("amount", 0.01), ("visits", 1.0), ("temp", 0.1)]
    points, group = numbers_of(asked(Path("sold.csv"), group="week", positive=["amount"], step=steps))
    assert len(points) == len(sold) and len(set(group)) == sold.week.nunique()
    numbers_of(asked(Path("unsold.csv"), group="week", step=steps[1:]))


def test_it_is_short() -> None:
    assert sum(bool(line.strip()) for line in SCRIPT.read_text(encoding="utf-8").splitlines()) <= 60
