"""What a prologue reserves, in hand-assembled functions of the forms that compilers write.

`locals` and `saved` are counted by hand from the instructions; E is ESP at the function's entry.
"""

from __future__ import annotations

from collections.abc import Callable

import pytest

from stackemu.harness.session import Driver
from stackemu.harness.static.prologue import Frame, frame_of

MakeDriver = Callable[..., Driver]
FrameOf = Callable[..., Frame]

CHKSTK = """
51            push ecx
8d4c2404      lea ecx, [esp + 4]
29c1          sub ecx, eax
19c0          sbb eax, eax
f7d0          not eax
21c1          and ecx, eax
89e0          mov eax, esp
2500f0ffff    and eax, 0xfffff000
39c1          cmp ecx, eax
720a          jb
89c8          mov eax, ecx
59            pop ecx
94            xchg esp, eax
8b00          mov eax, dword ptr [eax]
890424        mov dword ptr [esp], eax
c3            ret
2d00100000    sub eax, 0x1000
8500          test dword ptr [eax], eax
ebe9          jmp
"""
"""The instructions of MSVC's chkstk.asm: ESP is lowered by EAX, page by page."""

SEH_PROLOG4 = """
680010dea5      push 0xa5de1000
64ff3500000000  push dword ptr fs:[0]
8b442410        mov eax, dword ptr [esp + 0x10]
896c2410        mov dword ptr [esp + 0x10], ebp
8d6c2410        lea ebp, [esp + 0x10]
29c4            sub esp, eax
53              push ebx
56              push esi
57              push edi
a10020dea5      mov eax, dword ptr [0xa5de2000]
3145fc          xor dword ptr [ebp - 4], eax
31e8            xor eax, ebp
50              push eax
8965e8          mov dword ptr [ebp - 0x18], esp
ff75f8          push dword ptr [ebp - 8]
8b45fc          mov eax, dword ptr [ebp - 4]
c745fcfeffffff  mov dword ptr [ebp - 4], 0xfffffffe
8945f8          mov dword ptr [ebp - 8], eax
8d45f0          lea eax, [ebp - 0x10]
64a300000000    mov dword ptr fs:[0], eax
c3              ret
"""
"""The instructions of MSVC's __SEH_prolog4."""

SEH_EPILOG4 = """
8b4df0          mov ecx, dword ptr [ebp - 0x10]
64890d00000000  mov dword ptr fs:[0], ecx
59              pop ecx
5f              pop edi
5f              pop edi
5e              pop esi
5b              pop ebx
89ec            mov esp, ebp
5d              pop ebp
51              push ecx
c3              ret
"""

POPS_4 = """
31c0    xor eax, eax
c20400  ret 4
"""

POPS_NOTHING = """
31c0    xor eax, eax
c3      ret
"""


@pytest.fixture
def frame(make_driver: MakeDriver) -> FrameOf:
    """Return a function that gives the frame of a listing; its callees are named by keyword."""

    def of(listing: str, **callees: str) -> Frame:
        driver = make_driver({"subject": listing, **callees})
        address = driver.image.base + driver.functions[0].rva
        model = driver.code_model()
        return frame_of(model.code(address), model.heights(address))

    return of


def test_a_function_without_a_frame(frame: FrameOf) -> None:
    assert frame(POPS_4) == Frame(locals=0, saved=0)


# -- locals --


def test_push_ecx_reserves_a_local(frame: FrameOf) -> None:
    # MSVC's shorter `sub esp, 4`: ECX is not given back, and the slot is written.
    listing = """
    51        push ecx
    8b442408  mov eax, dword ptr [esp + 8]
    890424    mov dword ptr [esp], eax
    59        pop ecx
    c20800    ret 8
    """
    assert frame(listing) == Frame(locals=4, saved=0)


def test_two_pushes_below_a_frame_pointer_reserve_two_locals(frame: FrameOf) -> None:
    listing = """
    55      push ebp
    89e5    mov ebp, esp
    51      push ecx
    51      push ecx
    8945fc  mov dword ptr [ebp - 4], eax
    8945f8  mov dword ptr [ebp - 8], eax
    c9      leave
    c20800  ret 8
    """
    assert frame(listing) == Frame(locals=8, saved=4)


def test_push_ecx_for_a_callee_is_an_argument(frame: FrameOf) -> None:
    listing = """
    51            push ecx
    e8<callee>    call
    c3            ret
    """
    assert frame(listing, callee=POPS_4) == Frame(locals=0, saved=0)


