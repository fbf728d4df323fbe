"""What every command does first: open the driver, select functions, check the target."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from stackemu.emu.errors import InputError, UsageError
from stackemu.emu.symbols.function import Kind
from stackemu.harness.commands.loading import load

DRIVERS = Path(__file__).parents[4] / "drivers"


@pytest.fixture
def passthrough(tmp_path: Path) -> Path:
    """A copy of passthrough.sys and its PDB."""
    shutil.copy(DRIVERS / "passthrough.pdb", tmp_path)
    return Path(shutil.copy(DRIVERS / "passthrough.sys", tmp_path))


def test_patterns_select_functions(passthrough: Path) -> None:
    driver, selected = load(passthrough, None, ["PtFormat*", "passthrough!PtUnload"], None)
    assert [one.name for one in selected] == ["PtUnload", "PtFormatTime"]
    assert len(driver.functions) > len(selected)


def test_import_thunks_are_left_out_unless_wanted(passthrough: Path) -> None:
    _, functions = load(passthrough, None, None, None)
    assert {one.kind for one in functions} == {Kind.FUNCTION}
    _, everything = load(passthrough, None, None, None, import_thunks=True)
    assert Kind.IMPORT_THUNK in {one.kind for one in everything}


def test_warnings_go_to_stderr(passthrough: Path, capsys: pytest.CaptureFixture[str]) -> None:
    passthrough.with_suffix(".pdb").write_bytes(b"junk")
    load(passthrough, None, None, None)
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.startswith("stackemu: warning: ")
    assert "passthrough.pdb is not used" in captured.err


@pytest.mark.parametrize("suffix", [".sys", ".pdb"])
def test_neither_the_driver_nor_the_symbols_found_beside_it_are_overwritten(passthrough: Path, suffix: str) -> None:
    with pytest.raises(UsageError, match="would overwrite an input"):
        load(passthrough, None, None, passthrough.with_suffix(suffix))


def test_a_bad_target_is_refused_before_the_driver_is_read(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="there is no directory"):
        load(tmp_path / "missing.sys", None, None, tmp_path / "nowhere" / "result.json")
