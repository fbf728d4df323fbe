"""What a callee that nobody knows pops, told by the code around its call.

Where a frame is left by EBP, the caller's ESP is right at the return whatever the callee pops: only arguments, what
is given back of them, and saved registers tell.
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


def test_what_the_caller_gives_back_the_callee_does_not_pop(make_driver: MakeDriver) -> None:
    subject = """
    55      push ebp
    89e5    mov ebp, esp
    ff7508  push dword ptr [ebp + 8]
    ff750c  push dword ptr [ebp + 0xc]
    ff5510  call dword ptr [ebp + 0x10]
    89c2    mov edx, eax
    83c408  add esp, 8
    ff7508  push dword ptr [ebp + 8]
    ff5510  call dword ptr [ebp + 0x10]
    59      pop ecx
    c9      leave
    c3      ret
    """
    assert list(heights_of(make_driver({"subject": subject})).guesses.values()) == [0, 0]


def test_what_is_given_back_behind_another_call_was_that_ones(make_driver: MakeDriver) -> None:
    # p(callee(x), y): y lies below what is given back.
    subject = """
    55          push ebp
    89e5        mov ebp, esp
    ff750c      push dword ptr [ebp + 0xc]
    ff7508      push dword ptr [ebp + 8]
    e8<callee>  call
    59          pop ecx
    50          push eax
    ff5510      call dword ptr [ebp + 0x10]
    c9          leave
    c3          ret
    """
    heights = heights_of(make_driver({"subject": subject, "callee": "c3  ret"}))
    assert list(heights.guesses.values()) == [8]


def test_what_other_paths_give_back_too_are_no_arguments(make_driver: MakeDriver) -> None:
    # `add esp, 8` removes locals; both ways lead to it.
    subject = """
    83ec08    sub esp, 8
    85c0      test eax, eax
    7408      je
    ff742410  push dword ptr [esp + 0x10]
    6a01      push 1
    ffd0      call eax
    83c408    add esp, 8
    c3        ret
    """
    heights = heights_of(make_driver({"subject": subject}))
    assert list(heights.guesses.values()) == [8]
    assert heights.findings == {}


def test_a_mistake_is_mended_where_it_was_made(make_driver: MakeDriver) -> None:
    # The second call's argument is stored, not pushed. That the first callee pops 16 bytes would balance the stack
    # as well, but EDI would be popped from elsewhere.
    subject = """
    57        push edi
    ff742408  push dword ptr [esp + 8]
    ff742408  push dword ptr [esp + 8]
    ffd0      call eax
    83ec08    sub esp, 8
    ffd1      call ecx
    5f        pop edi
    c3        ret
    """
    heights = heights_of(make_driver({"subject": subject}))
    assert list(heights.guesses.values()) == [8, 8]
    assert heights.restores == {(-4, EDI)}


def test_an_epilogue_behind_a_call_gives_locals_back(make_driver: MakeDriver) -> None:
    # That the first callee pops 4 bytes would balance the stack as well, but nothing was pushed for it.
    subject = """
    83ec04    sub esp, 4
    ffd0      call eax
    6a01      push 1
    ffd1      call ecx
    59        pop ecx
    c3        ret
    """
    assert list(heights_of(make_driver({"subject": subject})).guesses.values()) == [0, 4]
