"""Bad input: one clear error that names the argument, what it was, and what is wanted."""

import math
from collections.abc import Callable
from pathlib import Path

import jaxtyping
import numpy as np
import pytest
import torch

from helpers.flows import AffineCoupling, NormalizingFlow, Permutation, affine_flow
from helpers.metrics import kl_to_truth, on_ring_share, round_trip_error, sliced_wasserstein
from helpers.path import RingsPath
from helpers.rings import OlympicRings, Rings
from helpers.training import fit, load
from helpers.validation import (
    require_context,
    require_count,
    require_finite,
    require_labels,
    require_points,
    require_positive,
    require_time,
)
from teaching.arrangements import random_rings

RINGS, FLOW, BY_CLASS = OlympicRings(), affine_flow(couplings=1), affine_flow(couplings=1, classes=3)
BY_NUMBERS = affine_flow(couplings=1, features=2)
PATH = RingsPath(RINGS)
STAR, ONES = RINGS.star, torch.ones(4, 2)
NAN, INF = torch.tensor([[0.0, math.nan]]), torch.tensor([[math.inf, 0.0], [-math.inf, math.nan]])


def train(**wrong: object) -> None:
    given = {"model": FLOW, "loss": lambda x: -FLOW.log_prob(x).mean(), "data": (ONES,), "steps": 1, **wrong}
    fit(given.pop("model"), given.pop("loss"), given.pop("data"), **given)


