"""The benchmark beside other libraries compares like with like."""

import math

import pytest
import torch
from torch import Tensor, nn

from bench import dimensions, finite_data, one_step, peers
from helpers.matching import VelocityField
from helpers.rings import OlympicRings

INPUTS = pytest.mark.parametrize("frequencies", peers.INPUTS.values())
LIBRARIES = pytest.mark.parametrize("library", peers.LIBRARIES)


def shapes(model: nn.Module) -> list[tuple[int, ...]]:
    return [tuple(weight.shape) for weight in model.parameters()]


@INPUTS
@LIBRARIES
def test_all_have_the_same_weights(library: str, frequencies: int) -> None:
    ours, theirs = peers.ours(frequencies)[0], peers.LIBRARIES[library](frequencies)[0]
    assert shapes(theirs) == shapes(ours)


@INPUTS
@LIBRARIES
def test_every_coupling_moves_the_half_that_the_one_before_has_kept(library: str, frequencies: int) -> None:
    """And all are at work: the gradient reaches every network."""
    torch.manual_seed(0)
    model, log_prob = peers.LIBRARIES[library](frequencies)
    for weight in model.parameters():
        nn.init.normal_(weight, std=0.2)
    seen: list[Tensor] = []
    firsts = [part for part in model.modules() if isinstance(part, nn.Linear) and part.out_features == 32]
    for first in firsts[::2]:
        first.register_forward_hook(lambda _, given, __: seen.append(given[0][:, 0]))
    log_prob(torch.randn(50, 2)).mean().backward()
    assert all(weight.grad.abs().max() > 0 for weight in model.parameters())
    assert len(seen) == peers.COUPLINGS
    assert all((one - other).abs().max() > 0.1 for one, other in zip(seen, seen[1:]))


@INPUTS
@LIBRARIES
def test_a_step_lowers_the_loss(library: str, frequencies: int) -> None:
    torch.manual_seed(0)
    training = peers.Training(*peers.LIBRARIES[library](frequencies))
    x = 0.5 * torch.randn(256, 2)
    first = training.step(x)
    for _ in range(30):
        last = training.step(x)
    assert last < first - 0.05


def test_ratios_are_taken_round_by_round() -> None:
    seconds = {"ours": [1.0, 4.0, 3.0], "slow": [2.0, 16.0, 12.0], "fast": [1.0, 2.0, 1.5]}
    found = peers.compare(seconds)
    assert found["slow"] == [0.5, 0.25, 0.25]
    assert found[peers.FASTEST] == found["fast"] == [1.0, 2.0, 2.0]


def test_every_library_takes_its_turn() -> None:
    seconds = peers.measure_peers(0, rounds=2, steps=6)
    assert list(seconds) == list(peers.LIBRARIES)
    assert all(len(values) == 2 and min(values) > 0 for values in seconds.values())


@pytest.mark.parametrize("family", finite_data.FAMILIES)
def test_a_run_on_few_points_notes_what_chapter_13_reads(
    family: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(finite_data, "STEPS", 100)
    judge = finite_data.Judge()
    judge.fresh = judge.fresh[:1000]
    record, model = finite_data.measure_run(family, 200, 0, "as it is", judge)
    assert {"kl", "train_nats", "copies", "copies_by_chance"} <= set(record)
    assert [set(row) for row in record["trace"]] == [
        {"step", "train_loss", "held_loss", "held_nats", "kl", "kl_averaged"}
    ]
    assert record["kl"] == pytest.approx(record["trace"][0]["kl"], abs=1e-3)
    assert record["kl"] < 2.5 and record["copies"] < 0.5
    if family == "flow matching":
        own = record["own_floor"] + record["own_excess"]
        assert abs(own - record["trace"][0]["train_loss"]) < 0.3
        assert finite_data.measure_pairs(200, [model, model], judge)["half_distance"] == 0


def test_more_points_make_a_better_kernel_estimate_with_a_narrower_kernel() -> None:
    judge = finite_data.Judge()
    few, many = (finite_data.measure_kernel(n, 0, judge) for n in (50, 1000))
    assert many["kl"] < few["kl"] and many["bandwidth"] < few["bandwidth"]


@pytest.mark.parametrize("name", dimensions.MODELS)
def test_a_run_on_a_rung(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A few steps: a record that can be written, with a divergence below that of an untrained flow."""
    build, peak, _ = dimensions.MODELS[name]
    monkeypatch.setitem(dimensions.MODELS, name, (build, peak, 60))
    monkeypatch.setattr(dimensions, "TRAIN", 2000)
    monkeypatch.setattr(dimensions, "JUDGED", 100)
    ladder = "hidden" if name in dimensions.ON_HIDDEN_ALONE else "copies"
    record, model = dimensions.measure(ladder, 4, name, seed=0)
    noise = 2 * (math.log(2 * math.pi) + 1) - 2 * OlympicRings().entropy()  # of N(0, I), of the same variance
    assert 0 < record["kl"] < noise
    assert 0 < record["on_rings"] <= 1
    if name == "flow matching":
        assert abs(dimensions.measure_trace("copies", 4, 0, model)["bias"]) < 1


@pytest.mark.parametrize("equation", ["semigroup", "solved ways", "solved ways, squares"])
def test_a_flow_map_is_noted_as_chapter_18_reads_it(equation: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A few steps lead a map from noise, where it starts, nearer to the exact ends."""
    monkeypatch.setattr(one_step, "JUDGED", 300)
    monkeypatch.setattr(one_step, "BATCHES", 2)
    monkeypatch.setattr(one_step, "SETS", 4)
    monkeypatch.setattr(one_step, "POINTS", 2000)
    judge = one_step.ExactEnds()
    teacher = None if equation == "semigroup" else VelocityField()
    row = one_step.Row(equation, "a field" if teacher else None, 60, one_step.BEST, ways=600, kept=3)
    record = one_step.measure_map(row, 0, judge, teacher, spent=2.0)
    assert set(record["on_rings"]) == set(record["distance"]) == set(record["errors"]) == set(one_step.JUMPS)
    assert record["cpu_seconds"] > 2 and record["error"] == record["errors"][1] > 0
    if teacher:  # it knows no rings: all that its ways can teach is to stay
        assert record["own"] < 0.2 and record["gap"] < 0.4
    else:
        assert record["error"] < judge.from_exact(judge.few)
