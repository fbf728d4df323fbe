"""I/O of a minifilter's own: files by their objects, callback data that it allocates, fills and sends."""

from __future__ import annotations

import struct
from typing import Any

import pytest

from stackemu.emu.inputs import Input, Override, Place, Style
from stackemu.emu.kernel.api.open_files import new_file

COMPLETION = 0xA5DE1100
INSTANCE = 0x85600000
SYNCHRONOUS, KEEP_POSITION = 0x20, 4
PENDING, END_OF_FILE, NO_MORE_FILES, INVALID_PARAMETER = 0x103, 0xC0000011, 0x80000006, 0xC000000D
INFO_LENGTH_MISMATCH, INVALID_INFO_CLASS, BUFFER_TOO_SMALL = 0xC0000004, 0xC0000003, 0xC0000023
BASIC, STANDARD, END_OF_FILE_CLASS = 4, 5, 20
GENERATED_IRP, REISSUED = 0x10001, 0x20000
READ, QUERY_INFORMATION = 3, 5
IMMEDIATELY_KEY = 7


def _number(kernel: Any, value: int) -> int:
    return int(kernel.text(struct.pack("<Q", value)))


@pytest.fixture
def file(kernel: Any) -> int:
    """A file of 0x20 bytes that was opened for synchronous I/O."""
    address = int(new_file(kernel.context(), "\\File.txt", 0, SYNCHRONOUS).address)
    size = _number(kernel, 0x20)
    assert kernel.call("FltSetInformationFile", INSTANCE, address, size, 8, END_OF_FILE_CLASS) == 0
    return address


def _drawn(kernel: Any, key: int, value: int) -> Input:
    return Input(0, Style.ZEROS, True, (Override(Place.RESULT, kernel.calls * 8 + key, value),))


def _position(kernel: Any, file: int) -> int:
    return int(kernel.context().view("FILE_OBJECT", file)["CurrentByteOffset"])


def _read(kernel: Any, file: int, offset: int | None, length: int, flags: int = 0) -> tuple[int, int]:
    buffer, done = kernel.text(bytes(length)), kernel.text(b"\xcc" * 4)
    at = 0 if offset is None else _number(kernel, offset)
    status = kernel.call("FltReadFile", INSTANCE, file, at, length, buffer, flags, done, 0, 0)
    return status, kernel.context().u32(done)


# -- files --


def test_opening_gives_a_handle_and_its_object(kernel: Any) -> None:
    attributes = kernel.text(struct.pack("<6I", 24, 0, kernel.unicode("\\??\\C:\\File.txt"), 0x240, 0, 0))
    handle, file, block = (kernel.text(bytes(8)) for _ in range(3))
    arguments = (0, INSTANCE, handle, file, 0x80000000, attributes, block, 0, 0, 7, 1, SYNCHRONOUS, 0, 0, 0)
    assert kernel.call("FltCreateFileEx", *arguments) == 0
    opened = kernel.context().view("FILE_OBJECT", kernel.context().u32(file))
    assert kernel.context().unicode(opened.at("FileName")) == "\\File.txt"
    assert kernel.call("FltClose", kernel.context().u32(handle)) == 0
    assert kernel.call("FltClose", kernel.context().u32(handle)) >= 0xC0000000
    plain = (0, INSTANCE, handle, *arguments[4:14])
    assert kernel.call("FltCreateFile", *plain) == 0
    assert kernel.context().u32(handle)


def test_a_read_stops_at_the_end_of_the_file(kernel: Any, file: int) -> None:
    assert _read(kernel, file, 0x18, 0x10) == (0, 8)
    assert _read(kernel, file, 0x20, 0x10) == (END_OF_FILE, 0)


def test_only_a_read_without_an_offset_moves_the_position(kernel: Any, file: int) -> None:
    _read(kernel, file, 4, 8)
    assert _position(kernel, file) == 0
    assert _read(kernel, file, None, 8) == (0, 8)
    assert _position(kernel, file) == 8
    _read(kernel, file, None, 8, KEEP_POSITION)
    assert _position(kernel, file) == 8


