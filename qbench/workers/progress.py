"""What a run tells while it works. The terminal shows it; a service would publish it."""

from __future__ import annotations

from decimal import Decimal
from typing import Protocol

from msgspec import Struct

from qbench.service.domain import Attempt, Endpoint, Run, System


class Tally(Struct, kw_only=True):
    """Attempts of one system so far."""

    total: int
    done: int = 0
    """Scored or unscored, earlier sessions included."""
    passed: int = 0
    errored: int = 0


class Progress(Protocol):
    """Receives what happens, in the order it happens; must not block."""

    def begin(self, run: Run, tallies: dict[str, Tally]) -> None:
        """Work starts or goes on; ``tallies`` by system id say what is already there."""
        ...

    def say(self, line: str) -> None:
        """Show one line of talk."""
        ...

    def serving(self, system: System, endpoint: Endpoint) -> None:
        """Show that an engine came up, and what really runs."""
        ...

    def ended(self, attempt: Attempt, spent: Decimal) -> None:
        """Show an attempt that is durable now, and the run's dollars so far."""
        ...

    def stopped(self, system_id: str, planned: int) -> None:
        """Show that a system needs no more attempts than ``planned``."""
        ...


class Silent:
    """Tells nobody."""

    def begin(self, run: Run, tallies: dict[str, Tally]) -> None:
        """Do nothing."""

    def say(self, line: str) -> None:
        """Do nothing."""

    def serving(self, system: System, endpoint: Endpoint) -> None:
        """Do nothing."""

    def ended(self, attempt: Attempt, spent: Decimal) -> None:
        """Do nothing."""

    def stopped(self, system_id: str, planned: int) -> None:
        """Do nothing."""


class Once:
    """Passes on what is new: an engine that comes up again for another round is no news."""

    def __init__(self, inner: Progress) -> None:
        self._inner = inner
        self._said: set[str] = set()
        self._served: set[str] = set()

    def begin(self, run: Run, tallies: dict[str, Tally]) -> None:
        """Pass it on."""
        self._inner.begin(run, tallies)

    def say(self, line: str) -> None:
        """Show a line that was not shown before."""
        if line not in self._said:
            self._said.add(line)
            self._inner.say(line)

    def serving(self, system: System, endpoint: Endpoint) -> None:
        """Show that an engine came up for the first time."""
        if system.id not in self._served:
            self._served.add(system.id)
            self._inner.serving(system, endpoint)

    def ended(self, attempt: Attempt, spent: Decimal) -> None:
        """Pass it on."""
        self._inner.ended(attempt, spent)

    def stopped(self, system_id: str, planned: int) -> None:
        """Pass it on."""
        self._inner.stopped(system_id, planned)
