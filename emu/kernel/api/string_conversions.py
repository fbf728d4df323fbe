"""Strings converted: between 16-bit and ANSI, OEM and UTF-8 text.

Sizes and failures: the pages of RtlAnsiStringToUnicodeString, RtlUnicodeStringToAnsiString, RtlMultiByteToUnicodeN,
RtlUnicodeToMultiByteN, RtlUTF8ToUnicodeN and their like in the WDK.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import TypeAlias

from stackemu.emu.kernel.api.characters import ANSI, OEM, CodePage, from_units, units, upcase
from stackemu.emu.kernel.api.strings import (
    STATUS_BUFFER_OVERFLOW,
    STATUS_BUFFER_TOO_SMALL,
    STATUS_INVALID_PARAMETER,
    Counted,
    allocate_text,
    set_text,
)
from stackemu.emu.kernel.call import MAX_COPY, ApiCall

STATUS_SOME_NOT_MAPPED = 0x00000107
STATUS_INVALID_PARAMETER_2 = 0xC00000F0
STATUS_INVALID_PARAMETER_4 = 0xC00000F2
STATUS_INVALID_PARAMETER_5 = 0xC00000F3
_MAX_LENGTH = 0xFFFF

_Conversion: TypeAlias = Callable[[bytes], bytes]


def _widen(page: CodePage) -> _Conversion:
    return lambda data: from_units(page.to_units(data))


def _narrow(page: CodePage, *, raises_case: bool = False) -> _Conversion:
    def convert(data: bytes) -> bytes:
        text = units(data)
        return page.to_bytes(map(upcase, text) if raises_case else text)

    return convert


def _from_utf8(data: bytes) -> bytes:
    return data.decode("utf-8", "replace").encode("utf-16-le")


def _to_utf8(data: bytes) -> bytes:
    return data.decode("utf-16-le", "replace").encode("utf-8")


def _convert_string(convert: _Conversion, unit: int, *, ends: bool = True) -> Callable[[ApiCall], None]:
    """(Destination, Source, AllocateDestinationString): `unit` and `ends` say whether a terminator is written.

    Text that does not fit is refused, but narrow text is cut.
    """

    def behaviour(call: ApiCall) -> None:
        destination, source, allocates = call.arguments[:3]
        text = convert(call.counted(source))
        terminator = unit if ends else 0
        if len(text) + terminator > _MAX_LENGTH:
            call.eax = STATUS_INVALID_PARAMETER_2
            return
        if allocates & 0xFF:
            allocate_text(call, destination, text, terminator)
            return
        maximum = Counted.at(call, destination).maximum
        if len(text) + terminator > maximum:
            call.eax = STATUS_BUFFER_OVERFLOW
            if unit == 2 or maximum < terminator:
                return
            text = text[: maximum - terminator]
        if ends:
            set_text(call, destination, text, unit)
            return
        target = Counted.at(call, destination)
        if text:
            call.write(target.buffer, text)
        replace(target, length=len(text)).put(call, destination)

    return behaviour


def _convert_buffer(convert: _Conversion, unit: int) -> Callable[[ApiCall], None]:
    """(Buffer, bytes of it, where to tell the bytes written, Source, bytes of it): what does not fit is left out."""

    def behaviour(call: ApiCall) -> None:
        buffer, room, written, source, size = call.arguments[:5]
        text = convert(call.read(source, min(size, MAX_COPY)))[: room // unit * unit]
        if text:
            call.write(buffer, text)
        call.put_optional(written, len(text))

    return behaviour


def _utf8_buffer(convert: _Conversion, unit: int) -> Callable[[ApiCall], None]:
    """As `_convert_buffer`, but a null buffer asks for the size, and missing room and malformed text are told."""

    def behaviour(call: ApiCall) -> None:
        buffer, _room, written, source, size = call.arguments[:5]
        if not source:
            call.eax = STATUS_INVALID_PARAMETER_4
        elif not buffer and not written:
            call.eax = STATUS_INVALID_PARAMETER
        elif unit == 1 and size % 2:
            call.eax = STATUS_INVALID_PARAMETER_5
        else:
            data = call.read(source, min(size, MAX_COPY))
            call.eax = _put_utf8(call, data, convert(data), unit)

    return behaviour


def _put_utf8(call: ApiCall, data: bytes, text: bytes, unit: int) -> int:
    buffer, room, written = call.arguments[:3]
    status = 0 if _is_well_formed(data, "utf-8" if unit == 2 else "utf-16-le") else STATUS_SOME_NOT_MAPPED
    if buffer and len(text) > room:
        text = _whole_characters(text[:room], unit)
        status = STATUS_BUFFER_TOO_SMALL
    if buffer and text:
        call.write(buffer, text)
    call.put_optional(written, len(text))
    return status


def _is_well_formed(data: bytes, codec: str) -> bool:
    try:
        data.decode(codec)
    except UnicodeDecodeError:
        return False
    return True


def _whole_characters(text: bytes, unit: int) -> bytes:
    codec = "utf-8" if unit == 1 else "utf-16-le"
    return text.decode(codec, "ignore").encode(codec)


def _size(convert: _Conversion, terminator: int) -> Callable[[ApiCall], None]:
    """The bytes that a counted string takes when it is converted, its terminator included."""

    def behaviour(call: ApiCall) -> None:
        call.eax = len(convert(call.counted(call.arguments[0]))) + terminator

    return behaviour


def _buffer_size(convert: _Conversion) -> Callable[[ApiCall], None]:
    """(where to tell the size, Source, bytes of it)."""

    def behaviour(call: ApiCall) -> None:
        out, source, size = call.arguments[:3]
        call.put_u32(out, len(convert(call.read(source, min(size, MAX_COPY)))))

    return behaviour


def _next_character(call: ApiCall) -> None:
    """RtlAnsiCharToUnicodeChar moves the caller's pointer behind the character."""
    pointer = call.u32(call.arguments[0])
    call.eax = ANSI.to_units(call.read(pointer, 1))[0]
    call.put_u32(call.arguments[0], pointer + 1)


