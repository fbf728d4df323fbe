"""The readers of what compilers say, and what is made of it, on texts written by hand."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

sys.path.append(str(Path(__file__).parent))

from asm_frames import references
from assembly_text import parse
from compiler_frames import frame_data_by_function, read_frame_data, read_procedures, read_stack_usage, undecorated
from exception_handlers import with_handlers_entered
from static_facts import reserves_only_arguments


def test_stack_usage_names_functions_as_c_does() -> None:
    text = "a/b.c:3:_F@8\t12\tstatic\ninclude/c.h:40:\x01@G@4\t0\tdynamic\n"
    assert list(read_stack_usage(text)) == [("F", 12, True), ("G", 0, False)]


@pytest.mark.parametrize(
    ("symbol", "name"),
    [("_f", "f"), ("_f@12", "f"), ("@f@8", "f"), ("\x01_f@4", "f"), ("\x01?filt$0@0@f@@", "?filt$0@0@f@@")],
)
def test_decoration_is_taken_off_c_names_only(symbol: str, name: str) -> None:
    assert undecorated(symbol) == name


DUMP = """\
  SECTION HEADER #1
     .text name
      14AC virtual size
      1000 virtual address
      1600 size of raw data
  SECTION HEADER #4
      INIT name
        59 virtual size
      5000 virtual address
     900 | S_GPROC32 [size = 52] `DriverEntry`
           parent = 0, end = 1136, addr = 0004:0018, code size = 89
           type = `0x102F (long (_DRIVER_OBJECT*))`, debug start = 0, debug end = 0, flags = none
     952 | S_FRAMEPROC [size = 32]
           size = 12, padding size = 0, offset to padding = 0
           bytes of callee saved registers = 8, exception handler addr = 0000:0000
           local fp reg = VFRAME, param fp reg = EBP
           flags = has alloca | safe buffers
"""


def test_addresses_of_procedures_are_decimal_offsets_into_sections() -> None:
    (procedure,) = read_procedures(DUMP)
    assert (procedure.name, procedure.rva) == ("DriverEntry", 0x5000 + 18)
    assert (procedure.frame, procedure.saved, procedure.parameters_by) == (12, 8, "EBP")
    assert procedure.flags == {"has alloca", "safe buffers"}


def test_a_functions_frame_data_is_the_last_record_of_its_prologue() -> None:
    rest = "false |     false"
    text = (
        f"00001012 |   33 |      0 |     12 |     0 |      3 |          0 | {rest} |  true | $T0 .raSearch = $eip\n"
        f"00001013 |   32 |     16 |     12 |     0 |      0 |          4 | {rest} | false | $T0 .raSearch = $eip\n"
        f"00001040 |   20 |      0 |      8 |     0 |      0 |          0 | {rest} |  true | $T1 $ebp 4 + = $T0 $T1\n"
    )
    last = frame_data_by_function(read_frame_data(text))
    assert [(rva, one.locals, one.parameters, one.saved) for rva, one in last.items()] == [
        (0x1012, 16, 12, 4),
        (0x1040, 0, 8, 0),
    ]
    assert [one.by_frame_pointer for one in last.values()] == [False, True]


TRY = """\
	.def	_f;
	.type	32;
	.endef
_f:                                     # -- Begin function _f
	push	ebp
	mov	ebp, esp
	sub	esp, 40
	lea	ecx, [ebp - 28]
	mov	dword ptr [ecx - 8], esp
	mov	dword ptr fs:[0], ecx
LBB0_1:
	add	esp, 40
	pop	ebp
	ret
LBB0_2:
	mov	esp, dword ptr [ebp - 24]
	add	ebp, 12
	push	1
	pop	eax
	jmp	LBB0_1
L__ehtable$_f:
	.long	-1
	.long	"?filt$0@0@f@@"
	.long	LBB0_2
                                        # -- End function
"""


def test_an_except_block_runs_with_esp_as_the_function_kept_it() -> None:
    """EBP 4, locals 40, and the block's own push 4 below the ESP kept at registration - 8."""
    assert references(with_handlers_entered(TRY), {})["f"].own == 48


def reserves(body: str) -> bool:
    (function,) = parse(f".def _f\n.type 32\n.endef\n_f:\n{body}").functions.values()
    return reserves_only_arguments(function, {"_named": 8})


@pytest.mark.parametrize(
    ("body", "is_so"),
    [
        ("push ebp\n mov ebp, esp\n sub esp, 8\n mov dword ptr [esp], 0\n call _g@8\n pop ebp\n ret", True),
        ("sub esp, 36\n call dword ptr [__imp__G@36]\n ret", True),
        ("sub esp, 8\n call _named\n ret", True),
        ("push ebp\n push eax\n mov dword ptr [esp], 1\n call _g@4\n sub esp, 4\n add esp, 4\n pop ebp\n ret", True),
        ("sub esp, 12\n call _g@8\n add esp, 4\n ret", False),
        ("sub esp, 8\n push 1\n push 2\n call _g@8\n add esp, 8\n ret", False),
        ("push ebx\n call _g@8\n ret", False),
    ],
    ids=["direct", "import", "undecorated", "one-word", "with-variables", "pushed", "no-frame"],
)
def test_a_frame_is_only_arguments_where_one_call_takes_all_of_it(body: str, is_so: bool) -> None:
    assert reserves(body) == is_so
