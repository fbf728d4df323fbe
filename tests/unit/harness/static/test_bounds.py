"""Bounds over the call graph; every figure is counted in the listings: a push is 4 bytes, a call 4."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Mapping

import pytest

from stackemu.harness.session import Driver
from stackemu.harness.static.annotations import NO_ANNOTATIONS, Annotations
from stackemu.harness.static.bounds import Bounds, bounds_of
from stackemu.harness.static.callgraph import CallGraph, How, RunFacts

MakeDriver = Callable[..., Driver]
NO_FACTS = RunFacts()

LEAF = """
83ec40  sub esp, 0x40
83c440  add esp, 0x40
c3      ret
"""
SHALLOW = """
50  push eax
58  pop eax
c3  ret
"""


def calling(*names: str) -> str:
    """Return a function that pushes EAX and calls each of `names`: 8 bytes above the callee's entry."""
    calls = "\n".join(f"e8<{name}>  call" for name in names)
    return f"50  push eax\n{calls}\n58  pop eax\nc3  ret\n"


REALIGNED = """
55      push ebp
89e5    mov ebp, esp
83e4f8  and esp, 0xfffffff8
83ec20  sub esp, 0x20
89ec    mov esp, ebp
5d      pop ebp
c3      ret
"""
ALLOCA = """
55      push ebp
89e5    mov ebp, esp
29c4    sub esp, eax
89ec    mov esp, ebp
5d      pop ebp
c3      ret
"""
FREE_ALLOCA = """
29c4    sub esp, eax
01c4    add esp, eax
c3      ret
"""
# The second function of a driver lies 0x100 behind the first: a5de1100.
THROUGH_EAX = """
b80011dea5  mov eax, 0xa5de1100
ffd0        call eax
c3          ret
"""
THROUGH_MEMORY = """
8b442404  mov eax, dword ptr [esp + 4]
ff742408  push dword ptr [esp + 8]
ff10      call dword ptr [eax]
c3        ret
"""
TAKES_ADDRESSES = """
b80011dea5  mov eax, 0xa5de1100
b90012dea5  mov ecx, 0xa5de1200
c3          ret
"""
POPS_FOUR = """
83ec30    sub esp, 0x30
83c430    add esp, 0x30
c20400    ret 4
"""


def address(driver: Driver, name: str) -> int:
    return driver.image.base + next(one.rva for one in driver.functions if one.name == name)


def bounds(driver: Driver, facts: RunFacts = NO_FACTS, annotations: Annotations = NO_ANNOTATIONS) -> Bounds:
    names = {driver.image.base + one.rva: one.name for one in driver.functions}
    return bounds_of(CallGraph(driver.code_model(), driver.functions, facts, annotations), names, names)


def bound_of(driver: Driver, name: str, **options: object) -> tuple[int, list[tuple[str, int]], tuple[str, ...]]:
    """Return bytes, worst path and reasons."""
    found = bounds(driver, **options)  # type: ignore[arg-type]
    bound, residue = found.worst(address(driver, name))
    return bound.bytes, list(found.path(address(driver, name), residue)), bound.reasons


def test_a_bound_adds_up_the_deepest_callees(make_driver: MakeDriver) -> None:
    driver = make_driver(
        {"outer": calling("inner", "shallow"), "inner": calling("leaf"), "leaf": LEAF, "shallow": SHALLOW}
    )
    assert bound_of(driver, "outer") == (8 + 8 + 64, [("outer", 8), ("inner", 8), ("leaf", 64)], ())


def test_a_function_without_calls_is_bounded_by_its_own(make_driver: MakeDriver) -> None:
    assert bound_of(make_driver({"leaf": LEAF}), "leaf") == (64, [("leaf", 64)], ())


def test_a_frame_deeper_than_its_calls_is_the_bound(make_driver: MakeDriver) -> None:
    deep = f"e8<shallow>  call\n{LEAF}"
    assert bound_of(make_driver({"deep": deep, "shallow": SHALLOW}), "deep") == (64, [("deep", 64)], ())


def test_a_tail_call_takes_its_callers_place(make_driver: MakeDriver) -> None:
    driver = make_driver({"first": "e9<leaf>  jmp\n", "leaf": LEAF})
    assert bound_of(driver, "first") == (64, [("first", 0), ("leaf", 64)], ())


def test_a_callee_may_go_on_in_another_function_by_a_branch(make_driver: MakeDriver) -> None:
    # Where ESP stands at the end of what it goes on in is not known, as with a helper that removes a frame.
    branches = """
    85c0          test eax, eax
    0f84f8000000  je
    c3            ret
    """
    driver = make_driver({"outer": calling("branches"), "branches": branches, "alloca": FREE_ALLOCA})
    assert bound_of(driver, "outer")[2] == ("bound: alloca: stack allocated by a run-time amount at 0xa5de1200",)


def test_what_a_helper_calls_stands_on_its_callers_frame(make_driver: MakeDriver) -> None:
    # As __SEH_epilog4_GS, which has the cookie checked and ends in a jump to __SEH_epilog4. The leaf's entry lies
    # below EBP and 16 bytes of the caller's, and two return addresses.
    outer = """
    55             push ebp
    89e5           mov ebp, esp
    83ec10         sub esp, 0x10
    e8<epilogue>   call
    c3             ret
    """
    remove = """
    59    pop ecx
    89ec  mov esp, ebp
    5d    pop ebp
    51    push ecx
    c3    ret
    """
    checked = "e8<leaf>  call\ne9<remove>  jmp\n"
    driver = make_driver({"outer": outer, "epilogue": checked, "remove": remove, "leaf": LEAF})
    assert bound_of(driver, "outer") == (20 + 4 + 4 + 64, [("outer", 28), ("leaf", 64)], ())


