"""Programs to time: small images built in memory, and a real driver function made to run in a loop.

The programs are assembled by hand, one instruction a line (Intel SDM volume 2), and repeat themselves inside
the emulator; the depth of each is derived by hand from its listing.
"""

from __future__ import annotations

import importlib.util
import struct
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from stackemu.emu.image import DEFAULT_BASE, Image, Section
from stackemu.emu.kernel.exports import find_api
from stackemu.harness.session import Driver, open_driver

PASSTHROUGH = Path(__file__).resolve().parents[2] / "drivers" / "passthrough.sys"
_CODE = 0x1000


@dataclass(frozen=True, slots=True)
class Workload:
    """A program: its image, its functions as (start, end) addresses, its entry's RVA, and the depth expected."""

    name: str
    image: Image
    functions: Sequence[tuple[int, int]]
    entry: int
    depth: int


# E = ESP at entry. 2 words of arguments 8, return address 12; framed: EBP 16, locals 24, argument 28, return
# address 32; leaf: EBX 36.
_CALL_HEAVY = """
main:
    b9 {count}          mov ecx, count
    6a 01               push 1
    6a 02               push 2
    e8 04 00 00 00      call framed
    49                  dec ecx
    75 f4               jnz push 1
    c3                  ret
framed:
    55                  push ebp
    89 e5               mov ebp, esp
    83 ec 08            sub esp, 8
    8b 45 08            mov eax, [ebp+8]
    03 45 0c            add eax, [ebp+12]
    89 45 fc            mov [ebp-4], eax
    50                  push eax
    e8 09 00 00 00      call leaf
    89 45 f8            mov [ebp-8], eax
    89 ec               mov esp, ebp
    5d                  pop ebp
    c2 08 00            ret 8
leaf:
    53                  push ebx
    8b 5c 24 08         mov ebx, [esp+8]
    8d 04 5b            lea eax, [ebx+ebx*2]
    5b                  pop ebx
    c2 04 00            ret 4
"""

# 2 saved registers 8, buffer 520.
_STRING_HEAVY = """
main:
    56                  push esi
    57                  push edi
    81 ec 00 02 00 00   sub esp, 512
    ba {count}          mov edx, count
    fc                  cld
    89 e7               mov edi, esp
    b9 40 00 00 00      mov ecx, 64
    89 d0               mov eax, edx
    f3 ab               rep stosd
    89 e6               mov esi, esp
    8d bc 24 00 01 00 00  lea edi, [esp+256]
    b9 40 00 00 00      mov ecx, 64
    f3 a5               rep movsd
    89 e6               mov esi, esp
    b9 00 01 00 00      mov ecx, 256
    8a 06               mov al, [esi]
    46                  inc esi
    3a 86 ff 00 00 00   cmp al, [esi+255]
    88 46 ff            mov [esi-1], al
    49                  dec ecx
    75 f1               jnz mov al, [esi]
    4a                  dec edx
    75 cc               jnz mov edi, esp
    81 c4 00 02 00 00   add esp, 512
    5f                  pop edi
    5e                  pop esi
    c3                  ret
"""

# EBX 4, argument 8, return address 12; each of 400 levels: EBP and locals 16, and all but the last of them
# argument and return address 8: 12 + 399 * 24 + 16.
_DEEP_RECURSION = """
main:
    53                  push ebx
    bb {count}          mov ebx, count
    68 90 01 00 00      push 400
    e8 05 00 00 00      call recurse
    4b                  dec ebx
    75 f3               jnz push 400
    5b                  pop ebx
    c3                  ret
recurse:
    55                  push ebp
    89 e5               mov ebp, esp
    83 ec 0c            sub esp, 12
    8b 45 08            mov eax, [ebp+8]
    48                  dec eax
    89 45 fc            mov [ebp-4], eax
    74 06               jz mov eax, [ebp-4]
    50                  push eax
    e8 eb ff ff ff      call recurse
    8b 45 fc            mov eax, [ebp-4]
    c9                  leave
    c2 04 00            ret 4
"""

_TIGHT_LOOP = """
main:
    b9 {count}          mov ecx, count
    49                  dec ecx
    75 fd               jnz dec ecx
    c3                  ret
"""

# EBX 4, 4 arguments 20, return address 24.
_CALL_DRIVER = """
main:
    53                  push ebx
    bb {count}          mov ebx, count
    6a 00               push 0
    6a 00               push 0
    68 {data}           push data
    68 {data}           push data
    e8 {distance}       call PtPostOperationPassThrough
    4b                  dec ebx
    75 ea               jnz push 0
    5b                  pop ebx
    c3                  ret
"""

# EBX 4, return address 8. The function: EBP, ECX, EBX, ESI, EDI 28; two words for an import 36, return address 40.
_CALL_WINDIVERT = """
main:
    53                  push ebx
    bb {count}          mov ebx, count
    b8 {data}           mov eax, data
    e8 {distance}       call the function
    4b                  dec ebx
    75 f3               jnz mov eax, data
    5b                  pop ebx
    c3                  ret
"""
_WINDIVERT_FUNCTION = 0x11AA
"""RVA in WinDivert32.sys 1.3: removes the filters and sublayers of one handle; EAX points to it."""


