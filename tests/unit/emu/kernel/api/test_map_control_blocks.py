"""Map control blocks: what is mapped, what is a hole, and how runs merge and part."""

from __future__ import annotations

import itertools
import random
import struct
from typing import Any

import pytest

HOLE = -1
Runs = list[tuple[int, int, int]]


@pytest.fixture
def mcb(kernel: Any) -> int:
    address: int = kernel.text(bytes(24))
    kernel.call("FsRtlInitializeLargeMcb", address, 1)
    return address


def _wide(*numbers: int) -> list[int]:
    """LONGLONGs passed by value take two words each."""
    return [word for number in numbers for word in (number & 0xFFFFFFFF, number >> 32 & 0xFFFFFFFF)]


def _add(kernel: Any, mcb: int, *run: int) -> int:
    result: int = kernel.call("FsRtlAddLargeMcbEntry", mcb, *_wide(*run))
    return result


def _runs(kernel: Any, mcb: int) -> Runs:
    found: Runs = []
    out = kernel.text(bytes(24))
    while kernel.call("FsRtlGetNextLargeMcbEntry", mcb, len(found), out, out + 8, out + 16):
        found.append(struct.unpack("<qqq", kernel.host.read(out, 24)))
    assert kernel.call("FsRtlNumberOfRunsInLargeMcb", mcb) == len(found)
    return found


def test_gaps_below_mapped_blocks_are_holes_and_count_as_runs(kernel: Any, mcb: int) -> None:
    assert _add(kernel, mcb, 8, 0x1_0000_0100, 4)
    assert _add(kernel, mcb, 16, 500, 2)
    assert _runs(kernel, mcb) == [(0, HOLE, 8), (8, 0x1_0000_0100, 4), (12, HOLE, 4), (16, 500, 2)]


def test_runs_that_continue_each_other_become_one(kernel: Any, mcb: int) -> None:
    for run in ((0, 100, 4), (8, 108, 4), (4, 104, 4)):
        assert _add(kernel, mcb, *run)
    assert _runs(kernel, mcb) == [(0, 100, 12)]
    assert _add(kernel, mcb, 12, 500, 1)  # next in the file, elsewhere on the volume
    assert _runs(kernel, mcb) == [(0, 100, 12), (12, 500, 1)]


def test_a_block_that_lies_elsewhere_already_is_not_mapped_anew(kernel: Any, mcb: int) -> None:
    assert _add(kernel, mcb, 0, 100, 8)
    assert _add(kernel, mcb, 4, 104, 8)  # the same blocks, and more
    assert not _add(kernel, mcb, 4, 204, 8)
    assert _runs(kernel, mcb) == [(0, 100, 12)]


def test_a_lookup_says_where_a_block_lies_in_its_run(kernel: Any, mcb: int) -> None:
    _add(kernel, mcb, 4, 100, 8)
    out = kernel.text(bytes(40))
    outs = (out, out + 8, out + 16, out + 24, out + 32)
    assert kernel.call("FsRtlLookupLargeMcbEntry", mcb, *_wide(6), *outs) == 1
    assert struct.unpack("<qqqqI", kernel.host.read(out, 36)) == (102, 6, 100, 8, 1)
    assert kernel.call("FsRtlLookupLargeMcbEntry", mcb, *_wide(1), *outs) == 1
    assert struct.unpack("<qqqqI", kernel.host.read(out, 36)) == (HOLE, 3, HOLE, 4, 0)
    assert kernel.call("FsRtlLookupLargeMcbEntry", mcb, *_wide(12), 0, 0, 0, 0, 0) == 0
    assert kernel.call("FsRtlLookupLastLargeMcbEntry", mcb, out, out + 8) == 1
    assert struct.unpack("<qq", kernel.host.read(out, 16)) == (11, 107)


def test_an_empty_mcb_has_no_last_block(kernel: Any, mcb: int) -> None:
    assert kernel.call("FsRtlLookupLastLargeMcbEntry", mcb, 0, 0) == 0
    assert _runs(kernel, mcb) == []


def test_splitting_opens_a_hole_and_truncating_closes_the_end(kernel: Any, mcb: int) -> None:
    _add(kernel, mcb, 0, 100, 8)
    assert kernel.call("FsRtlSplitLargeMcb", mcb, *_wide(4, 10)) == 1
    assert _runs(kernel, mcb) == [(0, 100, 4), (4, HOLE, 10), (14, 104, 4)]
    kernel.call("FsRtlTruncateLargeMcb", mcb, *_wide(14))
    assert _runs(kernel, mcb) == [(0, 100, 4)]


def test_random_changes_leave_what_a_table_of_blocks_says(kernel: Any, mcb: int) -> None:
    blocks: dict[int, int] = {}
    generator = random.Random(7)
    for _ in range(200):
        vbn, count, delta = generator.randrange(40), generator.randrange(1, 10), generator.choice((100, 100, 300))
        new = {block: block + delta for block in range(vbn, vbn + count)}
        if generator.random() < 0.4:
            kernel.call("FsRtlRemoveLargeMcbEntry", mcb, *_wide(vbn, count))
            blocks = {block: at for block, at in blocks.items() if block not in new}
        else:
            fits = all(blocks.get(block, at) == at for block, at in new.items())
            assert _add(kernel, mcb, vbn, vbn + delta, count) == fits
            blocks.update(new if fits else {})
        runs = _runs(kernel, mcb)
        seen = {vbn + i: lbn + i for vbn, lbn, count in runs if lbn != HOLE for i in range(count)}
        assert seen == blocks
        for (_, lbn, count), (_, following, _) in itertools.pairwise(runs):
            assert following != (HOLE if lbn == HOLE else lbn + count)  # else they were one run


def test_a_small_mcb_has_numbers_of_32_bits(kernel: Any) -> None:
    mcb, out = kernel.text(bytes(24)), kernel.text(b"\xee" * 16)
    kernel.call("FsRtlInitializeMcb", mcb, 1)
    assert kernel.call("FsRtlAddMcbEntry", mcb, 2, 50, 4) == 1
    assert kernel.call("FsRtlLookupMcbEntry", mcb, 3, out, out + 4, out + 8) == 1
    assert struct.unpack("<IIII", kernel.host.read(out, 16)) == (51, 3, 1, 0xEEEEEEEE)


def test_without_pool_nothing_is_added(kernel: Any, mcb: int) -> None:
    assert kernel.call("FsRtlAddLargeMcbEntry", mcb, *_wide(0, 1, 1), source=kernel.FAILURE) == 0
    assert _runs(kernel, mcb) == []
