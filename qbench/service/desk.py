"""The desk: runs are handed in, stopped and taken up again here, by REST, schedules and CLI alike.

What is written is committed before anybody is woken: a lost message is sent again by a sweep.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Protocol

from msgspec import Struct
from msgspec.structs import replace

from qbench.errors import ConfigError
from qbench.service.access import LOCAL, Caller
from qbench.service.domain import Controls, Run, RunStatus, fingerprint
from qbench.service.order import Order, to_request
from qbench.service.plan import new_run
from qbench.service.store import Store


class Submission(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What is handed in."""

    order: Order
    controls: Controls = Controls()
    fresh: bool = False
    """Start anew even if this very run exists; otherwise it is taken up again."""
    priority: int = 0
    """Higher goes first, within one account and among all."""


class Submitted(Struct, frozen=True, kw_only=True):
    """What became of it."""

    run: Run
    created: bool
    """False: the run was there already."""


class Waker(Protocol):
    """Tells workers that there is something to do."""

    def wake(self, queue: str, number: int = 1) -> None:
        """Put ``number`` messages into ``queue``: ``plan``, ``engine`` or ``shard``.

        Raises:
            BrokerDown: the broker does not answer; what is written stays and a sweep sends it.

        """
        ...
