"""Worker processes for tests: forked from one process that has imported everything.

Run as ``python -m tests.integration.worker_farm DATABASE BROKER [SKEW_S]``. Reads commands from
stdin: ``start`` forks a worker and prints its process number, ``kill PID`` and ``stop PID`` end it
with SIGKILL or SIGTERM and print it when it is gone. All workers die when stdin closes.
"""

from __future__ import annotations

import contextlib
import os
import signal
import sys
import traceback
from datetime import UTC, datetime, timedelta, tzinfo
from pathlib import Path
from typing import Any

from qbench.benchmarks.suites import sums
from qbench.cli.serving import this_worker
from qbench.service.broker import CeleryWaker, celery_app
from qbench.service.pricebook import read_prices
from qbench.service.store import Store
from qbench.workers import attempts, engines, sessions
from qbench.workers.celery_steps import register, serve, sweeping
from qbench.workers.engines import scripted
from qbench.workers.host import Host, HostThread

IMPORTED = (sums, scripted, engines)
POISON = "poison"
"""A file of this name beside the log: attempts at the sample it names kill the worker."""


def work(database: str, broker: str, skew_s: float) -> None:
    """Be a worker until SIGTERM."""
    _skew(skew_s)
    _poison()
    sessions.HEARTBEAT_S = 0.2
    app = celery_app(broker)
    with Store.open(database) as store:
        host = Host(store, read_prices({}), CeleryWaker(app), this_worker(2, 1))
        thread = HostThread(host, (sweeping,))
        register(app, thread, _nothing)
        serve(app, thread, threads=2, grace_s=0.5)


def _nothing() -> None:
    """Nothing recurs here."""


def _skew(seconds: float) -> None:
    """Set the clock of everything that a worker writes times with."""

    class Skewed(datetime):
        @classmethod
        def now(cls, tz: tzinfo | None = None) -> Any:
            return datetime.now(tz or UTC) + timedelta(seconds=seconds)

    modules: list[Any] = [sessions, attempts, scripted]
    for module in modules if seconds else ():
        module.datetime = Skewed


def _poison() -> None:
    sample = os.environ.get("POISON", "")
    if sample:
        play = attempts._play

        async def deadly(asked: object, bench: object) -> object:
            if getattr(asked, "id", "") == sample:
                os.kill(os.getpid(), signal.SIGKILL)
            return await play(asked, bench)  # type: ignore[arg-type]

        attempts._play = deadly  # type: ignore[assignment]


def _start(arguments: list[str]) -> int:
    child = os.fork()
    if child:
        return child
    log = Path(os.environ["FARM_LOG"]).open("a")  # noqa: SIM115 - until the process ends
    os.dup2(log.fileno(), 1)
    os.dup2(log.fileno(), 2)
    try:
        work(arguments[0], arguments[1], float(arguments[2]))
    except BaseException:  # noqa: BLE001 - a child must not come back here
        traceback.print_exc(file=log)
        log.flush()
        os._exit(1)
    os._exit(0)


def main(arguments: list[str]) -> None:
    children: set[int] = set()
    for line in sys.stdin:
        word, _, number = line.strip().partition(" ")
        if word == "start":
            child = _start(arguments)
            children.add(child)
        else:
            child = int(number)
            with contextlib.suppress(ProcessLookupError):
                os.kill(child, signal.SIGKILL if word == "kill" else signal.SIGTERM)
            with contextlib.suppress(ChildProcessError):
                os.waitpid(child, 0)
            children.discard(child)
        sys.stdout.write(f"{child}\n")
        sys.stdout.flush()
    for child in children:
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)


if __name__ == "__main__":
    main([*sys.argv[1:], "0"])
