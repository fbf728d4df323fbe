"""Frames that hold room for arguments as well as locals: callees pop it, and the code reserves it again.

clang -O0 and gcc -maccumulate-outgoing-args write such frames. The room is in what the prologue reserves, and
in what the compiler calls the frame.
"""

from __future__ import annotations

from collections.abc import Callable

from stackemu.harness.session import Driver
from stackemu.harness.static.prologue import Frame, frame_of

MakeDriver = Callable[..., Driver]

POPS_8 = "c20800  ret 8"


def frame(driver: Driver) -> Frame:
    address = driver.image.base + driver.functions[0].rva
    model = driver.code_model()
    return frame_of(model.code(address), model.heights(address))


def test_room_for_arguments_that_callees_pop_is_part_of_the_frame(make_driver: MakeDriver) -> None:
    subject = """
    55              push ebp
    89e5            mov ebp, esp
    56              push esi
    83ec20          sub esp, 0x20
    890424          mov dword ptr [esp], eax
    e8<callee>      call
    83ec08          sub esp, 8
    83c420          add esp, 0x20
    5e              pop esi
    5d              pop ebp
    c3              ret
    """
    assert frame(make_driver({"subject": subject, "callee": POPS_8})) == Frame(locals=0x20, saved=8)


def test_room_popped_by_a_callee_that_nobody_knows(make_driver: MakeDriver) -> None:
    subject = """
    55      push ebp
    89e5    mov ebp, esp
    83ec0c  sub esp, 0xc
    ffd0    call eax
    83ec08  sub esp, 8
    ffd0    call eax
    83ec08  sub esp, 8
    83c40c  add esp, 0xc
    5d      pop ebp
    c3      ret
    """
    assert frame(make_driver({"subject": subject})) == Frame(locals=12, saved=4)


def test_what_one_call_pops_whole_was_its_arguments(make_driver: MakeDriver) -> None:
    # A structure by value: 8 bytes reserved for it and filled, none of them a local.
    subject = """
    56          push esi
    83ec08      sub esp, 8
    890424      mov dword ptr [esp], eax
    89542404    mov dword ptr [esp + 4], edx
    e8<callee>  call
    5e          pop esi
    c3          ret
    """
    assert frame(make_driver({"subject": subject, "callee": POPS_8})) == Frame(locals=0, saved=4)
