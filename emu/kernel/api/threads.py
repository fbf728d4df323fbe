"""Processes and threads: who is running, lookups by id, system threads and their start routines."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from stackemu.emu.inputs import STATUS_INVALID_PARAMETER
from stackemu.emu.kernel.api.choices import pick
from stackemu.emu.kernel.api.irql import APC_LEVEL, PASSIVE_LEVEL, limit_irql
from stackemu.emu.kernel.api.plain_roots import plain_words
from stackemu.emu.kernel.call import ApiCall, Context, Terminated
from stackemu.emu.kernel.objects import current_process
from stackemu.emu.kernel.roots import Root, Words
from stackemu.emu.kernel.variables import initial_pointer
from stackemu.emu.processor import CURRENT_THREAD

CURRENT_PROCESS_ID, CURRENT_THREAD_ID, SYSTEM_PROCESS_ID = 0x5A4, 0x5A8, 4
_FIRST_NEW_ID = 0x700
_KERNEL_HANDLE = 0x80000000
_OPAQUE_SIZE = 0x400
"""Room, in bytes, for an EPROCESS or ETHREAD."""
_MAXIMUM_PRIORITY = 31
_NORMAL_PRIORITY = 8


@dataclass(slots=True)
class Threads:
    """Ids of processes and threads with their objects, priorities that were set, threads that were started."""

    processes: dict[int, int] = field(
        default_factory=lambda: {SYSTEM_PROCESS_ID: initial_pointer("PsInitialSystemProcess")}
    )
    threads: dict[int, int] = field(default_factory=dict)
    priorities: dict[int, int] = field(default_factory=dict)
    started: int = 0


def _constant(value: int) -> Callable[[ApiCall], None]:
    def behaviour(call: ApiCall) -> None:
        call.eax = value

    return behaviour


def _current_process(call: ApiCall) -> None:
    call.eax = current_process(call)


# -- objects and ids --


def process_object(context: Context, identifier: int) -> int:
    """Return the EPROCESS of a process id, made when nobody has asked for it yet."""
    if identifier == CURRENT_PROCESS_ID:
        return current_process(context)
    return _object(context, context.state(Threads).processes, identifier)


def thread_object(context: Context, identifier: int) -> int:
    """Return the ETHREAD of a thread id, made when nobody has asked for it yet."""
    if identifier == CURRENT_THREAD_ID:
        return CURRENT_THREAD
    return _object(context, context.state(Threads).threads, identifier)


def _object(context: Context, known: dict[int, int], identifier: int) -> int:
    if identifier not in known:
        known[identifier] = context.allocate(_OPAQUE_SIZE)
    return known[identifier]


def _lookup(find: Callable[[Context, int], int]) -> Callable[[ApiCall], None]:
    """PsLookupProcessByProcessId and PsLookupThreadByThreadId: STATUS_INVALID_PARAMETER for an id of nobody."""

    def behaviour(call: ApiCall) -> None:
        identifier, out = call.arguments[:2]
        limit_irql(call, APC_LEVEL)
        if not call.succeeds or identifier == 0:
            call.complete(STATUS_INVALID_PARAMETER)
            return
        call.put_u32(out, find(call, identifier))

    return behaviour


def _identifier(known: Mapping[int, int], address: int, current: int) -> int:
    found = next((identifier for identifier, at in known.items() if at == address), None)
    return found if found is not None else current


def _process_id(call: ApiCall) -> None:
    call.eax = _identifier(call.state(Threads).processes, call.arguments[0], CURRENT_PROCESS_ID)


def _thread_id(call: ApiCall) -> None:
    call.eax = _identifier(call.state(Threads).threads, call.arguments[0], CURRENT_THREAD_ID)


def _is_system_thread(call: ApiCall) -> None:
    call.eax = pick(call, (0, 1))


def _previous_mode(call: ApiCall) -> None:
    """KernelMode or UserMode: who asked for what the driver does."""
    call.eax = pick(call, (0, 1))


# -- priorities --


def _set_priority(call: ApiCall) -> None:
    thread, priority = call.arguments[:2]
    priorities = call.state(Threads).priorities
    call.eax = priorities.get(thread, _NORMAL_PRIORITY)
    if not 1 <= priority <= _MAXIMUM_PRIORITY:
        call.note(f"{call.name}: {priority} is no thread priority")
    priorities[thread] = priority


def _query_priority(call: ApiCall) -> None:
    call.eax = call.state(Threads).priorities.get(call.arguments[0], _NORMAL_PRIORITY)


# -- system threads --


def _create(first: int) -> Callable[[ApiCall], None]:
    """Return the behaviour of a function whose argument `first` is where the thread's handle goes."""

    def behaviour(call: ApiCall) -> None:
        handle, _access, _attributes, _process, client_id, routine, context = call.arguments[first : first + 7]
        limit_irql(call, PASSIVE_LEVEL)
        if not call.succeeds:
            call.fail()
            return
        threads = call.state(Threads)
        identifier = _FIRST_NEW_ID + 4 * threads.started
        threads.started += 1
        thread_object(call, identifier)
        call.put_u32(handle, _KERNEL_HANDLE | identifier)
        if client_id:
            call.put_u32(client_id, SYSTEM_PROCESS_ID)
            call.put_u32(client_id + 4, identifier)
        call.root(routine, "system thread", "system-thread", context)

    return behaviour


def _terminate(call: ApiCall) -> None:
    limit_irql(call, PASSIVE_LEVEL)
    raise Terminated


BEHAVIOURS: Mapping[str, Callable[[ApiCall], None]] = {
    "KeGetCurrentThread": _constant(CURRENT_THREAD),
    "PsGetCurrentThread": _constant(CURRENT_THREAD),
    "IoGetCurrentProcess": _current_process,
    "PsGetCurrentProcess": _current_process,
    "PsGetCurrentThreadProcess": _current_process,
    "PsGetThreadProcess": _current_process,
    "IoThreadToProcess": _current_process,
    "PsGetCurrentProcessId": _constant(CURRENT_PROCESS_ID),
    "PsGetCurrentThreadProcessId": _constant(CURRENT_PROCESS_ID),
    "PsGetThreadProcessId": _constant(CURRENT_PROCESS_ID),
    "PsGetCurrentThreadId": _constant(CURRENT_THREAD_ID),
    "PsGetProcessId": _process_id,
    "PsGetThreadId": _thread_id,
    "PsLookupProcessByProcessId": _lookup(process_object),
    "PsLookupThreadByThreadId": _lookup(thread_object),
    "PsIsSystemThread": _is_system_thread,
    "ExGetPreviousMode": _previous_mode,
    "KeGetPreviousMode": _previous_mode,
    "PsGetCurrentThreadPreviousMode": _previous_mode,
    "KeSetPriorityThread": _set_priority,
    "KeQueryPriorityThread": _query_priority,
    "PsCreateSystemThread": _create(0),
    "IoCreateSystemThread": _create(1),
    "PsTerminateSystemThread": _terminate,
}

ROLES: Mapping[str, Callable[[Context, Root], Words]] = {"system-thread": plain_words}
