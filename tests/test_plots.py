"""Figures: every function draws what it was given, shows it, and leaves nothing behind."""

import base64
import re
from collections.abc import Callable, Iterator
from io import BytesIO
from xml.etree import ElementTree

import matplotlib
import matplotlib.pyplot as plt
import numpy as np
import pytest
import torch
from matplotlib.axes import Axes
from matplotlib.colors import to_hex
from matplotlib.figure import Figure
from matplotlib.text import Text
from nbclient import NotebookClient
from nbformat.v4 import new_code_cell, new_notebook
from PIL import Image
from torch import Tensor

from helpers import plots
from helpers.rings import NAMES, OlympicRings

pytestmark = pytest.mark.filterwarnings("error")
STAR = OlympicRings().star


def double(z: Tensor) -> tuple[Tensor, Tensor]:
    """A map whose picture is known: twice as wide, and log(x + 3) on the colour scale."""
    return 2 * z, (z[:, 0] + 3).log()


def standard(x: Tensor) -> Tensor:
    return torch.exp(-x.square() / 2) / (2 * torch.pi) ** 0.5


POINTS, LABELS = torch.randn(40, 2), torch.arange(40) % 5
CALLS: dict[str, list[Callable[[], object]]] = {
    "samples": [
        lambda: plots.samples({"plain": POINTS}),
        lambda: plots.samples({"a": (POINTS, LABELS), "b": POINTS, "c": POINTS}, star=STAR),
    ],
    "densities": [
        lambda: plots.densities({"truth": OlympicRings().log_prob}, star=STAR, resolution=40),
        lambda: plots.densities({"a": lambda x: x[:, 0], "b": lambda x: x[:, 1]}, columns=2, resolution=40),
    ],
    "grids": [
        lambda: plots.grids({"one": double}, cells=4),
        lambda: plots.grids({"one": double, "two": double, "three": double}, cells=4),
    ],
    "curves": [
        lambda: plots.curves({"model": ([1.0, 2.0, 3.0], [3.0, 2.0, 1.5])}, "step", "nats"),
        lambda: plots.curves(
            {"model": ([1.0, 2.0], [3.0, 2.0]), "other": ([1.0, 2.0], [2.0, 1.0])},
            "step",
            "nats",
            floor=("entropy", 1.4),
            log="xy",
            y_range=(1.0, 4.0),
        ),
    ],
    "histograms": [
        lambda: plots.histograms({"z": (POINTS[:, 0], standard, (-3.0, 3.0))}),
        lambda: plots.histograms(dict.fromkeys("abc", (POINTS[:, 0], standard, (-3.0, 3.0))), x_label="x"),
    ],
    "trajectories": [
        lambda: plots.trajectories(torch.randn(4, 2, 2), ["here", "there"]),
        lambda: plots.trajectories(torch.randn(4, 2, 2), ["here", "there"], reach=4.0),
        lambda: plots.trajectories(torch.randn(4, 9, 2)),
    ],
    "maps": [
        lambda: plots.maps({"a": lambda x: x[:, 0]}, "value", -1.0, 1.0, star=STAR, resolution=40),
        lambda: plots.maps({"a": lambda x: x[:, 0]}, "value", 0.0, 1.0, resolution=40, reach=3.0),
    ],
    "fields": [
        lambda: plots.fields({"one": lambda x: -x}),
        lambda: plots.fields(dict.fromkeys("abc", lambda x: -x), reach=3.0, arrows=8),
    ],
    "columns": [
        lambda: plots.columns({"a": {"data": POINTS[:, 0]}}),
        lambda: plots.columns(dict.fromkeys("abc", {"data": POINTS[:, 0], "model": POINTS[:, 1]}), bins=9),
    ],
    "scatter": [
        lambda: plots.scatter({"one": (POINTS, "u (m)", "v (m)")}),
        lambda: plots.scatter(dict.fromkeys("abc", (POINTS, "u", "v"))),
    ],
    "images": [lambda: plots.images(dict.fromkeys("ab", torch.rand(5, 8, 8)), highest=0.9)],
    "ways": [
        lambda: plots.ways({"one": torch.randn(4, 5, 2), "two": torch.randn(2, 5, 2)}, star=True),
        lambda: plots.ways(dict.fromkeys("abc", torch.randn(4, 3, 2)), columns=3),
    ],
    "stacked": [
        lambda: plots.stacked({"one": {"a": 1.0, "b": 0.5}, "two": {"a": 0.2, "b": 0.1}}, "cost"),
        lambda: plots.stacked(dict.fromkeys("xyz", dict.fromkeys("abcd", 1.0)), "cost"),
    ],
    "heatmap": [lambda: plots.heatmap(torch.randn(3, 4), "step", "layer", "nats", 2.0)],
}
every_call = pytest.mark.parametrize(
    "call",
    [pytest.param(call, id=f"{name}-{i}") for name, calls in CALLS.items() for i, call in enumerate(calls)],
)


