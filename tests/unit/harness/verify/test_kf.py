"""Stack traces of `kf`: distances between frames, and what they say of the functions."""

from __future__ import annotations

import pytest

from stackemu.emu.errors import InputError
from stackemu.harness.verify import kf
from stackemu.harness.verify.claim import Claim, Figure

TRACE = """\
0: kd> kf
 #   Memory  ChildEBP RetAddr
00           8078ac00 a5de1799 pt!PtAppendNumber+0x2c
01        50 8078ac50 a5de18ff pt!PtFormatTime+0x6d
02        4c 8078ac9c 82c8f1a5 pt!PtLogSummary+0x44
03        24 8078acc0 82e4a2c1 nt!IofCallDriver+0x63
04        18 8078acd8 82e4a2c1 pt!PtOuter+0x10
0: kd> g
"""


def read(text: str) -> list[Claim]:
    assert kf.recognise(text)
    return list(kf.read(text.split("\n"), "log").claims)


def test_memory_is_what_a_function_uses_at_its_call() -> None:
    assert [(claim.name, claim.figures[Figure.AT_CALL]) for claim in read(TRACE)] == [
        ("PtFormatTime", 0x50),
        ("PtLogSummary", 0x4C),
        ("IofCallDriver", 0x24),
        ("PtOuter", 0x18),
    ]


def test_depth_adds_up_over_the_frames_of_one_module() -> None:
    assert [claim.figures[Figure.SEEN] for claim in read(TRACE)] == [0x50, 0x9C, 0x24, 0x18]


def test_a_frame_says_where_its_call_ends_and_where_it_stands() -> None:
    claim = read(TRACE)[0]
    assert (claim.module, claim.call_end, claim.line) == ("pt", 0x6D, 4)
    assert claim.entry == 0x8078AC54  # the return address is above the saved EBP


@pytest.mark.parametrize(
    "row",
    [
        "01        50 8078ac50 a5de18ff pt!PtFormatTime+0x6d (FPO: [Non-Fpo])",
        "01        50 8078ac50 a5de18ff pt!PtFormatTime+0x6d [c:\\pt\\log.c @ 26]",
        "01        50 8078ac50 a5de18ff 8078ad90 00000000 85cc2030 pt!PtFormatTime+0x6d (CONV: stdcall)",
    ],
)
def test_what_kv_and_source_lines_add_is_left_out(row: str) -> None:
    [claim] = read(f" #   Memory  ChildEBP RetAddr  Args to Child\n{row}\n")
    assert (claim.name, claim.call_end, claim.figures[Figure.AT_CALL]) == ("PtFormatTime", 0x6D, 0x50)


def test_older_debuggers_number_no_frames() -> None:
    text = (
        "  Memory  ChildEBP RetAddr\n          8078ac00 a5de1799 pt!f+0x2c\n       50 8078ac50 a5de18ff pt!g+0x6d\n"
    )
    assert [(claim.name, claim.figures[Figure.AT_CALL]) for claim in read(text)] == [("g", 0x50)]


def test_x64_has_no_frame_pointers_and_longer_addresses() -> None:
    text = (
        " #   Memory  Child-SP          RetAddr           Call Site\n"
        "00           00000054`b71ffb78 00007ffe`1ee672ae pt!f\n"
        "01         8 00000054`b71ffb80 00007ffe`1e2a3e2d pt!g+0x4e\n"
    )
    assert [(claim.name, claim.figures[Figure.AT_CALL]) for claim in read(text)] == [("g", 8)]


def test_frames_behind_the_debuggers_warning_are_estimates() -> None:
    text = TRACE.replace(
        "02  ", "WARNING: Stack unwind information not available. Following frames may be wrong.\n02  "
    )
    assert [claim.estimate for claim in read(text)] == [False, True, True, True]


def test_inlined_functions_have_no_frame() -> None:
    text = TRACE.replace("02  ", "02 (Inline)        -------- pt!PtInlined+0x3\n02  ")
    assert [claim.name for claim in read(text)] == [claim.name for claim in read(TRACE)]


def test_a_row_that_is_cut_off_is_refused() -> None:
    row = "02        4c 8078ac9c 82c8f1a5 pt!PtLogSummary+0x44"
    before = TRACE[: TRACE.index(row)]
    for end in range(1, row.index("pt!")):
        with pytest.raises(InputError, match=r"log:5: .*cut off"):
            read(before + row[:end])
