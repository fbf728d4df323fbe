"""Which stackemu this is, and which emulator and decoder it runs on: what all figures depend on besides the input."""

from __future__ import annotations

from importlib.metadata import PackageNotFoundError, version

_ENGINES = ("unicorn", "capstone")


def stackemu_version() -> str:
    """Return the version of the installed stackemu; "(not installed)" where it runs from its sources."""
    try:
        return version("stackemu")
    except PackageNotFoundError:
        return "(not installed)"


def release() -> str:
    """Return a text that is the same wherever the same input gives the same figures."""
    engines = ", ".join(f"{name} {version(name)}" for name in _ENGINES)
    return f"stackemu {stackemu_version()} with {engines}"
