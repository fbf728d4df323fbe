"""Structured exceptions on x86: the chain at FS:[0], its handlers, unwinding (ntdll/ntoskrnl's RtlDispatchException).

The records are those of excpt.h and winnt.h; the C compiler's own frames are described in Matt Pietrek, "A Crash
Course on the Depths of Win32 Structured Exception Handling", Microsoft Systems Journal, January 1997.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

from stackemu.emu.kernel.call import ApiCall, BadAddress, Context
from stackemu.emu.memory import STACK_BASE, STACK_TOP
from stackemu.emu.processor import KPCR_ADDRESS

CHAIN_END = 0xFFFFFFFF
MAX_HANDLERS = 64
"""Frames of a chain that are asked at most: a chain can be a circle."""
MAX_SCOPES = 256
"""Nested scopes of one frame that are looked at, at most."""

EXCEPTION_NONCONTINUABLE = 1
EXCEPTION_UNWINDING = 2
EXCEPTION_EXIT_UNWIND = 4

CONTINUE_EXECUTION, CONTINUE_SEARCH = 0, 1
_TRY_LEVEL_NONE = 0xFFFFFFFF
_CONTEXT_FULL = 0x10007
_CONTEXT_REGISTERS = {
    "EDI": "Edi",
    "ESI": "Esi",
    "EBX": "Ebx",
    "EDX": "Edx",
    "ECX": "Ecx",
    "EAX": "Eax",
    "EBP": "Ebp",
    "EIP": "Eip",
    "EFLAGS": "EFlags",
    "ESP": "Esp",
}

# Offsets in the frame that the C compiler links into the chain (VC_EXCEPTION_REGISTRATION), from the record
# that FS:[0] points to.
_SCOPE_TABLE, _TRY_LEVEL, _FRAME = 8, 12, 16
_EXCEPTION_POINTERS, _SAVED_ESP = -4, -8


@dataclass(frozen=True, slots=True)
class ExceptionRaised:
    """An exception to dispatch: its code, the address it happened at, and its parameters."""

    status: int
    address: int
    information: tuple[int, ...] = ()
    flags: int = 0


def dispatch(context: Context, exception: ExceptionRaised) -> dict[str, int] | None:
    """Offer an exception to the driver's handlers, innermost first.

    Returns the registers to go on with where a handler repaired the cause, None where no handler wanted the
    exception. A handler that takes it does not return here: its code goes on where its `__except` block is.
    """
    records = _Records(context, exception)
    for frame in _chain(context):
        handler = context.u32(frame + 4)
        disposition = context.invoke(handler, records.record, frame, records.context, records.dispatcher)
        if disposition == CONTINUE_EXECUTION and not exception.flags & EXCEPTION_NONCONTINUABLE:
            return records.registers()
    return None


class _Records:
    """The records that handlers are given, in memory of their own: the kernel's share of the stack counts 0."""

    def __init__(self, context: Context, exception: ExceptionRaised) -> None:
        record = context.new("EXCEPTION_RECORD")
        record["ExceptionCode"] = exception.status
        record["ExceptionFlags"] = exception.flags
        record["ExceptionAddress"] = exception.address
        record["NumberParameters"] = len(exception.information)
        for index, value in enumerate(exception.information[:15]):
            context.put_u32(record.at("ExceptionInformation") + 4 * index, value)
        self._view = context.new("CONTEXT")
        self._view["ContextFlags"] = _CONTEXT_FULL
        for register, field in _CONTEXT_REGISTERS.items():
            self._view[field] = context.host.registers()[register]
        self._view["Eip"] = exception.address
        self.record = record.address
        self.context = self._view.address
        self.dispatcher = context.allocate(8)

    def registers(self) -> dict[str, int]:
        """Return the registers of the CONTEXT as handlers left them."""
        return {register: self._view[field] for register, field in _CONTEXT_REGISTERS.items()}


def _chain(context: Context) -> Iterator[int]:
    """Yield the records of the chain that lie on the stack, innermost first."""
    frame = context.u32(KPCR_ADDRESS)
    for _ in range(MAX_HANDLERS):
        if frame == CHAIN_END or frame % 4 or not STACK_BASE <= frame < STACK_TOP:
            return
        yield frame
        frame = context.u32(frame)


