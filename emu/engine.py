"""Unicorn with native hooks attached: the only module that reaches under Unicorn's Python binding."""

from __future__ import annotations

import ctypes
import enum
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import unicorn
from unicorn import x86_const
from unicorn.unicorn_py3.unicorn import uclib

from stackemu.emu.inputs import PAGE
from stackemu.emu.probe import Executor, Probe, Recorder, Registers

_WHOLE_SPACE = (1, 0)
"""begin > end: a hook for every address (unicorn.h, uc_hook_add)."""


def open_engine() -> unicorn.Uc:
    """Return a 32-bit x86 engine with a processor model that has no instructions Unicorn mistranslates."""
    engine = unicorn.Uc(unicorn.UC_ARCH_X86, unicorn.UC_MODE_32)
    engine.ctl_set_cpu_model(x86_const.UC_CPU_X86_SKYLAKE_CLIENT)
    return engine


class Mode(enum.Enum):
    """How a run is watched."""

    BLOCKS = "blocks"
    """A native hook for every block: what measured runs use."""
    STEPS = "steps"
    """A native hook for every instruction, which decodes nothing: the reference."""
    RECORDED = "recorded"
    """As STEPS, with the registers before every instruction recorded."""
    FUZZED = "fuzzed"
    """As BLOCKS, with memory on buffers of our own, whose dirty pages are known."""
    UNWATCHED = "unwatched"
    """No hook: the floor that benchmarks compare with; figures stay empty."""


def attach_probe(engine: unicorn.Uc, mode: Mode) -> Probe:
    """Hook a new probe into `engine`.

    Must be called before the engine's first run: later hooks do not reach code already translated.

    Raises:
        unicorn.UcError: Unicorn refused the hook.
    """
    probe = Probe(
        _address_of(uclib.uc_reg_read),
        _address_of(uclib.uc_mem_read),
        _address_of(uclib.uc_emu_stop),
        x86_const.UC_X86_REG_ESP,
        mode in (Mode.STEPS, Mode.RECORDED),
    )
    if mode in (Mode.BLOCKS, Mode.FUZZED):
        _add_hook(engine, unicorn.UC_HOOK_BLOCK, ctypes.c_void_p(probe.hook), probe.user_data)
    elif mode in (Mode.STEPS, Mode.RECORDED):
        _add_hook(engine, unicorn.UC_HOOK_CODE, ctypes.c_void_p(probe.hook), probe.user_data)
        _add_hook(engine, unicorn.UC_HOOK_BLOCK, ctypes.c_void_p(probe.reference_block_hook), probe.user_data)
    return probe


def attach_recorder(engine: unicorn.Uc) -> Recorder:
    """Hook a new recorder into `engine`, before the engine's first run.

    Raises:
        unicorn.UcError: Unicorn refused the hook.
    """
    recorder = Recorder(_address_of(uclib.uc_reg_read), _ENCODING_ORDER)
    _add_hook(engine, unicorn.UC_HOOK_CODE, ctypes.c_void_p(recorder.hook), recorder.user_data)
    return recorder


def attach_executor(engine: unicorn.Uc, probe: Probe) -> Executor:
    """Hook a new executor into `engine`, before the engine's first run; all memory is to be mapped through it.

    Raises:
        unicorn.UcError: Unicorn refused the hook.
    """
    executor = Executor(
        probe,
        engine=engine_pointer(engine),
        emu_start=_address_of(uclib.uc_emu_start),
        reg_read=_address_of(uclib.uc_reg_read),
        reg_write=_address_of(uclib.uc_reg_write),
        context_restore=_address_of(uclib.uc_context_restore),
        mem_map_ptr=_address_of(uclib.uc_mem_map_ptr),
        mem_unmap=_address_of(uclib.uc_mem_unmap),
        eip_register=x86_const.UC_X86_REG_EIP,
    )
    _add_hook(engine, unicorn.UC_HOOK_MEM_WRITE, ctypes.c_void_p(executor.write_hook), executor.user_data)
    return executor


@contextmanager
def logged_reads(engine: unicorn.Uc, executor: Executor) -> Iterator[None]:
    """Let the executor see what code reads.

    The hook may come and go: that of writes keeps every access on the way through Unicorn's own code.
    """
    hook = ctypes.c_void_p(executor.read_hook)
    handle = _add_hook(engine, unicorn.UC_HOOK_MEM_READ, hook, executor.user_data)
    try:
        yield
    finally:
        uclib.uc_hook_del(engine._uch, handle)


_ENCODING_ORDER = (
    x86_const.UC_X86_REG_EAX,
    x86_const.UC_X86_REG_ECX,
    x86_const.UC_X86_REG_EDX,
    x86_const.UC_X86_REG_EBX,
    x86_const.UC_X86_REG_ESP,
    x86_const.UC_X86_REG_EBP,
    x86_const.UC_X86_REG_ESI,
    x86_const.UC_X86_REG_EDI,
)
_TIME_CALLBACK = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.c_void_p, ctypes.c_void_p)


