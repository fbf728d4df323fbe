"""One decoded x86 instruction, reduced to what stack analysis needs; decoded by capstone."""

from __future__ import annotations

import enum
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, NamedTuple

import capstone
from capstone import x86_const as x86

EAX, ECX, EDX, EBX, ESP, EBP, ESI, EDI = range(8)
REGISTER_NAMES = ("eax", "ecx", "edx", "ebx", "esp", "ebp", "esi", "edi")
CALL_CLOBBERED = (EAX, ECX, EDX)
CALLEE_SAVED = (EBX, EBP, ESI, EDI)

MAX_INSTRUCTION = 15
"""The longest x86 instruction, in bytes (Intel SDM volume 2, 2.3.11)."""


class Flow(enum.Enum):
    """Where control goes after an instruction."""

    NEXT = "next"
    CALL = "call"
    JUMP = "jump"
    BRANCH = "branch"
    RETURN = "return"
    STOP = "stop"
    """Never continues: hlt, int3, int 29h, ud2."""


class Reg(NamedTuple):
    """A register operand; `size` in bytes, `number` that of the 32-bit register it is part of."""

    number: int
    size: int
    shift: int = 0
    """Bits below it in that register: 8 for AH, CH, DH and BH."""


class Imm(NamedTuple):
    """An immediate operand, sign-extended as capstone gives it."""

    value: int


@dataclass(frozen=True, slots=True)
class Mem:
    """A memory operand: base + index * scale + disp; `base` and `index` are None where absent."""

    base: int | None
    index: int | None
    scale: int
    disp: int
    segment: str
    size: int


Operand = Reg | Imm | Mem


class Instruction(NamedTuple):
    """A decoded instruction at an absolute address; `writes` are the 32-bit registers it changes."""

    address: int
    size: int
    mnemonic: str
    operands: tuple[Operand, ...]
    writes: frozenset[int]
    flow: Flow

    @property
    def end(self) -> int:
        """Return the address of the next instruction in memory."""
        return self.address + self.size

    @property
    def target(self) -> int | None:
        """Return the address that a direct call, jump or branch goes to."""
        if self.flow in _TRANSFERS and isinstance(self.operands[0], Imm):
            return self.operands[0].value & 0xFFFFFFFF
        return None

    @property
    def slot(self) -> int | None:
        """Return the address of the pointer that `call [slot]` or `jmp [slot]` goes through."""
        if self.flow in _TRANSFERS and isinstance(self.operands[0], Mem):
            operand = self.operands[0]
            if operand.base is None and operand.index is None and not operand.segment:
                return operand.disp & 0xFFFFFFFF
        return None


_TRANSFERS = (Flow.CALL, Flow.JUMP, Flow.BRANCH)

_FAMILIES = {
    EAX: ("eax", "ax", "al", "ah"),
    ECX: ("ecx", "cx", "cl", "ch"),
    EDX: ("edx", "dx", "dl", "dh"),
    EBX: ("ebx", "bx", "bl", "bh"),
    ESP: ("esp", "sp"),
    EBP: ("ebp", "bp"),
    ESI: ("esi", "si"),
    EDI: ("edi", "di"),
}
_REGISTERS: dict[int, Reg] = {
    getattr(x86, f"X86_REG_{name.upper()}"): Reg(number, size, 8 if name[-1] == "h" else 0)
    for number, names in _FAMILIES.items()
    for name, size in zip(names, (4, 2, 1, 1), strict=False)
}
_SEGMENTS = {x86.X86_REG_FS: "fs", x86.X86_REG_GS: "gs"}
_NO_WRITES: frozenset[int] = frozenset()
_PREFIXES = ("rep ", "repe ", "repz ", "repne ", "repnz ", "lock ", "bnd ", "notrack ")
_OPERAND_SIZE_PREFIX = 0x66
_STOP_IDS = frozenset({x86.X86_INS_HLT, x86.X86_INS_INT3, x86.X86_INS_UD2, x86.X86_INS_UD0, x86.X86_INS_UD1})
_RETURN_IDS = frozenset({x86.X86_INS_RET, x86.X86_INS_RETF, x86.X86_INS_IRET, x86.X86_INS_IRETD})
_FAST_FAIL_VECTOR = 0x29
# What these write is known without asking capstone, whose answer costs more than the decoding.
_WRITES_NOTHING = frozenset(
    {"cmp", "test", "push", "nop", "jmp", "ret", "cld", "std", "clc", "stc", "cli", "sti", "pushfd", "pushal"}
)
_WRITES_FIRST = frozenset(
    {"mov", "lea", "add", "sub", "and", "or", "xor", "inc", "dec", "shl", "shr", "sar", "rol", "ror", "not", "neg",
     "movzx", "movsx", "adc", "sbb", "pop"}
)  # fmt: skip


