"""Functions that no symbol names: found from the entry point, calls, code pointers, guard tables, prologues.

Every candidate is traced by control flow before it counts; one that runs into bytes that do not decode is
dropped. Extents come from control flow.
"""

from __future__ import annotations

from bisect import bisect_right, insort
from collections.abc import Iterable
from dataclasses import replace

from stackemu.emu.code.flow import FlowTracer
from stackemu.emu.code.function_code import FunctionCode
from stackemu.emu.code.instruction import MAX_INSTRUCTION, Flow, Instruction, Mem
from stackemu.emu.image import Image, Section
from stackemu.emu.kernel.exports import NEVER_RETURN
from stackemu.emu.symbols.function import Function, Kind, Source

MAX_FUNCTIONS = 200_000
"""A bound for hostile images."""

_PADDING = (0xCC, 0x90, 0x00)
_BREAKPOINT = b"\xcc"
_EXCEPT_BLOCK = b"\x8b\x65"
"""mov esp, [ebp+disp8]: where a function goes on after an exception; no function begins with it."""
_PROLOGUES = (
    b"\x8b\xff\x55\x8b\xec",  # mov edi, edi; push ebp; mov ebp, esp
    b"\x55\x8b\xec",
    b"\x55\x89\xe5",
    b"\x6a",  # push imm8: arguments of an SEH prologue helper
    b"\x68",  # push imm32
    b"\x53",  # push ebx
    b"\x56",  # push esi
    b"\x57",  # push edi
    b"\x55",
    b"\x83\xec",  # sub esp, imm8
    b"\x81\xec",  # sub esp, imm32
    b"\x51",  # push ecx
    b"\x8b\xff",
)
_FRAME_SETUPS = _PROLOGUES[:3]


def complete(
    image: Image, named: Iterable[Function], decoded: dict[int, Instruction] | None = None
) -> tuple[Function, ...]:
    """Return the named functions and all that discovery adds, sorted by RVA, each with an extent.

    What it decodes is added to `decoded`, by address.
    """
    return _Discovery(image, named, decoded).run()


