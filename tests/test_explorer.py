"""The explorer: its arithmetic beside scipy's and PyTorch's, and the figure as a reader uses it."""

import json
import re
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from browser import ROOT, Opened, pages
from live_figures import number_live_figures
from playwright.sync_api import Browser, Page, Route
from scipy import special, stats
from test_models import BUILDERS
from torch import Tensor, nn

from helpers import ode
from helpers.distributions import StandardNormal
from helpers.empirical import EmpiricalPath
from helpers.explorer import CONTROLS, HEIGHT, PARTS, WIDTH, cloud_noise, describe, explorer_html
from helpers.flow_maps import FlowMap
from helpers.flows import Coupling, NormalizingFlow, Permutation, affine_flow
from helpers.matching import VelocityField
from helpers.path import RingsPath
from helpers.rings import OlympicRings
from helpers.sde import noisy_step
from helpers.training import load

FLOWS = [name for name in BUILDERS if "spline" in name or "affine" in name]
FIELDS = [name for name in BUILDERS if "matching" in name]
STEPS = 8
WHAT_A_PAGE_MAY_WEIGH = 150_000  # bytes, beyond the script that all pages share
WHAT_THE_SCRIPT_MAY_WEIGH = 90_000
FOLDER = ROOT / "helpers" / "explorer"
FILES = {part: (FOLDER / f"{part}.js").read_text(encoding="utf-8") for part in PARTS}
PAGE = explorer_html(affine_flow(couplings=1), "any", "A page", ["grid"])
SCRIPT = re.search(r"<script>\n(.*)FiveRings\.mount", PAGE, re.DOTALL)[1]


@pytest.fixture(scope="module")
def tab(chromium: Browser) -> Page:
    """A page with nothing but the script, for its arithmetic."""
    tab = chromium.new_page()
    tab.set_content(f"<script>{SCRIPT}</script>")
    return tab


def committed(name: str) -> nn.Module:
    model = BUILDERS[name]()
    load(model, name)
    return model


def some_points(model: nn.Module, backward: bool = False, n: int = 400) -> tuple[Tensor, Tensor | None]:
    """Where a way begins, in double precision; and labels, where the model takes them."""
    torch.manual_seed(1)
    x, ring = OlympicRings().sample(n)
    if not backward:
        x = getattr(model, "base", StandardNormal(2)).sample(n)
    return x.double(), ring if model.classes else None


def labels(ring: Tensor | None, n: int) -> list[int]:
    return [-1] * n if ring is None else ring.tolist()


FOLLOW = """([spec, points, rings, settings]) => {
    const model = spec.kind ? FiveRings.load(spec) : new FiveRings.ExactField(spec);
    const ways = FiveRings.follow(model, points, Int8Array.from(rings), settings);
    return FiveRings.finish(ways).map(state => [...state]);
}"""


def follow(tab: Page, spec: dict, points: Tensor, ring: Tensor | None, **settings: object) -> Tensor:
    """All states of the points as the page computes them, (states, batch, 2)."""
    settings = {"way": "forward", "method": "rk4", "steps": STEPS, "late": 1} | settings
    told = labels(ring, len(points))
    states = tab.evaluate(FOLLOW, [spec, points.flatten().tolist(), told, settings])
    return torch.tensor(states, dtype=torch.float64).unflatten(1, (-1, 2))


def about_rings() -> dict[str, object]:
    rings = OlympicRings()
    return {"centres": rings.centres.tolist(), "inner": rings.inner, "outer": rings.outer}


# Its files.


def test_every_file_is_in_the_script_once_and_in_order() -> None:
    alone = {"strip"}  # a figure of its own, which test_strip.py tests
    assert sorted({path.stem for path in FOLDER.glob("*.js")} - alone) == sorted(PARTS)
    places = []
    for text in FILES.values():
        body = re.sub(r"^export ", "", text.split("\n\n", 1)[1], flags=re.MULTILINE)
        assert SCRIPT.count(body) == 1
        places.append(SCRIPT.index(body))
    assert places == sorted(places)


@pytest.mark.parametrize("part", PARTS)
def test_a_file_begins_with_what_it_is_for_and_what_it_imports(part: str) -> None:
    head = FILES[part].split("\n\n")[0].split("\n")
    assert head[0].startswith("// ")
    assert all(line.startswith(("//", "import ")) for line in head)
    assert FILES[part].count("\nimport ") == sum(line.startswith("import ") for line in head)


def exported(part: str) -> list[str]:
    return re.findall(r"^export (?:const|class|function\*?) (\w+)", FILES[part], re.MULTILINE)


@pytest.mark.parametrize("part", PARTS)
def test_a_file_imports_what_it_uses_and_only_from_files_before_it(part: str) -> None:
    imported = {}
    for line in re.findall(r"^import .*", FILES[part], re.MULTILINE):
        names, source = re.fullmatch(r'import \{ (.*) \} from "\./(\w+)\.js";', line).groups()
        imported |= dict.fromkeys(names.split(", "), source)
    code = re.sub(r"^import .*|/\*\*[\s\S]*?\*/|//.*", "", FILES[part], flags=re.MULTILINE)
    names = {name: source for source in PARTS[: PARTS.index(part)] for name in exported(source)}
    # A name after a dot is a property's, after three dots it is not.
    used = {
        name: source for name, source in names.items() if re.search(rf"(?<![\w$])(?<!\w\.){name}\b", code)
    }
    assert imported == used


def test_the_files_are_modules_as_well(chromium: Browser) -> None:
    """As a page of a server could load them: each imports all that it needs."""
    tab = chromium.new_page()
    address = "http://explorer.test/"
    page = html("matching_by_class", points="cloud", density=True)
    whole = page.replace(
        f"<script>\n{SCRIPT}FiveRings.", '<script type="module">\nimport { mount } from "/figure.js";\n'
    )
    assert "window.FiveRings" not in whole

    def serve(route: Route) -> None:
        part = route.request.url.removeprefix(address).removesuffix(".js")
        kind = "text/javascript" if part else "text/html; charset=utf-8"
        route.fulfill(body=FILES[part] if part else whole, content_type=kind)

    tab.route(f"{address}**", serve)
    tab.goto(address)
    tab.wait_for_function("() => /Of 2,000/.test(document.querySelector('.fr-said').textContent)")
    at_rest(tab)
    by_modules = said(tab)
    tab.set_content(page)
    tab.wait_for_function("() => /Of 2,000/.test(document.querySelector('.fr-said').textContent)")
    assert said(tab) == by_modules
    tab.close()


# Its arithmetic.


@pytest.mark.parametrize(("order", "oracle"), [(0, special.i0e), (1, special.i1e)])
def test_bessel_functions(tab: Page, order: int, oracle: np.ufunc) -> None:
    z = np.concatenate([[0.0], np.geomspace(1e-6, 1e5, 500), np.linspace(3.7, 3.8, 50)])
    ours = tab.evaluate("([n, all]) => all.map(z => FiveRings.scaledBessel(n, z))", [order, z.tolist()])
    assert np.abs(np.array(ours) - oracle(z)).max() < 3e-7


@pytest.mark.parametrize("count", [1, 2, 16, 36])
def test_quadrature(tab: Page, count: int) -> None:
    ours = tab.evaluate("count => FiveRings.gaussLegendre(count)", count)
    nodes, weights = np.polynomial.legendre.leggauss(count)
    assert np.abs(np.sort(ours["nodes"]) - nodes).max() < 1e-14
    assert np.abs(np.array(ours["weights"])[np.argsort(ours["nodes"])] - weights).max() < 1e-13


def test_random_numbers(tab: Page) -> None:
    draw = "what => { const u = FiveRings.uniforms(20260); return Array.from({length: 20000}, () => %s); }"
    uniform = tab.evaluate(draw % "u()")
    normal = np.array(tab.evaluate(draw % "FiveRings.normalPair(u)"))
    assert 0 < min(uniform) < max(uniform) < 1
    assert stats.kstest(uniform, "uniform").pvalue > 1e-3
    assert stats.kstest(normal.ravel(), "norm").pvalue > 1e-3
    assert abs(np.corrcoef(normal.T)[0, 1]) < 0.03


@pytest.mark.parametrize("late", [1, 2])
def test_step_times(tab: Page, late: int) -> None:
    times = tab.evaluate("late => FiveRings.stepTimes(8, 0.98, late)", late)
    assert times == pytest.approx(0.98 * (1 - (1 - np.arange(9) / 8) ** late), abs=1e-15)


# Models beside PyTorch.


