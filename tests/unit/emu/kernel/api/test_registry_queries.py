"""RtlQueryRegistryValues and its kin: tables, direct storage, routines called, defaults, types that are checked."""

from __future__ import annotations

import struct
from typing import Any

import pytest

from stackemu.emu.inputs import Input, Override, Place

INVALID_PARAMETER, BUFFER_TOO_SMALL = 0xC000000D, 0xC0000023
TYPE_MISMATCH, NOT_FOUND = 0xC0000024, 0xC0000034
SUBKEY, TOPKEY, REQUIRED, NOVALUE, NOEXPAND, DIRECT, DELETE, TYPECHECK = 1, 2, 4, 8, 0x10, 0x20, 0x40, 0x100
REG_NONE, REG_SZ, REG_EXPAND_SZ, REG_BINARY, REG_DWORD, REG_MULTI_SZ = 0, 1, 2, 3, 4, 7
ABSOLUTE, SERVICES, HANDLE = 0, 1, 0x40000000
ROUTINE = 0xA5DE1040
CONTEXT, ENTRY_CONTEXT = 0x11, 0x22
PATH = "Sample\\Made"


def _wide(text: str) -> bytes:
    return text.encode("utf-16-le")


def _z(kernel: Any, text: str) -> int:
    return kernel.text(_wide(text + "\0"))


def _u32(kernel: Any, address: int) -> int:
    return int.from_bytes(kernel.host.read(address, 4), "little")


def _make(kernel: Any, *values: tuple[str, int, bytes], path: str = PATH) -> None:
    """Make a key of the driver's own below \\Registry\\...\\Services, with values."""
    assert kernel.call("RtlCreateRegistryKey", SERVICES, _z(kernel, path)) == 0
    for name, kind, data in values:
        call = (SERVICES, _z(kernel, path), _z(kernel, name), kind, kernel.text(data), len(data))
        assert kernel.call("RtlWriteRegistryValue", *call) == 0


def _table(kernel: Any, *entries: tuple[int, ...]) -> int:
    """RTL_QUERY_REGISTRY_TABLE: QueryRoutine, Flags, Name, EntryContext, DefaultType, DefaultData, DefaultLength."""
    return kernel.text(b"".join(struct.pack("<7I", *(*entry, *[0] * (7 - len(entry)))) for entry in (*entries, ())))


def _query(kernel: Any, *entries: tuple[int, ...], path: str = PATH, source: Input | None = None) -> int:
    call = (SERVICES, _z(kernel, path), _table(kernel, *entries), CONTEXT, 0)
    return int(kernel.call("RtlQueryRegistryValues", *call, source=source or kernel.SUCCESS))


def _record(kernel: Any, status: int = 0) -> list[tuple[str, int, bytes]]:
    """Return what the routine will have been called with: name, type, data."""
    seen: list[tuple[str, int, bytes]] = []

    def routine(name: int, kind: int, data: int, length: int, context: int, entry_context: int) -> int:
        assert (context, entry_context) == (CONTEXT, ENTRY_CONTEXT)
        text = kernel.context().terminated(name, 2).decode("utf-16-le") if name else ""
        seen.append((text, kind, kernel.host.read(data, length) if length else b""))
        return status

    kernel.host.code[ROUTINE] = routine
    return seen


def test_a_routine_gets_each_value_that_its_entry_names(kernel: Any) -> None:
    _make(kernel, ("Limit", REG_DWORD, b"\x05\0\0\0"), ("Text", REG_SZ, _wide("abc\0")))
    seen = _record(kernel)
    assert _query(kernel, *((ROUTINE, 0, _z(kernel, name), ENTRY_CONTEXT) for name in ("Limit", "Text"))) == 0
    assert seen == [("Limit", REG_DWORD, b"\x05\0\0\0"), ("Text", REG_SZ, _wide("abc\0"))]


