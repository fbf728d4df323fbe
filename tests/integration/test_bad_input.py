"""Files that are not what they seem and options that make no sense: one line and exit code 2, no traceback.

An exception that nothing catches would come out of `invoke` and fail the test, whatever the test asserts.
"""

from __future__ import annotations

import json
import os
import random
import re
import shutil
import struct
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import pytest

COMMANDS = ("run", "static", "symbols", "explain")
MACHINE_ARMNT, MACHINE_ARM64 = 0x1C4, 0xAA64
"""IMAGE_FILE_HEADER.Machine, from the PE format's specification."""
CUT = 512
FLIPPED_IMAGES = 120
CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]")


class Ended(NamedTuple):
    code: int
    out: str
    err: str


Invoke = Callable[..., Ended]
Stackemu = Callable[..., "subprocess.CompletedProcess[str]"]


@pytest.fixture
def alone(passthrough: Path, tmp_path: Path) -> Path:
    """passthrough.sys in a directory of its own, without its symbols."""
    return Path(shutil.copy(passthrough, tmp_path))


@pytest.fixture
def with_symbols(alone: Path, passthrough: Path) -> Path:
    """passthrough.sys with its PDB, both for the test to damage."""
    shutil.copy(passthrough.with_suffix(".pdb"), alone.parent)
    return alone


def pe_header(image: bytes) -> int:
    offset: int = struct.unpack_from("<I", image, 0x3C)[0]
    return offset


def refused(ended: Ended, *words: str) -> None:
    """Assert that there was one line on stderr, with these words, and nothing else."""
    assert (ended.code, ended.out) == (2, "")
    assert re.fullmatch(r"stackemu: [^\n]+\n", ended.err)
    for word in words:
        assert word in ended.err


# -- drivers --


@pytest.mark.parametrize("command", COMMANDS)
@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", ["the file is empty"]),
        (b"hello\n", ["not a PE image", "name a driver file (.sys)"]),
        (b"MZ", ["not a readable PE image"]),
        (b"MZ" + bytes(510), ["not a readable PE image"]),
        (b"\x7fELF" + bytes(508), ["an ELF file, not a Windows driver"]),
        (b"Microsoft C/C++ MSF 7.00\r\n\x1aDS\0\0\0" + bytes(4096), ["not a PE image"]),
    ],
    ids=["empty", "text", "two bytes", "zeros", "ELF", "PDB"],
)
def test_a_file_that_is_no_driver(
    command: str, content: bytes, words: list[str], invoke: Invoke, tmp_path: Path
) -> None:
    driver = tmp_path / "driver.sys"
    driver.write_bytes(content)
    refused(invoke(command, driver), str(driver), *words)


@pytest.mark.parametrize("command", COMMANDS)
def test_a_missing_file(command: str, invoke: Invoke, tmp_path: Path) -> None:
    refused(invoke(command, tmp_path / "missing.sys"), "missing.sys: no such file")


@pytest.mark.parametrize("command", COMMANDS)
def test_a_directory(command: str, invoke: Invoke, tmp_path: Path) -> None:
    refused(invoke(command, tmp_path), "it is a directory", "name a driver file (.sys)")


@pytest.mark.parametrize("command", COMMANDS)
def test_a_driver_for_x64(command: str, invoke: Invoke, windivert64: Path) -> None:
    refused(invoke(command, windivert64), "x64 is not supported yet", "32-bit")


@pytest.mark.parametrize("machine", [MACHINE_ARMNT, MACHINE_ARM64])
def test_a_driver_for_arm(machine: int, invoke: Invoke, alone: Path) -> None:
    image = bytearray(alone.read_bytes())
    struct.pack_into("<H", image, pe_header(image) + 4, machine)
    alone.write_bytes(image)
    refused(invoke("run", alone), "it is for ARM", "only x86 is supported")


def test_a_driver_that_was_cut(sample: Path, invoke: Invoke, tmp_path: Path) -> None:
    # The last section ends where the file does, so that every cut takes away something that is mapped.
    whole = sample.read_bytes()
    driver = tmp_path / sample.name
    for length in range(CUT, len(whole), CUT):
        driver.write_bytes(whole[:length])
        ended = invoke("static", driver)
        refused(ended, str(driver))
        if length >= 2 * CUT:
            refused(ended, "the file is truncated: section ", f"the file at {length}; copy it again")


def flipped(image: bytes, count: int) -> Iterator[bytes]:
    """Yield copies of `image` with a few bytes changed in the PE header and the section table."""
    generator = random.Random(20111)
    start = pe_header(image)
    sections = struct.unpack_from("<H", image, start + 6)[0]
    end = start + 24 + struct.unpack_from("<H", image, start + 20)[0] + 40 * sections
    for _ in range(count):
        damaged = bytearray(image)
        for _ in range(generator.choice((1, 1, 2, 4))):
            at = generator.randrange(start, end)
            damaged[at] = generator.choice((0, 0x7F, 0x80, 0xFF, damaged[at] ^ 1 << generator.randrange(8)))
        yield bytes(damaged)