@pytest.mark.parametrize("backward", [False, True])
@pytest.mark.parametrize("name", FLOWS)
def test_layers_of_a_flow(tab: Page, name: str, backward: bool) -> None:
    """Every state, in the axes of the data: swapped, where an odd number of swaps is left."""
    flow = committed(name).double()
    points, ring = some_points(flow, backward)
    ours = follow(tab, describe(flow), points, ring, way="backward" if backward else "forward")
    left = sum(isinstance(layer, Permutation) for layer in flow.layers)
    assert left % 2 == 0
    with torch.no_grad():
        noise = flow.inverse(points, ring)[0] if backward else points
    theirs = [noise]
    for layer, state in zip(flow.layers, flow.trajectory(noise, ring)[1:], strict=True):
        left -= isinstance(layer, Permutation)
        if not isinstance(layer, Permutation):
            theirs.append(state.flip(1) if left % 2 else state)
    if backward:
        theirs = theirs[::-1]
    assert ours.shape == (len(theirs), *points.shape)
    assert (ours - torch.stack(theirs)).norm(dim=2).max() < 1e-7


@pytest.mark.parametrize("name", FLOWS)
def test_a_flow_in_the_precision_of_the_chapters(tab: Page, name: str) -> None:
    flow = committed(name)
    points, ring = some_points(flow)
    with torch.no_grad():
        theirs = flow(points.float(), ring)[0].double()
    error = (follow(tab, describe(flow), points, ring)[-1] - theirs).norm(dim=1)
    assert error.quantile(0.98) < 1e-4  # of single precision: the last layers may stretch its rounding a lot


@pytest.mark.parametrize("name", FLOWS)
def test_log_densities_of_a_flow(tab: Page, name: str) -> None:
    flow = committed(name).double()
    points, ring = some_points(flow, backward=True)
    ask = """([spec, points, rings]) => [...FiveRings.load(spec).logDensity(points, Int8Array.from(rings))]"""
    ours = tab.evaluate(ask, [describe(flow), points.flatten().tolist(), labels(ring, len(points))])
    with torch.no_grad():
        assert (torch.tensor(ours) - flow.log_prob(points, ring)).abs().max() < 1e-6


@pytest.mark.parametrize("way", ["forward", "backward", "return"])
@pytest.mark.parametrize("method", ode.METHODS)
@pytest.mark.parametrize("name", FIELDS)
def test_paths_along_a_learned_field(tab: Page, name: str, method: str, way: str) -> None:
    field = committed(name).double()
    points, ring = some_points(field, way == "backward")
    ours = follow(tab, describe(field), points, ring, way=way, method=method)
    t0, t1 = (1.0, 0.0) if way == "backward" else (0.0, 1.0)
    theirs = ode.trajectory(field, points, STEPS, method, t0, t1, ring)
    if way == "return":
        back = ode.trajectory(field, theirs[-1], STEPS, method, 1.0, 0.0, ring)
        theirs = torch.cat([theirs, back[1:]])
    assert ours.shape == theirs.shape
    assert (ours - theirs).norm(dim=2).max() < 1e-8


@pytest.mark.parametrize("name", FIELDS)
def test_a_field_in_the_precision_of_the_chapters(tab: Page, name: str) -> None:
    field = committed(name)
    points, ring = some_points(field)
    theirs = ode.integrate(field, points.float(), STEPS, context=ring).double()
    assert (follow(tab, describe(field), points, ring)[-1] - theirs).norm(dim=1).max() < 1e-4


def test_the_null_class(tab: Page) -> None:
    field = committed("matching_by_class").double()
    points, _ = some_points(field)
    theirs = ode.integrate(field, points, STEPS)
    assert (follow(tab, describe(field), points, None)[-1] - theirs).norm(dim=1).max() < 1e-8


@pytest.mark.parametrize("head_start", [True, False])
def test_a_field_with_kinks(tab: Page, head_start: bool) -> None:
    torch.manual_seed(2)
    few = {"hidden": 10, "depth": 2, "frequencies": 0, "time_frequencies": 0}
    field = VelocityField(**few, smooth=False, head_start=head_start).double()
    nn.init.normal_(field.network[-1].weight)
    points, _ = some_points(field)
    theirs = ode.integrate(field, points, STEPS)
    # Its weights travel in single precision.
    assert (follow(tab, describe(field), points, None)[-1] - theirs).norm(dim=1).max() < 1e-5


@pytest.mark.parametrize("by_class", [False, True])
@pytest.mark.parametrize("t", [0.0, 0.2, 0.7, 0.95, 0.96, 0.995])
def test_the_exact_field(tab: Page, t: float, by_class: bool) -> None:
    torch.manual_seed(3)
    path = RingsPath(OlympicRings())
    x = torch.cat([path.sample(300, t)[0].double(), 3 * torch.randn(100, 2).double()])
    ring = torch.arange(len(x)) % 5 if by_class else None
    ask = """([about, points, t, rings]) => {
        const field = new FiveRings.ExactField(about), v = new Float64Array(points.length);
        field.velocities(points, t, rings, v);
        return [[...v], rings.map((ring, i) => field.logDensity(points[2 * i], points[2 * i + 1], t, ring))];
    }"""
    v, log_p = tab.evaluate(ask, [about_rings(), x.flatten().tolist(), t, labels(ring, len(x))])
    wrong = (torch.tensor(v).unflatten(0, (-1, 2)) - path.velocity(x, t, ring)).norm(dim=1)
    assert (wrong / (1 + path.velocity(x, t, ring).norm(dim=1))).max() < 2e-5
    theirs = path.log_prob(x, t, ring)
    assert ((torch.tensor(log_p) - theirs).abs() / (1 + theirs.abs())).max() < 2e-6


@pytest.mark.parametrize("way", ["forward", "backward", "return"])
@pytest.mark.parametrize("method", ode.METHODS)
def test_paths_along_the_exact_field(tab: Page, method: str, way: str) -> None:
    """With times that crowd to the end, where the field is stiff: the setting of the figure."""
    path, settings = RingsPath(OlympicRings()), {"method": method, "way": way, "late": 2, "steps": 24}
    torch.manual_seed(4)
    points = path.sample(200, 0.995 if way == "backward" else 0.0)[0].double()
    ours = follow(tab, about_rings(), points, None, **settings)[-1]
    times = 0.995 * (1 - (1 - torch.arange(25, dtype=torch.float64) / 24) ** 2)
    theirs = points
    for span in {"forward": [times], "backward": [times.flip(0)], "return": [times, times.flip(0)]}[way]:
        theirs = ode.integrate(lambda x, t, context: path.velocity(x, t, context), theirs, span, method)
    assert (ours - theirs).norm(dim=1).max() < 1e-4


@pytest.mark.parametrize("field", ["learned", "exact"])
@pytest.mark.parametrize("weight", [0, 1.5, 4])
def test_a_guided_field(tab: Page, weight: float, field: str) -> None:
    """With and without a label, as chapter 10 puts them together; points of no label are not guided."""
    learned, path = committed("matching_by_class").double(), RingsPath(OlympicRings())
    told = learned if field == "learned" else path.velocity
    points, ring = some_points(learned, n=100)
    ask = """([spec, rings, points, labels, settings]) => {
        const models = FiveRings.loadModels({ model: spec, rings });
        const task = { settings, points, labels: Int8Array.from(labels), heroes: [], judged: false };
        return FiveRings.finish(FiveRings.COMPUTATIONS.way(models, task)).states.map(state => [...state]);
    }"""
    settings = {"way": "forward", "method": "midpoint", "steps": 10, "late": 1.5, "field": field}
    settings |= {"weight": weight}
    start = points.flatten().tolist()
    end = 1.0 if field == "learned" else 0.995
    times = end * (1 - (1 - torch.arange(11, dtype=torch.float64) / 10) ** 1.5)
    for asked in (ring, None):
        given = [describe(learned), about_rings(), start, labels(asked, len(points)), settings]
        ours = torch.tensor(tab.evaluate(ask, given), dtype=torch.float64).unflatten(1, (-1, 2))

        def guided(x: Tensor, t: Tensor, context: Tensor | None) -> Tensor:
            return (1 - weight) * told(x, t) + weight * told(x, t, context)

        theirs = ode.trajectory(guided, points, times, "midpoint", context=asked)
        assert (ours - theirs).norm(dim=2).max() < 1e-4


# A table of points beside helpers/empirical.py.


torch.manual_seed(6)
TABLE = EmpiricalPath(OlympicRings().sample(1000)[0])


@pytest.mark.parametrize("rows", [1, 5, 50, 1000])
@pytest.mark.parametrize("t", [0.0, 0.2, 0.7, 0.95, 0.995, 0.9999])
def test_the_field_of_a_table(tab: Page, t: float, rows: int) -> None:
    """On its own path and far from it, where the nearest weights are all less than e^-700."""
    known = EmpiricalPath(TABLE.points[:rows])
    torch.manual_seed(3)
    x = torch.cat([known.sample(300, t)[0], 3 * torch.randn(100, 2).double()])
    ask = """([spec, rows, points, t]) => {
        const v = new Float64Array(points.length);
        FiveRings.load(spec).first(rows).velocities(points, t, [], v);
        return [...v];
    }"""
    v = tab.evaluate(ask, [describe(TABLE), rows, x.flatten().tolist(), t])
    theirs = known.velocity(x, t)
    wrong = (torch.tensor(v, dtype=torch.float64).view(-1, 2) - theirs).norm(dim=1)
    assert (wrong / (1 + theirs.norm(dim=1))).max() < 1e-6


