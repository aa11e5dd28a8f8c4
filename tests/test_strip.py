"""The strip of images: what a page carries beside what it was given, and the figure as a reader uses it."""

import base64
import io
import json
import re
from collections.abc import Callable, Iterator
from pathlib import Path

import axe_playwright_python
import pytest
import torch
from browser import Opened
from conftest import Bad
from live_figures import number_live_figures
from matplotlib.image import imread
from playwright.sync_api import Browser, Page
from sklearn.datasets import load_digits
from torch import Tensor

from helpers.explorer import image_strip

COUNT = 33
TIMES = [(k / (COUNT - 1)) ** 0.5 for k in range(COUNT)]  # not even
NAMES = [str(digit) for digit in range(10)]
QUESTION = "At which time can you tell which digit each image becomes, and is 1 < 7?"
AXE = (Path(axe_playwright_python.__file__).parent / "axe.min.js").read_text(encoding="utf-8")


def digits_on_their_way() -> Tensor:
    """(10, times, 8, 8) straight lines from noise to one image of each digit; pixels run from 0 to 16."""
    torch.manual_seed(0)
    found = load_digits()
    ends = torch.stack([torch.tensor(found.images[found.target == digit][0]).float() for digit in range(10)])
    starts, t = 8 + 4 * torch.randn_like(ends), torch.tensor(TIMES)[:, None, None]
    return (1 - t) * starts[:, None] + t * ends[:, None]


IMAGES = digits_on_their_way()
STRIP = image_strip(IMAGES, TIMES, NAMES, QUESTION, span=(0.0, 16.0)).data
SHADE = 255 * (IMAGES / 16).clamp(0, 1)  # how black each pixel should be


def page(figure: str = STRIP) -> str:
    head = '<meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">'
    dark = "<style>@media (prefers-color-scheme: dark) { body { background: #14181e; color: #ced6dd } }"
    dark += "</style>"
    title = "<title>A strip</title>"
    return f'<!doctype html><html lang="en">{head}{title}{dark}<main><h1>A strip</h1>{figure}</main></html>'


# What a page carries.


def carried() -> dict[str, object]:
    return json.loads(re.search(r'json" id="strip-data">(.*?)</script>', STRIP)[1])


def test_the_page_carries_the_images() -> None:
    data = carried()
    packed = base64.b64decode(data["packed"])
    ink = torch.frombuffer(bytearray(packed), dtype=torch.uint8).view(COUNT, 10, 8, 8).transpose(0, 1)
    assert (ink / 255 - (IMAGES / 16).clamp(0, 1)).abs().max() <= 0.5 / 255 + 1e-6
    assert (data["times"], data["labels"]) == (TIMES, NAMES)


def test_values_beyond_the_span_are_drawn_as_its_ends() -> None:
    two = torch.tensor([-3.0, 5.0]).expand(1, 2, 2)[..., None].repeat(1, 1, 32, 1).view(1, 2, 8, 8)
    text = image_strip(two, [0.0, 1.0], ["one"], "?", span=(-1.0, 1.0)).data
    assert set(base64.b64decode(re.search(r'packed": "(.*?)"', text)[1])) == {0, 255}


def test_a_page_is_light() -> None:
    assert len(STRIP.encode()) - len(carried()["packed"]) < 25_000
    assert len(carried()["packed"]) == 4 * COUNT * 10 * 64 // 3


def test_the_picture_without_scripts_shows_the_images() -> None:
    source = re.search(r'<img alt="([^"]+)" src="data:image/png;base64,([^"]+)"', STRIP)
    sheet = torch.tensor(imread(io.BytesIO(base64.b64decode(source[2]))))[..., 0]
    assert sheet.shape == (5 * 9 - 1, 10 * 9 - 1)
    for row, k in enumerate((0, 8, 16, 24, 32)):
        for digit in (0, 4, 9):
            image = sheet[9 * row : 9 * row + 8, 9 * digit : 9 * digit + 8]
            assert (1 - image - SHADE[digit, k] / 255).abs().max() < 1 / 255
    assert "0, 1, 2" in source[1]


def test_it_is_numbered_and_has_a_caption() -> None:
    numbered = number_live_figures(STRIP, Path("16_images.html"))
    text = r'Live figure 16\.1 </span>At which.*1 &lt; 7\?<a class="headerlink" href="#strip"'
    assert re.search(text, numbered)


def test_the_same_page_every_time() -> None:
    assert image_strip(IMAGES, TIMES, NAMES, QUESTION, span=(0.0, 16.0)).data == STRIP


def test_text_in_a_label_stays_text() -> None:
    text = image_strip(IMAGES[:1], TIMES, ['</script><b>"'], QUESTION).data
    assert text.count("</script>") == 2  # its own two
    assert "<b>" not in text


