"""What the writing of a generated function knows at each place: frame, registers, what may be branched on."""

from __future__ import annotations

import random
from dataclasses import dataclass, field

from generated_frames import FRAMES, Frame
from generated_text import Writer
from generated_truth import Argument, Const, Generated, Global, Operand, Variable

STACK = 11_000
"""Bytes that a run may take with all its callees; the emulated stack is 12 KiB."""
WORK = 2_000
"""Instructions that a run may take with all its callees."""
MAX_CHOICES = 4
"""Branches of one function."""
SMALL = 6
"""Conditions compare with numbers below this."""


@dataclass
class Program:
    """Functions, those that are called before those that call them, and the first values of the data's words."""

    functions: list[Generated] = field(default_factory=list)
    globals: list[int] = field(default_factory=list)

    def new_global(self, value: int) -> Global:
        """Return a new word of the data."""
        self.globals.append(value)
        return Global(len(self.globals) - 1)


def address(variable: Global) -> str:
    """Return the operand for a word of the data."""
    return f"dword ptr [_variables + {4 * variable.index}]"


class Scope:
    """One function while its body is being written."""

    def __init__(self, program: Program, generator: random.Random) -> None:
        """Choose what kind of function it is going to be."""
        self.program = program
        self.random = generator
        kind: type[Frame] = generator.choices([one for one, _ in FRAMES], [share for _, share in FRAMES])[0]
        convention = generator.choice(("cdecl", "cdecl", "stdcall", "stdcall", "fastcall"))
        words = generator.choice((0, 1, 1, 2, 2, 3, 4, 5)) or int(convention == "fastcall")
        self.function = Generated(f"f{len(program.functions)}", convention, words)
        self.writer = Writer(self.function, generator)
        self.frame = kind(generator)
        self.base = self.writer.height
        """Where ESP stands between statements, run-time amounts and blocks that push something apart."""
        self.registers: dict[str, Operand | None] = {}
        """Callee-saved registers that the body may use, with what they are known to hold."""
        self.pending = 0
        """Bytes of arguments that calls have left on the stack."""
        self.choices = MAX_CHOICES
        """How many more branches there may be."""
        self.has_called = False
        """Whether the prologue is over, for whoever reads only the code."""
        self._arguments = [Argument(index) for index in range(self.function.in_registers, words)]
        generator.shuffle(self._arguments)

    def feature(self, name: str) -> None:
        """Note what the function has."""
        self.function.features.add(name)

    def leave_frame_open(self) -> None:
        """What follows looks like a part of the prologue and is none, or the other way round: no truth about it."""
        if not self.has_called:
            self.function.locals = self.function.saved = self.function.frame = None

    # -- variables --

    def variable(self) -> Variable:
        """Return something that no condition has been on yet."""
        self.choices -= 1
        if self._arguments and self.random.random() < 0.5:
            return self._arguments.pop()
        return self.program.new_global(self.random.randrange(SMALL))

    def place(self, operand: Variable) -> str:
        """Return where a variable lies; EAX may be written for it."""
        if isinstance(operand, Global):
            return address(operand)
        return f"dword ptr {self.frame.argument(self.writer, operand.index - self.function.in_registers)}"

    def compare(self, variable: Variable, value: int) -> None:
        """Set the zero flag where the variable holds the value; only EAX may be written."""
        place = self.place(variable)
        ways = [(f"cmp {place}, {value}",), (f"mov eax, {place}", f"cmp eax, {value}")]
        ways.append((f"mov eax, {place}", "test eax, eax" if value == 0 else f"sub eax, {value}"))
        self.writer.write(*self.random.choice(ways))

    def known_operand(self) -> tuple[str, Operand]:
        """Return an operand whose value a run knows; EAX may be written for it."""
        ways = ["small", "large", "minus"]
        if self.program.globals:
            ways.append("global")
        if self.function.stack_words:
            ways += ["argument"] * 2
        known = [register for register, value in self.registers.items() if value is not None]
        if known:
            ways.append("register")
        way = self.random.choice(ways)
        if way == "global":
            word = Global(self.random.randrange(len(self.program.globals)))
            return self.place(word), word
        if way == "argument":
            given = Argument(self.random.randrange(self.function.in_registers, self.function.words))
            return self.place(given), given
        if way == "register":
            register = self.random.choice(known)
            value = self.registers[register]
            assert value is not None
            return register, value
        number = {"small": self.random.randrange(SMALL), "large": self.random.randrange(1 << 12, 1 << 30)}
        constant = number.get(way, 0xFFFFFFFF)
        return ("-1" if way == "minus" else str(constant)), Const(constant)

    # -- the stack --

    def clean(self) -> None:
        """Take what calls have left off the stack."""
        writer, size = self.writer, self.pending
        self.pending = 0
        if 0 < size <= 8 and writer.chance(0.5):
            for _ in range(size // 4):
                writer.pop(self.random.choice(("ecx", "ecx", "edx")))
        elif size:
            writer.move(self.random.choice((f"add esp, {size}",) * 4 + (f"lea esp, [esp + {size}]",)), -size)
