"""Frames that compilers realign for 16-byte locals, and the frame that __EH_prolog builds.

`locals` and `saved` are counted by hand from the instructions; the padding of a realignment is neither.
"""

from __future__ import annotations

from collections.abc import Callable

from stackemu.harness.session import Driver
from stackemu.harness.static.prologue import Frame, frame_of

MakeDriver = Callable[..., Driver]

EH_PROLOG = """
6aff            push -1
50              push eax
64ff3500000000  push dword ptr fs:[0]
8b44240c        mov eax, dword ptr [esp + 0xc]
64892500000000  mov dword ptr fs:[0], esp
896c240c        mov dword ptr [esp + 0xc], ebp
8d6c240c        lea ebp, [esp + 0xc]
50              push eax
c3              ret
"""
"""The instructions of MSVC's __EH_prolog: EBP takes the place of its return address, above a record of 12 bytes."""


def frame(driver: Driver) -> Frame:
    address = driver.image.base + driver.functions[0].rva
    model = driver.code_model()
    return frame_of(model.code(address), model.heights(address))


def test_msvc_realigns_through_ebx(make_driver: MakeDriver) -> None:
    # Saved: EBX and EBP. Locals: 8 - 4 for the copy of the return address, and 40.
    subject = """
    53        push ebx
    89e3      mov ebx, esp
    83ec08    sub esp, 8
    83e4f0    and esp, 0xfffffff0
    83c404    add esp, 4
    55        push ebp
    8b6b04    mov ebp, dword ptr [ebx + 4]
    896c2404  mov dword ptr [esp + 4], ebp
    89e5      mov ebp, esp
    83ec28    sub esp, 0x28
    89ec      mov esp, ebp
    5d        pop ebp
    89dc      mov esp, ebx
    5b        pop ebx
    c20800    ret 8
    """
    assert frame(make_driver({"subject": subject})) == Frame(locals=44, saved=8)


def test_gcc_realigns_through_ecx(make_driver: MakeDriver) -> None:
    # Saved: the copy of the return address, EBP, and ECX, the way back to the arguments.
    subject = """
    8d4c2404  lea ecx, [esp + 4]
    83e4f0    and esp, 0xfffffff0
    ff71fc    push dword ptr [ecx - 4]
    55        push ebp
    89e5      mov ebp, esp
    51        push ecx
    83ec24    sub esp, 0x24
    8b4dfc    mov ecx, dword ptr [ebp - 4]
    c9        leave
    8d61fc    lea esp, [ecx - 4]
    c20800    ret 8
    """
    assert frame(make_driver({"subject": subject})) == Frame(locals=36, saved=12)


def test_the_arguments_address_is_saved_once(make_driver: MakeDriver) -> None:
    # The second push of ECX passes it on.
    subject = """
    8d4c2404    lea ecx, [esp + 4]
    83e4f0      and esp, 0xfffffff0
    ff71fc      push dword ptr [ecx - 4]
    55          push ebp
    89e5        mov ebp, esp
    51          push ecx
    83ec24      sub esp, 0x24
    51          push ecx
    e8<callee>  call
    8b4dfc      mov ecx, dword ptr [ebp - 4]
    c9          leave
    8d61fc      lea esp, [ecx - 4]
    c3          ret
    """
    assert frame(make_driver({"subject": subject, "callee": "c20400  ret 4"})) == Frame(locals=36, saved=12)


def test_the_arguments_address_is_passed_on_where_nothing_is_realigned(make_driver: MakeDriver) -> None:
    subject = """
    8d442404    lea eax, [esp + 4]
    50          push eax
    e8<callee>  call
    c3          ret
    """
    assert frame(make_driver({"subject": subject, "callee": "c20400  ret 4"})) == Frame(locals=0, saved=0)


def test_giving_all_back_is_no_realignment(make_driver: MakeDriver) -> None:
    subject = """
    83ec08  sub esp, 8
    83c408  add esp, 8
    83ec04  sub esp, 4
    58      pop eax
    c3      ret
    """
    assert frame(make_driver({"subject": subject})) == Frame(locals=8, saved=0)


def test_eh_prolog_saves_ebp_and_a_record_and_leaves_locals_to_its_caller(make_driver: MakeDriver) -> None:
    # EBP and the record 16, ESI 4; the call without a result pops two arguments.
    subject = """
    b80010dea5      mov eax, 0xa5de1000
    e8<_EH_prolog>  call
    83ec1c          sub esp, 0x1c
    56              push esi
    6a01            push 1
    6a02            push 2
    e8<callee>      call
    5e              pop esi
    8b4df4          mov ecx, dword ptr [ebp - 0xc]
    64890d00000000  mov dword ptr fs:[0], ecx
    c9              leave
    c20800          ret 8
    """
    driver = make_driver({"subject": subject, "_EH_prolog": EH_PROLOG, "callee": "c20800  ret 8"})
    assert frame(driver) == Frame(locals=28, saved=20)
