"""What an image's code alone says: static figures and bounds, with nothing run."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from stackemu.emu.code.model import CodeModel
from stackemu.emu.symbols.function import Function
from stackemu.harness.bracket import with_bound
from stackemu.harness.document import document, function_result
from stackemu.harness.reconcile import NOT_RUN
from stackemu.harness.results import Measurement
from stackemu.harness.session import Driver
from stackemu.harness.static.annotations import NO_ANNOTATIONS, Annotations
from stackemu.harness.static.bounds import Bounds, bounds_of
from stackemu.harness.static.callgraph import CallGraph, RunFacts
from stackemu.harness.static.figures import static_figures
from stackemu.harness.static.registrations import registered

NO_FACTS = RunFacts()
"""Where nothing was run."""


def static_survey(
    driver: Driver, functions: Sequence[Function], annotations: Annotations = NO_ANNOTATIONS
) -> Measurement:
    """Return the static figures of `functions`; nothing is run."""
    model = driver.code_model()
    bounds = image_bounds(driver, model, functions, annotations=annotations)
    base = driver.image.base
    results = [
        function_result(
            driver,
            function,
            with_bound(static_figures(model, function).figures, bounds, base + function.rva),
            None,
            NOT_RUN,
            "only static figures were asked for",
        )
        for function in functions
    ]
    return document(driver, {}, results)


def image_bounds(
    driver: Driver,
    model: CodeModel,
    functions: Sequence[Function],
    facts: RunFacts = NO_FACTS,
    annotations: Annotations = NO_ANNOTATIONS,
) -> Bounds:
    """Return the bounds of `functions` over the whole image's call graph, and of what they call.

    `facts` are what runs showed; what the code registers is read off it besides.
    """
    base = driver.image.base
    names = {base + function.rva: function.name for function in driver.functions}
    known = replace(facts, roots=facts.roots | registered(model, names))
    graph = CallGraph(model, driver.functions, known, annotations)
    return bounds_of(graph, [base + function.rva for function in functions], names)
