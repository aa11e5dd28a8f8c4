"""The benchmark beside other libraries compares like with like; every part notes what its readers read."""

import json
import math
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from bench import (
    affine,
    dimensions,
    finite_data,
    growth,
    matching,
    one_step,
    peak,
    peer_quality,
    peers,
    peers_affine,
    peers_matching,
    peers_spline,
    race,
    race_table,
    result_files,
    run,
    spline,
    straight_paths,
    turns,
)
from bench.peers import Flow
from helpers import splines
from helpers.matching import VelocityField
from helpers.rings import OlympicRings

BOOK = Path(__file__).parent.parent / "book"
BUILDS: dict[str, Callable[[], Flow]] = {
    f"{kind}, {library}": build
    for kind, builds in (
        ("affine", {name: lambda build=build: build(0) for name, build in peers_affine.LIBRARIES.items()}),
        ("waves", {name: lambda build=build: build(4) for name, build in peers_affine.LIBRARIES.items()}),
        ("spline", peers_spline.SPLINE_LIBRARIES),
    )
    for library, build in builds.items()
}
ALL_BUILDS = pytest.mark.parametrize("name", BUILDS)
PEERS = pytest.mark.parametrize("library", ["normflows", "nflows", "zuko"])
FROM_DATA = ("nflows", "zuko")  # these list their layers from data to noise
pytestmark = pytest.mark.filterwarnings("ignore:Inputs to the softmax")


def networks_of(flow: Flow) -> list[nn.Sequential]:
    return [part for part in flow.module.modules() if isinstance(part, nn.Sequential)]


@ALL_BUILDS
def test_all_have_the_same_weights(name: str) -> None:
    kind, library = name.split(", ")
    sizes = [
        [[tuple(weight.shape) for weight in network.parameters()] for network in networks_of(BUILDS[each]())]
        for each in (name, f"{kind}, ours")
    ]
    assert sizes[0] == (sizes[1][::-1] if library in FROM_DATA else sizes[1])
    module = BUILDS[name]().module
    assert sum(w.numel() for w in module.parameters()) == sum(math.prod(s) for n in sizes[0] for s in n)


@ALL_BUILDS
def test_every_coupling_moves_the_half_that_the_one_before_has_kept(name: str) -> None:
    """And all are at work: the gradient reaches every network."""
    torch.manual_seed(0)
    flow = BUILDS[name]()
    for weight in flow.module.parameters():
        nn.init.normal_(weight, std=0.2)
    seen: list[Tensor] = []
    for network in networks_of(flow):
        network.register_forward_hook(lambda _, given, __: seen.append(given[0][:, 0]))
    flow.log_prob(torch.randn(50, 2)).mean().backward()
    assert all(weight.grad.abs().max() > 0 for weight in flow.module.parameters())
    assert len(seen) == len(networks_of(flow))
    assert all((one - other).abs().max() > 0.1 for one, other in zip(seen, seen[1:]))


class Translated(nn.Sequential):
    """A network, and then a function of what it says."""

    def __init__(self, network: nn.Module, translate: Callable[[Tensor], Tensor]) -> None:
        super().__init__(network)
        self.translate = translate

    def forward(self, seen: Tensor) -> Tensor:
        return self.translate(super().forward(seen))


def given_our_words(ours: Flow, theirs: Flow, library: str, translate: Callable[[Tensor], Tensor]) -> Flow:
    """Their flow with the weights of ours, which says in its own way what ours says."""
    own = networks_of(ours)[:: -1 if library in FROM_DATA else 1]
    holders = [part for part in theirs.module.modules() if isinstance(part, peers.Conditioner)]
    for mine, holder in zip(own, holders, strict=True):
        holder.network.load_state_dict(mine.state_dict())
        holder.network = Translated(holder.network, translate)
    return theirs


def softly(value: Tensor, bound: float) -> Tensor:
    """What zuko's soft bound turns into this value."""
    return value / (1 - value.abs() / bound)