FEW = IMAGES[:2, :3]
FINE = {"images": FEW, "times": [0.0, 0.5, 1.0], "labels": ["a", "b"], "question": "Which?"}
BAD = [
    ({"images": [1.0]}, TypeError, ["images", "list"]),
    ({"images": FEW.to(torch.uint8)}, TypeError, ["images", "uint8"]),
    ({"images": FEW.flatten(2)}, ValueError, ["images", "(2, 3, 64)", "8, 8"]),
    ({"images": FEW[:0], "labels": []}, ValueError, ["number of images", "0"]),
    ({"images": FEW[:, :1], "times": [0.0]}, ValueError, ["number of times", "1"]),
    ({"images": FEW * float("nan")}, ValueError, ["images", "nan"]),
    ({"times": [0.0, 1.0]}, ValueError, ["times", "2", "3"]),
    ({"times": [0.0, 0.5, 0.5]}, ValueError, ["times", "increase"]),
    ({"times": [0.0, 0.5, 1.5]}, ValueError, ["times", "[0, 1]"]),
    ({"times": [0.0, float("nan"), 1.0]}, ValueError, ["times", "nan"]),
    ({"labels": ["a"]}, ValueError, ["labels", "1", "2"]),
    ({"question": " "}, ValueError, ["question"]),
    ({"element": "a b"}, ValueError, ["element", "'a b'"]),
    ({"span": (1.0, 1.0)}, ValueError, ["span", "(1.0, 1.0)"]),
]


@pytest.mark.parametrize(("wrong", "error", "words"), BAD)
def test_bad_input_raises_one_clear_error(
    wrong: dict[str, object],
    error: type[Exception],
    words: list[str],
    meets_one_clear_error: Callable[[Bad], None],
) -> None:
    meets_one_clear_error((lambda: image_strip(**(FINE | wrong)), error, words))


# The figure. No page of the book is needed: it stands alone, opened as a file.


@pytest.fixture
def opened(chromium: Browser, tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Page]:
    """A page with one strip; the test's parameter may set the browser's options."""
    path = tmp_path / "strip.html"
    path.write_text(page(), encoding="utf-8")
    options = {"viewport": {"width": 760, "height": 700}} | getattr(request, "param", {})
    context = chromium.new_context(**options)
    seen = Opened(context.new_page())
    seen.tab.goto(path.as_uri())
    yield seen.tab
    context.close()
    assert seen.errors == []
    assert seen.requests[1:] == [url for url in seen.requests[1:] if url.startswith("data:")]


def drawn(tab: Page) -> Tensor:
    """(10, 8, 8) how black the pixels on the screen's canvases are."""
    tab.evaluate("() => new Promise(done => requestAnimationFrame(() => requestAnimationFrame(done)))")
    read = """() => [...document.querySelectorAll('#strip canvas')].map(one => {
        const { data } = one.getContext('2d').getImageData(0, 0, 8, 8);
        return [...data].filter((_, i) => i % 4 === 0).map(grey => 255 - grey);
    })"""
    return torch.tensor(tab.evaluate(read), dtype=torch.float32).view(10, 8, 8)


def scrub(tab: Page, time: float) -> None:
    tab.evaluate("t => document.querySelector('#strip').strip.seek(t)", time)


def clock(tab: Page) -> str:
    return tab.inner_text("#strip output")


NEAR = 1.01  # shades: two roundings


def test_it_begins_with_the_noise(opened: Page) -> None:
    assert opened.get_attribute("#strip", "data-ready") == "true"
    assert (drawn(opened) - SHADE[:, 0]).abs().max() <= NEAR
    assert clock(opened) == "t = 0.00"


@pytest.mark.parametrize("k", [1, 13, 31, 32])
def test_a_stored_time_shows_its_images(opened: Page, k: int) -> None:
    scrub(opened, TIMES[k])
    assert (drawn(opened) - SHADE[:, k]).abs().max() <= NEAR


def test_between_two_times_the_shades_are_between(opened: Page) -> None:
    scrub(opened, 0.25 * TIMES[9] + 0.75 * TIMES[10])
    assert (drawn(opened) - (0.25 * SHADE[:, 9] + 0.75 * SHADE[:, 10])).abs().max() <= NEAR


def test_the_slider_is_dragged_and_takes_keys(opened: Page) -> None:
    box = opened.locator("#strip input").bounding_box()
    middle = box["y"] + box["height"] / 2
    opened.mouse.move(box["x"] + 9, middle)
    opened.mouse.down()
    opened.mouse.move(box["x"] + box["width"] / 2, middle, steps=4)
    opened.mouse.up()
    time = opened.evaluate("() => document.querySelector('#strip').strip.time")
    assert 0.4 < time < 0.6
    opened.keyboard.press("ArrowRight")
    assert opened.evaluate("() => document.querySelector('#strip').strip.time") == pytest.approx(time + 0.01)
    opened.keyboard.press("End")
    assert (drawn(opened) - SHADE[:, -1]).abs().max() <= NEAR
    opened.keyboard.press("Home")
    assert (drawn(opened) - SHADE[:, 0]).abs().max() <= NEAR


TOUCH = {"has_touch": True, "viewport": {"width": 390, "height": 800}}