_MAX_KNOWN = 1 << 17
_RELATIVE = ("j", "loop", "call", "bnd j", "bnd call", "notrack j", "notrack call")
"""How capstone writes transfers whose operand is the address that they go to, where it is a number."""


class Decoder:
    """Decodes instructions one after another out of a piece of memory.

    Most instructions of an image are written the same way many times: what capstone's details say of each is worked
    out once, by its bytes, or by its mnemonic where the bytes are relative to its address.
    """

    def __init__(self) -> None:
        """Open a 32-bit capstone decoder with operand details."""
        self._capstone = capstone.Cs(capstone.CS_ARCH_X86, capstone.CS_MODE_32)
        self._capstone.detail = True
        self._known: dict[bytes | str, Instruction] = {}

    def decode(self, data: bytes, address: int, limit: int = 0) -> Iterator[Instruction]:
        """Yield the instructions in `data`, which lies at `address`, up to `limit` of them (0: all).

        Ends at the first byte sequence that is no instruction.
        """
        known, start = self._known, address
        for at, size, mnemonic, operands in self._capstone.disasm_lite(data, address, limit):
            code = data[at - start : at - start + size]
            if operands[:2] == "0x" and mnemonic.startswith(_RELATIVE):
                like = known.get(mnemonic)
                if like is None:
                    like = self._learn(mnemonic, code, at)
                yield Instruction(at, size, like.mnemonic, (Imm(int(operands, 16)),), like.writes, like.flow)
                continue
            like = known.get(code)
            if like is None:
                like = self._learn(code, code, at)
            yield Instruction(at, size, like.mnemonic, like.operands, like.writes, like.flow)

    def _learn(self, key: bytes | str, code: bytes, address: int) -> Instruction:
        """Decode one instruction with its details and remember it."""
        if len(self._known) >= _MAX_KNOWN:
            self._known.clear()
        instruction = _convert(next(self._capstone.disasm(code, address, 1)))
        self._known[key] = instruction
        return instruction


def _convert(raw: Any) -> Instruction:
    mnemonic: str = raw.mnemonic.strip()
    for prefix in _PREFIXES:
        mnemonic = mnemonic.removeprefix(prefix)
    operands = tuple(_operand(operand) for operand in raw.operands)
    if raw.prefix[2] == _OPERAND_SIZE_PREFIX and mnemonic in ("push", "ret") and not _sized(operands):
        mnemonic += "w"  # `push imm`, `push segment` and `ret` move 2 bytes then; no operand shows it
    return Instruction(
        raw.address, raw.size, mnemonic, operands, _writes(raw, mnemonic, operands), _flow(raw, mnemonic, operands)
    )


def _sized(operands: tuple[Operand, ...]) -> bool:
    return any(isinstance(operand, Mem) or (isinstance(operand, Reg) and operand.number >= 0) for operand in operands)


def _operand(raw: Any) -> Operand:
    if raw.type == x86.X86_OP_REG:
        return _REGISTERS.get(raw.reg, Reg(-1, raw.size))
    if raw.type == x86.X86_OP_IMM:
        return Imm(raw.imm)
    mem = raw.mem
    return Mem(
        _REGISTERS[mem.base].number if mem.base in _REGISTERS else None,
        _REGISTERS[mem.index].number if mem.index in _REGISTERS else None,
        mem.scale,
        mem.disp,
        _SEGMENTS.get(mem.segment, ""),
        raw.size,
    )


def _writes(raw: Any, mnemonic: str, operands: tuple[Operand, ...]) -> frozenset[int]:
    if mnemonic in _WRITES_NOTHING or raw.id in _RETURN_IDS or mnemonic[0] == "j":
        return _NO_WRITES
    if mnemonic in _WRITES_FIRST:
        first = operands[0]
        return frozenset((first.number,)) if isinstance(first, Reg) and first.number >= 0 else _NO_WRITES
    written = raw.regs_access()[1]
    return frozenset(_REGISTERS[register].number for register in written if register in _REGISTERS)


def _flow(raw: Any, mnemonic: str, operands: tuple[Operand, ...]) -> Flow:
    if raw.id == x86.X86_INS_CALL:
        return Flow.CALL
    if raw.id == x86.X86_INS_JMP:
        return Flow.JUMP
    if raw.id in _RETURN_IDS:
        return Flow.RETURN
    if mnemonic[0] == "j" or mnemonic.startswith("loop"):
        return Flow.BRANCH
    if raw.id in _STOP_IDS:
        return Flow.STOP
    if raw.id == x86.X86_INS_INT and operands[0] == Imm(_FAST_FAIL_VECTOR):
        return Flow.STOP
    return Flow.NEXT
