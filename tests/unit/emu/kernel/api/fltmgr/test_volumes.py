"""Volumes, and filters and instances described: names, properties, structures with strings behind them."""

from __future__ import annotations

import struct
from typing import Any

import pytest

from stackemu.emu.inputs import Input, Override, Place, Style
from stackemu.emu.kernel.api.fltmgr.objects import instance_object, volume_of

BUFFER_TOO_SMALL, BUFFER_OVERFLOW, NO_DEVICE_OBJECT, INVALID_PARAMETER = (
    0xC0000023,
    0x80000005,
    0xC01C0019,
    0xC000000D,
)
NO_MORE_ENTRIES = 0x8000001A
NAME = "\\Device\\HarddiskVolume1"


@pytest.fixture
def volume(kernel: Any) -> int:
    context = kernel.context()
    return int(volume_of(context, instance_object(context)))


def _remote(kernel: Any) -> Input:
    """An input to which the volume that is asked about next is remote."""
    return Input(0, Style.ZEROS, True, (Override(Place.RESULT, kernel.calls * 8 + 5, 2),))


def _string(kernel: Any, room: int) -> int:
    return int(kernel.text(struct.pack("<HHI", 0, room, kernel.text(bytes(max(room, 1))))))


def _strings(data: bytes, pairs_at: int, count: int) -> list[str]:
    """The strings that pairs of length and offset in a structure say."""
    pairs = struct.iter_unpack("<HH", data[pairs_at : pairs_at + 4 * count])
    return [data[at : at + length].decode("utf-16-le") for length, at in pairs]


def test_a_name_is_copied_without_a_terminator_and_its_size_told(kernel: Any, volume: int) -> None:
    needed, room = kernel.text(bytes(4)), 2 * len(NAME)
    string = _string(kernel, room)
    assert kernel.call("FltGetVolumeName", volume, string, needed) == 0
    assert (kernel.context().unicode(string), kernel.context().u32(needed)) == (NAME, room)
    short = _string(kernel, room - 1)
    assert kernel.call("FltGetVolumeName", volume, short, needed) == BUFFER_TOO_SMALL
    assert (kernel.context().u16(short), kernel.context().u32(needed)) == (0, room)
    assert kernel.call("FltGetVolumeName", volume, 0, needed) == BUFFER_TOO_SMALL
    assert kernel.call("FltGetVolumeName", volume, string, 0) == 0


def test_a_guid_name_has_the_form_of_the_mount_manager(kernel: Any, volume: int) -> None:
    string = _string(kernel, 0x100)
    assert kernel.call("FltGetVolumeGuidName", volume, string, 0) == 0
    name = kernel.context().unicode(string)
    digits = name.removeprefix("\\??\\Volume{").removesuffix("}")
    assert [len(part) for part in digits.split("-")] == [8, 4, 4, 4, 12]


@pytest.mark.parametrize("missing", [0, 1])
def test_properties_come_with_their_names_or_without_when_there_is_no_room(
    kernel: Any, volume: int, missing: int
) -> None:
    length_out = kernel.text(bytes(4))
    assert kernel.call("FltGetVolumeProperties", volume, 0, 0, length_out) == BUFFER_TOO_SMALL
    needed = kernel.context().u32(length_out)
    out = kernel.text(bytes(needed))
    status = kernel.call("FltGetVolumeProperties", volume, out, needed - missing, length_out)
    assert status == (BUFFER_OVERFLOW if missing else 0)
    properties = kernel.context().view("FLT_VOLUME_PROPERTIES", out)
    assert (properties["DeviceType"], properties["SectorSize"]) == (8, 512)
    name = kernel.context().unicode(properties.at("RealDeviceName"))
    assert name == ("" if missing else NAME)
    if not missing:
        assert properties["RealDeviceName.Buffer"] + properties["RealDeviceName.Length"] == out + needed


