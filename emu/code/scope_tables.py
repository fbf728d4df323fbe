"""Scope tables of structured exceptions on x86: at which blocks a function goes on after an exception.

A function with `__try` leaves the address of its scope table (xor the security cookie for `_except_handler4`) in an
exception registration on its stack, where the handler finds it. Records are { enclosing level, filter, handler }; a
filter of 0 marks a `__finally` block, which is called; an `__except` block is jumped to with the function's own
frame. The C runtime describes both tables in its sources (SCOPETABLE_ENTRY; EH4_SCOPETABLE, with four words of
cookie offsets before the records).
"""

from __future__ import annotations

from collections.abc import Collection, Iterator

from stackemu.emu.image import Image

MAX_RECORDS = 256
"""Records of one table: a bound for hostile images."""
HANDLER, SAVED_ESP = -0xC, -0x18
"""Where a frame holds its exception handler and the ESP that an `__except` block goes on with, from the EBP that the
block is given."""
_OUTERMOST = {0xFFFFFFFF: 0, 0xFFFFFFFE: 16}
"""The enclosing level of a first record, and where records begin: _except_handler3, _except_handler4."""
_RECORD = 12


def except_blocks(image: Image, relocated: Collection[int], table: int) -> Iterator[int]:
    """Yield the addresses of the `__except` blocks of the scope table at `table`, none when it is no such table.

    `relocated` are the RVAs of all words that the loader relocates.
    """
    rva = table - image.base
    first = next((at for outermost, at in _OUTERMOST.items() if image.read_u32(rva + at) == outermost), None)
    if first is None or rva % 4:
        return
    for index in range(MAX_RECORDS):
        record = rva + first + _RECORD * index
        level, filter_at, handler_at = record, record + 4, record + 8
        enclosing = image.read_u32(level)
        is_known = enclosing is not None and (enclosing in _OUTERMOST or enclosing < index)
        if not is_known or level in relocated or handler_at not in relocated:
            return
        handler = image.read_u32(handler_at) or 0
        if not image.is_code(handler - image.base):
            return
        if filter_at in relocated:
            yield handler
        elif image.read_u32(filter_at):
            return
