"""The clinic: each test against known numbers, each patient found by its test, each repair."""

import ast
import copy
import math
import sys
from collections.abc import Callable
from pathlib import Path

import nbformat
import pytest
import torch
from nbclient import NotebookClient
from nbformat import NotebookNode
from torch import Tensor, nn

from helpers import clinic
from helpers.clinic import LIMITS, Finding, examine, findings
from helpers.distributions import StandardNormal

ROOT = Path(__file__).resolve().parents[1]
CHAPTER = ROOT / "notebooks" / "20_the_clinic.ipynb"
sys.path.append(str(ROOT / "teaching"))

from clinic_repairs import FOUND_BY, PATIENT_13, PATIENT_14, REPAIRS  # noqa: E402

NAMES = [test.__name__.replace("_", " ") for test in LIMITS]


@pytest.fixture(autouse=True)
def _seed() -> None:
    torch.manual_seed(0)


def one(**given: object) -> float:
    """The number of the only test that these arguments are enough for."""
    (finding,) = findings(**given)
    return finding.value


def test_shared_rows_are_counted_to_the_last_digit() -> None:
    held = torch.randn(10, 3)
    nearly = held + 1e-6
    train = torch.cat([held[:4], nearly[4:], torch.randn(20, 3)])
    assert clinic.shared_rows(train, held) == pytest.approx(0.4)


def test_repeated_values_are_those_of_the_worst_column() -> None:
    train = torch.stack([torch.arange(8.0), torch.tensor([0.0, 0, 0, 0, 1, 1, 2, 3])], dim=1)
    assert one(train=train) == pytest.approx(0.5)


def regression(flat: bool) -> dict[str, object]:
    """A loss whose targets are flat, (n,), where predictions are columns, or columns as well."""
    model = nn.Linear(1, 1)

    def loss(x: Tensor, y: Tensor) -> Tensor:
        return (model(x) - (y if flat else y[:, None])).square().mean()

    return {"model": model, "loss": loss, "batch": (torch.randn(12, 1), torch.randn(12))}


def test_one_by_one_sees_shapes_that_spread() -> None:
    assert one(**regression(flat=False)) < 1e-6
    assert one(**regression(flat=True)) > 0.1


@pytest.mark.parametrize("zeroed", [True, False])
def test_own_gradient_sees_those_of_before_and_leaves_the_model_alone(zeroed: bool) -> None:
    given = regression(flat=False)
    model, loss = given["model"], given["loss"]
    before = copy.deepcopy(model.state_dict())
    optimizer = torch.optim.SGD(model.parameters(), lr=0.3)

    def step(*batch: Tensor) -> None:
        if zeroed:
            optimizer.zero_grad()
        loss(*batch).backward()
        optimizer.step()

    found = {finding.test: finding.healthy for finding in findings(**given, step=step)}
    assert found == {"one by one": True, "own gradient": zeroed}
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())


def stretched(log_det: float) -> dict[str, object]:
    """x = 2 z in two dimensions, whose way home has the log-determinant -2 log 2; it reports another."""
    return {
        "home": lambda x: (x / 2, torch.full((len(x),), log_det)),
        "held": 2 * torch.randn(4000, 2),
    }


@pytest.mark.parametrize(("reported", "off"), [(-2 * math.log(2), 0.0), (2 * math.log(2), 4 * math.log(2))])
def test_volume_is_the_gap_in_nats(reported: float, off: float) -> None:
    found = {finding.test: finding.value for finding in findings(**stretched(reported))}
    assert found["volume"] == pytest.approx(off, abs=1e-5)
    assert found["noise at home"] == 0


def test_noise_at_home_is_kolmogorovs_distance_beyond_chance() -> None:
    """Between N(0, 1) and N(0, 2^2) it is the greatest gap of Phi(x) and Phi(x / 2), at |x| = 1.36."""
    place = math.sqrt(8 * math.log(2) / 3)
    gap = torch.special.ndtr(torch.tensor([place, place / 2]))
    x = 2 * torch.randn(40_000, 2)
    value = clinic.noise_at_home(lambda x: (x, torch.zeros(len(x))), x)
    assert value == pytest.approx(float(gap[0] - gap[1]) - 1.36 / 200, abs=0.01)


def test_home_and_out_is_measured_in_spreads() -> None:
    held = torch.randn(2000, 2) * torch.tensor([1.0, 100.0])
    away = 0.5 * held.std(0)
    value = clinic.home_and_out(lambda x: (x, torch.zeros(len(x))), lambda z: z + away, held)
    assert value == pytest.approx(0.5, rel=1e-4)


