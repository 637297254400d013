"""A lock between processes that a killed one does not leave behind, and stopping what waits."""

from __future__ import annotations

import asyncio
import fcntl
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TypeVar

from qbench.errors import QuantizationFailed

LOOK_S = 0.2
"""Between two looks at a lock that somebody else holds, and at a wish to stop."""

T = TypeVar("T")


async def in_thread(work: Callable[[threading.Event], T]) -> T:
    """Run ``work`` in a thread; when the caller is cancelled, its event is set and it stops soon.

    Without that, a program that is told to end would wait for a maker to finish.
    """
    stop = threading.Event()
    try:
        return await asyncio.to_thread(work, stop)
    finally:
        stop.set()


def stopped() -> QuantizationFailed:
    """Return the error of work that was stopped."""
    return QuantizationFailed("The making was stopped.", hint="Ask again: nothing was left behind.")


@contextmanager
def locked(
    file: Path, waiting: Callable[[], None], stop: threading.Event | None = None
) -> Iterator[None]:
    """Hold a lock on ``file``; the system lets go of it when the process ends, however it ends.

    ``waiting`` is called once when somebody else holds it.

    Raises:
        QuantizationFailed: ``stop`` was set while waiting.

    """
    file.parent.mkdir(parents=True, exist_ok=True)
    stop = stop or threading.Event()
    with file.open("a") as opened:
        if not _taken(opened.fileno()):
            waiting()
            while not _taken(opened.fileno()):
                if stop.wait(LOOK_S):
                    raise stopped()
        yield


def _taken(file: int) -> bool:
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
