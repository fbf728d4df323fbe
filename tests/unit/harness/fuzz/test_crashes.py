"""Which runs are crashes, of which kind, and which of them are the same."""

from __future__ import annotations

import pytest
from made_runs import context, observation

from stackemu.emu.observation import Observation, Outcome
from stackemu.harness.fuzz.crashes import Crashes, kind_of

F, G = 0x1000, 0x1100


@pytest.mark.parametrize(
    ("run", "role", "kind"),
    [
        (observation((F, 8), popped=8), None, None),
        (observation((F, 8), popped=4), None, "imbalance"),
        (observation((F, 8), popped=-16), None, None),
        (observation((F, 8), outcome=Outcome.BUGCHECK, why="KeBugCheckEx(0xf7)"), None, "bugcheck"),
        (observation((F, 8), outcome=Outcome.OVERFLOW), None, "overflow"),
        (observation((F, 8), outcome=Outcome.BUDGET), None, "budget"),
        (observation((F, 8), outcome=Outcome.FAULTED, why="call or jump to 0x00000000"), None, "wild-jump"),
        (observation((F, 8), outcome=Outcome.FAULTED, why="read of 0x00000004 at 0xa5de1010"), None, None),
        (
            observation((F, 8), outcome=Outcome.FAULTED, why="read of 0x00000004 at 0xa5de1010"),
            "IRP_MJ_READ",
            "fault",
        ),
        (observation((F, 8), outcome=Outcome.RAISED, why="0xc0000005"), "IRP_MJ_READ", None),
    ],
    ids=[
        "returned as its code says",
        "popped less than its code says",
        "left a frame to its caller, as helpers do",
        "bugcheck",
        "overflow",
        "no end",
        "a call through a null pointer",
        "an invented argument that is null",
        "the same in a role",
        "an exception for the caller",
    ],
)
def test_kinds(run: Observation, role: str | None, kind: str | None) -> None:
    assert kind_of(context(root=role), run, pops=8) == kind


def test_nothing_is_out_of_balance_where_nobody_knows_what_the_code_pops() -> None:
    assert kind_of(context(), observation((F, 8), popped=4), pops=None) is None


def test_a_crash_counts_once_for_each_place_and_innermost_function() -> None:
    crashes = Crashes(lambda _rva: 0)
    at_10 = observation((F, 8), outcome=Outcome.BUGCHECK, why="fast fail (int 29h) at 0xa5de1010")
    at_20 = observation((F, 8), outcome=Outcome.BUGCHECK, why="fast fail (int 29h) at 0xa5de1020")
    below = observation((F, 8), (G, 8), outcome=Outcome.BUGCHECK, why="fast fail (int 29h) at 0xa5de1010")
    assert crashes.new_kind(context(), at_10) == "bugcheck"
    assert crashes.new_kind(context(seed=1), at_10) is None
    assert crashes.new_kind(context(), at_20) == "bugcheck"
    assert crashes.new_kind(context(), below) == "bugcheck"


def test_the_same_fault_counts_once_whichever_role_and_address_it_comes_from() -> None:
    crashes = Crashes(lambda _rva: 0)
    reads = [
        observation((F, 8), (G, 8), outcome=Outcome.FAULTED, why=f"read of {address} at 0xa5de1110")
        for address in ("0x0000000b", "0x0000340c")
    ]
    assert crashes.new_kind(context(root="classifyFn"), reads[0]) == "fault"
    assert crashes.new_kind(context(root="classifyFn"), reads[1]) is None
    assert crashes.new_kind(context(0x1300, root="notifyFn"), reads[1]) is None


def test_another_bugcheck_at_the_same_place_is_another_crash() -> None:
    crashes = Crashes(lambda _rva: 0)
    for code in ("0xf7", "0xc4"):
        run = observation((F, 8), outcome=Outcome.BUGCHECK, why=f"KeBugCheckEx({code})")
        assert crashes.new_kind(context(), run) == "bugcheck"


def test_a_recursion_is_one_overflow_however_many_frames_stood() -> None:
    crashes = Crashes(lambda _rva: 0)
    few = observation((F, 8), (F, 8), outcome=Outcome.OVERFLOW, why="at 0xa5de1010")
    many = observation((F, 8), (F, 8), (F, 8), outcome=Outcome.OVERFLOW, why="at 0xa5de1020")
    assert crashes.new_kind(context(), few) == "overflow"
    assert crashes.new_kind(context(seed=1), many) is None
