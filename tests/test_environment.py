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


def test_a_readers_models_do_not_overwrite_those_of_the_book(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Without a word they go to a folder of their own, and a line says where."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("FIVE_RINGS_SAVE", raising=False)
    assert environment.models_folder() == Path(__file__).parents[1] / "models"
    before = {path: path.read_bytes() for path in environment.models_folder().iterdir()}
    model = torch.nn.Linear(2, 2)
    assert training.save(model, "affine") == Path("my_models/affine.safetensors")
    assert "saved to my_models" in capsys.readouterr().out
    assert {path: path.read_bytes() for path in environment.models_folder().iterdir()} == before
    other = torch.nn.Linear(2, 2)
    training.load(other, "affine", "my_models")
    assert torch.equal(other.weight, model.weight)


def test_models_are_saved_where_the_variable_says(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("FIVE_RINGS_SAVE", str(tmp_path / "deep" / "down"))
    assert training.save(torch.nn.Linear(2, 2), "one").parent == tmp_path / "deep" / "down"
    assert capsys.readouterr().out == ""  # a validated chapter prints the same wherever it saves


def test_training_takes_place_on_the_device_that_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    """Seen on "meta", the one other device that every machine has. It holds no values, so the model stays."""

    class Watched(torch.nn.Linear):
        def to(self, device: torch.device) -> torch.nn.Module:
            moves.append(torch.device(device).type)
            return self

    def loss(x: torch.Tensor) -> torch.Tensor:
        batches.append(x.device.type)
        raise InterruptedError

    moves, batches = [], []
    monkeypatch.setenv("FIVE_RINGS_DEVICE", "meta")
    with pytest.raises(InterruptedError):
        training.fit(Watched(2, 1), loss, torch.ones(4, 2), steps=1)
    assert moves == ["meta", "cpu"] and batches == ["meta"]
