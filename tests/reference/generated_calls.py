"""Calls of generated functions: how arguments get to them, how they are reached, who cleans up and when."""

from __future__ import annotations

from collections.abc import Sequence

from generated_frames import PUSHED_LOCALS, AllRegistersFrame, FpoFrame, GccAlignedFrame
from generated_scope import SMALL, STACK, WORK, Scope, address
from generated_truth import POINTER, Choice, Chosen, Const, Generated, Node, Operand

ROOM = 700
"""Bytes that a statement may take by itself."""
NEAR = 40
"""Functions call one of so many that came before them."""


class Calls(Scope):
    """The writing of calls."""

    _stores = False
    """Whether the arguments of the call that is being written are stored, not pushed."""
    _may_have_taken = False
    """Whether a call in between, by its looks, may have been passed those that were pushed before it."""

    def call(self) -> None:
        """Call an earlier function; where the caller cleans up, that may come later."""
        callees = self._callees()
        if not callees:
            return
        callee = self.random.choice(callees)
        if self._has_area(callee.stack_words) and self.writer.chance(0.6):
            self._call_through_area(callee)
            return
        operands = self._pass(callee)
        self._transfer(callee, (*self._load(callee.in_registers), *operands))
        self._stores = self._may_have_taken = False
        if self.pending and self.writer.chance(0.5):
            self.clean()

    def _callees(self) -> Sequence[Generated]:
        """Return the functions for which there is room and time."""
        room = STACK - ROOM - self.writer.height.most(0)
        time = (WORK - self.function.work) // self.writer.weight
        return [one for one in self.program.functions[-NEAR:] if one.worst <= room and one.work <= time]

    # -- arguments --

    def _load(self, count: int) -> list[Operand]:
        """Load the arguments that go in registers."""
        loaded = []
        for register in ("ecx", "edx")[:count]:
            text, operand = self.known_operand()
            self.writer.write(f"xor {register}, {register}" if text == "0" else f"mov {register}, {text}")
            loaded.append(operand)
        return loaded

    def _pass(self, callee: Generated) -> list[Operand]:
        """Push the arguments that go on the stack, the last one first."""
        words, writer = callee.stack_words, self.writer
        if words == 2 and writer.chance(0.1):
            return self._pass_as_double(callee)
        operands: list[Operand] = []
        for index in range(words):
            if index and writer.chance(0.06):
                self._call_in_between()
            operands.insert(0, self._push(callee))
        return operands

    def _push(self, callee: Generated) -> Operand:
        writer = self.writer
        way = self.random.choice(("operand",) * 6 + ("register", "register", "address", "branch"))
        if way == "register":
            text, operand = self.known_operand()
            register = self.random.choice(("eax", "ecx", "edx"))
            writer.write(f"mov {register}, {text}")
            writer.push(register)
            return operand
        if way == "address" and self.frame.slots > 0:
            writer.write(f"lea eax, {self.frame.local(writer, self.random.randrange(self.frame.slots))}")
            writer.push("eax")
            return Const(POINTER)
        if way == "branch" and self.choices > 0:
            return self._push_one_of_two()
        text, operand = self.known_operand()
        writer.push(text)
        return operand

    def _push_one_of_two(self) -> Operand:
        """Push by a condition: two pushes lead to one call."""
        writer = self.writer
        variable, value = self.variable(), self.random.randrange(SMALL)
        self.compare(variable, value)
        other, end = writer.label(), writer.label()
        writer.write(f"jne {other}")
        arms: tuple[list[Node], list[Node]] = ([], [])
        constants = self.random.randrange(SMALL), self.random.randrange(SMALL)
        with writer.arm(arms[0]):
            writer.push(str(constants[0]))
        writer.write(f"jmp {end}")
        writer.place(other)
        with writer.arm(arms[1]):
            writer.push(str(constants[1]))
        writer.place(end)
        writer.nodes.append(Choice(variable, {value: arms[0]}, arms[1]))
        writer.stand(writer.height.lowered(4))
        self.feature("push-by-condition")
        return Chosen(variable, value, Const(constants[0]), Const(constants[1]))

    def _pass_as_double(self, callee: Generated) -> list[Operand]:
        """Make room and store, as for a double."""
        if callee.convention == "cdecl":
            self.leave_frame_open()  # the same code reserves locals for good
        values = self.random.randrange(SMALL), self.random.randrange(SMALL)
        self.writer.move("sub esp, 8", 8)
        self.writer.write(f"mov dword ptr [esp], {values[0]}", f"mov dword ptr [esp + 4], {values[1]}")
        self._stores = True
        self.feature("double")
        return [Const(values[0]), Const(values[1])]

    def _call_in_between(self) -> None:
        """Call another function while this one's arguments are being pushed."""
        callees = [one for one in self._callees() if one.stack_words <= 2]
        if not callees:
            return
        callee = self.random.choice(callees)
        outer, self.pending = self.pending, 0
        operands: list[Operand] = []
        for _ in range(callee.stack_words):
            text, operand = self.known_operand()
            self.writer.push(text)
            operands.insert(0, operand)
        self._transfer(callee, (*self._load(callee.in_registers), *operands))
        self._may_have_taken = self._may_have_taken or not operands
        self.clean()
        self.pending = outer
        self.feature("nested-call")

    # -- room for arguments in the frame --

    def _has_area(self, words: int) -> bool:
        """Return whether locals lie at ESP and are more than the arguments, which may be stored there."""
        has_pushed_locals = PUSHED_LOCALS in self.function.features  # MSVC's, which stores no arguments there
        return 0 < words < self.frame.area and self.writer.height == self.base and not has_pushed_locals

    def _call_through_area(self, callee: Generated) -> None:
        """Store the arguments in the frame, as GCC does; what the callee pops is reserved again."""
        operands: list[Operand] = []
        for index in range(callee.stack_words):
            text, operand = self.known_operand()
            if text.startswith("dword"):
                self.writer.write(f"mov eax, {text}")
                text = "eax"
            self.writer.write(f"mov dword ptr [esp + {4 * index}], {text}")
            operands.append(operand)
        self._stores = True
        self._transfer(callee, (*self._load(callee.in_registers), *operands))
        self._stores = False
        self.pending = 0
        if callee.pops:
            self.writer.move(f"sub esp, {callee.pops}", callee.pops)
        self.feature("outgoing-area")

    # -- ways to get there --

    def _transfer(self, callee: Generated, operands: tuple[Operand, ...]) -> None:
        writer = self.writer
        way = self.random.choice(("direct",) * 8 + ("register", "saved", "memory"))
        register = self.random.choice(sorted(self.registers)) if self.registers else ""
        if way == "saved" and register:
            writer.write(f"mov {register}, offset {callee.label}")
            self.registers[register] = Const(POINTER)
            writer.call(register, callee, operands)
        elif way == "memory" and self._can_be_inferred(callee):
            writer.call(f"*p_{callee.name}", callee, operands)
            self.pending += self._left_by(callee)
            if writer.chance(0.3):
                writer.write(f"mov {address(self.program.new_global(0))}, eax")
            self.clean()
            self.function.calls_pointers = True
            self.feature("call-memory")
            self.has_called = True
            return
        elif way == "register":
            writer.write(f"mov eax, offset {callee.label}")
            writer.call("eax", callee, operands)
        else:
            writer.call(callee.symbol, callee, operands)
        self.feature("call-direct" if way == "memory" else f"call-{way}")
        self.has_called = True
        self.pending += self._left_by(callee)

    def _left_by(self, callee: Generated) -> int:
        """Return the bytes of arguments that a callee leaves on the stack."""
        return 4 * callee.stack_words - callee.pops

    def _can_be_inferred(self, callee: Generated) -> bool:
        """Return whether the code around a call through memory tells what the callee pops.

        Where the frame is left by ESP alone, the balance tells. Elsewhere what was pushed and given back does.
        """
        pushed = self.writer.height.below - self.base.below
        if self.pending or self._stores or pushed != 4 * callee.stack_words:
            return False
        if isinstance(self.frame, FpoFrame):
            return not isinstance(self.frame, AllRegistersFrame)
        return pushed > 0 and not self._may_have_taken and not isinstance(self.frame, GccAlignedFrame)
