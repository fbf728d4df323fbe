"""The frames that compilers build, as text and truth: EBP and FPO, realigned, ENTER, all registers, SEH helpers."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import ClassVar

from generated_text import SEH_DEEPEST, SEH_RECORD, Writer
from generated_truth import Height

Guard = Callable[[Writer, "Frame"], None]
"""Writes an early way out at a point of the prologue, with the part of the frame that stands there."""

PAGE = 4096
PUSHED_LOCALS = "push-ecx"
"""The feature of functions whose locals are pushes of ECX."""


class Frame:
    """One function's frame: how it is built and left, and where arguments and locals are found in it."""

    name: ClassVar[str]
    keeps_arguments: bool = False
    """Whether leaving it works with arguments still on the stack: ESP comes from a register."""

    def __init__(self, generator: random.Random) -> None:
        """Choose the frame's registers and size."""
        self.random = generator
        registers = ["ebx", "esi", "edi"]
        generator.shuffle(registers)
        self.saved = registers[: generator.choice((0, 0, 1, 1, 2, 3))]
        self.size = 4 * generator.choice((0, 0, 1, 1, 2, 3, 4, 7, 12, 19, 31, 32, 33, 70))

    def prologue(self, writer: Writer, guard: Guard | None) -> None:
        """Write everything up to the body; the truth about the frame goes to the function."""
        raise NotImplementedError

    def epilogue(self, writer: Writer) -> None:
        """Write everything from the body's end to the return, which is not written."""
        raise NotImplementedError

    def early(self, writer: Writer) -> None:
        """Undo what stands of the frame where the guard is asked."""

    def argument(self, writer: Writer, index: int) -> str:
        """Return the operand for a word of the arguments on the stack; EAX may be written for it."""
        raise NotImplementedError

    def local(self, writer: Writer, index: int) -> str:
        """Return the operand for a word of the locals."""
        raise NotImplementedError

    @property
    def slots(self) -> int:
        """Return how many words of locals the body may use."""
        return self.size // 4

    @property
    def usable(self) -> tuple[str, ...]:
        """Return the callee-saved registers that the body may use."""
        return tuple(self.saved)

    @property
    def area(self) -> int:
        """Return how many words of locals lie at ESP behind the prologue, for GCC to store arguments in."""
        return 0

    def _save(self, writer: Writer) -> None:
        for register in self.saved:
            writer.push(register)

    def _restore(self, writer: Writer) -> None:
        for register in reversed(self.saved):
            writer.pop(register)

    def _state(self, writer: Writer, locals_: int | None, saved: int | None, frame: int | None = None) -> None:
        function = writer.function
        function.locals, function.saved = locals_, saved
        function.frame = locals_ + saved if locals_ is not None and saved is not None else frame
        function.features.add(self.name)


