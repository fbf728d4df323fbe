"""What becomes of a function's address says whether it may be a completion routine."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from stackemu.harness.session import Driver
from stackemu.harness.static.completion_routines import stored_elsewhere

MakeDriver = Callable[..., Driver]
ROUTINE = 0xA5DE1100
"""The second function of a driver, which pops what a completion routine pops."""

# The stack location at [esi + 0x60] of an IRP is the present one; the next lies 0x24 bytes below it. There the
# Control byte is at 3 and the routine at 0x1c (wdm.h).
COMPLETION_ROUTINES = {
    "in the next location, from the present one": """
        8b4660            mov eax, dword ptr [esi + 0x60]
        c740f80011dea5    mov dword ptr [eax - 8], 0xa5de1100
        c640dfe0          mov byte ptr [eax - 0x21], 0xe0
        c3                ret
    """,
    "in the next location, by its own address": """
        83e924            sub ecx, 0x24
        c7411c0011dea5    mov dword ptr [ecx + 0x1c], 0xa5de1100
        804903e0          or byte ptr [ecx + 3], 0xe0
        c3                ret
    """,
    "with the Control byte written among others": """
        c7411c0011dea5    mov dword ptr [ecx + 0x1c], 0xa5de1100
        c701000000e0      mov dword ptr [ecx], 0xe0000000
        c3                ret
    """,
    "through a register": """
        b80011dea5        mov eax, 0xa5de1100
        89411c            mov dword ptr [ecx + 0x1c], eax
        c64103e0          mov byte ptr [ecx + 3], 0xe0
        c3                ret
    """,
    "passed on to who may set it": """
        680011dea5        push 0xa5de1100
        e8<routine>       call
        c3                ret
    """,
    "returned": """
        b80011dea5        mov eax, 0xa5de1100
        c3                ret
    """,
    "kept on the stack": """
        c74424f80011dea5  mov dword ptr [esp - 8], 0xa5de1100
        c3                ret
    """,
    "copied to another register": """
        b80011dea5        mov eax, 0xa5de1100
        89c3              mov ebx, eax
        31c0              xor eax, eax
        c3                ret
    """,
    "in a register at a call": """
        b90011dea5        mov ecx, 0xa5de1100
        e8<routine>       call
        c3                ret
    """,
}
ELSEWHERE = {
    "behind a pointer": """
        c7416c0011dea5    mov dword ptr [ecx + 0x6c], 0xa5de1100
        c64103e0          mov byte ptr [ecx + 3], 0xe0
        c3                ret
    """,
    "behind a pointer, from a register that another branch fills too": """
        31c0              xor eax, eax
        85d2              test edx, edx
        7405              je
        b80011dea5        mov eax, 0xa5de1100
        8b4c2404          mov ecx, dword ptr [esp + 4]
        89416c            mov dword ptr [ecx + 0x6c], eax
        31c0              xor eax, eax
        c3                ret
    """,
    "compared with": """
        81796c0011dea5    cmp dword ptr [ecx + 0x6c], 0xa5de1100
        c3                ret
    """,
}
POPS_TWELVE = "c20c00  ret 0xc"


def found(make_driver: MakeDriver, listing: str) -> frozenset[int]:
    driver = make_driver({"registers": listing, "routine": POPS_TWELVE})
    functions = [driver.image.base + one.rva for one in driver.functions]
    return stored_elsewhere(driver.code_model(), functions, {ROUTINE})


@pytest.mark.parametrize("listing", COMPLETION_ROUTINES.values(), ids=COMPLETION_ROUTINES)
def test_what_may_get_into_a_stack_location_may_be_one(make_driver: MakeDriver, listing: str) -> None:
    assert found(make_driver, listing) == frozenset()


@pytest.mark.parametrize("listing", ELSEWHERE.values(), ids=ELSEWHERE)
def test_what_is_only_kept_elsewhere_is_none(make_driver: MakeDriver, listing: str) -> None:
    assert found(make_driver, listing) == {ROUTINE}


def test_one_mention_is_enough_to_be_one(make_driver: MakeDriver) -> None:
    both = ELSEWHERE["behind a pointer"].replace("c3                ret", "") + COMPLETION_ROUTINES["returned"]
    assert found(make_driver, both) == frozenset()
