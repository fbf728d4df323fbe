import os
import stat
from pathlib import Path

import pytest

from stackemu.emu.errors import InputError, UsageError
from stackemu.harness import output


def test_a_report_replaces_a_file_as_a_whole(tmp_path: Path) -> None:
    target = tmp_path / "result.json"
    target.write_text("an older and longer result")
    target.chmod(0o640)
    output.deliver(b"{}\n", target)
    assert target.read_bytes() == b"{}\n"
    assert stat.S_IMODE(target.stat().st_mode) == 0o640
    assert list(tmp_path.iterdir()) == [target]


def test_a_failed_write_leaves_the_old_file_and_no_other(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    target = tmp_path / "result.json"
    target.write_text("old")

    def refuse(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "replace", refuse)
    with pytest.raises(InputError, match="No space left on device"):
        output.deliver("new", target)
    assert target.read_text() == "old"
    assert list(tmp_path.iterdir()) == [target]


def test_a_link_is_followed(tmp_path: Path) -> None:
    real, link = tmp_path / "real", tmp_path / "link"
    real.write_text("old")
    link.symlink_to(real)
    output.deliver("new", link)
    assert link.is_symlink()
    assert real.read_text() == "new"


def test_stdout_by_its_name_is_written_to(tmp_path: Path) -> None:
    # /dev/stdout is a link to /proc/self/fd/1, which is a link to a pipe that has no path.
    reader, writer = os.pipe()
    link = tmp_path / "stdout"
    link.symlink_to(f"/proc/self/fd/{writer}")
    if not link.exists():
        pytest.skip("needs /proc")
    output.check_target(link, [])
    output.deliver("report\n", link)
    os.close(writer)
    with os.fdopen(reader, "rb") as stream:
        assert stream.read() == b"report\n"
    assert link.is_symlink()


def test_the_inputs_are_not_overwritten_by_any_name(tmp_path: Path) -> None:
    driver, link = tmp_path / "driver.sys", tmp_path / "link"
    driver.write_bytes(b"MZ")
    link.symlink_to(driver)
    for target in (driver, link, tmp_path / "." / "driver.sys"):
        with pytest.raises(UsageError, match="would overwrite an input"):
            output.check_target(target, [None, driver])
    output.check_target(tmp_path / "other", [driver, tmp_path / "missing.pdb"])
    output.check_target(None, [driver])


def test_a_target_that_cannot_be_is_refused_early(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="there is no directory"):
        output.check_target(tmp_path / "missing" / "result.json", [])
    with pytest.raises(InputError, match="is a directory"):
        output.check_target(tmp_path, [])
    with pytest.raises(InputError, match="File name too long"):
        output.check_target(tmp_path / ("x" * 300), [])


def test_text_that_utf8_cannot_hold_is_escaped(capfdbinary: pytest.CaptureFixture[bytes]) -> None:
    output.deliver("na\udc80me \u00e9\n", None)
    assert capfdbinary.readouterr().out == b"na\\udc80me \xc3\xa9\n"


def test_messages_are_one_line_on_stderr(capsys: pytest.CaptureFixture[str]) -> None:
    output.warn("two\nlines")
    output.fail("evil \x1b[31m")
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err == "stackemu: warning: two lines\nstackemu: evil \\x1b[31m\n"


def test_progress_is_silent_when_stderr_is_no_terminal(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(output, "PROGRESS_DELAY", 0.0)
    with output.ProgressLine("measuring") as progress:
        progress(1, 10, "PtCreate")
    assert capsys.readouterr() == ("", "")
