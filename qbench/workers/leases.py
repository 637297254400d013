"""One process drives a run: the lease it holds, and how a dead holder is recognised."""

from __future__ import annotations

import asyncio
import os
import platform
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path

from qbench.errors import RunTaken, StoreError
from qbench.service.domain import fingerprint, new_id
from qbench.service.queue import Worker
from qbench.service.store import LEASE_S, Holder, Store

BEAT_S = LEASE_S / 6
PROC = Path("/proc")


def this_process() -> Holder:
    """Describe the calling process, with a fresh token."""
    pid = os.getpid()
    return Holder(
        token=new_id(),
        host=platform.node(),
        node=_node(),
        pid=pid,
        began=_began(pid),
        since=datetime.now(UTC),
    )


def is_alive(holder: Holder | Worker) -> bool | None:
    """Say whether ``holder`` still runs; None when it belongs to another machine or container."""
    if not holder.node or holder.node != _node():
        return None
    return _began(holder.pid) == holder.began


@asynccontextmanager
async def leased(store: Store, run_id: str) -> AsyncIterator[Holder]:
    """Hold the run while the body works; the body is cancelled when the lease is lost.

    Raises:
        RunTaken: another process has the run, or took it from this one while it was suspended.

    """
    me = this_process()
    await asyncio.to_thread(store.take_lease, run_id, me, is_alive)
    try:
        async with asyncio.TaskGroup() as group:
            beat = group.create_task(_beat(store, run_id, me))
            yield me
            beat.cancel()
    except BaseExceptionGroup as failed:
        raise failed.exceptions[0] from None
    finally:
        await asyncio.shield(asyncio.to_thread(store.release_lease, run_id, me.token))


async def _beat(store: Store, run_id: str, me: Holder) -> None:
    while True:
        await asyncio.sleep(BEAT_S)
        if await _lost(store, run_id, me):
            raise RunTaken(
                f"Run {run_id} was taken over by another process while this one was suspended.",
                hint=f"Follow it with `qbench watch {run_id}`; what was saved here counts.",
            )


async def _lost(store: Store, run_id: str, me: Holder) -> bool:
    """Beat once; a database that does not answer now may answer the next beat."""
    try:
        return not await asyncio.to_thread(store.beat_lease, run_id, me.token)
    except StoreError:
        return False


def _node() -> str:
    """Digest of machine, boot and process namespace; empty where ``/proc`` does not tell."""
    try:
        boot = (PROC / "sys/kernel/random/boot_id").read_text()
        namespace = (PROC / "self/ns/pid").readlink()
    except OSError:
        return ""
    return fingerprint((platform.node(), boot, str(namespace)))


def _began(pid: int) -> str:
    """Return when process ``pid`` started, in ticks since boot; empty for none and for a zombie."""
    try:
        text = (PROC / str(pid) / "stat").read_text()
    except OSError:
        return ""
    fields = text.rpartition(")")[2].split()  # the name before it may hold anything
    return "" if fields[0] in "ZX" else fields[19]
