"""A reference for stack use: what a function's own instructions reach, read off assembly text.

Written apart from stackemu and knowing nothing of it: it decodes no machine code. It takes what the compiler
writes (`clang -S -masm=intel`) or a hand-written Intel-syntax `.S` file, and walks each function's lines path by
path with exact values for whatever points into the stack. Paths are not merged, so ESP is always a number or
unknown; once unknown, the function's own use is no constant.

All figures are bytes below E, the value of ESP at the function's entry (where the return address lies). They include
outgoing arguments and the return address that the function's own calls push, and not what callees use.
"""

from __future__ import annotations

import itertools
import re
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

DRIVERS = Path(__file__).resolve().parents[2] / "drivers"

INDIRECT = "*"
"""The key in `pops` for calls through pointers whose target the text does not show."""
DRIVER_INDIRECT = {"passthrough": 0, "stackzoo": 8}
"""Every function pointer of the zoo is a ZOO_ROUTINE, __stdcall with two words; passthrough calls none."""

REGISTERS = ("eax", "ecx", "edx", "ebx", "esp", "ebp", "esi", "edi")
PARTS = {
    **{part: f"e{letter}x" for letter in "abcd" for part in (f"{letter}x", f"{letter}l", f"{letter}h")},
    **{name[1:]: name for name in ("esp", "ebp", "esi", "edi")},
}
ALIGNMENT_SPAN = 64
"""Realignment up to this many bytes is followed exactly; E is a multiple of four."""
MAX_HEIGHTS = 48
"""At this many different ESPs before one instruction a function is taken to have no constant use."""
MAX_VALUES = 8
"""At this many different values before one instruction, whatever holds them (not ESP) is taken to be unknown."""
MAX_STATES = 200_000


class AssemblyError(Exception):
    """The text holds something that this reference does not understand: it would have to guess."""


class Value(NamedTuple):
    """'sp': E + n; 'const': the number n; 'code': the instruction n; 'symbol' or 'import' or 'table': by name."""

    kind: str
    n: int = 0
    name: str = ""


class Line(NamedTuple):
    """One instruction."""

    mnemonic: str
    operands: tuple[str, ...]
    text: str


@dataclass
class Function:
    """A function's instructions and the labels between them."""

    symbol: str
    lines: list[Line] = field(default_factory=list)
    labels: dict[str, int] = field(default_factory=dict)


@dataclass
class Listing:
    """A file of assembly: its functions by symbol, and the tables of labels in its data."""

    functions: dict[str, Function] = field(default_factory=dict)
    tables: dict[str, list[str]] = field(default_factory=dict)


# --- reading -----------------------------------------------------------------------------------------------------


def undecorated(symbol: str) -> str:
    """Return the C name: `_f@8`, `@f@8` and `_f` are all f."""
    match = re.fullmatch(r"[_@](.+?)(?:@\d+)?", symbol)
    return match.group(1) if match else symbol


def _logical_lines(text: str) -> Iterator[str]:
    """Yield statements without comments, constants and macros expanded."""
    text = re.sub(r"/\*.*?\*/", " ", text, flags=re.DOTALL)
    constants = dict(re.findall(r"^#define\s+(\w+)\s+(-?\w+)\s*$", text, flags=re.MULTILINE))
    macros: dict[str, tuple[list[str], list[str]]] = {}
    collecting: list[str] | None = None
    for raw in text.splitlines():
        line = raw.split("#", 1)[0].strip()
        if not line:
            continue
        if line.startswith(".macro"):
            name, *parameters = line.split()[1:]
            macros[name] = (parameters, collecting := [])
        elif line == ".endm":
            collecting = None
        elif collecting is not None:
            collecting.append(line)
        else:
            for word, value in constants.items():
                line = re.sub(rf"\b{word}\b", value, line)
            yield from _expanded(line, macros)


def _expanded(line: str, macros: Mapping[str, tuple[list[str], list[str]]]) -> Iterator[str]:
    word, _, rest = line.partition(" ")
    if word not in macros:
        yield line
        return
    parameters, body = macros[word]
    values = [value.strip() for value in rest.split(",")]
    for item in body:
        for parameter, value in zip(parameters, values, strict=True):
            item = item.replace(f"\\{parameter}", value)
        yield item


def _split_operands(text: str) -> tuple[str, ...]:
    return tuple(part.strip() for part in re.split(r",(?![^\[]*\])", text)) if text else ()