def test_an_entry_without_a_name_gets_all_values_or_a_bare_call(kernel: Any) -> None:
    _make(kernel, ("A", REG_DWORD, bytes(4)), ("B", REG_DWORD, bytes(4)))
    seen = _record(kernel)
    assert _query(kernel, (ROUTINE, NOVALUE, 0, ENTRY_CONTEXT), (ROUTINE, 0, 0, ENTRY_CONTEXT)) == 0
    assert [(name, kind) for name, kind, _ in seen] == [("", REG_NONE), ("A", REG_DWORD), ("B", REG_DWORD)]


def test_a_list_is_handed_over_string_by_string_unless_it_is_not_to_be_expanded(kernel: Any) -> None:
    _make(kernel, ("List", REG_MULTI_SZ, _wide("one\0two\0\0")))
    seen = _record(kernel)
    assert _query(kernel, (ROUTINE, 0, _z(kernel, "List"), ENTRY_CONTEXT)) == 0
    assert seen == [("List", REG_SZ, _wide("one\0")), ("List", REG_SZ, _wide("two\0"))]
    seen.clear()
    assert _query(kernel, (ROUTINE, NOEXPAND, _z(kernel, "List"), ENTRY_CONTEXT)) == 0
    assert seen == [("List", REG_MULTI_SZ, _wide("one\0two\0\0"))]


def test_variables_are_expanded_into_a_plain_string(kernel: Any) -> None:
    _make(kernel, ("Path", REG_EXPAND_SZ, _wide("%SystemRoot%\\a%none%\0")))
    seen = _record(kernel)
    assert _query(kernel, (ROUTINE, 0, _z(kernel, "Path"), ENTRY_CONTEXT)) == 0
    assert seen == [("Path", REG_SZ, _wide("C:\\Windows\\a%none%\0"))]


def test_a_routine_that_fails_ends_the_query_with_its_status(kernel: Any) -> None:
    _make(kernel, ("A", REG_DWORD, bytes(4)), ("B", REG_DWORD, bytes(4)))
    seen = _record(kernel, status=0xC0000001)
    entry = (ROUTINE, 0, 0, ENTRY_CONTEXT)
    assert _query(kernel, entry, entry) == 0xC0000001
    assert len(seen) == 1


def test_a_missing_value_is_an_error_only_where_it_is_required(kernel: Any) -> None:
    _make(kernel)
    seen = _record(kernel)
    assert _query(kernel, (ROUTINE, 0, _z(kernel, "None"), ENTRY_CONTEXT)) == 0
    assert _query(kernel, (ROUTINE, REQUIRED, _z(kernel, "None"), ENTRY_CONTEXT)) == NOT_FOUND
    assert seen == []


def test_defaults_stand_in_and_strings_measure_themselves(kernel: Any) -> None:
    _make(kernel)
    seen, number = _record(kernel), kernel.text(b"\x2a\0\0\0")
    text = kernel.text(_wide("default\0rest"))
    assert (
        _query(
            kernel,
            (ROUTINE, 0, _z(kernel, "N"), ENTRY_CONTEXT, REG_DWORD, number, 4),
            (ROUTINE, 0, _z(kernel, "T"), ENTRY_CONTEXT, REG_SZ, text, 0),
        )
        == 0
    )
    assert seen == [("N", REG_DWORD, b"\x2a\0\0\0"), ("T", REG_SZ, _wide("default\0"))]


def test_numbers_and_strings_are_stored_directly(kernel: Any) -> None:
    _make(kernel, ("N", REG_DWORD, b"\x05\0\0\0"), ("T", REG_SZ, _wide("abc\0")))
    number, buffer = kernel.text(b"\xee" * 8), kernel.text(b"\xee" * 8)
    string, empty = kernel.text(struct.pack("<HHI", 0, 8, buffer)), kernel.text(bytes(8))
    direct = [(0, DIRECT, _z(kernel, name), at) for name, at in (("N", number), ("T", string), ("T", empty))]
    assert _query(kernel, *direct) == 0
    assert kernel.host.read(number, 8) == b"\x05\0\0\0\xee\xee\xee\xee"
    assert struct.unpack("<HHI", kernel.host.read(string, 8)) == (6, 8, buffer)
    assert kernel.host.read(buffer, 8) == _wide("abc\0")
    length, maximum, made = struct.unpack("<HHI", kernel.host.read(empty, 8))
    assert (length, maximum, kernel.host.read(made, 8)) == (6, 8, _wide("abc\0"))  # a null Buffer is allocated


