"""A context that many tasks use: entered and left in a task of its own."""

from __future__ import annotations

import asyncio
from contextlib import AbstractAsyncContextManager
from typing import Generic, TypeVar

T = TypeVar("T")


class Kept(Generic[T]):
    """Keeps an async context open until it is closed, whoever asked for it first.

    Contexts with task groups inside must be left by the task that entered them.
    """

    def __init__(self, context: AbstractAsyncContextManager[T]) -> None:
        self._value: asyncio.Future[T] = asyncio.get_running_loop().create_future()
        self._closing = asyncio.Event()
        self._task = asyncio.create_task(self._keep(context))

    async def value(self) -> T:
        """Return what the context gave. Raises what entering it raised."""
        return await asyncio.shield(self._value)

    @property
    def failed(self) -> bool:
        """Whether entering it raised."""
        return self._value.done() and self._value.exception() is not None

    async def close(self) -> None:
        """Leave the context; raises what leaving it raised."""
        self._closing.set()
        await asyncio.shield(self._task)

    async def _keep(self, context: AbstractAsyncContextManager[T]) -> None:
        try:
            async with context as value:
                self._value.set_result(value)
                await self._closing.wait()
        except BaseException as error:
            if self._value.done():
                raise
            self._value.set_exception(error)
            self._value.exception()  # whoever waits is told; nobody may wait
