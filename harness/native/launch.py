"""Starts the 32-bit process, up to the point where it is stopped under its tracer."""

from __future__ import annotations

import contextlib
import errno
import os
import signal

from stackemu.harness.native import gate, ptrace
from stackemu.harness.native.elf import elf_image
from stackemu.harness.native.errors import StartError

_MFD_EXEC = 0x10
"""memfd_create(2): the file may be executed, also where vm.memfd_noexec makes that the exception."""

_TRACE_OPTIONS = ptrace.O_EXITKILL | ptrace.O_TRACESYSGOOD


def launch(address: int) -> int:
    """Start a process whose only own page is at `address`; return its id, stopped and traced by this thread.

    It has no open files, no environment, and a process group of its own, so that Ctrl-C at the terminal does not
    reach it. From its first instructions on it dies with the thread that started it.
    """
    image = _executable(elf_image(gate.CODE, address))
    try:
        pid = _spawn(image)
    finally:
        os.close(image)
    try:
        _attach(pid)
    except BaseException:
        end(pid)
        raise
    return pid


def end(pid: int) -> None:
    """Kill the process and wait until it is gone; do nothing where it was waited for already."""
    with contextlib.suppress(ChildProcessError):
        # Asked first, because the id of a process that was waited for may belong to another one by now.
        seen, status = os.waitpid(pid, os.WNOHANG)
        if seen and _gone(status):
            return
        os.kill(pid, signal.SIGKILL)
        while not _gone(os.waitpid(pid, 0)[1]):
            pass  # a stop from before the kill


def _gone(status: int) -> bool:
    return os.WIFEXITED(status) or os.WIFSIGNALED(status)


def _executable(image: bytes) -> int:
    """Return a file in memory that holds `image`."""
    try:
        try:
            file = os.memfd_create("native", os.MFD_CLOEXEC | _MFD_EXEC)
        except OSError as error:
            if error.errno != errno.EINVAL:
                raise
            file = os.memfd_create("native", os.MFD_CLOEXEC)  # before Linux 6.3
    except OSError as error:
        raise StartError(f"no file in memory can be made: {error.strerror}") from error
    os.write(file, image)
    return file


def _spawn(file: int) -> int:
    """Execute `file` with the default signal actions and nothing of this process's files."""
    try:
        return os.posix_spawn(
            f"/proc/self/fd/{file}",
            ["native"],
            {},
            file_actions=[(os.POSIX_SPAWN_CLOSE, inherited) for inherited in _inheritable()],
            setpgroup=0,
            setsigmask=(),
            setsigdef=(signal.SIGTRAP, signal.SIGINT),
        )
    except OSError as error:
        if error.errno == errno.ENOEXEC:
            raise StartError("the kernel runs no 32-bit programs (CONFIG_IA32_EMULATION)") from error
        raise StartError(f"a 32-bit program from memory cannot be executed: {error.strerror}") from error


def _inheritable() -> list[int]:
    """Return this process's files that a new program would keep."""
    found = []
    for name in os.listdir("/proc/self/fd"):
        with contextlib.suppress(OSError):  # closed meanwhile: the directory's own, or another thread's
            if os.get_inheritable(int(name)):
                found.append(int(name))
    return found


def _attach(pid: int) -> None:
    """Wait for the process to stop at the breakpoint behind its PTRACE_TRACEME, and tie its life to this one's."""
    status = os.waitpid(pid, 0)[1]
    if os.WIFEXITED(status):
        refusal = os.strerror(os.WEXITSTATUS(status))
        raise StartError(f"ptrace is forbidden here (yama, seccomp or the container): {refusal}")
    if os.WIFSIGNALED(status):
        name = signal.Signals(os.WTERMSIG(status)).name
        raise StartError(f"32-bit system calls or ptrace are forbidden here (seccomp or the container): {name}")
    try:
        ptrace.request(ptrace.SETOPTIONS, pid, 0, _TRACE_OPTIONS)
    except OSError as error:
        raise StartError(f"ptrace is forbidden here (yama, seccomp or the container): {error.strerror}") from error
