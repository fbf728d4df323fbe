"""The registry by handle: what is written is read back, what is missing is not found, buffers take what fits.

Offsets are those of wdm.h: KEY_VALUE_PARTIAL_INFORMATION has TitleIndex, Type, DataLength and Data at 12.
"""

from __future__ import annotations

import struct
from typing import Any

import pytest

from stackemu.emu.inputs import Input, Override, Place, Style

BUFFER_OVERFLOW, NO_MORE_ENTRIES = 0x80000005, 0x8000001A
INVALID_HANDLE, INVALID_PARAMETER, BUFFER_TOO_SMALL = 0xC0000008, 0xC000000D, 0xC0000023
NOT_FOUND, CANNOT_DELETE, KEY_DELETED = 0xC0000034, 0xC0000121, 0xC000017C
REG_SZ, REG_BINARY, REG_DWORD = 1, 3, 4
BASIC, FULL, PARTIAL = 0, 1, 2
KEY_BASIC, KEY_NODE, KEY_FULL, KEY_NAME = range(4)
CREATED_NEW, OPENED_EXISTING = 1, 2
SERVICE = "\\Registry\\Machine\\System\\CurrentControlSet\\Services\\sample"


def _u32(kernel: Any, address: int) -> int:
    return int.from_bytes(kernel.host.read(address, 4), "little")


def _attributes(kernel: Any, name: str, root: int = 0) -> int:
    """OBJECT_ATTRIBUTES with OBJ_KERNEL_HANDLE and OBJ_CASE_INSENSITIVE."""
    return kernel.text(struct.pack("<IIIIII", 24, root, kernel.unicode(name), 0x240, 0, 0))


def _create(kernel: Any, name: str, root: int = 0, source: Input | None = None) -> tuple[int, int]:
    """Return handle and disposition."""
    handle, disposition = kernel.text(bytes(4)), kernel.text(bytes(4))
    attributes = _attributes(kernel, name, root)
    source = source or kernel.SUCCESS
    assert kernel.call("ZwCreateKey", handle, 0xF003F, attributes, 0, 0, 0, disposition, source=source) == 0
    return _u32(kernel, handle), _u32(kernel, disposition)


def _new(kernel: Any, name: str = "\\Registry\\Machine\\Software\\New") -> int:
    """Return the handle of a key that did not exist before."""
    handle, disposition = _create(kernel, name)
    assert disposition == CREATED_NEW
    return handle


def _open(kernel: Any, name: str, root: int = 0) -> tuple[int, int]:
    """Return status and handle."""
    handle = kernel.text(bytes(4))
    return kernel.call("ZwOpenKey", handle, 0x20019, _attributes(kernel, name, root)), _u32(kernel, handle)


def _set(kernel: Any, key: int, name: str, kind: int, data: bytes) -> None:
    assert kernel.call("ZwSetValueKey", key, kernel.unicode(name), 0, kind, kernel.text(data), len(data)) == 0


def _query(kernel: Any, key: int, name: str, length: int, which: int = PARTIAL, source: Any = None) -> Any:
    """Return status, ResultLength, and the buffer with what was not written as 0xEE."""
    buffer, needed = kernel.text(b"\xee" * (length + 8)), kernel.text(bytes(4))
    status = kernel.call(
        "ZwQueryValueKey", key, kernel.unicode(name), which, buffer, length, needed, source=source or kernel.SUCCESS
    )
    assert kernel.host.read(buffer + length, 8) == b"\xee" * 8  # never more than there is room for
    return status, _u32(kernel, needed), kernel.host.read(buffer, length)


def _partial(kind: int, data: bytes) -> bytes:
    return struct.pack("<III", 0, kind, len(data)) + data


# -- values --


def test_what_was_written_is_read_back_whatever_the_case_of_its_name(kernel: Any) -> None:
    key = _new(kernel)
    _set(kernel, key, "Limit", REG_DWORD, struct.pack("<I", 0x1234))
    assert _query(kernel, key, "LIMIT", 16) == (0, 16, _partial(REG_DWORD, b"\x34\x12\0\0"))