def test_paths_along_the_field_of_a_table(tab: Page) -> None:
    """In the steps of the figure, through its own choice of the field; each ends at a point of the table."""
    ask = """([spec, rings, points, settings]) => {
        const models = FiveRings.loadModels({ model: spec, rings });
        const labels = new Int8Array(points.length / 2);
        const task = { settings, points, labels, heroes: [], judged: false };
        return FiveRings.finish(FiveRings.COMPUTATIONS.way(models, task)).states.map(state => [...state]);
    }"""
    z, steps = cloud_noise(200), 24
    settings = {"way": "forward", "method": "rk4", "steps": steps, "late": 3, "field": "learned"}
    times = 0.9999 * (1 - (1 - torch.arange(steps + 1, dtype=torch.float64) / steps) ** 3)
    for rows in (5, 1000):
        given = [describe(TABLE), about_rings(), z.flatten().tolist(), settings | {"rows": rows}]
        ours = torch.tensor(tab.evaluate(ask, given), dtype=torch.float64).unflatten(1, (-1, 2))
        known = EmpiricalPath(TABLE.points[:rows])
        assert (ours - ode.trajectory(known.velocity, z, times)).norm(dim=2).max() < 1e-4
        assert torch.cdist(ours[-1], known.points).min(1).values.max() < 2e-3


# A flow map beside helpers/flow_maps.py, and its judge.


def wild_map(smooth: bool = True) -> FlowMap:
    """With weights on which nothing is special."""
    torch.manual_seed(7)
    flow_map = FlowMap(hidden=24, smooth=smooth)
    nn.init.normal_(flow_map.network[-1].weight, std=0.2)
    return flow_map.requires_grad_(False)


@pytest.mark.parametrize("smooth", [True, False])
@pytest.mark.parametrize("times", [(0.0, 1.0), (0.2, 0.7), (0.4, 0.4), (0.0, 0.0), (1.0, 1.0)])
def test_a_mean_velocity(tab: Page, times: tuple[float, float], smooth: bool) -> None:
    flow_map = wild_map(smooth).double()
    x = 2 * torch.randn(200, 2, dtype=torch.float64)
    ask = """([spec, points, s, t]) => {
        const v = new Float64Array(points.length);
        FiveRings.load(spec).velocities(points, s, [], v, t);
        return [...v];
    }"""
    given = [describe(flow_map), x.flatten().tolist(), *times]
    v = torch.tensor(tab.evaluate(ask, given), dtype=torch.float64)
    assert (v.view(-1, 2) - flow_map(x, *times)).abs().max() < 1e-8


@pytest.mark.parametrize("jumps", [1, 2, 8])
def test_jumps(tab: Page, jumps: int) -> None:
    flow_map, z = wild_map().double(), cloud_noise(200)
    ours = follow(tab, describe(flow_map), z, None, steps=jumps)
    assert ours.shape == (jumps + 1, 200, 2)
    assert (ours[-1] - flow_map.carry(z, jumps)).abs().max() < 1e-8


def test_the_ends_of_the_exact_flow(tab: Page) -> None:
    """Beside chapter 18's own: steps that shrink to t = 0.999, and there the best guess."""
    path, z = RingsPath(OlympicRings()), cloud_noise(500)
    times = 1 - 0.001 ** torch.linspace(0, 1, 121, dtype=torch.float64)
    theirs = path.mean(ode.integrate(path.velocity, z, times), 0.999)
    ask = """([rings, points]) => {
        const labels = new Int8Array(points.length / 2).fill(-1), exact = new FiveRings.ExactField(rings);
        return [...FiveRings.finish(FiveRings.exactEnds({ exact }, points, labels))];
    }"""
    ours = torch.tensor(tab.evaluate(ask, [about_rings(), z.flatten().tolist()]), dtype=torch.float64)
    off = (ours.view(-1, 2) - theirs).norm(dim=1)
    assert off.median() < 1e-4
    assert off.quantile(0.98) < 5e-3  # the others begin beside a tear


# Steps with noise beside helpers/sde.py.


@pytest.mark.parametrize("push", [True, False])
@pytest.mark.parametrize("level", [0.25, 1, 4])
def test_steps_with_noise(tab: Page, level: float, push: bool) -> None:
    """The numbers that the page draws, put into the helper's step; without the push into Euler's."""
    field, n, steps = committed("matching").double(), 60, 8
    z = cloud_noise(n)
    settings = {"late": 1, "steps": steps, "level": level, "push": push, "seed": 7}
    ours = follow(tab, describe(field), z, None, **settings)
    draw = """n => {
        const uniform = FiveRings.uniforms(7);
        return Array.from({ length: n }, () => FiveRings.normalPair(uniform));
    }"""
    fresh = torch.tensor(tab.evaluate(draw, n * steps), dtype=torch.float64).view(steps, n, 2)
    x = z
    for k, noise in enumerate(fresh):
        t, later = k / steps, (k + 1) / steps
        with torch.no_grad():
            v = field(x, t)
        centre, width = noisy_step(x, v, t, later, level)
        x = (centre if push else x + v / steps) + width * noise
        assert (ours[k + 1] - x).norm(dim=1).max() < 1e-8


@pytest.mark.parametrize("push", [True, False])
def test_level_0_is_eulers_method(tab: Page, push: bool) -> None:
    spec, z = describe(committed("matching")), cloud_noise(100)
    given = {"late": 1, "method": "euler"}
    stirred = follow(tab, spec, z, None, level=0, push=push, seed=7, **given)
    assert (stirred - follow(tab, spec, z, None, **given)).abs().max() < 1e-12


def p_value(x: Tensor, t: float) -> float:
    """That the points are drawn from the path at time t, by chi-squared over squares of the plane."""
    fine = (torch.arange(-180, 180, dtype=torch.float64) + 0.5) / 60
    density = RingsPath(OlympicRings()).log_prob(torch.cartesian_prod(fine, fine), t).exp()
    mass = (density / 60**2).view(18, 20, 18, 20).sum((1, 3))
    squares, often = torch.arange(-9, 10, dtype=torch.float64) / 3, mass * len(x) > 5
    found = torch.histogramdd(x, [squares, squares]).hist
    counted = torch.cat([found[often], len(x) - found[often].sum()[None]])
    expected = torch.cat([mass[often], 1 - mass[often].sum()[None]]) * len(x)
    return stats.chisquare(counted.numpy(), expected.numpy()).pvalue


@pytest.mark.parametrize("level", [0, 0.25, 1])
def test_a_crowd_with_noise_is_spread_as_the_path(tab: Page, level: float) -> None:
    """In the pieces of the figure, each with a seed of its own; and not without the push."""
    ask = """([rings, spec, points, settings]) => {
        const models = FiveRings.loadModels({ model: spec, rings });
        const labels = new Int8Array(points.length / 2).fill(-1), ends = [];
        const parts = FiveRings.COMPUTATIONS.cloud(models, { settings, points, labels, from: 0 });
        for (const { states } of parts) if (states) ends.push(...states[160]);
        return ends;
    }"""
    torch.manual_seed(8)
    z = torch.randn(2000, 2).double()
    spec, settings = describe(VelocityField()), {"way": "forward", "late": 1, "steps": 200, "field": "exact"}
    found = {}
    for push in (True, False):
        given = [about_rings(), spec, z.flatten().tolist(), settings | {"level": level, "push": push}]
        x = torch.tensor(tab.evaluate(ask, given), dtype=torch.float64).view(-1, 2)
        found[push] = p_value(x, 0.995 * 160 / 200)
    assert found[True] > 1e-4
    assert level == 0 or found[False] < 1e-9


# The figure.

ELSEWHERE = ("rows", "level", "push")  # controls of the figures of a table and of noise


def html(name: str, controls: list[str] | None = None, **start: object) -> str:
    model = committed(name)
    for_fields = ("method", "steps", "field", "weight")
    every = [c for c in CONTROLS if c not in ELSEWHERE and (c not in for_fields or name in FIELDS)]
    if not model.classes and "weight" in every:
        every.remove("weight")
    return in_a_page(explorer_html(model, "live", "Points on their way", controls or every, **start))


def in_a_page(figure: str) -> str:
    return f'<!doctype html><html lang="en"><title>An explorer</title><main>{figure}</main></html>'


