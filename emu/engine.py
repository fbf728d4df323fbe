"""Unicorn with the native probe attached: the only module that reaches under Unicorn's Python binding."""

from __future__ import annotations

import ctypes
import enum
from collections.abc import Callable

import unicorn
from unicorn import x86_const
from unicorn.unicorn_py3.unicorn import uclib

from stackemu.emu.probe import Probe, Recorder

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
    if mode is Mode.BLOCKS:
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


def _add_hook(engine: unicorn.Uc, kind: int, callback: object, data: int | None, *extra: object) -> None:
    handle = ctypes.c_size_t()
    begin, end = (ctypes.c_uint64(bound) for bound in _WHOLE_SPACE)
    status = uclib.uc_hook_add(
        engine._uch, ctypes.byref(handle), kind, callback, ctypes.c_void_p(data), begin, end, *extra
    )
    if status != unicorn.UC_ERR_OK:
        raise unicorn.UcError(status)


def engine_pointer(engine: unicorn.Uc) -> int:
    """Return the address of Unicorn's own engine structure."""
    return int(engine._uch.value or 0)


def _address_of(function: object) -> int:
    return ctypes.cast(function, ctypes.c_void_p).value or 0  # type: ignore[arg-type]