def test_a_buffer_for_the_head_alone_gets_what_fits_and_a_smaller_one_nothing(kernel: Any) -> None:
    key = _new(kernel)
    _set(kernel, key, "Binary", REG_BINARY, b"0123456789")
    assert _query(kernel, key, "Binary", 14) == (BUFFER_OVERFLOW, 22, _partial(REG_BINARY, b"0123456789")[:14])
    assert _query(kernel, key, "Binary", 11) == (BUFFER_TOO_SMALL, 22, b"\xee" * 11)
    buffer_less = kernel.text(bytes(4))
    status = kernel.call("ZwQueryValueKey", key, kernel.unicode("Binary"), PARTIAL, 0, 0, buffer_less)
    assert (status, _u32(kernel, buffer_less)) == (BUFFER_TOO_SMALL, 22)


def test_full_information_holds_the_name_and_aligned_data(kernel: Any) -> None:
    key = _new(kernel)
    _set(kernel, key, "Abc", REG_DWORD, b"\x01\0\0\0")
    head = struct.pack("<IIIII", 0, REG_DWORD, 28, 4, 6) + "Abc".encode("utf-16-le")
    status, needed, data = _query(kernel, key, "Abc", 32, FULL)
    assert (status, needed, data) == (0, 32, head + b"\0\0" + b"\x01\0\0\0")
    assert _query(kernel, key, "Abc", 5, 9)[0] == INVALID_PARAMETER


def test_a_new_key_has_no_values_but_those_written_until_they_are_deleted(kernel: Any) -> None:
    key = _new(kernel)
    assert _query(kernel, key, "Anything", 64)[0] == NOT_FOUND
    _set(kernel, key, "Anything", REG_DWORD, bytes(4))
    assert _query(kernel, key, "Anything", 64)[0] == 0
    assert kernel.call("ZwDeleteValueKey", key, kernel.unicode("anything")) == 0
    assert _query(kernel, key, "Anything", 64)[0] == NOT_FOUND
    assert kernel.call("ZwDeleteValueKey", key, kernel.unicode("anything")) == NOT_FOUND


def test_a_value_that_nobody_wrote_exists_and_stays_as_it_is(kernel: Any) -> None:
    _status, key = _open(kernel, SERVICE + "\\Parameters")
    status, needed, _ = _query(kernel, key, "Unknown", 0)
    assert status == BUFFER_TOO_SMALL
    status, again, data = _query(kernel, key, "Unknown", needed)
    assert (status, again) == (0, needed)
    assert _query(kernel, key, "Unknown", needed) == (0, needed, data)


def test_a_buffer_for_a_number_gets_the_number_that_the_input_says(kernel: Any) -> None:
    _status, key = _open(kernel, SERVICE)
    drawn = Override(Place.RESULT, 8 * (kernel.calls + 3) + 2, 77)  # second number of the call: three objects before
    source = kernel.SUCCESS.with_override(drawn)
    assert _query(kernel, key, "Threshold", 16, source=source) == (0, 16, _partial(REG_DWORD, struct.pack("<I", 77)))


def test_strings_that_nobody_wrote_end_in_a_terminator_and_fit_the_buffer(kernel: Any) -> None:
    _status, key = _open(kernel, SERVICE)
    status, needed, data = _query(kernel, key, "ImagePath", 0x100)
    _title, kind, length = struct.unpack_from("<III", data)
    assert (status, kind, needed) == (0, REG_SZ, 12 + length)
    text = data[12:needed].decode("utf-16-le")
    assert text.endswith(".sys\0")


@pytest.mark.parametrize("style", list(Style))
def test_every_input_says_the_same_size_twice(kernel: Any, style: Style) -> None:
    source = Input(3, style, True)
    _status, key = _open(kernel, SERVICE)
    for name in ("First", "Second", "Third"):
        _status, needed, _data = _query(kernel, key, name, 0, source=source)
        assert _query(kernel, key, name, needed, source=source)[:2] == (0, needed)


def test_a_failure_that_says_too_small_says_how_much_larger(kernel: Any) -> None:
    _status, key = _open(kernel, SERVICE)
    for seed in range(20):
        source = Input(seed, Style.ZEROS, False)
        status, needed, data = _query(kernel, key, "Value", 32, source=source)
        assert status & 0xC0000000 == 0xC0000000
        assert data == b"\xee" * 32
        assert needed > 32 if status == BUFFER_TOO_SMALL else needed == 0


