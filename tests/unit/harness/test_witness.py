"""Witness files: what they carry comes back the same, and what is none is refused in one line."""

from __future__ import annotations

import json
from pathlib import Path

import msgspec
import pytest
from made_runs import context, observation

from stackemu.emu.errors import InputError
from stackemu.emu.inputs import ARENA_BASE, Override, Place
from stackemu.emu.kernel.roots import Root
from stackemu.harness.contexts import Context, Step
from stackemu.harness.replay import Replay, Replayer
from stackemu.harness.runs import RunSettings
from stackemu.harness.session import Driver, open_driver
from stackemu.harness.witness import MAX_FILE, Witness, context_of, input_size, load_witness, to_json, witness_for

STACKZOO = Path(__file__).parents[3] / "drivers" / "stackzoo.sys"
F = 0x1000
CHANGED = context(F, seed=3).source.with_override(Override(Place.MEMORY, ARENA_BASE + 0x100, 0x44332211))


@pytest.fixture(scope="module")
def driver() -> Driver:
    return open_driver(STACKZOO)


def _run(driver: Driver) -> Context:
    """Return a read that comes after a control code."""
    base = driver.image.base
    control, read = (Root(base + F, role, "dispatch", (7,)) for role in ("IRP_MJ_DEVICE_CONTROL", "IRP_MJ_READ"))
    return Context(F, read, 4, CHANGED, (Step(control, context(F, seed=9).source),))


def _witness(driver: Driver, run: Context) -> Witness:
    return witness_for(driver, "Zoo", F, run, observation((F, 24)), RunSettings(seed=5))


def test_what_was_written_is_what_is_read(driver: Driver, tmp_path: Path) -> None:
    run = _run(driver)
    file = tmp_path / "witness.json"
    file.write_bytes(to_json(_witness(driver, run)))
    read = load_witness(file)
    assert context_of(read, driver.image.base) == run
    assert (read.own, read.depth, read.outcome, read.why) == (24, 24, "returned", None)


def test_the_label_is_for_people_alone(driver: Driver) -> None:
    document = json.loads(to_json(_witness(driver, _run(driver))))
    assert document["label"] == "seed=3,memory=zeros,apis=succeed,memory@0x86000100=0x44332211"
    assert document["input"] == "46033080041122" + "3344"


def test_the_size_of_an_input_counts_the_calls_before_it(driver: Driver) -> None:
    # Header, seed, tag, two bytes of key and four of value; header and seed.
    assert input_size(_run(driver)) == 9 + 2


@pytest.mark.parametrize(
    ("change", "why"),
    [
        ({"input": "46"}, "cut off"),
        ({"input": "not hexadecimal"}, "hexadecimal"),
        ({"input": None}, "str"),
        ({"input": "46 00"}, "without spaces"),
        ({"alignment": 1 << 40}, "alignment"),
        ({"schema": "stackemu.witness/1"}, "schema stackemu.witness/1"),
        ({"before": [{}]}, "missing required field"),
        ({"depth": "24"}, "int"),
    ],
)
def test_a_damaged_witness_is_refused(driver: Driver, tmp_path: Path, change: dict[str, object], why: str) -> None:
    file = tmp_path / "witness.json"
    document = json.loads(to_json(_witness(driver, _run(driver))))
    file.write_text(json.dumps(document | change))
    with pytest.raises(InputError, match=why):
        load_witness(file)


@pytest.mark.parametrize("size", [0, 1, 100])
def test_a_witness_cut_off_is_refused(driver: Driver, tmp_path: Path, size: int) -> None:
    file = tmp_path / "witness.json"
    file.write_bytes(to_json(_witness(driver, _run(driver)))[:size])
    with pytest.raises(InputError, match="not a witness"):
        load_witness(file)


@pytest.mark.parametrize(
    ("data", "why"),
    [
        (b'{"x":' + b"[" * 200_000 + b"]" * 200_000 + b"}", "recursion"),
        (b" " * (MAX_FILE + 1), "more than"),
        (b"\x00\xff", "malformed"),
        (b"[]", "Expected `object`"),
    ],
    ids=["nested deeply", "huge", "not JSON", "a list"],
)
def test_what_strangers_send_is_refused(tmp_path: Path, data: bytes, why: str) -> None:
    file = tmp_path / "witness.json"
    file.write_bytes(data)
    with pytest.raises(InputError, match=why):
        load_witness(file)


def test_a_directory_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="cannot be read"):
        load_witness(tmp_path)


@pytest.mark.parametrize(
    ("change", "is_same"),
    [({}, True), ({"own": 20}, False), ({"depth": 28}, False), ({"outcome": "faulted"}, False)],
)
def test_a_replay_is_the_same_where_figures_and_ending_are(
    driver: Driver, change: dict[str, object], is_same: bool
) -> None:
    known = msgspec.structs.replace(_witness(driver, _run(driver)), **change)
    assert Replay(known, observation((F, 24)), ()).is_same is is_same


@pytest.mark.parametrize(
    ("kind", "registration"),
    [("irp", ()), ("irp", (1, 2, 3)), ("completion", (-1, -1, -1)), ("fs-filter-pre", (1,)), ("message-isr", (1,))],
)
def test_a_registration_that_no_driver_makes_is_refused(
    driver: Driver, kind: str, registration: tuple[int, ...]
) -> None:
    way = Root(driver.image.base + F, "IRP_MJ_READ", kind, registration)
    known = _witness(driver, Context(F, way, 0, CHANGED))
    with pytest.raises(InputError, match="a run as IRP_MJ_READ: cannot be made"):
        Replayer(driver, seed=0, budget=1000, initialise=False).replay(known)
