"""Operations as minifilters get them, before and after the file system: parameters and buffers that fit."""

from __future__ import annotations

from typing import Any

import pytest

from stackemu.emu.inputs import Input, Override, Place, Style
from stackemu.emu.kernel.roots import Root

CODE = 0xA5DE1000
IRP, FAST_IO, FS_FILTER, POST_OPERATION = 1, 2, 4, 0x80000
CREATE, READ, WRITE, DIRECTORY_CONTROL, DEVICE_CONTROL = 0, 3, 4, 12, 14
ACQUIRE_FOR_SECTION, MDL_READ, VOLUME_MOUNT = 0xFF, 0xF1, 0xED
USER_END = 0x7FFF0000
SKIP_PAGING_IO = 1


def _drawn(**values: int) -> dict[int, int]:
    return {int(key[1:]): value for key, value in values.items()}


def _source(kernel: Any, draws: dict[int, int], *, succeed: bool = True) -> Input:
    overrides = tuple(Override(Place.RESULT, kernel.calls * 8 + key, value) for key, value in draws.items())
    return Input(0, Style.ZEROS, succeed, overrides)


def _before(kernel: Any, major: int, skipped: int = 0, **draws: int) -> tuple[Any, Any, Any]:
    """FLT_CALLBACK_DATA, FLT_IO_PARAMETER_BLOCK and FLT_RELATED_OBJECTS of a pre-operation callback."""
    root = Root(CODE, "", "flt-pre-operation", (major, skipped))
    data, related, _ = kernel.arguments(root, _source(kernel, _drawn(**draws))).stack
    return _views(kernel, data, related)


def _views(kernel: Any, data: int, related: int) -> tuple[Any, Any, Any]:
    context = kernel.context()
    view = context.view("FLT_CALLBACK_DATA", data)
    block = context.view("FLT_IO_PARAMETER_BLOCK", view["Iopb"])
    return view, block, context.view("FLT_RELATED_OBJECTS", related)


def _after(kernel: Any, major: int, *, succeed: bool = True, **draws: int) -> tuple[tuple[int, ...], Any, Any]:
    root = Root(CODE, "", "flt-post-operation", (major, 0))
    words = kernel.arguments(root, _source(kernel, _drawn(**draws), succeed=succeed)).stack
    data, block, _ = _views(kernel, *words[:2])
    return words, data, block


@pytest.mark.parametrize("major", range(28))
def test_an_operation_agrees_with_its_related_objects(kernel: Any, major: int) -> None:
    data, block, related = _before(kernel, major)
    assert block["MajorFunction"] == major
    assert (block["TargetInstance"], block["TargetFileObject"]) == (related["Instance"], related["FileObject"])
    assert related["Size"] == 24
    assert related["Volume"]
    assert not data["Flags"] & POST_OPERATION


def test_a_users_read_has_its_buffer_in_user_mode_and_a_kernels_does_not(kernel: Any) -> None:
    data, block, _ = _before(kernel, READ)
    assert (data["Flags"], data["RequestorMode"]) == (IRP, 1)
    assert 0 < block["Parameters.ReadWrite.Buffer"] < USER_END
    assert block["Parameters.ReadWrite.MdlAddress"] == 0
    data, block, _ = _before(kernel, READ, k5=5)
    assert (data["RequestorMode"], block["Parameters.ReadWrite.Buffer"] > USER_END) == (0, True)


def test_an_mdl_describes_the_buffer_it_comes_with(kernel: Any) -> None:
    _, block, _ = _before(kernel, READ, k5=1)
    mdl = kernel.context().view("MDL", block["Parameters.ReadWrite.MdlAddress"])
    assert mdl["StartVa"] + mdl["ByteOffset"] == block["Parameters.ReadWrite.Buffer"]
    assert mdl["ByteCount"] == block["Parameters.ReadWrite.Length"]


