"""A Dask scheduler and workers on the loopback interface, each a process of its own."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

PATHS = os.pathsep.join(filter(None, sys.path))
"""Where these processes find what this one can import."""


class Cluster:
    """A scheduler and workers; `workers` are their processes."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self.scheduler: subprocess.Popen[bytes] | None = None
        self.workers: list[subprocess.Popen[bytes]] = []

    def start(
        self,
        threads: Sequence[int] = (1, 1),
        settings: Mapping[str, str] | None = None,
        worker_path: Path | None = None,
    ) -> str:
        """Start a scheduler and a worker for each number of threads; return the scheduler's address.

        Workers look for what they import in `worker_path` first.
        """
        file = self._directory / "scheduler.json"
        scheduler = ("scheduler", "--port", "0", "--scheduler-file", str(file))
        self.scheduler = self._run(scheduler, settings or {})
        while not (file.exists() and file.read_text().endswith("}")):  # it is not written at once
            assert self.scheduler.poll() is None
            time.sleep(0.01)
        address: str = json.loads(file.read_text())["address"]
        for count in threads:
            worker = ("worker", address, "--nthreads", str(count), "--no-nanny", "--local-directory")
            path = os.pathsep.join(filter(None, [str(worker_path or ""), PATHS]))
            self.workers.append(self._run((*worker, str(self._directory)), {"PYTHONPATH": path}))
        return address

    def _run(self, arguments: Sequence[str], settings: Mapping[str, str] | None = None) -> subprocess.Popen[bytes]:
        name, *rest = arguments
        return subprocess.Popen(
            [sys.executable, "-m", f"distributed.cli.dask_{name}", *rest, "--host", "127.0.0.1", "--no-dashboard"],
            stderr=subprocess.DEVNULL,
            env={**os.environ, "PYTHONPATH": PATHS, **(settings or {})},
            cwd=self._directory,  # `-m` looks there first, and the project's own directory may describe a release
        )

    def end(self) -> None:
        """Kill what still runs."""
        for process in filter(None, [self.scheduler, *self.workers]):
            process.kill()
            process.wait()