def parse(text: str) -> Listing:
    """Read a file of assembly; a function is a label that `.def` gave the type of a function."""
    listing = Listing()
    typed: set[str] = set()
    defining = ""
    current: Function | None = None
    table: list[str] | None = None
    for statement in _logical_lines(text):
        for line in filter(None, (part.strip() for part in statement.split(";"))):
            if line.startswith(".def"):
                defining = line.split()[1]
            elif line.startswith(".type") and line.split()[1] == "32":
                typed.add(defining)
            elif match := re.match(r'"?([\w@?$.]+)"?:$', line):
                label = match.group(1)
                table = listing.tables.setdefault(label, [])
                if label in typed:
                    current = listing.functions[label] = Function(label)
                elif current is not None:
                    current.labels[label] = len(current.lines)
            elif line.startswith(".long"):
                if table is not None:
                    table += [word.strip() for word in line[5:].split(",")]
            elif not line.startswith((".", "@")) and current is not None:
                current.lines.append(_instruction(line))
    _resolve_aliases(listing)
    return listing


def _resolve_aliases(listing: Listing) -> None:
    """Two labels at one place are two names of one function."""
    symbols = list(listing.functions)
    for first, second in reversed(list(itertools.pairwise(symbols))):
        if not listing.functions[first].lines:
            listing.functions[first] = listing.functions[second]


def _instruction(line: str) -> Line:
    words = line.replace("\t", " ").split(None, 1)
    mnemonic = words[0].lower()
    rest = words[1].strip() if len(words) > 1 else ""
    if mnemonic in ("lock", "rep", "repne", "repe", "repz", "repnz"):
        inner = _instruction(rest)
        return Line(inner.mnemonic, inner.operands, line)
    return Line(mnemonic, _split_operands(rest), line)


def callee_pops(listing: Listing) -> dict[str, int]:
    """Return what each function takes off its caller's stack, from its own returns."""
    pops: dict[str, int] = {}
    for symbol, function in listing.functions.items():
        counts = {
            int(line.operands[0], 0) for line in function.lines if line.mnemonic in ("ret", "retl") and line.operands
        }
        if len(counts) == 1:
            pops[symbol] = counts.pop()
        elif not counts and any(line.mnemonic in ("ret", "retl") for line in function.lines):
            pops[symbol] = 0
    return pops


def decorated_pops(symbol: str) -> int:
    """Return what a name says that the callee pops: stdcall all, fastcall all but ECX and EDX, cdecl nothing."""
    name = symbol.removeprefix("__imp_")
    match = re.fullmatch(r"([_@]).+@(\d+)", name)
    if match is None:
        return 0
    size = int(match.group(2))
    return size if match.group(1) == "_" else max(0, size - 8)


# --- walking -----------------------------------------------------------------------------------------------------


class State(NamedTuple):
    """Where a path stands: the next instruction, the registers and the stack slots that hold something known."""

    at: int
    registers: tuple[Value | None, ...]
    slots: frozenset[tuple[int, Value]]


HELPERS = frozenset(
    ("__chkstk", "__alloca_probe", "__SEH_prolog4", "__SEH_prolog", "__EH_prolog", "__EH_prolog3", "__SEH_epilog4",
     "__SEH_epilog", "__EH_epilog3")
)  # fmt: skip
"""Functions that return with another ESP than they were called with; `_Path.helper` has their contracts."""

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


class _Path:
    """One path's state while one instruction is carried out."""

    def __init__(self, walk: _Walk, state: State) -> None:
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
        self.set_esp(offset + 4 + pops)

    def call(self, operand: str) -> None:
        labels = self.walk.function.labels
        if labels.get(operand) == self.next[0]:  # the question where the code is
            self.push(Value("code", self.next[0]))
            return
        if operand in labels:  # a funclet: a frame of its own, of which only the return address is its caller's
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


class _Dynamic(Exception):  # noqa: N818 - an outcome, not an error
    """The function's stack use is no constant."""


