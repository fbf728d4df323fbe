"""What of a run is new: code, depths of any function, call paths, endings."""

from __future__ import annotations

from pathlib import Path

import pytest
from made_runs import context, observation

from stackemu.emu.observation import Outcome
from stackemu.harness.fuzz.guidance import Coverage, Guidance, News
from stackemu.harness.session import open_driver

STACKZOO = Path(__file__).parents[4] / "drivers" / "stackzoo.sys"
F, G, H = 0x1000, 0x1100, 0x1200


def test_the_first_run_is_new_in_every_way_and_the_same_again_in_none() -> None:
    guidance = Guidance()
    run = observation((F, 20), blocks=(F,))
    assert guidance.judge(context(), run) == News.CODE | News.DEPTH | News.PATH | News.OUTCOME
    assert guidance.judge(context(seed=1), run) is News.NONE


@pytest.mark.parametrize(
    ("second", "news"),
    [
        (observation((F, 20), blocks=(F, F + 8)), News.CODE),
        (observation((F, 24), blocks=(F,)), News.DEPTH | News.PATH),
        (observation((F, 16), (G, 4), blocks=(F,)), News.DEPTH | News.PATH),
        (observation((F, 12), blocks=(F,)), News.NONE),
        (observation((F, 20), blocks=(F,), outcome=Outcome.RAISED, why="0xc0000005"), News.OUTCOME),
    ],
    ids=["another block", "deeper", "through a callee never seen", "less deep", "another ending"],
)
def test_what_is_new_after_a_run_of_20_bytes(second: object, news: News) -> None:
    guidance = Guidance()
    guidance.judge(context(), observation((F, 20), blocks=(F,)))
    assert guidance.judge(context(seed=1), second) == news  # type: ignore[arg-type]


def test_a_callee_that_went_deeper_counts_though_the_whole_run_did_not() -> None:
    guidance = Guidance()
    guidance.judge(context(), observation((F, 20), (G, 8), (H, 4)))
    run = observation((F, 8), (G, 16), (H, 4))
    assert News.DEPTH in guidance.judge(context(seed=1), run)


def test_the_same_depth_is_new_in_another_role() -> None:
    guidance = Guidance()
    run = observation((F, 20))
    guidance.judge(context(root="IRP_MJ_READ"), run)
    assert guidance.judge(context(root="IRP_MJ_WRITE"), run) == News.DEPTH


def test_a_run_without_end_has_no_depth_worth_knowing() -> None:
    guidance = Guidance()
    endless = observation((F, 12000), outcome=Outcome.OVERFLOW, why="calls nested too deep")
    assert guidance.judge(context(), endless) == News.OUTCOME
    assert News.DEPTH in guidance.judge(context(seed=1), observation((F, 20)))


def test_coverage_counts_the_basic_blocks_of_a_translated_block_once() -> None:
    driver = open_driver(STACKZOO)
    model = driver.code_model()
    function = next(one for one in driver.functions if one.name == "ZooSeveralExits")
    address = driver.image.base + function.rva
    coverage = Coverage(model, [address])
    assert (coverage.seen, coverage.total) == (0, len(model.code(address).leaders))
    assert coverage.add([address]) >= 1
    assert coverage.add([address]) == 0
    coverage.add(sorted(model.code(address).leaders))
    assert coverage.seen == coverage.total


def test_blocks_of_other_functions_do_not_count() -> None:
    driver = open_driver(STACKZOO)
    first, second = driver.functions[:2]
    coverage = Coverage(driver.code_model(), [driver.image.base + first.rva])
    assert coverage.add([driver.image.base + second.rva]) == 0
