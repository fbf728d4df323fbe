"""Warning C6262 in the wordings of two decades; the messages are quoted from Microsoft's documentation and logs."""

from __future__ import annotations

import pytest

from stackemu.emu.errors import InputError
from stackemu.harness.verify import c6262
from stackemu.harness.verify.claim import Claim, Figure

OLD = r"Function uses '98348' bytes of stack: exceeds /analyze:stacksize'16384'. Consider moving some data to heap"
NEW = r"Function uses '98348' bytes of stack. Consider moving some data to heap."


def read(text: str) -> list[Claim]:
    assert c6262.recognise(text)
    return list(c6262.read(text.split("\n"), "log").claims)


@pytest.mark.parametrize(
    "line",
    [
        rf"c:\src\names.c(76) : warning C6262: {OLD}",
        rf"c:\src\names.c(76): warning C6262: {NEW}",
        rf"1>c:\src\names.c(76): warning C6262: {OLD}: Lines: 76, 80",
        rf"c:\src\names.c(76,0): Warning C6262: {NEW}",
        rf"c:\src\names.c (76): warning 6262: {OLD}".replace("'", ""),
        rf"c:\src\names.c (76): warning 6262: {OLD}".replace("'98348'", "<98348>"),
    ],
)
def test_every_wording_gives_the_bytes_and_the_place(line: str) -> None:
    [claim] = read(line)
    assert claim.figures == {Figure.LOCALS: 98348}
    assert (claim.name, claim.place) == (None, r"c:\src\names.c:76")
    assert claim.estimate


def test_prefast_names_the_function_on_a_line_behind() -> None:
    [claim] = read(f"names.c (76): warning 6262: {OLD}\n\tFUNCTION: PtOpenDirectory (61)")
    assert claim.name == "PtOpenDirectory"


def test_a_name_belongs_to_the_nearest_warning_before_it() -> None:
    first, second = read(f"a.c(1): warning C6262: {NEW}\na.c(9): warning C6262: {NEW}\n\tFUNCTION: g (9)")
    assert (first.name, second.name) == (None, "g")


def test_a_warning_that_the_log_repeats_counts_once() -> None:
    line = f"a.c(1): warning C6262: {NEW}\n"
    assert len(read(line * 3)) == 1


def test_other_warnings_are_left_out() -> None:
    assert len(read(f"a.c(1): warning C6011: Dereferencing NULL pointer\na.c(2): warning C6262: {NEW}")) == 1


def test_a_warning_that_is_cut_off_is_refused() -> None:
    whole = f"a.c(2): warning C6262: {NEW}"
    with pytest.raises(InputError, match=r"log:2: .*cut off"):
        read(f"{whole}\n{whole[: whole.index('bytes')]}")
