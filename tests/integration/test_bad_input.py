"""Bad input gets one line that says what, where and what to do, and exit code 2; never a traceback."""

from __future__ import annotations

import random
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from typer.testing import CliRunner

from stackemu.emu.errors import StackemuError
from stackemu.harness.cli import app

Stackemu = Callable[..., "subprocess.CompletedProcess[str]"]


def _refused(done: subprocess.CompletedProcess[str], *words: str) -> None:
    assert done.returncode == 2, done.stderr
    assert done.stdout == ""
    assert done.stderr.count("\n") == 1, done.stderr
    assert "Traceback" not in done.stderr
    for word in words:
        assert word in done.stderr


@pytest.mark.parametrize("word", ["run", "static", "symbols", "explain"])
def test_a_missing_file(stackemu: Stackemu, tmp_path: Path, word: str) -> None:
    _refused(stackemu(word, tmp_path / "nothing.sys"), "nothing.sys")


@pytest.mark.parametrize("content", [b"", b"MZ", b"not an image at all", b"\x7fELF" + bytes(100)])
def test_a_file_that_is_no_image(stackemu: Stackemu, tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "odd.sys"
    path.write_bytes(content)
    _refused(stackemu("run", path), "odd.sys")


def test_a_directory(stackemu: Stackemu, tmp_path: Path) -> None:
    _refused(stackemu("run", tmp_path), str(tmp_path.name))


def test_an_image_for_another_processor(stackemu: Stackemu, windivert64: Path) -> None:
    _refused(stackemu("run", windivert64), "WinDivert64.sys", "x64")


def test_a_pattern_that_matches_nothing_names_what_is_near(stackemu: Stackemu, passthrough: Path) -> None:
    _refused(stackemu("run", passthrough, "--func", "PtUnlaod"), "PtUnload")


@pytest.mark.parametrize(
    "options", [["--top", "0"], ["--jobs", "0"], ["--inputs", "none"], ["--format", "xml"], ["--sort", "size"]]
)
def test_a_wrong_option_value(stackemu: Stackemu, passthrough: Path, options: list[str]) -> None:
    done = stackemu("run", passthrough, *options)
    assert done.returncode == 2
    assert options[0] in done.stderr
    assert "Traceback" not in done.stderr


def test_an_output_that_cannot_be_written(stackemu: Stackemu, passthrough: Path, tmp_path: Path) -> None:
    _refused(stackemu("run", passthrough, "-o", tmp_path / "no" / "where.json"), "where.json")


def test_the_driver_itself_is_never_overwritten(stackemu: Stackemu, passthrough: Path, tmp_path: Path) -> None:
    copy = tmp_path / "copy.sys"
    shutil.copyfile(passthrough, copy)
    _refused(stackemu("run", copy, "-o", copy), "copy.sys")
    assert copy.read_bytes() == passthrough.read_bytes()


def test_symbols_of_another_image_are_refused_with_a_warning(
    stackemu: Stackemu, passthrough: Path, stackzoo: Path
) -> None:
    done = stackemu("symbols", passthrough, "--symbols", stackzoo.with_suffix(".pdb"))
    assert "GUID" in done.stderr
    assert "PtUnload" not in done.stdout


@pytest.mark.parametrize("content", [b"", b"Microsoft C/C++ MSF 7.00\r\n\x1aDS\0\0\0" + b"\xff" * 4096])
def test_a_broken_pdb_beside_the_driver_costs_the_names_only(
    stackemu: Stackemu, passthrough: Path, tmp_path: Path, content: bytes
) -> None:
    shutil.copyfile(passthrough, tmp_path / "passthrough.sys")
    (tmp_path / "passthrough.pdb").write_bytes(content)
    done = stackemu("symbols", tmp_path / "passthrough.sys")
    assert done.returncode == 0
    assert "Traceback" not in done.stderr
    assert "passthrough.pdb" in done.stderr


def _survives(path: Path, command: str) -> None:
    """Run a command in this process: it works, or it ends with an error that becomes one line."""
    result = CliRunner().invoke(app, [command, str(path)])
    assert result.exception is None or isinstance(result.exception, StackemuError | SystemExit), result.exception


def test_a_driver_cut_off_anywhere(stackzoo: Path, tmp_path: Path) -> None:
    whole = stackzoo.read_bytes()
    path = tmp_path / "cut.sys"
    for size in range(0, len(whole), 512):
        path.write_bytes(whole[:size])
        _survives(path, "static")


def test_a_driver_with_damaged_headers(passthrough: Path, tmp_path: Path) -> None:
    whole = passthrough.read_bytes()
    path = tmp_path / "damaged.sys"
    generator = random.Random(2011)
    for _ in range(150):
        data = bytearray(whole)
        for _ in range(generator.randint(1, 6)):
            data[generator.randrange(0x400)] = generator.randrange(256)
        path.write_bytes(data)
        _survives(path, "symbols")


def test_a_pdb_damaged_anywhere(passthrough: Path, tmp_path: Path) -> None:
    shutil.copyfile(passthrough, tmp_path / "passthrough.sys")
    whole = passthrough.with_suffix(".pdb").read_bytes()
    generator = random.Random(7)
    for _ in range(40):
        data = bytearray(whole)
        for _ in range(20):
            data[generator.randrange(len(data))] = generator.randrange(256)
        cut = generator.choice([len(data), generator.randrange(len(data))])
        (tmp_path / "passthrough.pdb").write_bytes(data[:cut])
        _survives(tmp_path / "passthrough.sys", "symbols")
