"""``serve``, ``worker``, ``beat`` and ``up``: the verbs that keep running."""

from __future__ import annotations

import socket
from collections.abc import Callable
from datetime import UTC, datetime

import typer
import uvicorn
from celery import Celery
from fastapi import FastAPI

from qbench import __version__
from qbench.cli.options import Database, command
from qbench.errors import ConfigError
from qbench.service.api.app import create_app
from qbench.service.broker import IN_PROCESS, CeleryWaker, celery_app, shown_broker
from qbench.service.desk import Desk
from qbench.service.domain import new_id
from qbench.service.pricebook import read_prices
from qbench.service.queue import Worker
from qbench.service.store import Store
from qbench.workers.celery_steps import register, serve, serving, sweeping
from qbench.workers.host import Host, HostThread
from qbench.workers.leases import this_process
from qbench.workers.needs import devices_here

BrokerUrl = typer.Option("", "--broker", help="Redis URL [default: redis://127.0.0.1:6379/0]")
Address = typer.Option("127.0.0.1", "--host", help="Address to listen at; public ones need keys.")
Port = typer.Option(8000, min=1, max=65535, help="TCP port.")
Threads = typer.Option(4, "--threads", "-c", min=1, help="Shards worked on at once.")
Engines = typer.Option(1, min=0, help="Engines in main memory at once; GPUs come on top.")
Grace = typer.Option(10.0, min=0, help="Seconds that work may take to end on SIGTERM.")


def this_worker(threads: int, engines: int) -> Worker:
    """Describe this process as a worker."""
    me = this_process()
    return Worker(
        id=new_id(),
        host=me.host,
        node=me.node,
        pid=me.pid,
        began=me.began,
        devices=devices_here(me.node or me.host, engines=engines),
        threads=threads,
        version=__version__,
        since=datetime.now(UTC),
    )


def _worker(store: Store, app: Celery, threads: int, engines: int) -> HostThread:
    host = Host(store, read_prices(), CeleryWaker(app), this_worker(threads, engines))
    thread = HostThread(host, (sweeping,))
    register(app, thread)
    return thread


def _application(store: Store, app: Celery) -> FastAPI:
    waker = CeleryWaker(app)
    return create_app(store, Desk(store, waker), read_prices(), broker_answers=waker.answers)


def _listen(application: FastAPI, address: str, port: int, ready: Callable[[], None]) -> None:
    """Serve HTTP until SIGTERM or SIGINT, then let requests end. Raises ConfigError."""
    with socket.socket(socket.AF_INET6 if ":" in address else socket.AF_INET) as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listener.bind((address, port))
        except OSError as error:
            raise ConfigError(
                f"Cannot listen at {address}:{port}: {error.strerror}.",
                hint="Choose another with --host and --port.",
            ) from None
        config = uvicorn.Config(
            application,
            log_config=None,
            access_log=False,
            server_header=False,
            timeout_graceful_shutdown=5,
        )
        ready()
        uvicorn.Server(config).run(sockets=[listener])


@command
def worker(
    threads: int = Threads,
    engines: int = Engines,
    grace: float = Grace,
    broker: str = BrokerUrl,
    database: Database = "",
) -> None:
    """Work on queued runs: start engines, make attempts, until SIGTERM."""
    app = celery_app(broker)
    with Store.open(database) as store:
        thread = _worker(store, app, threads, engines)
        me = thread.host.worker.id
        typer.echo(f"Worker {me}: {threads} shards at once, {shown_broker(app)}", err=True)
        serve(app, thread, threads=threads, grace_s=grace)


@command
def api(
    host: str = Address, port: int = Port, broker: str = BrokerUrl, database: Database = ""
) -> None:
    """Serve the REST API and the gateway."""
    app = celery_app(broker)
    with Store.open(database) as store:
        _listen(_application(store, app), host, port, lambda: _greet(host, port))


@command
def beat(broker: str = BrokerUrl) -> None:
    """Send the messages that make schedules fire; one or several, each firing is once."""
    app = celery_app(broker)
    typer.echo(f"Beat: {shown_broker(app)}", err=True)
    app.Beat(scheduler="celery.beat:Scheduler", loglevel="WARNING").run()


@command
def up(
    host: str = Address,
    port: int = Port,
    threads: int = Threads,
    engines: int = Engines,
    grace: float = Grace,
    database: Database = "",
) -> None:
    """Start API, worker and beat in this terminal, with a broker in the process: to try it out."""
    app = celery_app(IN_PROCESS)
    with Store.open(database) as store:
        thread = _worker(store, app, threads, engines)
        with serving(app, thread, threads=threads, grace_s=grace):
            _listen(_application(store, app), host, port, lambda: _greet(host, port))


def _greet(host: str, port: int) -> None:
    shown = f"[{host}]" if ":" in host else host
    typer.echo(f"qbench {__version__} at http://{shown}:{port}  (Ctrl-C ends it)", err=True)
    typer.echo(f"Try: qbench submit --server http://{shown}:{port} --suite sums", err=True)
