"""Block mode against its reference: reading the stack pointer before every instruction gives the same figures."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

Survey = Callable[..., dict[str, Any]]
FIGURES = ("outcome", "own", "depth", "chain", "instructions", "runs")


@pytest.mark.parametrize("options", [(), ("--seed", "3")], ids=" ".join)
def test_every_function_of_the_samples_gets_the_same_figures(
    sample: Path, survey: Survey, options: tuple[str, ...]
) -> None:
    blocks = survey(sample, *options)
    steps = survey(sample, "--single-step", *options)
    assert [one["name"] for one in steps["functions"]] == [one["name"] for one in blocks["functions"]]
    for block_mode, single_step in zip(blocks["functions"], steps["functions"], strict=True):
        for figure in FIGURES:
            seen = (block_mode["name"], figure, block_mode["measured"][figure])
            assert seen == (single_step["name"], figure, single_step["measured"][figure])


def test_verdicts_and_reasons_do_not_hang_on_the_mode(sample: Path, survey: Survey) -> None:
    def judged(document: dict[str, Any]) -> list[tuple[object, ...]]:
        return [
            (one["name"], one["verdict"], one["why"], one["measured"]["findings"]) for one in document["functions"]
        ]

    assert judged(survey(sample, "--single-step")) == judged(survey(sample))
