"""An image's code as a whole: what each call does to the stack, worked out from the callee's own code."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Mapping

from stackemu.emu.code.flow import FlowTracer
from stackemu.emu.code.function_code import FunctionCode
from stackemu.emu.code.heights import HeightAnalysis, Heights
from stackemu.emu.code.instruction import EAX, ESP, Flow, Imm, Instruction, Mem, Reg
from stackemu.emu.code.state import CallEffect, State, Value
from stackemu.emu.code.unknown_callees import first_guess, settle
from stackemu.emu.image import Image
from stackemu.emu.kernel.exports import NEVER_RETURN, Api, find_api, kmdf_functions
from stackemu.emu.kernel.kmdf import KmdfBinding, find_binding

STACK_PROBES = frozenset({"_chkstk", "__chkstk", "chkstk", "_alloca_probe", "__alloca_probe", "alloca_probe"})
"""Names of the helper that lowers ESP by EAX and touches every page on the way."""
MAX_HELPER = 64
"""A helper that builds its caller's frame has at most this many instructions."""
MAX_CHAINED = 3
"""A helper may end in a jump to another one, so often at most."""
MAX_DEPTH = 60
"""How deep the analysis of callees may nest."""
MAX_POINTERS = 256
"""Entries of one table of functions."""
_PAGE = 0x1000


