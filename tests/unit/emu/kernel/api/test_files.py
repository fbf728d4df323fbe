"""Files by handle: what opening makes, where reads end, what writes change, what is answered about files."""

from __future__ import annotations

import struct
from typing import Any

import pytest

STATUS_END_OF_FILE, STATUS_INVALID_PARAMETER, STATUS_INVALID_HANDLE = 0xC0000011, 0xC000000D, 0xC0000008
SYNCHRONOUS = 0x20
"""FILE_SYNCHRONOUS_IO_NONALERT."""
FILE_OBJECT_FILE_NAME = 48
OPEN, CREATE = 1, 2


def _u32(kernel: Any, address: int) -> int:
    return int.from_bytes(kernel.host.read(address, 4), "little")


def _attributes(kernel: Any, name: str, flags: int = 0x240) -> int:
    """OBJECT_ATTRIBUTES: Length, RootDirectory, ObjectName, Attributes (OBJ_KERNEL_HANDLE), two for security."""
    return kernel.text(struct.pack("<IIIIII", 24, 0, kernel.unicode(name), flags, 0, 0))


def _create(kernel: Any, name: str = "\\??\\C:\\a.txt", disposition: int = OPEN, options: int = SYNCHRONOUS) -> int:
    handle, block = kernel.text(bytes(4)), kernel.text(bytes(8))
    attributes = _attributes(kernel, name)
    status = kernel.call(
        "ZwCreateFile", handle, 0x80000000, attributes, block, 0, 0x80, 1, disposition, options, 0, 0
    )
    assert status == 0
    return _u32(kernel, handle)


def _object(kernel: Any, handle: int) -> int:
    out = kernel.text(bytes(4))
    assert kernel.call("ObReferenceObjectByHandle", handle, 0, 0, 0, out, 0) == 0
    return _u32(kernel, out)


def _read(kernel: Any, handle: int, length: int, offset: int = 0) -> tuple[int, int]:
    """Return the status of ZwReadFile, and how many bytes it says to have read."""
    block = kernel.text(struct.pack("<II", 0, 0xDEAD))
    buffer = kernel.text(bytes(0x2000))
    status = kernel.call("ZwReadFile", handle, 0, 0, 0, block, buffer, length, offset, 0)
    return status, _u32(kernel, block + 4)


def test_opening_a_file_makes_an_object_with_its_path_on_the_volume(kernel: Any) -> None:
    handle = _create(kernel, "\\??\\C:\\Windows\\a.txt")
    file = _object(kernel, handle)
    length, _maximum, buffer = struct.unpack("<HHI", kernel.host.read(file + FILE_OBJECT_FILE_NAME, 8))
    assert kernel.host.read(buffer, length).decode("utf-16-le") == "\\Windows\\a.txt"
    assert int.from_bytes(kernel.host.read(file, 2), "little") == 5  # IO_TYPE_FILE
    assert _u32(kernel, file + 44) & 0x2  # FO_SYNCHRONOUS_IO
    assert tuple(kernel.host.read(file + 38, 6)) == (1, 0, 0, 1, 0, 0)  # may read, lets others read
    assert handle & 0x80000000  # a kernel handle was asked for


def test_a_file_that_cannot_be_opened_leaves_handle_and_status_block_alone(kernel: Any) -> None:
    handle, block = kernel.text(b"same"), kernel.text(b"untouchd")
    attributes = _attributes(kernel, "\\SystemRoot\\a.txt")
    status = kernel.call("ZwOpenFile", handle, 1, attributes, block, 1, 0, source=kernel.FAILURE)
    assert status & 0x80000000
    assert kernel.host.read(handle, 4) + kernel.host.read(block, 8) == b"sameuntouchd"


def test_a_loop_of_reads_comes_to_the_end_of_the_file(kernel: Any) -> None:
    handle = _create(kernel)
    total = 0
    for _ in range(1000):
        status, done = _read(kernel, handle, 0x1000)
        if status:
            break
        assert 0 < done <= 0x1000
        total += done
    assert (status, done) == (STATUS_END_OF_FILE, 0)
    information, block = kernel.text(bytes(24)), kernel.text(bytes(8))
    assert kernel.call("ZwQueryInformationFile", handle, block, information, 24, 5) == 0
    assert struct.unpack("<Q", kernel.host.read(information + 8, 8)) == (total,)  # EndOfFile


def test_what_was_written_to_a_new_file_can_be_read_and_no_more(kernel: Any) -> None:
    handle = _create(kernel, disposition=CREATE)
    data, block, start = kernel.text(bytes(0x20)), kernel.text(bytes(8)), kernel.text(bytes(8))
    assert _read(kernel, handle, 1)[0] == STATUS_END_OF_FILE
    assert kernel.call("ZwWriteFile", handle, 0, 0, 0, block, data, 0x20, 0, 0) == 0
    assert _u32(kernel, block + 4) == 0x20
    assert _read(kernel, handle, 0x100, start) == (0, 0x20)


