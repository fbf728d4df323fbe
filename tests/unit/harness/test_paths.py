"""Ways through a function's blocks."""

from __future__ import annotations

from stackemu.emu.code.function_code import FunctionCode
from stackemu.emu.code.instruction import Decoder
from stackemu.harness.paths import BlockGraph

ENTRY = 0x1000
# 1000: test eax, eax; 1002: je 1008; 1004: dec eax; 1005: jne 1000; 1007: ret; 1008: nop; 1009: jmp 1007
LEADERS = {0x1000, 0x1004, 0x1007, 0x1008}
SUCCESSORS = {0x1002: (0x1008, 0x1004), 0x1005: (0x1000, 0x1007), 0x1007: (), 0x1009: (0x1007,)}


def _graph() -> BlockGraph:
    decoded = Decoder().decode(bytes.fromhex("85c0 7404 48 75f9 c3 90 ebfc"), ENTRY)
    code = FunctionCode(ENTRY, {one.address: one for one in decoded}, set(LEADERS), dict(SUCCESSORS))
    return BlockGraph(code)


def test_a_block_ends_at_its_transfer() -> None:
    assert [_graph().end_of(leader) for leader in sorted(LEADERS)] == [0x1002, 0x1005, 0x1007, 0x1009]


def test_distances_count_blocks_and_leave_out_what_does_not_lead_there() -> None:
    assert _graph().distances_to(0x1005) == {0x1004: 0, 0x1000: 1}
    assert _graph().distances_to(0x1007) == {0x1007: 0, 0x1004: 1, 0x1008: 1, 0x1000: 2}


def test_what_ends_no_block_is_reached_from_nowhere() -> None:
    assert _graph().distances_to(0x1004) == {}
