"""Text for a page: nothing is cut or folded, and nothing is coloured unless colour was asked for."""

from __future__ import annotations

from rich.text import Text

from stackemu.harness.report.page import PIPED_WIDTH, Page, to_text


def test_a_pipe_is_80_columns_without_colour() -> None:
    assert (Page().width, Page().color) == (PIPED_WIDTH, False) == (80, False)


def test_lines_wider_than_the_page_stay_whole() -> None:
    assert to_text([Text("x" * 300)], Page(width=40)) == "x" * 300 + "\n"


def test_trailing_blanks_are_left_out() -> None:
    assert to_text([Text("a   "), Text("")], Page()) == "a\n\n"


def test_colour_only_where_it_was_asked_for() -> None:
    line = Text("exact", style="green")
    assert to_text([line], Page()) == "exact\n"
    assert "\x1b[32m" in to_text([line], Page(color=True))


def test_markup_and_emoji_codes_in_names_are_text() -> None:
    assert to_text([Text("[bold]x[/bold] :smile:")], Page()) == "[bold]x[/bold] :smile:\n"
