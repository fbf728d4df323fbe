"""What stopped the processor: faults by kind, the exception that Windows makes of each, and the words of reports."""

from __future__ import annotations

from dataclasses import dataclass

from stackemu.emu.observation import Outcome

STATUS_ACCESS_VIOLATION = 0xC0000005
STATUS_ILLEGAL_INSTRUCTION = 0xC000001D
STATUS_INTEGER_DIVIDE_BY_ZERO = 0xC0000094
STATUS_PRIVILEGED_INSTRUCTION = 0xC0000096
STATUS_BREAKPOINT = 0x80000003
STATUS_ASSERTION_FAILURE = 0xC0000420

WILD_JUMP = "call or jump to"
"""How the words for a transfer to where no code can be begin."""
FAST_FAIL = 0x29
ASSERTION = 0x2C
BREAKPOINT = 3


@dataclass(frozen=True, slots=True)
class Fault:
    """A stop of the processor at `address`: how a run ends by it, unless the driver handles the exception.

    `status` is the exception code that Windows raises for it, None for what no handler ever sees.
    """

    address: int
    outcome: Outcome
    why: str
    status: int | None = None
    information: tuple[int, ...] = ()
    """ExceptionInformation: for an access violation 0 or 1 for read or write, and the address."""


def interrupt(number: int, address: int) -> Fault:
    """Return the fault for a software interrupt or a processor exception by its vector (Intel SDM, table 6-1)."""
    place = f"at {address:#010x}"
    if number == FAST_FAIL:
        return Fault(address, Outcome.BUGCHECK, f"fast fail (int 29h) {place}")
    if number == BREAKPOINT:
        return Fault(address, Outcome.RAISED, f"breakpoint {place}", STATUS_BREAKPOINT)
    if number == ASSERTION:
        return Fault(address, Outcome.RAISED, f"assertion (int 2Ch) {place}", STATUS_ASSERTION_FAILURE)
    known = {
        0: ("division error", STATUS_INTEGER_DIVIDE_BY_ZERO),
        6: ("invalid opcode", STATUS_ILLEGAL_INSTRUCTION),
        13: ("general protection fault", STATUS_PRIVILEGED_INSTRUCTION),
        14: ("page fault", STATUS_ACCESS_VIOLATION),
    }
    text, status = known.get(number, (f"interrupt {number:#x}", None))
    return Fault(address, Outcome.FAULTED, f"{text} {place}", status)


def access(what: str, target: int, address: int, is_write: bool) -> Fault:
    """Return the fault for an access of memory at `target` that is not there or not writable.

    Windows lets handlers see faults on user-mode addresses alone: others are bugchecks at once.
    """
    status = STATUS_ACCESS_VIOLATION if target < 0x80000000 else None
    why = f"{what} {target:#010x} at {address:#010x}"
    return Fault(address, Outcome.FAULTED, why, status, (int(is_write), target))
