"""The reference itself, on functions whose figures are counted by hand; and what it refuses to guess."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

sys.path.append(str(Path(__file__).parent))

from asm_frames import references
from stack_step import AssemblyError


def own(body: str, **pops: int) -> int | None:
    """Return own use of a function of these lines; `pops` says what its callees take off the stack."""
    text = f".def _f\n.type 32\n.endef\n_f:\n{body}"
    return references(text, {f"_{name}": size for name, size in pops.items()})["f"].own


def test_arguments_and_the_return_address_count_and_what_the_callee_pops_is_gone() -> None:
    # Two arguments and a return address 12, popped by the callee; then one push.
    assert own("push 1\n push 2\n call _g\n push ebx\n pop ebx\n ret", g=8) == 12
    # A cdecl callee leaves them: the push goes below, and a call below that.
    assert own("push 1\n push 2\n call _g\n push 3\n call _g\n add esp, 12\n ret", g=0) == 16


def test_what_a_callee_pops_is_in_its_name_or_in_its_own_return() -> None:
    assert own("push 1\n push 2\n call _g@8\n push 3\n call _g@8\n ret") == 12
    text = ".def _g\n.type 32\n.endef\n_g:\n ret 8\n.def _f\n.type 32\n.endef\n_f:\n push 1\n push 2\n call _g\n ret"
    assert references(text, {})["f"].own == 12


def test_a_realignment_costs_what_it_does_at_the_worst() -> None:
    # E is a multiple of 4: `and esp, -16` behind one push costs 12 at most.
    frame = "push ebp\n mov ebp, esp\n and esp, -16\n sub esp, 32\n mov esp, ebp\n pop ebp\n ret"
    assert own(frame) == 4 + 12 + 32


def test_every_branch_and_every_case_is_followed() -> None:
    assert own("test ecx, ecx\n je L1\n push ebx\n pop ebx\nL1:\n ret") == 4
    table = "jmp dword ptr [4*eax + T]\nA:\n ret\nB:\n sub esp, 20\n add esp, 20\n ret\nT:\n.long A\n.long B"
    assert own(table) == 20


def test_run_time_amounts_are_no_constant() -> None:
    assert own("push ebp\n mov ebp, esp\n sub esp, eax\n mov esp, ebp\n pop ebp\n ret") is None
    assert own("push ebp\n mov ebp, esp\nL1:\n push eax\n loop L1\n mov esp, ebp\n pop ebp\n ret") is None


@pytest.mark.parametrize(
    ("body", "complaint"),
    [
        ("sub esp, 8\n jmp eax", "where does"),
        ("push eax\n ret", "returns with 4 bytes left"),
        ("ret\n push eax", "no path leads to"),
        ("call eax\n ret", "a call through a pointer of unknown type"),
        ("rcl esp, 1\n ret", "ESP changed by rcl"),
    ],
)
def test_what_would_have_to_be_guessed_is_refused(body: str, complaint: str) -> None:
    with pytest.raises(AssemblyError, match=complaint):
        own(body)


def test_text_in_data_is_not_code() -> None:
    assert own('ret\n.asciz "a; push eax"') == 0
