"""How many executions a second fuzzing makes on one core: a function of 150 instructions, resets included.

    python tests/benchmarks/fuzz_rate.py [--rounds N]

Prints executions a second of batches (memory put back, slots mutated, registers loaded, stack measured, the result
judged) and of a C loop that only calls uc_emu_start on the same function without hooks; then `ratio N.NN`, the first
over the second: the median of rounds in which both take turns. Fails when a batch does not see the depth that the
listing implies.
"""

from __future__ import annotations

import argparse
import statistics
import struct
import sys
import time
from pathlib import Path

from unicorn import x86_const

from stackemu.emu.calls import Arguments
from stackemu.emu.engine import engine_pointer, open_engine, start_address
from stackemu.emu.fuzzing import FuzzMachine
from stackemu.emu.image import DEFAULT_BASE, Image, Section
from stackemu.emu.inputs import Input, Place, Style
from stackemu.emu.observation import Outcome
from stackemu.emu.probe import bare_loop

RVA = 0x1000
CALLER = DEFAULT_BASE + RVA + 0x800
EXECUTIONS = 50_000
# push ebp; mov ebp, esp; sub esp, 32; push ebx; push esi; mov esi, [ebp+8]; xor ebx, ebx
PROLOGUE = "55 89e5 83ec20 53 56 8b7508 31db"
# Nine times, for n from 0: mov eax, [esi+4n]; add ebx, eax; mov [ebp-4-4(n%8)], eax; test al, 1; jz over one;
# inc ebx; imul eax, eax, 7; xor ebx, eax; lea ecx, [ebx+n]; rol ecx, 3; and ecx, 0xff; cmp ecx, 0x80; ja over one;
# add ebx, ecx; mov edx, [ebp-4-4(n%8)]; sub ebx, edx
TURN = "8b46{a:02x} 01c3 8945{l:02x} a801 7401 43 6bc007 31c3 8d4b{n:02x} c1c103 81e1ff000000 81f980000000 7702 01cb"
TURN += " 8b55{l:02x} 29d3"
TURNS = 9
# mov eax, ebx; pop esi; pop ebx; leave; ret
EPILOGUE = "89d8 5e 5b c9 c3"
INSTRUCTIONS = 7 + 16 * TURNS + 5
"""156, of which jumps leave out a few."""
DEPTH = 4 + 32 + 8
"""EBP, locals, EBX and ESI."""
ARGUMENT = 0x86000100
"""What a first argument of unknown type points to (`inputs.pointer`)."""


def code() -> bytes:
    """Return the function's code."""
    turns = [TURN.format(a=4 * n, l=0xFC - 4 * (n % 8), n=n) for n in range(TURNS)]
    return bytes.fromhex(" ".join([PROLOGUE, *turns, EPILOGUE]))


def image() -> Image:
    """Return an image that holds nothing else."""
    text = Section(".text", RVA, code().ljust(0x1000, b"\xcc"), writable=False, executable=True, discardable=False)
    data = Section(".data", RVA + 0x1000, bytes(0x4000), writable=True, executable=False, discardable=False)
    return Image(
        path=Path("rate.sys"),
        sha256="",
        machine="x86",
        base=DEFAULT_BASE,
        size=0x6000,
        entry=None,
        headers=b"",
        sections=(text, data),
        imports=(),
        exports=(),
        debug_id=None,
        relocations=(),
        guard_functions=(),
        security_cookie=None,
    )


class Bare:
    """The function in an engine without hooks, called by `call function; hlt`, which leaves ESP as it was."""

    def __init__(self) -> None:
        """Map it with a stack and an argument."""
        self._engine = open_engine()
        for address in (DEFAULT_BASE + RVA, ARGUMENT & -0x1000, 0x80000000):
            self._engine.mem_map(address, 0x1000)
        esp = 0x80000800
        self._engine.mem_write(DEFAULT_BASE + RVA, code())
        self._engine.mem_write(CALLER, b"\xe8" + struct.pack("<i", DEFAULT_BASE + RVA - CALLER - 5) + b"\xf4")
        self._engine.mem_write(esp, struct.pack("<I", ARGUMENT))
        self._engine.reg_write(x86_const.UC_X86_REG_ESP, esp)

    def rate(self, count: int) -> float:
        """Return calls a second."""
        started = time.process_time()
        bare_loop(start_address(), engine_pointer(self._engine), CALLER, 0xFFFFFFFF, count)
        return count / (time.process_time() - started)


class Fuzzed:
    """The function in batches: what its argument points to is mutated."""

    def __init__(self) -> None:
        """Set up the machine; the first batch finds what there is to find."""
        begin = DEFAULT_BASE + RVA
        self._machine = FuzzMachine(image(), [(begin, begin + len(code()))], lambda _: 0)
        self._source = Input(0, Style.ZEROS, True)
        self._way = Arguments((True,))
        self._slots = self._machine.learn(RVA, self._source, self._way)
        self._seed = 0
        self.rate(EXECUTIONS)

    def wrong(self) -> str | None:
        """Return what is wrong with what batches see, None when nothing is."""
        read = [slot for slot in self._slots if slot.place is Place.MEMORY]
        if [(slot.key, slot.size) for slot in read] != [(ARGUMENT, 4 * TURNS)]:
            return f"expected one slot for what the argument points to, got {read}"
        self._machine.unlearn()
        batch = self._machine.batch(RVA, self._source, self._way, read, executions=100)
        figures = {(find.outcome, find.own, find.depth) for find in batch.finds}
        if figures != {(Outcome.RETURNED, DEPTH, DEPTH)} or batch.native != batch.executions:
            return f"expected depth {DEPTH} without Python, got {figures}"
        return None

    def rate(self, count: int) -> float:
        """Return executions a second."""
        self._seed += 1
        slots = [slot for slot in self._slots if slot.place is Place.MEMORY]
        started = time.process_time()
        batch = self._machine.batch(RVA, self._source, self._way, slots, seed=self._seed, executions=count)
        return batch.executions / (time.process_time() - started)


def main() -> int:
    """Measure both; returns the exit code."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=7, metavar="N", help="rounds of both (default 7)")
    options = parser.parse_args()
    bare, fuzzed = Bare(), Fuzzed()
    bare.rate(EXECUTIONS)
    rounds = [(fuzzed.rate(EXECUTIONS), bare.rate(EXECUTIONS)) for _ in range(options.rounds)]
    print(f"executions/s {statistics.median(rate for rate, _ in rounds):.0f} fuzzed")
    print(f"executions/s {statistics.median(rate for _, rate in rounds):.0f} bare loop")
    print(f"ratio {statistics.median(rate / floor for rate, floor in rounds):.2f}")
    wrong = fuzzed.wrong()
    print(f"      {wrong or f'depth {DEPTH} in every execution, as the listing says'}")
    return int(wrong is not None)


if __name__ == "__main__":
    sys.exit(main())
