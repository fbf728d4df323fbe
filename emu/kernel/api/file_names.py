"""Names of files: expressions with wildcards, legal characters, paths taken apart.

Pages of FsRtlIsNameInExpression, FsRtlDissectName, FsRtlIsFatDbcsLegal and FsRtlIsHpfsDbcsLegal in the WDK. The ANSI
code page of this system has no lead bytes, so "Dbcs" characters are bytes.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Mapping, Sequence

from stackemu.emu.kernel.api.characters import units, upcase
from stackemu.emu.kernel.call import ApiCall

STAR, QUESTION, DOS_STAR, DOS_QUESTION, DOS_DOT, DOT = (ord(character) for character in '*?<>".')
_WILD = frozenset((STAR, QUESTION, DOS_STAR, DOS_QUESTION, DOS_DOT))
_BACKSLASH, _SPACE = ord("\\"), ord(" ")
_NOWHERE_LEGAL = frozenset(range(0x20)) | frozenset(b'"*/:<>?\\|')
_FAT_ILLEGAL = _NOWHERE_LEGAL | frozenset(b"+,;=[]")
"""Bytes that no name on FAT has (FsRtlLegalAnsiCharacterArray); HPFS takes the six last."""
_FAT_NAME, _FAT_BASE, _FAT_EXTENSION, _HPFS_NAME = 12, 8, 3, 255
_MAX_LENGTH = 1024
"""Characters of names and expressions that are compared at most: a name on NTFS has 255."""
_EMPTY_STRING = bytes(8)


# -- expressions --


def matches(expression: Sequence[int], name: Sequence[int]) -> bool:
    """Return whether a name is in an expression, as file systems decide it; cases are the caller's business.

    Positions in the expression that the name so far can lead to are followed side by side. `<` takes everything up
    to the last dot and that dot, `>` a character or nothing before a dot and at the end, `"` a dot or the end.
    """
    if not expression or not name:
        return not expression and not name
    if tuple(expression) == (STAR,):
        return True
    if max(len(expression), len(name)) > _MAX_LENGTH:
        return False
    last_dot = max((index for index, unit in enumerate(name) if unit == DOT), default=-1)
    places = {0}
    for index, unit in enumerate(name):
        places = {to for at in places for to in _step(expression, at, unit, is_last_dot=index == last_dot)}
        if not places:
            return False
    end = len(expression)
    return end in places or any(end in _step(expression, at, None, is_last_dot=False) for at in places)


def _step(expression: Sequence[int], at: int, unit: int | None, *, is_last_dot: bool) -> set[int]:
    """Return the positions that one character of the name leads to; None stands for the name's end."""
    reached: set[int] = set()
    if at == len(expression):
        return reached
    for place in range(at, len(expression)):
        wanted = expression[place]
        if wanted in (STAR, DOS_STAR):
            reached.add(place + 1)
            if wanted == STAR or not is_last_dot:
                reached.add(place)
        elif (wanted == DOS_QUESTION and unit in (None, DOT)) or (wanted == DOS_DOT and unit is None):
            continue
        else:
            takes_any = wanted in (QUESTION, DOS_QUESTION)
            takes_dot = wanted == DOS_DOT and unit == DOT
            if unit is not None and (takes_any or takes_dot or wanted == unit):
                reached.add(place + 1)
            return reached
    reached.add(len(expression))
    return reached


def _upcased(call: ApiCall, text: Sequence[int], table: int) -> tuple[int, ...]:
    if table:
        return tuple(call.u16(table + 2 * unit) for unit in text[: _MAX_LENGTH + 1])
    return tuple(upcase(unit) for unit in text)


def _is_in_expression(*, upcases_expression: bool) -> Callable[[ApiCall], None]:
    """(Expression, Name, IgnoreCase, UpcaseTable)."""

    def behaviour(call: ApiCall) -> None:
        first, second, ignores_case, table = call.arguments[:4]
        expression, name = units(call.counted(first)), units(call.counted(second))
        if ignores_case & 0xFF:
            name = _upcased(call, name, table)
            if upcases_expression:
                expression = _upcased(call, expression, table)
        call.eax = int(matches(expression, name))

    return behaviour


def _is_dbcs_in_expression(call: ApiCall) -> None:
    call.eax = int(matches(call.counted(call.arguments[0]), call.counted(call.arguments[1])))


def _contains_wild(call: ApiCall) -> None:
    """Only the last component of a path is looked at."""
    name = units(call.counted(call.arguments[0]))
    start = max((index for index, unit in enumerate(name) if unit == _BACKSLASH), default=-1)
    call.eax = int(any(unit in _WILD for unit in name[start + 1 :]))


def _dbcs_contains_wild(call: ApiCall) -> None:
    call.eax = int(any(byte in _WILD for byte in call.counted(call.arguments[0])))


def _are_equal(call: ApiCall) -> None:
    """(NameA, NameB, IgnoreCase, UpcaseTable)."""
    first, second = (units(call.counted(address)) for address in call.arguments[:2])
    if call.arguments[2] & 0xFF and len(first) == len(second) and first != second:
        table = call.arguments[3]
        call.eax = int(_upcased(call, first, table) == _upcased(call, second, table))
    else:
        call.eax = int(first == second)