BEHAVIOURS: Mapping[str, Callable[[ApiCall], None]] = {
    "RtlAnsiStringToUnicodeString": _convert_string(_widen(ANSI), 2),
    "RtlOemStringToUnicodeString": _convert_string(_widen(OEM), 2),
    "RtlOemStringToCountedUnicodeString": _convert_string(_widen(OEM), 2, ends=False),
    "RtlUTF8StringToUnicodeString": _convert_string(_from_utf8, 2),
    "RtlUnicodeStringToAnsiString": _convert_string(_narrow(ANSI), 1),
    "RtlUnicodeStringToOemString": _convert_string(_narrow(OEM), 1),
    "RtlUnicodeStringToCountedOemString": _convert_string(_narrow(OEM), 1, ends=False),
    "RtlUnicodeStringToUTF8String": _convert_string(_to_utf8, 1),
    "RtlUpcaseUnicodeStringToAnsiString": _convert_string(_narrow(ANSI, raises_case=True), 1),
    "RtlUpcaseUnicodeStringToOemString": _convert_string(_narrow(OEM, raises_case=True), 1),
    "RtlUpcaseUnicodeStringToCountedOemString": _convert_string(_narrow(OEM, raises_case=True), 1, ends=False),
    "RtlMultiByteToUnicodeN": _convert_buffer(_widen(ANSI), 2),
    "RtlOemToUnicodeN": _convert_buffer(_widen(OEM), 2),
    "RtlUnicodeToMultiByteN": _convert_buffer(_narrow(ANSI), 1),
    "RtlUnicodeToOemN": _convert_buffer(_narrow(OEM), 1),
    "RtlUpcaseUnicodeToMultiByteN": _convert_buffer(_narrow(ANSI, raises_case=True), 1),
    "RtlUpcaseUnicodeToOemN": _convert_buffer(_narrow(OEM, raises_case=True), 1),
    "RtlUTF8ToUnicodeN": _utf8_buffer(_from_utf8, 2),
    "RtlUnicodeToUTF8N": _utf8_buffer(_to_utf8, 1),
    "RtlAnsiStringToUnicodeSize": _size(_widen(ANSI), 2),
    "RtlxAnsiStringToUnicodeSize": _size(_widen(ANSI), 2),
    "RtlOemStringToUnicodeSize": _size(_widen(OEM), 2),
    "RtlxOemStringToUnicodeSize": _size(_widen(OEM), 2),
    "RtlUnicodeStringToAnsiSize": _size(_narrow(ANSI), 1),
    "RtlxUnicodeStringToAnsiSize": _size(_narrow(ANSI), 1),
    "RtlUnicodeStringToOemSize": _size(_narrow(OEM), 1),
    "RtlxUnicodeStringToOemSize": _size(_narrow(OEM), 1),
    "RtlMultiByteToUnicodeSize": _buffer_size(_widen(ANSI)),
    "RtlUnicodeToMultiByteSize": _buffer_size(_narrow(ANSI)),
    "RtlAnsiCharToUnicodeChar": _next_character,
}
