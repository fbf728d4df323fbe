"""`stackemu explain`: why a function was not measured further."""

from __future__ import annotations

from stackemu.harness.commands.options import DriverPath, Patterns, Search, Seed, SymbolsFile, Target
from stackemu.harness.effort import Effort

EPILOG = """\
\b
Example:
  stackemu explain PassThrough.sys --func PtInstanceSetup
"""


def explain(
    driver: DriverPath,
    func: Patterns = None,
    symbols: SymbolsFile = None,
    seed: Seed = 0,
    effort: Search = Effort.NORMAL,
    target: Target = None,
) -> None:
    """Say what stopped a function's runs, and what the code that no run reached waits for.

    For every branch that never went the other way it names the place of the input (an argument, memory, the
    answer of a kernel function) and the value that would turn it.
    """
    from stackemu.harness import output
    from stackemu.harness.commands.loading import load
    from stackemu.harness.report.explanation import explanation
    from stackemu.harness.survey import RunSettings, explained_survey

    opened, selected = load(driver, symbols, func, target)
    spending = effort.spending
    settings = RunSettings(seed=seed, explored=spending.explored, havoc=spending.havoc)
    with output.ProgressLine("measuring") as on_progress:
        results = explained_survey(opened, selected, settings, on_progress)
    model = opened.code_model()
    texts = [explanation(result, runs, model.instruction) for result, runs in results]
    output.deliver("\n".join(texts), target)
