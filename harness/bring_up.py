"""A driver brought to life: DriverEntry run, then what the kernel calls next; the roots that it registers."""

from __future__ import annotations

from dataclasses import dataclass

from stackemu.emu.image import Image
from stackemu.emu.inputs import Input, Style
from stackemu.emu.kernel.roots import Root
from stackemu.emu.machine import Machine
from stackemu.emu.observation import Observation, Outcome

BUDGET = 2_000_000
"""Instructions that DriverEntry and each setup callback may take."""
MAX_SETUP_CALLS = 32
SETUP_ROLES = (
    "AddDevice",
    "EvtDriverDeviceAdd",
    "EvtDevicePrepareHardware",
    "EvtDeviceD0Entry",
    "InstanceSetupCallback",
    "IRP_MJ_PNP",
    "IRP_MJ_CREATE",
    "EvtDeviceFileCreate",
)
"""Roles that the kernel calls before a driver has anything else to do, in this order."""
_WITHOUT_STATUS = frozenset({"EvtDeviceFileCreate"})
_ERROR = 0x80000000
_STYLES = (Style.ZEROS, Style.SMALL, Style.MIXED, Style.POINTERS)


@dataclass(frozen=True, slots=True)
class BringUp:
    """How DriverEntry ended, and the functions that the driver asked to be called at.

    `status` is what DriverEntry returned; `why` says what went wrong, None when it succeeded.
    """

    outcome: str
    status: int | None
    why: str | None
    roots: tuple[Root, ...] = ()
    notes: tuple[str, ...] = ()

    @classmethod
    def skipped(cls, why: str | None) -> BringUp:
        """Return the record of a driver whose DriverEntry did not run, for a reason if it was wanted."""
        return cls("skipped", None, why)


def entry_root(image: Image) -> Root | None:
    """Return DriverEntry as a root, None for an image without an entry point."""
    if image.entry is None:
        return None
    return Root(image.base + image.entry, "DriverEntry", "driver-entry")


def bring_up(machine: Machine, image: Image, seed: int) -> BringUp:
    """Run DriverEntry, and after its success the setup callbacks; later runs start from what they left behind.

    When DriverEntry never succeeds, runs start from what its longest run left behind.
    """
    entry = entry_root(image)
    if entry is None:
        return BringUp.skipped("the image has no entry point")
    runs: list[tuple[Input, Observation]] = []
    for style in _STYLES:
        source = Input(seed, style, succeed=True)
        runs.append((source, _call(machine, image, entry, source)))
        if _succeeded(runs[-1][1]):
            break
    source, observation = max(runs, key=lambda run: (_succeeded(run[1]), len(run[1].blocks)))
    if (source, observation) != runs[-1]:
        observation = _call(machine, image, entry, source)
    roots = machine.collect_roots()
    machine.keep()
    if _succeeded(observation):
        roots = _set_up(machine, image, source, roots)
    return BringUp(
        outcome=observation.outcome.value,
        status=observation.result,
        why=_why(observation),
        roots=roots,
        notes=observation.notes,
    )


def _set_up(machine: Machine, image: Image, source: Input, roots: tuple[Root, ...]) -> tuple[Root, ...]:
    """Call the setup callbacks as far as they are known, and those that they register in turn."""
    done: set[Root] = set()
    for _ in range(MAX_SETUP_CALLS):
        waiting = [root for role in SETUP_ROLES for root in roots if root.role == role and root not in done]
        if not waiting:
            break
        root = waiting[0]
        done.add(root)
        observation = _call(machine, image, root, source)
        if _succeeded(observation) or (root.role in _WITHOUT_STATUS and observation.outcome is Outcome.RETURNED):
            roots = machine.collect_roots()
            machine.keep()
    return roots


def _call(machine: Machine, image: Image, root: Root, source: Input) -> Observation:
    return machine.call(root.address - image.base, source, root, budget=BUDGET)


def _succeeded(observation: Observation) -> bool:
    return observation.outcome is Outcome.RETURNED and (observation.result or 0) < _ERROR


def _why(observation: Observation) -> str | None:
    if observation.outcome is not Outcome.RETURNED:
        return observation.why
    if observation.result is not None and observation.result >= _ERROR:
        return f"DriverEntry returned {observation.result:#010x}"
    return None