@pytest.mark.parametrize("factor", [1.0, 3.0])
def test_mass_is_what_the_density_integrates_to(factor: float) -> None:
    base = StandardNormal(2)
    value = clinic.mass_off_one(lambda x: base.log_prob(x) + math.log(factor), torch.randn(5000, 2))
    assert value == pytest.approx(factor - 1, abs=0.02 * factor)


@pytest.mark.parametrize("dim", [1, 2, 3])
def test_balls_count_what_is_drawn_against_what_is_dense(dim: int) -> None:
    base, held = StandardNormal(dim), torch.randn(2000, dim)
    agreed = clinic.counted_in_balls(base.log_prob, base.sample, held)
    narrow = clinic.counted_in_balls(base.log_prob, lambda n: 0.3 * base.sample(n), held)
    assert agreed < 0.06 and narrow > 0.2


def test_more_digits_is_a_median_in_nats() -> None:
    base = StandardNormal(2)
    value = clinic.more_digits(
        lambda x: base.log_prob(x) + 0.25, lambda x: base.log_prob(x.double()), torch.randn(99, 2)
    )
    assert value == pytest.approx(0.25, abs=1e-5)


def test_a_second_opinion_is_the_matching_loss() -> None:
    """At rest the loss of N(0, I) pairs is E|x1 - x0|^2 = 4 in the plane."""
    held = torch.randn(20_000, 2)
    assert clinic.second_opinion(lambda x, t: torch.zeros_like(x), held, 4.0) < 0.03
    assert clinic.second_opinion(lambda x, t: torch.zeros_like(x), held, 2.0) == pytest.approx(1, abs=0.06)


def test_doubled_steps_are_measured_in_spreads() -> None:
    held = 10 * torch.randn(1000, 1)
    value = clinic.double_steps(lambda steps: torch.full((50, 1), 640 / steps), held)
    assert value == pytest.approx(10 / float(held.std()), rel=1e-5)


@pytest.mark.parametrize("late", [1.0, 0.25])
def test_a_crowd_is_watched_on_its_way(late: float) -> None:
    """Data from N(3, 1): the right crowd at t is at 3 t; one that ends there may be elsewhere before."""
    held = 3 + torch.randn(4000, 1)

    def crowd(t: float) -> Tensor:
        return 3 * t ** (1 / late) + (t**2 + (1 - t) ** 2) ** 0.5 * torch.randn(2000, 1)

    value = one(crowd=crowd, held=held)
    assert (value < LIMITS[clinic.crowd_on_its_way]) == (late == 1)


def of_label(gap: float) -> Callable[[Tensor, Tensor], Tensor]:
    """log N(x; gap label, 1) but for a constant."""
    return lambda x, label: -(x[:, 0] - gap * label).square() / 2


def test_labels_count_in_density_and_in_samples() -> None:
    labels = torch.arange(3).repeat(1000)
    held = 6.0 * labels[:, None] + torch.randn(3000, 1)
    assert clinic.wrong_label_as_good(of_label(6.0), held, labels) < 0.01
    assert clinic.wrong_label_as_good(of_label(0.0), held, labels) == 1
    for gap, well in ((6.0, True), (0.0, False)):
        value = clinic.samples_of_a_label(
            lambda c, gap=gap: gap * c[:, None] + torch.randn(len(c), 1), held, labels
        )
        assert (value < LIMITS[clinic.samples_of_a_label]) == well


def test_a_test_is_asked_if_all_that_it_needs_is_given() -> None:
    held = torch.randn(200, 2)
    tests = [finding.test for finding in findings(train=torch.randn(300, 2), held=held)]
    assert tests == ["shared rows", "repeated values"]


def test_findings_leave_chance_as_it_was_and_repeat_themselves() -> None:
    base = StandardNormal(2)
    given = {"log_prob": base.log_prob, "train": torch.randn(500, 2)}
    state = torch.get_rng_state()
    assert findings(**given) == findings(**given)
    assert torch.equal(state, torch.get_rng_state())


@pytest.mark.parametrize(
    ("given", "named"),
    [({"training": 1, "held": 2}, "training"), ({"labels": 1}, "labels"), ({}, "nothing")],
)
def test_what_cannot_be_asked_is_named(given: dict[str, object], named: str) -> None:
    with pytest.raises(TypeError, match=named):
        findings(**given)


def test_nan_is_not_healthy(capsys: pytest.CaptureFixture[str]) -> None:
    assert not Finding("mass_off_one", math.nan, 0.1).healthy
    examine(train=torch.zeros(4, 1))
    assert capsys.readouterr().out == "✗ repeated values: 0.75 not < 0.5\n1 of 15 asked\n"


