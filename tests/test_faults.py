"""The list of mistakes that `make faults` makes: each still fits the file that it is about."""

import pytest
from fault_list import FAULTS, Fault
from faults import changed, path_of

from notebooks import ROOT


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: f"{fault.file}: {fault.name}")
def test_a_mistake_is_one_change_in_one_place(fault: Fault) -> None:
    assert changed(fault, ROOT)[0] == 1, "bring its `old` in tools/fault_list.py up to date"
    assert fault.old != fault.new


def test_every_mistake_has_somebody_to_find_it() -> None:
    for fault in FAULTS:
        suspects = fault.suspects.split()
        assert fault.file.isdecimal() or any(suspect.startswith("test_") for suspect in suspects), fault.name
        for suspect in suspects:
            name = f"tests/{suspect}.py" if suspect.startswith("test_") else suspect
            assert path_of(name, ROOT).exists(), f"{fault.name}: there is no {suspect}"


def test_no_two_mistakes_are_the_same() -> None:
    assert len({(fault.file, fault.new, fault.old) for fault in FAULTS}) == len(FAULTS)