@pytest.mark.parametrize("opened", [TOUCH], indirect=True)
def test_a_finger_moves_the_slider(opened: Page) -> None:
    box = opened.locator("#strip input").bounding_box()
    opened.touchscreen.tap(box["x"] + 0.75 * box["width"], box["y"] + box["height"] / 2)
    assert 0.65 < opened.evaluate("() => document.querySelector('#strip').strip.time") < 0.85


def test_the_buttons_step_through_the_stored_times(opened: Page) -> None:
    for _ in range(3):
        opened.click("[aria-label='One step on']")
    opened.click("[aria-label='One step back']")
    assert (drawn(opened) - SHADE[:, 2]).abs().max() <= NEAR
    scrub(opened, 1.0)
    drawn(opened)
    assert opened.get_attribute("[aria-label='One step on']", "aria-disabled") == "true"
    opened.click("[aria-label='One step back']")
    assert (drawn(opened) - SHADE[:, 31]).abs().max() <= NEAR


def test_it_plays_to_the_end_and_again(opened: Page) -> None:
    scrub(opened, 0.9)
    opened.click("text=Play")
    opened.wait_for_function("() => document.querySelector('#strip').strip.time === 1")
    assert opened.locator("#strip >> text=Play").is_visible()
    opened.click("text=Play")
    opened.click("text=Pause")
    assert opened.evaluate("() => document.querySelector('#strip').strip.time") < 1


@pytest.mark.parametrize("opened", [{"reduced_motion": "reduce"}], indirect=True)
def test_who_wants_no_motion_has_the_steps(opened: Page) -> None:
    drawn(opened)
    assert opened.locator("text=Play").is_hidden()
    opened.click("[aria-label='One step on']")
    assert (drawn(opened) - SHADE[:, 1]).abs().max() <= NEAR


def test_the_sentence_says_what_is_seen_and_is_announced_at_rest(opened: Page) -> None:
    scrub(opened, TIMES[16])
    drawn(opened)
    said = opened.inner_text(".fr-seen")
    ink = SHADE[:, [0, 16, 32]]
    left = (ink - ink[:, 2:]).square().mean((2, 3)).sqrt()
    share = left[:, 1] / left[:, 0]
    numbers = re.search(r"t = ([\d.]+) .* (\d+)\s%.*“(\d)” the least and “(\d)” the most", said).groups()
    assert float(numbers[0]) == pytest.approx(TIMES[16], abs=0.006)
    assert float(numbers[1]) == pytest.approx(100 * float(share.mean()), abs=1.5)
    assert [float(share[int(one)]) for one in numbers[2:]] == pytest.approx(
        [float(share.min()), float(share.max())], abs=0.01
    )
    assert opened.get_attribute("[role=status]", "aria-live") == "polite"
    opened.wait_for_function("said => document.querySelector('[role=status]').textContent === said", arg=said)


def test_keys_stay_in_the_figure(opened: Page) -> None:
    """A notebook would take them for its own: two d delete a cell."""
    opened.evaluate("() => document.addEventListener('keydown', event => window.heard = event.key)")
    opened.focus("#strip input")
    opened.keyboard.press("d")
    assert opened.evaluate("() => window.heard") is None


LOOKS = [
    {"viewport": {"width": width, "height": 800}, "color_scheme": scheme}
    for width in (320, 390, 1280)
    for scheme in ("light", "dark")
]


@pytest.mark.parametrize("opened", LOOKS, indirect=True)
def test_it_fits_and_can_be_read_and_used_by_all(opened: Page) -> None:
    assert opened.evaluate("() => document.documentElement.scrollWidth <= innerWidth")
    seen = opened.viewport_size["width"]
    boxes = opened.eval_on_selector_all(
        "#strip :is(canvas, button, input)",
        "all => all.map(one => (box => [box.width, box.height, box.right])(one.getBoundingClientRect()))",
    )
    assert all(min(width, height) >= 24 and right <= seen for width, height, right in boxes)
    scaled = opened.eval_on_selector("#strip canvas", "one => getComputedStyle(one).imageRendering")
    assert scaled == "pixelated"
    scrub(opened, 0.5)
    drawn(opened)
    opened.evaluate(AXE)
    found = opened.evaluate("() => axe.run({rules: {'target-size': {enabled: true}}})")
    assert [(one["id"], one["nodes"][0]["html"]) for one in found["violations"]] == []


def test_without_scripts_there_is_a_picture(chromium: Browser) -> None:
    context = chromium.new_context(java_script_enabled=False)
    tab = context.new_page()
    tab.set_content(page())
    assert tab.get_by_role("img", name="A strip of images").bounding_box()["width"] > 300
    assert "From the top row down, t = 0.00, 0.50," in tab.inner_text("#strip")
    context.close()


def test_two_in_one_page(chromium: Browser) -> None:
    tab = chromium.new_page()
    other = image_strip(IMAGES[:3], TIMES, NAMES[:3], QUESTION, "other", (0.0, 16.0)).data
    tab.set_content(page(STRIP + other))
    scrub(tab, 1.0)
    assert (drawn(tab) - SHADE[:, -1]).abs().max() <= NEAR
    assert tab.inner_text("#other output") == "t = 0.00"
    assert tab.locator("#fr-strip-style").count() == 1
    tab.close()
