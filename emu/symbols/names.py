"""Linker names read back into source names: C decorations of x86 and C++ mangling."""

from __future__ import annotations

import re

from pdbparse.undname import undname as _undname

LONGEST_MANGLED = 1024
"""Longer C++ names are returned as they are: the demangler is native code and recursive."""

_IMPORT_PREFIX = "__imp_"
# GNU ld exports stdcall functions without the leading underscore.
_STDCALL = re.compile(r"_?(?P<name>[^@?]+)@(?P<size>\d{1,5})")
_FASTCALL = re.compile(r"@(?P<name>[^@]+)@(?P<size>\d{1,5})")
_VECTORCALL = re.compile(r"(?P<name>[^@?]+)@@(?P<size>\d{1,5})")

# The demangler (Wine's, in C) prints what it does not know to stdout, which must carry only results,
# so it is given nothing but names of this grammar: an operator code or none, plain and template
# identifiers, template arguments of plain types. Other names stay as they are.
_IDENTIFIER = r"[A-Za-z_][\w$]*@"
_SCOPED = rf"(?:{_IDENTIFIER}|\d)+@"
_TYPE = rf"(?:[PQA][AB]){{0,4}}(?:[CDEFGHIJKMNOX]|_[JKNW]|[TUV]{_SCOPED}|W4{_SCOPED}|\$0[0-9])"
_TEMPLATE = rf"\?\$(?:{_IDENTIFIER})(?:{_TYPE}){{1,16}}@"
_OPERATOR = r"\?(?:[0-9AC-Z]|_[0-9A-GKLUV])"
_QUALIFIED = re.compile(rf"\?(?P<operator>{_OPERATOR})?(?:{_IDENTIFIER}|{_TEMPLATE}|\d){{0,32}}@")
_DATA_SIGNATURE = "3HA"
"""A global int: with the signature cut off, the demangler needs one to end the name with."""
_CONSTRUCTOR_SIGNATURE = "QAE@XZ"
"""Constructors, destructors and operators are only named as functions: `__thiscall f(void)`."""

_MEMBER_CONVENTION = re.compile(r"(?:[YCDKLST]|[ABEFIJMNQRUV][A-D])(?P<code>[AEGIQ])")
"""After the name: global or static member function; or member function and its cv-qualifiers."""
_CONVENTIONS = {"A": "cdecl", "E": "thiscall", "G": "stdcall", "I": "fastcall", "Q": "vectorcall"}


def undecorate(decorated: str) -> str:
    """Return the name as the source has it; a name of an unknown form comes back unchanged.

    `_f@8`, `f@8`, `@f@8` and `_f` give `f`; `__imp__f@8` (the IAT slot of f) gives `__imp_f`, so that the
    slot is never taken for the function; `?f@C@@QAEXXZ` gives `C::f`.
    """
    if decorated.startswith(_IMPORT_PREFIX) and len(decorated) > len(_IMPORT_PREFIX):
        return _IMPORT_PREFIX + _source_name(decorated.removeprefix(_IMPORT_PREFIX))
    return _source_name(decorated)


def convention_of(decorated: str) -> tuple[str, int | None]:
    """Return the calling convention that a decoration tells, and the bytes of arguments where it says so.

    The bytes are those of all arguments, each rounded up to 4: fastcall's include the two that travel
    in registers. `_f` is cdecl with unknown bytes; ('', None) where the name tells nothing.
    """
    if decorated.startswith("?"):
        name = _QUALIFIED.match(decorated[:LONGEST_MANGLED])
        signature = _MEMBER_CONVENTION.match(decorated, name.end()) if name else None
        return (_CONVENTIONS[signature["code"]], None) if signature else ("", None)
    decorated = decorated.removeprefix(_IMPORT_PREFIX)
    for convention, form in (("stdcall", _STDCALL), ("fastcall", _FASTCALL), ("vectorcall", _VECTORCALL)):
        match = form.fullmatch(decorated)
        if match:
            return convention, int(match["size"])
    return ("cdecl", None) if decorated.startswith("_") else ("", None)


def _source_name(decorated: str) -> str:
    """Return the source name of a function's decorated name."""
    if decorated.startswith("?"):
        return _demangle(decorated)
    for form in (_STDCALL, _FASTCALL, _VECTORCALL):
        match = form.fullmatch(decorated)
        if match:
            return match["name"]
    return decorated[1:] if decorated.startswith("_") and len(decorated) > 1 else decorated


def _demangle(mangled: str) -> str:
    """Return the qualified C++ name; `mangled` itself where it is too long or outside the grammar."""
    if len(mangled) > LONGEST_MANGLED:
        return mangled
    match = _QUALIFIED.match(mangled)
    if match is None:
        return mangled
    signature = _CONSTRUCTOR_SIGNATURE if match["operator"] else _DATA_SIGNATURE
    name = str(_undname(match[0] + signature))
    return mangled if name == match[0] + signature else name
