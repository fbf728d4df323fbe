"""Random small x86 functions of the kinds that compilers write, each with the truth about its use of the stack.

A function's body is a few statements between a prologue and an epilogue. Functions call functions that were made
before them, never in a circle. Conditions are on arguments and on words of the program's data, a different one
each, so that every path can be driven.
"""

from __future__ import annotations

import random
from collections.abc import Callable

from generated_calls import Calls
from generated_frames import DynamicFrame, Frame
from generated_scope import SMALL, STACK, WORK, Program, address
from generated_text import Writer
from generated_truth import Amount, Argument, Choice, Const, Generated, Jump, Node, Variable

AMOUNTS = (0, 1, 20, 100, 333, 1500)
"""Run-time amounts of stack, in bytes."""
MAX_NESTING = 3
MAX_PATHS = 64
"""Paths through one function; all of them are run."""
COMPUTATIONS = (
    "add eax, 4",
    "xor eax, eax",
    "lea ecx, [eax + eax*2]",
    "imul eax, edx, 12",
    "movzx edx, al",
    "and eax, 255",
    "inc ecx",
    "shl eax, 2",
    "or eax, -1",
    "cdq",
)


def generate(seed: int, count: int) -> Program:
    """Return a program of `count` random functions; the same seed gives the same one."""
    generator = random.Random(seed)
    program = Program()
    while len(program.functions) < count:
        words_before = len(program.globals)
        function = Body(program, generator).written()
        if function.worst <= STACK and function.work <= WORK and len(function.paths()) <= MAX_PATHS:
            program.functions.append(function)
        else:
            del program.globals[words_before:]
    return program