def test_a_file_without_a_position_takes_an_offset(kernel: Any) -> None:
    file = new_file(kernel.context(), "\\File.txt", 0).address
    status = kernel.call("FltReadFile", INSTANCE, file, 0, 8, kernel.text(bytes(8)), 0, 0, 0, 0)
    assert status == INVALID_PARAMETER


def test_a_write_behind_the_end_makes_the_file_larger(kernel: Any, file: int) -> None:
    buffer, out = kernel.text(bytes(8)), kernel.text(bytes(24))
    assert kernel.call("FltWriteFile", INSTANCE, file, _number(kernel, 0x30), 8, buffer, 0, 0, 0, 0) == 0
    assert kernel.call("FltQueryInformationFile", INSTANCE, file, out, 24, STANDARD, 0) == 0
    assert kernel.context().u64(out + 8) == 0x38, "EndOfFile"


@pytest.mark.parametrize(("choice", "times"), [(0, 1), (1, 0)])
def test_a_read_with_a_completion_is_pending_whether_it_is_done_at_once_or_later(
    kernel: Any, file: int, choice: int, times: int
) -> None:
    arguments = (INSTANCE, file, _number(kernel, 0), 8, kernel.text(bytes(8)), 0, 0, COMPLETION, 0x77)
    source = _drawn(kernel, IMMEDIATELY_KEY, choice)
    assert kernel.call("FltReadFile", *arguments, source=source) == PENDING
    assert [root.address for root in kernel.roots] == [COMPLETION]
    assert len(kernel.host.invoked) == times
    for _, (data, context) in kernel.host.invoked:
        view = kernel.context().view("FLT_CALLBACK_DATA", data)
        assert (context, view["IoStatus.Status"], view["IoStatus.Information"]) == (0x77, 0, 8)


def test_information_is_checked_for_its_class_and_length(kernel: Any, file: int) -> None:
    out, done = kernel.text(bytes(40)), kernel.text(bytes(4))
    assert kernel.call("FltQueryInformationFile", INSTANCE, file, out, 40, BASIC, done) == 0
    assert kernel.context().u32(done) == 40
    assert kernel.call("FltQueryInformationFile", INSTANCE, file, out, 39, BASIC, done) == INFO_LENGTH_MISMATCH
    assert kernel.call("FltQueryInformationFile", INSTANCE, file, out, 40, 1000, done) == INVALID_INFO_CLASS


def test_a_directory_is_listed_until_there_are_no_more_files(kernel: Any, file: int) -> None:
    out, done = kernel.text(bytes(0x200)), kernel.text(bytes(4))
    arguments = (INSTANCE, file, out, 0x200, 12, 0, 0)
    assert kernel.call("FltQueryDirectoryFile", *arguments, 1, done) == 0
    assert kernel.context().u32(done)
    assert kernel.call("FltQueryDirectoryFile", *arguments, 0, done) == NO_MORE_FILES
    assert kernel.call("FltQueryDirectoryFile", *arguments, 1, done) == 0


def test_a_control_answers_at_most_what_there_is_room_for(kernel: Any, file: int) -> None:
    target, done = kernel.text(b"\xcc" * 16), kernel.text(bytes(4))
    arguments = (INSTANCE, file, 0x900A8, 0, 0, target, 16, done)
    assert kernel.call("FltFsControlFile", *arguments, source=_drawn(kernel, 0, 2)) == 0
    assert kernel.context().u32(done) == 8
    assert kernel.host.read(target + 8, 8) == b"\xcc" * 8