def test_several_values_are_answered_at_once(kernel: Any) -> None:
    key = _new(kernel)
    _set(kernel, key, "A", REG_BINARY, b"abcde")
    _set(kernel, key, "B", REG_DWORD, b"\x07\0\0\0")
    entries = kernel.text(b"".join(struct.pack("<IIII", kernel.unicode(name), 0, 0, 0) for name in "AB"))
    buffer, length, required = kernel.text(bytes(16)), kernel.text(struct.pack("<I", 16)), kernel.text(bytes(4))
    assert kernel.call("NtQueryMultipleValueKey", key, entries, 2, buffer, length, required) == 0
    assert struct.unpack("<8I", kernel.host.read(entries, 32))[1:4] == (5, 0, REG_BINARY)
    assert struct.unpack("<8I", kernel.host.read(entries, 32))[5:] == (4, 8, REG_DWORD)  # aligned to four bytes
    assert kernel.host.read(buffer, 12) == b"abcde\0\0\0\x07\0\0\0"
    assert (_u32(kernel, length), _u32(kernel, required)) == (12, 12)


# -- keys --


def test_the_service_key_exists_and_a_new_key_is_there_from_then_on(kernel: Any) -> None:
    assert _create(kernel, SERVICE)[1] == OPENED_EXISTING
    assert _create(kernel, SERVICE + "\\PARAMETERS\\")[1] == OPENED_EXISTING
    parent = _new(kernel)
    assert _open(kernel, "Child", parent)[0] == NOT_FOUND
    assert _create(kernel, "Child", parent)[1] == CREATED_NEW
    assert _create(kernel, "child", parent)[1] == OPENED_EXISTING
    assert _open(kernel, "\\registry\\machine\\software\\new\\CHILD")[0] == 0


def test_a_key_that_cannot_be_opened_leaves_the_handle_alone(kernel: Any) -> None:
    handle = kernel.text(b"same")
    attributes = _attributes(kernel, SERVICE)
    assert kernel.call("ZwOpenKeyEx", handle, 0x20019, attributes, 0, source=kernel.FAILURE) & 0x80000000
    assert kernel.host.read(handle, 4) == b"same"


def test_subkeys_and_values_are_enumerated_by_index_until_there_are_no_more(kernel: Any) -> None:
    key, buffer, needed = _new(kernel), kernel.text(bytes(0x100)), kernel.text(bytes(4))
    for name in ("One", "Three"):
        _create(kernel, name, key)
        _set(kernel, key, name, REG_SZ, "x\0".encode("utf-16-le"))
    names = []
    for index in range(2):
        assert kernel.call("ZwEnumerateKey", key, index, KEY_BASIC, buffer, 0x100, needed) == 0
        names.append(kernel.host.read(buffer + 16, _u32(kernel, buffer + 12)).decode("utf-16-le"))
        assert kernel.call("ZwEnumerateValueKey", key, index, BASIC, buffer, 0x100, needed) == 0
        names.append(kernel.host.read(buffer + 12, _u32(kernel, buffer + 8)).decode("utf-16-le"))
    assert names == ["One", "One", "Three", "Three"]
    assert kernel.call("ZwEnumerateKey", key, 2, KEY_BASIC, buffer, 0x100, needed) == NO_MORE_ENTRIES
    assert kernel.call("ZwEnumerateValueKey", key, 2, BASIC, buffer, 0x100, needed) == NO_MORE_ENTRIES
    assert kernel.call("ZwQueryKey", key, KEY_FULL, buffer, 0x100, needed) == 0
    # SubKeys, MaxNameLen, MaxClassLen, Values, MaxValueNameLen, MaxValueDataLen; lengths are bytes
    assert struct.unpack("<6I", kernel.host.read(buffer + 20, 24)) == (2, 10, 0, 2, 10, 4)


def test_a_walk_through_the_tree_that_somebody_else_made_ends(kernel: Any) -> None:
    def walk(path: str) -> int:
        _status, key = _open(kernel, path)
        count = 1
        for index in range(10):
            buffer, needed = kernel.text(bytes(0x100)), kernel.text(bytes(4))
            if kernel.call("ZwEnumerateKey", key, index, KEY_BASIC, buffer, 0x100, needed):
                break
            name = kernel.host.read(buffer + 16, _u32(kernel, buffer + 12)).decode("utf-16-le")
            count += walk(f"{path}\\{name}")
        return count

    assert 1 < walk(SERVICE + "\\Instances") < 10