def affine_words(library: str, numbers: Tensor) -> Tensor:
    log_scale, shift = numbers[:, :1].tanh(), numbers[:, 1:]
    scale = (-log_scale).exp()  # from data to noise
    if library == "normflows":
        return torch.cat([shift, log_scale], dim=1)
    if library == "nflows":
        return torch.cat([-shift * scale, (scale - 1e-3).logit() - 2], dim=1)
    return torch.cat([-shift * scale, softly(-log_scale, math.log(1e3))], dim=1)


def spline_words(library: str, numbers: Tensor) -> Tensor:
    bins = peers_spline.BINS
    *sizes, log_slopes = numbers.split([bins, bins, bins - 1], dim=1)
    shares = [splines.LEAST + (1 - bins * splines.LEAST) * size.softmax(1) for size in sizes]
    if library == "zuko":
        bound = math.log(1e3)
        sizes = [softly((share * bins).log(), bound / 2) for share in shares]
        return torch.cat([*sizes, softly(log_slopes, bound)], dim=1)
    sizes = [(share - 1e-3).log() for share in shares]
    return torch.cat([*sizes, (log_slopes.exp() - 1e-3).expm1().log()], dim=1)


@PEERS
@pytest.mark.parametrize("frequencies", peers_affine.INPUTS.values())
def test_the_affine_flow_is_the_same_flow_in_all(library: str, frequencies: int) -> None:
    """nflows only shrinks on the way to the noise, so here ours only grows on the way to the data."""
    torch.manual_seed(0)
    ours = peers_affine.ours(frequencies)
    theirs = peers_affine.LIBRARIES[library](frequencies)
    for weight in ours.module.parameters():
        nn.init.normal_(weight, std=0.2)
    for network in networks_of(ours):
        with torch.no_grad():
            network[-1].weight[0] *= 0.02
            network[-1].bias[0] = 0.3
    given_our_words(ours, theirs, library, lambda numbers: affine_words(library, numbers))
    x = 0.5 * torch.randn(200, 2)
    found = theirs.log_prob(x.flip(1) if library in FROM_DATA else x)  # their first moves the other half
    assert torch.allclose(found, ours.log_prob(x), atol=1e-3)


@PEERS
def test_the_spline_flow_is_the_same_flow_in_all(library: str) -> None:
    torch.manual_seed(0)
    ours, theirs = peers_spline.spline_in_ours(), peers_spline.SPLINE_LIBRARIES[library]()
    for network in networks_of(ours):
        nn.init.normal_(network[-1].weight, std=0.2)
    given_our_words(ours, theirs, library, lambda numbers: spline_words(library, numbers))
    x = OlympicRings().sample(500)[0]
    assert ours.log_prob(x).std() > 0.3
    assert torch.allclose(theirs.log_prob(x), ours.log_prob(x), atol=1e-3)


@pytest.mark.parametrize("name", [name for name in BUILDS if "waves" not in name])
def test_a_step_lowers_the_loss(name: str) -> None:
    torch.manual_seed(0)
    flow = BUILDS[name]()
    training = peers.Training(flow.module, lambda x: -flow.log_prob(x).mean())
    x = 0.5 * torch.randn(256, 2)
    first = training.step(x)
    for _ in range(30):
        last = training.step(x)
    assert last < first - 0.05


@ALL_BUILDS
def test_samples_are_points_of_the_plane(name: str) -> None:
    with torch.no_grad():
        assert BUILDS[name]().sample(7).shape == (7, 2)


@pytest.mark.parametrize("library", [name for name in peers_matching.installed() if name != "ours"])
def test_matching_is_the_same_loss_in_all(library: str) -> None:
    """Theirs is a mean over the coordinates, ours a sum; and the times are drawn in other ways."""
    torch.manual_seed(0)
    field, x1 = VelocityField(), OlympicRings().sample(50_000)[0]
    with torch.no_grad():
        theirs = peers_matching.LOSSES[library]()(field, x1)
        assert 2 * theirs == pytest.approx(peers_matching.loss_of_ours(field, x1).item(), rel=0.02)