def unwind(context: Context, target: int, record: int) -> None:
    """Call the handlers of all frames inside `target` with the unwinding flag, and take the frames off the chain.

    `target` 0 unwinds all (an exit unwind). `record` is the EXCEPTION_RECORD to show them, 0 for a new one.
    """
    if not record:
        record = context.new("EXCEPTION_RECORD").address
        context.put_u32(record, 0xC0000027)  # STATUS_UNWIND
    flags = EXCEPTION_UNWINDING | (0 if target else EXCEPTION_EXIT_UNWIND)
    context.put_u32(record + 4, context.u32(record + 4) | flags)
    saved = context.new("CONTEXT")
    dispatcher = context.allocate(8)
    for frame in _chain(context):
        if frame == target:
            return
        context.invoke(context.u32(frame + 4), record, frame, saved.address, dispatcher)
        context.put_u32(KPCR_ADDRESS, context.u32(frame))


def _rtl_unwind(call: ApiCall) -> None:
    """RtlUnwind goes on at its target address, which the C runtime's callers put right behind their call."""
    target, address, record, value = call.stack_words[:4]
    unwind(call, target, record)
    call.eax = value
    if address and address != call.return_address:
        esp = call.host.registers()["ESP"] + 4 + 16
        call.host.leave(address, esp=esp, ebp=None, eax=value)


@dataclass(frozen=True, slots=True)
class _Frame:
    """A C frame of the `_except_handler3` kind."""

    call: ApiCall
    address: int

    @property
    def ebp(self) -> int:
        return self.address + _FRAME

    @property
    def try_level(self) -> int:
        return self.call.u32(self.address + _TRY_LEVEL)

    def enter_level(self, value: int) -> None:
        """Change the scope that the frame's code counts as being in."""
        self.call.put_u32(self.address + _TRY_LEVEL, value)

    def scope(self, level: int) -> tuple[int, int, int]:
        """Return the enclosing level, the filter (0 for a `__finally`) and the handler of a scope."""
        entry = self.call.u32(self.address + _SCOPE_TABLE) + 12 * level
        if level >= MAX_SCOPES:
            raise BadAddress(entry & 0xFFFFFFFF)
        return self.call.u32(entry), self.call.u32(entry + 4), self.call.u32(entry + 8)


def _local_unwind(frame: _Frame, target: int) -> None:
    """Run the `__finally` blocks of the frame's scopes down to level `target`."""
    for _ in range(MAX_SCOPES):
        level = frame.try_level
        if level in (target, _TRY_LEVEL_NONE):
            return
        enclosing, handler_filter, handler = frame.scope(level)
        frame.enter_level(enclosing)
        if not handler_filter:
            frame.call.invoke(handler, ebp=frame.ebp)


def _except_handler3(call: ApiCall) -> None:
    """The handler of `__try` frames: asks the filters of the scopes entered, and enters the `__except` of one."""
    record, address, saved_context = call.stack_words[:3]
    frame = _Frame(call, address)
    call.eax = CONTINUE_SEARCH
    if call.u32(record + 4) & (EXCEPTION_UNWINDING | EXCEPTION_EXIT_UNWIND):
        _local_unwind(frame, _TRY_LEVEL_NONE)
        return
    pointers = call.new("EXCEPTION_POINTERS")
    pointers["ExceptionRecord"] = record
    pointers["ContextRecord"] = saved_context
    call.put_u32(address + _EXCEPTION_POINTERS, pointers.address)
    level = frame.try_level
    for _ in range(MAX_SCOPES):
        if level == _TRY_LEVEL_NONE:
            return
        enclosing, handler_filter, handler = frame.scope(level)
        if handler_filter:
            answer = call.invoke(handler_filter, ebp=frame.ebp)
            if answer & 0x80000000:
                call.eax = CONTINUE_EXECUTION
                return
            if answer:
                unwind(call, address, record)
                _local_unwind(frame, level)
                frame.enter_level(enclosing)
                call.host.leave(handler, esp=call.u32(address + _SAVED_ESP), ebp=frame.ebp, eax=None)
        level = enclosing


def _local_unwind2(call: ApiCall) -> None:
    address, level = call.stack_words[:2]
    _local_unwind(_Frame(call, address), level)


def _global_unwind2(call: ApiCall) -> None:
    unwind(call, call.stack_words[0], 0)


def _abnormal_termination(call: ApiCall) -> None:
    """Whether a `__finally` block runs because of an unwind cannot be seen from here: it runs in one."""
    call.eax = 1


BEHAVIOURS: Mapping[str, Callable[[ApiCall], None]] = {
    "RtlUnwind": _rtl_unwind,
    "_except_handler3": _except_handler3,
    "_except_handler2": _except_handler3,
    "_local_unwind2": _local_unwind2,
    "_global_unwind2": _global_unwind2,
    "_abnormal_termination": _abnormal_termination,
}
