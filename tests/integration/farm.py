"""The service's parts for tests: real workers in processes, a broker, a desk."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from qbench.service.access import LOCAL
from qbench.service.broker import CeleryWaker, celery_app
from qbench.service.desk import Desk, Submission
from qbench.service.domain import Controls, Run, RunStatus
from qbench.service.order import Order
from qbench.service.store import Store

REPOSITORY = Path(__file__).parents[2]
RESTING = frozenset(RunStatus) - {RunStatus.QUEUED, RunStatus.RUNNING}


@dataclass
class Farm:
    """Workers that can be started and killed at will."""

    process: subprocess.Popen[str]
    log: Path
    pids: list[int] = field(default_factory=list)

    def _tell(self, text: str) -> int:
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.write(f"{text}\n")
        self.process.stdin.flush()
        return int(self.process.stdout.readline())

    def start(self, number: int = 1) -> None:
        self.pids += [self._tell("start") for _ in range(number)]

    def kill(self, pid: int) -> None:
        self._tell(f"kill {pid}")
        self.pids.remove(pid)

    def stop(self, pid: int) -> None:
        self._tell(f"stop {pid}")
        self.pids.remove(pid)


@contextlib.contextmanager
def farm(url: str, broker: str, folder: Path, *, skew_s: float = 0, **env: str) -> Iterator[Farm]:
    log = folder / "workers.log"
    arguments = [sys.executable, "-m", "tests.integration.worker_farm", url, broker, str(skew_s)]
    environment = os.environ | {"FARM_LOG": str(log), "PYTHONPATH": str(REPOSITORY)} | env
    with subprocess.Popen(
        arguments,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env=environment,
        cwd=REPOSITORY,
    ) as process:
        try:
            yield Farm(process=process, log=log)
        finally:
            assert process.stdin is not None
            process.stdin.close()


def desk_of(store: Store, broker: str) -> Desk:
    return Desk(store, CeleryWaker(celery_app(broker)))


def submission(
    *, samples: int = 100, controls: Controls | None = None, formats: str = "", **options: Any
) -> Submission:
    order = Order(
        suite="sums",
        engine="scripted",
        models=("scripted/sums",),
        formats=tuple(filter(None, formats.split(","))),
        samples=samples,
        options=options,
    )
    return Submission(order=order, controls=controls or Controls(concurrency=16), fresh=True)


def hand_in(desk: Desk, wanted: Submission) -> Run:
    return desk.submit(wanted, LOCAL).run


def until(condition: Callable[[], bool], *, limit_s: float = 60, every_s: float = 0.05) -> None:
    deadline = time.monotonic() + limit_s
    while not condition():
        assert time.monotonic() < deadline, "it took too long"
        time.sleep(every_s)


def at_rest(store: Store, run: Run, *, limit_s: float = 150) -> RunStatus:
    until(lambda: store.run(run.id).status in RESTING, limit_s=limit_s)
    return store.run(run.id).status
