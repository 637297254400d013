"""Group commit: an attempt is durable when ``save`` returns, and a commit serves many."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from types import TracebackType
from typing import Generic, Self, TypeVar

T = TypeVar("T")


class Recorder(Generic[T]):
    """Collects items while a commit is under way and commits them together in a thread.

    Leaving the context commits what is waiting, also when the body was cancelled. A commit that
    fails raises in every ``save`` it served; nothing it held counts as saved.
    """

    def __init__(self, commit: Callable[[Sequence[T]], object]) -> None:
        self._commit = commit
        self._waiting: list[tuple[T, asyncio.Future[None]]] = []
        self._wake = asyncio.Event()
        self._quiet = asyncio.Event()
        self._quiet.set()
        self._open = True
        self._task: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Self:
        self._task = asyncio.create_task(self._commit_until_closed())
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        at: TracebackType | None,
    ) -> None:
        self._open = False
        self._wake.set()
        if self._task is not None:
            await asyncio.shield(self._task)

    def put(self, item: T) -> asyncio.Future[None]:
        """Hand ``item`` over; the future is done when it is durable or its commit failed."""
        future = asyncio.get_running_loop().create_future()
        self._waiting.append((item, future))
        self._quiet.clear()
        self._wake.set()
        return future

    async def save(self, item: T) -> None:
        """Return when ``item`` is durable. Raises what the commit raised."""
        await self.put(item)

    async def flush(self) -> None:
        """Return when everything handed over so far is durable or has failed."""
        await self._quiet.wait()

    async def _commit_until_closed(self) -> None:
        while self._open or self._waiting:
            await self._wake.wait()
            self._wake.clear()
            if self._waiting:
                await self._commit_waiting()
            if not self._waiting:
                self._quiet.set()

    async def _commit_waiting(self) -> None:
        batch, self._waiting = self._waiting, []
        try:
            await asyncio.to_thread(self._commit, [item for item, _ in batch])
        except Exception as error:  # noqa: BLE001 - every saver is told
            for _, future in batch:
                if not future.done():
                    future.set_exception(error)
        else:
            for _, future in batch:
                if not future.done():
                    future.set_result(None)