def test_push_ecx_above_a_call_without_arguments_is_a_local(frame: FrameOf) -> None:
    listing = """
    51            push ecx
    e8<callee>    call
    890424        mov dword ptr [esp], eax
    59            pop ecx
    c3            ret
    """
    assert frame(listing, callee=POPS_NOTHING) == Frame(locals=4, saved=0)


def test_memory_and_constants_pushed_are_arguments(frame: FrameOf) -> None:
    listing = """
    6a40          push 0x40
    e8<callee>    call
    ff742408      push dword ptr [esp + 8]
    e8<callee>    call
    c3            ret
    """
    assert frame(listing, callee=POPS_4) == Frame(locals=0, saved=0)


@pytest.mark.parametrize(
    ("reserve", "size"),
    [
        ("83ec20        sub esp, 0x20", 0x20),
        ("83c4e0        add esp, -0x20", 0x20),
        ("81ec80000000  sub esp, 0x80", 0x80),
        ("8d6424d8      lea esp, [esp - 0x28]", 0x28),
        ("81ec34120000  sub esp, 0x1234", 0x1234),
    ],
)
def test_each_way_to_lower_esp_by_a_constant(frame: FrameOf, reserve: str, size: int) -> None:
    listing = f"""
    55      push ebp
    89e5    mov ebp, esp
    {reserve}
    89ec    mov esp, ebp
    5d      pop ebp
    c3      ret
    """
    assert frame(listing) == Frame(locals=size, saved=4)


def test_enter_reserves_locals_below_the_saved_frame_pointer(frame: FrameOf) -> None:
    listing = """
    c8400000  enter 0x40, 0
    56        push esi
    5e        pop esi
    c9        leave
    c20800    ret 8
    """
    assert frame(listing) == Frame(locals=64, saved=8)


def test_a_cookie_kept_in_the_frame_is_among_the_locals(frame: FrameOf) -> None:
    listing = """
    83ec44      sub esp, 0x44
    a10020dea5  mov eax, dword ptr [0xa5de2000]
    31e0        xor eax, esp
    89442440    mov dword ptr [esp + 0x40], eax
    8b4c2440    mov ecx, dword ptr [esp + 0x40]
    31e1        xor ecx, esp
    83c444      add esp, 0x44
    c3          ret
    """
    assert frame(listing) == Frame(locals=0x44, saved=0)


def test_padding_of_a_realignment_is_neither(frame: FrameOf) -> None:
    listing = """
    55        push ebp
    89e5      mov ebp, esp
    83e4f8    and esp, 0xfffffff8
    83ec20    sub esp, 0x20
    89ec      mov esp, ebp
    5d        pop ebp
    c3        ret
    """
    assert frame(listing) == Frame(locals=32, saved=4)


# -- saved registers --


def test_the_classic_frame(frame: FrameOf) -> None:
    listing = """
    55      push ebp
    89e5    mov ebp, esp
    83ec60  sub esp, 0x60
    53      push ebx
    56      push esi
    57      push edi
    31c0    xor eax, eax
    5f      pop edi
    5e      pop esi
    5b      pop ebx
    c9      leave
    c20800  ret 8
    """
    assert frame(listing) == Frame(locals=96, saved=16)
    assert frame(listing).total == 112


def test_the_hot_patch_entry_changes_nothing(frame: FrameOf) -> None:
    listing = """
    89ff    mov edi, edi
    55      push ebp
    89e5    mov ebp, esp
    51      push ecx
    c9      leave
    c3      ret
    """
    assert frame(listing) == Frame(locals=4, saved=4)


def test_the_hot_patch_entry_leaves_edi_to_be_saved(frame: FrameOf) -> None:
    listing = """
    89ff    mov edi, edi
    55      push ebp
    89e5    mov ebp, esp
    51      push ecx
    57      push edi
    56      push esi
    8b7d08  mov edi, dword ptr [ebp + 8]
    5e      pop esi
    5f      pop edi
    c9      leave
    c3      ret
    """
    assert frame(listing) == Frame(locals=4, saved=12)


def test_asking_where_the_code_is_reserves_nothing(frame: FrameOf) -> None:
    # `call $+5` pushes its own address for the `pop` behind it.
    listing = """
    55          push ebp
    89e5        mov ebp, esp
    e800000000  call 5
    58          pop eax
    5d          pop ebp
    c3          ret
    """
    assert frame(listing) == Frame(locals=0, saved=4)