def test_headers_with_bytes_flipped(alone: Path, invoke: Invoke) -> None:
    codes = []
    for index, damaged in enumerate(flipped(alone.read_bytes(), FLIPPED_IMAGES)):
        alone.write_bytes(damaged)
        # Every tenth is run too: emulation takes longer.
        options = ["run", "--effort", "quick", "--func", "DriverEntry"] if index % 10 == 0 else ["static"]
        ended = invoke(*options, alone)
        if ended.code == 2:
            refused(ended, str(alone))
        codes.append(ended.code)
    assert set(codes) <= {0, 2, 3}
    assert min(codes.count(0), codes.count(2)) >= FLIPPED_IMAGES // 10, "the flips should do both"


# -- symbols --


def source_of_names(ended: Ended) -> str:
    """Return what the footer of `symbols` says the names came from."""
    (line,) = re.findall(r"^symbols: +(.*)$", ended.out, re.MULTILINE)
    return str(line)


def test_a_pdb_of_another_build_is_left_out(with_symbols: Path, invoke: Invoke) -> None:
    image, pdb = with_symbols.read_bytes(), with_symbols.with_suffix(".pdb")
    at = image.index(b"RSDS") + 4
    guid = image[at : at + 16]
    content = pdb.read_bytes()
    assert content.count(guid) == 1
    pdb.write_bytes(content.replace(guid, bytes(16)))
    ended = invoke("symbols", with_symbols)
    assert (ended.code, source_of_names(ended)) == (0, "discovery")
    # As in the PDB's own GUID structure: a 32-bit and two 16-bit numbers, then 8 bytes.
    wanted = "{:08X}{:04X}{:04X}".format(*struct.unpack("<IHH", guid[:8])) + guid[8:].hex().upper()
    assert ended.err == (
        f"stackemu: warning: {pdb} is not used: it does not match the image: expected GUID {wanted}, got {'0' * 32}\n"
    )


def test_a_pdb_of_another_driver_is_left_out(alone: Path, stackzoo: Path, invoke: Invoke) -> None:
    ended = invoke("symbols", alone, "--symbols", stackzoo.with_suffix(".pdb"))
    assert (ended.code, source_of_names(ended)) == (0, "discovery")
    assert "stackzoo.pdb is not used: it does not match the image: expected GUID" in ended.err


def test_a_pdb_that_was_cut(with_symbols: Path, invoke: Invoke) -> None:
    pdb = with_symbols.with_suffix(".pdb")
    whole = pdb.read_bytes()
    for length in range(0, len(whole), 8192):
        pdb.write_bytes(whole[:length])
        ended = invoke("symbols", with_symbols)
        assert (ended.code, source_of_names(ended)) == (0, "discovery")
        assert ended.err.startswith(f"stackemu: warning: {pdb} is not used: ")


def test_a_pdb_with_bytes_flipped(with_symbols: Path, invoke: Invoke) -> None:
    pdb = with_symbols.with_suffix(".pdb")
    whole = pdb.read_bytes()
    generator = random.Random(7)
    for _ in range(40):
        damaged = bytearray(whole)
        for _ in range(generator.choice((4, 64, 1024))):
            damaged[generator.randrange(len(whole))] = generator.randrange(256)
        pdb.write_bytes(damaged)
        ended = invoke("symbols", with_symbols)
        assert ended.code == 0
        assert not CONTROL.search(ended.out + ended.err)


@pytest.mark.parametrize("name", ["junk.pdb", "junk.map", "junk"])
def test_symbols_that_are_junk_are_left_out_and_said_so(name: str, alone: Path, invoke: Invoke) -> None:
    junk = alone.with_name(name)
    junk.write_bytes(b"junk \xff\x1b[31m" * 100)
    ended = invoke("symbols", alone, "--symbols", junk)
    assert (ended.code, source_of_names(ended)) == (0, "discovery")
    assert ended.err.startswith(f"stackemu: warning: {junk} is not used: ")
    assert not CONTROL.search(ended.err)


def test_symbols_that_are_missing_are_refused(alone: Path, invoke: Invoke) -> None:
    refused(invoke("run", alone, "--symbols", alone.with_name("missing.pdb")), "missing.pdb: no such symbol file")


