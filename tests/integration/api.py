"""A real service on a free port, for tests."""

from __future__ import annotations

import contextlib
import socket
import threading
import time
from collections.abc import Iterator

import uvicorn
from fastapi import FastAPI

from qbench.service.api.app import create_app
from qbench.service.desk import Desk
from qbench.service.pricebook import read_prices
from qbench.service.store import Store


class Bell:
    """Wakes nobody and remembers how often."""

    def __init__(self) -> None:
        self.rung: list[str] = []

    def wake(self, queue: str, number: int = 1) -> None:
        self.rung += [queue] * number


def application(store: Store) -> FastAPI:
    return create_app(store, Desk(store, Bell()), read_prices({}))


@contextlib.contextmanager
def serving(app: FastAPI) -> Iterator[str]:
    """Serve ``app``; yield its URL."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port = listener.getsockname()[1]
        server = uvicorn.Server(uvicorn.Config(app, log_level="warning", lifespan="auto"))
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]})
        thread.start()
        while not server.started:
            time.sleep(0.01)
        try:
            yield f"http://127.0.0.1:{port}"
        finally:
            server.should_exit = True
            thread.join()