@pytest.mark.parametrize("locals_first", [True, False])
def test_a_frame_without_frame_pointer(frame: FrameOf, locals_first: bool) -> None:
    reserve, release = "83ec20  sub esp, 0x20", "83c420  add esp, 0x20"
    save, restore = "53      push ebx\n56      push esi", "5e      pop esi\n5b      pop ebx"
    down, up = ([reserve, save], [restore, release]) if locals_first else ([save, reserve], [release, restore])
    listing = "\n".join([*down, "31c0    xor eax, eax", *up, "c20400  ret 4"])
    assert frame(listing) == Frame(locals=32, saved=8)


def test_ebp_saved_as_a_register_like_others(frame: FrameOf) -> None:
    listing = """
    55      push ebp
    53      push ebx
    89c5    mov ebp, eax
    89e9    mov ecx, ebp
    5b      pop ebx
    5d      pop ebp
    c3      ret
    """
    assert frame(listing) == Frame(locals=0, saved=8)


def test_registers_saved_behind_an_early_return(frame: FrameOf) -> None:
    # Shrink-wrapping: the path that does nothing saves nothing.
    listing = """
    8b4c2404  mov ecx, dword ptr [esp + 4]
    85c9      test ecx, ecx
    7406      je
    56        push esi
    57        push edi
    89ce      mov esi, ecx
    5f        pop edi
    5e        pop esi
    c3        ret
    """
    assert frame(listing) == Frame(locals=0, saved=8)


def test_a_pushed_register_that_is_not_given_back_is_not_saved(frame: FrameOf) -> None:
    # ESI holds its caller's value here, which is the argument; the callee takes it off.
    listing = """
    56            push esi
    e8<callee>    call
    c3            ret
    """
    assert frame(listing, callee=POPS_4) == Frame(locals=0, saved=0)


# -- helpers that reserve on their caller's behalf --


@pytest.mark.parametrize("name", ["_chkstk", "_alloca_probe", "sub_1100"])
def test_a_stack_probe_reserves_locals(frame: FrameOf, name: str) -> None:
    # The last name is what a stripped image has: then the probe is known by what it does.
    listing = f"""
    55            push ebp
    89e5          mov ebp, esp
    b800120000    mov eax, 0x1200
    e8<{name}>    call
    56            push esi
    5e            pop esi
    c9            leave
    c3            ret
    """
    assert frame(listing, **{name: CHKSTK}) == Frame(locals=0x1200, saved=8)


def test_seh_prolog4_builds_the_frame(frame: FrameOf) -> None:
    # At the call's return address E-12. The helper pushes the handler and the next record (E-20), puts EBP where
    # the size was (E-4), takes 0x20 off (E-52), pushes EBX, ESI, EDI and the cookie (E-68) and returns there.
    # Of the 68 bytes 32 are locals; EBP, the record of four words, three registers and the cookie are 36.
    listing = """
    6a20                  push 0x20
    680020dea5            push 0xa5de2000
    e8<_SEH_prolog4>      call
    31c0                  xor eax, eax
    e8<_SEH_epilog4>      call
    c20800                ret 8
    """
    built = frame(listing, _SEH_prolog4=SEH_PROLOG4, _SEH_epilog4=SEH_EPILOG4)
    assert built == Frame(locals=32, saved=36)


def test_seh_prolog4_is_known_by_what_it_does(frame: FrameOf) -> None:
    listing = """
    6a20                  push 0x20
    680020dea5            push 0xa5de2000
    e8<sub_1100>          call
    31c0                  xor eax, eax
    e8<sub_1200>          call
    c20800                ret 8
    """
    assert frame(listing, sub_1100=SEH_PROLOG4, sub_1200=SEH_EPILOG4) == Frame(locals=32, saved=36)


@pytest.mark.parametrize(
    "previous",
    ["64a100000000    mov eax, dword ptr fs:[0]\n50              push eax", "64ff3500000000  push dword ptr fs:[0]"],
    ids=["through EAX", "from memory"],
)
def test_an_seh_record_pushed_inline_is_saved(frame: FrameOf, previous: str) -> None:
    # EBP 4, record: try level, scope table, handler, next 16, registers 12.
    listing = f"""
    55              push ebp
    89e5            mov ebp, esp
    6aff            push -1
    680020dea5      push 0xa5de2000
    680021dea5      push 0xa5de2100
    {previous}
    64892500000000  mov dword ptr fs:[0], esp
    83ec18          sub esp, 0x18
    53              push ebx
    56              push esi
    57              push edi
    8965e8          mov dword ptr [ebp - 0x18], esp
    31c0            xor eax, eax
    8b4df0          mov ecx, dword ptr [ebp - 0x10]
    64890d00000000  mov dword ptr fs:[0], ecx
    5f              pop edi
    5e              pop esi
    5b              pop ebx
    89ec            mov esp, ebp
    5d              pop ebp
    c20800          ret 8
    """
    assert frame(listing) == Frame(locals=24, saved=4 + 16 + 12)