def test_an_asynchronous_file_has_no_position_to_read_at(kernel: Any) -> None:
    handle = _create(kernel, options=0)
    assert _read(kernel, handle, 4)[0] == STATUS_INVALID_PARAMETER


def test_a_closed_handle_is_refused_and_noted(kernel: Any) -> None:
    handle = _create(kernel)
    kernel.call("ObCloseHandle", handle, 0)
    assert _read(kernel, handle, 4)[0] == STATUS_INVALID_HANDLE
    assert any("ZwReadFile" in note for note in kernel.state.records.notes)


def test_control_requests_answer_no_more_than_there_is_room_for(kernel: Any) -> None:
    handle, block, out = _create(kernel), kernel.text(bytes(8)), kernel.text(b"\xee" * 16)
    assert kernel.call("ZwFsControlFile", handle, 0, 0, 0, block, 0x900A8, 0, 0, out, 8) == 0
    assert _u32(kernel, block + 4) <= 8
    assert kernel.host.read(out + 8, 8) == b"\xee" * 8


@pytest.mark.parametrize("name", ["ZwReadFile", "NtReadFile"])
def test_failures_are_the_inputs(kernel: Any, name: str) -> None:
    handle = _create(kernel)
    status = kernel.call(name, handle, 0, 0, 0, kernel.text(bytes(8)), 0, 0, 0, 0, source=kernel.FAILURE)
    assert status & 0xC0000000 == 0xC0000000


def test_a_directory_is_listed_name_by_name_until_there_are_no_more(kernel: Any) -> None:
    handle, names = _create(kernel, "\\??\\C:\\Directory\\"), []
    block, entry = kernel.text(bytes(8)), kernel.text(bytes(0x200))
    for _ in range(20):
        status = kernel.call("ZwQueryDirectoryFile", handle, 0, 0, 0, block, entry, 0x200, 1, 1, 0, 0)
        if status:
            break
        length = _u32(kernel, entry + 60)  # FILE_DIRECTORY_INFORMATION: FileNameLength, FileName
        names.append(kernel.host.read(entry + 64, length).decode("utf-16-le"))
    assert status == 0x80000006  # STATUS_NO_MORE_FILES
    assert names[:2] == [".", ".."]
    assert len(names) > 2
    assert kernel.call("ZwQueryDirectoryFile", handle, 0, 0, 0, block, entry, 0x200, 1, 1, 0, 1) == 0  # RestartScan


def test_a_buffer_too_small_for_the_class_is_refused(kernel: Any) -> None:
    handle, block, out = _create(kernel), kernel.text(bytes(8)), kernel.text(bytes(0x100))
    assert (
        kernel.call("ZwQueryInformationFile", handle, block, out, 39, 4) == 0xC0000004
    )  # 40 bytes of basic information
    assert kernel.call("ZwQueryInformationFile", handle, block, out, 40, 4) == 0
    assert _u32(kernel, block + 4) == 40
    assert kernel.call("ZwQueryInformationFile", handle, block, out, 0x100, 0x7777) == 0xC0000003
    assert kernel.call("IoCheckQuerySetFileInformation", 4, 39, 0) == 0xC0000004


def test_position_size_and_deletion_are_remembered(kernel: Any) -> None:
    handle, block = _create(kernel), kernel.text(bytes(8))
    for kind, data in ((20, struct.pack("<Q", 0x100)), (14, struct.pack("<Q", 0xF0)), (13, b"\1")):
        assert kernel.call("ZwSetInformationFile", handle, block, kernel.text(data), len(data), kind) == 0
    assert _read(kernel, handle, 0x100) == (0, 0x10)  # from the position to the end
    assert kernel.host.read(_object(kernel, handle) + 37, 1) == b"\1"  # DeletePending


def test_a_file_objects_name_is_replaced_whatever_room_it_had(kernel: Any) -> None:
    file = _object(kernel, _create(kernel))
    for name in ("\\b", "\\Directory\\" + "long" * 20):
        text = kernel.text(name.encode("utf-16-le"))
        assert kernel.call("IoReplaceFileObjectName", file, text, 2 * len(name)) == 0
        assert kernel.context().unicode(file + FILE_OBJECT_FILE_NAME) == name


def test_an_origin_is_set_once(kernel: Any) -> None:
    file = _object(kernel, _create(kernel))
    assert [kernel.call("IoSetFileOrigin", file, remote) for remote in (1, 1, 0)] == [0, 0xC0000030, 0]  # _MIX