@pytest.mark.parametrize(
    ("command", "options"),
    [
        ("run", ["--format", "table", "-v"]),
        ("run", ["--format", "csv"]),
        ("run", ["--format", "json"]),
        ("run", ["--format", "markdown", "-v"]),
        ("static", ["--format", "ace"]),
        ("static", ["--format", "table", "-v"]),
        ("symbols", []),
        ("symbols", ["--format", "json"]),
        ("explain", []),
    ],
)
def test_escape_sequences_in_names_do_not_reach_the_terminal(
    command: str, options: list[str], with_symbols: Path, invoke: Invoke
) -> None:
    pdb = with_symbols.with_suffix(".pdb")
    hostile = b"Pt\x1b]0;x\x07\x1b[2Jme"
    assert len(hostile) == len(b"PtAppendNumber")
    pdb.write_bytes(pdb.read_bytes().replace(b"PtAppendNumber", hostile))
    ended = invoke(command, with_symbols, "--func", "*2Jme", "--func", "PtFormatTime", *options)
    assert ended.code == 0
    assert "[2Jme" in ended.out, "the name is listed"
    assert "\x1b" not in ended.out + ended.err
    assert "\x07" not in ended.out + ended.err


def test_an_escape_sequence_in_a_path_does_not_reach_the_terminal(invoke: Invoke, tmp_path: Path) -> None:
    refused(invoke("run", tmp_path / "\x1b[31m.sys"), r"\x1b[31m.sys: no such file")


# -- options --


def test_a_pattern_without_a_match_names_near_misses(passthrough: Path, invoke: Invoke) -> None:
    ended = invoke("run", passthrough, "--func", "PtPreOperationPasThrough")
    refused(ended, "no function matches --func 'PtPreOperationPasThrough'", "near misses: PtPreOperationPassThrough")


def test_one_pattern_without_a_match_is_enough(passthrough: Path, invoke: Invoke) -> None:
    refused(invoke("static", passthrough, "--func", "Pt*", "--func", "Qz*"), "'Qz*'")


@pytest.mark.parametrize(
    ("target", "words"),
    [
        ("missing/result.json", ["there is no directory"]),
        (".", ["is a directory"]),
        ("passthrough.sys", ["would overwrite an input"]),
        ("passthrough.pdb", ["would overwrite an input"]),
    ],
)
def test_a_target_that_cannot_be_written_is_refused_before_the_work(
    target: str, words: list[str], with_symbols: Path, invoke: Invoke
) -> None:
    before = {path: path.read_bytes() for path in with_symbols.parent.iterdir()}
    refused(invoke("run", with_symbols, "-o", with_symbols.parent / target), *words)
    assert {path: path.read_bytes() for path in with_symbols.parent.iterdir()} == before


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--seed", "many"], ["--seed"]),
        (["--seed", "-1"], ["--seed"]),
        (["--top", "0"], ["--top"]),
        (["--jobs", "0"], ["--jobs"]),
        (["--jobs", "two"], ["--jobs"]),
        (["--inputs", "-1"], ["--inputs"]),
        (["--sort", "size"], ["--sort", "depth"]),
        (["--effort", "some"], ["--effort", "quick"]),
        (["--format", "xml"], ["--format", "markdown"]),
        (["--frobnicate"], ["--frobnicate"]),
        (["other.sys"], ["other.sys"]),
    ],
)
def test_an_option_that_makes_no_sense_is_named(
    options: list[str], words: list[str], passthrough: Path, invoke: Invoke
) -> None:
    ended = invoke("run", passthrough, *options)
    assert (ended.code, ended.out) == (2, "")
    for word in words:
        assert word in ended.err
    assert "Traceback" not in ended.err


def test_measured_order_of_static_figures_is_refused(passthrough: Path, invoke: Invoke) -> None:
    refused(invoke("static", passthrough, "--sort", "depth"), "--sort depth needs measured figures")


def test_bad_input_is_no_traceback_in_a_process_either(stackemu: Stackemu, tmp_path: Path) -> None:
    done = stackemu("run", tmp_path / "missing.sys")
    refused(Ended(done.returncode, done.stdout, done.stderr), "no such file")


@pytest.mark.skipif(sys.platform != "linux", reason="needs a file system that takes any bytes for a name")
@pytest.mark.parametrize(
    "words",
    [("run", "--format", "json"), ("symbols", "--format", "json"), ("fuzz", "--time", "0.5", "--format", "json")],
)
def test_a_file_name_may_hold_any_bytes(
    words: Sequence[str], stackemu: Stackemu, ioctl: Path, tmp_path: Path
) -> None:
    driver = tmp_path / os.fsdecode(b"\xff.sys")
    shutil.copy(ioctl, driver)
    command, *options = words
    done = stackemu(command, driver, *options, "--format", "json")
    assert done.returncode == 0, done.stderr
    assert "functions" in json.loads(done.stdout)
