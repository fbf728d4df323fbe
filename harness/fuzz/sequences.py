"""Which calls the kernel makes one after the other: steps that may come next, and changed sequences of steps.

The order is that in which the I/O manager, Plug and Play, KMDF and the Filter Manager call a driver (WDK: "Starting a
Device", "DispatchCleanup Routines", "Writing Preoperation and Postoperation Callback Routines"). Only what the roles
say counts here; whether a sequence comes to its end, `States` finds by running it.
"""

from __future__ import annotations

import enum
import random
from collections.abc import Callable, Iterable, Mapping, Sequence, Set
from dataclasses import dataclass

from stackemu.emu.inputs import default_inputs
from stackemu.emu.kernel.roots import Root
from stackemu.harness.contexts import MAX_STEPS, Step
from stackemu.harness.states import LAST


class Stage(enum.Enum):
    """What part of a driver's life a root belongs to."""

    LOAD = enum.auto()
    ADD = enum.auto()
    """A device comes into being."""
    START = enum.auto()
    """It gets its resources and power; a minifilter is attached to a volume."""
    OPEN = enum.auto()
    DEVICE = enum.auto()
    """Requests for the device itself, that need no open file: power, Plug and Play, WMI."""
    USE = enum.auto()
    """Requests on an open file."""
    LATER = enum.auto()
    """What a request left to be called: DPCs, timers, work items, completion and cancel routines."""
    CLEAN_UP = enum.auto()
    CLOSE = enum.auto()
    STOP = enum.auto()
    REMOVE = enum.auto()
    UNLOAD = enum.auto()


@dataclass(frozen=True, slots=True)
class Candidate:
    """A root that may be called next; the greater its weight among others, the more often it should be."""

    root: Root
    weight: int


_WEIGHTS: Mapping[Stage, int] = {
    Stage.LOAD: 1,
    Stage.ADD: 1,
    Stage.START: 2,
    Stage.OPEN: 4,
    Stage.DEVICE: 4,
    Stage.USE: 12,
    Stage.LATER: 12,
    Stage.CLEAN_UP: 4,
    Stage.CLOSE: 2,
    Stage.STOP: 2,
    Stage.REMOVE: 2,
    Stage.UNLOAD: 1,
}
_IN_USE = frozenset({Stage.LOAD, Stage.ADD, Stage.START, Stage.OPEN})
_NEEDED: Mapping[Stage, frozenset[Stage]] = {
    Stage.LOAD: frozenset(),
    Stage.ADD: frozenset({Stage.LOAD}),
    Stage.START: frozenset({Stage.LOAD, Stage.ADD}),
    Stage.DEVICE: frozenset({Stage.LOAD, Stage.ADD}),
    Stage.OPEN: frozenset({Stage.LOAD, Stage.ADD, Stage.START}),
    Stage.USE: _IN_USE,
    Stage.LATER: frozenset({Stage.LOAD}),
    Stage.CLEAN_UP: frozenset({Stage.LOAD, Stage.OPEN}),
    Stage.CLOSE: frozenset({Stage.LOAD, Stage.CLEAN_UP}),
    Stage.STOP: frozenset({Stage.LOAD, Stage.START}),
    Stage.REMOVE: frozenset({Stage.LOAD, Stage.ADD}),
    Stage.UNLOAD: frozenset({Stage.LOAD}),
}
"""What has to have happened; stages that a driver has no root for are done without it."""
_ENDED: Mapping[Stage, frozenset[Stage]] = {
    Stage.OPEN: frozenset({Stage.CLEAN_UP}),
    Stage.CLEAN_UP: frozenset({Stage.OPEN}),
    Stage.CLOSE: frozenset({Stage.OPEN, Stage.CLEAN_UP}),
    Stage.STOP: frozenset({Stage.START}),
    Stage.REMOVE: frozenset({Stage.ADD, Stage.START}),
    Stage.UNLOAD: frozenset(Stage),
}
"""What a step puts an end to."""

