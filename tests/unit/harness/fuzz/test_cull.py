"""Which inputs are superfluous: those of which smaller ones show everything."""

from __future__ import annotations

from dataclasses import replace

from made_runs import context, observation

from stackemu.emu.inputs import Override, Place
from stackemu.emu.observation import Observation, Outcome
from stackemu.harness.contexts import Context
from stackemu.harness.fuzz.cull import superfluous
from stackemu.harness.fuzz.share import Found

F, G = 0x1000, 0x1100
SMALL = context()
LARGE = replace(SMALL, source=SMALL.source.with_override(Override(Place.ARGUMENT, 0, 0x12345678)))
LARGER = replace(LARGE, source=LARGE.source.with_override(Override(Place.ARGUMENT, 1, 0x12345678)))


def _found(one: Context, run: Observation) -> Found:
    return Found(one, run, None)


def test_of_runs_that_show_the_same_the_smallest_stays() -> None:
    run = observation((F, 8), blocks=(F, F + 4))
    assert superfluous([_found(LARGE, run), _found(SMALL, run), _found(LARGER, run)]) == [LARGE, LARGER]


def test_each_block_keeps_a_run() -> None:
    first = observation((F, 8), blocks=(F, F + 4))
    second = observation((F, 8), blocks=(F, F + 8))
    assert superfluous([_found(SMALL, first), _found(LARGE, second)]) == []


def test_a_run_whose_blocks_others_have_goes() -> None:
    runs = [
        _found(SMALL, observation((F, 8), blocks=(F, F + 4))),
        _found(LARGE, observation((F, 4), blocks=(F,))),
    ]
    assert superfluous(runs) == [LARGE]


def test_the_deepest_of_a_path_stays_though_it_runs_no_block_of_its_own() -> None:
    runs = [
        _found(SMALL, observation((F, 8), (G, 8), blocks=(F, G))),
        _found(LARGE, observation((F, 8), (G, 64), blocks=(F, G))),
    ]
    assert LARGE not in superfluous(runs)


def test_each_ending_keeps_a_run() -> None:
    runs = [
        _found(SMALL, observation((F, 8), blocks=(F,))),
        _found(LARGE, observation((F, 8), blocks=(F,), outcome=Outcome.BUGCHECK, why="KeBugCheckEx(0xf7)")),
    ]
    assert superfluous(runs) == []