@pytest.fixture
def opened(chromium: Browser, request: pytest.FixtureRequest) -> Iterator[Page]:
    """A page with one explorer; the test's parameter may set the model and the browser."""
    options = {"name": "affine", "browser": {}, "start": {}} | getattr(request, "param", {})
    view = {"viewport": {"width": 760, "height": 900}}
    context = chromium.new_context(**(view | options["browser"]))
    tab = context.new_page()
    errors: list[str] = []
    tab.on("pageerror", lambda error: errors.append(str(error)))
    tab.set_content(html(options["name"], **options["start"]))
    yield tab
    context.close()
    assert errors == []


def said(tab: Page) -> str:
    """What stands below, once the way of the point is there and drawn."""
    tab.wait_for_function("() => !document.querySelector('.fr-explorer').explorer.computes('way')")
    tab.evaluate("() => new Promise(done => requestAnimationFrame(() => requestAnimationFrame(done)))")
    return tab.inner_text(".fr-said")


def at_rest(tab: Page) -> None:
    """Waits until all is computed and drawn."""
    explorer = "document.querySelector('#live').explorer"
    tab.wait_for_function(f"() => (e => !e.busy && !e.lacksDensity && e.frame === null)({explorer})")


def start_of(tab: Page) -> tuple[float, float]:
    x, y = re.search(r"start(?:s at|,) \((−?[\d.]+), (−?[\d.]+)\)", said(tab)).groups()
    return float(x.replace("−", "-")), float(y.replace("−", "-"))


def pixel(tab: Page, x: float, y: float) -> tuple[float, float]:
    """Where a point of the plane stands in the window."""
    box = tab.locator("canvas").bounding_box()
    return box["x"] + (x / WIDTH + 0.5) * box["width"], box["y"] + (0.5 - y / HEIGHT) * box["height"]


TOUCH = {"browser": {"has_touch": True, "viewport": {"width": 390, "height": 800}}}


def test_the_point_follows_the_mouse(opened: Page) -> None:
    opened.mouse.move(*pixel(opened, *start_of(opened)))
    opened.mouse.down()
    opened.mouse.move(*pixel(opened, 1.0, -0.5), steps=4)
    opened.mouse.up()
    opened.mouse.move(*pixel(opened, 2.0, 1.0))  # let go of
    assert start_of(opened) == pytest.approx((1.0, -0.5), abs=0.02)


@pytest.mark.parametrize("opened", [TOUCH], indirect=True)
def test_a_tap_moves_the_point(opened: Page) -> None:
    opened.touchscreen.tap(*pixel(opened, 1.0, -0.5))
    assert start_of(opened) == pytest.approx((1.0, -0.5), abs=0.03)


@pytest.mark.parametrize("opened", [TOUCH], indirect=True)
@pytest.mark.parametrize("on_the_circle", [True, False])
def test_a_finger_drags_the_circle_and_scrolls_elsewhere(opened: Page, on_the_circle: bool) -> None:
    opened.evaluate("() => document.body.style.paddingBottom = '2000px'")
    x, y = start_of(opened)
    touch = opened.context.new_cdp_session(opened)
    spot = pixel(opened, x, y if on_the_circle else y - 2)
    for kind, up in [("touchStart", 0), ("touchMove", 20), ("touchMove", 60), ("touchEnd", None)]:
        fingers = [] if up is None else [{"x": spot[0], "y": spot[1] - up}]
        touch.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": fingers})
    opened.wait_for_timeout(200)
    moved, scrolled = start_of(opened)[1] - y, opened.evaluate("() => scrollY")
    assert (moved > 0.3, scrolled > 20) == (on_the_circle, not on_the_circle)


def test_arrow_keys_move_the_point(opened: Page) -> None:
    x, y = start_of(opened)
    opened.focus("canvas")
    opened.keyboard.press("ArrowRight")
    opened.keyboard.press("ArrowDown")
    opened.keyboard.press("Shift+ArrowDown")
    assert start_of(opened) == pytest.approx((x + 0.1, y - 0.6), abs=0.006)
    opened.keyboard.press("Home")
    assert start_of(opened) == pytest.approx((x, y), abs=0.006)


def test_every_control_is_reached_by_the_keyboard(opened: Page) -> None:
    controls = opened.eval_on_selector_all(
        ".fr-explorer :is(canvas, .fr-bar button, input, select)", "all => all.length"
    )
    seen = []
    for _ in range(controls):
        opened.keyboard.press("Tab")
        seen.append(opened.evaluate("() => document.activeElement.tagName"))
    assert controls > 8
    assert "BODY" not in seen


def test_the_point_stays_in_the_plane(opened: Page) -> None:
    opened.focus("canvas")
    for _ in range(20):
        opened.keyboard.press("Shift+ArrowUp")
    assert start_of(opened)[1] == HEIGHT / 2


def test_its_end_is_where_the_model_carries_it(opened: Page) -> None:
    flow = committed("affine").double()
    z = torch.tensor([start_of(opened)], dtype=torch.float64)
    with torch.no_grad():
        x = flow(z)[0]
        log_q = flow.log_prob(x)
    shown = [float(n.replace("−", "-")) for n in re.findall(r"−?\d+\.\d+", said(opened))]
    assert shown[2:4] == pytest.approx(x[0].tolist(), abs=0.006)
    assert shown[4] == pytest.approx(float(log_q), abs=0.006)


@pytest.mark.parametrize("opened", [{"start": {"at": 0}}], indirect=True)
def test_it_steps_and_plays_and_pauses(opened: Page) -> None:
    clock = opened.locator(".fr-clock")
    assert (said(opened), clock.inner_text())[1] == "coupling 0 of 12"
    opened.click("[aria-label='One step on']")
    opened.click("[aria-label='One step on']")
    opened.click("[aria-label='One step back']")
    said(opened)
    assert clock.inner_text() == "coupling 1 of 12"
    opened.click("text=Play")
    opened.wait_for_function(
        "() => parseFloat(document.querySelector('.fr-clock').textContent.slice(9)) > 1.5"
    )
    opened.click("text=Pause")
    said(opened)
    stopped = clock.inner_text()
    opened.wait_for_timeout(200)
    assert clock.inner_text() == stopped != "coupling 12 of 12"


def test_the_slider_scrubs(opened: Page) -> None:
    opened.fill("input[type=range]", "0.5")
    said(opened)
    assert opened.get_attribute("input[type=range]", "aria-valuetext") == "coupling 6 of 12"


@pytest.mark.parametrize(
    "opened", [{"start": {"at": 0}, "browser": {"reduced_motion": "reduce"}}], indirect=True
)
def test_who_wants_no_motion_has_the_steps(opened: Page) -> None:
    said(opened)
    assert opened.locator("text=Play").is_hidden()
    opened.click("[aria-label='One step on']")
    said(opened)
    assert opened.inner_text(".fr-clock") == "coupling 1 of 12"


@pytest.mark.parametrize("opened", [{"start": {"at": 0, "points": "cloud"}}], indirect=True)
def test_motion_stops_when_it_is_no_longer_wanted(opened: Page) -> None:
    opened.click("text=Play")
    opened.wait_for_function("() => document.querySelector('#live').explorer.progress > 0.05")
    opened.emulate_media(reduced_motion="reduce")
    opened.wait_for_function("() => !document.querySelector('#live').explorer.playing")


@pytest.mark.parametrize(
    "opened", [{"name": "matching", "start": {"at": 0, "points": "cloud"}}], indirect=True
)
def test_a_change_on_the_way_does_not_throw_it_forward(opened: Page) -> None:
    """Neither do frames that do not come, as in a window in the background."""
    progress = "() => document.querySelector('#live').explorer.progress"
    at_rest(opened)
    opened.click("text=Play")
    opened.wait_for_function("() => document.querySelector('#live').explorer.progress > 0.02")
    before = opened.evaluate(progress)
    opened.check("[name=arrows]")
    opened.evaluate("() => { const until = performance.now() + 1500; while (performance.now() < until); }")
    said(opened)
    assert before < opened.evaluate(progress) < before + 0.25


def test_the_focus_stays_at_the_end_of_the_way(opened: Page) -> None:
    opened.focus("[aria-label='One step back']")
    for _ in range(13):
        opened.keyboard.press("Enter")
    said(opened)
    assert opened.inner_text(".fr-clock") == "coupling 0 of 12"
    assert opened.evaluate("() => document.activeElement.ariaLabel") == "One step back"
    assert opened.get_attribute("[aria-label='One step back']", "aria-disabled") == "true"


def test_keys_stay_in_the_figure(opened: Page) -> None:
    """A notebook would take them for its own: two d delete a cell."""
    opened.evaluate("() => document.addEventListener('keydown', event => window.heard = event.key)")
    opened.focus("canvas")
    opened.keyboard.press("d")
    assert opened.evaluate("() => window.heard") is None


