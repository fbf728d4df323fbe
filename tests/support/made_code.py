"""A function's code out of a few bytes, with the control flow that its transfers have."""

from __future__ import annotations

from stackemu.emu.code.function_code import FunctionCode
from stackemu.emu.code.instruction import Decoder, Flow

START = 0x1000
"""Where the function begins."""


def function_code(code: bytes) -> FunctionCode:
    """Return the code of a function at `START`: branches, direct jumps and returns end blocks."""
    function = FunctionCode(START, leaders={START})
    for one in Decoder().decode(code, START):
        function.instructions[one.address] = one
        if one.flow in (Flow.BRANCH, Flow.JUMP) and one.target is not None:
            ways = (one.target, one.end) if one.flow is Flow.BRANCH else (one.target,)
            function.successors[one.address] = ways
            function.leaders.update(ways)
        elif one.flow is Flow.RETURN:
            function.successors[one.address] = ()
            function.returns.append(one)
    return function
