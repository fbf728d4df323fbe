"""What drivers tell a debugger: DbgPrint and its like, assertions, breakpoints. No debugger is attached.

Rules of the pages of DbgPrint, DbgPrintEx, vDbgPrintExWithPrefix, DbgSetDebugPrintCallback and KdDisableDebugger in
the WDK.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import NoReturn

from stackemu.emu.kernel.api.formatting import list_arguments, stack_arguments
from stackemu.emu.kernel.api.printf import format_text
from stackemu.emu.kernel.call import ApiCall, Context, Raised
from stackemu.emu.kernel.roots import Root, Words

STATUS_BREAKPOINT = 0x80000003
STATUS_DEBUGGER_INACTIVE = 0xC0000354
MAX_MESSAGE = 512
"""Bytes of one message that DbgPrint transmits at most."""
MAX_MESSAGES = 1000
_DPFLTR_IHVDRIVER = 77
_DPFLTR_INFO = 3


@dataclass(slots=True)
class DebugOutput:
    """Messages that the driver printed, in order."""

    messages: list[str] = field(default_factory=list)
    dropped: int = 0


def _print(call: ApiCall, template: int, arguments: Iterator[int], prefix: bytes = b"") -> None:
    text = (prefix + bytes(format_text(call, template, arguments, is_wide=False)))[:MAX_MESSAGE]
    output = call.state(DebugOutput)
    if len(output.messages) < MAX_MESSAGES:
        output.messages.append(text.decode("cp1252", "replace"))
    else:
        output.dropped += 1


def _dbg_print(first: int) -> Callable[[ApiCall], None]:
    """The format is the argument before `first`."""

    def behaviour(call: ApiCall) -> None:
        _print(call, call.stack_words[first - 1], stack_arguments(call, first))

    return behaviour


def _print_list(call: ApiCall) -> None:
    _component, _level, template, arguments = call.arguments[:4]
    _print(call, template, list_arguments(call, arguments))


def _print_list_with_prefix(call: ApiCall) -> None:
    prefix, _component, _level, template, arguments = call.arguments[:5]
    _print(call, template, list_arguments(call, arguments), call.terminated(prefix))


def _prompt(call: ApiCall) -> None:
    """Nobody answers: the response is empty."""
    _, response, room = call.arguments[:3]
    if room:
        call.put_u8(response, 0)


def _is_filter_on(call: ApiCall) -> None:
    call.eax = int(call.succeeds)


def _set_print_callback(call: ApiCall) -> None:
    callback, enables = call.arguments[:2]
    if enables & 0xFF:
        call.root(callback, "debug print callback", "debug-print")


def _print_callback(context: Context, _root: Root) -> Words:
    """(Output: STRING*, ComponentId, Level)."""
    text = b"A message that another driver prints\n"
    buffer = context.allocate(len(text) + 1)
    context.write(buffer, text)
    string = context.allocate(8)
    context.write(string, struct.pack("<HHI", len(text), len(text) + 1, buffer))
    return Words((string, _DPFLTR_IHVDRIVER, _DPFLTR_INFO))


def _assert(call: ApiCall) -> None:
    """RtlAssert of a free build of Windows does nothing; that the assertion failed is worth a note."""
    assertion, file, line = call.arguments[:3]
    texts = [
        call.terminated(address).decode("cp1252", "replace") if address else "?" for address in (assertion, file)
    ]
    call.note(f"RtlAssert: {texts[0]} does not hold ({texts[1]}, line {line})")


def _break(_call: ApiCall) -> NoReturn:
    raise Raised(STATUS_BREAKPOINT)


def _refuse(call: ApiCall) -> None:
    call.eax = STATUS_DEBUGGER_INACTIVE


def _true(call: ApiCall) -> None:
    call.eax = 1


def _nothing(_call: ApiCall) -> None:
    pass


BEHAVIOURS: Mapping[str, Callable[[ApiCall], None]] = {
    "DbgPrint": _dbg_print(1),
    "DbgPrintReturnControlC": _dbg_print(1),
    "DbgPrintEx": _dbg_print(3),
    "vDbgPrintEx": _print_list,
    "vDbgPrintExWithPrefix": _print_list_with_prefix,
    "DbgPrompt": _prompt,
    "DbgQueryDebugFilterState": _is_filter_on,
    "DbgSetDebugFilterState": _nothing,
    "DbgSetDebugPrintCallback": _set_print_callback,
    "DbgCommandString": _nothing,
    "DbgLoadImageSymbols": _nothing,
    "RtlAssert": _assert,
    "DbgBreakPoint": _break,
    "DbgBreakPointWithStatus": _break,
    "KdDisableDebugger": _refuse,
    "KdEnableDebugger": _refuse,
    "KdChangeOption": _refuse,
    "KdRefreshDebuggerNotPresent": _true,
}

ROLES: Mapping[str, Callable[[Context, Root], Words]] = {"debug-print": _print_callback}
