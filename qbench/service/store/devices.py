"""What one of many processes has at a time: devices, and turns."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from datetime import timedelta

from sqlalchemy import Connection, delete, select, update

from qbench.service.domain import new_id
from qbench.service.queue import WORKER_LEASE_S
from qbench.service.store.runs import inserted
from qbench.service.store.shelf import Shelf, clock
from qbench.service.tables import DEVICE, SWEEP

LEASE = timedelta(seconds=WORKER_LEASE_S)
"""Silence after which a holder counts as dead."""


class Devices(Shelf):
    """Devices in use, and turns at what only one does."""

    def devices(self) -> dict[str, str]:
        """Return the devices in use, and what for."""
        with self.reading() as view:
            live = DEVICE.c.beat_at >= clock(view) - LEASE
            rows = view.execute(select(DEVICE.c.id, DEVICE.c.used_for).where(live))
            return {row.id: row.used_for for row in rows}

    def take_devices(self, wanted: Sequence[str], count: int, used_for: str) -> tuple[str, ...]:
        """Take ``count`` of the ``wanted`` devices; nothing when so many are not free.

        Returns:
            The token and the ids of the devices; empty when nothing was taken.

        """
        token = new_id()
        with self.writing() as tx:
            taken = _take(tx, wanted, count, token, used_for)
        return (token, *taken) if taken else ()

    def beat_devices(self, tokens: Collection[str]) -> None:
        """Write a sign of life for devices that no worker holds."""
        with self.writing() as tx:
            mine = DEVICE.c.token.in_(tokens)
            tx.execute(update(DEVICE).where(mine).values(beat_at=clock(tx)))

    def give_devices(self, token: str) -> None:
        """Give back what was taken under ``token``."""
        with self.writing() as tx:
            tx.execute(delete(DEVICE).where(DEVICE.c.token == token))

    def my_turn(self, what: str, every_s: float) -> bool:
        """Say to one of many processes that ``what`` is due: at most once in ``every_s``."""
        with self.writing() as tx:
            now = clock(tx)
            if inserted(tx, SWEEP, {"name": what, "at": now}):
                return True
            due = (SWEEP.c.name == what) & (SWEEP.c.at <= now - timedelta(seconds=every_s))
            return bool(tx.execute(update(SWEEP).where(due).values(at=now)).rowcount)


def _take(
    tx: Connection, wanted: Sequence[str], count: int, token: str, used_for: str
) -> tuple[str, ...]:
    now = clock(tx)
    tx.execute(delete(DEVICE).where(DEVICE.c.id.in_(wanted), DEVICE.c.beat_at < now - LEASE))
    taken: list[str] = []
    for device in wanted:
        values = {"id": device, "token": token, "beat_at": now, "used_for": used_for}
        if len(taken) < count and inserted(tx, DEVICE, values):
            taken.append(device)
    if len(taken) < count:
        tx.execute(delete(DEVICE).where(DEVICE.c.token == token))
        return ()
    return tuple(taken)