def hook_time(engine: unicorn.Uc, read_time: Callable[[], int]) -> object:
    """Let RDTSC return what `read_time` says; keep the returned object for as long as the engine.

    Unicorn supports this hook, its Python binding does not offer it.

    Raises:
        unicorn.UcError: Unicorn refused the hook.
    """

    def on_rdtsc(_engine: int, _data: int) -> int:
        value = read_time()
        engine.reg_write(x86_const.UC_X86_REG_EAX, value & 0xFFFFFFFF)
        engine.reg_write(x86_const.UC_X86_REG_EDX, (value >> 32) & 0xFFFFFFFF)
        return 1

    callback = _TIME_CALLBACK(on_rdtsc)
    _add_hook(engine, unicorn.UC_HOOK_INSN, callback, None, ctypes.c_int(x86_const.UC_X86_INS_RDTSC))
    return callback


def _add_hook(engine: unicorn.Uc, kind: int, callback: object, data: int | None, *extra: object) -> ctypes.c_size_t:
    handle = ctypes.c_size_t()
    begin, end = (ctypes.c_uint64(bound) for bound in _WHOLE_SPACE)
    status = uclib.uc_hook_add(
        engine._uch, ctypes.byref(handle), kind, callback, ctypes.c_void_p(data), begin, end, *extra
    )
    if status != unicorn.UC_ERR_OK:
        raise unicorn.UcError(status)
    return handle


def engine_pointer(engine: unicorn.Uc) -> int:
    """Return the address of Unicorn's own engine structure."""
    return int(engine._uch.value or 0)


def native_registers(engine: unicorn.Uc) -> Registers:
    """Return the engine's general registers, for those who read and write them often."""
    return Registers(engine_pointer(engine), _address_of(uclib.uc_reg_read), _address_of(uclib.uc_reg_write))


def context_pointer(context: unicorn.UcContext) -> int:
    """Return the address of a saved context of Unicorn's, which lives as long as `context`."""
    return int(context.context.value or 0)


def start_address() -> int:
    """Return the address of uc_emu_start."""
    return _address_of(uclib.uc_emu_start)


def raise_from_hook(engine: unicorn.Uc) -> None:
    """Raise what a Python hook raised while native code ran the engine, as the binding does by itself otherwise."""
    raised = engine._hook_exception
    engine._hook_exception = None
    if raised is not None:
        raise raised


class EngineMemory:
    """Memory that Unicorn itself allocates."""

    def __init__(self, engine: unicorn.Uc) -> None:
        """Map memory of `engine`."""
        self._engine = engine
        self._mapped: set[int] = set()
        """The pages that are mapped: asking the engine takes ten times as long."""

    def map(self, address: int, size: int, protection: int, *, holds_code: bool = False) -> None:  # noqa: ARG002
        """Map zeros at a page's start; `holds_code`: they may be run, so that translations have to be kept right."""
        self._engine.mem_map(address, size, protection)
        self._mapped.update(range(address, address + size, PAGE))

    def unmap(self, address: int, size: int) -> None:
        """Undo a `map` of the same range."""
        self._mapped.difference_update(range(address, address + size, PAGE))
        self._engine.mem_unmap(address, size)

    def fill(self, address: int, data: bytes) -> None:
        """Give memory that was just mapped its content."""
        self._engine.mem_write(address, data)

    def read(self, address: int, size: int) -> bytes:
        """Return what mapped memory holds, for somebody else than the code."""
        return bytes(self._engine.mem_read(address, size))

    def write(self, address: int, data: bytes) -> None:
        """Change mapped memory, for somebody else than the code."""
        self._engine.mem_write(address, data)

    def is_mapped(self, address: int) -> bool:
        """Return whether there is memory at `address`."""
        return address & -PAGE in self._mapped


class ExecutorMemory(EngineMemory):
    """Memory of an executor, which knows what of it was written."""

    def __init__(self, engine: unicorn.Uc, executor: Executor) -> None:
        """Map memory of `executor`."""
        super().__init__(engine)
        self._executor = executor

    def map(self, address: int, size: int, protection: int, *, holds_code: bool = False) -> None:
        """Map zeros at a page's start."""
        _check(self._executor.map(address, size, protection, holds_code))
        self._mapped.update(range(address, address + size, PAGE))

    def unmap(self, address: int, size: int) -> None:
        """Undo a `map` of the same range."""
        self._mapped.difference_update(range(address, address + size, PAGE))
        _check(self._executor.unmap(address, size))

    def fill(self, address: int, data: bytes) -> None:
        """Give memory that was just mapped its content, which it keeps in later executions."""
        self._engine.mem_write(address, data)
        self._executor.will_write(address, len(data), False)

    def read(self, address: int, size: int) -> bytes:
        """Return what mapped memory holds, for somebody else than the code."""
        self._executor.will_read(address, size)
        data = self._executor.read(address, size)
        if data is None:
            raise unicorn.UcError(unicorn.UC_ERR_READ_UNMAPPED)
        return data

    def write(self, address: int, data: bytes) -> None:
        """Change mapped memory, for somebody else than the code."""
        if not self._executor.write(address, data):
            raise unicorn.UcError(unicorn.UC_ERR_WRITE_UNMAPPED)


def _check(status: int) -> None:
    if status != unicorn.UC_ERR_OK:
        raise unicorn.UcError(status)


def _address_of(function: object) -> int:
    return ctypes.cast(function, ctypes.c_void_p).value or 0  # type: ignore[arg-type]
