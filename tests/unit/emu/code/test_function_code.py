"""Basic blocks of a function: what is in them, what follows them, and how they end."""

from __future__ import annotations

from made_code import START, function_code

# 0 test eax, eax; 2 je 7; 4 push ecx; 5 pop ecx; 6 nop; 7 inc eax; 8 jne 4; a ret
CODE = bytes.fromhex("85c0 7403 51 59 90 40 75fa c3")
BRANCHES = function_code(CODE)


def test_a_block_reaches_to_the_transfer_that_ends_it() -> None:
    block = BRANCHES.block(START)
    assert [one.mnemonic for one in block.instructions] == ["test", "je"]
    assert set(block.following) == {START + 4, START + 7}
    assert block.is_ended_by_transfer


def test_a_block_ends_where_another_begins() -> None:
    block = BRANCHES.block(START + 4)
    assert [one.mnemonic for one in block.instructions] == ["push", "pop", "nop"]
    assert block.following == (START + 7,)
    assert not block.is_ended_by_transfer


def test_nothing_follows_a_return() -> None:
    block = BRANCHES.block(START + 10)
    assert ([one.mnemonic for one in block.instructions], block.following) == (["ret"], ())


def test_a_block_that_runs_into_what_does_not_decode_has_no_follower() -> None:
    block = function_code(bytes.fromhex("90 0f0b")[:1]).block(START)
    assert (len(block.instructions), block.following, block.is_ended_by_transfer) == (1, (), False)


def test_an_instruction_belongs_to_the_block_of_its_leader() -> None:
    assert [BRANCHES.leader_of(START + at) for at in (0, 2, 5, 7, 8, 10)] == [
        START,
        START,
        START + 4,
        START + 7,
        START + 7,
        START + 10,
    ]
    assert BRANCHES.leader_of(START + 1) is None


def test_exits_are_returns_and_jumps_that_leave() -> None:
    assert BRANCHES.exits == {START + 10}
