"""qsort and bsearch, which call the driver's compare function (pages of the Microsoft C runtime reference)."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from stackemu.emu.kernel.api.arithmetic import signed
from stackemu.emu.kernel.call import MAX_COPY, ApiCall

MAX_SORTED = 512
"""Elements that are sorted at most: each comparison is a call of the driver."""


def _sort(call: ApiCall) -> None:
    base, count, width, compare = call.stack_words[:4]
    if not width or count < 2:
        return
    count = min(count, MAX_SORTED, MAX_COPY // width)

    def is_before(first: int, second: int) -> bool:
        return signed(call.invoke(compare, base + first * width, base + second * width), 32) < 0

    order = _merged(list(range(count)), is_before)
    data = call.read(base, count * width)
    call.write(base, b"".join(data[index * width : (index + 1) * width] for index in order))


def _merged(items: list[int], is_before: Callable[[int, int], bool]) -> list[int]:
    """Return the items sorted; the array itself stays as it is until all comparisons are done."""
    if len(items) < 2:
        return items
    middle = len(items) // 2
    left, right = _merged(items[:middle], is_before), _merged(items[middle:], is_before)
    merged: list[int] = []
    while left and right:
        merged.append(right.pop(0) if is_before(right[0], left[0]) else left.pop(0))
    return merged + left + right


def _search(call: ApiCall) -> None:
    key, base, count, width, compare = call.stack_words[:5]
    low, high = 0, count
    while low < high:
        middle = (low + high) // 2
        element = (base + middle * width) & 0xFFFFFFFF
        answer = signed(call.invoke(compare, key, element), 32)
        if not answer:
            call.eax = element
            return
        if answer < 0:
            high = middle
        else:
            low = middle + 1


BEHAVIOURS: Mapping[str, Callable[[ApiCall], None]] = {"qsort": _sort, "bsearch": _search}
