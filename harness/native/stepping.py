"""Single-stepping a confined process, and the history of EIP and ESP that comes of it."""

from __future__ import annotations

import array
import os
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from enum import Enum
from typing import Final

from stackemu.harness.native import ptrace, stops
from stackemu.harness.native.registers import RegisterFile
from stackemu.harness.native.stops import Signal, SignalInfo, SystemCall

_EIP: Final = ptrace.USER_REGISTERS.index("rip")
_ESP: Final = ptrace.USER_REGISTERS.index("rsp")
_NUMBER: Final = ptrace.USER_REGISTERS.index("orig_rax")
_CODE: Final = 2
"""The word of struct siginfo that holds si_code."""


class Halt(Enum):
    """Why a run stopped, where nothing came in its way."""

    ADDRESS = "address"
    LIMIT = "limit"


@dataclass(frozen=True, slots=True)
class Run:
    """What a run saw: EIP and ESP after each step, in order, and why it ended.

    `steps` counts what the processor executed; it is larger than the number of pairs where a `rep` was collapsed.
    What ended the run with a signal or a system call is no step and has no pair.
    """

    eip: array.array[int]
    esp: array.array[int]
    steps: int
    ended: Halt | Signal | SystemCall


class Stepper:
    """Steps one traced process; the register file is refilled by every step."""

    def __init__(self, pid: int, registers: RegisterFile) -> None:
        """Step the process `pid`, which is stopped."""
        self._pid = pid
        self._registers = registers
        self._signal = SignalInfo(pid)

    def run(self, limit: int, stop_addresses: AbstractSet[int], *, collapse: bool) -> Run:
        """Step until `limit`, a stop address, a signal or a system call.

        Every step costs three requests and a wait: the siginfo tells a step from a breakpoint in the code.
        """
        # Names are bound outside the loop because the loop runs once an instruction.
        request, wait, pid = ptrace.PTRACE, os.waitpid, self._pid
        words, words_at = self._registers.words, self._registers.address
        information, information_at = self._signal.words, self._signal.address
        eips, esps = array.array("I"), array.array("I")
        ptrace.request(ptrace.GETREGS, pid, 0, words_at)
        before = (words[_EIP] & 0xFFFFFFFF, words[_ESP] & 0xFFFFFFFF) if collapse else None
        ended: Halt | Signal | SystemCall = Halt.LIMIT
        steps = 0
        while steps < limit:
            if request(ptrace.SYSEMU_SINGLESTEP, pid, 0, 0):
                raise ptrace.refusal(ptrace.SYSEMU_SINGLESTEP)
            status = wait(pid, 0)[1]
            if status != stops.STEPPED:
                ended = self._interruption(status)
                break
            request(ptrace.GETSIGINFO, pid, 0, information_at)
            if information[_CODE] != stops.TRAP_TRACE:
                ended = self._signal.read()
                break
            request(ptrace.GETREGS, pid, 0, words_at)
            steps += 1
            eip, esp = words[_EIP] & 0xFFFFFFFF, words[_ESP] & 0xFFFFFFFF
            if before is not None:
                if before == (eip, esp):
                    continue
                before = (eip, esp)
            eips.append(eip)
            esps.append(esp)
            if eip in stop_addresses:
                ended = Halt.ADDRESS
                break
        return Run(eips, esps, steps, ended)

    def _interruption(self, status: int) -> Signal | SystemCall:
        """Return what stopped the process other than a step; raise EndedError where it is no more."""
        stops.require_alive(status)
        if status == stops.SYSTEM_CALL:
            ptrace.request(ptrace.GETREGS, self._pid, 0, self._registers.address)
            return SystemCall(self._registers.words[_NUMBER] & 0xFFFFFFFF)
        return self._signal.read()
