"""Functions that the kernel itself calls: what a driver's stack budget is spent from."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Root:
    """A function of the driver in a role that the kernel calls it in.

    `role` is what reports show ("IRP_MJ_CREATE", "DPC", "EvtIoRead"…), `kind` names the builder of its
    arguments, and `context` holds what the registration said: addresses and numbers whose meaning the builder
    knows.
    """

    address: int
    role: str
    kind: str
    context: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class Words:
    """Arguments of a call: words for the stack in order, and ECX and EDX for fastcall functions."""

    stack: tuple[int, ...] = ()
    ecx: int | None = None
    edx: int | None = None
