"""Watching a run: server-sent events, one reader of the database for all who watch it."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator

from fastapi import APIRouter, Request, Response
from fastapi.concurrency import run_in_threadpool
from fastapi.responses import StreamingResponse

from qbench.errors import StoreError
from qbench.service.api.answers import problems_of
from qbench.service.api.deps import DeskDep, Reader, StoreDep
from qbench.service.desk import Desk
from qbench.service.domain import Run
from qbench.service.listing import progress_of
from qbench.service.reports.values import to_json
from qbench.service.store import Store

logger = logging.getLogger(__name__)
router = APIRouter(prefix="/v1/runs", tags=["runs"])

EVENTS = "text/event-stream"
LOOK_S = 0.5
QUIET_S = 15.0
"""A comment is sent after so long without an event, so that proxies keep the connection."""


class Watch:
    """What is known of one run, read while somebody watches it."""

    def __init__(self, store: Store, desk: Desk, run: Run) -> None:
        self.version = 0
        self.data = b""
        self.ended = False
        self.watchers = 0
        self._store = store
        self._desk = desk
        self._run = run
        self._changed = asyncio.Condition()

    async def follow(self) -> None:
        """Read the run until it rests or nobody watches."""
        while self.watchers and not self.ended:
            try:
                await self._look()
            except StoreError as error:
                logger.warning("%s", error.what)
            await asyncio.sleep(LOOK_S)

    async def _look(self) -> None:
        run = await run_in_threadpool(self._store.run, self._run.id)
        told = await run_in_threadpool(progress_of, self._store, self._desk, run)
        data, ended = to_json(told), told.at_rest
        async with self._changed:
            if data != self.data or ended:
                self.version, self.data, self.ended = self.version + 1, data, ended
                self._changed.notify_all()

    async def after(self, version: int) -> bool:
        """Wait for something newer than ``version``; False when it stays quiet."""
        async with self._changed:
            try:
                async with asyncio.timeout(QUIET_S):
                    await self._changed.wait_for(lambda: self.version != version)
            except TimeoutError:
                return False
        return True


class Watches:
    """The runs that are watched, each read once however many watch."""

    def __init__(self) -> None:
        self._watches: dict[str, Watch] = {}
        self._tasks: set[asyncio.Task[None]] = set()

    def join(self, store: Store, desk: Desk, run: Run) -> Watch:
        """Begin to watch a run."""
        watch = self._watches.get(run.id)
        if watch is None or watch.ended or not watch.watchers:
            watch = self._watches[run.id] = Watch(store, desk, run)
        watch.watchers += 1
        if watch.watchers == 1:
            task = asyncio.create_task(watch.follow())
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)
        return watch

    def leave(self, watch: Watch, run: Run) -> None:
        """Stop watching."""
        watch.watchers -= 1
        if not watch.watchers and self._watches.get(run.id) is watch:
            del self._watches[run.id]


@router.get(
    "/{run}/events",
    responses={200: {"description": "Events `progress` and `end`.", "content": {EVENTS: {}}}}
    | problems_of(404),
    response_class=StreamingResponse,
    summary="Watch a run",
)
async def events(run: str, request: Request, store: StoreDep, desk: DeskDep, _: Reader) -> Response:
    """Send how far a run is whenever that changes, as in GET /v1/runs/{run}; end when it rests."""
    found = await run_in_threadpool(store.run, run)
    watches: Watches = request.app.state.watches
    headers = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}
    return StreamingResponse(
        _stream(watches, store, desk, found), media_type=EVENTS, headers=headers
    )


async def _stream(watches: Watches, store: Store, desk: Desk, run: Run) -> AsyncIterator[bytes]:
    watch, seen = watches.join(store, desk, run), 0
    try:
        while True:
            if not await watch.after(seen):
                yield b": still here\n\n"
                continue
            seen = watch.version
            name = b"end" if watch.ended else b"progress"
            yield b"event: %b\nid: %d\ndata: %b\n\n" % (name, seen, watch.data)
            if watch.ended:
                return
    finally:
        watches.leave(watch, run)