def test_what_a_callee_realigns_depends_on_where_its_caller_stands(make_driver: MakeDriver) -> None:
    # The callee's entry is 8 below E; its push 12. From there to a multiple of 8 is 4 bytes when E is one.
    driver = make_driver({"outer": calling("aligned"), "aligned": REALIGNED})
    found = bounds(driver)
    bound, residue = found.worst(address(driver, "outer"))
    assert (bound.bytes, residue % 8) == (8 + 4 + 4 + 32, 0)


def test_recursion_is_open_and_says_what_a_turn_takes(make_driver: MakeDriver) -> None:
    driver = make_driver({"turn": calling("turn")})
    assert bound_of(driver, "turn")[2] == ("bound: recursion turn > turn, 8 bytes a turn at most",)


def test_a_circle_of_several_functions_is_named_whole(make_driver: MakeDriver) -> None:
    driver = make_driver({"even": calling("odd"), "odd": calling("even", "leaf"), "leaf": LEAF})
    (reason,) = bound_of(driver, "even")[2]
    assert reason in {
        "bound: recursion even > odd > even, 16 bytes a turn at most",
        "bound: recursion odd > even > odd, 16 bytes a turn at most",
    }


def test_callers_of_an_open_bound_are_open_for_the_same_reason(make_driver: MakeDriver) -> None:
    driver = make_driver({"outer": calling("middle"), "middle": calling("alloca"), "alloca": ALLOCA})
    (reason,) = bound_of(driver, "outer")[2]
    assert reason.startswith("bound: alloca: stack allocated by a run-time amount at ")


def test_an_annotation_says_how_many_frames_of_a_recursion_stand(make_driver: MakeDriver) -> None:
    driver = make_driver({"turn": calling("turn", "leaf"), "leaf": LEAF})
    known = Annotations(recursion={address(driver, "turn"): 5})
    depth, _, reasons = bound_of(driver, "turn", annotations=known)
    # Five frames of 8, the deepest of which calls the leaf.
    assert (depth, reasons) == (5 * 8 + 64, ())


def test_of_a_circle_of_several_functions_the_others_may_stand_once_more(make_driver: MakeDriver) -> None:
    driver = make_driver({"even": calling("odd"), "odd": calling("even", "leaf"), "leaf": LEAF})
    known = Annotations(recursion={address(driver, "even"): 3})
    depth, _, reasons = bound_of(driver, "odd", annotations=known)
    # odd, even, odd, even, odd, even, odd, leaf: three frames of even, four of odd, 8 bytes each.
    assert reasons == ()
    assert 7 * 8 + 64 <= depth <= 9 * 8 + 64


def test_an_annotation_that_leaves_a_circle_open_bounds_nothing(make_driver: MakeDriver) -> None:
    # Frames of `first` are counted, but `second` also calls itself.
    driver = make_driver({"first": calling("second"), "second": calling("first", "second")})
    known = Annotations(recursion={address(driver, "first"): 3})
    assert bound_of(driver, "first", annotations=known)[2] != ()


def test_a_cost_of_a_kernel_function_is_added_where_it_is_called(make_driver: MakeDriver) -> None:
    driver = make_driver({"leaf": LEAF})
    assert bound_of(driver, "leaf", annotations=Annotations(api_cost={"ZwClose": 999}))[0] == 64


def how(driver: Driver, name: str, **options: object) -> Mapping[str, How]:
    names = {driver.image.base + one.rva: one.name for one in driver.functions}
    graph = CallGraph(driver.code_model(), driver.functions, **options)  # type: ignore[arg-type]
    sites = graph.sites(address(driver, name))
    return {names[edge.callee]: edge.how for site in sites for edge in graph.all_edges(site)}


def test_a_pointer_that_the_data_flow_knows_is_resolved(make_driver: MakeDriver) -> None:
    driver = make_driver({"outer": THROUGH_EAX, "leaf": LEAF})
    assert how(driver, "outer") == {"leaf": How.CONSTANT}
    assert bound_of(driver, "outer")[0] == 4 + 64


@pytest.fixture
def pointers(make_driver: MakeDriver) -> Driver:
    """A call through memory of a function of one word; of two functions whose addresses are taken, one is such."""
    return make_driver({"outer": THROUGH_MEMORY, "fits": POPS_FOUR, "other": LEAF, "taker": TAKES_ADDRESSES})


def test_an_unknown_pointer_may_lead_to_whatever_fits(pointers: Driver) -> None:
    assert how(pointers, "outer") == {"fits": How.PROTOTYPE}
    assert bound_of(pointers, "outer")[0] == 4 + 4 + 48


def test_what_runs_called_is_marked_as_such(pointers: Driver) -> None:
    behind_the_call = address(pointers, "outer") + 4 + 4 + 2
    facts = RunFacts(calls=frozenset({(behind_the_call, address(pointers, "other"))}))
    assert how(pointers, "outer", facts=facts) == {"fits": How.PROTOTYPE, "other": How.SEEN}


def test_an_annotation_has_the_last_word_on_a_call(pointers: Driver) -> None:
    call = pointers.functions[0].rva + 8
    known = Annotations(indirect={call: (address(pointers, "other"),)})
    assert how(pointers, "outer", annotations=known) == {"other": How.ANNOTATION}
    assert how(pointers, "outer", annotations=Annotations(indirect={call: ()})) == {}


def test_bounds_of_a_long_chain_need_no_recursion_of_ours(make_driver: MakeDriver) -> None:
    names = [f"f{index}" for index in range(3000)]
    listings = {name: calling(following) for name, following in itertools.pairwise(names)}
    driver = make_driver({**listings, names[-1]: LEAF})
    assert bound_of(driver, "f0")[0] == 2999 * 8 + 64
