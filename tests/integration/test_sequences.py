"""Depth that depends on state: a read of ioctl.sys goes deep only after a control code has asked for text.

drivers/ioctl: IoctlSetFormat keeps a pointer to IoctlAnswerInHex, which IoctlRead calls from then on until
IoctlCleanup takes it away again. No read that starts from the initialised driver can know that pointer.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from stackemu.emu.inputs import Input, Style
from stackemu.emu.kernel.roots import Root
from stackemu.harness.contexts import Context, Step
from stackemu.harness.measure import Measurer
from stackemu.harness.native.availability import why_not
from stackemu.harness.runs import FunctionRuns, RunSettings, Task
from stackemu.harness.session import Driver, open_driver
from stackemu.harness.witness import to_json, witness_of

Invoke = Callable[..., Any]
SETTINGS = RunSettings(explored=60)
DEEP = "IoctlAnswerInHex"


@pytest.fixture(scope="module")
def driver(ioctl: Path) -> Driver:
    return open_driver(ioctl)


@pytest.fixture(scope="module")
def measurer(driver: Driver) -> Measurer:
    return Measurer(driver, SETTINGS)


@pytest.fixture(scope="module")
def roots(measurer: Measurer) -> dict[str, Root]:
    return {root.role: root for root in measurer.bring_up.roots}


def measured(driver: Driver, measurer: Measurer, root: Root, before: tuple[Step, ...] = ()) -> FunctionRuns:
    function = next(one for one in driver.functions if one.rva == root.address - driver.image.base)
    return measurer.measure(Task(function, (root,), before=before))


@pytest.fixture(scope="module")
def control(driver: Driver, measurer: Measurer, roots: dict[str, Root]) -> Step:
    """Return the first control code, of those that reach new code, after which a read goes deeper."""
    root = roots["IRP_MJ_DEVICE_CONTROL"]
    steps = [measurer.step_of(context) for context in measured(driver, measurer, root).corpus]
    return next(step for step in steps if step and DEEP in names(driver, measurer, roots, (step,)))


def names(driver: Driver, measurer: Measurer, roots: dict[str, Root], before: tuple[Step, ...]) -> set[str]:
    """Return the functions on the stack where a read is deepest that comes after other calls."""
    root = roots["IRP_MJ_READ"]
    rva = root.address - driver.image.base
    runs = [
        measurer.repeat(rva, Context(rva, root, 0, Input(0, style, True), before))
        for style in (Style.ZEROS, Style.SMALL, Style.MIXED)
    ]
    return {name for name, _ in measurer.chain(max(runs, key=lambda run: run.depth))}


@pytest.fixture(scope="module")
def deep(driver: Driver, measurer: Measurer, roots: dict[str, Root], control: Step) -> FunctionRuns:
    return measured(driver, measurer, roots["IRP_MJ_READ"], (control,))


def frames(ioctl: Path) -> dict[str, int]:
    """Return the frames that the compiler made, in bytes, by function."""
    lines = ioctl.with_suffix(".su").read_text(encoding="ascii").splitlines()
    matches = (re.fullmatch(r"[^:]+:\d+:\x01?_(\w+)@\d+\t(\d+)\t\w+", line) for line in lines)
    return {match[1]: int(match[2]) for match in matches if match}


def test_a_read_alone_does_not_come_there(driver: Driver, measurer: Measurer, roots: dict[str, Root]) -> None:
    runs = measured(driver, measurer, roots["IRP_MJ_READ"])
    assert runs.best is not None
    assert {name for name, _ in runs.chain} == {"IoctlRead", "IoctlComplete"}
    assert runs.best.depth < 100


def test_after_the_control_code_it_does(driver: Driver, deep: FunctionRuns, ioctl: Path) -> None:
    assert deep.best is not None
    assert [name for name, _ in deep.chain][:2] == ["IoctlRead", DEEP]
    made = frames(ioctl)
    # Two frames, the return address and three arguments between them.
    assert deep.best.depth >= made["IoctlRead"] + made[DEEP] + 4 + 12
    assert deep.witness is not None
    assert deep.witness.startswith("after IRP_MJ_DEVICE_CONTROL: ")


def test_after_a_cleanup_it_no_longer_does(
    driver: Driver, measurer: Measurer, roots: dict[str, Root], control: Step
) -> None:
    cleanup = Step(roots["IRP_MJ_CLEANUP"], Input(0, Style.ZEROS, True))
    assert DEEP not in names(driver, measurer, roots, (control, cleanup))
    assert DEEP in names(driver, measurer, roots, measurer.states.settled((cleanup, control)))


def test_a_step_does_the_same_behind_others_though_its_request_lies_elsewhere(
    driver: Driver, measurer: Measurer, roots: dict[str, Root], control: Step
) -> None:
    create = Step(roots["IRP_MJ_CREATE"], Input(0, Style.ZEROS, True))
    fitted = measurer.states.fitted((create, create), control)
    assert fitted.source != control.source
    assert DEEP in names(driver, measurer, roots, (create, create, fitted))
    assert measurer.states.fitted((), fitted) == control


def test_runs_behind_a_sequence_leave_other_runs_alone(
    driver: Driver, measurer: Measurer, roots: dict[str, Root], control: Step
) -> None:
    assert [DEEP in names(driver, measurer, roots, before) for before in ((), (control,), (), (control,))] == [
        False,
        True,
        False,
        True,
    ]


def test_functions_that_are_registered_on_the_way_may_be_called_then(
    measurer: Measurer, roots: dict[str, Root]
) -> None:
    # IoctlRead sets a timer, and a cancel routine on the request that it keeps.
    assert not {"timer DPC", "cancel routine"} & roots.keys()
    read = Step(roots["IRP_MJ_READ"], Input(0, Style.ZEROS, True))
    assert {"timer DPC", "cancel routine"} <= {root.role for root in measurer.states.after((read,)).roots}


def test_a_cancel_routine_is_given_the_request_that_waits(measurer: Measurer, roots: dict[str, Root]) -> None:
    # IoctlCancelRead takes the read off the queue that IoctlCleanup would otherwise find and complete.
    read, cleanup = (Step(roots[role], Input(0, Style.ZEROS, True)) for role in ("IRP_MJ_READ", "IRP_MJ_CLEANUP"))
    routine = next(root for root in measurer.states.after((read,)).roots if root.role == "cancel routine")
    sequences = ((), (read,), (read, Step(routine, read.source)))
    contexts = [measurer.context_behind(before, cleanup) for before in sequences]
    alone, waiting, cancelled = (measurer.repeat(one.caller, one).instructions for one in contexts)
    assert alone == cancelled < waiting


def test_a_sequence_can_begin_with_driver_entry(driver: Driver, measurer: Measurer, roots: dict[str, Root]) -> None:
    entry = Root(driver.image.base + (driver.image.entry or 0), "DriverEntry", "driver-entry")
    state = measurer.states.after((Step(entry, Input(0, Style.ZEROS, True)),))
    assert {root.role for root in state.roots} == roots.keys()


@pytest.fixture(scope="module")
def witness(driver: Driver, deep: FunctionRuns, tmp_path_factory: pytest.TempPathFactory) -> Path:
    function = next(one for one in driver.functions if one.rva == deep.rva)
    made = witness_of(driver, function, deep, SETTINGS)
    assert made is not None
    path = tmp_path_factory.mktemp("witness") / "read.json"
    path.write_bytes(to_json(made))
    return path


def test_its_witness_replays_to_the_same_bytes(invoke: Invoke, witness: Path, deep: FunctionRuns) -> None:
    assert deep.best is not None
    done = invoke("replay", witness)
    assert (done.code, done.err) == (0, "")
    assert f"IoctlRead: depth {deep.best.depth}, own {deep.best.own}, returned" in done.out
    assert "after IRP_MJ_DEVICE_CONTROL" in done.out


def test_the_trace_is_that_of_the_last_step(invoke: Invoke, witness: Path) -> None:
    done = invoke("replay", witness, "--trace")
    calls = [line.split()[2] for line in done.out.splitlines()[1:]]
    assert calls[0] == "IoctlRead"
    assert DEEP in calls
    assert "IoctlDeviceControl" not in calls


@pytest.mark.skipif(why_not() is not None, reason="needs Linux on x86-64 with ptrace")
def test_the_hosts_processor_agrees(invoke: Invoke, witness: Path) -> None:
    done = invoke("replay", witness, "--native")
    assert (done.code, done.err) == (0, "")
    assert "this processor agrees" in done.out


def test_a_witness_whose_steps_come_to_nothing_says_which(invoke: Invoke, witness: Path, tmp_path: Path) -> None:
    broken = tmp_path / "broken.json"
    text = witness.read_text(encoding="utf-8")
    broken.write_text(text.replace('"role": "IRP_MJ_DEVICE_CONTROL"', '"role": "gone"'), encoding="utf-8")
    done = invoke("replay", broken)
    assert done.code == 1
    assert "step 1 (gone): nobody has registered" in done.err
    assert done.err.count("\n") == 1


def test_a_witness_without_steps_is_of_the_same_schema(invoke: Invoke, witness: Path, tmp_path: Path) -> None:
    document = json.loads(witness.read_text(encoding="utf-8"))
    assert document["schema"] == "stackemu.witness/2"
    del document["before"]
    alone = tmp_path / "alone.json"
    alone.write_text(json.dumps(document), encoding="utf-8")
    done = invoke("replay", alone)
    assert done.code == 1, "the run by itself is less deep"
    assert f"depth {document['depth']}, returned have become" in done.err


def test_a_witness_with_too_many_steps_is_refused(invoke: Invoke, witness: Path, tmp_path: Path) -> None:
    document = json.loads(witness.read_text(encoding="utf-8"))
    document["before"] *= 9
    long = tmp_path / "long.json"
    long.write_text(json.dumps(document), encoding="utf-8")
    done = invoke("replay", long)
    assert done.code == 2
    assert "9 steps before the run, of at most 8" in done.err