def reserve(writer: Writer, size: int, *, pushes: bool) -> None:
    """Take `size` bytes of locals, in one of the ways of compilers; `pushes` allows MSVC's `push ecx`.

    MSVC reserves locals at the entry: behind a branch a push of ECX looks like an argument.
    """
    if size >= PAGE:
        writer.probe(size)
    elif pushes and 0 < size <= 12 and writer.chance(0.6):
        for _ in range(size // 4):
            writer.push("ecx")
        writer.function.features.add(PUSHED_LOCALS)
    elif size:
        way = writer.random.choice((f"sub esp, {size}",) * 4 + (f"add esp, -{size}", f"lea esp, [esp - {size}]"))
        writer.move(way, size)


def release(writer: Writer, size: int) -> None:
    """Give `size` bytes back."""
    if not size:
        return
    if size <= 8 and writer.chance(0.5):
        for _ in range(size // 4):
            writer.pop("ecx")
    else:
        way = writer.random.choice((f"add esp, {size}",) * 3 + (f"sub esp, -{size}", f"lea esp, [esp + {size}]"))
        writer.move(way, -size)


class EbpFrame(Frame):
    """`push ebp; mov ebp, esp`: locals, then saved registers, or the other way round."""

    name = "ebp"

    def __init__(self, generator: random.Random) -> None:
        super().__init__(generator)
        if generator.random() < 0.03:
            self.size = PAGE + 4 * generator.randrange(300)
        self.saves_first = generator.random() < 0.3
        self._leave_by("pops", "pops", "lea", "moves")

    def _leave_by(self, *ways: str) -> None:
        """Choose how the frame is left: by pops from where ESP is, or with an ESP or registers taken from EBP."""
        self.way = self.random.choice(ways)
        self.keeps_arguments = self.way != "pops"

    def prologue(self, writer: Writer, guard: Guard | None) -> None:
        if writer.chance(0.3):
            writer.write("mov edi, edi")
            writer.function.features.add("hot-patch")
        self._begin(writer)
        if guard is not None:
            guard(writer, self)
        if self.saves_first:
            self._save(writer)
        reserve(writer, self.size, pushes=not self.saves_first and guard is None)
        self.bottom = writer.height
        if not self.saves_first:
            self._save(writer)
        self._state(writer, self.size, 4 + 4 * len(self.saved))

    def _begin(self, writer: Writer) -> None:
        writer.push("ebp")
        writer.write("mov ebp, esp")

    @property
    def area(self) -> int:
        return self.size // 4 if self.saves_first or not self.saved else 0

    def early(self, writer: Writer) -> None:
        writer.pop("ebp")

    def epilogue(self, writer: Writer) -> None:
        {"pops": self._by_pops, "lea": self._by_lea, "moves": self._by_moves}[self.way](writer)

    def _by_pops(self, writer: Writer) -> None:
        """ESP is where the prologue left it."""
        if self.saves_first:
            release(writer, self.size)
            self._restore(writer)
            writer.pop("ebp")
            return
        self._restore(writer)
        self._drop(writer)

    def _by_lea(self, writer: Writer) -> None:
        """ESP comes from EBP first."""
        above = 0 if self.saves_first else self.size
        distance = above + 4 * len(self.saved)
        writer.write(f"lea esp, [ebp - {distance}]" if distance else "mov esp, ebp")
        writer.stand(Height(below=4 + distance))
        self._restore(writer)
        if self.saves_first or not self.size:
            writer.pop("ebp")
        else:
            self._drop(writer)

    def _by_moves(self, writer: Writer) -> None:
        """Saved registers are read back from where they lie."""
        above = 0 if self.saves_first else self.size
        for index, register in enumerate(self.saved):
            writer.write(f"mov {register}, [ebp - {above + 4 * (index + 1)}]")
        writer.write(*(["leave"] if writer.chance(0.6) else ["mov esp, ebp", "pop ebp"]))
        writer.stand(Height())

    def _drop(self, writer: Writer) -> None:
        """Give the locals and EBP back."""
        ways: list[tuple[str, ...]] = [("leave",), ("mov esp, ebp", "pop ebp")]
        ways.append((f"add esp, {self.size}", "pop ebp") if self.size else ("pop ebp",))
        writer.write(*writer.random.choice(ways))
        writer.stand(Height())

    def argument(self, writer: Writer, index: int) -> str:
        return f"[ebp + {8 + 4 * index}]"

    def local(self, writer: Writer, index: int) -> str:
        above = 4 * len(self.saved) if self.saves_first else 0
        return f"[ebp - {above + self.size - 4 * index}]"


class EnterFrame(EbpFrame):
    """`enter`, which is `push ebp; mov ebp, esp; sub esp, n`."""

    name = "enter"

    def __init__(self, generator: random.Random) -> None:
        super().__init__(generator)
        self.saves_first = False
        self.size = min(self.size, 400)

    def prologue(self, writer: Writer, guard: Guard | None) -> None:
        writer.move(f"enter {self.size}, 0", 4 + self.size)
        self._save(writer)
        self._state(writer, self.size, 4 + 4 * len(self.saved))


class AlignedFrame(EbpFrame):
    """`push ebp; mov ebp, esp; and esp, -M`: arguments by EBP, locals by ESP."""

    name = "realigned"

    def __init__(self, generator: random.Random) -> None:
        super().__init__(generator)
        self.mask = generator.choice((8, 8, 16, 32, 64))
        self.saves_first = False
        self.keeps_arguments = not self.saved

    def prologue(self, writer: Writer, guard: Guard | None) -> None:
        self._begin(writer)
        if guard is not None:
            guard(writer, self)
        writer.realign(self.mask)
        reserve(writer, self.size, pushes=False)
        self.bottom = writer.height
        self._save(writer)
        self._state(writer, self.size, 4 + 4 * len(self.saved))

    def epilogue(self, writer: Writer) -> None:
        self._restore(writer)
        writer.write(*(["leave"] if writer.chance(0.3) else ["mov esp, ebp", "pop ebp"]))
        writer.stand(Height())

    def local(self, writer: Writer, index: int) -> str:
        return f"[esp + {writer.height.below - self.bottom.below + 4 * index}]"


class EbxFrame(AlignedFrame):
    """MSVC's realigned frame with arguments by EBX and locals by EBP, under a copy of the return address."""

    name = "realigned-ebx"

    def __init__(self, generator: random.Random) -> None:
        super().__init__(generator)
        self.mask = generator.choice((8, 16, 16, 32, 64))
        self.saved = [register for register in self.saved if register != "ebx"]
        self.keeps_arguments = not self.saved

    def prologue(self, writer: Writer, guard: Guard | None) -> None:
        writer.push("ebx")
        writer.write("mov ebx, esp")
        writer.move("sub esp, 8", 8)
        writer.realign(self.mask)
        writer.move("add esp, 4", -4)
        writer.push("ebp")
        writer.write("mov ebp, [ebx + 4]", "mov [esp + 4], ebp", "mov ebp, esp")
        reserve(writer, self.size, pushes=False)
        self._save(writer)
        # EBX, the copy of the return address with its way of being aligned, EBP: which of it is "saved" is a
        # matter of taste, the whole is not.
        self._state(writer, None, None, 12 + self.size + 4 * len(self.saved))

    def epilogue(self, writer: Writer) -> None:
        self._restore(writer)
        writer.write("mov esp, ebp", "pop ebp", "mov esp, ebx")
        writer.stand(Height(below=4))
        writer.pop("ebx")

    def argument(self, writer: Writer, index: int) -> str:
        return f"[ebx + {8 + 4 * index}]"

    def local(self, writer: Writer, index: int) -> str:
        return f"[ebp - {self.size - 4 * index}]"


class GccAlignedFrame(EbpFrame):
    """GCC's realigned frame: the arguments' address in ECX, saved; a copy of the return address above EBP."""

    name = "realigned-ecx"

    def __init__(self, generator: random.Random) -> None:
        super().__init__(generator)
        self.mask = generator.choice((16, 16, 32, 64))
        self.saves_first = True
        self.size = max(4, min(self.size, 400))
        self.keeps_arguments = True

    def prologue(self, writer: Writer, guard: Guard | None) -> None:
        writer.write("lea ecx, [esp + 4]")
        writer.realign(self.mask)
        writer.push("dword ptr [ecx - 4]")
        self._begin(writer)
        self._save(writer)
        writer.push("ecx")
        writer.move(f"sub esp, {self.size}", self.size)
        self._state(writer, None, None, 12 + 4 * len(self.saved) + self.size)

    def epilogue(self, writer: Writer) -> None:
        below = 4 + 4 * len(self.saved)
        writer.write(f"lea esp, [ebp - {below}]", "pop ecx")
        for register in reversed(self.saved):
            writer.write(f"pop {register}")
        writer.write("pop ebp", "lea esp, [ecx - 4]")
        writer.stand(Height())

    def argument(self, writer: Writer, index: int) -> str:
        writer.write(f"mov eax, [ebp - {4 + 4 * len(self.saved)}]")
        return f"[eax + {4 * index}]"

    def local(self, writer: Writer, index: int) -> str:
        return f"[ebp - {4 + 4 * len(self.saved) + self.size - 4 * index}]"


class FpoFrame(Frame):
    """No frame pointer: everything is found by ESP, and EBP is a register like others."""

    name = "fpo"

    def __init__(self, generator: random.Random) -> None:
        super().__init__(generator)
        if generator.random() < 0.02:
            self.size = PAGE + 4 * generator.randrange(300)
        if generator.random() < 0.25:
            self.saved.insert(generator.randint(0, len(self.saved)), "ebp")
        self.saves_first = generator.random() < 0.5

    def prologue(self, writer: Writer, guard: Guard | None) -> None:
        if guard is not None:
            guard(writer, self)
        if self.saves_first:
            self._save(writer)
        reserve(writer, self.size, pushes=guard is None)
        self.bottom = writer.height
        if not self.saves_first:
            self._save(writer)
        self._state(writer, self.size, 4 * len(self.saved))

    @property
    def area(self) -> int:
        return self.size // 4 if self.saves_first or not self.saved else 0

    def epilogue(self, writer: Writer) -> None:
        if self.saves_first:
            release(writer, self.size)
        self._restore(writer)
        if not self.saves_first:
            release(writer, self.size)

    def argument(self, writer: Writer, index: int) -> str:
        return f"[esp + {writer.height.below + 4 + 4 * index}]"

    def local(self, writer: Writer, index: int) -> str:
        return f"[esp + {writer.height.below - self.bottom.below + 4 * index}]"


class AllRegistersFrame(FpoFrame):
    """`pushad` or `pushfd`, `pushad`, as in code that must leave no trace."""

    name = "pushad"

    def __init__(self, generator: random.Random) -> None:
        super().__init__(generator)
        self.saved, self.size = [], 0
        self.flags = generator.random() < 0.5

    def prologue(self, writer: Writer, guard: Guard | None) -> None:
        if self.flags:
            writer.move("pushfd", 4)
        writer.move("pushad", 32)
        self.bottom = writer.height
        self._state(writer, 0, 36 if self.flags else 32)

    def epilogue(self, writer: Writer) -> None:
        writer.move("popad", -32)
        if self.flags:
            writer.move("popfd", -4)


class SehFrame(EbpFrame):
    """A frame that __SEH_prolog4 builds for its caller: the locals' size and a scope table are its arguments."""

    name = "seh"

    def __init__(self, generator: random.Random) -> None:
        super().__init__(generator)
        self.saved = ["ebx", "esi", "edi"]
        self.size = min(max(self.size, 8), 400)
        self.keeps_arguments = False  # the epilogue helper pops the registers from where ESP is

    def prologue(self, writer: Writer, guard: Guard | None) -> None:
        writer.push(str(self.size))
        writer.push_as_att("$_scope_table")
        after = Height(below=SEH_RECORD + self.size)
        writer.help("__SEH_prolog4", after, after.lowered(SEH_DEEPEST))
        self._state(writer, self.size, SEH_RECORD)

    def epilogue(self, writer: Writer) -> None:
        writer.help("__SEH_epilog4", Height(), writer.height.lowered(4))

    def local(self, writer: Writer, index: int) -> str:
        return f"[ebp - {16 + self.size - 4 * index}]"

    @property
    def area(self) -> int:
        return 0

    @property
    def slots(self) -> int:
        return self.size // 4 - 2  # the helper's own two words are among them


class DynamicFrame(EbpFrame):
    """An EBP frame under which the body takes a run-time amount of stack."""

    name = "dynamic"

    def __init__(self, generator: random.Random) -> None:
        super().__init__(generator)
        self.size = max(self.size % PAGE, 4)
        self._leave_by("lea", "moves")

    def prologue(self, writer: Writer, guard: Guard | None) -> None:
        super().prologue(writer, guard)
        # With a run-time amount, how much of the locals is a constant is nobody's question.
        self._state(writer, None, None)


FRAMES: tuple[tuple[type[Frame], int], ...] = (
    (EbpFrame, 30),
    (FpoFrame, 30),
    (AlignedFrame, 8),
    (EbxFrame, 5),
    (GccAlignedFrame, 4),
    (EnterFrame, 4),
    (AllRegistersFrame, 4),
    (SehFrame, 7),
    (DynamicFrame, 8),
)
"""Kinds of frames and how many of a hundred functions have them."""