class CodeModel:
    """Code of every function of an image, analysed on demand and remembered. Addresses are absolute."""

    def __init__(
        self,
        image: Image,
        starts: Iterable[int],
        names: Mapping[int, str],
        decoded: dict[int, Instruction] | None = None,
    ) -> None:
        """`starts` are the addresses of all function entries, `names` what the named ones are called.

        `decoded` are instructions that were decoded before, by address.
        """
        self.image = image
        self._starts = sorted(starts)
        self._start_set = frozenset(self._starts)
        self._relocated = frozenset(image.relocations)
        self._names = names
        self._apis: list[tuple[str, Api | None]] = []
        self._slots: dict[int, int] = {}
        for entry in image.imports:
            self._slots[image.base + entry.slot] = len(self._apis)
            self._apis.append((entry.label, find_api(entry.library, entry.name)))
        self._kmdf_variable: int | None = None
        self._kmdf_first = len(self._apis)
        self._bind_kmdf(find_binding(image))
        self._tracer = FlowTracer(
            image, self._start_set.__contains__, self._never_returns, self._function_start, decoded
        )
        self._code: dict[int, FunctionCode] = {}
        self._heights: dict[tuple[int, int], Heights] = {}
        self._pops: dict[int, int | None] = {}
        self._returning: dict[int, bool] = {}
        self._under_way: set[int] = set()
        self._depth: list[int] = []
        self._trial: Mapping[int, int] = {}
        """Popped bytes to try for calls of unknown functions, by call site."""

    def _bind_kmdf(self, binding: KmdfBinding | None) -> None:
        """Let calls through the framework's table be known for what they are."""
        if binding is None:
            return
        self._apis += [(api.name, api) for api in kmdf_functions()]
        if not binding.is_array:
            self._kmdf_variable = binding.address
            return
        for index in range(min(binding.count, len(self._apis) - self._kmdf_first)):
            self._slots[binding.address + 4 * index] = self._kmdf_first + index

    # -- what others ask --

    def code(self, address: int) -> FunctionCode:
        """Return the code of the function at `address`."""
        known = self._code.get(address)
        if known is None:
            self._returning.setdefault(address, True)  # while it is being traced, for cycles
            known = self._code[address] = self._tracer.trace(address)
            self._returning[address] = bool(known.returns or known.tail_jumps or known.undecodable)
        return known

    def instruction(self, address: int) -> Instruction | None:
        """Return the instruction at `address`, None where the image has no code."""
        return self._tracer.instruction(address)

    def words(self, address: int, count: int) -> list[int]:
        """Return up to `count` 32-bit words of the image at `address`, fewer where it ends."""
        data = self.image.read(address - self.image.base, 4 * count)
        return [int.from_bytes(data[at : at + 4], "little") for at in range(0, len(data) & ~3, 4)]

    def code_pointers(self, address: int) -> list[int]:
        """Return the relocated pointers to functions that stand in a row at `address`."""
        pointers: list[int] = []
        while (address - self.image.base + 4 * len(pointers)) in self._relocated and len(pointers) < MAX_POINTERS:
            (word,) = self.words(address + 4 * len(pointers), 1)
            if word not in self._start_set:
                break
            pointers.append(word)
        return pointers

    def heights(self, address: int, residue: int = 0) -> Heights:
        """Return the stack heights of the function at `address` for an entry ESP of `residue` modulo 64."""
        known = self._heights.get((address, residue))
        if known is None:
            self._under_way.add(address)
            known = self._heights[address, residue] = self._interpret(address, residue)
            self._under_way.discard(address)
        return known

    def pops(self, address: int) -> int | None:
        """Return how many bytes of arguments the function at `address` pops.

        None when it never returns, or goes on in a function that nobody knows.
        """
        if address not in self._pops:
            self._pops[address] = None  # while it is being worked out, for cycles of tail jumps
            self._pops[address] = self._work_out_pops(self.code(address))
        return self._pops[address]

    def pops_by_the_rules(self, address: int) -> int | None:
        """Return what `pops` does for a function that leaves ESP where it found it, None for any other.

        A helper that takes its caller's frame down, or code that returns through an address it pushed, pops whatever
        lies there.
        """
        return None if any(offset != 0 for offset in self.heights(address).exits.values()) else self.pops(address)

    def is_stack_probe(self, address: int) -> bool:
        """Return whether the function lowers ESP by EAX: known by its name, else by what it does."""
        if self._names.get(address, "").lstrip("_") in {name.lstrip("_") for name in STACK_PROBES}:
            return True
        code = self.code(address)
        if len(code.instructions) > MAX_HELPER or code.calls:
            return False
        sets_esp = any(_sets_esp_from_register(one) for one in code.instructions.values())
        probes = any(_touches_pages(one) for one in code.instructions.values())
        return sets_esp and probes

    def import_name(self, instruction: Instruction) -> str | None:
        """Return the name of the import that a call or jump goes to through its IAT slot, else None."""
        slot = instruction.slot
        index = self._slots.get(slot) if slot is not None else None
        return None if index is None else self._apis[index][0]

    def stored_constants(self, address: int) -> list[tuple[Mem, int]]:
        """Return the constants that the function at `address` stores behind pointers, with where to."""
        found: dict[int, tuple[Mem, int]] = {}

        def observe(state: State, instruction: Instruction) -> None:
            if instruction.mnemonic != "mov" or not isinstance(instruction.operands[0], Mem):
                return
            place, source = instruction.operands
            value = Value("const", source.value) if isinstance(source, Imm) else None
            if isinstance(source, Reg) and source.size == 4 and source.number >= 0:
                value = state.registers[source.number]
            if isinstance(place, Mem) and place.base is not None and value is not None and value.kind == "const":
                found[instruction.address] = (place, value.n & 0xFFFFFFFF)

        code = self.code(address)
        HeightAnalysis(code, 0, self._call_effect, self._load, self._callee, observe=observe).run()
        return list(found.values())

    def imported(self, value: Value) -> str | None:
        """Return the name of the kernel function that a value of the data flow stands for, else None."""
        return self._apis[value.n][0] if value.kind == "api" else None

    def pops_at_call(self, return_address: int) -> int:
        """Return what the unknown callee of the call just before `return_address` is taken to pop, in bytes."""
        function = self._function_start(return_address - 1)
        if function is None:
            return 0
        guesses = self.heights(function).guesses
        for call in self.code(function).calls:
            if call.end == return_address:
                return guesses.get(call.address, 0)
        return 0

    # -- calls --

    def _function_start(self, address: int) -> int | None:
        """Return the last function entry at or before an address."""
        index = bisect_right(self._starts, address) - 1
        return self._starts[index] if index >= 0 else None

    def _never_returns(self, instruction: Instruction) -> bool:
        name = self.import_name(instruction)
        if name is not None:
            return name in NEVER_RETURN
        target = instruction.target
        if target is None or not self._is_function(target):
            return False
        if target not in self._returning:
            if len(self._depth) >= MAX_DEPTH:
                return False
            self._depth.append(target)
            self.code(target)
            self._depth.pop()
        return not self._returning[target]

    def _is_function(self, address: int) -> bool:
        return address in self._start_set or self.image.is_code(address - self.image.base)

    def _call_effect(self, instruction: Instruction, state: State, returned: int) -> CallEffect:
        """Return what a call does to its caller's stack; the caller gives `returned` bytes back soon behind it."""
        target = instruction.target
        if target is not None:
            return self._local_call(target, instruction, state, returned)
        callee = self._callee(instruction, state)
        if callee is not None and callee.kind == "api":
            name, api = self._apis[callee.n]
            if name in STACK_PROBES:
                return _probe_effect(state)
            if api is not None:
                return CallEffect(api.pops)
        elif callee is not None and callee.kind == "const" and self.image.is_code(callee.n - self.image.base):
            return self._local_call(callee.n, instruction, state, returned)
        return CallEffect(self._guess(instruction, state, returned), guessed=True)

    def _guess(self, instruction: Instruction, state: State, returned: int) -> int:
        trial = self._trial.get(instruction.address)
        if trial is not None:
            return trial
        return first_guess(self._tracer.instruction(instruction.end), state.pushed, returned)

    def _callee(self, instruction: Instruction, state: State) -> Value | None:
        """Return what an indirect call goes to, as far as the data flow knows."""
        operand = instruction.operands[0]
        if isinstance(operand, Reg):
            return state.registers[operand.number] if operand.number >= 0 else None
        if isinstance(operand, Mem) and operand.index is None and not operand.segment:
            base = Value("const", 0) if operand.base is None else state.registers[operand.base]
            if base is not None and base.kind == "stack":
                return state.slots.get(base.n + operand.disp)
            if base is not None and base.kind in ("const", "kmdf"):
                return self._load(base, operand.disp)
        return None

    def _load(self, base: Value, displacement: int) -> Value | None:
        """Return what memory off the stack is known to hold: import addresses and the KMDF table."""
        if base.kind == "kmdf":
            index, rest = divmod(base.n + displacement, 4)
            if rest == 0 and 0 <= index < len(self._apis) - self._kmdf_first:
                return Value("api", self._kmdf_first + index)
            return None
        address = (base.n + displacement) & 0xFFFFFFFF
        if address == self._kmdf_variable:
            return Value("kmdf", 0)
        index = self._slots.get(address, -1)
        return Value("api", index) if index >= 0 else None

    def _local_call(self, target: int, instruction: Instruction, state: State, returned: int) -> CallEffect:
        if self.is_stack_probe(target):
            return _probe_effect(state)
        is_known = target not in self._under_way and len(self._under_way) < MAX_DEPTH
        if is_known and self._is_helper(target, MAX_CHAINED):
            inlined = self._inline(target, instruction, state)
            if inlined is not None:
                return inlined
        pops = self.pops(target)
        if pops is None and self.code(target).tail_jumps:
            return CallEffect(self._guess(instruction, state, returned), guessed=True)
        return CallEffect(pops or 0)

    def _is_helper(self, target: int, chained: int) -> bool:
        """Return whether a function returns with ESP elsewhere than a function that keeps the rules."""
        heights, code = self.heights(target), self.code(target)
        if heights.guesses or len(code.instructions) > MAX_HELPER:
            return False
        if any(heights.exits.get(one.address) != 0 for one in code.returns):
            return True
        jumps = {
            jump.target for jump in code.tail_jumps if jump.target is not None and self._is_function(jump.target)
        }
        return bool(chained) and any(
            self._is_helper(to, chained - 1) for to in jumps if to != target and to not in self._under_way
        )

    def _inline(self, target: int, instruction: Instruction, state: State) -> CallEffect | None:
        """Return the effect of a helper that builds or removes its caller's frame, None for others."""
        if state.esp is None:
            return None
        inner = state.copy()
        entry = state.esp - 4
        inner.registers[ESP] = Value("stack", entry)
        inner.slots[entry] = Value("const", instruction.end)
        lowest, registers = entry, False
        for _ in range(MAX_CHAINED):
            code = self.code(target)
            if len(code.instructions) > MAX_HELPER:
                return None
            self._under_way.add(target)
            heights = HeightAnalysis(code, 0, self._call_effect, self._load, self._callee, inner).run()
            self._under_way.discard(target)
            lowest, registers = min(lowest, heights.lowest), registers or heights.registers_handler
            if len(heights.leaving) != 1 or len(heights.exits) != 1:
                return None
            [(address, inner)] = heights.leaving.items()
            leaving = code.instructions[address]
            if leaving.flow is Flow.RETURN:
                after = _after_return(inner, leaving, instruction.end)
                return CallEffect(None, after, False, lowest, registers) if after is not None else None
            if leaving.target is None:
                return None
            target = leaving.target
        return None

    def _work_out_pops(self, code: FunctionCode) -> int | None:
        amounts = [_return_pops(instruction) for instruction in code.returns]
        for jump in code.tail_jumps:
            amounts += [amount for amount in [self._pops_of_jump(jump)] if amount is not None]
        return min(amounts) if amounts else None

    def _pops_of_jump(self, jump: Instruction) -> int | None:
        index = self._slots.get(jump.slot) if jump.slot is not None else None
        if index is not None:
            api = self._apis[index][1]
            return api.pops if api is not None else None
        if jump.target is not None and self.image.is_code(jump.target - self.image.base):
            return self.pops(jump.target)
        return None

    def _interpret(self, address: int, residue: int) -> Heights:
        """Interpret the function; where callees are unknown, choose the pops that leave its stack balanced."""
        code = self.code(address)

        def interpret(pops: Mapping[int, int], patience: int | None) -> Heights:
            outer, self._trial = self._trial, pops
            analysis = HeightAnalysis(code, residue, self._call_effect, self._load, self._callee, patience=patience)
            heights = analysis.run()
            self._trial = outer
            return heights

        return settle(interpret, len(code.instructions))


