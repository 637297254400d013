"""Live progress of a run: a bar per system, or plain lines where there is no terminal."""

from __future__ import annotations

import time
from decimal import Decimal
from types import TracebackType
from typing import Self

from qbench.benchmarks.analysis.rates import wilson
from qbench.cli.render import console
from qbench.service.domain import Attempt, AttemptStatus, Endpoint, Run, System
from qbench.service.listing import RunProgress, SystemTally
from qbench.service.queue import Waiting
from qbench.workers.progress import Tally

PLAIN_EVERY_S = 10.0
"""Seconds between lines where there is no terminal."""


class LiveProgress:
    """Shows a run on stderr; a context manager that restores the terminal."""

    def __init__(self) -> None:
        self._board = console.Board() if console.talk.is_terminal else None
        self._tallies: dict[str, Tally] = {}
        self._labels: dict[str, str] = {}
        self._said_at = time.monotonic()
        self._spent = Decimal(0)
        self._ended = 0
        self._waiting: Waiting | None = None

    def __enter__(self) -> Self:
        if self._board:
            self._board.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        at: TracebackType | None,
    ) -> None:
        if self._board:
            self._board.stop()

    def begin(self, run: Run, tallies: dict[str, Tally]) -> None:
        """Show the run's size and what is already there."""
        self._tallies = tallies
        self._labels = {system.id: system.label for system in run.request.systems}
        total = sum(tally.total for tally in tallies.values())
        done = sum(tally.done for tally in tallies.values())
        kept = f", {done:,} of them kept from before" if done else ""
        self.say(f"Run {run.id}: {total:,} attempts{kept}.")
        for system_id, tally in tallies.items():
            self._draw(system_id, tally)

    def watch(self, told: RunProgress) -> None:
        """Show where a run stands that others make, and what it waits for."""
        self._labels = {key: tally.label for key, tally in told.tallies.items()}
        if told.waiting and told.waiting != self._waiting:
            waiting = told.waiting
            self.say(f"Waiting, {waiting.position} of {waiting.of}: {waiting.reason}.")
        self._waiting = told.waiting
        tallies = {key: _counted(tally) for key, tally in told.tallies.items()}
        self.follow(tallies, Decimal(told.paid or 0))

    def say(self, line: str) -> None:
        """Print a line above the bars."""
        console.talk.print(line, style="dim", markup=False)

    def serving(self, system: System, endpoint: Endpoint) -> None:
        """Say what really runs."""
        ran = endpoint.format_effective or endpoint.format_requested or "an unknown format"
        self.say(
            f"{system.label}: serving {ran} ({endpoint.path}) on {endpoint.hardware or 'a remote'}"
            f" after {console.seconds(endpoint.seconds.load)}"
        )

    def ended(self, attempt: Attempt, spent: Decimal) -> None:
        """Count an attempt that is durable now."""
        self._spent, self._ended = spent, self._ended + 1
        tally = self._tallies[attempt.system_id]
        if attempt.status is AttemptStatus.ERRORED:
            tally.errored += 1
        else:
            tally.done += 1
            tally.passed += bool(attempt.score and attempt.score.passed)
        self._draw(attempt.system_id, tally)

    def stopped(self, system_id: str, planned: int) -> None:
        """Shorten the bar of a system that needs no more."""
        self._tallies[system_id].total = planned
        self._draw(system_id, self._tallies[system_id])

    def follow(self, tallies: dict[str, Tally], spent: Decimal) -> None:
        """Show where a run stands that another process drives."""
        self._spent, self._tallies, self._ended = spent, tallies, 1
        for system_id, tally in tallies.items():
            self._draw(system_id, tally)

    def _draw(self, system_id: str, tally: Tally) -> None:
        if self._board:
            self._board.show(system_id, self._labels[system_id], tally, self._money())
        elif time.monotonic() - self._said_at >= PLAIN_EVERY_S and self._ended:
            self._said_at = time.monotonic()
            self.say(f"{self._labels[system_id]}: {progress_text(tally)}; {self._money()}")

    def _money(self) -> str:
        return f"{console.dollars(self._spent)} so far" if self._spent else "no priced cost so far"


def _counted(tally: SystemTally) -> Tally:
    return Tally(total=tally.total, done=tally.done, passed=tally.passed, errored=tally.errored)


def progress_text(tally: Tally) -> str:
    """Write ``120/240 done, 31.7 ± 8.2 % passed``."""
    text = f"{tally.done}/{tally.total} done"
    if tally.done:
        low, high = wilson(tally.passed, tally.done)
        rate = tally.passed / tally.done
        text += f", {console.percent(rate)} {console.plus_minus(low, high)} % passed"
    return text + (f", {tally.errored} errored" if tally.errored else "")
