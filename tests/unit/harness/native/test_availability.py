"""The reason why a host runs no native process is one line that says what is missing."""

from __future__ import annotations

import errno
import os
import platform
import sys

import pytest

from stackemu.harness.native.availability import why_not


def test_nothing_is_wrong_where_these_tests_run(native_host):
    assert why_not() is None


def test_another_system(monkeypatch):
    monkeypatch.setattr(sys, "platform", "darwin")

    assert why_not() == "the native processor is used through Linux's ptrace; this is darwin"


def test_another_processor(monkeypatch):
    monkeypatch.setattr(sys, "platform", "linux")
    monkeypatch.setattr(platform, "machine", lambda: "aarch64")

    assert "aarch64" in str(why_not())


@pytest.mark.parametrize(
    ("code", "reason"), [(errno.ENOEXEC, "CONFIG_IA32_EMULATION"), (errno.EACCES, "Permission denied")]
)
def test_a_kernel_that_executes_no_such_program(native_host, monkeypatch, code, reason):
    def refuse(*args: object, **more: object) -> int:
        raise OSError(code, os.strerror(code))

    monkeypatch.setattr(os, "posix_spawn", refuse)

    assert reason in str(why_not())


@pytest.mark.parametrize(
    ("script", "reason"),
    [
        ("exit 1", "ptrace is forbidden here (yama, seccomp or the container): Operation not permitted"),
        ("kill -SYS $$", "32-bit system calls or ptrace are forbidden here (seccomp or the container): SIGSYS"),
    ],
)
def test_a_host_that_forbids_tracing(native_host, monkeypatch, script, reason):
    """The program exits with the error number of its PTRACE_TRACEME, which 1, EPERM, stands for here."""
    spawn = os.posix_spawn
    monkeypatch.setattr(os, "posix_spawn", lambda *args, **more: spawn("/bin/sh", ["sh", "-c", script], {}))

    assert why_not() == reason
