"""The settings of the book: what each environment variable does, and what a bad value is told."""

import importlib
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

import helpers
from helpers import environment, training


@pytest.fixture
def threads() -> Iterator[None]:
    yield
    torch.set_num_threads(1)


@pytest.mark.parametrize(("value", "expected"), [("2", 2), ("1", 1), (None, 1)])
def test_importing_helpers_sets_the_number_of_threads(
    value: str | None, expected: int, monkeypatch: pytest.MonkeyPatch, threads: None
) -> None:
    torch.set_num_threads(3)
    if value is None:
        monkeypatch.delenv("FIVE_RINGS_THREADS", raising=False)
    else:
        monkeypatch.setenv("FIVE_RINGS_THREADS", value)
    importlib.reload(helpers)
    assert torch.get_num_threads() == expected


@pytest.mark.parametrize("value", ["0", "-1", "1.5", "two", "", " ", "²"])
def test_a_bad_number_of_threads_is_named(value: str, monkeypatch: pytest.MonkeyPatch, threads: None) -> None:
    monkeypatch.setenv("FIVE_RINGS_THREADS", value)
    with pytest.raises(ValueError, match="FIVE_RINGS_THREADS is .*whole number, 1 or more") as raised:
        environment.limit_threads()
    assert repr(value) in str(raised.value)


def test_the_device_is_the_cpu_unless_another_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("FIVE_RINGS_DEVICE", raising=False)
    assert environment.device() == torch.device("cpu")
    monkeypatch.setenv("FIVE_RINGS_DEVICE", "meta")  # the one other device that every machine has
    assert environment.device() == torch.device("meta")


@pytest.mark.parametrize("value", ["abacus", "cuda:99", "", "CPU 1"])
def test_a_device_that_cannot_be_used_is_named(value: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FIVE_RINGS_DEVICE", value)
    with pytest.raises(ValueError, match="FIVE_RINGS_DEVICE is .*cannot be used") as raised:
        environment.device()
    assert repr(value) in str(raised.value)


@pytest.mark.parametrize(("value", "shown"), [("1", True), ("0", False), (None, True)])
def test_progress_is_shown_to_people_and_can_be_turned_off(
    value: str | None, shown: bool, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    if value is None:
        monkeypatch.delenv("FIVE_RINGS_PROGRESS", raising=False)
    else:
        monkeypatch.setenv("FIVE_RINGS_PROGRESS", value)
    assert environment.shows_progress() is shown
    weight = torch.nn.Linear(1, 1)
    training.fit(weight, lambda x: weight(x).square().mean(), (torch.ones(2, 1),), steps=3)
    assert ("3/3" in capsys.readouterr().err) is shown


@pytest.mark.parametrize("value", ["yes", "false", ""])
def test_a_bad_choice_of_progress_is_named(value: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FIVE_RINGS_PROGRESS", value)
    with pytest.raises(ValueError, match="FIVE_RINGS_PROGRESS is .*1 or 0"):
        environment.shows_progress()


def test_models_stand_in_the_repository_and_are_saved_there_unless_told(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delenv("FIVE_RINGS_SAVE", raising=False)
    assert environment.models_folder() == environment.save_folder() == Path(__file__).parents[1] / "models"
    monkeypatch.setenv("FIVE_RINGS_SAVE", "elsewhere")
    assert environment.save_folder() == Path("elsewhere")
    assert environment.models_folder().name == "models"
