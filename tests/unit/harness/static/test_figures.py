"""The static figures of one function: own, its reasons, and the disagreements with debug records."""

from __future__ import annotations

from collections.abc import Callable

from stackemu.emu.symbols.function import FrameRecord
from stackemu.harness.session import Driver
from stackemu.harness.static.figures import StaticResult, residues, static_figures

MakeDriver = Callable[..., Driver]

CLASSIC = """
55      push ebp
89e5    mov ebp, esp
83ec20  sub esp, 0x20
56      push esi
5e      pop esi
c9      leave
c3      ret
"""
REALIGNED = """
55        push ebp
89e5      mov ebp, esp
83e4f8    and esp, 0xfffffff8
83ec20    sub esp, 0x20
89ec      mov esp, ebp
5d        pop ebp
c3        ret
"""
ALLOCA = """
55      push ebp
89e5    mov ebp, esp
8b4508  mov eax, dword ptr [ebp + 8]
29c4    sub esp, eax
89ec    mov esp, ebp
5d      pop ebp
c3      ret
"""
UNBALANCED = """
50      push eax
c3      ret
"""


def figures_of(driver: Driver, index: int = 0) -> StaticResult:
    return static_figures(driver.code_model(), driver.functions[index])


def test_own_is_the_deepest_instruction_and_says_which(make_driver: MakeDriver) -> None:
    # push ebp 4, 32 locals, push esi 4; the push of ESI is at offset 6.
    driver = make_driver({"subject": CLASSIC})
    result = figures_of(driver)
    assert result.figures.own == 40
    assert (result.figures.locals, result.figures.saved, result.figures.frame) == (32, 8, 40)
    assert result.deepest_at == driver.image.base + driver.functions[0].rva + 6


def test_own_counts_arguments_and_the_return_address_of_a_call(make_driver: MakeDriver) -> None:
    caller = """
    6a01          push 1
    6a02          push 2
    e8<callee>    call
    c3            ret
    """
    driver = make_driver({"caller": caller, "callee": "c20800  ret 8"})
    assert (figures_of(driver).figures.own, figures_of(driver).figures.frame) == (12, 0)


def test_own_is_that_of_the_worst_alignment(make_driver: MakeDriver) -> None:
    # Behind push ebp ESP is E-4; `and esp, -8` costs 4 where E is a multiple of 8.
    result = figures_of(make_driver({"subject": REALIGNED}))
    assert result.figures.own == 4 + 4 + 32


def test_only_alignments_that_matter_are_tried(make_driver: MakeDriver) -> None:
    driver = make_driver({"plain": CLASSIC, "realigned": REALIGNED})
    plain, realigned = (
        driver.code_model().heights(driver.image.base + function.rva) for function in driver.functions
    )
    assert list(residues(plain)) == [0]
    assert list(residues(realigned)) == [0, 4]


def test_own_is_not_known_with_alloca_and_says_where(make_driver: MakeDriver) -> None:
    figures = figures_of(make_driver({"subject": ALLOCA})).figures
    assert figures.own is None
    assert figures.own_open == ("stack allocated by a run-time amount at 0xa5de1006",)


def test_code_that_does_not_decode_leaves_own_open(make_driver: MakeDriver) -> None:
    driver = make_driver({"subject": "50      push eax\n0f0a    (bad)"})
    figures = figures_of(driver).figures
    assert figures.own is None
    assert figures.own_open == ("code does not decode at 0xa5de1001",)


def test_a_stack_that_is_not_balanced_at_the_return_is_a_finding(make_driver: MakeDriver) -> None:
    figures = figures_of(make_driver({"subject": UNBALANCED})).figures
    assert figures.findings == ("returns with ESP 4 bytes below its entry value",)


def test_a_record_of_another_frame_is_a_finding(make_driver: MakeDriver) -> None:
    driver = make_driver({"subject": CLASSIC}, frames={"subject": (FrameRecord("FPO", locals=64, saved=8),)})
    assert figures_of(driver).figures.findings == ("FPO says locals 64, saved 8; the code says 32, 8",)


def test_basic_blocks_are_counted(make_driver: MakeDriver) -> None:
    branching = """
    85c9      test ecx, ecx
    7401      je
    90        nop
    c3        ret
    """
    assert figures_of(make_driver({"subject": branching})).blocks == 3


def test_a_frame_pointer_of_a_function_that_never_returns_is_seen(make_driver: MakeDriver) -> None:
    # clang -O0: FRAMEDATA describes frames with a frame pointer only up to `mov ebp, esp`, hence locals 0.
    stopping = """
    55      push ebp
    89e5    mov ebp, esp
    83ec18  sub esp, 0x18
    ebfe    jmp
    """
    driver = make_driver({"subject": stopping}, frames={"subject": (FrameRecord("FRAMEDATA", locals=0, saved=4),)})
    figures = figures_of(driver).figures
    assert (figures.locals, figures.saved, figures.findings) == (24, 4, ())