@pytest.mark.skipif("flow_matching" not in peers_matching.installed(), reason="flow_matching is not here")
@pytest.mark.parametrize("task", ["sampling", "density"])
def test_the_solver_of_flow_matching_takes_the_same_steps(
    task: str, randomized: Callable[..., nn.Module]
) -> None:
    field, x, found = randomized(VelocityField(), size=0.5), 0.5 * torch.randn(20, 2), []
    for library in ("ours", "flow_matching"):
        torch.manual_seed(1)
        found.append(peers_matching.SOLVERS[library](field, x)[task]().detach())
    assert torch.allclose(*found, atol=1e-3)


def test_ratios_are_taken_round_by_round() -> None:
    seconds = {"ours": [1.0, 4.0, 3.0], "slow": [2.0, 16.0, 12.0], "fast": [1.0, 2.0, 1.5]}
    found = turns.compare(seconds)
    assert found["slow"] == [0.5, 0.25, 0.25]
    assert found[turns.FASTEST] == found["fast"] == [1.0, 2.0, 2.0]


def test_every_work_takes_its_turn() -> None:
    order: list[str] = []
    works = {name: lambda name=name: order.append(name) for name in "abc"}
    seconds = turns.take_turns(works, rounds=2, turns=3, calls=1)
    assert list(seconds) == list("abc") and all(len(values) == 2 for values in seconds.values())
    assert "".join(order[6:]) == 2 * "abcbcacab"  # after two calls of each that are not counted


def test_a_comparison_is_noted_with_its_machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The records of a GPU stand beside those of the CPU, and replace only their own."""
    for module in (peers, result_files):
        monkeypatch.setattr(module, "RESULTS", tmp_path)
    own = peers_matching.matching_works("ours")
    works = {"ours": own, "another": peers_matching.matching_works("ours")}
    records = peers.peer_records("here", works, rounds=2, turns=1, calls=1)
    assert {record["task"] for record in records} == {"training step", "sampling", "density"}
    peers.note_peers("some", records)
    monkeypatch.setattr(peers, "machine", lambda device: {"cpu": "none"})
    peers.note_peers("some", [], device="cuda")
    peers.note_peers("some", records)
    noted = result_files.read_records("some")
    assert [record["device"] for record in noted] == ["cuda"] + ["cpu"] * (1 + len(records))
    assert all(min(values) > 0 for values in noted[2]["seconds_a_call"].values())
    assert peers.peer_records("alone", {"ours": own}) == []


def test_a_share_of_the_peak_is_a_share(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(peak, "SIZES", (64,))
    found = peak.share_of_peak("flow matching", peak.product_peak(repeats=3)[64])
    weights = sum(weight.numel() for weight in VelocityField().parameters() if weight.ndim == 2)
    # Forward once and backward twice, but for the first layer, whose input needs no gradient.
    assert 4 * weights < found["operations"] / found["batch"] < 6 * weights
    assert found["share"] > 0


def test_what_grows_is_a_training_step_or_a_sample() -> None:
    assert growth.training_work("spline flow", 64, "cpu", dim=3)() > 0
    assert growth.sampling_work(2, "cpu")().shape == (growth.BATCH, 2)


@pytest.mark.parametrize("name", peer_quality.CANDIDATES)
def test_a_recipe_comes_nearer_to_the_rings(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A second is enough to be nearer than noise of the same variance; every mark is noted."""
    if name.startswith("torchcfm"):
        pytest.importorskip("torchcfm")
    for constant, points in (("JUDGED", 300), ("FIELD_JUDGED", 100), ("POINTS", 5000)):
        monkeypatch.setattr(peer_quality, constant, points)
    torch.optim.Adam([torch.zeros(1, requires_grad=True)])  # torch's first one takes a second of its own
    record = peer_quality.measure_quality(name, marks=(0.2, 1.0))
    assert [at["cpu_seconds"] for at in record["trace"]] == [0.2, 1.0]
    noise = math.log(2 * math.pi) + 1 - OlympicRings().entropy()
    assert 0 < record["trace"][-1]["kl"] < noise + 0.1
    assert 0 < record["trace"][0]["steps"] < record["trace"][1]["steps"]


