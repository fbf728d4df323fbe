"""Network addresses as text, against Python's socket functions."""

from __future__ import annotations

import socket
from typing import Any

import pytest

INVALID = 0xC000000D


def _u32(kernel: Any, address: int) -> int:
    return int.from_bytes(kernel.host.read(address, 4), "little")


@pytest.mark.parametrize(
    ("name", "family", "text"),
    [
        ("Ipv4", socket.AF_INET, "192.168.0.1"),
        ("Ipv6", socket.AF_INET6, "fe80::1:2"),
        ("Ipv6", socket.AF_INET6, "::1"),
    ],
)
def test_addresses_go_there_and_back(kernel: Any, name: str, family: int, text: str) -> None:
    address = socket.inet_pton(family, text)
    buffer, end, out = kernel.text(bytes(128)), kernel.text(bytes(4)), kernel.text(bytes(16))
    terminator = kernel.call(f"Rtl{name}AddressToStringW", kernel.text(address), buffer)
    assert terminator == buffer + 2 * len(text)
    assert kernel.context().terminated(buffer, 2).decode("utf-16-le") == text
    source = kernel.text(text.encode() + b"/8\0")
    strictness = (1,) if name == "Ipv4" else ()
    assert kernel.call(f"Rtl{name}StringToAddressA", source, *strictness, end, out) == 0
    assert kernel.host.read(out, len(address)) == address
    assert _u32(kernel, end) == source + len(text)


def test_what_is_no_address_is_invalid(kernel: Any) -> None:
    end, out = kernel.text(bytes(4)), kernel.text(bytes(16))
    assert kernel.call("RtlIpv4StringToAddressA", kernel.text(b"1.2.3.400\0"), 1, end, out) == INVALID
    assert kernel.call("RtlEthernetStringToAddressA", kernel.text(b"01-02\0"), end, out) == INVALID


def test_ethernet_addresses_have_dashes(kernel: Any) -> None:
    buffer = kernel.text(bytes(32))
    kernel.call("RtlEthernetAddressToStringA", kernel.text(b"\x00\x1a\xff\x03\x04\x05"), buffer)
    assert kernel.context().terminated(buffer) == b"00-1A-FF-03-04-05"
