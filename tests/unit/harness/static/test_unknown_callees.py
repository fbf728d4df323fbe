"""What a callee that nobody knows pops, told by the code around its call, where the frame is left by EBP.

Its caller's ESP is right at the return whatever the callee pops; arguments and saved registers alone tell.
"""

from __future__ import annotations

from collections.abc import Callable

from stackemu.emu.code.heights import Heights
from stackemu.emu.code.instruction import EBP, EDI, ESI
from stackemu.harness.session import Driver

MakeDriver = Callable[..., Driver]


def heights_of(driver: Driver) -> Heights:
    return driver.code_model().heights(driver.image.base + driver.functions[0].rva)


def test_arguments_pushed_before_those_of_another_call(make_driver: MakeDriver) -> None:
    # p(callee(x), y, z): the callee pops x, so y and z are left for p, with what the callee returned.
    subject = """
    55          push ebp
    89e5        mov ebp, esp
    ff7510      push dword ptr [ebp + 0x10]
    ff750c      push dword ptr [ebp + 0xc]
    ff7508      push dword ptr [ebp + 8]
    e8<callee>  call
    50          push eax
    ff5514      call dword ptr [ebp + 0x14]
    89ec        mov esp, ebp
    5d          pop ebp
    c3          ret
    """
    heights = heights_of(make_driver({"subject": subject, "callee": "c20400  ret 4"}))
    assert list(heights.guesses.values()) == [12]


def test_saved_registers_come_back_from_their_own_places(make_driver: MakeDriver) -> None:
    # p(callee(), x): whether the callee leaves x for p or was passed it, the code up to p does not say.
    subject = """
    55          push ebp
    89e5        mov ebp, esp
    56          push esi
    57          push edi
    ff7508      push dword ptr [ebp + 8]
    e8<callee>  call
    50          push eax
    ff550c      call dword ptr [ebp + 0xc]
    5f          pop edi
    5e          pop esi
    c9          leave
    c3          ret
    """
    heights = heights_of(make_driver({"subject": subject, "callee": "c3  ret"}))
    assert list(heights.guesses.values()) == [8]
    assert heights.restores == {(-4, EBP), (-8, ESI), (-12, EDI)}
