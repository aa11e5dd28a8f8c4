"""What a model would trip over in a table, column by column: python scripts/look_at_table.py TABLE.csv

`your_data.py` has its options, and the numbers of its table, from the functions below.
"""

import argparse
import sys

import numpy as np
import pandas as pd

NOWHERE = (-np.inf, np.inf)


def hints(frame: pd.DataFrame) -> dict[str, list[str]]:
    """For each column, what has to be decided about it before a model sees it."""
    numbers = frame.select_dtypes("number")
    alone = unexplained(numbers)
    return {name: _of_holes(frame[name], numbers) + _of_values(frame[name], alone) for name in frame}


def unexplained(numbers: pd.DataFrame) -> pd.Series:
    """The share of each column's variance that no sum of the others gives, over rows without holes."""
    rows = numbers.dropna(axis=1, thresh=len(numbers) // 2).dropna()
    rows, left = rows.loc[:, rows.nunique() > 1], {}
    for name in rows if len(rows) > 2 * rows.shape[1] else []:
        scaled = (rows - rows.mean()) / rows.std()
        others = scaled.drop(columns=name)
        left[name] = (scaled[name] - others @ np.linalg.lstsq(others, scaled[name], rcond=None)[0]).var()
    return pd.Series(left, dtype=float)


def _of_holes(column: pd.Series, numbers: pd.DataFrame) -> list[str]:
    hole = column.isna()
    if not hole.any():
        return []
    off = (numbers[hole].mean() - numbers[~hole].mean()) / numbers.std()
    off = off.drop(column.name, errors="ignore").dropna()
    most = off.abs().idxmax() if len(off) else None
    there = f", where {most} is off by {off[most]:+.1f} deviations" if most else ""
    return [f"{hole.sum()} of {len(hole)} missing{there}"]


def _of_values(column: pd.Series, alone: pd.Series) -> list[str]:
    counts = column.value_counts(normalize=True)
    if column.dtype.kind not in "iuf":
        return [f"no number, {len(counts)} values: a --group, a file for each value, or nothing for a model"]
    if len(counts) < 2:
        return ["constant: drop it"]
    said, values = [], np.sort(counts.index.to_numpy(float))
    if len(counts) == len(column) and column.is_monotonic_increasing:
        said.append("rises from row to row: the number of the row, or a time?")
    if atom := counts.iloc[0] > max(0.05, 4 * counts.iloc[1]):
        said.append(f"{counts.iloc[0]:.0%} are exactly {counts.index[0]:g}: a cell, or a file of their own")
    step = pd.Series(np.diff(values)).round(9).mode()[0]
    if column.std() < 100 * step and len(counts) < len(column) / 2:
        said.append(f"rounded? --step '{column.name}' {step:.3g}")
    if values[0] >= 0 and 340 < values[-1] <= 360:
        said.append("degrees? a circle, not a line")
    above = column[column > 0]
    if values[0] >= 0 and above.skew() > max(1, 2 * abs(np.log(above).skew())):
        said.append(f"skewed and above zero? --positive '{column.name}'")
        if values[0] == 0 and not atom:
            said.append(f"{(column == 0).sum()} zeros: --step gives them cells")
    if alone.get(column.name, 1) < 1e-3:
        said.append(f"follows from the others, but for {alone[column.name]:.0e} of its variance")
    return said


def options(description: str) -> argparse.Namespace:
    """What was asked for on the command line."""
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("table", help="a CSV file of numbers, without holes; it stands before the options")
    parser.add_argument("--positive", nargs="+", default=[], metavar="NAME", help="columns above zero")
    walls = {"nargs": 3, "metavar": ("NAME", "LOW", "HIGH"), "help": "a column between two walls"}
    cells = {"nargs": 2, "metavar": ("NAME", "STEP"), "help": "what a column is rounded to"}
    parser.add_argument("--between", action="append", default=[], **walls)
    parser.add_argument("--step", action="append", default=[], **cells)
    parser.add_argument("--group", help="the column that says which rows belong together: a day, a patient")
    parser.add_argument("--steps", type=int, default=4000, help="of the longer training (%(default)s)")
    parser.add_argument("--solver", type=int, default=16, help="steps of the solver (%(default)s)")
    parser.add_argument("--seed", type=int, default=0, help="of the split and all else (%(default)s)")
    asked = parser.parse_args()
    try:
        asked.between = [(name, float(low), float(high)) for name, low, high in asked.between]
        asked.step = [(name, float(step)) for name, step in asked.step]
    except ValueError as error:
        parser.error(f"--between NAME LOW HIGH, --step NAME STEP: {error}")
    return asked


def numbers_of(asked: argparse.Namespace) -> tuple[pd.DataFrame, np.ndarray]:
    """The columns to be modelled, at a random point of each reading's cell; and each row's group.

    The program ends with one line where a column is not there, has text or holes, or follows from the others;
    where rows lie on a wall or beyond it; where rows or groups are too few.
    """
    frame = pd.read_csv(asked.table).replace([np.inf, -np.inf], np.nan)
    named = [*asked.positive, *(name for name, *_ in asked.between + asked.step), asked.group]
    if strange := [name for name in named if name not in (None, *frame)]:
        sys.exit(f"no columns {', '.join(strange)}; there are {', '.join(frame)}")
    bounded = [*asked.positive, *(name for name, *_ in asked.between)]
    roles = bounded + [asked.group] * (1 + (asked.group in [name for name, _ in asked.step]))
    if twice := [name for name in frame if roles.count(name) > 1]:
        sys.exit(
            f"columns with two roles: {', '.join(twice)}; one of --positive, --between, --group is enough"
        )
    if wrong := [f"{name} {low:g} {high:g}" for name, low, high in asked.between if not low < high]:
        sys.exit(f"--between {wrong[0]}: the first number must be below the second")
    if wrong := [f"{name} {step:g}" for name, step in asked.step if not 0 < step < np.inf]:
        sys.exit(f"--step {wrong[0]}: a step is a finite number above 0")
    if holes := [name for name in frame if frame[name].isna().any()]:
        sys.exit(f"columns with holes: {', '.join(holes)}; mend or drop them first")
    group = (frame.pop(asked.group) if asked.group else frame.index.to_series()).factorize()[0]
    if text := [name for name in frame if frame[name].dtype.kind not in "iuf"]:
        sys.exit(f"columns that are no numbers: {', '.join(text)}; drop them, or name one by --group")
    count, (rows, columns) = len(set(group)), frame.shape
    if count < 10 or rows < max(40, 4 * columns):
        sys.exit(f"{rows} rows in {count} groups are too few to split in three, for {columns} columns")
    still = [name for name in frame if frame[name].nunique() < 2]
    alone = unexplained(frame)
    if told := still + [name for name in alone.index if alone[name] < 1e-9]:
        sys.exit(f"columns that are constant, or sums of others: {', '.join(told)}; leave one out")
    walls = dict.fromkeys(asked.positive, (0.0, np.inf)) | {name: ends for name, *ends in asked.between}
    chance = np.random.default_rng(asked.seed)
    for name, step in asked.step:  # no cell reaches through a wall
        low, high = ((frame[name] + side * step / 2).clip(*walls.get(name, NOWHERE)) for side in (-1, 1))
        frame[name] = low + (high - low) * chance.uniform(1e-6, 1 - 1e-6, len(frame))
    for name, (low, high) in walls.items():
        if beyond := int((~frame[name].between(low, high, inclusive="neither")).sum()):
            sys.exit(f"{name}: {beyond} rows lie on a wall, {low:g} or {high:g}, or beyond it; see --step")
    return frame, group


def as_read(samples: pd.DataFrame, asked: argparse.Namespace) -> pd.DataFrame:
    """Samples as they would have been read: rounded, where readings are."""
    return samples.assign(**{name: (samples[name] / step).round() * step for name, step in asked.step})


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    for name, said in hints(pd.read_csv(sys.argv[1])).items():
        print(f"{name}: {'; '.join(said) or 'nothing found'}")