@pytest.fixture(autouse=True)
def headless() -> Iterator[None]:
    before = matplotlib.get_backend()
    plt.switch_backend("Agg")
    yield
    plt.close("all")
    plt.switch_backend(before)


@pytest.fixture
def shown(monkeypatch: pytest.MonkeyPatch) -> list[Figure]:
    """The figures that were shown, drawn at the moment they were."""
    figures: list[Figure] = []

    def show() -> None:
        figures.append(plt.gcf())
        plt.gcf().canvas.draw()

    monkeypatch.setattr(plt, "show", show)
    return figures


def panels(figure: Figure) -> list[Axes]:
    """The axes with a title: neither colour bars nor spare places."""
    return [ax for ax in figure.axes if ax.get_title(loc="left")]


def test_every_public_function_is_called_here() -> None:
    assert set(CALLS) == set(plots.__all__) - {"as_svg"}  # which draws nothing


def test_no_curve_is_left_out_however_many_there_are(shown: list[Figure]) -> None:
    plots.curves({f"curve {i}": ([0.0, 1.0], [0.0, float(i)]) for i in range(9)}, "x", "y")
    assert len(shown[0].axes[0].lines) == 9


def test_a_figure_that_fails_is_not_left_open() -> None:
    plt.figure(7)
    with pytest.raises(ZeroDivisionError):
        plots.densities({"truth": lambda x: 1 / 0}, resolution=4)
    assert plt.get_fignums() == [7]  # somebody else's stays