_POPS_BESIDES = {"FwpsCalloutUnregisterByKey0": 4}
"""What the export table does not know and a workload calls: here the pointer to a GUID (fwpsk.h)."""


def workloads() -> list[Workload]:
    """Return all workloads; each runs for some tenths of a second."""
    return [
        _program("call-heavy", _CALL_HEAVY, 1_000_000, 36),
        *_drivers(),
        _program("string-heavy", _STRING_HEAVY, 20_000, 520),
        _program("deep-recursion", _DEEP_RECURSION, 5_000, 12 + 399 * 24 + 16),
        _program("tight-loop", _TIGHT_LOOP, 80_000_000, 0),
    ]


def _program(name: str, listing: str, count: int, depth: int) -> Workload:
    code, starts = _assemble(listing, count=count)
    image = Image(
        path=Path(f"{name}.sys"),
        sha256="",
        machine="x86",
        base=DEFAULT_BASE,
        size=_CODE + len(code),
        entry=None,
        headers=b"",
        sections=(Section(".text", _CODE, code, writable=False, executable=True, discardable=False),),
        imports=(),
        exports=(),
        debug_id=None,
        relocations=(),
        guard_functions=(),
        security_cookie=None,
    )
    return Workload(name, image, _ranges(starts, DEFAULT_BASE + _CODE, len(code)), _CODE, depth)


def _drivers() -> Iterator[Workload]:
    """Yield compiled code in a loop: passthrough.sys's deepest chain of calls, and a function of MSVC's."""
    driver = open_driver(PASSTHROUGH)
    function = next(one for one in driver.functions if one.name == "PtPostOperationPassThrough")
    # 460: the README's table, measured with emulated kernel functions.
    yield _driver("driver", driver, _CALL_DRIVER, function.rva, 50_000, 24 + 460)
    windivert = importlib.util.find_spec("pydivert")
    if windivert is not None and windivert.origin is not None:
        path = Path(windivert.origin).parent / "windivert_dll" / "WinDivert32.sys"
        yield _driver("driver-windivert", open_driver(path), _CALL_WINDIVERT, _WINDIVERT_FUNCTION, 100_000, 40)


def _driver(name: str, driver: Driver, listing: str, function: int, count: int, depth: int) -> Workload:
    """Return a loop over the driver's function at the RVA `function`.

    What it imports becomes native code that succeeds and pops, so that only emulated time is measured.
    """
    image = driver.image
    added = -(-image.size // 0x1000) * 0x1000
    stubs, slots, stub_starts = bytearray(), {}, []
    for entry in image.imports:
        api = find_api(entry.library, entry.name)
        pops = (api.pops if api is not None else None) or _POPS_BESIDES.get(entry.label, 0)
        slots[entry.slot] = image.base + added + len(stubs)
        stub_starts.append(len(stubs))
        stubs += bytes.fromhex("31 c0 c2") + struct.pack("<H", pops)  # xor eax, eax; ret pops
    entry_rva = added + len(stubs)
    data_rva = added + 0x1000
    code, _ = _assemble(listing, count=count, data=image.base + data_rva, distance=0)
    end = code.index(b"\xe8\0\0\0\0") + 5
    code, _ = _assemble(listing, count=count, data=image.base + data_rva, distance=function - (entry_rva + end))
    # For passthrough: FLT_CALLBACK_DATA has Iopb at 8, FLT_RELATED_OBJECTS FileObject at 16; a successful create.
    data = struct.pack("<5I", 0, 0, image.base + data_rva + 0x100, 0, image.base + data_rva + 0x200) + bytes(0x400)
    sections = [replace(section, data=_patched(section, slots)) for section in image.sections]
    sections.append(Section("code", added, bytes(stubs) + code, writable=False, executable=True, discardable=False))
    sections.append(Section("data", data_rva, data, writable=True, executable=False, discardable=False))
    start = image.base + added
    functions = [*driver.function_ranges(), *_ranges([*stub_starts, len(stubs)], start, len(stubs) + len(code))]
    extended = replace(image, size=data_rva + len(data), sections=tuple(sections), imports=())
    return Workload(name, extended, functions, entry_rva, depth)


def _patched(section: Section, words: dict[int, int]) -> bytes:
    data = bytearray(section.data)
    for rva, word in words.items():
        if section.rva <= rva < section.end:
            struct.pack_into("<I", data, rva - section.rva, word)
    return bytes(data)


def _assemble(listing: str, **words: int) -> tuple[bytes, list[int]]:
    """Return a listing's bytes and where its functions start; `words` stand in its `{}` as 4 bytes each."""
    fields = {name: struct.pack("<I", word & 0xFFFFFFFF).hex(" ") for name, word in words.items()}
    code, starts = bytearray(), []
    for line in listing.format_map(fields).splitlines():
        if line.endswith(":"):
            starts.append(len(code))
        code += bytes.fromhex(line.strip().split("  ")[0] if line.startswith(" ") else "")
    return bytes(code), starts


def _ranges(starts: Sequence[int], base: int, size: int) -> list[tuple[int, int]]:
    return [(base + start, base + end) for start, end in zip(starts, [*starts[1:], size], strict=True)]