class _Discovery:
    def __init__(self, image: Image, named: Iterable[Function], decoded: dict[int, Instruction] | None) -> None:
        self._image = image
        self._functions = {function.rva: function for function in named}
        self._order = sorted(self._functions)
        self._slots = {image.base + entry.slot: entry.label for entry in image.imports}
        self._tracer = FlowTracer(image, self._is_function, self._never_returns, decoded=decoded)
        self._code: dict[int, FunctionCode] = {}
        self._covered: set[int] = set()
        """Addresses of all instructions traced so far."""
        self._in_tables: set[int] = set()
        """RVAs of jump table entries, which are no function pointers."""

    def run(self) -> tuple[Function, ...]:
        image = self._image
        if image.entry is not None and image.is_code(image.entry):
            self._add(image.entry, Source.ENTRY, "DriverEntry")
        for rva in image.guard_functions:
            self._try_candidate(rva, Source.GUARD_TABLE)
        self._trace_from(self._order)
        self._follow_pointers()
        for section in image.sections:
            if section.executable:
                self._search_gaps(section)
        return self._with_extents()

    def _follow_pointers(self) -> None:
        """Try what relocated pointers lead to: those in data, and those in instructions that are reached.

        A pointer in an executable section outside every instruction belongs to a jump table: of a function
        that is not found yet, when its table is not known.
        """
        image = self._image
        pending = list(image.relocations)
        progress = True
        while progress:
            progress, waiting = False, []
            for rva in pending:
                instruction = self._instruction_around(rva) if image.is_code(rva) else None
                if image.is_code(rva) and instruction is None:
                    waiting.append(rva)
                    continue
                pointer = image.read_u32(rva) or 0
                target = pointer - image.base
                progress = True
                is_data = instruction is not None and _accesses(instruction, pointer)
                if image.is_code(target) and not is_data and self._follows_padding(target):
                    self._try_candidate(target, Source.CODE_POINTER)
            pending = waiting

    def _instruction_around(self, rva: int) -> Instruction | None:
        """Return the reached instruction that holds the pointer at `rva`, None where there is none."""
        if rva in self._in_tables:
            return None
        address = self._image.base + rva
        for start in range(address - 1, address - MAX_INSTRUCTION, -1):
            instruction = self._tracer.instruction(start) if start in self._covered else None
            if instruction is not None and address < instruction.end:
                return instruction
        return None

    # -- finding --

    def _add(self, rva: int, source: Source, name: str | None = None, kind: Kind = Kind.FUNCTION) -> None:
        if rva in self._functions or len(self._functions) >= MAX_FUNCTIONS:
            return
        self._functions[rva] = Function(rva=rva, name=name or f"sub_{rva:x}", name_source=source, kind=kind)
        insort(self._order, rva)

    def _trace_from(self, rvas: Iterable[int]) -> None:
        """Trace the functions at `rvas`, and what their calls lead to."""
        pending = list(rvas)
        while pending:
            rva = pending.pop()
            if rva not in self._code:
                pending += self._add_targets(self._trace(rva))

    def _add_targets(self, code: FunctionCode) -> list[int]:
        """Add the functions that a function's code leads to; returns those that are new."""
        found = []
        for target in self._targets(code):
            if target not in self._functions and self._accepts_target(target):
                self._add_target(target)
                found.append(target)
        return found

    def _trace(self, rva: int) -> FunctionCode:
        return self._keep(rva, self._tracer.trace(self._image.base + rva))

    def _keep(self, rva: int, code: FunctionCode) -> FunctionCode:
        """Remember a function's code, and what of the image belongs to it."""
        self._code[rva] = code
        self._covered.update(code.instructions)
        for table, count in code.tables:
            start = table - self._image.base
            self._in_tables.update(range(start, start + 4 * count, 4))
        return code

    def _targets(self, code: FunctionCode) -> list[int]:
        """Return RVAs that direct calls go to, and moved-away code that a jump reaches and that has a prologue."""
        base = self._image.base
        targets = [call.target - base for call in code.calls if call.target not in (None, call.end)]
        for instruction in code.instructions.values():
            target = instruction.target
            is_backward = instruction.flow is Flow.JUMP and target is not None and target < code.entry
            if target is not None and is_backward and self._has_frame_setup(target - base):
                targets.append(target - base)
        return targets

    def _has_frame_setup(self, rva: int) -> bool:
        return self._image.read(rva, 5).startswith(_FRAME_SETUPS)

    def _accepts_target(self, rva: int) -> bool:
        return self._image.is_code(rva) and self._tracer.instruction(self._image.base + rva) is not None

    def _add_target(self, rva: int) -> None:
        parent = self._enclosing(rva)
        if parent is not None:
            self._add(rva, Source.CALL_TARGET, f"{parent.name}$funclet_{rva:x}", Kind.FUNCLET)
        else:
            self._add(rva, Source.CALL_TARGET)

    def _enclosing(self, rva: int) -> Function | None:
        """Return the function whose known extent holds `rva` behind its entry."""
        index = bisect_right(self._order, rva) - 1
        function = self._functions[self._order[index]] if index >= 0 else None
        return function if function is not None and function.rva < rva < function.end else None

    def _try_candidate(self, rva: int, source: Source, limit: int | None = None) -> bool:
        """Add a function at `rva` if its code holds together, ends before `limit` and belongs to no other one."""
        address = self._image.base + rva
        if rva in self._functions or address in self._covered or not self._image.is_code(rva):
            return False
        head = self._image.read(rva, 2)
        if self._enclosing(rva) is not None or head.startswith(_BREAKPOINT) or head == _EXCEPT_BLOCK:
            return False
        code = self._tracer.trace(address)
        if code.undecodable or not self._ends(code) or not self._covered.isdisjoint(_own_part(code)):
            return False
        if limit is not None and rva + code.extent > limit:
            return False
        self._add(rva, source)
        self._trace_from(self._add_targets(self._keep(rva, code)))
        return True

    @staticmethod
    def _ends(code: FunctionCode) -> bool:
        """Return whether control leaves the code at all; a loop without an end is data more often than code."""
        stops = any(one.flow is Flow.STOP for one in code.instructions.values())
        return bool(
            code.returns or code.tail_jumps or stops or any(code.successors.get(c.address) == () for c in code.calls)
        )

    def _follows_padding(self, rva: int) -> bool:
        """Return whether a function may begin here: at a section's start, behind padding, a return or a jump."""
        section = self._image.section_at(rva)
        if section is None or rva in self._functions:
            return False
        if rva == section.rva:
            return True
        before = section.data[max(0, rva - section.rva - 5) : rva - section.rva]
        return before[-1] in _PADDING or before[-1] == 0xC3 or before[-3:-2] == b"\xc2" or before[-5:-4] == b"\xe9"

    def _search_gaps(self, section: Section) -> None:
        """Try what begins like a function in the gaps that control flow never reached."""
        spans = sorted(
            (one.address - self._image.base, one.end - self._image.base) for one in self._instructions(section)
        )
        spans += [(rva, rva + 4) for rva in self._in_tables if section.rva <= rva < section.end]
        functions = [function for function in self._functions.values() if section.rva <= function.rva < section.end]
        spans += [(function.rva, min(function.end, section.end)) for function in functions if function.size]
        position = section.rva
        for start, end in [*sorted(spans), (section.end, section.end)]:
            while position < start:
                position = self._probe_gap(section, position, start)
            position = max(position, end)

    def _instructions(self, section: Section) -> list[Instruction]:
        base = self._image.base
        return [
            instruction
            for code in self._code.values()
            for instruction in code.instructions.values()
            if section.rva <= instruction.address - base < section.end
        ]

    def _probe_gap(self, section: Section, position: int, end: int) -> int:
        """Try one function in a gap; returns where to look next."""
        data = section.data
        while position < end and data[position - section.rva] in _PADDING:
            position += 1
        if position >= end:
            return end
        rva = position
        head = data[rva - section.rva : rva - section.rva + 5]
        if (
            head.startswith(_PROLOGUES)
            and self._follows_padding(rva)
            and self._try_candidate(rva, Source.PROLOGUE, end)
        ):
            return rva + self._code[rva].extent
        while position < end and data[position - section.rva] not in _PADDING:
            position += 1
        return position

    # -- what is found --

    def _with_extents(self) -> tuple[Function, ...]:
        self._code.clear()  # functions found late cut earlier ones short: trace again
        completed = []
        for index, rva in enumerate(self._order):
            function = self._functions[rva]
            code = self._trace(rva)
            thunk = self._thunk_of(code)
            if thunk is not None and function.kind is Kind.FUNCTION:
                function = replace(
                    function,
                    name=function.name if not function.name.startswith("sub_") else thunk,
                    name_source=function.name_source if not function.name.startswith("sub_") else Source.IMPORT_THUNK,
                    kind=Kind.IMPORT_THUNK,
                )
            if not function.size:
                following = self._order[index + 1] if index + 1 < len(self._order) else None
                size = code.extent if following is None else min(code.extent, following - rva)
                function = replace(function, size=size, extent_source=Source.CONTROL_FLOW)
            completed.append(function)
        return tuple(completed)

    def _thunk_of(self, code: FunctionCode) -> str | None:
        """Return the import's name if the function is nothing but `jmp [IAT slot]`."""
        if len(code.instructions) != 1 or not code.tail_jumps or code.tail_jumps[0].slot is None:
            return None
        return self._slots.get(code.tail_jumps[0].slot)

    def _is_function(self, address: int) -> bool:
        return address - self._image.base in self._functions

    def _never_returns(self, instruction: Instruction) -> bool:
        slot = instruction.slot
        return slot is not None and self._slots.get(slot) in NEVER_RETURN


def _accesses(instruction: Instruction, address: int) -> bool:
    """Return whether the instruction reads or writes what lies at `address`, such as a switch's table."""
    return instruction.mnemonic != "lea" and any(
        isinstance(operand, Mem) and operand.disp & 0xFFFFFFFF == address for operand in instruction.operands
    )


def _own_part(code: FunctionCode) -> Iterable[int]:
    """Return the addresses of the instructions at the entry: shared tails may belong to others, the start not."""
    return [address for address in sorted(code.instructions) if code.entry <= address < code.entry + 16]
