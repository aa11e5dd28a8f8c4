"""The arithmetic of the page *More than one process*, and that the page shows what was recorded."""

from pathlib import Path

import pytest
import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from bench import scaling

BOOK = Path(__file__).resolve().parent.parent / "book"


def test_adams_state_is_as_large_as_the_rule_says() -> None:
    model = nn.Sequential(nn.Linear(7, 30), nn.SiLU(), nn.Linear(30, 4))
    optimizer = torch.optim.Adam(model.parameters())
    model(torch.randn(5, 7)).sum().backward()
    optimizer.step()
    held = [part for w in model.parameters() for part in (w, w.grad)]
    held += [part for state in optimizer.state.values() for part in state.values() if part.ndim]
    bytes_held = sum(part.numel() * part.element_size() for part in held)
    assert bytes_held == scaling.state_bytes(sum(w.numel() for w in model.parameters()))


def test_operations_are_those_that_torch_counts() -> None:
    """Of dense layers without biases, where the gradient reaches the input as well."""
    model, x = nn.Linear(40, 30, bias=False), torch.randn(16, 40, requires_grad=True)
    with FlopCounterMode(display=False) as counter:
        model(x).sum().backward()
    assert counter.get_total_flops() == scaling.training_operations(40 * 30, batch=16)


@pytest.mark.parametrize("processes", [1, 2, 5])
def test_messages_are_those_of_a_ring(processes: int) -> None:
    """Counted on a ring where pieces are passed on, added up in the first round and copied in the second."""
    n = 60  # numbers, which all these processes divide
    piece = n // processes
    values = torch.arange(float(processes * n)).view(processes, processes, piece)
    expected, sent = values.sum(0), 0
    for turn in range(2 * (processes - 1)):
        passed = [values[p, (p - turn) % processes].clone() for p in range(processes)]
        sent += piece * scaling.BYTES
        for p in range(processes):
            into = values[(p + 1) % processes, (p - turn) % processes]
            into.copy_(passed[p] + into if turn < processes - 1 else passed[p])
    assert all(torch.equal(own, expected) for own in values)
    assert sent == scaling.all_reduce_bytes(n, processes)


def test_the_rule_of_six_is_close_for_the_books_fields() -> None:
    row = scaling.count_model("flow matching")
    rule = scaling.training_operations(row["parameters"], scaling.BATCH)
    assert 0.8 < row["operations"] / rule < 1.0


def test_the_page_shows_what_was_recorded() -> None:
    for name in ("counted", "measured", "extrapolated"):
        table = (BOOK / f"scaling_{name}_table.md").read_text(encoding="utf-8")
        assert table == getattr(scaling, f"{name}_table")()
        assert f"{{include}} scaling_{name}_table.md" in (BOOK / "scaling.md").read_text(encoding="utf-8")


def test_every_recorded_count_is_that_of_todays_model() -> None:
    for row in scaling.read_records("scaling"):
        if row["kind"] == "count":
            assert row == scaling.count_model(row["model"])
