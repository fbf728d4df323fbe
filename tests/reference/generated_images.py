"""Generated programs as driver files: text around the functions, assembled by clang and linked by lld-link."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

from generated_scope import Program

_CLANG = ("--target=i686-pc-windows-msvc", "-x", "assembler", "-c")
_LINK = (
    "/driver",
    "/subsystem:native",
    "/entry:DriverEntry@8",
    "/machine:x86",
    "/base:0x10000",
    "/nodefaultlib",
    "/safeseh:no",
    "/debug:symtab",
    "/Brepro",
)

_BEFORE = """
    .intel_syntax noprefix
    .macro FUNCTION name
    .def \\name
    .scl 2
    .type 32
    .endef
    .globl \\name
    .p2align 4, 0xcc
\\name:
    .endm
    .text
    FUNCTION _DriverEntry@8
    xor eax, eax
    ret 8
"""

# The contracts are those of the compiler's run-time library, and so are the first helper's instructions.
_HELPERS = """
    FUNCTION __chkstk
    push ecx
    lea ecx, [esp + 4]
    sub ecx, eax
    sbb eax, eax
    not eax
    and ecx, eax
    mov eax, esp
    and eax, 0xfffff000
Lprobe_page:
    cmp ecx, eax
    jb Lprobe_next
    mov eax, ecx
    pop ecx
    xchg esp, eax
    mov eax, [eax]
    mov [esp], eax
    ret
Lprobe_next:
    sub eax, 4096
    test [eax], eax
    jmp Lprobe_page

    FUNCTION __SEH_prolog4
    .att_syntax
    pushl $_handler
    .intel_syntax noprefix
    push dword ptr fs:[0]
    mov eax, [esp + 16]
    mov [esp + 16], ebp
    lea ebp, [esp + 16]
    sub esp, eax
    push ebx
    push esi
    push edi
    mov eax, [_cookie]
    xor [ebp - 4], eax
    xor eax, ebp
    push eax
    mov [ebp - 24], esp
    push dword ptr [ebp - 8]
    mov eax, [ebp - 4]
    mov dword ptr [ebp - 4], -2
    mov [ebp - 8], eax
    lea eax, [ebp - 16]
    mov fs:[0], eax
    ret

    FUNCTION __SEH_epilog4
    mov ecx, [ebp - 16]
    mov fs:[0], ecx
    pop ecx
    pop edi
    pop edi
    pop esi
    pop ebx
    mov esp, ebp
    pop ebp
    push ecx
    ret

    FUNCTION _handler
    mov eax, 1
    ret
"""


class ToolchainError(Exception):
    """A tool is missing, or does not take what it is given."""


def has_toolchain() -> bool:
    """Return whether programs can be built here."""
    return all(_find(tool) for tool in ("clang", "lld-link"))


def build(program: Program, directory: Path) -> Path:
    """Write a program's driver file into a directory, and its text beside it; returns its path."""
    source, compiled, driver = (directory / f"generated{suffix}" for suffix in (".s", ".obj", ".sys"))
    source.write_text(assembly(program))
    _run("clang", *_CLANG, str(source), "-o", str(compiled))
    _run("lld-link", *_LINK, f"/out:{driver}", str(compiled))
    return driver


def assembly(program: Program) -> str:
    """Return a program's text. The words that conditions are on are the first of the section .data."""
    functions = "\n\n".join(function.text for function in program.functions)
    words = "\n".join(f"    .long {value}" for value in program.globals)
    pointers = "\n".join(f"p_{one.name}:\n    .long {one.symbol}" for one in program.functions)
    data = f"\n    .data\n_variables:\n{words}\n_cookie:\n    .long 0xbb40e64e\n{pointers}\n"
    tables = '\n    .section .rdata,"dr"\n_scope_table:\n    .long -2, 0, -52, 0\n'
    return f"{_BEFORE}\n{functions}\n{_HELPERS}{tables}{data}"


def _run(tool: str, *arguments: str) -> None:
    path = _find(tool)
    if path is None:
        raise ToolchainError(f"{tool} not found: install clang and lld")
    done = subprocess.run([path, *arguments], capture_output=True, text=True, check=False)
    if done.returncode:
        raise ToolchainError(f"{tool}: {done.stdout}{done.stderr}")


def _find(tool: str) -> str | None:
    return shutil.which(f"{tool}-16") or shutil.which(tool)
