"""`__except` blocks, which no instruction of their function leads to, given the path that the system takes.

`__except_handler3` enters the block with EBP 16 bytes above the registration that the function linked into fs:[0]
(its last word is the try level; MSVC's frames have EBP right behind it), and everything else as it happens to be.
Text in which a branch does the same goes through the block with the values that its first instructions read.
"""

from __future__ import annotations

import re

_FUNCTION = re.compile(r"^(\S+):[^\n]*-- Begin function.*?-- End function", re.MULTILINE | re.DOTALL)
_TABLE = re.compile(r"^L__ehtable\$[^\n]*\n((?:\s+\.long[^\n]*\n)+)", re.MULTILINE)
_LINKED = re.compile(r"^(\s+mov\s+dword ptr fs:\[0\], (\w+))$", re.MULTILINE)
_QUOTED = re.compile(r'"(\?[\w@?$]+)"')
"""What a filter is called: `"?filt$0@0@Name@@"`."""
_ABOVE_REGISTRATION = 16


def with_handlers_entered(text: str) -> str:
    """Return a compiler's text in which each handler of an EH table is branched to once its frame is linked."""
    text = _QUOTED.sub(r"\1", text)  # assembly_text takes a typed symbol as it stands
    return _FUNCTION.sub(lambda match: _entered(match.group()), text)


def _entered(function: str) -> str:
    table, linked = _TABLE.search(function), _LINKED.search(function)
    if table is None or linked is None:
        return function
    words = re.findall(r"\.long\s+(\S+)", table.group(1))
    handlers = [word for word in words[2::3] if re.search(rf"^{re.escape(word)}:", function, re.MULTILINE)]
    branches = "".join(f"\n\tje\tLenter_{handler}" for handler in handlers)
    function = function.replace(linked.group(1), linked.group(1) + branches, 1)
    for handler in handlers:
        entry = f"Lenter_{handler}:\n\tlea\tebp, [{linked.group(2)} + {_ABOVE_REGISTRATION}]\n{handler}:"
        function = re.sub(rf"^{re.escape(handler)}:", lambda _, entry=entry: entry, function, flags=re.MULTILINE)
    return function
