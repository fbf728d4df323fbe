"""The cache manager: who is answered FALSE, who gets an exception, and what mapped data looks like."""

from __future__ import annotations

import struct
from typing import Any

import pytest

from stackemu.emu.kernel.call import Raised

ROUTINE, OTHER = 0xA5DE1100, 0xA5DE1200
PRIVATE_CACHE_MAP, SHARED_CACHE_MAP = 24, 4


def _u32(kernel: Any, address: int) -> int:
    return int.from_bytes(kernel.host.read(address, 4), "little")


def _offset(kernel: Any, value: int) -> int:
    return int(kernel.text(struct.pack("<q", value)))


def _file(kernel: Any) -> tuple[int, int]:
    """A FILE_OBJECT with the SECTION_OBJECT_POINTERS at its offset 20."""
    pointers = kernel.text(bytes(12))
    return kernel.text(struct.pack("<HH4I4I88x", 5, 128, 0, 0, 0, 0, pointers, 0, 0, 0)), pointers


def _initialize(kernel: Any, file: int) -> None:
    callbacks = kernel.text(struct.pack("<4I", ROUTINE, OTHER, ROUTINE, OTHER))
    kernel.call("CcInitializeCacheMap", file, kernel.text(bytes(24)), 0, callbacks, 0x77)


def test_a_cache_map_lives_from_initialising_to_uninitialising(kernel: Any) -> None:
    file, pointers = _file(kernel)
    _initialize(kernel, file)
    assert _u32(kernel, file + PRIVATE_CACHE_MAP)
    assert _u32(kernel, pointers + SHARED_CACHE_MAP)
    assert kernel.call("CcGetFileObjectFromSectionPtrs", pointers) == file
    event = kernel.text(bytes(20))
    assert kernel.call("CcUninitializeCacheMap", file, 0, event) == 1
    assert _u32(kernel, event + 4 + 4) == 1  # CACHE_UNINITIALIZE_EVENT.Event.Header.SignalState
    assert _u32(kernel, file + PRIVATE_CACHE_MAP) == _u32(kernel, pointers + SHARED_CACHE_MAP) == 0
    assert kernel.call("CcUninitializeCacheMap", file, 0, 0) == 0  # was closed before


def test_the_callbacks_are_called_with_their_context(kernel: Any) -> None:
    _initialize(kernel, _file(kernel)[0])
    arguments = {root.role: kernel.arguments(root).stack for root in kernel.roots}
    assert arguments["cache manager AcquireForLazyWrite"] == (0x77, 1)
    assert arguments["cache manager ReleaseFromReadAhead"] == (0x77,)


@pytest.mark.parametrize("name", ["CcCopyRead", "CcMapData", "CcPinRead"])
def test_data_that_is_not_there_is_false_or_an_exception_for_who_waits(kernel: Any, name: str) -> None:
    file, offset, out = _file(kernel)[0], _offset(kernel, 0), kernel.text(bytes(0x100))
    assert kernel.call(name, file, offset, 0x10, 0, out, out + 0x80, source=kernel.FAILURE) == 0
    with pytest.raises(Raised):
        kernel.call(name, file, offset, 0x10, 1, out, out + 0x80, source=kernel.FAILURE)


def test_copied_data_fills_as_much_as_was_asked_for(kernel: Any) -> None:
    file, buffer, block = _file(kernel)[0], kernel.text(b"\xee" * 0x20), kernel.text(b"\xee" * 8)
    assert kernel.call("CcCopyRead", file, _offset(kernel, 0x200), 0x10, 1, buffer, block) == 1
    assert kernel.host.read(buffer, 0x20) == bytes(0x10) + b"\xee" * 0x10
    assert struct.unpack("<II", kernel.host.read(block, 8)) == (0, 0x10)


def test_what_is_mapped_twice_lies_at_one_address_as_aligned_as_in_the_file(kernel: Any) -> None:
    file, out = _file(kernel)[0], kernel.text(bytes(8))
    buffers, bcbs = [], []
    for _ in range(2):
        assert kernel.call("CcPinRead", file, _offset(kernel, 0x1234), 0x100, 1, out, out + 4) == 1
        bcbs.append(_u32(kernel, out))
        buffers.append(_u32(kernel, out + 4))
    assert buffers[0] == buffers[1]
    assert buffers[0] % 0x1000 == 0x234
    # PUBLIC_BCB: NodeTypeCode, NodeByteSize, MappedLength, MappedFileOffset
    assert struct.unpack("<IQ", kernel.host.read(bcbs[0] + 4, 12)) == (0x100, 0x1234)
    assert kernel.call("CcGetFileObjectFromBcb", bcbs[0]) == file


def test_a_bcb_is_unpinned_as_often_as_it_was_pinned(kernel: Any) -> None:
    out = kernel.text(bytes(8))
    kernel.call("CcMapData", _file(kernel)[0], _offset(kernel, 0), 0x100, 1, out, out + 4)
    bcb = _u32(kernel, out)
    kernel.call("CcRepinBcb", bcb)
    kernel.call("CcUnpinData", bcb)
    kernel.call("CcUnpinData", bcb)
    assert not kernel.state.records.notes
    kernel.call("CcUnpinData", bcb)
    assert any(f"{bcb:#010x}" in note for note in kernel.state.records.notes)


def test_an_mdl_describes_the_data(kernel: Any) -> None:
    out, block = kernel.text(bytes(4)), kernel.text(bytes(8))
    kernel.call("CcMdlRead", _file(kernel)[0], _offset(kernel, 0x1010), 0x80, out, block)
    mdl = _u32(kernel, out)
    count, start = struct.unpack("<II", kernel.host.read(mdl + 20, 8))  # ByteCount, ByteOffset
    assert (count, start) == (0x80, 0x10)
    assert int.from_bytes(kernel.host.read(mdl + 6, 2), "little") & 0x2  # MDL_PAGES_LOCKED
    assert _u32(kernel, block + 4) == 0x80


def test_dirty_pages_are_reported_to_the_callers_routine(kernel: Any) -> None:
    seen: list[tuple[int, ...]] = []

    def routine(*words: int) -> int:
        seen.append(words)
        return 0

    kernel.host.code[ROUTINE] = routine
    kernel.call("CcGetDirtyPages", 0x10, ROUTINE, 0x21, 0x22)
    assert [words[5:] for words in seen] == [(0x21, 0x22)]
