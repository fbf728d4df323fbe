"""File names as minifilters get them: examples of the WDK's pages, references, and requests that cannot be met."""

from __future__ import annotations

import struct
from typing import Any

import pytest

from stackemu.emu.inputs import Input, Override, Place, Style
from stackemu.emu.kernel.api.fltmgr.objects import instance_object
from stackemu.emu.kernel.api.fltmgr.operations import new_callback_data, parameter_block

NORMALIZED, OPENED, SHORT = 1, 2, 3
INVALID_PARAMETER, INVALID_NAME_REQUEST, NAME_CACHE_MISS = 0xC000000D, 0xC01C0005, 0xC01C0018
CACHE_ONLY = 0x200
PARTS = ("Volume", "Share", "ParentDir", "FinalComponent", "Extension", "Stream")


def _drawn(key: int, value: int, ordinal: int = 0) -> Input:
    """An input that succeeds and answers one of a call's draws with a number."""
    return Input(0, Style.ZEROS, True, (Override(Place.RESULT, ordinal * 8 + key, value),))


def _operation(kernel: Any, path: str = "\\Directory\\File.txt", major: int = 3) -> tuple[int, int]:
    """FLT_CALLBACK_DATA of an operation on a file with this path, and the file."""
    context = kernel.context()
    file = context.new("FILE_OBJECT")
    file["Type"], file["Size"] = 5, file.layout.size
    context.put_counted(file.at("FileName"), path.encode("utf-16-le"))
    data = new_callback_data(context, instance_object(context), file.address)
    parameter_block(context, data)["MajorFunction"] = major
    return data.address, file.address


def _information(kernel: Any, address: int) -> Any:
    return kernel.context().view("FLT_FILE_NAME_INFORMATION", address)


def _text(kernel: Any, view: Any, field: str) -> str:
    return str(kernel.context().unicode(view.at(field)))


def _name(kernel: Any, path: str, options: int = NORMALIZED, **more: Any) -> Any:
    """The parsed name information of an operation on a path."""
    data, _ = _operation(kernel, path)
    out = kernel.text(bytes(4))
    assert kernel.call("FltGetFileNameInformation", data, options, out, **more) == 0
    address = kernel.context().u32(out)
    assert kernel.call("FltParseFileNameInformation", address) == 0
    return _information(kernel, address)


def test_a_local_name_has_the_parts_that_the_documentation_names(kernel: Any) -> None:
    info = _name(kernel, "\\Docume~1\\MyUser\\My Documents\\TestRe~1.txt:stream1:$DATA", OPENED)
    assert {part: _text(kernel, info, part) for part in PARTS} == {
        "Volume": "\\Device\\HarddiskVolume1",
        "Share": "",
        "ParentDir": "\\Docume~1\\MyUser\\My Documents\\",
        "FinalComponent": "TestRe~1.txt:stream1:$DATA",
        "Extension": "txt",
        "Stream": ":stream1:$DATA",
    }
    assert _text(kernel, info, "Name") == "".join(
        _text(kernel, info, part) for part in ("Volume", "ParentDir", "FinalComponent")
    )
    assert (info["Size"], info["NamesParsed"], info["Format"]) == (64, 15, OPENED)


def test_a_remote_name_has_a_share_between_volume_and_directory(kernel: Any) -> None:
    _operation(kernel)
    remote = Input(0, Style.ZEROS, True, tuple(Override(Place.RESULT, 8 * call + 5, 2) for call in range(16)))
    info = _name(kernel, "\\Documents and Settings\\Test Results.txt:stream1", source=remote)
    assert _text(kernel, info, "Volume") == "\\Device\\LanmanRedirector"
    share = _text(kernel, info, "Share")
    assert share.count("\\") == 2
    assert share.startswith("\\")
    assert _text(kernel, info, "ParentDir") == "\\Documents and Settings\\"
    assert _text(kernel, info, "Name").startswith("\\Device\\LanmanRedirector" + share + "\\Documents")


def test_the_name_of_a_root_has_no_final_component(kernel: Any) -> None:
    info = _name(kernel, "\\")
    assert (_text(kernel, info, "ParentDir"), info["FinalComponent.Length"]) == ("\\", 0)


def test_a_short_name_has_neither_volume_nor_directory(kernel: Any) -> None:
    info = _name(kernel, "\\Directory\\Test Results.txt", SHORT)
    assert _text(kernel, info, "Name") == "TESTRE~1.TXT"
    assert [info[f"{part}.Length"] for part in ("Volume", "Share", "ParentDir", "Stream")] == [0, 0, 0, 0]
    assert _text(kernel, info, "Extension").lower() == "txt"


