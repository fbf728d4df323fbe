"""Which functions a command works on: WinDbg's globs over a driver's functions."""

from __future__ import annotations

import difflib
import re
from collections.abc import Sequence
from pathlib import PurePath

from stackemu.emu.errors import UsageError
from stackemu.emu.symbols.function import Function, Kind

NEAR_MISSES = 3
"""How many names an error about a pattern offers."""


def select_functions(
    functions: Sequence[Function], file_name: str, patterns: Sequence[str], *, import_thunks: bool = False
) -> tuple[Function, ...]:
    """Return the functions that any of `patterns` names, each once, in the order of `functions`.

    A pattern is `name` or `module!name`, compared without regard to case; `*` stands for any characters, `?`
    for one, everything else for itself. The module is the stem of `file_name`, with or without its suffix.
    A decorated name is accepted when it is written in full. Without patterns every function is meant.

    Import thunks are left out, unless `import_thunks` is set or a pattern names one without a wildcard.

    Raises:
        UsageError: a pattern matches nothing; the message names near misses.
    """
    if not patterns:
        return tuple(f for f in functions if import_thunks or f.kind is not Kind.IMPORT_THUNK)
    chosen: set[int] = set()
    for pattern in patterns:
        matches = _Pattern(pattern, file_name).matches(functions, import_thunks)
        if not matches:
            raise UsageError(_no_match(pattern, functions, file_name))
        chosen.update(matches)
    return tuple(function for index, function in enumerate(functions) if index in chosen)


class _Pattern:
    """One `--func` pattern, compiled against one module."""

    def __init__(self, pattern: str, file_name: str) -> None:
        self.name = _without_module(pattern, file_name)
        self.literal = not _has_wildcard(self.name)
        self._name = _glob(self.name)
        # 'operator!=' holds a '!' of its own, so the text before it need not be a module.
        self._whole = _glob(pattern)
        self._module_is_ours = self.name != pattern or "!" not in pattern

    def matches(self, functions: Sequence[Function], import_thunks: bool) -> list[int]:
        """Return the indices of the functions that the pattern selects."""
        return [
            index
            for index, function in enumerate(functions)
            if (import_thunks or self.literal or function.kind is not Kind.IMPORT_THUNK) and self._names(function)
        ]

    def _names(self, function: Function) -> bool:
        if self._whole.fullmatch(function.name):
            return True
        if not self._module_is_ours:
            return False
        decorated = function.decorated
        return self._name.fullmatch(function.name) is not None or (
            decorated is not None and decorated.casefold() == self.name.casefold()
        )


def _without_module(pattern: str, file_name: str) -> str:
    """Return the name part of `pattern` when its module part means this file, else the whole pattern."""
    module, separator, name = pattern.partition("!")
    stem = PurePath(file_name).stem
    if separator and any(_glob(module).fullmatch(form) for form in (stem, f"{stem}.sys", file_name)):
        return name
    return pattern


def _has_wildcard(pattern: str) -> bool:
    return "*" in pattern or "?" in pattern


def _glob(pattern: str) -> re.Pattern[str]:
    """Return `pattern` as a regular expression for `fullmatch`."""
    # A run of stars means one star, and would cost the regular expression time that grows with its length.
    pieces = re.split(r"(\*+|\?)", pattern)
    translated = (".*" if piece.startswith("*") else "." if piece == "?" else re.escape(piece) for piece in pieces)
    return re.compile("".join(translated), re.IGNORECASE | re.DOTALL)


def _no_match(pattern: str, functions: Sequence[Function], file_name: str) -> str:
    """Return the message for a pattern that selects nothing: why, and what was probably meant."""
    name = _without_module(pattern, file_name)
    message = f"no function matches --func {pattern!r}"
    thunks = [functions[index].name for index in _Pattern(pattern, file_name).matches(functions, True)]
    if thunks:
        return (
            f"--func {pattern!r} matches only import thunks ({_listed(thunks)}), "
            "which are left out unless named in full"
        )
    module, separator, rest = pattern.partition("!")
    if separator and name == pattern and module:
        message += f": the module is {PurePath(file_name).stem}"
        name = rest
    near = near_misses(name, [function.name for function in functions])
    if near:
        return f"{message}; near misses: {', '.join(near)}"
    return f"{message}; 'stackemu symbols {file_name}' lists the functions"


def near_misses(pattern: str, names: Sequence[str]) -> list[str]:
    """Return up to three of `names` that resemble `pattern`, those that contain it first."""
    wanted = pattern.replace("*", "").replace("?", "").casefold()
    if not wanted:
        return []
    by_text: dict[str, str] = {}
    for name in names:
        by_text.setdefault(name.casefold(), name)
        if pattern.endswith("*"):
            # 'PtNormalz*' resembles the beginning of a long name, not the whole of it.
            by_text.setdefault(name.casefold()[: len(wanted)], name)
    containing = sorted((name for name in set(names) if wanted in name.casefold()), key=len)
    alike = [by_text[text] for text in difflib.get_close_matches(wanted, by_text, n=NEAR_MISSES * 2)]
    return list(dict.fromkeys(containing[:NEAR_MISSES] + alike))[:NEAR_MISSES]


def _listed(names: Sequence[str]) -> str:
    """Return the first few of `names` as text."""
    more = ", ..." if len(names) > NEAR_MISSES else ""
    return ", ".join(names[:NEAR_MISSES]) + more