def test_a_key_tells_its_path_and_a_node_its_class(kernel: Any) -> None:
    handle, buffer, needed = kernel.text(bytes(4)), kernel.text(bytes(0x200)), kernel.text(bytes(4))
    attributes = _attributes(kernel, "\\Registry\\Machine\\Software\\A")
    assert kernel.call("ZwCreateKey", handle, 0, attributes, 0, kernel.unicode("Cls"), 0, 0) == 0
    key = _u32(kernel, handle)
    assert kernel.call("ZwQueryKey", key, KEY_NAME, buffer, 0x200, needed) == 0
    path = "\\Registry\\Machine\\Software\\A".encode("utf-16-le")
    assert kernel.host.read(buffer, 4 + len(path)) == struct.pack("<I", len(path)) + path
    assert kernel.call("ZwQueryKey", key, KEY_NODE, buffer, 0x200, needed) == 0
    assert struct.unpack("<III", kernel.host.read(buffer + 12, 12)) == (28, 6, 2)  # behind the name, aligned
    assert kernel.host.read(buffer + 28, 6) == "Cls".encode("utf-16-le")


def test_a_deleted_key_is_gone_for_everyone(kernel: Any) -> None:
    parent = _new(kernel)
    child, _ = _create(kernel, "Child", parent)
    assert kernel.call("ZwDeleteKey", parent) == CANNOT_DELETE
    assert kernel.call("ZwDeleteKey", child) == 0
    assert _query(kernel, child, "Value", 16)[0] == KEY_DELETED
    assert _open(kernel, "Child", parent)[0] == NOT_FOUND
    assert kernel.call("ZwDeleteKey", parent) == 0


def test_a_renamed_key_takes_what_is_below_along(kernel: Any) -> None:
    parent = _new(kernel)
    child, _ = _create(kernel, "Child", parent)
    _set(kernel, child, "Value", REG_DWORD, b"\x09\0\0\0")
    assert kernel.call("ZwRenameKey", parent, kernel.unicode("Newer")) == 0
    status, again = _open(kernel, "\\Registry\\Machine\\Software\\Newer\\Child")
    assert status == 0
    assert _query(kernel, again, "Value", 16) == (0, 16, _partial(REG_DWORD, b"\x09\0\0\0"))
    assert _open(kernel, "\\Registry\\Machine\\Software\\New")[0] == NOT_FOUND
    assert kernel.call("ZwRenameKey", parent, kernel.unicode("a\\b")) == INVALID_PARAMETER


@pytest.mark.parametrize("prefix", ["Zw", "Nt"])
def test_closed_and_null_handles_are_refused(kernel: Any, prefix: str) -> None:
    key = _new(kernel)
    kernel.call("ObCloseHandle", key, 0)
    assert kernel.call(f"{prefix}FlushKey", key) == INVALID_HANDLE
    assert any(f"{prefix}FlushKey" in note for note in kernel.state.records.notes)
    assert kernel.call(f"{prefix}FlushKey", 0) == INVALID_HANDLE


def test_a_change_is_told_at_once_to_those_who_wait_and_to_work_items(kernel: Any) -> None:
    key, block = _new(kernel), kernel.text(bytes(8))
    item = kernel.text(struct.pack("<IIII", 0, 0, 0xA5DE1010, 0x55))  # List, WorkerRoutine, Parameter
    assert kernel.call("ZwNotifyChangeKey", key, 0, item, 1, block, 4, 0, 0, 0, 1) == 0x103  # STATUS_PENDING
    (root,) = kernel.roots
    assert (root.address, kernel.arguments(root).stack) == (0xA5DE1010, (0x55,))
    assert kernel.call("ZwNotifyChangeKey", key, 0, 0, 0, block, 4, 0, 0, 0, 0) == 0x10C  # STATUS_NOTIFY_ENUM_DIR


def test_a_drivers_own_keys_lie_below_its_service_key(kernel: Any) -> None:
    out, buffer, needed = kernel.text(bytes(4)), kernel.text(bytes(0x200)), kernel.text(bytes(4))
    assert kernel.call("IoOpenDriverRegistryKey", 0, 0, 0x20019, 0, out) == 0
    assert kernel.call("ZwQueryKey", _u32(kernel, out), KEY_NAME, buffer, 0x200, needed) == 0
    text = kernel.host.read(buffer + 4, _u32(kernel, buffer)).decode("utf-16-le")
    assert text.lower() == (SERVICE + "\\Parameters").lower()
    assert kernel.call("IoOpenDriverRegistryKey", 0, 2, 0x20019, 0, out) == INVALID_PARAMETER
