"""Whether this host can run a native process, found by running one."""

from __future__ import annotations

import platform
import sys

_PLACE = 0x80010000
_NOP = b"\x90"
_PAGE = 0x1000


def why_not() -> str | None:
    """Return the reason, in one line, why no NativeProcess runs here; None where one just did."""
    if not sys.platform.startswith("linux"):
        return f"the native processor is used through Linux's ptrace; this is {sys.platform}"
    if platform.machine() not in ("x86_64", "AMD64") or sys.maxsize < 1 << 32:
        return f"the native processor must be an x86-64 seen from a 64-bit Python; this is {platform.machine()}"
    return _trial()


def _trial() -> str | None:
    """Start, confine and step a process."""
    # Only Linux has what these modules import.
    from stackemu.harness.native.errors import NativeError
    from stackemu.harness.native.process import NativeProcess
    from stackemu.harness.native.registers import Registers
    from stackemu.harness.native.stops import Stepped

    try:
        with NativeProcess() as process:
            process.map(_PLACE, _PAGE)
            process.write(_PLACE, _NOP)
            process.confine()
            process.registers = Registers(eip=_PLACE)
            stop = process.step()
    except (NativeError, OSError) as error:
        return str(error)
    if stop != Stepped(_PLACE + 1, 0):
        return f"a single step over one instruction ended as {stop}"
    return None