# -- legal names --


def _by_value(call: ApiCall) -> bytes:
    """Return a string that is passed by value: its lengths and its buffer are the first two words."""
    lengths, buffer = call.arguments[:2]
    return call.read(buffer, lengths & 0xFFFF) if lengths & 0xFFFF else b""


def _are_legal(name: bytes, illegal: frozenset[int], *, wild: bool) -> bool:
    return all(byte not in illegal or (wild and byte in _WILD) for byte in name)


def is_fat_name(name: bytes, *, wild: bool) -> bool:
    """Return whether a name without a path is legal on FAT: eight characters, and three behind one dot."""
    if not name or len(name) > _FAT_NAME or not _are_legal(name, _FAT_ILLEGAL, wild=wild) or name[-1] == _SPACE:
        return False
    dots = [index for index, byte in enumerate(name) if byte in (DOT, DOS_DOT)]
    if not dots:
        return len(name) <= _FAT_BASE
    dot = dots[0]
    has_base = 0 < dot <= _FAT_BASE and name[dot - 1] != _SPACE
    return len(dots) == 1 and has_base and len(name) - dot - 1 <= _FAT_EXTENSION


def is_hpfs_name(name: bytes, *, wild: bool) -> bool:
    """Return whether a name without a path is legal on HPFS: at most 255 bytes, no dot and no space at its end."""
    if not name or len(name) > _HPFS_NAME or not _are_legal(name, _NOWHERE_LEGAL, wild=wild):
        return False
    return name[-1] not in (_SPACE, DOT)


def _legal(is_component: Callable[..., bool]) -> Callable[[ApiCall], None]:
    """(DbcsName by value, WildCardsPermissible, PathNamePermissible, LeadingBackslashPermissible)."""

    def is_name(name: bytes, *, wild: bool) -> bool:
        return (wild and name in (b".", b"..")) or is_component(name, wild=wild)

    def behaviour(call: ApiCall) -> None:
        name = _by_value(call)
        wild, is_path, may_lead = (bool(word & 0xFF) for word in call.arguments[2:5])
        if name.startswith(b"\\"):
            if not may_lead:
                return
            name = name[1:]
            if not name:
                call.eax = 1
                return
        parts = name.removesuffix(b"\\").split(b"\\") if is_path else [name]
        call.eax = int(all(is_name(part, wild=wild) for part in parts))

    return behaviour


# -- paths --


def _dissect(unit: int) -> Callable[[ApiCall], None]:
    """(Path by value, FirstName, RemainingName): the first component, and what follows its backslash."""
    separator = b"\\".ljust(unit, b"\0")

    def behaviour(call: ApiCall) -> None:
        path = _by_value(call)
        buffer, first_out, rest_out = call.arguments[1:4]
        call.write(first_out, _EMPTY_STRING)
        call.write(rest_out, _EMPTY_STRING)
        if not path:
            return
        start = unit if path.startswith(separator) else 0
        end = next((at for at in range(start, len(path), unit) if path[at : at + unit] == separator), len(path))
        call.write(first_out, struct.pack("<HHI", end - start, end - start, buffer + start))
        if end < len(path):
            size = len(path) - end - unit
            call.write(rest_out, struct.pack("<HHI", size, size, buffer + end + unit))

    return behaviour


def _remove_dots(call: ApiCall) -> None:
    """FsRtlRemoveDotsFromPath(OriginalString, PathLength in bytes, NewLength): `..` takes a component away."""
    address, length, length_out = call.arguments[:3]
    text = call.read(address, length & 0xFFFE).decode("utf-16-le", "surrogatepass") if length & 0xFFFE else ""
    parts: list[str] = []
    for part in text.split("\\"):
        if part == "..":
            if len(parts) <= (parts[:1] == [""]):
                call.complete(_STATUS_IO_REPARSE_DATA_INVALID)
                return
            parts.pop()
        elif part != ".":
            parts.append(part)
    kept = "\\".join(parts).encode("utf-16-le", "surrogatepass")
    if text.startswith("\\") and not kept:
        kept = "\\".encode("utf-16-le")
    if kept:
        call.write(address, kept)
    call.put_u16(length_out, len(kept))


_STATUS_IO_REPARSE_DATA_INVALID = 0xC0000278

BEHAVIOURS: Mapping[str, Callable[[ApiCall], None]] = {
    "FsRtlIsNameInExpression": _is_in_expression(upcases_expression=False),
    "FsRtlIsNameInUnUpcasedExpression": _is_in_expression(upcases_expression=True),
    "FsRtlIsDbcsInExpression": _is_dbcs_in_expression,
    "FsRtlDoesNameContainWildCards": _contains_wild,
    "FsRtlDoesDbcsContainWildCards": _dbcs_contains_wild,
    "FsRtlAreNamesEqual": _are_equal,
    "FsRtlIsFatDbcsLegal": _legal(is_fat_name),
    "FsRtlIsHpfsDbcsLegal": _legal(is_hpfs_name),
    "FsRtlDissectName": _dissect(2),
    "FsRtlDissectDbcs": _dissect(1),
    "FsRtlRemoveDotsFromPath": _remove_dots,
}