_ROLES: Mapping[Stage, Iterable[str]] = {
    Stage.LOAD: ("DriverEntry",),
    Stage.ADD: ("AddDevice", "EvtDriverDeviceAdd"),
    Stage.START: (
        "InstanceSetupCallback",
        "EvtDevicePrepareHardware",
        "EvtDeviceD0Entry",
        "EvtDeviceSelfManagedIoInit",
        "EvtDeviceSelfManagedIoRestart",
    ),
    Stage.OPEN: (
        "IRP_MJ_CREATE",
        "IRP_MJ_CREATE_NAMED_PIPE",
        "IRP_MJ_CREATE_MAILSLOT",
        "IRP_MJ_CREATE pre-operation",
        "EvtDeviceFileCreate",
        "ConnectNotifyCallback",
    ),
    Stage.DEVICE: ("IRP_MJ_PNP", "IRP_MJ_POWER", "IRP_MJ_SYSTEM_CONTROL", "IRP_MJ_SHUTDOWN"),
    Stage.CLEAN_UP: ("IRP_MJ_CLEANUP", "IRP_MJ_CLEANUP pre-operation", "EvtFileCleanup"),
    Stage.CLOSE: ("IRP_MJ_CLOSE", "IRP_MJ_CLOSE pre-operation", "EvtFileClose", "DisconnectNotifyCallback"),
    Stage.STOP: (
        "InstanceQueryTeardownCallback",
        "EvtDeviceQueryStop",
        "EvtDeviceQueryRemove",
        "EvtDeviceSelfManagedIoSuspend",
        "EvtDeviceD0Exit",
    ),
    Stage.REMOVE: (
        "InstanceTeardownStartCallback",
        "InstanceTeardownCompleteCallback",
        "EvtDeviceSurpriseRemoval",
        "EvtDeviceReleaseHardware",
        "EvtDeviceSelfManagedIoFlush",
        "EvtDeviceSelfManagedIoCleanup",
        "EvtCleanupCallback",
        "EvtDestroyCallback",
    ),
    Stage.UNLOAD: LAST,
}
_LATER_KINDS = frozenset(
    {
        "dpc",
        "timer-dpc",
        "ex-timer",
        "ex-timer-delete",
        "io-timer",
        "work-item",
        "work-item-ex",
        "worker-routine",
        "system-thread",
        "completion",
        "cancel",
        "start-io",
        "isr",
        "message-isr",
        "apc-kernel",
        "apc-normal",
        "apc-rundown",
        "io-apc",
        "power-complete",
        "device-change-complete",
        "oplock-complete",
        "flt-deferred-work",
        "flt-generic-work",
        "flt-safe-completion",
        "flt-async-completion",
        "flt-canceled",
        "flt-operation-status",
        "flt-oplock-complete",
        "wfp-inject-complete",
        "EvtDpcFunc",
        "EvtTimerFunc",
        "EvtWorkItem",
        "EvtWorkItemFunc",
        "EvtInterruptIsr",
        "EvtInterruptDpc",
        "EvtInterruptWorkItem",
        "EvtRequestCancel",
        "EvtRequestCompletionRoutine",
        "EvtIoCanceledOnQueue",
    }
)
_STAGES: Mapping[str, Stage] = {role: stage for stage, roles in _ROLES.items() for role in roles}
_PRE, _POST = " pre-operation", " post-operation"
_POST_FACTOR, _AGAIN_DIVISOR = 3, 2
"""How much more often a post-operation callback follows its own pre-operation, how much less a root itself."""
_ATTEMPTS = 16
"""Changes that are tried until one gives a sequence that makes sense."""
_SEEDS = 1 << 16


def stage_of(root: Root) -> Stage:
    """Return what part of a driver's life a root belongs to."""
    if root.kind in _LATER_KINDS:
        return Stage.LATER
    if root.kind.startswith("EvtDevice") and root.role not in _STAGES:
        return Stage.DEVICE
    return _STAGES.get(root.role, Stage.USE)


def next_steps(roots: Sequence[Root], so_far: Sequence[Step]) -> tuple[Candidate, ...]:
    """Return the roots that may be called after some steps, in the order of `roots`, each once.

    Without DriverEntry as the first step, steps come after what brought the driver up: there is an open file.
    """
    if len(so_far) >= MAX_STEPS:
        return ()
    stages = {stage_of(root) for root in roots}
    reached = _reached(so_far)
    called = {step.root.role for step in so_far}
    roles = {root.role for root in roots}
    found = []
    for root in dict.fromkeys(roots):
        stage = stage_of(root)
        if stage is Stage.LOAD and so_far:
            continue
        if not _needed(stage, stages) <= reached:
            continue
        before = root.role.removesuffix(_POST) + _PRE
        is_post = root.role.endswith(_POST) and before in roles
        if is_post and before not in called:
            continue
        weight = _WEIGHTS[stage] * _AGAIN_DIVISOR
        if is_post and so_far[-1].root.role == before:
            weight *= _POST_FACTOR
        if so_far and so_far[-1].root == root:
            weight //= _AGAIN_DIVISOR
        found.append(Candidate(root, weight))
    return tuple(found)


