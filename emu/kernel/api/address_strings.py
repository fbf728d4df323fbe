"""Network addresses as text: IPv4, IPv6 and Ethernet (RtlIpv4AddressToString and its like; ip2string.h)."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

from stackemu.emu.kernel.call import ApiCall

STATUS_INVALID_PARAMETER = 0xC000000D
_MAX_TEXT = 64
"""Characters that an address is looked for in."""


@dataclass(frozen=True, slots=True)
class _Kind:
    """A kind of address: its bytes, its notation, the bytes that a notation means."""

    size: int
    pattern: re.Pattern[str]
    write: Callable[[bytes], str]
    parse: Callable[[str], bytes]
    takes_strictness: bool = False


def _ipv4(text: str) -> bytes:
    return ipaddress.IPv4Address(text).packed


def _ipv6(text: str) -> bytes:
    return ipaddress.IPv6Address(text).packed


def _ethernet(text: str) -> bytes:
    return bytes.fromhex(text.replace("-", ""))


_IPV4 = _Kind(4, re.compile(r"[0-9.]+"), lambda data: str(ipaddress.IPv4Address(data)), _ipv4, takes_strictness=True)
_IPV6 = _Kind(16, re.compile(r"[0-9A-Fa-f:.]+"), lambda data: str(ipaddress.IPv6Address(data)), _ipv6)
_ETHERNET = _Kind(
    6, re.compile(r"[0-9A-Fa-f]{2}(?:-[0-9A-Fa-f]{2}){5}"), lambda data: data.hex("-").upper(), _ethernet
)
_KINDS = {
    "RtlIpv4AddressToString": (_IPV4, "RtlIpv4StringToAddress"),
    "RtlIpv6AddressToString": (_IPV6, "RtlIpv6StringToAddress"),
    "RtlEthernetAddressToString": (_ETHERNET, "RtlEthernetStringToAddress"),
}


def _to_text(kind: _Kind, codec: str) -> Callable[[ApiCall], None]:
    """(address, buffer) returns where the terminator is."""

    def behaviour(call: ApiCall) -> None:
        source, buffer = call.arguments[:2]
        text = kind.write(call.read(source, kind.size))
        data = text.encode(codec)
        call.write(buffer, (text + "\0").encode(codec))
        call.eax = buffer + len(data)

    return behaviour


def _from_text(kind: _Kind, codec: str, unit: int) -> Callable[[ApiCall], None]:
    """(text[, strictness], where to tell the end, address)."""

    def behaviour(call: ApiCall) -> None:
        source, *rest = call.arguments
        terminator, out = rest[1:3] if kind.takes_strictness else rest[:2]
        found = kind.pattern.match(call.terminated(source, unit, _MAX_TEXT * unit).decode(codec, "replace"))
        text = found[0] if found else ""
        call.put_u32(terminator, source + len(text) * unit)
        try:
            data = kind.parse(text) if text else b""
        except ValueError:
            data = b""
        if data:
            call.write(out, data)
        else:
            call.eax = STATUS_INVALID_PARAMETER

    return behaviour


def _behaviours() -> Iterator[tuple[str, Callable[[ApiCall], None]]]:
    for to_text, (kind, from_text) in _KINDS.items():
        for letter, codec, unit in (("A", "latin-1", 1), ("W", "utf-16-le", 2)):
            yield f"{to_text}{letter}", _to_text(kind, codec)
            yield f"{from_text}{letter}", _from_text(kind, codec, unit)


BEHAVIOURS: Mapping[str, Callable[[ApiCall], None]] = dict(_behaviours())