def test_a_string_without_room_is_too_small(kernel: Any) -> None:
    _make(kernel, ("T", REG_SZ, _wide("abc\0")))
    string = kernel.text(struct.pack("<HHI", 0, 6, kernel.text(bytes(8))))
    assert _query(kernel, (0, DIRECT, _z(kernel, "T"), string)) == BUFFER_TOO_SMALL


def test_larger_data_goes_where_a_signed_size_stood(kernel: Any) -> None:
    _make(kernel, ("B", REG_BINARY, b"123456"))
    alone, headed = kernel.text(struct.pack("<i", -6).ljust(16)), kernel.text(struct.pack("<i", 14).ljust(16))
    small = kernel.text(struct.pack("<i", 13).ljust(16))
    assert _query(kernel, *((0, DIRECT, _z(kernel, "B"), at) for at in (alone, headed))) == 0
    assert kernel.host.read(alone, 6) == b"123456"
    assert kernel.host.read(headed, 14) == struct.pack("<II", 6, REG_BINARY) + b"123456"
    assert _query(kernel, (0, DIRECT, _z(kernel, "B"), small)) == BUFFER_TOO_SMALL


def test_a_type_that_is_checked_must_be_the_values(kernel: Any) -> None:
    _make(kernel, ("T", REG_SZ, _wide("abc\0")))
    number = kernel.text(b"\xee" * 4)
    entry = (0, DIRECT | TYPECHECK, _z(kernel, "T"), number, REG_DWORD << 24 | REG_NONE)
    assert _query(kernel, entry) == TYPE_MISMATCH
    assert kernel.host.read(number, 4) == b"\xee" * 4


def test_subkeys_take_the_entries_that_follow_and_topkey_brings_them_back(kernel: Any) -> None:
    _make(kernel, ("V", REG_DWORD, b"\x01\0\0\0"))
    _make(kernel, ("V", REG_DWORD, b"\x02\0\0\0"), path=PATH + "\\Below")
    seen, name, below = _record(kernel), _z(kernel, "V"), _z(kernel, "Below")
    entries = (
        (0, SUBKEY, below),
        (ROUTINE, 0, name, ENTRY_CONTEXT),
        (ROUTINE, TOPKEY, name, ENTRY_CONTEXT),
        (ROUTINE, SUBKEY, below, ENTRY_CONTEXT),
    )
    assert _query(kernel, *entries) == 0
    assert [data[0] for _, _, data in seen] == [2, 1, 2]
    assert _query(kernel, (0, SUBKEY, _z(kernel, "Missing"))) == NOT_FOUND


@pytest.mark.parametrize("entry", [(0, DIRECT, 0), (ROUTINE, DIRECT, 1), (0, SUBKEY, 0), (0, SUBKEY | DIRECT, 1)])
def test_entries_that_contradict_themselves_are_refused(kernel: Any, entry: tuple[int, int, int]) -> None:
    _make(kernel)
    routine, flags, has_name = entry
    assert _query(kernel, (routine, flags, _z(kernel, "V") if has_name else 0)) == INVALID_PARAMETER


def test_values_can_be_deleted_once_they_were_queried(kernel: Any) -> None:
    _make(kernel, ("V", REG_DWORD, bytes(4)))
    _record(kernel)
    entry = (ROUTINE, REQUIRED | DELETE, _z(kernel, "V"), ENTRY_CONTEXT)
    assert [_query(kernel, entry), _query(kernel, entry)] == [0, NOT_FOUND]


def test_a_value_that_nobody_wrote_has_the_type_that_the_entry_asks_for(kernel: Any) -> None:
    buffer = kernel.text(bytes(0x40))
    string, number = kernel.text(struct.pack("<HHI", 0, 0x40, buffer)), kernel.text(b"\xee" * 8)
    entries = (
        (0, DIRECT | TYPECHECK | REQUIRED, _z(kernel, "Text"), string, REG_SZ << 24),
        (0, DIRECT | REQUIRED, _z(kernel, "Number"), number, REG_DWORD, 0, 0),
    )
    assert _query(kernel, *entries, path="Sample\\Parameters") == 0
    length = struct.unpack("<HHI", kernel.host.read(string, 8))[0]
    assert 0 < length <= 0x40 - 2
    assert kernel.host.read(buffer + length, 2) == b"\0\0"
    assert kernel.host.read(number + 4, 4) == b"\xee" * 4


