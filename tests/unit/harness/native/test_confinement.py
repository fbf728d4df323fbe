"""Nothing that stepped code does reaches the host."""

from __future__ import annotations

import os
import resource
import signal

import pytest

from stackemu.harness.native import ptrace
from stackemu.harness.native.elf import elf_image
from stackemu.harness.native.errors import EndedError
from stackemu.harness.native.process import NativeProcess
from stackemu.harness.native.stops import Signal, SystemCall

MAKE_A_DIRECTORY_AND_EXIT = """
    b8 27000000 | mov eax, 0x27
    31 c9       | xor ecx, ecx
    cd 80       | int 0x80
    b8 01000000 | mov eax, 1
    bb 2a000000 | mov ebx, 0x2a
    cd 80       | int 0x80
"""
"""mkdir(EBX, 0) and exit(42) of i386 Linux."""


def test_the_code_of_these_tests_would_do_its_work_unconfined(native_host, listing, tmp_path):
    made = tmp_path / "made"
    page = 0x20000000
    code = listing(MAKE_A_DIRECTORY_AND_EXIT, 0)
    load_name = b"\xbb" + (page + 0x800).to_bytes(4, "little")
    image = elf_image((load_name + code).ljust(0x800 - len(elf_image(b"", page)), b"\xcc") + os.fsencode(made), page)
    program = tmp_path / "program"
    program.write_bytes(image)
    program.chmod(0o700)

    status = os.waitpid(os.posix_spawn(program, ["program"], {}), 0)[1]

    assert os.waitstatus_to_exitcode(status) == 42
    assert made.is_dir()


def test_system_calls_do_nothing(bench, tmp_path):
    made = tmp_path / "made"
    process = bench.prepare(MAKE_A_DIRECTORY_AND_EXIT, ebx=bench.stack)
    process.write(bench.stack, os.fsencode(made) + b"\0")

    assert process.run_steps(100).ended == SystemCall(39)
    assert process.run_steps(100).ended == SystemCall(1)

    assert not made.exists()
    assert bench.prepare("90 | nop").run_steps(1).steps == 1  # it did not exit


@pytest.mark.parametrize("instruction", ["0f 05 | syscall", "0f 34 | sysenter"])
def test_fast_system_calls_do_nothing(bench, instruction):
    """Which of the two a processor knows in 32-bit mode depends on its maker; exit(0) is asked for."""
    process = bench.prepare(instruction, eax=1)

    process.run_steps(3)

    assert bench.prepare("90 | nop").run_steps(1).steps == 1


def test_system_calls_of_64_bit_mode_do_nothing(bench):
    process = bench.prepare("""
        ea 07000180 3300 | ljmp 0x33:0x80010007
        b8 3c000000      | [mov eax, 60: exit of x86-64 Linux]
        0f 05            | [syscall]
    """)

    assert process.run_steps(100).ended == SystemCall(60)

    assert bench.prepare("90 | nop").run_steps(1).steps == 1


def test_a_system_call_kills_a_process_that_runs_on_by_itself(bench):
    process = bench.prepare("""
        b8 14000000 | mov eax, 0x14
        cd 80       | int 0x80
        cc          | int3
    """)

    ptrace.request(ptrace.CONT, process.pid)

    _, status = os.waitpid(process.pid, 0)
    assert os.WIFSIGNALED(status)
    assert os.WTERMSIG(status) == signal.SIGSYS


def test_the_kernel_confirms_the_filter(bench):
    with open(f"/proc/{bench.process.pid}/status", encoding="ascii") as file:
        status = file.read()

    assert "\nSeccomp:\t2\n" in status  # SECCOMP_MODE_FILTER
    assert "\nNoNewPrivs:\t1\n" in status


def test_no_signal_reaches_the_code(bench):
    process = bench.prepare("90 | nop\n90 | nop")
    os.kill(process.pid, signal.SIGTERM)

    stop = process.step()

    assert isinstance(stop, Signal)
    assert stop.number == signal.SIGTERM
    assert process.run_steps(2).steps == 2


def test_resources_are_limited(native_host):
    with NativeProcess(memory=1 << 24, cpu_seconds=7) as process:
        limits = {
            name: resource.prlimit(process.pid, getattr(resource, f"RLIMIT_{name}"))
            for name in ("CORE", "AS", "CPU", "NOFILE", "NPROC", "FSIZE")
        }

    assert limits == {
        "CORE": (0, 0),
        "AS": (1 << 24, 1 << 24),
        "CPU": (7, 7),
        "NOFILE": (0, 0),
        "NPROC": (0, 0),
        "FSIZE": (0, 0),
    }


def test_it_has_no_open_files(native_host, tmp_path):
    with open(tmp_path / "inherited", "w", encoding="ascii") as file:
        os.set_inheritable(file.fileno(), True)
        with NativeProcess() as process:
            assert os.listdir(f"/proc/{process.pid}/fd") == []


def test_a_process_that_somebody_killed_is_told(bench):
    process = bench.prepare("90 | nop")
    os.kill(process.pid, signal.SIGKILL)

    with pytest.raises(EndedError):
        process.run_steps(10)
