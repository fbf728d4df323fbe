"""The code on a native process's own page: it asks to be traced, then serves as the gate for system calls.

Machine code by hand, so that nothing is compiled or assembled when it is used. System calls are those of i386 Linux
(arch/x86/entry/syscalls/syscall_32.tbl).
"""

from __future__ import annotations

from stackemu.harness.native.elf import CODE_OFFSET

_START = (
    b"\xb8\xac\x00\x00\x00"  # mov eax, 172        prctl(
    b"\xbb\x01\x00\x00\x00"  # mov ebx, 1            PR_SET_PDEATHSIG,
    b"\xb9\x09\x00\x00\x00"  # mov ecx, 9            SIGKILL)
    b"\xcd\x80"  # int 0x80
    b"\xb8\x1a\x00\x00\x00"  # mov eax, 26         ptrace(
    b"\x31\xdb"  # xor ebx, ebx                      PTRACE_TRACEME,
    b"\x31\xc9"  # xor ecx, ecx
    b"\x31\xd2"  # xor edx, edx
    b"\x31\xf6"  # xor esi, esi                      0, 0, 0)
    b"\xcd\x80"  # int 0x80
    b"\x85\xc0"  # test eax, eax
    b"\x78\x01"  # js refused
    b"\xcc"  # int3                                the tracer takes over here
    b"\xf7\xd8"  # refused: neg eax                exit(errno)
    b"\x89\xc3"  # mov ebx, eax
    b"\xb8\x01\x00\x00\x00"  # mov eax, 1
    b"\xcd\x80"  # int 0x80
)
_SYSTEM_CALL = b"\xcd\x80\xcc"  # int 0x80; int3
_LOAD_FS = b"\x8e\xe1\xcc"  # mov fs, cx; int3

CODE = _START + _SYSTEM_CALL + _LOAD_FS

SYSTEM_CALL = CODE_OFFSET + len(_START)
"""Offset on the page of code that makes the system call in the registers and stops."""

LOAD_FS = SYSTEM_CALL + len(_SYSTEM_CALL)
"""Offset on the page of code that loads FS with the selector in CX and stops."""

SCRATCH = 0x800
"""Offset on the page of room for the structures that system calls take."""

# i386 system call numbers.
MMAP2 = 192
MUNMAP = 91
PRCTL = 172
SET_THREAD_AREA = 243