def test_a_screen_reader_is_told_the_last_state(opened: Page) -> None:
    assert opened.get_attribute("canvas", "aria-label") == "Points on their way"
    opened.focus("canvas")
    for _ in range(3):
        opened.keyboard.press("ArrowLeft")
    opened.click("[aria-label='One step back']")
    text = said(opened)
    told = "text => document.querySelector('[role=status]').textContent.endsWith(text)"
    opened.wait_for_function(told, arg=text)
    announced = opened.text_content("[role=status]")
    flow = committed("affine").double()
    state = flow.trajectory(torch.tensor([start_of(opened)], dtype=torch.float64))[22, 0].tolist()[
        ::-1
    ]  # one swap is left
    x, y = re.search(r"coupling 11 of 12. The point is at \((−?[\d.]+), (−?[\d.]+)\)", announced).groups()
    assert [float(n.replace("−", "-")) for n in (x, y)] == pytest.approx(state, abs=0.006)


@pytest.mark.parametrize(
    "opened", [{"name": "matching", "start": {"method": "euler", "late": 1}}], indirect=True
)
def test_the_error_of_a_solver(opened: Page) -> None:
    """The end of one point after some steps, beside a fine solution."""
    field = committed("matching").double()
    z = torch.tensor([start_of(opened)], dtype=torch.float64)
    fine = ode.integrate(field, z, 400)
    for steps in (4, 32):
        opened.select_option("[name=steps]", str(steps))
        error = float((ode.integrate(field, z, steps, "euler") - fine).norm())
        assert float(re.search(r"([\d.]+) from the fine", said(opened))[1]) == pytest.approx(error, rel=0.06)


@pytest.mark.parametrize(
    "opened",
    [{"name": "matching", "start": {"method": "midpoint", "late": 1, "way": "return"}}],
    indirect=True,
)
def test_there_and_back(opened: Page) -> None:
    field = committed("matching").double()
    z = torch.tensor([start_of(opened)], dtype=torch.float64)
    there = ode.integrate(field, z, 12, "midpoint")
    gap = float((ode.integrate(field, there, 12, "midpoint", 1.0, 0.0) - z).norm())
    assert float(re.search(r"back ([\d.]+) from", said(opened))[1]) == pytest.approx(gap, rel=0.06)


@pytest.mark.parametrize(
    ("opened", "least"),
    [
        ({"name": "affine", "start": {"points": "cloud"}}, 80),
        ({"name": "spline_by_class", "start": {"points": "cloud"}}, 95),
        ({"name": "matching_by_class", "start": {"points": "cloud", "ring": 3}}, 88),
        ({"name": "matching", "start": {"points": "cloud", "field": "exact"}}, 94),
    ],
    indirect=["opened"],
)
def test_two_thousand_points(opened: Page, least: float) -> None:
    opened.wait_for_function("() => /Of 2,000/.test(document.querySelector('.fr-said').textContent)")
    assert float(re.search(r"([\d.]+)\s%", said(opened))[1]) > least


@pytest.mark.parametrize("opened", [{"name": name} for name in BUILDERS], indirect=True)
def test_every_choice_can_be_made(opened: Page) -> None:
    """Each choice is drawn, alone and on the way back; an exception would fail the page."""
    choices = """() => [...document.querySelectorAll('select')]
        .map(one => [one.name, [...one.options].map(option => option.value)])"""
    for name, values in opened.evaluate(choices):
        for value in [*values, values[0]]:
            opened.select_option(f"[name={name}]", value)
            said(opened)
    for box in ("arrows", "grid", "density"):
        if opened.is_enabled(f"[name={box}]"):
            opened.check(f"[name={box}]")
    for way in ("backward", "forward"):
        opened.select_option("[name=way]", way)
        at_rest(opened)
    assert opened.evaluate("() => document.querySelector('#live').explorer.picture !== null")


@pytest.mark.parametrize("opened", [{"name": "matching"}], indirect=True)
def test_the_density_is_that_of_the_time(opened: Page) -> None:
    """Also where the time has changed while it was being drawn."""
    opened.check("[name=density]")
    at_rest(opened)
    for progress in (0.2, 0.9):
        opened.evaluate("to => document.querySelector('#live').explorer.seek(to)", progress)
        opened.evaluate("() => new Promise(requestAnimationFrame)")
    at_rest(opened)
    key, due = opened.evaluate(
        "() => (e => [e.picture.key, e.dueDensity])(document.querySelector('#live').explorer)"
    )
    assert key == due == pytest.approx(1 - 0.1**2, abs=0.006)


@pytest.mark.parametrize(("name", "way"), [("matching_by_class", "return"), ("matching_by_class", "forward")])
def test_the_worst_of_five_labels(chromium: Browser, name: str, way: str) -> None:
    tab = chromium.new_page()
    tab.set_content(html(name, way=way, method="euler", late=1, steps=8))
    field, ring = committed(name).double(), torch.arange(5)
    z = torch.tensor([start_of(tab)], dtype=torch.float64).expand(5, 2)
    x = ode.integrate(field, z, 8, "euler", context=ring)
    back = ode.integrate(field, x, 8, "euler", 1.0, 0.0, ring) - z
    missed = back if way == "return" else x - ode.integrate(field, z, 400, context=ring)
    shown = float(re.search(r"worst .*? ([\d.]+) from", said(tab))[1])
    assert shown == pytest.approx(float(missed.norm(dim=1).max()), rel=0.06)
    assert tab.is_disabled("[name=arrows]")
    tab.select_option("[name=ring]", "2")
    assert tab.is_enabled("[name=arrows]")
    tab.close()


@pytest.mark.parametrize("opened", [{"name": "spline", "start": {"x": 3.3, "y": 1.0}}], indirect=True)
def test_a_start_is_in_the_box_of_the_noise(opened: Page) -> None:
    opened.focus("canvas")
    opened.keyboard.press("ArrowRight")
    assert start_of(opened) == (2.5, 1.0)
    assert "Infinity" not in said(opened)


def test_the_exact_field_is_not_judged_by_a_doubtful_solution(chromium: Browser) -> None:
    """Back from off the rings the exact field is too steep for the fine solution as well."""
    tab = chromium.new_page()
    tab.set_content(html("matching", field="exact", way="backward"))
    assert "fine solution" not in said(tab)
    tab.select_option("[name=way]", "forward")
    assert "fine solution" in said(tab)
    tab.close()


def test_going_back_starts_where_the_point_has_arrived(opened: Page) -> None:
    before = re.findall(r"\(.*?\)", said(opened))
    opened.select_option("[name=way]", "backward")
    after = re.findall(r"\(.*?\)", said(opened))
    assert after == before[::-1]


LONG = {"name": "matching", "start": {"points": "cloud", "way": "return", "steps": 64, "autoplay": False}}
BUSY = "() => /computing the points: [1-9]/.test(document.querySelector('.fr-busy').innerText)"
FRAMES = """() => {
    window.frames_drawn = 0;
    const next = () => { window.frames_drawn += 1; requestAnimationFrame(next); };
    next();
}"""


@pytest.mark.parametrize("opened", [LONG], indirect=True)
def test_what_takes_long_says_so_and_can_be_stopped(opened: Page) -> None:
    """Points come in pieces, and the page stays quick; Escape or the button ends it, and takes it up."""
    opened.evaluate(FRAMES)
    opened.wait_for_function(BUSY)
    opened.wait_for_function("() => document.querySelector('#live').explorer.cloud?.count >= 256")
    opened.focus("canvas")
    opened.keyboard.press("Escape")
    count = "() => document.querySelector('#live').explorer.cloud.count"
    there = opened.evaluate(count)
    assert 0 < there < 2000
    stopped = r"() => /^stopped at \d+\s%\s*Go on$/.test(document.querySelector('.fr-busy').innerText)"
    opened.wait_for_function(stopped)  # written with the next frame
    assert f"Half of {there:,} points" in said(opened)
    opened.wait_for_timeout(600)
    assert opened.evaluate(count) == there
    opened.click("text=Go on")
    opened.wait_for_function(f"() => document.querySelector('#live').explorer.cloud.count > {there}")
    opened.click("text=Stop")
    opened.wait_for_function("() => !document.querySelector('#live').explorer.busy")
    # Several frames for each piece of 128 points: it is not the page that computes them.
    assert opened.evaluate("() => window.frames_drawn") > opened.evaluate(count) / 128
    assert opened.evaluate("() => Boolean(document.querySelector('#live').explorer.computer.worker)")
    opened.select_option("[name=steps]", "1")
    opened.wait_for_function("() => /Half of 2,000/.test(document.querySelector('.fr-said').textContent)")
    assert opened.locator(".fr-busy").is_hidden()