class Body(Calls):
    """The writing of one function."""

    def __init__(self, program: Program, generator: random.Random) -> None:
        """Choose what kind of function it is going to be."""
        super().__init__(program, generator)
        self._nesting = 0
        self._late = 0
        """Registers that are saved only around the block that is being written."""
        self._exit = self.writer.label()
        self._exit_nodes: list[Node] = []
        self._uses_exit = False

    def written(self) -> Generated:
        """Write the function."""
        writer, frame = self.writer, self.frame
        frame.prologue(writer, self.random.choice((None, None, self._guard)))
        self.base = writer.height
        for register in frame.usable:
            value = self.random.randrange(SMALL)
            writer.write(f"mov {register}, {value}" if value else f"xor {register}, {register}")
            self.registers[register] = Const(value)
        statements = [self._statement] * self.random.choice((0, 1, 2, 3, 3, 4, 6))
        if isinstance(frame, DynamicFrame):
            statements.insert(self.random.randint(0, len(statements) // 2), self._allocate)
        for statement in statements:
            statement()
        if self.pending and (self._uses_exit or not frame.keeps_arguments or writer.chance(0.2)):
            self.clean()
        if self.pending:
            self.feature("arguments-left")
        self._leave()
        begin = [f"    FUNCTION {self.function.symbol}", f"{self.function.label}:"]
        lines = [*begin, *writer.lines, *writer.tables, "    .text"]
        self.function.text = "\n".join(lines)
        return self.function

    def _statement(self) -> None:
        shares: dict[Callable[[], None], int] = {self._compute: 4, self.call: 8, self._idiom: 2}
        if self.pending:
            shares[self.clean] = 3
        if self.choices > 0 and self._nesting < MAX_NESTING:
            shares |= {self._branch: 4, self._leave_early: 2, self._loop: 2}
            if self.choices > 1:
                shares[self._switch] = 2
            if isinstance(self.frame, DynamicFrame) and not self._nesting:
                shares[self._allocate] = 1
        self.random.choices(list(shares), list(shares.values()))[0]()

    def _block(self) -> None:
        """Write a few statements that leave ESP where it was; they may be carried out or not."""
        pending, self.pending = self.pending, 0
        before, has_called = dict(self.registers), self.has_called
        self._nesting += 1
        for _ in range(self.random.choice((0, 1, 1, 2))):
            self._statement()
        self.clean()
        self._nesting -= 1
        self.pending, self.has_called = pending, has_called
        self.registers = {one: held if self.registers.get(one) == held else None for one, held in before.items()}

    # -- leaving --

    def _leave(self) -> None:
        """Write the end that the function falls into, and that early returns jump to."""
        writer = self.writer
        if self._uses_exit:
            writer.place(self._exit)
        with writer.arm(self._exit_nodes):
            self.frame.epilogue(writer)
            callees = self._successors()
            if callees and writer.chance(0.15):
                self._jump(self.random.choice(callees))
            else:
                writer.ret()
        writer.nodes.extend(self._exit_nodes)

    def _successors(self) -> list[Generated]:
        """Return the functions that find their arguments where this one's are, and pop the same."""
        function = self.function
        if function.in_registers:
            return []
        return [
            one
            for one in self.program.functions
            if (one.convention, one.pops) == (function.convention, function.pops) and one.words <= function.words
        ]

    def _jump(self, callee: Generated, mnemonic: str = "jmp") -> None:
        """Leave for another function; ESP is at E."""
        self.writer.write(f"{mnemonic} {callee.symbol}")
        self.writer.nodes.append(Jump(callee))
        self.function.work += callee.work
        self.feature("tail-jump")

    def _leave_early(self) -> None:
        """Return from the middle, by an epilogue of its own or the common one."""
        writer = self.writer
        is_at_base = writer.height == self.base
        if self._late or not (is_at_base or self.frame.keeps_arguments):
            return
        variable, value = self.variable(), self.random.randrange(SMALL)
        self.compare(variable, value)
        arm: list[Node] = self._exit_nodes
        if is_at_base and writer.chance(0.5):
            writer.write(f"je {self._exit}")
            self._uses_exit = True
        else:
            arm = []
            label = writer.label()
            writer.write(f"jne {label}")
            with writer.arm(arm):
                self.frame.epilogue(writer)
                writer.ret()
            writer.place(label)
        writer.nodes.append(Choice(variable, {value: arm}, []))
        self.feature("return-from-the-middle")

    def _guard(self, writer: Writer, frame: Frame) -> None:
        """Leave before the frame is whole, by a return or for another function."""
        variable, value = self._guarding()
        callees = self._successors() if writer.chance(0.4) else []
        arm: list[Node] = []
        if callees and writer.height.below == 0:
            with writer.arm(arm):
                self._jump(self.random.choice(callees), "je")
        else:
            label = writer.label()
            writer.write(f"jne {label}")
            with writer.arm(arm):
                frame.early(writer)
                if callees:
                    self._jump(self.random.choice(callees))
                else:
                    writer.write("xor eax, eax")
                    writer.ret()
            writer.place(label)
        writer.nodes.append(Choice(variable, {value: arm}, []))
        self.feature("early-return")

    def _guarding(self) -> tuple[Variable, int]:
        """Compare something with a number while ECX and EDX hold what came in them."""
        value, words = self.random.randrange(SMALL), self.function.in_registers
        if words and self.writer.chance(0.5):
            self.choices -= 1
            index = self.random.randrange(words)
            self.writer.write(f"cmp {('ecx', 'edx')[index]}, {value}")
            return Argument(index), value
        variable = self.variable()
        self.compare(variable, value)
        return variable, value

    # -- statements --

    def _compute(self) -> None:
        """Work that does not move ESP."""
        writer, frame = self.writer, self.frame
        for _ in range(self.random.choice((1, 2, 3))):
            kind = self.random.choice(("registers", "operand", "local"))
            register = self.random.choice(("eax", "ecx", "edx"))
            if kind == "operand":
                writer.write(f"mov {register}, {self.known_operand()[0]}")
            elif kind == "local" and frame.slots > 0:
                place = frame.local(writer, self.random.randrange(frame.slots))
                ways = (f"mov {place}, {register}", f"mov {register}, {place}", f"lea {register}, {place}")
                writer.write(self.random.choice((*ways, f"mov dword ptr {place}, {self.random.randrange(999)}")))
            else:
                writer.write(self.random.choice(COMPUTATIONS))

    def _idiom(self) -> None:
        """Pushes and pops that are no arguments."""
        way = self.random.choice(list(IDIOMS))
        self.feature(f"push-{way}")
        IDIOMS[way](self)

    def _push_constant(self) -> None:
        """The shortest way to load a small number."""
        self.writer.push(str(self.random.choice((0, 1, 5, -1, 100))))
        self.writer.pop(self.random.choice(("eax", "ecx", "edx")))

    def _push_register(self) -> None:
        self.writer.write("mov eax, 7")
        self.writer.push("eax")
        self._block()
        self.writer.pop("ecx")

    def _push_flags(self) -> None:
        self.leave_frame_open()
        self.writer.move("pushfd", 4)
        self.writer.pop("eax")

    def _push_all(self) -> None:
        self.leave_frame_open()
        self.writer.move("pushad", 32)
        self._block()
        self.writer.move("popad", -32)

    def _push_here(self) -> None:
        """Ask where the code is."""
        label = self.writer.label()
        self.writer.write(f"call {label}")
        self.writer.stand(self.writer.height.lowered(4))
        self.writer.place(label)
        self.writer.pop("eax")

    def _push_segment(self) -> None:
        self.leave_frame_open()
        self.writer.push_as_att(self.random.choice(("%cs", "%ds", "%es", "%fs")))
        self.writer.pop("eax")

    def _push_word(self) -> None:
        self.leave_frame_open()
        self.writer.push("ax", 2)
        self.writer.pop("cx", 2)

    def _push_memory(self) -> None:
        self.writer.push(address(self.program.new_global(3)))
        self.writer.pop(address(self.program.new_global(3)))

    def _save_late(self) -> None:
        """Save and use a register around a block only."""
        candidates = [one for one in ("esi", "edi") if one not in self.registers]
        if not candidates:
            return
        self.leave_frame_open()
        register = self.random.choice(candidates)
        self.writer.push(register)
        self.writer.write(f"mov {register}, 3")
        self.registers[register] = Const(3)
        self._late += 1
        self._block()
        self._late -= 1
        del self.registers[register]
        self.writer.pop(register)

    def _allocate(self) -> None:
        """Take a run-time amount of stack."""
        writer = self.writer
        self.choices -= 2
        self.clean()
        rounding = self.random.choice((4, 16))
        amount = Amount(self.program.new_global(self.random.choice(AMOUNTS)), rounding, AMOUNTS)
        writer.write(f"mov eax, {address(amount.variable)}", f"add eax, {rounding - 1}", f"and eax, -{rounding}")
        way = self.random.choice(("probe", "sub", "mov"))
        if way == "probe":
            writer.probe(amount)
        else:
            writer.write(*(["sub esp, eax"] if way == "sub" else ["mov ecx, esp", "sub ecx, eax", "mov esp, ecx"]))
            writer.stand(writer.height.allocated(amount))
        self.feature(f"allocate-{way}")

    # -- branches --

    def _branch(self) -> None:
        """If, with or without else."""
        writer = self.writer
        variable, value = self.variable(), self.random.randrange(SMALL)
        self.compare(variable, value)
        otherwise, end = writer.label(), writer.label()
        first: list[Node] = []
        second: list[Node] = []
        falls_into_equal = writer.chance(0.5)
        writer.write(f"{'jne' if falls_into_equal else 'je'} {otherwise}")
        with writer.arm(first):
            self._block()
        if writer.chance(0.5):
            writer.write(f"jmp {end}")
            writer.place(otherwise)
            with writer.arm(second):
                self._block()
        else:
            writer.place(otherwise)
        writer.place(end)
        equal, other = (first, second) if falls_into_equal else (second, first)
        writer.nodes.append(Choice(variable, {value: equal}, other))

    def _loop(self) -> None:
        """A counted loop; the counter lies in a register or is pushed around the body."""
        writer, times = self.writer, self.random.choice((1, 2, 3))
        start = writer.label()
        self.registers = dict.fromkeys(self.registers)  # the body may change them before it comes round again
        in_register = self.registers and writer.chance(0.6)
        counter = self.random.choice(sorted(self.registers)) if in_register else "ecx"
        writer.write(f"mov {counter}, {times}")
        writer.place(start)
        with writer.repeated(times):
            if in_register:
                del self.registers[counter]
                self._block()
                self.registers[counter] = None
            else:
                writer.push("ecx")
                self._block()
                writer.pop("ecx")
            ways = ([f"dec {counter}", f"jnz {start}"], [f"sub {counter}, 1", f"ja {start}"])
            writer.write(*self.random.choice(ways))
        self.feature("loop")

    def _switch(self) -> None:
        """A jump table, in the code or in read-only data."""
        writer = self.writer
        self.choices -= 1
        variable = self.variable()
        first, count = self.random.choice((0, 0, 1, 5)), self.random.choice((3, 4, 5))
        table, end = writer.label(), writer.label()
        writer.write(f"mov eax, {self.place(variable)}")
        if first:
            writer.write("dec eax" if first == 1 else f"sub eax, {first}")
        writer.write(f"cmp eax, {count - 1}", f"ja {end}", f"jmp dword ptr [4*eax + {table}]")
        arms: dict[int, list[Node]] = {}
        labels: list[str] = []
        for value in range(first, first + count):
            if labels and writer.chance(0.25):  # two cases of one arm
                labels.append(labels[-1])
                arms[value] = arms[value - 1]
                continue
            labels.append(writer.label())
            writer.place(labels[-1])
            arms[value] = []
            with writer.arm(arms[value]):
                self._block()
            writer.write(f"jmp {end}")
        writer.place(end)
        section = "    .text" if writer.chance(0.5) else '    .section .rdata,"dr"'
        rows = [f"    .long {label}" for label in labels]
        writer.tables += [section, "    .p2align 2, 0xcc", f"{table}:", *rows, "    .text"]
        writer.nodes.append(Choice(variable, arms, []))
        self.feature("switch")


IDIOMS: dict[str, Callable[[Body], None]] = {
    "constant": Body._push_constant,
    "register": Body._push_register,
    "flags": Body._push_flags,
    "all": Body._push_all,
    "here": Body._push_here,
    "segment": Body._push_segment,
    "word": Body._push_word,
    "memory": Body._push_memory,
    "late": Body._save_late,
}