def test_security_is_a_descriptor_whose_offsets_lie_in_it(kernel: Any, file: int) -> None:
    needed = kernel.text(bytes(4))
    assert kernel.call("FltQuerySecurityObject", INSTANCE, file, 3, 0, 0, needed) == BUFFER_TOO_SMALL
    size = kernel.context().u32(needed)
    out = kernel.text(bytes(size))
    assert kernel.call("FltQuerySecurityObject", INSTANCE, file, 3, out, size, needed) == 0
    revision, _, control, owner, group, sacl, dacl = struct.unpack("<BBHIIII", kernel.host.read(out, 20))
    assert (revision, control, sacl, dacl) == (1, 0x8000, 0, 0)
    assert all(kernel.host.read(out + at, 1) == b"\1" and at + 12 <= size for at in (owner, group))


# -- callback data --


def _callback_data(kernel: Any, file: int, major: int) -> tuple[Any, Any]:
    out = kernel.text(bytes(4))
    assert kernel.call("FltAllocateCallbackData", INSTANCE, file, out) == 0
    data = kernel.context().view("FLT_CALLBACK_DATA", kernel.context().u32(out))
    block = kernel.context().view("FLT_IO_PARAMETER_BLOCK", data["Iopb"])
    block["MajorFunction"] = major
    return data, block


def test_new_callback_data_is_a_generated_irp_on_the_file(kernel: Any, file: int) -> None:
    data, block = _callback_data(kernel, file, READ)
    assert data["Flags"] == GENERATED_IRP
    assert (block["TargetInstance"], block["TargetFileObject"]) == (INSTANCE, file)


def test_an_operation_that_is_performed_fills_its_buffer_and_status(kernel: Any, file: int) -> None:
    data, block = _callback_data(kernel, file, QUERY_INFORMATION)
    buffer = kernel.text(b"\xcc" * 48)
    kernel.host.write(block.at("Parameters"), struct.pack("<III", 40, BASIC, buffer))
    data["IoStatus.Status"] = 0xCCCCCCCC
    kernel.call("FltPerformSynchronousIo", data.address)
    assert (data["IoStatus.Status"], data["IoStatus.Information"]) == (0, 40)
    assert kernel.host.read(buffer, 8) != b"\xcc" * 8
    assert kernel.host.read(buffer + 40, 8) == b"\xcc" * 8
    kernel.call("FltPerformSynchronousIo", data.address, source=kernel.FAILURE)
    assert data["IoStatus.Status"] >= 0xC0000000


def test_an_asynchronous_operation_calls_its_completion(kernel: Any, file: int) -> None:
    data, _ = _callback_data(kernel, file, READ)
    assert kernel.call("FltPerformAsynchronousIo", data.address, COMPLETION, 0x77) == PENDING
    assert kernel.host.invoked == [(COMPLETION, (data.address, 0x77))]
    (root,) = kernel.roots
    later, context = kernel.arguments(root).stack
    view = kernel.context().view("FLT_CALLBACK_DATA", later)
    assert (context, view["Flags"]) == (0x77, GENERATED_IRP)
    kernel.call("FltFreeCallbackData", later)
    assert not kernel.state.records.notes


def test_an_operation_that_is_sent_again_says_so(kernel: Any, file: int) -> None:
    data, _ = _callback_data(kernel, file, READ)
    kernel.call("FltReissueSynchronousIo", INSTANCE, data.address)
    assert data["Flags"] == GENERATED_IRP | REISSUED


def test_reused_callback_data_keeps_its_target_only(kernel: Any, file: int) -> None:
    data, block = _callback_data(kernel, file, READ)
    kernel.call("FltReissueSynchronousIo", INSTANCE, data.address)
    data["IoStatus.Information"] = 5
    kernel.call("FltReuseCallbackData", data.address)
    assert (data["Flags"], data["IoStatus"], block["MajorFunction"]) == (GENERATED_IRP, 0, 0)
    assert (block["TargetInstance"], block["TargetFileObject"]) == (INSTANCE, file)


def test_freeing_callback_data_twice_is_noted(kernel: Any, file: int) -> None:
    data, _ = _callback_data(kernel, file, READ)
    kernel.call("FltFreeCallbackData", data.address)
    kernel.call("FltFreeCallbackData", data.address)
    assert [*kernel.state.records.notes] == [f"FltFreeCallbackData: {data.address:#010x} was freed before"]
