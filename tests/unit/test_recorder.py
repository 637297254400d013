from __future__ import annotations

import asyncio
import threading
from collections.abc import Sequence

import pytest

from qbench.workers.recorder import Recorder


async def test_items_saved_during_a_commit_share_the_next_one() -> None:
    batches: list[list[int]] = []
    release = threading.Event()

    def commit(batch: Sequence[int]) -> None:
        batches.append(list(batch))
        release.wait(5)

    async with Recorder(commit) as recorder:
        first = asyncio.create_task(recorder.save(0))
        while not batches:
            await asyncio.sleep(0)
        rest = [asyncio.create_task(recorder.save(n)) for n in range(1, 6)]
        await asyncio.sleep(0)
        release.set()
        await asyncio.gather(first, *rest)
    assert batches == [[0], [1, 2, 3, 4, 5]]


async def test_leaving_after_cancellation_still_commits_what_waits() -> None:
    saved: list[int] = []
    with pytest.raises(RuntimeError, match="body"):
        async with Recorder(saved.extend) as recorder:
            task = asyncio.create_task(recorder.save(7))
            await asyncio.sleep(0)
            task.cancel()
            raise RuntimeError("body")
    assert saved == [7]


async def test_a_failed_commit_raises_in_each_save_it_served() -> None:
    def commit(_: Sequence[int]) -> None:
        raise OSError("disk full")

    async with Recorder(commit) as recorder:
        results = await asyncio.gather(recorder.save(1), recorder.save(2), return_exceptions=True)
    assert [str(result) for result in results] == ["disk full", "disk full"]


async def test_flush_waits_for_items_whose_saver_was_cancelled() -> None:
    saved: list[int] = []
    async with Recorder(saved.extend) as recorder:
        task = asyncio.create_task(recorder.save(7))
        await asyncio.sleep(0)
        task.cancel()
        await recorder.flush()
        assert saved == [7]