def test_a_remote_volume_has_no_disk_and_the_type_of_its_redirector(kernel: Any, volume: int) -> None:
    out, length_out = kernel.text(bytes(0x100)), kernel.text(bytes(4))
    assert kernel.call("FltGetVolumeProperties", volume, out, 0x100, length_out, source=_remote(kernel)) == 0
    properties = kernel.context().view("FLT_VOLUME_PROPERTIES", out)
    assert (properties["DeviceType"], properties["DeviceCharacteristics"]) == (0x14, 0x10)
    assert kernel.call("FltGetDiskDeviceObject", volume, out) == NO_DEVICE_OBJECT
    assert kernel.call("FltGetFileSystemType", volume, out) == 0
    assert kernel.context().u32(out) == 6, "FLT_FSTYPE_LANMAN"


def test_a_disk_device_is_a_device_object(kernel: Any, volume: int) -> None:
    out = kernel.text(bytes(4))
    assert kernel.call("FltGetDiskDeviceObject", volume, out) == 0
    device = kernel.context().view("DEVICE_OBJECT", kernel.context().u32(out))
    assert (device["Type"], device["DeviceType"]) == (3, 7)


@pytest.mark.parametrize(
    ("kind", "pairs_at", "names"),
    [
        (0, 4, ["sample Instance"]),
        (1, 4, ["sample Instance", "385100"]),
        (2, 4, ["sample Instance", "385100", NAME, "sample"]),
        (3, 20, ["sample Instance", "385100", NAME, "sample"]),
    ],
)
def test_an_instance_is_described_by_strings_behind_the_structure(
    kernel: Any, kind: int, pairs_at: int, names: list[str]
) -> None:
    instance = instance_object(kernel.context())
    out, length_out = kernel.text(bytes(0x200)), kernel.text(bytes(4))
    assert kernel.call("FltGetInstanceInformation", instance, kind, out, 0x200, length_out) == 0
    length = kernel.context().u32(length_out)
    texts = _strings(kernel.host.read(out, length), pairs_at, len(names))
    assert texts[0].endswith(" Instance")
    assert texts[1:3] == names[1:3]
    assert kernel.call("FltGetInstanceInformation", instance, kind, out, length - 1, length_out) == BUFFER_TOO_SMALL


def test_a_volume_and_a_filter_are_described_by_their_names(kernel: Any, volume: int) -> None:
    out, length_out = kernel.text(bytes(0x200)), kernel.text(bytes(4))
    assert kernel.call("FltGetVolumeInformation", volume, 0, out, 0x200, length_out) == 0
    length = kernel.context().u16(out)
    assert kernel.host.read(out + 2, length).decode("utf-16-le") == NAME
    assert kernel.call("FltGetFilterInformation", 0, 0, out, 0x200, length_out) == 0
    *_, length = struct.unpack("<IIIH", kernel.host.read(out, 14))
    assert kernel.context().u32(length_out) == 14 + length
    assert kernel.call("FltGetFilterInformation", 0, 9, out, 0x200, length_out) == INVALID_PARAMETER


def test_an_enumeration_ends(kernel: Any) -> None:
    out, length_out = kernel.text(bytes(0x200)), kernel.text(bytes(4))
    answers = [
        kernel.call("FltEnumerateVolumeInformation", 0, index, 0, out, 0x200, length_out) for index in range(8)
    ]
    assert answers[0] == 0
    assert answers[-1] == NO_MORE_ENTRIES


def test_a_list_of_objects_is_given_whole_with_references_or_not_at_all(kernel: Any, volume: int) -> None:
    count, listed = kernel.text(bytes(4)), kernel.text(bytes(16))
    assert kernel.call("FltEnumerateVolumes", 0, 0, 0, count) == BUFFER_TOO_SMALL
    assert kernel.context().u32(count) == 1
    assert kernel.call("FltEnumerateVolumes", 0, listed, 4, count) == 0
    assert struct.unpack("<4I", kernel.host.read(listed, 16)) == (volume, 0, 0, 0)
    kernel.call("FltObjectDereference", volume)
    assert not kernel.state.records.notes
