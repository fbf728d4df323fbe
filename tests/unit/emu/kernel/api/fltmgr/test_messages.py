"""Communication ports: what registers, what programs send, what a message back gets for an answer."""

from __future__ import annotations

import struct
from typing import Any

import pytest

from stackemu.emu.inputs import Input, Override, Place, Style

CONNECT, DISCONNECT, MESSAGE = 0xA5DE1100, 0xA5DE1200, 0xA5DE1300
COOKIE, USER_END = 0x1234, 0x7FFF0000
TIMEOUT, PORT_DISCONNECTED, THREAD_IS_TERMINATING = 0x102, 0xC0000037, 0xC000004B


@pytest.fixture
def port(kernel: Any) -> int:
    """A server port with all three callbacks."""
    attributes = kernel.text(struct.pack("<6I", 24, 0, kernel.unicode("\\Port"), 0, 0, 0))
    out = kernel.text(bytes(4))
    arguments = (0, out, attributes, COOKIE, CONNECT, DISCONNECT, MESSAGE, 1)
    assert kernel.call("FltCreateCommunicationPort", *arguments) == 0
    return int(kernel.context().u32(out))


def _arguments(kernel: Any, address: int, **draws: int) -> tuple[int, ...]:
    root = next(root for root in kernel.roots if root.address == address)
    overrides = tuple(Override(Place.RESULT, kernel.calls * 8 + int(key[1:]), value) for key, value in draws.items())
    return tuple(kernel.arguments(root, Input(0, Style.ZEROS, True, overrides)).stack)


def _failing(kernel: Any, choice: int) -> Input:
    return Input(0, Style.ZEROS, False, (Override(Place.RESULT, kernel.calls * 8, choice),))


def test_all_callbacks_become_roots(kernel: Any, port: int) -> None:
    assert port
    assert {(root.address, root.role) for root in kernel.roots} == {
        (CONNECT, "ConnectNotifyCallback"),
        (DISCONNECT, "DisconnectNotifyCallback"),
        (MESSAGE, "MessageNotifyCallback"),
    }


def test_a_port_that_cannot_be_created_is_null(kernel: Any) -> None:
    attributes = kernel.text(struct.pack("<6I", 24, 0, kernel.unicode("\\Port"), 0, 0, 0))
    out = kernel.text(b"\xcc" * 4)
    arguments = (0, out, attributes, COOKIE, CONNECT, 0, 0, 1)
    assert kernel.call("FltCreateCommunicationPort", *arguments, source=kernel.FAILURE) >= 0xC0000000
    assert kernel.context().u32(out) == 0
    assert not kernel.roots


@pytest.mark.usefixtures("port")
def test_a_connection_comes_with_the_servers_cookie_and_a_place_for_its_own(kernel: Any) -> None:
    client, cookie, context, size, place = _arguments(kernel, CONNECT)
    assert (cookie, context, size) == (COOKIE, 0, 0)
    assert client
    assert kernel.context().u32(place) == 0
    _, _, context, size, _ = _arguments(kernel, CONNECT, k0=1)
    assert (context > USER_END, size) == (True, 4)


@pytest.mark.usefixtures("port")
def test_messages_lie_in_user_mode_and_empty_ones_nowhere(kernel: Any) -> None:
    _, source, size, target, room, done = _arguments(kernel, MESSAGE)
    assert 0 < source < USER_END
    assert 0 < target < USER_END
    assert size
    assert room
    assert done > USER_END
    _, source, size, target, room, _ = _arguments(kernel, MESSAGE, k0=5, k1=1)
    assert (source, size, target, room) == (0, 0, 0, 0)


@pytest.mark.parametrize(("choice", "answered"), [(0, 16), (2, 8), (3, 0)])
def test_a_reply_fits_the_buffer_and_says_its_length(kernel: Any, choice: int, answered: int) -> None:
    client, message = kernel.text(struct.pack("<I", 0x85900000)), kernel.text(b"hello")
    reply, length = kernel.text(b"\xcc" * 16), kernel.text(struct.pack("<I", 16))
    source = Input(0, Style.ZEROS, True, (Override(Place.RESULT, kernel.calls * 8 + 1, choice),))
    assert kernel.call("FltSendMessage", 0, client, message, 5, reply, length, 0, source=source) == 0
    assert kernel.context().u32(length) == answered
    assert kernel.host.read(reply + answered, 16 - answered) == b"\xcc" * (16 - answered)


def test_a_message_without_an_answer_in_time_is_a_timeout_only_with_a_limit(kernel: Any) -> None:
    client, message, limit = kernel.text(b"\1\0\0\0"), kernel.text(b"x"), kernel.text(bytes(8))
    timed = kernel.call("FltSendMessage", 0, client, message, 1, 0, 0, limit, source=_failing(kernel, 0))
    endless = kernel.call("FltSendMessage", 0, client, message, 1, 0, 0, 0, source=_failing(kernel, 0))
    ended = kernel.call("FltSendMessage", 0, client, message, 1, 0, 0, 0, source=_failing(kernel, 1))
    assert (timed, endless, ended) == (TIMEOUT, PORT_DISCONNECTED, THREAD_IS_TERMINATING)


def test_closing_the_client_port_clears_the_pointer_that_messages_go_by(kernel: Any) -> None:
    client, message = kernel.text(b"\1\0\0\0"), kernel.text(b"x")
    kernel.call("FltCloseClientPort", 0, client)
    assert kernel.context().u32(client) == 0
    assert kernel.call("FltSendMessage", 0, client, message, 1, 0, 0, 0) == PORT_DISCONNECTED


def test_a_server_port_is_to_be_closed_once_and_before_unregistering(kernel: Any, port: int) -> None:
    kernel.call("FltUnregisterFilter", 0)
    kernel.call("FltCloseCommunicationPort", port)
    kernel.call("FltCloseCommunicationPort", port)
    assert [*kernel.state.records.notes] == [
        f"FltUnregisterFilter: the port {port:#010x} is still open",
        f"FltCloseCommunicationPort: {port:#010x} was closed before",
    ]


def test_the_default_descriptor_lets_administrators_and_the_system_in(kernel: Any) -> None:
    out, everything = kernel.text(bytes(4)), 0x001F0001
    assert kernel.call("FltBuildDefaultSecurityDescriptor", out, everything) == 0
    descriptor = kernel.context().u32(out)
    revision, _, control, owner, group, sacl, dacl = struct.unpack("<BBHIIII", kernel.host.read(descriptor, 20))
    assert (revision, control, owner, group, sacl) == (1, 4, 0, 0, 0), "absolute, with a DACL"
    _, _, size, count, _ = struct.unpack("<BBHHH", kernel.host.read(dacl, 8))
    entries, at = [], dacl + 8
    for _ in range(count):
        kind, _, length, access = struct.unpack("<BBHI", kernel.host.read(at, 8))
        entries.append((kind, access, kernel.host.read(at + 8, length - 8)))
        at += length
    assert at == dacl + size
    administrators = bytes.fromhex("01020000000000052000000020020000")
    assert entries == [(0, everything, administrators), (0, everything, bytes.fromhex("010100000000000512000000"))]
    kernel.call("FltFreeSecurityDescriptor", descriptor)
    assert not kernel.state.records.notes
    kernel.call("FltFreeSecurityDescriptor", descriptor)
    assert [*kernel.state.records.notes] == [f"FltFreeSecurityDescriptor: {descriptor:#010x} was freed before"]