def test_the_tables_of_the_page_are_those_of_the_records() -> None:
    page = (BOOK / "benchmarks.md").read_text(encoding="utf-8")
    for name, table in run.TABLES.items():
        assert (BOOK / f"{name}_table.md").read_text(encoding="utf-8") == table()
        assert f"{{include}} {name}_table.md" in page


@pytest.mark.parametrize("name", ["peers_affine", "peers_spline", "peers_matching", "peak", "peer_quality"])
def test_the_records_say_where_and_when(name: str) -> None:
    about = result_files.read_records(name)[0]["machine"]
    assert about["threads"] == 1
    assert set(about) >= {"cpu", "cores", "device", "torch", "date"}


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


def test_looks_do_not_change_what_is_trained(monkeypatch: pytest.MonkeyPatch) -> None:
    """A training that is looked at ends where one that is not does, told the ring or not."""
    for module in (spline, matching):
        monkeypatch.setattr(module, "POINTS", 2000)
    monkeypatch.setattr(matching, "SOLVER", 4)
    for train in (
        lambda looks: affine.train_affine(0, steps=4, looks=looks),
        lambda looks: spline.train_spline(0, 5, steps=4, looks=looks),
        lambda looks: matching.train_matching(0, "flow matching by class", steps=4, looks=looks),
    ):
        (one, trace), (other, none) = train(2), train(0)
        assert len(trace) == 2 and none == []
        assert trace[0][0] < trace[1][0] and all(above > 0 for _, above in trace)
        assert all(torch.equal(a, b) for a, b in zip(one.parameters(), other.parameters()))


def test_the_seconds_between_marks_do_not_count() -> None:
    """A clock that gains a second at every look, and a caller that takes a hundred at each mark."""
    now, seen = [0.0], []

    def clock() -> float:
        now[0] += 1.0
        return now[0]

    torch.manual_seed(0)
    candidate = peer_quality.our_spline()._replace(batch=16)
    data = OlympicRings().sample(100)[0]
    for mark, steps in peer_quality.train_by_clock(candidate, data, clock(), (4.0, 9.0), clock):
        seen.append((mark, steps))
        now[0] += 100
    assert seen == [(4.0, 3), (9.0, 6)]


SMALL = {"JUDGED": 400, "BATCH": 150, "SLICED": 200, "SOLVER_STEPS": 2, "DENSITY_STEPS": 2}


