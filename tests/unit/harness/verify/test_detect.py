"""Formats are told by content; what is none of them, or damaged, is refused with one line."""

from __future__ import annotations

import contextlib
import random
from pathlib import Path

import pytest

from stackemu.emu.errors import InputError
from stackemu.harness.verify import detect
from stackemu.harness.verify.claim import Format
from stackemu.harness.verify.detect import read_source

ACE = "0: kd> !ace.stack_usage m!*\r\n96 bytes used for locals by func: a5dee450 m!f (...)\r\n0: kd> "
SU = "a.c:1:_f@8\t96\tstatic\n"
KF = "kd> kf\n #   Memory  ChildEBP RetAddr\n00           8078ac00 a5de1799 m!g\n01  50 8078ac50 a5de18ff m!f+0x6d\n"
C6262 = "a.c(1): warning C6262: Function uses '1096' bytes of stack. Consider moving some data to heap.\n"


def write(path: Path, data: bytes) -> Path:
    path.write_bytes(data)
    return path


@pytest.mark.parametrize(
    ("text", "expected"), [(ACE, Format.ACE), (SU, Format.SU), (KF, Format.KF), (C6262, Format.C6262)]
)
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
def test_a_format_is_told_in_every_encoding_that_debuggers_write(
    tmp_path: Path, text: str, expected: Format, encoding: str
) -> None:
    source = read_source(write(tmp_path / "any.name", text.encode(encoding)))
    assert source.format is expected
    assert len(source.claims) == 1


def test_utf_16_may_be_big_endian(tmp_path: Path) -> None:
    path = write(tmp_path / "log", b"\xfe\xff" + ACE.encode("utf-16-be"))
    assert [claim.name for claim in read_source(path).claims] == ["f"]


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"", "no format"),
        (b"hello\n", "no format"),
        (b"MZ\x90\0\x03\0\0\0", "no format"),
        (b"[1, 2]", "no format"),
        (b"{", "cut off"),
        (b'{"a": 1}', "schema"),
        (b'{"schema": "stackemu.symbols/1"}', "stackemu.symbols/1"),
        (b'{"schema": "stackemu.measurement/1"}', "does not follow"),
        (b'{"settings": ' + b"[" * 100_000, "cut off"),
        (b"Memory  ChildEBP RetAddr\n", "no figure"),
        (b"a.c:1:f\t" + b"1" * 70_000, "characters a line"),
    ],
)
def test_what_cannot_be_read_is_refused_with_one_line(tmp_path: Path, data: bytes, words: str) -> None:
    with pytest.raises(InputError) as refused:
        read_source(write(tmp_path / "file", data))
    assert words in str(refused.value)
    assert len(str(refused.value).splitlines()) == 1


def test_a_file_beyond_the_limit_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(detect, "MAX_SIZE", 10)
    with pytest.raises(InputError, match="at most 10 bytes"):
        read_source(write(tmp_path / "file", SU.encode()))


@pytest.mark.parametrize("text", [ACE, SU, KF, C6262])
def test_a_damaged_file_is_read_or_refused(tmp_path: Path, text: str) -> None:
    chance = random.Random(text)
    for _ in range(300):
        data = bytearray(text.encode() * 2)
        for _ in range(chance.randrange(1, 6)):
            data[chance.randrange(len(data))] = chance.randrange(256)
        path = write(tmp_path / "file", bytes(data[: chance.randrange(len(data) + 1)]))
        # Whatever else is raised fails the test.
        with contextlib.suppress(InputError):
            assert read_source(path).claims