def _needed(stage: Stage, stages: Set[Stage]) -> Set[Stage]:
    """Return what has to have happened before `stage`; `stages` are those that the driver has roots for."""
    if stage is Stage.CLOSE and Stage.CLEAN_UP not in stages:
        stage = Stage.CLEAN_UP
    return _NEEDED[stage] & (stages | {Stage.LOAD})


def _reached(so_far: Sequence[Step]) -> frozenset[Stage]:
    """Return what has happened and was not ended since."""
    starts_fresh = bool(so_far) and stage_of(so_far[0].root) is Stage.LOAD
    reached = frozenset() if starts_fresh else _IN_USE
    for step in so_far:
        stage = stage_of(step.root)
        reached = (reached - _ENDED.get(stage, frozenset())) | ({stage} - {Stage.UNLOAD})
    return reached


def is_in_order(steps: Sequence[Step], roots: Sequence[Root]) -> bool:
    """Return whether each of the steps may come after those before it."""
    return len(steps) <= MAX_STEPS and all(
        any(candidate.root == step.root for candidate in next_steps(roots, steps[:index]))
        for index, step in enumerate(steps)
    )


def draw_step(
    generator: random.Random, roots: Sequence[Root], so_far: Sequence[Step], known: Sequence[Step] = ()
) -> Step | None:
    """Return a step that may come next, None where nothing may.

    `known` are steps whose inputs are worth having again: their roots get one of them mostly.
    """
    candidates = next_steps(roots, so_far)
    if not candidates:
        return None
    chosen = generator.choices(candidates, [candidate.weight for candidate in candidates])[0]
    return _with_input(generator, chosen.root, known)


def mutate_steps(
    generator: random.Random, steps: Sequence[Step], roots: Sequence[Root], known: Sequence[Step] = ()
) -> tuple[Step, ...]:
    """Return steps of which one is inserted, dropped, swapped with another or given another input.

    The result makes sense by the roles of its steps, and has at most MAX_STEPS of them; it is what `steps` are where
    no change was found that does. Inputs are fitted to their new states by `States.settled`.
    """
    before = tuple(steps)
    for _ in range(_ATTEMPTS):
        change = generator.choice(_CHANGES if before else _CHANGES[:1])
        changed = change(generator, before, roots, known)
        if changed != before and is_in_order(changed, roots):
            return changed
    return before


_Steps = tuple[Step, ...]


def _insert(generator: random.Random, steps: _Steps, roots: Sequence[Root], known: Sequence[Step]) -> _Steps:
    at = generator.randint(0, len(steps))
    step = draw_step(generator, roots, steps[:at], known)
    return (*steps[:at], step, *steps[at:]) if step is not None else steps


def _drop(generator: random.Random, steps: _Steps, _roots: Sequence[Root], _known: Sequence[Step]) -> _Steps:
    at = generator.randrange(len(steps))
    return steps[:at] + steps[at + 1 :]


def _swap(generator: random.Random, steps: _Steps, _roots: Sequence[Root], _known: Sequence[Step]) -> _Steps:
    first, second = generator.randrange(len(steps)), generator.randrange(len(steps))
    changed = list(steps)
    changed[first], changed[second] = changed[second], changed[first]
    return tuple(changed)


def _replace(generator: random.Random, steps: _Steps, _roots: Sequence[Root], known: Sequence[Step]) -> _Steps:
    at = generator.randrange(len(steps))
    return (*steps[:at], _with_input(generator, steps[at].root, known), *steps[at + 1 :])


_Change = Callable[[random.Random, _Steps, Sequence[Root], Sequence[Step]], _Steps]
_CHANGES: Sequence[_Change] = (_insert, _insert, _drop, _swap, _replace)
"""Twice as many insertions as deletions, so that sequences grow."""


def _with_input(generator: random.Random, root: Root, known: Sequence[Step]) -> Step:
    """Return a step of this root: a known one three times of four where there are any, else one with a new input."""
    own = [step for step in known if (step.root.address, step.root.role) == (root.address, root.role)]
    if own and generator.randrange(4):
        step = generator.choice(own)
        return Step(root, step.source, step.pool)
    return Step(root, generator.choice(default_inputs(generator.randrange(_SEEDS), 8)))
