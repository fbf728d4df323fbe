"""The one place where errors become a line on stderr and an exit code."""

from __future__ import annotations

import sys
from collections.abc import Callable
from importlib import import_module

import pytest

from stackemu.emu.errors import InputError, NothingMeasuredError, UsageError
from stackemu.harness import cli
from stackemu.harness.output import OutputClosedError

Main = Callable[..., int]


@pytest.fixture
def main(monkeypatch: pytest.MonkeyPatch) -> Main:
    """Run `main()` with arguments; returns its exit code. Any other exception goes through."""

    def run(*arguments: str) -> int:
        monkeypatch.setattr(sys, "argv", ["stackemu", *arguments])
        with pytest.raises(SystemExit) as leaving:
            cli.main()
        assert isinstance(leaving.value.code, int)
        return leaving.value.code

    return run


@pytest.mark.parametrize(
    ("error", "code", "line"),
    [
        (InputError("a.sys", "the file is empty"), 2, "stackemu: a.sys: the file is empty"),
        (InputError("a.sys", "cut", "copy it again"), 2, "stackemu: a.sys: cut; copy it again"),
        (UsageError("no function matches"), 2, "stackemu: no function matches"),
        (NothingMeasuredError("none of 3 functions"), 3, "stackemu: none of 3 functions"),
        (KeyboardInterrupt(), 130, "stackemu: interrupted"),
    ],
)
def test_what_a_command_raises_on_purpose_is_one_line(
    main: Main,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    error: BaseException,
    code: int,
    line: str,
) -> None:
    _raise_in_load(monkeypatch, error)
    assert main("symbols", "a.sys") == code
    assert capsys.readouterr() == ("", f"{line}\n")


def test_a_reader_that_went_away_is_told_nothing(
    main: Main, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    _raise_in_load(monkeypatch, OutputClosedError("stdout was closed"))
    assert main("symbols", "a.sys") == 141
    assert capsys.readouterr() == ("", "")


def test_a_defect_is_not_hidden(main: Main, monkeypatch: pytest.MonkeyPatch) -> None:
    _raise_in_load(monkeypatch, ZeroDivisionError("a defect"))
    with pytest.raises(ZeroDivisionError):
        main("symbols", "a.sys")


def _raise_in_load(monkeypatch: pytest.MonkeyPatch, error: BaseException) -> None:
    def load(*_: object, **__: object) -> None:
        raise error

    monkeypatch.setattr(import_module("stackemu.harness.commands.loading"), "load", load)


COMMANDS = ("run", "explain", "static", "symbols")


@pytest.mark.parametrize("command", COMMANDS)
@pytest.mark.parametrize("option", ["-h", "--help"])
def test_every_command_has_help_with_an_example(
    main: Main, capsys: pytest.CaptureFixture[str], command: str, option: str
) -> None:
    assert main(command, option) == 0
    help_text = capsys.readouterr().out
    assert f"  stackemu {command} PassThrough.sys" in help_text
    assert "\b" not in help_text


def test_the_commands_are_listed_in_the_help(main: Main, capsys: pytest.CaptureFixture[str]) -> None:
    assert main("--help") == 0
    help_text = capsys.readouterr().out
    assert [command for command in COMMANDS if f"\n  {command} " in help_text] == list(COMMANDS)


def test_the_version(main: Main, capsys: pytest.CaptureFixture[str]) -> None:
    assert main("--version") == 0
    assert capsys.readouterr().out.startswith("stackemu ")


def test_without_a_command_there_is_help(main: Main, capsys: pytest.CaptureFixture[str]) -> None:
    assert main() == 2
    captured = capsys.readouterr()
    assert "Commands:" in captured.out + captured.err