def test_a_change_ends_what_was_being_computed(chromium: Browser) -> None:
    tab = chromium.new_page()
    tab.set_content(html("matching", points="cloud", way="return", steps=64))
    tab.wait_for_function(BUSY)
    tab.select_option("[name=way]", "forward")
    tab.select_option("[name=steps]", "2")
    tab.wait_for_function("() => /Of 2,000/.test(document.querySelector('.fr-said').textContent)")
    assert len(tab.evaluate("() => document.querySelector('#live').explorer.cloud.states")) == 3
    tab.close()


@pytest.mark.parametrize("policy", ["worker-src blob:", "worker-src 'none'"])
def test_with_a_worker_and_where_none_is_allowed(chromium: Browser, policy: str) -> None:
    """The same points; where the page has to compute, it does so a little in each frame."""
    tab = chromium.new_page()
    allowed = f"<meta http-equiv='Content-Security-Policy' content=\"{policy}\"><main>"
    tab.set_content(html("matching", points="cloud", grid=True, steps=4).replace("<main>", allowed))
    at_rest(tab)
    assert tab.evaluate("() => Boolean(document.querySelector('#live').explorer.computer.worker)") == (
        "blob" in policy
    )
    field, z = committed("matching").double(), cloud_noise(2000)
    times = 1 - (1 - torch.arange(5, dtype=torch.float64) / 4) ** 2
    x = ode.integrate(field, z[:200], times)
    ours = tab.evaluate("() => [...document.querySelector('#live').explorer.cloud.states.at(-1)]")
    assert (torch.tensor(ours, dtype=torch.float64).view(-1, 2)[:200] - x).abs().max() < 1e-8
    assert len(tab.evaluate("() => document.querySelector('#live').explorer.grid.states")) == 5
    tab.close()


@pytest.mark.parametrize(
    "opened", [{"name": "matching", "start": {"points": "handful", "field": "exact"}}], indirect=True
)
def test_a_long_way_is_followed_while_the_point_is_dragged(opened: Page) -> None:
    """It is computed beside the page: the circle may be ahead of it for a moment, the sentence not."""
    opened.mouse.move(*pixel(opened, *start_of(opened)))
    opened.mouse.down()
    opened.mouse.move(*pixel(opened, 1.0, -0.5), steps=12)
    opened.mouse.up()
    opened.wait_for_function("() => (e => !e.stale && !e.busy)(document.querySelector('#live').explorer)")
    assert start_of(opened) == pytest.approx((1.0, -0.5), abs=0.02)
    at = opened.evaluate(
        "() => (e => [e.settings.x, e.settings.y])(document.querySelector('#live').explorer)"
    )
    assert start_of(opened) == pytest.approx(at, abs=0.006)


def test_stored_ways_are_those_that_would_be_computed(chromium: Browser) -> None:
    field, times = committed("matching"), 1 - (1 - torch.linspace(0, 1, 13)) ** 2
    ways = ode.trajectory(field, cloud_noise(2000).float(), times)
    tab = chromium.new_page()
    start = {"points": "cloud", "at": 0}
    tab.set_content(explorer_html(field, "live", "Points", ["points", "steps"], stored=ways, **start))
    states = "() => document.querySelector('#live').explorer.cloud.states.map(state => [...state])"
    stored = torch.tensor(tab.evaluate(states))  # at once
    assert not tab.evaluate("() => document.querySelector('#live').explorer.busy")
    tab.select_option("[name=steps]", "1")
    at_rest(tab)
    tab.select_option("[name=steps]", "12")
    at_rest(tab)
    computed = torch.tensor(tab.evaluate(states))
    assert stored.shape == computed.shape == (13, 4000)
    assert 0 < (stored - computed).abs().max() < 0.0015
    tab.close()


GUIDED = {"name": "matching_by_class", "start": {"points": "cloud", "ring": 1, "weight": 4, "steps": 32}}


@pytest.mark.parametrize("opened", [GUIDED], indirect=True)
def test_guidance_crowds_at_the_star(opened: Page) -> None:
    """As chapter 10 counts; for other rings there is an outermost place, and for all of them none."""
    opened.wait_for_function("() => /Of 2,000/.test(document.querySelector('.fr-said').textContent)")
    shares = re.search(r"black alone, (\d+)\s% .* the star; evenly spread it would be (\d+)\s%", said(opened))
    assert int(shares[1]) > 80
    assert int(shares[2]) == pytest.approx(23, abs=1)
    for ring, words in (("2", "outermost"), ("-1", "")):
        opened.select_option("[name=steps]", "1")
        opened.select_option("[name=ring]", ring)
        at_rest(opened)
        assert ("evenly" in said(opened), words in said(opened)) == (bool(words), True)


TABLES = ["points", "method", "steps", "field", "rows", "ring", "arrows", "grid"]


@pytest.fixture
def table_page(chromium: Browser) -> Iterator[Page]:
    """A page with the field of a table."""
    seen = Opened(chromium.new_page())
    start = {"points": "cloud", "steps": 24, "late": 3}
    seen.tab.set_content(in_a_page(explorer_html(TABLE, "live", "A table", TABLES, **start)))
    yield seen.tab
    seen.tab.close()
    assert seen.errors == []


@pytest.mark.parametrize("rows", [1, 20, 1000])
@pytest.mark.parametrize("field", ["learned", "exact"])
def test_what_is_said_of_a_table(table_page: Page, field: str, rows: int) -> None:
    """The sentence beside the ends on the screen: half are so near to the table, so many rows are reached."""
    table_page.select_option("[name=rows]", str(rows))
    table_page.select_option("[name=field]", field)
    at_rest(table_page)
    end = table_page.evaluate("() => [...document.querySelector('#live').explorer.cloud.states.at(-1)]")
    x = torch.tensor(end, dtype=torch.float64).view(-1, 2)
    near = torch.cdist(x, TABLE.points[:rows]).min(1)
    told = said(table_page)
    middle = float(near.values.sort().values[1000])
    assert float(re.search(r"within ([\d.]+) of", told)[1]) == pytest.approx(middle, rel=0.06)
    found = re.search(r"([\d,]+) of these are reached", told)
    if field == "learned" and rows > 1:
        assert int(found[1].replace(",", "")) == len(near.indices.unique())
    else:
        assert found is None
    share = OlympicRings().covers(x).any(1).double().mean()
    assert float(re.search(r"([\d.]+)\s% end on a ring", told)[1]) == pytest.approx(
        100 * float(share), abs=0.06
    )
    way = table_page.evaluate("() => [...document.querySelector('#live').explorer.trace().states.at(-1)]")
    own = torch.cdist(torch.tensor([way], dtype=torch.float64), TABLE.points[:rows]).min()
    assert float(re.search(r"That is ([\d.]+) from", told)[1]) == pytest.approx(float(own), rel=0.06)


def test_every_choice_of_a_table_can_be_made(table_page: Page) -> None:
    choices = """() => [...document.querySelectorAll('select')]
        .map(one => [one.name, [...one.options].map(option => option.value)])"""
    offered = dict(table_page.evaluate(choices))
    assert offered["rows"] == ["1", "5", "20", "50", "200", "1000"]
    assert table_page.input_value("[name=rows]") == "50"
    table_page.select_option("[name=points]", "handful")
    for name, values in offered.items():
        for value in [*values, values[0]]:
            table_page.select_option(f"[name={name}]", value)
            said(table_page)
    for box in ("arrows", "grid"):
        table_page.check(f"[name={box}]")
    at_rest(table_page)


def test_a_small_table_offers_what_it_has() -> None:
    few = EmpiricalPath(TABLE.points[:7])
    assert describe(few)["offers"] == [1, 5, 7]
    assert '"start": {"rows": 7}' in explorer_html(few, "live", "label", ["rows"])
    assert describe(EmpiricalPath(TABLE.points[:1]))["offers"] == [1]


def test_the_picture_of_a_table_ends_at_its_points() -> None:
    page = explorer_html(TABLE, "live", "label", ["rows"], rows=5)
    ends = [[float(x), -float(y)] for x, y in re.findall(r'cx="(\S+)" cy="(\S+)"', page)]
    assert len(ends) == 40
    assert torch.cdist(torch.tensor(ends).double(), TABLE.points[:5]).min(1).values.max() < 0.01


MAPS = ["points", "steps", "grid"]
NOISE = ["points", "level", "push", "steps", "field", "density"]


@pytest.fixture
def special_page(chromium: Browser, request: pytest.FixtureRequest) -> Iterator[Page]:
    """A page with the figure of a map, or of noise on the field of chapter 8."""
    kind, start = request.param
    model, controls = (wild_map(), MAPS) if kind == "map" else (committed("matching"), NOISE)
    seen = Opened(chromium.new_page())
    seen.tab.set_content(in_a_page(explorer_html(model, "live", "A figure", controls, late=1, **start)))
    yield seen.tab
    seen.tab.close()
    assert seen.errors == []


def ends_of(page: Page, what: str) -> Tensor:
    got = page.evaluate(f"() => [...document.querySelector('#live').explorer.{what}]")
    return torch.tensor(got, dtype=torch.float64).view(-1, 2)


