"""`!ace.stack_usage` listings as people paste them."""

from __future__ import annotations

import pytest

from stackemu.emu.errors import InputError
from stackemu.harness.verify import ace
from stackemu.harness.verify.claim import Claim, Figure

OF_2011 = "96 bytes used for locals by func: a5dee450 PassThrough!PtNormalizeNameComponentExCallback (...)"


def read(text: str) -> list[Claim]:
    return list(ace.read(text.split("\n"), "log").claims)


def names(text: str) -> list[str | None]:
    return [claim.name for claim in read(text)]


def test_an_entry_has_locals_module_name_and_address() -> None:
    [claim] = read(OF_2011)
    assert claim.figures == {Figure.LOCALS: 96}
    assert (claim.module, claim.name) == ("PassThrough", "PtNormalizeNameComponentExCallback")
    assert (claim.address, claim.line) == (0xA5DEE450, 1)


@pytest.mark.parametrize(
    "behind",
    [
        " (...)",
        " (struct _FLT_VOLUME *)",
        " (<no parameter info>)",
        " (void (*)(int), char)",
        " = ",
        " =",
        " = <no type information>",
        " <no type information>",
        "",
        "  ",
    ],
)
def test_whatever_stands_behind_the_name_is_no_part_of_it(behind: str) -> None:
    assert names(f"8 bytes used for locals by func: a5dee450 m!PtFoo{behind}") == ["PtFoo"]


@pytest.mark.parametrize("name", ["C::f", "C::operator()", "operator new", "N::t<int,char>::g", "`anonymous'::f"])
def test_names_of_cpp_are_kept_whole(name: str) -> None:
    assert names(f"8 bytes used for locals by func: a5dee450 m!{name} (int)") == [name]


def test_addresses_of_x64_have_a_mark_in_the_middle() -> None:
    [claim] = read("8 bytes used for locals by func: fffff880`04a1e450 m!f (...)")
    assert claim.address == 0xFFFFF88004A1E450


@pytest.mark.parametrize("prompt", ["kd> ", "0: kd> ", "lkd> ", "1: kd:x86> ", "0: kd> 0: kd> ", "0:000> "])
def test_prompts_before_an_entry_are_left_out(prompt: str) -> None:
    [claim] = read(f"{prompt}!ace.stack_usage m!*\n{prompt}{OF_2011}\n{prompt}")
    assert claim.line == 2


def test_other_output_between_entries_is_left_out() -> None:
    text = f"Loading symbols\n{OF_2011}\n*** ERROR: Symbol file could not be found\n\n{OF_2011}\nBreakpoint 1 hit"
    assert names(text) == ["PtNormalizeNameComponentExCallback"] * 2


@pytest.mark.parametrize("width", range(28, len(OF_2011) + 1))
def test_an_entry_wrapped_at_any_width_is_joined(width: int) -> None:
    wrapped = "\n".join(OF_2011[start : start + width] for start in range(0, len(OF_2011), width))
    assert read(f"{wrapped}\n{wrapped}")[0] == read(OF_2011)[0]
    assert names(f"{wrapped}\n{wrapped}") == ["PtNormalizeNameComponentExCallback"] * 2


def test_an_entry_wrapped_between_words_is_joined() -> None:
    text = (
        "96 bytes used for locals by func:\n"
        "    a5dee450 PassThrough!PtNormalizeNameComponentExCallback\n"
        "    (struct _FLT_INSTANCE *, struct _FILE_OBJECT *,\n"
        "    unsigned short)\n"
        "12 bytes used for locals by func: a5dee034 PassThrough!PtInstanceSetup = \n"
    )
    assert names(text) == ["PtNormalizeNameComponentExCallback", "PtInstanceSetup"]


@pytest.mark.parametrize("end", range(len("96 bytes used for locals by func:"), OF_2011.index("(") + 4))
def test_a_listing_that_is_cut_off_is_refused_where_it_can_be_seen(end: int) -> None:
    cut = OF_2011[:end]
    if "!P" in cut and "(" not in cut:
        assert names(cut)[0] is not None  # a name that is cut off is a name
    else:
        with pytest.raises(InputError, match=r"log:2: .*cut off"):
            read(f"{OF_2011}\n{cut}")


def test_a_figure_that_no_stack_has_is_refused() -> None:
    with pytest.raises(InputError, match="log:1"):
        read("99999999999999999999 bytes used for locals by func: a5dee450 m!f (...)")
