"""Fast I/O: the arguments of the prototypes in wdm.h and ntifs.h."""

from __future__ import annotations

import struct
from typing import Any

import pytest

from stackemu.emu.inputs import Input, Style
from stackemu.emu.kernel.layouts import layout
from stackemu.emu.kernel.roots import Root

ROUTINE = 0xA5DE1100
MEMBERS = [name for name in layout("FAST_IO_DISPATCH").fields if name != "SizeOfFastIoDispatch"]
PARAMETERS = (8, 8, 8, 5, 5, 9, 7, 4, 5, 9, 1, 1, 2, 5, 4, 7, 3, 7, 4, 10, 10, 3, 4, 3, 3, 2, 2)
"""How many each member has, in the order of FAST_IO_DISPATCH."""


def _arguments(kernel: Any, name: str, seed: int = 0) -> tuple[int, ...]:
    root = Root(ROUTINE, name, "fast-io", (layout("FAST_IO_DISPATCH").offset(name),))
    words = kernel.arguments(root, Input(seed, Style.RANDOM, True)).stack
    return tuple(words)


@pytest.mark.parametrize(("name", "count"), list(zip(MEMBERS, PARAMETERS, strict=True)))
def test_every_member_gets_its_parameters(kernel: Any, name: str, count: int) -> None:
    assert len(_arguments(kernel, name)) == count


@pytest.mark.parametrize("seed", range(8))
def test_a_read_has_a_buffer_for_its_length(kernel: Any, seed: int) -> None:
    file, offset, length, wait, _key, buffer, status, device = _arguments(kernel, "FastIoRead", seed)
    assert struct.unpack("<HH", kernel.host.read(file, 4))[0] == 5  # IO_TYPE_FILE
    assert struct.unpack("<HH", kernel.host.read(device, 4))[0] == 3  # IO_TYPE_DEVICE
    assert struct.unpack("<q", kernel.host.read(offset, 8))[0] >= 0
    assert wait in (0, 1)
    assert len(kernel.host.read(status, 8)) == 8
    assert not length or len(kernel.host.read(buffer, length)) == length


def test_a_device_control_has_the_programs_buffers(kernel: Any) -> None:
    for seed in range(8):
        _, _, source, source_size, target, target_size, code, _, _ = _arguments(kernel, "FastIoDeviceControl", seed)
        assert code
        for address, size in ((source, source_size), (target, target_size)):
            assert address + size < 0x7FFF0000
            assert bool(address) == bool(size)