# -- sizes known at run time only --


def test_the_constant_part_of_a_frame_with_alloca(frame: FrameOf) -> None:
    listing = """
    55      push ebp
    89e5    mov ebp, esp
    83ec20  sub esp, 0x20
    8b4508  mov eax, dword ptr [ebp + 8]
    29c4    sub esp, eax
    89ec    mov esp, ebp
    5d      pop ebp
    c3      ret
    """
    assert frame(listing) == Frame(locals=32, saved=4)


def test_locals_are_not_known_where_the_prologue_reserves_a_run_time_amount(frame: FrameOf) -> None:
    listing = """
    55      push ebp
    89e5    mov ebp, esp
    8b4508  mov eax, dword ptr [ebp + 8]
    29c4    sub esp, eax
    89ec    mov esp, ebp
    5d      pop ebp
    c3      ret
    """
    assert frame(listing) == Frame(locals=None, saved=4)
    assert frame(listing).total is None


# -- what only aligns a call --


def test_padding_that_the_caller_gives_back_behind_a_call_is_no_local(frame: FrameOf) -> None:
    # clang -mstack-alignment=16: 4 return address + 4 ESI + 8 is the frame; the second 8 align two arguments.
    listing = """
    56          push esi
    83ec08      sub esp, 8
    8b742410    mov esi, dword ptr [esp + 0x10]
    83ec08      sub esp, 8
    6a00        push 0
    56          push esi
    e8<callee>  call
    83c408      add esp, 8
    56          push esi
    e8<other>   call
    83c408      add esp, 8
    5e          pop esi
    c20400      ret 4
    """
    callees = {"callee": "c20800  ret 8", "other": POPS_4}
    assert frame(listing, **callees) == Frame(locals=8, saved=4)


def test_padding_is_no_local_where_the_frame_has_none(frame: FrameOf) -> None:
    # GCC -mpreferred-stack-boundary=4: 4 return address + 12 saved need no padding; 12 + 4 are the call's.
    listing = """
    57          push edi
    56          push esi
    53          push ebx
    83ec0c      sub esp, 0xc
    ff742420    push dword ptr [esp + 0x20]
    e8<callee>  call
    89c3        mov ebx, eax
    83c410      add esp, 0x10
    83ec0c      sub esp, 0xc
    53          push ebx
    e8<callee>  call
    83c410      add esp, 0x10
    5b          pop ebx
    5e          pop esi
    5f          pop edi
    c3          ret
    """
    assert frame(listing, callee=POPS_NOTHING) == Frame(locals=0, saved=12)


def test_a_frame_that_is_removed_together_with_the_last_arguments_stays_locals(frame: FrameOf) -> None:
    # GCC: `add esp` gives the last call's argument and the 24 bytes of the frame back at once.
    listing = """
    83ec18      sub esp, 0x18
    ff74241c    push dword ptr [esp + 0x1c]
    e8<callee>  call
    31c0        xor eax, eax
    83c41c      add esp, 0x1c
    c3          ret
    """
    assert frame(listing, callee=POPS_NOTHING) == Frame(locals=24, saved=0)


def test_padding_that_is_removed_together_with_the_frame_is_no_local(frame: FrameOf) -> None:
    # clang -mstack-alignment=16: 12 make 16 of the return address, 8 more align two arguments.
    listing = """
    83ec0c      sub esp, 0xc
    8b442410    mov eax, dword ptr [esp + 0x10]
    83ec08      sub esp, 8
    50          push eax
    6a00        push 0
    e8<callee>  call
    83c414      add esp, 0x14
    c20400      ret 4
    """
    assert frame(listing, callee="c20800  ret 8") == Frame(locals=12, saved=0)


def test_padding_of_a_call_that_never_returns_is_no_local(frame: FrameOf) -> None:
    listing = """
    83ec0c      sub esp, 0xc
    83ec0c      sub esp, 0xc
    6a00        push 0
    e8<callee>  call
    cc          int3
    """
    assert frame(listing, callee=POPS_4) == Frame(locals=12, saved=0)
