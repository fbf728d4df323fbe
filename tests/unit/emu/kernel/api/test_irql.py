"""The IRQL as the processor control region holds it (KPCR.Irql, offset 0x24 on x86)."""

from __future__ import annotations

from typing import Any

IRQL = 0xFFDFF024


def test_raising_returns_the_level_before_and_lowering_brings_it_back(kernel: Any) -> None:
    assert kernel.call("KfRaiseIrql", 2) == 0
    assert kernel.host.read(IRQL, 1) == b"\x02"
    assert kernel.call("KeGetCurrentIrql") == 2
    kernel.call("KfLowerIrql", 0)
    assert kernel.call("KeGetCurrentIrql") == 0
    assert list(kernel.state.records.notes) == []


def test_the_function_form_stores_the_old_level(kernel: Any) -> None:
    old = kernel.text(b"\xcc\xcc")
    kernel.call("KeRaiseIrqlToDpcLevel")
    kernel.call("KeRaiseIrql", 5, old)
    assert kernel.host.read(old, 2) == b"\x02\xcc"


def test_a_wrong_direction_is_noted(kernel: Any) -> None:
    kernel.call("KfRaiseIrql", 2)
    kernel.call("KfRaiseIrql", 1)
    kernel.call("KfLowerIrql", 2)
    assert list(kernel.state.records.notes) == [
        "KfRaiseIrql: raises the IRQL from 2 to 1, which is lower",
        "KfLowerIrql: lowers the IRQL from 1 to 2, which is higher",
    ]


def test_a_function_that_runs_without_its_caller_may_lower_from_a_level_nobody_saw(kernel: Any) -> None:
    kernel.call("KfLowerIrql", 2)
    assert list(kernel.state.records.notes) == []