@pytest.fixture
def small_race(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> race.FreshPoints:
    for constant, value in SMALL.items():
        monkeypatch.setattr(race, constant, value)
    for module in (straight_paths, one_step, peer_quality, matching, spline):
        monkeypatch.setattr(module, "POINTS", 1024)
    for module in (race, result_files):
        monkeypatch.setattr(module, "RESULTS", tmp_path)
    monkeypatch.setenv("FIVE_RINGS_DEVICE", "cpu")
    return race.FreshPoints()


@pytest.mark.parametrize("name", race.CONTESTANTS)
def test_a_contestant_is_noted_as_chapter_21_reads_it(name: str, small_race: race.FreshPoints) -> None:
    contestant = race.CONTESTANTS[name]
    if contestant.library == "torchcfm":
        pytest.importorskip("torchcfm")
    record = race.measure_race(name, 0, small_race, share=1e-3)
    assert set(record) == {*race_table.SAME, *race_table.NUMBERS, "seed"}
    assert (record["kl"] is None) == (contestant.family == "flow map") == (record["density_calls"] is None)
    assert (record["own_ring_share"] is None) == (contestant.told == "nothing")
    assert 0 < record["on_ring_share"] < 1 and record["over_floor"] > 1 and record["samples_a_second"] > 0
    if record["kl"] is not None:
        assert record["kl"] > 0 and record["kl_se"] > 0 and record["densities_a_second"] > 0
        bound = 1e-4 if contestant.family == "normalizing flow" else 1.0
        assert record["round_trip_median"] <= record["round_trip_99"] < bound
    json.dumps(record, allow_nan=False)


@pytest.mark.parametrize(
    "name", [name for name, one in race.CONTESTANTS.items() if one.family != "normalizing flow"]
)
def test_calls_are_those_of_the_network(name: str) -> None:
    module = one_step.FlowMap() if race.CONTESTANTS[name].family == "flow map" else VelocityField()
    count: list[int] = []
    module.register_forward_hook(lambda *_: count.append(1))
    racer = race.CONTESTANTS[name].racer(module)
    racer.sample(3, None)
    assert len(count) == race.CONTESTANTS[name].calls
    if racer.log_prob is not None:
        count.clear()
        racer.log_prob(torch.zeros(3, 2), None)
        assert len(count) == race.CONTESTANTS[name].density_calls


def test_data_are_at_the_floor_and_noise_is_not(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(race, "JUDGED", 8000)
    monkeypatch.setattr(race, "SLICED", 4000)
    judge = race.FreshPoints()
    torch.manual_seed(1)
    data, _ = OlympicRings().sample(8000)
    assert 0.6 < judge.over_floor(data) < 1.6
    assert judge.over_floor(torch.randn(8000, 2)) > 2.5


def test_batches_are_joined_in_their_order() -> None:
    asked: list[slice] = []

    def work(rows: slice) -> Tensor:
        asked.append(rows)
        return torch.arange(rows.start, rows.stop)

    ticks = iter([0.0, 2.0, 2.0, 3.0, 3.0, 3.5])
    made, rate = race.in_batches(work, 2 * race.BATCH + 3000, lambda: next(ticks))
    assert torch.equal(made, torch.arange(2 * race.BATCH + 3000)) and len(asked) == 4
    assert rate == race.BATCH / 1.0  # the last batch, of 3,000, took half a second


def test_peers_that_are_not_here_are_left_out_and_ours_run_first() -> None:
    all_of_them, ours = (race.races(lambda package, here=here: here) for here in (True, None))
    assert len(all_of_them) == len(race.SEEDS) * len(race.CONTESTANTS)
    assert {race.CONTESTANTS[name].library for name, _ in ours} == {"ours"}
    assert [seed for _, seed in ours] == sorted(seed for _, seed in ours)
    assert {name for name, _ in all_of_them[: len(race.CONTESTANTS)]} == set(race.CONTESTANTS)
    again = [race.CONTESTANTS[name].library == "ours" for name, seed in all_of_them if seed]
    assert again == sorted(again, reverse=True)


def test_an_interrupted_race_is_resumed(
    small_race: race.FreshPoints, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[tuple[str, int]] = []
    interrupted = [False]
    names = ["affine flow", "flow matching"]
    monkeypatch.setattr(race, "races", lambda: [(name, seed) for name in names for seed in (0, 1)])

    def measure(name: str, seed: int, *_: object) -> dict[str, object]:
        if len(asked) == 3 and interrupted == [False]:
            interrupted[0] = True
            raise KeyboardInterrupt
        asked.append((name, seed))
        return {"name": name, "seed": seed, **dict.fromkeys(race_table.NUMBERS, float(seed))} | {
            key: None for key in race_table.SAME if key != "name"
        }

    monkeypatch.setattr(race, "measure_race", measure)
    with pytest.raises(KeyboardInterrupt):
        race.run_races()
    asked[:2] = []
    race.run_races()
    assert asked == [("flow matching", 0), ("flow matching", 1)]
    rows = race_table.race_table()
    assert [row["name"] for row in rows] == names and all(row["seeds"] == 2 for row in rows)
    assert rows[0]["kl"] == (0.5, 0.0, 1.0)
    asked.clear()
    before = result_files.read_records("race")
    race.run_races(share=0.5)  # a trial measures all, and leaves the record alone
    assert len(asked) == 4 and result_files.read_records("race") == before
