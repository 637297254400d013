"""Writes judgements in groups: those that come while others are being written go together."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence

from qbench.service.tournaments import Judgement


class Pen:
    """One writer at a time; ``keep`` returns when what it was given is in the database."""

    def __init__(self, write: Callable[[Sequence[Judgement]], object]) -> None:
        self._write = write
        self._waiting: list[tuple[Judgement, asyncio.Future[None]]] = []
        self._task: asyncio.Task[None] | None = None

    async def keep(self, made: Judgement) -> None:
        """Write a judgement, also when the caller is cancelled meanwhile. Raises StoreError."""
        written = asyncio.get_running_loop().create_future()
        self._waiting.append((made, written))
        if self._task is None or self._task.done():
            self._task = asyncio.create_task(self._work())
        await asyncio.shield(written)

    async def close(self) -> None:
        """Return when everything is written."""
        if self._task is not None:
            await self._task

    async def _work(self) -> None:
        while self._waiting:
            part, self._waiting = self._waiting, []
            try:
                await asyncio.to_thread(self._write, [made for made, _ in part])
            except Exception as error:  # noqa: BLE001 - handed to everybody who waits
                for _, written in part:
                    written.set_exception(error)
            else:
                for _, written in part:
                    written.set_result(None)
