"""Which of a driver's functions a claim speaks of."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from stackemu.emu.symbols.function import Function, Kind
from stackemu.emu.symbols.names import undecorate
from stackemu.harness.verify.claim import Claim


@dataclass(frozen=True, slots=True)
class Match:
    """A claim and the functions that it may speak of: none, with the reason, or one, or several of a name."""

    claim: Claim
    functions: tuple[Function, ...] = ()
    why: str | None = None


def match_claims(claims: Iterable[Claim], functions: Sequence[Function], module: str) -> list[Match]:
    """Return each claim with its functions of the driver `module`, in the order of `claims`.

    Names are compared with and without decoration. Where several functions have a name, the claim's address
    decides, if those of other claims tell where the driver was loaded.
    """
    index = _Index(functions)
    matches = [_match(claim, index, module) for claim in claims]
    base = _load_base(matches)
    return [_decided(match, base) for match in matches]


def misplaced(matches: Sequence[Match]) -> tuple[int, int]:
    """Return how many claims' addresses do not fit the image, wherever it was loaded; and how many there are."""
    base = _load_base(matches)
    bases = [one for one in map(_base_of, matches) if one is not None]
    return sum(one != base for one in bases), len(bases)


class _Index:
    """A driver's functions by every form of their names."""

    def __init__(self, functions: Sequence[Function]) -> None:
        self._by_name: defaultdict[str, list[Function]] = defaultdict(list)
        for function in functions:
            if function.kind is Kind.IMPORT_THUNK:
                continue
            decorated = function.decorated or function.name
            names = {function.name, decorated, undecorate(decorated)}
            for name in names:
                self._by_name[name].append(function)

    def find(self, name: str) -> tuple[Function, ...]:
        """Return the functions called `name`: as it stands, undecorated, or without a C++ signature."""
        for form in (name, undecorate(name), without_signature(name)):
            if form in self._by_name:
                return tuple(self._by_name[form])
        return ()


def without_signature(name: str) -> str:
    """Return the qualified name of `int C::f(int)`, which is `C::f`; other names as they are."""
    if "operator" in name:
        return name
    head = name.partition("(")[0].rstrip()
    depth = 0
    for position in range(len(head) - 1, -1, -1):
        character = head[position]
        depth += (character == ">") - (character == "<")
        if character.isspace() and depth == 0:
            return head[position + 1 :].lstrip("*&")
    return head or name


def _match(claim: Claim, index: _Index, module: str) -> Match:
    if claim.module is not None and claim.module.casefold() != module.casefold():
        return Match(claim, why=f"it is of the module {claim.module}")
    if claim.name is None:
        return Match(claim, why="the source names it by its place alone, and line numbers are not read from symbols")
    functions = index.find(claim.name)
    return Match(claim, functions, None if functions else "no function of this name")


def _base_of(match: Match) -> int | None:
    """Return where the driver was loaded, as far as one claim tells."""
    if match.claim.address is None or len(match.functions) != 1:
        return None
    return match.claim.address - match.functions[0].rva


def _load_base(matches: Iterable[Match]) -> int | None:
    bases = Counter(base for base in map(_base_of, matches) if base is not None)
    return bases.most_common(1)[0][0] if bases else None


def _decided(match: Match, base: int | None) -> Match:
    """Return a match with the one of several functions that stands at the claim's address."""
    address = match.claim.address
    if len(match.functions) < 2 or address is None or base is None:
        return match
    there = tuple(function for function in match.functions if base + function.rva == address)
    return Match(match.claim, there or match.functions)