def test_nan_anywhere_is_a_cross() -> None:
    """In one row at home, and in densities of labels."""
    held, labels = torch.randn(500, 2), torch.arange(500) % 2
    lost = torch.where(torch.arange(500)[:, None] == 7, math.nan, 1.0)
    home = findings(home=lambda x: (x * lost, torch.zeros(len(x))), held=held)
    assert not next(finding for finding in home if finding.test == "noise at home").healthy
    assert clinic.wrong_label_as_good(lambda x, c: x[:, 0] * math.nan, held, labels) == 1


def test_a_test_that_stops_is_named_and_the_round_goes_on() -> None:
    def log_prob(x: Tensor) -> Tensor:
        raise RuntimeError("no such column")

    mass, balls = findings(
        log_prob=log_prob, train=torch.randn(50, 2), held=torch.randn(50, 2), sample=StandardNormal(2).sample
    )[2:]
    assert str(mass) == "✗ mass off one: nan not < 0.1 (RuntimeError: no such column)"
    assert not balls.healthy


@pytest.mark.parametrize("order", ["before", "behind", "in place", "between", "never"])
def test_own_gradient_knows_every_order_of_a_step(order: str) -> None:
    given = regression(flat=False)
    optimizer = torch.optim.Adam(given["model"].parameters(), lr=1e-2)

    def step(*batch: Tensor) -> None:
        if order == "before":
            optimizer.zero_grad()
        given["loss"](*batch).backward()
        if order == "between":
            optimizer.zero_grad(set_to_none=False)
        optimizer.step()
        if order in ("behind", "in place"):
            optimizer.zero_grad(set_to_none=order == "behind")

    (finding,) = (f for f in findings(**given, step=step) if f.test == "own gradient")
    assert finding.healthy == (order in ("before", "behind", "in place"))


def test_coordinates_that_hang_together_are_no_noise() -> None:
    """Each is N(0, 1), and their correlation is 0.9."""
    x = torch.randn(5000, 2)
    x[:, 1] = 0.9 * x[:, 0] + math.sqrt(1 - 0.81) * x[:, 1]
    assert clinic.noise_at_home(lambda x: (x, torch.zeros(len(x))), x) > 0.03


def test_noise_of_another_base_is_judged_by_its_own_cdf() -> None:
    def home(x: Tensor) -> tuple[Tensor, Tensor]:
        return x, torch.zeros(len(x))

    x = 5 * torch.rand(5000, 2) - 2.5
    assert clinic.noise_at_home(home, x) > 0.05
    assert clinic.noise_at_home(home, x, lambda z: (z + 2.5) / 5) < 0.01


def rounds(cells: list[NotebookNode]) -> list[list[str]]:
    """What the first round of each patient has printed, a list of lines."""
    found: list[list[str]] = []
    number = 0
    for cell in cells:
        if cell.cell_type == "markdown":
            number += cell.source.count("### Patient ")
        elif len(found) < number:
            text = "".join(output.get("text", "") for output in cell.outputs)
            lines = [line for line in text.splitlines() if line[2:].split(":")[0] in NAMES]
            found += [lines] if lines else []
    return found


def test_each_patient_is_found_by_its_test_and_by_no_weaker_one() -> None:
    """Of what is asked of it, in order, the named test is the first that fails."""
    found = rounds(nbformat.read(CHAPTER, as_version=4).cells)
    assert len(found) == len(FOUND_BY) == len(REPAIRS)
    for lines, found_by in zip(found, FOUND_BY):
        names = [line[2:].split(":")[0] for line in lines]
        assert names == sorted(names, key=NAMES.index)
        assert next(name for name, line in zip(names, lines) if line[0] == "✗") == found_by


def test_every_repair_leaves_no_cross() -> None:
    """The chapter with its repairs, and its two open patients, executed in a kernel of its own."""
    notebook = nbformat.read(CHAPTER, as_version=4)
    left = dict(REPAIRS)
    for cell in notebook.cells:
        if cell.cell_type == "code":
            for node in ast.parse(cell.source).body:
                if repair := left.pop(getattr(node, "name", ""), None):
                    lines = cell.source.splitlines()
                    lines[node.lineno - 1 : node.end_lineno] = repair.strip().splitlines()
                    cell.source, cell.metadata["mended"] = "\n".join(lines), True
    assert not left
    for source in ("import copy", PATIENT_13, PATIENT_14):
        notebook.cells.append(nbformat.v4.new_code_cell(source))
    NotebookClient(notebook, resources={"metadata": {"path": str(CHAPTER.parent)}}).execute()
    mended = [cell for cell in notebook.cells if cell.metadata.get("mended")]
    texts = ["".join(output.get("text", "") for output in cell.outputs) for cell in mended]
    assert len(texts) == len(REPAIRS)
    assert all("✓" in text and "✗" not in text for text in texts), texts
