"""How an input has to differ so that places of it hold other values, as overrides and in words."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import islice

from stackemu.emu.calls import Recording
from stackemu.emu.code.instruction import EAX, EBP, EBX, ECX, EDI, EDX, ESI, ESP, REGISTER_NAMES
from stackemu.emu.code.origin import Origin
from stackemu.emu.code.origin_tracer import Decision, KernelEvent
from stackemu.emu.inputs import Override, Place
from stackemu.emu.kernel_host import MAX_ARGUMENT_WORDS

MAX_DRAWS = 4
"""Numbers drawn last that are changed to change what a kernel function does."""
_STATUS_ERROR = 3 << 30
_REGISTERS = {EAX: 0, EBX: 3, EBP: 4, ESI: 5, EDI: 6}
_ARGUMENTS = {ECX: MAX_ARGUMENT_WORDS, EDX: MAX_ARGUMENT_WORDS + 1}


def changes_for(decision: Decision, events: Sequence[KernelEvent]) -> Iterator[tuple[Override, ...]]:
    """Yield changes of the input, any of which may turn a decision; `events` are the run's kernel calls."""
    for origin, value in decision.origins:
        yield from _changes(origin, value, events)


def _changes(origin: Origin, value: int, events: Sequence[KernelEvent]) -> Iterator[tuple[Override, ...]]:
    key = origin.key
    if origin.kind == "memory":
        yield (Override(Place.MEMORY, key, value, origin.size),)
    elif origin.kind == "drawn":
        yield (Override(Place.RESULT, key, value),)
    elif origin.kind == "register":
        if key in _ARGUMENTS:
            yield (Override(Place.ARGUMENT, _ARGUMENTS[key], value),)
        elif key in _REGISTERS:
            yield (Override(Place.REGISTER, _REGISTERS[key], value),)
    else:
        yield from _changes_of_call(origin, value, events)


def _changes_of_call(origin: Origin, value: int, events: Sequence[KernelEvent]) -> Iterator[tuple[Override, ...]]:
    """Yield what may make a kernel function answer or write something else.

    How it comes to that is its own business: it may fail or succeed, or draw other numbers, itself or a call before
    it on the same object.
    """
    key = origin.key
    if origin.kind == "api" and value & _STATUS_ERROR == _STATUS_ERROR:
        yield (Override(Place.OUTCOME, key, 0), Override(Place.FAILURE, key, value))
    for outcome in (0, 1):
        yield (Override(Place.OUTCOME, key, outcome),)
    if origin.kind == "api":
        yield (Override(Place.RESULT, 8 * key, value),)
    until = next((at for at, event in enumerate(events) if event.ordinal == key), -1)
    drawn = dict.fromkeys(draw for event in reversed(events[: until + 1]) for draw, _ in reversed(event.draws))
    for draw in islice(drawn, MAX_DRAWS):
        yield (Override(Place.RESULT, draw, value),)


def in_words(origin: Origin, value: int, recording: Recording) -> str:
    """Return in words that a place of the input would have to hold a value."""
    esp = recording.steps.registers(0)[ESP]
    if origin.kind == "memory":
        if esp < origin.key <= esp + 4 * MAX_ARGUMENT_WORDS and (origin.key - esp) % 4 == 0:
            return f"argument {(origin.key - esp) // 4} being {value:#x}"
        return f"{origin.size} bytes at {origin.key:#010x} being {value:#x}"
    if origin.kind == "register":
        return f"{REGISTER_NAMES[origin.key].upper()} at entry being {value:#x}"
    ordinal = origin.key // 8 if origin.kind == "drawn" else origin.key
    name = next((event.name for event in recording.events if event.ordinal == ordinal), "a kernel function")
    verb = "writing" if origin.kind == "kernel" else "answering"
    return f"{name} {verb} {value:#x}"
