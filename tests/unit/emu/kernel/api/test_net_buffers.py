"""NET_BUFFERs: data found through MDLs, starts moved back and forth, packets well-formed."""

from __future__ import annotations

import itertools
import struct
from typing import Any

STORAGE = 0x85800000


def _packet(kernel: Any, *pieces: bytes, offset: int = 0) -> tuple[int, int]:
    """Return a NET_BUFFER_LIST over MDLs with these bytes, and its NET_BUFFER."""
    from stackemu.emu.kernel.api.net_buffers import new_list, new_mdl

    context = kernel.context()
    mdls = [new_mdl(context, piece) for piece in pieces]
    for mdl, following in itertools.pairwise(mdls):
        context.put_u32(mdl, following)
    packet = new_list(context, mdls[0], offset, sum(map(len, pieces)) - offset)
    return packet, context.u32(packet + 4)


def _data(kernel: Any, buffer: int, size: int) -> bytes | None:
    address = kernel.call("NdisGetDataBuffer", buffer, size, STORAGE, 1, 0)
    return kernel.host.read(address, size) if address else None


def test_data_in_one_mdl_is_found_where_it_lies(kernel: Any) -> None:
    _, buffer = _packet(kernel, b"..header", offset=2)
    assert _data(kernel, buffer, 6) == b"header"
    assert kernel.call("NdisGetDataBuffer", buffer, 6, STORAGE, 1, 0) != STORAGE


def test_data_across_mdls_is_copied_to_the_callers_storage(kernel: Any) -> None:
    _, buffer = _packet(kernel, b"head", b"er and data")
    assert kernel.call("NdisGetDataBuffer", buffer, 6, STORAGE, 1, 0) == STORAGE
    assert kernel.host.read(STORAGE, 6) == b"header"
    assert kernel.call("NdisGetDataBuffer", buffer, 6, 0, 1, 0) == 0


def test_more_than_there_is_gets_no_pointer(kernel: Any) -> None:
    _, buffer = _packet(kernel, b"header")
    assert _data(kernel, buffer, 7) is None


def test_advancing_and_retreating_undo_each_other(kernel: Any) -> None:
    _, buffer = _packet(kernel, b"head", b"body")
    kernel.call("NdisAdvanceNetBufferDataStart", buffer, 4, 0, 0)
    assert _data(kernel, buffer, 4) == b"body"
    assert kernel.call("NdisRetreatNetBufferDataStart", buffer, 4, 0, 0) == 0
    assert _data(kernel, buffer, 4) == b"head"


def test_retreating_beyond_the_front_takes_a_new_mdl_or_fails(kernel: Any) -> None:
    _, buffer = _packet(kernel, b"body")
    failed = kernel.call("NdisRetreatNetBufferDataStart", buffer, 20, 0, 0, source=kernel.FAILURE)
    assert failed == 0xC000009A
    assert kernel.call("NdisRetreatNetBufferDataStart", buffer, 20, 0, 0) == 0
    whole = _data(kernel, buffer, 24)
    assert whole is not None
    assert whole.endswith(b"body")


def test_memory_that_the_driver_takes_for_a_packet_becomes_one(kernel: Any) -> None:
    buffer = kernel.text(bytes(0xA0))
    kernel.host.write(buffer + 12, struct.pack("<I", 60))
    assert len(_data(kernel, buffer, 60) or b"") == 60
    assert _data(kernel, buffer, 61) is None


def test_packets_have_the_lengths_that_their_headers_say(kernel: Any) -> None:
    from stackemu.emu.inputs import Input, Style
    from stackemu.emu.kernel.api.net_buffers import packet_bytes

    versions = set()
    for seed in range(40):
        data = packet_bytes(kernel.context(Input(seed, Style.RANDOM, True)))
        versions.add(data[0] >> 4)
        length = (
            struct.unpack_from(">H", data, 2)[0] if data[0] >> 4 == 4 else 40 + struct.unpack_from(">H", data, 4)[0]
        )
        assert length == len(data)
    assert versions == {4, 6}