def test_which_values_exist_is_the_inputs_to_say_entry_by_entry(kernel: Any) -> None:
    seen, path = _record(kernel), _z(kernel, "Sample\\Parameters")
    table = _table(kernel, *((ROUTINE, 0, _z(kernel, name), ENTRY_CONTEXT, 0) for name in ("A", "B", "C")))
    missing = kernel.SUCCESS.with_override(Override(Place.RESULT, 8 * kernel.calls + 1, 0b010))
    assert kernel.call("RtlQueryRegistryValues", SERVICES, path, table, CONTEXT, 0, source=missing) == 0
    assert {name for name, _, _ in seen} == {"A", "C"}


def test_a_failing_query_does_nothing_or_finds_no_values(kernel: Any) -> None:
    seen, name, number = _record(kernel), _z(kernel, "V"), kernel.text(b"\x2a\0\0\0")
    entry = (ROUTINE, 0, name, ENTRY_CONTEXT, REG_DWORD, number, 4)
    assert _query(kernel, entry, path="Sample\\Parameters", source=kernel.FAILURE) & 0x80000000
    assert seen == []
    path, table = _z(kernel, "Sample\\Parameters"), _table(kernel, entry)
    empty = kernel.FAILURE.with_override(Override(Place.RESULT, 8 * kernel.calls + 7, 1))
    assert kernel.call("RtlQueryRegistryValues", SERVICES, path, table, CONTEXT, 0, source=empty) == 0
    assert seen == [("V", REG_DWORD, b"\x2a\0\0\0")]


def test_single_values_are_written_read_by_handle_and_deleted(kernel: Any) -> None:
    _make(kernel, ("V", REG_DWORD, b"\x07\0\0\0"))
    handle, path = kernel.text(bytes(4)), "\\Registry\\Machine\\System\\CurrentControlSet\\Services\\" + PATH
    attributes = kernel.text(struct.pack("<IIIIII", 24, 0, kernel.unicode(path), 0x240, 0, 0))
    assert kernel.call("ZwOpenKey", handle, 0x20019, attributes) == 0
    key = _u32(kernel, handle)
    kind, data, length = kernel.text(bytes(4)), kernel.text(bytes(4)), kernel.text(bytes(4))
    fallback = ("RtlQueryRegistryValueWithFallback", 0, key, kernel.unicode("V"), 4, kind, data, length)
    assert kernel.call(*fallback) == 0
    assert [_u32(kernel, at) for at in (kind, data, length)] == [REG_DWORD, 7, 4]
    delete = ("RtlDeleteRegistryValue", HANDLE, key, _z(kernel, "V"))
    assert [kernel.call(*delete), kernel.call(*delete)] == [0, NOT_FOUND]


def test_checking_a_key_finds_those_that_were_made(kernel: Any) -> None:
    _make(kernel)
    assert kernel.call("RtlCheckRegistryKey", SERVICES, _z(kernel, PATH)) == 0
    assert kernel.call("RtlCheckRegistryKey", SERVICES, _z(kernel, PATH + "\\Not")) == NOT_FOUND
    assert kernel.call("RtlCheckRegistryKey", 6, _z(kernel, PATH)) == INVALID_PARAMETER
    assert kernel.call("RtlCheckRegistryKey", SERVICES, _z(kernel, PATH), source=kernel.FAILURE) & 0x80000000


def test_a_users_path_is_a_string_of_the_drivers_own(kernel: Any) -> None:
    string = kernel.text(bytes(8))
    assert kernel.call("RtlFormatCurrentUserKeyPath", string) == 0
    assert kernel.context().unicode(string).startswith("\\REGISTRY\\USER\\S-1-5-")
