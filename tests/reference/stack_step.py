"""One instruction's effect on what is known to point into the stack: registers and stack slots."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, NamedTuple

from assembly_text import Line

if TYPE_CHECKING:
    from stack_paths import Walk

REGISTERS = ("eax", "ecx", "edx", "ebx", "esp", "ebp", "esi", "edi")
PARTS = {
    **{part: f"e{letter}x" for letter in "abcd" for part in (f"{letter}x", f"{letter}l", f"{letter}h")},
    **{name[1:]: name for name in ("esp", "ebp", "esi", "edi")},
}


class AssemblyError(Exception):
    """The text holds something that this reference does not understand: it would have to guess."""


class Value(NamedTuple):
    """'sp': E + n; 'const': the number n; 'code': the instruction n; 'symbol' or 'import' or 'table': by name."""

    kind: str
    n: int = 0
    name: str = ""


class State(NamedTuple):
    """Where a path stands: the next instruction, the registers and the stack slots that hold something known."""

    at: int
    registers: tuple[Value | None, ...]
    slots: frozenset[tuple[int, Value]]


HELPERS = frozenset(
    ("__chkstk", "__alloca_probe", "__SEH_prolog4", "__SEH_prolog", "__EH_prolog", "__EH_prolog3", "__SEH_epilog4",
     "__SEH_epilog", "__EH_epilog3")
)  # fmt: skip
"""Functions that return with another ESP than they were called with; `Step.helper` has their contracts."""

NO_RESULT = frozenset(("cmp", "test", "bt", "nop", "int3", "ud2", "cld", "std", "ucomiss", "comiss", "sti", "cli"))
IMPLICIT = {
    "mul": ("eax", "edx"),
    "div": ("eax", "edx"),
    "idiv": ("eax", "edx"),
    "cdq": ("edx",),
    "cwde": ("eax",),
    "cmpxchg": ("eax",),
    "stosb": ("ecx", "edi"),
    "stosd": ("ecx", "edi"),
    "movsb": ("ecx", "esi", "edi"),
    "movsd": ("ecx", "esi", "edi"),
}
ARITHMETIC = frozenset(("add", "sub", "and", "or", "xor", "inc", "dec", "shl", "neg"))


class Step:
    """One path's state while one instruction is carried out."""

    def __init__(self, walk: Walk, state: State) -> None:
        self.walk = walk
        self.registers: dict[str, Value | None] = dict(zip(REGISTERS, state.registers, strict=True))
        self.slots = dict(state.slots)
        self.next: list[int] = [state.at + 1]

    def states(self) -> Iterator[State]:
        registers = tuple(self.registers[name] for name in REGISTERS)
        bottom = self.esp if self.esp is not None else 0
        slots = frozenset((offset, value) for offset, value in self.slots.items() if offset >= bottom)
        for at in self.next:
            yield State(at, registers, slots)

    # values

    @property
    def esp(self) -> int | None:
        value = self.registers["esp"]
        return value.n if value is not None and value.kind == "sp" else None

    def set_esp(self, offset: int | None) -> None:
        self.registers["esp"] = None if offset is None else Value("sp", offset)

    def address(self, operand: str) -> Value | None:
        """Return the address of a memory operand, where it is on the stack or a symbol's."""
        inside = operand[operand.index("[") + 1 : operand.rindex("]")].replace(" ", "")
        prefix = operand[: operand.index("[")]
        if "fs:" in prefix or "fs:" in inside:
            return None
        total, base, symbol, known = 0, None, "", True
        for sign, term in re.findall(r"([+-]?)([^+-]+)", inside):
            if term.lower() in REGISTERS:
                value = self.registers[term.lower()]
                if value is None or value.kind not in ("sp", "const") or (value.kind == "sp" and base is not None):
                    known = False
                elif value.kind == "sp":
                    base = value
                    total += value.n
                else:
                    total += value.n
            elif re.fullmatch(r"(0x)?[0-9a-fA-F]+", term) and term[0].isdigit():
                total += -int(term, 0) if sign == "-" else int(term, 0)
            elif "*" in term:
                known = False
            else:
                symbol = term
        if symbol:
            return Value("symbol", total, symbol)
        if not known:
            return None
        return Value("sp" if base is not None else "const", total)

    def read(self, operand: str) -> Value | None:
        lowered = operand.lower()
        if lowered in REGISTERS:
            return self.registers[lowered]
        if re.fullmatch(r"-?(0x[0-9a-f]+|\d+)", lowered):
            return Value("const", int(lowered, 0))
        if lowered.startswith("offset "):
            return Value("symbol", 0, operand.split(None, 1)[1])
        if operand.startswith("$"):
            return Value("symbol", 0, operand[1:])
        if "[" in operand:
            if lowered.startswith(("byte", "word")):
                return None
            address = self.address(operand)
            if address is None:
                return None
            if address.kind == "sp":
                return self.slots.get(address.n)
            if address.kind == "symbol" and address.name.startswith("__imp_"):
                return Value("import", 0, address.name)
            if address.kind == "symbol" and self.walk.is_jump_table(address.name):
                return Value("table", 0, address.name)
        return None

    def write(self, operand: str, value: Value | None) -> None:
        """Store a value; constants are kept in EAX only, where _chkstk wants them: others would multiply paths."""
        lowered = operand.lower()
        if value is not None and value.kind == "const" and lowered != "eax":
            value = None
        if lowered in REGISTERS:
            self.registers[lowered] = value
        elif lowered in PARTS:
            if PARTS[lowered] in ("esp", "ebp"):
                raise AssemblyError(f"writes a part of {PARTS[lowered]}: {operand}")
            self.registers[PARTS[lowered]] = None
        elif "[" in operand:
            address = self.address(operand)
            if address is not None and address.kind == "sp":
                for near in range(address.n - 3, address.n + 4):
                    self.slots.pop(near, None)
                if value is not None and not lowered.startswith(("byte", "word", "qword", "xmmword")):
                    self.slots[address.n] = value

    # instructions

    def push(self, value: Value | None, size: int = 4) -> None:
        if self.esp is None:
            return
        self.set_esp(self.esp - size)
        assert self.esp is not None
        for near in range(self.esp - 3, self.esp + size):
            self.slots.pop(near, None)
        if value is not None:
            self.slots[self.esp] = value
        self.walk.reached(self.esp)

    def pop(self, size: int = 4) -> Value | None:
        if self.esp is None:
            return None
        value = self.slots.get(self.esp)
        self.set_esp(self.esp + size)
        return value

    def step(self, line: Line) -> None:
        """Carry out one instruction; `next` says where the path goes on, nowhere at the function's end."""
        name, operands = line.mnemonic, line.operands
        before = self.registers["esp"]
        if name in ("push", "pushl"):
            size = 2 if operands[0].lower() in PARTS or operands[0].lower().startswith("word") else 4
            self.push(self.read(operands[0]) if size == 4 else None, size)
        elif name == "pop":
            self.pop_into(operands[0])
        elif name in ("pushad", "pushal", "popad", "popal"):
            self.all_registers(pushes=name.startswith("push"))
        elif name in ("pushfd", "pushfl"):
            self.push(None)
        elif name in ("popfd", "popfl"):
            self.pop()
        elif name == "enter":
            self.push(self.registers["ebp"])
            self.registers["ebp"] = self.registers["esp"]
            self.arithmetic("sub", ("esp", operands[0]))
        elif name == "leave":
            self.registers["esp"] = self.registers["ebp"]
            self.registers["ebp"] = self.pop()
        elif name in ("ret", "retl"):
            self.leave_by_return(int(operands[0], 0) if operands else 0)
        elif name == "call":
            self.call(operands[0])
        elif name.startswith("j") or name in ("loop", "loope", "loopne"):
            self.jump(name, operands[0])
        elif name == "mov":
            self.write(operands[0], self.read(operands[1]))
        elif name == "lea":
            self.write(operands[0], self.address(operands[1]))
        elif name == "xchg":
            first, second = self.read(operands[0]), self.read(operands[1])
            self.write(operands[0], second)
            self.write(operands[1], first)
        elif name in ARITHMETIC:
            self.arithmetic(name, operands)
        elif name not in NO_RESULT:
            self.other(name, operands)
        if name in ("ud2", "int3"):
            self.next = []
        if self.registers["esp"] is None and before is not None and self.next:
            self.walk.lost(line)
        elif self.esp is not None:
            self.walk.reached(self.esp)

    def pop_into(self, operand: str) -> None:
        size = 2 if operand.lower() in PARTS or operand.lower().startswith("word") else 4
        value = self.pop(size)
        if operand.lower() in PARTS:
            self.registers[PARTS[operand.lower()]] = None
        else:
            self.write(operand, value)

    def all_registers(self, *, pushes: bool) -> None:
        if pushes:
            original = self.registers["esp"]
            for register in REGISTERS:
                self.push(original if register == "esp" else self.registers[register])
        else:
            for register in reversed(REGISTERS):
                value = self.pop()
                if register != "esp":
                    self.registers[register] = value

    def arithmetic(self, name: str, operands: Sequence[str]) -> None:
        target = operands[0]
        value = self.read(target)
        other = self.read(operands[1]) if len(operands) > 1 else Value("const", 1)
        result: Value | None = None
        if name in ("sub", "xor") and len(operands) > 1 and operands[0].lower() == operands[1].lower():
            result = Value("const", 0)
        elif value is None or other is None or other.kind != "const":
            result = None
        elif name in ("add", "inc") and value.kind == "sp":
            result = Value("sp", value.n + other.n)
        elif name in ("sub", "dec") and value.kind == "sp":
            result = Value("sp", value.n - other.n)
        elif name == "and" and value.kind == "sp":
            result = self.walk.aligned(value.n, other.n)
        self.write(target, result)

    def other(self, name: str, operands: Sequence[str]) -> None:
        """Anything else changes its first operand and what the table says, and nothing that is followed."""
        if operands and operands[0].lower() == "esp":
            raise AssemblyError(f"ESP changed by {name}")
        if operands:
            self.write(operands[0], None)
        if name in ("xadd",):
            self.write(operands[1], None)
        if name == "imul" and len(operands) == 1:
            self.registers["edx"] = self.registers["eax"] = None
        for register in IMPLICIT.get(name, ()):
            self.registers[register] = None

    # control flow

    def jump(self, name: str, operand: str) -> None:
        labels = self.walk.function.labels
        target = operand.split(None, 1)[1] if operand.lower().startswith("short ") else operand
        if target in labels:
            self.next = [labels[target]] if name == "jmp" else [labels[target], *self.next]
            return
        if name != "jmp":
            return  # a conditional tail call: the other way is the next instruction
        value = self.indirect_target(target)
        if value is not None and value.kind == "table":
            entries = self.walk.listing.tables[value.name]
            self.next = [labels[entry] for entry in entries if entry in labels]
        else:
            self.next = []
            if self.esp != 0 and (value is None or value.kind == "const"):
                raise AssemblyError(f"{self.walk.function.symbol}: where does `{name} {operand}` go?")

    def indirect_target(self, operand: str) -> Value | None:
        if "[" in operand or operand.lower() in REGISTERS:
            return self.read(operand)
        return Value("symbol", 0, operand)

    def leave_by_return(self, pops: int) -> None:
        offset = self.esp
        target = self.pop()
        if offset is None or offset >= 0:
            self.next = []
            return
        if target is not None and target.kind == "code":
            self.next = [target.n]
        elif target is not None and target.kind == "symbol" and target.name in self.walk.function.labels:
            self.next = [self.walk.function.labels[target.name]]
        else:
            self.next = []
            if self.walk.function.symbol not in HELPERS:
                raise AssemblyError(f"{self.walk.function.symbol}: returns with {-offset} bytes left on the stack")
        self.set_esp(offset + 4 + pops)

    def call(self, operand: str) -> None:
        labels = self.walk.function.labels
        if labels.get(operand) == self.next[0]:  # the question where the code is
            self.push(Value("code", self.next[0]))
            return
        if operand in labels:  # a funclet: a frame of its own, of which only the return address is its caller's
            self.walk.funclets.add(labels[operand])
            bottom = self.esp
            self.push(None)
            self.set_esp(bottom)
            self.registers["eax"] = self.registers["ecx"] = self.registers["edx"] = None
            return
        value = self.indirect_target(operand)
        bottom = self.esp
        self.push(None)
        if value is not None and value.kind == "symbol" and value.name in HELPERS:
            self.helper(value.name, bottom)
        else:
            pops = self.walk.pops_of(value)
            self.set_esp(None if bottom is None else bottom + pops)
            self.registers["eax"] = None
        self.registers["ecx"] = self.registers["edx"] = None

    def helper(self, name: str, bottom: int | None) -> None:
        """Apply a helper's documented contract; `bottom` is ESP's offset before the call."""
        size: Value | None
        if bottom is None:
            return
        if name in ("__chkstk", "__alloca_probe"):
            size = self.registers["eax"]
            self.set_esp(bottom - size.n if size is not None and size.kind == "const" else None)
        elif name in ("__SEH_prolog4", "__SEH_prolog"):
            size = self.slots.get(bottom + 4)
            self.registers["ebp"] = Value("sp", bottom + 4)
            # handler and next record below the return address; the size; EBX, ESI, EDI; with 4 the cookie
            fixed = 12 + 12 + (4 if name.endswith("4") else 0)
            self.set_esp(bottom - fixed - size.n if size is not None and size.kind == "const" else None)
        elif name == "__EH_prolog":
            self.registers["ebp"] = Value("sp", bottom - 4)
            self.set_esp(bottom - 16)
        elif name == "__EH_prolog3":
            size = self.slots.get(bottom)
            self.registers["ebp"] = Value("sp", bottom)
            self.set_esp(bottom - 12 - 16 - size.n if size is not None and size.kind == "const" else None)
        else:  # the epilogues: everything down from the saved EBP is given back
            base = self.registers["ebp"]
            self.set_esp(base.n + 4 if base is not None and base.kind == "sp" else None)
            self.registers["ebp"] = None