@every_call
def test_a_figure_is_shown_once_and_nothing_is_left_behind(
    call: Callable[[], object], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where showing a figure does not close it, as it does in a notebook, the function has to."""
    shows = []
    monkeypatch.setattr(plt, "show", lambda: shows.append(len(plt.get_fignums())))
    settings = dict(matplotlib.rcParams)
    assert call() is None
    assert shows == [1]
    assert plt.get_fignums() == []
    assert dict(matplotlib.rcParams) == settings


@every_call
def test_a_figure_stands_on_a_transparent_ground(call: Callable[[], object], shown: list[Figure]) -> None:
    call()
    (figure,) = shown
    file = BytesIO()
    figure.savefig(file, format="png", dpi=50)
    file.seek(0)
    alpha = plt.imread(file)[..., 3]
    assert not alpha[[0, 0, -1, -1], [0, -1, 0, -1]].any() and alpha.max() > 0.9
    assert all(ax.get_facecolor()[3] == 0 for ax in figure.axes)


@every_call
def test_titles_and_axes_are_mid_grey_on_any_ground(call: Callable[[], object], shown: list[Figure]) -> None:
    call()
    for ax in shown[0].axes:
        colours = {to_hex(text.get_color()) for text in ax.findobj(Text) if text.get_text()}
        assert colours <= {plots.INK}
    red, green, blue = (int(plots.INK[i : i + 2], 16) for i in (1, 3, 5))
    assert red == green == blue and 0x60 < red < 0xA0


def test_each_ring_keeps_its_own_colour_blind_safe_colour(shown: list[Figure]) -> None:
    okabe_ito = {"blue": "#0072b2", "red": "#d55e00", "yellow": "#e69f00", "green": "#009e73"}
    plots.samples({"rings": (POINTS, LABELS)})
    (scatter,) = panels(shown[0])[0].collections
    assert np.allclose(scatter.get_offsets(), POINTS)
    colours = [to_hex(colour) for colour in scatter.get_facecolors()]
    for name, colour in zip([NAMES[c] for c in LABELS.tolist()], colours):
        expected = okabe_ito.get(name)
        assert colour == expected if expected else len(set(colour[1::2] + colour[2::2])) <= 2  # a grey


def test_density_maps_have_x_across_and_y_up(shown: list[Figure]) -> None:
    plots.densities({"x": lambda x: x[:, 0] - 3, "y": lambda x: 3 * x[:, 1] - 4}, resolution=60, lowest=-6.0)
    (across,), (up,) = (ax.images for ax in panels(shown[0]))
    left, right, bottom, top = across.get_extent()
    x, y = (
        np.linspace(low, high, n)
        for low, high, n in zip((left, bottom), (right, top), across.get_size()[::-1])
    )
    assert across.origin == "lower"
    assert np.allclose(across.get_array(), np.maximum(x - 3, -6)[None], atol=1e-5)
    assert np.allclose(up.get_array(), np.maximum(3 * y - 4, -6)[:, None], atol=1e-5)
    assert across.get_clim() == up.get_clim() == (-6, 0)


def test_arrows_point_where_the_field_does_and_are_coloured_by_its_speed(shown: list[Figure]) -> None:
    plots.fields({"in": lambda x: -x}, reach=3.0, arrows=6, fastest=2.0)
    (arrows,) = (c for c in panels(shown[0])[0].collections if hasattr(c, "U"))
    x, v = np.stack([arrows.X, arrows.Y], 1), np.stack([arrows.U, arrows.V], 1)
    speed = np.linalg.norm(x, axis=1)
    assert np.allclose(arrows.get_array(), speed, atol=1e-5) and arrows.get_clim() == (0, 2)
    assert np.allclose(v, -x * np.minimum(1, 2 / speed)[:, None], atol=1e-5)  # cut to the fastest


def test_grids_are_moved_by_the_map_and_coloured_by_its_log_det(shown: list[Figure]) -> None:
    plots.grids({"twice": double}, reach=1.0, cells=2)
    (mesh,) = panels(shown[0])[0].collections
    line = np.array([-2.0, 0.0, 2.0])
    assert np.allclose(mesh.get_coordinates(), np.stack(np.meshgrid(line, line), axis=-1))
    assert np.allclose(mesh.get_array(), np.log([[2.5, 3.5], [2.5, 3.5]]), atol=1e-6)


def test_curves_are_the_numbers_given_with_the_floor_dotted_at_its_height(shown: list[Figure]) -> None:
    plots.curves(
        {"model": ([1.0, 2.0, 4.0], [3.0, 2.0, 1.0])}, "step", "nats", floor=("entropy", 0.5), log="x"
    )
    ax = shown[0].axes[0]
    model, floor = ax.lines
    assert np.array_equal(model.get_xydata(), [[1, 3], [2, 2], [4, 1]])
    assert set(floor.get_ydata()) == {0.5} and floor.get_linestyle() == ":"
    assert (ax.get_xscale(), ax.get_yscale()) == ("log", "linear")
    assert (ax.get_xlabel(), ax.get_ylabel()) == ("step", "nats")
    named = {text.get_text(): text.get_position()[1] for text in ax.texts}
    assert set(named) == {"model", "entropy"} and named["model"] > named["entropy"]  # as the ends lie


def test_a_histogram_has_the_area_of_the_share_in_its_range(shown: list[Figure]) -> None:
    """Half of the values lie in the range, so the bars cover half of the density's area."""
    values = torch.cat([torch.rand(500), 5 + torch.rand(500)])
    plots.histograms({"u": (values, torch.ones_like, (0.0, 1.0))})
    ax = shown[0].axes[0]
    heights, edges, _ = ax.patches[0].get_data()
    assert np.sum(heights * np.diff(edges)) == pytest.approx(0.5)
    assert np.allclose(ax.lines[0].get_ydata(), 1)


def test_images_stand_in_a_row_with_gaps_between(shown: list[Figure]) -> None:
    row = torch.arange(8.0).view(2, 2, 2)
    plots.images({"two of them": row}, highest=7)
    (image,) = shown[0].axes[0].images
    strip = image.get_array().filled(np.nan)
    assert np.array_equal(strip, [[0, 1, np.nan, 4, 5], [2, 3, np.nan, 6, 7]], equal_nan=True)
    assert image.get_clim() == (0, 7)


def test_the_first_row_of_a_heatmap_stands_at_the_bottom(shown: list[Figure]) -> None:
    plots.heatmap(torch.tensor([[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]]), "step", "layer", "nats", 6.0)
    (image,) = shown[0].axes[0].images
    assert image.origin == "lower" and tuple(image.get_extent()) == (0.5, 3.5, 0.5, 2.5)
    assert np.array_equal(image.get_array(), [[1, 2, 3], [4, 5, 6]]) and image.get_clim() == (-6, 6)


def test_a_trajectory_starts_in_an_open_circle_and_ends_in_a_dot(shown: list[Figure]) -> None:
    paths = torch.tensor([[[0.0, 0.0]], [[1.0, 0.0]], [[1.0, 1.0]]])
    plots.trajectories(paths, ["one"])
    line, start, end = shown[0].axes[0].lines
    assert line.get_xydata().tolist() == paths[:, 0].tolist()
    assert start.get_xydata().tolist() == [[0.0, 0.0]] and start.get_markerfacecolor() == "none"
    assert end.get_xydata().tolist() == [[1.0, 1.0]] and end.get_markerfacecolor() != "none"


def test_ways_draw_every_path_and_the_stars_in_its_colour(shown: list[Figure]) -> None:
    paths = torch.randn(4, 3, 2)
    plots.ways({"one": paths}, star=True)
    drawn = [line for line in shown[0].axes[0].lines if len(line.get_xdata()) == 4]
    assert len(drawn) == 3
    for line, path in zip(drawn, paths.unbind(1)):
        np.testing.assert_allclose(line.get_xydata(), path.numpy())
    assert [line.get_color() == plots.STAR for line in drawn] == [True, False, False]


def test_stacked_bars_begin_where_the_part_before_ends(shown: list[Figure]) -> None:
    plots.stacked({"one": {"a": 1.0, "b": 0.5}, "two": {"a": 0.25, "b": 2.0}}, "cost")
    bars = [(bar.get_x(), bar.get_width()) for bar in shown[0].axes[0].patches]
    assert bars == [(0.0, 1.0), (0.0, 0.25), (1.0, 0.5), (0.25, 2.0)]
    top, below = (label.get_text() for label in shown[0].axes[0].get_yticklabels())
    assert (top, below) == ("one", "two") and shown[0].axes[0].yaxis_inverted()


def test_trajectories_open_a_window_about_a_point(shown: list[Figure]) -> None:
    plots.trajectories(torch.randn(3, 2, 2), reach=0.5, about=(1.0, -2.0))
    ax = shown[0].axes[0]
    assert (*ax.get_xlim(), *ax.get_ylim()) == (0.5, 1.5, -2.5, -1.5)


def test_trajectories_with_labels_take_the_colours_of_their_rings(shown: list[Figure]) -> None:
    plots.trajectories(torch.randn(3, 2, 2), ["red", "blue"], ring=torch.tensor([2, 0]))
    colours = [line.get_color() for line in shown[0].axes[0].lines]
    assert colours == ["#D55E00"] * 3 + ["#0072B2"] * 3


@pytest.mark.parametrize(("last", "shown_minor"), [(9.0, True), (1000.0, False)])
def test_a_logarithmic_axis_is_marked_in_plain_numbers(
    shown: list[Figure], last: float, shown_minor: bool
) -> None:
    values = np.geomspace(1.2, last, 30).tolist()
    plots.curves({"one": (values, values)}, "steps", "error", log="xy")
    for axis in (shown[0].axes[0].xaxis, shown[0].axes[0].yaxis):
        marked = {label.get_text() for label in axis.get_ticklabels() if label.get_visible()} - {""}
        assert marked >= ({"2", "5"} if shown_minor else {"10", "100", "1,000"})
        assert "20" not in marked and all(float(text.replace(",", "")) > 0 for text in marked)


def test_panels_of_one_kind_have_one_scale_and_others_their_own(shown: list[Figure]) -> None:
    wide = (4 * POINTS, "a", "b")
    plots.scatter({"one": (POINTS, "a", "b"), "two": wide})
    plots.scatter({"one": (POINTS, "a", "b"), "two": (4 * POINTS, "c", "b")})
    ranks = {"flat": torch.linspace(0.01, 1, 200), "steep": torch.linspace(0.1, 0.99, 200) ** 2}
    plots.columns({name: {name: rank} for name, rank in ranks.items()})
    plots.columns({name: {name: scale * POINTS[:, 0]} for name, scale in (("one", 1.0), ("two", 2.0))})
    limits = [{(*ax.get_xlim(), *ax.get_ylim()) for ax in figure.axes} for figure in shown]
    assert [len(one) for one in limits] == [1, 2, 1, 2]
    (x0, x1, y0, y1) = limits[0].pop()
    assert x0 <= wide[0][:, 0].min() < wide[0][:, 0].max() <= x1
    assert y0 <= wide[0][:, 1].min() < wide[0][:, 1].max() <= y1


def test_few_places_on_a_logarithmic_axis_are_all_marked(shown: list[Figure]) -> None:
    plots.curves({"a": ([8.0, 32.0], [1.0, 2.0]), "b": ([8.0, 16.0], [1.0, 2.0])}, "steps", "error", log="x")
    assert shown[0].axes[0].get_xticks().tolist() == [8, 16, 32]
    assert not len(shown[0].axes[0].get_xticks(minor=True))


@every_call
def test_names_of_curves_and_marks_of_axes_do_not_touch(
    call: Callable[[], object], shown: list[Figure]
) -> None:
    call()
    for ax in shown[0].axes:
        for along, axis in enumerate((ax.xaxis, ax.yaxis)):
            labels = [label for label in axis.get_ticklabels() if label.get_visible() and label.get_text()]
            boxes = sorted((label.get_window_extent().get_points()[:, along] for label in labels), key=min)
            assert all(one[1] <= next_[0] + 0.5 for one, next_ in zip(boxes, boxes[1:]))


def test_names_of_curves_that_end_together_stand_below_each_other(shown: list[Figure]) -> None:
    ends = {f"a rather long name of curve {i}": ([0.0, 1.0], [0.0, 1.0 + i / 1000]) for i in range(4)}
    plots.curves(ends, "x", "y")
    boxes = [text.get_window_extent() for text in shown[0].axes[0].texts]
    assert not any(one.overlaps(other) for i, one in enumerate(boxes) for other in boxes[:i])
    assert all(box.x1 <= shown[0].bbox.x1 for box in boxes)


def test_axes_of_curves_stand_in_one_place_whatever_their_names(shown: list[Figure]) -> None:
    for names in (("a", "b"), ("a", "a name that takes more than two lines of twenty letters each")):
        plots.curves({name: ([0.0, 1.0], [0.0, 1.0]) for name in names}, "x", "y")
    first, second = (figure.axes[0].get_position().bounds for figure in shown)
    assert first == second


@every_call
def test_a_figure_as_svg_has_text_that_is_text_and_nothing_that_differs_between_runs(
    call: Callable[[], object], shown: list[Figure], monkeypatch: pytest.MonkeyPatch
) -> None:
    drawn: list[str] = []
    monkeypatch.setattr(plt, "show", lambda: drawn.append(plots.as_svg(plt.gcf())))
    torch.manual_seed(0)
    call()
    torch.manual_seed(0)
    call()
    one, other = drawn
    assert one == other
    root = ElementTree.fromstring(one)
    words = "".join(
        text for part in root.iter("{http://www.w3.org/2000/svg}text") for text in part.itertext()
    )
    titles = [label for figure in shown for ax in figure.axes for label in [ax.get_title(loc="left")]]
    assert all(title in words for title in titles)
    assert not re.search(r"<[^>]*\d\.\d{3}", one) and "metadata" not in one


def test_images_of_a_figure_keep_the_colours_of_the_map(monkeypatch: pytest.MonkeyPatch) -> None:
    drawn: list[str] = []
    monkeypatch.setattr(plt, "show", lambda: drawn.append(plots.as_svg(plt.gcf())))
    plots.maps({"x": lambda x: x[:, 0]}, "x", -2.7, 2.7, resolution=256)
    images = re.findall(r'base64,([^"]+)"', drawn[0])
    pixels = max(
        (np.asarray(Image.open(BytesIO(base64.b64decode(i))).convert("RGBA"))[..., :3] for i in images),
        key=np.size,
    )
    wanted = matplotlib.colormaps["viridis"](np.linspace(0, 1, 256))[:, :3] * 255
    assert np.abs(pixels[pixels.shape[0] // 2].astype(float) - wanted).max() < 6  # a step of the map is 4


def test_small_numbers_are_written_whole_however_few_digits_a_place_has(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    drawn: list[str] = []
    monkeypatch.setattr(plt, "show", lambda: drawn.append(plots.as_svg(plt.gcf())))
    plots.samples({"h = 0.002": POINTS, "h = 0.0213": POINTS})
    assert ">h = 0.002<" in drawn[0] and ">h = 0.0213<" in drawn[0]


def test_the_sign_of_a_matrix_shows_and_little_of_it_is_seen_through() -> None:
    low, below, middle, above, high = plots.SIGNED([0.0, 0.25, 0.5, 0.75, 1.0])
    assert low[3] == high[3] == 1 and middle[3] < 0.01
    assert 0.45 < below[3] < 0.55 and 0.45 < above[3] < 0.55
    assert below[2] < below[0] and above[2] > above[0]  # brown below, violet above


def test_no_two_curves_have_one_colour(shown: list[Figure]) -> None:
    plots.curves({name: ([0.0, 1.0], [0.0, 1.0]) for name in ("model", "one", "two", "three")}, "x", "y")
    colours = [line.get_color() for line in shown[0].axes[0].lines]
    assert len(set(colours)) == 4


def test_in_a_notebook_the_books_figures_are_svg_and_a_readers_own_are_as_they_were() -> None:
    ours = "from helpers import plots\nplots.curves({'a': ([1.0, 2.0], [3.0, 4.0])}, 'x', 'y')"
    theirs = "import matplotlib.pyplot as plt\nplt.plot([1, 2])\nplt.show()"
    notebook = new_notebook(cells=[new_code_cell(source) for source in (ours, theirs, ours)])
    with pytest.MonkeyPatch.context() as patched:
        patched.setenv("MPLBACKEND", "")
        NotebookClient(notebook, extra_arguments=["--log-level=ERROR"]).execute()
    kinds = [{kind for out in cell.outputs for kind in out.get("data", {})} for cell in notebook.cells]
    assert ["image/svg+xml" in kind for kind in kinds] == [True, False, True]
    assert ["image/png" in kind for kind in kinds] == [False, True, False]
