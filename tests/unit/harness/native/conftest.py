"""A native process with code, a stack and a KPCR in it, where the host can run one.

Code is a listing: each line has an instruction's bytes in hexadecimal and, behind a bar, its text as capstone writes
it, which is checked. A text in brackets describes what a 32-bit decoder cannot read.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

import capstone
import pytest

from stackemu.harness.native.availability import why_not
from stackemu.harness.native.process import NativeProcess
from stackemu.harness.native.registers import Registers
from stackemu.harness.native.stepping import Run


def assemble(listing: str, address: int) -> bytes:
    """Return the bytes of a listing whose texts are what capstone reads in them at `address`."""
    disassembler = capstone.Cs(capstone.CS_ARCH_X86, capstone.CS_MODE_32)
    code = b""
    for line in listing.strip().splitlines():
        written, text = (part.strip() for part in line.split("|"))
        instruction = bytes.fromhex(written)
        if not text.startswith("["):
            read = [f"{i.mnemonic} {i.op_str}".strip() for i in disassembler.disasm(instruction, address + len(code))]
            assert read == [text]
        code += instruction
    return code


@dataclass(frozen=True)
class Bench:
    """A confined process and the places in it."""

    process: NativeProcess
    code: int = 0x80010000
    stack: int = 0xA5DEE000
    entry: int = 0xA5DEE80C
    kpcr: int = 0xFFDFF000

    def prepare(self, listing: str, **registers: int) -> NativeProcess:
        """Put code and registers in place: EIP at the code, ESP at the entry, all else 0 unless given."""
        self.process.write(self.code, assemble(listing, self.code))
        self.process.registers = replace(Registers(eip=self.code, esp=self.entry), **registers)
        return self.process

    def heights(self, run: Run) -> list[int]:
        """Return how far below the entry ESP was after each step, in bytes."""
        return [self.entry - esp for esp in run.esp]


@pytest.fixture(scope="session")
def native_host() -> None:
    """Skip the test, with the reason, where the host cannot run a native process."""
    reason = why_not()
    if reason is not None:
        pytest.skip(reason)


@pytest.fixture
def bench(native_host: None) -> Iterator[Bench]:
    """Return a bench with its pages mapped and FS over the KPCR, confined."""
    with NativeProcess() as process:
        bench = Bench(process)
        for page in (bench.code, bench.stack, bench.kpcr):
            process.map(page, 0x1000)
        process.set_fs_base(bench.kpcr)
        process.confine()
        yield bench


@pytest.fixture
def listing() -> Callable[[str, int], bytes]:
    """Return the assembler of listings."""
    return assemble
