"""The table of kernel functions that call back holds every one whose emulation does."""

from __future__ import annotations

import types
from collections.abc import Iterator, Mapping

from stackemu.emu.kernel.calls_back import CALLS_BACK, UNWINDERS, Callback
from stackemu.emu.kernel.families import BEHAVIOURS


def codes_in(code: types.CodeType) -> Iterator[types.CodeType]:
    yield code
    for constant in code.co_consts:
        if isinstance(constant, types.CodeType):
            yield from codes_in(constant)


def objects_behind(function: types.FunctionType) -> Iterator[object]:
    """Yield what a function's code can reach: closures, defaults, globals, members of modules, entries of tables."""
    codes = list(codes_in(function.__code__))
    names = {name for code in codes for name in code.co_names}
    texts = {constant for code in codes for constant in code.co_consts if isinstance(constant, str)}
    found: list[object] = [cell.cell_contents for cell in function.__closure__ or ()]
    found += function.__defaults__ or ()
    for name in names & function.__globals__.keys():
        value = function.__globals__[name]
        is_module = isinstance(value, types.ModuleType)
        found += [getattr(value, inner) for inner in names if hasattr(value, inner)] if is_module else [value]
    for value in found:
        if isinstance(value, Mapping):
            is_family = value.keys() <= BEHAVIOURS.keys()
            yield from (one for key, one in value.items() if not is_family or key in texts)
        elif isinstance(value, list | tuple):
            yield from value
        else:
            yield value


def invokes(function: object, under_way: set[object]) -> bool:
    """Return whether a behaviour can come to `invoke`, which runs the driver's code."""
    if not isinstance(function, types.FunctionType) or function in under_way:
        return False
    under_way.add(function)
    names = {name for code in codes_in(function.__code__) for name in code.co_names}
    return "invoke" in names or any(invokes(one, under_way) for one in objects_behind(function))


def test_every_behaviour_that_runs_driver_code_is_known_to_call_back() -> None:
    calling = {name for name, behaviour in BEHAVIOURS.items() if invokes(behaviour, set())}
    assert "qsort" in calling
    assert "IofCallDriver" in calling
    assert calling - UNWINDERS <= CALLS_BACK.keys()


def test_a_callback_lies_below_its_arguments_and_its_return_address() -> None:
    assert (Callback(3).pops, Callback(3).below) == (12, 16)
    assert (Callback(2, is_cdecl=True).pops, Callback(2, is_cdecl=True).below) == (0, 12)