def number_in(pattern: str, text: str) -> float:
    return float(re.search(pattern, text)[1].replace("−", "-"))


OF_A_MAP = [("map", {"points": "cloud", "steps": 1})]


@pytest.mark.parametrize("special_page", OF_A_MAP, indirect=True)
@pytest.mark.parametrize("jumps", [1, 4])
def test_what_is_said_of_a_map(special_page: Page, jumps: int) -> None:
    special_page.select_option("[name=steps]", str(jumps))
    at_rest(special_page)
    told = said(special_page)
    end, exact = (ends_of(special_page, f"cloud.{what}") for what in ("states.at(-1)", "exact"))
    assert (end - wild_map().double().carry(cloud_noise(2000), jumps)).abs().max() < 1e-8
    off, on = (end - exact).norm(dim=1), OlympicRings().covers(exact).any(1).double().mean()
    assert number_in(r"Half miss their exact ends by less than ([\d.]+),", told) == pytest.approx(
        float(off.sort().values[1000]), rel=0.06
    )
    far = 100 * float((off > 0.2).double().mean())
    assert number_in(r"([\d.]+)\s% by more than 0.2", told) == pytest.approx(far, abs=0.06)
    assert number_in(r"exact ends ([\d.]+)\s%", told) == pytest.approx(100 * float(on), abs=0.06)
    assert (
        ends_of(special_page, "cloud.missed.flatMap(i => [i, i])")[:, 0].tolist()
        == off.gt(0.2).nonzero().flatten().tolist()
    )


@pytest.mark.parametrize("special_page", OF_A_MAP, indirect=True)
def test_a_handful_beside_its_exact_ends(special_page: Page) -> None:
    special_page.select_option("[name=points]", "handful")
    at_rest(special_page)
    told = said(special_page)
    end, exact = ends_of(special_page, "trace().states.at(-1)"), ends_of(special_page, "trace().exact")
    off = (end - exact).norm(dim=1)
    assert len(end) == 37
    assert number_in(r"to \(.*?\), ([\d.]+) from there", told) == pytest.approx(float(off[0]), rel=0.06)
    assert number_in(r"the worst by ([\d.]+)\.", told) == pytest.approx(float(off.max()), rel=0.06)
    rings = OlympicRings()
    by_map, by_flow = (int(rings.covers(x).any(1).sum()) for x in (end, exact))
    assert f"the map takes {by_map} onto a ring, and the exact flow {by_flow};" in told


@pytest.mark.parametrize("special_page", [("noise", {"points": "cloud", "steps": 64})], indirect=True)
def test_what_is_said_of_a_crowd_with_noise(special_page: Page) -> None:
    """Its width is the path's where it is pushed, and too large where it is not."""
    special_page.select_option("[name=field]", "exact")
    wide = {}
    for push in (True, False):
        special_page.set_checked("[name=push]", push)
        special_page.evaluate("() => document.querySelector('#live').explorer.seek(0.8)")
        at_rest(special_page)
        told = said(special_page)
        x = ends_of(special_page, "now(document.querySelector('#live').explorer.cloud.states)")
        wide[push] = number_in(r"the middle is ([\d.]+)", told)
        assert wide[push] == pytest.approx(float(x.square().sum(1).mean().sqrt()), abs=0.006)
        path = RingsPath(OlympicRings()).sample(100_000, 0.995 * 0.8)[0]
        exact = number_in(r"exact path is (\d\.\d+)", told)
        assert exact == pytest.approx(float(path.square().sum(1).mean().sqrt()), abs=0.015)
    assert wide[True] == pytest.approx(exact, rel=0.05)
    assert wide[False] > 1.5 * exact


@pytest.mark.parametrize("special_page", [("noise", {"points": "handful", "steps": 64})], indirect=True)
def test_ways_from_one_start_part_with_the_level(special_page: Page) -> None:
    """A slider by keys: at level 0 all are one; the same setting shows the same ways."""
    assert re.search(r"The 5 ways from there reach [2-5] of the five rings", said(special_page))
    before = ends_of(special_page, "trace().states.at(-1)")
    special_page.focus("[name=level]")
    special_page.keyboard.press("Home")
    assert "All 5 ways from there are one." in said(special_page)
    assert special_page.get_attribute("[name=level]", "aria-valuetext") == "0"
    for _ in range(4):
        special_page.keyboard.press("ArrowRight")
    said(special_page)
    assert special_page.inner_text(".fr-choices label:has([name=level])").strip() == "Level κ = 1"
    assert (ends_of(special_page, "trace().states.at(-1)") - before).abs().max() == 0


@pytest.mark.parametrize("special_page", [*OF_A_MAP, ("noise", {"steps": 8})], indirect=True)
def test_every_choice_of_a_map_and_of_noise_can_be_made(special_page: Page) -> None:
    choices = """() => [...document.querySelectorAll('select')]
        .map(one => [one.name, [...one.options].map(option => option.value)])"""
    offered = dict(special_page.evaluate(choices))
    assert offered["steps"] in (["1", "2", "4", "8"], ["8", "16", "32", "64", "128", "256"])
    for name, values in offered.items():
        for value in [*values, values[0]]:
            special_page.select_option(f"[name={name}]", value)
            special_page.evaluate("() => document.querySelector('#live').explorer.seek(0.5)")
            said(special_page)
    for box in special_page.locator("[type=checkbox]").all():
        box.set_checked(not box.is_checked())
        at_rest(special_page)


@pytest.mark.parametrize("width", [320, 390, 760, 1280])
def test_no_control_stands_alone_in_its_row_and_none_is_cut(chromium: Browser, width: int) -> None:
    every = [c for c in CONTROLS if c not in ("weight", *ELSEWHERE)]
    for controls in (every[:2], every[:5], every[:6], every[:7], every, NOISE):
        tab = chromium.new_page(viewport={"width": width, "height": 900})
        tab.set_content(html("matching", controls))
        boxes = tab.eval_on_selector_all(
            ".fr-choices label",
            "all => all.map(one => (r => [r.bottom, r.left, r.right])(one.getBoundingClientRect()))",
        )
        rows = [round(bottom) for bottom, _, _ in boxes]
        assert all(rows.count(row) > 1 for row in rows)
        assert min(left for _, left, _ in boxes) >= 0
        assert max(right for _, _, right in boxes) <= width
        assert tab.evaluate("() => document.documentElement.scrollWidth") <= width
        tab.close()


@pytest.mark.parametrize(
    ("touch", "keys", "words"),
    [(False, False, "click"), (True, False, "tap"), (False, True, "Shift"), (True, True, "Shift")],
)
def test_the_hint_speaks_of_what_the_reader_has(
    chromium: Browser, touch: bool, keys: bool, words: str
) -> None:
    context = chromium.new_context(has_touch=touch, is_mobile=touch)
    tab = context.new_page()
    tab.set_content(html("affine"))
    if keys:
        tab.keyboard.press("Tab")
    shown = """() => [...document.querySelectorAll('.fr-hint span')]
        .filter(one => getComputedStyle(one).visibility === 'visible').map(one => one.textContent)"""
    hints = tab.evaluate(shown)
    assert len(hints) == 1
    assert words in hints[0]
    context.close()


def test_the_ring_of_the_focus_is_whole(opened: Page) -> None:
    """Inside the canvas, which fills its frame, and inside the frame everywhere else."""
    around = """() => {
        const one = document.activeElement, style = getComputedStyle(one);
        const out = parseFloat(style.outlineWidth) + parseFloat(style.outlineOffset);
        const inner = one.getBoundingClientRect(), frame = one.closest('.fr-live').getBoundingClientRect();
        return [inner.left - out - frame.left, frame.right - inner.right - out];
    }"""
    for _ in range(12):
        opened.keyboard.press("Tab")
        if opened.evaluate("() => Boolean(document.activeElement.closest('.fr-live'))"):
            assert min(opened.evaluate(around)) >= 0


def test_a_figure_has_a_caption() -> None:
    page = explorer_html(affine_flow(couplings=1), "one", "label", ["grid"], caption="Where p < 1 & w > 0.")
    assert '<figure class="fr-explorer" id="one"><div class="fr-live"><svg' in page
    assert "Where p &lt; 1 &amp; w &gt; 0.</p></figcaption></figure>" in page
    assert (
        "figcaption"
        not in explorer_html(affine_flow(couplings=1), "one", "label", ["grid"]).split("<script")[0]
    )


