"""What all tests share: shapes checked at run time, one thread, one seed, and autograd as the judge."""

import os
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import jaxtyping
import pytest
import torch
from torch import Tensor, nn

os.environ["FIVE_RINGS_PROGRESS"] = "0"
torch.set_num_threads(1)
# From here on, importing helpers wraps every function of theirs in a check of its annotations.
jaxtyping.install_import_hook("helpers", "beartype.beartype")

sys.path.append(str(Path(__file__).resolve().parent.parent / "tools"))

from browser import HTML, browser, program  # noqa: E402
from playwright.sync_api import Browser  # noqa: E402

from helpers.rings import OlympicRings  # noqa: E402

# Below this p-value a sample does not follow its law. Seeds are fixed, so that a test of chance passes always
# or never; a wrong law gives far less, and a right one falls below it for one seed in a million.
RARE = 1e-6

Bad = tuple[Callable[[], object], type[Exception], list[str]]


@pytest.fixture(autouse=True)
def seeded() -> None:
    torch.manual_seed(0)


@pytest.fixture
def no_shape_check() -> Iterator[None]:
    """Annotations unchecked, as for a reader, so that our own errors are the ones seen."""
    jaxtyping.config.update("jaxtyping_disable", True)
    yield
    jaxtyping.config.update("jaxtyping_disable", False)


@pytest.fixture
def float64() -> Iterator[None]:
    torch.set_default_dtype(torch.float64)
    yield
    torch.set_default_dtype(torch.float32)


@pytest.fixture
def meets_one_clear_error(no_shape_check: None) -> Callable[[Bad], None]:
    """Makes a bad call, which must raise just this error, in one line that holds these words."""

    def check(bad: Bad) -> None:
        call, error, words = bad
        with pytest.raises(error) as raised:
            call()
        message = str(raised.value)
        assert type(raised.value) is error
        assert all(word in message for word in words), message
        assert len(message.splitlines()) == 1

    return check


@pytest.fixture(scope="session")
def rings() -> OlympicRings:
    return OlympicRings()


@pytest.fixture(scope="session")
def randomized() -> Callable[..., nn.Module]:
    """Fills a module with random weights, so that no layer is the identity it starts as."""

    @torch.no_grad()
    def fill(module: nn.Module, seed: int = 1, size: float = 1.0) -> nn.Module:
        generator = torch.Generator().manual_seed(seed)
        for weight in module.parameters():
            spread = size / weight.shape[1] ** 0.5 if weight.ndim == 2 else size / 2
            weight.copy_(spread * torch.randn(weight.shape, generator=generator, dtype=weight.dtype))
        return module

    return fill


@pytest.fixture(scope="session")
def jacobian() -> Callable[..., Tensor]:
    """Each point's Jacobian (batch, dim, dim) under a map to (points, log_det), by autograd."""

    def of(map_: Callable[[Tensor], tuple[Tensor, Tensor]], z: Tensor) -> Tensor:
        # Points do not see each other, so the Jacobian of the sum over points holds each one's own.
        return torch.func.jacrev(lambda points: map_(points)[0].sum(0))(z).movedim(1, 0).detach()

    return of


def need(found: object, message: str) -> None:
    """Skip a test without what it needs; with REQUIRE_BROWSER=1, fail it."""
    if not found and os.environ.get("REQUIRE_BROWSER") == "1":
        pytest.fail(message)
    if not found:
        pytest.skip(message)


@pytest.fixture(scope="module")
def built() -> Path:
    """The folder of the built book."""
    need((HTML / "index.html").exists(), "the book is not built: run `make html`")
    return HTML


# Not for the whole session: a browser that is open has an event loop running, which nbval's kernels share.
@pytest.fixture(scope="module")
def chromium(built: Path) -> Iterator[Browser]:
    need(program(), "no Chromium or Chrome on this machine")
    with browser() as chromium:
        yield chromium