def _probe_effect(state: State) -> CallEffect:
    """The stack probe lowers ESP by EAX and keeps the other registers.

    On the way it saves ECX below its return address, and at the end that address lies below all it reserved.
    """
    after = state.copy()
    size = state.registers[EAX]
    lowest = None
    if size is not None and size.kind == "const" and state.esp is not None:
        after.registers[ESP] = Value("stack", state.esp - size.n)
        lowest = state.esp - max(8, size.n + 4)
    else:
        after.registers[ESP] = None
    after.registers[EAX] = None
    return CallEffect(None, after, lowest=lowest)


def _after_return(state: State, leaving: Instruction, return_address: int) -> State | None:
    """Return the caller's state behind a helper's return, None when the helper returns elsewhere."""
    if state.esp is None or state.slots.get(state.esp) != Value("const", return_address):
        return None
    esp = state.esp + 4 + _return_pops(leaving)
    state.registers[ESP] = Value("stack", esp)
    state.slots = {slot: value for slot, value in state.slots.items() if slot >= esp}
    return state


def _return_pops(instruction: Instruction) -> int:
    return sum(operand.value & 0xFFFF for operand in instruction.operands if isinstance(operand, Imm))


def _sets_esp_from_register(instruction: Instruction) -> bool:
    return (
        instruction.mnemonic in ("mov", "xchg")
        and Reg(ESP, 4) in instruction.operands
        and ESP in instruction.writes
        and all(isinstance(operand, Reg) for operand in instruction.operands)
        and Reg(5, 4) not in instruction.operands
    )


def _touches_pages(instruction: Instruction) -> bool:
    return instruction.mnemonic in ("sub", "lea", "cmp") and any(
        (isinstance(operand, Imm) and operand.value == _PAGE) or (isinstance(operand, Mem) and operand.disp == -_PAGE)
        for operand in instruction.operands
    )