def test_live_figures_are_numbered_by_chapter() -> None:
    one, two = (explorer_html(affine_flow(couplings=1), name, "", ["grid"], caption="Seen.") for name in "ab")
    bare = explorer_html(affine_flow(couplings=1), "c", "", ["grid"])
    page = number_live_figures(one + bare + two, Path("07_continuous_flows.html"))
    assert re.findall(r"Live figure[^<]*</span>Seen\.<a[^>]*>", page) == [
        f'Live figure 7.{n} </span>Seen.<a class="headerlink" href="#{name}" title="Link to this figure">'
        for n, name in ((1, "a"), (2, "b"))
    ]
    assert '"caption-number"></span>Seen.' in number_live_figures(one, Path("intro.html"))


def test_without_scripts_there_is_a_picture(chromium: Browser) -> None:
    context = chromium.new_context(java_script_enabled=False)
    tab = context.new_page()
    tab.set_content(html("matching"))
    picture = tab.get_by_role("img", name="Points on their way")
    assert picture.bounding_box()["width"] > 300
    assert picture.locator("path").count() == 40
    context.close()


@pytest.mark.parametrize("name", BUILDERS)
def test_what_a_page_weighs(name: str) -> None:
    assert len(html(name).encode()) - len(SCRIPT.encode()) <= WHAT_A_PAGE_MAY_WEIGH


def test_what_a_page_with_a_map_weighs() -> None:
    page = explorer_html(FlowMap(), "live", "A map", MAPS)  # of the size of chapter 18's
    assert len(page.encode()) - len(SCRIPT.encode()) <= WHAT_A_PAGE_MAY_WEIGH


def test_what_the_script_weighs() -> None:
    assert len(SCRIPT.encode()) <= WHAT_THE_SCRIPT_MAY_WEIGH


def test_several_in_one_page(tmp_path: Path, chromium: Browser) -> None:
    """Opened as a file: each goes its own way, with the one script that came first."""
    models = {"one": "affine", "two": "matching", "three": "affine"}
    figures = [explorer_html(committed(model), name, name, ["way"]) for name, model in models.items()]
    path = tmp_path / "page.html"
    path.write_text("<!doctype html><meta charset=utf-8>" + "\n".join(figures), encoding="utf-8")
    tab = chromium.new_page()
    errors: list[str] = []
    tab.on("pageerror", lambda error: errors.append(str(error)))
    tab.goto(path.as_uri())
    tab.focus("#two canvas")
    tab.keyboard.press("ArrowUp")
    at = "name => (e => [e.settings.x, e.settings.y])(document.getElementById(name).explorer)"
    starts = {name: tab.evaluate(at, name) for name in models}
    assert starts["one"] == starts["three"] == pytest.approx([-0.6, 1.6])
    assert starts["two"] == pytest.approx([-0.6, 1.7])
    assert tab.locator("#fr-style").count() == 1
    assert tab.locator("canvas").count() == 3
    assert errors == []
    tab.close()


def test_the_same_page_every_time() -> None:
    assert html("spline") == html("spline")


def test_text_in_a_label_stays_text() -> None:
    text = explorer_html(affine_flow(couplings=2), "live", "</script><b>&", ["grid"])
    assert text.count("</script>") == 2  # its own two
    data = re.search(r'json" id="live-data">(.*?)</script>', text)[1]
    assert json.loads(data)["label"] == "</script><b>&"


def test_what_it_cannot_show() -> None:
    flow = affine_flow(couplings=2)
    with pytest.raises(ValueError, match="controls holds .*'speed'"):
        explorer_html(flow, "live", "label", ["speed"])
    with pytest.raises(ValueError, match="controls holds .*'steps'"):
        explorer_html(flow, "live", "label", ["steps"])
    with pytest.raises(ValueError, match="controls holds .*'weight'"):
        explorer_html(VelocityField(), "live", "label", ["weight"])  # it knows no labels
    with pytest.raises(ValueError, match="controls holds .*'rows'"):
        explorer_html(VelocityField(), "live", "label", ["rows"])
    with pytest.raises(ValueError, match="controls holds .*'way'"):
        explorer_html(TABLE, "live", "label", ["way"])
    with pytest.raises(ValueError, match="controls holds .*'field'"):
        explorer_html(FlowMap(), "live", "label", ["points", "field"])
    for wrong in ("way", "method"):
        with pytest.raises(ValueError, match=f"controls holds .*'{wrong}'"):
            explorer_html(VelocityField(), "live", "label", ["level", wrong])
    with pytest.raises(ValueError, match="rows is 51; this table offers .*50"):
        explorer_html(TABLE, "live", "label", ["rows"], rows=51)
    with pytest.raises(ValueError, match="start holds .*'way'"):
        explorer_html(TABLE, "live", "label", ["rows"], way="backward")
    with pytest.raises(ValueError, match="dim 3"):
        describe(EmpiricalPath(torch.zeros(4, 3)))
    for wrong in ({"way": "sideways"}, {"point": "cloud"}, {"steps": "many"}):
        with pytest.raises(ValueError, match="no such setting"):
            explorer_html(flow, "live", "label", ["grid"], **wrong)
    with pytest.raises(ValueError, match="dim 3"):
        describe(affine_flow(dim=3, couplings=2))
    with pytest.raises(TypeError, match="Linear"):
        describe(nn.Linear(2, 2))
    layer = Coupling(2, hidden=4, depth=1, classes=0, features=0, frequencies=0, reach=3.0, numbers=2)
    with pytest.raises(TypeError, match="holds a Coupling"):
        describe(NormalizingFlow([layer]))


# In the book.


def shows_it(page: str) -> bool:
    notebook = ROOT / f"{page}.ipynb"
    return page == "book/intro" or notebook.exists() and "explore(" in notebook.read_text(encoding="utf-8")


IN_THE_BOOK = [page for page in pages() if shows_it(page)]
CONTRAST = """() => {
    const numbers = colour => colour.match(/[\\d.]+/g).map(Number);
    const weights = [0.2126, 0.7152, 0.0722];
    const light = parts => weights.reduce((sum, weight, i) => sum + weight * (parts[i] / 255) ** 2.2, 0);
    const ground = part => {
        const [r, g, b, opacity = 1] = numbers(getComputedStyle(part).backgroundColor);
        return opacity > 0.5 || !part.parentElement ? [r, g, b] : ground(part.parentElement);
    };
    return [...document.querySelectorAll('.fr-explorer :is(label, button, select, p, canvas)')].map(part => {
        const pair = [light(numbers(getComputedStyle(part).color)), light(ground(part))];
        return [part.className || part.tagName, (Math.max(...pair) + 0.05) / (Math.min(...pair) + 0.05)];
    });
}"""


def test_it_stands_where_it_teaches() -> None:
    found = [re.search(r"\d+|intro", page)[0] for page in IN_THE_BOOK]
    assert found == ["intro", "03", "05", "08", "09", "10", "11", "12", "13", "17", "18", "19"]
    told = (ROOT / "book" / "how_to_use.md").read_text(encoding="utf-8").replace("\n", " ")
    assert "There are twelve, in the introduction and in Chapters 3, 5, 8 to 13 and 17 to 19," in told


@pytest.fixture(params=IN_THE_BOOK)
def in_the_book(request: pytest.FixtureRequest, built: Path) -> str:
    return (built / f"{request.param}.html").as_uri()


def test_it_is_ready_when_the_page_is(chromium: Browser, in_the_book: str) -> None:
    tab = chromium.new_page()
    tab.add_init_script("""addEventListener('load', () => {
        window.readyAtLoad = document.querySelector('.fr-explorer').dataset.ready;
    })""")
    tab.goto(in_the_book)
    assert tab.evaluate("() => window.readyAtLoad") == "true"
    tab.close()


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_it_can_be_read(chromium: Browser, in_the_book: str, scheme: str) -> None:
    tab = chromium.new_page(color_scheme=scheme)
    tab.goto(in_the_book)
    tab.wait_for_function("scheme => document.documentElement.dataset.theme === scheme", arg=scheme)
    found = tab.evaluate(CONTRAST)
    assert len(found) > 4
    assert [pair for pair in found if pair[1] < 4.5] == []
    tab.close()


def test_it_is_used_in_the_book(chromium: Browser, in_the_book: str) -> None:
    """By mouse and keyboard on a wide page, by touch on a narrow one."""
    for options in ({}, {"has_touch": True, "viewport": {"width": 390, "height": 800}}):
        context = chromium.new_context(**options)
        tab = context.new_page()
        tab.goto(in_the_book)
        # At once: the theme scrolls smoothly, and the place would move under the mouse.
        middle = "one => one.scrollIntoView({ behavior: 'instant', block: 'center' })"
        tab.locator(".fr-explorer canvas").evaluate(middle)
        (tab.touchscreen.tap if options else tab.mouse.click)(*pixel(tab, 1.0, -0.5))
        assert start_of(tab) == pytest.approx((1.0, -0.5), abs=0.03)
        tab.focus(".fr-explorer canvas")
        tab.keyboard.press("ArrowUp")
        assert start_of(tab) == pytest.approx((1.0, -0.4), abs=0.03)
        context.close()