def test_a_length_that_the_input_chooses_decides_the_buffer(kernel: Any) -> None:
    _, block, _ = _before(kernel, WRITE, k0=4)
    assert (block["Parameters.ReadWrite.Length"], block["Parameters.ReadWrite.Buffer"]) == (0, 0)


@pytest.mark.parametrize(
    ("major", "flag"), [(ACQUIRE_FOR_SECTION, FS_FILTER), (VOLUME_MOUNT, FS_FILTER), (MDL_READ, FAST_IO), (22, IRP)]
)
def test_some_operations_come_in_one_way_only(kernel: Any, major: int, flag: int) -> None:
    data, block, _ = _before(kernel, major)
    assert data["Flags"] & 7 == flag
    assert block["IrpFlags"] == 0 or flag == IRP


@pytest.mark.parametrize("choice", range(4))
def test_paging_io_comes_at_apc_level_unless_the_driver_skips_it(kernel: Any, choice: int) -> None:
    _, block, _ = _before(kernel, READ, k6=choice)
    is_paging = bool(block["IrpFlags"] & 2)
    assert is_paging == (choice >= 2)
    assert kernel.call("KeGetCurrentIrql") == (1 if is_paging else 0)
    _, block, _ = _before(kernel, READ, SKIP_PAGING_IO, k6=choice)
    assert not block["IrpFlags"] & 2


def test_a_create_has_a_security_context_and_a_disposition(kernel: Any) -> None:
    _, block, _ = _before(kernel, CREATE)
    assert block["Parameters.Create.SecurityContext"]
    assert block["Parameters.Create.Options"] >> 24 <= 5


def test_the_method_of_a_control_code_says_where_buffers_lie(kernel: Any) -> None:
    _, block, _ = _before(kernel, DEVICE_CONTROL, k2=5)  # 0x0022E003: METHOD_NEITHER
    at = block.at("Parameters")
    assert block["Parameters.Others.Argument3"] & 3 == 3
    assert 0 < kernel.context().u32(at + 12) < USER_END
    assert 0 < kernel.context().u32(at + 16) < USER_END
    _, block, _ = _before(kernel, DEVICE_CONTROL)  # 0x00070000: METHOD_BUFFERED
    assert kernel.context().u32(block.at("Parameters") + 12) > USER_END
    assert kernel.context().u32(block.at("Parameters") + 16) == 0


def test_a_directory_was_listed_into_the_buffer_when_the_file_system_succeeded(kernel: Any) -> None:
    words, data, block = _after(kernel, DIRECTORY_CONTROL, k1=3)  # FileNamesInformation
    assert (words[3], data["IoStatus.Status"], bool(data["Flags"] & POST_OPERATION)) == (0, 0, True)
    buffer = block["Parameters.Others.Argument5"]
    length = kernel.context().u32(buffer + 8)
    assert 0 < 12 + length <= data["IoStatus.Information"] <= block["Parameters.Others.Argument1"]
    assert kernel.host.read(buffer + 12, length).decode("utf-16-le")


def test_a_failed_operation_has_a_failing_status_and_no_information(kernel: Any) -> None:
    _, data, _ = _after(kernel, READ, succeed=False)
    assert data["IoStatus.Status"] >= 0xC0000000
    assert data["IoStatus.Information"] == 0


def test_draining_says_so_in_flags_and_status(kernel: Any) -> None:
    words, data, _ = _after(kernel, READ, k7=3)
    assert (words[3], data["IoStatus.Status"], data["IoStatus.Information"]) == (1, 0xC01C0009, 0)


@pytest.mark.parametrize(("major", "levels"), [(READ, {0, 1, 2}), (CREATE, {0})])
def test_reads_are_completed_at_any_level_and_creates_at_passive_level(
    kernel: Any, major: int, levels: set[int]
) -> None:
    seen = set()
    for choice in range(3):
        _after(kernel, major, k7=choice)
        seen.add(kernel.call("KeGetCurrentIrql"))
        kernel.call("KfLowerIrql", 0)
    assert seen == levels