# What is called, the error, and the words that the message holds: name, what it was, what is wanted.
BAD: dict[str, tuple[Callable[[], object], type[Exception], list[str]]] = {
    # the checks themselves
    "points, a list": (lambda: require_points([[1.0]], 2), TypeError, ["x is a list", "torch tensor"]),
    "points, whole": (
        lambda: require_points(torch.ones(2, 2).int(), 2),
        TypeError,
        ["x has dtype torch.int32"],
    ),
    "points, flat": (
        lambda: require_points(torch.ones(2), 2),
        ValueError,
        ["x has shape (2,)", "(batch, 2)"],
    ),
    "points, wide": (
        lambda: require_points(torch.ones(2, 3), 2, "z"),
        ValueError,
        ["z has shape (2, 3)", "(batch, 2)"],
    ),
    "finite": (lambda: require_finite(INF, "z"), ValueError, ["z has 3 entries", "infinite or nan"]),
    "rings, a list": (
        lambda: require_labels([0], 1),
        TypeError,
        ["ring is a list", "tensor of class labels"],
    ),
    "rings, real": (
        lambda: require_labels(torch.zeros(1), 1),
        TypeError,
        ["dtype torch.float32", "integers"],
    ),
    "rings, bool": (
        lambda: require_labels(torch.ones(1).bool(), 1),
        TypeError,
        ["dtype torch.bool", "integers"],
    ),
    "rings, too few": (
        lambda: require_labels(torch.arange(2), 3),
        ValueError,
        ["ring has shape (2,)", "(3,)"],
    ),
    "rings, a column": (lambda: require_labels(torch.zeros(2, 1).long(), 2), ValueError, ["(2, 1)", "(2,)"]),
    "rings, high": (lambda: require_labels(torch.tensor([0, 5]), 2), ValueError, ["from 0 to 5", "0..4"]),
    "rings, low": (lambda: require_labels(torch.tensor([-1, 2]), 2, 3), ValueError, ["from -1 to 2", "0..2"]),
    "count, real": (lambda: require_count(2.0, "steps"), TypeError, ["steps is 2.0", "whole number"]),
    "count, true": (lambda: require_count(True), TypeError, ["n is True", "whole number"]),
    "count, text": (lambda: require_count("3"), TypeError, ["n is '3'", "whole number"]),
    "count, low": (lambda: require_count(1, "dim", least=2), ValueError, ["dim is 1", "at least 2"]),
    "positive, 0": (lambda: require_positive(0.0, "clip"), ValueError, ["clip is 0.0", "above 0"]),
    "positive, nan": (lambda: require_positive(math.nan, "clip"), ValueError, ["clip is nan", "finite"]),
    "positive, inf": (lambda: require_positive(math.inf, "clip"), ValueError, ["clip is inf", "finite"]),
    "positive, text": (lambda: require_positive("1", "clip"), TypeError, ["clip is '1'", "number"]),
    "time, -0.1": (lambda: require_time(-0.1, 2), ValueError, ["t is -0.1", "[0, 1)"]),
    "time, the end": (lambda: require_time(1.0, 2), ValueError, ["t is 1.0", "[0, 1)"]),
    "time, whole 1": (lambda: require_time(1, 2), ValueError, ["t is 1", "[0, 1)"]),
    "time, late": (lambda: require_time(1.5, 2, end=True), ValueError, ["t is 1.5", "[0, 1]"]),
    "time, nan": (lambda: require_time(math.nan, 2, end=True), ValueError, ["t is nan", "[0, 1]"]),
    "time, inf": (lambda: require_time(math.inf, 2), ValueError, ["t is inf", "[0, 1)"]),
    "time, one of two": (
        lambda: require_time(torch.tensor([0.5, 2.0]), 2, name="s"),
        ValueError,
        ["s is 2.0", "[0, 1)"],
    ),
    "time, rounded up": (lambda: require_time(torch.tensor(1 - 1e-9), 2), ValueError, ["t is 1.0", "[0, 1)"]),
    "time, three of two": (
        lambda: require_time(torch.zeros(3), 2),
        ValueError,
        ["t has shape (3,)", "one time", "(2,)"],
    ),
    "time, one of two in a row": (lambda: require_time(torch.zeros(1), 2), ValueError, ["t has shape (1,)"]),
    "time, a column": (lambda: require_time(torch.zeros(2, 1), 2), ValueError, ["(2, 1)", "(2,)"]),
    "time, text": (lambda: require_time("0.5", 2), TypeError, ["t is '0.5'", "number"]),
    "time, true": (lambda: require_time(True, 2, end=True), TypeError, ["t is True", "number"]),
    "time, a list": (lambda: require_time([0.5], 1), TypeError, ["t is [0.5]", "number"]),
    "time, whole": (lambda: require_time(torch.tensor(0), 1), TypeError, ["dtype torch.int64", "floating"]),
    # path
    "path, list": (lambda: PATH.log_prob([[0.0, 0.0]], 0.5), TypeError, ["x is a list"]),
    "path, in space": (lambda: PATH.velocity(torch.ones(4, 3), 0.5), ValueError, ["x has shape (4, 3)"]),
    "path, nan": (lambda: PATH.mean(NAN, 0.5), ValueError, ["x has 1 entries"]),
    "path, whole": (lambda: PATH.score(ONES.long(), 0.5), TypeError, ["x has dtype torch.int64"]),
    "path, ring 5": (lambda: PATH.score(STAR, 0.5, torch.tensor([5])), ValueError, ["ring", "5", "0..4"]),
    "path, at the end": (lambda: PATH.velocity(STAR, 1.0), ValueError, ["t is 1.0", "[0, 1)"]),
    "path, before": (lambda: PATH.posterior(STAR, -1e-9), ValueError, ["t is -1e-09", "[0, 1)"]),
    "path, two times": (
        lambda: PATH.velocity(ONES, torch.zeros(2)),
        ValueError,
        ["t has shape (2,)", "(4,)"],
    ),
    "path, no sample": (lambda: PATH.sample(0, 0.5), ValueError, ["n is 0", "at least 1"]),
    "path, sample late": (lambda: PATH.sample(2, 1.0), ValueError, ["t is 1.0", "[0, 1)"]),
    "path, sample times": (lambda: PATH.sample(2, torch.zeros(3)), ValueError, ["t has shape (3,)", "(2,)"]),
    "path, sample ring 5": (
        lambda: PATH.sample(1, 0.5, torch.tensor([5])),
        ValueError,
        ["ring", "5", "0..4"],
    ),
    "path, floor late": (lambda: PATH.loss_floor_at(1.0), ValueError, ["t is 1.0", "[0, 1)"]),
    # rings
    "centres, a list": (lambda: Rings([[0.0, 0.0]], 0.5, 1), TypeError, ["centres is a list"]),
    "centres, whole": (lambda: Rings(ONES.long(), 0.5, 1), TypeError, ["centres has dtype torch.int64"]),
    "centres in space": (lambda: Rings(torch.ones(4, 3), 0.5, 1), ValueError, ["centres", "(4, 3)"]),
    "centres nan": (lambda: Rings(NAN, 0.5, 1), ValueError, ["centres has 1 entries"]),
    "no centres": (lambda: Rings(ONES[:0], 0.5, 1), ValueError, ["number of centres is 0", "at least 1"]),
    "inner, a word": (lambda: Rings(ONES, "half", 1), TypeError, ["inner is 'half'", "number"]),
    "outer, a list": (lambda: Rings(ONES, 0.5, [1, 1, 1, 1]), TypeError, ["outer is [1, 1, 1, 1]"]),
    "outer, too few": (lambda: Rings(ONES, 0.5, torch.ones(3)), ValueError, ["outer", "(3,)", "(4,)"]),
    "inner, a column": (lambda: Rings(ONES, ONES[:, :1] / 2, 1), ValueError, ["inner has shape (4, 1)"]),
    "inner below 0": (lambda: Rings(ONES, -0.5, 1), ValueError, ["ring 0 has inner -0.5", "0 <= inner"]),
    "inner above outer": (
        lambda: Rings(ONES, torch.tensor([0.5, 0.5, 1.5, 0.5]), 1),
        ValueError,
        ["ring 2 has inner 1.5, outer 1.0", "inner < outer"],
    ),
    "inner is outer": (lambda: Rings(ONES, 1, 1), ValueError, ["inner 1.0, outer 1.0", "inner < outer"]),
    "outer inf": (lambda: Rings(ONES, 0, math.inf), ValueError, ["outer inf", "finite"]),
    "inner nan": (lambda: Rings(ONES, math.nan, 1), ValueError, ["inner nan", "finite"]),
    "thin": (lambda: Rings(ONES, 1, 1 + 1e-7), ValueError, ["ring 0", "too thin"]),
    "sample ring 2 of 2": (
        lambda: Rings(ONES[:2], 0, 1).sample(1, torch.tensor([2])),
        ValueError,
        ["from 2 to 2", "0..1"],
    ),
    "path, ring 2 of 2": (
        lambda: RingsPath(Rings(ONES[:2], 0, 1)).velocity(STAR, 0.5, torch.tensor([2])),
        ValueError,
        ["from 2 to 2", "0..1"],
    ),
    "random rings below 0": (lambda: random_rings(-1), ValueError, ["seed is -1", "at least 0"]),
    "random rings, half": (lambda: random_rings(0.5), TypeError, ["seed is 0.5", "whole number"]),
    "sample none": (lambda: RINGS.sample(0), ValueError, ["n is 0", "at least 1"]),
    "sample a half": (lambda: RINGS.sample(0.5), TypeError, ["n is 0.5", "whole number"]),
    "sample ring 5": (lambda: RINGS.sample(1, torch.tensor([5])), ValueError, ["ring", "5", "0..4"]),
    "sample two rings": (
        lambda: RINGS.sample(3, torch.arange(2)),
        ValueError,
        ["ring has shape (2,)", "(3,)"],
    ),
    "cover nan": (lambda: RINGS.covers(NAN), ValueError, ["x has 1 entries"]),
    "score a list": (lambda: RINGS.log_prob([[0.0, 0.0]]), TypeError, ["x is a list"]),
    "score in space": (lambda: RINGS.log_prob(torch.ones(4, 3)), ValueError, ["x has shape (4, 3)"]),
    "score whole": (lambda: RINGS.log_prob(ONES.long()), TypeError, ["x has dtype torch.int64"]),
    "score ring 7": (lambda: RINGS.log_prob(STAR, torch.tensor([7])), ValueError, ["from 7 to 7", "0..4"]),
    "posterior inf": (lambda: RINGS.posterior(INF), ValueError, ["x has 3 entries"]),
    "on rings, numpy": (lambda: RINGS.on_rings(np.ones((2, 2))), TypeError, ["x is a ndarray"]),
    # flows
    "coupling of a line": (lambda: AffineCoupling(dim=1), ValueError, ["dim is 1", "at least 2"]),
    "coupling, no width": (lambda: AffineCoupling(hidden=0), ValueError, ["hidden is 0"]),
    "coupling, no depth": (lambda: AffineCoupling(depth=0), ValueError, ["depth is 0"]),
    "coupling, classes": (lambda: AffineCoupling(classes=-1), ValueError, ["classes is -1", "at least 0"]),
    "coupling, waves": (lambda: AffineCoupling(frequencies=-1), ValueError, ["frequencies is -1"]),
    "coupling, limit": (lambda: AffineCoupling(limit=-1.0), ValueError, ["limit is -1.0", "above 0"]),
    "no couplings": (lambda: affine_flow(couplings=0), ValueError, ["couplings is 0"]),
    "permutation": (lambda: Permutation([0, 2]), ValueError, ["order is [0, 2]", "0..1"]),
    "no layers": (lambda: NormalizingFlow([]), ValueError, ["layers", "at least one"]),
    "mixed dims": (
        lambda: NormalizingFlow([AffineCoupling(2), AffineCoupling(3)]),
        ValueError,
        ["layers", "same dim"],
    ),
    "mixed classes": (
        lambda: NormalizingFlow([AffineCoupling(classes=2), AffineCoupling(classes=3)]),
        ValueError,
        ["layers disagree", "(2, 0), (3, 0)"],
    ),
    "forward in space": (lambda: FLOW(torch.ones(4, 3)), ValueError, ["z has shape (4, 3)", "(batch, 2)"]),
    "forward nan": (lambda: FLOW(NAN), ValueError, ["z has 1 entries"]),
    "forward in float64": (lambda: FLOW(ONES.double()), TypeError, ["z has dtype torch.float64", "float32"]),
    "inverse a list": (lambda: FLOW.inverse([[1.0, 2.0]]), TypeError, ["x is a list"]),
    "inverse inf": (lambda: FLOW.inverse(INF), ValueError, ["x has 3 entries"]),
    "log_prob in float64": (lambda: FLOW.log_prob(ONES.double()), TypeError, ["x has dtype torch.float64"]),
    "trajectory, whole": (lambda: FLOW.trajectory(ONES.int()), TypeError, ["z has dtype torch.int32"]),
    "trajectory, nan": (lambda: FLOW.trajectory(NAN), ValueError, ["z has 1 entries"]),
    "sample, -1": (lambda: FLOW.sample(-1), ValueError, ["n is -1"]),
    "ring, not asked": (
        lambda: FLOW(STAR, torch.tensor([0])),
        ValueError,
        ["context is given", "without classes"],
    ),
    "ring, not asked 2": (lambda: FLOW.sample(1, torch.tensor([0])), ValueError, ["context is given"]),
    "ring, missing": (lambda: BY_CLASS(STAR), ValueError, ["context is missing", "a label for each point"]),
    "ring, missing 2": (lambda: BY_CLASS.inverse(STAR), ValueError, ["context is missing"]),
    "ring, missing 3": (lambda: BY_CLASS.trajectory(STAR), ValueError, ["context is missing"]),
    "numbers, missing": (lambda: BY_NUMBERS.log_prob(STAR), ValueError, ["context is missing", "2 numbers"]),
    "numbers, labels": (
        lambda: BY_NUMBERS(STAR, torch.tensor([0])),
        TypeError,
        ["context has dtype torch.int64"],
    ),
    "numbers, too many": (
        lambda: BY_NUMBERS.inverse(STAR, torch.ones(1, 3)),
        ValueError,
        ["context has shape (1, 3)", "(batch, 2)"],
    ),
    "numbers, rows": (
        lambda: BY_NUMBERS.inverse(ONES, torch.ones(3, 2)),
        ValueError,
        ["context has shape (3, 2)", "(4, 2)"],
    ),
    "numbers, nan": (lambda: BY_NUMBERS.log_prob(STAR, NAN), ValueError, ["context has 1 entries"]),
    "labels, numbers": (
        lambda: BY_CLASS(STAR, torch.ones(1)),
        TypeError,
        ["context has dtype torch.float32"],
    ),
    "classes and features": (
        lambda: AffineCoupling(classes=2, features=3),
        ValueError,
        ["classes is 2 and features is 3"],
    ),
    "permutation of nothing": (lambda: Permutation([]), ValueError, ["order is []"]),
    "ring, too high": (lambda: BY_CLASS.log_prob(STAR, torch.tensor([3])), ValueError, ["3", "0..2"]),
    "ring, too many": (
        lambda: BY_CLASS.sample(1, torch.arange(2)),
        ValueError,
        ["context has shape (2,)", "(1,)"],
    ),
    # metrics
    "kl, one point": (lambda: kl_to_truth(FLOW.log_prob, STAR), ValueError, ["number of points is 1"]),
    "kl, a list": (lambda: kl_to_truth(FLOW.log_prob, [[0.0, 1.0]]), TypeError, ["x is a list"]),
    "kl, off the rings": (
        lambda: kl_to_truth(FLOW.log_prob, torch.cat([STAR, STAR, 9 * ONES])),
        ValueError,
        ["x has 4 points off"],
    ),
    "kl, on another ring": (
        lambda: kl_to_truth(BY_CLASS.log_prob, torch.cat([STAR, STAR]), torch.tensor([1, 2])),
        ValueError,
        ["x has 1 points off"],
    ),
    "kl, a column": (
        lambda: kl_to_truth(lambda x: FLOW.log_prob(x)[:, None], torch.cat([STAR, STAR])),
        ValueError,
        ["log_prob", "(2, 1)", "(2,)"],
    ),
    "share of one": (lambda: on_ring_share(STAR), ValueError, ["number of points is 1", "at least 2"]),
    "share, labels": (
        lambda: on_ring_share(ONES, torch.tensor([0, 1])),
        ValueError,
        ["ring has shape (2,)", "(4,)"],
    ),
    "share, nan": (lambda: on_ring_share(torch.cat([NAN, NAN])), ValueError, ["x has 2 entries"]),
    "sliced, sizes": (
        lambda: sliced_wasserstein(ONES, ONES[1:]),
        ValueError,
        ["x has 4 points", "y has 3", "equally many"],
    ),
    "sliced, dims": (lambda: sliced_wasserstein(ONES, torch.ones(4, 3)), ValueError, ["y has shape (4, 3)"]),
    "sliced, a list": (lambda: sliced_wasserstein([[1.0, 2.0]], ONES), TypeError, ["x is a list"]),
    "sliced, nan": (lambda: sliced_wasserstein(NAN, NAN), ValueError, ["x has 1 entries"]),
    "sliced, nowhere": (lambda: sliced_wasserstein(ONES, ONES, 0), ValueError, ["directions is 0"]),
    "round trip": (lambda: round_trip_error(FLOW, torch.ones(4, 3)), ValueError, ["x has shape (4, 3)"]),
    # training
    "no steps": (lambda: train(steps=0), ValueError, ["steps is 0", "at least 1"]),
    "half a step": (lambda: train(steps=0.5), TypeError, ["steps is 0.5"]),
    "no batch": (lambda: train(batch_size=0), ValueError, ["batch_size is 0"]),
    "no validation": (lambda: train(held_out=(ONES,), every=0), ValueError, ["every is 0", "at least 1"]),
    "no learning": (lambda: train(peak=0.0), ValueError, ["peak is 0.0"]),
    "no gradient": (lambda: train(clip=math.nan), ValueError, ["clip is nan"]),
    "no data": (lambda: train(data=()), ValueError, ["data", "[]"]),
    "no rows": (lambda: train(data=(ONES[:0],)), ValueError, ["data", "[0]"]),
    "unequal data": (lambda: train(data=(ONES, ONES[1:])), ValueError, ["data", "[4, 3]", "must agree"]),
    "no such model": (
        lambda: load(FLOW, "x", Path("/nowhere")),
        FileNotFoundError,
        ["'x'", "does not exist"],
    ),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_input_meets_one_clear_error(case: str, meets_one_clear_error: Callable[..., None]) -> None:
    meets_one_clear_error(BAD[case])


@pytest.mark.parametrize("dtype", [torch.uint8, torch.int16, torch.int32])
def test_labels_of_another_integer_type_mean_the_same_or_are_refused(
    dtype: torch.dtype, no_shape_check: None
) -> None:
    """Torch indexes by uint8 as if it were bool, and gathers by int64 alone: neither may come through."""
    ring = torch.tensor([1, 0, 2])
    for call in (
        lambda ring: RINGS.sample(3, ring)[0],
        lambda ring: RINGS.log_prob(STAR.expand(3, 2), ring),
        lambda ring: BY_CLASS.log_prob(STAR.expand(3, 2), ring),
        lambda ring: BY_CLASS.sample(3, ring),
    ):
        torch.manual_seed(0)
        expected = call(ring)
        torch.manual_seed(0)
        try:
            assert torch.equal(call(ring.to(dtype)), expected)
        except TypeError as error:
            assert f" has dtype {dtype}; class labels must be integers" in str(error)


def test_good_input_passes_at_its_limits() -> None:
    require_points(torch.ones(0, 2), 2)
    require_points(torch.ones(1, 7, dtype=torch.float16), 7)
    require_finite(torch.full((2, 2), 3e38))
    require_labels(torch.tensor([0, 4]), 2)
    require_labels(torch.tensor([], dtype=torch.int64), 0)
    require_count(1)
    require_count(0, least=0)
    require_positive(1e-300, "clip")
    require_positive(2, "clip")
    require_positive(np.float32(0.5), "clip")
    require_count(np.int64(3))
    require_time(np.float64(0.5), 2)
    require_points(torch.ones(3, 5))
    require_context(None, 3, 0, 0)
    require_context(torch.tensor([0, 2]), 2, 3, 0)
    require_context(torch.ones(2, 4), 2, 0, 4)
    for t in (
        0,
        0.0,
        -0.0,
        1 - 2.0**-53,
        torch.tensor(0.0),
        torch.tensor([0.0, 1 - 2.0**-24]),
        torch.rand(2),
    ):
        require_time(t, 2)
    for t in (1, 1.0, torch.ones(2), torch.ones(2, dtype=torch.float64, requires_grad=True)):
        require_time(t, 2, end=True)
    require_time(torch.ones(0), 0)


def test_the_shape_check_of_the_tests_is_on() -> None:
    """A float where an int is declared, and a (4, 3) for "batch 2", meet jaxtyping before they meet us."""
    with pytest.raises(jaxtyping.TypeCheckError):
        RINGS.covers(torch.ones(4, 3))
    with pytest.raises(jaxtyping.TypeCheckError):
        RINGS.sample(3.0)


def test_the_shape_check_also_sees_what_is_returned(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(OlympicRings, "covers", lambda self, x: torch.ones(len(x), 5, 1).bool())
    with pytest.raises(jaxtyping.TypeCheckError, match="return"):
        RINGS.on_rings(STAR)
