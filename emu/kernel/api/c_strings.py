"""The C runtime's functions on terminated strings, narrow (str…) and wide (wcs…), the secure ones too.

Rules of their pages in the Microsoft C runtime reference. Letters are those of the C locale: A to Z.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeAlias

from stackemu.emu.kernel.api.characters import from_units, units
from stackemu.emu.kernel.api.memory import EINVAL, ERANGE
from stackemu.emu.kernel.call import MAX_STRING, ApiCall

STRUNCATE = 80
TRUNCATE = 0xFFFFFFFF
_NO_LIMIT = MAX_STRING
_Text: TypeAlias = Sequence[int]


def lower(character: int) -> int:
    """Return a letter in lower case."""
    return character + 32 if 65 <= character <= 90 else character


def upper(character: int) -> int:
    """Return a letter in upper case."""
    return character - 32 if 97 <= character <= 122 else character


@dataclass(frozen=True, slots=True)
class _Call:
    """A call of one of the functions, with what is the same for narrow and wide text."""

    call: ApiCall
    unit: int

    def word(self, index: int) -> int:
        """Return an argument."""
        return self.call.stack_words[index]

    def character(self, index: int) -> int:
        """Return an argument that is a character."""
        return self.call.stack_words[index] & (0xFF if self.unit == 1 else 0xFFFF)

    def text(self, index: int, limit: int = _NO_LIMIT) -> _Text:
        """Return the characters of the string that an argument points to, of `limit` at most."""
        data = self.call.terminated(self.word(index), self.unit, limit * self.unit)
        return data if self.unit == 1 else units(data)

    def put(self, address: int, text: Iterable[int], *, ends: bool = True) -> None:
        """Write characters, and a terminator."""
        characters = [*text, 0] if ends else list(text)
        if characters:
            self.call.write(address, bytes(characters) if self.unit == 1 else from_units(characters))

    def answer(self, value: int) -> None:
        """Return a number."""
        self.call.eax = value

    def point(self, start: int, index: int | None) -> None:
        """Return the address of a character, null for none."""
        self.call.eax = start + index * self.unit if index is not None else 0


_Behaviour: TypeAlias = Callable[[_Call], None]


# -- length, comparison, search --


def _length(c: _Call) -> None:
    c.answer(len(c.text(0)))


def _bounded_length(c: _Call) -> None:
    c.answer(len(c.text(0, c.word(1))))


def _compare(*, is_bounded: bool = False, ignores_case: bool = False) -> _Behaviour:
    def behaviour(c: _Call) -> None:
        limit = c.word(2) if is_bounded else _NO_LIMIT
        left, right = c.text(0, limit), c.text(1, limit)
        if ignores_case:
            left, right = [*map(lower, left)], [*map(lower, right)]
        left, right = tuple(left), tuple(right)
        c.answer((left > right) - (left < right))

    return behaviour


def _find_character(*, is_last: bool) -> _Behaviour:
    """The terminator can be looked for as well."""

    def behaviour(c: _Call) -> None:
        text, character = [*c.text(0), 0], c.character(1)
        places = [index for index, one in enumerate(text) if one == character]
        c.point(c.word(0), places[-1 if is_last else 0] if places else None)

    return behaviour


def _find_text(c: _Call) -> None:
    text, part = tuple(c.text(0)), tuple(c.text(1))
    starts = range(len(text) - len(part) + 1)
    c.point(c.word(0), next((index for index in starts if text[index : index + len(part)] == part), None))


def _span(*, stops_in_set: bool) -> _Behaviour:
    def behaviour(c: _Call) -> None:
        text, characters = c.text(0), set(c.text(1))
        c.answer(next((i for i, one in enumerate(text) if (one in characters) == stops_in_set), len(text)))

    return behaviour


def _find_any(c: _Call) -> None:
    characters = set(c.text(1))
    c.point(c.word(0), next((i for i, one in enumerate(c.text(0)) if one in characters), None))


# -- copying and joining --


def _copy(c: _Call) -> None:
    c.put(c.word(0), c.text(1))
    c.answer(c.word(0))


def _copy_bounded(c: _Call) -> None:
    """strncpy fills what is left of the count with zeros; without room it does not terminate."""
    count = min(c.word(2), MAX_STRING)
    text = c.text(1, count)
    c.put(c.word(0), [*text, *[0] * (count - len(text))], ends=False)
    c.answer(c.word(0))


def _append(*, is_bounded: bool = False) -> _Behaviour:
    def behaviour(c: _Call) -> None:
        added = c.text(1, c.word(2) if is_bounded else _NO_LIMIT)
        c.put(c.word(0) + c.unit * len(c.text(0)), added)
        c.answer(c.word(0))

    return behaviour


def _secure(*, appends: bool = False, is_bounded: bool = False) -> _Behaviour:
    """(destination, its size in characters, source[, count]): what does not fit empties the destination."""

    def behaviour(c: _Call) -> None:
        destination, size, source = c.word(0), c.word(1), c.word(2)
        if not destination or not size:
            c.answer(EINVAL)
            return
        present = c.text(0, size) if appends else ()
        room = size - len(present)
        cuts = is_bounded and c.word(3) == TRUNCATE
        limit = min(c.word(3), size) if is_bounded else size
        if not source or not room:
            c.put(destination, ())
            c.answer(EINVAL)
            return
        text = c.text(2, limit)
        if len(text) < room:
            c.put(destination + c.unit * len(present), text)
        elif cuts:
            c.put(destination + c.unit * len(present), text[: room - 1])
            c.answer(STRUNCATE)
        else:
            c.put(destination, ())
            c.answer(ERANGE)

    return behaviour


# -- changes in place --


def _rewrite(change: Callable[[_Call, _Text], Iterable[int]]) -> _Behaviour:
    def behaviour(c: _Call) -> None:
        c.put(c.word(0), change(c, c.text(0)), ends=False)
        c.answer(c.word(0))

    return behaviour


def _rewrite_secure(change: Callable[[_Call, _Text], Iterable[int]]) -> _Behaviour:
    """(string, its size in characters, …)."""

    def behaviour(c: _Call) -> None:
        text = c.text(0, c.word(1)) if c.word(0) else ()
        if not c.word(0) or len(text) >= c.word(1):
            c.answer(EINVAL)
            return
        c.put(c.word(0), change(c, text), ends=False)

    return behaviour


def _set_first(c: _Call, text: _Text) -> Iterable[int]:
    return [c.character(1)] * min(c.word(2), len(text))


# -- tokens --


def _tokenize(c: _Call) -> None:
    """strtok_s(string, delimiters, where to go on): a null string goes on behind the last token."""
    start = c.word(0) or c.call.u32(c.word(2))
    if not start:
        return
    delimiters = set(c.text(1))
    data = c.call.terminated(start, c.unit)
    text = data if c.unit == 1 else units(data)
    first = next((i for i, one in enumerate(text) if one not in delimiters), len(text))
    end = next((i for i in range(first, len(text)) if text[i] in delimiters), len(text))
    if end < len(text):
        c.put(start + c.unit * end, ())
    c.call.put_u32(c.word(2), start + c.unit * min(end + 1, len(text)))
    c.point(start, first if first < len(text) else None)


_FUNCTIONS: Mapping[str, _Behaviour] = {
    "strlen": _length,
    "strnlen": _bounded_length,
    "strcmp": _compare(),
    "strncmp": _compare(is_bounded=True),
    "_stricmp": _compare(ignores_case=True),
    "_strnicmp": _compare(is_bounded=True, ignores_case=True),
    "strchr": _find_character(is_last=False),
    "strrchr": _find_character(is_last=True),
    "strstr": _find_text,
    "strspn": _span(stops_in_set=False),
    "strcspn": _span(stops_in_set=True),
    "strpbrk": _find_any,
    "strcpy": _copy,
    "strncpy": _copy_bounded,
    "strcat": _append(),
    "strncat": _append(is_bounded=True),
    "strcpy_s": _secure(),
    "strncpy_s": _secure(is_bounded=True),
    "strcat_s": _secure(appends=True),
    "strncat_s": _secure(appends=True, is_bounded=True),
    "_strlwr": _rewrite(lambda _c, text: map(lower, text)),
    "strlwr": _rewrite(lambda _c, text: map(lower, text)),
    "_strupr": _rewrite(lambda _c, text: map(upper, text)),
    "_strrev": _rewrite(lambda _c, text: reversed(text)),
    "_strset": _rewrite(lambda c, text: [c.character(1)] * len(text)),
    "_strnset": _rewrite(_set_first),
    "_strset_s": _rewrite_secure(lambda c, text: [c.character(2)] * len(text)),
    "strtok_s": _tokenize,
}
"""The narrow functions; the wide ones have `wcs` for `str`."""


def _of(behaviour: _Behaviour, unit: int) -> Callable[[ApiCall], None]:
    return lambda call: behaviour(_Call(call, unit))


def _behaviours() -> Iterator[tuple[str, Callable[[ApiCall], None]]]:
    for name, behaviour in _FUNCTIONS.items():
        yield name, _of(behaviour, 1)
        yield name.replace("str", "wcs", 1), _of(behaviour, 2)


BEHAVIOURS: Mapping[str, Callable[[ApiCall], None]] = dict(_behaviours())