class _Walk:
    """All paths through one function, for one residue of E modulo ALIGNMENT_SPAN."""

    def __init__(self, function: Function, listing: Listing, pops: Mapping[str, int], residue: int) -> None:
        self.function = function
        self.listing = listing
        self.pops = pops
        self.residue = residue
        self.lowest = 0
        self.values: dict[tuple[int, str], set[Value | None]] = {}

    def reached(self, offset: int) -> None:
        self.lowest = min(self.lowest, offset)

    def lost(self, line: Line) -> None:
        raise _Dynamic(line.text)

    def aligned(self, offset: int, mask: int) -> Value:
        if not -ALIGNMENT_SPAN <= mask < 0:
            raise AssemblyError(f"{self.function.symbol}: a stack address masked with {mask}")
        return Value("sp", ((offset + self.residue) & mask) - self.residue)

    def is_jump_table(self, name: str) -> bool:
        return any(entry in self.function.labels for entry in self.listing.tables.get(name, ()))

    def pops_of(self, callee: Value | None) -> int:
        if callee is None or callee.kind not in ("symbol", "import"):
            if INDIRECT not in self.pops:
                raise AssemblyError(f"{self.function.symbol}: a call through a pointer of unknown type")
            return self.pops[INDIRECT]
        if callee.name in self.pops:
            return self.pops[callee.name]
        return decorated_pops(callee.name)

    def widened(self, state: State) -> State:
        """Forget what takes ever new values, such as a pointer that walks over arguments: paths stay finite."""
        esp = REGISTERS.index("esp")
        registers = tuple(
            value if number == esp or self.is_stable(state.at, f"r{number}", value) else None
            for number, value in enumerate(state.registers)
        )
        slots = frozenset(item for item in state.slots if self.is_stable(state.at, f"s{item[0]}", item[1]))
        return State(state.at, registers, slots)

    def is_stable(self, at: int, place: str, value: Value | None) -> bool:
        values = self.values.setdefault((at, place), set())
        values.add(value)
        return len(values) <= MAX_VALUES

    def run(self) -> int:
        """Return how far below E the function's own instructions reach."""
        registers: list[Value | None] = [None] * len(REGISTERS)
        registers[REGISTERS.index("esp")] = Value("sp", 0)
        pending = [State(0, tuple(registers), frozenset())]
        seen: set[State] = set()
        heights: dict[int, set[int]] = {}
        while pending:
            state = pending.pop()
            if state.at >= len(self.function.lines):
                continue  # behind a call that does not return
            state = self.widened(state)
            if state in seen:
                continue
            seen.add(state)
            esp = state.registers[REGISTERS.index("esp")]
            if esp is None:
                raise _Dynamic(self.function.lines[state.at].text)
            here = heights.setdefault(state.at, set())
            here.add(esp.n)
            if len(here) > MAX_HEIGHTS:
                raise _Dynamic(self.function.lines[state.at].text)
            if len(seen) > MAX_STATES:
                raise AssemblyError(f"{self.function.symbol}: too many paths")
            path = _Path(self, state)
            path.step(self.function.lines[state.at])
            pending += path.states()
        return -self.lowest


def _own(function: Function, listing: Listing, pops: Mapping[str, int]) -> int | None:
    realigns = any(line.mnemonic == "and" and line.operands[0].lower() in REGISTERS for line in function.lines)
    residues = range(0, ALIGNMENT_SPAN, 4) if realigns else (0,)
    try:
        return max(_Walk(function, listing, pops, residue).run() for residue in residues)
    except _Dynamic:
        return None


def own_by_function(assembly_text: str, pops: Mapping[str, int]) -> dict[str, int | None]:
    """Return each function's static own use, by undecorated name; None where it is no constant.

    `pops` says what callees take off the stack, by symbol as it stands in the text; what it does not hold is taken
    from the text's own `ret N`, then from the symbol's decoration. `pops[INDIRECT]` is for calls through pointers.
    """
    listing = parse(assembly_text)
    known = {**callee_pops(listing), **pops}
    return {undecorated(symbol): _own(function, listing, known) for symbol, function in listing.functions.items()}


# --- the sample drivers ------------------------------------------------------------------------------------------


def driver_assembly(driver: str, flags: Sequence[str], drivers: Path = DRIVERS) -> dict[str, str]:
    """Return the assembly text of each source of a sample driver, hand-written ones included, by file name."""
    texts: dict[str, str] = {}
    with tempfile.TemporaryDirectory(prefix="stackemu-assembly-") as name:
        argv = [sys.executable, str(drivers / "build.py"), driver, "--assembly", name, f"--opt={flags[0]}"]
        subprocess.run([*argv, f"--flags={' '.join(flags[1:])}"], check=True)
        texts = {path.name: path.read_text() for path in sorted(Path(name).iterdir())}
    include = drivers / driver / "asm.inc"
    for path in sorted((drivers / driver).glob("*.S")):
        texts[path.name] = include.read_text() + path.read_text()
    return texts


def own_by_function_of_driver(
    driver: str, flags: Sequence[str] = ("-Os",), drivers: Path = DRIVERS
) -> dict[str, int | None]:
    """Return own_by_function of a whole sample driver built with `flags`, of which the first is the -O level."""
    texts = driver_assembly(driver, flags, drivers)
    pops = pops_of_texts(texts.values())
    pops[INDIRECT] = DRIVER_INDIRECT[driver]
    result: dict[str, int | None] = {}
    for text in texts.values():
        result.update(own_by_function(text, pops))
    return result


def pops_of_texts(texts: Iterable[str]) -> dict[str, int]:
    """Return what every function defined in the texts pops, by symbol."""
    return {symbol: count for text in texts for symbol, count in callee_pops(parse(text)).items()}
