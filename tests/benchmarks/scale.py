"""How much more two processes do than one in a campaign, here and on a Dask cluster of this machine.

    python tests/benchmarks/scale.py [--seconds N] [--rounds N] [--cluster]

Campaigns of one, then two workers run in turn on the same function; each line gives the executions a second of both
from the first second on, and `ratio N.NN`, the second over the first. `spin N.NN` is what two processes that only
count do against one on this machine in the same round: the most that there is to be had. The last line is the median.
"""

from __future__ import annotations

import argparse
import multiprocessing
import statistics
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from stackemu.harness.fuzz.bench import work
from stackemu.harness.fuzz.campaign import Campaign, Limits
from stackemu.harness.fuzz.corpus import Corpus
from stackemu.harness.fuzz.package import Package
from stackemu.harness.fuzz.pool import Pool, cluster_pool, local_pool
from stackemu.harness.fuzz.progress import Progress
from stackemu.harness.fuzz.share import Harvest, Share
from stackemu.harness.runs import RunSettings
from stackemu.harness.select import select_functions
from stackemu.harness.session import Driver, open_driver

DRIVERS = Path(__file__).parents[2] / "drivers"
WARM_UP = 3.0
"""Seconds that do not count: workers start, and bring the driver up."""
WAIT = 0.1


def rate(driver: Driver, function: str, pool: Pool[Share, Harvest], seconds: float) -> float:
    """Return executions a second of a campaign once its workers are at work."""
    seen: list[Progress] = []
    functions = select_functions(driver.functions, driver.image.path.name, [function])
    settings, limits = RunSettings(), Limits(WARM_UP + seconds)
    with Corpus.in_memory() as corpus, pool:
        Campaign(driver, functions, settings, corpus, pool, limits, lambda progress, _: seen.append(progress)).run()
    counted = [progress for progress in seen if WARM_UP <= progress.seconds <= WARM_UP + 0.9 * seconds]
    first, last = counted[0], counted[-1]
    return (last.executions - first.executions) / (last.seconds - first.seconds)


def _spin(seconds: float, total: multiprocessing.Queue[int]) -> None:
    end, count = time.monotonic() + seconds, 0
    while time.monotonic() < end:
        count += 1
    total.put(count)


def spin(processes: int, seconds: float) -> int:
    """Return how far processes count together."""
    total: multiprocessing.Queue[int] = multiprocessing.Queue()
    running = [multiprocessing.Process(target=_spin, args=(seconds, total)) for _ in range(processes)]
    for process in running:
        process.start()
    counts = [total.get() for _ in running]
    for process in running:
        process.join()
    return sum(counts)


@contextmanager
def cluster(workers: int) -> Iterator[str]:
    """Start a Dask scheduler and workers of one thread each; yields the scheduler's address."""
    sys.path.append(str(Path(__file__).parents[1] / "support"))
    from dask_cluster import Cluster

    with tempfile.TemporaryDirectory() as directory:
        running = Cluster(Path(directory))
        try:
            yield running.start(threads=(1,) * workers)
        finally:
            running.end()


def _rate(driver: Driver, arguments: argparse.Namespace, workers: int) -> float:
    package = Package.of(driver)
    if not arguments.cluster:
        return rate(driver, arguments.func, local_pool(work, package, workers), arguments.seconds)
    with cluster(workers) as address:
        return rate(driver, arguments.func, cluster_pool(work, package, address), arguments.seconds)


def main() -> None:
    """Run campaigns in turn and print ratios."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=30.0, help="that count, of each campaign")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--driver", type=Path, default=DRIVERS / "stackzoo.sys")
    parser.add_argument("--func", default="ZooRecursiveTree")
    parser.add_argument("--cluster", action="store_true", help="use a Dask cluster instead of own processes")
    arguments = parser.parse_args()
    driver = open_driver(arguments.driver)
    ratios = []
    for _ in range(arguments.rounds):
        one, two = _rate(driver, arguments, 1), _rate(driver, arguments, 2)
        most = spin(2, 2.0) / spin(1, 2.0)
        ratios.append(two / one)
        print(f"one {one:.0f}/s, two {two:.0f}/s, ratio {two / one:.2f}, spin {most:.2f}", flush=True)
    print(f"ratio {statistics.median(ratios):.2f}")


if __name__ == "__main__":
    main()