def test_parts_point_into_the_name_and_nothing_is_parsed_before_it_is_asked_for(kernel: Any) -> None:
    data, _ = _operation(kernel)
    out = kernel.text(bytes(4))
    kernel.call("FltGetFileNameInformation", data, NORMALIZED, out)
    info = _information(kernel, kernel.context().u32(out))
    assert (info["NamesParsed"], info["FinalComponent.Length"], info["ParentDir.Length"]) == (0, 0, 0)
    kernel.call("FltParseFileNameInformation", info.address)
    end = info["Name.Buffer"] + info["Name.Length"]
    assert info["Volume.Buffer"] == info["Name.Buffer"]
    assert info["FinalComponent.Buffer"] == end - 2 * len("File.txt")
    assert info["Extension.Buffer"] == end - 2 * len("txt")
    assert info["ParentDir.Buffer"] == info["Volume.Buffer"] + info["Volume.Length"]


@pytest.mark.parametrize(
    ("name", "extension", "stream", "final"),
    [
        ("C:\\a.b\\file.tar.gz", "gz", "", "file.tar.gz"),
        ("\\a.b\\file", "", "", "file"),
        ("file.txt:s.t", "txt", ":s.t", "file.txt:s.t"),
        ("\\a\\", "", "", ""),
    ],
)
def test_a_string_is_parsed_from_its_end(kernel: Any, name: str, extension: str, stream: str, final: str) -> None:
    source, places = kernel.unicode(name), [kernel.text(b"\xff" * 8) for _ in range(3)]
    assert kernel.call("FltParseFileName", source, *places) == 0
    assert [kernel.context().unicode(place) for place in places] == [extension, stream, final]
    assert kernel.call("FltParseFileName", source, 0, 0, 0) == 0
    empty = [place for place, text in zip(places, (extension, stream, final), strict=True) if not text]
    assert all(kernel.host.read(place, 2) + kernel.host.read(place + 4, 4) == bytes(6) for place in empty)


@pytest.mark.parametrize(
    ("name", "ending"),
    [
        ("New.txt", "\\HarddiskVolume1\\Directory\\New.txt"),
        ("\\??\\C:\\Other\\New.txt", "\\HarddiskVolume1\\Other\\New.txt"),
        ("\\Other\\New.txt", "\\HarddiskVolume1\\Other\\New.txt"),
    ],
)
def test_the_destination_of_a_rename_lies_in_the_same_directory_unless_it_has_a_path(
    kernel: Any, name: str, ending: str
) -> None:
    _, file = _operation(kernel)
    text, out = kernel.text(name.encode("utf-16-le")), kernel.text(bytes(4))
    instance = instance_object(kernel.context())
    arguments = (instance, file, 0, text, 2 * len(name), NORMALIZED, out)
    assert kernel.call("FltGetDestinationFileNameInformation", *arguments) == 0
    assert _text(kernel, _information(kernel, kernel.context().u32(out)), "Name").endswith(ending)


def test_what_cannot_be_named_is_refused_as_documented(kernel: Any) -> None:
    data, _ = _operation(kernel, major=0)
    out = kernel.text(b"\xcc" * 4)
    assert kernel.call("FltGetFileNameInformation", data, SHORT, out) == INVALID_NAME_REQUEST
    assert kernel.call("FltGetFileNameInformation", data, 4, out) == INVALID_PARAMETER
    missed = kernel.call("FltGetFileNameInformation", data, NORMALIZED | CACHE_ONLY, out, source=kernel.FAILURE)
    assert missed == NAME_CACHE_MISS
    assert kernel.host.read(out, 4) == b"\xcc" * 4


def test_a_tunneled_name_comes_only_when_the_old_one_is_wrong(kernel: Any) -> None:
    data, _ = _operation(kernel)
    out, tunneled = kernel.text(bytes(4)), kernel.text(struct.pack("<I", 7))
    kernel.call("FltGetFileNameInformation", data, NORMALIZED, out)
    info = kernel.context().u32(out)
    assert kernel.call("FltGetTunneledName", data, info, tunneled) == 0
    assert kernel.context().u32(tunneled) == 0
    source = _drawn(0, 1, kernel.calls)
    assert kernel.call("FltGetTunneledName", data, info, tunneled, source=source) == 0
    assert kernel.context().u32(tunneled) not in (0, info)


def test_releasing_a_name_more_often_than_referencing_it_is_noted(kernel: Any) -> None:
    data, _ = _operation(kernel)
    out = kernel.text(bytes(4))
    kernel.call("FltGetFileNameInformation", data, NORMALIZED, out)
    info = kernel.context().u32(out)
    kernel.call("FltReferenceFileNameInformation", info)
    kernel.call("FltReleaseFileNameInformation", info)
    kernel.call("FltReleaseFileNameInformation", info)
    assert not kernel.state.records.notes
    kernel.call("FltReleaseFileNameInformation", info)
    assert [*kernel.state.records.notes] == [
        f"FltReleaseFileNameInformation: {info:#010x} is released more often than referenced"
    ]
