"""What drivers register, read off their code and data: the samples' sources say what has to be found."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from stackemu.harness.session import open_driver
from stackemu.harness.static.registrations import registered

DRIVERS = Path(__file__).resolve().parents[4] / "drivers"


def roles_of(name: str) -> dict[str, set[str]]:
    """Return the kinds of roots that are found, by the function's name."""
    driver = open_driver(DRIVERS / f"{name}.sys")
    base = driver.image.base
    names = {base + function.rva: function.name for function in driver.functions}
    kinds: dict[str, set[str]] = {}
    for root in registered(driver.code_model(), names):
        kinds.setdefault(names[root.address], set()).add(root.kind)
    return kinds


def test_a_minifilters_registration_names_all_its_callbacks() -> None:
    text = (DRIVERS / "passthrough" / "passthrough.c").read_text()
    tables = "".join(re.findall(r"= \{(.*?)\n\};", text, re.DOTALL))
    callbacks = set(re.findall(r"\bPt\w+", tables)) - {"PtContexts", "PtOperations"}
    found = roles_of("passthrough")
    assert found.keys() == callbacks
    assert len(callbacks) == 13
    assert found["PtInstanceContextCleanup"] == {"flt-context-cleanup"}
    assert found["PtPreOperationPassThrough"] == {"flt-pre-operation"}
    assert found["PtInstanceTeardownStart"] == {"flt-instance-teardown"}


@pytest.mark.parametrize("name", ["ioctl", "stackzoo"])
def test_dispatch_routines_are_those_that_driver_entry_stores(name: str) -> None:
    text = "".join(path.read_text() for path in sorted((DRIVERS / name).glob("*.c")))
    dispatch = set(re.findall(r"MajorFunction\[\w+\]\s*=\s*(\w+)", text))
    unload = set(re.findall(r"DriverUnload\s*=\s*(\w+)", text))
    found = roles_of(name)
    assert {function for function, kinds in found.items() if kinds == {"irp"}} == dispatch
    assert {function for function, kinds in found.items() if kinds == {"driver-unload"}} == unload
